"""Indexing. Basic keys (integers, slices, None, Ellipsis) give views, whose adjoint writes into zeros; arrays of integers and
masks gather, whose adjoint adds up what was taken from one place.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autograd.mode import grad_mode
from autograd.ops.base import Operation
from autograd.ops.inplace import count_change, move_to, prepare_to_record
from autograd.ops.place import Place, basic_key, is_array, is_mask, place_of
from autograd.tensor import Tensor, wrap
from kernels import backend_for, formulas
from kernels.index import result_shape


class GetItem(Operation):
    is_view = True
    takes_complex = "itself"

    def forward(self, x, key):
        self.key, self.before = key, x.shape
        return _as_array_view(x[key], x, key)

    def backward(self, grad):
        return scatter_slice(grad, self.key, self.before)


class ScatterSlice(Operation):
    """The adjoint of basic indexing: zeros, with the elements at the key's place."""

    takes_complex = "itself"

    def forward(self, x, key, shape):
        self.key = key
        out = self.backend.fill(self.backend.empty(shape, x.dtype), 0)
        self.backend.copy(x, out=_as_array_view(out[key], out, key))
        return out

    def backward(self, grad):
        return grad[self.key]


class Gather(Operation):
    """The elements at checked indices of neighbouring axes from `start` on: see `kernels.index`."""

    takes_complex = "itself"

    def forward(self, x, indices, start, unique=False):
        self.indices, self.start, self.unique, self.before = indices, start, unique, x.shape
        return self.backend.gather(x, indices, start)

    def backward(self, grad):
        return AddAt.apply(grad, indices=self.indices, shape=self.before, start=self.start, unique=self.unique)


class AddAt(Operation):
    """The adjoint of gather: zeros with the elements added at the indices' places."""

    takes_complex = "pairs"

    @classmethod
    def options_on_pairs(cls, options):
        return options | {"shape": (*options["shape"], 2)}

    def forward(self, x, indices, shape, start, unique=False):
        self.indices, self.start, self.unique = indices, start, unique
        if not unique:
            return self.backend.scatter_add(x, indices, shape, start)
        whole = self.backend.fill(self.backend.empty(shape, x.dtype), 0)
        self.backend.put(whole, indices, x, start, unique=True)
        return whole

    def backward(self, grad):
        return Gather.apply(grad, indices=self.indices, start=self.start, unique=self.unique)


class SetItem(Operation):
    """x with the elements at a basic key replaced by values."""

    takes_complex = "itself"

    def forward(self, x, values, key):
        self.key = key
        self.backend.copy(values, out=_as_array_view(x[key], x, key))
        return x

    def backward(self, grad):
        rest = grad.clone()
        setitem(rest, self.key, 0.0)
        return rest, grad[self.key]


class Put(Operation):
    """x with the elements at a place replaced by values, which lie as `gather` gives them; of equal indices the last counts."""

    takes_complex = "itself"

    def forward(self, x, values, place):
        self.place = place
        self.backend.put(_indexed_view(x, place), place.indices, values, place.start, place.unique)
        return x

    def backward(self, grad):
        place = self.place
        rest = None
        if self.inputs[0] is not None:
            rest = grad.clone()
            _overwrite(rest, Put, wrap(self.backend.fill(self.backend.empty((), grad.dtype), 0)), place=place)
        if self.inputs[1] is None:
            return rest, None
        taken = _take(grad, place)
        return rest, taken if place.unique else _where(_last_ones(grad, place), taken, 0.0)


class SetWhere(Operation):
    """x with the elements where a mask is True replaced by a single value."""

    takes_complex = "itself"

    def forward(self, x, value, mask):
        self.mask = mask
        if x.dtype.kind == "c":
            parts = self.backend.pairs(x)
            self.backend.apply(formulas.where, mask[..., None], self.backend.pairs(value), parts, out=parts)
        else:
            self.backend.apply(formulas.where, mask, value, x, out=x)
        return x

    def backward(self, grad):
        mask = wrap(self.mask)
        return _where(mask, 0.0, grad), _where(mask, grad, 0.0)


def _where(condition: Tensor, x: Any, y: Any) -> Tensor:
    from autograd.ops.elementwise import where

    return where(condition, x, y)


def _as_array_view(view: Any, base: Any, key: tuple) -> Any:
    """NumPy gives a scalar, not a view, for an element; ask for it as a 0-d view."""
    return base[(*key, ...)] if not isinstance(view, type(base)) else view


def _indexed_view(array: Any, place: Place) -> Any:
    """The part of an array that a place's indices are for, their axes brought together."""
    view = _as_array_view(array[place.basic], array, place.basic)
    return view.transpose(place.order(view.ndim)) if place.apart else view


def _take(x: Tensor, place: Place) -> Tensor:
    """The elements at a place, as `gather` gives them."""
    from autograd.ops.shape import permute_dims

    view = x if place.is_whole else GetItem.apply(x, key=place.basic)
    if place.apart:
        view = permute_dims(view, place.order(view.ndim))
    return Gather.apply(view, indices=place.indices, start=place.start, unique=place.unique)


def _last_ones(x: Tensor, place: Place) -> Tensor:
    """Which of the places are not written again later: a mask that broadcasts to what `gather` gives."""
    backend = backend_for(x.device)
    view = _indexed_view(x._data, place)
    end = place.start + len(place.indices)
    shape = result_shape(view.shape[place.start : end], place.indices, 0)
    count = int(np.prod(shape))
    numbers = backend.from_numpy(np.arange(count).reshape(shape))
    seen = backend.empty(view.shape[place.start : end], np.dtype(np.int64))
    backend.put(seen, place.indices, numbers, 0)
    last = backend.apply(formulas.equal, backend.gather(seen, place.indices, 0), numbers)
    return wrap(last.reshape((*shape, *(1,) * (view.ndim - end))))


def getitem(x: Tensor, key: Any, /) -> Tensor:
    """`x[key]`: a view for integers, slices of any step, None and Ellipsis; a copy where an array or mask is among them.

    Arrays of integers, lists and tensors of them pick elements, by NumPy's rules in any mixture; a boolean mask stands for
    the indices at which it is True. A 0-d tensor of integers counts as an integer (on the CPU).

    Raises:
        IndexError: an index is out of range, there are too many, or a mask does not fit.
        TypeError: an index is of another kind.
    """
    if not any(map(is_array, key if type(key) is tuple else (key,))):
        return GetItem.apply(x, key=basic_key(key, x, "getitem"))
    place = place_of(key, x, "getitem")
    out = _take(x, place)
    order = place.to_front(out.ndim)
    if order is None:
        return out
    from autograd.ops.shape import permute_dims

    return permute_dims(out, order)


def scatter_slice(x: Tensor, key: tuple, shape: tuple[int, ...]) -> Tensor:
    """Zeros of the given shape with `x` at `key`: what undoes `getitem`."""
    return ScatterSlice.apply(x, key=key, shape=shape)


def setitem(x: Tensor, key: Any, values: Any, /) -> None:
    """`x[key] = values` in x's own memory, recorded where x or the values require grad.

    Where an index occurs more than once the last value counts, and only that one gets a gradient.
    """
    if not any(map(is_array, key if type(key) is tuple else (key,))):
        basic = basic_key(key, x, "setitem")
        given = _values_for(x, values)
        _check_fits(given, _as_array_view(x._data[basic], x._data, basic).shape)
        _overwrite(x, SetItem, given, key=basic)
        return
    given = _values_for(x, values)
    mask = _mask_of_all(key, x)
    if mask is not None and not given.ndim:
        _overwrite(x, SetWhere, given, mask=mask)
        return
    put_at(x, place_of(key, x, "setitem"), given)


def put_at(x: Tensor, place: Place, given: Tensor) -> None:
    """Write values, broadcast, to a place in x's own memory."""
    from autograd.ops.shape import broadcast_to, permute_dims, reshape

    gathered = result_shape(_indexed_view(x._data, place).shape, place.indices, place.start)
    order = place.to_front(len(gathered))
    shape = gathered if order is None else tuple(gathered[a] for a in order)
    _check_fits(given, shape)
    if given.size == 1:
        given = reshape(given, ())
    elif order is not None:
        given = permute_dims(broadcast_to(given, shape), tuple(np.argsort(order).tolist()))
    elif given.shape != shape:
        given = broadcast_to(given, shape)
    _overwrite(x, Put, given, place=place)


def _mask_of_all(key: Any, x: Tensor) -> Any:
    """A mask that is the whole key, as an array that broadcasts to x; None for any other key."""
    mask: Any = key[0] if isinstance(key, tuple) and len(key) == 1 else key
    if not is_mask(mask) or not mask.ndim or mask.shape != x.shape[: mask.ndim] or mask.device not in ("cpu", x.device):
        return None
    backend = backend_for(x.device)
    data = mask._data if isinstance(mask, Tensor) else mask
    data = backend.from_numpy(data) if mask.device != x.device else data
    if grad_mode.get():
        data = backend.copy(data)  # for the backward pass
    return data[(..., *(None,) * (x.ndim - mask.ndim))]


def _values_for(x: Tensor, values: Any) -> Tensor:
    """What is assigned, as a tensor of x's dtype on its device, in memory of its own."""
    from autograd.ops.creation import asarray

    if x.dtype.kind in "iu" and type(values) in (int, float):
        bounds = np.iinfo(x.dtype)
        if values != values or not bounds.min <= values <= bounds.max:
            raise OverflowError(f"setitem: the number {values} is out of bounds for {x.dtype}")
    given = values if isinstance(values, Tensor) else asarray(values, dtype=x.dtype)
    if given.dtype != x.dtype:
        given = given.astype(x.dtype)
    if given.device != x.device:
        if isinstance(values, Tensor):
            raise RuntimeError(f"setitem: the values are on {given.device}, the tensor on {x.device}; use .to(device)")
        given = given.to(x.device)
    return given.clone() if backend_for(x.device).may_share_memory(given._data, x._data) else given


def _check_fits(given: Tensor, shape: tuple[int, ...]) -> None:
    sizes = zip(reversed(given.shape), reversed(shape), strict=False)
    if given.ndim > len(shape) or any(mine not in (1, size) for mine, size in sizes):
        raise ValueError(f"setitem: values of shape {given.shape} do not fit the place of shape {shape}")


def _overwrite(x: Tensor, operation: type[Operation], given: Tensor, **options: Any) -> None:
    """Run an operation that writes values into x's own memory, and record it where x or the values require grad."""
    if not x._data.flags.writeable:
        raise ValueError("setitem: the tensor's memory is read-only (a broadcast view?); change a clone()")
    recording = grad_mode.get() and (x._edge is not None or given._edge is not None)
    if recording:
        prepare_to_record(x, "setitem")
    before = Tensor.__new__(Tensor)
    before._data, before._layout, before._edge, before._version = x._data, x._layout, x._edge, None
    result = operation.apply(before, given, **options)
    if recording:
        move_to(x, result._edge)
    count_change(x)
