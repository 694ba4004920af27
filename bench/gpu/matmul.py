"""Matrix products: every precision and layout, next to PyTorch in the same one; and the rungs of `bench/ladder`."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from bench.gpu.case import Case, Work, normal, ratio, some_rows
from bench.gpu.ceilings import tf32_allowed
from bench.gpu.contest import Bench
from bench.gpu.libraries import bfloat16_bits, widened
from bench.ladder import rungs

# Ours (the storage and the argument `precision`), PyTorch's (dtype and whether tf32 is on), the relative error allowed, and
# the ratio asked for.
PRECISIONS: dict[str, tuple[str | None, str | None, str | None, bool, float, float | None]] = {
    "float32": (None, "float32", None, False, 1e-5, 0.9),
    "3xtf32": (None, "3xtf32", None, False, 1e-5, 1.2),
    "tf32": (None, "tf32", None, True, 2e-3, None),
    "bfloat16": ("bfloat16", None, "bfloat16", False, 2e-2, 0.55),
    "float16": ("float16", None, "float16", False, 3e-3, None),
}
SIDES = (512, 1024, 2048, 4096, 8192)
Shape = tuple[int, ...]
JUDGED = 1024  # the smallest size of which the ratios are asked


def cases(bench: Bench) -> list[Case]:
    """Squares of each precision, then transposed, batched, ragged and thin ones."""
    found = []

    def add(name: str, precision: str, a: Shape, b: Shape, transposed: str = "", judged: bool = False) -> None:
        make = partial(product, bench, precision, a, b, transposed, judged)
        *batch, rows, depth = a
        size = f"{f'{batch[0]} of ' if batch else ''}{rows}x{depth}x{b[-1]}"
        need = 4.0 * (np.prod(a) + np.prod(b) + np.prod(batch) * rows * b[-1]) * 2.5
        found.append(Case("matmul", f"{name}{precision}", size, make, float(need)))

    for side in bench.size(SIDES, (33,)):
        for precision in PRECISIONS:
            add("", precision, (side, side), (side, side), "", side >= JUDGED)
    side = bench.size(4096, 17)
    for transposed in ("a", "b", "ab"):
        for precision in ("float32", "3xtf32", "bfloat16"):
            add(f"{' and '.join(transposed)} transposed, ", precision, (side, side), (side, side), transposed, side >= JUDGED)
    batch, inner = bench.size((64, 512), (3, 9))
    for precision in ("float32", "bfloat16"):
        add("batched, ", precision, (batch, inner, inner), (batch, inner, inner))
    for a, b in bench.size((((4095, 4097), (4097, 4093)), ((1000, 777), (777, 1111))), (((5, 7), (7, 3)),)):
        for precision in ("float32", "3xtf32", "bfloat16"):
            add("ragged, ", precision, a, b)
    batch, wide, narrow = bench.size((128, 784, 512), (4, 9, 5))
    add("a layer, b transposed, ", "float32", (batch, wide), (wide, narrow), "b")
    add("matrix times column, ", "float32", (bench.size(8192, 6), bench.size(8192, 5)), (bench.size(8192, 5), 1))
    return found


def product(bench: Bench, precision: str, a_shape: tuple, b_shape: tuple, transposed: str, judged: bool) -> Work:
    """a @ b; the operands named in `transposed` are stored as their transposes."""
    storage, mode, torch_dtype, tf32, tolerance, target = PRECISIONS[precision]
    hosts = [normal(shape, seed=seed) for seed, shape in enumerate((a_shape, b_shape))]
    stored = [np.ascontiguousarray(h.swapaxes(-1, -2)) if name in transposed else h for name, h in zip("ab", hosts, strict=True)]
    sets = bench.sets(sum(h.nbytes for h in hosts) * (0.5 if storage else 1))
    ours = bench.rotated(sets, *stored, dtype=storage, of=["ours"])["ours"]
    theirs = bench.rotated(sets, *stored, dtype=torch_dtype, of=["torch"]).get("torch", [])

    def viewed(pair: tuple) -> list[Any]:
        return [x.swapaxes(-1, -2) if name in transposed else x for name, x in zip("ab", pair, strict=True)]

    ours, theirs = ([viewed(pair) for pair in each] for each in (ours, theirs))
    matmul, options = bench.kernels.matmul, {} if mode is None else {"precision": mode}
    contenders: dict[str, Any] = {"ours": lambda i: matmul(*ours[i], **options)}
    if theirs:
        torch = bench.torch

        def with_torch(i: int) -> Any:
            if tf32:
                with tf32_allowed(torch, True):
                    return torch.matmul(*theirs[i])
            return torch.matmul(*theirs[i])

        contenders["torch"] = with_torch
    rows, depth = some_rows(a_shape[-2], 16), a_shape[-1]

    def expected() -> np.ndarray:
        a, b = hosts
        if storage == "bfloat16":
            a, b = (widened(bfloat16_bits(h)).reshape(h.shape) for h in hosts)
        elif storage:
            a, b = (h.astype(storage) for h in hosts)
        if a.ndim > 2:
            a, b = a[-1], b[-1]
        return a[rows].astype(np.float64) @ b.astype(np.float64)

    return Work(
        contenders, expected, lambda c: (c[-1] if c.ndim > 2 else c)[rows], tolerance, depth**0.5, sets,
        operations=2.0 * np.prod(a_shape) * b_shape[-1], ceiling={"3xtf32": "tf32"}.get(precision, precision),
        targets=[ratio(target)] if judged and target else (),
        note="PyTorch: float32 without tf32; the peak is that of tf32" if precision == "3xtf32" else "",
    )  # fmt: skip


# --- the ladder -------------------------------------------------------------------------------------------------------


def ladder_cases(bench: Bench) -> list[Case]:
    """The rungs of bench/ladder."""
    side = bench.size(4096, 40)
    return [Case("ladder", rung.name, f"{side}", partial(rung_work, bench, rung, side), 12.0 * side**2 * 2.5) for rung in rungs()]


def rung_work(bench: Bench, rung: Any, side: int) -> Work:
    """One rung's product of square matrices, next to PyTorch's in the same precision."""
    precision = "tf32" if rung.units > 100 else "float32"
    work = product(bench, precision, (side, side), (side, side), "", False)
    hosts = [normal((side, side), seed=seed) for seed in range(2)]
    operands = bench.rotated(work.sets, *hosts, of=["ours"])["ours"]
    out = [bench.kernels.empty((side, side), np.float32) for _ in operands]

    def ours(i: int) -> Any:
        rung.multiply(*operands[i], out[i])
        return out[i]

    work.contenders["ours"] = ours
    work.note = rung.idea
    return work
