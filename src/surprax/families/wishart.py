"""The Wishart distribution."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import Carrier, Gap
from surprax.families.base import family
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, positive
from surprax.families.scale_matrices import (
    as_scale_tril,
    check_degrees_of_freedom,
    gram,
    inverse_gram,
    lower_cholesky,
)
from surprax.families.supports import POSITIVE_DEFINITE
from surprax.numerics import linalg
from surprax.numerics.linalg import (
    beside,
    blocks,
    cholesky,
    cholesky_of_inverse,
    diagonal,
    join,
    log_det,
    log_det_divergence,
    matmul,
    outer,
    pair_products,
)
from surprax.numerics.multivariate_gamma import (
    inverse_multi_log_minus_digamma,
    multi_bregman_beyond_poisson,
    multi_level,
    multi_log_gamma,
    multi_log_minus_digamma,
    multi_trigamma,
    multi_trigamma_minus_reciprocal,
)
from surprax.numerics.symmetric import from_half, from_half_dual, half, half_dual

__all__ = [
    "LOG_DET",
    "Wishart",
    "degrees_from_gap",
    "half_of_identity",
    "is_half_of_positive_definite",
    "standard_factor",
    "usable_df",
    "wishart_kl",
]


def _log_det(a: Array, b: Array) -> Array:
    factors = (cholesky(from_half(v)) for v in (a, b))
    return 2.0 * log_det_divergence(*factors)[..., None]


LOG_DET = Gap("log det mean - mean log det", _log_det, size=lambda _: 1)


def is_half_of_positive_definite(y: Array) -> Array:
    """Whether the matrices of these lower triangles are positive definite."""
    return jnp.all(jnp.isfinite(cholesky(from_half(y))), axis=(-1, -2))


def half_of_identity(length: int) -> np.ndarray:
    """The lower triangle, of that length, of an identity matrix."""
    own = np.zeros(length)
    own[np.cumsum(np.arange(1, length + 1))[np.cumsum(np.arange(1, length + 1)) <= length] - 1] = 1.0
    return own


@family
class Wishart(ExponentialFamily):
    """Wishart distribution of symmetric positive definite matrices X (d × d), with V the scale matrix and ν = df.

        s(X) = ½ tr V⁻¹X − (ν − d − 1)/2 · log det X + ν/2 · log det 2V + log Γ_d(ν/2)

    Args:
        df: degrees of freedom ν > d − 1 (NumPyro calls it concentration).
        scale_matrix: V, symmetric and positive definite, on the last two axes; E X = ν V. Or else
        rate_matrix: V⁻¹; or else
        scale_tril: L with V = L Lᵀ, lower triangular with a positive diagonal. This is what is stored.

    For whole ν it is the distribution of Z Zᵀ, for ν columns of Z that are N(0, V). Natural parameters ((ν − d − 1)/2, −V⁻¹/2) of
    T(X) = (log det X, X), each matrix by its lower triangle; log-normaliser ν/2 · log det 2V + log Γ_d(ν/2). The density has a
    mode for ν ≥ d + 1. Source: Muirhead (1982), chapter 3.

    >>> from surprax.families import Gamma
    >>> print(f"{Wishart(5.0, [[2.0]]).log_prob([[3.0]]) - Gamma(2.5, 0.25).log_prob(3.0):.3f}")
    0.000
    """

    df: Any = parameter(positive)
    scale_tril: Any = parameter(lower_cholesky, event_dim=2)

    dimension = None
    layout = Layout(
        Carrier("X", half, from_half, rank=1, inside=is_half_of_positive_definite, neutral=half_of_identity), (LOG_DET,)
    )
    data_support = POSITIVE_DEFINITE
    sums_by_evidence = False  # a factor of each row is what either costs
    event_dim = 2

    def __init__(self, df: Any, scale_matrix: Any = None, rate_matrix: Any = None, scale_tril: Any = None) -> None:
        name = type(self).__name__
        factor = as_scale_tril(
            name, scale_tril=scale_tril, scale_matrix=scale_matrix, inverse=("rate_matrix", rate_matrix)
        )
        object.__setattr__(self, "df", df)
        object.__setattr__(self, "scale_tril", factor)
        self.__post_init__()
        check_degrees_of_freedom(name, self.df, self.event_shape[0])

    @property
    def event_shape(self) -> tuple[int, ...]:
        """(d, d)."""
        return np.shape(self.scale_tril)[-2:]

    @property
    def scale_matrix(self) -> Any:
        """V, shape batch + (d, d)."""
        return gram(self.scale_tril)

    @property
    def rate_matrix(self) -> Any:
        """V⁻¹, shape batch + (d, d)."""
        return inverse_gram(self.scale_tril)

    @property
    def single_peaked(self) -> Any:
        """Whether there is a mode."""
        return self.df >= self.event_shape[0] + 1

    @classmethod
    def free_parameters(cls, fit: Self) -> int:
        """1 + d(d + 1)/2."""
        d = fit.event_shape[0]
        return 1 + d * (d + 1) // 2

    # Density.

    def _log_density(self, x: Array) -> Array:
        """−ν times the divergence of X from its mean ν V, and what Γ_d leaves of powers of ν."""
        d, nu = x.shape[-1], usable_df(self)
        factor = cholesky(x)
        divergence = log_det_divergence(factor, beside(jnp.sqrt(nu), 2) * self.scale_tril)
        return multi_level(0.5 * nu, d) - nu * divergence - (d + 1) * log_det(factor)

    # Moments.

    def _mean(self) -> Any:
        return beside(usable_df(self), 2) * linalg.gram(self.scale_tril)

    def _variance(self) -> Any:
        V = linalg.gram(self.scale_tril)
        own = diagonal(V)
        return beside(usable_df(self), 2) * (V * V + outer(own, own))

    def _mode(self) -> Any:
        d = self.event_shape[0]
        return beside(jnp.maximum(usable_df(self) - (d + 1), 0.0), 2) * linalg.gram(self.scale_tril)

    # Information.

    def _entropy(self) -> Any:
        """From the form of the density, whose divergence has the mean ½ (log det E X − E log det X)."""
        d, nu = self.event_shape[0], usable_df(self)
        gap = multi_log_minus_digamma(0.5 * nu, d)
        mean_log_det = d * jnp.log(nu) + 2.0 * log_det(self.scale_tril) - gap
        return 0.5 * (nu * gap + (d + 1) * mean_log_det) - multi_level(0.5 * nu, d)

    def _kl(self, q: Self) -> Array:
        return wishart_kl(usable_df(self), usable_df(q), self.scale_tril, q.scale_tril)

    # Exponential family.

    def _natural(self) -> Array:
        shape = 0.5 * (usable_df(self) - (self.event_shape[0] + 1))
        return join(shape[..., None], half_dual(-0.5 * linalg.inverse_gram(self.scale_tril)))

    @classmethod
    def _from_natural(cls, natural: Array, known: dict[str, Any]) -> Self:
        factor = cholesky_of_inverse(from_half_dual(-2.0 * natural[..., 1:]))
        d = factor.shape[-1]
        df = 2.0 * natural[..., 0] + (d + 1)
        return cls._of(df=jnp.where(df > d - 1, df, jnp.nan), scale_tril=factor)

    def _expectation(self) -> Array:
        d, nu = self.event_shape[0], usable_df(self)
        mean_log_det = d * jnp.log(nu) + 2.0 * log_det(self.scale_tril) - multi_log_minus_digamma(0.5 * nu, d)
        return join(mean_log_det[..., None], half(self._mean()))

    @classmethod
    def _from_expectation(cls, expectation: Array, known: dict[str, Any]) -> Self:
        factor = cholesky(from_half(expectation[..., 1:]))
        df = degrees_from_gap(2.0 * log_det(factor) - expectation[..., 0], factor.shape[-1])
        return cls._of(df=df, scale_tril=factor / jnp.sqrt(df)[..., None, None])

    def _log_normalizer(self) -> Any:
        d, a = self.event_shape[0], 0.5 * usable_df(self)
        return a * (2.0 * log_det(self.scale_tril) + d * float(np.log(2.0))) + multi_log_gamma(a, d)

    def _sufficient_statistics(self, x: Array) -> Array:
        return join(2.0 * log_det(cholesky(x))[..., None], half(x))

    @classmethod
    def _added_by_gaps(cls, gaps: Array, mean: Array) -> Array:
        return join(-gaps, jnp.zeros_like(mean))

    def _fisher_information(self) -> Array:
        d, nu = self.event_shape[0], usable_df(self)
        V = linalg.gram(self.scale_tril)
        log_det_variance = multi_trigamma(0.5 * nu, d)[..., None, None]
        return blocks(log_det_variance, 2.0 * half(V)[..., None, :], beside(nu, 2) * pair_products(V, V))

    def _fisher_solve(self, v: Array) -> Array:
        """With u = (u₀, U): ψ_d' u₀ + 2 tr VU = v₀ and 2u₀ V + 2ν V U V = V₁; the determinant is that of ψ_d'(ν/2) − 2d/ν."""
        d, nu = self.event_shape[0], beside(usable_df(self))
        P, Y = linalg.inverse_gram(self.scale_tril), from_half(v[..., 1:])
        PY = matmul(P, Y)
        trace = jnp.trace(PY, axis1=-2, axis2=-1)[..., None]
        u = (v[..., :1] - trace / nu) / beside(multi_trigamma_minus_reciprocal(0.5 * usable_df(self), d))
        U = (0.5 * matmul(PY, P) - u[..., None] * P) / beside(nu, 1)
        return join(u, half_dual(U))

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """d log ν/2 − ψ_d(ν/2) = log det of the mean less the mean log det, and V = mean/ν."""
        gap = e.gaps[..., 0]
        factor = cholesky(from_half(e.mean))
        df = degrees_from_gap(gap, factor.shape[-1])
        outcome = Outcome.first((e.count <= 0, Reason.NO_DATA), (~(gap > 0), Reason.ALL_SAME))
        return cls._of(df=df, scale_tril=factor / jnp.sqrt(df)[..., None, None]), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        return linalg.gram(matmul(self.scale_tril, standard_factor(key, usable_df(self), self.event_shape[0], shape)))


# What the relatives of the Wishart distribution share.


def usable_df(d: Any) -> Array:
    """ν, NaN where it is not above d − 1."""
    df = jnp.asarray(d.df)
    return jnp.where(df > np.shape(d.scale_tril)[-1] - 1, df, jnp.nan)


def degrees_from_gap(gap: Array, d: int) -> Array:
    """ν from the gap of log det; NaN where there is none."""
    return 2.0 * inverse_multi_log_minus_digamma(jnp.where(gap > 0, gap, jnp.nan), d)


def wishart_kl(df: Array, other_df: Array, tril: Array, other_tril: Array) -> Array:
    """KL(Wishart(ν, L Lᵀ) ‖ Wishart(ν', L' L'ᵀ)): ν' times the divergence of the means, and what is left of the shapes; both ≥ 0.

    The factor of the first mean over ν' is √(ν/ν') L, of which the excess of the root over 1 has digits of its own.
    """
    ratio = (df - other_df) / other_df
    growth = ratio / (1.0 + jnp.sqrt(1.0 + ratio))
    shapes = multi_bregman_beyond_poisson(0.5 * other_df, 0.5 * df, tril.shape[-1])
    return other_df * log_det_divergence(tril, other_tril, growth) + shapes


def standard_factor(key: Array, df: Array, d: int, shape: tuple[int, ...]) -> Array:
    """The Cholesky factor of draws from Wishart(ν, I): normal numbers below roots of χ² numbers (Bartlett 1933)."""
    of_diagonal, of_rest = jax.random.split(key)
    dtype = jnp.result_type(float)
    a = 0.5 * (jnp.broadcast_to(df, shape)[..., None] - jnp.arange(d, dtype=dtype).reshape((1,) * len(shape) + (d,)))
    own = jnp.sqrt(2.0 * jax.random.gamma(of_diagonal, a.astype(dtype)))
    below = jnp.tril(jax.random.normal(of_rest, (*shape, d, d), dtype), -1)
    return below + own[..., None] * jnp.eye(d, dtype=dtype).reshape((1,) * len(shape) + (d, d))
