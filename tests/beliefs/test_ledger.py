"""Ledgers: named contributions that add in any order, and come apart again."""

import itertools

import jax
import numpy as np
import pytest

from surprax import Belief, Ledger

PIECES = {"horn": [0.1, 2.0, 2.0], "moves": [0.2, np.inf, 0.2], "size": [1.0, 0.5, 0.1]}
PRIOR = Belief.from_probabilities([0.2, 0.5, 0.3], labels=["boat", "rock", "whale"])


def book(order=tuple(PIECES)):
    ledger = PRIOR
    for name in order:
        ledger = ledger.update(name, PIECES[name])
    return ledger


def test_order_does_not_matter():
    for order in itertools.permutations(PIECES):
        np.testing.assert_allclose(book(order).probabilities(), book().probabilities(), rtol=1e-6)
        np.testing.assert_allclose(book(order).log_normalizer, book().log_normalizer, rtol=1e-6)


def test_a_contribution_is_taken_away_whole():
    """Also what it has excluded comes back."""
    without = PRIOR + np.array(PIECES["horn"]) + np.array(PIECES["size"])
    assert book()["rock"] == 0.0
    np.testing.assert_allclose(book().without("moves").probabilities(), without.probabilities(), rtol=1e-6)
    np.testing.assert_allclose(book().without(*PIECES).probabilities(), PRIOR.probabilities(), rtol=1e-6)
    assert list(book().without("horn").contributions) == ["moves", "size"]


def test_weights():
    doubled = book().reweighted("size", 2.0)
    expected = PRIOR + PIECES["horn"] + PIECES["moves"] + 2.0 * np.array(PIECES["size"])
    np.testing.assert_allclose(doubled.probabilities(), expected.probabilities(), rtol=1e-6)
    assert doubled.weights["size"] == 2.0
    gone = book().reweighted("size", 0.0)
    np.testing.assert_allclose(gone.probabilities(), book().without("size").probabilities(), rtol=1e-6)


def test_it_is_a_belief():
    ledger = book() + Belief([0.3, 0.1, 0.0])
    assert isinstance(ledger, Ledger)
    np.testing.assert_allclose(
        ledger.base.probabilities(), (PRIOR + Belief([0.3, 0.1, 0.0])).probabilities(), rtol=1e-6
    )
    np.testing.assert_allclose((ledger - Belief([0.3, 0.1, 0.0])).probabilities(), book().probabilities(), rtol=1e-5)
    tempered = book() * 0.5
    np.testing.assert_allclose(tempered.without("moves")["rock"], (book().without("moves") * 0.5)["rock"], rtol=1e-6)
    passed = jax.jit(lambda b: b * 0.5)(book())
    assert list(passed.contributions) == list(PIECES)
    np.testing.assert_allclose(passed.probabilities(), tempered.probabilities(), rtol=1e-6)
    assert repr(
        book()
    ) == "Ledger(3 hypotheses; whale: 0.516, boat: 0.484, rock: 0; by horn, moves, size)" or "horn" in repr(book())


def test_arrays_of_weights():
    """One for each belief of a batch; a list is an array."""
    tempered = book() * [0.5, 2.0]
    assert list(tempered.weights["horn"]) == [0.5, 2.0]
    np.testing.assert_allclose(tempered.without("moves")["rock"][1], (book().without("moves") * 2.0)["rock"], rtol=1e-5)
    np.testing.assert_allclose((np.array([0.5, 2.0]) * book()).probabilities(), tempered.probabilities(), rtol=1e-6)
    weighed = book().reweighted("size", [0.0, 1.0])
    np.testing.assert_allclose(weighed.probabilities()[1], book().probabilities(), rtol=1e-6)
    np.testing.assert_allclose(weighed.probabilities()[0], book().without("size").probabilities(), rtol=1e-6)
    passed = jax.jit(lambda w: PRIOR.update("size", PIECES["size"], w).probabilities())(2.0)
    np.testing.assert_allclose(passed, PRIOR.update("size", PIECES["size"], 2.0).probabilities(), rtol=1e-6)


def test_absorbing_uses_nothing_up():
    """A ledger shares memory with the belief that it began with."""
    prior = Belief([0.0, 1.0, 2.0])
    ledger = prior.update("e", [1.0, 0.0, 0.0])
    after = ledger.without("e").absorb([0.0, 0.0, 1.0])
    assert isinstance(after, Ledger)
    np.testing.assert_allclose(after.probabilities(), (prior + np.array([0.0, 0.0, 1.0])).probabilities(), rtol=1e-6)
    np.testing.assert_allclose(ledger.without("e").probabilities(), prior.probabilities(), rtol=1e-6)
    again = Ledger(Belief(np.zeros(3)).absorb([5.0, 6.0, 7.0]), {"e": ([1.0, 0.0, 0.0], 1.0)}).recentred()
    assert list(again.contributions) == ["e"]
    np.testing.assert_allclose(again.probabilities(), ledger.probabilities(), rtol=1e-6)


def test_maps_of_a_ledger_are_beliefs():
    ledger = PRIOR.update("horn", PIECES["horn"])
    for made in (ledger.apply(np.eye(3)), ledger.project(ledger), Ledger.from_clr(ledger.clr(), ledger.labels)):
        assert type(made) is Belief
        np.testing.assert_allclose(made.probabilities(), ledger.probabilities(), rtol=1e-5)


def test_contradictions_in_words():
    ledger = (
        PRIOR.update("no boat", [np.inf, 0.0, 0.0]).update("no ship", [0.0, np.inf, np.inf]).update("fog", np.ones(3))
    )
    one = ledger.contribution("no ship")
    assert np.isnan(one.moved)
    assert one.towards is None
    assert one.excludes == ("rock", "whale")
    words = ledger.table().splitlines()
    assert words[2].split(maxsplit=4)[3:] == ["–", "contradicts the rest; excludes rock, whale"]
    assert words[3].endswith("the rest contradicts itself")


def test_how_far_each_moves_the_belief():
    ledger = (
        Belief.uniform(["fair", "two-headed"])
        .update("head", [np.log(2.0), 0.0])
        .update("and another", [np.log(2.0), 0.0])
    )
    one = ledger.contribution("head", "bit")
    # From (1/3, 2/3) to (1/5, 4/5).
    expected = 0.2 * np.log2(0.2 / (1 / 3)) + 0.8 * np.log2(0.8 / (2 / 3))
    assert one.moved == pytest.approx(expected, rel=1e-4)
    assert one.towards == "two-headed"
    assert one.gain == pytest.approx(np.log2(0.8 / (2 / 3)), rel=1e-4)
    assert one.excludes == ()
    told = book().contribution("moves")
    assert told.moved > 0.0
    assert told.excludes == ("rock",)
    assert "excludes rock" in book().table()
    assert book().table("nat").splitlines()[0].split() == ["evidence", "weight", "nats", "towards"]


def test_files(tmp_path):
    path = tmp_path / "fog.npz"
    book().reweighted("size", 0.5).save(path)
    again = Ledger.load(path)
    np.testing.assert_array_equal(again.probabilities(), book().reweighted("size", 0.5).probabilities())
    assert again.log_normalizer == book().reweighted("size", 0.5).log_normalizer
    assert again.labels == PRIOR.labels
    assert dict(again.weights) == {"horn": 1.0, "moves": 1.0, "size": 0.5}
    np.testing.assert_allclose(
        again.without("moves").probabilities(),
        book().reweighted("size", 0.5).without("moves").probabilities(),
        rtol=1e-6,
    )
    assert [p.name for p in tmp_path.iterdir()] == ["fog.npz"]
    (tmp_path / "other.npz").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"other.npz is not a file that Ledger.save wrote"):
        Ledger.load(tmp_path / "other.npz")
    np.savez(tmp_path / "evil.npz", header=np.array([{}], object))
    with pytest.raises(ValueError, match=r"evil.npz is not a file"):
        Ledger.load(tmp_path / "evil.npz")
    with pytest.raises(FileNotFoundError):
        Ledger.load(tmp_path / "none.npz")
    named = [("a", 1), ("b", (2, 0.5))]
    Belief.uniform(named).update("x", [0.0, 1.0]).save(path)
    assert Ledger.load(path).labels == tuple(named)
    with pytest.raises(
        ValueError, match="Labels are written as text or numbers, or tuples of them; this belief has None"
    ):
        Belief.uniform(["a", None]).update("x", [0.0, 1.0]).save(path)


def test_files_of_another_precision_keep_the_constant(tmp_path):
    path = tmp_path / "deep.npz"
    s = np.array([123_456_789.123, 123_456_790.123])
    with jax.enable_x64(True):
        Belief(s).update("e", s + 0.25).save(path)
    again = Ledger.load(path)
    assert again.excess.dtype == np.float32
    np.testing.assert_allclose(again.constant, 2 * s[0] + 0.25, rtol=1e-14)
    np.testing.assert_allclose(again.excess, [0.0, 2.0], rtol=1e-6)
    again.save(path)
    with jax.enable_x64(True):
        np.testing.assert_allclose(Ledger.load(path).constant, 2 * s[0] + 0.25, rtol=1e-14)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: book().update("horn", [0.0, 0.0, 0.0]), ValueError, "there is a 'horn' already"),
        (lambda: book().without("bell"), KeyError, "no contribution 'bell'; there are: 'horn', 'moves', 'size'"),
        (lambda: book().reweighted("horn", -1.0), ValueError, "at least 0; got -1.0 for 'horn'"),
        (lambda: PRIOR.update("x", [0.0, 1.0]), ValueError, "got 3 and 2"),
        (lambda: PRIOR.update("x", "no"), TypeError, "Evidence is a Belief, or an array"),
        (lambda: PRIOR.update(3, [0.0, 0.0, 0.0]), TypeError, "named by a string; got 3"),
        (lambda: PRIOR.update("x", [0.0, 0.0, 0.0], "1"), TypeError, "weighed by a number.*got '1' for 'x'"),
        (lambda: PRIOR.update("x", [0.0, 0.0, 0.0], [1.0, np.nan]), ValueError, "finite numbers"),
        (
            lambda: Belief(np.zeros((2, 3))).update("x", [0.0, 0.0, 0.0], np.ones(4)),
            ValueError,
            r"got the shapes \(2,\) and \(4,\)",
        ),
    ],
)
def test_errors_are_sentences(call, error, words):
    with pytest.raises(error, match=words):
        call()
