"""kernels.profile: counts what ran inside the block, and nothing else."""

import json
import threading

import numpy as np
import pytest

import kernels
from kernels import cpu, formulas, launch
from kernels.launch import Launch
from kernels.profiler import Profile


def run(count=1, size=1000):
    x = np.ones(size, np.float32)
    for _ in range(count):
        cpu.apply(formulas.relu, x)


def filled(*launches):
    profile = Profile()
    profile.launches += launches
    return profile


def made(kernel="k", seconds=1e-3, traffic=1_000_000, flops=2_000_000, begin=0.0, thread=1, device="cpu"):
    return Launch(kernel, device, seconds, traffic, flops, ((10, 10),), begin, thread)


def test_launches_are_counted_with_their_traffic():
    run()
    with kernels.profile() as p:
        run(3)
    (entry,) = p.kernels
    assert (entry.calls, entry.device, entry.bytes) == (3, "cpu", 3 * 8000)
    assert entry.kernel.startswith("relu") and entry.flops > 0
    assert 0 < entry.seconds < p.seconds
    assert [x.shapes for x in p.launches] == [((1000,), (1000,))] * 3


def test_nothing_is_observed_outside_the_block():
    with kernels.profile() as p:
        pass
    run()
    assert p.launches == [] and str(p).startswith("no kernel was launched in ")
    assert all(kernel.start is kernel.native for kernel in launch._kernels) or launch._observers


def test_nested_profiles_count_independently():
    with kernels.profile() as outer:
        run(2)
        with kernels.profile() as inner:
            run(3)
        run(1)
    assert len(inner.launches) == 3 and len(outer.launches) == 6


def test_a_profile_can_be_entered_again_but_not_in_itself():
    p = kernels.profile()
    for _ in range(2):
        with p:
            run()
    assert len(p.launches) == 2
    with p, pytest.raises(RuntimeError, match="running already"):
        p.__enter__()


def test_an_exception_ends_the_profile():
    with pytest.raises(ValueError, match="inside"), kernels.profile() as p:
        raise ValueError("inside")
    run()
    assert p.launches == []


def test_other_threads_are_seen():
    run()
    barrier = threading.Barrier(2)  # both are alive at once, so their identities differ

    def work():
        barrier.wait(10)
        run(20)
        barrier.wait(10)

    with kernels.profile() as p:
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(p.launches) == 40 and len({x.thread for x in p.launches}) == 2


def test_large_kernels_on_several_threads_are_one_launch():
    x = np.ones(1 << 21, np.float32)
    cpu.apply(formulas.relu, x)
    with kernels.profile() as p:
        cpu.apply(formulas.relu, x)
    assert len(p.launches) == 1


def test_launches_know_when_they_began():
    with kernels.profile() as p:
        run(2)
    first, second = p.launches
    assert first.begin + first.seconds <= second.begin
    assert first.thread == threading.get_ident()


def test_rates_and_sums():
    (entry,) = filled(made(), made(seconds=3e-3)).kernels
    assert entry.seconds == pytest.approx(4e-3)
    assert entry.gbs == pytest.approx(0.5) and entry.gflops == pytest.approx(1.0)
    # The peaks allow 2e6 bytes in 1 ms and 4e6 operations in 2 ms; it took 4 ms.
    assert entry.of_roofline(2.0, 2.0) == pytest.approx(0.5)
    assert entry.of_roofline(None, 2.0) == pytest.approx(0.25)


def test_the_table_is_aligned_and_sorted_by_time():
    p = filled(made("small", 1e-6, flops=0), made("a_kernel_of_some_length", 5e-3), made("small", 1e-6, flops=0))
    lines = p.table().splitlines()
    assert lines[0].split() == ["kernel", "device", "calls", "total", "us", "mean", "us", "GB/s", "GFLOP/s", "share"]
    assert lines[2].startswith("a_kernel_of_some_length  cpu") and lines[3].startswith("small ")
    assert len({len(line) for line in lines[:4]}) == 1
    assert lines[2].split()[2:] == ["1", "5,000.0", "5,000.0", "0.20", "0.40", "100.0%"]
    assert lines[3].split()[2:5] == ["2", "2.0", "1.0"] and lines[3].split()[6] == "-"
    assert lines[-1].startswith("3 launches, 5.00 ms in kernels, ")
    assert str(p) == p.table()


def test_the_table_shows_the_top_and_the_rest_in_a_line():
    p = filled(*(made(f"k{k}", (k + 1) * 1e-3) for k in range(4)))
    text = p.table(2)
    assert "k3" in text and "k2" in text and "k1 " not in text
    assert "... and 2 more kernels, 30.0% of the time" in text
    assert "more kernels" not in p.table(None)


def test_the_table_compares_with_measured_peaks():
    text = filled(made()).table(peak_gflops=4.0, peak_gbs=10.0)
    assert text.splitlines()[0].endswith("of peak") and text.splitlines()[2].endswith("50%")


def test_devices_have_rows_of_their_own():
    p = filled(made(device="cpu"), made(device="cuda:0"))
    assert {(e.kernel, e.device) for e in p.kernels} == {("k", "cpu"), ("k", "cuda:0")}


def test_the_trace_is_what_chrome_reads(tmp_path):
    p = filled(made("b", begin=2.0, thread=77), made("a", begin=1.0, thread=99), made("a", begin=3.0, device="cuda:0"))
    path = tmp_path / "trace.json"
    path.write_text("old")
    p.export_chrome_trace(path)
    trace = json.loads(path.read_text())
    events = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    assert [(e["name"], e["ts"], e["tid"]) for e in events] == [("a", 0.0, 0), ("b", 1e6, 1), ("a", 2e6, 2)]
    assert events[0]["dur"] == pytest.approx(1000.0) and events[0]["args"]["shapes"] == [[10, 10]]
    assert {e["args"]["name"] for e in trace["traceEvents"] if e["ph"] == "M"} == {"cpu", "cuda:0"}
    assert [p.name for p in tmp_path.iterdir()] == ["trace.json"]


def test_a_trace_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "trace.json"
    path.write_text("old")
    with pytest.raises(TypeError):
        filled(made(flops=object())).export_chrome_trace(path)
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_a_launch_as_text():
    assert str(made()) == "k on cpu: 1000.0 us, 1.00 GB/s, 2.00 GFLOP/s, (10, 10)"
    assert "(0, 3)" in str(Launch("k", "cpu", 0.0, 0, 0, ((0, 3),)))


def test_its_representation():
    assert repr(filled(made())) == "<Profile of 1 launches; print it, or see .kernels and .launches>"
