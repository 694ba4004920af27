"""Handwritten digits, learned by a convolutional network with `nn.Trainer`.

    python learn/examples/digits_conv.py --epochs 25 --seed 0

The images are those of digits.py, 8 x 8 pixels. Each time the network sees one it is turned and shifted a little, at random,
so that it learns what stays the same. The Trainer does what digits.py does by hand, and saves a checkpoint after each epoch:
stop the program at any moment, and start it again with --resume.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from digits import load_digits

import autograd as ag
import nn
from nn.data.transforms import RandomAffine

ROOT = Path(__file__).resolve().parents[2]


class Images(nn.data.Dataset):
    """Images (1, 8, 8) and their labels; turned and shifted where they are to be learned from."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, is_training: bool) -> None:
        self.images, self.labels = images.reshape(-1, 1, 8, 8), labels
        self.vary = RandomAffine(8, translate=(0.08, 0.08), scale=(0.92, 1.08), fill=float(images.min()))
        self.is_training = is_training

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> tuple[np.ndarray, int]:
        image = self.images[number]
        return self.vary(image) if self.is_training else image, int(self.labels[number])


def make_model() -> nn.Module:
    """Two convolutions, a pooling that halves the picture, one more convolution, and ten scores."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(256, 10),
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> float:
    """Train and report; returns the held-out accuracy."""
    parser = argparse.ArgumentParser(description="Train a convolutional network on scikit-learn's 1,797 handwritten digits.")
    parser.add_argument("--epochs", type=int, default=25, help="passes over the training images (default 25)")
    parser.add_argument("--seed", type=int, default=0, help="of the split, the first weights and the order (default 0)")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "digits_conv", help="folder of the checkpoints")
    options = parser.parse_args(arguments)

    images, labels, held_out_images, held_out_labels = load_digits(options.seed)
    ag.manual_seed(options.seed)
    training = nn.data.DataLoader(Images(images, labels, True), batch_size=64, shuffle=True, generator=options.seed)
    held_out = nn.data.DataLoader(Images(held_out_images, held_out_labels, False), batch_size=256)
    model = make_model()
    optimizer = nn.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = nn.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, epochs=options.epochs, steps_per_epoch=len(training))
    trainer = nn.Trainer(
        model, optimizer, nn.CrossEntropyLoss(label_smoothing=0.05), schedule=schedule, schedule_every="step",
        metrics={"accuracy": nn.metrics.Accuracy()}, checkpoints=options.out,
    )  # fmt: skip
    history = trainer.fit(training, options.epochs, validation=held_out, resume=options.resume)
    for row in history:
        print(f"epoch {row['epoch']:3}  loss {row['loss']:.4f}  held-out accuracy {row['validation_accuracy']:.2%}")
    return float(history[-1]["validation_accuracy"])


if __name__ == "__main__":
    main()
