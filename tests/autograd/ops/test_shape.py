"""Shapes: views where NumPy gives views, adjoints that undo them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag


def counted(*shape: int):
    return ag.tensor(np.arange(float(np.prod(shape))).reshape(shape), requires_grad=True)


VIEWS = {
    "reshape": lambda t: t.reshape((3, 2)),
    "transpose": lambda t: t.T,
    "expand_dims": lambda t: t.expand_dims(1),
    "squeeze": lambda t: t[None].squeeze(0),
    "slice": lambda t: t[:, 1:],
    "flip": lambda t: ag.flip(t),
    "broadcast_to": lambda t: ag.broadcast_to(t, (4, 2, 3)),
    "split": lambda t: ag.split(t, 1)[1],
    "unstack": lambda t: ag.unstack(t)[1],
    "moveaxis": lambda t: ag.moveaxis(t, 0, 1),
    "ravel": lambda t: t.ravel(),
    "matrix_transpose": lambda t: t.mT,
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_share_memory(name):
    base = ag.tensor(np.arange(6.0).reshape(2, 3))
    view = VIEWS[name](base)
    assert np.shares_memory(view.numpy(), base.numpy())
    base += 1
    assert np.isin(view.numpy(), base.numpy()).all()


@pytest.mark.parametrize("make", [lambda t: ag.concat([t]), ag.clone, lambda t: ag.stack([t]), lambda t: t.T.reshape((6,)),
                                  lambda t: t.T.ravel(), lambda t: t.astype(ag.float64)])  # fmt: skip
def test_copies_do_not(make):
    base = ag.tensor(np.arange(6.0).reshape(2, 3))
    assert not np.shares_memory(make(base).numpy(), base.numpy())


def test_t32_reshape_of_what_is_not_contiguous():
    x = counted(2, 3, 4)
    for source in (lambda t: t.permute_dims((1, 2, 0)), lambda t: t[:, ::2], lambda t: ag.flip(t, axis=1), lambda t: t.T):
        x.grad = None
        part = source(x)
        flat = part.reshape((-1,))
        assert flat.tolist() == source(ag.tensor(x)).numpy().ravel().tolist()
        weights = np.arange(1.0, flat.size + 1)
        (flat * ag.tensor(weights)).sum().backward()
        expected = np.zeros((2, 3, 4))
        indices = source(ag.tensor(np.arange(24).reshape(2, 3, 4))).numpy().ravel()
        expected.ravel()[indices] = weights
        assert np.array_equal(x.grad.numpy(), expected)


def test_t32_the_adjoint_of_a_permutation_is_its_inverse():
    """A transposition is its own inverse, a 3-cycle is not."""
    for axes in ((1, 2, 0), (2, 0, 1), (0, 2, 1), (2, 1, 0)):
        x = counted(2, 3, 4)
        upstream = np.random.default_rng(0).normal(size=np.transpose(np.empty((2, 3, 4)), axes).shape)
        x.permute_dims(axes).backward(ag.tensor(upstream))
        assert np.array_equal(x.grad.numpy(), np.transpose(upstream, np.argsort(axes)))


def test_t33_the_same_tensor_twice():
    x = counted(2, 3)
    weights = np.arange(12.0)
    (ag.concat([x, x]).ravel() * ag.tensor(weights)).sum().backward()
    assert np.array_equal(x.grad.numpy().ravel(), weights[:6] + weights[6:])
    x.grad = None
    (ag.stack([x, x], axis=1).ravel() * ag.tensor(weights)).sum().backward()
    by_row = weights.reshape(2, 2, 3)
    assert np.array_equal(x.grad.numpy(), by_row.sum(axis=1))
    x.grad = None
    a, b = ag.split(x, (1, 2), axis=1)
    (ag.concat([b, a, b], axis=1) * 2).sum().backward()
    assert x.grad.tolist() == [[2.0, 4.0, 4.0]] * 2
    x.grad = None
    (ag.flip(x) * x).sum().backward()
    assert np.array_equal(x.grad.numpy(), 2 * np.flip(x.detach().numpy()))


@pytest.mark.parametrize("value", [True, 3, 1.5])
def test_flip_without_axes(value):
    """NumPy's view of a 0-d array by an empty key is a scalar: kernels were handed an address that is none, and crashed."""
    x = ag.asarray(value)
    flipped = ag.flip(x)
    assert isinstance(flipped._data, np.ndarray) and bool(flipped == x) and bool(ag.flip(x, axis=()) == x)


def test_concat_promotes_and_takes_arrays():
    out = ag.concat([ag.ones(2), np.ones(1), [3.0]])
    assert out.dtype == ag.float64 and out.tolist() == [1.0, 1.0, 1.0, 3.0]
    x = ag.ones(2, requires_grad=True)
    ag.concat([x, ag.zeros(1, dtype=ag.float64)]).sum().backward()
    assert x.grad.dtype == ag.float32


def test_shapes_given_one_by_one_or_as_a_tuple():
    x = ag.zeros(2, 3)
    assert x.reshape(3, 2).shape == x.reshape((3, 2)).shape == x.view(3, -1).shape == (3, 2)
    assert x.permute(1, 0).shape == x.permute((1, 0)).shape == x.transpose(0, 1).shape == x.transpose().shape == (3, 2)
    assert x.expand(4, -1, 3).shape == x.broadcast_to((4, 2, 3)).shape == (4, 2, 3)
    assert x.unsqueeze(0).shape == (1, 2, 3) and x.flatten().shape == x.ravel().shape == (6,)


def test_a_stretched_tensor_collects_its_gradient():
    x = ag.tensor([[1.0], [2.0]], requires_grad=True)
    wide = ag.broadcast_to(x, (3, 2, 4))
    (wide * wide).sum().backward()
    assert x.grad.tolist() == [[24.0], [48.0]]
    assert ag.gradgradcheck(lambda t: ag.broadcast_to(t, (3, 2, 2)) ** 3, ag.tensor(np.ones((2, 1)), requires_grad=True))


INDEX = st.one_of(
    st.integers(-3, 2),
    st.builds(slice, st.none() | st.integers(-5, 5), st.none() | st.integers(-5, 5), st.sampled_from([None, 1, 2, -1, -2, 3])),
    st.just(None),
    st.just(Ellipsis),
)


@given(st.lists(INDEX, max_size=5).filter(lambda k: sum(i is Ellipsis for i in k) <= 1).map(tuple))
def test_t29_basic_indexing_equals_numpy(key):
    values = np.arange(36.0).reshape(3, 4, 3)
    x = ag.tensor(values, requires_grad=True)
    try:
        expected = values[key]
    except IndexError:
        with pytest.raises(IndexError, match="getitem"):
            x[key]
        return
    out = x[key]
    assert out.shape == expected.shape and np.array_equal(out.detach().numpy(), expected)
    upstream = np.arange(1.0, expected.size + 1).reshape(expected.shape)
    out.backward(ag.tensor(upstream))
    full = np.zeros_like(values)
    full[key] = upstream
    assert np.array_equal(x.grad.numpy(), full)


@given(st.lists(st.integers(1, 3), min_size=0, max_size=4), st.randoms(use_true_random=False))
def test_permutations_and_their_inverse(shape, random):
    axes = list(range(len(shape)))
    random.shuffle(axes)
    values = np.arange(float(np.prod(shape))).reshape(shape)
    x = ag.tensor(values, requires_grad=True)
    out = x.permute_dims(tuple(axes))
    assert np.array_equal(out.detach().numpy(), np.transpose(values, axes))
    upstream = np.arange(1.0, values.size + 1).reshape(out.shape)
    out.backward(ag.tensor(upstream))
    assert np.array_equal(x.grad.numpy(), np.transpose(upstream, np.argsort(axes)))
