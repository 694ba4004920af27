"""DataLoader: the batches of a data set, loaded ahead by threads if wished, in passes that can be resumed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from itertools import islice, repeat
from typing import Any

import numpy as np

import autograd as ag
from kernels.random import Generator, as_generator
from nn.data.collate import as_tensors, default_collate
from nn.data.dataset import IterableDataset, Subset, TensorDataset
from nn.data.randomness import CURRENT, SampleSource
from nn.data.sampler import BatchSampler, RandomSampler, SequentialSampler, is_integer

_END = object()


class _Pass:
    """A pass that is going on: its number, the generators' states at its beginning, and how much was handed out."""

    def __init__(self, number: int, starts: list[dict[str, int]], position: int) -> None:
        self.number, self.starts, self.position = number, starts, position


class DataLoader:
    """The batches of a data set, in order or shuffled; each pass over the loader is a new one.

    Where the passes stand is the loader's state: `load_state_dict(state_dict())`, between two batches or two passes, lets
    the next pass continue with the batch that would have come. Skipped samples are not loaded (those of an
    `IterableDataset` are, for there is no other way). That covers the samplers of this package, the loader's generator and
    what data sets draw from `sample_generator()`.

    Args:
        dataset: anything with `__getitem__(index)` and `__len__()`, or an `IterableDataset`.
        batch_size: samples per batch; None gives single samples, without a batch dimension.
        shuffle: a new random order in every pass.
        sampler: an iterable of indices, in place of `shuffle`.
        batch_sampler: an iterable of lists of indices, in place of `batch_size`, `shuffle`, `sampler` and `drop_last`.
        drop_last: leave out a last batch that is not full.
        collate_fn: makes a batch of a list of samples; `default_collate` where it is None.
        generator: the source of the order: a `kernels.random.Generator`, a seed, or None for the default generator.
        num_workers: how many threads load batches ahead; 0 loads each when it is asked for. The batches and their order
            are the same. Threads share the process: they help where samples wait for a disk or are made by NumPy and
            kernels, which release Python's lock. An `IterableDataset` is read by one thread.
        prefetch_factor: batches that each worker is ahead, 2 by default.

    >>> from nn.data import TensorDataset
    >>> loader = DataLoader(TensorDataset(np.arange(5), np.arange(5) % 2), batch_size=2)
    >>> [x.tolist() for x, y in loader], len(loader)
    ([[0, 1], [2, 3], [4]], 3)

    Raises:
        ValueError: arguments that exclude one another, a batch size below 1, or a negative number of workers.
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
        prefetch_factor: int | None = None,
    ) -> None:
        _check_workers(num_workers, prefetch_factor)
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: sampler and shuffle exclude one another, for both give the order")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError("DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last")
        if batch_size is None and drop_last:
            raise ValueError("DataLoader: drop_last needs a batch_size; with batch_size=None there are no batches")
        self.is_iterable = isinstance(dataset, IterableDataset)
        if self.is_iterable and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError("DataLoader: an IterableDataset has its own order; leave out shuffle, sampler and batch_sampler")
        self.dataset, self.drop_last, self.collate_fn = dataset, bool(drop_last), collate_fn
        self.num_workers, self.prefetch_factor = int(num_workers), prefetch_factor or 2
        self.generator = as_generator(generator)
        if sampler is None and batch_sampler is None:
            sampler = RandomSampler(dataset, generator=self.generator) if shuffle else SequentialSampler(dataset)
        if batch_sampler is None and batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.sampler, self.batch_sampler = sampler, batch_sampler
        self.batch_size = batch_size if isinstance(batch_sampler, BatchSampler) else None
        self._passes = 0
        self._pass: _Pass | None = None  # the latest
        self._resumed: _Pass | None = None  # what the next pass continues

    def __len__(self) -> int:
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        going, jobs = self._begin()
        try:
            for batch in self._done(jobs):
                going.position += 1
                yield batch
        finally:
            if self._pass is going:
                self._pass = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pass": None}  # a copy begins with a new pass

    # --- where the passes stand

    def _generators(self) -> list[Generator]:
        places = (self, self.sampler, self.batch_sampler, getattr(self.batch_sampler, "sampler", None))
        found = [getattr(place, "generator", None) for place in places]
        return list({id(g): g for g in found if isinstance(g, Generator)}.values())

    def state_dict(self) -> dict[str, Any]:
        """The number of passes begun, the batches handed out in this one, and the generators at its beginning and now."""
        going = self._pass or self._resumed
        return {
            "passes": self._passes,
            "position": None if going is None else going.position,
            "starts": [] if going is None else [dict(state) for state in going.starts],
            "generators": [generator.state() for generator in self._generators()],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave, in the next pass.

        Raises:
            ValueError: not the state of a loader like this one; nothing is changed then.
        """
        generators = self._generators()
        try:
            passes, position = state_dict["passes"], state_dict["position"]
            starts, now = list(state_dict["starts"]), list(state_dict["generators"])
            if not is_integer(passes) or passes < 0 or len(now) != len(generators):
                raise ValueError(f"{passes!r} passes and {len(now)} generators")
            if position is not None and (not is_integer(position) or position < 0 or len(starts) != len(now)):
                raise ValueError(f"position {position!r} and {len(starts)} generators at the beginning of the pass")
            for state in (*now, *starts):
                Generator(0).set_state(state)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"DataLoader: the state does not fit a loader with {len(generators)} generators: {error}"
            ) from error
        for generator, state in zip(generators, now, strict=True):
            generator.set_state(state)
        self._passes, self._pass = int(passes), None
        self._resumed = None if position is None else _Pass(self._passes, starts, int(position))

    def _begin(self) -> tuple[_Pass, Iterator[Callable[[], Any]]]:
        """The pass, and its jobs, each of which loads a batch; the order is drawn now."""
        generators = self._generators()
        now = [generator.state() for generator in generators]
        going, self._resumed = self._resumed, None
        if going is None:
            self._passes += 1
            going = _Pass(self._passes, now, 0)
            jobs = self._jobs(going)
        else:
            _set(generators, going.starts)
            try:
                jobs = self._jobs(going)
            finally:
                _set(generators, now)
        self._pass = going
        return going, jobs

    # --- loading

    def _jobs(self, going: _Pass) -> Iterator[Callable[[], Any]]:
        seed = self.generator.initial_seed()
        if self.is_iterable:
            return repeat(_Stream(self, SampleSource(seed, going.number, 0), going.position))
        if self.batch_sampler is None:
            sampler: Any = self.sampler
            order = enumerate(sampler)  # a sampler of this package draws now
            return (self._single(seed, going.number, *place) for place in islice(order, going.position, None))
        sampler = self.batch_sampler
        batches = sampler.batches() if type(sampler) is BatchSampler else iter(sampler)
        count = sum(len(batch) for batch in islice(batches, going.position))
        tensors, rows = _rows_of(self.dataset)
        if tensors and self.collate_fn is None:
            return (_gathering(tensors, rows, batch) for batch in batches)
        return self._collating(seed, going.number, count, batches)

    def _single(self, seed: int, number: int, position: int, index: int) -> Callable[[], Any]:
        convert = self.collate_fn or as_tensors
        return lambda: convert(self._sample(SampleSource(seed, number, position), index))

    def _collating(self, seed: int, number: int, position: int, batches: Iterable) -> Iterator[Callable[[], Any]]:
        collate = self.collate_fn or default_collate
        for batch in batches:
            places = [(SampleSource(seed, number, position + i), int(index)) for i, index in enumerate(batch)]
            position += len(places)
            yield lambda places=places: collate([self._sample(*place) for place in places])

    def _sample(self, source: SampleSource, index: int) -> Any:
        token = CURRENT.set(source)
        try:
            return self.dataset[index]
        finally:
            CURRENT.reset(token)

    def _done(self, jobs: Iterator[Callable[[], Any]]) -> Iterator[Any]:
        """What the jobs return, in their order, up to the end."""
        if not self.num_workers:
            for job in jobs:
                batch = job()
                if batch is _END:
                    return
                yield batch
            return
        executor = ThreadPoolExecutor(1 if self.is_iterable else self.num_workers, "DataLoader")
        ahead: deque[Future] = deque()
        try:
            while True:
                for job in islice(jobs, self.num_workers * self.prefetch_factor - len(ahead)):
                    ahead.append(executor.submit(copy_context().run, job))  # modes such as no_grad hold there, too
                batch = ahead.popleft().result() if ahead else _END
                if batch is _END:
                    return
                yield batch
        finally:
            executor.shutdown(cancel_futures=True)


class _Stream:
    """The batches of an iterable data set, one per call."""

    def __init__(self, loader: DataLoader, source: SampleSource, skipped: int) -> None:
        self.loader, self.source, self.skipped, self.samples = loader, source, skipped, None

    def __call__(self) -> Any:
        token = CURRENT.set(self.source)
        try:
            return self._next()
        finally:
            CURRENT.reset(token)

    def _next(self) -> Any:
        loader, size = self.loader, self.loader.batch_size
        if self.samples is None:
            self.samples = iter(loader.dataset)
            for _ in islice(self.samples, self.skipped * (size or 1)):
                pass
        if size is None:
            sample: Any = next(self.samples, _END)
            return sample if sample is _END else (loader.collate_fn or as_tensors)(sample)
        batch = list(islice(self.samples, size))
        if not batch or (loader.drop_last and len(batch) < size):
            return _END
        return (loader.collate_fn or default_collate)(batch)


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


def _gathering(tensors: tuple[ag.Tensor, ...], rows: np.ndarray | None, batch: Any) -> Callable[[], list[ag.Tensor]]:
    """The job of a batch of a TensorDataset: one gather per tensor, in memory of its own."""

    def gather() -> list[ag.Tensor]:
        indices = np.asarray(batch, np.int64)
        if rows is not None:
            indices = rows[indices]
        return [ag.take(tensor.detach(), indices, axis=0) for tensor in tensors]

    return gather


def _set(generators: list[Generator], states: Iterable[dict[str, int]]) -> None:
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)


def _check_workers(num_workers: Any, prefetch_factor: Any) -> None:
    if not is_integer(num_workers) or num_workers < 0:
        raise ValueError(f"DataLoader: num_workers must be an integer, 0 or more, got {num_workers!r}")
    if prefetch_factor is not None and (not is_integer(prefetch_factor) or prefetch_factor < 1 or not num_workers):
        raise ValueError(
            f"DataLoader: prefetch_factor must be an integer, 1 or more, and needs workers, got {prefetch_factor!r} with "
            f"num_workers={num_workers}"
        )
