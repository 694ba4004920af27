"""Timing that can be believed: every contender is checked, warmed up, and timed in turns with the others.

The rules, and what each is against:

* every result is compared with a float64 reference before anything is timed: a fast wrong answer is refused;
* the first calls, in which kernels are compiled, plans made and pages touched, are never timed;
* a sample lasts at least two milliseconds, so that the clock costs nothing;
* contenders take turns, round by round, each going first as often as the others: a neighbour who slows the machine
  down for a second slows all of them down, and their ratio stays;
* the figure is the best of all rounds: noise only ever adds time.

Besides the wall clock each sample has the CPU time of its thread. On a machine that is shared, a sample longer than a
few milliseconds is interrupted in every round; the time that the thread itself ran is then the steadier measure. It says
nothing about contenders that use several threads.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import numpy as np

ROUNDS = 15
SHORTEST_SAMPLE = 2e-3  # seconds
FEWEST_ROUNDS = 3
_WARM_UP_CALLS = 3
_LONG_CALL = 0.02  # seconds: after one of these a processor is warm


class WrongResult(AssertionError):
    """A contender's result differs from the reference, so its time means nothing."""


@dataclass
class Timing:
    """One contender's samples, in seconds per piece of work."""

    calls: int
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def best(self) -> float:
        """The shortest by the wall clock."""
        return min(self.wall)

    @property
    def best_cpu(self) -> float:
        """The shortest by the CPU time of the calling thread."""
        return min(self.cpu)


@dataclass
class Comparison:
    """The timings of all contenders of one contest."""

    timings: dict[str, Timing]
    rounds: int

    def __getitem__(self, name: str) -> Timing:
        return self.timings[name]

    def ratio(self, peer: str, ours: str = "ours") -> float | None:
        """The peer's time over ours: above 1, we are faster. None where the peer did not take part."""
        return self.timings[peer].best / self.timings[ours].best if peer in self.timings else None

    def cpu_ratio(self, peer: str, ours: str = "ours") -> float | None:
        """The same by CPU time; None where the clock is too coarse for it."""
        if peer not in self.timings or self.timings[ours].best_cpu <= 0:
            return None
        return self.timings[peer].best_cpu / self.timings[ours].best_cpu


def compare(
    contenders: Mapping[str, Callable[[], Any]],
    reference: Any = None,
    tolerance: float = 1e-5,
    scale: float = 1.0,
    rounds: int = ROUNDS,
    shortest_sample: float = SHORTEST_SAMPLE,
    per_call: int = 1,
    pause: float = 0.0,
    budget: float = math.inf,
    seconds: float = 0.0,
    cpu_clock: Callable[[], float] = time.thread_time,
    unchecked: Collection[str] = (),
) -> Comparison:
    """Time contenders against each other.

    Args:
        contenders: functions without arguments that do the same work, by name.
        reference: what each must return, in float64; None where there is nothing to compare.
        tolerance, scale: |result - reference| may be tolerance * (|reference| + scale).
        rounds: samples of each contender.
        shortest_sample: seconds that a sample lasts at least.
        per_call: pieces of work in one call; times are per piece.
        pause: seconds of rest, and then one call that is not timed, before each sample. With several threads: a
            library's threads go on spinning after their work is done (OpenBLAS for some 25 ms), on the core that the
            next contender needs.
        budget: seconds after which no new round begins, once there are three.
        seconds: rounds go on for so long, however many they are by then: short samples find a quiet moment sooner or later.
        cpu_clock: the clock beside the wall clock.
        unchecked: contenders that do other work, as a measure.

    Raises:
        WrongResult: names the contender and its largest error.
    """
    timings = {}
    for name, function in contenders.items():
        result = function()
        if reference is not None and name not in unchecked:
            check(name, result, reference, tolerance, scale)
        del result
        timings[name] = Timing(_calls_per_sample(function, shortest_sample))
    names = list(contenders)
    done = 0
    with no_collection():
        begin = time.perf_counter()
        while True:
            spent = time.perf_counter() - begin
            if (done >= rounds and spent >= seconds) or (done >= FEWEST_ROUNDS and spent >= budget):
                break
            for name in order(names, done):
                if pause:
                    time.sleep(pause)
                    contenders[name]()
                _sample(contenders[name], timings[name], per_call, cpu_clock)
            done += 1
    return Comparison(timings, done)


@contextmanager
def no_collection() -> Iterator[None]:
    """No garbage is collected inside the block: it would hit whoever happens to run."""
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def order(names: list[str], done: int) -> list[str]:
    """Who follows whom after so many rounds: each goes first as often as the others."""
    first = done % len(names)
    return names[first:] + names[:first]


def _calls_per_sample(function: Callable[[], Any], shortest_sample: float) -> int:
    """Warm up, and see how many calls it takes to fill a sample."""
    seconds = math.inf
    for _ in range(_WARM_UP_CALLS):
        begin = time.perf_counter()
        function()
        seconds = min(seconds, time.perf_counter() - begin)
        if seconds > _LONG_CALL:
            break
    return max(1, math.ceil(shortest_sample / max(seconds, 1e-8)))


def _sample(function: Callable[[], Any], timing: Timing, per_call: int, cpu_clock: Callable[[], float]) -> None:
    calls = repeat(None, timing.calls)
    cpu = cpu_clock()
    begin = time.perf_counter()
    for _ in calls:
        function()
    end = time.perf_counter()
    pieces = timing.calls * per_call
    timing.wall.append((end - begin) / pieces)
    timing.cpu.append((cpu_clock() - cpu) / pieces)


def check(name: str, result: Any, reference: Any, tolerance: float, scale: float = 1.0) -> None:
    """Raise WrongResult unless the result is the reference up to rounding; NaN and infinity must stand where it has them."""
    got, expected = as_float64(result), as_float64(reference)
    if got.shape != expected.shape:
        raise WrongResult(f"{name}: the result has shape {got.shape}, the reference {expected.shape}")
    finite = np.isfinite(expected)
    same = np.array_equal(got[~finite], expected[~finite], equal_nan=True)
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(got[finite] - expected[finite]) / (np.abs(expected[finite]) + scale)
    worst = float(error.max()) if error.size else 0.0
    if not same or not worst <= tolerance:  # NaN compares false, so it is refused too
        raise WrongResult(f"{name}: error {worst:.2g}, relative to the reference plus {scale:g}; allowed is {tolerance:g}")


def as_float64(result: Any) -> np.ndarray:
    """An array or a tensor of any library as float64; of several results the first."""
    if isinstance(result, tuple):
        result = result[0]
    if hasattr(result, "detach"):
        result = result.detach().numpy()
    return np.asarray(result, dtype=np.float64)
