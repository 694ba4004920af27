"""Gather, put, scatter-add and masked selection on the GPU: the functions of `kernels.cpu.index`.

Results are the same bits from run to run: places that occur more than once are sorted, and each element has one writer. An
index out of range is found by a kernel: see `kernels.cuda.deferred`; until it is reported it stands for index 0. `nonzero`
waits for the device, for the shape of its result depends on the elements.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from typing import Any

import numpy as np

from kernels import index as neutral
from kernels.cuda import deferred
from kernels.cuda.array import DeviceArray, empty
from kernels.cuda.compiler import Kernel, Template
from kernels.cuda.data import broadcast, copy, fill, from_pairs, pairs
from kernels.cuda.elementwise import apply  # noqa: F401  (kernels.index calls apply, broadcast and copy of this module)
from kernels.cuda.index_kernels import (
    CHUNK,
    count_true,
    gather_elements,
    gather_vectors,
    number_of_thread,
    put_elements,
    put_vectors,
    quotient,
    sum_segments,
    wrap_index,
    write_true,
)
from kernels.cuda.scans import cumulative_sum
from kernels.cuda.sorting import sort_with_places
from kernels.layout import layout_of

_here = sys.modules[__name__]
_THREADS = 256


def _blocks(items: int) -> int:
    return -(-items // _THREADS)


def _contiguous(array: DeviceArray) -> DeviceArray:
    return array if layout_of(array).contiguous else copy(array)


def wrap_indices(
    index: DeviceArray, size: int, axis: int = 0, shape: tuple[int, ...] = (), negative: bool = True
) -> DeviceArray:
    """Indices for an axis of this size as int64, counted from the front, in C order.

    index: integers of any dtype, from -size (0 unless `negative`) to size - 1; another raises an IndexError that names the
    axis and `shape`, when elements are next brought to the host.
    """
    if not isinstance(index, DeviceArray) or index.dtype.kind not in "iu":
        raise TypeError(f"indices must be an array of integers, got {getattr(index, 'dtype', type(index).__name__)}")
    given = _contiguous(index)
    out = empty(given.shape, neutral.INT64, given.device)
    if not given.size:
        return out
    if not size:
        raise neutral.out_of_range(axis, size, shape, given.numpy().reshape(-1)[0])
    lowest = -size if negative and given.dtype.kind == "i" else 0
    kernel = wrap_index[given.dtype]
    kernel(_blocks(given.size), given, out, deferred.flag_of(given.device), given.size, size, lowest)

    def check() -> None:
        wrong = neutral.first_outside(given.numpy(), lowest, size)
        if wrong is not None:
            raise neutral.out_of_range(axis, size, shape, wrong)

    deferred.expect(given.device, check, "indexing")
    return out


def gather(x: DeviceArray, indices: Sequence[DeviceArray], start: int = 0) -> DeviceArray:
    """x[..., indices, ...]: the elements at checked indices of the axes from `start` on; in C order."""
    neutral.check_indices("gather", x.shape, indices, start)
    if neutral.is_wide(x.dtype):
        return from_pairs(gather(pairs(x), indices, start))
    out = empty(neutral.result_shape(x.shape, indices, start), x.dtype, x.device)
    if out.size:
        x, rows, places = neutral.walked(_here, x, indices, start)
        bits = neutral.bits_of(x.dtype)
        width = _vector_width(x, rows, start, len(indices))
        if width:
            total = out.size // width
            _gather_vectors(width)[bits](
                _blocks(total), x.view(bits), places, out.view(bits), total, rows.count, rows.inner // width, rows.outer_stride,
                rows.step,
            )  # fmt: skip
        else:
            gather_elements[bits](
                _blocks(out.size), x.view(bits), places, out.view(bits), out.size, rows.count, rows.inner, rows.outer_stride,
                rows.step, rows.inner_stride,
            )  # fmt: skip
    return out


def put(
    x: DeviceArray, indices: Sequence[DeviceArray], values: DeviceArray, start: int = 0, unique: bool = False
) -> None:
    """x[..., indices, ...] = values in x's memory; of equal indices the last counts.

    values: of x's dtype, broadcast to the shape that `gather` gives; not in x's memory. unique: the caller knows that no
    index occurs twice.
    """
    neutral.check_indices("put", x.shape, indices, start)
    shape = neutral.result_shape(x.shape, indices, start)
    if not prod(shape):
        return
    if neutral.is_wide(x.dtype):
        return put(pairs(x), indices, pairs(values), start, unique)
    target, rows, places = neutral.walked(_here, x, indices, start)
    value_step = 0 if values.size == 1 else 1
    if value_step:
        values = _contiguous(values if values.shape == shape else broadcast(values, shape))
    keys = order = None
    unique = unique or places.size == 1
    if not unique:
        sizes = x.shape[start : start + len(indices)]
        keys = neutral.places_of(_here, indices, neutral.steps_within(sizes))
        keys, order = sort_with_places(keys.reshape(-1))
    bits = neutral.bits_of(x.dtype)
    width = _vector_width(target, rows, start, len(indices)) if value_step and not values.pointer % 16 else 0
    given = target.view(bits), places, values.view(bits), keys, order
    if width:
        total = prod(shape) // width
        _put_vectors(width).specialised(bits, SORTED=int(not unique), WIDTH=width)(
            _blocks(total), *given, total, rows.count, rows.inner // width, rows.outer_stride, rows.step
        )
    else:
        put_elements.specialised(bits, SORTED=int(not unique))(
            _blocks(prod(shape)), *given, prod(shape), rows.count, rows.inner, rows.outer_stride, rows.step, rows.inner_stride,
            value_step,
        )  # fmt: skip
    if target is not x:
        copy(target, out=x)


def _vector_width(x: DeviceArray, rows: neutral.Rows, start: int, indexed: int) -> int:
    """How many elements 16 bytes hold where all rows are whole vectors of so many, 0 where they are not."""
    width = 16 // x.dtype.itemsize
    steps = (rows.inner, rows.outer_stride if rows.outer > 1 else 0, *layout_of(x).strides[start : start + indexed])
    return 0 if rows.inner_stride != 1 or x.pointer % 16 or any(s % width for s in steps) else width


@cache
def _gather_vectors(width: int) -> Template:
    return Template(gather_vectors, uses=_moving(width), constants={"WIDTH": width})


@cache
def _put_vectors(width: int) -> Template:
    return Template(put_vectors, uses=_moving(width))


def _moving(width: int) -> list[Callable | str]:
    """What moves vectors of so many elements, and finds their place."""
    return [quotient, number_of_thread, f"load_vector = load{width}\nstore_vector = store{width}"]


def scatter_add(
    values: DeviceArray, indices: Sequence[DeviceArray], shape: tuple[int, ...], start: int = 0
) -> DeviceArray:
    """Zeros of a shape with the values added at checked indices: the adjoint of `gather`.

    values: numbers of the shape that `gather` gives from an array of `shape`. What meets at one place is added by the
    threads of one block in an order that depends on the indices alone; rounding errors are carried along.
    """
    neutral.check_indices("scatter_add", shape, indices, start)
    if values.dtype.kind == "c":
        return from_pairs(scatter_add(pairs(values), indices, (*shape, 2), start))
    if values.dtype.kind not in "iuf":
        raise TypeError(f"scatter_add: adds numbers, got {values.dtype}")
    out = empty(shape, values.dtype, values.device)
    if not out.size or not values.size:
        return fill(out, 0)
    end = start + len(indices)
    size, inner = prod(shape[start:end]), prod(shape[end:])
    places = neutral.places_of(_here, indices, neutral.steps_within(shape[start:end]))
    keys, order = sort_with_places(places.reshape(-1))
    columns, threads = _segment_form(inner, out.size)
    tiles = -(-inner // columns)
    sum_segments.specialised(values.dtype, threads=threads, COLUMNS=columns)(
        prod(shape[:end]) * tiles, _contiguous(values), keys, order, out, places.size, size, inner, tiles
    )
    return out


def _segment_form(inner: int, outputs: int) -> tuple[int, int]:
    """(columns, threads) of the blocks that add up: few elements share many threads, for they may have many terms each."""
    columns = min(64, 1 << max(0, inner - 1).bit_length())
    return columns, max(128 if outputs < 1 << 16 else 32, columns)


def nonzero(mask: DeviceArray) -> list[Any]:
    """Where a bool array is True, in C order: an int64 array per axis. Waits for the device."""
    if mask.dtype != np.bool_:
        raise TypeError(f"nonzero: takes a bool array, got {mask.dtype}")
    length, device = mask.size, mask.device
    flat = _contiguous(mask).view(np.uint8)
    walkers = -(-length // CHUNK)
    counts = empty((walkers + 1,), neutral.INT64, device)
    count_true.specialised((), CHUNK=CHUNK)(_blocks(walkers + 1), flat, counts, length, walkers)
    starts = cumulative_sum(counts)
    found = starts[walkers:].item()
    places = empty((found,), neutral.INT64, device)
    if found:
        write_true.specialised((), CHUNK=CHUNK)(_blocks(walkers), flat, starts, places, length, walkers)
    return neutral.unravelled(_here, places, mask.shape)


def _variants() -> list[Callable[[], Kernel]]:
    """Every kernel, for elements of some sizes."""
    made: list[Callable[[], Kernel]] = [
        lambda: count_true.specialised((), CHUNK=CHUNK),
        lambda: write_true.specialised((), CHUNK=CHUNK),
    ]
    for kind in ("int8", "int64", "uint64"):
        made.append(lambda kind=kind: wrap_index[np.dtype(kind)])
    for bits, width in (("u1", 16), ("u2", 8), ("u4", 4), ("u8", 2)):
        made.append(lambda bits=bits, width=width: _gather_vectors(width)[np.dtype(bits)])
        for s in (0, 1):
            made.append(lambda b=bits, w=width, s=s: _put_vectors(w).specialised(np.dtype(b), SORTED=s, WIDTH=w))
    for bits in ("u1", "u4", "u8"):
        made.append(lambda bits=bits: gather_elements[np.dtype(bits)])
        made += [lambda bits=bits, s=s: put_elements.specialised(np.dtype(bits), SORTED=s) for s in (0, 1)]
    for kind, columns, threads in (("f4", 1, 32), ("f4", 1, 128), ("f4", 64, 128), ("f8", 64, 64), ("i8", 4, 128), ("i1", 1, 32)):
        made.append(
            lambda kind=kind, c=columns, t=threads: sum_segments.specialised(np.dtype(kind), threads=t, COLUMNS=c)
        )
    return made


VARIANTS = _variants()
PROMISES: dict[str, tuple[str, ...]] = {
    "gather_vectors[*": ("LDG.E.128", "STG.E.128"),
    "put_vectors[*": ("LDG.E.128", "STG.E.128"),
}
