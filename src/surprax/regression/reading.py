"""One column of whatever holds it, as numbers or as codes into labels, with a mask of what is missing."""

from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from surprax.data import arrow
from surprax.data.columns import Column, as_column, refuse_infinite
from surprax.data.errors import DataError, Origin, are, it, shortened
from surprax.regression.encoding import narrowest

__all__ = ["Raw", "read_raw"]


@final
@dataclass(frozen=True, eq=False)
class Raw:
    """A column as read: numbers, or codes where there are labels; `missing` marks missing values (None: there are none).

    Labels that were `declared`, as categories, stay where no row has them; others do not.
    """

    values: np.ndarray
    labels: np.ndarray | None = None
    missing: np.ndarray | None = None
    declared: bool = True

    def rows(self, picked: np.ndarray) -> "Raw":
        """Some rows, of which none is missing."""
        values = self.values[picked]
        if self.labels is None or self.declared:
            return Raw(values, self.labels)
        kept = np.flatnonzero(np.bincount(values, minlength=len(self.labels)))
        rank = np.zeros(len(self.labels), np.intp)
        rank[kept] = np.arange(len(kept))
        return Raw(narrowest(rank, len(kept))[values], self.labels[kept], declared=False)

    def refusal(self, origin: Origin) -> DataError:
        """The sentence that refuses the missing values."""
        assert self.missing is not None
        count = int(self.missing.sum())
        if count == len(self.missing):
            return DataError(f"{origin.what} must have at least one value: found only missing ones, {count} of them")
        rows = [origin.place(int(row)) for row in np.flatnonzero(self.missing)[:3]]
        more = " …" if count > 3 else ""
        return DataError(
            f"{origin.what} must have no missing values: {count} of {len(self.missing)} {are(count)} missing, "
            f"at {', '.join(rows)}{more}; fill {it(count)} in or drop {it(count)} (drop_missing)"
        )


def read_raw(x: Any, origin: Origin) -> Raw:
    """What the column `x` holds; refuses, in a sentence, dates, mixed kinds, infinite numbers and what is no column."""
    if isinstance(x, Column):
        x = x.values
    if isinstance(x, np.ma.MaskedArray):
        raw = read_raw(x.filled(0) if x.dtype.kind in "biuf" else x.data, origin)
        mask = np.ma.getmaskarray(x)
        return Raw(raw.values, raw.labels, _either(mask, raw.missing), raw.declared)
    x = x if isinstance(x, np.ndarray) or arrow.is_arrow(x) else _native(x, origin)
    if isinstance(x, Raw):
        return x
    if isinstance(x, np.ndarray):
        if x.ndim != 1:
            raise DataError(
                f"{origin.what} must be one column: found an array of shape {x.shape}; pass one column of it"
            )
        if x.dtype.kind in "biuf":
            return _numbers(x.astype(x.dtype.newbyteorder("="), copy=False), None, origin)
        if x.dtype.kind in "cV":  # the small types of machine learning register as void
            return _numbers(as_column(x, origin.what), None, origin)
        x = pa.array(x) if x.dtype.kind in "UMm" else arrow.of_labels(x, origin)
    return _from_arrow(x, origin)


def _native(x: Any, origin: Origin) -> Any:
    """An array of NumPy's or Arrow's out of a series, a list or something like an array."""
    if isinstance(x, list | tuple | range):
        try:
            return pa.array(x, from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError):
            return arrow.of_labels(_objects(list(x)), origin)
    if hasattr(x, "combine_chunks") or hasattr(x, "__arrow_c_array__"):
        return pa.array(x)
    if hasattr(x, "codes") and hasattr(x, "categories"):  # pandas.Categorical
        return _coded(np.asarray(x.codes), _labels(list(x.categories)))
    import narwhals as nw

    series = nw.from_native(x, allow_series=True, pass_through=True)
    if not isinstance(series, nw.Series):
        array = np.asarray(x)
        if array.ndim == 0:
            raise DataError(f"{origin.what} must be one column: found {type(x).__name__} {shortened(x)}; pass an array")
        return array
    native = series.to_native()
    if hasattr(native, "cat") and hasattr(native.cat, "codes"):  # pandas, whose series would copy them
        return _coded(np.asarray(native.array.codes), _labels(list(native.cat.categories)))
    kind = getattr(native, "dtype", None)
    if isinstance(kind, np.dtype) and kind.kind in "biuf":  # where what is missing is NaN
        return native.to_numpy()
    if series.dtype == nw.Boolean or series.dtype.is_numeric():
        if series.null_count() == 0:
            return series.to_numpy()
        return series.to_arrow()
    if series.dtype == nw.Object:
        return series.to_numpy()
    return series.to_arrow()


def _labels(labels: list[Any]) -> np.ndarray:
    """Labels as an array: of numbers, where all are, or else of objects."""
    array = np.asarray(labels) if all(isinstance(one, bool | int | float | np.generic) for one in labels) else None
    return array if array is not None and array.dtype.kind in "biuf" else _objects(labels)


def _objects(labels: list[Any]) -> np.ndarray:
    out = np.empty(len(labels), object)
    out[:] = labels
    return out


def _numbers(values: np.ndarray, missing: np.ndarray | None, origin: Origin) -> Raw:
    if values.dtype.kind == "f" and len(values) and not np.isfinite(values.sum()):
        nan = np.isnan(values)
        missing = _either(missing, nan if nan.any() else None)
        refuse_infinite(values, origin)
    return Raw(values, None, missing)


def _either(one: np.ndarray | None, other: np.ndarray | None) -> np.ndarray | None:
    mask = one if other is None else other if one is None else one | other
    return mask if mask is not None and mask.any() else None


def _coded(codes: np.ndarray, labels: np.ndarray) -> Raw:
    if not len(codes) or codes.min() >= 0:
        return Raw(narrowest(codes, len(labels)), labels)
    missing = codes < 0
    return Raw(narrowest(np.where(missing, 0, codes), len(labels)), labels, missing)


def _from_arrow(array: Any, origin: Origin) -> Raw:
    type_ = array.type
    if pa.types.is_dictionary(type_):
        if isinstance(array, pa.ChunkedArray):
            array = array.unify_dictionaries().combine_chunks()
            array = array.chunk(0) if isinstance(array, pa.ChunkedArray) else array
        labels = array.dictionary.to_pylist()
        if None not in labels and len(set(labels)) == len(labels):
            return _coded(_indices(array), _labels(labels))
        array = array.dictionary_decode()
        type_ = array.type
    found = arrow.kind(type_)
    if pa.types.is_boolean(type_):
        missing = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
        return Raw(pc.fill_null(array, False).to_numpy(zero_copy_only=False).astype(bool), None, missing)
    if found in ("numbers", "nothing"):
        return _numbers(*arrow.numbers(array, origin), origin)
    if found != "text":
        raise _not_usable(array, found, origin)
    encoding = array.dictionary_encode()
    if isinstance(encoding, pa.ChunkedArray):
        encoding = encoding.unify_dictionaries().combine_chunks()
        encoding = encoding.chunk(0) if isinstance(encoding, pa.ChunkedArray) else encoding
    labels = encoding.dictionary.to_pylist()
    order = sorted(range(len(labels)), key=labels.__getitem__)
    place = np.empty(len(order) + 1, np.int32)
    place[order] = np.arange(len(order))
    place[-1] = -1
    return replace(_coded(place[_indices(encoding)], _objects([labels[i] for i in order])), declared=False)


def _indices(array: Any) -> np.ndarray:
    """Indices into a dictionary, −1 for null."""
    indices = array.indices
    if indices.null_count:
        indices = pc.fill_null(indices.cast(pa.int32()), -1)
    return indices.to_numpy(zero_copy_only=False)


def _not_usable(array: Any, found: str, origin: Origin) -> DataError:
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    row = int(valid.argmax())
    first = f", first {shortened(array[row].as_py())} at {origin.place(row)}" if valid.any() else ""
    remedy = (
        "count them from a start, or turn them into text" if "dates" in found or "times" in found else "convert them"
    )
    return DataError(f"{origin.what} must hold numbers, text or categories: found {found}{first}; {remedy}")
