"""The benchmarks' own machinery: that it refuses wrong results, times no compilation, and divides the right way round."""

from __future__ import annotations

import gc
import json
import math
import time

import numpy as np
import pytest

from bench import engine, harness, machine, peaks, suite
from bench.cases import FAMILIES, cases_of


def sleeper(seconds: float, result=None):
    def run():
        time.sleep(seconds)
        return result

    return run


class TestCheck:
    def test_a_wrong_result_is_refused_before_anything_is_timed(self):
        calls = []
        contenders = {"ours": lambda: calls.append(1) or np.ones(3), "peer": lambda: np.array([1.0, 1.0, 1.1])}
        with pytest.raises(harness.WrongResult, match=r"peer: error 0\.05"):
            harness.compare(contenders, reference=np.ones(3))
        assert len(calls) < 10

    @pytest.mark.parametrize(
        "result, reference",
        [
            (np.ones(3), np.ones((3, 1))),  # would broadcast
            (np.float32(1), np.ones(3)),
            (np.array([np.nan]), np.array([1.0])),
            (np.array([1.0]), np.array([np.nan])),
            (np.array([np.inf]), np.array([-np.inf])),
            (np.array([np.inf]), np.array([1.0])),
            (np.array([1e-3]), np.array([0.0])),
        ],
    )
    def test_wrong(self, result, reference):
        with pytest.raises(harness.WrongResult):
            harness.check("ours", result, reference, tolerance=1e-5)

    @pytest.mark.parametrize(
        "result, reference",
        [
            (np.array([np.nan, np.inf, -np.inf, 1.0]), np.array([np.nan, np.inf, -np.inf, 1.0 + 1e-7])),
            (np.empty((0, 3)), np.empty((0, 3))),
            (np.float32(2), np.array(2.0)),
            ((np.ones(2), None), np.ones(2)),
            ([1.0, 2.0], np.array([1.0, 2.0])),
        ],
    )
    def test_right(self, result, reference):
        harness.check("ours", result, reference, tolerance=1e-5)

    def test_tolerance_and_scale(self):
        harness.check("ours", np.array([0.9]), np.array([0.0]), tolerance=1e-3, scale=1000.0)
        with pytest.raises(harness.WrongResult):
            harness.check("ours", np.array([0.9]), np.array([0.0]), tolerance=1e-3, scale=100.0)

    def test_tensors_of_ours(self):
        import autograd as ag

        harness.check("ours", ag.tensor([1.0, 2.0], requires_grad=True), np.array([1.0, 2.0]), tolerance=1e-7)

    def test_a_measure_beside_the_contest_is_not_checked(self):
        harness.compare(
            {"ours": lambda: np.ones(2), "peak": lambda: None}, np.ones(2), rounds=1, shortest_sample=1e-4, unchecked=("peak",)
        )


class TestCompare:
    def test_the_first_call_is_never_timed(self):
        calls = iter([0.2, *[0.0] * 10_000])  # "compilation", then work
        result = harness.compare({"ours": lambda: time.sleep(next(calls))}, rounds=3, shortest_sample=1e-3)
        assert max(result["ours"].wall) < 0.1

    def test_above_one_means_that_ours_is_faster(self):
        result = harness.compare({"ours": sleeper(0.001), "torch": sleeper(0.008)}, rounds=5)
        assert result.ratio("torch") > 1
        assert result.ratio("ours", ours="torch") < 1
        assert result.ratio("numpy") is None and result.cpu_ratio("numpy") is None

    def test_cpu_time_does_not_count_waiting(self):
        def busy():
            end = time.thread_time() + 0.002
            while time.thread_time() < end:
                pass

        result = harness.compare({"ours": busy, "torch": sleeper(0.02)}, rounds=3)
        assert result.ratio("torch") > 1 > result.cpu_ratio("torch")

    def test_samples_are_long_enough(self):
        result = harness.compare({"ours": lambda: None}, rounds=3, shortest_sample=2e-3)
        assert result["ours"].calls > 1000

    def test_everybody_takes_turns_and_goes_first(self):
        order = []
        contenders = {name: (lambda name=name: order.append(name) or time.sleep(1e-4)) for name in "abc"}
        harness.compare(contenders, rounds=3, shortest_sample=0.0)
        assert "".join(order[-9:]) == "abcbcacab"

    def test_time_per_piece_of_work(self):
        result = harness.compare({"ours": sleeper(0.01)}, rounds=3, per_call=100)
        assert 0.9e-4 < result["ours"].best < 0.01

    def test_budget_ends_after_three_rounds_at_the_earliest(self):
        assert harness.compare({"ours": sleeper(0.001)}, rounds=100, budget=0.0).rounds == harness.FEWEST_ROUNDS
        assert harness.compare({"ours": sleeper(0.001)}, rounds=5, budget=60.0).rounds == 5

    def test_rounds_go_on_for_the_seconds_asked_for(self):
        assert harness.compare({"ours": sleeper(0.001)}, rounds=1, seconds=1.0).rounds > 3  # also on a busy machine

    def test_the_collector_is_off_while_timing_and_back_on_afterwards(self):
        seen = []

        def failing():
            seen.append(gc.isenabled())
            if len(seen) > 10:
                raise ValueError
            time.sleep(1e-3)

        with pytest.raises(ValueError):
            harness.compare({"ours": failing}, rounds=50)
        assert seen[0] and not seen[-1] and gc.isenabled()


class TestPeaks:
    def test_only_ever_rises(self):
        peak = peaks.Peak(("test", 1), lambda: None, 10.0)
        assert peak.risen(5.0) == 5.0 and peak.risen(7.0) == 7.0 and peak.risen(6.0) == 7.0

    def test_the_chain_is_what_it_says(self):
        chain = peaks.multiply_add_chain[np.dtype(np.float64)]
        x = np.arange(4096.0)
        expected = x.copy()
        for _ in range(16):
            expected = expected * 0.5 + 2.0
        chain.start(0, 1, x, 0.5, 2.0)
        np.testing.assert_allclose(x, expected, rtol=1e-14)

    @pytest.mark.parametrize("traffic, size", [(100, 1 << 18), (1 << 18, 1 << 18), ((1 << 20) + 1, 1 << 21), (1e12, 1 << 27)])
    def test_a_copy_as_large_as_the_work(self, traffic, size):
        peak = peaks.copying(traffic)
        assert peak.amount == size
        peak.run()


class TestTables:
    @pytest.mark.parametrize(
        "seconds, text", [(1.5, "1.50 s"), (0.0123, "12.3 ms"), (4.56e-4, "456 us"), (1e-9, "1.00 ns"), (1e-12, "0.00 ns")]
    )
    def test_duration(self, seconds, text):
        assert suite.duration(seconds) == text

    def test_columns_are_aligned(self):
        text = suite.table(("case", "size", "time", ""), [["a", "1", "2.00 ns", ""], ["longer", "16M", "20 ms", "best of 3"]])
        lines = text.splitlines()
        assert lines[0].index("time") + 4 == lines[2].index("2.00 ns") + 7 == lines[3].index("20 ms") + 5
        assert not any(line.endswith(" ") for line in lines)

    def test_marks(self):
        assert [engine.mark(ratio, 1.0, 2.0) for ratio in (0.9, 1.0, 2.0)] == ["BELOW", "kept", "aim reached"]
        assert engine.mark(None, 1.0, 2.0) == engine.mark(1.0, None, None) == ""

    def test_the_table_without_pytorch(self):
        row = {"work": "w", "peer_name": "torch", "ours": 1e-3, "at_least": 1.0, "aim": 2.0}
        row |= dict.fromkeys(("peer", "ratio", "cpu_ratio", "ratio_two_threads"))
        text = engine.render({"machine": machine.describe() | {"torch": None}, "rows": [row]})
        assert "n/a" in text and "PyTorch not installed" in text

    def test_what_is_promised(self):
        promised = {p.work: (p.at_least, p.aim) for p in engine.promises() if p.at_least is not None}
        assert promised["forward + backward per operation, chain of 100 on 16 floats"] == (1.2, 2.0)
        assert promised["matmul 1024, float32"] == (0.8, 1.0)
        assert len(promised) == 11  # seven lines of the issue; matmul and the functions are three each

    def test_a_row_goes_into_json(self):
        case = suite.Case("family", "name", "16", lambda: suite.Work({"ours": lambda: np.ones(2)}, np.ones(2), traffic=16.0))
        row = suite.measure(case, rounds=3)
        assert json.loads(json.dumps(row.as_dict()))["name"] == "name"
        assert row.fraction_of_peak > 0 and math.isclose(row.traffic_rate, 16.0 / row.seconds)


def test_blas_threads_are_set_by_the_environment():
    text = "import os; print(os.environ['OPENBLAS_NUM_THREADS'], os.environ['GRADLOOM_BENCH_THREADS'])"
    done = machine.run_python(["-c", text], 1, capture_output=True, text=True)
    assert done.stdout.split() == ["1", "1"]


SMALL = [case for family in FAMILIES for case in cases_of(family) if case.size in ("16", "4", "4x4", "64x10", "32x32", "1K")]


@pytest.mark.parametrize("case", SMALL, ids=lambda case: f"{case.family}-{case.label}")
def test_every_contender_of_the_small_cases_is_right(case):
    work = case.make()
    assert "ours" in work.contenders
    for name, contender in work.contenders.items():
        harness.check(name, contender(), work.reference, work.tolerance, work.scale)


def test_every_family_reaches_from_16_elements_to_64_megabytes():
    for family in ("elementwise", "reduce", "matmul", "rows"):
        sizes = {case.size for case in cases_of(family)}
        assert sizes & {"16", "4", "4x4"} and sizes & {"16M", "4096", "4096x4096"}, family


def test_labels_are_unique():
    for family in FAMILIES:
        labels = [case.label for case in cases_of(family)]
        assert len(labels) == len(set(labels)), family


@pytest.mark.skipif(not machine.torch_installed(), reason="PyTorch is not installed")
def test_training_refuses_a_network_that_learns_wrongly(monkeypatch):
    from bench.cases import training

    monkeypatch.setattr(training, "our_step", lambda *given: training.torch_step(*given[:-1], 2 * given[-1]))
    with pytest.raises(harness.WrongResult, match="ours, losses of the first steps"):
        training.training_step((8, 6, 3), 4)


def test_training_without_pytorch(monkeypatch):
    from bench.cases import training

    monkeypatch.setattr(training, "torch_module", lambda: None)
    work = training.training_step((8, 6, 3), 4)
    assert list(work.contenders) == ["ours"]
    assert work.operations == 6 * 4 * (8 * 6 + 6 * 3)


def test_nothing_is_compiled_or_imported_by_asking_for_help():
    done = machine.run_python(["-X", "importtime", "-m", "bench", "--help"], 1, capture_output=True, text=True)
    assert done.returncode == 0 and "--quick" in done.stdout
    assert not any(line.split("|")[-1].strip() == "torch" for line in done.stderr.splitlines())
