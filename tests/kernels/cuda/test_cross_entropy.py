"""Cross-entropy on the device against its definition in float64 and the kernels of the CPU; classes that do not exist."""

import itertools

import numpy as np
import pytest
from cuda_support import cpu, cuda, needs_cuda

from kernels import backend_for
from kernels.cuda import deferred, runtime

pytestmark = needs_cuda
F32, F64 = np.float32, np.float64
OPTIONS = list(itertools.product((False, True), (False, True), (0.0, 0.1)))


def problem(rows, classes, dtype=F32, weighted=False, ignored=False, smoothing=0.0, seed=0):
    """Logits, targets and options, on the host."""
    random = np.random.default_rng(seed)
    logits = (3 * random.normal(size=(rows, classes))).astype(dtype)
    targets = random.integers(0, classes, rows)
    options = {"weight": random.random(classes).astype(dtype) if weighted else None, "label_smoothing": smoothing}
    if ignored:
        targets[::3] = options["ignore_index"] = 2
    return logits, targets, options


def there(options):
    """Options with the weights on the device."""
    weight = options.get("weight")
    return options | {"weight": None if weight is None else cuda().from_numpy(weight)}


def check(logits, targets, options, on_device=None):
    """Values and gradients equal those of the CPU."""
    k, c = cuda(), cpu()
    x = k.from_numpy(logits) if on_device is None else on_device
    t, o = k.from_numpy(targets), there(options)
    expected = c.cross_entropy(logits, targets, **options)
    found = k.cross_entropy(x, t, **o)
    tolerance = 60 * np.finfo(logits.dtype).eps
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(k.to_numpy(ours), theirs, rtol=tolerance, atol=tolerance)
    g = np.random.default_rng(1).normal(size=len(targets)).astype(logits.dtype)
    gradient = k.cross_entropy_backward(k.from_numpy(g), x, t, found[1], **o)
    exact = c.cross_entropy_backward(g, logits, targets, expected[1], **options)
    np.testing.assert_allclose(k.to_numpy(gradient), exact, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(k.to_numpy(x), logits)
    np.testing.assert_array_equal(k.to_numpy(t), targets)


@pytest.mark.parametrize(("weighted", "ignored", "smoothing"), OPTIONS)
def test_options(weighted, ignored, smoothing):
    for rows, classes in ((1, 3), (7, 5), (9, 64)):
        check(*problem(rows, classes, F32, weighted, ignored, smoothing))


@pytest.mark.parametrize("classes", [1, 31, 32, 33, 127, 128, 129, 1023, 1024, 1025, 2052])
def test_numbers_of_classes(classes):
    check(*problem(2, classes, smoothing=0.1 if classes in (33, 1025) else 0.0))


def test_float64():
    check(*problem(4, 33, F64, True, False, 0.2))
    check(*problem(1, 514, F64))


@pytest.mark.parametrize(("classes", "weighted", "smoothing"), [(8300, True, 0.1), (8320, False, 0.0)])
def test_rows_longer_than_a_batch(classes, weighted, smoothing, monkeypatch):
    from kernels.cuda import row_form

    monkeypatch.setattr(row_form, "_MOST_THREADS", 256)
    check(*problem(2, classes, F32, weighted, False, smoothing))


def test_extreme_and_masked_logits():
    inf, k = np.inf, cuda()
    logits = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 1e4], [-inf, 0, 0], [-inf, -inf, -inf], [0, -inf, 0]], F32)
    x, t = k.from_numpy(logits), k.from_numpy(np.array([1, 1, 1, 0, 1]))
    losses, normalisers, _ = k.cross_entropy(x, t)
    np.testing.assert_allclose(k.to_numpy(losses), [2e4, np.log(2), np.log(2), inf, inf], rtol=1e-6)
    gradient = k.to_numpy(k.cross_entropy_backward(k.from_numpy(np.ones(5, F32)), x, t, normalisers))
    exact = [[1, -1, 0], [0, -0.5, 0.5], [0, -0.5, 0.5], [0, 0, 0], [0.5, -1, 0.5]]
    np.testing.assert_allclose(gradient, exact, rtol=1e-6)


def test_layouts_and_integer_types():
    k = cuda()
    logits, targets, options = problem(6, 20)
    x = k.from_numpy(logits)
    wide = k.from_numpy(np.concatenate([logits, logits], axis=1))
    for view in (k.from_numpy(np.ascontiguousarray(logits.T)).T, wide[:, :20], wide[:, 20:], k.from_numpy(logits[::-1])[::-1]):
        check(logits, targets, options, view)
    exact = k.to_numpy(k.cross_entropy(x, k.from_numpy(targets))[0])
    for dtype in (np.int8, np.uint8, np.int32, np.uint64):
        np.testing.assert_array_equal(k.to_numpy(k.cross_entropy(x, k.from_numpy(targets.astype(dtype)))[0]), exact)
    twice = k.from_numpy(np.repeat(targets, 2))[::2]
    losses, normalisers, _ = k.cross_entropy(x, twice)
    np.testing.assert_array_equal(k.to_numpy(losses), exact)
    half = k.from_numpy(np.full(1, 0.5, F32)).broadcast_to((6,))
    one = k.to_numpy(k.cross_entropy_backward(half, x, twice, normalisers))
    np.testing.assert_array_equal(k.to_numpy(k.cross_entropy_backward(k.copy(half), x, twice, normalisers)), one)


def test_no_rows_and_all_ignored():
    k = cuda()
    empty, none = k.from_numpy(np.zeros((0, 3), F32)), k.from_numpy(np.zeros(0, int))
    losses, normalisers, row_weights = k.cross_entropy(empty, none)
    assert losses.shape == row_weights.shape == (0,) and normalisers.shape == (2, 0)
    assert k.cross_entropy_backward(losses, empty, none, normalisers).shape == (0, 3)
    x, t = k.from_numpy(np.ones((4, 3), F32)), k.from_numpy(np.full(4, -100))
    losses, normalisers, row_weights = k.cross_entropy(x, t)
    assert (k.to_numpy(losses) == 0).all() and (k.to_numpy(row_weights) == 0).all()
    assert (k.to_numpy(k.cross_entropy_backward(k.from_numpy(np.ones(4, F32)), x, t, normalisers)) == 0).all()


def test_classes_out_of_range():
    k = cuda()
    x, g = k.from_numpy(np.zeros((4, 3), F32)), k.from_numpy(np.ones(4, F32))
    for bad in (3, -1, 100, -101):
        t = k.from_numpy(np.array([0, 2, bad, 7]))
        message = rf"cross_entropy: targets\[2\] is {bad}, but logits with 3 classes take 0 to 2; pass"
        with pytest.raises(IndexError, match=message):
            k.to_numpy(k.cross_entropy(x, t)[0])
        normalisers = k.cross_entropy(x, k.from_numpy(np.zeros(4, int)))[1]
        with pytest.raises(IndexError, match=rf"targets\[2\] is {bad}"):
            k.to_numpy(k.cross_entropy_backward(g, x, t, normalisers))
    with pytest.raises(IndexError, match=r"targets\[1\] is 18446744073709551615"):
        k.cross_entropy(x, k.from_numpy(np.array([0, 2**64 - 1, 0, 0], np.uint64)))
    assert k.to_numpy(k.cross_entropy(x, k.from_numpy(np.array([0, 1, -100, 2])))[0])[2] == 0


def test_a_bad_class_is_reported_when_values_are_read(monkeypatch):
    """As on hardware, where a call does not wait: the loss is NaN, and the first value that is read raises."""
    k = cuda()
    x, t = k.from_numpy(np.zeros((3, 4), F32)), k.from_numpy(np.array([0, 9, 1]))
    good, other = k.from_numpy(np.zeros(3, int)), k.from_numpy(np.zeros(2, F32))
    monkeypatch.setattr(deferred, "expect", lambda device, check, name: deferred._state.pending.append((device, check, name)))
    k.cross_entropy(x, good)
    losses, normalisers, weights = k.cross_entropy(x, t)
    gradient = k.cross_entropy_backward(k.from_numpy(np.ones(3, F32)), x, t, normalisers)
    with pytest.raises(IndexError, match=r"targets\[1\] is 9"):
        other.item() if other.size == 1 else other.numpy()
    assert other.numpy().tolist() == [0, 0]  # told once
    for result in (losses, weights):
        assert np.isnan(k.to_numpy(result)).tolist() == [False, True, False]
    assert np.isnan(k.to_numpy(gradient)).all(1).tolist() == [False, True, False]
    k.cross_entropy(x, t)
    k.copy(good, out=t)  # the evidence is gone
    with pytest.raises(RuntimeError, match="cross_entropy: a kernel on cuda:0 met a value out of range"):
        other.numpy()
    for _ in range(80):
        losses = k.cross_entropy(x, good)[0]
    assert len(deferred._state.pending) == deferred._KEPT
    assert np.isfinite(k.to_numpy(losses)).all() and not deferred._state.pending


@pytest.mark.skipif(needs_cuda.args[0] or runtime.current().device_count() < 2, reason="needs two devices")
def test_each_device_tells_its_own(monkeypatch):
    monkeypatch.setattr(deferred, "expect", lambda device, check, name: deferred._state.pending.append((device, check, name)))
    losses = {}
    for device in ("cuda:0", "cuda:1"):
        k = backend_for(device)
        losses[device] = k.cross_entropy(k.from_numpy(np.zeros((3, 4), F32)), k.from_numpy(np.array([0, 9, 1])))[0]
    for array in losses.values():
        with pytest.raises(IndexError, match=r"targets\[1\] is 9"):
            array.numpy()
    assert not deferred._state.pending


def test_bad_arguments():
    k = cuda()
    here, t = np.zeros((4, 3), F32), k.from_numpy(np.zeros(4, int))
    x = k.from_numpy(here)
    for error, message, arguments, options in [
        (TypeError, "expected a device array, got list", ([1.0], t), {}),
        (TypeError, "defined for float32 and float64, got int64", (k.from_numpy(here.astype(int)), t), {}),
        (ValueError, r"logits must have shape \(rows, classes\), got \(4,\)", (k.from_numpy(np.zeros(4)), t), {}),
        (TypeError, "targets must be a device array of integer classes, got float64", (x, k.from_numpy(np.zeros(4))), {}),
        (TypeError, "targets must be a device array of integer classes, got list", (x, [0, 0, 0, 0]), {}),
        (ValueError, r"logits \(4, 3\) need targets of shape \(4,\), got \(3,\)", (x, t[:3]), {}),
        (
            ValueError,
            r"weight must be an array float32\(3,\) .*, got float64\(3,\)",
            (x, t),
            {"weight": k.from_numpy(np.ones(3))},
        ),
        (ValueError, "weight must be contiguous", (x, t), {"weight": k.from_numpy(np.ones(6, F32))[::2]}),
        (ValueError, "label_smoothing must lie between 0 and 1, got 1.5", (x, t), {"label_smoothing": 1.5}),
        (TypeError, "ignore_index must be an integer, got 0.5", (x, t), {"ignore_index": 0.5}),
    ]:
        with pytest.raises(error, match=f"cross_entropy: {message}"):
            k.cross_entropy(*arguments, **options)
    normalisers = k.cross_entropy(x, t)[1]
    with pytest.raises(ValueError, match=r"the gradient of the losses must be an array float32\(4,\) .*, got float32\(3,\)"):
        k.cross_entropy_backward(k.from_numpy(np.ones(3, F32)), x, t, normalisers)
    with pytest.raises(ValueError, match=r"normalisers must be an array float32\(2, 4\) .*, got NoneType"):
        k.cross_entropy_backward(k.from_numpy(np.ones(4, F32)), x, t, None)
