"""The game: its scores are what fitting and scoring fold by fold gives, and its refusals are sentences."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pytest
from tests.game.columns import COUNTS, MEASUREMENTS

import surprax as sx

pytestmark = pytest.mark.xdist_group("play")


def fold_of(rows, folds):
    """The fold of each row, said the slow way: runs of K rows, each turned further by the golden ratio."""
    golden = (np.sqrt(5) - 1) / 2
    return np.array([(i % folds + int(folds * ((i // folds) * golden % 1))) % folds for i in range(rows)])


def by_hand(family, x, folds):
    """Held-out surprise per row, the slow way."""
    total = 0.0
    with jax.enable_x64(True):
        for k in range(folds):
            held = fold_of(len(x), folds) == k
            fit = family if not isinstance(family, type) else family.fit(x[~held])
            total -= float(jnp.sum(fit.log_prob(x[held])))
    return total / len(x)


@pytest.fixture(scope="module")
def waits():
    return np.random.default_rng(0).gamma(2.0, 3.0, 203)


@pytest.fixture(scope="module")
def everybody():
    """Two games of all families, which take longest: measurements, and counts."""
    return sx.play("all", MEASUREMENTS, name="a rather long name of a column"), sx.play("all", COUNTS)


@pytest.mark.parametrize("folds", [*(pytest.param(k, marks=pytest.mark.thorough) for k in (2, 7)), 10])
@pytest.mark.parametrize(
    "family",
    [
        sx.Gamma,
        sx.Normal,
        sx.Exponential,
        sx.Laplace,
        *(pytest.param(f, marks=pytest.mark.thorough) for f in (sx.LogNormal, sx.Weibull, sx.Gumbel, sx.StudentT)),
    ],
    ids=lambda f: f.__name__,
)
def test_score_is_cross_validation_by_hand(waits, family, folds):
    entry = sx.play([family], waits, folds=folds, unit="nat").best
    assert entry.held_out == pytest.approx(by_hand(family, waits, folds), rel=1e-7)


@pytest.mark.parametrize("family", [sx.Poisson, sx.Geometric, sx.NegativeBinomial], ids=lambda f: f.__name__)
def test_score_of_counts_is_cross_validation_by_hand(family):
    x = np.random.default_rng(1).negative_binomial(2, 0.3, 101)
    entry = sx.play([family], x, folds=5, unit="nat").best
    assert entry.held_out == pytest.approx(by_hand(family, x, 5), rel=1e-8)


def test_entry_says_what_the_fit_says(waits):
    entry = sx.play([sx.Gamma], waits).best
    fit = sx.Gamma.fit(waits)
    with jax.enable_x64(True):
        surprises = np.asarray(fit.surprise(waits))
    assert entry.total == pytest.approx(surprises.sum(), rel=1e-10)
    assert (entry.worst_row, entry.worst) == (int(surprises.argmax()), pytest.approx(surprises.max(), rel=1e-10))
    assert entry.free == 2
    assert entry.aic == pytest.approx(4 + 2 * surprises.sum())
    assert entry.bic == pytest.approx(2 * np.log(203) + 2 * surprises.sum())
    assert entry.parameters["rate"] == pytest.approx(float(fit.rate))


def test_the_least_surprised_is_first_and_the_truth_wins(everybody):
    board, _ = everybody
    assert board.best.name == "Gamma"
    scores = [e.held_out for e in board.entries]
    assert scores == sorted(scores)
    assert board.best.behind == 0
    assert all(e.behind > 0 and e.behind_error > 0 for e in board.entries[1:] if np.isfinite(e.held_out))
    assert {d.name for d in board.disqualified} >= {"Poisson", "Beta", "Bernoulli"}


def test_standard_error_of_the_distance_is_that_of_the_paired_differences(waits):
    board = sx.play({"gamma": sx.Gamma(2.0, 1 / 3.0), "exponential": sx.Exponential(1 / 6.0)}, waits, unit="nat")
    first, second = board.entries
    with jax.enable_x64(True):
        difference = np.asarray(first.distribution.log_prob(waits)) - np.asarray(second.distribution.log_prob(waits))
    assert second.behind == pytest.approx(difference.mean(), rel=1e-8)
    assert second.behind_error == pytest.approx(difference.std(ddof=1) / np.sqrt(len(waits)), rel=1e-8)


def test_fixed_distributions_play_beside_fitted_families():
    tosses = np.array([1, 0, 0, 0, 1, 0])
    board = sx.play({"fair": sx.Bernoulli(0.5), "mle": sx.Bernoulli}, tosses, folds=6)
    assert board["fair"].total / np.log(2) == pytest.approx(6.0)
    assert board["mle"].total / np.log(2) == pytest.approx(5.510, abs=5e-4)
    assert board["fair"].free == 0


def test_each_row_its_own_fold_when_there_are_fewer_rows():
    x = np.array([1.0, 2.0, 4.0, 3.0])
    board = sx.play([sx.Exponential], x, unit="nat")
    assert board.folds == 4
    assert board.best.held_out == pytest.approx(by_hand(sx.Exponential, x, 4))
    assert "leave-one-out" in str(board)


def test_periods_in_the_data_do_not_meet_the_dealing():
    x = np.array([1, 0, 0, 0, 1, 0] * 50)
    assert sx.play([sx.Bernoulli], x, folds=10).best.held_out / np.log(2) == pytest.approx(0.9183, abs=0.003)


def test_a_key_deals_rows_at_random(waits):
    plain = sx.play([sx.Gamma], waits).best.held_out
    one = sx.play([sx.Gamma], waits, key=jax.random.key(1)).best.held_out
    assert one != plain
    assert one == sx.play([sx.Gamma], waits, key=jax.random.key(1)).best.held_out
    assert one == pytest.approx(plain, abs=0.02)


def test_outside_the_support_is_out_with_reason_and_row():
    board = sx.play([sx.Normal, sx.Gamma, sx.Beta], np.array([0.5, 0.25, -1.5, 0.75, 0.1]))
    out = {d.name: d for d in board.disqualified}
    assert [e.name for e in board.entries] == ["Normal"]
    assert out["Gamma"].row == 2
    assert "row 2 is -1.5" in out["Gamma"].reason
    assert "row 2" in str(board)


def test_no_maximum_is_out_with_the_reason(everybody):
    _, board = everybody
    out = {d.name: d.reason for d in board.disqualified}
    assert "variance does not exceed the mean" in out["NegativeBinomial"]


def test_probability_and_density_are_never_ranked_together():
    counts = np.array([0, 1, 2, 3, 1, 0, 2])
    board = sx.play([sx.Poisson, sx.Normal], counts)
    assert [e.name for e in board.entries] == ["Poisson"]
    assert "not comparable" in board.disqualified[0].reason
    assert "whole numbers" in board.notes[0]
    assert board.kind == "discrete"
    as_measured = sx.play([sx.Poisson, sx.Normal], counts, kind="continuous")
    assert [e.name for e in as_measured.entries] == ["Normal"]
    assert sx.play([sx.Normal], counts).best.name == "Normal"
    assert sx.play([sx.Poisson, sx.Normal], counts + 0.5).kind == "continuous"


def test_by_group_the_surprises_add():
    rng = np.random.default_rng(4)
    x = np.concatenate([rng.gamma(2.0, 1.0, 60), rng.gamma(9.0, 2.0, 90)])
    by = np.repeat(["a", "b"], [60, 90])
    board = sx.play([sx.Gamma, sx.Normal], x, by=by, folds=5)
    assert set(board.groups) == {"a", "b"}
    for name in ("Gamma", "Normal"):
        parts = [board.groups[g][name] for g in "ab"]
        assert board[name].held_out * 150 == pytest.approx(parts[0].held_out * 60 + parts[1].held_out * 90)
        assert board[name].free == 4
    assert board.groups["b"].best.held_out == pytest.approx(
        sx.play([sx.Gamma, sx.Normal], x[60:], folds=5).best.held_out
    )
    assert board.groups["b"].best.worst_row >= 60
    assert "2 groups" in str(board)
    with pytest.raises(ValueError, match="one picture per group"):
        board.plot()


def test_missing_values_are_refused_or_counted():
    x = [1.0, None, 2.0, 4.0, float("nan"), 3.0]
    with pytest.raises(ValueError, match="missing"):
        sx.play([sx.Gamma], x)
    board = sx.play([sx.Gamma], x, drop_missing=True)
    assert board.rows == 4
    assert "2 missing values dropped." in board.notes
    assert board.best.worst_row in (0, 3)


@pytest.mark.parametrize("wrap", [pd.Series, lambda x: pl.Series("wait", x), jnp.asarray, list])
def test_columns_of_any_kind(wrap, waits):
    board = sx.play([sx.Normal], wrap(waits[:20]))
    assert board.rows == 20


def test_the_name_is_read_off_the_column(waits):
    assert sx.play([sx.Normal], pd.Series(waits, name="wait")).name == "wait"
    assert sx.play([sx.Normal], waits, name="minutes").name == "minutes"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"players": [sx.Normal], "data": [1.0]}, "at least 2 rows"),
        ({"players": [sx.Normal], "data": [1.0, 2.0], "folds": 1}, "at least 2 folds"),
        ({"players": [sx.Normal], "data": [1.0, 2.0], "unit": "byte"}, "unit of surprise"),
        ({"players": [sx.Normal], "data": [1.0, 2.0], "kind": "both"}, "kind is"),
        ({"players": ["Gama"], "data": [1.0, 2.0]}, "Gamma"),
        ({"players": {"x": 3}, "data": [1.0, 2.0]}, "a family, a mixture or a distribution"),
        ({"players": [], "data": [1.0, 2.0]}, "at least one player"),
        ({"players": {"b": sx.Normal([0.0, 1.0], 1.0)}, "data": [1.0, 2.0]}, "single distribution"),
        ({"players": [sx.Normal], "data": None}, "needs data"),
        ({"players": [sx.Normal], "data": ["a", "b"]}, "text"),
        ({"players": [sx.Normal], "data": [1.0, np.inf]}, "infinite|finite"),
        ({"players": [sx.Normal], "data": [1.0, 2.0, 3.0], "by": ["a", "b"]}, "label"),
        ({"players": [sx.Normal], "data": [1.0, 2.0, 3.0], "by": ["a", "a", "b"]}, "2 rows in each group"),
    ],
)
def test_what_cannot_be_played_is_refused_in_words(arguments, message):
    with pytest.raises(ValueError, match=message):
        sx.play(**arguments)


def test_a_board_without_entries_says_why():
    board = sx.play([sx.Normal], [2.0, 2.0, 2.0])
    assert "No player could be scored" in str(board)
    with pytest.raises(ValueError, match="all observations are equal"):
        _ = board.best
    with pytest.raises(ValueError, match="nothing to draw"):
        board.plot()


def test_the_table_fits_80_columns(everybody):
    for board in everybody:
        assert max(len(line) for line in str(board).splitlines()) <= 80


def test_save_and_html(waits, tmp_path):
    board = sx.play([sx.Gamma, sx.Normal], waits)
    board.save(tmp_path / "board.json")
    read = json.loads((tmp_path / "board.json").read_text())
    assert [e["player"] for e in read["entries"]] == [e.name for e in board.entries]
    assert read["entries"][0]["surprise_per_row"] == pytest.approx(board.best.held_out / np.log(2))
    assert board._repr_html_().startswith("<pre>")
    assert [p.name for p in tmp_path.iterdir()] == ["board.json"]


def test_pictures_are_written(waits, tmp_path):
    board = sx.play([sx.Gamma, sx.Normal], waits)
    figure = board.plot(path=tmp_path / "board.png")
    assert [axes.get_title() for axes in figure.axes] == ["density", "surprise"]
    assert (tmp_path / "board.png").read_bytes()[:4] == b"\x89PNG"
    counts = sx.play([sx.Poisson, sx.Geometric], [0, 1, 3, 2, 1, 0, 4])
    counts.plot(path=tmp_path / "counts.svg")
    with pytest.raises(ValueError, match="written as"):
        board.plot(path=tmp_path / "board.xyz")
    with pytest.raises(FileNotFoundError, match="no folder"):
        board.plot(path=tmp_path / "nowhere" / "board.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["board.png", "counts.svg"]


def test_mixtures_take_part():
    rng = np.random.default_rng(4)
    x = np.concatenate([rng.gamma(3.0, 1.0, 300), rng.gamma(60.0, 0.25, 200)])
    board = sx.play({"one": sx.Gamma, "two": sx.Mixture(sx.Gamma, 2)}, x)
    assert board.best.name == "two"
    assert board["two"].free == 5
    assert set(board["two"].parameters) == {"probs", "concentration", "rate"}
    fit = sx.Mixture(sx.Gamma, 2).fit(x)
    assert board["two"].total == pytest.approx(-float(np.sum(np.asarray(fit.log_prob(x), float))), rel=1e-5)
    assert board["one"].held_out - board["two"].held_out > 0.1
    assert "two" in str(board)


def test_mixtures_of_counts_take_part():
    x = np.random.default_rng(5).poisson(np.repeat([1.0, 9.0], 100))
    board = sx.play({"one": sx.Poisson, "two": sx.Mixture(sx.Poisson, 2)}, x)
    assert board.best.name == "two"
    with pytest.raises(ValueError, match="one to a row"):
        sx.play({"vectors": sx.Mixture(sx.MultivariateNormal, 2)}, x)


def test_a_mixture_that_cannot_play_says_why():
    board = sx.play({"one": sx.Bernoulli, "three": sx.Mixture(sx.Bernoulli, 3)}, [0, 1, 1, 0, 1, 1, 0, 1])
    (out,) = board.disqualified
    assert out.name == "three"
    assert "fewer different observations" in out.reason
