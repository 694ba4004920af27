"""Tensor: Python's protocols, NumPy beside it, in-place changes and version counters."""

from __future__ import annotations

import copy
import pickle
import weakref

import numpy as np
import pytest

import autograd as ag
from autograd.tensor import Tensor

# --- NumPy and Python beside a tensor ---------------------------------------------------------------------------------

OPERATORS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "**": lambda a, b: a**b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
INTEGER_OPERATORS = {
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "<<": lambda a, b: a << b,
    ">>": lambda a, b: a >> b,
}
OTHERS = {
    "float": 2.0, "int": 3, "array": np.array([2.0, 3.0, 0.5], np.float32), "0-d array": np.array(2.0, np.float32),
    "NumPy scalar": np.float32(2.0), "list": [2.0, 3.0, 0.5], "tensor": ag.tensor([2.0, 3.0, 0.5]),
}  # fmt: skip


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("symbol", OPERATORS)
def test_t13_operators_on_both_sides(symbol, kind):
    operator, other = OPERATORS[symbol], OTHERS[kind]
    x = ag.tensor([1.5, 2.0, 4.0])
    plain = x.numpy()
    as_array = other.numpy() if isinstance(other, Tensor) else np.asarray(other, np.float32)
    for got, expected in ((operator(x, other), operator(plain, as_array)), (operator(other, x), operator(as_array, plain))):
        assert type(got) is Tensor and got.shape == (3,)
        assert got.dtype == expected.dtype
        assert np.allclose(got.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("symbol", INTEGER_OPERATORS)
def test_t13_integer_operators_on_both_sides(symbol):
    operator = INTEGER_OPERATORS[symbol]
    x = ag.tensor([1, 6, 3])
    for other in (2, np.array([1, 2, 3]), ag.tensor([1, 2, 3])):
        plain = other.numpy() if isinstance(other, Tensor) else other
        assert np.array_equal(operator(x, other).numpy(), operator(x.numpy(), plain))
        assert np.array_equal(operator(other, x).numpy(), operator(plain, x.numpy()))


def test_t13_the_gradient_flows_through_reflected_operators():
    x = ag.tensor([2.0, 4.0], requires_grad=True)
    array = np.array([3.0, 5.0], np.float32)
    out = array * x + 1.0 / x - (2 - x) + 2.0**x + array @ x
    assert isinstance(out, Tensor)
    out.sum().backward()
    plain = np.array([2.0, 4.0])
    expected = array - 1 / plain**2 + 1 + np.log(2) * 2**plain + 2 * array
    assert np.allclose(x.grad.numpy(), expected, rtol=1e-6)


def test_t13_numpy_functions_refuse_a_tensor():
    x = ag.tensor([1.0, 2.0])
    with pytest.raises(TypeError, match="does not support ufuncs"):
        np.exp(x)
    with pytest.raises(TypeError, match="does not support ufuncs"):
        np.add(np.ones(2), x)
    array = np.ones(2)
    with pytest.raises(TypeError):
        array += x  # would have to drop the gradient
    assert np.array([1.0, 2.0]).__mul__(x) is NotImplemented


def test_numpy_matrix_product_on_the_left():
    x = ag.ones((3, 2), dtype=ag.float64, requires_grad=True)
    out = np.arange(6.0).reshape(2, 3) @ x
    assert type(out) is Tensor and out.tolist() == [[3.0, 3.0], [12.0, 12.0]]
    out.sum().backward()
    assert x.grad.tolist() == [[3.0, 3.0], [5.0, 5.0], [7.0, 7.0]]


def test_what_is_no_operand_is_refused():
    x = ag.tensor([1.0])
    for bad in (None, "text", object(), {"a": 1}):
        with pytest.raises(TypeError):
            x + bad
        with pytest.raises(TypeError):
            bad * x
        with pytest.raises(TypeError):
            x.add(bad)
        assert (x == bad) is False and (x != bad) is True  # Python's answer for strangers
    with pytest.raises(TypeError, match=r"multiply: an operand is a NoneType; operands are tensors"):
        ag.multiply(x, None)
    with pytest.raises(TypeError, match="add: takes 2 operands"):
        ag.add(x)
    with pytest.raises(TypeError, match="Python numbers alone"):
        ag.add(1.0, 2.0)


def test_conversion_to_numpy():
    x = ag.tensor([1.0, 2.0])
    assert x.numpy() is not None and np.shares_memory(x.numpy(), x.detach().numpy())
    assert np.asarray(x).tolist() == [1.0, 2.0]
    assert np.array(x, dtype=np.float64).dtype == np.float64
    grown = ag.tensor([1.0], requires_grad=True)
    with pytest.raises(RuntimeError, match=r"numpy: this tensor \(shape \(1,\)\) requires grad.*detach\(\)\.numpy\(\)"):
        grown.numpy()
    with pytest.raises(TypeError, match=r"would drop its gradient; use t\.detach\(\)"):
        np.asarray(grown)
    with ag.no_grad():
        assert grown.numpy().tolist() == np.asarray(grown).tolist() == [1.0]


# --- Python's protocols -----------------------------------------------------------------------------------------------


def test_t14_tensors_are_hashed_by_identity():
    a, b = ag.tensor([1.0, 2.0]), ag.tensor([1.0, 2.0])
    assert hash(a) != hash(b) and len({a, b, a}) == 2
    assert {a: 1}[a] == 1
    assert (a == b).tolist() == [True, True] and (a != b).tolist() == [False, False]


def test_t09_truth_of_a_tensor():
    assert bool(ag.tensor(2.0)) and not bool(ag.tensor([0.0])) and bool(ag.tensor(True))
    for shape in ((2,), (0,), (2, 2)):
        with pytest.raises(ValueError, match=rf"truth of a tensor of shape \({shape[0]}.*\.any\(\), \.all\(\)"):
            bool(ag.zeros(shape))
    assert not ag.tensor(1.0).requires_grad


def test_numbers():
    assert int(ag.tensor(3)) == 3 and float(ag.tensor([2.5])) == 2.5 and [1, 2, 3][ag.tensor(1)] == 2
    assert ag.tensor(2.5).item() == 2.5 and type(ag.tensor(3).item()) is int and ag.tensor(True).item() is True
    with pytest.raises(ValueError, match=r"item: only a tensor of one element is a number.*\(2,\)"):
        ag.zeros(2).item()
    with pytest.raises(ValueError, match="item"):
        float(ag.zeros(2))
    with pytest.raises(TypeError, match="only 0-d integer tensors can be used as an index"):
        [1, 2][ag.tensor(1.0)]
    assert f"{ag.tensor(2.5):.2f}" == "2.50"
    with pytest.raises(TypeError, match="needs a 0-d tensor"):
        f"{ag.zeros(2):.2f}"


def test_length_and_iteration():
    x = ag.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    assert len(x) == 2
    first, second = x
    (first * 2 + second).sum().backward()
    assert x.grad.tolist() == [[2.0, 2.0], [1.0, 1.0]]
    assert len(list(ag.zeros(0, 3))) == 0
    for use in (len, iter):
        with pytest.raises(TypeError, match="0-d tensor"):
            use(ag.tensor(1.0))
    assert 2.0 in ag.tensor([1.0, 2.0]) and 5.0 not in ag.tensor([1.0, 2.0])


def test_what_a_tensor_says_of_itself():
    x = ag.zeros((2, 3, 4), dtype=ag.float32)
    assert (x.shape, x.ndim, x.size, x.dtype, x.device) == ((2, 3, 4), 3, 24, np.float32, "cpu")
    assert (x.nbytes, x.itemsize, x.numel(), x.dim()) == (96, 4, 24, 3)
    assert x.T.shape == (4, 3, 2) and x.mT.shape == (2, 4, 3)
    assert x.is_contiguous() and not x.mT.is_contiguous() and x.mT.contiguous().is_contiguous()
    assert x.is_leaf and x.grad is None and x.grad_fn is None and not x.requires_grad


def test_wrong_devices_are_named():
    with pytest.raises(ValueError, match="unknown device 'tpu': expected 'cpu'"):
        ag.tensor([1.0], device="tpu")
    with pytest.raises(ValueError, match="cuda:99"):
        ag.tensor([1.0]).to("cuda:99")
    x = ag.tensor([1.0])
    assert x.to("cpu") is x and x.cpu() is x


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
def test_pickling_and_copying_of_leaves(duplicate):
    for x in (
        ag.tensor([[1.0, 2.0]], requires_grad=True), ag.tensor([1, 2]), ag.tensor(True), ag.zeros(0, 3),
        ag.tensor(np.arange(6.0).reshape(2, 3)).T,
    ):  # fmt: skip
        twin = duplicate(x)
        assert type(twin) is Tensor and twin is not x
        assert twin.requires_grad == x.requires_grad and twin.dtype == x.dtype
        assert np.array_equal(twin.detach().numpy(), x.detach().numpy()) and twin.shape == x.shape
        assert not np.shares_memory(twin.detach().numpy(), x.detach().numpy())
        with ag.no_grad():
            twin.zero_()  # it can be written to
    with pytest.raises(RuntimeError, match=r"only leaves can be copied this way.*made by multiply.*\.detach\(\)"):
        duplicate(ag.tensor([1.0], requires_grad=True) * 2)


def test_deepcopy_keeps_gradients_and_shared_structure():
    x = ag.tensor([1.0], requires_grad=True)
    (x * 3).sum().backward()
    pair = copy.deepcopy([x, x])
    assert pair[0] is pair[1] and pair[0].grad.item() == 3.0
    assert not np.shares_memory(pair[0].grad.numpy(), x.grad.numpy())
    shallow = copy.copy(x)
    assert np.shares_memory(shallow.detach().numpy(), x.detach().numpy()) and shallow.requires_grad


# --- leaves, detach, grad ---------------------------------------------------------------------------------------------


def test_t10_freezing():
    x, w = ag.tensor([2.0], requires_grad=True), ag.tensor([3.0], requires_grad=True)
    w.requires_grad_(False)
    out = x * w
    assert [type(s) for s in out.grad_fn.saved] == [Tensor] and out.grad_fn.saved[0] is w  # x is not kept
    out.backward()
    assert w.grad is None and x.grad.item() == 3.0
    w.requires_grad = True
    assert w.requires_grad
    with pytest.raises(RuntimeError, match="requires_grad can be switched off on leaves only.*made by multiply; use detach"):
        out.requires_grad_(False)


def test_t10_nothing_is_saved_for_constants():
    x, w = ag.tensor([[2.0]], requires_grad=True), ag.tensor([[3.0]])
    assert (x @ w).grad_fn.saved[0] is None
    assert ag.linear(x, w).grad_fn.saved[0] is None
    assert (x + w).grad_fn.saved == () and (x - 2).grad_fn.saved == ()


def test_t16_detach_shares_memory_but_no_graph():
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    d = y.detach()
    assert not d.requires_grad and d.is_leaf and np.shares_memory(d.numpy(), y.detach().numpy())
    (d * 3 + y).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_t16_an_update_does_not_extend_the_graph():
    x = ag.tensor([1.0], requires_grad=True)
    for _ in range(3):
        x.grad = None
        (x * x).sum().backward()
        with ag.no_grad():
            x -= 0.1 * x.grad
    assert x.is_leaf and x.requires_grad and x.grad_fn is None
    assert x.item() == pytest.approx(0.8**3, rel=1e-6)


def test_setting_grad():
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    x.grad = ag.tensor([3.0, 4.0])
    (x * 1).sum().backward()
    assert x.grad.tolist() == [4.0, 5.0]
    with pytest.raises(TypeError, match=r"\.grad must be a Tensor of shape \(2,\), float32; got \(3,\), float32"):
        x.grad = ag.zeros(3)
    with pytest.raises(TypeError, match=r"got \(2,\), float64"):
        x.grad = ag.zeros(2, dtype=ag.float64)
    with pytest.raises(TypeError, match="got ndarray"):
        x.grad = np.zeros(2)
    with pytest.raises(RuntimeError, match=r"cannot set \.grad of a tensor that does not require grad"):
        ag.zeros(2).grad = ag.zeros(2)


# --- in place ---------------------------------------------------------------------------------------------------------


def test_in_place_operators_keep_memory_and_record():
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    y = x.clone()
    memory = y.detach().numpy()
    y += 1
    y *= x
    y -= 0.5
    y /= 2
    y **= 2
    y.exp_()
    assert np.shares_memory(memory, y.detach().numpy())
    plain = np.array([1.0, 2.0])
    inner = ((plain + 1) * plain - 0.5) / 2
    assert np.allclose(y.detach().numpy(), np.exp(inner**2), rtol=1e-6)
    y.sum().backward()
    assert np.allclose(x.grad.numpy(), np.exp(inner**2) * 2 * inner * (2 * plain + 1) / 2, rtol=1e-5)


def test_a_tensor_multiplied_by_itself_in_place():
    x = ag.tensor([3.0, -2.0], requires_grad=True)
    a = x * 1
    a *= a
    assert a.tolist() == [9.0, 4.0]
    a.sum().backward()
    assert x.grad.tolist() == [6.0, -4.0]


def test_in_place_to_second_order():
    x = ag.tensor([0.7], dtype=ag.float64, requires_grad=True)
    a = x.sin()
    a *= a
    a.exp_()
    (first,) = ag.gradients(a.sum(), x, create_graph=True)
    (second,) = ag.gradients(first.sum(), x)
    s, c = np.sin(0.7), np.cos(0.7)
    f = np.exp(s * s)
    assert first.item() == pytest.approx(f * 2 * s * c, rel=1e-13)
    assert second.item() == pytest.approx(f * (2 * s * c) ** 2 + f * 2 * (c * c - s * s), rel=1e-12)


def test_t15_a_changed_operand_is_noticed():
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    out = (y * y).sum()
    with ag.no_grad():
        y += 1
    with pytest.raises(RuntimeError, match=r"backward of multiply: an operand \(shape \(2,\)\).*in-place.*version 0 then, 1 now.*clone"):
        out.backward()


def test_t15_a_changed_result_is_noticed():
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    for make in (ag.exp, ag.softmax, ag.log_softmax, lambda t: t.sqrt(), lambda t: t.logsumexp(keepdims=True)):
        y = make(x)
        out = y.sum()
        with ag.no_grad():
            y.mul_(2.0)
        with pytest.raises(RuntimeError, match="backward of .*its result .*changed by an in-place operation"):
            out.backward()


@pytest.mark.parametrize("make", [
    lambda x: x / (x + 1), lambda x: x / 2, lambda x: 2 / x, lambda x: x - 1, lambda x: x * x, lambda x: x**2,
    lambda x: ag.maximum(x, 0.0), lambda x: x.max(keepdims=True), lambda x: x.min(axis=0, keepdims=True),
    lambda x: x.logsumexp(keepdims=True), lambda x: ag.cumulative_prod(x),
])  # fmt: skip
def test_what_is_assigned_into_a_result_is_part_of_the_gradient(make):
    def then_zero(x):
        y = make(x)
        y[y < -1.05] = 0.0
        y[0] = x[1]
        return y * y

    x = ag.tensor([-2.0, 0.5, 3.0], dtype=ag.float64, requires_grad=True)
    assert ag.gradcheck(then_zero, [x]) and ag.gradgradcheck(then_zero, [x])


@pytest.mark.parametrize("make", [ag.exp, ag.tanh, ag.sigmoid, ag.softmax])
def test_t15_assigning_into_what_is_its_own_slope_is_noticed(make):
    y = make(ag.tensor([1.0, 2.0], requires_grad=True))
    y[0] = 0.0
    with pytest.raises(RuntimeError, match="backward of .*its result .*changed by an in-place operation"):
        y.sum().backward()


@pytest.mark.parametrize("save", [lambda x: x * x, lambda x: x @ x, lambda x: x.max(), lambda x: x.var(), lambda x: x.prod()])
def test_t15_every_saving_operation_checks(save):
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    out = save(y).sum()
    with ag.no_grad():
        y[0] = 5.0
    with pytest.raises(RuntimeError, match="changed by an in-place operation"):
        out.backward()


def test_t15_what_saves_nothing_does_not_mind():
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    out = (y + 1).sum()
    with ag.no_grad():
        y.zero_()
    out.backward()
    assert x.grad.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("view", [
    lambda t: t[0], lambda t: t.reshape((4,)), lambda t: t.T, lambda t: t.detach(), lambda t: t[None], lambda t: ag.flip(t),
    lambda t: t.expand_dims(0).squeeze(), lambda t: ag.split(t, 1)[1], lambda t: t.detach().T[1],
])  # fmt: skip
def test_t15_views_and_base_share_a_version(view):
    base = ag.tensor([[1.0, 2.0], [3.0, 4.0]])
    w = ag.ones(2, 2, requires_grad=True)
    out = (w * base).sum()
    part = view(base)
    assert np.shares_memory(part.numpy(), base.numpy())
    part += 1
    with pytest.raises(RuntimeError, match="changed by an in-place operation"):
        out.backward()

    base = ag.tensor([[1.0, 2.0], [3.0, 4.0]])
    part = view(base)
    v = ag.ones(part.shape, requires_grad=True)
    out = (v * part).sum()
    base += 1
    with pytest.raises(RuntimeError, match="changed by an in-place operation"):
        out.backward()


def test_t15_a_leaf_cannot_be_changed_while_recording():
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    for change in (lambda: x.add_(1), lambda: x.__setitem__(0, 1.0), lambda: x.zero_(), lambda: x.__imul__(2)):
        with pytest.raises(RuntimeError, match=r"a leaf that requires grad \(shape \(2,\)\) cannot be changed in place.*no_grad"):
            change()
    assert x.tolist() == [1.0, 2.0]
    with ag.no_grad():
        x.add_(1)
    assert x.tolist() == [2.0, 3.0] and x.is_leaf and x.requires_grad


def test_t15_a_recorded_change_of_shared_memory_is_refused():
    x = ag.tensor([1.0, 2.0, 3.0], requires_grad=True)
    base = x * 1
    part = base[:2]
    with pytest.raises(RuntimeError, match=r"in-place multiply: the tensor \(shape \(3,\)\) shares its memory with another"):
        base *= 2
    with pytest.raises(RuntimeError, match="shares its memory"):
        part.mul_(2)
    with pytest.raises(RuntimeError, match="shares its memory"):
        base[0] = x[1]
    del part
    base *= 2  # nobody else looks at it any more
    base.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]


def test_in_place_mistakes():
    x = ag.ones(3)
    with pytest.raises(ValueError, match=r"in-place add: the result has shape \(2, 3\), the tensor \(3,\)"):
        x += ag.ones(2, 3)
    with pytest.raises(ValueError, match=r"shapes \(3,\) and \(4,\)"):
        x += ag.ones(4)
    with pytest.raises(TypeError, match=r"in-place add: the result is float64 and does not fit the tensor's float32; use astype"):
        x += ag.ones(3, dtype=ag.float64)
    integers = ag.tensor([1, 2])
    with pytest.raises(TypeError, match="in-place divide: the result is float32 and does not fit the tensor's int64"):
        integers /= 2
    with pytest.raises(TypeError, match="does not fit the tensor's int64"):
        integers += 0.5
    with pytest.raises(OverflowError, match="300 is out of bounds for int8"):
        small = ag.tensor([1], dtype=ag.int8)
        small += 300
    with pytest.raises(ValueError, match="read-only"):
        ag.broadcast_to(ag.tensor(1.0), (3,)).add_(1)
    with pytest.raises(ValueError, match="read-only"):
        ag.broadcast_to(ag.tensor(1.0), (3,))[0] = 1.0
    with pytest.raises(TypeError):
        x += "text"
    assert x.tolist() == [1.0, 1.0, 1.0] and integers.tolist() == [1, 2]


def test_in_place_with_operands_that_overlap():
    x = ag.tensor(np.arange(6.0))
    x[1:] += x[:-1]
    assert x.tolist() == [0.0, 1.0, 3.0, 5.0, 7.0, 9.0]
    y = ag.tensor(np.arange(4.0))
    y += y[::-1]
    assert y.tolist() == [3.0, 3.0, 3.0, 3.0]
    z = ag.tensor(np.arange(4.0).reshape(2, 2))
    z -= z.T
    assert z.tolist() == [[0.0, -1.0], [1.0, 0.0]]
    w = ag.tensor([1.0, 2.0, 3.0])
    w += w[0]
    assert w.tolist() == [2.0, 3.0, 4.0]


def test_in_place_of_constants_starts_a_history():
    w = ag.tensor([2.0], requires_grad=True)
    total = ag.zeros(1)
    total += w
    total += w * w
    total.backward()
    assert w.grad.item() == 5.0 and total.grad_fn is not None


def test_dead_views_are_forgotten():
    x = ag.tensor([1.0, 2.0])
    for _ in range(1000):
        x.detach()
        x[0]
    assert len(x._version.sharers) < 50
    view = weakref.ref(x[0])
    assert view() is None
