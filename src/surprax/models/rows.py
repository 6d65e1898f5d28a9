"""How a value depends on the row: expressions over the rows of a site.

A parameter of an observed distribution has one entry for each row. Followed back through the graph it becomes an expression of
three kinds of leaves,

    Column   data: one number for each row
    Table    row-free: an array computed from latent values, of which each row takes the entry that its key names
    Apply    an operation on the entries of one row

The tables are the interface: all that rows know of the latent sites. An operation that mixes rows, or that is not known here,
ends the way back: its result is a table with one entry for each row.
"""

import functools
import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from surprax.models.expressions import (
    EXTRA,
    Apply,
    Column,
    Expression,
    Key,
    MixedError,
    Table,
    einsum,
    elementwise,
    inner,
    joined,
    spread,
)
from surprax.models.graph import Operation, Value, evaluate

__all__ = ["ELEMENTWISE", "FOLLOWED", "SHAPES", "Rows", "before_wrapping"]

ONE = -2
"""What an axis of length 1 is that is left out."""

ELEMENTWISE = frozenset(
    """
    abs acos acosh add and asin asinh atan atan2 atanh cbrt ceil clamp convert_element_type copy copy_p
    cos cosh digamma div eq erf erf_inv erfc exp exp2 expm1 floor ge gt igamma igammac imag integer_pow
    is_finite le lgamma log log1p logistic lt max min mul ne neg nextafter not or pow real
    regularized_incomplete_beta rem round rsqrt select_n sign sin sinh sqrt square stop_gradient sub tan
    tanh xor
    """.split()  # noqa: SIM905
)

SHAPES = frozenset(("broadcast_in_dim", "reshape", "squeeze", "expand_dims", "transpose"))

_WITHIN = frozenset(
    ("reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "dot_general", "slice", "concatenate", "stack")
)
"""Operations that are followed where they stay within the entry of a row."""


FOLLOWED = ELEMENTWISE | SHAPES | _WITHIN
"""Operations that may be followed back row by row, beside gathers."""


class Rows:
    """The rows of one site: entries of its log-density, in C order.

    `kept` are the numbers of those rows that count (of positive weight), None for all. Where `blind`, no data are looked at, and
    only the tables of expressions mean anything.
    """

    def __init__(
        self, shape: tuple[int, ...], memo: dict[Value, Any], kept: np.ndarray | None = None, *, blind: bool = False
    ) -> None:
        self.shape, self.kept, self.blind = shape, kept, blind
        self.number = math.prod(shape) if kept is None else len(kept)
        self._known = memo
        self._expressions: dict[Any, Expression] = {}
        self._keys: dict[Any, Key] = {}
        self._fronts: dict[Value, frozenset[Value]] = {}

    # What is known.

    def known(self, value: Value) -> Any:
        """The array of a value that no latent site changes."""
        return evaluate([value], {}, self._known)[0]

    def axes_of(self, value: Value, event_dim: int = 0) -> tuple[int, ...]:
        """The axes of an array that broadcasts against the rows, with `event_dim` more on its right."""
        batch = len(value.shape) - event_dim
        rows = len(self.shape)
        axes = [
            ONE if n == 1 and (rows - batch + i < 0) else rows - batch + i for i, n in enumerate(value.shape[:batch])
        ]
        return (*axes, *(EXTRA,) * event_dim)

    def column(self, value: Value, axes: tuple[int, ...]) -> Column:
        """A known value, spread over the rows."""
        label = (value, axes)
        if label not in self._expressions:
            array = np.broadcast_to(np.zeros((), value.dtype), value.shape) if self.blind else self.known(value)
            self._expressions[label] = self._column(array, axes)
        return self._expressions[label]  # type: ignore[return-value]

    def _column(self, array: Any, axes: tuple[int, ...]) -> Column:
        if self.blind:
            same = all(n == 1 for n, a in zip(array.shape, axes) if a >= 0)
            extra = tuple(n for n, a in zip(array.shape, axes) if a == EXTRA)
            return Column(np.broadcast_to(np.zeros((), array.dtype), (1 if same else 2, *extra)), extra)
        array = np.asarray(array)
        extra = tuple(n for n, a in zip(array.shape, axes) if a == EXTRA)
        order = sorted((i for i, a in enumerate(axes) if a >= 0), key=lambda i: axes[i])
        rest = [i for i, a in enumerate(axes) if a == EXTRA]
        array = array.transpose([*order, *rest, *(i for i, a in enumerate(axes) if a == ONE)])
        sizes = dict(zip((axes[i] for i in order), array.shape))
        if all(n == 1 for n in sizes.values()):
            return Column(array.reshape((1, *extra)), extra)
        full = tuple(sizes.get(a, 1) for a in range(len(self.shape)))
        array = np.broadcast_to(array.reshape((*full, *extra)), (*self.shape, *extra)).reshape((-1, *extra))
        return Column(array if self.kept is None else array[self.kept], extra)

    # The way back.

    def follow(self, value: Value, axes: tuple[int, ...]) -> Expression:
        """The expression of a value whose axes are those."""
        label = (value, axes)
        if label not in self._expressions:
            self._expressions[label] = self._follow(value, axes)
        return self._expressions[label]

    def _follow(self, value: Value, axes: tuple[int, ...]) -> Expression:
        if value.known:
            return self.column(value, axes)
        along = any(a >= 0 and n > 1 for a, n in zip(axes, value.shape))
        inner = value.inner
        if not along or value in self.front(value):
            return self._table(value, axes)
        try:
            operation = inner.operation
            assert operation is not None
            return self._through(operation, inner, axes)
        except MixedError as trouble:
            return self._table(value, axes, str(trouble))

    def _table(self, value: Value, axes: tuple[int, ...], reason: str | None = None) -> Table:
        rows = [i for i, (a, n) in enumerate(zip(axes, value.shape)) if a >= 0]
        rows.sort(key=lambda i: axes[i])
        rest = [i for i in range(len(axes)) if axes[i] == EXTRA]
        ones = [i for i in range(len(axes)) if axes[i] == ONE]
        extra = tuple(value.shape[i] for i in rest)
        entries = math.prod(value.shape[i] for i in rows)
        key = None
        if entries > 1:
            key = self._position(tuple((axes[i], value.shape[i]) for i in rows))
        return Table(value, (*ones, *rows, *rest), entries, key, extra, entries == math.prod(self.shape), reason)

    def _position(self, axes: tuple[tuple[int, int], ...]) -> Key:
        """The key of an array that lies along some of the axes of the rows."""
        label = ("position", axes)
        if label not in self._keys:
            sizes = dict(axes)
            entries = math.prod(sizes.values())
            if self.blind:
                return Key(np.zeros(0, np.int32), entries)
            place = np.arange(entries, dtype=np.int32).reshape([sizes.get(a, 1) for a in range(len(self.shape))])
            values = np.broadcast_to(place, self.shape).reshape(-1)
            self._keys[label] = Key(values if self.kept is None else values[self.kept], entries)
        return self._keys[label]

    def front(self, value: Value) -> frozenset[Value]:
        """Where the way back from a value ends: the smallest arrays, taken together, that it is computed from row by row."""
        if value in self._fronts:
            return self._fronts[value]
        stack = [value]
        while stack:
            v = stack[-1]
            ends = self._ends(v)
            missing = [e for e in ends if e not in self._fronts]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            self._fronts[v] = self._smaller(v, ends)
        return self._fronts[value]

    def _ends(self, value: Value) -> tuple[Value, ...]:
        """The values that an operation takes row by row; none where it cannot be followed."""
        operation = value.inner.operation
        if value.known or operation is None:
            return ()
        if operation.name == "gather" or operation.name in FOLLOWED:
            return tuple(v for v in operation.inputs if not v.known)
        return ()

    def _smaller(self, value: Value, ends: tuple[Value, ...]) -> frozenset[Value]:
        if value.known:
            return frozenset()
        operation = value.inner.operation
        if not ends or operation is None:
            return frozenset((value,))
        # What is gathered from is looked up as it is.
        sets = [frozenset((e,)) if operation.name == "gather" else self._fronts[e] for e in ends]
        union = frozenset().union(*sets)
        return union if sum(v.size for v in union) < value.size else frozenset((value,))

    # One operation.

    def _through(self, operation: Operation, value: Value, axes: tuple[int, ...]) -> Expression:
        name = operation.name
        if name in ELEMENTWISE:
            return self._elementwise(operation, axes)
        rule = getattr(self, f"_through_{name}", None)
        if name.startswith("reduce_") and name in _WITHIN:
            rule = self._through_reduce
        if rule is None:
            raise MixedError(f"operation {name!r} is not followed row by row")
        return rule(operation, value, axes)

    def _elementwise(self, operation: Operation, axes: tuple[int, ...]) -> Expression:
        shape = operation.outputs[0].shape
        extra = tuple(n for n, a in zip(shape, axes) if a == EXTRA)
        if any(len(v.shape) not in (len(shape), 0) for v in operation.inputs):
            raise MixedError(f"operation {operation.name!r} takes shapes {[v.shape for v in operation.inputs]}")
        arguments = tuple(self.follow(v, axes if v.shape else ()) for v in operation.inputs)
        return elementwise(operation.primitive, operation.params, arguments, extra)

    def _through_broadcast_in_dim(self, operation: Operation, value: Value, axes: tuple[int, ...]) -> Expression:
        source, places = operation.inputs[0], operation.params["broadcast_dimensions"]
        of_source = tuple(axes[p] for p in places)
        inside = self.follow(source, of_source)
        return spread(inside, [i for i, a in enumerate(axes) if a == EXTRA], places, value.shape)

    def _through_squeeze(self, operation: Operation, value: Value, axes: tuple[int, ...]) -> Expression:
        source, gone = operation.inputs[0], operation.params["dimensions"]
        gone = [d % len(source.shape) for d in gone]
        rest = iter(axes)
        return self.follow(source, tuple(ONE if i in gone else next(rest) for i in range(len(source.shape))))

    def _through_reshape(self, operation: Operation, value: Value, axes: tuple[int, ...]) -> Expression:
        source = operation.inputs[0]
        if [n for n in source.shape if n != 1] != [n for n in value.shape if n != 1]:
            raise MixedError(f"a reshape from {source.shape} to {value.shape} mixes rows")
        wide = iter([(i, a) for i, (n, a) in enumerate(zip(value.shape, axes)) if n != 1])
        of_source, places = [], []
        for n in source.shape:
            place, axis = next(wide) if n != 1 else (None, ONE)
            of_source.append(axis)
            if place is not None:
                places.append(place)
        inside = self.follow(source, tuple(of_source))
        return spread(inside, [i for i, a in enumerate(axes) if a == EXTRA], places, value.shape)

    _through_expand_dims = _through_reshape

    def _through_transpose(self, operation: Operation, value: Value, axes: tuple[int, ...]) -> Expression:
        source, order = operation.inputs[0], operation.params["permutation"]
        of_source = [ONE] * len(order)
        for place, source_axis in enumerate(order):
            of_source[source_axis] = axes[place]
        inside = self.follow(source, tuple(of_source))
        extras = [i for i, a in enumerate(of_source) if a == EXTRA]
        wanted = [order[i] for i, a in enumerate(axes) if a == EXTRA]
        if wanted == extras:
            return inside
        turn = (0, *(1 + extras.index(i) for i in wanted))
        extra = tuple(n for n, a in zip(value.shape, axes) if a == EXTRA)
        return Apply("transpose", lambda v: jnp.transpose(v, turn), (inside,), extra)

    def _through_reduce(self, operation: Operation, value: Value, axes: tuple[int, ...]) -> Expression:
        source, gone = operation.inputs[0], tuple(operation.params["axes"])
        rest = iter(axes)
        of_source = tuple(EXTRA if i in gone else next(rest) for i in range(len(source.shape)))
        inside = self.follow(source, of_source)
        extras = [i for i, a in enumerate(of_source) if a == EXTRA]
        places = tuple(1 + extras.index(i) for i in gone)
        function: Any = getattr(jnp, operation.name.removeprefix("reduce_"))
        extra = tuple(n for n, a in zip(value.shape, axes) if a == EXTRA)
        return Apply(operation.name, functools.partial(function, axis=places), (inside,), extra, {"places": places})

    def _through_slice(self, operation: Operation, value: Value, axes: tuple[int, ...]) -> Expression:
        source, params = operation.inputs[0], operation.params
        whole = [n == m for n, m in zip(source.shape, value.shape)]
        if any(a >= 0 and not w for a, w in zip(axes, whole)):
            raise MixedError("a slice takes some rows of a value that latent sites change")
        inside = self.follow(source, tuple(EXTRA if a == ONE and not w else a for a, w in zip(axes, whole)))
        strides = params["strides"] or (1,) * len(axes)
        cut = tuple(
            slice(b, e, s)
            for b, e, s, a, w in zip(params["start_indices"], params["limit_indices"], strides, axes, whole)
            if a == EXTRA or (a == ONE and not w)
        )
        dropped = [
            1 + k
            for k, (a, w) in enumerate((a, w) for a, w in zip(axes, whole) if a == EXTRA or (a == ONE and not w))
            if a == ONE
        ]
        extra = tuple(n for n, a in zip(value.shape, axes) if a == EXTRA)
        return Apply(
            "slice", lambda v: jnp.squeeze(v[(slice(None), *cut)], tuple(dropped)), (inside,), extra, {"cut": cut}
        )

    def _through_concatenate(self, operation: Operation, value: Value, axes: tuple[int, ...]) -> Expression:
        place = operation.params["dimension"]
        if axes[place] != EXTRA:
            raise MixedError("a concatenation of rows")
        parts = tuple(self.follow(part, axes) for part in operation.inputs)
        return joined(parts, [part.shape[place] for part in operation.inputs], place, axes, value.shape)

    def _through_stack(self, operation: Operation, value: Value, axes: tuple[int, ...]) -> Expression:
        place = operation.params["axis"]
        if axes[place] != EXTRA:
            raise MixedError("a stack of rows")
        rest = axes[:place] + axes[place + 1 :]
        parts = tuple(self.follow(part, rest) for part in operation.inputs)
        extras = [i for i, a in enumerate(axes) if a == EXTRA]
        places = [i for i in range(len(axes)) if i != place]
        shape = (*value.shape[:place], 1, *value.shape[place + 1 :])
        wide = tuple(spread(part, extras, places, shape) for part in parts)
        return joined(wide, [1] * len(parts), place, axes, value.shape)

    def _through_dot_general(self, operation: Operation, value: Value, axes: tuple[int, ...]) -> Expression:
        left, right = operation.inputs
        (left_sum, right_sum), (left_batch, right_batch) = operation.params["dimension_numbers"]
        left_free = [i for i in range(len(left.shape)) if i not in (*left_sum, *left_batch)]
        right_free = [i for i in range(len(right.shape)) if i not in (*right_sum, *right_batch)]
        places = iter(range(len(value.shape)))
        of_left, of_right = [EXTRA] * len(left.shape), [EXTRA] * len(right.shape)
        names_left, names_right, names_out = [""] * len(left.shape), [""] * len(right.shape), ""
        letters = iter("abcdefghijklmnopqrstuvwxyz")
        for i, j in zip(left_batch, right_batch):
            axis, letter = axes[next(places)], next(letters)
            of_left[i] = of_right[j] = axis
            if axis == EXTRA:
                names_left[i] = names_right[j] = letter
                names_out += letter
        for free, of, names in ((left_free, of_left, names_left), (right_free, of_right, names_right)):
            for i in free:
                axis, letter = axes[next(places)], next(letters)
                of[i] = axis
                if axis == EXTRA:
                    names[i] = letter
                    names_out += letter
        for i, j in zip(left_sum, right_sum):
            names_left[i] = names_right[j] = next(letters)
        formula = f"...{''.join(names_left)},...{''.join(names_right)}->...{names_out}"
        arguments = (self.follow(left, tuple(of_left)), self.follow(right, tuple(of_right)))
        extra = tuple(n for n, a in zip(value.shape, axes) if a == EXTRA)
        ranks = [len(a.extra) for a in arguments]
        if not names_out and ranks == [1, 1]:
            return Apply("dot", inner, arguments)
        params = {}
        if len(names_out) == 1 and sorted(ranks) == [1, 2]:
            which = ranks.index(2)
            params = {"matrix": which, "axis": "".join((names_left, names_right)[which]).index(names_out)}
        return Apply("einsum", lambda a, b: einsum(formula, a, b), arguments, extra, params)

    def _through_gather(self, operation: Operation, value: Value, axes: tuple[int, ...]) -> Expression:
        source, indices = operation.inputs
        d, sizes = operation.params["dimension_numbers"], operation.params["slice_sizes"]
        if not indices.known:
            raise MixedError("an index depends on latent sites")
        picked = d.start_index_map
        whole = [i for i in range(len(source.shape)) if i not in picked]
        if (
            d.operand_batching_dims
            or any(sizes[i] != 1 for i in picked)
            or any(sizes[i] != source.shape[i] for i in whole)
        ):
            raise MixedError("a gather takes more than single entries")
        if any(i not in d.collapsed_slice_dims for i in picked):
            raise MixedError("a gather that keeps the axes it picks from")
        batch = [i for i in range(len(value.shape)) if i not in d.offset_dims]
        if any(axes[i] == EXTRA for i in batch):
            raise MixedError("a gather within the entry of a row")
        # What is taken whole may lie along rows too; then the place on that axis is one more index.
        place_of = dict(zip(whole, d.offset_dims))
        along = [i for i in whole if axes[place_of[i]] >= 0 and source.shape[i] > 1]
        rest = [i for i in whole if axes[place_of[i]] == EXTRA]
        ones = [i for i in whole if i not in along and i not in rest]
        sizes = tuple(source.shape[i] for i in picked)
        key = self._looked_up(indices, tuple(axes[i] for i in batch), sizes, operation)
        for i in along:
            key = self._crossed(key, axes[place_of[i]], source.shape[i])
        extra = tuple(source.shape[i] for i in rest)
        return Table(source, (*ones, *picked, *along, *rest), key.size, key, extra)

    def _crossed(self, key: Key, axis: int, size: int) -> Key:
        """A key, and the place along an axis of the rows."""
        label = (key, axis, size)
        if self.blind:
            return Key(key.values, key.size * size)
        if label not in self._keys:
            place = self._position(((axis, size),))
            self._keys[label] = Key(key.values * np.int32(size) + place.values, key.size * size)
        return self._keys[label]

    def _indices(self, value: Value) -> np.ndarray:
        """Known indices; what JAX does about negative ones is seen and done in one step, not in a pass for each operation."""
        source, wrap = before_wrapping(value)
        if source is None:
            return np.asarray(self.known(value))
        array = np.asarray(self.known(source))
        if array.min(initial=0) < 0:
            array = np.where(array < 0, array + wrap, array)
        return array[..., None]

    def _looked_up(self, indices: Value, axes: tuple[int, ...], sizes: tuple[int, ...], operation: Operation) -> Key:
        label = (indices, axes, sizes)
        if self.blind:
            return Key(np.zeros(0, np.int32), math.prod(sizes))
        if label not in self._keys:
            array = self._indices(indices)
            low, high = array.min(initial=0), array.max(initial=0)
            strides = np.cumprod((1, *sizes[:0:-1]))[::-1]
            flat = None
            for j, (size, stride) in enumerate(zip(sizes, strides)):
                one = array[..., j]
                if (low < 0 or high >= size) and one.size and (one.min() < 0 or one.max() >= size):
                    # Beyond the ends, JAX takes the entry at the end or fills in.
                    if "FILL" in str(operation.params["mode"]):
                        raise MixedError("an index is outside of what it picks from")
                    one = np.clip(one, 0, size - 1)
                one = one if stride == 1 else one * stride
                flat = one if flat is None else flat + one
            column = self._column(flat, axes)
            values = np.broadcast_to(column.values, (self.number,)) if column.is_same else column.values
            self._keys[label] = Key(values, math.prod(sizes))
        return self._keys[label]


def before_wrapping(indices: Value) -> tuple[Value | None, int]:
    """x and n of indices (where x < 0, x + n, else x) with one more axis of length 1; None where they are something else."""
    operation = indices.operation
    if operation is None or operation.name not in ("broadcast_in_dim", "reshape"):
        return None, 0
    inside = operation.inputs[0]
    if indices.shape != (*inside.shape, 1) or inside.operation is None or inside.operation.name != "select_n":
        return None, 0
    negative, x, wrapped = inside.operation.inputs
    less, add = negative.operation, wrapped.operation
    if less is None or add is None or less.name != "lt" or add.name != "add":
        return None, 0
    zero, n = less.inputs[1], add.inputs[1]
    if less.inputs[0] is not x or add.inputs[0] is not x or zero.shape or n.shape or zero.operation or n.operation:
        return None, 0
    return (x, int(n.constant)) if int(zero.constant) == 0 else (None, 0)
