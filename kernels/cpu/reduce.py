"""Reductions over any axes of any array: sum, mean, var, max, any, logsumexp, norms and their like, on the CPU.

Arguments and results follow the Python Array API standard: `axis` is None (all axes), an integer or a tuple; `keepdims`
leaves reduced dimensions in with size 1. Arrays may have any strides, no elements, or no dimensions. The result is a
new C-ordered array (of no dimensions for a full reduction), NaN and infinity behave as in NumPy, and the bits of a
result do not depend on the number of threads. float32 and float64 everywhere; integers and bool where that makes sense.
"""

from __future__ import annotations

import numpy as np

from kernels.cpu.argreduce import extreme_place
from kernels.cpu.reduce_operations import check_array, run
from kernels.reduction import FLOATS, check_correction, check_order, normalise_axes

Axis = int | tuple[int, ...] | None


def sum(x: np.ndarray, axis: Axis = None, keepdims: bool = False) -> np.ndarray:
    """Sum of the elements; 0 where there are none.

    Blocked and pairwise: ten million float32 ones give exactly ten million. The result of float32 and float64 has the
    array's type, of signed integers and bool int64, of unsigned integers uint64.

    >>> import numpy as np
    >>> from kernels.cpu import reduce
    >>> reduce.sum(np.array([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    array([4., 6.])
    """
    return run("sum", x, axis, keepdims)


def prod(x: np.ndarray, axis: Axis = None, keepdims: bool = False) -> np.ndarray:
    """Product of the elements; 1 where there are none. Types as in `sum`; integers wrap around.

    >>> import numpy as np
    >>> from kernels.cpu import reduce
    >>> reduce.prod(np.array([[1, 2], [3, 4]]), axis=1)
    array([ 2, 12])
    """
    return run("prod", x, axis, keepdims)


def mean(x: np.ndarray, axis: Axis = None, keepdims: bool = False) -> np.ndarray:
    """Arithmetic mean; NaN where there are no elements. float32 and float64 only.

    >>> import numpy as np
    >>> from kernels.cpu import reduce
    >>> reduce.mean(np.array([[1.0, 2.0], [3.0, 4.0]]), axis=1)
    array([1.5, 3.5])
    """
    return run("mean", x, axis, keepdims)


def max(x: np.ndarray, axis: Axis = None, keepdims: bool = False) -> np.ndarray:
    """Largest element; NaN where there is one. ValueError where there are no elements.

    >>> import numpy as np
    >>> from kernels.cpu import reduce
    >>> reduce.max(np.array([[-1.0, -2.0], [3.0, np.nan]]), axis=1)
    array([-1., nan])
    """
    return run("max", x, axis, keepdims)


def min(x: np.ndarray, axis: Axis = None, keepdims: bool = False) -> np.ndarray:
    """Smallest element; NaN where there is one. ValueError where there are no elements.

    >>> import numpy as np
    >>> from kernels.cpu import reduce
    >>> reduce.min(np.array([[1, 2], [4, 3]]), axis=1)
    array([1, 3])
    """
    return run("min", x, axis, keepdims)


def argmax(x: np.ndarray, axis: int | None = None, keepdims: bool = False) -> np.ndarray:
    """Where the largest element stands, as int64: the first of equals, the first NaN where there is one.

    With `axis` None it is the place in the flattened array. ValueError where there are no elements.

    >>> import numpy as np
    >>> from kernels.cpu import reduce
    >>> reduce.argmax(np.array([[1, 5, 5], [9, 2, 3]]), axis=1)
    array([1, 0])
    """
    return extreme_place("argmax", x, axis, keepdims)


def argmin(x: np.ndarray, axis: int | None = None, keepdims: bool = False) -> np.ndarray:
    """Where the smallest element stands, as int64; otherwise as `argmax`.

    >>> import numpy as np
    >>> from kernels.cpu import reduce
    >>> reduce.argmin(np.array([[1, 5, 5], [9, 2, 3]]), axis=1)
    array([0, 1])
    """
    return extreme_place("argmin", x, axis, keepdims)


def any(x: np.ndarray, axis: Axis = None, keepdims: bool = False) -> np.ndarray:
    """Whether any element is not zero (NaN is not); False where there are none.

    >>> import numpy as np
    >>> from kernels.cpu import reduce
    >>> reduce.any(np.array([[0, 0], [0, 3]]), axis=1)
    array([False,  True])
    """
    return run("any", x, axis, keepdims)


def all(x: np.ndarray, axis: Axis = None, keepdims: bool = False) -> np.ndarray:
    """Whether no element is zero; True where there are none.

    >>> import numpy as np
    >>> from kernels.cpu import reduce
    >>> reduce.all(np.array([[1, 2], [0, 3]]), axis=1)
    array([ True, False])
    """
    return run("all", x, axis, keepdims)


def count_nonzero(x: np.ndarray, axis: Axis = None, keepdims: bool = False) -> np.ndarray:
    """How many elements are not zero (NaN is not), as int64.

    >>> import numpy as np
    >>> from kernels.cpu import reduce
    >>> reduce.count_nonzero(np.array([[0, 2], [1, 3]]), axis=1)
    array([1, 2])
    """
    return run("count_nonzero", x, axis, keepdims)


def logsumexp(x: np.ndarray, axis: Axis = None, keepdims: bool = False) -> np.ndarray:
    """log(sum(exp(x))) without overflow: -inf where all elements are -inf or there are none. float32 and float64 only.

    >>> import numpy as np
    >>> from kernels.cpu import reduce
    >>> reduce.logsumexp(np.array([1e4, 1e4])).round(3)
    np.float64(10000.693)
    """
    check_array("logsumexp", x, FLOATS)
    if not x.size:
        return run("logsumexp", x, axis, keepdims)
    return run("logsumexp", x, axis, keepdims, run("max", x, axis))


def var(x: np.ndarray, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> np.ndarray:
    """Variance: the sum of squared deviations from the mean over (number of elements - correction).

    Two passes, over deviations from the first element, so that a large mean costs no digits and equal elements give
    exactly 0. NaN or inf where the number of elements is not larger than the correction. float32 and float64 only.

    >>> import numpy as np
    >>> from kernels.cpu import reduce
    >>> reduce.var(np.array([[1.0, 3.0], [2.0, 2.0]]), axis=1, correction=1)
    array([2., 0.])
    """
    return _spread("var", x, axis, correction, keepdims)


def std(x: np.ndarray, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> np.ndarray:
    """Standard deviation: the square root of `var`.

    >>> import numpy as np
    >>> from kernels.cpu import reduce
    >>> reduce.std(np.array([[1.0, 3.0], [2.0, 2.0]]), axis=1)
    array([1., 0.])
    """
    return _spread("std", x, axis, correction, keepdims)


def _spread(name: str, x: np.ndarray, axis: Axis, correction: float, keepdims: bool) -> np.ndarray:
    check_correction(name, correction)
    check_array(name, x, FLOATS)
    axes = normalise_axes(name, axis, x.ndim)
    if not x.size:
        return run(name, x, axes, keepdims, correction=correction)
    first = np.ascontiguousarray(x[tuple([slice(0, 1) if a in axes else slice(None) for a in range(x.ndim)])])
    shifted_mean = run("shifted_mean", x, axes, False, first)
    return run(name, x, axes, keepdims, first, shifted_mean, correction=correction)


def norm(x: np.ndarray, ord: float = 2, axis: Axis = None, keepdims: bool = False) -> np.ndarray:
    """Vector norm over the axes (all of them by default): (sum |x|**ord)**(1/ord). float32 and float64 only.

    `ord` inf is the largest magnitude, -inf the smallest (ValueError where there are no elements), 0 the number of
    elements that are not zero.

    >>> import numpy as np
    >>> from kernels.cpu import reduce
    >>> float(reduce.norm(np.array([3.0, 4.0]))), float(reduce.norm(np.array([3.0, -4.0]), ord=1))
    (5.0, 7.0)
    """
    check_order(ord)
    check_array("norm", x, FLOATS)
    if ord in (0, 1, 2, np.inf, -np.inf):
        return run(f"norm {ord:g}", x, axis, keepdims)
    return run("norm p", x, axis, keepdims, np.array([ord], x.dtype))
