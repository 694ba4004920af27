"""Trainer: the loop of steps, epochs, validation and checkpoints. Each part of it can be called without it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import autograd as ag
from nn.metrics import Metric
from nn.module import Module
from nn.optim.lr_scheduler import ReduceLROnPlateau
from nn.optim.optimizer import Optimizer
from nn.training.callbacks import Callback
from nn.training.checkpoint import CheckpointFolder, read_checkpoint, restore
from nn.training.history import History
from nn.training.progress import Progress
from nn.utils import clip_grad_norm_, clip_grad_value_

_PARTS = ("model", "optimizer", "schedule", "loader", "validation", "trainer")


class Trainer:
    """Trains a model, watches it, and saves it such that an interrupted run can be continued as if never stopped.

    Batches are tuples or lists: the model's inputs, and the target as the last. For other batches, and for losses of more
    than output and target, define `compute(batch)` in a subclass.

    Args:
        model: the module to train; batches are moved to its device.
        optimizer: with the model's parameters.
        loss: a function (output, target) -> 0-d tensor, as the losses of `nn` are.
        schedule: a learning-rate schedule; a `ReduceLROnPlateau` is given the monitored number.
        schedule_every: "epoch" or "step": when the schedule goes on.
        metrics: names and metrics, computed while training and in validation; those that give one number are in the history.
        callbacks: called in this order.
        accumulate: batches per step of the optimizer, which follows the mean of their losses.
        clip_norm, clip_value: limits of the gradients' common norm, or of each element.
        checkpoints: a folder for checkpoints (or a `CheckpointFolder`), one after each epoch.
        save_every: also a checkpoint after every so many steps of the optimizer.
        keep_last, keep_best: how many checkpoints to keep.
        monitor: the column that tells how good an epoch was; "validation_loss" where there is validation, else "loss".
        mode: "min" or "max": whether lower or higher is better.
        progress: whether to show bars (by tqdm); None: where standard error is a terminal.

    Attributes:
        epoch, step: the epochs that are finished and the optimizer's steps, over all calls of `fit`.
        history: the `History`, a row per epoch.
        should_stop: set by callbacks to end training after the epoch.

    >>> import autograd as ag, nn
    >>> x = ag.linspace(-1, 1, 32).reshape(32, 1)
    >>> loader = nn.data.DataLoader(nn.data.TensorDataset(x, 3 * x), batch_size=8, shuffle=True, generator=0)
    >>> model = nn.Linear(1, 1)
    >>> trainer = Trainer(model, nn.optim.SGD(model.parameters(), lr=0.5), nn.MSELoss())
    >>> trainer.fit(loader, epochs=20)
    History of 20 epochs: epoch, step, lr, loss
    >>> round(model.weight.item(), 3)
    3.0
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss: Any,
        *,
        schedule: Any = None,
        schedule_every: str = "epoch",
        metrics: Mapping[str, Metric] | None = None,
        callbacks: Sequence[Callback] = (),
        accumulate: int = 1,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        checkpoints: str | os.PathLike | CheckpointFolder | None = None,
        save_every: int | None = None,
        keep_last: int = 1,
        keep_best: int = 1,
        monitor: str | None = None,
        mode: str = "min",
        progress: bool | None = None,
    ) -> None:
        if schedule_every not in ("epoch", "step") or mode not in ("min", "max"):
            given = f"got {schedule_every!r} and {mode!r}"
            raise ValueError(f"Trainer: schedule_every is 'epoch' or 'step' and mode 'min' or 'max', {given}")
        for name, number in (("accumulate", accumulate), ("save_every", 1 if save_every is None else save_every)):
            if not isinstance(number, int) or number < 1:
                raise ValueError(f"Trainer: {name} must be an integer, 1 or more, got {number!r}")
        if save_every is not None and checkpoints is None:
            raise ValueError("Trainer: save_every needs a folder for checkpoints")
        if checkpoints is not None and not isinstance(checkpoints, CheckpointFolder):
            checkpoints = CheckpointFolder(checkpoints, keep_last, keep_best, mode)
        self.model, self.optimizer, self.loss = model, optimizer, loss
        self.schedule, self.schedule_every = schedule, schedule_every
        self.metrics, self.callbacks = dict(metrics or {}), list(callbacks)
        self.accumulate, self.clip_norm, self.clip_value = accumulate, clip_norm, clip_value
        self.checkpoints, self.save_every = checkpoints, save_every
        self.monitor, self.mode, self.progress = monitor, mode, progress
        self.epoch = self.step = self._batches = 0  # batches of the epoch that is going on
        self._total = self._samples = 0.0  # of the losses in the epoch
        self._exhausted = False  # whether the loader had no more batches for this epoch
        self.should_stop, self.history = False, History()
        self._score: float | None = None

    # --- what a subclass may change -------------------------------------------------------------------------------

    def compute(self, batch: Any) -> tuple[ag.Tensor, Any, Any]:
        """(loss, output, target) of a batch; the metrics are given output and target."""
        if not isinstance(batch, (tuple, list)) or len(batch) < 2:
            raise TypeError(
                f"Trainer: a batch must be a tuple or list of inputs and a target, got a {type(batch).__name__}; define "
                "compute(batch) in a subclass of Trainer for others"
            )
        *inputs, target = batch
        output = self.model(*inputs)
        return self.loss(output, target), output, target

    # --- fit ------------------------------------------------------------------------------------------------------

    def fit(self, loader: Any, epochs: int, validation: Any = None, resume: bool = False) -> History:
        """Train until `epochs` epochs are finished, counting those of earlier calls and of the run that is resumed.

        Args:
            loader: gives the batches of an epoch; a `DataLoader`, or any iterable that gives them anew each time.
            validation: batches to evaluate after each epoch.
            resume: continue from the newest checkpoint, with everything that was saved there: weights, optimizer, schedule,
                random numbers, the place in the epoch, history and callbacks. If there is none, begin.

        Raises:
            ValueError: no batches, a loss that is no single number, a checkpoint that does not fit (nothing is changed
                then), or, without `resume`, a folder with the checkpoints of another run.
        """
        self._forget_epoch()  # one that an error ended is not gone on with
        if resume:
            self._resume(loader, validation)
        elif self.checkpoints is not None and max(self.checkpoints.files(), default=-1) > self.step:
            raise ValueError(
                f"Trainer: {self.checkpoints.path} holds checkpoints of another run; resume=True continues it, or choose "
                "another folder"
            )
        for callback in self.callbacks:
            callback.on_fit_begin(self)
        while self.epoch < epochs and not self.should_stop:
            self._train_epoch(loader, validation)
            self._finish_epoch(loader, validation)
        for callback in self.callbacks:
            callback.on_fit_end(self)
        return self.history

    def _forget_epoch(self) -> None:
        self._total = self._samples = 0.0
        self._batches, self._exhausted = 0, False
        for metric in self.metrics.values():
            metric.reset()

    def _train_epoch(self, loader: Any, validation: Any) -> None:
        self.model.train()
        batches = iter(loader)
        if self._batches and not hasattr(loader, "load_state_dict"):
            batches = islice(batches, self._batches, None)  # the rest of an epoch that is resumed
        with Progress(self.progress, f"epoch {self.epoch + 1}", loader, self._batches) as bar:
            while not self._exhausted and (together := list(islice(batches, self.accumulate))):
                self._exhausted = len(together) < self.accumulate
                loss = self._step(together)
                bar.advance(len(together), loss=self._total / self._samples)
                for callback in self.callbacks:
                    callback.on_step_end(self, loss)
                if self.save_every is not None and self.step % self.save_every == 0:
                    self.save(loader, validation)
        if not self._batches:
            raise ValueError("Trainer: the loader gave no batches to train on")

    def _step(self, together: list[Any]) -> float:
        """A step of the optimizer on the mean loss of some batches, which is returned."""
        together = [_moved(batch, self.model) for batch in together]
        losses: list[tuple[float, int]] = []

        def closure() -> float:  # some optimizers call it several times
            first = not losses
            self.optimizer.zero_grad()
            mean = 0.0
            for batch in together:
                loss, output, target = self.compute(batch)
                if not isinstance(loss, ag.Tensor) or loss.size != 1:
                    raise ValueError(
                        f"Trainer: the loss must be a tensor of one element, got {getattr(loss, 'shape', loss)}; has it "
                        "reduction='none'?"
                    )
                (loss / len(together)).sum().backward()
                mean += loss.item() / len(together)
                if first:
                    losses.append((loss.item(), _count(batch)))
                    for metric in self.metrics.values():
                        metric.update(output, target)
            self._clip()
            return mean

        mean = self.optimizer.step(closure)
        self._total += math.fsum(loss * count for loss, count in losses)
        self._samples += sum(count for _, count in losses)
        self._batches += len(together)
        self.step += 1
        if self.schedule is not None and self.schedule_every == "step":
            self.schedule.step(*([mean] if isinstance(self.schedule, ReduceLROnPlateau) else []))
        return float(mean)

    def _clip(self) -> None:
        if self.clip_norm is not None:
            clip_grad_norm_(self.model.parameters(), self.clip_norm)
        if self.clip_value is not None:
            clip_grad_value_(self.model.parameters(), self.clip_value)

    def _finish_epoch(self, loader: Any, validation: Any) -> None:
        self.epoch += 1
        row: dict[str, Any] = {"epoch": self.epoch, "step": self.step, "lr": self.optimizer.param_groups[0]["lr"]}
        row["loss"] = self._total / self._samples
        row.update(_numbers(self._computed()))
        self._forget_epoch()
        if validation is not None:
            row.update({f"validation_{name}": value for name, value in _numbers(self.evaluate(validation)).items()})
        if self.schedule is not None and self.schedule_every == "epoch":
            self.schedule.step(*([self.monitored(row)] if isinstance(self.schedule, ReduceLROnPlateau) else []))
        for callback in self.callbacks:
            callback.on_epoch_end(self, row)
        self.history.append(row)
        if self.checkpoints is not None:
            self._score = self.monitored(row)
            self.save(loader, validation)
            self._score = None

    def monitored(self, row: Mapping[str, float], name: str | None = None) -> float:
        """The number in a row of the history that tells how good an epoch was."""
        name = name or self.monitor or ("validation_loss" if "validation_loss" in row else "loss")
        if name not in row:
            raise ValueError(f"Trainer: there is no {name!r} to monitor; the history has {', '.join(row)}")
        return float(row[name])

    # --- evaluate and predict -------------------------------------------------------------------------------------

    def evaluate(self, loader: Any) -> dict[str, Any]:
        """The mean loss and the metrics over a loader, in evaluation mode and without gradients.

        Raises:
            ValueError: the loader gave no batches.
        """
        total, samples = 0.0, 0
        kept = {name: metric.state_dict() for name, metric in self.metrics.items()}
        for metric in self.metrics.values():
            metric.reset()
        try:
            with _evaluating(self.model), Progress(self.progress, "evaluate", loader) as bar:
                for batch in loader:
                    moved = _moved(batch, self.model)
                    loss, output, target = self.compute(moved)
                    total, samples = total + loss.item() * _count(moved), samples + _count(moved)
                    for metric in self.metrics.values():
                        metric.update(output, target)
                    bar.advance(1)
            if not samples:
                raise ValueError("Trainer: the loader gave no batches to evaluate")
            return {"loss": total / samples, **self._computed()}
        finally:
            for name, metric in self.metrics.items():
                metric.load_state_dict(kept[name])

    def predict(self, loader: Any, has_targets: bool | None = None) -> Any:
        """The model's outputs for all batches, joined along the first dimension (of tuples: each part).

        Args:
            has_targets: whether the last part of a batch is a target, which the model is not given; by default so for
                batches of several parts.

        Raises:
            ValueError: the loader gave no batches.
        """
        outputs = []
        with _evaluating(self.model), Progress(self.progress, "predict", loader) as bar:
            for batch in loader:
                parts = list(_moved(batch, self.model)) if isinstance(batch, (tuple, list)) else [_moved(batch, self.model)]
                if len(parts) > 1 if has_targets is None else has_targets:
                    parts.pop()
                outputs.append(self.model(*parts))
                bar.advance(1)
        if not outputs:
            raise ValueError("Trainer: the loader gave no batches to predict")
        if isinstance(outputs[0], (tuple, list)):
            return tuple(ag.concat(list(parts)) for parts in zip(*outputs, strict=True))
        return ag.concat(outputs)

    def _computed(self) -> dict[str, Any]:
        """The metrics' results, after which they begin again."""
        results = {name: metric.compute() for name, metric in self.metrics.items()}
        for metric in self.metrics.values():
            metric.reset()
        return results

    # --- checkpoints ----------------------------------------------------------------------------------------------

    def _parts(self, loader: Any, validation: Any) -> dict[str, Any]:
        parts = zip(_PARTS, (self.model, self.optimizer, self.schedule, loader, validation, self), strict=True)
        return {name: part for name, part in parts if part is not None and hasattr(part, "load_state_dict")}

    def save(self, loader: Any = None, validation: Any = None) -> None:
        """Write a checkpoint of now into the folder: between epochs, or where `on_step_end` is called."""
        if self.checkpoints is None:
            raise ValueError("Trainer: to save, give the trainer a folder for checkpoints")
        self.checkpoints.save(self.step, self._score, **self._parts(loader, validation))

    def _resume(self, loader: Any, validation: Any) -> None:
        if self.checkpoints is None:
            raise ValueError("Trainer: to resume, give the trainer the folder of the checkpoints")
        self.checkpoints.clean()
        path = self.checkpoints.latest()
        if path is None:
            return
        found, parts = read_checkpoint(path), self._parts(loader, validation)
        extra = [name for name in _PARTS if name in found and name not in parts]
        if extra:
            raise ValueError(f"Trainer: {path} was saved with {', '.join(extra)}; give the same to resume")
        restore(found, parts, path)
        self.checkpoints.note(self.step, self._score)  # the index may be older than the newest file
        self._score = None

    def state_dict(self) -> dict[str, Any]:
        """Where training stands: its counts, history, metrics and callbacks, but not the model and what else has a state."""
        return {
            "epoch": self.epoch, "step": self.step, "batches": self._batches, "total": self._total, "samples": self._samples,
            "exhausted": self._exhausted, "should_stop": self.should_stop, "score": self._score,
            "history": [dict(row) for row in self.history],
            "metrics": {name: metric.state_dict() for name, metric in self.metrics.items()},
            "callbacks": [callback.state_dict() for callback in self.callbacks],
        }  # fmt: skip

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave.

        Raises:
            ValueError, KeyError, TypeError: the state of a trainer with other metrics or callbacks, or none at all.
        """
        counts = [state_dict[name] for name in ("epoch", "step", "batches")]
        if not all(type(count) is int and count >= 0 for count in counts):
            raise ValueError(f"Trainer: epoch, step and batches must be whole numbers, got {counts}")
        metrics, callbacks = state_dict["metrics"], state_dict["callbacks"]
        if metrics.keys() != self.metrics.keys() or len(callbacks) != len(self.callbacks):
            raise ValueError(
                f"Trainer: the state has metrics {sorted(metrics)} and {len(callbacks)} callbacks, the trainer "
                f"{sorted(self.metrics)} and {len(self.callbacks)}"
            )
        total, samples, score = float(state_dict["total"]), float(state_dict["samples"]), state_dict["score"]
        history = History(state_dict["history"])
        exhausted, should_stop = bool(state_dict["exhausted"]), bool(state_dict["should_stop"])
        for name, metric in self.metrics.items():
            metric.load_state_dict(metrics[name])
        for callback, state in zip(self.callbacks, callbacks, strict=True):
            callback.load_state_dict(state)
        self.epoch, self.step, self._batches = counts
        self._total, self._samples, self._score = total, samples, None if score is None else float(score)
        self._exhausted, self.should_stop, self.history = exhausted, should_stop, history


@contextmanager
def _evaluating(model: Module) -> Iterator[None]:
    """Evaluation mode without gradients; each module's own mode comes back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with ag.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def _moved(batch: Any, model: Module) -> Any:
    """The batch with its tensors on the model's device."""
    device = next((p.device for p in model.parameters()), None)

    def move(value: Any) -> Any:
        if isinstance(value, ag.Tensor):
            return value if device is None or value.device == device else value.to(device)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*map(move, value))
        if isinstance(value, (tuple, list)):
            return type(value)(map(move, value))
        return {key: move(item) for key, item in value.items()} if isinstance(value, dict) else value

    return move(batch)


def _count(batch: Any) -> int:
    """How many samples a batch has: the first dimension of its first tensor."""
    if isinstance(batch, ag.Tensor):
        return batch.shape[0] if batch.ndim else 1
    parts: Iterable = batch.values() if isinstance(batch, dict) else batch if isinstance(batch, (tuple, list)) else ()
    return next((_count(part) for part in parts), 1)


def _numbers(results: Mapping[str, Any]) -> dict[str, float]:
    """Those results that are single numbers."""
    return {name: float(value) for name, value in results.items() if isinstance(value, (int, float))}
