"""Layer and RMS normalisation on the device against float64 and the kernels of the CPU."""

from importlib import import_module

import numpy as np
import pytest
from cuda_support import cpu, cuda, needs_cuda

from kernels.cuda import row_form
from kernels.cuda.array import BFLOAT16

pytestmark = needs_cuda
F32, F64 = np.float32, np.float64


def data(shape, dtype=F32, seed=0):
    return (2 * np.random.default_rng(seed).normal(size=shape) + 0.5).astype(dtype)


def reference(x, weight, bias, g, epsilon, rms):
    """y, mean, rstd and the gradients of x, weight and bias, in float64."""
    x, weight, g = x.astype(F64), weight.astype(F64), g.astype(F64)
    mean = np.zeros((len(x), 1)) if rms else x.mean(1, keepdims=True)
    rstd = 1 / np.sqrt(((x - mean) ** 2).mean(1, keepdims=True) + epsilon)
    normal = (x - mean) * rstd
    y = normal * weight if rms else normal * weight + bias.astype(F64)
    h = g * weight
    level = 0 if rms else h.mean(1, keepdims=True)
    dx = rstd * (h - level - normal * (h * normal).mean(1, keepdims=True))
    return y, mean[:, 0], rstd[:, 0], dx, (g * normal).sum(0), g.sum(0)


def check(x, on_device=None, weighted=True, tolerance=None):
    """Both functions and both derivatives on x, which is `on_device` where that is given; inputs unchanged."""
    k = cuda()
    there = k.from_numpy(x) if on_device is None else on_device
    tolerance = tolerance or 100 * np.finfo(x.dtype).eps
    columns = x.shape[1]
    weight, bias, g = data(columns, x.dtype, 1), data(columns, x.dtype, 2), data(x.shape, x.dtype, 3)
    weight_there, bias_there = (k.from_numpy(weight), k.from_numpy(bias)) if weighted else (None, None)
    if not weighted:
        weight, bias = np.ones(columns), np.zeros(columns)
    g_there = k.from_numpy(g)
    scale = len(x) ** 0.5

    def close(found, exact, times=1.0):
        for ours, theirs in zip(found, exact, strict=True):
            assert ours.shape == theirs.shape
            np.testing.assert_allclose(k.to_numpy(ours), theirs, rtol=tolerance * times, atol=tolerance * times)

    y, mean, rstd, dx, dweight, dbias = reference(x, weight, bias, g, 1e-5, False)
    found = k.layer_norm(there, weight_there, bias_there, 1e-5)
    close(found, (y, mean, rstd), 4)
    close(k.layer_norm_backward(g_there, there, found[1], found[2], weight_there), (dx, dweight, dbias), 8 * scale)
    y, _, rstd, dx, dweight, _ = reference(x, weight, bias, g, 1e-6, True)
    found = k.rms_norm(there, weight_there)
    close(found, (y, rstd), 4)
    close(k.rms_norm_backward(g_there, there, found[1], weight_there), (dx, dweight), 8 * scale)
    for array, host in ((there, x), (g_there, g)):
        np.testing.assert_array_equal(k.to_numpy(array), host)


@pytest.mark.parametrize(
    "shape", [(1, 33), (33, 3), (7, 33), (70, 10), (5, 31), (3, 64), (2, 129), (19, 128), (2, 257), (1, 1023), (2, 1024), (2, 1025), (1, 2052)]
)  # fmt: skip
def test_shapes(shape):
    check(data(shape))


def test_without_weight_and_bias():
    check(data((7, 33)), weighted=False)
    check(data((3, 300)), weighted=False)


@pytest.mark.parametrize("shape", [(3, 40), (2, 515)])
def test_float64(shape):
    check(data(shape, F64))


@pytest.fixture
def small_registers(monkeypatch):
    """Rows of a few hundred elements are long ones."""
    for name, value in dict(_IN_WARP=16, _IN_BLOCK=16, _LONG_BLOCK=64, _SMALL_BLOCK=64, _MOST_THREADS=64).items():
        monkeypatch.setattr(row_form, name, value)
    module = import_module("kernels.cuda.norm")
    for name in ("_norm_kernel", "_gradient_kernel"):
        getattr(module, name).cache_clear()
    yield
    for name in ("_norm_kernel", "_gradient_kernel"):
        getattr(module, name).cache_clear()


@pytest.mark.parametrize(("shape", "weighted"), [((2, 1028), False), ((7, 521), True)])
def test_rows_longer_than_the_registers(shape, weighted, small_registers, monkeypatch):
    module = import_module("kernels.cuda.norm")
    monkeypatch.setattr(module, "_PARTS", 3)
    monkeypatch.setattr(module, "_TILE", 128)
    check(data(shape), weighted=weighted)


def test_many_rows_for_each_thread(monkeypatch):
    module = import_module("kernels.cuda.norm")
    monkeypatch.setattr(module, "_THREADS", 64)
    check(data((41, 33)))
    check(data((11, 260)))


def test_strides():
    k = cuda()
    x = data((6, 40))
    for view in (
        lambda a: a[::-1], lambda a: a[:, ::-1], lambda a: a[::2], lambda a: a[:, 3:17], lambda a: a[:, 8:24],
        lambda a: a[:, ::2], lambda a: a.T,
    ):  # fmt: skip
        check(view(x), view(k.from_numpy(x)))
    check(np.broadcast_to(x[:1], (5, 40)), k.from_numpy(x[:1]).broadcast_to((5, 40)))
    there = k.from_numpy(x)
    _, mean, rstd = k.layer_norm(there)
    ones = k.from_numpy(np.ones((1, 1), F32)).broadcast_to((6, 40))
    dx, _, dbias = (k.to_numpy(a) for a in k.layer_norm_backward(ones, there, mean, rstd))
    np.testing.assert_allclose(dx, 0, atol=1e-6)
    np.testing.assert_array_equal(dbias, 6)
    spread = k.from_numpy(np.repeat(data(40, seed=1), 2))[::2]
    expected = k.to_numpy(k.layer_norm(there, k.copy(spread), spread)[0])
    np.testing.assert_array_equal(k.to_numpy(k.layer_norm(there, spread, k.copy(spread))[0]), expected)


def test_constant_rows_and_large_means():
    k = cuda()
    x = np.array([[7.0] * 5, [1e6, 1e6 + 1, 1e6 + 2, 1e6 + 3, 1e6 + 4], [0.0] * 5], F32)
    y, mean, rstd = (k.to_numpy(a) for a in k.layer_norm(k.from_numpy(x), epsilon=0.01))
    assert (y[[0, 2]] == 0).all() and mean.tolist() == [7, 1e6 + 2, 0]
    np.testing.assert_allclose(rstd, [10, 1 / np.sqrt(2.01), 10], rtol=1e-6)
    assert (k.to_numpy(k.rms_norm(k.from_numpy(x))[0])[2] == 0).all()


def test_nan_stays_in_its_row():
    k = cuda()
    x = data((4, 40))
    x[1, 3], x[2, 39] = np.nan, np.inf
    for y in (k.layer_norm(k.from_numpy(x))[0], k.rms_norm(k.from_numpy(x))[0]):
        bad = np.isnan(k.to_numpy(y))
        assert bad[1].all() and bad[2].any() and not bad[[0, 3]].any()


def test_a_sum_of_ones_is_exact_and_bits_do_not_change():
    k = cuda()
    x, g = k.from_numpy(data((700, 4))), k.from_numpy(np.ones((700, 4), F32))
    _, mean, rstd = k.layer_norm(x)
    first = [k.to_numpy(a).tobytes() for a in k.layer_norm_backward(g, x, mean, rstd)]
    assert first == [k.to_numpy(a).tobytes() for a in k.layer_norm_backward(g, x, mean, rstd)]
    assert np.frombuffer(first[2], F32).tolist() == [700] * 4


@pytest.mark.parametrize("shape", [(3, 40), (2, 37), (1, 1032)])
def test_half_precision(shape):
    k = cuda()
    x, g = data(shape, np.float16), data(shape, np.float16, 3)
    weight, bias = data(shape[1], np.float16, 1), data(shape[1], np.float16, 2)
    there = [k.from_numpy(a) for a in (x, weight, bias, g)]
    y, mean, rstd, dx, dweight, dbias = reference(x, weight, bias, g, 1e-5, False)
    found = k.layer_norm(*there[:3])
    assert [a.dtype for a in found] == [np.float16, F32, F32]
    gradients = k.layer_norm_backward(there[3], there[0], found[1], found[2], there[1])
    assert all(a.dtype == np.float16 for a in gradients)
    for ours, exact in zip((*found, *gradients), (y, mean, rstd, dx, dweight, dbias), strict=True):
        np.testing.assert_allclose(k.to_numpy(ours), exact, rtol=2e-3, atol=2e-3)
    bits = (x.astype(F32).view(np.uint32) >> 16).astype(np.uint16)
    values = (bits.astype(np.uint32) << 16).view(F32)
    y, _ = k.rms_norm(k.from_numpy(bits.view(BFLOAT16)))
    found = (k.to_numpy(y).view(np.uint16).astype(np.uint32) << 16).view(F32)
    exact = values / np.sqrt((values.astype(F64) ** 2).mean(1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(found, exact, rtol=2**-8)


def test_no_elements():
    k = cuda()
    for shape in ((0, 3), (3, 0)):
        x = k.from_numpy(np.zeros(shape, F32))
        y, mean, rstd = k.layer_norm(x)
        assert y.shape == shape and mean.shape == rstd.shape == shape[:1]
        dx, dweight, dbias = k.layer_norm_backward(x, x, mean, rstd)
        assert dx.shape == shape and k.to_numpy(dweight).tolist() == k.to_numpy(dbias).tolist() == [0] * shape[1]
        y, rstd = k.rms_norm(x)
        assert y.shape == shape and k.to_numpy(k.rms_norm_backward(x, x, rstd)[1]).tolist() == [0] * shape[1]


def test_the_results_are_those_of_the_cpu():
    k, c = cuda(), cpu()
    x, weight, g = data((5, 48)), data(48, seed=1), data((5, 48), seed=2)
    there = k.from_numpy(x), k.from_numpy(weight)
    ours, theirs = k.layer_norm(*there), c.layer_norm(x, weight)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(k.to_numpy(a), b, rtol=1e-5, atol=1e-6)
    pairs = zip(
        k.layer_norm_backward(k.from_numpy(g), there[0], ours[1], ours[2], there[1]),
        c.layer_norm_backward(g, x, theirs[1], theirs[2], weight), strict=True,
    )  # fmt: skip
    for a, b in pairs:
        np.testing.assert_allclose(k.to_numpy(a), b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["layer_norm", "rms_norm"])
def test_bad_arguments(name):
    k = cuda()
    function = getattr(k, name)
    x, g, weight = k.from_numpy(data((3, 4))), k.from_numpy(data((3, 4), seed=1)), k.from_numpy(data(4))
    for error, message, arguments in [
        (TypeError, "expected a device array, got list", ([1.0],)),
        (TypeError, "defined for float32, float64, float16 and bfloat16, got int64", (k.from_numpy(np.ones((3, 4), int)),)),
        (ValueError, r"expected x of shape \(rows, columns\), got \(4,\)", (weight,)),
        (ValueError, r"weight must be an array float32\(4,\) to go with x, got float32\(3,\)", (x, weight[:3])),
        (ValueError, r"weight must be an array float32\(4,\) to go with x, got float64\(4,\)", (x, k.from_numpy(np.ones(4)))),
        (ValueError, r"weight must be an array float32\(4,\) to go with x, got float32\(4,\) on the host", (x, data(4))),
    ]:
        with pytest.raises(error, match=f"{name}: {message}"):
            function(*arguments)
    with pytest.raises(ValueError, match=f"{name}: epsilon must be a number not below 0, got -1"):
        function(x, epsilon=-1)
    _, mean, rstd = k.layer_norm(x)
    with pytest.raises(ValueError, match=r"layer_norm_backward: the upstream gradient must be an array like x"):
        k.layer_norm_backward(g[:2], x, mean, rstd)
    with pytest.raises(ValueError, match=r"what the forward pass saved must be an array float32\(3,\)"):
        k.layer_norm_backward(g, x, mean[:2], rstd)
