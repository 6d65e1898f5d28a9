"""Lengths of normal vectors. Source: Johnson, Kotz & Balakrishnan (1994), chapter 18."""

from typing import Any

import mpmath as mp
import numpy as np

from benchmarks.accuracy.grids import Columns, beyond, log_uniform, scores
from benchmarks.accuracy.oracle import Oracle
from benchmarks.accuracy.oracles_positive import clipped, positive_reals
from benchmarks.accuracy.special import gamma_tails

__all__ = ["ORACLES"]

# Rayleigh and Maxwell: of two and three normals.


def wide_scale(u: Columns) -> tuple[np.ndarray]:
    return (log_uniform(u(), 1e-8, 1e8),)


def lengths(u: Columns, s: np.ndarray) -> np.ndarray:
    return beyond(s * log_uniform(u(), 1e-8, 30.0), -1.0)


def rayleigh_tails(x: Any, s: Any) -> tuple[Any, Any]:
    upper = -((x / s) ** 2) / 2
    return mp.log(-mp.expm1(upper)), upper


def scale_divergence(degrees: int) -> Any:
    return lambda s, t: degrees * (mp.log(t / s) + ((s / t) ** 2 - 1) / 2)


RAYLEIGH = Oracle(
    settings=wide_scale,
    points=lengths,
    log_density=lambda x, s: mp.log(x / s**2) - (x / s) ** 2 / 2 if x > 0 else -mp.inf,
    log_tails=rayleigh_tails,
    entropy=lambda s: 1 + mp.log(s * s / 2) / 2 + mp.euler / 2,
    kl=scale_divergence(2),
    log_normalizer=lambda s: 2 * mp.log(s),
    expectation=lambda s: (2 * s * s,),
    from_expectation=lambda means: (mp.sqrt(means[0] / 2),),
    support=positive_reals,
    numpyro=lambda dist, s: dist.Rayleigh(s),
    scipy=lambda st, s: st.rayleigh(scale=s),
)

MAXWELL = Oracle(
    settings=wide_scale,
    points=lengths,
    log_density=lambda x, s: (
        mp.log(2 / mp.pi) / 2 + 2 * mp.log(x) - 3 * mp.log(s) - (x / s) ** 2 / 2 if x > 0 else -mp.inf
    ),
    log_tails=lambda x, s: gamma_tails(mp.mpf(3) / 2, (x / s) ** 2 / 2),
    entropy=lambda s: mp.log(2 * mp.pi * s * s) / 2 + mp.euler - mp.mpf(1) / 2,
    kl=scale_divergence(3),
    log_normalizer=lambda s: 3 * mp.log(s) + mp.log(mp.pi / 2) / 2,
    expectation=lambda s: (3 * s * s,),
    from_expectation=lambda means: (mp.sqrt(means[0] / 3),),
    support=positive_reals,
    scipy=lambda st, s: st.maxwell(scale=s),
)

# Chi and ChiSquared.


def degrees(u: Columns) -> tuple[np.ndarray]:
    return (log_uniform(u(), 1e-3, 1e8),)


def chi_points(u: Columns, df: np.ndarray) -> np.ndarray:
    return beyond(clipped(np.log(df) / 2 + scores(u()) / np.sqrt(2 * df)), -1.0)


def chi_density(x: Any, df: Any) -> Any:
    if x <= 0:
        return -mp.inf
    return (df - 1) * mp.log(x) - x * x / 2 - (df / 2 - 1) * mp.log(2) - mp.loggamma(df / 2)


def degrees_divergence(k: Any, m: Any) -> Any:
    return (k - m) / 2 * mp.digamma(k / 2) - mp.loggamma(k / 2) + mp.loggamma(m / 2)


CHI = Oracle(
    settings=degrees,
    points=chi_points,
    log_density=chi_density,
    log_tails=lambda x, df: gamma_tails(df / 2, x * x / 2),
    entropy=lambda df: mp.loggamma(df / 2) + (df - mp.log(2) - (df - 1) * mp.digamma(df / 2)) / 2,
    kl=degrees_divergence,
    log_normalizer=lambda df: mp.loggamma(df / 2) + (df / 2 - 1) * mp.log(2),
    expectation=lambda df: ((mp.digamma(df / 2) + mp.log(2)) / 2,),
    support=positive_reals,
    scipy=lambda st, df: st.chi(df),
    fewer={"icdf": 12},
)


def chi_squared_points(u: Columns, df: np.ndarray) -> np.ndarray:
    return beyond(clipped(np.log(df) + scores(u()) * np.sqrt(2 / df)), -1.0)


def chi_squared_density(x: Any, df: Any) -> Any:
    if x <= 0:
        return -mp.inf
    return (df / 2 - 1) * mp.log(x) - x / 2 - df / 2 * mp.log(2) - mp.loggamma(df / 2)


CHI_SQUARED = Oracle(
    settings=degrees,
    points=chi_squared_points,
    log_density=chi_squared_density,
    log_tails=lambda x, df: gamma_tails(df / 2, x / 2),
    entropy=lambda df: df / 2 + mp.log(2) + mp.loggamma(df / 2) + (1 - df / 2) * mp.digamma(df / 2),
    kl=degrees_divergence,
    log_normalizer=lambda df: mp.loggamma(df / 2) + df / 2 * mp.log(2),
    expectation=lambda df: (mp.digamma(df / 2) + mp.log(2),),
    support=positive_reals,
    numpyro=lambda dist, df: dist.Chi2(df),
    scipy=lambda st, df: st.chi2(df),
    fewer={"icdf": 12},
)

ORACLES = {"Rayleigh": RAYLEIGH, "Maxwell": MAXWELL, "Chi": CHI, "ChiSquared": CHI_SQUARED}
