"""The Laplace distribution."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence import Carrier, Layout, Moments
from surprax.families.base import family
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, positive, real
from surprax.families.passes import mean_of, no_data, sample_quantiles, weighted_median, weighted_range
from surprax.families.refits import MANY, fit_with_and_without_each
from surprax.families.supports import REAL
from surprax.numerics.elementary import deviance, expm1_minus, with_derivatives

__all__ = ["Laplace"]

_LOG_2 = float(np.log(2.0))


@family
class Laplace(ExponentialFamily):
    """Laplace (double exponential) distribution: surprise is a tent, s(x) = |x − loc| / scale + log(2 scale).

    Args:
        loc: mean and median, finite.
        scale: mean absolute deviation, positive.

    An exponential family where `loc` is known: natural parameter −1/scale of T(x) = |x − loc|, log-normaliser log(2 scale).
    `fit` gives the median (the middle of the medians, if there are several) and the mean absolute deviation from it; it
    refuses data that are all equal. Source: Kotz, Kozubowski & Podgórski (2001), chapter 2.

    >>> Laplace(0.0, 1.0).surprise(3.0).round(3).item()  # absolute error = Laplace surprise − log 2
    3.693
    >>> Laplace.fit([1.0, 2.0, 6.0])
    Laplace(loc=2, scale=1.66666667)
    """

    loc: Any = parameter(real, default=0.0)
    scale: Any = parameter(positive, default=1.0)

    known_parameters = ("loc",)
    dimension = 1
    layout = Layout(
        Carrier(
            "|x - loc|",
            lambda x, known: jnp.abs(x - known["loc"]),
            lambda y, known: known["loc"] + y,
            lower=0.0,
            needs_known=True,
        )
    )
    gap_matrix = ((),)
    data_support = REAL
    smooth = False

    # Density.

    def _log_density(self, x: Array) -> Array:
        return -jnp.abs(x - self.loc) / self.scale - (jnp.log(self.scale) + _LOG_2)

    # Moments.

    def _mean(self) -> Any:
        return self.loc

    def _variance(self) -> Any:
        return 2.0 * self.scale**2

    def _mode(self) -> Any:
        return self.loc

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return _log_half_exponential((x - self.loc) / self.scale)

    def _log_sf(self, x: Array) -> Array:
        return _log_half_exponential((self.loc - x) / self.scale)

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        tail = self.scale * (jnp.minimum(log_p, log_q) + _LOG_2)
        return self.loc + jnp.where(log_p < log_q, tail, -tail)

    # Information.

    def _entropy(self) -> Any:
        return jnp.log(self.scale) + (_LOG_2 + 1.0)

    def _kl(self, q: Self) -> Array:
        shift = self.loc - q.loc
        # Not `abs`, whose slope 0 at 0 would hide the curvature there.
        return _divergence(jnp.where(shift < 0, -shift, shift), self.scale, q.scale)

    # Exponential family.

    def _natural(self) -> tuple[Any, ...]:
        return (-1.0 / self.scale,)

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        (eta,) = natural
        return cls._of(loc=known["loc"], scale=-1.0 / jnp.where(eta < 0, eta, jnp.nan))

    def _expectation(self) -> tuple[Any, ...]:
        return (self.scale,)

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        (mean,) = expectation
        return cls._of(loc=known["loc"], scale=jnp.where(mean > 0, mean, jnp.nan))

    def _log_normalizer(self) -> Any:
        return jnp.log(self.scale) + _LOG_2

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        return (jnp.abs(x - self.loc),)

    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]:
        return ((self.scale**2,),)

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """scale = mean absolute deviation from the known loc."""
        outcome = Outcome.first((e.count <= 0, Reason.NO_DATA), (e.mean <= 0, Reason.ALL_SAME))
        return cls._of(loc=e.known["loc"] * jnp.ones_like(e.mean), scale=e.mean), outcome

    @classmethod
    def _fit_sample(
        cls, x: Array, weights: Array | None, known: dict[str, Any], start: Self | None = None
    ) -> tuple[Self, Outcome]:
        """loc = median, scale = mean absolute deviation from it."""
        if x.shape[0] == 0:
            return no_data(cls, x)
        low, high = weighted_range(x, weights)
        loc = weighted_median(x, weights)
        scale = mean_of(weights)(jnp.abs(x - loc))
        outcome = Outcome.first((low > high, Reason.NO_DATA), (low == high, Reason.ALL_SAME))
        return cls._of(loc=loc, scale=scale), outcome

    @classmethod
    def _fit_with_and_without_each(cls, rows: Array, weights: Array | None) -> tuple[Self, Outcome, Self, Outcome]:
        """Of very many rows, medians without a fold by Bahadur's (1966) expansion from the median of all.

        With F₋ₖ the distribution function of all but fold k, and f the density, the median moves by (½ − F₋ₖ(m)) / f; what that
        leaves out costs as little as in `refits`.
        """
        if rows.size < MANY:
            return fit_with_and_without_each(cls, rows, weights)
        x, w = rows.ravel(), None if weights is None else weights.ravel()
        fit, outcome = cls._fit_sample(x, w, {})
        kept = jnp.ones_like(rows) if weights is None else weights
        below = jnp.sum(kept * (0.5 * (rows < fit.loc) + 0.5 * (rows <= fit.loc)), axis=1)
        number = jnp.sum(kept, axis=1)
        share = (jnp.sum(below) - below) / (jnp.sum(number) - number)
        low, high = sample_quantiles(x, w, (0.48, 0.52))
        locs = fit.loc + (0.5 - share) * (high - low) / 0.04

        def scale_without(k: Array) -> Array:
            sums = jnp.sum(kept * jnp.abs(rows - locs[k]), axis=1)
            return (jnp.sum(sums) - sums[k]) / (jnp.sum(number) - number[k])

        scales = jax.lax.map(scale_without, jnp.arange(rows.shape[0]))
        return fit, outcome, cls._of(loc=locs, scale=scales), Outcome(jnp.zeros(rows.shape[0], jnp.int32))

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        return self.loc + self.scale * jax.random.laplace(key, shape, jnp.result_type(float))


def _log_half_exponential(z: Array) -> Array:
    """log P(Z ≤ z) of the standard distribution: e^z / 2 below 0, 1 − e^−z / 2 above."""
    below = z < 0
    return jnp.where(below, jnp.where(below, z, 0.0) - _LOG_2, jnp.log1p(-0.5 * jnp.exp(-jnp.where(below, 0.0, z))))


@with_derivatives(
    lambda gap, scale, q_scale: -jnp.expm1(-gap / scale) / q_scale,
    lambda gap, scale, q_scale: (
        ((scale - q_scale) / scale - jnp.exp(-gap / scale) * expm1_minus(gap / scale)) / q_scale
    ),
    lambda gap, scale, q_scale: (q_scale - scale - scale * expm1_minus(-gap / scale)) / q_scale / q_scale,
)
def _divergence(gap: Array, scale: Array, q_scale: Array) -> Array:
    """KL for a distance `gap` of the medians; with r = scale/q.scale and d = gap/scale: r (e^−d − 1 + d) + (r − 1 − log r)."""
    return (scale * expm1_minus(-gap / scale) + deviance(q_scale, scale)) / q_scale
