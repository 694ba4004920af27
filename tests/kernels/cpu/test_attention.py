"""Attention in tiles on the CPU, against NumPy's matrix products."""

import numpy as np
import pytest
from attention_checks import EMPTY, LARGE, LAYOUTS, MASKS, SMALL, check, sample

import kernels
from kernels import backend_for, memory
from kernels.attention import Dropout
from kernels.cpu.attention import attention, attention_backward

CPU = backend_for("cpu")


@pytest.mark.parametrize("size", [*SMALL, *EMPTY, *LARGE], ids=str)
def test_values_and_gradients(size):
    for dtype in (np.float32, np.float64):
        for kind in MASKS:
            for causal in (False, True):
                check(CPU, size, dtype, kind, causal)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_strides(layout):
    for dtype in (np.float32, np.float64):
        check(CPU, (2, 3, 5, 70, 6, 20), dtype, "bool", layout=layout)


def test_dropout_is_that_of_the_random_blocks():
    for p in (0.3, 1.0):
        for causal in (False, True):
            check(CPU, (2, 3, 5, 70, 6, 20), np.float32, "added", causal, Dropout(p, 7, 1 << 40))


def test_results_lie_as_the_operands_do():
    q, k, v = (sample((2, 3, 8, 4), np.float32, "rows first", n) for n in range(3))
    out, logarithms = attention(q, k, v, scale=0.5)
    for found in (out, *attention_backward(out, q, k, v, out, logarithms, scale=0.5)):
        assert found.strides == q.strides


def test_bits_do_not_depend_on_threads(monkeypatch):
    size = (1, 2, 200, 700, 16, 16)
    q, k, v, g = (sample(s, np.float32, seed=n) for n, s in enumerate([size[:3] + (16,), (1, 2, 700, 16), (1, 2, 700, 16)] * 2) if n < 4)
    results = []
    for work in (1, kernels.launch.NEVER):
        monkeypatch.setattr(kernels.launch, "parallel_work", work)
        out, logarithms = attention(q, k, v, scale=0.25, causal=True)
        results.append([out, logarithms, *attention_backward(g, q, k, v, out, logarithms, scale=0.25, causal=True)])
    for one, other in zip(*results, strict=True):
        assert np.array_equal(one, other)


def test_every_element_is_written():
    memory.set_poison(True)
    try:
        for size in ((1, 2, 5, 200, 8, 8), (1, 1, 70, 0, 4, 4), (1, 1, 0, 70, 4, 4)):
            check(CPU, size, np.float32, "keys", True)
    finally:
        memory.set_poison(False)


def test_large_scores_and_those_that_are_not_numbers():
    q = np.array([[[[1e4], [-1e4], [np.nan], [0.0]]]])
    k = np.array([[[[1.0], [1.0], [-1.0]]]])
    v = np.array([[[[1.0], [3.0], [8.0]]]])
    out, logarithms = attention(q, k, v, scale=1.0)
    np.testing.assert_allclose(out.ravel(), [2.0, 8.0, np.nan, 4.0])
    np.testing.assert_allclose(logarithms.ravel(), [1e4 + np.log(2), 1e4, np.nan, np.log(3)])
    dq, dk, dv = attention_backward(np.ones_like(out), q, k, v, out, logarithms, scale=1.0)
    assert np.isnan(dq[0, 0, 2]).all() and np.isfinite(dq[0, 0, [0, 1, 3]]).all() and np.isnan(dk).all() and np.isnan(dv).all()


def test_memory_grows_with_the_length_not_its_square():
    def peak(length):
        q, k, v = (sample((1, 1, length, 16), np.float32, seed=n) for n in range(3))
        before = memory.memory_allocated()
        memory.allocator.peak = before
        out, logarithms = attention(q, k, v, scale=0.25, causal=True)
        attention_backward(out, q, k, v, out, logarithms, scale=0.25, causal=True)
        return memory.max_memory_allocated() - before

    kept = memory.allocator.peak
    half, whole = peak(1024), peak(2048)
    memory.allocator.peak = max(kept, memory.allocator.peak)
    assert 0 < whole <= 2.5 * half and whole < 2048 * 2048 * 4 / 2


def test_what_does_not_fit_is_refused():
    q, k = np.zeros((1, 2, 3, 4)), np.zeros((1, 2, 5, 4))
    for operands, error, message in (
        ((q[0], k, k), ValueError, r"attention: the query must be \(batch, heads, length, features\), got shape \(2, 3, 4\)"),
        ((q, k[..., :3], k), ValueError, r"takes keys \(B, H, S, D\)"),
        ((q, k, k[:, :, :4]), ValueError, r"takes keys \(B, H, S, D\)"),
        ((q.astype(np.float32), k, k), TypeError, "the query is float32, the key float64"),
        ((q.astype(int), k, k), TypeError, "computes in float32 and float64, the query is int64"),
        ((q, k, k, np.zeros((1, 2, 5, 3))), ValueError, r"the mask must broadcast to \(1, 2, 3, 5\)"),
        ((q, k, k, np.zeros((3, 5), bool)), ValueError, r"the mask must broadcast to \(1, 2, 3, 5\)"),
        ((q, k, k, np.zeros((1, 1, 1, 5), np.float32)), TypeError, "the mask must be bool or float64"),
    ):
        with pytest.raises(error, match=message):
            attention(*operands, scale=1.0)
    out, logarithms = attention(q, k, k, scale=1.0)
    with pytest.raises(ValueError, match=r"the upstream gradient must be float64 of shape \(1, 2, 3, 4\)"):
        attention_backward(out[:, :, :2], q, k, k, out, logarithms, scale=1.0)
