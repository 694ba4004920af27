"""Batches from samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import autograd as ag


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


def as_tensors(sample: Any) -> Any:
    """A single sample with its arrays as tensors: what a loader without batches gives."""
    if isinstance(sample, (np.ndarray, np.generic)) and sample.dtype.kind in "biuf":
        return ag.asarray(sample)
    if isinstance(sample, dict):
        return type(sample)({key: as_tensors(value) for key, value in sample.items()})
    if isinstance(sample, tuple) and hasattr(sample, "_fields"):
        return type(sample)(*map(as_tensors, sample))
    return type(sample)(map(as_tensors, sample)) if isinstance(sample, (tuple, list)) else sample
