"""Convolution's derivatives to second order, and the identity of the three kernels that they rest on."""

import numpy as np
import pytest

import autograd as ag
import nn.functional as F
from autograd.ops.conv import Conv, ConvInput, ConvWeight

CASES = [
    (F.conv1d, (2, 2, 6), (4, 1, 3), {"groups": 2, "padding": 1, "stride": 2}),
    (F.conv2d, (2, 4, 4, 3), (4, 2, 2, 3), {"stride": (2, 1), "padding": 1, "dilation": (1, 2), "groups": 2}),
    (F.conv2d, (2, 3, 3, 4), (2, 3, 2, 3), {"padding": "same"}),
    (F.conv2d, (1, 3, 3, 4), (3, 1, 3, 3), {"groups": 3, "padding": 1}),
    (F.conv3d, (1, 1, 3, 2, 3), (2, 1, 2, 1, 2), {"padding": (0, 1, 1), "stride": 2}),
    (F.conv_transpose1d, (2, 2, 3), (2, 3, 3), {"stride": 3, "output_padding": 2}),
    (F.conv_transpose2d, (1, 4, 3, 2), (4, 2, 2, 3), {"stride": (2, 3), "padding": 1, "output_padding": (1, 2), "dilation": (1, 2), "groups": 2}),
    (F.conv_transpose3d, (1, 2, 1, 2, 2), (2, 1, 2, 2, 1), {"stride": 2}),
]  # fmt: skip


def tensors(*shapes, requires_grad=True):
    generator = np.random.default_rng(0)
    return [ag.tensor(generator.standard_normal(shape), requires_grad=requires_grad) for shape in shapes]


@pytest.mark.parametrize("function, x, weight, options", CASES)
def test_gradients_to_second_order(function, x, weight, options):
    outputs = weight[1] * options.get("groups", 1) if "transpose" in function.__name__ else weight[0]
    operands = tensors(x, weight, (outputs,))

    def convolve(x, weight, bias):
        return function(x, weight, bias, **options)

    assert ag.gradcheck(convolve, operands)
    assert ag.gradgradcheck(convolve, operands)


def test_the_three_operations_are_adjoints():
    numbers = {"stride": (2, 1), "padding": (1, (0, 2)), "dilation": (1, 2), "groups": 2}
    x, weight = tensors((2, 4, 7, 6), (6, 2, 3, 2), requires_grad=False)
    y = Conv.apply(x, weight, **numbers)
    (g,) = tensors(y.shape, requires_grad=False)
    whole = (g * y).sum().item()
    assert (ConvInput.apply(g, weight, shape=x.shape, **numbers) * x).sum().item() == pytest.approx(whole, rel=1e-12)
    assert (ConvWeight.apply(g, x, shape=weight.shape, **numbers) * weight).sum().item() == pytest.approx(whole, rel=1e-12)


def test_only_what_is_needed_is_computed_and_kept():
    x, weight, bias = tensors((2, 3, 5, 5), (4, 3, 3, 3), (4,))
    y = F.conv2d(x.detach(), weight, bias)
    assert y._edge.saved[1] is None, "the gradient by the weight does not ask for the weight"
    y.sum().backward()
    assert x.grad is None and weight.grad is not None
    np.testing.assert_allclose(bias.grad.numpy(), np.full(4, 2.0 * 9))
    F.conv2d(x, weight.detach()).sum().backward()
    assert x.grad.shape == x.shape
    y = F.conv2d(x, weight)
    with ag.no_grad():
        weight.copy_(ag.zeros(weight.shape, dtype=ag.float64))
    with pytest.raises(RuntimeError, match="changed"):
        y.sum().backward()


def test_an_empty_batch_and_no_batch():
    weight = tensors((4, 3, 3, 3))[0]
    x = ag.zeros((0, 3, 5, 5), dtype=ag.float64, requires_grad=True)
    y = F.conv2d(x, weight)
    y.sum().backward()
    assert y.shape == (0, 4, 3, 3) and x.grad.shape == x.shape and not weight.grad.numpy().any()
    (image,) = tensors((3, 5, 6), requires_grad=False)
    np.testing.assert_array_equal(F.conv2d(image, weight).detach().numpy(), F.conv2d(image[None], weight)[0].detach().numpy())


def test_explained():
    x, weight = tensors((1, 1, 4), (1, 1, 2))
    text = str(ag.explain(F.conv1d(x, weight).sum()))
    assert "conv" in text and "transposed convolution" in text
