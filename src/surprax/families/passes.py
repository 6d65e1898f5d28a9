"""Maximum likelihood by passes over the data, for families without finite statistics.

One engine, a safeguarded Newton's method in at most three coordinates. A family supplies the *survey* of a place (its mean
log-likelihood with gradient and Hessian: a few sums over the data, one pass) and the *move* to a neighbouring place. Passes over
much data are saved by climbing first on every k-th row: its summit is within a few standard errors of a small sample, from
where two or three passes over everything reach the exact summit.

XLA fuses a plain sum of elementwise terms with the terms, but writes to memory what several sums share: `averages` therefore
goes by blocks that stay in the cache. Logarithms are slow when written, fast when summed; surveys are arranged accordingly.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from surprax.families.outcomes import Outcome, Reason

__all__ = [
    "Climb",
    "Landscape",
    "averages",
    "climb",
    "climb_in_stages",
    "fit_smallest_extreme",
    "mean_of",
    "no_data",
    "sample_quantiles",
    "share_at_median",
    "thinned",
    "weighted_median",
    "weighted_range",
]

type Survey = tuple[Array, Array, Array]

SAMPLE = 1 << 16
"""Rows of the sample on which a climb over very many rows starts; over many, it is `SORTED`."""
SORTED = 1 << 12
"""Rows that are sorted for a first look: XLA sorts slowly on CPUs."""
BLOCK = 1 << 14
"""Rows that are summed at a time on a CPU."""
GAIN = {"float64": 1e-13, "float32": 1e-10}
"""A climb ends with the step that is predicted to gain less than this, in nats per observation. What is left after that step
is of the order of its square. (Fits run in float64, but for traced data in float32.)"""


class Landscape(NamedTuple):
    """The likelihood of a family as it is climbed.

    Attributes:
        survey: (x, weights) ↦ place ↦ (mean log-likelihood, gradient, Hessian).
        move: (place, step) ↦ place.
        place: distribution ↦ place.
        parameters: place ↦ parameters of the distribution, by name.
    """

    survey: Callable[[Array, Array | None], Callable[[Any], Survey]]
    move: Callable[[Any, Array], Any]
    place: Callable[[Any], Any]
    parameters: Callable[[Any], dict[str, Array]]


# The engine.


class Climb(NamedTuple):
    """Where a climb ended: the place, its height (as last surveyed) and whether it settled there."""

    place: Any
    height: Array
    settled: Array


class _State(NamedTuple):
    passes: Array
    best: Any
    height: Array
    trial: Any
    step: Array
    gain: Array


def climb(survey: Callable[[Any], Survey], move: Callable[[Any, Array], Any], start: Any, limit: Any = 60) -> Climb:
    """The summit next to `start`, by Newton's method: uphill where the curvature has the wrong sign, shorter after a fall.

    Args:
        survey: place ↦ (height, gradient, Hessian) in the coordinates of `move` at step 0.
        move: (place, step) ↦ place; any smooth map with move(place, 0) = place.
        start: a pytree of arrays.
        limit: greatest number of surveys; at 0 the start comes back.
    """
    start = jax.tree.map(jnp.asarray, start)
    height, gradient, _ = jax.eval_shape(survey, start)
    infinite, enough = jnp.asarray(jnp.inf, height.dtype), GAIN[height.dtype.name]
    slack = 400 * jnp.finfo(height.dtype).eps
    still = jnp.zeros(gradient.shape, gradient.dtype)
    state = _State(jnp.zeros((), jnp.int32), start, -infinite, start, still, infinite)

    def survey_and_step(state: _State) -> _State:
        height, gradient, hessian = survey(state.trial)
        # Rounding of a mean must not look like a fall.
        up = height >= state.height - slack * (1.0 + jnp.abs(state.height))
        newton = _uphill(gradient, hessian)
        step = jnp.where(up, newton, 0.25 * state.step)
        gain = jnp.where(up, 0.5 * jnp.sum(gradient * newton), 0.25 * state.gain)
        best = jax.tree.map(lambda new, old: jnp.where(up, new, old), state.trial, state.best)
        return _State(state.passes + 1, best, jnp.where(up, height, state.height), move(best, step), step, gain)

    end = jax.lax.while_loop(lambda s: (s.passes < limit) & ~(s.gain < enough), survey_and_step, state)
    settled = end.gain < enough
    place = jax.tree.map(lambda trial, best: jnp.where(settled, trial, best), end.trial, end.best)
    return Climb(place, end.height, settled)


def _uphill(gradient: Array, hessian: Array) -> Array:
    """Newton's step, but uphill along every principal axis of the curvature; no longer than 2."""
    curvature, axes = jnp.linalg.eigh(hessian)
    size = jnp.abs(curvature)
    step = axes @ ((gradient @ axes) / jnp.maximum(size, 1e-9 * jnp.max(size) + jnp.finfo(size.dtype).tiny))
    return step * (2.0 / jnp.maximum(jnp.sqrt(jnp.sum(step * step)), 2.0))


def climb_in_stages(
    survey: Callable[[Array, Array | None], Callable[[Any], Survey]],
    move: Callable[[Any, Array], Any],
    start: Any,
    x: Array,
    weights: Array | None,
    *,
    warm: bool = False,
    limit: Any = 60,
) -> Climb:
    """`climb` on all data, after one on a sample of the rows where they are many and the start is not warm."""
    if not warm and x.shape[0] > 4 * SORTED:
        rows = SAMPLE if x.shape[0] > 4 * SAMPLE else SORTED
        first = climb(survey(*thinned(x, weights, rows)), move, start)
        start = jax.tree.map(lambda a, b: jnp.where(first.settled, a, b), first.place, start)
    return climb(survey(x, weights), move, start, limit)


# Data at a glance.


def no_data(family: Any, x: Array) -> tuple[Any, Outcome]:
    """What a fit returns where there are no rows at all."""
    nan = jnp.full((), jnp.nan, x.dtype)
    return family._of(**dict.fromkeys(family.parameters, nan)), Outcome(jnp.full((), Reason.NO_DATA.value, jnp.int32))


def averages(
    terms: Callable[[Array], tuple[Array, ...]], x: Array, weights: Array | None, total: Array | None = None
) -> Array:
    """Weighted means of several functions of an observation, in one pass: a vector, one entry per function.

    `total` is the sum of the weights, if it is known.
    """

    def sums(x: Array, weights: Array | None) -> Array:
        return jnp.stack([jnp.sum(term if weights is None else weights * term) for term in terms(x)])

    rows = x.shape[0]
    if total is None:
        total = jnp.asarray(rows, x.dtype) if weights is None else jnp.sum(weights)
    # Accelerators have no use for blocks, nor have few rows.
    if rows < 4 * BLOCK or jax.default_backend() != "cpu":
        return sums(x, weights) / total

    def add(i: Array, so_far: Array) -> Array:
        block = [None if v is None else jax.lax.dynamic_slice(v, (i * BLOCK,), (BLOCK,)) for v in (x, weights)]
        return so_far + sums(*block)  # type: ignore[arg-type]

    whole = rows // BLOCK
    rest = sums(x[whole * BLOCK :], None if weights is None else weights[whole * BLOCK :])
    return jax.lax.fori_loop(0, whole, add, rest) / total


def mean_of(weights: Array | None) -> Callable[[Array], Array]:
    """The weighted mean over observations, as a function."""
    if weights is None:
        return jnp.mean
    total = jnp.sum(weights)
    return lambda v: jnp.sum(weights * v) / total


def thinned(x: Array, weights: Array | None, rows: int) -> tuple[Array, Array | None]:
    """Every k-th row, so that at most `rows` are left."""
    stride = max(1, -(-x.shape[0] // rows))
    return x[::stride], None if weights is None else weights[::stride]


def weighted_range(x: Array, weights: Array | None) -> tuple[Array, Array]:
    """Least and greatest observation of positive weight; (inf, −inf) where there is none."""
    if weights is None:
        return jnp.min(x), jnp.max(x)
    return jnp.min(jnp.where(weights > 0, x, jnp.inf)), jnp.max(jnp.where(weights > 0, x, -jnp.inf))


def sample_quantiles(x: Array, weights: Array | None, shares: tuple[float, ...]) -> tuple[Array, ...]:
    """Quantiles of a thinned sample: a robust first look."""
    ordered = _in_order(*thinned(x, weights, SORTED))
    return tuple(_sorted_quantile(*ordered, share) for share in shares)


def share_at_median(x: Array, weights: Array | None) -> Array:
    """The share of the weight that sits on one value, if any has half of it (judged by the median of a thinned sample)."""
    ordered, up_to = _in_order(*thinned(x, weights, SORTED))
    mean, last = mean_of(weights), ordered.shape[0] - 1
    sides = (jnp.searchsorted(up_to, 0.5 * up_to[-1], side=side) for side in ("left", "right"))
    shares = [mean((x == ordered[jnp.minimum(i, last)]).astype(x.dtype)) for i in sides]
    return jnp.maximum(*shares)


def _in_order(x: Array, weights: Array | None) -> tuple[Array, Array]:
    """Observations in ascending order, and the weight up to each of them."""
    if weights is None:
        return jnp.sort(x), jnp.arange(1.0, x.shape[0] + 1.0, dtype=x.dtype)
    order = jnp.argsort(x)
    return x[order], jnp.cumsum(weights[order])


def _sorted_quantile(x: Array, up_to: Array, share: Any) -> Array:
    """The middle of all quantiles for this share of the weight."""
    target = share * up_to[-1]
    last = x.shape[0] - 1
    lower = jnp.searchsorted(up_to, target, side="left")
    upper = jnp.searchsorted(up_to, target, side="right")
    return 0.5 * x[jnp.minimum(lower, last)] + 0.5 * x[jnp.minimum(upper, last)]


def weighted_median(x: Array, weights: Array | None) -> Array:
    """The middle of the medians, exactly: by sorting few, by counting many.

    Each pass counts the observations in 4,096 equal steps of a bracket, which then closes on those of one step. The first
    bracket comes from a sorted sample, so that two or three passes are the rule; ties end the search at once.
    """
    if x.shape[0] <= SORTED:
        return _sorted_quantile(*_in_order(x, weights), 0.5)
    steps = 1 << 12
    mass = jnp.ones_like(x) if weights is None else weights
    sample = _in_order(*thinned(x, weights, SORTED))
    margin = 3.0 * 0.5 / sample[0].shape[0] ** 0.5

    def close_in(state: tuple[Array, ...]) -> tuple[Array, ...]:
        passes, low, high, _ = state
        place = jnp.floor((x - low) / (high - low) * steps)
        index = (jnp.minimum(jnp.maximum(place, -1.0), steps) + 1.0).astype(jnp.int32)
        up_to = jnp.cumsum(jax.ops.segment_sum(mass, index, steps + 2))
        target = jnp.searchsorted(up_to, 0.5 * up_to[-1], side="left")
        # Tied rows share an index, and indices ascend with x: the new ends are data, and exact.
        here = (index == target) & (mass > 0)
        low, high = jnp.min(jnp.where(here, x, jnp.inf)), jnp.max(jnp.where(here, x, -jnp.inf))
        return passes + 1, low, high, up_to[target] == 0.5 * up_to[-1]

    start = (
        jnp.zeros((), jnp.int32),
        *(_sorted_quantile(*sample, 0.5 + side * margin) for side in (-1, 1)),
        jnp.asarray(False),
    )
    start = (*start[:2], jnp.where(start[2] > start[1], start[2], start[1] + jnp.abs(start[1]) + 1.0), start[3])
    _, median, _, halved = jax.lax.while_loop(lambda s: (s[1] < s[2]) & (s[0] < 64), close_in, start)
    above = jnp.min(jnp.where((x > median) & (mass > 0), x, jnp.inf))
    return jnp.where(halved, 0.5 * median + 0.5 * jnp.where(halved, above, median), median)


# The extreme-value problem, which Weibull and Gumbel share.


def fit_smallest_extreme(y: Array, weights: Array | None, rate: Array | None) -> tuple[Array, Array, Outcome]:
    """Location and rate k for which e^(k (y − location)) is standard exponential, and the outcome.

    With the location at its best for each rate, the mean log-likelihood is log k + k·mean(y) − log mean e^(ky) + const: concave in
    log k. Exponents are taken from the greatest y of positive weight, so that none overflows.
    """
    low, high = weighted_range(y, weights)
    same = low >= high

    def survey(y: Array, weights: Array | None) -> Callable[[Array], Survey]:
        weight = jnp.asarray(y.shape[0], y.dtype) if weights is None else jnp.sum(weights)
        centre = mean_of(weights)(y) - high

        def at(k: Array) -> Survey:
            def terms(y: Array) -> tuple[Array, ...]:
                d = jnp.minimum(y - high, 0.0)
                e = jnp.exp(k * d)
                return e, d * e, d * d * e

            total, first, second = averages(terms, y, weights, weight)
            tilt = first / total
            slope = k * (centre - tilt)
            spread = second / total - tilt * tilt
            height = jnp.log(k) + k * centre - jnp.log(total)
            return height, (1.0 + slope)[None], (slope - k * k * spread)[None, None]

        return at

    if rate is None:
        sample, share = thinned(y, weights, SORTED)
        mean = mean_of(share)
        # The standard deviation of the logarithm of an exponential variable is π/√6.
        deviation = jnp.sqrt(mean((sample - mean(sample)) ** 2))
        guess = 1.2825498301618641 / jnp.where(deviation > 0, deviation, jnp.where(same, 1.0, high - low))
    else:
        guess = rate
    limit = jnp.where(same, 0, 60)
    end = climb_in_stages(
        survey, lambda k, step: k * jnp.exp(step[0]), guess, y, weights, warm=rate is not None, limit=limit
    )
    k = end.place
    location = high + jnp.log(mean_of(weights)(jnp.exp(k * jnp.minimum(y - high, 0.0)))) / k
    outcome = Outcome.first((low > high, Reason.NO_DATA), (same, Reason.ALL_SAME), (~end.settled, Reason.NOT_CONVERGED))
    return jnp.where(same, low, location), jnp.where(same, jnp.inf, k), outcome
