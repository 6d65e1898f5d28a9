"""The logistic distribution."""

from collections.abc import Callable
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.families.base import Distribution, family
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, positive, real
from surprax.families.passes import (
    Landscape,
    Survey,
    averages,
    climb_in_stages,
    mean_of,
    no_data,
    sample_quantiles,
    weighted_range,
)
from surprax.families.supports import REAL
from surprax.numerics.elementary import logaddexp, with_derivatives
from surprax.numerics.quadrature import Located, divergence_on_nodes

__all__ = ["Logistic"]


@family
class Logistic(Distribution):
    """Logistic distribution: s(x) = 2 log(2 cosh(z/2)) + log scale, where z = (x − loc) / scale.

    Args:
        loc: mean and median, finite.
        scale: positive; the standard deviation is π scale / √3.

    The distribution function is the logistic function of z, so that z is the log-odds of X ≤ x. KL is an integral, by the
    trapezoidal rule, to full relative accuracy. `fit` refuses data that are all equal. Source: Johnson, Kotz & Balakrishnan
    (1995), chapter 23.

    >>> Logistic(1.0, 2.0).cdf(1.0).round(3).item()
    0.5
    >>> Logistic.fit([0.0, 1.0, 2.0, 5.0])
    Logistic(loc=1.76873..., scale=1.09426...)
    """

    loc: Any = parameter(real, default=0.0)
    scale: Any = parameter(positive, default=1.0)

    data_support = REAL

    # Density.

    def _log_density(self, x: Array) -> Array:
        return -2.0 * _log_two_cosh(0.5 * ((x - self.loc) / self.scale)) - jnp.log(self.scale)

    # Moments.

    def _mean(self) -> Any:
        return self.loc

    def _variance(self) -> Any:
        return (np.pi**2 / 3.0) * self.scale**2

    def _mode(self) -> Any:
        return self.loc

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return -logaddexp(0.0, (self.loc - x) / self.scale)

    def _log_sf(self, x: Array) -> Array:
        return -logaddexp(0.0, (x - self.loc) / self.scale)

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        return self.loc + self.scale * (log_p - log_q)

    # Information.

    def _entropy(self) -> Any:
        return jnp.log(self.scale) + 2.0

    def _kl(self, q: Self) -> Array:
        loc, scale, q_loc, q_scale = jnp.broadcast_arrays(self.loc, self.scale, q.loc, q.scale)
        return divergence_on_nodes(_LOCATED, (loc, scale), (q_loc, q_scale))

    # Maximum likelihood.

    @classmethod
    def _fit_sample(
        cls, x: Array, weights: Array | None, known: dict[str, Any], start: Self | None = None
    ) -> tuple[Self, Outcome]:
        """Newton's method in loc and log scale, from a median and the mean distance from it."""
        if x.shape[0] == 0:
            return no_data(cls, x)
        low, high = weighted_range(x, weights)
        same = low >= high
        if start is None:
            (median,) = sample_quantiles(x, weights, (0.5,))
            # The mean distance from the median is 2 log 2 scales.
            place = median, mean_of(weights)(jnp.abs(x - median)) / (2.0 * np.log(2.0))
        else:
            place = start.loc, start.scale
        limit = jnp.where(same, 0, 60)
        end = climb_in_stages(_survey, _move, place, x, weights, warm=start is not None, limit=limit)
        outcome = Outcome.first(
            (low > high, Reason.NO_DATA), (same, Reason.ALL_SAME), (~end.settled, Reason.NOT_CONVERGED)
        )
        loc, scale = end.place
        return cls._of(loc=jnp.where(same, low, loc), scale=jnp.where(same, 0.0, scale)), outcome

    @classmethod
    def _landscape(cls) -> Landscape:
        return Landscape(_survey, _move, lambda d: (d.loc, d.scale), lambda place: {"loc": place[0], "scale": place[1]})

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        return self.loc + self.scale * jax.random.logistic(key, shape, jnp.result_type(float))


@with_derivatives(jnp.tanh)
def _log_two_cosh(h: Array) -> Array:
    """log(2 cosh h) = |h| + log(1 + e^−2|h|)."""
    return jnp.abs(h) + jnp.log1p(jnp.exp(-2.0 * jnp.abs(h)))


def _log_standard(z: Array) -> Array:
    return -2.0 * _log_two_cosh(0.5 * z)


def _log_ratio(z: Array, w: Array, difference: Array, change: Array, shapes: Any, q_shapes: Any) -> Array:
    """log q/p, from log cosh(z/2 + d) − log cosh(z/2) = log(cosh d + tanh(z/2) sinh d) where w − z = 2d is small."""
    d = 0.5 * difference
    near = jnp.abs(d) < 0.5
    d = jnp.where(near, d, 0.0)
    close = -2.0 * jnp.log1p(2.0 * jnp.sinh(0.5 * d) ** 2 + jnp.tanh(0.5 * z) * jnp.sinh(d))
    return change + jnp.where(near, close, _log_standard(w) - _log_standard(z))


_LOCATED = Located(lambda: 1.0, _log_standard, _log_ratio)


def _survey(x: Array, weights: Array | None) -> Callable[[tuple[Array, Array]], Survey]:
    """Mean log-likelihood, gradient and Hessian in (loc/scale, log scale), from sums of t = tanh(z/2) and its slope."""
    total = jnp.asarray(x.shape[0], x.dtype) if weights is None else jnp.sum(weights)

    def at(place: tuple[Array, Array]) -> Survey:
        loc, scale = place

        def terms(x: Array) -> tuple[Array, ...]:
            z = (x - loc) / scale
            t = jnp.tanh(0.5 * z)
            slope = 0.5 * (1.0 - t * t)
            half = jnp.abs(x - loc) * (1.0 / scale)
            return half + 2.0 * jnp.log1p(jnp.exp(-half)), t, z * t, slope, z * slope, z * z * slope

        surprise, push, torque, h0, h1, h2 = averages(terms, x, weights, total)
        height = -surprise - jnp.log(scale)
        cross = push + h1
        return height, jnp.stack([push, torque - 1.0]), -jnp.array([[h0, cross], [cross, torque + h2]])

    return at


def _move(place: tuple[Array, Array], step: Array) -> tuple[Array, Array]:
    loc, scale = place
    return loc + scale * step[0], scale * jnp.exp(step[1])
