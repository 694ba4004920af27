"""Random programs, run on the engine and on one that is too simple to be wrong.

The naive engine keeps every step of a program on a tape of plain NumPy arrays: a step is a function from the arrays made so
far to a new one. Gradients come from central differences of the tape played again, so it has no derivative rules at all;
what a step was recorded as (with gradient, detached, under no_grad) is the only thing that it knows about autodiff.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

import autograd as ag

UNARY = {
    "sin": (np.sin, lambda x: x.sin()), "tanh": (np.tanh, lambda x: x.tanh()), "negate": (np.negative, lambda x: -x),
    "double": (lambda x: x + x, lambda x: x + x), "square": (np.square, lambda x: x * x),
    "transposed": (lambda x: x.T, lambda x: x.T), "reversed": (lambda x: x[::-1], lambda x: x[::-1]),
    "row stretched": (lambda x: np.broadcast_to(x[:1], x.shape), lambda x: ag.broadcast_to(x[:1], x.shape)),
    "swapped": (lambda x: np.concatenate([x[1:], x[:1]]), lambda x: ag.concat([x[1:], x[:1]])),
    "centred": (lambda x: x - x.mean(0), lambda x: x - x.mean(axis=0)),
    "softmax": (lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True), lambda x: ag.softmax(x)),
}  # fmt: skip
BINARY = {
    "+": (np.add, lambda a, b: a + b), "-": (np.subtract, lambda a, b: a - b), "*": (np.multiply, lambda a, b: a * b),
    "@": (lambda a, b: a @ b * 0.5, lambda a, b: a @ b * 0.5), "row": (lambda a, b: a + b[0], lambda a, b: a + b[0]),
}  # fmt: skip
SHAPE, STEP = (2, 2), 1e-6


class Naive:
    """A tape of steps; `play` computes all arrays anew, with one leaf moved. Gradients are differences of that."""

    def __init__(self) -> None:
        self.steps: list[tuple] = []  # (kind, function or value, numbers of the operands)

    def add(self, kind, function, *operands) -> int:
        self.steps.append((kind, function, operands))
        return len(self.steps) - 1

    def play(self, leaf: int = -1, shift: np.ndarray | float = 0.0, frozen: list | None = None) -> list[np.ndarray]:
        made: list[np.ndarray] = []
        for number, (kind, function, operands) in enumerate(self.steps):
            if kind == "leaf":
                made.append(function + shift if number == leaf else function)
            elif kind == "constant":  # detached or made under no_grad: it does not move with the leaves
                made.append(function(*[made[o] for o in operands]) if frozen is None else frozen[number])
            else:
                made.append(function(*[made[o] for o in operands]))
        return made

    def gradient(self, output: int, leaf: int, seed: np.ndarray) -> np.ndarray:
        frozen, found = self.play(), np.zeros(SHAPE)
        for place in np.ndindex(SHAPE):
            shift = np.zeros(SHAPE)
            shift[place] = STEP
            up, down = (self.play(leaf, sign * shift, frozen)[output] for sign in (1, -1))
            found[place] = np.sum(seed * (up - down)) / (2 * STEP)
        return found


class Programs(RuleBasedStateMachine):
    values = Bundle("values")

    @initialize(target=values, seed=st.integers(0, 1000))
    def start(self, seed):
        self.naive, self.tensors, self.leaves = Naive(), [], {}
        self.generator = np.random.default_rng(seed)
        return self.new_leaf()

    def enter(self, number, tensor):
        self.tensors.append(tensor)
        assert len(self.tensors) == number + 1
        return number

    @precondition(lambda self: len(self.tensors) < 25)
    @rule(target=values)
    def new_leaf(self):
        array = self.generator.uniform(-1, 1, SHAPE)
        number = self.naive.add("leaf", array.copy())
        self.leaves[number] = np.zeros(SHAPE)
        return self.enter(number, ag.tensor(array, requires_grad=True))

    @precondition(lambda self: len(self.tensors) < 25)
    @rule(target=values, x=values, name=st.sampled_from(sorted(UNARY)))
    def unary(self, x, name):
        plain, ours = UNARY[name]
        return self.enter(self.naive.add("step", plain, x), ours(self.tensors[x]))

    @precondition(lambda self: len(self.tensors) < 25)
    @rule(target=values, a=values, b=values, name=st.sampled_from(sorted(BINARY)))
    def binary(self, a, b, name):
        plain, ours = BINARY[name]
        return self.enter(self.naive.add("step", plain, a, b), ours(self.tensors[a], self.tensors[b]))

    @rule(target=values, x=values)
    def detached(self, x):
        return self.enter(self.naive.add("constant", lambda a: a, x), self.tensors[x].detach().clone())

    @rule(target=values, x=values, name=st.sampled_from(sorted(UNARY)))
    def unrecorded(self, x, name):
        plain, ours = UNARY[name]
        with ag.no_grad():
            made = ours(self.tensors[x])
        assert not made.requires_grad
        return self.enter(self.naive.add("constant", plain, x), made.clone())

    @rule(target=values, x=values, y=values, operator=st.sampled_from(["+", "*", "-"]))
    def in_place_on_a_copy(self, x, y, operator):
        """A recorded in-place form is the out-of-place one; the old value is gone."""
        made = self.tensors[x].clone()
        other = self.tensors[y]
        if operator == "+":
            made += other
        elif operator == "*":
            made *= other
        else:
            made -= other
        plain = BINARY[operator][0]
        return self.enter(self.naive.add("step", plain, x, y), made)

    @rule(target=values, x=values, y=values, row=st.integers(-2, 1))
    def assigned(self, x, y, row):
        made = self.tensors[x] * 1.0
        made[row] = self.tensors[y][0]

        def plain(a, b):
            out = a.copy()
            out[row] = b[0]
            return out

        return self.enter(self.naive.add("step", plain, x, y), made)

    @rule(x=values)
    def a_leaf_is_updated(self, x):
        """What an optimizer does. Results made before keep their values; graphs that saved the leaf cannot go back."""
        if x not in self.leaves:
            return
        used = any(x in operands for _, _, operands in self.naive.steps)
        if used:
            return
        with ag.no_grad():
            self.tensors[x] *= 0.5
        self.naive.steps[x] = ("leaf", self.naive.steps[x][1] * 0.5, ())

    @rule(x=values, seed=st.integers(0, 99), times=st.integers(1, 2))
    def backward(self, x, seed, times):
        tensor = self.tensors[x]
        upstream = np.random.default_rng(seed).uniform(-1, 1, SHAPE)
        if not tensor.requires_grad:
            with pytest.raises(RuntimeError, match="does not require grad"):
                tensor.backward(ag.tensor(upstream))
            return
        for _ in range(times):
            tensor.backward(ag.tensor(upstream), retain_graph=True)
        for leaf in self.leaves:
            self.leaves[leaf] = self.leaves[leaf] + times * self.naive.gradient(x, leaf, upstream)

    @rule(x=values, seed=st.integers(0, 99))
    def gradients_with_a_graph(self, x, seed):
        """The same through `gradients`, recorded: it must not touch any .grad."""
        tensor = self.tensors[x]
        if not tensor.requires_grad:
            return
        upstream = np.random.default_rng(seed).uniform(-1, 1, SHAPE)
        leaves = list(self.leaves)
        found = ag.gradients(
            tensor, [self.tensors[k] for k in leaves], ag.tensor(upstream), retain_graph=True, create_graph=True, allow_unused=True
        )
        for leaf, gradient in zip(leaves, found, strict=True):
            mine = np.zeros(SHAPE) if gradient is None else gradient.detach().numpy()
            self.compare(mine, self.naive.gradient(x, leaf, upstream))

    def compare(self, mine, theirs):
        assert np.allclose(mine, theirs, rtol=1e-4, atol=1e-5 * max(1.0, np.abs(theirs).max()))

    @invariant()
    def values_agree(self):
        if hasattr(self, "naive"):
            for tensor, array in zip(self.tensors, self.naive.play(), strict=True):
                assert np.allclose(tensor.detach().numpy(), array, rtol=1e-9, atol=1e-12)

    @invariant()
    def gradients_agree(self):
        if hasattr(self, "naive"):
            for leaf, expected in self.leaves.items():
                gradient = self.tensors[leaf].grad
                self.compare(np.zeros(SHAPE) if gradient is None else gradient.numpy(), expected)

    @invariant()
    def gradients_share_no_memory(self):
        if hasattr(self, "naive"):
            kept = [self.tensors[leaf].grad.numpy() for leaf in self.leaves if self.tensors[leaf].grad is not None]
            kept += [self.tensors[leaf].detach().numpy() for leaf in self.leaves]
            assert not any(np.may_share_memory(a, b) for k, a in enumerate(kept) for b in kept[:k])


TestPrograms = Programs.TestCase
TestPrograms.settings = settings(max_examples=40, stateful_step_count=25)
