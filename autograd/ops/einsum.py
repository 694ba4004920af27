"""Einstein's summation: planned once per subscripts and shapes as a list of differentiable operations, then carried out.

Labels that an operand has twice are diagonals (views); labels that only one operand has, and the result has not, are
summed first. Then two operands at a time become one, the pair first whose product adds the fewest elements: labels of
both that nothing else needs are contracted by a matrix product, the rest is broadcasting.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from string import ascii_lowercase, ascii_uppercase
from typing import Any, NamedTuple

from autograd.dtypes import result_type
from autograd.ops.creation import asarray
from autograd.ops.diagonal import diagonal
from autograd.ops.elementwise import OPERATIONS
from autograd.ops.linalg import matmul
from autograd.ops.products import sum_keeping_dtype
from autograd.ops.shape import expand_dims, permute_dims, reshape, squeeze
from autograd.tensor import Tensor

Label = str | int  # a letter, or for what an ellipsis stands for the place counted from its end: -1, -2, ...
Labels = tuple[Label, ...]
Call = tuple[Callable, tuple]  # a function of a tensor, and its further arguments


class Step(NamedTuple):
    """Two operands become one: which ones (the later first), what is done to each before, the product, and after it."""

    later: int
    earlier: int
    right: tuple[Call, ...]
    left: tuple[Call, ...]
    product: Callable
    after: tuple[Call, ...]


class Plan(NamedTuple):
    """What to do with operands of given shapes: with each at first, with pairs of them, and with the one that is left."""

    first: tuple[tuple[Call, ...], ...]
    steps: tuple[Step, ...]
    last: tuple[Call, ...]


def einsum(subscripts: str | Tensor, *operands: Any) -> Tensor:
    """Sums of products of elements, by the names of axes.

    Special cases:
        a letter twice in one operand takes its diagonal.

    Args:
        subscripts: a letter per axis of each operand, operands separated by commas, and after "->" the letters of the
            result; without "->" the result has the letters that occur once, in alphabetical order. "..." stands for any
            further axes, which broadcast. A letter twice in one operand takes its diagonal.
        operands: tensors of numbers; axes of size 1 broadcast against others of the same letter.

    As in NumPy each operand may be followed by the list of its axes instead, and the last one by the list of the result's:
    einsum(a, [0, 1], b, [1, 2], [0, 2]), with the numbers 0 to 51 for letters and Ellipsis for "...".

    Returns:
        a new tensor; of one operand without sums a view, as in NumPy.

    Raises:
        ValueError: the subscripts make no sense, or do not fit the shapes.

    >>> import autograd as ag
    >>> ag.einsum("ij,jk->ik", ag.ones((2, 3)), ag.ones((3, 4))).shape
    (2, 4)
    >>> ag.einsum("ii", ag.eye(3))
    tensor(3., dtype=float32)
    >>> ag.einsum(ag.ones((2, 3)), [0, 1], ag.ones((3, 4)), [1, 2], [2, 0]).shape
    (4, 2)
    """
    if not isinstance(subscripts, str):
        subscripts, operands = _written_out((subscripts, *operands))
    tensors = [asarray(o) for o in operands]
    if not tensors:
        raise ValueError("einsum: needs at least one operand")
    dtype = tensors[0].dtype
    if any(t.dtype != dtype for t in tensors):
        dtype = result_type(*tensors)
        tensors = [t.astype(dtype, copy=False) for t in tensors]
    if dtype.kind == "b":
        raise TypeError("einsum: not defined on bool; convert with .astype(autograd.int64)")
    plan = plan_for(subscripts, tuple([t.shape for t in tensors]))
    parts = [_after(calls, tensor) for calls, tensor in zip(plan.first, tensors, strict=True)]
    for step in plan.steps:
        right, left = parts.pop(step.later), parts.pop(step.earlier)
        parts.append(_after(step.after, step.product(_after(step.left, left), _after(step.right, right))))
    return _after(plan.last, parts[0])


def _after(calls: tuple[Call, ...], x: Tensor) -> Tensor:
    for function, arguments in calls:
        x = function(x, *arguments)
    return x


# --- planning ---------------------------------------------------------------------------------------------------------


class Track:
    """An operand as the plan goes on: its labels by now, and the calls that brought it there since `take`."""

    def __init__(self, labels: Labels, sizes: dict[Label, int]) -> None:
        self.labels, self.sizes, self.calls = labels, sizes, []

    def take(self) -> tuple[Call, ...]:
        """The calls so far; a new list begins."""
        calls, self.calls = tuple(self.calls), []
        return calls

    def simplify(self, shape: tuple[int, ...]) -> None:
        """Every label once, and none of size 1 that others stretch."""
        stretched = tuple(k for k, label in enumerate(self.labels) if shape[k] != self.sizes[label])
        if stretched:
            self.calls.append((squeeze, (stretched,)))
            self.labels = tuple(label for k, label in enumerate(self.labels) if k not in stretched)
        while len(set(self.labels)) < len(self.labels):
            label = next(label for label in self.labels if self.labels.count(label) > 1)
            first = self.labels.index(label)
            second = self.labels.index(label, first + 1)
            self.calls.append((diagonal, (0, first, second)))
            self.labels = (*(name for k, name in enumerate(self.labels) if k not in (first, second)), label)

    def sum_all_but(self, needed: set[Label]) -> None:
        """Without the labels that are needed nowhere."""
        gone = tuple(k for k, label in enumerate(self.labels) if label not in needed)
        if gone:
            self.calls.append((sum_keeping_dtype, (gone,)))
            self.labels = tuple(label for label in self.labels if label in needed)

    def order(self, wanted: Labels) -> None:
        """The axes in another order."""
        if wanted != self.labels:
            self.calls.append((permute_dims, (tuple(self.labels.index(label) for label in wanted),)))
            self.labels = wanted

    def group(self, *groups: Labels) -> None:
        """In the order of the groups, the labels of each as one axis; to be multiplied, so that labels end here."""
        self.order(tuple(label for group in groups for label in group))
        if any(len(group) != 1 for group in groups):
            self.calls.append((reshape, (tuple(math.prod(self.sizes[label] for label in group) for group in groups),)))


@lru_cache(maxsize=1 << 10)
def plan_for(subscripts: str, shapes: tuple[tuple[int, ...], ...]) -> Plan:
    """What to do with operands of these shapes."""
    inputs, output = _parsed(subscripts, shapes)
    sizes = _sizes(subscripts, inputs, shapes)
    tracks = [Track(labels, sizes) for labels in inputs]
    for track, shape in zip(tracks, shapes, strict=True):
        track.simplify(shape)
    for place, track in enumerate(tracks):
        track.sum_all_but(_needed(output, [t for k, t in enumerate(tracks) if k != place]))
    first = tuple(track.take() for track in tracks)
    steps = []
    for earlier, later in greedy_pairs([set(track.labels) for track in tracks], output, sizes):
        right, left = tracks.pop(later), tracks.pop(earlier)
        needed = _needed(output, tracks)
        product, result = _multiply(left, right, needed, sizes)
        steps.append(Step(later, earlier, right.take(), left.take(), product, result.take()))
        tracks.append(result)
    (result,) = tracks
    result.order(output)
    if not steps and not first[0] and not result.calls:
        result.calls.append((permute_dims, (tuple(range(len(output))),)))  # a view, never the operand itself
    return Plan(first, tuple(steps), result.take())


def _needed(output: Labels, tracks: Sequence[Track]) -> set[Label]:
    return set(output).union(*(track.labels for track in tracks))


def _multiply(left: Track, right: Track, needed: set[Label], sizes: dict[Label, int]) -> tuple[Callable, Track]:
    """The product of two operands, summed over the labels that nothing else needs: the function, and what comes out."""
    batch = tuple(label for label in left.labels if label in right.labels and label in needed)
    inner = tuple(label for label in left.labels if label in right.labels and label not in needed)
    rows = tuple(label for label in left.labels if label not in right.labels)
    columns = tuple(label for label in right.labels if label not in left.labels)
    result = Track((*batch, *rows, *columns), sizes)
    if inner:
        alone = [(label,) for label in batch]
        left.group(*alone, rows, inner)
        right.group(*alone, inner, columns)
        if len(rows) != 1 or len(columns) != 1:
            result.calls.append((reshape, (tuple(sizes[label] for label in result.labels),)))
        return matmul, result
    left.order((*batch, *rows))
    right.order((*batch, *columns))
    if columns and rows:
        start = len(batch) + len(rows)
        left.calls.append((expand_dims, (tuple(range(start, start + len(columns))),)))
        right.calls.append((expand_dims, (tuple(range(len(batch), start)),)))
    elif columns:
        left.calls.append((expand_dims, (tuple(range(len(batch), len(batch) + len(columns))),)))
    elif rows:
        right.calls.append((expand_dims, (tuple(range(len(batch), len(batch) + len(rows))),)))
    return OPERATIONS["multiply"], result


def _sizes(subscripts: str, inputs: tuple[Labels, ...], shapes: tuple[tuple[int, ...], ...]) -> dict[Label, int]:
    """What each label stands for."""
    sizes: dict[Label, int] = {}
    for labels, shape in zip(inputs, shapes, strict=True):
        for label, size in zip(labels, shape, strict=True):
            known = sizes.setdefault(label, size)
            if size != known and 1 not in (size, known):
                what = f"the letter {label!r}" if isinstance(label, str) else "an axis of the ellipsis"
                raise ValueError(f"einsum: {what} in {subscripts!r} stands for sizes {known} and {size} (shapes {shapes})")
            sizes[label] = size if known == 1 else known
    for labels, shape in zip(inputs, shapes, strict=True):
        for label in labels:
            own = {size for name, size in zip(labels, shape, strict=True) if name == label}
            if len(own) > 1:
                raise ValueError(f"einsum: {label!r} is twice in an operand of shape {shape}, with sizes {sorted(own)}")
    return sizes


def _written_out(arguments: tuple) -> tuple[str, tuple]:
    """The subscripts as text, and the operands, from operands and lists of numbers in turns."""
    count = len(arguments) // 2
    lists = [*arguments[1 : 2 * count : 2], *arguments[2 * count :]]
    if not count or not all(isinstance(labels, (list, tuple)) for labels in lists):
        raise TypeError(
            "einsum: the subscripts must be text such as 'ij,jk->ik', or lists of numbers, one behind each operand and one "
            f"for the result; got {type(arguments[0]).__name__} first"
        )
    terms = ["".join(map(_letter, labels)) for labels in lists]
    return ",".join(terms[:count]) + ("->" + terms[count] if len(terms) > count else ""), arguments[: 2 * count : 2]


def _letter(label: Any) -> str:
    """The letter for a number: their orders agree."""
    if label is Ellipsis:
        return "..."
    if isinstance(label, bool) or not hasattr(label, "__index__") or not 0 <= label.__index__() < 52:
        raise ValueError(f"einsum: an axis in a list is named by a number from 0 to 51 or Ellipsis, got {label!r}")
    return (ascii_uppercase + ascii_lowercase)[label.__index__()]


def _parsed(subscripts: str, shapes: tuple[tuple[int, ...], ...]) -> tuple[tuple[Labels, ...], Labels]:
    """The labels of each operand, and of the result."""
    text = "".join(subscripts.split())
    given, arrow, result = text.partition("->")
    terms = given.split(",")
    if len(terms) != len(shapes):
        raise ValueError(f"einsum: {subscripts!r} names {len(terms)} operands, and {len(shapes)} were given")
    inputs = tuple(_labels(term, subscripts, len(shape)) for term, shape in zip(terms, shapes, strict=True))
    used = [label for labels in inputs for label in labels]
    dots = tuple(sorted({label for label in used if isinstance(label, int)}))
    if arrow:
        output = _labels(result, subscripts, len(result.replace("...", "")) + len(dots) if "..." in result else len(result))
        if len(set(output)) < len(output):
            raise ValueError(f"einsum: the result of {subscripts!r} has a letter twice")
        unknown = [label for label in output if label not in used]
        if unknown:
            raise ValueError(f"einsum: the result of {subscripts!r} has {unknown[0]!r}, which no operand has")
        if dots and "..." not in result:
            raise ValueError(f"einsum: the operands of {subscripts!r} have an ellipsis, and the result has none")
    else:
        output = (*dots, *sorted(label for label in used if isinstance(label, str) and used.count(label) == 1))
    return inputs, output


def _labels(term: str, subscripts: str, ndim: int) -> Labels:
    before, dots, after = term.partition("...")
    wrong = [letter for letter in before + after if not (letter.isascii() and letter.isalpha())]
    if wrong:
        raise ValueError(
            f"einsum: {wrong[0]!r} in {subscripts!r}; the subscripts are letters, commas, '...' (once per operand) and '->'"
        )
    count = ndim - len(before) - len(after)
    if count < 0 or (count and not dots):
        raise ValueError(f"einsum: the subscripts {term!r} in {subscripts!r} do not fit an operand with {ndim} dimensions")
    return (*before, *range(-count, 0), *after)


def greedy_pairs(operands: Sequence[set[Label]], output: Labels, sizes: dict[Label, int]) -> tuple[tuple[int, int], ...]:
    """Which two to contract, again and again; they are removed, and their product is put at the end.

    The pair comes first whose product has the fewest elements more than the pair, then the one with the least work.
    """
    left, pairs = list(operands), []

    def volume(labels: set[Label]) -> int:
        return math.prod(sizes[label] for label in labels)

    while len(left) > 1:
        best: Any = None
        for j in range(1, len(left)):
            for i in range(j):
                others = set(output).union(*(labels for k, labels in enumerate(left) if k not in (i, j)))
                product = (left[i] | left[j]) & others
                cost = (volume(product) - volume(left[i]) - volume(left[j]), volume(left[i] | left[j]), i, j)
                if best is None or cost < best[0]:
                    best = (cost, product)
        (_, _, i, j), product = best
        pairs.append((i, j))
        del left[j], left[i]
        left.append(product)
    return tuple(pairs)
