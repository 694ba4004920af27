"""A small language of scalar expressions: what every elementwise kernel, forward and backward, is made from.

An expression is an immutable node. Building the same expression twice gives the same object ("hash-consing"), so a
shared subexpression is shared by construction and is computed once in the code that is rendered from it.

>>> x, y = variable("x"), variable("y")
>>> f = x * exp(-x * y)
>>> str(f)
'x * exp(-(x * y))'
>>> str(differentiate(f, y))
'-(x * exp(-(x * y)) * x)'
>>> render([f, exp(-x * y)], {"x": "a", "y": "b"})
(['t0 = a * b', 't1 = -t0', 't2 = exp(t1)', 't3 = a * t2'], ['t3', 't2'])

Constructors simplify as they build, and only in ways that keep the value of every real operand, NaN and infinity
included: constants are folded (never a division by zero, never into infinity), `x * 1`, `x + 0`, `-(-x)` and
`where(c, a, a)` disappear, small constant powers become products. `x * 0` and `x - x` are kept, for x may be NaN; only
the zeros that differentiation itself introduces vanish (see `derivatives.py`). The one liberty is the sign of zero:
`x + 0` is x, also for x = -0.0.

Nothing here recurses over an expression, so expressions of many thousands of nodes are fine.
"""

import math
from collections.abc import Callable

from .expression import (
    COMPARISONS,
    ONE,
    PREDICATES,
    SIMPLIFY,
    TWO,
    ZERO,
    Expr,
    as_expression,
    constant,
    intern,
    is_boolean,
    make,
    postorder,
    rebuild,
    variable,
    variables,
)  # fmt: skip

__all__ = [
    "COMPARISONS", "FUNCTIONS", "ONE", "PREDICATES", "TWO", "ZERO", "Expr", "as_expression", "constant",
    "differentiate", "evaluate", "is_boolean", "make", "postorder", "rebuild", "render", "simplify", "substitute",
    "variable", "variables",
]  # fmt: skip

# --- what each constructor simplifies ---------------------------------------------------------------------------------


def gather(first, second):
    """The product of two constants where it stays well inside float32's range, else None."""
    if isinstance(first.value, bool) or isinstance(second.value, bool):
        return None
    product = first.value * second.value
    return constant(product) if 1e-30 < math.fabs(product) < 1e30 else None


def _add(a, b):
    if a is ZERO:
        return b
    if b is ZERO:
        return a
    if b.op == "neg":
        return sub(a, b.args[0])
    if a.op == "neg":
        return sub(b, a.args[0])
    return None


def _sub(a, b):
    if b is ZERO:
        return a
    return add(a, b.args[0]) if b.op == "neg" else None


def _mul(a, b):
    if b.op == "const" and a.op != "const":
        return mul(b, a)
    if a is ONE:
        return b
    if a.op == "const" and a.value == -1:
        return neg(b)
    if a.op == "const" and b.op == "mul" and b.args[0].op == "const":
        product = gather(a, b.args[0])
        return None if product is None else mul(product, b.args[1])
    if b.op == "neg":
        return mul(neg(a), b.args[0]) if a.op == "const" else neg(mul(a, b.args[0]))
    return neg(mul(a.args[0], b)) if a.op == "neg" else None


def _div(a, b):
    if b is ONE:
        return a
    if a.op == "neg":
        return neg(div(a.args[0], b))
    return neg(div(a, b.args[0])) if b.op == "neg" else None


def _neg(a):
    if a.op == "neg":
        return a.args[0]
    if a.op == "mul" and a.args[0].op == "const":
        return mul(neg(a.args[0]), a.args[1])
    if a.op == "div" and a.args[0].op == "const":
        return div(neg(a.args[0]), a.args[1])
    return None


def _pow(a, b):
    if b.op != "const":
        return exp2(b) if a is TWO else None
    return _CHEAP_POWERS[b.value](a) if b.value in _CHEAP_POWERS else None


# x**0 is 1 also for NaN, as in C and NumPy; sqrt for 0.5 is NumPy's own shortcut for a scalar exponent.
_CHEAP_POWERS = {
    0: lambda a: ONE,
    1: lambda a: a,
    2: lambda a: a * a,
    3: lambda a: a * a * a,
    4: lambda a: (a * a) * (a * a),
    -1: lambda a: 1 / a,
    -2: lambda a: 1 / (a * a),
    0.5: lambda a: sqrt(a),
    -0.5: lambda a: rsqrt(a),
}


def _where(condition, a, b):
    if a is b:
        return a
    if condition.op == "const":
        return a if condition.value else b
    if condition.op == "logical_not":
        return where(condition.args[0], b, a)
    if a.op == "where" and a.args[0] is condition:
        return where(condition, a.args[1], b)
    if b.op == "where" and b.args[0] is condition:
        return where(condition, a, b.args[2])
    return None


def _logical_not(a):
    return a.args[0] if a.op == "logical_not" else None


SIMPLIFY |= {"add": _add, "sub": _sub, "mul": _mul, "div": _div, "neg": _neg, "pow": _pow, "where": _where}
SIMPLIFY["abs"] = lambda a: make("abs", a.args[0]) if a.op == "neg" else None
SIMPLIFY["logical_not"] = _logical_not
for _op in ("maximum", "minimum"):
    SIMPLIFY[_op] = lambda a, b: a if a is b else None


# --- the functions of the language ------------------------------------------------------------------------------------


def _function(op: str, operands: int = 1) -> Callable[..., Expr]:
    def unary(x):
        return make(op, x)

    def binary(x, y):
        return make(op, x, y)

    function = unary if operands == 1 else binary
    function.__name__ = function.__qualname__ = op
    function.__doc__ = f"The expression {op}({', '.join('xy'[:operands])})."
    return function


add, sub, mul, div = (_function(op, 2) for op in ("add", "sub", "mul", "div"))
pow, floor_divide, remainder = (_function(op, 2) for op in ("pow", "floor_divide", "remainder"))
exp, expm1, exp2 = map(_function, ("exp", "expm1", "exp2"))
log, log1p, log2, log10 = map(_function, ("log", "log1p", "log2", "log10"))
neg, sqrt, rsqrt = map(_function, ("neg", "sqrt", "rsqrt"))
sin, cos, tan = map(_function, ("sin", "cos", "tan"))
asin, acos, atan = map(_function, ("asin", "acos", "atan"))
sinh, cosh, tanh = map(_function, ("sinh", "cosh", "tanh"))
asinh, acosh, atanh = map(_function, ("asinh", "acosh", "atanh"))
sigmoid, erf, erfc, softplus = map(_function, ("sigmoid", "erf", "erfc", "softplus"))
sign, floor, ceil, round, trunc = map(_function, ("sign", "floor", "ceil", "round", "trunc"))
abs = _function("abs")
atan2, hypot, logaddexp = (_function(op, 2) for op in ("atan2", "hypot", "logaddexp"))
maximum, minimum = _function("maximum", 2), _function("minimum", 2)
copysign, nextafter = _function("copysign", 2), _function("nextafter", 2)
logistic_loss = _function("logistic_loss", 2)  # softplus(x) - x * t, see derivatives.LOWERED
isnan, isinf, isfinite, signbit = map(_function, ("isnan", "isinf", "isfinite", "signbit"))
equal, not_equal = _function("equal", 2), _function("not_equal", 2)
less, less_equal = _function("less", 2), _function("less_equal", 2)
greater, greater_equal = _function("greater", 2), _function("greater_equal", 2)
bitwise_invert = _function("bitwise_invert")
left_shift, right_shift = _function("left_shift", 2), _function("right_shift", 2)


def square(x):
    """x * x."""
    return mul(x, x)


def reciprocal(x):
    """1 / x."""
    return div(1, x)


def where(condition, x, y):
    """x where the condition holds, else y. The derivative is selected too, so the other branch cannot leak a NaN."""
    return make("where", condition, x, y)


def _bitwise(op):
    def function(x, y):
        x, y = as_expression(x), as_expression(y)
        # Marked when both sides are truth values: then the result is one, which deep chains must know in O(1).
        return intern(op, (x, y), True if is_boolean(x) and is_boolean(y) else None)

    function.__name__ = function.__qualname__ = op
    return function


bitwise_and, bitwise_or, bitwise_xor = map(_bitwise, ("bitwise_and", "bitwise_or", "bitwise_xor"))
for _bit in (bitwise_and, bitwise_or, bitwise_xor):
    SIMPLIFY[_bit.__name__] = _bit


def truth(x):
    """x as a truth value: x != 0, or x itself where it is one already. NaN is true, as in NumPy."""
    x = as_expression(x)
    return x if is_boolean(x) else not_equal(x, ZERO)


def logical_and(x, y):
    """Whether both are true (non-zero)."""
    return bitwise_and(truth(x), truth(y))


def logical_or(x, y):
    """Whether at least one is true (non-zero)."""
    return bitwise_or(truth(x), truth(y))


def logical_xor(x, y):
    """Whether exactly one is true (non-zero)."""
    return bitwise_xor(truth(x), truth(y))


def logical_not(x):
    """Whether x is false (zero)."""
    x = as_expression(x)
    return make("logical_not", x) if is_boolean(x) else equal(x, ZERO)


# --- rewriting, and the doors to the neighbouring files ---------------------------------------------------------------


def substitute(expr, mapping):
    """`expr` with every key of `mapping` (an expression or a variable's name) replaced by its value.

    >>> x = variable("x")
    >>> str(substitute(exp(x) + x, {exp(x): variable("out"), "x": 2}))
    'out + 2'
    """
    keys = {variable(k) if isinstance(k, str) else k: as_expression(v) for k, v in mapping.items()}
    return rebuild((expr,), keys)[0]


def simplify(expr):
    """`expr` with every constructor's simplification applied again, from the leaves up."""
    return rebuild((expr,))[0]


def differentiate(expr, var):
    """The derivative of `expr` with respect to the variable `var`, as an expression; see `derivatives.py`."""
    from .derivatives import differentiate

    return differentiate(expr, var)


def evaluate(expr, env):
    """The value of `expr` by NumPy, the slow reference: `env` maps each variable's name to a number or an array."""
    from .rendering import evaluate

    return evaluate(expr, env)


def render(outputs, names=None):
    """`outputs` as straight-line Python: (assignments, the names of the results); see `rendering.py`."""
    from .rendering import render

    return render(outputs, names)


# The bare names that rendered code may call, besides `real` (the compute type) and the constants `inf` and `nan`.
FUNCTIONS = frozenset(
    """exp expm1 exp2 log log1p log2 log10 sqrt rsqrt sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh
    sigmoid erf erfc abs sign floor ceil round trunc maximum minimum pow floor_divide remainder hypot copysign nextafter
    isnan isinf isfinite signbit bitwise_invert left_shift right_shift""".split()
)
