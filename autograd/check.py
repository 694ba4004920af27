"""gradcheck: derivatives compared with finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autograd.dtypes import DIFFERENTIABLE, complex128, float64
from autograd.engine import gradients
from autograd.mode import enable_grad, no_grad
from autograd.ops.creation import asarray
from autograd.ops.reduce import sum as sum_
from autograd.tensor import Tensor

_PRECISE = (float64, complex128)


class GradcheckError(AssertionError):
    """A derivative differs from the finite difference."""


def _prepared(inputs: Any, name: str) -> tuple[Any, ...]:
    given = (inputs,) if isinstance(inputs, (Tensor, np.ndarray, float, complex)) else tuple(inputs)
    prepared = []
    for k, value in enumerate(given):
        if isinstance(value, Tensor) and value.requires_grad:
            if value.dtype not in _PRECISE:
                raise TypeError(f"{name}: input {k} is {value.dtype}; finite differences need float64 to mean anything")
            prepared.append(value.detach().requires_grad_())
        elif isinstance(value, (np.ndarray, float, complex)) and asarray(value).dtype in _PRECISE:
            prepared.append(asarray(value).detach().requires_grad_())
        else:
            prepared.append(value)
    if not any(isinstance(p, Tensor) and p.requires_grad for p in prepared):
        raise ValueError(f"{name}: no input requires grad; give float64 tensors with requires_grad=True")
    return tuple(prepared)


def _outputs(f: Callable, inputs: Sequence[Any]) -> list[Tensor]:
    result = f(*inputs)
    outputs = list(result) if isinstance(result, (tuple, list)) else [result]
    return [o for o in outputs if isinstance(o, Tensor) and o.dtype.kind in DIFFERENTIABLE]


def _numeric(f: Callable, inputs: Sequence[Any], index: int, seeds: Sequence[np.ndarray], eps: float) -> np.ndarray:
    """The derivative of sum(seed * output) by one input, by central differences, element by element.

    Of complex numbers the parts are what is moved: see `autograd.ops.complex_numbers` for what their gradient is.
    """
    x = inputs[index]
    base = np.array(x.detach().numpy())
    found = np.zeros_like(base)

    def value(point: np.ndarray) -> float:
        moved = _like(x, point)
        with no_grad():
            outputs = _outputs(f, [moved if k == index else i for k, i in enumerate(inputs)])
        return float(sum(np.real(np.vdot(s, o.detach().numpy())) for s, o in zip(seeds, outputs, strict=True)))

    for place in np.ndindex(base.shape):
        for direction in (1, 1j) if base.dtype.kind == "c" else (1,):
            up, down = base.copy(), base.copy()
            up[place] += eps * direction
            down[place] -= eps * direction
            found[place] += direction * (value(up) - value(down)) / abs(up[place] - down[place])
    return found


def _random(rng: np.random.Generator, output: Tensor) -> np.ndarray:
    """An upstream gradient away from 0: of complex numbers complex."""
    values = rng.uniform(0.5, 1.5, output.shape) * rng.choice([-1.0, 1.0], output.shape)
    return values * np.exp(1j * rng.uniform(-3, 3, output.shape)) if output.dtype.kind == "c" else values


def _like(x: Tensor, values: np.ndarray) -> Tensor:
    """The values as a tensor whose memory lies as that of x does, so that the same kernels run."""
    array = x.detach().numpy()
    if 0 in array.strides or array.size == 0 or x.device != "cpu":
        return asarray(values, device=x.device)
    memory = np.empty_like(array, order="K") if all(s > 0 for s in array.strides) else np.empty(array.shape)
    memory[...] = values
    return asarray(memory)


def gradcheck(
    f: Callable, inputs: Any, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-4, seed: int = 0,
    raise_exception: bool = True,
) -> bool:  # fmt: skip
    """Whether f's gradients agree with central finite differences, for a random upstream gradient.

    Args:
        f: a function of tensors that returns a tensor or several.
        inputs: its arguments; those that are float64 tensors with requires_grad (or float64 arrays) are checked.
        eps: the step of the differences.
        atol, rtol: |analytic - numeric| <= atol + rtol * |numeric| must hold for every element.
        seed: of the random upstream gradients.
        raise_exception: raise a GradcheckError that shows the worst element, instead of returning False.

    >>> import autograd as ag
    >>> ag.gradcheck(ag.tanh, ag.tensor([0.3, -2.0], dtype=ag.float64, requires_grad=True))
    True
    """
    prepared = _prepared(inputs, "gradcheck")
    rng = np.random.default_rng(seed)
    with enable_grad():
        outputs = _outputs(f, prepared)
        seeds = [_random(rng, o) for o in outputs]
        checked = [k for k, p in enumerate(prepared) if isinstance(p, Tensor) and p.requires_grad]
        reached = [(o, asarray(s, device=o.device)) for o, s in zip(outputs, seeds, strict=True) if o.requires_grad]
        found: Sequence[Tensor | None] = [None] * len(checked)
        if reached:
            found = gradients(
                [o for o, _ in reached], [prepared[k] for k in checked], [s for _, s in reached], allow_unused=True
            )
    for k, analytic in zip(checked, found, strict=True):
        numeric = _numeric(f, prepared, k, seeds, eps)
        mine = np.zeros_like(numeric) if analytic is None else analytic.detach().numpy()
        if not _agree(mine, numeric, atol, rtol):
            if raise_exception:
                raise GradcheckError(_difference(k, mine, numeric))
            return False
    return True


def _agree(analytic: np.ndarray, numeric: np.ndarray, atol: float, rtol: float) -> bool:
    return analytic.shape == numeric.shape and bool(np.allclose(analytic, numeric, rtol=rtol, atol=atol))


def _difference(index: int, analytic: np.ndarray, numeric: np.ndarray) -> str:
    if analytic.shape != numeric.shape:
        return f"gradcheck: the gradient of input {index} has shape {analytic.shape}, the input {numeric.shape}"
    error = np.abs(analytic - numeric)
    error = np.where(np.isnan(error), np.inf, error)
    place = tuple(int(i) for i in np.unravel_index(int(np.argmax(error)), error.shape))
    return (
        f"gradcheck: the gradient of input {index} is wrong; worst at {place}: analytic {analytic[place]!r}, "
        f"finite difference {numeric[place]!r}\nanalytic:\n{analytic}\nfinite differences:\n{numeric}"
    )


def gradgradcheck(
    f: Callable, inputs: Any, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-4, seed: int = 0,
    raise_exception: bool = True,
) -> bool:  # fmt: skip
    """Whether f's second derivatives agree with finite differences of the first, by inputs and upstream gradient.

    Arguments as in `gradcheck`.
    """
    prepared = _prepared(inputs, "gradgradcheck")
    rng = np.random.default_rng(seed + 1)
    with enable_grad():
        upstream = [asarray(_random(rng, o)).requires_grad_() for o in _outputs(f, prepared)]
    checked = [k for k, p in enumerate(prepared) if isinstance(p, Tensor) and p.requires_grad]
    count = len(prepared)

    def first(*arguments: Any) -> tuple[Tensor, ...]:
        inner = list(arguments[:count])
        with enable_grad():
            for k in checked:
                if inner[k]._edge is None:
                    inner[k] = inner[k].detach().requires_grad_()
            outputs = _outputs(f, inner)
            reached = [(o, u) for o, u in zip(outputs, arguments[count:], strict=True) if o.requires_grad]
            if not reached:
                return ()
            found = gradients(
                [o for o, _ in reached], [inner[k] for k in checked], [u for _, u in reached],
                create_graph=True, allow_unused=True,
            )  # fmt: skip
        return tuple(sum_(inner[k]) * 0.0 if g is None else g for k, g in zip(checked, found, strict=True))

    return gradcheck(
        first, (*prepared, *upstream), eps=eps, atol=atol, rtol=rtol, seed=seed, raise_exception=raise_exception
    )
