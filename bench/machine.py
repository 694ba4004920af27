"""Where a benchmark runs: processor, versions, and how many threads everybody may use.

A BLAS reads its number of threads once, when NumPy loads it. So whoever wants another number starts a fresh process with
`environment(threads)`: that holds for every BLAS, where a call into one particular library would not. Nothing here
imports NumPy before it is needed.
"""

from __future__ import annotations

import datetime
import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BLAS_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
MARK = "GRADLOOM_BENCH_THREADS"  # set in a process that was started with `environment`


def environment(threads: int) -> dict[str, str]:
    """The environment of a process in which NumPy's BLAS uses so many threads."""
    return {**os.environ, **dict.fromkeys(BLAS_VARIABLES, str(threads)), MARK: str(threads)}


def run_python(arguments: Sequence[str], threads: int, **options: Any) -> subprocess.CompletedProcess:
    """Run `python <arguments>` in the repository, with so many threads."""
    return subprocess.run([sys.executable, *arguments], env=environment(threads), cwd=ROOT, check=False, **options)


def prepared_for(threads: int) -> bool:
    """Whether this process was started by `run_python` with so many threads."""
    return os.environ.get(MARK) == str(threads)


def use_threads(count: int) -> None:
    """Let our kernels and PyTorch use so many threads; NumPy's BLAS was told by the environment."""
    import kernels

    kernels.set_num_threads(count)
    torch = torch_module()
    if torch is not None:
        torch.set_num_threads(count)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def torch_module() -> ModuleType | None:
    """PyTorch, or None where it is not installed.

    Benchmarks ask for it before they import `kernels`, which tells OpenMP to let idle threads sleep: PyTorch should run
    as it does by itself.
    """
    try:
        return importlib.import_module("torch")
    except ImportError:
        return None


def torch_installed() -> bool:
    """Whether PyTorch could be imported, without doing so."""
    return importlib.util.find_spec("torch") is not None


def processor() -> str:
    """The processor's name as the operating system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown processor"


def describe() -> dict[str, Any]:
    """What a figure depends on, for the head of a table and for JSON."""
    import numba
    import numpy as np

    import kernels

    torch = torch_module()
    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    return {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "processor": processor(),
        "cores": cores(),
        "threads": kernels.get_num_threads(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "numba": numba.__version__,
        "torch": None if torch is None else torch.__version__,
    }


def headline(machine: dict[str, Any]) -> str:
    """Two lines for the head of a table."""
    threads = f"{machine['threads']} thread{'s' if machine['threads'] > 1 else ''} each"
    load = "" if machine["load"] is None else f", load average {machine['load']}"
    return (
        f"{machine['processor']}, {machine['cores']} cores, {threads}{load}; {machine['date']}\n"
        f"Python {machine['python']}, NumPy {machine['numpy']} ({machine['blas']}), numba {machine['numba']}, "
        f"PyTorch {machine['torch'] or 'not installed'}; {machine['system']}"
    )
