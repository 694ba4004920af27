"""The launch door: observers, the number of threads, forked children, and several Python threads at once."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kernels
from kernels import cpu, formulas, launch

ROOT = Path(__file__).parents[2]


def run(program, **environment):
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program], env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.fixture
def thread_settings(monkeypatch):
    """Whatever the test sets is put back."""
    monkeypatch.setattr(launch, "_threads", launch._threads)
    monkeypatch.setattr(launch, "parallel_work", launch.parallel_work)


# --- observers -----------------------------------------------------------------------------------------------------


def test_observers_see_launches():
    x, seen = np.ones((3, 5), np.float32), []
    cpu.apply(formulas.add, x, x)
    with kernels.observe(seen.append):
        cpu.apply(formulas.add, x, x)
        cpu.apply(formulas.add, x, x[:, ::2][:, :1])
    cpu.apply(formulas.add, x, x)
    assert [one.kernel for one in seen] == ["add[float32]"] * 2
    first, second = seen
    assert first.device == "cpu" and first.flops == 15 and first.bytes == 3 * 60 and first.shapes == ((3, 5),) * 3
    assert first.seconds > 0 and first.begin > 0 and first.thread > 0
    assert second.flops == 15 and second.bytes == 2 * 60 + 12, "a broadcast column counts once"
    assert "add[float32] on cpu: " in str(first) and " GB/s, " in str(first) and "(3, 5) (3, 5) (3, 5)" in str(first)


def test_an_update_in_place_is_read_and_written():
    x, seen = np.ones((3, 5), np.float32), []
    with kernels.observe(seen.append):
        cpu.apply(formulas.add, x, np.ones_like(x), out=x)
    assert [one.bytes for one in seen] == [3 * 60]


def test_large_launches_are_seen_once():
    x, seen = np.ones(launch.PARALLEL_WORK + 3, np.float32), []
    with kernels.observe(seen.append):
        cpu.apply(formulas.negative, x)
    assert [(one.flops, one.bytes) for one in seen] == [(x.size, 2 * x.nbytes)]


def test_nothing_is_launched_for_nothing():
    seen = []
    with kernels.observe(seen.append):
        cpu.apply(formulas.negative, np.ones((3, 0)))
    assert not seen


def test_several_observers_each_see_everything():
    x, outer, inner = np.ones(3), [], []
    with kernels.observe(outer.append):
        with kernels.observe(inner.append):
            cpu.apply(formulas.negative, x)
        cpu.apply(formulas.negative, x)
    assert len(outer) == 2 and len(inner) == 1


def test_observers_are_removed_after_an_exception():
    before, seen = list(launch._observers), []
    with pytest.raises(KeyError), kernels.observe(seen.append):
        raise KeyError("in the block")
    assert launch._observers == before
    cpu.apply(formulas.negative, np.ones(3))
    assert not seen


def test_an_observer_that_raises_is_removed_too():
    before = list(launch._observers)

    def observer(one):
        raise RuntimeError(f"saw {one.kernel}")

    with pytest.raises(RuntimeError, match=r"saw negative\[float64\]"), kernels.observe(observer):
        cpu.apply(formulas.negative, np.ones(3))
    assert launch._observers == before
    np.testing.assert_array_equal(cpu.apply(formulas.negative, np.ones(3)), -np.ones(3))


def test_kernels_made_while_observed_report_and_stop_reporting():
    seen = []
    with kernels.observe(seen.append):
        one = launch.Kernel("made", "cpu", lambda low, high: None)
        one(5)
    one(5)
    assert [s.kernel for s in seen] == ["made"] and one.start is one.native


def test_traffic_of_broadcast_arrays():
    assert launch.touched_bytes(np.broadcast_to(np.ones((3, 1)), (3, 100))) == 24
    assert launch.touched_bytes(np.ones((3, 0))) == 0 and launch.touched_bytes(np.ones(())) == 8


# --- threads -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, -1, 1.0, "2", None, True, 10**6])
def test_numbers_of_threads_that_are_refused(count):
    before = kernels.get_num_threads()
    with pytest.raises(ValueError, match=r"set_num_threads: expected an integer from 1 to \d+ .*NUMBA_NUM_THREADS.*, got "):
        kernels.set_num_threads(count)
    assert kernels.get_num_threads() == before


def test_the_number_of_threads_is_kept(thread_settings):
    for count in range(1, launch.available_threads() + 1):
        kernels.set_num_threads(count)
        assert kernels.get_num_threads() == count
        assert (launch.parallel_work == launch.NEVER) == (count == 1)


def test_small_launches_stay_on_one_thread(thread_settings, monkeypatch):
    monkeypatch.setattr(launch, "parallel_work", 100)
    calls = []
    one = launch.Kernel("k", "cpu", lambda low, high: calls.append((low, high)), lambda k, items, _: calls.append(items))
    one(99)
    one(100)
    one(10, work=10)
    one(10, work=9)
    assert calls == [(0, 99), 100, 10, (0, 10)]


@pytest.mark.parametrize("asked", ["1", "3"])
def test_numba_num_threads_sets_the_limit(asked):
    program = """
import numpy as np
import kernels
from kernels import cpu, formulas
x = np.arange(1 << 21, dtype=np.float32)
assert np.array_equal(cpu.apply(formulas.add, x, x), x + x)
print(kernels.available_threads(), kernels.get_num_threads())
"""
    result = run(program, NUMBA_NUM_THREADS=asked)
    assert (result.returncode, result.stdout) == (0, f"{asked} {asked}\n"), result.stderr


FORK = """
import os
import numpy as np
from kernels import cpu, formulas, launch
x = np.arange(1 << 21, dtype=np.float32)

def right():
    return np.array_equal(cpu.apply(formulas.add, x, x), x + x) and np.allclose(cpu.sum(x), x.sum(dtype=np.float64))

USED = {used}
if USED:
    assert right() and launch.threads_started == (launch.available_threads() > 1)
for _ in range(3):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if right() and np.allclose(cpu.apply(formulas.sqrt, x), np.sqrt(x)) else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
assert right(), "the parent goes on"
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_forked_children_compute_right(layer, used):
    result = run(FORK.format(used=used), NUMBA_THREADING_LAYER=layer)
    if layer == "omp" and "No threading layer could be loaded" in result.stderr:
        pytest.skip("this system has no OpenMP")
    assert result.returncode == 0, result.stderr


FOUR = """
import threading
import numpy as np
from kernels import cpu, formulas
operands = [np.arange(1 << 20, dtype=np.float32) + k for k in range(4)]
expected = [(x + x, x.sum(dtype=np.float64)) for x in operands]
start, wrong = threading.Barrier(4), []

def work(k):
    try:
        start.wait()
        for _ in range(20):
            if not np.array_equal(cpu.apply(formulas.add, operands[k], operands[k]), expected[k][0]):
                wrong.append(("add", k))
            if not np.isclose(cpu.sum(operands[k]), expected[k][1], rtol=1e-6):
                wrong.append(("sum", k))
    except BaseException as error:
        wrong.append((repr(error), k))

threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
for t in threads: t.start()
for t in threads: t.join()
assert not wrong, wrong
"""


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_four_threads_with_parallel_kernels_at_once(layer):
    result = run(FOUR, NUMBA_THREADING_LAYER=layer)
    if layer == "omp" and "No threading layer could be loaded" in result.stderr:
        pytest.skip("this system has no OpenMP")
    assert result.returncode == 0, result.stderr
