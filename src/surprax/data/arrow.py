"""Arrow's columns as NumPy's: the types that are numbers, the words for those that are not, labels as codes."""

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from surprax.data.errors import DataError, Origin, quoted, shortened

__all__ = ["encoded", "first_text", "is_arrow", "kind", "labels", "numbers", "of_labels", "whole"]

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")


def is_arrow(x: object) -> bool:
    """Whether `x` is one column of Arrow's."""
    return isinstance(x, pa.Array | pa.ChunkedArray)


def kind(type_: pa.DataType) -> str:
    """What a type holds, in a word; `numbers`, `nothing` and `text` are the ones that others ask for.

    >>> kind(pa.int8()), kind(pa.dictionary(pa.int32(), pa.string())), kind(pa.date32())
    ('numbers', 'text', 'dates')
    """
    is_ = pa.types
    if is_.is_dictionary(type_):
        return kind(type_.value_type)
    if is_.is_integer(type_) or is_.is_floating(type_) or is_.is_boolean(type_) or is_.is_decimal(type_):
        return "numbers"
    if is_.is_null(type_):
        return "nothing"
    if is_.is_string(type_) or is_.is_large_string(type_) or is_.is_string_view(type_):
        return "text"
    if is_.is_date(type_) or is_.is_timestamp(type_):
        return "dates"
    if is_.is_time(type_):
        return "times of day"
    if is_.is_duration(type_) or is_.is_interval(type_):
        return "durations"
    if is_.is_nested(type_):
        return "lists or records"
    if "binary" in str(type_):
        return "bytes"
    return f"values of type {type_}"


def numbers(array: Any, origin: Origin) -> tuple[np.ndarray, np.ndarray | None]:
    """The numbers of an Arrow column and a mask of its nulls (None: it has none); a mask's values are zero or NaN."""
    array = _flat(array)
    found = kind(array.type)
    if found == "nothing":
        return np.zeros(len(array)), np.ones(len(array), dtype=bool)
    if found != "numbers":
        raise _not_numbers(array, found, origin)
    missing = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int64())
    elif pa.types.is_decimal(array.type):
        array = array.cast(pa.float64())
    elif pa.types.is_float16(array.type):
        array = array.cast(pa.float32())
    if missing is not None:
        array = pc.fill_null(array, pa.scalar(0, array.type))
    return array.to_numpy(zero_copy_only=False), missing


def labels(array: Any, origin: Origin) -> tuple[np.ndarray, np.ndarray | None]:
    """The labels of an Arrow column, and a mask of its nulls (None: it has none); text loses the blanks around it."""
    array = _flat(array)
    found = kind(array.type)
    if found in ("lists or records", "bytes"):
        raise DataError(f"{origin.what} must hold labels (text, numbers or dates): found {found}; name another column")
    missing = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    if found == "nothing":
        return np.zeros(len(array)), missing
    if found == "text":
        text = pc.fill_null(pc.utf8_trim_whitespace(array.cast(pa.string())), "")
        blank = pc.equal(text, "").to_numpy(zero_copy_only=False)
        return np.asarray(text.to_pylist(), dtype=np.str_), blank if blank.any() else None
    if found == "numbers":
        return numbers(array, origin)
    return array.to_numpy(zero_copy_only=False), missing


def of_labels(values: np.ndarray, origin: Origin) -> Any:
    """An array of labels as an Arrow column, in which None and NaN are null."""
    try:
        if values.dtype.kind in "UST":
            return pa.array(values.tolist())
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError):
        kinds = sorted({type(value).__name__ for value in values.tolist() if value is not None})
        what = f"found {quoted(kinds)}" if kinds else "found none"
        raise DataError(f"{origin.what} must hold labels of one kind, text, whole numbers or dates: {what}") from None


def encoded(array: Any) -> tuple[list[Any], np.ndarray]:
    """The distinct labels that occur in a column, and int32 codes into them; −1 where one is missing."""
    array = _whole(array)
    if pa.types.is_dictionary(array.type) and array.dictionary.null_count == 0:
        names, codes = array.dictionary.to_pylist(), _codes(array.indices)
        if len(set(names)) == len(names):
            used = np.flatnonzero(np.bincount(codes + 1, minlength=len(names) + 1)[1:])
            rank = np.full(len(names) + 1, -1, np.int32)
            rank[used] = np.arange(len(used), dtype=np.int32)
            return [names[i] for i in used], rank[codes]
    array = _flat(array)
    if pa.types.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    if pa.types.is_null(array.type):
        return [], np.full(len(array), -1, np.int32)
    encoding = array.dictionary_encode()
    return encoding.dictionary.to_pylist(), _codes(encoding.indices)


def _codes(indices: Any) -> np.ndarray:
    """Indices into a dictionary as int32, −1 for null."""
    return pc.fill_null(indices.cast(pa.int32()), -1).to_numpy(zero_copy_only=False)


def whole(labels: list[Any]) -> list[Any]:
    """Text labels as integers, if each is one in plain digits; 007 is not, because its zeros may mean something.

    >>> whole(["10", "9", "-1"]), whole(["10", "09"])
    ([10, 9, -1], ['10', '09'])
    """
    plain = all(isinstance(label, str) and _WHOLE.fullmatch(label) for label in labels)
    return [int(label) for label in labels] if plain else labels


def first_text(array: Any, decimal: str = ".") -> tuple[int, str] | None:
    """The first value of a text column that is no number, and its row; the first value at all if every one is."""
    fallback: tuple[int, str] | None = None
    for row, value in enumerate(_flat(array)):
        text = value.as_py()
        if text is None:
            continue
        if fallback is None:
            fallback = row, text
        if not _is_numeral(text.replace(decimal, ".")):
            return row, text
    return fallback


def _is_numeral(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def _flat(array: Any) -> Any:
    """One contiguous array, without chunks and without dictionary."""
    array = _whole(array)
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _whole(array: Any) -> Any:
    """One contiguous array, without chunks."""
    if not is_arrow(array):
        array = pa.array(array)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks() if array.num_chunks != 1 else array.chunk(0)
    if isinstance(array, pa.ChunkedArray):  # what combine_chunks leaves when there was no chunk at all
        array = pa.array([], array.type)
    return array


def _not_numbers(array: Any, found: str, origin: Origin) -> DataError:
    if found == "text":
        first = first_text(array, origin.decimal)
        if first is None:
            found = f"found only missing ones, {len(array)} of them"
            return DataError(f"{origin.what} must have at least one value: {found}")
        row, text = first
        return DataError(
            f"{origin.what} must hold numbers: found the text {shortened(text)} at {origin.place(row)}; "
            "correct or convert it"
        )
    present = array.is_valid().to_numpy(zero_copy_only=False)
    row = int(present.argmax()) if len(present) else 0
    example = f", first at {origin.place(row)} ({shortened(array[row].as_py())})" if len(present) else ""
    return DataError(f"{origin.what} must hold numbers: found {found}{example}; convert them")
