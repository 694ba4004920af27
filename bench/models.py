"""Training steps of whole networks beside PyTorch's: `python -m bench.models` prints a row for each.

Both train the same network from the same weights on the same batch, on one thread, in one process, in turns; before anything is
timed, the losses of a few steps are compared. It needs PyTorch.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import autograd as ag
import nn

RNG = np.random.default_rng(0)
Make = Callable[[Any], Any]  # from the module `nn` (ours or PyTorch's) to a network


def mlp(n: Any) -> Any:
    return n.Sequential(n.Linear(64, 128), n.ReLU(), n.Linear(128, 128), n.ReLU(), n.Linear(128, 10))


def digits_cnn(n: Any) -> Any:
    return n.Sequential(
        n.Conv2d(1, 16, 3, padding=1), n.ReLU(), n.MaxPool2d(2), n.Conv2d(16, 32, 3, padding=1), n.ReLU(), n.MaxPool2d(2),
        n.Flatten(), n.Linear(32 * 49, 10),
    )  # fmt: skip


def lstm(n: Any) -> Any:
    class Model(n.Module):
        def __init__(self) -> None:
            super().__init__()
            self.memory, self.scores = n.LSTM(64, 128, batch_first=True), n.Linear(128, 96)

        def forward(self, x: Any) -> Any:
            return self.scores(self.memory(x)[0]).reshape((-1, 96))

    return Model()


def gpt(n: Any) -> Any:
    class Model(n.Module):
        def __init__(self) -> None:
            super().__init__()
            self.characters = n.Embedding(96, 128)
            layer = n.TransformerEncoderLayer(128, 4, 512, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
            self.layers = n.TransformerEncoder(layer, 4, **({} if n is nn else {"enable_nested_tensor": False}))
            self.scores = n.Linear(128, 96)
            self.mask = n.Transformer.generate_square_subsequent_mask(128)

        def forward(self, x: Any) -> Any:
            return self.scores(self.layers(self.characters(x), mask=self.mask, is_causal=True)).reshape((-1, 96))

    return Model()


# The network, its input, the target's classes, and what issue 5 asks for at least (PyTorch's time over ours).
MODELS: dict[str, tuple[Make, np.ndarray, np.ndarray, float]] = {
    "MLP 64-128-128-10, batch 64": (mlp, RNG.normal(size=(64, 64)).astype("f4"), RNG.integers(0, 10, 64), 1.2),
    "digits CNN, batch 32": (digits_cnn, RNG.normal(size=(32, 1, 28, 28)).astype("f4"), RNG.integers(0, 10, 32), 0.7),
    "LSTM 64-128, 32 x 64 steps": (lstm, RNG.normal(size=(32, 64, 64)).astype("f4"), RNG.integers(0, 96, 32 * 64), 1.0),
    "GPT 4 x 128, 16 x 128": (gpt, RNG.integers(0, 96, (16, 128)), RNG.integers(0, 96, 16 * 128), 0.8),
}


def steps_of(make: Make, x: np.ndarray, y: np.ndarray) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A training step of ours and of PyTorch's, which return the loss."""
    import torch

    torch.manual_seed(0)
    theirs = make(torch.nn)
    ours = make(nn)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    found = []
    for home, model, tensor in ((nn, ours, ag.tensor), (torch.nn, theirs, torch.tensor)):
        optimizer = (nn.optim if home is nn else torch.optim).AdamW(model.parameters(), lr=1e-3)
        loss_function, inputs, targets = home.CrossEntropyLoss(), tensor(x), tensor(y)

        def step(model=model, optimizer=optimizer, loss_function=loss_function, inputs=inputs, targets=targets) -> Any:
            optimizer.zero_grad()
            loss = loss_function(model(inputs), targets)
            loss.backward()
            optimizer.step()
            return loss

        found.append(step)
    return found[0], found[1]


def compare(name: str, rounds: int) -> tuple[float, float, float]:
    """The shortest times of a step, ours and PyTorch's in milliseconds, and the largest relative difference of the losses."""
    make, x, y, _ = MODELS[name]
    ours, theirs = steps_of(make, x, y)
    losses = [(ours().item(), theirs().item()) for _ in range(5)]
    apart = max(abs(a - b) / abs(b) for a, b in losses)
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        for which in (0, 1) if number % 2 else (1, 0):
            begin = time.thread_time()
            (ours, theirs)[which]()
            times[which].append(time.thread_time() - begin)
    return 1e3 * min(times[0]), 1e3 * min(times[1]), apart


def main() -> int:
    """Print the table; the exit status is 1 if losses differ."""
    parser = argparse.ArgumentParser(prog="python -m bench.models", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30, help="steps of each that are timed (default 30)")
    rounds = parser.parse_args().rounds
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed, so there is nothing to compare with: pip install torch")
        return 0
    torch.set_num_threads(1)
    wrong = 0
    print(f"{'a training step':<30} {'ours':>9} {'PyTorch':>9}   ratio  (wanted)   losses apart")
    for name, (*_, wanted) in MODELS.items():
        ours, theirs, apart = compare(name, rounds)
        wrong += apart > 1e-3
        print(f"{name:<30} {ours:6.2f} ms {theirs:6.2f} ms   {theirs / ours:4.2f}x  ({wanted:.1f}x)   {apart:.1e}", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
