"""Families of vectors, of three components. Source: Kotz, Balakrishnan & Johnson (2000); Johnson, Kotz & Balakrishnan (1997)."""

from typing import Any

import mpmath as mp
import numpy as np

from benchmarks.accuracy.grids import Columns, log_uniform, near, scores, signed
from benchmarks.accuracy.oracle import Oracle
from benchmarks.accuracy.special import log_beta

__all__ = ["ORACLES"]


def columns_of(count: int, column: Any) -> np.ndarray:
    return np.stack([column() for _ in range(count)], axis=-1)


# Dirichlet.


def shares(u: Columns, a: np.ndarray) -> np.ndarray:
    """Around the mean, and towards the borders, on the simplex as nearly as float32 allows."""
    spread = np.clip(columns_of(3, lambda: scores(u(), 10.0)), -10, 10) / np.sqrt(np.maximum(a, 0.05))
    weights = np.exp(np.log(a) + spread)
    return weights / weights.sum(axis=-1, keepdims=True)


def dirichlet_divergence(a: list[Any], b: list[Any]) -> Any:
    drop = mp.digamma(sum(a))
    return log_beta(*b) - log_beta(*a) + mp.fsum((v - w) * (mp.digamma(v) - drop) for v, w in zip(a, b))


def dirichlet_entropy(a: list[Any]) -> Any:
    drop = mp.digamma(sum(a))
    return log_beta(*a) - mp.fsum((v - 1) * (mp.digamma(v) - drop) for v in a)


DIRICHLET = Oracle(
    settings=lambda u: (columns_of(3, lambda: log_uniform(u(), 1e-2, 1e6)),),
    points=shares,
    log_density=lambda x, a: mp.fsum((v - 1) * mp.log(p / mp.fsum(x)) for p, v in zip(x, a)) - log_beta(*a),
    entropy=dirichlet_entropy,
    kl=dirichlet_divergence,
    log_normalizer=lambda a: log_beta(*a),
    expectation=lambda a: tuple(mp.digamma(v) - mp.digamma(mp.fsum(a)) for v in a),
    others=lambda u, a: (np.stack([near(a[:, i], u()) for i in range(3)], axis=-1),),
    numpyro=lambda dist, a: dist.Dirichlet(a),
)

# MultivariateNormal.


def factors(u: Columns) -> np.ndarray:
    """Lower triangles: scales over six decades, and correlations of any size."""
    made = np.zeros((u.rows, 3, 3))
    for i in range(3):
        made[:, i, i] = log_uniform(u(), 1e-3, 1e3)
        for j in range(i):
            made[:, i, j] = made[:, i, i] * signed(u(), 1e-3, 10.0)
    return made


def solved(factor: list[list[Any]], x: list[Any]) -> list[Any]:
    z: list[Any] = []
    for i, row in enumerate(factor):
        z.append((x[i] - mp.fsum(row[j] * z[j] for j in range(i))) / row[i])
    return z


def log_det(factor: list[list[Any]]) -> Any:
    return mp.fsum(mp.log(factor[i][i]) for i in range(len(factor)))


def vector_density(x: list[Any], m: list[Any], factor: list[list[Any]]) -> Any:
    z = solved(factor, [a - b for a, b in zip(x, m)])
    return -mp.fsum(v * v for v in z) / 2 - log_det(factor) - 3 * mp.log(2 * mp.pi) / 2


def vector_divergence(m: list[Any], factor: list[list[Any]], n: list[Any], other: list[list[Any]]) -> Any:
    columns = [[factor[i][j] if i >= j else mp.mpf(0) for i in range(3)] for j in range(3)]
    trace = mp.fsum(v * v for column in columns for v in solved(other, column))
    shift = solved(other, [a - b for a, b in zip(m, n)])
    return (trace + mp.fsum(v * v for v in shift) - 3) / 2 + log_det(other) - log_det(factor)


def vector_normalizer(m: list[Any], factor: list[list[Any]]) -> Any:
    return mp.fsum(v * v for v in solved(factor, m)) / 2 + log_det(factor) + 3 * mp.log(2 * mp.pi) / 2


def gram(factor: list[list[Any]]) -> list[list[Any]]:
    """L Lᵀ of the lower triangle."""
    size = range(len(factor))
    return [[mp.fsum(factor[i][k] * factor[j][k] for k in range(min(i, j) + 1)) for j in size] for i in size]


def cholesky(a: list[list[Any]]) -> list[list[Any]]:
    """The factor of a positive definite matrix, of its lower triangle; ValueError of any other."""
    size = len(a)
    made = [[mp.mpf(0)] * size for _ in range(size)]
    for j in range(size):
        rest = a[j][j] - mp.fsum(v * v for v in made[j][:j])
        if rest <= 0:
            raise ValueError("not positive definite")
        made[j][j] = mp.sqrt(rest)
        for i in range(j + 1, size):
            made[i][j] = (a[i][j] - mp.fsum(v * w for v, w in zip(made[i][:j], made[j][:j]))) / made[j][j]
    return made


def vector_expectation(m: list[Any], factor: list[list[Any]]) -> tuple[Any, ...]:
    """Of x, and of the lower triangle of x xᵀ."""
    square = gram(factor)
    return *m, *(square[i][j] + m[i] * m[j] for i in range(3) for j in range(i + 1))


def vector_of_means(means: list[Any]) -> tuple[Any, ...]:
    m, rest = [*means[:3]], iter(means[3:])
    return m, cholesky([[next(rest) - m[i] * m[j] if j <= i else mp.mpf(0) for j in range(3)] for i in range(3)])


def vector_points(u: Columns, m: np.ndarray, factor: np.ndarray) -> np.ndarray:
    z = columns_of(3, lambda: scores(u()))
    return m + np.einsum("nij,nj->ni", factor, z)


def vector_others(u: Columns, m: np.ndarray, factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    z = columns_of(3, lambda: signed(u(), 1e-4, 10.0))
    stretch = columns_of(3, lambda: near(np.ones(len(m)), u()))
    return m + np.einsum("nij,nj->ni", factor, z), factor * stretch[:, :, None]


MULTIVARIATE_NORMAL = Oracle(
    settings=lambda u: (columns_of(3, lambda: signed(u(), 1e-3, 1e3)), factors(u)),
    points=vector_points,
    log_density=vector_density,
    entropy=lambda m, factor: log_det(factor) + 3 * mp.log(2 * mp.pi * mp.e) / 2,
    kl=vector_divergence,
    log_normalizer=vector_normalizer,
    expectation=vector_expectation,
    from_expectation=vector_of_means,
    others=vector_others,
    numpyro=lambda dist, m, factor: dist.MultivariateNormal(m, scale_tril=factor),
)

ORACLES = {"Dirichlet": DIRICHLET, "MultivariateNormal": MULTIVARIATE_NORMAL}
