"""Every rung of the matrix ladder computes the product, and explains itself."""

import importlib

import pytest
from cuda_support import IS_SIMULATED, needs_cuda

from bench.ladder import check, rungs
from bench.ladder.__main__ import main


@needs_cuda
@pytest.mark.parametrize("rung", rungs(), ids=lambda rung: rung.name)
@pytest.mark.parametrize("sizes", [(5, 7, 3), (33, 36, 20)])
def test_rungs(rung, sizes):
    check(rung, *sizes)


@needs_cuda
@pytest.mark.skipif(not IS_SIMULATED, reason="prints rates on a GPU")
def test_the_program_says_that_it_simulates(capsys):
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert "simulator" in printed and all(rung.name in printed for rung in rungs())


@pytest.mark.parametrize("name", ["naive", "tile", "register_tile", "tensor_cores"])
def test_each_file_explains_one_idea(name):
    text = importlib.import_module(f"bench.ladder.{name}").__doc__
    assert text and text.startswith("Rung ") and len(text) > 400
