"""Workers, streams, samplers with weights, random numbers of samples, and passes that are resumed."""

import threading
import time

import numpy as np
import pytest

import autograd as ag
from kernels.random import Generator
from nn.data import (
    ChainDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    sample_generator,
)


class Noisy(Dataset):
    """Samples that draw random numbers, and take their time."""

    def __getitem__(self, index):
        if index % 3 == 0:
            time.sleep(0.001)
        return index, sample_generator().uniform(2, dtype=np.float64)

    def __len__(self):
        return 10


class Stream(IterableDataset):
    def __init__(self, count=7):
        self.count = count

    def __iter__(self):
        for i in range(self.count):
            yield i, sample_generator().uniform((), dtype=np.float64)


def passes(loader, count=2):
    """The batches of some passes, as lists."""
    return [[[np.asarray(part).tolist() for part in batch] for batch in loader] for _ in range(count)]


LOADERS = {
    "samples": lambda **options: DataLoader(Noisy(), 3, shuffle=True, generator=1, **options),
    "tensors": lambda **options: DataLoader(TensorDataset(np.arange(10)), 4, shuffle=True, generator=1, **options),
    "in order": lambda **options: DataLoader(Noisy(), 4, drop_last=True, **options),
    "default generator": lambda **options: DataLoader(Noisy(), 4, shuffle=True, **options),
    "single": lambda **options: DataLoader(Noisy(), None, shuffle=True, generator=3, **options),
    "weighted": lambda **options: DataLoader(Noisy(), 2, sampler=WeightedRandomSampler(np.arange(10), 7, generator=2), **options),
    "own batches": lambda **options: DataLoader(Noisy(), batch_sampler=[[1, 2], [3], [4, 5, 6]], **options),
    "stream": lambda **options: DataLoader(Stream(), 3, generator=1, **options),
    "full batches of a stream": lambda **options: DataLoader(Stream(), 3, generator=1, drop_last=True, **options),
    "single of a stream": lambda **options: DataLoader(Stream(), None, generator=1, **options),
}


# --- workers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOADERS)
def test_workers_give_the_same_batches(name):
    ag.manual_seed(5)
    expected = passes(LOADERS[name]())
    assert expected[0] != expected[1] or name == "own batches" or name == "tensors"
    for workers, ahead in ((1, None), (3, 1), (4, 3)):
        ag.manual_seed(5)
        assert passes(LOADERS[name](num_workers=workers, prefetch_factor=ahead)) == expected


def test_workers_are_other_threads_and_load_ahead():
    seen, threads = [], set()

    class Watched(Noisy):
        def __getitem__(self, index):
            seen.append(index)
            threads.add(threading.current_thread().name.split("_")[0])
            return index

    batches = iter(DataLoader(Watched(), 1, num_workers=2, prefetch_factor=2))
    assert next(batches).tolist() == [0]
    deadline = time.monotonic() + 10
    while len(seen) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert sorted(seen) == [0, 1, 2, 3] and threads == {"DataLoader"}
    batches.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("DataLoader")]


def test_errors_of_workers_come_where_the_batch_would():
    class Broken(Noisy):
        def __getitem__(self, index):
            if index == 4:
                raise KeyError("sample 4 is broken")
            return index

    batches = iter(DataLoader(Broken(), 2, num_workers=2))
    assert [next(batches).tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(KeyError, match="sample 4 is broken"):
        next(batches)
    assert not [t for t in threading.enumerate() if t.name.startswith("DataLoader")]


def test_modes_hold_in_workers():
    x = ag.ones(4, requires_grad=True)
    with ag.no_grad():
        assert not any(batch.requires_grad for batch in DataLoader([x * 2, x * 3], 1, num_workers=2))
    assert all(batch.requires_grad for batch in DataLoader([x * 2, x * 3], 1, num_workers=2))


# --- streams ---------------------------------------------------------------------------------------------------------


def test_streams():
    numbers = [batch[0].tolist() for batch in DataLoader(Stream(2) + Stream(3), 2)]
    assert numbers == [[0, 1], [0, 1], [2]]
    assert list(DataLoader(Stream(0), 2)) == [] == list(DataLoader(Stream(0), 2, num_workers=1))
    with pytest.raises(TypeError, match="Stream is read in its own order and has no sample 3"):
        Stream()[3]
    with pytest.raises(TypeError, match="Stream has no length"):
        len(Stream())
    with pytest.raises(NotImplementedError, match="must define __iter__"):
        iter(IterableDataset())
    with pytest.raises(ValueError, match="at least one"):
        ChainDataset([])


@pytest.mark.parametrize("options", [{"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}])
def test_streams_have_their_own_order(options):
    with pytest.raises(ValueError, match="an IterableDataset has its own order"):
        DataLoader(Stream(), **options)


# --- samplers --------------------------------------------------------------------------------------------------------


def test_subset_random_sampler():
    sampler = SubsetRandomSampler([5, 7, 11, 13], generator=0)
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == [5, 7, 11, 13] and first != second and len(sampler) == 4
    assert list(SubsetRandomSampler([])) == []


def test_weighted_random_sampler_draws_in_proportion():
    weights = np.array([0.0, 1.0, 2.0, 0.0, 5.0])
    counts = np.bincount(list(WeightedRandomSampler(weights, 80_000, generator=0)), minlength=5)
    expected = 80_000 * weights / weights.sum()
    assert np.all(np.abs(counts - expected) <= 4 * np.sqrt(expected))  # four standard deviations, and 0 exactly


def test_weighted_random_sampler_without_replacement():
    first = np.array([list(WeightedRandomSampler([1.0, 0.0, 3.0], 2, False, generator=s)) for s in range(800)])
    assert np.all(np.sort(first) == [0, 2])
    assert abs((first[:, 0] == 2).mean() - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 800)
    assert sorted(WeightedRandomSampler([1e-300, 0.0, 1e300], 2, False)) == [0, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, -1.0], 1), "not negative"),
        (([1.0, np.nan], 1), "finite numbers"),
        (([[1.0]], 1), "one dimension"),
        (([1.0], 0), "1 or more, got 0"),
        (([1.0], 1.5), "1 or more, got 1.5"),
        (([0.0, 0.0], 1), "with replacement from 0 weights above 0"),
        (([1.0, 0.0], 2, False), "2 samples without replacement from 1 weights"),
    ],
)
def test_weights_that_cannot_be_drawn_from(arguments, message):
    with pytest.raises(ValueError, match=message):
        WeightedRandomSampler(*arguments)


# --- random numbers of samples ---------------------------------------------------------------------------------------


def test_sample_generator():
    assert sample_generator().state() == ag_default_state()
    same = passes(DataLoader(Noisy(), 5, generator=4))
    assert same == passes(DataLoader(Noisy(), 5, generator=4)) != passes(DataLoader(Noisy(), 5, generator=5))
    one, other = passes(DataLoader(Noisy(), 10, generator=4))
    draws = {tuple(pair) for part in (one, other) for pair in part[0][1]}
    assert len(draws) == 20  # another for each sample and pass
    assert sample_generator().state() == ag_default_state()


def ag_default_state():
    from kernels.random import default_generator

    return default_generator.state()


# --- passes that are resumed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", LOADERS)
def test_a_resumed_pass_continues_with_the_next_batch(name, workers):
    ag.manual_seed(7)
    loader, rest, states = LOADERS[name](num_workers=workers), [], []
    for _ in range(2):
        states.append((loader.state_dict(), len(rest)))
        for batch in loader:
            rest.append([np.asarray(part).tolist() for part in batch])
            states.append((loader.state_dict(), len(rest)))
    for state, done in states:
        ag.manual_seed(99)
        again = LOADERS[name](num_workers=workers)
        again.load_state_dict(state)
        assert (again.state_dict(), again.num_workers) == (state, workers)
        left = []
        while len(left) < len(rest) - done:
            left += [[np.asarray(part).tolist() for part in batch] for batch in again]
        assert left == rest[done:]


def test_resuming_does_not_load_what_was_done():
    asked = []

    class Counted(Noisy):
        def __getitem__(self, index):
            asked.append(index)
            return index

    loader = DataLoader(Counted(), 2)
    batches = iter(loader)
    for _ in range(3):
        next(batches)
    state = loader.state_dict()
    asked.clear()
    loader.load_state_dict(state)
    assert [b.tolist() for b in loader] == [[6, 7], [8, 9]] and asked == [6, 7, 8, 9]


def test_a_pass_that_was_left_is_over():
    loader = DataLoader(Noisy(), 2, shuffle=True, generator=0)
    for _ in loader:
        break
    assert loader.state_dict()["position"] is None and loader.state_dict()["passes"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"passes": -1}, {"passes": "1"}, {"position": 1.5}, {"position": -1}, {"starts": []}, {"generators": []},
        {"generators": [{"seed": 1}]}, {"generators": 3}, {"starts": [{"seed": -1, "offset": 0}]},
    ],
)  # fmt: skip
def test_states_of_other_loaders_are_refused(change):
    generator = Generator(3)
    loader = DataLoader(Noisy(), 2, shuffle=True, generator=generator)
    batches = iter(loader)
    next(batches)
    state, before = loader.state_dict(), generator.state()
    with pytest.raises(ValueError, match="does not fit a loader with 1 generators"):
        loader.load_state_dict({**state, **change})
    with pytest.raises(ValueError, match="does not fit"):
        loader.load_state_dict({})
    assert generator.state() == before and loader.state_dict() == state


def test_sequential_sampler_of_a_subclass_keeps_its_order():
    class Backwards(SequentialSampler):
        def __iter__(self):
            return iter(range(len(self.data_source) - 1, -1, -1))

    assert list(DataLoader([1, 2, 3], None, sampler=Backwards([1, 2, 3]))) == [3, 2, 1]
