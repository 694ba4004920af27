"""Data for training: data sets, the order in which they are read, and batches, with PyTorch's names and meaning.

    training, held_out = random_split(TensorDataset(images, labels), [0.8, 0.2], generator=0)
    for x, y in DataLoader(training, batch_size=64, shuffle=True):
        ...

Orders are permutations by `kernels.random`: a seed fixes them on every machine. Batches of a `TensorDataset` (or of a
`Subset` of one) are gathered whole, one copy per tensor; any other data set is asked for its samples one by one.
"""

from __future__ import annotations

import bisect
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

import autograd as ag
from kernels.random import Generator, as_generator

# --- data sets -------------------------------------------------------------------------------------------------------


class Dataset:
    """A collection of samples: subclasses define `__getitem__(index)` and `__len__()`. `a + b` is one after the other.

    >>> class Squares(Dataset):
    ...     def __getitem__(self, index):
    ...         return index, index**2
    ...     def __len__(self):
    ...         return 5
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


# --- orders ----------------------------------------------------------------------------------------------------------


class SequentialSampler:
    """The indices 0, 1, ... of a data set."""

    def __init__(self, data_source: Any) -> None:
        self.data_source = data_source

    def order(self) -> np.ndarray:
        """All indices of one pass, int64."""
        return np.arange(len(self.data_source))

    def __iter__(self) -> Iterator[int]:
        return iter(self.order().tolist())

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler:
    """Indices in random order, a new one for each pass.

    Args:
        replacement: draw each index independently, so that some come twice.
        num_samples: how many to draw; the size of the data set by default. Without replacement, more than that begins
            another permutation.
        generator: a `kernels.random.Generator`, or the seed of a new one; the default generator where it is None.
    """

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | int | None = None,
    ) -> None:
        if num_samples is not None and (not _is_integer(num_samples) or num_samples < 0):
            raise ValueError(f"RandomSampler: num_samples must be an integer, 0 or more, got {num_samples!r}")
        self.data_source, self.replacement = data_source, replacement
        self._num_samples, self.generator = num_samples, as_generator(generator)

    @property
    def num_samples(self) -> int:
        """How many indices one pass has."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def order(self) -> np.ndarray:
        """All indices of one pass, int64."""
        size, wanted = len(self.data_source), self.num_samples
        if wanted and not size:
            raise ValueError(f"RandomSampler: cannot draw {wanted} samples from an empty data set")
        if self.replacement:
            return self.generator.integers(0, max(size, 1), wanted)
        rounds = [self.generator.permutation(size) for _ in range(-(-wanted // size) if size else 0)]
        return np.concatenate([np.arange(0), *rounds])[:wanted]

    def __iter__(self) -> Iterator[int]:
        return iter(self.order().tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler:
    """Lists of `batch_size` indices from another sampler; the last may be shorter, or is left out with `drop_last`.

    >>> list(BatchSampler(SequentialSampler(range(5)), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Any, batch_size: int, drop_last: bool) -> None:
        if not _is_integer(batch_size) or batch_size < 1:
            raise ValueError(f"batch_size must be an integer, 1 or more, got {batch_size!r}")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, bool(drop_last)

    def batches(self) -> Iterator[Sequence[int] | np.ndarray]:
        """The batches, as arrays where the sampler gives its whole order at once, else as lists."""
        if type(self.sampler) in (SequentialSampler, RandomSampler):  # a subclass may have an order of its own
            order = self.sampler.order()
            end = len(order) - len(order) % self.batch_size if self.drop_last else len(order)
            yield from (order[begin : begin + self.batch_size] for begin in range(0, end, self.batch_size))
            return
        batch: list[int] = []
        for index in self.sampler:
            batch.append(index)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __iter__(self) -> Iterator[list[int]]:
        return (batch.tolist() if isinstance(batch, np.ndarray) else list(batch) for batch in self.batches())

    def __len__(self) -> int:
        count = len(self.sampler)
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)


# --- batches ---------------------------------------------------------------------------------------------------------


def default_collate(samples: Sequence[Any]) -> Any:
    """One batch from a list of samples that are built alike.

    Tensors and arrays are stacked along a new first dimension, numbers become a tensor (floats one of float32), strings
    stay a list; tuples and lists give a list of batches, named tuples and mappings their own kind.

    >>> default_collate([(0.5, "a"), (1.5, "b")])
    [tensor([0.5, 1.5], dtype=float32), ['a', 'b']]

    Raises:
        TypeError: a sample of a type that has no batch.
        ValueError: samples of different shapes or lengths.
    """
    first = samples[0]
    if isinstance(first, (ag.Tensor, np.ndarray, np.generic)):
        shapes = {tuple(sample.shape) for sample in samples}
        if len(shapes) > 1:
            raise ValueError(
                f"default_collate: the samples of a batch must have one shape, got {sorted(shapes)}; pad or crop them, "
                "or pass a collate_fn to the DataLoader"
            )
        if isinstance(first, ag.Tensor):
            return ag.stack(list(samples))
        if first.dtype.kind in "biuf":
            return ag.asarray(np.stack(samples))
    elif isinstance(first, (bool, int, float)):
        return ag.tensor(list(samples))
    elif isinstance(first, (str, bytes)):
        return list(samples)
    elif isinstance(first, Mapping):
        batch = {key: default_collate([sample[key] for sample in samples]) for key in first}
        return type(first)(batch) if isinstance(first, dict) else batch  # type: ignore[call-arg]
    elif isinstance(first, (tuple, list)):
        lengths = {len(sample) for sample in samples}
        if len(lengths) > 1:
            raise ValueError(f"default_collate: the samples of a batch must have one length, got {sorted(lengths)}")
        columns = [default_collate(column) for column in zip(*samples, strict=True)]
        return type(first)(*columns) if hasattr(first, "_fields") else columns
    kind = f"arrays of {first.dtype}" if isinstance(first, (np.ndarray, np.generic)) else type(first).__name__
    raise TypeError(
        f"default_collate: cannot make a batch of {kind}; samples may hold tensors, arrays, numbers, strings, tuples, "
        "lists and mappings, or pass a collate_fn to the DataLoader"
    )


class DataLoader:
    """The batches of a data set, in order or shuffled; each pass over the loader is a new one.

    Args:
        dataset: anything with `__getitem__(index)` and `__len__()`.
        batch_size: samples per batch; None gives single samples, without a batch dimension.
        shuffle: a new random order in every pass.
        sampler: an iterable of indices, in place of `shuffle`.
        batch_sampler: an iterable of lists of indices, in place of `batch_size`, `shuffle`, `sampler` and `drop_last`.
        drop_last: leave out a last batch that is not full.
        collate_fn: makes a batch of a list of samples; `default_collate` where it is None.
        generator: the source of the order: a `kernels.random.Generator`, a seed, or None for the default generator.
        num_workers: 0 only, for now: samples are loaded by the process that trains.

    >>> loader = DataLoader(TensorDataset(np.arange(5), np.arange(5) % 2), batch_size=2)
    >>> [x.tolist() for x, y in loader], len(loader)
    ([[0, 1], [2, 3], [4]], 3)

    Raises:
        ValueError: arguments that exclude one another, a batch size below 1, or more than 0 workers.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool = False,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[Sequence[int]] | None = None,
        drop_last: bool = False,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        generator: Generator | int | None = None,
        num_workers: int = 0,
    ) -> None:
        if num_workers != 0:
            raise ValueError(
                f"DataLoader: num_workers must be 0, got {num_workers!r}; worker processes are not supported yet, and "
                "batches of a TensorDataset need none"
            )
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: sampler and shuffle exclude one another, for both give the order")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError("DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last")
        if batch_size is None and drop_last:
            raise ValueError("DataLoader: drop_last needs a batch_size; with batch_size=None there are no batches")
        self.dataset, self.drop_last, self.num_workers = dataset, bool(drop_last), 0
        self.generator = as_generator(generator)
        if sampler is None and batch_sampler is None:
            sampler = RandomSampler(dataset, generator=self.generator) if shuffle else SequentialSampler(dataset)
        if batch_sampler is None and batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.sampler, self.batch_sampler = sampler, batch_sampler
        self.batch_size = batch_size if isinstance(batch_sampler, BatchSampler) else None
        self.collate_fn = collate_fn

    def __len__(self) -> int:
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        if self.batch_sampler is None:
            convert = self.collate_fn or _as_tensors
            return (convert(self.dataset[index]) for index in self.sampler)  # type: ignore[union-attr]
        sampler = self.batch_sampler
        batches = sampler.batches() if type(sampler) is BatchSampler else iter(sampler)
        tensors, rows = _rows_of(self.dataset)
        if tensors and self.collate_fn is None:
            return _gathered(tensors, rows, batches)
        collate = self.collate_fn or default_collate
        return (collate([self.dataset[int(index)] for index in batch]) for batch in batches)


def _rows_of(dataset: Any) -> tuple[tuple[ag.Tensor, ...], np.ndarray | None]:
    """The tensors behind a data set, and which of their rows it means (None: all); no tensors where there are none."""
    rows = None
    while type(dataset) is Subset:
        indices = np.asarray(dataset.indices, np.int64)
        rows = indices if rows is None else indices[rows]
        dataset = dataset.dataset
    if type(dataset) is not TensorDataset or any(tensor.requires_grad for tensor in dataset.tensors):
        return (), None
    return dataset.tensors, rows


def _gathered(
    tensors: tuple[ag.Tensor, ...], rows: np.ndarray | None, batches: Iterable[Sequence[int] | np.ndarray]
) -> Iterator[list[ag.Tensor]]:
    """The batches of a TensorDataset: one gather per tensor, in memory of its own."""
    for batch in batches:
        indices = np.asarray(batch, np.int64)
        if rows is not None:
            indices = rows[indices]
        yield [ag.take(tensor.detach(), indices, axis=0) for tensor in tensors]


def _as_tensors(sample: Any) -> Any:
    """A single sample with its arrays as tensors: what a loader without batches gives."""
    if isinstance(sample, (np.ndarray, np.generic)) and sample.dtype.kind in "biuf":
        return ag.asarray(sample)
    if isinstance(sample, dict):
        return type(sample)({key: _as_tensors(value) for key, value in sample.items()})
    if isinstance(sample, tuple) and hasattr(sample, "_fields"):
        return type(sample)(*map(_as_tensors, sample))
    return type(sample)(map(_as_tensors, sample)) if isinstance(sample, (tuple, list)) else sample


def _is_integer(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
