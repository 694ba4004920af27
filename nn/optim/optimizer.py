"""Optimizer: parameter groups, the state of each parameter, and a step of few kernel launches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, ClassVar

import autograd as ag
from autograd.ops.update import Update, Updates, clear_grad
from kernels.formula import Formula
from kernels.formulas import define


class Optimizer:
    """What all optimizers share. Subclasses say which formula updates a parameter, and its scalars in each step.

    Attributes:
        param_groups: a list of dicts: "params", and the options of those parameters ("lr" and so on), which may be
            changed at any time.
        state: for each parameter that has been updated its state, a dict; parameters are told apart by identity.
        defaults: the options of groups that do not have their own.
    """

    counters: ClassVar[Mapping[str, Callable[[Any], Any]]] = {"step": int}  # what the state has besides tensors, and its types

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[ag.Tensor, dict[str, Any]] = {}
        self._updates: dict[ag.Tensor, Update] = {}
        self._gathered: dict[int, list[Updates]] = {}  # for each group
        if isinstance(params, (ag.Tensor, Mapping)):
            raise TypeError(
                f"{self._name}: params must be an iterable of tensors or of dicts, as model.parameters() is, got a "
                f"{type(params).__name__}"
            )
        groups = list(params)
        if not groups:
            raise ValueError(f"{self._name}: there are no parameters to optimize (is parameters() used up already?)")
        if not isinstance(groups[0], Mapping):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    # --- what subclasses define -----------------------------------------------------------------------------------

    def check(self, group: dict[str, Any]) -> None:
        """Raise a ValueError for options that make no sense; see `require`."""

    def rule(self, group: dict[str, Any]) -> tuple[Formula, tuple[str, ...]]:
        """The formula (p, g, *state) -> (p, *state), and the names of the state's tensors."""
        raise NotImplementedError(f"{self._name} must define rule(group)")

    def advance(self, state: dict[str, Any], is_new: bool, group: dict[str, Any]) -> Any:
        """Count the step in a parameter's state; what it returns (something hashable), `values` is given."""
        raise NotImplementedError(f"{self._name} must define advance(state, is_new, group)")

    def values(self, group: dict[str, Any], when: Any) -> tuple[float, ...]:
        """The values of the formula's parameters, in order, in the step that `advance` told."""
        raise NotImplementedError(f"{self._name} must define values(group, when)")

    def start(self, p: ag.Tensor, name: str, group: dict[str, Any]) -> ag.Tensor:
        """What a tensor of the state begins with."""
        return ag.zeros_like(p)

    # --- groups ---------------------------------------------------------------------------------------------------

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add parameters with options of their own: {"params": [...], "lr": ...}.

        One that is given twice in a group counts once (layers may share it).

        Raises:
            TypeError: the group is no dict, or a parameter no tensor.
            ValueError: a parameter is in another group already, is no leaf, or an option makes no sense.
        """
        if not isinstance(param_group, Mapping) or "params" not in param_group:
            raise TypeError(f"{self._name}: a parameter group is a dict with 'params', got {param_group!r}")
        params = param_group["params"]
        if isinstance(params, (set, frozenset)):
            raise TypeError(f"{self._name}: parameters need a fixed order, which a set does not have; use a list")
        params = [params] if isinstance(params, ag.Tensor) else list(params)
        for p in params:
            self._check_parameter(p)
        unique = list({id(p): p for p in params}.values())
        known = {id(p) for group in self.param_groups for p in group["params"]}
        if any(id(p) in known for p in unique):
            raise ValueError(f"{self._name}: a parameter is in more than one parameter group")
        group = {"params": unique, **{k: v for k, v in param_group.items() if k != "params"}}
        for name, value in self.defaults.items():
            group.setdefault(name, value)
        unknown = group.keys() - self.defaults.keys() - {"params"}
        self.check(group)
        if unknown:
            raise TypeError(
                f"{self._name}: unknown options {', '.join(sorted(unknown))} in a parameter group; there are "
                f"{', '.join(self.defaults)}"
            )
        self.param_groups.append(group)

    def _check_parameter(self, p: Any) -> None:
        if not isinstance(p, ag.Tensor):
            hint = "; for (name, parameter) pairs use model.parameters()" if isinstance(p, tuple) else ""
            raise TypeError(f"{self._name}: parameters must be tensors, got a {type(p).__name__}{hint}")
        if not p.is_leaf:
            made = p.grad_fn.name  # type: ignore[union-attr]
            raise ValueError(f"{self._name}: a parameter {p.shape} was made by {made}; only leaves can be optimized")

    def require(self, group: dict[str, Any], *names: str) -> None:
        """Raise unless these options are numbers that are not negative."""
        for name in names:
            if not float(group[name]) >= 0.0:
                raise ValueError(f"{self._name}: {name} must not be negative, got {group[name]}")

    def _parameters(self) -> Iterator[ag.Tensor]:
        return (p for group in self.param_groups for p in group["params"])

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters; with `set_to_none` False they become zeros."""
        for p in self._parameters():
            clear_grad(p, set_to_none)

    # --- the step -------------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient, in place.

        Args:
            closure: computes the loss again (with gradients) and returns it, before the update.

        Returns:
            What the closure returned, or None.
        """
        loss = None
        if closure is not None:
            with ag.enable_grad():
                loss = closure()
        for number, group in enumerate(self.param_groups):
            self._step_group(number, group)
        return loss

    def _step_group(self, number: int, group: dict[str, Any]) -> None:
        formula, names = self.rule(group)
        updates, states = self._updates, self.state
        prepared: dict[Any, tuple[float, ...]] = {}  # parameters that have seen as many steps share the scalars
        gathered: dict[Any, list[tuple[Update, ag.Tensor]]] = {}  # and a launch, on devices where launches are dear
        for p in group["params"]:
            gradient = p.grad
            if gradient is None:
                continue
            update = updates.get(p)
            is_new = False
            if update is None or update.formula is not formula:
                is_new = self._start(p, formula, names, group)
                update = updates[p]
            when = self.advance(states[p], is_new, group)
            values = prepared.get(when)
            if values is None:
                values = prepared[when] = tuple(map(float, formula.prepare(self.values(group, when))))
            if update.gathers:
                gathered.setdefault(when, []).append((update, gradient))
            else:
                update.run(gradient, values)
        if gathered:
            self._run_gathered(number, [(pairs, prepared[when]) for when, pairs in gathered.items()])

    def _run_gathered(self, number: int, turns: list[tuple[list[tuple[Update, ag.Tensor]], tuple[float, ...]]]) -> None:
        """Run the updates of a group together, those that share the scalars; each turn's plan serves the next step."""
        plans = self._gathered.setdefault(number, [])
        plans[:] = [*plans, *(Updates() for _ in turns[len(plans) :])][: len(turns)]
        for together, (pairs, values) in zip(plans, turns, strict=True):
            together.run([update for update, _ in pairs], [gradient for _, gradient in pairs], values)

    def _start(self, p: ag.Tensor, formula: Formula, names: tuple[str, ...], group: dict[str, Any]) -> bool:
        """Make what is missing of the state, and the update that works on it; whether anything was missing."""
        state = self.state.setdefault(p, {})
        missing = [name for name in names if state.get(name) is None]
        for name in missing:
            state[name] = self.start(p, name, group)
        self._updates[p] = Update(formula, p, tuple([state[name] for name in names]))
        return bool(missing)

    # --- the state ------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """{"state": {number of the parameter: its state}, "param_groups": [...]}, parameters numbered in order.

        The layout is PyTorch's. Tensors in it are the optimizer's own, which the next step changes.
        """
        number = {id(p): k for k, p in enumerate(self._parameters())}
        groups = [
            {**{k: v for k, v in group.items() if k != "params"}, "params": [number[id(p)] for p in group["params"]]}
            for group in self.param_groups
        ]
        return {"state": {number[id(p)]: dict(own) for p, own in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave: options and state, the latter copied in the parameters' dtype.

        Raises:
            ValueError: other numbers of groups or parameters, or a state of another shape; nothing is loaded then.
        """
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= state_dict.keys():
            raise ValueError(f"{self._name}: load_state_dict expects a dict with 'state' and 'param_groups'")
        given = state_dict["param_groups"]
        counts, own_counts = ([len(g["params"]) for g in groups] for groups in (given, self.param_groups))
        if counts != own_counts:
            raise ValueError(
                f"{self._name}: the state has {len(counts)} groups with {counts} parameters, the optimizer "
                f"{len(own_counts)} with {own_counts}"
            )
        numbers = [number for group in given for number in group["params"]]
        saved = {int(k): v for k, v in state_dict["state"].items()}
        state = {
            p: self._loaded(p, number, saved[number])
            for number, p in zip(numbers, self._parameters(), strict=True)
            if number in saved
        }
        for own, group in zip(self.param_groups, given, strict=True):
            options = {k: tuple(v) if isinstance(v, list) else v for k, v in group.items() if k != "params"}
            own.update(options)
        self.state, self._updates, self._gathered = state, {}, {}

    def _loaded(self, p: ag.Tensor, number: int, saved: Mapping[str, Any]) -> dict[str, Any]:
        own = {}
        for name, value in saved.items():
            if name in self.counters:
                value = self.counters[name](value)
            elif value is not None and hasattr(value, "__array__"):
                value = ag.tensor(value, dtype=p.dtype, device=p.device)
                if value.shape != p.shape:
                    shapes = f"{value.shape}, the parameter {p.shape}"
                    raise ValueError(f"{self._name}: the state {name!r} of parameter {number} has shape {shapes}")
            own[name] = value
        return own

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_updates": {}, "_gathered": {}}  # plans belong to this process, and are made anew

    def __repr__(self) -> str:
        lines = []
        for number, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {number}")
            lines += [f"    {k}: {v}" for k, v in sorted(group.items()) if k != "params"]
        return f"{self._name} (\n" + "\n".join(lines) + "\n)"


@cache
def ascending(formula: Formula) -> Formula:
    """The update that climbs instead of descending: the same formula of the negative gradient."""

    def build(p, g, *state, **parameters):
        return formula(p, -g, *state, **parameters)

    return define(
        f"{formula.name}_maximize", build, formula.parameters, inputs=formula.inputs, defaults=formula.defaults
    )
