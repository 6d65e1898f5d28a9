"""The normal-Wishart distribution: of the mean and the precision matrix of a normal vector, both unknown."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.families.base import family
from surprax.families.exponential import ExponentialFamily
from surprax.families.multivariate_student_t import MultivariateStudentT
from surprax.families.normal_inverse_wishart import (
    FIRST_LOG_DET,
    WEIGHTED_SCATTER,
    NormalInverseWishart,
    carrier_of_pairs,
    fit_mean_and_matrix,
    mean_given_matrix_kl,
    mean_of_precision_first,
    precision_first,
    region_of_pairs,
    split_mean,
    with_mean,
)
from surprax.families.outcomes import Outcome
from surprax.families.parameters import parameter, positive, real
from surprax.families.scale_matrices import (
    as_scale_tril,
    as_vector,
    check_degrees_of_freedom,
    gram,
    inverse_gram,
    lower_cholesky,
)
from surprax.families.wishart import Wishart, usable_df
from surprax.numerics import linalg
from surprax.numerics.linalg import beside, cholesky, cholesky_of_inverse, join, log_det, matvec, solve_lower, transpose
from surprax.numerics.normal import HALF_LOG_2PI
from surprax.numerics.symmetric import dimension_of_half, half

__all__ = ["NormalWishart"]


def _uncarried(y: Array) -> Array:
    m, factor = mean_of_precision_first(y)
    return with_mean(m, linalg.gram(factor))


@family
class NormalWishart(ExponentialFamily):
    """Normal-Wishart distribution of a pair (m, W): W is Wishart(ν, V), and m given W is normal about loc with precision κ W.

        s(m, W) = ½ tr (V⁻¹ + κ (m − loc)(m − loc)ᵀ) W − (ν − d)/2 · log det W + ν/2 · log det 2V + log Γ_d(ν/2) − d/2 · log κ/2π

    Args:
        loc: centre of the mean, d finite numbers on the last axis; a single number stands for d equal ones.
        mean_precision: κ, positive: the precision of the mean in units of that of an observation.
        df: degrees of freedom ν > d − 1 of the precision matrix.
        scale_matrix: V, symmetric and positive definite, on the last two axes; E W = ν V. Or else
        rate_matrix: V⁻¹, the Ψ of `NormalInverseWishart`; or else
        scale_tril: L with V = L Lᵀ, lower triangular with a positive diagonal. This is what is stored.

    An observation is the matrix (m | W) of d rows and d + 1 columns, of which the first is m. Natural parameters
    (κ loc, −κ/2, −(V⁻¹ + κ loc locᵀ)/2, (ν − d)/2) of T(m, W) = (W m, mᵀW m, W, log det W). (m | W⁻¹) is
    `NormalInverseWishart` of the same loc, κ and ν, with Ψ = V⁻¹. Source: Bernardo & Smith (1994), section 5.2.4; Murphy (2007),
    section 8.

    >>> belief = NormalWishart([1.0], 2.0, 6.0, rate_matrix=[[8.0]])
    >>> from surprax.families import NormalGamma
    >>> print(f"{belief.log_prob([[0.5, 2.0]]) - NormalGamma(1.0, 2.0, 3.0, 4.0).log_prob([0.5, 2.0]):.3f}")
    0.000
    """

    loc: Any = parameter(real, event_dim=1)
    mean_precision: Any = parameter(positive)
    df: Any = parameter(positive)
    scale_tril: Any = parameter(lower_cholesky, event_dim=2)

    dimension = None
    layout = Layout(
        carrier_of_pairs("(W, W m)", lambda x: precision_first(*split_mean(x)), _uncarried),
        (FIRST_LOG_DET, WEIGHTED_SCATTER),
    )
    data_support = region_of_pairs("pairs (m | W) of a finite vector and a symmetric positive definite matrix")
    event_dim = 2

    def __init__(
        self,
        loc: Any,
        mean_precision: Any,
        df: Any,
        scale_matrix: Any = None,
        rate_matrix: Any = None,
        scale_tril: Any = None,
    ) -> None:
        name = type(self).__name__
        factor = as_scale_tril(
            name, scale_tril=scale_tril, scale_matrix=scale_matrix, inverse=("rate_matrix", rate_matrix)
        )
        object.__setattr__(self, "loc", as_vector(name, "loc", loc, np.shape(factor)[-1]))
        object.__setattr__(self, "mean_precision", mean_precision)
        object.__setattr__(self, "df", df)
        object.__setattr__(self, "scale_tril", factor)
        self.__post_init__()
        check_degrees_of_freedom(name, self.df, self._size)

    @property
    def _size(self) -> int:
        return int(np.shape(self.loc)[-1])

    @property
    def event_shape(self) -> tuple[int, ...]:
        """(d, d + 1): the mean, and the precision matrix beside it."""
        return self._size, self._size + 1

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
        return self.df > self._size

    @classmethod
    def free_parameters(cls, fit: Self) -> int:
        """d + 2 + d(d + 1)/2."""
        return NormalInverseWishart.free_parameters(fit)  # type: ignore[arg-type]

    # Parts, and the twin.

    @property
    def marginal_precision(self) -> Wishart:
        """The distribution of W."""
        return Wishart._of(df=self.df, scale_tril=self.scale_tril)

    @property
    def marginal_mean(self) -> MultivariateStudentT:
        """The distribution of m: Student's t with ν − d + 1 degrees of freedom and scale matrix V⁻¹/(κ (ν − d + 1))."""
        return self._twin.marginal_mean

    def to_normal_inverse_wishart(self) -> NormalInverseWishart:
        """The same belief about the mean and the covariance matrix W⁻¹."""
        return NormalInverseWishart(self.loc, self.mean_precision, self.df, scale_matrix=self.rate_matrix)

    @property
    def _twin(self) -> NormalInverseWishart:
        return NormalInverseWishart._of(**_turned(self))

    # Density.

    def _log_density(self, x: Array) -> Array:
        m, W = split_mean(x)
        factor = cholesky(W)
        z = matvec(transpose(factor), m - self.loc)
        normal = 0.5 * self._size * jnp.log(self.mean_precision) + log_det(factor) - HALF_LOG_2PI * self._size
        return self.marginal_precision._log_density(W) + normal - 0.5 * self.mean_precision * jnp.sum(z * z, axis=-1)

    # Moments.

    def _mean(self) -> Any:
        exists = beside(usable_df(self)) > self._size
        return with_mean(jnp.where(exists, self.loc, jnp.nan), self.marginal_precision._mean())

    def _variance(self) -> Any:
        return with_mean(self._twin._variance()[..., 0], self.marginal_precision._variance())

    def _mode(self) -> Any:
        V = linalg.gram(self.scale_tril)
        return with_mean(self.loc, beside(jnp.maximum(usable_df(self) - self._size, 0.0), 2) * V)

    # Information.

    def _entropy(self) -> Any:
        """That of W, and the mean of ½ (d (1 + log 2π/κ) − log det W)."""
        W, d = self.marginal_precision, self._size
        mean_log_det = W._expectation()[..., 0]
        return W._entropy() - 0.5 * mean_log_det + d * (HALF_LOG_2PI + 0.5 - 0.5 * jnp.log(self.mean_precision))

    def _kl(self, q: Self) -> Array:
        """That of the precisions, and the mean of what the means have at a given precision."""
        root = matvec(transpose(self.scale_tril), self.loc - q.loc)
        return self.marginal_precision._kl(q.marginal_precision) + mean_given_matrix_kl(self, q, root)

    # Exponential family: T is that of the twin but for the sign of the logarithm, which comes last.

    def _natural(self) -> Array:
        natural = self._twin._natural()
        log = jnp.broadcast_to(0.5 * (usable_df(self) - self._size), natural.shape[:-1])
        return natural.at[..., -1].set(log)

    @classmethod
    def _from_natural(cls, natural: Array, known: dict[str, Any]) -> Self:
        d = dimension_of_half(natural.shape[-1] - 1) - 1
        turned = natural.at[..., -1].set(-natural[..., -1] - (d + 1))
        return cls._of(**_turned(NormalInverseWishart._from_natural(turned, known)))

    def _expectation(self) -> Array:
        return _with_log_turned(self._twin._expectation())

    @classmethod
    def _from_expectation(cls, expectation: Array, known: dict[str, Any]) -> Self:
        return cls._of(**_turned(NormalInverseWishart._from_expectation(_with_log_turned(expectation), known)))

    def _log_normalizer(self) -> Any:
        return self.marginal_precision._log_normalizer() + self._size * (
            HALF_LOG_2PI - 0.5 * jnp.log(self.mean_precision)
        )

    def _sufficient_statistics(self, x: Array) -> Array:
        m, W = split_mean(x)
        linear = matvec(W, m)
        log = 2.0 * log_det(cholesky(W))
        return join(linear, jnp.sum(linear * m, axis=-1)[..., None], half(W), log[..., None])

    @classmethod
    def _added_by_gaps(cls, gaps: Array, mean: Array) -> Array:
        return _with_log_turned(NormalInverseWishart._added_by_gaps(gaps, mean))

    def _fisher_information(self) -> Array:
        F = self._twin._fisher_information()
        return F.at[..., -1].multiply(-1.0).at[..., -1, :].multiply(-1.0)

    def _fisher_solve(self, v: Array) -> Array:
        return _with_log_turned(self._twin._fisher_solve(_with_log_turned(v)))

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """That of the Wishart; loc is the mean weighted by precision matrices, and d/κ its weighted scatter."""
        fit, outcome = fit_mean_and_matrix(e)
        return cls._of(**_turned(NormalInverseWishart._of(**fit))), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        of_matrix, of_mean = jax.random.split(key)
        W = self.marginal_precision._sample(of_matrix, shape)
        z = jax.random.normal(of_mean, (*shape, self._size), W.dtype)
        scale = beside(1.0 / jnp.sqrt(jnp.asarray(self.mean_precision)))
        return with_mean(self.loc + scale * solve_lower(cholesky(W), z, transposed=True), W)


def _turned(d: Any) -> dict[str, Any]:
    """The parameters of the twin, whose matrix is the inverse."""
    tril = cholesky_of_inverse(linalg.gram(jnp.asarray(d.scale_tril)))
    return {"loc": d.loc, "mean_precision": d.mean_precision, "df": d.df, "scale_tril": tril}


def _with_log_turned(v: Array) -> Array:
    """The vector with the sign of its last number turned."""
    return v.at[..., -1].multiply(-1.0)
