"""The command line: tables, files, and failures that are one sentence with exit status 2."""

import json

import numpy as np
import polars as pl
import pytest
from tests.game.columns import COUNTS, MEASUREMENTS

import surprax as sx
from surprax import cli

pytestmark = pytest.mark.xdist_group("play")  # a game of all families is compiled once


@pytest.fixture
def run(capsys, monkeypatch):
    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["surprax", *(str(a) for a in arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        out = capsys.readouterr()
        return code, out.out, out.err

    return call


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "data.csv"
    pl.DataFrame(
        {
            "wait": rng.gamma(2.0, 3.0, 200),
            "calls": rng.poisson(3, 200),
            "site": np.array(["n", "s"])[np.arange(200) % 2],
        }
    ).write_csv(path)
    return path


def test_play_ranks_every_numeric_column(run, tmp_path):
    table = tmp_path / "data.csv"
    sites = np.array(["n", "s"])[np.arange(len(COUNTS)) % 2]
    pl.DataFrame({"wait": MEASUREMENTS, "calls": COUNTS, "site": sites}).write_csv(table)
    code, out, err = run("play", table)
    assert code == 0
    assert "wait: 20,000 rows" in out
    assert "calls: 20,000 rows" in out
    assert "site" in err
    assert max(map(len, out.splitlines())) <= 80
    assert "\x1b" not in out


def test_play_one_column_with_all_options(run, table, tmp_path):
    code, out, _ = run(
        "play", table, "--column", "wait", "--families", "gamma,Log-Normal,normal", "--unit", "nat", "--folds", "5",
        "--plot", tmp_path / "out.png", "--json", tmp_path / "out.json",
    )  # fmt: skip
    assert code == 0
    assert "nats/row" in out
    assert "out.png" in out
    board = json.loads((tmp_path / "out.json").read_text())
    assert {e["player"] for e in board["entries"]} == {"Gamma", "LogNormal", "Normal"}
    assert board["folds"] == 5
    assert (tmp_path / "out.png").stat().st_size > 10_000


def test_play_by_group(run, table, tmp_path):
    code, out, _ = run("play", table, "-c", "wait", "--by", "site", "-f", "gamma,normal", "-p", tmp_path / "g.png")
    assert code == 0
    assert "2 groups" in out
    assert sorted(p.name for p in tmp_path.glob("*.png")) == ["g-wait-n.png", "g-wait-s.png"]


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "tsv"])
def test_play_reads_other_formats(run, table, tmp_path, suffix):
    frame, path = pl.read_csv(table), tmp_path / f"data.{suffix}"
    {"parquet": frame.write_parquet, "arrow": frame.write_ipc, "tsv": lambda p: frame.write_csv(p, separator="\t")}[
        suffix
    ](path)
    code, out, _ = run("play", path, "-c", "calls", "-f", "poisson,geometric")
    assert code == 0
    assert "1  Poisson" in out


def test_missing_values_are_dropped_only_when_asked(run, tmp_path):
    path = tmp_path / "gaps.csv"
    path.write_text("x\n1.5\n\n2.5\nNA\n4.0\n3.1\n")
    code, _, err = run("play", path)
    assert code == 2
    assert "missing" in err
    code, out, _ = run("play", path, "--drop-missing", "-f", "normal")
    assert code == 0
    assert "missing values dropped" in out


ALL = tuple(example[0] for example in cli.EXAMPLES)
THREE = ("doctor_visits", "treasury_bills", "nile")
"""Counts, changes of both signs, and whole numbers that are measured."""

BAD = {
    "no such file": (None, (), "There is no file"),
    "no such column": ("x\n1\n2\n", ("--column", "y"), "'y'"),
    "text in a numeric column": ("x\n1\ntwo\n3\n", ("--column", "x"), "line 3"),
    "empty": ("", (), "empty"),
    "header only": ("x\n", (), "no rows|row"),
    "all missing": ("x,y\n,1\n,1\n", ("--column", "x"), "missing|no values"),
    "constant": ("x\n3\n3\n3\n", (), "3 in all of its 3 rows"),
    "constant and named": ("x\n3\n3\n3\n", ("-c", "x"), "3 in all of its 3 rows"),
    "infinite": ("x\n1\ninf\n3\n", (), "infinite|finite"),
    "one row": ("x\n1\n", (), "2 rows|1 row|all of its"),
    "unknown family": ("x\n1\n2\n", ("--families", "gama"), "Gamma"),
    "unknown unit": ("x\n1\n2\n", ("--unit", "byte"), "byte"),
    "one fold": ("x\n1\n2\n", ("--folds", "1"), "folds.* 2"),
    "no such folder": ("x\n1\n2\n", ("--plot", "nowhere/at/all.png"), "folder"),
    "no numbers": ("x\na\nb\n", (), "text|numbers"),
}


@pytest.mark.parametrize("case", BAD)
def test_failures_are_one_sentence_and_status_2(run, tmp_path, case):
    text, options, message = BAD[case]
    path = tmp_path / "bad.csv"
    if text is not None:
        path.write_text(text)
    code, out, err = run("play", path, *options)
    assert code == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert err.startswith("surprax: ")
    assert __import__("re").search(message, err), err


def test_version_families_and_help(run):
    assert run("--version")[1].startswith("surprax 0.")
    assert "NegativeBinomial" in run("families")[1]
    assert "--drop-missing" in run("play", "--help")[1]


@pytest.mark.parametrize(
    ("names", "players"),
    [
        (THREE, ["Gamma", "Laplace", "Normal", "Poisson", "Geometric"]),
        pytest.param(ALL, "all", marks=pytest.mark.thorough),
    ],
    ids=["three", "all"],
)
def test_examples_write_their_pictures(run, tmp_path, monkeypatch, names, players):
    """All families have played already, on a table and in the tests of the game; it takes long to compile them for other data."""
    monkeypatch.setattr(cli, "EXAMPLES", tuple(example for example in cli.EXAMPLES if example[0] in names))
    monkeypatch.setattr(cli, "play", lambda _, data, **options: sx.play(players, data, **options))
    code, out, _ = run("examples", "--out", tmp_path / "pictures")
    assert code == 0
    written = sorted(p.name for p in (tmp_path / "pictures").iterdir())
    assert len(written) >= 3
    assert all(name in out for name in written)
