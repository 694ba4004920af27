"""Cross-entropy against its definition in float64, its derivative against differences, and PyTorch where installed."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest

from kernels import launch
from kernels.cpu.cross_entropy import cross_entropy, cross_entropy_backward

F32, F64 = np.float32, np.float64
OPTIONS = list(itertools.product((False, True), (False, True), (0.0, 0.1, 1.0)))


def problem(rows, classes, dtype=F32, weighted=False, ignored=False, smoothing=0.0, seed=0):
    """Logits, targets and options."""
    random = np.random.default_rng(seed)
    logits = (3 * random.normal(size=(rows, classes))).astype(dtype)
    targets = random.integers(0, classes, rows)
    options = {"weight": random.random(classes).astype(dtype) if weighted else None, "label_smoothing": smoothing}
    if ignored:
        targets[::3] = options["ignore_index"] = 2
    return logits, targets, options


def reference(logits, targets, weight=None, ignore_index=-100, label_smoothing=0.0):
    """PyTorch's definition, in float64: losses and row weights."""
    x = logits.astype(F64)
    log_p = x - np.logaddexp.reduce(x, axis=1, keepdims=True)
    w = np.ones(x.shape[1]) if weight is None else weight.astype(F64)
    kept = targets != ignore_index
    y = np.where(kept, targets, 0)
    row = np.arange(len(y))
    losses = (1 - label_smoothing) * w[y] * -log_p[row, y]
    if label_smoothing:
        losses = losses - label_smoothing / x.shape[1] * (w * log_p).sum(1)
    return np.where(kept, losses, 0), np.where(kept, w[y], 0)


@pytest.mark.parametrize(("weighted", "ignored", "smoothing"), OPTIONS)
@pytest.mark.parametrize("dtype", [F32, F64])
def test_values_and_gradients(dtype, weighted, ignored, smoothing):
    for rows, classes in ((1, 3), (7, 5), (64, 10), (5, 1025)):
        logits, targets, options = problem(rows, classes, dtype, weighted, ignored, smoothing)
        before = logits.copy(), targets.copy()
        losses, normalisers, row_weights = cross_entropy(logits, targets, **options)
        exact, exact_weights = reference(logits, targets, **options)
        tolerance = 100 * np.finfo(dtype).eps
        np.testing.assert_allclose(losses, exact, rtol=tolerance, atol=tolerance)
        np.testing.assert_array_equal(row_weights, exact_weights.astype(dtype))
        assert losses.dtype == row_weights.dtype == dtype and losses.shape == row_weights.shape == (rows,)

        g = np.random.default_rng(1).normal(size=rows).astype(dtype)
        gradient = cross_entropy_backward(g, logits, targets, normalisers, **options)
        assert gradient.dtype == dtype and gradient.shape == logits.shape
        step = 1e-6
        for column in (0, classes // 2, classes - 1):
            up, down = logits.astype(F64), logits.astype(F64)
            up[:, column] += step
            down[:, column] -= step
            slope = (reference(up, targets, **options)[0] - reference(down, targets, **options)[0]) / (2 * step)
            np.testing.assert_allclose(gradient[:, column], g * slope, atol=2e-6 if dtype == F32 else 1e-7)
        np.testing.assert_array_equal(logits, before[0])
        np.testing.assert_array_equal(targets, before[1])


def test_against_pytorch():
    torch = pytest.importorskip("torch")
    for weighted, ignored, smoothing in OPTIONS:
        logits, targets, options = problem(33, 17, F32, weighted, ignored, smoothing)
        losses, normalisers, row_weights = cross_entropy(logits, targets, **options)
        theirs = torch.tensor(logits, requires_grad=True)
        weight = None if options["weight"] is None else torch.tensor(options["weight"])
        others = {"weight": weight, "ignore_index": options.get("ignore_index", -100), "label_smoothing": smoothing}
        for reduction, g, ours in [
            ("none", np.ones(33, F32), losses),
            ("sum", np.ones(33, F32), losses.sum()),
            ("mean", np.broadcast_to(1 / row_weights.sum(), 33), losses.sum() / row_weights.sum()),
        ]:
            expected = torch.nn.functional.cross_entropy(theirs, torch.tensor(targets), reduction=reduction, **others)
            np.testing.assert_allclose(ours, expected.detach().numpy(), rtol=1e-5, atol=1e-6)
            (wanted,) = torch.autograd.grad(expected.sum(), theirs)
            gradient = cross_entropy_backward(g, logits, targets, normalisers, **options)
            np.testing.assert_allclose(gradient, wanted.numpy(), rtol=1e-4, atol=1e-6)


def test_extreme_logits():
    logits = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 1e4], [-1e4, -1e4, -1e4]], F32)
    targets = np.array([1, 1, 2])
    losses, normalisers, _ = cross_entropy(logits, targets)
    np.testing.assert_allclose(losses, [2e4, np.log(2), np.log(3)], rtol=1e-6)
    gradient = cross_entropy_backward(np.ones(3, F32), logits, targets, normalisers)
    np.testing.assert_allclose(gradient, [[1, -1, 0], [0, -0.5, 0.5], [1 / 3, 1 / 3, -2 / 3]], rtol=1e-6)


def test_masked_logits():
    inf = np.inf
    logits = np.array([[-inf, 0, 0], [-inf, -inf, -inf], [0, -inf, 0]], F32)
    targets = np.array([1, 0, 1])
    losses, normalisers, _ = cross_entropy(logits, targets)
    np.testing.assert_allclose(losses, [np.log(2), inf, inf], rtol=1e-6)
    gradient = cross_entropy_backward(np.ones(3, F32), logits, targets, normalisers)
    np.testing.assert_allclose(gradient, [[0, -0.5, 0.5], [0, 0, 0], [0.5, -1, 0.5]], rtol=1e-6)
    logits[0, 1] = np.nan
    assert np.isnan(cross_entropy(logits, targets)[0][0])


def test_layouts_and_integer_types():
    logits, targets, _ = problem(12, 20)
    exact = reference(logits, targets)[0]
    packed = np.zeros(logits.shape, [("tag", "i1"), ("value", F32)])
    packed["value"] = logits
    wide = np.concatenate([logits, logits], axis=1)
    g = np.broadcast_to(F32(0.5), 12)
    gradient = cross_entropy_backward(g, logits, targets, cross_entropy(logits, targets)[1])
    for view in (
        np.asfortranarray(logits),
        wide[:, :20],
        wide[:, 20:],
        logits[::-1][::-1],
        packed["value"],
        np.ascontiguousarray(logits[::-1])[::-1],
    ):
        losses, normalisers, _ = cross_entropy(view, targets)
        np.testing.assert_allclose(losses, exact, rtol=1e-5)
        np.testing.assert_array_equal(cross_entropy_backward(g, view, targets, normalisers), gradient)
    for dtype in (np.int8, np.uint8, np.int32, np.uint64):
        np.testing.assert_allclose(cross_entropy(logits, targets.astype(dtype))[0], exact, rtol=1e-5)
    np.testing.assert_allclose(cross_entropy(logits, np.repeat(targets, 2)[::2])[0], exact, rtol=1e-5)
    upstream = np.arange(24, dtype=F32)[::-2]
    np.testing.assert_array_equal(
        cross_entropy_backward(upstream, logits, targets, normalisers),
        cross_entropy_backward(upstream.copy(), logits, targets, normalisers),
    )


def test_no_rows_and_all_ignored():
    losses, normalisers, row_weights = cross_entropy(np.zeros((0, 3), F32), np.zeros(0, int))
    assert losses.shape == row_weights.shape == (0,) and normalisers.shape == (2, 0)
    assert cross_entropy_backward(losses, np.zeros((0, 3), F32), np.zeros(0, int), normalisers).shape == (0, 3)
    logits, targets = np.ones((4, 3), F32), np.full(4, -100)
    losses, normalisers, row_weights = cross_entropy(logits, targets)
    assert (losses == 0).all() and (row_weights == 0).all()
    assert (cross_entropy_backward(np.ones(4, F32), logits, targets, normalisers) == 0).all()


def test_the_number_of_threads_changes_no_bit(monkeypatch):
    logits, targets, options = problem(500, 300, F32, True, True, 0.1)

    def everything():
        losses, normalisers, _ = cross_entropy(logits, targets, **options)
        return losses.tobytes(), cross_entropy_backward(losses, logits, targets, normalisers, **options).tobytes()

    serial = everything()
    monkeypatch.setattr(launch, "parallel_work", 0)
    for threads in range(1, launch.available_threads() + 1):
        monkeypatch.setattr(launch, "_threads", threads)
        assert everything() == serial


def test_classes_out_of_range():
    logits = np.zeros((4, 3), F32)
    for bad in (3, -1, 100, -101):
        with pytest.raises(
            IndexError, match=rf"cross_entropy: targets\[2\] is {bad}, but logits with 3 classes take 0 to 2; pass"
        ):
            cross_entropy(logits, np.array([0, 2, bad, 7]))
        normalisers = cross_entropy(logits, np.zeros(4, int))[1]
        with pytest.raises(IndexError, match=rf"targets\[2\] is {bad}"):
            cross_entropy_backward(np.ones(4, F32), logits, np.array([0, 2, bad, 7]), normalisers)
    with pytest.raises(IndexError, match=r"targets\[1\] is 18446744073709551615"):
        cross_entropy(logits, np.array([0, 2**64 - 1, 0, 0], np.uint64))
    assert cross_entropy(logits, np.array([0, 1, -100, 2]))[0][2] == 0


def test_bad_arguments():
    logits, targets = np.zeros((4, 3), F32), np.zeros(4, int)
    for error, message, arguments, options in [
        (TypeError, "expected a NumPy array, got list", ([1.0], targets), {}),
        (TypeError, "defined for float32 and float64, got int64", (np.zeros((4, 3), int), targets), {}),
        (ValueError, r"logits must have shape \(rows, classes\), got \(4,\)", (np.zeros(4), targets), {}),
        (TypeError, "targets must be an array of integer classes, got float64", (logits, np.zeros(4)), {}),
        (TypeError, "targets must be an array of integer classes, got list", (logits, [0, 0, 0, 0]), {}),
        (ValueError, r"logits \(4, 3\) need targets of shape \(4,\), got \(3,\)", (logits, targets[:3]), {}),
        (ValueError, r"weight must be an array float32\(3,\) .*, got float64\(3,\)", (logits, targets), {"weight": np.ones(3)}),
        (ValueError, r"weight must be contiguous", (logits, targets), {"weight": np.ones(6, F32)[::2]}),
        (ValueError, "label_smoothing must lie between 0 and 1, got 1.5", (logits, targets), {"label_smoothing": 1.5}),
        (TypeError, "ignore_index must be an integer, got 0.5", (logits, targets), {"ignore_index": 0.5}),
    ]:
        with pytest.raises(error, match=f"cross_entropy: {message}"):
            cross_entropy(*arguments, **options)
    normalisers = cross_entropy(logits, targets)[1]
    with pytest.raises(ValueError, match=r"the gradient of the losses must be an array float32\(4,\) .*, got float32\(3,\)"):
        cross_entropy_backward(np.ones(3, F32), logits, targets, normalisers)
    with pytest.raises(ValueError, match=r"normalisers must be an array float32\(2, 4\) .*, got NoneType"):
        cross_entropy_backward(np.ones(4, F32), logits, targets, None)


TINY = """
import numpy as np
from kernels.cpu.cross_entropy import cross_entropy, cross_entropy_backward
logits, targets = np.array([[0.0, 1.0, 2.0], [3.0, -1.0, 0.5]], np.float32), np.array([2, -100])
for weight in (None, np.array([1.0, 2.0, 3.0], np.float32)):
    for smoothing in (0.0, 0.1):
        losses, normalisers, weights = cross_entropy(logits, targets, weight, label_smoothing=smoothing)
        gradient = cross_entropy_backward(np.ones(2, np.float32), logits, targets, normalisers, weight, label_smoothing=smoothing)
        assert losses[0] > 0 and losses[1] == 0 and abs(gradient.sum()) < 1e-6 and not gradient[1].any()
try:
    cross_entropy(logits, np.array([0, 3]))
except IndexError as error:
    assert "targets[1] is 3" in str(error)
else:
    raise AssertionError
"""


def test_the_loops_mean_the_same_in_plain_python(tmp_path):
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "GRADLOOM_CACHE": str(tmp_path)}
    subprocess.run([sys.executable, "-W", "error", "-c", TINY], env=environment, check=True)
