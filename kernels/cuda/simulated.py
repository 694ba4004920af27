"""The simulator as a device: host memory, kernels run thread by thread. See `kernels.cuda.simulator`."""

from __future__ import annotations

import ctypes
import time
import warnings
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable
from typing import Any

import numpy as np

from kernels.cuda import compiler
from kernels.cuda.compiler import Grid, Kernel
from kernels.cuda.runtime import Runtime, Stream, device_of


class SimulatedRuntime(Runtime):
    """Device memory is the host's, and every call has finished when it returns."""

    is_simulated = True

    def __init__(self, devices: int = 1) -> None:
        super().__init__()
        warnings.warn(
            "device 'cuda' is simulated (GRADLOOM_CUDA=sim): right, but thousands of times slower than a GPU", stacklevel=2
        )
        self._devices = devices
        self._memory: dict[int, np.ndarray] = {}
        self._addresses: list[int] = []  # the keys of _memory, sorted

    def device_count(self) -> int:
        return self._devices

    def name(self, device: int) -> str:
        return "gradloom's simulator"

    def capability(self, device: int) -> tuple[int, int]:
        return (9, 0)

    def multiprocessors(self, device: int) -> int:
        return 4  # few, so that small arrays need several rounds of the grid, too

    def allocate(self, device: int, nbytes: int) -> int:
        block = np.empty(nbytes + 256, np.uint8)
        address = block.ctypes.data
        pointer = address + -address % 256
        self._memory[pointer] = block
        insort(self._addresses, pointer)
        return pointer

    def release(self, device: int, pointer: int) -> None:
        del self._memory[pointer], self._addresses[bisect_left(self._addresses, pointer)]

    def bounds(self, address: int) -> tuple[int, int] | None:
        """The first and last byte's place (low, high) of the live memory that an address lies in."""
        place = bisect_right(self._addresses, address) - 1
        if place < 0:
            return None
        low = self._addresses[place]
        high = low + self._memory[low].nbytes - 256
        return (low, high) if address < high else None

    def memory_info(self, device: int) -> tuple[int, int]:
        return 1 << 32, 1 << 32

    def new_stream(self, device: int) -> Stream:
        return Stream(device, "simulated")

    def wait(self, stream: Stream, other: Stream) -> None:
        pass

    def to_device(self, pointer: int, host: np.ndarray, stream: Stream) -> None:
        ctypes.memmove(pointer, host.ctypes.data, host.nbytes)

    def to_host(self, host: np.ndarray, pointer: int, stream: Stream) -> None:
        ctypes.memmove(host.ctypes.data, pointer, host.nbytes)

    def copy(self, destination: int, source: int, nbytes: int, stream: Stream) -> None:
        ctypes.memmove(destination, source, nbytes)

    def fill_bytes(self, pointer: int, byte: int, nbytes: int, stream: Stream) -> None:
        ctypes.memset(pointer, byte, nbytes)

    def synchronize(self, device: int) -> None:
        pass

    def timed(self, device: int, run: Callable[[], None]) -> float:
        begin = time.perf_counter()
        run()
        return time.perf_counter() - begin

    def launch(self, kernel: Kernel, grid: Grid, arguments: tuple, shared_bytes: int) -> None:
        from kernels.cuda import simulator

        device_of([a for a in arguments if hasattr(a, "block")])  # raises where they are on several
        given = simulated_arguments(kernel, arguments)
        simulator.launch(kernel.simulated, grid, kernel.threads, tuple(given), shared_bytes=shared_bytes, name=kernel.name)


def simulated_arguments(kernel: Kernel, arguments: tuple) -> list[Any]:
    """Arguments as a kernel sees them in the simulator: pointers that know their bounds, NumPy's scalars."""
    from kernels.cuda.emulation import Pointer

    if len(arguments) != len(kernel.parameters):
        raise TypeError(f"kernel {kernel.name} takes {len(kernel.parameters)} arguments, got {len(arguments)}")
    given = []
    for argument, (name, dtype, is_pointer) in zip(arguments, kernel.parameters, strict=True):
        if is_pointer:
            scalar = np.dtype(compiler.POINTER_TYPES.get(dtype, dtype))
            if argument is None:
                pointer = Pointer(0, scalar, 0, 0)
            else:
                if argument.itemsize != scalar.itemsize:
                    raise TypeError(f"kernel {kernel.name}: {name} points to {scalar}, got an array of {argument.dtype}")
                if not argument.block.runtime.is_simulated:
                    raise TypeError(
                        f"kernel {kernel.name}: {name} is on a GPU; the simulator takes arrays of its own (GRADLOOM_CUDA=sim)"
                    )
                low = argument.block.pointer
                pointer = Pointer(argument.pointer, scalar, low, low + argument.block.nbytes)
            pointer.name = name
            given.append(pointer)
        else:
            given.append(np.dtype(dtype).type(argument))
    return given
