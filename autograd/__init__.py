"""gradloom's automatic differentiation: tensors that remember how they were made, and gradients of any order.

>>> import autograd as ag
>>> x = ag.tensor([1.0, 2.0], requires_grad=True)
>>> (x.exp() * x).sum().backward()
>>> x.grad
tensor([ 5.4366, 22.1672], dtype=float32)
"""

from types import ModuleType as _Module

from autograd import cuda, fft, linalg
from autograd.check import GradcheckError, gradcheck, gradgradcheck
from autograd.collision import check as _check_for_collision
from autograd.dtypes import (
    bool,
    can_cast,
    complex64,
    complex128,
    finfo,
    float32,
    float64,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    isdtype,
    result_type,
    uint8,
    uint16,
    uint32,
    uint64,
)
from autograd.engine import gradients
from autograd.explain import explain
from autograd.function import Function, once_differentiable
from autograd.functional import (
    checkpoint,
    elementwise_grad,
    grad,
    hessian,
    hessian_vector_product,
    jacobian,
    jvp,
    value_and_grad,
    vjp,
)
from autograd.fuse import fuse
from autograd.mode import detect_anomaly, enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from autograd.namespace import ARRAY_API_VERSION as __array_api_version__
from autograd.namespace import namespace_info as __array_namespace_info__
from autograd.neighbours import watch as _watch_for_neighbours
from autograd.ops.arrange import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    atleast_nd,
    broadcast_arrays,
    broadcast_shapes,
    meshgrid,
    pad,
    repeat,
    roll,
    rot90,
    tile,
)
from autograd.ops.compare import allclose, array_equal, isclose, nan_to_num
from autograd.ops.complex_numbers import conj, imag, real, view_as_complex, view_as_real
from autograd.ops.conversion import astype, clone
from autograd.ops.covariance import corrcoef, cov
from autograd.ops.creation import (
    arange,
    asarray,
    empty,
    empty_like,
    eye,
    from_dlpack,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)
from autograd.ops.cumulative import cumulative_logsumexp, cumulative_prod, cumulative_sum, linear_recurrence
from autograd.ops.diagonal import diag, diag_embed, diagonal, trace, tril, triu
from autograd.ops.distances import cdist
from autograd.ops.einsum import einsum
from autograd.ops.elementwise import (  # every formula of the table but optimizers' updates and losses
    abs,
    acos,
    acosh,
    add,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    bitwise_and,
    bitwise_invert,
    bitwise_left_shift,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    ceil,
    celu,
    copysign,
    cos,
    cosh,
    divide,
    elu,
    equal,
    erf,
    erfc,
    exp,
    exp2,
    expm1,
    floor,
    floor_divide,
    gelu,
    gelu_tanh,
    greater,
    greater_equal,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    hypot,
    isfinite,
    isinf,
    isnan,
    leaky_relu,
    lerp,
    less,
    less_equal,
    log,
    log1p,
    log2,
    log10,
    log_sigmoid,
    logaddexp,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    mish,
    multiply,
    negative,
    nextafter,
    not_equal,
    positive,
    pow,
    prelu,
    reciprocal,
    relu,
    relu6,
    remainder,
    round,
    rsqrt,
    selu,
    sigmoid,
    sign,
    signbit,
    silu,
    sin,
    sinh,
    softplus,
    softshrink,
    softsign,
    sqrt,
    square,
    subtract,
    tan,
    tanh,
    tanhshrink,
    trunc,
    xlogy,
)  # fmt: skip
from autograd.ops.linalg import dot, linear, matmul, outer
from autograd.ops.methods import clip, where
from autograd.ops.nn_ops import dropout, layer_norm, log_softmax, softmax
from autograd.ops.products import cross, kron, tensordot, vecdot
from autograd.ops.random import bernoulli, manual_seed, rand, randint, randn, randperm
from autograd.ops.reduce import (
    all,
    any,
    argmax,
    argmin,
    count_nonzero,
    logsumexp,
    max,
    mean,
    min,
    norm,
    prod,
    std,
    sum,
    var,
)
from autograd.ops.searching import (
    bincount,
    isin,
    nonzero,
    searchsorted,
    unique_all,
    unique_counts,
    unique_inverse,
    unique_values,
)
from autograd.ops.selection import (
    gather,
    index_add,
    index_select,
    masked_fill,
    masked_select,
    one_hot,
    put_along_axis,
    scatter_add,
    take,
    take_along_axis,
)
from autograd.ops.shape import (
    broadcast_tensors,
    broadcast_to,
    concat,
    expand_dims,
    flip,
    matrix_transpose,
    moveaxis,
    permute_dims,
    reshape,
    split,
    squeeze,
    stack,
    swapaxes,
    transpose,
    unstack,
)
from autograd.ops.sorting import argsort, sort, topk
from autograd.ops.statistics import diff, histogram, median, quantile
from autograd.ops.windows import unfold
from autograd.tensor import Tensor

concatenate, cat = concat, concat
pi, e, inf, nan, newaxis = 3.141592653589793, 2.718281828459045, float("inf"), float("nan"), None

__all__ = sorted(name for name, value in globals().items() if not name.startswith("_") and type(value) is not _Module)

_check_for_collision()
_watch_for_neighbours()
