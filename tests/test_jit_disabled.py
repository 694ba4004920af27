"""A sample of the suite once more without Numba's compiler: what the loops mean as Python is what they compute.

The kernels' own loops run as plain Python here, a thousand times slower, with every index and every division visible to
the interpreter; a mistake that machine code hides (an undefined name in a branch, a read out of bounds that meets zeros)
ends such a run.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kernels.cpu.pointer import JIT_DISABLED

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="the whole run is without the compiler")

KERNELS = "tests/kernels/cpu"
REDUCTIONS = "integers_and_bool extremes_of_negatives no_elements no_dimensions places_of_nan_and_infinity corrections"
ROWS = "float64 extreme_logits nan_and_infinity_fill_their_row_alone no_elements"
SAMPLE = [
    f"{KERNELS}/test_elementwise.py",
    f"{KERNELS}/test_compiler.py",
    f"{KERNELS}/test_matmul.py",
    *[f"{KERNELS}/test_reduce.py::test_{name}" for name in REDUCTIONS.split()],
    *[f"{KERNELS}/test_softmax.py::test_{name}" for name in ROWS.split()],
    "tests/autograd/test_functional.py",
    "tests/autograd/ops/test_update.py",
]

TRAINING = """
import sys
import numpy as np
import autograd as ag
import nn
import nn.functional as F
from nn import optim
from numba import config

ag.manual_seed(0)
generator = np.random.default_rng(0)
model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.LayerNorm(5), nn.Dropout(0.0), nn.Linear(5, 3))
start = np.random.default_rng(1)
with ag.no_grad():
    for parameter in model.parameters():
        parameter.copy_(ag.tensor(start.normal(size=parameter.shape).astype("float32")))
x, y = ag.tensor(generator.normal(size=(6, 4)).astype("float32")), ag.tensor([0, 1, 2, 0, 1, 2])
optimizer = optim.Adam(model.parameters(), lr=0.1)
for _ in range(4):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    print(loss.item())
for parameter in model.parameters():
    print(*parameter.detach().numpy().ravel())
print(bool(config.DISABLE_JIT), file=sys.stderr)
"""


def start(arguments, **environment):
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_a_sample_of_the_suite(tmp_path):
    arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:benchmark", *SAMPLE]
    command = [sys.executable, *arguments]
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "GRADLOOM_CACHE": str(tmp_path / "cache")}
    result = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr
    assert not list(tmp_path.rglob("*.nbi")), "something was compiled"


def test_a_few_training_steps_compute_the_same(tmp_path):
    with_compiler = start(["-c", TRAINING])
    without = start(["-c", TRAINING], NUMBA_DISABLE_JIT="1", GRADLOOM_CACHE=str(tmp_path / "cache"))
    assert (with_compiler.returncode, with_compiler.stderr) == (0, "False\n"), with_compiler.stderr
    assert (without.returncode, without.stderr) == (0, "True\n"), without.stderr
    ours, plain = ([float(word) for word in result.stdout.split()] for result in (with_compiler, without))
    assert len(ours) == len(plain) > 50
    assert plain == pytest.approx(ours, rel=1e-3, abs=1e-4)
    assert ours[3] < ours[0], "the loss falls"
