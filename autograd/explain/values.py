"""Numbers and arrays as a few characters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

_SHOWN = 6  # elements: up to so many are shown in full, of more the first three
_FIRST = 3
NOT_KEPT = "(not kept; run under ag.detect_anomaly() to see it)"


def number_text(value: complex | float | int | bool) -> str:
    """A number with four digits, whole ones of integer types as they are.

    >>> number_text(0.70710678), number_text(-6.0), number_text(3), number_text(1e-9)
    ('0.7071', '-6.000', '3', '1.000e-09')
    """
    if isinstance(value, (bool, int)):
        return str(value)
    text = f"{value:#.4g}"
    return text.rstrip(".")


def factor_text(value: complex | float) -> str:
    """A number as it stands behind `*` or `+`: negative ones in parentheses."""
    text = number_text(value)
    return f"({text})" if text.startswith("-") else text


@dataclass(frozen=True, slots=True)
class Value:
    """What is told of an array: all elements where they are few, otherwise the first ones and their range.

    shape, dtype: of the array; elements: nested lists of all elements, or a flat list of the first few; low, mean,
    high: of the elements (None without any), of complex ones of their absolute values; nans: how many are NaN.
    """

    shape: tuple[int, ...]
    dtype: str
    elements: Any
    low: float | complex | None
    mean: float | complex | None
    high: float | complex | None
    nans: int

    @classmethod
    def of(cls, array: np.ndarray) -> Value:
        """The summary of an array in main memory.

        >>> print(Value.of(np.arange(100.0, dtype=np.float32)))
        (100,) [0.000, 1.000, 2.000, ...] min 0.000 mean 49.50 max 99.00
        >>> print(Value.of(np.float64(0.5)), Value.of(np.array([[1, 2], [3, 4]])))
        0.5000 [[1, 2], [3, 4]]
        """
        array = np.asarray(array)
        if array.size <= _SHOWN:
            elements = array.tolist()
        else:
            elements = array[tuple(slice(_FIRST) for _ in array.shape)].ravel()[:_FIRST].tolist()
        if not array.size:
            return cls(array.shape, array.dtype.name, elements, None, None, None, 0)
        if array.size == 1:
            only = array.item()
            mean = only if array.dtype.kind == "c" else float(only)
            return cls(array.shape, array.dtype.name, elements, only, mean, only, int(only != only))
        with np.errstate(all="ignore"):
            nans = int(np.isnan(array).sum()) if array.dtype.kind in "fc" else 0
            sizes = np.abs(array) if array.dtype.kind == "c" else array
            mean = float(sizes.mean(dtype=np.float64))
            return cls(array.shape, array.dtype.name, elements, sizes.min().item(), mean, sizes.max().item(), nans)

    @property
    def number(self) -> float | complex | None:
        """The element, where there is only one."""
        return self.low if self.is_number else None

    @property
    def is_number(self) -> bool:
        """Whether there is exactly one element."""
        return self.low is not None and all(size == 1 for size in self.shape)

    @property
    def contents(self) -> str:
        """The elements without the shape."""
        if self.low is None:
            return "no elements"
        if _count(self.shape) <= _SHOWN:
            return _nested(self.elements)
        first = ", ".join(map(number_text, self.elements))
        if self.nans:
            return f"[{first}, ...] {self.nans:,} of {_count(self.shape):,} are nan"
        is_complex = self.dtype.startswith("complex")
        if self.low == self.high and not is_complex:
            return f"all {number_text(self.low)}"
        low, mean, high = (number_text(v) for v in (self.low, self.mean, self.high))  # type: ignore[arg-type]
        return f"[{first}, ...] {'abs ' if is_complex else ''}min {low} mean {mean} max {high}"

    def __str__(self) -> str:
        large = self.low is None or _count(self.shape) > _SHOWN
        return f"{self.shape} {self.contents}" if large else self.contents


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _nested(elements: Any) -> str:
    return f"[{', '.join(map(_nested, elements))}]" if isinstance(elements, list) else number_text(elements)
