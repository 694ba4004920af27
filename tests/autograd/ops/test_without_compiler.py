"""The table of operations once more with Numba's compiler switched off: all of them in every memory layout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kernels.cpu.pointer import JIT_DISABLED

HERE = Path(__file__).resolve()


@pytest.mark.skipif(JIT_DISABLED, reason="the compiler is off already")
@pytest.mark.parametrize("tests", [
    "test_t47 or special_points or integers", "test_t48 and (permuted or negative)", "test_t48 and (strided or stretched)",
    "test_t18 or test_t12",
])  # fmt: skip
def test_every_operation_without_the_compiler(tests):
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(HERE.with_name("test_operations.py")), "-k", tests]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(command, cwd=HERE.parents[3], env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
