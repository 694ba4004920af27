"""Whether the classes of `nn` compute what PyTorch's do: `python -m bench.torch_parity` prints a row for each.

Layers and losses get PyTorch's weights through the state dict; outputs, the gradients of inputs and those of parameters are
compared, relative to the largest element, in float32 and float64. Optimizers take 20 steps with the same gradients, schedules
30 steps. It needs PyTorch; a class that is not there yet is passed over and counted.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import autograd as ag
import nn

LIMITS = {"float32": 1e-5, "float64": 1e-10}
# PyTorch keeps NAdam's product of momenta in float32, and so its Hardsigmoid the factor 1/6, whatever the operands are.
IN_FLOAT64 = {"optim.NAdam": 1e-8, "Hardsigmoid": 1e-7}
_REFERENCE = Path(__file__).parents[1] / "tests" / "nn" / "reference"
_ROWS = {"axis": "dim"}  # what we call differently

# The class, its arguments, and its inputs: shapes of normal numbers, or ("classes", shape, number) for integers.
LAYERS: list[tuple[str, dict[str, Any], list[Any]]] = [
    ("Linear", {"in_features": 5, "out_features": 3}, [(4, 5)]),
    ("Bilinear", {"in1_features": 5, "in2_features": 4, "out_features": 3}, [(6, 5), (6, 4)]),
    ("Identity", {}, [(4, 5)]),
    ("Flatten", {}, [(4, 5, 2)]),
    ("Conv1d", {"in_channels": 4, "out_channels": 6, "kernel_size": 3, "stride": 2, "padding": 1, "groups": 2}, [(2, 4, 9)]),
    ("Conv2d", {"in_channels": 4, "out_channels": 6, "kernel_size": 3, "padding": 1}, [(2, 4, 7, 6)]),
    ("Conv2d", {"in_channels": 4, "out_channels": 4, "kernel_size": (3, 2), "dilation": 2, "groups": 4}, [(2, 4, 9, 8)]),
    ("Conv2d", {"in_channels": 2, "out_channels": 3, "kernel_size": 3, "padding": "same", "padding_mode": "reflect"},
        [(2, 2, 6, 5)]),
    ("Conv3d", {"in_channels": 2, "out_channels": 3, "kernel_size": 2}, [(2, 2, 4, 5, 3)]),
    ("ConvTranspose1d", {"in_channels": 4, "out_channels": 3, "kernel_size": 3, "stride": 2, "output_padding": 1}, [(2, 4, 5)]),
    ("ConvTranspose2d", {"in_channels": 4, "out_channels": 6, "kernel_size": 3, "stride": 2, "padding": 1, "groups": 2},
        [(2, 4, 5, 4)]),
    ("MaxPool1d", {"kernel_size": 2}, [(2, 3, 8)]),
    ("MaxPool2d", {"kernel_size": 3, "stride": 2, "padding": 1}, [(2, 3, 8, 7)]),
    ("AvgPool1d", {"kernel_size": 3, "stride": 2}, [(2, 3, 8)]),
    ("AvgPool2d", {"kernel_size": 2, "ceil_mode": True}, [(2, 3, 7, 5)]),
    ("AdaptiveAvgPool1d", {"output_size": 3}, [(2, 3, 8)]),
    ("AdaptiveAvgPool2d", {"output_size": (3, 2)}, [(2, 3, 7, 5)]),
    ("AdaptiveMaxPool1d", {"output_size": 3}, [(2, 3, 8)]),
    ("AdaptiveMaxPool2d", {"output_size": (3, 2)}, [(2, 3, 7, 5)]),
    ("LPPool2d", {"norm_type": 2, "kernel_size": 2}, [(2, 3, 6, 4)]),
    ("BatchNorm1d", {"num_features": 4}, [(6, 4)]),
    ("BatchNorm2d", {"num_features": 4}, [(3, 4, 5, 2)]),
    ("LayerNorm", {"normalized_shape": 6}, [(3, 4, 6)]),
    ("RMSNorm", {"normalized_shape": 6, "eps": 1e-5}, [(3, 4, 6)]),
    ("GroupNorm", {"num_groups": 2, "num_channels": 6}, [(3, 6, 5)]),
    ("InstanceNorm1d", {"num_features": 4, "affine": True}, [(3, 4, 7)]),
    ("InstanceNorm2d", {"num_features": 4}, [(3, 4, 5, 2)]),
    ("Embedding", {"num_embeddings": 7, "embedding_dim": 3, "padding_idx": 1}, [("classes", (4, 5), 7)]),
    ("EmbeddingBag", {"num_embeddings": 7, "embedding_dim": 3}, [("classes", (4, 5), 7)]),
    ("PixelShuffle", {"upscale_factor": 2}, [(2, 8, 3, 4)]),
    ("Upsample", {"scale_factor": 2}, [(2, 3, 4, 5)]),
    ("Upsample", {"size": (7, 9), "mode": "bilinear"}, [(2, 3, 4, 5)]),
    ("ReflectionPad2d", {"padding": 1}, [(2, 3, 4, 5)]),
    ("ReplicationPad1d", {"padding": (1, 2)}, [(2, 3, 4)]),
    ("Unfold", {"kernel_size": 2, "stride": 2}, [(2, 3, 4, 6)]),
    ("Fold", {"output_size": (4, 6), "kernel_size": 2, "stride": 2}, [(2, 12, 6)]),
    ("RNN", {"input_size": 3, "hidden_size": 4, "num_layers": 2, "bidirectional": True}, [(5, 2, 3)]),
    ("LSTM", {"input_size": 3, "hidden_size": 4, "num_layers": 2, "batch_first": True}, [(2, 5, 3)]),
    ("GRU", {"input_size": 3, "hidden_size": 4, "bidirectional": True}, [(5, 2, 3)]),
    ("RNNCell", {"input_size": 3, "hidden_size": 4}, [(2, 3)]),
    ("LSTMCell", {"input_size": 3, "hidden_size": 4}, [(2, 3)]),
    ("GRUCell", {"input_size": 3, "hidden_size": 4}, [(2, 3)]),
    ("MultiheadAttention", {"embed_dim": 8, "num_heads": 2, "batch_first": True}, [(2, 5, 8), (2, 6, 8), (2, 6, 8)]),
    ("TransformerEncoderLayer", {"d_model": 8, "nhead": 2, "dim_feedforward": 16, "dropout": 0.0, "batch_first": True},
        [(2, 5, 8)]),
    ("TransformerDecoderLayer", {"d_model": 8, "nhead": 2, "dim_feedforward": 16, "dropout": 0.0, "batch_first": True},
        [(2, 5, 8), (2, 6, 8)]),
    *((name, {}, [(4, 6)]) for name in (
        "ReLU ReLU6 SELU SiLU Mish Hardswish Hardsigmoid Tanh Sigmoid LogSigmoid Softsign Tanhshrink GELU LeakyReLU PReLU ELU "
        "CELU Softplus Hardtanh Hardshrink Softshrink GLU").split()),
    ("Threshold", {"threshold": 0.2, "value": -1.0}, [(4, 6)]),
    ("RReLU", {"lower": 0.3, "upper": 0.3}, [(4, 6)]),
    ("Softmax2d", {}, [(2, 3, 4, 5)]),
    *((name, {"axis": 1}, [(4, 6)]) for name in ("Softmax", "LogSoftmax", "Softmin")),
    *((name, {}, [(4, 6), (4, 6)]) for name in ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss", "BCEWithLogitsLoss")),
    ("CrossEntropyLoss", {"label_smoothing": 0.1}, [(4, 6), ("classes", (4,), 6)]),
]  # fmt: skip


def _load(name: str) -> Any:
    """A file of cases that the tests use, too."""
    spec = importlib.util.spec_from_file_location(f"reference_{name}", _REFERENCE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def _difference(ours: Any, theirs: Any) -> float:
    """The largest difference, in parts of the largest element."""
    ours, theirs = (np.asarray(x, dtype=np.float64) for x in (ours, theirs))
    if ours.shape != theirs.shape:
        return float("inf")
    return float(np.abs(ours - theirs).max(initial=0) / max(np.abs(theirs).max(initial=0), 1e-30))


def _numbers(shapes: list[Any], dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, s[2], s[1]) if s and s[0] == "classes" else rng.normal(size=s).astype(dtype) for s in shapes
    ]


def _outputs(result: Any) -> list[Any]:
    """The floats among the results, however they are nested."""
    if isinstance(result, (tuple, list)):
        return [x for part in result for x in _outputs(part)]
    return [] if result is None else [result]


def _run(module: Any, make: Any, arrays: list[np.ndarray], tensors: Any) -> dict[str, Any]:
    """Outputs and gradients of a module, as arrays by name."""
    inputs = [make(a) for a in arrays]
    for x, a in zip(inputs, arrays, strict=True):
        if a.dtype.kind == "f":
            x.requires_grad_()
    outputs = _outputs(module(*inputs))
    values = [out.detach().numpy() for out in outputs]
    slopes = [np.cos(np.arange(v.size)).reshape(v.shape).astype(v.dtype) for v in values]
    sum((out * make(slope)).sum() for out, slope in zip(outputs, slopes, strict=True)).backward()
    found: dict[str, Any] = {f"output {k}": v for k, v in enumerate(values)}
    found |= {f"input {k}": x.grad.numpy() for k, (x, a) in enumerate(zip(inputs, arrays, strict=True)) if a.dtype.kind == "f"}
    return found | {name: p.grad.numpy() for name, p in tensors(module) if p.grad is not None}


def layer(name: str, options: dict[str, Any], shapes: list[Any], dtype: str) -> float:
    """How far a layer's or loss's results are from PyTorch's."""
    import torch

    theirs = getattr(torch.nn, name)(**{_ROWS.get(k, k): v for k, v in options.items()}).to(getattr(torch, dtype))
    ours = getattr(nn, name)(**options).to(dtype)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    arrays = _numbers(shapes, dtype)
    if name == "BCEWithLogitsLoss":
        arrays[1] = (arrays[1] > 0).astype(dtype)
    got, expected = (
        _run(module, make, arrays, lambda m: m.named_parameters())
        for module, make in ((ours, ag.tensor), (theirs, torch.tensor))
    )
    if got.keys() != expected.keys():
        return float("inf")
    return max(_difference(got[key], expected[key]) for key in expected)


def loss(case: tuple, dtype: str) -> float:
    """How far a loss with several operands is from PyTorch's."""
    import torch

    name, options, operands, others = case
    found = []
    for module, make in ((nn, ag.tensor), (torch.nn, torch.tensor)):
        def own(x: Any, make: Any = make) -> Any:
            return make(x.astype(dtype) if x.dtype.kind == "f" else x) if isinstance(x, np.ndarray) else x

        function = getattr(module, name)(**{k: own(v) for k, v in options.items()})
        given = [make(o.astype(dtype)).requires_grad_() for o in operands]
        rest = [own(o) if module is nn else torch.tensor(o) if isinstance(o, list) else own(o) for o in others]
        scores = [(ag.log_softmax(g, -1) if module is nn else g.log_softmax(-1)) if name == "CTCLoss" else g for g in given]
        out = function(*scores, *rest)
        out.backward()
        found.append([out.detach().numpy(), *(g.grad.numpy() for g in given)])
    return max(_difference(a, b) for a, b in zip(*found, strict=True))


def optimizer(case: tuple, dtype: str) -> float:
    """How far parameters are from PyTorch's after 20 steps."""
    import torch

    name, options = case
    start, gradients = _load("optimizers").data(dtype)
    ours, theirs = nn.Parameter(ag.tensor(start)), torch.nn.Parameter(torch.tensor(start))
    mine, other = getattr(nn.optim, name)([ours], **options), getattr(torch.optim, name)([theirs], **options)
    for g in gradients:
        ours.grad, theirs.grad = ag.tensor(g), torch.tensor(g)
        mine.step()
        other.step()
    return _difference(ours.detach().numpy(), theirs.detach().numpy())


def schedule(case: tuple, dtype: str) -> float:
    """How far learning rates and momenta are from PyTorch's."""
    import torch

    make, steps = case
    found = []
    for home, one, optim in ((nn, ag.ones(1), nn.optim), (torch.nn, torch.ones(1), torch.optim)):
        groups = [{"params": [home.Parameter(one.clone())]}, {"params": [home.Parameter(one.clone())], "lr": 0.3}]
        sgd = optim.SGD(groups, lr=1.0, momentum=0.5)
        found.append(_load("optimizers").rates(optim.lr_scheduler, sgd, make, steps))
    return _difference(*found)


def rows() -> Iterator[tuple[str, str, Any]]:
    """(what it is called, the class's name, a function from the dtype to the difference)."""
    for name, options, shapes in LAYERS:
        case = (name, options, shapes)
        yield f"{name}({', '.join(f'{k}={v}' for k, v in options.items())})", name, lambda d, case=case: layer(*case, d)
    for case in _load("losses").CASES:
        yield f"{case[0]}({', '.join(case[1])})", case[0], lambda d, case=case: loss(case, d)
    for case in _load("optimizers").OPTIMIZERS:
        yield f"optim.{case[0]}({', '.join(case[1])})", f"optim.{case[0]}", lambda d, case=case: optimizer(case, d)
    for name, case in _load("optimizers").SCHEDULES.items():
        yield f"lr_scheduler.{name}", "optim.lr_scheduler", lambda d, case=case: schedule(case, d)


def main() -> int:
    """Print the table; the exit status is 1 if a class differs."""
    parser = argparse.ArgumentParser(prog="python -m bench.torch_parity", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], metavar="CLASS", help="the classes to compare, as Conv2d or optim.Adam")
    only = set(parser.parse_args().only)
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed, so there is nothing to compare with: pip install torch")
        return 0
    torch.manual_seed(0)
    failed = missing = 0
    for text, name, compare in rows():
        if only and name not in only:
            continue
        home: Any = nn
        for part in name.split("."):
            home = getattr(home, part, None)
        if home is None:
            missing += 1
            print(f"{'not there':>24}  {text}")
            continue
        found = []
        for dtype, limit in LIMITS.items():
            limit = IN_FLOAT64.get(name, limit) if dtype == "float64" else limit
            try:
                difference = compare(dtype)
            except Exception as error:  # a row that fails must not hide the others
                difference, text = float("nan"), f"{text}: {type(error).__name__}: {error}"
            found.append(difference)
            failed += not difference <= limit
        print("  ".join(f"{d:11.1e}" for d in found), "", text[:160])
    dtypes = " and ".join(LIMITS)
    print(f"{failed} differ, {missing} are not there; relative differences in {dtypes}; PyTorch {torch.__version__}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
