"""The optimizers' updates as formulas: (p, g, *state) -> (p, *state), each one pass over the memory, one launch on a GPU.

SGD's and Adam's are in the table of `kernels.formulas`; these are the others. Expressions of scalars alone are worked out
once per step, in float64. The arithmetic is PyTorch's, whose results these equal.
"""

from __future__ import annotations

from kernels import scalar as s
from kernels.formula import Formula, define

FORMULAS: dict[str, Formula] = {}


def _update(function):
    formula = FORMULAS[function.__name__] = define(function.__name__, function)
    return formula


def _mean(old, new, beta):
    """A running mean: beta of the old, the rest of the new."""
    return old + (1 - beta) * (new - old)


@_update
def nadam(p, g, m, v, *, shrink, weight_decay, beta1, beta2, eps, bias_correction2, by_gradient, by_mean):
    """Dozat 2016: the step looks ahead along the mean. by_gradient, by_mean: the learning rates of the two."""
    p = p * shrink
    g = g + weight_decay * p
    m, v = _mean(m, g, beta1), beta2 * v + (1 - beta2) * (g * g)
    return p - (by_gradient * g + by_mean * m) / (s.sqrt(v / bias_correction2) + eps), m, v


@_update
def radam(p, g, m, v, *, shrink, weight_decay, beta1, beta2, eps, lr, rectified, plain):
    """Liu et al. 2020. rectified and plain: of the step over the root of the squares, and of the step along the mean."""
    p = p * shrink
    g = g + weight_decay * p
    m, v = _mean(m, g, beta1), beta2 * v + (1 - beta2) * (g * g)
    return p - lr * m * (rectified / (s.sqrt(v) + eps) + plain), m, v


@_update
def adamax(p, g, m, u, *, lr, weight_decay, beta1, beta2, eps, bias_correction1):
    """Kingma and Ba 2015, section 7.1: the largest gradient, fading, instead of the root of the squares."""
    g = g + weight_decay * p
    m, u = _mean(m, g, beta1), s.maximum(beta2 * u, s.abs(g) + eps)
    return p - (lr / bias_correction1) * (m / u), m, u


@_update
def adagrad(p, g, total, *, lr, weight_decay, eps):
    """Duchi et al. 2011."""
    g = g + weight_decay * p
    total = total + g * g
    return p - lr * (g / (s.sqrt(total) + eps)), total


@_update
def adadelta(p, g, squares, moves, *, lr, weight_decay, rho, eps):
    """Zeiler 2012."""
    g = g + weight_decay * p
    squares = rho * squares + (1 - rho) * (g * g)
    move = s.sqrt(moves + eps) / s.sqrt(squares + eps) * g
    return p - lr * move, squares, rho * moves + (1 - rho) * (move * move)


def _rms_scaled(g, squares, alpha, eps, mean=None):
    squares = alpha * squares + (1 - alpha) * (g * g)
    spread = squares if mean is None else squares - mean * mean
    return g / (s.sqrt(spread) + eps), squares


@_update
def rmsprop(p, g, squares, *, lr, weight_decay, alpha, eps, momentum):
    """Hinton 2012, lecture 6e of Neural Networks for Machine Learning."""
    scaled, squares = _rms_scaled(g + weight_decay * p, squares, alpha, eps)
    return p - lr * scaled, squares


@_update
def rmsprop_momentum(p, g, squares, buffer, *, lr, weight_decay, alpha, eps, momentum):
    """RMSprop with momentum."""
    scaled, squares = _rms_scaled(g + weight_decay * p, squares, alpha, eps)
    buffer = momentum * buffer + scaled
    return p - lr * buffer, squares, buffer


@_update
def rmsprop_centered(p, g, squares, mean, *, lr, weight_decay, alpha, eps, momentum):
    """RMSprop by the variance of the gradient: Graves 2013."""
    g = g + weight_decay * p
    mean = _mean(mean, g, alpha)
    scaled, squares = _rms_scaled(g, squares, alpha, eps, mean)
    return p - lr * scaled, squares, mean


@_update
def rmsprop_centered_momentum(p, g, squares, mean, buffer, *, lr, weight_decay, alpha, eps, momentum):
    """RMSprop by the variance of the gradient, with momentum."""
    g = g + weight_decay * p
    mean = _mean(mean, g, alpha)
    scaled, squares = _rms_scaled(g, squares, alpha, eps, mean)
    buffer = momentum * buffer + scaled
    return p - lr * buffer, squares, mean, buffer


@_update
def lion(p, g, m, *, lr, weight_decay, beta1, beta2):
    """Chen et al. 2023: steps of one size, by the sign of a mean."""
    direction = s.sign(beta1 * m + (1 - beta1) * g)
    return p * (1 - lr * weight_decay) - lr * direction, beta2 * m + (1 - beta2) * g
