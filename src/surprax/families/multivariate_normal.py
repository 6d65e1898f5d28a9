"""The multivariate normal distribution."""

from collections.abc import Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import SCATTER, VECTOR
from surprax.families.base import family
from surprax.families.batches import Wide, align
from surprax.families.exponential import ExponentialFamily
from surprax.families.normal import Normal
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, real
from surprax.families.scale_matrices import as_scale_tril, as_vector, gram, inverse_gram, lower_cholesky
from surprax.families.supports import REAL_VECTOR
from surprax.numerics.linalg import (
    blocks,
    cholesky,
    cholesky_of_inverse,
    cholesky_unless_singular,
    join,
    log_det,
    log_det_divergence,
    lower_factor,
    matmul,
    matvec,
    outer,
    pair_products,
    solve_lower,
)
from surprax.numerics.linalg import gram as product
from surprax.numerics.linalg import inverse_gram as inverse
from surprax.numerics.normal import HALF_LOG_2PI
from surprax.numerics.precision import in_float64
from surprax.numerics.symmetric import dimension_of_half, from_half, from_half_dual, half, half_dual

__all__ = ["MultivariateNormal"]


@family
class MultivariateNormal(ExponentialFamily):
    """Multivariate normal distribution: s(x) = ½ ‖L⁻¹(x − loc)‖² + log det L + d/2 · log 2π, with covariance matrix Σ = L Lᵀ.

    Args:
        loc: mean and mode, d finite numbers on the last axis; a single number stands for d equal ones.
        covariance_matrix: Σ, symmetric and positive definite, on the last two axes; or else
        precision_matrix: P = Σ⁻¹; or else
        scale_tril: L, lower triangular with a positive diagonal. This is what is stored.

    Natural parameters (P loc, −P/2) of T(x) = (x, x xᵀ), each matrix by its lower triangle, d + d(d + 1)/2 numbers in all (what
    is not on the diagonal of −P/2 counts twice); log-normaliser ½ ‖L⁻¹ loc‖² + log det L + d/2 · log 2π. `fit` gives mean and
    covariance of the data (divided by n), and may be told `loc` or `covariance_matrix`; it refuses data that lie in a hyperplane.
    Source: Mardia, Kent & Bibby (1979), chapter 3; Nielsen & Garcia (2009), arXiv:0911.4863.

    >>> d = MultivariateNormal([0.0, 1.0], [[4.0, 2.0], [2.0, 2.0]])
    >>> print(f"{d.log_prob([1.0, 1.0]) - (-0.25 - jnp.log(2.0) - jnp.log(2 * jnp.pi)):.3f}")
    0.000
    >>> d.condition([0], [4.0])  # the regression of the second on the first
    MultivariateNormal(loc=[3.], scale_tril=[[1.]])
    """

    loc: Any = parameter(real, event_dim=1)
    scale_tril: Any = parameter(lower_cholesky, event_dim=2)

    dimension = None
    layout = Layout(VECTOR, (SCATTER,))
    data_support = REAL_VECTOR
    event_dim = 1
    may_be_known = ("loc", "covariance_matrix")

    def __init__(
        self, loc: Any = 0.0, covariance_matrix: Any = None, precision_matrix: Any = None, scale_tril: Any = None
    ) -> None:
        factor = as_scale_tril(
            type(self).__name__,
            scale_tril=scale_tril,
            covariance_matrix=covariance_matrix,
            inverse=("precision_matrix", precision_matrix),
        )
        object.__setattr__(self, "loc", as_vector(type(self).__name__, "loc", loc, np.shape(factor)[-1]))
        object.__setattr__(self, "scale_tril", factor)
        self.__post_init__()

    @property
    def event_shape(self) -> tuple[int, ...]:
        """(d,)."""
        return np.shape(self.loc)[-1:]

    @property
    def covariance_matrix(self) -> Any:
        """Σ, shape batch + (d, d)."""
        return gram(self.scale_tril)

    @property
    def covariance(self) -> Any:
        """Cov(X) = Σ, shape batch + (d, d)."""
        return self.covariance_matrix

    @property
    def precision_matrix(self) -> Any:
        """P = Σ⁻¹, shape batch + (d, d)."""
        return inverse_gram(self.scale_tril)

    @classmethod
    def free_parameters(cls, fit: Self) -> int:
        """d + d(d + 1)/2."""
        (d,) = fit.event_shape
        return d + d * (d + 1) // 2

    @classmethod
    def check_known_value(cls, name: str, value: Any) -> None:
        """Raise `ValueError` unless it is a value that this parameter, or the covariance matrix, can have."""
        if name == "covariance_matrix":
            as_scale_tril(cls.__name__, covariance_matrix=value)
        else:
            super().check_known_value(name, value)

    # Parts.

    def marginal(self, indices: int | Sequence[int]) -> Any:
        """The distribution of some components, in that order; of a single one, named by an `int`, as a `Normal`.

        >>> MultivariateNormal([0.0, 1.0], [[4.0, 2.0], [2.0, 2.25]]).marginal(1)
        Normal(loc=1, scale=1.5)
        """
        if isinstance(indices, int | np.integer):
            whole = _marginal(self, _picked(self, (int(indices),)))
            return Normal(whole.loc[..., 0], whole.scale_tril[..., 0, 0])
        return _marginal(self, _picked(self, indices))

    def condition(self, indices: Sequence[int], values: ArrayLike) -> "MultivariateNormal":
        """The distribution of the other components, in their order, given the values of these: shape batch + (number of indices,).

        In the Cholesky factor of the covariance with the given components first, what lies below is the regression of the others on
        them, and what is left is the factor of their covariance: nothing is subtracted (Golub & Van Loan 2013, section 4.2).
        """
        picked = _picked(self, indices)
        if len(picked) == self.event_shape[0]:
            raise ValueError("Given all components there is none left to have a distribution.")
        values = values if hasattr(values, "shape") else np.asarray(values, np.float64)
        if np.ndim(values) == 0 or np.shape(values)[-1] != len(picked):
            raise ValueError(f"condition takes one value per index, on the last axis; got shape {np.shape(values)}.")
        return _conditional(self, values, picked)

    # Density.

    def _log_density(self, x: Array) -> Array:
        z = solve_lower(self.scale_tril, x - self.loc)
        return -0.5 * jnp.sum(z * z, axis=-1) - (log_det(self.scale_tril) + HALF_LOG_2PI * x.shape[-1])

    # Moments.

    def _mean(self) -> Any:
        return self.loc

    def _variance(self) -> Any:
        return jnp.sum(jnp.asarray(self.scale_tril) ** 2, axis=-1)

    def _mode(self) -> Any:
        return self.loc

    # Information.

    def _entropy(self) -> Any:
        return log_det(self.scale_tril) + (HALF_LOG_2PI + 0.5) * self.event_shape[0]

    def _kl(self, q: Self) -> Array:
        shift = solve_lower(q.scale_tril, self.loc - q.loc)
        return 0.5 * jnp.sum(shift * shift, axis=-1) + log_det_divergence(self.scale_tril, q.scale_tril)

    # Exponential family.

    def _natural(self) -> Array:
        z = solve_lower(self.scale_tril, self.loc)
        return join(solve_lower(self.scale_tril, z, transposed=True), half_dual(-0.5 * inverse(self.scale_tril)))

    @classmethod
    def _from_natural(cls, natural: Array, known: dict[str, Any]) -> Self:
        linear, quadratic = _split(natural)
        factor = cholesky_of_inverse(from_half_dual(-2.0 * quadratic))
        return cls._of(loc=matvec(product(factor), linear), scale_tril=factor)

    def _expectation(self) -> Array:
        return join(self.loc, half(product(self.scale_tril) + outer(self.loc, self.loc)))

    @classmethod
    def _from_expectation(cls, expectation: Array, known: dict[str, Any]) -> Self:
        loc, square = _split(expectation)
        return cls._of(loc=loc, scale_tril=cholesky(from_half(square) - outer(loc, loc)))

    def _log_normalizer(self) -> Any:
        z = solve_lower(self.scale_tril, self.loc)
        return 0.5 * jnp.sum(z * z, axis=-1) + log_det(self.scale_tril) + HALF_LOG_2PI * z.shape[-1]

    def _sufficient_statistics(self, x: Array) -> Array:
        return join(x, half(outer(x, x)))

    @classmethod
    def _gap_statistics(cls, gaps: Array) -> Array:
        d = from_half(gaps).shape[-1]
        return join(jnp.zeros((*gaps.shape[:-1], d), gaps.dtype), gaps)

    def _fisher_information(self) -> Array:
        """Cov of x and x xᵀ, by Isserlis' theorem."""
        covariance = product(self.scale_tril)
        m = jnp.broadcast_to(self.loc, covariance.shape[:-2] + self.loc.shape[-1:])
        i, j = np.tril_indices(m.shape[-1])
        cross = covariance[..., :, i] * m[..., None, j] + covariance[..., :, j] * m[..., None, i]
        means = outer(m, m)
        quartic = pair_products(covariance, covariance + means) + pair_products(means, covariance)
        return blocks(covariance, cross, quartic)

    def _fisher_solve(self, v: Array) -> Array:
        """F⁻¹ leads from a change of E[T], that is of mean and covariance, to one of P loc and −P/2."""
        first, second = _split(v)
        both = outer(first, self.loc)
        precision = inverse(self.scale_tril)
        change = from_half(second) - both - jnp.swapaxes(both, -1, -2)
        quadratic = 0.5 * matmul(matmul(precision, change), precision)
        return join(matvec(precision, first) - 2.0 * matvec(quadratic, self.loc), half_dual(quadratic))

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """loc = mean, Σ = mean of (x − loc)(x − loc)ᵀ."""
        loc, scatter, nothing = e.mean, from_half(e.gaps), (e.count <= 0, Reason.NO_DATA)
        if "loc" in e.known:
            mean, loc = align(Wide(e.mean, 1), Wide(e.known["loc"], 1))
            scatter = scatter + outer(mean - loc, mean - loc)
        if "covariance_matrix" in e.known:
            return cls._of(loc=loc, scale_tril=cholesky(e.known["covariance_matrix"])), Outcome.first(nothing)
        factor, singular = cholesky_unless_singular(scatter)
        return cls._of(loc=loc, scale_tril=factor), Outcome.first(nothing, (singular, Reason.TOO_FEW))

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        z = jax.random.normal(key, shape + self.event_shape, jnp.result_type(float))
        return self.loc + matvec(self.scale_tril, z)


def _split(vector: Array) -> tuple[Array, Array]:
    """A vector and the lower triangle of a matrix, from d + d(d + 1)/2 numbers on the last axis."""
    d = dimension_of_half(vector.shape[-1] + 1) - 1
    return vector[..., :d], vector[..., d:]


def _picked(d: MultivariateNormal, indices: Sequence[int]) -> tuple[int, ...]:
    """The indices as numbers from 0, distinct."""
    (size,) = d.event_shape
    picked = tuple(int(i) for i in indices)
    if not picked or not all(-size <= i < size for i in picked) or len({i % size for i in picked}) < len(picked):
        raise ValueError(f"Indices of components are distinct numbers from 0 to {size - 1}; got {list(indices)}.")
    return tuple(i % size for i in picked)


@in_float64(static_argnames=("indices",))
def _marginal(d: MultivariateNormal, indices: tuple[int, ...]) -> MultivariateNormal:
    chosen = np.array(indices)
    return type(d)._of(loc=d.loc[..., chosen], scale_tril=lower_factor(d.scale_tril[..., chosen, :]))


@in_float64(static_argnames=("indices",))
def _conditional(d: MultivariateNormal, values: Array, indices: tuple[int, ...]) -> MultivariateNormal:
    d, values = align(d, Wide(values, 1))
    given, k = np.array(indices), len(indices)
    others = np.setdiff1d(np.arange(d.event_shape[0]), given)
    factor = lower_factor(d.scale_tril[..., np.append(given, others), :])
    z = solve_lower(factor[..., :k, :k], values - d.loc[..., given])
    return type(d)._of(loc=d.loc[..., others] + matvec(factor[..., k:, :k], z), scale_tril=factor[..., k:, k:])
