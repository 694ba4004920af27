"""Products, factorisations and norms of the standard give what array-api-strict gives, and refuse what it refuses."""

import pytest
from array_api_support import (
    ALL,
    FLOATS,
    NUMBERS,
    assert_near,
    compare,
    compare_near,
    compares,
    examples,
    expected_of,
    tensors,
)
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag

SIZES = st.integers(0, 3)
STACKS = st.sampled_from([(), (), (2,), (1,), (0,), (2, 1)])
TWO_STACKS = st.sampled_from([((), ()), ((2,), ()), ((), (2,)), ((1, 2), (3, 1)), ((0,), (1,))])
SMALL = {"min_value": 0, "max_value": 9}


def operands(data, first, second, dtypes=NUMBERS):
    x = data.draw(tensors(dtypes, first, **SMALL))
    return x, data.draw(tensors((x.dtype.name,), second, **SMALL))


@pytest.mark.parametrize("name", ["matmul", "linalg.matmul"])
@compares("matmul", "linalg.matmul")
@examples
@given(data=st.data())
def test_products_of_matrices(name, data):
    rows, inner, columns = data.draw(st.tuples(SIZES, SIZES, SIZES))
    one, two = data.draw(TWO_STACKS)
    first = data.draw(st.sampled_from([(inner,), (*one, rows, inner)]))
    second = data.draw(st.sampled_from([(inner,), (*two, inner, columns)]))
    compare_near(name, *operands(data, first, second), scale=256)


@pytest.mark.parametrize("name", ["vecdot", "linalg.vecdot"])
@compares("vecdot", "linalg.vecdot")
@examples
@given(data=st.data())
def test_products_of_vectors(name, data):
    one, two = data.draw(TWO_STACKS)
    size, axis = data.draw(SIZES), data.draw(st.sampled_from([-1, -2]))
    behind = () if axis == -1 else (data.draw(SIZES),)
    compare_near(name, *operands(data, (*one, size, *behind), (*two, size, *behind)), axis=axis, scale=256)


@pytest.mark.parametrize("name", ["tensordot", "linalg.tensordot"])
@compares("tensordot", "linalg.tensordot")
@examples
@given(data=st.data())
def test_sums_over_pairs_of_axes(name, data):
    x, y = operands(data, (2, 3, 2), data.draw(st.sampled_from([(2, 3, 2), (3, 2, 4), (2, 0)])))
    pairs = [0, 1, 2, ((0, 2), (-1, 0)), ((1,), (1,)), ((1, 2), (0, 1)), ((), ()), ((0,), (1,))]
    compare_near(name, x, y, axes=data.draw(st.sampled_from(pairs)), scale=4096)


@compares("linalg.outer", "linalg.cross", "linalg.trace", "linalg.diagonal", "linalg.matrix_transpose", "matrix_transpose")
@examples
@given(data=st.data())
def test_products_without_sums_diagonals_and_transposing(data):
    x, y = operands(data, (data.draw(SIZES),), (data.draw(SIZES),))
    compare("linalg.outer", x, y)
    one, two = data.draw(TWO_STACKS)
    axis = data.draw(st.sampled_from([-1, -2]))
    behind = () if axis == -1 else (data.draw(SIZES),)
    signed = [d for d in NUMBERS if not d.startswith("u")]  # differences of unsigned ones wrap round in either
    compare_near("linalg.cross", *operands(data, (*one, 3, *behind), (*two, 3, *behind), signed), axis=axis, scale=256)
    matrix = data.draw(tensors(ALL, (*data.draw(STACKS), data.draw(SIZES), data.draw(SIZES))))
    offset = data.draw(st.integers(-4, 4))
    compare("linalg.diagonal", matrix, offset=offset)
    compare("linalg.matrix_transpose", matrix)
    compare("matrix_transpose", matrix)
    numbers = data.draw(tensors(NUMBERS, matrix.shape, **SMALL))
    compare_near("linalg.trace", numbers, offset=offset, scale=64)
    compare_near("linalg.trace", numbers, offset=offset, dtype=ag.float64, scale=64)


@st.composite
def matrices(draw, square=False, low=-4, high=4):
    rows = draw(st.integers(0, 3))
    shape = (*draw(STACKS), rows, rows if square else draw(st.integers(0, 3)))
    elements = draw(st.sampled_from([{"min_value": low, "max_value": high}, {"elements": st.sampled_from([0.0, 1.0, -2.0, 0.5])}]))
    return draw(tensors(FLOATS, shape, **elements))


@pytest.mark.parametrize("name", ["linalg.det", "linalg.slogdet", "linalg.inv"])
@compares("linalg.det", "linalg.slogdet", "linalg.inv")
@examples
@given(x=matrices(square=True))
def test_determinants_and_inverses(name, x):
    compare_near(name, x, scale=64)


@compares("linalg.solve")
@examples
@given(data=st.data())
def test_solve(data):
    x = data.draw(matrices(square=True))
    size = x.shape[-1]
    other = data.draw(st.sampled_from([(size,), (size, 2), (*x.shape[:-2], size, 1), (size, 0)]))
    compare_near("linalg.solve", x, data.draw(tensors((x.dtype.name,), other, min_value=-4, max_value=4)))


@compares("linalg.cholesky", "linalg.eigh", "linalg.eigvalsh")
@examples
@given(data=st.data())
def test_factors_of_symmetric_matrices(data):
    x = data.draw(matrices(square=True))
    symmetric = x + ag.matrix_transpose(x)
    compare_near("linalg.cholesky", symmetric, upper=data.draw(st.booleans()))
    positive = x @ ag.matrix_transpose(x) + ag.eye(x.shape[-1], dtype=x.dtype)
    compare_near("linalg.cholesky", positive, upper=data.draw(st.booleans()))
    compare_near("linalg.eigvalsh", symmetric, scale=64)
    compare_near("linalg.eigh", symmetric, scale=64)


@compares("linalg.qr", "linalg.svd", "linalg.svdvals", "linalg.pinv", "linalg.matrix_rank")
@examples
@given(data=st.data())
def test_factors_of_any_matrices(data):
    x = data.draw(matrices())
    compare_near("linalg.qr", x, mode=data.draw(st.sampled_from(["reduced", "complete"])))
    compare_near("linalg.svd", x, full_matrices=data.draw(st.booleans()), scale=64)
    compare_near("linalg.svdvals", x, scale=64)
    rtol = data.draw(st.sampled_from([{}, {"rtol": 0.1}]))
    compare_near("linalg.pinv", x, **rtol, scale=64)
    if x.shape[-1] and x.shape[-2]:  # of no elements NumPy cannot take the largest
        compare("linalg.matrix_rank", x, **rtol)
    per_matrix = ag.full(x.shape[:-2], 0.1, dtype=x.dtype)
    compare_near("linalg.pinv", x, rtol=per_matrix, scale=64)


@compares("linalg.matrix_power")
@examples
@given(data=st.data())
def test_powers(data):
    x = data.draw(matrices(square=True))
    compare_near("linalg.matrix_power", x, data.draw(st.integers(0, 5)), scale=4096)
    power = data.draw(st.integers(-3, -1))
    well = x * 0.125 + ag.eye(x.shape[-1], dtype=x.dtype) * 2  # far from singular: the inverse loses no digits
    compare_near("linalg.matrix_power", well, power)


@compares("linalg.vector_norm")
@examples
@given(data=st.data())
def test_norms_of_vectors(data):
    x = data.draw(tensors(FLOATS, min_value=-64, max_value=64))
    axis = data.draw(st.none() | (st.integers(-x.ndim, x.ndim - 1) if x.ndim else st.none()) | st.just(tuple(range(x.ndim))))
    for order in (2, 1, 0, 3, 0.5, ag.inf, -ag.inf, -1):
        options = {"axis": axis, "keepdims": data.draw(st.booleans()), "ord": order}
        if order not in (ag.inf, -ag.inf) or x.size:  # of no elements there is no largest
            compare_near("linalg.vector_norm", x, **options, tolerance=512, scale=64)


@compares("linalg.matrix_norm")
@examples
@given(data=st.data())
def test_norms_of_matrices(data):
    x = data.draw(matrices())
    for order in ("fro", "nuc", 1, -1, 2, -2, ag.inf, -ag.inf):
        if x.size or order == "fro":
            compare_near("linalg.matrix_norm", x, ord=order, keepdims=data.draw(st.booleans()), scale=64)


def test_the_comparison_with_a_tolerance_can_fail():
    x = ag.asarray([[2.0, 0.0], [1.0, 3.0]])
    for wrong in (ag.linalg.det(x) + 1e-3, ag.linalg.det(x)[None], ag.linalg.det(x).astype(ag.float64)):
        with pytest.raises(AssertionError):
            assert_near(wrong, expected_of("linalg.det", x))
