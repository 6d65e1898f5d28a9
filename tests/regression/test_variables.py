"""Variables: whatever holds a column gives the same codes or numbers, and what cannot be used is refused in one sentence."""

import datetime as dt

import jax.numpy as jnp
import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surprax.data import DataError, read_columns
from surprax.regression.encoding import MOST, coded, variable
from surprax.regression.matrices import read_matrix
from surprax.regression.variables import Continuous, Discrete, column_names, read_variables

NAN = float("nan")
COLUMNS = {
    "size": [3, 1, 3, 2],
    "weight": [0.5, 1.5, 0.5, 2.0],
    "shape": ["b", "a", "b", "é"],
    "big": [True, False, True, True],
}

HOLDERS = {
    "mapping of lists": dict,
    "mapping of arrays": lambda c: {name: np.array(values) for name, values in c.items()},
    "mapping of objects": lambda c: {name: np.array(values, object) for name, values in c.items()},
    "mapping of series": lambda c: {name: pd.Series(values, index=[3, 2, 1, 0]) for name, values in c.items()},
    "mapping of Arrow": lambda c: {name: pa.array(values) for name, values in c.items()},
    "pandas": pd.DataFrame,
    "pandas, nullable": lambda c: pd.DataFrame(c).convert_dtypes(),
    "pandas, Arrow": lambda c: pd.DataFrame(c).convert_dtypes(dtype_backend="pyarrow"),
    "polars": pl.DataFrame,
    "polars, lazy": pl.LazyFrame,
    "Arrow": pa.table,
    "Arrow, chunked": lambda c: pa.concat_tables([pa.table(c).slice(0, 1), pa.table(c).slice(1)]),
    "narwhals": lambda c: nw.from_native(pl.DataFrame(c)),
}


def same(one, values, categorical):
    assert isinstance(one, Discrete)
    assert one.codes.dtype == np.uint8
    assert one.column().tolist() == values
    assert one.values.tolist() == sorted(set(values))
    assert one.categorical == categorical


def check(variables):
    assert variables.n == 4
    for name, values in COLUMNS.items():
        same(variables[name], values, categorical=name == "shape")


@pytest.mark.parametrize("holder", HOLDERS)
def test_every_holder_gives_the_same_variables(holder):
    data = HOLDERS[holder](COLUMNS)
    check(read_variables(data, list(COLUMNS)))
    assert column_names(data) == list(COLUMNS)
    assert list(read_variables(data, ["shape"])) == ["shape"]
    assert read_variables(data, []).n == 4


@pytest.mark.parametrize("suffix", ["csv", "parquet", "arrow"])
def test_every_file_gives_the_same_variables(suffix, tmp_path):
    path = tmp_path / f"data.{suffix}"
    if suffix == "csv":
        pd.DataFrame(COLUMNS).to_csv(path, index=False)
    elif suffix == "parquet":
        pa.parquet.write_table(pa.table(COLUMNS), path)
    else:
        pa.feather.write_feather(pa.table(COLUMNS), str(path))
    check(read_variables(path, list(COLUMNS)))
    assert column_names(path) == list(COLUMNS)
    assert read_variables(path, []).n == 4
    with pytest.raises(DataError, match=rf"data\.{suffix} has no column 'shap': did you mean 'shape'"):
        read_variables(path, ["shap"])


def test_a_table_gives_the_rows_that_it_has_left(tmp_path):
    (tmp_path / "t.csv").write_text("x,y,z\n1,,1\n2,5,2\n,6,3\n4,7,4\n")
    table = read_columns(tmp_path / "t.csv", drop_missing=True)
    both = read_variables(table, ["x", "y"])
    assert (both["x"].column().tolist(), both["y"].column().tolist()) == ([2, 4], [5, 7])
    assert (both.n, both.missing, both.kept.tolist(), both.whose) == (2, 2, [1, 3], "t.csv")
    alone = read_variables(table, ["z"])
    assert (alone.n, alone.missing) == (4, 0)


def test_only_named_columns_are_touched():
    class Touchy(dict):
        def __getitem__(self, name):
            assert name == "x"
            return super().__getitem__(name)

    data = Touchy(x=[1, 2], bad=[object(), object()])
    assert list(read_variables(data, ["x", "x"])) == ["x"]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(pd.Categorical(["q", "p", "q"], categories=["q", "unused", "p"])),
        pd.Categorical(["q", "p", "q"], categories=["q", "unused", "p"]),
        pl.Series(["q", "p", "q"], dtype=pl.Enum(["q", "unused", "p"])),
        pa.DictionaryArray.from_arrays(pa.array([0, 2, 0]), pa.array(["q", "unused", "p"])),
    ],
)
def test_categories_keep_their_order_and_those_that_do_not_occur(column):
    one = read_variables({"c": column}, ["c"])["c"]
    assert one.values.tolist() == ["q", "unused", "p"]
    assert one.codes.tolist() == [0, 2, 0]
    assert one.categorical


def test_categories_of_numbers_and_intervals_stay_such():
    numbers = read_variables({"c": pd.Series([3, 1, 3]).astype("category")}, ["c"])["c"]
    assert numbers.values.dtype == np.int64
    assert numbers.categorical
    cut = pd.cut(pd.Series([1.0, 5.0, 9.0]), 3)
    assert read_variables({"c": cut}, ["c"])["c"].values.tolist() == list(cut.cat.categories)


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 300), min_size=1, max_size=60))
def test_integers_come_back_from_their_codes(values):
    column = np.array(values, np.int64)
    for one in (variable(column), coded(variable(column))):
        wanted = values if isinstance(one, Discrete) and one.values.dtype == np.int64 else column.astype(float).tolist()
        assert one.column().tolist() == wanted
        if isinstance(one, Discrete):
            assert (
                np.all(np.diff(one.values.astype(float)) > 0) or len(one.values) == 1 or max(map(abs, values)) > 2**53
            )
            assert one.counts().all()


@pytest.mark.parametrize(
    "dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, ">i4"]
)
def test_every_integer_type_is_coded_by_its_distance_from_the_least(dtype):
    low, high = np.iinfo(np.dtype(dtype)).min, np.iinfo(np.dtype(dtype)).max
    for values in ([low, low + 3, low], [high, high - 100, high - 100], [low, high]):
        one = read_variables({"x": np.array(values, dtype)}, ["x"])["x"]
        assert one.column().tolist() == values
        assert one.codes.dtype == np.uint8


@settings(max_examples=50)
@given(st.lists(st.sampled_from([-0.0, 0.0, 0.1, 1e300, -5e-324, 2.0]), min_size=1))
def test_few_distinct_floats_are_discrete_and_come_back(values):
    one = variable(np.array(values))
    assert isinstance(one, Discrete)
    assert one.column().tolist() == values
    assert len(one.values) == len(set(values))


def test_numbers_with_many_values_are_continuous():
    rng = np.random.default_rng(0)
    for values in (rng.normal(size=30_000), rng.permutation(30_000), rng.integers(0, 2**40, 30_000)):
        one = variable(values)
        assert isinstance(one, Continuous)
        assert one.values.dtype == np.float64
        assert np.array_equal(one.column(), values)
        assert one.column().dtype == values.dtype
        assert np.array_equal(one.rows(slice(3, 9)).column(), values[3:9])
    assert isinstance(variable(np.repeat(rng.normal(size=MOST), 10)), Discrete | Continuous)
    assert isinstance(variable(np.tile(rng.normal(size=200), 50)), Discrete)
    assert isinstance(variable(np.tile(np.arange(MOST), 10)), Discrete)
    assert isinstance(variable(np.tile(np.arange(MOST + 1), 10)), Continuous)


def test_values_that_only_late_turn_out_many_are_continuous():
    values = np.zeros(500_000)
    values[-5_000:] = np.random.default_rng(1).normal(size=5_000)
    assert isinstance(variable(values), Continuous)


def test_views_of_float64_are_not_copied():
    values = np.random.default_rng(0).normal(size=5_000)
    assert np.shares_memory(read_variables({"x": values}, ["x"])["x"].values, values)
    assert np.shares_memory(read_variables(pd.DataFrame({"x": values}), ["x"])["x"].values, values) in (True, False)
    matrix = np.random.default_rng(0).normal(size=(2_000, 2))
    assert np.shares_memory(read_matrix(matrix)["x1"].values, matrix)


@pytest.mark.parametrize("array", [jnp.array([1.5, 2.5]), jnp.array([1, 2]), jnp.array([1, 2], jnp.bfloat16)])
def test_jax_arrays_are_columns(array):
    assert read_variables({"x": array}, ["x"])["x"].column().tolist() == array.tolist()


MISSING = {
    "list": [1.0, None, NAN],
    "array": np.array([1.0, NAN, NAN]),
    "masked": np.ma.masked_array([1, 2, 3], [False, True, True]),
    "nullable": pd.Series([1, None, None], dtype="Int64"),
    "polars": pl.Series([1, None, None]),
    "Arrow": pa.array([1, None, None]),
    "text": ["a", None, None],
    "objects": np.array(["a", None, NAN], object),
    "category": pd.Series(["a", None, None], dtype="category"),
    "Enum": pl.Series(["a", None, None], dtype=pl.Enum(["a"])),
    "boolean": pd.Series([True, None, None], dtype="boolean"),
}


@pytest.mark.parametrize("kind", MISSING)
def test_missing_values_are_refused_by_column_number_and_rows_or_dropped_in_all(kind):
    data = {"other": [5, 6, 7], "x": MISSING[kind]}
    with pytest.raises(
        DataError, match=r"^x must have no missing values: 2 of 3 are missing, at x\[1\], x\[2\]; fill them in or"
    ):
        read_variables(data, ["other", "x"])
    left = read_variables(data, ["other", "x"], drop_missing=True)
    assert (left.n, left.missing, left.kept.tolist()) == (1, 2, [0])
    assert left["other"].column().tolist() == [5]
    assert left["x"].column().tolist()[0] in (1, "a", True)
    assert left.row(0) == 0


def test_rows_missing_in_different_columns_are_all_dropped():
    data = pd.DataFrame({"x": [1.0, NAN, 3.0, 4.0], "y": ["a", "b", None, "a"]})
    left = read_variables(data, ["x", "y"], drop_missing=True)
    assert (left.kept.tolist(), left.missing) == ([0, 3], 2)
    assert left["x"].column().tolist() == [1.0, 4.0]
    assert left.rows(np.array([1])).kept.tolist() == [3]
    with pytest.raises(DataError, match="must have a row in which none of 'x', 'y' is missing"):
        read_variables({"x": [1.0, NAN], "y": [None, "a"]}, ["x", "y"], drop_missing=True)
    with pytest.raises(DataError, match="must have at least one value: found only missing ones, 2 of them"):
        read_variables({"x": [None, None]}, ["x"], drop_missing=True)


REFUSED = {
    "infinite": ({"x": [1.0, -np.inf]}, r"x must be finite: 1 of 2 is infinite, first at x\[1\] \(-inf\)"),
    "infinite beside missing": ({"x": [NAN, np.inf]}, "x must be finite"),
    "dates": (
        {"x": [dt.date(2020, 1, 2)]},
        r"x must hold numbers, text or categories: found dates, first 2020-01-02 at x\[0\]",
    ),
    "datetimes": (
        {"x": np.array(["2020-01-02"], "M8[ns]")},
        "found dates, first 2020-01-02.*; count them from a start",
    ),
    "durations": ({"x": pd.Series([pd.Timedelta(3, "s")])}, "found durations"),
    "lists": ({"x": pa.array([[1], [2]])}, "found lists or records"),
    "mixed": ({"x": ["a", 1]}, "labels of one kind"),
    "complex": ({"x": np.array([1j])}, "complex numbers"),
    "matrix": ({"x": np.ones((2, 2))}, r"one column: found an array of shape \(2, 2\)"),
    "single": ({"x": 3.0}, "x must be one column: found float 3.0"),
    "empty": ({"x": []}, "data must have at least one row"),
    "unequal": ({"y": [1], "x": [1, 2]}, "columns of equal length: 'x' has 2 rows, 'y' has 1"),
    "unknown": ({"X ": [1], "y": [2]}, "data has no column 'x': did you mean 'X '?"),
    "no frame": (
        3,
        "data must be a data frame, a mapping from names to columns, a table, or the path of a file: found int",
    ),
    "twice": (pd.DataFrame([[1, 2]], columns=["x", "x"]), "two are called 'x'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_in_a_sentence(case):
    data, sentence = REFUSED[case]
    names = ["x", "y"] if isinstance(data, dict) and "y" in data else ["x"]
    with pytest.raises(DataError, match=sentence):
        read_variables(data, names)


def test_columns_of_a_frame_may_be_called_by_numbers():
    assert read_variables(pd.DataFrame([[1, 2]]), ["1"])["1"].column().tolist() == [2]


def test_text_in_a_file_is_pointed_at_by_its_line(tmp_path):
    (tmp_path / "d.csv").write_text("x\n1\n\n3\n")
    with pytest.raises(
        DataError, match=r"column 'x' of d.csv must have no missing values: 1 of 3 is missing, at line 3;"
    ):
        read_variables(tmp_path / "d.csv", ["x"])


@pytest.mark.parametrize("holder", HOLDERS)
def test_plain_numbers_are_not_coded_and_everything_else_is(holder):
    data = HOLDERS[holder](COLUMNS)
    variables = read_variables(data, list(COLUMNS), plain=list(COLUMNS))
    for name in ("size", "weight"):
        assert isinstance(variables[name], Continuous)
        assert variables[name].column().tolist() == COLUMNS[name]
    assert variables["size"].column().dtype == np.int64
    for name in ("shape", "big"):
        assert isinstance(variables[name], Discrete)
        assert variables[name].column().tolist() == COLUMNS[name]


def test_plain_float64_is_the_array_that_was_given():
    weight = np.array([0.5, 1.5, 0.5])
    assert np.shares_memory(read_variables({"weight": weight}, ["weight"], plain=["weight"])["weight"].values, weight)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int64, np.float64])
def test_a_continuous_variable_is_coded_as_a_discrete_one_is(kind):
    values = np.tile(np.array([3, 100, 5, 3], kind), 40)
    one, other = coded(read_variables({"x": values}, ["x"], plain=["x"])["x"]), coded(variable(values))
    assert one.codes.tolist() == other.codes.tolist()
    assert one.values.tolist() == other.values.tolist()
    assert one.counts().tolist() == [80, 40, 40]
