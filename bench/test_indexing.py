"""Gather, scatter-add and masks, under pytest-benchmark."""

import pytest

from bench.cases import cases_of


@pytest.mark.parametrize("case", cases_of("indexing"), ids=lambda case: case.label)
def test_indexing(case, run_case):
    run_case(case)
