"""How many threads work on a row, and how: decided from its length and layout, before the launch.

A row is read once if the registers of its threads hold it: of a part of a warp or a warp up to 1024 elements, of a block
up to 16384 (half as many where two arrays, or float64, need the registers). See `rows_kernels` and `columns_kernels`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels.cuda.array import BFLOAT16, DeviceArray
from kernels.cuda.compiler import Kernel, Template
from kernels.cuda.data import copy
from kernels.template import names_in, plain_source

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
HALVES = {np.dtype(np.float16): 1, BFLOAT16: 2}
VECTOR_BYTES = 16
_WARP, _SMALL_BLOCK, _LONG_BLOCK, _MOST_THREADS = 32, 256, 1024, 1024
_IN_WARP = 128  # bytes of a row that one thread of a warp holds, at most
_IN_BLOCK = 64  # the same in a block
_COLUMN_BYTES = 64


class RowTemplate(Template):
    """A kernel on rows: S is the type of arrays and T that of numbers, `template.specialised(dtype, ...)` gives both.

    Constants: GROUP, ELEMENTS, WIDTH, SCRATCH as a `Form` has them; HALF, which follows from the dtype; and its own.
    """

    def __init__(self, function: Callable, helpers: Callable[[int], dict[str, Callable]], name: str, **constants: int) -> None:
        form = {"GROUP": 32, "ELEMENTS": 8, "WIDTH": 1, "SCRATCH": 512}
        super().__init__(function, name=name, constants=form | constants)
        self._helpers = helpers

    def types(self, dtypes: Any) -> dict[str, str]:
        dtype = np.dtype(dtypes)
        storage = "uint16" if dtype in HALVES else dtype.name
        return {"T": compute_dtype(dtype).name, "S": storage}

    def _make(self, dtypes: Any, threads: int, constants: dict[str, int]) -> Kernel:
        """The kernel with those helpers that it calls, and that fit its groups."""
        body = plain_source(self.function, self.name)
        sources, needed = [body], names_in(body)
        for name, helper in reversed(self._helpers(constants["GROUP"]).items()):
            if name in needed:
                sources.append(plain_source(helper, name))
                needed |= names_in(sources[-1])
        types = self.types(dtypes)
        constants = {**constants, "HALF": HALVES.get(np.dtype(dtypes), 0)}
        return Kernel(self.name, "\n\n".join(reversed(sources)), self.signature(types), types, threads, constants)


def compute_dtype(dtype: np.dtype) -> np.dtype:
    """What is calculated in: float32 for the types of two bytes."""
    return FLOATS[0] if dtype in HALVES else dtype


@dataclass(frozen=True)
class Form:
    """threads of a block; GROUP of them on a row; ELEMENTS per thread and batch in loads of WIDTH; is one batch a row?"""

    threads: int
    group: int
    elements: int
    width: int
    one_batch: bool

    @property
    def constants(self) -> dict[str, int]:
        """For `RowTemplate.specialised`, with its `threads`."""
        scratch = 2 * self.threads if self.width == 0 else 128
        return dict(threads=self.threads, GROUP=self.group, ELEMENTS=self.elements, WIDTH=max(self.width, 1), SCRATCH=scratch)

    def grid(self, items: int) -> int:
        """Blocks for so many rows."""
        return -(-items // (self.threads // self.group))


def row_form(length: int, dtype: np.dtype, vector: bool, arrays: int = 1) -> Form:
    """The form for rows in one piece.

    Args:
        vector: whether 16-byte loads are possible everywhere.
        arrays: how many arrays of ELEMENTS numbers a thread holds.
    """
    item, size = dtype.itemsize, compute_dtype(dtype).itemsize
    width = VECTOR_BYTES // item if vector else 1
    least = max(width, 32 // item) if vector else 4
    most = _IN_WARP // size
    if arrays > 1 and width == 1:  # a place for each element takes registers, too
        most //= 2
    group = min(_power(-(-length // least)), _WARP)
    elements = least
    while group * elements < length and elements < most:
        elements *= 2
    if group * elements >= length:
        return Form(_SMALL_BLOCK, group, elements, width, True)
    elements = max(_IN_BLOCK // size, width)
    threads = max(_power(-(-length // elements)), 2 * _WARP)
    if threads > _MOST_THREADS * 4 // (size * min(arrays, 2)):
        threads = _LONG_BLOCK if arrays == 1 and size == 4 else _SMALL_BLOCK
        return Form(threads, threads, elements, width, False)
    return Form(threads, threads, elements, width, True)


def row_form_of_sums(length: int, dtype: np.dtype, vector: bool) -> Form:
    """The form for rows of which a thread holds five arrays of ELEMENTS numbers: two of the row, and sums over rows."""
    item, size = dtype.itemsize, compute_dtype(dtype).itemsize
    width = VECTOR_BYTES // item if vector else 1
    elements = max(width, 32 // size)  # twice as many spill on sm_80
    group = _power(-(-length // elements))
    if group <= _WARP:
        return Form(_SMALL_BLOCK, group, elements, width, True)
    if group <= min(_MOST_THREADS // 2, 512):
        return Form(max(group, 64), max(group, 64), elements, width, True)
    return Form(_SMALL_BLOCK, _SMALL_BLOCK, max(_IN_BLOCK // size, width), width, False)


def column_form(length: int, dtype: np.dtype, most: int = 0) -> Form:
    """The form for rows that lie across memory, columns; its width is 0. `most`: elements per thread, at most."""
    most = most or _COLUMN_BYTES // compute_dtype(dtype).itemsize
    elements = min(max(_power(length), 4), most)
    group = min(_power(-(-length // elements)), 16)
    return Form(max(128, 32 * group), group, elements, 0, group * elements >= length)


def _power(n: int) -> int:
    """The smallest power of two that is not below n."""
    return 1 << max(n - 1, 0).bit_length()


def check_floats(name: str, x: Any, halves: bool = True) -> None:
    """Raise TypeError unless x is a device array of a type that row kernels are made for."""
    if not isinstance(x, DeviceArray):
        raise TypeError(f"{name}: expected a device array, got {type(x).__name__}; make one with kernels.cuda.from_numpy(x)")
    if x.dtype in FLOATS or (halves and x.dtype in HALVES):
        return
    known = "float32, float64, float16 and bfloat16" if halves else "float32 and float64"
    raise TypeError(f"{name}: defined for {known}, got {x.dtype}; convert the array with kernels.cuda.copy(x, numpy.float32)")


def described(array: Any) -> str:
    """An argument in a message: type and shape of an array, the class of anything else."""
    if isinstance(array, (DeviceArray, np.ndarray)):
        name = "bfloat16" if array.dtype == BFLOAT16 else array.dtype
        return f"{name}{array.shape}" if isinstance(array, DeviceArray) else f"{name}{array.shape} on the host"
    return type(array).__name__


def unit_rows(x: DeviceArray) -> DeviceArray:
    """A matrix, or a copy of it whose rows have unit stride."""
    if (x.shape[1] > 1 and x.strides[1] != x.itemsize) or x.strides[0] % x.itemsize:
        return copy(x)
    return x


def vectors_fit(columns: int, itemsize: int, *row_strides: int) -> bool:
    """Whether rows of so many elements, these strides (in bytes) apart, can be walked in 16 bytes if the first one can."""
    return not (columns * itemsize % VECTOR_BYTES or any(stride % VECTOR_BYTES for stride in row_strides))
