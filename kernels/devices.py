"""Which devices there are, and the kernels of each."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from kernels.debug import say

_MADE_THERE = frozenset("empty from_numpy permutation".split())  # what is given no array that says where


class DeviceKernels:
    """The kernels of one device among several: `kernels.cuda`, with new arrays made on this device."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._package = import_module("kernels.cuda")

    def __repr__(self) -> str:
        return f"<kernels of {self.device}>"

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._package, name)
        if name in _MADE_THERE:
            plain, device = function, self.device

            def function(*arguments: Any, **options: Any) -> Any:
                return plain(*arguments, device=device, **options)

        self.__dict__[name] = function
        return function


def canonical(device: str) -> str:
    """A device's full name: "cuda" is "cuda:0".

    Raises:
        ValueError: the name is none of a device.
    """
    if not isinstance(device, str):
        raise TypeError(f"a device is named by a string such as 'cpu', 'cuda' or 'cuda:1', got {device!r}")
    if device == "cuda":
        return "cuda:0"
    kind, _, number = device.partition(":")
    if device == "cpu" or (kind == "cuda" and number.isdecimal()):
        return device if device == "cpu" else f"cuda:{int(number)}"
    raise ValueError(f"unknown device {device!r}: expected 'cpu', 'cuda' or 'cuda:N'")


@cache
def backend_for(device: str) -> Any:
    """The kernels for a device: the functions of `kernels.cpu` or `kernels.cuda`, new arrays made on that device.

    Raises:
        ValueError: the device is unknown, or not to be had here.

    >>> backend_for("cpu").__name__
    'kernels.cpu'
    """
    name = canonical(device)
    if name == "cpu":
        say(1, "device cpu")
        return import_module("kernels.cpu")
    if name != device:
        return backend_for(name)
    from kernels.cuda import runtime

    count = runtime.current().device_count()
    if int(name.partition(":")[2]) >= count:
        raise ValueError(f"device {device!r}: there are {count} CUDA devices here, counted from 0")
    return DeviceKernels(name)
