"""Elementwise kernels, under pytest-benchmark."""

import pytest

from bench.cases import cases_of


@pytest.mark.parametrize("case", cases_of("elementwise"), ids=lambda case: case.label)
def test_elementwise(case, run_case):
    run_case(case)
