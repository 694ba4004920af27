"""Sharing device memory with other libraries: DLPack capsules and `__cuda_array_interface__`.

A capsule holds a C structure (DLPack 1.0: dlpack.h) that its consumer frees with the structure's own deleter, at any time
and in any thread, even while an exception is on its way. Deleters in C do that; ones in Python do not. So NumPy makes our
capsules: we show it the device's addresses as if they were the host's, which it does not look at, and correct the device and
the data type in the structure that it made. Its deleter then drops the reference that keeps our memory.

In the simulator an array's memory is the host's, and its capsules say so: NumPy and PyTorch read them.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

import numpy as np

from kernels.cuda.array import BFLOAT16, DeviceArray, _make, is_bfloat16
from kernels.cuda.memory import allocator, device_name, foreign_block, parse_device
from kernels.cuda.views import byte_bounds, dense_strides

CPU, CUDA, CUDA_HOST, CUDA_MANAGED = 1, 2, 3, 13  # DLDeviceType
LEGACY_STREAM, THREAD_STREAM, NO_STREAM = 1, 2, -1  # streams as the Array API numbers them; others are the driver's handles
_READ_ONLY, _IS_COPIED = 1, 2  # flags
_BFLOAT_CODE = 4
_CODES = {0: "i", 1: "u", 2: "f", _BFLOAT_CODE: "bfloat", 5: "c", 6: "b"}  # DLDataTypeCode


class _Tensor(ctypes.Structure):
    """DLTensor."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _Managed(ctypes.Structure):
    """DLManagedTensor."""

    _fields_ = (("tensor", _Tensor), ("manager", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


class _Versioned(ctypes.Structure):
    """DLManagedTensorVersioned."""

    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    )


# Prototypes of our own: the functions in ctypes.pythonapi are shared with whoever else sets their types.
_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_IsValid", ctypes.pythonapi))
_get_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", ctypes.pythonapi))
_set_name = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_SetName", ctypes.pythonapi))
_DELETER = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)

# By the name of a fresh capsule: its structure, and the name it has when it was consumed. Capsules do not copy their names.
_KINDS = {b"dltensor": (_Managed, b"used_dltensor"), b"dltensor_versioned": (_Versioned, b"used_dltensor_versioned")}


def _opened(capsule: Any) -> tuple[Any, bytes]:
    """The structure in a capsule that nobody has consumed, and what the capsule is called."""
    for name, (structure, _) in _KINDS.items():
        if _is_valid(capsule, name):
            return structure.from_address(_get_pointer(capsule, name)), name
    raise ValueError("DLPack: expected a capsule named 'dltensor' or 'dltensor_versioned' that nobody has consumed yet")


# --- giving ----------------------------------------------------------------------------------------------------------------


class _Lent:
    """Shows an array's addresses to NumPy, and keeps the array alive as the base of what NumPy makes of them."""

    __slots__ = ("__array_interface__", "array")

    def __init__(self, array: DeviceArray, dtype: np.dtype) -> None:
        self.array = array
        self.__array_interface__ = {
            "data": (array.pointer, not array._writeable),
            "shape": array.shape,
            "strides": array.strides,
            "typestr": dtype.str,
            "version": 3,
        }


def to_capsule(
    array: DeviceArray, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: bool | None = None
) -> Any:
    """A DLPack capsule of an array: what `__dlpack__` gives, with the arguments of the Array API.

    Args:
        stream: the consumer's stream, which waits for the work that writes the array: the driver's handle, 1 or None for the
            legacy default stream, 2 for the thread's default stream, -1 for no waiting.
        max_version: the newest DLPack version that the consumer understands; from (1, 0) on the capsule is a versioned one.
        dl_device: where the consumer wants the data: (1, 0) copies to the host.
        copy: whether to copy; None copies only where that is unavoidable.

    Raises:
        BufferError: the capsule cannot say what the array is, or the data would have to be copied and may not be.
    """
    here = array.__dlpack_device__()
    wanted = here if dl_device is None else (int(dl_device[0]), int(dl_device[1]))
    versioned = max_version is not None and int(max_version[0]) >= 1
    if wanted != here and wanted != (CPU, 0):
        raise BufferError(f"DLPack: an array on {_device(here)} can go there and to the host, not to {_device(wanted)}")
    if not array._writeable and not versioned and not copy and wanted == here:
        raise BufferError("DLPack: a read-only array needs a consumer that understands DLPack 1.0 (max_version), or a copy")
    if wanted != here:
        if copy is False:
            raise BufferError(f"DLPack: data on {array.device} cannot be shown to the host without a copy")
        return _host_capsule(array.numpy(), (CPU, 0), versioned, True)
    if copy:
        array = _copied(array)
    if here[0] == CUDA:
        _make_wait(array, stream)
    storage = np.dtype(np.uint16) if is_bfloat16(array.dtype) else array.dtype
    if storage.kind not in "biufc":
        raise BufferError(f"DLPack has no data type for {array.dtype}")
    shown = np.asarray(_Lent(array, storage)) if array.size else _like_empty(array, storage)
    return _host_capsule(shown, here, versioned, bool(copy), is_bfloat16(array.dtype))


def _host_capsule(shown: np.ndarray, device: tuple[int, int], versioned: bool, copied: bool, bfloat16: bool = False) -> Any:
    """NumPy's capsule, corrected to say which device it is about and what the bits mean."""
    if is_bfloat16(shown.dtype):
        shown, bfloat16 = shown.view(np.uint16), True
    # NumPy < 2.1 knows no versions.
    capsule = shown.__dlpack__(max_version=(1, 0)) if versioned else shown.__dlpack__()
    managed, _ = _opened(capsule)
    managed.tensor.device_type, managed.tensor.device_id = device
    if bfloat16:
        managed.tensor.code = _BFLOAT_CODE
    if copied and isinstance(managed, _Versioned):
        managed.flags |= _IS_COPIED
    return capsule


def _like_empty(array: DeviceArray, storage: np.dtype) -> np.ndarray:
    shown = np.empty(array.shape, storage)
    shown.flags.writeable = array._writeable
    return shown


def _copied(array: DeviceArray) -> DeviceArray:
    """The array in new memory, laid out as it is: the bytes between its elements come along."""
    low, high = byte_bounds(array)
    old = array.block
    runtime = old.runtime
    stream = runtime.stream(old.device)
    owner = old.owner if hasattr(old.owner, "allocate") else allocator(old.device)
    block = owner.allocate(high - low, stream)
    if high > low:
        old.use_on(stream)
        runtime.copy(block.pointer, low, high - low, stream)
    return _make(block, block.pointer + array.pointer - low, array.shape, array.strides, array.dtype, array.device, True)


def to_interface(array: DeviceArray) -> dict[str, Any]:
    """What `__cuda_array_interface__` gives; an AttributeError in the simulator, where the memory is no device's."""
    block = array.block
    if block.runtime.is_simulated:
        raise AttributeError("__cuda_array_interface__: in the simulator an array's memory is the host's")
    found: dict[str, Any] = {
        "shape": array.shape,
        "typestr": array.dtype.str,
        "data": (array.pointer if array.size else 0, not array._writeable),
        "version": 3,
        "strides": None if array.flags.c_contiguous else array.strides,
        "stream": None if block.stream is None else stream_handle(block.stream),
    }
    if array.dtype.names is not None:
        found["descr"] = array.dtype.descr
    return found


def stream_handle(stream: Any) -> int:
    """The driver's number of a stream."""
    handle = stream.handle
    return int(getattr(handle, "handle", handle))


def _make_wait(array: DeviceArray, stream: Any) -> None:
    """Let the consumer's stream wait for the array, and the array's memory for what the consumer does with it there."""
    block = array.block
    if stream is not None and (isinstance(stream, bool) or not hasattr(stream, "__index__") or stream < -1 or stream == 0):
        raise ValueError(f"DLPack: stream {stream!r}: expected None, -1, 1, 2 or a stream's handle; 0 is ambiguous")
    if stream == NO_STREAM or block.stream is None:
        return
    number = LEGACY_STREAM if stream is None else int(stream)
    if stream_handle(block.stream) == number:
        return
    consumer = _foreign_stream(block.runtime, block.device, number)
    if consumer is None:
        block.runtime.synchronize(block.device)
        return
    block.runtime.wait(consumer, block.stream)
    if number == LEGACY_STREAM:  # the one that will still exist when the block comes back
        block.also_used_on(consumer)


@lru_cache(maxsize=64)  # so that a stream is the same object whenever it comes
def _foreign_stream(runtime: Any, device: int, handle: int) -> Any:
    """A stream of another library, or None where the runtime cannot wait for one."""
    make = getattr(runtime, "foreign_stream", None)
    return None if make is None else make(device, handle)


def _device(device: tuple[int, int]) -> str:
    names = {CPU: "cpu", CUDA: "cuda", CUDA_HOST: "pinned host memory", CUDA_MANAGED: "CUDA managed memory"}
    return f"{names.get(device[0], f'device type {device[0]}')}:{device[1]}"


# --- taking ----------------------------------------------------------------------------------------------------------------


class Borrowed:
    """Keeps a consumed capsule's structure until the last array on its memory is gone; then has its maker delete it."""

    __slots__ = ("_address", "_delete")

    def __init__(self, managed: Any) -> None:
        self._address = ctypes.addressof(managed)
        self._delete = _DELETER(managed.deleter) if managed.deleter else None

    def __del__(self) -> None:
        delete, self._delete = self._delete, None
        if delete is not None:
            delete(self._address)


def import_object(obj: Any, runtime: Any = None) -> DeviceArray:
    """An array on the memory of anything with `__dlpack__`: no copy. It waits for what the producer has queued.

    Raises:
        BufferError: the data is not on a CUDA device, or of a type that we do not have.
    """
    runtime = runtime if runtime is not None else _current()
    if not hasattr(obj, "__dlpack__") or not hasattr(obj, "__dlpack_device__"):
        raise TypeError(f"from_dlpack: {type(obj).__name__} has no __dlpack__ and __dlpack_device__")
    kind, number = map(int, obj.__dlpack_device__())
    _check_device(kind, number, runtime)
    stream = None if kind == CPU else stream_handle(runtime.stream(number))
    try:
        capsule = obj.__dlpack__(stream=stream, max_version=(1, 0))
    except TypeError:  # a producer from before DLPack 1.0
        capsule = obj.__dlpack__(stream=stream)
    return from_capsule(capsule, runtime)


def from_capsule(capsule: Any, runtime: Any = None) -> DeviceArray:
    """An array on the memory that a capsule describes; consumes the capsule.

    The data must be ready for the calling thread's stream: `import_object` asks the producer for that.
    """
    runtime = runtime if runtime is not None else _current()
    managed, name = _opened(capsule)
    tensor = managed.tensor
    if isinstance(managed, _Versioned) and managed.major > 1:
        raise BufferError(f"DLPack: version {managed.major}.{managed.minor} is newer than 1, which is what we read")
    _check_device(tensor.device_type, tensor.device_id, runtime)
    dtype = _dtype_of(tensor)
    shape = tuple(tensor.shape[: tensor.ndim]) if tensor.ndim else ()
    if tensor.ndim and tensor.strides:
        strides = tuple(step * dtype.itemsize for step in tensor.strides[: tensor.ndim])
    else:
        strides = dense_strides(shape, dtype.itemsize)
    # Nothing below fails: from here on the structure is ours.
    _set_name(capsule, _KINDS[name][1])
    pointer = (tensor.data or 0) + tensor.byte_offset
    number = 0 if tensor.device_type == CPU else tensor.device_id
    read_only = isinstance(managed, _Versioned) and bool(managed.flags & _READ_ONLY)
    return _borrow(Borrowed(managed), pointer, shape, strides, dtype, number, read_only, runtime)


def import_interface(obj: Any, device: str | int | None = None, runtime: Any = None) -> DeviceArray:
    """An array on the memory of anything with `__cuda_array_interface__`; waits for the stream named there.

    The interface does not say which device the memory is on: `device` does, or else the driver is asked.
    """
    runtime = runtime if runtime is not None else _current()
    interface = getattr(obj, "__cuda_array_interface__", None)
    if interface is None:
        raise TypeError(f"from_interface: {type(obj).__name__} has no __cuda_array_interface__")
    if interface.get("mask") is not None:
        raise ValueError("from_interface: masked arrays are not supported; fill the masked elements first")
    descr = interface.get("descr")
    dtype = BFLOAT16 if descr == BFLOAT16.descr else np.dtype(interface["typestr"])
    if (dtype.kind not in "biufc" and dtype != BFLOAT16) or not dtype.isnative:
        raise TypeError(f"from_interface: dtype {interface['typestr']!r} is not supported; expected native numbers or bool")
    shape = tuple(map(int, interface["shape"]))
    strides = interface.get("strides")
    strides = dense_strides(shape, dtype.itemsize) if strides is None else tuple(map(int, strides))
    if len(strides) != len(shape):
        raise ValueError(f"from_interface: shape {shape} and strides {strides} have different lengths")
    pointer, read_only = interface["data"]
    pointer = int(pointer or 0)
    if device is not None:
        number = parse_device(device) if isinstance(device, str) else device
    else:
        find = getattr(runtime, "device_at", None)
        number = find(pointer) if find is not None and pointer else 0
    made = _borrow(obj, pointer, shape, strides, dtype, number, bool(read_only), runtime)
    handle = interface.get("stream")
    if handle is not None:
        if handle == 0:
            raise ValueError("from_interface: stream 0 is ambiguous; the interface forbids it")
        producer = _foreign_stream(runtime, number, int(handle))
        if producer is None:
            runtime.synchronize(number)
        else:
            runtime.wait(made.block.stream, producer)
    return made


def _borrow(
    owner: Any, pointer: int, shape: tuple, strides: tuple, dtype: np.dtype, device: int, read_only: bool, runtime: Any
) -> DeviceArray:
    block = foreign_block(0, 0, device, runtime.stream(device), owner, runtime)
    made = _make(block, pointer, shape, strides, dtype, device_name(device), not read_only)
    low, high = byte_bounds(made)
    block.pointer, block.nbytes, block.readonly = low, high - low, read_only
    return made


def _check_device(kind: int, number: int, runtime: Any) -> None:
    if kind == CPU and runtime.is_simulated:
        return
    where = _device((kind, number))
    if kind not in (CUDA, CUDA_MANAGED):
        raise BufferError(f"from_dlpack: the data is on {where}, not on a CUDA device: use from_numpy to copy it there")
    if runtime.is_simulated:
        raise BufferError(f"from_dlpack: the data is on {where}, a real device, and ours are simulated")
    if number >= runtime.device_count():
        raise BufferError(f"from_dlpack: there is no device {where} here")


def _dtype_of(tensor: _Tensor) -> np.dtype:
    kind = _CODES.get(tensor.code)
    if tensor.lanes != 1 or tensor.bits % 8 or kind is None:
        raise BufferError(f"from_dlpack: no dtype for type code {tensor.code} with {tensor.bits} bits and {tensor.lanes} lanes")
    if kind == "bfloat":
        return BFLOAT16
    try:
        return np.dtype(f"={kind}{tensor.bits // 8}")
    except TypeError:
        raise BufferError(f"from_dlpack: NumPy has no dtype of kind {kind!r} with {tensor.bits} bits") from None


def _current() -> Any:
    from kernels.cuda import runtime

    return runtime.current()
