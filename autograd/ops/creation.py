"""Tensors from data and from nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autograd import dtypes
from autograd.ops.conversion import to
from autograd.tensor import Tensor, wrap
from kernels import backend_for
from kernels.devices import canonical

_SCALARS = dtypes.NUMBERS
_ON_GPU = (2, 13)  # DLPack's kinds of device: CUDA memory, and managed memory


def tensor(data: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """A new tensor with a copy of the data.

    Args:
        data: a number, nested lists, an array, or a tensor (whose history is not kept).
        dtype: by default that of an array; float32 for Python floats, complex64 for complex numbers, int64 (uint64 if need
            be) for ints, bool for bools.
        device: "cpu", "cuda" or "cuda:N"; by default that of the data, the CPU for what has none.
        requires_grad: whether gradients shall be collected in its `.grad`.

    Raises:
        TypeError: the data holds no numbers, or the dtype is not supported (float16, objects).
        ValueError: nested lists of unequal lengths.

    >>> import autograd as ag
    >>> ag.tensor([[1.0, 2.0]])
    tensor([[1., 2.]], dtype=float32)
    """
    if isinstance(data, Tensor):
        source = data.detach().to(device=device)
        wanted = dtypes.as_dtype(dtype if dtype is not None else source.dtype)
        copied = source.device != data.device and wanted == source.dtype
        return Tensor(source._data if copied else backend_for(source.device).copy(source._data, wanted), requires_grad)
    foreign = _on_device(data)
    if foreign is not None:
        return tensor(foreign, dtype, device, requires_grad)
    source = _as_array(data, dtype)
    wanted = dtypes.as_dtype(dtype if dtype is not None else source.dtype)
    return Tensor(_from_host(source, wanted, "cpu" if device is None else device), requires_grad)


def asarray(data: Any, /, dtype: Any = None, device: str | None = None, copy: bool | None = None) -> Tensor:
    """The data as a tensor: without a copy where that is possible.

    A tensor is returned as it is, with its graph; a NumPy array of a supported dtype is shared, not copied.

    Args:
        copy: True copies always, False raises a ValueError where a copy is needed, None copies only then.
    """
    if isinstance(data, Tensor):
        out = data
        if device is not None and device != data.device:
            if copy is False and canonical(device) != data.device:
                raise ValueError(f"asarray: moving from {data.device} to {device} needs a copy")
            out = to(out, device=device)
        if dtype is not None and dtypes.as_dtype(dtype) != out.dtype:
            if copy is False:
                raise ValueError(f"asarray: converting {data.dtype} to {dtypes.as_dtype(dtype)} needs a copy")
            return out.astype(dtype)
        return out.clone() if copy and out is data else out
    foreign = _on_device(data)
    if foreign is not None:
        return asarray(foreign, foreign.dtype if dtype is None else dtype, device, copy)  # which says if we have it not
    source = _as_array(data, dtype)
    wanted = dtypes.as_dtype(dtype if dtype is not None else source.dtype)
    place = canonical("cpu" if device is None else device)
    shared = isinstance(data, np.ndarray) and source is data and wanted == source.dtype and _is_usable(source)
    if copy is False and (not shared or place != "cpu"):
        raise ValueError("asarray: this data cannot be shared without a copy")
    return wrap(source) if shared and not copy and place == "cpu" else wrap(_from_host(source, wanted, place))


def _from_host(source: np.ndarray, dtype: np.dtype, device: str) -> Any:
    """The elements of a host array in memory of their own on a device; converted before they travel."""
    if canonical(device) == "cpu":
        return backend_for("cpu").copy(source, dtype)
    if source.dtype != dtype:
        source = backend_for("cpu").copy(source, dtype)
    return backend_for(device).from_numpy(source)


def _on_device(data: Any) -> Tensor | None:
    """A tensor on the memory of another library's array, where that is on a GPU."""
    if type(data).__module__ == "kernels.cuda.array" or hasattr(data, "__cuda_array_interface__"):
        from kernels.cuda.array import DeviceArray, from_interface

        return wrap(data if isinstance(data, DeviceArray) else from_interface(data))
    return None


def _is_usable(array: np.ndarray) -> bool:
    item = array.itemsize
    return bool(
        type(array) is np.ndarray
        and array.dtype.isnative
        and array.flags.aligned
        and array.flags.writeable
        and not any(s % item for s in array.strides)
    )


def _as_array(data: Any, dtype: Any = None) -> np.ndarray:
    """The data as a NumPy array of a supported dtype; Python numbers get the default dtypes."""
    if isinstance(data, (np.ndarray, np.generic)):
        array = np.asarray(data)
    else:
        array = _from_python(data, None if dtype is None else dtypes.as_dtype(dtype))
    if array.dtype.newbyteorder("=") not in dtypes.SUPPORTED:
        raise TypeError(
            f"cannot make a tensor of {array.dtype} data (from {type(data).__name__}); supported are bool, integers, "
            "float32, float64, complex64 and complex128"
        )
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _from_python(data: Any, dtype: np.dtype | None) -> np.ndarray:
    """Python numbers and lists of them as an array: floats as the wanted float type, without rounding on the way."""
    wanted = dtypes.default_float if dtype is None else dtype
    if isinstance(data, (list, tuple)) and _holds_tensors(data):
        data = _to_lists(data)
    if not isinstance(data, (list, tuple, *_SCALARS)) and hasattr(data, "__array__"):
        return np.asarray(data)
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ValueError(f"cannot make a tensor of nested lists of unequal lengths: {error}") from None
    if not isinstance(data, (list, tuple, *_SCALARS)):  # a buffer (bytearray, array.array, memoryview): its dtype is meant
        return array
    is_empty = array.size == 0 and isinstance(data, (list, tuple))
    if dtype is None or dtype.kind not in dtypes.DIFFERENTIABLE:
        array = _integers_kept(data, array)
    if array.dtype == np.complex128 and not _holds_arrays(data):
        return array.astype(dtypes.complex_of(wanted))
    if wanted.kind in dtypes.DIFFERENTIABLE and (is_empty or (array.dtype == np.float64 and not _holds_arrays(data))):
        return array.astype(wanted)
    return array


def _holds_tensors(data: Any) -> bool:
    return any(_holds_tensors(d) if isinstance(d, (list, tuple)) else isinstance(d, Tensor) for d in data)


def _holds_arrays(data: Any) -> bool:
    if isinstance(data, (list, tuple)):
        return any(map(_holds_arrays, data))
    return isinstance(data, (np.ndarray, np.generic))


def _holds_integers(data: Any) -> bool:
    """Whether there is nothing but Python integers in nested lists."""
    return all(map(_holds_integers, data)) if isinstance(data, (list, tuple)) else type(data) in (int, bool)


def _integers_kept(data: Any, array: np.ndarray) -> np.ndarray:
    """The array made of the data, or, if integers beyond int64 have become floats in it, one of uint64."""
    if array.dtype != np.float64 or np.abs(array).max(initial=0) < 2.0**63 or not _holds_integers(data):
        return array
    try:
        return np.asarray(data, np.uint64)
    except OverflowError:
        raise OverflowError(
            "cannot make a tensor of negative integers together with some beyond int64: no integer type holds them all; "
            "ask for floats with dtype="
        ) from None


def _to_lists(data: Any) -> Any:
    if isinstance(data, (list, tuple)):
        return [_to_lists(d) for d in data]
    return data.numpy() if isinstance(data, Tensor) else data


def as_seed(given: Any, output: Tensor, asker: str) -> Tensor:
    """An upstream gradient, checked against the output it belongs to."""
    seed = asarray(given, device=output.device)
    if seed.shape != output.shape:
        raise ValueError(f"{asker}: the upstream gradient has shape {seed.shape}, the output {output.shape}")
    return seed if seed.dtype == output.dtype else seed.astype(output.dtype)


# --- filled ----------------------------------------------------------------------------------------------------------


def _shape(shape: Any, name: str) -> tuple[int, ...]:
    sizes = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    for size in sizes:
        if isinstance(size, bool) or not hasattr(size, "__index__"):
            raise TypeError(f"{name}: a shape is an integer or a tuple of them, got {shape!r}")
        if size.__index__() < 0:
            raise ValueError(f"{name}: negative size in shape {shape!r}")
    return tuple(s.__index__() for s in sizes)


def _backend(device: str | None) -> Any:
    """The kernels of a device, the CPU's if none is named."""
    return backend_for("cpu" if device is None else device)


def _variadic(shape: tuple, name: str) -> tuple[int, ...]:
    """A shape given as one tuple or as several integers."""
    return _shape(shape[0] if len(shape) == 1 else shape, name)


def empty(
    shape: Any = (), *sizes: int, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """An uninitialised tensor."""
    kind = dtypes.as_dtype(dtype) if dtype is not None else dtypes.default_float
    return Tensor(_backend(device).empty(_variadic((shape, *sizes), "empty"), kind), requires_grad)


def zeros(
    shape: Any = (), *sizes: int, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of zeros.

    >>> import autograd as ag
    >>> ag.zeros((2, 2), dtype=ag.int64)
    tensor([[0, 0],
            [0, 0]], dtype=int64)
    """
    return full(_variadic((shape, *sizes), "zeros"), 0.0, dtype=dtype, device=device, requires_grad=requires_grad)


def ones(
    shape: Any = (), *sizes: int, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of ones."""
    return full(_variadic((shape, *sizes), "ones"), 1.0, dtype=dtype, device=device, requires_grad=requires_grad)


def full(
    shape: Any, fill_value: complex, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """A tensor with every element `fill_value`; the dtype by default follows the value's type."""
    value = fill_value.item() if isinstance(fill_value, (Tensor, np.generic)) else fill_value
    kind = dtypes.as_dtype(dtype) if dtype is not None else dtypes.result_type(value)
    backend = _backend(device)
    return Tensor(backend.fill(backend.empty(_shape(shape, "full"), kind), value), requires_grad)


def empty_like(x: Tensor, /, dtype: Any = None, device: str | None = None) -> Tensor:
    """An uninitialised tensor of the same shape, dtype and device."""
    return empty(x.shape, dtype=dtype or x.dtype, device=device or x.device)


def zeros_like(x: Tensor, /, dtype: Any = None, device: str | None = None) -> Tensor:
    """Zeros of the same shape, dtype and device."""
    return zeros(x.shape, dtype=dtype or x.dtype, device=device or x.device)


def ones_like(x: Tensor, /, dtype: Any = None, device: str | None = None) -> Tensor:
    """Ones of the same shape, dtype and device."""
    if dtype is None and device is None:
        backend = backend_for(x.device)
        return wrap(backend.fill(backend.empty(x.shape, x.dtype), 1))
    return ones(x.shape, dtype=dtype or x.dtype, device=device or x.device)


def full_like(x: Tensor, /, fill_value: complex, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """A tensor of the same shape, dtype and device, every element `fill_value`."""
    return full(x.shape, fill_value, dtype=dtype or x.dtype, device=device or x.device)


def arange(
    start: float, /, stop: float | None = None, step: float = 1, *, dtype: Any = None, device: str | None = None
) -> Tensor:
    """Evenly spaced values from `start` (0 if one argument is given) up to, not including, `stop`."""
    given: tuple[Any, Any, Any] = (0, start, step) if stop is None else (start, stop, step)
    first, last, step = (v.item() if isinstance(v, Tensor) else v for v in given)
    if step == 0:
        raise ValueError("arange: the step must not be 0")
    if not all(isinstance(v, (int, float, np.generic)) for v in (first, last, step)):
        raise TypeError(f"arange: start, stop and step must be real numbers, got {first!r}, {last!r} and {step!r}")
    kind = dtypes.as_dtype(dtype) if dtype is not None else dtypes.result_type(*(type(v)() for v in (first, last, step)))
    if kind.kind == "f":  # in float64 and by multiplication: no rounding error adds up
        count = max(0, math.ceil((float(last) - float(first)) / float(step)))
        values = (float(first) + float(step) * np.arange(count)).astype(kind)
    else:
        values = np.arange(first, last, step, dtype=kind)
    return wrap(_backend(device).from_numpy(values))


def linspace(
    start: complex, stop: complex, /, num: int, *, dtype: Any = None, device: str | None = None, endpoint: bool = True
) -> Tensor:
    """`num` evenly spaced values from `start` to `stop`; complex64 by default where one of these is complex."""
    kind = dtypes.as_dtype(dtype) if dtype is not None else _kind_between(start, stop)
    return wrap(_backend(device).from_numpy(np.linspace(start, stop, num, endpoint=endpoint, dtype=kind)))


def _kind_between(*ends: Any) -> np.dtype:
    return dtypes.default_complex if any(isinstance(e, complex) for e in ends) else dtypes.default_float


def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: str | None = None
) -> Tensor:
    """Ones on the k-th diagonal, zeros elsewhere."""
    kind = dtypes.as_dtype(dtype) if dtype is not None else dtypes.default_float
    return wrap(_backend(device).from_numpy(np.eye(n_rows, n_cols, k=k, dtype=kind)))


def from_dlpack(x: Any, /, *, device: str | None = None, copy: bool | None = None) -> Tensor:
    """A tensor that shares the memory of anything with `__dlpack__`, on the CPU or a CUDA device.

    Args:
        device: where the tensor shall be, by default where x is; elsewhere it is a copy.
        copy: True copies always, False raises a ValueError where a copy is needed, None copies only then (for another
            device, and for memory that is read-only or of foreign byte order).

    Raises:
        BufferError: the other library does not give its memory away, for example that of a tensor that requires grad.
    """
    if not hasattr(x, "__dlpack__"):
        raise TypeError(f"from_dlpack: needs an object with __dlpack__, got {type(x).__name__}")
    if hasattr(x, "__dlpack_device__") and int(x.__dlpack_device__()[0]) in _ON_GPU:
        from kernels.cuda.array import from_dlpack as import_array

        shared = wrap(import_array(x))
        return asarray(shared, shared.dtype, device, copy)
    if isinstance(x, Tensor) and x.device != "cpu":  # the simulator's memory, which says that it is the host's
        x.__dlpack__()
        return asarray(x, device=device, copy=copy)
    array = np.from_dlpack(x)
    if not array.flags.writeable and not copy and canonical("cpu" if device is None else device) == "cpu":
        return wrap(array) if array.dtype in dtypes.SUPPORTED else asarray(array)  # which says what is supported
    return asarray(array, device=device, copy=copy)
