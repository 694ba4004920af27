"""What PyTorch's optimizers and schedules do: the cases, and the script that stored its results.

Run `python tests/nn/reference/optimizers.py` (it needs PyTorch) to write optimizers.json anew.
"""

import json
from pathlib import Path

import numpy as np

STORED = Path(__file__).with_suffix(".json")
STEPS, SHAPE = 20, (3, 4)
OPTIMIZERS = [
    ("NAdam", {}),
    ("NAdam", {"lr": 0.05, "weight_decay": 0.1, "momentum_decay": 0.01, "maximize": True}),
    ("NAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.05}),
    ("RAdam", {"lr": 0.05, "betas": (0.8, 0.9), "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("Adamax", {"lr": 0.05}),
    ("Adamax", {"lr": 0.05, "weight_decay": 0.1, "eps": 1e-3}),
    ("Adagrad", {"lr": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.8, "weight_decay": 0.1}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9, "weight_decay": 0.1}),
    ("RMSprop", {"centered": True, "alpha": 0.9}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.05}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "amsgrad": True}),
]
SEARCHES = [None, "strong_wolfe"]

# By name: a function of (the module of schedules, the optimizer), and the number of steps. Groups start at 1.0 and 0.3.
SCHEDULES = {
    "StepLR": (lambda m, o: m.StepLR(o, 3, 0.5), 20),
    "MultiStepLR": (lambda m, o: m.MultiStepLR(o, [2, 5, 5, 9], 0.3), 20),
    "ExponentialLR": (lambda m, o: m.ExponentialLR(o, 0.9), 20),
    "ConstantLR": (lambda m, o: m.ConstantLR(o, 0.2, 4), 10),
    "LinearLR": (lambda m, o: m.LinearLR(o, 0.1, 0.8, 6), 20),
    "PolynomialLR": (lambda m, o: m.PolynomialLR(o, 8, 2.0), 20),
    "LambdaLR": (lambda m, o: m.LambdaLR(o, [lambda t: 0.9**t, lambda t: 1 / (1 + t)]), 20),
    "CosineAnnealingLR": (lambda m, o: m.CosineAnnealingLR(o, 7, 0.01), 30),
    "CosineAnnealingWarmRestarts": (lambda m, o: m.CosineAnnealingWarmRestarts(o, 3, 2, 0.01), 30),
    "CosineAnnealingWarmRestarts of one length": (lambda m, o: m.CosineAnnealingWarmRestarts(o, 4), 30),
    "OneCycleLR": (lambda m, o: m.OneCycleLR(o, 1.0, 20), 19),
    "OneCycleLR in three phases": (
        lambda m, o: m.OneCycleLR(o, [1.0, 2.0], epochs=4, steps_per_epoch=5, anneal_strategy="linear", three_phase=True), 19),
    "SequentialLR": (lambda m, o: m.SequentialLR(
        o, [m.LinearLR(o, 0.1, total_iters=4), m.CosineAnnealingLR(o, 10), m.ExponentialLR(o, 0.5)], [4, 12]), 20),
    "ChainedScheduler": (lambda m, o: m.ChainedScheduler([m.ConstantLR(o, 0.1, 5), m.ExponentialLR(o, 0.9)]), 12),
}  # fmt: skip
PLATEAUS = [
    {"patience": 2}, {"patience": 1, "cooldown": 2, "mode": "max", "threshold_mode": "abs"},
    {"patience": 0, "factor": 0.5, "min_lr": 0.2},
]  # fmt: skip


def data(dtype):
    """The parameter's start, and a gradient for each step."""
    rng = np.random.default_rng(0)
    return rng.normal(size=SHAPE).astype(dtype), rng.normal(size=(STEPS, *SHAPE)).astype(dtype)


def metrics():
    """A metric that falls, with noise."""
    return (np.random.default_rng(1).uniform(size=60) * np.linspace(2, 1, 60)).tolist()


def valley(p):
    """A loss with a curved valley, of four parameters."""
    return (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2 + (p[2] - p[3] ** 3) ** 2 + (p[3] * p[3]).exp()


START = [-1.5, 2.0, 0.5, 0.3]


def descend(optimizer, p, rounds=6):
    """The loss before each of some steps of LBFGS."""

    def closure():
        optimizer.zero_grad()
        loss = valley(p)
        loss.backward()
        return loss

    return [optimizer.step(closure).item() for _ in range(rounds)]


def rates(module, optimizer, make, steps):
    """The learning rates and momenta of all groups before and after each step of a schedule."""
    schedule = make(module, optimizer)
    found = []
    for _ in range(steps + 1):
        found.append([float(g[k]) for g in optimizer.param_groups for k in ("lr", "momentum")])
        optimizer.step()
        if len(found) <= steps:
            schedule.step()
    return found


def main():
    import torch

    stored = {"optimizers": [], "searches": [], "schedules": {}, "plateaus": []}
    for name, options in OPTIMIZERS:
        start, gradients = data(np.float64)
        p = torch.nn.Parameter(torch.tensor(start))
        optimizer = getattr(torch.optim, name)([p], **options)
        for g in gradients:
            p.grad = torch.tensor(g)
            optimizer.step()
        stored["optimizers"].append(p.detach().numpy().tolist())
    for search in SEARCHES:
        p = torch.nn.Parameter(torch.tensor(START, dtype=torch.float64))
        options = {"lr": 1.0 if search else 0.002, "max_iter": 7, "history_size": 5, "line_search_fn": search}
        stored["searches"].append(descend(torch.optim.LBFGS([p], **options), p))
    for name, (make, steps) in SCHEDULES.items():
        groups = [{"params": [torch.nn.Parameter(torch.ones(1))]}, {"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.3}]
        optimizer = torch.optim.SGD(groups, lr=1.0, momentum=0.5)
        stored["schedules"][name] = rates(torch.optim.lr_scheduler, optimizer, make, steps)
    for options in PLATEAUS:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
        found = []
        for value in metrics():
            schedule.step(value)
            found.append(optimizer.param_groups[0]["lr"])
        stored["plateaus"].append(found)
    STORED.write_text(json.dumps(stored) + "\n")


if __name__ == "__main__":
    main()
