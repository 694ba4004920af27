"""What the parts of the simulator share: the thread that runs now, the places in a kernel's source, and the errors."""

import linecache
import sys
from functools import lru_cache
from types import CodeType, FrameType
from typing import Any

import numpy as np


class SimulationError(RuntimeError):
    """A kernel did what the hardware forbids or leaves undefined."""


class OutOfBounds(SimulationError):
    """An access outside an array, in global, shared or local memory; a negative index is one too."""


class Misaligned(SimulationError):
    """A vector access or an asynchronous copy whose address is no multiple of its size."""


class DivergentBarrier(SimulationError):
    """A barrier or a warp's common operation that only some of its threads reached."""


class SharedMemoryRace(SimulationError):
    """Two threads used one cell of shared memory, at least one wrote, and no barrier lay between."""


INTERNAL = {__file__}  # the simulator's own files: never the place of a kernel's mistake


class Dimensions:
    """Three int32 numbers `x`, `y`, `z`, as in threadIdx."""

    __slots__ = ("x", "y", "z")

    def __init__(self, numbers: tuple[int, int, int]) -> None:
        x, y, z = numbers
        self.x, self.y, self.z = np.int32(x), np.int32(y), np.int32(z)


_index_of = lru_cache(maxsize=4096)(Dimensions)  # the same few hundred positions at every launch


class Thread:
    """One thread of the block that runs: its coordinates, and what it waits for.

    `stamp` marks its accesses to shared memory: its number in the block, how many orderings its warp has seen, and two
    free bits for the kind of access (see races.py).
    """

    __slots__ = (
        "copies", "groups", "index", "lane", "mask", "number", "payload", "position", "resolve", "result", "site",
        "stamp", "switch", "warp",
    )  # fmt: skip

    def __init__(self, number: int, position: tuple[int, int, int]) -> None:
        self.number, self.position = number, position
        self.warp, self.lane = divmod(number, 32)
        self.index = _index_of(position)
        self.switch: Any = None
        self.start()

    def start(self) -> None:
        """Forget the previous block."""
        self.stamp = self.number << 24
        self.copies: list = []  # asynchronous copies not yet committed
        self.groups: list[list] = []  # committed groups of them, oldest first
        self.resolve: Any = None
        self.payload: Any = None
        self.result: Any = None
        self.mask = self.site = 0


class Current:
    """The launch that runs now. One at a time: `simulator.launch` holds a lock."""

    def __init__(self) -> None:
        self.thread: Any = None  # a Thread while a kernel runs
        self.switch: Any = None  # gives control back to the scheduler; None where threads run as plain calls
        self.name = ""
        self.block: tuple[int, int, int] = (0, 0, 0)
        self.function: Any = None
        self.arguments: tuple = ()
        self.log: list[int] = []  # accesses to shared memory since the last barrier, see races.py
        self.orderings: list[list[int]] = []  # for each warp the lane masks of its syncwarps and shuffles in this block
        self.shared: Any = None  # places.SharedMemory
        self.trace: Any = None  # tracing.Trace while its block runs


current = Current()

# --- places in the source ---------------------------------------------------------------------------------------------

LINE_BITS = 20
bases: dict[int, int] = {}  # id of a code object -> its number, shifted above the bits of a line number
_codes: list[CodeType] = []


def new_sites() -> None:
    """Forget the code objects of earlier launches."""
    bases.clear()
    _codes.clear()


def register(code: CodeType) -> int:
    """The number of a code object, shifted; a site is that plus a line number."""
    bases[id(code)] = base = len(_codes) << LINE_BITS
    _codes.append(code)
    return base


def site_of(frame: FrameType) -> int:
    """Where a frame stands now, as one integer."""
    base = bases.get(id(frame.f_code))
    return (register(frame.f_code) if base is None else base) + frame.f_lineno


def line_of(site: int) -> tuple[int, str]:
    """(line number, its text) of a site."""
    code, line = _codes[site >> LINE_BITS], site & ((1 << LINE_BITS) - 1)
    return line, linecache.getline(code.co_filename, line).strip()


def at_line(site: int) -> str:
    """A site for people."""
    line, text = line_of(site)
    return f"line {line} `{text}`" if text else f"line {line}"


def kernel_site() -> int:
    """The site of the innermost frame that is not the simulator's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename in INTERNAL:
        frame = frame.f_back
    return site_of(frame or sys._getframe(1))


def here(site: int | None = None) -> str:
    """Kernel, block, thread and line, to begin an error's message with."""
    where = at_line(kernel_site() if site is None else site)
    if current.thread is None:
        return where
    return f"kernel {current.name}, block {current.block}, thread {current.thread.position}, {where}"


def names_of(threads: list[Thread], most: int = 4) -> str:
    """Some threads for people: the first few, and how many more."""
    text = ", ".join(str(thread.position) for thread in threads[:most])
    more = f" and {len(threads) - most} more" if len(threads) > most else ""
    return f"thread{'s' * (len(threads) > 1)} {text}{more}"
