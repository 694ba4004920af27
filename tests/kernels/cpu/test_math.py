"""The scalar functions of kernels.cpu.math: accuracy, special values, vectorisation, and meaning without the JIT."""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import mpmath
import numpy as np
import pytest
from numba import njit

from kernels import scalar
from kernels.cpu import math as functions
from kernels.cpu.intrinsics import WITHOUT_JIT

FLOATS = ["float32", "float64"]
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
SAMPLES = 20 if WITHOUT_JIT else 150
compiled = njit(error_model="numpy", fastmath={"contract"})
with_jit = pytest.mark.skipif(WITHOUT_JIT, reason="about compiled code")
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def two_to(x):
    return mpmath.mpf(2) ** x


# name: (exact function, interval that matters most, largest error allowed in units in the last place)
ACCURATE = {
    "exp": (mpmath.exp, (-745, 710), 1.5),
    "exp2": (two_to, (-1075, 1024), 1.5),
    "expm1": (mpmath.expm1, (-40, 710), 2.5),
    "log": (mpmath.log, (0, 4), 1.5),
    "log1p": (mpmath.log1p, (-1, 4), 2),
    "log2": (lambda x: mpmath.log(x) / mpmath.log(2), (0, 4), 2),
    "log10": (mpmath.log10, (0, 4), 1.5),
    "tanh": (mpmath.tanh, (-20, 20), 3),
    "sigmoid": (lambda x: 1 / (1 + mpmath.exp(-x)), (-708, 40), 2.5),
    "erf": (mpmath.erf, (-6, 6), 4),
    "erfc": (mpmath.erfc, (-6, 26.5), 4),
    "sin": (mpmath.sin, (-1e4, 1e4), 2),
    "cos": (mpmath.cos, (-1e4, 1e4), 2),
    "tan": (mpmath.tan, (-1e4, 1e4), 3.5),
    "asin": (mpmath.asin, (-1, 1), 3),
    "acos": (mpmath.acos, (-1, 1), 2),
    "atan": (mpmath.atan, (-10, 10), 3),
    "sinh": (mpmath.sinh, (-710, 710), 3),
    "cosh": (mpmath.cosh, (-710, 710), 2.5),
    "asinh": (mpmath.asinh, (-10, 10), 2.5),
    "acosh": (mpmath.acosh, (1, 10), 3),
    "atanh": (mpmath.atanh, (-1, 1), 2.5),
    "rsqrt": (lambda x: 1 / mpmath.sqrt(x), (0, 4), 1.5),
}
DOMAIN = {"log": (0, np.inf), "log2": (0, np.inf), "log10": (0, np.inf), "rsqrt": (0, np.inf), "log1p": (-1, np.inf)}
DOMAIN |= {"asin": (-1, 1), "acos": (-1, 1), "atanh": (-1, 1), "acosh": (1, np.inf)}
LIBRARY = {"sin", "cos", "tan"}  # beyond 1e6 the C library's own accuracy counts
_loops = {}


def loop_of(name, dtype, fastmath=frozenset({"contract"})):
    """The function over arrays."""
    key = name, dtype, fastmath
    if key not in _loops:
        function = getattr(functions, f"{name}_{dtype}")
        unary, binary = _array_loops(function)
        two = name in "atan2 maximum minimum pow floor_divide remainder copysign nextafter hypot logaddexp".split()
        two |= name in ("left_shift", "right_shift")
        _loops[key] = njit(error_model="numpy", fastmath=set(fastmath))(binary if two else unary)
    return _loops[key]


def _array_loops(function):
    def unary(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    def binary(x, y, out):
        for i in range(x.size):
            out[i] = function(x[i], y[i])

    return unary, binary


def call(name, dtype, *arguments, out_dtype=None, **options):
    """The function of each element; the arguments broadcast."""
    arrays = [np.ascontiguousarray(a) for a in np.broadcast_arrays(*[np.asarray(a, dtype) for a in arguments])]
    out = np.empty(arrays[0].shape, out_dtype or dtype)
    with np.errstate(all="ignore"):
        loop_of(name, dtype, **options)(*[a.ravel() for a in arrays], out.reshape(-1))
    return out


def points(name, dtype):
    """A dense sample of the interval that matters, all magnitudes, and the surroundings of 0, 1 and quarter turns."""
    random = np.random.default_rng(20)
    info = np.finfo(dtype)
    low, high = ACCURATE[name][1]
    bits = random.integers(0, np.finfo(dtype).max.view(f"i{info.bits // 8}"), SAMPLES).astype(f"i{info.bits // 8}")
    near = np.exp2(random.uniform(-info.nmant - 2, 0, SAMPLES)) * random.choice([-1, 1], SAMPLES)
    parts = [
        random.uniform(low, high, SAMPLES),
        random.uniform(max(low, -2), min(high, 2), SAMPLES),
        bits.view(dtype),
        -bits.view(dtype),
        near,
        1 + near,
        near - 1,
        np.arange(-20, 21) * (np.pi / 4),
        np.round(random.uniform(-6e5, 6e5, SAMPLES)) * (np.pi / 2),
        [0.5, -0.5, 0.927, 1, -1, 3.95, 2**20, -(2**20)],
        [info.max, -info.max, info.tiny, info.smallest_subnormal],
    ]
    with np.errstate(over="ignore"):
        x = np.concatenate([np.asarray(part).astype(dtype) for part in parts])
    bottom, top = DOMAIN.get(name, (-np.inf, np.inf))
    x = x[np.isfinite(x) & (x >= bottom) & (x <= top)]
    x = x[np.isfinite(call(name, dtype, x)) | ~np.isin(np.abs(x), [0, 1])]  # poles
    if name in LIBRARY:
        x = x[np.abs(x) <= 1.0e6]
    return x


def errors(got, exact_values, dtype):
    """Distances in units in the last place of the exact values; an overflow is exact where rounding gives infinity."""
    info = np.finfo(dtype)
    for value, exact in zip(got.tolist(), exact_values, strict=True):
        if abs(exact) >= mpmath.mpf(2) ** info.maxexp * (1 - mpmath.mpf(2) ** (-info.nmant - 2)):
            yield 0.0 if np.isinf(value) and (value > 0) == (exact > 0) else np.inf
            continue
        if exact == 0 or not np.isfinite(value):
            yield 0.0 if value == exact else np.inf
            continue
        exponent = max(mpmath.mag(exact) - 1, info.minexp)
        yield float(abs(value - exact) / mpmath.mpf(2) ** int(exponent - info.nmant))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ACCURATE)
def test_accuracy(name, dtype):
    exact, _, allowed = ACCURATE[name]
    x = points(name, dtype)
    limit = 2000.0  # far outside this, the exponential family is 0 or infinite and too long for mpmath
    if name in ("exp", "exp2", "expm1", "sinh", "cosh", "sigmoid", "tanh", "erf", "erfc"):
        x = x[np.abs(x) < (40 if name.startswith("erf") else limit)]
    got = call(name, dtype, x)
    with mpmath.workprec(160):
        distances = np.array(list(errors(got, [exact(mpmath.mpf(v)) for v in x.tolist()], dtype)))
    worst = int(distances.argmax())
    assert distances[worst] <= allowed, f"{name}_{dtype}({x[worst]!r}) = {got[worst]!r}: {distances[worst]:.2f} ulp"


INFINITY, NAN = np.inf, np.nan
SPECIAL = {
    "exp": [(0, 1), (-0.0, 1), (INFINITY, INFINITY), (-INFINITY, 0), (1e4, INFINITY), (-1e4, 0)],
    "exp2": [(0, 1), (3, 8), (-3, 0.125), (INFINITY, INFINITY), (-INFINITY, 0), (1e4, INFINITY), (-1e4, 0)],
    "expm1": [(0, 0.0), (-0.0, -0.0), (INFINITY, INFINITY), (-INFINITY, -1), (1e4, INFINITY), (-1e4, -1)],
    "log": [(0, -INFINITY), (-0.0, -INFINITY), (1, 0.0), (INFINITY, INFINITY), (-1, NAN), (-INFINITY, NAN)],
    "log1p": [(0, 0.0), (-0.0, -0.0), (-1, -INFINITY), (INFINITY, INFINITY), (-2, NAN), (-INFINITY, NAN)],
    "log2": [(0, -INFINITY), (1, 0.0), (8, 3), (2**-20, -20), (INFINITY, INFINITY), (-1, NAN)],
    "log10": [(0, -INFINITY), (1, 0.0), (1000, 3), (1e10, 10), (100, 2), (INFINITY, INFINITY), (-1, NAN)],
    "tanh": [(0, 0.0), (-0.0, -0.0), (INFINITY, 1), (-INFINITY, -1), (1e4, 1), (-1e4, -1)],
    "sigmoid": [(0, 0.5), (-0.0, 0.5), (INFINITY, 1), (-INFINITY, 0), (1e4, 1), (-1e4, 0)],
    "erf": [(0, 0.0), (-0.0, -0.0), (INFINITY, 1), (-INFINITY, -1), (1e4, 1), (-1e4, -1)],
    "erfc": [(0, 1), (-0.0, 1), (INFINITY, 0), (-INFINITY, 2), (1e4, 0), (-1e4, 2)],
    "sin": [(0, 0.0), (-0.0, -0.0), (INFINITY, NAN), (-INFINITY, NAN)],
    "cos": [(0, 1), (-0.0, 1), (INFINITY, NAN), (-INFINITY, NAN)],
    "tan": [(0, 0.0), (-0.0, -0.0), (INFINITY, NAN), (-INFINITY, NAN)],
    "asin": [(0, 0.0), (-0.0, -0.0), (1.5, NAN), (INFINITY, NAN)],
    "acos": [(1, 0.0), (-1.5, NAN), (-INFINITY, NAN)],
    "atan": [(0, 0.0), (-0.0, -0.0), (INFINITY, np.pi / 2), (-INFINITY, -np.pi / 2)],
    "sinh": [(0, 0.0), (-0.0, -0.0), (INFINITY, INFINITY), (-INFINITY, -INFINITY), (1e4, INFINITY), (-1e4, -INFINITY)],
    "cosh": [(0, 1), (-0.0, 1), (INFINITY, INFINITY), (-INFINITY, INFINITY), (-1e4, INFINITY)],
    "asinh": [(0, 0.0), (-0.0, -0.0), (INFINITY, INFINITY), (-INFINITY, -INFINITY)],
    "acosh": [(1, 0.0), (INFINITY, INFINITY), (0.5, NAN), (-5, NAN), (-INFINITY, NAN)],
    "atanh": [(0, 0.0), (-0.0, -0.0), (1, INFINITY), (-1, -INFINITY), (1.5, NAN), (INFINITY, NAN)],
    "sqrt": [(0, 0.0), (-0.0, -0.0), (4, 2), (INFINITY, INFINITY), (-1, NAN)],
    "rsqrt": [(0, INFINITY), (4, 0.5), (INFINITY, 0), (-1, NAN)],
    "reciprocal": [(0, INFINITY), (-0.0, -INFINITY), (4, 0.25), (-INFINITY, -0.0)],
    "square": [(-0.0, 0.0), (-3, 9), (-INFINITY, INFINITY)],
    "abs": [(-0.0, 0.0), (-3, 3), (-INFINITY, INFINITY)],
    "sign": [(-0.0, 0.0), (-3, -1), (5, 1), (INFINITY, 1), (-INFINITY, -1)],
    "floor": [(-0.5, -1), (1.5, 1), (-0.0, -0.0), (INFINITY, INFINITY)],
    "ceil": [(-0.5, -0.0), (1.5, 2), (-INFINITY, -INFINITY)],
    "round": [(0.5, 0.0), (1.5, 2), (2.5, 2), (-0.5, -0.0), (-1.5, -2), (INFINITY, INFINITY)],
    "trunc": [(-1.5, -1), (1.5, 1), (-0.5, -0.0), (INFINITY, INFINITY)],
}


def same(got, expected):
    """Equal bit for bit, but for the sign and payload of NaN."""
    return np.array_equal(got, expected, equal_nan=True) and np.array_equal(
        np.signbit(got)[~np.isnan(expected)], np.signbit(expected)[~np.isnan(expected)]
    )


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", SPECIAL)
def test_special_values(name, dtype):
    pairs = [*SPECIAL[name], (NAN, NAN)]
    expected = np.array([y for _, y in pairs], dtype)
    got = call(name, dtype, [x for x, _ in pairs])
    assert same(got, expected), list(zip(pairs, got.tolist(), strict=True))


def test_exponential_ends():
    # An attention mask needs exact zeros, and subnormal results must not be flushed to zero.
    x = np.array([88.72283, 88.72284, -87.34, -100, -103.97, -103.98, -104, -105, -1e30], np.float32)
    with np.errstate(all="ignore"):
        assert np.array_equal(call("exp", "float32", x) == 0, np.exp(x.astype(np.float64)).astype(np.float32) == 0)
    assert np.isinf(call("exp", "float32", 89)) and np.isfinite(call("exp", "float32", 88.72283))
    assert call("exp", "float64", -745.13) == 5e-324 and call("exp", "float64", -745.14) == 0
    assert np.isinf(call("exp", "float64", 709.79)) and np.isfinite(call("exp", "float64", 709.78))


@pytest.mark.parametrize("dtype", FLOATS)
def test_exact_powers(dtype):
    assert np.array_equal(call("log10", dtype, [10.0**k for k in range(11)]), np.arange(11))
    exponents = np.arange(np.finfo(dtype).minexp, np.finfo(dtype).maxexp)
    assert np.array_equal(call("log2", dtype, np.ldexp(np.ones(1, dtype), exponents)), exponents)
    assert np.array_equal(call("exp2", dtype, exponents), np.ldexp(np.ones(1, dtype), exponents))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_huge_angles(name, dtype):
    x = np.array([1e6, 1.5e6, -1e7, 3.3e8, -1e10, 1e15, 1e22, 1e30, 3e38, 5.5, 1.0], dtype)
    with mpmath.workprec(300):
        distances = list(errors(call(name, dtype, x), [ACCURATE[name][0](mpmath.mpf(v)) for v in x.tolist()], dtype))
    assert max(distances) < 4, distances


GRID = [0.0, -0.0, 1, -1, 2, -2, 0.5, -0.5, 3, -3, 2.5, -7.25, 1e-30, -1e-30, 1e30, INFINITY, -INFINITY, NAN]
BINARY = {
    "atan2": np.arctan2,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "pow": np.power,
    "floor_divide": np.floor_divide,
    "remainder": np.remainder,
    "copysign": np.copysign,
    "nextafter": np.nextafter,
    "hypot": np.hypot,
    "logaddexp": np.logaddexp,
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", BINARY)
def test_two_arguments(name, dtype):
    random = np.random.default_rng(3)
    special = np.array(np.meshgrid(GRID, GRID)).reshape(2, -1).astype(dtype)
    with np.errstate(all="ignore"):
        usual = (random.normal(size=(2, SAMPLES)) * np.exp2(random.uniform(-8, 8, (2, SAMPLES)))).astype(dtype)
        for x, y in (special, usual, np.abs(usual)):
            got = call(name, dtype, x, y)
            if name == "remainder" or name == "floor_divide" or name in ("copysign", "nextafter"):
                expected = BINARY[name](x, y)
                if name == "copysign":
                    got, expected = got[~np.isnan(x) & ~np.isnan(y)], expected[~np.isnan(x) & ~np.isnan(y)]
                assert same(got, expected), np.array([x, y, got, expected])[:, ~((got == expected) | (got != got))]
                continue
            expected = BINARY[name](x.astype(np.float64), y.astype(np.float64)).astype(dtype)
            either_zero = (x == 0) & (y == 0)  # NumPy leaves the sign of maximum(-0, +0) open
            where = either_zero if name in ("maximum", "minimum") else np.zeros_like(either_zero)
            assert same(np.sign(got[~where]), np.sign(expected[~where]))
            finite = np.isfinite(expected)
            assert same(got[~finite], expected[~finite])
            tolerance = 4 * np.finfo(dtype).eps
            np.testing.assert_allclose(got[finite], expected[finite], rtol=tolerance, atol=tolerance * 0.1)


@with_jit  # NumPy's scalars leave the order of zeros open
def test_zeros_are_ordered():
    for dtype in FLOATS:
        assert not np.signbit(call("maximum", dtype, [-0.0, 0.0], [0.0, -0.0])).any()
        assert np.signbit(call("minimum", dtype, [-0.0, 0.0], [0.0, -0.0])).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["isnan", "isinf", "isfinite", "signbit"])
def test_predicates(name, dtype):
    x = np.array(GRID, dtype)
    assert np.array_equal(call(name, dtype, x, out_dtype=bool), getattr(np, name)(x))


def integer_samples(dtype):
    info = np.iinfo(dtype)
    random = np.random.default_rng(5)
    values = [info.min, info.min + 1, info.max, info.max - 1, 0, 1, 2, 3, 5, 7, 10]
    values += [-1, -2, -3, -7] if info.min < 0 else []
    values += random.integers(info.min, info.max, 6, dtype=dtype).tolist()
    return np.array(list(itertools.product(values, values)), dtype=object).T


def wrapped(values, dtype):
    """Python integers into a type, with wrap-around."""
    bits = np.iinfo(dtype).bits
    return np.array([int(value) % 2**bits for value in values], np.uint64).astype(f"u{bits // 8}").view(dtype)


def python_divide(x, y):
    return x // y if y else 0


def python_remainder(x, y):
    return x % y if y else 0


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint64"])
def test_integers(dtype):
    bits = np.iinfo(dtype).bits
    x, y = integer_samples(dtype)
    pairs = list(zip(x, y, strict=True))
    expected = {
        "maximum": [max(a, b) for a, b in pairs],
        "minimum": [min(a, b) for a, b in pairs],
        "floor_divide": [python_divide(a, b) for a, b in pairs],
        "remainder": [python_remainder(a, b) for a, b in pairs],
        "pow": [pow(a, b, 2**bits) if b >= 0 else {1: 1, -1: 1 - 2 * (b % 2)}.get(a, 0) for a, b in pairs],
        "left_shift": [a << b if 0 <= b < bits else 0 for a, b in pairs],
        "right_shift": [a >> b if 0 <= b < bits else -int(a < 0) for a, b in pairs],
        "abs": [abs(a) for a in x],
        "sign": [(a > 0) - (a < 0) for a in x],
        "square": [a * a for a in x],
        "bitwise_invert": [~a for a in x],
        **dict.fromkeys(("floor", "ceil", "round", "trunc"), x),
    }
    first, second = wrapped(x, dtype), wrapped(y, dtype)
    out, flags = np.empty((len(expected), first.size), dtype), np.empty((4, first.size), bool)
    with np.errstate(all="ignore"):
        integer_loop(dtype)(first, second, out, flags)
    for (name, values), got in zip(expected.items(), out, strict=True):
        assert np.array_equal(got, wrapped(values, dtype)), (name, first, second, got)
    assert np.array_equal(flags[:3].T, [[False, False, True]] * first.size)  # isnan, isinf, isfinite
    assert np.array_equal(flags[3], first < 0)  # signbit


def integer_loop(dtype):
    """All integer functions in one loop, compiled once, in the order of test_integers."""
    names = "maximum minimum floor_divide remainder pow left_shift right_shift abs sign square bitwise_invert".split()
    names += "floor ceil round trunc isnan isinf isfinite signbit".split()
    lines = ["def loop(x, y, out, flags):", "    for i in range(x.size):"]
    for k, name in enumerate(names):
        target = f"out[{k}, i]" if k < 15 else f"flags[{k - 15}, i]"
        lines.append(f"        {target} = {name}({'x[i], y[i]' if k < 7 else 'x[i]'})")
    scope = {name: getattr(functions, functions.functions_for(dtype)[name]) for name in names}
    exec("\n".join(lines), scope)
    return njit(error_model="numpy")(scope["loop"])


def test_bool():
    x, y = np.array([False, False, True, True]), np.array([False, True, False, True])
    largest, smallest, invert, same_value = (
        getattr(functions, f"{name}_bool") for name in ("maximum", "minimum", "bitwise_invert", "abs")
    )

    @njit
    def loop(x, y, out):
        for i in range(x.size):
            out[0, i], out[1, i] = largest(x[i], y[i]), smallest(x[i], y[i])
            out[2, i], out[3, i] = invert(x[i]), same_value(x[i])

    out = np.empty((4, 4), bool)
    loop(x, y, out)
    assert np.array_equal(out, [x | y, x & y, ~x, x])


def test_every_function_of_the_language_is_defined():
    needed = scalar.FUNCTIONS - {"bitwise_invert", "left_shift", "right_shift"}
    for dtype in FLOATS:
        table = functions.functions_for(dtype)
        assert needed <= table.keys(), needed - table.keys()
        assert all(callable(getattr(functions, qualified)) for qualified in table.values())
    everything = set().union(*(functions.functions_for(dtype) for dtype in [*FLOATS, *INTEGERS, "bool"]))
    assert everything >= scalar.FUNCTIONS, scalar.FUNCTIONS - everything
    for dtype in [*INTEGERS, "bool"]:
        assert all(callable(getattr(functions, name)) for name in functions.functions_for(dtype).values())
    assert functions.functions_for("complex64") == {}
    with pytest.raises(AttributeError, match="no function exp_int8"):
        functions.exp_int8  # noqa: B018


VECTORISED = [*ACCURATE, "sqrt", "sign", "round", "isnan"]


@with_jit
@pytest.mark.parametrize("dtype", FLOATS)
def test_loops_vectorise_without_library_calls(dtype):
    letter = {"float32": "float", "float64": "double"}[dtype]
    for name in VECTORISED:
        loop = loop_of(name, dtype)
        x = np.ones(4, dtype)
        loop(x, np.empty_like(x))
        text = loop.inspect_llvm(loop.signatures[0])
        own = "".join(body for body in text.split("\ndefine ") if not re.match(r"[^(]*@gradloom", body))
        assert re.search(rf"<\d+ x {letter}>", own), f"{name}_{dtype} did not vectorise"
        library = re.findall(r"call[^\n]*@(?:llvm\.)?(exp|log|sin|cos|tan|pow|erf|tanh)\w*[.f]?[^\n]*\(", own)
        assert not library, f"{name}_{dtype} calls {library}"


@with_jit
def test_beside_reassociated_sums():
    # The caller's flags are the caller's: the reductions inside exp and sin must survive a kernel that reassociates.
    flags = frozenset({"contract", "reassoc", "nsz", "arcp", "afn"})
    for name in ("exp", "log1p", "sin"):
        x = points(name, "float64")
        plain, flagged = call(name, "float64", x), call(name, "float64", x, fastmath=flags)
        np.testing.assert_allclose(flagged, plain, rtol=1e-15)


@with_jit
def test_without_the_jit():
    """This very file once more in a process without the JIT, on fewer points."""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    options = ["-q", "-x", "--import-mode=importlib", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, __file__]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
