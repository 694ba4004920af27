"""The rungs in order, checked and timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Rung:
    """A step of the ladder: `multiply(a, b, out)`, and how far from the exact product it may be, in float32's last places."""

    name: str
    idea: str
    multiply: Callable[[Any, Any, Any], None]
    units: float


def rungs() -> list[Rung]:
    """All of them, slowest first."""
    from bench.ladder import naive, register_tile, tensor_cores, tile

    return [
        Rung("naive", "a thread per result", naive.multiply, 2),
        Rung("tile", "tiles in shared memory", tile.multiply, 2),
        Rung("register tile", "8x8 results per thread", register_tile.multiply, 2),
        Rung("tensor cores, 3xtf32", "matrix instructions, operands split", tensor_cores.multiply, 8),
        Rung("tensor cores, tf32", "matrix instructions, 10 bits", tensor_cores.multiply_rough, 2.0**14),
    ]


def check(rung: Rung, rows: int, columns: int, depth: int) -> float:
    """Multiply random matrices and compare with float64; gives the largest error in float32's last places.

    Raises:
        AssertionError: it is larger than the rung's bound, (depth + 2) units of |a| @ |b|.
    """
    from kernels.cuda.array import empty, from_numpy

    generator = np.random.default_rng(0)
    a, b = (generator.standard_normal(shape).astype(np.float32) for shape in ((rows, depth), (depth, columns)))
    out = empty((rows, columns), np.float32)
    rung.multiply(from_numpy(a), from_numpy(b), out)
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    error = np.abs(out.numpy() - wide_a @ wide_b) / (np.abs(wide_a) @ np.abs(wide_b)) * 2.0**23
    worst = float(error.max())
    assert worst <= rung.units * (depth + 2), f"{rung.name}: {worst:.1f} units in the last place"
    return worst


def measure(rung: Rung, size: int, rounds: int = 10) -> float:
    """Floating-point operations per second for square matrices: the best of some rounds, after one to warm up."""
    from kernels.cuda import runtime
    from kernels.cuda.array import empty, from_numpy

    generator = np.random.default_rng(0)
    a, b = (from_numpy(generator.standard_normal((size, size), np.float32)) for _ in range(2))
    out = empty((size, size), np.float32)
    here = runtime.current()
    rung.multiply(a, b, out)
    here.synchronize(0)
    return 2 * size**3 / min(here.timed(0, lambda: rung.multiply(a, b, out)) for _ in range(rounds))
