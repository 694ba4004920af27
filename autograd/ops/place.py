"""What a key in x[key] means: a basic key for a view, and checked index arrays for axes of that view."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from autograd.tensor import Tensor
from kernels import backend_for
from kernels.index import broadcast_shape

_EVERYTHING = slice(None)
_PLAIN = frozenset((int, slice, type(None), type(Ellipsis)))


class Place(NamedTuple):
    """Where in a tensor an index points.

    basic: the key of a view, with a slice over everything for each indexed axis. indices: int64 arrays on the tensor's
    device, checked and counted from the front, one for each of `axes`, axes of the view in increasing order. front: the
    indices' shape comes first in the result, not where the indexed axes were. unique: no element is meant twice.
    """

    basic: tuple
    indices: tuple[Any, ...] = ()
    axes: tuple[int, ...] = ()
    front: bool = False
    unique: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether the view is the tensor itself."""
        return all(type(part) is slice and part == _EVERYTHING for part in self.basic)

    @property
    def apart(self) -> bool:
        """Whether axes that are not indexed lie between the indexed ones."""
        return self.axes[-1] - self.axes[0] >= len(self.axes)

    @property
    def start(self) -> int:
        """The first indexed axis, after `order` where they are apart."""
        return 0 if self.apart else self.axes[0]

    def order(self, ndim: int) -> tuple[int, ...]:
        """The view's axes with the indexed ones first."""
        return self.axes + tuple(a for a in range(ndim) if a not in self.axes)

    def to_front(self, ndim: int) -> tuple[int, ...] | None:
        """How to permute what is gathered, of `ndim` axes, so that the indices' shape comes first; None: it is as wanted."""
        count = len(broadcast_shape(self.indices))
        if not self.front or not self.start or not count:
            return None
        middle = tuple(range(self.start, self.start + count))
        return (*middle, *range(self.start), *range(self.start + count, ndim))


def is_array(part: Any) -> bool:
    """Whether a part of a key is an array of indices, or a mask."""
    if type(part) in _PLAIN:
        return False
    if isinstance(part, Tensor):
        return part.ndim > 0 or part.dtype.kind == "b" or part.device != "cpu"
    if isinstance(part, np.ndarray):
        return part.ndim > 0 or part.dtype.kind == "b"
    return isinstance(part, (list, tuple, range, bool, np.bool_)) or (getattr(part, "ndim", 0) > 0 and hasattr(part, "__array__"))


def basic_key(key: Any, x: Tensor, name: str) -> tuple:
    """The key as a tuple of integers, slices, None and Ellipsis, checked against the shape."""
    parts = key if isinstance(key, tuple) else (key,)
    checked, used = [], 0
    wanted = _count(parts, x, name)
    for part in parts:
        if part is None or part is Ellipsis:
            checked.append(part)
            used = x.ndim - (wanted - used) if part is Ellipsis else used
            continue
        checked.append(_one_index(part, x.shape[used], used, x, name))
        used += 1
    return tuple(checked)


def _count(parts: tuple, x: Tensor, name: str) -> int:
    """How many axes the parts of a key stand for."""
    if sum(part is Ellipsis for part in parts) > 1:
        raise IndexError(f"{name}: at most one Ellipsis, got {parts!r}")
    wanted = sum(part.ndim if is_mask(part) else part is not None and part is not Ellipsis for part in parts)
    if wanted > x.ndim:
        raise IndexError(f"{name}: {wanted} indices for a tensor of shape {x.shape}, which has {x.ndim} dimensions")
    return wanted


def is_mask(part: Any) -> bool:
    """Whether a part, arrays made of lists, is boolean."""
    return isinstance(part, (Tensor, np.ndarray)) and part.dtype.kind == "b"


def _one_index(part: Any, size: int, axis: int, x: Tensor, name: str) -> Any:
    if isinstance(part, slice):
        bounds = [b if b is None else b.__index__() for b in (part.start, part.stop, part.step)]
        if bounds[2] == 0:
            raise ValueError(f"{name}: the step of a slice must not be 0")
        return slice(*bounds)
    if not hasattr(part, "__index__") or getattr(part, "dtype", np.dtype(np.int64)).kind not in "iu":
        raise _wrong_kind(name, type(part).__name__ if not hasattr(part, "dtype") else f"{type(part).__name__} of {part.dtype}")
    index = part.__index__()
    if not -size <= index < size:
        raise IndexError(f"{name}: index {index} is out of range for axis {axis} of size {size} (shape {x.shape})")
    return index


def _wrong_kind(name: str, got: str) -> TypeError:
    return TypeError(
        f"{name}: indices are integers, slices, None, Ellipsis, arrays of integers and boolean masks, got {got}"
    )


def place_of(key: Any, x: Tensor, name: str) -> Place:
    """The key of any kind, checked against the shape.

    Raises:
        IndexError: an index is out of range (on CUDA this may come when elements are next read), there are too many, a mask
            has another shape than what it masks, or index arrays do not broadcast.
        TypeError: a part is no index.
    """
    parts = key if isinstance(key, tuple) else (key,)
    if not any(map(is_array, parts)):
        return Place(basic_key(key, x, name))
    parts = tuple(_as_index(part, x, name) if is_array(part) else part for part in parts)
    wanted = _count(parts, x, name)
    basic: list[Any] = []
    indices: list[Any] = []
    axes: list[int] = []
    kinds = ""  # of the parts: a for what NumPy counts as advanced, s for what separates
    used = gone = 0  # axes of x that are used up, and those that integers have removed from the view
    for part in parts:
        kinds += "s" if part is None or part is Ellipsis or isinstance(part, slice) else "a"
        if part is None:
            basic.append(None)
        elif part is Ellipsis:
            skipped = x.ndim - wanted
            basic += [_EVERYTHING] * skipped
            used += skipped
        elif isinstance(part, (Tensor, np.ndarray)) and is_array(part):
            found = _indices_of(part, used, x, name)
            axes += range(len(basic) - gone, len(basic) - gone + len(found))
            basic += [_EVERYTHING if part.ndim or not is_mask(part) else None] * len(found)
            indices += found
            used += part.ndim if is_mask(part) else 1
        else:
            basic.append(_one_index(part, x.shape[used], used, x, name))
            gone += not isinstance(basic[-1], slice)
            used += 1
    try:
        broadcast_shape(indices)
    except ValueError as error:
        raise IndexError(f"{name}: {error}") from None
    unique = sum(is_array(part) for part in parts) == 1 and any(map(is_mask, parts))
    return Place(tuple(basic), tuple(indices), tuple(axes), "s" in kinds.strip("s"), unique)


def _as_index(part: Any, x: Tensor, name: str) -> Tensor | np.ndarray:
    """Index arrays and masks: tensors on x's device, or arrays of the host."""
    if not isinstance(part, Tensor):
        if isinstance(part, (list, tuple)) and any(isinstance(p, Tensor) for p in part):
            part = [p.tolist() if isinstance(p, Tensor) else p for p in part]
        try:
            array = np.asarray(part)
        except ValueError:
            raise _wrong_kind(name, "lists of unequal lengths") from None
        if not array.size and isinstance(part, (list, tuple, range)):
            array = array.astype(np.int64)
    elif part.device == "cpu":
        array = part.detach().numpy()
    elif part.device != x.device:
        raise RuntimeError(f"{name}: the indices are on {part.device}, the tensor on {x.device}; use .to(device)")
    else:
        array = part
    if array.dtype.kind not in "biu":
        raise _wrong_kind(name, f"{type(part).__name__} of {array.dtype}")
    return array


def _indices_of(part: Tensor | np.ndarray, axis: int, x: Tensor, name: str) -> list[Any]:
    """Checked index arrays on x's device, one for each axis that the part stands for."""
    home = backend_for(part.device)
    data = part._data if isinstance(part, Tensor) else np.asarray(part, part.dtype.newbyteorder("="))
    if not is_mask(part):
        found = [home.wrap_indices(data, x.shape[axis], axis, x.shape)]
    elif not part.ndim:
        count = int(bool(part.item()))
        found = [np.zeros(count, np.int64)]
        home = backend_for("cpu")
    else:
        masked = x.shape[axis : axis + part.ndim]
        # A size of 0 fits any axis, as in NumPy and the Array API: nothing is taken there.
        if any(size not in (0, whole) for size, whole in zip(part.shape, masked, strict=True)):
            raise IndexError(
                f"{name}: a mask of shape {part.shape} does not fit axes {axis} to {axis + part.ndim - 1} of a tensor of "
                f"shape {x.shape}, which have sizes {masked}"
            )
        found = home.nonzero(data)
    here = backend_for(x.device)
    return found if home is here else [here.from_numpy(index) for index in found]
