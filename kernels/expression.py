"""The nodes of scalar expressions: built once each, folded, walked and rebuilt without recursion; see `scalar.py`."""

import math
import threading
import weakref
from collections.abc import Callable

_table: "weakref.WeakValueDictionary[tuple, Expr]" = weakref.WeakValueDictionary()
_table_lock = threading.Lock()

def _infix(op):
    return (lambda self, other: make(op, self, other)), (lambda self, other: make(op, other, self))


class Expr:
    """One node: an operation name, its argument nodes, and a value (a constant's number or a variable's name).

    Python's operators build expressions; `==` stays identity (use `equal`), and truth is an error (use `where`).
    """

    __slots__ = ("op", "args", "value", "__weakref__")
    __array_ufunc__ = None  # so that numpy.float64(2) * expression is an expression

    op: str
    args: "tuple[Expr, ...]"
    value: "str | int | float | bool | None"

    def __setattr__(self, name, value):
        raise AttributeError("expressions are immutable")

    def __reduce__(self):
        raise TypeError("expressions are process-local; rebuild them from their formula")

    def __bool__(self):
        raise TypeError("a symbolic value has no truth: write where(condition, a, b) for `if`, & | ~ for and, or, not")

    def __str__(self):
        from .rendering import text

        return text(self)

    def __repr__(self):
        return f"<Expr {self}>"

    __add__, __radd__ = _infix("add")
    __sub__, __rsub__ = _infix("sub")
    __mul__, __rmul__ = _infix("mul")
    __truediv__, __rtruediv__ = _infix("div")
    __floordiv__, __rfloordiv__ = _infix("floor_divide")
    __mod__, __rmod__ = _infix("remainder")
    __pow__, __rpow__ = _infix("pow")
    __and__, __rand__ = _infix("bitwise_and")
    __or__, __ror__ = _infix("bitwise_or")
    __xor__, __rxor__ = _infix("bitwise_xor")
    __lshift__, __rlshift__ = _infix("left_shift")
    __rshift__, __rrshift__ = _infix("right_shift")
    __lt__, __gt__ = _infix("less")[0], _infix("greater")[0]
    __le__, __ge__ = _infix("less_equal")[0], _infix("greater_equal")[0]

    def __neg__(self):
        return make("neg", self)

    def __pos__(self):
        return self

    def __abs__(self):
        return make("abs", self)

    def __invert__(self):
        return make("logical_not" if is_boolean(self) else "bitwise_invert", self)


# --- nodes ------------------------------------------------------------------------------------------------------------


def intern(op, args=(), value=None):
    # repr tells -0.0 from 0.0 and True from 1, which compare equal as keys.
    key = (op, args, repr(value) if op == "const" else value)
    with _table_lock:
        node = _table.get(key)
        if node is None:
            node = object.__new__(Expr)
            object.__setattr__(node, "op", op)
            object.__setattr__(node, "args", args)
            object.__setattr__(node, "value", value)
            _table[key] = node
    return node


def variable(name):
    """The variable called `name`.

    >>> variable("x") is variable("x")
    True
    """
    return intern("var", (), str(name))


def constant(value):
    """A constant. Whole floats and integers are one node: constant(2.0) is constant(2)."""
    if not isinstance(value, (bool, int, float)):
        value = value.item()  # a NumPy scalar
    if isinstance(value, float) and value.is_integer() and math.fabs(value) < 2.0**53:
        value = int(value) if value != 0 or math.copysign(1.0, value) > 0 else value
    return intern("const", (), value)


def as_expression(value):
    """`value` itself when it is an expression, else the constant; TypeError when it is neither."""
    if isinstance(value, Expr):
        return value
    try:
        return constant(value)
    except (AttributeError, ValueError, TypeError):
        raise TypeError(f"expected an expression or a number, got {type(value).__name__}") from None


ZERO, ONE, TWO = constant(0), constant(1), constant(2)

COMPARISONS = frozenset({"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"})
PREDICATES = frozenset({"isnan", "isinf", "isfinite", "signbit"})
_BITWISE = frozenset({"bitwise_and", "bitwise_or", "bitwise_xor"})


def is_boolean(node):
    """Whether the expression is a truth value whatever its variables are."""
    if node.op in _BITWISE:  # built on two truth values, they are truth values: see _bitwise
        return node.value is True
    if node.op == "const":
        return isinstance(node.value, bool)
    return node.op in COMPARISONS or node.op in PREDICATES or node.op == "logical_not"


def postorder(outputs):
    """Every node below `outputs`, each once, arguments before what uses them; the order depends on structure only."""
    done, order, stack = set(), [], list(reversed(tuple(outputs)))
    while stack:
        node = stack[-1]
        pending = [argument for argument in reversed(node.args) if argument not in done] if node not in done else ()
        if pending:
            stack.extend(pending)
            continue
        stack.pop()
        if node not in done:
            done.add(node)
            order.append(node)
    return order


def variables(outputs):
    """The names of the variables that `outputs` use, in order of first use."""
    return [node.value for node in postorder(outputs) if node.op == "var"]


# --- building ---------------------------------------------------------------------------------------------------------

_FOLD = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a if a != 0 else -float(a),
    "pow": lambda a, b: a**b,
    "abs": lambda a: a if a > 0 else 0 - a,
    "maximum": max,
    "minimum": min,
    "less": lambda a, b: a < b,
    "less_equal": lambda a, b: a <= b,
    "greater": lambda a, b: a > b,
    "greater_equal": lambda a, b: a >= b,
    "equal": lambda a, b: a == b,
    "not_equal": lambda a, b: a != b,
} | {name: getattr(math, name) for name in (
    "exp", "expm1", "exp2", "log", "log1p", "log2", "log10", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan",
    "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc", "atan2", "hypot", "floor", "ceil", "trunc",
)}  # fmt: skip


def _fold(op, args):
    """The constant that `op` gives on constant numbers, or None where it has no finite value there."""
    rule = _FOLD.get(op)
    if rule is None:
        return None
    values = [a.value for a in args]
    if any(isinstance(v, bool) or not math.isfinite(v) for v in values):
        return None
    try:
        value = rule(*values)
        ok = isinstance(value, bool) or (isinstance(value, (int, float)) and math.isfinite(value))
    except (ValueError, OverflowError, ZeroDivisionError):
        return None
    return constant(value) if ok else None


# What an operation simplifies to: a function of the argument nodes, giving an expression, or None for "as it is".
# `scalar.py` fills this table.
SIMPLIFY: dict[str, Callable[..., Expr | None]] = {}


def make(op, *args):
    """The expression `op(*args)`, simplified: what every function of the language builds with."""
    arguments = tuple([a if isinstance(a, Expr) else as_expression(a) for a in args])
    if all(a.op == "const" for a in arguments):
        folded = _fold(op, arguments)
        if folded is not None:
            return folded
    rule = SIMPLIFY.get(op)
    if rule is not None:
        simpler = rule(*arguments)
        if simpler is not None:
            return simpler
    return intern(op, arguments)


def rebuild(outputs, mapping=None, operations=None):
    """`outputs` built anew: nodes in `mapping` replaced as wholes, operations in `operations` by what these build."""
    new = dict(mapping or {})
    operations = operations or {}
    stack = list(reversed(tuple(outputs)))
    while stack:
        node = stack[-1]
        if node in new:
            stack.pop()
            continue
        pending = [argument for argument in reversed(node.args) if argument not in new]
        if pending:
            stack.extend(pending)
            continue
        stack.pop()
        if not node.args:
            new[node] = node
            continue
        arguments = [new[argument] for argument in node.args]
        builder = operations.get(node.op)
        new[node] = make(node.op, *arguments) if builder is None else builder(*arguments)
    return tuple(new[output] for output in outputs)
