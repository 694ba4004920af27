"""The polynomials of `kernels.philox.normal_pair_float32` and `..._float64`, computed in 50 digits (needs mpmath).

Run it to print them, lowest power first, each with its largest error.
"""

import mpmath

mpmath.mp.dps = 50

HALF_PI = mpmath.pi / 2
F_LOW, F_HIGH = mpmath.sqrt(mpmath.mpf(1) / 2) - 1, mpmath.sqrt(2) - 1
S_HIGH = F_HIGH / (2 + F_HIGH)


def away_from_zero(function):
    """The function continued to 0, where its formula divides by 0."""

    def evaluated(x):
        with mpmath.workdps(120):
            return function(x if abs(x) > mpmath.mpf(10) ** -9 else mpmath.mpf(10) ** -9)

    return evaluated


def show(name, function, low, high, counts):
    """Print the fits with these numbers of coefficients: (coefficients, digits to print) each."""
    for count, digits in counts:
        coefficients, error = mpmath.chebyfit(away_from_zero(function), [low, high], count, error=True)
        print(f"{name}: error {mpmath.nstr(error, 3)}")
        print("    " + ", ".join(mpmath.nstr(c, digits) for c in reversed(coefficients)))


def sine(y):
    """sin(pi/2 z) / z with y = z*z."""
    return mpmath.sin(HALF_PI * mpmath.sqrt(y)) / mpmath.sqrt(y)


def cosine(y):
    """(cos(pi/2 z) - 1) / (z*z) with y = z*z."""
    return (mpmath.cos(HALF_PI * mpmath.sqrt(y)) - 1) / y


def logarithm(f):
    """(log1p(f) - f + f*f/2) / f**3."""
    return (mpmath.log1p(f) - f + f * f / 2) / f**3


def symmetric_logarithm(y):
    """(2 atanh(s) - 2 s) / s**3 with y = s*s."""
    return (2 * mpmath.atanh(mpmath.sqrt(y)) / mpmath.sqrt(y) - 2) / y


show("sin(pi/2 z)/z", sine, 0, mpmath.mpf(1) / 4, [(4, 9), (7, 17)])
show("(cos(pi/2 z) - 1)/z**2", cosine, 0, mpmath.mpf(1) / 4, [(4, 9), (7, 17)])
show("float32: log1p", logarithm, F_LOW, F_HIGH, [(8, 9)])
show("float64: 2 atanh", symmetric_logarithm, 0, S_HIGH**2 * mpmath.mpf("1.0001"), [(7, 17)])
