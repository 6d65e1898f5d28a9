"""The categorical distribution."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence import Evidence
from surprax.families.base import family
from surprax.families.discrete import reached
from surprax.families.exponential import ExponentialFamily
from surprax.families.fitting import make_evidence
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import Constraint, check_parameter, parameter, probability, real
from surprax.families.supports import NONNEGATIVE_INTEGERS, Support
from surprax.numerics.elementary import argmax, expm1_minus, log1mexp, logaddexp
from surprax.numerics.precision import is_traced

__all__ = ["Categorical", "log_probabilities", "log_weight"]

log_weight = Constraint("a number or -∞", lambda v: v < np.inf)
# Within what float32 arithmetic may have left of 1.
_adds_up = Constraint("1", lambda v: abs(v - 1.0) <= 1e-4)


def log_probabilities(owner: str, probs: Any, logits: Any) -> Any:
    """Normalised log-probabilities from exactly one of the two; known ones in float64; NaN for bad traced ones."""
    if (probs is None) == (logits is None):
        found = "neither" if probs is None else "both"
        raise ValueError(f"{owner} takes exactly one of probs and logits; got {found}.")
    given = logits if probs is None else probs
    if np.ndim(given) == 0 or np.shape(given)[-1] == 0:
        raise ValueError(f"{owner} needs one number per category on the last axis; got shape {np.shape(given)}.")
    if is_traced(given):
        p = jnp.asarray(given, jnp.result_type(float, given))
        if probs is None:
            return _normalised(p)
        some, sums = p != 0, jnp.sum(p, axis=-1, keepdims=True)
        log_p = jnp.where(some, jnp.log(jnp.where(some, p, 1.0)), -jnp.inf)
        return jnp.where(_adds_up.holds(sums), log_p - jnp.log(sums), jnp.nan)
    values = np.asarray(given, np.float64)
    if probs is None:
        check_parameter(owner, "logits", values, log_weight)
        top = values.max(axis=-1, keepdims=True)
        check_parameter(owner, "the largest of the logits", top[..., 0], real)
        values = values - (top + np.log(np.sum(np.exp(values - top), axis=-1, keepdims=True)))
    else:
        total = np.sum(values, axis=-1, keepdims=True)
        check_parameter(owner, "probs", values, probability)
        check_parameter(owner, "the sum of probs", total[..., 0], _adds_up)
        with np.errstate(divide="ignore"):
            values = np.log(values) - np.log(total)
    dtype = getattr(given, "dtype", None)
    return values.astype(dtype) if dtype is not None and jnp.issubdtype(dtype, jnp.floating) else values


def _normalised(logits: Array) -> Array:
    """Log-probabilities. That of the likeliest may be small: it comes from what the others have, not as a difference."""
    first = argmax(logits, axis=-1, keepdims=True)
    others = jnp.arange(logits.shape[-1]).reshape((1,) * (logits.ndim - 1) + (-1,)) != first
    leader = jnp.sum(jnp.where(others, 0.0, logits), axis=-1, keepdims=True)
    # Its own gap is 0, or NaN where that of others would be; without a derivative, of which nothing would be left.
    gap = jnp.where(others, logits - leader, 0.0 * leader)
    return gap - jnp.log1p(jnp.sum(jnp.where(others, jnp.exp(gap), 0.0), axis=-1, keepdims=True))


@family
class Categorical(ExponentialFamily):
    """Categorical distribution of one of the numbers 0, …, K − 1: surprise s(x) = −log probs[x].

    Args:
        probs: probabilities of the K categories on the last axis, at least 0, that sum to 1; or else
        logits: logarithms of such probabilities up to a constant, on the last axis; −∞ for impossible ones. What is
            stored is normalised.

    Natural parameters logits[k] − logits[K−1] of T(x) = ([x = 0], …, [x = K−2]); log-normaliser −log probs[K−1].
    Expectation parameters are the first K − 1 probabilities. `fit` gives the shares of the categories, of which there
    are `num_categories`, or else the largest number seen plus 1; it refuses data in which a category is missing. Mean,
    variance and the distribution function take the categories as numbers.

    >>> die = Categorical(probs=[0.5, 0.25, 0.25])
    >>> print(f"{die.entropy('bit'):.3f}, {die.surprise(2, 'bit'):.3f}")
    1.500, 2.000
    >>> Categorical.fit([0, 2, 1, 2]).probs.round(3).tolist()
    [0.25, 0.25, 0.5]
    """

    logits: Any = parameter(log_weight, event_dim=1)

    dimension = None
    layout = None
    discrete = True
    labelled = True
    data_support = NONNEGATIVE_INTEGERS
    sums_by_evidence = False  # a look-up per row is faster than a tally

    def __init__(self, probs: Any = None, logits: Any = None) -> None:
        object.__setattr__(self, "logits", log_probabilities("Categorical", probs, logits))
        self.__post_init__()

    @property
    def probs(self) -> Any:
        """Probabilities of the categories, on the last axis."""
        known = not (is_traced(self.logits) or isinstance(self.logits, jax.Array))
        return np.exp(self.logits) if known else jnp.exp(self.logits)

    @property
    def num_categories(self) -> int:
        """K."""
        return int(np.shape(self.logits)[-1])

    @property
    def support(self) -> Support:
        return Support(0.0, self.num_categories - 1.0, discrete=True)

    @property
    def single_peaked(self) -> Any:
        """False: the order of the categories need not mean anything."""
        return False

    @classmethod
    def free_parameters(cls, fit: Self) -> int:
        """K − 1."""
        return fit.num_categories - 1

    @property
    def _log_probs(self) -> Array:
        """Normalised again, so that a derivative in stored logits is that of a distribution."""
        return _normalised(jnp.asarray(self.logits))

    @property
    def _numbers(self) -> Array:
        """0, …, K − 1 on the last axis, of the rank of the logits."""
        k = jnp.arange(self.num_categories, dtype=jnp.asarray(self.logits).dtype)
        return k.reshape((1,) * (jnp.ndim(self.logits) - 1) + k.shape)

    # Density.

    def _log_density(self, x: Array) -> Array:
        return _pick(self._log_probs, x)

    # Moments.

    def _mean(self) -> Any:
        return jnp.sum(jnp.exp(self._log_probs) * self._numbers, axis=-1)

    def _variance(self) -> Any:
        return jnp.sum(jnp.exp(self._log_probs) * (self._numbers - self._mean()[..., None]) ** 2, axis=-1)

    def _mode(self) -> Any:
        logits = self._log_probs
        first = argmax(logits, axis=-1).astype(logits.dtype)
        return jnp.where(jnp.any(jnp.isnan(logits), axis=-1), jnp.nan, first)

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return _pick(self._log_tails()[0], x)

    def _log_sf(self, x: Array) -> Array:
        return _pick(self._log_tails()[1], x)

    def _log_tails(self) -> tuple[Array, Array]:
        """log P(X ≤ k) and log P(X > k) for every k."""
        logits = self._log_probs
        last = logits.ndim - 1
        up = jax.lax.associative_scan(logaddexp, logits, axis=last)
        down = jax.lax.associative_scan(logaddexp, logits, axis=last, reverse=True)
        above = jnp.concatenate([down[..., 1:], jnp.full_like(down[..., :1], -jnp.inf)], axis=-1)
        # The larger one is what the smaller one lacks to 1.
        lower = up < above
        small = jnp.minimum(jnp.where(lower, up, above), 0.0)
        large = log1mexp(-small)
        return jnp.where(lower, small, large), jnp.where(lower, large, small)

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        log_cdf, log_sf = jax.lax.stop_gradient(self._log_tails())
        log_p, log_q = _beside(log_cdf, log_p), _beside(log_cdf, log_q)
        lower = log_p <= log_q
        short = ~reached(jnp.where(lower, log_cdf, log_sf), lower, log_p, log_q)
        k = jnp.sum(short[..., :-1].astype(log_cdf.dtype), axis=-1)
        return jnp.where(jnp.isnan(log_cdf[..., -1]), jnp.nan, k)

    # Information.

    def _entropy(self) -> Any:
        logits = self._log_probs
        surprise = -jnp.where(logits == -jnp.inf, 0.0, logits)
        return jnp.sum(jnp.exp(-surprise) * surprise, axis=-1)

    def _kl(self, q: Self) -> Array:
        """Σ p (δ + e^−δ − 1), δ = log p/q: every term is positive, because Σ q − p = 0 is added."""
        own, other = jnp.broadcast_arrays(self._log_probs, q._log_probs)
        some = own > -jnp.inf
        p, other_p = jnp.exp(own), jnp.exp(other)
        gap = jnp.where(some, other - jnp.where(some, own, 0.0), 0.0)
        near = jnp.abs(gap) <= 1.0
        small = jnp.where(near, gap, 0.0)
        far = other_p - p - p * jnp.where(near | (p == 0), 0.0, gap)
        return jnp.sum(jnp.where(near & some, p * expm1_minus(small), far), axis=-1)

    # Exponential family.

    def _natural(self) -> Array:
        return self._log_probs[..., :-1] - self._log_probs[..., -1:]

    @classmethod
    def _from_natural(cls, natural: Array, known: dict[str, Any]) -> Self:
        return cls._of(logits=_normalised(jnp.concatenate([natural, jnp.zeros_like(natural[..., :1])], axis=-1)))

    def _expectation(self) -> Array:
        return jnp.exp(self._log_probs[..., :-1])

    @classmethod
    def _from_expectation(cls, expectation: Array, known: dict[str, Any]) -> Self:
        rest = jnp.log1p(-jnp.sum(expectation, axis=-1, keepdims=True))
        return cls._of(logits=_normalised(jnp.concatenate([jnp.log(expectation), rest], axis=-1)))

    def _log_normalizer(self) -> Any:
        return -self._log_probs[..., -1]

    def _sufficient_statistics(self, x: Array) -> Array:
        numbers = self._numbers[..., :-1]
        x = x[..., None] if x.ndim else x
        return (x == numbers.reshape((1,) * (x.ndim - numbers.ndim) + numbers.shape)).astype(x.dtype)

    def _fisher_information(self) -> Array:
        """diag p − p pᵀ, with p (1 − p) on the diagonal; 1 − p as the sum of the others keeps its digits."""
        p = jnp.exp(self._log_probs)
        own = jnp.eye(p.shape[-1], dtype=p.dtype).reshape((1,) * (p.ndim - 1) + p.shape[-1:] * 2)
        pairs = p[..., :, None] * p[..., None, :] * (1.0 - own)
        return (jnp.sum(pairs, axis=-1)[..., None] * own - pairs)[..., :-1, :-1]

    def _fisher_solve(self, v: Array) -> Array:
        """(diag p − p pᵀ)⁻¹ v = v/p + Σ v / p_K, with K the last category."""
        p = jnp.exp(self._log_probs)
        return v / p[..., :-1] + jnp.sum(v, axis=-1, keepdims=True) / p[..., -1:]

    def _toward(self, q: Self, alpha: Array) -> Self:
        alpha = alpha[..., None] if alpha.ndim else alpha
        return type(self)._of(logits=_normalised(alpha * self._log_probs + (1.0 - alpha) * q._log_probs))

    # Maximum likelihood.

    @classmethod
    def evidence(
        cls, x: Any, weights: Any = None, *, by: Any = None, num_categories: int | None = None, **known: Any
    ) -> Evidence:
        """How often each category occurred, from 0 to `num_categories` − 1 (the largest seen, if None).

        Otherwise as in `ExponentialFamily.evidence`.
        """
        tally = make_evidence(cls, x, weights, by, known)
        values = tally.values.astype(np.int64)
        seen = int(values.max()) + 1 if values.size else 1
        size = seen if num_categories is None else num_categories
        if seen > size:
            row = int(np.argmax(np.asarray(x).reshape(-1) >= size))
            raise ValueError(
                f"Categorical of {size} categories has the numbers 0 to {size - 1}; row {row} is"
                f" {np.asarray(x).reshape(-1)[row]:g}. Drop or mend such rows, or raise num_categories."
            )
        counts = np.zeros((*tally.counts.shape[:-1], size))
        counts[..., values] = tally.counts
        return tally._replace(values=np.arange(float(size)), counts=counts)

    @classmethod
    def try_fit(
        cls, data: Any, weights: Any = None, *, num_categories: int | None = None, **known: Any
    ) -> tuple[Self, Outcome]:
        """Like `fit`, elementwise for evidence by group and for traced data (which need `num_categories`)."""
        if isinstance(data, Evidence):
            return super().try_fit(data, weights, **known)
        if not is_traced(data, weights):
            return super().try_fit(cls.evidence(data, weights, num_categories=num_categories, **known))
        if num_categories is None:
            raise ValueError(
                "Categorical.try_fit needs num_categories=... for traced data: it is the shape of the result."
            )
        counts = jnp.zeros(num_categories).at[jnp.asarray(data, int)].add(1.0 if weights is None else weights)
        return cls._fit_sample(jnp.arange(num_categories), counts, {})

    @classmethod
    def _fit_moments(cls, e: Any) -> tuple[Self, Outcome]:
        raise NotImplementedError("Evidence for a Categorical is a tally.")

    @classmethod
    def _fit_sample(
        cls, x: Array, weights: Array | None, known: dict[str, Any], start: Self | None = None
    ) -> tuple[Self, Outcome]:
        """probs = shares, of counts `weights` of the categories x = 0, …, K − 1."""
        counts = jnp.ones_like(x) if weights is None else weights
        total = jnp.sum(counts)
        outcome = Outcome.first((total <= 0, Reason.NO_DATA), (jnp.any(counts <= 0), Reason.UNSEEN_CATEGORY))
        return cls._of(logits=jnp.log(counts) - jnp.log(total)), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        return jax.random.categorical(key, self._log_probs, axis=-1, shape=shape)


def _beside(table: Array, x: Array) -> Array:
    """`x` with an axis for the categories, of the rank of the table."""
    x = jnp.asarray(x)
    return x[..., None] if x.ndim else x.reshape((1,) * table.ndim)


def _pick(table: Array, x: Array) -> Array:
    """table[…, x]."""
    index = _beside(table, x)
    index = jnp.where(jnp.isnan(index), 0.0, index).astype(int)
    return jnp.take_along_axis(table, index, axis=-1)[..., 0]
