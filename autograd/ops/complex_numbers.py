"""Complex numbers: what they are made of, and what elementwise operations do with them.

A complex tensor is a tensor of pairs of floats (`view_as_real`), and gradients are those of the parts: where a real number L
depends on z = x + iy, the gradient is dL/dx + i dL/dy, as in PyTorch. Of a holomorphic f it is the upstream gradient times the
conjugate of f'(z), so the real formulas' derivatives serve here too. Sums, differences, products and all that moves elements run
in our kernels, on the pairs; the other functions are NumPy's, and those of a CUDA tensor are computed on the host.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from autograd import dtypes
from autograd.ops.base import Operation
from autograd.tensor import Tensor
from kernels.formula import Formula, define
from kernels.layout import broadcast_shapes
from kernels.scalar import postorder

if TYPE_CHECKING:
    from autograd.ops.elementwise import Elementwise

_PRODUCT = define("complex_multiply", lambda a, b, c, d: (a * c - b * d, a * d + b * c))
# The scalar functions whose derivative rules hold in the complex plane, with NumPy's branch cuts.
_HOLOMORPHIC = frozenset(
    """const var add sub mul neg div pow exp expm1 log log1p log2 log10 sqrt rsqrt sin cos tan asin acos atan sinh cosh tanh
    asinh acosh atanh""".split()
)


# --- pairs of floats, and back ----------------------------------------------------------------------------------------


class ViewAsReal(Operation):
    is_view = True
    takes_complex = "itself"

    def forward(self, x):
        return self.backend.pairs(x)

    def backward(self, grad):
        return view_as_complex(grad)


class ViewAsComplex(Operation):
    is_view = True

    def forward(self, x):
        return self.backend.from_pairs(x)

    def backward(self, grad):
        return view_as_real(grad)


def view_as_real(x: Tensor) -> Tensor:
    """A complex tensor as floats of shape (..., 2), real and imaginary parts: a view of the same memory.

    >>> import autograd as ag
    >>> ag.view_as_real(ag.tensor([1 + 2j]))
    tensor([[1., 2.]], dtype=float32)
    """
    if x.dtype.kind != "c":
        raise TypeError(f"view_as_real: needs complex numbers, got {x.dtype}")
    return ViewAsReal.apply(x)


def view_as_complex(x: Tensor) -> Tensor:
    """Floats of shape (..., 2), real and imaginary parts, as complex numbers: a view where the memory allows it, else a copy.

    Raises:
        TypeError: x is not float32 or float64.
        ValueError: the last axis has another size than 2.

    >>> import autograd as ag
    >>> ag.view_as_complex(ag.tensor([[1.0, 2.0]]))
    tensor([1.+2.j], dtype=complex64)
    """
    if x.dtype.kind != "f" or x.ndim == 0 or x.shape[-1] != 2:
        wrong = ValueError if x.dtype.kind == "f" else TypeError
        raise wrong(f"view_as_complex: needs float32 or float64 of shape (..., 2), got shape {x.shape}, {x.dtype}")
    *steps, step = x._layout.strides
    if step != 1 or not x._layout.aligned or builtins.any(s % 2 for s in steps):
        x = x.clone()
    return ViewAsComplex.apply(x)


def real(x: Tensor, /) -> Tensor:
    """The real parts: of complex64 as float32; real numbers are returned as they are. A view.

    >>> import autograd as ag
    >>> ag.real(ag.tensor([1 + 2j, 3 - 1j]))
    tensor([1., 3.], dtype=float32)
    """
    return _part(x, 0) if x.dtype.kind == "c" else x


def imag(x: Tensor, /) -> Tensor:
    """The imaginary parts: a view; zeros for real numbers.

    >>> import autograd as ag
    >>> ag.imag(ag.tensor([1 + 2j, 3 - 1j]))
    tensor([ 2., -1.], dtype=float32)
    """
    from autograd.ops.creation import zeros_like

    return _part(x, 1) if x.dtype.kind == "c" else zeros_like(x)


def conj(x: Tensor, /) -> Tensor:
    """The complex conjugates; real numbers are returned as they are.

    >>> import autograd as ag
    >>> ag.conj(ag.tensor([1 + 2j]))
    tensor([1.-2.j], dtype=complex64)
    """
    return Conj.apply(x) if x.dtype.kind == "c" else x


def _part(x: Tensor, place: int) -> Tensor:
    return view_as_real(x)[..., place]


class Conj(Operation):
    takes_complex = "itself"

    def forward(self, x):
        from kernels import formulas

        out = self.backend.empty(x.shape, x.dtype)
        source, target = self.backend.pairs(x), self.backend.pairs(out)
        self.backend.copy(source[..., 0], out=target[..., 0])
        self.backend.apply(formulas.negative, source[..., 1], out=target[..., 1])
        return out

    def backward(self, grad):
        return conj(grad)


# --- elementwise operations -------------------------------------------------------------------------------------------


class Multiply(Operation):
    """The product of complex numbers, of shapes that broadcast."""

    takes_complex = "itself"

    def forward(self, x, y):
        backend = self.backend
        out = backend.empty(broadcast_shapes("multiply", x.shape, y.shape), x.dtype)
        a, b, c = (backend.pairs(p) for p in (x, y, out))
        operands = (a[..., 0], a[..., 1], b[..., 0], b[..., 1])
        backend.apply(_PRODUCT, *operands, out=(c[..., 0], c[..., 1]), dtype=a.dtype)
        return out

    def saves(self, needs):
        return needs[::-1]

    def backward(self, grad):
        return tuple([
            None if edge is None else Multiply.apply(grad, conj(self.operand(1 - k))) for k, edge in enumerate(self.inputs)
        ])


class Holomorphic(Operation):
    """A formula in the complex plane: its value by NumPy, its gradient from the formula's own derivative.

    A formula's gradient is linear in the upstream one: it is g * f'(z). So the conjugate of what it makes of the conjugate
    of g is g times the conjugate of f'(z).
    """

    takes_complex = "itself"
    saves_result = True

    def forward(self, *operands, operation, dtype):
        self.operation = operation
        host = [self.backend.to_numpy(x) for x in operands]
        with np.errstate(all="ignore"):
            value = (_VALUES.get(operation.name) or operation.formula.evaluate)(*host)  # type: ignore[reportOptionalCall]
        return self.backend.from_numpy(np.asarray(value, dtype=dtype, order="C"))

    @property
    def name(self) -> str:
        """The operation's own."""
        return self.operation.name

    def saves(self, needs):
        return (True,) * len(needs)

    def backward(self, grad):
        upstream = conj(grad)
        return tuple([None if edge is None else self._gradient(k, grad, upstream) for k, edge in enumerate(self.inputs)])

    def _gradient(self, place: int, grad: Tensor, upstream: Tensor) -> Tensor | None:
        if self.name in _DERIVATIVES:
            derived = _DERIVATIVES[self.name][place]
            return conj(derived(upstream, *[self.operand(k) for k in range(len(self.inputs))]))
        recipe = self.operation.recipe(tuple(k == place for k in range(len(self.inputs))))
        if recipe.gradient is None:
            return None if recipe.results[place] is None else grad
        sources = {0: lambda k: self.operand(recipe.saved[k]), -1: lambda _: upstream, -2: lambda _: self.result()}
        return conj(recipe.gradient(*[sources[kind](k) for kind, k in recipe.sources]))


def _componentwise(operation: Elementwise) -> Callable:
    """The operation on the real and the imaginary parts."""

    def apply(*operands: Tensor) -> Tensor:
        return view_as_complex(operation(*[view_as_real(x) for x in operands]))

    return apply


def _of_parts(name: str, join: str) -> Callable:
    """A bool: whether the operation holds for all parts, or any."""

    def apply(*operands: Tensor) -> Tensor:
        from autograd.ops import elementwise, reduce

        held = elementwise.OPERATIONS[name](*[view_as_real(x) for x in operands])
        return getattr(reduce, join)(held, axis=-1)

    return apply


def _magnitude(x: Tensor) -> Tensor:
    from autograd.ops import elementwise as ew

    return ew.hypot(_part(x, 0), _part(x, 1))


def _direction(x: Tensor) -> Tensor:
    """sign: z / |z|, and 0 at 0."""
    from autograd.ops import elementwise as ew

    size = _magnitude(x)
    is_zero = ew.equal(size, 0)
    return ew.where(is_zero, 0j, x / ew.where(is_zero, 1.0, size).astype(x.dtype))


def _choose(condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    from autograd.ops import elementwise as ew

    return view_as_complex(ew.where(condition[..., None], view_as_real(x), view_as_real(y)))


def _power_of_base(g: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """By the base: y * x ** (y - 1), and 0 where y is 0."""
    from autograd.ops import elementwise as ew

    return ew.where(ew.equal(y, 0), 0j, g * y * x ** (y - 1))


def _power_of_exponent(g: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """By the exponent: x ** y * log(x), and 0 where x is 0."""
    from autograd.ops import elementwise as ew

    is_zero = ew.equal(x, 0)
    return ew.where(is_zero, 0j, g * x**y * ew.log(ew.where(is_zero, 1 + 0j, x)))


# Slopes of inverse functions. Where one root of a product would have the other sign in half of the plane there are two, and
# `x - -1` is x + 1 with the sign of an imaginary part -0 kept: it says on which side of a branch cut x lies.


def _slope_of_asin(g: Tensor, x: Tensor) -> Tensor:
    """1 / (sqrt(1 - z) sqrt(1 + z))."""
    from autograd.ops import elementwise as ew

    return g / (ew.sqrt(-x - -1) * ew.sqrt(x - -1))


def _slope_of_acos(g: Tensor, x: Tensor) -> Tensor:
    return -_slope_of_asin(g, x)


def _slope_of_asinh(g: Tensor, x: Tensor) -> Tensor:
    """1 / sqrt(z^2 + 1)."""
    from autograd.ops import elementwise as ew

    return g / ew.sqrt(x * x - -1)


def _slope_of_acosh(g: Tensor, x: Tensor) -> Tensor:
    """1 / (sqrt(z - 1) sqrt(z + 1))."""
    from autograd.ops import elementwise as ew

    return g / (ew.sqrt(x - 1) * ew.sqrt(x - -1))


def _expm1(z: Any) -> np.ndarray:
    """NumPy's formula, with the values that the Array API asks for at infinities and on the real axis, where NumPy's are NaN."""
    x, y = z.real, z.imag
    half = np.sin(y / 2)
    is_real, endless = y == 0, np.isinf(x) & ~np.isfinite(y)
    value: Any = np.empty_like(z)
    value.real = np.where(endless, np.where(x > 0, x, -1.0), np.expm1(x) * np.cos(y) - 2 * half * half)
    value.imag = np.where(endless, np.where(x > 0, np.nan, 0.0), np.exp(x) * np.sin(y))
    value.real[is_real] = np.expm1(x[is_real]) + 0.0  # 0 at -0, too
    value.imag[is_real] = y[is_real]
    return value


# Values that are not NumPy's.
_VALUES: dict[str, Callable] = {"expm1": _expm1}

# Where the derivative is not that of the real formula: by operand, from (upstream gradient, operands).
_DERIVATIVES: dict[str, tuple[Callable, ...]] = {
    "pow": (_power_of_base, _power_of_exponent),
    "asin": (_slope_of_asin,),
    "acos": (_slope_of_acos,),
    "asinh": (_slope_of_asinh,),
    "acosh": (_slope_of_acosh,),
}


@cache
def _rules() -> dict[str, Callable]:
    """What is not a holomorphic formula, or has kernels, by the operation's name."""
    from autograd.ops.elementwise import OPERATIONS

    found: dict[str, Callable] = {
        name: _componentwise(OPERATIONS[name]) for name in ("add", "subtract", "negative", "positive", "round")
    }
    found |= {"isfinite": _of_parts("isfinite", "all"), "isinf": _of_parts("isinf", "any"), "isnan": _of_parts("isnan", "any")}
    found |= {"equal": _of_parts("equal", "all"), "not_equal": _of_parts("not_equal", "any")}
    return found | {
        "multiply": Multiply.apply,
        "square": lambda x: Multiply.apply(x, x),
        "abs": _magnitude,
        "sign": _direction,
        "where": _choose,
    }


@cache
def _is_holomorphic(formula: Formula) -> bool:
    is_number = formula.result != "bool" and len(formula.outputs) == 1 and not formula.parameters
    return is_number and all(node.op in _HOLOMORPHIC for node in postorder(formula.outputs))


def is_defined(operation: Elementwise) -> bool:
    """Whether an elementwise operation takes complex numbers."""
    return operation.name in _rules() or _is_holomorphic(operation.formula)


def result_dtype(operation: Elementwise, compute: np.dtype) -> np.dtype:
    """The dtype of an operation's result on complex numbers."""
    if operation.formula.result == "bool":
        return dtypes.bool
    return dtypes.real_of(compute) if operation.name == "abs" else compute


def run(operation: Elementwise, operands: Any, compute: np.dtype) -> Tensor:
    """An elementwise operation of which some operand is complex."""
    device = next(o.device for o in operands if isinstance(o, Tensor))
    bools = operation.formula.booleans
    given = [
        o if name in bools else _as_complex(o, compute, device)
        for o, name in zip(operands, operation.formula.inputs, strict=True)
    ]
    rule = _rules().get(operation.name)
    if rule is not None:
        return rule(*given)
    return Holomorphic.apply(*given, operation=operation, dtype=compute)


def _as_complex(value: Any, dtype: np.dtype, device: str) -> Tensor:
    from autograd.ops.creation import asarray

    if isinstance(value, Tensor):
        return value if value.dtype == dtype else value.astype(dtype)
    return asarray(value, dtype=dtype, device=device)


# --- products of matrices and of many numbers -------------------------------------------------------------------------


def matmul(x: Tensor, y: Tensor) -> Tensor:
    """The matrix product of complex tensors: four of real ones."""
    from autograd.ops.linalg import matmul as product
    from autograd.ops.shape import stack

    (a, b), (c, d) = ((_part(t, 0), _part(t, 1)) for t in (x, y))
    return view_as_complex(stack([product(a, c) - product(b, d), product(a, d) + product(b, c)], axis=-1))


def prod(x: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    """The product over axes, by halves: factors next to each other are multiplied until one is left."""
    from autograd.ops.creation import ones
    from autograd.ops.shape import concat, permute_dims, reshape

    kept = [a for a in range(x.ndim) if a not in axes]
    rest = tuple(x.shape[a] for a in kept)
    size = builtins.int(np.prod([x.shape[a] for a in axes], dtype=np.int64))
    flat = reshape(permute_dims(x, (*kept, *axes)), (*rest, size))
    one = ones((*rest, 1), dtype=x.dtype, device=x.device)
    if size < 2:  # the result has memory of its own, and none is a product, too
        flat = concat([flat, one], axis=-1) if size == 0 else flat.clone()
    while flat.shape[-1] > 1:
        if flat.shape[-1] % 2:
            flat = concat([flat, one], axis=-1)
        flat = flat[..., ::2] * flat[..., 1::2]
    return reshape(flat, tuple(1 if a in axes else s for a, s in enumerate(x.shape)) if keepdims else rest)


def cumulative_prod(x: Tensor, axis: int) -> Tensor:
    """Running products along an axis, in as many steps as the length has binary digits."""
    from autograd.ops.shape import concat

    def part(t: Tensor, which: slice) -> Tensor:
        return t[(slice(None),) * axis + (which,)]

    step, length = 1, x.shape[axis]
    if length < 2:
        return x.clone()
    while step < length:
        x = concat([part(x, slice(None, step)), part(x, slice(step, None)) * part(x, slice(None, -step))], axis=axis)
        step *= 2
    return x
