"""einsum: any subscripts give what NumPy's gives, and the order of contraction is a good one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag
from autograd.ops.einsum import greedy_pairs, plan_for


@st.composite
def sums(draw):
    """Subscripts, and shapes that fit them: repeated letters, sizes 0 and 1, ellipses, up to four operands."""
    sizes = {letter: draw(st.sampled_from([0, 1, 2, 3, 3])) for letter in "abcd"}
    dots = draw(st.lists(st.integers(1, 3), max_size=2))
    terms, shapes = [], []
    for _ in range(draw(st.integers(1, 4))):
        letters = draw(st.lists(st.sampled_from("abcd"), max_size=3))
        shape = [1 if letters.count(c) == 1 and draw(st.integers(0, 9)) == 0 else sizes[c] for c in letters]
        if dots and draw(st.booleans()):
            place = draw(st.integers(0, len(letters)))
            own = dots[draw(st.integers(0, len(dots))) :]
            shape[place:place] = [1 if draw(st.integers(0, 4)) == 0 else size for size in own]
            letters.insert(place, "...")
        terms.append("".join(letters))
        shapes.append(tuple(shape))
    text = ",".join(terms)
    if draw(st.booleans()):
        result = draw(st.permutations(sorted(set(text) - set(".,"))))
        result = result[: draw(st.integers(0, len(result)))]
        if "..." in text:
            result = [*result, "..."]
        text += "->" + "".join(result)
    return text, shapes


@given(sums())
def test_any_subscripts(case):
    text, shapes = case
    generator = np.random.default_rng(len(text))
    arrays = [generator.integers(-3, 4, shape).astype(np.float64) for shape in shapes]
    expected = np.einsum(text, *arrays)
    leaves = [ag.tensor(a, requires_grad=True) for a in arrays]
    found = ag.einsum(text, *leaves)
    assert found.shape == expected.shape and np.allclose(found.detach().numpy(), expected)

    # The sum is linear in each operand, so its gradient times the operand is the sum again.
    seed = generator.integers(-2, 3, expected.shape).astype(np.float64)
    gradients = ag.gradients(found, leaves, ag.tensor(seed))
    for array, gradient in zip(arrays, gradients, strict=True):
        assert gradient.shape == array.shape
        assert np.allclose(np.sum(gradient.numpy() * array), np.sum(seed * expected))


def test_the_order_of_contraction_keeps_products_small():
    sizes = dict.fromkeys("ijkl", 50)
    assert greedy_pairs([set("ij"), set("jk"), set("kl"), set("l")], ("i",), sizes) == ((2, 3), (1, 2), (0, 1))
    assert greedy_pairs([set("i"), set("j"), set("i")], ("j",), {"i": 9, "j": 8})[0] == (0, 2)
    shapes = ((50, 50), (50, 50), (50, 50), (50,))
    plan = plan_for("ij,jk,kl,l->i", shapes)
    assert plan is plan_for("ij,jk,kl,l->i", shapes) and [step.product for step in plan.steps] == [ag.matmul] * 3
    assert plan_for("ij,jk->ik", ((2, 3), (3, 4))) == (((), ()), ((1, 0, (), (), ag.matmul, ()),), ())  # nothing but matmul


def test_one_operand_without_sums_is_a_view():
    x = ag.tensor(np.arange(9.0).reshape(3, 3))
    ag.einsum("ii->i", x)[...] = 0.0
    assert x.tolist() == [[0.0, 1.0, 2.0], [3.0, 0.0, 5.0], [6.0, 7.0, 0.0]]
    y = ag.tensor(np.ones((2, 2)), requires_grad=True)
    out = (y * y).sum()
    view = ag.einsum("ij->ji", y)
    with ag.no_grad():
        view[0, 0] = 3.0
    try:
        out.backward()
    except RuntimeError as error:
        assert "in-place" in str(error)
    else:
        raise AssertionError("the change went unnoticed")


def test_spaces_and_second_derivatives_of_three_operands():
    generator = np.random.default_rng(3)
    operands = [generator.normal(size=s) for s in ((2, 3), (3, 2, 2), (2,))]
    assert ag.einsum(" ij , jkl , l -> i k ", *map(ag.tensor, operands)).shape == (2, 2)
    assert ag.gradgradcheck(lambda *t: ag.einsum("ij,jkl,l->ik", *t), operands)
