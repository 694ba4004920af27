"""What is left when the arithmetic is nothing: launches, allocations, and copies between host and device."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from bench.gpu.case import Case, Work, normal, ratio
from bench.gpu.contest import Bench
from kernels import formulas

SIZE = 16
CHAIN = 100  # operations
REPEATED = 100  # calls within one, so that waiting for the device does not count


def cases(bench: Bench) -> list[Case]:
    """Operations on 16 floats."""
    size = str(SIZE)
    return [
        Case("overhead", "x * y, kernel alone", size, partial(kernel_alone, bench)),
        Case("overhead", "x * y, recorded", size, partial(recorded, bench, "multiply")),
        Case("overhead", "exp, recorded", size, partial(recorded, bench, "exp")),
        Case("overhead", "sum, recorded", size, partial(recorded, bench, "sum")),
        Case("overhead", "forward + backward per operation", f"{CHAIN} x {SIZE}", partial(chain, bench)),
    ]


def repeated(bench: Bench, operation: Callable[[], Any]) -> Callable[[int], Any]:
    """The operation many times over; the last result."""

    def run(_: int) -> Any:
        for _ in range(count):
            result = operation()
        return result

    count = bench.size(REPEATED, 2)
    return run


def kernel_alone(bench: Bench) -> Work:
    """A product of two arrays, without an engine around it; PyTorch's of tensors that record nothing."""
    hosts = normal((SIZE,)), normal((SIZE,), seed=1)
    arrays = bench.rotated(1, *hosts)
    contenders = {"ours": repeated(bench, partial(bench.kernels.apply, formulas.TABLE["multiply"], *arrays["ours"][0]))}
    if bench.torch is not None:
        contenders["torch"] = repeated(bench, partial(bench.torch.mul, *arrays["torch"][0]))
    if bench.cupy is not None:
        contenders["cupy"] = repeated(bench, partial(bench.cupy.multiply, *arrays["cupy"][0]))
    return Work(contenders, lambda: np.multiply(*(h.astype(np.float64) for h in hosts)), wall=True, per_call=REPEATED)


def recorded(bench: Bench, name: str) -> Work:
    """An operation whose operand requires grad."""
    hosts = normal((SIZE,)), normal((SIZE,), seed=1)
    x, y = bench.ours.tensor(hosts[0], True), bench.ours.tensor(hosts[1])
    operands = {"multiply": 2}.get(name, 1)
    reference = {"multiply": np.multiply, "exp": np.exp, "sum": np.sum}[name]
    contenders = {"ours": repeated(bench, partial(getattr(bench.ag, name), *(x, y)[:operands]))}
    if bench.torch is not None:
        u, v = bench.rotated(1, *hosts, of=["torch"])["torch"][0]
        contenders["torch"] = repeated(bench, partial(getattr(bench.torch, name), *(u.requires_grad_(), v)[:operands]))
    return Work(
        contenders, lambda: reference(*(h.astype(np.float64) for h in hosts[:operands])), wall=True, per_call=REPEATED,
        targets=[ratio(1.0)],
    )  # fmt: skip


def chain(bench: Bench) -> Work:
    """Forward and backward, per operation: y = y * a + a fifty times, then y.sum().backward()."""
    host, factors = normal((SIZE,)), normal((SIZE,), seed=1)
    length = bench.size(CHAIN, 4) // 2

    def forward_and_backward(x: Any, a: Any) -> Callable[[int], Any]:
        def run(_: int) -> Any:
            x.grad = None
            y = x
            for _ in range(length):
                y = y * a + a
            y.sum().backward()
            return x.grad

        return run

    contenders = {"ours": forward_and_backward(bench.ours.tensor(host, True), bench.ours.tensor(factors))}
    if bench.torch is not None:
        x, a = bench.rotated(1, host, factors, of=["torch"])["torch"][0]
        contenders["torch"] = forward_and_backward(x.requires_grad_(), a)
    return Work(
        contenders, lambda: factors.astype(np.float64) ** length, tolerance=1e-4, wall=True, per_call=CHAIN,
        targets=[ratio(1.0)], keep=False,
    )  # fmt: skip


# --- memory -----------------------------------------------------------------------------------------------------------


def memory_cases(bench: Bench) -> list[Case]:
    """Allocations that come from the cache, and copies to and from pageable memory."""
    found = []
    for nbytes in (1 << 12, 1 << 20, 1 << 26):
        text = f"{nbytes >> 10} KiB" if nbytes < 1 << 20 else f"{nbytes >> 20} MiB"
        found.append(Case("memory", "allocate and give back", text, partial(allocation, bench, nbytes), 2.0 * nbytes))
    for nbytes in bench.size((1 << 12, 1 << 22, 1 << 28), (1 << 12,)):
        text = f"{nbytes >> 10} KiB" if nbytes < 1 << 20 else f"{nbytes >> 20} MiB"
        found.append(Case("memory", "host to device", text, partial(to_device, bench, nbytes), 3.0 * nbytes))
        found.append(Case("memory", "device to host", text, partial(to_host, bench, nbytes), 3.0 * nbytes))
    return found


def allocation(bench: Bench, nbytes: int) -> Work:
    """Uninitialised memory, again and again of one size."""
    shape = (nbytes // 4,)

    def ours() -> None:
        bench.kernels.empty(shape, np.float32)

    contenders = {"ours": repeated(bench, ours)}
    if bench.torch is not None:
        torch, device = bench.torch, bench.libraries["torch"].device  # type: ignore[attr-defined]

        def with_torch() -> None:
            torch.empty(shape, dtype=torch.float32, device=device)

        contenders["torch"] = repeated(bench, with_torch)
    if bench.cupy is not None:

        def with_cupy() -> None:
            bench.cupy.empty(shape, np.float32)

        contenders["cupy"] = repeated(bench, with_cupy)
    return Work(contenders, wall=True, per_call=REPEATED, keep=False, unchecked=True)


def to_device(bench: Bench, nbytes: int) -> Work:
    """A NumPy array to the device, until it is there."""
    host = normal((nbytes // 4,))
    contenders: dict[str, Any] = {}
    for name, library in bench.libraries.items():
        contenders[name] = lambda _, library=library: library.array(host)
    return Work(contenders, lambda: host.astype(np.float64), wall=True, traffic=float(nbytes), keep=False, copy=False)


def to_host(bench: Bench, nbytes: int) -> Work:
    """From the device into a new NumPy array."""
    host = normal((nbytes // 4,))
    contenders: dict[str, Any] = {}
    for name, library in bench.libraries.items():
        array = library.array(host)
        contenders[name] = lambda _, library=library, array=array: library.to_host(array)
    return Work(contenders, lambda: host.astype(np.float64), wall=True, traffic=float(nbytes), keep=False, copy=False)
