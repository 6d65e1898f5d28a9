"""Which rule compresses an observed site, if any: identical rows, cells, Gaussian linear, counted rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from surprax.families.exponential import ExponentialFamily
from surprax.families.fitting import has_moments
from surprax.models import exponential
from surprax.models.cells import Cells, join, key_of_column, keys_of
from surprax.models.compact import Compact, Store
from surprax.models.expressions import Column, Expression, Key, Table, leaves_of
from surprax.models.gaussian import gaussian_linear
from surprax.models.graph import Value
from surprax.models.multivariate import multivariate_linear
from surprax.models.reading import Site
from surprax.models.rows import FOLLOWED, Rows

__all__ = ["Kept", "compress_site"]

GAIN = 0.5
"""What is left must be at most this share of the rows: a rewrite that saves less is not worth one."""


FEWEST = 128
"""Fewer rows than this are summed as fast as they are: measured, a compressed site takes up to 1.8 times as long at 100."""


@dataclass(frozen=True)
class Kept:
    """A site that stays as it is, and why."""

    reason: str


def compress_site(site: Site, memo: dict[Value, Any], gain: float = GAIN) -> Compact | Kept:
    """The site by the first rule that applies, or what stands in the way of all.

    `gain` is the greatest share of the rows that may be left: 1 where a rule matters and not what it saves, more where data that
    hardly repeat may also tell cells apart.
    """
    if site.trouble:
        return Kept(site.trouble)
    if site.rows < FEWEST and gain < 1:
        return Kept("so few cost no more as they are")
    if site.value is None or not site.value.known:
        return Kept("what it observes depends on latent sites")
    for what, value in (("its mask", site.mask), ("its scale by handlers.scale", site.scale)):
        if value is not None and not value.known:
            return Kept(f"{what} depends on latent sites")
    if not site.parameters:
        name = site.distribution.__name__ if site.distribution else "?"
        return Kept(f"{name} has no parameters that could be read")
    try:
        return _Observed(site, memo, gain).compressed()
    except ValueError as error:  # observations that the family does not take
        return Kept(f"{error}{'' if site.mask is None else ' (Rows that are masked are left out in this count.)'}")


class _Observed:
    """An observed site whose rows are at hand."""

    def __init__(self, site: Site, memo: dict[Value, Any], gain: float) -> None:
        self.site, self.gain = site, gain
        everything = Rows(site.shape, memo)
        self.weights, kept = _weights(everything, site)
        self.rows = Rows(site.shape, memo, kept)
        if kept is not None and self.weights is not None:
            self.weights = self.weights[kept]
        assert site.value is not None
        self.values = self.rows.column(site.value, self.rows.axes_of(site.value, site.event_dim))
        if self.values.is_same:
            rows = np.broadcast_to(np.asarray(self.values.values), (self.rows.number, *self.values.extra))
            self.values = Column(rows, self.values.extra)
        self.parameters = {
            name: self.rows.follow(value, self.rows.axes_of(value, site.event_dims[name]))
            for name, value in site.parameters.items()
        }
        self._coded: dict[Column, tuple[Key, np.ndarray] | None] = {}

    @property
    def number(self) -> int:
        return self.rows.number

    @property
    def most(self) -> int:
        """How many cells are worth it."""
        return self.number if self.gain >= 1 else int(self.gain * self.number)

    def row(self, place: int) -> str:
        """A row in words, by its place among those that count."""
        return f"row {place if self.rows.kept is None else self.rows.kept[place]}"

    def y(self) -> np.ndarray:
        return np.asarray(self.values.values)

    def compressed(self) -> Compact | Kept:
        """By the first rule that holds and leaves few enough numbers."""
        if self.number == 0:
            return Kept("none of its rows counts")
        if self.number == 1 and self.gain < 1:
            return Kept("it has a single row")
        family = self.site.family
        if family is None:
            return self.counted()
        reasons = []
        by_cells = self._worth(self.by_cells())
        if isinstance(by_cells, Compact):
            return by_cells
        reasons.append(by_cells)
        if family.__name__ in ("Normal", "LogNormal"):
            linear = self._worth(self.gaussian())
            if isinstance(linear, Compact):
                return linear
            reasons.insert(0, linear)
        if family.__name__ == "MultivariateNormal":
            linear = self._worth(self.multivariate())
            if isinstance(linear, Compact):
                return linear
            reasons.insert(0, linear)
        counted = self.counted()
        if isinstance(counted, Compact):
            return counted
        return Kept("; ".join(dict.fromkeys(r for r in reasons if r)) or counted.reason)

    def _worth(self, found: Compact | str) -> Compact | str:
        """What was found, unless it has nearly as many numbers as there were."""
        before = self.values.values.size + self.number * sum(map(_by_row, self.parameters.values()))
        if isinstance(found, Compact) and self.gain < 1 and found.numbers > self.gain * before:
            return f"{before:,} numbers would become {found.numbers:,}"
        return found

    # Cells.

    def cells(self, expressions: Sequence[Expression], extra: Sequence[Key] = ()) -> Cells | str:
        """Cells of rows that expressions do not tell apart, or why there are no such."""
        rowwise = [
            leaf for leaf in leaves_of(expressions) if isinstance(leaf, Table) and leaf.entries >= max(self.number, 2)
        ]
        if rowwise and self.gain < 1:
            return self._why(rowwise[0])
        keys = keys_of(expressions)
        for column in leaves_of(expressions):
            if isinstance(column, Column) and not column.is_same:
                coded = self.coded(column)
                if coded is None:
                    return "its parameters change with data that hardly repeat"
                keys.append(coded[0])
        cells = join(list(dict.fromkeys([*keys, *extra])))
        if cells.number > self.most:
            return f"{self.number:,} rows fall into {cells.number:,} cells"
        return cells

    def coded(self, column: Column) -> tuple[Key, np.ndarray] | None:
        if column not in self._coded:
            self._coded[column] = key_of_column(column, max(self.most, 1), whatever=self.gain > 1)
        return self._coded[column]

    def codes(self) -> dict[Column, tuple[Key, np.ndarray]]:
        return {column: coded for column, coded in self._coded.items() if coded is not None}

    def _why(self, table: Table) -> str:
        """What makes a value of each row's own."""
        if table.reason:
            return table.reason
        value = table.source
        while True:
            operation = value.inner.operation
            if operation is None:
                return f"latent site {value.name!r} has a value for each row"
            before = [v for v in operation.inputs if not v.known and v.size >= max(self.number, 2)]
            if operation.name not in FOLLOWED or not before:
                return f"operation {operation.name!r} gives each row a value of its own"
            value = before[0]

    def by_cells(self) -> Compact | str:
        """Evidence by cell, for a family of which finitely many statistics say it all."""
        family: Any = self.site.family
        if not issubclass(family, ExponentialFamily):
            return ""
        known = {
            name for name in family.known_parameters if name in self.parameters and self._is_data(self.parameters[name])
        }
        if not has_moments(family, dict.fromkeys(known)):
            return ""
        return exponential.by_cells(self, family)

    def _is_data(self, e: Expression) -> bool:
        return not any(isinstance(leaf, Table) for leaf in leaves_of([e]))

    # Gaussian linear.

    def gaussian(self) -> Compact | str:
        y, constant = self.y(), 0.0
        y = y if y.dtype.kind == "f" else y.astype(np.float64)
        location, scale = self.parameters["loc"], self.parameters["scale"]
        rowwise = [
            leaf
            for leaf in leaves_of([location, scale])
            if isinstance(leaf, Table) and leaf.entries >= max(self.number, 2)
        ]
        if rowwise and self.gain < 1:
            return self._why(rowwise[0])
        if not np.isfinite(np.sum(y, dtype=np.float64)):
            first = int(np.argmin(np.isfinite(y)))
            return f"{self.row(first)} of what it observes is {y[first]}"
        if self.site.family.__name__ == "LogNormal":  # type: ignore[union-attr]
            if not np.min(y) > 0:
                least = self.row(int(np.argmin(y)))
                return f"{least} of what it observes is {np.min(y):g}, and LogNormal lives on positive numbers"
            y = np.log(y, dtype=np.float64)
            constant = -float(np.sum(y if self.weights is None else self.weights * y))
        return gaussian_linear(self.site.name, y, self.weights, location, scale, constant)

    def multivariate(self) -> Compact | str:
        y = np.asarray(self.y(), np.float64)
        if not np.all(np.isfinite(y)):
            return f"{self.row(int(np.argwhere(~np.isfinite(y))[0, 0]))} of what it observes is not finite"
        location, factor = self.parameters["loc"], self.parameters["scale_tril"]
        return multivariate_linear(self.site.name, self.site.rows, y, self.weights, location, factor)

    # Counted rows.

    def counted(self) -> Compact | Kept:
        """Distinct rows and how often each occurred, for any likelihood."""
        site = self.site
        coded = self.coded(self.values)
        if coded is None:
            return Kept("its observations and parameters hardly repeat")
        build, parameters = self._made_again()
        if build is None:
            name = site.distribution.__name__ if site.distribution else "?"
            return Kept(f"{name} cannot be made again from its parameters")
        cells = self.cells(list(parameters.values()), [coded[0]])
        if isinstance(cells, str):
            return Kept(cells)
        counts = _sums(self.weights, cells, self.number)
        store = Store()
        settled = {n: store.settle(e, cells, self.codes()) for n, e in parameters.items()}
        key, distinct = coded
        reference = _best_share(cells, key, counts) if site.discrete else np.zeros(cells.number)
        arrays = {
            "slots": store.arrays,
            "values": distinct[cells.places[key]],
            "counts": counts,
            "reference": reference,
        }

        def energy(arrays: Mapping[str, Any], tables: Sequence[Any]) -> Any:
            slots = arrays["slots"]
            memo: dict[int, Any] = {}
            d = build(**{n: e(slots, tables, memo) for n, e in settled.items()})
            log_prob = d.log_prob(jnp.asarray(arrays["values"]))
            return jnp.sum(arrays["counts"] * (log_prob - arrays["reference"]))

        constant = float(np.sum(counts * reference))
        detail = f"{cells.number:,} distinct rows, counted"
        rule = self._rule(cells, key)
        return Compact(
            site.name,
            rule,
            site.rows,
            2 * cells.number,
            detail,
            tuple(store.tables),
            arrays,
            energy,
            constant,
            expressions=tuple(settled.values()),
        )

    def _made_again(self) -> tuple[Any, dict[str, Expression]]:
        """NumPyro's class and its parameters, whose density is then the same to the last digit; or our family."""
        site = self.site
        if not site.own_parameters:
            return site.family, dict(self.parameters)
        own = {
            n: self.rows.follow(v, self.rows.axes_of(v, site.own_event_dims[n])) for n, v in site.own_parameters.items()
        }
        return site.distribution, own

    def _rule(self, cells: Cells, value: Key) -> str:
        """What counting amounts to: for a discrete exponential family, evidence of all rows or by cell."""
        if not (self.site.discrete and self.site.family and issubclass(self.site.family, ExponentialFamily)):
            return "counted rows"
        return "cells" if any(key is not value for key in cells.places) else "identical rows"


def _by_row(e: Expression) -> bool:
    """Whether a parameter is another number in each row."""
    return bool(keys_of([e])) or any(isinstance(leaf, Column) and not leaf.is_same for leaf in leaves_of([e]))


def _weights(rows: Rows, site: Site) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Weights of rows, None for 1 each, and the rows that count, None for all."""

    def spread(value: Value) -> np.ndarray:
        # A mask and a scale belong to the batch, to the left of what `to_event` took.
        batch = len(value.shape) + site.events
        axes = tuple(len(site.shape) - batch + i for i in range(len(value.shape)))
        column = rows.column(value, tuple(a if a >= 0 else -2 for a in axes))
        return np.broadcast_to(np.asarray(column.values), (rows.number,))

    weights = None if site.scale is None else np.asarray(spread(site.scale), np.float64)
    if weights is not None and (not np.all(np.isfinite(weights)) or np.min(weights, initial=0.0) < 0):
        raise ValueError("its scale by handlers.scale must be finite and at least 0 in every row")
    if weights is not None and np.all(weights == 1.0):
        weights = None
    mask = None if site.mask is None else np.asarray(spread(site.mask), bool)
    if mask is None and (weights is None or np.all(weights > 0)):
        return weights, None
    counts = np.ones(rows.number, bool) if mask is None else mask
    if weights is not None:
        counts = counts & (weights > 0)
    return weights, None if np.all(counts) else np.flatnonzero(counts)


def _sums(weights: np.ndarray | None, cells: Cells, rows: int) -> np.ndarray:
    """Total weight of each cell."""
    if cells.codes is None:
        return np.array([float(rows) if weights is None else float(np.sum(weights))])
    return np.bincount(cells.codes, weights, cells.number).astype(np.float64)


def _best_share(cells: Cells, value: Key, counts: np.ndarray) -> np.ndarray:
    """Log of the share that each value has among the rows whose parameters are the same: no probability explains more."""
    others = [places for key, places in cells.places.items() if key is not value]
    if not others:
        return np.log(counts / counts.sum())
    rows = np.stack(others, axis=-1)
    _, group = np.unique(rows, axis=0, return_inverse=True)
    group = group.reshape(-1)
    return np.log(counts / np.bincount(group, counts)[group])
