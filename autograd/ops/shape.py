"""Shapes: views wherever NumPy gives a view, each beside the operation that undoes it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from autograd.ops.base import Operation, normalize_axes, normalize_axis
from autograd.tensor import Tensor
from kernels import backend_for
from kernels.layout import broadcast_shapes


class Reshape(Operation):
    is_view = True
    takes_complex = "itself"

    def forward(self, x, shape):
        self.before = x.shape
        return x.reshape(shape)

    def backward(self, grad):
        return reshape(grad, self.before)


class CopyReshape(Reshape):
    """A reshape that no view can give, because the elements do not lie in that order."""

    is_view = False

    def forward(self, x, shape):
        self.before = x.shape
        return self.backend.copy(x).reshape(shape)


class PermuteDims(Operation):
    is_view = True
    takes_complex = "itself"

    def forward(self, x, axes):
        self.axes = axes
        return x.transpose(axes)

    def backward(self, grad):
        inverse = [0] * len(self.axes)
        for place, axis in enumerate(self.axes):
            inverse[axis] = place
        return permute_dims(grad, tuple(inverse))


class BroadcastTo(Operation):
    is_view = True
    takes_complex = "itself"

    def forward(self, x, shape):
        return self.backend.broadcast(x, shape)

    def backward(self, grad):
        return grad  # the engine sums over what was stretched


class Concat(Operation):
    takes_complex = "itself"

    def forward(self, *arrays, axis):
        self.axis = axis
        self.sizes = [a.shape[axis] for a in arrays]
        return self.backend.concat(arrays, axis)

    def backward(self, grad):
        parts = _slices(self.axis, self.sizes)
        return tuple(grad[part] if edge is not None else None for edge, part in zip(self.inputs, parts, strict=True))


class Flip(Operation):
    is_view = True
    takes_complex = "itself"

    def forward(self, x, axes):
        self.axes = axes
        # With an Ellipsis the view of a 0-d array is an array too, and no NumPy scalar, which has no memory to hand to kernels.
        return x[(..., *(slice(None, None, -1) if a in axes else slice(None) for a in range(x.ndim)))]

    def backward(self, grad):
        return flip(grad, axis=self.axes)


def _slices(axis: int, sizes: Sequence[int]) -> list[tuple]:
    ends = np.cumsum([0, *sizes]).tolist()
    return [(slice(None),) * axis + (slice(a, b),) for a, b in pairwise(ends)]


# --- functions -------------------------------------------------------------------------------------------------------


def reshape(x: Tensor, /, shape: Any = (), *sizes: int, copy: bool | None = None) -> Tensor:
    """The elements in another shape, in C order: a view where the memory allows it, otherwise a copy.

    Args:
        shape: a tuple or several integers; one of them may be -1 and is worked out.
        copy: True copies always, False raises where a copy is needed, None copies only then.

    Raises:
        ValueError: the number of elements would change, more than one size is -1, or a copy is needed and not allowed.

    >>> import autograd as ag
    >>> ag.reshape(ag.arange(6), (2, -1)).shape
    (2, 3)
    """
    wanted = _resolve(x, tuple(int(s.__index__()) for s in _given(shape, sizes)))
    is_view = wanted == x.shape or x._layout.contiguous or _view_reshapes(x._data, wanted)
    if copy is False and not is_view:
        raise ValueError(f"reshape: no view of this tensor of shape {x.shape}, as it lies in memory, has shape {wanted}")
    return (Reshape if is_view and not copy else CopyReshape).apply(x, shape=wanted)


def _given(shape: Any, sizes: tuple[int, ...]) -> tuple:
    """A shape given as one tuple or as several integers."""
    return tuple(shape) if isinstance(shape, (tuple, list)) and not sizes else (shape, *sizes)


def _view_reshapes(array: Any, shape: tuple[int, ...]) -> bool:
    if hasattr(array, "view_reshapes"):
        return array.view_reshapes(shape)
    return backend_for("cpu").may_share_memory(array.reshape(shape), array) if array.size else True


def _resolve(x: Tensor, shape: tuple[int, ...]) -> tuple[int, ...]:
    unknown = [k for k, size in enumerate(shape) if size == -1]
    known = prod(s for s in shape if s != -1)
    if len(unknown) > 1 or any(s < -1 for s in shape):
        raise ValueError(f"reshape: at most one size may be -1 and none below, got {shape}")
    if unknown and known and x.size % known == 0:
        k = unknown[0]
        return (*shape[:k], x.size // known, *shape[k + 1 :])
    if unknown or known != x.size:
        raise ValueError(f"reshape: a tensor of shape {x.shape} has {x.size} elements and cannot take shape {shape}")
    return shape


def permute_dims(x: Tensor, /, axes: Sequence[int]) -> Tensor:
    """The axes in another order; a view.

    >>> import autograd as ag
    >>> ag.permute_dims(ag.zeros((2, 3, 4)), (1, 2, 0)).shape
    (3, 4, 2)
    """
    order = tuple(normalize_axis(a, x.ndim, "permute_dims") for a in axes)
    if sorted(order) != list(range(x.ndim)):
        raise ValueError(f"permute_dims: {tuple(axes)} is no order of the {x.ndim} axes of a tensor of shape {x.shape}")
    return PermuteDims.apply(x, axes=order)


def transpose(x: Tensor, *axes: Any) -> Tensor:
    """The axes in the given order, or reversed: NumPy's `transpose`. With two integers PyTorch's: these are swapped."""
    if not axes or axes == (None,):
        return permute_dims(x, tuple(reversed(range(x.ndim))))
    if len(axes) == 1:
        return permute_dims(x, axes[0])
    if len(axes) == 2:
        return swapaxes(x, *axes)
    return permute_dims(x, axes)


def swapaxes(x: Tensor, axis1: int, axis2: int) -> Tensor:
    """Two axes exchanged; a view."""
    order = list(range(x.ndim))
    a, b = normalize_axis(axis1, x.ndim, "swapaxes"), normalize_axis(axis2, x.ndim, "swapaxes")
    order[a], order[b] = order[b], order[a]
    return PermuteDims.apply(x, axes=tuple(order))


def moveaxis(x: Tensor, source: int | tuple[int, ...], destination: int | tuple[int, ...], /) -> Tensor:
    """Axes moved to new places, the others kept in order; a view."""
    sources = [normalize_axis(a, x.ndim, "moveaxis") for a in np.atleast_1d(source).tolist()]
    places = [normalize_axis(a, x.ndim, "moveaxis") for a in np.atleast_1d(destination).tolist()]
    if len(sources) != len(places) or len(set(sources)) != len(sources) or len(set(places)) != len(places):
        raise ValueError(f"moveaxis: source {source} and destination {destination} must be equally many distinct axes")
    order = [a for a in range(x.ndim) if a not in sources]
    for place, axis in sorted(zip(places, sources, strict=True)):
        order.insert(place, axis)
    return PermuteDims.apply(x, axes=tuple(order))


def matrix_transpose(x: Tensor, /) -> Tensor:
    """The last two axes exchanged; a view."""
    if x.ndim < 2:
        raise ValueError(f"matrix_transpose: needs at least 2 dimensions, got shape {x.shape}")
    return swapaxes(x, -2, -1)


def expand_dims(x: Tensor, /, axis: int | tuple[int, ...] = 0) -> Tensor:
    """New axes of size 1 at the given places of the result; a view."""
    given = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    axes = normalize_axes(given, x.ndim + len(given), "expand_dims")
    sizes = iter(x.shape)
    return Reshape.apply(x, shape=tuple(1 if k in axes else next(sizes) for k in range(x.ndim + len(given))))


def squeeze(x: Tensor, /, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """Without the given axes, which must have size 1 (all such axes if none are given); a view."""
    if axis is None:
        axes = tuple(k for k, size in enumerate(x.shape) if size == 1)
    else:
        axes = normalize_axes(axis, x.ndim, "squeeze")
    wrong = [a for a in axes if x.shape[a] != 1]
    if wrong:
        raise ValueError(f"squeeze: axis {wrong[0]} of a tensor of shape {x.shape} has size {x.shape[wrong[0]]}, not 1")
    return Reshape.apply(x, shape=tuple(s for k, s in enumerate(x.shape) if k not in axes))


def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The axes from start_dim to end_dim as one; a view where possible."""
    if not x.ndim:
        return reshape(x, (1,))
    first, last = normalize_axis(start_dim, x.ndim, "flatten"), normalize_axis(end_dim, x.ndim, "flatten")
    if first > last:
        raise ValueError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    middle = prod(x.shape[first : last + 1])
    return reshape(x, (*x.shape[:first], middle, *x.shape[last + 1 :]))


def ravel(x: Tensor) -> Tensor:
    """All elements in one dimension; a view where possible."""
    return reshape(x, (x.size,))


def broadcast_to(x: Tensor, /, shape: Any, *sizes: int) -> Tensor:
    """The tensor stretched to a shape, without copying: stretched elements are the same memory.

    Special cases:
        the gradients of copies are added up.
    """
    wanted = _given(shape, sizes)
    if broadcast_shapes("broadcast_to", x.shape, wanted) != wanted:
        raise ValueError(f"broadcast_to: a tensor of shape {x.shape} cannot be stretched to {wanted}")
    return BroadcastTo.apply(x, shape=wanted)


def expand(x: Tensor, *shape: Any) -> Tensor:
    """PyTorch's name for `broadcast_to`; -1 keeps a size."""
    wanted = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else tuple(shape)
    missing = len(wanted) - x.ndim
    return broadcast_to(x, tuple(x.shape[k - missing] if s == -1 else s for k, s in enumerate(wanted)))


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """All tensors stretched to their common shape."""
    shape = broadcast_shapes("broadcast_tensors", *(t.shape for t in tensors))
    return tuple(broadcast_to(t, shape) for t in tensors)


def concat(tensors: Sequence[Tensor], /, axis: int | None = 0) -> Tensor:
    """The tensors one after another along an existing axis; None flattens them first.

    Raises:
        ValueError: there are none, or their other sizes differ.

    >>> import autograd as ag
    >>> ag.concat([ag.zeros((2, 3)), ag.ones((1, 3))], axis=0).shape
    (3, 3)
    """
    parts = _same_dtype(tensors, "concat")
    if axis is None:
        parts, axis = [ravel(p) for p in parts], 0
    place = normalize_axis(axis, parts[0].ndim, "concat")
    shapes = {p._layout.shape for p in parts}
    if len({(len(s), s[:place], s[place + 1 :]) for s in shapes}) > 1:
        listed = ", ".join(str(p.shape) for p in parts)
        raise ValueError(f"concat: shapes {listed} must agree in every axis but {axis}")
    return Concat.apply(*parts, axis=place)


def stack(tensors: Sequence[Tensor], /, axis: int = 0) -> Tensor:
    """The tensors, all of one shape, along a new axis.

    >>> import autograd as ag
    >>> ag.stack([ag.zeros(3), ag.ones(3)], axis=1).shape
    (3, 2)
    """
    parts = _same_dtype(tensors, "stack")
    if any(p.shape != parts[0].shape for p in parts):
        raise ValueError(f"stack: all shapes must be equal, got {', '.join(str(p.shape) for p in parts)}")
    place = normalize_axis(axis, parts[0].ndim + 1, "stack")
    return Concat.apply(*(expand_dims(p, place) for p in parts), axis=place)


def _same_dtype(tensors: Sequence[Any], name: str) -> list[Tensor]:
    from autograd.dtypes import result_type
    from autograd.ops.creation import asarray

    parts = [asarray(t) for t in tensors]
    if not parts:
        raise ValueError(f"{name}: needs at least one tensor")
    if len({p._layout.dtype for p in parts}) == 1:
        return parts
    dtype = result_type(*parts)
    return [p if p.dtype == dtype else p.astype(dtype) for p in parts]


def unstack(x: Tensor, /, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis, that axis removed; views."""
    place = normalize_axis(axis, x.ndim, "unstack")
    return tuple(x[(slice(None),) * place + (k,)] for k in range(x.shape[place]))


def split(x: Tensor, sections: int | Sequence[int], axis: int = 0) -> tuple[Tensor, ...]:
    """Parts along an axis, as views: PyTorch's `split`, parts of a given size (the last may be smaller) or sizes."""
    place = normalize_axis(axis, x.ndim, "split")
    total = x.shape[place]
    if isinstance(sections, int):
        if sections < 1:
            raise ValueError(f"split: the size of a part must be at least 1, got {sections}")
        sizes = [min(sections, total - at) for at in range(0, total, sections)] or [0]
    else:
        sizes = list(sections)
        if sum(sizes) != total or min(sizes, default=0) < 0:
            raise ValueError(f"split: sizes {sizes} do not add up to {total}, the size of axis {axis}")
    return tuple(x[part] for part in _slices(place, sizes))


def flip(x: Tensor, /, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """The elements in reverse along the given axes (all, if None); a view."""
    return Flip.apply(x, axes=normalize_axes(axis, x.ndim, "flip"))
