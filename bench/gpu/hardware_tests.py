"""All tests of device "cuda" on hardware, in several processes; and some of them under compute-sanitizer."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from importlib import util
from pathlib import Path
from typing import Any

from bench.gpu.pytest_plugin import append, events
from bench.gpu.report import Report
from bench.gpu.supervisor import end, environment
from bench.machine import ROOT
from bench.suite import progress

TESTS = ("tests/kernels/cuda", "tests/autograd/ops/test_on_cuda.py")
REHEARSED = ("tests/kernels/cuda/test_random.py",)
NO_ANSWER = 60.0  # seconds that a test may take
MOST_STARTS = 5  # of each process
MOST_PROCESSES = 6
# Under compute-sanitizer Python is ten times slower: one case of each test of the kernels that share memory.
SANITIZED = [f"test_{family}.py" for family in ("softmax", "reduce", "matmul", "norm", "cross_entropy", "elementwise")]
TOOLS = ("memcheck", "racecheck")
ERRORS = 9  # the sanitizer's exit status where it found something


def pytest_command(*arguments: str) -> list[str]:
    """pytest with our plugin; no cache, which several processes would write at once."""
    return [sys.executable, "-m", "pytest", "-q", "-p", "bench.gpu.pytest_plugin", "-p", "no:cacheprovider", *arguments]


class Share:
    """A process that runs some of the tests, and is started again where it left off."""

    def __init__(self, folder: Path, number: int, count: int, tests: Sequence[str], rehearsal: bool, limit: float) -> None:
        self.path, self.log = folder / f"share{number}.jsonl", folder / f"share{number}.txt"
        self.command = pytest_command(*tests)
        more = {"GRADLOOM_REPORTS": str(self.path), "GRADLOOM_SHARD": f"{number}/{count}"}
        if rehearsal:
            more["GRADLOOM_MOST"] = "1"
        self.environment, self.limit = environment(rehearsal, **more), limit
        self.starts, self.last, self.size, self.note = 0, 0.0, -1, ""
        self.process: subprocess.Popen | None = None
        self.start()

    def start(self) -> None:
        """Begin, or go on."""
        self.starts += 1
        self.last = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def goes_on(self) -> bool:
        """Whether anything is left to wait for; starts again what came to an end too early."""
        assert self.process is not None
        size = self.path.stat().st_size if self.path.exists() else -1
        if size != self.size:
            self.size, self.last = size, time.monotonic()
        if self.process.poll() is None:
            if time.monotonic() - self.last < self.limit:
                return True
            end(self.process)
            self.note = f"no answer within {self.limit:.0f} s"
        found = events(self.path)
        running = unfinished(found)
        if running:
            message = self.note or f"the process came to an end, with exit status {self.process.returncode}"
            append(self.path, event="result", id=running, outcome="failed", seconds=0.0, message=message)
        lost = any(e["event"] == "lost" for e in found[-2:])
        self.note = ""
        if (running or lost) and self.starts < MOST_STARTS:
            self.start()
            return True
        return False


def going_on(shares: Sequence[Share]) -> bool:
    """Whether any process still runs; all of them are looked after."""
    return sum([share.goes_on() for share in shares]) > 0


def unfinished(found: list[dict[str, Any]]) -> str:
    """The test that was begun and has no result."""
    begun = [e["id"] for e in found if e["event"] == "start"]
    ended = {e["id"] for e in found if e["event"] == "result"}
    return begun[-1] if begun and begun[-1] not in ended else ""


def run_tests(report: Report, seconds: float) -> None:
    """Run them for so long at most; what went wrong goes into the report."""
    if util.find_spec("pytest") is None:
        report.tests = {"summary": "failed: pytest is not installed (pip install pytest)", "failed": [], "not run": []}
        return
    progress("tests")
    begin = time.monotonic()
    cores = os.cpu_count() or 1
    count = 1 if report.rehearsal else max(1, min(MOST_PROCESSES, cores // 2))
    tests = [t for t in (REHEARSED if report.rehearsal else TESTS) if (ROOT / t).exists()]
    with tempfile.TemporaryDirectory() as folder:
        shares = [Share(Path(folder), k, count, tests, report.rehearsal, NO_ANSWER) for k in range(count)]
        try:
            while time.monotonic() - begin < seconds and going_on(shares):
                time.sleep(0.2)
        finally:
            for share in shares:
                if share.process is not None:
                    end(share.process)
            spent = time.monotonic() - begin
            report.tests = summary([events(share.path) for share in shares], spent, seconds, count)
            report.folder.mkdir(parents=True, exist_ok=True)
            logs = [share.log.read_text(encoding="utf-8", errors="replace") for share in shares if share.log.exists()]
            if not report.tests["results"] and not report.rehearsal:
                report.tests["summary"] += f": {' '.join(logs[0].split())[-300:] if logs else 'pytest did not start'}"
            (report.folder / f"{report.name}-tests.txt").write_text("\n".join(logs), encoding="utf-8")
            report.spent("tests")
            report.write()


def summary(found: list[list[dict[str, Any]]], spent: float, limit: float, processes: int) -> dict[str, Any]:
    """All shares' events together."""
    results: dict[str, dict[str, Any]] = {}
    collected: list[str] = []
    broken: dict[str, str] = {}
    running: list[str] = []
    for share in found:
        for event in share:
            if event["event"] == "result" and results.get(event["id"], {}).get("outcome") != "failed":
                results[event["id"]] = event
            elif event["event"] == "collected":
                collected += event["ids"]
            elif event["event"] == "not collected":
                broken[event["id"]] = event["message"]
        running += [unfinished(share)] if unfinished(share) else []
    collected = list(dict.fromkeys(collected))
    counts = Counter(event["outcome"] for event in results.values())
    left = [test for test in collected if test not in results]
    parts = [f"{counts[name]} {name}" for name in ("passed", "failed", "skipped", "expected failure") if counts[name]]
    if broken:
        parts.append(f"{len(broken)} files not collected")
    if left:
        parts.append(f"{len(left)} not run")
    why = f" (the limit is {limit:.0f} s)" if left and spent >= limit else ""
    return {
        "summary": f"{', '.join(parts) or 'no test was run'}, in {spent:.0f} s{why}, {processes} processes",
        "seconds": spent,
        "counts": dict(counts),
        "results": len(results),
        "failed": [{k: e[k] for k in ("id", "message")} for e in results.values() if e["outcome"] == "failed"],
        "skipped": dict(Counter(e["message"] for e in results.values() if e["outcome"] == "skipped")),
        "not collected": [{"id": name, "message": message} for name, message in broken.items()],
        "not run": left,
        "running when time was up": running,
    }


# --- compute-sanitizer ------------------------------------------------------------------------------------------------


def find_sanitizer() -> str | None:
    """The tool on PATH, in the CUDA toolkit's usual places, or in a package from PyPI."""
    found = shutil.which("compute-sanitizer")
    if found:
        return found
    roots = [os.environ[name] for name in ("CUDA_HOME", "CUDA_PATH", "CONDA_PREFIX") if os.environ.get(name)]
    roots += sorted(glob.glob("/usr/local/cuda*"), reverse=True) + ["/opt/cuda"]
    patterns = [f"{root}/{place}" for root in roots for place in ("bin", "compute-sanitizer", "extras/compute-sanitizer")]
    packages = sysconfig.get_paths()["purelib"]
    patterns += [f"{packages}/nvidia/*/{place}" for place in ("bin", "compute-sanitizer", "extras/compute-sanitizer")]
    for pattern in patterns:
        for path in sorted(glob.glob(f"{pattern}/compute-sanitizer")):
            if os.access(path, os.X_OK) and not os.path.isdir(path):
                return path
    return None


def run_sanitizer(report: Report, seconds: float) -> None:
    """Each tool on a few tests, for so long at most in all."""
    tool = None if report.rehearsal else find_sanitizer()
    if tool is None:
        why = "a rehearsal" if report.rehearsal else "compute-sanitizer was found neither on PATH nor in a CUDA toolkit"
        why = f"not run: {why}"
        report.sanitizer = [{"tool": name, "summary": why} for name in TOOLS]
        report.write()
        return
    tests = [str(Path("tests/kernels/cuda") / name) for name in SANITIZED if (ROOT / "tests/kernels/cuda" / name).exists()]
    deadline = time.monotonic() + seconds
    for number, name in enumerate(TOOLS):
        progress(f"compute-sanitizer: {name}")
        left = (deadline - time.monotonic()) / (len(TOOLS) - number)
        report.sanitizer.append({"tool": name, **sanitize(tool, name, tests, left)})
        report.spent("sanitizer")
        report.write()


def sanitize(tool: str, name: str, tests: Sequence[str], seconds: float) -> dict[str, Any]:
    """What one tool finds."""
    with tempfile.TemporaryDirectory() as folder:
        reports, log = Path(folder) / "reports.jsonl", Path(folder) / "log.txt"
        more = {"GRADLOOM_REPORTS": str(reports), "GRADLOOM_MOST": "1", "GRADLOOM_EXACT": "1"}
        options = ["--tool", name, "--error-exitcode", str(ERRORS), "--print-limit", "20"]
        if name == "memcheck":
            options += ["--report-api-errors", "no"]  # some tests ask for memory that there is not
        command = [tool, *options, *pytest_command(*tests)]
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment(False, **more), stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )
            try:
                process.wait(max(seconds, 1.0))
            except subprocess.TimeoutExpired:
                pass
            finally:
                cut = process.poll() is None
                end(process)
        found = events(reports)
        counts = Counter(e["outcome"] for e in found if e["event"] == "result")
        said = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.startswith("=========")]
    told = next((line.strip("= ") for line in reversed(said) if "SUMMARY" in line), "")
    # Every error is told with "=========" and a text; the lines of a peaceful run are the banner and the summary.
    words = ("Invalid", "Error:", "hazard", "Misaligned", "Program hit", "Out-of-range", "Uninitialized")
    errors = [line for line in said if any(word in line for word in words) and "terminate" not in line]
    ran = ", ".join(f"{n} {outcome}" for outcome, n in counts.items()) or "no test finished"
    state = told or f"exit status {process.returncode}"
    if cut:
        state = f"ended after {seconds:.0f} s; {len(errors)} errors reported until then"
    return {
        "summary": f"{state}; tests: {ran}",
        "clean": not errors and process.returncode != ERRORS and bool(counts),
        "output": "\n".join(said[:60]) if errors or process.returncode == ERRORS else "",
    }
