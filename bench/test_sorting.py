"""Sorting, top-k and running sums, under pytest-benchmark."""

import pytest

from bench.cases import cases_of


@pytest.mark.parametrize("case", cases_of("sorting"), ids=lambda case: case.label)
def test_sorting(case, run_case):
    run_case(case)
