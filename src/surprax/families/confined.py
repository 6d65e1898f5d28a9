"""What truncation and censoring share: the probability of an interval, means by quantiles, fits at known ends."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence import Evidence
from surprax.families.base import Distribution
from surprax.families.fitting import as_observations, as_weights, check_inside
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import Constraint, positive, real
from surprax.families.passes import Survey, climb, mean_of
from surprax.families.supports import Support
from surprax.numerics.elementary import by_dtype, log1mexp
from surprax.numerics.precision import float64_scope, is_traced

__all__ = [
    "Interval",
    "at_quantiles",
    "check_interval",
    "fit_within",
    "interval_probability",
    "limit",
    "log_probability_between",
]

limit = Constraint("a number or ±∞, not NaN", lambda v: v == v)


def check_interval(d: Any) -> None:
    """Refuse a base that is not of numbers, and known ends that leave nothing between them."""
    owner = type(d).__name__
    if d.base.event_dim:
        raise TypeError(f"{owner}: base must be a distribution of numbers; got {type(d.base).__name__}.")
    if is_traced(d.base, d.low, d.high):
        return
    s = d.base.support
    low, high, lower, upper = np.broadcast_arrays(d.low, d.high, s.lower, s.upper)
    for good, requirement in (
        (low < high, "low must be below high"),
        ((low < upper) & (high > lower), f"the interval must meet the support of its base, {s}"),
    ):
        bad = np.argwhere(~good)
        if bad.size or (good.ndim == 0 and not good):
            index = tuple(int(i) for i in bad[0])
            where = f" at index {index if len(index) > 1 else index[0]}" if index else ""
            raise ValueError(f"{owner}: {requirement}; got low={low[index]!s} and high={high[index]!s}{where}.")


# Probability of an interval -----------------------------------------------------------------------------------------------


class Interval(NamedTuple):
    """An interval under a distribution: P(before < X ≤ last), as `before` is the greatest number below it if they are whole.

    Attributes:
        before, last: its ends in the sense above.
        log_inside, log_below, log_above: log-probabilities of the interval and of what lies on both sides.
    """

    before: Array
    last: Array
    log_inside: Array
    log_below: Array
    log_above: Array


def interval_probability(base: Any, low: Any, high: Any) -> Interval:
    """The interval from `low` to `high`, both included, under a distribution of numbers."""
    low, high = jnp.asarray(low), jnp.asarray(high)
    before, last = (jnp.ceil(low) - 1.0, jnp.floor(high)) if base.support.discrete else (low, high)
    inside = log_probability_between(base, before, last)
    return Interval(before, last, inside, base.log_cdf(before), base.log_sf(last))


def log_probability_between(base: Any, a: Any, b: Any) -> Array:
    """log P(a < X ≤ b), for a ≤ b: from the tail that both ends are in, else from both tails."""
    below_a, below_b, above_a, above_b = base.log_cdf(a), base.log_cdf(b), base.log_sf(a), base.log_sf(b)
    half = -float(np.log(2.0))
    left, right = below_b <= half, above_a <= half
    # What is not taken is replaced by numbers of which logarithms and their slopes are finite.
    in_left = jnp.where(left, below_b, 0.0) + log1mexp(_drop(below_b, below_a, left))
    in_right = jnp.where(right, above_a, 0.0) + log1mexp(_drop(above_a, above_b, right))
    middle = ~(left | right)
    both = jnp.log1p(-jnp.where(middle, jnp.exp(below_a) + jnp.exp(above_b), 0.0))
    value = jnp.where(left, in_left, jnp.where(right, in_right, both))
    return jnp.where(jnp.isnan(below_a + above_b), jnp.nan, value)


def _drop(greater: Array, smaller: Array, chosen: Array) -> Array:
    """By how much the logarithm of the greater tail exceeds that of the smaller; ∞ where that is 0."""
    some = chosen & (smaller > -jnp.inf)
    drop = jnp.maximum(jnp.where(some, greater, 0.0) - jnp.where(some, smaller, -1.0), 0.0)
    return jnp.where(some, drop, jnp.where(chosen, jnp.inf, 1.0))


# Means by quantiles -------------------------------------------------------------------------------------------------------


def _double_exponential(step: float, end: float) -> tuple[np.ndarray, ...]:
    """log u, log(1 − u) and weights for ∫₀¹ f(u) du: the tanh-sinh rule (Takahasi & Mori 1974)."""
    count = round(end / step)
    t = step * np.arange(-count, count + 1)
    s = np.pi * np.sinh(t)
    log_p, log_q = -np.logaddexp(0.0, -s), -np.logaddexp(0.0, s)
    return log_p, log_q, step * np.pi * np.cosh(t) * np.exp(log_p + log_q)


# Both reach as far as probabilities that the dtype can hold.
_RULES = (_double_exponential(1 / 8, 3.9), _double_exponential(1 / 20, 5.9))


def at_quantiles(quantile: Callable[[Array, Array], Array], like: Array) -> tuple[Array, Array]:
    """Nodes and weights on a new first axis, with E f(X) ≈ Σ weight·f(node): quantiles, by quantile(log u, log(1 − u))."""
    log_p, log_q, weights = (jnp.asarray(v, like.dtype) for v in by_dtype(like, *_RULES))
    nodes = jax.vmap(lambda p, q: quantile(jnp.full(like.shape, p), jnp.full(like.shape, q)))(log_p, log_q)
    return nodes, weights.reshape((-1,) + (1,) * like.ndim)


# Fits at known ends -------------------------------------------------------------------------------------------------------


def fit_within(
    cls: Any, data: Any, weights: Any, base: Any, low: Any, high: Any, known: dict[str, Any]
) -> tuple[Any, Outcome]:
    """Maximum likelihood of a truncated or censored family of numbers: Newton's method from the fit that ignores the ends."""
    name = cls.__name__
    if known:
        raise TypeError(f"{name}.fit takes these known parameters: low, high; got {', '.join(sorted(known))}.")
    if not (isinstance(base, type) and issubclass(base, Distribution)) or isinstance(data, Evidence):
        raise TypeError(
            f"{name}.fit takes observations and base=..., the family they are from, such as {name}.fit(x, base=Normal, low=0.0)."
        )
    if base.event_dim or any(m["constraint"] not in (real, positive) for m in base.parameters.values()):
        raise ValueError(f"{name}.fit needs a base whose parameters are real or positive numbers; got {base.__name__}.")
    if is_traced(data, weights):
        raise ValueError(f"{name}.fit needs known data.")
    x = as_observations(data)
    if x.ndim != 1:
        raise ValueError(f"{name}.fit takes observations along one axis; got an array of shape {x.shape}.")
    weights = as_weights(weights, x)
    low, high = float(low), float(high)
    s: Any = base.data_support
    check_inside(cls, x, Support(max(low, s.lower), min(high, s.upper), s.discrete, s.open_lower, s.open_upper))
    start, outcome = base.try_fit(x, weights)
    if not outcome.ok:
        return cls._of(base=start, low=low, high=high), outcome
    with float64_scope():
        weights = None if weights is None else np.asarray(weights, np.float64)
        fitted, settled = _climb(cls, base, np.asarray(x, np.float64), weights, start, low, high)
        outcome = Outcome.first((~settled, Reason.NOT_CONVERGED))
        return jax.tree.map(np.asarray, (cls._of(base=fitted, low=low, high=high), outcome))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _climb(cls: Any, base: Any, x: Array, weights: Array | None, start: Any, low: Any, high: Any) -> tuple[Any, Array]:
    """In the logarithms of positive parameters; in real ones by the data's standard deviation."""
    mean = mean_of(weights)
    deviation = jnp.sqrt(mean((x - mean(x)) ** 2))

    def at(place: Array) -> Any:
        moved = {}
        for step, (name, meta) in zip(place, base.parameters.items()):
            value = getattr(start, name)
            moved[name] = value * jnp.exp(step) if meta["constraint"] is positive else value + deviation * step
        return base._of(**moved)

    def height(place: Array) -> Array:
        return mean(cls._of(base=at(place), low=low, high=high)._log_density(x))

    def survey(place: Array) -> Survey:
        return height(place), jax.grad(height)(place), jax.jacfwd(jax.grad(height))(place)

    end = climb(survey, lambda place, step: place + step, jnp.zeros(len(base.parameters), x.dtype), 100)
    return at(end.place), end.settled
