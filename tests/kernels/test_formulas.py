"""The table: every value, first and second derivative against high precision, NumPy and PyTorch, at the special points.

The high-precision reference differentiates each formula's forward expression by central differences with 160 digits, so
it shares no derivative rule with the code; points where the two one-sided slopes differ are kinks, and the conventions
there are tested by name.
"""

import itertools
import math

import numpy as np
import pytest
from mpmath import mp, mpf

from kernels import formulas, scalar
from kernels.formulas import TABLE, define

POINTS = [0.0] + [sign * v for v in (1e-30, 0.5, 1.0, 2.0, 3.0, 6.0, 20.0, 90.0, 1e4) for sign in (1, -1)]
PAIR_POINTS = [0.0, 1e-30, -1e-30, 0.5, -0.5, 2.0, -3.0, 90.0, 1e4, -1e4]

ARRAY_API = """abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_invert bitwise_or
    bitwise_right_shift bitwise_xor ceil clip copysign cos cosh divide equal exp expm1 floor floor_divide greater
    greater_equal hypot isfinite isinf isnan less less_equal log log1p log2 log10 logaddexp logical_and logical_not
    logical_or logical_xor maximum minimum multiply negative nextafter not_equal positive pow reciprocal remainder round
    sign signbit sin sinh square sqrt subtract tan tanh trunc""".split()
OTHERS = """exp2 rsqrt erf erfc sigmoid relu leaky_relu elu selu gelu gelu_tanh silu mish softplus log_sigmoid hardtanh
    hardswish hardsigmoid relu6 softsign tanhshrink where lerp huber smooth_l1 squared_error
    binary_cross_entropy_with_logits sgd sgd_momentum sgd_nesterov adam adamw adam_amsgrad adamw_amsgrad""".split()

# Not differentiated against the reference: no smooth slope to compare, or an update with state (compared with PyTorch).
UPDATES = {"sgd", "sgd_momentum", "sgd_nesterov", "adam", "adamw", "adam_amsgrad", "adamw_amsgrad"}
DIFFERENTIABLE = sorted(
    name for name, f in TABLE.items()
    if "f" in f.kinds and f.result == "same" and name not in UPDATES | {"nextafter", "where", "clip_scalar"}
)  # fmt: skip


# --- the reference ----------------------------------------------------------------------------------------------------


def _mp_or_nan(function):
    def apply(*arguments):
        try:
            value = function(*arguments)
        except (ValueError, ZeroDivisionError, OverflowError):
            return mpf("nan")
        return mpf("nan") if isinstance(value, mp.mpc) else value

    return apply


def _mp_softplus(v):
    return max(v, mpf(0)) + mp.log1p(mp.exp(-abs(v)))


MP = {name: getattr(mp, name) for name in (
    "exp expm1 log log1p log10 sqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf erfc atan2 hypot "
    "sign floor ceil isnan isinf isfinite"
).split()} | {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": lambda a, b: a / b,
    "neg": lambda a: -a, "abs": abs, "pow": lambda a, b: a**b, "maximum": max, "minimum": min,
    "less": lambda a, b: a < b, "less_equal": lambda a, b: a <= b, "greater": lambda a, b: a > b,
    "greater_equal": lambda a, b: a >= b, "equal": lambda a, b: a == b, "not_equal": lambda a, b: a != b,
    "logical_not": lambda a: not a, "bitwise_and": lambda a, b: a and b, "bitwise_or": lambda a, b: a or b,
    "exp2": lambda a: mpf(2) ** a, "log2": lambda a: mp.log(a, 2), "rsqrt": lambda a: 1 / mp.sqrt(a),
    "sigmoid": lambda a: 1 / (1 + mp.exp(-a)), "softplus": _mp_softplus, "round": mp.nint,
    "trunc": lambda a: mp.floor(a) if a >= 0 else mp.ceil(a),
    "logaddexp": lambda a, b: a + _mp_softplus(b - a), "logistic_loss": lambda a, t: _mp_softplus(a) - a * t,
    "remainder": lambda a, b: a - mp.floor(a / b) * b,
    "floor_divide": lambda a, b: mp.floor(a / b),
    "copysign": lambda a, b: abs(a) if b >= 0 else -abs(a),
}  # fmt: skip
MP = {name: _mp_or_nan(function) for name, function in MP.items()}
MP["where"] = lambda condition, a, b: a if condition else b


def high_precision(expression, env):
    values = {}
    for node in scalar.postorder((expression,)):
        if node.op == "var":
            values[node] = env[node.value]
        elif node.op == "const":
            values[node] = node.value if isinstance(node.value, bool) else mpf(node.value)
        else:
            values[node] = MP[node.op](*[values[a] for a in node.args])
    return values[expression]


def partial_reference(f, env, names):
    """The (mixed) partial derivative of f along one or two `names`, or None at a kink, a jump or outside the domain."""
    one, other = (partial_difference(f, env, names, mpf(step) * mpf(10) ** -50) for step in (1, 3))
    return None if one is None or other is None or not same(one, other) else one


def partial_difference(f, env, names, h):
    expression = f.outputs[0]

    def shifted(*shifts):
        moved = dict(env)
        for name, shift in zip(names, shifts, strict=True):
            moved[name] = moved[name] + shift * h
        return high_precision(expression, moved)

    if len(names) == 1:
        left, right = (shifted(0) - shifted(-1)) / h, (shifted(1) - shifted(0)) / h
    elif names[0] == names[1]:
        names = names[:1]
        second = [(shifted(k + 1) - 2 * shifted(k) + shifted(k - 1)) / h**2 for k in (-1, 0, 1)]
        left, right = second[0], second[2]
        if not same(left, second[1]):
            return None
    else:

        def mixed(i, j):
            return (shifted(i + 1, j + 1) - shifted(i, j + 1) - shifted(i + 1, j) + shifted(i, j)) / h**2

        left, right = mixed(-1, -1), mixed(0, 0)
        if not (same(left, mixed(-1, 0)) and same(left, mixed(0, -1))):
            return None
    return (left + right) / 2 if same(left, right) else None


def same(a, b):
    if not (mp.isfinite(a) and mp.isfinite(b)):
        return False
    return abs(a - b) <= mpf(10) ** -12 * (abs(a) + abs(b)) + mpf(10) ** -15


def close(got, expected, scale=1.0):
    if abs(expected) > 1.7e308:
        return got == math.copysign(math.inf, expected) or abs(got) > 1e300
    # Products such as y (1 - y) are exact to an absolute error: the slope itself is of order one.
    return abs(got - float(expected)) <= 1e-9 * abs(float(expected)) + 1e-12 * scale


@pytest.fixture(autouse=True)
def digits():
    with mp.workdps(160):
        yield


def parameters(f):
    return {name: f.defaults[name] for name in f.parameters}


def points(f):
    if len(f.inputs) == 1:
        return [(v,) for v in POINTS]
    if f.name in ("remainder", "floor_divide"):  # a step of the difference must not cross many steps of the floor
        return list(itertools.product([0.3, -0.7, 5.2, -90.1], [0.5, -2.0, 3.0, -90.0]))
    if f.name == "clip":  # in a corner of both bounds the three slopes are a convention
        return list(itertools.product([-1e4, 0.25, 1.5, 3.0], [-1.0, 0.5], [1.0, 2.0]))
    if len(f.inputs) == 2:
        return list(itertools.product(PAIR_POINTS, repeat=2))
    return list(itertools.product([0.0, 1e-30, 0.25, -0.5, 3.0, -1e4], repeat=3))


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_derivatives_against_high_precision(name):
    f, checked = TABLE[name], 0
    scalars = parameters(f)
    symbols = [scalar.variable(n) for n in f.inputs]
    first = [scalar.differentiate(f.outputs[0], v) for v in symbols]
    second = {
        (i, j): scalar.differentiate(first[i], symbols[j])
        for i in range(len(symbols)) for j in range(len(symbols))
    }  # fmt: skip
    grid = np.array(points(f))
    env = {n: grid[:, i].copy() for i, n in enumerate(f.inputs)} | {k: np.float64(v) for k, v in scalars.items()}
    computed = {(i,): scalar.evaluate(first[i], env) for i in range(len(symbols))}
    computed |= {key: scalar.evaluate(e, env) for key, e in second.items()}
    computed = {key: np.broadcast_to(np.asarray(v, dtype=np.float64), len(grid)) for key, v in computed.items()}
    for row, point in enumerate(grid):
        exact = {n: mpf(float(v)) for n, v in zip(f.inputs, point, strict=True)}
        exact |= {n: mpf(v) for n, v in scalars.items()}
        for key, values in computed.items():
            expected = partial_reference(f, exact, [f.inputs[i] for i in key])
            if expected is None:
                continue
            checked += 1
            scale = max(1.0, *(abs(float(v)) for v in point))
            assert close(values[row], expected, scale), (name, key, point, values[row], float(expected))
    assert checked >= len(f.inputs)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradient_formulas_agree_with_derivatives_to_second_order(name):
    """The engine's road: `gradient` with saved outputs, and its gradient with the chain through the saved output."""
    f = TABLE[name]
    grid = np.array(points(f))
    env = {n: grid[:, i].copy() for i, n in enumerate(f.inputs)} | parameters(f)
    symbols = [scalar.variable(n) for n in f.inputs]
    first = [scalar.differentiate(f.outputs[0], v) for v in symbols]
    upstream = np.linspace(-1.5, 2.0, len(grid))
    out = np.asarray(scalar.evaluate(f.outputs[0], env))
    every = (True,) * len(f.inputs)
    g = f.gradient(every)
    assert g is f.gradient(every) and g.parameters == f.parameters
    sources = {"gradient": [upstream], "input": [env[n] for n in f.inputs], "output": [out]}
    arrays = [sources[kind][k] for kind, k in g.roles]
    values = g.evaluate(*arrays, **parameters(f))
    values = values if len(every) > 1 else (values,)
    for i, v in enumerate(values):
        slope = np.asarray(scalar.evaluate(first[i], env), dtype=float) * np.ones(len(grid))
        ok = np.isfinite(slope)
        v = np.broadcast_to(v, len(grid))
        assert np.allclose(v[ok], upstream[ok] * slope[ok], rtol=1e-9, atol=1e-12), name
    for i in range(len(every)):
        needs = tuple(k == i for k in range(len(every)))
        g = f.gradient(needs)
        arrays = [sources[kind][k] for kind, k in g.roles]
        gg = g.gradient((True,) * len(g.inputs))
        inner = {"gradient": [np.ones(len(grid))], "input": arrays, "output": [g.evaluate(*arrays, **parameters(f))]}
        parts = gg.evaluate(*[inner[kind][k] for kind, k in gg.roles], **parameters(f)) if g.inputs else ()
        parts = parts if isinstance(parts, tuple) else (parts,)
        for j in range(len(every)):
            expected = scalar.evaluate(scalar.differentiate(first[i], symbols[j]), env)
            total, size = np.zeros(len(grid)), 0.0
            with np.errstate(all="ignore"):
                expected = upstream * expected
                for part, (kind, k) in zip(parts, g.roles, strict=True):
                    term = part if kind == "input" and k == j else 0.0
                    if kind == "output":
                        term = part * scalar.evaluate(first[j], env)
                    total, size = total + term, size + np.abs(term)
            ok = np.isfinite(expected) & np.isfinite(scalar.evaluate(first[j], env)) & np.isfinite(out)
            expected = np.broadcast_to(expected, len(grid))[ok]
            error, size = np.abs(total[ok] - expected), np.broadcast_to(size, len(grid))[ok]
            assert (error <= 1e-8 * np.abs(expected) + 1e-11 + 1e-13 * size).all(), (name, i, j)  # terms cancel


# --- the convention table ---------------------------------------------------------------------------------------------


def slopes(f, *at, **scalars):
    """(value, first derivatives, second derivatives by the same input) at one point."""
    scalars = parameters(f) | scalars
    env = {n: np.float64(v) for n, v in zip(f.inputs, at, strict=True)} | scalars
    symbols = [scalar.variable(n) for n in f.inputs]
    first = [scalar.differentiate(f.outputs[0], v) for v in symbols]
    second = [scalar.differentiate(d, v) for d, v in zip(first, symbols, strict=True)]
    evaluate = lambda e: float(scalar.evaluate(e, env))  # noqa: E731
    return evaluate(f.outputs[0]), [evaluate(d) for d in first], [evaluate(d) for d in second]


INF = math.inf
CONVENTIONS = [
    # name, point, value, first, second (None: not fixed)
    ("relu", (0,), 0, [0], [0]),
    ("relu", (-0.0,), 0, [0], [0]),
    ("relu", (1e4,), 1e4, [1], [0]),
    ("relu6", (0,), 0, [0], [0]),
    ("relu6", (6,), 6, [0], [0]),
    ("abs", (0,), 0, [0], [0]),
    ("abs", (-2,), 2, [-1], [0]),
    ("absolute_error", (1, 1), 0, [0, 0], [0, 0]),
    ("sqrt", (0,), 0, [INF], [-INF]),
    ("rsqrt", (0,), INF, [-INF], [INF]),
    ("reciprocal", (0,), INF, [-INF], [INF]),
    ("log", (0,), -INF, [INF], [-INF]),
    ("maximum", (3, 3), 3, [0.5, 0.5], [0, 0]),
    ("minimum", (3, 3), 3, [0.5, 0.5], [0, 0]),
    ("maximum", (-INF, -INF), -INF, [0.5, 0.5], [0, 0]),
    ("pow", (0, 0), 1, [0, 0], [0, None]),
    ("pow", (0, 2), 0, [0, 0], [2, 0]),
    ("pow", (0, 1), 0, [1, 0], [0, 0]),
    ("pow", (-3, 0), 1, [0, math.nan], [0, math.nan]),
    ("pow", (-3, 3), -27, [27, math.nan], [-18, math.nan]),
    ("pow", (-2, -1), -0.5, [-0.25, math.nan], [-0.25, math.nan]),
    ("pow", (0, -1), INF, [-INF, -INF], [None, None]),
    ("hypot", (0, 0), 0, [0, 0], [None, None]),
    ("atan2", (0, 0), 0, [0, 0], [None, None]),
    ("sigmoid", (0,), 0.5, [0.25], [0]),
    ("sigmoid", (1e4,), 1, [0], [0]),
    ("sigmoid", (-1e4,), 0, [0], [0]),
    ("softplus", (0,), math.log(2), [0.5], [0.25]),
    ("softplus", (1e4,), 1e4, [1], [0]),
    ("softplus", (-1e4,), 0, [0], [0]),
    ("log_sigmoid", (0,), -math.log(2), [0.5], [-0.25]),
    ("log_sigmoid", (1e4,), 0, [0], [0]),
    ("log_sigmoid", (-1e4,), -1e4, [1], [0]),
    ("binary_cross_entropy_with_logits", (1e4, 1), 0, [0, -1e4], [0, 0]),
    ("binary_cross_entropy_with_logits", (-1e4, 1), 1e4, [-1, 1e4], [0, 0]),
    ("binary_cross_entropy_with_logits", (1e4, 0), 1e4, [1, -1e4], [0, 0]),
    ("binary_cross_entropy_with_logits", (-1e4, 0), 0, [0, 1e4], [0, 0]),
    ("binary_cross_entropy_with_logits", (0, 0.25), math.log(2), [0.25, 0], [0.25, 0]),
    ("binary_cross_entropy_with_logits_weighted", (1e4, 1, 3), 0, [0, -1e4, 0], [0, 0, 0]),
    ("binary_cross_entropy_with_logits_weighted", (-1e4, 1, 3), 3e4, [-3, 3e4, 1e4], [0, 0, 0]),
    ("logaddexp", (0, 0), math.log(2), [0.5, 0.5], [0.25, 0.25]),
    ("logaddexp", (1e4, -1e4), 1e4, [1, 0], [0, 0]),
    ("logaddexp", (-INF, -INF), -INF, [0, 0], [0, 0]),
    ("logaddexp", (-INF, 1), 1, [0, 1], [0, 0]),
    ("logaddexp", (INF, 1), INF, [1, 0], [0, 0]),
    ("gelu", (1e4,), 1e4, [1], [0]),
    ("gelu", (-1e4,), 0, [0], [0]),
    ("gelu_tanh", (1e4,), 1e4, [1], [0]),
    ("gelu_tanh", (-1e4,), 0, [0], [0]),
    ("silu", (1e4,), 1e4, [1], [0]),
    ("silu", (-1e4,), 0, [0], [0]),
    ("mish", (1e4,), 1e4, [1], [0]),
    ("mish", (-1e4,), 0, [0], [0]),
    ("elu", (0,), 0, [1], [1]),
    ("elu", (1e4,), 1e4, [1], [0]),
    ("celu", (0,), 0, [1], [1]),
    ("clip", (1, 1, 2), 1, [1, 0, 0], [0, 0, 0]),
    ("clip", (2, 1, 2), 2, [1, 0, 0], [0, 0, 0]),
    ("clip", (3, 1, 2), 2, [0, 0, 1], [0, 0, 0]),
    ("clip", (0, 1, 2), 1, [0, 1, 0], [0, 0, 0]),
    ("clip", (0, 5, 2), 2, [0, 0, 1], [0, 0, 0]),
    ("hardtanh", (1,), 1, [0], [0]),
    ("softsign", (0,), 0, [1], [0]),
    ("tanhshrink", (1e4,), 9999, [1], [0]),
    ("sign", (0,), 0, [0], [0]),
    ("copysign", (0, -1), 0, [0, 0], [0, 0]),
    ("lerp", (1, 3, 1), 3, [0, 1, 2], [0, 0, 0]),
    ("xlogy", (0, 0), 0, [0, 0], [0, 0]),
    ("xlogy", (0, 2), 0, [math.log(2), 0], [0, 0]),
]


@pytest.mark.parametrize(("name", "at", "value", "first", "second"), CONVENTIONS)
def test_conventions(name, at, value, first, second):
    got = slopes(TABLE[name], *at)
    for mine, expected in zip([got[0], *got[1], *got[2]], [value, *first, *second], strict=True):
        assert expected is None or mine == pytest.approx(expected, rel=1e-14, abs=1e-300, nan_ok=True), got


KEEP_NAN = """relu gelu silu softplus hardtanh relu6 clip_scalar softshrink hardswish elu leaky_relu mish tanhshrink
    hardsigmoid logaddexp huber lerp maximum minimum selu""".split()


@pytest.mark.parametrize("name", KEEP_NAN)
def test_nan_stays_nan(name):
    f = TABLE[name]
    for i in range(len(f.inputs)):
        arguments = [np.float64(0.5)] * len(f.inputs)
        arguments[i] = np.float64(math.nan)
        assert np.isnan(f.evaluate(*arguments)), name


SMOOTH = """sigmoid softplus log_sigmoid gelu gelu_tanh silu mish elu selu celu tanh softsign tanhshrink hardswish erf
    atan asinh""".split()


@pytest.mark.parametrize("name", SMOOTH)
def test_no_hidden_overflow_in_float32(name):
    f = TABLE[name]
    at = np.array(POINTS, dtype=np.float32)
    e, v = f.outputs[0], scalar.variable("x")
    for order in range(3):
        wide = scalar.evaluate(e, {"x": at.astype(np.float64)} | parameters(f))
        narrow = scalar.evaluate(e, {"x": at} | parameters(f))
        assert np.allclose(narrow, wide, rtol=2e-5, atol=1e-5), (name, order)
        e = scalar.differentiate(e, v)


# --- against PyTorch --------------------------------------------------------------------------------------------------

TORCH = {
    "relu": "relu", "leaky_relu": "leaky_relu", "elu": "elu", "celu": "celu", "selu": "selu", "gelu": "gelu",
    "silu": "silu", "mish": "mish", "softplus": "softplus", "log_sigmoid": "logsigmoid", "hardtanh": "hardtanh",
    "hardswish": "hardswish", "hardsigmoid": "hardsigmoid", "relu6": "relu6", "softsign": "softsign",
    "tanhshrink": "tanhshrink", "hardshrink": "hardshrink", "softshrink": "softshrink", "huber": "huber_loss",
    "smooth_l1": "smooth_l1_loss", "squared_error": "mse_loss", "absolute_error": "l1_loss",
    "binary_cross_entropy_with_logits": "binary_cross_entropy_with_logits",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(TORCH))
def test_values_and_gradients_equal_pytorch(name):
    torch = pytest.importorskip("torch")
    f = TABLE[name]
    function = getattr(torch.nn.functional, TORCH[name])
    at = np.array([*POINTS, -0.0, 2.5, 0.1, 50.0])
    arrays = [at] if len(f.inputs) == 1 else [at, np.linspace(0, 1, len(at))]
    if f.inputs[-1] == "target" and name != "binary_cross_entropy_with_logits":
        arrays[1] = np.roll(at, 1)
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    theirs = function(*tensors, **({"reduction": "none"} if len(arrays) > 1 else {}))
    assert np.allclose(f.evaluate(*arrays, **parameters(f)), theirs.detach().numpy(), rtol=1e-12, atol=1e-12)
    upstream = np.random.default_rng(0).normal(size=len(at))
    expected = torch.autograd.grad(theirs, tensors, torch.tensor(upstream))
    for i, gradient in enumerate(expected):
        g = f.gradient([k == i for k in range(len(arrays))])
        sources = {"gradient": [upstream], "input": arrays, "output": [f.evaluate(*arrays, **parameters(f))]}
        mine = g.evaluate(*[sources[kind][k] for kind, k in g.roles], **parameters(f))
        rtol = 1e-7 if name == "hardsigmoid" else 1e-9  # PyTorch's 1/6 there is a float32
        assert np.allclose(mine, gradient.numpy(), rtol=rtol, atol=1e-12), (name, at[mine != gradient.numpy()])


def run_updates(name, options, steps=5):
    """(ours, PyTorch's) parameter after some steps."""
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(1)
    p = random.normal(size=7)
    theirs = torch.nn.Parameter(torch.tensor(p))
    kind = getattr(torch.optim, {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD"}[name.split("_")[0]])
    optimizer = kind([theirs], **options)
    f = TABLE[name]
    state = [np.zeros(7) for _ in f.inputs[2:]]
    rename = {"beta1": options.get("betas", (0.9, 0.999))[0], "beta2": options.get("betas", (0.9, 0.999))[1]}
    for step in range(1, steps + 1):
        g = random.normal(size=7)
        theirs.grad = torch.tensor(g)
        optimizer.step()
        values = {"eps": 1e-8, "weight_decay": 0.0, "dampening": 0.0} | rename | options
        values |= {"bias_correction1": 1 - rename["beta1"] ** step, "bias_correction2": 1 - rename["beta2"] ** step}
        if step == 1:
            values["dampening"] = 0.0
        result = f.evaluate(p, g, *state, **{k: values[k] for k in f.parameters})
        p, *state = result if isinstance(result, tuple) else (result,)
    return p, theirs.detach().numpy()


@pytest.mark.parametrize(("name", "options"), [
    ("sgd", {"lr": 0.1}), ("sgd", {"lr": 0.1, "weight_decay": 0.3}),
    ("sgd_momentum", {"lr": 0.1, "momentum": 0.9, "dampening": 0.2, "weight_decay": 0.1}),
    ("sgd_nesterov", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("adam", {"lr": 0.1}), ("adam", {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.2}),
    ("adamw", {"lr": 0.1, "weight_decay": 0.2}), ("adam_amsgrad", {"lr": 0.1, "amsgrad": True, "weight_decay": 0.1}),
    ("adamw_amsgrad", {"lr": 0.1, "amsgrad": True, "weight_decay": 0.1}),
])  # fmt: skip
def test_updates_equal_pytorch(name, options):
    ours, theirs = run_updates(name, options)
    assert np.allclose(ours, theirs, rtol=1e-12, atol=1e-14)


# --- the table and Formula --------------------------------------------------------------------------------------------


def test_the_table_is_complete_and_every_formula_renders():
    assert set(ARRAY_API) | set(OTHERS) <= set(TABLE)
    for name, f in TABLE.items():
        assert f.name == name and getattr(formulas, name) is f and name in dir(formulas)
        assert f.result in ("same", "bool") and set(f.kinds) <= set("biuf")
        every = [True] * len(f.inputs)
        for formula in (f, f.gradient(every), f.gradient(every).hoisted, f.hoisted):
            lines, results = scalar.render(formula.outputs)
            assert len(results) == len(formula.outputs)
            assert set(scalar.variables(formula.outputs)) <= {*formula.inputs, *formula.parameters}
            called = {word.split("(")[0] for line in lines for word in line.split() if "(" in word.strip("(")}
            assert called <= scalar.FUNCTIONS | {"real"}
        if f.result == "bool":
            assert all(f.gradient(every).is_zero(k) for k in range(len(every)))
    with pytest.raises(AttributeError, match="no formula named 'gelo'"):
        formulas.gelo  # noqa: B018


@pytest.mark.parametrize("name", sorted(set(ARRAY_API) - {"clip"}))
def test_values_equal_numpy(name):
    f, random = TABLE[name], np.random.default_rng(2)
    reference = getattr(np, name)
    for kind in f.kinds:
        if kind == "f":
            values = [np.r_[random.normal(size=50) * 3, 0.0, -0.0, INF, -INF, math.nan, 1.0, 1.0] for _ in f.inputs]
        else:
            dtype = {"b": bool, "i": np.int64, "u": np.uint8}[kind]
            low = 0 if kind != "i" or "shift" in name or name == "pow" else -9
            values = [random.integers(low, 7 if kind != "b" else 2, size=60).astype(dtype) for _ in f.inputs]
        with np.errstate(all="ignore"):
            # NumPy's positive has no loop for bool; ours copies, for it is also what copying and casting run.
            expected = values[0] if name == "positive" and kind == "b" else reference(*values)
        np.testing.assert_allclose(f.evaluate(*values), expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("name", "inputs", "text"),
    [
        ("exp", ("g", "out"), "g * out"),
        ("tanh", ("g", "out"), "g * (1 - out * out)"),
        ("sigmoid", ("g", "out"), "g * out * (1 - out)"),
        ("sqrt", ("g", "out"), "0.5 * g / out"),
        ("relu", ("g", "out"), "where(out <= 0, 0, g)"),
        ("reciprocal", ("g", "out"), "-(g * out * out)"),
        ("expm1", ("g", "out"), "g * (out + 1)"),
        ("square", ("g", "x"), "2 * g * x"),
        ("log", ("g", "x"), "g / x"),
        ("add", ("g",), "g, g"),
        ("multiply", ("g", "x", "y"), "g * y, g * x"),
        ("where", ("g", "condition"), "0, where(condition, g, 0), where(condition, 0, g)"),
        ("divide", ("g", "x", "y"), "g / y, -(g / y * (x / y))"),  # the quotient stays free to be changed in place
    ],
)
def test_gradients_read_what_is_cheapest(name, inputs, text):
    g = TABLE[name].gradient([True] * len(TABLE[name].inputs))
    assert g.inputs == inputs
    assert str(g) == f"{name}'({', '.join(inputs)}): {text}"


def test_identities_zeros_and_selection():
    g = formulas.subtract.gradient((True, True))
    assert g.is_identity(0) and not g.is_identity(1) and not g.is_zero(0)
    rest = g.select([1])
    assert rest is g.select([1]) and str(rest) == "subtract'(g): -g" and rest.roles == (("gradient", 0),)
    assert formulas.floor.gradient((True,)).is_zero(0) and formulas.floor.gradient((True,)).inputs == ()
    assert formulas.positive.is_identity(0)
    assert formulas.multiply.gradient((False, True)).inputs == ("g", "x")
    with pytest.raises(ValueError, match="2 inputs; needs has 1"):
        formulas.multiply.gradient((True,))


def test_names_never_collide():
    f = define("f", lambda g, out: g * scalar.exp(out))
    d = f.gradient((True, True))
    assert d.inputs[0] == "g_" and dict(zip(d.inputs, d.roles, strict=True))["g_"] == ("gradient", 0)
    dd = d.gradient([True] * len(d.inputs))
    assert len(set(dd.inputs)) == len(dd.inputs) and dd.roles[0] == ("gradient", 0)


def test_several_outputs():
    f = define("sincos", lambda x: (scalar.sin(x), scalar.cos(x)))
    g = f.gradient((True,))
    assert g.roles == (("gradient", 0), ("gradient", 1), ("output", 0), ("output", 1)) or len(g.inputs) == 3
    sources = {"gradient": [2.0, 3.0], "input": [0.7], "output": [math.sin(0.7), math.cos(0.7)]}
    value = g.evaluate(*[sources[kind][k] for kind, k in g.roles])
    assert value == pytest.approx(2 * math.cos(0.7) - 3 * math.sin(0.7))


def test_define():
    f = define("f", lambda x, y, scale=2.0, *, shift: scale * x * y + shift, parameters=("scale",))
    assert (f.inputs, f.parameters, f.defaults) == (("x", "y"), ("scale", "shift"), {"scale": 2.0})
    assert f.evaluate(3.0, 4.0, shift=1.0) == 25
    assert define("h", lambda x, k: x * k, parameters={"k": 3}).evaluate(2.0) == 6
    with pytest.raises(TypeError, match="needs the parameter shift"):
        f.values({})
    with pytest.raises(TypeError, match="has no parameter shfit"):
        f.values({"shfit": 1})
    with pytest.raises(TypeError, match=r"without \*args"):
        define("f", lambda *x: x[0])
    with pytest.raises(TypeError, match="not arguments"):
        define("f", lambda x: x, parameters=("y",))
    x = scalar.variable("x")
    assert formulas.silu(x) is x * scalar.sigmoid(x)  # formulas compose
    assert str(formulas.leaky_relu(x, negative_slope=0.1)) == "where(x > 0, x, 0.1 * x)"
    assert str(formulas.tanh)[:7] == "tanh(x)"


def test_hoisting_computes_parameters_once_in_float64():
    f = formulas.adamw
    values = {"lr": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.2}
    values |= {"bias_correction1": 0.1, "bias_correction2": 1e-3}
    prepared = f.prepare(f.values(values))
    assert all(type(v) is float for v in prepared) and 1 - 0.999 in prepared
    random = np.random.default_rng(3)
    arrays = [random.normal(size=5) for _ in range(3)] + [random.random(5)]
    direct = f.evaluate(*arrays, **values)
    hoisted = f.hoisted.evaluate(*arrays, **dict(zip(f.hoisted.parameters, prepared, strict=True)))
    assert np.allclose(direct, hoisted, rtol=1e-15)
    # Nothing to compute: parameters pass unchanged, integers stay integers, and what is unused is dropped.
    assert formulas.clip_scalar.prepare((1, 5)) == (1, 5) and type(formulas.clip_scalar.prepare((1, 5))[0]) is int
    assert formulas.hardtanh.hoisted.parameters == ("lower", "upper")
    g = formulas.celu.gradient((True,))
    assert g.parameters == ("alpha",) and g.prepare((2.0,)) == (2.0,)
    plain = define("plain", lambda x, *, a, b: x * a)
    assert plain.hoisted.parameters == ("a",) and plain.prepare((3.0, 4.0)) == (3.0,)
    divided = define("divided", lambda x, *, a: x / (a * 0))  # no exception on the host either
    assert divided.prepare((1.0,)) == (0.0,)
    assert math.isinf(define("inverse", lambda x, *, a: x * (1 / a)).prepare((0.0,))[0])
