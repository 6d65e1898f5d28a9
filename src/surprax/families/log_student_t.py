"""The log-Student distribution: a positive number whose logarithm is Student's t."""

from typing import Any, Self

import jax.numpy as jnp
from jax import Array

from surprax.families.base import Distribution, family
from surprax.families.outcomes import Outcome
from surprax.families.parameters import parameter, positive, real
from surprax.families.passes import Landscape
from surprax.families.student_t import StudentT
from surprax.families.supports import NONNEGATIVE, POSITIVE, Support

__all__ = ["LogStudentT"]


@family
class LogStudentT(Distribution):
    """Log-Student distribution: log X is StudentT(df, loc, scale), so that s(x) = log x + s_T(log x) for x > 0.

    Args:
        df: degrees of freedom ν, positive; P(X > x) falls like (log x)^−ν.
        loc: median of log X, finite.
        scale: of log X, positive.

    The law of the next observation from a LogNormal of unknown loc and scale. The tails are so heavy that mean and variance are
    +inf; at 0 the density is infinite, so that 0 is the mode. The entropy is NaN where log X has no mean, for df ≤ 1. `fit`
    is that of `StudentT` to log x. Source: Hogg & Klugman (1983), Journal of Econometrics 23, 91.

    >>> import numpy as np
    >>> print(f"{LogStudentT(3.0, 0.5, 2.0).log_sf(np.exp(4.5)) - StudentT(3.0, 0.5, 2.0).log_sf(4.5):.3f}")
    0.000
    >>> print(f"{LogStudentT(3.0, 0.5, 2.0).icdf(0.5) / np.exp(0.5):.3f}")  # the median is exp(loc)
    1.000
    """

    df: Any = parameter(positive)
    loc: Any = parameter(real, default=0.0)
    scale: Any = parameter(positive, default=1.0)

    data_support = POSITIVE

    @property
    def support(self) -> Support:
        return NONNEGATIVE

    @property
    def single_peaked(self) -> Any:
        """Not: besides the pole at 0 there may be another peak."""
        return jnp.zeros(self.batch_shape, bool)

    @property
    def _of_log(self) -> StudentT:
        return StudentT._of(df=self.df, loc=self.loc, scale=self.scale)

    # Density.

    def _log_density(self, x: Array) -> Array:
        zero = x == 0
        log_x = jnp.log(jnp.where(zero, 1.0, jnp.minimum(x, jnp.finfo(x.dtype).max)))
        inside = self._of_log._log_density(log_x) - jnp.where(jnp.isinf(x), x, log_x)
        return jnp.where(zero & ~jnp.isnan(inside), jnp.inf, inside)

    # Moments.

    def _mean(self) -> Any:
        return jnp.inf * self.df

    def _variance(self) -> Any:
        return jnp.inf * self.df

    def _mode(self) -> Any:
        return jnp.zeros_like(self.df)

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        zero = x == 0
        below = self._of_log._log_cdf(jnp.log(jnp.where(zero, 1.0, x)))
        return jnp.where(zero & ~jnp.isnan(below), -jnp.inf, below)

    def _log_sf(self, x: Array) -> Array:
        zero = x == 0
        above = self._of_log._log_sf(jnp.log(jnp.where(zero, 1.0, x)))
        return jnp.where(zero & ~jnp.isnan(above), 0.0, above)

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        return jnp.exp(self._of_log._quantile(log_p, log_q))

    # Information.

    def _entropy(self) -> Any:
        return self._of_log._entropy() + self._of_log._mean()

    def _kl(self, q: Self) -> Array:
        return self._of_log._kl(q._of_log)

    # Maximum likelihood.

    @classmethod
    def _fit_sample(
        cls, x: Array, weights: Array | None, known: dict[str, Any], start: Self | None = None
    ) -> tuple[Self, Outcome]:
        """That of log x."""
        t, outcome = StudentT._fit_sample(jnp.log(x), weights, known, None if start is None else start._of_log)
        return cls._of(df=t.df, loc=t.loc, scale=t.scale), outcome

    @classmethod
    def _landscape(cls) -> Landscape:
        of_log = StudentT._landscape()
        return of_log._replace(survey=lambda x, weights: of_log.survey(jnp.log(x), weights))

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        draw = jnp.exp(self._of_log._sample(key, shape))
        return jnp.clip(draw, jnp.finfo(draw.dtype).tiny, jnp.finfo(draw.dtype).max)
