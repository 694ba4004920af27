"""The comparisons with array-api-strict once more with Numba's compiler switched off: all dtypes, all memory layouts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kernels.cpu.pointer import JIT_DISABLED

HERE = Path(__file__).resolve()


@pytest.mark.skipif(JIT_DISABLED, reason="the compiler is off already")
@pytest.mark.parametrize("files", ["test_elementwise.py", "test_functions.py", "test_sorting.py", "test_linalg.py test_indexing.py test_errors.py"])
def test_every_dtype_without_the_compiler(files):
    pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *(str(HERE.with_name(f)) for f in files.split())]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(command, cwd=HERE.parents[2], env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
