"""Arrays in device memory: shape, strides and views as in NumPy, and no arithmetic of their own.

A `DeviceArray` is a strided view of a `Block`. All indexing and reshaping gives views and touches no element; only
`numpy`, `item` and `tolist` read values, and wait for the device. Arithmetic is done by the functions of `kernels.cuda`.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np

from kernels.cuda.fetching import fetch
from kernels.cuda.memory import Block, CachingAllocator, allocator, device_name, parse_device
from kernels.cuda.views import byte_bounds, checked_index, dense_strides, filled, reshaped_strides, sizes
from kernels.layout import broadcast_strides, layout_of
from kernels.pairs import complex_of

__all__ = [
    "BFLOAT16", "DeviceArray", "device_name", "empty", "from_dlpack", "from_interface", "from_numpy", "is_bfloat16",
    "parse_device",
]  # fmt: skip

BFLOAT16 = np.dtype([("bfloat16", "<u2")])  # NumPy has no bfloat16: its bits, under a name


def is_bfloat16(dtype: np.dtype) -> bool:
    """Whether a dtype is our storage of bfloat16."""
    return dtype == BFLOAT16


class Flags:
    """What `DeviceArray.flags` gives: writeable (can be set), c_contiguous, aligned."""

    __slots__ = ("_array",)

    def __init__(self, array: DeviceArray) -> None:
        self._array = array

    @property
    def writeable(self) -> bool:
        """Whether kernels may write through this view."""
        return self._array._writeable

    @writeable.setter
    def writeable(self, on: bool) -> None:
        if on and self._array.block.readonly:
            raise ValueError("cannot set WRITEABLE flag to True of this array: its memory was lent by another library to read")
        self._array._writeable = bool(on)

    @property
    def c_contiguous(self) -> bool:
        """Whether the elements lie in C order without gaps."""
        return layout_of(self._array).contiguous

    @property
    def aligned(self) -> bool:
        """Whether every element's address is a multiple of its size."""
        array = self._array
        return layout_of(array).aligned and not array.pointer % array.dtype.itemsize

    def __repr__(self) -> str:
        return f"Flags(writeable={self.writeable}, c_contiguous={self.c_contiguous}, aligned={self.aligned})"


class DeviceArray:
    """An n-dimensional array in device memory.

    shape, strides (in bytes), dtype, ndim, size, itemsize, nbytes: as in NumPy. device: "cuda:0". pointer: the address of
    element 0. block: the memory that it keeps alive.

    >>> empty((2, 3), np.float32).T.shape  # doctest: +SKIP
    (3, 2)
    """

    __slots__ = ("__weakref__", "_writeable", "block", "device", "dtype", "pointer", "shape", "strides")

    __array_ufunc__ = None  # NumPy leaves operators on both to us
    __hash__ = None  # type: ignore[assignment]

    block: Block
    pointer: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype
    device: str
    _writeable: bool

    def __init__(self, *_: Any, **__: Any) -> None:
        raise TypeError("DeviceArray: make one with kernels.cuda's empty, from_numpy, from_interface or from_dlpack")

    # --- attributes ----------------------------------------------------------------------------------------------------

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements together."""
        return prod(self.shape) * self.dtype.itemsize

    @property
    def flags(self) -> Flags:
        """writeable (can be set), c_contiguous, aligned."""
        return Flags(self)

    @property
    def T(self) -> DeviceArray:
        """The view with all axes reversed."""
        return self._view(self.pointer, self.shape[::-1], self.strides[::-1])

    @property
    def mT(self) -> DeviceArray:
        """The view with the last two axes swapped."""
        if self.ndim < 2:
            raise ValueError(f"matrix transpose with ndim < 2 is undefined: the array is {self.ndim}-dimensional")
        return self.swapaxes(-1, -2)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"DeviceArray(shape={self.shape}, dtype={_dtype_name(self.dtype)}, device={self.device!r})"

    # --- views ---------------------------------------------------------------------------------------------------------

    def _view(self, pointer: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> DeviceArray:
        return _make(self.block, pointer, shape, strides, self.dtype, self.device, self._writeable)

    def reshape(self, *shape: Any) -> DeviceArray:
        """A view with another shape, in C order; one size may be -1.

        Raises:
            ValueError: the number of elements differs, or no view has that shape: copy first (`kernels.cuda.copy`).
        """
        wanted = filled(sizes(shape), self.size)
        strides = reshaped_strides(self.shape, self.strides, self.dtype.itemsize, wanted)
        if strides is None:
            raise ValueError(
                f"reshape: no view of shape {self.shape} with strides {self.strides} has shape {wanted}: a copy is needed "
                "(kernels.cuda.copy makes a contiguous one)"
            )
        return self._view(self.pointer, wanted, strides)

    def view_reshapes(self, shape: Sequence[int]) -> bool:
        """Whether `reshape(shape)` is possible without a copy."""
        wanted = filled(sizes((shape,)), self.size)
        return reshaped_strides(self.shape, self.strides, self.dtype.itemsize, wanted) is not None

    def transpose(self, *axes: Any) -> DeviceArray:
        """The view with its axes in another order; reversed without arguments."""
        if not axes or axes == (None,):
            return self.T
        order = sizes(axes)
        if len(order) != self.ndim:
            raise ValueError(f"axes don't match array: got {order} for {self.ndim} dimensions")
        order = tuple(self._axis(a) for a in order)
        if len(set(order)) != len(order):
            raise ValueError(f"repeated axis in transpose: {order}")
        return self._view(self.pointer, tuple(self.shape[a] for a in order), tuple(self.strides[a] for a in order))

    def swapaxes(self, axis1: int, axis2: int) -> DeviceArray:
        """The view with two axes exchanged."""
        order = list(range(self.ndim))
        first, second = self._axis(axis1), self._axis(axis2)
        order[first], order[second] = second, first
        return self._view(self.pointer, tuple(self.shape[a] for a in order), tuple(self.strides[a] for a in order))

    def squeeze(self, axis: int | tuple[int, ...] | None = None) -> DeviceArray:
        """The view without axes of size 1: all of them, or those named."""
        if axis is None:
            gone = {a for a, size in enumerate(self.shape) if size == 1}
        else:
            gone = {self._axis(a) for a in (axis if isinstance(axis, tuple) else (axis,))}
            if any(self.shape[a] != 1 for a in gone):
                raise ValueError(f"cannot select an axis to squeeze out which has size not equal to one: {axis} of {self.shape}")
        kept = [a for a in range(self.ndim) if a not in gone]
        return self._view(self.pointer, tuple(self.shape[a] for a in kept), tuple(self.strides[a] for a in kept))

    def _axis(self, axis: int) -> int:
        number = operator.index(axis)
        if not -self.ndim <= number < self.ndim:
            raise np.exceptions.AxisError(number, self.ndim)
        return number % self.ndim

    def __getitem__(self, key: Any) -> DeviceArray:
        items = key if type(key) is tuple else (key,)
        consumed = sum(item is not None and item is not Ellipsis for item in items)
        if consumed > len(self.shape):
            raise IndexError(f"too many indices for array: array is {self.ndim}-dimensional, but {consumed} were indexed")
        pointer, axis, ellipsis = self.pointer, 0, False
        shape: list[int] = []
        strides: list[int] = []
        for item in items:
            if item is None:
                shape.append(1)
                strides.append(0)
            elif item is Ellipsis:
                if ellipsis:
                    raise IndexError("an index can only have a single ellipsis ('...')")
                ellipsis = True
                end = axis + self.ndim - consumed
                shape += self.shape[axis:end]
                strides += self.strides[axis:end]
                axis = end
            elif isinstance(item, slice):
                start, stop, step = item.indices(self.shape[axis])
                count = len(range(start, stop, step))
                pointer += start * self.strides[axis] if count else 0
                shape.append(count)
                strides.append(step * self.strides[axis])
                axis += 1
            else:
                pointer += checked_index(item, axis, self.shape[axis]) * self.strides[axis]
                axis += 1
        return self._view(pointer, (*shape, *self.shape[axis:]), (*strides, *self.strides[axis:]))

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError("DeviceArray: elements are not set by indexing; kernels.cuda.copy(value, out=array[...]) writes them")

    def __iter__(self) -> Iterator[DeviceArray]:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(self.shape[0]))

    def broadcast_to(self, shape: Sequence[int]) -> DeviceArray:
        """A read-only view with sizes of 1 stretched, and axes put in front."""
        wanted = sizes((shape,))
        missing = len(wanted) - self.ndim
        if missing < 0 or any(own not in (1, size) for own, size in zip(self.shape, wanted[missing:], strict=True)):
            raise ValueError(f"broadcast_to: shape {self.shape} does not stretch to {wanted}")
        return _make(self.block, self.pointer, wanted, broadcast_strides(self, wanted), self.dtype, self.device, False)

    def view(self, dtype: Any) -> DeviceArray:
        """The same memory read as another dtype of the same size."""
        dtype = np.dtype(dtype)
        if dtype.itemsize != self.dtype.itemsize:
            raise ValueError(
                f"view: {_dtype_name(self.dtype)} has {self.dtype.itemsize} bytes per element and {_dtype_name(dtype)} has "
                f"{dtype.itemsize}; a view changes only to a dtype of the same size"
            )
        return _make(self.block, self.pointer, self.shape, self.strides, dtype, self.device, self._writeable)

    def as_pairs(self) -> DeviceArray:
        """A complex array as floats: one more axis at the end, for the real and the imaginary part."""
        half = self.dtype.itemsize // 2
        shape, strides = (*self.shape, 2), (*self.strides, half)
        return _make(self.block, self.pointer, shape, strides, np.dtype(f"f{half}"), self.device, self._writeable)

    def from_pairs(self) -> DeviceArray:
        """Floats whose last axis has size 2 and unit stride as complex numbers."""
        shape, strides, dtype = self.shape[:-1], self.strides[:-1], complex_of(self.dtype)
        return _make(self.block, self.pointer, shape, strides, dtype, self.device, self._writeable)

    def shares_memory(self, other: Any) -> bool:
        """Whether the ranges of memory overlap in which the two arrays' elements lie, as np.may_share_memory."""
        if not isinstance(other, DeviceArray) or not self.size or not other.size:
            return False
        low, high = byte_bounds(self)
        other_low, other_high = byte_bounds(other)
        return low < other_high and other_low < high

    # --- to the host ---------------------------------------------------------------------------------------------------

    def numpy(self) -> np.ndarray:
        """A copy in host memory, C-ordered; waits for the device. bfloat16 comes as its bits, of dtype `BFLOAT16`."""
        return fetch(self)

    def item(self) -> Any:
        """The only element as a Python number; waits for the device."""
        if self.size != 1:
            raise ValueError(f"can only convert an array of size 1 to a Python scalar, this one has shape {self.shape}")
        return _values(self.numpy()).item()

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers; waits for the device."""
        return _values(self.numpy()).tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("Unable to avoid copy while creating an array: the elements are in device memory")
        host = self.numpy()
        return host if dtype is None else host.astype(dtype, copy=False)

    def __bool__(self) -> bool:
        if self.size != 1:
            number = "more than one element" if self.size else "no element"
            raise ValueError(f"The truth value of an array with {number} is ambiguous: shape {self.shape}")
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise TypeError(f"only integer arrays with one element can be an index, this one is {self.dtype}")
        return int(self.item())

    # --- to other libraries --------------------------------------------------------------------------------------------

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        from kernels.cuda import dlpack

        return dlpack.to_interface(self)

    def __dlpack__(self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: bool | None = None) -> Any:
        from kernels.cuda import dlpack

        return dlpack.to_capsule(self, stream, max_version, dl_device, copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0) if self.block.runtime.is_simulated else (2, self.block.device)


_new = DeviceArray.__new__


def _make(
    block: Block, pointer: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype, device: str, writeable: bool
) -> DeviceArray:
    """An array of parts that are known to fit together."""
    array = _new(DeviceArray)
    array.block, array.pointer, array.shape, array.strides = block, pointer, shape, strides
    array.dtype, array.device, array._writeable = dtype, device, writeable
    return array


def _no_operator(name: str) -> Any:
    def refuse(self: DeviceArray, *_: Any) -> Any:
        raise TypeError(
            f"DeviceArray has no {name}: use kernels.cuda.apply(formulas..., a, b) and the other functions of kernels.cuda, "
            "or an autograd tensor"
        )

    return refuse


for _name in (
    "add sub mul truediv floordiv mod pow matmul radd rsub rmul rtruediv rfloordiv rmod rpow rmatmul iadd isub imul "
    "itruediv ifloordiv imod ipow imatmul and or xor rand ror rxor lshift rshift lt le gt ge eq ne neg pos abs invert"
).split():
    setattr(DeviceArray, f"__{_name}__", _no_operator(f"operator __{_name}__"))


# --- making arrays -------------------------------------------------------------------------------------------------------


def empty(
    shape: int | Sequence[int], dtype: Any, device: str | int = "cuda:0", source: CachingAllocator | None = None
) -> DeviceArray:
    """An uninitialised C-ordered array.

    Args:
        source: the allocator to take memory from, where it is not the device's.

    Raises:
        OutOfMemoryError: the device has no room.
    """
    shape, dtype = sizes((shape,)), np.dtype(dtype)
    if shape and min(shape) < 0:
        raise ValueError(f"negative dimensions are not allowed: {shape}")
    if source is None:
        source = allocator(parse_device(device))
    return _empty(shape, dtype, source)


def _empty(shape: tuple[int, ...], dtype: np.dtype, source: CachingAllocator) -> DeviceArray:
    """`empty` of a shape and a dtype that are known to be right."""
    item = dtype.itemsize
    block = source.allocate(prod(shape) * item, source.runtime.stream(source.device))
    return _make(block, block.pointer, shape, dense_strides(shape, item), dtype, source.name, True)


def from_numpy(array: Any, device: str | int = "cuda:0", source: CachingAllocator | None = None) -> DeviceArray:
    """A C-ordered copy of a host array on the device; the host array may be changed at once afterwards."""
    host = np.asarray(array)
    if host.dtype.kind not in "biufc" and host.dtype != BFLOAT16:
        raise TypeError(f"from_numpy: arrays of dtype {host.dtype} have no place on a device; expected numbers or bool")
    if not host.dtype.isnative:
        host = host.astype(host.dtype.newbyteorder("="))
    made = empty(host.shape, host.dtype, device, source)
    if host.size:
        made.block.runtime.to_device(made.pointer, np.ascontiguousarray(host), made.block.stream)
    return made


def from_interface(obj: Any, device: str | int | None = None, runtime: Any = None) -> DeviceArray:
    """An array on the memory of anything with `__cuda_array_interface__`: no copy, and it keeps that object alive."""
    from kernels.cuda import dlpack

    return dlpack.import_interface(obj, device, runtime)


def from_dlpack(obj: Any, runtime: Any = None) -> DeviceArray:
    """An array on the memory of anything with `__dlpack__` on a CUDA device: no copy, and it keeps that memory alive."""
    from kernels.cuda import dlpack

    return dlpack.import_object(obj, runtime)


def _values(host: np.ndarray) -> np.ndarray:
    """Numbers that Python has: bfloat16 as float32, of which it is the upper half."""
    if not is_bfloat16(host.dtype):
        return host
    return (host.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def _dtype_name(dtype: np.dtype) -> str:
    return "bfloat16" if is_bfloat16(dtype) else str(dtype)


