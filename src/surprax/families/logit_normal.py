"""The logit-normal distribution."""

from collections.abc import Callable
from typing import Any, Self

import jax
import jax.numpy as jnp
from jax import Array
from jax.lax import stop_gradient

from surprax.evidence import Carrier, Layout, Moments
from surprax.evidence.layout import SQUARE
from surprax.families.base import family
from surprax.families.exponential import ExponentialFamily
from surprax.families.normal import Normal
from surprax.families.outcomes import Outcome
from surprax.families.parameters import parameter, positive, real
from surprax.families.supports import OPEN_UNIT_INTERVAL
from surprax.numerics.elementary import log_ratio, with_derivatives
from surprax.numerics.normal import HALF_LOG_2PI
from surprax.numerics.quadrature import two_centre_nodes
from surprax.numerics.roots import newton

__all__ = ["LogitNormal"]


def _logit(x: Array) -> Array:
    return log_ratio(x, 1.0 - x)


@family
class LogitNormal(ExponentialFamily):
    """Logit-normal distribution: log(X/(1 − X)) is Normal(loc, scale); s(x) = s_Normal(logit x) + log x + log(1 − x) on (0, 1).

    Args:
        loc: mean of the log-odds, finite.
        scale: standard deviation of the log-odds, positive.

    Natural parameters (loc/scale², −1/(2 scale²)) of T(x) = (logit x, (logit x)²), with h(x) = 1/(x(1 − x)); log-normaliser as
    `Normal`'s. Mean, variance and E log x(1 − x) have no closed form and are integrals, by the trapezoidal rule, to full
    relative accuracy. For a scale above √2 there can be two peaks; the mode is the higher one. Source: Aitchison & Shen (1980),
    Biometrika 67, 261; Johnson (1949), Biometrika 36, 149.

    >>> print(f"{LogitNormal(1.0, 2.0).mean + LogitNormal(-1.0, 2.0).mean:.3f}")
    1.000
    >>> print(f"{LogitNormal(1.0, 2.0).kl(LogitNormal(0.5, 1.0)) - Normal(1.0, 2.0).kl(Normal(0.5, 1.0)):.3f}")
    0.000
    """

    loc: Any = parameter(real, default=0.0)
    scale: Any = parameter(positive, default=1.0)

    dimension = 2
    layout = Layout(Carrier("logit x", _logit, jax.nn.sigmoid, costly=True, exp_of=lambda x: x / (1.0 - x)), (SQUARE,))
    gap_matrix = ((0.0,), (1.0,))
    data_support = OPEN_UNIT_INTERVAL

    @property
    def single_peaked(self) -> Any:
        return self.scale <= 1.4142

    @property
    def _of_logit(self) -> Normal:
        return Normal._of(loc=self.loc, scale=self.scale)

    @classmethod
    def _with_logit(cls, n: Normal) -> Self:
        return cls._of(loc=n.loc, scale=n.scale)

    # Density.

    def _log_density(self, x: Array) -> Array:
        return self._of_logit._log_density(_logit(x)) - (jnp.log(x) + jnp.log1p(-x))

    # Moments.

    def _mean(self) -> Any:
        return _expected(lambda y, z: jax.nn.sigmoid(y), self.loc, self.scale, (0.0, 1.0))

    def _variance(self) -> Any:
        """E D² − (E D)² for the deviation D of x from the median, which loses a factor of 2 at most."""
        square = _expected(lambda y, z: self._deviation(y, z) ** 2, self.loc, self.scale, (-2.0, 2.0))
        return square - _expected(self._deviation, self.loc, self.scale, (-2.0, 2.0)) ** 2

    def _deviation(self, y: Array, z: Array) -> Array:
        """sigmoid(y) − sigmoid(loc), where y = loc + scale·z; nodes are on a new first axis."""
        loc, scale, sigmoid = jnp.asarray(self.loc)[None], jnp.asarray(self.scale)[None], jax.nn.sigmoid
        up = z > 0
        share = -jnp.expm1(-scale * jnp.where(up, z, -z))
        return share * jnp.where(up, sigmoid(y) * sigmoid(-loc), -sigmoid(-y) * sigmoid(loc))

    def _mode(self) -> Any:
        loc, scale = jnp.broadcast_arrays(self.loc, self.scale)
        log_odds = _mode_of_logit(jnp.where(loc < 0, -loc, loc), scale)
        return jax.nn.sigmoid(jnp.where(loc < 0, -log_odds, log_odds))

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return self._of_logit._log_cdf(_logit(x))

    def _log_sf(self, x: Array) -> Array:
        return self._of_logit._log_sf(_logit(x))

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        return jax.nn.sigmoid(self._of_logit._quantile(log_p, log_q))

    # Information.

    def _entropy(self) -> Any:
        """That of the log-odds, and E log x(1 − x)."""

        def stretch(y: Array, _: Array) -> Array:
            return jnp.abs(y) + 2.0 * jnp.log1p(jnp.exp(-jnp.abs(y)))

        return self._of_logit._entropy() - _expected(stretch, self.loc, self.scale, (0.0, 0.0))

    def _kl(self, q: Self) -> Array:
        return self._of_logit._kl(q._of_logit)

    # Exponential family: that of the Normal of logit x.

    def _natural(self) -> tuple[Any, ...]:
        return self._of_logit._natural()

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        return cls._with_logit(Normal._from_natural(natural, known))

    def _expectation(self) -> tuple[Any, ...]:
        return self._of_logit._expectation()

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        return cls._with_logit(Normal._from_expectation(expectation, known))

    def _log_normalizer(self) -> Any:
        return self._of_logit._log_normalizer()

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        return self._of_logit._sufficient_statistics(_logit(x))

    @classmethod
    def _log_base(cls, x: Array, known: dict[str, Any]) -> Array:
        return -(jnp.log(x) + jnp.log1p(-x))

    def _fitted_log_likelihood(self) -> Any:
        return -self._of_logit._entropy()

    def _fisher_information(self) -> Any:
        return self._of_logit._fisher_information()

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """loc = mean of logit x, scale = √(its mean squared deviation)."""
        n, outcome = Normal._fit_moments(e)
        return cls._with_logit(n), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        draw = jax.nn.sigmoid(self._of_logit._sample(key, shape))
        # Draws that round to an end are rounded to the number next to it instead, which data may take.
        return jnp.clip(draw, jnp.finfo(draw.dtype).tiny, 1.0 - jnp.finfo(draw.dtype).epsneg)


# Integrals.


def _expected(f: Callable[[Array, Array], Array], loc: Array, scale: Array, tilt: tuple[float, float]) -> Array:
    """E f(loc + scale·Z, Z) for a standard normal Z, where f changes like powers of e^y, none outside of `tilt`.

    An integrand φ(z) e^(ky) has its peak at z = k·scale, but f is level beyond y = 0: one centre of the nodes is where the peak
    can be, the other where y = 0.
    """
    loc, scale = jnp.broadcast_arrays(loc, scale)
    m, s = stop_gradient((loc, scale))
    peak = jnp.clip(-m / s, tilt[0] * s, tilt[1] * s)
    width = 1.4  # as for Student's t near the normal limit
    u, w, weight = stop_gradient(two_centre_nodes(width * s, m + s * peak, far=False))
    z = peak[None] + width * u
    y = w + ((loc - m)[None] + (scale - s)[None] * z)
    density = jnp.exp(-0.5 * z * z - HALF_LOG_2PI)
    return jnp.sum(width * weight * density * f(y, z), axis=0)


# The mode.


def _bend(y: Array, scale: Array) -> Array:
    """1 − (scale²/2)/cosh²(y/2), the slope of y − loc − scale² tanh(y/2)."""
    return 1.0 - 0.5 * (scale / jnp.cosh(0.5 * y)) ** 2


@with_derivatives(
    lambda loc, scale: 1.0 / _bend(_mode_of_logit(loc, scale), scale),
    lambda loc, scale: (
        2.0 * scale * jnp.tanh(0.5 * _mode_of_logit(loc, scale)) / _bend(_mode_of_logit(loc, scale), scale)
    ),
)
def _mode_of_logit(loc: Array, scale: Array) -> Array:
    """The greatest y with y = loc + scale² tanh(y/2), for loc ≥ 0: there the density of x is greatest.

    y − loc − scale² tanh(y/2) is convex for y > 0, and not negative at loc + scale²: Newton's method from there descends to it.
    """
    v = scale * scale

    def equation(y: Array) -> tuple[Array, Array]:
        return y - loc - v * jnp.tanh(0.5 * y), _bend(y, scale)

    root, _ = newton(equation, loc + v, loc, loc + v)
    return root
