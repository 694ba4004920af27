"""Elementwise kernels, chains fused by `@ag.fuse`, and optimizers."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from bench.cases.elementwise import FUNCTIONS
from bench.gpu.case import Call, Case, Work, fraction, label, normal, ratio
from bench.gpu.contest import Bench
from bench.gpu.libraries import bfloat16_bits, widened
from bench.gpu.report import Target
from bench.harness import check
from kernels import formulas

LARGE, MIDDLE, SMALL = 1 << 26, 1 << 22, 1 << 18
TARGET = 0.9  # of copy bandwidth


def cases(bench: Bench) -> list[Case]:
    """Every function, dense; and what broadcasts and strides cost."""
    found = []
    for name in ("add", "gelu", "tanh", "exp"):
        arity = FUNCTIONS[name].arity
        for count in bench.size((LARGE, MIDDLE) if name in ("add", "exp") else (LARGE,), (1 << 11,)):
            make = partial(dense, bench, name, count)
            found.append(Case("elementwise", name, label((count,)), make, 4.0 * count * 2 * (arity + 1)))
    side = bench.size(8192, 40)
    for name, make in (
        ("add, a row broadcast", row_broadcast), ("add, a column broadcast", column_broadcast),
        ("add, one transposed", transposed), ("add, bfloat16", half), ("add, odd size", odd),
    ):  # fmt: skip
        found.append(Case("elementwise", name, label((side, side)), partial(make, bench, side), 24.0 * side * side))
    return found


def sampled(array: np.ndarray) -> np.ndarray:
    """Some 16,000 elements of an array, in runs: the first, the last, and every so many in between."""
    flat = array.reshape(-1)
    if flat.size <= 1 << 14:
        return flat
    return np.concatenate([flat[: 1 << 12], flat[:: flat.size >> 13], flat[-(1 << 12) :]])


def _work(bench: Bench, name: str, operands: list[np.ndarray], view: Callable = lambda arrays: arrays, **options: Any) -> Work:
    """A function of arrays that are laid out by `view` on each library's side, NumPy's included."""
    given, formula = FUNCTIONS[name], formulas.TABLE[name]
    result = np.broadcast_shapes(*(a.shape for a in view(operands)))
    traffic = sum(a.nbytes for a in operands) + 4.0 * math.prod(result)
    sets = bench.sets(traffic)
    arrays = {library: [view(own) for own in each] for library, each in bench.rotated(sets, *operands).items()}
    apply = bench.kernels.apply
    contenders: dict[str, Any] = {"ours": lambda i: apply(formula, *arrays["ours"][i])}
    if bench.torch is not None:
        function = given.torch(bench.torch)
        contenders["torch"] = lambda i: function(*arrays["torch"][i])
    if bench.cupy is not None and given.numpy is not None:  # CuPy has NumPy's names
        cupy_function = getattr(bench.cupy, name)
        contenders["cupy"] = lambda i: cupy_function(*arrays["cupy"][i])

    def expected() -> np.ndarray:
        full = np.broadcast_arrays(*view(operands))
        return given.reference(*(sampled(a).astype(np.float64) for a in full))

    options.setdefault("targets", [fraction(TARGET)] if traffic > 1 << 28 else [])
    return Work(contenders, expected, sampled, tolerance=3e-6, sets=sets, traffic=traffic, **options)


def dense(bench: Bench, name: str, count: int) -> Work:
    """A function of contiguous arrays."""
    return _work(bench, name, [normal((count,), seed) for seed in range(FUNCTIONS[name].arity)])


def row_broadcast(bench: Bench, side: int) -> Work:
    """A matrix and a row, as for a bias."""
    return _work(bench, "add", [normal((side, side)), normal((side,), seed=1)])


def column_broadcast(bench: Bench, side: int) -> Work:
    """A matrix and a column."""
    return _work(bench, "add", [normal((side, side)), normal((side, 1), seed=1)])


def transposed(bench: Bench, side: int) -> Work:
    """A matrix and a transposed one: one of the two is read across its rows."""
    operands = [normal((side, side)), normal((side, side), seed=1)]
    return _work(bench, "add", operands, lambda arrays: [arrays[0], arrays[1].T], targets=[], note="no target: strided reads")


def odd(bench: Bench, side: int) -> Work:
    """One element more than whole vectors."""
    return _work(bench, "add", [normal((side * side + 1,), seed) for seed in range(2)])


def half(bench: Bench, side: int) -> Work:
    """bfloat16 storage: half the bytes."""
    hosts = [normal((side, side), seed) for seed in range(2)]
    traffic = 6.0 * side * side
    sets = bench.sets(traffic)
    arrays = bench.rotated(sets, *hosts, dtype="bfloat16", of=("ours", "torch"))
    contenders: dict[str, Any] = {"ours": lambda i: bench.kernels.apply(formulas.TABLE["add"], *arrays["ours"][i])}
    if bench.torch is not None:
        contenders["torch"] = lambda i: bench.torch.add(*arrays["torch"][i])

    def expected() -> np.ndarray:
        return np.add(*(widened(bfloat16_bits(sampled(a))).astype(np.float64) for a in hosts))

    return Work(contenders, expected, sampled, 1 / 256, sets=sets, traffic=traffic, targets=[fraction(TARGET)])


# --- fused chains -----------------------------------------------------------------------------------------------------


def chain(m: Any, x: Any, length: int) -> Any:
    """The first `length` of eight operations, of `autograd`, PyTorch or NumPy: m has tanh, exp, relu and sigmoid."""
    steps = [
        lambda v: v * 0.5, lambda v: m.tanh(v), lambda v: v + 1.0, lambda v: m.relu(v),
        lambda v: v - 1.5, lambda v: m.exp(v), lambda v: -v, lambda v: m.sigmoid(v),
    ]  # fmt: skip
    for step in steps[:length]:
        x = step(x)
    return x


class WithNumpy:
    """The functions of `chain` on NumPy arrays."""

    tanh, exp = staticmethod(np.tanh), staticmethod(np.exp)
    relu = staticmethod(lambda x: np.maximum(x, 0))
    sigmoid = staticmethod(lambda x: 1 / (1 + np.exp(-x)))


def fuse_cases(bench: Bench) -> list[Case]:
    """Chains of 2, 4 and 8 operations, and one with its derivative."""
    count = bench.size(LARGE, 1 << 11)
    found = [
        Case("fuse", f"a chain of {k}", label((count,)), partial(fused, bench, k, count), 4.0 * count * 6) for k in (2, 4, 8)
    ]
    found.append(
        Case("fuse", "a chain of 4, and its derivative", label((count,)), partial(fused_backward, bench, count), 48.0 * count)
    )
    return found


def _fused_function(bench: Bench, k: int) -> Callable:
    ag = bench.ag

    @ag.fuse
    def together(x):
        return chain(ag, x, k)

    return together


def fused(bench: Bench, k: int, count: int) -> Work:
    """One kernel of ours, k of PyTorch's."""
    host = normal((count,))
    sets = bench.sets(2 * host.nbytes)
    tensors = [bench.ours.tensor(host) for _ in range(sets)]
    together = _fused_function(bench, k)
    contenders: dict[str, Any] = {"ours": lambda i: together(tensors[i])}
    if bench.torch is not None:
        theirs = bench.rotated(sets, host, of=["torch"])["torch"]
        contenders["torch"] = lambda i: chain(bench.torch, theirs[i][0], k)
    return Work(
        contenders, lambda: chain(WithNumpy, sampled(host).astype(np.float64), k), sampled, 5e-6, sets=sets,
        traffic=2.0 * host.nbytes, targets=[ratio(0.8 * k)], note=f"{launches(lambda: contenders['ours'](0))} launch",
    )  # fmt: skip


def fused_backward(bench: Bench, count: int) -> Work:
    """Forward and backward: two kernels of ours."""
    host, upstream = normal((count,)), normal((count,), seed=1)
    sets, k = bench.sets(5 * host.nbytes), 4
    leaves = [(bench.ours.tensor(host, True), bench.ours.tensor(upstream)) for _ in range(sets)]
    together = _fused_function(bench, k)

    def ours(i: int) -> Any:
        x, g = leaves[i]
        return bench.ag.gradients([together(x)], [x], [g])[0]

    contenders: dict[str, Any] = {"ours": ours}
    if bench.torch is not None:
        theirs = bench.rotated(sets, host, upstream, of=["torch"])["torch"]
        for x, _ in theirs:
            x.requires_grad_()

        def with_torch(i: int) -> Any:
            x, g = theirs[i]
            return bench.torch.autograd.grad(chain(bench.torch, x, k), x, g)[0]

        contenders["torch"] = with_torch

    def expected() -> np.ndarray:
        t = np.tanh(sampled(host).astype(np.float64) * 0.5)
        return sampled(upstream) * 0.5 * (1 - t * t)

    note = f"{launches(lambda: ours(0))} launches; forward and backward"
    return Work(contenders, expected, sampled, 5e-6, sets=sets, traffic=5.0 * host.nbytes, note=note)


def launches(run: Callable[[], Any]) -> int:
    """How many kernels of ours a function starts, when it is called for the second time."""
    from kernels import observe

    run()
    seen: list[Any] = []
    with observe(seen.append):
        run()
    return len(seen)


# --- optimizers -------------------------------------------------------------------------------------------------------

ADAM = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8)
TIMED = 1e-9  # a learning rate at which parameters stay what they are


def optimizer_cases(bench: Bench) -> list[Case]:
    """Adam on one large parameter, and on many small ones."""
    count = bench.size(LARGE, 1 << 11)
    many = bench.size([(512, 512), (512,)] * 50 + [(128, 128), (128,)] * 100, [(5, 7), (3,), (65,)])
    total = sum(map(math.prod, many))
    return [
        Case(
            "optimizers",
            "Adam, one parameter",
            label((count,)),
            partial(adam, bench, [(count,)], [fraction(TARGET)]),
            20.0 * count,
        ),
        Case("optimizers", f"Adam, {len(many)} parameters", f"{total:,} in all", partial(adam, bench, many, []), 20.0 * total),
    ]


def adam(bench: Bench, shapes: list[tuple[int, ...]], targets: list[Target]) -> Work:
    """A step of Adam: four arrays read and three written per parameter; checked after three steps of full size."""
    values = [normal(shape, seed=0) for shape in shapes]
    grads = [normal(shape, seed=1) for shape in shapes]
    from nn.optim import Adam

    def ours(lr: float) -> Call:
        parameters = [bench.ours.tensor(v, True) for v in values]
        for p, g in zip(parameters, grads, strict=True):
            p.grad = bench.ours.tensor(g)
        return stepping(Adam(parameters, **{**ADAM, "lr": lr}), parameters)

    def theirs(lr: float, **options: Any) -> Call:
        parameters = [bench.libraries["torch"].array(v).requires_grad_() for v in values]
        for p, g in zip(parameters, grads, strict=True):
            p.grad = bench.libraries["torch"].array(g)
        return stepping(bench.torch.optim.Adam(parameters, **{**ADAM, "lr": lr}, **options), parameters)

    makers: dict[str, Callable[[float], Call]] = {"ours": ours}
    if bench.torch is not None:
        makers["torch"] = theirs
        if not bench.rehearsal:
            makers["torch fused"] = partial(theirs, fused=True)
    expected = tuple(sampled(adam_reference(v, g)) for v, g in zip(values[-2:], grads[-2:], strict=True))
    for name, make in makers.items():  # three real steps, on parameters of their own
        step = make(ADAM["lr"])  # type: ignore[arg-type]
        for _ in range(3):
            result = step(0)
        for got, right in zip(result[-2:], expected, strict=True):
            check(name, sampled(bench.library_of(name).to_host(got)), right, 1e-5)
        del step, result
    contenders = {name: make(TIMED) for name, make in makers.items()}
    count = launches(lambda: contenders["ours"](0))
    traffic = 7.0 * sum(v.nbytes for v in values)
    shown = {name: (lambda i, c=c: c(i)[-1]) for name, c in contenders.items()}
    note = f"{count} launch{'es' if count > 1 else ''}"
    return Work(shown, traffic=traffic, keep=False, tolerance=1e-4, targets=targets, note=note)


def stepping(optimizer: Any, parameters: list[Any]) -> Call:
    """A step, which gives the parameters."""

    def step(_: int) -> Any:
        optimizer.step()
        return parameters

    return step


def adam_reference(values: np.ndarray, grads: np.ndarray, steps: int = 3) -> np.ndarray:
    """The parameter after some steps with the same gradient, in float64."""
    p, g = values.astype(np.float64), grads.astype(np.float64)
    m, v = np.zeros_like(p), np.zeros_like(p)
    for step in range(1, steps + 1):
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        p = p - ADAM["lr"] * m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.999**step)) + ADAM["eps"])  # type: ignore[operator]
    return p
