"""Matrix products on the device, against NumPy in float64: every form of operand, ragged sizes, batches, all precisions.

The bound on an error is that of the CPU's tests: (k + 2) eps (|a| @ |b|), whatever the order of the sum.
"""

from importlib import import_module

import numpy as np
import pytest
from cuda_support import IS_SIMULATED, cpu, cuda, needs_cuda

from kernels.cuda import matmul_variants
from kernels.cuda.array import BFLOAT16
from kernels.cuda.matmul_variants import TENSOR_TILES, TILES, Ending, Tile, tensor_kernel, tile_kernel

host = import_module("kernels.cuda.matmul")  # the package has a function of the same name
pytestmark = needs_cuda
F32, F64 = np.float32, np.float64
UNIT = {"float32": 2.0**-23, "float64": 2.0**-52, "float16": 2.0**-10, "bfloat16": 2.0**-7, "tf32": 2.0**-10, "3xtf32": 2.0**-21}


def data(shape, dtype=F32, seed=0):
    generator = np.random.default_rng([seed, *shape])
    if dtype == BFLOAT16:
        return (generator.standard_normal(shape).astype(F32).view(np.uint32) >> 16).astype(np.uint16).view(BFLOAT16)
    if np.dtype(dtype).kind == "f":
        return generator.standard_normal(shape).astype(dtype)
    if np.dtype(dtype) == np.bool_:
        return generator.random(shape) < 0.3
    return generator.integers(0, 200, shape).astype(dtype)


def wide(x):
    return (x.view(np.uint16).astype(np.uint32) << 16).view(F32).astype(F64) if x.dtype == BFLOAT16 else x.astype(F64)


def there(x, form="rows"):
    """The array on the device, the last two axes laid out as `form` says."""
    k = cuda()
    if form == "columns":
        return k.from_numpy(np.ascontiguousarray(x.swapaxes(-1, -2))).mT
    if form == "gaps":
        big = np.zeros((*x.shape[:-2], 2 * x.shape[-2], 3 * x.shape[-1]), x.dtype)
        big[..., ::2, ::3] = x
        return k.from_numpy(big)[..., ::2, ::3]
    if form == "reversed":
        return k.from_numpy(np.ascontiguousarray(x[..., ::-1, ::-1]))[..., ::-1, ::-1]
    if form == "shifted":  # every line begins one element after a multiple of 16 bytes
        big = np.zeros((*x.shape[:-1], x.shape[-1] + 8), x.dtype)
        big[..., 1 : x.shape[-1] + 1] = x
        return k.from_numpy(big)[..., 1 : x.shape[-1] + 1]
    return k.from_numpy(x)


def check(a, b, unit=None, bias=None, forms=("rows", "rows"), expected=None, **options):
    k = cuda()
    a_there, b_there = there(a, forms[0]), there(b, forms[1])
    bias_there = None if bias is None else k.from_numpy(bias)
    result = k.to_numpy(k.matmul(a_there, b_there, bias=bias_there, **options))
    exact, size = wide(a) @ wide(b), np.abs(wide(a)) @ np.abs(wide(b))
    if bias is not None:
        exact, size = exact + wide(bias), size + np.abs(wide(bias))
    assert result.shape == exact.shape and result.dtype == a.dtype
    unit = unit or UNIT["bfloat16" if a.dtype == BFLOAT16 else a.dtype.name]
    slack = 2.0**-23 * (a.shape[-1] + 2) if a.dtype.itemsize == 2 or "precision" in options else unit * (a.shape[-1] + 1)
    assert np.all(np.abs(wide(result) - exact) <= (unit * 2 + slack) * size + 1e-30)
    np.testing.assert_array_equal(k.to_numpy(a_there), a)
    np.testing.assert_array_equal(k.to_numpy(b_there), b)
    return result


# --- shapes and layouts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shapes", [
    ((1,), (1,)), ((33,), (33,)), ((3,), (3, 5)), ((5, 3), (3,)), ((1, 1), (1, 1)), ((1, 7), (7, 1)), ((7, 1), (1, 7)),
    ((5, 7), (7, 9)), ((33, 3), (3, 31)), ((2, 65), (65, 2)), ((0, 3), (3, 2)), ((2, 3), (3, 0)), ((2, 0), (0, 3)), ((0,), (0,)),
    ((2, 0), (0,)), ((2, 0, 3), (3, 4)), ((0, 2, 3), (3, 4)), ((36, 20), (20, 40)),
])  # fmt: skip
def test_shapes(shapes):
    check(data(shapes[0]), data(shapes[1], seed=1))


@pytest.mark.parametrize("right", ["rows", "columns", "gaps", "reversed", "shifted"])
@pytest.mark.parametrize("left", ["rows", "columns"])
def test_forms(left, right):
    check(data((20, 12)), data((12, 36), seed=1), forms=(left, right))


@pytest.mark.parametrize("shapes", [
    ((2, 5, 3), (3, 4)), ((2, 5, 3), (2, 3, 4)), ((2, 1, 2, 3), (2, 3, 4)), ((2, 3), (2, 3, 4)), ((2, 1, 3), (2, 3, 1)),
    ((2, 5, 3), (3,)), ((3,), (2, 3, 4)), ((2, 1, 2, 1, 3), (2, 1, 3, 2)),
])  # fmt: skip
def test_batches(shapes):
    check(data(shapes[0]), data(shapes[1], seed=1))


def test_a_permuted_batch_is_read_in_place():
    """Heads of attention: (batch, time, head, feature) seen as (batch, head, time, feature)."""
    k = cuda()
    x, y = data((2, 3, 2, 4)), data((2, 6, 2, 4), seed=1)
    q, w = k.from_numpy(x).transpose(0, 2, 1, 3), k.from_numpy(y).transpose(0, 2, 3, 1)
    assert host.plan_for(host.layout_of(q), host.layout_of(w)) is not None
    np.testing.assert_allclose(k.to_numpy(k.matmul(q, w)), x.transpose(0, 2, 1, 3) @ y.transpose(0, 2, 3, 1), rtol=1e-5, atol=1e-5)


def test_a_batch_of_rows_becomes_one_matrix():
    k = cuda()
    plan = host.plan_for(host.layout_of(k.from_numpy(data((4, 5, 8)))), host.layout_of(k.from_numpy(data((8, 12)))))
    assert plan._numbers[0] == 20


@pytest.mark.parametrize("shape", [(9, 33), (3, 140), (40, 4)])
@pytest.mark.parametrize("form", ["rows", "columns", "shifted"])
def test_matrix_and_vector(shape, form):
    matrix, x = data(shape), data(shape[1:], seed=1)
    check(matrix, x, forms=(form, "rows"))
    k = cuda()
    y = data(shape[:1], seed=2)
    bias = data(shape[1:], seed=3)
    found = k.to_numpy(k.matmul(k.from_numpy(y), there(matrix, form), bias=k.from_numpy(bias)))
    np.testing.assert_allclose(found, y.astype(F64) @ matrix + bias, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [F64, np.float16, BFLOAT16])
def test_matrix_and_vector_of_other_floats(dtype):
    for form in ("rows", "columns"):
        check(data((8, 40), dtype), data((40,), dtype, seed=1), forms=(form, "rows"))


# --- the depth in parts -------------------------------------------------------------------------------------------------


@pytest.fixture
def short_parts(monkeypatch):
    monkeypatch.setattr(host, "_SHORTEST_PART", 16)
    host._plans.clear()
    yield
    host._plans.clear()


@pytest.mark.parametrize("options", [{}, dict(precision="tf32")])
def test_a_long_depth_is_cut_in_parts(short_parts, options):
    k = cuda()
    a, b, bias = data((3, 71)), data((71, 5), seed=1), data((5,), seed=2)
    plan = host.plan_for(host.layout_of(k.from_numpy(a)), host.layout_of(k.from_numpy(b)), True)
    assert plan.parts == 3 or not IS_SIMULATED
    unit = UNIT["tf32"] if options else None
    first = check(a, b, bias=bias, unit=unit, **options)
    np.testing.assert_array_equal(first, check(a, b, bias=bias, unit=unit, **options))


def test_a_long_depth_of_a_vector_is_cut_in_parts(short_parts):
    for form in ("rows", "columns"):
        check(data((3, 271)), data((271,), seed=1), forms=(form, "rows"))


def test_sums_of_ones_are_exact():
    k = cuda()
    ones = k.from_numpy(np.ones(9_001, F32))
    assert k.to_numpy(k.matmul(ones, ones)) == 9_001


# --- types --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)] + ["bool"])
def test_integers_and_bool(dtype):
    k = cuda()
    for shapes in (((5, 19), (19, 3)), ((2, 3, 4), (4,)), ((0, 2), (2, 2)), ((2, 0), (0, 2))):
        a, b = data(shapes[0], dtype), data(shapes[1], dtype, seed=1)
        found = k.to_numpy(k.matmul(there(a), there(b)))
        np.testing.assert_array_equal(found, np.matmul(a, b))
        assert found.dtype == np.dtype(dtype)
    a, b = data((4, 6), dtype), data((6, 2), dtype, seed=1)
    np.testing.assert_array_equal(k.to_numpy(k.matmul(there(a, "gaps"), there(b, "reversed"))), np.matmul(a, b))


@pytest.mark.parametrize("shapes", [((5, 7), (7, 9)), ((34, 20), (20, 33)), ((2, 3, 8), (2, 8, 4))])
def test_float64(shapes):
    check(data(shapes[0], F64), data(shapes[1], F64, seed=1), forms=("rows", "columns"))


@pytest.mark.parametrize("dtype", [np.float16, BFLOAT16])
@pytest.mark.parametrize("forms", [("rows", "rows"), ("columns", "columns"), ("shifted", "rows")])
@pytest.mark.parametrize("shapes", [((16, 16), (16, 16)), ((33, 37), (37, 41)), ((40, 72), (72, 48))])
def test_small_floats(dtype, forms, shapes):
    check(data(shapes[0], dtype), data(shapes[1], dtype, seed=1), forms=forms)


def test_small_floats_with_a_float32_result():
    k = cuda()
    a, b = data((20, 40), np.float16), data((40, 24), np.float16, seed=1)
    out = k.empty((20, 24), F32)
    assert k.matmul(there(a), there(b), out=out) is out
    np.testing.assert_allclose(k.to_numpy(out), wide(a) @ wide(b), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("forms", [("rows", "rows"), ("columns", "columns"), ("rows", "columns"), ("columns", "rows"), ("shifted", "shifted")])
@pytest.mark.parametrize("precision", ["tf32", "3xtf32"])
def test_tensor_cores_for_float32(precision, forms):
    check(data((36, 20)), data((20, 44), seed=1), unit=UNIT[precision], forms=forms, precision=precision)


def test_split_tf32_is_as_accurate_as_float32():
    a, b = data((32, 48)), data((48, 32), seed=1)
    k, exact = cuda(), a.astype(F64) @ b
    errors = {p: np.abs(k.to_numpy(k.matmul(there(a), there(b), precision=p)) - exact).max() for p in ("float32", "3xtf32", "tf32")}
    assert errors["3xtf32"] <= 2 * errors["float32"] < errors["tf32"] / 50


def test_not_a_number_and_infinity():
    k = cuda()
    a, b = data((5, 6)), data((6, 7), seed=1)
    a[1, 2], a[2, 3], b[4, 5], b[0, 0] = np.nan, np.inf, -np.inf, 0
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(k.to_numpy(k.matmul(there(a), there(b))), a @ b, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(k.to_numpy(k.matmul(there(a), there(b[:, 5].copy()))), a @ b[:, 5], rtol=1e-5, atol=1e-6)


# --- the kernels themselves, in small and in large ----------------------------------------------------------------------


def run(kernel, tile, a, b, forms):
    """One launch of a matrix kernel."""
    k = cuda()
    (rows, depth), columns = a.shape, b.shape[1]
    out = k.empty((rows, columns), a.dtype)
    blocks = -(-rows // tile.rows) * -(-columns // tile.columns)
    lines = depth if forms[0] == "rows" else rows, columns if forms[1] == "rows" else depth
    kernel((blocks, 1), there(a, forms[0]), there(b, forms[1]), None, out, rows, columns, depth, *lines, 1, 0, 0, 0, 0, depth, rows * columns)
    return k.to_numpy(out)


@pytest.mark.parametrize("widths", [(4, 4, 4), (1, 4, 1), (4, 1, 4)])
@pytest.mark.parametrize("forms", [("rows", "rows"), ("columns", "columns")])
def test_tiles_that_are_unlike_in_rows_and_columns(forms, widths):
    tile = Tile(32, 64, 16)
    a, b = data((36, 12)), data((12, 68), seed=1)
    kernel = tile_kernel(Ending("float32", "float32"), tile, forms[0] == "rows", forms[1] == "columns", *widths)
    np.testing.assert_allclose(run(kernel, tile, a, b, forms), a.astype(F64) @ b, rtol=1e-5, atol=1e-5)


def test_the_large_tile():
    forms, tile = ("rows", "rows"), TILES["float32"][0]
    a, b = data((132, 20)), data((20, 68), seed=1)
    kernel = tile_kernel(Ending("float32", "float32"), tile, forms[0] == "rows", forms[1] == "columns", 4, 4, 4)
    np.testing.assert_allclose(run(kernel, tile, a, b, forms), a.astype(F64) @ b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family, dtype, depth", [("16", "float16", 104), ("tf32", "float32", 20), ("3xtf32", "float32", 20)])
def test_the_large_tensor_tile(family, dtype, depth):
    tile = TENSOR_TILES[family][0]
    a, b = data((120, depth), dtype), data((depth, 72), dtype, seed=1)
    forms = ("columns", "rows") if family == "16" else ("rows", "columns")
    products = 3 if family == "3xtf32" else 1
    kernel = tensor_kernel(Ending(dtype, dtype), tile, products, forms[0] == "rows", forms[1] == "columns", True, True, 2)
    rough = 2e-2 if family != "3xtf32" else 1e-5
    np.testing.assert_allclose(run(kernel, tile, a, b, forms), wide(a) @ wide(b), rtol=rough, atol=rough)


# --- bias, activation, out ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "tanh"])
@pytest.mark.parametrize("shapes", [((5, 8), (8, 6)), ((8,), (8, 6))])
def test_bias_and_activation(activation, shapes):
    from kernels import formulas

    k = cuda()
    a, b, bias = data(shapes[0]), data(shapes[1], seed=1), data(shapes[1][1:], seed=2)
    found = k.to_numpy(k.matmul(there(a), there(b), bias=k.from_numpy(bias), activation=activation))
    expected = cpu().apply(getattr(formulas, activation), cpu().matmul(a, b, bias=bias))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", [dict(precision="tf32"), dict()])
def test_bias_and_activation_elsewhere(options):
    k = cuda()
    a, b, bias = data((18, 12)), data((12, 22), seed=1), data((22,), seed=2)
    found = k.to_numpy(k.matmul(there(a), there(b), bias=k.from_numpy(bias), activation="relu", **options))
    np.testing.assert_allclose(found, np.maximum(a @ b + bias, 0), rtol=2e-2, atol=2e-2)


def test_out():
    k = cuda()
    a, b = data((5, 8)), data((8, 6), seed=1)
    out = k.from_numpy(np.full((5, 6), 7, F32))
    assert k.matmul(there(a), there(b), out=out) is out
    np.testing.assert_allclose(k.to_numpy(out), a @ b, rtol=1e-5, atol=1e-5)
    room = k.from_numpy(np.full((10, 12), 7, F32))
    k.matmul(there(a), there(b), out=room[::2, ::-2])
    np.testing.assert_allclose(k.to_numpy(room)[::2, ::-2], a @ b, rtol=1e-5, atol=1e-5)
    assert np.all(k.to_numpy(room)[1::2] == 7)
    square = there(data((6, 6)))
    expected = k.to_numpy(square) @ k.to_numpy(square)
    np.testing.assert_allclose(k.to_numpy(k.matmul(square, square, out=square)), expected, rtol=1e-5, atol=1e-5)


def test_errors_are_those_of_the_cpu():
    k, c = cuda(), cpu()
    x, y = data((2, 3)), data((4, 5))
    calls = [
        (x, y, {}), (x, y.astype(F64), {}), (np.float32(3), x, {}), (data((2, 2, 3)), data((3, 3, 4)), {}),
        (x, data((3, 4)), dict(bias=data((5,)))), (x, data((3, 4)), dict(bias=data((4,), F64))), (x, data((3,)), dict(bias=data((1,)))),
        (x, data((3, 4)), dict(out=np.empty((2, 5), F32))), (x, data((3, 4)), dict(out=np.empty((2, 4), F64))),
    ]  # fmt: skip
    for a, b, options in calls:
        with pytest.raises((TypeError, ValueError)) as expected:
            c.matmul(np.asarray(a), b, **options)
        with pytest.raises(expected.type) as found:
            k.matmul(k.from_numpy(a), k.from_numpy(b), **{name: k.from_numpy(v) for name, v in options.items()})
        assert str(found.value) == str(expected.value)
    there_x = k.from_numpy(x)
    with pytest.raises(ValueError, match="precision 'half' is none for float32 operands; expected None or 'float32' or 'tf32'"):
        k.matmul(there_x, there_x.T, precision="half")
    with pytest.raises(ValueError, match="activation 'add' is no operation of one number"):
        k.matmul(there_x, there_x.T, activation="add")
    with pytest.raises(TypeError, match="from_numpy"):
        k.matmul(x, there_x.T)
    with pytest.raises(TypeError, match="is for floating-point operands, got int64"):
        k.matmul(k.from_numpy(np.ones((2, 2), int)), k.from_numpy(np.ones((2, 2), int)), activation="relu")


def test_kernels_are_made_once():
    k = cuda()
    a = there(data((4, 4)))
    k.matmul(a, a)
    before = matmul_variants.tile_kernel.cache_info().misses
    k.matmul(a, a)
    assert matmul_variants.tile_kernel.cache_info().misses == before
