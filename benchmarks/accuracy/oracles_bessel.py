"""Families normalised by Bessel functions. Source: Jørgensen (1982); Mardia & Jupp (2000)."""

import itertools
from functools import lru_cache
from typing import Any

import mpmath as mp
import numpy as np

from benchmarks.accuracy.grids import Columns, beyond, log_uniform, near, scores, signed
from benchmarks.accuracy.oracle import Oracle
from benchmarks.accuracy.oracles_positive import clipped, log_tail_pair, positive_reals
from benchmarks.accuracy.special import falling_integral

__all__ = ["ORACLES"]

# GeneralizedInverseGaussian: in s = log(x/scale) the density is e^−energy(s)/J.


def energy(s: Any, a: Any, b: Any) -> Any:
    return a * (mp.expm1(s) - s) + b * (mp.expm1(-s) + s)


@lru_cache(maxsize=200)
def peak(a: Any, b: Any, bits: int) -> tuple[Any, ...]:
    """J, E e^s, E e^−s and E s to so many bits: sums over even steps, of which e^(−2π·strip/step) is left."""
    step = min(mp.mpf("0.1"), mp.mpf("0.35") / mp.sqrt(a + b))
    totals = [mp.mpf(0)] * 4
    for first, sign in ((0, 1), (1, -1)):
        k = first
        while True:
            s = sign * k * step
            weight = mp.exp(-energy(s, a, b))
            terms = weight, weight * mp.exp(s), weight * mp.exp(-s), weight * s
            totals = [t + v for t, v in zip(totals, terms)]
            if max(abs(v) for v in terms) < mp.ldexp(1, -bits):
                break
            k += 1
    total = totals[0]
    return total * step, *(t / total for t in totals[1:])


def level(a: Any, b: Any) -> Any:
    return mp.log(peak(a, b, mp.mp.prec)[0])


def inverse_gaussian_like_density(x: Any, a: Any, b: Any, m: Any) -> Any:
    return -energy(mp.log(x / m), a, b) - mp.log(x) - level(a, b) if x > 0 else -mp.inf


def inverse_gaussian_like_tails(x: Any, a: Any, b: Any, m: Any) -> tuple[Any, Any]:
    """The tail beyond x, seen from the peak, by panels; the other one is what it lacks to J."""
    s, total = mp.log(x / m), peak(a, b, mp.mp.prec)[0]
    sign = 1 if s > 0 else -1
    slope = abs(a * mp.expm1(s) - b * mp.expm1(-s)) + mp.sqrt(a + b)
    tail = falling_integral(lambda v: mp.exp(-energy(s + sign * v, a, b)), 1 / slope) / total
    return log_tail_pair(1 - tail, tail) if sign > 0 else log_tail_pair(tail, 1 - tail)


def means(a: Any, b: Any, m: Any) -> tuple[Any, Any, Any]:
    """E log x, E x and E 1/x."""
    _, up, down, mean_log = peak(a, b, mp.mp.prec)
    return mp.log(m) + mean_log, m * up, down / m


def mean_energy(a: Any, b: Any, c: Any, d: Any, shift: Any) -> Any:
    """E of the energy with c and d, at s + shift."""
    _, up, down, mean_log = peak(a, b, mp.mp.prec)
    mean_log = mean_log + shift
    return c * (up * mp.exp(shift) - 1 - mean_log) + d * (down * mp.exp(-shift) - 1 + mean_log)


def inverse_gaussian_like_divergence(a: Any, b: Any, m: Any, c: Any, d: Any, n: Any) -> Any:
    own, other = mean_energy(a, b, a, b, mp.mpf(0)), mean_energy(a, b, c, d, mp.log(m / n))
    return other + level(c, d) - own - level(a, b)


def inverse_gaussian_like_points(u: Columns, a: np.ndarray, b: np.ndarray, m: np.ndarray) -> np.ndarray:
    return beyond(clipped(np.log(m) + scores(u()) / np.sqrt(np.maximum(a + b, 0.1))), -1.0)


GENERALIZED_INVERSE_GAUSSIAN = Oracle(
    settings=lambda u: (log_uniform(u(), 1e-3, 1e6), log_uniform(u(), 1e-3, 1e6), log_uniform(u(), 1e-4, 1e4)),
    points=inverse_gaussian_like_points,
    log_density=inverse_gaussian_like_density,
    log_tails=inverse_gaussian_like_tails,
    entropy=lambda a, b, m: mean_energy(a, b, a, b, mp.mpf(0)) + means(a, b, m)[0] + level(a, b),
    kl=inverse_gaussian_like_divergence,
    log_normalizer=lambda a, b, m: level(a, b) - a - b + (a - b) * mp.log(m),
    expectation=means,
    others=lambda u, a, b, m: (near(a, u()), near(b, u()), m * (1 + 0.3 * signed(u(), 1e-4, 1.0))),
    support=positive_reals,
    scipy=lambda st, a, b, m: st.geninvgauss(a - b, 2 * np.sqrt(a * b), scale=m * np.sqrt(b / a)),
    fewer={
        **dict.fromkeys(("log_prob", "d/dx", "d/d scale", "kl", "entropy", "log_normalizer", "expectation"), 20),
        **dict.fromkeys(("d/d concentration", "d/d inverse_concentration", "cdf", "log_cdf", "log_sf"), 12),
        "icdf": 4,
        "from_expectation": 0,  # Newton's method on so many sums takes too long
    },
)

# VonMises: the density is e^(κ (cos θ − 1))/(2π e^−κ I₀(κ)).


@lru_cache(maxsize=200)
def bessel(k: Any, bits: int) -> tuple[Any, Any]:
    """log I₀(κ) and I₁(κ)/I₀(κ) to so many bits."""
    zero = mp.besseli(0, k)
    return mp.log(zero), mp.besseli(1, k) / zero


def log_bessel(k: Any) -> Any:
    return bessel(k, mp.mp.prec)[0]


def length(k: Any) -> Any:
    return bessel(k, mp.mp.prec)[1]


def angle_density(x: Any, m: Any, k: Any) -> Any:
    return k * mp.cos(x - m) - mp.log(2 * mp.pi) - log_bessel(k) if abs(x) <= mp.pi else -mp.inf


def angle_tails(x: Any, m: Any, k: Any) -> tuple[Any, Any]:
    """Stretches on which the density is monotone, each from its higher end."""

    def stretch(near_end: Any, far_end: Any) -> Any:
        sign = 1 if far_end > near_end else -1
        slope = k * abs(mp.sin(near_end - m)) + mp.sqrt(k) + 1
        return falling_integral(
            lambda v: mp.exp(k * mp.cos(near_end + sign * v - m) - k), 1 / slope, abs(far_end - near_end)
        )

    def mass(low: Any, high: Any) -> Any:
        turns = [m + i * mp.pi for i in (-2, -1, 0, 1, 2)]
        ends = [low, *(t for t in turns if low < t < high), high]
        pairs = [(a, b) if mp.cos(a - m) > mp.cos(b - m) else (b, a) for a, b in itertools.pairwise(ends)]
        return mp.fsum(stretch(*pair) for pair in pairs)

    lower, upper = mass(-mp.pi, x), mass(x, mp.pi)
    return log_tail_pair(lower / (lower + upper), upper / (lower + upper))


def angle_settings(u: Columns) -> tuple[np.ndarray, np.ndarray]:
    return signed(u(), 1e-3, 3.1), log_uniform(u(), 1e-4, 1e7)


def angle_points(u: Columns, m: np.ndarray, k: np.ndarray) -> np.ndarray:
    width = np.minimum(1 / np.sqrt(k), 1.0)
    inside = np.where(u() < 0.7, m + width * scores(u(), 12.0), 6.28 * (u() - 0.5))
    return beyond(np.mod(inside + np.pi, 2 * np.pi) - np.pi, 3.5)


VON_MISES = Oracle(
    settings=angle_settings,
    points=angle_points,
    log_density=angle_density,
    log_tails=angle_tails,
    entropy=lambda m, k: mp.log(2 * mp.pi) + log_bessel(k) - k * length(k),
    kl=lambda m, k, n, c: length(k) * (k - c * mp.cos(m - n)) - log_bessel(k) + log_bessel(c),
    log_normalizer=lambda m, k: mp.log(2 * mp.pi) + log_bessel(k),
    expectation=lambda m, k: (length(k) * mp.cos(m), length(k) * mp.sin(m)),
    others=lambda u, m, k: (np.clip(m + signed(u(), 1e-5, 1.0), -3.1, 3.1), near(k, u())),
    support=lambda m, k: (-mp.pi, mp.pi),
    numpyro=lambda dist, m, k: dist.VonMises(m, k),
    scipy=lambda st, m, k: st.vonmises(k, m),
    fewer={"icdf": 6, "cdf": 20, "log_cdf": 20, "log_sf": 20, "from_expectation": 12},
)

ORACLES = {"GeneralizedInverseGaussian": GENERALIZED_INVERSE_GAUSSIAN, "VonMises": VON_MISES}
