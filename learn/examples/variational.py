"""A variational autoencoder of digits: a network that draws new ones (Kingma and Welling 2014).

    python learn/examples/variational.py --epochs 80

The encoder says for each picture where, among points of 8 dimensions, it belongs: a normal distribution. The decoder draws a
picture from a point. They are trained together on a bound of the pictures' log-probability: how well a picture comes back, less
how far the encoder's distributions are from one standard normal distribution. So points drawn from that one become digits too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from digits import load_digits

import autograd as ag
import nn

ROOT = Path(__file__).resolve().parents[2]


class VariationalAutoencoder(nn.Module):
    """Pixels from 0 to 1 to a mean and a log-variance for each of `size` numbers, and back to logits of pixels."""

    def __init__(self, size: int = 8, hidden: int = 256) -> None:
        super().__init__()
        self.size = size
        self.encoder = nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 2 * size))
        self.decoder = nn.Sequential(nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, 64))

    def forward(self, x: ag.Tensor) -> tuple[ag.Tensor, ag.Tensor, ag.Tensor]:
        mean, log_variance = ag.split(self.encoder(x), self.size, -1)
        point = mean + ag.exp(0.5 * log_variance) * ag.randn(mean.shape)  # noise from outside: gradients pass by it
        return self.decoder(point), mean, log_variance


def bound(model: VariationalAutoencoder, x: ag.Tensor) -> ag.Tensor:
    """Minus the bound of the log-probability, per picture: in nats."""
    logits, mean, log_variance = model(x)
    pixels = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    distance = 0.5 * (mean**2 + ag.exp(log_variance) - 1 - log_variance).sum()
    return (pixels + distance) / len(x)


def draw(images: np.ndarray, path: Path) -> None:
    """A table of pictures."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(4, 10, figsize=(10, 4.2), layout="constrained")
    for image, place in zip(images, axes.ravel(), strict=True):
        place.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        place.axis("off")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main(arguments: list[str] | None = None) -> float:
    """Train, report and draw; returns the bound on held-out digits, in nats per picture."""
    parser = argparse.ArgumentParser(description="Teach a network to draw digits.")
    parser.add_argument("--epochs", type=int, default=80, help="passes over the training images (default 80)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "variational" / "digits.png", help="where the picture goes")
    options = parser.parse_args(arguments)
    images, _, held_out, _ = load_digits(options.seed)
    images, held_out = (np.clip((x * 0.4 + 0.3), 0, 1).astype(np.float32) for x in (images, held_out))  # 0 to 1 again
    ag.manual_seed(options.seed)
    batches = nn.data.DataLoader(nn.data.TensorDataset(ag.tensor(images)), batch_size=64, shuffle=True, generator=options.seed)
    model = VariationalAutoencoder()
    optimizer = nn.optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(1, options.epochs + 1):
        total = 0.0
        for (x,) in batches:
            optimizer.zero_grad()
            loss = bound(model, x)
            loss.backward()
            optimizer.step()
            total += loss.item() / len(batches)
        if epoch % max(1, options.epochs // 8) == 0:
            print(f"epoch {epoch:3}  bound {total:.2f} nats")
    with ag.no_grad():
        found = float(np.mean([bound(model, ag.tensor(held_out)).item() for _ in range(10)]))
        drawn = ag.sigmoid(model.decoder(ag.randn(40, model.size))).numpy()
    draw(drawn, options.out)
    print(f"bound on held-out digits {found:.2f} nats; new digits in {options.out}")
    return found


if __name__ == "__main__":
    main()
