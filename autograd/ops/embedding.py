"""Looking rows up in a table, whose gradient adds up at the rows that were read."""

from __future__ import annotations

from autograd.ops.base import Operation
from autograd.ops.index import Gather, setitem
from autograd.ops.selection import _wrapped
from autograd.tensor import Tensor


class Embedding(Operation):
    """The rows of a table at indices; one row may be left without a gradient."""

    explanation = "the sums of {g} at the rows that were read"

    def forward(self, table, *, indices, padding):
        self.indices, self.padding, self.before = indices, padding, table.shape
        return self.backend.gather(table, (indices,), 0)

    def backward(self, grad):
        return AddRows.apply(grad, indices=self.indices, padding=self.padding, shape=self.before)


class AddRows(Operation):
    """The adjoint of `Embedding`."""

    fresh = True
    explanation = "the rows of {g} that were read"

    def forward(self, grad, *, indices, padding, shape):
        self.indices, self.padding = indices, padding
        out = self.backend.scatter_add(grad, (indices,), shape, 0)
        if padding is not None:
            self.backend.fill(out[padding : padding + 1], 0.0)
        return out

    def backward(self, upstream):
        if self.padding is not None:
            upstream = upstream.clone()
            setitem(upstream, self.padding, 0.0)
        return Gather.apply(upstream, indices=(self.indices,), start=0)


def embedding(table: Tensor, indices: Tensor, padding: int | None = None) -> Tensor:
    """table[indices]: (rows, columns) at integers of any shape gives (*shape, columns).

    padding: a row that gets no gradient.

    Raises:
        IndexError: an index is negative or not below the number of rows (on CUDA when elements are next read).
    """
    return Embedding.apply(table, indices=_wrapped(table, indices, 0, negative=False), padding=padding)

