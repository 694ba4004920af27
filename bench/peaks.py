"""What this machine can do at most: multiply-adds per second, and bytes copied per second.

They take their turns in every contest, so that they meet the same noise as the work they are the measure for; and as
noise only ever hides speed, a peak is the highest rate that was seen in the process.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cache

import numpy as np

from kernels import cpu, formulas
from kernels.cpu.compiler import kernel

_CHAIN = 16  # multiply-adds per element of `multiply_add_chain`
_BLOCK = 4096  # elements of a work item
_BLOCKS = 24  # per thread: together they stay in the second-level cache
_SMALLEST_COPY, _LARGEST_COPY = 1 << 18, 1 << 27  # bytes read and written together

_highest: dict[Hashable, float] = {}


@kernel
def multiply_add_chain(low: "int64", high: "int64", x: "T*", f: "T", a: "T"):  # noqa: F821
    """Sixteen multiply-adds for each element, one after the other; the elements are independent and fill the vectors."""
    for element in range(low * 4096, high * 4096):
        value = x[element]
        value = (((value * f + a) * f + a) * f + a) * f + a
        value = (((value * f + a) * f + a) * f + a) * f + a
        value = (((value * f + a) * f + a) * f + a) * f + a
        x[element] = (((value * f + a) * f + a) * f + a) * f + a


@dataclass(frozen=True)
class Peak:
    """Work whose rate is a limit of the machine: one `run()` does `amount` operations, or moves as many bytes."""

    key: Hashable
    run: Callable[[], None]
    amount: float

    def risen(self, rate: float) -> float:
        """The highest rate seen in this process, this one included."""
        _highest[self.key] = max(rate, _highest.get(self.key, 0.0))
        return _highest[self.key]


@cache
def arithmetic(threads: int = 1, dtype: str = "float32") -> Peak:
    """Fused multiply-adds, each of which counts as two operations."""
    chain = multiply_add_chain[np.dtype(dtype)]
    blocks = _BLOCKS * threads
    x = np.ones(blocks * _BLOCK, dtype)
    work = _CHAIN * _BLOCK if threads > 1 else 0

    def run() -> None:
        chain(blocks, x, 0.5, 0.5, work=work)  # 1 * 0.5 + 0.5 stays 1, however often

    return Peak(("arithmetic", threads, dtype), run, 2.0 * _CHAIN * x.size)


def copying(traffic: float, threads: int = 1) -> Peak:
    """A copy that moves about as many bytes (read and written) as the work it is the measure for.

    From a cache more is to be had than from memory, so a copy of 64 MB would be no measure for arrays of 64 KB.
    """
    size = min(max(1 << max(int(traffic) - 1, 0).bit_length(), _SMALLEST_COPY), _LARGEST_COPY)
    source, target = np.ones(size // 8, np.float32), np.empty(size // 8, np.float32)

    def on_one_thread() -> None:
        np.copyto(target, source)

    def on_several() -> None:
        cpu.apply(formulas.positive, source, out=target)

    return Peak(("copy", size, threads), on_several if threads > 1 else on_one_thread, float(size))
