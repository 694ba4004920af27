"""An interrupted run that is resumed ends as one that was not: in the same process at every step, and killed at random."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import autograd as ag
import nn
from nn.data import DataLoader, TensorDataset

sys.path.insert(0, str(Path(__file__).parent))
from run_to_kill import make, result

pytest.importorskip("safetensors")
SCRIPT = Path(__file__).with_name("run_to_kill.py")
ROOT = Path(__file__).resolve().parents[3]


class Interrupted(Exception):
    pass


class InterruptAt(nn.Callback):
    def __init__(self, step):
        self.at = step

    def on_step_end(self, trainer, loss):
        if trainer.step == self.at:
            raise Interrupted


def flat(value, path=""):
    """All leaves of a state by path, tensors as bytes."""
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in flat(item, f"{path}.{key}").items()}
    if isinstance(value, (list, tuple)):
        return {k: v for i, item in enumerate(value) for k, v in flat(item, f"{path}.{i}").items()}
    return {path: (value.shape, value.numpy().tobytes()) if isinstance(value, ag.Tensor) else value}


OPTIMIZERS = {
    "AdamW": lambda p: nn.optim.AdamW(p, lr=0.02),
    "SGD": lambda p: nn.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "RMSprop": lambda p: nn.optim.RMSprop(p, lr=0.01, centered=True),
    "LBFGS": lambda p: nn.optim.LBFGS(p, lr=0.1, max_iter=3),
}


def interrupt_after_saving(trainer, step):
    """Raise as soon as the checkpoint of a step is written, in the epoch or, with a negative step, after it."""
    save = trainer.save

    def save_and_raise(*loaders):
        save(*loaders)
        if trainer.step == abs(step) and (step < 0) == (trainer._batches == 0):
            raise Interrupted

    trainer.save = save_and_raise


def check_resumed(tmp_path, name, steps, save_every, interrupt):
    """Interrupt the run at each of some steps, resume it, and compare with one that was left alone."""
    trainer, loader, validation = make(tmp_path / "whole", OPTIMIZERS[name], save_every)
    trainer.fit(loader, 3, validation)
    expected = flat(result(trainer))
    assert trainer.step == 15
    for step in steps:
        folder = tmp_path / str(step)
        trainer, loader, validation = make(folder, OPTIMIZERS[name], save_every)
        interrupt(trainer, step)
        with pytest.raises(Interrupted):
            trainer.fit(loader, 3, validation)
        seed = 1000 if abs(step) > save_every else 3  # where there is a checkpoint, everything comes from it
        trainer, loader, validation = make(folder, OPTIMIZERS[name], save_every, seed=seed)
        trainer.fit(loader, 3, validation, resume=True)
        assert flat(result(trainer)) == expected
        names = [file.name for file in sorted(folder.iterdir())]
        assert names == [file.name for file in sorted((tmp_path / "whole").iterdir())]
        assert (folder / "index.json").read_text() == (tmp_path / "whole" / "index.json").read_text()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_resumed_between_checkpoints_ends_the_same(name, tmp_path):
    def interrupt(trainer, step):
        trainer.callbacks[0].on_step_end = InterruptAt(step).on_step_end

    check_resumed(tmp_path, name, range(1, 16, 3) if name == "AdamW" else (8,), 3, interrupt)


def test_resumed_at_any_checkpoint_ends_the_same(tmp_path):
    """Also from the one after an epoch's last step, before the epoch's own."""
    check_resumed(tmp_path, "AdamW", [*range(1, 16), -5, -10, -15], 1, interrupt_after_saving)


def test_lists_of_batches_are_resumed_too(tmp_path):
    x = ag.rand(12, 2)
    batches = [(x[i : i + 3], x[i : i + 3].sum(axis=1, keepdims=True)) for i in range(0, 12, 3)]

    def run(folder, *callbacks, resume=False):
        ag.manual_seed(0)
        model = nn.Linear(2, 1)
        trainer = nn.Trainer(
            model, nn.optim.Adam(model.parameters()), nn.MSELoss(), checkpoints=folder, save_every=1, callbacks=callbacks,
        )  # fmt: skip
        trainer.fit(batches, 2, resume=resume)
        return flat(result(trainer))

    expected = run(tmp_path / "whole", nn.Callback())
    for step in range(1, 9):
        with pytest.raises(Interrupted):
            run(tmp_path / str(step), InterruptAt(step))
        assert run(tmp_path / str(step), nn.Callback(), resume=True) == expected


def test_plain_loop_with_checkpoints(tmp_path):
    """What the trainer does, without it."""

    def run(stop=None, path=tmp_path / "plain.safetensors"):
        ag.manual_seed(1)
        model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1))
        optimizer = nn.optim.Adam(model.parameters(), lr=0.1)
        schedule = nn.optim.lr_scheduler.StepLR(optimizer, 2)
        data = TensorDataset(np.arange(30, dtype=np.float32).reshape(10, 3) / 30, np.ones((10, 1), np.float32))
        loader = DataLoader(data, 3, shuffle=True)
        parts = dict(model=model, optimizer=optimizer, schedule=schedule, loader=loader)
        epoch = step = 0
        if path.exists():
            values = nn.load_checkpoint(path, **parts)
            epoch, step = values["epoch"], values["step"]
        for epoch in range(epoch, 3):  # noqa: B020
            for x, y in loader:
                optimizer.zero_grad()
                nn.functional.mse_loss(model(x), y).backward()
                optimizer.step()
                step += 1
                nn.save_checkpoint(path, epoch=epoch, step=step, **parts)
                if step == stop:
                    return None
            schedule.step()
        path.unlink()
        return flat({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step})

    expected = run()
    for stop in range(1, 12):
        if stop % 4:  # at the end of an epoch this loop saves before the schedule's step
            assert run(stop) is None
            assert run() == expected


def kill_and_resume(folder, expected, generator, epochs, kills):
    """Run the script, kill it at random moments, and let it finish; the result must be `expected`."""
    command = [sys.executable, str(SCRIPT), str(folder), str(epochs)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    while kills:
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"training begins\n"
            newest, changes = None, generator.randint(1, 6)
            while changes and process.poll() is None:  # so many checkpoints, and a moment longer
                found = max((file.name for file in folder.glob("step-*.safetensors")), default=None)
                newest, changes = found, changes - (found != newest)
                time.sleep(0.001)
            time.sleep(generator.uniform(0, 0.03))
            process.send_signal(signal.SIGKILL)
        kills -= 1
        if (folder / "result.safetensors").exists():
            break
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=120, stdout=subprocess.DEVNULL)
    assert flat(nn.load(folder / "result.safetensors")) == expected
    assert not list(folder.glob(".*.tmp"))
    return kills


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_at_random_moments_and_resumed(tmp_path):
    trainer, loader, validation = make(tmp_path / "whole")
    trainer.fit(loader, 8, validation)
    nn.save(tmp_path / "expected", result(trainer))
    expected = flat(nn.load(tmp_path / "expected"))
    kill_and_resume(tmp_path / "killed", expected, random.Random(4), epochs=8, kills=2)
