"""GRADLOOM_DEBUG: each level says what it promises, on standard error, and nothing is said without it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import autograd as ag
x = ag.tensor([1.0, 2.0], requires_grad=True)
(x.exp() * x).sum().backward()
print(x.grad.tolist())
"""


def run(level):
    environment = {k: v for k, v in os.environ.items() if k != "GRADLOOM_DEBUG"} | {"PYTHONPATH": str(ROOT)}
    if level is not None:
        environment["GRADLOOM_DEBUG"] = level
    return subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def said():
    return {level: run(level) for level in (None, "1", "2", "3", "4")}


def test_the_program_computes_the_same(said):
    assert {result.returncode for result in said.values()} == {0}
    assert len({result.stdout for result in said.values()}) == 1


def test_silent_by_default(said):
    assert said[None].stderr == ""


def test_level_1_devices_and_compilations(said):
    text = said["1"].stderr
    assert "[gradloom] device cpu" in text
    assert "[gradloom] kernel exp [float32] ready in " in text and " ms" in text
    assert all(line.startswith("[gradloom] ") for line in text.splitlines())
    assert "launch" not in text


def test_level_2_also_launches(said):
    text = said["2"].stderr
    lines = [line for line in text.splitlines() if line.startswith("[gradloom] launch exp[float32] on cpu: ")]
    assert len(lines) == 1
    assert " us, " in lines[0] and " GB/s, " in lines[0] and " GFLOP/s, (2,) (2,)" in lines[0]
    assert "kernel exp [float32] ready" in text and "@njit" not in text and "graph of" not in text


def test_level_3_also_the_source(said):
    text = said["3"].stderr
    assert "def multiply(low, high" in text and "@njit" in text and "launch exp" in text and "graph of" not in text


def test_level_4_also_the_graph(said):
    text = said["4"].stderr
    assert "[gradloom] graph of 4 nodes\n  %0 = leaf" in text
    assert "%2 = multiply(%1, %0)" in text and "@njit" in text and "launch exp" in text


def test_other_levels_are_refused():
    result = run("loud")
    assert result.returncode != 0 and "GRADLOOM_DEBUG: expected 0, 1, 2, 3 or 4, got 'loud'" in result.stderr
