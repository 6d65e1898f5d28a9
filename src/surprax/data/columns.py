"""Columns of numbers and of labels, out of whatever holds them: arrays, lists, and columns of any data frame."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from surprax.data.errors import DataError, Origin, are, it, quoted, shortened

__all__ = ["Column", "as_column", "as_groups", "refuse_infinite", "settle"]

_NOT_NUMBERS = {"U": "text", "S": "bytes", "T": "text", "c": "complex numbers", "M": "dates", "m": "durations"}


@final
@dataclass(frozen=True, eq=False, repr=False)
class Column:
    """A column of present, finite numbers (or, where labels were asked for, of labels), and what was dropped to get it.

    `values` is a 1-D array. `rows` holds the row each value came from, counting from 0, or None when nothing was
    dropped; `missing` counts what was dropped. NumPy and JAX take a column wherever they take an array.

    >>> column = Column.of([3, None, 5], "visits", drop_missing=True)
    >>> column.values, column.rows, column.missing
    (array([3, 5]), array([0, 2]), 1)
    """

    name: str
    values: np.ndarray
    rows: np.ndarray | None = None
    missing: int = 0

    @classmethod
    def of(cls, x: Any, name: str = "x", *, drop_missing: bool = False) -> "Column":
        """The numbers in `x`: what `as_column` takes, but missing values may be dropped, and are then counted.

        Missing are None, NaN, a data frame's null and a masked entry. Everything else that `as_column` refuses is
        refused here too.

        >>> Column.of([0.5, float("nan")], drop_missing=True)
        Column('x', 1 float64, 1 missing dropped)
        """
        origin = Origin.argument(name)
        values, missing = _numbers(x, origin)
        return settle(name, values, missing, origin, drop_missing=drop_missing)

    def __len__(self) -> int:
        return len(self.values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.values, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        kind = "labels" if self.values.dtype.kind in "UT" else str(self.values.dtype)
        dropped = f", {self.missing} missing dropped" if self.missing else ""
        return f"Column({self.name!r}, {len(self)} {kind}{dropped})"


def as_column(x: Any, name: str = "x") -> np.ndarray:
    """A 1-D array of the numbers in `x`, every one of them present and finite.

    `x` is a NumPy or JAX array, a list, a `Column`, or a column of a pandas, polars, pyarrow… data frame, of shape (n,)
    with n ≥ 1. Integers stay integers and keep their width, float32 and float64 stay what they are, half precision
    becomes float32, decimals become float64, booleans become 0 and 1. The result may share memory with `x`.

    Raises `DataError`, a `ValueError` whose one sentence says `name`, what was found and where, for: missing values
    (`Column.of` can drop them), infinite values, no values at all, text, dates, complex numbers, more than one column.

    >>> as_column([True, False, True])
    array([1, 0, 1])
    >>> as_column(np.float32([0.5, 1.5])).dtype
    dtype('float32')
    >>> as_column(["a"], "height")
    Traceback (most recent call last):
    surprax.data.errors.DataError: height must hold numbers: found the text 'a' at height[0]; correct or convert it
    """
    return Column.of(x, name).values


def as_groups(by: Any, name: str = "by") -> tuple[tuple[Hashable, ...], np.ndarray]:
    """The distinct labels in `by`, sorted, and for every row the position of its label among them.

    `by` is a 1-D array, a list, or a column of any data frame, of shape (n,) with n ≥ 1, that holds text, integers,
    booleans, dates or categories (of which only those that occur are listed). Returns the labels as a tuple of plain
    Python values and int32 codes of shape (n,), such that `labels[codes[i]] == by[i]`.

    Raises `DataError` for missing labels, no labels at all, labels of several kinds, more than one column.

    >>> labels, codes = as_groups(["b", "a", "b"])
    >>> labels, codes
    (('a', 'b'), array([1, 0, 1], dtype=int32))
    >>> [labels[code] for code in codes]
    ['b', 'a', 'b']
    """
    from surprax.data import arrow

    origin = Origin.argument(name)
    column = by.values if isinstance(by, Column) else _series_or_array(by, origin)
    labels, codes = arrow.encoded(column if arrow.is_arrow(column) else arrow.of_labels(column, origin))
    if len(codes) == 0:
        raise DataError(f"{name} must have at least one label: found none")
    missing = codes < 0
    if missing.any():
        raise _missing(missing, origin, "labels", "label {} or take such rows out")
    try:
        order = sorted(range(len(labels)), key=labels.__getitem__)
    except TypeError:
        kinds = sorted({type(label).__name__ for label in labels})
        raise DataError(
            f"{name} must hold labels of one kind: found {' and '.join(kinds)}; convert them to text"
        ) from None
    rank = np.empty(len(labels), np.int32)
    rank[order] = np.arange(len(labels), dtype=np.int32)
    return tuple(labels[i] for i in order), rank[codes]


def settle(name: str, values: np.ndarray, missing: np.ndarray | None, origin: Origin, *, drop_missing: bool) -> Column:
    """The column that is left when missing values are dropped or refused and infinite ones are refused.

    `missing` marks nulls (None: there are none); NaN is added to them.
    """
    count = len(values)
    if count == 0:
        raise DataError(f"{origin.what} must have at least one value: found none")
    missing = _all_missing(values, missing)
    if missing is not None:
        if missing.all():
            raise DataError(f"{origin.what} must have at least one value: found only missing ones, {count} of them")
        if not drop_missing:
            raise _missing(missing, origin, "values", "fill {} in or drop {} (drop_missing)")
    refuse_infinite(values, origin)
    if missing is None:
        return Column(name, values)
    rows = np.flatnonzero(~missing)
    return Column(name, values[rows], rows, count - len(rows))


def refuse_infinite(values: np.ndarray, origin: Origin) -> None:
    """Raise a `DataError` that names the first infinite value, if there is one; NaN passes."""
    if values.dtype.kind != "f" or not (infinite := np.isinf(values)).any():
        return
    first, bad = int(infinite.argmax()), int(infinite.sum())
    raise DataError(
        f"{origin.what} must be finite: {bad} of {len(values)} {are(bad)} infinite, "
        f"first at {origin.place(first)} ({values[first]}); correct or remove {it(bad)}"
    )


def _all_missing(values: np.ndarray, missing: np.ndarray | None) -> np.ndarray | None:
    """A mask of nulls and NaN; None where there is neither."""
    if values.dtype.kind == "f" and (nan := np.isnan(values)).any():
        missing = nan if missing is None else nan | missing
    return missing if missing is not None and missing.any() else None


def _missing(missing: np.ndarray, origin: Origin, things: str, remedy: str) -> DataError:
    count = int(missing.sum())
    return DataError(
        f"{origin.what} must have no missing {things}: {count} of {len(missing)} {are(count)} missing, "
        f"first at {origin.place(int(missing.argmax()))}; {remedy.replace('{}', it(count))}"
    )


def _series_or_array(x: Any, origin: Origin) -> Any:
    """A 1-D array, NumPy's or Arrow's, of what `x` holds."""
    if not isinstance(x, np.ndarray | np.generic | list | tuple | range | int | float | complex | str | bytes):
        x = _from_data_frame(x, origin)
    if not isinstance(x, np.ndarray):
        from_arrow = hasattr(x, "combine_chunks") or hasattr(x, "__arrow_c_array__")
        if from_arrow:
            return x
        try:
            x = _listed(x) if isinstance(x, list | tuple) else np.asarray(x)
        except (ValueError, TypeError):
            found = "rows of unequal length" if isinstance(x, list | tuple) else f"something of type {type(x).__name__}"
            raise DataError(f"{origin.what} must be one column: found {found}; pass an array or a list") from None
    if x.ndim == 0:
        value = x[()]
        single = isinstance(value, str | bytes | bool | int | float | complex | np.generic)
        value = value.item() if isinstance(value, np.generic) else value
        found = f"the single value {shortened(value)}" if single else f"something of type {type(value).__name__}"
        raise DataError(f"{origin.what} must be one column: found {found}; pass an array or a list of values")
    if x.ndim > 1:
        shape = f"an array of shape {x.shape}"
        raise DataError(
            f"{origin.what} must be one column: found {shape}; pass one column of it, as in {origin.what}[:, 0]"
        )
    return x


def _listed(x: list[Any] | tuple[Any, ...]) -> np.ndarray:
    """A list as an array, without NumPy's turning of numbers into text, or of wide integers into floats, on the way."""
    array = np.asarray(x)
    rounded = array.dtype.kind == "f" and array.ndim == 1 and all(isinstance(value, int) for value in x)
    return np.array(x, dtype=object) if array.dtype.kind in "US" or rounded else array


def _from_data_frame(x: Any, origin: Origin) -> Any:
    """A data frame's column as an array; anything that is no data frame comes back as it was."""
    import narwhals as nw

    native = nw.from_native(x, allow_series=True, pass_through=True)
    if isinstance(native, nw.DataFrame | nw.LazyFrame):
        names = native.collect_schema().names()
        remedy = f"pass one of them, as in {origin.what}[{names[0]!r}]" if names else "pass one with a column"
        raise DataError(f"{origin.what} must be one column: found a table with {quoted(names) or 'none'}; {remedy}")
    if not isinstance(native, nw.Series):
        return x
    plain = native.dtype.is_numeric() and native.null_count() == 0
    return native.to_numpy() if plain or native.dtype == nw.Object else native.to_arrow()


def _numbers(x: Any, origin: Origin) -> tuple[np.ndarray, np.ndarray | None]:
    """Numbers, and a mask of those that are missing where the container has one."""
    if isinstance(x, Column):
        x = x.values
    if np.ma.isMaskedArray(x):
        values, _ = _numbers(x.filled(0) if x.dtype.kind in "biuf" else x.data, origin)  # under a mask lies anything
        return values, np.ma.getmaskarray(x)
    array = _series_or_array(x, origin)
    if not isinstance(array, np.ndarray):
        from surprax.data import arrow

        return arrow.numbers(array, origin)
    return _from_objects(array, origin) if array.dtype.kind == "O" else (_standard(array, origin), None)


def _standard(array: np.ndarray, origin: Origin) -> np.ndarray:
    """The same numbers in one of NumPy's own numeric types, in this machine's byte order."""
    kind = array.dtype.kind
    if kind == "b":
        return array.astype(np.int64)
    if kind in "iu" or array.dtype in (np.float32, np.float64):
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    if kind == "f":
        return array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)
    if kind == "V":  # the small types of machine learning (bfloat16, int4 …) register as void
        for target in (np.int8, np.uint8, np.float32):
            if np.can_cast(array.dtype, target):
                return array.astype(target)
    found = _NOT_NUMBERS.get(kind, f"values of type {array.dtype}")
    if len(array) == 0:
        return np.empty(0)
    first = f"the text {shortened(str(array[0]))}" if found == "text" else f"{found} ({shortened(array[0])})"
    raise DataError(f"{origin.what} must hold numbers: found {first} at {origin.place(0)}; correct or convert it")


def _from_objects(array: np.ndarray, origin: Origin) -> tuple[np.ndarray, np.ndarray | None]:
    """Numbers out of Python objects, some of which may be missing."""
    objects = array.tolist()
    missing = np.array([_is_missing(value) for value in objects], dtype=bool)
    for row, value in enumerate(objects):
        if not missing[row] and not _is_number(value):
            kind = "the text" if isinstance(value, str) else f"a {type(value).__name__}"
            raise DataError(
                f"{origin.what} must hold numbers: found {kind} {shortened(value)} at {origin.place(row)}; "
                "correct or convert it"
            )
    present = [value for value, absent in zip(objects, missing) if not absent]
    whole = all(isinstance(value, int | np.integer) for value in present)
    try:
        filled = np.array(present, dtype=np.int64 if whole else np.float64)
    except OverflowError:
        filled = _wide_integers(present, missing, origin)
    values = np.zeros(len(objects), filled.dtype)
    values[~missing] = filled
    return values, missing


def _wide_integers(present: list[Any], missing: np.ndarray, origin: Origin) -> np.ndarray:
    """Integers beyond int64: exact as uint64, or refused, because float64 would round them."""
    for row, value in zip(np.flatnonzero(~missing), present):
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            what = f"found {shortened(value)} at {origin.place(int(row))}"
            raise DataError(f"{origin.what} must fit 64 bits: {what}; pass floats where rounding is fine")
    if min(present) < 0:
        raise DataError(f"{origin.what} must fit one 64-bit type: found both negative numbers and {max(present)}")
    return np.array(present, dtype=np.uint64)


def _is_missing(value: Any) -> bool:
    nan = isinstance(value, float | np.floating) and bool(value != value)
    return value is None or nan or type(value).__name__ in ("NAType", "NaTType")


def _is_number(value: Any) -> bool:
    if isinstance(value, bool | int | float) or type(value).__name__ in ("Decimal", "Fraction"):
        return True
    # NumPy's scalars, and arrays without dimensions (JAX's, say).
    return getattr(value, "ndim", None) == 0 and np.asarray(value).dtype.kind in "biuf"
