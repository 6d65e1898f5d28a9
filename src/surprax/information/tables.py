"""Tables of probabilities: read with their errors in words, and the few sums over them that everything here is made of.

A table is given by its probabilities, which sum to 1, or by log-weights, which need not be normalised. Sums are taken over the
last axis, to which readers bring the axes of one distribution; all others are a batch.

Known numbers are computed with in float64, and probabilities that sum to 1 but for rounding are divided by their sum. Traced
numbers are computed with as they come; what is no distribution is NaN.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.numerics.elementary import argmax, deviance, expm1_minus, xlogy
from surprax.numerics.precision import is_traced
from surprax.units import Unit, from_nats, nats_per

__all__ = [
    "Axes",
    "Given",
    "Known",
    "Table",
    "divergence_terms",
    "in_unit",
    "join",
    "minus_p_log",
    "place",
    "read",
    "table",
]

type Axes = int | Sequence[int] | None

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


class Table(NamedTuple):
    """Probabilities and their logarithms, both of shape batch + (K,)."""

    p: Array
    log: Array
    by_log: bool


def read(p: Any, log_p: Any, axis: Axes = -1, name: str = "p") -> Given:
    """A table from whichever of `p` and `log_p` is given, checked, with the axes of one distribution as its last one."""
    if (p is None) == (log_p is None):
        what = "neither" if p is None else "both"
        raise ValueError(f"A distribution is given as `{name}` or as `log_{name}`, one of them; got {what}.")
    by_log = p is None
    value: Any = floats(log_p if by_log else p)
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


def floats(value: Any) -> Any:
    """Known numbers as NumPy float64, traced ones as a floating array of their own precision."""
    if not is_traced(value):
        return np.asarray(value, np.float64)
    value = jnp.asarray(value)
    return value.astype(jnp.promote_types(jnp.result_type(value, 0.0), jnp.float32))


def place(value: Any, axis: Axes) -> Any:
    """`value` with these axes as one, the last."""
    xp: Any = jnp if is_traced(value) else np
    if axis is None:
        return value.reshape(-1)
    axes = unique_axes((axis,) if isinstance(axis, int) else tuple(axis), value.ndim)
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
    bad = (p < 0) | (p > 1 + tolerance)
    if np.any(bad):
        index = tuple(np.argwhere(bad)[0])
        raise ValueError(
            f"A probability lies between 0 and 1; got {p[index]:g} in `{label}`{at(index)}."
            " Counts and other weights go in by their logarithms, as log_p=."
        )
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
    if np.any(log_p == np.inf):
        index = np.argwhere(log_p == np.inf)[0]
        raise ValueError(f"A log-weight is finite, or -inf for what is impossible; got inf in `{label}`{at(index)}.")
    empty = np.all(log_p == -np.inf, axis=-1)
    if np.any(empty):
        raise ValueError(
            f"At least one outcome of a distribution is possible; all log-weights of `{label}` are -inf"
            f"{at(np.argwhere(empty)[0])}."
        )
    return log_p


def join(*given: Given, names: Sequence[str] = ("p", "q")) -> tuple[Any, ...]:
    """The values of several tables, with batches broadcast; an error where they are about different outcomes."""
    sizes = [g.value.shape[-1] for g in given]
    if len(set(sizes)) > 1:
        found = " and ".join(f"{size} in `{name}`" for name, size in zip(names, sizes))
        raise ValueError(
            f"Distributions are compared over the same outcomes; got {found}. Give those that are missing probability 0."
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
