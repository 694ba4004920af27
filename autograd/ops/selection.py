"""Functions that pick and place elements by index: take, gather, scatter-add, masks, one-hot. Kernels: `kernels.index`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autograd.ops.base import normalize_axis
from autograd.ops.index import AddAt, Gather, getitem, put_at
from autograd.ops.place import Place
from autograd.tensor import Tensor, wrap
from kernels import backend_for
from kernels.layout import broadcast_shapes


def _index_for(x: Tensor, index: Any, name: str) -> Tensor:
    """An index as a tensor of integers on x's device; one of the host travels there."""
    from autograd.ops.creation import asarray

    given = index if isinstance(index, Tensor) else asarray(np.asarray(index, np.int64) if _is_empty(index) else index)
    if given.dtype.kind not in "iu":
        raise TypeError(f"{name}: indices must be integers, got {given.dtype}")
    if given.device != x.device and given.device != "cpu":
        raise RuntimeError(f"{name}: the indices are on {given.device}, the tensor on {x.device}; use .to(device)")
    return given


def _is_empty(index: Any) -> bool:
    return isinstance(index, (list, tuple)) and not np.asarray(index).size


def _wrapped(x: Tensor, index: Tensor, axis: int, negative: bool = True) -> Any:
    """The index for an axis of x, checked, as an int64 array on x's device."""
    data = backend_for(index.device).wrap_indices(index._data, x.shape[axis], axis, x.shape, negative)
    return data if index.device == x.device else backend_for(x.device).from_numpy(data)


def along(x: Tensor, index: Tensor, axis: int, negative: bool = True) -> list[Any]:
    """Index arrays for every axis of x that go through an index of x's rank: everywhere its own place but on `axis`."""
    backend = backend_for(x.device)
    found = []
    for k, size in enumerate(index.shape):
        if k == axis:
            found.append(_wrapped(x, index, axis, negative))
        else:
            shape = [size if j == k else 1 for j in range(x.ndim)]
            found.append(backend.from_numpy(np.arange(size).reshape(shape)))
    return found


def take(x: Tensor, indices: Any, /, *, axis: int | None = None) -> Tensor:
    """The slices at the indices of one axis: `x[:, indices]` for axis 1.

    Special cases:
        repeated indices accumulate in the gradient.

    Args:
        indices: integers from -size to size - 1, of any shape, which takes the axis's place.
        axis: may be left out for a tensor of one dimension.

    Raises:
        ValueError: there are several axes and none is named.
        IndexError: an index is out of range (on CUDA when elements are next read).

    >>> import autograd as ag
    >>> ag.take(ag.tensor([10.0, 20.0, 30.0]), ag.tensor([2, 0, 2]))
    tensor([30., 10., 30.], dtype=float32)
    """
    if axis is None and x.ndim != 1:
        raise ValueError(f"take: a tensor of shape {x.shape} needs axis=; x.ravel() first to count through all elements")
    place = normalize_axis(0 if axis is None else axis, x.ndim, "take")
    index = _index_for(x, indices, "take")
    return Gather.apply(x, indices=(_wrapped(x, index, place),), start=place)


def take_along_axis(x: Tensor, indices: Any, /, *, axis: int = -1) -> Tensor:
    """For every position of `indices` the element of x there, but with that index along `axis`: what argsort and argmax give.

    Special cases:
        repeated indices accumulate in the gradient.

    Args:
        indices: integers, of x's rank; sizes but that of `axis` are x's, or 1 in either.

    >>> import autograd as ag
    >>> x = ag.tensor([[3.0, 1.0], [2.0, 4.0]])
    >>> ag.take_along_axis(x, ag.argmax(x, axis=1, keepdims=True), axis=1)
    tensor([[3.],
            [4.]], dtype=float32)
    """
    x, index, place = _beside(x, indices, axis, "take_along_axis")
    return Gather.apply(x, indices=tuple(along(x, index, place)), start=0)


def _beside(x: Tensor, indices: Any, axis: int, name: str) -> tuple[Tensor, Tensor, int]:
    """x and the indices stretched to common sizes everywhere but on the axis."""
    from autograd.ops.shape import broadcast_to

    place = normalize_axis(axis, x.ndim, name)
    index = _index_for(x, indices, name)
    if index.ndim != x.ndim:
        raise ValueError(f"{name}: the indices need the tensor's rank, got shapes {index.shape} and {x.shape}")
    rest = [t.shape[:place] + t.shape[place + 1 :] for t in (x, index)]
    common = broadcast_shapes(name, *rest)
    full = [(*common[:place], t.shape[place], *common[place:]) for t in (x, index)]
    x = x if x.shape == full[0] else broadcast_to(x, full[0])
    return x, index if index.shape == full[1] else broadcast_to(index, full[1]), place


def element_of_rows(x: Tensor, classes: Tensor) -> Tensor:
    """x[n, classes[n]] for every row n; classes are counted from 0, and a negative one is an error."""
    rows = backend_for(x.device).from_numpy(np.arange(x.shape[0]))
    return Gather.apply(x, indices=(rows, _wrapped(x, classes, 1, negative=False)), start=0, unique=True)


def put_along_axis(x: Tensor, indices: Any, values: Any, /, axis: int) -> None:
    """Overwrite, in x's own memory, the elements that `take_along_axis` would give.

    Special cases:
        of repeated places the last value counts, and has the gradient.

    Args:
        values: a number, or a tensor that broadcasts to the shape of `indices`.
    """
    from autograd.ops.index import _values_for

    stretched, index, place = _beside(x, indices, axis, "put_along_axis")
    if stretched is not x:
        raise ValueError(f"put_along_axis: indices of shape {index.shape} do not fit a tensor of shape {x.shape}")
    where = Place((slice(None),) * x.ndim, tuple(along(x, index, place)), tuple(range(x.ndim)))
    put_at(x, where, _values_for(x, values))


def _fitting(x: Tensor, dim: int, index: Any, name: str) -> tuple[Tensor, int]:
    """PyTorch's condition: an index of x's rank, nowhere but on `dim` larger than x."""
    place = normalize_axis(dim, x.ndim, name)
    given = _index_for(x, index, name)
    if given.ndim != x.ndim or any(i > s for k, (i, s) in enumerate(zip(given.shape, x.shape, strict=False)) if k != place):
        raise ValueError(
            f"{name}: an index of shape {given.shape} does not fit a tensor of shape {x.shape}: it needs the same rank, and "
            f"sizes no larger, except in axis {place}"
        )
    return given, place


def gather(x: Tensor, dim: int, index: Any) -> Tensor:
    """PyTorch's `gather`: the result has the shape of `index`, and element [i][j] is x[index[i][j]][j] for dim 0.

    Special cases:
        repeated indices accumulate in the gradient.

    >>> import autograd as ag
    >>> ag.gather(ag.tensor([[1.0, 2.0], [3.0, 4.0]]), 1, ag.tensor([[0, 0], [1, 0]]))
    tensor([[1., 1.],
            [4., 3.]], dtype=float32)
    """
    given, place = _fitting(x, dim, index, "gather")
    return Gather.apply(x, indices=tuple(along(x, given, place)), start=0)


def scatter_add(x: Tensor, dim: int, index: Any, src: Tensor) -> Tensor:
    """x with the elements of `src` added where `gather` with the same index would have taken them.

    Special cases:
        repeated indices accumulate, in the same order every time.

    Args:
        index: integers, of x's rank, no larger than src anywhere, and than x everywhere but on `dim`.

    >>> import autograd as ag
    >>> ag.scatter_add(ag.zeros(3), 0, ag.tensor([0, 0, 2]), ag.tensor([1.0, 2.0, 3.0]))
    tensor([3., 0., 3.], dtype=float32)
    """
    given, place = _fitting(x, dim, index, "scatter_add")
    _check_source(x, src, "scatter_add")
    if src.ndim != x.ndim or any(i > s for i, s in zip(given.shape, src.shape, strict=True)):
        raise ValueError(f"scatter_add: the source of shape {src.shape} is smaller than the index of shape {given.shape}")
    if src.shape != given.shape:
        src = getitem(src, tuple(slice(0, size) for size in given.shape))
    return x + AddAt.apply(src, indices=tuple(along(x, given, place)), shape=x.shape, start=0)


def _check_source(x: Tensor, src: Any, name: str) -> None:
    if not isinstance(src, Tensor) or src.dtype != x.dtype or src.device != x.device:
        got = f"{src.dtype} on {src.device}" if isinstance(src, Tensor) else type(src).__name__
        raise TypeError(f"{name}: the source must be a tensor like x ({x.dtype} on {x.device}), got {got}")


def index_add(x: Tensor, dim: int, index: Any, source: Tensor, *, alpha: float = 1) -> Tensor:
    """x with `alpha` times the slices of `source` added to x's slices at the indices of one axis.

    Special cases:
        repeated indices accumulate, in the same order every time.

    Args:
        index: integers, (n,); source: x's shape, with n in place of the size of `dim`.
    """
    place = normalize_axis(dim, x.ndim, "index_add")
    given = _index_for(x, index, "index_add")
    _check_source(x, source, "index_add")
    wanted = (*x.shape[:place], *given.shape, *x.shape[place + 1 :])
    if given.ndim != 1 or source.shape != wanted:
        raise ValueError(
            f"index_add: an index of shape {given.shape} for axis {place} of a tensor of shape {x.shape} needs one dimension "
            f"and a source of shape {wanted}, got {source.shape}"
        )
    added = AddAt.apply(source, indices=(_wrapped(x, given, place),), shape=x.shape, start=place)
    return x + (added if alpha == 1 else added * alpha)


def masked_select(x: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask is True, in order, as a vector; x and the mask are broadcast.

    On CUDA this waits for the device: the size of the result depends on the mask.

    Special cases:
        the gradient is 0 where nothing was selected.

    >>> import autograd as ag
    >>> x = ag.tensor([1.0, -2.0, 3.0])
    >>> ag.masked_select(x, x > 0)
    tensor([1., 3.], dtype=float32)
    """
    from autograd.ops.shape import broadcast_to

    _check_mask(mask, "masked_select")
    shape = broadcast_shapes("masked_select", x.shape, mask.shape)
    whole = x if x.shape == shape else broadcast_to(x, shape)
    return getitem(whole, mask if mask.shape == shape else broadcast_to(mask, shape))


def masked_fill(x: Tensor, mask: Tensor, value: Any) -> Tensor:
    """x with `value`, a number or a 0-d tensor, where the mask is True; x and the mask are broadcast.

    Special cases:
        the gradient is 0 where x was replaced, also if that was NaN.

    >>> import autograd as ag
    >>> ag.masked_fill(ag.zeros(3), ag.tensor([True, False, True]), -1.0)
    tensor([-1.,  0., -1.], dtype=float32)
    """
    from autograd.ops.elementwise import where
    from autograd.ops.index import _values_for

    _check_mask(mask, "masked_fill")
    given = _values_for(x, value)
    if given.ndim:
        raise ValueError(f"masked_fill: the value must be a number or a 0-d tensor, got shape {given.shape}; use where")
    return where(mask, given, x)


def _check_mask(mask: Any, name: str) -> None:
    if not isinstance(mask, Tensor) or mask.dtype.kind != "b":
        got = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"{name}: the mask must be a bool tensor, got {got}; compare first, as in x != 0")


def one_hot(labels: Any, num_classes: int = -1) -> Tensor:
    """Class indices (...) as rows (..., num_classes) of int64 with a 1 at the class; -1 stands for the largest plus 1.

    Raises:
        IndexError: a label is no class (on CUDA when elements are next read).

    >>> import autograd as ag
    >>> ag.one_hot(ag.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]], dtype=int64)
    """
    from autograd.ops.creation import asarray
    from autograd.ops.reduce import max as max_

    labels = labels if isinstance(labels, Tensor) else asarray(labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"one_hot: class indices must be integers, got {labels.dtype}")
    if num_classes == -1:
        if not labels.size:
            raise ValueError("one_hot: num_classes must be given where there are no labels to find it from")
        num_classes = max_(labels).item() + 1
    elif num_classes < 0:
        raise ValueError(f"one_hot: num_classes must be at least 0, or -1 to find it from the labels, got {num_classes}")
    backend = backend_for(labels.device)
    out = backend.fill(backend.empty((labels.size, num_classes), np.int64), 0)
    flat = backend.copy(labels._data).reshape(labels.size)
    classes = backend.wrap_indices(flat, num_classes, 1, (), False)
    rows = backend.from_numpy(np.arange(labels.size))
    backend.put(out, (rows, classes), backend.from_numpy(np.ones(1, np.int64)), 0, unique=True)
    return wrap(out.reshape((*labels.shape, num_classes)))


def index_select(x: Tensor, dim: int, index: Sequence[int] | Tensor) -> Tensor:
    """PyTorch's name for `take` with an axis.

    Special cases:
        repeated indices accumulate in the gradient.
    """
    return take(x, index, axis=dim)
