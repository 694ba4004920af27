"""gradloom's neural networks: modules, losses, optimizers, data. Names follow PyTorch.

>>> import autograd as ag, nn
>>> model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1))
>>> optimizer = nn.optim.Adam(model.parameters(), lr=0.01)
>>> loss = nn.functional.mse_loss(model(ag.ones((4, 2))), ag.zeros((4, 1)))
>>> loss.backward()
>>> optimizer.step()
"""

from nn import collision, data, functional, init, optim, utils
from nn.layers.activation import (
    CELU,
    ELU,
    GELU,
    SELU,
    Hardshrink,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softmin,
    Softplus,
    Softshrink,
    Softsign,
    Tanh,
    Tanhshrink,
)
from nn.layers.container import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from nn.layers.dropout import Dropout
from nn.layers.linear import Identity, Linear
from nn.layers.normalization import LayerNorm
from nn.layers.shape import Flatten, Unflatten
from nn.losses import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
)
from nn.module import Module
from nn.parameter import Parameter
from nn.serialization import load, save

__all__ = [
    "CELU", "ELU", "GELU", "SELU", "BCELoss", "BCEWithLogitsLoss", "CrossEntropyLoss", "Dropout", "Flatten",
    "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "HuberLoss", "Identity", "KLDivLoss", "L1Loss", "LayerNorm",
    "LeakyReLU", "Linear", "LogSigmoid", "LogSoftmax", "MSELoss", "Mish", "Module", "ModuleDict", "ModuleList",
    "NLLLoss", "PReLU", "Parameter", "ParameterDict", "ParameterList", "ReLU", "ReLU6", "Sequential", "SiLU",
    "Sigmoid", "SmoothL1Loss", "Softmax", "Softmin", "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink",
    "Unflatten", "data", "functional", "init", "load", "optim", "save", "utils",
]  # fmt: skip
