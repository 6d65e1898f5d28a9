"""CSV and TSV files: what separates their fields, where their header ends, and which line a value stands in."""

import collections
import contextlib
import csv
import gzip
import io
import itertools
import re
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from surprax.data import arrow
from surprax.data.errors import DataError, no_rows, shortened
from surprax.data.sources import Batch, Source

__all__ = ["CsvFile"]

_HEAD = 1 << 22  # bytes looked at to find out the format; a line must fit
_BLOCK = 1 << 22
_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_DECIMAL_COMMA = re.compile(r'(^|[;\t|])\s*"?[-+]?\d+,\d+"?\s*($|[;\t|])', re.MULTILINE)
_DECIMAL_POINT = re.compile(r'(^|[;\t|])\s*"?[-+]?\d+\.\d+"?\s*($|[;\t|])', re.MULTILINE)


@final
class CsvFile(Source):
    """A text file of separated fields with column names in its first line.

    The separator is the one of comma, semicolon, tab and bar that cuts the first lines into equally many fields;
    where it is not the comma and numbers are written 1,5, the comma is taken for the decimal sign. Fields may be
    quoted, and then hold separators and line ends. Empty lines are no rows, except between the rows of a file with
    one column, where they are missing values. Missing are the empty field, NA, N/A, NaN, NULL and their like.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zipped = path.name.lower().endswith(".gz")
        text = self._head()
        is_tsv = path.name.lower().removesuffix(".gz").endswith(".tsv")
        try:
            self._separator = "\t" if is_tsv else _separator(text)
            self.names, self._header_lines = self._header(text)
        except csv.Error as error:
            raise DataError(f"{path.name} must be a CSV file: it does not begin as one ({error})") from None
        comma = self._separator != "," and bool(_DECIMAL_COMMA.search(text)) and not _DECIMAL_POINT.search(text)
        self.decimal = "," if comma else "."
        separated = () if is_tsv or self._separator == "," else (f"{_SEPARATORS[self._separator]}-separated",)
        self.assumed = separated + (("decimal comma",) if comma else ())

    def read(self, names: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
        keys = self._keys([*names, *labels])
        types = {keys[name]: pa.string() for name in labels}
        with self._bytes() as stream:
            conversion = self._conversion(keys.values(), types)
            table = self._parsing(lambda: pa.csv.read_csv(stream, *self._options(), conversion))
            self._check_quotes(stream)
        return {name: table.column(key) for name, key in keys.items()}

    def batches(self, names: Sequence[str], labels: Sequence[str], rows: int) -> Iterator[Batch]:
        # Arrow settles on types by the first block. Where a later block has 1.5 among whole numbers, the file is opened
        # again with wider types, and what has been handed on already is passed over.
        keys = self._keys([*names, *labels])
        text = {keys[name]: pa.string() for name in labels}
        types: dict[str, Any] = {}
        done = 0
        while True:
            seen = 0
            with self._bytes() as stream, contextlib.closing(self._pieces(stream, keys, text | types)) as pieces:
                try:
                    for piece in pieces:
                        start, seen = seen, seen + piece.num_rows
                        types = {key: _settled(piece.schema.field(key).type) for key in keys.values() - text.keys()}
                        if seen > done:
                            piece = piece.slice(max(0, done - start))
                            done = seen
                            yield Batch({name: piece.column(key) for name, key in keys.items()}, stream.fraction())
                    self._check_quotes(stream)
                    return
                except _WrongTypeError:
                    narrow = [key for key, type_ in types.items() if not pa.types.is_float64(type_)]
                    if not narrow:
                        raise self._text_among_numbers(names) from None
                    types |= dict.fromkeys(narrow, pa.float64())

    def places(self, rows: Sequence[int]) -> list[str]:
        wanted = set(rows)
        lines: dict[int, int] = {}
        if wanted:
            last = max(wanted)
            for row, (line, _) in enumerate(self._records()):
                if row in wanted:
                    lines[row] = line
                if row >= last:
                    break
        return [f"line {lines[row]}" if row in lines else f"row {row}" for row in rows]

    def kind(self, name: str) -> None:
        self.position(name)

    def _keys(self, names: Sequence[str]) -> dict[str, str]:
        """Columns by position, which is unambiguous where names are not."""
        return {name: str(self.position(name)) for name in names}

    def _options(self) -> tuple[Any, Any]:
        one = len(self.names) == 1
        return (
            pa.csv.ReadOptions(
                column_names=[str(i) for i in range(len(self.names))], skip_rows=self._header_lines, block_size=_BLOCK
            ),
            pa.csv.ParseOptions(delimiter=self._separator, newlines_in_values=True, ignore_empty_lines=not one),
        )

    def _conversion(self, keys: Any, types: dict[str, Any]) -> Any:
        return pa.csv.ConvertOptions(
            include_columns=list(keys), column_types=types, decimal_point=self.decimal, strings_can_be_null=True
        )

    def _bytes(self) -> "_Bytes":
        return _Bytes(self.path, zipped=self._zipped, trimmed=len(self.names) == 1)

    def _pieces(self, stream: "_Bytes", keys: dict[str, str], types: dict[str, Any]) -> Generator[Any]:
        """Blocks of rows; a value that does not fit the type of its column raises `_WrongTypeError`."""
        conversion = self._conversion(keys.values(), types)
        reader = self._parsing(lambda: pa.csv.open_csv(stream, *self._options(), conversion), types)
        try:
            while (piece := self._parsing(lambda: next(reader, None), types)) is not None:
                yield piece
        finally:
            reader.close()  # before the stream under it, which another thread may still be reading ahead

    def _parsing[T](self, step: Callable[[], T], types: dict[str, Any] | None = None) -> T:
        """A step of reading, with Arrow's complaint as a sentence that names the line."""
        try:
            return step()
        except pa.ArrowInvalid as error:
            message = str(error)
        except (gzip.BadGzipFile, EOFError, zlib.error):
            raise DataError(f"{self.path.name} must be a whole gzip file: it is damaged or cut short") from None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DataError(f"{self.path.name} must be readable: {reason}") from None
        if "Empty CSV" in message or "Could not skip" in message:
            raise no_rows(self.path.name)
        if "invalid UTF8" in message:
            raise DataError(f"{self.path.name} must be UTF-8 text: a label in it is not; save it anew as CSV in UTF-8")
        if "conversion error" in message and types is not None:
            raise _WrongTypeError
        fault = self._ragged() or self._open_quote()
        raise fault or DataError(f"{self.path.name} must be a CSV file: {message.splitlines()[0]}")

    # The header and the format.

    def _head(self) -> str:
        """The first lines as text."""
        with _Bytes(self.path, zipped=self._zipped) as stream:
            head = self._parsing(lambda: stream.read(_HEAD))
        if not head.strip(b"\xef\xbb\xbf \t\r\n"):
            raise DataError(f"{self.path.name} must hold a table: it is empty; check how it was written")
        if b"\0" in head[:1024]:
            raise DataError(f"{self.path.name} must be UTF-8 text: it holds other bytes; save it anew as CSV in UTF-8")
        if len(head) == _HEAD:
            head = head[: max(head.rfind(b"\n"), head.rfind(b"\r")) + 1] or head
        return head.decode("utf-8-sig", errors="replace")

    def _header(self, text: str) -> tuple[tuple[str, ...], int]:
        """Column names, and how many lines of the file they and the empty lines before them take."""
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=self._separator, skipinitialspace=True)
        fields = next((record for record in reader if any(field.strip() for field in record)), ["\ufffd"])
        if "\ufffd" in "".join(fields):
            raise DataError(f"{self.path.name} must be UTF-8 text: its header is not; save it anew as CSV in UTF-8")
        names = [field.strip() for field in fields]
        if all(_is_number(name) for name in names):
            first = self._separator.join(names)
            raise DataError(
                f"{self.path.name} must begin with column names: found numbers in its first line ({shortened(first)}); "
                "add a line of names above it"
            )
        # An index that was written along has no name; this is what data frames call it.
        return tuple(name or f"Unnamed: {i}" for i, name in enumerate(names)), reader.line_num

    # Faults, found by reading again with Python's parser, which knows its line numbers.

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Rows as lists of fields, each with the number of the line it begins in."""
        with _Bytes(self.path, zipped=self._zipped, trimmed=len(self.names) == 1) as stream:
            lines = io.TextIOWrapper(io.BufferedReader(stream, _BLOCK), "utf-8", errors="replace", newline="")
            reader = csv.reader(lines, delimiter=self._separator)
            line = 1
            try:
                for record in reader:
                    start, line = line, reader.line_num + 1
                    if start > self._header_lines and (record or len(self.names) == 1):
                        yield start, record or [""]
            except csv.Error:  # a field longer than Python's parser takes: rows after it have no line numbers here
                return

    def _ragged(self) -> DataError | None:
        """The first row that has more or fewer fields than the header."""
        expected = len(self.names)
        for line, record in self._records():
            if len(record) != expected:
                spans = " (is a quote left open there?)" if any("\n" in field for field in record) else ""
                fields = f"{len(record)} field" + "s" * (len(record) != 1)
                return DataError(
                    f"{self.path.name} must have equally many fields in every line: line {line} has {fields}, "
                    f"the header {expected}{spans}; correct that line"
                )
        return None

    def _check_quotes(self, stream: "_Bytes") -> None:
        """Refuse a quote that is never closed: it swallows every row after it in silence."""
        if stream.odd_quotes and (error := self._open_quote()):
            raise error

    def _open_quote(self) -> DataError | None:
        """The last row, if it is one that runs over several lines to the end of a file whose quotes do not pair up."""
        with self._bytes() as stream:
            while stream.read(_BLOCK):
                pass
            if not stream.odd_quotes:
                return None
        last = collections.deque(self._records(), maxlen=1)
        if not last or not any("\n" in field or "\r" in field for field in last[0][1]):
            return None
        return DataError(
            f"{self.path.name} must close every quote: one that opens in line {last[0][0]} is still open at the end; "
            "correct that line"
        )

    def _text_among_numbers(self, names: Sequence[str]) -> DataError:
        """The first value in one of these columns that is no number."""
        for name in names:
            key = str(self.position(name))
            with self._bytes() as stream:
                row = 0
                for piece in self._pieces(stream, {name: key}, {key: pa.string()}):
                    column = piece.column(key)
                    if not _castable(column, self.decimal):
                        found = arrow.first_text(column, self.decimal)
                        if found is not None:
                            place = self.places([row + found[0]])[0]
                            return DataError(
                                f"column {shortened(name)} of {self.path.name} must hold numbers: found the text "
                                f"{shortened(found[1])} at {place}; correct or convert it"
                            )
                    row += piece.num_rows
        return DataError(f"{self.path.name} must hold numbers in {', '.join(names)}; correct or convert them")


class _WrongTypeError(Exception):
    """A value does not fit the type that the first block gave its column."""


@final
class _Bytes(io.RawIOBase):
    """The bytes of a file, unzipped, and what reading them shows in passing: how far it got, whether quotes pair up.

    `trimmed` leaves out empty lines at the end.
    """

    def __init__(self, path: Path, *, zipped: bool, trimmed: bool = False) -> None:
        super().__init__()
        self._raw = path.open("rb", buffering=0)
        self._size = max(path.stat().st_size, 1)
        self._file: Any = gzip.GzipFile(fileobj=self._raw) if zipped else self._raw
        self._trimmed = trimmed
        self._ready = b""  # to be handed on
        self._held = b""  # white space that may turn out to be the end
        self.odd_quotes = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(_BLOCK), b""))
        while len(self._ready) < size:  # Arrow takes a short read for a block, and a line may span two of them only
            data = self._file.read(size)
            if not data:
                break
            if data.count(b'"') % 2:
                self.odd_quotes = not self.odd_quotes
            body = data.rstrip(b" \t\r\n") if self._trimmed else data
            if body:
                self._ready += self._held + body
                self._held = data[len(body) :]
            else:
                self._held += data
        out, self._ready = self._ready[:size], self._ready[size:]
        return out

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def fraction(self) -> float:
        """How much of the file has been read, in [0, 1]."""
        return min(self._raw.tell() / self._size, 1.0)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
            self._raw.close()
        super().close()


def _separator(text: str) -> str:
    """What cuts most of the first lines into as many fields, two or more, as the header; else the comma."""
    lines = [line for line in itertools.islice(io.StringIO(text, newline=""), 50) if line.strip()]

    def agreeing(separator: str) -> tuple[int, int]:
        counts = [len(record) for record in csv.reader(lines, delimiter=separator) if record] or [0]
        return (sum(count == counts[0] for count in counts) if counts[0] > 1 else 0, counts[0])

    best = max(_SEPARATORS, key=agreeing)
    return best if agreeing(best)[0] > 0 else ","


def _settled(type_: Any) -> Any:
    """The type to hold a column to, by its first block: where all was missing, whole numbers may still come."""
    return pa.int64() if pa.types.is_null(type_) else type_


def _castable(column: Any, decimal: str) -> bool:
    text = pc.utf8_trim_whitespace(column)
    if decimal == ",":
        text = pc.replace_substring(text, ",", ".")
    try:
        text.cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.lower() not in ("nan", "inf", "infinity")
