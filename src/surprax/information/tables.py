"""Tables of probabilities: read with their errors in words, and the few sums over them that everything here is made of.

A table is given by its probabilities, which sum to 1, or by log-weights, which need not be normalised, as are those of a belief.
Sums are taken over the last axis, to which readers bring the axes of one distribution; all others are a batch.

Known numbers are computed with in float64, and probabilities that sum to 1 but for rounding are divided by their sum. Traced
numbers are computed with as they come; what is no distribution is NaN.
"""

import math
import operator
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.beliefs import Belief
from surprax.numerics.elementary import argmax, deviance, expm1_minus, xlogy
from surprax.numerics.precision import is_traced
from surprax.units import Unit, from_nats, nats_per

__all__ = [
    "Axes",
    "Given",
    "Known",
    "Pair",
    "Table",
    "divergence_terms",
    "each_axis",
    "given_once",
    "in_unit",
    "minus_p_log",
    "place",
    "read",
    "read_belief",
    "read_pair",
    "reals",
    "table",
]

type Axes = int | Sequence[int] | np.ndarray | None

TOLERANCE = 1e-5
"""How far from 1 a sum of probabilities may be; four roundings of the dtype, if that is more."""


@dataclass(frozen=True, slots=True)
class Known[T]:
    """A number that a program is compiled for, such as an order; it is no argument, which would lose its exact value."""

    value: T


class Given(NamedTuple):
    """Checked numbers of shape batch + (K,): probabilities, or log-weights."""

    value: Any
    by_log: bool
    labels: tuple[Hashable, ...] | None = None


class Pair(NamedTuple):
    """Two tables over the same outcomes, of one shape batch + (K,)."""

    p: Any
    q: Any
    p_log: bool
    q_log: bool


class Table(NamedTuple):
    """Probabilities and their logarithms, both of shape batch + (K,)."""

    p: Array
    log: Array
    by_log: bool


def read(p: Any, log_p: Any, axis: Axes = -1, name: str = "p") -> Given:
    """A table from whichever of `p` and `log_p` is given, checked, with the axes of one distribution as its last one.

    Beliefs are given as `p`, alone or several in a list, which is a batch with them along its first axis.
    """
    given_once(p, log_p, name)
    if isinstance(log_p, Belief):
        raise ValueError(f"A belief is a distribution; got one as `log_{name}`. Give it as `{name}`.")
    if isinstance(p, Belief) or (isinstance(p, list | tuple) and any(isinstance(one, Belief) for one in p)):
        return _of_beliefs(p, axis, name)
    by_log = p is None
    value: Any = floats(log_p if by_log else p, "Log-weights" if by_log else "Probabilities")
    dtype = getattr(p, "dtype", value.dtype)
    if np.ndim(value) == 0:
        raise ValueError(f"The probabilities of a distribution lie along an axis; got a single number as `{name}`.")
    value = place(value, axis)
    if value.shape[-1] == 0:
        raise ValueError(f"A distribution has at least one outcome; got `{name}` with an axis of length 0.")
    rounding = 4.0 * float(jnp.finfo(dtype).eps) if jnp.issubdtype(dtype, np.floating) else 0.0
    if is_traced(value):
        return Given(value if by_log else _masked(value, max(TOLERANCE, rounding)), by_log)
    label = f"log_{name}" if by_log else name
    return Given((_check_logs if by_log else _check_probabilities)(value, label, max(TOLERANCE, rounding)), by_log)


def given_once(p: Any, log_p: Any, name: str = "p") -> None:
    """An error unless one of them is given."""
    if (p is None) == (log_p is None):
        what = "neither" if p is None else "both"
        raise ValueError(f"A distribution is given as `{name}` or as `log_{name}`, one of them; got {what}.")


def read_pair(p: Any, q: Any, log_p: Any, log_q: Any, axis: Axes = -1, names: tuple[str, str] = ("p", "q")) -> Pair:
    """Two tables, each from whichever is given, with batches broadcast; an error where they are about different outcomes."""
    a, b = read(p, log_p, axis, names[0]), read(q, log_q, axis, names[1])
    one, two = _join((a, b), names)
    return Pair(one, two, a.by_log, b.by_log)


def read_belief(belief: Belief, name: str) -> Any:
    """Log-weights of a belief, checked; NaN for traced ones where everything is impossible."""
    log: Any = -belief.excess if is_traced(belief.excess) else -np.asarray(belief.excess, np.float64)
    if not is_traced(log) and np.any(none := np.all(log == -np.inf, axis=-1)):
        raise ValueError(
            f"A belief in which every hypothesis is impossible is no distribution; `{name}` contradicts itself"
            f"{at(np.argwhere(none)[0])}. Take back the evidence that excludes what was left."
        )
    return log


def _of_beliefs(beliefs: Any, axis: Axes, name: str) -> Given:
    several = [beliefs] if isinstance(beliefs, Belief) else list(beliefs)
    for i, one in enumerate(several):
        if not isinstance(one, Belief):
            raise ValueError(
                f"Several distributions in a list are all beliefs or none of them; `{name}` has a {type(one).__name__} as number"
                f" {i}. Write Belief.from_probabilities(…)."
            )
    given = [Given(read_belief(one, name), True, one.labels) for one in several]
    if isinstance(beliefs, Belief):
        value, labels = given[0].value, given[0].labels
    else:
        values = _join(given, [f"{name}[{i}]" for i in range(len(given))])
        value = (jnp if is_traced(values) else np).stack(values)
        labels = next((g.labels for g in given if g.labels is not None), None)
    axes = tuple(range(value.ndim)) if axis is None else each_axis(axis)
    if unique_axes(axes, value.ndim) != (value.ndim - 1,):
        raise ValueError(
            f"A belief has its hypotheses along the last axis, and batches before it; got axis={axis} of `{name}`, which has"
            f" {value.ndim}. Leave it out."
        )
    return Given(value, True, labels)


def floats(value: Any, what: str) -> Any:
    """Known numbers as NumPy float64, traced ones as a floating array of their own precision."""
    if not is_traced(value):
        return reals(value, what)
    value = jnp.asarray(value)
    if jnp.iscomplexobj(value):
        raise ValueError(_complex(what))
    return value.astype(jnp.promote_types(jnp.result_type(value, 0.0), jnp.float32))


def reals(value: Any, what: str) -> np.ndarray:
    """Known numbers as NumPy float64; an error in words for complex ones, and for None."""
    value = np.asarray(value)
    entries = value.reshape(-1).tolist() if value.dtype.kind == "O" else ()
    if value.dtype.kind == "c" or any(isinstance(one, complex) for one in entries):
        raise ValueError(_complex(what))
    if any(one is None for one in entries):
        index = np.unravel_index(next(i for i, one in enumerate(entries) if one is None), value.shape)
        raise ValueError(f"{what} are numbers; got None{at(index)}. Leave out what is missing.")
    return value.astype(np.float64)


def _complex(what: str) -> str:
    return f"{what} are real numbers; got complex ones. Pass their real part, if that is what is meant."


def each_axis(axis: Any) -> tuple[int, ...]:
    """One axis or several, as whole numbers of any kind, as a tuple of int."""
    return tuple(operator.index(a) for a in ((axis,) if np.ndim(axis) == 0 else axis))


def place(value: Any, axis: Axes) -> Any:
    """`value` with these axes as one, the last."""
    xp: Any = jnp if is_traced(value) else np
    if axis is None:
        return value.reshape(-1)
    axes = unique_axes(each_axis(axis), value.ndim)
    value = xp.moveaxis(value, axes, range(-len(axes), 0))
    return value.reshape((*value.shape[: value.ndim - len(axes)], math.prod(value.shape[value.ndim - len(axes) :])))


def unique_axes(axes: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    """Axes counted from the front; an error for one that is missing or named twice."""
    for a in axes:
        if not -ndim <= a < ndim:
            raise ValueError(f"An axis of a table with {ndim} axes lies between {-ndim} and {ndim - 1}; got {a}.")
    front = tuple(a % ndim for a in axes)
    if len(set(front)) < len(front):
        raise ValueError(f"Each axis is named once; got {axes} of a table with {ndim} axes.")
    return front


def _masked(p: Any, tolerance: float) -> Any:
    """Traced probabilities, NaN where they are none."""
    proper = jnp.all(p >= 0, axis=-1, keepdims=True) & (jnp.abs(jnp.sum(p, axis=-1, keepdims=True) - 1.0) <= tolerance)
    return jnp.where(proper, p, jnp.nan)


def at(index: Any) -> str:
    """Where in an array, in words."""
    index = tuple(int(i) for i in index)
    return f" at index {index if len(index) > 1 else index[0]}" if index else ""


def _check_probabilities(p: Any, label: str, tolerance: float) -> Any:
    bad = ~((p >= 0) & (p <= 1 + tolerance))
    if np.any(bad):
        index = tuple(np.argwhere(bad)[0])
        remedy = (
            "Leave out what is missing, and divide by the sum."
            if np.isnan(p[index])
            else "Counts and other weights go in by their logarithms, as log_p=."
        )
        raise ValueError(f"A probability lies between 0 and 1; got {p[index]:g} in `{label}`{at(index)}. {remedy}")
    total = np.sum(p, axis=-1, keepdims=True)
    off = np.abs(total - 1.0) > tolerance
    if np.any(off):
        index = tuple(np.argwhere(off[..., 0])[0])
        raise ValueError(
            f"Probabilities of one distribution sum to 1; those in `{label}` sum to {total[index][0]:.7g}{at(index)}."
            " Divide by the sum, name the axes of one distribution, or give log-weights as log_p=, which need not be normalised."
        )
    return p / total


def _check_logs(log_p: Any, label: str, _: float) -> Any:
    bad = ~(log_p < np.inf)
    if np.any(bad):
        index = tuple(np.argwhere(bad)[0])
        raise ValueError(
            f"A log-weight is finite, or -inf for what is impossible; got {log_p[index]:g} in `{label}`{at(index)}."
        )
    empty = np.all(log_p == -np.inf, axis=-1)
    if np.any(empty):
        raise ValueError(
            f"At least one outcome of a distribution is possible; all log-weights of `{label}` are -inf"
            f"{at(np.argwhere(empty)[0])}."
        )
    return log_p


def _join(given: Sequence[Given], names: Sequence[str]) -> tuple[Any, ...]:
    """The values of several tables, with batches broadcast; an error where they are about different outcomes."""
    sizes = [g.value.shape[-1] for g in given]
    if len(set(sizes)) > 1:
        found = " and ".join(f"{size} in `{name}`" for name, size in zip(names, sizes))
        raise ValueError(
            f"Distributions are compared over the same outcomes; got {found}. Give those that are missing probability 0."
        )
    labelled = [(g.labels, name) for g, name in zip(given, names) if g.labels is not None]
    for labels, name in labelled[1:]:
        first, whose = labelled[0]
        for place_, (here, there) in enumerate(zip(first, labels)):
            if here != there:
                raise ValueError(
                    f"Beliefs are compared over the same hypotheses in one order; number {place_} is {here!r} in `{whose}` and"
                    f" {there!r} in `{name}`. Give both the same labels."
                )
    try:
        batch = np.broadcast_shapes(*(g.value.shape[:-1] for g in given))
    except ValueError:
        found = " and ".join(f"{g.value.shape[:-1]} of `{name}`" for name, g in zip(names, given))
        raise ValueError(
            f"Batches of distributions broadcast; got the shapes {found}. Add axes of length 1 where they are to meet."
        ) from None
    return tuple((jnp if is_traced(g.value) else np).broadcast_to(g.value, (*batch, sizes[0])) for g in given)


def in_unit(value: Any, unit: Unit) -> Any:
    """From nats; known numbers stay float64 NumPy."""
    return from_nats(value, unit) if is_traced(value) else np.asarray(value, np.float64) / nats_per(unit)


# What follows is traced, inside of compiled functions.


def table(value: Array, by_log: bool) -> Table:
    """Probabilities and normalised logarithms of what was given."""
    if by_log:
        # Less the greatest, and log1p of all others: near certainty log p of the greatest keeps its digits.
        first = jax.nn.one_hot(argmax(value), value.shape[-1], dtype=bool)
        below = value - jnp.sum(jnp.where(first, value, 0.0), axis=-1, keepdims=True)
        log = below - jnp.log1p(jnp.sum(jnp.where(first, 0.0, jnp.exp(below)), axis=-1, keepdims=True))
        return Table(jnp.exp(log), log, True)
    zero = value == 0
    return Table(value, jnp.where(zero, -jnp.inf, jnp.log(jnp.where(zero, 1.0, value))), False)


def minus_p_log(p: Table, log: Array) -> Array:
    """−p·log, 0 where p = 0."""
    none = p.log == -jnp.inf
    return jnp.where(none, 0.0, -p.p * jnp.where(none, 0.0, log))


def divergence_terms(p: Table, q: Table) -> Array:
    """p log(p/q) − p + q ≥ 0, which sums to KL, term by term and to full relative accuracy as q → p.

    It is q where p = 0, and ∞ where q = 0 < p. Derivatives differ from those of p log(p/q) by 1 in every entry: along the simplex
    they are the same. Where both are 0 the outcome counts as absent: 0, with derivatives of 0.
    """
    if not p.by_log and not q.by_log:
        absent = (p.p == 0) & (q.p == 0)
        return jnp.where(absent, 0.0, deviance(jnp.where(absent, 1.0, p.p), jnp.where(absent, 1.0, q.p)))
    none, lost = p.log == -jnp.inf, q.log == -jnp.inf
    both = ~(none | lost)
    gap = jnp.where(both, q.log, 0.0) - jnp.where(both, p.log, 0.0)
    near = jnp.abs(gap) <= 1
    close = p.p * expm1_minus(jnp.where(near, gap, 0.0))
    far = q.p - p.p - p.p * jnp.where(near, 0.0, gap)
    term = jnp.where(lost, jnp.where(jnp.isnan(p.log), jnp.nan, jnp.inf), jnp.where(near, close, far))
    zero = q.p
    if not p.by_log:  # p log p falls from 0 with an infinite slope
        start = jnp.where(none & ~lost, p.p, 1.0)
        zero = zero + xlogy(start, start)
    return jnp.where(none, zero, term)
