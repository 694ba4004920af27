"""Where a simulated kernel's data is: global memory behind pointers, shared and local arrays; each access is checked."""

import ast
import ctypes
import linecache
import math
import sys
from functools import lru_cache
from itertools import islice
from types import CodeType, FrameType
from typing import Any

import numpy as np

from .execution import INTERNAL, Misaligned, OutOfBounds, SimulationError, bases, current, here, register
from .races import ATOMIC, READ, WRITE

INTERNAL.add(__file__)
STATIC_LIMIT, DYNAMIC_LIMIT = 48 << 10, 227 << 10  # bytes of shared memory per block, sm_90
_getframe = sys._getframe


def dtype_of(dtype: Any) -> np.dtype:
    """The NumPy dtype of a kernel's type."""
    return np.dtype(getattr(dtype, "scalar", dtype))


def put(view: np.ndarray, place: int, value: Any) -> None:
    """view[place] = value by a C cast: a Python integer that does not fit wraps around."""
    try:
        view[place] = value
    except (OverflowError, ValueError):
        view[place] = np.asarray(value).astype(view.dtype)


class Place:
    """Elements in a row: what Pointer, SharedArray and LocalArray have in common.

    `view` holds the elements, `first` is the position of index 0 in it, `address` that of index 0 in bytes.
    """

    __slots__ = ("address", "dtype", "first", "itemsize", "last", "name", "view")

    space = "memory"
    depth = 1  # frames between an access method and the kernel

    def __init__(self, view: np.ndarray, first: int, address: int, name: str) -> None:
        self.view, self.first, self.address, self.name = view, first, address, name
        self.dtype, self.itemsize, self.last = view.dtype, view.itemsize, len(view)

    def title(self) -> str:
        """What messages call it."""
        return f"{self.space} array {self.name}" if self.name else f"a {self.space} array"

    def outside(self, verb: str, index: Any) -> OutOfBounds:
        """The error of an access to an index that is not there."""
        extent = f"has elements {-self.first} to {self.last - self.first - 1}" if self.last else "has no element"
        return OutOfBounds(f"{here()}: {verb} element {index} of {self.title()}, which {extent}")

    def position(self, index: Any, count: int, verb: str) -> int:
        """Where `count` elements from an index begin in `view`; checks bounds and alignment."""
        place = index.__index__() + self.first
        if place < 0 or place + count > self.last:
            beyond = index if not 0 <= place < self.last else self.last - self.first
            raise self.outside(f"{verb} {count} elements from {index}, and so" if count > 1 else verb, beyond)
        if count > 1:
            step = min(count * self.itemsize, 16)
            address = self.address + index.__index__() * self.itemsize
            if address % step:
                raise Misaligned(
                    f"{here()}: {verb} {count} elements of {self.title()} from index {index}; their address must be a "
                    f"multiple of {step} bytes, and is {address % step} more than one{self.advice(index, step)}"
                )
        return place

    def advice(self, index: Any, step: int) -> str:
        """What to do about a wrong alignment."""
        return ""

    def note(self, place: int, count: int, kind: int, frame: FrameType) -> None:
        """Write an access down, where races are possible."""

    def __getitem__(self, index: Any) -> Any:
        place = index.__index__() + self.first
        if 0 <= place < self.last:
            return self.view[place]
        raise self.outside("reads", index)

    def __setitem__(self, index: Any, value: Any) -> None:
        place = index.__index__() + self.first
        if 0 <= place < self.last:
            try:
                self.view[place] = value
            except (OverflowError, ValueError):
                put(self.view, place, value)
        else:
            raise self.outside("writes", index)

    def load(self, index: Any, count: int) -> tuple:
        """`count` elements from an index, by one instruction."""
        place = self.position(index, count, "reads")
        self.note(place, count, READ, _getframe(self.depth + 1))
        return tuple(self.view[place : place + count])

    def store(self, index: Any, count: int, values: Any) -> None:
        """Write `count` elements from an index, by one instruction."""
        if len(values) != count:
            raise SimulationError(f"{here()}: store{count} got {len(values)} values")
        place = self.position(index, count, "writes")
        self.note(place, count, WRITE, _getframe(self.depth + 1))
        for i, value in enumerate(values):
            put(self.view, place + i, value)

    def update(self, index: Any, function: Any) -> Any:
        """Replace an element x by function(x) atomically; returns the old one."""
        if self.dtype.kind not in "iu":
            raise SimulationError(f"{here()}: atomics work on integers only (determinism), {self.title()} is {self.dtype}")
        place = self.position(index, 1, "changes")
        self.note(place, 1, ATOMIC, _getframe(self.depth + 1))
        old = self.view[place]
        put(self.view, place, function(old))
        return old

    def bytes_at(self, index: Any, count: int, verb: str) -> np.ndarray:
        """A writable view of `count` bytes from an index whose address must be a multiple of 16."""
        if count == 0:
            return np.empty(0, np.uint8)
        elements = -(-count // self.itemsize)
        place = self.position(index, elements, verb)
        address = self.address + index.__index__() * self.itemsize
        if address % 16:
            raise Misaligned(f"{here()}: {verb} 16 bytes of {self.title()} at an address that is no multiple of 16")
        return self.view[place : place + elements].view(np.uint8)[:count]


class Pointer(Place):
    """Global memory: element i is at `address + i * itemsize`.

    The bytes from `low` up to `high` are the array's own; what lies outside them raises OutOfBounds. Reading gives
    NumPy scalars, writing converts like a C cast. bool is stored as bytes and read as uint8. The memory must outlive
    the pointer.
    """

    __slots__ = ("high", "low")

    space = "global"

    def __init__(self, address: int, dtype: Any, low: int | None = None, high: int | None = None, name: str = "") -> None:
        dtype = dtype_of(dtype)
        if dtype == np.bool_:
            dtype = np.dtype(np.uint8)
        address = int(address)
        self.low, self.high = address if low is None else int(low), address if high is None else int(high)
        start = self.low + (address - self.low) % dtype.itemsize
        count = max(0, self.high - start) // dtype.itemsize
        if count:
            view = np.frombuffer((ctypes.c_char * (count * dtype.itemsize)).from_address(start), dtype)
        else:
            view = np.empty(0, dtype)
        super().__init__(view, (address - start) // dtype.itemsize, address, name)

    @classmethod
    def of(cls, array: np.ndarray, name: str = "") -> "Pointer":
        """A pointer to an array's first element; its bounds are the bytes that its elements lie in."""
        low, high = np.lib.array_utils.byte_bounds(array) if array.size else (array.ctypes.data,) * 2
        return cls(array.ctypes.data, array.dtype, low, high, name)

    def title(self) -> str:
        if self.name:
            return f"argument {self.name}"
        for name, argument in zip(current.function.__code__.co_varnames, current.arguments, strict=False):
            if argument is self:
                return f"argument {name}"
        return "a global array"

    def advice(self, index: Any, step: int) -> str:
        return "" if not self.address % step else f" (the pointer itself is {self.address % step} more than one)"


class _Array(Place):
    """A shared or local array of one or more dimensions; `limit` ends what a plain index may name, 0 if several are needed."""

    __slots__ = ("limit", "shape", "size", "strides")

    def __init__(self, shape: tuple[int, ...], view: np.ndarray, address: int, name: str) -> None:
        super().__init__(view, 0, address, name)
        self.shape, self.size = shape, len(view)
        self.limit = len(view) if len(shape) == 1 else 0
        self.strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    def flat(self, index: Any, verb: str) -> int:
        """The position of one index or a tuple of them, each of which must lie within its dimension."""
        if len(self.shape) == 1 and not isinstance(index, tuple):
            index = (index,)
        if not isinstance(index, tuple) or len(index) != len(self.shape):
            raise SimulationError(f"{here()}: {self.title()} has {len(self.shape)} dimensions, and is indexed with {index!r}")
        place = 0
        for i, size, stride in zip(index, self.shape, self.strides, strict=True):
            i = i.__index__()
            if not 0 <= i < size:
                if len(index) == 1:
                    raise self.outside(verb, i)
                text = "(" + ", ".join(str(int(i)) for i in index) + ")"
                raise OutOfBounds(f"{here()}: {verb} element {text} of {self.title()}, whose shape is {self.shape}")
            place += i * stride
        return place

    def position(self, index: Any, count: int, verb: str) -> int:
        if len(self.shape) != 1 or type(index) is tuple:
            if count > 1:
                raise SimulationError(f"{here()}: vector accesses need an array of one dimension, not {self.title()}")
            index = self.flat(index, verb)
        return super().position(index, count, verb)


class LocalArray(_Array):
    """A thread's own array."""

    __slots__ = ()

    space = "local"

    def __getitem__(self, index: Any) -> Any:
        place = index if type(index) is int else -1 if type(index) is tuple else index.__index__()
        if not 0 <= place < self.limit:
            place = self.flat(index, "reads")
        return self.view[place]

    def __setitem__(self, index: Any, value: Any) -> None:
        place = index if type(index) is int else -1 if type(index) is tuple else index.__index__()
        if not 0 <= place < self.limit:
            place = self.flat(index, "writes")
        try:
            self.view[place] = value
        except (OverflowError, ValueError):
            put(self.view, place, value)


class SharedArray(_Array):
    """A block's array; each access is written down for races.py."""

    __slots__ = ("extend",)

    space = "shared"

    def __init__(self, shape: tuple[int, ...], view: np.ndarray, address: int, name: str) -> None:
        super().__init__(shape, view, address, name)
        self.extend = current.log.extend

    def note(self, place: int, count: int, kind: int, frame: FrameType) -> None:
        base = bases.get(id(frame.f_code))
        site = (register(frame.f_code) if base is None else base) + frame.f_lineno
        self.note_at(place, count, kind, current.thread.stamp, site)

    def note_at(self, place: int, count: int, kind: int, stamp: int, site: int) -> None:
        """Write down an access whose thread and site are known."""
        where = (self.address + place * self.itemsize) * 128
        size = count * self.itemsize
        while size > 64:
            self.extend((where + 64, stamp + kind, site))
            where, size = where + 64 * 128, size - 64
        self.extend((where + size, stamp + kind, site))

    def __getitem__(self, index: Any) -> Any:
        place = -1 if type(index) is tuple else index.__index__()
        if not 0 <= place < self.limit:
            place = self.flat(index, "reads")
        frame = _getframe(self.depth)
        base = bases.get(id(frame.f_code))
        site = (register(frame.f_code) if base is None else base) + frame.f_lineno
        self.extend(((self.address + place * self.itemsize) * 128 + self.itemsize, current.thread.stamp, site))
        return self.view[place]

    def __setitem__(self, index: Any, value: Any) -> None:
        place = -1 if type(index) is tuple else index.__index__()
        if not 0 <= place < self.limit:
            place = self.flat(index, "writes")
        frame = _getframe(self.depth)
        base = bases.get(id(frame.f_code))
        site = (register(frame.f_code) if base is None else base) + frame.f_lineno
        self.extend(((self.address + place * self.itemsize) * 128 + self.itemsize, current.thread.stamp + 1, site))
        try:
            self.view[place] = value
        except (OverflowError, ValueError):
            put(self.view, place, value)

    def arrive(self, place: int, target: np.ndarray, data: np.ndarray, stamp: int, site: int) -> None:
        """An asynchronous copy ends: `target`, a view of this array from `place`, becomes `data`."""
        target[:] = data
        self.note_at(place, 16 // self.itemsize, WRITE, stamp, site)

    def advice(self, index: Any, step: int) -> str:
        return f" (say alignment={step} where the array is made)" if self.address % step else ""


class SharedMemory:
    """The shared memory of one launch's blocks: dynamic memory first, then the static arrays by their place in the source.

    A static array's address is a multiple of the alignment that was asked for and of no larger power of two, so that a
    missing `alignment=` shows.
    """

    DYNAMIC = 1024  # the address of dynamic shared memory

    def __init__(self, dynamic_bytes: int) -> None:
        if not 0 <= dynamic_bytes <= DYNAMIC_LIMIT:
            raise SimulationError(f"{dynamic_bytes} bytes of dynamic shared memory; a block has at most {DYNAMIC_LIMIT}")
        self.dynamic = np.full(-(-dynamic_bytes // 16) * 16, 255, np.uint8)[:dynamic_bytes]
        self.arrays: dict[tuple[int, int, bool], SharedArray] = {}
        self.storages = [self.dynamic]
        self.end = self.DYNAMIC + -(-dynamic_bytes // 128) * 128
        self.static_bytes = 0

    def poison(self) -> None:
        """Fill everything with NaN (0xFF in every byte), for a new block."""
        for storage in self.storages:
            storage.fill(255)

    def array(self, shape: Any, dtype: Any, alignment: int | None, frame: FrameType) -> SharedArray:
        """The array that this place in the source stands for."""
        key = (id(frame.f_code), frame.f_lasti, current.trace is not None)
        if key not in self.arrays:
            kind = SharedArray if current.trace is None else current.trace.shared_array
            self.arrays[key] = self._made(shape, dtype_of(dtype), alignment, assigned_name(frame), kind, key)
        return self.arrays[key]

    def _made(self, shape: Any, dtype: np.dtype, alignment: int | None, name: str, kind: type, key: tuple) -> SharedArray:
        shape = shape_of(shape)
        twin = self.arrays.get((*key[:2], not key[2]))
        if twin is not None:  # made for the blocks that are (not) traced: the same memory
            return kind(twin.shape, twin.view, twin.address, name)
        if shape == (0,):
            count = len(self.dynamic) // dtype.itemsize
            return kind((count,), self.dynamic[: count * dtype.itemsize].view(dtype), self.DYNAMIC, name)
        step = alignment or dtype.itemsize
        if step & (step - 1) or step % dtype.itemsize:
            raise SimulationError(f"{here()}: alignment={alignment} is no power of two that {dtype} fits in")
        size = math.prod(shape) * dtype.itemsize
        self.static_bytes = -(-self.static_bytes // step) * step + size
        if self.static_bytes > STATIC_LIMIT or self.static_bytes + len(self.dynamic) > DYNAMIC_LIMIT:
            raise SimulationError(
                f"{here()}: {self.static_bytes} bytes of static and {len(self.dynamic)} of dynamic shared memory; a block "
                f"has at most {STATIC_LIMIT} of static, {DYNAMIC_LIMIT} together; ask for dynamic shared memory (shape 0)"
            )
        address = -(-self.end // step) * step
        address += step * (address % (2 * step) == 0)
        self.end = address + size
        storage = np.full(size, 255, np.uint8)
        self.storages.append(storage)
        return kind(shape, storage.view(dtype), address, name)

    def describe(self, address: int) -> str:
        """The array and index of an address, for people."""
        for array in self.arrays.values():
            offset = address - array.address
            if 0 <= offset < array.size * array.itemsize:
                place = offset // array.itemsize
                index = tuple(place // s % n for n, s in zip(array.shape, array.strides, strict=True))
                return f"element {index[0] if len(index) == 1 else index} of {array.title()}"
        return f"shared memory at byte {address}"


def local_array(shape: Any, dtype: Any, frame: FrameType) -> LocalArray:
    """A thread's own array, full of NaN."""
    shape, dtype = shape_of(shape), dtype_of(dtype)
    view = np.full(math.prod(shape) * dtype.itemsize, 255, np.uint8).view(dtype)
    if current.trace is not None:
        return current.trace.local_array(shape, view, 0, assigned_name(frame))
    return LocalArray(shape, view, 0, "")


def shape_of(shape: Any) -> tuple[int, ...]:
    """A shape given as an integer or several."""
    return tuple(int(n) for n in shape) if isinstance(shape, (tuple, list)) else (int(shape),)


def assigned_name(frame: FrameType) -> str:
    """The variable that the call a frame stands at is assigned to; "" if the source does not tell.

    `a, b = cuda.shared.array(8, float32), cuda.shared.array(8, float32)` gives each call its own name.
    """
    return _assigned_name(frame.f_code, frame.f_lasti, frame.f_code.co_filename)  # equal code may be in two files


@lru_cache(maxsize=1024)  # a kernel asks at every launch, and reading its source takes longer than running it
def _assigned_name(code: CodeType, at: int, file: str) -> str:
    line, _, column, _ = next(islice(code.co_positions(), at // 2, None))
    text = linecache.getline(file, line or 0)
    if column is None:
        return ""
    try:
        tree = ast.parse(text.strip())
    except SyntaxError:
        return ""
    column -= len(text) - len(text.lstrip())
    for statement in ast.walk(tree):
        if isinstance(statement, ast.Assign):
            pairs = [(statement.targets[0], statement.value)]
            if isinstance(statement.targets[0], ast.Tuple) and isinstance(statement.value, ast.Tuple):
                pairs = list(zip(statement.targets[0].elts, statement.value.elts, strict=False))
            for target, value in pairs:
                if isinstance(target, ast.Name) and value.col_offset <= column < (value.end_col_offset or 0):
                    return target.id
    return ""
