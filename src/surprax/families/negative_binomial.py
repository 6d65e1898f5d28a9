"""The negative binomial distribution, by its mean and concentration."""

import contextlib
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import POSITIVE
from surprax.families.base import family
from surprax.families.discrete import (
    factorial_remainder,
    lattice,
    lattice_entropy,
    nonnegative,
    smallest_quantile,
    trials_deviance,
)
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import Constraint, as_parameter, parameter
from surprax.families.supports import NONNEGATIVE_INTEGERS
from surprax.numerics.elementary import (
    by_dtype,
    expm1_minus,
    log1p_minus,
    log_ratio,
    log_ratio_minus,
    with_derivatives,
    xlog1py,
)
from surprax.numerics.gamma import log_factorial, log_minus_digamma, stirling_error, trigamma_minus_reciprocal
from surprax.numerics.gamma_differences import digamma_difference, log_gamma_difference
from surprax.numerics.incomplete_beta import log_betainc
from surprax.numerics.normal import gauss_legendre

__all__ = ["NegativeBinomial"]

_above_zero = Constraint("above 0 (∞ gives the Poisson distribution)", lambda v: v > 0)
_POISSON = 1e30
_NEWTON_STEPS = 6


@with_derivatives(
    lambda r, k: trigamma_minus_reciprocal(r + k) - trigamma_minus_reciprocal(r),
    lambda r, k: trigamma_minus_reciprocal(r + k),
)
def _excess_fall(r: Array, k: Array) -> Array:
    """e(r) − e(r + k) ≥ 0 with e(a) = log a − ψ(a): to relative accuracy also for k ≪ r, where e has lost it."""
    near = k <= r / 4
    step = jnp.where(near, k, 0.0)
    nodes, weights = gauss_legendre(by_dtype(r, 4, 7))
    slope = sum(w * trigamma_minus_reciprocal(r + t * step) for t, w in zip(nodes.tolist(), weights.tolist()))
    return jnp.where(near, step * slope, log_minus_digamma(r) - log_minus_digamma(r + k))


def _score_mean(k: Array, mean: Array, r: Array) -> Array:
    """(k/mean − 1)/(1 + mean/r)."""
    return jnp.where(k == 0, -1.0, (k - mean) / jnp.where(k == 0, 1.0, mean)) / (1.0 + mean / r)


def _score_concentration(k: Array, mean: Array, r: Array) -> Array:
    """ψ(k + r) − ψ(r) − log(1 + mean/r) − (k − mean)/(r + mean), without what cancels when r is large."""
    score = _excess_fall(r, k) + log_ratio_minus(r + k, r + mean, k - mean)
    # One event where few are expected: the two terms cancel once more, to about mean/r².
    single = mean / r * ((1.0 - mean) / (r + mean)) - log1p_minus(mean / r)
    return jnp.where((k == 1) & (mean < 1), single, score)


@with_derivatives(
    lambda k, mean, r: digamma_difference(k + r, k + 1.0) - jnp.log1p(r / mean), _score_mean, _score_concentration
)
def _log_mass(k: Array, mean: Array, r: Array) -> Array:
    """log Γ(k + r)/(Γ(r) k!) + r log r/(r + mean) + k log mean/(r + mean), in saddle-point form (Loader 2000).

    It is the binomial mass of k successes and r failures times r/(r + k), and tends to the Poisson mass term by term.
    """
    binomial = stirling_error(k + r) - stirling_error(r) - 0.5 * jnp.log1p(k / r) - factorial_remainder(k)
    return binomial - trials_deviance(k, r, log_ratio(mean, k), jnp.log1p(mean / r), jnp.log1p(r / mean))


@family
class NegativeBinomial(ExponentialFamily):
    """Negative binomial distribution of counts whose Poisson rate has a Gamma distribution of shape `concentration`.

    s(x) = −log Γ(x + r)/(Γ(r) x!) − r log r/(r + mean) − x log mean/(r + mean) for x = 0, 1, 2, … and r = concentration;
    the variance is mean + mean²/r.

    Args:
        mean: at least 0 (at 0 it is certain that x = 0).
        concentration: above 0; the larger, the nearer to Poisson, which it is at ∞.

    With known concentration it is an exponential family: natural parameter log mean/(r + mean) of T(x) = x;
    log-normaliser r log(1 + mean/r); log h(x) = log Γ(x + r)/(Γ(r) x!). `fit` gives the mean of the data and the
    concentration at the maximum, which exists and is unique when the variance exceeds the mean (Levin & Reeds 1977). The
    parameters are those of NumPyro's NegativeBinomial2. Source: Johnson, Kemp & Kotz (2005), chapter 5.

    >>> NegativeBinomial(3.0, 2.0).variance.item()
    7.5
    >>> print(f"{NegativeBinomial(3.0, 1e8).log_prob(5) - NegativeBinomial(3.0, jnp.inf).log_prob(5):.4f}")
    0.0000
    """

    mean: Any = parameter(nonnegative, default=None)
    concentration: Any = parameter(_above_zero, default=None)

    dimension = 1
    layout = Layout(POSITIVE)
    gap_matrix = ((),)
    known_parameters = ("concentration",)
    discrete = True
    data_support = NONNEGATIVE_INTEGERS
    sums_by_evidence = False  # Σ log h(x) dwarfs the rest at large counts: in float32 the masses keep what would cancel

    def __init__(self, mean: Any, concentration: Any) -> None:
        # The parameter is also the expected value, which has the shape of the batch.
        mean, concentration = as_parameter(mean), as_parameter(concentration)
        with contextlib.suppress(ValueError):
            shape = np.broadcast_shapes(np.shape(mean), np.shape(concentration))
            mean = (jnp if isinstance(mean, jax.Array) else np).broadcast_to(mean, shape)
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "concentration", concentration)
        self.__post_init__()

    @property
    def _shape(self) -> Array:
        """The concentration, or a number that stands for ∞ in both precisions."""
        return jnp.minimum(self.concentration, _POISSON)

    # Density.

    def _log_density(self, x: Array) -> Array:
        return _log_mass(x, self.mean, self._shape)

    # Moments.

    def _mean(self) -> Any:
        return self.mean

    def _variance(self) -> Any:
        return self.mean * (1.0 + self.mean / self.concentration)

    def _mode(self) -> Any:
        return jnp.maximum(jnp.ceil(self.mean - self.mean / self.concentration) - 1.0, 0.0)

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return self._log_tail(x, True)

    def _log_sf(self, x: Array) -> Array:
        return self._log_tail(x, False)

    def _log_tail(self, x: Array, lower: Any) -> Array:
        """log P(X ≤ x) = log I_p(r, x + 1) where `lower`, else log P(X > x) = log I_q(x + 1, r), with p = r/(r + mean)."""
        a, b = self._shape, x + 1.0
        p, q = 1.0 / (1.0 + self.mean / a), 1.0 / (1.0 + a / self.mean)
        excess = p * (self.mean - x - 1.0)
        return log_betainc(
            jnp.where(lower, a, b),
            jnp.where(lower, b, a),
            jnp.where(lower, p, q),
            jnp.where(lower, q, p),
            jnp.where(lower, excess, -excess),
        )

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        variance = self._variance()
        skewness = (1.0 + 2.0 * self.mean / self.concentration) / jnp.sqrt(jnp.maximum(variance, 0.01))
        return smallest_quantile(self, log_p, log_q, self.mean, variance, skewness)

    # Information.

    def _entropy(self) -> Any:
        mean, r = jnp.broadcast_arrays(self.mean, self._shape)
        scale = 1.0 + mean / r
        return lattice_entropy(lambda x: _log_mass(x, mean, r), mean, mean * scale, scale, jnp.inf)

    def _kl(self, q: Self) -> Array:
        """Σ p L with L = log p/q; near equality Σ p (L + e^−L − 1), of which every term is positive, because Σ q − p = 0."""
        mean, r, q_mean, q_r = jnp.broadcast_arrays(self.mean, self._shape, q.mean, q._shape)
        scale = 1.0 + mean / r
        x, w = lattice(mean, mean * scale, scale, jnp.full_like(mean, jnp.inf))
        log_p = jax.vmap(lambda k: _log_mass(k, mean, r))(x)
        log_q = jax.vmap(lambda k: _log_mass(k, q_mean, q_r))(x)
        some = jnp.exp(log_p) != 0  # also NaN
        log_p, q_rest = jnp.where(some, log_p, -jnp.inf), jnp.where(some, 0.0, jnp.exp(log_q))
        ratio = jax.vmap(lambda k: _log_mass_ratio(k, mean, r, q_mean, q_r))(x)
        ratio = jnp.where(some, ratio, 0.0)
        bulk = log_p > jnp.max(log_p, axis=0, keepdims=True) - 20.0
        near = jnp.max(jnp.where(bulk, jnp.abs(ratio), 0.0), axis=0, keepdims=True) <= 4.0
        terms = jnp.where(near, expm1_minus(jnp.where(near, -ratio, 0.0)), ratio)
        terms = jnp.where(some, jnp.exp(jnp.where(some, log_p, 0.0)) * terms, 0.0)
        return jnp.sum(w * (terms + jnp.where(near, q_rest, 0.0)), axis=0)

    def _kl_given_known(self, q: Self) -> Array:
        """KL where the concentrations agree: that between Bernoullis of odds mean/r, times r + mean."""
        return _divergence(self.mean, q.mean, self._shape)

    # Exponential family.

    def _natural(self) -> tuple[Any, ...]:
        return (-jnp.log1p(self._shape / self.mean),)

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        (eta,), r = natural, known["concentration"]
        return cls._of(mean=jnp.where(eta < 0, r / jnp.expm1(-eta), jnp.nan), concentration=r)

    def _expectation(self) -> tuple[Any, ...]:
        return (self.mean,)

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        (mean,) = expectation
        return cls._of(mean=jnp.where(mean >= 0, mean, jnp.nan), concentration=known["concentration"])

    def _log_normalizer(self) -> Any:
        return self._shape * jnp.log1p(self.mean / self._shape)

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        return (x,)

    @classmethod
    def _log_base(cls, x: Array, known: dict[str, Any]) -> Array:
        return log_gamma_difference(jnp.minimum(known["concentration"], _POISSON), x) - log_factorial(x)

    def _fitted_log_likelihood(self) -> Any:
        return -xlog1py(self.mean, self._shape / self.mean) - self._log_normalizer()

    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]:
        return ((self._variance(),),)

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """mean = mean of the data, at the known concentration."""
        outcome = Outcome.first((e.count <= 0, Reason.NO_DATA), (e.mean <= 0, Reason.ALL_ZERO))
        return cls._of(mean=e.mean, concentration=e.known["concentration"]), outcome

    @classmethod
    def _fit_sample(
        cls, x: Array, weights: Array | None, known: dict[str, Any], start: Self | None = None
    ) -> tuple[Self, Outcome]:
        """mean = mean of the data; Newton for the concentration r on the profile score, averaged over the data.

        The score is a difference of two positive means, the fall of log − ψ and the deviance of r + x from r + mean. The
        log of their ratio is nearly linear in v = log(1 + mean/r), from the Poisson limit v = 0 on.
        """
        c = jnp.ones_like(x) if weights is None else weights
        total = jnp.sum(c)
        share = c / jnp.where(total > 0, total, 1.0)
        mean = jnp.sum(share * x)
        variance = jnp.sum(share * (x - mean) ** 2)
        over = variance > mean
        m = jnp.where(over, mean, 1.0)
        moment = jnp.log1p(jnp.where(over, (variance - mean) / m, 1.0))
        v = moment if start is None else jnp.log1p(m / start._shape)

        def newton(_: int, state: tuple[Array, Array]) -> tuple[Array, Array]:
            v, _ = state  # type: ignore[assignment]
            r = m / jnp.expm1(v)
            u = (x - m) / (r + m)
            fall = jnp.sum(share * _excess_fall(r, x))
            fall_slope = jnp.sum(share * (trigamma_minus_reciprocal(r + x) - trigamma_minus_reciprocal(r)))
            gain = -jnp.sum(share * log_ratio_minus(r + x, r + m, x - m))
            gain_slope = -jnp.sum(share * u * u / (1.0 + u)) / (r + m)
            slope = (fall_slope / fall - gain_slope / gain) * -r * (1.0 + r / m)
            step = -log_ratio(fall, gain) / slope
            return jnp.clip(v + step, 0.2 * v, 5.0 * v), step

        v, step = jax.lax.fori_loop(0, _NEWTON_STEPS, newton, (v, v))
        settled = jnp.abs(step) <= by_dtype(v, 1e-3, 1e-6) * v  # what the last step left is of the order of its square
        concentration = jnp.where(over, m / jnp.expm1(v), jnp.inf)
        outcome = Outcome.first(
            (total <= 0, Reason.NO_DATA),
            (mean <= 0, Reason.ALL_ZERO),
            (~over, Reason.UNDERDISPERSED),
            (~settled, Reason.NOT_CONVERGED),
        )
        return cls._of(mean=mean, concentration=concentration), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        """Poisson draws at Gamma rates."""
        rate_key, count_key = jax.random.split(key)
        rate = jax.random.gamma(rate_key, self._shape, shape, jnp.result_type(float)) / self._shape
        return jax.random.poisson(count_key, self.mean * rate, shape)


@with_derivatives(
    lambda a, b, r: jnp.log1p(jnp.where(b == 0, jnp.inf, r * (a - b) / b) / (r + a)),
    lambda a, b, r: (b - a) / b / (1.0 + b / r),
    lambda a, b, r: -log_ratio_minus(r + a, r + b, a - b),
)
def _divergence(a: Array, b: Array, r: Array) -> Array:
    """KL between means a and b at one concentration r."""
    return trials_deviance(a, r, log_ratio(b, a), jnp.log1p(b / r), jnp.log1p(r / b))


def _log_mass_ratio(k: Array, mean: Array, r: Array, q_mean: Array, q_r: Array) -> Array:
    """log p(k)/q(k), to relative accuracy as q → p: there the integral of the score from q to p, in log parameters."""
    d_mean, d_r = log_ratio(mean, q_mean), log_ratio(r, q_r)
    near = (jnp.abs(d_mean) <= 0.5) & (jnp.abs(d_r) <= 0.5)
    d_mean, d_r = jnp.where(near, d_mean, 0.0), jnp.where(near, d_r, 0.0)
    total = jnp.zeros_like(k)
    nodes, weights = gauss_legendre(by_dtype(k, 5, 9))
    for t, w in zip(nodes.tolist(), weights.tolist()):
        m_t, r_t = q_mean * jnp.exp(t * d_mean), q_r * jnp.exp(t * d_r)
        in_mean = d_mean * ((k - m_t) / (1.0 + m_t / r_t))
        total = total + w * (in_mean + d_r * (r_t * _score_concentration(k, m_t, r_t)))
    return jnp.where(near, total, _log_mass(k, mean, r) - _log_mass(k, q_mean, q_r))
