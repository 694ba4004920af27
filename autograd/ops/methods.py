"""Operators and methods of Tensor: each hands over to the function of the same name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from autograd.dtypes import NUMBERS
from autograd.namespace import array_namespace
from autograd.ops import (
    complex_numbers,
    conversion,
    creation,
    cumulative,
    diagonal,
    index,
    linalg,
    nn_ops,
    reduce,
    searching,
    selection,
    shape,
    sorting,
    windows,
)
from autograd.ops import elementwise as ew
from autograd.ops.elementwise import OPERATIONS, Elementwise, short_form
from autograd.ops.inplace import update_in_place
from autograd.tensor import Tensor

_BINARY = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "pow", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
    "lshift": "bitwise_left_shift", "rshift": "bitwise_right_shift",
}  # fmt: skip
_COMPARISONS = {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal"}
_UNARY = {"neg": "negative", "pos": "positive", "abs": "abs", "invert": "bitwise_invert"}
_METHODS = (
    "abs acos acosh asin asinh atan atanh ceil cos cosh erf erfc exp exp2 expm1 floor isfinite isinf isnan log log10 log1p "
    "log2 reciprocal relu round rsqrt sigmoid sign sin sinh sqrt square tan tanh trunc add subtract multiply divide pow "
    "maximum minimum remainder logical_and logical_or logical_xor logical_not equal not_equal less less_equal greater "
    "greater_equal atan2 hypot"
).split()
_INPLACE = "add subtract multiply divide pow sqrt exp relu sigmoid tanh abs negative reciprocal square".split()


def _accepts(other: Any) -> bool:
    """Whether an operand is ours to handle; otherwise Python shall ask the other object."""
    return isinstance(other, Tensor) or type(other) in NUMBERS or hasattr(other, "__array__") \
        or isinstance(other, (list, tuple))


def _forward(operation: Elementwise) -> Callable:
    def otherwise(self, other, /):
        return operation.run((self, other)) if _accepts(other) else NotImplemented

    return short_form(operation, otherwise) or operation


def _reflected(operation: Elementwise) -> Callable:
    def method(self, other, /):
        return operation(other, self) if _accepts(other) else NotImplemented

    return method


def _in_place(operation: Elementwise) -> Callable:
    def method(self, other, /):
        return update_in_place(operation, self, other) if _accepts(other) else NotImplemented

    return method


def _unary(operation: Elementwise) -> Callable:
    return operation.short or (lambda self, /: operation(self))


def _named(operation: Elementwise, arity: int) -> Callable:
    if arity == 1:
        method = _unary(operation)
    else:
        method = lambda self, other: operation(self, other)  # noqa: E731
    return method


def _named_in_place(operation: Elementwise) -> Callable:
    def method(self, *others):
        return update_in_place(operation, self, *others)

    method.__doc__ = f"{operation.name} in the tensor's own memory; see update_in_place."
    return method


def _reduction(function: Callable) -> Callable:
    """The function as a method, which np.sum(x), np.max(x) and the like call with out=None."""

    @functools.wraps(function)
    def method(self, *places, out=None, **options):
        if out is not None:
            raise TypeError(f"{function.__name__}: tensors have no out=; use the result, or y.copy_(x.{function.__name__}())")
        return function(self, *places, **options)

    return method


def _fill(self: Tensor, value: float) -> Tensor:
    """Set every element in place."""
    index.setitem(self, (...,), value)
    return self


def _copy(self: Tensor, source: Any) -> Tensor:
    """Overwrite the elements in place with those of `source`, broadcast and converted, from any device."""
    if isinstance(source, Tensor) and source.device != self.device:
        source = source.to(device=self.device)
    index.setitem(self, (...,), source)
    return self


def _astype(self: Tensor, dtype: Any, *, copy: bool = True, device: str | None = None) -> Tensor:
    """The elements converted to another dtype: `autograd.astype`, with the dtype by keyword too, as NumPy allows."""
    return conversion.astype(self, dtype, copy=copy, device=device)


def clip(x: Tensor, /, min: Any = None, max: Any = None) -> Tensor:
    """Each element brought between two bounds (tensors or numbers, None for none).

    Special cases:
        slope 1 on the bounds.
    """
    if hasattr(x, "call_operation"):  # inside a fused function
        low, high = (float("-inf") if min is None else min), (float("inf") if max is None else max)
        return ew.clip(x, low, high)
    if min is None and max is None:
        return ew.positive(x)
    if x.dtype.kind == "f":
        low, high = (float("-inf") if min is None else min), (float("inf") if max is None else max)
        if isinstance(low, (int, float)) and isinstance(high, (int, float)):
            return ew.clip_scalar(x, lower=float(low), upper=float(high))
        return ew.clip(x, low, high)
    if min is None:
        return ew.minimum(x, max)
    return ew.maximum(x, min) if max is None else ew.clip(x, min, max)


def where(condition: Any, x: Any, y: Any, /) -> Tensor:
    """x where the condition holds, y elsewhere.

    Special cases:
        the gradient goes only to what was chosen.

    >>> import autograd as ag
    >>> ag.where(ag.tensor([True, False]), 1.0, ag.zeros(2))
    tensor([1., 0.], dtype=float32)
    """
    if any(hasattr(o, "call_operation") for o in (condition, x, y)):  # inside a fused function
        return ew.where(condition, x, y)
    condition = creation.asarray(condition)
    if condition.dtype.kind != "b":
        raise TypeError(f"where: the condition must be bool, got {condition.dtype}; compare first, as in where(c != 0, x, y)")
    if not isinstance(x, Tensor) and not isinstance(y, Tensor):
        x = creation.asarray(x)
    return ew.where(condition, x, y)


_OTHERS: dict[str, Any] = {
    "permute": lambda self, *axes: shape.permute_dims(self, axes[0] if len(axes) == 1 else axes),
    "unsqueeze": lambda self, axis: shape.expand_dims(self, axis),
    "view": shape.reshape,
    "clamp": clip,
    "argsort": lambda self, axis=-1, descending=False, stable=True: sorting.argsort(self, axis=axis, descending=descending),
    "copy": conversion.clone,
    "astype": _astype,
    "T": property(lambda self: shape.transpose(self), doc="The axes reversed; a view."),
    "mT": property(shape.matrix_transpose, doc="The last two axes exchanged; a view."),
    "__matmul__": lambda self, other, /: linalg.matmul(self, other) if _accepts(other) else NotImplemented,
    "__rmatmul__": lambda self, other, /: linalg.matmul(other, self) if _accepts(other) else NotImplemented,
    "__getitem__": index.getitem,
    "__setitem__": index.setitem,
    "__array__": conversion.as_numpy_array,
    "__reduce__": conversion.reduce,
    "__deepcopy__": conversion.deepcopy,
    "__copy__": lambda self: self.detach().requires_grad_(self.requires_grad),
    "fill_": _fill,
    "copy_": _copy,
    "zero_": lambda self: _fill(self, 0),
    "contiguous": lambda self: self if self._layout.contiguous else conversion.clone(self),
    "is_contiguous": lambda self: self._layout.contiguous,
    "float": lambda self: conversion.astype(self, "float32", copy=False),
    "double": lambda self: conversion.astype(self, "float64", copy=False),
    "numel": lambda self: self.size,
    "dim": lambda self: self.ndim,
    "cpu": lambda self: conversion.to(self, "cpu"),
    "cuda": lambda self, device=None: conversion.to(self, _cuda_device(device)),
    "real": property(complex_numbers.real),
    "imag": property(complex_numbers.imag),
    "conj": complex_numbers.conj,
    "__dlpack__": conversion.dlpack,
    "__array_namespace__": array_namespace,
    "to_device": conversion.to_device,
    "__dlpack_device__": conversion.dlpack_device,
    "__cuda_array_interface__": property(conversion.cuda_array_interface),
}


def _cuda_device(device: Any) -> str:
    """The name of a CUDA device given as a number, a name or not at all."""
    return "cuda" if device is None else device if isinstance(device, str) else f"cuda:{device.__index__()}"


def bind() -> None:
    """Give Tensor its operators and methods."""
    for name, formula in _BINARY.items():
        operation = OPERATIONS[formula]
        setattr(Tensor, f"__{name}__", _forward(operation))
        setattr(Tensor, f"__r{name}__", _reflected(operation))
        setattr(Tensor, f"__i{name}__", _in_place(operation))
    for name, formula in _COMPARISONS.items():
        setattr(Tensor, f"__{name}__", _forward(OPERATIONS[formula]))
    for name, formula in _UNARY.items():
        setattr(Tensor, f"__{name}__", _unary(OPERATIONS[formula]))
    for name in _METHODS:
        operation = OPERATIONS[name]
        setattr(Tensor, name, _named(operation, len(operation.formula.inputs)))
    for name in _INPLACE:
        setattr(Tensor, f"{name}_", _named_in_place(OPERATIONS[name]))
    for short, formula in {"sub": "subtract", "mul": "multiply", "div": "divide", "neg": "negative"}.items():
        setattr(Tensor, short, _named(OPERATIONS[formula], len(OPERATIONS[formula].formula.inputs)))
        setattr(Tensor, f"{short}_", _named_in_place(OPERATIONS[formula]))
    _bind_functions()


def _bind_functions() -> None:
    for function in (
        reduce.sum, reduce.mean, reduce.prod, reduce.max, reduce.min, reduce.any, reduce.all, reduce.argmax, reduce.argmin,
        cumulative.cumsum, cumulative.cumprod,
    ):  # fmt: skip
        setattr(Tensor, function.__name__, _reduction(function))
    for function in (
        reduce.var, reduce.std, reduce.logsumexp, reduce.norm, shape.reshape, shape.transpose, shape.permute_dims,
        shape.swapaxes, shape.moveaxis, shape.expand_dims, shape.squeeze, shape.flatten, shape.ravel, shape.broadcast_to,
        shape.expand, shape.split, shape.flip, conversion.clone, conversion.numpy, conversion.item,
        conversion.tolist, conversion.to, linalg.matmul, linalg.dot, nn_ops.softmax, nn_ops.log_softmax, clip,
        selection.gather, selection.index_add, selection.index_select, selection.masked_fill, selection.masked_select,
        diagonal.diagonal, diagonal.trace, searching.nonzero, selection.scatter_add, selection.take,
        windows.unfold,
    ):  # fmt: skip
        setattr(Tensor, function.__name__, function)
    for name, value in _OTHERS.items():
        setattr(Tensor, name, value)


bind()
