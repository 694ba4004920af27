"""Rules of contact with other libraries: no gradient is lost silently, and no graph travels along."""

import copy
import gc
import importlib.util
import operator
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import autograd as ag

ROOT = Path(__file__).parents[2]
DTYPES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 complex128".split()


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


def assigned(t):
    np.zeros(3)[...] = t


@pytest.mark.parametrize("function", [np.linalg.norm, np.sort, np.stack, np.concatenate, assigned, lambda t: np.dot(np.ones(3), t)])
def test_no_function_of_numpy_loses_a_gradient(x, function):
    with pytest.raises(TypeError, match=r"would drop its gradient; use t\.detach\(\), or convert under no_grad\(\)"):
        function([x] if function in (np.stack, np.concatenate) else x)


def test_functions_of_numpy_that_are_methods_keep_the_gradient(x):
    for function in (np.sum, np.mean, np.prod, np.squeeze):
        assert isinstance(function(x), ag.Tensor) and function(x).requires_grad


def test_what_asarray_of_numpy_may_ask_for():
    t = ag.tensor([[1.0, 2.5], [3.0, 4.0]]).T
    for array in (np.asarray(t), np.array(t, copy=False), np.asarray(t, dtype=np.float32), np.asanyarray(t)):
        assert np.shares_memory(array, t.numpy()) and array.strides == (4, 8)
    assert not np.shares_memory(np.array(t), t.numpy()) and not np.shares_memory(np.array(t, copy=True), t.numpy())
    assert np.asarray(t, dtype=np.int8).tolist() == [[1, 3], [2, 4]]
    with pytest.raises(ValueError, match="copy"):
        np.array(t, dtype=np.float64, copy=False)
    for name in DTYPES:
        assert np.asarray(ag.ones(2, dtype=getattr(ag, name))).dtype == np.dtype(name)
    assert np.asarray(ag.tensor(2.0)).shape == () and np.asarray(ag.zeros((0, 2))).shape == (0, 2)


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


_ARITHMETIC = (operator.add, operator.sub, operator.mul, operator.truediv, operator.pow)


@pytest.mark.parametrize("operation", [*_ARITHMETIC, operator.matmul, operator.floordiv, operator.mod])
def test_every_operator_with_an_array_on_the_left(operation):
    array, values = np.array([[0.7, 1.5], [2.5, 3.0]]), np.array([[1.25, 0.5], [2.0, 4.0]])
    t = ag.tensor(values, requires_grad=True)
    for result, expected in ((operation(array, t), operation(array, values)), (operation(t, array), operation(values, array))):
        assert isinstance(result, ag.Tensor) and result.requires_grad
        assert np.allclose(result.detach().numpy(), expected, rtol=1e-14)
    if operation in (*_ARITHMETIC, operator.matmul):
        assert ag.gradcheck(lambda t: operation(array, t), [t]) and ag.gradcheck(lambda t: operation(t, array), [t])
    with ag.no_grad():
        t += array  # the tensor's own memory
    assert isinstance(t, ag.Tensor) and np.array_equal(t.detach().numpy(), values + array)


def test_dlpack_of_a_tensor_that_requires_grad_is_a_buffer_error(x):
    for importer in (np.from_dlpack, ag.from_dlpack):
        with pytest.raises(BufferError, match="requires grad"):
            importer(x)
    with pytest.raises(BufferError, match="requires grad"), ag.no_grad():
        ag.from_dlpack(x)  # the capsule outlives no_grad
    for made in (x * 2, x[1:], ag.exp(x)):
        with pytest.raises(BufferError, match=r"requires grad; share x\.detach\(\)"):
            np.from_dlpack(made)
        assert np.shares_memory(np.from_dlpack(made.detach()), made.detach().numpy())


@pytest.mark.parametrize("name", DTYPES)
def test_dlpack_with_numpy_of_any_dtype_and_layout(name):
    whole = np.arange(24).reshape(2, 3, 4).astype(name)
    for array in (whole, whole.T, whole[:, ::2, 1:], whole[::-1, :, ::-1], whole[0, 0, 0, ...], whole[:0]):
        t = ag.from_dlpack(array)
        again = np.from_dlpack(t)
        assert t.dtype == again.dtype == array.dtype and t.shape == array.shape and np.array_equal(again, array)
        assert again.strides == array.strides and t.numpy().ctypes.data == again.ctypes.data == array.ctypes.data
    assert not np.shares_memory(ag.from_dlpack(whole, copy=True).numpy(), whole)
    assert ag.zeros(2).__dlpack_device__() == (1, 0)


def test_dlpack_both_ways_shares_memory():
    host = np.arange(4.0)
    t = ag.from_dlpack(host)
    host[0] = 9
    assert t.tolist()[0] == 9
    back = np.from_dlpack(t)
    assert np.shares_memory(back, host)
    with pytest.raises(TypeError, match="needs an object with __dlpack__, got list"):
        ag.from_dlpack([1, 2])


@pytest.mark.parametrize("name", DTYPES)
def test_dlpack_with_pytorch_shares_memory(name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    whole = torch.arange(24).reshape(2, 3, 4).to(getattr(torch, name))
    for theirs in (whole, whole.permute(2, 0, 1), whole[:, ::2, 1:], whole[0, 0, 0], whole[:0]):
        mine = ag.from_dlpack(theirs)
        back = torch.from_dlpack(mine)
        assert mine.dtype == np.dtype(name) and mine.shape == tuple(theirs.shape) and back.dtype == theirs.dtype
        assert mine.numpy().ctypes.data == back.data_ptr() == theirs.data_ptr() or not mine.size
        assert (torch.equal(back, theirs) and back.stride() == theirs.stride()) or not mine.size


def test_dlpack_with_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    theirs = torch.arange(4.0)
    mine = ag.from_dlpack(theirs)
    theirs[0] = 7
    assert mine.tolist() == [7, 1, 2, 3]
    back = torch.from_dlpack(mine)
    mine[1] = 8
    assert back.tolist() == theirs.tolist() == [7, 8, 2, 3]
    del theirs, back
    gc.collect()
    assert mine.tolist() == [7, 8, 2, 3]  # the tensor keeps the memory alive
    for consume, tensor in ((ag.from_dlpack, torch.ones(2, requires_grad=True)), (torch.from_dlpack, ag.ones(2, requires_grad=True)),
                            (torch.asarray, ag.ones(2, requires_grad=True))):  # fmt: skip
        with pytest.raises(BufferError, match="grad"):
            consume(tensor)
    with pytest.raises(TypeError, match="float16 data.*supported are"):
        ag.from_dlpack(torch.ones(2, dtype=torch.float16))


def test_tensors_of_another_library_are_no_operands(x):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    theirs = torch.ones(3, requires_grad=True)
    for call in (lambda: x + theirs, lambda: theirs + x, lambda: torch.exp(x), lambda: torch.add(theirs, x)):
        with pytest.raises(TypeError):
            call()


JAX = """
import numpy as np
import jax, jax.numpy as jnp
import autograd as ag

theirs = jnp.arange(3.0)
mine = ag.from_dlpack(theirs)
assert mine.tolist() == [0, 1, 2] and mine.dtype == ag.float32
for array in (ag.arange(3.0), ag.ones((2, 3)).T, ag.zeros((0, 2)), ag.tensor([True, False]), ag.tensor(2)):
    assert jnp.from_dlpack(array).tolist() == array.tolist()
room = np.zeros(100, np.float32)
shared = ag.asarray(room[(-room.ctypes.data // 4) % 16 :])  # JAX copies what does not begin at a multiple of 64 bytes
assert shared.numpy().ctypes.data % 64 == 0
assert jnp.from_dlpack(shared).unsafe_buffer_pointer() == shared.numpy().ctypes.data
try:
    jnp.from_dlpack(ag.ones(3, requires_grad=True))
except BufferError as error:
    assert "requires grad; share x.detach()" in str(error)
else:
    raise AssertionError("the gradient was lost")
print("done")
"""


def test_dlpack_with_jax():
    if importlib.util.find_spec("jax") is None:
        pytest.skip("JAX is not installed")
    # By itself: JAX starts threads, and warns of every fork after that.
    done = subprocess.run([sys.executable, "-c", JAX], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.stdout == "done\n", done.stderr[-3000:]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies_and_pickles_are_leaves(x, duplicate):
    other = duplicate(x)
    assert other.requires_grad and other.is_leaf and other is not x and other.tolist() == x.tolist()
    plain = duplicate(x.detach())
    assert not plain.requires_grad


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_what_copies_and_pickles_keep(x, duplicate):
    (x * x).sum().backward(create_graph=True)
    one, two, inner = duplicate([x, x, {"inner": x.detach().T}])
    assert one is two and one.tolist() == [1, 2, 3]
    assert one.grad is None or (one.grad.tolist() == [2, 4, 6] and one.grad.grad_fn is None)
    with ag.no_grad():
        one += 1  # memory of its own
    assert x.tolist() == inner["inner"].tolist() == [1, 2, 3]
    for array in (np.arange(6.0).reshape(2, 3).T, np.array(True), np.zeros((0, 2), np.int64), np.array([1j])):
        again = duplicate(ag.asarray(array))
        assert again.dtype == array.dtype and again.shape == array.shape and np.array_equal(again.numpy(), array)


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
