"""Data sets, samplers and loaders: which samples come, in which order, as what; the fast path equals the slow one."""

import copy
import pickle
from collections import Counter, namedtuple

import numpy as np
import pytest

import autograd as ag
from kernels.random import Generator, default_generator, manual_seed
from nn.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
    random_split,
)

X = np.arange(20, dtype=np.float32).reshape(10, 2)
Y = np.arange(10)


class Pairs(Dataset):
    """The rows of X and Y, one by one: what a TensorDataset holds, on the slow path."""

    def __getitem__(self, index):
        return X[index], int(Y[index])

    def __len__(self):
        return 10


def indices_of(loader):
    """The second column of every batch, as lists."""
    return [batch[1].tolist() for batch in loader]


def joined(batches):
    """The elements of all batches in one list."""
    return [index for batch in batches for index in batch]


# --- data sets -------------------------------------------------------------------------------------------------------


def test_tensor_dataset():
    dataset = TensorDataset(ag.asarray(X), Y)
    assert len(dataset) == 10 and all(isinstance(t, ag.Tensor) for t in dataset.tensors)
    x, y = dataset[3]
    assert x.tolist() == [6.0, 7.0] and y.item() == 3 and dataset[-1][1].item() == 9
    assert dataset[2:4][0].shape == (2, 2)
    assert len(TensorDataset(np.zeros((0, 3)))) == 0
    with pytest.raises(IndexError):
        dataset[10]


@pytest.mark.parametrize("tensors", [(np.zeros(3), np.zeros(4)), (np.zeros(3), np.zeros(())), (np.zeros(()),)])
def test_tensor_dataset_of_other_sizes(tensors):
    shapes = [t.shape for t in tensors]
    with pytest.raises(ValueError, match="must agree in their first dimension, got shapes") as caught:
        TensorDataset(*tensors)
    assert str(shapes) in str(caught.value)


def test_data_sets_must_hold_something():
    with pytest.raises(ValueError, match="at least one tensor"):
        TensorDataset()
    with pytest.raises(ValueError, match="at least one data set"):
        ConcatDataset([])


def test_dataset_names_what_is_missing():
    class Nothing(Dataset):
        pass

    with pytest.raises(NotImplementedError, match=r"Nothing must define __getitem__\(index\)"):
        Nothing()[0]
    with pytest.raises(NotImplementedError, match=r"Nothing must define __len__\(\)"):
        len(Nothing())


def test_subset():
    subset = Subset(range(100, 200), [5, 3, 3, 99])
    assert len(subset) == 4 and [subset[i] for i in range(4)] == [105, 103, 103, 199] and subset[-1] == 199
    assert [Subset(subset, np.array([3, 0]))[i] for i in range(2)] == [199, 105]


def test_concat_dataset():
    both = Subset(range(3), [0, 1, 2]), Subset(range(10, 15), range(5))
    dataset = ConcatDataset([*both, [], [7]])
    assert len(dataset) == 9 and [dataset[i] for i in range(9)] == [0, 1, 2, 10, 11, 12, 13, 14, 7]
    assert [dataset[i] for i in range(-9, 0)] == [dataset[i] for i in range(9)]
    assert list(Pairs() + Pairs())[15][1] == 5
    for index in (9, -10):
        with pytest.raises(IndexError, match=f"index {index} is out of range for 9 samples"):
            dataset[index]


# --- random_split ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("total", "lengths", "sizes"),
    [
        (10, [7, 3], [7, 3]),
        (10, [0, 10], [0, 10]),
        (10, (np.int64(4), 6), [4, 6]),
        (10, [0.8, 0.2], [8, 2]),
        (10, [0.75, 0.25], [8, 2]),
        (10, [1.0], [10]),
        (10, [0.0, 1.0], [0, 10]),
        (10, [1 / 3] * 3, [4, 3, 3]),
        (100, [0.71, 0.29], [71, 29]),
        (1, [1, 0], [1, 0]),
        (0, [0.5, 0.5], [0, 0]),
        (1797, [0.8, 0.2], [1438, 359]),
    ],
)
def test_random_split(total, lengths, sizes):
    parts = random_split(range(total), lengths, generator=0)
    assert [len(part) for part in parts] == sizes
    assert sorted(i for part in parts for i in part.indices) == list(range(total))
    again = random_split(range(total), lengths, generator=Generator(0))
    assert [part.indices for part in parts] == [part.indices for part in again]


@pytest.mark.parametrize("lengths", [[5, 6], [0.5, 0.6], [11], [], [0.5]])
def test_random_split_of_another_sum(lengths):
    with pytest.raises(ValueError, match="add up to the 10 samples, or as fractions to 1; got"):
        random_split(range(10), lengths)


@pytest.mark.parametrize("lengths", [[-1, 11], [-0.5, 1.5], [float("nan"), 1]])
def test_random_split_of_negative_lengths(lengths):
    with pytest.raises(ValueError, match="lengths must not be negative"):
        random_split(range(10), lengths)


# --- samplers --------------------------------------------------------------------------------------------------------


def test_sequential_sampler():
    sampler = SequentialSampler(range(4))
    assert list(sampler) == [0, 1, 2, 3] == list(sampler) and len(sampler) == 4
    assert all(type(i) is int for i in sampler)


def test_random_sampler_gives_new_permutations():
    sampler = RandomSampler(range(50), generator=1)
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(50)) and first != second and len(sampler) == 50
    assert list(RandomSampler(range(50), generator=1)) == first
    assert all(type(i) is int for i in first)


def test_random_sampler_with_a_number_of_samples():
    sampler = RandomSampler(range(4), num_samples=10, generator=1)
    drawn = list(sampler)
    assert len(drawn) == len(sampler) == 10
    assert sorted(drawn[:4]) == sorted(drawn[4:8]) == list(range(4))
    assert len(set(drawn[8:])) == 2
    assert list(RandomSampler(range(4), num_samples=0)) == []


def test_random_sampler_with_replacement():
    drawn = list(RandomSampler(range(5), replacement=True, num_samples=2000, generator=1))
    counts = Counter(drawn)
    assert len(drawn) == 2000 and set(counts) == set(range(5)) and all(300 < c < 500 for c in counts.values())
    assert len(list(RandomSampler(range(5), replacement=True))) == 5


def test_random_sampler_of_nothing():
    assert list(RandomSampler([])) == [] == list(RandomSampler([], replacement=True))
    with pytest.raises(ValueError, match="cannot draw 3 samples from an empty data set"):
        list(RandomSampler([], num_samples=3))
    for bad in (-1, 2.0, True, "3"):
        with pytest.raises(ValueError, match="num_samples must be an integer, 0 or more, got"):
            RandomSampler(range(3), num_samples=bad)


@pytest.mark.parametrize("source", [SequentialSampler(range(7)), [0, 1, 2, 3, 4, 5, 6]], ids=["own", "list"])
def test_batch_sampler(source):
    keep, drop = BatchSampler(source, 3, False), BatchSampler(source, 3, True)
    assert list(keep) == [[0, 1, 2], [3, 4, 5], [6]] == list(keep) and len(keep) == 3
    assert list(drop) == [[0, 1, 2], [3, 4, 5]] and len(drop) == 2
    assert list(BatchSampler(source, 100, True)) == [] and list(BatchSampler(source, 7, True)) == [list(range(7))]
    assert all(type(i) is int for batch in keep for i in batch)


@pytest.mark.parametrize("size", [0, -1, 2.0, "3", True, None])
def test_batch_size_must_be_positive(size):
    with pytest.raises(ValueError, match="batch_size must be an integer, 1 or more, got"):
        BatchSampler(SequentialSampler(range(3)), size, False)


def test_subclassed_samplers_keep_their_order():
    class Backwards(SequentialSampler):
        def __iter__(self):
            return iter(range(len(self) - 1, -1, -1))

    class Doubled(BatchSampler):
        def __iter__(self):
            return (batch + batch for batch in super().__iter__())

    dataset = TensorDataset(X, Y)
    assert indices_of(DataLoader(dataset, 4, sampler=Backwards(dataset))) == [[9, 8, 7, 6], [5, 4, 3, 2], [1, 0]]
    doubled = DataLoader(dataset, batch_sampler=Doubled(SequentialSampler(range(3)), 2, False))
    assert indices_of(doubled) == [[0, 1, 0, 1], [2, 2]]


# --- collating -------------------------------------------------------------------------------------------------------

Point = namedtuple("Point", "x y")


def test_default_collate():
    assert default_collate([1, 2]).dtype == ag.int64 and default_collate([1.0, 2.0]).dtype == ag.float32
    assert default_collate([True, False]).dtype == ag.bool
    assert default_collate(["a", "b"]) == ["a", "b"] and default_collate([b"a"]) == [b"a"]
    assert default_collate([np.float64(1), np.float64(2)]).dtype == ag.float64
    stacked = default_collate([X[0], X[1]])
    assert stacked.shape == (2, 2) and stacked.dtype == ag.float32
    assert default_collate([ag.tensor([1, 2]), ag.tensor([3, 4])]).tolist() == [[1, 2], [3, 4]]
    batch = default_collate([{"a": 1, "b": (X[0], [2.0])}, {"a": 3, "b": (X[1], [4.0])}])
    assert batch["a"].tolist() == [1, 3] and batch["b"][0].shape == (2, 2) and batch["b"][1][0].tolist() == [2.0, 4.0]
    points = default_collate([Point(1, 2), Point(3, 4)])
    assert type(points) is Point and points.y.tolist() == [2, 4]


def test_default_collate_keeps_the_graph():
    x = ag.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    default_collate([x[0], x[1] * 2]).sum().backward()
    assert x.grad.tolist() == [[1, 1], [2, 2]]


@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        ([np.zeros(2), np.zeros(3)], ValueError, r"must have one shape, got \[\(2,\), \(3,\)\]; pad or crop them"),
        ([ag.zeros(2), ag.zeros(3)], ValueError, r"must have one shape, got \[\(2,\), \(3,\)\]"),
        ([(1, 2), (1,)], ValueError, r"must have one length, got \[1, 2\]"),
        ([None], TypeError, "cannot make a batch of NoneType"),
        ([{1, 2}], TypeError, "cannot make a batch of set"),
        ([np.array(["a"])], TypeError, "cannot make a batch of arrays of <U1"),
    ],
)
def test_default_collate_of_unlike_samples(samples, error, message):
    with pytest.raises(error, match=message):
        default_collate(samples)


# --- the loader ------------------------------------------------------------------------------------------------------

DATASETS = {"tensors": TensorDataset(X, Y), "samples": Pairs()}


@pytest.fixture(params=DATASETS)
def dataset(request):
    """The same pairs in a TensorDataset (whole batches are gathered) and in a data set of samples (they are not)."""
    return DATASETS[request.param]


def test_batches_in_order(dataset):
    loader = DataLoader(dataset, batch_size=4)
    assert len(loader) == 3 and indices_of(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]] == indices_of(loader)
    x, y = next(iter(loader))
    assert isinstance(x, ag.Tensor) and x.dtype == ag.float32 and y.dtype == ag.int64
    assert x.tolist() == X[:4].tolist() and not x.requires_grad


def test_drop_last(dataset):
    loader = DataLoader(dataset, batch_size=4, drop_last=True)
    assert len(loader) == 2 and indices_of(loader) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert indices_of(DataLoader(dataset, batch_size=11, drop_last=True)) == []
    assert len(DataLoader(dataset, batch_size=5, drop_last=True)) == 2


def test_shuffle_is_new_in_each_pass_and_fixed_by_the_seed(dataset):
    loader = DataLoader(dataset, batch_size=3, shuffle=True, generator=5)
    first, second = indices_of(loader), indices_of(loader)
    assert sorted(joined(first)) == sorted(joined(second)) == list(range(10)) and first != second
    assert indices_of(DataLoader(dataset, batch_size=3, shuffle=True, generator=Generator(5))) == first
    expected = Generator(5).permutation(10).tolist()
    assert joined(first) == expected
    for batch, indices in zip(DataLoader(dataset, 3, shuffle=True, generator=5), first, strict=True):
        assert batch[0].tolist() == X[indices].tolist()


def test_shuffle_uses_the_default_generator(dataset):
    before = default_generator.state()
    try:
        loader = DataLoader(dataset, batch_size=10, shuffle=True)
        manual_seed(3)
        first = indices_of(loader)
        assert first == [Generator(3).permutation(10).tolist()]
        manual_seed(3)
        assert indices_of(loader) == first != indices_of(loader)
    finally:
        default_generator.set_state(before)


def test_passes_at_once_do_not_disturb_each_other(dataset):
    loader = DataLoader(dataset, batch_size=4)
    pairs = list(zip(loader, loader, strict=True))
    assert all(a[1].tolist() == b[1].tolist() for a, b in pairs)
    shuffled = DataLoader(dataset, batch_size=4, shuffle=True, generator=1)
    first, second = iter(shuffled), iter(shuffled)
    seen = [joined(next(it)[1].tolist() for _ in range(3)) for it in (second, first)]
    assert sorted(seen[0]) == sorted(seen[1]) == list(range(10))


def test_sampler_and_batch_sampler(dataset):
    assert indices_of(DataLoader(dataset, 2, sampler=[7, 7, 1])) == [[7, 7], [1]]
    loader = DataLoader(dataset, batch_sampler=[[1, 2, 3], (0,), np.array([9, -1])])
    assert indices_of(loader) == [[1, 2, 3], [0], [9, 9]] and len(loader) == 3 and loader.batch_size is None
    assert indices_of(DataLoader(dataset, batch_sampler=BatchSampler([3, 1, 2], 2, True))) == [[3, 1]]


def test_indices_out_of_range(dataset):
    for bad in (10, -11):
        with pytest.raises(IndexError):
            list(DataLoader(dataset, sampler=[0, bad]))


def test_single_samples(dataset):
    loader = DataLoader(dataset, batch_size=None)
    samples = list(loader)
    assert len(loader) == len(samples) == 10
    assert isinstance(samples[3][0], ag.Tensor) and samples[3][0].tolist() == [6.0, 7.0] and int(samples[3][1]) == 3
    assert [int(s[1]) for s in DataLoader(dataset, batch_size=None, sampler=[4, 2])] == [4, 2]


def test_collate_fn(dataset):
    loader = DataLoader(dataset, batch_size=4, collate_fn=lambda samples: [int(y) for _, y in samples])
    assert list(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    loader = DataLoader(dataset, batch_size=None, collate_fn=lambda sample: int(sample[1]))
    assert list(loader) == list(range(10))


def test_subsets(dataset):
    nested = Subset(Subset(dataset, [9, 8, 7, 6, 5]), np.array([4, 0, 0]))
    assert indices_of(DataLoader(nested, batch_size=2)) == [[5, 9], [9]]
    training, held_out = random_split(dataset, [0.7, 0.3], generator=2)
    seen = indices_of(DataLoader(training, 4, shuffle=True, generator=1)) + indices_of(DataLoader(held_out, 4))
    assert sorted(joined(seen)) == list(range(10))
    assert indices_of(DataLoader(Subset(dataset, []), 4)) == []


def test_concatenated(dataset):
    loader = DataLoader(dataset + Subset(dataset, [1, 2]), batch_size=6)
    assert indices_of(loader) == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 1, 2]]


def test_whole_batches_are_gathered_without_asking_for_samples(monkeypatch):
    def refuse(self, index):
        raise AssertionError("a sample was asked for")

    monkeypatch.setattr(TensorDataset, "__getitem__", refuse)
    dataset = TensorDataset(X, Y)
    for loader in (
        DataLoader(dataset, 4, shuffle=True),
        DataLoader(dataset, batch_sampler=[[1, 2]]),
        DataLoader(random_split(dataset, [0.5, 0.5])[0], 2),
    ):
        assert all(len(batch) == 2 for batch in loader)


def test_subclasses_are_asked_for_samples():
    class Negated(TensorDataset):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            return -x, y

    class Shifted(Subset):
        def __getitem__(self, index):
            return self.dataset[self.indices[index] + 1]

    assert next(iter(DataLoader(Negated(X, Y), 2)))[0].tolist() == (-X[:2]).tolist()
    assert indices_of(DataLoader(Shifted(TensorDataset(X, Y), [0, 1]), 2)) == [[1, 2]]


def test_batches_have_memory_of_their_own():
    x = X.copy()
    for options in ({"batch_size": 10}, {"batch_size": 10, "shuffle": True}, {"batch_sampler": [range(10)]}):
        for (batch,) in DataLoader(TensorDataset(x), **options):
            batch.numpy()[:] = -1
    assert np.array_equal(x, X)


def test_data_of_any_layout():
    wide = np.arange(60.0).reshape(3, 20).T[::-2]
    (batch,) = next(iter(DataLoader(TensorDataset(wide), 4)))
    assert np.array_equal(batch.numpy(), wide[:4])
    (numbers,) = next(iter(DataLoader(TensorDataset(Y[::3]), 10)))
    assert numbers.tolist() == [0, 3, 6, 9]
    (empty,) = next(iter(DataLoader(TensorDataset(np.zeros((4, 0, 2))), 3)))
    assert empty.shape == (3, 0, 2)


def test_tensors_that_require_grad_keep_the_graph():
    x = ag.tensor(X, requires_grad=True)
    total = ag.zeros(())
    for (batch,) in DataLoader(TensorDataset(x), batch_size=4):
        total = total + batch.sum()
    total.backward()
    assert np.array_equal(x.grad.numpy(), np.ones_like(X))


def test_later_changes_of_the_data_are_seen():
    x = X.copy()
    loader = DataLoader(TensorDataset(x), batch_size=10)
    x[:] = 1
    assert next(iter(loader))[0].numpy().sum() == 20


def test_empty_data_sets():
    for shuffle in (False, True):
        assert list(DataLoader(TensorDataset(np.zeros((0, 3))), 4, shuffle=shuffle)) == []
        assert list(DataLoader([], 4, shuffle=shuffle)) == []


def test_plain_sequences():
    assert [batch.tolist() for batch in DataLoader([1, 2, 3], batch_size=2)] == [[1, 2], [3]]
    assert next(iter(DataLoader(X, batch_size=3))).shape == (3, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be an integer, 1 or more, got 0"),
        ({"batch_size": 2.5}, "batch_size must be an integer, 1 or more, got 2.5"),
        ({"shuffle": True, "sampler": [0]}, "sampler and shuffle exclude one another"),
        ({"batch_sampler": [[0]], "batch_size": 2}, "excludes batch_size, shuffle, sampler and drop_last"),
        ({"batch_sampler": [[0]], "shuffle": True}, "batch_sampler excludes"),
        ({"batch_sampler": [[0]], "sampler": [0]}, "batch_sampler excludes"),
        ({"batch_sampler": [[0]], "drop_last": True}, "batch_sampler excludes"),
        ({"batch_size": None, "drop_last": True}, "drop_last needs a batch_size"),
        ({"num_workers": 2.5}, "num_workers must be an integer, 0 or more, got 2.5"),
        ({"num_workers": -1}, "num_workers must be an integer, 0 or more, got -1"),
        ({"prefetch_factor": 2}, "needs workers"),
        ({"num_workers": 1, "prefetch_factor": 0}, "1 or more"),
    ],
)
def test_arguments_that_exclude_one_another(options, message):
    with pytest.raises(ValueError, match=message):
        DataLoader(Pairs(), **options)


def test_bad_generators():
    with pytest.raises(TypeError, match="seed must be an integer, got 'x'"):
        DataLoader(Pairs(), generator="x")


def test_loaders_can_be_copied_and_pickled():
    loader = DataLoader(TensorDataset(X, Y), batch_size=3, shuffle=True, generator=5)
    expected = indices_of(copy.deepcopy(loader))
    assert indices_of(pickle.loads(pickle.dumps(loader))) == expected == indices_of(loader)
