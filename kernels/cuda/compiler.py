"""From a kernel's Python source to machine code for a GPU, or to what the simulator runs.

    @kernel(threads=256, uses=[...])
    def scale(x: "T*", out: "T*", count: "int64", factor: "T"):
        i = int64(cuda.blockIdx.x) * int64(THREADS) + int64(cuda.threadIdx.x)
        if i < count:
            out[i] = x[i] * factor

    scale[np.float32](grid, x, out, n, 2.0)                   # grid: blocks, an int or a tuple of up to three
    scale.specialised(np.float32, threads=512, TILE=4)(...)   # other constants

Annotations, type variables and helpers are those of `kernels.template`. The vocabulary of a kernel's body is
`kernels.cuda.ptx` (numba.cuda itself, 16-byte loads, asynchronous copies, tensor cores) and the scalar functions of
`kernels.cuda.math` by their bare names; numbers in capitals that a specialisation gives are constants of its module,
THREADS always among them. Nothing else may be used: a module of the same text, with `kernels.cuda.emulation` in place of
`kernels.cuda.ptx`, is what the simulator runs.

Machine code is made by numba-cuda (to PTX) and nvJitLink (to a cubin for one architecture) and kept in the cache folder
under a hash of all it depends on; with a cubin there, numba is not even imported. float16 and bfloat16 arrays are uint16
to a kernel, bool arrays uint8.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from kernels import cache as source_cache
from kernels import launch, template
from kernels.cuda import runtime
from kernels.cuda.blocks import device_name
from kernels.debug import DEBUG, say
from kernels.template import Parameter, function_name, inlined, names_in  # noqa: F401  (inlined: for the files of kernels)

Grid = int | tuple[int, ...]
# Distributions whose version decides what machine code comes out; the names for CUDA 13, and for 12.
DECISIVE = "numba-cuda numba llvmlite nvidia-nvvm nvidia-nvjitlink nvidia-nvvm-cu12 nvidia-nvjitlink-cu12 nvidia-cuda-nvcc-cu12"
MAX_GRID = (2**31 - 1, 65535, 65535)


class Template(template.Template):
    """A kernel's generic source; `template[dtype]` is the `Kernel` for that type, made at first use."""

    def __init__(
        self,
        function: Callable,
        threads: int = 256,
        uses: Sequence[Callable | str] = (),
        cost: Callable | None = None,
        name: str = "",
        constants: dict[str, int] | None = None,
    ) -> None:
        super().__init__(function, uses, name)
        self.threads, self.cost, self.constants = threads, cost, dict(constants or {})
        TEMPLATES.append(self)

    def _specialise(self, dtypes: Any) -> Kernel:
        return self._make(dtypes, self.threads, self.constants)

    def specialised(self, dtypes: Any = (), threads: int | None = None, **constants: int) -> Kernel:
        """The kernel for types, block size and constants other than the template's."""
        threads = threads or self.threads
        key = (dtypes, threads, *sorted(constants.items()))
        made = self._made.get(key)
        if made is None:
            with template.lock:
                made = self._made.get(key)
                if made is None:
                    made = self._made[key] = self._make(dtypes, threads, {**self.constants, **constants})
        return made

    def _make(self, dtypes: Any, threads: int, constants: dict[str, int]) -> Kernel:
        types = self.types(dtypes)
        return Kernel(self.name, self.source(), self.signature(types), types, threads, constants, self.cost)


TEMPLATES: list[Template] = []  # all that were made, for tests that go through every kernel


def kernel(function: Callable | None = None, **options: Any) -> Any:
    """Make a `Template` of a function whose annotations give its signature; see the module's text."""
    if function is None:
        return lambda f: Template(f, **options)
    return Template(function, **options)


class Kernel(launch.Kernel):
    """A kernel for given types and constants: `kernel(grid, *arguments, shared_bytes=0)` starts it.

    Arguments are DeviceArrays (or None, a null pointer) for pointers, numbers otherwise. The launch is asynchronous, on
    the calling thread's stream of the arrays' device. `cubin(architecture)` is its machine code; `simulated` the Python
    function that the simulator runs.
    """

    __slots__ = ("_loaded", "constants", "parameters", "source", "threads", "types")

    def __init__(
        self,
        name: str,
        source: str,
        parameters: Sequence[Parameter],
        types: dict[str, str],
        threads: int,
        constants: dict[str, int] | None = None,
        cost: Callable | None = None,
    ) -> None:
        self.source, self.parameters, self.types, self.threads = source, tuple(parameters), types, threads
        self.constants = {**(constants or {}), "THREADS": threads}
        self._loaded: dict[Any, Any] = {}
        suffix = "_".join([*types.values(), *(f"{k}{v}" for k, v in (constants or {}).items())])
        super().__init__(f"{name}[{suffix}]", "cuda", self._run, None, cost, name)

    def __call__(self, grid: Grid, *arguments: Any, shared_bytes: int = 0) -> None:  # type: ignore[override]
        self.start(grid, arguments, shared_bytes)

    def _run(self, grid: Grid, arguments: tuple, shared_bytes: int) -> None:
        check_grid(self.name, grid)
        runtime.current().launch(self, grid, arguments, shared_bytes)

    def _observed(self, grid: Grid, arguments: tuple, shared_bytes: int) -> None:  # type: ignore[override]
        """Somebody watches: wait for the device before and after, so that the time is this kernel's alone."""
        arrays = [a for a in arguments if hasattr(a, "pointer")]
        device = runtime.device_of(arrays)
        here = runtime.current()
        here.synchronize(device)
        begin = time.perf_counter()
        seconds = here.timed(device, lambda: self._run(grid, arguments, shared_bytes))
        flops, traffic = self.cost(grid, *arguments) if self.cost else (0, sum(map(launch.touched_bytes, arrays)))
        shapes = tuple([a.shape for a in arrays])
        launched = launch.Launch(self.name, device_name(device), seconds, traffic, flops, shapes, begin, threading.get_ident())
        launch.report(launched)

    # --- what it is made of ---------------------------------------------------------------------------------------

    @property
    def function(self) -> str:
        """The name of the function in the module, and of the entry in the cubin."""
        return function_name(self.details, self.source)

    def text(self, vocabulary: str) -> str:
        """The module's text, with the vocabulary of `kernels.cuda.<ptx or emulation>`."""
        return _module_text(self, vocabulary)

    @property
    def simulated(self) -> Callable:
        """The Python function for the simulator."""
        found = self._loaded.get("simulated")
        if found is None:
            module = source_cache.load_source(f"simulated_{self.details}", self.text("emulation"))
            found = self._loaded["simulated"] = getattr(module, self.function)
        return found

    def compiled(self) -> tuple[Callable, Any]:
        """The function and Numba signature that are compiled; what numba.cuda's own dispatcher takes, too."""
        text = self.text("ptx")
        module = source_cache.load_source(f"cuda_{self.details}", text)
        if DEBUG >= 3:
            say(3, f"{module.__file__}\n{text}")
        return getattr(module, self.function), _signature(self.parameters)

    @property
    def launch_bounds(self) -> int | tuple[int, int]:
        """The threads of a block; with MIN_BLOCKS, also how many blocks shall find room on a multiprocessor, which bounds the
        registers of a thread."""
        blocks = self.constants.get("MIN_BLOCKS")
        return (self.threads, blocks) if blocks else self.threads

    def ptx(self, capability: tuple[int, int] = (9, 0)) -> str:
        """The kernel in PTX, its entry called as the function is."""
        from kernels.cuda.inspection import compile_ptx

        function, signature = self.compiled()
        text, entry = compile_ptx(function, signature, self.launch_bounds, capability)
        return text.replace(entry, self.function)

    def cubin(self, capability: tuple[int, int] = (9, 0)) -> bytes:
        """The machine code for one architecture: from the cache, or compiled now."""
        found = self._loaded.get(capability)
        if found is None:
            with template.lock:
                found = self._loaded.get(capability)
                if found is None:
                    found = self._loaded[capability] = self._build(capability)
        return found

    def _build(self, capability: tuple[int, int]) -> bytes:
        from kernels.cuda.inspection import link

        begin = time.perf_counter()
        architecture = f"sm_{capability[0]}{capability[1]}"
        key = source_cache.digest(f"{self.source} {self.parameters} {self.types} {self.constants} {environment()}")
        filename = f"{self.details}_{key}.{architecture}.cubin"
        found = source_cache.load_bytes(filename)
        if found is None:
            found, _ = link(self.ptx(capability), architecture)
            source_cache.store_bytes(filename, found)
        say(1, f"kernel {self.name} for {architecture} ready in {(time.perf_counter() - begin) * 1e3:.0f} ms")
        return found


def check_grid(name: str, grid: Grid) -> None:
    """Raise unless the hardware takes a grid of this size, all of it at least 1."""
    if type(grid) is int and 1 <= grid <= MAX_GRID[0]:
        return
    sizes = grid if isinstance(grid, tuple) else (grid,)
    if not all(1 <= size <= most for size, most in zip(sizes, MAX_GRID, strict=False)) or len(sizes) > 3:
        raise ValueError(f"kernel {name}: a grid of {grid} blocks; each size is at least 1 and at most {MAX_GRID}")


@cache
def environment() -> str:
    """What machine code depends on besides the kernel's text: versions, and the functions that are inlined."""
    from importlib import metadata

    here = Path(__file__).parent
    files = sorted([*here.glob("ptx*.py"), *here.glob("math*.py"), here / "inspection.py"])
    shared = "".join(f.read_text(encoding="utf-8") for f in files)
    versions = []
    for name in DECISIVE.split():
        with suppress(metadata.PackageNotFoundError):
            versions.append(f"{name} {metadata.version(name)}")
    return f"{', '.join(versions)}, vocabulary {source_cache.digest(shared)}"


def _module_text(kernel: Kernel, vocabulary: str) -> str:
    """The kernel's module: imports of what it uses, its types and constants, and its source."""
    words = set(import_module(f"kernels.cuda.{vocabulary}").__all__)
    home = import_module("kernels.cuda.math" if vocabulary == "ptx" else "kernels.cuda.emulation_math")
    used = names_in(kernel.source)
    dtype = next(iter(kernel.types.values()), "")
    functions = home.functions_for(dtype) if dtype else {}
    mathematics = sorted((used & functions.keys()) - words)
    body_types = {letter: _BODY_TYPES.get(name, name) for letter, name in kernel.types.items()}
    imported = sorted((used & words) | set(body_types.values()) | ({"inlined"} if "_inlined" in used else set()))
    lines = [f'"""Generated by gradloom\'s kernels.cuda.compiler: {kernel.name}."""']
    lines.append(f"from kernels.cuda.{vocabulary} import {', '.join(imported)}")
    lines += [f"from {home.__name__} import {functions[f]} as {f}" for f in mathematics]
    lines.append("")
    lines += [f"{letter} = {name}" for letter, name in body_types.items()]
    if kernel.types and "real" in used:
        lines.append(f"real = {next(iter(kernel.types))}")
    lines += [f"{name} = {value!r}" for name, value in sorted(kernel.constants.items()) if name in used]
    if "_inlined" in used:
        lines.append("_inlined = inlined")
    source = kernel.source.replace(f"def {kernel.details}(", f"def {kernel.function}(")
    return "\n".join(lines) + f"\n\n\n{source}\n"


# What a type is called in a kernel's body, and what a pointer to it points to.
_BODY_TYPES = {"bool": "boolean"}
POINTER_TYPES = {"bool": "uint8", "float16": "uint16", "bfloat16": "uint16"}


def dtype_name(dtype: np.dtype) -> str:
    """The name of a dtype for a kernel; bfloat16, which NumPy does not have, is a structure of two bytes there."""
    return "bfloat16" if dtype.kind == "V" else dtype.name


def _signature(parameters: Sequence[Parameter]) -> Any:
    """The Numba signature of a kernel."""
    from kernels.cuda import ptx
    from kernels.cuda.driver import numba_types

    types = numba_types()
    kinds = [
        ptx.Pointer(getattr(types, POINTER_TYPES.get(d, d))) if pointer else getattr(types, _BODY_TYPES.get(d, d))
        for _, d, pointer in parameters
    ]
    return types.void(*kinds)
