"""The whole on one screen: if this fails, begin here."""

import numpy as np

import autograd as ag


def test_a_gradient():
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    (x.exp() * x).sum().backward()
    assert np.allclose(x.grad.numpy(), np.exp([1, 2]) * np.array([2, 3]))


def test_a_derivative_of_a_derivative():
    assert ag.grad(ag.grad(lambda x: x**3))(2.0).item() == 12.0


def test_a_fused_function():
    gaussian = ag.fuse(lambda x, width: ag.exp(-((x / width) ** 2)))
    x = ag.tensor([0.5, -1.0], dtype=ag.float64, requires_grad=True)
    assert ag.gradcheck(lambda t: gaussian(t, 2.0), x) and ag.gradgradcheck(lambda t: gaussian(t, 2.0), x)


def test_a_network_learns_what_exclusive_or_is():
    ag.manual_seed(0)
    inputs = ag.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    targets = ag.tensor([[0.0], [1.0], [1.0], [0.0]])
    parameters = [ag.randn(8, 2), ag.zeros(8), ag.randn(1, 8), ag.zeros(1)]
    for parameter in parameters:
        parameter.requires_grad_()
    for _ in range(300):
        hidden = ag.tanh(ag.linear(inputs, parameters[0], parameters[1]))
        loss = ((ag.linear(hidden, parameters[2], parameters[3]) - targets) ** 2).mean()
        for parameter in parameters:
            parameter.grad = None
        loss.backward()
        with ag.no_grad():
            for parameter in parameters:
                parameter -= 0.2 * parameter.grad
    assert loss.item() < 0.01
