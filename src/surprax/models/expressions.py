"""Expressions over the rows of a site: columns of data, tables that keys look up, and operations on the entries of one row."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from surprax.models.graph import Value

__all__ = [
    "EXTRA",
    "Apply",
    "Column",
    "Expression",
    "Key",
    "MixedError",
    "Table",
    "at_places",
    "einsum",
    "elementwise",
    "inner",
    "joined",
    "leaves_of",
    "picked",
    "spread",
]


@dataclass(eq=False)
class Key:
    """Which entry of a table each row takes: whole numbers from 0 to size − 1, shape (rows,)."""

    values: np.ndarray
    size: int


@dataclass(eq=False)
class Column:
    """Data: shape (rows,) + extra axes, or (1,) + extra axes where all rows have the same."""

    values: Any
    extra: tuple[int, ...] = ()
    picks: dict[tuple[int, ...], "Column"] = field(default_factory=dict)

    @property
    def is_same(self) -> bool:
        return self.values.shape[0] == 1


@dataclass(eq=False)
class Table:
    """Row-free: `source` with its row axes (in that order) flattened first, then the extra axes; `key` None for one entry."""

    source: Value
    order: tuple[int, ...]
    entries: int
    key: Key | None
    extra: tuple[int, ...] = ()
    per_row: bool = False
    reason: str | None = None

    def of(self, array: Any) -> Any:
        """(entries,) + extra, from the array of the source."""
        return jnp.transpose(jnp.asarray(array), self.order).reshape((self.entries, *self.extra))


@dataclass(eq=False)
class Apply:
    """An operation on the entries of one row. `function` takes arrays (rows or 1,) + extra axes; `name` says which it is."""

    name: str
    function: Callable[..., Any]
    arguments: tuple["Expression", ...]
    extra: tuple[int, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    primitive: Any = None


EXTRA = -1
"""What an axis of a value is that lies within the entry of a row; axes that lie along rows have the number of that axis of them."""

type Expression = Column | Table | Apply


class MixedError(Exception):
    """An operation cannot be followed row by row; the message says which and why."""


def leaves_of(expressions: Iterable[Expression]) -> list[Any]:
    """The distinct tables and columns of expressions, in the order of their first use."""
    seen: dict[int, Any] = {}
    leaves: dict[int, Any] = {}
    stack = list(reversed(list(expressions)))
    while stack:
        e = stack.pop()
        if id(e) in seen:
            continue
        seen[id(e)] = e
        if isinstance(e, Apply):
            stack.extend(reversed(e.arguments))
        else:
            leaves[id(e)] = e
    return list(leaves.values())


def at_places(e: Expression, leaf: Callable[[Any], Any], memo: dict[int, Any] | None = None) -> Any:
    """The value of an expression at some rows, from those of its leaves: shape (rows or 1,) + extra."""
    memo = {} if memo is None else memo
    if id(e) not in memo:
        memo[id(e)] = e.function(*(at_places(a, leaf, memo) for a in e.arguments)) if isinstance(e, Apply) else leaf(e)
    return memo[id(e)]


def elementwise(
    primitive: Any, params: Mapping[str, Any], arguments: tuple[Expression, ...], extra: tuple[int, ...]
) -> Apply:
    """A primitive that works entry by entry."""

    def function(*arrays: Any) -> Any:
        own = params
        if "new_dtype" in params:  # what was staged in float64 may be computed in float32
            own = {**params, "new_dtype": jax.dtypes.canonicalize_dtype(params["new_dtype"])}
        return primitive.bind(*_level(arrays, len(extra)), **own)

    return Apply(primitive.name, function, arguments, extra, params, primitive)


def picked(e: Expression, place: tuple[int, ...]) -> Expression:
    """One entry of the extra axes."""
    if not e.extra:
        return e
    place = tuple(0 if n == 1 else i for n, i in zip(e.extra, place))
    if isinstance(e, Column):
        if place not in e.picks:  # the same data are the same object
            e.picks[place] = Column(e.values[(slice(None), *place)])
        return e.picks[place]
    if isinstance(e, Apply) and e.primitive is not None:
        return elementwise(e.primitive, e.params, tuple(picked(a, place) for a in e.arguments), ())
    if isinstance(e, Apply) and e.name == "spread":
        (inside,), own = e.arguments, e.params["own"]
        return picked(inside, tuple(0 if n == 1 else place[i] for n, i in zip(inside.extra, own)))
    if isinstance(e, Apply) and "lengths" in e.params:
        axis, at = e.params["axis"], place[e.params["axis"]]
        for part, length in zip(e.arguments, e.params["lengths"]):
            if at < length:
                return picked(part, (*place[:axis], at, *place[axis + 1 :]))
            at -= length
    if isinstance(e, Apply) and "matrix" in e.params:  # a vector times a matrix: times one of its columns
        which, axis = e.params["matrix"], e.params["axis"]
        vector, matrix = e.arguments[1 - which], e.arguments[which]
        column = Apply("pick", lambda v: jnp.take(v, place[0], axis=1 + axis), (matrix,), vector.extra)
        return Apply("dot", inner, (vector, column))
    return Apply("pick", lambda v: v[(slice(None), *place)], (e,), (), {"place": place})


def einsum(formula: str, a: Any, b: Any) -> Any:
    return jnp.einsum(formula, a, b, precision=lax.Precision.HIGHEST)


def inner(a: Any, b: Any) -> Any:
    return einsum("...i,...i->...", a, b)


def _level(arrays: Sequence[Any], extra: int) -> Sequence[Any]:
    """Arrays (rows or 1,) + extra, of one shape, as primitives want them."""
    arrays = [jnp.asarray(a) for a in arrays]
    arrays = [a.reshape(a.shape + (1,) * (1 + extra - a.ndim)) for a in arrays]
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    return [jnp.broadcast_to(a, shape) for a in arrays]


def joined(
    parts: tuple[Expression, ...], lengths: Sequence[int], place: int, axes: Sequence[int], shape: tuple[int, ...]
) -> Expression:
    """Expressions put together along an extra axis: that at `place` of a value with these `axes` and this `shape`."""
    extras = [i for i, a in enumerate(axes) if a == EXTRA]
    axis = extras.index(place)

    def function(*arrays: Any) -> Any:
        rows = max(len(v) for v in arrays)
        return jnp.concatenate([jnp.broadcast_to(v, (rows, *v.shape[1:])) for v in arrays], axis=1 + axis)

    extra = tuple(shape[i] for i in extras)
    return Apply("concatenate", function, parts, extra, {"axis": axis, "lengths": tuple(lengths)})


def spread(inside: Expression, extras: Sequence[int], places: Sequence[int], shape: tuple[int, ...]) -> Expression:
    """An expression with further extra axes; `places` are the axes of the result that those of the source became."""
    extra = tuple(shape[i] for i in extras)
    if inside.extra == extra:
        return inside
    own = [k for k, i in enumerate(extras) if i in places]
    if len(own) != len(inside.extra):
        raise MixedError("a broadcast along the entries of a row")
    narrow = [1] * len(extras)
    for k, n in zip(own, inside.extra):
        narrow[k] = n

    def function(v: Any) -> Any:
        return jnp.broadcast_to(v.reshape((v.shape[0], *narrow)), (v.shape[0], *extra))

    return Apply("spread", function, (inside,), extra, {"own": own})
