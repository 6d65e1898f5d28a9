"""Hidden Markov models beside hmmlearn's: the same likelihood, states and path; and where its scaled probabilities run out."""

import itertools

import jax
import numpy as np
import pytest
from scipy.special import logsumexp

import surprax as sx
from surprax.beliefs.chains import HiddenMarkov

hmm = pytest.importorskip("hmmlearn.hmm", reason="hmmlearn is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning")  # of the peer

INITIAL = np.array([0.6, 0.3, 0.1])
MOVES = np.array([[0.9, 0.08, 0.02], [0.1, 0.8, 0.1], [0.05, 0.15, 0.8]])
LOC, SCALE = np.array([-1.0, 0.5, 2.0]), np.array([0.5, 1.0, 0.8])
RATES = np.array([2.0, 6.0, 14.0])
IMPLEMENTATIONS = pytest.mark.parametrize("implementation", ["log", "scaling"])


def gaussian(initial, moves, loc, scale, implementation):
    peer = hmm.GaussianHMM(len(loc), "diag", implementation=implementation)
    peer.startprob_, peer.transmat_, peer.means_ = initial, moves, loc[:, None]
    peer.covars_ = scale[:, None] ** 2
    return peer


def brute(initial, moves, e):
    """log-likelihood and probabilities of states in float64, over all paths."""
    paths = np.array(list(itertools.product(range(e.shape[1]), repeat=len(e))))
    with np.errstate(divide="ignore"):
        first, step = np.log(initial), np.log(moves)
    log_p = first[paths[:, 0]] + step[paths[:, :-1], paths[:, 1:]].sum(axis=1)
    log_p = log_p + e[np.arange(len(e)), paths].sum(axis=1)
    total = logsumexp(log_p)
    states = np.zeros(e.shape)
    for t in range(len(e)):
        np.add.at(states[t], paths[:, t], np.exp(log_p - total))
    return total, states


@IMPLEMENTATIONS
@pytest.mark.parametrize("T", [1, 2, pytest.param(50, marks=pytest.mark.thorough), 2500])
def test_normal_chains_are_hmmlearns(implementation, T):
    model = HiddenMarkov(INITIAL, MOVES, sx.Normal(LOC, SCALE))
    x = np.asarray(model.sample(jax.random.key(T), T)[1], np.float64)
    peer = gaussian(INITIAL, MOVES, LOC, SCALE, implementation)
    total, states = peer.score_samples(x[:, None])
    found = model.smooth(x)
    np.testing.assert_allclose(model.log_likelihood(x), total, rtol=1e-5)
    np.testing.assert_allclose(found.log_likelihood, total, rtol=1e-5)
    np.testing.assert_allclose(found.probabilities, states, atol=2e-5)
    best, path = peer.decode(x[:, None])
    np.testing.assert_allclose(model.viterbi(x).log_probability, best, rtol=1e-5)
    assert np.mean(np.asarray(model.viterbi(x).states) == path) > 0.999  # but for ties in float32


@IMPLEMENTATIONS
def test_poisson_chains_of_unequal_lengths_are_hmmlearns(implementation):
    model = HiddenMarkov(INITIAL, MOVES, sx.Poisson(RATES))
    some = [np.asarray(model.sample(jax.random.key(i), n)[1]).astype(int) for i, n in enumerate((7, 1, 120, 33))]
    peer = hmm.PoissonHMM(3, implementation=implementation)
    peer.startprob_, peer.transmat_, peer.lambdas_ = INITIAL, MOVES, RATES[:, None]
    rows, lengths = np.concatenate(some)[:, None], [len(x) for x in some]
    total, states = peer.score_samples(rows, lengths)
    found = model.smooth(some)
    np.testing.assert_allclose(found.log_likelihood.sum(), total, rtol=1e-5)
    ours = np.concatenate([np.asarray(found.probabilities[i, :n]) for i, n in enumerate(lengths)])
    np.testing.assert_allclose(ours, states, atol=2e-5)
    np.testing.assert_allclose(found.log_likelihood, [peer.score(x[:, None]) for x in some], rtol=1e-5)


def test_fits_are_hmmlearns():
    """From the same start, without its priors, to the same maximum."""
    model = HiddenMarkov([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], sx.Poisson(np.array([15.0, 26.0])))
    x = sx.data.datasets.load("earthquakes")["count"].values.astype(int)
    peer = hmm.PoissonHMM(2, init_params="", n_iter=500, tol=1e-9)
    peer.startprob_, peer.transmat_, peer.lambdas_ = (
        np.array([0.5, 0.5]),
        np.asarray(model.transition),
        np.array([[15.0], [26.0]]),
    )
    peer.lambdas_prior, peer.lambdas_weight = 0.0, 0.0
    peer.fit(x[:, None])
    fit, outcome = model.fit(x, tolerance=1e-9)
    np.testing.assert_allclose(outcome.log_likelihood, peer.score(x[:, None]), atol=1e-4)
    np.testing.assert_allclose(fit.emission.rate, peer.lambdas_[:, 0], rtol=1e-3)
    np.testing.assert_allclose(fit.transition, peer.transmat_, atol=1e-3)


def told_apart(nats):
    """States that never change: one observation speaks for the first with so many nats, then three for the second."""
    gap = np.sqrt(2 * nats)
    loc, x = np.array([0.0, gap, 0.4 * gap]), np.array([0.0, gap, gap, gap])
    e = -0.5 * (x[:, None] - loc) ** 2 - 0.5 * np.log(2 * np.pi)
    return np.full(3, 1 / 3), np.eye(3), loc, x, e


def test_what_is_all_but_impossible_comes_back():
    for nats in (110.0, 300.0, 800.0):
        initial, moves, loc, x, e = told_apart(nats)
        total, states = brute(initial, moves, e)
        found = HiddenMarkov(initial, moves, sx.Normal(loc, 1.0)).smooth(x)
        np.testing.assert_allclose(found.log_likelihood, total, rtol=1e-5)
        np.testing.assert_allclose(found.probabilities, states, atol=1e-4)
        peer = gaussian(initial, moves, loc, np.ones(3), "log")
        np.testing.assert_allclose(peer.score(x[:, None]), total, rtol=1e-10)
    # Scaled probabilities have forgotten the second state by then, in float64 too.
    scaled = gaussian(initial, moves, loc, np.ones(3), "scaling").score_samples(x[:, None])[1]
    assert not np.max(np.abs(scaled - states)) < 0.1


def test_hard_zeros_stay_hard():
    initial, moves = np.array([1.0, 0.0, 0.0]), np.array([[0.7, 0.3, 0.0], [0.0, 0.6, 0.4], [0.0, 0.0, 1.0]])
    x = np.array([0.1, 30.0, -0.3, 14.0, 30.5, 29.0])
    loc = np.array([0.0, 15.0, 30.0])
    e = -0.5 * (x[:, None] - loc) ** 2 - 0.5 * np.log(2 * np.pi)
    total, states = brute(initial, moves, e)
    model = HiddenMarkov(initial, moves, sx.Normal(loc, 1.0))
    found = model.smooth(x, pairwise=True)
    np.testing.assert_allclose(found.log_likelihood, total, rtol=1e-5)
    np.testing.assert_allclose(found.probabilities, states, atol=1e-5)
    assert np.all(np.asarray(found.pairs)[:, moves == 0] == 0)
    peer = gaussian(initial, moves, loc, np.ones(3), "log")
    np.testing.assert_allclose(peer.score(x[:, None]), total, rtol=1e-10)
    assert list(model.viterbi(x).states) == list(peer.decode(x[:, None])[1]) == [0, 1, 1, 1, 2, 2]
