"""Manipulation that repeats, moves or surrounds elements: tile, repeat, roll, pad and their like.

Most are compositions of views and one copy, whose derivative rules are there already; `Roll` and `Pad` are adjoint pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autograd.ops.base import Operation, normalize_axis
from autograd.ops.creation import asarray
from autograd.ops.shape import broadcast_tensors, broadcast_to, concat, expand_dims, flip, reshape, swapaxes
from autograd.tensor import Tensor
from kernels import layout

_SMALL = 1 << 18  # bytes: to write less twice takes no longer than to start more kernels
_MODES = ("constant", "edge", "reflect", "symmetric", "wrap")


class Roll(Operation):
    """Elements moved along an axis, those that leave at the end coming in again at the front."""

    fresh = True

    takes_complex = "itself"

    def forward(self, x, shift, axis):
        self.shift, self.axis = shift, axis
        out = self.backend.empty(x.shape, x.dtype)
        before, size = (slice(None),) * axis, x.shape[axis]
        for target, source in ((slice(shift, None), slice(0, size - shift)), (slice(0, shift), slice(size - shift, size))):
            self.backend.copy(x[(*before, source)], out=out[(*before, target)])
        return out

    def backward(self, grad):
        return roll(grad, -self.shift, axis=self.axis)


class Pad(Operation):
    """The elements surrounded by a number; the adjoint is the slice in the middle."""

    takes_complex = "itself"

    def forward(self, x, widths, value):
        self.middle = tuple(slice(a, a + size) for (a, _), size in zip(widths, x.shape, strict=True))
        shape = tuple(a + size + b for (a, b), size in zip(widths, x.shape, strict=True))
        out = self.backend.empty(shape, x.dtype)
        if out.nbytes < _SMALL:
            self.backend.fill(out, value)
        else:  # each element is written once: in front of and behind the middle, axis by axis
            for axis, middle in enumerate(self.middle):
                for side in (slice(0, middle.start), slice(middle.stop, shape[axis])):
                    if side.stop > side.start:
                        self.backend.fill(out[(*self.middle[:axis], side)], value)
        self.backend.copy(x, out=out[(*self.middle, ...)])
        return out

    def backward(self, grad):
        return grad[self.middle]


# --- repeated ----------------------------------------------------------------------------------------------------------


def tile(x: Tensor, repetitions: Sequence[int] | int, /) -> Tensor:
    """The tensor repeated as a block along each axis; missing numbers or axes are ones, put in front.

    Special cases:
        the gradients of copies are added up.

    >>> import autograd as ag
    >>> ag.tile(ag.tensor([1, 2]), (2, 2))
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]], dtype=int64)
    """
    counts = tuple(repetitions) if isinstance(repetitions, (tuple, list)) else (repetitions,)
    counts = tuple(_count(c, "tile") for c in counts)
    counts = (1,) * (x.ndim - len(counts)) + counts
    shape = (1,) * (len(counts) - x.ndim) + x.shape
    apart = reshape(x, tuple(size for s in shape for size in (1, s)))  # (1, s0, 1, s1, ...)
    wide = broadcast_to(apart, tuple(size for c, s in zip(counts, shape, strict=True) for size in (c, s)))
    return _own(reshape(wide, tuple(c * s for c, s in zip(counts, shape, strict=True))), x)


def repeat(x: Tensor, repeats: int | Sequence[int] | Tensor, /, *, axis: int | None = None) -> Tensor:
    """Each element (each slice along `axis`) repeated in place; without an axis those of the flattened tensor.

    Special cases:
        the gradients of copies are added up.

    Args:
        repeats: how often: one number for all, or one for each slice, as a tensor or a sequence.

    Raises:
        ValueError: a number is negative, or there is not one for each slice.

    >>> import autograd as ag
    >>> ag.repeat(ag.tensor([1, 2]), 2), ag.repeat(ag.tensor([1, 2]), ag.tensor([3, 1]))
    (tensor([1, 1, 2, 2], dtype=int64), tensor([1, 1, 1, 2], dtype=int64))
    """
    if axis is None:
        x, axis = reshape(x, (x.size,)), 0
    place = normalize_axis(axis, x.ndim, "repeat")
    size, front, back = x.shape[place], x.shape[:place], x.shape[place + 1 :]
    if isinstance(repeats, Tensor):
        counts = _whole(repeats.detach().cpu().numpy())
    elif isinstance(repeats, (tuple, list, np.ndarray)):
        counts = _whole(np.asarray(repeats, dtype=None if len(repeats) else np.int64))
    else:
        counts = np.array(_count(repeats, "repeat"))
    if counts.ndim > 1 or counts.size not in (1, size):
        raise ValueError(f"repeat: needs one number, or {size} of them for axis {axis} of {x.shape}, got {counts.shape}")
    if counts.size and int(counts.min()) < 0:
        raise ValueError(f"repeat: a number of repetitions is negative: {int(counts.min())}")
    if counts.size == 1:
        count = int(counts.reshape(())[()])
        wide = broadcast_to(expand_dims(x, place + 1), (*front, size, count, *back))
        return _own(reshape(wide, (*front, size * count, *back)), x)
    from autograd.ops.selection import take

    index = np.repeat(np.arange(size), counts)  # the slice that each slice of the result is
    return take(x, asarray(index, device=x.device), axis=place)


def _whole(counts: np.ndarray) -> np.ndarray:
    if counts.dtype.kind not in "iu":
        raise TypeError(f"repeat: the numbers of repetitions must be integers, got {counts.dtype}")
    return counts.astype(np.int64)


def _count(value: Any, name: str) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}: a number of repetitions must be an integer, got {value!r}")
    if value.__index__() < 0:
        raise ValueError(f"{name}: a number of repetitions is negative: {value}")
    return value.__index__()


def _own(result: Tensor, x: Tensor) -> Tensor:
    """The result in memory of its own, where so far it is a view."""
    from kernels import backend_for

    return result.clone() if backend_for(x.device).may_share_memory(result._data, x._data) or result is x else result


# --- moved -------------------------------------------------------------------------------------------------------------


def roll(x: Tensor, /, shift: int | tuple[int, ...], *, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """The elements moved along axes, round the end; without an axis as if the tensor were flat.

    >>> import autograd as ag
    >>> ag.roll(ag.tensor([1, 2, 3]), 1)
    tensor([3, 1, 2], dtype=int64)
    """
    shifts = tuple(shift) if isinstance(shift, (tuple, list)) else (shift,)
    for step in shifts:
        if isinstance(step, bool) or not hasattr(step, "__index__"):
            raise TypeError(f"roll: a shift must be an integer, got {step!r}")
    if axis is None:
        if len(shifts) != 1:
            raise ValueError(f"roll: {len(shifts)} shifts need as many axes; without an axis there is one shift")
        flat = reshape(x, (x.size,))
        return reshape(roll(flat, shifts[0], axis=0), x.shape)
    axes = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    places = [normalize_axis(a, x.ndim, "roll") for a in axes]
    if len(shifts) == 1:
        shifts = shifts * len(places)
    if len(shifts) != len(places):
        raise ValueError(f"roll: {len(shifts)} shifts for {len(places)} axes: give as many, or one shift for all")
    total: dict[int, int] = {}
    for place, step in zip(places, shifts, strict=True):  # the same axis may come twice: the shifts add up
        total[place] = total.get(place, 0) + step.__index__()
    out = x
    for place, step in total.items():
        size = x.shape[place]
        if size and step % size:
            out = Roll.apply(out, shift=step % size, axis=place)
    return out.clone() if out is x else out


def rot90(x: Tensor, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Tensor:
    """A quarter turn in the plane of two axes, `k` times, from the first towards the second; a view.

    >>> import autograd as ag
    >>> ag.rot90(ag.tensor([[1, 2], [3, 4]]))
    tensor([[2, 4],
            [1, 3]], dtype=int64)
    """
    if len(axes) != 2:
        raise ValueError(f"rot90: needs two axes, got {axes}")
    first, second = (normalize_axis(a, x.ndim, "rot90") for a in axes)
    if first == second:
        raise ValueError(f"rot90: the two axes must differ, got {axes} for a tensor of shape {x.shape}")
    turns = k % 4
    if turns == 1:
        return swapaxes(flip(x, axis=second), first, second)
    if turns == 3:
        return flip(swapaxes(x, first, second), axis=second)
    return flip(x, axis=(first, second)) if turns else x[...]


# --- surrounded --------------------------------------------------------------------------------------------------------


def pad(x: Tensor, pad_width: Any, mode: str = "constant", *, constant_values: float = 0) -> Tensor:
    """The tensor made larger on every side, as NumPy's `pad`.

    Special cases:
        the gradients of copies are added up.

    Args:
        pad_width: how many elements before and behind: one number, a pair for all axes, a pair for each axis, or a dict
            from axes to numbers or pairs.
        mode: "constant", "edge" (the outermost element), "reflect" (mirrored at it), "symmetric" (mirrored behind it), or
            "wrap" (from the other end).
        constant_values: what "constant" fills in.

    >>> import autograd as ag
    >>> ag.pad(ag.tensor([1, 2, 3]), (1, 2), mode="reflect")
    tensor([2, 1, 2, 3, 2, 1], dtype=int64)
    """
    widths = _widths(pad_width, x)
    if mode not in _MODES:
        raise ValueError(f"pad: unknown mode {mode!r}; there are {', '.join(_MODES)}")
    if mode == "constant":
        return Pad.apply(x, widths=widths, value=_fitting(constant_values, x))
    out = x
    for axis, (before, behind) in enumerate(widths):
        if before or behind:
            out = _extended(out, axis, before, behind, mode)
    return out.clone() if out is x else out


def _widths(given: Any, x: Tensor) -> tuple[tuple[int, int], ...]:
    """The padding of each axis as a pair."""
    pairs: list[tuple[Any, ...]]
    if isinstance(given, dict):
        pairs = [(0, 0)] * x.ndim
        for axis, widths in given.items():
            pair = tuple(widths) if isinstance(widths, (tuple, list)) else (widths, widths)
            pairs[normalize_axis(axis, x.ndim, "pad")] = pair
    elif not isinstance(given, (tuple, list)):
        pairs = [(given, given)] * x.ndim
    elif not any(isinstance(p, (tuple, list)) for p in given):
        pairs = [tuple(given) if len(given) == 2 else tuple(given) * 2] * x.ndim
    else:
        pairs = [tuple(p) if isinstance(p, (tuple, list)) else (p,) for p in given]
        pairs = pairs * x.ndim if len(pairs) == 1 else pairs
    whole = all(len(p) == 2 and all(hasattr(n, "__index__") and n.__index__() >= 0 for n in p) for p in pairs)
    if len(pairs) != x.ndim or not whole:
        raise ValueError(
            f"pad: pad_width {given!r} is no number of elements that are not negative, pair of them, or pair for each of "
            f"the axes of a tensor of shape {x.shape}"
        )
    return tuple((p[0].__index__(), p[1].__index__()) for p in pairs)


def _fitting(value: Any, x: Tensor) -> Any:
    """The number to fill in, if the tensor's dtype holds it."""
    number = value.item() if isinstance(value, (Tensor, np.generic)) else value
    if not isinstance(number, (int, float)):
        raise TypeError(f"pad: constant_values must be one number, got {value!r}")
    if x.dtype.kind in "iu" and not (number == number and np.iinfo(x.dtype).min <= number <= np.iinfo(x.dtype).max):
        raise OverflowError(f"pad: the number {number} is out of bounds for {x.dtype}")
    return number


def _extended(x: Tensor, axis: int, before: int, behind: int, mode: str) -> Tensor:
    """The tensor with elements of its own put before and behind it along an axis."""
    size, front = x.shape[axis], (slice(None),) * axis
    if not size:
        raise ValueError(f"pad: axis {axis} of a tensor of shape {x.shape} is empty: mode {mode!r} finds nothing to repeat")

    def part(start: int, stop: int) -> Tensor:
        return x[(*front, slice(start, stop))]

    if mode == "edge" or (mode == "reflect" and size == 1):
        def stretched(edge: Tensor, count: int) -> Tensor:
            return broadcast_to(edge, (*x.shape[:axis], count, *x.shape[axis + 1 :]))

        return concat([stretched(part(0, 1), before), x, stretched(part(size - 1, size), behind)], axis=axis)
    # The tensor goes on in blocks; in every second one, where it is mirrored, in reverse.
    length = size - 1 if mode == "reflect" else size
    parts, at = [], -before
    while at < size + behind:
        if at == 0:
            parts.append(x)
            at = size
            continue
        block, offset = divmod(at, length)
        stop = min(length, offset + (0 if at < 0 else size + behind) - at)
        if mode == "wrap" or block % 2 == 0:
            parts.append(part(offset, stop))
        else:  # the element at `offset` in a mirrored block is that at `last - offset`
            last = length if mode == "reflect" else length - 1
            parts.append(flip(part(last - stop + 1, last - offset + 1), axis=axis))
        at += stop - offset
    return concat(parts, axis=axis)


# --- brought together --------------------------------------------------------------------------------------------------


def broadcast_arrays(*arrays: Tensor) -> tuple[Tensor, ...]:
    """All tensors stretched to their common shape: views, by the standard's name."""
    return broadcast_tensors(*arrays) if arrays else ()


def broadcast_shapes(*shapes: tuple[int, ...] | int) -> tuple[int, ...]:
    """The shape to which tensors of these shapes are stretched together.

    Raises:
        ValueError: two sizes differ and neither is 1.

    >>> import autograd as ag
    >>> ag.broadcast_shapes((3, 1), (4,))
    (3, 4)
    """
    given = [tuple(s) if isinstance(s, (tuple, list)) else (s,) for s in shapes]
    if any(isinstance(size, bool) or not hasattr(size, "__index__") for s in given for size in s):
        raise TypeError(f"broadcast_shapes: shapes are tuples of integers, got {shapes}")
    if any(size < 0 for s in given for size in s):
        raise ValueError(f"broadcast_shapes: negative size in {shapes}")
    return layout.broadcast_shapes("broadcast_shapes", *given) if given else ()


def meshgrid(*arrays: Tensor, indexing: str = "xy") -> tuple[Tensor, ...]:
    """Coordinates of a grid from those of its axes: one tensor for each, all of the grid's shape.

    Args:
        arrays: tensors of one dimension (or none), of one dtype.
        indexing: "xy": the first varies along axis 1, the second along axis 0, as on a plot; "ij": in order.

    >>> import autograd as ag
    >>> ag.meshgrid(ag.tensor([1, 2, 3]), ag.tensor([4, 5]))[0]
    tensor([[1, 2, 3],
            [1, 2, 3]], dtype=int64)
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid: indexing is 'xy' or 'ij', got {indexing!r}")
    if any(a.ndim > 1 for a in arrays):
        raise ValueError(f"meshgrid: needs tensors of one dimension, got shapes {', '.join(str(a.shape) for a in arrays)}")
    if len({a.dtype for a in arrays}) > 1:
        raise ValueError(f"meshgrid: all dtypes must be equal, got {', '.join(str(a.dtype) for a in arrays)}")
    places = list(range(len(arrays)))
    if indexing == "xy" and len(arrays) > 1:
        places[:2] = 1, 0
    shape = [0] * len(arrays)
    for array, place in zip(arrays, places, strict=True):
        shape[place] = array.size
    return tuple(
        broadcast_to(reshape(a, tuple(-1 if k == place else 1 for k in range(len(arrays)))), tuple(shape)).clone()
        for a, place in zip(arrays, places, strict=True)
    )


def atleast_nd(x: Tensor, /, *, ndim: int) -> Tensor:
    """The tensor with axes of size 1 put in front until it has `ndim` of them; a view."""
    return reshape(x, (*(1,) * max(0, ndim - x.ndim), *x.shape))


def atleast_1d(x: Tensor, /) -> Tensor:
    """The tensor with one dimension at least."""
    return atleast_nd(x, ndim=1)


def atleast_2d(x: Tensor, /) -> Tensor:
    """The tensor with two dimensions at least, new ones in front."""
    return atleast_nd(x, ndim=2)


def atleast_3d(x: Tensor, /) -> Tensor:
    """The tensor with three dimensions at least: as NumPy's, (n,) becomes (1, n, 1) and (m, n) becomes (m, n, 1)."""
    return expand_dims(atleast_2d(x), 2) if x.ndim < 3 else reshape(x, x.shape)
