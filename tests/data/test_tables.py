"""Tables: the same columns come out of every format, and each fault is named with its line."""

import datetime as dt
import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as parquet
import pytest

from surprax.data import DataError, read_columns

TABLE = pa.table(
    {
        "x": [1.5, 2.25, -3.0],
        "n": [1, 2, 2**60 + 1],
        "yes": [True, False, True],
        "name": ["ann", "bob", "ann"],
        "day": [dt.date(2000, 1, d) for d in (1, 2, 3)],
    }
)


def stream_format(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table)


def csv_format(table: pa.Table, path: Path, **options: object) -> None:
    text = table.to_pandas().to_csv(index=False, **options)
    path.write_bytes(gzip.compress(text.encode(), mtime=0) if path.suffix == ".gz" else text.encode())


WRITERS = {
    "t.csv": csv_format,
    "t.CSV": csv_format,
    "t.csv.gz": csv_format,
    "t.tsv": lambda table, path: csv_format(table, path, sep="\t"),
    "semicolon.csv": lambda table, path: csv_format(table, path, sep=";", decimal=","),
    "windows.csv": lambda table, path: csv_format(table, path, lineterminator="\r\n"),
    "quoted.csv": lambda table, path: csv_format(table, path, quoting=1),
    "t.parquet": parquet.write_table,
    "t.feather": feather.write_feather,
    "plain.feather": lambda table, path: feather.write_feather(table, path, compression="uncompressed"),
    "t.arrow": stream_format,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_columns(tmp_path, name):
    WRITERS[name](TABLE, tmp_path / name)
    table = read_columns(tmp_path / name)
    assert list(table) == ["x", "n", "yes"]
    assert table["x"].values.tolist() == [1.5, 2.25, -3.0]
    assert table["n"].values.tolist() == [1, 2, 2**60 + 1]
    assert table["n"].values.dtype == np.int64
    assert table["yes"].values.tolist() == [1, 0, 1]
    assert list(table.passed_over) == ["name", "day"]
    assert table.passed_over["day"] == "holds dates"
    named = read_columns(tmp_path / name, ["n", "x"], labels="name")
    assert list(named) == ["n", "x", "name"]
    assert named["name"].values.tolist() == ["ann", "bob", "ann"]


@pytest.fixture
def write(tmp_path):
    def write(text: str | bytes, name: str = "f.csv") -> Path:
        (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
        return tmp_path / name

    return write


REFUSED = {
    "no such column": (
        "age,weight\n1,2\n",
        "aeg",
        "f.csv has no column 'aeg': did you mean 'age'? it has 'age'",
    ),
    "text": (
        "age,w\n1,2\n2,3\nx,4\n",
        "age",
        "column 'age' of f.csv must hold numbers: found the text 'x' at line 4; correct or convert it",
    ),
    "text after quoted lines": ('t,b\n"one\ntwo",2\n\n"say ""hi""",z\n', "b", "found the text 'z' at line 5"),
    "text after other line ends": ("a,b\r\n1,2\r\nx,3\r\n", "a", "found the text 'x' at line 3"),
    "text among decimal commas": ("a;b\n1,5;2\n1.5;3\n1,000,0;3\n", "a", "found the text '1,5' at line 2"),
    "text where commas are decimal": ("a;b\n1,5;2\n1x;3\n", "a", "found the text '1x' at line 3"),
    "dates": ("d,a\n2000-01-01,1\n", "d", "found dates, first at line 2 (2000-01-01)"),
    "missing": ("a,b\n1,2\n,3\nNA,4\n", "a", "2 of 3 are missing, first at line 3; fill them in or drop them"),
    "missing, any": (
        "a,b\n1,2\n,3\n",
        None,
        "column 'a' of f.csv must have no missing values: 1 of 2",
    ),
    "missing in one column": ("a\n1\n\n3\n\n\n", "a", "1 of 3 is missing, first at line 3"),
    "all missing": (
        "a,b\n1,\n2,NA\n",
        "b",
        "must have at least one value: found only missing ones, 2 of them",
    ),
    "infinite": (
        "a,b\n1,1\n2,-inf\n",
        "b",
        "must be finite: 1 of 2 is infinite, first at line 3 (-inf)",
    ),
    "overflowing": ("a\n1\n1e999\n", "a", "first at line 3 (inf)"),
    "short line": ("a,b,c\n1,2,3\n4,5\n", "a", "line 3 has 2 fields, the header 3; correct that line"),
    "long line": ("a,b\n1,2\n1,2,3\n", None, "line 3 has 3 fields, the header 2"),
    "open quote": (
        'a,b\n1,"2\n3,4\n5,6\n',
        "a",
        "f.csv must close every quote: one that opens in line 2 is",
    ),
    "no header": ("1,2\n3,4\n", None, "f.csv must begin with column names: found numbers in its first line ('1,2')"),
    "no rows": ("a,b\n", None, "f.csv must hold rows: it has column names and nothing below"),
    "no rows, one column": ("a", None, "f.csv must hold rows"),
    "empty": ("", None, "f.csv must hold a table: it is empty (0 bytes)"),
    "blank": ("\n \n", None, "f.csv must hold a table: it is empty"),
    "one name twice": (
        "a,a\n1,2\n",
        "a",
        "f.csv must name its columns apart: columns 1 and 2 are both 'a'",
    ),
    "no numbers": (
        "d,t\n2000-01-01,x\n",
        None,
        "a column of numbers: 'd' holds dates, 't' holds text ('x' at line 2)",
    ),
    "utf-16": ("a,b\n1,2\n".encode("utf-16"), None, "f.csv must be UTF-8 text"),
    "latin-1 header": ("größe\n1\n".encode("latin-1"), None, "f.csv must be UTF-8 text: its header is not"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_faults_in_csv_are_named_with_their_line(write, case):
    text, column, words = REFUSED[case]
    with pytest.raises(DataError) as caught:
        read_columns(write(text), column)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 160


def test_files_that_are_not_there(tmp_path, write):
    write("a\n1\n", "nile.csv")
    for name, words in {
        "niel.csv": "niel.csv (there is 'nile.csv'); check the name",
        "none/nile.csv": "(and no folder",
        ".": "it is a directory; name one file in it (it has 'nile.csv')",
    }.items():
        with pytest.raises(DataError) as caught:
            read_columns(tmp_path / name)
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.xlsx", b"PK", "t.xlsx must end in one of .csv, .csv.gz, .tsv"),
        ("t", b"a", "its suffix is missing"),
        (
            "t.parquet",
            b"hello, world",
            "t.parquet must be a Parquet file, as its suffix says: it is not",
        ),
        ("t.feather", b"hello, world", "t.feather must be an Arrow file"),
        ("t.arrow", b"", "t.arrow must hold a table: it is empty"),
        ("t.csv.gz", b"a,b\n1,2\n", "t.csv.gz must be a whole gzip file"),
        (
            "u.csv.gz",
            gzip.compress(b"a,b\n" + b"1,2\n" * 9, mtime=0)[:-4],
            "must be a whole gzip file: it is damaged",
        ),
    ],
)
def test_files_that_are_not_what_they_say(write, name, content, words):
    with pytest.raises(DataError) as caught:
        read_columns(write(content, name))
    assert words in str(caught.value)


def test_faults_in_parquet_are_named_with_their_row(tmp_path):
    path = tmp_path / "p.parquet"
    columns = {"x": [1.0, None], "inf": [np.inf, 1.0], "t": ["1", "b"], "d": [dt.date(2000, 1, 1)] * 2, "l": [[1], [2]]}
    parquet.write_table(pa.table(columns), path)
    for name, words in {
        "x": "column 'x' of p.parquet must have no missing values: 1 of 2 is missing, first at row 1",
        "inf": "first at row 0 (inf)",
        "t": "found the text 'b' at row 1",
        "d": "found dates, first at row 0 (2000-01-01)",
        "l": "found lists or records",
    }.items():
        with pytest.raises(DataError) as caught:
            read_columns(path, name)
        assert words in str(caught.value)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="cut short"):
        read_columns(path)
    parquet.write_table(pa.table({"x": pa.array([], pa.float64())}), path)
    with pytest.raises(DataError, match="nothing below"):
        read_columns(path)


def test_header_oddities(write):
    table = read_columns(write(b'\xef\xbb\xbf\r\n a , "b c" ,"d\ne",\r\n 1, 2 ,3,\r\n4,5,6,\r\n'))
    assert list(table) == ["a", "b c", "d\ne"]
    assert table["b c"].values.tolist() == [2, 5]
    assert table.passed_over == {"Unnamed: 3": "has no values"}


@pytest.mark.parametrize(
    ("text", "assumed", "values"),
    [
        ("a;b\n1,5;2\n2,25;3\n", ("semicolon-separated", "decimal comma"), [1.5, 2.25]),
        ("a;b\n1.5;2\n2.25;3\n", ("semicolon-separated",), [1.5, 2.25]),
        ("a|b\n1.5|2\n2.25|3\n", ("bar-separated",), [1.5, 2.25]),
        ("a\tb\n1.5\t2\n2.25\t3\n", ("tab-separated",), [1.5, 2.25]),
        ("a,b\n1.5,2;3\n2.25,3;4\n", (), [1.5, 2.25]),
        ("a\n1.5\n2.25\n", (), [1.5, 2.25]),
    ],
)
def test_what_was_taken_for_granted_is_said(write, text, assumed, values):
    table = read_columns(write(text), "a")
    assert table.assumed == assumed
    assert table["a"].values.tolist() == values
    assert all(what in str(table) for what in assumed)


def test_columns_that_only_count_rows_are_passed_over(write):
    table = read_columns(write(",id,x\n0,1,5\n1,2,6\n2,3,9\n"))
    assert list(table) == ["x"]
    assert table.passed_over == dict.fromkeys(["Unnamed: 0", "id"], "is an index (name it to use it)")
    assert "passed over 'id': it is an index" in str(table)
    assert list(read_columns(write("id,x\n7,5\n9,6\n"))) == ["id", "x"]
    assert list(read_columns(write("id,x\n1,5\n2,6\n"), "id")) == ["id"]
    assert list(read_columns(write("rank,x\n1,5\n2,6\n"))) == ["rank", "x"]


def test_the_index_of_a_data_frame_is_passed_over(tmp_path):
    pd.DataFrame({"x": [1.0, 2.0]}, index=[5, 7]).to_parquet(tmp_path / "i.parquet")
    assert list(read_columns(tmp_path / "i.parquet")) == ["x"]


def test_dropped_rows_and_alignment(write):
    table = read_columns(write("a,b,g\n1,,x\n,2,y\n3,4,\n5,6,z\n"), labels="g", drop_missing=True)
    assert table["a"].values.tolist() == [1, 3, 5]
    assert table["b"].values.tolist() == [2, 4, 6]
    assert table["g"].values.tolist() == ["x", "y", "z"]
    both = table.aligned("a", "b")
    assert both["a"].values.tolist() == [3, 5]
    assert both["b"].values.tolist() == [4, 6]
    everything = table.aligned()
    assert [everything[name].values.tolist() for name in everything] == [[5], [6], ["z"]]
    assert everything["a"].missing == 3
    disjoint = read_columns(write("a,b\n1,\n,2\n"), drop_missing=True)
    with pytest.raises(DataError, match="must share a row"):
        disjoint.aligned()


def test_labels_that_read_as_integers_are_integers(write):
    path = write("x,whole,padded\n1,10,01\n2,9,02\n")
    table = read_columns(path, "x", labels=["whole", "padded"])
    assert table["whole"].values.tolist() == [10, 9]
    assert table["padded"].values.tolist() == ["01", "02"]


def test_a_name_that_is_not_in_the_table(write):
    table = read_columns(write("age,name\n1,x\n"))
    with pytest.raises(KeyError, match="did you mean 'age'"):
        table["aeg"]
    with pytest.raises(KeyError, match="passed over: it holds text"):
        table["name"]
    assert "name" not in table
    assert table.get("name") is None


def test_thousands_of_columns(write):
    names = [f"c{i}" for i in range(3000)]
    rows = [",".join(names), ",".join(map(str, range(3000))), ",".join("x" if i % 2 else "2" for i in range(3000))]
    table = read_columns(write("\n".join(rows)))
    assert len(table) == 1500
    assert table["c42"].values.tolist() == [42, 2]
    assert table.passed_over["c2999"] == "holds text ('x' at line 3)"
    assert len(repr(table)) < 100
