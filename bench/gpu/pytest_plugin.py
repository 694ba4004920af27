"""Loaded into pytest by `python -m bench.gpu`: writes down how each test went, at once, and chooses which are run.

GRADLOOM_REPORTS: the file, a line of JSON for each event; tests that are in it already are left out, so that another
process goes on where one was taken down. GRADLOOM_SHARD: "0/4", this process's share of the tests. GRADLOOM_MOST: so many
cases of each test function. GRADLOOM_EXACT: device memory in pieces of exactly the size asked for, so that
compute-sanitizer sees what lies beyond an array.
"""

from __future__ import annotations

import json
import os
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

# What CUDA reports when a kernel has destroyed the process's context: all that follows would fail, too.
FATAL = ("ILLEGAL_ADDRESS", "MISALIGNED_ADDRESS", "LAUNCH_FAILED", "LAUNCH_TIMEOUT", "HARDWARE_STACK", "ILLEGAL_INSTRUCTION")
# Files that test what surrounds the kernels, on the CPU: they come last, in case time runs out.
LAST = ("compiled", "simulator", "emulation", "tracing", "ptx", "inspection", "mutation", "planted")


def append(path: Path, **event: Any) -> None:
    """Add a line to a file."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(event) + "\n")


def write(**event: Any) -> None:
    """Add a line to the file that the environment names."""
    append(Path(os.environ["GRADLOOM_REPORTS"]), **event)


def events(path: Path) -> list[dict[str, Any]]:
    """What is in a file so far; a line that is being written is left out."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]:
        try:
            found.append(json.loads(line))
        except ValueError:  # the process was ended while it wrote this
            continue
    return found


class Plugin:
    """The hooks."""

    def __init__(self) -> None:
        self.session: Any = None

    def pytest_sessionstart(self, session: Any) -> None:
        self.session = session
        if os.environ.get("GRADLOOM_EXACT"):
            from kernels.cuda.allocator import CachingAllocator

            made = CachingAllocator.__init__

            def exact(self: Any, *arguments: Any, **options: Any) -> None:
                made(self, *arguments, **options)
                self.exact = True

            CachingAllocator.__init__ = exact  # type: ignore[method-assign]

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            write(event="not collected", id=report.nodeid, message=last_line(report.longreprtext))

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        done = {e["id"] for e in events(Path(os.environ["GRADLOOM_REPORTS"])) if e["event"] in ("start", "result")}
        share, shares = map(int, os.environ.get("GRADLOOM_SHARD", "0/1").split("/"))
        most = int(os.environ.get("GRADLOOM_MOST", "0"))
        seen: Counter[str] = Counter()
        kept = []
        for item in items:
            function = item.nodeid.partition("[")[0]
            seen[function] += 1
            if most and seen[function] > most:
                continue
            if zlib.crc32(item.nodeid.encode()) % shares == share:
                kept.append(item)
        write(event="collected", ids=[item.nodeid for item in kept])
        kept = [item for item in kept if item.nodeid not in done]
        kept.sort(key=lambda item: any(word in Path(str(item.fspath)).stem for word in LAST))
        items[:] = kept

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        write(event="start", id=nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when != "call" and report.passed:
            return
        outcome = "expected failure" if hasattr(report, "wasxfail") else report.outcome
        if report.skipped and isinstance(report.longrepr, tuple):
            message = str(report.longrepr[2])
        else:
            message = "" if report.passed else last_line(report.longreprtext)
        write(event="result", id=report.nodeid, outcome=outcome, seconds=round(report.duration, 3), message=message)
        if report.failed and any(name in report.longreprtext for name in FATAL):
            write(event="lost")
            self.session.shouldstop = "the GPU is lost to this process"


def last_line(text: str) -> str:
    """Where pytest's text says what was wrong: the first line with an E in front, or the last."""
    lines = [line for line in text.splitlines() if line.strip()]
    marked = [line[1:].strip() for line in lines if line.startswith("E ")]
    return (marked or lines or [""])[0][:500]


def pytest_configure(config: Any) -> None:
    """Register the hooks where a file is named."""
    if os.environ.get("GRADLOOM_REPORTS"):
        config.pluginmanager.register(Plugin(), "gradloom-bench")
