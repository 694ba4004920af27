"""concat and pad on both devices: layouts, axes, sizes of 0, mixed dtypes, many pieces; and that each element is written once."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_support import cuda, needs_cuda

import autograd as ag
from autograd.ops import arrange
from kernels import launch

DEVICES = ["cpu", pytest.param("cuda", marks=needs_cuda)]
LAYOUTS = {
    "as made": lambda t: t,
    "transposed": lambda t: ag.permute_dims(t.permute_dims((2, 1, 0)).clone(), (2, 1, 0)),
    "backwards": lambda t: ag.flip(ag.flip(t, axis=0).clone(), axis=0),
    "every second": lambda t: ag.repeat(t, 2, axis=2)[:, :, ::2],
    "stretched": lambda t: ag.broadcast_to(t[:1], t.shape),
}


def pieces(axis: int, sizes: list[int], device: str) -> list[ag.Tensor]:
    shapes = [tuple(n if a == axis else size for a, size in enumerate((2, 9, 4))) for n in sizes]
    generator = np.random.default_rng(3)
    return [ag.tensor(generator.normal(size=s), dtype=ag.float32, device=device) for s in shapes]


def launches(call) -> tuple[list[str], object]:
    names: list[str] = []
    with launch.observe(lambda seen: names.append(seen.kernel)):
        found = call()
    return names, found


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("sizes", [[3, 1], [1, 0, 4, 2, 3]])
def test_concat_of_every_layout(device, layout, sizes):
    for axis in range(3):
        given = [LAYOUTS[layout](p) for p in pieces(axis, sizes, device)]
        expected = np.concatenate([p.numpy() for p in given], axis)
        names, found = launches(lambda given=given, axis=axis: ag.concat(given, axis=axis))
        assert np.array_equal(found.numpy(), expected)
        assert names and len(names) <= len(given)


@pytest.mark.parametrize("device", DEVICES)
def test_concat_without_numpy(device, monkeypatch):
    given = pieces(0, [1, 2, 3, 4, 5], device)
    expected = np.concatenate([p.numpy() for p in given])
    for name in ("concatenate", "copyto", "pad"):
        monkeypatch.setattr(np, name, lambda *_, **__: pytest.fail("NumPy does it"))
    joined, padded = ag.concat(given), ag.pad(given[0], 1)
    monkeypatch.undo()
    assert np.array_equal(joined.numpy(), expected)
    assert np.array_equal(padded.numpy(), np.pad(given[0].numpy(), 1))


@pytest.mark.parametrize("device", DEVICES)
def test_many_pieces_and_their_gradients(device):
    given = [ag.tensor(np.full(n % 3, n), dtype=ag.float32, device=device, requires_grad=True) for n in range(30)]
    out = ag.concat(given)
    out.backward(ag.arange(out.size, dtype=ag.float32, device=device))
    assert np.array_equal(out.detach().numpy(), np.concatenate([p.detach().numpy() for p in given]))
    found = np.concatenate([p.grad.numpy() for p in given])
    assert np.array_equal(found, np.arange(out.size))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtypes", [("int8", "int16"), ("bool", "uint8"), ("float32", "int16"), ("float32", "float64", "float32")])
def test_mixed_dtypes(device, dtypes):
    given = [ag.ones((2, 3), dtype=getattr(ag, d), device=device) for d in dtypes]
    found = ag.concat(given, axis=1)
    assert found.dtype == ag.result_type(*given) and found.shape == (2, 3 * len(dtypes))
    assert np.array_equal(found.numpy(), np.ones(found.shape))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("small", [0, 1 << 18])
def test_pad_of_every_layout(device, layout, small, monkeypatch):
    """Filled as a whole, and axis by axis around the middle."""
    monkeypatch.setattr(arrange, "_SMALL", small)
    x = LAYOUTS[layout](pieces(0, [3], device)[0])
    for widths in (1, ((0, 2), (1, 0), (0, 0)), ((2, 0), (0, 3), (1, 4)), 0):
        found = ag.pad(x, widths, constant_values=-2.5)
        assert np.array_equal(found.numpy(), np.pad(x.numpy(), widths, constant_values=-2.5)), widths


@pytest.mark.parametrize("device", DEVICES)
def test_pad_of_nothing(device, monkeypatch):
    monkeypatch.setattr(arrange, "_SMALL", 0)
    for shape, widths in (((0, 2), ((1, 2), (0, 1))), ((0,), 0), ((3, 0), ((0, 0), (1, 1)))):
        found = ag.pad(ag.zeros(shape, device=device), widths, constant_values=7)
        assert np.array_equal(found.numpy(), np.pad(np.zeros(shape), widths, constant_values=7))
    assert ag.pad(ag.tensor(3.0, device=device), 1).item() == 3.0


@pytest.mark.parametrize("device", DEVICES)
def test_stack_and_transposed_copies(device):
    given = pieces(0, [3] * 5, device)
    for axis in range(4):
        assert np.array_equal(ag.stack(given, axis=axis).numpy(), np.stack([p.numpy() for p in given], axis))
    x = ag.tensor(np.arange(12 * 40.0), dtype=ag.float32, device=device).reshape((12, 40))
    names, found = launches(lambda: x.T.reshape((480,)))
    assert np.array_equal(found.numpy(), x.numpy().T.reshape(-1))
    assert len(names) == 1 and "transpose" in names[0]


@needs_cuda
def test_a_launch_for_many():
    given = pieces(0, [2] * 12, "cuda")
    names, _ = launches(lambda: ag.concat(given))
    assert len(names) == 1 and cuda() is not None
