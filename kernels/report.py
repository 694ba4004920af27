"""What the kernels have to work with here: processor, threads, cache folder, devices. `python -m autograd doctor` prints it."""

from __future__ import annotations

import ctypes
import os
from importlib import metadata, util
from typing import Any

import kernels
from kernels import cache


def processor() -> str:
    """The processor as LLVM calls it, and the vector registers that kernels use.

    >>> processor().endswith("vectors")
    True
    """
    from llvmlite import binding

    from kernels.cpu.simd import VECTOR_BYTES

    return f"{binding.get_host_cpu_name()}, {8 * VECTOR_BYTES}-bit vectors"


def threading_layer() -> str:
    """The name of the layer that runs large kernels on several threads; starts it.

    >>> threading_layer() in ("tbb", "omp", "workqueue", "none: one thread only")
    True
    """
    if kernels.available_threads() == 1:
        return "none: one thread only"
    from numba.np.ufunc import parallel

    from kernels.cpu import compiler

    compiler._parallel_for()
    return parallel.threading_layer()


def cache_folder() -> tuple[str, str, bool]:
    """The folder of generated kernels, what is to be said about it, and whether kernels are loaded from it."""
    folder = cache.default_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not cache._is_safe(folder):
            return str(folder), "refused: it belongs to another user, or others may write to it", False
        sources = sum(1 for path in folder.glob("*.py"))
        compiled = [path.stat().st_size for path in folder.glob("__pycache__/*.nbc")]
    except OSError as error:
        return str(folder), f"cannot be used: {error.strerror}", False
    held = f"{sources:,} kernel sources, {len(compiled):,} compiled, {sum(compiled) / 1e6:.1f} MB"
    if not os.access(folder, os.W_OK):
        return str(folder), f"read-only, so kernels that it does not hold are compiled in every process; {held}", True
    return str(folder), f"ours and writable; {held}", True


def devices() -> dict[str, str]:
    """Each kind of device, and "ready" or why it is not.

    >>> devices()["cpu"]
    'ready'
    """
    found = {}
    for device in ("cpu", "cuda"):
        try:
            kernels.backend_for(device)
            found[device] = "ready"
        except ValueError as error:
            found[device] = str(error)
    return found


# --- device cuda, step by step ---------------------------------------------------------------------------------------


def cuda() -> tuple[list[tuple[str, str]], list[str]]:
    """What device "cuda" needs: rows of what is there or missing, in the order in which to see to it; and problems.

    A machine without a GPU has no problem; a GPU that cannot be used is one.
    """
    from kernels.cuda import driver

    installed = _version("numba-cuda")
    compiler = cuda_compiler()
    version = cuda_driver()
    rows = [
        ("cuda: numba-cuda", installed or f"not installed: {driver.INSTALL}"),
        ("cuda: compiler", compiler),
        ("cuda: driver", f"for CUDA {version}" if version else "none found: a GPU needs NVIDIA's display driver"),
        ("cuda: simulator", _simulator()),
    ]
    problems = []
    if driver.state() == driver.ABSENT:
        rows.append(("cuda: devices", f"none: {driver.why_absent()}"))
        if installed and version and os.environ.get("GRADLOOM_CUDA", "") not in ("0", "off"):
            problems.append(f"there is a CUDA driver, but no device to use: {driver.why_absent()}")
        return rows, problems
    try:
        from kernels.cuda import runtime

        here = runtime.current()
        for number in range(here.device_count()):
            rows.append((f"cuda:{number}", _described(here, number)))
            works = kernel_works(f"cuda:{number}")
            rows.append((f"a kernel on cuda:{number}", works))
            if works != "right":
                problems.append(f"a kernel did not run as it should on cuda:{number}: {works}")
    except Exception as error:  # whatever it is, the report goes on
        problems.append(f"device cuda does not start: {type(error).__name__}: {error}")
    if driver.state() == driver.HARDWARE and compiler != "works":
        problems.append(f"kernels for the GPU cannot be compiled: {compiler}")
    return rows, problems


def cuda_compiler() -> str:
    """ "works", or what went wrong when a small kernel was compiled to machine code; that needs no GPU."""
    from kernels.cuda import driver

    if _version("numba-cuda") is None:
        return "comes with numba-cuda"
    try:
        from kernels.cuda.inspection import compile_ptx, link

        def nothing() -> None:
            pass

        text, _ = compile_ptx(nothing, driver.numba_types().void(), threads=32)
        link(text, "sm_90")
        return "works"
    except Exception as error:
        return f"does not work: {type(error).__name__}: {error}"


def cuda_driver() -> str | None:
    """The newest CUDA version that the installed driver knows, such as "13.0"; None where there is no driver."""
    for name in ("libcuda.so.1", "libcuda.so", "nvcuda.dll"):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        number = ctypes.c_int()
        if library.cuDriverGetVersion(ctypes.byref(number)) == 0:
            return f"{number.value // 1000}.{number.value % 1000 // 10}"
    return None


def kernel_works(device: str) -> str:
    """ "right", or what went wrong when a small kernel ran on a device."""
    try:
        import numpy as np

        from kernels import formulas

        backend = kernels.backend_for(device)
        host = np.arange(100, dtype=np.float32)
        x = backend.from_numpy(host)
        got = backend.to_numpy(backend.apply(formulas.add, x, x))
        return "right" if np.array_equal(got, host + host) else "wrong: a sum of two arrays differs"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _described(here: Any, number: int) -> str:
    major, minor = here.capability(number)
    free, total = here.memory_info(number)
    memory = f"{total / 2**30:.1f} GiB of memory, {free / 2**30:.1f} free"
    if here.is_simulated:
        memory = "on the CPU, thousands of times slower than a GPU"
    return f"{here.name(number)}, sm_{major}{minor}, {memory}"


def _simulator() -> str:
    if util.find_spec("greenlet") is None:
        return 'needs greenlet: pip install "gradloom[simulator]"'
    if os.environ.get("GRADLOOM_CUDA", "").startswith("sim"):
        return "in use (GRADLOOM_CUDA=sim)"
    return "can be used: GRADLOOM_CUDA=sim runs device cuda without a GPU, slowly"


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
