"""Recurrent layers: against PyTorch's stored results (tests/nn/reference/recurrent.py), derivatives, and what is refused."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
from cuda_support import needs_cuda

import autograd as ag
import nn
from autograd.ops.recurrent import LAYERS, composed, recurrent_layer

_spec = importlib.util.spec_from_file_location("reference_recurrent", Path(__file__).parents[1] / "reference" / "recurrent.py")
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)
STORED = np.load(reference.STORED)
NUMBERS = range(len(reference.CASES))


def loaded(number, dtype, device="cpu"):
    """A case's layer with its parameters, and its input and states."""
    name, (arguments, options), shape, state = reference.CASES[number]
    layer = getattr(nn, name)(*arguments, **options, dtype=dtype)
    values = reference.draw(number, *[p.shape for p in layer.parameters()])
    layer.load_state_dict(dict(zip(layer.state_dict(), [ag.tensor((v / 2).astype(dtype)) for v in values], strict=True)))
    drawn = reference.draw(number + 100, shape, *reference.states_for(name, state))
    operands = [ag.tensor(v.astype(dtype), device=device, requires_grad=True) for v in drawn]
    states = operands[1:]
    return layer.to(device), operands, None if not states else tuple(states) if name.startswith("LSTM") else states[0]


def compare(number, dtype, device="cpu"):
    layer, operands, states = loaded(number, dtype, device)
    results = reference.flat(layer(operands[0], states))
    upstream = reference.draw(number + 200, *[r.shape for r in results])
    total = sum((r * ag.tensor(u.astype(dtype), device=device)).sum() for r, u in zip(results, upstream, strict=True))
    total.backward()
    tolerance = 1e-5 if dtype == np.float32 else 1e-10
    groups = {"result": results, "operand": [o.grad for o in operands], "parameter": [p.grad for p in layer.parameters()]}
    for kind, tensors in groups.items():
        for n, found in enumerate(tensors):
            expected = STORED[f"{number} {kind} {n}"]
            assert found.shape == expected.shape and found.dtype == dtype
            atol = tolerance * np.abs(expected).max()
            np.testing.assert_allclose(found.detach().numpy(), expected, rtol=tolerance, atol=atol, err_msg=f"{kind} {n}")
    return layer


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("number", NUMBERS)
def test_values_gradients_text_and_keys_are_pytorchs(number, dtype):
    layer = compare(number, dtype)
    assert repr(layer) == str(STORED[f"{number} text"])
    assert list(layer.state_dict()) == list(STORED[f"{number} keys"])


@needs_cuda
@pytest.mark.parametrize("number", [0, 3, 9])
def test_values_and_gradients_on_cuda_are_pytorchs(number):
    compare(number, np.float32, "cuda")


def operands_of(mode, steps, batch, inputs, size, bias=True):
    """Operands of `recurrent_layer` in float64: x, weights, states, biases."""
    generator, layer = np.random.default_rng(5), LAYERS[mode]
    rows = layer.gates * size
    shapes = [(steps, batch, inputs), (rows, inputs), (rows, size), *[(batch, size)] * layer.states, *[(rows,)] * (2 * bias)]
    return [ag.tensor(generator.standard_normal(shape), requires_grad=True) for shape in shapes]


def through(mode, reverse):
    """The layer as a function of its operands alone."""
    count = LAYERS[mode].states
    return lambda x, w, v, *rest: recurrent_layer(mode, x, (w, v), rest[:count], rest[count:], reverse)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("mode", LAYERS)
def test_the_quick_way_is_the_composed_one(mode, bias):
    """Forward and gradient by arrays, against differentiable operations and the same with a graph of the gradient."""
    layer, operands = LAYERS[mode], operands_of(mode, 4, 3, 2, 5, bias)
    for reverse in (False, True):
        quick = through(mode, reverse)(*operands)
        slow = composed(layer.cell, layer.gates, layer.states, reverse, operands)
        upstream = [ag.randn(*r.shape, dtype=ag.float64) for r in quick]
        wanted = [ag.gradients(list(r), operands, upstream, retain_graph=True) for r in (quick, slow)]
        wanted.append(ag.gradients(list(quick), operands, upstream, create_graph=True))
        for a, b in zip(quick, slow, strict=True):
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12, atol=1e-12)
        for a, b, c in zip(*wanted, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-12)
            np.testing.assert_allclose(a.numpy(), c.detach().numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("mode", LAYERS)
def test_first_and_second_derivatives(mode):
    ag.manual_seed(0)
    operands = operands_of(mode, 2, 2, 2, 2)
    assert ag.gradcheck(through(mode, False), operands)
    assert ag.gradcheck(through(mode, True), operands)
    assert ag.gradgradcheck(through(mode, False), operands)


def test_many_steps():
    """So many that the weights' gradients are made of several products."""
    layer, operands = LAYERS["GRU"], operands_of("GRU", 300, 7, 2, 3)
    quick = through("GRU", False)(*operands)
    slow = composed(layer.cell, layer.gates, layer.states, False, operands)
    upstream = ag.randn(300, 7, 3, dtype=ag.float64)
    for a, b in zip(*[ag.gradients(r[0], operands, upstream) for r in (quick, slow)], strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_operands_that_need_no_gradient_and_results_that_get_none(name):
    layer = getattr(nn, name)(3, 4)
    x = ag.randn(5, 2, 3)
    _, last = layer(x)
    state = last[1] if name == "LSTM" else last  # nothing depends on y
    state.sum().backward()
    expected = [p.grad.numpy().copy() for p in layer.parameters()]
    assert all(np.abs(e).max() > 0 for e in expected) and x.grad is None
    layer.zero_grad()
    for parameter in list(layer.parameters())[:2]:
        parameter.requires_grad_(False)
    _, last = layer(x)
    (last[1] if name == "LSTM" else last).sum().backward()
    found = [p.grad for p in layer.parameters()]
    assert found[0] is None and found[1] is None
    for grad, value in zip(found[2:], expected[2:], strict=True):
        np.testing.assert_allclose(grad.numpy(), value, rtol=1e-6)
    with ag.no_grad():
        assert not layer(x)[0].requires_grad


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_sizes_of_one_and_an_empty_batch(name):
    layer = getattr(nn, name)(1, 1, dtype=ag.float64)
    layer(ag.ones((1, 1, 1), dtype=ag.float64))[0].sum().backward()
    assert all(p.grad.shape == p.shape for p in layer.parameters())
    layer, x = getattr(nn, name)(3, 4, 2, bidirectional=True), ag.ones((5, 0, 3), requires_grad=True)
    y, last = layer(x)
    assert y.shape == (5, 0, 8) and reference.flat([last])[0].shape == (4, 0, 4)
    y.sum().backward()
    assert x.grad.shape == (5, 0, 3)
    assert all(p.grad.shape == p.shape and not p.grad.numpy().any() for p in layer.parameters())


def test_gradients_of_two_passes_share_no_memory_and_changes_in_place_are_seen():
    layer, x = nn.LSTM(3, 4), ag.randn(5, 2, 3)
    layer(x)[0].sum().backward(create_graph=True)
    assert not np.may_share_memory(layer.bias_ih_l0.grad.detach().numpy(), layer.bias_hh_l0.grad.detach().numpy())
    layer.zero_grad()
    y, (_, c) = layer(x)
    y.sum().backward(retain_graph=True)
    first = [p.grad.numpy().copy() for p in layer.parameters()]
    assert layer.bias_ih_l0.grad is not layer.bias_hh_l0.grad
    assert not np.may_share_memory(layer.bias_ih_l0.grad.numpy(), layer.bias_hh_l0.grad.numpy())
    y.sum().backward()
    for parameter, once in zip(layer.parameters(), first, strict=True):
        np.testing.assert_allclose(parameter.grad.numpy(), 2 * once, rtol=1e-6)
    y, (_, c) = layer(x)
    with ag.no_grad():
        c.zero_()  # memory of its own
    y.sum().backward()
    y, _ = layer(x)
    with ag.no_grad():
        y.zero_()
    with pytest.raises(RuntimeError, match="was changed by an in-place operation"):
        y.sum().backward()


def test_a_sequence_by_cells_is_the_layer():
    for name in ("RNN", "LSTM", "GRU"):
        layer, cell = getattr(nn, name)(3, 4, dtype=ag.float64), getattr(nn, f"{name}Cell")(3, 4, dtype=ag.float64)
        cell.load_state_dict({key.removesuffix("_l0"): value for key, value in layer.state_dict().items()})
        x, state, steps = ag.randn(5, 2, 3, dtype=ag.float64), None, []
        for t in range(5):
            state = cell(x[t], state)
            steps.append(state[0] if name == "LSTM" else state)
        np.testing.assert_allclose(layer(x)[0].detach().numpy(), ag.stack(steps).detach().numpy(), rtol=1e-12)


def test_dropout_acts_between_layers_while_training():
    with pytest.warns(UserWarning, match=r"RNN: dropout=0.5 acts between layers, and there is only one"):
        nn.RNN(3, 4, dropout=0.5)
    ag.manual_seed(1)
    layer, x = nn.GRU(3, 8, num_layers=2, dropout=0.5), ag.randn(5, 2, 3)
    trained, again, (h, _) = layer(x)[0], layer(x)[0], layer(x)[1]
    assert not np.allclose(trained.detach().numpy(), again.detach().numpy())
    layer.eval()
    calm, last = layer(x)
    np.testing.assert_array_equal(calm.detach().numpy(), layer(x)[0].detach().numpy())
    np.testing.assert_array_equal(last[0].detach().numpy(), h.detach().numpy())  # below the dropout: the same
    all_dropped = nn.GRU(3, 8, num_layers=2, dropout=1.0)
    zeros = all_dropped(x)[0], all_dropped(2 * x)[0]
    np.testing.assert_array_equal(zeros[0].detach().numpy(), zeros[1].detach().numpy())


def test_initial_values_are_uniform_within_one_over_the_root_of_the_hidden_size():
    ag.manual_seed(0)
    for layer in (nn.LSTM(64, 25, bidirectional=True), nn.GRUCell(64, 25)):
        for values in [p.detach().numpy() for p in layer.parameters()]:
            assert 0.8 / 5 < np.abs(values).max() <= 1 / math.sqrt(25)
        assert abs(next(iter(layer.parameters())).detach().numpy().std() - 0.2 / math.sqrt(3)) < 0.005


def test_what_layers_refuse():
    for arguments, error, message in [
        ((0, 3), ValueError, "LSTM: input_size must be at least 1, got 0"),
        ((3, 1.5), TypeError, "LSTM: hidden_size must be an integer, got 1.5"),
        ((3, 3, 0), ValueError, "LSTM: num_layers must be at least 1, got 0"),
        ((3, 3, 2, True, False, 1.5), ValueError, "LSTM: dropout is a probability between 0 and 1, got 1.5"),
        ((3, 4, 1, True, False, 0.0, False, 2), NotImplementedError, "LSTM: proj_size=2 is not supported; put a Linear"),
    ]:
        with pytest.raises(error, match=message):
            nn.LSTM(*arguments)
    with pytest.raises(ValueError, match="RNN: nonlinearity is 'tanh' or 'relu', got 'sin'"):
        nn.RNN(3, 4, nonlinearity="sin")
    layer, x = nn.LSTM(3, 4, batch_first=True), ag.ones((2, 5, 3))
    zeros = ag.zeros((1, 2, 4))
    for given, error, message in [
        ((ag.ones((2, 5, 4)),), ValueError, r"last size must be input_size = 3, got shape \(2, 5, 4\)"),
        ((ag.ones(3),), ValueError, r"must have shape \(N, T, 3\) or \(T, 3\), got \(3,\)"),
        ((ag.ones((2, 0, 3)),), ValueError, r"needs at least one step, got an input of shape \(2, 0, 3\)"),
        ((x.astype(ag.float64),), TypeError, "the input is float64 and the parameters are float32"),
        (([1.0],), TypeError, "must be a tensor, got list. There are no packed sequences"),
        ((x, zeros), TypeError, r"initial states are a tuple \(h, c\), got a tensor of shape \(1, 2, 4\)"),
        ((x, (zeros, None)), TypeError, "the initial c must be a tensor, got NoneType"),
        ((x, (zeros, ag.zeros((1, 5, 4)))), ValueError, r"the initial c must have shape \(1, 2, 4\), got \(1, 5, 4\)"),
        ((x[0], (zeros, zeros)), ValueError, r"the initial h must have shape \(1, 4\), got \(1, 2, 4\)"),
        ((x, (zeros, zeros.astype(ag.float64))), TypeError, "the input is float32 and the initial c float64"),
    ]:
        with pytest.raises(error, match=message):
            layer(*given)
    cell = nn.GRUCell(3, 4)
    with pytest.raises(ValueError, match=r"GRUCell: the input must have shape \(N, 3\) or \(3,\), got \(2, 5, 3\)"):
        cell(x)
    with pytest.raises(ValueError, match=r"the initial h must have shape \(2, 4\), got \(4,\)"):
        cell(ag.ones((2, 3)), ag.ones(4))


def test_a_network_learns_to_add_marked_numbers():
    """Two of the steps are marked; the target is the sum of their values (Hochreiter and Schmidhuber 1997)."""
    ag.manual_seed(0)
    generator = np.random.default_rng(0)
    values = generator.random((10, 64, 2)).astype(np.float32)
    values[:, :, 1] = 0
    for sequence in range(64):
        values[generator.choice(10, 2, replace=False), sequence, 1] = 1
    x, y = ag.tensor(values), ag.tensor((values[:, :, 0] * values[:, :, 1]).sum(0)[:, None])
    layer, head = nn.LSTM(2, 16), nn.Linear(16, 1)
    optimizer, losses = nn.optim.Adam([*layer.parameters(), *head.parameters()], lr=0.03), []
    for _ in range(200):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(head(layer(x)[0][-1]), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * np.var(y.numpy()) < losses[0]


def test_sequences_of_different_lengths():
    from nn.utils.rnn import pack_padded_sequence, pad_sequence, unpad_sequence

    given = [ag.tensor(np.arange(2.0 * n).reshape(n, 2) + 1, requires_grad=True) for n in (3, 1, 0)]
    padded = pad_sequence(given, padding_value=-1.0)
    assert padded.shape == (3, 3, 2)
    np.testing.assert_array_equal(padded.detach().numpy()[:, 1], [[1, 2], [-1, -1], [-1, -1]])
    np.testing.assert_array_equal(pad_sequence(given, True, -1.0).detach().numpy(), padded.detach().numpy().swapaxes(0, 1))
    left = nn.utils.rnn.pad_sequence(given, padding_side="left")
    np.testing.assert_array_equal(left.detach().numpy()[:, 1], [[0, 0], [0, 0], [1, 2]])
    (padded * padded).sum().backward()
    for sequence in given:
        np.testing.assert_array_equal(sequence.grad.numpy(), 2 * sequence.detach().numpy())
    for back, sequence in zip(unpad_sequence(padded, ag.tensor([3, 1, 0])), given, strict=True):
        np.testing.assert_array_equal(back.detach().numpy(), sequence.detach().numpy())
    with pytest.raises(NotImplementedError, match=r"no packed sequences. Pad with nn.utils.rnn.pad_sequence"):
        pack_padded_sequence(padded, [3, 1, 0])
    for call, message in [
        (lambda: pad_sequence([]), "at least one sequence"),
        (lambda: pad_sequence([ag.ones((2, 3)), ag.ones((2, 4))]), r"number 0 is float32 \(2, 3\) and number 1 float32 \(2, 4\)"),
        (lambda: pad_sequence(given, padding_side="top"), "padding_side is 'right' or 'left', got 'top'"),
        (lambda: unpad_sequence(padded, [3, 1]), r"3 sequences of at most 3 steps need as many lengths within that, got \[3, 1\]"),
        (lambda: unpad_sequence(ag.ones(3), [3]), r"needs a tensor \(T, N, \*\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="number 1 is list"):
        pad_sequence([given[0], [1.0]])
