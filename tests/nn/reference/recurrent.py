"""What PyTorch's recurrent layers do: the cases, and the script that stored its results.

Run `python tests/nn/reference/recurrent.py` (it needs PyTorch) to write recurrent.npz anew.
"""

from pathlib import Path

import numpy as np

STORED = Path(__file__).with_suffix(".npz")

# (layer, its arguments, the shape of the input, the shape of each initial state or None for none)
CASES = [
    ("RNN", ((3, 4), {}), (5, 2, 3), None),
    ("RNN", ((3, 4), {"nonlinearity": "relu", "num_layers": 2, "bidirectional": True}), (4, 2, 3), (4, 2, 4)),
    ("RNN", ((3, 4), {"bias": False, "batch_first": True}), (2, 5, 3), (1, 2, 4)),
    ("LSTM", ((3, 4), {}), (5, 2, 3), None),
    ("LSTM", ((3, 5), {"num_layers": 2, "bidirectional": True, "batch_first": True}), (2, 4, 3), (4, 2, 5)),
    ("LSTM", ((2, 3), {"bias": False, "num_layers": 2}), (6, 1, 2), (2, 1, 3)),
    ("LSTM", ((3, 4), {"bidirectional": True}), (5, 3), (2, 4)),
    ("LSTM", ((3, 4), {}), (1, 3, 3), (1, 3, 4)),
    ("LSTM", ((3, 17), {}), (4, 3, 3), (1, 3, 17)),
    ("GRU", ((3, 4), {}), (5, 2, 3), None),
    ("GRU", ((3, 5), {"num_layers": 2, "bidirectional": True, "batch_first": True}), (2, 4, 3), (4, 2, 5)),
    ("GRU", ((2, 3), {"bias": False, "num_layers": 2}), (6, 1, 2), (2, 1, 3)),
    ("GRU", ((3, 4), {"bidirectional": True, "bias": False}), (5, 3), None),
    ("GRU", ((3, 17), {}), (4, 3, 3), (1, 3, 17)),
    ("RNNCell", ((3, 4), {}), (2, 3), (2, 4)),
    ("RNNCell", ((3, 4), {"bias": False, "nonlinearity": "relu"}), (3,), (4,)),
    ("LSTMCell", ((3, 4), {}), (2, 3), (2, 4)),
    ("LSTMCell", ((3, 4), {"bias": False}), (3,), None),
    ("GRUCell", ((3, 4), {}), (2, 3), (2, 4)),
    ("GRUCell", ((3, 4), {"bias": False}), (3,), (4,)),
]


def draw(number, *shapes):
    """The same numbers for the same case, whoever asks."""
    generator = np.random.default_rng(number)
    return [generator.standard_normal(shape) for shape in shapes]


def flat(results):
    """All tensors in a layer's results, in order."""
    return [t for r in results for t in flat(r)] if isinstance(results, (tuple, list)) else [results]


def states_for(name, shape):
    """The shapes of the initial states."""
    return [] if shape is None else [shape] * (2 if name.startswith("LSTM") else 1)


def make():
    import torch

    stored = {}
    for number, (name, (arguments, options), shape, state) in enumerate(CASES):
        layer = getattr(torch.nn, name)(*arguments, **options).double()
        parameters = list(layer.parameters())
        with torch.no_grad():
            for parameter, values in zip(parameters, draw(number, *[tuple(p.shape) for p in parameters]), strict=True):
                parameter.copy_(torch.from_numpy(values) / 2)
        operands = [torch.from_numpy(v).requires_grad_() for v in draw(number + 100, shape, *states_for(name, state))]
        x, *states = operands
        given = None if not states else tuple(states) if name.startswith("LSTM") else states[0]
        results = flat(layer(x, given))
        upstream = draw(number + 200, *[tuple(r.shape) for r in results])
        torch.autograd.backward(results, [torch.from_numpy(u) for u in upstream])
        values = {f"result {n}": r for n, r in enumerate(results)}
        values |= {f"operand {n}": o.grad for n, o in enumerate(operands)}
        values |= {f"parameter {n}": p.grad for n, p in enumerate(parameters)}
        stored |= {f"{number} {key}": value.detach().numpy() for key, value in values.items()}
        stored[f"{number} text"] = np.array(repr(layer))
        stored[f"{number} keys"] = np.array(list(layer.state_dict()))
    np.savez_compressed(STORED, **stored)


if __name__ == "__main__":
    make()
