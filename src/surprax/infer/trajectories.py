"""Trajectories of NUTS: one program for the iterations of a chain, which holds the energy once.

XLA takes longer to compile a sampler than a compressed model takes to be sampled. Most of that time is for the gradient of the
energy, once for each place where it stands: here it stands in one. The rest goes by the number of kernels, of which there is about
one for each value that a loop carries: here these are few arrays. Best is an energy without scatters (of which the gradient of
a look-up by index is one): XLA then makes a single function of all loops, in half the time, and that runs three times as fast.
Random numbers come as arguments, and what is adapted between windows of the warm-up is left to the caller.

Multinomial sampling with biased progress (Betancourt 2017, "A conceptual introduction to Hamiltonian Monte Carlo"), trees without
recursion (Phan, Pradhan & Jankowiak 2019, "Composable effects for flexible and accelerated probabilistic programming in NumPyro"),
step sizes by dual averaging (Hoffman & Gelman 2014, "The No-U-Turn Sampler").
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

__all__ = [
    "NOWHERE",
    "STATISTICS",
    "Noise",
    "Position",
    "Seen",
    "adaptation_at",
    "average_step",
    "iterations",
    "noise",
    "rows_of",
]

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
    """Where a chain is: coordinates w and the gradient of the energy there, shape (2, d), and the energy."""

    place: Any
    energy: Any


class Seen(NamedTuple):
    """What a chain came by: w and gradients, shape (n, d), and by iteration what is named in `STATISTICS`."""

    w: np.ndarray
    gradient: np.ndarray
    statistics: dict[str, np.ndarray]

    @classmethod
    def of(cls, record: Any, count: int) -> "Seen":
        """From the first entries of what `iterations` recorded."""
        rows = np.asarray(record)[:count]
        w, gradient = np.split(rows[:, : -len(STATISTICS)], 2, axis=1)
        columns = rows[:, -len(STATISTICS) :].T
        return cls(w, gradient, {name: x.astype(kind) for (name, kind), x in zip(STATISTICS.items(), columns)})


class Noise(NamedTuple):
    """Random numbers of some iterations: normal ones for momenta; evenly spread ones for directions of doublings; logarithms of
    evenly spread ones for whether the new half is taken, and for which of its points."""

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
    points = rng.random((rows, 2**max_tree_depth), np.float32)
    with np.errstate(divide="ignore"):  # one may be 0
        return Noise(momenta, directions, np.log(halves), np.log(points))


def adaptation_at(log_step: float, dtype: Any) -> np.ndarray:
    """Dual averaging before the first iteration: the logarithm of the step size, its average, the average excess of acceptance, how
    many iterations there were, and the middle."""
    return np.asarray([log_step, log_step, 0.0, 0.0, log_step + np.log(10.0)], dtype)


def average_step(adaptation: Any) -> float:
    """The logarithm of the step size, averaged over iterations."""
    return float(np.asarray(adaptation)[1])


def iterations(
    slope: Slope,
    position: Position,
    adaptation: Any,
    count: Any,
    adapting: Any,
    looking: Any,
    numbers: Noise,
    target: Any,
) -> tuple[Position, Any, Any]:
    """`count` iterations: the last position, the adaptation, and a record of each, for `Seen.of`.

    All masses are 1: for others, take other coordinates.

    Args:
        slope: U and its gradient.
        position, adaptation: before the first.
        count: of iterations, at most as many as there are rows of random numbers.
        adapting: whether step sizes are adapted; if not, they are the average.
        looking: whether no step is made at all, from the points that come in the place of momenta: positions are then these points,
            with the energy and the gradient there; `NOWHERE` and 0 where there is no density.
        numbers: random ones.
        target: of the acceptance rate.
    """
    (rows, size), dtype = numbers.momenta.shape, position.place.dtype

    def iterate(i: Any, carry: Any) -> Any:
        place, energy, adaptation, record = carry
        step = jnp.where(looking, 0.0, jnp.exp(jnp.where(adapting, adaptation[0], adaptation[1])))
        given = _entry(numbers.momenta, i)
        place = jnp.where(looking, jnp.stack([given, jnp.zeros_like(given)]), place)
        energy = jnp.where(looking, NOWHERE, energy)
        p = jnp.where(looking, 0.0, given)
        place, told = _transition(slope, Position(place, energy), p, step, numbers, i)
        rate = told[_RATE] / told[_STEPS]
        diverging = (told[_RISE] > _MOST).astype(dtype)
        seen = jnp.stack([-told[_ENERGY], told[_TOTAL], rate, told[_STEPS], diverging, step])
        record = _with_entry(record, i, jnp.concatenate([place.reshape(-1), seen]))
        adaptation = jnp.where(adapting, _adapted(adaptation, target - rate), adaptation)
        return place, told[_ENERGY], adaptation, record

    record = jnp.zeros((rows, 2 * size + len(STATISTICS)), dtype)
    start, end = np.int32(0), jnp.asarray(count, np.int32)
    place, energy, adaptation, record = lax.fori_loop(start, end, iterate, (*position, jnp.asarray(adaptation), record))
    return Position(place, energy), adaptation, record


def _adapted(adaptation: Array, excess: Array) -> Array:
    _, average, mean, count, middle = adaptation
    count = count + 1.0
    mean = mean + (excess - mean) / (count + _EARLY)
    log_step = middle - jnp.sqrt(count) / _GAIN * mean
    return jnp.stack([log_step, average + count**-_FORGETTING * (log_step - average), mean, count, middle])


_ENERGY, _TOTAL, _WEIGHT, _RATE, _RISE, _STEPS = range(6)
"""Of a tree, in one array: potential and total energy of the point that was taken, log weight of all points, sum of their
acceptances, by how much the total energy rose at the last one, and how many steps there were."""


def _transition(slope: Slope, start: Position, p: Array, step: Array, numbers: Noise, i: Any) -> tuple[Array, Array]:
    """The next place, and numbers of the trajectory that led there."""
    dtype, (_, size) = p.dtype, start.place.shape
    depth_limit = numbers.directions.shape[1]
    initial = start.energy + _kinetic(p)
    zero = jnp.zeros((), dtype)

    def lasting(tree: Any) -> Any:
        return (tree["depth"] < depth_limit) & ~tree["ended"]

    def doubled(tree: Any) -> Any:
        depth = tree["depth"]
        ahead = _element(numbers.directions, i, depth) < 0.5
        side, signed = ahead.astype(jnp.int32), jnp.where(ahead, step, -step)
        limit = jnp.left_shift(1, depth)

        def unfinished(half: Any) -> Any:
            return (half["count"] < limit) & ~half["turning"] & (half["numbers"][_RISE] <= _MOST)

        def grown(half: Any) -> Any:
            count, told = half["count"], half["numbers"]
            w, p, gradient, momentum = half["end"]
            p = p - 0.5 * signed * gradient
            w = w + signed * p
            energy, gradient = slope(w)
            p = p - 0.5 * signed * gradient
            end = jnp.stack([w, p, gradient, momentum + p])
            # Barriers, because XLA computes what is cheap again wherever it is needed, and takes logarithms to be cheap.
            energy, total = lax.optimization_barrier((energy, energy + _kinetic(p)))
            rise = jnp.where(jnp.isnan(total), jnp.inf, total - initial)
            weight = jnp.logaddexp(told[_WEIGHT], -rise)
            taken = _element(numbers.points, i, limit - 1 + count) < -rise - weight
            rise, weight, taken = lax.optimization_barrier((rise, weight, taken))
            point = jnp.where(taken, jnp.stack([energy, total]), told[: _TOTAL + 1])
            more = jnp.stack([weight, told[_RATE] + jnp.minimum(1.0, jnp.exp(-rise)), rise])
            turning, marks = _turning(count, end, half["marks"])
            return {
                "count": count + 1,
                "end": end,
                "taken": jnp.where(taken, end[::2], half["taken"]),
                "numbers": jnp.concatenate([point, more]),
                "turning": turning,
                "marks": marks,
            }

        half = {
            "count": jnp.zeros((), jnp.int32),
            "end": jnp.concatenate([_entry(tree["ends"], side), jnp.zeros((1, size), dtype)]),
            "taken": tree["taken"],
            "numbers": jnp.array([0.0, 0.0, -jnp.inf, 0.0, 0.0], dtype),
            "turning": jnp.zeros((), bool),
            "marks": tree["marks"],
        }
        half = lax.while_loop(unfinished, grown, half)
        told, other = tree["numbers"], half["numbers"]
        whole = ~half["turning"] & (other[_RISE] <= _MOST)
        taken = whole & (_element(numbers.halves, i, depth) < other[_WEIGHT] - told[_WEIGHT])
        weight = jnp.logaddexp(told[_WEIGHT], other[_WEIGHT])
        steps = (limit - 1 + half["count"]).astype(dtype)
        ends = _with_entry(tree["ends"], side, half["end"][:3])
        momentum = tree["momentum"] + half["end"][3]
        taken, weight = lax.optimization_barrier((taken, weight))
        point = jnp.where(taken, other[: _TOTAL + 1], told[: _TOTAL + 1])
        more = jnp.stack([weight, told[_RATE] + other[_RATE], other[_RISE], steps])
        return {
            "depth": depth + 1,
            "ends": ends,
            "taken": jnp.where(taken, half["taken"], tree["taken"]),
            "numbers": jnp.concatenate([point, more]),
            "momentum": momentum,
            "ended": ~whole | _turns(ends[:, 1], momentum),
            "marks": half["marks"],
        }

    here = jnp.stack([start.place[0], p, start.place[1]])
    tree = {
        "depth": jnp.zeros((), jnp.int32),
        "ends": jnp.stack([here, here]),
        "taken": start.place,
        "numbers": jnp.stack([start.energy, initial, zero, zero, zero, zero]),
        "momentum": p,
        "ended": jnp.zeros((), bool),
        "marks": jnp.zeros((depth_limit + 1, 2, size), dtype),
    }
    tree = lax.while_loop(lasting, doubled, tree)
    return tree["taken"], tree["numbers"]


def _entry(array: Array, i: Array) -> Array:
    """array[i]; that asks whether i is negative or too large, which takes long to compile."""
    return lax.dynamic_index_in_dim(array, i, keepdims=False, allow_negative_indices=False)


def _element(array: Array, i: Array, j: Array) -> Array:
    """array[i, j], likewise."""
    return lax.dynamic_slice(array, (i, j), (1, 1), allow_negative_indices=False)[0, 0]


def _with_entry(array: Array, i: Array, entry: Array) -> Array:
    """The array with another entry i, likewise."""
    return lax.dynamic_update_index_in_dim(array, entry, i, 0, allow_negative_indices=False)


def _kinetic(p: Array) -> Array:
    return 0.5 * jnp.sum(p * p)


def _turns(ends: Array, momentum: Array) -> Array:
    """Whether a trajectory with these momenta at its two ends, and this sum of them all, has begun to turn back."""
    along = momentum - 0.5 * (ends[0] + ends[1])
    return jnp.any(jnp.sum(ends * along[None], axis=1) <= 0.0)


def _turning(i: Array, end: Array, marks: Array) -> tuple[Array, Array]:
    """Whether one of the balanced trees that point i completes turns back, and the marks of those that are not complete: momenta
    at their first points, and sums up to there."""
    last = lax.population_count(i >> 1)
    first = last - lax.population_count((~i & (i + 1)) - 1) + 1
    # Odd points are marked where no tree looks.
    marks = _with_entry(marks, last + (i & 1), end[1::2])

    def looked(carry: Any) -> Any:
        k, _ = carry
        start, before = _entry(marks, k)
        return k - 1, _turns(jnp.stack([start, end[1]]), end[3] - before + start)

    return lax.while_loop(lambda c: (c[0] >= first) & ~c[1], looked, (last, jnp.zeros((), bool)))[1], marks
