"""What this machine can do at most: multiply-adds per second, and bytes copied per second, measured in the same run.

A peak is the best that was ever seen in the process: ask again later and it can only have risen.
"""

import time
from collections.abc import Callable

import numpy as np

from kernels.cpu.compiler import kernel

_CHAIN = 16  # multiply-adds per element of `multiply_add_chain`
_BLOCK = 4096  # elements of a work item
_BLOCKS = 24  # per thread: together they stay in the second-level cache
_REPEATS = 16
_ROUNDS = 30
_SMALLEST_COPY, _LARGEST_COPY = 1 << 18, 1 << 27  # bytes read and written together
_COPIED_PER_SAMPLE = 1 << 25

_best: dict[object, float] = {}


@kernel
def multiply_add_chain(low: "int64", high: "int64", x: "T*", f: "T", a: "T"):  # noqa: F821
    """Sixteen multiply-adds for each element, one after the other; the elements are independent and fill the vectors."""
    for element in range(low * 4096, high * 4096):
        value = x[element]
        value = (((value * f + a) * f + a) * f + a) * f + a
        value = (((value * f + a) * f + a) * f + a) * f + a
        value = (((value * f + a) * f + a) * f + a) * f + a
        x[element] = (((value * f + a) * f + a) * f + a) * f + a


def arithmetic_peak(threads: int = 1, dtype: str = "float32") -> float:
    """Operations per second of fused multiply-adds (two operations each) on so many threads."""
    chain = multiply_add_chain[np.dtype(dtype)]
    blocks = _BLOCKS * threads
    x = np.ones(blocks * _BLOCK, dtype)
    work = _CHAIN * _BLOCK

    def run() -> None:
        for _ in range(_REPEATS):
            chain(blocks, x, 0.5, 0.5, work=work)  # 1 * 0.5 + 0.5 stays 1, however often

    return _risen(("arithmetic", threads, dtype), 2.0 * _CHAIN * x.size * _REPEATS / _shortest(run))


def copy_peak(traffic: float, threads: int = 1) -> float:
    """Bytes per second (read and written) of a copy that moves about as many bytes as the work it is the measure for.

    From a cache more is to be had than from memory, so a copy of 64 MB would be no measure for arrays of 64 KB.
    """
    from kernels import cpu, formulas

    size = _copy_size(traffic)
    source, target = np.ones(size // 8, np.float32), np.empty(size // 8, np.float32)
    repeats = max(1, _COPIED_PER_SAMPLE // size)

    def copy_with_numpy() -> None:
        for _ in range(repeats):
            np.copyto(target, source)

    def copy_on_threads() -> None:
        for _ in range(repeats):
            cpu.apply(formulas.positive, source, out=target)

    copies = (copy_with_numpy, copy_on_threads) if threads > 1 else (copy_with_numpy,)  # NumPy copies on one thread
    return _risen(("copy", size, threads), size * repeats / min(map(_shortest, copies)))


def known_arithmetic_peak(threads: int = 1, dtype: str = "float32") -> float:
    """`arithmetic_peak`, measured once in a process."""
    return _best.get(("arithmetic", threads, dtype)) or arithmetic_peak(threads, dtype)


def known_copy_peak(traffic: float, threads: int = 1) -> float:
    """`copy_peak`, measured once for each size in a process."""
    return _best.get(("copy", _copy_size(traffic), threads)) or copy_peak(traffic, threads)


def _copy_size(traffic: float) -> int:
    """The next power of two, between what is timed well and what is surely in memory, not in a cache."""
    return min(max(1 << max(int(traffic) - 1, 0).bit_length(), _SMALLEST_COPY), _LARGEST_COPY)


def _risen(key: object, value: float) -> float:
    _best[key] = max(value, _best.get(key, 0.0))
    return _best[key]


def _shortest(run: Callable[[], None]) -> float:
    """The best of some rounds, in seconds, after one that is not timed."""
    run()
    times = []
    for _ in range(_ROUNDS):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return min(times)
