"""Families whose logarithm or log-odds have a simpler law. Source: Aitchison & Shen (1980); Hogg & Klugman (1983)."""

from typing import Any

import mpmath as mp
import numpy as np

from benchmarks.accuracy.grids import Columns, beyond, log_uniform, near, scores, signed
from benchmarks.accuracy.oracle import Oracle
from benchmarks.accuracy.oracles_positive import clipped, positive_reals
from benchmarks.accuracy.oracles_real import (
    normal_density,
    normal_of_means,
    student_density,
    student_entropy,
    student_tails,
)
from benchmarks.accuracy.special import divergence_integral, log_normal_cdf

__all__ = ["ORACLES"]

# LogStudentT.


def log_student_settings(u: Columns, least: float = 0.1, most: float = 1e7) -> tuple[np.ndarray, ...]:
    return log_uniform(u(), least, most), signed(u(), 1e-3, 40.0), log_uniform(u(), 1e-4, 20.0)


def log_student_divergence(nu: Any, m: Any, s: Any, mu: Any, n: Any, t: Any) -> Any:
    return divergence_integral(lambda y: student_density(y, nu, m, s), lambda y: student_density(y, mu, n, t), m, s)


LOG_STUDENT_T = Oracle(
    settings=log_student_settings,
    narrower=lambda u: log_student_settings(u, 1.1, 1e5),
    points=lambda u, nu, m, s: beyond(clipped(m + s * scores(u(), 1e2)), -1.0),
    log_density=lambda x, nu, m, s: student_density(mp.log(x), nu, m, s) - mp.log(x) if x > 0 else -mp.inf,
    log_tails=lambda x, nu, m, s: student_tails(mp.log(x), nu, m, s),
    entropy=lambda nu, m, s: student_entropy(nu, m, s) + m,
    kl=log_student_divergence,
    others=lambda u, nu, m, s: (near(nu, u()), m + s * signed(u(), 1e-5, 1e2), near(s, u())),
    support=positive_reals,
    fewer={"kl": 6, "icdf": 10},
)

# LogitNormal.


def log_odds(x: Any) -> Any:
    return mp.log(x) - mp.log1p(-x)


def logit_normal_points(u: Columns, m: np.ndarray, s: np.ndarray) -> np.ndarray:
    y = np.clip(m + s * scores(u()), -80.0, 15.0)
    return beyond(1 / (1 + np.exp(-y)), -1.0)


def logit_normal_density(x: Any, m: Any, s: Any) -> Any:
    if not 0 < x < 1:
        return -mp.inf
    return normal_density(log_odds(x), m, s) - mp.log(x) - mp.log1p(-x)


def logit_normal_tails(x: Any, m: Any, s: Any) -> tuple[Any, Any]:
    z = (log_odds(x) - m) / s
    return log_normal_cdf(z), log_normal_cdf(-z)


def logit_normal_entropy(m: Any, s: Any) -> Any:
    """With E (log 1/X + log 1/(1 − X)) a sum over even steps, of which e^(−2π²/(scale·step)) is left."""
    with mp.workdps(30):
        step = min(mp.mpf("0.2"), mp.mpf("0.3") / s)
        total = mp.mpf(0)
        for i in range(-int(12 / step), int(12 / step) + 1):
            z = i * step
            y = abs(m + s * z)
            total += mp.exp(-z * z / 2) * (y + 2 * mp.log1p(mp.exp(-y)))
        stretch = total * step / mp.sqrt(2 * mp.pi)
    return mp.log(2 * mp.pi * mp.e * s * s) / 2 - stretch


LOGIT_NORMAL = Oracle(
    settings=lambda u: (signed(u(), 1e-3, 20.0), log_uniform(u(), 1e-4, 10.0)),
    points=logit_normal_points,
    log_density=logit_normal_density,
    log_tails=logit_normal_tails,
    entropy=logit_normal_entropy,
    kl=lambda m, s, n, t: mp.log(t / s) + (s * s + (m - n) ** 2) / (2 * t * t) - mp.mpf(1) / 2,
    log_normalizer=lambda m, s: m * m / (2 * s * s) + mp.log(s) + mp.log(2 * mp.pi) / 2,
    expectation=lambda m, s: (m, m * m + s * s),
    from_expectation=normal_of_means,
    others=lambda u, m, s: (m + s * signed(u(), 1e-5, 1e2), near(s, u())),
    support=lambda m, s: (0.0, 1.0),
    fewer={"entropy": 12},
)

ORACLES = {"LogStudentT": LOG_STUDENT_T, "LogitNormal": LOGIT_NORMAL}
