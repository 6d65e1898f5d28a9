"""The Lomax distribution, Pareto's of the second kind."""

from collections.abc import Callable
from typing import Any, Self

import jax
import jax.numpy as jnp
from jax import Array

from surprax.families.base import Distribution, family
from surprax.families.generalized_beta_prime import GeneralizedBetaPrime
from surprax.families.gumbel import log_surprise, log_unlikely
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, positive
from surprax.families.passes import Survey, averages, climb_in_stages, mean_of, no_data, weighted_range
from surprax.families.supports import NONNEGATIVE
from surprax.numerics.elementary import log1p_minus, log1p_quotient, log_ratio, with_derivatives

__all__ = ["Lomax"]


@family
class Lomax(Distribution):
    """Lomax distribution: P(X > x) = (1 + x/scale)^−c, s(x) = (c + 1) log(1 + x/scale) − log(c/scale) for x ≥ 0.

    Args:
        concentration: exponent c of the tail, positive.
        scale: positive.

    The law of the next wait, Exponential with a rate that is Gamma(c, scale). log(1 + X/scale) is exponential with rate c; as c
    and scale grow together, so is X. Moments that do not exist are +inf. KL is `GeneralizedBetaPrime`'s, an integral. The
    likelihood of data whose mean square is at most twice their squared mean is greatest in that limit, unless it has another
    maximum: `fit` refuses them. Source: Johnson, Kotz & Balakrishnan (1994), chapter 20; Grimshaw (1993), Technometrics 35, 185.

    >>> print(f"{Lomax(3.0, 2.0).sf(2.0):.3f}")  # 2⁻³
    0.125
    >>> Lomax.fit([0.1, 0.3, 0.5, 1.0, 12.0])
    Lomax(concentration=0.901427445, scale=0.522421769)
    """

    concentration: Any = parameter(positive)
    scale: Any = parameter(positive, default=1.0)

    data_support = NONNEGATIVE

    # Density.

    def _log_density(self, x: Array) -> Array:
        return _log_lomax_density(x, self.concentration, self.scale)

    # Moments.

    def _mean(self) -> Any:
        exists = self.concentration > 1.0
        return jnp.where(exists, self.scale / jnp.where(exists, self.concentration - 1.0, 1.0), jnp.inf)

    def _variance(self) -> Any:
        exists = self.concentration > 2.0
        c = jnp.where(exists, self.concentration, 3.0)
        return jnp.where(exists, (self.scale / (c - 1.0)) ** 2 * (c / (c - 2.0)), jnp.inf)

    def _mode(self) -> Any:
        return jnp.zeros_like(self.scale)

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        """By way of the logarithm of −log P(X > x), which is that of x/scale where the growth may underflow."""
        slow = x < self.scale * (0.25 * jnp.finfo(x.dtype).eps)
        growth = jnp.log(_log_growth(jnp.where(slow, self.scale, x), self.scale))
        log_growth = jnp.where(slow, log_ratio(jnp.where(slow, x, self.scale), self.scale), growth)
        return log_unlikely(jnp.log(self.concentration) + log_growth)

    def _log_sf(self, x: Array) -> Array:
        return -self.concentration * _log_growth(x, self.scale)

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        growth = jnp.exp(log_surprise(log_p, log_q)) / self.concentration
        # Far out the growth may overflow where the quantile does not.
        far = growth > 20.0
        near = self.scale * jnp.expm1(jnp.where(far, 0.0, growth))
        return jnp.where(far, jnp.exp(jnp.where(far, growth, 0.0) + jnp.log(self.scale)), near)

    # Information.

    def _entropy(self) -> Any:
        return log_ratio(self.scale, self.concentration) + 1.0 / self.concentration + 1.0

    def _kl(self, q: Self) -> Array:
        return self._beta_prime._kl(q._beta_prime)

    @property
    def _beta_prime(self) -> GeneralizedBetaPrime:
        one = jnp.ones_like(self.concentration)
        return GeneralizedBetaPrime._of(
            concentration1=one, concentration0=self.concentration, power=one, scale=self.scale
        )

    # Maximum likelihood.

    @classmethod
    def _fit_sample(
        cls, x: Array, weights: Array | None, known: dict[str, Any], start: Self | None = None
    ) -> tuple[Self, Outcome]:
        """Newton's method in the scale alone, with the best concentration for each."""
        if x.shape[0] == 0:
            return no_data(cls, x)
        low, high = weighted_range(x, weights)
        zero = ~(high > 0)
        mean = jnp.where(zero, 1.0, mean_of(weights)(x))
        # The squared coefficient of variation is c/(c − 2), where c > 2.
        (square,) = averages(lambda x: ((x / mean) ** 2,), x, weights)
        light = square <= 2.0
        ratio = jnp.clip((square - 2.0) / square, 1e-3, 1.0) if start is None else mean / start.scale
        place = jnp.log1p(ratio)
        limit = jnp.where(zero, 0, jnp.where(light, 12, 60))
        end = climb_in_stages(_survey(mean), _move, place, x, weights, warm=start is not None, limit=limit)
        light &= ~(end.settled & (end.height > -1.0))
        ratio = jnp.expm1(end.place)
        concentration = 1.0 / averages(lambda x: (jnp.log1p(ratio * (x / mean)),), x, weights)[0]
        outcome = Outcome.first(
            (low > high, Reason.NO_DATA),
            (zero, Reason.ALL_ZERO),
            (light, Reason.NO_HEAVIER_THAN_EXPONENTIAL),
            (~end.settled, Reason.NOT_CONVERGED),
        )
        nowhere = jnp.where(zero, jnp.nan, jnp.inf)
        bad = zero | light
        return (
            cls._of(concentration=jnp.where(bad, nowhere, concentration), scale=jnp.where(bad, nowhere, mean / ratio)),
            outcome,
        )

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        growth = jax.random.exponential(key, shape, jnp.result_type(float)) / self.concentration
        draw = self.scale * jnp.expm1(growth)
        return jnp.minimum(draw, jnp.finfo(draw.dtype).max)


@with_derivatives(lambda x, scale: 1.0 / (x + scale), lambda x, scale: -(x / (x + scale)) / scale)
def _log_growth(x: Array, scale: Array) -> Array:
    """log(1 + x/scale)."""
    return jnp.where((x >= 0) & (scale > 0), log1p_quotient(x, scale), jnp.nan)


@with_derivatives(
    lambda x, c, scale: -(c + 1.0) / (x + scale),
    lambda x, c, scale: 1.0 / c - _log_growth(x, scale),
    lambda x, c, scale: (c * (x / (x + scale)) - scale / (x + scale)) / scale,
)
def _log_lomax_density(x: Array, c: Array, scale: Array) -> Array:
    """log of (c/scale) (1 + x/scale)^(−c − 1), whose slope in the scale would cancel for small c."""
    return log_ratio(c, scale) - (c + 1.0) * _log_growth(x, scale)


# Maximum likelihood. With t = x/mean, ρ = mean/scale and m(ρ) = mean log(1 + ρt), the best concentration is 1/m, and the mean
# log-likelihood less log(1/mean) is log(ρ/m) − m − 1, which is −1 in the exponential limit ρ = 0. The coordinate is log(1 + ρ).


def _survey(mean: Array) -> Callable[[Array, Array | None], Callable[[Array], Survey]]:
    def of(x: Array, weights: Array | None) -> Callable[[Array], Survey]:
        total = jnp.asarray(x.shape[0], x.dtype) if weights is None else jnp.sum(weights)

        def at(place: Array) -> Survey:
            ratio = jnp.expm1(place)

            def terms(x: Array) -> tuple[Array, ...]:
                t = x / mean
                v = t / (1.0 + ratio * t)
                # log(1 + ρt) − ρt/(1 + ρt) = log(1/(1 − ρv)) − ρv
                return jnp.log1p(ratio * t), v, v * v, -log1p_minus(-ratio * v)

            m, m1, m2, beyond = averages(terms, x, weights, total)
            # 1/ρ − m′/m, where m′ = m1 and m″ = −m2
            gain = beyond / (ratio * m)
            slope = gain - m1
            curve = m2 / m + m2 - gain * (1.0 / ratio + m1 / m)
            turn = 1.0 + ratio  # dρ/dplace
            height = jnp.log(ratio / m) - m - 1.0
            return height, (slope * turn)[None], (curve * turn * turn + slope * turn)[None, None]

        return at

    return of


def _move(place: Array, step: Array) -> Array:
    """The next place; the scale stays finite and positive."""
    return jnp.clip(place + step[0], 0.125 * place, 80.0)
