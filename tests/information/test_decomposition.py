"""Two surprises under two names, and what expected surprise is made of: figures of the talk, identities, reports."""

import math

import jax
import numpy as np
import pytest
import scipy.special as sp
from hypothesis import given
from hypothesis import strategies as some

import surprax as sx
from surprax import information as info

P = np.array([0.5, 0.3, 0.2])


def test_one_success_has_two_surprises():
    """Beta(1, 1) → Beta(2, 1): −log ½ = 0.693 and log 2 − ½ = 0.193 nat."""
    prior = sx.Beta(1.0, 1.0)
    posterior = prior + sx.Bernoulli.evidence([1.0])
    predictive = sx.predictive(prior, sx.Bernoulli)
    np.testing.assert_allclose(info.shannon_surprise(predictive, 1.0), math.log(2), rtol=1e-6)
    np.testing.assert_allclose(info.bayesian_surprise(prior, posterior), math.log(2) - 0.5, rtol=1e-5)
    np.testing.assert_allclose(info.shannon_surprise(predictive, 1.0, "bit"), 1.0, rtol=1e-6)
    np.testing.assert_allclose(
        info.bayesian_surprise(prior, posterior, "ban"), (math.log(2) - 0.5) / math.log(10), rtol=1e-5
    )


def test_bayesian_surprise_of_tables():
    prior, likelihood = P, np.array([0.1, 0.4, 0.4])
    posterior = prior * likelihood / np.sum(prior * likelihood)
    np.testing.assert_allclose(posterior, [0.2, 0.48, 0.32])
    np.testing.assert_allclose(info.bayesian_surprise(prior, posterior), info.kl(posterior, prior), rtol=1e-15)
    by_log = info.bayesian_surprise(prior, log_posterior=np.log(prior) + np.log(likelihood))
    np.testing.assert_allclose(by_log, info.kl(posterior, prior), rtol=1e-13)
    # Its mean over what may be observed is the mutual information of hypothesis and observation.
    joint = prior[:, None] * np.stack([likelihood, 1 - likelihood], axis=1)
    seen = joint.sum(axis=0)
    mean = seen @ info.bayesian_surprise(prior, (joint / seen).T)
    np.testing.assert_allclose(mean, info.mutual_information(joint), rtol=1e-12)


def test_an_incoherent_player():
    """S = (1.2, 2.5, 3) bit at p = (.5, .3, .2): Z = .737, both sides 1.95 bit."""
    report = info.decompose(P, surprise=[1.2, 2.5, 3.0], unit="bit")
    z = 2**-1.2 + 2**-2.5 + 2**-3.0
    assert report.kraft_sum == pytest.approx(z, rel=1e-14)
    assert round(report.kraft_sum, 3) == 0.737
    assert report.expected_surprise == pytest.approx(1.95, rel=1e-14)
    assert report.entropy + report.kl + report.incoherence == pytest.approx(1.95, rel=1e-13)
    assert report.incoherence == pytest.approx(-math.log2(z), rel=1e-13)
    assert report.cross_entropy == pytest.approx(report.entropy + report.kl)
    lines = str(report).splitlines()
    assert lines[0].split() == ["bit"]
    assert lines[-1].split() == ["=", "expected", "surprise", "1.9500"]
    assert "Z = 0.7371 < 1" in str(report)


@given(
    some.lists(some.floats(-3.0, 20.0), min_size=3, max_size=3),
    some.lists(some.floats(-5.0, 5.0), min_size=3, max_size=3),
)
def test_noise_wrongness_and_incoherence_add(s, log_p):
    for truth in ({"p": sp.softmax(log_p)}, {"log_p": np.array(log_p)}):
        report = info.decompose(**truth, surprise=s, unit="bit")
        np.testing.assert_allclose(report.expected_surprise, sp.softmax(log_p) @ np.array(s), rtol=1e-12, atol=1e-13)
        total = report.entropy + report.kl + report.incoherence
        np.testing.assert_allclose(total, report.expected_surprise, rtol=1e-11, atol=1e-12)
        assert report.kl >= 0


def test_coherent_players():
    q = np.array([0.25, 0.25, 0.5])
    report = info.decompose(P, q, "bit")
    assert report.expected_surprise == pytest.approx(float(info.cross_entropy(P, q, "bit")), rel=1e-14)
    assert (report.kraft_sum, report.incoherence) == (1.0, 0.0)
    same = info.decompose(P, surprise=-np.log2(q), unit="bit")
    np.testing.assert_allclose([same.kl, same.expected_surprise], [report.kl, report.expected_surprise], rtol=1e-12)
    assert same.kraft_sum == pytest.approx(1.0)
    assert "coherent" in str(same)
    assert "cross-entropy" in str(report)
    assert "Kraft" not in str(report)
    boast = info.decompose(P, surprise=[0.0, 0.0, 0.0])  # "nothing surprises me"
    assert boast.kraft_sum == pytest.approx(3.0)
    assert boast.expected_surprise == 0
    assert "not allowed" in str(boast)


def test_infinite_surprise():
    wrong = info.decompose(P, surprise=[1.0, 1.0, np.inf], unit="bit")
    assert wrong.expected_surprise == np.inf
    assert wrong.kl == np.inf
    assert "inf" in str(wrong)
    right = info.decompose([0.5, 0.5, 0.0], surprise=[1.0, 1.0, np.inf], unit="bit")
    assert right.expected_surprise == pytest.approx(1.0)
    assert right.kl == pytest.approx(0.0, abs=1e-15)


def test_members_of_families():
    p, q = sx.Normal(0.0, 1.0), sx.Normal(1.0, 1.0)
    report = info.decompose(p, q)
    np.testing.assert_allclose([report.entropy, report.kl], [0.5 * math.log(2 * math.pi * math.e), 0.5], rtol=1e-6)
    np.testing.assert_allclose(report.expected_surprise, p.cross_entropy(q), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: info.decompose(P, P, surprise=[1.0, 1.0, 1.0]), "one of them; got both"),
        (lambda: info.decompose(P, surprise=[1.0, 1.0]), r"each of 3 outcomes; got an array of shape \(2,\)"),
        (lambda: info.decompose(P, surprise=[1.0, math.nan, 1.0]), "got nan at index 1"),
        (lambda: info.decompose(P, surprise=[np.inf] * 3), "all surprises are inf"),
        (lambda: info.decompose(P), "as `q` or as `log_q`"),
        (lambda: info.decompose([P, P], P), r"about one distribution; got shape \(2, 3\)"),
        (lambda: info.decompose(sx.Normal(np.zeros(2), 1.0), sx.Normal(0.0, 1.0)), "got a batch"),
        (lambda: info.decompose(sx.Normal(0.0, 1.0), surprise=[1.0]), "member of a family as `p`"),
        (lambda: info.decompose(P, surprise=[1.0, 1.0, 1.0], unit="bits"), "Did you mean 'bit'"),
        (lambda: jax.jit(lambda p: info.decompose(p, P).kl)(P), "got traced ones"),
        (lambda: info.shannon_surprise(0.5, 1.0), "got float"),
        (lambda: info.bayesian_surprise(P), "as `posterior` or as `log_posterior`, one of them; got neither"),
    ],
)
def test_errors_are_sentences(call, words):
    with pytest.raises(ValueError, match=words):
        call()
