"""Searching sorted arrays on the GPU."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kernels.cuda.array import DeviceArray, empty
from kernels.cuda.compiler import Kernel, Template
from kernels.cuda.data import copy
from kernels.cuda.searching_kernels import search_sorted

_INT64 = np.dtype(np.int64)
_THREADS = 256
_searching = Template(search_sorted, name="searchsorted")


def searchsorted(x: DeviceArray, wanted: DeviceArray, right: bool = False) -> DeviceArray:
    """For each wanted value how many elements of the sorted vector x are smaller (right: or equal), as int64.

    Both have the same dtype. NaN counts as larger than every number and equal to itself.
    """
    if x.ndim != 1 or x.dtype != wanted.dtype:
        raise ValueError(f"searchsorted: needs a vector and values of its type, got {x.shape} {x.dtype} and {wanted.dtype}")
    out = empty(wanted.shape, _INT64, x.device)
    if out.size:
        if x.dtype.kind == "b":
            x, wanted = copy(x, np.uint8), copy(wanted, np.uint8)
        x, wanted = _plain(x), _plain(wanted)
        _searching[x.dtype](-(-out.size // _THREADS), x, wanted, out, out.size, x.shape[0], int(right))
    return out


def _plain(x: DeviceArray) -> DeviceArray:
    return x if x.flags.c_contiguous and x.flags.aligned else copy(x)


VARIANTS: list[Callable[[], Kernel]] = [
    *(lambda dtype=dtype: _searching[np.dtype(dtype)] for dtype in ("float32", "float64", "int64", "uint8")),
]
PROMISES: dict[str, tuple[str, ...]] = {}
