"""Searching sorted arrays on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels import memory
from kernels.cpu.compiler import Template
from kernels.cpu.data import copy
from kernels.cpu.searching_kernels import search_sorted

_INT64 = np.dtype(np.int64)

_searching = Template(search_sorted, name="searchsorted")


def searchsorted(x: np.ndarray, wanted: np.ndarray, right: bool = False) -> np.ndarray:
    """For each wanted value how many elements of the sorted vector x are smaller (right: or equal), as int64.

    Both have the same dtype. NaN counts as larger than every number and equal to itself.
    """
    if x.ndim != 1 or x.dtype != wanted.dtype:
        raise ValueError(f"searchsorted: needs a vector and values of its type, got {x.shape} {x.dtype} and {wanted.dtype}")
    out = memory.empty(wanted.shape, _INT64)
    if out.size:
        x, wanted = _plain(x), _plain(wanted)
        _searching[x.dtype](out.size, x, wanted, out, x.shape[0], int(right), work=40 * x.shape[0].bit_length())
    return out


def _plain(x: np.ndarray) -> Any:
    """The array in C order, native and aligned; bool as bytes."""
    straight = x.flags.c_contiguous and x.flags.aligned and x.dtype.isnative
    x = x if straight else copy(x)
    return x.view(np.uint8) if x.dtype.kind == "b" else x
