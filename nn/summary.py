"""What a model consists of, layer by layer, from running it once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import autograd as ag
from kernels.random import default_generator
from nn.layers.convolution import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from nn.layers.linear import Linear
from nn.module import Module


@dataclass(frozen=True)
class LayerSummary:
    """One call of a module: its dotted name, its class, the shapes it gave, and what belongs to it alone.

    `parameters` and `bytes` count the module's own parameters (bytes: buffers, too), not those of modules inside, and are 0
    at further calls of the same module. `multiply_adds` is None where they are not known.
    """

    name: str
    kind: str
    depth: int
    output_shapes: tuple[tuple[int, ...], ...]
    parameters: int
    trainable: int
    bytes: int
    output_bytes: int
    multiply_adds: int | None


@dataclass(frozen=True)
class Summary:
    """The layers in the order of their calls, and their sums; `print` shows a table.

    Attributes:
        parameters, trainable: numbers of elements; a shared parameter counts once.
        multiply_adds: of the layers for which they are known (see `summary`).
        parameter_bytes: of parameters and buffers.
        output_bytes: of the outputs of layers without layers inside: about what is kept for the backward pass.
    """

    layers: tuple[LayerSummary, ...]
    parameters: int
    trainable: int
    multiply_adds: int
    parameter_bytes: int
    output_bytes: int

    def __str__(self) -> str:
        head = ("layer", "output shape", "parameters", "multiply-adds")
        rows = [
            (
                "  " * layer.depth + (f"{layer.name.rpartition('.')[2]}: {layer.kind}" if layer.name else layer.kind),
                ", ".join(map(str, layer.output_shapes)) or "-",
                f"{layer.parameters:,}" if layer.parameters else "-",
                "?" if layer.multiply_adds is None else f"{layer.multiply_adds:,}" if layer.multiply_adds else "-",
            )
            for layer in self.layers
        ]
        widths = [max(len(row[k]) for row in (head, *rows)) for k in range(4)]

        def line(row: tuple[str, ...]) -> str:
            left = "  ".join(text.ljust(width) for text, width in zip(row[:2], widths[:2], strict=True))
            right = "  ".join(text.rjust(width) for text, width in zip(row[2:], widths[2:], strict=True))
            return f"{left}  {right}"

        rule = "-" * (sum(widths) + 6)
        frozen = self.parameters - self.trainable
        unknown = ", and more where there is a ?" if any(layer.multiply_adds is None for layer in self.layers) else ""
        ends = [
            f"parameters: {self.parameters:,}" + (f", {frozen:,} of them frozen" if frozen else ""),
            f"multiply-adds: {self.multiply_adds:,}{unknown}",
            f"memory: parameters and buffers {_size(self.parameter_bytes)}, outputs {_size(self.output_bytes)}",
        ]
        return "\n".join([line(head), rule, *map(line, rows), rule, *ends])


def summary(model: Module, *inputs: Any, **keywords: Any) -> Summary:
    """Run the model once, in evaluation mode and without gradients, and say what happened in it.

    Args:
        model: left as it was: modes, hooks and the default generator too.
        inputs, keywords: what the model is called with, tensors or arrays. A tuple of whole numbers as the only input is a
            shape, and stands for zeros of the parameters' dtype.

    Returns:
        A `Summary`. Multiply-adds are counted for Linear and convolutions, the multiplications that their definitions say
        (padding included); layers without parameters count 0, and others with matrices of weights are unknown.

    >>> import nn
    >>> print(summary(nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2)), (16, 8)))
    layer        output shape  parameters  multiply-adds
    ----------------------------------------------------
    Sequential   (16, 2)                -              -
      0: Linear  (16, 4)               36            512
      1: ReLU    (16, 4)                -              -
      2: Linear  (16, 2)               10            128
    ----------------------------------------------------
    parameters: 46
    multiply-adds: 640
    memory: parameters and buffers 184 B, outputs 640 B
    """
    first = next((p for p in model.parameters() if p.dtype.kind == "f"), None)
    dtype, device = (ag.float32, "cpu") if first is None else (first.dtype, first.device)
    if len(inputs) == 1 and not keywords and isinstance(inputs[0], tuple) and all(isinstance(n, int) for n in inputs[0]):
        inputs = (ag.zeros(inputs[0], dtype=dtype, device=device),)
    recorder = _Recorder(model)
    modes = [(module, module.training) for module in model.modules()]
    random_state = default_generator.state()
    model.eval()
    try:
        with ag.no_grad():
            model(*inputs, **keywords)
    finally:
        recorder.remove()
        default_generator.set_state(random_state)
        for module, training in modes:
            module.training = training
    parameters = list(model.parameters())
    tensors = [*parameters, *model.buffers()]
    layers = tuple(row for row in recorder.rows if row is not None)
    return Summary(
        layers,
        sum(p.size for p in parameters),
        sum(p.size for p in parameters if p.requires_grad),
        sum(layer.multiply_adds or 0 for layer in layers),
        sum(t.size * t.dtype.itemsize for t in tensors),
        recorder.output_bytes,
    )


class _Recorder:
    """Hooks on every module, which write down its calls; outer modules come before inner ones."""

    def __init__(self, model: Module) -> None:
        self.rows: list[LayerSummary | None] = []
        self.output_bytes = 0
        self._open: list[int] = []  # the rows of the modules whose forward is running
        self._seen: set[int] = set()  # parameters and buffers that have been counted
        self._removers: list[Callable[[], None]] = []
        for name, module in model.named_modules():
            self._removers.append(module.register_forward_pre_hook(self._begin))
            self._removers.append(module.register_forward_hook(lambda m, args, out, name=name: self._end(name, m, args, out)))

    def remove(self) -> None:
        for remove in self._removers:
            remove()

    def _begin(self, module: Module, arguments: tuple) -> None:
        self._open.append(len(self.rows))
        self.rows.append(None)

    def _end(self, name: str, module: Module, arguments: tuple, output: Any) -> None:
        place = self._open.pop()
        outputs = _tensors(output)
        size = sum(t.size * t.dtype.itemsize for t in outputs)
        own = [p for p in module.parameters(recurse=False) if id(p) not in self._seen]
        buffers = [b for b in module.buffers(recurse=False) if id(b) not in self._seen]
        self._seen.update(map(id, (*own, *buffers)))
        self.rows[place] = LayerSummary(
            name, type(module).__name__, len(self._open), tuple(t.shape for t in outputs), sum(p.size for p in own),
            sum(p.size for p in own if p.requires_grad), sum(t.size * t.dtype.itemsize for t in (*own, *buffers)), size,
            _multiply_adds(module, arguments, outputs),
        )  # fmt: skip
        if next(module.children(), None) is None:
            self.output_bytes += size


def _multiply_adds(module: Module, arguments: tuple, outputs: list[ag.Tensor]) -> int | None:
    if isinstance(module, Linear):
        return outputs[0].size * module.in_features
    if isinstance(module, (Conv1d, Conv2d, Conv3d)):  # weight: (out, in / groups, *kernel)
        return outputs[0].size * math.prod(module.weight.shape[1:])
    if isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)):  # weight: (in, out / groups, *kernel)
        return arguments[0].size * math.prod(module.weight.shape[1:])
    matrices = any(p.ndim > 1 for p in module.parameters(recurse=False))
    return None if matrices else 0


def _tensors(output: Any) -> list[ag.Tensor]:
    if isinstance(output, ag.Tensor):
        return [output]
    parts = output.values() if isinstance(output, dict) else output if isinstance(output, (tuple, list)) else ()
    return [tensor for part in parts for tensor in _tensors(part)]


def _size(count: int) -> str:
    """A number of bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.4g} {unit}" if unit != "B" else f"{count} B"
        count /= 1024  # type: ignore[assignment]
    return f"{count:.4g} GiB"
