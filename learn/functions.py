"""Writes learn/functions.md: every public function, whether it has a derivative, what it computes with, what is special.

    python learn/functions.py

No row is written by hand. Each function runs on an example, the first of its entry in the tests' table of operations,
while the kernels it starts are watched through the door that all launches go through; each float operand in turn then asks
for a gradient. Slopes at kinks and ties are the formulas' own derivatives evaluated there; what else is special is the
section "Special cases" of a docstring, or a formula's phrase in kernels/formulas.py.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
for folder in (ROOT, ROOT / "tests" / "support"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import numpy as np  # noqa: E402
from operation_table import ALIASES, TABLE  # noqa: E402

import autograd as ag  # noqa: E402
from autograd.ops.elementwise import Elementwise  # noqa: E402
from kernels import launch  # noqa: E402
from kernels.formula import Formula  # noqa: E402
from kernels.formulas import SPECIAL_CASES  # noqa: E402
from kernels.package import HOMES  # noqa: E402
from kernels.scalar import ZERO  # noqa: E402

PAGE = ROOT / "learn" / "functions.md"
EXTENSIONS = ("linalg", "fft")

# The standard's functions by its chapters. What is beyond the standard stands in the chapter of its module below.
STANDARD = {
    "Creation": "arange asarray empty empty_like eye from_dlpack full full_like linspace meshgrid ones ones_like tril triu "
    "zeros zeros_like",
    "Data types and inspection": "__array_namespace_info__ astype broadcast_arrays broadcast_shapes broadcast_to can_cast finfo "
    "iinfo isdtype result_type",
    "Elementwise": "abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_invert bitwise_left_shift bitwise_or "
    "bitwise_right_shift bitwise_xor ceil clip conj copysign cos cosh divide equal exp expm1 floor floor_divide greater "
    "greater_equal hypot imag isfinite isinf isnan less less_equal log log10 log1p log2 logaddexp logical_and logical_not "
    "logical_or logical_xor maximum minimum multiply negative nextafter not_equal positive pow real reciprocal remainder round "
    "sign signbit sin sinh sqrt square subtract tan tanh trunc",
    "Indexing": "take take_along_axis",
    "Linear algebra": "matmul matrix_transpose tensordot vecdot",
    "Manipulation": "concat expand_dims flip moveaxis permute_dims repeat reshape roll squeeze stack tile unstack",
    "Searching": "argmax argmin count_nonzero nonzero searchsorted where",
    "Sets": "isin unique_all unique_counts unique_inverse unique_values",
    "Sorting": "argsort sort",
    "Statistics": "cumulative_prod cumulative_sum max mean min prod std sum var",
    "Utilities": "all any diff",
    "linalg": "cholesky cross det diagonal eig eigh eigvals eigvalsh inv matmul matrix_norm matrix_power matrix_rank "
    "matrix_transpose outer pinv qr slogdet solve svd svdvals tensordot trace vecdot vector_norm",
    "fft": "fft fftfreq fftn fftshift hfft ifft ifftn ifftshift ihfft irfft irfftn rfft rfftfreq rfftn",
}
BEYOND = {
    "Elementwise": "elementwise methods complex_numbers",
    "Creation": "creation",
    "Data types and inspection": "conversion dtypes",
    "Indexing": "index selection",
    "Linear algebra": "linalg products einsum distances",
    "Manipulation": "shape arrange diagonal windows",
    "Searching": "searching",
    "Sorting": "sorting",
    "Statistics": "reduce cumulative statistics covariance",
    "Utilities": "compare",
    "Networks": "nn_ops conv",
    "Random numbers": "random",
}
LAST = "Gradients, modes and tools"  # everything else: functions of functions, contexts, classes


def _transform(name: str) -> Callable[..., Any]:
    return lambda x=(4,): getattr(ag.fft, name)(x)


# Examples of what has no entry in the table of operations, or another first case than the one to show.
EXAMPLES: dict[str, Callable[..., Any]] = {
    "allclose": lambda: ag.allclose(ag.ones(3), ag.ones(3)),
    "arange": lambda: ag.arange(3),
    "array_equal": lambda: ag.array_equal(ag.ones(3), ag.ones(3)),
    "asarray": lambda x=(2,): ag.asarray(x),
    "bernoulli": lambda: ag.bernoulli(0.5, (3,)),
    "bincount": lambda weights=(4,): ag.bincount(ag.asarray([0, 2, 1, 2]), weights),
    "dropout": lambda x=(4,): ag.dropout(x, 0.5, training=True),
    "empty": lambda: ag.empty(3),
    "empty_like": lambda: ag.empty_like(ag.ones(3)),
    "eye": lambda: ag.eye(3),
    "from_dlpack": lambda: ag.from_dlpack(np.ones(3)),
    "full": lambda: ag.full(3, 2.0),
    "full_like": lambda: ag.full_like(ag.ones(3), 2.0),
    "histogram": lambda x=(4,), weights=(4,): ag.histogram(x, 2, weights=weights),
    "linspace": lambda: ag.linspace(0.0, 1.0, 3),
    "ones": lambda: ag.ones(3),
    "ones_like": lambda: ag.ones_like(ag.ones(3)),
    "rand": lambda: ag.rand(3),
    "randint": lambda: ag.randint(0, 6, (3,)),
    "randn": lambda: ag.randn(3),
    "randperm": lambda: ag.randperm(3),
    "tensor": lambda: ag.tensor([1.0, 2.0]),
    "zeros": lambda: ag.zeros(3),
    "zeros_like": lambda: ag.zeros_like(ag.ones(3)),
    "linalg.eig": lambda x=(2, 2): ag.linalg.eig(x),
    "linalg.eigvals": lambda x=(2, 2): ag.linalg.eigvals(x),
    "fft.fftfreq": lambda: ag.fft.fftfreq(4),
    "fft.rfftfreq": lambda: ag.fft.rfftfreq(4),
    **{f"fft.{name}": _transform(name) for name in ag.fft.__all__ if not name.endswith("freq")},
    "conj": lambda x=(4,): ag.conj(x),
    "imag": lambda x=(4,): ag.imag(x),
    "real": lambda x=(4,): ag.real(x),
    "view_as_real": lambda x=(4,): ag.view_as_real(x),
    "view_as_complex": lambda x=(4, 2): ag.view_as_complex(x),
}
OF_REAL = frozenset("fft.rfft fft.rfftn fft.ihfft".split())
OF_COMPLEX = {"conj", "imag", "real", "view_as_real", *(n for n in EXAMPLES if n.startswith("fft."))} - OF_REAL
NO_KERNELS = frozenset("broadcast_shapes can_cast finfo iinfo isdtype result_type manual_seed __array_namespace_info__".split())

FAMILIES = {
    "reduce": "reduction", "matmul": "", "softmax": "row kernel", "norm": "row kernel", "cross_entropy": "row kernel",
    "index": "index", "sorting": "sort", "scans": "scan", "searching": "search", "random": "Philox", "data": "",
}  # fmt: skip
_HELPERS = frozenset("empty to_numpy may_share_memory broadcast diagonal apply plan_for pairs from_pairs".split())


# --- which functions there are ----------------------------------------------------------------------------------------


def public_functions() -> dict[str, Any]:
    """Every public function and class by its name behind `autograd.`; of several names the standard's, else the first."""
    found = {name: getattr(ag, name) for name in ["__array_namespace_info__", *ag.__all__] if callable(getattr(ag, name))}
    for extension in EXTENSIONS:
        module = getattr(ag, extension)
        found |= {f"{extension}.{name}": getattr(module, name) for name in module.__all__}
    return found


def in_the_standard(name: str) -> bool:
    """Whether the Array API standard has a function of this name."""
    extension, _, own = name.rpartition(".")
    chapters = (extension,) if extension else STANDARD.keys() - {"linalg", "fft"}
    return any(own in STANDARD[chapter].split() for chapter in chapters)


def chapter_of(name: str, function: Any) -> str:
    """Where a function stands in the page."""
    if "." in name:
        return name.partition(".")[0]
    for chapter, names in STANDARD.items():
        if name in names.split() and chapter not in EXTENSIONS:
            return chapter
    home = getattr(function, "__module__", "").rpartition(".")[2]
    return next((chapter for chapter, homes in BEYOND.items() if home in homes.split()), LAST)


# --- watching a function ----------------------------------------------------------------------------------------------


def _code(function: Any) -> Any:
    return getattr(inspect.unwrap(function), "__code__", None)


def _kernel_homes() -> dict[Any, str]:
    """The code of each function that autograd calls in `kernels.cpu`, and its name."""
    from kernels import cpu

    return {_code(getattr(cpu, name)): name for name in HOMES if name not in _HELPERS}


class Watch:
    """What happens while a function runs: the kernels it starts, NumPy's part, and the tensors it was given by name."""

    def __init__(self, function: Any) -> None:
        self.code, self.homes = _code(function), _kernel_homes()
        self.used: dict[tuple[str, str], None] = {}  # (family, kernel) in the order of their first use
        self.given: dict[str, Any] = {}
        self.depth = 1 if isinstance(function, Elementwise) else 0
        self.home: FrameType | None = None
        self.from_host = False

    def _saw(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code is self.code:
            self.given = self.given or dict(frame.f_locals)
            self.depth += 1
        elif event == "return" and frame.f_code is self.code:
            self.depth -= 1
        elif event == "return" and frame is self.home:
            self.home = None
        elif event == "call" and self.depth and self.home is None:
            self._entered(frame)

    def _entered(self, frame: FrameType) -> None:
        name = self.homes.get(frame.f_code)
        if name == "from_numpy":
            self.from_host = True
        elif name is not None:
            self.home = frame
            self.used[FAMILIES.get(HOMES[name], HOMES[name]), name] = None
        caller = frame.f_back.f_code.co_filename if frame.f_back else ""
        numpys = re.search(r"numpy/(linalg|fft)/\w+\.py$", Path(frame.f_code.co_filename).as_posix())
        called = frame.f_code.co_name
        if numpys and "/numpy/" not in Path(caller).as_posix() and not called.endswith("_dispatcher"):
            self.used["LAPACK" if numpys[1] == "linalg" else "FFT", called] = None

    def _launched(self, event: launch.Launch) -> None:
        if self.depth and self.home is None:
            self.used["formula", event.kernel.partition("[")[0]] = None

    def run(self, call: Callable[[], Any]) -> Any:
        """Call it and watch."""
        with launch.observe(self._launched):
            sys.setprofile(self._saw)
            try:
                return call()
            finally:
                sys.setprofile(None)


def _tensors(value: Any) -> list[Any]:
    if isinstance(value, ag.Tensor):
        return [value]
    return [t for part in value for t in _tensors(part)] if isinstance(value, (tuple, list)) else []


def example(name: str) -> tuple[list[np.ndarray], Callable[..., Any]]:
    """Operands, and the call to make with tensors of them."""
    if name in EXAMPLES:
        shapes = [p.default for p in inspect.signature(EXAMPLES[name]).parameters.values()]
        dtype = np.complex64 if name in OF_COMPLEX else np.float32
        return [np.linspace(1.0, 2.0, int(np.prod(s))).astype(dtype).reshape(s) for s in shapes], EXAMPLES[name]
    plain = ALIASES.get(name, name)
    entry = TABLE[plain]
    case = entry.cases[0]
    arrays = entry.draw(case, np.float32 if "f" in entry.kinds else np.complex64 if "c" in entry.kinds else np.int64)
    return arrays, lambda *tensors: entry.function(*tensors, **case.options)


def forward_kernels(name: str, function: Any) -> tuple[str, bool]:
    """What the forward pass computes with, in words, and whether that is NumPy on the host."""
    arrays, call = example(name)
    tensors = [ag.tensor(a) for a in arrays]
    call(*tensors)  # loading kernels would be slow to watch
    watch = Watch(function)
    result = watch.run(lambda: call(*tensors))
    if not watch.used:
        shared = [t for t in _tensors(list(watch.given.values())) + tensors if t.size]
        views = any(np.shares_memory(r.numpy(), t.numpy()) for r in _tensors(result) for t in shared)
        return ("view" if views else "made by NumPy" if watch.from_host else "none"), False
    families: dict[str, list[str]] = {}
    for family, kernel in watch.used:
        families.setdefault(family, []).append(f"`{kernel}`")
    words = [f"{family} {', '.join(kernels)}".strip() for family, kernels in families.items()]
    return "; ".join(words), bool({"LAPACK", "FFT"} & families.keys())


def differentiable(name: str, function: Any) -> str:
    """To which of its float operands a function has gradients: "yes" for all of them, else their names, or "no"."""
    arrays, call = example(name)
    reached: dict[str, bool] = {}
    for k, array in enumerate(arrays):
        if array.dtype.kind not in "fc":
            continue
        tensors = [ag.tensor(a, requires_grad=j == k) for j, a in enumerate(arrays)]
        watch = Watch(function)
        result = watch.run(lambda tensors=tensors: call(*tensors))
        has = any(t.requires_grad for t in _tensors(result))
        if isinstance(function, Elementwise):
            names = [list(inspect.signature(function).parameters)[k]]
            has = has and not _is_flat(function.formula, k)
        else:
            names = [n for n, value in watch.given.items() if any(t.requires_grad for t in _tensors(value))]
        for own in names:
            reached[own] = reached.get(own, False) or has
    if not any(reached.values()):
        flat = isinstance(function, Elementwise) and _has_slopes(function.formula)
        return "zero everywhere" if flat else "no"
    return "yes" if all(reached.values()) else ", ".join(f"`{own}`" for own, has in reached.items() if has)


# --- what is special --------------------------------------------------------------------------------------------------


def _has_slopes(formula: Formula) -> bool:
    return "f" in formula.kinds and formula.result != "bool" and len(formula.outputs) == 1


def _is_flat(formula: Formula, operand: int) -> bool:
    needs = tuple(k == operand for k in range(len(formula.inputs)))
    return all(output is ZERO for output in formula.gradient(needs).outputs)


def _slope(formula: Formula, values: tuple[float, ...], operand: int) -> float:
    """The derivative by one operand at a point, by the formula of the backward pass."""
    derivative = formula.gradient(tuple(k == operand for k in range(len(formula.inputs))))
    value = formula.evaluate(*values)
    sources = {"gradient": lambda _: 1.0, "input": values.__getitem__, "output": lambda _: value}
    with np.errstate(all="ignore"):
        return float(derivative.evaluate(*[sources[kind](index) for kind, index in derivative.roles]))


def _is_kink(formula: Formula, values: tuple[float, ...], operand: int) -> bool:
    """Whether the value there is finite, and the slope is infinite or another one on either side."""
    near = [tuple(v + step * (k == operand) for k, v in enumerate(values)) for step in (-1e-7, 1e-7)]
    here, slopes = _slope(formula, values, operand), [_slope(formula, point, operand) for point in near]
    with np.errstate(all="ignore"):
        finite = np.isfinite(formula.evaluate(*values))
    if not finite:
        return False
    return not np.isfinite(here) or (bool(np.isfinite(slopes).all()) and abs(slopes[1] - slopes[0]) > 1e-3)


def _number(value: float) -> str:
    return f"{value + 0.0:.4g}".replace("inf", "infinity").replace("nan", "NaN")


def slopes_at_kinks(formula: Formula) -> list[str]:
    """Phrases about the points at which the slope jumps: of one operand, and of two where they are equal."""
    arity, phrases = len(formula.inputs), []
    if not _has_slopes(formula) or set(formula.parameters) - {*formula.defaults}:
        return []
    if arity == 1 and not _is_flat(formula, 0):
        places: dict[str, list[str]] = {}
        for point in (-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0):
            if _is_kink(formula, (point,), 0):
                places.setdefault(_number(_slope(formula, (point,), 0)), []).append(_number(point))
        phrases = [f"slope {slope} at {' and '.join(points)}" for slope, points in places.items()]
    elif arity == 2 and not any(_is_flat(formula, k) for k in (0, 1)):
        for point, where in (((1.0, 1.0), "the operands are equal"), ((0.0, 0.0), "both are 0")):
            if not phrases and any(_is_kink(formula, point, k) for k in (0, 1)):
                one, other = (_number(_slope(formula, point, k)) for k in (0, 1))
                phrases = [f"slopes {one} and {other} where {where}"]
    return phrases


def written_down(function: Any) -> str:
    """The section "Special cases" of a docstring, which other functions may refer to: "those of `name`"."""
    found = re.search(r"^Special cases:\n((?:[ \t]+\S.*\n?)+)", inspect.getdoc(function) or "", re.MULTILINE)
    return " ".join(found[1].split()).rstrip(".") if found else ""


def special_cases(function: Any) -> str:
    """Everything to know about ties, kinks, zeros, repeats and NaN."""
    if not isinstance(function, Elementwise):
        return written_down(function)
    formula = function.formula
    return "; ".join([*slopes_at_kinks(formula), *([SPECIAL_CASES[formula.name]] if formula.name in SPECIAL_CASES else [])])


# --- the page ---------------------------------------------------------------------------------------------------------


def rows() -> Iterator[tuple[str, str, list[str]]]:
    """(chapter, name, cells) of every public function; a second name of a function refers to the first."""
    functions = public_functions()
    first: dict[int, str] = {}  # under which name each stands in full: its own where it is public
    for name, function in functions.items():
        own = functions.get(getattr(function, "__name__", name))
        first.setdefault(id(function), function.__name__ if own is function else name)
    for name, function in functions.items():
        chapter = chapter_of(name, function)
        cells = [f"`{name}`", "yes" if in_the_standard(name) else ""]
        summary = (inspect.getdoc(function) or "").partition("\n")[0]
        if first[id(function)] != name:
            yield chapter, name, [*cells, f"the same as `{first[id(function)]}`", "", "", ""]
            continue
        if chapter == LAST or name in NO_KERNELS:
            yield chapter, name, [*cells, "", "none", "", summary if chapter == LAST else written_down(function)]
            continue
        kernels, on_host = forward_kernels(name, function)
        devices = "CPU; CUDA by way of the host" if on_host else "CPU, CUDA"
        yield chapter, name, [*cells, differentiable(name, function), kernels, devices, special_cases(function)]


HEAD = """# Every function

Written by `python learn/functions.py`: do not edit. One row per public function of `autograd`{extensions}.

- **standard**: the Python Array API standard, 2025.12, has it.
- **differentiable**: gradients of any order, or as said, flow to its float operands: to all (yes), or to those named.
- **forward kernel**: what ran for an example of the tests, on the CPU. The CUDA kernels have the same names. A formula is an
  entry of `kernels/formulas.py`, and its loops and derivatives are generated; a view computes nothing.
- **devices**: LAPACK and FFT are NumPy's: a CUDA tensor is copied to the host, and the result back.
- **special cases**: at ties, kinks, zeros, repeats and NaN. The README's table says more.
"""
TITLES = {"linalg": "The extension `linalg`", "fft": "The extension `fft`"}


def document() -> str:
    """The page."""
    chapters: dict[str, list[tuple[str, list[str]]]] = {name: [] for name in (*STANDARD, "Networks", "Random numbers", LAST)}
    for chapter, name, cells in rows():
        chapters[chapter].append((name, cells))
    extensions = "".join(f", `autograd.{name}`" for name in EXTENSIONS)
    lines = [HEAD.format(extensions=extensions)]
    for chapter, found in chapters.items():
        if found:
            lines += [f"\n## {TITLES.get(chapter, chapter)}\n", *_table(chapter, [cells for _, cells in sorted(found)])]
    return "\n".join(lines) + "\n"


def _table(chapter: str, cells: list[list[str]]) -> Iterator[str]:
    if chapter == LAST:
        cells = [[row[0], row[-1]] for row in cells]
    titles = ["function", "what it does"] if chapter == LAST else [
        "function", "standard", "differentiable", "forward kernel", "devices", "special cases"]  # fmt: skip
    yield f"| {' | '.join(titles)} |"
    yield "|---" * len(titles) + "|"
    for row in cells:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def main() -> None:
    PAGE.write_text(document(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
