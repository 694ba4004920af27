"""Reductions, under pytest-benchmark."""

import pytest

from bench.cases import cases_of


@pytest.mark.parametrize("case", cases_of("reduce"), ids=lambda case: case.label)
def test_reduce(case, run_case):
    run_case(case)
