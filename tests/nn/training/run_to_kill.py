"""A training run that may be killed at any moment: dropout, shuffling, random samples, accumulation, a schedule, checkpoints.

    python run_to_kill.py folder epochs [patience]    trains, or continues what is in the folder, and writes folder/result.safetensors
"""

import sys
from pathlib import Path

import numpy as np

import autograd as ag
import nn
from nn.data import DataLoader, Dataset, sample_generator


class NoisyLine(Dataset):
    """Points near a line, with other noise in each pass."""

    def __getitem__(self, index):
        x = np.float32([index / 50 - 1, sample_generator().normal((), std=0.1).item()])
        return x, np.float32([3 * x[0] - 0.5])

    def __len__(self):
        return 100


def make(folder, optimizer=None, save_every=3, callbacks=(), seed=3, patience=3):
    """A trainer, its loader and its validation data, all from the seed."""
    ag.manual_seed(seed)
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Dropout(0.2), nn.LayerNorm(16), nn.Linear(16, 1))
    make_optimizer = optimizer or (lambda parameters: nn.optim.AdamW(parameters, lr=0.02))
    optimizer = make_optimizer(model.parameters())
    trainer = nn.Trainer(
        model, optimizer, nn.MSELoss(), schedule=nn.optim.lr_scheduler.CosineAnnealingLR(optimizer, 25), schedule_every="step",
        accumulate=2, clip_norm=1.0, checkpoints=folder, save_every=save_every, keep_last=2, keep_best=2,
        callbacks=[nn.EarlyStopping(patience=patience), *callbacks],
    )  # fmt: skip
    loader = DataLoader(NoisyLine(), batch_size=12, shuffle=True, num_workers=2)
    return trainer, loader, DataLoader(NoisyLine(), batch_size=50)


def result(trainer):
    """Everything that must be equal after an interruption, for `nn.save`."""
    return {
        "model": trainer.model.state_dict(), "optimizer": trainer.optimizer.state_dict(), "history": trainer.history.rows,
        "step": trainer.step, "random": ag.rand(4),
    }  # fmt: skip


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    trainer, loader, validation = make(folder, patience=int(sys.argv[3]) if len(sys.argv) > 3 else 3)
    print("training begins", flush=True)
    trainer.fit(loader, epochs=int(sys.argv[2]), validation=validation, resume=True)
    nn.save(folder / "result.safetensors", result(trainer))
