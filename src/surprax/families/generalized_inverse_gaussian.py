"""The generalized inverse Gaussian distribution."""

from typing import Any, Self

import jax.numpy as jnp
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import NEGATIVE_LOG, POSITIVE, RECIPROCAL
from surprax.families.base import family
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, positive
from surprax.families.supports import POSITIVE as POSITIVE_NUMBERS
from surprax.numerics.bessel_k import log_saddle_integral
from surprax.numerics.elementary import log_ratio, scale_divergence
from surprax.numerics.saddle import (
    draw_saddle,
    fit_saddle,
    log_saddle_tails,
    saddle_divergence,
    saddle_exponent,
    saddle_probabilities,
    saddle_quantile,
)

__all__ = ["GeneralizedInverseGaussian"]


@family
class GeneralizedInverseGaussian(ExponentialFamily):
    """Generalized inverse Gaussian distribution: density in proportion to x^(p−1) exp(−(a x + b/x)/2) for x > 0.

    It is held by two concentrations and a scale, in which no formula cancels; with r = x/scale,

        s(x) = concentration·(r − 1 − log r) + inverse_concentration·(1/r − 1 + log r) + log x + log J.

    The first divergence is that of a gamma density, of mean `scale`; the second is that of the reciprocal of a gamma variable, of
    mean 1/`scale`. Each is the limit as the other's concentration vanishes.

    Args:
        concentration: α = (√(p² + ab) + p)/2, positive.
        inverse_concentration: β = (√(p² + ab) − p)/2, positive.
        scale: m = 2α/a = b/(2β), positive: the mode of x·density(x).

    So p = α − β, a = 2α/m and b = 2βm, and J is 2 K_p(√(ab)) (b/a)^(p/2) m^(−p) e^(α+β). Natural parameters (p − 1, −a/2, −b/2)
    of T(x) = (log x, x, 1/x): `from_natural` makes the distribution from p, a and b. Log-normaliser log J − α − β + (α − β) log m.
    SciPy's name for it is geninvgauss(p, √(ab), scale=√(b/a)). Data whose likelihood is greatest at the border, at a gamma or an
    inverse gamma distribution, have no fit; the outcome says so. Source: Jørgensen (1982), Statistical Properties of the GIG.

    >>> p, a, b = -0.5, 3.0, 12.0  # p = −½ is the inverse Gaussian, of mean √(b/a) and concentration b
    >>> d = GeneralizedInverseGaussian.from_natural([p - 1, -a / 2, -b / 2])
    >>> print(f"{d.mean:.4f}, {d.variance - d.mean**3 / b:.4f}")
    2.0000, 0.0000
    """

    concentration: Any = parameter(positive)
    inverse_concentration: Any = parameter(positive)
    scale: Any = parameter(positive, default=1.0)

    dimension = 3
    layout = Layout(POSITIVE, (NEGATIVE_LOG, RECIPROCAL))
    gap_matrix = ((-1.0, 0.0), (0.0, 0.0), (0.0, 1.0))
    data_support = POSITIVE_NUMBERS

    # Density.

    def _log_density(self, x: Array) -> Array:
        above = self.concentration * scale_divergence(x, self.scale)
        below = self.inverse_concentration * scale_divergence(self.scale, x)
        return -(above + below) - jnp.log(x) - log_saddle_integral(self.concentration, self.inverse_concentration)

    # Moments.

    def _mean(self) -> Any:
        s, probability = self._log_points()
        return self.scale * jnp.sum(probability * jnp.exp(s), axis=0)

    def _variance(self) -> Any:
        s, probability = self._log_points()
        growth = jnp.expm1(s)
        centred = growth - jnp.sum(probability * growth, axis=0, keepdims=True)
        return self.scale**2 * jnp.sum(probability * centred**2, axis=0)

    def _mode(self) -> Any:
        """The positive root of α r² + (1 − p) r − β."""
        a, b = self.concentration, self.inverse_concentration
        lead = a - b - 1.0
        root = jnp.hypot(lead, 2.0 * jnp.sqrt(a) * jnp.sqrt(b))
        return self.scale * jnp.where(lead > 0, (lead + root) / (2.0 * a), 2.0 * b / (root + jnp.abs(lead)))

    def _log_points(self) -> tuple[Array, Array]:
        """Points log(x/scale) on a new leading axis and their probabilities; points that have none are at 0."""
        s, probability = saddle_probabilities(self.concentration, self.inverse_concentration)
        return jnp.where(probability > 0, s, 0.0), probability

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return log_saddle_tails(log_ratio(x, self.scale), self.concentration, self.inverse_concentration)[0]

    def _log_sf(self, x: Array) -> Array:
        return log_saddle_tails(log_ratio(x, self.scale), self.concentration, self.inverse_concentration)[1]

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        return self.scale * jnp.exp(saddle_quantile(log_p, log_q, self.concentration, self.inverse_concentration))

    # Information.

    def _entropy(self) -> Any:
        a, b = self.concentration, self.inverse_concentration
        s, probability = self._log_points()
        energy = saddle_exponent(s, jnp.asarray(a)[None], jnp.asarray(b)[None])
        return jnp.sum(probability * (energy + s), axis=0) + jnp.log(self.scale) + log_saddle_integral(a, b)

    def _kl(self, q: Self) -> Array:
        shift = log_ratio(self.scale, q.scale)
        return saddle_divergence(
            self.concentration, self.inverse_concentration, q.concentration, q.inverse_concentration, shift
        )

    # Exponential family.

    def _natural(self) -> tuple[Any, ...]:
        a, b = self.concentration, self.inverse_concentration
        return a - b - 1.0, -a / self.scale, -b * self.scale

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        p, a, b = natural[0] + 1.0, -2.0 * natural[1], -2.0 * natural[2]
        a, b = jnp.where(a > 0, a, jnp.nan), jnp.where(b > 0, b, jnp.nan)
        product = jnp.sqrt(a) * jnp.sqrt(b)
        larger = 0.5 * (jnp.hypot(p, product) + jnp.abs(p))
        smaller = 0.5 * product * (0.5 * product / larger)
        rising = p >= 0
        return cls._of(
            concentration=jnp.where(rising, larger, smaller),
            inverse_concentration=jnp.where(rising, smaller, larger),
            scale=jnp.where(rising, 2.0 * larger / a, 0.5 * b / larger),
        )

    def _expectation(self) -> tuple[Any, ...]:
        s, probability = self._log_points()
        log, x, reciprocal = (jnp.sum(probability * f, axis=0) for f in (s, jnp.exp(s), jnp.exp(-s)))
        return jnp.log(self.scale) + log, self.scale * x, reciprocal / self.scale

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        log, mean, reciprocal = expectation
        upper, lower, log_scale, *_, converged = fit_saddle(jnp.log(mean) - log, mean * reciprocal - 1.0)
        # At a limit, where one of them is 0, no distribution has these expectations.
        upper, lower = (jnp.where((v > 0) & converged, v, jnp.nan) for v in (upper, lower))
        return cls._of(concentration=upper, inverse_concentration=lower, scale=mean * jnp.exp(log_scale))

    def _log_normalizer(self) -> Any:
        a, b = self.concentration, self.inverse_concentration
        return log_saddle_integral(a, b) - (a + b) + (a - b) * jnp.log(self.scale)

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        return jnp.log(x), x, 1.0 / x

    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]:
        s, probability = self._log_points()
        statistics = s, jnp.expm1(s), jnp.expm1(-s)
        centred = [f - jnp.sum(probability * f, axis=0, keepdims=True) for f in statistics]
        units = 1.0, self.scale, 1.0 / self.scale
        return tuple(
            tuple(u * v * jnp.sum(probability * f * g, axis=0) for g, v in zip(centred, units))
            for f, u in zip(centred, units)
        )

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """Three equations, of which the best scale solves one in closed form; Newton's method for the two concentrations."""
        log_gap, reciprocal_gap = e.gaps[..., 0], e.gaps[..., 1] * e.mean
        upper, lower, log_scale, is_gamma, is_inverse, converged = fit_saddle(log_gap, reciprocal_gap)
        outcome = Outcome.first(
            (e.count <= 0, Reason.NO_DATA),
            ((log_gap <= 0) | (reciprocal_gap <= 0), Reason.ALL_SAME),
            (is_gamma, Reason.GAMMA_LIMIT),
            (is_inverse, Reason.INVERSE_GAMMA_LIMIT),
            (~converged, Reason.NOT_CONVERGED),
        )
        return cls._of(concentration=upper, inverse_concentration=lower, scale=e.mean * jnp.exp(log_scale)), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        s = draw_saddle(key, self.concentration, self.inverse_concentration, shape)
        return jnp.maximum(self.scale * jnp.exp(s), jnp.finfo(s.dtype).tiny)
