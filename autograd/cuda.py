"""What is particular to GPUs: which there are, their memory, and waiting for them. Names follow torch.cuda.

>>> import autograd as ag
>>> device = "cuda" if ag.cuda.is_available() else "cpu"
>>> x = ag.ones((2, 3), device=device)
"""

from __future__ import annotations

import sys
from typing import Any

from kernels.cuda import runtime

Device = int | str | None


def is_available() -> bool:
    """Whether device "cuda" can be used: there is a GPU and numba-cuda, or GRADLOOM_CUDA=sim asks for the simulator."""
    return runtime.is_available()


def is_simulated() -> bool:
    """Whether device "cuda" is the simulator: right, and thousands of times slower than a GPU."""
    return is_available() and runtime.current().is_simulated


def device_count() -> int:
    """The number of GPUs; 0 where device "cuda" is not available."""
    return runtime.current().device_count() if is_available() else 0


def get_device_name(device: Device = None) -> str:
    """What the GPU is called."""
    return runtime.current().name(_number(device))


def get_device_capability(device: Device = None) -> tuple[int, int]:
    """The GPU's compute capability, such as (9, 0)."""
    return runtime.current().capability(_number(device))


def synchronize(device: Device = None) -> None:
    """Wait until the GPU (all of them, if none is named) has done everything it was given.

    Raises:
        RuntimeError: a kernel failed; the message names the last one started.
    """
    numbers = range(device_count()) if device is None else [_number(device)]
    for number in numbers:
        runtime.current().synchronize(number)
    if "kernels.cuda.deferred" in sys.modules:
        sys.modules["kernels.cuda.deferred"].look()


def _number(device: Device) -> int:
    from kernels.cuda.memory import parse_device

    return 0 if device is None else parse_device(device)


_MEMORY = (
    "memory_allocated max_memory_allocated memory_reserved reset_peak_memory_stats empty_cache memory_summary "
    "OutOfMemoryError"
).split()


def __getattr__(name: str) -> Any:
    """The functions of `kernels.cuda.memory`, which is loaded when first needed."""
    if name in _MEMORY:
        from kernels.cuda import memory

        return getattr(memory, name)
    raise AttributeError(f"autograd.cuda has no {name!r}")


def __dir__() -> list[str]:
    return sorted([*(n for n in globals() if not n.startswith("_")), *_MEMORY])
