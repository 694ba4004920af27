"""Every CUDA kernel is compiled, and its machine code looked at: no GPU is needed.

Nothing may leave the registers, float32 kernels calculate in float32 alone, and what a kernel promises (16-byte loads,
tensor cores, shuffles) must be there. A kernel file lists representative specialisations in `VARIANTS` and its promises in
`PROMISES`; elementwise kernels come from one generator, and every formula of the table goes through it.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from cuda_support import needs_compiler

from kernels import formulas
from kernels.cuda import compiler
from kernels.cuda.elementwise import _kernel_for, _variants
from kernels.cuda.inspection import link, mnemonics
from kernels.layout import dense_layout
from kernels.walk import Walk

pytestmark = needs_compiler

ARCHITECTURES = {(8, 0): "sm_80", (9, 0): "sm_90"}
FOLDER = Path(compiler.__file__).parent
FLOAT32 = np.dtype(np.float32)


def families() -> list:
    """Every (file, variant number) of the files that list variants."""
    found = []
    for path in sorted(FOLDER.glob("*.py")):
        if "\nVARIANTS" in path.read_text(encoding="utf-8"):
            module = import_module(f"kernels.cuda.{path.stem}")
            found += [pytest.param(module, k, id=f"{path.stem}-{k}") for k in range(len(module.VARIANTS))]
    return found


def check(kernel: compiler.Kernel, ptx: str, reports: list) -> None:
    for report in reports:
        assert report.spill_stores == report.spill_loads == 0, (kernel.name, report)
        assert report.registers * kernel.threads <= 65536, (kernel.name, report, "one block must fit a multiprocessor")
    if "float64" not in [dtype for _, dtype, _ in kernel.parameters] and "float64" not in kernel.source:
        assert ".f64" not in ptx, f"{kernel.name} calculates in float64"


@pytest.mark.parametrize(("module", "number"), families())
def test_kernels_of_a_family(module, number):
    kernel = module.VARIANTS[number]()
    cubins = {}
    for capability, architecture in ARCHITECTURES.items():
        ptx = kernel.ptx(capability)
        cubins[architecture], report = link(ptx, architecture)
        check(kernel, ptx, [report])
        assert report.stack == 0, f"{kernel.name}: {report.stack} bytes of local memory on {architecture}"
        assert ("bar.sync" in ptx or "barrier.sync" in ptx) == ("syncthreads" in kernel.source), kernel.name
    promised = [p for pattern, wanted in module.PROMISES.items() if fnmatchcase(kernel.name, _literal(pattern)) for p in wanted]
    if promised:
        there = mnemonics(cubins["sm_90"])
        for wanted in promised:
            assert any(name.startswith(wanted) for name in there), f"{kernel.name} promises {wanted}; it has {sorted(there)}"


def _literal(pattern: str) -> str:
    """A pattern of fnmatch in which only * is special."""
    return pattern.replace("[", "[[]")


def test_every_promise_is_of_a_kernel():
    for module in {p.values[0] for p in families()}:
        names = [make().name for make in module.VARIANTS]
        for pattern in module.PROMISES:
            assert any(fnmatchcase(name, _literal(pattern)) for name in names), (module.__name__, pattern, names)


def dense(count: int, dtype: np.dtype = FLOAT32) -> list:
    return [dense_layout((1 << 20,), dtype, None, "cuda:0")] * count


def elementwise(formula, inputs: list, compute: np.dtype = FLOAT32):
    hoisted = formula.hoisted
    return [_kernel_for(hoisted, v) for v in _variants(hoisted, inputs, compute, Walk(hoisted, inputs, compute))]


@pytest.mark.parametrize("name", [n for n, f in formulas.TABLE.items() if "f" in f.kinds])
def test_formulas_and_their_gradients_in_float32(name):
    """With 16-byte accesses on contiguous arrays."""
    formula = formulas.TABLE[name]
    forms = [formula]
    if formula.result != "bool":
        gradient = formula.gradient([n not in formula.booleans for n in formula.inputs])
        computed = [k for k in range(len(gradient.outputs)) if not gradient.is_zero(k) and not gradient.is_identity(k)]
        forms += [gradient.select(computed)] if computed else []
    for form in forms:
        inputs = [dense(1, np.dtype(np.bool_) if n in form.booleans else FLOAT32)[0] for n in form.inputs]
        if not inputs:
            continue
        for kernel in elementwise(form, inputs)[:1]:
            ptx = kernel.ptx((8, 0))
            check(kernel, ptx, [link(ptx, architecture)[1] for architecture in ARCHITECTURES.values()])
            assert "ld.global.v4" in ptx.replace(".nc", "") or form.booleans, f"{kernel.name}: no 16-byte loads"
            assert "st.global.v4" in ptx or formula.result == "bool", f"{kernel.name}: no 16-byte stores"


STRIDED = {
    "bias added to rows": lambda d: [dense_layout((512, 1024), d, None, "cuda:0"), dense_layout((1024,), d, None, "cuda:0")],
    "transposed": lambda d: [dense_layout((512, 1024), d, None, "cuda:0"), dense_layout((512, 1024), d, (1, 0), "cuda:0")],
    "column of factors": lambda d: [dense_layout((512, 1024), d, None, "cuda:0"), dense_layout((512, 1), d, None, "cuda:0")],
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int8", "float16"])
@pytest.mark.parametrize("case", STRIDED)
def test_strided_and_broadcast_operands(case, dtype):
    compute = np.dtype(dtype)
    for kernel in elementwise(formulas.multiply, STRIDED[case](compute), compute):
        for architecture in ARCHITECTURES.values():
            _, report = link(kernel.ptx((8, 0)), architecture)
            assert report.spill_stores == report.stack == 0, (kernel.name, report)


def test_whole_vectors_where_rows_allow_it():
    """A bias is added with 16-byte loads, and the machine code has them."""
    kernel = elementwise(formulas.add, STRIDED["bias added to rows"](FLOAT32))[0]
    found = mnemonics(kernel.cubin((9, 0)))
    assert found["LDG.E.128"] + found["LDG.E.128.CONSTANT"] >= 2 and found["STG.E.128"] >= 1, found
