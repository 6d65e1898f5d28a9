"""What families of whole numbers share: parameters by probability or log-odds, sums over the lattice, quantiles."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.families.parameters import Constraint, check_parameter
from surprax.numerics.elementary import (
    by_dtype,
    expm1_minus,
    log1p_minus,
    log_ratio,
    logaddexp,
    power_of_two,
    with_derivatives,
)
from surprax.numerics.gamma import stirling_error
from surprax.numerics.normal import normal_quantile_from_log
from surprax.numerics.precision import is_traced
from surprax.numerics.roots import smallest_integer

__all__ = [
    "bernoulli_divergence",
    "binary_entropy",
    "choose_logits",
    "factorial_remainder",
    "lattice",
    "lattice_entropy",
    "least_whole",
    "log_odds",
    "nonnegative",
    "reached",
    "sigmoid",
    "smallest_quantile",
    "softplus",
    "trials_deviance",
]

nonnegative = Constraint("at least 0 and finite", lambda v: (v >= 0) & (v < np.inf))
log_odds = Constraint("a number or ±∞, not NaN", lambda v: v == v)


# Probability and log-odds ---------------------------------------------------------------------------------------------


def choose_logits(owner: str, probs: Any, logits: Any, constraint: Constraint) -> Any:
    """Log-odds from exactly one of `probs` and `logits`; known probabilities are converted in float64.

    `constraint` is that of known `probs`; traced probabilities outside [0, 1] give NaN.
    """
    if (probs is None) == (logits is None):
        found = "neither" if probs is None else "both"
        raise ValueError(f"{owner} takes exactly one of probs and logits; got {found}.")
    if probs is None:
        return logits
    if is_traced(probs):
        traced = jnp.asarray(probs, jnp.result_type(float, probs))
        return log_ratio(traced, 1.0 - traced)
    p = np.asarray(probs, np.float64)
    check_parameter(owner, "probs", p, constraint)
    with np.errstate(divide="ignore"):
        value = np.log(p) - np.log1p(-p)
    given = getattr(probs, "dtype", None)
    return value.astype(given) if given is not None and jnp.issubdtype(given, jnp.floating) else value


def sigmoid(logits: Any) -> Any:
    """1/(1 + e^−logits), the probability of these log-odds: in NumPy where they are known to NumPy, else in JAX."""
    if is_traced(logits) or isinstance(logits, jax.Array):
        return jax.nn.sigmoid(logits)
    with np.errstate(over="ignore"):
        odds = np.exp(-np.abs(np.asarray(logits)))
    return np.where(np.asarray(logits) >= 0, 1.0, odds) / (1.0 + odds)


def softplus(logits: Any) -> Array:
    """log(1 + e^logits): the surprise of a failure, in nats; softplus(−logits) is that of a success."""
    return logaddexp(logits, 0.0)


def _probability_gap(a: Array, b: Array) -> Array:
    """sigmoid(a) − sigmoid(b), to relative accuracy as a → b."""
    # By branches that are smooth where a = b too: its derivative there is the variance of a trial.
    ahead = a >= b
    high, low = jnp.where(ahead, a, b), jnp.where(ahead, b, a)
    gap = -jnp.expm1(jnp.where(jnp.isinf(a) & (a == b), 0.0, low - high))
    size = jax.nn.sigmoid(high) * jax.nn.sigmoid(-low) * gap
    return jnp.where(ahead, size, -size)


def _entropy_slope(logits: Array) -> Array:
    return -jnp.where(jnp.isinf(logits), 0.0, logits) * jax.nn.sigmoid(logits) * jax.nn.sigmoid(-logits)


@with_derivatives(_entropy_slope)
def binary_entropy(logits: Array) -> Array:
    """Entropy of one trial, in nats; 0 where the outcome is certain."""
    size = jnp.abs(logits)
    return softplus(-size) + jnp.where(size == jnp.inf, 0.0, size) * jax.nn.sigmoid(-size)


def trials_deviance(x: Array, y: Array, gap: Array, surprise0: Array, surprise1: Array) -> Array:
    """(x + y)·KL(Bernoulli(x/(x + y)) ‖ Bernoulli(p)) ≥ 0: x successes and y failures from their probability p.

    surprise0 = −log(1 − p) and surprise1 = −log p are the surprises of a failure and of a success, and
    gap = log p/(1 − p) − log x/y; these are given apart, as they may hold digits that p has lost. Full relative accuracy
    as gap → 0: with the share r ≤ ½ of the rarer outcome it is (x + y)·[log1p_minus(r·expm1(gap)) + r·expm1_minus(gap)],
    two terms of opposite signs, near 0 in the ratio −r : 1. Elementwise, not to be differentiated.
    """
    flip = x > y
    x, y = jnp.where(flip, y, x), jnp.where(flip, x, y)
    gap, surprise = jnp.where(flip, -gap, gap), jnp.where(flip, surprise1, surprise0)
    n = x + y
    r = x / jnp.where(n == 0, 1.0, n)
    near = jnp.abs(gap) <= 1.0
    d = jnp.where(near, gap, 0.0)
    close = n * log1p_minus(r * jnp.expm1(d)) + x * expm1_minus(d)
    # Certain success, gap = ∞, is refuted by any failure (n·∞); where x = 0 nothing but failures is paid for.
    far = n * (surprise + jnp.log1p(-r)) - jnp.where((x == 0) | (gap == jnp.inf), 0.0, x * gap)
    return jnp.where(n == 0, jnp.where(jnp.isnan(surprise), jnp.nan, 0.0), jnp.where(near, close, far))


def _divergence_slope(own: Array, other: Array) -> Array:
    weight = jax.nn.sigmoid(own) * jax.nn.sigmoid(-own)
    return jnp.where(weight == 0, 0.0, weight * (own - other))


@with_derivatives(_divergence_slope, lambda own, other: _probability_gap(other, own))
def bernoulli_divergence(own: Array, other: Array) -> Array:
    """KL between single trials with log-odds `own` and `other`, in nats; relative accuracy as they meet."""
    return trials_deviance(jax.nn.sigmoid(own), jax.nn.sigmoid(-own), other - own, softplus(other), softplus(-other))


def factorial_remainder(k: Array) -> Array:
    """log k! − (k log k − k) = ½ log 2πk + stirling_error(k), and 0 at k = 0: what the deviance leaves of a count."""
    some = jnp.where(k == 0, 1.0, k)
    return jnp.where(k == 0, 0.0, 0.5 * jnp.log(2.0 * np.pi * some) + stirling_error(some))


# Sums over the lattice ------------------------------------------------------------------------------------------------


def lattice(mean: Array, variance: Array, scale: Array, upper: Array) -> tuple[Array, Array]:
    """Points x and weights w on a new first axis: Σ w·f(x) = Σ_k f(k) over k = 0, 1, …, `upper`, for f like the mass.

    A sum over whole numbers is a trapezoid rule of step 1; where the mass is smooth on a longer scale, any step well
    below its standard deviation gives the same sum to all digits (Trefethen & Weideman 2014, section 5). The points are

    - every whole number of the window, while these are at most 256;
    - steps of a power of two (so that they are exact) across a wide window that keeps clear of 0;
    - k = j + c·j⁹ for a wide window that begins at 0: whole numbers at first, because mass may crowd there, then ever
      longer steps, each within 4 % of k. The map is flat at 0 to eighth order, and with it the end correction.

    The window leaves out e⁻ᵗ of each tail, t = 20 or 42, of a law whose log-moments are those of a Gamma law of this
    variance and `scale`, or lighter (Boucheron, Lugosi & Massart 2013, section 2.4).
    """
    mean, variance, scale, upper = (jax.lax.stop_gradient(v) for v in (mean, variance, scale, upper))
    nats, count = by_dtype(mean, 20.0, 42.0), 256
    last = count - 1
    bell = jnp.sqrt(2.0 * nats * variance)
    low = jnp.floor(jnp.maximum(mean - bell - nats, 0.0))
    high = jnp.ceil(jnp.minimum(mean + bell + nats * scale, upper))
    width = high - low
    even = (low > 0.0) | (width <= last)

    j = jnp.arange(count, dtype=mean.dtype).reshape((count,) + (1,) * mean.ndim)
    step = power_of_two(jnp.ceil(jnp.log2(jnp.maximum(width / last, 1.0))), width.dtype)
    start = jnp.floor(low / step) * step
    stretch = jnp.maximum(width / last - 1.0, 0.0)[None] * (j / last) ** 8
    x = jnp.where(even[None], start[None] + step[None] * j, (1.0 + stretch) * j)
    w = jnp.where(even[None], step[None], 1.0 + 9.0 * stretch)
    inside = x <= upper[None]
    return jnp.where(inside, x, low[None]), jnp.where(inside, w, 0.0)


def lattice_entropy(log_mass: Callable[[Array], Array], mean: Array, variance: Array, scale: Any, upper: Any) -> Array:
    """−Σ p log p in nats, by the points of `lattice`; where σ is tiny beside the mean, its limit ½ log 2πeσ².

    `log_mass` sees points of the rank of the batch. At the switch (σ/mean = 1e-5 in float32, 1e-7 in float64) the limit
    is off by the order of (σ/mean)².
    """
    mean, variance, scale, upper = jnp.broadcast_arrays(
        mean, variance, jnp.asarray(scale, mean.dtype), jnp.asarray(upper, mean.dtype)
    )
    sharp = variance < (by_dtype(mean, 1e-5, 1e-7) * mean) ** 2
    tame = [jnp.where(sharp, 1.0, v) for v in (mean, variance, scale)]
    x, w = lattice(tame[0], tame[1], tame[2], upper)
    log_p = jax.vmap(log_mass)(x)
    some = log_p > -jnp.inf
    log_p = jnp.where(some, log_p, jnp.where(jnp.isnan(log_p), jnp.nan, 0.0))
    total = -jnp.sum(jnp.where(log_p == 0, 0.0, w * jnp.exp(log_p) * log_p), axis=0)
    limit = 0.5 * jnp.log(2.0 * np.pi * np.e * jnp.where(sharp, variance, 1.0))
    return jnp.where(sharp, limit, total)


# Quantiles ------------------------------------------------------------------------------------------------------------


def least_whole(holds: Callable[[Array], Array], guess: Array, lower: Array, upper: Array) -> Array:
    """The least whole number k in [lower, upper] with holds(k), of a condition that stays true; else `upper`.

    Elementwise over arrays of one shape; NaN where an argument is NaN. Beyond 2²⁴ (2⁵³ in float64) whole numbers have
    gaps, and k is the least that exists: the search is over the numbers that exist, by their place among them.
    """
    dtype, edge = guess.dtype, by_dtype(guess, 1 << 24, 1 << 53)
    integer = by_dtype(guess, jnp.int32, jnp.int64)
    offset = jax.lax.bitcast_convert_type(jnp.asarray(edge, dtype), integer) - edge
    bad = jnp.isnan(lower) | jnp.isnan(upper) | jnp.isnan(guess)

    def place(k: Array) -> Array:
        k = jnp.where(bad, 0.0, k)
        dense = jnp.minimum(k, float(edge)).astype(integer)
        return jnp.where(k <= edge, dense, jax.lax.bitcast_convert_type(k, integer) - offset)

    def number(i: Array) -> Array:
        return jnp.where(i <= edge, i.astype(dtype), jax.lax.bitcast_convert_type(i + offset, dtype))

    guess = jnp.clip(guess, lower, jnp.minimum(upper, jnp.finfo(dtype).max))
    found, _ = smallest_integer(lambda i: holds(number(i)), place(lower), place(upper), place(guess))
    return jnp.where(bad, jnp.nan, number(found))


def reached(log_tail: Array, lower: Array, log_p: Array, log_q: Array) -> Array:
    """Whether P(X ≤ k) ≥ p = 1 − q, by log P(X ≤ k) where `lower`, else by log P(X > k), up to rounding.

    With the rounded number p = cdf(k), the answer at k is yes. In the upper half p is known to within ε only, which is
    forgiven while it is a small part (1/64) of q.
    """
    eps = float(jnp.finfo(log_p.dtype).eps)
    slack = jnp.where(log_q > np.log(64.0 * eps), eps * jnp.exp(-log_q), 0.0)
    by_cdf = log_tail >= log_p - 2.0 * eps * (1.0 - log_p)
    by_sf = log_tail <= log_q + 2.0 * eps * (1.0 - log_q) + slack
    return jnp.where(lower, by_cdf, by_sf)


def smallest_quantile(
    d: Any, log_p: Array, log_q: Array, mean: Array, variance: Array, skewness: Array, upper: Any = np.inf
) -> Array:
    """The least whole number k from 0 to `upper` with P(X ≤ k) ≥ p, in the sense of `reached`; NaN for NaN parameters.

    `d._log_tail(k, lower)` is log P(X ≤ k) where `lower`, else log P(X > k). The search starts from the normal quantile
    bent by the skewness (Cornish & Fisher 1938). Piecewise constant: its derivative is 0.
    """
    z = normal_quantile_from_log(log_p, log_q)
    guess = jnp.floor(mean + jnp.sqrt(variance) * (z + skewness * (z * z - 1.0) / 6.0))
    guess, upper = jnp.broadcast_arrays(guess, jnp.asarray(upper, guess.dtype))
    d, log_p, log_q, guess, upper = jax.lax.stop_gradient((d, log_p, log_q, guess, upper))
    lower = log_p <= log_q

    def holds(k: Array) -> Array:
        # The distribution function is not asked at the upper end, where it is 1.
        inner = jnp.minimum(k, upper - 1.0)
        return reached(d._log_tail(inner, lower), lower, log_p, log_q) | (k >= upper)

    return least_whole(holds, guess, jnp.zeros_like(guess), upper)
