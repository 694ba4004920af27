"""Tables: two classifications and a regression on scikit-learn's data sets, beside a linear model on the same split.

    python learn/examples/tabular.py breast_cancer
    python learn/examples/tabular.py wine
    python learn/examples/tabular.py diabetes

A quarter of the rows is held out. Columns are brought to mean 0 and standard deviation 1 with the training rows' figures alone:
the held-out ones must not be looked at, not even for that.
"""

from __future__ import annotations

import argparse

import numpy as np

import autograd as ag
import nn

SETS = {"breast_cancer": True, "wine": True, "diabetes": False}  # and whether they are classifications


def load(name: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows and targets to learn from, then those held out, in the same proportions of classes."""
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    bunch = getattr(datasets, f"load_{name}")()
    x, y = bunch.data.astype(np.float32), bunch.target
    x, held_out_x, y, held_out_y = train_test_split(x, y, test_size=0.25, random_state=seed, stratify=y if SETS[name] else None)
    mean, spread = x.mean(axis=0), x.std(axis=0)
    return (x - mean) / spread, y, (held_out_x - mean) / spread, held_out_y


def make_model(columns: int, outputs: int) -> nn.Module:
    """One hidden layer, for a few hundred rows say no more than that."""
    return nn.Sequential(nn.Linear(columns, 32), nn.ReLU(), nn.Dropout(0.4), nn.Linear(32, outputs))


def train(x: np.ndarray, y: np.ndarray, is_classification: bool, epochs: int, seed: int) -> nn.Module:
    """A trained model; of a regression the target is expected with mean 0 and standard deviation 1."""
    ag.manual_seed(seed)
    targets = ag.tensor(y.astype(np.int64)) if is_classification else ag.tensor(y.astype(np.float32)[:, None])
    batches = nn.data.DataLoader(nn.data.TensorDataset(ag.tensor(x), targets), batch_size=32, shuffle=True)
    model = make_model(x.shape[1], int(y.max()) + 1 if is_classification else 1)
    loss_function = nn.CrossEntropyLoss() if is_classification else nn.MSELoss()
    optimizer = nn.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1)
    schedule = nn.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    for _ in range(epochs):
        for rows, wanted in batches:
            optimizer.zero_grad()
            loss_function(model(rows), wanted).backward()
            optimizer.step()
        schedule.step()
    return model.eval()


def score(model: nn.Module, x: np.ndarray, y: np.ndarray, is_classification: bool) -> float:
    """The share of rows classified rightly, or the part of the variance that is explained (R squared)."""
    with ag.no_grad():
        out = model(ag.tensor(x)).numpy()
    if is_classification:
        return float((out.argmax(axis=1) == y).mean())
    return float(1 - ((out[:, 0] - y) ** 2).sum() / ((y - y.mean()) ** 2).sum())


def linear_score(x: np.ndarray, y: np.ndarray, held_out_x: np.ndarray, held_out_y: np.ndarray, is_classification: bool) -> float:
    """The same of a linear model."""
    from sklearn.linear_model import LinearRegression, LogisticRegression

    model = LogisticRegression(max_iter=1000) if is_classification else LinearRegression()
    return float(model.fit(x, y).score(held_out_x, held_out_y))


def main(arguments: list[str] | None = None) -> float:
    """Train and report; returns the score on the held-out rows."""
    parser = argparse.ArgumentParser(description="Train a small network on a table.")
    parser.add_argument("data", choices=SETS, nargs="?", default="breast_cancer")
    parser.add_argument("--epochs", type=int, default=60, help="passes over the training rows (default 60)")
    parser.add_argument("--seed", type=int, default=0, help="of the split, the first weights and the order (default 0)")
    options = parser.parse_args(arguments)
    is_classification = SETS[options.data]
    x, y, held_out_x, held_out_y = load(options.data, options.seed)
    if not is_classification:
        mean, spread = y.mean(), y.std()
        y, held_out_y = (y - mean) / spread, (held_out_y - mean) / spread
    found = score(train(x, y, is_classification, options.epochs, options.seed), held_out_x, held_out_y, is_classification)
    linear = linear_score(x, y, held_out_x, held_out_y, is_classification)
    what = "accuracy" if is_classification else "R squared"
    print(f"{options.data}: {what} on {len(held_out_y)} held-out rows {found:.3f}, of a linear model {linear:.3f}")
    return found


if __name__ == "__main__":
    main()
