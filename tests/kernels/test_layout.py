"""Where elements lie, and how several arrays are walked together."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from kernels import layout
from kernels.layout import (
    broadcast_shapes,
    broadcast_strides,
    dense_layout,
    is_contiguous,
    layout_of,
    memory_order,
    merge_dimensions,
)

F4 = np.dtype(np.float32)


def test_equal_layouts_are_one_object():
    a, b = np.zeros((2, 3)), np.ones((2, 3))
    assert layout_of(a) is layout_of(b) is dense_layout((2, 3), np.dtype(np.float64))
    assert layout_of(a) is not layout_of(a.T) and layout_of(a) is not layout_of(a.astype(F4))
    found = layout_of(a.T)
    assert (found.shape, found.strides, found.dtype, found.device) == ((3, 2), (1, 3), np.float64, "cpu")
    assert (found.ndim, found.size, found.contiguous) == (2, 6, False)


@pytest.mark.parametrize("make", [
    lambda: np.zeros((2, 3)), lambda: np.zeros((2, 3)).T, lambda: np.zeros((4, 6))[::2, ::3], lambda: np.zeros(()),
    lambda: np.zeros((0, 3)), lambda: np.zeros((2, 1, 3)).transpose(1, 0, 2), lambda: np.zeros(6)[::-1], lambda: np.zeros((1, 5))[:, ::5],
    lambda: np.broadcast_to(np.zeros(3), (2, 3)), lambda: np.zeros((3, 4))[1:2],
])  # fmt: skip
def test_contiguity_is_numpys(make):
    array = make()
    assert layout_of(array).contiguous == array.flags.c_contiguous


def test_a_field_of_a_record_is_not_aligned():
    records = np.zeros(4, dtype=[("a", "i1"), ("b", "f4")])
    assert not layout_of(records["b"]).aligned and layout_of(np.zeros(4, F4)).aligned


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_dense_layouts_in_any_order(order):
    shape = (2, 3, 4)
    array = np.zeros([shape[a] for a in order], F4).transpose(np.argsort(order))
    assert array.shape == shape and dense_layout(shape, F4, order) is layout_of(array)
    if len(set(array.strides)) == 3:
        other = layout_of(array)
        assert memory_order([other], shape) == order


def test_memory_order_follows_the_first_full_operand():
    transposed = layout_of(np.zeros((3, 2)).T)
    plain = layout_of(np.zeros((2, 3)))
    row = layout_of(np.zeros((1, 3)))
    assert memory_order([transposed, row], (2, 3)) == (1, 0)
    assert memory_order([transposed, plain], (2, 3)) == (0, 1)  # a contiguous one decides
    assert memory_order([layout_of(np.zeros((3, 2)).T[::-1])], (2, 3)) == (0, 1)  # negative strides
    assert memory_order([layout_of(np.zeros((6, 2)).T[:, ::2])], (2, 3)) == (0, 1)  # gaps
    assert memory_order([row], (4, 3)) == (0, 1) and memory_order([], ()) == ()
    assert memory_order([layout_of(np.zeros((0, 2)).T)], (2, 0)) == (0, 1)


def test_endless_new_layouts_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(layout, "_LIMIT", len(layout._interned) + 10)
    for n in range(100, 200):
        layout_of(np.zeros(n))
        assert len(layout._interned) <= layout._LIMIT


@pytest.mark.parametrize("shapes", [
    ((2, 3), (3,)), ((4, 1), (1, 5)), ((), (2,)), ((0, 3), (1, 3)), ((1,), (0,)), ((2, 1, 4), (3, 1), (4,)), ((), ()), ((5,),),
])  # fmt: skip
def test_broadcast_shapes_are_numpys(shapes):
    assert broadcast_shapes("test", *shapes) == np.broadcast_shapes(*shapes)


@pytest.mark.parametrize(("shapes", "message"), [
    (((2, 3), (4,)), "test: shapes (2, 3) and (4,) do not broadcast: sizes 3 and 4 at axis -1 differ and neither is 1"),
    (((0,), (2,)), "test: shapes (0,) and (2,) do not broadcast: sizes 0 and 2 at axis -1 differ and neither is 1"),
    (((2, 1), (3, 1), (1, 1)), "test: shapes (2, 1) and (3, 1) and (1, 1) do not broadcast: sizes 2 and 3 at axis -2"),
])  # fmt: skip
def test_shapes_that_do_not_broadcast_are_named(shapes, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        broadcast_shapes("test", *shapes)


def test_stretched_dimensions_have_stride_0():
    array = np.zeros((3, 1))
    assert broadcast_strides(layout_of(array), (2, 3, 4)) == (0, 1, 0)
    assert broadcast_strides(layout_of(array), (3, 1)) == (1, 1)
    assert broadcast_strides(layout_of(np.zeros(())), (2, 2)) == (0, 0)


def walked(shape, strides):
    """The offsets in the order of the walk."""
    places = np.zeros(shape, np.int64)
    for axis, stride in enumerate(strides):
        places += stride * np.arange(shape[axis]).reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return places.ravel().tolist()


@pytest.mark.parametrize(("shape", "strides", "dimensions"), [
    ((2, 3, 4), [(12, 4, 1)], 1), ((2, 3, 4), [(12, 4, 1), (0, 4, 1)], 2), ((2, 3, 4), [(0, 0, 0)], 1), ((2, 3, 4), [(1, 2, 6)], 3),
    ((1, 3, 1), [(7, 1, 9)], 1), ((2, 3), [(-3, -1)], 1), ((), [()], 0), ((1, 1), [(5, 5)], 0), ((2, 0), [(0, 1)], None),
    ((4, 5, 6), [(30, 6, 1), (0, 6, 1)], 2), ((3, 4, 5), [(20, 5, 1), (1, 3, 12)], 3),
])  # fmt: skip
def test_merging_dimensions_keeps_the_walk(shape, strides, dimensions):
    sizes, merged = merge_dimensions(shape, strides)
    assert dimensions is None or len(sizes) == dimensions
    assert np.prod(sizes, dtype=int) == np.prod(shape, dtype=int) and 1 not in sizes
    for before, after in zip(strides, merged, strict=True):
        assert walked(shape, before) == walked(sizes, after)


def test_contiguity_of_strides():
    assert is_contiguous((2, 3), (3, 1)) and not is_contiguous((2, 3), (1, 2))
    assert is_contiguous((2, 1, 3), (3, 99, 1)) and is_contiguous((0, 3), (7, 7)) and is_contiguous((), ())
