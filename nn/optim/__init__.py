"""Optimizers: how parameters follow their gradients; `lr_scheduler` has schedules of rates, `swa_utils` averages of weights."""

from nn.optim import lr_scheduler, swa_utils
from nn.optim.adam import Adam, AdamW
from nn.optim.adaptive import Adadelta, Adagrad, Adamax, Lion, NAdam, RAdam, RMSprop
from nn.optim.lbfgs import LBFGS
from nn.optim.muon import Muon
from nn.optim.optimizer import Optimizer
from nn.optim.sgd import SGD

__all__ = [
    "LBFGS", "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Lion", "Muon", "NAdam", "Optimizer", "RAdam", "RMSprop",
    "lr_scheduler", "swa_utils",
]  # fmt: skip
