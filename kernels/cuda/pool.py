"""Pooling on the GPU: the largest or the mean element of each window, and their gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kernels.cuda import pool_kernels
from kernels.cuda.array import DeviceArray, empty
from kernels.cuda.compiler import Kernel
from kernels.cuda.data import copy
from kernels.pooling import Windows, check, check_places

_INT64 = np.dtype(np.int64)
_THREADS = 256


def max_pool(x: DeviceArray, windows: Windows) -> tuple[DeviceArray, DeviceArray]:
    """The largest element of each window, and where in its plane it stood: int64, counted along the last axes in C order.

    Of equal elements the first counts; NaN counts as larger than every number.
    """
    check("max_pool", "x", x, windows.x_shape)
    out = empty(windows.out_shape, x.dtype, x.device)
    places = empty(windows.out_shape, _INT64, x.device)
    if out.size:
        pool_kernels.max_pool[x.dtype](-(-out.size // _THREADS), _plain(x), out, places, out.size, *windows.numbers)
    return out, places


def max_pool_backward(g: DeviceArray, places: DeviceArray, windows: Windows) -> DeviceArray:
    """Zeros like the input, with every window's g added where its largest element stood."""
    check("max_pool_backward", "g", g, windows.out_shape)
    check_places("max_pool_backward", places, g)
    out = empty(windows.x_shape, g.dtype, g.device)
    if out.size:
        kernel = pool_kernels.max_pool_gradient[g.dtype]
        kernel(-(-out.size // _THREADS), _plain(g), _plain(places), out, out.size, *windows.numbers)
    return out


def avg_pool(x: DeviceArray, windows: Windows, divisor: int = 0, count_padding: bool = True) -> DeviceArray:
    """The sum of each window by its number of elements, those outside the input too if `count_padding`; or by a divisor."""
    check("avg_pool", "x", x, windows.x_shape)
    out = empty(windows.out_shape, x.dtype, x.device)
    if out.size:
        pool_kernels.avg_pool[x.dtype](
            -(-out.size // _THREADS), _plain(x), out, out.size, int(divisor), int(count_padding), *windows.numbers
        )
    return out


def avg_pool_backward(g: DeviceArray, windows: Windows, divisor: int = 0, count_padding: bool = True) -> DeviceArray:
    """The gradient by the input of `avg_pool` from that by its result."""
    check("avg_pool_backward", "g", g, windows.out_shape)
    out = empty(windows.x_shape, g.dtype, g.device)
    if out.size:
        pool_kernels.avg_pool_gradient[g.dtype](
            -(-out.size // _THREADS), _plain(g), out, out.size, int(divisor), int(count_padding), *windows.numbers
        )
    return out


def _plain(x: DeviceArray) -> DeviceArray:
    return x if x.flags.c_contiguous and x.flags.aligned else copy(x)


VARIANTS: list[Callable[[], Kernel]] = [
    (lambda template=template, dtype=dtype: template[np.dtype(dtype)])
    for template in (
        pool_kernels.max_pool, pool_kernels.max_pool_gradient, pool_kernels.avg_pool, pool_kernels.avg_pool_gradient
    )
    for dtype in ("float32", "float64")
]
PROMISES: dict[str, tuple[str, ...]] = {}
