"""What pooling must give, by loops over windows in NumPy, for the tests of both devices."""

from __future__ import annotations

from itertools import product

import numpy as np

from kernels import pooling

# (shape of the input, kernel sizes, strides, paddings, dilations, ceil_mode), or (shape, sizes wanted)
CASES = [
    ((3, 9), (3,), (2,), (1,), (1,), False),
    ((1, 1), (1,), (1,), (0,), (1,), False),
    ((2, 3, 9, 8), (2, 2), (2, 2), (0, 0), (1, 1), False),
    ((2, 3, 9, 8), (3, 2), (2, 1), (1, 1), (1, 2), True),
    ((2, 9, 8), (3, 3), (2, 2), (1, 1), (1, 1), True),
    ((9, 8), (3, 3), (4, 5), (1, 0), (2, 1), False),
    ((2, 4, 5, 3), (2, 3, 2), (1, 2, 2), (1, 1, 0), (1, 1, 1), True),
    ((2, 33), (5,)),
    ((2, 9, 8), (3, 8)),
    ((2, 9, 8), (4, 11)),
    ((3, 4, 5), (2, 3, 1)),
]


def draw(case, dtype):
    """Numbers with ties, and the windows of a case."""
    x = np.random.default_rng(0).integers(-4, 5, case[0]).astype(dtype)
    if len(case) == 2:
        return x, pooling.adaptive_windows("test", case[0], case[1])
    return x, pooling.windows("test", *case)


def expected_of(x, windows, g=None, divisor=0, padded=True):
    """(largest elements, their places, means, the gradient of the means), in float64."""
    planes = x.reshape(windows.planes, *windows.sizes).astype(np.float64)
    upstream = np.zeros((windows.planes, *windows.positions)) if g is None else g.reshape(windows.planes, *windows.positions)
    best, at, mean = np.empty(upstream.shape), np.empty(upstream.shape, np.int64), np.empty(upstream.shape)
    back = np.zeros(planes.shape)
    for position in product(*map(range, windows.positions)):
        inside, count = [], 1
        for d, p in enumerate(position):
            begin, end, step = _bounds(windows, d, p)
            elements = [i for i in range(begin, end, step) if 0 <= i < windows.sizes[d]]
            inside.append(elements)
            count *= min(end, windows.sizes[d] + windows.before[d]) - begin if padded else len(elements)
        part = planes[np.ix_(range(windows.planes), *inside)]
        flat = part.reshape(windows.planes, -1)
        chosen = flat.argmax(1)
        numbers = np.arange(np.prod(windows.sizes)).reshape(windows.sizes)[np.ix_(*inside)].ravel()
        best[(slice(None), *position)] = flat.max(1)
        at[(slice(None), *position)] = numbers[chosen]
        mean[(slice(None), *position)] = flat.sum(1) / (divisor or count)
        back[np.ix_(range(windows.planes), *inside)] += (
            upstream[(slice(None), *position)].reshape(-1, 1, 1, 1) / (divisor or count)
        )
    shape = windows.out_shape
    return best.reshape(shape), at.reshape(shape), mean.reshape(shape), back.reshape(x.shape)


def _bounds(windows, d, p):
    n, out, k = windows.sizes[d], windows.positions[d], windows.taps[d]
    if not k:
        return p * n // out, -(-(p + 1) * n // out), 1
    begin = p * windows.stride[d] - windows.before[d]
    return begin, begin + (k - 1) * windows.dilation[d] + 1, windows.dilation[d]
