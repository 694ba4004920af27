"""Elementwise kernels against NumPy: every layout, memory that is written into, dtypes, numbers and threads."""

import threading

import numpy as np
import pytest
from layouts import LAYOUTS

from kernels import formulas, launch, memory
from kernels.cpu import apply
from kernels.cpu.pointer import JIT_DISABLED

needs_jit = pytest.mark.skipif(JIT_DISABLED, reason="takes minutes without the compiler")
SHAPES = [(), (1,), (0,), (7,), (1, 17), (17, 1), (3, 0, 2), (2, 3, 5), (2, 3, 1, 4)]


def drawn(shape, dtype=np.float32):
    generator = np.random.default_rng(sum(shape) + len(shape))
    if np.dtype(dtype).kind == "b":
        return generator.random(shape) < 0.5
    values = generator.uniform(1, 9, shape)
    return np.asarray(values, dtype) if np.dtype(dtype).kind == "f" else values.astype(dtype)


def byte_swapped(values):
    return values.astype(values.dtype.newbyteorder())


def misaligned(values):
    """Every address is odd."""
    room = np.zeros(values.nbytes + 1, np.uint8)
    view = room[1:].view(values.dtype).reshape(values.shape)
    view[...] = values
    return view


def field(values):
    """A field of a structured array: strides that are no multiple of the element."""
    records = np.zeros(values.shape, np.dtype([("tag", np.uint8), ("value", values.dtype)]))
    records["value"] = values
    return records["value"]


def read_only(values):
    values = values.copy()
    values.flags.writeable = False
    return values


def broadcast(values):
    """The same numbers only where all elements of the first axis are alike: see `same_rows`."""
    return np.broadcast_to(values[:1], values.shape) if values.ndim and values.shape[0] else values


PLACES = {"dense": np.copy, **LAYOUTS, "byte-swapped": byte_swapped, "misaligned": misaligned, "field": field,
          "read-only": read_only, "broadcast": broadcast}  # fmt: skip


@pytest.fixture
def parallel(monkeypatch):
    """Everything runs on several threads, however small."""
    monkeypatch.setattr(launch, "PARALLEL_WORK", 1)
    monkeypatch.setattr(launch, "parallel_work", 1)
    memory.set_poison(True)  # plans made before know the old limit
    yield
    memory.set_poison(True)


def check(formula, expected, *operands, **options):
    """The formula's result is the expected one, written completely, and no operand has changed."""
    before = [np.array(o) for o in operands]
    result = apply(formula, *operands, **options)
    np.testing.assert_allclose(result, expected, rtol=2e-6 if np.asarray(expected).dtype == np.float32 else 1e-14)
    assert result.shape == np.shape(expected) and result.dtype == np.asarray(expected).dtype
    assert result.dtype.isnative
    for operand, old in zip(operands, before, strict=True):
        np.testing.assert_array_equal(operand, old)
    return result


# --- layouts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_layout(shape, place):
    x, y = PLACES[place](drawn(shape)), drawn(shape) + 1
    check(formulas.multiply, np.asarray(x * y), x, y)
    check(formulas.subtract, np.asarray(y - x), y, x)
    check(formulas.sqrt, np.asarray(np.sqrt(x, dtype=np.float32)), x)


@pytest.mark.parametrize("first", PLACES)
@pytest.mark.parametrize("second", ["permuted", "strided", "negative", "broadcast", "byte-swapped"])
def test_two_layouts_at_once(first, second):
    values = drawn((2, 3, 4))
    x, y = PLACES[first](values), PLACES[second](values + 1)
    check(formulas.subtract, (x - y).astype(np.float32), x, y)


@pytest.mark.parametrize(
    "shapes",
    [((), (3,)), ((3, 1), (1, 4)), ((2, 1, 4), (3, 1)), ((1,), (0,)), ((5, 0), (1, 1)), ((1, 1, 1), ()), ((4, 1, 2), (4, 3, 1))],
    ids=str,
)
def test_broadcasting(shapes):
    x, y = map(drawn, shapes)
    check(formulas.subtract, np.asarray(x - y), x, y)
    check(formulas.subtract, np.asarray(y - x), y, x)


@needs_jit
@pytest.mark.parametrize("shape", [(1, 1009), (1009, 1), (33, 1000), (1000, 33), (1 << 17, 3), (1, 1), (31, 37, 41)], ids=str)
def test_shapes_that_show_swapped_dimensions(shape, parallel):
    x, row = drawn(shape), drawn(shape[-1:])
    column = drawn((*shape[:-1], 1))
    check(formulas.subtract, x - row, x, row)
    check(formulas.subtract, column - x, column, x)
    check(formulas.add, x.T + x.T, x.T, x.T)
    check(formulas.subtract, np.ascontiguousarray(x.T).T - x, np.ascontiguousarray(x.T).T, x)


@needs_jit
def test_larger_than_one_thread_takes():
    x = drawn((launch.PARALLEL_WORK + 7,))
    check(formulas.add, x + x[::-1], x, x[::-1])
    check(formulas.negative, -x, x)


def test_results_lie_as_the_operands_do():
    x = np.asfortranarray(drawn((3, 4, 5)))
    assert apply(formulas.add, x, x).flags.f_contiguous
    assert apply(formulas.add, x, x.copy("C")).flags.c_contiguous
    assert apply(formulas.negative, x[::-1]).flags.c_contiguous


def test_lists_numpy_scalars_and_subclasses():
    class Named(np.ndarray):
        pass

    x = drawn((3,), np.float64)
    np.testing.assert_array_equal(apply(formulas.add, [1.0, 2.0, 3.0], x), x + [1, 2, 3])
    np.testing.assert_array_equal(apply(formulas.add, x.view(Named), np.float64(2)), x + 2)


# --- out ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["dense", "permuted", "strided", "negative", "offset"])
def test_out_of_any_layout(place):
    x, y = drawn((2, 3, 4)), drawn((3, 4))
    out = PLACES[place](np.full((2, 3, 4), np.nan, np.float32))
    assert apply(formulas.subtract, x, y, out=out) is out
    np.testing.assert_array_equal(out, x - y)


def test_strided_out_leaves_what_lies_between():
    room = np.full((4, 6), 113, np.float32)
    apply(formulas.negative, drawn((2, 3)), out=room[::2, ::2])
    np.testing.assert_array_equal(room[::2, ::2], -drawn((2, 3)))
    assert (room[1::2] == 113).all() and (room[:, 1::2] == 113).all()


@pytest.mark.parametrize("place", ["dense", "permuted", "strided", "negative"])
def test_out_is_an_operand(place):
    x, y = PLACES[place](drawn((2, 3, 4))), drawn((2, 3, 4)) + 1
    expected = x - y
    assert apply(formulas.subtract, x, y, out=x) is x
    np.testing.assert_array_equal(x, expected)
    z = PLACES[place](drawn((2, 3, 4)))
    apply(formulas.subtract, y, z, out=z)
    np.testing.assert_array_equal(z, y - drawn((2, 3, 4)))
    z = PLACES[place](drawn((2, 3, 4)))
    apply(formulas.multiply, z, z, out=z)
    np.testing.assert_array_equal(z, drawn((2, 3, 4)) ** 2)


@pytest.mark.parametrize("size", [9, pytest.param(5000, marks=needs_jit)])
def test_out_overlaps_an_operand(size):
    for target, source in [(slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None)), (slice(None, None, -1), slice(None))]:
        x = drawn((size,))
        expected = x[source] + x[target]
        apply(formulas.add, x[source], x[target], out=x[target])
        np.testing.assert_array_equal(x[target], expected)
    square = drawn((7, 7))
    expected = square + square.T
    apply(formulas.add, square, square.T, out=square)
    np.testing.assert_array_equal(square, expected)


def test_out_that_is_a_broadcast_operands_memory():
    x = drawn((3, 4))
    expected = x + x[0]
    apply(formulas.add, x, x[0], out=x)
    np.testing.assert_array_equal(x, expected)


def test_wrong_out():
    x = drawn((3, 4))
    with pytest.raises(ValueError, match=r"add: out must be 1 array\(s\) of shape \(3, 4\), got \(4,\)"):
        apply(formulas.add, x, x, out=np.empty(4, np.float32))
    with pytest.raises(ValueError, match=r"add: out must be 1 array\(s\) of shape \(3, 4\), got \(3, 4\), \(3, 4\)"):
        apply(formulas.add, x, x, out=(x, x))
    with pytest.raises(ValueError, match="add: out is read-only"):
        apply(formulas.add, x, x, out=read_only(x))


@pytest.mark.parametrize("place", [byte_swapped, misaligned, field])
def test_out_that_no_kernel_can_write(place):
    x = drawn((3, 4))
    for operand in (x, place(x)):
        out = operand if operand is not x else place(x)
        with pytest.raises(ValueError, match="add: out must be aligned and in native byte order"):
            apply(formulas.add, operand, x, out=out)
        np.testing.assert_array_equal(out, x)


def test_out_whose_elements_share_memory():
    x = drawn((3, 4))
    out = np.lib.stride_tricks.as_strided(np.zeros(4, np.float32), (3, 4), (0, 4))
    with pytest.raises(ValueError, match="add: the elements of out share memory: strides"):
        apply(formulas.add, x, x, out=out)


# --- dtypes and numbers ------------------------------------------------------------------------------------------------

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_wrap_around(dtype):
    bounds = np.iinfo(dtype)
    x, y = np.array([bounds.max, bounds.min, 7, 100], dtype), np.array([1, 1, 3, 2], dtype)
    check(formulas.add, x + y, x, y)
    check(formulas.multiply, x * y, x, y)
    check(formulas.subtract, x - y, x, y)


@pytest.mark.parametrize("types", [("int8", "int32"), ("uint8", "int8"), ("int32", "float32"), ("bool", "int16"), ("float32", "float64"), ("uint64", "int64")])
def test_mixed_dtypes_promote_as_numpys(types):
    x, y = drawn((2, 5), types[0]), drawn((5,), types[1])
    check(formulas.add, x + y, x, y)
    check(formulas.less, x < y, x, y)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool"])
def test_functions_of_floats_take_integers_in_float64(dtype):
    x = drawn((5,), dtype)
    assert apply(formulas.sqrt, x).dtype == np.float64
    np.testing.assert_allclose(apply(formulas.sqrt, x), np.sqrt(x, dtype=np.float64), rtol=1e-15)


def test_dtypes_that_no_kernel_takes():
    for dtype in (np.complex64, np.float16, object, "U3", "datetime64[s]", np.longdouble):
        with pytest.raises(TypeError, match="kernels on the CPU compute in bool, integers, float32 and float64; got "):
            apply(formulas.add, np.zeros(3, dtype), np.zeros(3, dtype))


def test_kinds_that_a_formula_is_not_defined_on():
    with pytest.raises(TypeError, match="negative is not defined on bool: it takes .*; convert with astype first"):
        apply(formulas.negative, np.array([True]))
    with pytest.raises(TypeError, match="bitwise_and is not defined on float32: it takes .*; convert with astype first"):
        apply(formulas.bitwise_and, drawn((3,)), drawn((3,)))


def test_number_of_operands_and_shapes():
    with pytest.raises(TypeError, match=r"add: takes 2 operands .*, got 1"):
        apply(formulas.add, drawn((3,)))
    with pytest.raises(ValueError, match=r"add: shapes \(3,\) and \(2, 4\) do not broadcast: sizes 3 and 4 at axis -1 differ"):
        apply(formulas.add, drawn((3,)), drawn((2, 4)))


def test_python_numbers_are_weak():
    x = drawn((3,))
    for number in (2, 2.5, True):
        check(formulas.add, x + number, *(x,), number)
        check(formulas.subtract, number - x, number, x)
    n = drawn((3,), np.int8)
    check(formulas.add, n + 2, n, 2)
    check(formulas.add, n + 2.5, n, 2.5)
    check(formulas.add, np.array([True, False]) + 2, np.array([True, False]), 2)
    assert apply(formulas.add, 1.5, 2).shape == ()


@pytest.mark.parametrize("dtype", INTEGERS)
def test_python_integers_out_of_bounds(dtype):
    bounds = np.iinfo(dtype)
    x = np.zeros(2, dtype)
    for number in (bounds.max, bounds.min):
        check(formulas.add, x + number, x, int(number))
    for number in (int(bounds.max) + 1, int(bounds.min) - 1, 10**30):
        with pytest.raises(OverflowError, match=f"add: the number {number} is out of bounds for {dtype}"):
            apply(formulas.add, x, number)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_and_infinity(dtype):
    x = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1], dtype)
    with np.errstate(all="ignore"):
        for function in (np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum, np.less, np.equal):
            a, b = np.meshgrid(x, x)
            np.testing.assert_array_equal(apply(formulas.TABLE[function.__name__], a, b), function(a, b), function.__name__)


# --- threads -----------------------------------------------------------------------------------------------------------


@needs_jit
@pytest.mark.parametrize("place", ["dense", "permuted", "strided", "negative", "broadcast"])
def test_the_number_of_threads_changes_no_bit(place, parallel, monkeypatch):
    x, y = PLACES[place](drawn((33, 7, 101))), drawn((7, 1))
    results = []
    for threads in (1, 2):
        monkeypatch.setattr(launch, "_threads", threads)
        results.append([apply(formulas.gelu, x), apply(formulas.divide, x, y), apply(formulas.multiply, x, 1.7)])
    for one, two in zip(*results, strict=True):
        assert one.tobytes() == two.tobytes()


@needs_jit
def test_four_python_threads_at_once(parallel):
    operands = [drawn((101, 103)) + k for k in range(4)]
    expected = [np.sqrt(x * 3) for x in operands]
    wrong, start = [], threading.Barrier(4)

    def work(k):
        start.wait()
        for _ in range(100):
            if not np.allclose(apply(formulas.sqrt, apply(formulas.multiply, operands[k], 3)), expected[k], rtol=1e-6):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


@needs_jit
def test_four_python_threads_meet_a_new_formula():
    formula = formulas.define("threads_meet", lambda x: x * x + 17) if hasattr(formulas, "define") else formulas.square
    results, start = [], threading.Barrier(4)

    def work():
        start.wait()
        results.append(float(apply(formula, np.array([3.0]))[0]))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(set(results)) == 1 and len(results) == 4
