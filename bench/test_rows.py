"""Row kernels (softmax, cross-entropy, layer normalisation), under pytest-benchmark."""

import pytest

from bench.cases import cases_of


@pytest.mark.parametrize("case", cases_of("rows"), ids=lambda case: case.label)
def test_rows(case, run_case):
    run_case(case)
