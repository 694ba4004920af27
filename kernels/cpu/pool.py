"""Pooling on the CPU: the largest or the mean element of each window, and their gradients."""

from __future__ import annotations

from math import prod

import numpy as np

from kernels import memory
from kernels.cpu import pool_kernels
from kernels.cpu.compiler import Template
from kernels.cpu.data import copy
from kernels.pooling import Windows, check, check_places

_INT64 = np.dtype(np.int64)
_bounds = [pool_kernels.begin_of, pool_kernels.end_of]
_max = Template(pool_kernels.max_pool, [pool_kernels.first_inside, *_bounds])
_max_gradient = Template(pool_kernels.max_pool_gradient)
_avg = Template(pool_kernels.avg_pool, _bounds)
_avg_gradient = Template(pool_kernels.avg_pool_gradient, _bounds)


def max_pool(x: np.ndarray, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """The largest element of each window, and where in its plane it stood: int64, counted along the last axes in C order.

    Of equal elements the first counts; NaN counts as larger than every number.

    >>> import numpy as np
    >>> from kernels import pooling
    >>> from kernels.cpu.pool import max_pool
    >>> max_pool(np.array([3.0, 1.0, 4.0, 4.0]), pooling.windows("max_pool", (4,), (2,), (2,), (0,), (1,)))
    (array([3., 4.]), array([0, 2]))
    """
    check("max_pool", "x", x, windows.x_shape)
    out, places = memory.empty(windows.out_shape, x.dtype), memory.empty(windows.out_shape, _INT64)
    if out.size:
        rows = windows.planes * windows.positions[0] * windows.positions[1]
        _max[x.dtype](rows, _plain(x), out, places, *windows.numbers, work=2 * max(out.size, x.size) // rows + 1)
    return out, places


def max_pool_backward(g: np.ndarray, places: np.ndarray, windows: Windows) -> np.ndarray:
    """Zeros like the input, with every window's g added where its largest element stood."""
    check("max_pool_backward", "g", g, windows.out_shape)
    check_places("max_pool_backward", places, g)
    out = memory.empty(windows.x_shape, g.dtype)
    if out.size:
        size = prod(windows.sizes)
        if places.size and not (int(places.min()) >= 0 and int(places.max()) < size):
            raise ValueError(f"max_pool_backward: places must lie between 0 and {size - 1}, as max_pool gives them")
        _max_gradient[g.dtype](
            windows.planes, _plain(g), _plain(places), out, prod(windows.positions), size, work=size + 2 * prod(windows.positions)
        )
    return out


def avg_pool(x: np.ndarray, windows: Windows, divisor: int = 0, count_padding: bool = True) -> np.ndarray:
    """The sum of each window by its number of elements, those outside the input too if `count_padding`; or by a divisor."""
    check("avg_pool", "x", x, windows.x_shape)
    out = memory.empty(windows.out_shape, x.dtype)
    if out.size:
        rows = windows.planes * windows.positions[0] * windows.positions[1]
        work = 2 * max(out.size, x.size) // rows + 1
        _avg[x.dtype](rows, _plain(x), out, int(divisor), int(count_padding), *windows.numbers, work=work)
    return out


def avg_pool_backward(g: np.ndarray, windows: Windows, divisor: int = 0, count_padding: bool = True) -> np.ndarray:
    """The gradient by the input of `avg_pool` from that by its result."""
    check("avg_pool_backward", "g", g, windows.out_shape)
    out = memory.empty(windows.x_shape, g.dtype)
    if out.size:
        work = 2 * max(prod(windows.sizes), prod(windows.positions))
        _avg_gradient[g.dtype](
            windows.planes, _plain(g), out, int(divisor), int(count_padding), *windows.numbers, work=work
        )
    return out


def _plain(x: np.ndarray) -> np.ndarray:
    """The array in C order, native and aligned."""
    return x if x.flags.c_contiguous and x.flags.aligned and x.dtype.isnative else copy(x)
