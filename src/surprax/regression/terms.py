"""One side of a formula, trained: columns of a design out of variables.

What a term of discrete variables is, is worked out once per combination of their values; what others are, row by row.
Factors that learn from the data, such as `center(x)`, learn from all rows.
"""

import functools
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from formulaic import Formula, ModelSpec

from surprax.regression.combinations import combined, frame_of_rows, frame_of_values, recoded
from surprax.regression.design import Block, Coded, Dense, Design
from surprax.regression.encoding import Continuous, Discrete, Variable, coded, variable
from surprax.regression.evaluation import evaluated
from surprax.regression.syntax import Context, Piece
from surprax.regression.variables import Variables

__all__ = ["Terms"]

ROWS = 1 << 16
"""So many rows are worked out at once."""
COPIED = 1 << 11
"""So many rows are copied at once: they stay in the cache."""
NARROW = 2
"""Coded columns so few are written out where there are columns of numbers anyway: one product of matrices is faster."""
LEVELS = 1 << 14
"""Blocks of more levels are written out, unless they have as many columns."""


@final
@dataclass(frozen=True, eq=False)
class Terms:
    """One side of a formula, with all that its factors have learnt.

    Attributes:
        text: the formula.
        spec: formulaic's account of the terms, with the state of its transforms.
        pieces: the factors of each term.
        known: the values of the variables that may have no others in new data.
        categorical: the variables that held categories.
        context: the functions that the formula may use besides formulaic's.
    """

    text: str
    spec: ModelSpec
    pieces: tuple[tuple[Piece, ...], ...]
    known: Mapping[str, np.ndarray]
    categorical: frozenset[str]
    context: Context

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return tuple(self.spec.column_names)

    @functools.cached_property
    def _ends(self) -> np.ndarray:
        """Where the columns of each term begin, and where the last ones end."""
        return np.cumsum([0, *(len(one.columns) for one in self.spec.structure or [])])

    @functools.cached_property
    def _tables(self) -> dict[tuple[int | str, ...], tuple[np.ndarray, Sequence[np.ndarray], Sequence[np.ndarray]]]:
        """Tables of terms, by their places and discrete variables: blocks of a file share them."""
        return {}

    def discrete(self, variables: Variables) -> bool:
        """Whether every column depends on a row through discrete variables only."""
        return not self._grouped(self.prepared(variables))[1]

    def design(self, variables: Variables) -> Design:
        """The columns for these variables, of the training data or of others."""
        columns = self.prepared(variables)
        groups, by_row = self._grouped(columns)
        tabled = [self._tabled(members, names, columns, variables) for names, members in groups.items()]
        tabled = [(block, places) for block, places in tabled if block.width]
        huge = [len(block.table) > max(LEVELS, 4 * block.width) for block, _ in tabled]
        mixed = bool(by_row) or any(huge)
        out = [mixed and (block.width <= NARROW or big) for (block, _), big in zip(tabled, huge)]
        written = [pair for pair, is_out in zip(tabled, out) if is_out]
        kept: list[tuple[Block, np.ndarray]] = [pair for pair, is_out in zip(tabled, out) if not is_out]
        if mixed or not kept:
            kept.insert(0, self._written(by_row, written, columns, variables))
        return Design(self.names, [block for block, _ in kept], [places for _, places in kept])

    def responses(self, variables: Variables) -> dict[str, Variable]:
        """The columns as variables by name; categories are not split into indicators."""
        columns = self.prepared(variables)
        found: dict[str, Variable] = {}
        rest: list[int] = []
        for i, of_term in enumerate(self.pieces):
            source = of_term[0].source if len(of_term) == 1 else None
            if source is None or (not of_term[0].is_column and of_term[0].open):
                rest.append(i)
            elif of_term[0].is_column:
                found[source] = columns[source]
            else:
                one = coded(columns[source])
                found[of_term[0].factor.expr] = Discrete(one.codes, one.values, categorical=True)
        if rest:
            part, _ = self._part(rest)
            of_rest = tuple(self.pieces[i] for i in rest)
            design = Terms(self.text, part, of_rest, self.known, self.categorical, self.context).design(variables)
            for block, where in design:
                for j, place in enumerate(where):
                    found[design.names[place]] = _column_of(block, j)
        return found

    def prepared(self, variables: Variables) -> dict[str, Variable]:
        """The variables that the terms read, coded where their values are categories, by those of the training."""
        read = [piece for of_term in self.pieces for piece in of_term]
        sources = {piece.source for piece in read if piece.categories}
        found: dict[str, Variable] = {}
        for name in dict.fromkeys(name for piece in read for name in piece.names):
            one = variables[name]
            if name in self.known:
                one = recoded(name, one, self.known[name], variables.row, categorical=name in self.categorical)
            elif isinstance(one, Discrete) and one.categorical and name not in self.categorical:
                raise ValueError(
                    f"Column {name!r} must hold numbers, as in the data that the model was fitted to: "
                    f"found {one.column()[0]!r} in row {variables.row(0)}"
                )
            elif name in sources:
                one = coded(one)
                if not one.categorical and not one.counts().all():
                    codes, (places,) = combined([one], len(one), observed=True)
                    one = Discrete(codes, one.values[places])
            found[name] = one
        return found

    def _grouped(self, columns: Mapping[str, Variable]) -> tuple[dict[tuple[str, ...], list[int]], list[int]]:
        """Terms by the discrete variables they read, and the terms that must be worked out row by row."""
        groups: dict[tuple[str, ...], list[int]] = {}
        by_row: list[int] = []
        for i, of_term in enumerate(self.pieces):
            names = tuple(sorted({name for piece in of_term for name in piece.names}))
            if all(piece.rowwise for piece in of_term) and all(isinstance(columns[name], Discrete) for name in names):
                groups.setdefault(names, []).append(i)
            else:
                by_row.append(i)
        return groups, by_row

    def _part(self, members: Sequence[int]) -> tuple[ModelSpec, np.ndarray]:
        """The spec of some terms, and where their columns go."""
        ends, picked = self._ends, [(self.spec.structure or [])[i] for i in members]
        part = self.spec.update(formula=Formula([one.term for one in picked], _ordering="none"), structure=picked)
        return part, np.concatenate([np.arange(ends[i], ends[i + 1]) for i in members])

    def _tabled(
        self, members: list[int], names: Sequence[str], columns: Mapping[str, Variable], variables: Variables
    ) -> tuple[Coded, np.ndarray]:
        """Terms of the same variables, as a table with a row for each combination of the values of the discrete ones.

        The continuous ones, by whose product the rows of the table are to be multiplied, are 1 in it.
        """
        chosen = {name: one for name in names if isinstance(one := columns[name], Discrete)}
        joined = any(len(piece.names) > 1 for i in members for piece in self.pieces[i])
        codes, levels = combined(list(chosen.values()), variables.n, observed=joined)
        part, places = self._part(members)
        table = self._table(part, members, names, chosen, levels)
        bad = ~np.isfinite(table)
        if bad.any():  # combinations that do not occur may have no value
            bad &= (np.bincount(codes, minlength=len(table)) > 0)[:, None]
            if bad.any():
                j = int(bad.any(axis=0).argmax())
                rows = np.flatnonzero(bad[:, j].take(codes))
                raise self._not_finite(places[j], table[codes[rows[0]], j], int(rows[0]), len(rows), variables)
            table = np.where(np.isfinite(table), table, 0.0)
        return Coded(codes, table), places

    def _table(
        self,
        part: ModelSpec,
        members: list[int],
        names: Sequence[str],
        chosen: Mapping[str, Discrete],
        levels: Sequence[np.ndarray],
    ) -> np.ndarray:
        """The columns of some terms at combinations of values; those of the last time, if these are the same."""
        key: tuple[int | str, ...] = (*members, *chosen)
        values = [one.values for one in chosen.values()]
        if key in self._tables:
            table, old_values, old_levels = self._tables[key]
            if all(map(operator.is_, values, old_values)) and all(map(np.array_equal, levels, old_levels)):
                return table
        frame = frame_of_values(chosen, levels).assign(**{name: 1.0 for name in names if name not in chosen})
        found = np.asarray(evaluated(part, frame, self.text, self.context), np.float64)
        table = found.reshape(len(frame), found.size // max(len(frame), 1))
        self._tables[key] = table, values, levels
        return table

    def _written(
        self,
        by_row: list[int],
        written: Sequence[tuple[Coded, np.ndarray]],
        columns: Mapping[str, Variable],
        variables: Variables,
    ) -> tuple[Dense, np.ndarray]:
        """One matrix of the terms that need every row and of coded columns, and where its columns go."""
        products: list[tuple[Coded | None, np.ndarray, list[np.ndarray]]] = [(*pair, []) for pair in written]
        other: list[int] = []
        terms = self.spec.terms
        for i in by_row:
            names = list(dict.fromkeys(name for piece in self.pieces[i] for name in piece.names))
            numbers = {name: one.values for name in names if isinstance(one := columns[name], Continuous)}
            if len(self.pieces[i]) == len(terms[i].factors) == 1 and self.pieces[i][0].is_column:
                products.append((None, self._ends[i : i + 1], list(numbers.values())))
            elif all(
                piece.rowwise and (piece.is_column or not numbers.keys() & piece.names) for piece in self.pieces[i]
            ):
                products.append((*self._tabled([i], names, columns, variables), list(numbers.values())))
            else:
                other.append(i)
        part, last = self._part(other) if other else (self.spec, np.empty(0, int))
        places = np.concatenate([*(where for _, where, _ in products), last])
        matrix = np.empty((variables.n, len(places)))
        for run in _runs(variables.n, COPIED):
            at = 0
            for block, where, factors in products:
                _multiply(matrix[run, at : at + where.size], block, factors, run)
                at += where.size
        if other:
            read = [piece for i in other for piece in self.pieces[i]]
            names = sorted({name for piece in read for name in piece.names})
            rest = matrix[:, len(places) - last.size :]
            for run in _runs(variables.n, ROWS if all(piece.rowwise for piece in read) else variables.n):
                rest[run] = np.asarray(
                    evaluated(part, frame_of_rows(columns, names, run), self.text, self.context), np.float64
                )
            self._refuse_infinite(rest, last, variables)
        return Dense(matrix), places

    def _refuse_infinite(self, matrix: np.ndarray, places: np.ndarray, variables: Variables) -> None:
        for j in range(matrix.shape[1]):
            if not np.isfinite(matrix[:, j].sum()) and (bad := ~np.isfinite(matrix[:, j])).any():
                row = int(bad.argmax())
                raise self._not_finite(places[j], matrix[row, j], row, int(bad.sum()), variables)

    def _not_finite(self, place: int, value: float, row: int, count: int, variables: Variables) -> ValueError:
        of_term = self.pieces[int(np.searchsorted(self._ends, place, side="right")) - 1]
        read = dict.fromkeys(name for piece in of_term for name in piece.names)
        values = ", ".join(f"{name} = {variables[name].rows(slice(row, row + 1)).column()[0]}" for name in read)
        return ValueError(
            f"Column {self.names[place]!r} of the design must be finite: it is {value} in {count:,} of {variables.n:,} rows, "
            f"first in row {variables.row(row)} ({values}); change the term or drop such rows"
        )


def _runs(n: int, rows: int) -> Iterator[slice]:
    for start in range(0, n, rows):
        yield slice(start, min(start + rows, n))


def _multiply(out: np.ndarray, block: Coded | None, factors: Sequence[np.ndarray], run: slice) -> None:
    """Rows of a block (of ones, for None), each multiplied by its factors, into `out`."""
    if block is None:
        out[:] = factors[0][run, None]
        factors = factors[1:]
    else:
        out[:] = block.table.take(block.codes[run], axis=0)
    for factor in factors:
        out *= factor[run, None]


def _column_of(block: Block, j: int) -> Variable:
    """One column of a block as a variable."""
    if isinstance(block, Dense):
        return variable(np.ascontiguousarray(block.matrix[:, j]))
    values, codes = np.unique(block.table[:, j], return_inverse=True)
    return Discrete(codes.astype(np.min_scalar_type(len(values) - 1)).take(block.codes), values)
