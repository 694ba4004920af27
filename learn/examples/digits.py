"""Handwritten digits, learned by a network of one hidden layer: 8 x 8 pixels in, one of ten digits out.

    python learn/examples/digits.py --epochs 30 --seed 0

The 1,797 images come with scikit-learn. A fifth of them, the same share of every digit, is held out: the network never
sees it while it learns, and the accuracy is measured there. Everything the network does, from the random numbers it
starts with to the last step of the optimizer, is gradloom's; scikit-learn only has the images, matplotlib draws the curve.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import autograd as ag
import nn

ROOT = Path(__file__).resolve().parents[2]
CLASSES = 10
LEARNING_RATE = 5e-3

Digits = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def load_digits(seed: int) -> Digits:
    """Images and labels to learn from, then those held out: float32 (n, 64) and int64 (n,)."""
    from sklearn import datasets

    bunch = datasets.load_digits()
    images = (bunch.data.astype(np.float32) / 16 - 0.3) / 0.4  # from 0..16 to a mean near 0 and a spread near 1
    labels = bunch.target.astype(np.int64)
    generator = np.random.default_rng(seed)
    is_held_out = np.zeros(len(labels), bool)
    for digit in range(CLASSES):
        of_this_digit = generator.permutation(np.flatnonzero(labels == digit))
        is_held_out[of_this_digit[: round(len(of_this_digit) / 5)]] = True
    return images[~is_held_out], labels[~is_held_out], images[is_held_out], labels[is_held_out]


def make_model(hidden: int = 128) -> nn.Module:
    """64 pixels, 128 hidden units, 10 scores."""
    return nn.Sequential(
        nn.Linear(64, hidden),
        nn.ReLU(),
        nn.Dropout(0.3),  # each step switches off three units of ten: so few images would else be learned by heart
        nn.Linear(hidden, CLASSES),
    )


def accuracy(model: nn.Module, images: ag.Tensor, labels: np.ndarray) -> float:
    """The share of images whose highest score is at the right digit."""
    model.eval()
    with ag.no_grad():
        guesses = ag.argmax(model(images), axis=1).numpy()
    model.train()
    return float(np.mean(guesses == labels))


def train(digits: Digits, arguments: argparse.Namespace) -> tuple[nn.Module, list[dict[str, float]]]:
    """Train a model; also what each epoch came to: loss, and accuracy on the held-out images."""
    images, labels, held_out_images, held_out_labels = digits
    ag.manual_seed(arguments.seed)
    device = arguments.device
    data = nn.data.TensorDataset(ag.tensor(images, device=device), ag.tensor(labels, device=device))
    batches = nn.data.DataLoader(data, batch_size=arguments.batch_size, shuffle=True)
    held_out = ag.tensor(held_out_images, device=device)
    model = make_model().to(device)
    loss_function = nn.CrossEntropyLoss(label_smoothing=0.1)  # asks for no certainty: 0.50 is the lowest it can reach
    optimizer = nn.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=1e-2)

    history = []
    progress = Progress(arguments.epochs)
    for epoch in range(1, arguments.epochs + 1):
        for group in optimizer.param_groups:  # ever smaller steps: the last epochs average out the noise of the batches
            group["lr"] = LEARNING_RATE * (1 - (epoch - 1) / arguments.epochs)
        total = 0.0
        for x, y in batches:
            optimizer.zero_grad()
            loss = loss_function(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
        result = {"loss": total / len(data), "accuracy": accuracy(model, held_out, held_out_labels)}
        history.append(result)
        progress.show(epoch, result)
    progress.close()
    return model, history


class Progress:
    """A bar on a terminal, with a line for each epoch above it; without a terminal the lines alone."""

    def __init__(self, epochs: int) -> None:
        from tqdm import tqdm

        self.epochs = epochs
        self.bar = tqdm(total=epochs, unit="epoch", disable=not sys.stderr.isatty())

    def show(self, epoch: int, result: dict[str, float]) -> None:
        line = f"epoch {epoch:3}/{self.epochs}  loss {result['loss']:.4f}  held-out accuracy {result['accuracy']:.2%}"
        self.bar.write(line)
        self.bar.update()

    def close(self) -> None:
        self.bar.close()


def draw(history: list[dict[str, float]], path: Path) -> None:
    """Loss and held-out accuracy over the epochs, as a picture."""
    import matplotlib

    matplotlib.use("Agg")  # draws to a file; needs no screen
    from matplotlib import pyplot

    epochs = range(1, len(history) + 1)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    left.plot(epochs, [h["loss"] for h in history], color="tab:blue", marker=".")
    left.set(title="training loss", xlabel="epoch", ylabel="cross-entropy")
    right.plot(epochs, [100 * h["accuracy"] for h in history], color="tab:green", marker=".")
    right.set(title="accuracy on held-out images", xlabel="epoch", ylabel="percent")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.set_xlim(0, len(history) + 1)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main(arguments: list[str] | None = None) -> float:
    """Train, report and save; returns the held-out accuracy."""
    parser = argparse.ArgumentParser(description="Train a 64-128-10 network on scikit-learn's 1,797 handwritten digits.")
    parser.add_argument("--epochs", type=positive, default=30, help="passes over the training images (default 30)")
    parser.add_argument("--seed", type=int, default=0, help="of the split, the first weights and the order (default 0)")
    parser.add_argument("--batch-size", type=positive, default=32, help="images per step (default 32)")
    parser.add_argument("--device", default="cpu", help="where to compute (default cpu)")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "digits", help="folder of the results (default runs/digits)")
    options = parser.parse_args(arguments)

    digits = load_digits(options.seed)
    begin = time.perf_counter()
    model, history = train(digits, options)
    seconds = time.perf_counter() - begin

    options.out.mkdir(parents=True, exist_ok=True)
    nn.save(options.out / "model.safetensors", model.state_dict())
    draw(history, options.out / "loss.png")
    result = history[-1]["accuracy"]
    print(f"\n{model}\n")
    print(f"held-out accuracy  {result:.2%}")
    print(f"training took      {seconds:.1f} s, compiling kernels included")
    print(f"loss curve         {options.out / 'loss.png'}")
    print(f"saved model        {options.out / 'model.safetensors'}")
    return result


def positive(text: str) -> int:
    """An integer of at least 1, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {value}")
    return value


if __name__ == "__main__":
    main()
