"""Callbacks: what is done beside training, between its steps and epochs."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nn.module import Module

if TYPE_CHECKING:
    from nn.training.trainer import Trainer


class Callback:
    """What a `Trainer` calls; subclasses define what they need. What must survive an interruption is in the state.

    `trainer.model`, `.optimizer`, `.step` and `.epoch` (both counted from the beginning), `.history` and so on may be
    looked at, and `trainer.should_stop = True` ends training after the epoch.
    """

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Before the first epoch; after a resumed state is loaded."""

    def on_step_end(self, trainer: Trainer, loss: float) -> None:
        """After each step of the optimizer."""

    def on_epoch_end(self, trainer: Trainer, row: dict[str, float]) -> None:
        """After each epoch and its validation, with its row of the history, to which numbers may be added."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last epoch, when training did not end with an error."""

    def state_dict(self) -> dict[str, Any]:
        """What is saved in checkpoints."""
        return {}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave."""


class LambdaCallback(Callback):
    """Calls functions: `LambdaCallback(on_epoch_end=lambda trainer, row: print(row))`."""

    def __init__(self, **functions: Callable) -> None:
        known = [name for name in vars(Callback) if name.startswith("on_")]
        for name, function in functions.items():
            if name not in known:
                raise TypeError(f"LambdaCallback: there is no {name}; there are {', '.join(known)}")
            setattr(self, name, function)


class EarlyStopping(Callback):
    """Stops when a number has not become better for more than `patience` epochs, and takes the best weights back.

    In a loop of one's own: `if stopping.update(validation_loss, model): break`, and afterwards `stopping.restore(model)`.

    Args:
        monitor: the column of the history to look at; by default the trainer's.
        patience: how many epochs without improvement are allowed.
        min_delta: how much better counts.
        mode: "min" or "max": whether lower or higher is better.
        restore_best: put the weights of the best epoch into the model when training ends, stopped or not.

    >>> stopping = EarlyStopping(patience=1)
    >>> [stopping.update(loss) for loss in (3.0, 2.0, 2.5, 2.1)]
    [False, False, False, True]
    """

    def __init__(
        self, monitor: str | None = None, patience: int = 0, min_delta: float = 0.0, mode: str = "min",
        restore_best: bool = True,
    ) -> None:  # fmt: skip
        if mode not in ("min", "max") or patience < 0 or not min_delta >= 0:
            raise ValueError(
                "EarlyStopping: mode is 'min' or 'max', patience and min_delta are not negative; got "
                f"{mode!r}, {patience} and {min_delta}"
            )
        self.monitor, self.patience, self.min_delta, self.mode = monitor, patience, min_delta, mode
        self.restore_best = restore_best
        self.best = math.inf if mode == "min" else -math.inf
        self.bad_epochs, self.best_state = 0, None

    def update(self, value: float, model: Module | None = None) -> bool:
        """Take the next value, keep a copy of the model's weights if it is the best, and say whether to stop."""
        value = float(value)
        gain = self.best - value if self.mode == "min" else value - self.best
        if gain > self.min_delta:
            self.best, self.bad_epochs = value, 0
            if self.restore_best and model is not None:
                self.best_state = copy.deepcopy(model.state_dict())
        else:
            self.bad_epochs += 1
        return self.bad_epochs > self.patience

    def restore(self, model: Module) -> None:
        """Put the best weights into the model, if there are any."""
        if self.best_state is not None:
            model.load_state_dict(self.best_state)

    def on_epoch_end(self, trainer: Trainer, row: dict[str, float]) -> None:
        if self.update(trainer.monitored(row, self.monitor), trainer.model):
            trainer.should_stop = True

    def on_fit_end(self, trainer: Trainer) -> None:
        if self.restore_best:
            self.restore(trainer.model)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "bad_epochs": self.bad_epochs, "best_state": self.best_state}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        best, bad_epochs, best_state = (state_dict[name] for name in ("best", "bad_epochs", "best_state"))
        self.best, self.bad_epochs, self.best_state = float(best), int(bad_epochs), best_state


class TensorBoard(Callback):
    """Writes the history's numbers for TensorBoard, by tensorboardX: `tensorboard --logdir folder` shows them.

    Raises:
        ImportError: tensorboardX is not installed.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        try:
            from tensorboardX import SummaryWriter  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ImportError("TensorBoard needs the package tensorboardX: pip install 'gradloom[train]'") from error
        self.writer = SummaryWriter(os.fspath(folder))

    def on_epoch_end(self, trainer: Trainer, row: dict[str, float]) -> None:
        for name, value in row.items():
            if name not in ("epoch", "step"):
                self.writer.add_scalar(name.replace("validation_", "validation/"), value, trainer.step)
        self.writer.flush()

    def on_fit_end(self, trainer: Trainer) -> None:
        self.writer.close()
