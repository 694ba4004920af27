"""The way to a GPU: streams, copies, launches, errors, memory. Without a GPU it is rehearsed.

`test_rehearsal` runs this file again in a process of its own, where tests/support/fake_driver.py stands in for the CUDA
driver; there, and where there is a GPU, the other tests run. What the stand-in takes for granted about cuda.core and the
driver's functions is compared with the real ones where those are installed.
"""

import ctypes
import gc
import os
import queue
import re
import subprocess
import sys
import threading
import warnings
import weakref
from importlib import util
from pathlib import Path

import fake_driver
import numpy as np
import pytest
from fake_driver import the

import autograd as ag
import kernels
from kernels import formulas
from kernels.cuda import driver, runtime
from kernels.cuda.array import DeviceArray, from_interface
from kernels.cuda.compiler import kernel
from kernels.cuda.emulation import cuda, float32, float64, int8, int16, int32, int64, uint8, uint16, uint32, uint64
from kernels.cuda.memory import allocator

ROOT = Path(__file__).resolve().parents[3]
REHEARSAL = bool(fake_driver.ACTIVE)
CORE_INSTALLED = not REHEARSAL and util.find_spec("cuda") is not None and util.find_spec("cuda.core") is not None
MIB = 1 << 20
THREADS = 32

on_hardware = pytest.mark.skipif(driver.state() != driver.HARDWARE, reason="no GPU; test_rehearsal runs this with a stand-in")
rehearsed = pytest.mark.skipif(not REHEARSAL, reason="about the stand-in for a GPU; test_rehearsal runs this")
needs_core = pytest.mark.skipif(not CORE_INSTALLED, reason="cuda.core is not installed")


def two_devices():
    if ag.cuda.device_count() < 2:
        pytest.skip("there is one GPU")


@pytest.fixture(autouse=True)
def clean():
    if REHEARSAL:
        the.forget()
    yield
    if REHEARSAL:
        gc.collect()
        the.forget()


def numbers(*shape, dtype=np.float32):
    return np.random.default_rng(len(shape)).normal(size=shape).astype(dtype)


@kernel(threads=THREADS)
def twice(x: "T*", out: "T*", count: "int64"):
    i = int64(cuda.blockIdx.x) * int64(THREADS) + int64(cuda.threadIdx.x)
    if i < count:
        out[i] = x[i] + x[i]


@kernel(threads=THREADS)
def every_number(
    out: "float64*", missing: "float32*", a: "int8", b: "int16", c: "int32", d: "int64", e: "uint8", f: "uint16", g: "uint32",
    h: "uint64", i: "float32", j: "float64", k: "bool",
):  # fmt: skip
    if cuda.threadIdx.x == int32(0):
        out[0], out[1], out[2], out[3] = float64(a), float64(b), float64(c), float64(d)
        out[4], out[5], out[6], out[7] = float64(e), float64(f), float64(g), float64(h)
        out[8], out[9], out[10] = float64(i), j, float64(1) if k else float64(0)


def room(nbytes: int) -> DeviceArray:
    """Memory on the first device that nobody has written."""
    return kernels.backend_for("cuda").empty((nbytes // 4,), np.float32)


def doubled(x: DeviceArray) -> DeviceArray:
    out = kernels.backend_for(x.device).empty(x.shape, x.dtype)
    twice[x.dtype](-(-x.size // 32), x, out, x.size)
    return out


# --- the rehearsal ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(REHEARSAL, reason="this is it")
@pytest.mark.parametrize("mode", ["lazy", "random:1", "numba"])
def test_rehearsal(mode):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GRADLOOM_CUDA")}
    environment["GRADLOOM_REHEARSAL"] = mode
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "fake_driver", "-p", "no:cacheprovider", "--no-header", __file__]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    passed = re.search(r"(\d+) passed", result.stdout)
    assert passed and int(passed[1]) >= 22, result.stdout


# --- devices and results ---------------------------------------------------------------------------------------------------


@on_hardware
def test_the_devices_are_there():
    assert ag.cuda.is_available() and not ag.cuda.is_simulated()
    assert ag.cuda.device_count() >= 1
    assert isinstance(ag.cuda.get_device_name(0), str)
    major, minor = ag.cuda.get_device_capability("cuda:0")
    assert major >= 7 and minor >= 0
    assert runtime.current().multiprocessors(0) >= 1
    free, total = runtime.current().memory_info(0)
    assert 0 < free <= total
    with pytest.raises(ValueError, match="there are|there is one"):
        ag.zeros(3, device="cuda:99")


@on_hardware
@pytest.mark.parametrize("device", ["cuda:0", "cuda:1"])
def test_tensors_compute_as_on_the_cpu(device):
    if device == "cuda:1":
        two_devices()

    def loss(x, w, b):
        hidden = ag.tanh(x @ w + b)
        return ((hidden * hidden).sum(axis=0) - hidden.max()).mean()

    arrays = numbers(9, 5), numbers(5, 7), numbers(7)
    here, there = ([ag.tensor(a, requires_grad=True, device=d) for a in arrays] for d in ("cpu", device))
    expected, got = loss(*here), loss(*there)
    expected.backward()
    got.backward()
    assert got.device == device and np.isclose(got.item(), expected.item(), rtol=1e-5)
    for mine, theirs in zip(there, here, strict=True):
        assert mine.grad.device == device
        np.testing.assert_allclose(mine.grad.numpy(), theirs.grad.numpy(), rtol=1e-4, atol=1e-6)


@on_hardware
def test_moves_between_all_devices():
    two_devices()
    host = numbers(6, 5)
    x = ag.tensor(host).to("cuda:1").T.to("cuda:0")
    y = (x * 2).to("cuda:1")
    x = None  # the copy may still be under way
    z = ag.full((5, 6), 7.0, device="cuda:0")
    assert y.device == "cuda:1"
    np.testing.assert_array_equal((y + 1).to("cpu").numpy(), host.T * 2 + 1)
    assert float(z.sum().item()) == 210.0


@on_hardware
def test_devices_do_not_mix():
    two_devices()
    a, b = (kernels.backend_for(device).from_numpy(numbers(32)) for device in ("cuda:0", "cuda:1"))
    with pytest.raises(RuntimeError, match="cuda:0 and cuda:1") as caught:
        twice[np.float32](1, a, b, 32)
    assert "twice" in caught.value.__notes__[0]
    with pytest.raises((RuntimeError, ValueError), match="cuda:0.*cuda:1"):
        ag.tensor(numbers(3), device="cuda:0") + ag.tensor(numbers(3), device="cuda:1")


@on_hardware
def test_numbers_arrive_at_their_width():
    out = kernels.backend_for("cuda").empty((11,), np.float64)
    given = (-100, -30000, -(2**31), -(2**40), 255, 65535, 2**32 - 1, 2**63, 0.1, 0.1, True)
    every_number[()](1, out, None, *given)
    assert out.tolist() == [*map(float, given[:8]), float(np.float32(0.1)), 0.1, 1.0]
    numpys = [
        np.dtype(d).type(v) for (_, d, pointer), v in zip(every_number[()].parameters[2:], given, strict=True) if not pointer
    ]
    every_number[()](1, out, None, *numpys)
    assert out.tolist() == [*map(float, given[:8]), float(np.float32(0.1)), 0.1, 1.0]


@on_hardware
def test_launches_that_cannot_be():
    x = kernels.backend_for("cuda").from_numpy(numbers(32))
    with pytest.raises(ValueError, match="grid of 0"):
        twice[np.float32](0, x, x, 32)
    doubled(x)
    with pytest.raises(ValueError, match=re.escape("grid of (1, 65536)")):
        twice[np.float32]((1, 65536), x, x, 32)
    with pytest.raises(ValueError) as caught:
        twice[np.float32](1, x, x)
    assert "twice[float32], grid 1, arrays of shapes (32,), (32,)" in caught.value.__notes__[0]
    with pytest.raises(OverflowError):
        every_number[()](1, x, None, 300, *range(10))


@on_hardware
def test_shared_memory_beyond_the_usual():
    x = kernels.backend_for("cuda").from_numpy(numbers(32))
    out = kernels.backend_for("cuda").empty((32,), np.float32)
    for nbytes in (0, 1 << 10, 90 << 10, 60 << 10):  # first as usual, then more
        twice[np.float32](1, x, out, 32, shared_bytes=nbytes)
        np.testing.assert_array_equal(out.numpy(), x.numpy() * 2)
    if REHEARSAL:
        assert [launch[2] for launch in the.launches if launch[0].startswith("twice")] == [0, 1 << 10, 90 << 10, 60 << 10]


# --- order -----------------------------------------------------------------------------------------------------------------


@rehearsed
def test_calls_return_before_the_work_is_done():
    x = doubled(kernels.backend_for("cuda").from_numpy(numbers(100)))
    waiting = sum(len(each.tasks) for each in the.queues.values())
    assert waiting >= (3 if the.random is None else 0)
    np.testing.assert_array_equal(x.numpy(), numbers(100) * 2)


def handed_through(count=12):
    """Each of `count` arrays is made by this thread, doubled by another, added to by a third, and read here."""
    first, second, third = queue.Queue(), queue.Queue(), queue.Queue()

    def work(source, target, function):
        try:
            while (x := source.get(timeout=60)) is not None:
                target.put(function(x))
                x = None
        finally:
            target.put(None)

    device = kernels.backend_for("cuda")
    threads = [
        threading.Thread(daemon=True, target=work, args=(first, second, doubled)),
        threading.Thread(daemon=True, target=work, args=(second, third, lambda x: device.apply(formulas.add, x, x[::-1]))),
    ]
    for thread in threads:
        thread.start()
    hosts = [numbers(200) + i for i in range(count)]
    for host in hosts:
        first.put(doubled(device.from_numpy(host)))  # dropped here while the others still use it
    first.put(None)
    results = []
    while (x := third.get(timeout=60)) is not None:
        results.append(x)
        x = None
    for thread in threads:
        thread.join()
    del first, second
    return [r.numpy() for r in results], [4 * (h + h[::-1]) for h in hosts]


@on_hardware
def test_threads_hand_arrays_to_each_other():
    for _ in range(3):
        got, expected = handed_through()
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)
    streams = set()

    together = threading.Barrier(3)

    def note():
        streams.add(runtime.current().stream(0))
        together.wait(10)  # a thread that has ended would leave its stream to the next

    threads = [threading.Thread(daemon=True, target=note) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(streams) == 3


@rehearsed
def test_a_missing_wait_is_noticed(monkeypatch):
    """The rehearsal of the rehearsal: where streams do not wait for each other, numbers are wrong or memory is gone."""
    if the.random is not None:
        pytest.skip("by chance the order may be right")
    monkeypatch.setattr(type(runtime.current()), "wait", lambda *_: None)
    got, expected = handed_through()
    assert any(not np.allclose(a, b, rtol=1e-6) for a, b in zip(got, expected, strict=True))


@on_hardware
def test_memory_that_another_thread_still_reads_is_not_used_again():
    device = kernels.backend_for("cuda")
    x = device.from_numpy(numbers(4000))
    results = []
    thread = threading.Thread(daemon=True, target=lambda given: results.append(doubled(given)), args=(x,))
    thread.start()
    thread.join()
    pointer = x.pointer
    del x, thread
    others = [device.fill(device.empty((4000,), np.float32), -1.0) for _ in range(4)]
    runtime.current().stream(0).handle.sync()  # this thread's work is done, the other's need not be
    np.testing.assert_array_equal(results[0].numpy(), numbers(4000) * 2)
    assert all((other.numpy() == -1).all() for other in others) and pointer


@on_hardware
def test_a_device_that_another_library_has_chosen():
    two_devices()
    here = runtime.current()
    here.enter(0)
    here.devices[1].set_current()  # as torch.cuda.set_device(1) does
    x = room(12 * MIB)  # more than is cached
    assert here.device_at(x.pointer) == 0
    here.devices[1].set_current()
    assert doubled(kernels.backend_for("cuda").fill(x[:5], 2.0)).tolist() == [4.0] * 5


@on_hardware
def test_timing():
    profile = kernels.profile()
    x = kernels.backend_for("cuda").from_numpy(numbers(300))
    with profile:
        y = doubled(x)
    (statistics,) = profile.kernels
    assert "twice" in statistics.kernel and profile.seconds > 0
    np.testing.assert_array_equal(y.numpy(), numbers(300) * 2)
    results = []
    assert runtime.current().timed(0, lambda: results.append(doubled(x))) > 0 and len(results) == 1


# --- copies ----------------------------------------------------------------------------------------------------------------


@on_hardware
def test_copies_larger_than_a_pinned_buffer():
    device = kernels.backend_for("cuda")
    host = np.arange(3 * MIB + 5, dtype=np.int32)  # 12 MiB and a little: four pieces
    arrays = []
    for i in range(4):  # more pieces than there are buffers
        arrays.append(device.from_numpy(host))
        host += 1  # at once: the array's elements were taken
        assert arrays[i].shape == host.shape
    for i, x in enumerate(arrays):
        np.testing.assert_array_equal(x.numpy(), np.arange(3 * MIB + 5, dtype=np.int32) + i)


@on_hardware
def test_threads_copy_at_once():
    device = kernels.backend_for("cuda")
    wrong = []

    def work(number):
        for i in range(3):
            host = np.full(MIB + 100 * number, number * 10 + i, np.float64)  # 8 MiB
            if not np.array_equal(device.from_numpy(host).numpy(), host):
                wrong.append((number, i))

    threads = [threading.Thread(daemon=True, target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@rehearsed
def test_a_pinned_buffer_that_is_used_too_early_is_noticed(monkeypatch):
    if the.random is not None:
        pytest.skip("by chance the order may be right")
    pinned = runtime.current()._pinned[0]
    device = kernels.backend_for("cuda")
    device.from_numpy(np.zeros(1))
    monkeypatch.setattr(type(pinned), "_is_ready", lambda self: True)
    monkeypatch.setattr(type(runtime.current()), "_finish", lambda *_: None)
    arrays = [device.from_numpy(np.full(100, float(n))) for n in range(20)]  # more than there are buffers
    monkeypatch.undo()
    assert any((array.numpy() != n).any() for n, array in enumerate(arrays))


@on_hardware
def test_item_and_empty_arrays():
    x = ag.tensor(numbers(3, 4), device="cuda")
    assert x[1, 2].item() == float(numbers(3, 4)[1, 2])
    assert x.sum().item() == pytest.approx(float(numbers(3, 4).sum()), rel=1e-5)
    assert ag.zeros((0, 3), device="cuda").numpy().shape == (0, 3)
    assert ag.tensor(numbers(3, 4), device="cuda").T.numpy().tolist() == numbers(3, 4).T.tolist()


# --- errors ----------------------------------------------------------------------------------------------------------------


@rehearsed
def test_a_refused_launch_names_kernel_and_shapes():
    x = kernels.backend_for("cuda").from_numpy(numbers(40))
    the.fail_next = fake_driver.CUresult.CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES
    with pytest.raises(Exception, match="CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES") as caught:
        doubled(x)
    assert "when kernel twice[float32], grid 2, arrays of shapes (40,), (40,), was started" in caught.value.__notes__
    np.testing.assert_array_equal(doubled(x).numpy(), numbers(40) * 2)


@rehearsed
@pytest.mark.parametrize("where", ["synchronize", "numpy", "copy", "allocate", "timed"])
def test_a_kernel_that_fails_late_is_named(where):
    if the.random is not None:
        pytest.skip("here it may fail early")
    x = kernels.backend_for("cuda").from_numpy(numbers(40))
    ag.cuda.synchronize()
    the.break_next = True
    y = doubled(x)
    z = kernels.backend_for("cuda").apply(formulas.negative, y)
    named = r"CUDA_ERROR_ILLEGAL_ADDRESS.*failed: kernel negative.*; kernel twice\[float32\], grid 2, arrays of shapes \(40,\), \(40,\)"
    if where in ("copy", "allocate"):  # the first call that hears of it
        with pytest.raises(RuntimeError):
            ag.cuda.synchronize(0)
    with pytest.raises(RuntimeError, match=named):
        if where == "synchronize":
            ag.cuda.synchronize()
        elif where == "numpy":
            z.numpy()
        elif where == "copy":
            runtime.current().copy(z.pointer, y.pointer, 160, runtime.current().stream(0))
        elif where == "allocate":
            runtime.current().allocate(0, 1 << 20)
        else:
            runtime.current().timed(0, lambda: None)


@rehearsed
def test_running_out_of_memory():
    ag.cuda.empty_cache()
    held = the.gpus[0].used()
    the.gpus[0].room = held + 96 * MIB
    x = room(60 * MIB)
    del x  # cached now, and given back when something larger is asked for
    before = ag.cuda.memory_reserved("cuda:0")
    y = room(80 * MIB)
    assert ag.cuda.memory_reserved("cuda:0") < before + 80 * MIB
    assert y.nbytes == 80 * MIB
    with pytest.raises(
        ag.cuda.OutOfMemoryError, match=r"could not allocate 40.0 MiB .* on cuda:0: of .* MiB are free, .* in use"
    ) as caught:
        ag.empty(10 * MIB, device="cuda")
    assert isinstance(caught.value, MemoryError)
    assert room(10 * MIB).nbytes == 10 * MIB


@on_hardware
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_is_told():
    x = ag.tensor(numbers(5), device="cuda")
    (x + x).numpy()
    attempts = {
        "launch": lambda: twice[np.float32](1, x._data, x._data, 0),
        "make": lambda: ag.zeros(3, device="cuda"),
        "read": lambda: x.numpy(),
        "wait": lambda: ag.cuda.synchronize(),
    }
    for name, attempt in attempts.items():
        read, write = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later: forks with threads
            child = os.fork()
        if child == 0:
            try:
                attempt()
                said = "nothing"
            except BaseException as error:
                said = f"{type(error).__name__}: {error}"
            os.write(write, said.encode())
            os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
        with os.fdopen(read, "rb") as pipe:
            said = pipe.read().decode()
        assert said.startswith("RuntimeError: CUDA cannot be used in a forked process"), (name, said)
    assert (x + x).numpy().shape == (5,)


# --- memory of other libraries ---------------------------------------------------------------------------------------------


class Lent:
    """Another library's array in device memory."""

    def __init__(self, host):
        self.block = kernels.backend_for("cuda").from_numpy(host)
        ag.cuda.synchronize()
        self.__cuda_array_interface__ = {
            "shape": host.shape, "typestr": host.dtype.str, "data": (self.block.pointer, False), "version": 3, "stream": None,
        }  # fmt: skip


@on_hardware
def test_an_owner_is_kept_until_our_work_is_done():
    lent = Lent(numbers(64))
    gone = weakref.ref(lent)
    x = from_interface(lent)
    del lent
    y = doubled(x)
    del x
    if REHEARSAL and the.random is None:
        kernels.backend_for("cuda").empty((1,), np.float32)
        assert gone() is not None, "the kernel that reads its memory has not run"
    np.testing.assert_array_equal(y.numpy(), numbers(64) * 2)
    ag.cuda.synchronize()
    kernels.backend_for("cuda").empty((1,), np.float32)
    assert gone() is None
    again = from_interface(Lent(numbers(3)))
    del again
    ag.cuda.empty_cache()
    assert not runtime.current().keeper.returned and not runtime.current().keeper._held


@on_hardware
def test_the_stream_of_another_library_is_waited_for():
    """A producer's kernel is still queued on its own stream when its array comes to us."""
    here = runtime.current()
    lent = Lent(numbers(64))
    theirs = here.new_stream(0)
    here.fill_bytes(lent.block.pointer, 0, 256, theirs)
    lent.__cuda_array_interface__["stream"] = int(theirs.handle.handle)
    assert doubled(from_interface(lent)).tolist() == [0.0] * 64


@on_hardware
def test_memory_functions():
    gc.collect()
    ag.cuda.empty_cache()
    before = ag.cuda.memory_allocated("cuda:0")
    x = room(4 * MIB)
    assert ag.cuda.memory_allocated("cuda:0") == before + 4 * MIB <= ag.cuda.max_memory_allocated("cuda:0")
    assert ag.cuda.memory_reserved() >= ag.cuda.memory_allocated()
    assert "memory of cuda:0" in ag.cuda.memory_summary()
    del x
    ag.cuda.reset_peak_memory_stats()
    ag.cuda.empty_cache()
    assert ag.cuda.memory_allocated("cuda:0") <= ag.cuda.max_memory_allocated("cuda:0") <= before
    assert allocator(0).cached < 24 * MIB


# --- machine code that does not load ---------------------------------------------------------------------------------------


@rehearsed
def test_numba_launches_what_does_not_load(monkeypatch, capsys):
    if the.mode == "numba":
        pytest.skip("here it always does")

    def refuse(self, name):
        raise fake_driver.CUDAError(fake_driver.CUresult.CUDA_ERROR_NO_BINARY_FOR_GPU)

    monkeypatch.setattr(fake_driver.ObjectCode, "get_kernel", refuse)
    x = kernels.backend_for("cuda").from_numpy(numbers(20, dtype=np.float64))
    out = kernels.backend_for("cuda").empty((20,), np.float64)
    other = twice.specialised(np.float64, threads=64)
    other(1, x, out, 20)
    np.testing.assert_array_equal(out.numpy(), numbers(20, dtype=np.float64) * 2)
    assert "numba.cuda launches it" in capsys.readouterr().err


# --- the stand-in is like what it stands for -------------------------------------------------------------------------------


@needs_core
def test_cuda_core_takes_our_numbers_at_their_width():
    from cuda.core._kernel_arg_handler import ParamHolder

    from kernels.cuda.launcher import NUMBERS

    for dtype, convert in NUMBERS.items():
        for value in (0, 1, 100, True) if dtype[0] in "ub" else (0, 1, -100, 0.5) if dtype[0] == "f" else (0, -1, 100):
            expected = np.dtype(dtype).type(value).tobytes()
            holder = ParamHolder((convert(value),))
            place = ctypes.cast(holder.ptr, ctypes.POINTER(ctypes.c_void_p))[0]
            assert ctypes.string_at(place, len(expected)) == expected, (dtype, value)
            fake_driver.check_kind(convert(value), "it", dtype)
    pointer = (1 << 47) + 4096
    holder = ParamHolder((pointer,))
    place = ctypes.cast(holder.ptr, ctypes.POINTER(ctypes.c_void_p))[0]
    assert ctypes.string_at(place, 8) == pointer.to_bytes(8, "little")


@needs_core
def test_the_stand_in_has_the_signatures_of_cuda_core():
    import inspect

    from cuda import core

    def parameters(function):
        return [p.name for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_POSITIONAL]

    for name in fake_driver.CORE:
        assert hasattr(core, name), name
    same = {
        "Device": "set_current create_stream create_event sync",
        "Stream": "sync record wait from_handle",
        "ObjectCode": "from_cubin get_kernel",
    }
    for name, methods in same.items():
        for method in methods.split():
            real, ours = getattr(getattr(core, name), method), getattr(getattr(fake_driver, name), method)
            assert parameters(ours) == parameters(real)[: len(parameters(ours))], (name, method)
    assert parameters(fake_driver.launch) == parameters(core.launch)
    for name in parameters(fake_driver.EventOptions):
        assert getattr(core.EventOptions(**{name: True}), name) is True and getattr(core.EventOptions(), name) is False
    for name, attributes in {
        "Device": "name compute_capability properties", "Stream": "handle", "Event": "is_done sync __sub__", "Kernel": "handle",
    }.items():  # fmt: skip
        assert all(hasattr(getattr(core, name), attribute) for attribute in attributes.split()), name
    options = core.LaunchConfig(grid=(3, 2), block=64, shmem_size=0)
    ours = fake_driver.LaunchConfig(grid=(3, 2), block=64, shmem_size=0)
    assert (options.grid, options.block, options.shmem_size) == (ours.grid, ours.block, ours.shmem_size)


@needs_core
def test_the_stand_in_has_the_signatures_of_the_driver():
    import inspect

    from cuda.bindings import driver as cu

    for name in fake_driver.BINDINGS:
        real, ours = getattr(cu, name), getattr(fake_driver, name)
        if isinstance(ours, type):
            for member in ours:
                assert int(getattr(real, member.name)) == int(member), member
        else:
            text = (real.__doc__ or "").partition("\n")[0]
            found = [p.partition(":")[0].split()[-1] for p in text.partition("(")[2].rpartition(")")[0].split(",") if p.strip()]
            assert list(inspect.signature(ours).parameters) == found, text
    for handle in (cu.CUdeviceptr, cu.CUstream, cu.CUkernel):
        assert int(handle(4096)) == 4096


@needs_core
def test_numba_has_what_the_slow_path_uses():
    if not driver.compiler_available():
        pytest.skip("numba-cuda is not installed")
    import inspect

    numba_cuda = driver.numba_cuda()
    assert list(inspect.signature(numba_cuda.external_stream).parameters) == ["ptr"]
    assert {"func_or_sig", "launch_bounds"} <= set(inspect.signature(numba_cuda.jit).parameters)
