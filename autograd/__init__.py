"""gradloom's automatic differentiation: tensors that remember how they were made, and gradients of any order.

>>> import autograd as ag
>>> x = ag.tensor([1.0, 2.0], requires_grad=True)
>>> (x.exp() * x).sum().backward()
>>> x.grad
tensor([ 5.4366, 22.1672], dtype=float32)
"""

from autograd.dtypes import (
    bool,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    result_type,
    uint8,
    uint16,
    uint32,
    uint64,
)
from autograd.engine import gradients
from autograd.mode import detect_anomaly, enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from autograd.ops.conversion import astype, clone
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
from autograd.ops.elementwise import OPERATIONS as _OPERATIONS
from autograd.ops.linalg import dot, linear, matmul, outer
from autograd.ops.methods import clip, where
from autograd.ops.nn_ops import dropout, layer_norm, log_softmax, softmax
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
from autograd.tensor import Tensor
