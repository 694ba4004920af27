"""scaled_dot_product_attention: values, gradients to second order, masks of every shape, memory."""

import numpy as np
import pytest

import autograd as ag
from autograd.ops.attention import attention_and_weights
from autograd.ops.attention import scaled_dot_product_attention as attend
from kernels import memory


def draw(*shape, seed=0, grad=True):
    return ag.tensor(np.random.default_rng(seed + sum(shape)).standard_normal(shape), requires_grad=grad)


def by_hand(q, k, v, mask=None, causal=False, scale=None):
    """The definition, in NumPy."""
    q, k, v = (x.detach().numpy() for x in (q, k, v))
    scores = (q.shape[-1] ** -0.5 if scale is None else scale) * (q @ k.swapaxes(-1, -2))
    if mask is not None:
        mask = mask.detach().numpy()
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    if causal:
        scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf)
    largest = scores.max(-1, keepdims=True)
    e = np.exp(scores - np.where(np.isinf(largest), 0, largest))
    total = e.sum(-1, keepdims=True)
    return e / np.where(total == 0, 1, total) @ v


@pytest.mark.parametrize("shapes", [
    ((3, 4), (5, 4), (5, 2)), ((2, 3, 4), (2, 5, 4), (2, 5, 4)), ((2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 6, 5)),
    ((2, 3, 2, 4, 5), (2, 3, 2, 6, 5), (2, 3, 2, 6, 5)), ((2, 3, 4, 5), (1, 3, 6, 5), (3, 6, 2)), ((4, 5), (2, 6, 5), (1, 6, 5)),
], ids=str)  # fmt: skip
def test_any_axes_in_front(shapes):
    q, k, v = (draw(*shape, seed=n) for n, shape in enumerate(shapes))
    lead = np.broadcast_shapes(*[shape[:-2] for shape in shapes])
    length, keys = shapes[0][-2], shapes[1][-2]
    generator = np.random.default_rng(0)
    for shape in ((), (length, keys), (keys,), (length, 1), (*lead, length, keys), (*[1] * len(lead), 1, keys)):
        mask = ag.tensor(generator.random(shape) > 0.3) if shape else None
        np.testing.assert_allclose(attend(q, k, v, mask).detach().numpy(), by_hand(q, k, v, mask), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(attend(q, k, v, is_causal=True, scale=0.3).detach().numpy(), by_hand(q, k, v, None, True, 0.3))
    assert ag.gradcheck(lambda *x: attend(*x), (q, k, v))


MASKS = {
    "none": None,
    "bool": ag.tensor(np.random.default_rng(1).random((2, 1, 3, 5)) > 0.4),
    "nothing": ag.tensor(np.array([[True], [False], [True]]) & np.ones(5, bool)),
    "added": draw(3, 5, grad=False),
}


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("p", [0.0, 0.4])
def test_gradients_to_second_order(kind, p):
    q, k, v = draw(2, 2, 3, 4), draw(2, 2, 5, 4), draw(2, 2, 5, 3)

    def function(q, k, v):
        ag.manual_seed(3)
        return attend(q, k, v, MASKS[kind], dropout_p=p, is_causal=kind == "none")

    assert ag.gradcheck(function, (q, k, v))
    assert ag.gradgradcheck(function, (q, k, v))


def test_the_gradient_of_an_additive_mask():
    q, k, v = draw(2, 3, 4), draw(2, 5, 4), draw(2, 5, 3)
    mask = draw(3, 5)
    assert ag.gradcheck(lambda *x: attend(*x), (q, k, v, mask))
    assert ag.gradgradcheck(lambda *x: attend(*x), (q, k, v, mask))
    with ag.no_grad():
        np.testing.assert_allclose(attend(q, k, v, mask).numpy(), by_hand(q, k, v, mask), rtol=1e-12)


def test_tiles_and_products_agree_dropout_included():
    q, k, v = draw(2, 2, 7, 4), draw(2, 2, 9, 4), draw(2, 2, 9, 3)
    for p in (0.0, 0.5, 1.0):
        ag.manual_seed(5)
        tiles = attend(q, k, v, dropout_p=p)
        ag.manual_seed(5)
        products, weights = attention_and_weights(q, k, v, None, p, False)
        np.testing.assert_allclose(tiles.detach().numpy(), products.detach().numpy(), rtol=1e-12, atol=1e-14)
        assert np.isclose((weights.detach().numpy() == 0).mean(), p, atol=0.2)
    ag.manual_seed(5)
    assert not np.array_equal(attend(q, k, v, dropout_p=0.5).detach().numpy(), attend(q, k, v, dropout_p=0.5).detach().numpy())


def test_rows_without_keys_are_zero_with_zero_gradients():
    q, k, v = draw(1, 1, 2, 3), draw(1, 1, 4, 3), draw(1, 1, 4, 3)
    mask = ag.tensor(np.array([[False] * 4, [True] * 4]))
    out = attend(q, k, v, mask)
    assert (out.detach().numpy()[0, 0, 0] == 0).all()
    out.sum().backward()
    assert (q.grad.numpy()[0, 0, 0] == 0).all() and all(np.isfinite(x.grad.numpy()).all() for x in (q, k, v))
    none = attend(draw(1, 1, 2, 3), draw(1, 1, 0, 3), draw(1, 1, 0, 5))
    assert none.shape == (1, 1, 2, 5) and (none.detach().numpy() == 0).all()


def test_a_value_changed_in_between_is_noticed():
    q, k, v = draw(1, 1, 2, 3), draw(1, 1, 4, 3), draw(1, 1, 4, 3)
    out = attend(q, k, v)
    with ag.no_grad():
        v += 1.0
    with pytest.raises(RuntimeError, match="attention"):
        out.sum().backward()


def test_forward_and_backward_need_memory_in_proportion_to_the_length():
    """At half the length the peak is about half, and far below one row-by-key matrix."""

    def peak(length):
        q, k, v = (ag.randn(1, 2, length, 16, requires_grad=True) for _ in range(3))
        before = memory.allocator.peak = memory.memory_allocated()
        attend(q, k, v, is_causal=True).sum().backward()
        return memory.max_memory_allocated() - before

    kept = memory.allocator.peak
    half, whole = peak(1024), peak(2048)
    memory.allocator.peak = max(kept, memory.allocator.peak)
    assert 0 < whole <= 2.5 * half and whole < 2 * 2048 * 2048 * 4 / 4


def test_what_does_not_fit_is_refused():
    q, k = ag.zeros((2, 3, 4)), ag.zeros((2, 5, 4))
    for call, error, message in (
        (lambda: attend(q, ag.zeros((2, 5, 3)), k), ValueError, "query and key must have equally many features"),
        (lambda: attend(q, k, ag.zeros((2, 4, 4))), ValueError, "key and value must be equally long"),
        (lambda: attend(q, ag.zeros((3, 5, 4)), ag.zeros((3, 5, 4))), ValueError, "in front of length and features must broadcast"),
        (lambda: attend(ag.zeros(4), k, k), ValueError, r"query must be \(..., length, features\), got shape \(4,\)"),
        (lambda: attend(q.astype(ag.int64), k, k), TypeError, "needs floats, the query is int64"),
        (lambda: attend(q, k.astype(ag.float64), k), TypeError, "the query is float32, the key float64"),
        (lambda: attend(q, k, [1.0]), TypeError, "the value must be a tensor, got list"),
        (lambda: attend(q, k, k, ag.zeros((3, 4))), ValueError, r"attn_mask must broadcast to \(..., T, S\) = \(2, 3, 5\)"),
        (lambda: attend(q, k, k, ag.zeros((7, 2, 3, 5))), ValueError, "attn_mask must broadcast"),
        (lambda: attend(q, k, k, ag.zeros((3, 5), dtype=ag.float64)), TypeError, "attn_mask must be bool or float32"),
        (lambda: attend(q, k, k, ag.zeros((3, 5)), is_causal=True), ValueError, "give attn_mask or is_causal, not both"),
        (lambda: attend(q, k, k, dropout_p=1.5), ValueError, "dropout_p must lie between 0 and 1, got 1.5"),
    ):
        with pytest.raises(error, match=message):
            call()
