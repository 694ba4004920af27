"""The history as columns, text, files and a picture."""

import csv
import json

import pytest

from nn import History

ROWS = [
    {"epoch": 1, "step": 10, "lr": 0.1, "loss": 0.5, "validation_loss": float("nan"), "accuracy": 0.25},
    {"epoch": 2, "step": 20, "lr": 0.1, "loss": 0.1 + 0.2, "validation_loss": 0.75},
]


def test_columns_and_rows():
    history = History(ROWS)
    assert history["loss"] == [0.5, 0.1 + 0.2] and history["accuracy"] == [0.25, None]
    assert history[1]["step"] == 20 and len(history) == 2 and [row["epoch"] for row in history] == [1, 2]
    assert repr(history) == "History of 2 epochs: epoch, step, lr, loss, validation_loss, accuracy"
    with pytest.raises(KeyError, match="no column 'f1'; there are epoch, step"):
        history["f1"]
    history.append({"loss": 1.0})
    assert len(ROWS) == 2 and len(history) == 3


def test_text_and_files(tmp_path):
    history = History(ROWS)
    assert history.to_csv(tmp_path / "h.csv") == (tmp_path / "h.csv").read_text()
    rows = list(csv.DictReader((tmp_path / "h.csv").read_text().splitlines()))
    assert float(rows[1]["loss"]) == 0.1 + 0.2 and rows[1]["accuracy"] == "" and rows[0]["validation_loss"] == "nan"
    assert json.loads(history.to_json(tmp_path / "h.json")) == json.loads((tmp_path / "h.json").read_text())
    assert json.loads(history.to_json())[0]["validation_loss"] is None
    assert History().to_csv() == "\n" and History().to_json() == "[]\n"


def test_plot(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    figure = History(ROWS).plot(tmp_path / "h.png")
    assert (tmp_path / "h.png").read_bytes().startswith(b"\x89PNG")
    assert [[line.get_label() for line in axes.lines] for axes in figure.axes] == [["loss", "validation_loss"], ["accuracy"]]
    assert len(History(ROWS).plot(columns=["lr"]).axes) == 1
    for empty in (History(), History([{"epoch": 1}])):
        with pytest.raises(ValueError, match="no columns to draw"):
            empty.plot()
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="needs matplotlib: pip install 'gradloom\\[viz\\]'"):
        History(ROWS).plot()
