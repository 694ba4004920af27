"""Starts the worker, listens to it, and starts it again after a crash or where a case gives no answer."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from bench.gpu.report import FAILED, NOT_RUN, Report, Row
from bench.gpu.worker import LOST, MARK
from bench.machine import ROOT
from bench.suite import progress

NO_ANSWER = 45.0  # seconds without a word after which a case counts as failed; kernels may have to be compiled
START = 90.0  # the same for imports and the first contact with the GPU
GRACE = 5.0  # seconds that a worker may need beyond its time
MOST_STARTS = 12


def environment(rehearsal: bool, **more: str) -> dict[str, str]:
    """The environment of our processes: the GPU, or in a rehearsal the simulator."""
    env = {**os.environ, **more, "PYTHONUNBUFFERED": "1"}
    env.pop("GRADLOOM_CUDA", None)
    if rehearsal:
        env["GRADLOOM_CUDA"] = "sim"
    return env


def end(process: subprocess.Popen) -> None:
    """End a process that we started, and those that it started."""
    if process.poll() is None:
        try:
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)  # it leads a session of its own
            else:
                process.kill()
        except ProcessLookupError:
            pass
    process.wait()


class Listener:
    """A worker process, and what it says."""

    def __init__(self, task: dict[str, Any], module: str = "bench.gpu.worker") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, json.dumps(task)], cwd=ROOT, env=environment(task["rehearsal"]),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
        self.messages: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.errors: list[str] = []
        self._threads = [threading.Thread(target=f, daemon=True) for f in (self._read, self._read_errors)]
        for thread in self._threads:
            thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(MARK):
                self.messages.put(json.loads(line[len(MARK) :]))
        self.messages.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors.append(line.rstrip())
            del self.errors[:-40]

    def close(self) -> str:
        """End it; the last that it said on standard error."""
        end(self.process)
        for thread in self._threads:
            thread.join(2.0)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        said = [line for line in self.errors if line.strip()]
        return said[-1] if said else f"exit status {self.process.returncode}"


def measure(report: Report, parts: Sequence[str], deadline: float, module: str = "bench.gpu.worker") -> None:
    """Run all cases of the parts, each of which gives a row in any event. `deadline` is by `time.monotonic`."""
    cases: dict[str, tuple[str, str, str]] = {}
    done: list[str] = []
    why = "time was up"
    for _ in range(MOST_STARTS):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        task = {"parts": list(parts), "rehearsal": report.rehearsal, "done": done, "seconds": left}
        listener, current, error = Listener(task, module), "", ""
        try:
            while True:
                limit = min(NO_ANSWER if current else START, deadline + GRACE - time.monotonic())
                try:
                    message = listener.messages.get(timeout=max(limit, 0.1))
                except queue.Empty:
                    error = "time was up" if time.monotonic() >= deadline else f"no answer within {limit:.0f} s"
                    break
                if message is None or message["kind"] == "done":
                    break
                current = _take(report, message, cases, done, current)
        finally:
            last = listener.close()
        if message_is_done(message if not error else None):
            break
        lost = listener.process.returncode == LOST and not current
        if current:  # it went down, or was ended, within this case
            status = NOT_RUN if error == "time was up" else FAILED
            done.append(current)
            note = error or f"the process came to an end: {last}"
            if current in cases:
                report.add(Row(*cases[current], status, note))
        elif not lost:  # it did not get as far as the first case, or between two: no use in trying again
            why = error or f"the process that measures came to an end: {last}"
            break
    else:
        why = f"given up after {MOST_STARTS} starts"
    listed = list(cases.values()) or [(part, "all", "") for part in parts]
    for part, name, size in listed:
        row = Row(part, name, size, NOT_RUN if why == "time was up" else FAILED, why)
        if row.id not in done:
            report.add(row)


def message_is_done(message: dict[str, Any] | None) -> bool:
    """Whether this was the worker's last word."""
    return message is not None and message["kind"] == "done"


def _take(report: Report, message: dict[str, Any], cases: dict, done: list[str], current: str) -> str:
    """What a message means; the case that is being run afterwards."""
    kind = message["kind"]
    if kind == "machine":
        report.machine = {**message["machine"], "date": report.machine.get("date", message["machine"]["date"])}
        report.write()
    elif kind == "cases":
        cases.update((Row(*names).id, tuple(names)) for names in message["cases"])
    elif kind == "begin":
        progress(message["id"])
        return message["id"]
    elif kind == "row":
        report.add(Row.of(message["row"]))
        if message["id"]:
            done.append(message["id"])
            return ""
    return current
