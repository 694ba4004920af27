"""Matrix products."""

from __future__ import annotations

import math
from typing import Any

from autograd import dtypes
from autograd.mode import grad_mode
from autograd.ops import complex_numbers
from autograd.ops.base import Operation
from autograd.ops.reduce import sum_to_shape
from autograd.ops.shape import expand_dims, matrix_transpose, reshape
from autograd.tensor import Tensor, wrap


class MatMul(Operation):
    """a @ b; the gradients are g @ b.T and a.T @ g, with vectors as the matrices they stand for."""

    fresh = True

    def forward(self, a, b):
        self.vectors = a.ndim == 1, b.ndim == 1
        return self.backend.matmul(a, b)

    def saves(self, needs):
        return needs[1], needs[0]

    def backward(self, grad):
        need_a, need_b = (edge is not None for edge in self.inputs)
        a = self.operand(0) if need_b else None
        b = self.operand(1) if need_a else None
        a_is_vector, b_is_vector = self.vectors
        if a_is_vector:
            grad = expand_dims(grad, -1 if b_is_vector else -2)
        if b_is_vector:
            grad = expand_dims(grad, -1)
        to_a = to_b = None
        if b is not None:
            to_a = grad @ (expand_dims(b, 0) if b_is_vector else matrix_transpose(b))
            to_a = to_a[..., 0, :] if a_is_vector else to_a
        if a is not None:
            to_b = (expand_dims(a, 1) if a_is_vector else matrix_transpose(a)) @ grad
            to_b = to_b[..., 0] if b_is_vector else to_b
        return to_a, to_b


class Linear(Operation):
    """x @ weight.T + bias in one kernel: what a fully connected layer computes."""

    fresh = True

    def forward(self, x, weight, bias=None):
        return self.backend.matmul(x, weight.T, bias=bias)

    def saves(self, needs):
        return (needs[1], needs[0], False)[: len(needs)]

    def backward(self, grad):
        if grad_mode.get():
            return self._by_operations(grad)
        x_edge, weight_edge, *bias_edge = self.inputs
        g, backend = grad._data, self.backend
        rows = _rows(g, backend)  # (N, out)
        to_x = to_weight = to_bias = None
        if x_edge is not None:
            to_x = wrap(backend.matmul(g, self.operand(1)._data))
        if weight_edge is not None:
            to_weight = wrap(backend.matmul(rows.T, _rows(self.operand(0)._data, backend)))
        if bias_edge and bias_edge[0] is not None:
            to_bias = wrap(backend.sum(rows, axis=0))
        return (to_x, to_weight, to_bias)[: len(self.inputs)]

    def _by_operations(self, grad):
        """The same in differentiable operations, for gradients of gradients."""
        need_x, need_weight = self.inputs[0] is not None, self.inputs[1] is not None
        to_x = grad @ self.operand(1) if need_x else None
        to_weight = to_bias = None
        rows = grad if grad.ndim == 2 else reshape(grad, (math.prod(grad.shape[:-1]), grad.shape[-1]))  # (N, out)
        if need_weight:
            x = self.operand(0)
            to_weight = matrix_transpose(rows) @ (x if x.ndim == 2 else reshape(x, (math.prod(x.shape[:-1]), x.shape[-1])))
        if len(self.inputs) > 2 and self.inputs[2] is not None:
            to_bias = sum_to_shape(rows, (grad.shape[-1],), "linear")
        return (to_x, to_weight, to_bias)[: len(self.inputs)]


def _rows(array: Any, backend: Any) -> Any:
    """The array as a matrix of its rows: a view where the memory allows it."""
    if array.ndim == 2:
        return array
    shape = math.prod(array.shape[:-1]), array.shape[-1]
    return (array if array.flags.c_contiguous else backend.copy(array)).reshape(shape)


def matmul(a: Tensor, b: Tensor, /) -> Tensor:
    """The matrix product: of the last two axes, the others broadcast; a 1-D operand is a row (left) or column (right).

    Raises:
        ValueError: the inner sizes differ, or an operand is 0-d.

    >>> import autograd as ag
    >>> ag.matmul(ag.ones((2, 3)), ag.ones((3, 4))).shape
    (2, 4)
    """
    a, b = _same(a, b, "matmul")
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(f"matmul: operands must have at least one dimension, got shapes {a.shape} and {b.shape}")
    return complex_numbers.matmul(a, b) if a.dtype.kind == "c" else MatMul.apply(a, b)


def adjoint(x: Tensor) -> Tensor:
    """The conjugate transposes of matrices; of real ones the transposes, which are views."""
    return matrix_transpose(complex_numbers.conj(x))


def _same(a: object, b: object, name: str) -> tuple[Tensor, Tensor]:
    from autograd.ops.creation import asarray

    left, right = asarray(a), asarray(b)
    if left.dtype != right.dtype:
        dtype = dtypes.promote(left.dtype, right.dtype)
        left, right = left.astype(dtype, copy=False), right.astype(dtype, copy=False)
    return left, right


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight.T + bias.

    Args:
        x: (..., in_features).
        weight: (out_features, in_features).
        bias: (out_features,) or None.

    Returns:
        (..., out_features).
    """
    if weight.ndim != 2 or x.ndim < 1 or x.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"linear: input of shape {x.shape} does not fit the weight of shape {weight.shape}: the input's last size must "
            f"be the weight's second, in_features = {weight.shape[-1] if weight.ndim else '?'}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"linear: bias of shape {bias.shape} does not fit {weight.shape[0]} output features")
    operands = (x, weight) if bias is None else (x, weight, bias)
    if any(o.dtype != x.dtype for o in operands):
        listed = ", ".join(str(o.dtype) for o in operands)
        raise TypeError(f"linear: input and parameters have different dtypes ({listed}); convert with .astype or .to(dtype)")
    return Linear.apply(*operands)


def dot(a: Tensor, b: Tensor) -> Tensor:
    """The inner product of two vectors."""
    if a.ndim != 1 or b.ndim != 1:
        raise ValueError(f"dot: needs two vectors, got shapes {a.shape} and {b.shape}; matmul multiplies matrices")
    return matmul(a, b)


def outer(a: Tensor, b: Tensor, /) -> Tensor:
    """All products of an element of one vector with one of another: (n,), (m,) -> (n, m)."""
    if a.ndim != 1 or b.ndim != 1:
        raise ValueError(f"outer: needs two vectors, got shapes {a.shape} and {b.shape}")
    return expand_dims(a, 1) * expand_dims(b, 0)
