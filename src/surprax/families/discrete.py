"""What families of whole numbers share: parameters by probability or log-odds, sums over the lattice, quantiles."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.families.parameters import Constraint
from surprax.numerics.elementary import by_dtype, expm1_minus, log1p_minus, log_ratio, logaddexp
from surprax.numerics.gamma import stirling_error
from surprax.numerics.normal import normal_quantile_from_log
from surprax.numerics.precision import is_traced

__all__ = [
    "choose_logits",
    "factorial_remainder",
    "lattice",
    "log_odds",
    "lattice_entropy",
    "nonnegative",
    "reached",
    "sigmoid",
    "smallest_quantile",
    "softplus",
    "trials_deviance",
]

nonnegative = Constraint("at least 0 and finite", lambda v: (v >= 0) & np.isfinite(v))
log_odds = Constraint("a number or ±∞, not NaN", lambda v: ~np.isnan(v))


# Probability and log-odds ---------------------------------------------------------------------------------------------


def choose_logits(owner: str, probs: Any, logits: Any, constraint: Constraint) -> Any:
    """Log-odds from exactly one of `probs` and `logits`; known probabilities are converted in float64.

    `constraint` is that of `probs`; traced probabilities outside [0, 1] give NaN.
    """
    if (probs is None) == (logits is None):
        found = "neither" if probs is None else "both"
        raise ValueError(f"{owner} takes exactly one of probs and logits; got {found}.")
    if probs is None:
        return logits
    if is_traced(probs):
        p = jnp.asarray(probs, jnp.result_type(float, probs))
        return log_ratio(p, 1.0 - p)
    p = np.asarray(probs, np.float64)
    good = constraint.holds(p)
    if not np.all(good):
        index = tuple(int(i) for i in np.argwhere(~good)[0])
        where = f" at index {index if len(index) > 1 else index[0]}" if index else ""
        raise ValueError(f"{owner}: probs must be {constraint.words}; got {p[index]!s}{where}.")
    with np.errstate(divide="ignore"):
        value = np.log(p) - np.log1p(-p)
    given = getattr(probs, "dtype", None)
    return value.astype(given) if given is not None and jnp.issubdtype(given, jnp.floating) else value


def sigmoid(logits: Any) -> Any:
    """1/(1 + e^−logits): in NumPy, with all digits, where the log-odds are NumPy; else in JAX."""
    if is_traced(logits) or isinstance(logits, jax.Array):
        return jax.nn.sigmoid(logits)
    odds_against = np.exp(np.minimum(-logits, 709.0))
    return np.where(logits == -np.inf, 0.0, 1.0 / (1.0 + odds_against)).astype(np.asarray(logits).dtype)[()]


def softplus(logits: Any) -> Array:
    """log(1 + e^logits) = −log P(failure); of −logits, −log P(success). In nats."""
    return logaddexp(logits, 0.0)


def trials_deviance(x: Array, y: Array, logits: Array, gap: Array) -> Array:
    """(x + y)·KL(x/(x + y) ‖ sigmoid(logits)) ≥ 0, of x successes and y failures from their probability.

    gap = logits − log(x/y) is given apart, as it may hold more digits. Full relative accuracy as gap → 0. With the rarer
    outcome's share p ≤ ½ it is (x + y)·[log1p_minus(p·expm1(gap)) + p·expm1_minus(gap)], where the terms have opposite
    signs and sizes p : 1. Elementwise, not to be differentiated.
    """
    flip = x > y
    x, y = jnp.where(flip, y, x), jnp.where(flip, x, y)
    logits, gap = jnp.where(flip, -logits, logits), jnp.where(flip, -gap, gap)
    n = x + y
    p = x / jnp.where(n == 0, 1.0, n)
    near = jnp.abs(gap) <= 1.0
    d = jnp.where(near, gap, 0.0)
    close = n * log1p_minus(p * jnp.expm1(d)) + x * expm1_minus(d)
    # Certain success (∞) is refuted by any failure, n·∞; a share of 0 pays for nothing but the failures.
    shift = jnp.where((x == 0) | (gap == jnp.inf), 0.0, x * gap)
    far = n * (softplus(logits) + jnp.log1p(-p)) - shift
    return jnp.where(n == 0, jnp.where(jnp.isnan(logits), jnp.nan, 0.0), jnp.where(near, close, far))


def factorial_remainder(k: Array) -> Array:
    """log k! − (k log k − k) = ½ log 2πk + stirling_error(k), and 0 at k = 0: what the deviance leaves of a count."""
    some = jnp.where(k == 0, 1.0, k)
    return jnp.where(k == 0, 0.0, 0.5 * jnp.log(2.0 * np.pi * some) + stirling_error(some))


# Sums over the lattice ------------------------------------------------------------------------------------------------


def lattice(mean: Array, variance: Array, scale: Array, upper: Array) -> tuple[Array, Array]:
    """Points x and weights w on a new first axis with Σ w·f(x) = Σ_k f(k) over k = 0, 1, …, `upper`, for f like the mass.

    A sum over whole numbers is a trapezoid rule of step 1; where the mass is smooth on a longer scale, any step well below
    its standard deviation σ gives the same sum to all digits (Poisson's summation formula; Trefethen & Weideman 2014,
    section 5). The points are

    - every whole number of the window, while these are fewer than N (256 in float32, 512 in float64);
    - steps of a power of two (so that they are exact) across a wide window that keeps clear of 0;
    - k = j + c·j⁹ for a wide window that begins at 0: whole numbers at first, because mass may crowd there, then ever
      longer steps, each within 4 % of k. The map is flat at 0 to eighth order, and with it the end correction.

    The window holds all but e⁻ᵗ of each tail, t = 20 or 42, for laws whose log-moments are those of a Gamma law of this
    variance and this `scale` or lighter (Boucheron, Lugosi & Massart 2013, section 2.4).
    """
    mean, variance, scale, upper = (jax.lax.stop_gradient(v) for v in (mean, variance, scale, upper))
    nats, count = by_dtype(mean, (20.0, 256), (42.0, 512))
    bell = jnp.sqrt(2.0 * nats * variance)
    low = jnp.floor(jnp.maximum(mean - bell - nats, 0.0))
    high = jnp.ceil(jnp.minimum(mean + bell + nats * scale, upper))
    width = high - low
    narrow, clear = width < count, low > 0.0

    j = jnp.arange(count, dtype=mean.dtype).reshape((count,) + (1,) * mean.ndim)
    ratio = jnp.where(narrow, 1.0, width / (count - 1))
    step = jnp.ldexp(jnp.ones_like(width), jnp.ceil(jnp.log2(ratio)).astype(jnp.int32))
    even = jnp.floor(low / step) * step
    stretch = jnp.where(narrow | clear, 0.0, width - (count - 1))
    bend = (j / (count - 1)) ** 8
    x = jnp.where(clear | narrow, even[None] + step[None] * j, j + stretch[None] / (count - 1) * bend * j)
    w = jnp.where(clear | narrow, step[None] * jnp.ones_like(j), 1.0 + 9.0 * stretch[None] / (count - 1) * bend)
    inside = x <= upper[None]
    return jnp.where(inside, x, low[None]), jnp.where(inside, w, 0.0)


def lattice_entropy(log_mass: Callable[[Array], Array], mean: Array, variance: Array, scale: Array, upper: Any) -> Array:
    """−Σ p log p in nats, for the arguments of `lattice`; where σ is below 1e-5 of the mean, its limit ½ log 2πeσ².

    `log_mass` sees points of the rank of the batch.
    """
    mean, variance, scale, upper = jnp.broadcast_arrays(mean, variance, scale, jnp.asarray(upper, mean.dtype))
    limit = variance < (by_dtype(mean, 1e-5, 1e-7) * mean) ** 2
    tame = lambda v, stand_in: jnp.where(limit, stand_in, v)
    x, w = lattice(tame(mean, 1.0), tame(variance, 1.0), tame(scale, 1.0), upper)
    log_p = jax.vmap(log_mass)(x)
    some = log_p > -jnp.inf
    log_p = jnp.where(some, log_p, 0.0)
    sums = -jnp.sum(jnp.where(some, w * jnp.exp(log_p) * log_p, 0.0), axis=0)
    return jnp.where(limit, 0.5 * jnp.log(2.0 * np.pi * np.e * tame_positive(variance)), sums)


def tame_positive(v: Array) -> Array:
    return jnp.where(v > 0, v, 1.0)


# Quantiles ------------------------------------------------------------------------------------------------------------


def reached(log_cdf: Array, log_sf: Array, log_p: Array, log_q: Array) -> Array:
    """Whether P(X ≤ k) ≥ p, decided in the smaller tail, up to the rounding of the probabilities.

    With p = cdf(k) as a rounded number the answer at k is yes: above ½ a probability is only known to ε, which is allowed
    for as long as that is a small part of q = 1 − p.
    """
    eps = jnp.finfo(log_p.dtype).eps
    lower = log_p <= log_q
    by_cdf = log_cdf >= log_p - 4.0 * eps * (1.0 - log_p)
    slack = jnp.where(log_q > np.log(1024.0 * float(eps)), eps * jnp.exp(-log_q), 0.0)
    by_sf = log_sf <= log_q + 4.0 * eps * (1.0 - log_q) + slack
    return jnp.where(lower, by_cdf, by_sf)


def smallest_quantile(
    log_cdf: Callable[[Array], Array],
    log_sf: Callable[[Array], Array],
    log_p: Array,
    log_q: Array,
    mean: Array,
    variance: Array,
    skewness: Array,
    upper: Any = np.inf,
) -> Array:
    """The least whole number k ≥ 0 with P(X ≤ k) ≥ p, in the sense of `reached`; NaN where the parameters are.

    From the normal quantile bent by the skewness (Cornish & Fisher 1938), steps that double until they turn, then
    bisection; so it agrees with the distribution function whatever the start. Beyond 2²⁴ (2⁵³ in float64) whole numbers
    have gaps, and k is the least that exists. Piecewise constant: its derivative is 0.
    """
    z = normal_quantile_from_log(log_p, log_q)
    shape = jnp.broadcast_shapes(*(jnp.shape(v) for v in (log_p, mean, variance)))
    log_p, log_q, mean, variance, skewness, upper = (
        jax.lax.stop_gradient(jnp.broadcast_to(jnp.asarray(v, log_p.dtype), shape))
        for v in (log_p, log_q, mean, variance, skewness, upper)
    )
    bad = jnp.isnan(mean) | jnp.isnan(variance)
    z = jax.lax.stop_gradient(z)
    guess = jnp.floor(mean + jnp.sqrt(variance) * (z + skewness * (z * z - 1.0) / 6.0))
    guess = jnp.where(bad, 0.0, jnp.clip(guess, 0.0, jnp.minimum(upper, jnp.finfo(log_p.dtype).max)))

    def middle(low: Array, high: Array) -> Array:
        return jnp.floor(low + 0.5 * (high - low))

    def active(state: tuple[Array, ...]) -> Array:
        low, high, _, _, _ = state
        m = middle(low, high)
        return ((high == jnp.inf) | (m > low) & (m < high)) & ~bad

    def advance(state: tuple[Array, ...]) -> tuple[Array, ...]:
        low, high, k, step, turned = state
        yes = reached(log_cdf(k), log_sf(k), log_p, log_q) | (k >= jnp.finfo(k.dtype).max)
        new_low, new_high = jnp.where(yes, low, k), jnp.where(yes, k, high)
        now_turned = turned | ((new_low >= 0.0) & (new_high < upper))
        ahead = jnp.where(yes, k - step, k + step)
        outside = (ahead <= new_low) | (ahead >= new_high)
        go = jnp.where(now_turned | outside, middle(new_low, new_high), ahead)
        go = jnp.where(go == jnp.inf, jnp.finfo(k.dtype).max, jnp.clip(go, 0.0, upper))
        on = active(state)
        keep = lambda new, old: jnp.where(on, new, old)
        return (
            keep(new_low, low), keep(new_high, high), keep(go, k), keep(2.0 * step, step), keep(now_turned, turned)
        )  # fmt: skip

    start = (jnp.full(shape, -1.0, log_p.dtype), upper, guess, jnp.ones(shape, log_p.dtype), jnp.zeros(shape, bool))
    high = jax.lax.while_loop(lambda state: jnp.any(active(state)), advance, start)[1]
    return jnp.where(bad, jnp.nan, high)
