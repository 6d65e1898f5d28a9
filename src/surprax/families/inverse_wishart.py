"""The inverse Wishart distribution."""

from typing import Any, Self

import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import Carrier
from surprax.families.base import family
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome
from surprax.families.parameters import parameter, positive
from surprax.families.scale_matrices import (
    as_scale_tril,
    check_degrees_of_freedom,
    gram,
    inverse_gram,
    lower_cholesky,
)
from surprax.families.supports import POSITIVE_DEFINITE
from surprax.families.wishart import (
    LOG_DET,
    Wishart,
    degrees_from_gap,
    half_of_identity,
    is_half_of_positive_definite,
    standard_factor,
    usable_df,
    wishart_kl,
)
from surprax.numerics import linalg
from surprax.numerics.linalg import (
    beside,
    cholesky,
    cholesky_of_inverse,
    diagonal,
    inverse_lower,
    join,
    log_det,
    log_det_divergence,
    matmul,
    outer,
    transpose,
)
from surprax.numerics.multivariate_gamma import multi_level, multi_log_gamma, multi_log_minus_digamma
from surprax.numerics.symmetric import from_half, from_half_dual, half, half_dual

__all__ = ["InverseWishart"]


@family
class InverseWishart(ExponentialFamily):
    """Inverse Wishart distribution of symmetric positive definite matrices X (d × d): X⁻¹ is Wishart(ν, Ψ⁻¹).

        s(X) = ½ tr ΨX⁻¹ + (ν + d + 1)/2 · log det X − ν/2 · log det Ψ/2 + log Γ_d(ν/2)

    Args:
        df: degrees of freedom ν > d − 1 (NumPyro calls it concentration).
        scale_matrix: Ψ, symmetric and positive definite, on the last two axes, as in SciPy; E X = Ψ/(ν − d − 1). Or else
        rate_matrix: Ψ⁻¹; or else
        scale_tril: L with Ψ = L Lᵀ, lower triangular with a positive diagonal. This is what is stored.

    Natural parameters (−(ν + d + 1)/2, −Ψ/2) of T(X) = (log det X, X⁻¹), each matrix by its lower triangle; log-normaliser
    log Γ_d(ν/2) − ν/2 · log det Ψ/2. There is a mean for ν > d + 1, and a variance for ν > d + 3. Source: Mardia, Kent & Bibby
    (1979), section 3.8.

    >>> from surprax.families import InverseGamma
    >>> print(f"{InverseWishart(5.0, [[2.0]]).log_prob([[3.0]]) - InverseGamma(2.5, 1.0).log_prob(3.0):.3f}")
    0.000
    """

    df: Any = parameter(positive)
    scale_tril: Any = parameter(lower_cholesky, event_dim=2)

    dimension = None
    layout = Layout(
        Carrier(
            "1/X",
            lambda x: half(linalg.inverse_gram(cholesky(x))),
            lambda y: linalg.inverse_gram(cholesky(from_half(y))),
            rank=1,
            inside=is_half_of_positive_definite,
            neutral=half_of_identity,
        ),
        (LOG_DET,),
    )
    data_support = POSITIVE_DEFINITE
    sums_by_evidence = False  # an inverse of each row costs more than the density
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
        """Ψ, shape batch + (d, d)."""
        return gram(self.scale_tril)

    @property
    def rate_matrix(self) -> Any:
        """Ψ⁻¹, shape batch + (d, d)."""
        return inverse_gram(self.scale_tril)

    @classmethod
    def free_parameters(cls, fit: Self) -> int:
        """1 + d(d + 1)/2."""
        d = fit.event_shape[0]
        return 1 + d * (d + 1) // 2

    @property
    def _of_inverse(self) -> Wishart:
        return Wishart._of(df=self.df, scale_tril=cholesky_of_inverse(linalg.gram(self.scale_tril)))

    # Density.

    def _log_density(self, x: Array) -> Array:
        """−ν times the divergence of Ψ/ν from X, and what Γ_d leaves of powers of ν."""
        d, nu = x.shape[-1], usable_df(self)
        factor = cholesky(x)
        divergence = log_det_divergence(self.scale_tril / beside(jnp.sqrt(nu), 2), factor)
        return multi_level(0.5 * nu, d) - nu * divergence - (d + 1) * log_det(factor)

    # Moments.

    def _mean(self) -> Any:
        d, nu = self.event_shape[0], beside(usable_df(self), 2)
        exists = nu > d + 1
        value = linalg.gram(self.scale_tril) / jnp.where(exists, nu - (d + 1), 1.0)
        return jnp.where(exists, value, _no_moment(value))

    def _variance(self) -> Any:
        d, nu = self.event_shape[0], beside(usable_df(self), 2)
        exists = nu > d + 3
        nu = jnp.where(exists, nu, d + 4.0)
        psi = linalg.gram(self.scale_tril) / (nu - (d + 1))
        own = diagonal(psi)
        value = ((nu - d + 1) * psi * psi + (nu - d - 1) * outer(own, own)) / (nu - d) / (nu - d - 3)
        return jnp.where(exists, value, _no_moment(value))

    def _mode(self) -> Any:
        return linalg.gram(self.scale_tril) / beside(usable_df(self) + (self.event_shape[0] + 1), 2)

    # Information.

    def _mean_log_det(self) -> Array:
        d, nu = self.event_shape[0], usable_df(self)
        return 2.0 * log_det(self.scale_tril) - d * jnp.log(nu) + multi_log_minus_digamma(0.5 * nu, d)

    def _entropy(self) -> Any:
        """From the form of the density, whose divergence has the mean ½ (E log det X − log det (E X⁻¹)⁻¹)."""
        d, nu = self.event_shape[0], usable_df(self)
        gap = multi_log_minus_digamma(0.5 * nu, d)
        return 0.5 * (nu * gap + (d + 1) * self._mean_log_det()) - multi_level(0.5 * nu, d)

    def _kl(self, q: Self) -> Array:
        """That of the inverses, whose scale matrices are inverse, and so change places."""
        return wishart_kl(usable_df(self), usable_df(q), q.scale_tril, self.scale_tril)

    # Exponential family.

    def _natural(self) -> Array:
        shape = -0.5 * (usable_df(self) + (self.event_shape[0] + 1))
        return join(shape[..., None], half_dual(-0.5 * linalg.gram(self.scale_tril)))

    @classmethod
    def _from_natural(cls, natural: Array, known: dict[str, Any]) -> Self:
        factor = cholesky(from_half_dual(-2.0 * natural[..., 1:]))
        d = factor.shape[-1]
        df = -2.0 * natural[..., 0] - (d + 1)
        return cls._of(df=jnp.where(df > d - 1, df, jnp.nan), scale_tril=factor)

    def _expectation(self) -> Array:
        mean = beside(usable_df(self), 2) * linalg.inverse_gram(self.scale_tril)
        return join(self._mean_log_det()[..., None], half(mean))

    @classmethod
    def _from_expectation(cls, expectation: Array, known: dict[str, Any]) -> Self:
        mean = from_half(expectation[..., 1:])
        df = degrees_from_gap(2.0 * log_det(cholesky(mean)) + expectation[..., 0], mean.shape[-1])
        return cls._of(df=df, scale_tril=cholesky_of_inverse(mean) * jnp.sqrt(df)[..., None, None])

    def _log_normalizer(self) -> Any:
        d, a = self.event_shape[0], 0.5 * usable_df(self)
        return multi_log_gamma(a, d) - a * (2.0 * log_det(self.scale_tril) - d * float(np.log(2.0)))

    def _sufficient_statistics(self, x: Array) -> Array:
        factor = cholesky(x)
        return join(2.0 * log_det(factor)[..., None], half(linalg.inverse_gram(factor)))

    @classmethod
    def _added_by_gaps(cls, gaps: Array, mean: Array) -> Array:
        return join(gaps, jnp.zeros_like(mean))

    def _fisher_information(self) -> Array:
        """That of the inverse, with the sign of the logarithm turned."""
        F = self._of_inverse._fisher_information()
        return F * jnp.where(_is_log_det(F.shape[-1]), -1.0, 1.0).reshape((1,) * (F.ndim - 2) + F.shape[-2:])

    def _fisher_solve(self, v: Array) -> Array:
        solved = self._of_inverse._fisher_solve(join(-v[..., :1], v[..., 1:]))
        return join(-solved[..., :1], solved[..., 1:])

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """That of the Wishart distribution of X⁻¹, whose mean and gap these are."""
        w, outcome = Wishart._fit_moments(e)
        factor = cholesky_of_inverse(from_half(e.mean))
        return cls._of(df=w.df, scale_tril=factor * jnp.sqrt(w.df)[..., None, None]), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        """L (T Tᵀ)⁻¹ Lᵀ, for T Tᵀ standard Wishart."""
        inverse = inverse_lower(standard_factor(key, usable_df(self), self.event_shape[0], shape))
        root = matmul(self.scale_tril, transpose(inverse))
        return linalg.gram(root)


def _no_moment(like: Array) -> Array:
    """∞ on the diagonal, where the numbers are positive; NaN beside it."""
    return jnp.where(linalg.identity(like) > 0, jnp.inf, jnp.nan)


def _is_log_det(size: int) -> np.ndarray:
    """The products of log det with the other statistics."""
    first = np.arange(size) == 0
    return first[:, None] ^ first[None, :]
