"""From a kernel's Python source to native code: type variables, helpers, several threads, and what the disk keeps."""

# ruff: noqa: F821 (names that are filled in per data type)

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kernels import launch
from kernels.cpu.compiler import inlined, kernel
from kernels.cpu.pointer import JIT_DISABLED

ROOT = Path(__file__).parents[3]
needs_jit = pytest.mark.skipif(JIT_DISABLED, reason="about the compiler")


@kernel
def scale(low: "int64", high: "int64", x: "T*", out: "T*", factor: "T"):
    """Multiply by a number."""
    for i in range(low, high):
        out[i] = x[i] * factor


@kernel
def convert(low: "int64", high: "int64", x: "S*", out: "T*", start: "int64"):
    for i in range(low, high):
        out[i] = T(x[i]) + T(start)


@inlined
def twice_plus(x, y):
    """A helper with a docstring."""
    return x + x + y


@kernel(uses=[twice_plus, "@_inlined\ndef half(x):\n    return x / 2\n"])
def helped(low: "int64", high: "int64", x: "T*", out: "T*"):
    for i in range(low, high):
        out[i] = half(twice_plus(x[i], T(1)))


@kernel
def flip(low: "int64", high: "int64", x: "bool*", out: "bool*", which: "bool"):
    for i in range(low, high):
        out[i] = x[i] != which


@kernel
def function_of(low: "int64", high: "int64", x: "T*", out: "T*"):
    for i in range(low, high):
        out[i] = exp(x[i])


@kernel(imports="from kernels.cpu.pointer import HEADER as OF_{T}")
def imported(low: "int64", high: "int64", out: "T*"):
    for i in range(low, high):
        out[i] = T(OF_float32)


@kernel
def mixed(low: "int64", high: "int64", out: "float64*", a: "int64", b: "float32", c: "float64", d: "bool", e: "int32"):
    for i in range(low, high):
        out[i] = a + b + c * i + (e if d else 0)


# --- types ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int64", "uint16"])
def test_a_type_variable_is_filled_in(dtype):
    x = np.arange(5).astype(dtype)
    out = np.full(5, 99, dtype)
    scale[np.dtype(dtype)](4, x, out, 3)
    np.testing.assert_array_equal(out, np.array([0, 3, 6, 9, 99]).astype(dtype))


def test_types_may_be_given_in_any_way():
    assert scale.variables == ["T"] and convert.variables == ["S", "T"]
    assert scale[np.float32].name == scale["float32"].name == "scale[float32]"
    assert scale[np.float32] is scale[np.float32] and repr(scale[np.float32]) == "<kernel scale[float32] on cpu>"
    assert scale.__doc__ == "Multiply by a number."


@pytest.mark.parametrize("types", [("int32", "float64"), ("float64", "int8"), ("bool", "float32"), ("uint8", "uint8")])
def test_two_type_variables_in_order_of_appearance(types):
    x, out = np.array([0, 1, 7]).astype(types[0]), np.zeros(3, types[1])
    convert[types](3, x, out, 2)
    np.testing.assert_array_equal(out, x.astype(types[1]) + np.array(2, types[1]))


def test_the_wrong_number_of_types():
    with pytest.raises(TypeError, match=r"kernel scale has type variables \['T'\], got 2 types: \['float32', 'int64'\]"):
        scale[np.float32, np.int64]
    with pytest.raises(TypeError, match=r"kernel convert has type variables \['S', 'T'\], got 1 types: \['float32'\]"):
        convert[np.float32]


def test_helpers_are_copied_into_the_kernel():
    x, out = np.arange(4, dtype=np.float32), np.empty(4, np.float32)
    one = helped[np.float32]
    one(4, x, out)
    np.testing.assert_array_equal(out, (2 * x + 1) / 2)
    text = Path(one.details[2].__file__).read_text()
    assert "@_inlined\ndef twice_plus(x, y):" in text and "A helper with a docstring" not in text and "@_inlined\ndef half" in text


@pytest.mark.parametrize("which", [True, False])
def test_bools_in_memory_are_bytes(which):
    x = np.array([True, False, True, True, False])
    out = np.ones(6, bool)
    flip[()](5, x, out, which)
    np.testing.assert_array_equal(out[:5], x != which)
    assert set(out.view(np.uint8)) <= {0, 1} and out[5]


def test_functions_mean_the_first_type_variables_version():
    for dtype, tolerance in ((np.float32, 3e-7), (np.float64, 1e-15)):
        x = np.linspace(-5, 5, 11).astype(dtype)
        out = np.empty_like(x)
        function_of[dtype](11, x, out)
        np.testing.assert_allclose(out, np.exp(x), rtol=tolerance)


def test_imports_are_filled_in():
    out = np.empty(2, np.float32)
    imported[np.float32](2, out)
    assert (out == object.__basicsize__).all()


def test_part_of_the_range():
    x, out = np.arange(6.0), np.zeros(6)
    scale[np.float64].start(2, 4, x, out, 10.0)
    np.testing.assert_array_equal(out, [0, 0, 20, 30, 0, 0])


# --- several threads ---------------------------------------------------------------------------------------------------


@needs_jit
@pytest.mark.parametrize("items", [1, 2, 3, 7, 8, 9, 1000, 1009])
def test_several_threads_do_every_item_once(items, monkeypatch):
    monkeypatch.setattr(launch, "parallel_work", 0)
    x, out = np.arange(items, dtype=np.float64) + 1, np.zeros(items + 1)
    scale[np.float64](items, x, out, 3.0)
    np.testing.assert_array_equal(out, [*(3 * x), 0])


@needs_jit
@pytest.mark.parametrize(
    "numbers",
    [
        (5, 2.5, 0.1, True, -7),
        (-(1 << 62), -0.0, np.inf, False, (1 << 31) - 1),
        (np.int64(3), np.float32(0.1), np.float64(1e300), np.bool_(True), np.int32(-5)),
        (True, 3, -2, 1, 0),  # an int where a float is declared
        (0, np.nan, 1e-310, False, 0),
    ],
    ids=str,
)
def test_numbers_reach_the_threads_as_they_reach_one(numbers, monkeypatch):
    serial, parallel = np.zeros(1009), np.zeros(1009)
    one = mixed[()]
    one.start(0, 1009, serial, *numbers)
    monkeypatch.setattr(launch, "parallel_work", 0)
    one(1009, parallel, *numbers)
    assert serial.tobytes() == parallel.tobytes()


@needs_jit
def test_bool_pointers_on_several_threads(monkeypatch):
    monkeypatch.setattr(launch, "parallel_work", 0)
    x = np.arange(1009) % 3 == 0
    out = np.zeros(1009, bool)
    flip[()](1009, x, out, True)
    np.testing.assert_array_equal(out, ~x)


@needs_jit
def test_unsigned_numbers_above_half_their_range(monkeypatch):
    x = np.ones(100, np.uint64)
    serial, parallel = np.zeros(100, np.uint64), np.zeros(100, np.uint64)
    number = (1 << 64) - 5
    scale[np.uint64].start(0, 100, x, serial, number)
    monkeypatch.setattr(launch, "parallel_work", 0)
    scale[np.uint64](100, x, parallel, number)
    assert (serial == number).all() and (parallel == number).all()


# --- the disk ----------------------------------------------------------------------------------------------------------

PROGRAM = """
import numpy as np
from kernels import cpu, formulas, launch
launch.parallel_work = 1
launch.PARALLEL_WORK = 1
x = np.arange(64, dtype=np.float32)
assert np.array_equal(cpu.apply(formulas.multiply, x, x), x * x)
assert np.isclose(cpu.sum(np.sqrt(x)), np.sqrt(x).sum())
"""
COUNTED = """
import numba.core.caching as caching
compiled = []

for kind in (caching.CompileResultCacheImpl, caching.CodeLibraryCacheImpl):
    def reduce(self, data, own=kind.reduce):
        compiled.append(self)
        return own(self, data)
    kind.reduce = reduce
""" + PROGRAM + "print(len(compiled))"


def run(folder):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "GRADLOOM_CACHE": str(folder)}
    command = [sys.executable, "-W", "error", "-c", COUNTED]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return int(result.stdout)


@needs_jit
def test_a_second_process_loads_what_the_first_has_compiled(tmp_path):
    folder = tmp_path / "cache"
    assert run(folder) >= 3, "the kernels, their adapters for threads, and the parallel loop"
    files = {f: (f.stat().st_mtime_ns, f.stat().st_size) for f in folder.rglob("*") if f.is_file()}
    assert {".py", ".nbi", ".nbc"} <= {f.suffix for f in files}
    assert run(folder) == 0
    assert {f: (f.stat().st_mtime_ns, f.stat().st_size) for f in folder.rglob("*") if f.is_file()} == files


@needs_jit
def test_code_of_another_environment_is_never_loaded(tmp_path, monkeypatch):
    from kernels.cpu import compiler

    source = "def constant(low, high, out):\n    for i in range(low, high):\n        out[i] = 1"
    types = {"T": "float32"}
    parameters = [("low", "int64", False), ("high", "int64", False), ("out", "float32", True)]
    first = compiler._module_text("constant", source, parameters, types, compiler.EXACT, "", 0)
    monkeypatch.setattr(compiler, "environment", lambda: "another processor")
    assert compiler._module_text("constant", source, parameters, types, compiler.EXACT, "", 0) != first
