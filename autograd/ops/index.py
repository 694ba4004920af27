"""Basic indexing: integers, slices, None and Ellipsis. The result is a view; its adjoint writes into zeros."""

from __future__ import annotations

from typing import Any

import numpy as np

from autograd.mode import grad_mode
from autograd.ops.base import Operation
from autograd.ops.inplace import check_may_record, count_change, move_to
from autograd.tensor import Tensor
from kernels import backend_for


class GetItem(Operation):
    is_view = True

    def forward(self, x, key):
        self.key, self.before = key, x.shape
        return _as_array_view(x[key], x, key)

    def backward(self, grad):
        return scatter_slice(grad, self.key, self.before)


class ScatterSlice(Operation):
    """The adjoint of basic indexing: zeros, with the elements at the key's place."""

    def forward(self, x, key, shape):
        self.key = key
        out = self.backend.fill(self.backend.empty(shape, x.dtype), 0)
        self.backend.copy(x, out=_as_array_view(out[key], out, key))
        return out

    def backward(self, grad):
        return grad[self.key]


class SetItem(Operation):
    """x with the elements at a key replaced by values."""

    def forward(self, x, values, key):
        self.key = key
        self.backend.copy(values, out=_as_array_view(x[key], x, key))
        return x

    def backward(self, grad):
        rest = grad.clone()
        setitem(rest, self.key, 0.0)
        return rest, grad[self.key]


def _as_array_view(view: Any, base: Any, key: tuple) -> Any:
    """NumPy gives a scalar, not a view, for an element; ask for it as a 0-d view."""
    return base[(*key, ...)] if not isinstance(view, type(base)) else view


def _basic_key(key: Any, x: Tensor, name: str) -> tuple:
    """The key as a tuple of integers, slices, None and Ellipsis, checked against the shape."""
    parts = key if isinstance(key, tuple) else (key,)
    checked, used = [], 0
    ellipses = sum(p is Ellipsis for p in parts)
    if ellipses > 1:
        raise IndexError(f"{name}: at most one Ellipsis, got {key!r}")
    wanted = sum(p is not None and p is not Ellipsis for p in parts)
    if wanted > x.ndim:
        raise IndexError(f"{name}: {wanted} indices for a tensor of shape {x.shape}, which has {x.ndim} dimensions")
    for part in parts:
        if part is None or part is Ellipsis:
            checked.append(part)
            used = x.ndim - (wanted - used) if part is Ellipsis else used
            continue
        checked.append(_one_index(part, x.shape[used], used, x, name))
        used += 1
    return tuple(checked)


def _one_index(part: Any, size: int, axis: int, x: Tensor, name: str) -> Any:
    if isinstance(part, slice):
        bounds = [b if b is None else b.__index__() for b in (part.start, part.stop, part.step)]
        if bounds[2] == 0:
            raise ValueError(f"{name}: the step of a slice must not be 0")
        return slice(*bounds)
    is_bool = isinstance(part, (bool, np.bool_)) or getattr(part, "dtype", None) == np.bool_
    if is_bool or not hasattr(part, "__index__") or getattr(part, "ndim", 0):
        raise TypeError(
            f"{name}: indices are integers, slices, None and Ellipsis, got {type(part).__name__}; this version has no "
            "indexing by arrays or masks (autograd.where selects by a mask)"
        )
    index = part.__index__()  # pyright: ignore[reportAttributeAccessIssue]
    if not -size <= index < size:
        raise IndexError(f"{name}: index {index} is out of range for axis {axis} of size {size} (shape {x.shape})")
    return index


def getitem(x: Tensor, key: Any) -> Tensor:
    """`x[key]` for integers, slices of any step, None and Ellipsis: a view.

    Raises:
        IndexError: an index is out of range, or there are too many.
        TypeError: an index is of another kind.
    """
    return GetItem.apply(x, key=_basic_key(key, x, "getitem"))


def scatter_slice(x: Tensor, key: tuple, shape: tuple[int, ...]) -> Tensor:
    """Zeros of the given shape with `x` at `key`: what undoes `getitem`."""
    return ScatterSlice.apply(x, key=key, shape=shape)


def setitem(x: Tensor, key: Any, values: Any) -> None:
    """`x[key] = values` in x's own memory, recorded where x or the values require grad."""
    from autograd.ops.creation import asarray

    place = _basic_key(key, x, "setitem")
    if x.dtype.kind in "iu" and type(values) in (int, float):
        bounds = np.iinfo(x.dtype)
        if values != values or not bounds.min <= values <= bounds.max:
            raise OverflowError(f"setitem: the number {values} is out of bounds for {x.dtype}")
    given = values if isinstance(values, Tensor) else asarray(values, dtype=x.dtype)
    if given.dtype != x.dtype:
        given = given.astype(x.dtype)
    shape = _as_array_view(x._data[place], x._data, place).shape
    sizes = zip(reversed(given.shape), reversed(shape), strict=False)
    if given.ndim > len(shape) or any(mine not in (1, size) for mine, size in sizes):
        raise ValueError(f"setitem: values of shape {given.shape} do not fit the place of shape {shape}")
    if given.device != x.device:
        if given.size != 1 or isinstance(values, Tensor):
            raise RuntimeError(f"setitem: the values are on {given.device}, the tensor on {x.device}; use .to(device)")
        given = given.to(x.device)
    if backend_for(x.device).may_share_memory(given._data, x._data):
        given = given.clone()
    recording = grad_mode.get() and (x._edge is not None or given._edge is not None)
    if recording:
        check_may_record(x, "setitem")
    before = Tensor.__new__(Tensor)
    before._data, before._layout, before._edge, before._version = x._data, x._layout, x._edge, None
    if recording:
        move_to(x, SetItem.apply(before, given, key=place)._edge)
    else:
        view = _as_array_view(x._data[place], x._data, place)
        if not view.flags.writeable:
            raise ValueError("setitem: the tensor's memory is read-only (a broadcast view?); change a clone()")
        backend_for(x.device).copy(given._data, out=view)
    count_change(x)
