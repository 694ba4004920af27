"""`python -m bench.ladder [size]`: the rate of every rung on this GPU; in the simulator only whether they are right."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bench.ladder import check, measure, rungs
from kernels.cuda import driver

SIZE = 4096
TINY = (33, 36, 20)  # rows, columns, depth


def main(arguments: Sequence[str]) -> int:
    if driver.state() == driver.ABSENT:
        print(f"The ladder needs a CUDA device: {driver.why_absent()}", file=sys.stderr)
        return 1
    if driver.state() == driver.SIMULATOR:
        print("No GPU here: gradloom's simulator runs the rungs on tiny matrices. It says whether they are right, and nothing "
              "about their speed.")  # fmt: skip
        for rung in rungs():
            print(f"{rung.name:22}{rung.idea:38}right: within {check(rung, *TINY):.2f} units in the last place", flush=True)
        return 0
    from kernels.cuda import runtime

    size = int(arguments[0]) if arguments else SIZE
    print(f"{runtime.current().name(0)}, float32, {size} x {size} x {size}")
    first = 0.0
    for rung in rungs():
        check(rung, 257, 260, 132)
        rate = measure(rung, size)
        first = first or rate
        print(f"{rung.name:22}{rung.idea:38}{rate / 1e12:8.2f} TFLOP/s{rate / first:8.1f} x the first", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
