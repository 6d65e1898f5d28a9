"""Variables out of data: the named columns of a frame, a mapping, a table or a file, as numbers or as codes.

variables = read_variables(frame, ["claims", "age", "region"])
variables["region"]                   # Discrete: codes and the distinct values
"""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from surprax.data.errors import DataError, Origin, no_such_column, quoted
from surprax.data.sources import open_source
from surprax.data.tables import Table
from surprax.regression.encoding import Continuous, Discrete, Variable, number, variable
from surprax.regression.reading import Raw, read_raw

__all__ = ["Continuous", "Discrete", "Variable", "Variables", "column_names", "read_variables"]


@final
@dataclass(frozen=True, eq=False)
class Variables(Mapping[str, Variable]):
    """Variables by name, all of `n` rows.

    Attributes:
        columns: the variables.
        n: how many rows there are.
        missing: how many rows were dropped because a value was missing in them.
        kept: the rows of the data that are here, shape (n,); None where all are.
        whose: what the data are called.
    """

    columns: Mapping[str, Variable]
    n: int
    missing: int = 0
    kept: np.ndarray | None = None
    whose: str = "data"

    def __getitem__(self, name: str) -> Variable:
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def row(self, i: int) -> int:
        """Which row of the data row i is."""
        return i if self.kept is None else int(self.kept[i])

    def used(self) -> "Variables":
        """The variables without categories that no row has."""
        cut = {name: one.used() if isinstance(one, Discrete) else one for name, one in self.items()}
        return Variables(cut, self.n, self.missing, self.kept, self.whose)

    def rows(self, picked: slice | np.ndarray) -> "Variables":
        """The variables in some rows."""
        kept = np.arange(self.n)[picked] if self.kept is None else self.kept[picked]
        cut = {name: one.rows(picked) for name, one in self.items()}
        return Variables(cut, len(kept), self.missing, kept, self.whose)


def read_variables(
    data: Any, names: Sequence[str], *, drop_missing: bool = False, plain: Collection[str] = ()
) -> Variables:
    """The named columns of `data` as variables; no others are looked at.

    `data` is a data frame (pandas, polars, pyarrow or any that narwhals knows), a mapping from names to columns, a
    `surprax.data.Table`, or the path of a CSV, Parquet or Arrow file. Text, categories and objects become `Discrete`
    and categorical; so many numbers as have few distinct values become `Discrete`, others `Continuous`. Numbers in the
    columns named in `plain` become `Continuous` however few are distinct: they are not looked through, nor copied.

    Raises `DataError`, one sentence, for: names that are not there, columns of unequal length, no rows, missing
    values (`drop_missing` drops each row in which one of these columns has one), infinite values, dates, mixed kinds.

    >>> variables = read_variables({"age": [30, 40, 30], "region": ["n", "s", "n"]}, ["age", "region"])
    >>> variables["region"].codes, variables["region"].values, variables["age"].values
    (array([0, 1, 0], dtype=uint8), array(['n', 's'], dtype=object), array([30, 40]))
    """
    names = list(dict.fromkeys(names))
    found = _columns(data, names)
    raws = {name: read_raw(column, origin) for name, (column, origin) in found.columns.items()}
    n = _rows(raws, found)
    for name, raw in raws.items():
        if raw.missing is not None and (not drop_missing or raw.missing.all()):
            raise raw.refusal(found.columns[name][1])
    kept, before = found.kept, n
    masks = [raw.missing for raw in raws.values() if raw.missing is not None]
    if masks:
        kept = np.flatnonzero(~np.logical_or.reduce(masks))
        n = len(kept)
        if not n:
            raise DataError(f"{found.whose} must have a row in which none of {quoted(names)} is missing: found none")
        raws = {name: raw.rows(kept) for name, raw in raws.items()}
    elif kept is not None and isinstance(data, Table):
        before = data.rows
    variables = {name: _variable(raw, name in plain) for name, raw in raws.items()}
    return Variables(variables, n, before - n, kept, found.whose)


def column_names(data: Any) -> list[str]:
    """The names of all columns of data that `read_variables` takes."""
    if isinstance(data, Mapping):
        return [str(name) for name in data]
    return list(
        open_source(data).names if isinstance(data, str | os.PathLike) else _frame(data).collect_schema().names()
    )


def _variable(raw: Raw, plain: bool) -> Variable:
    if raw.labels is not None:
        return Discrete(raw.values, raw.labels, categorical=True)
    return number(raw.values) if plain else variable(raw.values)


@final
@dataclass(frozen=True)
class _Columns:
    """Columns as they are, by name, and where they come from; `kept` are the rows left of what `rows` there were."""

    columns: Mapping[str, tuple[Any, Origin]]
    whose: str
    rows: int | None = None
    kept: np.ndarray | None = None


def _rows(raws: Mapping[str, Raw], found: _Columns) -> int:
    """How many rows all columns have; refuses columns of unequal length, and none."""
    lengths = {name: len(raw.values) for name, raw in raws.items()}
    for (one, rows), (other, others) in zip(lengths.items(), list(lengths.items())[1:]):
        if rows != others:
            raise DataError(
                f"{found.whose} must have columns of equal length: {one!r} has {rows} rows, {other!r} has {others}; "
                "cut the longer one, or fill the other in"
            )
    n = next(iter(lengths.values()), found.rows)
    if not n:
        raise DataError(f"{found.whose} must have at least one row: found none")
    return n


def _columns(data: Any, names: list[str]) -> _Columns:
    if isinstance(data, str | os.PathLike):
        source = open_source(data)
        for name in names:
            source.position(name)
        read = source.read(names or source.names[:1], ())
        rows = len(next(iter(read.values())))
        return _Columns({name: (read[name], source.origin(name)) for name in names}, source.path.name, rows)
    if isinstance(data, Table):
        _check(names, list(data), data.source)
        table = data.aligned(*names)
        kept = next((column.rows for column in table.values()), None)
        return _Columns(
            {name: (table[name], Origin.argument(name)) for name in names},
            data.source,
            data.rows if kept is None else len(kept),
            kept,
        )
    if isinstance(data, Mapping):
        _check(names, [str(name) for name in data], "data")
        first = next(iter(data.values()), ())
        length = None if names or not hasattr(first, "__len__") else len(first)
        return _Columns({name: (data[name], Origin.argument(name)) for name in names}, "data", length)
    frame = _frame(data)
    existing = frame.collect_schema().names()
    _check(names, existing, "data")
    eager = frame.select(names or existing[:1]).collect() if hasattr(frame, "collect") else frame
    return _Columns({name: (eager.get_column(name), Origin.argument(name)) for name in names}, "data", len(eager))


def _frame(data: Any) -> Any:
    """A narwhals frame, eager or lazy, with names that are text."""
    import narwhals as nw

    if hasattr(data, "set_axis") and hasattr(data, "columns"):  # pandas, whose names may be numbers, or twice there
        named = [str(name) for name in data.columns]
        twice = next((name for i, name in enumerate(named) if name in named[:i]), None)
        if twice is not None:
            raise DataError(f"data must name its columns apart: two are called {twice!r}; rename one")
        data = data if named == list(data.columns) else data.set_axis(named, axis=1)
    frame = nw.from_native(data, pass_through=True)
    if isinstance(frame, nw.DataFrame | nw.LazyFrame):
        return frame
    raise DataError(
        "data must be a data frame, a mapping from names to columns, a table, or the path of a file: "
        f"found {type(data).__name__}"
    )


def _check(names: list[str], existing: list[str], whose: str) -> None:
    known = set(existing)
    for name in names:
        if name not in known:
            raise no_such_column(name, existing, whose)
