"""What PyTorch's layers do: the cases, and the script that stored its results.

Run `python tests/nn/reference/layers.py` (it needs PyTorch) to write layers.npz anew.
"""

from pathlib import Path

import numpy as np

STORED = Path(__file__).with_suffix(".npz")

# (layer, its arguments, its options, the inputs: shapes to draw numbers for, or lists of integers; what else to do)
CASES = [
    ("MaxPool1d", (3,), {"padding": 1}, [(2, 3, 10)], {}),
    ("MaxPool1d", (2,), {"stride": 3, "dilation": 2, "return_indices": True}, [(3, 10)], {}),
    ("MaxPool2d", (2,), {}, [(2, 3, 6, 7)], {}),
    ("MaxPool2d", ((3, 2),), {"stride": (2, 1), "padding": (1, 1), "dilation": (1, 2), "ceil_mode": True}, [(2, 3, 6, 7)], {}),
    ("MaxPool2d", (3,), {"stride": 2, "padding": 1, "return_indices": True, "ceil_mode": True}, [(3, 6, 6)], {}),
    ("MaxPool3d", (2,), {"stride": 1, "padding": 1}, [(1, 2, 3, 4, 3)], {}),
    ("AvgPool1d", (3,), {"stride": 2, "padding": 1, "ceil_mode": True}, [(2, 3, 10)], {}),
    ("AvgPool1d", (3,), {"padding": 1, "count_include_pad": False}, [(3, 10)], {}),
    ("AvgPool2d", (2,), {}, [(2, 3, 6, 7)], {}),
    ("AvgPool2d", ((3, 2),), {"stride": 2, "padding": 1, "ceil_mode": True}, [(2, 3, 6, 7)], {}),
    ("AvgPool2d", (3,), {"stride": 2, "padding": 1, "count_include_pad": False}, [(3, 6, 7)], {}),
    ("AvgPool2d", (3,), {"stride": 1, "divisor_override": 4}, [(2, 3, 6, 7)], {}),
    ("AvgPool3d", (2,), {"padding": 1}, [(1, 2, 3, 4, 3)], {}),
    ("AdaptiveAvgPool1d", (4,), {}, [(2, 3, 10)], {}),
    ("AdaptiveAvgPool2d", (1,), {}, [(2, 3, 6, 7)], {}),
    ("AdaptiveAvgPool2d", ((4, None),), {}, [(3, 6, 7)], {}),
    ("AdaptiveAvgPool2d", ((3, 10),), {}, [(2, 3, 6, 7)], {}),
    ("AdaptiveMaxPool1d", (5,), {"return_indices": True}, [(2, 3, 11)], {}),
    ("AdaptiveMaxPool2d", ((4, 3),), {}, [(2, 3, 6, 7)], {}),
    ("LPPool1d", (2, 3), {"stride": 2}, [(2, 3, 10)], {}),
    ("LPPool2d", (2, (2, 3)), {"ceil_mode": True}, [(2, 3, 6, 7)], {}),
    ("LPPool2d", (float("inf"), 2), {}, [(2, 3, 6, 7)], {}),
    ("BatchNorm1d", (5,), {}, [(4, 5)], {"before": 2}),
    ("BatchNorm1d", (5,), {"momentum": None}, [(4, 5, 3)], {"before": 2}),
    ("BatchNorm1d", (5,), {"affine": False}, [(4, 5)], {"before": 1, "eval": True}),
    ("BatchNorm2d", (3,), {}, [(4, 3, 2, 5)], {"before": 1}),
    ("BatchNorm2d", (3,), {"momentum": 0.3, "eps": 1e-3}, [(4, 3, 2, 5)], {"before": 2, "eval": True}),
    ("BatchNorm2d", (3,), {"track_running_stats": False}, [(4, 3, 2, 5)], {"eval": True}),
    ("BatchNorm2d", (3,), {"bias": False}, [(4, 3, 2, 5)], {}),
    ("BatchNorm3d", (2,), {"affine": False}, [(2, 2, 3, 2, 2)], {}),
    ("GroupNorm", (2, 6), {}, [(3, 6, 4, 2)], {}),
    ("GroupNorm", (3, 6), {"affine": False}, [(3, 6, 5)], {}),
    ("GroupNorm", (1, 4), {"bias": False}, [(3, 4, 5)], {}),
    ("InstanceNorm1d", (4,), {}, [(3, 4, 5)], {}),
    ("InstanceNorm1d", (4,), {"affine": True}, [(4, 5)], {}),
    ("InstanceNorm2d", (4,), {"affine": True, "track_running_stats": True}, [(3, 4, 5, 2)], {"before": 1}),
    ("InstanceNorm2d", (4,), {"track_running_stats": True}, [(3, 4, 5, 2)], {"before": 1, "eval": True}),
    ("InstanceNorm3d", (2,), {}, [(1, 2, 3, 2, 2)], {}),
    ("RMSNorm", (6,), {}, [(3, 4, 6)], {}),
    ("RMSNorm", ((4, 6),), {"eps": 1e-3, "elementwise_affine": False}, [(3, 4, 6)], {}),
    ("Embedding", (5, 3), {"padding_idx": 1}, [[[0, 1, 4], [4, 4, 2]]], {}),
    ("Embedding", (5, 3), {"max_norm": 1.0, "padding_idx": -1}, [[3, 0, 3]], {}),
    ("Embedding", (5, 3), {"max_norm": 1.5, "norm_type": 1.0, "scale_grad_by_freq": True}, [[3, 0, 3]], {}),
    ("EmbeddingBag", (5, 3), {}, [[[0, 1, 4], [4, 4, 2]]], {}),
    ("EmbeddingBag", (5, 3), {"mode": "sum", "padding_idx": 4}, [[0, 1, 4, 4, 2], [0, 2, 2, 4]], {}),
    ("EmbeddingBag", (5, 3), {"mode": "mean", "padding_idx": 4}, [[0, 1, 4, 4, 2], [0, 2, 2, 3]], {}),
    ("EmbeddingBag", (5, 3), {"mode": "max"}, [[0, 1, 4, 4, 2], [0, 3, 3]], {}),
    ("EmbeddingBag", (5, 3), {"mode": "max", "padding_idx": 0}, [[[0, 1, 4], [4, 0, 0]]], {}),
    ("EmbeddingBag", (5, 3), {"mode": "mean", "include_last_offset": True, "max_norm": 2.0}, [[0, 1, 4, 4], [0, 1, 4]], {}),
    ("Dropout", (0.3,), {}, [(2, 3)], {"eval": True}),
    ("Dropout1d", (), {}, [(2, 3, 4)], {"eval": True}),
    ("Dropout2d", (0.2, True), {}, [(2, 3, 4, 4)], {"eval": True}),
    ("AlphaDropout", (), {}, [(2, 3)], {"eval": True}),
    ("FeatureAlphaDropout", (), {}, [(2, 3)], {"eval": True}),
    ("ConstantPad1d", (2, 1.5), {}, [(2, 3, 4)], {}),
    ("ConstantPad2d", ((1, -1, 2, 0), -2.0), {}, [(2, 3, 4, 5)], {}),
    ("ZeroPad2d", ((1, 0, -1, 2),), {}, [(3, 4, 5)], {}),
    ("ReflectionPad1d", ((2, 1),), {}, [(2, 3, 4)], {}),
    ("ReflectionPad2d", ((2, 1, 3, 0),), {}, [(2, 3, 4, 5)], {}),
    ("ReplicationPad1d", (5,), {}, [(2, 3, 4)], {}),
    ("ReplicationPad2d", ((2, 1, 3, 0),), {}, [(3, 4, 5)], {}),
    ("ReplicationPad3d", (1,), {}, [(1, 2, 2, 3, 2)], {}),
    ("CircularPad1d", ((4, 1),), {}, [(2, 3, 4)], {}),
    ("CircularPad2d", ((2, 1, 3, 0),), {}, [(2, 3, 4, 5)], {}),
    ("PixelShuffle", (2,), {}, [(2, 12, 3, 2)], {}),
    ("PixelUnshuffle", (3,), {}, [(2, 6, 9)], {}),
    ("ChannelShuffle", (3,), {}, [(2, 6, 4, 2)], {}),
    ("Upsample", (), {"scale_factor": 2}, [(2, 3, 4)], {}),
    ("Upsample", (), {"size": (7, 3)}, [(2, 3, 4, 5)], {}),
    ("Upsample", (), {"scale_factor": (1.7, 0.6), "mode": "nearest-exact"}, [(2, 3, 4, 5)], {}),
    ("Upsample", (), {"scale_factor": 2.3, "mode": "linear"}, [(2, 3, 4)], {}),
    ("Upsample", (), {"scale_factor": 2, "mode": "bilinear"}, [(2, 3, 4, 5)], {}),
    ("Upsample", (), {"size": (7, 3), "mode": "bilinear", "align_corners": True}, [(2, 3, 4, 5)], {}),
    ("Upsample", (), {"scale_factor": (1.7, 0.6), "mode": "bilinear", "recompute_scale_factor": True}, [(2, 3, 4, 5)], {}),
    ("Upsample", (), {"size": (3, 5, 1), "mode": "trilinear", "align_corners": True}, [(1, 2, 2, 3, 2)], {}),
    ("UpsamplingNearest2d", (5,), {}, [(2, 3, 4, 5)], {}),
    ("UpsamplingBilinear2d", (), {"scale_factor": 2}, [(2, 3, 4, 5)], {}),
    ("Unfold", ((3, 2),), {"padding": 1, "stride": (2, 1)}, [(2, 3, 5, 4)], {}),
    ("Unfold", (2,), {"dilation": (2, 1)}, [(3, 5, 4)], {}),
    ("Fold", ((5, 4), (3, 2)), {"padding": 1, "stride": (2, 1)}, [(2, 18, 15)], {}),
    ("Fold", ((5, 4), 2), {"dilation": (2, 1)}, [(12, 9)], {}),
    ("Fold", ((6, 5), 2), {"stride": 3}, [(2, 4, 4)], {}),
    ("Bilinear", (3, 2, 4), {}, [(5, 2, 3), (5, 2, 2)], {}),
    ("Bilinear", (3, 2, 4), {"bias": False}, [(3,), (2,)], {}),
    ("CosineSimilarity", (), {"axis": 2}, [(2, 3, 4), (2, 3, 4)], {}),
    ("PairwiseDistance", (), {"p": 1.0, "keepdim": True}, [(3, 4), (3, 4)], {}),
]  # fmt: skip


def draw(number, *shapes):
    """The same numbers for the same case, whoever asks."""
    generator = np.random.default_rng(number)
    return [generator.standard_normal(shape) for shape in shapes]


def inputs_of(number, given):
    """The inputs of a case: float64 arrays and int64 ones."""
    drawn = iter(draw(number + 1000, *[g for g in given if isinstance(g, tuple)]))
    return [next(drawn) if isinstance(g, tuple) else np.array(g, np.int64) for g in given]


def make():
    import torch

    stored = {}
    for number, (name, arguments, options, given, extra) in enumerate(CASES):
        options = {{"axis": "dim"}.get(key, key): value for key, value in options.items()}
        layer = getattr(torch.nn, name)(*arguments, **options).double()
        parameters = list(layer.parameters())
        with torch.no_grad():
            for parameter, values in zip(parameters, draw(number, *[tuple(p.shape) for p in parameters]), strict=True):
                parameter.copy_(torch.from_numpy(values))
        inputs = [torch.from_numpy(a) for a in inputs_of(number, given)]
        for _ in range(extra.get("before", 0)):  # statistics that change from call to call
            layer(*[2 * i + 1 for i in inputs])
        if extra.get("eval"):
            layer.eval()
        floats = [i.requires_grad_() for i in inputs if i.is_floating_point()]
        results = layer(*inputs)
        results = results if isinstance(results, tuple) else (results,)
        if results[0].requires_grad:
            results[0].backward(torch.from_numpy(draw(number + 2000, tuple(results[0].shape))[0]))
        for n, result in enumerate(results):
            stored[f"{number} y{n}"] = result.detach().numpy()
        for n, gradient in enumerate([i.grad for i in floats] + [p.grad for p in parameters]):
            stored[f"{number} g{n}"] = gradient.numpy()
        for key, value in layer.state_dict().items():
            stored[f"{number} state {key}"] = value.numpy()
        stored[f"{number} text"] = np.array(repr(layer))
        stored[f"{number} keys"] = np.array(list(layer.state_dict()), dtype=str)
    np.savez_compressed(STORED, **stored)


if __name__ == "__main__":
    make()
