"""The trainer against a loop by hand; what it is told to do; what it refuses."""

import numpy as np
import pytest

import autograd as ag
import nn
from nn.data import DataLoader, TensorDataset
from nn.metrics import Accuracy, ConfusionMatrix

X = np.linspace(-1, 1, 40, dtype=np.float32).reshape(20, 2)
Y = (X.sum(axis=1, keepdims=True) * 2 + 1).astype(np.float32)


def linear(seed=0):
    ag.manual_seed(seed)
    return nn.Linear(2, 1)


def trainer_of(model, *, lr=0.1, loss=None, kind=nn.Trainer, **options):
    return kind(model, nn.optim.SGD(model.parameters(), lr=lr, momentum=0.5), loss or nn.MSELoss(), **options)


def weights(model):
    return [p.detach().numpy().copy() for p in model.parameters()]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def batches(size=4):
    return DataLoader(TensorDataset(X, Y), size)


# --- what it computes ------------------------------------------------------------------------------------------------


def test_fit_is_the_plain_loop():
    model, by_hand = linear(), linear()
    optimizer = nn.optim.SGD(by_hand.parameters(), lr=0.1, momentum=0.5)
    losses = []
    for _ in range(3):
        total = 0.0
        for x, y in batches(8):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(by_hand(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(by_hand.parameters(), 0.5)
            nn.utils.clip_grad_value_(by_hand.parameters(), 0.3)
            optimizer.step()
            total += loss.item() * len(x)
        losses.append(total / 20)
    trainer = trainer_of(model, clip_norm=0.5, clip_value=0.3)
    history = trainer.fit(batches(8), epochs=3)
    assert same(weights(model), weights(by_hand)) and history["loss"] == losses
    assert history["step"] == [3, 6, 9] and trainer.step == 9 and trainer.epoch == 3
    assert len(trainer.fit(batches(8), epochs=3)) == 3 and len(trainer.fit(batches(8), epochs=4)) == 4


def test_accumulated_batches_are_one_step():
    one, other = linear(), linear()
    trainer_of(one).fit(batches(10), 2)
    accumulating = trainer_of(other, accumulate=2)
    accumulating.fit(batches(5), 2)
    assert accumulating.step == 4
    for a, b in zip(weights(one), weights(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    left = trainer_of(linear(), accumulate=3)  # 4 batches: of three, and of the one that is left, whose loss counts wholly
    left.fit(batches(5), 1)
    assert left.step == 2


def test_schedules_and_the_learning_rate_in_the_history():
    model = linear()
    optimizer = nn.optim.SGD(model.parameters(), lr=1e-3)
    schedule = nn.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    history = nn.Trainer(model, optimizer, nn.MSELoss(), schedule=schedule).fit(batches(), 3)
    assert history["lr"] == [1e-3, 5e-4, 2.5e-4]
    optimizer = nn.optim.SGD(model.parameters(), lr=1e-3)
    schedule = nn.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    nn.Trainer(model, optimizer, nn.MSELoss(), schedule=schedule, schedule_every="step").fit(batches(5), 2)
    assert schedule.get_last_lr() == [1e-3 / 2**8]
    optimizer = nn.optim.SGD(model.parameters(), lr=0.0)  # nothing becomes better
    optimizer.param_groups[0]["lr"] = 1e-30
    plateau = nn.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, eps=0.0)
    nn.Trainer(model, optimizer, nn.MSELoss(), schedule=plateau).fit(batches(), 3, validation=batches())
    np.testing.assert_allclose(plateau.get_last_lr(), [1e-32])


def test_metrics_while_training_and_in_validation():
    ag.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Dropout(0.9), nn.Linear(8, 2))
    labels = (X[:, 0] > 0).astype(np.int64)
    loader = DataLoader(TensorDataset(X, labels), 6)
    trainer = nn.Trainer(
        model, nn.optim.Adam(model.parameters(), lr=0.1), nn.CrossEntropyLoss(),
        metrics={"accuracy": Accuracy(), "confusion": ConfusionMatrix()},
    )  # fmt: skip
    history = trainer.fit(loader, 15, validation=loader)
    assert history.columns == ["epoch", "step", "lr", "loss", "accuracy", "validation_loss", "validation_accuracy"]
    model[2].train(False)
    result = trainer.evaluate(loader)
    assert result["accuracy"] == history[-1]["validation_accuracy"] == 1.0 and result["confusion"].sum() == 20
    assert [m.training for m in model] == [True, True, False, True]  # as before
    assert result == {**trainer.evaluate(loader), "confusion": result["confusion"]}
    predicted = trainer.predict(loader)
    assert predicted.shape == (20, 2) and not predicted.requires_grad
    assert np.array_equal(trainer.predict(DataLoader(TensorDataset(X), 7)).numpy().argmax(1), labels)
    assert np.array_equal(trainer.predict([ag.asarray(X)]).numpy(), trainer.predict([(ag.asarray(X),)], False).numpy())


def test_subclasses_compute_what_they_like():
    class Autoencoder(nn.Trainer):
        def compute(self, batch):
            output = self.model(batch["x"])
            return self.loss(output, batch["x"]), output, batch["x"]

    ag.manual_seed(0)
    trainer = trainer_of(nn.Linear(2, 2), kind=Autoencoder)
    history = trainer.fit([{"x": ag.asarray(X)}], 20)
    assert history["loss"][-1] < history["loss"][0] / 2


# --- callbacks -------------------------------------------------------------------------------------------------------


def test_callbacks_are_called_in_their_order():
    seen = []
    names = {"on_fit_begin": "begin", "on_step_end": "step", "on_epoch_end": "epoch", "on_fit_end": "end"}
    callback = nn.LambdaCallback(**{name: lambda *a, what=what: seen.append(what) for name, what in names.items()})
    adding = nn.LambdaCallback(on_epoch_end=lambda trainer, row: row.update(half=row["loss"] / 2))
    history = trainer_of(linear(), callbacks=[callback, adding]).fit(batches(10), 2)
    assert seen == ["begin", "step", "step", "epoch", "step", "step", "epoch", "end"]
    assert history["half"] == [loss / 2 for loss in history["loss"]]
    with pytest.raises(TypeError, match="there is no on_stop; there are on_fit_begin"):
        nn.LambdaCallback(on_stop=print)


@pytest.mark.parametrize("restore_best", [True, False])
def test_early_stopping_takes_the_best_weights_back(restore_best):
    model = linear()
    kept = []
    spoil = nn.LambdaCallback(
        on_step_end=lambda trainer, loss: trainer.optimizer.param_groups[0].update(lr=0.1 if trainer.step < 4 else 3.0),
        on_epoch_end=lambda trainer, row: kept.append(weights(model)),
    )
    stopping = nn.EarlyStopping(patience=2, restore_best=restore_best)
    history = trainer_of(model, callbacks=[spoil, stopping]).fit([(ag.asarray(X), ag.asarray(Y))], 50, [(ag.asarray(X), ag.asarray(Y))])
    best = int(np.argmin(history["validation_loss"]))
    assert len(history) == best + 4 < 50
    assert same(weights(model), kept[best if restore_best else -1])


def test_early_stopping_by_hand():
    stopping = nn.EarlyStopping(patience=1, min_delta=0.1, mode="max", restore_best=False)
    assert [stopping.update(v) for v in (1.0, 1.05, 1.2, float("nan"), 1.25)] == [False, False, False, False, True]
    for wrong in ({"mode": "up"}, {"patience": -1}, {"min_delta": -1.0}):
        with pytest.raises(ValueError, match="EarlyStopping: mode is"):
            nn.EarlyStopping(**wrong)
    with pytest.raises(ValueError, match="there is no 'accuracy' to monitor; the history has epoch, step, lr, loss"):
        trainer_of(linear(), callbacks=[nn.EarlyStopping("accuracy")]).fit(batches(), 1)


def test_tensorboard(tmp_path, monkeypatch):
    written = []

    class Writer:
        def __init__(self, folder):
            written.append(folder)

        def add_scalar(self, name, value, step):
            written.append((name, step))

        def flush(self):
            pass

        close = flush

    module = type("tensorboardX", (), {"SummaryWriter": Writer})
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", module)
    trainer_of(linear(), callbacks=[nn.TensorBoard(tmp_path)]).fit(batches(10), 1, batches())
    assert written == [str(tmp_path), ("lr", 2), ("loss", 2), ("validation/loss", 2)]
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    with pytest.raises(ImportError, match="needs the package tensorboardX: pip install 'gradloom\\[train\\]'"):
        nn.TensorBoard(tmp_path)


# --- progress --------------------------------------------------------------------------------------------------------


def test_progress_is_quiet_without_a_terminal(capfd):
    trainer_of(linear()).fit(batches(), 1)
    assert capfd.readouterr() == ("", "")
    pytest.importorskip("tqdm")
    trainer = trainer_of(linear(), progress=True)
    trainer.fit(batches(), 1, batches())
    trainer.predict(iter([ag.asarray(X)]))
    out, err = capfd.readouterr()
    assert out == "" and all(word in err for word in ("epoch 1", "evaluate", "predict"))


def test_progress_without_tqdm(monkeypatch, capfd):
    monkeypatch.setitem(__import__("sys").modules, "tqdm", None)
    trainer_of(linear()).fit(batches(), 1)
    with pytest.raises(ImportError, match="needs the package tqdm"):
        trainer_of(linear(), progress=True).fit(batches(), 1)
    assert capfd.readouterr() == ("", "")


# --- what it refuses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule_every": "batch"}, "schedule_every is 'epoch' or 'step'"),
        ({"mode": "least"}, "mode 'min' or 'max'"),
        ({"accumulate": 0}, "accumulate must be an integer, 1 or more, got 0"),
        ({"save_every": 0, "checkpoints": "x"}, "save_every must be an integer"),
        ({"save_every": 1}, "save_every needs a folder"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        trainer_of(linear(), **options)


def test_bad_data_leave_the_model_as_it_was():
    model = linear()
    before = weights(model)
    trainer = trainer_of(model)
    for call in (lambda: trainer.fit([], 1), lambda: trainer.evaluate([]), lambda: trainer.predict([])):
        with pytest.raises(ValueError, match="the loader gave no batches"):
            call()
    with pytest.raises(TypeError, match="a batch must be a tuple or list of inputs and a target, got a Tensor"):
        trainer.fit([ag.asarray(X)], 1)
    with pytest.raises(ValueError, match="a tensor of one element, got \\(20, 1\\); has it reduction='none'"):
        trainer_of(model, loss=nn.MSELoss(reduction="none")).fit(batches(20), 1)
    with pytest.raises(ValueError, match="shape"):
        trainer.fit([(ag.zeros((3, 5)), ag.zeros((3, 1)))], 1)
    for call in (lambda: trainer.fit(batches(), 1, resume=True), trainer.save):
        with pytest.raises(ValueError, match="give the trainer"):
            call()
    assert same(weights(model), before)


def test_an_epoch_that_an_error_ended_is_not_gone_on_with():
    def broken():
        yield ag.asarray(X), ag.asarray(Y)
        raise OSError("the disk is gone")

    trainer = trainer_of(linear())
    with pytest.raises(OSError, match="the disk is gone"):
        trainer.fit(broken(), 1)
    expected = trainer.evaluate(batches())["loss"]
    trainer.optimizer.param_groups[0]["lr"] = 0.0
    np.testing.assert_allclose(trainer.fit([(ag.asarray(X), ag.asarray(Y))], 1)["loss"], [expected], rtol=1e-6)
