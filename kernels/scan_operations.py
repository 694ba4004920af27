"""Running operations on a value in two parts, the same source for every device.

A sum and what its rounding lost; a product and nothing; the largest element and the sum of exp(element - largest).
`first(v)` begins with an element, `following(a, b, v)` takes one more, `joined(a, b, c, d)` puts two neighbouring stretches
together, `result(a, b)` is the value.

Sums are right to the last place. Two are joined as Dekker's double-length numbers; an element is added by Sum2 of Ogita, Rump
and Oishi ("Accurate sum and dot product", 2005), whose one chain from element to element is that of a plain sum.
"""

from __future__ import annotations

import numpy as np

_SUM = """
@_inlined
def first(v):
    return v, -T(0)

@_inlined
def joined(a, b, c, d):
    total = a + c
    part = total - a
    lost = ((a - (total - part)) + (c - part)) + (b + d)
    higher = total + lost
    if higher - higher == T(0):
        return higher, lost - (higher - total)
    return total, T(0)

@_inlined
def following(a, b, v):
    total = a + v
    part = total - a
    return total, b + ((a - (total - part)) + (v - part))

@_inlined
def result(a, b):
    whole = a + b
    return whole if whole - whole == T(0) else a
"""

_PLAIN = """
@_inlined
def first(v):
    return state(v), state(0)

@_inlined
def joined(a, b, c, d):
    return state(a {sign} c), b

@_inlined
def following(a, b, v):
    return state(a {sign} state(v)), b

@_inlined
def result(a, b):
    return T(a)
"""

# Where both parts have the same largest element its weight is 1, though it be infinite.
_LOGSUMEXP = """
@_inlined
def weighed(b, a, largest):
    return b if a == largest else b * exp(a - largest)

@_inlined
def first(v):
    return v, T(1)

@_inlined
def joined(a, b, c, d):
    largest = maximum(a, c)
    return largest, weighed(b, a, largest) + weighed(d, c, largest)

@_inlined
def following(a, b, v):
    return joined(a, b, v, T(1))

@_inlined
def result(a, b):
    return a + log(b)
"""


def helpers_of(name: str, dtype: np.dtype, state: str = "T") -> str:
    """The functions of an operation for one type; `state` is the type that sums and products are kept in."""
    if name == "cumulative_logsumexp":
        text = _LOGSUMEXP
    elif name == "cumulative_sum" and dtype.kind == "f" and state == "T":
        text = _SUM
    else:
        text = _PLAIN.format(sign="+" if name == "cumulative_sum" else "*")
    return f"state = {state}\n{text}"


# out[k] = x[k] * out[k-1] + y[k]: elements are maps h -> a*h + b, of which two make another one.
RECURRENCE = """
@_inlined
def first(v, w):
    return v, w

@_inlined
def joined(a, b, c, d):
    return a * c, c * b + d

@_inlined
def result(a, b):
    return b
"""
