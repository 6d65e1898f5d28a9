"""The logarithmic series distribution."""

import math
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import POSITIVE
from surprax.families.base import family
from surprax.families.discrete import choose_logits, sigmoid, smallest_quantile, softplus
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import Constraint, parameter, real
from surprax.families.supports import POSITIVE_INTEGERS
from surprax.numerics.elementary import (
    by_dtype,
    expm1_minus,
    log1mexp,
    polynomial,
    with_derivatives,
)
from surprax.numerics.normal import gauss_legendre

__all__ = ["Logarithmic"]

_inside = Constraint("between 0 and 1, and neither", lambda v: (v > 0) & (v < 1))


@family
class Logarithmic(ExponentialFamily):
    """Logarithmic series distribution: s(x) = log x − x log probs + log(−log(1 − probs)) for x = 1, 2, …

    Args:
        probs: in (0, 1): near 0 all is at x = 1, near 1 the mean is large; or else
        logits: log-odds log(probs/(1 − probs)), finite. These are what is stored.

    Natural parameter log probs of T(x) = x; log-normaliser log(−log(1 − probs)); log h(x) = −log x. The mean is
    e^logits/log(1 + e^logits). `fit` matches it to that of the data; it refuses data that are all 1. Numbers of individuals per
    species follow it. Source: Fisher, Corbet & Williams (1943); Johnson, Kemp & Kotz (2005), chapter 7.

    >>> print(f"{Logarithmic(0.5).log_prob(1) - jnp.log(0.5 / jnp.log(2.0)):.4f}")
    0.0000
    >>> print(f"{Logarithmic.fit([1, 1, 1, 2, 4]).mean:.4f}")
    1.8000
    """

    logits: Any = parameter(real)

    dimension = 1
    layout = Layout(POSITIVE)
    gap_matrix = ((),)
    discrete = True
    data_support = POSITIVE_INTEGERS
    sums_by_evidence = False  # Σ log x dwarfs the rest at large counts: in float32 the masses keep what would cancel

    def __init__(self, probs: Any = None, logits: Any = None) -> None:
        object.__setattr__(self, "logits", choose_logits("Logarithmic", probs, logits, _inside))
        self.__post_init__()

    @property
    def probs(self) -> Any:
        """The ratio that successive x·P(X = x) have; the shape of `logits`."""
        return sigmoid(self.logits)

    # Density.

    def _log_density(self, x: Array) -> Array:
        return _log_mass(x, self.logits)

    # Moments.

    def _mean(self) -> Any:
        return 1.0 + _mean_beyond_one(softplus(self.logits))

    def _variance(self) -> Any:
        total = softplus(self.logits)
        return jnp.exp(self.logits) * _slope_of_mean(total)

    def _mode(self) -> Any:
        return jnp.ones_like(self.logits)

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return _log_cdf(x, self.logits)

    def _log_sf(self, x: Array) -> Array:
        return _log_sf(x, self.logits)

    def _log_tail(self, x: Array, lower: Array) -> Array:
        return jnp.where(lower, self._log_cdf(x), self._log_sf(x))

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        """From x where its logarithm, nearly uniform, has come as far as p."""
        total, decay = softplus(self.logits), softplus(-self.logits)
        start = jnp.where(log_q < -jnp.log(total) - 1.0, -log_q / decay, jnp.exp(jnp.exp(log_p) * total))
        start = jnp.floor(jnp.minimum(start, -log_q / decay + 1.0))
        return jnp.maximum(
            smallest_quantile(self, log_p, log_q, start, jnp.zeros_like(start), jnp.zeros_like(start)), 1.0
        )

    # Information.

    def _entropy(self) -> Any:
        """−E log p, by E log X: three terms ≥ 0."""
        total, decay = softplus(self.logits), softplus(-self.logits)
        return _log_over_first(total) + _mean_beyond_one(total) * decay + _mean_log(total, decay)

    def _kl(self, q: Self) -> Array:
        return _divergence(self.logits, q.logits)

    # Exponential family.

    def _natural(self) -> tuple[Any, ...]:
        return (-softplus(-self.logits),)

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        (eta,) = natural
        return cls._of(logits=eta - log1mexp(-eta))

    def _expectation(self) -> tuple[Any, ...]:
        return (self._mean(),)

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        return cls._of(logits=_logits_of_mean(expectation[0]))

    def _log_normalizer(self) -> Any:
        return jnp.log(softplus(self.logits))

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        return (x,)

    @classmethod
    def _log_base(cls, x: Array, known: dict[str, Any]) -> Array:
        return -jnp.log(x)

    def _fitted_log_likelihood(self) -> Any:
        total = softplus(self.logits)
        return -_log_over_first(total) - _mean_beyond_one(total) * softplus(-self.logits)

    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]:
        return ((self._variance(),),)

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """e^logits/log(1 + e^logits) = mean."""
        outcome = Outcome.first((e.count <= 0, Reason.NO_DATA), (e.mean <= 1, Reason.ALL_AT_LOWER_END))
        return cls._of(logits=_logits_of_mean(e.mean)), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        """A geometric variable whose probability of failure is itself random (Kemp 1981). In floating point."""
        keys = jax.random.split(key)
        dtype = jnp.result_type(float)
        total = softplus(self.logits) * jax.random.uniform(keys[0], shape, dtype)
        # P(X > x) = (1 − e^−total)ˣ
        wait = jax.random.exponential(keys[1], shape, dtype) / -log1mexp(total)
        return 1.0 + jnp.floor(wait)


# Numerics. With t = −log(1 − p) = log(1 + e^logits), the surprise of a failure, the mean is (e^t − 1)/t and the mass at 1 is
# (1 − e^−t)/t. With λ = −log p, masses are e^−λx/(x t).


def _second(t: Array) -> Array:
    """(e^t − 1 − t)/t², ½ at 0, also where t² would underflow."""
    near = jnp.abs(t) <= 1
    series = polynomial(jnp.where(near, t, 0.0), [1 / math.factorial(k + 2) for k in range(by_dtype(t, 9, 17))])
    far = jnp.where(near, 1.0, t)
    return jnp.where(near, series, expm1_minus(far) / far / far)


@with_derivatives(lambda t: jnp.exp(-t) * _second(t) * t / -jnp.expm1(-t))
def _log_over_first(t: Array) -> Array:
    """log t/(1 − e^−t) ≥ 0, the surprise of x = 1."""
    near = jnp.where(t < 1, t, 1.0)
    return jnp.where(t < 1, -jnp.log1p(-near * _second(-near)), jnp.log(t) - log1mexp(t))


def _slope_of_mean(t: Array) -> Array:
    """d/dt of (e^t − 1)/t."""
    return jnp.exp(t) * _second(-t)


@with_derivatives(_slope_of_mean)
def _mean_beyond_one(t: Array) -> Array:
    """(e^t − 1)/t − 1."""
    return t * _second(t)


def _score(x: Array, logits: Array) -> Array:
    """(1 − p)(x − mean)."""
    return jax.nn.sigmoid(-logits) * ((x - 1.0) - _mean_beyond_one(softplus(logits)))


@with_derivatives(lambda x, logits: -softplus(-logits) - 1.0 / x, _score)
def _log_mass(x: Array, logits: Array) -> Array:
    return -(x - 1.0) * softplus(-logits) - jnp.log(x) - _log_over_first(softplus(logits))


@with_derivatives(
    lambda mean: 1.0 / (jax.nn.sigmoid(_logits_of_mean(mean)) * _slope_of_mean(softplus(_logits_of_mean(mean))))
)
def _logits_of_mean(mean: Array) -> Array:
    """The logits of a mean above 1; NaN elsewhere. Newton's method for log (e^t − 1)/t = log mean, of slope ½ to 1 in t."""
    good = (mean > 1) & (mean < jnp.inf)
    y = jnp.log1p(jnp.where(good, mean - 1.0, 1.0))

    def improve(_: int, t: Array) -> Array:
        beyond = _mean_beyond_one(t)
        return t - (jnp.log1p(beyond) - y) * (1.0 + beyond) / _slope_of_mean(t)

    t = jax.lax.fori_loop(0, by_dtype(mean, 3, 5), improve, y + jnp.log1p(y))
    return jnp.where(good, t + log1mexp(t), jnp.nan)


# Divergence.


def _mean_gap(own: Array, other: Array) -> Array:
    """Mean at log-odds `other` less that at `own`, to relative accuracy as they meet."""
    near, t, step = _near(own, other)
    gap = _mean_beyond_one(softplus(other)) - _mean_beyond_one(softplus(own))
    return jnp.where(near, step * _over_step(lambda v: _slope_of_mean(t + v * step), t), gap)


def _near(own: Array, other: Array) -> tuple[Array, Array, Array]:
    """Whether two distributions are near, t of the first, and how far it is to t of the second."""
    t = softplus(own)
    near = jnp.abs(other - own) <= 0.5
    step = jnp.log1p(jax.nn.sigmoid(own) * jnp.expm1(jnp.where(near, other - own, 0.0)))
    return near, t, step


def _over_step(f: Any, like: Array) -> Array:
    nodes, weights = (jnp.asarray(v, like.dtype) for v in gauss_legendre(by_dtype(like, 5, 10)))
    return jnp.sum(jax.vmap(lambda v, w: w * f(v))(nodes, weights), axis=0)


def _divergence_slope(own: Array, other: Array) -> Array:
    """Of the natural parameters apart, times how the mean moves."""
    gap = jnp.where(jnp.abs(other - own) <= 0.5, _natural_gap(own, other), softplus(-other) - softplus(-own))
    return jax.nn.sigmoid(own) * _slope_of_mean(softplus(own)) * gap


def _natural_gap(own: Array, other: Array) -> Array:
    """log p(own)/p(other)."""
    return jnp.log1p(jax.nn.sigmoid(-own) * jnp.expm1(own - other))


@with_derivatives(_divergence_slope, lambda own, other: jax.nn.sigmoid(-other) * _mean_gap(own, other))
def _divergence(own: Array, other: Array) -> Array:
    """KL between log-odds: near equality the integral of m'(u)·log p(other)/p(u) over u = t, where all is positive."""
    near, t, step = _near(own, other)

    def terms(v: Array) -> Array:
        u, rest = t + v * step, (1.0 - v) * step
        return _slope_of_mean(u) * jnp.log1p(-jnp.expm1(-rest) / jnp.expm1(u))

    close = step * _over_step(terms, t)
    first = _log_over_first(softplus(other)) - _log_over_first(t)
    far = first + _mean_beyond_one(t) * (softplus(-other) - softplus(-own))
    return jnp.where(near, close, far)


# Distribution function. With a = x + 1,
#
#     t·P(X > x) = ∫ p^a e^−τ/(a (1 − e^−v)) dτ from 0 to ∞,  v = λ + τ/a:
#
# by Gauss's rule for the weight e^−τ; where aλ < 1 the pole 1/v is taken out first, whose part is the exponential integral E₁(aλ).

_LAGUERRE = tuple(np.polynomial.laguerre.laggauss(count) for count in (20, 64))
# Ein(x) = Σ (−1)ⁿ⁻¹ xⁿ/(n n!), the entire part of E₁(x) = −γ − log x + Ein(x).
_EIN = [0.0] + [-((-1.0) ** n) / (n * math.factorial(n)) for n in range(1, 20)]


def _tail_over_power(x: Array, logits: Array) -> tuple[Array, Array, Array, Array]:
    """t·P(X > x)/p^a for x ≥ 1; what of it is analytic at λ = 0; aλ and whether it is below 1."""
    decay, a = softplus(-logits), x + 1.0
    z = a * decay
    small = z < 1
    nodes, weights = (jnp.asarray(v, z.dtype).reshape((-1,) + (1,) * z.ndim) for v in by_dtype(z, *_LAGUERRE))
    v = decay[None] + nodes / a[None]
    whole = -1.0 / jnp.expm1(-v)
    without_pole = expm1_minus(-v) / v * whole
    smooth = jnp.sum(weights * jnp.where(small[None], without_pole, whole), axis=0) / a
    inside = jnp.where(small, z, 0.5)
    e1 = polynomial(inside, _EIN) - (np.euler_gamma + jnp.log(inside))
    return jnp.where(small, jnp.exp(inside) * e1 + smooth, smooth), smooth, z, small


def _log_tail_sum(x: Array, logits: Array) -> Array:
    return jnp.log(_tail_over_power(x, logits)[0]) - (x + 1.0) * softplus(-logits)


def _head_sum(x: Array, logits: Array) -> Array:
    """t·P(X ≤ x): where x is small beside the mean, log a + γ − Ein(aλ) and less."""
    tail, smooth, z, small = _tail_over_power(x, logits)
    decay, z = softplus(-logits), jnp.where(small, z, 0.5)
    near_zero = jnp.log1p(x) + np.euler_gamma - polynomial(z, _EIN) - jnp.exp(-z) * smooth
    start = jnp.where(small, _log_over_first(decay), 0.0)  # t + log λ
    far = softplus(logits) - jnp.exp(-jnp.where(small, 1.0, (x + 1.0) * decay)) * tail
    return jnp.where(small, start + near_zero, far)


def _sf_slope(x: Array, logits: Array) -> Array:
    power = jnp.exp(-(x + 1.0) * softplus(-logits) - _log_tail_sum(x, logits))
    return jnp.where(x < 1, 0.0, power - jax.nn.sigmoid(logits) / softplus(logits))


@with_derivatives(lambda x, logits: jnp.zeros_like(x), _sf_slope)
def _log_sf(x: Array, logits: Array) -> Array:
    x, logits = jnp.broadcast_arrays(x, logits)
    t = softplus(logits)
    tail = jnp.log(_tail_over_power(jnp.maximum(x, 1.0), logits)[0]) - (x + 1.0) * softplus(-logits) - jnp.log(t)
    head = _head_sum(jnp.maximum(x, 1.0), logits) / t
    return jnp.where(x < 1, 0.0 * logits, jnp.where(head < 0.5, jnp.log1p(-head), tail))


def _cdf_slope(x: Array, logits: Array) -> Array:
    p = jax.nn.sigmoid(logits)
    return -p * jnp.expm1(-x * softplus(-logits)) / _head_sum(x, logits) - p / softplus(logits)


@with_derivatives(lambda x, logits: jnp.zeros_like(x), _cdf_slope)
def _log_cdf(x: Array, logits: Array) -> Array:
    x, logits = jnp.broadcast_arrays(x, logits)
    sf = jnp.exp(_log_sf(x, logits))
    head = _head_sum(jnp.maximum(x, 1.0), logits) / softplus(logits)
    return jnp.where(x < 1, -jnp.inf, jnp.where(sf < 0.5, jnp.log1p(-sf), jnp.log(head)))


# Entropy.

# The residues of −Γ(z) ζ'(1 + z) λ^−z: (−1)ⁿ⁺¹ ζ'(1 − n)/n! at z = −n, and at 0 a polynomial in −log λ.
_RESIDUES = (
    0.0, -0.918938533204672742, 0.0827105718502254646, -0.00507474284306554513, -2.24107348240595881e-4,
    6.6531762085571869e-5, 7.9581386138699334e-7, -1.17058713164998759e-6, 1.80714950436319606e-8, 2.29171130555617487e-8,
    -8.62584137948790993e-10, -4.74234566351520518e-10, 2.66240957858317302e-11,
)  # fmt: skip
_POLE = (np.euler_gamma**2 / 2 + np.pi**2 / 12 - 0.0728158454836767249, -np.euler_gamma, 0.5)


def _mean_log(total: Array, decay: Array) -> Array:
    """E log X = Σ e^−λx log(x)/(x t): term by term, or for small λ by its Mellin transform."""
    small = decay < 0.25
    near = jnp.where(small, decay, 0.1)
    series = (polynomial(-jnp.log(near), _POLE) + polynomial(near, _RESIDUES)) / total
    far = jnp.where(small, 1.0, decay)
    x = jnp.arange(2.0, by_dtype(decay, 70.0, 160.0), dtype=decay.dtype).reshape((-1,) + (1,) * decay.ndim)
    terms = jnp.exp(-far[None] * (x - 1.0)) * (jnp.log(x) / x)
    return jnp.where(small, series, jnp.exp(-_log_over_first(total)) * jnp.sum(terms, axis=0))
