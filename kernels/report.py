"""What the kernels have to work with here: processor, threads, cache folder, devices. `python -m autograd doctor` prints it."""

from __future__ import annotations

import os

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
