"""The derivative rules of the scalar language, and the differentiator that applies them.

Tangents run forwards, from the leaves up. That, and not reverse accumulation, is what makes `where` safe: the
derivative of `where(c, a, b)` is `where(c, da, db)`, so an infinite slope in the branch that was not taken is never
multiplied by zero, it is not selected.

A zero that a rule introduces (the derivative of a constant, of `floor`, ...) is the symbolic `ZERO`, and it vanishes
from sums and products here even beside an infinity: it is exactly zero for every real operand.
"""

import math

from . import scalar as s
from .scalar import ONE, TWO, ZERO, Expr, constant, gather, make, postorder

_HALF = constant(0.5)
_LN2 = math.log(2.0)
_DEPTH = 4  # how far a factor is pushed into nested where: enough for clip-like shapes, bounded for anything else


# --- sums and products that know a symbolic zero ----------------------------------------------------------------------


def times(a, b, depth=_DEPTH):
    """a * b for derivatives: zero and one vanish, constants gather in front, `a * (1 / b)` is a / b, and a factor moves
    into a `where` that has a constant branch (so that `0 * inf` cannot arise there)."""
    if a is ZERO or b is ZERO:
        return ZERO
    if b.op == "const":
        a, b = b, a
    for first, second in ((a, b), (b, a)) if depth else ():
        if second.op == "where" and (second.args[1].op == "const" or second.args[2].op == "const"):
            condition, p, q = second.args
            return make("where", condition, times(first, p, depth - 1), times(first, q, depth - 1))
        if second.op == "div" and second.args[1] is first:
            return second.args[0]
        if second.op == "div" and second.args[0].op == "const":
            if first.op != "const":
                return make("div", times(second.args[0], first, depth - 1), second.args[1])
            product = gather(first, second.args[0])
            if product is not None:
                return make("div", product, second.args[1])
        if first.op != "const" and second.op == "mul" and second.args[0].op == "const":
            return make("mul", second.args[0], times(first, second.args[1], depth - 1))
    return make("mul", a, b)


def _coefficient(node):
    """(c, rest) with node = c * rest and c a constant."""
    return node.args if node.op == "mul" and node.args[0].op == "const" else (ONE, node)


def plus(a, b, depth=_DEPTH):
    """a + b for derivatives: zero vanishes, 2 x + 3 x is 5 x, and two selections by one condition are one."""
    if a is ZERO:
        return b
    if b is ZERO:
        return a
    (c, rest), (d, other) = _coefficient(a), _coefficient(b)
    if rest is other:
        return times(make("add", c, d), rest)
    if depth and a.op == "add" and _coefficient(a.args[1])[1] is other:
        return make("add", a.args[0], plus(a.args[1], b, 0))
    if depth and a.op == "where" and b.op == "where" and a.args[0] is b.args[0]:
        return make("where", a.args[0], plus(a.args[1], b.args[1], depth - 1), plus(a.args[2], b.args[2], depth - 1))
    return make("add", a, b)


def minus(a, b):
    """a - b for derivatives; `1 - (1 - z)` is z, without the rounding."""
    if b is ZERO:
        return a
    if a is b:
        return ZERO
    if a is ZERO:
        return times(constant(-1), b)
    if a.op == "const" and b.op == "sub" and b.args[0].op == "const":
        return plus(constant(a.value - b.args[0].value), b.args[1])
    return make("sub", a, b)


def over(a, b):
    """a / b for derivatives; a factor b of the numerator cancels."""
    if a.op == "mul" and b in a.args and b.op == "var":
        return a.args[0] if a.args[1] is b else a.args[1]
    return ZERO if a is ZERO else make("div", a, b)


# --- operations that the differentiator knows and the kernels do not: how they are computed ---------------------------


def _softplus(x):
    return s.maximum(x, 0) + s.log1p(s.exp(-s.abs(x)))


def _logaddexp(a, b):
    # At equal operands the difference may be inf - inf.
    return s.where(s.equal(a, b), a + _LN2, s.maximum(a, b) + s.log1p(s.exp(-s.abs(a - b))))


def _logistic_loss(x, t):
    # softplus(x) - x * t, with the large parts cancelled before the small one is added.
    return (s.maximum(x, 0) - x * t) + s.log1p(s.exp(-s.abs(x)))


def _pow_slope(x, y):
    return s.where(s.equal(y, 0), 0, y * s.pow(x, y - 1))


LOWERED = {"softplus": _softplus, "logaddexp": _logaddexp, "logistic_loss": _logistic_loss, "pow_slope": _pow_slope}


# --- the rules: for each argument, the partial derivative as a function of (result, *arguments) -----------------------


def _pow_by_base(p, x, y):
    if y.op == "const":
        return times(y, s.pow(x, y - 1))
    return make("pow_slope", x, y)  # y * x**(y-1), and 0 for y = 0 even at x = 0


def _pow_by_exponent(p, x, y):
    if x.op == "const" and x.value > 0:
        return times(constant(math.log(x.value)), p)
    return s.where(s.logical_and(s.equal(x, 0), y >= 0), 0, p * s.log(x))


def _pow_slope_by_base(p, x, y):
    origin = s.logical_and(s.equal(x, 0), s.equal(y, 0))
    return s.where(origin, 0, y * make("pow_slope", x, y - 1))


def _pow_slope_by_exponent(p, x, y):
    return s.where(s.logical_and(s.equal(x, 0), y > 1), 0, s.pow(x, y - 1) * (1 + y * s.log(x)))


def _logaddexp_share(a, b, difference):
    # Both infinite: the sum has no slope (logsumexp of all -inf has zero gradient), where a - b would be NaN.
    return s.where(s.logical_and(s.equal(a, b), s.isinf(a)), 0, s.sigmoid(difference))


def _atan2_share(numerator, y, x):
    squares = x * x + y * y
    return s.where(s.equal(squares, 0), 0, numerator / squares)


def _hypot_share(h, x):
    return s.where(s.equal(h, 0), 0, x / h)


PARTIALS = {
    "exp": (lambda y, x: y,),
    "expm1": (lambda y, x: s.exp(x),),
    "exp2": (lambda y, x: _LN2 * y,),
    "log": (lambda y, x: 1 / x,),
    "log1p": (lambda y, x: 1 / (1 + x),),
    "log2": (lambda y, x: (1 / _LN2) / x,),
    "log10": (lambda y, x: (1 / math.log(10.0)) / x,),
    "sqrt": (lambda y, x: 0.5 / y,),
    "rsqrt": (lambda y, x: -0.5 * (y * y * y),),
    "sin": (lambda y, x: s.cos(x),),
    "cos": (lambda y, x: -s.sin(x),),
    "tan": (lambda y, x: 1 + y * y,),
    "asin": (lambda y, x: s.rsqrt(1 - x * x),),
    "acos": (lambda y, x: -s.rsqrt(1 - x * x),),
    "atan": (lambda y, x: 1 / (1 + x * x),),
    "sinh": (lambda y, x: s.cosh(x),),
    "cosh": (lambda y, x: s.sinh(x),),
    "tanh": (lambda y, x: 1 - y * y,),
    "asinh": (lambda y, x: s.rsqrt(1 + x * x),),
    "acosh": (lambda y, x: s.rsqrt(x * x - 1),),
    "atanh": (lambda y, x: 1 / (1 - x * x),),
    "sigmoid": (lambda y, x: y * (1 - y),),
    "softplus": (lambda y, x: s.sigmoid(x),),
    "erf": (lambda y, x: (2 / math.sqrt(math.pi)) * s.exp(-times(x, x)),),
    "erfc": (lambda y, x: (-2 / math.sqrt(math.pi)) * s.exp(-times(x, x)),),
    "abs": (lambda y, x: s.sign(x),),
    "pow": (_pow_by_base, _pow_by_exponent),
    "pow_slope": (_pow_slope_by_base, _pow_slope_by_exponent),
    "remainder": (lambda r, x, y: ONE, lambda r, x, y: -s.floor_divide(x, y)),
    "atan2": (lambda r, y, x: _atan2_share(x, y, x), lambda r, y, x: _atan2_share(-y, y, x)),
    "hypot": (lambda h, x, y: _hypot_share(h, x), lambda h, x, y: _hypot_share(h, y)),
    "logaddexp": (lambda r, a, b: _logaddexp_share(a, b, a - b), lambda r, a, b: _logaddexp_share(a, b, b - a)),
    "logistic_loss": (lambda r, x, t: s.sigmoid(x) - t, lambda r, x, t: -x),
    "copysign": (lambda r, x, y: s.sign(x) * s.copysign(1, y), lambda r, x, y: ZERO),
    "nextafter": (lambda r, x, y: ONE, lambda r, x, y: ZERO),
}

# Piecewise constant, or truth values: no slope anywhere.
_FLAT = s.COMPARISONS | s.PREDICATES | {
    "const", "var", "sign", "floor", "ceil", "round", "trunc", "floor_divide", "logical_not", "bitwise_and",
    "bitwise_or", "bitwise_xor", "bitwise_invert", "left_shift", "right_shift",
}  # fmt: skip


# --- operations whose tangent is not a sum of partials: arguments and tangents together -------------------------------


def _mul_tangent(node, a, b, da, db):
    if a is b:
        return times(TWO, times(a, da))
    return plus(times(b, da), times(a, db))


def _div_tangent(node, a, b, da, db):
    # (da - (a / b) db) / b: one division and no overflow of b * b.
    if db is ZERO:
        return over(da, b)
    if a is ONE:  # -(1 / b)**2: no second division, and b itself is not needed
        return times(constant(-1), times(times(node, node, 0), db))
    return over(minus(da, times(node, db)), b)


def _where_tangent(node, condition, a, b, dc, da, db):
    return make("where", condition, da, db)


def _half_at_a_tie(tie, loses, da):
    # The tangent is selected, not multiplied by 0, 1/2 or 1, so that an infinite slope of the loser stays out. A NaN
    # operand compares false and passes its gradient on, as the NaN itself is passed on.
    if da is ZERO:
        return ZERO
    return s.where(tie, times(_HALF, da), s.where(loses, 0, da))


def _maximum_tangent(node, a, b, da, db):
    tie = s.equal(a, b)
    return plus(_half_at_a_tie(tie, a < b, da), _half_at_a_tie(tie, a > b, db))


def _minimum_tangent(node, a, b, da, db):
    tie = s.equal(a, b)
    return plus(_half_at_a_tie(tie, a > b, da), _half_at_a_tie(tie, a < b, db))


TANGENTS = {
    "add": lambda node, a, b, da, db: plus(da, db),
    "sub": lambda node, a, b, da, db: minus(da, db),
    "neg": lambda node, a, da: times(constant(-1), da),
    "mul": _mul_tangent,
    "div": _div_tangent,
    "where": _where_tangent,
    "maximum": _maximum_tangent,
    "minimum": _minimum_tangent,
}


def differentiate(expr, var):
    """The derivative of `expr` with respect to the variable `var`: an expression again, so any order can be taken.

    Its size is proportional to the number of distinct nodes of `expr`.

    >>> x = s.variable("x")
    >>> str(differentiate(s.tanh(x), x)), str(differentiate(s.where(x > 0, x * x, 0), x))
    ('1 - tanh(x) * tanh(x)', 'where(x > 0, 2 * x, 0)')
    """
    if not isinstance(var, Expr) or var.op != "var":
        raise TypeError(f"differentiate with respect to a variable, got {var!r}")
    tangent = {}
    for node in postorder((expr,)):
        tangents = [tangent[a] for a in node.args]
        if node is var:
            tangent[node] = ONE
        elif node.op in _FLAT or all(t is ZERO for t in tangents):
            tangent[node] = ZERO
        elif node.op in TANGENTS:
            tangent[node] = TANGENTS[node.op](node, *node.args, *tangents)
        else:
            total = ZERO
            for partial, t in zip(PARTIALS[node.op], tangents, strict=True):
                if t is not ZERO:
                    total = plus(total, times(partial(node, *node.args), t))
            tangent[node] = total
    return tangent[expr]
