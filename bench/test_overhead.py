"""The engine's overhead and training steps, under pytest-benchmark."""

import pytest

from bench.cases import cases_of


@pytest.mark.parametrize("case", cases_of("overhead"), ids=lambda case: case.label)
def test_overhead(case, run_case):
    run_case(case)
