"""Cross-entropy of logits with integer classes, softmax included: one pass forward, one pass backward, on the CPU.

The definition is PyTorch's, with class weights, an ignored class and label smoothing in any combination:

    loss[i] = (1 - s) * w[y] * -log p[i, y]  +  s/C * sum over c of w[c] * -log p[i, c],     y = targets[i]

where p = softmax(logits), s = label_smoothing, C the number of classes, and w is 1 without weights. Rows whose target is
`ignore_index` have loss 0. PyTorch's 'mean' is sum(losses) / sum(row_weights), with row_weights[i] = w[y], 0 if ignored.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels import memory
from kernels.cpu.cross_entropy_kernels import cross_entropy_gradient_rows, cross_entropy_rows, first_bad_class
from kernels.cpu.reduce_operations import FLOATS, check_array

_WEIGHT = 6  # the cost of a logit in units of plain arithmetic
_INT64 = np.dtype(np.int64)


def cross_entropy(
    logits: np.ndarray,
    targets: np.ndarray,
    weight: np.ndarray | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The loss of each row, and what goes with it: (losses (N,), normalisers (2, N), row weights (N,)).

    logits: (N, C), float32 or float64, any strides. targets: (N,), integers from 0 to C - 1 or `ignore_index`. weight:
    (C,), contiguous, of the logits' type. The normalisers (each row's maximum, and the logarithm of its sum relative to
    that) are for `cross_entropy_backward`. A target out of range raises IndexError, wrong shapes ValueError, wrong types
    TypeError.

    >>> import numpy as np
    >>> from kernels.cpu.cross_entropy import cross_entropy
    >>> losses, _, row_weights = cross_entropy(np.array([[0.0, 0.0], [8.0, 0.0]]), np.array([0, 1]))
    >>> losses.round(4), row_weights
    (array([0.6931, 8.0003]), array([1., 1.]))
    """
    form = _form_of(logits, targets)
    logits, targets = form.prepared(logits, targets)
    weight_sum, smoothing = _check_options(form, weight, ignore_index, label_smoothing)
    rows, classes, dtype = form.rows, form.classes, form.dtype
    losses, row_weights = form.vector((rows,), dtype), form.vector((rows,), dtype)
    normalisers = form.pair((2, rows), dtype)
    if rows:
        _check_classes(targets, rows, classes, ignore_index)
        form.forward(
            rows, logits, targets, logits if weight is None else weight, losses, normalisers, row_weights, rows, classes,
            form.row_stride, ignore_index, weight is not None, weight_sum, smoothing, work=form.work,
        )  # fmt: skip
    return losses, normalisers, row_weights


def cross_entropy_backward(
    g: np.ndarray,
    logits: np.ndarray,
    targets: np.ndarray,
    normalisers: np.ndarray,
    weight: np.ndarray | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> np.ndarray:
    """The gradient of the logits, (N, C), from that of the losses, g: (N,); the other arguments as `cross_entropy` had them.

    `normalisers` is the second result of `cross_entropy`. Ignored rows, and rows of -inf throughout, get 0.

    >>> import numpy as np
    >>> from kernels.cpu.cross_entropy import cross_entropy, cross_entropy_backward
    >>> logits, targets = np.array([[0.0, 0.0]]), np.array([1])
    >>> _, normalisers, _ = cross_entropy(logits, targets)
    >>> cross_entropy_backward(np.ones(1), logits, targets, normalisers)
    array([[ 0.5, -0.5]])
    """
    form = _form_of(logits, targets)
    logits, targets = form.prepared(logits, targets)
    weight_sum, smoothing = _check_options(form, weight, ignore_index, label_smoothing)
    rows, classes, dtype = form.rows, form.classes, form.dtype
    _check_like("the gradient of the losses", g, (rows,), dtype)
    _check_like("normalisers", normalisers, (2, rows), dtype, contiguous=True)
    if g.strides[0] % dtype.itemsize:
        g = g.copy()
    out = form.matrix((rows, classes), dtype)
    if out.size:
        _check_classes(targets, rows, classes, ignore_index)
        form.backward(
            rows, g, logits, targets, logits if weight is None else weight, normalisers, out, rows, classes,
            g.strides[0] // dtype.itemsize, form.row_stride, ignore_index, weight is not None, weight_sum, smoothing,
            work=form.work,
        )  # fmt: skip
    return out


class _Form:
    """What follows from the layouts of logits and targets alone; made once for each."""

    __slots__ = (
        "rows", "classes", "dtype", "row_stride", "work", "copy_logits", "copy_targets", "forward", "backward", "vector",
        "pair", "matrix",
    )  # fmt: skip

    def __init__(self, logits: Any, targets: Any) -> None:
        check_array("cross_entropy", logits, FLOATS)
        if logits.ndim != 2:
            raise ValueError(f"cross_entropy: logits must have shape (rows, classes), got {logits.shape}; reshape them")
        if not isinstance(targets, np.ndarray) or targets.dtype.kind not in "iu":
            got = targets.dtype if isinstance(targets, np.ndarray) else type(targets).__name__
            raise TypeError(
                f"cross_entropy: targets must be an array of integer classes, got {got}; convert it with astype('int64')"
            )
        rows, classes = logits.shape
        if targets.shape != (rows,):
            raise ValueError(f"cross_entropy: logits {logits.shape} need targets of shape ({rows},), got {targets.shape}")
        item, self.dtype = logits.itemsize, logits.dtype
        self.rows, self.classes, self.work = rows, classes, classes * _WEIGHT
        self.copy_logits = (classes > 1 and logits.strides[1] != item) or logits.strides[0] % item != 0
        self.row_stride = classes if self.copy_logits else logits.strides[0] // item
        self.copy_targets = targets.dtype != _INT64 or (rows > 1 and targets.strides[0] != _INT64.itemsize)
        self.forward, self.backward = cross_entropy_rows[self.dtype], cross_entropy_gradient_rows[self.dtype]
        self.vector, self.pair = memory.maker((rows,), self.dtype), memory.maker((2, rows), self.dtype)
        self.matrix = memory.maker((rows, classes), self.dtype)

    def prepared(self, logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows of unit stride and int64 targets, as the kernels take them."""
        if self.copy_logits:
            logits = np.ascontiguousarray(logits)
        if self.copy_targets:
            if targets.dtype == np.uint64 and self.rows and targets.max() > np.iinfo(np.int64).max:
                _raise_bad_class(targets, int(targets.argmax()), self.classes)
            targets = np.ascontiguousarray(targets, _INT64)
        return logits, targets


_FORMS = 1 << 12  # remembered; a program with endless new shapes must not fill the memory
_forms: dict[tuple, _Form] = {}
memory.on_change(_forms.clear)


def _form_of(logits: Any, targets: Any) -> _Form:
    try:
        key = (
            logits.__class__, logits.shape, logits.strides, logits.dtype,
            targets.__class__, targets.shape, targets.strides, targets.dtype,
        )  # fmt: skip
        form = _forms.get(key)
    except AttributeError:  # no arrays
        form = key = None
    if form is None:
        form = _Form(logits, targets)
        if len(_forms) >= _FORMS:
            _forms.clear()
        _forms[key] = form  # type: ignore[index]
    return form


def _check_options(form: _Form, weight: Any, ignore_index: Any, label_smoothing: Any) -> tuple[float, float]:
    """The sum of the weights and the smoothing, or an error that says what is wrong."""
    if isinstance(ignore_index, bool) or not isinstance(ignore_index, int):
        raise TypeError(f"cross_entropy: ignore_index must be an integer, got {ignore_index!r}")
    smoothing = float(label_smoothing)
    if not 0.0 <= smoothing <= 1.0:
        raise ValueError(f"cross_entropy: label_smoothing must lie between 0 and 1, got {label_smoothing!r}")
    if weight is None:
        return float(form.classes), smoothing
    _check_like("weight", weight, (form.classes,), form.dtype, contiguous=True)
    return float(weight.sum(dtype=np.float64)), smoothing


def _check_like(what: str, array: Any, shape: tuple[int, ...], dtype: np.dtype, contiguous: bool = False) -> None:
    if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != dtype:
        got = f"{array.dtype}{array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"cross_entropy: {what} must be an array {dtype}{shape} to go with the logits, got {got}")
    if contiguous and not array.flags.c_contiguous:
        raise ValueError(f"cross_entropy: {what} must be contiguous; make it so with numpy.ascontiguousarray")


def _check_classes(targets: np.ndarray, rows: int, classes: int, ignore: int) -> None:
    """Kernels check no bounds, so every target is looked at before."""
    bad = np.empty(1, np.int64)
    first_bad_class[()].start(0, 1, targets, bad, rows, classes, ignore)
    if bad[0] < rows:
        _raise_bad_class(targets, int(bad[0]), classes)


def _raise_bad_class(targets: np.ndarray, row: int, classes: int) -> None:
    raise IndexError(
        f"cross_entropy: targets[{row}] is {targets[row]}, but logits with {classes} classes take 0 to {classes - 1}; "
        "pass ignore_index to leave out rows that are marked by another number"
    )
