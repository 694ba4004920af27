"""Convolution. It is linear in the input and in the weight, so its two gradients and it are adjoints of one another.

With y = Conv(x, w), for every g: <g, Conv(x, w)> = <ConvInput(g, w), x> = <ConvWeight(g, x), w>. Each of the three is
linear in both operands, and the derivatives of each are the other two: gradients to any order come from three kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograd.ops.base import Operation
from autograd.ops.reduce import sum
from autograd.tensor import Tensor
from kernels.convolution import remembered


class Conv(Operation):
    """The convolution of x by a weight, with the bias added in the same kernel."""

    fresh = True
    explanation = "the transposed convolution of {g} by {1}", "the correlation of {0} with {g}", "the sum of {g} over positions"

    def forward(self, x, weight, bias=None, **numbers):
        self.numbers, self.shapes = numbers, (x.shape, weight.shape)
        return self.backend.conv(x, weight, bias, **numbers)

    def saves(self, needs):
        return (needs[1], needs[0], False)[: len(needs)]

    def backward(self, grad):
        x_shape, weight_shape = self.shapes
        need_x, need_weight, *need_bias = [edge is not None for edge in self.inputs]
        to_x = ConvInput.apply(grad, self.operand(1), shape=x_shape, **self.numbers) if need_x else None
        to_weight = ConvWeight.apply(grad, self.operand(0), shape=weight_shape, **self.numbers) if need_weight else None
        return (to_x, to_weight, _over_positions(grad) if any(need_bias) else None)[: len(self.inputs)]


class ConvInput(Operation):
    """From the gradient of a convolution's result to that of its input: the transposed convolution of g by the weight."""

    fresh = True
    explanation = "the convolution of {g} by {1}", "the correlation of {g} with {0}", "the sum of {g} over positions"

    def forward(self, grad, weight, bias=None, *, shape, **numbers):
        self.numbers, self.weight_shape = numbers, weight.shape
        return self.backend.conv_input_gradient(grad, weight, shape, bias, **numbers)

    def saves(self, needs):
        return (needs[1], needs[0], False)[: len(needs)]

    def backward(self, upstream):
        need_grad, need_weight, *need_bias = [edge is not None for edge in self.inputs]
        to_grad = Conv.apply(upstream, self.operand(1), **self.numbers) if need_grad else None
        to_weight = None
        if need_weight:
            to_weight = ConvWeight.apply(self.operand(0), upstream, shape=self.weight_shape, **self.numbers)
        return (to_grad, to_weight, _over_positions(upstream) if any(need_bias) else None)[: len(self.inputs)]


class ConvWeight(Operation):
    """From the gradient of a convolution's result to that of its weight: the correlation of x with g."""

    fresh = True
    explanation = "the convolution of {1} by {g}", "the transposed convolution of {0} by {g}"

    def forward(self, grad, x, *, shape, **numbers):
        self.numbers, self.x_shape = numbers, x.shape
        return self.backend.conv_weight_gradient(grad, x, shape, **numbers)

    def saves(self, needs):
        return needs[1], needs[0]

    def backward(self, upstream):
        to_grad = Conv.apply(self.operand(1), upstream, **self.numbers) if self.inputs[0] is not None else None
        to_x = None
        if self.inputs[1] is not None:
            to_x = ConvInput.apply(self.operand(0), upstream, shape=self.x_shape, **self.numbers)
        return to_grad, to_x


def _over_positions(grad: Tensor) -> Tensor:
    """The gradient of a bias: (N, C, sizes) -> (C,)."""
    return sum(grad, axis=(0, *range(2, grad.ndim)))


# --- functions --------------------------------------------------------------------------------------------------------


def convolution(
    name: str,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[Any],
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    """The convolution of x (N, C, sizes) by weight (outputs, C / groups, taps); `name` begins error messages.

    padding: a number or a pair (in front, behind) for each dimension. See `kernels.cpu.conv.conv` for the rest.
    """
    _check(name, x, weight, bias, weight.shape[0] if weight.ndim else 0)
    remembered(name, x.shape, weight.shape, stride, padding, dilation, groups)
    operands = (x, weight) if bias is None else (x, weight, bias)
    return Conv.apply(*operands, stride=stride, padding=padding, dilation=dilation, groups=groups)


def transposed_convolution(
    name: str,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    output_padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    """The adjoint of `convolution`, as an operation of its own: x (N, C, sizes), weight (C, outputs / groups, taps).

    Each size becomes (size - 1) * stride - 2 * padding + dilation * (taps - 1) + 1 + output_padding.
    """
    if x.ndim != weight.ndim or weight.ndim < 3 or x.shape[1] != weight.shape[0]:
        raise ValueError(
            f"{name}: an input (N, C, sizes) takes a weight (C, outputs / groups, taps), got shapes {x.shape} and {weight.shape}"
        )
    _check(name, x, weight, bias, weight.shape[1] * groups)
    numbers = zip(x.shape[2:], weight.shape[2:], stride, padding, output_padding, dilation, strict=True)
    sizes = tuple((n - 1) * s - 2 * p + d * (k - 1) + 1 + more for n, k, s, p, more, d in numbers)
    if 0 in x.shape[2:] or min(sizes) < 1:
        raise ValueError(f"{name}: an input of shape {x.shape} gives a result of sizes {sizes}; each must be at least 1")
    shape = (x.shape[0], weight.shape[1] * groups, *sizes)
    # What output_padding adds at the end is met by no window: the convolution behind this one does not read it.
    pairs = tuple((p, p - more) for p, more in zip(padding, output_padding, strict=True))
    remembered(name, shape, weight.shape, stride, pairs, dilation, groups)
    operands = (x, weight) if bias is None else (x, weight, bias)
    return ConvInput.apply(*operands, shape=shape, stride=stride, padding=pairs, dilation=dilation, groups=groups)


def _check(name: str, x: Tensor, weight: Tensor, bias: Tensor | None, outputs: int) -> None:
    """What the kernels would refuse too, in the words of whoever calls."""
    for what, operand in (("input", x), ("weight", weight), ("bias", bias)):
        if operand is None:
            continue
        if operand.dtype.kind != "f":
            raise TypeError(f"{name}: needs floats, the {what} is {operand.dtype}; convert with .astype(autograd.float32)")
        if operand.dtype != x.dtype:
            raise TypeError(
                f"{name}: the input is {x.dtype} and the {what} {operand.dtype}; convert one with .astype or .to(dtype)"
            )
    if bias is not None and bias.shape != (outputs,):
        raise ValueError(f"{name}: the bias must have shape ({outputs},), one number per output channel, got {bias.shape}")
