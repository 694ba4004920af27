"""`python -m bench.gpu`: rehearsed as a whole, and its parts with a GPU, a worker and a compute-sanitizer that are played."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bench.gpu import contest, hardware_tests, pytest_plugin, report, supervisor, worker
from bench.gpu.case import Case, Work, fraction, ratio
from bench.gpu.report import FAILED, MEASURED, NOT_RUN, Report, Row, Target
from bench.harness import WrongResult
from kernels.cuda import driver

ROOT = Path(__file__).resolve().parents[2]


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    env = {k: v for k, v in os.environ.items() if not k.startswith("GRADLOOM_CUDA")} | environment
    return subprocess.run(
        [sys.executable, "-m", "bench.gpu", *arguments], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120
    )


class TestCommand:
    def test_a_rehearsal_goes_through_the_parts_and_has_no_times(self, tmp_path):
        parts = ["ceilings", "elementwise", "memory"]
        done = command("--out", str(tmp_path), "--rehearse", "--only", *parts)
        assert done.returncode == 0, done.stdout + done.stderr
        assert sorted(path.name for path in tmp_path.iterdir()) == ["rehearsal.json", "rehearsal.md"]
        found = json.loads((tmp_path / "rehearsal.json").read_text())
        assert found["rehearsal"] and found["finished"]
        assert {row["part"] for row in found["rows"]} == set(parts)
        for row in found["rows"]:
            assert row["status"] == "rehearsed" and not row["times"] and row["rate"] is None and not row["ratios"], row
        text = (tmp_path / "rehearsal.md").read_text()
        assert text.startswith("# REHEARSAL: no results") and not re.search(r"\d us\b", text)

    @pytest.mark.skipif(driver._missing() == "", reason="there is a GPU")
    def test_without_a_gpu_it_says_what_is_missing(self, tmp_path):
        done = command("--out", str(tmp_path / "out"))
        assert done.returncode == 2 and "no GPU can be used here" in done.stderr and "--rehearse" in done.stderr
        assert not (tmp_path / "out").exists()

    def test_the_simulator_is_no_gpu(self, tmp_path):
        done = command("--out", str(tmp_path), GRADLOOM_CUDA="sim")
        assert done.returncode == 2 and "GRADLOOM_CUDA=sim" in done.stderr


# --- contests -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def bench(monkeypatch):
    """A bench that takes the simulator and the CPU for a GPU, so that all goes as with one: only the figures mean nothing."""
    if driver.state() != driver.SIMULATOR:
        pytest.skip("plays a GPU with the simulator")
    made = contest.Bench(rehearsal=True)
    made.rehearsal, made.cache = False, 1 << 12

    def timed(run):
        begin = time.perf_counter()
        run()
        return time.perf_counter() - begin + 1e-6

    for library in made.libraries.values():
        monkeypatch.setattr(library, "timed", timed)
        monkeypatch.setattr(library, "fill", lambda scratch: None)
        monkeypatch.setattr(library, "release", lambda: None)
    monkeypatch.setattr(contest, "SAMPLE", 1e-9)
    monkeypatch.setattr(contest, "MOST_CALLS", 1)
    monkeypatch.setattr(contest, "ROUNDS", 2)
    monkeypatch.setattr(contest, "SMALLEST_COPY", 1 << 10)
    monkeypatch.setattr(contest, "LARGEST_COPY", 1 << 12)
    monkeypatch.setattr(made, "synchronize", lambda: None)
    return made


def work_of(bench, **options) -> Work:
    x = np.arange(8.0)
    contenders = {"ours": lambda i: x * 2, "torch": lambda i: x * 2}
    return Work(contenders, lambda: x * 2, **options)


class TestContest:
    def test_a_row_has_times_rate_fraction_ratio_and_targets(self, bench):
        pytest.importorskip("torch")
        targets = [fraction(1e-9), ratio(1e9)]
        work = work_of(bench, traffic=4096.0, targets=targets)
        row = bench.measure(Case("elementwise", "double", "8", lambda: work), work, 1.0)
        assert row.status == MEASURED and row.unit == "GB/s" and row.rate > 0 and row.fraction > 0 and row.of_peak > 0
        assert row.times["ours"]["best"] <= row.times["ours"]["median"] and row.times["ours"]["host"] > 0
        assert row.ratios["torch"] == row.times["torch"]["best"] / row.times["ours"]["best"]
        assert [t.met for t in row.targets] == [True, False] and row.met is False
        assert Row.of(json.loads(json.dumps(row.as_dict()))) == row

    @pytest.mark.parametrize("part", worker.CASES)
    def test_every_case_can_be_measured(self, bench, part):
        module, function = worker.CASES[part]
        cases = getattr(__import__(f"bench.gpu.{module}", fromlist=["_"]), function)(bench)
        assert len({case.id for case in cases}) == len(cases)
        for case in [cases[0], *cases[-1:]] if part != "training" else cases[1:2]:
            rows = bench.run(case, 0.01)
            assert [row.status for row in rows] == [MEASURED] * len(rows), rows
            assert all(row.times["ours"]["best"] > 0 for row in rows)

    def test_cases_of_full_size_are_told_apart_and_fit_into_an_h200(self, bench):
        bench.tiny = False
        found = []
        for module, function in worker.CASES.values():
            found += getattr(__import__(f"bench.gpu.{module}", fromlist=["_"]), function)(bench)
        assert len({case.id for case in found}) == len(found) > 130
        assert max(case.need for case in found) * 3 < 0.9 * 139e9

    def test_a_wrong_result_is_refused(self, bench):
        work = work_of(bench)
        work.contenders["ours"] = lambda i: np.arange(8.0) * 2 + 1e-3
        with pytest.raises(WrongResult, match="ours"):
            bench.sample(work, 0.1)
        row = bench.run(Case("elementwise", "double", "8", lambda: work), 0.1)[0]
        assert row.status == FAILED and "WrongResult" in row.note

    def test_results_are_compared_in_full_where_only_some_elements_have_a_reference(self, bench):
        pytest.importorskip("torch")
        wrong = np.arange(8.0) * 2
        wrong[5] = np.nan
        work = work_of(bench, pick=lambda a: a[:2])
        work.reference = lambda: np.array([0.0, 2.0])
        work.contenders["ours"] = lambda i: wrong
        with pytest.raises(WrongResult, match="next to torch"):
            bench.sample(work, 0.1)

    def test_infinities_and_nan_in_the_same_places_agree(self):
        a = np.array([np.inf, -np.inf, np.nan, 1.0], np.float32)
        contest.agree("torch", a, a.copy(), 1e-6, 1.0)
        with pytest.raises(WrongResult):
            contest.agree("torch", a, a[::-1].copy(), 1e-6, 1.0)

    def test_results_rotate_so_that_none_is_written_into_the_cache(self, bench):
        kept = []
        work = Work({"ours": lambda i: kept.append(i) or np.full(3, i)}, sets=4)
        samples = contest.Samples(calls=6)
        place = [None] * 4
        bench._batch(work, "ours", samples, place)
        assert kept == [0, 1, 2, 3, 0, 1] and [int(p[0]) for p in place] == [0, 1, 2, 3]

    def test_sets_exceed_the_cache(self, bench):
        bench.cache = 50 << 20
        for nbytes in (4, 1 << 20, 8 << 20, 1 << 30):
            sets = bench.sets(nbytes)
            assert sets == 64 or (sets - 1) * nbytes >= 2 * bench.cache or sets == 2

    def test_what_does_not_fit_is_not_run(self, bench, monkeypatch):
        monkeypatch.setattr(bench.runtime, "memory_info", lambda device: (1 << 20, 1 << 20))
        row = bench.run(Case("elementwise", "x", "1", lambda: 1 / 0, need=1 << 20), 1.0)[0]
        assert row.status == NOT_RUN and "GB" in row.note


def test_bfloat16_is_rounded_to_even():
    from bench.gpu.libraries import bfloat16_bits, widened

    x = np.array([1.0, 1 + 2**-8, 1 + 3 * 2**-8, -2.5, 0.0], np.float32)
    assert widened(bfloat16_bits(x)).tolist() == [1.0, 1.0, 1 + 2**-6, -2.5, 0.0]


# --- the worker and its supervisor --------------------------------------------------------------------------------------

PLAYED = """
import json, os, sys, time
from bench.gpu.worker import say
from bench.gpu.report import Row
task = json.loads(sys.argv[1])
cases = [("rows", name, "1") for name in "abcd"]
say("machine", machine={"gpu": "played", "date": "2026-01-01"})
say("cases", cases=cases)
print("something else")
for case in cases:
    row = Row(*case)
    if row.id in task["done"]:
        continue
    say("begin", id=row.id)
    if case[1] == "b":
        print("Segmentation fault", file=sys.stderr)
        os._exit(139)
    if case[1] == "c":
        time.sleep(60)
    say("row", row=row.as_dict(), id=row.id)
say("done")
"""


@pytest.fixture
def played(tmp_path, monkeypatch):
    """The name of a module that plays a worker: b crashes, c hangs."""
    (tmp_path / "played_worker.py").write_text(PLAYED)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    monkeypatch.setattr(supervisor, "NO_ANSWER", 1.5)
    return "played_worker"


def test_a_crash_and_a_hang_cost_one_row_each(tmp_path, played):
    kept = Report(tmp_path / "out")
    supervisor.measure(kept, ["rows"], time.monotonic() + 60, played)
    assert [(row.name, row.status) for row in kept.rows] == [("a", MEASURED), ("b", FAILED), ("c", FAILED), ("d", MEASURED)]
    assert "Segmentation fault" in kept.rows[1].note and "no answer" in kept.rows[2].note
    assert kept.machine["gpu"] == "played"


def test_what_is_left_when_time_is_up_is_listed(tmp_path, played, monkeypatch):
    monkeypatch.setattr(supervisor, "NO_ANSWER", 60.0)
    monkeypatch.setattr(supervisor, "GRACE", 0.5)
    kept = Report(tmp_path / "out")
    supervisor.measure(kept, ["rows"], time.monotonic() + 3, played)
    assert [(row.name, row.status) for row in kept.rows][2:] == [("c", NOT_RUN), ("d", NOT_RUN)]
    assert all("time was up" in row.note for row in kept.rows[2:])


def test_a_worker_that_cannot_start_fails_every_part(tmp_path):
    kept = Report(tmp_path / "out")
    supervisor.measure(kept, ["rows", "matmul"], time.monotonic() + 60, "there_is_no_such_module")
    assert [(row.part, row.status) for row in kept.rows] == [("rows", FAILED), ("matmul", FAILED)]
    assert "there_is_no_such_module" in kept.rows[0].note


# --- the report ---------------------------------------------------------------------------------------------------------


def test_the_report_says_what_was_met_and_what_was_not(tmp_path):
    kept = Report(tmp_path)
    kept.machine = {"gpu": "NVIDIA H200", "date": "2026-11-22T12:00:00", "python": "3.12.1"}
    kept.tests = hardware_tests.summary([[{"event": "collected", "ids": ["a", "b"]}, dict(event="result", id="a", outcome="failed",
                                          seconds=1.0, message="assert | 1")]], 3.0, 3.0, 1)  # fmt: skip
    times = {
        "ours": {"best": 1e-3, "median": 1.1e-3, "host": 5e-6, "calls": 2, "rounds": 15},
        "torch": {"best": 2e-3, "median": 2e-3},
    }
    row = Row(
        "rows", "softmax", "1024x1024", times=times, unit="GB/s", rate=4e12, fraction=0.8, of_peak=0.7, ratios={"torch": 2.0}
    )
    row.targets = [Target("fraction", 0.85, 0.8), Target("ratio", 1.3, 2.0)]
    kept.add(row)
    kept.add(Row("matmul", "float32", "8192", FAILED, "RuntimeError: CUDA | a\nb"))
    kept.finished = True
    kept.write()
    text = (tmp_path / "results.md").read_text()
    assert text.startswith("# gradloom on NVIDIA H200, 2026-11-22") and "Not finished" not in text
    assert "missed: rows: softmax [1024x1024]: 0.85 of copy: MISSED (0.80), 1.3x torch: met (2.00)" in text
    assert "1 failed, 1 not run, in 3 s (the limit is 3 s)" in text and "* `a`: assert \\| 1" in text
    assert "| softmax | 1024x1024 | 1.00 ms | 1.10 ms | 5.00 us | 4,000 | 80% | 70% |" in text
    assert "failed: RuntimeError: CUDA \\| a b" in text
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["rows"][0]["met"] is False and found["rows"][0]["targets"][1]["met"] is True


def test_all_parts_have_a_title_and_cases():
    assert set(worker.CASES) | {"tests", "sanitizer"} == set(report.PARTS)


# --- tests on hardware --------------------------------------------------------------------------------------------------

SUITE = """
import os, time, pytest

def test_a():
    pass

@pytest.mark.parametrize("k", range(3))
def test_b(k):
    assert k != 1, "CUDA_ERROR_ILLEGAL_ADDRESS"

def test_c():
    os._exit(3)

def test_d():
    pytest.skip("not here")

def test_e():
    time.sleep(60)

def test_f():
    pass
"""


def test_the_suite_goes_on_after_crashes_and_hangs(tmp_path, monkeypatch):
    (tmp_path / "test_played.py").write_text(SUITE)
    (tmp_path / "test_broken.py").write_text("import there_is_no_such_module")
    monkeypatch.setattr(hardware_tests, "pytest_command", lambda *a: [sys.executable, "-m", "pytest", "-q", "-p", PLUGIN, *a])
    share = hardware_tests.Share(tmp_path, 0, 1, [str(tmp_path / "test_played.py")], False, 4.0)
    share.environment["PYTHONPATH"] = str(ROOT)
    while share.goes_on():
        time.sleep(0.1)
    found = hardware_tests.summary([pytest_plugin.events(share.path)], 1.0, 9.0, 1)
    assert {test["id"].split("::")[1]: test["message"][:30] for test in found["failed"]} == {
        "test_b[1]": "AssertionError: CUDA_ERROR_ILL",
        "test_c": "the process came to an end, wi",
        "test_e": "no answer within 4 s",
    }
    assert found["counts"] == {"passed": 4, "failed": 3, "skipped": 1} and not found["not run"]
    assert found["skipped"] == {"Skipped: not here": 1}


PLUGIN = "bench.gpu.pytest_plugin"


@pytest.mark.parametrize("finds", [False, True])
def test_what_the_sanitizer_says(tmp_path, monkeypatch, finds):
    said = (
        "========= Invalid __global__ read of size 4 bytes\n========= ERROR SUMMARY: 1 error"
        if finds
        else "========= ERROR SUMMARY: 0 errors"
    )
    tool = tmp_path / "compute-sanitizer"
    tool.write_text(
        f"#!{sys.executable}\nimport json, os\nprint('========= COMPUTE-SANITIZER')\nprint('''{said}''')\n"
        "open(os.environ['GRADLOOM_REPORTS'], 'a').write(json.dumps({'event': 'result', 'id': 'a', 'outcome': 'passed'}) + '\\n')\n"
        f"raise SystemExit({9 if finds else 0})\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert hardware_tests.find_sanitizer() == str(tool)
    kept = Report(tmp_path / "out")
    hardware_tests.run_sanitizer(kept, 30.0)
    assert [s["tool"] for s in kept.sanitizer] == ["memcheck", "racecheck"]
    for found in kept.sanitizer:
        assert found["clean"] is not finds and "tests: 1 passed" in found["summary"]
        assert ("Invalid" in found["output"]) is finds


def test_without_the_sanitizer_the_report_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(hardware_tests, "find_sanitizer", lambda: None)
    kept = Report(tmp_path)
    hardware_tests.run_sanitizer(kept, 1.0)
    assert "found neither on PATH" in (tmp_path / "results.md").read_text()
