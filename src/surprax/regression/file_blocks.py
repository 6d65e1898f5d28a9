"""A file in blocks of rows: its columns as variables whose values are known for the whole file.

reader = BlockReader(open_source("claims.parquet"), ["claims", "age", "region"], rows=1 << 18, drop_missing=False)
for block in reader.blocks(): block.raws["age"].values, block.rows
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pyarrow as pa

from surprax.data.errors import DataError, are, it, no_rows
from surprax.data.sources import Source
from surprax.regression.encoding import Continuous, Discrete, Variable, narrowest, variable
from surprax.regression.reading import Raw, read_raw
from surprax.regression.variables import Variables

__all__ = ["BlockReader", "Levels", "RawBlock", "as_number"]

LABELS = 1 << 20
"""So many different texts are remembered of a column."""


@final
@dataclass(frozen=True, eq=False)
class RawBlock:
    """A run of rows, those with missing values left out.

    Attributes:
        raws: the columns by name.
        rows: which rows of the file these are, shape (n,).
        missing: how many rows of the run were left out.
        fraction: how much of the file has been read by the end of the run, in [0, 1].
    """

    raws: Mapping[str, Raw]
    rows: np.ndarray
    missing: int
    fraction: float

    @property
    def n(self) -> int:
        """How many rows there are."""
        return len(self.rows)


@final
class BlockReader:
    """Reads columns of a file in blocks, as often as asked; the file must stay as it is meanwhile.

    Args:
        source: the file.
        names: of the columns.
        rows: of a block, at most.
        drop_missing: whether rows with missing values in these columns are left out; they are refused otherwise.
    """

    def __init__(self, source: Source, names: Sequence[str], rows: int, *, drop_missing: bool) -> None:
        self.source, self.names, self.rows, self.drop_missing = source, tuple(dict.fromkeys(names)), rows, drop_missing
        for name in self.names:
            source.position(name)
        first = next(iter(source.batches(self.names, (), 1)), None)
        if first is None:
            raise no_rows(source.path.name)
        types = {name: column.type for name, column in first.columns.items()}
        self.declared = frozenset(name for name, type_ in types.items() if pa.types.is_dictionary(type_))
        self._state = self._stat()

    def _stat(self) -> tuple[int, int]:
        now = self.source.path.stat()
        return now.st_mtime_ns, now.st_size

    def blocks(self, also: Sequence[str] = (), only: Sequence[str] | None = None) -> Iterator[RawBlock]:
        """All blocks, from the first row on; of these columns and `also` others, or with `only` some of them.

        Raises `DataError` for missing and infinite values, with the row of the file.
        """
        if self._stat() != self._state:
            raise DataError(
                f"{self.source.path.name} must not change while a model is fitted to it: it was written since the fit "
                "began; fit again"
            )
        names = list(dict.fromkeys([*self.names, *also]))
        texts = [name for name in names if name not in self.declared and self.source.kind(name) == "text"]
        start = 0
        for batch in self.source.batches([name for name in names if name not in texts], texts, self.rows):
            n = len(batch.columns[names[0]])
            for low in range(0, n, self.rows):
                columns = {name: batch.columns[name].slice(low, self.rows) for name in names}
                yield self._block(columns, start + low, batch.fraction, only)
            start += n
        if start == 0:
            raise no_rows(self.source.path.name)

    def _block(self, columns: Mapping[str, Any], start: int, fraction: float, only: Sequence[str] | None) -> RawBlock:
        raws = {name: read_raw(column, self.source.origin(name, start)) for name, column in columns.items()}
        n = len(next(iter(raws.values())).values)
        rows = np.arange(start, start + n)
        masks = {name: raw.missing for name, raw in raws.items() if raw.missing is not None}
        if masks and not self.drop_missing:
            name, mask = next(iter(masks.items()))
            raise self._missing(name, mask, start)
        if only is not None:
            raws = {name: raws[name] for name in only}
        if not masks:
            return RawBlock(raws, rows, 0, fraction)
        kept = np.flatnonzero(~np.logical_or.reduce(list(masks.values())))
        return RawBlock({name: raw.rows(kept) for name, raw in raws.items()}, rows[kept], n - len(kept), fraction)

    def _missing(self, name: str, mask: np.ndarray, start: int) -> DataError:
        origin, count = self.source.origin(name, start), int(mask.sum())
        return DataError(
            f"{origin.what} must have no missing values: {count} in a run of {len(mask)} rows {are(count)} missing, first at "
            f"{origin.place(int(mask.argmax()))}; fill {it(count)} in or drop {it(count)} (drop_missing)"
        )

    def whole(self, names: Sequence[str]) -> Variables:
        """All rows of some columns; the rows that the other columns leave out are left out."""
        parts = [block for block in self.blocks(only=names) if block.n]
        columns: dict[str, Variable] = {}
        for name in names:
            if parts[0].raws[name].labels is None:
                columns[name] = as_number(np.concatenate([part.raws[name].values for part in parts]))
            else:
                levels = Levels(name, declared=name in self.declared)
                codes = [levels.codes(part.raws[name]) for part in parts]
                columns[name] = levels.settled().recoded(np.concatenate([part for part in codes if part is not None]))
        return Variables(columns, sum(part.n for part in parts), whose=self.source.path.name)


def as_number(values: np.ndarray) -> Variable:
    """Numbers as a variable without a look at how many are distinct; truth values as a discrete one."""
    if values.dtype.kind == "b":
        return Discrete(np.ascontiguousarray(values).view(np.uint8), np.array([False, True]))
    return Continuous(values.astype(np.float64, copy=False), whole=values.dtype.kind in "iu")


@final
class Levels:
    """The distinct values of a column, gathered block by block.

    Args:
        name: of the column.
        declared: whether the file lists them, in an order that is kept.
        most: so many different numbers, at most, are gathered.

    Attributes:
        few: whether there are no more so far.

    >>> levels = Levels("x")
    >>> levels.codes(Raw(np.array([3, 1, 3]))), levels.codes(Raw(np.array([2, 1])))
    (array([1, 0, 1]), array([2, 0]))
    >>> levels.settled().of(Raw(np.array([1, 2, 3]))).codes
    array([0, 1, 2], dtype=uint8)
    """

    def __init__(self, name: str, *, declared: bool = False, most: int = 1_000) -> None:
        self.name, self.declared, self.most = name, declared, most
        self.few, self.kind = True, ""
        self._found: dict[Any, int] = {}

    def __len__(self) -> int:
        return len(self._found)

    def codes(self, raw: Raw) -> np.ndarray | None:
        """Codes of a block's values, new ones being numbered on; None where there are too many."""
        if raw.labels is not None:
            self.kind = "labels"
            occurring = np.bincount(raw.values, minlength=len(raw.labels)) > 0
            places = np.zeros(len(raw.labels), np.intp)
            for i, label in enumerate(raw.labels.tolist()):
                if occurring[i] or self.declared:
                    places[i] = self._found.setdefault(label, len(self._found))
            if len(self._found) > LABELS:
                raise DataError(
                    f"Column {self.name!r} must have at most {LABELS:,} different labels: found more; group rare ones"
                )
            return places[raw.values]
        self.kind = raw.values.dtype.kind if self.kind in ("", raw.values.dtype.kind) else "f"
        if not self.few or not len(raw.values):
            return np.zeros(0, np.intp) if self.few else None
        one = variable(raw.values)
        if isinstance(one, Continuous):
            values, codes = np.unique(raw.values, return_inverse=True) if self._may_be_few(raw) else (raw.values, None)
        else:
            values, codes = one.values, one.codes
        if codes is not None and len(values) <= self.most:
            places = np.array([self._found.setdefault(value, len(self._found)) for value in values.tolist()], np.intp)
            if len(self._found) <= self.most:
                return places[codes]
        self.few = False
        self._found = {}
        return None

    def _may_be_few(self, raw: Raw) -> bool:
        sample = raw.values[: 4 * self.most]
        return len(np.unique(sample)) <= self.most

    def settled(self, rows: int | None = None) -> "Settled":
        """The values as they are known at the end; numbers of so many rows are few if most of them repeat."""
        values = list(self._found)
        few = self.few and (self.kind == "labels" or rows is None or len(values) <= 16 or 8 * len(values) <= rows)
        if self.kind != "labels":
            order = sorted(range(len(values)), key=values.__getitem__)
            wide: Any = {"b": bool, "i": np.int64, "u": np.uint64}.get(self.kind, np.float64)
            array = np.array([values[i] for i in order], wide)
        else:
            order = list(range(len(values))) if self.declared else sorted(range(len(values)), key=values.__getitem__)
            numbers = bool(values) and all(isinstance(value, bool | int | float) for value in values)
            array = np.array([values[i] for i in order], None if numbers else object)
        rank = np.empty(len(order), np.intp)
        rank[order] = np.arange(len(order))
        return Settled(self.name, self.kind, few, array, rank)


@final
@dataclass(frozen=True, eq=False)
class Settled:
    """The values of a column, known for the whole file.

    Attributes:
        name: of the column.
        kind: "labels", or the kind of its numbers.
        few: whether all distinct values are known.
        values: which are these, in order.
        rank: the place among them of each code that was given out.
    """

    name: str
    kind: str
    few: bool
    values: np.ndarray
    rank: np.ndarray

    @property
    def categorical(self) -> bool:
        """Whether the values are categories."""
        return self.kind == "labels"

    def recoded(self, codes: np.ndarray) -> Discrete:
        """The variable of codes that were given out."""
        return Discrete(narrowest(self.rank, len(self.values))[codes], self.values, self.categorical)

    def of(self, raw: Raw, *, plain: bool = False) -> Variable:
        """A block of the column as a variable with these values; of numbers as such if `plain`."""
        if raw.labels is not None:
            where = {value: i for i, value in enumerate(self.values.tolist())}
            places = np.array([where.get(label, 0) for label in raw.labels.tolist()], np.intp)
            return Discrete(narrowest(places, len(self.values))[raw.values], self.values, categorical=True)
        if self.kind == "b":
            codes = raw.values.astype(np.uint8) if len(self.values) == 2 else np.zeros(len(raw.values), np.uint8)
            return Discrete(codes, self.values)
        if plain or not self.few:
            return Continuous(raw.values.astype(np.float64, copy=False), whole=self.kind in "iu")
        return Discrete(narrowest(np.searchsorted(self.values, raw.values), len(self.values)), self.values)
