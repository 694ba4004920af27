"""The scalar language: sharing, simplification that keeps NaN, derivatives, text, source, depth without recursion."""

import gc
import itertools
import math
import os
import pickle
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

from kernels import scalar as s
from kernels.scalar import constant, differentiate, evaluate, render, simplify, substitute, variable

x, y, z = map(variable, "xyz")


def run_source(outputs, **env):
    """The rendered source executed on Python numbers with a prelude from the math module."""
    lines, results = render(outputs)
    scope = {name: getattr(math, name) for name in s.FUNCTIONS if hasattr(math, name)}
    scope |= {"real": float, "inf": math.inf, "nan": math.nan, "abs": abs, "maximum": max, "minimum": min}
    scope |= {"isnan": math.isnan, "sigmoid": lambda v: 1 / (1 + math.exp(-v)), **env}
    exec("\n".join(lines), scope)
    return [eval(result, scope) for result in results]


def test_equal_expressions_are_one_object():
    assert x * s.exp(y) + 1 is x * s.exp(y) + 1
    assert variable("x") is x
    assert constant(2) is constant(2.0) and constant(2) is constant(np.float32(2)) and constant(True) is not constant(1)
    assert constant(0.0) is not constant(-0.0)
    assert constant(math.nan) is constant(math.nan)
    assert (x == y) is False and (x == variable("x")) is True


def test_unused_expressions_are_freed():
    node = s.exp(variable("a rare name") + 12345)
    reference = weakref.ref(node)
    del node
    gc.collect()
    assert reference() is None


def test_expressions_are_immutable_and_have_no_truth_value():
    with pytest.raises(AttributeError, match="immutable"):
        x.op = "y"
    with pytest.raises(TypeError, match="where"):
        if x > 0:
            pass
    with pytest.raises(TypeError, match="process-local"):
        pickle.dumps(x + 1)
    with pytest.raises(TypeError, match="expected an expression or a number, got str"):
        x + "1"


def test_threads_build_the_same_nodes():
    found = [None] * 8
    barrier = threading.Barrier(8)

    def build(i):
        barrier.wait()
        found[i] = [s.tanh(x * k + 0.125) for k in range(500)]

    threads = [threading.Thread(target=build, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(a is b for other in found[1:] for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        (x + 0, x), (0 + x, x), (x - 0, x), (x * 1, x), (x / 1, x), (s.neg(-x), x), (-1 * x, -x), (x + -y, x - y),
        (x - (-y), x + y), (-x * -y, x * y), (2 * (3 * x), 6 * x), (x * 2, 2 * x), (-(2 * x), -2 * x),
        (s.where(x > 0, y, y), y), (s.where(True, x, y), x), (s.where(~(x > 0), x, y), s.where(x > 0, y, x)),
        (s.where(x > 0, s.where(x > 0, y, z), 1), s.where(x > 0, y, 1)),
        (constant(2) + 3, constant(5)), (s.exp(constant(0)), constant(1)), (s.sqrt(constant(4)), constant(2)),
        (x**0, constant(1)), (x**1, x), (x**2, x * x), (x**3, x * x * x), (x**-1, 1 / x), (x**0.5, s.sqrt(x)),
        (2**x, s.exp2(x)), (s.abs(-x), s.abs(x)), (s.maximum(x, x), x), (np.float64(2) * x, 2 * x), (+x, x),
        (s.logical_not(~(x > y)), x > y), (constant(1) < 2, constant(True)), (s.neg(0), constant(-0.0)),
    ],
)  # fmt: skip
def test_simplification(built, expected):
    assert built is expected


def test_what_must_not_be_simplified():
    # x may be NaN or infinite; a division by zero and an overflow are left to the kernel, with its dtype.
    for kept in (x * 0, 0 * x, x - x, x / x, 0 / x, constant(1) / 0, s.exp(constant(1000)), s.log(constant(-1))):
        assert kept.op not in ("const", "var")
    assert np.isnan(evaluate(x * 0, {"x": math.nan})) and np.isnan(evaluate(x - x, {"x": math.inf}))
    assert evaluate(constant(1) / 0 + 0 * x, {"x": 0.0}) == math.inf
    assert (1e25 * (1e25 * x)).args[1].op == "mul"  # 1e50 would overflow float32
    assert constant(math.inf) - math.inf is not s.ZERO
    assert (constant(-8) ** (1 / 3)).op == "pow"  # Python would say a complex number


@pytest.mark.parametrize(
    ("expression", "written"),
    [
        (x - (y - z), "x - (y - z)"), (x - y - z, "x - y - z"), (x / (y * z), "x / (y * z)"), (x / y * z, "x / y * z"),
        ((x + y) * z, "(x + y) * z"), (-(x + y), "-(x + y)"), (x**y, "x**y"), ((-x) ** y, "(-x)**y"),
        (x ** (y + 1), "x**(y + 1)"), (s.where(x > 0, x, -y), "where(x > 0, x, -y)"), (x + 0.1, "x + 0.1"),
        (x * (y / z), "x * (y / z)"), ((x < y) & (y <= z), "(x < y) & (y <= z)"), (~(x < y), "~(x < y)"),
        (s.atan2(x, 1), "atan2(x, 1)"), (-2 - x, "-2 - x"), (x + (y - z), "x + (y - z)"), ((x**y) ** z, "(x**y)**z"),
        (x // y % z, "remainder(floor_divide(x, y), z)"), (math.inf * x, "inf * x"), (x + (-2 * y), "x + -2 * y"),
    ],
)  # fmt: skip
def test_text(expression, written):
    assert str(expression) == written
    assert repr(expression) == f"<Expr {written}>"


def test_text_of_a_shared_expression_stays_short():
    node = x
    for _ in range(100):
        node = s.sin(node * node)  # written without sharing: 2**100 characters
    assert len(str(node)) < 10_000 and str(node).startswith("t0 = ")


def test_render_computes_shared_nodes_once_and_names_everything():
    lines, results = render((x * s.exp(x * y), s.exp(x * y), x, constant(0.5)), {"x": "a", "y": "t0"})
    assert lines == ["t1 = a * t0", "t2 = exp(t1)", "t3 = a * t2"]
    assert results == ["t3", "t2", "a", "real(0.5)"]


def test_render_of_selection_logic_and_constants():
    expression = s.where((x > 0) & ~s.isnan(y), x + math.inf, s.maximum(y, -0.5))
    assert render((expression,))[0] == [
        "t0 = x > real(0)", "t1 = isnan(y)", "t2 = not t1", "t3 = t0 & t2", "t4 = x + real(inf)",
        "t5 = maximum(y, real(-0.5))", "t6 = t4 if t3 else t5",
    ]  # fmt: skip
    assert render((s.where(True, constant(math.nan), x),))[1] == ["real(nan)"]


def test_rendered_calls_are_the_announced_functions():
    for name in s.FUNCTIONS:
        function = getattr(s, name)
        code = function(x) if function.__doc__.endswith("(x).") else function(x, y)
        (line,) = render((code,))[0]
        assert line.startswith(f"t0 = {name}(")


def test_rendered_source_gives_the_value_that_numpy_gives():
    outputs = (s.tanh(x) / (1 + s.exp(-y)), s.where(x > y, x % y, s.logaddexp(x, y)), s.softplus(x) - s.log1p(y * y))
    values = run_source(outputs, x=0.3, y=1.7, remainder=lambda a, b: a % b)
    assert np.allclose(values, evaluate(outputs, {"x": 0.3, "y": 1.7}), rtol=1e-15)


def test_render_is_the_same_text_in_another_process():
    code = (
        "from kernels import formulas, scalar\n"
        "for name in ('gelu', 'adamw', 'logaddexp', 'pow'):\n"
        "    f = formulas.TABLE[name]\n"
        "    print(scalar.render(f.outputs), scalar.render(f.gradient([True] * len(f.inputs)).outputs))"
    )
    texts = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        texts.add(run.stdout)
    assert len(texts) == 1


def test_substitute():
    f = s.exp(x) * x + s.exp(x)
    assert substitute(f, {s.exp(x): y}) is y * x + y
    assert substitute(f, {"x": 0}) is constant(0) * 1 + 1  # folds as it rebuilds
    assert substitute(f, {x: y, y: x}) is s.exp(y) * y + s.exp(y)  # all at once
    assert simplify(f) is f


def test_importing_loads_no_heavy_module():
    # What the package's own face loads is not counted.
    code = (
        "import sys\nimport kernels\nbefore = set(sys.modules)\nfrom kernels import scalar, formulas\n"
        "scalar.render(formulas.gelu.gradient((True,)).outputs)\n"
        "assert not {'numpy', 'numba', 'dataclasses', 'inspect'} & (set(sys.modules) - before)\n"
        "assert scalar.evaluate(scalar.variable('x') + 1, {'x': 1.0}) == 2"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- derivatives ------------------------------------------------------------------------------------------------------


def test_where_selects_the_derivative():
    trap = s.where(x <= 0, s.exp(x), 1 + x)  # exp(1000) overflows in the branch that is not taken
    first = differentiate(trap, x)
    assert evaluate(first, {"x": 1000.0}) == 1 and evaluate(differentiate(first, x), {"x": 1000.0}) == 0
    guarded = s.where(x > 0, s.sqrt(x), 0)
    assert evaluate(differentiate(guarded, x), {"x": 0.0}) == 0
    assert evaluate(differentiate(guarded * y, x), {"x": 0.0, "y": 3.0}) == 0
    chained = s.log(s.where(x > 0, s.sqrt(x), 1))
    assert evaluate(differentiate(chained, x), {"x": 0.0}) == 0
    assert evaluate(differentiate(s.maximum(s.sqrt(x), 1), x), {"x": 0.0}) == 0


def test_symbolic_zero_is_exact():
    for flat in (s.floor(x), s.sign(x), x > 0, s.round(x), constant(3), y, s.isnan(x), s.floor_divide(x, y)):
        assert differentiate(flat, x) is s.ZERO
    assert differentiate(x + y, x) is s.ONE and differentiate(x - x, x) is s.ZERO
    with pytest.raises(TypeError, match="with respect to a variable"):
        differentiate(x * y, x * y)


def test_high_orders_stay_small_and_right():
    f, expected = s.sin(x) * s.exp(y * x), None
    for order in range(1, 7):
        f = differentiate(f, x)
        expected = ((complex(0.5, 1) ** order) * np.exp(complex(0.5, 1) * 0.3)).imag
        assert evaluate(f, {"x": 0.3, "y": 0.5}) == pytest.approx(expected, rel=1e-12)
    assert len(s.postorder((f,))) < 300
    third = differentiate(differentiate(differentiate(x**3, x), x), x)
    assert evaluate(third, {"x": 2.0}) == 6


def test_an_expression_of_fifty_thousand_nodes():
    node = x
    for i in range(20_000):
        node = s.sin(node) + y if i % 2 else s.where(node > 0, node * 0.5, node)
    derivative = differentiate(node, x)
    assert len(s.postorder((derivative,))) < 500_000
    lines, _ = render((derivative,))
    assert len(lines) < 500_000
    assert len(str(node)) > 10 and substitute(node, {y: x}) is not node
    assert np.isfinite(evaluate(derivative, {"x": 0.3, "y": 0.1}))
    del derivative, node, lines
    gc.collect()


def test_a_long_chain_of_where_is_no_recursion():
    node = s.ZERO
    for i in range(5_000):
        node = s.where(x > i, i, node)
    node = node * y + s.where(x > 0, x, node)
    assert len(render((y * differentiate(node, x), differentiate(node, y)))[0]) < 100_000


def test_sharing_makes_derivatives_linear():
    node = x
    for _ in range(200):
        node = node * s.tanh(node)
    first = differentiate(node, x)
    second = differentiate(first, x)
    assert len(s.postorder((first,))) < 4_000 and len(s.postorder((second,))) < 40_000


def test_pow_rules():
    p = x**y
    dx, dy = differentiate(p, x), differentiate(p, y)
    at = lambda e, a, b: evaluate(e, {"x": float(a), "y": float(b)})  # noqa: E731
    for a in (-2, -0.5, 0, 0.5, 3):
        assert at(dx, a, 0) == 0
    assert [at(dx, -3, n) for n in (1, 2, 3)] == [1, -6, 27] and at(dx, -2, -1) == -0.25
    assert [at(dy, 0, b) for b in (0, 0.5, 1, 7)] == [0, 0, 0, 0] and at(dy, 0, -1) == -math.inf
    assert np.isnan(at(dy, -2, 3))
    mixed = differentiate(dx, y)
    assert at(mixed, 2, 0) == pytest.approx(0.5) and at(differentiate(dy, x), 2, 0) == pytest.approx(0.5)
    assert at(differentiate(dx, x), -3, 3) == -18 and at(differentiate(dx, x), 0, 2) == 2
    assert at(differentiate(dx, x), 0, 1) == 0 and at(differentiate(dx, x), 5, 0) == 0


def test_ties_share_and_losers_do_not_leak():
    for function in (s.maximum, s.minimum):
        f = function(x, y)
        for a, b in itertools.product((-1.0, 0.0, 2.0), repeat=2):
            slopes = [float(evaluate(differentiate(f, v), {"x": a, "y": b})) for v in (x, y)]
            first = 0.5 if a == b else float((a > b) == (function is s.maximum))
            assert slopes == [first, 1 - first]
        assert differentiate(differentiate(f, x), x) is s.ZERO
        assert evaluate(differentiate(f, x), {"x": math.nan, "y": 0.0}) == 1
    assert evaluate(differentiate(s.maximum(x, 3 * x), x), {"x": 0.0}) == 2


def test_integers_keep_their_meaning_in_the_reference():
    a, b = np.array([7, -7, 7, -7, 5]), np.array([2, 2, -2, -2, 0])
    assert evaluate(x // y, {"x": a, "y": b}).tolist() == [3, -4, -4, 3, 0]
    assert evaluate(x % y, {"x": a, "y": b}).tolist() == [1, 1, -1, -1, 0]
    assert evaluate(s.floor(x), {"x": a}).dtype == a.dtype
    assert evaluate((x & 3) | (y << 1) ^ (x >> 1), {"x": 12, "y": 3}) == (12 & 3) | (3 << 1) ^ (12 >> 1)
    assert evaluate(~x, {"x": 5}) == -6
    assert evaluate(s.logical_xor(x, y), {"x": np.array([0, 2]), "y": np.array([1, 3])}).tolist() == [True, False]
