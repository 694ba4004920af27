"""What the tests of indexing by integers ask of the kernels `k` of each device: NumPy's results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

CASES = [
    ((7,), 0, 1), ((4, 5), 0, 1), ((4, 5), 1, 1), ((4, 5, 6), 1, 1), ((4, 5, 6), 0, 2), ((4, 5, 6), 1, 2), ((3, 4, 5, 2), 1, 2),
    ((1, 1), 0, 2), ((33, 7), 0, 1), ((2, 0, 3), 0, 1), ((2, 3, 0), 1, 1),
]  # fmt: skip


def cases():
    for number, (shape, start, count) in enumerate(CASES):
        generator = np.random.default_rng(number)
        shapes = [(3, 1), (4,)] if count == 2 else [(9,)]
        found = [generator.integers(-shape[start + k], shape[start + k], shapes[k]) for k in range(count)]
        yield shape, start, found, (slice(None),) * start + tuple(found), generator


def wrapped(k, indices, shape, start):
    return [k.wrap_indices(k.from_numpy(i), shape[start + n], start + n, shape) for n, i in enumerate(indices)]


def gather_put_and_scatter_add(k, layout, which=slice(None)):
    for shape, start, indices, key, generator in list(cases())[which]:
        stored = generator.normal(size=shape[::-1] if layout == "transposed" else shape).astype(np.float32)
        there = k.from_numpy(stored.copy())
        values, x = (stored.T, there.T) if layout == "transposed" else (stored, there)
        if layout == "backwards":
            values, x = values[::-1], x[::-1]
        on_device = wrapped(k, indices, shape, start)
        expected = values[key]
        assert np.array_equal(k.to_numpy(k.gather(x, on_device, start)), expected)

        source = generator.normal(size=expected.shape).astype(np.float32)
        total = np.zeros(shape)
        np.add.at(total, key, source)
        got = k.to_numpy(k.scatter_add(k.from_numpy(source), on_device, shape, start))
        assert got.dtype == np.float32 and np.allclose(got, total, rtol=1e-6, atol=1e-6)
        whole = k.to_numpy(k.scatter_add(k.from_numpy((source * 9).astype(np.int8)), on_device, shape, start))
        exact = np.zeros(shape, np.int8)
        np.add.at(exact, key, (source * 9).astype(np.int8))
        assert np.array_equal(whole, exact)

        changed = values.copy()
        changed[key] = source
        k.put(x, on_device, k.from_numpy(source), start)
        assert np.array_equal(k.to_numpy(x), changed)
        changed[key] = 5
        k.put(x, on_device, k.from_numpy(np.full(1, 5, np.float32)), start)
        assert np.array_equal(k.to_numpy(x), changed)


def elements_are_moved(k, dtype):
    values = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 100, (5, 3)).astype(dtype)
    index = np.array([4, 0, 4])
    (there,) = wrapped(k, [index], (5, 3), 0)
    assert np.array_equal(k.to_numpy(k.gather(k.from_numpy(values), [there])), values[index])
    x = k.from_numpy(values.copy())
    k.put(x, [there], k.from_numpy(values[:3]))
    values[index] = values[:3].copy()
    assert np.array_equal(k.to_numpy(x), values)


def complex_elements_are_moved_and_added(k, dtype):
    """Those of 16 bytes as two halves, in any memory layout."""
    generator = np.random.default_rng(0)
    stored = (generator.normal(size=(5, 4)) + 1j * generator.normal(size=(5, 4))).astype(dtype)
    index = np.array([4, 0, 4, -2])
    keys: list[tuple[int, Any]] = [(0, index), (1, (slice(None), index % 4))]
    for start, key in keys:
        for turned in (False, True):
            values = np.ascontiguousarray(stored.T).T if turned else stored
            there = k.from_numpy(np.ascontiguousarray(stored.T)).T if turned else k.from_numpy(stored.copy())
            (on_device,) = wrapped(k, [index if start == 0 else index % 4], values.shape, start)
            taken = values[key]
            assert np.array_equal(k.to_numpy(k.gather(there, [on_device], start)), taken)
            total = np.zeros(values.shape, dtype)
            np.add.at(total, key, taken)
            added = k.to_numpy(k.scatter_add(k.from_numpy(taken), [on_device], values.shape, start))
            assert added.dtype == dtype and np.allclose(added, total, rtol=1e-6)
            changed = values.copy()
            for new in (np.arange(taken.size).reshape(taken.shape) * (1 - 2j), np.array(3 + 4j)):
                changed[key] = new
                k.put(there, [on_device], k.from_numpy(new.astype(dtype)), start)
                assert np.array_equal(k.to_numpy(there), changed)


def rows_of_whole_vectors(k, dtype):
    """Rows whose length is a multiple of 16 bytes, and views of them that are not so any more."""
    width = 16 // np.dtype(dtype).itemsize
    generator = np.random.default_rng(width)
    stored = generator.integers(0, 100, (3, 5, 2 * width)).astype(dtype)
    views = [
        lambda a: a, lambda a: a[::-1, ::2], lambda a: a[:, :, 1:], lambda a: a[:, :, :width], lambda a: a[:, :, width - 1 : -1],
        lambda a: a[:, :, ::-1],
    ]  # fmt: skip
    for view, (start, count) in zip(views * 2, ((0, 1), (1, 1), (0, 2)) * 4, strict=True):
        values, there = view(stored.copy()), view(k.from_numpy(stored.copy()))
        sizes = values.shape[start : start + count]
        index = [generator.integers(0, size, 4) for size in sizes]
        key = (slice(None),) * start + tuple(index)
        on_device = wrapped(k, index, values.shape, start)
        assert np.array_equal(k.to_numpy(k.gather(there, on_device, start)), values[key])
        new = generator.integers(0, 100, values[key].shape).astype(dtype)
        values[key] = new
        k.put(there, on_device, k.from_numpy(new), start)
        assert np.array_equal(k.to_numpy(there), values)


def few_and_many_at_one_place(k, count, size):
    """What wins is NumPy's, and what is added up too."""
    generator = np.random.default_rng(count)
    index = generator.integers(0, size, count) // 2
    values = generator.normal(size=count).astype(np.float32)
    (there,) = wrapped(k, [index], (size,), 0)
    expected = np.zeros(size)
    np.add.at(expected, index, values)
    got = k.to_numpy(k.scatter_add(k.from_numpy(values), [there], (size,)))
    assert np.allclose(got, expected, rtol=1e-6, atol=1e-6)
    x, there_x = np.zeros(size, np.float32), k.from_numpy(np.zeros(size, np.float32))
    x[index] = values
    k.put(there_x, [there], k.from_numpy(values))
    assert np.array_equal(k.to_numpy(there_x), x)


def long_sums_are_accurate_and_the_same_each_time(k, count):
    for inner in (1, 3):
        values = np.random.default_rng(0).uniform(0, 1, (count, inner)).astype(np.float32)
        (there,) = wrapped(k, [np.zeros(count, np.int64)], (2,), 0)
        runs = [k.to_numpy(k.scatter_add(k.from_numpy(values), [there], (2, inner))) for _ in range(2)]
        assert runs[0].tobytes() == runs[1].tobytes()
        assert np.allclose(runs[0][0], values.sum(0, dtype=np.float64), rtol=1.2e-7, atol=0) and not runs[0][1].any()
    for special in ([np.inf, 1.0], [np.inf, -np.inf], [np.nan, 1.0], [3e38, 3e38]):
        values = np.array(special, np.float32)
        (there,) = wrapped(k, [np.zeros(2, np.int64)], (1,), 0)
        with np.errstate(all="ignore"):
            expected = values[0] + values[1]
        assert np.array_equal(k.to_numpy(k.scatter_add(k.from_numpy(values), [there], (1,)))[0], expected, equal_nan=True)


def nonzero(k, length):
    mask = np.random.default_rng(length).random(length) < 0.4
    sparse = mask & (np.arange(length) % 50 == 7)
    for given in (mask, mask[::-1], mask[1:], sparse, np.zeros_like(mask), np.ones_like(mask)):
        assert np.array_equal(k.to_numpy(k.nonzero(k.from_numpy(given))[0]), np.nonzero(given)[0])
    if length % 4 == 0:
        grid = mask.reshape(2, -1, 2)
        for got, expected in zip(k.nonzero(k.from_numpy(grid)), np.nonzero(grid), strict=True):
            assert np.array_equal(k.to_numpy(got), expected)


def indices_are_checked(k):
    for dtype, bad, size in (("i8", [0, 5], 5), ("i1", [-6], 5), ("u1", [255], 5), ("u8", [2**64 - 1], 5), ("i4", [0], 0)):
        with pytest.raises(IndexError, match=rf"index {bad[-1]} is out of range for axis 1 of size {size} \(shape \(2, {size}\)\)"):
            k.to_numpy(k.wrap_indices(k.from_numpy(np.array(bad, dtype)), size, 1, (2, size)))
    with pytest.raises(IndexError, match="index -1 is out of range"):
        k.to_numpy(k.wrap_indices(k.from_numpy(np.array([-1])), 3, 0, (), False))
    with pytest.raises(TypeError, match="indices must be an array of integers, got float64"):
        k.wrap_indices(k.from_numpy(np.zeros(2)), 3)
    (index,) = wrapped(k, [np.array([0])], (3,), 0)
    with pytest.raises(ValueError, match=r"gather: 1 index arrays from axis 1 on do not fit an array of shape \(3,\)"):
        k.gather(k.from_numpy(np.zeros(3)), [index], 1)
    with pytest.raises(TypeError, match="gather: index arrays must be int64, got int32"):
        k.gather(k.from_numpy(np.zeros(3)), [k.from_numpy(np.zeros(1, np.int32))])
    with pytest.raises(TypeError, match="scatter_add: adds numbers, got bool"):
        k.scatter_add(k.from_numpy(np.zeros(1, bool)), [index], (3,))
