"""Losses of distances, margins, distributions and sequences: PyTorch's results (tests/nn/reference/losses.py) and gradcheck."""

import importlib.util
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

import autograd as ag
import nn
import nn.functional as F

_spec = importlib.util.spec_from_file_location("reference_losses", Path(__file__).parent / "reference" / "losses.py")
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)
STORED = json.loads(reference.STORED.read_text())
RUNS = [(*case, reduction) for case in reference.CASES for reduction in reference.REDUCTIONS]
IDS = [f"{name}-{'-'.join(options)}-{reduction}" for name, options, _, _, reduction in RUNS]


def of(name, options, operands, others, reduction, dtype):
    own = {k: ag.tensor(v, dtype=dtype) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    loss = getattr(nn, name)(reduction=reduction, **own)
    given = [ag.tensor(o, dtype=dtype, requires_grad=True) for o in operands]
    rest = [ag.tensor(o, dtype=dtype) if isinstance(o, np.ndarray) and o.dtype.kind == "f" else o for o in others]
    return loss, given, rest


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("number", range(len(RUNS)), ids=IDS)
def test_equal_to_pytorchs(number, dtype):
    loss, given, rest = of(*RUNS[number], dtype)
    out = loss(*[ag.log_softmax(g, -1) if RUNS[number][0] == "CTCLoss" else g for g in given], *rest)
    out.sum().backward()
    expected, slopes = STORED[number]
    tolerance = 1e-5 if dtype == "float32" else 1e-10
    np.testing.assert_allclose(out.detach().numpy(), expected, rtol=tolerance, atol=0.1 * tolerance)
    for g, slope in zip(given, slopes, strict=True):
        np.testing.assert_allclose(g.grad.numpy(), slope, rtol=10 * tolerance, atol=tolerance)


@pytest.mark.parametrize("number", range(0, len(RUNS), 3), ids=IDS[::3])
def test_gradients_to_second_order(number):
    loss, given, rest = of(*RUNS[number], "float64")
    if RUNS[number][0] == "CTCLoss":
        given, rest = [ag.tensor(reference.LOGITS[:5, :2], requires_grad=True)], [[[1, 2], [3, 3]], [5, 4], [2, 1]]
        rest[0] = [[1, 2], [3, 0]]

    def run(*operands):
        return loss(*[ag.log_softmax(o, -1) if RUNS[number][0] == "CTCLoss" else o for o in operands], *rest)

    assert ag.gradcheck(run, given)
    if RUNS[number][0] != "TripletMarginLoss":
        assert ag.gradgradcheck(run, given)


class TestCTC:
    def test_by_counting_all_alignments(self):
        rng = np.random.default_rng(3)
        scores = ag.log_softmax(ag.tensor(rng.normal(size=(4, 3))), -1)
        probabilities = np.exp(scores.numpy())
        for labels in ([], [1], [2, 1], [1, 1], [1, 2, 1]):
            total = 0.0
            for path in itertools.product(range(3), repeat=4):
                short = [k for k, _ in itertools.groupby(path) if k != 0]
                total += np.prod(probabilities[range(4), path]) if short == labels else 0.0
            loss = F.ctc_loss(scores, ag.tensor(labels, dtype="int64"), [4], [len(labels)], reduction="none")
            np.testing.assert_allclose(loss.item(), -np.log(total), rtol=1e-12)

    def test_labels_in_a_row(self):
        scores = ag.log_softmax(ag.tensor(reference.LOGITS), -1)
        rows = F.ctc_loss(scores, reference.SEQUENCES, reference.TIMES, reference.SIZES, reduction="none")
        in_a_row = np.concatenate([s[:n] for s, n in zip(reference.SEQUENCES, reference.SIZES, strict=True)])
        np.testing.assert_array_equal(
            F.ctc_loss(scores, in_a_row, reference.TIMES, reference.SIZES, reduction="none").numpy(), rows.numpy()
        )

    def test_too_long_is_infinite(self):
        scores = ag.log_softmax(ag.tensor(reference.LOGITS[:2, :1], requires_grad=True), -1)
        loss = F.ctc_loss(scores, [[1, 2, 3]], [2], [3], reduction="none")
        assert loss.tolist() == [np.inf]
        zero = F.ctc_loss(scores, [[1, 2, 3]], [2], [3], zero_infinity=True)
        assert zero.item() == 0

    @pytest.mark.parametrize(("arguments", "error", "words"), [
        (([[1, 2]], [3, 3], [2]), ValueError, "input_lengths must be 1 integers"),
        (([[1, 2]], [9], [2]), ValueError, "input_lengths must be from 0 to 4, got"),
        (([[1, 2]], [4], [3]), ValueError, "target_lengths must be from 0 to 2"),
        (([[1, 7]], [4], [2]), IndexError, "target 7 .* is no class: expected 0 to 2"),
        (([[1.0, 2.0]], [4], [2]), TypeError, "targets must be integers"),
    ])  # fmt: skip
    def test_refused(self, arguments, error, words):
        with pytest.raises(error, match=words):
            F.ctc_loss(ag.zeros((4, 1, 3)), *arguments)


def test_variances_without_an_axis_or_as_a_number():
    x, t = ag.tensor(reference.A), ag.tensor(reference.B)
    one = F.gaussian_nll_loss(x, t, ag.full((5,), 0.5, dtype="float64"))
    assert one.item() == F.gaussian_nll_loss(x, t, 0.5).item()


@pytest.mark.parametrize(("call", "error", "words"), [
    (lambda: F.cosine_embedding_loss(ag.ones((2, 3)), ag.ones((2, 3)), ag.ones(3)), ValueError, r"targets \(N,\), got"),
    (lambda: F.triplet_margin_loss(ag.ones(3), ag.ones(3), ag.ones(3), margin=0.0), ValueError, "margin must be above 0"),
    (lambda: F.triplet_margin_loss(ag.ones((2, 3)), ag.ones(3), ag.ones(3)), ValueError, "as many dimensions"),
    (lambda: F.multi_margin_loss(ag.ones((2, 3)), [0, 3]), IndexError, "target 3 .* expected 0 to 2"),
    (lambda: F.multi_margin_loss(ag.ones((2, 3)), [0.0, 1.0]), TypeError, "must be integers"),
    (lambda: F.multi_margin_loss(ag.ones((2, 3)), [0, 1], p=3), ValueError, "p is 1 or 2"),
    (lambda: F.multi_margin_loss(ag.ones((2, 3)), [0, 1], weight=ag.ones(2)), ValueError, r"expected \(3,\)"),
    (lambda: F.gaussian_nll_loss(ag.ones(3), ag.ones(3), -ag.ones(3)), ValueError, "a variance is negative"),
    (lambda: F.gaussian_nll_loss(ag.ones((2, 3)), ag.ones((2, 3)), ag.ones(3)), ValueError, "one per element or per row"),
    (lambda: nn.PoissonNLLLoss(reduction="all"), ValueError, "reduction is"),
    (lambda: nn.TripletMarginLoss(margin=-1.0), ValueError, "margin must be above 0"),
])  # fmt: skip
def test_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
