"""Fit the polynomials of kernels/cpu/math_*.py: weighted least squares on Chebyshev points, in 60 digits.

Points with Chebyshev density make the least-squares fit near minimax (within a factor of two of the best), which
one more degree than strictly needed makes up for. Only erf is a quotient of two polynomials, which takes an iteration:
see `fit_rational`. Run `python learn/fit_polynomials.py` to print every table.
"""

import mpmath
from mpmath import mp, mpf

mp.dps = 60


def fit(function, degree, low, high, weight=lambda _: mpf(1), points=None):
    """(coefficients, lowest power first, of the polynomial nearest to function on [low, high]; its weighted error)."""
    low, high = mpf(low), mpf(high)
    count = points or 6 * (degree + 1)
    nodes = [mpmath.cos(mpmath.pi * (2 * k + 1) / (2 * count)) for k in range(count)]
    middle, half = (low + high) / 2, (high - low) / 2
    xs = [middle + half * node for node in nodes]
    rows = mp.matrix(count, degree + 1)
    right = mp.matrix(count, 1)
    for i, (x, node) in enumerate(zip(xs, nodes, strict=True)):
        factor = weight(x)
        previous, current = mpf(1), node
        for j in range(degree + 1):
            rows[i, j] = factor * previous
            previous, current = current, 2 * node * current - previous
        right[i] = factor * function(x)
    solution, _ = mp.qr_solve(rows, right)
    # Chebyshev series in t = (x - middle)/half  ->  powers of t  ->  powers of x.
    in_t = [mpf(0)] * (degree + 1)
    before, now = [mpf(1)], [mpf(0), mpf(1)]
    for j in range(degree + 1):
        for power, value in enumerate(before):
            in_t[power] += solution[j] * value
        after = [mpf(0)] + [2 * value for value in now]
        for power, value in enumerate(before):
            after[power] -= value
        before, now = now, after
    result = [mpf(0)]
    for coefficient in reversed(in_t):  # Horner on polynomials: result = result * (x - middle)/half + coefficient
        longer = [mpf(0)] * (len(result) + 1)
        for power, value in enumerate(result):
            longer[power + 1] += value / half
            longer[power] -= value * middle / half
        longer[0] += coefficient
        result = longer
    result = result[: degree + 1]
    error = max(abs(weight(x) * (mpmath.polyval(result[::-1], x) - function(x))) for x in xs)
    return result, error


def fit_rational(function, top, bottom, high, points=120, rounds=30):
    """(P, Q, relative error): P/Q of these degrees with Q[0] = 1, nearest to function on [0, high].

    Linear least squares for P - function*Q, each equation divided by the last round's Q and, after Lawson, weighted by
    the errors of all the rounds before: that levels the error's peaks, so the fit nears the minimax one.
    """
    high = mpf(high)
    ts = [(1 + mpmath.cos(mpmath.pi * (2 * k + 1) / (2 * points))) / 2 for k in range(points)]
    values = [function(t * high) for t in ts]
    weights, below = [mpf(1)] * points, [mpf(1)] * points
    best = None
    for _ in range(rounds):
        rows, right = mp.matrix(points, top + 1 + bottom), mp.matrix(points, 1)
        for i, (t, value) in enumerate(zip(ts, values, strict=True)):
            factor = weights[i] / (below[i] * value)
            for j in range(top + 1):
                rows[i, j] = factor * t**j
            for j in range(1, bottom + 1):
                rows[i, top + j] = -factor * value * t**j
            right[i] = factor * value
        solution, _ = mp.qr_solve(rows, right)
        p, q = list(solution[: top + 1]), [mpf(1), *solution[top + 1 :]]
        below = [mpmath.polyval(q[::-1], t) for t in ts]
        above = [mpmath.polyval(p[::-1], t) for t in ts]
        errors = [abs(a / b / value - 1) for a, b, value in zip(above, below, values, strict=True)]
        if best is None or max(errors) < best[2]:
            best = p, q, max(errors)
        mean = sum(errors) / points
        weights = [w * mpmath.sqrt(error / mean + mpf("1e-3")) for w, error in zip(weights, errors, strict=True)]
    p, q, error = best
    return [c / high**j for j, c in enumerate(p)], [c / high**j for j, c in enumerate(q)], error


def series(function):
    """function, with removable singularities at 0 bridged by a tiny step."""
    return lambda x: function(x if abs(x) > mpf(10) ** -15 else mpf(10) ** -15)


def show(name, fitted, digits):
    coefficients, error = fitted
    print(f"# {name}: weighted error {mpmath.nstr(error, 3)} = 2^{mpmath.nstr(mpmath.log(error, 2), 4)}")
    print(f"{name} = (" + ", ".join(mpmath.nstr(c, digits) for c in coefficients) + ")")


def show_rational(name, fitted, constant, digits, monic=False):
    """A quotient of equal degrees as constant + above/below: where it is near the constant, rounding errors of the
    polynomials hardly matter. `monic`: with 1 for the highest coefficient below, which saves a multiplication."""
    above, below, error = fitted
    above = [a - constant * b for a, b in zip(above, below, strict=True)]
    if monic:
        above, below = ([c / below[-1] for c in polynomial] for polynomial in (above, below))
    show(f"{name}_ABOVE", (above, error), digits)
    show(f"{name}_BELOW", (below, error), digits)


HALF_LN2 = mpmath.log(2) / 2 * mpf("1.001")
LOW, HIGH = mpmath.sqrt(mpf("0.5")) - 1 - mpf("1e-6"), mpmath.sqrt(mpf(2)) - 1 + mpf("1e-6")
exp_tail = series(lambda r: (mpmath.expm1(r) - r) / r**2)
exp_weight = series(lambda r: r**2 / mpmath.expm1(r))
exp2_tail = series(lambda r: mpmath.expm1(r * mpmath.log(2)) / r)
log_tail = series(lambda f: (mpmath.log1p(f) - f + f * f / 2) / f**3)
log_weight = series(lambda f: f**3 / mpmath.log1p(f))


def log_symmetric(z):
    """(log((1+s)/(1-s)) - 2s)/s with z = s^2."""
    s = mpmath.sqrt(z)
    return (2 * mpmath.atanh(s) - 2 * s) / s


LOG_SYMMETRIC_HIGH = ((mpmath.sqrt(mpf(2)) - 1) / (mpmath.sqrt(mpf(2)) + 1)) ** 2 * mpf("1.0001")


def over_square(function):
    """function as a function of z = x**2, with its removable singularity at 0 bridged."""
    return lambda z: function(mpmath.sqrt(z if abs(z) > mpf(10) ** -15 else mpf(10) ** -15))


sin_tail = over_square(lambda r: (mpmath.sin(r) - r) / r**3)
cos_tail = over_square(lambda r: (mpmath.cos(r) - 1 + r * r / 2) / r**4)
QUARTER = (mpmath.pi / 4 * mpf("1.001")) ** 2
erf_slope = over_square(lambda x: mpmath.erf(x) / x)
atan_tail = over_square(lambda z: (mpmath.atan(z) - z) / z**3)
asin_tail = over_square(lambda z: (mpmath.asin(z) - z) / z**3)
ATAN_HIGH = (mpmath.tan(mpmath.pi / 8) * mpf("1.001")) ** 2
ASIN_HIGH = mpf("0.2501")
ERF_NEAR_HIGH = mpf("0.2501")


def scaled_erfc(centre):
    """(1 + 2a) e**(a*a) erfc(a) as a function of q = (a - centre)/(a + centre): smooth all the way to infinity."""

    def function(q):
        a = centre * (1 + q) / (1 - q)
        return (1 + 2 * a) * mpmath.exp(a * a) * mpmath.erfc(a)

    return function


def q_limit(a, centre):
    return (mpf(a) - centre) / (mpf(a) + centre)


def main():
    """Print every table of math_float32.py (9 digits) and math_float64.py (17 digits)."""
    show("EXP_32", fit(exp_tail, 4, -HALF_LN2, HALF_LN2, exp_weight), 9)
    show("EXP_64", fit(exp_tail, 9, -HALF_LN2, HALF_LN2, exp_weight), 17)
    show("EXP2_32", fit(exp2_tail, 5, -0.5, 0.5, abs), 9)
    show("EXP2_64", fit(exp2_tail, 10, -0.5, 0.5, abs), 17)
    show("LOG_32", fit(log_tail, 7, LOW, HIGH, log_weight), 9)
    show("LOG_64", fit(lambda z: series(log_symmetric)(z) / z, 6, mpf(10) ** -15, LOG_SYMMETRIC_HIGH), 17)
    show("LOG2_32", fit(series(lambda f: mpmath.log1p(f) / f / mpmath.log(2)), 10, LOW, HIGH), 9)
    show("SIN_32", fit(sin_tail, 3, 0, QUARTER), 9)
    show("COS_32", fit(cos_tail, 2, 0, QUARTER), 9)
    show("SIN_64", fit(sin_tail, 5, 0, QUARTER), 17)
    show("COS_64", fit(cos_tail, 5, 0, QUARTER), 17)
    show_rational("ERF_32", fit_rational(erf_slope, 5, 5, mpf("3.85") ** 2), mpf(1) / 4, 9, monic=True)
    show("ERF_NEAR_32", fit(erf_slope, 4, 0, ERF_NEAR_HIGH), 9)
    show("ERFC_32", fit(scaled_erfc(3), 10, -1, q_limit(10.2, 3)), 9)
    show_rational("ERF_64", fit_rational(erf_slope, 12, 12, 36, points=160, rounds=12), mpf(21) / 128, 17)
    show("ERF_NEAR_64", fit(erf_slope, 8, 0, ERF_NEAR_HIGH), 17)
    show("ERFC_64", fit(scaled_erfc(3), 23, -1, q_limit(27.3, 3)), 17)
    show("ATAN_32", fit(atan_tail, 3, 0, ATAN_HIGH, abs), 9)
    show("ATAN_64", fit(atan_tail, 9, 0, ATAN_HIGH, abs), 17)
    show("ASIN_32", fit(asin_tail, 4, 0, ASIN_HIGH, abs), 9)
    show("ASIN_64", fit(asin_tail, 11, 0, ASIN_HIGH, abs), 17)


if __name__ == "__main__":
    main()
