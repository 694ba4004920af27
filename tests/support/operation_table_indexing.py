"""Entries of the table of operations: taking and placing elements by index."""

from __future__ import annotations

import numpy as np
from operation_table import SHAPE, Case, _shaped, add, refuses

import autograd as ag


def _there(x, index):
    """An index on the device of x."""
    return ag.asarray(np.array(index), device=x.device)


def _gather_by(x, dim, index):
    grid = list(np.indices(np.shape(index), sparse=True))
    grid[dim] = np.array(index)
    return x[tuple(grid)]


def _scatter_add_by(x, src, dim, index):
    out, grid = x.copy(), list(np.indices(np.shape(index), sparse=True))
    grid[dim] = np.array(index)
    np.add.at(out, tuple(grid), src[tuple(slice(0, n) for n in np.shape(index))])
    return out


def _index_add_by(x, source, dim, index, alpha=1):
    out = x.copy()
    np.add.at(out, (*[slice(None)] * (dim % x.ndim), np.array(index)), (source * alpha).astype(x.dtype))
    return out


def _put_along(x, values, indices, axis):
    x = x.clone()
    ag.put_along_axis(x, _there(x, indices), values, axis)
    return x


def _put_along_by(x, values, indices, axis):
    x = x.copy()
    np.put_along_axis(x, np.array(indices), values, axis)
    return x


_BESIDE, _SMALL = [[[0, 2, 1, 0]], [[1, 1, -1, 0]]], [[2, 0, 2], [0, 0, 1]]
_shaped("take", lambda x, indices, axis=None: ag.take(x, _there(x, indices), axis=axis), np.take,
        Case((SHAPE,), {"indices": [2, 0, -1, 2], "axis": 1}), Case((SHAPE,), {"indices": [[1, 0], [0, 0]], "axis": 0}),
        Case((SHAPE,), {"indices": 3, "axis": -1}), Case(((4,),), {"indices": [0, 0]}), Case(((0, 3),), {"indices": [1, 1], "axis": 1}),
        Case((SHAPE,), {"indices": np.zeros((0,), int), "axis": 1}), refusals=(
    refuses(lambda: [ag.zeros(2, 3)], ValueError, r"take: a tensor of shape \(2, 3\) needs axis=", indices=[0]),
    refuses(lambda: [ag.zeros(2, 3)], IndexError, r"index 3 is out of range for axis 1 of size 3", indices=[0, 3], axis=1),
    refuses(lambda: [ag.zeros(2, 3)], TypeError, r"take: indices must be integers, got float", indices=[0.5], axis=1),
    refuses(lambda: [ag.zeros(2, 3)], IndexError, r"take: axis 2 is out of range", indices=[0], axis=2),
))  # fmt: skip
_shaped("index_select", lambda x, dim, index: ag.index_select(x, dim, _there(x, index)), lambda x, dim, index: np.take(x, index, dim),
        Case((SHAPE,), {"dim": 1, "index": [2, 0, 2]}))  # fmt: skip
_shaped("take_along_axis", lambda x, indices, axis=-1: ag.take_along_axis(x, _there(x, indices), axis=axis),
        lambda x, indices, axis=-1: np.take_along_axis(x, np.array(indices), axis=axis),
        Case((SHAPE,), {"indices": _BESIDE, "axis": 1}), Case(((2, 3),), {"indices": _SMALL}), Case(((1, 4),), {"indices": [[3, 0], [1, 1]]}),
        refusals=(
    refuses(lambda: [ag.zeros(2, 3)], ValueError, r"take_along_axis: the indices need the tensor's rank", indices=[0]),
    refuses(lambda: [ag.zeros(2, 3)], ValueError, r"take_along_axis: shapes", indices=[[0], [0], [0]]),
    refuses(lambda: [ag.zeros(2, 3)], IndexError, r"index -4 is out of range for axis 1", indices=[[-4], [0]]),
))  # fmt: skip
_shaped("gather", lambda x, dim, index: ag.gather(x, dim, _there(x, index)), _gather_by, Case((SHAPE,), {"dim": 1, "index": _BESIDE}),
        Case(((2, 3),), {"dim": 1, "index": [[2, 0, 2, 2]]}), Case(((2, 3),), {"dim": 0, "index": [[1, 0], [0, 0]]}),
        refusals=(
    refuses(lambda: [ag.zeros(2, 3)], ValueError, r"gather: an index of shape \(3, 1\) does not fit", dim=1, index=[[0], [0], [0]]),
    refuses(lambda: [ag.zeros(2, 3)], IndexError, r"index 2 is out of range for axis 0", dim=0, index=[[0, 2]]),
))  # fmt: skip
add("scatter_add", lambda x, src, dim, index: ag.scatter_add(x, dim, _there(x, index), src), _scatter_add_by, kinds="iuf", cases=(
        Case(((4, 3), (2, 3)), {"dim": 0, "index": _SMALL}), Case(((2, 3), (2, 4)), {"dim": 1, "index": [[0, 0, 0, 2]]}),
        Case(((3,), (0,)), {"dim": 0, "index": np.zeros((0,), int)})), refusals=(
    refuses(lambda: [ag.zeros(2, 3), ag.zeros(2, 3)], ValueError, r"scatter_add: an index of shape", dim=1, index=[0]),
    refuses(lambda: [ag.zeros(2, 3), ag.zeros(1, 3)], ValueError, r"scatter_add: the source of shape \(1, 3\) is smaller", dim=1, index=_SMALL),
    refuses(lambda: [ag.zeros(2, 3), ag.zeros((2, 3), dtype=ag.int64)], TypeError, r"scatter_add: the source must be", dim=1, index=_SMALL),
))  # fmt: skip
add("index_add", lambda x, source, dim, index, alpha=1: ag.index_add(x, dim, _there(x, index), source, alpha=alpha), _index_add_by,
    kinds="iuf", cases=(Case(((2, 3, 4), (2, 5, 4)), {"dim": 1, "index": [0, 2, 2, 0, 2]}),
                        Case(((3, 2), (2, 2)), {"dim": 0, "index": [1, 1], "alpha": 2})), refusals=(
    refuses(lambda: [ag.zeros(2, 3), ag.zeros(2, 3)], ValueError, r"index_add: .*a source of shape \(2, 2\), got", dim=1, index=[0, 0]),
))  # fmt: skip
_shaped("put_along_axis", _put_along, _put_along_by, Case((SHAPE, (2, 1, 4)), {"indices": _BESIDE, "axis": 1}),
        Case(((2, 3), (1, 3)), {"indices": _SMALL, "axis": 1}), Case(((2, 3), ()), {"indices": _SMALL, "axis": 1}), refusals=(
    refuses(lambda: [ag.zeros(1, 3), ag.zeros(2, 1)], ValueError, r"put_along_axis: indices of shape", indices=[[0], [0]], axis=1),
))  # fmt: skip
_shaped("masked_select", ag.masked_select, lambda x, mask: np.broadcast_to(x, np.broadcast_shapes(x.shape, mask.shape))[
            np.broadcast_to(mask, np.broadcast_shapes(x.shape, mask.shape))],
        Case((SHAPE, SHAPE)), Case(((3, 1), (4,))), booleans=(1,), refusals=(
    refuses(lambda: [ag.zeros(2), ag.zeros(2)], TypeError, "masked_select: the mask must be a bool tensor, got float32"),
))  # fmt: skip
_shaped("masked_fill", lambda x, mask: ag.masked_fill(x, mask, 1), lambda x, mask: np.where(mask, np.ones_like(x), x),
        Case((SHAPE, SHAPE)), Case((SHAPE, (3, 1))), booleans=(1,), refusals=(
    refuses(lambda: [ag.zeros(2), [True, False]], TypeError, "masked_fill: the mask must be a bool tensor, got list"),
))  # fmt: skip
add("one_hot", lambda labels: ag.one_hot(labels, 6), lambda labels: (labels[..., None] == np.arange(6)).astype(np.int64),
    kinds="iu", order=0, exact=True, cases=(Case((SHAPE,)), Case(((),)), Case(((0, 2),))), refusals=(
    refuses(lambda: [ag.tensor([0, 6])], IndexError, "index 6 is out of range for axis 1 of size 6"),
    refuses(lambda: [ag.tensor([0, -1])], IndexError, "index -1 is out of range"),
    refuses(lambda: [ag.zeros(2)], TypeError, "one_hot: class indices must be integers, got float32"),
))  # fmt: skip
