"""A contest on the GPU: the same work by several libraries, checked, then timed in turns.

By the device's clock a sample is a batch of calls between two events. The device is given something else to do first (a
few passes over scratch memory), so that the calls are queued when it comes to them: the time is the kernels', not that of
starting them, which is measured apart. Each call takes the next of several sets of arrays, and its result takes the place
of the one that this set gave before; together they exceed the second-level cache, so that everything comes from memory.

By the wall clock a sample ends with waiting for the device: for launches, allocations and whole training steps.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import repeat
from statistics import median
from typing import Any

import numpy as np

from bench.gpu.case import Case, Work
from bench.gpu.libraries import Library, Ours, found
from bench.gpu.report import FAILED, NOT_RUN, Row
from bench.harness import FEWEST_ROUNDS, ROUNDS, check, no_collection, order

SAMPLE = 2e-3  # seconds that a sample lasts at least
MOST_CALLS = 100  # in a sample by the device's clock: the driver queues about a thousand launches
LONGEST_BLOCK = 0.02  # seconds that the device is kept busy beforehand
SMALLEST_COPY, LARGEST_COPY = 1 << 21, 1 << 31  # bytes read and written


@dataclass
class Samples:
    """One contender's samples, in seconds per piece of work."""

    calls: int = 1
    device: list[float] = field(default_factory=list)
    host: list[float] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {
            "best": min(self.device),
            "median": median(self.device),
            "host": min(self.host) if self.host else None,
            "calls": self.calls,
            "rounds": len(self.device),
        }


class Bench:
    """What the cases share: libraries, arrays, and the ceilings."""

    def __init__(self, rehearsal: bool) -> None:
        self.rehearsal = self.tiny = rehearsal
        self.libraries, self.missing = found(rehearsal)
        self.ours: Ours = self.libraries["ours"]  # type: ignore[assignment]
        self.kernels, self.ag = self.ours.kernels, self.ours.ag
        self.runtime = self.ours.runtime
        self.free, self.memory = (1 << 30, 1 << 30) if rehearsal else self.runtime.memory_info(0)
        self.cache = 0 if rehearsal else second_level_cache()
        self._scratch: dict[str, tuple[Any, float]] = {}
        self._copies: dict[int, dict[str, Any]] = {}
        self.matmul_rates: dict[str, float] = {}  # by precision, of PyTorch: the ceiling of ours

    # --- arrays ---------------------------------------------------------------------------------------------------

    @property
    def torch(self) -> Any:
        """The module torch; None where it is not there."""
        return self.libraries["torch"].module if "torch" in self.libraries else None  # type: ignore[attr-defined]

    @property
    def cupy(self) -> Any:
        """The module cupy; None where it is not there."""
        return self.libraries["cupy"].module if "cupy" in self.libraries else None  # type: ignore[attr-defined]

    def library_of(self, contender: str) -> Library:
        """Whose arrays a contender takes: "torch fused" is PyTorch, too; "driver" works on ours."""
        return self.ours if contender == "driver" else self.libraries[contender.split()[0]]

    def size(self, full: Any, tiny: Any) -> Any:
        """A size, or the one for a rehearsal."""
        return tiny if self.tiny else full

    def sets(self, nbytes: float) -> int:
        """How many sets of arrays (inputs and results) of so many bytes exceed the second-level cache twice."""
        return max(2, min(64, math.ceil(2 * self.cache / max(nbytes, 1)) + 1)) if not self.rehearsal else 2

    def rotated(self, sets: int, *hosts: np.ndarray, dtype: str | None = None, of: Sequence[str] = ()) -> dict[str, list[tuple]]:
        """For each library (or those in `of`) `sets` tuples of arrays on the device."""
        names = of or tuple(self.libraries)
        return {
            name: [tuple(self.libraries[name].array(host, dtype) for host in hosts) for _ in range(sets)]
            for name in names
            if name in self.libraries
        }

    # --- the device -----------------------------------------------------------------------------------------------

    def synchronize(self) -> None:
        """Wait for the device, whoever's work it does."""
        self.runtime.synchronize(0)
        if self.torch is not None and not self.rehearsal:
            self.torch.cuda.synchronize()

    def release(self) -> None:
        """Let every library give back the memory that it keeps."""
        gc.collect()
        for library in self.libraries.values():
            library.release()

    def block(self, library: Library, seconds: float) -> None:
        """Queue something that keeps the device busy for about so long."""
        kept = self._scratch.get(library.name)
        if kept is None:
            scratch = library.scratch(min(1 << 29, self.memory // 32))
            library.fill(scratch)
            each = min(library.timed(lambda: library.fill(scratch)) for _ in range(3))
            kept = self._scratch[library.name] = (scratch, max(each, 1e-6))
        scratch, each = kept
        for _ in range(min(200, math.ceil(seconds / each))):
            library.fill(scratch)

    # --- ceilings -------------------------------------------------------------------------------------------------

    def copy_rate(self, traffic: float) -> float:
        """The most bytes per second, read and written, of a copy that moves about as many."""
        return max(t["rate"] for t in self.copies(traffic).values())

    def copies(self, traffic: float) -> dict[str, Any]:
        """By way of copying ("kernel": ours; "driver": cuMemcpy): {"rate", "times"}; kept."""
        size = min(max(1 << max(int(traffic) - 1, 0).bit_length(), SMALLEST_COPY), LARGEST_COPY, self.memory // 8)
        size = self.size(size, 1 << 12)
        if size not in self._copies:
            self._copies[size] = self._measure_copies(size)
        return self._copies[size]

    def highest_copy_rate(self) -> float | None:
        """The highest rate of any copy so far."""
        return max((t["rate"] for ways in self._copies.values() for t in ways.values()), default=None)

    def _measure_copies(self, size: int) -> dict[str, Any]:
        from kernels.cuda.data import copy

        k, sets = self.kernels, self.sets(size)
        ones = np.ones(size // 8, np.float32)
        pairs = [(k.from_numpy(ones), k.empty(ones.shape, np.float32)) for _ in range(sets)]
        ends = [(target[:4], target[-4:]) for _, target in pairs]
        stream = self.runtime.stream(0)

        def by_kernel(i: int) -> Any:
            copy(pairs[i][0], out=pairs[i][1])
            return ends[i]

        def by_driver(i: int) -> Any:
            source, target = pairs[i]
            self.runtime.copy(target.pointer, source.pointer, source.nbytes, stream)
            return ends[i]

        ways = {"ours": by_kernel, "driver": by_driver}
        work = Work(ways, lambda: (np.ones(4), np.ones(4)), sets=sets, keep=False)
        samples = self.sample(work, 0.3)
        return {
            name: {"rate": size / min(samples[c].device), "times": samples[c].as_dict(), "bytes": size}
            for name, c in (("kernel", "ours"), ("driver", "driver"))
        }

    # --- contests -------------------------------------------------------------------------------------------------

    def run(self, case: Case, budget: float) -> list[Row]:
        """The rows of a case; a failure is a row, too."""
        try:
            if not self.rehearsal:
                self.free = self.runtime.memory_info(0)[0]
                need = case.need * len(self.libraries)
                if need > 0.9 * self.free:
                    why = f"needs {need / 1e9:.1f} GB of device memory, {self.free / 1e9:.1f} are free"
                    return [Row(case.part, case.name, case.size, NOT_RUN, why)]
            made = case.make()
            return made if isinstance(made, list) else [self.measure(case, made, budget)]
        except Exception as error:
            return [Row(case.part, case.name, case.size, FAILED, f"{type(error).__name__}: {error}")]
        finally:
            if case.need > 1 << 27:
                self.release()

    def measure_ceilings(self) -> None:
        """For a process that does not run the part of this name: the largest copy and PyTorch's products."""
        from bench.gpu import ceilings

        self.copies(1 << 30)
        for case in ceilings.cases(self):
            if case.name.startswith("torch"):
                self.run(case, 0.3)

    def measure(self, case: Case, work: Work, budget: float) -> Row:
        """Check a contest's results, time it, and say what the times are worth."""
        samples = self.sample(work, budget)
        ours = samples["ours"]
        row = Row(case.part, case.name, case.size, note=work.note, targets=list(work.targets))
        row.times = {name: s.as_dict() for name, s in samples.items()}
        if self.rehearsal:
            return row
        best = min(ours.device)
        row.ratios = {name: min(s.device) / best for name, s in samples.items() if name != "ours"}
        if work.operations:
            row.unit, row.rate = "TFLOP/s", work.operations / best
            peak = self.matmul_rates.get(work.ceiling)
            row.of_peak = row.rate / peak if peak else None
        elif work.traffic:
            row.unit, row.rate = "GB/s", work.traffic / best
            if work.copy:
                try:
                    row.fraction = row.rate / self.copy_rate(work.traffic)
                    row.of_peak = row.rate / (self.highest_copy_rate() or row.rate)
                except MemoryError:
                    row.note = "; ".join([*filter(None, [row.note]), "no memory was left for a copy of as many bytes"])
        for target in row.targets:
            target.reached = row.fraction if target.kind == "fraction" else row.ratios.get("torch")
        return row

    def sample(self, work: Work, budget: float) -> dict[str, Samples]:
        """Check everybody, then let them take turns for so many seconds or `ROUNDS` rounds, three at least."""
        self._check(work)
        samples = {name: Samples() for name in work.contenders}
        kept: dict[str, list[Any]] = {name: [None] * work.sets for name in work.contenders}
        if self.rehearsal:
            for name, call in work.contenders.items():
                call(work.sets - 1)
                samples[name].device.append(1.0)
            return samples
        for name in work.contenders:
            self._warm_up(work, name, samples[name], kept[name])
        names, begin = list(work.contenders), time.perf_counter()
        with no_collection():
            for done in range(ROUNDS):
                if done >= FEWEST_ROUNDS and time.perf_counter() - begin > budget:
                    break
                for name in order(names, done):
                    device, host = self._batch(work, name, samples[name], kept[name])
                    samples[name].device.append(device)
                    if host is not None:
                        samples[name].host.append(host)
        return samples

    def _warm_up(self, work: Work, name: str, samples: Samples, kept: list[Any]) -> None:
        """See how many calls fill a sample: compiled and cached is everything by now."""
        for calls in (1, 3):
            samples.calls = calls
            device, host = self._batch(work, name, samples, kept)
        seconds = max(device * work.per_call, 1e-7)
        samples.calls = max(1, min(MOST_CALLS, math.ceil(SAMPLE / seconds)))
        if not work.wall and host is not None:
            samples.host.append(host)  # how long the device must be kept busy for the first batch

    def _batch(self, work: Work, name: str, samples: Samples, kept: list[Any]) -> tuple[float, float | None]:
        """Seconds per piece of work by the device's clock and the host's, or by the wall clock and None."""
        call, calls, sets, spent = work.contenders[name], samples.calls, work.sets, [0.0]
        pieces = calls * work.per_call

        def run() -> None:
            begin = time.perf_counter()
            if work.keep:
                for i in range(calls):
                    kept[i % sets] = call(i % sets)
            else:
                for i in range(calls):
                    call(i % sets)
            spent[0] = time.perf_counter() - begin

        self.synchronize()
        if work.wall:
            begin = time.perf_counter()
            run()
            self.synchronize()
            return (time.perf_counter() - begin) / pieces, None
        library = self.library_of(name)
        if samples.host:
            self.block(library, min(LONGEST_BLOCK, 1.5 * samples.host[-1] * pieces + 2e-4))
        device = library.timed(run)
        return device / pieces, spent[0] / pieces

    def _check(self, work: Work) -> None:
        """Everybody's result of set 0 against the reference, and in full against ours."""
        expected = work.reference() if work.reference is not None else None
        scales = work.scale if isinstance(work.scale, tuple) else repeat(work.scale)
        first: tuple | None = None
        for name, call in work.contenders.items():
            library = self.library_of(name)
            result = call(0)
            if work.unchecked:
                continue
            found = tuple(fetched(library, r) for r in (result if isinstance(result, (tuple, list)) else (result,)))
            if expected is not None:
                wanted = expected if isinstance(expected, tuple) else (expected,)
                for got, right, scale in zip(found, wanted, scales, strict=False):
                    check(name, work.pick(got), right, work.tolerance, scale)
            if first is None:
                first = found
            elif work.compare:
                for got, mine, scale in zip(found, first, scales, strict=False):
                    agree(name, mine, got, 2 * work.tolerance, scale)
            del result


def fetched(library: Library, result: Any) -> np.ndarray:
    """The elements on the host, where some are already."""
    return result if isinstance(result, np.ndarray) else library.to_host(result)


def agree(name: str, ours: np.ndarray, theirs: np.ndarray, tolerance: float, scale: float) -> None:
    """Raise unless all elements are the same up to rounding: piece by piece, in what the processor's cache holds."""
    if ours.shape != theirs.shape:
        raise AssertionError(f"ours has shape {ours.shape}, that of {name} {theirs.shape}")
    a, b, piece = ours.reshape(-1), theirs.reshape(-1), 1 << 20
    for low in range(0, a.size, piece):
        mine, other = a[low : low + piece], b[low : low + piece]
        with np.errstate(invalid="ignore", over="ignore"):
            right = np.all(np.abs(mine - other) <= tolerance * (np.abs(other) + scale))
        if not right:  # or infinite, or not quite: the thorough way
            check(f"ours, next to {name}'s", mine, other, tolerance, scale)


def second_level_cache() -> int:
    """The bytes of the GPU's second-level cache; 64 MiB where the driver does not say."""
    try:
        from cuda.bindings import driver as cu  # pyright: ignore

        status, found = cu.cuDeviceGetAttribute(cu.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, 0)
        return int(found) if int(status) == 0 and found else 64 << 20
    except Exception:
        return 64 << 20
