"""Families on the line. Source: Johnson, Kotz & Balakrishnan (1994, 1995); divergence of Cauchys: Chyzak & Nielsen (2019)."""

from functools import lru_cache
from typing import Any

import mpmath as mp
import numpy as np

from benchmarks.accuracy.grids import Columns, beyond, log_uniform, near, scores, signed
from benchmarks.accuracy.oracle import Oracle
from benchmarks.accuracy.special import beta_tails, divergence_integral, log_beta, log_normal_cdf

__all__ = ["ORACLES"]


def loc_scale(u: Columns) -> tuple[np.ndarray, np.ndarray]:
    return signed(u(), 1e-4, 1e6), log_uniform(u(), 1e-4, 1e6)


def around(most: float) -> Any:
    """Points within so many scales of loc."""
    return lambda u, loc, scale: loc + scale * scores(u(), most)


def moved(u: Columns, loc: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return loc + scale * signed(u(), 1e-5, 1e2), near(scale, u())


# Normal.


def normal_density(x: Any, m: Any, s: Any) -> Any:
    return -(((x - m) / s) ** 2) / 2 - mp.log(s) - mp.log(2 * mp.pi) / 2


def normal_of_means(means: list[Any]) -> tuple[Any, Any]:
    mean, square = means
    if square <= mean**2:
        raise ValueError("no variance")
    return mean, mp.sqrt(square - mean**2)


NORMAL = Oracle(
    settings=loc_scale,
    points=around(30.0),
    log_density=normal_density,
    log_tails=lambda x, m, s: (log_normal_cdf((x - m) / s), log_normal_cdf((m - x) / s)),
    entropy=lambda m, s: mp.log(2 * mp.pi * mp.e * s * s) / 2,
    kl=lambda m, s, n, t: mp.log(t / s) + (s * s + (m - n) ** 2) / (2 * t * t) - mp.mpf(1) / 2,
    log_normalizer=lambda m, s: m * m / (2 * s * s) + mp.log(s) + mp.log(2 * mp.pi) / 2,
    expectation=lambda m, s: (m, m * m + s * s),
    from_expectation=normal_of_means,
    others=moved,
    numpyro=lambda dist, m, s: dist.Normal(m, s),
    scipy=lambda st, m, s: st.norm(m, s),
)

# Laplace.


def laplace_tails(x: Any, m: Any, s: Any) -> tuple[Any, Any]:
    smaller = -abs(x - m) / s - mp.log(2)
    tails = smaller, mp.log1p(-mp.exp(smaller))
    return tails if x < m else tails[::-1]


LAPLACE = Oracle(
    settings=loc_scale,
    points=around(60.0),
    log_density=lambda x, m, s: -abs(x - m) / s - mp.log(2 * s),
    log_tails=laplace_tails,
    entropy=lambda m, s: 1 + mp.log(2 * s),
    kl=lambda m, s, n, t: (s * mp.exp(-abs(m - n) / s) + abs(m - n)) / t + mp.log(t / s) - 1,
    log_normalizer=lambda m, s: mp.log(2 * s),
    expectation=lambda m, s: (s,),
    from_expectation=lambda means, m: (m, means[0]),
    others=moved,
    numpyro=lambda dist, m, s: dist.Laplace(m, s),
    scipy=lambda st, m, s: st.laplace(m, s),
)

# Logistic.


def logistic_density(x: Any, m: Any, s: Any) -> Any:
    z = abs(x - m) / s
    return -z - 2 * mp.log1p(mp.exp(-z)) - mp.log(s)


LOGISTIC = Oracle(
    settings=loc_scale,
    points=around(60.0),
    log_density=logistic_density,
    log_tails=lambda x, m, s: (-mp.log1p(mp.exp((m - x) / s)), -mp.log1p(mp.exp((x - m) / s))),
    entropy=lambda m, s: mp.log(s) + 2,
    kl=lambda m, s, n, t: divergence_integral(
        lambda x: logistic_density(x, m, s), lambda x: logistic_density(x, n, t), m, s
    ),
    others=moved,
    numpyro=lambda dist, m, s: dist.Logistic(m, s),
    scipy=lambda st, m, s: st.logistic(m, s),
    fewer={"kl": 10},
)

# Cauchy.


def cauchy_tails(x: Any, m: Any, s: Any) -> tuple[Any, Any]:
    return mp.log(mp.atan2(s, m - x) / mp.pi), mp.log(mp.atan2(s, x - m) / mp.pi)


CAUCHY = Oracle(
    settings=loc_scale,
    points=around(1e12),
    log_density=lambda x, m, s: -mp.log1p(((x - m) / s) ** 2) - mp.log(mp.pi * s),
    log_tails=cauchy_tails,
    entropy=lambda m, s: mp.log(4 * mp.pi * s),
    kl=lambda m, s, n, t: mp.log(((s + t) ** 2 + (m - n) ** 2) / (4 * s * t)),
    others=moved,
    numpyro=lambda dist, m, s: dist.Cauchy(m, s),
    scipy=lambda st, m, s: st.cauchy(m, s),
)

# StudentT.


def student_density(x: Any, nu: Any, m: Any, s: Any) -> Any:
    z = (x - m) / s
    return -(nu + 1) / 2 * mp.log1p(z * z / nu) - mp.log(s) - student_level(nu, mp.mp.prec)


@lru_cache(maxsize=100)
def student_level(nu: Any, bits: int) -> Any:
    """What the density has beside its kernel, to so many bits."""
    return mp.log(nu) / 2 + log_beta(nu / 2, mp.mpf(1) / 2)


def student_tails(x: Any, nu: Any, m: Any, s: Any) -> tuple[Any, Any]:
    z = (x - m) / s
    share = z * z / nu
    smaller = beta_tails(nu / 2, mp.mpf(1) / 2, 1 / (1 + share), share / (1 + share))[0] - mp.log(2)
    tails = smaller, mp.log1p(-mp.exp(smaller))
    return tails if x < m else tails[::-1]


def student_entropy(nu: Any, m: Any, s: Any) -> Any:
    half = mp.mpf(1) / 2
    rise = mp.digamma((nu + 1) / 2) - mp.digamma(nu / 2)
    return (nu + 1) / 2 * rise + mp.log(nu) / 2 + log_beta(nu / 2, half) + mp.log(s)


STUDENT_T = Oracle(
    settings=lambda u: (log_uniform(u(), 0.1, 1e8), *loc_scale(u)),
    narrower=lambda u: (log_uniform(u(), 0.5, 1e6), *loc_scale(u)),
    points=lambda u, nu, m, s: m + s * scores(u(), 1e3),
    log_density=student_density,
    log_tails=student_tails,
    entropy=student_entropy,
    kl=lambda nu, m, s, mu, n, t: divergence_integral(
        lambda x: student_density(x, nu, m, s), lambda x: student_density(x, mu, n, t), m, s
    ),
    others=lambda u, nu, m, s: (near(nu, u()), *moved(u, m, s)),
    numpyro=lambda dist, nu, m, s: dist.StudentT(nu, m, s),
    scipy=lambda st, nu, m, s: st.t(nu, m, s),
    fewer={"kl": 6, "icdf": 12},
)

# Gumbel.


def gumbel_divergence(m: Any, s: Any, n: Any, t: Any) -> Any:
    mean = (s * mp.euler + m - n) / t
    return mp.log(t / s) - mp.euler - 1 + mean + mp.exp((n - m) / t) * mp.gamma(1 + s / t)


def gumbel_rate(x: Any, m: Any, s: Any) -> Any:
    """−log P(X ≤ x), of a moderate size where searches for quantiles go astray."""
    return mp.exp(min(max((m - x) / s, -1e5), 1e5))


def gumbel_tails(x: Any, m: Any, s: Any) -> tuple[Any, Any]:
    rate = gumbel_rate(x, m, s)
    return -rate, mp.log(-mp.expm1(-min(rate, mp.mpf(10) ** 6)))


GUMBEL = Oracle(
    settings=loc_scale,
    points=lambda u, m, s: m + s * np.maximum(scores(u(), 60.0), -4.0),
    log_density=lambda x, m, s: (m - x) / s - gumbel_rate(x, m, s) - mp.log(s),
    log_tails=gumbel_tails,
    entropy=lambda m, s: mp.log(s) + mp.euler + 1,
    kl=gumbel_divergence,
    others=lambda u, m, s: (m + s * signed(u(), 1e-5, 5.0), near(s, u())),
    numpyro=lambda dist, m, s: dist.Gumbel(m, s),
    scipy=lambda st, m, s: st.gumbel_r(m, s),
)

# Uniform.


def uniform_settings(u: Columns) -> tuple[np.ndarray, np.ndarray]:
    low, width = loc_scale(u)
    return low, low + width + 1e-5 * abs(low)


def uniform_points(u: Columns, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    side, share = u(), log_uniform(u(), 1e-6, 1.0)
    return beyond(np.where(side < 0.5, low + share * (high - low), high - share * (high - low)), low - 1.0)


def uniform_others(u: Columns, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    width = high - low
    return beyond(low - width * log_uniform(u(), 1e-4, 10), low + 0.5 * width), high + width * log_uniform(
        u(), 1e-4, 10
    )


def uniform_divergence(low: Any, high: Any, other_low: Any, other_high: Any) -> Any:
    if other_low > low or other_high < high:
        return mp.inf
    return mp.log((other_high - other_low) / (high - low))


UNIFORM = Oracle(
    settings=uniform_settings,
    points=uniform_points,
    log_density=lambda x, low, high: -mp.log(high - low) if low <= x <= high else -mp.inf,
    log_tails=lambda x, low, high: (mp.log((x - low) / (high - low)), mp.log((high - x) / (high - low))),
    entropy=lambda low, high: mp.log(high - low),
    kl=uniform_divergence,
    others=uniform_others,
    support=lambda low, high: (low, high),
    numpyro=lambda dist, low, high: dist.Uniform(low, high),
    scipy=lambda st, low, high: st.uniform(low, high - low),
)

ORACLES = {
    "Normal": NORMAL,
    "Laplace": LAPLACE,
    "Logistic": LOGISTIC,
    "Cauchy": CAUCHY,
    "StudentT": STUDENT_T,
    "Gumbel": GUMBEL,
    "Uniform": UNIFORM,
}
