"""Layouts, and how several arrays are walked together."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kernels import layout
from kernels.layout import (
    Layout,
    broadcast_shapes,
    broadcast_strides,
    dense_layout,
    is_contiguous,
    layout_of,
    memory_order,
    merge_dimensions,
)

F32 = np.dtype(np.float32)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def of(shape, strides):
    """A layout with these strides in elements."""
    return Layout(shape, tuple(4 * s for s in strides), F32, "cpu")


# --- one layout --------------------------------------------------------------------------------------------------------


def test_what_a_layout_knows():
    x = np.zeros((3, 4, 5), np.float32)[:, ::2, ::-1]
    one = layout_of(x)
    assert (one.shape, one.strides, one.dtype, one.device, one.ndim, one.size) == ((3, 2, 5), (20, 10, -1), F32, "cpu", 3, 30)
    assert one.aligned and not one.contiguous
    assert repr(one) == "Layout((3, 2, 5), (20, 10, -1), float32, cpu)"


def test_strides_that_are_no_multiple_of_the_element():
    records = np.zeros(4, [("tag", "u1"), ("value", "f4")])
    assert not layout_of(records["value"]).aligned and not layout_of(records["value"]).contiguous
    assert layout_of(np.zeros(4, [("tag", "f4"), ("value", "f4")])["value"]).strides == (2,)


def test_equal_layouts_are_one_object():
    x, y = np.zeros((3, 4), np.float32), np.ones((3, 4), np.float32)
    assert layout_of(x) is layout_of(y) is dense_layout((3, 4), F32)
    different = [x.T, x[::-1], x.astype("f8"), x.astype(">f4"), x[:2], x[None]]
    assert len({layout_of(a) for a in (x, *different)}) == 7


def test_interned_layouts_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(layout, "_LIMIT", 10)
    monkeypatch.setattr(layout, "_interned", {})
    for n in range(25):
        one = dense_layout((n,), F32)
        assert one.shape == (n,) and dense_layout((n,), F32) is one
        assert len(layout._interned) <= 10


@given(hnp.arrays(F32, SHAPES), st.data())
def test_contiguous_means_what_it_means_in_numpy(x, data):
    x = x.transpose(data.draw(st.permutations(range(x.ndim))))
    if x.ndim and data.draw(st.booleans()):
        x = x[:: data.draw(st.sampled_from([1, 2, -1]))]
    assert layout_of(x).contiguous == x.flags.c_contiguous


@given(SHAPES, st.data())
def test_dense_layouts_are_numpys(shape, data):
    order = tuple(data.draw(st.permutations(range(len(shape)))))
    x = np.empty([shape[a] for a in order], F32).transpose(np.argsort(order).astype(int))
    one = dense_layout(shape, F32, order)
    assert one.shape == x.shape == shape
    if x.size:  # NumPy's strides are 0 where there are no elements
        assert one.strides == layout_of(x).strides
    assert dense_layout(shape, F32) is dense_layout(shape, F32, range(len(shape)))
    assert dense_layout(shape, F32).contiguous


@pytest.mark.parametrize(
    ("shape", "strides", "expected"),
    [((), (), True), ((1,), (7,), True), ((3,), (1,), True), ((3,), (-1,), False), ((3,), (0,), False), ((2, 3), (1, 2), False),
     ((2, 1, 3), (3, 99, 1), True), ((0, 3), (5, 5), True), ((3, 0), (0, 0), True)],
)  # fmt: skip
def test_is_contiguous(shape, strides, expected):
    assert is_contiguous(shape, strides) is expected


# --- broadcasting ----------------------------------------------------------------------------------------------------


@given(st.lists(SHAPES, min_size=1, max_size=4))
def test_broadcast_shapes_are_numpys(shapes):
    try:
        expected = np.broadcast_shapes(*shapes)
    except ValueError:
        with pytest.raises(ValueError, match="op: shapes .* do not broadcast"):
            broadcast_shapes("op", *shapes)
    else:
        assert broadcast_shapes("op", *shapes) == expected


def test_the_message_names_the_operation_and_the_shapes():
    with pytest.raises(ValueError) as caught:
        broadcast_shapes("add", (2, 3), (4, 1), (3,))
    assert str(caught.value) == (
        "add: shapes (2, 3) and (4, 1) and (3,) do not broadcast: sizes 2 and 4 at axis -2 differ and neither is 1"
    )
    with pytest.raises(ValueError, match="sizes 0 and 2 at axis -1 differ"):
        broadcast_shapes("add", (0,), (2,))


@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3, min_side=0))
def test_broadcast_strides_are_numpys(shapes):
    x = np.zeros(shapes.input_shapes[0], F32)
    ours = broadcast_strides(layout_of(x), shapes.result_shape)
    theirs = np.broadcast_to(x, shapes.result_shape).strides
    for size, own, numpys in zip(shapes.result_shape, ours, theirs, strict=True):
        assert size <= 1 or 4 * own == numpys or x.size == 0


# --- walking together -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "strides", "merged"),
    [
        ((), [()], ((), ((),))),
        ((1, 1), [(5, 5), (0, 0)], ((), ((), ()))),
        ((4, 5, 6), [(30, 6, 1)], ((120,), ((1,),))),
        ((4, 5, 6), [(30, 6, 1), (0, 6, 1)], ((4, 30), ((30, 1), (0, 1)))),
        ((4, 5, 6), [(30, 6, 1), (5, 1, 0)], ((20, 6), ((6, 1), (1, 0)))),
        ((4, 5, 6), [(0, 0, 0)], ((120,), ((0,),))),
        ((4, 5), [(-5, -1)], ((20,), ((-1,),))),
        ((4, 5), [(-5, 1)], ((4, 5), ((-5, 1),))),
        ((4, 1, 5), [(5, 77, 1), (5, 0, 1)], ((20,), ((1,), (1,)))),
        ((4, 5), [(10, 2)], ((20,), ((2,),))),
        ((4, 5), [(1, 4)], ((4, 5), ((1, 4),))),
    ],
    ids=str,
)
def test_merged_dimensions(shape, strides, merged):
    assert merge_dimensions(shape, strides) == merged


def places(shape, strides):
    """Where each element lies, in the order of the walk."""
    return [sum(i * s for i, s in zip(index, strides, strict=True)) for index in itertools.product(*map(range, shape))]


@given(SHAPES, st.data())
def test_merging_keeps_every_place_in_its_order(shape, data):
    step = st.integers(-8, 8)
    row = st.tuples(*[step] * len(shape))
    dense = dense_layout(shape, F32).strides
    strides = data.draw(st.lists(row | st.just(dense), min_size=1, max_size=3))
    sizes, merged = merge_dimensions(shape, strides)
    assert 1 not in sizes
    for before, after in zip(strides, merged, strict=True):
        assert places(shape, before) == places(sizes, after)


@pytest.mark.parametrize(
    ("layouts", "order"),
    [
        ([of((2, 3), (3, 1))], (0, 1)),
        ([of((2, 3), (1, 2))], (1, 0)),
        ([of((2, 3), (1, 2)), of((2, 3), (3, 1))], (0, 1)),  # one operand in C order decides
        ([of((2, 3), (1, 2)), of((3,), (1,))], (1, 0)),  # an operand that is stretched has no say
        ([of((2, 3), (2, 4))], (0, 1)),  # not dense
        ([of((2, 3), (-1, -2))], (0, 1)),
        ([of((2, 3), (0, 1))], (0, 1)),
        ([of((2, 3, 4), (1, 8, 2))], (1, 2, 0)),
        ([of((2, 0), (1, 2))], (0, 1)),
        ([of((), ())], ()),
    ],
    ids=str,
)
def test_memory_order(layouts, order):
    assert memory_order(layouts, layouts[0].shape) == order


@given(hnp.array_shapes(min_dims=1, max_dims=4, min_side=2, max_side=4), st.data())
def test_the_order_of_dense_memory_is_kept(shape, data):
    order = tuple(data.draw(st.permutations(range(len(shape)))))
    one = dense_layout(shape, F32, order)
    assert memory_order([one], shape) == order
    assert dense_layout(shape, F32, memory_order([one], shape)) is one
