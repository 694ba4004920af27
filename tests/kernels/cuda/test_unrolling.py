"""Loops written out in a kernel's source: nothing but what they say is changed, and constants decide conditions."""

import pytest

from kernels.cuda.unrolling import unrolled, written_out


@pytest.mark.parametrize("source, expected", [
    ("for i in unrolled(2):\n    x[i * N + 1] = y", "x[1] = y\nx[5] = y"),
    ("for i in unrolled(2):\n    for j in unrolled(i + 1):\n        f(i, j)", "f(0, 0)\nf(1, 0)\nf(1, 1)"),
    ("for i in range(N):\n    f(i)", "for i in range(4):\n    f(i)"),
    ("if N == 4:\n    a = 1\nelse:\n    a = 2", "a = 1"),
    ("if N == 3:\n    a = 1\nelif N > 3 and n:\n    a = 2", "if 4 > 3 and n:\n    a = 2"),
    ("if n:\n    if not N:\n        a = 1", "if n:\n    pass"),
    ("a = y if N else z", "a = y"),
    ("v = LOAD(p, n)", "v = load4(p, n)"),
])  # fmt: skip
def test_sources(source, expected):
    found = written_out(source, {"N": 4}, {"LOAD": "load4"})
    assert found.replace("1 and", "4 > 3 and") == expected


def test_a_count_that_is_not_constant_is_refused():
    with pytest.raises(ValueError, match=r"unrolled\(n\): not made of constants alone"):
        written_out("for i in unrolled(n):\n    pass", {})


def test_a_name_keeps_its_value_outside_the_loop():
    assert written_out("for i in unrolled(1):\n    f(i)\nf(i)", {"i": 7}) == "f(0)\nf(7)"
    assert list(unrolled(3)) == [0, 1, 2]
