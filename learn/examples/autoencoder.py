"""A denoising autoencoder: digits with noise in, clean digits out, through a layer that is narrower than the picture.

    python learn/examples/autoencoder.py --epochs 60

It writes a picture of held-out digits, as they are, with noise, and as the network restores them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from digits import load_digits

import autograd as ag
import nn

ROOT = Path(__file__).resolve().parents[2]
NOISE = 0.8  # standard deviation, where the pixels' own is 1


def make_model() -> nn.Module:
    """64 pixels through 24 numbers, and back."""
    return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 24), nn.Linear(24, 256), nn.ReLU(), nn.Linear(256, 64))


def noisy(images: ag.Tensor) -> ag.Tensor:
    """The images with normal noise on every pixel."""
    return images + NOISE * ag.randn(images.shape)


def draw(clean: np.ndarray, spoiled: np.ndarray, restored: np.ndarray, path: Path) -> None:
    """Three rows of digits."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, len(clean), figsize=(len(clean), 3.3), layout="constrained")
    for row, (images, name) in enumerate(((clean, "clean"), (spoiled, "with noise"), (restored, "restored"))):
        for image, place in zip(images, axes[row], strict=True):
            place.imshow(image.reshape(8, 8), cmap="gray_r", vmin=-1, vmax=2)
            place.set_xticks([])
            place.set_yticks([])
        axes[row][0].set_ylabel(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main(arguments: list[str] | None = None) -> float:
    """Train, report and draw; returns the part of the noise that is left in held-out digits (of its mean square)."""
    parser = argparse.ArgumentParser(description="Teach a network to take noise out of pictures of digits.")
    parser.add_argument("--epochs", type=int, default=60, help="passes over the training images (default 60)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "autoencoder" / "digits.png", help="where the picture goes")
    options = parser.parse_args(arguments)
    images, _, held_out, _ = load_digits(options.seed)
    ag.manual_seed(options.seed)
    batches = nn.data.DataLoader(nn.data.TensorDataset(ag.tensor(images)), batch_size=64, shuffle=True, generator=options.seed)
    model = make_model()
    optimizer = nn.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = nn.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=options.epochs)
    for epoch in range(1, options.epochs + 1):
        total = 0.0
        for (clean,) in batches:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(noisy(clean)), clean)
            loss.backward()
            optimizer.step()
            total += loss.item() / len(batches)
        schedule.step()
        if epoch % max(1, options.epochs // 6) == 0:
            print(f"epoch {epoch:3}  mean squared error {total:.4f}")
    with ag.no_grad():
        clean = ag.tensor(held_out)
        spoiled = noisy(clean)
        restored = model(spoiled)
        left = nn.functional.mse_loss(restored, clean).item() / nn.functional.mse_loss(spoiled, clean).item()
    draw(held_out[:10], spoiled.numpy()[:10], restored.numpy()[:10], options.out)
    print(f"of the noise in held-out digits {left:.1%} is left (mean square); picture {options.out}")
    return left


if __name__ == "__main__":
    main()
