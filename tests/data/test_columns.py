"""Columns: whatever holds numbers gives the same array, and what cannot be used is refused in one sentence."""

import datetime as dt
import decimal
import fractions

import jax.numpy as jnp
import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surprax.data import Column, DataError, as_column, as_groups

NAN = float("nan")

HOLDERS = {
    "list": list,
    "tuple": tuple,
    "numpy": np.asarray,
    "numpy, every other": lambda v: np.repeat(np.asarray(v), 2)[::2],
    "numpy, other byte order": lambda v: np.asarray(v).astype(np.asarray(v).dtype.newbyteorder()),
    "objects": lambda v: np.asarray(v, dtype=object),
    "pandas": pd.Series,
    "pandas, index out of order": lambda v: pd.Series(v, index=list(range(len(v)))[::-1]),
    "polars": pl.Series,
    "arrow": pa.array,
    "arrow, chunked": lambda v: pa.chunked_array([pa.array(v[:1]), pa.array(v[1:])]),
    "narwhals": lambda v: nw.from_native(pl.Series(v), series_only=True),
    "column": Column.of,
}


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("values", [[3, -1, 2], [0.5, 1.5, 1e300], [2**53 + 1, 0, 5]])
def test_every_holder_gives_the_same_array(holder, values):
    got = as_column(HOLDERS[holder](values))
    assert isinstance(got, np.ndarray)
    assert got.dtype == (np.int64 if isinstance(values[0], int) else np.float64)
    assert got.dtype.isnative
    assert got.tolist() == values


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64, np.float32, np.float64])
@pytest.mark.parametrize("holder", [np.asarray, pd.Series, lambda v: pl.Series(v), pa.array])
def test_types_are_kept(dtype, holder):
    got = as_column(holder(np.array([1, 2], dtype)))
    assert got.dtype == dtype
    assert got.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("x", "dtype", "values"),
    [
        ([True, False], np.int64, [1, 0]),
        (pd.Series([True, False], dtype="boolean"), np.int64, [1, 0]),
        (pl.Series([True, False]), np.int64, [1, 0]),
        (np.float16([0.5, 2.0]), np.float32, [0.5, 2.0]),
        (np.array([0.5, 2.0], np.longdouble), np.float64, [0.5, 2.0]),
        ([decimal.Decimal("0.5"), 2], np.float64, [0.5, 2.0]),
        ([fractions.Fraction(1, 2)], np.float64, [0.5]),
        (pa.array([decimal.Decimal("1.50")]), np.float64, [1.5]),
        (pd.Series([3, 1], dtype="category"), np.int64, [3, 1]),
        (pd.Series([2, 1], dtype="Int8"), np.int8, [2, 1]),
        (range(3), np.int64, [0, 1, 2]),
        ([np.float32(0.5), 2], np.float64, [0.5, 2.0]),
        ([2**63], np.uint64, [2**63]),
        (pl.Series([2**64 - 1], dtype=pl.UInt64), np.uint64, [2**64 - 1]),
    ],
)
def test_conversions(x, dtype, values):
    got = as_column(x)
    assert got.dtype == dtype
    assert got.tolist() == values


def test_jax_arrays():
    assert as_column(jnp.asarray([1.5, 2.5], jnp.float32)).dtype == np.float32
    assert as_column(jnp.asarray([1.5], jnp.bfloat16)).tolist() == [1.5]
    assert as_column([jnp.asarray(1.0), jnp.asarray(2.0)]).tolist() == [1.0, 2.0]
    assert jnp.asarray(Column.of([1.5, 2.5])).tolist() == [1.5, 2.5]


REFUSED = {
    "none in a list": ([1, None, 3], "1 of 3 is missing, first at x[1]; fill it in or drop it (drop_missing)"),
    "nan": (np.array([NAN, 1.0, NAN]), "2 of 3 are missing, first at x[0]; fill them in or drop them (drop_missing)"),
    "pandas nan": (pd.Series([1, None]), "1 of 2 is missing, first at x[1]"),
    "pandas NA": (pd.Series([None, 1], dtype="Int64"), "first at x[0]"),
    "pandas NA in a list": ([1.0, pd.NA], "first at x[1]"),
    "polars null": (pl.Series([1, None]), "first at x[1]"),
    "polars nan": (pl.Series([1.0, NAN]), "first at x[1]"),
    "arrow null": (pa.array([1, None]), "first at x[1]"),
    "masked": (np.ma.array([1, 2, 3], mask=[0, 1, 0]), "first at x[1]"),
    "infinite": (
        [1.0, np.inf, -np.inf],
        "x must be finite: 2 of 3 are infinite, first at x[1] (inf); correct",
    ),
    "all missing": ([None, NAN], "x must have at least one value: found only missing ones, 2 of them"),
    "empty list": ([], "x must have at least one value: found none"),
    "empty arrow": (pa.array([], pa.int64()), "x must have at least one value: found none"),
    "text": (["1.5", "2"], "x must hold numbers: found the text '1.5' at x[0]; correct or convert it"),
    "text late": ([1, "b"], "found the text 'b' at x[1]"),
    "long text": (["a" * 100], f"found the text '{'a' * 29}…' at x[0]"),
    "text, pandas": (pd.Series(["1", "b"]), "found the text 'b' at x[1]"),
    "text, polars": (pl.Series([None, "b"]), "found the text 'b' at x[1]"),
    "text, objects": (pd.Series([1, "b"], dtype=object), "found the text 'b' at x[1]"),
    "bytes": (np.array([b"a"]), "found bytes (b'a') at x[0]"),
    "dates": (np.array(["2000-01-01"], "M8[D]"), "found dates (2000-01-01) at x[0]"),
    "dates, list": ([dt.date(2000, 1, 1)], "found a date 2000-01-01 at x[0]"),
    "dates, polars": (pl.Series([None, dt.date(2000, 1, 1)]), "found dates, first at x[1] (2000-01-01); convert them"),
    "durations": (pl.Series([dt.timedelta(1)]), "found durations"),
    "complex": ([1 + 2j], "found complex numbers ((1+2j)) at x[0]"),
    "lists": (pl.Series([[1], [2]]), "found lists or records"),
    "two dimensions": (np.ones((2, 3)), "x must be one column: found an array of shape (2, 3); pass one column of it"),
    "ragged": ([[1], [1, 2]], "x must be one column: found rows of unequal length"),
    "a number": (3.5, "x must be one column: found the single value 3.5; pass an array or a list of values"),
    "a word": ("abc", "found the single value 'abc'"),
    "none": (None, "found something of type NoneType"),
    "a mapping": ({"a": 1}, "found something of type dict"),
    "a generator": ((i for i in range(3)), "found something of type generator"),
    "a table, pandas": (
        pd.DataFrame({"a": [1], "b": [2]}),
        "found a table with 'a', 'b'; pass one of them, as in x[",
    ),
    "a table, polars": (pl.DataFrame({"a": [1]}), "found a table with 'a'"),
    "a lazy table": (pl.LazyFrame({"a": [1]}), "found a table with 'a'"),
    "too wide": ([2**64], "x must fit 64 bits: found 18446744073709551616 at x[0]"),
    "too wide together": (
        [-1, 2**63],
        "x must fit one 64-bit type: found both negative numbers and 92233720",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_are_one_sentence_that_names_the_place(case):
    x, words = REFUSED[case]
    with pytest.raises(DataError) as caught:
        as_column(x)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 160


def test_dropping_missing_values_says_which_rows_are_left():
    column = Column.of(pl.Series([5, None, 2**60 + 1]), "n", drop_missing=True)
    assert column.values.tolist() == [5, 2**60 + 1]  # exact: never by way of floats
    assert column.rows is not None
    assert column.rows.tolist() == [0, 2]
    assert column.missing == 1
    whole = Column.of([1.0, 2.0], drop_missing=True)
    assert whole.rows is None
    assert whole.missing == 0


def test_what_lies_under_a_mask_is_not_looked_at():
    column = Column.of(np.ma.array([1.0, np.inf, NAN], mask=[0, 1, 1]), drop_missing=True)
    assert column.values.tolist() == [1.0]
    assert column.missing == 2


def test_infinite_values_are_never_dropped():
    with pytest.raises(DataError, match=r"first at v\[2\] \(-inf\)"):
        Column.of([1.0, NAN, -np.inf], "v", drop_missing=True)


@given(
    st.lists(st.sampled_from(["b", "a", "", "ä", "B"]), min_size=1)
    | st.lists(st.integers(), min_size=1).map(lambda v: [i % 7 for i in v])
)
@settings(max_examples=40, deadline=None)
def test_labels_at_codes_are_the_rows(rows):
    for holder in (list, np.asarray, pd.Series, lambda v: pl.Series(v)):
        labels, codes = as_groups(holder(rows))
        assert [labels[code] for code in codes] == rows
        assert list(labels) == sorted(set(rows))
        assert codes.dtype == np.int32


def test_groups_of_categories_list_those_that_occur():
    series = pd.Series(["y", "x", "y"], dtype=pd.CategoricalDtype(["z", "y", "x"]))
    labels, codes = as_groups(series)
    assert labels == ("x", "y")
    assert codes.tolist() == [1, 0, 1]
    assert as_groups(pl.Series(["b", "a"], dtype=pl.Categorical))[0] == ("a", "b")


def test_groups_of_other_kinds():
    assert as_groups([True, False])[0] == (False, True)
    assert as_groups([dt.date(2001, 1, 1), dt.date(2000, 1, 1)])[1].tolist() == [1, 0]
    assert as_groups(Column.of([3, 1, 3]))[0] == (1, 3)


@pytest.mark.parametrize(
    ("by", "words"),
    [
        (
            ["a", None, "b"],
            "by must have no missing labels: 1 of 3 is missing, first at by[1]; label it",
        ),
        ([1.0, NAN], "first at by[1]"),
        (pd.Series(["a", None], dtype="category"), "first at by[1]"),
        (pl.Series([None, "a"]), "first at by[0]"),
        ([], "by must have at least one label: found none"),
        ([1, "a"], "by must hold labels of one kind"),
        (np.ones((2, 2)), "by must be one column"),
        (pd.DataFrame({"a": [1]}), "by must be one column"),
    ],
)
def test_groups_are_refused(by, words):
    with pytest.raises(DataError) as caught:
        as_groups(by)
    assert words in str(caught.value)
