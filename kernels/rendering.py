"""Expressions turned into other things: Python source for the kernels, text for people, values by NumPy.

The rendered source names no type and no device. A prelude, written elsewhere for each (CPU or CUDA, float32, float64,
integers, bool), defines `real` (the compute type, called on every constant), `inf`, `nan` and the functions named in
`scalar.FUNCTIONS`. Division must not raise there: Numba's error_model="numpy".
"""

import math

from .derivatives import LOWERED
from .scalar import FUNCTIONS, Expr, postorder, rebuild

_OPERATORS = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "less": "<", "less_equal": "<=", "greater": ">",
    "greater_equal": ">=", "equal": "==", "not_equal": "!=", "bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^",
}  # fmt: skip
_RESERVED = FUNCTIONS | {"real", "inf", "nan"}


def lower(outputs):
    """`outputs` with the operations that only the differentiator knows (`softplus`, ...) spelled out in functions."""
    return rebuild(outputs, operations=LOWERED)


def _constant_source(value):
    if isinstance(value, bool):
        return repr(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "real(nan)" if value != value else f"real({'-' if value < 0 else ''}inf)"
    return f"real({value!r})"


def _statement(node, args):
    if node.op in _OPERATORS:
        return f"{args[0]} {_OPERATORS[node.op]} {args[1]}"
    if node.op == "where":
        return f"{args[1]} if {args[0]} else {args[2]}"
    if node.op == "neg":
        return f"-{args[0]}"
    if node.op == "logical_not":
        return f"not {args[0]}"
    if node.op not in FUNCTIONS:
        raise ValueError(f"no source for the operation {node.op!r}")
    return f"{node.op}({', '.join(args)})"


def render(outputs, names=None):
    """`outputs` as straight-line Python: one assignment per shared node, in an order fixed by structure alone.

    Args:
        outputs: the expressions to compute.
        names: what each variable is called in the source, by its own name; a variable left out keeps its name.

    Returns:
        (lines, results): assignments `t0 = ...`, and for each output the name (or constant) that holds it.

    >>> from kernels import scalar
    >>> x = scalar.variable("x")
    >>> render([scalar.where(x > 0, x, 0.5 * scalar.expm1(x))])
    (['t0 = x > real(0)', 't1 = expm1(x)', 't2 = real(0.5) * t1', 't3 = x if t0 else t2'], ['t3'])
    """
    outputs = lower(outputs)
    names = names or {}
    nodes = postorder(outputs)
    taken = {names.get(node.value, node.value) for node in nodes if node.op == "var"} | _RESERVED
    source, lines, counter = {}, [], 0
    for node in nodes:
        if node.op == "var":
            source[node] = names.get(node.value, node.value)
        elif node.op == "const":
            source[node] = _constant_source(node.value)
        else:
            while f"t{counter}" in taken:
                counter += 1
            source[node] = f"t{counter}"
            lines.append(f"t{counter} = {_statement(node, [source[a] for a in node.args])}")
            counter += 1
    return lines, [source[output] for output in outputs]


# --- text -------------------------------------------------------------------------------------------------------------

_PRECEDENCE = {"where": 9, "neg": 5, "logical_not": 5, "mul": 4, "div": 4, "add": 3, "sub": 3, "bitwise_and": 2}
_PRECEDENCE |= {"bitwise_xor": 1, "bitwise_or": 0} | dict.fromkeys(
    ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal"), -1
)
_RIGHT_STRICT = {"sub", "div", "less", "less_equal", "greater", "greater_equal", "equal", "not_equal"}
_LONGEST = 2000  # characters; beyond this a text without sharing could be exponentially long


def _number(value):
    return str(value) if isinstance(value, (bool, int)) else f"{value:.6g}"


def _written(node, texts):
    """`node` as mathematics, given (text, precedence) for each argument."""

    def argument(i, least):
        inner, precedence = texts[node.args[i]]
        return inner if precedence >= least else f"({inner})"

    if node.op in _OPERATORS:
        level = _PRECEDENCE[node.op]
        right = argument(1, level + (node.op in _RIGHT_STRICT or node.args[1].op in _RIGHT_STRICT))
        return f"{argument(0, level)} {_OPERATORS[node.op]} {right}", level
    if node.op == "neg":
        return f"-{argument(0, 5)}", 5
    if node.op == "logical_not":
        return f"~{argument(0, 5)}", 5
    if node.op == "pow":
        return f"{argument(0, 7)}**{argument(1, 6)}", 6
    return f"{node.op}({', '.join(texts[a][0] for a in node.args)})", 9


def text(expr):
    """`expr` as readable mathematics; a long one as a list of named steps, each shared part once.

    >>> from kernels import scalar
    >>> x = scalar.variable("x")
    >>> text((x + 1) * scalar.tanh(x) / (2 - x))
    '(x + 1) * tanh(x) / (2 - x)'
    """
    nodes = postorder((expr,))
    length, uses = {}, {}
    for node in nodes:
        length[node] = 8 + sum(length[a] for a in node.args)
        for a in node.args:
            uses[a] = uses.get(a, 0) + 1
    inline = length[expr] <= _LONGEST
    texts, steps = {}, []
    for node in nodes:
        if node.op == "var":
            texts[node] = (node.value, 9)
        elif node.op == "const":
            texts[node] = (_number(node.value), 9 if node.value >= 0 or node.value != node.value else 5)
        else:
            written = _written(node, texts)
            if not inline and node is not expr and (uses[node] > 1 or len(written[0]) > 80):
                steps.append(f"t{len(steps)} = {written[0]}")
                written = (f"t{len(steps) - 1}", 9)
            texts[node] = written
    return "\n".join([*steps, texts[expr][0]])


# --- values -----------------------------------------------------------------------------------------------------------


def numpy_functions():
    """Every operation as a NumPy function, by its name."""
    import numpy as np

    def by_element(function):
        def apply(x):
            x = np.asarray(x)
            out = np.asarray(np.frompyfunc(function, 1, 1)(x), dtype=np.float64)
            return out.astype(x.dtype) if x.dtype.kind == "f" else out

        return apply

    table = {name: getattr(np, name) for name in FUNCTIONS | set(_OPERATORS) if hasattr(np, name)}
    table |= {"sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative, "round": np.rint}
    table |= {"asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "atan2": np.arctan2, "pow": np.power}
    table |= {"asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "logical_not": np.logical_not}
    table |= {"erf": by_element(math.erf), "erfc": by_element(math.erfc), "where": np.where}
    table |= {"rsqrt": lambda x: 1 / np.sqrt(x), "sigmoid": lambda x: 1 / (1 + np.exp(-x))}
    for name in ("floor", "ceil", "trunc", "round"):  # integers stay integers
        table[name] = lambda x, function=table[name]: x if np.asarray(x).dtype.kind in "iub" else function(x)
    return table


def evaluate(expr, env):
    """The value of `expr` by NumPy, node by node: the slow reference that kernels are compared with.

    Args:
        expr: an expression, or a tuple of them (then a tuple of values comes back).
        env: for each variable's name its value, a number or an array.

    >>> from kernels import scalar
    >>> float(evaluate(scalar.variable("x") ** 2 + 1, {"x": 3.0}))
    10.0
    """
    import numpy as np

    outputs = (expr,) if isinstance(expr, Expr) else tuple(expr)
    functions = numpy_functions()
    lowered = lower(outputs)
    values = {}
    with np.errstate(all="ignore"):
        for node in postorder(lowered):
            if node.op == "var":
                value = env[node.value]
                values[node] = np.float64(value) if type(value) is float else value
            elif node.op == "const":
                values[node] = node.value
            else:
                values[node] = functions[node.op](*[values[a] for a in node.args])
    results = tuple(values[output] for output in lowered)
    return results[0] if isinstance(expr, Expr) else results
