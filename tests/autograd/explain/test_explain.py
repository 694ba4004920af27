"""explain: its numbers are the engine's, its text says what happened, and it leaves everything as it was."""

import gc
import weakref
from functools import partial

import numpy as np
import pytest

import autograd as ag
from autograd.explain.ask import explain

quietly = partial(explain, print=False)  # a partial has no frame, so names are those of the test's variables


def leaf(value, dtype=np.float64):
    return ag.tensor(np.array(value, dtype), requires_grad=True)


def contributions(explanation, to):
    return [c for step in explanation.steps for c in step.contributions if c.to == to]


# --- a neuron: every number ------------------------------------------------------------------------------------------

NEURON = """\
The backward pass of o = tanh(n): 3 steps

forward
  x                          = 2.000   leaf
  w                          = -3.000  leaf
  b                          = 6.881   leaf
  %0 = x * w                 = -6.000
  n = %0 + b                 = 0.8814
  o = tanh(n)                = 0.7071

backward: the gradient of a result, times the local derivative, is added to the gradient of each input
  o.grad = 1.000   where it starts

  1. o = tanh(n)
     do/dn = 1 - o * o = 0.5000  n.grad = 1.000 * 0.5000 = 0.5000

  2. n = %0 + b
     dn/d%0 = 1  %0.grad = 0.5000 * 1.000 = 0.5000
     dn/db = 1   b.grad = 0.5000 * 1.000 = 0.5000

  3. %0 = x * w
     d%0/dx = w = -3.000  x.grad = 0.5000 * (-3.000) = -1.500
     d%0/dw = x = 2.000   w.grad = 0.5000 * 2.000 = 1.000

gradients of the leaves (the pass ran on the side: no .grad has changed)
  x.grad  = -1.500
  w.grad  = 1.000
  b.grad  = 0.5000"""


def squeezed(text):
    return [" ".join(line.split()) for line in text.splitlines()]


def test_a_neuron_reads_like_the_derivation_by_hand(capsys):
    x, w, b = leaf(2.0), leaf(-3.0), leaf(6.8813735870195432)
    n = x * w + b
    o = ag.tanh(n)
    returned = explain(o)
    assert squeezed(capsys.readouterr().out) == squeezed(NEURON)
    assert squeezed(str(returned)) == squeezed(NEURON)
    assert repr(returned) == "<Explanation of o: 3 steps; print it, or see .steps and .to_dot()>"


def test_columns_are_aligned():
    x, long_name = leaf(2.0), leaf(3.0)
    text = str(quietly(x * long_name, names={"x": x, "long_name": long_name}))
    starts = {line.index(" = 2.0") for line in text.splitlines() if line.startswith("  x ")}
    starts |= {line.index(" = 3.0") for line in text.splitlines() if line.startswith("  long_name ")}
    assert len(starts) == 1 or len(starts) == 2  # forward and gradients have columns of their own
    local = [line.index("grad = 1.000 *") for line in text.splitlines() if " * " in line and "grad = 1" in line]
    assert len({place - len(name) for place, name in zip(local, ("x", "long_name"), strict=True)}) == 1


def test_print_false_prints_nothing(capsys):
    quietly(leaf(1.0) * 2)
    assert capsys.readouterr().out == ""


# --- gradients add ---------------------------------------------------------------------------------------------------


def test_a_second_use_says_that_gradients_add():
    x = leaf(3.0)
    e = quietly(x * x + x)
    to_x = contributions(e, "x")
    assert [c.note for c in to_x] == ["", "second use of x: gradients add", "third use of x: gradients add"]
    assert [c.before and c.before.number for c in to_x] == [None, 1.0, 4.0]
    assert [c.after.number for c in to_x] == [1.0, 4.0, 7.0]
    assert e.gradients["x"].value.number == 7.0
    assert "x.grad = 1.000 + 1.000 * 3.000 = 4.000  second use of x: gradients add" in str(e)


def test_an_earlier_grad_is_told_of_and_left_alone():
    x = leaf(3.0)
    y = x * x
    y.backward(retain_graph=True)
    e = quietly(y)
    assert x.grad.item() == 6.0
    assert e.gradients["x"].held.number == 6.0 and e.gradients["x"].total.number == 12.0
    assert ".grad holds 6.000 already: backward() would make it 12.00" in str(e)
    y.backward()
    assert x.grad.item() == 12.0


def test_tensors_show_the_sum_of_what_arrives():
    x = leaf([1.0, 2.0])
    e = quietly((x * x + x).sum())
    last = contributions(e, "x")[-1]
    assert last.after.elements == [3.0, 5.0] and last.before.elements == [2.0, 3.0]
    assert "x.grad = x.grad + %0.grad * x  = [3.000, 5.000]" in str(e)


# --- broadcasting and dtypes -----------------------------------------------------------------------------------------


def test_broadcasting_says_what_is_summed():
    x, bias = leaf(np.ones((4, 3))), leaf([1.0, 2.0, 3.0])
    (c,) = contributions(quietly((x * bias).sum()), "bias")
    assert c.note == "bias was broadcast: summed over axis 0"
    assert c.rule == "sum(%0.grad * x, axis=0)" and c.amount.elements == [4.0, 4.0, 4.0]


def test_several_stretched_axes():
    x, scale = leaf(np.ones((4, 3))), leaf(2.0)
    (c,) = contributions(quietly((x + scale).sum()), "scale")
    assert c.note == "scale was broadcast: summed over axes 0, 1" and c.after.number == 12.0
    column = leaf(np.ones((4, 1)))
    (c,) = contributions(quietly((x + column).sum()), "column")
    assert c.note == "column was broadcast: summed over axis 1"


def test_a_promoted_operand_gets_its_own_dtype_back():
    x, y = leaf(2.0, np.float32), leaf(3.0)
    (c,) = contributions(quietly(x * y), "x")
    assert c.note == "converted back to float32" and c.amount.dtype == "float32"


# --- known and unknown values ----------------------------------------------------------------------------------------


def test_what_was_not_kept_is_said():
    x = leaf([1.0, 2.0])
    text = str(quietly((x - 0.5 + x).sum()))
    assert "%0 = x - (a constant)" in text
    assert "(not kept; run under ag.detect_anomaly() to see it)" in text


def test_anomaly_mode_keeps_everything():
    x = leaf([1.0, 2.0])
    with ag.detect_anomaly():
        y = (x - 0.5).reshape(2, 1).sum()
    e = quietly(y)
    assert all(made.value is not None for made in e.made)
    assert e.made[1].expression == "x - 0.5" and e.made[1].value.elements == [0.5, 1.5]
    assert e.made[1].source.endswith("y = (x - 0.5).reshape(2, 1).sum()") and "test_explain.py:" in e.made[1].source
    assert all(step.source for step in e.steps)


def test_elementwise_results_are_computed_again():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    e = quietly(((x + y) * 2.0).sum())
    assert [m.value.elements for m in e.made if m.name in ("%0", "%1")] == [[4.0, 6.0], [8.0, 12.0]]


def test_values_kept_in_anomaly_mode_are_those_of_the_time():
    x = leaf([1.0, 2.0])
    with ag.detect_anomaly():
        y = x * 2.0
        before = y + 0.0
        y += 1.0
        z = (y + before).sum()
    values = {m.expression: m.value.elements for m in quietly(z, names={"x": x}).made if m.kind == "operation"}
    assert values["x * 2"] == [2.0, 4.0]
    assert [3.0, 5.0] in values.values()


def test_backward_frees_what_anomaly_mode_kept():
    x = leaf([1.0, 2.0])
    with ag.detect_anomaly():
        y = (x * 2).sum()
        y.backward()
    assert y.grad_fn.extra.value is None and y.grad_fn.extra.operands is None


# --- a function ------------------------------------------------------------------------------------------------------


def test_a_function_gives_names_and_all_values():
    def f(x, w):
        n = x * w + 3.0
        return ag.tanh(n)

    e = quietly(f, 0.5, -2)
    names = [m.name for m in e.made]
    assert names[:2] == ["x", "w"] and "n" in names
    assert all(m.value is not None for m in e.made)
    assert "n = %0 + 3" in str(e) and "n = x * w + 3.0" in e.steps[1].source
    assert e.gradients["w"].value.number == pytest.approx(0.5 * (1 - np.tanh(2.0) ** 2))


def test_a_functions_tensor_argument_is_not_touched():
    x = leaf([1.0, 2.0])
    quietly(lambda v: (v * v).sum(), x)
    assert x.grad is None and x.is_leaf


def test_arguments_of_any_signature():
    def f(*rows):
        return rows[0] * rows[1]

    assert set(quietly(f, 1.0, 2.0).gradients) == {"rows[0]", "rows[1]"}
    e = quietly(lambda x, k: x[k] * 2.0, [1.0, 2.0], np.int64(1))
    assert e.gradients["x"].value.elements == [0.0, 2.0]


def test_a_function_runs_recorded_even_under_no_grad():
    with ag.no_grad():
        assert quietly(lambda x: x * x, 3.0).gradients["x"].value.number == 6.0


# --- names -----------------------------------------------------------------------------------------------------------


def test_names_come_from_the_callers_variables_or_as_given():
    first = leaf(1.0)
    assert "first" in quietly(first * 2).gradients
    assert "weight" in quietly(first * 2, names={"weight": first}).gradients
    assert "weight" in quietly(first * 2, names=[("weight", first)]).gradients
    assert "%0" in quietly(leaf(1.0) * 2).gradients


def test_modules_give_their_parameters_names():
    import nn

    model = nn.Linear(2, 1)
    x = ag.ones((1, 2))
    e = quietly(model(x).sum())
    assert set(e.gradients) == {"model.weight", "model.bias"}
    assert set(quietly(model(x).sum(), names=model).gradients) == {"weight", "bias"}
    assert "linear(x, model.weight, model.bias)" in str(e)


def test_names_must_lead_to_tensors():
    with pytest.raises(TypeError, match="names must go from strings to tensors, got str -> int"):
        quietly(leaf(1.0) * 2, names={"a": 3})


# --- other kinds of nodes --------------------------------------------------------------------------------------------


def test_rules_in_words():
    import nn.functional as F

    x, w, b = leaf(np.ones((4, 3))), leaf(np.ones((2, 3))), leaf(np.zeros(2))
    labels = ag.tensor(np.array([0, 1, 1, 0]))
    logits = ag.linear(x, w, b)
    loss = F.cross_entropy(logits, labels)
    text = str(quietly(loss))
    assert "logits.grad = loss.grad * (softmax(logits) - one_hot(labels)) / 4" in text
    assert "w.grad = logits.grad.T @ x" in text and "b.grad = sum(logits.grad, axis=0)" in text
    y = leaf(np.ones((3, 2)))
    product = x @ y
    text = str(quietly(product.sum()))
    assert "x.grad = product.grad @ y.T" in text and "y.grad = x.T @ product.grad" in text
    average = x.mean()
    assert "x.grad = average.grad / 12 for every element" in str(quietly(average))


def test_every_recorded_operation_has_a_rule_or_a_sentence():
    x = leaf(np.arange(6.0).reshape(2, 3) + 1)
    parts = [
        x.sum(axis=0), x.mean(axis=1), x.max(axis=0), x.min(), x.prod(axis=1), x.var(), ag.logsumexp(x, axis=1),
        ag.softmax(x), ag.log_softmax(x), ag.layer_norm(x), x.reshape(3, 2), x.T.reshape(6), x.T, x[0, ::2], x.clone(),
        x.astype(ag.float32).astype(ag.float64), ag.flip(x), ag.concat([x, x]), ag.broadcast_to(x, (2, 2, 3)),
        x @ x.T, x[0] @ x[1], x @ x[0], x[:, 0] @ x, ag.norm(x), ag.clip(x, 2.0, 4.0), ag.where(x > 2, x, 0.0),
    ]  # fmt: skip
    total = sum(p.sum() for p in parts)
    e = quietly(total, max_steps=None)
    (expected,) = ag.gradients(total, x)
    assert np.allclose(e.gradients["x"].value.elements, expected.numpy())
    assert "the derivative rule of" not in str(e)


def test_complex_numbers():
    z = ag.tensor([1 + 2j, 3 - 1j], requires_grad=True)
    text = str(ag.explain(ag.abs(ag.exp(z) * z * 1j).sum(), print=False))
    assert "= exp(z)" in text and "%2 = %1 * (0.000+1.000j)" in text and "%0.grad = %1.grad * conj(z)" in text
    assert "z.grad = z.grad + %0.grad times the complex conjugate of the derivative" in text


def test_functions_of_the_users_own():
    class Pair(ag.Function):
        @staticmethod
        def forward(ctx, x, factor):
            ctx.save_for_backward(x)
            return x * factor, x * x

        @staticmethod
        def backward(ctx, g, h):
            (x,) = ctx.saved_tensors
            return g * 3 + h * 2 * x, None

    x = leaf(2.0)
    a, b = Pair.apply(x, 3)
    e = quietly(a + b)
    assert e.gradients["x"].value.number == 7.0
    assert set(e.steps[-1].upstream) == {"a", "b"}
    assert "Pair.backward(a.grad)" in str(e)
    e.to_dot()


def test_fused_functions_with_several_results():
    @ag.fuse
    def polar(x, y):
        return ag.sqrt(x * x + y * y), ag.atan2(y, x)

    x, y = leaf(3.0), leaf(4.0)
    r, phi = polar(x, y)
    e = quietly(r * phi)
    expected = ag.gradients(r * phi, [x, y])
    assert e.gradients["x"].value.number == pytest.approx(expected[0].item())
    assert e.gradients["y"].value.number == pytest.approx(expected[1].item())


def test_a_zero_derivative_adds_nothing():
    x = leaf(2.5)
    e = quietly(ag.floor(x) + x)
    assert "the derivative is 0: nothing is added" in str(e)
    assert e.gradients["x"].value.number == 1.0


def test_nan_is_shown_where_it_appears_even_under_anomaly_mode():
    with ag.detect_anomaly():
        x = leaf(0.0)
        e = quietly(ag.sqrt(x) * 0.0)
    assert "note: the first NaN of the pass appears here" in str(e) and "nan" in str(e)


def test_hooks_are_applied_and_told_of():
    x = leaf(3.0)
    y = x * 2.0
    y.register_hook(lambda g: g * 10)
    e = quietly(y + 0.0)
    assert e.gradients["x"].value.number == 20.0
    assert "a hook has seen, and may have changed, y.grad" in str(e)


def test_retained_gradients_are_left_alone():
    x = leaf(3.0)
    y = x * 2.0
    y.retain_grad()
    z = y * y
    quietly(z)
    assert y.grad is None
    z.backward(retain_graph=True)
    quietly(z)
    assert y.grad.item() == 12.0


def test_gradients_of_gradients():
    x = leaf(2.0)
    (slope,) = ag.gradients(x**3, x, create_graph=True)
    assert quietly(slope).gradients["x"].value.number == pytest.approx(12.0)


def test_a_leaf_by_itself():
    x = leaf(2.0)
    e = quietly(x)
    assert e.steps == [] and e.gradients["x"].value.number == 1.0 and "0 steps" in str(e)


def test_random_graphs_agree_with_the_engine():
    random = np.random.default_rng(0)
    operations = [ag.add, ag.subtract, ag.multiply, ag.maximum, ag.hypot]
    operations += [lambda a, b: ag.tanh(a) + b, lambda a, b: (a * b).sum()]
    for _ in range(20):
        leaves = [leaf(random.normal(size=shape)) for shape in ((), (3,), (2, 3), (2, 1))]
        made = list(leaves)
        for _ in range(12):
            a, b = random.integers(len(made), size=2)
            made.append(operations[random.integers(len(operations))](made[a], made[b]))
        total = sum(m.sum() for m in made)
        e = quietly(total, max_steps=None, names={f"leaf{k}": x for k, x in enumerate(leaves)})
        for k, expected in enumerate(ag.gradients(total, leaves, retain_graph=True)):
            last = contributions(e, f"leaf{k}")[-1].after
            assert last == e.gradients[f"leaf{k}"].value
            assert np.allclose(last.elements, expected.numpy(), rtol=1e-12)
        for step in e.steps:
            for c in step.contributions:
                if c.local_value is not None and c.amount is not None:
                    upstream = next(iter(step.upstream.values())).number
                    assert c.amount.number == pytest.approx(upstream * c.local_value, rel=1e-9, abs=1e-12)


# --- size and life ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chain():
    x = leaf(1.0)
    y = x
    for _ in range(50_000):
        y = ag.tanh(y + x)
    return x, y


def test_a_chain_of_100_000_operations_is_printed_shortened(chain):
    x, y = chain
    assert x.grad is None
    e = quietly(y, max_steps=10)
    assert e.total_steps == 100_000 and len(e.steps) == 10 and e.left_out == 99_990
    text = str(e)
    assert "... 99,990 steps left out; max_steps=None shows all 100,000" in text
    assert len(text.splitlines()) < 80
    assert "50,001st use of x: gradients add" in text
    assert e.to_dot().count("->") < 40


def test_the_default_shows_a_hundred_steps(chain):
    assert len(quietly(chain[1]).steps) == 100


def test_an_explanation_holds_no_graph():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    e = quietly(y)
    node, tensor = weakref.ref(y.grad_fn), weakref.ref(x)
    gc.disable()
    try:
        del x, y
        assert node() is None and tensor() is None
    finally:
        gc.enable()
    assert e.gradients["x"].value.elements == [2.0, 4.0]


def test_a_functions_own_view_of_its_variables_stays():
    x = leaf(1.0)
    variables = locals()
    quietly(x * 2)
    assert variables["x"] is x


def test_many_leaves_are_shortened():
    leaves = [leaf(float(k)) for k in range(300)]
    total = leaves[0]
    for other in leaves[1:]:
        total = total + other
    e = quietly(total, max_steps=10)
    assert "more leaves" in str(e) and len(e.gradients) <= 12


# --- mistakes --------------------------------------------------------------------------------------------------------


def test_without_a_graph():
    with pytest.raises(RuntimeError, match=r"this tensor \(shape \(2,\), float64\) has no graph.*requires_grad"):
        quietly(ag.tensor(np.ones(2)))


def test_without_a_single_number():
    x = leaf([1.0, 2.0])
    with pytest.raises(RuntimeError, match=r"explain: the output has shape \(2,\); a gradient starts from a"):
        quietly(x * 2)
    e = quietly(x * 2, gradient=[1.0, 10.0])
    assert e.gradients["x"].value.elements == [2.0, 20.0] and "where it starts (given)" in str(e)


def test_a_freed_graph():
    x = leaf(1.0)
    y = x * x
    y.backward()
    with pytest.raises(RuntimeError, match=r"graph was freed by a backward pass \(at multiply\).*retain_graph=True"):
        quietly(y)


def test_what_cannot_be_explained():
    with pytest.raises(TypeError, match="expected a tensor or a function that makes one, got int"):
        quietly(3)
    with pytest.raises(TypeError, match="the function must return a tensor, it returned float"):
        quietly(lambda x: 3.0, 1.0)
    with pytest.raises(TypeError, match="arguments can follow a function only"):
        quietly(leaf(1.0) * 2, 3.0)
    with pytest.raises(ValueError, match="max_steps must be an integer of at least 2"):
        quietly(leaf(1.0) * 2, max_steps=1)
