"""Files larger than memory: columns in chunks of equal length, and the evidence that adds up over them."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final

import numpy as np

from surprax.data import arrow
from surprax.data.columns import refuse_infinite
from surprax.data.errors import DataError, Origin, are, it, no_rows, shortened
from surprax.data.sources import Batch, PathLike, Source, open_source
from surprax.progress import progress_bar

__all__ = ["Chunk", "read_evidence", "stream_column"]

CHUNK_ROWS = 1_000_000


class HasEvidence(Protocol):
    """What `read_evidence` needs of a family."""

    def evidence(self, x: np.ndarray, weights: np.ndarray | None = None, **keywords: Any) -> Any: ...


@final
@dataclass(frozen=True, eq=False)
class Chunk:
    """A run of rows of a file: values of one column, all present and finite, and what goes with each of them.

    Attributes:
        values: numbers, shape (n,).
        by: label of each row's group, shape (n,), or None where no grouping was asked for.
        weights: weight of each row, ≥ 0, shape (n,), or None.
        rows: row of the file, from 0, that each value stands in, shape (n,).
        missing: how many rows of the run were dropped because something in them is missing.
        fraction: how much of the file has been read by the end of this run, in [0, 1].

    >>> from surprax.data import datasets
    >>> chunk = next(stream_column(datasets.path("states"), "murder", by="state", chunk_rows=3))
    >>> chunk.values.tolist(), chunk.by.tolist(), chunk.rows.tolist()
    ([7.1, 3.2, 5.5], ['Alabama', 'Alaska', 'Arizona'], [0, 1, 2])
    """

    values: np.ndarray
    by: np.ndarray | None
    weights: np.ndarray | None
    rows: np.ndarray
    missing: int
    fraction: float

    def __len__(self) -> int:
        return len(self.values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.values, dtype=dtype, copy=copy)


def stream_column(
    path: PathLike,
    column: str,
    *,
    by: str | None = None,
    weights: str | None = None,
    chunk_rows: int = CHUNK_ROWS,
    drop_missing: bool = False,
) -> Iterator[Chunk]:
    """A column of numbers in chunks of `chunk_rows` values (the last may be shorter), with memory bounded by a chunk.

    `path`: as for `read_columns`. `by` and `weights` name columns that go along, of labels (of a CSV file always as
    text) and of numbers ≥ 0. All chunks but the last are equally long, so what is compiled for one of them serves
    all. Bound: some chunks, and of an Arrow file with compressed batches one batch.

    Raises `DataError` as `read_columns` does, at once for what the opening shows and otherwise at the chunk that
    shows it. With `drop_missing`, rows where the column, its label or its weight is missing are left out, and counted
    in `Chunk.missing`.

    >>> from surprax.data import datasets
    >>> [len(chunk) for chunk in stream_column(datasets.path("nile"), "volume", chunk_rows=60)]
    [60, 40]
    """
    return _labelled(_Request.checked(path, column, by, weights, chunk_rows, drop_missing))


def read_evidence(
    path: PathLike,
    family: HasEvidence,
    *,
    column: str,
    by: str | None = None,
    weights: str | None = None,
    chunk_rows: int = CHUNK_ROWS,
    drop_missing: bool = False,
    progress: bool | None = None,
    **known: Any,
) -> Any:
    """The evidence in a column of a file, Σ family.evidence(chunk): the file may be larger than memory.

    `path`, `column`, `by`, `weights`, `chunk_rows`, `drop_missing`: as for `stream_column`. With `by`, the evidence
    has one entry per group on its leading axis, sorted by label; labels of a CSV file are integers where all of them
    read as such. `progress`: True draws a progress bar on standard error, False draws none, None draws one where
    standard error is a terminal. `known`: known parameters, by name, for families that need them.

    Raises `DataError` as `stream_column` does, and where the family refuses a value, with its place in the file.

    >>> from surprax.data import datasets
    >>> from surprax.families.exponential_law import Exponential
    >>> flow = read_evidence(datasets.path("nile"), Exponential, column="volume", chunk_rows=30)
    >>> float(flow.count), round(float(flow.mean), 2)
    (100.0, 919.35)
    """
    request = _Request.checked(path, column, by, weights, chunk_rows, drop_missing)
    labels: dict[Any, int] = {}
    total: Any = None
    dropped = 0
    with progress_bar(f"{request.source.path.name}: {column}", progress) as advance:
        for chunk in request.chunks(labels):
            part = _evidence(family, chunk, request, known)
            total = part if total is None else total + part
            dropped += chunk.missing
            advance(chunk.fraction, _dropped(dropped))
        advance(1.0, _dropped(dropped))
    return total if by is None else _by_label(total, list(labels), as_text=request.source.kind(by) is None)


@final
@dataclass(frozen=True)
class _Request:
    """What to read of which file, and how."""

    source: Source
    column: str
    by: str | None
    weights: str | None
    chunk_rows: int
    drop_missing: bool

    @classmethod
    def checked(
        cls, path: PathLike, column: str, by: str | None, weights: str | None, chunk_rows: int, drop_missing: bool
    ) -> "_Request":
        """The file opened, the columns found."""
        if chunk_rows < 1:
            raise ValueError(f"chunk_rows must be at least 1: got {chunk_rows}")
        if by is not None and by in (column, weights):
            raise ValueError(f"by must name another column than the values and their weights: got {by!r} twice")
        source = open_source(path)
        for name in (column, by, weights):
            if name is not None:
                source.position(name)
        return cls(source, column, by, weights, chunk_rows, drop_missing)

    def chunks(self, labels: dict[Any, int]) -> Iterator[Chunk]:
        """Chunks of `chunk_rows` rows; in place of labels, codes into `labels`, which grows as labels occur."""
        waiting: list[Chunk] = []
        count = start = 0
        numeric = list(dict.fromkeys(name for name in (self.column, self.weights) if name is not None))
        for batch in self.source.batches(numeric, [] if self.by is None else [self.by], self.chunk_rows):
            piece = self.piece(batch, start, labels)
            start += len(batch.columns[self.column])
            waiting.append(piece)
            count += len(piece)
            while count > self.chunk_rows:  # not at equality: what is dropped after it still has to be counted
                whole = _joined(waiting)
                yield _part(whole, 0, self.chunk_rows, whole.missing)
                waiting = [_part(whole, self.chunk_rows, count, 0)]
                count -= self.chunk_rows
        if start == 0:
            raise no_rows(self.source.path.name)
        if count == 0:
            whose = self.source.origin(self.column).what
            raise DataError(f"{whose} must have at least one value: something is missing in each of {start} rows")
        yield _joined(waiting)

    def piece(self, batch: Batch, start: int, labels: dict[Any, int]) -> Chunk:
        """A run of rows, the first of which is row `start`; those with something missing refused or dropped."""
        parts: dict[str, np.ndarray] = {}
        absent = np.zeros(len(batch.columns[self.column]), dtype=bool)
        for role, name in (("values", self.column), ("weights", self.weights)):
            if name is not None:
                origin = self.source.origin(name, start)
                values, missing = _present(batch.columns[name], origin, role == "weights", self.drop_missing)
                parts[role] = values if values.flags.writeable else values.copy()  # Arrow's may be on disk only
                absent |= missing
        if self.by is not None:
            parts["by"] = _codes(batch.columns[self.by], labels)
            unlabelled = parts["by"] < 0
            if unlabelled.any() and not self.drop_missing:
                origin = self.source.origin(self.by, start)
                raise _missing(unlabelled, origin, "labels")
            absent |= unlabelled
        rows = np.arange(start, start + len(absent))
        if absent.any():
            kept = np.flatnonzero(~absent)
            parts, rows = {role: part[kept] for role, part in parts.items()}, rows[kept]
        return Chunk(parts["values"], parts.get("by"), parts.get("weights"), rows, int(absent.sum()), batch.fraction)


def _labelled(request: _Request) -> Iterator[Chunk]:
    """Chunks with labels in place of their codes."""
    labels: dict[Any, int] = {}
    for chunk in request.chunks(labels):
        yield chunk if chunk.by is None else dataclasses.replace(chunk, by=np.array(list(labels))[chunk.by])


def _present(array: Any, origin: Origin, weights: bool, drop_missing: bool) -> tuple[np.ndarray, np.ndarray]:
    """Numbers, and which are missing; refuses infinite ones, missing ones that may not be, negative weights."""
    values, missing = arrow.numbers(array, origin)
    missing = np.zeros(len(values), dtype=bool) if missing is None else missing
    if values.dtype.kind == "f":
        missing = missing | np.isnan(values)
    if missing.any() and not drop_missing:
        raise _missing(missing, origin, "values")
    refuse_infinite(values, origin)
    if weights and (negative := (values < 0) & ~missing).any():
        row = int(negative.argmax())
        raise DataError(
            f"{origin.what} must be 0 or more to be weights: found {values[row]} at {origin.place(row)}; correct it"
        )
    return values, missing


def _missing(missing: np.ndarray, origin: Origin, things: str) -> DataError:
    count = int(missing.sum())
    return DataError(
        f"{origin.what} must have no missing {things}: {count} in a run of {len(missing)} rows {are(count)} missing, "
        f"first at {origin.place(int(missing.argmax()))}; fill {it(count)} in or drop {it(count)} (drop_missing)"
    )


def _codes(array: Any, labels: dict[Any, int]) -> np.ndarray:
    """A code for each label, −1 where it is missing; labels not met before get the next codes."""
    found, codes = arrow.encoded(array)
    known = np.empty(len(found) + 1, np.int32)
    known[-1] = -1  # where a code of −1, a missing label, leads
    for i, label in enumerate(found):
        label = label.strip() if isinstance(label, str) else label
        known[i] = -1 if label == "" else labels.setdefault(label, len(labels))
    return known[codes]


def _joined(pieces: Sequence[Chunk]) -> Chunk:
    if len(pieces) == 1:
        return pieces[0]

    def join(role: str) -> Any:
        parts = [getattr(piece, role) for piece in pieces]
        return None if parts[0] is None else np.concatenate(parts)

    missing = sum(piece.missing for piece in pieces)
    return Chunk(join("values"), join("by"), join("weights"), join("rows"), missing, pieces[-1].fraction)


def _part(chunk: Chunk, start: int, stop: int, missing: int) -> Chunk:
    def cut(part: Any) -> Any:
        return None if part is None else part[start:stop]

    return Chunk(cut(chunk.values), cut(chunk.by), cut(chunk.weights), cut(chunk.rows), missing, chunk.fraction)


def _evidence(family: HasEvidence, chunk: Chunk, request: _Request, known: Mapping[str, Any]) -> Any:
    """A chunk's evidence; where the family refuses a row of the chunk, the error names the place in the file."""
    grouping = {} if chunk.by is None else {"by": chunk.by}
    try:
        return family.evidence(chunk.values, chunk.weights, **grouping, **known)
    except ValueError as error:
        message = re.sub(r" \([^()]* in all\)", "", str(error))  # such a count is the chunk's, not the file's

        def placed(match: re.Match[str]) -> str:
            row = int(match[1])
            return request.source.places([int(chunk.rows[row])])[0] if row < len(chunk) else match[0]

        message = re.sub(r"\brow (\d+)\b", placed, message)
        raise DataError(f"{shortened(request.column)} of {request.source.path.name}: {message}") from error


def _by_label(evidence: Any, labels: list[Any], *, as_text: bool) -> Any:
    """Evidence by code as evidence by label, sorted."""
    if as_text:
        labels = arrow.whole(labels)
    named = [labels[code] for code in evidence.labels]
    order = sorted(range(len(named)), key=named.__getitem__)
    return dataclasses.replace(evidence[np.array(order)], labels=tuple(named[i] for i in order))


def _dropped(count: int) -> str:
    return f" ({count:,} missing dropped)" if count else ""
