"""Samplers: the orders in which the samples of a data set are read. All are permutations and numbers by `kernels.random`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from kernels.random import Generator, as_generator


def is_integer(value: Any) -> bool:
    """Whether a value is a whole number, and no bool."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


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
        if num_samples is not None and (not is_integer(num_samples) or num_samples < 0):
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


class SubsetRandomSampler:
    """The given indices in random order, a new one for each pass.

    >>> sorted(SubsetRandomSampler([3, 5, 8], generator=0))
    [3, 5, 8]
    """

    def __init__(self, indices: Sequence[int], generator: Generator | int | None = None) -> None:
        self.indices, self.generator = indices, as_generator(generator)

    def order(self) -> np.ndarray:
        """All indices of one pass, int64."""
        return np.asarray(self.indices, np.int64)[self.generator.permutation(len(self.indices))]

    def __iter__(self) -> Iterator[int]:
        return iter(self.order().tolist())

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler:
    """Indices drawn with probabilities in proportion to `weights`, such that rare classes can come more often.

    With replacement by the inverse of the cumulative weights; without, the first `num_samples` of the keys
    -log(u) / weight in ascending order (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006).

    Args:
        weights: one number for each index, not negative and not all 0. An index of weight 0 is never drawn.
        num_samples: how many to draw in a pass.
        replacement: whether an index may come twice.
        generator: as for `RandomSampler`.

    >>> set(WeightedRandomSampler([0.0, 1.0, 0.0], 4, generator=0))
    {1}

    Raises:
        ValueError: weights that are no probabilities, or fewer of them above 0 than samples without replacement.
    """

    def __init__(
        self, weights: Any, num_samples: int, replacement: bool = True, generator: Generator | int | None = None
    ) -> None:
        self.weights = np.array(weights, np.float64)
        if self.weights.ndim != 1 or not (np.isfinite(self.weights).all() and (self.weights >= 0).all()):
            raise ValueError("WeightedRandomSampler: weights must be finite numbers, not negative, in one dimension")
        if not is_integer(num_samples) or num_samples < 1:
            raise ValueError(f"WeightedRandomSampler: num_samples must be an integer, 1 or more, got {num_samples!r}")
        positive = int(np.count_nonzero(self.weights))
        if not positive or (not replacement and positive < num_samples):
            raise ValueError(
                f"WeightedRandomSampler: cannot draw {num_samples} samples "
                f"{'with' if replacement else 'without'} replacement from {positive} weights above 0"
            )
        self.num_samples, self.replacement, self.generator = int(num_samples), bool(replacement), as_generator(generator)

    def order(self) -> np.ndarray:
        """All indices of one pass, int64."""
        if not self.replacement:
            draws = 1.0 - self.generator.uniform(len(self.weights), dtype=np.float64)  # from (0, 1]
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                keys = -np.log(draws) / self.weights
            return np.lexsort((keys, self.weights == 0))[: self.num_samples]
        ends = np.cumsum(self.weights / self.weights.max())
        draws = self.generator.uniform(self.num_samples, dtype=np.float64) * ends[-1]
        last = np.flatnonzero(self.weights)[-1]  # a product may be rounded up to the end
        return np.minimum(np.searchsorted(ends, draws, side="right"), last)

    def __iter__(self) -> Iterator[int]:
        return iter(self.order().tolist())

    def __len__(self) -> int:
        return self.num_samples


_AT_ONCE = (SequentialSampler, RandomSampler, SubsetRandomSampler, WeightedRandomSampler)


class BatchSampler:
    """Lists of `batch_size` indices from another sampler; the last may be shorter, or is left out with `drop_last`.

    >>> list(BatchSampler(SequentialSampler(range(5)), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Any, batch_size: int, drop_last: bool) -> None:
        if not is_integer(batch_size) or batch_size < 1:
            raise ValueError(f"batch_size must be an integer, 1 or more, got {batch_size!r}")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, bool(drop_last)

    def batches(self) -> Iterator[Sequence[int] | np.ndarray]:
        """The batches, as arrays where the sampler gives its whole order at once (it is drawn now), else as lists."""
        if type(self.sampler) in _AT_ONCE:  # a subclass may have an order of its own
            order, size = self.sampler.order(), self.batch_size
            end = len(order) - len(order) % size if self.drop_last else len(order)
            return (order[begin : begin + size] for begin in range(0, end, size))
        return self._gathered(iter(self.sampler))

    def _gathered(self, indices: Iterator[int]) -> Iterator[list[int]]:
        while batch := list(islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __iter__(self) -> Iterator[list[int]]:
        return (batch.tolist() if isinstance(batch, np.ndarray) else list(batch) for batch in self.batches())

    def __len__(self) -> int:
        count = len(self.sampler)
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)
