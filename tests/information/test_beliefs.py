"""Information of beliefs is that of the tables of their probabilities."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

import surprax as sx
from surprax import information as info
from surprax.beliefs import Belief

RNG = np.random.default_rng(0)
LABELS = ("a", "b", "c", "d")
P, Q = np.array([0.5, 0.25, 0.125, 0.125]), np.array([0.125, 0.25, 0.5, 0.125])
PS, QS = RNG.dirichlet(np.ones(4), (3, 2)), RNG.dirichlet(np.ones(4), 2)
NOTHING = Belief(np.full(4, np.inf), LABELS)
OF_ONE = {
    "entropy": info.entropy,
    "renyi-0": lambda p, **k: info.renyi(p, order=0, **k),
    "renyi-half": lambda p, **k: info.renyi(p, order=0.5, **k),
    "renyi-1": lambda p, **k: info.renyi(p, order=1, **k),
    "renyi-inf": lambda p, **k: info.renyi(p, order=math.inf, **k),
    "tsallis": lambda p, **k: info.tsallis(p, 2, **k),
    "tsallis-1": lambda p, **k: info.tsallis(p, 1, **k),
}
OF_TWO = {
    "cross_entropy": info.cross_entropy,
    "kl": info.kl,
    "bayesian_surprise": lambda p, q, **k: info.bayesian_surprise(q, p, **k),
    "renyi-half": lambda p, q, **k: info.renyi(p, q, 0.5, **k),
    "renyi-1": lambda p, q, **k: info.renyi(p, q, 1, **k),
    "renyi-inf": lambda p, q, **k: info.renyi(p, q, math.inf, **k),
    "jensen_shannon": info.jensen_shannon,
    "f-hellinger": lambda p, q, **k: info.f_divergence(p, q, "hellinger", **k),
    "f-function": lambda p, q, **k: info.f_divergence(p, q, lambda t: (t - 1) ** 2, slope_at_infinity=math.inf, **k),
}
of_one = pytest.mark.parametrize("function", OF_ONE.values(), ids=OF_ONE)
of_two = pytest.mark.parametrize("function", OF_TWO.values(), ids=OF_TWO)


def belief(p, labels=LABELS):
    """Of any constant, which means nothing here."""
    return Belief(3.0 - np.log(p), labels)


@of_one
def test_one_belief_is_its_table(function):
    b = Belief.from_probabilities(P, LABELS)
    np.testing.assert_allclose(function(b), function(P), rtol=1e-6)
    np.testing.assert_allclose(function(b + np.full(4, 200.0)), function(P), rtol=1e-5)
    assert function(b).dtype == np.float64
    np.testing.assert_allclose(function(belief(PS)), function(PS), rtol=1e-5)
    assert function(belief(PS)).shape == (3, 2)


@of_two
def test_two_beliefs_are_their_tables(function):
    b, c = belief(P), belief(Q)
    np.testing.assert_allclose(function(b, c), function(P, Q), rtol=1e-5)
    np.testing.assert_allclose(function(b, c.probabilities()), function(P, Q), rtol=1e-5)
    np.testing.assert_allclose(function(P, c), function(P, Q), rtol=1e-5)
    np.testing.assert_allclose(function(belief(PS), belief(QS)), function(PS, QS), rtol=1e-4)
    np.testing.assert_allclose(function(belief(PS), c), function(PS, np.broadcast_to(Q, (3, 2, 4))), rtol=1e-4)


@of_two
def test_labels_have_to_be_the_same_where_both_have_some(function):
    with pytest.raises(ValueError, match=r"number 2 is 'c' in `\w+` and 'x' in `\w+`\. Give both the same labels"):
        function(belief(P), belief(Q, ("a", "b", "x", "d")))
    np.testing.assert_allclose(function(belief(P), belief(Q, None)), function(P, Q), rtol=1e-5)
    with pytest.raises(ValueError, match=r"got 4 in `.*` and 3 in `"):
        function(belief(P), belief(Q[:3], None))


def test_errors_use_the_names_of_the_arguments():
    with pytest.raises(ValueError, match="number 3 is 'd' in `posterior` and 'e' in `prior`"):
        info.bayesian_surprise(belief(P, ("a", "b", "c", "e")), belief(Q))
    with pytest.raises(ValueError, match="`prior` contradicts itself"):
        info.bayesian_surprise(NOTHING, belief(P))


@of_one
def test_contradictions_of_one(function):
    with pytest.raises(ValueError, match="every hypothesis is impossible is no distribution; `p` contradicts itself"):
        function(NOTHING)
    both = Belief(np.stack([np.zeros(4), np.full(4, np.inf)]))
    with pytest.raises(ValueError, match=r"contradicts itself at index 1\. Take back the evidence"):
        function(both)
    traced = jax.jit(function)(both)
    assert np.isnan(traced[1])
    assert np.isfinite(traced[0])


@of_two
def test_contradictions_of_two(function):
    for pair in ((NOTHING, belief(P)), (belief(P), NOTHING), (NOTHING, NOTHING)):
        with pytest.raises(ValueError, match="contradicts itself"):
            function(*pair)
        assert np.isnan(jax.jit(function)(*pair))


@of_two
def test_impossible_hypotheses_are_those_of_tables(function):
    p, q = np.array([0.5, 0.5, 0.0, 0.0]), np.array([0.25, 0.5, 0.25, 0.0])
    b, c = (Belief.from_probabilities(v) for v in (p, q))
    np.testing.assert_allclose(function(b, c), function(p, q), rtol=1e-6)
    np.testing.assert_allclose(function(c, b), function(q, p), rtol=1e-6)


@of_two
def test_beliefs_under_transformations(function):
    b, c = belief(P), belief(Q)
    np.testing.assert_allclose(jax.jit(function)(b, c), function(P, Q), rtol=1e-5)
    np.testing.assert_allclose(
        jax.jit(jax.vmap(lambda b: function(b, c)))(belief(PS[:, 0])), [function(p, Q) for p in PS[:, 0]], rtol=1e-4
    )
    slope = jax.jit(jax.grad(lambda s: function(Belief(s), c)))(-jnp.log(jnp.array(P)))
    log = "log_posterior" if function is OF_TWO["bayesian_surprise"] else "log_p"
    expected = jax.jit(jax.grad(lambda a: function(None, c, **{log: a})))(jnp.log(jnp.array(P)))
    np.testing.assert_allclose(slope, -expected, rtol=1e-4, atol=1e-6)


@given(
    some.lists(some.floats(-30.0, 30.0), min_size=4, max_size=4),
    some.lists(some.floats(-30.0, 30.0), min_size=4, max_size=4),
)
def test_entropy_and_kl_are_those_of_the_belief_itself(s, t):
    b, c = Belief(np.array(s)), Belief(np.array(t))
    np.testing.assert_allclose(info.entropy(b), b.entropy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(info.kl(b, c), b.kl(c), rtol=1e-4, atol=1e-5)


def test_bayesian_surprise_is_what_evidence_moves():
    prior = sx.Belief.from_probabilities([0.5, 0.3, 0.2], ["x", "y", "z"])
    book = prior.update("seen", -np.log([0.1, 0.4, 0.4]))
    np.testing.assert_allclose(info.bayesian_surprise(prior, book, "bit"), book.contribution("seen").moved, rtol=1e-5)
    np.testing.assert_allclose(
        info.bayesian_surprise(prior, book), info.kl([0.2, 0.48, 0.32], [0.5, 0.3, 0.2]), rtol=1e-6
    )


def test_reports():
    told = info.decompose(belief(P), belief(Q), "bit")
    assert told.expected_surprise == pytest.approx(float(info.cross_entropy(P, Q, "bit")), rel=1e-6)
    assert told.coherent
    claimed = info.decompose(belief([0.5, 0.3, 0.2], None), surprise=[1.2, 2.5, 3.0], unit="bit")
    assert claimed.expected_surprise == pytest.approx(1.95, abs=1e-6)
    with pytest.raises(ValueError, match="number 0 is 'a'"):
        info.decompose(belief(P), belief(Q, ("z", "b", "c", "d")))
    with pytest.raises(ValueError, match="got traced ones"):
        jax.jit(lambda b: info.decompose(b, b).kl)(belief(P))


def test_several_beliefs_in_a_list():
    several = [belief(p) for p in PS[:, 0]]
    np.testing.assert_allclose(info.jensen_shannon(several), info.jensen_shannon(PS[:, 0]), rtol=1e-4)
    np.testing.assert_allclose(info.jensen_shannon(belief(PS[:, 0])), info.jensen_shannon(PS[:, 0]), rtol=1e-4)
    np.testing.assert_allclose(info.entropy(several), info.entropy(PS[:, 0]), rtol=1e-5)
    np.testing.assert_allclose(jax.jit(info.jensen_shannon)(several), info.jensen_shannon(PS[:, 0]), rtol=1e-4)
    with pytest.raises(ValueError, match=r"number 1 is 'b' in `p\[0\]` and 'x' in `p\[1\]`"):
        info.jensen_shannon([belief(P), belief(Q, ("a", "x", "c", "d"))])
    with pytest.raises(ValueError, match="`p` has a ndarray as number 1"):
        info.jensen_shannon([belief(P), Q])
    with pytest.raises(ValueError, match=r"got one\. Pass a second"):
        info.jensen_shannon(belief(P))


def test_channels_and_sources():
    channel = [Belief.from_probabilities(row, ["0", "1"]) for row in ([0.9, 0.1], [0.1, 0.9])]
    assert info.channel_capacity(channel, "bit").capacity == pytest.approx(0.531004, abs=1e-5)
    source = Belief.uniform(2)
    r = info.rate_distortion(source, [[0, 1], [1, 0]], "bit", target=0.1)
    assert r.rate == pytest.approx(0.531004, abs=1e-5)


JOINT = RNG.dirichlet(np.ones(12)).reshape(2, 3, 2)
NAMES = [(x, y, z) for x in "ab" for y in (1, 2, 3) for z in (True, False)]
KEPT = RNG.permutation(12)


def joint(p=JOINT, kept=KEPT):
    """In an order of its own."""
    return Belief.from_probabilities(p.reshape(*p.shape[:-3], 12)[..., kept], [NAMES[k] for k in kept])


def test_a_belief_with_tuples_for_labels_is_a_joint_table():
    b = joint()
    np.testing.assert_allclose(info.total_correlation(b), info.total_correlation(JOINT), rtol=1e-5)
    np.testing.assert_allclose(info.interaction_information(b), info.interaction_information(JOINT), rtol=1e-4)
    np.testing.assert_allclose(
        info.conditional_mutual_information(b), info.conditional_mutual_information(JOINT), rtol=1e-4
    )
    np.testing.assert_allclose(
        info.mutual_information(b, ((0, 1), 2)), info.mutual_information(JOINT, ((0, 1), 2)), rtol=1e-4
    )


@pytest.mark.parametrize(("axes", "out"), [((0, 1), 2), ((2, 0), 1), ((-1, -2), 0)])
def test_variables_that_are_not_named_are_summed_over(axes, out):
    expected = info.mutual_information(JOINT.sum(out))
    np.testing.assert_allclose(info.mutual_information(joint(), axes), expected, rtol=1e-4)
    np.testing.assert_allclose(jax.jit(lambda b: info.mutual_information(b, axes))(joint()), expected, rtol=1e-3)


def test_batches_of_joint_beliefs():
    several = RNG.dirichlet(np.ones(12), 5).reshape(5, 2, 3, 2)
    b = joint(several)
    np.testing.assert_allclose(info.total_correlation(b), info.total_correlation(several, axes=(1, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(
        info.mutual_information(b), [info.mutual_information(p.sum(0)) for p in several], rtol=1e-4, atol=1e-6
    )
    slope = jax.jit(jax.grad(lambda s: jnp.sum(info.total_correlation(Belief(s, NAMES)))))
    assert np.all(np.isfinite(slope(-jnp.log(jnp.array(JOINT)).reshape(12))))


def test_combinations_without_a_label_are_impossible():
    some_of_them = np.array([0, 3, 6, 11])
    p = np.zeros(12)
    p[some_of_them] = JOINT.reshape(12)[some_of_them]
    b = Belief.from_probabilities(p[some_of_them], [NAMES[k] for k in some_of_them], normalised=False)
    p = (p / p.sum()).reshape(2, 3, 2)
    np.testing.assert_allclose(info.total_correlation(b), info.total_correlation(p), rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: info.entropy(belief(P), axis=0), None),
        (lambda: info.entropy(belief(P), axis=None), None),
        (lambda: info.entropy(belief(PS), axis=0), "hypotheses along the last axis, .* got axis=0 of `p`, which has 3"),
        (lambda: info.entropy(belief(PS), axis=None), "got axis=None"),
        (lambda: info.entropy(belief(P), log_p=P), "got both"),
        (lambda: info.entropy(log_p=belief(P)), "got one as `log_p`. Give it as `p`"),
        (lambda: info.kl(belief(P), sx.Normal(0.0, 1.0)), "got Belief and Normal"),
        (lambda: info.mutual_information(belief(P)), "labels are tuples, with a value of each; got 'a'"),
        (lambda: info.mutual_information(belief(P, None)), "got none. Name its hypotheses so"),
        (lambda: info.mutual_information(Belief.uniform([("a", "b"), ("a",)])), r"got \('a', 'b'\) and \('a',\)"),
        (lambda: info.total_correlation(Belief.uniform([("a",), ("b",)])), "at least two variables"),
        (lambda: info.mutual_information(joint(), (0, 3)), "between -3 and 2; got 3"),
        (lambda: info.mutual_information(joint(np.stack([JOINT, JOINT])), (0, 1)), "got axis 0 of a batch of 1 axes"),
        (lambda: info.mutual_information(Belief(np.full(4, np.inf), NAMES[:4])), "`p` contradicts itself"),
        (lambda: info.mutual_information(joint(), log_p=JOINT), "got both"),
    ],
)
def test_errors_are_sentences(call, words):
    if words is None:
        np.testing.assert_allclose(call(), info.entropy(P), rtol=1e-6)
        return
    with pytest.raises(ValueError, match=words):
        call()
