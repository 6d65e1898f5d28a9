"""Files of columns, whatever their format: what columns they have, reading them whole or in pieces."""

import abc
import difflib
import functools
import mmap
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import pyarrow as pa
import pyarrow.parquet as pq

from surprax.data.errors import DataError, Origin, no_such_column, quoted, shortened

__all__ = ["ArrowFile", "Batch", "ParquetFile", "Source", "open_source"]

type PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Batch:
    """A run of rows: its columns by name, and the fraction of the file that has been read by its end."""

    columns: Mapping[str, Any]
    fraction: float


class Source(abc.ABC):
    """A file of named columns.

    Attributes:
        path: where it is.
        names: its columns, in order; a name may occur twice.
        assumed: what was taken for granted about its format, in words.
        decimal: the decimal sign of its numbers.
    """

    path: Path
    names: tuple[str, ...]
    assumed: tuple[str, ...] = ()
    decimal: str = "."

    @abc.abstractmethod
    def read(self, names: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
        """Whole columns by name, as Arrow arrays: `names` should hold numbers, `labels` may hold anything."""

    @abc.abstractmethod
    def batches(self, names: Sequence[str], labels: Sequence[str], rows: int) -> Iterator[Batch]:
        """The same in pieces, of about `rows` rows where the format leaves a choice."""

    @abc.abstractmethod
    def places(self, rows: Sequence[int]) -> list[str]:
        """How to point a reader at rows, counted from 0: by the line that an editor shows, where there are lines."""

    @abc.abstractmethod
    def kind(self, name: str) -> str | None:
        """What the file says a column holds (`numbers`, `text`, `dates` …); None where only its values could tell."""

    def __reduce__(self) -> tuple[Any, ...]:
        """An open file is pickled as its path."""
        return open_source, (self.path,)

    @functools.cached_property
    def _positions(self) -> dict[str, list[int]]:
        positions: dict[str, list[int]] = {}
        for i, name in enumerate(self.names):
            positions.setdefault(name, []).append(i)
        return positions

    def position(self, name: str) -> int:
        """Which column, counted from 0, is called `name`; refuses names that are not there, or there twice."""
        found = self._positions.get(name)
        if found is None:
            raise no_such_column(name, self.names, self.path.name)
        if len(found) > 1:
            where = f"columns {found[0] + 1} and {found[1] + 1}"
            raise DataError(f"{self.path.name} must name its columns apart: {where} are both {name!r}; rename one")
        return found[0]

    def origin(self, name: str, start: int = 0) -> Origin:
        """A column of this file from row `start` on, in words."""
        what = f"column {shortened(name)} of {self.path.name}"
        return Origin(what, lambda row: self.places([start + row])[0], self.decimal)


@final
class ParquetFile(Source):
    """A Parquet file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = self._open(())
        self._schema = self._file.schema_arrow
        self.names = tuple(self._schema.names)

    def _open(self, labels: Sequence[str]) -> Any:
        try:
            # Buffered, unhurried reading holds a page or two; pre-buffering or mapping would hold whole row groups.
            return pq.ParquetFile(
                self.path, memory_map=False, buffer_size=1 << 20, pre_buffer=False, read_dictionary=list(labels)
            )
        except pa.ArrowException:
            raise _damaged(self.path, "a Parquet file") from None

    def read(self, names: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
        wanted = [*names, *labels]
        table = _reading(self.path, lambda: self._file.read(columns=wanted))
        return {name: table.column(name) for name in wanted}

    def batches(self, names: Sequence[str], labels: Sequence[str], rows: int) -> Iterator[Batch]:
        wanted = [*names, *labels]
        total = max(self._file.metadata.num_rows, 1)
        # Repeated labels are stored once; so they are read once.
        file = self._open([name for name in labels if self.kind(name) == "text"])
        pieces = file.iter_batches(batch_size=rows, columns=wanted, use_threads=False)
        seen = 0
        while (piece := _reading(self.path, lambda: next(pieces, None))) is not None:
            seen += piece.num_rows
            yield Batch({name: piece.column(name) for name in wanted}, seen / total)

    def places(self, rows: Sequence[int]) -> list[str]:
        return [f"row {row}" for row in rows]

    def kind(self, name: str) -> str:
        from surprax.data import arrow

        return arrow.kind(self._schema.field(self.position(name)).type)


@final
class ArrowFile(Source):
    """An Arrow IPC file or stream, which is also what Feather files are."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._schema = self._reader(pa.memory_map(str(path)))[0].schema
        except pa.ArrowException:
            raise _damaged(path, "an Arrow file") from None
        self.names = tuple(self._schema.names)

    def _reader(self, opened: Any, wanted: Sequence[str] = ()) -> tuple[Any, int | None]:
        """A reader of those columns (of all, for none), and how many batches it has where the format says so."""
        options = pa.ipc.IpcReadOptions(included_fields=[self.position(name) for name in wanted], use_threads=False)
        try:
            reader = pa.ipc.open_file(opened, options=options)
        except pa.ArrowInvalid:
            opened.seek(0)
            return pa.ipc.open_stream(opened, options=options), None
        return reader, reader.num_record_batches

    def read(self, names: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
        wanted = [*names, *labels]
        # Not mapped: the arrays outlive this call, and the file may be rewritten meanwhile.
        table = _reading(self.path, lambda: self._reader(pa.OSFile(str(self.path)), wanted)[0].read_all())
        return {name: table.column(name) for name in wanted}

    def batches(self, names: Sequence[str], labels: Sequence[str], rows: int) -> Iterator[Batch]:
        wanted = [*names, *labels]
        with self.path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        whole = pa.py_buffer(mapped)
        # Picking columns copies them, a batch at a time; else what is not compressed stays on disk until it is used.
        picked = () if _reading(self.path, lambda: self._on_disk(whole, wanted)) else wanted
        opened = pa.BufferReader(whole)
        reader, count = self._reader(opened, picked)
        pieces = iter(reader if count is None else (reader.get_batch(i) for i in range(count)))
        seen = 0
        while (piece := _reading(self.path, lambda: next(pieces, None))) is not None:
            seen += 1
            fraction = seen / count if count else opened.tell() / whole.size
            for start in range(0, piece.num_rows, rows):
                part = piece.slice(start, rows)
                yield Batch({name: part.column(name) for name in wanted}, fraction)
                if hasattr(mmap, "MADV_DONTNEED"):  # what was read stays in the system's cache, not in this process
                    mapped.madvise(mmap.MADV_DONTNEED)

    def _on_disk(self, whole: Any, wanted: Sequence[str]) -> bool:
        """Whether the columns of the first batch lie in the mapped file as they are, which compressed ones do not."""
        reader, count = self._reader(pa.BufferReader(whole))
        first = next(iter(reader), None) if count is None else reader.get_batch(0) if count else None
        return first is None or all(
            whole.address <= buffer.address < whole.address + whole.size
            for name in wanted
            for buffer in first.column(name).buffers()
            if buffer is not None
        )

    def places(self, rows: Sequence[int]) -> list[str]:
        return [f"row {row}" for row in rows]

    def kind(self, name: str) -> str:
        from surprax.data import arrow

        return arrow.kind(self._schema.field(self.position(name)).type)


def _csv(path: Path) -> Source:
    from surprax.data.delimited import CsvFile

    return CsvFile(path)


_FORMATS: dict[str, Callable[[Path], Source]] = {
    ".csv": _csv,
    ".csv.gz": _csv,
    ".tsv": _csv,
    ".tsv.gz": _csv,
    ".parquet": ParquetFile,
    ".pq": ParquetFile,
    ".arrow": ArrowFile,
    ".feather": ArrowFile,
    ".ipc": ArrowFile,
}


def open_source(path: PathLike) -> Source:
    """The file at `path`, opened as what its suffix says; refuses, in a sentence, what is no such file."""
    path = Path(path)
    try:
        if path.is_dir():
            inside = sorted(p.name for p in path.iterdir() if _suffix(p) in _FORMATS)
            hint = f"it has {quoted(inside, 3)}" if inside else "none in it has a suffix that is known here"
            raise DataError(f"{path} must be a file: it is a directory; name one file in it ({hint})")
        if not path.exists():
            raise DataError(f"There is no file {path}{_nearby(path)}; check the name and the folder")
        suffix = _suffix(path)
        if suffix not in _FORMATS:
            found = f"is {path.suffix!r}" if path.suffix else "is missing"
            raise DataError(
                f"{path.name} must end in one of {', '.join(_FORMATS)}: its suffix {found}; save it as one of these"
            )
        if path.stat().st_size == 0:
            raise DataError(f"{path.name} must hold a table: it is empty (0 bytes); check how it was written")
        return _FORMATS[suffix](path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"{path.name} must be readable: {reason.lower()}; check its permissions") from None


def _suffix(path: Path) -> str:
    name = path.name.lower()
    return next((s for s in sorted(_FORMATS, key=len, reverse=True) if name.endswith(s)), path.suffix.lower())


def _nearby(path: Path) -> str:
    """A file next to where this one should be whose name is almost the same."""
    if not path.parent.is_dir():
        return f" (and no folder {path.parent})"
    near = difflib.get_close_matches(path.name, [p.name for p in path.parent.iterdir()], n=1, cutoff=0.75)
    return f" (there is {near[0]!r})" if near else ""


def _damaged(path: Path, kind: str) -> DataError:
    return DataError(f"{path.name} must be {kind}, as its suffix says: it is not, or it is cut short; write it anew")


def _reading[T](path: Path, step: Callable[[], T]) -> T:
    """A step of reading, with what Arrow says about a damaged file in a sentence."""
    try:
        return step()
    except pa.ArrowNotImplementedError as error:
        raise DataError(
            f"{path.name} must be readable by Arrow: {_first_line(error)}; write it in a plainer form"
        ) from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path.name} must be whole: it is damaged ({_first_line(error)}); write it anew") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")
