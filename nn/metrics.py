"""Metrics: what is counted over batches, and the number at the end.

>>> import autograd as ag
>>> metric = Accuracy()
>>> metric.update(ag.tensor([[0.1, 0.9], [0.8, 0.2]]), ag.tensor([1, 1]))
>>> metric.update(ag.tensor([[0.3, 0.7]]), ag.tensor([1]))
>>> round(metric.compute(), 4)
0.6667

Predictions of classes have shape (N, C, ...), scores or probabilities with the classes along axis 1, and targets (N, ...)
whole numbers below C. Counts are exact, so the result does not depend on how the data were divided into batches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

import autograd as ag
from nn import functional as F


class Metric:
    """What is computed over several batches: `update` each, then `compute`; `reset` begins again.

    Subclasses define `_count(output, target)`, the batch's counts, and `_value(counts)`; counts are added up.
    """

    def __init__(self) -> None:
        self._counts: np.ndarray | None = None

    def _count(self, output: ag.Tensor, target: ag.Tensor) -> np.ndarray:
        raise NotImplementedError(f"{type(self).__name__} must define _count(output, target)")

    def _value(self, counts: np.ndarray) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define _value(counts)")

    def update(self, output: Any, target: Any) -> None:
        """Take a batch of predictions and what is true.

        Raises:
            ValueError: shapes, dtypes or classes that do not fit; nothing is counted then.
        """
        with ag.no_grad():
            counts = self._count(ag.asarray(output).detach(), ag.asarray(target).detach())
        if self._counts is not None and self._counts.shape != counts.shape:
            raise ValueError(
                f"{type(self).__name__}: this batch's counts have shape {counts.shape}, those before {self._counts.shape}; is "
                "the number of classes the same?"
            )
        self._counts = counts if self._counts is None else self._counts + counts

    def compute(self) -> Any:
        """The result over all batches since the last `reset`; NaN where there were none."""
        return math.nan if self._counts is None else self._value(self._counts)

    def reset(self) -> None:
        """Forget all batches."""
        self._counts = None

    def __call__(self, output: Any, target: Any) -> Any:
        """The result for one batch alone; what was counted is left as it is."""
        before, self._counts = self._counts, None
        try:
            self.update(output, target)
            return self.compute()
        finally:
            self._counts = before

    def state_dict(self) -> dict[str, Any]:
        """The counts so far."""
        return {"counts": None if self._counts is None else self._counts.copy()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave."""
        counts = state_dict["counts"]
        self._counts = None if counts is None else np.array(ag.asarray(counts).numpy())


class Accuracy(Metric):
    """The part of predictions that are right: the class of the highest score, or, with `threshold`, score > threshold.

    Args:
        top_k: count a prediction as right where the target is among the k highest scores.
        threshold: for two classes: outputs and targets (0 or 1) have one shape. 0 suits logits, 0.5 probabilities.
        ignore_index: targets of this number are not counted.
    """

    def __init__(self, top_k: int = 1, threshold: float | None = None, ignore_index: int | None = -100) -> None:
        super().__init__()
        if top_k < 1 or (threshold is not None and top_k != 1):
            raise ValueError(f"Accuracy: top_k must be 1 or more, and 1 with a threshold, got {top_k}")
        self.top_k, self.threshold, self.ignore_index = top_k, threshold, ignore_index

    def _count(self, output: ag.Tensor, target: ag.Tensor) -> np.ndarray:
        name = type(self).__name__
        if self.threshold is not None:
            predicted, true = _binary(name, output, target, self.threshold)
            return np.array([np.count_nonzero(predicted == true), true.size])
        true, counted = _checked(name, output, target, self.ignore_index)
        if self.top_k > output.shape[1]:
            raise ValueError(f"{name}: top_k={self.top_k} of {output.shape[1]} classes")
        if self.top_k == 1:
            right = ag.argmax(output, axis=1).numpy() == true
        else:
            best = ag.topk(output, self.top_k, axis=1)[1].numpy()
            right = (best == np.expand_dims(true, 1)).any(axis=1)
        return np.array([np.count_nonzero(right & counted), np.count_nonzero(counted)])

    def _value(self, counts: np.ndarray) -> float:
        return float(counts[0] / counts[1]) if counts[1] else math.nan


class TopKAccuracy(Accuracy):
    """The part of predictions where the target is among the k highest scores."""

    def __init__(self, k: int = 5, ignore_index: int | None = -100) -> None:
        super().__init__(top_k=k, ignore_index=ignore_index)


class ConfusionMatrix(Metric):
    """How often each class was taken for each: row = true class, column = predicted class; an int64 array (C, C).

    Args:
        threshold: for two classes, as for `Accuracy`.
        ignore_index: targets of this number are not counted.
    """

    def __init__(self, threshold: float | None = None, ignore_index: int | None = -100) -> None:
        super().__init__()
        self.threshold, self.ignore_index = threshold, ignore_index

    def _count(self, output: ag.Tensor, target: ag.Tensor) -> np.ndarray:
        name = type(self).__name__
        if self.threshold is not None:
            predicted, true = _binary(name, output, target, self.threshold)
            classes, counted = 2, np.ones(true.shape, bool)
        else:
            true, counted = _checked(name, output, target, self.ignore_index)
            predicted, classes = ag.argmax(output, axis=1).numpy(), output.shape[1]
        cells = true[counted].astype(np.int64) * classes + predicted[counted]
        return np.bincount(cells.ravel(), minlength=classes**2).reshape(classes, classes)

    def _value(self, counts: np.ndarray) -> Any:
        return counts.copy()


class _OfConfusion(ConfusionMatrix):
    """A score of each class, from its true positives, false positives and false negatives, and their average.

    Args:
        average: "macro" (the mean over classes that occur, as targets or predictions), "weighted" (by the number of
            targets), "micro" (of all decisions together), "binary" (of class 1) or None (an array, a number per class).
    """

    def __init__(self, average: str | None = "macro", threshold: float | None = None, ignore_index: int | None = -100) -> None:
        super().__init__(threshold, ignore_index)
        if average not in ("macro", "weighted", "micro", "binary", None):
            raise ValueError(
                f"{type(self).__name__}: average is 'macro', 'weighted', 'micro', 'binary' or None, got {average!r}"
            )
        self.average = average

    def _score(self, hits: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _value(self, counts: np.ndarray) -> Any:
        hits, predicted, true = np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)
        if self.average == "micro":
            return float(self._score(hits.sum(), predicted.sum(), true.sum()))
        scores = self._score(hits, predicted, true)
        if self.average is None:
            return scores
        if self.average == "binary":
            if len(scores) != 2:
                raise ValueError(f"{type(self).__name__}: average='binary' needs 2 classes, got {len(scores)}")
            return float(scores[1])
        weights = true if self.average == "weighted" else (true + predicted) > 0
        return float((scores * weights).sum() / weights.sum()) if weights.sum() else math.nan


class Precision(_OfConfusion):
    """Of what was predicted as a class, the part that was it; 0 for a class that was never predicted."""

    def _score(self, hits: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
        return hits / np.maximum(predicted, 1)


class Recall(_OfConfusion):
    """Of a class, the part that was predicted as it; 0 for a class that never occurred."""

    def _score(self, hits: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
        return hits / np.maximum(true, 1)


class F1(_OfConfusion):
    """The harmonic mean of precision and recall, 2 hits / (predicted + true); 0 where a class never came."""

    def _score(self, hits: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
        return 2 * hits / np.maximum(predicted + true, 1)


class Perplexity(Metric):
    """exp of the mean cross-entropy of logits (N, C, ...) with targets (N, ...): how many classes the model wavers between."""

    def __init__(self, ignore_index: int | None = -100) -> None:
        super().__init__()
        self.ignore_index = ignore_index

    def _count(self, output: ag.Tensor, target: ag.Tensor) -> np.ndarray:
        _, counted = _checked(type(self).__name__, output, target, self.ignore_index)
        ignored = -100 if self.ignore_index is None else self.ignore_index
        count = int(np.count_nonzero(counted))
        total = F.cross_entropy(output, target, ignore_index=ignored, reduction="sum").item() if count else 0.0
        return np.array([total, count], np.float64)

    def _value(self, counts: np.ndarray) -> float:
        if not counts[1]:
            return math.nan
        mean = counts[0] / counts[1]
        return math.exp(mean) if mean < 700 or math.isnan(mean) else math.inf


def _checked(name: str, output: ag.Tensor, target: ag.Tensor, ignore_index: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The targets and which of them count, once all fits."""
    wanted = (*output.shape[:1], *output.shape[2:])
    if output.ndim < 2 or target.shape != wanted or target.dtype.kind not in "iu":
        raise ValueError(
            f"{name}: expected scores (N, C, ...) and whole numbers (N, ...) as targets, got {output.shape} and "
            f"{target.shape} of {target.dtype}"
        )
    true = target.numpy()
    counted = np.ones(true.shape, bool) if ignore_index is None else true != ignore_index
    wrong = true[counted & ((true < 0) | (true >= output.shape[1]))]
    if wrong.size:
        raise ValueError(f"{name}: the target {wrong[0]} is no class from 0 to {output.shape[1] - 1}")
    return true, counted


def _binary(name: str, output: ag.Tensor, target: ag.Tensor, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    true = target.numpy()
    if output.shape != target.shape or not np.isin(true, (0, 1)).all():
        raise ValueError(
            f"{name}: with a threshold, outputs and targets have one shape and targets are 0 or 1, got {output.shape} and "
            f"{target.shape}"
        )
    return (output > threshold).numpy().astype(np.int64), true.astype(np.int64)
