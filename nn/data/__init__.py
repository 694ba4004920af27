"""Data for training: data sets, the order in which they are read, and batches, with PyTorch's names and meaning.

    training, held_out = random_split(TensorDataset(images, labels), [0.8, 0.2], generator=0)
    for x, y in DataLoader(training, batch_size=64, shuffle=True):
        ...

Orders are permutations by `kernels.random`: a seed fixes them on every machine. Batches of a `TensorDataset` (or of a
`Subset` of one) are gathered whole, one copy per tensor; any other data set is asked for its samples one by one.
"""

from nn.data import transforms
from nn.data.collate import default_collate
from nn.data.dataset import ChainDataset, ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset, random_split
from nn.data.loader import DataLoader
from nn.data.randomness import sample_generator
from nn.data.readers import read_csv, read_idx, read_npy, read_npz
from nn.data.sampler import (
    BatchSampler,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

__all__ = [
    "BatchSampler", "ChainDataset", "ConcatDataset", "DataLoader", "Dataset", "IterableDataset", "RandomSampler",
    "SequentialSampler", "Subset", "SubsetRandomSampler", "TensorDataset", "WeightedRandomSampler", "default_collate",
    "random_split", "read_csv", "read_idx", "read_npy", "read_npz", "sample_generator", "transforms",
]  # fmt: skip
