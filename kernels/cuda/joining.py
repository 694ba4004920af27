"""Arrays joined along an axis, on the GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from kernels.cuda.array import DeviceArray, empty, from_numpy
from kernels.cuda.compiler import Kernel
from kernels.cuda.data import copy
from kernels.cuda.joining_kernels import join_rows
from kernels.joining import Joint, joint
from kernels.layout import layout_of

_THREADS = 256
_FEW = 3  # arrays: as many launches cost no more than bringing a table of addresses there
_LARGE = 1 << 18  # bytes of a piece: then vectors are worth more than launches cost


def concat(arrays: Sequence[DeviceArray], axis: int = 0) -> DeviceArray:
    """The arrays, of one dtype, one after the other along an axis; in C order, each written once.

    Many small ones are joined in one launch, few or large ones in one launch each.

    Raises:
        ValueError: there are none, or their dtypes or other sizes differ.
        RuntimeError: they are on several devices.
    """
    found = joint(arrays, axis)
    devices = {a.device for a in arrays}
    if len(devices) > 1:
        raise RuntimeError(f"concat: arrays are on {' and '.join(sorted(devices))}; bring them to one device")
    out = empty(found.shape, arrays[0].dtype, arrays[0].device)
    if not out.size:
        return out
    if len(arrays) > _FEW and out.nbytes < _LARGE * len(arrays) and all(layout_of(a).contiguous for a in arrays):
        _join(arrays, found, out)
    else:
        for array, place in zip(arrays, found.places(axis), strict=True):
            if array.size:
                copy(array, out=out[place])
    return out


def _join(arrays: Sequence[DeviceArray], found: Joint, out: DeviceArray) -> None:
    """One launch for all."""
    stream = out.block.runtime.stream(out.block.device)
    for array in arrays:
        if array.block.stream is not stream:
            array.block.use_on(stream)
    words = 2 if out.itemsize == 16 else 1  # complex numbers of 16 bytes are moved as two words
    table = from_numpy(np.array([*[a.pointer for a in arrays], *found.starts], np.int64), out.device)
    target = out.as_pairs() if words == 2 else out
    total = out.size * words
    kernel = join_rows[np.dtype(f"u{target.itemsize}")]
    kernel(-(-total // _THREADS), table, target, len(arrays), found.inner * words, total)


VARIANTS: list[Callable[[], Kernel]] = [lambda item=item: join_rows[np.dtype(f"u{item}")] for item in (1, 2, 4, 8)]
PROMISES: dict[str, tuple[str, ...]] = {}
