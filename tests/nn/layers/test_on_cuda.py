"""Pooling, normalisation, embeddings and padding on the GPU (or the simulator) give what they give on the CPU."""

import numpy as np
import pytest
from cuda_support import needs_cuda

import autograd as ag
import nn

pytestmark = needs_cuda

LAYERS = [
    (lambda: nn.MaxPool2d(2, padding=1), (2, 3, 5, 4)),
    (lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 3, 5, 4)),
    (lambda: nn.AdaptiveMaxPool2d((2, 3)), (2, 3, 5, 4)),
    (lambda: nn.BatchNorm2d(3), (2, 3, 5, 4)),
    (lambda: nn.GroupNorm(1, 3), (2, 3, 4)),
    (lambda: nn.InstanceNorm1d(3, affine=True), (2, 3, 4)),
    (lambda: nn.RMSNorm(4), (2, 3, 4)),
    (lambda: nn.Embedding(5, 3, padding_idx=1), [[0, 1], [4, 0]]),
    (lambda: nn.EmbeddingBag(5, 3, mode="max", padding_idx=1), [[0, 1], [4, 0]]),
    (lambda: nn.EmbeddingBag(5, 3), [[0, 1], [4, 0]]),
    (lambda: nn.ReflectionPad2d(1), (1, 2, 3, 4)),
    (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), (1, 2, 3, 4)),
    (lambda: nn.Unfold(2, stride=2), (1, 2, 4, 4)),
    (lambda: nn.Fold(3, 2), (1, 4, 4)),
    (lambda: nn.PixelShuffle(2), (1, 4, 2, 2)),
    (lambda: nn.Bilinear(4, 4, 2), (3, 4)),
]


@pytest.mark.parametrize("number", range(len(LAYERS)))
def test_like_the_cpu(number):
    make, given = LAYERS[number]
    found = {}
    for device in ("cpu", "cuda"):
        ag.manual_seed(0)
        layer = make().to(device)
        if isinstance(given, list):
            x = ag.tensor(given, device=device)
        else:
            values = np.random.default_rng(0).normal(size=given).astype(np.float32)
            x = ag.tensor(values, device=device, requires_grad=True)
        y = layer(x, x) if isinstance(layer, nn.Bilinear) else layer(x)
        assert y.device.startswith(device)
        (y * y * 0.5).sum().backward()
        gradients = [x.grad, *(p.grad for p in layer.parameters())]
        results = [y.detach(), *(g for g in gradients if g is not None), *layer.state_dict().values()]
        found[device] = [r.to("cpu").detach().numpy() for r in results]
    for one, other in zip(found["cpu"], found["cuda"], strict=True):
        np.testing.assert_allclose(other, one, rtol=2e-5, atol=2e-5)
