"""Trajectories of NUTS: one program for the iterations of a chain, which holds the energy once.

XLA takes longer to compile a sampler than a compressed model takes to be sampled, and most of that time is for the gradient of the
energy, once for each place where it stands. Here it stands in one place. Random numbers come as arguments, and what is
adapted between windows of the warm-up is left to the caller.

Multinomial sampling with biased progress (Betancourt 2017, "A conceptual introduction to Hamiltonian Monte Carlo"), trees without
recursion (Phan, Pradhan & Jankowiak 2019, "Composable effects for flexible and accelerated probabilistic programming in NumPyro"),
step sizes by dual averaging (Hoffman & Gelman 2014, "The No-U-Turn Sampler").
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

__all__ = ["NOWHERE", "STATISTICS", "Adaptation", "Noise", "Position", "iterations", "noise", "rows_of"]

type Slope = Callable[[Array], tuple[Array, Array]]
"""The energy and its gradient at a point."""

_MOST = 1_000.0
"""Nats by which the energy may rise before a trajectory counts as diverging."""

STATISTICS = {
    "lp": float,
    "energy": float,
    "acceptance_rate": float,
    "n_steps": int,
    "diverging": bool,
    "step_size": float,
}
"""What is told of each iteration, by ArviZ's names, and what kind of number it is."""

NOWHERE = 1e30
"""An energy from which any step leads down."""

_EARLY, _GAIN, _FORGETTING = 10.0, 0.05, 0.75
"""t₀, γ and κ of dual averaging."""


class Position(NamedTuple):
    """Where a chain is: coordinates, the energy there, and its gradient."""

    w: Any
    energy: Any
    gradient: Any


class Adaptation(NamedTuple):
    """Dual averaging: the logarithm of the step size, its average, the average excess of acceptance, how many, and the middle."""

    log_step: Any
    average: Any
    excess: Any
    count: Any
    middle: Any

    @classmethod
    def at(cls, log_step: float, dtype: Any) -> "Adaptation":
        """Before the first iteration."""
        return cls(*np.asarray([log_step, log_step, 0.0, 0.0, log_step + np.log(10.0)], dtype))


class Noise(NamedTuple):
    """Random numbers of some iterations: normal ones for momenta; evenly spread ones for directions of doublings, for whether the
    new half is taken, and for which of its points."""

    momenta: Any
    directions: Any
    halves: Any
    points: Any


def rows_of(max_tree_depth: int) -> int:
    """How many iterations have their random numbers made at once."""
    return max(1, min(50, 2**16 >> max_tree_depth))


def noise(rng: np.random.Generator, size: int, max_tree_depth: int, dtype: Any) -> Noise:
    """Random numbers for `rows_of(max_tree_depth)` iterations with so many coordinates."""
    rows = rows_of(max_tree_depth)
    single = np.float32 if dtype == np.float32 else np.float64
    directions, halves = (rng.random((rows, max_tree_depth), single) for _ in range(2))
    momenta = rng.standard_normal((rows, size), single)
    return Noise(momenta, directions, halves, rng.random((rows, 2**max_tree_depth), np.float32))


def iterations(
    slope: Slope,
    position: Position,
    adaptation: Adaptation,
    count: Any,
    adapting: Any,
    looking: Any,
    variances: Any,
    numbers: Noise,
    target: Any,
) -> tuple[Position, Adaptation, Position, Any]:
    """`count` iterations: the last position, the adaptation, and by iteration positions, and numbers named in `STATISTICS`.

    Args:
        slope: U and its gradient.
        position, adaptation: before the first.
        count: of iterations, at most as many as there are rows of random numbers.
        adapting: whether step sizes are adapted; if not, they are the average.
        looking: whether no step is made at all, from the points that come in the place of momenta: positions are then these points,
            with the energy and the gradient there; `NOWHERE` and 0 where there is no density.
        variances: of the coordinates; inverse masses.
        numbers: random ones.
        target: of the acceptance rate.
    """
    rows, dtype = len(numbers.momenta), position.w.dtype

    def iterate(i: Any, carry: Any) -> Any:
        position, adaptation, draws, statistics = carry
        step = jnp.where(looking, 0.0, jnp.exp(jnp.where(adapting, adaptation.log_step, adaptation.average)))
        own = Noise(*(_entry(part, i) for part in numbers))
        given = Position(own.momenta, NOWHERE, jnp.zeros_like(own.momenta))
        position = Position(*(jnp.where(looking, *both) for both in zip(given, position)))
        own = own._replace(momenta=jnp.where(looking, 0.0, own.momenta))
        position, energy, rate, number, diverging = _transition(slope, position, step, variances, own)
        seen = jnp.stack([-position.energy, energy, rate, number.astype(dtype), diverging.astype(dtype), step])
        statistics = _with_entry(statistics, i, seen)
        after = _adapted(adaptation, target - rate)
        adaptation = Adaptation(*(jnp.where(adapting, new, old) for new, old in zip(after, adaptation)))
        draws = Position(*(_with_entry(whole, i, part) for whole, part in zip(draws, position)))
        return position, adaptation, draws, statistics

    nowhere = Position(*(jnp.zeros((rows, *part.shape), dtype) for part in position))
    return lax.fori_loop(0, count, iterate, (position, adaptation, nowhere, jnp.zeros((rows, len(STATISTICS)), dtype)))


def _adapted(a: Adaptation, excess: Array) -> Adaptation:
    count = a.count + 1.0
    mean = a.excess + (excess - a.excess) / (count + _EARLY)
    log_step = a.middle - jnp.sqrt(count) / _GAIN * mean
    return Adaptation(log_step, a.average + count**-_FORGETTING * (log_step - a.average), mean, count, a.middle)


def _transition(
    slope: Slope, start: Position, step: Array, variances: Array, own: Noise
) -> tuple[Position, Array, Array, Array, Array]:
    """The next position, its total energy, mean acceptance, number of steps, and whether the trajectory diverged."""
    dtype, size = start.w.dtype, start.w.size
    depth_limit = own.directions.size
    p = own.momenta / jnp.sqrt(variances)
    initial = start.energy + _kinetic(p, variances)
    zero, nowhere = jnp.zeros((), dtype), jnp.zeros(size, dtype)

    def lasting(tree: Any) -> Any:
        return (tree["depth"] < depth_limit) & ~tree["ended"]

    def doubled(tree: Any) -> Any:
        depth = tree["depth"]
        ahead = _entry(own.directions, depth) < 0.5
        side, signed = ahead.astype(jnp.int32), jnp.where(ahead, step, -step)
        limit = jnp.left_shift(1, depth)

        def unfinished(half: Any) -> Any:
            return (half["count"] < limit) & ~half["turning"] & ~half["diverging"]

        def grown(half: Any) -> Any:
            w, p, gradient = half["end"]
            p = p - 0.5 * signed * gradient
            w = w + signed * variances * p
            energy, gradient = slope(w)
            p = p - 0.5 * signed * gradient
            total = energy + _kinetic(p, variances)
            rise = jnp.where(jnp.isnan(total), jnp.inf, total - initial)
            weight = jnp.logaddexp(half["weight"], -rise)
            taken = jnp.log(_entry(own.points, tree["count"] + half["count"])) < -rise - weight
            momentum = half["momentum"] + p
            turning, marks = _turning(half["count"], p, momentum, half["marks"], variances)
            return {
                "count": half["count"] + 1,
                "end": jnp.stack([w, p, gradient]),
                "taken": jnp.where(taken, jnp.stack([w, gradient]), half["taken"]),
                "energies": jnp.where(taken, jnp.stack([energy, total]), half["energies"]),
                "weight": weight,
                "momentum": momentum,
                "rate": half["rate"] + jnp.minimum(1.0, jnp.exp(-rise)),
                "turning": turning,
                "diverging": rise > _MOST,
                "marks": marks,
            }

        half = {
            "count": jnp.zeros((), jnp.int32),
            "end": _entry(tree["ends"], side),
            "taken": jnp.zeros((2, size), dtype),
            "energies": jnp.zeros(2, dtype),
            "weight": jnp.full((), -jnp.inf, dtype),
            "momentum": nowhere,
            "rate": zero,
            "turning": jnp.zeros((), bool),
            "diverging": jnp.zeros((), bool),
            "marks": jnp.zeros((depth_limit, 2, size), dtype),
        }
        half = lax.while_loop(unfinished, grown, half)
        whole = ~half["turning"] & ~half["diverging"]
        taken = whole & (jnp.log(_entry(own.halves, depth)) < half["weight"] - tree["weight"])
        ends = _with_entry(tree["ends"], side, half["end"])
        momentum = tree["momentum"] + half["momentum"]
        return {
            "depth": depth + 1,
            "ends": ends,
            "taken": jnp.where(taken, half["taken"], tree["taken"]),
            "energies": jnp.where(taken, half["energies"], tree["energies"]),
            "weight": jnp.logaddexp(tree["weight"], half["weight"]),
            "momentum": momentum,
            "count": tree["count"] + half["count"],
            "rate": tree["rate"] + half["rate"],
            "ended": ~whole | _turns(ends[0, 1], ends[1, 1], momentum, variances),
            "diverging": half["diverging"],
        }

    here = jnp.stack([start.w, p, start.gradient])
    tree = {
        "depth": jnp.zeros((), jnp.int32),
        "ends": jnp.stack([here, here]),
        "taken": jnp.stack([start.w, start.gradient]),
        "energies": jnp.stack([start.energy, initial]),
        "weight": zero,
        "momentum": p,
        "count": jnp.zeros((), jnp.int32),
        "rate": zero,
        "ended": jnp.zeros((), bool),
        "diverging": jnp.zeros((), bool),
    }
    tree = lax.while_loop(lasting, doubled, tree)
    position = Position(tree["taken"][0], tree["energies"][0], tree["taken"][1])
    return position, tree["energies"][1], tree["rate"] / tree["count"], tree["count"], tree["diverging"]


def _entry(array: Array, i: Array) -> Array:
    """array[i]; that asks whether i is negative or too large, which takes long to compile."""
    return lax.dynamic_index_in_dim(array, i, keepdims=False, allow_negative_indices=False)


def _with_entry(array: Array, i: Array, entry: Array) -> Array:
    """The array with another entry i, likewise."""
    return lax.dynamic_update_index_in_dim(array, entry, i, 0, allow_negative_indices=False)


def _kinetic(p: Array, variances: Array) -> Array:
    return 0.5 * jnp.dot(variances * p, p)


def _turns(first: Array, last: Array, momentum: Array, variances: Array) -> Array:
    """Whether a trajectory with these momenta at its ends, and this sum of them all, has begun to turn back."""
    along = variances * (momentum - 0.5 * (first + last))
    return (jnp.dot(first, along) <= 0.0) | (jnp.dot(last, along) <= 0.0)


def _turning(i: Array, p: Array, momentum: Array, marks: Array, variances: Array) -> tuple[Array, Array]:
    """Whether one of the balanced trees that point i completes turns back, and the marks of those that are not complete: momenta
    at their first points, and sums up to there."""
    last = lax.population_count(i >> 1)
    first = last - lax.population_count((~i & (i + 1)) - 1) + 1
    marks = jnp.where(i & 1 == 0, _with_entry(marks, last, jnp.stack([p, momentum])), marks)

    def looked(carry: Any) -> Any:
        k, _ = carry
        start, before = _entry(marks, k)
        return k - 1, _turns(start, p, momentum - before + start, variances)

    return lax.while_loop(lambda c: (c[0] >= first) & ~c[1], looked, (last, jnp.zeros((), bool)))[1], marks
