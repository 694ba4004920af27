"""Layers against PyTorch's stored results (tests/nn/reference/layers.py): values, gradients, state and text."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import autograd as ag
import nn

_spec = importlib.util.spec_from_file_location("reference_layers", Path(__file__).parents[1] / "reference" / "layers.py")
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)
STORED = np.load(reference.STORED)
CASES = [pytest.param(n, id=f"{n}-{case[0]}") for n, case in enumerate(reference.CASES)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("number", CASES)
def test_values_gradients_state_and_text_are_pytorchs(number, dtype):
    name, arguments, options, given, extra = reference.CASES[number]
    layer = getattr(nn, name)(*arguments, **options).to(dtype)
    assert repr(layer) == str(STORED[f"{number} text"])
    assert list(layer.state_dict()) == list(STORED[f"{number} keys"])
    parameters = list(layer.parameters())
    with ag.no_grad():
        for parameter, values in zip(parameters, reference.draw(number, *[p.shape for p in parameters]), strict=True):
            parameter[...] = ag.tensor(values.astype(dtype))
    inputs = [ag.tensor(a.astype(dtype) if a.dtype.kind == "f" else a) for a in reference.inputs_of(number, given)]
    for _ in range(extra.get("before", 0)):
        layer(*[2 * i + 1 for i in inputs])
    if extra.get("eval"):
        layer.eval()
    floats = [i.requires_grad_() for i in inputs if i.dtype.kind == "f"]
    results = layer(*inputs)
    results = results if isinstance(results, tuple) else (results,)
    for n, result in enumerate(results):
        check(result, STORED[f"{number} y{n}"], dtype)
    if results[0].requires_grad:
        results[0].backward(ag.tensor(reference.draw(number + 2000, results[0].shape)[0].astype(dtype)))
    for n, tensor in enumerate([*floats, *parameters]):
        check(tensor.grad, STORED[f"{number} g{n}"], dtype)
    for key, value in layer.state_dict().items():
        check(value, STORED[f"{number} state {key}"], dtype)


def check(found, expected, dtype):
    found = found.detach().numpy()
    assert found.shape == expected.shape
    if expected.dtype.kind != "f":
        assert found.dtype == expected.dtype and np.array_equal(found, expected)
        return
    assert found.dtype == dtype
    tolerance = 1e-5 if dtype == np.float32 else 1e-10
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * max(np.abs(expected).max(initial=0), 1e-3))
