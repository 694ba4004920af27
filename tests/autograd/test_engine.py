"""The walk back through the graph: accumulation, ownership, lifetime, hooks, depth, errors."""

from __future__ import annotations

import gc
import sys
import threading
import weakref

import numpy as np
import pytest

import autograd as ag
from autograd import engine
from autograd.ops import nn_ops
from autograd.tensor import Tensor


def leaf(*values: float, dtype=ag.float64) -> Tensor:
    return ag.tensor(list(values), dtype=dtype, requires_grad=True)


def share_memory(*tensors: Tensor) -> bool:
    arrays = [t.detach().numpy() for t in tensors]
    return any(np.may_share_memory(a, b) for k, a in enumerate(arrays) for b in arrays[:k])


# --- accumulation and aliasing ----------------------------------------------------------------------------------------

COMPOSITIONS = {
    "((x+y)+x)*c": (lambda x, y, c: ((x + y) + x) * c, lambda x, y, c: (2 * c, c, 2 * x + y)),
    "(x+y)*(x+c)": (lambda x, y, c: (x + y) * (x + c), lambda x, y, c: (2 * x + y + c, x + c, x + y)),
    "(x+(x+y))+(y*c)": (lambda x, y, c: (x + (x + y)) + y * c, lambda x, y, c: (2 + 0 * x, 1 + c, y)),
    "x+x+x+y": (lambda x, y, c: x + x + x + y + 0 * c, lambda x, y, c: (3 + 0 * x, 1 + 0 * y, 0 * c)),
    "(x+y)+(x+y)*c": (lambda x, y, c: (x + y) + (x + y) * c, lambda x, y, c: (1 + c, 1 + c, x + y)),
    "s+s*s, s=x+y": (lambda x, y, c: (lambda s: s + s * s + c)(x + y), lambda x, y, c: (1 + 2 * (x + y),) * 2 + (1 + 0 * c,)),
}


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_t01_shared_gradients_are_not_corrupted(name):
    f, expected = COMPOSITIONS[name]
    x, y, c = leaf(1.0, 2.0), leaf(3.0, -1.0), leaf(0.5, 4.0)
    f(x, y, c).backward(ag.ones(2, dtype=ag.float64))
    for tensor, want in zip((x, y, c), expected(*(t.detach().numpy() for t in (x, y, c))), strict=True):
        assert np.array_equal(tensor.grad.numpy(), want), name


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_t01_no_two_gradients_share_memory(name):
    x, y, c = leaf(1.0, 2.0), leaf(3.0, -1.0), leaf(0.5, 4.0)
    seed = ag.ones(2, dtype=ag.float64)
    out = COMPOSITIONS[name][0](x, y, c)
    out.retain_grad()
    out.backward(seed)
    assert not share_memory(x, y, c, x.grad, y.grad, c.grad, seed, out, out.grad)


def test_t01_retained_gradients_share_no_memory():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    a, b = x * 2, y * 3
    total = a + b
    for t in (a, b, total):
        t.retain_grad()
    seed = ag.tensor([1.0, -1.0], dtype=ag.float64)
    total.backward(seed)
    assert not share_memory(a.grad, b.grad, total.grad, x.grad, y.grad, seed)
    a.grad.mul_(100.0)
    assert b.grad.tolist() == total.grad.tolist() == [1.0, -1.0]


def test_t01_a_gradient_does_not_change_with_later_passes_elsewhere():
    x, y = leaf(1.0), leaf(2.0)
    (x + y).sum().backward()
    kept = y.grad
    (x * 10).sum().backward()
    assert kept.item() == 1.0 and x.grad.item() == 11.0


def test_t02_read_only_gradients_can_be_added_to():
    x = leaf(1.0, 2.0)
    (x + x).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    y = leaf(1.0, 2.0)
    (y.sum() + y.sum()).backward()
    assert y.grad.tolist() == [2.0, 2.0]
    z = leaf(1.0, 2.0)
    (z.sum() + ag.broadcast_to(z, (3, 2)).sum() + z.mean()).backward()
    assert z.grad.tolist() == [4.5, 4.5]
    z.grad.mul_(2.0)
    assert z.grad.tolist() == [9.0, 9.0]


def test_t03_two_backward_passes_add_up():
    x = leaf(2.0)
    inner = x * x
    out = (inner * x).sum()
    out.backward(retain_graph=True)
    assert x.grad.item() == 12.0
    out.backward()
    assert x.grad.item() == 24.0


def test_t03_a_freed_graph_says_how_to_keep_it():
    x = leaf(2.0)
    out = (x * x).sum()
    out.backward()
    with pytest.raises(RuntimeError, match="backward through .* a second time.*retain_graph=True"):
        out.backward()
    assert x.grad.item() == 4.0


@pytest.mark.parametrize("make", [
    lambda x: ag.softmax(x), lambda x: ag.max(x), lambda x: x @ x, lambda x: ag.concat([x, x]), lambda x: x[0],
    lambda x: ag.layer_norm(x), lambda x: ag.checkpoint(ag.sin, x), lambda x: ag.fuse(lambda a: a * a)(x),
    lambda x: nn_ops.cross_entropy(x[None], ag.tensor([0])),
])  # fmt: skip
def test_t03_every_kind_of_node_notices_that_it_was_freed(make):
    out = make(leaf(1.0, 2.0)).sum()
    out.backward()
    with pytest.raises(RuntimeError, match="second time|freed by an earlier"):
        out.backward()


def test_accumulation_into_an_existing_gradient_keeps_its_tensor():
    x = leaf(1.0, 2.0)
    x.sum().backward()
    before = x.grad
    (x * 3).sum().backward()
    assert x.grad is before and before.tolist() == [4.0, 4.0]


def test_backward_of_several_outputs_in_one_graph():
    x = leaf(3.0)
    y = x * x
    a, b = y * 2, y + x
    a.sum().backward(retain_graph=True)
    b.sum().backward()
    assert x.grad.item() == 12.0 + 7.0


def test_t05_reuse_takes_linear_time():
    x = ag.tensor(1.0, requires_grad=True)
    total = x
    for _ in range(60):
        total = total + total
    total.backward()
    assert x.grad.item() == 2.0**60
    assert engine.count_consumers([total.grad_fn]).__len__() == 61


def test_a_node_waits_for_all_its_consumers():
    """Consumers at different depths: a node visited too early would pass on half of its gradient."""
    x = leaf(1.5)
    y = x * 2
    deep = y
    for _ in range(5):
        deep = deep * y
    (deep + y).sum().backward()
    assert x.grad.item() == pytest.approx(6 * 3.0**5 * 2 + 2, rel=1e-14)


# --- depth and lifetime -----------------------------------------------------------------------------------------------


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_t04_a_chain_of_100_000_operations(no_collector):
    assert sys.getrecursionlimit() <= 1000 or sys.getrecursionlimit() < 5000
    x = ag.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(50_000):
        y = y * 1.0 + 0.5
    assert "grad_fn=<add>" in repr(y)
    y.backward(retain_graph=True)
    assert x.grad.item() == 1.0
    (again,) = ag.gradients(y, x)
    assert again.item() == 1.0
    node = weakref.ref(y.grad_fn)
    del y, again
    assert node() is None
    z = x
    for _ in range(50_000):
        z = z.reshape((1,)).sum()
    del z  # freed without ever going backward


def test_t04_a_deep_graph_of_second_order_is_freed(no_collector):
    x = ag.tensor(0.5, requires_grad=True)
    y = x
    for _ in range(5_000):
        y = y.sin()
    (first,) = ag.gradients(y, x, create_graph=True)
    node = weakref.ref(first.grad_fn)
    first.backward()
    del y, first
    assert node() is None


class Cube(ag.Function):
    @staticmethod
    def forward(ctx, x):
        out = x * x * x
        ctx.save_for_backward(x, out)
        return out

    @staticmethod
    def backward(ctx, gradient):
        x, _ = ctx.saved_tensors
        return gradient * 3 * x * x


class TwoResults(ag.Function):
    @staticmethod
    def forward(ctx, x):
        out = x.sin(), x.cos()
        ctx.save_for_backward(*out)
        return out

    @staticmethod
    def backward(ctx, to_sine, to_cosine):
        sine, cosine = ctx.saved_tensors
        return to_sine * cosine - to_cosine * sine


FAMILIES = {
    "elementwise, saving its operand": lambda x: x * x,
    "elementwise, saving its result": lambda x: x.exp(),
    "elementwise with parameters": lambda x: ag.leaky_relu(x, negative_slope=0.2),
    "several results": lambda x: ag.ops.elementwise.OPERATIONS["sgd_momentum"](x, x, x, lr=0.1, momentum=0.9)[0],
    "reduction": lambda x: x.sum(),
    "max": lambda x: x.max(),
    "prod": lambda x: x.prod(),
    "logsumexp": lambda x: x.logsumexp(),
    "std": lambda x: x.std(),
    "norm": lambda x: x.norm(),
    "matmul": lambda x: x @ x,
    "linear": lambda x: ag.linear(x[None], x[None]),
    "view": lambda x: x.reshape((1, -1)).T,
    "slice": lambda x: x[::-1][1:],
    "broadcast": lambda x: ag.broadcast_to(x, (2, 3)),
    "concat": lambda x: ag.concat([x, x]),
    "astype": lambda x: x.astype(ag.float32),
    "clone": lambda x: x.clone(),
    "softmax": lambda x: ag.softmax(x),
    "log_softmax": lambda x: ag.log_softmax(x),
    "layer_norm": lambda x: ag.layer_norm(x),
    "cross_entropy": lambda x: nn_ops.cross_entropy(x[None], ag.tensor([1])),
    "where": lambda x: ag.where(x > 0, x, 0.0),
    "fused": ag.fuse(lambda x: x * x + 1),
    "Function": Cube.apply,
    "Function with two results": lambda x: TwoResults.apply(x)[0],
    "checkpoint": lambda x: ag.checkpoint(lambda a: a.exp().sin(), x),
    "checkpoint that refers to other tensors": lambda x: (lambda y: ag.checkpoint(lambda a: a * y, x))(x * 2),
    "in place": lambda x: x.clone().mul_(x),
    "setitem": lambda x: (lambda y: (y.__setitem__(0, 1.0), y)[1])(x.clone()),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_t08_graphs_die_by_reference_counting(name, no_collector):
    x = leaf(0.5, 1.5, -2.0)
    out = FAMILIES[name](x)
    references = [weakref.ref(out), weakref.ref(out.grad_fn)]
    del out
    assert [r() for r in references] == [None, None], "without backward"

    out = FAMILIES[name](x)
    references = [weakref.ref(out), weakref.ref(out.grad_fn)]
    out.sum().backward()
    del out
    assert [r() for r in references] == [None, None], "after backward"

    out = FAMILIES[name](x)
    references = [weakref.ref(out), weakref.ref(out.grad_fn)]
    (first,) = ag.gradients(out.sum(), x, create_graph=True)
    references.append(weakref.ref(first))
    if first.requires_grad:
        references.append(weakref.ref(first.grad_fn))
        first.sum().backward()
    del out, first
    assert [r() for r in references] == [None] * len(references), "with create_graph"


def test_t08_backward_releases_what_was_saved(no_collector):
    x = ag.tensor(np.ones((64, 64)), requires_grad=True)
    y = x * 2
    z = (y * y).sum()
    saved = weakref.ref(y)
    del y
    assert saved() is not None
    z.backward()
    assert saved() is None
    assert z.grad_fn is not None


def test_t08_live_tensors_and_memory_stay_constant_over_training(no_collector):
    from kernels import memory

    weight = ag.tensor(np.ones((200, 200), np.float32), requires_grad=True)
    data = ag.tensor(np.ones((100, 200), np.float32))
    counts, sizes = [], []
    for step in range(30):
        loss = ((data @ weight.T).tanh() ** 2).mean() + weight.detach().sum() * 0
        weight.grad = None
        loss.backward()
        with ag.no_grad():
            weight -= weight.grad * 0.01
        if step >= 9:
            counts.append(sum(issubclass(type(o), (Tensor, engine.Node)) for o in gc.get_objects()))
            sizes.append(memory.memory_allocated())
    assert len(set(counts)) == 1 and len(set(sizes)) == 1, (counts, sizes)
    assert weight._version is not None and len(weight._version.sharers) < 20, "dead views of a tensor are not forgotten"


# --- hooks and retained gradients -------------------------------------------------------------------------------------


def test_hooks_see_the_complete_gradient_and_may_replace_it():
    x = leaf(1.0, 2.0)
    seen = []
    x.register_hook(lambda g: seen.append(g.tolist()))
    y = x * 2
    y.register_hook(lambda g: g * 10)
    (y + y).sum().backward()
    assert seen == [[40.0, 40.0]] and x.grad.tolist() == [40.0, 40.0]


def test_hooks_run_in_order_and_can_be_removed():
    x = leaf(1.0)
    x.register_hook(lambda g: g + 1)
    remove = x.register_hook(lambda g: g * 10)
    x.sum().backward()
    assert x.grad.item() == 20.0
    remove()
    remove.remove()  # a second time, and in PyTorch's spelling: nothing happens
    x.grad = None
    x.sum().backward()
    assert x.grad.item() == 2.0


def test_a_hook_must_keep_the_shape():
    x = leaf(1.0, 2.0)
    x.register_hook(lambda g: g.sum())
    with pytest.raises(RuntimeError, match=r"hook .*shape \(2,\).*float64.*gave \(\)"):
        x.sum().backward()


def test_hooks_need_a_gradient_to_come():
    with pytest.raises(RuntimeError, match="register_hook: this tensor does not require grad"):
        ag.zeros(2).register_hook(print)
    with pytest.raises(RuntimeError, match="retain_grad: this tensor does not require grad"):
        ag.zeros(2).retain_grad()


def test_hooks_see_gradients_with_a_graph():
    x = leaf(3.0)
    y = x * x
    seen = []
    y.register_hook(lambda g: seen.append(g.requires_grad))
    (y * y).sum().backward(create_graph=True)
    assert seen == [True]


def test_retained_gradients():
    x = leaf(2.0)
    y = x * 3
    assert y.grad is None
    y.retain_grad()
    (y * y).sum().backward(retain_graph=True)
    assert y.grad.item() == 12.0 and x.grad.item() == 36.0
    (y * 1).sum().backward()
    assert y.grad.item() == 13.0
    x.retain_grad()  # nothing to do for a leaf
    y.grad = None
    assert y.grad is None


def test_a_hook_on_one_of_several_results():
    x = leaf(0.3)
    sine, cosine = TwoResults.apply(x)
    sine.register_hook(lambda g: g * 2)
    cosine.retain_grad()
    (sine + cosine * 3).sum().backward()
    assert cosine.grad.item() == 3.0
    assert x.grad.item() == pytest.approx(2 * np.cos(0.3) - 3 * np.sin(0.3))


# --- what cannot be done ----------------------------------------------------------------------------------------------


def test_t19_backward_of_a_non_scalar_names_the_way_out():
    with pytest.raises(RuntimeError, match=r"backward: the output has shape \(2,\).*\.sum\(\).*upstream gradient"):
        (leaf(1.0, 2.0) * 2).backward()
    x = leaf(1.0, 2.0)
    (x * 2).backward(ag.tensor([1.0, 10.0], dtype=ag.float64))
    assert x.grad.tolist() == [2.0, 20.0]


def test_backward_of_one_element_of_any_rank():
    x = ag.tensor([[2.0]], requires_grad=True)
    (x * x).backward()
    assert x.grad.tolist() == [[4.0]]


def test_backward_seed_must_fit():
    y = leaf(1.0, 2.0) * 2
    with pytest.raises(ValueError, match=r"backward: the upstream gradient has shape \(3,\), the output \(2,\)"):
        y.backward(ag.ones(3))
    y.backward(ag.ones(2, dtype=ag.float32))  # another float type is converted


def test_backward_of_a_constant():
    with pytest.raises(RuntimeError, match=r"backward: this tensor \(shape \(\), float32\) does not require grad.*no_grad or detach"):
        ag.tensor(1.0).backward()


def test_t19_a_leaf_is_its_own_output():
    x = leaf(1.0, 2.0)
    seed = ag.tensor([3.0, 4.0], dtype=ag.float64)
    x.backward(seed)
    assert x.grad.tolist() == [3.0, 4.0] and not share_memory(x.grad, seed)
    (gradient,) = ag.gradients(x, x, seed)
    assert gradient.tolist() == [3.0, 4.0]


def test_t09_a_zero_seed_is_a_seed():
    x = leaf(1.0)
    (x * x).backward(ag.zeros(1, dtype=ag.float64))
    assert x.grad.tolist() == [0.0]


def test_t11_gradients_of_integers():
    with pytest.raises(TypeError, match=r"only tensors of floats can require grad, this one is int64.*astype"):
        ag.tensor([1, 2], requires_grad=True)
    with pytest.raises(TypeError, match="this one is bool"):
        ag.tensor([True]).requires_grad_()


def test_t11_steps_without_derivative_do_not_break_the_graph():
    x = leaf(1.0, 5.0, -2.0)
    mask = x > 0
    place = x.argmax()
    assert not mask.requires_grad and not place.requires_grad and not x.astype(ag.int64).requires_grad
    (ag.where(mask, x, 0.0) * x[int(place)]).sum().backward()
    assert x.grad.tolist() == [5.0, 11.0, 0.0]


def test_gradients_function():
    x, y = leaf(2.0), leaf(5.0)
    out = x * x * y
    assert [g.item() for g in ag.gradients(out, [x, y])] == [20.0, 4.0]
    assert x.grad is None and y.grad is None
    with pytest.raises(RuntimeError, match="second time"):
        ag.gradients(out, x)
    out = x * x
    with pytest.raises(RuntimeError, match=r"do not depend on input number 1 \(shape \(1,\)\).*allow_unused=True"):
        ag.gradients(out, [x, y], retain_graph=True)
    assert ag.gradients(out, [x, y], allow_unused=True)[1] is None
    with pytest.raises(RuntimeError, match=r"gradients: input number 0 .* does not require grad"):
        ag.gradients(x * 2, ag.zeros(1))
    with pytest.raises(RuntimeError, match=r"gradients: output number 0 .* does not require grad"):
        ag.gradients(ag.zeros(1), x)
    with pytest.raises(ValueError, match="1 outputs, and 2 grad_outputs"):
        ag.gradients(x * 2, x, [None, None])


def test_gradients_by_inner_tensors_and_of_several_outputs():
    x = leaf(3.0)
    y = x * x
    z = y * y
    by_y, by_x = ag.gradients([z, y], [y, x], retain_graph=True)
    assert by_y.item() == 2 * 9 + 1 and by_x.item() == 19 * 6
    first, second = ag.gradients(y * 2, [x, x])
    assert first.item() == second.item() == 12.0


def test_gradients_visit_only_what_leads_to_the_inputs():
    x, y = leaf(1.0), leaf(2.0)
    calls = []

    class Noisy(ag.Function):
        @staticmethod
        def forward(ctx, a):
            return a * 1

        @staticmethod
        def backward(ctx, gradient):
            calls.append(1)
            return gradient

    out = Noisy.apply(y) * x
    ag.gradients(out, x, retain_graph=True)
    assert not calls
    ag.gradients(out, y)
    assert calls == [1]


def test_t12_dtypes_mixed_in_one_graph():
    x = ag.tensor([1.0, 2.0], requires_grad=True)  # float32
    wide = ag.tensor([3.0, 4.0], dtype=ag.float64)
    (x * wide).sum().backward()
    assert x.grad.dtype == ag.float32 and x.grad.tolist() == [3.0, 4.0]
    x.grad = None
    (x * 2.0 + np.float64(1.0)).sum().backward()
    assert x.grad.dtype == ag.float32
    y = ag.tensor(2.0, requires_grad=True)
    (y * ag.ones(1)).sum().backward()
    assert y.grad.shape == ()
    empty = ag.zeros(0, 3, requires_grad=True)
    (empty * 2).sum().backward()
    assert empty.grad.shape == (0, 3)


def test_a_rule_with_a_wrong_shape_is_noticed():
    class Wrong(ag.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, gradient):
            return ag.ones(3, dtype=gradient.dtype)

    with pytest.raises(RuntimeError, match=r"rule of Wrong gave a gradient of shape \(3,\) for an input of shape \(2,\)"):
        Wrong.apply(leaf(1.0, 2.0)).sum().backward()


# --- state after errors, and threads ----------------------------------------------------------------------------------


def test_t06_an_exception_in_backward_leaves_no_trace():
    class Broken(ag.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, gradient):
            raise ZeroDivisionError("on purpose")

    x = leaf(1.0)
    with pytest.raises(ZeroDivisionError, match="on purpose"):
        (Broken.apply(x) * 2).sum().backward()
    assert ag.is_grad_enabled() and x.grad is None
    (x * 2).sum().backward()
    assert x.grad.item() == 2.0


def test_backward_within_backward():
    class Inner(ag.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, gradient):
            (x,) = ctx.saved_tensors
            with ag.enable_grad():
                a = x.detach().requires_grad_()
                (a * a).sum().backward()
            return gradient * a.grad

    x = leaf(3.0)
    Inner.apply(x).sum().backward()
    assert x.grad.item() == 6.0


def in_threads(work, count: int = 4) -> None:
    failures = []

    def guarded(k: int) -> None:
        try:
            work(k)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def test_threads_with_graphs_of_their_own():
    def work(k: int) -> None:
        for _ in range(30):
            x = ag.tensor(np.full(50, float(k)), requires_grad=True)
            ((x * x).sin() + x.exp()).sum().backward()
            assert np.allclose(x.grad.numpy(), 2 * k * np.cos(k * k) + np.exp(k))

    in_threads(work)


def test_threads_that_share_a_leaf_lose_no_gradient():
    x = ag.tensor(np.zeros(2000), requires_grad=True)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        in_threads(lambda k: [(x * float(k + 1)).sum().backward() for _ in range(200)])
    finally:
        sys.setswitchinterval(interval)
    assert np.array_equal(x.grad.numpy(), np.full(2000, 200.0 * (1 + 2 + 3 + 4)))


def test_anomaly_mode_names_the_line_of_the_forward_pass():
    x = leaf(-1.0, 4.0)
    with ag.detect_anomaly():
        y = ag.sqrt(x)  # the line to blame
        z = y.sum()
        with pytest.raises(RuntimeError, match=r"backward of sqrt gave NaN for its input number 0.*test_engine\.py.*the line to blame"):
            z.backward()
    quiet = ag.sqrt(x).sum()
    with ag.detect_anomaly(), pytest.raises(RuntimeError, match="made outside detect_anomaly"):
        quiet.backward()
    ag.sqrt(x).sum().backward()  # and nothing is checked outside
    assert np.isnan(x.grad.numpy()[0])


def test_anomaly_mode_names_the_line_of_a_failing_rule():
    class Broken(ag.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, gradient):
            raise ValueError("on purpose")

    with ag.detect_anomaly():
        y = Broken.apply(leaf(1.0))  # made here
        with pytest.raises(ValueError, match="on purpose") as caught:
            y.sum().backward()
    assert any("test_engine.py" in note and "made here" in note for note in caught.value.__notes__)
