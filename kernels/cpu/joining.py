"""Arrays joined along an axis, on the CPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernels import memory
from kernels.cpu.data import copy
from kernels.cpu.transposing_kernels import join_rows
from kernels.joining import joint

_FEW, _SMALL = 3, 1 << 16  # arrays, and bytes of the result: few large ones are copied one by one, each by all threads
_WORK_OF_ROW = 64  # what a stretch costs beside its bytes, in elements of plain arithmetic


def concat(arrays: Sequence[np.ndarray], axis: int = 0) -> np.ndarray:
    """The arrays, of one dtype, one after the other along an axis; in C order, each written once.

    Raises:
        ValueError: there are none, or their dtypes or other sizes differ.

    >>> import numpy as np
    >>> from kernels import cpu
    >>> cpu.concat([np.zeros((2, 1)), np.ones((2, 2))], 1)
    array([[0., 1., 1.],
           [0., 1., 1.]])
    """
    found = joint(arrays, axis)
    out = memory.empty(found.shape, arrays[0].dtype.newbyteorder("="))
    if not out.size:
        return out
    are_rows = len(arrays) > _FEW or out.nbytes < _SMALL
    if are_rows and out.dtype == arrays[0].dtype and all(a.flags.c_contiguous for a in arrays):
        # The kernel finds the elements by the arrays' own addresses: asking each array for its data's costs 1 us.
        table = np.array([*map(id, arrays), *found.starts], np.int64)
        items = found.rows * len(arrays)
        work = out.nbytes // (4 * items) + _WORK_OF_ROW
        join_rows[()](items, table, out.reshape(-1).view(np.uint8), len(arrays), found.inner * out.itemsize, work=work)
        return out
    for array, place in zip(arrays, found.places(axis), strict=True):
        copy(array, out=out[place])
    return out
