"""The adding problem: what a recurrent network must remember over hundreds of steps (Hochreiter and Schmidhuber 1997).

    python learn/examples/adding.py --length 200 --seed 0

Each sequence has two numbers per step: a random one between 0 and 1, and a mark, which is 1 at just two steps. The answer is
the sum of the two marked numbers. Who always says 1 is wrong by 0.167 on average (squared); to do better the network must carry
numbers over the whole sequence.
"""

from __future__ import annotations

import argparse

import numpy as np

import autograd as ag
import nn


def sequences(count: int, length: int, generator: np.random.Generator) -> tuple[ag.Tensor, ag.Tensor]:
    """Inputs (length, count, 2) and sums (count, 1); one mark is in each half."""
    numbers = generator.random((length, count), dtype=np.float32)
    marks = np.zeros((length, count), np.float32)
    half = length // 2
    first, second = generator.integers(0, half, count), generator.integers(half, length, count)
    marks[first, np.arange(count)] = marks[second, np.arange(count)] = 1
    return ag.tensor(np.stack([numbers, marks], axis=2)), ag.tensor((numbers * marks).sum(axis=0)[:, None])


class Adder(nn.Module):
    """A recurrent layer whose last state says the sum.

    Its cells begin with memories of all lengths up to the sequence's, by the biases of the gates that let in and keep (Tallec and
    Ollivier 2018): what is forgotten at once cannot be learned from.
    """

    def __init__(self, length: int, hidden: int = 64) -> None:
        super().__init__()
        self.memory = nn.LSTM(2, hidden)
        self.answer = nn.Linear(hidden, 1)
        keep = ag.log(1 + ag.rand(hidden) * (length - 2))
        with ag.no_grad():
            self.memory.bias_hh_l0[:hidden] = -keep
            self.memory.bias_hh_l0[hidden : 2 * hidden] = keep

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        states, _ = self.memory(x)
        return self.answer(states[-1])


def main(arguments: list[str] | None = None) -> float:
    """Train and report; returns the mean squared error on new sequences."""
    parser = argparse.ArgumentParser(description="Teach a recurrent network to remember two numbers and add them.")
    parser.add_argument("--length", type=int, default=200, help="steps of a sequence (default 200)")
    parser.add_argument("--steps", type=int, default=1500, help="steps of the optimizer at most (default 1500)")
    parser.add_argument("--seed", type=int, default=0, help="of the sequences and the first weights (default 0)")
    options = parser.parse_args(arguments)
    ag.manual_seed(options.seed)
    generator = np.random.default_rng(options.seed)
    model = Adder(options.length)
    optimizer = nn.optim.Adam(model.parameters(), lr=4e-3)
    recent = 0.167
    for step in range(1, options.steps + 1):
        x, wanted = sequences(50, options.length, generator)
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), wanted)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        recent += 0.05 * (loss.item() - recent)
        if step % 100 == 0:
            print(f"step {step:5}  mean squared error {recent:.4f}")
        if recent < 0.002:
            break
    with ag.no_grad():
        x, wanted = sequences(500, options.length, generator)
        error = nn.functional.mse_loss(model(x), wanted).item()
    print(f"on 500 new sequences of length {options.length}: mean squared error {error:.5f} after {step} steps (always 1: 0.167)")
    return error


if __name__ == "__main__":
    main()
