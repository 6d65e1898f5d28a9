"""The matrix normal distribution."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.families.base import Distribution, family
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, real
from surprax.families.scale_matrices import as_scale_tril, gram, lower_cholesky
from surprax.families.supports import REAL_MATRIX
from surprax.numerics.elementary import power_of_two
from surprax.numerics.linalg import (
    beside,
    cholesky_unless_singular,
    diagonal,
    inverse_gram,
    log_det,
    log_det_divergence,
    matmul,
    outer,
    solve_lower_matrix,
    transpose,
)
from surprax.numerics.normal import HALF_LOG_2PI

__all__ = ["MatrixNormal"]

_PASSES = 1000


@family
class MatrixNormal(Distribution):
    """Matrix normal distribution of matrices X (n × p), whose rows have the covariance U = A Aᵀ, and whose columns V = B Bᵀ.

        s(X) = ½ ‖A⁻¹ (X − loc) B⁻ᵀ‖² + p log det A + n log det B + np/2 · log 2π,    Cov(Xᵢⱼ, Xₖₗ) = Uᵢₖ Vⱼₗ

    Args:
        loc: mean and mode, n × p finite numbers on the last two axes; a single number stands for that many equal ones.
        scale_tril_row: A (n × n), lower triangular with a positive diagonal.
        scale_tril_column: B (p × p), likewise; the names are those of NumPyro.
        row_covariance, column_covariance: U and V, symmetric and positive definite, in place of their factors.

    U and V are told apart only up to a factor that one has and the other lacks; `fit` makes det V = 1. It climbs the likelihood by
    turns in U and V, and refuses too few observations. Since U ⊗ V is no linear space, this is a curved exponential family, and has
    no natural parameters here. Source: Dawid (1981), Biometrika 68, 265; Dutilleul (1999), Journal of Statistical Computation and
    Simulation 64, 105.

    >>> from surprax.families import MultivariateNormal
    >>> U, V = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[1.0, 0.3], [0.3, 2.0]])
    >>> d = MatrixNormal(0.0, row_covariance=U, column_covariance=V)
    >>> x = np.array([[1.0, 2.0], [0.0, -1.0]])
    >>> print(f"{d.log_prob(x) - MultivariateNormal(0.0, np.kron(U, V)).log_prob(x.reshape(4)):.3f}")
    0.000
    """

    loc: Any = parameter(real, event_dim=2)
    scale_tril_row: Any = parameter(lower_cholesky, event_dim=2)
    scale_tril_column: Any = parameter(lower_cholesky, event_dim=2)

    data_support = REAL_MATRIX
    event_dim = 2

    def __init__(
        self,
        loc: Any = 0.0,
        scale_tril_row: Any = None,
        scale_tril_column: Any = None,
        *,
        row_covariance: Any = None,
        column_covariance: Any = None,
    ) -> None:
        name = type(self).__name__
        rows = as_scale_tril(f"{name} (rows)", scale_tril=scale_tril_row, row_covariance=row_covariance)
        columns = as_scale_tril(f"{name} (columns)", scale_tril=scale_tril_column, column_covariance=column_covariance)
        shape = np.shape(rows)[-1], np.shape(columns)[-1]
        if np.ndim(loc) == 0:
            loc = (jnp if isinstance(loc, jax.Array) else np).full(shape, loc)
        if np.shape(loc)[-2:] != shape:
            raise ValueError(
                f"{name}: loc must be {shape[0]} × {shape[1]}, on the last two axes, as its factors are; got shape {np.shape(loc)}."
            )
        object.__setattr__(self, "loc", loc)
        object.__setattr__(self, "scale_tril_row", rows)
        object.__setattr__(self, "scale_tril_column", columns)
        self.__post_init__()

    @property
    def event_shape(self) -> tuple[int, ...]:
        """(n, p)."""
        return np.shape(self.loc)[-2:]

    @property
    def row_covariance(self) -> Any:
        """U, shape batch + (n, n)."""
        return gram(self.scale_tril_row)

    @property
    def column_covariance(self) -> Any:
        """V, shape batch + (p, p)."""
        return gram(self.scale_tril_column)

    @classmethod
    def free_parameters(cls, fit: Self) -> int:
        """np + n(n + 1)/2 + p(p + 1)/2 − 1."""
        n, p = fit.event_shape
        return n * p + n * (n + 1) // 2 + p * (p + 1) // 2 - 1

    # Density.

    def _log_density(self, x: Array) -> Array:
        return -0.5 * _squared_length(self, x - self.loc) - self._log_scales()

    def _log_scales(self) -> Array:
        """½ log det 2π (U ⊗ V)."""
        n, p = self.event_shape
        return p * log_det(self.scale_tril_row) + n * log_det(self.scale_tril_column) + HALF_LOG_2PI * (n * p)

    # Moments.

    def _mean(self) -> Any:
        return self.loc

    def _variance(self) -> Any:
        rows, columns = (jnp.sum(jnp.asarray(v) ** 2, axis=-1) for v in (self.scale_tril_row, self.scale_tril_column))
        return outer(rows, columns)

    def _mode(self) -> Any:
        return self.loc

    # Information.

    def _entropy(self) -> Any:
        n, p = self.event_shape
        return self._log_scales() + 0.5 * n * p

    def _kl(self, q: Self) -> Array:
        """With S = U_q⁻¹U and T = V_q⁻¹V, and τ = tr T/p, it is p D(τS) + n D(T/τ) + ½ ‖A_q⁻¹ (loc − loc_q) B_q⁻ᵀ‖², for the
        divergence D(S) = ½ (tr S − n − log det S) of `log_det_divergence`: no term is negative, and a factor that U gives to V
        costs nothing."""
        n, p = self.event_shape
        # A power of two, which rounds nothing, brings τ near 1; what is left of it has digits of its own.
        root = jnp.sqrt(
            jnp.sum(jnp.tril(solve_lower_matrix(q.scale_tril_column, self.scale_tril_column)) ** 2, axis=(-1, -2)) / p
        )
        power = jnp.round(jnp.log2(jax.lax.stop_gradient(jnp.where(jnp.isfinite(root) & (root > 0), root, 1.0))))
        two = beside(power_of_two(power, power.dtype), 2)
        row, column = two * self.scale_tril_row, self.scale_tril_column / two
        w = solve_lower_matrix(q.scale_tril_column, column - q.scale_tril_column)
        beyond = (jnp.sum(jnp.tril(w) ** 2, axis=(-1, -2)) + 2.0 * jnp.sum(diagonal(w), axis=-1)) / p  # τ − 1
        growth = beyond / (1.0 + jnp.sqrt(1.0 + beyond))  # √τ − 1
        rows = log_det_divergence(row, q.scale_tril_row, growth)
        columns = log_det_divergence(column, q.scale_tril_column, -growth / (1.0 + growth))
        return p * rows + n * columns + 0.5 * _squared_length(q, self.loc - q.loc)

    # Maximum likelihood.

    @classmethod
    def _fit_sample(
        cls, x: Array, weights: Array | None, known: dict[str, Any], start: Self | None = None
    ) -> tuple[Self, Outcome]:
        """U at its maximum given V, then V given U, and so on, from the mean products Gᵢⱼₖₗ of what is in the places ij and kl."""
        _, n, p = x.shape
        weights = jnp.ones(x.shape[0], x.dtype) if weights is None else weights
        total = jnp.sum(weights)
        share = (weights / jnp.where(total > 0, total, 1.0))[:, None, None]
        loc = jnp.sum(share * x, axis=0)
        x = x - loc[None]
        G = jnp.einsum("aij,akl->ijkl", share * x, x, precision="highest")

        def rows_given(columns: Array) -> Array:
            return jnp.einsum("ijkl,jl->ik", G, inverse_gram(columns), precision="highest") / p

        def columns_given(rows: Array) -> Array:
            return jnp.einsum("ijkl,ik->jl", G, inverse_gram(rows), precision="highest") / n

        def improve(state: Any) -> Any:
            count, (rows, columns), _, _ = state
            new_rows, flat = cholesky_unless_singular(rows_given(columns))
            new_columns, narrow = cholesky_unless_singular(columns_given(new_rows))
            size = jnp.exp(log_det(new_columns) / p)  # it goes to the rows
            new_rows, new_columns = size * new_rows, new_columns / size
            moved = jnp.maximum(_relative(new_rows, rows), _relative(new_columns, columns))
            return count + 1, (new_rows, new_columns), moved, flat | narrow

        def unfinished(state: Any) -> Array:
            count, _, moved, singular = state
            return (count < _PASSES) & (moved > 1e-12) & ~singular

        unit = jnp.eye(n, dtype=x.dtype), jnp.eye(p, dtype=x.dtype)
        first = unit if start is None else (start.scale_tril_row, start.scale_tril_column)
        begin = (jnp.int32(0), first, jnp.asarray(jnp.inf, x.dtype), total <= 0)
        _, (rows, columns), moved, singular = jax.lax.while_loop(unfinished, improve, begin)
        outcome = Outcome.first(
            (total <= 0, Reason.NO_DATA), (singular, Reason.TOO_FEW), (~(moved <= 1e-12), Reason.NOT_CONVERGED)
        )
        nothing = jnp.where(singular, jnp.nan, 0.0)
        return cls._of(loc=loc, scale_tril_row=rows + nothing, scale_tril_column=columns + nothing), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        z = jax.random.normal(key, shape + self.event_shape, jnp.result_type(float))
        return self.loc + matmul(matmul(self.scale_tril_row, z), transpose(self.scale_tril_column))


def _squared_length(d: MatrixNormal, deviation: Array) -> Array:
    """‖A⁻¹ D B⁻ᵀ‖²."""
    z = solve_lower_matrix(d.scale_tril_column, transpose(solve_lower_matrix(d.scale_tril_row, deviation)))
    return jnp.sum(z * z, axis=(-1, -2))


def _relative(a: Array, b: Array) -> Array:
    """Greatest change of a factor, in units of the standard deviation that it belongs to."""
    return jnp.max(jnp.abs(a - b) / jnp.sqrt(jnp.sum(a * a, axis=-1, keepdims=True)))
