"""What the table of operations does not say of tile, repeat, roll, pad and their like: memory, and other forms of arguments."""

import numpy as np
import pytest

import autograd as ag

SEEDED = {
    "pad": lambda x: ag.pad(x, 1),
    "pad of nothing": lambda x: ag.pad(x, 0),
    "pad at the edge": lambda x: ag.pad(x, 1, "edge"),
    "roll": lambda x: ag.roll(x, 1, axis=0),
    "roll by nothing": lambda x: ag.roll(x, 0),
    "tile": lambda x: ag.tile(x, 2),
    "tile once": lambda x: ag.tile(x, 1),
    "repeat": lambda x: ag.repeat(x, 2),
    "repeat once": lambda x: ag.repeat(x, 1),
    "repeat each": lambda x: ag.repeat(x, (1, 2, 1)),
    "meshgrid": lambda x: ag.meshgrid(x, x)[0],
    "rot90": lambda x: ag.rot90(ag.reshape(x, (3, 1))),
    "reshape": lambda x: ag.reshape(x, (1, 3), copy=True),
    "nan_to_num": ag.nan_to_num,
}
COPIES = [name for name in SEEDED if name not in ("rot90",)]


@pytest.mark.parametrize("name", SEEDED)
def test_t1_gradients_share_no_memory_with_their_seed(name):
    x = ag.tensor([1.0, 2.0, 3.0], requires_grad=True)
    out = SEEDED[name](x)
    seed = ag.ones_like(out)
    out.backward(seed, retain_graph=True)
    first = x.grad.numpy().copy()
    assert not np.shares_memory(x.grad.numpy(), seed.numpy())
    out.backward(seed)
    assert np.array_equal(x.grad.numpy(), 2 * first) and (seed.numpy() == 1).all()


@pytest.mark.parametrize("name", COPIES)
def test_results_have_memory_of_their_own(name):
    x = ag.tensor([1.0, 2.0, 3.0])
    out = SEEDED[name](x)
    assert not np.shares_memory(out.numpy(), x.numpy()) and out.numpy().flags.writeable


def test_views_are_views():
    x = ag.zeros((2, 3))
    for out in (ag.rot90(x), ag.rot90(x, 0), ag.atleast_3d(x), ag.atleast_nd(x, ndim=4), *ag.broadcast_arrays(x, x)):
        assert np.shares_memory(out.numpy(), x.numpy())


def test_pad_of_some_axes_by_name():
    x = np.arange(6.0).reshape(2, 3)
    for widths in ({1: (1, 2)}, {-1: 2}, {0: (0, 1), 1: 1}):
        full = [(0, 0), (0, 0)]
        for axis, width in widths.items():
            full[axis] = width if isinstance(width, tuple) else (width, width)
        assert np.array_equal(ag.pad(ag.tensor(x), widths).numpy(), np.pad(x, full))


def test_repeats_may_be_a_tensor_or_an_array():
    x = ag.tensor([1, 2, 3])
    for repeats in (ag.tensor([2, 0, 1]), np.array([2, 0, 1]), [2, 0, 1], ag.tensor([2, 0, 1], dtype=ag.uint8)):
        assert ag.repeat(x, repeats).tolist() == [1, 1, 3]
    assert ag.repeat(x, ag.tensor(2)).tolist() == ag.repeat(x, ag.tensor([2])).tolist() == [1, 1, 2, 2, 3, 3]
    with pytest.raises(TypeError, match="must be integers, got float32"):
        ag.repeat(x, ag.tensor([1.0, 2.0, 3.0]))


def test_repeated_slices_accumulate():
    x = ag.tensor([1.0, 2.0, 3.0], requires_grad=True)
    ag.repeat(x, [2, 0, 3]).sum().backward()
    assert x.grad.tolist() == [2.0, 0.0, 3.0]


def test_sums_and_products_have_the_dtype_that_is_asked_for():
    x = ag.tensor([100, 100], dtype=ag.int8)
    assert ag.sum(x, dtype=ag.int8).tolist() == -56 and ag.sum(x, dtype=ag.int8).dtype == ag.int8
    assert ag.sum(x).dtype == ag.int64 and ag.prod(x, dtype=ag.uint8).dtype == ag.uint8
    y = ag.tensor([1.0, 2.0], requires_grad=True)
    total = ag.sum(y, dtype=ag.float64)
    total.backward()
    assert total.dtype == ag.float64 and y.grad.dtype == ag.float32
