"""A stand-in for the CUDA driver: `cuda.core` and `cuda.bindings.driver` over host memory, for `kernels.cuda.hardware`.

It has the names that hardware.py uses, with the real ones' arguments and kinds of results. Kernels run in the simulator.
Two things make it stricter than a GPU. Streams are lazy: work runs when somebody waits for it and not before (or in any
order that the streams allow, in the mode "random:SEED"), so that a missing wait, a buffer used again too early or memory
freed too early gives wrong numbers or an error. And a launch looks at the kind of every argument.

`pytest -p fake_driver` with GRADLOOM_REHEARSAL=lazy (or random:1, or numba) puts it in place of the real modules; see
tests/kernels/cuda/test_hardware.py.
"""

from __future__ import annotations

import ctypes
import enum
import os
import random
import sys
import threading
import time
from collections import deque, namedtuple
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import numpy as np


class CUresult(enum.IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_VALUE = 1
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_INVALID_CONTEXT = 201
    CUDA_ERROR_NO_BINARY_FOR_GPU = 209
    CUDA_ERROR_NOT_FOUND = 500
    CUDA_ERROR_ILLEGAL_ADDRESS = 700
    CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES = 701


OK = CUresult.CUDA_SUCCESS


class CUDAError(Exception):
    """What cuda.core raises."""

    def __init__(self, status: CUresult) -> None:
        super().__init__(f"{status.name}: {_text(status)}")


def _text(status):
    return f"the driver's words for {status.name[11:].lower().replace('_', ' ')}"


class _Handle:
    """A driver's handle: an object with a number, as CUstream, CUdeviceptr and CUkernel are."""

    def __init__(self, number):
        self._number = int(number)

    def __int__(self):
        return self._number


class CUstream(_Handle):
    pass


class CUdeviceptr(_Handle):
    pass


class CUkernel(_Handle):
    pass


class GPU:
    """One device: `room` bytes of memory; `broken` is what every call gives after a kernel has failed."""

    def __init__(self, number, room, capability):
        self.number, self.room, self.capability = number, room, capability
        self.memory = {}  # by address: (size, buffer)
        self.broken = None
        self.cause = None

    def used(self):
        return sum(size for size, _ in self.memory.values())


class Queue:
    """The work of one stream."""

    def __init__(self, gpu, handle):
        self.gpu, self.handle = gpu, handle
        self.tasks = deque()
        self.queued = self.done = 0

    def add(self, task):
        with the.lock:
            self.tasks.append(task)
            self.queued += 1
            the.run_some()
            return self.queued

    def run(self, count):
        """Run the first `count` tasks that were ever queued, as far as that is not done."""
        while self.done < count:
            task = self.tasks.popleft()
            self.done += 1
            if self.gpu.broken is None:
                try:
                    task()
                except Exception as error:
                    self.gpu.broken, self.gpu.cause = CUresult.CUDA_ERROR_ILLEGAL_ADDRESS, error


class State:
    """Everything: devices, streams, and what tests ask for and look at."""

    def __init__(self, mode="lazy"):
        kind, _, seed = mode.partition(":")
        self.mode = kind
        self.random = random.Random(int(seed)) if kind == "random" else None
        self.lock = threading.RLock()
        self.gpus = [GPU(0, 1 << 29, (9, 0)), GPU(1, 1 << 29, (8, 0))]
        self.queues = {}
        self.handles = iter(range(1 << 20, 1 << 40, 16))
        self.local = threading.local()
        self.pinned = {}
        self.cubins = {}
        self.kernels = {}  # by CUkernel's number
        self.launches = []  # (name, grid, shared bytes, device)
        self.fail_next = None  # a CUresult: the next launch is refused with it
        self.break_next = False  # the next launch fails when it runs

    def run_some(self):
        if self.random is not None:
            for queue in self.random.sample(list(self.queues.values()), len(self.queues)):
                if self.random.random() < 0.5:
                    queue.run(queue.done + self.random.randint(0, len(queue.tasks)))

    def current(self):
        return getattr(self.local, "gpu", None)

    def forget(self):
        """Do the work that is left, and forget failures and what was launched."""
        with self.lock:
            for queue in self.queues.values():
                queue.run(queue.queued)
            for gpu in self.gpus:
                gpu.broken = gpu.cause = None
                gpu.room = 1 << 29
            self.fail_next, self.break_next = None, False
            self.launches.clear()

    def locate(self, address, size=0):
        """(first address, size) of the live memory that a range is in."""
        for gpu in self.gpus:
            for low, (nbytes, _) in gpu.memory.items():
                if low <= address <= address + size <= low + nbytes:
                    return low, nbytes
        raise AssertionError(f"{size} bytes at {address:#x} are in no memory of a device: freed, or never there")


the = State()


def status_of(gpu):
    return OK if gpu is None or gpu.broken is None else gpu.broken


def raise_broken(gpu):
    if gpu.broken is not None:
        raise CUDAError(gpu.broken) from gpu.cause


# --- cuda.core -------------------------------------------------------------------------------------------------------------

ComputeCapability = namedtuple("ComputeCapability", "major minor")


@dataclass
class EventOptions:
    timing_enabled: bool | None = False
    blocking_sync: bool | None = False
    ipc_enabled: bool | None = False


class Event:
    def __init__(self, gpu, timing):
        self._gpu, self._timing = gpu, timing
        self._queue, self._ticket, self._time = None, 0, None

    def _record(self, queue):
        self._queue, self._time = queue, None

        def happen():
            self._time = time.perf_counter()

        self._ticket = queue.add(happen)

    def sync(self):
        if self._queue is not None:
            with the.lock:
                self._queue.run(self._ticket)
            raise_broken(self._queue.gpu)

    @property
    def is_done(self):
        if self._queue is not None:
            raise_broken(self._queue.gpu)
        return self._queue is None or self._queue.done >= self._ticket

    def __sub__(self, other):
        if not (self._timing and other._timing):
            raise RuntimeError("Both Events must be created with timing enabled in order to subtract them")
        if self._time is None or other._time is None:
            raise RuntimeError("One or both events have not completed")
        return (self._time - other._time) * 1e3


class Stream:
    def __init__(self, *args, **kwargs):
        raise RuntimeError("Stream objects cannot be instantiated directly.")

    @classmethod
    def _of(cls, queue):
        stream = cls.__new__(cls)
        stream._queue = queue
        return stream

    @staticmethod
    def from_handle(handle):
        assert type(handle) is int
        if handle in (1, 2) and handle not in the.queues:
            the.queues[handle] = Queue(the.current(), handle)
        return Stream._of(the.queues[handle])

    def __hash__(self):
        return hash(self._queue.handle)

    def __eq__(self, other):
        return isinstance(other, Stream) and self._queue.handle == other._queue.handle

    @property
    def handle(self):
        return CUstream(self._queue.handle)

    def sync(self):
        with the.lock:
            self._queue.run(self._queue.queued)
        raise_broken(self._queue.gpu)

    def record(self, event=None, options=None):
        raise_broken(self._queue.gpu)
        if event is None:
            event = Event(self._queue.gpu, bool(options and options.timing_enabled))
        assert event._gpu is self._queue.gpu, "an event is recorded on streams of its own device"
        event._record(self._queue)
        return event

    def wait(self, event_or_stream):
        event = event_or_stream.record() if isinstance(event_or_stream, Stream) else event_or_stream
        queue, ticket = event._queue, event._ticket  # what was recorded by now
        if queue is not None:
            self._queue.add(lambda: queue.run(ticket))


class Device:
    def __init__(self, device_id=None):
        self.device_id = device_id
        self._gpu = the.gpus[device_id]
        self._initialised = False

    @property
    def name(self):
        return f"a stand-in for a GPU, number {self.device_id}"

    @property
    def compute_capability(self):
        return ComputeCapability(*self._gpu.capability)

    @property
    def properties(self):
        return SimpleNamespace(multiprocessor_count=4)

    def set_current(self, ctx=None):
        self._initialised = True
        the.local.gpu = self._gpu

    def _check(self):
        if not self._initialised or the.current() is not self._gpu:
            raise CUDAError(CUresult.CUDA_ERROR_INVALID_CONTEXT)
        raise_broken(self._gpu)

    def create_stream(self, obj=None, *, options=None):
        self._check()
        with the.lock:
            queue = Queue(self._gpu, next(the.handles))
            the.queues[queue.handle] = queue
        return Stream._of(queue)

    def create_event(self, options=None):
        self._check()
        return Event(self._gpu, bool(options and options.timing_enabled))

    def sync(self):
        with the.lock:
            for queue in the.queues.values():
                if queue.gpu is self._gpu:
                    queue.run(queue.queued)
        self._check()


class LaunchConfig:
    def __init__(self, grid=None, cluster=None, block=None, shmem_size=None, is_cooperative=False):
        self.grid, self.block = _three("LaunchConfig.grid", grid), _three("LaunchConfig.block", block)
        self.shmem_size = 0 if shmem_size is None else shmem_size


def _three(label, size):
    sizes = (size,) if isinstance(size, int) else size
    if not isinstance(sizes, tuple) or not 1 <= len(sizes) <= 3 or any(not isinstance(n, int) or n < 1 for n in sizes):
        raise ValueError(f"{label} must be an int, or a tuple of up to three positive ones, got {size!r}")
    return (*sizes, 1, 1)[:3]


class LoadedKernel:
    """cuda.core.Kernel."""

    def __init__(self, kernel, capability):
        self.kernel, self.capability, self.shared = kernel, capability, {}
        self._number = len(the.kernels) + 1
        the.kernels[self._number] = self

    @property
    def handle(self):
        return CUkernel(self._number)


class ObjectCode:
    @staticmethod
    def from_cubin(module, *, name="", symbol_mapping=None):
        assert type(module) is bytes
        code = ObjectCode()
        code._kernel, code._capability = the.cubins[module]
        return code

    def get_kernel(self, name):
        if self._capability != the.current().capability:
            raise CUDAError(CUresult.CUDA_ERROR_NO_BINARY_FOR_GPU)
        if name != self._kernel.function:
            raise CUDAError(CUresult.CUDA_ERROR_NOT_FOUND)
        return LoadedKernel(self._kernel, self._capability)


def launch(stream, config, kernel, *kernel_args):
    """cuda.core.launch: the work is queued."""
    assert type(stream) is Stream and type(config) is LaunchConfig and type(kernel) is LoadedKernel
    gpu = stream._queue.gpu
    if the.current() is None or kernel.capability != gpu.capability:
        raise CUDAError(CUresult.CUDA_ERROR_INVALID_CONTEXT)
    if config.shmem_size > kernel.shared.get(gpu.number, 48 << 10):
        raise CUDAError(CUresult.CUDA_ERROR_INVALID_VALUE)
    enqueue(kernel.kernel, config.grid, config.shmem_size, stream._queue, kernel_args)


def enqueue(kernel, grid, shared_bytes, queue, given):
    from kernels.cuda import simulator
    from kernels.cuda.compiler import POINTER_TYPES
    from kernels.cuda.emulation import Pointer

    raise_broken(queue.gpu)
    if the.fail_next is not None:
        status, the.fail_next = the.fail_next, None
        raise CUDAError(status)
    assert len(given) == len(kernel.parameters), f"{kernel.name}: the hardware would read beyond the arguments"
    for argument, (name, dtype, is_pointer) in zip(given, kernel.parameters, strict=True):
        check_kind(argument, name, "uintp" if is_pointer else dtype)
    breaks, the.break_next = the.break_next, False
    the.launches.append((kernel.name, grid, shared_bytes, queue.gpu.number))

    def run():
        if breaks:
            raise AssertionError("a test wants this kernel to fail")
        arguments = []
        for argument, (name, dtype, is_pointer) in zip(given, kernel.parameters, strict=True):
            if is_pointer:
                low, size = the.locate(argument) if argument else (0, 0)
                pointer = Pointer(argument, np.dtype(POINTER_TYPES.get(dtype, dtype)), low, low + size)
                pointer.name = name
                arguments.append(pointer)
            else:
                arguments.append(np.dtype(dtype).type(getattr(argument, "value", argument)))
        simulator.launch(kernel.simulated, grid, kernel.threads, tuple(arguments), shared_bytes=shared_bytes, name=kernel.name)

    queue.add(run)


def check_kind(argument, name, dtype):
    """cuda.core passes a Python int as 8 bytes, a float as a double, and NumPy's and ctypes' numbers at their own width."""
    kind = type(argument)
    if kind is int or kind is float:
        fits = dtype in ("uintp", "int64") if kind is int else dtype == "float64"
    else:
        fits = np.dtype(kind) == np.dtype(dtype)
    assert fits, f"argument {name} of type {dtype} was given as {kind}"


# --- cuda.bindings.driver --------------------------------------------------------------------------------------------------


class CUpointer_attribute(enum.IntEnum):
    CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL = 9


class CUdevice_attribute(enum.IntEnum):
    CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97


class CUfunction_attribute(enum.IntEnum):
    CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES = 1
    CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8


STATIC_SHARED = 1024  # what every kernel here is said to have of its own


def cuInit(Flags):
    return (OK,)


def cuDriverGetVersion():
    return OK, 13000


def cuDeviceGetCount():
    return OK, len(the.gpus)


def cuGetErrorName(error):
    return OK, error.name.encode()


def cuGetErrorString(error):
    return OK, _text(error).encode()


def cuMemAlloc(bytesize):
    gpu = the.current()
    if gpu is None:
        return CUresult.CUDA_ERROR_INVALID_CONTEXT, None
    with the.lock:
        if gpu.broken is not None:
            return gpu.broken, None
        if gpu.used() + bytesize > gpu.room:
            return CUresult.CUDA_ERROR_OUT_OF_MEMORY, None
        buffer = np.full(bytesize + 512, 0xA5, np.uint8)
        address = buffer.ctypes.data + -buffer.ctypes.data % 512
        gpu.memory[address] = (bytesize, buffer)
        return OK, CUdeviceptr(address)


def cuMemFree(dptr):
    gpu = the.current()
    with the.lock:
        if int(dptr) not in gpu.memory:
            return (CUresult.CUDA_ERROR_INVALID_VALUE,)
        _, buffer = gpu.memory.pop(int(dptr))
        buffer[...] = 0xB6  # whoever still reads it finds this
        return (OK,)


def cuMemGetInfo():
    gpu = the.current()
    return (CUresult.CUDA_ERROR_INVALID_CONTEXT, None, None) if gpu is None else (OK, gpu.room - gpu.used(), gpu.room)


def cuMemHostAlloc(bytesize, Flags):
    if the.current() is None:
        return CUresult.CUDA_ERROR_INVALID_CONTEXT, None
    buffer = np.full(bytesize, 0xC7, np.uint8)
    the.pinned[buffer.ctypes.data] = buffer
    return OK, buffer.ctypes.data


def _is_pinned(address, size):
    return any(low <= address and address + size <= low + buffer.nbytes for low, buffer in the.pinned.items())


def _queue(hStream):
    assert type(hStream) is CUstream
    return the.queues[int(hStream)]


def cuMemcpyHtoDAsync(dstDevice, srcHost, ByteCount, hStream):
    queue = _queue(hStream)
    assert type(srcHost) is int and _is_pinned(srcHost, ByteCount), "a copy from pageable memory is not asynchronous"
    return _copy(queue, int(dstDevice), srcHost, ByteCount, [int(dstDevice)])


def cuMemcpyDtoHAsync(dstHost, srcDevice, ByteCount, hStream):
    queue = _queue(hStream)
    assert type(dstHost) is int and _is_pinned(dstHost, ByteCount), "a copy to pageable memory is not asynchronous"
    return _copy(queue, dstHost, int(srcDevice), ByteCount, [int(srcDevice)])


def cuMemcpyAsync(dst, src, ByteCount, hStream):
    return _copy(_queue(hStream), int(dst), int(src), ByteCount, [int(dst), int(src)])


def _copy(queue, destination, source, size, on_devices):
    if queue.gpu.broken is None:

        def run():
            for address in on_devices:
                the.locate(address, size)
            ctypes.memmove(destination, source, size)

        queue.add(run)
    return (status_of(queue.gpu),)


def cuMemsetD8Async(dstDevice, uc, N, hStream):
    queue = _queue(hStream)
    assert 0 <= uc < 256

    def run():
        the.locate(int(dstDevice), N)
        ctypes.memset(int(dstDevice), uc, N)

    queue.add(run)
    return (status_of(queue.gpu),)


def cuPointerGetAttribute(attribute, ptr):
    assert attribute == CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
    for gpu in the.gpus:
        if any(low <= ptr < low + size for low, (size, _) in gpu.memory.items()):
            return OK, gpu.number
    return CUresult.CUDA_ERROR_INVALID_VALUE, None


def cuDeviceGetAttribute(attrib, dev):
    assert attrib == CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN and type(dev) is int
    return OK, 227 << 10


def cuKernelGetAttribute(attrib, kernel, dev):
    assert attrib == CUfunction_attribute.CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES and type(kernel) is CUkernel
    return OK, STATIC_SHARED


def cuKernelSetAttribute(attrib, val, kernel, dev):
    assert attrib == CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES and type(kernel) is CUkernel
    if val + STATIC_SHARED > 227 << 10:
        return (CUresult.CUDA_ERROR_INVALID_VALUE,)
    the.kernels[int(kernel)].shared[dev] = val
    return (OK,)


# --- numba.cuda's dispatcher -----------------------------------------------------------------------------------------------


class FakeNumba:
    """What hardware.py uses of numba.cuda: `jit` of a signature, and launches of what it gives."""

    implementation = "NVIDIA"

    @staticmethod
    def external_stream(handle):
        assert type(handle) is int
        return the.queues[handle]

    @staticmethod
    def jit(signature, launch_bounds=None):
        return lambda function: FakeDispatcher(function, signature, launch_bounds)


class FakeDispatcher:
    def __init__(self, kernel, parameters, launch_bounds):
        self.kernel, self.parameters = kernel, parameters
        assert launch_bounds == kernel.launch_bounds

    def __getitem__(self, configuration):
        grid, block, queue, shared_bytes = configuration
        assert block == self.kernel.threads and queue.gpu is the.current()

        def start(*values):
            assert all(type(value) in (int, float, bool) for value in values)
            given = [
                value if pointer else value if dtype in ("int64", "float64") else np.dtype(dtype).type(value)
                for value, (_, dtype, pointer) in zip(values, self.parameters, strict=True)
            ]
            enqueue(self.kernel, _three("grid", grid), shared_bytes, queue, given)

        return start


# --- putting it in place ---------------------------------------------------------------------------------------------------

CORE = "Device EventOptions LaunchConfig ObjectCode Stream launch".split()
BINDINGS = (
    "CUresult CUpointer_attribute CUdevice_attribute CUfunction_attribute cuInit cuDriverGetVersion cuDeviceGetCount "
    "cuGetErrorName cuGetErrorString cuMemAlloc cuMemFree cuMemGetInfo cuMemHostAlloc cuMemcpyHtoDAsync cuMemcpyDtoHAsync "
    "cuMemcpyAsync cuMemsetD8Async cuPointerGetAttribute cuDeviceGetAttribute cuKernelGetAttribute cuKernelSetAttribute"
).split()


def _module(name, **contents):
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    module.__dict__.update(contents)
    sys.modules[name] = module
    return module


def activate(mode):
    """Let this process have two stand-ins for GPUs. Not to be undone: plans and caches are made for a device."""
    global the
    the = State(mode)
    os.environ.pop("GRADLOOM_CUDA", None)
    names = globals()
    core = _module("cuda.core", **{name: names[name] for name in CORE})
    driver = _module("cuda.bindings.driver", **{name: names[name] for name in BINDINGS})
    bindings = _module("cuda.bindings", driver=driver, __path__=[])
    _module("cuda", core=core, bindings=bindings, __path__=[])
    _module("numba_cuda")
    if mode == "numba":
        os.environ["GRADLOOM_CUDA_LAUNCH"] = "numba"

    from kernels.cuda import compiler
    from kernels.cuda import driver as ours

    def cubin(self, capability=(9, 0)):
        token = f"machine code of {self.name}, {id(self)}, for {capability}".encode()
        the.cubins[token] = (self, capability)
        return token

    compiler.Kernel.cubin = cubin
    compiler.Kernel.compiled = lambda self: (self, self.parameters)
    ours.numba_cuda = lambda: FakeNumba
    ours.compiler_available = lambda: False
    assert ours.state() == ours.HARDWARE


ACTIVE = os.environ.get("GRADLOOM_REHEARSAL", "")
if ACTIVE and __name__ == "fake_driver" and "kernels.cuda.hardware" not in sys.modules:
    activate(ACTIVE)
