"""The log-Lomax distribution: a number whose logarithm is Lomax."""

from typing import Any, Self

import jax.numpy as jnp
from jax import Array

from surprax.families.base import Distribution, family
from surprax.families.lomax import Lomax
from surprax.families.parameters import parameter, positive
from surprax.families.supports import POSITIVE, Support
from surprax.numerics.elementary import log1p_quotient, log_ratio, with_derivatives

__all__ = ["LogLomax"]


@family
class LogLomax(Distribution):
    """Log-Lomax distribution: log(X/scale) is Lomax(concentration, rate), P(X > x) = (1 + log(x/scale)/rate)^−c for x ≥ scale.

    Args:
        scale: the least possible value, positive.
        concentration: exponent c of the tail of log X, positive.
        rate: scale of log(X/scale), positive.

    The law of the next observation from a Pareto(scale, alpha) whose alpha is Gamma(concentration, rate). The tail is heavier
    than any power's: mean and variance are +inf. The entropy is +inf where log X has no mean, for c ≤ 1; KL is +inf to a q with
    a greater scale. Source: Arnold & Press (1989), Journal of the American Statistical Association 84, 1079.

    >>> import numpy as np
    >>> print(f"{LogLomax(2.0, 3.0, 1.5).sf(2.0 * np.exp(1.5)):.3f}")  # 2⁻³
    0.125
    >>> alphas = np.random.default_rng(0).gamma(3.0, 1 / 1.5, 100_000)
    >>> print(f"{np.mean(4.0 ** -alphas):.2f} {LogLomax(2.0, 3.0, 1.5).sf(8.0):.2f}")  # a mixture of Paretos
    0.14 0.14
    """

    scale: Any = parameter(positive)
    concentration: Any = parameter(positive)
    rate: Any = parameter(positive, default=1.0)

    data_support = POSITIVE
    smooth = False
    lacks = {
        "fit": "it is what a belief predicts; of a known scale, Lomax.fit(log(x/scale)) fits the other two parameters"
    }

    @property
    def support(self) -> Support:
        return Support(self.scale)

    @property
    def _of_log(self) -> Lomax:
        """The law of log(X/scale)."""
        return Lomax._of(concentration=self.concentration, scale=self.rate)

    # Density.

    def _log_density(self, x: Array) -> Array:
        return _log_density(x, self.scale, self.concentration, self.rate)

    # Moments.

    def _mean(self) -> Any:
        return jnp.inf * self.scale * self.concentration * self.rate

    def _variance(self) -> Any:
        return jnp.inf * self.scale * self.concentration * self.rate

    def _mode(self) -> Any:
        return self.scale

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return self._of_log._log_cdf(log_ratio(x, self.scale))

    def _log_sf(self, x: Array) -> Array:
        return self._of_log._log_sf(log_ratio(x, self.scale))

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        return self.scale * jnp.exp(self._of_log._quantile(log_p, log_q))

    # Information.

    def _entropy(self) -> Any:
        """That of log X, and E log X."""
        return self._of_log._entropy() + (jnp.log(self.scale) + self._of_log._mean())

    def _kl(self, q: Self) -> Array:
        """With d = log(scale/q.scale) ≥ 0, q given X ≥ scale is a Lomax of log(X/scale) too, of rate q.rate + d."""
        covered = jnp.isnan(self.scale - q.scale) | (self.scale >= q.scale)
        above = log_ratio(jnp.where(covered, self.scale, q.scale), q.scale)
        given = Lomax._of(concentration=q.concentration, scale=q.rate + above)
        value = self._of_log._kl(given) - q._of_log._log_sf(above)
        return jnp.where(covered, value, jnp.inf * self._wide_parameters * q._wide_parameters)

    @property
    def _wide_parameters(self) -> Any:
        """NaN where one of them is."""
        return self.scale * self.concentration * self.rate

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        draw = self.scale * jnp.exp(self._of_log._sample(key, shape))
        return jnp.minimum(draw, jnp.finfo(draw.dtype).max)


def _growth(x: Array, scale: Array, rate: Array) -> Array:
    """log(1 + log(x/scale)/rate), for a body that is not differentiated."""
    return log1p_quotient(log_ratio(x, scale), rate)


def _steepness(x: Array, scale: Array, c: Array, rate: Array) -> Array:
    return (c + 1.0) / (rate + log_ratio(x, scale))


@with_derivatives(
    lambda x, scale, c, rate: -(1.0 + _steepness(x, scale, c, rate)) / x,
    lambda x, scale, c, rate: _steepness(x, scale, c, rate) / scale,
    lambda x, scale, c, rate: 1.0 / c - _growth(x, scale, rate),
    lambda x, scale, c, rate: (
        (c * (log_ratio(x, scale) / (rate + log_ratio(x, scale))) - rate / (rate + log_ratio(x, scale))) / rate
    ),
)
def _log_density(x: Array, scale: Array, c: Array, rate: Array) -> Array:
    """log of c/(rate x) (1 + log(x/scale)/rate)^(−c − 1), of whose first factor no parts cancel."""
    most = jnp.finfo(x.dtype).max
    front = c / rate
    ordinary = (front > 1.0 / most) & (front < most)
    first = jnp.where(ordinary, log_ratio(jnp.where(ordinary, front, 1.0), x), log_ratio(c, rate) - jnp.log(x))
    valid = (x >= scale) & (scale > 0) & (c > 0) & (rate > 0)
    return jnp.where(valid, first - (c + 1.0) * _growth(x, scale, rate), jnp.nan)
