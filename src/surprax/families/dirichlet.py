"""The Dirichlet distribution."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import NEGATIVE_LOGS, Carrier
from surprax.families.base import family
from surprax.families.beta import Beta
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, positive
from surprax.families.supports import OPEN_SIMPLEX, SIMPLEX, Region
from surprax.numerics.dirichlet import (
    concentration_from_mean_logs,
    dirichlet_entropy,
    dirichlet_kl,
    fisher_diagonal,
    log_dirichlet_density,
    mean_logs,
    multivariate_log_beta,
    others,
    solve_fisher,
    solve_mean_logs,
    total,
)
from surprax.numerics.elementary import argmax
from surprax.numerics.gamma import trigamma

__all__ = ["Dirichlet"]


def _shares(x: Array) -> Array:
    return x / jnp.sum(x, axis=-1, keepdims=True)


_PROBABILITIES = Carrier(
    "x", _shares, lambda y: y, lower=0.0, upper=1.0, rank=1, neutral=lambda size: np.full(size, 1.0 / size)
)


@family
class Dirichlet(ExponentialFamily):
    """Dirichlet distribution of K probabilities: s(x) = −Σ (a_k − 1) log x_k + log B(a), log B(a) = Σ log Γ(a_k) − log Γ(Σ a).

    Args:
        concentration: exponents a_1, …, a_K on the last axis, positive; K is at least 2.

    Natural parameters a − 1 of T(x) = log x; log-normaliser log B(a). An observation is K numbers from 0 that sum to 1; what
    rounding leaves of that sum is divided out. On the border the density takes its limit, and is NaN where it has none (0
    and ∞ at once). Source: Kotz, Balakrishnan & Johnson (2000), chapter 49; the fit is by Newton's method (Minka 2000,
    "Estimating a Dirichlet distribution").

    >>> d = Dirichlet([2.0, 3.0, 5.0])
    >>> print(f"{d.log_prob([0.2, 0.3, 0.5]):.4f}", d.mean)
    2.1407 [0.2 0.3 0.5]
    >>> d.marginal(0)  # one against the rest
    Beta(concentration1=2, concentration0=8)
    """

    concentration: Any = parameter(positive, event_dim=1)

    dimension = None
    layout = Layout(_PROBABILITIES, (NEGATIVE_LOGS,))
    event_dim = 1
    data_support = OPEN_SIMPLEX

    def __post_init__(self) -> None:
        super().__post_init__()
        shape = np.shape(self.concentration)
        if not shape or shape[-1] < 2:
            raise ValueError(
                f"Dirichlet: concentration must have at least two numbers on its last axis; got an array of shape {shape}."
            )

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (int(np.shape(self.concentration)[-1]),)

    @property
    def support(self) -> Region:
        return SIMPLEX

    @classmethod
    def free_parameters(cls, fit: Self) -> int:
        return fit.event_shape[0]

    def marginal(self, k: int) -> Beta:
        """The distribution of component k alone: Beta(a_k, Σ a − a_k)."""
        a = np.asarray(self.concentration) if not isinstance(self.concentration, jax.Array) else self.concentration
        rest = np.delete(a, k, axis=-1).sum(axis=-1) if isinstance(a, np.ndarray) else others(a)[..., k]
        return Beta._of(concentration1=a[..., k], concentration0=rest)

    # Density.

    def _log_density(self, x: Array) -> Array:
        return log_dirichlet_density(x, self.concentration)

    # Moments.

    def _mean(self) -> Array:
        return self.concentration / total(self.concentration)

    def _variance(self) -> Array:
        n = total(self.concentration)
        return (self.concentration / n) * (others(self.concentration) / n) / (n + 1.0)

    def _mode(self) -> Array:
        """Components with a ≤ 1 are 0, the others in proportion to a − 1; of all a ≤ 1 the largest is alone, of all 1 none."""
        a = self.concentration
        above = jnp.maximum(a - 1.0, 0.0)
        some = jnp.sum(above, axis=-1, keepdims=True)
        alone = jax.nn.one_hot(argmax(a, axis=-1), a.shape[-1], dtype=a.dtype)
        flat = jnp.all(a == 1, axis=-1, keepdims=True)
        return jnp.where(some > 0, above / jnp.where(some > 0, some, 1.0), jnp.where(flat, 1.0 / a.shape[-1], alone))

    # Information.

    def _entropy(self) -> Array:
        return dirichlet_entropy(self.concentration)

    def _kl(self, q: Self) -> Array:
        return dirichlet_kl(q.concentration, self.concentration)

    # Exponential family.

    def _natural(self) -> Array:
        return self.concentration - 1.0

    @classmethod
    def _from_natural(cls, natural: Array, known: dict[str, Any]) -> Self:
        return cls._of(concentration=jnp.where(natural > -1, natural + 1.0, jnp.nan))

    def _expectation(self) -> Array:
        return mean_logs(self.concentration)

    @classmethod
    def _from_expectation(cls, expectation: Array, known: dict[str, Any]) -> Self:
        return cls._of(concentration=concentration_from_mean_logs(expectation))

    def _log_normalizer(self) -> Array:
        return multivariate_log_beta(self.concentration)

    def _sufficient_statistics(self, x: Array) -> Array:
        return jnp.log(_shares(x))

    @classmethod
    def _gap_statistics(cls, gaps: Array) -> Array:
        return -gaps

    def _fisher_information(self) -> Array:
        """diag ψ'(a) − ψ'(Σ a)."""
        a = self.concentration
        own = jnp.eye(a.shape[-1], dtype=a.dtype)
        own = own.reshape((1,) * (a.ndim - 1) + own.shape)
        return own * fisher_diagonal(a)[..., None] - (1.0 - own) * trigamma(total(a))[..., None]

    def _fisher_solve(self, v: Array) -> Array:
        return solve_fisher(self.concentration, v)

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """ψ(a_k) − ψ(Σ a) = mean log x_k."""
        same = jnp.all(e.gaps <= 0, axis=-1)
        a, found = solve_mean_logs(e.mean, e.gaps)
        outcome = Outcome.first((e.count <= 0, Reason.NO_DATA), (same, Reason.ALL_SAME), (~found, Reason.NOT_CONVERGED))
        return cls._of(concentration=a), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        """Gamma variables over their sum, by their logarithms, as those of small shapes underflow."""
        dtype = jnp.result_type(float)
        log_gammas = jax.random.loggamma(key, self.concentration, (*shape, *self.event_shape), dtype)
        # What underflows nevertheless is rounded to the smallest number that data may take.
        return jnp.maximum(jax.nn.softmax(log_gammas, axis=-1), jnp.finfo(dtype).tiny)
