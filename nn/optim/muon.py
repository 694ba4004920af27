"""Muon: momentum made orthogonal, for the matrices of hidden layers."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from typing import Any

import autograd as ag
from autograd.ops.update import Update
from kernels.formula import define
from nn.optim.optimizer import Optimizer

_COEFFICIENTS = (3.4445, -4.775, 2.0315)
_MOVE = define("muon", lambda p, g, *, shrink, step: p * shrink - step * g)
_ADJUSTMENTS = (None, "original", "match_rms_adamw")


class Muon(Optimizer):
    """Steps along the orthogonal matrix nearest to the momentum: all its directions count alike. Jordan et al. 2024.

    For matrices only; embeddings, output layers and vectors go to AdamW. The orthogonal matrix is approximated by a
    Newton-Schulz iteration of odd polynomials, in the parameter's own dtype (PyTorch computes it in bfloat16).

    Args:
        params: matrices, or dicts {"params": ..., option: value} with options of their own.
        lr: the step size.
        weight_decay: p shrinks by lr * weight_decay.
        momentum: the decay of the running mean of gradients.
        nesterov: look ahead along the mean.
        ns_coefficients: of x, x x' x and x x' x x' x in each iteration.
        eps: the least norm that a momentum is divided by.
        ns_steps: how many iterations.
        adjust_lr_fn: "original" (also None) multiplies lr by sqrt(max(1, rows / columns)), "match_rms_adamw" by
            0.2 sqrt(max(rows, columns)), with which AdamW's learning rates serve.

    Raises:
        ValueError: a parameter is no matrix, or an option makes no sense.
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, weight_decay: float = 0.1, momentum: float = 0.95,
        nesterov: bool = True, ns_coefficients: tuple[float, float, float] = _COEFFICIENTS, eps: float = 1e-7,
        ns_steps: int = 5, adjust_lr_fn: str | None = None,
    ) -> None:  # fmt: skip
        options = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov, "eps": eps}
        super().__init__(
            params, {**options, "ns_coefficients": ns_coefficients, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn}
        )

    def check(self, group: dict[str, Any]) -> None:
        self.require(group, "lr", "weight_decay", "momentum", "eps", "ns_steps")
        if len(group["ns_coefficients"]) != 3:
            raise ValueError(f"Muon: ns_coefficients must be three numbers, got {group['ns_coefficients']}")
        if group["adjust_lr_fn"] not in _ADJUSTMENTS:
            raise ValueError(f"Muon: adjust_lr_fn must be one of {_ADJUSTMENTS}, got {group['adjust_lr_fn']!r}")
        for p in group["params"]:
            if p.ndim != 2:
                raise ValueError(f"Muon: takes matrices, got a parameter of shape {p.shape}; give others to AdamW")

    def _step_group(self, number: int, group: dict[str, Any]) -> None:
        with ag.no_grad():
            for p in group["params"]:
                if p.grad is not None:
                    self._step(p, p.grad, group)

    def _step(self, p: ag.Tensor, gradient: ag.Tensor, group: dict[str, Any]) -> None:
        state = self.state.setdefault(p, {})
        before = state["momentum_buffer"].to(p) if "momentum_buffer" in state else ag.zeros_like(p)
        keep = 1 - group["momentum"]
        buffer = ag.lerp(before, gradient, keep)
        state["momentum_buffer"] = buffer
        ahead = ag.lerp(buffer, gradient, keep) if group["nesterov"] else buffer
        direction = orthogonalized(ahead, group["ns_coefficients"], int(group["ns_steps"]), group["eps"])
        rows, columns = p.shape
        wide = group["adjust_lr_fn"] == "match_rms_adamw"
        scale = 0.2 * sqrt(max(rows, columns)) if wide else sqrt(max(1.0, rows / max(columns, 1)))
        shrink = 1 - group["lr"] * group["weight_decay"]
        update = self._updates.get(p)
        if update is None:
            update = self._updates[p] = Update(_MOVE, p, ())
        update.run(direction, tuple(map(float, _MOVE.prepare((shrink, group["lr"] * scale)))))


def orthogonalized(x: ag.Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> ag.Tensor:
    """U V' of x = U S V', roughly: all singular values are brought near 1 by products of matrices alone."""
    a, b, c = coefficients
    is_tall = x.shape[0] > x.shape[1]
    y = x.T if is_tall else x
    y = y / ag.maximum(ag.norm(y), eps)
    for _ in range(steps):
        gram = y @ y.T
        y = a * y + (b * gram + c * (gram @ gram)) @ y
    return y.T if is_tall else y
