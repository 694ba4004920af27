"""Rules of contact with other libraries: no gradient is lost silently, and no graph travels along."""

import copy
import gc
import pickle

import numpy as np
import pytest

import autograd as ag


@pytest.fixture
def x():
    return ag.tensor([1.0, 2.0, 3.0], requires_grad=True)


def list_of_rows(t):
    return np.array([t, t])


def test_asarray_keeps_the_graph(x):
    y = x * 2
    assert ag.asarray(x) is x and ag.asarray(y) is y
    for kept in (ag.asarray(y, copy=True), ag.asarray(y, dtype=ag.float64), ag.asarray(y, device="cpu"), ag.astype(y, ag.float64)):
        assert kept.requires_grad and kept.shape == y.shape
    (ag.asarray(y, dtype=ag.float64, copy=True) * 3).sum().backward()
    assert x.grad.tolist() == [6.0, 6.0, 6.0] and x.grad.dtype == ag.float32


def test_numpy_arrays_of_tensors_that_require_grad_are_refused(x):
    for convert in (np.asarray, np.array, list_of_rows):
        with pytest.raises(TypeError, match=r"requires grad \(shape \(3,\)\).*detach\(\)"):
            convert(x)
    with ag.no_grad():
        assert np.array_equal(np.asarray(x), [1, 2, 3])
    assert np.array_equal(np.asarray(x.detach()), [1, 2, 3])
    assert np.shares_memory(np.asarray(x.detach()), x.detach().numpy())


@pytest.mark.parametrize("requires_grad", [False, True])
def test_ufuncs_are_a_clear_type_error(requires_grad):
    t = ag.ones(3, requires_grad=requires_grad)
    for call in (lambda: np.exp(t), lambda: np.add(np.ones(3), t), lambda: np.add.reduce(t)):
        with pytest.raises(TypeError, match="Tensor.*__array_ufunc__"):
            call()
    array = np.ones(3)
    with pytest.raises(TypeError, match="Tensor"):
        array += t


@pytest.mark.parametrize("left", [np.float64(2.0), np.array([2.0, 2.0, 2.0]), np.array(2.0), [2.0, 2.0, 2.0], 2.0])
def test_numpy_on_the_left_keeps_the_gradient(x, left):
    for result in (left * x, left + x, left - x, left / x, x * left, x / left, left**x, x**left):
        assert isinstance(result, ag.Tensor) and result.requires_grad
    (left * x).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]
    assert (left < x).tolist() == [False, False, True]


def test_numpy_matrix_on_the_left(x):
    matrix = np.arange(6.0, dtype=np.float32).reshape(2, 3)
    (matrix @ x).sum().backward()
    assert x.grad.tolist() == [3.0, 5.0, 7.0]


def test_dlpack_of_a_tensor_that_requires_grad_is_a_buffer_error(x):
    for importer in (np.from_dlpack, ag.from_dlpack):
        with pytest.raises(BufferError, match="requires grad"):
            importer(x)
    with pytest.raises(BufferError, match="requires grad"), ag.no_grad():
        ag.from_dlpack(x)  # the capsule outlives no_grad


def test_dlpack_both_ways_shares_memory():
    host = np.arange(4.0)
    t = ag.from_dlpack(host)
    host[0] = 9
    assert t.tolist()[0] == 9
    back = np.from_dlpack(t)
    assert np.shares_memory(back, host)
    with pytest.raises(TypeError, match="needs an object with __dlpack__, got list"):
        ag.from_dlpack([1, 2])


def test_dlpack_with_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    theirs = torch.arange(4.0)
    mine = ag.from_dlpack(theirs)
    theirs[0] = 7
    assert mine.tolist() == [7, 1, 2, 3]
    back = torch.from_dlpack(mine)
    mine[1] = 8
    assert back.tolist() == [7, 8, 2, 3]
    with pytest.raises((BufferError, RuntimeError), match="grad"):
        ag.from_dlpack(torch.ones(2, requires_grad=True))


def test_dlpack_with_jax():
    jax_numpy = pytest.importorskip("jax.numpy", reason="JAX is not installed")
    assert ag.from_dlpack(jax_numpy.arange(3.0)).tolist() == [0, 1, 2]
    assert jax_numpy.from_dlpack(ag.arange(3.0)).tolist() == [0, 1, 2]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies_and_pickles_are_leaves(x, duplicate):
    other = duplicate(x)
    assert other.requires_grad and other.is_leaf and other is not x and other.tolist() == x.tolist()
    plain = duplicate(x.detach())
    assert not plain.requires_grad


def test_a_long_history_is_not_dragged_along(x):
    y = x
    for _ in range(3000):
        y = y * 1.0
    for duplicate in (copy.deepcopy, pickle.dumps):
        with pytest.raises(RuntimeError, match=r"made by .*\.detach\(\)"):
            duplicate(y)
        duplicate(y.detach())
    small, large = len(pickle.dumps(x)), len(pickle.dumps(y.detach().requires_grad_()))
    assert large <= small + 8
    del y
    gc.collect()


def test_buffers_keep_their_dtype():
    import array

    assert ag.asarray(array.array("d", [1, 2])).dtype == ag.float64 and ag.asarray(bytearray(b"ab")).dtype == ag.uint8
    assert ag.asarray(memoryview(np.arange(3, dtype=np.int16))).tolist() == [0, 1, 2]
