"""Layer and RMS normalisation against their definitions in float64, and PyTorch where installed."""

import os
import subprocess
import sys

import numpy as np
import pytest

from kernels import launch
from kernels.cpu.norm import layer_norm, layer_norm_backward, rms_norm, rms_norm_backward

F32, F64 = np.float32, np.float64
SHAPES = [(1, 7), (7, 1), (33, 1000), (1000, 33), (64, 128), (3, 1023), (3, 1025), (2, 2049), (1, 1), (13, 17)]


def problem(shape, dtype=F32, seed=0):
    """x, weight, bias and an upstream gradient."""
    random = np.random.default_rng(seed)
    x, g = random.normal(size=shape).astype(dtype) + dtype(2), random.normal(size=shape).astype(dtype)
    return x, random.normal(size=shape[1]).astype(dtype), random.normal(size=shape[1]).astype(dtype), g


def reference(x, weight, bias, g, epsilon, centred=True):
    """y and the gradients of x, weight and bias in float64; RMS normalisation where not centred."""
    x, g = x.astype(F64), g.astype(F64)
    weight = np.ones(x.shape[1]) if weight is None else weight.astype(F64)
    bias = np.zeros(x.shape[1]) if bias is None else bias.astype(F64)
    shifted = x - x.mean(1, keepdims=True) if centred else x
    rstd = 1 / np.sqrt((shifted**2).mean(1, keepdims=True) + epsilon)
    normal, h = shifted * rstd, g * weight
    dx = h - normal * (h * normal).mean(1, keepdims=True)
    if centred:
        dx -= h.mean(1, keepdims=True)
    return normal * weight + bias, rstd * dx, (g * normal).sum(0), g.sum(0)


def close(result, exact, dtype, terms=1):
    assert result.dtype == dtype
    tolerance = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(result, exact, rtol=tolerance, atol=tolerance * terms**0.5)


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients(shape, dtype):
    x, weight, bias, g = problem(shape, dtype)
    before = [a.copy() for a in (x, weight, bias, g)]
    for w, b in ((weight, bias), (None, None), (weight, None), (None, bias)):
        y, mean, rstd = layer_norm(x, w, b, 1e-2)
        exact = reference(x, w, b, g, 1e-2)
        close(y, exact[0], dtype)
        close(mean, x.mean(1, dtype=F64), dtype)
        dx, dweight, dbias = layer_norm_backward(g, x, mean, rstd, w)
        close(dx, exact[1], dtype, 10)
        close(dweight, exact[2], dtype, shape[0])
        close(dbias, exact[3], dtype, shape[0])
    for w in (weight, None):
        y, rstd = rms_norm(x, w, 1e-2)
        exact = reference(x, w, None, g, 1e-2, centred=False)
        close(y, exact[0], dtype)
        dx, dweight = rms_norm_backward(g, x, rstd, w)
        close(dx, exact[1], dtype, 10)
        close(dweight, exact[2], dtype, shape[0])
    for array, old in zip((x, weight, bias, g), before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_against_pytorch():
    torch = pytest.importorskip("torch")
    x, weight, bias, g = problem((40, 50))
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, weight, bias)]
    theirs = torch.nn.functional.layer_norm(tensors[0], (50,), *tensors[1:])
    y, mean, rstd = layer_norm(x, weight, bias)
    np.testing.assert_allclose(y, theirs.detach().numpy(), rtol=1e-4, atol=1e-5)
    wanted = torch.autograd.grad(theirs, tensors, torch.tensor(g))
    for ours, other in zip(layer_norm_backward(g, x, mean, rstd, weight), wanted, strict=True):
        np.testing.assert_allclose(ours, other.numpy(), rtol=1e-4, atol=1e-4)


def test_a_mean_much_larger_than_the_spread():
    x = (1e5 + np.random.default_rng(0).normal(size=(5, 3000))).astype(F32)
    np.testing.assert_allclose(layer_norm(x)[0], reference(x, None, None, x, 1e-5)[0], atol=1e-4)


def test_constant_rows_give_the_bias():
    x = np.full((3, 1001), 0.1, F32)
    bias = np.arange(1001, dtype=F32)
    y, mean, rstd = layer_norm(x, None, bias)
    np.testing.assert_array_equal(y, np.broadcast_to(bias, y.shape))
    np.testing.assert_array_equal(mean, x[:, 0])
    dx, dweight, _ = layer_norm_backward(np.ones_like(x), x, mean, rstd)
    assert np.isfinite(dx).all() and (dweight == 0).all()


def test_nan_and_infinity_fill_their_row_alone():
    x = problem((4, 70))[0]
    x[1, 3], x[2, 66] = np.nan, np.inf
    for y in (layer_norm(x)[0], rms_norm(x)[0]):
        assert np.isnan(y[1]).all() and np.isnan(y[2, 66]) and np.isfinite(y[[0, 3]]).all()


def test_strides():
    x, weight, bias, _ = problem((24, 36))
    packed = np.zeros(x.shape, [("tag", "i1"), ("value", F32)])
    packed["value"] = x
    views = [
        x.T, np.asfortranarray(x), x[::-1], x[:, ::-1], x[::2, 1::3], x[:, 3:20], x[3:9], np.broadcast_to(x[:1], (5, 36)),
        np.broadcast_to(x[:, :1], (24, 40)), packed["value"],
    ]  # fmt: skip
    for view in views:
        w, b = (np.resize(a, view.shape[1]) for a in (weight, bias))
        exact = reference(view, w, b, view, 1e-5)
        y, mean, rstd = layer_norm(view, w, b)
        np.testing.assert_allclose(y, exact[0], rtol=1e-4, atol=1e-4)
        for result, wanted in zip(layer_norm_backward(view, view, mean, rstd, w), exact[1:], strict=True):
            np.testing.assert_allclose(result, wanted, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(layer_norm(x, np.repeat(weight, 2)[::2])[0], layer_norm(x, weight)[0])


def test_no_elements():
    for shape in [(0, 3), (3, 0), (0, 0)]:
        x = np.zeros(shape, F32)
        y, mean, rstd = layer_norm(x)
        assert y.shape == shape and mean.shape == rstd.shape == (shape[0],)
        dx, dweight, dbias = layer_norm_backward(x, x, mean, rstd)
        assert dx.shape == shape and (dweight == 0).all() and (dbias == 0).all() and dbias.shape == (shape[1],)
        dx, dweight = rms_norm_backward(x, x, rms_norm(x)[1])
        assert dx.shape == shape and dweight.shape == (shape[1],)


def test_the_number_of_threads_changes_no_bit(monkeypatch):
    x, weight, bias, g = problem((3000, 60))

    def everything():
        y, mean, rstd = layer_norm(x, weight, bias)
        z, root = rms_norm(x, weight)
        results = (y, *layer_norm_backward(g, x, mean, rstd, weight), z, *rms_norm_backward(g, x, root, weight))
        return [a.tobytes() for a in results]

    serial = everything()
    monkeypatch.setattr(launch, "parallel_work", 0)
    for threads in range(1, launch.available_threads() + 1):
        monkeypatch.setattr(launch, "_threads", threads)
        assert everything() == serial


@pytest.mark.parametrize("function", [layer_norm, rms_norm])
def test_bad_arguments(function):
    name = function.__name__
    x, weight, _, g = problem((3, 4))
    for error, message, arguments in [
        (TypeError, "expected a NumPy array, got list", ([1.0],)),
        (TypeError, "defined for float32 and float64, got int64; .*astype", (np.ones((3, 4), int),)),
        (ValueError, r"expected x of shape \(rows, columns\), got \(4,\)", (np.ones(4),)),
        (ValueError, r"weight must be an array float32\(4,\) to go with x, got float32\(3,\)", (x, weight[:3])),
        (ValueError, r"weight must be an array float32\(4,\) to go with x, got float64\(4,\)", (x, np.ones(4))),
    ]:
        with pytest.raises(error, match=f"{name}: {message}"):
            function(*arguments)
    with pytest.raises(ValueError, match=f"{name}: epsilon must be a number not below 0, got -1"):
        function(x, epsilon=-1)
    _, mean, rstd = layer_norm(x)
    with pytest.raises(ValueError, match=r"layer_norm_backward: the upstream gradient must be an array like x"):
        layer_norm_backward(g[:2], x, mean, rstd)
    with pytest.raises(ValueError, match=r"what the forward pass saved must be an array float32\(3,\)"):
        layer_norm_backward(g, x, mean[:2], rstd)


TINY = """
import numpy as np
from kernels.cpu.norm import layer_norm, layer_norm_backward, rms_norm, rms_norm_backward
x = np.array([[1.0, -2.0, 3.0], [4.0, 5.0, 9.0]], np.float32)
y, mean, rstd = layer_norm(x)
assert np.allclose(y, (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5), atol=1e-6)
dx, dweight, dbias = layer_norm_backward(x, x, mean, rstd)
assert np.allclose(dx.sum(1), 0, atol=1e-5) and np.allclose(dweight, (x * y).sum(0), atol=1e-5)
y, root = rms_norm(x)
assert np.allclose(y, x / np.sqrt((x * x).mean(1, keepdims=True)), atol=1e-5)
assert np.allclose(rms_norm_backward(x, x, root)[0], 0, atol=1e-5)
"""


def test_the_loops_mean_the_same_in_plain_python(tmp_path):
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "GRADLOOM_CACHE": str(tmp_path)}
    subprocess.run([sys.executable, "-W", "error", "-c", TINY], env=environment, check=True)
