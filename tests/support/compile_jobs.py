"""Kernels compiled for CUDA and looked at, in processes beside the tests: what tests/kernels/cuda/test_compiled.py asserts on.

Compiling them all takes minutes of one core, while the other tests keep one core busy: so it starts when the tests are
collected (tests/conftest.py) and runs beside them, unless pytest-xdist keeps every core busy with tests.
"""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from typing import Any

Job = tuple[str, str, int]  # ("family", module, number of the variant) or ("formula", name, 0)


@dataclass(frozen=True)
class Facts:
    """What is asserted of one compiled kernel. reports: by architecture; mnemonics: of sm_90, where they are promised."""

    name: str
    threads: int
    parameters: tuple[str, ...]
    source: str
    ptx: dict[str, str]
    reports: dict[str, Any]
    mnemonics: tuple[str, ...]

    @property
    def is_float32(self) -> bool:
        """Whether nothing of the kernel's is float64 by intent."""
        return "float64" not in self.parameters and "float64" not in self.source


ARCHITECTURES = {(8, 0): "sm_80", (9, 0): "sm_90"}


def facts(kernel: Any, promised: bool = False) -> Facts:
    """Compile a kernel for both architectures, each from PTX of its own."""
    from kernels.cuda.inspection import link, mnemonics

    ptx, reports, cubin = {}, {}, b""
    for capability, architecture in ARCHITECTURES.items():
        ptx[architecture] = kernel.ptx(capability)
        cubin, reports[architecture] = link(ptx[architecture], architecture)
    found = tuple(mnemonics(cubin)) if promised else ()
    dtypes = tuple(dtype for _, dtype, _ in kernel.parameters)
    return Facts(kernel.name, kernel.threads, dtypes, kernel.source, ptx, reports, found)


def run(job: Job) -> list[Facts]:
    """The facts of a job's kernels."""
    kind, name, number = job
    if kind == "formula":
        return [facts(kernel) for kernel in formula_kernels(name)]
    module = import_module(f"kernels.cuda.{name}")
    kernel = module.VARIANTS[number]()
    return [facts(kernel, promised=bool(promises(module, kernel.name)))]


def promises(module: Any, kernel: str) -> list[str]:
    """The instructions that a kernel of a family promises to have."""
    from fnmatch import fnmatchcase

    # In these patterns only * is special: names have brackets.
    return [p for pattern, own in module.PROMISES.items() if fnmatchcase(kernel, pattern.replace("[", "[[]")) for p in own]


def formula_kernels(name: str) -> list[Any]:
    """A formula and its gradient in float32 on large dense arrays."""
    import numpy as np

    from kernels import formulas
    from kernels.layout import dense_layout

    formula = formulas.TABLE[name]
    forms = [formula]
    if formula.result != "bool":
        gradient = formula.gradient([n not in formula.booleans for n in formula.inputs])
        computed = [k for k in range(len(gradient.outputs)) if not gradient.is_zero(k) and not gradient.is_identity(k)]
        forms += [gradient.select(computed)] if computed else []
    float32 = np.dtype(np.float32)
    kernels = []
    for form in forms:
        dtypes = [np.dtype(np.bool_) if n in form.booleans else float32 for n in form.inputs]
        inputs = [dense_layout((1 << 20,), dtype, None, "cuda:0") for dtype in dtypes]
        kernels += elementwise_kernels(form, inputs, float32)[:1] if inputs else []
    return kernels


def elementwise_kernels(formula: Any, inputs: list, compute: Any) -> list[Any]:
    """The kernels of an elementwise operation on operands of these layouts: with vectors, and with single elements."""
    from kernels.cuda.elementwise import _kernel_for, _variants
    from kernels.walk import Walk

    hoisted = formula.hoisted
    return [_kernel_for(hoisted, v) for v in _variants(hoisted, inputs, compute, Walk(hoisted, inputs, compute))]


_futures: dict[Job, Future] = {}


def start(jobs: list[Job]) -> None:
    """Begin the jobs in other processes; few jobs are not worth that."""
    if len(jobs) < 8 or _futures:
        return
    workers = max(1, (os.cpu_count() or 1) - 1)
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    _futures.update({job: pool.submit(run, job) for job in jobs})


def result(job: Job) -> list[Facts]:
    """The facts of a job, waited for."""
    return _futures[job].result() if job in _futures else run(job)
