"""The generalized beta prime distribution: powers of a ratio of gammas."""

import math
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
from jax import Array

from surprax.families.base import Distribution, family
from surprax.families.beta import Beta
from surprax.families.parameters import parameter, positive
from surprax.families.supports import NONNEGATIVE, POSITIVE, Support
from surprax.numerics.elementary import expm1_minus, log1mexp, log1p_minus, log_ratio, with_derivatives
from surprax.numerics.gamma import log_factorial, stirling_error
from surprax.numerics.gamma_differences import (
    digamma_difference,
    log_beta,
    log_gamma_difference,
    log_gamma_difference_beyond,
    log_minus_digamma_drop,
)
from surprax.numerics.incomplete_beta import beta_quantile_from_log, log_betainc
from surprax.numerics.normal import HALF_LOG_2PI
from surprax.numerics.quadrature import Located, divergence_on_nodes

__all__ = ["GeneralizedBetaPrime"]


@family
class GeneralizedBetaPrime(Distribution):
    """Generalized beta prime distribution, of scale·(G₁/G₀)^(1/p) for independent standard gammas G₁ and G₀ of shapes a and b.

    With y = p log(x/scale), s(x) = −a log σ(y) − b log σ(−y) + log B(a, b) − log(p/x) for x ≥ 0, where σ(y) = 1/(1 + e^−y).

    Args:
        concentration1: a, positive; at 0 the density goes like x^(a p − 1).
        concentration0: b, positive; the tail falls like x^−(b p).
        power: p, positive.
        scale: positive.

    The law of the next observation in many conjugate models: of Gamma and InverseGamma variables of unknown rate (p = 1), of
    HalfNormal, Rayleigh and Maxwell of unknown scale (p = 2), of Weibull (p its shape). The log-odds y are those of Beta(a, b).
    Moments that do not exist are +inf. KL is an integral, by the trapezoidal rule; it is Beta's where power and scale agree.
    Source: Johnson, Kotz & Balakrishnan (1995), chapter 25.7; McDonald (1984), Econometrica 52, 647 (GB2).

    >>> p, q = GeneralizedBetaPrime(2.0, 3.0, 4.0, 5.0), GeneralizedBetaPrime(2.5, 3.5, 4.0, 5.0)
    >>> print(f"{p.kl(q) - Beta(2.0, 3.0).kl(Beta(2.5, 3.5)):.4f}")
    0.0000
    >>> print(f"{GeneralizedBetaPrime(1.0, 3.0).sf(1.0):.3f}")  # Lomax: 2⁻³
    0.125
    """

    concentration1: Any = parameter(positive)
    concentration0: Any = parameter(positive)
    power: Any = parameter(positive, default=1.0)
    scale: Any = parameter(positive, default=1.0)

    data_support = POSITIVE
    lacks: ClassVar[dict[str, str]] = {
        "fit": "data hardly tell its four parameters apart; Lomax, Weibull and Gamma are members and limits that do fit"
    }

    @property
    def support(self) -> Support:
        return NONNEGATIVE

    def _log_odds(self, x: Array) -> Array:
        return self.power * log_ratio(x, self.scale)

    # Density.

    def _log_density(self, x: Array) -> Array:
        """At 0 it is the limit of the formula: ∓∞, or finite where a·p = 1."""
        a, b, p = self.concentration1, self.concentration0, self.power
        zero = x == 0
        inner = jnp.where(zero, self.scale, jnp.minimum(x, jnp.finfo(x.dtype).max))
        inside = _log_density_of_log_odds(self._log_odds(inner), a, b) + log_ratio(p, inner)
        inside = jnp.where(jnp.isinf(x), -x, inside)
        rise = a * p
        # For p = 1 it starts to fall in proportion to x, for greater powers level, for smaller ones vertically.
        first = jnp.where(p > 1.0, 0.0, jnp.where(p < 1.0, jnp.inf, (a + b) / self.scale))
        finite = log_ratio(p, self.scale) - log_beta(a, b) - jnp.where(zero, x, 0.0) * first
        limit = jnp.where(rise > 1.0, -jnp.inf, jnp.where(rise < 1.0, jnp.inf, finite))
        return jnp.where(zero & ~jnp.isnan(inside), limit, inside)

    # Moments: E X^k = scale^k B(a + k/p, b − k/p)/B(a, b), for k < b p.

    def _mean(self) -> Any:
        step = 1.0 / self.power
        exists = self.concentration0 > step
        return jnp.where(exists, self._mean_where(exists, step), jnp.inf)

    def _variance(self) -> Any:
        """mean² (E X²/mean² − 1), where the logarithm of the ratio is a second difference of log Γ in a, and one in b."""
        step = 1.0 / self.power
        exists = self.concentration0 > 2.0 * step
        b = jnp.where(exists, self.concentration0, 2.0 * step + 1.0)
        log_excess = _second_difference(self.concentration1, step) + _second_difference(b - 2.0 * step, step)
        mean = self._mean_where(exists, step)
        return jnp.where(exists, mean * jnp.expm1(log_excess) * mean, jnp.inf)

    def _mean_where(self, exists: Array, step: Array) -> Array:
        """scale Γ(a + step) Γ(b − step)/(Γ(a) Γ(b)); a stand-in where it does not exist."""
        a, b = self.concentration1, jnp.where(exists, self.concentration0, 2.0 * step + 1.0)
        below = b - step
        beyond = log_gamma_difference_beyond(a, step) - log_gamma_difference_beyond(below, step)
        # In halves, as the power may leave the range of numbers where the mean does not.
        half = (a / below) ** (0.5 * step)
        return half * (self.scale * jnp.exp(beyond)) * half

    def _mode(self) -> Any:
        a, b, p = self.concentration1, self.concentration0, self.power
        rise = jnp.maximum(a * p - 1.0, 0.0)
        inside = rise > 0
        odds = jnp.where(inside, rise, 1.0) / (b * p + 1.0)
        return jnp.where(inside, self.scale * odds ** (1.0 / p), 0.0)

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return _log_below(self._log_odds(x), self.concentration1, self.concentration0)

    def _log_sf(self, x: Array) -> Array:
        return _log_below(-self._log_odds(x), self.concentration0, self.concentration1)

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        log_odds = _quantile_of_log_odds(self.concentration1, self.concentration0, log_p, log_q)
        half = jnp.exp(0.5 * log_odds / self.power)
        return half * self.scale * half

    # Information.

    def _entropy(self) -> Any:
        """That of the log-odds, in the saddle-point form below, and E log(dx/dy)."""
        a, b = self.concentration1, self.concentration0
        n = a + b
        of_log_odds = a * log_minus_digamma_drop(a, n, b) + b * log_minus_digamma_drop(b, n, a) - _log_level(a, b)
        return of_log_odds + log_ratio(self.scale, self.power) + digamma_difference(a, b) / self.power

    def _kl(self, q: Self) -> Array:
        """On the axis of log x, in units that make the difference of the widths 1/p exact, from the centre of q."""
        a, b, p, s, c, d, q_p, q_s = jnp.broadcast_arrays(*self._leaves(), *q._leaves())
        centre = log_ratio(c + 1.0, d + 1.0)
        loc = q_p * _centre_shift(a, b, c, d) + centre * (q_p - p) + p * q_p * log_ratio(s, q_s)
        return divergence_on_nodes(_LOCATED, (loc, q_p, a, b), (jnp.zeros_like(loc), p, c, d))

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        dtype = jnp.result_type(float)
        logs = [
            jax.random.loggamma(k, shape_, shape, dtype)
            for k, shape_ in zip(jax.random.split(key), (self.concentration1, self.concentration0))
        ]
        draw = self.scale * jnp.exp((logs[0] - logs[1]) / self.power)
        return jnp.clip(draw, jnp.finfo(dtype).tiny, jnp.finfo(dtype).max)


# Numerics of the log-odds y of a Beta variable. With n = a + b, d = y − log(a/b), r = n σ(y)/a and s = n σ(−y)/b,
#
#     log p(y) = a log r + b log s + C,    C = ½ log(a b/(2π n)) − μ(a) − μ(b) + μ(n),
#
# with Stirling's correction μ: Loader's saddle-point form (2000). Around d = 0 all rests on the excess e = n σ(y) − a, as
# r = 1 + e/a and s = 1 − e/b, and the linear parts of the two logarithms cancel.


def _log_level(a: Array, b: Array) -> Array:
    """C, the log-density at d = 0."""
    n = a + b
    return (
        0.5 * (jnp.log(a) + jnp.log(b / n)) - HALF_LOG_2PI - (stirling_error(a) + stirling_error(b) - stirling_error(n))
    )


def _excess(d: Array, a: Array, b: Array) -> Array:
    """n σ(y) − a = a b (e^d − 1)/(a e^d + b)."""
    decay = jnp.exp(-jnp.abs(d))
    up = d > 0
    size = -jnp.expm1(-jnp.abs(d)) / jnp.where(up, a + b * decay, b + a * decay)
    return a * (b * jnp.where(up, size, -size))


def _log_ratios(d: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """(log r, log s): the one of the greater shape as the log of its mean over the other's, the other by the difference d."""
    less = a < b
    share = jnp.where(less, a, b) / (a + b)
    up = jnp.where(less, d, -d)
    far = up > 20.0
    near = jnp.log1p(share * jnp.expm1(jnp.where(far, 0.0, up)))
    first = -jnp.where(far, jnp.logaddexp(jnp.log1p(-share), jnp.log(share) + jnp.where(far, up, 20.0)), near)
    return jnp.where(less, first + d, first), jnp.where(less, first, first - d)


def _is_central(d: Array) -> Array:
    return jnp.abs(d) < 1.0


def _density(d: Array, a: Array, b: Array) -> Array:
    central, e = _is_central(d), _excess(d, a, b)
    log_r, log_s = _log_ratios(d, a, b)
    return jnp.where(central, a * log1p_minus(e / a) + b * log1p_minus(-e / b), a * log_r + b * log_s) + _log_level(
        a, b
    )


@with_derivatives(
    lambda y, a, b: -_excess(y - log_ratio(a, b), a, b),
    lambda y, a, b: _log_ratios(y - log_ratio(a, b), a, b)[0] + log_minus_digamma_drop(a, a + b, b),
    lambda y, a, b: _log_ratios(y - log_ratio(a, b), a, b)[1] + log_minus_digamma_drop(b, a + b, a),
)
def _log_density_of_log_odds(y: Array, a: Array, b: Array) -> Array:
    """a log σ(y) + b log σ(−y) − log B(a, b)."""
    return _density(y - log_ratio(a, b), a, b)


def _log_beyond(u: Array, log_r: Array, central: Array) -> Array:
    """log r − u for r = 1 + u."""
    return jnp.where(central, log1p_minus(jnp.where(central, u, 0.0)), log_r - u)


@with_derivatives(
    lambda d, a, b: -_excess(d, a, b),
    lambda d, a, b: (
        _log_beyond(_excess(d, a, b) / a, _log_ratios(d, a, b)[0], _is_central(d)) + log_minus_digamma_drop(a, a + b, b)
    ),
    lambda d, a, b: (
        _log_beyond(-_excess(d, a, b) / b, _log_ratios(d, a, b)[1], _is_central(d))
        + log_minus_digamma_drop(b, a + b, a)
    ),
)
def _log_centred(d: Array, a: Array, b: Array) -> Array:
    """The same at d, the distance of y from log(a/b): here d stays as the shapes move."""
    return _density(d, a, b)


# Tails. Where σ(y) is so small that it may underflow, its distribution function is the power e^(ay)/(a B(a, b)).


def _log_power_factor(a: Array, b: Array) -> Array:
    """−log(a B(a, b))."""
    return log_gamma_difference(b, a) - log_factorial(a)


def _is_power(y: Array, b: Array) -> Array:
    return y + jnp.log1p(b) < jnp.log(jnp.finfo(y.dtype).eps) - 2.0


def _log_below(y: Array, a: Array, b: Array) -> Array:
    """log P(Y ≤ y) for the log-odds Y of Beta(a, b)."""
    low, high = _is_power(y, b), _is_power(-y, a)
    middle = jnp.where(low | high, 0.0, y)
    by_low = a * jnp.where(low, y, -1.0) + _log_power_factor(a, b)
    by_high = -b * jnp.where(high, y, 1.0) + _log_power_factor(b, a)
    value = log_betainc(a, b, jax.nn.sigmoid(middle), jax.nn.sigmoid(-middle))
    return jnp.where(low, by_low, jnp.where(high, log1mexp(-jnp.where(high, by_high, -1.0)), value))


def _quantile_of_log_odds(a: Array, b: Array, log_p: Array, log_q: Array) -> Array:
    by_low, by_high = (log_p - _log_power_factor(a, b)) / a, (_log_power_factor(b, a) - log_q) / b
    low, high = _is_power(by_low, b), _is_power(-by_high, a)
    half = -math.log(2.0)
    x, rest = beta_quantile_from_log(a, b, jnp.where(low | high, half, log_p), jnp.where(low | high, half, log_q))
    return jnp.where(low, by_low, jnp.where(high, by_high, log_ratio(x, rest)))


# Moments.


def _second_difference(a: Array, step: Array) -> Array:
    """lnΓ(a + 2 step) − 2 lnΓ(a + step) + lnΓ(a)."""
    beyond = log_gamma_difference_beyond(a + step, step) - log_gamma_difference_beyond(a, step)
    return step * jnp.log1p(step / a) + beyond


# Divergence. The centre of the nodes is at y = log((a + 1)/(b + 1)): for large shapes that is the middle, for small ones the
# place where the density turns from its level part to a steep fall.


def _lean(a: Array, b: Array) -> Array:
    """The centre of the nodes, from log(a/b)."""
    return jnp.log1p(1.0 / a) - jnp.log1p(1.0 / b)


def _centre_shift(a: Array, b: Array, c: Array, d: Array) -> Array:
    """How far the centre for (a, b) is above that for (c, d)."""
    return jnp.log1p((a - c) / (1.0 + c)) - jnp.log1p((b - d) / (1.0 + d))


def _width(a: Array, b: Array) -> Array:
    """The singularities of the log-density are at y = ±iπ; large shapes concentrate it."""
    n = a + b
    return 1.4 / jnp.sqrt(1.0 + n * ((a + 1.0) / (n + 2.0)) * ((b + 1.0) / (n + 2.0)))


def _log_standard(z: Array, a: Array, b: Array) -> Array:
    return _log_centred(z + _lean(a, b), a, b)


def _log_ratio(z: Array, w: Array, difference: Array, change: Array, shapes: Any, q_shapes: Any) -> Array:
    """log q/p, where log x gives log-odds y under p and v under q: a change of shapes at y, and one of place from y to v.

    The first is linear in the change of shapes less its mean, the divergence of the Betas. The second is
    e·(v − y) + n κ(v − y) with q's shapes, its sign changed, and κ(u) = log(1 + σ(y)(e^u − 1)) − σ(y) u.
    """
    (a, b), (c, d) = shapes, q_shapes
    n, shift = a + b, _centre_shift(a, b, c, d)
    log_r, log_s = _log_ratios(z + _lean(a, b), a, b)
    p_beta, q_beta = (Beta._of(concentration1=one, concentration0=zero) for one, zero in (shapes, q_shapes))
    of_shapes = (c - a) * (log_r + log_minus_digamma_drop(a, n, b)) + (d - b) * (
        log_s + log_minus_digamma_drop(b, n, a)
    )
    step = difference - shift
    near = jnp.abs(step) < 30.0
    u = jnp.where(near, step, 0.0)
    y = z + log_ratio(a + 1.0, b + 1.0)
    # By way of the smaller of σ(y) and σ(−y), so that little is lost to cancellation.
    up = y > 0
    u_less, less = jnp.where(up, -u, u), jax.nn.sigmoid(jnp.where(up, -y, y))
    rise = less * jnp.expm1(u_less)
    far = rise > 1.0
    central = log1p_minus(jnp.where(far, 0.0, rise)) + less * expm1_minus(jnp.where(far, 0.0, u_less))
    kappa = jnp.where(far, jnp.log1p(jnp.where(far, rise, 0.0)) - less * u_less, central)
    of_place = -(_excess(z + shift + _lean(c, d), c, d) * u + (c + d) * kappa)
    close = of_shapes - p_beta._kl(q_beta) + of_place
    return change + jnp.where(near, close, _log_standard(w, c, d) - _log_standard(z, a, b))


_LOCATED = Located(_width, _log_standard, _log_ratio)
