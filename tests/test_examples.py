"""The examples run as a user runs them, shortened, and learn."""

import argparse
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import autograd as ag
import nn

ROOT = Path(__file__).resolve().parents[1]
DIGITS = ROOT / "learn" / "examples" / "digits.py"


def run_digits(*arguments):
    for package in ("sklearn", "matplotlib", "safetensors", "tqdm"):
        pytest.importorskip(package)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, DIGITS, *map(str, arguments)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("digits")
    result = run_digits("--epochs", 10, "--seed", 3, "--out", out)
    assert result.returncode == 0, result.stderr
    return result, out


def test_digits_learns(trained):
    result, _ = trained
    rows = re.findall(r"^epoch +(\d+)/10  loss (\d\.\d+)  held-out accuracy (\d+\.\d+)%$", result.stdout, re.MULTILINE)
    assert [int(epoch) for epoch, _, _ in rows] == list(range(1, 11))
    assert float(rows[-1][1]) < float(rows[0][1])
    accuracy = float(re.search(r"^held-out accuracy +(\d+\.\d+)%$", result.stdout, re.MULTILINE)[1])
    assert accuracy >= 97.0


def test_digits_is_quiet_without_a_terminal(trained):
    assert trained[0].stderr == ""


def test_digits_leaves_a_picture_and_a_model(trained):
    result, out = trained
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    state = nn.load(out / "model.safetensors")
    assert {name: value.shape for name, value in state.items()} == {
        "0.weight": (128, 64), "0.bias": (128,), "3.weight": (10, 128), "3.bias": (10,),
    }  # fmt: skip
    assert all(bool(ag.all(ag.isfinite(value))) for value in state.values())
    last_lines = result.stdout.splitlines()[-2:]
    assert last_lines[0].split() == ["loss", "curve", str(out / "loss.png")]
    assert last_lines[1].split() == ["saved", "model", str(out / "model.safetensors")]


def test_digits_repeats_itself(monkeypatch):
    """The same seed gives the same bits, another seed other ones."""
    pytest.importorskip("sklearn")
    pytest.importorskip("tqdm")
    monkeypatch.syspath_prepend(DIGITS.parent)
    digits = importlib.import_module("digits")

    def loss(seed):
        options = argparse.Namespace(seed=seed, epochs=1, batch_size=256, device="cpu")
        return digits.train(digits.load_digits(seed), options)[1][0]["loss"]

    assert loss(1) == loss(1) != loss(2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--epochs", 0), "expected 1 or more, got 0"),
        (("--batch-size", "many"), "invalid positive value: 'many'"),
        (("--device", "abacus", "--epochs", 1), "unknown device 'abacus'"),
    ],
)
def test_digits_refuses_what_it_cannot_do(arguments, message):
    result = run_digits(*arguments)
    assert result.returncode != 0
    assert message in result.stderr


def test_digits_help():
    result = run_digits("--help")
    assert result.returncode == 0
    for option in ("--epochs", "--seed", "--batch-size", "--device", "--out"):
        assert option in result.stdout


def example(name, monkeypatch):
    """An example as a module."""
    monkeypatch.syspath_prepend(DIGITS.parent)
    return importlib.import_module(name)


def test_poisson_comes_near_the_solution(monkeypatch, capsys):
    error = example("poisson", monkeypatch).main(["--steps", "30"])
    assert error < 5e-3 and f"largest error of u {error:.2e}" in capsys.readouterr().out


def test_poisson_leaves_the_ends_alone(monkeypatch):
    poisson = example("poisson", monkeypatch)
    ends = poisson.solution(poisson.make_model(), ag.tensor([[0.0], [1.0]], dtype="float64"))
    assert ends.tolist() == [[0.0], [0.0]]


@pytest.mark.parametrize(("data", "least"), [("breast_cancer", 0.93), ("wine", 0.9), ("diabetes", 0.3)])
def test_tables_are_learned(data, least, monkeypatch, capsys):
    pytest.importorskip("sklearn")
    assert example("tabular", monkeypatch).main([data, "--epochs", "25"]) > least
    assert re.search(rf"^{data}: .* of a linear model \d", capsys.readouterr().out)


def test_a_convolutional_network_learns_and_resumes(monkeypatch, tmp_path, capsys):
    pytest.importorskip("sklearn")
    digits_conv = example("digits_conv", monkeypatch)
    digits_conv.main(["--epochs", "2", "--out", str(tmp_path)])
    assert digits_conv.main(["--epochs", "2", "--out", str(tmp_path), "--resume"]) > 0.85
    assert capsys.readouterr().out.count("held-out accuracy") >= 4


def test_numbers_are_remembered(monkeypatch):
    assert example("adding", monkeypatch).main(["--length", "20", "--steps", "400"]) < 0.1


@pytest.mark.parametrize("model", ["gpt", "lstm"])
def test_a_language_is_learned(model, monkeypatch, capsys):
    language = example("language", monkeypatch)
    monkeypatch.setattr(language, "CONTEXT", 32)
    found = language.main([model, "--steps", "25", "--batch-size", "8", "--characters", "40000"])
    text = capsys.readouterr().out
    single = float(re.search(r"single ones (\d+\.\d+)", text)[1])
    assert found < 1.2 * single and "\ndef " in text


def test_noise_is_taken_out(monkeypatch, tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    assert example("autoencoder", monkeypatch).main(["--epochs", "8", "--out", str(tmp_path / "a.png")]) < 0.6
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_digits_are_drawn(monkeypatch, tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    assert example("variational", monkeypatch).main(["--epochs", "4", "--out", str(tmp_path / "v.png")]) < 40
    assert (tmp_path / "v.png").read_bytes().startswith(b"\x89PNG")
