"""Families of a location and a scale of vectors, and of matrices (2 × 2), and beliefs about both.

Sources: Muirhead (1982); Gelman et al. (2013), section 3.6; Bernardo & Smith (1994), section 3.2.5; Kotz & Nadarajah (2004).
"""

from typing import Any

import mpmath as mp
import numpy as np

from benchmarks.accuracy.grids import Columns, log_uniform, near, scores, signed
from benchmarks.accuracy.oracle import Oracle
from benchmarks.accuracy.oracles_vectors import (
    cholesky,
    columns_of,
    gram,
    log_det,
    solved,
    vector_density,
    vector_divergence,
)

__all__ = ["ORACLES"]

type Vector = list[Any]
type Matrix = list[list[Any]]


def log_two_pi() -> Any:
    return mp.log(2 * mp.pi)


def inverse(a: Matrix) -> Matrix:
    """Of 2 × 2."""
    (p, q), (r, s) = a
    det = p * s - q * r
    return [[s / det, -q / det], [-r / det, p / det]]


def log_determinant(a: Matrix) -> Any:
    """Of 2 × 2, positive definite; of the lower triangle."""
    return mp.log(a[0][0] * a[1][1] - a[1][0] ** 2)


def lower(a: Matrix) -> Matrix:
    return [[a[0][0], a[1][0]], [a[1][0], a[1][1]]]


def trace_of_product(a: Matrix, b: Matrix) -> Any:
    return mp.fsum(a[i][j] * b[j][i] for i in range(2) for j in range(2))


def quadratic(a: Matrix, v: Vector) -> Any:
    return mp.fsum(v[i] * a[i][j] * v[j] for i in range(2) for j in range(2))


def log_gamma_2(a: Any) -> Any:
    """log Γ₂(a)."""
    return mp.log(mp.pi) / 2 + mp.loggamma(a) + mp.loggamma(a - mp.mpf(1) / 2)


def digamma_2(a: Any) -> Any:
    return mp.digamma(a) + mp.digamma(a - mp.mpf(1) / 2)


# Grids.


def triangles(u: Columns, low: float = 1e-2, high: float = 1e2) -> np.ndarray:
    """2 × 2 factors: scales over decades, and correlations of any size."""
    made = np.zeros((u.rows, 2, 2))
    for i in range(2):
        made[:, i, i] = log_uniform(u(), low, high)
    made[:, 1, 0] = made[:, 1, 1] * signed(u(), 1e-3, 5.0)
    return made


def stretched(u: Columns, factor: np.ndarray) -> np.ndarray:
    return factor * columns_of(factor.shape[-1], lambda: near(np.ones(len(factor)), u()))[:, :, None]


def spread(u: Columns, factor: np.ndarray, df: np.ndarray) -> np.ndarray:
    """Matrices like draws from Wishart(ν, L Lᵀ), and further away; symmetric in float32."""
    root = np.zeros_like(factor)
    for i in range(2):
        root[:, i, i] = np.sqrt(df) * np.exp(signed(u(), 1e-4, 2.0))
    root[:, 1, 0] = signed(u(), 1e-3, 3.0)
    made = factor @ root
    made = (made @ np.swapaxes(made, -1, -2)).astype(np.float32).astype(np.float64)
    made[:, 0, 1] = made[:, 1, 0]
    return made


def degrees(u: Columns) -> np.ndarray:
    return np.float32(1.0 + log_uniform(u(), 0.05, 1e5)).astype(float)


def inverted(factor: np.ndarray) -> np.ndarray:
    """The factor of the inverse."""
    return np.linalg.cholesky(np.linalg.inv(factor @ np.swapaxes(factor, -1, -2)))


# Normal vectors with one scale, or one for each component.


def diagonal(scale: Any) -> Matrix:
    scales = scale if isinstance(scale, list) else [scale] * 3
    return [[scales[i] if i == j else mp.mpf(0) for j in range(3)] for i in range(3)]


def diagonal_expectation(m: Vector, scales: Vector) -> tuple[Any, ...]:
    return *m, *(a * a + s * s for a, s in zip(m, scales))


def diagonal_of_means(means: Vector) -> tuple[Any, ...]:
    return [*means[:3]], [mp.sqrt(square - a * a) for a, square in zip(means[:3], means[3:])]


def isotropic_expectation(m: Vector, scale: Any) -> tuple[Any, ...]:
    return *m, mp.fsum(a * a for a in m) + 3 * scale * scale


def isotropic_of_means(means: Vector) -> tuple[Any, ...]:
    *m, square = means
    return m, mp.sqrt((square - mp.fsum(a * a for a in m)) / 3)


def vector_oracle(of_scale: Any, expectation: Any, of_means: Any) -> Oracle:
    """Scales from columns of uniform numbers; (rows, 3) or (rows,)."""

    def wide(scale: np.ndarray) -> np.ndarray:
        return scale if scale.ndim == 2 else scale[:, None]

    return Oracle(
        settings=lambda u: (columns_of(3, lambda: signed(u(), 1e-3, 1e3)), of_scale(u)),
        points=lambda u, m, s: m + wide(s) * columns_of(3, lambda: scores(u())),
        log_density=lambda x, m, s: vector_density(x, m, diagonal(s)),
        entropy=lambda m, s: log_det(diagonal(s)) + 3 * (1 + log_two_pi()) / 2,
        kl=lambda m, s, n, t: vector_divergence(m, diagonal(s), n, diagonal(t)),
        log_normalizer=lambda m, s: (
            mp.fsum(v * v for v in solved(diagonal(s), m)) / 2 + log_det(diagonal(s)) + 3 * log_two_pi() / 2
        ),
        expectation=expectation,
        from_expectation=of_means,
        others=lambda u, m, s: (m + wide(s) * columns_of(3, lambda: signed(u(), 1e-4, 10.0)), moved(u, s)),
    )


def moved(u: Columns, scale: np.ndarray) -> np.ndarray:
    if scale.ndim == 1:
        return near(scale, u())
    return np.stack([near(scale[:, i], u()) for i in range(scale.shape[1])], axis=-1)


# Student's t vectors.


def t_density(x: Vector, df: Any, m: Vector, factor: Matrix) -> Any:
    d = len(m)
    z = solved(factor, [a - b for a, b in zip(x, m)])
    return t_level(df, d) - log_det(factor) - (df + d) / 2 * mp.log1p(mp.fsum(v * v for v in z) / df)


def t_level(df: Any, d: int) -> Any:
    return mp.loggamma((df + d) / 2) - mp.loggamma(df / 2) - mp.mpf(d) / 2 * mp.log(df * mp.pi)


T = Oracle(
    settings=lambda u: (log_uniform(u(), 0.1, 1e6), columns_of(2, lambda: signed(u(), 1e-2, 1e2)), triangles(u)),
    points=lambda u, df, m, L: m + np.einsum("nij,nj->ni", L, columns_of(2, lambda: scores(u()))),
    log_density=t_density,
    entropy=lambda df, m, L: (
        log_det(L) - t_level(df, 2) + (df + 2) / 2 * (mp.digamma((df + 2) / 2) - mp.digamma(df / 2))
    ),
    others=lambda u, *theta: theta,
    numpyro=lambda dist, df, m, L: dist.MultivariateStudentT(df, m, L),
)

# Matrices with a normal distribution.


def matrix_density(x: Matrix, m: Matrix, rows: Matrix, columns: Matrix) -> Any:
    residual = [[x[i][j] - m[i][j] for i in range(2)] for j in range(2)]  # by columns
    half = [solved(rows, column) for column in residual]
    whole = [solved(columns, [half[j][i] for j in range(2)]) for i in range(2)]
    return -mp.fsum(v * v for row in whole for v in row) / 2 - 2 * (log_det(rows) + log_det(columns) + log_two_pi())


def matrix_divergence(m: Any, a: Matrix, b: Matrix, n: Any, c: Matrix, d: Matrix) -> Any:
    def trace(p: Matrix, q: Matrix) -> Any:
        return trace_of_product(inverse(gram(q)), gram(p))

    shift = matrix_density(m, n, c, d) + 2 * (log_det(c) + log_det(d) + log_two_pi())
    logs = 2 * (log_det(c) + log_det(d) - log_det(a) - log_det(b))
    return (trace(a, c) * trace(b, d) - 4) / 2 - shift + logs


def matrices(u: Columns, scale: Any) -> np.ndarray:
    return np.stack([columns_of(2, lambda: scale(u())) for _ in range(2)], axis=-1)


MATRIX_NORMAL = Oracle(
    settings=lambda u: (matrices(u, lambda v: signed(v, 1e-2, 1e2)), triangles(u), triangles(u)),
    points=lambda u, m, a, b: m + a @ matrices(u, scores) @ np.swapaxes(b, -1, -2),
    log_density=matrix_density,
    entropy=lambda m, a, b: 2 * (log_det(a) + log_det(b) + 1 + log_two_pi()),
    kl=matrix_divergence,
    others=lambda u, m, a, b: (
        m + a @ matrices(u, lambda v: signed(v, 1e-4, 10.0)) @ np.swapaxes(b, -1, -2),
        stretched(u, a),
        stretched(u, b),
    ),
    numpyro=lambda dist, m, a, b: dist.MatrixNormal(m, a, b),
)

# Wishart and inverse Wishart.


def wishart_normalizer(df: Any, factor: Matrix) -> Any:
    return df * (log_det(factor) + mp.log(2)) + log_gamma_2(df / 2)


def wishart_density(x: Matrix, df: Any, factor: Matrix) -> Any:
    trace = trace_of_product(inverse(gram(factor)), lower(x))
    return (df - 3) / 2 * log_determinant(x) - trace / 2 - wishart_normalizer(df, factor)


def wishart_divergence_of(df: Any, v: Matrix, other_df: Any, w: Matrix) -> Any:
    """With scale matrices v and w."""
    logs = other_df / 2 * (log_determinant(w) - log_determinant(v))
    shapes = log_gamma_2(other_df / 2) - log_gamma_2(df / 2) + (df - other_df) / 2 * digamma_2(df / 2)
    return logs + df / 2 * (trace_of_product(inverse(w), v) - 2) + shapes


def wishart_divergence(df: Any, factor: Matrix, other_df: Any, other: Matrix) -> Any:
    return wishart_divergence_of(df, gram(factor), other_df, gram(other))


def wishart_entropy(df: Any, factor: Matrix) -> Any:
    return wishart_normalizer(df, factor) - (df - 3) / 2 * mean_log_det(df, factor) + df


def mean_log_det(df: Any, factor: Matrix) -> Any:
    return digamma_2(df / 2) + 2 * mp.log(2) + 2 * log_det(factor)


def wishart_expectation(df: Any, factor: Matrix) -> tuple[Any, ...]:
    v = gram(factor)
    return mean_log_det(df, factor), df * v[0][0], df * v[1][0], df * v[1][1]


def degrees_of_gap(gap: Any) -> Any:
    """ν at which 2 log(ν/2) − ψ(ν/2) − ψ((ν − 1)/2) is `gap` > 0, which falls in ν > 1: by bisection of log(ν − 1)."""
    if gap <= 0:
        raise ValueError("no degrees of freedom have this gap")
    low, high = mp.mpf(-60), mp.mpf(60)
    for _ in range(160):
        middle = (low + high) / 2
        a = (1 + mp.exp(middle)) / 2
        low, high = (middle, high) if 2 * mp.log(a) - digamma_2(a) > gap else (low, middle)
    return 1 + mp.exp(low)


def wishart_of_means(means: Vector) -> tuple[Any, ...]:
    log, p, q, r = means
    df = degrees_of_gap(mp.log(p * r - q * q) - log)
    return df, cholesky([[p / df, q / df], [q / df, r / df]])


def inverse_wishart_of_means(means: Vector) -> tuple[Any, ...]:
    log, p, q, r = means
    df = degrees_of_gap(mp.log(p * r - q * q) + log)
    return df, cholesky([[df * v for v in row] for row in inverse([[p, q], [q, r]])])


WISHART = Oracle(
    settings=lambda u: (degrees(u), triangles(u)),
    points=lambda u, df, L: spread(u, L, df),
    log_density=wishart_density,
    entropy=wishart_entropy,
    kl=wishart_divergence,
    log_normalizer=wishart_normalizer,
    expectation=wishart_expectation,
    from_expectation=wishart_of_means,
    others=lambda u, df, L: (1.0 + near(df - 1.0, u()), stretched(u, L)),
    numpyro=lambda dist, df, L: dist.Wishart(df, scale_tril=L),
    fewer={"d/dx": 0, "from_expectation": 12},
)


def inverse_normalizer(df: Any, factor: Matrix) -> Any:
    return log_gamma_2(df / 2) - df * (log_det(factor) - mp.log(2))


def inverse_density(x: Matrix, df: Any, factor: Matrix) -> Any:
    trace = trace_of_product(gram(factor), inverse(lower(x)))
    return -(df + 3) / 2 * log_determinant(x) - trace / 2 - inverse_normalizer(df, factor)


def inverse_divergence(df: Any, factor: Matrix, other_df: Any, other: Matrix) -> Any:
    return wishart_divergence_of(df, inverse(gram(factor)), other_df, inverse(gram(other)))


def inverse_mean_log_det(df: Any, factor: Matrix) -> Any:
    return 2 * log_det(factor) - 2 * mp.log(2) - digamma_2(df / 2)


def inverse_entropy(df: Any, factor: Matrix) -> Any:
    return inverse_normalizer(df, factor) + (df + 3) / 2 * inverse_mean_log_det(df, factor) + df


def inverse_expectation(df: Any, factor: Matrix) -> tuple[Any, ...]:
    w = inverse(gram(factor))
    return inverse_mean_log_det(df, factor), df * w[0][0], df * w[1][0], df * w[1][1]


INVERSE_WISHART = Oracle(
    settings=lambda u: (degrees(u), triangles(u)),
    points=lambda u, df, L: np.linalg.inv(spread(u, inverted(L), df)),
    log_density=inverse_density,
    entropy=inverse_entropy,
    kl=inverse_divergence,
    log_normalizer=inverse_normalizer,
    expectation=inverse_expectation,
    from_expectation=inverse_wishart_of_means,
    others=WISHART.others,
    numpyro=lambda dist, df, L: dist.InverseWishart(df, scale_tril=L),
    fewer={"d/dx": 0, "from_expectation": 12},
)

# Beliefs about the mean and the spread of normal observations: of numbers, with d = 1, and of vectors.


def normal_part(shift: Any, kappa: Any, log_det_spread: Any, d: int) -> Any:
    """log-density of a mean whose squared distance from its centre, in units of one observation, is `shift`."""
    return -kappa * shift / 2 - (d * (log_two_pi() - mp.log(kappa)) + log_det_spread) / 2


def normal_entropy(kappa: Any, mean_log_det_spread: Any, d: int) -> Any:
    return (d * (1 + log_two_pi() - mp.log(kappa)) + mean_log_det_spread) / 2


def normal_divergence(kappa: Any, other: Any, mean_shift: Any, d: int) -> Any:
    return (d * (other / kappa - 1 - mp.log(other / kappa)) + other * mean_shift) / 2


def gamma_divergence(a: Any, rate: Any, b: Any, other: Any) -> Any:
    shapes = mp.loggamma(b) - mp.loggamma(a) + (a - b) * mp.digamma(a)
    return shapes + b * mp.log(rate / other) + a * (other / rate - 1)


def pair_divergence(m: Any, kappa: Any, a: Any, rate: Any, n: Any, other_kappa: Any, b: Any, other: Any) -> Any:
    return gamma_divergence(a, rate, b, other) + normal_divergence(kappa, other_kappa, a / rate * (m - n) ** 2, 1)


def pair_normalizer(m: Any, kappa: Any, a: Any, rate: Any) -> Any:
    return mp.loggamma(a) - a * mp.log(rate) + (log_two_pi() - mp.log(kappa)) / 2


def precision_density(x: Vector, m: Any, kappa: Any, a: Any, rate: Any) -> Any:
    w = x[1]
    gamma = (a - 1) * mp.log(w) - rate * w + a * mp.log(rate) - mp.loggamma(a)
    return gamma + normal_part(w * (x[0] - m) ** 2, kappa, -mp.log(w), 1)


def variance_density(x: Vector, m: Any, kappa: Any, a: Any, rate: Any) -> Any:
    return precision_density([x[0], 1 / x[1]], m, kappa, a, rate) - 2 * mp.log(x[1])


def precision_entropy(m: Any, kappa: Any, a: Any, rate: Any) -> Any:
    gamma = a - mp.log(rate) + mp.loggamma(a) + (1 - a) * mp.digamma(a)
    return gamma + normal_entropy(kappa, mp.log(rate) - mp.digamma(a), 1)


def variance_entropy(m: Any, kappa: Any, a: Any, rate: Any) -> Any:
    return precision_entropy(m, kappa, a, rate) + 2 * (mp.log(rate) - mp.digamma(a))


def precision_expectation(m: Any, kappa: Any, a: Any, rate: Any) -> tuple[Any, ...]:
    w = a / rate
    return m * w, m * m * w + 1 / kappa, w, mp.digamma(a) - mp.log(rate)


def variance_expectation(*theta: Any) -> tuple[Any, ...]:
    *others, log = precision_expectation(*theta)
    return *others, -log


def pair_settings(u: Columns) -> tuple[np.ndarray, ...]:
    return (
        signed(u(), 1e-2, 1e3),
        log_uniform(u(), 1e-3, 1e4),
        log_uniform(u(), 1e-2, 1e5),
        log_uniform(u(), 1e-4, 1e4),
    )


def pair_points(variance: bool) -> Any:
    def points(u: Columns, m: np.ndarray, kappa: np.ndarray, a: np.ndarray, rate: np.ndarray) -> np.ndarray:
        w = a / rate * np.exp(np.clip(scores(u(), 10.0) / np.sqrt(np.maximum(a, 0.05)), -30, 30))
        x = m + scores(u()) / np.sqrt(kappa * w)
        return np.stack([x, 1.0 / w if variance else w], axis=-1)

    return points


def pair_others(u: Columns, m: np.ndarray, kappa: np.ndarray, a: np.ndarray, rate: np.ndarray) -> Any:
    step = signed(u(), 1e-4, 10.0) / np.sqrt(kappa * a / rate)
    return m + step, near(kappa, u()), near(a, u()), near(rate, u())


def pair_oracle(variance: bool) -> Oracle:
    return Oracle(
        settings=pair_settings,
        points=pair_points(variance),
        log_density=variance_density if variance else precision_density,
        entropy=variance_entropy if variance else precision_entropy,
        kl=pair_divergence,
        log_normalizer=pair_normalizer,
        expectation=variance_expectation if variance else precision_expectation,
        others=pair_others,
        fewer={"from_expectation": 20},
    )


def split(x: Matrix) -> tuple[Vector, Matrix]:
    return [row[0] for row in x], [row[1:] for row in x]


def covariance_density(x: Matrix, m: Vector, kappa: Any, df: Any, factor: Matrix) -> Any:
    at, S = split(x)
    shift = quadratic(inverse(lower(S)), [a - b for a, b in zip(at, m)])
    return inverse_density(S, df, factor) + normal_part(shift, kappa, log_determinant(S), 2)


def precision_matrix_density(x: Matrix, m: Vector, kappa: Any, df: Any, factor: Matrix) -> Any:
    at, W = split(x)
    shift = quadratic(lower(W), [a - b for a, b in zip(at, m)])
    return wishart_density(W, df, factor) + normal_part(shift, kappa, -log_determinant(W), 2)


def belief_divergence(mean_precision: Any, of_matrix: Any) -> Any:
    def divergence(
        m: Vector, kappa: Any, df: Any, L: Matrix, n: Vector, other_kappa: Any, other: Any, K: Matrix
    ) -> Any:
        shift = df * quadratic(mean_precision(L), [a - b for a, b in zip(m, n)])
        return of_matrix(df, L, other, K) + normal_divergence(kappa, other_kappa, shift, 2)

    return divergence


def belief_settings(u: Columns) -> tuple[np.ndarray, ...]:
    return columns_of(2, lambda: signed(u(), 1e-2, 1e2)), log_uniform(u(), 1e-3, 1e4), degrees(u), triangles(u)


def belief_points(covariance: bool) -> Any:
    def points(u: Columns, m: np.ndarray, kappa: np.ndarray, df: np.ndarray, L: np.ndarray) -> np.ndarray:
        W = spread(u, inverted(L) if covariance else L, df)
        S = np.linalg.inv(W)
        z = columns_of(2, lambda: scores(u())) / np.sqrt(kappa)[:, None]
        x = m + np.einsum("nij,nj->ni", np.linalg.cholesky(S), z)
        return np.concatenate([x[..., None], S if covariance else W], axis=-1)

    return points


def belief_others(u: Columns, m: np.ndarray, kappa: np.ndarray, df: np.ndarray, L: np.ndarray) -> Any:
    step = columns_of(2, lambda: signed(u(), 1e-4, 10.0)) * L[:, [0, 1], [0, 1]]
    return m + step, near(kappa, u()), 1.0 + near(df - 1.0, u()), stretched(u, L)


def belief_expectation(of_matrix: Any, mean_precision: Any) -> Any:
    """W m, mᵀ W m + 2/κ, W and E log|Σ| or E log|W|, with W = E Σ⁻¹."""

    def expectation(m: Vector, kappa: Any, df: Any, L: Matrix) -> tuple[Any, ...]:
        W = [[df * v for v in row] for row in mean_precision(L)]
        linear = [mp.fsum(v * a for v, a in zip(row, m)) for row in W]
        square = mp.fsum(v * a for v, a in zip(linear, m)) + 2 / kappa
        return *linear, square, W[0][0], W[1][0], W[1][1], of_matrix(df, L)[0]

    return expectation


def belief_of_means(of_matrix: Any) -> Any:
    def parameters(means: Vector) -> tuple[Any, ...]:
        one, two, square, p, q, r, log = means
        df, L = of_matrix([log, p, q, r])
        m = [mp.fsum(v * a for v, a in zip(row, (one, two))) for row in inverse([[p, q], [q, r]])]
        rest = square - one * m[0] - two * m[1]
        if rest <= 0:
            raise ValueError("no precision of the mean has these statistics")
        return m, 2 / rest, df, L

    return parameters


NORMAL_INVERSE_WISHART = Oracle(
    settings=belief_settings,
    points=belief_points(True),
    log_density=covariance_density,
    entropy=lambda m, kappa, df, L: inverse_entropy(df, L) + normal_entropy(kappa, inverse_mean_log_det(df, L), 2),
    kl=belief_divergence(lambda L: inverse(gram(L)), inverse_divergence),
    log_normalizer=lambda m, kappa, df, L: inverse_normalizer(df, L) + log_two_pi() - mp.log(kappa),
    expectation=belief_expectation(inverse_expectation, lambda L: inverse(gram(L))),
    from_expectation=belief_of_means(inverse_wishart_of_means),
    others=belief_others,
    fewer={"d/dx": 0, "from_expectation": 8},
)

NORMAL_WISHART = Oracle(
    settings=belief_settings,
    points=belief_points(False),
    log_density=precision_matrix_density,
    entropy=lambda m, kappa, df, L: wishart_entropy(df, L) + normal_entropy(kappa, -mean_log_det(df, L), 2),
    kl=belief_divergence(gram, wishart_divergence),
    log_normalizer=lambda m, kappa, df, L: wishart_normalizer(df, L) + log_two_pi() - mp.log(kappa),
    expectation=belief_expectation(wishart_expectation, gram),
    from_expectation=belief_of_means(wishart_of_means),
    others=belief_others,
    fewer={"d/dx": 0, "from_expectation": 8},
)

ORACLES = {
    "MultivariateNormalDiag": vector_oracle(
        lambda u: columns_of(3, lambda: log_uniform(u(), 1e-3, 1e3)), diagonal_expectation, diagonal_of_means
    ),
    "MultivariateNormalIsotropic": vector_oracle(
        lambda u: log_uniform(u(), 1e-3, 1e3), isotropic_expectation, isotropic_of_means
    ),
    "MultivariateStudentT": T,
    "MatrixNormal": MATRIX_NORMAL,
    "Wishart": WISHART,
    "InverseWishart": INVERSE_WISHART,
    "NormalInverseGamma": pair_oracle(variance=True),
    "NormalGamma": pair_oracle(variance=False),
    "NormalInverseWishart": NORMAL_INVERSE_WISHART,
    "NormalWishart": NORMAL_WISHART,
}
