"""Random programs, step by step, against a tape in NumPy that is too simple to be wrong.

The tape never shares memory between gradients, keeps every node as (value, parents, rules), and a recorded change in
place is nothing but a new node under the old name. What the engine does to be fast (views, ownership of gradients, freed
graphs, versions) must not show.
"""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule, run_state_machine_as_test

import autograd as ag

SHAPES = [(2, 3), (3,), (2, 1), ()]


class Tape:
    """A naive engine: one node per value, and a backward pass in the reverse order of making."""

    def __init__(self) -> None:
        self.values: list[np.ndarray] = []
        self.parents: list[list] = []  # per node: (parent, rule from its gradient to the parent's)
        self.grads: dict[int, np.ndarray] = {}  # of leaves

    def add(self, value, *parents, leaf: bool = False) -> int:
        self.values.append(np.array(value))
        self.parents.append([(p, r) for p, r in parents if self.needs(p)])
        if leaf:
            self.grads[len(self.values) - 1] = np.zeros(np.shape(value))
        return len(self.values) - 1

    def needs(self, node: int) -> bool:
        return node in self.grads or bool(self.parents[node])

    def fit(self, grad, node: int):
        shape = self.values[node].shape
        grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
        return grad.sum(axis=tuple(k for k, s in enumerate(shape) if s == 1), keepdims=True).reshape(shape)

    def backward(self, root: int) -> None:
        pending = {root: np.ones_like(self.values[root])}
        for node in range(root, -1, -1):
            if node in pending:
                for parent, back in self.parents[node]:
                    pending[parent] = pending.get(parent, 0.0) + self.fit(back(pending[node]), parent)
                if node in self.grads:
                    self.grads[node] = self.grads[node] + pending[node]

    def binary(self, name: str, a: int, b: int) -> int:
        x, y = self.values[a], self.values[b]
        if name == "add":
            return self.add(x + y, (a, lambda g: g), (b, lambda g: g))
        if name == "subtract":
            return self.add(x - y, (a, lambda g: g), (b, lambda g: -g))
        return self.add(x * y, (a, lambda g: g * y), (b, lambda g: g * x))


class Var:
    """A tensor, its node on the tape, and whom it shares memory with (a group of names, itself included)."""

    def __init__(self, tensor: ag.Tensor, node: int, group: list[Var] | None = None) -> None:
        self.tensor, self.node = tensor, node
        self.group = [] if group is None else group
        self.group.append(self)


def fits(a: Var, b: Var) -> bool:
    try:
        np.broadcast_shapes(a.tensor.shape, b.tensor.shape)
    except ValueError:
        return False
    return True


class Programs(RuleBasedStateMachine):
    variables = Bundle("variables")

    def __init__(self) -> None:
        super().__init__()
        self.tape = Tape()
        self.leaves: list[Var] = []
        self.known: list[Var] = []
        self.generator = np.random.default_rng(3)

    def var(self, tensor: ag.Tensor, node: int, group: list[Var] | None = None) -> Var:
        assert tensor.requires_grad == self.tape.needs(node)
        found = Var(tensor, node, group)
        self.known.append(found)
        return found

    @initialize(target=variables)
    def begin(self):
        return multiple(*[self.leaf(shape, True) for shape in SHAPES])

    def leaf(self, shape, requires_grad):
        value = self.generator.uniform(-1.2, 1.2, shape)
        found = self.var(ag.tensor(value, requires_grad=requires_grad), self.tape.add(value, leaf=requires_grad))
        if requires_grad:
            self.leaves.append(found)
        return found

    @rule(target=variables, shape=st.sampled_from(SHAPES))
    def constant(self, shape):
        return self.leaf(shape, False)

    @rule(target=variables, name=st.sampled_from(["add", "subtract", "multiply"]), a=variables, b=variables)
    def combine(self, name, a, b):
        if not fits(a, b):
            return multiple()
        return self.var(getattr(ag, name)(a.tensor, b.tensor), self.tape.binary(name, a.node, b.node))

    @rule(target=variables, a=variables)
    def tanh(self, a):
        y = np.tanh(self.tape.values[a.node])
        return self.var(ag.tanh(a.tensor), self.tape.add(y, (a.node, lambda g: g * (1 - y * y))))

    @rule(target=variables, a=variables, kind=st.sampled_from(["slice", "reverse", "reshape", "permute"]))
    def view(self, a, kind):
        x, shape = self.tape.values[a.node], a.tensor.shape
        if not shape:
            return multiple()
        if kind in ("slice", "reverse"):
            key = slice(1, None) if kind == "slice" else slice(None, None, -1)

            def back(g):
                full = np.zeros(shape)
                full[key] = g
                return full

            return self.var(a.tensor[key], self.tape.add(x[key], (a.node, back)), a.group)
        if kind == "permute":
            return self.var(a.tensor.T, self.tape.add(x.T, (a.node, np.transpose)), a.group)
        new = ag.reshape(a.tensor, -1)
        group = a.group if np.shares_memory(new.detach().numpy(), a.tensor.detach().numpy()) else None
        return self.var(new, self.tape.add(x.reshape(-1), (a.node, lambda g: g.reshape(shape))), group)

    @rule(target=variables, a=variables)
    def detach(self, a):
        return self.var(a.tensor.detach(), self.tape.add(self.tape.values[a.node]), a.group)

    @rule(target=variables, parts=st.lists(variables, min_size=1, max_size=3))
    def concat(self, parts):
        parts = [p for p in parts if p.tensor.ndim and p.tensor.shape[1:] == parts[0].tensor.shape[1:]]
        if len(parts) == 0 or parts[0].tensor.shape[0] > 6:
            return multiple()
        ends = np.cumsum([0, *(p.tensor.shape[0] for p in parts)])
        links = [(p.node, lambda g, low=low, high=high: g[low:high]) for p, low, high in zip(parts, ends, ends[1:], strict=False)]
        value = np.concatenate([self.tape.values[p.node] for p in parts])
        return self.var(ag.concat([p.tensor for p in parts]), self.tape.add(value, *links))

    @rule(a=variables, b=variables, name=st.sampled_from(["add", "multiply"]))
    def change_with_a_record(self, a, b, name):
        """a += b: allowed where nobody else shares a's memory, and then a is another node under the same name."""
        if not fits(a, b) or np.broadcast_shapes(a.tensor.shape, b.tensor.shape) != a.tensor.shape:
            return
        shared = len(a.group) > 1
        recorded = self.tape.needs(a.node) or self.tape.needs(b.node)
        operation = getattr(a.tensor, name + "_")
        if recorded and (shared or a.node in self.tape.grads):
            try:
                operation(b.tensor)
            except RuntimeError as error:
                assert "in-place" in str(error)
                return
            raise AssertionError("a recorded change of shared memory, or of a leaf, was let through")
        if shared:
            return
        self.stale |= {id(a)}
        operation(b.tensor)
        a.node = self.tape.binary(name, a.node, b.node)

    @rule(a=variables, scale=st.sampled_from([0.5, -1.0]))
    def change_without_a_record(self, a, scale):
        """Under no_grad: every name of the memory sees the new values, no history changes."""

    @rule(a=variables, retain=st.booleans())
    def backward(self, a, retain):
        """Twice on a retained graph, which is then freed or kept."""
