"""A differential equation solved by a network: -u''(x) = f(x) between 0 and 1, with u = 0 at both ends.

    python learn/examples/poisson.py --steps 120 --seed 0

The network is a function x -> u(x). Its second derivative by x comes from differentiating twice, and the loss, which asks how far
-u'' is from f at some points, is differentiated once more, by the weights. No solution is shown to the network; the right-hand
side is made from one that is known, u(x) = sin(pi x) + sin(4 pi x) / 4, to see how close the network comes. Raissi et al. 2019
call such networks physics-informed.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

import autograd as ag
import nn


def exact(x: np.ndarray) -> np.ndarray:
    """The solution that the right-hand side was made from."""
    return np.sin(math.pi * x) + np.sin(4 * math.pi * x) / 4


def force(x: ag.Tensor) -> ag.Tensor:
    """f = -u'' of the exact solution."""
    return math.pi**2 * (ag.sin(math.pi * x) + 4 * ag.sin(4 * math.pi * x))


def make_model(width: int = 32) -> nn.Module:
    """Smooth activations, for the second derivative of a ReLU network is 0 nearly everywhere."""
    return nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)).double()


def solution(model: nn.Module, x: ag.Tensor) -> ag.Tensor:
    """The network times x (1 - x): whatever it says, the ends are 0."""
    return model(x) * x * (1 - x)


def residual(model: nn.Module, x: ag.Tensor) -> ag.Tensor:
    """-u'' - f at the points: u depends on its own x alone, so the sum's gradient holds every point's derivative."""
    u = solution(model, x)
    (slope,) = ag.gradients(u.sum(), x, create_graph=True)
    (curvature,) = ag.gradients(slope.sum(), x, create_graph=True)
    return -curvature - force(x)


def train(steps: int, seed: int, points: int = 64) -> tuple[nn.Module, list[float]]:
    """A network whose residual is small at equally spaced points, and the loss before each step of L-BFGS."""
    ag.manual_seed(seed)
    model = make_model()
    x = ag.linspace(0.0, 1.0, points, dtype=ag.float64).reshape((points, 1)).requires_grad_()
    optimizer = nn.optim.LBFGS(model.parameters(), max_iter=10, history_size=50, line_search_fn="strong_wolfe")

    def closure() -> ag.Tensor:
        optimizer.zero_grad()
        loss = (residual(model, x) ** 2).mean()
        loss.backward()
        return loss

    return model, [optimizer.step(closure).item() for _ in range(steps)]


def main(arguments: list[str] | None = None) -> float:
    """Train and report; returns the largest error between the points that were trained on."""
    parser = argparse.ArgumentParser(description="Solve -u'' = f with a network.")
    parser.add_argument("--steps", type=int, default=120, help="steps of L-BFGS, ten iterations each (default 120)")
    parser.add_argument("--seed", type=int, default=0, help="of the first weights (default 0)")
    options = parser.parse_args(arguments)
    model, losses = train(options.steps, options.seed)
    for step in range(0, len(losses), max(1, len(losses) // 10)):
        print(f"step {step:4}  mean squared residual {losses[step]:.3e}")
    x = np.linspace(0, 1, 501)[:, None]
    with ag.no_grad():
        error = float(np.abs(solution(model, ag.tensor(x)).numpy() - exact(x)).max())
    print(f"largest error of u {error:.2e} (u itself reaches {exact(x).max():.2f})")
    return error


if __name__ == "__main__":
    main()
