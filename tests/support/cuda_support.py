"""What the tests of the CUDA kernels share: whether there is a device, and the two backends side by side."""

import pytest

from kernels import backend_for
from kernels.cuda import driver

IS_SIMULATED = driver.state() == driver.SIMULATOR

needs_cuda = pytest.mark.skipif(
    driver.state() == driver.ABSENT, reason=f"no CUDA device ({driver.why_absent()}); GRADLOOM_CUDA=sim runs the simulator"
)
needs_compiler = pytest.mark.skipif(
    not driver.compiler_available(), reason=f"kernels cannot be compiled for CUDA here: {driver.INSTALL}"
)


def cuda():
    """The kernels of device "cuda"."""
    return backend_for("cuda")


def cpu():
    """The kernels of device "cpu"."""
    return backend_for("cpu")
