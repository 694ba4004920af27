"""Data sets: collections of samples, and what is made of them."""

from __future__ import annotations

import bisect
import math
import operator
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

import autograd as ag
from kernels.random import Generator, as_generator


class Dataset:
    """A collection of samples: subclasses define `__getitem__(index)` and `__len__()`. `a + b` is one after the other.

    >>> class Squares(Dataset):
    ...     def __getitem__(self, index):
    ...         return index, index**2
    ...     def __len__(self):
    ...         return 5
    >>> from nn.data import DataLoader
    >>> next(iter(DataLoader(Squares(), batch_size=3)))
    [tensor([0, 1, 2], dtype=int64), tensor([0, 1, 4], dtype=int64)]
    """

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(index), which returns a sample")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__(), the number of samples")

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


class TensorDataset(Dataset):
    """Sample i is the tuple of element i of each tensor, along their first dimension. Arrays are wrapped, not copied.

    Raises:
        ValueError: no tensors, a tensor without dimensions, or first dimensions that differ.
    """

    def __init__(self, *tensors: Any) -> None:
        self.tensors = tuple(ag.asarray(tensor) for tensor in tensors)
        shapes = [tuple(tensor.shape) for tensor in self.tensors]
        if not shapes:
            raise ValueError("TensorDataset: expected at least one tensor")
        if not all(shapes) or len({shape[0] for shape in shapes}) > 1:
            raise ValueError(f"TensorDataset: the tensors must agree in their first dimension, got shapes {shapes}")

    def __getitem__(self, index: Any) -> tuple[ag.Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        return self.tensors[0].shape[0]


class IterableDataset(Dataset):
    """Samples that come one after the other, as from a stream: subclasses define `__iter__()`; `a + b` chains two.

    A loader reads it in its own order. Its length, where it has one, is `__len__()`, which is optional.

    >>> class Countdown(IterableDataset):
    ...     def __iter__(self):
    ...         return iter(range(5, 0, -1))
    >>> from nn.data import DataLoader
    >>> [batch.tolist() for batch in DataLoader(Countdown(), batch_size=2)]
    [[5, 4], [3, 2], [1]]
    """

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__(), which gives the samples")

    def __getitem__(self, index: Any) -> Any:
        raise TypeError(f"{type(self).__name__} is read in its own order and has no sample {index!r}")

    def __len__(self) -> int:
        raise TypeError(f"{type(self).__name__} has no length, for it defines no __len__()")

    def __add__(self, other: Any) -> ChainDataset:
        return ChainDataset([self, other])


class ChainDataset(IterableDataset):
    """The samples of several iterable data sets, one set after the other."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ChainDataset: expected at least one data set")

    def __iter__(self) -> Iterator[Any]:
        for dataset in self.datasets:
            yield from dataset


class Subset(Dataset):
    """The samples of `dataset` at `indices`, in that order."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]

    def __len__(self) -> int:
        return len(self.indices)


class ConcatDataset(Dataset):
    """The samples of several data sets, one set after the other."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: expected at least one data set")
        self.cumulative_sizes = list(accumulate(len(dataset) for dataset in self.datasets))

    def __getitem__(self, index: int) -> Any:
        position = operator.index(index)
        if position < 0:
            position += len(self)
        if not 0 <= position < len(self):
            raise IndexError(f"ConcatDataset: index {index} is out of range for {len(self)} samples")
        which = bisect.bisect_right(self.cumulative_sizes, position)
        return self.datasets[which][position - (self.cumulative_sizes[which - 1] if which else 0)]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


def random_split(
    dataset: Any, lengths: Sequence[int | float], generator: Generator | int | None = None
) -> list[Subset]:
    """Divide a data set at random into subsets of the given lengths, or fractions that add up to 1.

    Of fractions, each subset gets the whole samples in its share; what is left goes to the first subsets, one each.

    >>> [len(part) for part in random_split(range(10), [0.75, 0.25], generator=0)]
    [8, 2]

    Raises:
        ValueError: a negative length or fraction, or a wrong sum.
    """
    total = len(dataset)
    if any(not length >= 0 for length in lengths):
        raise ValueError(f"random_split: lengths must not be negative, got {list(lengths)}")
    if math.isclose(sum(lengths), 1.0) and not all(isinstance(length, int) for length in lengths):
        sizes = [math.floor(total * length + 1e-9) for length in lengths]
        for i in range(total - sum(sizes)):
            sizes[i % len(sizes)] += 1
    elif sum(lengths) == total and all(int(length) == length for length in lengths):
        sizes = [int(length) for length in lengths]
    else:
        raise ValueError(
            f"random_split: lengths must add up to the {total} samples, or as fractions to 1; got {list(lengths)}, "
            f"which add up to {sum(lengths)}"
        )
    order = as_generator(generator).permutation(total)
    ends = list(accumulate(sizes))
    return [Subset(dataset, order[end - size : end].tolist()) for size, end in zip(sizes, ends, strict=True)]
