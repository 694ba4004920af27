"""Rows of figures, and the two files that they go into: markdown for readers, JSON for programs."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.suite import duration

MEASURED, FAILED, NOT_RUN, REHEARSED = "measured", "failed", "not run", "rehearsed"

TITLES = {
    "tests": "Tests of device cuda on this machine",
    "sanitizer": "compute-sanitizer",
    "ceilings": "Ceilings: what this GPU does at most",
    "elementwise": "Elementwise",
    "fuse": "Chains of k operations by `@ag.fuse`",
    "optimizers": "Optimizers",
    "reductions": "Reductions",
    "rows": "Row kernels",
    "random": "Random numbers",
    "matmul": "Matrix products",
    "ladder": "The ladder of matrix products (`bench/ladder`)",
    "overhead": "Launch overhead: operations on 16 floats, by the wall clock",
    "memory": "Allocator, and copies between host and device, by the wall clock",
    "training": "Training steps, by the wall clock",
}
PARTS = tuple(TITLES)

LEGEND = """\
Times are the best and the median of the rounds; libraries take turns within each round, and everybody's result was checked
before anything was timed, against float64 in NumPy and against each other. By the device's clock (events around a batch of
calls that was queued beforehand, so that the time to start a call is not in it) unless a section says "by the wall clock".
Inputs and results rotate through several sets of arrays that together exceed the second-level cache.

* of copy: GB/s (bytes that must be read and written, divided by the time) over those of a copy that moves as many bytes,
  measured in the same process; "of peak" is over the fastest copy of any size. For matrix products "of peak" is over the
  fastest rate of PyTorch (cuBLAS) in that precision.
* x torch, x CuPy: their best time over ours, so above 1 ours is faster.
* host: what a call takes the host to start, in the same loop.
* target: what issue 3 asks for on an H200, and whether it is met here; on another GPU it is only for orientation."""

REHEARSAL = """\
# REHEARSAL: no results

This ran in the simulator, on tiny arrays, to see that the command works. There are no times here, and nothing in this file
says anything about a GPU."""


@dataclass
class Target:
    """What is asked of a row: a ratio to a peer, or a fraction of a copy of as many bytes."""

    kind: str  # "ratio" or "fraction"
    at_least: float
    reached: float | None = None

    @property
    def met(self) -> bool | None:
        """None where it could not be measured."""
        return None if self.reached is None else self.reached >= self.at_least

    def __str__(self) -> str:
        what = f"{self.at_least:g} of copy" if self.kind == "fraction" else f"{self.at_least:g}x torch"
        return f"{what}: {'unknown' if self.met is None else 'met' if self.met else 'MISSED'}"


@dataclass
class Row:
    """One line. Times in seconds, rates per second.

    times: by contender {"best", "median", "host" (None where it was not taken), "calls", "rounds"}.
    """

    part: str
    name: str
    size: str = ""
    status: str = MEASURED
    note: str = ""
    times: dict[str, dict[str, Any]] = field(default_factory=dict)
    unit: str = ""  # of the rate: GB/s or TFLOP/s
    rate: float | None = None
    fraction: float | None = None  # of a copy of as many bytes
    of_peak: float | None = None
    ratios: dict[str, float] = field(default_factory=dict)
    targets: list[Target] = field(default_factory=list)

    @property
    def id(self) -> str:
        """What tells it from all others."""
        return f"{self.part}: {self.name} [{self.size}]"

    @property
    def met(self) -> bool | None:
        """Whether all targets are met; None without targets, or where one could not be measured."""
        found = [target.met for target in self.targets]
        return None if not found or (None in found and False not in found) else all(found)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "targets": [{**asdict(t), "met": t.met} for t in self.targets], "met": self.met}

    @classmethod
    def of(cls, given: dict[str, Any]) -> Row:
        """The row that `as_dict` gave."""
        own = {k: v for k, v in given.items() if k != "met"}
        targets = [Target(**{k: v for k, v in t.items() if k != "met"}) for t in own.pop("targets")]
        return cls(**own, targets=targets)


class Report:
    """The rows so far and what they depend on; `write` puts them into the folder."""

    def __init__(self, folder: Path, rehearsal: bool = False) -> None:
        self.folder, self.rehearsal = folder, rehearsal
        self.machine: dict[str, Any] = {}
        self.rows: list[Row] = []
        self.tests: dict[str, Any] = {}
        self.sanitizer: list[dict[str, Any]] = []
        self.seconds: dict[str, float] = {}  # that each part took, with compiling and checking
        self.finished = False
        self._last = time.monotonic()

    @property
    def name(self) -> str:
        """The files' name; a rehearsal never overwrites results."""
        return "rehearsal" if self.rehearsal else "results"

    def spent(self, part: str) -> None:
        """What has passed since the last call was spent on this part."""
        now = time.monotonic()
        self.seconds[part] = round(self.seconds.get(part, 0.0) + now - self._last, 1)
        self._last = now

    def add(self, row: Row) -> None:
        """Take a row, and write everything."""
        self.spent(row.part)
        if self.rehearsal:  # whatever was taken: a simulator's time is nobody's business
            row.times, row.rate, row.fraction, row.of_peak, row.ratios = {}, None, None, None, {}
            row.targets = [Target(t.kind, t.at_least) for t in row.targets]
            row.status = REHEARSED if row.status == MEASURED else row.status
        self.rows.append(row)
        self.write()

    def write(self) -> None:
        """Both files, each replaced in one step."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for suffix, text in ((".json", json.dumps(self.as_dict(), indent=1) + "\n"), (".md", self.markdown())):
            scratch = self.folder / f".{self.name}{suffix}.{os.getpid()}"
            scratch.write_text(text, encoding="utf-8")
            scratch.replace(self.folder / f"{self.name}{suffix}")

    def as_dict(self) -> dict[str, Any]:
        return {
            "rehearsal": self.rehearsal,
            "finished": self.finished,
            "machine": self.machine,
            "seconds": self.seconds,
            "tests": self.tests,
            "sanitizer": self.sanitizer,
            "rows": [row.as_dict() for row in self.rows],
        }

    # --- markdown -------------------------------------------------------------------------------------------------

    def markdown(self) -> str:
        """The report for readers."""
        gpu = self.machine.get("gpu", "a GPU")
        sections = [REHEARSAL if self.rehearsal else f"# gradloom on {gpu}, {self.machine.get('date', '')[:10]}"]
        if not self.finished:
            sections.append("**Not finished**: the run is going on, or was interrupted.")
        sections.append(_table(("", ""), [(name, str(value)) for name, value in self.machine.items()]))
        if not self.rehearsal:
            sections += [self._summary(), LEGEND]
        for part in PARTS:
            text = self._section(part)
            if text:
                sections.append(f"## {TITLES[part]}\n\n{text}")
        return "\n\n".join(section for section in sections if section) + "\n"

    def _summary(self) -> str:
        counts = Counter(row.status for row in self.rows)
        judged = [row for row in self.rows if row.targets]
        met, missed = sum(row.met is True for row in judged), [row for row in judged if row.met is False]
        lines = [
            "## Summary",
            "",
            f"* tests: {self.tests.get('summary', 'not run')}",
            "* compute-sanitizer: " + ("; ".join(f"{s['tool']}: {s['summary']}" for s in self.sanitizer) or "not run"),
            f"* rows: {', '.join(f'{n} {status}' for status, n in counts.items()) or 'none'}",
            f"* targets: met in {met} rows of {len(judged)}, missed in {len(missed)}, unknown in the others",
        ]
        if self.seconds:
            lines.append(f"* seconds spent: {', '.join(f'{part} {seconds:.0f}' for part, seconds in self.seconds.items())}")
        lines += [f"* missed: {row.id}: {_reached(row)}" for row in missed]
        lines += [f"* failed: {row.id}: {row.note}" for row in self.rows if row.status == FAILED]
        return "\n".join(lines)

    def _section(self, part: str) -> str:
        if part == "tests":
            return self._tests()
        if part == "sanitizer":
            return "\n\n".join(_sanitizer_text(found) for found in self.sanitizer)
        rows = [row for row in self.rows if row.part == part]
        if not rows:
            return ""
        if self.rehearsal:
            return _table(("work", "size", "status", "note"), [(r.name, r.size, r.status, r.note) for r in rows])
        columns = [column for column in COLUMNS if column[0] in ALWAYS or any(column[1](row) for row in rows)]
        headings = [heading for heading, _ in columns]
        return _table(headings, [[cell(row) for _, cell in columns] for row in rows])

    def _tests(self) -> str:
        if not self.tests:
            return ""
        lines = [self.tests["summary"]]
        for kind in ("failed", "not collected"):
            found = self.tests.get(kind, [])
            if found:
                lines += ["", f"{kind}:", "", *(f"* `{test['id']}`: {_one_line(test['message'])}" for test in found)]
        if self.tests.get("not run"):
            lines += ["", f"not run: {len(self.tests['not run'])}; their names are in the JSON file"]
        return "\n".join(lines)


def _time(row: Row, contender: str, which: str) -> str:
    seconds = row.times.get(contender, {}).get(which)
    return "" if seconds is None else duration(seconds)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def _ratio(row: Row, peer: str) -> str:
    return f"{row.ratios[peer]:.2f}" if peer in row.ratios else ""


def _note(row: Row) -> str:
    others = [f"x {peer}: {ratio:.2f}" for peer, ratio in row.ratios.items() if peer not in ("torch", "cupy")]
    parts = [row.status if row.status != MEASURED else "", *others, row.note]
    return _one_line(": ".join(p for p in (parts[0], "; ".join(p for p in parts[1:] if p)) if p))


def _reached(row: Row) -> str:
    return ", ".join(f"{t} ({t.reached:.2f})" for t in row.targets if t.reached is not None)


COLUMNS = (
    ("work", lambda row: row.name),
    ("size", lambda row: row.size),
    ("best", lambda row: _time(row, "ours", "best")),
    ("median", lambda row: _time(row, "ours", "median")),
    ("host", lambda row: _time(row, "ours", "host")),
    ("GB/s", lambda row: f"{row.rate / 1e9:,.0f}" if row.rate and row.unit == "GB/s" else ""),
    ("TFLOP/s", lambda row: f"{row.rate / 1e12:.3g}" if row.rate and row.unit == "TFLOP/s" else ""),
    ("of copy", lambda row: _percent(row.fraction)),
    ("of peak", lambda row: _percent(row.of_peak)),
    ("torch best", lambda row: _time(row, "torch", "best")),
    ("torch host", lambda row: _time(row, "torch", "host")),
    ("x torch", lambda row: _ratio(row, "torch")),
    ("x CuPy", lambda row: _ratio(row, "cupy")),
    ("target", lambda row: "; ".join(map(str, row.targets))),
    ("note", _note),
)
ALWAYS = ("work", "size", "best", "median")


def _sanitizer_text(found: dict[str, Any]) -> str:
    tail = found.get("output", "").strip()
    return f"{found['tool']}: {found['summary']}" + (f"\n\n```text\n{tail}\n```" if tail else "")


def _one_line(text: str, length: int = 300) -> str:
    joined = " ".join(str(text).split()).replace("|", "\\|")
    return joined if len(joined) <= length else joined[: length - 3] + "..."


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in markdown."""
    headings = list(headings)
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    return "\n".join(lines + ["| " + " | ".join(cells) + " |" for cells in rows])
