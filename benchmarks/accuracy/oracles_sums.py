"""Counts whose tails, entropies or normalisers are sums. Source: Johnson, Kemp & Kotz (2005)."""

from functools import lru_cache
from typing import Any

import mpmath as mp
import numpy as np

from benchmarks.accuracy.grids import Columns, beyond, log_uniform, near, scores, signed
from benchmarks.accuracy.oracle import Oracle
from benchmarks.accuracy.oracles_counts import counts, whole
from benchmarks.accuracy.oracles_positive import log_tail_pair
from benchmarks.accuracy.special import log_beta, softplus

__all__ = ["ORACLES"]

# BetaBinomial.


def urn_settings(u: Columns) -> tuple[np.ndarray, ...]:
    return log_uniform(u(), 1e-3, 1e6), log_uniform(u(), 1e-3, 1e6), np.floor(log_uniform(u(), 1.0, 5e2))


def urn_points(u: Columns, a: np.ndarray, b: np.ndarray, n: np.ndarray) -> np.ndarray:
    near_mean = n * a / (a + b) + scores(u()) * np.sqrt(n * a * b / (a + b) ** 2 * (a + b + n) / (a + b + 1))
    return beyond(whole(np.where(u() < 0.7, near_mean, n * u()), 0.0, n), n + 1)


def urn_mass(x: Any, a: Any, b: Any, n: Any) -> Any:
    if not 0 <= x <= n:
        return -mp.inf
    ways = mp.loggamma(n + 1) - mp.loggamma(x + 1) - mp.loggamma(n - x + 1)
    return ways + log_beta(a + x, b + n - x) - log_beta(a, b)


@lru_cache(maxsize=100)
def urn_masses(a: Any, b: Any, n: Any, bits: int) -> list[Any]:
    """All masses to so many bits, by their ratios."""
    masses = [mp.exp(urn_mass(mp.mpf(0), a, b, n))]
    for k in range(int(n)):
        masses.append(masses[-1] * ((n - k) * (a + k)) / ((k + 1) * (b + n - k - 1)))
    return masses


def urn_tails(x: Any, a: Any, b: Any, n: Any) -> tuple[Any, Any]:
    masses, x = urn_masses(a, b, n, mp.mp.prec), int(x)
    return log_tail_pair(mp.fsum(masses[: x + 1]), mp.fsum(masses[x + 1 :]))


def urn_entropy(a: Any, b: Any, n: Any) -> Any:
    return -mp.fsum(m * mp.log(m) for m in urn_masses(a, b, n, mp.mp.prec))


def urn_divergence(a: Any, b: Any, n: Any, c: Any, d: Any, _: Any) -> Any:
    pairs = zip(urn_masses(a, b, n, mp.mp.prec), urn_masses(c, d, n, mp.mp.prec))
    return mp.fsum(p * mp.log(p / q) for p, q in pairs)


BETA_BINOMIAL = Oracle(
    settings=urn_settings,
    points=urn_points,
    log_density=urn_mass,
    log_tails=urn_tails,
    entropy=urn_entropy,
    kl=urn_divergence,
    narrower=lambda u: (
        log_uniform(u(), 1e-2, 1e5),
        log_uniform(u(), 1e-2, 1e5),
        np.floor(log_uniform(u(), 1.0, 5e2)),
    ),
    others=lambda u, a, b, n: (near(a, u()), near(b, u()), n),
    exact=("total_count",),
    support=lambda a, b, n: (0.0, n),
    numpyro=lambda dist, a, b, n: dist.BetaBinomial(a, b, n),
    scipy=lambda st, a, b, n: st.betabinom(n, a, b),
    fewer={"entropy": 16, "kl": 10, "cdf": 20, "log_cdf": 20, "log_sf": 20, "icdf": 12},
)

# BetaNegativeBinomial. Its entropy and divergences are sums of too many terms.


def wait_settings(u: Columns) -> tuple[np.ndarray, ...]:
    return log_uniform(u(), 1e-1, 1e5), log_uniform(u(), 1e-2, 1e4), log_uniform(u(), 1e-2, 1e3)


def wait_points(u: Columns, a: np.ndarray, b: np.ndarray, r: np.ndarray) -> np.ndarray:
    ordinary = r * b / a * 10.0 ** (2.0 * u() - 1.0)
    return beyond(np.minimum(whole(np.where(u() < 0.7, ordinary, log_uniform(u(), 1.0, 3e3))), 1e4), -1.0)


def wait_mass(x: Any, a: Any, b: Any, r: Any) -> Any:
    if x < 0:
        return -mp.inf
    ways = mp.loggamma(r + x) - mp.loggamma(r) - mp.loggamma(x + 1)
    return ways + log_beta(a + r, b + x) - log_beta(a, b)


def wait_tails(x: Any, a: Any, b: Any, r: Any) -> tuple[Any, Any]:
    """The upper one is what the lower one lacks to 1: with 120 digits more, as it may be small."""
    if x > 30_000:
        raise ValueError("too many terms")
    with mp.extradps(120):
        mass = mp.exp(wait_mass(mp.mpf(0), a, b, r))
        total = mass
        for k in range(int(x)):
            mass = mass * ((r + k) * (b + k)) / ((k + 1) * (a + r + b + k))
            total += mass
        tails = log_tail_pair(total, 1 - total)
    return +tails[0], +tails[1]


BETA_NEGATIVE_BINOMIAL = Oracle(
    settings=wait_settings,
    points=wait_points,
    log_density=wait_mass,
    log_tails=wait_tails,
    support=counts,
    scipy=lambda st, a, b, r: st.betanbinom(r, a, b),
)

# Logarithmic.


def series_points(u: Columns, logits: np.ndarray) -> np.ndarray:
    return beyond(1.0 + whole(log_uniform(u(), 0.3, 60.0) * np.exp(np.maximum(logits, 0.0) * u())), 0.0)


def series_mass(x: Any, logits: Any) -> Any:
    return -x * softplus(-logits) - mp.log(x) - mp.log(softplus(logits)) if x >= 1 else -mp.inf


def series_tails(x: Any, logits: Any) -> tuple[Any, Any]:
    """P(X > x) is p^(x + 1)/(x + 1) F(1, x + 1; x + 2; p)/(−log(1 − p)), with Gauss's F."""
    p, total = 1 / (1 + mp.exp(-logits)), softplus(logits)
    upper = p ** (x + 1) / (x + 1) * mp.hyp2f1(1, x + 1, x + 2, p) / total
    return log_tail_pair(1 - upper, upper)


def series_mean(logits: Any) -> Any:
    return mp.exp(logits) / softplus(logits)


def series_entropy(logits: Any) -> Any:
    """E log X is −∂/∂s Li_s(p) at 1, over −log(1 − p)."""
    p, total = 1 / (1 + mp.exp(-logits)), softplus(logits)
    with mp.extradps(30):
        h = mp.mpf(10) ** (-mp.mp.dps // 3)
        mean_log = (mp.polylog(1 - h, p) - mp.polylog(1 + h, p)) / (2 * h) / total
    return mean_log + series_mean(logits) * softplus(-logits) + mp.log(total)


LOGARITHMIC = Oracle(
    settings=lambda u: (signed(u(), 1e-2, 14.0),),
    points=series_points,
    log_density=series_mass,
    log_tails=series_tails,
    entropy=series_entropy,
    kl=lambda p, q: series_mean(p) * (softplus(-q) - softplus(-p)) - mp.log(softplus(p)) + mp.log(softplus(q)),
    log_normalizer=lambda logits: mp.log(softplus(logits)),
    expectation=lambda logits: (series_mean(logits),),
    others=lambda u, logits: (np.clip(near(logits, u()), -60.0, 60.0),),
    support=lambda logits: (1.0, np.inf),
    scipy=lambda st, logits: st.logser(1 / (1 + np.exp(-logits))),
    fewer={"entropy": 12},
)

# Zeta.


def hurwitz(s: Any, a: Any) -> Any:
    """ζ(s, a); of large a by Euler's and Maclaurin's series, of which ten terms are enough for sixty digits."""
    if a < 10_000:
        return mp.zeta(s, a)
    terms = (mp.bernoulli(2 * k) / mp.factorial(2 * k) * mp.rf(s, 2 * k - 1) * a ** (1 - 2 * k) for k in range(1, 11))
    return a**-s * (a / (s - 1) + mp.mpf(1) / 2 + mp.fsum(terms))


def zeta_tails(x: Any, s: Any) -> tuple[Any, Any]:
    upper = hurwitz(s, x + 1) / mp.zeta(s)
    return log_tail_pair(1 - upper, upper)


def zeta_mean_log(s: Any) -> Any:
    return -mp.zeta(s, 1, 1) / mp.zeta(s)


ZETA = Oracle(
    settings=lambda u: (1 + log_uniform(u(), 1e-4, 60.0),),
    points=lambda u, s: beyond(whole(log_uniform(u(), 1.0, 1e6), 1.0), 0.0),
    log_density=lambda x, s: -s * mp.log(x) - mp.log(mp.zeta(s)) if x >= 1 else -mp.inf,
    log_tails=zeta_tails,
    entropy=lambda s: s * zeta_mean_log(s) + mp.log(mp.zeta(s)),
    kl=lambda s, t: (t - s) * zeta_mean_log(s) + mp.log(mp.zeta(t)) - mp.log(mp.zeta(s)),
    log_normalizer=lambda s: mp.log(mp.zeta(s)),
    expectation=lambda s: (zeta_mean_log(s),),
    others=lambda u, s: (1 + near(s - 1, u()),),
    support=lambda s: (1.0, np.inf),
    # Not beside SciPy, whose entropies and quantiles near exponent 1 are sums that do not end.
)

# ConwayMaxwellPoisson: sums of terms exp(k log λ − ν log k!) from the mode outwards.


@lru_cache(maxsize=100_000)
def log_factorial(k: int, bits: int) -> Any:
    return mp.loggamma(k + 1)


@lru_cache(maxsize=200)
def ratios(log_rate: Any, nu: Any, bits: int) -> tuple[int, Any, list[Any]]:
    """The first number that counts, the logarithm of the greatest term, and all terms over it, to so many bits."""
    mode = int(mp.floor(mp.exp(log_rate / nu)))
    top = mode * log_rate - nu * log_factorial(mode, bits)

    def outwards(numbers: Any) -> list[Any]:
        terms = []
        for k in numbers:
            terms.append(mp.exp(k * log_rate - nu * log_factorial(k, bits) - top))
            if terms[-1] < mp.ldexp(1, -bits - 20):
                break
        return terms

    below, above = outwards(range(mode - 1, -1, -1)), outwards(range(mode + 1, 10**6))
    return mode - len(below), top, [*below[::-1], mp.mpf(1), *above]


def of_ratios(log_rate: Any, nu: Any) -> tuple[Any, Any, Any]:
    """log Z, E X and E log X!."""
    bits = mp.mp.prec
    first, top, terms = ratios(log_rate, nu, bits)
    total = mp.fsum(terms)
    mean = mp.fsum((first + i) * t for i, t in enumerate(terms)) / total
    mean_log = mp.fsum(log_factorial(first + i, bits) * t for i, t in enumerate(terms)) / total
    return top + mp.log(total), mean, mean_log


def ratio_settings(u: Columns) -> tuple[np.ndarray, np.ndarray]:
    mode, nu = log_uniform(u(), 1e-2, 300.0), log_uniform(u(), 0.1, 20.0)
    return nu * np.log(mode), nu


def ratio_points(u: Columns, log_rate: np.ndarray, nu: np.ndarray) -> np.ndarray:
    mode = np.exp(log_rate / nu)
    return beyond(whole(mode + np.clip(scores(u(), 12.0), -12.0, 12.0) * np.sqrt((mode + 1) / nu)), -1.0)


def ratio_mass(x: Any, log_rate: Any, nu: Any) -> Any:
    return x * log_rate - nu * mp.loggamma(x + 1) - of_ratios(log_rate, nu)[0] if x >= 0 else -mp.inf


def ratio_tails(x: Any, log_rate: Any, nu: Any) -> tuple[Any, Any]:
    first, _, terms = ratios(log_rate, nu, mp.mp.prec)
    split = int(x) + 1 - first
    if not 0 < split < len(terms) - 1:
        raise ValueError("beyond the terms that count")
    lower, upper = mp.fsum(terms[:split]), mp.fsum(terms[split:])
    return log_tail_pair(lower / (lower + upper), upper / (lower + upper))


def ratio_divergence(log_rate: Any, nu: Any, other: Any, mu: Any) -> Any:
    level, mean, mean_log = of_ratios(log_rate, nu)
    return mean * (log_rate - other) - mean_log * (nu - mu) - level + of_ratios(other, mu)[0]


def ratio_entropy(log_rate: Any, nu: Any) -> Any:
    level, mean, mean_log = of_ratios(log_rate, nu)
    return level - mean * log_rate + nu * mean_log


CONWAY_MAXWELL_POISSON = Oracle(
    settings=ratio_settings,
    points=ratio_points,
    log_density=ratio_mass,
    log_tails=ratio_tails,
    entropy=ratio_entropy,
    kl=ratio_divergence,
    log_normalizer=lambda log_rate, nu: of_ratios(log_rate, nu)[0],
    expectation=lambda log_rate, nu: of_ratios(log_rate, nu)[1:],
    others=lambda u, log_rate, nu: (log_rate + 0.2 * signed(u(), 1e-3, 1.0), nu * (1 + 0.2 * signed(u(), 1e-3, 1.0))),
    support=counts,
    fewer={
        **dict.fromkeys(
            ("log_prob", "d/d log_rate", "d/d dispersion", "kl", "entropy", "cdf", "log_cdf", "log_sf"), 16
        ),
        **dict.fromkeys(("log_normalizer", "expectation"), 16),
        "from_expectation": 6,
        "icdf": 12,
    },
)

ORACLES = {
    "BetaBinomial": BETA_BINOMIAL,
    "BetaNegativeBinomial": BETA_NEGATIVE_BINOMIAL,
    "ConwayMaxwellPoisson": CONWAY_MAXWELL_POISSON,
    "Logarithmic": LOGARITHMIC,
    "Zeta": ZETA,
}
