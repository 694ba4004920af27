"""Checkpoints: all or nothing, both ways; which of them a folder keeps; hostile files leave everything as it was."""

import json

import numpy as np
import pytest

import autograd as ag
import nn
from kernels.random import default_generator
from nn.data import DataLoader, TensorDataset

pytest.importorskip("safetensors")


def parts():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    optimizer = nn.optim.Adam(model.parameters(), lr=0.1)
    schedule = nn.optim.lr_scheduler.StepLR(optimizer, 2)
    loader = DataLoader(TensorDataset(np.arange(8.0)), 2, shuffle=True)
    return dict(model=model, optimizer=optimizer, schedule=schedule, loader=loader)


def trained():
    made = parts()
    made["model"](ag.ones((4, 2))).sum().backward()
    made["optimizer"].step()
    made["schedule"].step()
    return made


def flat(value, path=""):
    if isinstance(value, (dict, list, tuple)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for key, item in items for k, v in flat(item, f"{path}.{key}").items()}
    return {path: value.numpy().tobytes() if isinstance(value, ag.Tensor) else value}


def everything(made):
    return flat({**{name: part.state_dict() for name, part in made.items()}, "random": default_generator.state()})


def test_a_checkpoint_brings_everything_back(tmp_path):
    made = trained()
    nn.save_checkpoint(tmp_path / "c", epoch=3, note="half", extra=[1.5, {"x": ag.ones(2)}], **made)
    expected, numbers = everything(made), ag.rand(3).tolist()
    ag.manual_seed(77)
    other = parts()
    rest = nn.load_checkpoint(tmp_path / "c", **other)
    assert everything(other) == expected and ag.rand(3).tolist() == numbers
    assert (rest["epoch"], rest["note"], rest["extra"][1]["x"].tolist()) == (3, "half", [1.0, 1.0])
    before = default_generator.state()
    rest = nn.load_checkpoint(tmp_path / "c", restore_random=False, model=other["model"])
    assert rest.keys() == {"optimizer", "schedule", "loader", "epoch", "note", "extra"} and default_generator.state() == before
    with pytest.raises(ValueError, match="the name 'random' is reserved"):
        nn.save_checkpoint(tmp_path / "c", random=1)
    with pytest.raises(ValueError, match="has no 'ema', 'other'; it has 'epoch', 'note', 'extra', 'model'"):
        nn.load_checkpoint(tmp_path / "c", ema=other["model"], other=other["model"])
    nn.save(tmp_path / "weights", made["model"].state_dict())
    with pytest.raises(ValueError, match="weights is no checkpoint of version 1; nn.load reads other files"):
        nn.load_checkpoint(tmp_path / "weights", model=made["model"])


def changed(path, change):
    """The checkpoint at a path with something in it exchanged."""
    state = nn.load(path)
    change(state)
    nn.save(path, state)


def put(*keys):
    *path, last, value = keys

    def change(state):
        for key in path:
            state = state[key]
        state[last] = value

    return change


HOSTILE = {
    "random": put("random", {"seed": -1, "offset": 0}),
    "random is a text": put("random", "abc"),
    "model's shape": put("model", "2.weight", ag.ones((7, 3))),
    "model's dtype": put("model", "0.bias", ag.ones(3, dtype=ag.float64)),
    "model lacks a tensor": lambda state: state["model"].pop("0.bias"),
    "model has another": put("model", "9.bias", ag.ones(3)),
    "model is a number": put("model", 3),
    "optimizer's moments": put("optimizer", "state", 0, "exp_avg", ag.ones(2)),
    "optimizer's groups": put("optimizer", "param_groups", []),
    "optimizer's groups have no parameters": put("optimizer", "param_groups", [{"lr": 1.0}]),
    "optimizer's states are texts": put("optimizer", "state", {0: "abc"}),
    "optimizer is a list": put("optimizer", [1, 2]),
    "schedule": put("schedule", {"unknown": 1}),
    "schedule is a text": put("schedule", "abc"),
    "loader's generators": put("loader", "generators", []),
    "loader's numbers": put("loader", "passes", -5),
    "loader": put("loader", {}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_states_that_do_not_fit_change_nothing(name, tmp_path):
    nn.save_checkpoint(tmp_path / "c", **trained())
    changed(tmp_path / "c", HOSTILE[name])
    ag.manual_seed(5)
    made = trained()
    before = everything(made)
    with pytest.raises(ValueError, match="cannot be loaded, and nothing was changed"):
        nn.load_checkpoint(tmp_path / "c", **made)
    assert everything(made) == before
    trainer = nn.Trainer(
        made["model"], made["optimizer"], nn.MSELoss(), schedule=made["schedule"], checkpoints=nn.CheckpointFolder(tmp_path / "run")
    )
    trainer.save(made["loader"])
    changed(tmp_path / "run" / "step-000000000000.safetensors", HOSTILE[name])
    with pytest.raises(ValueError, match="cannot be loaded, and nothing was changed"):
        trainer.fit(made["loader"], 1, resume=True)
    assert everything(made) == before


TRAINER = {
    "epoch": put("trainer", "epoch", 1.5),
    "step": put("trainer", "step", -1),
    "history": put("trainer", "history", [3]),
    "metrics": put("trainer", "metrics", {"accuracy": 1}),
    "callbacks": put("trainer", "callbacks", [{}]),
    "total": put("trainer", "total", "much"),
    "missing": put("trainer", {}),
}


@pytest.mark.parametrize("name", TRAINER)
def test_trainers_refuse_states_that_do_not_fit(name, tmp_path):
    made = trained()
    trainer = nn.Trainer(made["model"], made["optimizer"], nn.MSELoss(), checkpoints=tmp_path)
    trainer.save(made["loader"])
    changed(tmp_path / "step-000000000000.safetensors", TRAINER[name])
    before, state = everything(made), trainer.state_dict()
    with pytest.raises(ValueError, match="the state of 'trainer' cannot be loaded, and nothing was changed"):
        trainer.fit(made["loader"], 1, resume=True)
    assert everything(made) == before and trainer.state_dict() == state


def test_truncated_files_change_nothing(tmp_path):
    nn.save_checkpoint(tmp_path / "c", **trained())
    whole = (tmp_path / "c").read_bytes()
    made = parts()
    before = everything(made)
    for length in range(0, len(whole), 97):
        (tmp_path / "c").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="is not a valid safetensors file"):
            nn.load_checkpoint(tmp_path / "c", **made)
    assert everything(made) == before


# --- folders ---------------------------------------------------------------------------------------------------------


def steps(folder):
    return list(folder.files())


@pytest.mark.parametrize(
    ("options", "kept", "best"),
    [
        ({}, [2, 6], 2),
        ({"keep_last": 2, "keep_best": 0}, [5, 6], 5),
        ({"keep_last": 2, "keep_best": 2}, [2, 3, 5, 6], 2),
        ({"keep_last": 1, "keep_best": 2, "mode": "max"}, [1, 5, 6], 5),
    ],
)
def test_the_last_and_the_best_are_kept(options, kept, best, tmp_path):
    folder = nn.CheckpointFolder(tmp_path / "new", **options)
    assert folder.latest() is None and folder.best() is None and steps(folder) == []
    for step, score in ((1, 0.7), (2, 0.1), (3, 0.2), (4, float("nan")), (5, 0.9), (6, None)):
        path = folder.save(step, score, model=nn.Linear(1, 1))
        assert folder.latest() == path and path.exists()
    assert steps(folder) == kept and folder.best() == folder.files()[best]
    assert json.loads((tmp_path / "new" / "index.json").read_text())["checkpoints"]
    assert not list((tmp_path / "new").glob(".*"))


def test_folders_with_a_bad_index_or_arguments(tmp_path):
    folder = nn.CheckpointFolder(tmp_path)
    folder.save(1, 0.5, x=1)
    for text in ("", "[]", "{}", '{"checkpoints": [{"step": 1}]}', '{"checkpoints": [{"step": "a", "score": 1}]}', "[" * 100_000):
        (tmp_path / "index.json").write_text(text)
        with pytest.raises(ValueError, match="index.json is malformed"):
            folder.best()
    (tmp_path / "index.json").unlink()
    (tmp_path / "step-1.safetensors").write_bytes(b"not a name that is used")
    assert folder.best() is None and steps(folder) == [1]
    for options in ({"mode": "up"}, {"keep_last": 0}, {"keep_best": -1}, {"keep_last": 1.5}):
        with pytest.raises(ValueError, match="CheckpointFolder"):
            nn.CheckpointFolder(tmp_path, **options)


def test_a_folder_belongs_to_one_run(tmp_path):
    def trainer(**options):
        model = nn.Linear(1, 1)
        optimizer = nn.optim.SGD(model.parameters(), lr=0.01)
        return nn.Trainer(model, optimizer, nn.MSELoss(), checkpoints=tmp_path, **options)

    data = [(ag.ones((2, 1)), ag.ones((2, 1)))]
    first = trainer()
    first.fit(data, 2)
    first.fit(data, 3)
    with pytest.raises(ValueError, match="holds checkpoints of another run; resume=True continues it"):
        trainer().fit(data, 2)
    (tmp_path / ".step-000000000003.safetensors.0123.tmp").write_bytes(b"left by a process that was killed")
    again = trainer()
    assert again.fit(data, 4, resume=True)["epoch"] == [1, 2, 3, 4] and not list(tmp_path.glob(".*"))
    optimizer = nn.optim.SGD(again.model.parameters(), lr=0.01)
    schedule = nn.optim.lr_scheduler.StepLR(optimizer, 1)
    scheduled = nn.Trainer(again.model, optimizer, nn.MSELoss(), checkpoints=tmp_path / "other", schedule=schedule)
    scheduled.fit(data, 1)
    with pytest.raises(ValueError, match="was saved with schedule; give the same to resume"):
        nn.Trainer(again.model, optimizer, nn.MSELoss(), checkpoints=tmp_path / "other").fit(data, 2, resume=True)
