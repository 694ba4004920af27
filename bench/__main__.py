"""`python -m bench`: the engine's promises, then every kernel family, in less than five minutes on a quiet machine."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import engine, harness, machine

FAMILIES = ("overhead", "elementwise", "reduce", "rows", "sorting", "indexing", "moving", "matmul")  # the longest comes last
SECONDS = 170.0  # for all of them; where time runs out a case gets fewer rounds, and says so
LONGEST_CASE = 6.0
QUICK_ROUNDS = 5


def run_families(names: Sequence[str], threads: int, quick: bool) -> dict[str, Any]:
    """Measure the families in this process, and print each table when it is complete."""
    machine.torch_module()
    from bench.cases import cases_of
    from bench.suite import HEADINGS, LEGEND, measure, progress, table

    machine.use_threads(threads)
    described = machine.describe()
    print(machine.headline(described), LEGEND, sep="\n")
    names = [name for name in FAMILIES if name in names]
    cases = {name: [case for case in cases_of(name) if not (quick and case.large)] for name in names}
    left = sum(map(len, cases.values()))
    end = time.monotonic() + (SECONDS / 4 if quick else SECONDS)
    results = []
    for name, own in cases.items():
        rows = []
        for case in own:
            progress(f"{name}: {case.label}")
            budget = min(LONGEST_CASE, 3 * max(0.0, end - time.monotonic()) / left)  # most cases need far less than their share
            rows.append(measure(case, threads=threads, rounds=QUICK_ROUNDS if quick else harness.ROUNDS, budget=budget))
            left -= 1
        progress("")
        print(f"\n{name}\n{table(HEADINGS, [row.cells() for row in rows])}", flush=True)
        results += [row.as_dict() for row in rows]
    return {"machine": described, "rows": results}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Micro-benchmarks, next to NumPy and PyTorch.")
    choices = ("engine", *FAMILIES)
    parser.add_argument("--only", nargs="+", choices=choices, default=choices, metavar="TABLE", help=f"of {', '.join(choices)}")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, no large arrays, one thread: a first impression")
    parser.add_argument("--threads", type=int, default=1, help="for everybody in the families' tables (default 1)")
    parser.add_argument("--json", metavar="FILE", help="also write all figures to FILE")
    options = parser.parse_args(arguments)
    if not 1 <= options.threads <= machine.cores():
        parser.error(f"--threads: from 1 to {machine.cores()}, the cores this process may use")
    families = [name for name in options.only if name != "engine"]
    figures: dict[str, Any] = {}

    if machine.prepared_for(options.threads) and "engine" not in options.only:
        figures["families"] = run_families(families, options.threads, options.quick)
    else:
        if "engine" in options.only:
            rounds = QUICK_ROUNDS if options.quick else harness.ROUNDS
            figures["engine"] = engine.collect(rounds, with_two_threads=not options.quick)
            print(f"{engine.render(figures['engine'])}\n", flush=True)
        if families:
            with tempfile.TemporaryDirectory() as folder:
                kept = Path(folder) / "families.json"
                again = ["-m", "bench", "--only", *families, "--threads", str(options.threads), "--json", str(kept)]
                done = machine.run_python([*again, *(["--quick"] if options.quick else [])], options.threads)
                if done.returncode:
                    return done.returncode
                figures.update(json.loads(kept.read_text(encoding="utf-8")))
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
