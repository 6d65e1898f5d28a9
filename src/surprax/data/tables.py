"""Tables out of files: the columns of numbers in a CSV, Parquet or Arrow file, and why others are not among them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import final

import numpy as np

from surprax.data import arrow
from surprax.data.columns import Column, settle
from surprax.data.errors import DataError, Origin, no_rows, no_such_column, quoted, shortened
from surprax.data.sources import PathLike, Source, open_source

__all__ = ["Table", "read_columns"]

_INDEX_NAMES = {
    "index",
    "id",
    "row",
    "rows",
    "row_id",
    "rowid",
    "rownames",
    "row_names",
    "rownum",
    "obs",
    "observation",
    "no",
    "nr",
}


@final
@dataclass(frozen=True, eq=False, repr=False)
class Table(Mapping[str, Column]):
    """Columns by name, in order, with what was passed over on the way.

    A table is a mapping: `table["waiting"]` is a `Column`, `list(table)` the names. `source` says where it comes
    from, `rows` how many rows there are, `passed_over` why each other column is not here, and `assumed` what was
    taken for granted about the format of the file. `str(table)` tells all of this.

    >>> from surprax.data import datasets
    >>> print(datasets.load("nile"))
    nile.csv: 100 rows
      year    whole numbers, 1871 to 1970
      volume  whole numbers, 456 to 1370
    """

    columns: Mapping[str, Column]
    source: str
    rows: int
    passed_over: Mapping[str, str]
    assumed: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Column:
        try:
            return self.columns[name]
        except KeyError:
            if name in self.passed_over:
                raise KeyError(f"{self.source}: column {name!r} was passed over: it {self.passed_over[name]}") from None
            raise KeyError(str(no_such_column(name, list(self.columns), self.source))) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def aligned(self, *names: str) -> "Table":
        """The named columns (all, for none), cut down to the rows that every one of them has: equally long, row by row.

        Needed only where missing values were dropped, which shortens each column by its own.

        >>> weight, height = Column.of([60, None, 80], "w", drop_missing=True), Column.of([1.7, 1.8, 1.9], "h")
        >>> table = Table({"w": weight, "h": height}, "people", 3, {})
        >>> [column.values.tolist() for column in table.aligned().values()]
        [[60, 80], [1.7, 1.9]]
        """
        chosen = {name: self[name] for name in names or self}
        dropped = [column.rows for column in chosen.values() if column.rows is not None]
        if not dropped:
            return replace(self, columns=chosen)
        common = reduce(np.intersect1d, dropped)
        if len(common) == 0:
            raise DataError(
                f"{quoted(chosen)} of {self.source} must share a row: in every row one of them is missing; name fewer"
            )

        def cut(column: Column) -> Column:
            picked = common if column.rows is None else np.searchsorted(column.rows, common)
            return replace(column, values=column.values[picked], rows=common, missing=self.rows - len(common))

        return replace(self, columns={name: cut(column) for name, column in chosen.items()})

    def __repr__(self) -> str:
        return f"Table({self.source!r}, {_rows(self.rows)}: {quoted(self)})"

    def __str__(self) -> str:
        width = max((len(name) for name in self), default=0)
        lines = [f"{self.source}: {_rows(self.rows)}" + "".join(f", {what}" for what in self.assumed)]
        lines += [f"  {name:<{width}}  {_told(column)}" for name, column in self.items()]
        lines += [f"  passed over {name!r}: it {reason}" for name, reason in self.passed_over.items()]
        return "\n".join(lines)


def read_columns(
    path: PathLike,
    columns: str | Sequence[str] | None = None,
    *,
    labels: str | Sequence[str] = (),
    drop_missing: bool = False,
) -> Table:
    """The columns of numbers in a file, every value present and finite.

    `path` is a CSV or TSV file (also gzipped), a Parquet file or an Arrow (Feather) file, by its suffix. `columns`
    names the columns wanted, in the order wanted; where none are named, all that hold numbers are taken, save those
    that only count the rows. `labels` names columns to read as labels (text, or whatever they hold), for grouping.
    Whole numbers stay integers. Missing values are refused; with `drop_missing` each column loses its own, and says
    which rows are left (`Table.aligned` then keeps the rows that all have).

    Raises `DataError`, one sentence that names the file, the column and the line (as an editor counts, the header
    being line 1) or row (from 0, where a file has no lines), for: no such file, a directory, an unknown suffix, an
    empty or damaged file, no such column, text or dates in a column of numbers, lines of unequal length, missing, all
    missing or infinite values.

    >>> from surprax.data import datasets
    >>> table = read_columns(datasets.path("nile"))
    >>> list(table), len(table["volume"]), int(table["volume"].values[0])
    (['year', 'volume'], 100, 1120)
    """
    source = open_source(path)
    label_names = [labels] if isinstance(labels, str) else list(dict.fromkeys(labels))
    for name in label_names:
        source.position(name)
    if columns is None:
        names, passed_over = _candidates(source, label_names)
    else:
        names, passed_over = [columns] if isinstance(columns, str) else list(dict.fromkeys(columns)), {}
        for name in names:
            source.position(name)
        if not names and not label_names:
            raise DataError(
                f"columns must name at least one column: found none; {source.path.name} has {quoted(source.names)}"
            )
    arrays = source.read([name for name in names if name not in label_names], label_names)
    rows = len(next(iter(arrays.values()))) if arrays else 0
    if arrays and rows == 0:
        raise no_rows(source.path.name)
    if columns is None:
        names, more = _numeric(source, names, arrays)
        passed_over |= more
    if not names and not label_names:
        raise _none_left(source, passed_over)
    found = {}
    for name in dict.fromkeys([*names, *label_names]):
        origin = source.origin(name)
        values, missing = (arrow.labels if name in label_names else arrow.numbers)(arrays[name], origin)
        if values.dtype.kind == "U" and source.kind(name) is None:
            values = _whole_labels(values, missing)
        found[name] = settle(name, values, missing, origin, drop_missing=drop_missing)
    order = {name: i for i, name in enumerate(source.names)}
    passed_over = dict(sorted(passed_over.items(), key=lambda item: order[item[0]]))
    return Table(found, source.path.name, rows, passed_over, source.assumed)


def _candidates(source: Source, labels: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Columns that may hold numbers as far as the file itself says, and why the others cannot."""
    names, passed_over = [], {}
    for name, count in Counter(source.names).items():
        if name in labels:
            continue
        if count > 1:
            passed_over[name] = "shares its name with another"
        elif (kind := source.kind(name)) not in (None, "numbers"):
            passed_over[name] = f"holds {kind}"
        else:
            names.append(name)
    return names, passed_over


def _numeric(source: Source, names: Sequence[str], arrays: Mapping[str, object]) -> tuple[list[str], dict[str, str]]:
    """Of these columns the ones to take: numbers, and not a count of the rows."""
    taken: list[str] = []
    passed_over: dict[str, str] = {}
    texts: dict[str, tuple[int, str]] = {}
    for name in names:
        array = arrays[name]
        kind = arrow.kind(array.type)  # type: ignore[attr-defined]
        if kind == "text" and (text := arrow.first_text(array, source.decimal)) is not None:
            texts[name] = text
        elif kind != "numbers":
            passed_over[name] = "has no values" if kind in ("nothing", "text") else f"holds {kind}"
        elif array.null_count == len(array):  # type: ignore[attr-defined,arg-type]
            passed_over[name] = "has no values"
        elif _counts_rows(name, array):
            passed_over[name] = "is an index (name it to use it)"
        else:
            taken.append(name)
    places = source.places([row for row, _ in texts.values()])
    for (name, (_, found)), place in zip(texts.items(), places):
        passed_over[name] = f"holds text ({shortened(found)} at {place})"
    return taken, passed_over


def _whole_labels(values: np.ndarray, missing: np.ndarray | None) -> np.ndarray:
    """Labels of a file that has only text: integers, where every label that is there is one."""
    present = values if missing is None else values[~missing]
    distinct = np.unique(present).tolist()
    if not distinct or arrow.whole(distinct) is distinct:
        return values
    filled = values if missing is None else np.where(missing, "0", values)
    return filled.astype(np.int64)


def _counts_rows(name: str, array: object) -> bool:
    """Whether a column is an index that was written along: 0, 1, 2… or 1, 2, 3… under no name or that of an index."""
    plain = name.strip().lower()
    nameless = plain.startswith(("unnamed: ", "__index_level_")) or plain == ""
    if not nameless and plain not in _INDEX_NAMES:
        return False
    values, missing = arrow.numbers(array, Origin.argument(name))
    if missing is not None or len(values) == 0:
        return nameless
    return nameless or (values[0] in (0, 1) and bool(np.all(np.diff(values) == 1)))


def _none_left(source: Source, passed_over: Mapping[str, str]) -> DataError:
    if not passed_over:
        return DataError(f"{source.path.name} must hold a column of numbers: it has no columns")
    reasons = [f"{shortened(name)} {reason}" for name, reason in list(passed_over.items())[:3]]
    more = f", and {len(passed_over) - 3} more" if len(passed_over) > 3 else ""
    return DataError(
        f"{source.path.name} must hold a column of numbers: {', '.join(reasons)}{more}; name one, or add one"
    )


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _told(column: Column) -> str:
    values = column.values
    dropped = f", {column.missing} missing dropped" if column.missing else ""
    if values.dtype.kind not in "iuf":
        return f"labels, {len(np.unique(values))} distinct{dropped}"
    kind = "whole numbers" if values.dtype.kind in "iu" else str(values.dtype)
    return f"{kind}, {values.min():.6g} to {values.max():.6g}{dropped}"
