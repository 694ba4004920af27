"""profile: how often each kernel ran, how long it took, and how well it used the machine.

The profiler watches the launch door, so it sees every kernel on every device and from every thread. Its own cost, some
microseconds per launch, lies outside the times that it reports.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self

from kernels.launch import Launch, observe

_NAME = 44  # characters of a kernel's name in the table


@dataclass(slots=True)
class Statistics:
    """All launches of one kernel on one device: seconds, bytes moved and arithmetic operations in total."""

    kernel: str
    device: str
    calls: int = 0
    seconds: float = 0.0
    bytes: int = 0
    flops: int = 0

    def add(self, launch: Launch) -> None:
        """Count one more launch."""
        self.calls += 1
        self.seconds += launch.seconds
        self.bytes += launch.bytes
        self.flops += launch.flops

    @property
    def gbs(self) -> float:
        """Memory traffic in GB/s."""
        return self.bytes / max(self.seconds, 1e-9) / 1e9

    @property
    def gflops(self) -> float:
        """Arithmetic in GFLOP/s."""
        return self.flops / max(self.seconds, 1e-9) / 1e9

    def of_roofline(self, peak_gflops: float | None, peak_gbs: float | None) -> float:
        """The time that the machine's peaks allow, as a fraction of the time taken (Williams et al. 2009)."""
        arithmetic = self.flops / (peak_gflops * 1e9) if peak_gflops else 0.0
        traffic = self.bytes / (peak_gbs * 1e9) if peak_gbs else 0.0
        return max(arithmetic, traffic) / max(self.seconds, 1e-9)


class Profile:
    """What `kernels.profile()` gives: the launches inside the block, and sums over them.

    launches: every launch in the order of completion.
    seconds: the time spent inside the block, so far.
    """

    def __init__(self) -> None:
        self.launches: list[Launch] = []
        self._spent = 0.0
        self._entered: float | None = None
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        if self._entered is not None:
            raise RuntimeError("profile: this profile is running already; nested ones need a kernels.profile() each")
        self._exit.enter_context(observe(self._record))
        self._entered = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self._spent, self._entered = self.seconds, None
        self._exit.close()

    def _record(self, launch: Launch) -> None:
        self.launches.append(launch)  # one indivisible operation, so threads need no lock

    @property
    def seconds(self) -> float:
        return self._spent + (0.0 if self._entered is None else time.perf_counter() - self._entered)

    @property
    def kernels(self) -> list[Statistics]:
        """One entry per kernel and device, the one that took longest first."""
        found: dict[tuple[str, str], Statistics] = {}
        for launch in tuple(self.launches):
            key = launch.kernel, launch.device
            entry = found.get(key)
            if entry is None:
                entry = found[key] = Statistics(*key)
            entry.add(launch)
        return sorted(found.values(), key=lambda entry: -entry.seconds)

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return f"<Profile of {len(self.launches):,} launches; print it, or see .kernels and .launches>"

    def table(self, top: int | None = 20, *, peak_gflops: float | None = None, peak_gbs: float | None = None) -> str:
        """The kernels that took longest, one per line.

        Args:
            top: how many; None for all.
            peak_gflops, peak_gbs: the machine's peaks, as `python -m bench` measures them; with them a last column says
                how near each kernel came to what they allow.
        """
        entries = self.kernels
        if not entries:
            return f"no kernel was launched in {_time(self.seconds)}"
        total = sum(entry.seconds for entry in entries)
        peaks = peak_gflops is not None or peak_gbs is not None
        head = ["kernel", "device", "calls", "total us", "mean us", "GB/s", "GFLOP/s", "share"] + ["of peak"] * peaks
        rows = [head]
        for entry in entries[:top]:
            rows.append(
                [
                    entry.kernel if len(entry.kernel) <= _NAME else entry.kernel[: _NAME - 3] + "...",
                    entry.device,
                    f"{entry.calls:,}",
                    f"{entry.seconds * 1e6:,.1f}",
                    f"{entry.seconds / entry.calls * 1e6:,.1f}",
                    f"{entry.gbs:.2f}",
                    f"{entry.gflops:.2f}" if entry.flops else "-",
                    f"{entry.seconds / total:.1%}" if total else "-",
                ]
            )
            if peaks:
                rows[-1].append(f"{entry.of_roofline(peak_gflops, peak_gbs):.0%}")
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [_aligned(row, widths) for row in rows]
        lines.insert(1, "-" * max(map(len, lines)))
        if top is not None and len(entries) > top:
            rest = entries[top:]
            share = sum(entry.seconds for entry in rest) / max(total, 1e-9)
            lines.append(f"... and {len(rest)} more kernels, {share:.1%} of the time")
        calls = sum(entry.calls for entry in entries)
        launches = f"{calls:,} launch{'' if calls == 1 else 'es'}"
        lines.append(f"{launches}, {_time(total)} in kernels, {_time(self.seconds)} in the block")
        return "\n".join(lines)

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write the launches as a timeline for chrome://tracing or ui.perfetto.dev: JSON in the Trace Event Format.

        The file appears complete or not at all.
        """
        import json
        import tempfile

        target = os.path.abspath(os.fspath(path))
        handle, temporary = tempfile.mkstemp(dir=os.path.dirname(target), prefix=".trace-", suffix=".json")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"traceEvents": self._events(), "displayTimeUnit": "ms"}, file, allow_nan=False)
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise

    def _events(self) -> list[dict[str, Any]]:
        launches = sorted(self.launches, key=lambda launch: launch.begin)
        start = launches[0].begin if launches else 0.0
        devices = {device: k for k, device in enumerate(dict.fromkeys(launch.device for launch in launches))}
        threads = {thread: k for k, thread in enumerate(dict.fromkeys(launch.thread for launch in launches))}
        events: list[dict[str, Any]] = [
            {"name": "process_name", "ph": "M", "pid": place, "tid": 0, "args": {"name": device}}
            for device, place in devices.items()
        ]
        for launch in launches:
            events.append(
                {
                    "name": launch.kernel,
                    "cat": "kernel",
                    "ph": "X",
                    "ts": (launch.begin - start) * 1e6,
                    "dur": launch.seconds * 1e6,
                    "pid": devices[launch.device],
                    "tid": threads[launch.thread],
                    "args": {"shapes": [list(s) for s in launch.shapes], "bytes": launch.bytes, "flops": launch.flops},
                }
            )
        return events


def _aligned(cells: list[str], widths: list[int]) -> str:
    """The first two cells to the left, numbers to the right."""
    padded = [c.ljust(w) if k < 2 else c.rjust(w) for k, (c, w) in enumerate(zip(cells, widths, strict=True))]
    return "  ".join(padded).rstrip()


def _time(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:,.1f} us"
    return f"{seconds * 1e3:,.2f} ms" if seconds < 1 else f"{seconds:,.2f} s"


def profile() -> Profile:
    """Watch all kernels inside a block: `with kernels.profile() as p: ...`, then `print(p)`.

    Profiles can be nested, and each counts by itself. What other threads launch meanwhile is counted too.

    >>> import numpy as np
    >>> import kernels
    >>> from kernels import formulas
    >>> with kernels.profile() as p:
    ...     _ = kernels.backend_for("cpu").apply(formulas.relu, np.ones(1000, np.float32))
    >>> [(entry.calls, entry.device, entry.bytes) for entry in p.kernels]
    [(1, 'cpu', 8000)]
    """
    return Profile()
