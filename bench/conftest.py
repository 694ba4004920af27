"""`pytest bench`: the cases under pytest-benchmark, one thread each; `--benchmark-disable` runs and checks each once.

`benchmark.extra_info` has GFLOP/s, GB/s, the fraction of the measured peak, and the ratios to NumPy and PyTorch.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bench import machine

if "numpy" not in sys.modules:  # a BLAS reads them once
    os.environ.update(dict.fromkeys(machine.BLAS_VARIABLES, "1"))
machine.torch_module()  # before `kernels`; see there

from bench import harness, suite  # noqa: E402

_rows: list[suite.Row] = []


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """One thread for everybody, and what it was before afterwards."""
    import kernels

    torch = machine.torch_module()
    before = kernels.get_num_threads(), torch.get_num_threads() if torch is not None else 1
    machine.use_threads(1)
    yield
    kernels.set_num_threads(before[0])
    if torch is not None:
        torch.set_num_threads(before[1])


@pytest.fixture
def run_case(benchmark: Any) -> Callable[[suite.Case], None]:
    """Check a case; measure it against its peers; hand ours to pytest-benchmark."""

    def run(case: suite.Case) -> None:
        work = case.make()
        if benchmark.disabled:
            for name, contender in work.contenders.items():
                harness.check(name, contender(), work.reference, work.tolerance, work.scale)
        else:
            row = suite.measure(case, work, budget=3.0)
            _rows.append(row)
            benchmark.group = case.family
            benchmark.extra_info.update(row.as_dict())
        benchmark(work.contenders["ours"])

    return run


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What pytest-benchmark's own table does not show."""
    if _rows:
        terminalreporter.write_line("\n" + machine.headline({**machine.describe(), "threads": 1}))
        terminalreporter.write_line(suite.table(suite.HEADINGS, [row.cells() for row in _rows]))
        terminalreporter.write_line(suite.LEGEND)
