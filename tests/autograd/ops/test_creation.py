"""Tensors from data and from nothing."""

from __future__ import annotations

import numpy as np
import pytest

import autograd as ag


@pytest.mark.parametrize(("data", "dtype", "shape"), [
    (1.5, ag.float32, ()), (3, ag.int64, ()), (True, ag.bool, ()), ([1.0, 2.0], ag.float32, (2,)), ([[1], [2]], ag.int64, (2, 1)),
    ([True, False], ag.bool, (2,)), ([1, 2.5], ag.float32, (2,)), (np.ones(2), ag.float64, (2,)), ([], ag.float32, (0,)),
    (np.float32(1.0), ag.float32, ()), (np.int8(1), ag.int8, ()), ([np.float64(1.0)], ag.float64, (1,)), ((1, 2), ag.int64, (2,)),
    (np.zeros((2, 0), np.uint8), ag.uint8, (2, 0)), ([ag.tensor([1.0]), ag.tensor([2.0])], ag.float32, (2, 1)), (range(3), ag.int64, (3,)),
], ids=repr)  # fmt: skip
def test_dtype_and_shape_follow_the_data(data, dtype, shape):
    for make in (ag.tensor, ag.asarray):
        made = make(data)
        assert made.dtype == dtype and made.shape == shape


def test_numbers_are_not_rounded_on_the_way():
    assert ag.tensor([0.1], dtype=ag.float64).item() == 0.1 and ag.asarray(0.1, dtype=ag.float64).item() == 0.1
    assert ag.tensor([1 / 3, [1][0]], dtype="float64").tolist() == [1 / 3, 1.0]
    assert ag.tensor(2**53 + 1).item() == 2**53 + 1
    assert ag.full((1,), 0.1, dtype=ag.float64).item() == 0.1
    assert ag.tensor([16777217.0], dtype=ag.int64).item() == 16777217


def test_tensor_copies_and_asarray_shares():
    array = np.ones(3)
    assert not np.shares_memory(ag.tensor(array).numpy(), array)
    assert np.shares_memory(ag.asarray(array).numpy(), array)
    assert not np.shares_memory(ag.asarray(array, copy=True).numpy(), array)
    x = ag.ones(2, requires_grad=True)
    assert ag.asarray(x) is x and ag.asarray(x * 1).requires_grad and not ag.tensor(x).requires_grad
    with pytest.raises(ValueError, match="cannot be shared without a copy"):
        ag.asarray([1.0], copy=False)
    with pytest.raises(ValueError, match="converting float32 to float64 needs a copy"):
        ag.asarray(x, dtype=ag.float64, copy=False)


@pytest.mark.parametrize("array", [
    np.arange(3, dtype=">f8"), np.frombuffer(bytes(range(17)), np.uint8)[1:].view(np.int64), np.array([(1, 2.0), (3, 4.0)],
    dtype=[("a", "i1"), ("b", "f4")])["b"], np.broadcast_to(np.array(1.5), (3,)), np.arange(3.0).view(np.recarray),
], ids=["big endian", "misaligned", "field of a record", "read-only", "a subclass"])  # fmt: skip
def test_arrays_that_a_kernel_cannot_read(array):
    for made in (ag.asarray(array), ag.tensor(array)):
        assert np.array_equal((made * 1).numpy(), np.asarray(array)) and made.numpy().dtype.isnative
        made += 1  # and what was read-only is not written to


@pytest.mark.parametrize(("data", "error", "message"), [
    ("text", TypeError, "cannot make a tensor of <U4 data"), ([1, "a"], TypeError, "cannot make a tensor of"),
    (np.float16(1), TypeError, "float16 data .*supported are bool, integers"),
    (None, TypeError, "object data"), ([1, [2, 3]], ValueError, "unequal lengths"), (object(), TypeError, "object data"),
    ([2**70], TypeError, "object data"),
], ids=lambda value: "object" if type(value) is object else repr(value))  # fmt: skip
def test_data_that_is_none(data, error, message):
    for make in (ag.tensor, ag.asarray):
        with pytest.raises(error, match=message):
            make(data)


def test_filled_tensors():
    assert ag.zeros(2, 3).shape == ag.zeros((2, 3)).shape == ag.zeros([2, 3]).shape == (2, 3) and ag.zeros(()).shape == ()
    assert ag.ones(2).tolist() == [1.0, 1.0] and ag.full((2,), 7).tolist() == [7, 7] and ag.full((2,), 7).dtype == ag.int64
    assert ag.full((), True).dtype == ag.bool and ag.full(2, 1.5).tolist() == [1.5, 1.5]
    assert ag.empty(2, 3).shape == (2, 3) and ag.zeros(2, requires_grad=True).requires_grad
    x = ag.ones((2, 3), dtype=ag.float64).T
    for make, value in ((ag.zeros_like, 0), (ag.ones_like, 1)):
        assert make(x).shape == (3, 2) and make(x).dtype == ag.float64 and (make(x).numpy() == value).all()
    assert ag.full_like(x, 3).tolist() == [[3.0, 3.0]] * 3 and ag.empty_like(x, dtype=ag.int8).dtype == ag.int8
    assert ag.zeros_like(x, dtype=bool).dtype == ag.bool


@pytest.mark.parametrize("arguments", [(5,), (2, 7), (1, 10, 3), (5, 0, -2), (0.0, 1.0, 0.25), (3, 3), (5, 2)], ids=str)
def test_arange(arguments):
    made = ag.arange(*arguments)
    assert np.allclose(made.numpy(), np.arange(*arguments))
    assert made.dtype == (ag.float32 if any(isinstance(a, float) for a in arguments) else ag.int64)


def test_linspace_and_eye():
    assert np.allclose(ag.linspace(0, 1, 5, dtype=ag.float64).numpy(), np.linspace(0, 1, 5)) and ag.linspace(0, 1, 3).dtype == ag.float32
    assert np.allclose(ag.linspace(0, 1, 4, endpoint=False).numpy(), np.linspace(0, 1, 4, endpoint=False))
    assert np.array_equal(ag.eye(2, 3, k=1).numpy(), np.eye(2, 3, 1)) and ag.eye(2).dtype == ag.float32


def test_dlpack_shares_memory():
    array = np.arange(3.0)
    assert np.shares_memory(ag.from_dlpack(array).numpy(), array)
    torch = pytest.importorskip("torch")
    theirs = torch.arange(3.0)
    mine = ag.from_dlpack(theirs)
    theirs += 1
    assert mine.tolist() == [1.0, 2.0, 3.0]


def test_bad_shapes():
    with pytest.raises(ValueError, match=r"zeros: negative size in shape \(2, -1\)"):
        ag.zeros(2, -1)
    with pytest.raises(TypeError, match=r"ones: a shape is an integer or a tuple of them, got \(2, 1\.5\)"):
        ag.ones((2, 1.5))
    with pytest.raises(TypeError, match="full: a shape is"):
        ag.full("ab", 1.0)
    with pytest.raises(TypeError, match="zeros: a shape is"):
        ag.zeros(True)
    with pytest.raises(ValueError, match="arange: the step must not be 0"):
        ag.arange(1, 2, 0)
