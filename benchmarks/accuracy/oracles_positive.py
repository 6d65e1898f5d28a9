"""Families of positive numbers, and Beta. Source: Johnson, Kotz & Balakrishnan (1994, 1995)."""

from typing import Any

import mpmath as mp
import numpy as np

from benchmarks.accuracy.grids import Columns, beyond, log_uniform, near, scores, signed
from benchmarks.accuracy.oracle import Oracle
from benchmarks.accuracy.oracles_real import normal_of_means
from benchmarks.accuracy.special import beta_tails, gamma_tails, log_beta, log_normal_cdf

__all__ = ["ORACLES", "clipped", "log_tail_pair", "positive_reals"]

positive_reals = lambda *theta: (0.0, np.inf)  # noqa: E731


def clipped(log_x: np.ndarray) -> np.ndarray:
    """e^log_x, kept inside the range of float32."""
    return np.exp(np.clip(log_x, -80.0, 80.0))


def log_tail_pair(lower: Any, upper: Any) -> tuple[Any, Any]:
    """Both logarithms from both tails: that of the larger one from what it lacks to 1."""
    return (mp.log(lower), mp.log1p(-lower)) if lower < upper else (mp.log1p(-upper), mp.log(upper))


# Exponential.

EXPONENTIAL = Oracle(
    settings=lambda u: (log_uniform(u(), 1e-10, 1e10),),
    points=lambda u, r: beyond(log_uniform(u(), 1e-8, 1e2) / r, -1.0),
    log_density=lambda x, r: mp.log(r) - r * x if x >= 0 else -mp.inf,
    log_tails=lambda x, r: (mp.log(-mp.expm1(-r * x)), -r * x),
    entropy=lambda r: 1 - mp.log(r),
    kl=lambda r, q: mp.log(r / q) + q / r - 1,
    log_normalizer=lambda r: -mp.log(r),
    expectation=lambda r: (1 / r,),
    from_expectation=lambda means: (1 / means[0],),
    support=positive_reals,
    numpyro=lambda dist, r: dist.Exponential(r),
    scipy=lambda st, r: st.expon(scale=1 / r),
)

# Gamma and InverseGamma.


def shape_rate(u: Columns) -> tuple[np.ndarray, np.ndarray]:
    return log_uniform(u(), 1e-4, 1e8), log_uniform(u(), 1e-6, 1e6)


def gamma_points(u: Columns, a: np.ndarray, r: np.ndarray) -> np.ndarray:
    return beyond(clipped(np.log(a / r) + scores(u()) / np.sqrt(a)), -1.0)


def gamma_density(x: Any, a: Any, r: Any) -> Any:
    return a * mp.log(r) + (a - 1) * mp.log(x) - r * x - mp.loggamma(a) if x > 0 else -mp.inf


def gamma_divergence(a: Any, r: Any, c: Any, s: Any) -> Any:
    return (a - c) * mp.digamma(a) - mp.loggamma(a) + mp.loggamma(c) + c * mp.log(r / s) + a * (s - r) / r


GAMMA = Oracle(
    settings=shape_rate,
    points=gamma_points,
    log_density=gamma_density,
    log_tails=lambda x, a, r: gamma_tails(a, r * x),
    entropy=lambda a, r: a - mp.log(r) + mp.loggamma(a) + (1 - a) * mp.digamma(a),
    kl=gamma_divergence,
    log_normalizer=lambda a, r: mp.loggamma(a) - a * mp.log(r),
    expectation=lambda a, r: (mp.digamma(a) - mp.log(r), a / r),
    support=positive_reals,
    numpyro=lambda dist, a, r: dist.Gamma(a, r),
    scipy=lambda st, a, r: st.gamma(a, scale=1 / r),
    fewer={"icdf": 16},
)

INVERSE_GAMMA = Oracle(
    settings=shape_rate,
    points=lambda u, a, r: beyond(clipped(np.log(r / a) - scores(u()) / np.sqrt(a)), -1.0),
    log_density=lambda x, a, r: gamma_density(1 / x, a, r) - 2 * mp.log(x) if x > 0 else -mp.inf,
    log_tails=lambda x, a, r: gamma_tails(a, r / x)[::-1],
    entropy=lambda a, r: a + mp.log(r) + mp.loggamma(a) - (1 + a) * mp.digamma(a),
    kl=gamma_divergence,
    log_normalizer=lambda a, r: mp.loggamma(a) - a * mp.log(r),
    expectation=lambda a, r: (mp.log(r) - mp.digamma(a), a / r),
    support=positive_reals,
    numpyro=lambda dist, a, r: dist.InverseGamma(a, r),
    scipy=lambda st, a, r: st.invgamma(a, scale=r),
    fewer={"icdf": 16},
)

# LogNormal: the Normal of log x.


def log_normal_points(u: Columns, m: np.ndarray, s: np.ndarray) -> np.ndarray:
    return beyond(clipped(m + s * scores(u())), -1.0)


def log_normal_density(x: Any, m: Any, s: Any) -> Any:
    return -(((mp.log(x) - m) / s) ** 2) / 2 - mp.log(x * s) - mp.log(2 * mp.pi) / 2 if x > 0 else -mp.inf


LOG_NORMAL = Oracle(
    settings=lambda u: (signed(u(), 1e-3, 40.0), log_uniform(u(), 1e-4, 20.0)),
    points=log_normal_points,
    log_density=log_normal_density,
    log_tails=lambda x, m, s: (log_normal_cdf((mp.log(x) - m) / s), log_normal_cdf((m - mp.log(x)) / s)),
    entropy=lambda m, s: m + mp.log(2 * mp.pi * mp.e * s * s) / 2,
    kl=lambda m, s, n, t: mp.log(t / s) + (s * s + (m - n) ** 2) / (2 * t * t) - mp.mpf(1) / 2,
    log_normalizer=lambda m, s: m * m / (2 * s * s) + mp.log(s) + mp.log(2 * mp.pi) / 2,
    expectation=lambda m, s: (m, m * m + s * s),
    from_expectation=normal_of_means,
    others=lambda u, m, s: (m + s * signed(u(), 1e-5, 1e2), near(s, u())),
    support=positive_reals,
    numpyro=lambda dist, m, s: dist.LogNormal(m, s),
    scipy=lambda st, m, s: st.lognorm(s, scale=np.exp(m)),
)

# Weibull.


def weibull_points(u: Columns, s: np.ndarray, k: np.ndarray) -> np.ndarray:
    return beyond(clipped(np.log(s) + np.minimum(scores(u()), 5.0) / k), -1.0)


def weibull_density(x: Any, s: Any, k: Any) -> Any:
    return mp.log(k / s) + (k - 1) * mp.log(x / s) - (x / s) ** k if x > 0 else -mp.inf


def weibull_divergence(s: Any, k: Any, t: Any, h: Any) -> Any:
    """Bauckhage (2013, arXiv:1310.3713)."""
    levels = mp.log(k) - k * mp.log(s) - mp.log(h) + h * mp.log(t)
    return levels + (k - h) * (mp.log(s) - mp.euler / k) + (s / t) ** h * mp.gamma(h / k + 1) - 1


WEIBULL = Oracle(
    settings=lambda u: (log_uniform(u(), 1e-6, 1e6), log_uniform(u(), 1e-2, 1e4)),
    points=weibull_points,
    log_density=weibull_density,
    log_tails=lambda x, s, k: (mp.log(-mp.expm1(-((x / s) ** k))), -((x / s) ** k)),
    entropy=lambda s, k: mp.euler * (1 - 1 / k) + mp.log(s / k) + 1,
    kl=weibull_divergence,
    log_normalizer=lambda s, k: k * mp.log(s),
    expectation=lambda s, k: (s**k,),
    from_expectation=lambda means, k: (means[0] ** (1 / k), k),
    support=positive_reals,
    numpyro=lambda dist, s, k: dist.Weibull(s, k),
    scipy=lambda st, s, k: st.weibull_min(k, scale=s),
)

# InverseGaussian.


def inverse_gaussian_points(u: Columns, m: np.ndarray, lam: np.ndarray) -> np.ndarray:
    return beyond(clipped(np.log(m) + scores(u()) * np.sqrt(np.minimum(m / lam, 4.0))), -1.0)


def inverse_gaussian_density(x: Any, m: Any, lam: Any) -> Any:
    return mp.log(lam / (2 * mp.pi * x**3)) / 2 - lam * (x - m) ** 2 / (2 * m * m * x) if x > 0 else -mp.inf


def inverse_gaussian_tails(x: Any, m: Any, lam: Any) -> tuple[Any, Any]:
    root = mp.sqrt(lam / x / 2)
    rest = mp.exp(2 * lam / m) * mp.erfc(root * (x / m + 1))
    return log_tail_pair((mp.erfc(root * (1 - x / m)) + rest) / 2, (mp.erfc(root * (x / m - 1)) - rest) / 2)


def inverse_gaussian_entropy(m: Any, lam: Any) -> Any:
    z = 2 * lam / m
    return mp.log(2 * mp.pi * mp.e / lam) / 2 + 3 * (mp.log(m) - mp.exp(z) * mp.e1(z)) / 2


def inverse_gaussian_of_means(means: list[Any]) -> tuple[Any, Any]:
    mean, reciprocal = means
    if reciprocal * mean <= 1:
        raise ValueError("the mean of 1/x is above that of x inverted")
    return mean, 1 / (reciprocal - 1 / mean)


INVERSE_GAUSSIAN = Oracle(
    settings=lambda u: (log_uniform(u(), 1e-4, 1e6), log_uniform(u(), 1e-4, 1e6)),
    points=inverse_gaussian_points,
    log_density=inverse_gaussian_density,
    log_tails=inverse_gaussian_tails,
    entropy=inverse_gaussian_entropy,
    kl=lambda m, s, n, t: (t / s - 1 - mp.log(t / s)) / 2 + t * (m - n) ** 2 / (2 * n * n * m),
    log_normalizer=lambda m, s: -mp.log(s) / 2 - s / m,
    expectation=lambda m, s: (m, 1 / m + 1 / s),
    from_expectation=inverse_gaussian_of_means,
    support=positive_reals,
    scipy=lambda st, m, s: st.invgauss(m / s, scale=s),
)

# HalfNormal.


def half_normal_density(x: Any, s: Any) -> Any:
    return mp.log(2 / (mp.pi * s * s)) / 2 - x * x / (2 * s * s) if x >= 0 else -mp.inf


HALF_NORMAL = Oracle(
    settings=lambda u: (log_uniform(u(), 1e-10, 1e10),),
    points=lambda u, s: beyond(s * log_uniform(u(), 1e-8, 30.0), -1.0),
    log_density=half_normal_density,
    log_tails=lambda x, s: log_tail_pair(mp.erf(x / s / mp.sqrt(2)), mp.erfc(x / s / mp.sqrt(2))),
    entropy=lambda s: mp.log(mp.pi * s * s / 2) / 2 + mp.mpf(1) / 2,
    kl=lambda s, t: mp.log(t / s) + (s / t) ** 2 / 2 - mp.mpf(1) / 2,
    log_normalizer=lambda s: mp.log(mp.pi * s * s / 2) / 2,
    expectation=lambda s: (s * s,),
    from_expectation=lambda means: (mp.sqrt(means[0]),),
    support=positive_reals,
    numpyro=lambda dist, s: dist.HalfNormal(s),
    scipy=lambda st, s: st.halfnorm(scale=s),
)

# Beta.


def beta_points(u: Columns, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    logit = np.log(a / b) + scores(u()) * np.sqrt(1 / a + 1 / b)
    return beyond(1 / (1 + np.exp(-np.clip(logit, -60.0, 12.0))), 1.5)


def beta_density(x: Any, a: Any, b: Any) -> Any:
    return (a - 1) * mp.log(x) + (b - 1) * mp.log1p(-x) - log_beta(a, b) if 0 < x < 1 else -mp.inf


def beta_entropy(a: Any, b: Any) -> Any:
    ends = (a - 1) * mp.digamma(a) + (b - 1) * mp.digamma(b)
    return log_beta(a, b) - ends + (a + b - 2) * mp.digamma(a + b)


def beta_means(a: Any, b: Any) -> tuple[Any, Any]:
    return mp.digamma(a) - mp.digamma(a + b), mp.digamma(b) - mp.digamma(a + b)


def beta_divergence(a: Any, b: Any, c: Any, d: Any) -> Any:
    one, zero = beta_means(a, b)
    return log_beta(c, d) - log_beta(a, b) + (a - c) * one + (b - d) * zero


BETA = Oracle(
    settings=lambda u: (log_uniform(u(), 1e-3, 1e7), log_uniform(u(), 1e-3, 1e7)),
    points=beta_points,
    log_density=beta_density,
    log_tails=lambda x, a, b: beta_tails(a, b, x),
    entropy=beta_entropy,
    kl=beta_divergence,
    log_normalizer=log_beta,
    expectation=beta_means,
    support=lambda a, b: (0.0, 1.0),
    numpyro=lambda dist, a, b: dist.Beta(a, b),
    scipy=lambda st, a, b: st.beta(a, b),
    fewer={"icdf": 16, "from_expectation": 20},
)

ORACLES = {
    "Exponential": EXPONENTIAL,
    "Gamma": GAMMA,
    "InverseGamma": INVERSE_GAMMA,
    "LogNormal": LOG_NORMAL,
    "Weibull": WEIBULL,
    "InverseGaussian": INVERSE_GAUSSIAN,
    "HalfNormal": HALF_NORMAL,
    "Beta": BETA,
}
