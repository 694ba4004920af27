"""Top-k along an axis on the GPU; NaN counts as larger than every number."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import prod

import numpy as np

from kernels.along import checked_axis, checked_count
from kernels.cuda.array import DeviceArray, empty
from kernels.cuda.compiler import Kernel, Template
from kernels.cuda.selection_kernels import choose_digit, running_sum, select_rows, sought_key
from kernels.cuda.sorting import INT64, key_constants, key_kind, key_source, key_type, order_of, rows_back, rows_of, taken

_SHORT = 1024  # elements of a row that one block sorts at once
_BLOCKS = 1024  # that keep the whole device busy
_STRETCH = 4096  # elements of a block, at least


def topk(
    x: DeviceArray, k: int, axis: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[DeviceArray, DeviceArray]:
    """The k largest (or smallest) elements along an axis, and where they stood; of equals the first are chosen.

    In the order that `sort` gives, equals in the order in which they stood; where not `sorted`, all as they stood.
    """
    place = checked_axis("topk", x, axis)
    count = checked_count("topk", k, x.shape[place], axis)
    rows = rows_of(x, place)
    length = rows.shape[-1]
    if sorted and (length <= _SHORT or 3 * count > length):
        order = order_of(rows, largest)
        values, places = taken(rows, order, count), order[..., :count]
    else:
        keys, places = _selected(rows, count, largest)
        if sorted:
            places = taken(places, order_of(keys, False), count)
        values = taken(rows, places, count)
    return rows_back(values, place), rows_back(places, place)


def _selected(rows: DeviceArray, count: int, largest: bool) -> tuple[DeviceArray, DeviceArray]:
    """The keys and places of the elements of each row that go first, in the order of the row.

    Where there are few rows each is cut into stretches, and of what is chosen of these is chosen again: it is still in the
    order of the row.
    """
    shape, outer = rows.shape[:-1], prod(rows.shape[:-1])
    dtype, key, given, places = rows.dtype, key_type(rows.dtype), rows, None
    while True:
        length = given.shape[-1]
        stretches = max(1, min(_BLOCKS // max(outer, 1), length // max(_STRETCH, 4 * count)))
        keys, chosen = (empty((*shape, stretches * count), t, rows.device) for t in (key, INT64))
        if keys.size:
            kernel = _kernel(dtype, largest and given is rows, given is not rows, length // stretches)
            kernel(outer * stretches, given, places, keys, chosen, length, stretches, count)
        given, places, dtype = keys, chosen, key
        if stretches == 1:
            return keys, chosen


@cache
def _template(kind: str) -> Template:
    return Template(select_rows, uses=[key_source(kind), running_sum, sought_key, choose_digit], name="select_rows")


def _kernel(dtype: np.dtype, descending: bool, given_keys: bool, length: int) -> Kernel:
    threads = 256 if length > 512 else 64
    constants = {"DESCENDING": int(descending), "GIVEN_KEYS": int(given_keys), "WARPS": threads // 32}
    constants |= {"BITS": 8 * key_type(dtype).itemsize, **key_constants(dtype)}
    return _template(key_kind(dtype)).specialised((dtype, key_type(dtype)), threads, **constants)


VARIANTS: list[Callable[[], Kernel]] = [
    lambda dtype=dtype, again=again, length=length: _kernel(np.dtype(dtype), dtype == "float32", again, length)
    for dtype, again, length in (
        ("float32", False, 4096), ("float64", False, 4096), ("int16", False, 512), ("uint32", True, 4096), ("uint64", True, 4096),
        ("bool", False, 4096),
    )
]  # fmt: skip
PROMISES: dict[str, tuple[str, ...]] = {"select_rows[*": ("ATOMS", "SHFL.UP", "BAR")}
