"""Indexing by arrays of integers, masks and mixtures of everything: NumPy is the oracle, on every device there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cuda_support import needs_cuda

import autograd as ag

DEVICES = ["cpu", pytest.param("cuda", marks=needs_cuda)]
SHAPE = (4, 3, 5, 2)


def random_key(generator: np.random.Generator, shape: tuple[int, ...]) -> tuple:
    """A key of any mixture whose index arrays broadcast."""
    common = [(3,), (2, 3), (1, 3), (2, 1), ()][generator.integers(5)]
    parts: list[Any] = []
    axis = 0
    while axis < len(shape):
        size = shape[axis]
        kind = generator.integers(10)
        if kind < 2:
            parts.append(int(generator.integers(-size, size)))
        elif kind < 5:
            step = int(generator.choice([-2, -1, 1, 2]))
            parts.append([slice(None), slice(1, None), slice(None, None, step), slice(None)][generator.integers(4)])
        elif kind < 6:
            parts.append(None)
            continue
        elif kind < 7 and size >= 3 and common in ((3,), (2, 3), (1, 3)):
            mask = np.zeros(size, bool)
            mask[generator.permutation(size)[:3]] = True
            parts.append(mask)
        else:
            parts.append(generator.integers(-size, size, common).astype(generator.choice(["i1", "i4", "i8"])))
        axis += 1
    if generator.random() < 0.5:  # an Ellipsis, which stands for some of the slices or for nothing
        at = end = int(generator.integers(len(parts) + 1))
        while end < len(parts) and isinstance(parts[end], slice) and parts[end] == slice(None):
            end += 1
        parts[at:end] = [Ellipsis]
    return tuple(parts)


KEYS = [random_key(np.random.default_rng(k), SHAPE) for k in range(300)]


def on(device: str, key: tuple) -> tuple:
    """The same key with some of its arrays as tensors of the device."""
    return tuple(
        ag.tensor(p, device=device) if isinstance(p, np.ndarray) and k % 2 else p.tolist() if isinstance(p, np.ndarray) and k % 3 == 2 else p
        for k, p in enumerate(key)
    )  # fmt: skip


@pytest.mark.parametrize("layout", ["contiguous", "permuted"])
@pytest.mark.parametrize("device", DEVICES)
def test_any_mixture_equals_numpy(device, layout):
    generator = np.random.default_rng(0)
    values = generator.normal(size=SHAPE).astype(np.float32)
    x = ag.tensor(values, device=device)
    if layout == "permuted":
        x = ag.permute_dims(ag.tensor(np.ascontiguousarray(values.transpose(2, 0, 3, 1)), device=device), (1, 3, 0, 2))
    for key in KEYS if device == "cpu" else KEYS[:: 20 if layout == "contiguous" else 50]:
        expected = values[key]
        got = x[on(device, key)]
        assert got.shape == expected.shape and np.array_equal(got.numpy(), expected), key

        seed = generator.normal(size=expected.shape).astype(np.float32)
        leaf = x.detach().requires_grad_()
        leaf[on(device, key)].backward(ag.tensor(seed, device=device))
        gradient = np.zeros(SHAPE)
        np.add.at(gradient, key, seed)
        assert np.allclose(leaf.grad.numpy(), gradient, rtol=1e-6, atol=1e-6), key

        changed, filled = values.copy(), values.copy()
        changed[key], filled[key] = seed, 7.0
        y = x.clone() if layout == "contiguous" else ag.permute_dims(ag.permute_dims(x, (2, 0, 3, 1)).clone(), (1, 3, 0, 2))
        z = y.clone()
        y[on(device, key)] = ag.tensor(seed, device=device)
        z[on(device, key)] = 7
        assert np.array_equal(y.numpy(), changed) and np.array_equal(z.numpy(), filled), key


@pytest.mark.parametrize("device", DEVICES)
def test_masks(device):
    values = np.arange(24.0).reshape(2, 3, 4)
    x = ag.tensor(values, device=device)
    for mask in (values > 5, values[:, :, 0] > 3, values[:, 0, 0] > 3, values < 0, np.array(True), np.array(False)):
        there = ag.tensor(mask, device=device)
        assert np.array_equal(x[there].numpy(), values[mask]) and np.array_equal(x[mask].numpy(), values[mask])
        expected = values.copy()
        expected[mask] = -1
        y, z = x.clone(), x.clone()
        y[there] = -1
        z[mask] = ag.full(1, -1.0, device=device)
        assert np.array_equal(y.numpy(), expected) and np.array_equal(z.numpy(), expected)
    assert x[True].shape == (1, 2, 3, 4) and x[False].shape == (0, 2, 3, 4) and x[1, True].shape == (1, 3, 4)
    assert np.array_equal(x[0, x[0] > 5].numpy(), values[0, values[0] > 5])
    assert np.array_equal(x[:, x[0] > 5].numpy(), values[:, values[0] > 5])
    for shape in ((0,), (2, 0), (0, 3), (2, 3, 0)):  # a mask of size 0 takes nothing
        nothing = np.zeros(shape, bool)
        assert x[nothing].shape == values[nothing].shape
        x[nothing] = 1.0
    assert np.array_equal(x.numpy(), values)
    scalar = ag.tensor(3.0, device=device)
    assert scalar[scalar > 2].tolist() == [3.0] and scalar[scalar > 5].shape == (0,)


@pytest.mark.parametrize("device", DEVICES)
def test_repeated_indices(device):
    """They accumulate in gradients; of values assigned the last one counts, and it alone gets a gradient."""
    x = ag.zeros(4, device=device)
    v = ag.tensor([1.0, 2.0, 3.0, 4.0, 5.0], requires_grad=True, device=device)
    y = x * 1
    y[[0, 3, 0, 3, 3]] = v * 1
    assert y.tolist() == [3.0, 0.0, 0.0, 5.0]
    (y * ag.tensor([1.0, 10.0, 100.0, 1000.0], device=device)).sum().backward()
    assert v.grad.tolist() == [0.0, 0.0, 1.0, 0.0, 1000.0]
    leaf = ag.ones(3, requires_grad=True, device=device)
    leaf[[0, 0, 1]].sum().backward()
    assert leaf.grad.tolist() == [2.0, 1.0, 0.0]


@pytest.mark.parametrize("device", DEVICES)
def test_recorded_assignment_to_second_order(device):
    index = ag.tensor([[2, 0], [2, -1]], device=device)

    def assign(t, v):
        out = t * t
        out[:, index] = v * v
        out[1, [0, 1]] = t[0, :2] * v[0, 0]
        out[t > 1.5] = v[0, 0, 0] * 2
        return out * out

    t = ag.tensor([[1.0, 2.0, 0.5, 1.2], [-1.0, 0.3, 1.9, 0.7]], dtype=ag.float64, requires_grad=True, device=device)
    v = ag.tensor(np.random.default_rng(0).uniform(0.5, 1.5, (2, 2, 2)), requires_grad=True, device=device)
    if device == "cpu":
        assert ag.gradcheck(assign, (t, v)) and ag.gradgradcheck(assign, (t, v))
    else:
        there = ag.gradients(assign(t, v).sum(), (t, v))
        on_cpu = [a.detach().cpu().requires_grad_() for a in (t, v)]
        index = index.cpu()
        here = ag.gradients(assign(*on_cpu).sum(), on_cpu)
        assert all(np.allclose(a.numpy(), b.numpy()) for a, b in zip(there, here, strict=True))


def test_gradients_to_second_order():
    x = ag.tensor(np.random.default_rng(1).normal(size=(3, 2, 2)), requires_grad=True)
    for key in (([0, 0, 2],), (slice(None), [1, 1, 0], 0), ([0, 2], slice(None), [1, 1]), (None, [[0], [1]], [1, 0])):
        assert ag.gradcheck(lambda t, key=key: t[key] ** 2, x) and ag.gradgradcheck(lambda t, key=key: t[key] ** 3, x)
    assert ag.gradgradcheck(lambda t: t[t > 0] ** 3, x)


@pytest.mark.parametrize("device", DEVICES)
def test_mistakes(device):
    x = ag.zeros(2, 3, device=device)
    with pytest.raises(IndexError, match=r"index 2 is out of range for axis 0 of size 2 \(shape \(2, 3\)\)"):
        x[[0, 2]].numpy()
    with pytest.raises(IndexError, match=r"index -4 is out of range for axis 1 of size 3"):
        x[:, ag.tensor([0, -4], device=device)].numpy()
    with pytest.raises(IndexError, match=r"index 200 is out of range for axis 1 of size 3"):
        x[:, ag.tensor([200], dtype=ag.uint8, device=device)].numpy()
    with pytest.raises(IndexError, match=r"index 1 is out of range for axis 0 of size 0"):
        ag.zeros(0, 3, device=device)[ag.tensor([1], device=device)]
    with pytest.raises(IndexError, match=r"getitem: .*shapes \(2,\) and \(3,\) do not broadcast"):
        x[[0, 1], [0, 1, 2]]
    with pytest.raises(IndexError, match="getitem: 3 indices for a tensor of shape"):
        x[[0], [0], [0]]
    with pytest.raises(TypeError, match="getitem: indices are integers.*got Tensor of float32"):
        x[x]
    with pytest.raises(ValueError, match=r"setitem: values of shape \(2,\) do not fit the place of shape \(3, 3\)"):
        x[[0, 0, 1]] = [1.0, 2.0]
    assert x.tolist() == [[0.0] * 3] * 2


@needs_cuda
def test_devices_meet():
    x, there = ag.arange(4.0), ag.tensor([1], device="cuda")
    with pytest.raises(RuntimeError, match=r"getitem: the indices are on cuda:0, the tensor on cpu"):
        x[there]
    assert x.to("cuda")[ag.tensor([1, 3])].tolist() == [1.0, 3.0]  # indices of the host travel, checked before
    assert x.to("cuda")[there[0]].item() == 1.0


def test_a_wrong_key_changes_nothing():
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    node = y.grad_fn
    with pytest.raises(IndexError):
        y[[0, 5]] = 3.0
    assert y.grad_fn is node and y.tolist() == [1.0, 2.0]
    with pytest.raises(RuntimeError, match="a leaf that requires grad"):
        x[[0]] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        ag.zeros(1).broadcast_to(3)[[0]] = 1.0
