"""Copies of permuted arrays, concat and pad, under pytest-benchmark."""

import pytest

from bench.cases import cases_of


@pytest.mark.parametrize("case", cases_of("moving"), ids=lambda case: case.label)
def test_moving(case, run_case):
    run_case(case)
