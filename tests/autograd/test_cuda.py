"""Tensors on device "cuda": how they come there, move, refuse to mix, and are shared with other libraries."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from cuda_support import IS_SIMULATED, cuda, needs_cuda

import autograd as ag
import nn

ROOT = Path(__file__).resolve().parents[2]
pytestmark = needs_cuda
two_devices = pytest.mark.skipif(needs_cuda.args[0] or ag.cuda.device_count() < 2, reason="needs two devices")


def test_what_there_is():
    assert ag.cuda.is_available() and ag.cuda.device_count() >= 1
    assert ag.cuda.get_device_name() and ag.cuda.get_device_capability("cuda:0") >= (8, 0)
    assert ag.cuda.is_simulated() == IS_SIMULATED
    ag.cuda.synchronize()
    ag.cuda.synchronize("cuda:0")


def test_device_names():
    assert ag.ones(2, device="cuda").device == ag.ones(2, device="cuda:0").device == "cuda:0"
    with pytest.raises(ValueError, match="expected 'cpu', 'cuda' or 'cuda:N'"):
        ag.ones(2, device="gpu")
    with pytest.raises(ValueError, match=r"cuda:9.*devices here, counted from 0"):
        ag.ones(2, device="cuda:9")
    with pytest.raises(TypeError, match="named by a string"):
        ag.ones(2, device=0)


@pytest.mark.parametrize("make", [
    lambda **o: ag.tensor([[1.0, 2.0]], **o), lambda **o: ag.tensor(np.arange(6).reshape(2, 3), **o),
    lambda **o: ag.tensor(np.arange(6.0).reshape(2, 3).T, dtype=ag.float32, **o), lambda **o: ag.asarray(np.float32(3), **o),
    lambda **o: ag.zeros((2, 3), **o), lambda **o: ag.ones(4, dtype=ag.int32, **o), lambda **o: ag.full((2,), True, **o),
    lambda **o: ag.arange(5, **o), lambda **o: ag.linspace(0, 1, 5, **o), lambda **o: ag.eye(3, **o), lambda **o: ag.zeros(0, **o),
])  # fmt: skip
def test_made_there_as_on_the_cpu(make):
    there, here = make(device="cuda"), make()
    assert there.device == "cuda:0" and (there.dtype, there.shape) == (here.dtype, here.shape)
    assert np.array_equal(there.numpy(), here.numpy())
    assert repr(there).replace(", device='cuda:0'", "") == repr(here)


def test_like_functions_stay_on_the_device():
    x = ag.ones((2, 2), device="cuda")
    for made in (ag.zeros_like(x), ag.ones_like(x), ag.full_like(x, 3.0), ag.empty_like(x), x.clone(), ag.tensor(x), x + 1):
        assert made.device == "cuda:0"
    assert ag.zeros_like(x, device="cpu").device == "cpu"


def test_moving_keeps_values_and_dtypes_and_carries_gradients_back():
    x = ag.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = x.T.to("cuda")
    assert y.device == "cuda:0" and np.array_equal(y.detach().numpy(), x.detach().numpy().T)
    z = (y * y).to("cpu")
    z.backward(ag.ones((2, 2)))
    assert x.grad.device == "cpu" and np.array_equal(x.grad.numpy(), 2 * x.detach().numpy())
    assert x.to("cpu") is x and y.to("cuda") is y and y.to(device="cuda:0") is y
    w = x.detach().to("cuda", ag.float64)
    assert w.dtype == ag.float64 and w.device == "cuda:0"
    assert x.detach().to(w).dtype == ag.float64 and x.detach().cuda().device == "cuda:0" and w.cpu().device == "cpu"
    assert ag.asarray(w, device="cpu").device == "cpu"
    with pytest.raises(ValueError, match="needs a copy"):
        ag.asarray(w, device="cpu", copy=False)


def test_second_derivative_across_devices():
    x = ag.tensor(2.0, dtype=ag.float64, requires_grad=True)
    y = x.to("cuda") ** 3
    (first,) = ag.gradients(y, x, create_graph=True)
    (second,) = ag.gradients(first, x)
    assert first.item() == 12.0 and second.item() == 12.0


def test_devices_do_not_mix():
    x, y = ag.ones((2, 2), device="cuda"), ag.ones((2, 2))
    for operation in (lambda: x + y, lambda: y * x, lambda: ag.concat([x, y]), lambda: x @ y, lambda: ag.where(x > 0, x, y)):
        with pytest.raises(RuntimeError, match=r"on (cpu and cuda:0|cuda:0 and cpu).*\.to\(device\)"):
            operation()
    with pytest.raises(RuntimeError, match=r"values are on cpu, the tensor on cuda:0"):
        x[0] = ag.ones(2)
    assert (x + 1.0).device == "cuda:0"


@two_devices
def test_two_devices():
    x, y = ag.ones(3, device="cuda:0"), ag.ones(3, device="cuda:1")
    with pytest.raises(RuntimeError, match="cuda:0 and cuda:1"):
        x + y
    z = x.to("cuda:1") + y
    assert z.device == "cuda:1" and z.numpy().tolist() == [2, 2, 2]
    a = ag.tensor([1.0, 2.0], device="cuda:1", requires_grad=True)
    (a.to("cuda:0") * 3).backward(ag.ones(2, device="cuda:0"))
    assert a.grad.device == "cuda:1" and a.grad.numpy().tolist() == [3, 3]
    assert ag.rand(4, device="cuda:1").device == "cuda:1"


def test_views_share_memory_and_versions():
    base = ag.zeros((4, 6), device="cuda")
    part = base[1:3, ::-2]
    part += 1.0
    expected = np.zeros((4, 6), np.float32)
    expected[1:3, ::-2] += 1
    assert np.array_equal(base.numpy(), expected)
    x = ag.ones(3, device="cuda", requires_grad=True)
    y = x * 1.0
    z = y * y
    y += 1.0
    with pytest.raises(RuntimeError, match="changed"):
        z.backward(ag.ones(3, device="cuda"))
    base[0, 1:] = 5.0
    base[3] = ag.arange(6, dtype=ag.float32, device="cuda")
    expected[0, 1:], expected[3] = 5, np.arange(6)
    assert np.array_equal(base.numpy(), expected)
    base[1:] = base[:-1].flip(axis=0)  # overlaps itself
    expected[1:] = expected[:-1][::-1].copy()
    assert np.array_equal(base.numpy(), expected)


def test_copies_and_pickles():
    x = ag.tensor([1.0, 2.0], device="cuda", requires_grad=True)
    for made in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert made.device == "cuda:0" and made.requires_grad and np.array_equal(made.detach().numpy(), [1, 2])


def test_dlpack_shares_memory():
    x = ag.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], device="cuda")
    if IS_SIMULATED:  # the memory is the host's, and says so
        array = np.from_dlpack(x.T)
        assert np.shares_memory(array, np.from_dlpack(x)) and np.array_equal(array, x.numpy().T)
        x[0, 0] = 7.0
        assert array[0, 0] == 7.0
    else:
        y = ag.from_dlpack(x)
        y[0, 0] = 7.0
        assert x[0, 0].item() == 7.0
    with pytest.raises(BufferError, match="detach"):
        x.requires_grad_().__dlpack__()


def test_numpy_scalars_are_numbers_of_no_device():
    x = ag.tensor([1.0, 2.0], device="cuda")
    for got, expected in [
        (x * np.sqrt(4.0), [2.0, 4.0]), (np.float32(3) - x, [2.0, 1.0]), (ag.where(x > np.int64(1), x, np.float32(0)), [0.0, 2.0]),
    ]:  # fmt: skip
        assert got.device == "cuda:0" and got.tolist() == expected
    assert (x * np.sqrt(4.0)).dtype == (x.to("cpu") * np.sqrt(4.0)).dtype
    x *= np.float32(2)
    assert x.tolist() == [2.0, 4.0]
    with pytest.raises(RuntimeError, match="operands are on"):
        x + np.ones(2, np.float32)


def test_copies_come_from_any_device():
    here, there = ag.tensor([1.0, 2.0], requires_grad=True), ag.zeros(3, 2, device="cuda")
    there.copy_(here.astype(ag.float64))
    there.sum().backward()
    assert there.device == "cuda:0" and there.tolist() == [[1.0, 2.0]] * 3 and here.grad.tolist() == [3.0, 3.0]
    assert ag.zeros(2).copy_(there[0].detach()).tolist() == [1.0, 2.0]


def test_a_gradient_is_where_its_tensor_is():
    x = ag.zeros(2, device="cuda", requires_grad=True)
    with pytest.raises(RuntimeError, match=r"\.grad must be on cuda:0.*got one on cpu"):
        x.grad = ag.zeros(2)
    x.grad = ag.zeros(2, device="cuda")


def test_weights_of_classes_on_another_device_are_refused():
    logits, targets = ag.zeros(3, 2, device="cuda"), ag.zeros(3, dtype=ag.int64, device="cuda")
    with pytest.raises(RuntimeError, match="logits are on cuda:0, weight on cpu"):
        nn.functional.cross_entropy(logits, targets, weight=ag.ones(2))


@two_devices
def test_kernels_refuse_arrays_of_two_devices():
    weight, x = (ag.ones(*shape, device=device)._data for shape, device in [((3,), "cuda:0"), ((3, 3), "cuda:1")])
    with pytest.raises(RuntimeError, match="arrays are on cuda:0 and cuda:1"):
        cuda().layer_norm(x, weight)


def test_dlpack_of_the_cpu():
    x = ag.tensor([1.0, 2.0])
    array = np.from_dlpack(x)
    array[0] = 5.0
    assert x[0].item() == 5.0 and not hasattr(x, "__cuda_array_interface__")
    assert ag.from_dlpack(x).numpy()[0] == 5.0


def test_memory_is_counted_and_given_back():
    ag.cuda.reset_peak_memory_stats()
    before = ag.cuda.memory_allocated()
    x = ag.zeros(10_000, device="cuda")
    assert ag.cuda.memory_allocated() >= before + 40_000 and ag.cuda.max_memory_allocated() >= before + 40_000
    del x
    assert ag.cuda.memory_allocated() == before
    ag.cuda.empty_cache()
    assert "in use" in ag.cuda.memory_summary()


def test_threads_hand_tensors_to_each_other():
    found = {}

    def work(k: int, x: ag.Tensor) -> None:
        found[k] = (x * k + 1.0).exp()

    x = ag.arange(50, dtype=ag.float32, device="cuda") / 50
    threads = [threading.Thread(target=work, args=(k, x)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(4):
        np.testing.assert_allclose(found[k].numpy(), np.exp(x.numpy() * k + 1), rtol=1e-6)


def python(code: str, **environment: str) -> subprocess.CompletedProcess:
    import os

    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment}, timeout=120
    )


def test_without_cuda_the_error_says_what_is_missing():
    result = python(
        "import autograd as ag\nprint(ag.cuda.is_available(), ag.cuda.device_count())\nag.ones(2, device='cuda')", GRADLOOM_CUDA="off"
    )
    assert result.stdout.startswith("False 0")
    assert "ValueError: device 'cuda' is not available: GRADLOOM_CUDA=off" in result.stderr


def test_import_does_not_load_cuda():
    code = "import sys, autograd, nn; print([m for m in sys.modules if m.startswith(('numba', 'cuda', 'greenlet'))])"
    assert python(code).stdout.strip() == "[]"


def test_an_unknown_setting_is_refused():
    result = python("import autograd as ag; ag.ones(2, device='cuda')", GRADLOOM_CUDA="fast")
    assert "GRADLOOM_CUDA='fast': expected 'sim'" in result.stderr


def test_threads_that_have_ended_leave_their_streams_and_memory_to_others():
    from kernels.cuda import runtime

    streams = set()

    def work() -> None:
        (ag.ones(64, device="cuda") + 1).numpy()
        streams.add(runtime.current().stream(0))

    for _ in range(8):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()  # which returns a moment before the thread's own things are gone
    assert len(streams) <= 3
