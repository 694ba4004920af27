"""What PyTorch's losses of distances, margins, distributions and sequences give: the cases, and the script that stored it.

Run `python tests/nn/reference/losses.py` (it needs PyTorch) to write losses.json anew.
"""

import json
from pathlib import Path

import numpy as np

STORED = Path(__file__).with_suffix(".json")
REDUCTIONS = ("mean", "sum", "none")
RNG = np.random.default_rng(0)
A, B, C = RNG.normal(size=(3, 5, 4))
SIGNS = np.array([1.0, -1.0, 1.0, 1.0, -1.0])
MANY_SIGNS = np.sign(RNG.normal(size=(5, 4)))
CLASSES = np.array([0, 3, 1, 2, 3])
COUNTS = RNG.poisson(2.0, size=(5, 4)).astype(float)
VARIANCES = RNG.uniform(0.2, 2.0, size=(5, 4))
LABELS = (RNG.normal(size=(5, 4)) > 0).astype(float)
WEIGHT = np.array([0.5, 1.0, 2.0, 0.25])
LOGITS = RNG.normal(size=(12, 3, 5))
SEQUENCES = np.array([[1, 2, 2, 4], [3, 1, 1, 0], [4, 4, 4, 4]])
TIMES, SIZES = [12, 10, 7], [4, 3, 4]

# The class of `nn`, its options, the operands that get gradients, and the others.
CASES = [
    ("CosineEmbeddingLoss", {}, (A, B), (SIGNS,)),
    ("CosineEmbeddingLoss", {"margin": 0.3}, (A, B), (SIGNS,)),
    ("MarginRankingLoss", {"margin": 0.2}, (A[:, 0], B[:, 0]), (SIGNS,)),
    ("HingeEmbeddingLoss", {"margin": 0.7}, (A,), (MANY_SIGNS,)),
    ("SoftMarginLoss", {}, (A,), (MANY_SIGNS,)),
    ("TripletMarginLoss", {}, (A, B, C), ()),
    ("TripletMarginLoss", {"margin": 0.5, "p": 1.0, "swap": True}, (A, B, C), ()),
    ("MultiMarginLoss", {}, (A,), (CLASSES,)),
    ("MultiMarginLoss", {"p": 2, "margin": 0.5, "weight": WEIGHT}, (A,), (CLASSES,)),
    ("MultiLabelSoftMarginLoss", {"weight": WEIGHT}, (A,), (LABELS,)),
    ("PoissonNLLLoss", {}, (A,), (COUNTS,)),
    ("PoissonNLLLoss", {"log_input": False, "full": True}, (VARIANCES,), (COUNTS,)),
    ("GaussianNLLLoss", {}, (A,), (B, VARIANCES)),
    ("GaussianNLLLoss", {"full": True, "eps": 0.5}, (A,), (B, VARIANCES[:, :1])),
    ("CTCLoss", {}, (LOGITS,), (SEQUENCES, TIMES, SIZES)),
    ("CTCLoss", {"blank": 4}, (LOGITS,), (SEQUENCES % 4, TIMES, SIZES)),
    ("CTCLoss", {"zero_infinity": True}, (LOGITS,), (SEQUENCES, [12, 10, 4], SIZES)),
]


def main():
    import torch

    stored = []
    for name, options, operands, others in CASES:
        for reduction in REDUCTIONS:
            own = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
            loss = getattr(torch.nn, name)(reduction=reduction, **own)
            given = [torch.tensor(o, requires_grad=True) for o in operands]
            scores = [g.log_softmax(-1) if name == "CTCLoss" else g for g in given]
            out = loss(*scores, *[torch.tensor(o) for o in others])
            out.sum().backward()
            stored.append([out.detach().numpy().tolist(), [g.grad.numpy().tolist() for g in given]])
    STORED.write_text(json.dumps(stored) + "\n")


if __name__ == "__main__":
    main()
