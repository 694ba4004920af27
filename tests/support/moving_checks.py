"""What copying and joining must give on every device, against NumPy; `k` is the device's package."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest

SIZES = ("bool", "int8", "uint16", "float32", "int64", "float64", "complex64", "complex128")


def numbers(dtype: str, *shape: int) -> np.ndarray:
    """Different bytes in every element."""
    count = int(np.prod(shape))
    kind = np.dtype(dtype)
    if kind == np.bool_:
        return (np.random.default_rng(count).random(shape) < 0.5).astype(bool)
    found = np.arange(1, count + 1).reshape(shape)
    return (found + 1j * found[..., ::-1]).astype(kind) if kind.kind == "c" else found.astype(kind)


def _same(k: Any, found: Any, expected: np.ndarray) -> None:
    found = k.to_numpy(found)
    assert found.shape == expected.shape and found.dtype == expected.dtype
    assert found.tobytes() == np.ascontiguousarray(expected).tobytes()


def copies(k: Any, dtype: str, shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    """A copy of a permuted array."""
    x = numbers(dtype, *shape)
    _same(k, k.copy(k.from_numpy(x).transpose(axes)), x.transpose(axes))


def every_order(k: Any, shape: tuple[int, ...]) -> None:
    """Copies of all orders of the axes."""
    for axes in permutations(range(len(shape))):
        copies(k, "float32", shape, axes)


def copies_of_parts(k: Any, rows: int, columns: int) -> None:
    """Views with steps, of parts, in reverse and stretched, and into such views: the rest stays as it was."""
    x = numbers("float32", rows, 2, columns)
    there = k.from_numpy(x)
    steps = [slice(None), slice(3, -1), slice(None, None, -1), slice(-2, 1, -2)]
    for first in steps:
        for last in steps:
            _same(k, k.copy(there[first, :, last].transpose(2, 1, 0)), x[first, :, last].transpose(2, 1, 0))
            target = k.fill(k.empty((columns + 5, 2, rows), np.dtype("f4")), -1)
            expected = np.full((columns + 5, 2, rows), -1, np.float32)
            part = x[first, :, last]
            k.copy(there[first, :, last].transpose(2, 1, 0), out=target[5 : 5 + part.shape[2], :, : part.shape[0]])
            expected[5 : 5 + part.shape[2], :, : part.shape[0]] = part.transpose(2, 1, 0)
            _same(k, target, expected)
            target = k.fill(k.empty((rows, 2, columns), np.dtype("f4")), -1)  # the result is the side that is transposed
            k.copy(there[first, :, last], out=target.transpose(2, 1, 0)[: part.shape[2], :, : part.shape[0]].transpose(2, 1, 0))
            expected = np.full((rows, 2, columns), -1, np.float32)
            expected[: part.shape[0], :, : part.shape[2]] = part
            _same(k, target, expected)
    stretched = k.broadcast(there[:, :1, :], (3, rows, 2, columns)).transpose(3, 1, 2, 0)
    _same(k, k.copy(stretched), np.broadcast_to(x[:, :1], (3, rows, 2, columns)).transpose(3, 1, 2, 0))


def copies_onto_itself(k: Any) -> None:
    """Where both sides share memory, what is read is what was there before."""
    x = numbers("float32", 40, 40)
    there = k.copy(k.from_numpy(x))
    k.copy(there.T, out=there)
    _same(k, there, x.T)
    with pytest.raises(ValueError, match="stretch|broadcast"):
        k.copy(there, out=k.empty((40, 39), np.dtype("f4")))
    readonly = k.broadcast(there, (40, 40))
    with pytest.raises(ValueError, match="read-only"):
        k.copy(k.from_numpy(x).T, out=readonly)


def copies_with_another_dtype(k: Any) -> None:
    """Converted as without a transposition."""
    x = numbers("int64", 33, 65)
    _same(k, k.copy(k.from_numpy(x).T, np.float32), x.T.astype(np.float32))
    _same(k, k.copy(k.from_numpy(x.astype(np.float32)).T, np.complex64), x.T.astype(np.complex64))


def joins(k: Any, dtype: str, shapes: list[tuple[int, ...]], axis: int) -> None:
    """Arrays of several sizes along an axis, contiguous, transposed and in reverse."""
    pieces = [numbers(dtype, *shape) for shape in shapes]
    _same(k, k.concat([k.from_numpy(p) for p in pieces], axis), np.concatenate(pieces, axis))
    turned = [k.copy(k.from_numpy(p.T)).T for p in pieces]
    _same(k, k.concat(turned, axis), np.concatenate(pieces, axis))
    backwards = [k.from_numpy(p)[::-1] if n % 2 else k.from_numpy(p) for n, p in enumerate(pieces)]
    _same(k, k.concat(backwards, axis), np.concatenate([p[::-1] if n % 2 else p for n, p in enumerate(pieces)], axis))


def joins_write_every_element(k: Any) -> None:
    """Poisoned memory, many pieces, some of them empty, and the same one several times."""
    pieces = [numbers("float32", n % 5, 3) for n in range(40)]
    there = [k.from_numpy(p) for p in pieces]
    _same(k, k.concat([*there, *there[3:6]], 0), np.concatenate([*pieces, *pieces[3:6]], 0))
    empty = [k.from_numpy(np.zeros((2, 0), np.float32))] * 5
    assert k.concat(empty, 1).shape == (2, 0)
    assert k.concat([k.from_numpy(np.zeros((0, 4), np.int8))] * 6, 1).shape == (0, 24)


def joins_are_checked(k: Any) -> None:
    """What does not fit together raises, and says what."""
    a, b = k.from_numpy(np.zeros((2, 3), np.float32)), k.from_numpy(np.zeros((2, 4), np.float32))
    with pytest.raises(ValueError, match=r"float32\(2, 3\), float32\(2, 4\) must agree"):
        k.concat([a, b], 0)
    with pytest.raises(ValueError, match="must agree in dtype"):
        k.concat([a, k.from_numpy(np.zeros((2, 3), np.int32))], 0)
    with pytest.raises(ValueError, match="must agree"):
        k.concat([a, k.from_numpy(np.zeros(3, np.float32))], 0)
    with pytest.raises(ValueError, match="at least one"):
        k.concat([], 0)
    with pytest.raises(ValueError, match="axis 2 of arrays of 2"):
        k.concat([a], 2)
