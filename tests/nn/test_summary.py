"""The summary of a model: counts that are known by hand, shared and frozen parameters, and a model left as it was."""

import pytest

import autograd as ag
import nn
from kernels.random import default_generator
from nn.summary import summary


def test_convolutions_and_linear():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.ConvTranspose2d(8, 4, 2, stride=2), nn.Flatten(), nn.Linear(4 * 12 * 12, 10)
    )
    found = summary(model, (2, 3, 6, 6))
    assert [layer.kind for layer in found.layers] == ["Sequential", "Conv2d", "ReLU", "ConvTranspose2d", "Flatten", "Linear"]
    assert [layer.output_shapes for layer in found.layers[1:4]] == [((2, 8, 6, 6),), ((2, 8, 6, 6),), ((2, 4, 12, 12),)]
    assert [layer.multiply_adds for layer in found.layers] == [0, 2 * 8 * 36 * 27, 0, 2 * 8 * 36 * 16, 0, 2 * 576 * 10]
    assert found.multiply_adds == 2 * (8 * 36 * 27 + 8 * 36 * 16 + 5760)
    assert found.parameters == found.trainable == (8 * 27 + 8) + (8 * 16 + 4) + 5770 and found.parameter_bytes == 4 * found.parameters
    assert found.output_bytes == 4 * 2 * (2 * 8 * 36 + 2 * 4 * 144 + 10)
    text = str(found)
    assert "  0: Conv2d" in text and "12,208" not in text and f"multiply-adds: {found.multiply_adds:,}" in text and "KiB" in text


def test_shared_and_frozen_parameters_and_buffers():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(3, 3)
            self.tied = nn.Linear(3, 3)
            self.tied.weight = self.inner.weight
            self.scale = nn.Parameter(ag.ones(3), requires_grad=False)
            self.register_buffer("mean", ag.zeros(5, dtype=ag.float64))

        def forward(self, x, times):
            for _ in range(times):
                x = self.inner(x)
            return {"a": self.tied(x) * self.scale, "b": [x]}

    found = summary(Twice(), ag.ones((4, 3)), times=2)
    assert [(layer.name, layer.depth, layer.parameters) for layer in found.layers] == [
        ("", 0, 3), ("inner", 1, 12), ("inner", 1, 0), ("tied", 1, 3),
    ]  # fmt: skip
    assert found.parameters == 18 and found.trainable == 15 and found.parameter_bytes == 18 * 4 + 40
    assert found.multiply_adds == 3 * 4 * 9 and found.layers[0].output_shapes == ((4, 3), (4, 3))
    assert "18, 3 of them frozen" in str(found)


def test_unknown_multiply_adds_are_said():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(ag.ones((2, 2)))

        def forward(self, x):
            return x @ self.weight

    found = summary(Own(), (1, 2))
    assert found.layers[0].multiply_adds is None and "and more where there is a ?" in str(found)


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    model[0].eval()
    state = default_generator.state()
    x = ag.ones((1, 2))
    for _ in range(2):
        with pytest.raises(TypeError):
            summary(model, x, x)
        assert [m.training for m in model.modules()] == [True, False, True] and default_generator.state() == state
        assert not any(hooks for m in model.modules() if m._hooks for hooks in m._hooks)
    assert summary(model.double(), (3, 2)).output_bytes == 2 * 8 * 6
