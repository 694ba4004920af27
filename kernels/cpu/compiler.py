"""From a kernel's Python source to native code: one generic source, one specialisation per data type.

    @kernel
    def scale(low: "int64", high: "int64", x: "T*", out: "T*", factor: "T"):
        for i in range(low, high):
            out[i] = x[i] * factor

    scale[np.float32](n, x, out, 2.0)

The annotations are the signature: `T*` is a pointer to elements of type T, `T` a number of that type, and a capital
letter is a type variable that is filled in at `scale[float32]` (or `scale[float32, int64]` for two, in order of
appearance). In the body, `T(0)` makes a constant, and the functions of `kernels.cpu.math` (exp, log, tanh, maximum, ...)
are called by their plain names and mean the first type variable's version. Helper functions marked `@inlined` are named
in `@kernel(uses=[...])` and become part of the specialised source. `imports=` is source placed at the top of it, where {T} stands
for the type's name: "from kernels.cpu.simd import LANES_{T} as LANES".

A specialisation is written out as a module of its own (`kernels.cache`), so the code one debugs is the code that runs, and
Numba's disk cache holds its machine code. The first two parameters are the range of work items; see `kernels.launch`.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from kernels import cache as source_cache
from kernels import launch, template
from kernels.debug import DEBUG, say
from kernels.template import function_name, inlined, names_in  # noqa: F401  (inlined: for the files of kernels)

# The flags a sum may have. Never nnan or ninf: NaN and infinity behave as in NumPy. Elementwise code gets `contract`
# alone (fused multiply-add), for reassociation would undo the exact range reductions of exp and its like.
EXACT = frozenset({"contract"})
REASSOCIATE = frozenset({"contract", "reassoc", "nsz", "arcp", "afn"})

_lock = template.lock


class Template(template.Template):
    """A kernel's generic source; `template[dtype]` is the `Kernel` for that type, compiled at first use."""

    def __init__(
        self,
        function: Callable,
        uses: Sequence[Callable | str] = (),
        fastmath: frozenset[str] = EXACT,
        imports: str = "",
        cost: Callable | None = None,
        name: str = "",
    ) -> None:
        super().__init__(function, uses, name)
        self.fastmath, self.imports, self.cost = fastmath, imports, cost

    def _specialise(self, dtypes: Any) -> launch.Kernel:
        types = self.types(dtypes)
        return compile_kernel(
            self.name, self.source(), self.signature(types), types, self.fastmath, self.imports.format(**types), self.cost
        )


def kernel(function: Callable | None = None, **options: Any) -> Any:
    """Make a `Template` of a function whose annotations give its signature; see the module's text."""
    if function is None:
        return lambda f: Template(f, **options)
    return Template(function, **options)


@cache
def environment() -> str:
    """What machine code depends on besides its source: versions, the processor, and the functions that are inlined."""
    import llvmlite
    import numba
    from llvmlite import binding

    here = Path(__file__).parent
    shared = "".join((here / f).read_text(encoding="utf-8") for f in sorted(os.listdir(here)) if f.startswith(_INLINED_FILES))
    features = ",".join(sorted(k for k, on in binding.get_host_cpu_features().items() if on))
    return (
        f"numba {numba.__version__}, llvmlite {llvmlite.__version__}, numpy {np.__version__}, "
        f"{binding.get_host_cpu_name()} {source_cache.digest(features)}, inlined {source_cache.digest(shared)}"
    )


_INLINED_FILES = ("math", "intrinsics", "pointer", "scratch", "simd", "streaming")


def compile_kernel(
    name: str,
    source: str,
    parameters: Sequence[tuple[str, str, bool]],
    types: dict[str, str],
    fastmath: frozenset[str] = EXACT,
    imports: str = "",
    cost: Callable | None = None,
    streaming: int = 0,
) -> launch.Kernel:
    """Compile `source`, which defines a function called `name`, and give it the launch door.

    `parameters` are (name, dtype name, is pointer), the first two being the range; `types` maps the type variables used
    in the source to dtype names, and the first of them decides which version of exp and its like is meant. `streaming`
    is the size of an element for loops that do little but load and store: see `kernels.cpu.streaming`.
    """
    begin = time.perf_counter()
    suffix = "_".join(types.values())
    function = function_name(name, source)
    text = _module_text(name, source, parameters, types, fastmath, imports, streaming)
    module = source_cache.load_source(f"{name}_{suffix}" if suffix else name, text)
    native = _entry_point(getattr(module, function), parameters)
    if DEBUG >= 3:
        say(3, f"{module.__file__}\n{text}")
    say(1, f"kernel {name} [{suffix}] ready in {(time.perf_counter() - begin) * 1e3:.0f} ms")
    details = (function, parameters, module)
    return launch.Kernel(f"{name}[{suffix}]", "cpu", native, _spread, cost, details)


def _entry_point(compiled: Any, parameters: Sequence[tuple[str, str, bool]] = ()) -> Callable[..., None]:
    """The compiled function without Numba's dispatcher in front: its signature is fixed, there is nothing to dispatch."""
    overloads = getattr(compiled, "overloads", None)
    if overloads is None:
        return _python_entry(compiled, [np.dtype(dtype).type for _, dtype, _ in parameters[2:]])
    return next(iter(overloads.values())).entry_point


def _python_entry(function: Callable, types: Sequence[type]) -> Callable[..., None]:
    """With Numba's compiler switched off: the same function over plain pointers, to check what the loops mean."""
    from kernels.cpu.pointer import PlainPointer

    def entry(low: int, high: int, *arguments: Any) -> None:
        with np.errstate(all="ignore"):
            given = [
                PlainPointer(a) if isinstance(a, np.ndarray) else kind(a) for a, kind in zip(arguments, types, strict=True)
            ]
            function(low, high, *given)

    return entry


_HEADER = '''"""Generated by gradloom's kernels.cpu.compiler; {environment}."""
from numba import njit
from numba.core.types import {types}

from kernels.cpu.pointer import ArrayData
{imports}
FASTMATH = {fastmath}
OPTIONS = dict(nogil=True, error_model="numpy", boundscheck=False, fastmath=FASTMATH)
_inlined = njit(forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, **OPTIONS)
'''


def _module_text(name, source, parameters, types, fastmath, imports, streaming) -> str:
    used = names_in(source)
    lines = [imports] if imports else []
    lines += ["from kernels.cpu.streaming import line_by_line"] if streaming else []
    lines += [f"from math import {name}" for name in ("inf", "nan") if name in used]
    if types:
        from kernels.cpu.math import functions_for

        functions = functions_for(next(iter(types.values())))
        chosen = sorted(used & functions.keys())
        lines += [f"from kernels.cpu.math import {functions[f]} as {f}" for f in chosen]
    type_names = {dtype for _, dtype, _ in parameters} | set(types.values()) | (used & _TYPE_NAMES) | {"void", "int64"}
    numba_names = sorted(_NUMBA_NAMES.get(t, t) for t in type_names)
    header = _HEADER.format(
        environment=environment(),
        types=", ".join(numba_names),
        imports="\n".join(lines),
        fastmath=sorted(fastmath),
    ).replace(f"FASTMATH = {sorted(fastmath)}", f"FASTMATH = {{{', '.join(map(repr, sorted(fastmath)))}}}")
    variables = "".join(f"{letter} = {_NUMBA_NAMES.get(dtype, dtype)}\n" for letter, dtype in types.items())
    if "real" in used and types:
        variables += f"real = {next(iter(types))}\n"
    signature = ", ".join(_numba_type(dtype, pointer) for _, dtype, pointer in parameters)
    pipeline = f", pipeline_class=line_by_line({streaming})" if streaming else ""
    decorator = f"@njit(void({signature}), cache=True, no_cfunc_wrapper=True{pipeline}, **OPTIONS)\n"
    before, definition = _split_last_function(source, name)
    definition = definition.replace(f"def {name}(", f"def {function_name(name, source)}(", 1)
    return f"{header}{variables}\n\n{before}{decorator}{definition}\n"


def _split_last_function(source: str, name: str) -> tuple[str, str]:
    at = source.index(f"def {name}(")
    return source[:at], source[at:]


_NUMBA_NAMES: dict[str, str] = {"bool": "boolean"}
_TYPE_NAMES = {
    f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)
} | {"float32", "float64", "boolean", "intp"}


def _numba_type(dtype: str, pointer: bool) -> str:
    dtype = _NUMBA_NAMES.get(dtype, dtype)
    return f"ArrayData({dtype})" if pointer else dtype


# --- several threads -----------------------------------------------------------------------------------------------
#
# One parallel loop serves all kernels: it calls a native function (block of arguments, low, high) through its address.
# So a kernel needs no parallel version compiled by Numba (seconds each), only a small adapter, made when first needed.

_CHUNKS_PER_THREAD = 4  # more than one, so that a thread that was held up does not hold up the rest


def _spread(kernel: launch.Kernel, items: int, arguments: tuple) -> None:
    """Run all items of a kernel on several threads."""
    threads = launch.get_num_threads()
    if _JIT_DISABLED or threads == 1:
        kernel.native(0, items, *arguments)
        return
    chunks = min(items, threads * _CHUNKS_PER_THREAD)
    types = [dtype for _, dtype, _ in kernel.details[1][2:]]
    block = np.array([_as_integer(a, dtype) for a, dtype in zip(arguments, types, strict=True)], dtype=np.int64)
    run_chunks(_chunk_address(kernel), chunks, items, block, threads)


def _as_integer(argument: Any, dtype: str) -> int:
    """64 bits that hold an argument of a parameter of this type; a float may be given as an int or a NumPy scalar."""
    if isinstance(argument, np.ndarray):
        return argument.ctypes.data
    if dtype.startswith("float"):
        return struct.unpack("<q", struct.pack("<d", argument))[0]
    number = int(argument)
    return number - (1 << 64) if number >> 63 == 1 else number  # the upper half of uint64


_adapters: dict[int, Any] = {}


def _chunk_address(kernel: launch.Kernel) -> int:
    adapter = _adapters.get(id(kernel))
    if adapter is None:
        with _lock:
            adapter = _adapters.get(id(kernel)) or _make_adapter(kernel)
            _adapters[id(kernel)] = adapter
    return adapter[0]


def _make_adapter(kernel: launch.Kernel) -> tuple[int, Any, launch.Kernel]:
    name, parameters, module = kernel.details
    arguments = []
    for index, (_, dtype, pointer) in enumerate(parameters[2:]):
        dtype = _NUMBA_NAMES.get(dtype, dtype)
        if pointer:
            arguments.append(f"pointer_argument(block, {index}, {dtype})")
        elif dtype.startswith("float"):  # pyright: ignore[reportOptionalMemberAccess]
            arguments.append(f"{dtype}(float_argument(block, {index}))")
        else:
            arguments.append(f"{dtype}(block[{index}])")
    key = module.__name__.rpartition(".")[2]
    type_names = sorted({_NUMBA_NAMES.get(d, d) for _, d, _ in parameters} | {"int64", "void", "CPointer"})  # pyright: ignore[reportArgumentType]
    text = (
        f'"""Generated by gradloom: {key} over a range of its items; {environment()}."""\n'
        f"import sys\n\nfrom numba import cfunc\nfrom numba.core.types import {', '.join(type_names)}\n\n"
        f"from kernels.cpu.pointer import float_argument, pointer_argument\n\n"
        f'{name} = sys.modules["{module.__name__}"].{name}\n\n\n'
        f'@cfunc(void(CPointer(int64), int64, int64), cache=True, error_model="numpy")\n'
        f"def chunk(block, low, high):\n    {name}(low, high, {', '.join(arguments)})\n"
    )
    chunk = source_cache.load_source(f"chunks_{key}", text).chunk
    return chunk.address, chunk, kernel


_PARALLEL_FOR = '''"""Generated by gradloom: the parallel loop of all CPU kernels; {environment}."""
from numba import njit, prange
from numba.core.types import int64, void

from kernels.cpu.pointer import ArrayData, call_chunk


@njit(void(int64, int64, int64, ArrayData(int64)), parallel=True, nogil=True, cache=True, error_model="numpy")
def parallel_for(function, chunks, items, block):
    for c in prange(chunks):
        call_chunk(function, block, items * c // chunks, items * (c + 1) // chunks)
'''

_layer_lock: Any = None  # held around parallel regions where the threading layer cannot run two at once
_thread_state = threading.local()


@cache
def _parallel_for() -> Callable[..., None]:
    global _layer_lock
    module = source_cache.load_source("parallel_for", _PARALLEL_FOR.format(environment=environment()))
    entry = _entry_point(module.parallel_for)
    from numba.np.ufunc import parallel

    parallel.set_num_threads(parallel.get_num_threads())  # starts the layer
    if parallel.threading_layer() == "workqueue":
        _layer_lock = threading.Lock()
    launch.threads_started = True
    say(1, f"threading layer {parallel.threading_layer()}, {launch.get_num_threads()} threads")
    return entry


def run_chunks(function: int, chunks: int, items: int, block: np.ndarray, threads: int) -> None:
    """Call the native `function(block, low, high)` for `chunks` equal parts of range(items), on `threads` threads."""
    with _lock:
        entry = _parallel_for()
    if getattr(_thread_state, "threads", None) != threads:
        import numba

        numba.set_num_threads(threads)
        _thread_state.threads = threads
    if _layer_lock is None:
        entry(function, chunks, items, block)
    else:
        with _layer_lock:
            entry(function, chunks, items, block)


def _configure_numba() -> bool:
    # Sleeping, not spinning, while there is nothing to do: see kernels.launch. Read when OpenMP starts.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from numba import config as settings

    config: Any = settings  # its attributes are made from the environment
    if config.THREADING_LAYER == "default":
        config.THREADING_LAYER_PRIORITY = ["tbb", "omp", "workqueue"]
    return bool(config.DISABLE_JIT)


_JIT_DISABLED = _configure_numba()
