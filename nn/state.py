"""Loading a state: first everything is checked, and everything that is wrong is named; then it is copied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import autograd as ag


def check_state(
    owner: str, own: Mapping[str, ag.Tensor], given: Mapping[str, Any], strict: bool
) -> tuple[dict[str, ag.Tensor], list[str], list[str]]:
    """The tensors to be copied, and the names that are missing and those that are not known.

    Raises:
        TypeError: `given` is no dict.
        RuntimeError: a shape or dtype does not fit, or, with `strict`, the names are not the same. It lists all.
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"load_state_dict: expected a dict from names to tensors, got {type(given).__name__}")
    missing = [name for name in own if name not in given]
    unexpected = [name for name in given if name not in own]
    problems = []
    if strict and missing:
        problems.append(f"missing keys: {_listed(missing)}")
    if strict and unexpected:
        problems.append(f"unexpected keys: {_listed(unexpected)}")
    values = {}
    for name, tensor in own.items():
        if name in given:
            value = _as_tensor(given[name])
            if value is None:
                problems.append(f"{name}: expected a tensor, got {type(given[name]).__name__}")
            elif value.shape != tensor.shape:
                problems.append(f"{name}: the state's shape is {value.shape}, the module's {tensor.shape}")
            elif value.dtype != tensor.dtype:
                problems.append(
                    f"{name}: the state's dtype is {value.dtype}, the module's {tensor.dtype} (convert one: "
                    f"module.to({value.dtype}) or tensor.astype({tensor.dtype}))"
                )
            else:
                values[name] = value
    if problems:
        listed = "".join(f"\n  {problem}" for problem in problems)
        raise RuntimeError(f"load_state_dict: the state does not fit {owner}; nothing was loaded:{listed}")
    return values, missing, unexpected


def copy_state(own: Mapping[str, ag.Tensor], values: Mapping[str, ag.Tensor]) -> None:
    """Overwrite the elements of the tensors of the same names."""
    with ag.no_grad():
        for name, value in values.items():
            own[name].copy_(value)


def _as_tensor(value: Any) -> ag.Tensor | None:
    if isinstance(value, ag.Tensor):
        return value.detach()
    if not hasattr(value, "__array__"):
        return None
    detached = value.detach() if hasattr(value, "detach") else value  # a PyTorch tensor that requires grad
    return ag.tensor(detached)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
