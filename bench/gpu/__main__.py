"""`python -m bench.gpu --out DIR`: see the package's text."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.gpu.report import FAILED, PARTS, Report
from bench.suite import progress

MINUTES = 8.0
TESTS_SECONDS, SANITIZER_SECONDS = 150.0, 50.0  # of eight minutes; less where there are less


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog="python -m bench.gpu",
        description="Tests and figures on this machine's GPU, next to PyTorch and CuPy where they are installed.",
    )
    made.add_argument("--out", type=Path, required=True, metavar="DIR", help="where results.md and results.json go")
    made.add_argument("--minutes", type=float, default=MINUTES, help=f"for everything (default {MINUTES:g}); the rest is not run")
    made.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}")
    made.add_argument(
        "--rehearse", action="store_true", help="all parts on tiny arrays in the simulator, without times: no GPU is needed"
    )
    return made


def missing() -> str:
    """Why the GPU cannot be used; nothing where it can."""
    asked = os.environ.get("GRADLOOM_CUDA", "")
    if asked.startswith("sim"):
        return "GRADLOOM_CUDA=sim asks for the simulator, whose times mean nothing: unset it, or add --rehearse"
    from kernels.cuda import driver

    return "" if driver.state() == driver.HARDWARE else driver.why_absent()


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when everything was right, 1 where something failed, 2 without a GPU."""
    options = parser().parse_args(arguments)
    if not options.rehearse:
        why = missing()
        if why:
            print(f"bench.gpu: no GPU can be used here: {why}.", file=sys.stderr)
            print("With --rehearse everything is gone through in the simulator, without times.", file=sys.stderr)
            return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended from outside is interrupted: processes of ours end, too
    from bench.gpu import hardware_tests, supervisor, worker

    begin = time.monotonic()
    seconds = 60 * options.minutes
    deadline = begin + seconds
    report = Report(options.out, options.rehearse)
    report.machine = worker.describe_host()
    report.write()
    families = [part for part in options.only if part not in ("tests", "sanitizer")]
    try:
        if "tests" in options.only:
            share = TESTS_SECONDS / (60 * MINUTES) if families else 0.7
            hardware_tests.run_tests(report, min(share * seconds, deadline - time.monotonic()))
        if "sanitizer" in options.only:
            share = SANITIZER_SECONDS / (60 * MINUTES) if families else 0.3
            hardware_tests.run_sanitizer(report, min(share * seconds, deadline - time.monotonic()))
        if families or not options.rehearse:  # without parts it says what the machine is
            supervisor.measure(report, [part for part in PARTS if part in families], deadline)
        report.finished = True
    except KeyboardInterrupt:
        print("\ninterrupted: what there is so far is written", file=sys.stderr)
        return 130
    finally:
        report.write()
        progress("")
    print(f"{report.folder / report.name}.md and .json, in {time.monotonic() - begin:.0f} s")
    failed = [row.id for row in report.rows if row.status == FAILED]
    wrong = bool(report.tests.get("failed") or report.tests.get("not collected"))
    wrong = wrong or ("tests" in options.only and not report.tests.get("results"))
    unclean = any(found.get("clean") is False for found in report.sanitizer)
    for line in failed:
        print(f"failed: {line}")
    return 1 if failed or wrong or unclean else 0


if __name__ == "__main__":
    sys.exit(main())
