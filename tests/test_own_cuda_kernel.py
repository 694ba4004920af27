"""The example of a user's own CUDA kernel: it compiles, and what is around the kernels is right.

numba's kernels run on a GPU alone. Elsewhere the example's Function is tested with a stand-in for the launch, which runs the
kernels' Python for one index after the other; and the kernels are compiled.
"""

import os
import subprocess
import sys
from importlib import util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from kernels.cuda import driver

EXAMPLE = Path(__file__).resolve().parents[1] / "learn" / "examples" / "own_cuda_kernel.py"


@pytest.fixture
def example():
    specification = util.spec_from_file_location("own_cuda_kernel", EXAMPLE)
    module = util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def one_after_the_other(example):
    """What `launch` does, in Python and on the CPU."""

    def launch(kernel, *tensors):
        arrays = [t.detach().numpy().reshape(-1) for t in tensors]
        assert np.shares_memory(arrays[-1], tensors[-1].numpy()), "the result must be written in place"
        for i in range(-(-arrays[-1].size // example.THREADS) * example.THREADS):  # whole blocks
            example.cuda = SimpleNamespace(grid=lambda dimensions, i=i: i)
            kernel(*arrays)

    return launch


def test_the_function_is_right(example, monkeypatch):
    monkeypatch.setattr(example, "cuda", None)
    monkeypatch.setattr(example, "launch", one_after_the_other(example))
    assert example.check("cpu") < 1e-15


def test_a_wrong_kernel_is_noticed(example, monkeypatch):
    monkeypatch.setattr(example, "cuda", None)
    monkeypatch.setattr(example, "launch", one_after_the_other(example))
    monkeypatch.setattr(example, "softsign_backward_kernel", lambda x, upstream, out: example.softsign_kernel(upstream, out))
    with pytest.raises(AssertionError):
        example.check("cpu")


@pytest.mark.skipif(not driver.compiler_available(), reason=f"kernels cannot be compiled for CUDA here: {driver.INSTALL}")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_kernels_compile(example, dtype):
    from kernels.cuda.inspection import compile_ptx

    types = driver.numba_types()
    array = getattr(types, dtype)[::1]
    for function, count in ((example.softsign_kernel, 2), (example.softsign_backward_kernel, 3)):
        ptx, _ = compile_ptx(function, types.void(*[array] * count), example.THREADS)
        assert "st.global" in ptx
        assert (".f64" in ptx) == (dtype == "float64"), "float32 needs no float64 arithmetic"


@pytest.mark.parametrize("asked", ["off", "sim"])
def test_without_a_gpu_it_says_so(asked):
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLE.parents[2]), "GRADLOOM_CUDA": asked}
    result = subprocess.run([sys.executable, EXAMPLE], env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert "need a GPU" in result.stdout and "doctor" in result.stdout


@pytest.mark.skipif(driver.state() != driver.HARDWARE or "GRADLOOM_REHEARSAL" in os.environ, reason="needs a GPU")
def test_on_a_gpu(example):
    assert example.check("cuda") < 1e-15
