"""Functions that textbook definitions need and mpmath lacks, or has only for moderate arguments.

All are for the working precision in force, and take any size of their arguments.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import mpmath as mp
import numpy as np

__all__ = [
    "beta_tails",
    "derivative",
    "divergence_integral",
    "falling_integral",
    "gamma_tails",
    "log_beta",
    "log_normal_cdf",
    "mean_log_gamma",
    "softplus",
]


def softplus(x: Any) -> Any:
    """log(1 + e^x)."""
    return mp.log1p(mp.exp(x)) if x < 0 else x + mp.log1p(mp.exp(-x))


def log_beta(*shapes: Any) -> Any:
    """log Π Γ(aᵢ)/Γ(Σ aᵢ)."""
    return sum(mp.loggamma(a) for a in shapes) - mp.loggamma(sum(shapes))


def derivative(function: Callable[..., Any], arguments: Any, i: int) -> Any:
    """∂f/∂argᵢ by a central difference at twice the working precision."""
    digits = mp.mp.dps
    with mp.workdps(2 * digits):
        at = list(arguments)
        step = (abs(at[i]) if at[i] != 0 else mp.mpf(1)) * mp.mpf(10) ** (-digits // 2 - 5)
        up, down = list(at), list(at)
        up[i], down[i] = at[i] + step, at[i] - step
        slope = (function(*up) - function(*down)) / (2 * step)
    return +slope


def log_normal_cdf(z: Any) -> Any:
    """log Φ(z)."""
    return mp.log(mp.erfc(-z / mp.sqrt(2)) / 2) if z < 5 else mp.log1p(-mp.erfc(z / mp.sqrt(2)) / 2)


def gamma_tails(a: Any, x: Any) -> tuple[Any, Any]:
    """log P(a, x) and log Q(a, x), the regularised incomplete gamma functions.

    Below a + 1 by the power series of P, whose terms are positive (DLMF 8.7.1), above by the continued fraction of Q
    (DLMF 8.9.2); the other one is what is left of 1, with 20 digits to spare.
    """
    if x <= 0:
        return -mp.inf, mp.mpf(0)
    with mp.extradps(20):
        front = a * mp.log(x) - x - mp.loggamma(a)
        if x < a + 1 + 5 * mp.sqrt(a):
            lower = front + mp.log(_power_series(a, x) / a)
            result = lower, mp.log1p(-mp.exp(lower))
        else:
            upper = front + mp.log(_fraction(lambda k: (-k * (k - a), x - a + 2 * k + 1), x - a + 1))
            result = mp.log1p(-mp.exp(upper)), upper
    return +result[0], +result[1]


def _power_series(a: Any, x: Any) -> Any:
    """Σ xᵏ/((a + 1) … (a + k)), in whole numbers: there may be 1e5 terms."""
    bits = mp.mp.prec + 40
    one = 1 << bits
    ratio, below = int(mp.ldexp(x, bits)), int(mp.ldexp(a, bits))
    total = term = one
    while term:
        below += one
        term = term * ratio // below
        total += term
    return mp.ldexp(total, -bits)


def _fraction(term: Callable[[int], tuple[Any, Any]], first: Any) -> Any:
    """1/(b₀ + a₁/(b₁ + a₂/(b₂ + …))) by Lentz's method; `term(k)` is (a_k, b_k)."""
    tiny = mp.eps**4
    f = first or tiny
    c, d = f, mp.mpf(0)
    for k in range(1, 10**6):
        a, b = term(k)
        d = 1 / ((b + a * d) or tiny)
        c = (b + a / c) or tiny
        step = c * d
        f *= step
        if abs(step - 1) < mp.eps:
            return 1 / f
    raise ValueError("the continued fraction has not settled after a million terms")


def beta_tails(a: Any, b: Any, x: Any, y: Any = None) -> tuple[Any, Any]:
    """log I_x(a, b) and log I_y(b, a), the regularised incomplete beta functions, with y = 1 − x (DLMF 8.17.22)."""
    with mp.extradps(20):
        y = 1 - x if y is None else y
        if x <= 0:
            return -mp.inf, mp.mpf(0)
        if y <= 0:
            return mp.mpf(0), -mp.inf
        if x * (a + b + 2) > a + 1:
            swapped = _lower_beta_tails(b, a, y, x)
            result = swapped[1], swapped[0]
        else:
            result = _lower_beta_tails(a, b, x, y)
    return +result[0], +result[1]


def _lower_beta_tails(a: Any, b: Any, x: Any, y: Any) -> tuple[Any, Any]:
    def term(k: int) -> tuple[Any, Any]:
        m = k // 2
        if k % 2:
            return -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)), 1
        return m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)), 1

    front = a * mp.log(x) + b * mp.log(y) - log_beta(a, b) - mp.log(a)
    lower = front + mp.log(_fraction(term, mp.mpf(1)))
    return lower, mp.log1p(-mp.exp(lower))


def mean_log_gamma(a: Any, mean: Any, laplace: Callable[[Any], Any], scale: Any) -> Any:
    """E log Γ(X + a) from E X and the transform E e^(−tX) of X.

    By Malmstén's integral (DLMF 5.9.1 with 5.4.11), log Γ(z) = ∫₀^∞ [(z − 1) e^(−t) − (e^(−t) − e^(−zt))/(1 − e^(−t))] dt/t,
    the expectation taken inside; on panels that double, from where the transform hardly changes.
    """
    with mp.extradps(20):
        first = -int(mp.log(10 * max(scale, a), 2)) - 1
        total = mp.mpf(0)
        for t, weight, decay, rest in (node for panel in range(first, 8) for node in _nodes(panel, first, mp.mp.dps)):
            power = decay if a == 1 else mp.exp(-a * t)
            total += weight * ((mean + a - 1) * decay - (decay - power * laplace(t)) / rest)
    return +total


@cache
def _nodes(panel: int, first: int, digits: int) -> list[tuple[Any, ...]]:
    """(t, weight/t, e^−t, 1 − e^−t) on the panel from 2^(panel − 1), or 0 if it is the first one, to 2^panel."""
    with mp.workdps(digits):
        high = mp.ldexp(1, panel)
        low = high / 2 if panel > first else mp.mpf(0)
        half = (high - low) / 2
        at = [(low + half * (1 + x), half * w) for x, w in _legendre(32, digits)]
        return [(t, w / t, mp.exp(-t), -mp.expm1(-t)) for t, w in at]


def falling_integral(function: Callable[[Any], Any], width: Any, end: Any = mp.inf) -> Any:
    """∫ f from 0 to `end` for f that falls, on panels that double from `width`, over which it falls by a moderate factor."""
    low, high, total, rule = mp.mpf(0), width, mp.mpf(0), _legendre(32, mp.mp.dps)
    while low < end:
        high = min(high, end)
        half = (high - low) / 2
        part = half * mp.fsum(w * function(low + half * (1 + x)) for x, w in rule)
        total += part
        if part < mp.eps * total:
            break
        low, high = high, 2 * high
    return total


@cache
def _legendre(count: int, digits: int) -> list[tuple[Any, Any]]:
    """Nodes and weights of Gauss and Legendre."""
    rule = []
    with mp.workdps(digits + 10):
        for start in np.polynomial.legendre.leggauss(count)[0]:
            x = mp.mpf(start)
            for _ in range(7):
                slope = count * (x * mp.legendre(count, x) - mp.legendre(count - 1, x)) / (x * x - 1)
                x -= mp.legendre(count, x) / slope
            rule.append((x, 2 / ((1 - x * x) * slope**2)))
    return rule


def divergence_integral(log_p: Callable[[Any], Any], log_q: Callable[[Any], Any], centre: Any, scale: Any) -> Any:
    """∫ p (w + e^−w − 1) over the line with w = log p/q, which is ∫ p log p/q: of which every term is at least 0.

    By the trapezoidal rule after x = centre + scale·sinh(sinh u), and the same with half the nodes as a check.
    """

    def sums(step: Any, first: Any, count: int) -> Any:
        total = mp.mpf(0)
        for i in range(count):
            u = first + i * step
            inner = mp.sinh(u)
            x = centre + scale * mp.sinh(inner)
            here = log_p(x)
            w = here - log_q(x)
            total += mp.exp(here) * (w + mp.expm1(-w)) * scale * mp.cosh(inner) * mp.cosh(u)
        return total * step

    reach, step = mp.mpf("5.4"), mp.mpf("0.03")
    count = int(2 * reach / step) + 1
    coarse = sums(2 * step, -reach, (count + 1) // 2)
    fine = (coarse + sums(2 * step, -reach + step, count // 2)) / 2
    if abs(fine - coarse) > mp.mpf(10) ** -9 * abs(fine):
        raise ValueError("the integral of the divergence has not settled")
    return fine
