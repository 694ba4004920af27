"""What runs kernels and moves memory: a GPU, or the simulator. The rest of `kernels.cuda` is the same on both.

`current()` is the runtime of this process. A runtime numbers its devices from 0, gives every thread a stream of its own on
each, and returns from a call before the device has done the work: only `to_host` and `synchronize` wait.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from kernels.cuda import driver

if TYPE_CHECKING:
    import numpy as np

    from kernels.cuda.compiler import Grid, Kernel


class Stream:
    """An order of work on one device; compared by identity. `handle` is the driver's."""

    __slots__ = ("__weakref__", "device", "handle")

    def __init__(self, device: int, handle: Any = None) -> None:
        self.device, self.handle = device, handle

    def __repr__(self) -> str:
        return f"<stream {self.handle} of cuda:{self.device}>"


class OwnStreams(dict[int, Stream]):
    """A thread's streams by device. When the thread ends they go to `spare`, with the memory that is kept for them."""

    def __init__(self, spare: list[Stream]) -> None:
        self._spare = spare

    def __del__(self) -> None:
        self._spare.extend(self.values())


class Runtime:
    """What a runtime does; see `kernels.cuda.hardware` and `kernels.cuda.simulated`."""

    is_simulated = False

    def __init__(self) -> None:
        self._threads: Any = threading.local()
        self._process = os.getpid()
        self.spare_streams: list[Stream] = []  # of threads that have ended
        self._choosing = threading.Lock()

    def device_count(self) -> int:
        """The number of devices."""
        raise NotImplementedError

    def name(self, device: int) -> str:
        """What the device is called."""
        raise NotImplementedError

    def capability(self, device: int) -> tuple[int, int]:
        """The compute capability, such as (9, 0)."""
        raise NotImplementedError

    def multiprocessors(self, device: int) -> int:
        """How many multiprocessors the device has."""
        raise NotImplementedError

    def allocate(self, device: int, nbytes: int) -> int:
        """The address of new memory; raises memory.OutOfMemory where there is none left."""
        raise NotImplementedError

    def release(self, device: int, pointer: int) -> None:
        """Give memory back to the driver."""
        raise NotImplementedError

    def memory_info(self, device: int) -> tuple[int, int]:
        """(free, total) bytes."""
        raise NotImplementedError

    def new_stream(self, device: int) -> Stream:
        """A stream of its own."""
        raise NotImplementedError

    def wait(self, stream: Stream, other: Stream) -> None:
        """Later work on `stream` waits for what is queued on `other` now."""
        raise NotImplementedError

    def to_device(self, pointer: int, host: np.ndarray, stream: Stream) -> None:
        """Copy a C-contiguous host array to the device; the array may be changed at once afterwards."""
        raise NotImplementedError

    def to_host(self, host: np.ndarray, pointer: int, stream: Stream) -> None:
        """Copy from the device into a C-contiguous host array, and wait for it."""
        raise NotImplementedError

    def copy(self, destination: int, source: int, nbytes: int, stream: Stream) -> None:
        """Copy within a device or between two."""
        raise NotImplementedError

    def fill_bytes(self, pointer: int, byte: int, nbytes: int, stream: Stream) -> None:
        """Set every byte."""
        raise NotImplementedError

    def synchronize(self, device: int) -> None:
        """Wait until the device has done all work; errors of kernels are raised here at the latest."""
        raise NotImplementedError

    def launch(self, kernel: Kernel, grid: Grid, arguments: tuple, shared_bytes: int) -> None:
        """Start a kernel on the calling thread's stream."""
        raise NotImplementedError

    def timed(self, device: int, run: Callable[[], None]) -> float:
        """The seconds that the device spends on what `run` starts; waits for it."""
        raise NotImplementedError

    def stream(self, device: int) -> Stream:
        """The calling thread's stream on a device."""
        streams = getattr(self._threads, "streams", None)
        if streams is None:
            streams = self._threads.streams = OwnStreams(self.spare_streams)
        found = streams.get(device)
        if found is None:
            self.check_process()
            found = streams[device] = self._spare_stream(device) or self.new_stream(device)
        return found

    def _spare_stream(self, device: int) -> Stream | None:
        """The stream of a thread that has ended; its work, and its memory, come before ours."""
        with self._choosing:
            for place in reversed(range(len(self.spare_streams))):  # the last one to be left: others are left for good
                if self.spare_streams[place].device == device:
                    return self.spare_streams.pop(place)
        return None

    def check_process(self) -> None:
        """Raise in a forked child: the driver's state does not survive a fork."""
        if os.getpid() != self._process:
            raise RuntimeError(
                "CUDA cannot be used in a forked process: start processes with multiprocessing.get_context('spawn'), or "
                "fork before the first use of a CUDA device"
            )


_current: Runtime | None = None
_lock = threading.Lock()


def current() -> Runtime:
    """The runtime of this process.

    Raises:
        ValueError: there is neither a GPU nor the simulator; the message says what is missing.
    """
    return _current if _current is not None else _start()


def _start() -> Runtime:
    global _current
    with _lock:
        if _current is None:
            state = driver.state()
            if state == driver.SIMULATOR:
                if not driver.simulator_available():
                    raise ValueError("device 'cuda' is not available: the simulator needs greenlet: pip install greenlet")
                from kernels.cuda.simulated import SimulatedRuntime

                _current = SimulatedRuntime(driver.simulated_devices())
            elif state == driver.HARDWARE:
                from kernels.cuda.hardware import HardwareRuntime

                _current = HardwareRuntime()
            else:
                raise ValueError(f"device 'cuda' is not available: {driver.why_absent()}; or use device='cpu'")
        return _current


def is_available() -> bool:
    """Whether device 'cuda' can be used here: a GPU, or the simulator."""
    return driver.state() != driver.ABSENT


def device_of(arrays: Sequence[Any]) -> int:
    """The device that all arrays are on; a RuntimeError names them where they differ."""
    devices = {a.block.device for a in arrays}
    if len(devices) > 1:
        listed = " and ".join(f"cuda:{d}" for d in sorted(devices))
        raise RuntimeError(f"arrays are on {listed}: a kernel runs on one device; bring them together with .to(device)")
    return devices.pop() if devices else 0
