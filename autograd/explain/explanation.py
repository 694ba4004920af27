"""What `explain` returns: the backward pass as data, and as text and as a picture."""

from __future__ import annotations

from dataclasses import dataclass, field

from autograd.explain.values import Value


@dataclass(frozen=True, slots=True)
class Made:
    """One tensor of the forward pass: a leaf, a constant, or the result of an operation.

    name: what it is called in the explanation.
    kind: "leaf", "constant" or "operation".
    operation: the operation's name, "" for others.
    expression: how it was made, such as "x * w".
    inputs: the names of the operands that gradients flow to, in order.
    value: None where it is not known.
    source: the line of the program that made it, where it is known (see `Explanation`).
    """

    name: str
    kind: str
    operation: str
    expression: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    value: Value | None
    source: str | None


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one step adds to the gradient of one input.

    to: the input's name.
    local: the local derivative of the result by this input as mathematics, for elementwise operations.
    local_value: its value, where result and input are single numbers.
    rule: how upstream gradient and operands give the amount.
    amount: what is added: None where the derivative is zero whatever the operands are, and nothing is.
    before, after: the input's gradient before and after; before is None for the first contribution.
    note: what there is to say, such as "second use of x: gradients add".
    """

    to: str
    local: str | None
    local_value: float | None
    rule: str
    amount: Value | None
    before: Value | None
    after: Value | None
    note: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the backward pass: from the gradient of an operation's result to what its inputs get.

    index: its place in the pass, from 1.
    name: of the result; operation, expression, source: as in `Made`.
    value: of the result, None where it is not known.
    upstream: the complete gradient of each result by its name (one, for nearly all operations).
    """

    index: int
    name: str
    operation: str
    expression: str
    inputs: tuple[str, ...]
    source: str | None
    value: Value | None
    upstream: dict[str, Value]
    contributions: tuple[Contribution, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gradient:
    """The result for a leaf: its gradient, what `.grad` holds already, and what backward() would make of it.

    With `.grad` None, `total` is the gradient.
    """

    name: str
    value: Value
    held: Value | None
    total: Value


@dataclass(repr=False, slots=True)
class Explanation:
    """A backward pass, step by step. `print` it, read `.steps`, or draw `.to_dot()`.

    It holds numbers and text only: neither tensors nor the graph stay alive because of it.

    name: of the tensor the pass begins with; seed: the gradient it begins with.
    made: the tensors of the forward pass in the order of their making, inputs first.
    steps: the steps of the backward pass in their order.
    gradients: for each leaf what it gets in the whole pass.
    total_steps, left_out: all steps there were, and how many of them in the middle `steps` leaves out.
    more_leaves: how many leaves `gradients` leaves out.
    gap, gap_size: the place in `made` where results are left out (from there on in several places), and how many.
    """

    name: str
    seed: Value
    made: list[Made] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    gradients: dict[str, Gradient] = field(default_factory=dict)
    total_steps: int = 0
    left_out: int = 0
    more_leaves: int = 0
    gap: int = 0
    gap_size: int = 0

    def __str__(self) -> str:
        from autograd.explain.text import explanation_text

        return explanation_text(self)

    def __repr__(self) -> str:
        steps = f"{self.total_steps:,} step{'' if self.total_steps == 1 else 's'}"
        return f"<Explanation of {self.name}: {steps}; print it, or see .steps and .to_dot()>"

    def to_dot(self) -> str:
        """The graph in Graphviz's language, with values and gradients; draw it with `dot -Tsvg`."""
        from autograd.explain.dot import dot_text

        return dot_text(self)
