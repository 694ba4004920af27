"""Metrics against counting by hand and against scikit-learn's definitions; batches make no difference."""

import math

import numpy as np
import pytest

import autograd as ag
from nn.metrics import F1, Accuracy, ConfusionMatrix, Metric, Perplexity, Precision, Recall, TopKAccuracy

TRUE = np.array([0, 1, 2, 2, 1, 0, 2, 2, 1, 0])
TAKEN = np.array([0, 2, 2, 2, 1, 0, 1, 2, 0, 0])
SCORES = np.eye(4, dtype=np.float32)[TAKEN] + 0.1  # of a fourth class that never comes


def of(metric, scores=SCORES, true=TRUE, size=3):
    for i in range(0, len(true), size):
        metric.update(ag.asarray(scores[i : i + size]), ag.asarray(true[i : i + size]))
    return metric.compute()


@pytest.mark.parametrize("size", [1, 3, 10])
def test_accuracy(size):
    assert of(Accuracy(), size=size) == 0.7
    assert math.isnan(Accuracy().compute())


def test_top_k():
    scores = np.array([[0.1, 0.5, 0.4], [0.6, 0.3, 0.1], [0.2, 0.3, 0.5]], np.float32)
    true = np.array([2, 2, 2])
    assert [of(TopKAccuracy(k), scores, true) for k in (1, 2, 3)] == [1 / 3, 2 / 3, 1.0]
    with pytest.raises(ValueError, match="top_k=4 of 3 classes"):
        of(TopKAccuracy(4), scores, true)
    with pytest.raises(ValueError, match="top_k must be 1 or more"):
        Accuracy(top_k=0)


def test_accuracy_of_pixels_and_ignored_targets():
    scores = np.zeros((2, 3, 4), np.float32)
    scores[:, 1] = 1
    true = np.array([[1, 1, 0, -100], [1, -100, 2, 1]])
    assert of(Accuracy(), scores, true, 1) == 4 / 6
    assert of(ConfusionMatrix(), scores, true).tolist() == [[0, 1, 0], [0, 4, 0], [0, 1, 0]]
    assert of(Accuracy(ignore_index=1), scores, np.where(true < 0, 0, true)) == 0.0
    assert math.isnan(of(Accuracy(), scores[:1], np.full((1, 4), -100)))


def test_two_classes_by_a_threshold():
    logits = np.array([[-1.0], [2.0], [0.5], [-3.0]], np.float32)
    true = np.array([[0.0], [1.0], [0.0], [1.0]], np.float32)
    assert of(Accuracy(threshold=0.0), logits, true) == 0.5
    assert of(ConfusionMatrix(threshold=0.0), logits, true).tolist() == [[1, 1], [1, 1]]
    assert of(Precision("binary", threshold=1.0), logits, true) == 1.0
    assert of(Recall("binary", threshold=1.0), logits, true) == 0.5
    with pytest.raises(ValueError, match="one shape and targets are 0 or 1"):
        of(Accuracy(threshold=0.0), logits, true + 1)


def test_confusion_matrix():
    expected = np.zeros((4, 4), int)
    np.add.at(expected, (TRUE, TAKEN), 1)
    metric = ConfusionMatrix()
    assert np.array_equal(of(metric), expected) and metric.compute().dtype == np.int64


@pytest.mark.parametrize("average", ["macro", "weighted", "micro", None])
@pytest.mark.parametrize("kind", [Precision, Recall, F1])
def test_precision_recall_f1(kind, average):
    """By the definitions, class by class; averages over the classes that come."""
    precision, recall, count = [], [], []
    for k in range(3):
        hits = np.sum((k == TRUE) & (k == TAKEN))
        precision.append(hits / np.sum(k == TAKEN))
        recall.append(hits / np.sum(k == TRUE))
        count.append(np.sum(k == TRUE))
    f1 = [2 * p * r / (p + r) for p, r in zip(precision, recall, strict=True)]
    scores = {Precision: precision, Recall: recall, F1: f1}[kind]
    expected = {"macro": np.mean(scores), "weighted": np.average(scores, weights=count), "micro": 0.7, None: [*scores, 0.0]}
    np.testing.assert_allclose(of(kind(average)), expected[average], rtol=1e-12)


def test_averages_that_there_are_not():
    with pytest.raises(ValueError, match="average is 'macro'"):
        F1("mean")
    with pytest.raises(ValueError, match="average='binary' needs 2 classes, got 4"):
        of(F1("binary"))
    metric = F1()
    metric.update(np.zeros((1, 2), np.float32), np.array([-100]))
    assert math.isnan(metric.compute())


def test_perplexity():
    logits = np.random.default_rng(0).normal(size=(6, 5, 2)).astype(np.float32)
    true = np.array([[0, 1], [2, 3], [4, -100], [1, 1], [0, 0], [2, 4]])
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    picked = [p[i, true[i, j], j] for i in range(6) for j in range(2) if true[i, j] >= 0]
    for size in (1, 4, 6):
        np.testing.assert_allclose(of(Perplexity(), logits, true, size), np.exp(-np.mean(np.log(picked))), rtol=1e-5)
    assert math.isclose(of(Perplexity(), np.zeros((3, 7), np.float32), np.array([0, 3, 6])), 7.0, rel_tol=1e-6)
    assert of(Perplexity(), np.array([[0.0, 1e4]], np.float32), np.array([0])) == math.inf
    assert math.isnan(of(Perplexity(), np.zeros((1, 7), np.float32), np.array([-100])))


@pytest.mark.parametrize(
    ("output", "target", "message"),
    [
        (np.zeros((3, 4)), np.zeros(3), "whole numbers"),
        (np.zeros((3, 4)), np.zeros(4, int), "scores \\(N, C, ...\\)"),
        (np.zeros(3), np.zeros(3, int), "scores"),
        (np.zeros((3, 4)), np.array([0, 4, 0]), "the target 4 is no class from 0 to 3"),
        (np.zeros((3, 4)), np.array([0, -1, 0]), "the target -1 is no class"),
    ],
)
@pytest.mark.parametrize("metric", [Accuracy(), TopKAccuracy(2), ConfusionMatrix(), F1(), Perplexity()])
def test_what_does_not_fit_is_not_counted(metric, output, target, message):
    metric.reset()
    with pytest.raises(ValueError, match=message):
        metric.update(output, target)
    assert metric.state_dict() == {"counts": None}


def test_one_batch_alone_reset_and_state():
    metric = Accuracy()
    of(metric)
    assert metric(SCORES[:2], TRUE[:2]) == 0.5 and metric.compute() == 0.7
    other = Accuracy()
    other.load_state_dict(metric.state_dict())
    metric.reset()
    assert other.compute() == 0.7 and math.isnan(metric.compute())
    matrix = ConfusionMatrix()
    of(matrix)
    with pytest.raises(ValueError, match="is the number of classes the same"):
        matrix.update(np.zeros((1, 3)), np.array([0]))
    assert matrix.compute().sum() == 10
    with pytest.raises(NotImplementedError, match="must define _count"):
        Metric().update(SCORES, TRUE)


def test_outputs_that_require_grad():
    assert of(Accuracy(), ag.tensor(SCORES, requires_grad=True) * 2) == 0.7
