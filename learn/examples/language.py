"""A character language model of Python's own standard library: an LSTM or a small transformer, and what it writes.

    python learn/examples/language.py gpt --steps 1500
    python learn/examples/language.py lstm --steps 1500

The text is the source of the standard library that runs this script; the last tenth of the files is held out. Perplexity says
among how many characters, on average, the model hesitates. Beside it stand two models that only count: single characters, and
each character after the two before it.
"""

from __future__ import annotations

import argparse
import math
import sysconfig
from collections import Counter
from pathlib import Path

import numpy as np

import autograd as ag
import nn

CONTEXT = 128
CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))  # others become a question mark


def read_text(limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of characters to learn from, and those held out, of modules in alphabetical order."""
    number = {c: k for k, c in enumerate(CHARACTERS)}
    unknown = number["?"]
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    texts = [np.array([number.get(c, unknown) for c in f.read_text(encoding="utf-8", errors="replace")], np.int64) for f in files]
    split = len(texts) * 9 // 10
    return np.concatenate(texts[:split])[:limit], np.concatenate(texts[split:])[: limit // 8]


def counting_perplexity(text: np.ndarray, held_out: np.ndarray, order: int) -> float:
    """Of a model that counts which character follows the order - 1 before it, 0.1 added to each count."""
    size = len(CHARACTERS)
    keys = lambda t, n: sum(t[n - 1 - k : len(t) - k] * size**k for k in range(n))  # noqa: E731
    pairs = Counter(keys(text, order).tolist())
    before = Counter((keys(text, order) // size).tolist()) if order > 1 else None
    total = len(text)
    found = keys(held_out, order).tolist()
    loss = sum(-math.log((pairs[k] + 0.1) / ((before[k // size] if before else total) + 0.1 * size)) for k in found)
    return math.exp(loss / len(found))


class GPT(nn.Module):
    """Characters and places as vectors, layers of causal attention, and a score for each next character."""

    def __init__(self, width: int = 128, layers: int = 4, heads: int = 4) -> None:
        super().__init__()
        self.characters = nn.Embedding(len(CHARACTERS), width)
        self.places = nn.Embedding(CONTEXT, width)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(width))
        self.scores = nn.Linear(width, len(CHARACTERS))

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        length = x.shape[1]
        h = self.characters(x) + self.places(ag.arange(length))
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        return self.scores(self.layers(h, mask=mask, is_causal=True))


class Recurrent(nn.Module):
    """Characters as vectors, a recurrent layer, and a score for each next character."""

    def __init__(self, width: int = 64, hidden: int = 256) -> None:
        super().__init__()
        self.characters = nn.Embedding(len(CHARACTERS), width)
        self.memory = nn.LSTM(width, hidden, batch_first=True)
        self.scores = nn.Linear(hidden, len(CHARACTERS))

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        states, _ = self.memory(self.characters(x))
        return self.scores(states)


def windows(text: np.ndarray, count: int, generator: np.random.Generator) -> tuple[ag.Tensor, ag.Tensor]:
    """Stretches of text, and the same one character later."""
    starts = generator.integers(0, len(text) - CONTEXT - 1, count)
    rows = text[starts[:, None] + np.arange(CONTEXT + 1)]
    return ag.tensor(rows[:, :-1]), ag.tensor(rows[:, 1:])


def loss_of(model: nn.Module, x: ag.Tensor, wanted: ag.Tensor) -> ag.Tensor:
    """The mean cross-entropy per character."""
    return nn.functional.cross_entropy(model(x).reshape((x.size, len(CHARACTERS))), wanted.reshape((x.size,)))


def perplexity(model: nn.Module, text: np.ndarray, count: int = 64) -> float:
    """On stretches of text that are always the same."""
    model.eval()
    generator = np.random.default_rng(0)
    with ag.no_grad():
        losses = [loss_of(model, *windows(text, 16, generator)).item() for _ in range(max(1, count // 16))]
    model.train()
    return math.exp(sum(losses) / len(losses))


def write(model: nn.Module, start: str, length: int, temperature: float, top_k: int, generator: np.random.Generator) -> str:
    """A continuation: each next character is drawn from the k likeliest ones, of which low temperatures favour the first."""
    model.eval()
    text = [CHARACTERS.index(c) for c in start]
    with ag.no_grad():
        for _ in range(length):
            scores = model(ag.tensor(text[-CONTEXT:])[None])[0, -1] / temperature
            best = ag.topk(scores, top_k)
            chances = ag.softmax(best.values.astype("float64")).numpy()
            text.append(int(best.indices.numpy()[generator.choice(top_k, p=chances / chances.sum())]))
    return "".join(CHARACTERS[k] for k in text)


def main(arguments: list[str] | None = None) -> float:
    """Train, compare and write; returns the held-out perplexity."""
    parser = argparse.ArgumentParser(description="Train a character language model on the standard library's source.")
    parser.add_argument("model", choices=("gpt", "lstm"), nargs="?", default="gpt")
    parser.add_argument("--steps", type=int, default=1500, help="steps of the optimizer (default 1500)")
    parser.add_argument("--batch-size", type=int, default=16, help="stretches of text per step (default 16)")
    parser.add_argument("--characters", type=int, default=4_000_000, help="how much text to learn from (default 4,000,000)")
    parser.add_argument("--temperature", type=float, default=0.7, help="of the text it writes (default 0.7)")
    parser.add_argument("--top-k", type=int, default=20, help="characters to draw the next one from (default 20)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    ag.manual_seed(options.seed)
    generator = np.random.default_rng(options.seed)
    text, held_out = read_text(options.characters)
    print(f"{len(text):,} characters; perplexity of counting single ones {counting_perplexity(text, held_out, 1):.2f}, "
          f"threes {counting_perplexity(text, held_out, 3):.2f}")  # fmt: skip
    model = GPT() if options.model == "gpt" else Recurrent()
    optimizer = nn.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = nn.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=options.steps, pct_start=0.1, cycle_momentum=False)
    for step in range(1, options.steps + 1):
        optimizer.zero_grad()
        loss = loss_of(model, *windows(text, options.batch_size, generator))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step < options.steps:
            schedule.step()
        if step % max(1, options.steps // 10) == 0:
            print(f"step {step:5}  loss {loss.item():.3f}  held-out perplexity {perplexity(model, held_out):.2f}")
    found = perplexity(model, held_out, 256)
    print(f"held-out perplexity {found:.2f}\n")
    print(write(model, "def ", 400, options.temperature, options.top_k, generator))
    return found


if __name__ == "__main__":
    main()
