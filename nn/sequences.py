"""Sequences of different lengths in one tensor: what is found as `nn.utils.rnn`, as in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import autograd as ag


def pad_sequence(
    sequences: Sequence[ag.Tensor], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> ag.Tensor:
    """Sequences of shapes (length, *), which may differ in length alone, side by side: (T, N, *) with the longest T.

    Args:
        batch_first: give (N, T, *) instead.
        padding_value: what stands where a sequence has no element.
        padding_side: "right" to put it behind a sequence, "left" to put it before.

    Gradients flow back to the sequences.

    Raises:
        ValueError: there are no sequences, or they differ in more than their length.

    >>> import autograd as ag, nn
    >>> nn.utils.rnn.pad_sequence([ag.tensor([1, 2, 3]), ag.tensor([4])], batch_first=True)
    tensor([[1, 2, 3],
            [4, 0, 0]], dtype=int64)
    """
    sequences = list(sequences)
    if padding_side not in ("left", "right"):
        raise ValueError(f"pad_sequence: padding_side is 'right' or 'left', got {padding_side!r}")
    if not sequences:
        raise ValueError("pad_sequence: needs at least one sequence")
    for k, sequence in enumerate(sequences):
        if not isinstance(sequence, ag.Tensor):
            raise TypeError(f"pad_sequence: sequences are tensors, number {k} is {type(sequence).__name__}")
        first = sequences[0]
        if sequence.ndim == 0 or sequence.shape[1:] != first.shape[1:] or sequence.dtype != first.dtype:
            raise ValueError(
                f"pad_sequence: sequences are (length, *), alike in dtype and all sizes but the first; number 0 is {first.dtype} "
                f"{first.shape} and number {k} {sequence.dtype} {sequence.shape}"
            )
    longest = max(len(sequence) for sequence in sequences)
    padded = []
    for sequence in sequences:
        more = longest - len(sequence)
        widths = [(0, more) if padding_side == "right" else (more, 0), *[(0, 0)] * (sequence.ndim - 1)]
        padded.append(ag.pad(sequence, widths, constant_values=padding_value) if more else sequence)
    return ag.stack(padded, axis=0 if batch_first else 1)


def unpad_sequence(padded_sequences: ag.Tensor, lengths: Any, batch_first: bool = False) -> list[ag.Tensor]:
    """The sequences in a padded tensor (T, N, *), or (N, T, *) with `batch_first`, without what is behind their ends.

    lengths: N integers, as a tensor or a sequence.

    Raises:
        ValueError: there is another number of lengths, or one is longer than T.

    >>> import autograd as ag, nn
    >>> nn.utils.rnn.unpad_sequence(ag.tensor([[1, 2, 3], [4, 0, 0]]), [3, 1], batch_first=True)
    [tensor([1, 2, 3], dtype=int64), tensor([4], dtype=int64)]
    """
    if padded_sequences.ndim < 2:
        raise ValueError(f"unpad_sequence: needs a tensor (T, N, *) or (N, T, *), got shape {padded_sequences.shape}")
    numbers = [int(n) for n in (lengths.numpy() if isinstance(lengths, ag.Tensor) else lengths)]
    batch = padded_sequences if batch_first else ag.swapaxes(padded_sequences, 0, 1)
    if len(numbers) != batch.shape[0] or any(not 0 <= n <= batch.shape[1] for n in numbers):
        raise ValueError(
            f"unpad_sequence: {batch.shape[0]} sequences of at most {batch.shape[1]} steps need as many lengths within that, "
            f"got {numbers}"
        )
    return [batch[k, :n] for k, n in enumerate(numbers)]


def _no_packing(name: str) -> NoReturn:
    raise NotImplementedError(
        f"{name}: there are no packed sequences. Pad with nn.utils.rnn.pad_sequence, and leave out the results behind the ends "
        "(unpad_sequence, or a mask in the loss); a last state is the result at a sequence's own last step"
    )


def pack_padded_sequence(*args: Any, **kwargs: Any) -> NoReturn:
    """Not available: raises NotImplementedError, which says what to do instead."""
    _no_packing("pack_padded_sequence")


def pad_packed_sequence(*args: Any, **kwargs: Any) -> NoReturn:
    """Not available: raises NotImplementedError, which says what to do instead."""
    _no_packing("pad_packed_sequence")


def pack_sequence(*args: Any, **kwargs: Any) -> NoReturn:
    """Not available: raises NotImplementedError, which says what to do instead."""
    _no_packing("pack_sequence")
