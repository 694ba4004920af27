"""Types and their promotion: the Array API's table; Python numbers weak."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import autograd as ag

ALL = (
    ag.bool, ag.int8, ag.int16, ag.int32, ag.int64, ag.uint8, ag.uint16, ag.uint32, ag.uint64, ag.float32, ag.float64,
)  # fmt: skip


def expected_promotion(left: np.dtype, right: np.dtype) -> np.dtype | None:
    """The Array API's table within a kind; a float with an integer or bool keeps the float; None: no common type."""
    kinds = left.kind + right.kind
    if left.kind == right.kind or ("b" in kinds and "f" not in kinds):
        return np.promote_types(left, right)
    if "f" in kinds:
        return left if left.kind == "f" else right
    return None if ag.uint64 in (left, right) else np.promote_types(left, right)


@pytest.mark.parametrize(("left", "right"), list(itertools.product(ALL, repeat=2)), ids=lambda d: d.name)
def test_promotion_table(left, right):
    expected = expected_promotion(left, right)
    if expected is None:
        with pytest.raises(TypeError, match="no integer type holds all values of .*uint64|no integer type .* and uint64"):
            ag.result_type(left, right)
    else:
        assert ag.result_type(left, right) == ag.result_type(right, left) == expected


def test_operations_follow_the_table():
    for left, right in ((ag.int8, ag.int32), (ag.uint8, ag.int8), (ag.int64, ag.float32), (ag.float32, ag.float64)):
        out = ag.ones(3, dtype=left) + ag.ones(3, dtype=right)
        assert out.dtype == ag.result_type(left, right) and out.tolist() == [2, 2, 2]
    with pytest.raises(TypeError, match="no integer type holds all values of uint64 and int64; convert one operand"):
        ag.ones(2, dtype=ag.uint64) * ag.ones(2, dtype=ag.int64)


WEAK = [
    (ag.float32, 2.5, ag.float32), (ag.float64, 2, ag.float64), (ag.float32, True, ag.float32), (ag.int8, 3, ag.int8),
    (ag.int8, True, ag.int8), (ag.int64, 2.5, ag.float32), (ag.bool, 1, ag.int64), (ag.bool, 2.5, ag.float32),
    (ag.bool, True, ag.bool), (ag.uint8, 200, ag.uint8),
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "number", "expected"), WEAK)
def test_t12_python_numbers_are_weak(dtype, number, expected):
    assert ag.result_type(dtype, number) == ag.result_type(number, dtype) == expected
    tensor = ag.ones(2, dtype=dtype)
    if expected == ag.bool:
        return
    for out in (tensor * number, number * tensor, ag.maximum(tensor, number), ag.where(ag.tensor([True, False]), tensor, number)):
        assert out.dtype == expected
    assert (tensor * number).tolist() == [number, number]


def test_result_type_of_numbers_alone_and_of_tensors():
    assert ag.result_type(1.0) == ag.float32 and ag.result_type(1) == ag.int64 and ag.result_type(True) == ag.bool
    assert ag.result_type(ag.ones(2), 1, ag.float64) == ag.float64
    assert ag.result_type(np.ones(2), ag.int8) == ag.float64


@pytest.mark.parametrize(("dtype", "number"), [
    (ag.int8, 128), (ag.int8, -129), (ag.uint8, -1), (ag.uint8, 256), (ag.int32, 2**31), (ag.int64, 2**63), (ag.uint64, -1),
    (ag.uint64, 2**64),
])  # fmt: skip
def test_an_integer_that_does_not_fit_is_refused(dtype, number):
    tensor = ag.ones(2, dtype=dtype)
    for use in (lambda: tensor + number, lambda: number * tensor, lambda: ag.maximum(tensor, number)):
        with pytest.raises(OverflowError, match=rf"{number} is out of bounds for {dtype}"):
            use()


def test_integers_that_just_fit():
    assert (ag.zeros(1, dtype=ag.uint64) + (2**64 - 1)).tolist() == [2**64 - 1]
    assert (ag.zeros(1, dtype=ag.int64) + -(2**63)).tolist() == [-(2**63)]
    assert (ag.zeros(1, dtype=ag.int8) + 127).tolist() == [127]


def test_functions_of_reals_compute_integers_in_float32():
    for out in (ag.sqrt(ag.tensor([4, 9])), ag.tensor([1, 2]) / ag.tensor([2, 4]), ag.exp(ag.tensor([True, False])), ag.tensor([1]) / 2):
        assert out.dtype == ag.float32
    assert ag.sqrt(ag.tensor([4, 9])).tolist() == [2.0, 3.0]


def test_integer_division_by_zero_follows_numpy():
    for dtype in (ag.int64, ag.int8, ag.uint8):
        a, zero = ag.tensor([7, 0, 5], dtype=dtype), ag.zeros(3, dtype=dtype)
        assert (a // zero).tolist() == [0, 0, 0] and (a % zero).tolist() == [0, 0, 0]
    assert (ag.tensor([-7, 7, -7]) // ag.tensor([2, -2, -2])).tolist() == [-4, -4, 3]
    assert (ag.tensor([-7, 7, -7]) % ag.tensor([2, -2, -2])).tolist() == [1, -1, -1]
    lowest = ag.tensor([-(2**63), -128])
    assert (lowest // -1).tolist() == [-(2**63), 128]  # wraps around as NumPy's does; a trap of the processor elsewhere
    assert (ag.tensor([-128], dtype=ag.int8) // ag.tensor([-1], dtype=ag.int8)).tolist() == [-128]
    assert (lowest % -1).tolist() == [0, 0]


@pytest.mark.parametrize(("given", "expected"), [
    (float, ag.float32), (int, ag.int64), (bool, ag.bool), ("float64", ag.float64), (np.int8, ag.int8), (np.dtype(">f4"), ag.float32),
])  # fmt: skip
def test_names_of_types(given, expected):
    assert ag.zeros(2, dtype=given).dtype == expected


@pytest.mark.parametrize("bad", [np.float16, np.clongdouble, object, "U3", np.longdouble, "datetime64[s]"])
def test_types_that_are_not_supported(bad):
    with pytest.raises(TypeError, match="is not supported; supported are bool, complex64, complex128, float32, float64, int8"):
        ag.zeros(2, dtype=bad)


def test_no_type_at_all():
    with pytest.raises(TypeError, match="not a data type: 'nonsense'"):
        ag.zeros(2, dtype="nonsense")
