"""Starting a kernel on a GPU: the Python between a kernel's call and the driver's, as short as it can be.

For each kernel a function is written when it first starts: with a name for every argument there is no loop over them, and
nothing is asked twice. For `scale(x: "T*", out: "T*", count: "int64", factor: "T")` with float32 it is

    def launch(grid, arguments, shared_bytes):
        try:
            a0, a1, a2, a3 = arguments
            stream = None if a0 is None else a0.block.stream
            if (
                stream is None
                or stream is not threads.streams.get(stream.device)
                or a1 is not None and a1.block.stream is not stream
            ):
                stream = bring(arguments)
            ...
            start(stream.handle, options, native, 0 if a0 is None else a0.pointer, ..., int(a2), float32(a3))
        except Exception as error:
            failed(error, grid, arguments)
            raise
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels import launch as door
from kernels.cuda import driver
from kernels.cuda.compiler import Grid, Kernel, check_grid
from kernels.cuda.runtime import Stream, device_of
from kernels.debug import say

if TYPE_CHECKING:
    from kernels.cuda.hardware import HardwareRuntime

core = driver.cuda_core()
cu = driver.cuda_driver()

_CONFIGURATIONS = 1 << 10  # per kernel
_SHARED = 48 << 10  # bytes of shared memory that a block may have without asking
# cuda.core passes a Python int as 8 bytes, a float as a double, and NumPy's scalars at their own width.
NUMBERS: dict[str, Callable[[Any], Any]] = {
    "int8": np.int8, "int16": np.int16, "int32": np.int32, "int64": int, "uint8": np.uint8, "uint16": np.uint16,
    "uint32": np.uint32, "uint64": np.uint64, "float32": np.float32, "float64": float, "bool": np.bool_,
}  # fmt: skip
# What the driver answers to machine code that it cannot load; anything else is an error of its own.
_UNLOADABLE = ("INVALID_IMAGE", "NO_BINARY_FOR_GPU", "NOT_SUPPORTED", "UNSUPPORTED_PTX_VERSION", "JIT_COMPILER_NOT_FOUND")

Start = Callable[[Grid, tuple, int], None]


class Launcher:
    """Starts kernels on the streams of a runtime; `recent` notes, by device, which were started last."""

    def __init__(self, runtime: HardwareRuntime) -> None:
        self.runtime = runtime
        self.by_numba = os.environ.get("GRADLOOM_CUDA_LAUNCH") == "numba"
        self._starts: dict[Kernel, Start] = {}
        self._lock = threading.RLock()

    def launch(self, kernel: Kernel, grid: Grid, arguments: tuple, shared_bytes: int) -> None:
        """Start a kernel; from its second time on it does without this."""
        start = self._starts.get(kernel)
        if start is None:
            with self._lock:
                start = self._starts.get(kernel)
                if start is None:
                    start = self._starts[kernel] = Prepared(self, kernel).start
                    door.rebind(kernel, start)
        start(grid, arguments, shared_bytes)

    def bring(self, blocks: list[Any]) -> Stream:
        """The calling thread's stream on the blocks' device, with all of them in its order."""
        runtime = self.runtime
        stream = runtime.stream(blocks[0].device if blocks else 0)
        for block in blocks:
            if block.stream is not stream:
                block.use_on(stream)
        return stream


class Prepared:
    """A kernel, ready to start: loaded by device, with launch options by (device, grid, bytes of shared memory)."""

    def __init__(self, launcher: Launcher, kernel: Kernel) -> None:
        self.launcher, self.kernel = launcher, kernel
        self.loaded: dict[int, Any] = {}
        self.shared: dict[int, int] = {}  # by device, the most that was allowed where the usual is too little
        self.configurations: dict[tuple[int, Grid, int], tuple[Callable, Any, Any]] = {}
        self.pointers = [i for i, (_, _, pointer) in enumerate(kernel.parameters) if pointer]
        known = {
            "bring": self.bring, "configurations": self.configurations, "configured": self.configured, "failed": self.failed,
            "threads": launcher.runtime.threads, "recent": launcher.runtime.recent, "name": kernel.name, **NUMBERS,
        }  # fmt: skip
        exec(compile(_source(kernel), f"<launch of {kernel.name}>", "exec"), known)
        self.start: Start = known["launch"]

    def bring(self, arguments: tuple) -> Stream:
        """The stream for a launch with these arguments, for which the arrays' memory is ready."""
        arrays = [arguments[i] for i in self.pointers if arguments[i] is not None]
        device_of(arrays)  # raises where they are on several
        return self.launcher.bring([a.block for a in arrays])

    def configured(self, device: int, grid: Grid, shared_bytes: int) -> tuple[Callable, Any, Any]:
        """How to start with a grid seen for the first time: by what function, with which options, and the loaded kernel."""
        kernel = self.kernel
        check_grid(kernel.name, grid)
        with self.launcher._lock:
            if device not in self.loaded:
                self.launcher.runtime.enter(device)
                self.loaded[device] = self._load(device)
            native = self.loaded[device]
            if native is None:
                found = (self._by_numba, (device, grid, shared_bytes), self._dispatcher(device))
            else:
                if shared_bytes > self.shared.get(device, _SHARED):
                    self.shared[device] = _allow_shared(native, device)
                found = (core.launch, core.LaunchConfig(grid=grid, block=kernel.threads, shmem_size=shared_bytes), native)
            if len(self.configurations) >= _CONFIGURATIONS:
                self.configurations.clear()
            self.configurations[device, grid, shared_bytes] = found
            return found

    def _load(self, device: int) -> Any:
        """The kernel for cuda.core; None where numba.cuda shall launch it."""
        if self.launcher.by_numba:
            return None
        kernel = self.kernel
        code = kernel.cubin(self.launcher.runtime.capability(device))
        try:
            return core.ObjectCode.from_cubin(code).get_kernel(kernel.function)
        except Exception as error:
            if not any(name in str(error) for name in _UNLOADABLE):
                raise
            say(0, f"kernel {kernel.name}: its machine code cannot be loaded ({error}); numba.cuda launches it, more slowly")
            return None

    def _dispatcher(self, device: int) -> Any:
        """numba.cuda's own; its machine code is for one device."""
        found = self.kernel._loaded.get(("dispatcher", device))
        if found is None:
            function, signature = self.kernel.compiled()
            found = driver.numba_cuda().jit(signature, launch_bounds=self.kernel.launch_bounds)(function)
            self.kernel._loaded["dispatcher", device] = found
        return found

    def _by_numba(self, stream: Any, options: tuple[int, Grid, int], dispatcher: Any, *given: Any) -> None:
        device, grid, shared_bytes = options
        self.launcher.runtime.enter(device)  # numba.cuda looks at the thread's device
        values = [value.item() if isinstance(value, np.generic) else value for value in given]
        theirs = driver.numba_cuda().external_stream(int(stream.handle))
        dispatcher[grid, self.kernel.threads, theirs, shared_bytes](*values)

    def failed(self, error: Exception, grid: Grid, arguments: tuple) -> None:
        """Say what was started when an error was raised."""
        shapes = [None if a is None else a.shape for a in arguments if a is None or hasattr(a, "shape")]
        error.add_note(f"when {described((self.kernel.name, grid, shapes))}, was started")


def described(launched: tuple[str, Grid, Any]) -> str:
    """A kernel's launch in words."""
    name, grid, shapes = launched
    return f"kernel {name}, grid {grid}, arrays of shapes {', '.join(map(str, shapes)) or 'none'}"


def _source(kernel: Kernel) -> str:
    """The text of the function that starts a kernel; see the head of this file."""
    names = [f"a{i}" for i in range(len(kernel.parameters))]
    pointers = [name for name, (_, _, pointer) in zip(names, kernel.parameters, strict=True) if pointer]
    given = [
        f"0 if {name} is None else {name}.pointer" if pointer else f"{dtype}({name})"
        for name, (_, dtype, pointer) in zip(names, kernel.parameters, strict=True)
    ]
    first = pointers[0] if pointers else "None"
    elsewhere = "".join(f" or {name} is not None and {name}.block.stream is not stream" for name in pointers[1:])
    shapes = "".join(f"None if {name} is None else {name}.shape, " for name in pointers)
    return f"""\
def launch(grid, arguments, shared_bytes):
    try:
        {"".join(f"{name}, " for name in names)} = arguments
        stream = None if {first} is None else {first}.block.stream
        if stream is None or stream is not threads.streams.get(stream.device){elsewhere}:
            stream = bring(arguments)
        device = stream.device
        found = configurations.get((device, grid, shared_bytes))
        start, options, native = found if found is not None else configured(device, grid, shared_bytes)
        recent[device].append((name, grid, ({shapes})))
        start(stream.handle, options, native, {", ".join(given)})
    except Exception as error:
        failed(error, grid, arguments)
        raise
"""


def _allow_shared(native: Any, device: int) -> int:
    """Let the kernel have as much shared memory as the device gives a block beyond the kernel's own fixed arrays."""
    from kernels.cuda.hardware import check

    optin = cu.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
    fixed = cu.CUfunction_attribute.CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES
    dynamic = cu.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    handle = native.handle
    most = check(cu.cuDeviceGetAttribute(optin, device), "asking for the shared memory")
    most -= check(cu.cuKernelGetAttribute(fixed, handle, device), "asking for a kernel's shared memory")
    check(cu.cuKernelSetAttribute(dynamic, most, handle, device), "allowing a kernel more shared memory")
    return most
