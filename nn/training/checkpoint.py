"""Checkpoints: everything that training depends on in one file, and folders that keep the last and the best of them.

    save_checkpoint("run.safetensors", model=model, optimizer=optimizer, schedule=schedule, loader=loader, epoch=3)
    epoch = load_checkpoint("run.safetensors", model=model, optimizer=optimizer, schedule=schedule, loader=loader)["epoch"]

A file is what `nn.save` writes: tensors under names such as "model.0.weight", everything else as JSON, no pickled code. It
holds the state of autograd's generator too, so training goes on with the numbers that it would have drawn.
"""

from __future__ import annotations

import copy
import json
import math
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kernels.random import default_generator
from nn.serialization import load, save, write_atomically

_VERSION = 1
_OWN = ("checkpoint", "random")  # entries of a file besides what is given


def save_checkpoint(path: str | os.PathLike, **parts: Any) -> None:
    """Write the states of all parts, and the random state, to one file: the whole new one or, if interrupted, the old.

    Args:
        parts: by the names under which they are saved: whatever has a `state_dict()` (modules, optimizers, schedules,
            loaders, trainers), or plain values, tensors, lists and dicts of them, as `nn.save` takes.

    Raises:
        TypeError, ValueError: what `nn.save` cannot write, or a part named "checkpoint" or "random".
    """
    for name in _OWN:
        if name in parts:
            raise ValueError(f"save_checkpoint: the name {name!r} is reserved; use another")
    states = {name: part.state_dict() if hasattr(part, "state_dict") else part for name, part in parts.items()}
    save(path, {"checkpoint": _VERSION, "random": default_generator.state(), **states})


def load_checkpoint(path: str | os.PathLike, *, restore_random: bool = True, **parts: Any) -> dict[str, Any]:
    """Put the states of a file into the parts given; either all of them are loaded or none is changed.

    Args:
        restore_random: whether autograd's default generator continues from where it was.
        parts: what was given to `save_checkpoint`, or those of it that are wanted, under the same names.

    Returns:
        What else is in the file: plain values, and the states of parts that were not given.

    Raises:
        ValueError: no whole and well-formed checkpoint, a part that is not in it, or a state that does not fit its part.
        OSError: the file cannot be read.

    >>> import os, tempfile, nn
    >>> path = os.path.join(tempfile.mkdtemp(), "checkpoint.safetensors")
    >>> model = nn.Linear(2, 3)
    >>> save_checkpoint(path, model=model, epoch=5)
    >>> load_checkpoint(path, model=model)
    {'epoch': 5}
    """
    return restore(read_checkpoint(path), parts, path, restore_random)


def read_checkpoint(path: str | os.PathLike) -> dict[str, Any]:
    """The content of a checkpoint, for `restore`."""
    found = load(path)
    if found.get("checkpoint") != _VERSION or "random" not in found:
        raise ValueError(f"load_checkpoint: {os.fspath(path)} is no checkpoint of version {_VERSION}; nn.load reads other files")
    return found


def restore(
    found: Mapping[str, Any], parts: Mapping[str, Any], path: str | os.PathLike, restore_random: bool = True
) -> dict[str, Any]:
    """Load the states that `read_checkpoint` found into parts, all or none, and return the rest."""
    name = os.fspath(path)
    missing = [repr(part) for part in parts if part not in found]
    if missing:
        there = ", ".join(repr(key) for key in found if key not in _OWN)
        raise ValueError(f"load_checkpoint: {name} has no {', '.join(missing)}; it has {there}")
    changed: list[tuple[Any, Any]] = []
    random_state = default_generator.state()
    part_name = "random"
    try:
        for part_name, part in parts.items():
            changed.append((part, copy.deepcopy(part.state_dict())))
            part.load_state_dict(found[part_name])
        if restore_random:
            part_name = "random"
            default_generator.set_state(found["random"])
    except Exception as error:
        for part, before in reversed(changed):
            part.load_state_dict(before)
        default_generator.set_state(random_state)  # a loader may share it
        raise ValueError(
            f"load_checkpoint: {name}: the state of {part_name!r} cannot be loaded, and nothing was changed: "
            f"{type(error).__name__}: {error}"
        ) from error
    return {key: value for key, value in found.items() if key not in parts and key not in _OWN}


# --- folders ---------------------------------------------------------------------------------------------------------


class CheckpointFolder:
    """A folder of checkpoints, of which the last ones and the best ones are kept.

    The files are "step-000000000012.safetensors", after 12 steps. "index.json" holds their scores. A process may be killed
    at any moment: each file is whole, and the newest is there before an older one is removed.

    Args:
        path: the folder, which is made if it is not there. One training run, one folder.
        keep_last: how many of the latest to keep, 1 or more.
        keep_best: how many of the best scores to keep.
        mode: "min" or "max": whether lower or higher scores are better. NaN is worst.

    >>> import tempfile, nn
    >>> folder = CheckpointFolder(tempfile.mkdtemp(), keep_last=1, keep_best=1)
    >>> for step, score in ((1, 0.5), (2, 0.1), (3, 0.2), (4, 0.3)):
    ...     _ = folder.save(step, score, model=nn.Linear(1, 1))
    >>> folder.latest().name, folder.best().name
    ('step-000000000004.safetensors', 'step-000000000002.safetensors')
    """

    _NAME = re.compile(r"step-(\d{12,})\.safetensors")

    def __init__(self, path: str | os.PathLike, keep_last: int = 1, keep_best: int = 1, mode: str = "min") -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"CheckpointFolder: mode is 'min' or 'max', got {mode!r}")
        if not isinstance(keep_last, int) or keep_last < 1 or not isinstance(keep_best, int) or keep_best < 0:
            raise ValueError(
                f"CheckpointFolder: keep_last must be an integer, 1 or more, and keep_best 0 or more, got {keep_last!r} and "
                f"{keep_best!r}"
            )
        self.path, self.keep_last, self.keep_best, self.mode = Path(path), keep_last, keep_best, mode

    def files(self) -> dict[int, Path]:
        """The checkpoints that are there, by their steps, ascending."""
        if not self.path.is_dir():
            return {}
        found = {int(match[1]): file for file in self.path.iterdir() if (match := self._NAME.fullmatch(file.name))}
        return dict(sorted(found.items()))

    def scores(self) -> dict[int, float]:
        """The scores of those that have one, by their steps."""
        index = self.path / "index.json"
        try:
            rows = json.loads(index.read_text(encoding="utf-8"))["checkpoints"] if index.exists() else []
            known = {int(row["step"]): float(row["score"]) for row in rows}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            message = f"CheckpointFolder: {index} is malformed; without it all scores count as unknown: {error}"
            raise ValueError(message) from error
        return {step: known[step] for step in self.files() if step in known}

    def latest(self) -> Path | None:
        """The checkpoint of the highest step, or None in an empty folder."""
        return next(reversed(self.files().values()), None)

    def best(self) -> Path | None:
        """The checkpoint with the best score that is left (of equal ones the earliest), or None."""
        ranked = self._ranked(self.scores())
        return self.files()[ranked[0]] if ranked else None

    def _ranked(self, scores: Mapping[int, float]) -> list[int]:
        def badness(step: int) -> tuple[float, int]:
            score = scores[step] if self.mode == "min" else -scores[step]
            return (math.inf if math.isnan(score) else score, step)

        return sorted(scores, key=badness)

    def save(self, step: int, score: float | None = None, **parts: Any) -> Path:
        """Write the checkpoint of a step as `save_checkpoint` does, and remove those that need not be kept."""
        self.path.mkdir(parents=True, exist_ok=True)
        file = self.path / f"step-{step:012d}.safetensors"
        save_checkpoint(file, **parts)
        self.note(step, score)
        return file

    def note(self, step: int, score: float | None) -> None:
        """Enter the score of a checkpoint, None if it has none, and remove what need not be kept."""
        scores = {**self.scores(), **({} if score is None else {step: float(score)})}
        if score is None:
            scores.pop(step, None)
        files = self.files()
        kept = {*list(files)[-self.keep_last :], *self._ranked(scores)[: self.keep_best]}
        rows = [{"step": s, "score": scores[s]} for s in sorted(scores) if s in kept]
        write_atomically(self.path / "index.json", json.dumps({"checkpoints": rows}, indent=1).encode())
        for old, file in files.items():
            if old not in kept:
                file.unlink(missing_ok=True)

    def clean(self) -> None:
        """Remove what writers left that were killed. Nobody else may be writing."""
        for pattern in (".step-*.tmp", ".index.json.*.tmp"):
            for file in self.path.glob(pattern):
                with suppress(OSError):
                    file.unlink()
