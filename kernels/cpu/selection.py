"""Top-k along an axis on the CPU; NaN counts as larger than every number."""

from __future__ import annotations

from math import prod

import numpy as np

from kernels import memory
from kernels.along import checked_axis, checked_count
from kernels.cpu.compiler import Template
from kernels.cpu.selection_kernels import keep_smallest, select_rows
from kernels.cpu.sorting import IMPORTS, SHORT, bits_of, key_rules, order_of, rows_back, rows_of, taken
from kernels.cpu.sorting_kernels import key_of, rank_places

_INT64 = np.dtype(np.int64)
_select = Template(select_rows, [key_of, rank_places, keep_smallest], imports=IMPORTS)


def topk(
    x: np.ndarray, k: int, axis: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """The k largest (or smallest) elements along an axis, and where they stood; of equals the first are chosen.

    In the order that `sort` gives, equals in the order in which they stood; where not `sorted`, all as they stood.

    >>> import numpy as np
    >>> from kernels.cpu.selection import topk
    >>> topk(np.array([3.0, 1.0, 4.0, 4.0]), 2)
    (array([4., 4.]), array([2, 3]))
    """
    place = checked_axis("topk", x, axis)
    count = checked_count("topk", k, x.shape[place], axis)
    rows = rows_of(x, place)
    if sorted and 3 * count > rows.shape[-1]:
        order = order_of(rows, largest)
        values, places = taken(rows, order, count), order[..., :count]
    else:
        values, places = _selected(rows, count, largest, sorted and count <= SHORT)
        if sorted and count > SHORT:
            order = order_of(values, largest)
            values, places = taken(values, order, count), taken(places, order, count)
    return rows_back(values, place), rows_back(places, place)


def _selected(rows: np.ndarray, count: int, largest: bool, in_order: bool) -> tuple[np.ndarray, np.ndarray]:
    """Of each row the elements that go first."""
    unsigned = bits_of(rows.dtype)
    shape, length = rows.shape[:-1], rows.shape[-1]
    values, places = memory.empty((*shape, count), rows.dtype), memory.empty((*shape, count), _INT64)
    if values.size:
        room = min(length, 2 * count + 512)
        keys, buffer = memory.empty((*shape, room), unsigned), memory.empty((*shape, room), _INT64)
        _select[unsigned](
            prod(shape), rows.view(unsigned), keys, buffer, values.view(unsigned), places, length, room, count, int(in_order),
            *key_rules(rows.dtype, bool(largest)), work=2 * length + 20 * room,
        )  # fmt: skip
    return values, places
