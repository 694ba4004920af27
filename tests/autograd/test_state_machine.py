"""Random programs, step by step, against a tape in NumPy that is too simple to be wrong.

The tape keeps every node as its parents and rules, and a recorded change in place is nothing but a new node under the
old name. Memory is modelled apart: views are index arrays into it, and it counts its changes. What the engine does to be
fast (views, ownership of gradients, freed graphs, versions) must not show.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule, run_state_machine_as_test

import autograd as ag

SHAPES = [(2, 3), (3,), (2, 1), ()]


class Memory:
    """Elements in one piece, how often they were changed in place, and how many names there are for them."""

    def __init__(self, value: np.ndarray) -> None:
        self.elements, self.changes, self.names = value.reshape(-1).copy(), 0, 0


class Step:
    """A node of the tape: (parent, rule) where a gradient is needed, and (memory, changes) of what a rule reads."""

    def __init__(self, shape: tuple, parents: list[tuple[Step, Callable]], is_leaf: bool = False) -> None:
        self.shape, self.parents, self.is_leaf = shape, [(p, r) for p, r in parents if p.needs], is_leaf
        self.needs, self.reads, self.freed = is_leaf or bool(self.parents), [], False
        self.grad = np.zeros(shape)


def reachable(root: Step) -> list[Step]:
    """Consumers first: every node's gradient is complete before it is passed on."""
    order, seen = [], set()

    def visit(step: Step) -> None:
        if step not in seen:
            seen.add(step)
            for parent, _ in step.parents:
                visit(parent)
            order.append(step)

    visit(root)
    return order[::-1]


def fit(grad: np.ndarray, shape: tuple) -> np.ndarray:
    grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
    return grad.sum(axis=tuple(k for k, s in enumerate(shape) if s != grad.shape[k]), keepdims=True).reshape(shape)


def tape_gradients(root: Step) -> dict[Step, np.ndarray]:
    pending = {root: np.ones(root.shape)}
    for step in reachable(root):
        for parent, back in step.parents:
            pending[parent] = pending.get(parent, 0.0) + fit(back(pending[step]), parent.shape)
    return pending


class Name:
    """A tensor, the tape's node for it, and where its elements are."""

    def __init__(self, tensor: ag.Tensor, step: Step, memory: Memory, index: np.ndarray) -> None:
        self.tensor, self.step, self.memory, self.index = tensor, step, memory, index
        memory.names += 1

    @property
    def value(self) -> np.ndarray:
        return self.memory.elements[self.index]


def binary(kind: str, a: Name, b: Name) -> tuple[np.ndarray, Step]:
    x, y = a.value, b.value
    value, to_a, to_b = {
        "add": (x + y, lambda g: g, lambda g: g),
        "subtract": (x - y, lambda g: g, lambda g: -g),
        "multiply": (x * y, lambda g: g * y, lambda g: g * x),
    }[kind]
    return value, Step(np.shape(value), [(a.step, to_a), (b.step, to_b)])


def fits(a: Name, b: Name) -> tuple | None:
    try:
        shape = np.broadcast_shapes(a.tensor.shape, b.tensor.shape)
    except ValueError:
        return None
    large = any(np.abs(n.value).max() > 100 for n in (a, b))
    return None if large else shape


class Programs(RuleBasedStateMachine):
    names = Bundle("names")

    def __init__(self) -> None:
        super().__init__()
        self.all: list[Name] = []
        self.leaves: list[Name] = []
        self.generator = np.random.default_rng(3)

    def name(self, tensor: ag.Tensor, step: Step, value: np.ndarray) -> Name:
        """A name for new memory."""
        value = np.asarray(value)
        self.all.append(Name(tensor, step, Memory(value), np.arange(value.size).reshape(value.shape)))
        return self.all[-1]

    def alias(self, tensor: ag.Tensor, step: Step, a: Name, index: np.ndarray) -> Name:
        self.all.append(Name(tensor, step, a.memory, index))
        return self.all[-1]

    def source(self, shape: tuple, requires_grad: bool) -> Name:
        value = self.generator.uniform(-1.2, 1.2, shape)
        made = self.name(ag.tensor(value, requires_grad=requires_grad), Step(shape, [], requires_grad), value)
        if requires_grad:
            self.leaves.append(made)
        return made

    @initialize(target=names)
    def leaves_of_all_shapes(self):
        return multiple(*[self.source(shape, True) for shape in SHAPES])

    @rule(target=names, shape=st.sampled_from(SHAPES))
    def constant(self, shape):
        return self.source(shape, False)

    @rule(target=names, kind=st.sampled_from(["add", "subtract", "multiply"]), a=names, b=names)
    def combine(self, kind, a, b):
        if fits(a, b) is None:
            return multiple()
        value, step = binary(kind, a, b)
        if kind == "multiply":
            step.reads = [(o.memory, o.memory.changes) for o, other in ((a, b), (b, a)) if other.step.needs]
        return self.name(getattr(ag, kind)(a.tensor, b.tensor), step, value)

    @rule(target=names, a=names)
    def tanh(self, a):
        y = np.tanh(a.value)
        made = self.name(ag.tanh(a.tensor), Step(y.shape, [(a.step, lambda g: g * (1 - y * y))]), y)
        made.step.reads = [(made.memory, 0)]
        return made

    @rule(target=names, a=names, kind=st.sampled_from(["slice", "reverse", "reshape", "permute"]))
    def view(self, a, kind):
        shape = a.tensor.shape
        if not shape or (kind == "slice" and shape[0] < 2):
            return multiple()
        if kind == "permute":
            axes = tuple(reversed(range(len(shape))))
            return self.alias(ag.permute_dims(a.tensor, axes), Step(shape[::-1], [(a.step, np.transpose)]), a, a.index.T)
        if kind == "reshape":
            flat = ag.reshape(a.tensor, -1)
            step = Step(flat.shape, [(a.step, lambda g: g.reshape(shape))])
            if np.shares_memory(flat.detach().numpy(), a.tensor.detach().numpy()):
                return self.alias(flat, step, a, a.index.reshape(-1))
            return self.name(flat, step, a.value.reshape(-1))
        key = slice(1, None) if kind == "slice" else slice(None, None, -1)

        def back(g):
            full = np.zeros(shape)
            full[key] = g
            return full

        index = a.index[key]
        return self.alias(a.tensor[key], Step(index.shape, [(a.step, back)]), a, index)

    @rule(target=names, a=names)
    def detach(self, a):
        return self.alias(a.tensor.detach(), Step(a.step.shape, []), a, a.index)

    @rule(target=names, a=names, b=names)
    def stack(self, a, b):
        if a.tensor.shape != b.tensor.shape or a.tensor.ndim > 1:
            return multiple()
        step = Step((2, *a.step.shape), [(a.step, lambda g: g[0]), (b.step, lambda g: g[1])])
        return self.name(ag.stack([a.tensor, b.tensor]), step, np.stack([a.value, b.value]))

    @rule(a=names, b=names, kind=st.sampled_from(["add", "multiply"]))
    def change(self, a, b, kind):
        """a += b. With a record it is refused for leaves and shared memory; otherwise a names another node from then."""
        if fits(a, b) != a.tensor.shape:
            return
        change = getattr(a.tensor, f"{kind}_")
        recorded = a.step.needs or b.step.needs
        if recorded and (a.memory.names > 1 or a.step.is_leaf):
            with pytest.raises(RuntimeError, match="in-place"):
                change(b.tensor)
            return
        value, step = binary(kind, a, b)
        change(b.tensor)
        if recorded:
            if kind == "multiply" and a.step.needs and a is not b:
                step.reads = [(b.memory, b.memory.changes)]  # a's own old value is kept as a copy
            a.step = step
        a.memory.elements[a.index] = value
        a.memory.changes += 1

    @rule(a=names, scale=st.sampled_from([0.5, -1.0]))
    def change_unrecorded(self, a, scale):
        """Under no_grad: every name of the memory sees the new elements, and no history changes."""
        with ag.no_grad():
            a.tensor.multiply_(scale)
        a.memory.elements[a.index] *= scale
        a.memory.changes += 1

    @rule(a=names, keep=st.booleans())
    def backward(self, a, keep):
        if not a.step.needs:
            with pytest.raises(RuntimeError, match="does not require grad"):
                a.tensor.backward(ag.ones_like(a.tensor))
            return
        visited = reachable(a.step)
        expected = tape_gradients(a.step)
        inputs, seed = [x.tensor for x in self.leaves], ag.ones_like(a.tensor)
        freed = any(s.freed for s in visited)
        stale = any(memory.changes != count for s in visited for memory, count in s.reads)
        if freed or stale:
            with pytest.raises(RuntimeError, match="a second time|in-place"):
                ag.gradients(a.tensor, inputs, seed, retain_graph=True, allow_unused=True)
            return
        found = ag.gradients(a.tensor, inputs, seed, retain_graph=True, allow_unused=True)
        for leaf, grad in zip(self.leaves, found, strict=True):
            assert (grad is None) == (leaf.step not in expected)
            if grad is not None:
                close(grad, expected[leaf.step])
        a.tensor.backward(seed, retain_graph=True)
        a.tensor.backward(seed, retain_graph=keep)
        close(seed, np.ones(a.step.shape))
        for step in visited:
            step.freed = not keep and not step.is_leaf
            if step.is_leaf:
                step.grad = step.grad + 2 * expected[step]

    @invariant()
    def agree(self):
        for name in self.all:
            assert name.tensor.requires_grad == name.step.needs
            close(name.tensor, name.value)
        grads = [x.tensor.grad for x in self.leaves]
        for leaf, grad in zip(self.leaves, grads, strict=True):
            close(grad if grad is not None else ag.zeros_like(leaf.tensor), leaf.step.grad)
        arrays = [g.numpy() for g in grads if g is not None] + [x.tensor.detach().numpy() for x in self.leaves]
        assert not any(np.shares_memory(x, y) for k, x in enumerate(arrays) for y in arrays[:k])


def close(tensor: ag.Tensor, expected: np.ndarray) -> None:
    found = tensor.detach().numpy()
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * (1 + np.abs(expected).max(initial=0)))


def test_random_programs():
    run_state_machine_as_test(
        Programs,
        settings=settings(
            max_examples=40, stateful_step_count=40, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
