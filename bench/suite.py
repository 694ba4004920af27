"""A benchmark case, and what is printed of it: the same for `python -m bench` and for pytest."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bench import harness, peaks

PEERS = ("numpy", "torch")
PAUSE = 0.05  # seconds before a sample on several threads
HEADINGS = ("case", "size", "time", "GFLOP/s", "GB/s", "of peak", "x NumPy", "cpu", "x PyTorch", "cpu", "")
LEGEND = """\
time: the best of the rounds, by the wall clock.
of peak: of the multiply-adds that the machine can do where GFLOP/s are given, else of a copy that moves as many bytes
(work in place can exceed it: a copy also fetches what it is about to overwrite).
x NumPy, x PyTorch: their time over ours, so above 1 ours is faster; cpu: the same by CPU time, steadier on a shared machine.
All take turns in the same minute."""


@dataclass
class Work:
    """What a case does: the same job by different contenders ("ours", "numpy", "torch"), and what it should give.

    `operations` and `traffic` (bytes read and written) are for one call; a call that is all overhead has neither.
    """

    contenders: dict[str, Callable[[], Any]]
    reference: Any = None
    tolerance: float = 1e-5
    scale: float = 1.0
    operations: float = 0.0
    traffic: float = 0.0
    per_call: int = 1
    dtype: str = "float32"


@dataclass(frozen=True)
class Case:
    """One line of a table; `make` allocates what it needs and says what is done."""

    family: str
    name: str
    size: str
    make: Callable[[], Work]
    large: bool = False  # takes seconds; left out of a quick look

    @property
    def label(self) -> str:
        return f"{self.name}[{self.size}]"


@dataclass
class Row:
    """What was measured. Rates are per second, ratios peer / ours."""

    family: str
    name: str
    size: str
    seconds: float
    operation_rate: float | None
    traffic_rate: float | None
    fraction_of_peak: float | None
    ratios: dict[str, float]
    cpu_ratios: dict[str, float | None]
    rounds: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def cells(self) -> list[str]:
        rounds = "" if self.rounds >= harness.ROUNDS else f"best of {self.rounds}"
        return [
            self.name,
            self.size,
            duration(self.seconds),
            "" if self.operation_rate is None else f"{self.operation_rate / 1e9:.3g}",
            "" if self.traffic_rate is None else f"{self.traffic_rate / 1e9:.3g}",
            "" if self.fraction_of_peak is None else f"{self.fraction_of_peak:.0%}",
            *(cell for peer in PEERS for cell in (times(self.ratios.get(peer)), times(self.cpu_ratios.get(peer)))),
            rounds,
        ]


def measure(
    case: Case, work: Work | None = None, threads: int = 1, rounds: int = harness.ROUNDS, budget: float = 20.0
) -> Row:
    """Check, warm up and time a case against its peers and against what the machine can do; see `harness.compare`.

    `work` is what `case.make()` gave, if it was called already.
    """
    work = work or case.make()
    taking_part = dict(work.contenders)
    peak = peaks.arithmetic(threads, work.dtype) if work.operations else None
    if peak is None and work.traffic:
        peak = peaks.copying(work.traffic, threads)
    if peak is not None:
        taking_part["peak"] = peak.run
    result = harness.compare(
        taking_part, work.reference, work.tolerance, work.scale, rounds,
        per_call=work.per_call, pause=PAUSE if threads > 1 else 0.0, budget=budget, unchecked=("peak",),
    )  # fmt: skip
    seconds = result["ours"].best
    operation_rate = work.operations / seconds if work.operations else None
    traffic_rate = work.traffic / seconds if work.traffic else None
    fraction = None
    if peak is not None:
        peak_rate = peak.risen(peak.amount / (result["peak"].best * work.per_call))
        fraction = (operation_rate or traffic_rate or 0.0) / peak_rate
    present = [peer for peer in PEERS if peer in result.timings]
    return Row(
        case.family,
        case.name,
        case.size,
        seconds,
        operation_rate,
        traffic_rate,
        fraction,
        {peer: result.timings[peer].best / seconds for peer in present},
        {peer: result.cpu_ratio(peer) for peer in present} if threads == 1 else {},
        result.rounds,
    )


def times(ratio: float | None) -> str:
    """A ratio, or a dash."""
    return "-" if ratio is None else f"{ratio:.2f}"


def duration(seconds: float) -> str:
    """A time with three digits and the unit that suits it."""
    units = [("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)]
    unit, size = next((u for u in units if seconds >= u[1]), units[-1])
    value = seconds / size
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], left: int = 2) -> str:
    """Aligned columns: the first `left` and the last to the left, the others to the right."""
    lines = [list(headings), *map(list, rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(headings))]
    lines.insert(1, ["-" * width for width in widths])
    texts = []
    for line in lines:
        last = len(line) - 1
        cells = [c.ljust(w) if k < left or k == last else c.rjust(w) for k, (c, w) in enumerate(zip(line, widths, strict=True))]
        texts.append("  ".join(cells).rstrip())
    return "\n".join(texts)


def progress(text: str) -> None:
    """Where we are, on a terminal; the next text takes its place."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text[:110]}", end="", file=sys.stderr, flush=True)


def contenders(ours: Callable, numpy: Callable | None = None, torch: Callable | None = None) -> dict[str, Callable]:
    """Those that take part; PyTorch's is None where PyTorch is not installed."""
    given = {"ours": ours, "numpy": numpy, "torch": torch}
    return {name: function for name, function in given.items() if function is not None}


def normal(shape: int | tuple[int, ...], dtype: str = "float32", seed: int = 0) -> np.ndarray:
    """Standard normal numbers, the same in every run."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.dtype(dtype).type)


def size_label(elements: int) -> str:
    """16, 64K, 1M."""
    for power, letter in ((20, "M"), (10, "K")):
        if elements >= 1 << power and elements % (1 << power) == 0:
            return f"{elements >> power}{letter}"
    return str(elements)
