"""Matrix products, under pytest-benchmark."""

import pytest

from bench.cases import cases_of


@pytest.mark.parametrize("case", cases_of("matmul"), ids=lambda case: case.label)
def test_matmul(case, run_case):
    run_case(case)
