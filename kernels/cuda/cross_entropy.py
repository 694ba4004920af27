"""Cross-entropy of logits with integer classes on the GPU; what `kernels.cpu.cross_entropy` does, where its formula stands.

A target that is no class must not give a number, and a GPU's work is not waited for. So the kernels write NaN into its row
and set a flag, which is read when values are next brought to the host: the IndexError of the CPU is raised there (in the
simulator, and with GRADLOOM_DEBUG, by the call itself). No result that depends on such a target is ever finite, and a
training loop that never looks at a value never waits. See `kernels.cuda.deferred`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kernels.cuda import deferred
from kernels.cuda.array import DeviceArray, empty
from kernels.cuda.compiler import Kernel
from kernels.cuda.cross_entropy_kernels import cross_entropy_gradient_rows, cross_entropy_rows, sum_of_vector
from kernels.cuda.data import copy
from kernels.cuda.row_form import VECTOR_BYTES, Form, check_floats, described, row_form, vectors_fit
from kernels.layout import Layout, layout_of

_INT64 = np.dtype(np.int64)


def cross_entropy(
    logits: DeviceArray,
    targets: DeviceArray,
    weight: DeviceArray | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> tuple[DeviceArray, DeviceArray, DeviceArray]:
    """The loss of each row, and what goes with it: (losses (N,), normalisers (2, N), row weights (N,)).

    logits: (N, C), float32 or float64, any strides. targets: (N,), integers from 0 to C - 1 or `ignore_index`. weight:
    (C,), contiguous, of the logits' type. The normalisers (each row's maximum, and the logarithm of its sum relative to
    that) are for `cross_entropy_backward`. Wrong shapes raise ValueError, wrong types TypeError; a target out of range
    gives NaN, and IndexError when values are next brought to the host.
    """
    form = _form_of(logits, targets)
    logits, original = form.rows_of(logits), targets
    targets = form.targets_of(targets)
    smoothing = _check_options(form, weight, ignore_index, label_smoothing)
    rows, dtype, device = form.rows, form.dtype, logits.device
    losses, row_weights = empty((rows,), dtype, device), empty((rows,), dtype, device)
    normalisers = empty((2, rows), dtype, device)
    if rows:
        kernel, grid, _ = form.kernel(cross_entropy_rows, weight, smoothing, logits.pointer)
        kernel(
            grid, logits, targets, weight, _total(weight, smoothing), losses, normalisers, row_weights,
            deferred.flag_of(device), rows, form.classes, form.row_stride, form.target_stride, ignore_index, smoothing,
        )  # fmt: skip
        _expect_classes(original, form.classes, ignore_index)
    return losses, normalisers, row_weights


def cross_entropy_backward(
    g: DeviceArray,
    logits: DeviceArray,
    targets: DeviceArray,
    normalisers: DeviceArray,
    weight: DeviceArray | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> DeviceArray:
    """The gradient of the logits, (N, C), from that of the losses, g: (N,); the other arguments as `cross_entropy` had them.

    `normalisers` is the second result of `cross_entropy`. Ignored rows, and rows of -inf throughout, get 0.
    """
    form = _form_of(logits, targets)
    logits, original = form.rows_of(logits), targets
    targets = form.targets_of(targets)
    smoothing = _check_options(form, weight, ignore_index, label_smoothing)
    rows, classes, dtype, device = form.rows, form.classes, form.dtype, logits.device
    _check_like("the gradient of the losses", g, (rows,), dtype)
    _check_like("normalisers", normalisers, (2, rows), dtype, contiguous=True)
    if g.strides[0] % dtype.itemsize:
        g = copy(g)
    out = empty((rows, classes), dtype, device)
    if rows and classes:
        kernel, grid, parts = form.kernel(cross_entropy_gradient_rows, weight, smoothing, logits.pointer | out.pointer)
        kernel(
            grid, g, logits, targets, weight, _total(weight, smoothing), normalisers, out, deferred.flag_of(device), rows,
            classes, parts, g.strides[0] // dtype.itemsize, form.row_stride, form.target_stride, ignore_index, smoothing,
        )  # fmt: skip
        _expect_classes(original, classes, ignore_index)
    return out


class _Form:
    """What follows from the layouts of logits and targets alone; made once for each."""

    __slots__ = (
        "classes", "copy_logits", "copy_targets", "dtype", "forms", "row_stride", "rows", "target_stride", "unsigned",
    )  # fmt: skip

    def __init__(self, logits: Any, targets: Any) -> None:
        check_floats("cross_entropy", logits, halves=False)
        if logits.ndim != 2:
            raise ValueError(f"cross_entropy: logits must have shape (rows, classes), got {logits.shape}; reshape them")
        if not isinstance(targets, DeviceArray) or targets.dtype.kind not in "iu":
            got = targets.dtype if isinstance(targets, DeviceArray) else type(targets).__name__
            raise TypeError(
                f"cross_entropy: targets must be a device array of integer classes, got {got}; convert it with "
                "kernels.cuda.copy(targets, numpy.int64)"
            )
        rows, classes = logits.shape
        if targets.shape != (rows,):
            raise ValueError(f"cross_entropy: logits {logits.shape} need targets of shape ({rows},), got {targets.shape}")
        item, self.dtype = logits.itemsize, logits.dtype
        self.rows, self.classes = rows, classes
        self.copy_logits = (classes > 1 and logits.strides[1] != item) or logits.strides[0] % item != 0
        self.row_stride = classes if self.copy_logits else logits.strides[0] // item
        self.copy_targets = targets.dtype != _INT64 or targets.strides[0] % 8 != 0
        self.target_stride = 1 if self.copy_targets else targets.strides[0] // 8
        self.unsigned = targets.dtype == np.uint64
        narrow = row_form(classes, self.dtype, False)
        wide = row_form(classes, self.dtype, True) if vectors_fit(classes, item, self.row_stride * item) else narrow
        self.forms = narrow, wide

    def rows_of(self, logits: DeviceArray) -> DeviceArray:
        """Rows of unit stride, as the kernels take them."""
        return copy(logits) if self.copy_logits else logits

    def targets_of(self, targets: DeviceArray) -> DeviceArray:
        """Targets of type int64; numbers that it does not hold, of uint64, are looked for at once."""
        if self.unsigned and self.rows:
            host = targets.numpy()
            if host.max() > np.iinfo(np.int64).max:
                _raise_bad_class(host, int(host.argmax()), self.classes)
        return copy(targets, _INT64) if self.copy_targets else targets

    def kernel(self, template: Any, weight: Any, smoothing: float, places: int) -> tuple[Kernel, int, int]:
        """(kernel, blocks, parts of a row that have a block each) for logits and results at these addresses."""
        form = self.forms[places % VECTOR_BYTES == 0]
        parts = 1
        if template is cross_entropy_gradient_rows:
            form = _without_sums(form)
            parts = 1 if form.one_batch else -(-self.classes // (form.group * form.elements))
        kernel = _kernel(template, self.dtype, form, weight is not None, smoothing != 0)
        return kernel, form.grid(self.rows) * parts, parts


def _without_sums(form: Form) -> Form:
    """The form for what needs no sum over the row: parts of a row that is longer than a warp's may go to any block."""
    return form if form.group <= 32 else Form(256, 256, form.elements, form.width, False)


def _kernel(template: Any, dtype: np.dtype, form: Form, weighted: bool, smoothed: bool) -> Kernel:
    options = dict(WEIGHTED=int(weighted), SMOOTHED=int(smoothed), ONE_BATCH=int(form.one_batch))
    return template.specialised(dtype, **options, **form.constants)


_FORMS = 1 << 12  # remembered; a program with endless new shapes must not fill the memory
_forms: dict[tuple[Layout, Layout], _Form] = {}


def _form_of(logits: Any, targets: Any) -> _Form:
    try:
        key = layout_of(logits), layout_of(targets)
        form = _forms.get(key)
    except (AttributeError, TypeError):  # no arrays
        form = key = None
    if form is None:
        form = _Form(logits, targets)
        if len(_forms) >= _FORMS:
            _forms.clear()
        _forms[key] = form  # type: ignore[index]
    return form


def _check_options(form: _Form, weight: Any, ignore_index: Any, label_smoothing: Any) -> float:
    """The smoothing, or an error that says what is wrong."""
    if isinstance(ignore_index, bool) or not isinstance(ignore_index, int):
        raise TypeError(f"cross_entropy: ignore_index must be an integer, got {ignore_index!r}")
    smoothing = float(label_smoothing)
    if not 0.0 <= smoothing <= 1.0:
        raise ValueError(f"cross_entropy: label_smoothing must lie between 0 and 1, got {label_smoothing!r}")
    if weight is not None:
        _check_like("weight", weight, (form.classes,), form.dtype, contiguous=True)
    return smoothing


def _check_like(what: str, array: Any, shape: tuple[int, ...], dtype: np.dtype, contiguous: bool = False) -> None:
    if not isinstance(array, DeviceArray) or array.shape != shape or array.dtype != dtype:
        raise ValueError(f"cross_entropy: {what} must be an array {dtype}{shape} to go with the logits, got {described(array)}")
    if contiguous and not layout_of(array).contiguous:
        raise ValueError(f"cross_entropy: {what} must be contiguous; make it so with kernels.cuda.copy")


def _total(weight: DeviceArray | None, smoothing: float) -> DeviceArray | None:
    """The sum of the weights, one element on the device, where it is wanted."""
    if weight is None or not smoothing:
        return None
    total = empty((1,), weight.dtype, weight.device)
    form = Form(256, 256, 4, 1, False)
    sum_of_vector.specialised(weight.dtype, **form.constants)(1, weight, total, weight.size)
    return total


def _expect_classes(targets: DeviceArray, classes: int, ignore: int) -> None:
    """Have it found out, when the kernels have run, whether a target was no class."""

    def check() -> None:
        host = targets.numpy()
        bad = np.flatnonzero(((host < 0) | (host >= classes)) & (host != ignore))
        if bad.size:
            _raise_bad_class(host, int(bad[0]), classes)

    deferred.expect(targets.device, check, "cross_entropy")


def _raise_bad_class(targets: np.ndarray, row: int, classes: int) -> None:
    raise IndexError(
        f"cross_entropy: targets[{row}] is {targets[row]}, but logits with {classes} classes take 0 to {classes - 1}; "
        "pass ignore_index to leave out rows that are marked by another number"
    )


def _variants() -> list[Callable[[], Kernel]]:
    """Kernels for few and many classes."""
    made: list[Callable[[], Kernel]] = []
    for template in (cross_entropy_rows, cross_entropy_gradient_rows):
        for dtype, classes, vector, options in [
            ("f4", 10, False, 0), ("f4", 1000, True, 0), ("f4", 1000, True, 3), ("f4", 50257, False, 0),
            ("f4", 50304, True, 0), ("f4", 50257, False, 3), ("f8", 1000, True, 2),
        ]:  # fmt: skip
            form = row_form(classes, np.dtype(dtype), vector)
            form = form if template is cross_entropy_rows else _without_sums(form)
            key = template, np.dtype(dtype), form, bool(options & 1), bool(options & 2)
            made.append(lambda k=key: _kernel(*k))
    form = Form(256, 256, 4, 1, False)
    made.append(lambda: sum_of_vector.specialised(np.dtype("f4"), **form.constants))
    return made


VARIANTS = _variants()
PROMISES: dict[str, tuple[str, ...]] = {
    "cross_entropy_rows[float32*_WIDTH4_*": ("LDG.E.128", "SHFL.BFLY", "MUFU.EX2"),
    "cross_entropy_gradient_rows[float32*_WIDTH4_*": ("LDG.E.128", "STG.E.128", "MUFU.EX2"),
}
