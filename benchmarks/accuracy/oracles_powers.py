"""Families with tails of powers. Source: Johnson, Kotz & Balakrishnan (1994, 1995); divergences by partial integration."""

from typing import Any

import mpmath as mp
import numpy as np

from benchmarks.accuracy.grids import Columns, beyond, log_uniform, near, scores, signed
from benchmarks.accuracy.oracle import Oracle
from benchmarks.accuracy.oracles_positive import clipped, positive_reals
from benchmarks.accuracy.special import beta_tails, divergence_integral, log_beta, softplus

__all__ = ["ORACLES", "lomax_divergence"]


def part_near(value: np.ndarray, u: np.ndarray, same: np.ndarray) -> np.ndarray:
    """Values moved, but for a third, which agree."""
    return np.where(same < 1 / 3, value, near(value, u))


# Pareto.


def least_and_exponent(u: Columns) -> tuple[np.ndarray, np.ndarray]:
    return log_uniform(u(), 1e-6, 1e6), log_uniform(u(), 1e-3, 1e5)


def pareto_points(u: Columns, s: np.ndarray, a: np.ndarray) -> np.ndarray:
    return beyond(s * clipped(log_uniform(u(), 1e-4, 2e2) / a), s / 2)


def pareto_tails(x: Any, s: Any, a: Any) -> tuple[Any, Any]:
    upper = -a * mp.log(x / s)
    return mp.log(-mp.expm1(upper)), upper


def pareto_divergence(s: Any, a: Any, t: Any, b: Any) -> Any:
    return mp.log(a / b) + b / a - 1 + b * mp.log(s / t) if t <= s else mp.inf


def pareto_others(u: Columns, s: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return beyond(s * (1 - np.where(u() < 0.3, 0.0, log_uniform(u(), 1e-4, 0.9))), 2 * s), near(a, u())


PARETO = Oracle(
    settings=least_and_exponent,
    points=pareto_points,
    log_density=lambda x, s, a: mp.log(a / x) - a * mp.log(x / s) if x >= s else -mp.inf,
    log_tails=pareto_tails,
    entropy=lambda s, a: mp.log(s / a) + 1 / a + 1,
    kl=pareto_divergence,
    log_normalizer=lambda s, a: -mp.log(a),
    expectation=lambda s, a: (1 / a,),
    from_expectation=lambda means, s: (s, 1 / means[0]),
    others=pareto_others,
    support=lambda s, a: (s, np.inf),
    numpyro=lambda dist, s, a: dist.Pareto(s, a),
    scipy=lambda st, s, a: st.pareto(a, scale=s),
)

# Lomax.


def lomax_density(x: Any, c: Any, s: Any) -> Any:
    return mp.log(c / s) - (c + 1) * mp.log1p(x / s) if x >= 0 else -mp.inf


def lomax_tails(x: Any, c: Any, s: Any) -> tuple[Any, Any]:
    upper = -c * mp.log1p(x / s)
    return mp.log(-mp.expm1(upper)), upper


def lomax_divergence(c: Any, s: Any, d: Any, t: Any) -> Any:
    """E log(1 + X/t) is 1/c − (t/s − 1) F(1, c + 1; c + 2; 1 − t/s)/(c + 1), with Gauss's F."""
    w = t / s - 1
    mean_log = 1 / c - w / (c + 1) * mp.hyp2f1(1, c + 1, c + 2, -w)
    return mp.log(c / d) + mp.log(t / s) - (c + 1) / c + (d + 1) * mean_log


def lomax_settings(u: Columns) -> tuple[np.ndarray, np.ndarray]:
    return log_uniform(u(), 1e-3, 1e7), log_uniform(u(), 1e-6, 1e6)


def lomax_points(u: Columns, c: np.ndarray, s: np.ndarray) -> np.ndarray:
    return beyond(s * np.expm1(np.minimum(log_uniform(u(), 1e-6, 2e2) / c, 70.0)), -1.0)


LOMAX = Oracle(
    settings=lomax_settings,
    points=lomax_points,
    log_density=lomax_density,
    log_tails=lomax_tails,
    entropy=lambda c, s: mp.log(s / c) + 1 / c + 1,
    kl=lomax_divergence,
    narrower=lambda u: (log_uniform(u(), 1e-2, 1e4), log_uniform(u(), 1e-6, 1e6)),
    others=lambda u, c, s: (near(c, u()), part_near(s, u(), u())),
    support=positive_reals,
    scipy=lambda st, c, s: st.lomax(c, scale=s),
)

# LogLomax: that of log(x/scale).


def log_lomax_settings(u: Columns) -> tuple[np.ndarray, ...]:
    return log_uniform(u(), 1e-6, 1e6), log_uniform(u(), 1e-2, 1e5), log_uniform(u(), 1e-3, 1e4)


def log_lomax_points(u: Columns, s: np.ndarray, c: np.ndarray, r: np.ndarray) -> np.ndarray:
    return beyond(s * clipped(r * np.expm1(np.minimum(log_uniform(u(), 1e-4, 2e2) / c, 70.0))), s / 2)


def log_lomax_divergence(s: Any, c: Any, r: Any, t: Any, d: Any, q: Any) -> Any:
    if t > s:
        return mp.inf
    shift = mp.log(s / t)
    return lomax_divergence(c, r, d, q + shift) + d * mp.log1p(shift / q)


LOG_LOMAX = Oracle(
    settings=log_lomax_settings,
    points=log_lomax_points,
    log_density=lambda x, s, c, r: lomax_density(mp.log(x / s), c, r) - mp.log(x) if x >= s else -mp.inf,
    log_tails=lambda x, s, c, r: lomax_tails(mp.log(x / s), c, r),
    entropy=lambda s, c, r: mp.log(r / c) + 1 / c + 1 + mp.log(s) + r / (c - 1) if c > 1 else mp.inf,
    kl=log_lomax_divergence,
    others=lambda u, s, c, r: (pareto_others(u, s, c)[0], near(c, u()), part_near(r, u(), u())),
    support=lambda s, c, r: (s, np.inf),
)

# DoubleLomax.


def double_lomax_settings(u: Columns) -> tuple[np.ndarray, ...]:
    return signed(u(), 1e-4, 1e6), log_uniform(u(), 1e-2, 1e6), log_uniform(u(), 1e-4, 1e6)


def double_lomax_points(u: Columns, m: np.ndarray, c: np.ndarray, s: np.ndarray) -> np.ndarray:
    side = np.where(u() < 0.5, -1.0, 1.0)
    return m + side * s * np.expm1(np.minimum(log_uniform(u(), 1e-4, 2e2) / c, 60.0))


def double_lomax_tails(x: Any, m: Any, c: Any, s: Any) -> tuple[Any, Any]:
    smaller = lomax_tails(abs(x - m), c, s)[1] - mp.log(2)
    tails = smaller, mp.log1p(-mp.exp(smaller))
    return tails if x < m else tails[::-1]


def double_lomax_divergence(m: Any, c: Any, s: Any, n: Any, d: Any, t: Any) -> Any:
    """Outside of both locs, Lomax seen from the far one; between them an integral, in y = s (e^w − 1)."""
    g = abs(m - n)
    here = lomax_divergence(c, s, d, t + g) + d * mp.log1p(g / t)
    if g == 0:
        return here
    kept = (1 + g / s) ** -c
    there = kept * (lomax_divergence(c, s + g, d, t) - c * mp.log1p(g / s))
    far = mp.log1p(g / s)

    def own(w: Any) -> Any:
        return c * mp.exp(-c * w) * (mp.log(c / s) - (c + 1) * w)

    def others(w: Any) -> Any:
        return c * mp.exp(-c * w) * (mp.log(d / t) - (d + 1) * mp.log1p((g - s * mp.expm1(w)) / t))

    panels = [mp.mpf(0), *(far * mp.mpf(share) for share in ("0.001", "0.03", "0.3", "0.9", "0.999")), far]
    return (here + there + mp.quad(lambda w: own(w) - others(w), panels)) / 2


DOUBLE_LOMAX = Oracle(
    settings=double_lomax_settings,
    points=double_lomax_points,
    log_density=lambda x, m, c, s: lomax_density(abs(x - m), c, s) - mp.log(2),
    log_tails=double_lomax_tails,
    entropy=lambda m, c, s: mp.log(2 * s / c) + 1 / c + 1,
    kl=double_lomax_divergence,
    narrower=lambda u: (signed(u(), 1e-2, 1e3), log_uniform(u(), 0.1, 1e2), log_uniform(u(), 1e-2, 1e3)),
    others=lambda u, m, c, s: (m + s * signed(u(), 1e-3, 1e1), near(c, u()), near(s, u())),
    fewer={"kl": 6},
)

# UniformPareto.


def level_and_tail(u: Columns) -> tuple[np.ndarray, ...]:
    return signed(u(), 1e-4, 1e5), log_uniform(u(), 1e-3, 1e6), log_uniform(u(), 1e-2, 1e5)


def level_and_tail_points(u: Columns, low: np.ndarray, s: np.ndarray, a: np.ndarray) -> np.ndarray:
    inside, tail = log_uniform(u(), 1e-4, 1.0), clipped(log_uniform(u(), 1e-3, 2e2) / a)
    return beyond(low + s * np.where(u() < 0.4, inside, tail), low - s - 0.1 * np.abs(low))


def level_and_tail_density(x: Any, low: Any, s: Any, a: Any) -> Any:
    if x < low:
        return -mp.inf
    return mp.log(a / ((a + 1) * s)) - (a + 1) * mp.log(max(1, (x - low) / s))


def level_and_tail_tails(x: Any, low: Any, s: Any, a: Any) -> tuple[Any, Any]:
    step = (x - low) / s
    if step <= 1:
        share = step * a / (a + 1)
        return mp.log(share), mp.log1p(-share)
    upper = -a * mp.log(step) - mp.log1p(a)
    return mp.log1p(-mp.exp(upper)), upper


def level_and_tail_divergence(low: Any, s: Any, a: Any, other: Any, t: Any, b: Any) -> Any:
    """E log max(1, (U + g)/t) is its value at U = 0 and ∫ P(U > u)/(u + g) du from where it rises."""
    g = low - other
    if g < 0:
        return mp.inf
    start, rate = max(mp.mpf(0), t - g), a / ((a + 1) * s)
    rise = mp.log(max(1, g / t))
    if start < s:
        rise += (1 + rate * g) * mp.log((s + g) / (start + g)) - rate * (s - start)
    v = max(s, start)
    rise += (s / v) ** a / (a * (a + 1)) * mp.hyp2f1(1, a, a + 1, -g / v)
    entropy = mp.log(s) + mp.log1p(1 / a) + 1 / a
    return -entropy - mp.log(b / ((b + 1) * t)) + (b + 1) * rise


def level_and_tail_others(u: Columns, low: np.ndarray, s: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, ...]:
    same, gap = u() < 0.4, s * log_uniform(u(), 1e-3, 10.0)
    return beyond(low - np.where(same, 0.0, gap), low + s), near(s, u()), near(a, u())


UNIFORM_PARETO = Oracle(
    settings=level_and_tail,
    points=level_and_tail_points,
    log_density=level_and_tail_density,
    log_tails=level_and_tail_tails,
    entropy=lambda low, s, a: mp.log(s) + mp.log1p(1 / a) + 1 / a,
    kl=level_and_tail_divergence,
    narrower=lambda u: (signed(u(), 1e-2, 1e3), log_uniform(u(), 1e-2, 1e3), log_uniform(u(), 0.1, 1e3)),
    others=level_and_tail_others,
    support=lambda low, s, a: (low, np.inf),
)

# GeneralizedBetaPrime.


def beta_prime_settings(u: Columns) -> tuple[np.ndarray, ...]:
    shapes = log_uniform(u(), 1e-3, 1e6), log_uniform(u(), 1e-3, 1e6)
    return *shapes, log_uniform(u(), 1e-2, 1e2), log_uniform(u(), 1e-4, 1e4)


def beta_prime_points(u: Columns, a: np.ndarray, b: np.ndarray, p: np.ndarray, s: np.ndarray) -> np.ndarray:
    odds = np.log(a / b) + scores(u()) * np.sqrt(np.minimum(1 / a + 1 / b, 4.0))
    return beyond(s * clipped(odds / p), -1.0)


def odds_density(y: Any, a: Any, b: Any) -> Any:
    return -a * softplus(-y) - b * softplus(y) - log_beta(a, b)


def beta_prime_density(x: Any, a: Any, b: Any, p: Any, s: Any) -> Any:
    return odds_density(p * mp.log(x / s), a, b) + mp.log(p / x) if x > 0 else -mp.inf


def beta_prime_tails(x: Any, a: Any, b: Any, p: Any, s: Any) -> tuple[Any, Any]:
    odds = (x / s) ** p
    return beta_tails(a, b, odds / (1 + odds), 1 / (1 + odds))


def beta_prime_entropy(a: Any, b: Any, p: Any, s: Any) -> Any:
    both = mp.digamma(a + b)
    inner = a * (both - mp.digamma(a)) + b * (both - mp.digamma(b)) + log_beta(a, b)
    return inner - mp.log(p) + mp.log(s) + (mp.digamma(a) - mp.digamma(b)) / p


def beta_prime_divergence(a: Any, b: Any, p: Any, s: Any, c: Any, d: Any, q: Any, t: Any) -> Any:
    """Of the log-odds y of p, of which those of q are a line."""
    slope, start = q / p, q * mp.log(s / t)
    level, other = log_beta(a, b), log_beta(c, d) - mp.log(slope)

    def log_p(y: Any) -> Any:
        return -a * softplus(-y) - b * softplus(y) - level

    def log_q(y: Any) -> Any:
        z = start + slope * y
        return -c * softplus(-z) - d * softplus(z) - other

    return divergence_integral(log_p, log_q, mp.log(a / b), min(mp.sqrt(1 / a + 1 / b), mp.mpf(2)))


GENERALIZED_BETA_PRIME = Oracle(
    settings=beta_prime_settings,
    points=beta_prime_points,
    log_density=beta_prime_density,
    log_tails=beta_prime_tails,
    entropy=beta_prime_entropy,
    kl=beta_prime_divergence,
    narrower=lambda u: (
        *(log_uniform(u(), 0.1, 1e3), log_uniform(u(), 0.1, 1e3)),
        *(log_uniform(u(), 1e-1, 1e1), log_uniform(u(), 1e-2, 1e2)),
    ),
    others=lambda u, a, b, p, s: (
        *(a * (1 + 0.5 * (u() - 0.5)), b * (1 + 0.5 * (u() - 0.5))),
        *(part_near(p, 0.5 * u(), u()), part_near(s, 0.5 * u(), u())),
    ),
    support=positive_reals,
    fewer={"kl": 6, "cdf": 20, "log_cdf": 20, "log_sf": 20, "icdf": 10},
)

ORACLES = {
    "Pareto": PARETO,
    "Lomax": LOMAX,
    "GeneralizedBetaPrime": GENERALIZED_BETA_PRIME,
    "UniformPareto": UNIFORM_PARETO,
    "LogLomax": LOG_LOMAX,
    "DoubleLomax": DOUBLE_LOMAX,
}
