"""What is left of an observed site: few numbers, and how its log-likelihood comes from them and the interface.

The log-likelihood is told as a constant, found once in float64, and an *energy* that depends on the latent values. The energy is
small near its optimum and is computed in float64 whatever JAX's default precision: it sums over cells, not over rows, so that this
costs nothing, and float32 sees its true shape at any number of rows.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from surprax.models.cells import Cells
from surprax.models.expressions import Apply, Column, Expression, Key, Table, at_places
from surprax.numerics.precision import is_traced

__all__ = ["Compact", "Settled", "Store", "entries", "in_wide"]


@dataclass(frozen=True, eq=False, repr=False)
class Compact:
    """An observed site in compressed form.

    Attributes:
        name: of the site.
        rule: by which it was compressed.
        rows: how many there were.
        numbers: how many numbers are left.
        detail: what they are, in words.
        tables: the interface, whose arrays go into the energy.
        arrays: the numbers, a pytree of NumPy arrays.
        energy: (arrays, tables) → log-likelihood − constant, in nats; traced in float64.
        constant: the part of the log-likelihood that no latent value changes.
        family, evidence, parameters: of exponential families, what exact inference needs: the evidence by cell, and
            (arrays, tables) → the parameters at the cells, by name.
        gaussian: of Gaussian linear sites, the same (see `surprax.models.gaussian`).
        expressions: what the energy computes of tables and data at the cells.
    """

    name: str
    rule: str
    rows: int
    numbers: int
    detail: str
    tables: tuple[Table, ...]
    arrays: Any
    energy: Callable[[Any, Sequence[Any]], Any]
    constant: float
    family: Any = None
    evidence: Any = None
    parameters: Callable[[Any, Sequence[Any]], Mapping[str, Any]] | None = None
    gaussian: Any = None
    expressions: "tuple[Settled, ...]" = ()

    def seen(self, arrays: Any, tables: Sequence[Any]) -> list[Any]:
        """What rows see of the latent values: the tables, and what is put together of entries that one key names."""
        return [*tables, *_by_key(self.expressions, arrays["slots"], tables)]

    def __repr__(self) -> str:
        return f"Compact({self.name}: {self.rule}, {self.rows:,} rows → {self.detail})"

    def log_likelihood(self, arrays: Any, tables: Sequence[Any]) -> Any:
        """The energy, in the precision of the tables; its gradient is computed in float64 too."""
        # Staged also where all is known: parameters of cells may be what no distribution takes, such as a mean number of trials.
        energy = self.energy if is_traced(tables) else jax.jit(self.energy)
        return in_wide(energy)(arrays, tuple(tables))


@dataclass(eq=False)
class Slot:
    """A leaf of an expression that stands for arrays elsewhere: a table looked up at a place, or a column."""

    table: int | None
    array: str | None
    entries: int = 1
    order: tuple[int, ...] = ()
    extra: tuple[int, ...] = ()

    def entries_of(self, tables: Sequence[Any]) -> Any:
        """Its table, shape (entries,) + extra."""
        assert self.table is not None
        return jnp.transpose(jnp.asarray(tables[self.table]), self.order).reshape((self.entries, *self.extra))


class Store:
    """The tables and arrays that settled expressions refer to."""

    def __init__(self) -> None:
        self.tables: list[Table] = []
        self.arrays: dict[str, np.ndarray] = {}
        self._names: dict[Any, str] = {}

    def keep(self, label: Any, array: Any) -> str:
        """The name of an array."""
        name = self._name(label)
        self.arrays.setdefault(name, np.asarray(array))
        return name

    def _places(self, label: Any, places: np.ndarray, entries: int) -> str:
        """The same of places in a table; where all entries come in their order, none are kept: XLA makes one function of loops that
        look nothing up, such as those of a sampler, which is compiled in half the time."""
        if np.array_equal(places, np.arange(entries)):
            return self._name(label)
        return self.keep(label, places.astype(np.int32))

    def _name(self, label: Any) -> str:
        return self._names.setdefault(label, f"{len(self._names)}")

    def _table(self, table: Table) -> int:
        for i, have in enumerate(self.tables):
            if have.source is table.source:
                return i
        self.tables.append(table)
        return len(self.tables) - 1

    def settle(self, e: Expression, cells: Cells, coded: Mapping[Column, tuple[Key, np.ndarray]]) -> "Settled":
        """An expression at cells, free of the rows."""
        memo: dict[int, Any] = {}
        return Settled(self._settle(e, cells, coded, memo))

    def _settle(self, e: Expression, cells: Cells, coded: Any, memo: dict[int, Any]) -> Any:
        if id(e) not in memo:
            memo[id(e)] = self._settled(e, cells, coded, memo)
        return memo[id(e)]

    def _settled(self, e: Expression, cells: Cells, coded: Any, memo: dict[int, Any]) -> Any:
        if isinstance(e, Apply):
            return replace(e, arguments=tuple(self._settle(a, cells, coded, memo) for a in e.arguments))
        if isinstance(e, Table):
            place = None if e.key is None else self._places((e.key, id(cells)), cells.places[e.key], e.entries)
            return Slot(self._table(e), place, e.entries, e.order, e.extra)
        if e.is_same:
            return Slot(None, self.keep(e, e.values), extra=e.extra)
        key, values = coded[e]
        return Slot(None, self.keep((e, id(cells)), values[cells.places[key]]), extra=e.extra)


@dataclass(frozen=True, eq=False)
class Settled:
    """An expression whose leaves are slots."""

    expression: Any

    def __call__(self, arrays: Mapping[str, Any], tables: Sequence[Any], memo: dict[int, Any] | None = None) -> Any:
        """Its values at the cells, shape (cells or 1,) + extra."""

        def leaf(slot: Slot) -> Any:
            if slot.table is None:
                assert slot.array is not None
                return jnp.asarray(arrays[slot.array])
            places = None if slot.array is None else arrays.get(slot.array)
            return slot.entries_of(tables) if places is None else entries(slot.entries_of(tables), places)

        return at_places(self.expression, leaf, memo)


_FEW = 4_096
"""Numbers from which on nothing is looked through for what could be looked up: XLA leaves larger sums to a library, too."""


def entries(table: Any, places: Any) -> Any:
    """table[places], without asking for places that are negative.

    A small table is looked through instead: the gradient of a look-up is a scatter, with which XLA compiles the loops of a sampler
    kernel by kernel.
    """
    table, places = jnp.asarray(table), jnp.asarray(places)
    if places.size * table.size < _FEW:
        first, extra = (1,) * places.ndim, table.shape[1:]
        here = places[..., None] == jnp.arange(len(table), dtype=places.dtype).reshape(*first, -1)
        looked = jnp.where(here.reshape(*here.shape, *(1,) * len(extra)), table.reshape(*first, *table.shape), 0)
        return jnp.sum(looked, axis=places.ndim, dtype=table.dtype)
    return table.at[places].get(mode="promise_in_bounds", wrap_negative_indices=False)


def _by_key(expressions: Iterable[Settled], arrays: Mapping[str, Any], tables: Sequence[Any]) -> list[Any]:
    """Values of those parts of expressions that look up by a single key, at all its entries: arrays (entries,) + extra."""
    keys: dict[int, frozenset[Any]] = {}
    found: list[Any] = []
    memo: dict[int, Any] = {}

    def leaf(slot: Slot) -> Any:
        return jnp.asarray(arrays[slot.array]) if slot.table is None else slot.entries_of(tables)  # type: ignore[index]

    def visit(e: Any) -> frozenset[Any]:
        if id(e) not in keys:
            if isinstance(e, Apply):
                keys[id(e)] = frozenset().union(*map(visit, e.arguments))
                if len(keys[id(e)]) == 1:
                    found.append(at_places(e, leaf, memo))
            elif e.table is None:
                # Data at cells, of which no key tells.
                keys[id(e)] = frozenset() if len(arrays[e.array]) == 1 else frozenset((e.array, None))
            else:
                keys[id(e)] = frozenset() if e.array is None else frozenset((e.array,))
        return keys[id(e)]

    for one in expressions:
        visit(one.expression)
    return found


def in_wide(energy: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """energy(arrays, tables), computed in float64 with its gradient in the tables, and rounded to JAX's precision at the end."""

    def wide(tree: Any) -> Any:
        def widened(leaf: Any) -> Any:
            leaf = jnp.asarray(leaf)
            return lax.convert_element_type(leaf, np.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

        return jax.tree.map(widened, tree)

    dtype = jnp.result_type(float)  # of now: derivatives may be taken in another scope

    @jax.custom_jvp
    def value(arrays: Any, tables: Any) -> Any:
        with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
            return lax.convert_element_type(energy(wide(arrays), wide(tables)), dtype)

    @value.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        arrays, tables = primals
        with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
            found, slope = jax.value_and_grad(energy, argnums=1, allow_int=True)(wide(arrays), wide(tables))
            found = lax.convert_element_type(found, dtype)
            slopes = [
                lax.convert_element_type(s, dtype) if jnp.issubdtype(s.dtype, jnp.floating) else None
                for s in jax.tree.leaves(slope)
            ]
        steps = [(s, t) for s, t in zip(slopes, jax.tree.leaves(tangents[1])) if s is not None]
        return found, sum((jnp.sum(s * t.astype(dtype)) for s, t in steps), jnp.zeros_like(found))

    return value
