"""What every test relies on: this checkout's packages, fixed seeds, and memory that shows what was never written."""

import os
import random
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import autograd
import kernels
import nn
from kernels import memory
from kernels.cuda import driver

with suppress(ImportError):
    from hypothesis import HealthCheck, settings

    # The same examples every time; the first use of a kernel compiles it, and a busy machine is no reason to fail.
    settings.register_profile(
        "gradloom", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("gradloom")

ROOT = Path(__file__).resolve().parents[1]

for package in (autograd, kernels, nn):
    if Path(package.__file__).resolve().parents[1] != ROOT:
        # Another distribution has an import package of this name too; the README's section on names says more.
        raise pytest.UsageError(f"the tests of {ROOT} would test {package.__file__}: another {package.__name__} is in the way")

os.environ.pop("PYTEST_XDIST_WORKER", None)  # tests start pytest themselves, and what they start is no worker

# Without a GPU the tests of device "cuda" run in the simulator.
if "GRADLOOM_CUDA" not in os.environ and driver.state() == driver.ABSENT and driver.simulator_available():
    os.environ["GRADLOOM_CUDA"] = "sim:2"
    driver.state.cache_clear()


def pytest_collection_finish(session):
    """Compiling all CUDA kernels takes as long as many tests, and begins beside the first.

    Where pytest-xdist runs the tests in several processes, each core has work already: they compile what they look at.
    """
    import compile_jobs

    if hasattr(session.config, "workerinput"):
        return
    items = [item for item in session.items if item.path.name == "test_compiled.py" and hasattr(item, "callspec")]
    jobs = [item.callspec.params["job"] for item in items if "job" in item.callspec.params]
    if jobs and not session.config.option.collectonly and driver.compiler_available():
        compile_jobs.start(jobs)


@pytest.fixture(scope="session", autouse=True)
def poisoned_memory():
    """New memory is full of NaN: a kernel that leaves an element unwritten is noticed."""
    memory.set_poison(True)
    yield
    memory.set_poison(False)


@pytest.fixture(autouse=True)
def seeds():
    """Each test draws the same numbers, whichever tests run before it."""
    random.seed(0)
    np.random.seed(0)
    autograd.manual_seed(0)
