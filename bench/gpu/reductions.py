"""Reductions over all elements, rows and columns; row kernels forward and backward; random numbers."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from bench.cases.reduce import AXES, FUNCTIONS
from bench.cases.rows import layer_norm, log_softmax, softmax
from bench.gpu.case import Case, Work, fraction, label, normal, ratio, some_rows
from bench.gpu.contest import Bench
from bench.harness import check

Shape = tuple[int, ...]
TARGETS = (0.85, 1.3)  # of copy bandwidth, and times PyTorch
REDUCTIONS = ("sum", "max", "mean", "var")
SHAPES: list[Shape] = [(8192, 8192), (1024, 1024), (64, 1 << 20), (1 << 20, 64)]
ROW_SHAPES: list[Shape] = [(1024, 1024), (4096, 256), (128, 50257), (32768, 4096)]


def targets() -> list:
    """What reductions and row kernels are asked for."""
    return [fraction(TARGETS[0]), ratio(TARGETS[1])]


def cases(bench: Bench) -> list[Case]:
    """Sums of all shapes, the others of the first two; by shape, as arrays on the host are kept from one to the next."""
    found = []
    for number, shape in enumerate(bench.size(SHAPES, [(33, 65)])):
        for name in REDUCTIONS if number < 2 else ("sum",):
            for axis, along in AXES.items():
                need = 8.0 * shape[0] * shape[1] * 2
                make = partial(reduction, bench, name, shape, axis)
                found.append(Case("reductions", f"{name}, {along}", label(shape), make, need))
    return found


def reduction(bench: Bench, name: str, shape: Shape, axis: int | None) -> Work:
    """One reduction of a C-ordered array."""
    x = normal(shape)
    sets = bench.sets(x.nbytes)
    arrays = bench.rotated(sets, x)
    function = getattr(bench.kernels, name)
    contenders: dict[str, Any] = {"ours": lambda i: function(arrays["ours"][i][0], axis=axis)}
    if bench.torch is not None:
        with_torch = FUNCTIONS[name][1]
        contenders["torch"] = lambda i: with_torch(bench.torch, arrays["torch"][i][0], axis)
    if bench.cupy is not None:  # CuPy has NumPy's names
        with_cupy = getattr(bench.cupy, name)
        contenders["cupy"] = lambda i: with_cupy(arrays["cupy"][i][0], axis=axis)
    count = x.size if axis is None else shape[axis]
    kept = some_rows(shape[1 - (axis % 2)], 512) if axis is not None else None

    def expected() -> np.ndarray:
        if axis is None:
            return getattr(np, name)(x, dtype=np.float64) if name != "max" else x.max().astype(np.float64)
        part = x[kept] if axis == -1 else x[:, kept]
        return getattr(np, name)(part.astype(np.float64), axis=axis)

    return Work(
        contenders, expected, lambda a: a if kept is None else a[kept], 1e-5, count**0.5 if name == "sum" else 1.0, sets,
        traffic=float(x.nbytes), targets=targets(),
    )  # fmt: skip


# --- row kernels ------------------------------------------------------------------------------------------------------


def row_cases(bench: Bench) -> list[Case]:
    """Every kernel on every shape; by shape, too."""
    found = []
    for shape in bench.size(ROW_SHAPES, [(5, 70)]):
        for name, (make, arrays) in ROWS.items():
            need = 4.0 * shape[0] * shape[1] * arrays * 2
            found.append(Case("rows", name, label(shape), partial(make, bench, shape), need))
    return found


def _work(
    bench: Bench, ours: Any, torch: Any, expected: Any, shape: Shape, hosts: list[np.ndarray], moved: int, by_row: int = 1,
    **options: Any,
) -> Work:  # fmt: skip
    """A kernel of arrays of `shape`, of which it reads and writes `moved` in all; the first `by_row` hosts have its rows."""
    traffic = 4.0 * moved * shape[0] * shape[1]
    sets = bench.sets(traffic)
    arrays = bench.rotated(sets, *hosts, of=("ours", "torch"))
    contenders: dict[str, Any] = {"ours": lambda i: ours(*arrays["ours"][i])}
    if bench.torch is not None:
        contenders["torch"] = lambda i: torch(bench.torch, *arrays["torch"][i])
    rows = some_rows(shape[0])

    def reference() -> Any:
        return expected(rows, *(h[rows].astype(np.float64) for h in hosts[:by_row]), *hosts[by_row:])

    return Work(contenders, reference, lambda a: a[rows], sets=sets, traffic=traffic, targets=targets(), **options)


def softmax_forward(bench: Bench, shape: Shape) -> Work:
    k = bench.kernels
    return _work(
        bench, lambda x: k.softmax(x), lambda t, x: t.softmax(x, -1), lambda _, x: softmax(x), shape, [normal(shape)], 2,
        scale=1 / shape[1],
    )  # fmt: skip


def by_rows(function: Any, shape: Shape, seed: int) -> np.ndarray:
    """A function of the rows of random numbers: of so many rows, which the rest repeats."""
    few = (min(shape[0], 1024), shape[1])
    return np.resize(function(normal(few, seed)), shape)


def softmax_backward(bench: Bench, shape: Shape) -> Work:
    k, y = bench.kernels, by_rows(softmax, shape, 1)
    return _work(
        bench, lambda g, y: k.softmax_backward(g, y), lambda t, g, y: t.ops.aten._softmax_backward_data(g, y, -1, t.float32),
        lambda _, g, y: y * (g - (g * y).sum(-1, keepdims=True)), shape, [normal(shape), y], 3, 2, scale=1 / shape[1],
    )  # fmt: skip


def log_softmax_forward(bench: Bench, shape: Shape) -> Work:
    k = bench.kernels
    return _work(
        bench, lambda x: k.log_softmax(x), lambda t, x: t.log_softmax(x, -1), lambda _, x: log_softmax(x), shape,
        [normal(shape)], 2,
    )  # fmt: skip


def log_softmax_backward(bench: Bench, shape: Shape) -> Work:
    k, y = bench.kernels, by_rows(log_softmax, shape, 1)
    return _work(
        bench, lambda g, y: k.log_softmax_backward(g, y),
        lambda t, g, y: t.ops.aten._log_softmax_backward_data(g, y, -1, t.float32),
        lambda _, g, y: g - np.exp(y) * g.sum(-1, keepdims=True), shape, [normal(shape), y], 3, 2,
    )  # fmt: skip


def _classes(shape: Shape) -> np.ndarray:
    return np.random.default_rng(1).integers(0, shape[1], shape[0])


def cross_entropy_forward(bench: Bench, shape: Shape) -> Work:
    k, classes = bench.kernels, _classes(shape)

    def expected(rows: np.ndarray, logits: np.ndarray, _: Any) -> np.ndarray:
        return -log_softmax(logits)[np.arange(len(rows)), classes[rows]]

    return _work(
        bench, lambda x, c: k.cross_entropy(x, c)[0],
        lambda t, x, c: t.nn.functional.cross_entropy(x, c, reduction="none"), expected, shape, [normal(shape), classes], 1,
    )  # fmt: skip


def cross_entropy_backward(bench: Bench, shape: Shape) -> Work:
    """From the gradient of the losses to that of the logits; PyTorch's backward of log-softmax and selection."""
    k, classes, grad = bench.kernels, _classes(shape), normal((shape[0],), seed=2)

    rows, traffic = some_rows(shape[0]), 8.0 * shape[0] * shape[1]
    arrays = bench.rotated(bench.sets(traffic), normal(shape), grad, classes, of=("ours", "torch"))
    normalisers = [k.cross_entropy(x, c)[1] for x, _, c in arrays["ours"]]

    def ours(i: int) -> Any:
        x, g, c = arrays["ours"][i]
        return k.cross_entropy_backward(g, x, c, normalisers[i])

    contenders: dict[str, Any] = {"ours": ours}
    if bench.torch is not None:
        torch, recorded = bench.torch, []
        for x, g, c in arrays["torch"]:
            x.requires_grad_()
            recorded.append((torch.nn.functional.cross_entropy(x, c, reduction="none"), x, g))
        contenders["torch"] = lambda i: torch.autograd.grad(*recorded[i], retain_graph=True)[0]

    def expected() -> np.ndarray:
        slope = softmax(normal(shape)[rows].astype(np.float64))
        slope[np.arange(len(rows)), classes[rows]] -= 1
        return slope * grad[rows, None]

    return Work(
        contenders, expected, lambda a: a[rows], scale=1 / shape[1], sets=len(normalisers), traffic=traffic, targets=targets(),
        note="PyTorch: autograd.grad of a recorded loss",
    )  # fmt: skip


def layer_norm_forward(bench: Bench, shape: Shape) -> Work:
    k = bench.kernels
    weight, bias = normal((shape[1],), seed=3), normal((shape[1],), seed=4)

    def expected(rows: np.ndarray, x: np.ndarray, *_: Any) -> np.ndarray:
        return layer_norm(x) * weight + bias

    return _work(
        bench, lambda x, w, b: k.layer_norm(x, w, b)[0],
        lambda t, x, w, b: t.nn.functional.layer_norm(x, shape[1:], w, b), expected, shape, [normal(shape), weight, bias], 2,
    )  # fmt: skip


def layer_norm_backward(bench: Bench, shape: Shape) -> Work:
    """The gradients of input, weight and bias."""
    k, weight = bench.kernels, normal((shape[1],), seed=3)
    grad, x = normal(shape), by_rows(lambda x: x, shape, 1)
    few = x[:1024].astype(np.float64)
    mean = np.resize(few.mean(axis=1), shape[0]).astype(np.float32)
    rstd = np.resize(1 / np.sqrt(few.var(axis=1) + 1e-5), shape[0]).astype(np.float32)

    def with_torch(t: Any, g: Any, x: Any, mean: Any, rstd: Any, w: Any) -> Any:
        backward = t.ops.aten.native_layer_norm_backward
        return backward(g, x, list(shape[1:]), mean[:, None], rstd[:, None], w, w, [True, True, True])

    def expected(rows: np.ndarray, g: np.ndarray, x: np.ndarray, mean: np.ndarray, rstd: np.ndarray, w: np.ndarray) -> np.ndarray:
        y, inner = (x - mean[:, None]) * rstd[:, None], g * w
        return rstd[:, None] * (inner - inner.mean(-1, keepdims=True) - y * (inner * y).mean(-1, keepdims=True))

    return _work(
        bench, lambda g, x, m, r, w: k.layer_norm_backward(g, x, m, r, w), with_torch, expected, shape,
        [grad, x, mean, rstd, weight], 3, 4, tolerance=2e-5, scale=(1.0, shape[0] ** 0.5, shape[0] ** 0.5),
        note="gradients of input, weight and bias",
    )  # fmt: skip


# By name: what makes the work, and how many large arrays it has.
ROWS = {
    "softmax": (softmax_forward, 2),
    "softmax backward": (softmax_backward, 3),
    "log_softmax": (log_softmax_forward, 2),
    "log_softmax backward": (log_softmax_backward, 3),
    "cross-entropy": (cross_entropy_forward, 1),
    "cross-entropy backward": (cross_entropy_backward, 4),
    "layer norm": (layer_norm_forward, 2),
    "layer norm backward": (layer_norm_backward, 3),
}


# --- random numbers ---------------------------------------------------------------------------------------------------


def random_cases(bench: Bench) -> list[Case]:
    """Normal and uniform numbers, written once."""
    found = []
    for count in bench.size((1 << 26, 1 << 20), (1 << 10,)):
        for name in ("normal", "uniform"):
            found.append(Case("random", name, label((count,)), partial(drawn, bench, name, count), 8.0 * count))
    return found


def drawn(bench: Bench, name: str, count: int) -> Work:
    """Random numbers; ours are those of the CPU's generator, PyTorch's its own."""
    from kernels import cpu

    sets, numbers = bench.sets(4.0 * count), {"normal": (0.0, 1.0), "uniform": (0.0, 1.0)}[name]
    out = [bench.kernels.empty((count,), np.float32) for _ in range(sets)]
    draw = getattr(bench.kernels, name)

    def ours(i: int) -> Any:
        draw(out[i], 7, 0, *numbers)
        return out[i]

    contenders: dict[str, Any] = {"ours": ours}
    if bench.torch is not None:
        theirs = [bench.libraries["torch"].array(np.zeros(count, np.float32)) for _ in range(sets)]
        contenders["torch"] = lambda i: getattr(theirs[i], f"{name}_")()
    checked = min(count, 1 << 20)

    def expected() -> np.ndarray:
        first = np.empty(checked, np.float32)
        getattr(cpu, name)(first, 7, 0, *numbers)
        return first

    mine = bench.ours.to_host(ours(0))[:checked]
    check("ours", mine, expected(), 1e-5)
    return Work(contenders, sets=sets, traffic=4.0 * count, keep=False, compare=False, targets=[])
