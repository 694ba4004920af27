"""Every function of the standard is compared with array-api-strict, by a test that Hypothesis feeds."""

from importlib import util
from pathlib import Path

import pytest
from array_api_support import CALLED, COMPARED, compares, strict

HERE = Path(__file__).resolve().parent
# Names that say something about the namespace: test_namespace.py looks at them.
ELSEWHERE = {"__array_namespace_info__"}


def standard():
    names = {n for n in strict.__all__ if callable(getattr(strict, n)) and not isinstance(getattr(strict, n), type)}
    names = {n for n in names if "strict_flags" not in n}
    return names | {f"{extension}.{n}" for extension in ("linalg", "fft") for n in getattr(strict, extension).__all__}


def test_every_function_of_the_standard_is_compared():
    for path in sorted(HERE.glob("test_*.py")):
        if "@compares(" in path.read_text(encoding="utf-8") and path != Path(__file__).resolve():
            spec = util.spec_from_file_location(f"comparisons_in_{path.stem}", path)
            assert spec is not None and spec.loader is not None
            spec.loader.exec_module(util.module_from_spec(spec))
    assert COMPARED.keys() - standard() == set(), "compared, and not in the standard"
    missing = sorted(standard() - COMPARED.keys() - ELSEWHERE)
    assert not missing, f"no test in {HERE.name}/ is marked @compares({missing[0]!r}, ...): all that lack one are {missing}"


def test_marks_can_fail():
    with pytest.raises(AssertionError, match="draws nothing by Hypothesis"):
        compares("sum")(lambda: None)
    CALLED.clear()
    assert strict.linalg.trace(strict.eye(2)) == 2.0
    assert {"eye", "linalg.trace"} == CALLED
