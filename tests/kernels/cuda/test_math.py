"""The scalar functions of CUDA kernels: every one is compiled to PTX, and the PTX is interpreted and compared with NumPy."""

import math
from functools import cache
from types import FunctionType

import mpmath
import numpy as np
import pytest

from kernels import philox, scalar
from kernels.cpu import math as cpu_functions
from kernels.cuda import driver
from kernels.cuda import math as functions

if not driver.compiler_available():
    pytest.skip(f"kernels for CUDA cannot be compiled here: {driver.INSTALL}", allow_module_level=True)

from ptx_interpreter import Program

from kernels.cuda import inspection, ptx
from kernels.cuda.ptx import Pointer, boolean, cuda, int64
from kernels.philox import (
    normal_pair_float32,
    normal_pair_float64,
    random_words,
    uniform_float32,
    uniform_float64,
)  # fmt: skip

FLOATS = ["float32", "float64"]
TYPES = [*FLOATS, *functions.INTEGER_TYPES, "bool"]
TWO_ARGUMENTS = """atan2 copysign floor_divide hypot left_shift logaddexp maximum minimum nextafter pow remainder
    right_shift""".split()
PREDICATES = ["isfinite", "isinf", "isnan", "signbit"]


@cache
def kernel_of_all(dtype):
    """The PTX of a kernel that applies every function of a type: row k of `out` or `flags` is function number k."""
    types = driver.numba_types()
    scope = {"cuda": cuda}
    lines = ["def all_functions(x, y, out, flags, n):", "    i = cuda.threadIdx.x"]
    for k, (name, qualified) in enumerate(functions.functions_for(dtype).items()):
        scope[name] = getattr(functions, qualified)
        arguments = "x[i], y[i]" if name in TWO_ARGUMENTS else "x[i]"
        lines.append(f"    {'flags' if name in PREDICATES else 'out'}[i + n * {k}] = {name}({arguments})")
    exec("\n".join(lines), scope)
    real = boolean if dtype == "bool" else getattr(types, dtype)
    signature = types.void(*[Pointer(real)] * 3, Pointer(boolean), types.int64)
    return inspection.compile_ptx(scope["all_functions"], signature, 1024)


def call_all(dtype, x, y=None):
    """{name: values} of every function of a type."""
    x = np.ascontiguousarray(x, dtype).reshape(-1)
    y = np.ascontiguousarray(x if y is None else y, dtype).reshape(-1)
    ptx, name = kernel_of_all(dtype)
    names = list(functions.functions_for(dtype))
    out, flags = np.zeros((len(names), x.size), dtype), np.zeros((len(names), x.size), bool)
    Program(ptx).run(name, x.size, x, y, out, flags, x.size)
    return {name: (flags if name in PREDICATES else out)[k] for k, name in enumerate(names)}


def same(got, expected):
    """Equal bit for bit, but for the sign and payload of NaN."""
    signs = np.signbit(got) == np.signbit(expected)
    return np.array_equal(got, expected, equal_nan=True) and bool((signs | np.isnan(expected)).all())


def test_names_are_those_of_the_cpu():
    for dtype in [*TYPES, "complex64"]:
        expected = cpu_functions.functions_for(dtype)
        assert dict(functions.functions_for(dtype)) == expected
        assert all(callable(getattr(functions, qualified)) for qualified in expected.values())
    assert set().union(*(functions.functions_for(dtype) for dtype in TYPES)) >= scalar.FUNCTIONS
    with pytest.raises(AttributeError, match="no function exp_int8"):
        functions.exp_int8  # noqa: B018


@pytest.mark.parametrize("cc", [(8, 0), (9, 0), (10, 0)], ids=inspection.architecture)
def test_float32_functions_calculate_in_float32(cc):
    types = driver.numba_types()
    scope = {"cuda": cuda}
    lines = ["def all_functions(x, y, out, flags):", "    i = cuda.threadIdx.x"]
    for k, (name, qualified) in enumerate(functions.functions_for("float32").items()):
        scope[name] = getattr(functions, qualified)
        arguments = "x[i], y[i]" if name in TWO_ARGUMENTS else "x[i]"
        lines.append(f"    {'flags' if name in PREDICATES else 'out'}[i + 1024 * {k}] = {name}({arguments})")
    exec("\n".join(lines), scope)
    signature = types.void(*[Pointer(types.float32)] * 3, Pointer(boolean))
    ptx, _ = inspection.compile_ptx(scope["all_functions"], signature, 128, cc)
    cubin, report = inspection.link(ptx, inspection.architecture(cc))
    assert ".f64" not in ptx
    assert report.spill_stores == report.stack == 0, report
    try:
        assert not inspection.has_float64_arithmetic(cubin)
    except ImportError:
        pytest.skip("nvdisasm is not installed; the PTX was checked")


@pytest.mark.parametrize("dtype", [dtype for dtype in TYPES if dtype != "float32"])
def test_every_function_becomes_machine_code(dtype):
    ptx, name = kernel_of_all(dtype)
    _, report = inspection.link(ptx)
    assert report.spill_stores == 0 and name == "all_functions_kernel"


# --- values -----------------------------------------------------------------------------------------------------------

GRID = [0.0, -0.0, 1, -1, 2, -2, 0.5, -0.5, 1.5, -1.5, 3, -3, 2.5, -7.25, 1e-30, -1e-30, 1e30, np.inf, -np.inf, np.nan]
NUMPY = {
    "abs": np.abs, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "atan2": np.arctan2, "asinh": np.arcsinh,
    "acosh": np.arccosh, "atanh": np.arctanh, "round": np.rint, "pow": np.power, "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": lambda x: np.where(x < 0, np.exp(-np.abs(x)), 1) / (1 + np.exp(-np.abs(x))),
    "erf": np.vectorize(math.erf), "erfc": np.vectorize(math.erfc),
}  # fmt: skip
ULPS = {"logaddexp": 0, "erfc": 5, "pow": 4, "tan": 4, "atan2": 3, "hypot": 3, "sigmoid": 3, "rsqrt": 2, "tanh": 3, "atanh": 3}
EXACT = """abs ceil copysign floor floor_divide isfinite isinf isnan maximum minimum nextafter reciprocal remainder round sign
    signbit sqrt square trunc""".split()


def samples(dtype):
    random = np.random.default_rng(3)
    usual = random.normal(size=(2, 300)) * np.exp2(random.uniform(-8, 8, (2, 300)))
    tiny = random.normal(size=(2, 60)) * np.exp2(random.uniform(-40, 0, (2, 60)))
    large = random.normal(size=(2, 60)) * np.exp2(random.uniform(0, 40, (2, 60)))
    pairs = [np.array(np.meshgrid(GRID, GRID)).reshape(2, -1), usual, np.abs(usual), random.uniform(-1, 1, (2, 200)), tiny, large]
    return np.concatenate(pairs, axis=1).astype(dtype)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", FLOATS)
def test_floats(dtype):
    x, y = samples(dtype)
    for name, got in call_all(dtype, x, y).items():
        reference = NUMPY.get(name) or getattr(np, name)
        wide = dtype if name in EXACT else "float64"
        arguments = [a.astype(wide) for a in ((x, y) if name in TWO_ARGUMENTS else (x,))]
        expected = reference(*arguments)
        if name in PREDICATES:
            assert np.array_equal(got, expected), name
            continue
        expected = expected.astype(dtype)
        if name in EXACT:
            if name in ("maximum", "minimum"):  # NumPy leaves the sign of maximum(-0, +0) open
                zero = (x == 0) & (y == 0)
                signs = np.signbit(x) & np.signbit(y) if name == "maximum" else np.signbit(x) | np.signbit(y)
                assert np.array_equal(np.signbit(got[zero]), signs[zero])
                got, expected = got[~zero], expected[~zero]
            if name == "copysign":
                got, expected = got[~np.isnan(x) & ~np.isnan(y)], expected[~np.isnan(x) & ~np.isnan(y)]
            assert same(got, expected), name
            continue
        finite = np.isfinite(expected)
        assert same(got[~finite], expected[~finite]), (name, x[~finite], got[~finite])
        assert same(np.sign(got[finite]), np.sign(expected[finite])) or name == "logaddexp", name
        unit = np.spacing(np.maximum(np.abs(expected[finite]), np.finfo(dtype).tiny)).astype(float)
        if name == "logaddexp":  # cancels where the larger is near -log(2)
            unit = np.maximum(unit, np.finfo(dtype).eps)
        wrong = np.abs(got[finite].astype(float) - expected[finite].astype(float)) / unit
        worst = int(wrong.argmax())
        allowed = ULPS.get(name) or 2
        assert wrong[worst] <= allowed, (name, x[finite][worst], y[finite][worst], got[finite][worst], wrong[worst])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", FLOATS)
def test_exact_powers(dtype):
    info = np.finfo(dtype)
    exponents = np.arange(info.minexp - info.nmant, info.maxexp)
    powers = np.ldexp(np.ones(1, dtype), exponents)
    assert np.array_equal(call_all(dtype, powers)["log2"], exponents)
    assert np.array_equal(call_all(dtype, exponents)["exp2"], powers)
    tens = np.arange(-30, 38)
    assert np.array_equal(call_all(dtype, 10.0**tens)["log10"], tens)


def test_exponential_ends():
    x = np.array([88.72283, 88.72284, -87.34, -100, -103.97, -103.98, -104, -105, -1e30], np.float32)
    got = call_all("float32", x)
    with np.errstate(all="ignore"):
        expected = np.exp(x.astype(np.float64)).astype(np.float32)
    assert np.array_equal(got["exp"] == 0, expected == 0) and np.array_equal(np.isinf(got["exp"]), np.isinf(expected))
    assert np.array_equal(got["sigmoid"][2:], expected[2:])  # subnormal results are kept
    got = call_all("float64", [709.78, 709.79, -744, -746])["exp"]
    assert np.isfinite(got[0]) and np.isinf(got[1]) and got[2] == math.exp(-744) and got[3] == 0


@pytest.mark.parametrize("dtype", FLOATS)
def test_huge_angles(dtype):
    random = np.random.default_rng(8)
    near = np.round(random.uniform(-6e5, 6e5, 100)) * (np.pi / 2)
    large = random.normal(size=200) * np.exp2(random.uniform(15, 127, 200))
    special = [105614.9, 105615, 105616, 65536, 1e6, 3.3e8, -1e10, 1e15, 1e22, 1e30, 3.4e38, 16367173 * 2.0**72, 2.0**127]
    x = np.concatenate([near, large, special, -np.array(special)]).astype(dtype)
    got = call_all(dtype, x)
    with mpmath.workprec(1200):
        for name in ("sin", "cos", "tan"):
            exact = [getattr(mpmath, name)(mpmath.mpf(v)) for v in x.tolist()]
            unit = np.spacing(np.abs(np.array(exact, float).astype(dtype))).astype(float)
            wrong = np.array([abs(float(mpmath.mpf(g) - e)) for g, e in zip(got[name].tolist(), exact, strict=True)]) / unit
            worst = int(wrong.argmax())
            assert wrong[worst] < 4, (name, x[worst], got[name][worst], wrong[worst])


# --- random numbers ---------------------------------------------------------------------------------------------------


def random_numbers(key, singles, doubles, n):
    i = int64(cuda.threadIdx.x)
    a, b, c, d = random_words(key, i)
    singles[i], singles[i + n] = normal_pair_float32(a, b)
    singles[i + 2 * n] = uniform_float32(c)
    doubles[i], doubles[i + n] = normal_pair_float64(a, b, c, d)
    doubles[i + 2 * n] = uniform_float64(c, d)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("contract", [True, False])
def test_random_numbers_have_the_same_bits(contract):
    words = "philox random_words uniform_float32 uniform_float64 normal_pair_float32 normal_pair_float64".split()
    scope = {name: getattr(ptx, name) for name in ptx.__all__}
    for name in words:
        scope[name] = ptx.inlined(FunctionType(getattr(philox, name).__code__, scope, name))
    types, n, key = driver.numba_types(), 200, 2**63 - 25
    signature = types.void(types.int64, Pointer(types.float32), Pointer(types.float64), types.int64)
    kernel = FunctionType(random_numbers.__code__, scope, "random_numbers")
    text, name = inspection.compile_ptx(kernel, signature, n, contract=contract)
    singles, doubles = np.zeros((3, n), np.float32), np.zeros((3, n))
    Program(text).run(name, n, key, singles, doubles, n)
    for i in range(n):
        a, b, c, d = philox.random_words(np.int64(key), np.int64(i))
        assert singles[:, i].tolist() == [*philox.normal_pair_float32(a, b), philox.uniform_float32(c)]
        assert doubles[:, i].tolist() == [*philox.normal_pair_float64(a, b, c, d), philox.uniform_float64(c, d)]


# --- integers and bool ------------------------------------------------------------------------------------------------


def integer_samples(dtype):
    info = np.iinfo(dtype)
    random = np.random.default_rng(5)
    values = [info.min, info.min + 1, info.max, info.max - 1, 0, 1, 2, 3, 5, 7, 10]
    values += [-1, -2, -3, -7] if info.min < 0 else []
    values += random.integers(info.min, info.max, 6, dtype=dtype).tolist()
    return [(a, b) for a in values for b in values]


@pytest.mark.parametrize("dtype", functions.INTEGER_TYPES)
def test_integers(dtype):
    bits = np.iinfo(dtype).bits
    pairs = integer_samples(dtype)
    x = [a for a, _ in pairs]
    expected = {
        "maximum": [max(a, b) for a, b in pairs],
        "minimum": [min(a, b) for a, b in pairs],
        "floor_divide": [a // b if b else 0 for a, b in pairs],
        "remainder": [a % b if b else 0 for a, b in pairs],
        "pow": [pow(a, b, 2**bits) if b >= 0 else {1: 1, -1: 1 - 2 * (b % 2)}.get(a, 0) for a, b in pairs],
        "left_shift": [a << b if 0 <= b < bits else 0 for a, b in pairs],
        "right_shift": [a >> b if 0 <= b < bits else -int(a < 0) for a, b in pairs],
        "abs": [abs(a) for a in x],
        "sign": [(a > 0) - (a < 0) for a in x],
        "square": [a * a for a in x],
        "bitwise_invert": [~a for a in x],
        **dict.fromkeys(("floor", "ceil", "round", "trunc"), x),
    }
    got = call_all(dtype, x, [b for _, b in pairs])
    for name, values in expected.items():
        wrapped = np.array([v % 2**bits for v in values], f"u{bits // 8}").view(dtype)
        assert np.array_equal(got[name], wrapped), name
    assert not got["isnan"].any() and not got["isinf"].any() and got["isfinite"].all()
    assert got["signbit"].tolist() == [a < 0 for a in x]


def test_bool():
    x, y = np.array([False, False, True, True]), np.array([False, True, False, True])
    got = call_all("bool", x, y)
    assert np.array_equal(got["maximum"], x | y) and np.array_equal(got["minimum"], x & y)
    assert np.array_equal(got["bitwise_invert"], ~x)
    assert all(np.array_equal(got[name], x) for name in ("abs", "sign", "floor", "ceil", "round", "trunc"))
    assert not got["isnan"].any() and not got["signbit"].any() and got["isfinite"].all()
