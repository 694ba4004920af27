"""What PyTorch's attention and transformer layers give: the cases, and the script that stored it.

Run `python tests/nn/reference/attention.py` (it needs PyTorch) to write attention.npz anew.
"""

from pathlib import Path

import numpy as np

STORED = Path(__file__).with_suffix(".npz")

CAUSAL = np.triu(np.ones((3, 3), bool), 1)
CAUSAL_5 = np.triu(np.ones((5, 5), bool), 1)
CROSS = np.zeros((3, 5), bool)
CROSS[0, 1:3] = CROSS[2, 4] = True
PER_HEAD = np.arange(4 * 3 * 5).reshape(4, 3, 5) % 7 == 3
PADDING = np.array([[False, False, True, False, True], [False, True, False, False, False]])
ADDED = np.linspace(-1, 1, 15).reshape(3, 5)

_SMALL = {"d_model": 4, "nhead": 2, "dim_feedforward": 6, "dropout": 0.0}
_FIRST = {**_SMALL, "batch_first": True}

# The class of `nn`, its options, the shapes of its inputs, and the options of the call.
CASES = [
    ("MultiheadAttention", {"embed_dim": 4, "num_heads": 2}, [(3, 2, 4)] * 3, {}),
    ("MultiheadAttention", {"embed_dim": 4, "num_heads": 2, "batch_first": True}, [(2, 3, 4), (2, 5, 4), (2, 5, 4)],
     {"attn_mask": CROSS, "average_attn_weights": False}),
    ("MultiheadAttention", {"embed_dim": 4, "num_heads": 2, "kdim": 3, "vdim": 5}, [(3, 2, 4), (5, 2, 3), (5, 2, 5)],
     {"key_padding_mask": PADDING, "need_weights": False}),
    ("MultiheadAttention", {"embed_dim": 4, "num_heads": 2, "bias": False, "batch_first": True},
     [(2, 3, 4), (2, 5, 4), (2, 5, 4)], {"attn_mask": PER_HEAD, "key_padding_mask": PADDING}),
    ("MultiheadAttention", {"embed_dim": 4, "num_heads": 2, "add_bias_kv": True, "add_zero_attn": True},
     [(3, 2, 4), (5, 2, 4), (5, 2, 4)], {"attn_mask": ADDED, "key_padding_mask": PADDING}),
    ("MultiheadAttention", {"embed_dim": 4, "num_heads": 1}, [(3, 4), (5, 4), (5, 4)], {"attn_mask": ADDED}),
    ("MultiheadAttention", {"embed_dim": 4, "num_heads": 4}, [(3, 2, 4)] * 3,
     {"attn_mask": CAUSAL, "is_causal": True, "need_weights": False}),
    ("TransformerEncoderLayer", _SMALL, [(3, 2, 4)], {}),
    ("TransformerEncoderLayer", {**_FIRST, "norm_first": True, "activation": "gelu", "layer_norm_eps": 1e-3}, [(2, 3, 4)],
     {"src_mask": CAUSAL, "is_causal": True}),
    ("TransformerEncoderLayer", {**_FIRST, "bias": False}, [(2, 5, 4)], {"src_key_padding_mask": PADDING}),
    ("TransformerDecoderLayer", _SMALL, [(3, 2, 4), (5, 2, 4)], {"tgt_mask": CAUSAL, "memory_key_padding_mask": PADDING}),
    ("TransformerDecoderLayer", {**_FIRST, "norm_first": True, "activation": "gelu"}, [(2, 3, 4), (2, 5, 4)],
     {"memory_mask": CROSS}),
    ("Transformer", {**_FIRST, "num_encoder_layers": 2, "num_decoder_layers": 1}, [(2, 5, 4), (2, 3, 4)],
     {"tgt_mask": CAUSAL, "src_mask": CAUSAL_5, "src_key_padding_mask": PADDING, "memory_key_padding_mask": PADDING}),
]  # fmt: skip


def draw(seed, *shapes):
    """Numbers for parameters, inputs and upstream gradients: the same wherever the script runs."""
    generator = np.random.default_rng(seed)
    return [generator.uniform(-1.0, 1.0, shape) for shape in shapes]


def main():
    import torch

    stored = {}
    for number, (name, options, shapes, call) in enumerate(CASES):
        layer = getattr(torch.nn, name)(**options, dtype=torch.float64)
        with torch.no_grad():
            values = draw(number, *[p.shape for p in layer.state_dict().values()])
            for parameter, value in zip(layer.state_dict().values(), values, strict=True):
                parameter.copy_(torch.tensor(value))
        inputs = [torch.tensor(x, requires_grad=True) for x in draw(number + 100, *shapes)]
        masks = {key: torch.tensor(m) if isinstance(m, np.ndarray) else m for key, m in call.items()}
        out = layer(*inputs, **masks)
        out, weights = out if isinstance(out, tuple) else (out, None)
        out.backward(torch.tensor(draw(number + 200, out.shape)[0]))
        stored[f"{number} keys"] = np.array(list(layer.state_dict()))
        stored[f"{number} y"] = out.detach().numpy()
        if weights is not None:
            stored[f"{number} weights"] = weights.detach().numpy()
        stored.update({f"{number} x{n}": x.grad.numpy() for n, x in enumerate(inputs)})
        stored.update({f"{number} {key}": p.grad.numpy() for key, p in layer.named_parameters()})
    np.savez_compressed(STORED, **stored)


if __name__ == "__main__":
    main()
