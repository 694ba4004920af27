"""Row kernels: softmax, cross-entropy and layer normalisation, forward and backward."""

from __future__ import annotations

from functools import partial

import numpy as np

from bench.machine import torch_module
from bench.suite import Case, Work, contenders, normal
from kernels import cpu

Shape = tuple[int, int]


def softmax(x: np.ndarray) -> np.ndarray:
    """As it is written in NumPy."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def log_softmax(x: np.ndarray) -> np.ndarray:
    """As it is written in NumPy."""
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def layer_norm(x: np.ndarray) -> np.ndarray:
    """As it is written in NumPy, without scale and shift."""
    return (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)


def softmax_forward(shape: Shape) -> Work:
    x, torch = normal(shape), torch_module()
    with_torch = None if torch is None else partial(torch.softmax, torch.from_numpy(x), -1)
    reference = softmax(x.astype(np.float64))
    return Work(
        contenders(partial(cpu.softmax, x, axis=-1), partial(softmax, x), with_torch), reference, scale=1 / shape[1],
        traffic=2.0 * x.nbytes,
    )  # fmt: skip


def log_softmax_forward(shape: Shape) -> Work:
    x, torch = normal(shape), torch_module()
    with_torch = None if torch is None else partial(torch.log_softmax, torch.from_numpy(x), -1)
    reference = log_softmax(x.astype(np.float64))
    return Work(
        contenders(partial(cpu.log_softmax, x, axis=-1), partial(log_softmax, x), with_torch), reference,
        traffic=2.0 * x.nbytes,
    )  # fmt: skip


def softmax_backward(shape: Shape) -> Work:
    grad, y, torch = normal(shape), softmax(normal(shape, seed=1)), torch_module()

    def with_numpy(grad: np.ndarray = grad, y: np.ndarray = y) -> np.ndarray:
        return y * (grad - (grad * y).sum(axis=-1, keepdims=True))

    with_torch = None
    if torch is not None:
        backward = torch.ops.aten._softmax_backward_data
        with_torch = partial(backward, torch.from_numpy(grad), torch.from_numpy(y), -1, torch.float32)
    return Work(
        contenders(partial(cpu.softmax_backward, grad, y, axis=-1), with_numpy, with_torch),
        with_numpy(grad.astype(np.float64), y.astype(np.float64)),
        scale=1 / shape[1],
        traffic=3.0 * grad.nbytes,
    )


def cross_entropy_forward(shape: Shape) -> Work:
    logits, torch = normal(shape), torch_module()
    targets = np.random.default_rng(1).integers(0, shape[1], shape[0])
    rows = np.arange(shape[0])

    def with_numpy(logits: np.ndarray = logits) -> np.ndarray:
        return -log_softmax(logits)[rows, targets]

    with_torch = None
    if torch is not None:
        loss = partial(torch.nn.functional.cross_entropy, reduction="none")
        with_torch = partial(loss, torch.from_numpy(logits), torch.from_numpy(targets))
    return Work(
        contenders(partial(cpu.cross_entropy, logits, targets), with_numpy, with_torch),
        with_numpy(logits.astype(np.float64)),
        traffic=1.0 * logits.nbytes,
    )


def cross_entropy_backward(shape: Shape) -> Work:
    """From the gradient of the losses to that of the logits; PyTorch's backward of log-softmax and selection."""
    logits, grad, torch = normal(shape), normal(shape[0], seed=2), torch_module()
    targets = np.random.default_rng(1).integers(0, shape[1], shape[0])
    rows = np.arange(shape[0])
    normalisers = cpu.cross_entropy(logits, targets)[1]

    def with_numpy(logits: np.ndarray = logits, grad: np.ndarray = grad) -> np.ndarray:
        slope = softmax(logits)
        slope[rows, targets] -= 1
        slope *= grad[:, None]
        return slope

    with_torch = None
    if torch is not None:
        x, upstream = torch.from_numpy(logits).requires_grad_(), torch.from_numpy(grad)
        losses = torch.nn.functional.cross_entropy(x, torch.from_numpy(targets), reduction="none")
        with_torch = partial(torch.autograd.grad, losses, x, upstream, retain_graph=True)
    return Work(
        contenders(partial(cpu.cross_entropy_backward, grad, logits, targets, normalisers), with_numpy, with_torch),
        with_numpy(logits.astype(np.float64), grad.astype(np.float64)),
        scale=1 / shape[1],
        traffic=2.0 * logits.nbytes,
    )


def layer_norm_forward(shape: Shape) -> Work:
    x, torch = normal(shape), torch_module()
    weight, bias = np.ones(shape[1], np.float32), np.zeros(shape[1], np.float32)

    def with_numpy() -> np.ndarray:
        return layer_norm(x) * weight + bias

    with_torch = None
    if torch is not None:
        parameters = torch.from_numpy(weight), torch.from_numpy(bias)
        with_torch = partial(torch.nn.functional.layer_norm, torch.from_numpy(x), shape[1:], *parameters)
    return Work(
        contenders(partial(cpu.layer_norm, x, weight, bias), with_numpy, with_torch), layer_norm(x.astype(np.float64)),
        traffic=2.0 * x.nbytes,
    )  # fmt: skip


def layer_norm_backward(shape: Shape) -> Work:
    """The gradients of input, weight and bias."""
    grad, x, weight, torch = normal(shape), normal(shape, seed=1), np.ones(shape[1], np.float32), torch_module()
    _, mean, rstd = cpu.layer_norm(x, weight, None)

    def with_numpy(grad: np.ndarray = grad, x: np.ndarray = x, weight: np.ndarray = weight) -> tuple:
        spread = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
        y, inner = (x - x.mean(axis=-1, keepdims=True)) / spread, grad * weight
        centred = inner - inner.mean(axis=-1, keepdims=True) - y * (inner * y).mean(axis=-1, keepdims=True)
        return centred / spread, (grad * y).sum(axis=0), grad.sum(axis=0)

    with_torch = None
    if torch is not None:
        arrays = [torch.from_numpy(array) for array in (grad, x, mean[:, None], rstd[:, None], weight, weight)]
        backward = torch.ops.aten.native_layer_norm_backward
        with_torch = partial(backward, *arrays[:2], list(shape[1:]), *arrays[2:], [True, True, True])
    return Work(
        contenders(partial(cpu.layer_norm_backward, grad, x, mean, rstd, weight), with_numpy, with_torch),
        with_numpy(*(array.astype(np.float64) for array in (grad, x, weight)))[0],
        traffic=3.0 * x.nbytes,
    )


KERNELS = {
    "softmax": softmax_forward,
    "softmax backward": softmax_backward,
    "log_softmax": log_softmax_forward,
    "cross-entropy": cross_entropy_forward,
    "cross-entropy backward": cross_entropy_backward,
    "layer norm": layer_norm_forward,
    "layer norm backward": layer_norm_backward,
}
ALL_SHAPES: list[Shape] = [(4, 4), (64, 10), (1024, 1024), (4096, 256), (128, 50257), (4096, 4096)]
USUAL_SHAPES = ALL_SHAPES[1:4]


def cases() -> list[Case]:
    """All row kernels."""
    return [
        Case("rows", name, "x".join(map(str, shape)), partial(make, shape), large=shape == (4096, 4096))
        for name, make in KERNELS.items()
        for shape in (ALL_SHAPES if name == "softmax" else USUAL_SHAPES)
    ]
