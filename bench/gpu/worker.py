"""The process that uses the GPU: runs cases one after the other and says on standard output, a line of JSON each, what is
going on. It is started by `bench.gpu.supervisor`, which starts another one where this comes to an end too early.
"""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
import sys
import time
from importlib import import_module, metadata
from typing import Any

from bench.gpu.report import FAILED, NOT_RUN, Row
from bench.machine import ROOT

MARK = "@gradloom "
LOST = 70  # exit status: the GPU answers no more
LONGEST_CASE = 4.0  # seconds of timing; most need far less
# Where the cases of each part are.
CASES = {
    "ceilings": ("ceilings", "cases"),
    "elementwise": ("elementwise", "cases"),
    "fuse": ("elementwise", "fuse_cases"),
    "optimizers": ("elementwise", "optimizer_cases"),
    "reductions": ("reductions", "cases"),
    "rows": ("reductions", "row_cases"),
    "random": ("reductions", "random_cases"),
    "matmul": ("matmul", "cases"),
    "ladder": ("matmul", "ladder_cases"),
    "overhead": ("overhead", "cases"),
    "memory": ("overhead", "memory_cases"),
    "training": ("training", "cases"),
}
PACKAGES = ("numpy", "numba", "numba-cuda", "cuda-core", "cuda-bindings", "torch", "cupy", "pytest")


def say(kind: str, **content: Any) -> None:
    """A message to the supervisor."""
    print(MARK + json.dumps({"kind": kind, **content}), flush=True)


def main(task: dict[str, Any]) -> int:
    """Run the parts of the task without what is done; 0 when all cases were run or listed."""
    from bench.gpu.contest import Bench

    end = time.monotonic() + task["seconds"]
    bench = Bench(task["rehearsal"])
    say("machine", machine=describe(bench))
    done, failures = set(task["done"]), []
    cases = []
    for part in task["parts"]:
        try:
            module, function = CASES[part]
            cases += getattr(import_module(f"bench.gpu.{module}"), function)(bench)
        except Exception as error:
            row = Row(part, "all", status=FAILED, note=f"{type(error).__name__}: {error}")
            failures += [row] if row.id not in done else []
    say("cases", cases=[(case.part, case.name, case.size) for case in cases])
    for row in failures:
        say("row", row=row.as_dict(), id=row.id)
    cases = [case for case in cases if case.id not in done]
    if cases and not bench.rehearsal and (task["done"] or "ceilings" not in task["parts"]):
        bench.measure_ceilings()
    for number, case in enumerate(cases):
        left = end - time.monotonic()
        if left <= 0:
            row = Row(case.part, case.name, case.size, NOT_RUN, "time was up")
            say("row", row=row.as_dict(), id=case.id)
            continue
        say("begin", id=case.id)
        rows = bench.run(case, min(LONGEST_CASE, 1.5 * left / (len(cases) - number)))
        for row in rows[:-1]:
            say("row", row=row.as_dict(), id="")
        say("row", row=rows[-1].as_dict(), id=case.id)
        if rows[-1].status == FAILED and not answers(bench):
            return LOST
    say("done")
    return 0


def answers(bench: Any) -> bool:
    """Whether the GPU still works: after an illegal access it does not, for this process."""
    try:
        import numpy as np

        bench.release()
        bench.synchronize()
        return float(bench.kernels.to_numpy(bench.kernels.from_numpy(np.ones(4, np.float32)))[0]) == 1.0
    except Exception as error:
        print(f"bench.gpu: the GPU is lost to this process: {error}", file=sys.stderr)
        return False


def version(distribution: str) -> str | None:
    """The installed version; CuPy's distributions are named after CUDA's versions."""
    names = ("cupy", "cupy-cuda13x", "cupy-cuda12x") if distribution == "cupy" else (distribution,)
    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
    return None


def describe_host() -> dict[str, Any]:
    """What can be said without touching the GPU."""
    return {
        "gpu": ask("nvidia-smi", "--query-gpu=name", "--format=csv,noheader", "-i", "0") or "a GPU",
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) or "not installed" for name in PACKAGES},
        "gradloom": commit(),
    }


def describe(bench: Any) -> dict[str, Any]:
    """What the figures depend on."""
    runtime = bench.runtime
    found: dict[str, Any] = {
        **describe_host(),
        "gpu": runtime.name(0),
        "capability": ".".join(map(str, runtime.capability(0))),
        "multiprocessors": runtime.multiprocessors(0),
        "memory": f"{bench.memory / 1e9:.1f} GB, {bench.free / 1e9:.1f} free at the start",
        "second-level cache": f"{bench.cache / 2**20:.0f} MiB",
        "driver": "none: a simulator" if bench.rehearsal else driver(),
    }
    for name, why in bench.missing.items():
        found[name] = f"{found[name]}: not used ({why})"
    return found


def driver() -> str:
    """The driver's version, CUDA's, and how busy the GPU was with others' work."""
    wanted = "--query-gpu=driver_version,utilization.gpu,clocks.max.sm,power.limit"
    text = ask("nvidia-smi", wanted, "--format=csv,noheader", "-i", "0")
    names = ("", "in use ", "clock up to ", "power limit ")
    parts = [f"{name}{value.strip()}" for name, value in zip(names, text.split(","), strict=False)] if text else []
    try:
        from cuda.bindings import driver as cu  # pyright: ignore

        number = int(cu.cuDriverGetVersion()[1])
        parts.append(f"CUDA {number // 1000}.{number % 1000 // 10}")
    except Exception as error:
        parts.append(f"CUDA unknown ({error})")
    return ", ".join(parts)


def commit() -> str:
    """The commit of this checkout, and whether files differ from it."""
    name = ask("git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD")
    if not name:
        return "a checkout without git"
    return f"{name} with changes" if ask("git", "-C", str(ROOT), "status", "--porcelain", "-uno") else name


def ask(*command: str) -> str:
    """The first line that a program prints; nothing where it cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return (done.stdout.strip().splitlines() or [""])[0]
    except (OSError, subprocess.SubprocessError):
        return ""


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
