"""Which devices there are, and the kernels of each."""

from __future__ import annotations

from functools import cache
from types import ModuleType

from kernels.debug import say


@cache
def backend_for(device: str) -> ModuleType:
    """The kernels for a device: a module with the names of `kernels.cpu`.

    Raises:
        ValueError: the device is unknown, or not to be had here.

    >>> backend_for("cpu").__name__
    'kernels.cpu'
    """
    kind, _, number = device.partition(":")
    if kind == "cpu" and not number:
        from kernels import cpu

        say(1, f"device {device}")
        return cpu
    if kind == "cuda":
        raise ValueError(f"device {device!r}: this version of gradloom has no CUDA kernels; use device='cpu'")
    raise ValueError(f"unknown device {device!r}: expected 'cpu'")
