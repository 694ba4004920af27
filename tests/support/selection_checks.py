"""What the tests of top-k ask of the kernels of each device: what NumPy's stable sort puts first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

DTYPES = "bool int8 uint8 int16 uint16 int32 uint32 int64 uint64 float32 float64".split()


def drawn(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Elements with many ties; floats with NaN, infinities and both zeros among them."""
    generator = np.random.default_rng(len(shape) + shape[0])
    if dtype == "bool":
        return generator.random(shape) < 0.5
    if np.dtype(dtype).kind in "iu":
        bounds = np.iinfo(dtype)
        x = generator.integers(bounds.min, bounds.max, shape, dtype=dtype, endpoint=True)
        x.reshape(-1)[::3] = x.reshape(-1)[0]
        return x
    x = np.round(generator.normal(size=shape) * 40).astype(dtype)
    special = [np.nan, -0.0, 0.0, np.inf, -np.inf, -np.nan, 0.0, 5e-324, -0.0][: x.size // 2]
    x.reshape(-1)[: len(special)] = special
    return x


def stable_order(x: np.ndarray, axis: int, descending: bool) -> np.ndarray:
    """NumPy's stable argsort, also downwards: equal elements in their order."""
    if not descending:
        return np.argsort(x, axis=axis, kind="stable")
    return x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)


def check(
    topk: Callable, x: np.ndarray, k: int, axis: int, there: Callable = lambda x: x, back: Callable[[Any], Any] = lambda x: x
) -> None:
    """The values' very bits (signs of zeros, NaN's too) and the places, sorted and not, largest and smallest."""
    before, given = x.copy(), there(x)
    for largest in (True, False):
        first = np.take(stable_order(x, axis, largest), range(k), axis)
        for is_sorted in (True, False):
            expected = first if is_sorted else np.sort(first, axis)
            values, places = (back(a) for a in topk(given, k, axis, largest, is_sorted))
            assert places.dtype == np.int64 and values.dtype == x.dtype.newbyteorder("=")
            assert np.array_equal(places, expected)
            wanted = np.take_along_axis(x, expected, axis)
            assert values.tobytes() == np.ascontiguousarray(wanted, values.dtype).tobytes()
    assert back(given).tobytes() == before.tobytes()
