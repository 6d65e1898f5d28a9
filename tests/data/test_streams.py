"""Streams: chunks put together are the column, and evidence of chunks adds up to the evidence of all."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as parquet
import pytest

from surprax.data import DataError, delimited, read_evidence, stream_column
from surprax.families.exponential_law import Exponential

ROWS = 2000


@dataclass(frozen=True)
class Sum:
    """The least that evidence can be: a sum by group."""

    total: np.ndarray
    labels: tuple[Any, ...] | None = None

    def __add__(self, other: "Sum") -> "Sum":
        if self.labels is None or other.labels is None:
            return Sum(self.total + other.total)
        labels = (*self.labels, *(label for label in other.labels if label not in self.labels))
        total = np.zeros(len(labels))
        for part in (self, other):
            for label, value in zip(part.labels or (), part.total):
                total[labels.index(label)] += value
        return Sum(total, labels)

    def __getitem__(self, index: np.ndarray) -> "Sum":
        assert self.labels is not None
        return Sum(self.total[index], tuple(self.labels[i] for i in index))


class SumFamily:
    @classmethod
    def evidence(cls, x: np.ndarray, weights: np.ndarray | None = None, *, by: np.ndarray | None = None) -> Sum:
        bad = np.flatnonzero(x < 0)
        if len(bad):
            raise ValueError(f"Values must be at least 0: row {bad[0]} is {x[bad[0]]} ({len(bad)} such rows in all).")
        weighted = x if weights is None else x * weights
        if by is None:
            return Sum(weighted.sum())
        labels, codes = np.unique(by, return_inverse=True)
        return Sum(np.bincount(codes, weighted), tuple(labels.tolist()))


@pytest.fixture(scope="module")
def columns():
    rng = np.random.default_rng(5)
    g = rng.integers(0, 5, ROWS)
    return {
        "x": rng.integers(0, 50, ROWS),
        "g": np.array(list("bcade"))[g],
        "k": g * 4,
        "w": rng.integers(0, 4, ROWS) / 4,
    }


def arrow_stream(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=300)


WRITERS = {
    "f.csv": lambda table, path: pa.csv.write_csv(table, path),
    "groups.parquet": lambda table, path: parquet.write_table(table, path, row_group_size=300),
    "whole.parquet": parquet.write_table,
    "batches.feather": lambda table, path: feather.write_feather(table, path, chunksize=300),
    "plain.feather": lambda table, path: feather.write_feather(table, path, compression="uncompressed"),
    "stream.arrow": arrow_stream,
}


@pytest.fixture(params=WRITERS)
def path(request, tmp_path, columns):
    WRITERS[request.param](pa.table(columns), tmp_path / request.param)
    return tmp_path / request.param


@pytest.mark.parametrize("chunk_rows", [1, 7, 300, 1999, 2000, 10_000])
def test_chunks_are_of_one_length_and_add_up_to_the_column(path, columns, chunk_rows, monkeypatch):
    monkeypatch.setattr(delimited, "_BLOCK", 1 << 11)
    chunks = list(stream_column(path, "x", by="g", weights="w", chunk_rows=chunk_rows))
    assert all(len(chunk) == chunk_rows for chunk in chunks[:-1])
    assert len(chunks) == -(-ROWS // chunk_rows)
    assert chunks[0].values.dtype == np.int64
    for role, name in {"values": "x", "by": "g", "weights": "w"}.items():
        np.testing.assert_array_equal(np.concatenate([getattr(chunk, role) for chunk in chunks]), columns[name])
    assert np.concatenate([chunk.rows for chunk in chunks]).tolist() == list(range(ROWS))
    fractions = [chunk.fraction for chunk in chunks]
    assert fractions == sorted(fractions)
    assert 0.99 < fractions[-1] <= 1.0


@pytest.mark.parametrize("chunk_rows", [9, 10_000])
@pytest.mark.parametrize(("by", "labels"), [("g", ("a", "b", "c", "d", "e")), ("k", (0, 4, 8, 12, 16))])
def test_evidence_of_chunks_adds_up_by_label(path, columns, chunk_rows, by, labels):
    whole = SumFamily.evidence(columns["x"], columns["w"], by=columns[by])
    got = read_evidence(path, SumFamily, column="x", by=by, weights="w", chunk_rows=chunk_rows)
    assert got.labels == labels
    np.testing.assert_allclose(got.total, whole.total, rtol=1e-13)


@pytest.mark.parametrize("by", [None, "g"])
def test_evidence_of_a_real_family(path, columns, by):
    whole = Exponential.evidence(columns["x"], columns["w"], by=None if by is None else columns[by])
    got = read_evidence(path, Exponential, column="x", weights="w", by=by, chunk_rows=500)
    assert got.labels == whole.labels
    np.testing.assert_allclose(got.count, whole.count, rtol=1e-14)
    np.testing.assert_allclose(got.mean, whole.mean, rtol=1e-14)


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> Path:
        (tmp_path / "f.csv").write_text(text)
        return tmp_path / "f.csv"

    return write


def test_whole_numbers_stay_exact_until_a_fraction_turns_up(write, monkeypatch):
    monkeypatch.setattr(delimited, "_BLOCK", 256)
    values = [2**60 + 1] * 100 + [0.5] * 100
    chunks = list(stream_column(write("a,b\n" + "".join(f"{v},x\n\n" for v in values)), "a", chunk_rows=60))
    assert [chunk.values.dtype.kind for chunk in chunks] == ["i", "f", "f", "f"]
    assert chunks[0].values.tolist() == values[:60]
    assert np.concatenate([chunk.values for chunk in chunks]).tolist() == [float(v) for v in values]


def test_a_column_that_begins_with_missing_values(write, monkeypatch):
    monkeypatch.setattr(delimited, "_BLOCK", 64)
    path = write("a,b\n" + ",1\n" * 50 + "1.5,2\n")
    (chunk,) = stream_column(path, "a", drop_missing=True)
    assert chunk.values.tolist() == [1.5]
    assert chunk.missing == 50


def test_rows_with_something_missing_are_dropped_together(write):
    path = write("x,g,w\n1,a,1\n,a,1\n3,,1\n4,b,\n5,b,2\n6, ,1\n")
    (chunk,) = stream_column(path, "x", by="g", weights="w", drop_missing=True)
    assert chunk.values.tolist() == [1, 5]
    assert chunk.by.tolist() == ["a", "b"]
    assert chunk.weights.tolist() == [1, 2]
    assert chunk.rows.tolist() == [0, 4]
    assert chunk.missing == 4
    assert read_evidence(path, SumFamily, column="x", by="g", drop_missing=True).labels == ("a", "b")


def test_no_chunk_is_empty_and_every_dropped_row_is_counted(write):
    path = write("x,g\n" + "1,a\n" * 4 + ",a\n" * 3)
    for chunk_rows in (1, 2, 3, 4, 5):
        chunks = list(stream_column(path, "x", chunk_rows=chunk_rows, drop_missing=True))
        assert all(len(chunk) > 0 for chunk in chunks)
        assert sum(chunk.missing for chunk in chunks) == 3
    with pytest.raises(DataError, match="something is missing in each of 2 rows"):
        list(stream_column(write("x,g\n,a\n1,\n"), "x", by="g", drop_missing=True))


def test_labels_with_leading_zeros_stay_text(write):
    path = write("x,g\n1,7\n2,07\n3,10\n")
    assert read_evidence(path, SumFamily, column="x", by="g", chunk_rows=1).labels == ("07", "10", "7")


REFUSED = {
    "text in a later block": ("x,g\n" + "1,a\n" * 500 + "z,a\n", {}, "found the text 'z' at line 502"),
    "missing": (
        "x,g\n1,a\n,a\n",
        {},
        "1 in a run of 2 rows is missing, first at line 3; fill it in",
    ),
    "missing label": (
        "x,g\n1,a\n1,\n",
        {"by": "g"},
        "must have no missing labels: 1 in a run of 2 rows is missing, first at line 3",
    ),
    "missing weight": ("x,w\n1,1\n1,\n", {"weights": "w"}, "column 'w' of f.csv must have no missing values"),
    "negative weight": (
        "x,w\n1,1\n1,-2\n",
        {"weights": "w"},
        "must be 0 or more to be weights: found -2 at line 3",
    ),
    "infinite": ("x\n1\n" * 1 + "2\n" * 600 + "inf\n", {}, "first at line 603 (inf)"),
    "short line": ("x,g\n" + "1,a\n" * 500 + "1\n", {}, "line 502 has 1 field, the header 2"),
    "open quote": ('x,g\n1,a\n2,"b\n3,c\n', {}, "one that opens in line 3 is still open"),
    "no such column": ("y\n1\n", {}, "f.csv has no column 'x': it has 'y'"),
    "no rows": ("x,g\n", {}, "f.csv must hold rows"),
    "outside the support": (
        "x\n" + "1\n" * 500 + "-3\n-1\n",
        {},
        "'x' of f.csv: Values must be at least 0: line 502 is -3.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_faults_are_named_with_their_line(write, monkeypatch, case):
    monkeypatch.setattr(delimited, "_BLOCK", 512)
    text, options, words = REFUSED[case]
    with pytest.raises(DataError) as caught:
        read_evidence(write(text), SumFamily, column="x", chunk_rows=100, **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_outside_the_support_after_dropped_rows(write):
    with pytest.raises(DataError, match="line 5 is -1"):
        read_evidence(write("x,y\n1,1\n,1\n2,1\n-1,1\n"), Exponential, column="x", drop_missing=True)


def test_options_are_checked(write):
    path = write("x\n1\n")
    with pytest.raises(ValueError, match="chunk_rows must be at least 1"):
        stream_column(path, "x", chunk_rows=0)
    with pytest.raises(ValueError, match="by must name another column"):
        stream_column(path, "x", by="x")


def test_a_stream_may_be_left_early(path):
    stream = stream_column(path, "x", chunk_rows=3)
    assert len(next(stream)) == 3
    stream.close()


def test_progress_shows_on_standard_error_only_and_can_be_silenced(write, capsys):
    path = write("x\n1\n2\n")
    for progress in (None, False):
        read_evidence(path, SumFamily, column="x", progress=progress)
        assert capsys.readouterr() == ("", "")
    read_evidence(path, SumFamily, column="x", progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "f.csv: x" in err
    assert "100%" in err
    read_evidence(write("x,y\n1,1\n,2\n"), SumFamily, column="x", progress=True, drop_missing=True)
    assert "1 missing dropped" in capsys.readouterr().err
