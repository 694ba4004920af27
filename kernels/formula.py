"""Formula: an elementwise operation as scalar expressions of named inputs, and the derivation of its gradient."""

from . import scalar as s
from .scalar import ZERO, Expr, as_expression, make, postorder, rebuild, variable

# Roughly what an operation costs in a vectorised loop, in additions. Only comparisons between totals are made.
_COST = {"const": 0, "var": 0, "div": 4, "sqrt": 5, "rsqrt": 6, "pow": 40, "exp": 8, "sigmoid": 12, "tanh": 12}
_CHEAP = frozenset(
    "add sub mul neg where equal not_equal less less_equal greater greater_equal abs sign maximum minimum bitwise_and "
    "bitwise_or bitwise_xor logical_not isnan isinf isfinite".split()
)
_WORTH_ONE_MORE_ARRAY = 30  # additions saved before the output is saved besides, not instead of, an input
# A result that is saved must not be changed in place. Where inputs are saved anyway that has to buy more than a division, so
# quotients save their operands, as in PyTorch; where the result replaces all inputs (exp, tanh) these are free to go.
_WORTH_A_FIXED_RESULT = _COST["div"] + 1


def _cost(outputs):
    return sum(1 if node.op in _CHEAP else _COST.get(node.op, 15) for node in postorder(outputs))


def _fresh(name, taken):
    while name in taken:
        name += "_"
    return name


def _sharing_quotients(outputs):
    """`outputs` with g * (a / b) computed as (g / b) * a where g / b is there already: a division less."""
    quotients = {node.args for node in postorder(outputs) if node.op == "div"}

    def product(a, b):
        if b.op == "div" and (a, b.args[1]) in quotients:
            return make("mul", make("div", a, b.args[1]), b.args[0])
        return make("mul", a, b)

    return rebuild(outputs, operations={"mul": product}) if len(quotients) > 1 else outputs


class Formula:
    """One elementwise operation.

    Attributes:
        name: what it is called in tables, profiles and messages.
        inputs: the names of its array operands, in order.
        parameters: the names of scalars passed by value; they are never differentiated.
        defaults: a dict from a parameter's name to its default value (those that have one).
        outputs: the expressions it computes, in `inputs` and `parameters`.
        kinds: the dtype kinds it is defined on: "b" bool, "i" signed, "u" unsigned integers, "f" real floats.
        result: "same" (the output has the operands' promoted dtype) or "bool".
        booleans: the inputs that are bool whatever the others are (where's condition).
        roles: for each input of a gradient formula where its value comes from: ("gradient", k) is the upstream
            gradient of output k, ("input", i) an input, ("output", k) an output of the formula that it is the
            gradient of. For any other formula: ("input", i).

    A formula is also a function of expressions, so formulas compose: `formulas.relu(x) * y`.
    """

    __slots__ = (
        "name", "inputs", "parameters", "defaults", "kinds", "result", "booleans", "roles",
        "_build", "_outputs", "_rewrite", "_gradients", "_selections", "_hoisted", "_host",
    )  # fmt: skip

    def __init__(
        self, name, inputs, outputs, parameters=(), defaults=None, kinds="f", result="same", booleans=(), roles=None,
        rewrite=None,
    ):  # fmt: skip
        self.name, self.inputs, self.parameters = name, tuple(inputs), tuple(parameters)
        self.defaults = dict(defaults or {})
        self.kinds, self.result, self.booleans = kinds, result, tuple(booleans)
        self.roles = tuple(roles) if roles is not None else tuple(("input", i) for i in range(len(self.inputs)))
        self._rewrite = rewrite
        self._gradients, self._selections = {}, {}
        self._hoisted = self._host = None
        if callable(outputs):  # built at first use: importing the table costs next to nothing
            self._build, self._outputs = outputs, None
        else:
            self._build, self._outputs = None, tuple(outputs)

    @property
    def outputs(self) -> tuple[Expr, ...]:
        if self._outputs is None:
            arguments = [variable(name) for name in self.inputs]
            outputs = self._build(*arguments, **{name: variable(name) for name in self.parameters})  # pyright: ignore[reportOptionalCall]
            if not isinstance(outputs, (tuple, list)):
                outputs = (outputs,)
            self._outputs = tuple(as_expression(output) for output in outputs)
        return self._outputs

    def __call__(self, *arguments, **parameters):
        """The formula applied to expressions: one expression, or a tuple where it has several outputs."""
        if len(arguments) != len(self.inputs):
            raise TypeError(f"{self.name} takes {len(self.inputs)} operands {self.inputs}, got {len(arguments)}")
        values = dict(zip(self.parameters, self.values(parameters), strict=True))
        values |= dict(zip(self.inputs, arguments, strict=True))
        outputs = rebuild(self.outputs, {variable(name): as_expression(v) for name, v in values.items()})
        return outputs if len(outputs) > 1 else outputs[0]  # pyright: ignore[reportGeneralTypeIssues]

    def __str__(self):
        arguments = ", ".join(self.inputs) + ("; " + ", ".join(self.parameters) if self.parameters else "")
        return f"{self.name}({arguments}): " + ", ".join(map(str, self.outputs))

    def __repr__(self):
        return f"<Formula {self}>"

    def values(self, parameters):
        """The values of all parameters in order, from a dict of those that are given and the defaults."""
        unknown = set(parameters) - set(self.parameters)
        missing = [name for name in self.parameters if name not in parameters and name not in self.defaults]
        if unknown or missing:
            names = sorted(unknown) or missing
            problem = "has no parameter" if unknown else "needs the parameter"
            raise TypeError(f"{self.name} {problem} {', '.join(names)}; it has ({', '.join(self.parameters)})")
        return tuple(parameters[name] if name in parameters else self.defaults[name] for name in self.parameters)

    def evaluate(self, *arrays, **parameters):
        """The value by NumPy, the slow reference: an array, or a tuple of them.

        >>> from kernels import formulas
        >>> formulas.leaky_relu.evaluate([-1.0, 2.0], negative_slope=0.5).tolist()
        [-0.5, 2.0]
        """
        import numpy as np

        env = dict(zip(self.parameters, self.values(parameters), strict=True))
        env |= {name: np.asarray(array) for name, array in zip(self.inputs, arrays, strict=True)}
        values = s.evaluate(self.outputs, env)
        return values if len(values) > 1 else values[0]  # pyright: ignore[reportGeneralTypeIssues]

    # --- derivation ---------------------------------------------------------------------------------------------------

    def gradient(self, needs) -> "Formula":
        """The formula of the backward pass: for each input with `needs` True its gradient, in order.

        Its inputs are those that it really uses among the upstream gradients ("g", or "g0", "g1", ... for several
        outputs), this formula's inputs, and its outputs ("out", or "out0", ...); `roles` says which is which. An output
        is read in place of an input where that makes the gradient cheaper; where inputs are read besides, by more than
        a division. Results are cached: the same `needs` give the same object.

        >>> from kernels import formulas
        >>> formulas.multiply.gradient((True, False)).inputs, formulas.exp.gradient((True,)).inputs
        (('g', 'y'), ('g', 'out'))
        """
        needs = tuple(map(bool, needs))
        if len(needs) != len(self.inputs):
            raise ValueError(f"{self.name} has {len(self.inputs)} inputs; needs has {len(needs)} entries")
        found = self._gradients.get(needs)
        return found if found is not None else self._gradients.setdefault(needs, self._derive(needs))

    def _derive(self, needs):
        from .derivatives import differentiate, plus, times

        taken = {*self.inputs, *self.parameters}
        several = len(self.outputs) > 1
        suffixes = [str(k) if several else "" for k in range(len(self.outputs))]
        upstream = [_fresh("g" + suffix, taken) for suffix in suffixes]
        saved = [_fresh("out" + suffix, taken) for suffix in suffixes]

        gradients = []
        for name, needed in zip(self.inputs, needs, strict=True):
            if needed:
                total = ZERO
                if name not in self.booleans:
                    for g, output in zip(upstream, self.outputs, strict=True):
                        total = plus(total, times(variable(g), differentiate(output, variable(name))))
                gradients.append(total)
        outputs = self._by_saved_outputs(tuple(gradients), [variable(name) for name in saved])
        outputs = _sharing_quotients(outputs)

        names = [*upstream, *self.inputs, *saved]
        roles = [("gradient", k) for k in range(len(upstream))]
        roles += [("input", i) for i in range(len(self.inputs))] + [("output", k) for k in range(len(saved))]
        used = set(s.variables(outputs))
        chosen = [i for i, name in enumerate(names) if name in used]
        return Formula(
            self.name + "'",
            [names[i] for i in chosen],
            outputs,
            parameters=self.parameters,
            defaults=self.defaults,
            booleans=[name for name in self.booleans if name in used],
            roles=[roles[i] for i in chosen],
        )

    def _by_saved_outputs(self, gradients, saved):
        """`gradients`, rewritten to read the saved outputs where that is the better bargain."""
        mapping = {output: out for output, out in zip(self.outputs, saved, strict=True) if output.args}
        if self._rewrite is not None:
            names = (*self.inputs, *self.parameters)
            for old, new in self._rewrite(*saved, *map(variable, names)).items():
                mapping.setdefault(old, new)
        rewritten = rebuild(gradients, mapping)
        arrays = {*self.inputs, *(out.value for out in saved)}
        before, after = (sum(name in arrays for name in s.variables(g)) for g in (gradients, rewritten))
        gain = _cost(gradients) - _cost(rewritten)
        enough = _WORTH_ONE_MORE_ARRAY if after > before else 0
        if after == before and not set(self.inputs).isdisjoint(s.variables(rewritten)):
            enough = _WORTH_A_FIXED_RESULT
        return rewritten if gain >= enough else gradients

    def is_zero(self, k):
        """Whether output k is zero everywhere: no kernel is needed."""
        return self.outputs[k] is ZERO

    def is_identity(self, k):
        """Whether output k is one of the inputs unchanged (`self.outputs[k].value` names it): no kernel is needed."""
        return self.outputs[k].op == "var" and self.outputs[k].value in self.inputs

    def select(self, indices) -> "Formula":
        """The formula of only some of the outputs, with only the inputs that these use (cached); `roles` are kept."""
        indices = tuple(indices)
        if indices not in self._selections:
            outputs = tuple(self.outputs[k] for k in indices)
            used = set(s.variables(outputs))
            chosen = [i for i, name in enumerate(self.inputs) if name in used]
            selection = Formula(
                self.name, [self.inputs[i] for i in chosen], outputs, self.parameters, self.defaults, self.kinds,
                self.result, [name for name in self.booleans if name in used], [self.roles[i] for i in chosen],
            )  # fmt: skip
            self._selections.setdefault(indices, selection)
        return self._selections[indices]

    # --- what is computed once per launch -----------------------------------------------------------------------------

    @property
    def hoisted(self) -> "Formula":
        """The same formula with every expression of parameters alone made a parameter, and unused ones dropped.

        `prepare(values)` computes the new parameters from the old in float64, once per launch: `1 - beta2` is then
        0.001 to the last bit also in a float32 kernel, and the kernel's loop does not repeat it.

        >>> from kernels import formulas
        >>> print(formulas.adamw.hoisted.parameters)
        ('u0', 'u4', 'u1', 'beta2', 'u2', 'u3', 'eps')
        """
        if self._hoisted is None:
            self._hoist()
        return self._hoisted  # type: ignore[return-value]

    def prepare(self, values):
        """The values of `self.hoisted`'s parameters, from the values of this formula's, both in order."""
        if self._host is None:
            self._hoist()
        return self._host(*values)  # type: ignore[misc]

    def _hoist(self):
        names = set(self.parameters)
        uniform, mapping, compound = set(), {}, {}
        order = postorder(self.outputs)
        for node in order:
            if node.value in names if node.op == "var" else (node.op == "const" or uniform.issuperset(node.args)):
                uniform.add(node)
        roots = [output for output in self.outputs if output in uniform]
        roots += [a for node in order if node not in uniform for a in node.args if a in uniform]
        taken = names | set(self.inputs)
        for node in roots:
            # A condition stays in the kernel: a parameter is a number there.
            if node.op in ("const", "var") or node in mapping or s.is_boolean(node):
                continue
            name = _fresh(f"u{len(compound)}", taken)
            compound[name], mapping[node] = node, variable(name)
        outputs = rebuild(self.outputs, mapping)
        kept = [name for name in s.variables(outputs) if name not in self.inputs]
        sources = tuple(compound.get(name, variable(name)) for name in kept)
        host = _host_function(self.parameters, sources)
        self._hoisted = Formula(
            self.name, self.inputs, outputs, kept, {}, self.kinds, self.result, self.booleans, self.roles
        )
        self._host = host


def _host_function(parameters, sources):
    """A Python function from all parameters to the values of `sources`, in ordinary Python numbers."""
    import math

    def carefully(*values):
        # Numbers that Python's arithmetic refuses, and functions that it lacks: infinities and NaN come from NumPy.
        env = dict(zip(parameters, map(float, values), strict=True))
        return tuple(float(value) for value in s.evaluate(sources, env))

    names = {name: f"p{i}" for i, name in enumerate(parameters)}
    lines, results = s.render(sources, names)
    body = "".join(f"    {line}\n" for line in lines)
    source = f"def host({', '.join(names.values())}):\n{body}    return ({''.join(r + ', ' for r in results)})\n"
    scope = {name: getattr(math, name) for name in s.FUNCTIONS if hasattr(math, name)}
    scope |= {"real": lambda value: value, "inf": math.inf, "nan": math.nan, "maximum": max, "minimum": min}
    if any(node.op in s.FUNCTIONS and node.op not in scope for node in postorder(sources)):
        return carefully
    exec(source, scope)  # our own rendering of our own expressions
    quickly = scope["host"]

    def host(*values):
        try:
            return quickly(*values)
        except (ZeroDivisionError, OverflowError, ValueError):
            return carefully(*values)

    return host


def define(
    name, function, parameters=None, kinds="f", result="same", *, booleans=(), defaults=None, inputs=None, rewrite=None  # pyright: ignore[reportRedeclaration]
) -> Formula:
    """A formula from a Python function of expressions, by the names of its arguments.

    Args:
        name: what to call it.
        function: takes expressions, returns one or a tuple of them. It runs once, at first use.
        parameters: which arguments are scalars passed by value: a tuple of names, or a dict from name to default.
            Left out, they are the keyword-only arguments of `function`, with their defaults.
        kinds, result, booleans: see Formula.
        defaults: default values of parameters, besides the function's own.
        inputs: the names of the array operands; left out, the function's other arguments.
        rewrite: called with variables (saved outputs, inputs, parameters), gives expressions of the inputs and what
            equals them in terms of the outputs: lets a gradient read the output in place of an input.

    >>> from kernels import scalar
    >>> swish = define("swish", lambda x, *, beta=1.0: x * scalar.sigmoid(beta * x))
    >>> swish.inputs, swish.parameters, swish.defaults
    (('x',), ('beta',), {'beta': 1.0})
    """
    if inputs is None:
        code = function.__code__
        if code.co_flags & 0x0C:  # *args or **kwargs
            raise TypeError(f"{name}: a formula's arguments must be named one by one, without *args or **kwargs")
        positional = code.co_varnames[: code.co_argcount]
        keywords = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
        own = dict(function.__kwdefaults__ or {})
        if function.__defaults__:
            own |= zip(positional[-len(function.__defaults__) :], function.__defaults__, strict=True)
        if isinstance(parameters, dict):
            defaults = {**parameters, **(defaults or {})}
        chosen = set(keywords if parameters is None else parameters) | set(keywords)
        if not chosen <= {*positional, *keywords}:
            raise TypeError(f"{name}: {sorted(chosen - {*positional, *keywords})} are not arguments of the function")
        inputs = tuple(n for n in positional if n not in chosen)
        parameters = tuple(n for n in (*positional, *keywords) if n in chosen)
        defaults = {n: v for n, v in (own | dict(defaults or {})).items() if n in chosen}
        if chosen & set(positional):  # parameters among the positional arguments: call by name
            original = function

            def function(*arrays, **scalars):
                return original(**dict(zip(inputs, arrays, strict=True)), **scalars)

    return Formula(name, inputs, function, parameters or (), defaults, kinds, result, booleans, rewrite=rewrite)
