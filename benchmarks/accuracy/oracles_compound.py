"""Vectors of counts, fractions broken off one by one, and directions in space.

Sources: Johnson, Kotz & Balakrishnan (1997), chapters 35 and 36; Connor & Mosimann (1969); Mardia & Jupp (2000), section 9.3.
"""

from typing import Any

import mpmath as mp
import numpy as np

from benchmarks.accuracy.grids import Columns, log_uniform, near, scores, signed
from benchmarks.accuracy.oracle import Oracle
from benchmarks.accuracy.oracles_counts import categorical_divergence, log_probabilities
from benchmarks.accuracy.oracles_vectors import columns_of
from benchmarks.accuracy.special import log_beta

__all__ = ["ORACLES"]

type Vector = list[Any]


def log_factorial(n: Any) -> Any:
    return mp.loggamma(n + 1)


def moved(u: Columns, a: np.ndarray) -> np.ndarray:
    return np.stack([near(a[:, k], u()) for k in range(a.shape[1])], axis=-1)


def split_counts(u: Columns, n: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Whole numbers that add up to n, like draws at these shares, and further away."""
    first = np.rint(n * shares[:, 0] + scores(u(), 10.0) * np.sqrt(n * shares[:, 0] * (1 - shares[:, 0])))
    first = np.clip(first, 0, n)
    second = np.clip(np.rint((n - first) * shares[:, 1] / (shares[:, 1] + shares[:, 2])), 0, n - first)
    return np.stack([first, second, n - first - second], axis=-1)


# Multinomial.


def whole(u: np.ndarray, most: float) -> np.ndarray:
    return np.rint(log_uniform(u, 1.0, most))


def multinomial_mass(x: Vector, n: Any, logits: Vector) -> Any:
    logs = log_probabilities(logits)
    return log_factorial(n) + mp.fsum(k * v - log_factorial(k) for k, v in zip(x, logs))


def multinomial_entropy(n: Any, logits: Vector) -> Any:
    """By all outcomes."""
    size, total = int(n), mp.mpf(0)
    for i in range(size + 1):
        for j in range(size + 1 - i):
            log = multinomial_mass([mp.mpf(i), mp.mpf(j), n - i - j], n, logits)
            total -= mp.exp(log) * log
    return total


def normalised(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def multinomial_settings(most: float) -> Any:
    return lambda u: (whole(u(), most), normalised(columns_of(3, lambda: signed(u(), 1e-2, 6.0))))


MULTINOMIAL = Oracle(
    settings=multinomial_settings(1e6),
    narrower=multinomial_settings(8.0),
    points=lambda u, n, logits: split_counts(u, n, np.exp(normalised(logits))),
    log_density=multinomial_mass,
    entropy=multinomial_entropy,
    kl=lambda n, p, m, q: n * categorical_divergence(p, q),
    log_normalizer=lambda n, logits: -n * log_probabilities(logits)[-1],
    expectation=lambda n, logits: tuple(n * mp.exp(v) for v in log_probabilities(logits)[:-1]),
    from_expectation=lambda means, n: (n, [*(mp.log(v / n) for v in means), mp.log1p(-mp.fsum(means) / n)]),
    others=lambda u, n, logits: (n, normalised(moved(u, logits))),
    exact=("total_count",),
    numpyro=lambda dist, n, logits: dist.MultinomialLogits(logits, n),
    # A total that moves alone is no longer what the counts add up to.
    fewer={"entropy": 12, "d/d total_count": 0},
)

# DirichletMultinomial.


def urn_mass(x: Vector, a: Vector, n: Any) -> Any:
    def rising(v: Any, k: Any) -> Any:
        return mp.loggamma(v + k) - mp.loggamma(v) - log_factorial(k)

    return mp.fsum(rising(v, k) for v, k in zip(a, x)) - rising(mp.fsum(a), n)


DIRICHLET_MULTINOMIAL = Oracle(
    settings=lambda u: (columns_of(3, lambda: log_uniform(u(), 1e-2, 1e6)), whole(u(), 1e6)),
    points=lambda u, a, n: split_counts(u, n, a / a.sum(axis=-1, keepdims=True)),
    log_density=urn_mass,
    others=lambda u, *theta: theta,
    exact=("total_count",),
    numpyro=lambda dist, a, n: dist.DirichletMultinomial(a, n),
    fewer={"d/d total_count": 0},
)

# GeneralizedDirichlet, of three parts: z₁ = x₁ and z₂ = x₂/(x₂ + x₃) are beta variables.


def beta_density(z: Any, a: Any, b: Any) -> Any:
    return (a - 1) * mp.log(z) + (b - 1) * mp.log1p(-z) - log_beta(a, b)


def stick_density(x: Vector, a: Vector, b: Vector) -> Any:
    total, rest = mp.fsum(x), x[1] + x[2]
    parts = beta_density(x[0] / total, a[0], b[0]) + beta_density(x[1] / rest, a[1], b[1])
    return parts - mp.log(rest)


def stick_entropy(a: Vector, b: Vector) -> Any:
    def of_one(v: Any, w: Any) -> Any:
        n = v + w
        means = (v - 1) * (mp.digamma(v) - mp.digamma(n)) + (w - 1) * (mp.digamma(w) - mp.digamma(n))
        return log_beta(v, w) - means

    return of_one(a[0], b[0]) + of_one(a[1], b[1]) + mp.digamma(b[0]) - mp.digamma(a[0] + b[0])


def stick_divergence(a: Vector, b: Vector, c: Vector, d: Vector) -> Any:
    def of_one(v: Any, w: Any, r: Any, s: Any) -> Any:
        n = v + w
        means = (v - r) * (mp.digamma(v) - mp.digamma(n)) + (w - s) * (mp.digamma(w) - mp.digamma(n))
        return log_beta(r, s) - log_beta(v, w) + means

    return mp.fsum(of_one(*shapes) for shapes in zip(a, b, c, d))


def stick_expectation(a: Vector, b: Vector) -> tuple[Any, ...]:
    """Of log x₁, log x₂, log(x₂ + x₃) and log x₃."""
    one = [mp.digamma(v) - mp.digamma(v + w) for v, w in zip(a, b)]
    zero = [mp.digamma(w) - mp.digamma(v + w) for v, w in zip(a, b)]
    return one[0], one[1] + zero[0], zero[0], zero[0] + zero[1]


def stick_points(u: Columns, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    width = 1.0 / np.sqrt(np.maximum(np.minimum(a, b), 0.05))
    odds = a / b * np.exp(np.clip(columns_of(2, lambda: scores(u(), 10.0)) * width, -25, 25))
    first, second = (odds / (1 + odds)).T
    return np.stack([first, (1 - first) * second, (1 - first) * (1 - second)], axis=-1)


def two_shapes(u: Columns) -> np.ndarray:
    return columns_of(2, lambda: log_uniform(u(), 1e-2, 1e5))


GENERALIZED_DIRICHLET = Oracle(
    settings=lambda u: (two_shapes(u), two_shapes(u)),
    points=stick_points,
    log_density=stick_density,
    entropy=stick_entropy,
    kl=stick_divergence,
    log_normalizer=lambda a, b: log_beta(a[0], b[0]) + log_beta(a[1], b[1]),
    expectation=stick_expectation,
    others=lambda u, a, b: (moved(u, a), moved(u, b)),
    # Off the simplex there are many extensions, with gradients of their own.
    fewer={"d/dx": 0, "from_expectation": 12},
)

# VonMisesFisher, in space. Vectors are divided by their length, which is 1 but for the rounding of float32.


def unit(v: Vector) -> Vector:
    length = mp.sqrt(mp.fsum(w * w for w in v))
    return [w / length for w in v]


def cosine(v: Vector, w: Vector) -> Any:
    return mp.fsum(a * b for a, b in zip(unit(v), unit(w)))


def log_area(k: Any) -> Any:
    """log ∫ exp(κ μ·x) dx = log(4π sinh κ/κ)."""
    return mp.log(4 * mp.pi * mp.sinh(k) / k)


def mean_length(k: Any) -> Any:
    return mp.coth(k) - 1 / k


def direction_of_means(means: Vector) -> tuple[Any, ...]:
    """By bisection of log κ: the mean length grows with κ."""
    length = mp.sqrt(mp.fsum(v * v for v in means))
    if length >= 1:
        raise ValueError("no concentration has so long a mean")
    low, high = mp.mpf(-30), mp.mpf(50)
    for _ in range(160):
        middle = (low + high) / 2
        low, high = (middle, high) if mean_length(mp.exp(middle)) < length else (low, middle)
    return unit(means), mp.exp(low)


def directions(u: Columns) -> np.ndarray:
    v = columns_of(3, lambda: signed(u(), 1e-2, 1.0))
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def turned(u: Columns, mu: np.ndarray, by: np.ndarray) -> np.ndarray:
    v = mu + by[:, None] * directions(u)
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


VON_MISES_FISHER = Oracle(
    settings=lambda u: (directions(u), log_uniform(u(), 1e-4, 1e6)),
    points=lambda u, mu, k: turned(u, mu, scores(u()) / np.sqrt(np.maximum(k, 0.1))),
    log_density=lambda x, mu, k: k * cosine(x, mu) - log_area(k),
    entropy=lambda mu, k: log_area(k) - k * mean_length(k),
    kl=lambda mu, k, nu, c: log_area(c) - log_area(k) + mean_length(k) * (k - c * cosine(mu, nu)),
    log_normalizer=lambda mu, k: log_area(k),
    expectation=lambda mu, k: tuple(mean_length(k) * v for v in unit(mu)),
    from_expectation=direction_of_means,
    others=lambda u, mu, k: (turned(u, mu, signed(u(), 1e-4, 1.0)), near(k, u())),
    # Off the sphere there are many extensions, with gradients of their own.
    fewer={"d/dx": 0, "d/d mean_direction": 0, "from_expectation": 20},
)

ORACLES = {
    "Multinomial": MULTINOMIAL,
    "DirichletMultinomial": DIRICHLET_MULTINOMIAL,
    "GeneralizedDirichlet": GENERALIZED_DIRICHLET,
    "VonMisesFisher": VON_MISES_FISHER,
}
