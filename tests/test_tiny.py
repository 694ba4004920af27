"""The whole engine on one screen: if this fails, look nowhere else first."""

import numpy as np

import autograd as ag
import nn


def test_tiny():
    x = ag.tensor([[1.0, -2.0], [3.0, 0.5]], requires_grad=True)
    (x * x + ag.exp(x)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * x.detach().numpy() + np.exp(x.detach().numpy()), rtol=1e-6)

    @ag.fuse
    def swish(t):
        return t * ag.sigmoid(t)

    np.testing.assert_array_equal(swish(x).detach().numpy() > 0, x.detach().numpy() > 0)
    (slope,) = ag.gradients(swish(x).sum(), x, create_graph=True)
    (curvature,) = ag.gradients(slope.sum(), x)
    assert slope.shape == curvature.shape == (2, 2)

    product = ag.matmul(x, ag.tensor([[0.0, 1.0], [1.0, 0.0]]))
    np.testing.assert_array_equal(product.detach().numpy(), [[-2.0, 1.0], [0.5, 3.0]])
    np.testing.assert_allclose(ag.softmax(product).sum(axis=-1).detach().numpy(), [1.0, 1.0], rtol=1e-6)


def test_tiny_network_learns():
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden, self.last = nn.Linear(2, 16), nn.Linear(16, 2)

        def forward(self, x):
            return self.last(ag.tanh(self.hidden(x)))

    corners = ag.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    either_or = ag.tensor([0, 1, 1, 0])
    network = Network()
    optimizer = nn.optim.Adam(network.parameters(), lr=0.05)
    for _ in range(150):
        loss = nn.functional.cross_entropy(network(corners), either_or)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    assert ag.argmax(network(corners), axis=1).tolist() == either_or.tolist()
