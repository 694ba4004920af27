"""The elements of a device array brought to the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kernels.cuda.views import byte_bounds

AFTER_READING: list[Callable[[], None]] = []  # called when a thread has waited for elements: see `kernels.cuda.deferred`
_CALL = 100 << 10  # bytes that are copied in the time that starting one more copy takes


def fetch(array: Any) -> np.ndarray:
    """A C-ordered copy in host memory; waits for the device."""
    host = np.empty(array.shape, array.dtype)
    if host.size:
        block = array.block
        stream = block.runtime.stream(block.device)
        block.use_on(stream)
        _fetch(array, host, stream)
        for check in AFTER_READING:
            check()
    return host


def _fetch(array: Any, host: np.ndarray, stream: Any) -> None:
    """Fill `host`: by one copy of all memory between the first and the last element, or one for each index of the
    outermost axis where the gaps in between would take longer than starting those copies."""
    low, high = byte_bounds(array)
    if high - low == host.nbytes and host.flags.c_contiguous and array.flags.c_contiguous:
        array.block.runtime.to_host(host, low, stream)
        return
    strides = array.strides
    outer = max(range(array.ndim), key=lambda axis: abs(strides[axis]) if array.shape[axis] > 1 else 0, default=0)
    if array.ndim and strides[outer] and array.shape[outer] > 1:
        index = (slice(None),) * outer
        first, last = byte_bounds(array[(*index, 0)])
        if array.shape[outer] * (last - first + _CALL) < high - low:
            for i in range(array.shape[outer]):
                part = (*index, i, ...)
                _fetch(array[part], host[part], stream)
            return
    memory = np.empty(high - low, np.uint8)
    array.block.runtime.to_host(memory, low, stream)
    host[...] = np.ndarray(array.shape, array.dtype, memory, array.pointer - low, strides)  # type: ignore[arg-type]
