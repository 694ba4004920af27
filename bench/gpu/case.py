"""What a row of figures is made from: the work of several libraries, its arrays on the host, and what is asked of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from bench.gpu.report import Row, Target
from bench.suite import size_label

_BASE = (1 << 22) - 3  # random numbers that larger arrays repeat: odd, so that rows differ
Call = Callable[[int], Any]


@dataclass
class Work:
    """The same job by different libraries, each a function of the number of the set that it takes its arrays from.

    reference: what set 0 gives, in float64, of the elements that `pick` takes; a tuple where there are several results.
    operations, traffic: of one call. ceiling: "copy", or a precision whose measured rate is the measure.
    """

    contenders: dict[str, Call]
    reference: Callable[[], Any] | None = None
    pick: Callable[[np.ndarray], np.ndarray] = lambda array: array
    tolerance: float = 1e-5
    scale: float | tuple[float, ...] = 1.0  # of each result, where there are several
    sets: int = 1
    operations: float = 0.0
    traffic: float = 0.0
    ceiling: str = "copy"
    targets: Sequence[Target] = ()
    keep: bool = True  # results rotate, too
    compare: bool = True  # everybody's full results are compared with ours
    unchecked: bool = False  # the result is none, or has been looked at already
    wall: bool = False  # by the wall clock
    copy: bool = True  # a copy on the device is the measure for the traffic
    per_call: int = 1
    note: str = ""


@dataclass
class Case:
    """One row: `make` allocates; `need` is the bytes of device memory for one library.

    What is measured without a contest (a ceiling) is made as rows.
    """

    part: str
    name: str
    size: str
    make: Callable[[], Work | list[Row]]
    need: float = 0.0

    @property
    def id(self) -> str:
        return Row(self.part, self.name, self.size).id


_base: dict[int, np.ndarray] = {}


@lru_cache(maxsize=4)
def normal(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Standard normal float32: drawn up to four million, repeated above (a second per array would be too long). The last few
    are kept, and must not be changed."""
    count = int(np.prod(shape))
    if seed not in _base:
        _base[seed] = np.random.default_rng(seed).standard_normal(min(_BASE, max(count, 1)), dtype=np.float32)
    if _base[seed].size < min(count, _BASE):
        _base[seed] = np.random.default_rng(seed).standard_normal(_BASE, dtype=np.float32)
    return np.resize(_base[seed], shape)


def some_rows(count: int, most: int = 64) -> np.ndarray:
    """The numbers of rows that are checked against NumPy: the first, the last, and some in between."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def fraction(at_least: float) -> Target:
    """Asked for: so much of a copy's bandwidth."""
    return Target("fraction", at_least)


def ratio(at_least: float) -> Target:
    """Asked for: PyTorch's time over ours."""
    return Target("ratio", at_least)


def label(shape: tuple[int, ...]) -> str:
    """1024x1024; 64M for a vector."""
    return size_label(shape[0]) if len(shape) == 1 else "x".join(map(str, shape))
