"""The page about every function is what its script writes, and says what the functions do."""

import re

import pytest

import autograd as ag
from learn import functions

MEND = "run `python learn/functions.py` and commit learn/functions.md"


@pytest.fixture(scope="module")
def page():
    return functions.document()


def rows_of(text):
    """The cells of each row by the function's name."""
    found = {}
    for line in text.splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            assert cells[0] not in found, f"two rows for {cells[0]}"
            found[cells[0].strip("`")] = cells
    return found


def test_the_page_is_what_the_script_writes(page):
    pytest.importorskip("array_api_strict")  # with what the tests need there, nothing is left out
    assert functions.PAGE.read_text(encoding="utf-8") == page, MEND


def test_every_public_function_has_a_row(page):
    public = {name for name in ag.__all__ if callable(getattr(ag, name))}
    for extension in functions.EXTENSIONS:
        public |= {f"{extension}.{name}" for name in getattr(ag, extension).__all__}
    assert public <= rows_of(page).keys() and public > {"sum", "grad", "linalg.svd"}


def test_chapters_are_the_standards():
    strict = pytest.importorskip("array_api_strict")
    names = {name for chapter, text in functions.STANDARD.items() if chapter not in functions.EXTENSIONS for name in text.split()}
    own = {n for n in strict.__all__ if callable(getattr(strict, n)) and not isinstance(getattr(strict, n), type)}
    assert names == {n for n in own if "strict_flags" not in n}
    for extension in functions.EXTENSIONS:
        assert set(functions.STANDARD[extension].split()) - {"eig", "eigvals"} == set(getattr(strict, extension).__all__)


@pytest.mark.parametrize(("name", "expected"), {
    "exp": ["yes", "yes", "formula `exp`", "CPU, CUDA"],
    "ceil": ["yes", "zero everywhere", "formula `ceil`"],
    "less": ["yes", "no", "formula `less`"],
    "abs": ["yes", "yes", "formula `abs`", "CPU, CUDA", "slope 0 at 0"],
    "maximum": ["yes", "yes", "formula `maximum`", "CPU, CUDA", "slopes 0.5 and 0.5 where the operands are equal; NaN where one is NaN"],
    "copysign": ["yes", "`x1`", "formula `copysign`"],
    "sum": ["yes", "yes", "reduction `sum`", "CPU, CUDA"],
    "argmax": ["yes", "no", "reduction `argmax`"],
    "matmul": ["yes", "yes", "`matmul`", "CPU, CUDA"],
    "flip": ["yes", "yes", "view", "CPU, CUDA"],
    "linalg.inv": ["yes", "yes", "LAPACK `inv`", "CPU; CUDA by way of the host", "a singular matrix raises"],
    "linalg.matmul": ["yes", "the same as `matmul`"],
    "bincount": ["", "yes"],
    "rand": ["", "no", "Philox `uniform`"],
}.items())  # fmt: skip
def test_rows_say_what_the_function_does(page, name, expected):
    assert rows_of(page)[name][1 : len(expected) + 1] == expected


def test_what_a_function_calls_before_and_behind_does_not_count():
    """The example of `searchsorted` sorts first; that is not the function's own work."""
    assert functions.forward_kernels("searchsorted", ag.searchsorted) == ("search `searchsorted`", False)


def test_phrases_about_formulas_are_of_public_operations():
    assert functions.SPECIAL_CASES.keys() <= {name for name in ag.__all__ if isinstance(getattr(ag, name), functions.Elementwise)}
