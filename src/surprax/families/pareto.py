"""The Pareto distribution."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence import Carrier, Layout, Moments
from surprax.families.base import family
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, positive
from surprax.families.passes import mean_of, no_data, weighted_range
from surprax.families.supports import POSITIVE, Support
from surprax.numerics.elementary import log1mexp, log_ratio, scale_divergence, with_derivatives

__all__ = ["Pareto"]


def _carried(x: Array, known: Any) -> Array:
    """log(x/scale), NaN for an impossible x."""
    scale = jnp.asarray(known["scale"], x.dtype)
    return jnp.where(x >= scale, log_ratio(x, scale), jnp.nan)


@with_derivatives(
    lambda x, scale, alpha: -(alpha + 1.0) / x,
    lambda x, scale, alpha: alpha / scale,
    lambda x, scale, alpha: 1.0 / alpha - log_ratio(x, scale),
)
def _log_density_at(x: Array, scale: Array, alpha: Array) -> Array:
    """log of α scale^α x^(−α−1) for x ≥ scale."""
    return log_ratio(alpha, scale) - (alpha + 1.0) * log_ratio(x, scale)


@family
class Pareto(ExponentialFamily):
    """Pareto distribution: P(X > x) = (scale/x)^alpha, s(x) = (alpha + 1) log(x/scale) − log(alpha/scale) for x ≥ scale.

    Args:
        scale: the least possible value, positive.
        alpha: exponent of the tail, positive.

    log(X/scale) is exponential with rate alpha. An exponential family where the scale is known: natural parameter −alpha of
    T(x) = log(x/scale), with h(x) = 1/x; log-normaliser −log alpha. Without a known scale `fit` takes the least observation; it
    refuses data that are all equal. Moments that do not exist are +inf, and so is KL to a q with a greater scale. Source:
    Johnson, Kotz & Balakrishnan (1994), chapter 20.

    >>> print(f"{Pareto(2.0, 3.0).sf(4.0):.3f}")  # 2⁻³
    0.125
    >>> Pareto.fit([1.0, 2.0, 4.0])
    Pareto(scale=1, alpha=1.44269504)
    """

    scale: Any = parameter(positive)
    alpha: Any = parameter(positive)

    known_parameters = ("scale",)
    dimension = 1
    layout = Layout(
        Carrier(
            "log x/scale",
            _carried,
            lambda y, known: known["scale"] * jnp.exp(y),
            lower=0.0,
            needs_known=True,
            costly=True,
        )
    )
    gap_matrix = ((),)
    data_support = POSITIVE
    smooth = False

    @classmethod
    def _data_support(cls, known: dict[str, Any]) -> Support:
        return Support(np.min(known["scale"])) if "scale" in known else POSITIVE

    @property
    def support(self) -> Support:
        return Support(self.scale)

    # Density.

    def _log_density(self, x: Array) -> Array:
        return _log_density_at(x, self.scale, self.alpha)

    # Moments.

    def _mean(self) -> Any:
        exists = self.alpha > 1.0
        return jnp.where(exists, self.alpha / jnp.where(exists, self.alpha - 1.0, 1.0), jnp.inf) * self.scale

    def _variance(self) -> Any:
        exists = self.alpha > 2.0
        alpha = jnp.where(exists, self.alpha, 3.0)
        return jnp.where(exists, (self.scale / (alpha - 1.0)) ** 2 * (alpha / (alpha - 2.0)), jnp.inf)

    def _mode(self) -> Any:
        return self.scale

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return log1mexp(self.alpha * log_ratio(x, self.scale))

    def _log_sf(self, x: Array) -> Array:
        return -self.alpha * log_ratio(x, self.scale)

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        growth = -log_q / self.alpha
        # Far out the growth may overflow where the quantile does not.
        return jnp.where(growth > 20.0, jnp.exp(growth + jnp.log(self.scale)), self.scale * jnp.exp(growth))

    # Information.

    def _entropy(self) -> Any:
        return log_ratio(self.scale, self.alpha) + 1.0 / self.alpha + 1.0

    def _kl(self, q: Self) -> Array:
        covered = jnp.isnan(self.scale - q.scale) | (self.scale >= q.scale)
        shift = q.alpha * log_ratio(jnp.where(covered, self.scale, q.scale), q.scale)
        return jnp.where(covered, scale_divergence(q.alpha, self.alpha) + shift, jnp.inf * self.alpha * q.alpha)

    # Exponential family.

    def _natural(self) -> tuple[Any, ...]:
        return (-self.alpha,)

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        alpha = -natural[0]
        return cls._of(scale=known["scale"], alpha=jnp.where(alpha > 0, alpha, jnp.nan))

    def _expectation(self) -> tuple[Any, ...]:
        return (1.0 / self.alpha,)

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        (mean_log,) = expectation
        return cls._of(scale=known["scale"], alpha=1.0 / jnp.where(mean_log > 0, mean_log, jnp.nan))

    def _log_normalizer(self) -> Any:
        return -jnp.log(self.alpha)

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        return (log_ratio(x, self.scale),)

    @classmethod
    def _log_base(cls, x: Array, known: dict[str, Any]) -> Array:
        return -jnp.log(x)

    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]:
        return (((1.0 / self.alpha) ** 2,),)

    def _fitted_log_likelihood(self) -> Any:
        return jnp.log(self.alpha) - 1.0

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """alpha = 1/mean log(x/scale) for the known scale."""
        outcome = Outcome.first((e.count <= 0, Reason.NO_DATA), (e.mean <= 0, Reason.ALL_SAME))
        return cls._of(scale=e.known["scale"] * jnp.ones_like(e.mean), alpha=1.0 / e.mean), outcome

    @classmethod
    def _fit_sample(
        cls, x: Array, weights: Array | None, known: dict[str, Any], start: Self | None = None
    ) -> tuple[Self, Outcome]:
        """scale = least x, alpha = 1/mean log(x/scale)."""
        if x.shape[0] == 0:
            return no_data(cls, x)
        low, high = weighted_range(x, weights)
        outcome = Outcome.first((low > high, Reason.NO_DATA), (low == high, Reason.ALL_SAME))
        return cls._of(scale=low, alpha=1.0 / mean_of(weights)(log_ratio(x, low))), outcome

    @classmethod
    def _fit_with_and_without_each(cls, rows: Array, weights: Array | None) -> tuple[Self, Outcome, Self, Outcome]:
        """Least values, and sums of logarithms above the least of all, by fold."""
        lows, highs = jax.vmap(weighted_range, in_axes=(0, None if weights is None else 0))(rows, weights)
        kept = jnp.ones_like(rows) if weights is None else weights
        least = jnp.min(lows)
        numbers, sums = jnp.sum(kept, axis=1), jnp.sum(kept * log_ratio(rows, least), axis=1)

        def fit(folds: Array) -> tuple[Self, Outcome]:
            low = jnp.min(jnp.where(folds, lows, jnp.inf), axis=-1)
            high = jnp.max(jnp.where(folds, highs, -jnp.inf), axis=-1)
            number, total = (jnp.sum(jnp.where(folds, v, 0.0), axis=-1) for v in (numbers, sums))
            outcome = Outcome.first((low > high, Reason.NO_DATA), (low == high, Reason.ALL_SAME))
            return cls._of(scale=low, alpha=1.0 / (total / number - log_ratio(low, least))), outcome

        return *fit(jnp.ones(rows.shape[0], bool)), *fit(~jnp.eye(rows.shape[0], dtype=bool))

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        draw = self.scale * jnp.exp(jax.random.exponential(key, shape, jnp.result_type(float)) / self.alpha)
        return jnp.minimum(draw, jnp.finfo(draw.dtype).max)
