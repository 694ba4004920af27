"""What this GPU does at most: bytes copied by our kernel and by the driver, and PyTorch's matrix products by precision."""

from __future__ import annotations

from functools import partial

import numpy as np

from bench.gpu.case import Case, Work, normal
from bench.gpu.contest import Bench
from bench.gpu.report import Row

COPIES = tuple(1 << power for power in range(21, 32))  # all that `Bench.copy_rate` asks for
# What PyTorch calls the operands, and whether its tf32 mode is on.
PRECISIONS = {"float32": (None, False), "tf32": (None, True), "bfloat16": ("bfloat16", False), "float16": ("float16", False)}
SIDE = 8192


def cases(bench: Bench) -> list[Case]:
    """Copies by size, then matrix products by precision."""
    sizes = bench.size(COPIES, COPIES[:1])
    found = [Case("ceilings", "copy", f"{size >> 20} MiB", partial(copy_rows, bench, size), 3.0 * size) for size in sizes]
    side = bench.size(SIDE, 8)
    for precision in PRECISIONS if bench.torch is not None else ():
        make = partial(matmul_rows, bench, precision, side)
        found.append(Case("ceilings", f"torch.matmul, {precision}", str(side), make, 12.0 * side**2))
    return found


def copy_rows(bench: Bench, size: int) -> list[Row]:
    """Our copying kernel and the driver's."""
    rows = []
    for way, found in bench.copies(size).items():
        name = {"kernel": "copy, our kernel", "driver": "copy, cuMemcpy on the device"}[way]
        row = Row("ceilings", name, f"{size >> 20} MiB", times={"ours": found["times"]})
        row.unit, row.rate = "GB/s", found["rate"]
        rows.append(row)
    return rows


def matmul_rows(bench: Bench, precision: str, side: int) -> list[Row]:
    """PyTorch's rate, which is the measure for ours in that precision."""
    rate, times = matmul_rate(bench, precision, side)
    row = Row("ceilings", f"torch.matmul, {precision}", f"{side}x{side}x{side}", times={"ours": times})
    row.unit, row.rate, row.note = "TFLOP/s", rate, "PyTorch's time"
    return [row]


def matmul_rate(bench: Bench, precision: str, side: int) -> tuple[float, dict]:
    """Operations per second of PyTorch's product of random matrices (zeros would be faster), and the times."""
    dtype, tf32 = PRECISIONS[precision]
    torch = bench.torch
    operands = bench.rotated(2, normal((side, side)), normal((side, side), seed=1), dtype=dtype, of=["torch"])["torch"]
    rows = np.arange(min(4, side))

    def reference() -> np.ndarray:
        a, b = (normal((side, side), seed=s).astype(np.float64) for s in (0, 1))
        return a[rows] @ b

    tolerance = {"float32": 1e-5, "tf32": 2e-3, "bfloat16": 2e-2, "float16": 3e-3}[precision]
    work = Work(
        {"torch": lambda i: torch.matmul(*operands[i])}, reference, lambda c: c[rows], tolerance, side**0.5, sets=2, compare=False
    )  # fmt: skip
    with tf32_allowed(torch, tf32):
        samples = bench.sample(work, 0.5)["torch"]
    rate = 2.0 * side**3 / min(samples.device)
    bench.matmul_rates[precision] = max(rate, bench.matmul_rates.get(precision, 0.0))
    return rate, samples.as_dict()


class tf32_allowed:
    """Whether PyTorch's float32 products use tf32, inside the block."""

    def __init__(self, torch, on: bool) -> None:
        self.settings, self.on = torch.backends.cuda.matmul, on

    def __enter__(self) -> None:
        self.before, self.settings.allow_tf32 = self.settings.allow_tf32, self.on

    def __exit__(self, *error: object) -> None:
        self.settings.allow_tf32 = self.before
