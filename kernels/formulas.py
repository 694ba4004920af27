"""THE table: every elementwise operation of the library, each written once, as a formula of scalars.

From a formula come its CPU loop, its CUDA kernel, and, by `gradient`, the formula of its backward pass, to any order.

>>> from kernels import formulas
>>> print(formulas.tanh)
tanh(x): tanh(x)
>>> print(formulas.tanh.gradient((True,)))
tanh'(g, out): g * (1 - out * out)
>>> print(formulas.define("scaled", lambda x, y, *, scale=2.0: scale * x * y).gradient((True, False)))
scaled'(g, y; scale): g * y * scale

Elementwise functions of the Array API standard (2025.12) carry its names; activations, losses and optimizer updates
follow PyTorch's arithmetic. What happens at ties, kinks and zeros is the README's convention table.
"""

import math

from . import scalar as s
from .formula import Formula, define

__all__ = ["TABLE", "Formula", "define"]

TABLE: dict[str, Formula] = {}


def __getattr__(name):
    try:
        return TABLE[name]
    except KeyError:
        raise AttributeError(f"no formula named {name!r}; formulas.TABLE lists them all") from None


def __dir__():
    return sorted({*globals(), *TABLE})


def _formula(kinds="f", result="same", booleans=(), rewrite=None):
    """Put the decorated function into the table under its own name."""

    def register(function):
        formula = define(function.__name__, function, kinds=kinds, result=result, booleans=booleans, rewrite=rewrite)
        TABLE[formula.name] = formula
        return formula

    return register


def _primitives(names, kinds, result="same", arguments="x"):
    """Formulas that are one function of the scalar language; `name=function` where the two are called differently."""
    for entry in names.split():
        name, _, function = entry.partition("=")
        TABLE[name] = define(name, getattr(s, function or name), kinds=kinds, result=result, inputs=tuple(arguments))


# --- the Array API's elementwise functions ----------------------------------------------------------------------------

_primitives("acos acosh asin asinh atan atanh cos cosh exp log log10 log1p log2 sin sinh sqrt tan tanh reciprocal", "f")
_primitives("exp2 rsqrt erf erfc sigmoid", "f")
_primitives("abs ceil floor negative=neg round sign square trunc", "iuf")
_primitives("add subtract=sub multiply=mul pow floor_divide remainder maximum minimum", "iuf", arguments="xy")
_primitives("divide=div atan2 copysign hypot logaddexp nextafter", "f", arguments="xy")
_primitives("isfinite isinf isnan", "iuf", "bool")
_primitives("signbit", "f", "bool")
_primitives("equal not_equal less less_equal greater greater_equal", "biuf", "bool", "xy")
_primitives("logical_and logical_or logical_xor", "biuf", "bool", "xy")
_primitives("logical_not", "biuf", "bool")
_primitives("bitwise_and bitwise_or bitwise_xor", "biu", arguments="xy")
_primitives("bitwise_invert", "biu")
_primitives("bitwise_left_shift=left_shift bitwise_right_shift=right_shift", "iu", arguments="xy")


def _by_output(*pairs):
    """Let a derivative read the saved output: an expression in x and what equals it in terms of the output."""

    def rewrite(out, x):
        return {of_x(x): of_out(out) for of_x, of_out in pairs}

    return rewrite


@_formula(rewrite=_by_output((s.exp, lambda out: out + 1)))
def expm1(x):
    return s.expm1(x)


@_formula("biuf")
def positive(x):
    return x


@_formula("biuf", booleans=("condition",))
def where(condition, x, y):
    return s.where(condition, x, y)


@_formula("iuf")
def clip(x, lower, upper):
    """min(max(x, lower), upper), with slope 1 on both bounds (maximum and minimum would give a half there)."""
    raised = s.where(x < lower, lower, x)
    return s.where(raised > upper, upper, raised)


@_formula("iuf")
def clip_scalar(x, *, lower=-math.inf, upper=math.inf):
    """`clip` between two numbers; an integer kernel must be given both bounds within its dtype."""
    raised = s.where(x < lower, lower, x)
    return s.where(raised > upper, upper, raised)


# --- activations ------------------------------------------------------------------------------------------------------
# Piecewise ones compare such that a NaN falls into the branch that keeps it.


@_formula("iuf", rewrite=_by_output((lambda x: x <= 0, lambda out: out <= 0)))
def relu(x):
    return s.where(x <= 0, 0, x)


@_formula()
def leaky_relu(x, *, negative_slope=0.01):
    return s.where(x > 0, x, negative_slope * x)


@_formula("iuf")
def prelu(x, weight):
    return s.where(x > 0, x, weight * x)


@_formula()
def elu(x, *, alpha=1.0):
    return s.where(x > 0, x, alpha * s.expm1(x))


@_formula()
def celu(x, *, alpha=1.0):
    return s.where(x > 0, x, alpha * s.expm1(x / alpha))


@_formula()
def selu(x):
    """Self-normalising networks, Klambauer et al. 2017."""
    scale, alpha = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
    return s.where(x > 0, scale * x, scale * alpha * s.expm1(x))


@_formula()
def gelu(x):
    """x times the normal distribution's cumulative function: Hendrycks and Gimpel 2016, exact."""
    half = 0.5 * x
    return half + half * s.erf(math.sqrt(0.5) * x)  # multiplications set the pace: here two of them become one with the sum


@_formula()
def gelu_tanh(x):
    """The tanh approximation of GELU. (1 + tanh(u)) / 2 is sigmoid(2 u), which keeps its accuracy in the left tail."""
    return x * s.sigmoid(2 * math.sqrt(2 / math.pi) * (x * (1 + 0.044715 * (x * x))))


@_formula()
def silu(x):
    return x * s.sigmoid(x)


@_formula()
def mish(x):
    return x * s.tanh(s.softplus(x))


@_formula()
def softplus(x, *, beta=1.0, threshold=20.0):
    """log(1 + exp(beta x)) / beta, and x itself from beta x > threshold on, as in PyTorch."""
    return s.where(beta * x > threshold, x, s.softplus(beta * x) / beta)


@_formula()
def log_sigmoid(x):
    return -s.softplus(-x)


@_formula(rewrite=lambda out, x, lower, upper: {x <= lower: out <= lower, x >= upper: out >= upper})
def hardtanh(x, *, lower=-1.0, upper=1.0):
    return s.where(x <= lower, lower, s.where(x >= upper, upper, x))


@_formula("iuf", rewrite=_by_output((lambda x: x <= 0, lambda out: out <= 0), (lambda x: x >= 6, lambda out: out >= 6)))
def relu6(x):
    return s.where(x <= 0, 0, s.where(x >= 6, 6, x))


@_formula()
def hardswish(x):
    """x clip(x + 3, 0, 6) / 6: Howard et al. 2019."""
    return s.where(x <= -3, 0, s.where(x >= 3, x, x * (x + 3) / 6))


@_formula()
def hardsigmoid(x):
    return s.where(x <= -3, 0, s.where(x >= 3, 1, x / 6 + 0.5))


@_formula()
def softsign(x):
    return x / (1 + s.abs(x))


@_formula()
def tanhshrink(x):
    return x - s.tanh(x)


@_formula()
def hardshrink(x, *, threshold=0.5):
    return s.where(s.abs(x) <= threshold, 0, x)


@_formula()
def softshrink(x, *, threshold=0.5):
    return s.where(x > threshold, x - threshold, s.where(x < -threshold, x + threshold, x * 0))


@_formula()
def lerp(start, end, weight):
    """start + weight (end - start), computed from the nearer end, so that weight 1 gives `end` exactly."""
    difference = end - start
    return s.where(s.abs(weight) < 0.5, start + weight * difference, end - difference * (1 - weight))


@_formula()
def xlogy(x, y):
    """x log(y), and 0 where x is 0; the slope in x there is still log(y) wherever that is finite."""
    return s.where(s.logical_and(s.equal(x, 0), s.logical_or(y <= 0, s.isinf(y))), 0, x * s.log(y))


# --- losses, before their reduction -----------------------------------------------------------------------------------


@_formula()
def squared_error(input, target):
    return s.square(input - target)


@_formula()
def absolute_error(input, target):
    return s.abs(input - target)


@_formula()
def huber(input, target, *, delta=1.0):
    distance = s.abs(input - target)
    return s.where(distance < delta, 0.5 * s.square(input - target), delta * (distance - 0.5 * delta))


@_formula()
def smooth_l1(input, target, *, beta=1.0):
    distance = s.abs(input - target)
    return s.where(distance < beta, 0.5 * s.square(input - target) / beta, distance - 0.5 * beta)


@_formula()
def binary_cross_entropy_with_logits(input, target):
    """-(t log sigmoid(x) + (1 - t) log(1 - sigmoid(x))): exact for large logits of either sign."""
    return s.logistic_loss(input, target)


@_formula()
def binary_cross_entropy_with_logits_weighted(input, target, pos_weight):
    """The same with the positive term weighted: a sum of positive terms, so nothing cancels."""
    return (1 - target) * s.softplus(input) + pos_weight * target * s.softplus(-input)


# --- optimizer updates: new parameter and new state in one pass -------------------------------------------------------
# Bias corrections are 1 - beta**step. Expressions of parameters alone (`1 - beta2`) are computed once, in float64, by
# whoever launches the kernel: see Formula.hoisted.


@_formula()
def sgd(p, g, *, lr, weight_decay=0.0):
    return p - lr * (g + weight_decay * p)


@_formula()
def sgd_momentum(p, g, buffer, *, lr, momentum, dampening=0.0, weight_decay=0.0):
    """PyTorch's first step copies the gradient: start from a zero buffer and dampening 0 there."""
    new_buffer = momentum * buffer + (1 - dampening) * (g + weight_decay * p)
    return p - lr * new_buffer, new_buffer


@_formula()
def sgd_nesterov(p, g, buffer, *, lr, momentum, dampening=0.0, weight_decay=0.0):
    decayed = g + weight_decay * p
    new_buffer = momentum * buffer + (1 - dampening) * decayed
    return p - lr * (decayed + momentum * new_buffer), new_buffer


def _moments(g, m, v, beta1, beta2):
    return m + (1 - beta1) * (g - m), beta2 * v + (1 - beta2) * (g * g)


def _adam_step(p, m, v, lr, eps, bias_correction1, bias_correction2):
    return p - (lr / bias_correction1) * (m / (s.sqrt(v) / s.sqrt(bias_correction2) + eps))


@_formula()
def adam(p, g, m, v, *, lr, beta1, beta2, eps, weight_decay, bias_correction1, bias_correction2):
    """Adam: Kingma and Ba 2015, with L2 regularisation in the gradient."""
    m, v = _moments(g + weight_decay * p, m, v, beta1, beta2)
    return _adam_step(p, m, v, lr, eps, bias_correction1, bias_correction2), m, v


@_formula()
def adamw(p, g, m, v, *, lr, beta1, beta2, eps, weight_decay, bias_correction1, bias_correction2):
    """Adam with decoupled weight decay: Loshchilov and Hutter 2019."""
    m, v = _moments(g, m, v, beta1, beta2)
    decayed = p * (1 - lr * weight_decay)
    return _adam_step(decayed, m, v, lr, eps, bias_correction1, bias_correction2), m, v


@_formula()
def adam_amsgrad(p, g, m, v, v_max, *, lr, beta1, beta2, eps, weight_decay, bias_correction1, bias_correction2):
    """Adam with the largest second moment so far: Reddi et al. 2018."""
    m, v = _moments(g + weight_decay * p, m, v, beta1, beta2)
    v_max = s.maximum(v_max, v)
    return _adam_step(p, m, v_max, lr, eps, bias_correction1, bias_correction2), m, v, v_max


@_formula()
def adamw_amsgrad(p, g, m, v, v_max, *, lr, beta1, beta2, eps, weight_decay, bias_correction1, bias_correction2):
    """AdamW with the largest second moment so far."""
    m, v = _moments(g, m, v, beta1, beta2)
    v_max = s.maximum(v_max, v)
    decayed = p * (1 - lr * weight_decay)
    return _adam_step(decayed, m, v_max, lr, eps, bias_correction1, bias_correction2), m, v, v_max


# --- what is special --------------------------------------------------------------------------------------------------
# What a reader of a formula does not see in it, in a phrase. Slopes at kinks are not here: they are the derivative's.

SPECIAL_CASES = {
    "copysign": "the sign has no gradient",
    "floor_divide": "division of integers by zero gives 0",
    "gelu": "exact far out on the left: no cancellation",
    "lerp": "weight 1 gives the end exactly",
    "log_sigmoid": "no overflow",
    "logaddexp": "no overflow; -infinity for two of them",
    "maximum": "NaN where one is NaN",
    "minimum": "NaN where one is NaN",
    "pow": "x**0 is 1 with slope 0 also at 0; 0**y has slope 0 in y for y >= 0; a negative base takes integer exponents",
    "remainder": "the sign is the divisor's; division of integers by zero gives 0",
    "round": "halves to even",
    "sigmoid": "no overflow",
    "sign": "NaN stays NaN",
    "softplus": "no overflow; x itself beyond the threshold",
    "xlogy": "0 where x is 0, whatever y is",
}
