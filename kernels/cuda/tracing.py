"""What each thread of one simulated block reads and writes, step by step: for lessons, and for finding mistakes."""

from typing import Any, NamedTuple

import numpy as np

from .execution import INTERNAL, Thread, current, kernel_site, line_of
from .places import LocalArray, Place, Pointer, SharedArray

INTERNAL.add(__file__)


class Step(NamedTuple):
    """One access; `index` and `value` are tuples where an instruction moves several elements (`index` the first)."""

    line: int
    source: str
    action: str  # "read" or "write"
    array: str
    index: Any
    value: Any

    def __str__(self) -> str:
        index = ", ".join(map(str, self.index)) if isinstance(self.index, tuple) else self.index
        return f"{self.array}[{index}] {'=' if self.action == 'read' else '<-'} {_number(self.value)}"


def _number(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_number, value))})"
    return f"{value:.6g}" if isinstance(value, (float, np.floating)) else str(value)


class Trace:
    """The steps of one block: `intervals[i][thread]` lists those of a thread, named by its (x, y, z), in interval i.

    An interval ends where all threads of the block meet (syncthreads).
    """

    def __init__(self, name: str, block: tuple[int, int, int]) -> None:
        self.name, self.block = name, block
        self.intervals: list[dict[tuple[int, int, int], list[Step]]] = [{}]
        self.shared_array, self.local_array, self.pointer = _TracedShared, _TracedLocal, TracedPointer

    def new_interval(self) -> None:
        """The threads of the block have met."""
        self.intervals.append({})

    def record(self, thread: Thread, site: int, action: str, array: Place, index: Any, value: Any) -> None:
        """Append a step to a thread's."""
        line, source = line_of(site)
        index = tuple(map(int, index)) if isinstance(index, tuple) else int(index)
        step = Step(line, source, action, array.name or array.space, index, value)
        self.intervals[-1].setdefault(thread.position, []).append(step)

    def text(self) -> str:
        """A table: for each interval the lines that ran, and under each what the threads read (=) and wrote (<-) there."""
        rows = [f"{self.name}, block {self.block}"]
        for number, threads in enumerate(self.intervals):
            rows.append(f"--- interval {number} ---")
            lines: dict[int, dict[tuple, list[Step]]] = {}
            for thread, steps in threads.items():
                for step in steps:
                    lines.setdefault(step.line, {}).setdefault(thread, []).append(step)
            for line in sorted(lines):
                rows.append(f"{line:5}  {next(iter(lines[line].values()))[0].source}")
                for thread, steps in lines[line].items():
                    rows.append(f"         {thread!s:12} {'; '.join(map(str, steps))}")
        return "\n".join(rows)

    def __str__(self) -> str:
        return self.text()


def _record(action: str, array: Any, index: Any, value: Any) -> None:
    if current.trace is not None:
        current.trace.record(current.thread, kernel_site(), action, array, index, value)


class _Traced:
    """Every access is recorded."""

    __slots__ = ()

    depth = 2

    def __getitem__(self, index: Any) -> Any:
        value = super().__getitem__(index)  # pyright: ignore[reportAttributeAccessIssue]
        _record("read", self, index, value)
        return value

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(index, value)  # pyright: ignore[reportAttributeAccessIssue]
        _record("write", self, index, value)

    def load(self, index: Any, count: int) -> tuple:
        """See Place."""
        values = super().load(index, count)  # pyright: ignore[reportAttributeAccessIssue]
        _record("read", self, index, values)
        return values

    def store(self, index: Any, count: int, values: Any) -> None:
        """See Place."""
        super().store(index, count, values)  # pyright: ignore[reportAttributeAccessIssue]
        _record("write", self, index, tuple(values))

    def update(self, index: Any, function: Any) -> Any:
        """See Place."""
        old = super().update(index, function)  # pyright: ignore[reportAttributeAccessIssue]
        _record("read", self, index, old)
        _record("write", self, index, function(old))
        return old


class TracedPointer(_Traced, Pointer):
    """A pointer whose accesses are recorded."""

    __slots__ = ()

    def bytes_at(self, index: Any, count: int, verb: str) -> np.ndarray:
        """See Place."""
        data = super().bytes_at(index, count, verb)
        if count % self.itemsize == 0 and count:
            _record("read", self, index, tuple(data.copy().view(self.dtype)))
        return data


class _TracedShared(_Traced, SharedArray):
    __slots__ = ()

    def arrive(self, place: int, target: np.ndarray, data: np.ndarray, stamp: int, site: int) -> None:
        super().arrive(place, target, data, stamp, site)
        _record("write", self, place, tuple(data.view(self.dtype)))


class _TracedLocal(_Traced, LocalArray):
    __slots__ = ()


def traced_arguments(function: Any, arguments: tuple) -> tuple:
    """The arguments, with pointers whose accesses are recorded under their parameters' names."""
    names = function.__code__.co_varnames
    return tuple(
        TracedPointer(a.address, a.dtype, a.low, a.high, a.name or name) if isinstance(a, Pointer) else a
        for a, name in zip(arguments, names, strict=False)
    )
