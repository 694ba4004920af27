"""Every CUDA kernel is compiled, and its machine code looked at: no GPU is needed.

Nothing may leave the registers, float32 kernels calculate in float32 alone, and what a kernel promises (16-byte loads,
tensor cores, shuffles) must be there. A kernel file lists representative specialisations in `VARIANTS` and its promises in
`PROMISES`; elementwise kernels come from one generator, and every formula of the table goes through it.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import compile_jobs
import numpy as np
import pytest
from compile_jobs import ARCHITECTURES, Facts, elementwise_kernels
from cuda_support import needs_compiler

from kernels import formulas
from kernels.cuda import compiler
from kernels.cuda.inspection import link, mnemonics
from kernels.layout import dense_layout

pytestmark = needs_compiler

FOLDER = Path(compiler.__file__).parent
FLOAT32 = np.dtype(np.float32)


def families() -> list[str]:
    """The files that list variants."""
    return [p.stem for p in sorted(FOLDER.glob("*.py")) if "\nVARIANTS" in p.read_text(encoding="utf-8")]


def variants() -> list:
    found = []
    for name in families():
        count = len(import_module(f"kernels.cuda.{name}").VARIANTS)
        found += [pytest.param(("family", name, k), id=f"{name}-{k}") for k in range(count)]
    return found


def check(found: Facts) -> None:
    for architecture, report in found.reports.items():
        assert report.spill_stores == report.spill_loads == 0, (found.name, architecture, report)
        assert report.registers * found.threads <= 65536, (found.name, report, "one block must fit a multiprocessor")
        if found.is_float32:
            assert ".f64" not in found.ptx[architecture], f"{found.name} calculates in float64"


@pytest.mark.parametrize("job", variants())
def test_kernels_of_a_family(job):
    (found,) = compile_jobs.result(job)
    check(found)
    for architecture, report in found.reports.items():
        assert report.stack == 0, f"{found.name}: {report.stack} bytes of local memory on {architecture}"
        has_barrier = "bar.sync" in found.ptx[architecture] or "barrier.sync" in found.ptx[architecture]
        assert has_barrier <= ("syncthreads" in found.source), found.name
        assert report.shared <= 48 << 10, (found.name, report)
    for wanted in compile_jobs.promises(import_module(f"kernels.cuda.{job[1]}"), found.name):
        there = found.mnemonics
        assert any(name.startswith(wanted) for name in there), f"{found.name} promises {wanted}; it has {sorted(there)}"


def test_every_promise_is_of_a_kernel():
    for name in families():
        module = import_module(f"kernels.cuda.{name}")
        kept = {p for make in module.VARIANTS for p in compile_jobs.promises(module, make().name)}
        assert kept == {p for own in module.PROMISES.values() for p in own}, name


@pytest.mark.parametrize("job", [("formula", name, 0) for name, f in formulas.TABLE.items() if "f" in f.kinds], ids=lambda j: j[1])
def test_formulas_and_their_gradients_in_float32(job):
    """With 16-byte accesses on contiguous arrays."""
    formula = formulas.TABLE[job[1]]
    for found in compile_jobs.result(job):
        check(found)
        for ptx in found.ptx.values():
            assert "ld.global.v4" in ptx.replace(".nc", "") or formula.booleans, f"{found.name}: no 16-byte loads"
            assert "st.global.v4" in ptx or formula.result == "bool", f"{found.name}: no 16-byte stores"


STRIDED = {
    "bias added to rows": lambda d: [dense_layout((512, 1024), d, None, "cuda:0"), dense_layout((1024,), d, None, "cuda:0")],
    "transposed": lambda d: [dense_layout((512, 1024), d, None, "cuda:0"), dense_layout((512, 1024), d, (1, 0), "cuda:0")],
    "column of factors": lambda d: [dense_layout((512, 1024), d, None, "cuda:0"), dense_layout((512, 1), d, None, "cuda:0")],
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int8", "float16"])
@pytest.mark.parametrize("case", STRIDED)
def test_strided_and_broadcast_operands(case, dtype):
    compute = np.dtype(dtype)
    for kernel in elementwise_kernels(formulas.multiply, STRIDED[case](compute), compute):
        for capability, architecture in ARCHITECTURES.items():
            _, report = link(kernel.ptx(capability), architecture)
            assert report.spill_stores == report.stack == 0, (kernel.name, report)


def test_whole_vectors_where_rows_allow_it():
    """A bias is added with 16-byte loads, and the machine code has them."""
    kernel = elementwise_kernels(formulas.add, STRIDED["bias added to rows"](FLOAT32), FLOAT32)[0]
    found = mnemonics(kernel.cubin((9, 0)))
    assert found["LDG.E.128"] + found["LDG.E.128.CONSTANT"] >= 2 and found["STG.E.128"] >= 1, found
