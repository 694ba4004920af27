"""`python -m bench.engine`: the engine's promises, each as a ratio of the peer's time to ours.

One process, one thread each, taking turns; then a second process in which everybody has two threads. Importing is timed
in processes of its own. `--json FILE` keeps the figures.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import harness, machine

IMPORT_ROUNDS = 7
SECONDS_EACH = 1.0  # at least, with one thread
LEGEND = """\
ratio: the peer's best time over ours, so above 1 ours is faster; "1 thread" and "2 threads" by the wall clock, "cpu" by the CPU
time of one thread, which is steadier on a shared machine. The mark goes by "1 thread"."""
HEADINGS = ("work", "peer", "ours", "peer's", "1 thread", "cpu", "2 threads", "at least", "aim", "")


@dataclass(frozen=True)
class Promise:
    """One line: the work, who it is measured against, and the ratios asked for (None for a line that is only for comparison)."""

    work: str
    peer: str
    at_least: float | None
    aim: float | None
    make: Callable[[], Any] | None = None  # a suite.Work; None for imports


def promises() -> list[Promise]:
    """The table of the issue, and below it what PyTorch does with an option that is not its default."""
    from bench.cases import matmul, overhead, training

    small, large = partial(training.training_step, (64, 128, 10), 64), partial(training.training_step, (784, 512, 512, 10), 128)
    return [
        Promise("one elementwise operation on 16 floats, recorded", "torch", 1.0, 1.5, partial(overhead.multiplication, True)),
        Promise("forward + backward per operation, chain of 100 on 16 floats", "torch", 1.2, 2.0, overhead.chain),
        Promise("training step 64-128-10, batch 64", "torch", 1.5, 3.0, small),
        Promise("training step 784-512-512-10, batch 128", "torch", 0.9, 1.1, large),
        *(Promise(f"matmul {n}, float32", "numpy", 0.8, 1.0, partial(matmul.square, n)) for n in (512, 1024, 2048)),
        *(
            Promise(f"{name} over 1M floats", "torch", 1.5, 4.0, partial(overhead.forward, name, 1024))
            for name in ("softmax", "gelu", "tanh")
        ),
        Promise("import autograd, nn against import torch", "torch", 3.0, 10.0),
        Promise("  64-128-10 against Adam(fused=True)", "torch", None, None, partial(small, fused_adam=True)),
        Promise("  784-512-512-10 against Adam(fused=True)", "torch", None, None, partial(large, fused_adam=True)),
    ]


# --- measuring: in a process for each number of threads ---------------------------------------------------------------


def measure_all(threads: int, rounds: int) -> Iterator[dict[str, Any]]:
    """The figures of every line, one after the other; a line whose peer is not installed has ours alone."""
    machine.torch_module()
    from bench.suite import PAUSE

    machine.use_threads(threads)
    for promise in promises():
        if promise.make is None:
            continue
        work = promise.make()
        taking_part = {name: f for name, f in work.contenders.items() if name in ("ours", promise.peer)}
        result = harness.compare(
            taking_part, work.reference, work.tolerance, work.scale, rounds,
            per_call=work.per_call, pause=PAUSE if threads > 1 else 0.0, seconds=SECONDS_EACH if threads == 1 else 0.0,
        )  # fmt: skip
        yield _figures(promise, result)


def measure_imports(rounds: int) -> dict[str, Any]:
    """How long it takes to start Python and import us, or PyTorch, and nothing else."""
    promise = next(p for p in promises() if p.make is None)
    importing = {"ours": "import autograd, nn"}
    if machine.torch_installed():
        importing["torch"] = "import torch"
    contenders = {name: partial(_run, text) for name, text in importing.items()}
    result = harness.compare(contenders, rounds=rounds, shortest_sample=0.0, cpu_clock=_seconds_of_children)
    return _figures(promise, result)


def _run(statement: str) -> None:
    subprocess.run([sys.executable, "-c", statement], cwd=machine.ROOT, check=True)


def _seconds_of_children() -> float:
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _figures(promise: Promise, result: harness.Comparison) -> dict[str, Any]:
    peer = result.timings.get(promise.peer)
    return {
        "work": promise.work,
        "ours": result["ours"].best,
        "peer": None if peer is None else peer.best,
        "ratio": result.ratio(promise.peer),
        "cpu_ratio": result.cpu_ratio(promise.peer),
        "rounds": result.rounds,
    }


# --- the table ----------------------------------------------------------------------------------------------------------


def collect(rounds: int = harness.ROUNDS, with_two_threads: bool = True) -> dict[str, Any]:
    """Measure everything in fresh processes: {"machine": ..., "rows": [...]}, a row with its ratios and what was promised."""
    columns: dict[int, dict[str, dict[str, Any]]] = {}
    described: dict[str, Any] = {}
    for threads in (1, 2) if with_two_threads and machine.cores() > 1 else (1,):
        arguments = ["-m", "bench.engine", "--worker", str(threads), "--rounds", str(rounds)]
        done = machine.run_python(arguments, threads, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise SystemExit(f"bench.engine: measuring with {threads} thread(s) failed")
        described_now, *rows = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
        described = described or described_now
        columns[threads] = {row["work"]: row for row in rows}
    imports = measure_imports(min(rounds, IMPORT_ROUNDS))
    columns[1][imports["work"]] = imports
    rows = []
    for promise in promises():
        row = {**columns[1][promise.work], "peer_name": promise.peer, "at_least": promise.at_least, "aim": promise.aim}
        row["ratio_two_threads"] = columns.get(2, {}).get(promise.work, {}).get("ratio")
        rows.append(row)
    return {"machine": described, "rows": rows}


def render(figures: dict[str, Any]) -> str:
    """The figures as text."""
    from bench.suite import duration, table, times

    lines = []
    for row in figures["rows"]:
        promised = [f"{row[key]:.1f}" if row[key] is not None else "" for key in ("at_least", "aim")]
        lines.append(
            [
                row["work"],
                {"numpy": "NumPy", "torch": "PyTorch"}[row["peer_name"]],
                duration(row["ours"]),
                "n/a" if row["peer"] is None else duration(row["peer"]),
                *("n/a" if row[key] is None else times(row[key]) for key in ("ratio", "cpu_ratio", "ratio_two_threads")),
                *promised,
                mark(row["ratio"], row["at_least"], row["aim"]),
            ]
        )
    return f"{machine.headline(figures['machine'])}\n\n{table(HEADINGS, lines)}\n{LEGEND}"


def mark(ratio: float | None, at_least: float | None, aim: float | None) -> str:
    """What a ratio is worth."""
    if ratio is None or at_least is None or aim is None:
        return ""
    return "aim reached" if ratio >= aim else "kept" if ratio >= at_least else "BELOW"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description="The engine's promises, measured.")
    parser.add_argument("--quick", action="store_true", help="five rounds and one thread only: a first impression")
    parser.add_argument("--rounds", type=int, default=None, help=f"samples of each contender (default {harness.ROUNDS})")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to FILE")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    rounds = options.rounds or (5 if options.quick else harness.ROUNDS)
    if options.worker:
        machine.torch_module()
        machine.use_threads(options.worker)
        print(json.dumps(machine.describe()), flush=True)
        for row in measure_all(options.worker, rounds):
            print(json.dumps(row), flush=True)
            print(f"  {row['work'].strip()}, {options.worker} thread(s)", file=sys.stderr, flush=True)
        return
    figures = collect(rounds, with_two_threads=not options.quick)
    print(render(figures))
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
