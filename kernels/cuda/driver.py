"""The one place where numba.cuda and the CUDA driver are looked for, and what was found.

Three states:
    "hardware"   numba-cuda is installed and the driver has a device: kernels run on it
    "simulator"  GRADLOOM_CUDA=sim: kernels run in our lock-step simulator, on the CPU, thousands of times slower
    "absent"     neither; `why_absent()` says what is missing

`compiler_available()` is a separate question: kernels are compiled, and their machine code checked, without a GPU.
Nothing here is imported before it is asked for: `import autograd` does not load numba.cuda.
"""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module, util
from typing import Any

from kernels.debug import say

HARDWARE, SIMULATOR, ABSENT = "hardware", "simulator", "absent"
INSTALL = 'pip install "numba-cuda[cu13]" (or [cu12] for drivers older than 580)'


@cache
def state() -> str:
    """Which of the three states this process is in.

    Raises:
        ValueError: GRADLOOM_CUDA is set to something unknown.
    """
    asked = os.environ.get("GRADLOOM_CUDA", "")
    if asked.partition(":")[0] == "sim":
        say(1, "device cuda: simulated on the CPU, thousands of times slower than a GPU (GRADLOOM_CUDA=sim)")
        return SIMULATOR
    if asked not in ("", "0", "off", "on", "1"):
        raise ValueError(f"GRADLOOM_CUDA={asked!r}: expected 'sim' (or 'sim:2' for two simulated devices), 'off', or nothing")
    if asked in ("0", "off"):
        return ABSENT
    return ABSENT if _missing() else HARDWARE


def simulator_available() -> bool:
    """Whether the simulator can run all kernels: those with barriers need greenlet."""
    return _installed("greenlet")


def simulated_devices() -> int:
    """How many devices GRADLOOM_CUDA=sim:N asks for; one without a number."""
    number = os.environ.get("GRADLOOM_CUDA", "").partition(":")[2]
    return max(int(number), 1) if number.isdigit() else 1


def why_absent() -> str:
    """What is missing for device 'cuda', in one sentence that ends with what would work."""
    if os.environ.get("GRADLOOM_CUDA", "") in ("0", "off"):
        return "GRADLOOM_CUDA=off switches CUDA off; unset it"
    return _missing() or "nothing is missing"


@cache
def _missing() -> str:
    if not _installed("numba_cuda") or not _installed("cuda.core"):
        return f"numba-cuda is not installed: {INSTALL}"
    try:
        driver = cuda_driver()
        (status,) = driver.cuInit(0)
        if int(status) == 0:
            status, count = driver.cuDeviceGetCount()
            if int(status) == 0 and count:
                return ""
    except Exception as error:  # the driver's library cannot be loaded, in one of several ways
        return f"no CUDA driver ({type(error).__name__}): install NVIDIA's display driver, or try GRADLOOM_CUDA=sim"
    return f"the CUDA driver found no device ({status}): check nvidia-smi and CUDA_VISIBLE_DEVICES, or try GRADLOOM_CUDA=sim"


def _installed(package: str) -> bool:
    try:
        return util.find_spec(package) is not None
    except ImportError:
        return False


@cache
def compiler_available() -> bool:
    """Whether kernels can be compiled here: numba-cuda with NVVM and nvJitLink is installed; a GPU is not needed."""
    if not _installed("numba_cuda") or not _installed("cuda.core"):
        return False
    try:
        return cuda_core().Linker is not None and numba_cuda() is not None
    except Exception:
        return False


@cache
def numba_cuda() -> Any:
    """The module numba.cuda, which must be NVIDIA's: the one inside numba itself lacks what we need.

    Raises:
        ImportError: numba-cuda is not installed.
    """
    os.environ.setdefault("NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS", "0")
    if not _installed("numba_cuda"):
        raise ImportError(f"kernels for CUDA are compiled by numba-cuda, which is not installed: {INSTALL}")
    cuda = import_module("numba.cuda")
    if getattr(cuda, "implementation", "") != "NVIDIA":
        raise ImportError(f"numba.cuda is numba's own, not NVIDIA's numba-cuda: {INSTALL}")
    return cuda


def cuda_core() -> Any:
    """The module cuda.core: devices, streams, linking and launches."""
    return import_module("cuda.core")


def cuda_driver() -> Any:
    """The module cuda.bindings.driver: the driver's own functions."""
    return import_module("cuda.bindings.driver")


def extending() -> Any:
    """The module numba.cuda.extending (`intrinsic`)."""
    numba_cuda()
    return import_module("numba.cuda.extending")


def numba_types() -> Any:
    """The module numba.cuda.types."""
    numba_cuda()
    return import_module("numba.cuda.types")
