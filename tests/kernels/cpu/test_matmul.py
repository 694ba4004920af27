"""Matrix multiplication against NumPy in float64, on everything that has its own path: sizes, strides, types, threads.

The bound on a float's error is the textbook one for a sum of k products in any order (Higham, Accuracy and Stability of
Numerical Algorithms, section 3.5): |error| <= (k + 2) eps * (|a| @ |b|), the result's own rounding included.
"""

import importlib
import itertools
import threading

import numpy as np
import pytest

from kernels import launch
from kernels.cpu import simd
from kernels.cpu.matmul import matmul
from kernels.cpu.pointer import JIT_DISABLED

matmul_module = importlib.import_module("kernels.cpu.matmul")  # the package has a function of the same name

FLOATS = (np.float32, np.float64)
INTEGERS = tuple(np.dtype(f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8))
LAYOUTS = ("rows", "columns", "reversed", "gaps")

needs_jit = pytest.mark.skipif(JIT_DISABLED, reason="takes minutes without the compiler")


@pytest.fixture
def parallel():
    """Makes every launch a parallel one."""
    before = launch.get_num_threads()
    yield from _with_threads(before)


def _with_threads(before):
    def use(threads):
        launch.set_num_threads(threads)
        launch.parallel_work = 1 if threads > 1 else launch.NEVER

    yield use
    launch.set_num_threads(before)


def sample(shape, dtype, layout="rows", seed=0):
    """Random values of a shape whose last two axes lie in memory as `layout` says."""
    generator = np.random.default_rng(seed)

    def values(shape):
        if np.dtype(dtype).kind == "f":
            return generator.standard_normal(shape).astype(dtype)
        if np.dtype(dtype) == np.bool_:
            return generator.random(shape) < 0.3
        return generator.integers(0, 200, shape).astype(dtype)

    if layout == "columns":
        return np.swapaxes(values((*shape[:-2], shape[-1], shape[-2])), -1, -2)
    if layout == "reversed":
        return values(shape)[..., ::-1, ::-1]
    if layout == "gaps":
        return values((*shape[:-2], 2 * shape[-2], 3 * shape[-1]))[..., ::2, ::3]
    return values(shape)


def check(a, b, result, bias=None):
    """The result has NumPy's shape and dtype and is as near to the exact product as rounding allows."""
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    expected, magnitude = np.matmul(wide_a, wide_b), np.matmul(np.abs(wide_a), np.abs(wide_b))
    if bias is not None:
        expected, magnitude = expected + bias.astype(np.float64), magnitude + np.abs(bias.astype(np.float64))
    assert result.shape == expected.shape
    assert result.dtype == a.dtype
    bound = (a.shape[-1] + 2) * np.finfo(a.dtype).eps * magnitude
    if a.dtype == np.float64:
        bound *= 2  # the reference is rounded as well
    assert np.all(np.abs(result - expected) <= bound)


# --- values -----------------------------------------------------------------------------------------------------------

TILE_ROWS, TILE_COLUMNS = simd.HEIGHT, simd.PANEL_float32
RAGGED = [
    *[(1, 1, 1), (2, 3, 4), (3, 5, 7), (5, 2, 1), (4, 1, 9)],
    *([] if JIT_DISABLED else [(17, 31, 13), (64, 128, 10), (64, 64, 128), (10, 64, 128), (97, 101, 103)]),
    *([] if JIT_DISABLED else [(TILE_ROWS + r, 20, TILE_COLUMNS + c) for r in (-1, 0, 1) for c in (-1, 0, 1)]),
    *([] if JIT_DISABLED else [(33, simd.DEPTH + d, 40) for d in (-1, 0, 1)]),
    *([] if JIT_DISABLED else [(513, 70, 40), (5, 300, 700), (1, 300, 300), (2, 700, 129), (300, 300, 1)]),
]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", RAGGED, ids=str)
def test_any_size_in_any_layout(shape, dtype):
    rows, depth, columns = shape
    for layout_a, layout_b in itertools.product(LAYOUTS, LAYOUTS):
        a, b = sample((rows, depth), dtype, layout_a), sample((depth, columns), dtype, layout_b, 1)
        before = a.copy(), b.copy()
        check(a, b, matmul(a, b))
        assert np.array_equal(a, before[0])
        assert np.array_equal(b, before[1])


@needs_jit
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layouts", list(itertools.product(LAYOUTS, LAYOUTS)), ids="-".join)
def test_packed_products_in_bands(dtype, layouts, monkeypatch):
    """The path of large matrices, with bands so small that several are needed in both directions."""
    for name, value in (("_LARGE", 20), ("_LARGE_TRANSPOSED", 160), ("_BAND_DEPTH", 768), ("_BAND_COLUMNS", 64)):
        monkeypatch.setattr(matmul_module, name, value)
    matmul_module._plans.clear()
    a, b = sample((41, 805), dtype, layouts[0]), sample((805, 143), dtype, layouts[1], 1)
    bias = sample((143,), dtype, seed=2)
    check(a, b, matmul(a, b))
    check(a, b, matmul(a, b, bias=bias), bias)
    matmul_module._plans.clear()


@needs_jit
def test_really_large_matrices_take_the_packed_path():
    a, b = sample((1025, 1030), np.float32), sample((1030, 1027), np.float32, seed=1)
    check(a, b, matmul(a, b))
    check(a, b.T.copy().T, matmul(a, b.T.copy().T))
    batched = np.stack([a, a + 1])
    check(batched, b, matmul(batched, b))


@pytest.mark.parametrize("dtype", [*INTEGERS, np.dtype(bool)], ids=str)
def test_integers_wrap_around_and_bools_combine(dtype):
    shapes = [(2, 3, 4), (1, 5, 1), (3, 0, 2)] + ([] if JIT_DISABLED else [(70, 130, 65), (9, 200, 300)])
    for rows, depth, columns in shapes:
        for layout in LAYOUTS:
            a, b = sample((rows, depth), dtype, layout), sample((depth, columns), dtype, layout, 1)
            expected = np.matmul(a, b)
            result = matmul(a, b)
            assert result.dtype == expected.dtype
            assert np.array_equal(result, expected)


def test_zero_strides():
    row = np.broadcast_to(sample((1, 6), np.float32), (5, 6))
    column = np.broadcast_to(sample((6, 1), np.float32), (6, 4))
    scalar = np.broadcast_to(np.float32(2), (6, 4))
    for a, b in ((row, column), (row, scalar), (column.T, column), (scalar.T, row.T)):
        check(a, b, matmul(a, b))


def test_fields_of_a_structured_array():
    records = np.zeros((4, 3), dtype=[("tag", np.int8), ("value", np.float32)])
    records["value"] = sample((4, 3), np.float32)
    b = sample((3, 2), np.float32)
    check(records["value"], b, matmul(records["value"], b))


# --- vectors, batches, empty operands ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [*FLOATS, np.int32])
@pytest.mark.parametrize(
    "shapes",
    [
        *[((5,), (5,)), ((5,), (5, 3)), ((4, 5), (5,)), ((5,), (2, 5, 3)), ((2, 4, 5), (5,))],
        *[((2, 3, 4), (4, 2)), ((3, 4), (2, 4, 2)), ((2, 1, 3, 4), (3, 4, 2)), ((1, 3, 4), (2, 4, 5))],
        ((2, 1, 4), (2, 4, 1)),
    ],
    ids=str,
)
def test_vectors_and_batches(shapes, dtype):
    a, b = (sample((1, *shape), dtype, seed=seed)[0] for seed, shape in enumerate(shapes))
    result = matmul(a, b)
    expected = np.matmul(a, b)
    assert result.shape == expected.shape
    assert isinstance(result, np.ndarray)
    if np.dtype(dtype).kind == "f":
        check(a, b, result)
    else:
        assert np.array_equal(result, expected)


@needs_jit
@pytest.mark.parametrize("dtype", FLOATS)
def test_batches_of_any_layout(dtype):
    a = sample((6, 7, 33, 20), dtype)
    b = sample((7, 20, 45), dtype, "columns", 1)
    permuted = sample((33, 7, 20, 6), dtype).transpose(3, 1, 0, 2)
    shared = np.broadcast_to(sample((1, 1, 20, 45), dtype), (6, 7, 20, 45))
    for left, right in itertools.product((a, permuted, a[::-1, ::2][:, :1], a[:, :, :1]), (b[:1], shared, b[0])):
        right = right[..., :1, :, :] if right.ndim == 4 and left.shape[1] == 1 else right
        check(left, right, matmul(left, right))


@needs_jit
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_long_vectors_and_wide_matrices(dtype, layout):
    matrix = sample((300, 9001), dtype, layout)
    short, long = sample((1, 300), dtype)[0], sample((1, 9001), dtype, layout)[0]
    check(matrix, long, matmul(matrix, long))
    check(short, matrix, matmul(short, matrix))
    check(long, matrix.T, matmul(long, matrix.T))
    check(matrix.T, short[::-1], matmul(matrix.T, short[::-1]))
    assert matmul(long, long).shape == ()
    check(long, long, matmul(long, long))


@pytest.mark.parametrize("dtype", [*FLOATS, np.int64, np.bool_])
@pytest.mark.parametrize(
    "shapes",
    [
        *[((3, 0), (0, 2)), ((0,), (0,)), ((0,), (0, 4)), ((4, 0), (0,)), ((2, 3, 0), (0, 5))],
        *[((0, 3), (3, 2)), ((3, 2), (2, 0)), ((0, 3), (3, 0)), ((0, 2, 3), (3, 4)), ((2, 0), (0, 0))],
        ((0, 1, 3), (3, 2)),
    ],
    ids=str,
)
def test_nothing_to_sum_gives_zeros_and_nothing_gives_nothing(shapes, dtype):
    a, b = (np.ones(shape, dtype) for shape in shapes)
    expected = np.matmul(a, b)
    result = matmul(a, b)
    assert result.shape == expected.shape
    assert result.dtype == expected.dtype
    assert np.array_equal(result, expected)
    if b.ndim > 1:
        bias = np.ones(b.shape[-1], dtype)
        assert np.array_equal(matmul(a, b, bias=bias), expected + bias)


# --- special values ---------------------------------------------------------------------------------------------------


SPECIAL = [(1, 4, 3), (3, 4, 1), (4, 5, 6)] + ([] if JIT_DISABLED else [(20, 300, 40)])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SPECIAL, ids=str)
def test_nan_and_infinity_reach_just_what_they_touch(shape, dtype):
    rows, depth, columns = shape
    for value in (np.nan, np.inf, -np.inf):
        a, b = np.ones((rows, depth), dtype), np.ones((depth, columns), dtype)
        a[rows // 2, depth - 1] = value
        result = matmul(a, b)
        expected = np.full((rows, columns), depth, dtype)
        expected[rows // 2] = value
        assert np.array_equal(result, expected, equal_nan=True)
        assert np.array_equal(matmul(b.T, a.T), expected.T, equal_nan=True)
    a, b = np.zeros((rows, depth), dtype), np.zeros((depth, columns), dtype)
    a[0, 0], b[:, 0] = np.inf, 0
    assert np.isnan(matmul(a, b)[0]).all()  # infinity times zero
    assert not np.isnan(matmul(a, b)[1:]).any()


@needs_jit
def test_long_sums_keep_their_accuracy():
    """Blocked sums: a million ones, and an error far below that of one running sum."""
    ones = np.ones((1, 1_000_003), np.float32)
    assert matmul(ones, ones.T) == 1_000_003
    tall = np.ones((1_000_003, 5), np.float32)
    assert np.array_equal(matmul(tall.T, tall), np.full((5, 5), 1_000_003, np.float32))


# --- out and bias -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [*FLOATS, np.int32])
def test_out_is_overwritten_whatever_its_layout(dtype):
    a, b = sample((5, 6), dtype), sample((6, 7), dtype, seed=1)
    expected = matmul(a, b)
    for layout in LAYOUTS:
        out = sample((5, 7), dtype, layout)
        if np.dtype(dtype).kind == "f":
            out[...] = np.nan
        assert matmul(a, b, out=out) is out
        assert np.array_equal(out, expected)
    rows = np.zeros((10, 9), dtype)
    matmul(a, b, out=rows[1:6, 2:])
    assert np.array_equal(rows[1:6, 2:], expected)
    assert not rows[6:].any() and not rows[0].any() and not rows[:, :2].any()
    for x, y in ((a[0], b), (a, b[:, 0]), (a[0], b[:, 0])):
        out = np.full(np.matmul(x, y).shape, 99, dtype)
        matmul(x, y, out=out)
        assert np.array_equal(out, matmul(x, y))
    strided = np.full((5, 3), 99, dtype)
    matmul(a, b[:, 0], out=strided[:, 1])
    assert np.array_equal(strided[:, 1], matmul(a, b[:, 0]))


@pytest.mark.parametrize("dtype", FLOATS)
def test_out_may_overlap_the_operands(dtype):
    a = sample((6, 6), dtype)
    expected = matmul(a, a)
    assert np.array_equal(matmul(a, a, out=a), expected)


@pytest.mark.parametrize("dtype", [*FLOATS, np.int32, np.bool_])
def test_bias_is_added_to_every_row(dtype):
    sizes = [(1, 3, 4), (5, 3, 4), (5, 3, 1)] + ([] if JIT_DISABLED else [(33, 600, 75), (2, 40, 300)])
    for rows, depth, columns in sizes:
        for layout in LAYOUTS:
            a, b = sample((rows, depth), dtype, layout), sample((depth, columns), dtype, layout, 1)
            bias = sample((2, columns), dtype, seed=2)[0, ::-1]
            result = matmul(a, b, bias=bias)
            if np.dtype(dtype).kind == "f":
                check(a, b, result, bias)
            else:
                assert np.array_equal(result, np.matmul(a, b) + bias)
    a, b, bias = sample((2, 3, 4), dtype), sample((4, 5), dtype), sample((1, 5), dtype)[0]
    assert np.array_equal(matmul(a, b, bias=bias)[1], matmul(a[1], b, bias=bias))
    assert matmul(a[0, 0], b, bias=bias).shape == (5,)


# --- determinism and threads ------------------------------------------------------------------------------------------

THREADED = [((130, 70), (70, 90)), ((5, 700), (700, 300)), ((1, 300), (300, 999)), ((999, 300), (300,))]
THREADED += [((40, 9, 17), (40, 17, 33)), ((1200, 30), (30, 7)), ((1030, 1030), (1030, 1100))]
THREADED += [((2, 65, 300), (300, 40)), ((700, 650), (650, 660))]


@needs_jit
@pytest.mark.parametrize("dtype", [*FLOATS, np.int64])
@pytest.mark.parametrize("shapes", THREADED, ids=str)
def test_threads_do_not_change_a_bit(shapes, dtype, parallel):
    if np.dtype(dtype).kind == "i" and max(shapes[0]) > 1000:
        pytest.skip("the same path as for small ones")
    a, b = (sample((1, *shape), dtype, seed=seed)[0] for seed, shape in enumerate(shapes))
    results = []
    for threads in (1, 2, 2):
        if threads > launch.available_threads():
            pytest.skip("one core")
        parallel(threads)
        results.append(matmul(a, b))
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


@needs_jit
def test_four_python_threads_at_once(parallel):
    parallel(min(2, launch.available_threads()))
    cases = [(sample((m, k), np.float32, seed=m), sample((k, n), np.float32, seed=n)) for m, k, n in SIZES_AT_ONCE]
    expected = [matmul(a, b) for a, b in cases]
    failures = []

    def work(offset):
        for turn in range(30):
            index = (turn + offset) % len(cases)
            if not np.array_equal(matmul(*cases[index]), expected[index]):
                failures.append(index)

    workers = [threading.Thread(target=work, args=(offset,)) for offset in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures


SIZES_AT_ONCE = [(64, 64, 64), (1, 500, 500), (700, 650, 660), (17, 400, 5), (100, 30, 400)]


# --- what is refused --------------------------------------------------------------------------------------------------


def test_errors_name_the_shapes_and_what_is_wrong():
    one = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(4, 5\) do not fit: the inner sizes 3 .* and 4 .* differ"):
        matmul(one, np.ones((4, 5), np.float32))
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(2,\) do not fit: the inner sizes 3 .* and 2 .* differ"):
        matmul(one, np.ones(2, np.float32))
    with pytest.raises(ValueError, match=r"batch dimensions \(2,\) and \(3,\) do not broadcast"):
        matmul(np.ones((2, 2, 3)), np.ones((3, 3, 2)))
    with pytest.raises(ValueError, match="at least one dimension"):
        matmul(np.array(1.0), np.ones(2))
    with pytest.raises(TypeError, match="float32 and float64; kernels do not promote"):
        matmul(one, np.ones((3, 2)))
    for dtype in (np.float16, np.complex128, ">f4", "M8[s]"):
        x = np.ones((2, 2), dtype) if dtype != "M8[s]" else np.zeros((2, 2), dtype)
        with pytest.raises(TypeError, match=r"matmul: computes in float32, float64, integers and bool"):
            matmul(x, x)


def test_errors_about_out_and_bias():
    a, b = np.ones((2, 3), np.float32), np.ones((3, 4), np.float32)
    with pytest.raises(ValueError, match=r"out must be float32\(2, 4\), got float32\(2, 3\)"):
        matmul(a, b, out=np.empty((2, 3), np.float32))
    with pytest.raises(ValueError, match=r"out must be float32\(2, 4\), got float64\(2, 4\)"):
        matmul(a, b, out=np.empty((2, 4)))
    read_only = np.empty((2, 4), np.float32)
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        matmul(a, b, out=read_only)
    with pytest.raises(ValueError, match=r"bias must have shape \(4,\)"):
        matmul(a, b, bias=np.ones(3, np.float32))
    with pytest.raises(TypeError, match="bias has dtype float64"):
        matmul(a, b, bias=np.ones(4))
    with pytest.raises(ValueError, match="the result has none"):
        matmul(a, b[:, 0], bias=np.ones(2, np.float32))


def test_lists_and_subclasses_are_arrays_too():
    class Marked(np.ndarray):
        pass

    a, b = sample((2, 3), np.float64), sample((3, 2), np.float64, seed=1)
    check(a, b, matmul(a.tolist(), b.tolist()))
    check(a, b, matmul(a.view(Marked), b))


def test_the_profiler_sees_operations_and_bytes():
    seen = []
    a, b = np.ones((8, 5), np.float32), np.ones((5, 6), np.float32)
    with launch.observe(seen.append):
        matmul(a, b)
        matmul(a, b)
    assert [record.flops for record in seen] == [2 * 8 * 5 * 6] * 2
    assert seen[0].bytes == 4 * (8 * 5 + 5 * 6 + 8 * 6)
    assert seen[0].kernel == "matmul_direct[float32]"
