"""The multinomial distribution."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence import Evidence, Layout, Moments
from surprax.evidence.layout import Carrier
from surprax.families.base import family
from surprax.families.binomial import Binomial
from surprax.families.categorical import Categorical, log_probabilities, log_weight
from surprax.families.discrete import factorial_remainder, lattice
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import count, parameter
from surprax.families.supports import COUNTS, Region
from surprax.numerics.elementary import argmax, by_dtype, expm1_minus, log1mexp, log_ratio, with_derivatives
from surprax.numerics.gamma import log_factorial
from surprax.numerics.precision import is_traced
from surprax.numerics.shapes import sum_of_components

__all__ = ["Multinomial", "beside", "counts_of", "known_total"]

COUNTS_MEAN = Carrier("x", lambda x: x, lambda y: y, lower=0.0, rank=1)


def counts_of(total_count: Any) -> Region:
    """Vectors of counts that add up to `total_count`, which has the shape of the batch."""

    def holds(x: Any) -> Any:
        return COUNTS.holds(x) & (jnp.sum(x, axis=-1) == total_count)

    known = not is_traced(total_count) and np.size(total_count) == 1
    name = f"vectors of counts that add up to {f'{np.asarray(total_count).item():g}' if known else 'total_count'}"
    return Region(name, holds, 1, np.zeros, discrete=True)


def beside(v: Any) -> Array:
    """A number of each distribution of the batch, beside a vector."""
    v = jnp.asarray(v)
    return v[..., None] if v.ndim else v


def known_total(owner: str, data: Any, known: dict[str, Any]) -> dict[str, Any]:
    """Known parameters with `total_count`: where it is not given, what every row adds up to."""
    if known.get("total_count") is not None or isinstance(data, Evidence):
        return known
    if is_traced(data):
        raise ValueError(f"{owner} needs total_count=... for traced data.")
    x = np.asarray(data)
    totals = x.sum(axis=-1) if x.ndim > 1 and x.shape[0] else np.zeros(0)
    if not totals.size:
        raise ValueError(f"{owner} needs rows of counts, or total_count=...; got an array of shape {x.shape}.")
    other = np.argwhere(totals != totals.flat[0])
    if other.size:
        row = tuple(other[0])
        raise ValueError(
            f"{owner} is about vectors of counts of one sum; row 0 adds up to {totals.flat[0]:g}, row {row[0]} to"
            f" {totals[row]:g}. Fit rows of each sum apart."
        )
    return {**known, "total_count": float(totals.flat[0])}


def _gap(x: Array, n: Array, log_p: Array) -> Array:
    """log n p/x, and 0 where x = 0."""
    some = x > 0
    return jnp.where(some, log_p - log_ratio(jnp.where(some, x, 1.0), jnp.where(some, n, 1.0)), 0.0)


@with_derivatives(
    lambda x, n, log_p: -_gap(x, n, log_p),
    lambda x, n, log_p: jnp.exp(log_p) - x / n,
    lambda x, n, log_p: n * jnp.exp(log_p) - x,
)
def _deviance(x: Array, n: Array, log_p: Array) -> Array:
    """x log(x/(n p)) − x + n p ≥ 0, of which the linear part adds up to 0 over the categories."""
    gap = _gap(x, n, log_p)
    near = jnp.abs(gap) <= 1.0
    far = n * jnp.exp(log_p) - x - jnp.where(x == 0, 0.0, x * gap)
    return jnp.where(near & (x > 0), x * expm1_minus(jnp.where(near, gap, 0.0)), far)


def _log_part(x: Array, n: Array, log_p: Array) -> Array:
    return factorial_remainder(x) + _deviance(x, n, log_p)


@family
class Multinomial(ExponentialFamily):
    """Multinomial distribution: how often each of K categories occurs in n = `total_count` trials.

    s(x) = −log n!/(x_1! … x_K!) − Σ x_k log probs[k] for counts that add up to n.

    Args:
        total_count: number of trials n, a whole number from 0.
        probs: probabilities of the K categories on the last axis, at least 0, that sum to 1; or else
        logits: logarithms of such probabilities up to a constant, on the last axis; −∞ for impossible ones. What is
            stored is normalised.

    With known total_count it is an exponential family: natural parameters logits[k] − logits[K−1] of T(x) = (x_1, …, x_{K−1});
    log-normaliser −n log probs[K−1]; log h(x) = log n!/(x_1! … x_K!). `fit` takes total_count=n, or else what every row adds up
    to; it refuses data in which a category is missing. Source: Johnson, Kotz & Balakrishnan (1997), chapter 35; the log-mass is in
    saddle-point form (Loader 2000), the mode is Finucan's (1964).

    >>> d = Multinomial(4, probs=[0.5, 0.25, 0.25])
    >>> print(f"{jnp.exp(d.log_prob([2, 1, 1])):.4f}", d.mode)  # 12/2⁶
    0.1875 [2. 1. 1.]
    >>> Multinomial.fit([[2, 1, 1], [3, 1, 0]]).probs.round(3).tolist()
    [0.625, 0.25, 0.125]
    """

    total_count: Any = parameter(count, default=1)
    logits: Any = parameter(log_weight, default=None, event_dim=1)

    dimension = None
    layout = Layout(COUNTS_MEAN)
    known_parameters = ("total_count",)
    discrete = True
    event_dim = 1
    data_support = COUNTS
    sums_by_evidence = False  # Σ log h(x) dwarfs the rest at large counts: in float32 the masses keep what would cancel

    def __init__(self, total_count: Any = 1, probs: Any = None, logits: Any = None) -> None:
        object.__setattr__(self, "total_count", total_count)
        object.__setattr__(self, "logits", log_probabilities("Multinomial", probs, logits))
        self.__post_init__()

    @property
    def probs(self) -> Any:
        """Probabilities of the categories, on the last axis."""
        return self._one.probs

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (int(np.shape(self.logits)[-1]),)

    @property
    def support(self) -> Region:
        return counts_of(self.total_count)

    @classmethod
    def _data_support(cls, known: dict[str, Any]) -> Region:
        return counts_of(known["total_count"]) if "total_count" in known else COUNTS

    @classmethod
    def free_parameters(cls, fit: Self) -> int:
        """K − 1."""
        return fit.event_shape[0] - 1

    @property
    def _one(self) -> Categorical:
        """One trial."""
        return Categorical._of(logits=self.logits)

    @property
    def _trials(self) -> Array:
        """total_count beside the categories."""
        return beside(self.total_count)

    # Density.

    def _log_density(self, x: Array) -> Array:
        parts = sum_of_components(_log_part, x, self._trials, self._one._log_probs)
        return factorial_remainder(self.total_count) - parts

    # Moments.

    def _mean(self) -> Array:
        return self._trials * jnp.exp(self._one._log_probs)

    def _variance(self) -> Array:
        return -self._mean() * jnp.expm1(self._one._log_probs)

    def _mode(self) -> Array:
        """From ⌊n p⌋, which no mode is below, the rest one by one, where p/(x + 1) is greatest."""
        mean = self._mean()
        size = mean.shape[-1]

        def add(_: int, x: Array) -> Array:
            left = self._trials - jnp.sum(x, axis=-1, keepdims=True)
            best = jax.nn.one_hot(argmax(mean / (x + 1.0), axis=-1), size, dtype=x.dtype)
            return x + jnp.where(left > 0, best, 0.0)

        mode = jax.lax.fori_loop(0, size - 1, add, jnp.floor(mean))
        return jnp.where(jnp.isnan(mean), jnp.nan, mode)

    # Information.

    def _entropy(self) -> Array:
        """−log p is a sum over the categories: of each its mean over the counts of that category, which are binomial."""
        n, log_p = jnp.broadcast_arrays(self._trials, self._one._log_probs)
        mean = n * jnp.exp(log_p)
        variance = -mean * jnp.expm1(log_p)
        sharp = variance < (by_dtype(mean, 1e-5, 1e-7) * mean) ** 2  # as in `lattice_entropy`
        one = Binomial._of(total_count=jnp.where(sharp, 1.0, n), logits=log_p - log1mexp(-log_p))
        tame_mean, tame_variance = jnp.where(sharp, 0.5, mean), jnp.where(sharp, 0.25, variance)
        x, w = lattice(tame_mean, tame_variance, jnp.ones_like(mean), one.total_count)
        log_mass = jax.vmap(one._log_density)(x)
        some = (w > 0) & (log_mass > -jnp.inf)
        surprise = factorial_remainder(x) + _deviance(x, n[None], log_p[None])
        expected = jnp.sum(jnp.where(some, w * jnp.exp(log_mass) * jnp.where(some, surprise, 0.0), 0.0), axis=0)
        limit = factorial_remainder(jnp.where(sharp, mean, 1.0)) - 0.5 * jnp.expm1(log_p)
        total = jnp.sum(jnp.where(sharp, limit, expected), axis=-1) - factorial_remainder(self.total_count)
        return jnp.where(jnp.any(jnp.isnan(mean), axis=-1), jnp.nan, total)

    def _kl(self, q: Self) -> Array:
        """n times that of one trial; ∞ where the numbers of trials differ."""
        kl = self.total_count * self._one._kl(q._one)
        apart = self.total_count != q.total_count
        return jnp.where(apart & ~jnp.isnan(self.total_count + q.total_count), jnp.inf, kl)

    # Exponential family.

    def _natural(self) -> Array:
        return self._one._natural()

    @classmethod
    def _from_natural(cls, natural: Array, known: dict[str, Any]) -> Self:
        return cls._of(total_count=known["total_count"], logits=Categorical._from_natural(natural, {}).logits)

    def _expectation(self) -> Array:
        return self._mean()[..., :-1]

    @classmethod
    def _from_expectation(cls, expectation: Array, known: dict[str, Any]) -> Self:
        n = known["total_count"]
        share = expectation / beside(n)
        return cls._of(total_count=n, logits=Categorical._from_expectation(share, {}).logits)

    def _log_normalizer(self) -> Array:
        return self.total_count * self._one._log_normalizer()

    def _sufficient_statistics(self, x: Array) -> Array:
        return x[..., :-1]

    @classmethod
    def _gap_statistics(cls, gaps: Array) -> Array:
        return jnp.zeros((*gaps.shape[:-1], 1), gaps.dtype)

    @classmethod
    def _log_base(cls, x: Array, known: dict[str, Any]) -> Array:
        return log_factorial(jnp.sum(x, axis=-1)) - jnp.sum(log_factorial(x), axis=-1)

    def _fitted_log_likelihood(self) -> Array:
        return -self.total_count * self._one._entropy()

    def _fisher_information(self) -> Array:
        return beside(self._trials) * self._one._fisher_information()

    def _fisher_solve(self, v: Array) -> Array:
        return self._one._fisher_solve(v) / self._trials

    def _toward(self, q: Self, alpha: Array) -> Self:
        return type(self)._of(total_count=self.total_count, logits=self._one._toward(q._one, alpha).logits)

    # Maximum likelihood.

    @classmethod
    def evidence(cls, x: Any, weights: Any = None, *, by: Any = None, **known: Any) -> Evidence:
        """Mean counts; see `ExponentialFamily.evidence`. Without total_count=n it is what every row adds up to."""
        return super().evidence(x, weights, by=by, **known_total(cls.__name__, x, known))

    @classmethod
    def try_fit(cls, data: Any, weights: Any = None, **known: Any) -> tuple[Self, Outcome]:
        """Like `fit`, elementwise for evidence by group and for traced data (which need total_count)."""
        return super().try_fit(data, weights, **known_total(cls.__name__, data, known))

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """probs = mean/total_count."""
        n = e.known["total_count"]
        outcome = Outcome.first((e.count <= 0, Reason.NO_DATA), (jnp.any(e.mean <= 0, axis=-1), Reason.UNSEEN_CATEGORY))
        return cls._of(total_count=n, logits=jnp.log(e.mean) - jnp.log(beside(n))), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        probs = jnp.exp(self._one._log_probs)
        probs = jnp.broadcast_to(probs, (*shape, *self.event_shape))
        n = jnp.broadcast_to(jnp.asarray(self.total_count, probs.dtype), shape)
        return jax.random.multinomial(key, n, probs).astype(int)
