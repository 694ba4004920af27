"""What PyTorch's convolutions do: the cases, and the script that stored its results.

Run `python tests/nn/reference/convolution.py` (it needs PyTorch) to write convolution.npz anew.
"""

from pathlib import Path

import numpy as np

STORED = Path(__file__).with_suffix(".npz")

# (layer, its arguments, the shape of the input)
CASES = [
    ("Conv1d", ((4, 6, 4), {"stride": 3, "padding": 2}), (2, 4, 17)),
    ("Conv1d", ((4, 6, 3), {"padding": "same", "padding_mode": "circular", "bias": False}), (4, 9)),
    ("Conv2d", ((3, 4, 3), {"padding": 1}), (2, 3, 6, 5)),
    ("Conv2d", ((4, 6, (3, 2)), {"padding": "same", "groups": 2, "dilation": (1, 2)}), (2, 4, 7, 6)),
    ("Conv2d", ((4, 6, (3, 2)), {"padding": (2, 1), "stride": (2, 3), "padding_mode": "reflect"}), (2, 4, 7, 6)),
    ("Conv2d", ((4, 8, 3), {"padding": "valid", "groups": 4, "padding_mode": "replicate"}), (2, 4, 5, 6)),
    ("Conv2d", ((4, 4, 3), {"padding": 2, "groups": 4, "padding_mode": "replicate"}), (2, 4, 5, 6)),
    ("Conv2d", ((5, 3, 1), {"stride": 2}), (2, 5, 5, 4)),
    ("Conv3d", ((2, 4, (2, 3, 1)), {"padding": 1, "stride": (1, 2, 1)}), (2, 2, 4, 5, 3)),
    ("ConvTranspose1d", ((4, 6, 3), {"stride": 4, "output_padding": 3}), (2, 4, 6)),
    ("ConvTranspose2d", ((4, 6, 3), {"stride": 2, "padding": 1, "output_padding": 1}), (2, 4, 4, 3)),
    ("ConvTranspose2d", ((4, 6, 3), {"stride": 3, "dilation": 2, "groups": 2, "output_padding": (2, 1), "padding": (0, 2)}), (4, 3, 4)),
    ("ConvTranspose2d", ((3, 2, (1, 3)), {"dilation": 3, "output_padding": 2, "stride": (2, 1), "bias": False}), (2, 3, 3, 4)),
    ("ConvTranspose3d", ((2, 3, 2), {"stride": 2, "output_padding": 1}), (1, 2, 2, 3, 2)),
]  # fmt: skip


def draw(number, *shapes):
    """The same numbers for the same case, whoever asks."""
    generator = np.random.default_rng(number)
    return [generator.standard_normal(shape) for shape in shapes]


def make():
    import torch

    stored = {}
    for number, (name, (arguments, options), shape) in enumerate(CASES):
        layer = getattr(torch.nn, name)(*arguments, **options).double()
        parameters = list(layer.parameters())
        with torch.no_grad():
            for parameter, values in zip(parameters, draw(number, *[tuple(p.shape) for p in parameters]), strict=True):
                parameter.copy_(torch.from_numpy(values))
        x = torch.from_numpy(draw(number + 100, shape)[0]).requires_grad_()
        y = layer(x)
        y.backward(torch.from_numpy(draw(number + 200, tuple(y.shape))[0]))
        for key, value in (("y", y), ("x", x.grad), *[(str(n), p.grad) for n, p in enumerate(parameters)]):
            stored[f"{number} {key}"] = value.detach().numpy()
        stored[f"{number} text"] = np.array(repr(layer))
        stored[f"{number} keys"] = np.array(list(layer.state_dict()))
    np.savez_compressed(STORED, **stored)


if __name__ == "__main__":
    make()
