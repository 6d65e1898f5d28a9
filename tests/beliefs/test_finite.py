"""Beliefs over finitely many hypotheses: a vector space with impossible things in it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special as sp
import scipy.stats as st
from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis.extra import numpy as arrays

import surprax as sx
from surprax import Belief

LABELS = ["a", "b", "c", "d", "e"]
numbers = some.floats(-50.0, 50.0, width=32)
surprises = arrays.arrays(np.float64, 5, elements=numbers)
with_gaps = arrays.arrays(np.float64, 5, elements=numbers | some.just(np.inf))
times = some.floats(0.0, 4.0, width=16)


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    with jax.enable_x64(request.param == np.float64):
        yield request.param


def close(a, b, dtype=np.float32, scale=1.0):
    """Equal as surprises, to some roundings of numbers of size 300."""
    a, b = (np.asarray(v, np.float64) for v in (a, b))
    np.testing.assert_array_equal(np.isposinf(a), np.isposinf(b))
    keep = np.isfinite(b)
    np.testing.assert_allclose(a[keep], b[keep], rtol=0, atol=scale * 600 * np.finfo(dtype).eps)


def log_p(s):
    """Of −s, normalised, in float64."""
    s = np.asarray(s, np.float64)
    return np.full_like(s, -np.inf) if np.all(np.isinf(s)) else -s - sp.logsumexp(-s)


# Bayes' rule.


@settings(max_examples=40)
@given(s=with_gaps, t=with_gaps)
def test_bayes_rule(s, t):
    """Probabilities and the log-probability of the evidence, against float64."""
    with jax.enable_x64(True):
        posterior = Belief(s) + Belief(t)
        expected = s + t
        if np.all(np.isinf(expected)):
            assert bool(posterior.contradiction)
            assert posterior.log_normalizer == -np.inf
            np.testing.assert_array_equal(posterior.probabilities(), np.zeros(5))
            assert "all impossible" in repr(posterior)
        else:
            close(posterior.surprise(), -log_p(expected), np.float64)
            np.testing.assert_allclose(posterior.log_normalizer, sp.logsumexp(-expected), rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(np.sum(posterior.probabilities()), 1.0, rtol=1e-12)


def test_figures_of_the_textbook():
    """(.5, .3, .2) and (.1, .4, .4) give (.2, .48, .32); the likelihood's length is 1.132; subtraction gives the prior back."""
    prior = Belief.from_probabilities([0.5, 0.3, 0.2], labels=["x", "y", "z"])
    likelihood = Belief.from_probabilities([0.1, 0.4, 0.4], normalised=False)
    np.testing.assert_allclose((prior + likelihood).probabilities(), [0.2, 0.48, 0.32], rtol=1e-6)
    np.testing.assert_allclose(likelihood.norm(), 1.132, atol=5e-4)
    np.testing.assert_allclose((prior + likelihood - likelihood).probabilities(), [0.5, 0.3, 0.2], rtol=1e-6)
    assert (prior + likelihood).labels == ("x", "y", "z")


# A vector space.


@settings(max_examples=30)
@given(a=surprises, b=surprises, c=surprises, t=times, u=times)
def test_axioms(a, b, c, t, u):
    for dtype in (np.float32, np.float64):
        with jax.enable_x64(dtype == np.float64):
            x, y, z = (Belief(v.astype(dtype)) for v in (a, b, c))
            zero = Belief.uniform(5)
            close(((x + y) + z).surprise(), (x + (y + z)).surprise(), dtype)
            close((x + y).surprise(), (y + x).surprise(), dtype)
            close((x + zero).surprise(), x.surprise(), dtype)
            close((x - x).probabilities(), np.full(5, 0.2), dtype)
            close((x + y - y).surprise(), x.surprise(), dtype)
            close(((x + y) * t).surprise(), (x * t + y * t).surprise(), dtype, 4)
            close((x * (t + u)).surprise(), (x * t + x * u).surprise(), dtype, 8)
            close((x * t * u).surprise(), (x * (t * u)).surprise(), dtype, 16)
            close((t * x).surprise(), (x * t).surprise(), dtype)
            assert (x * 0.0).norm() == 0.0


@settings(max_examples=30)
@given(a=surprises, b=surprises, c=surprises, t=times)
def test_inner_product(a, b, c, t):
    with jax.enable_x64(True):
        x, y, z = map(Belief, (a, b, c))
        size = 1.0 + float(x.norm() * y.norm() + x.norm() * z.norm())
        assert abs(x.inner(y) - y.inner(x)) <= 1e-12 * size
        assert abs((x * t).inner(y) - t * x.inner(y)) <= 1e-12 * size * (1.0 + t)
        assert abs(x.inner(y + z) - x.inner(y) - x.inner(z)) <= 1e-12 * size
        assert x.inner(x) >= 0.0
        assert abs(x.inner(y)) <= x.norm() * y.norm() * (1.0 + 1e-12) + 1e-12
        np.testing.assert_allclose((x + z).distance(y + z), x.distance(y), atol=1e-11)
        assert x.distance(y) <= x.distance(z) + z.distance(y) + 1e-10
        np.testing.assert_allclose(np.sum(x.ilr() * y.ilr()), x.inner(y), atol=1e-11 * size)
        close(Belief.from_ilr(x.ilr()).surprise(), x.surprise(), np.float64)
        close(Belief.from_clr(x.clr()).surprise(), x.surprise(), np.float64)


def test_angles_and_projections():
    with jax.enable_x64(True):
        x, y = Belief([0.0, 1.0, 5.0]), Belief([0.0, 3.0, -1.0])
        cosine = x.inner(y) / (x.norm() * y.norm())
        np.testing.assert_allclose(x.angle(y), np.arccos(cosine), rtol=1e-12)
        np.testing.assert_allclose(x.angle(x * 2.0), 0.0, atol=1e-12)
        shadow = x.project(y)
        np.testing.assert_allclose((x - shadow).inner(y), 0.0, atol=1e-12)
        close(x.project(y, Belief([1.0, 0.0, 0.0])).surprise(), x.surprise(), np.float64)
        near = Belief([0.0, 1.0, 5.0 + 1e-9])
        np.testing.assert_allclose(
            x.angle(near), np.linalg.norm(np.cross(x.clr(), near.clr())) / (x.norm() * near.norm()), rtol=1e-5
        )


def test_fisher_rao_is_the_angle_on_the_sphere_and_keeps_digits():
    with jax.enable_x64(True):
        p, q = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.6, 0.3])
        expected = 2.0 * np.arccos(np.sum(np.sqrt(p * q)))
        np.testing.assert_allclose(
            Belief.from_probabilities(p).fisher_rao(Belief.from_probabilities(q)), expected, rtol=1e-12
        )
        small = Belief.from_probabilities(p + np.array([1e-9, -1e-9, 0.0]), normalised=False)
        expected = 1e-9 * np.sqrt(1.0 / p[0] + 1.0 / p[1])  # √(Σ dp²/p)
        np.testing.assert_allclose(Belief.from_probabilities(p).fisher_rao(small), expected, rtol=1e-6)
        shares = Belief.from_probabilities([1.0, 0.0, 0.0]), Belief.from_probabilities([0.0, 0.5, 0.5])
        np.testing.assert_allclose(shares[0].fisher_rao(shares[1]), np.pi, rtol=1e-12)
        # Aitchison's distance divided by √n near the uniform belief.
        a, b = Belief(1e-5 * np.array([1.0, 2.0, 4.0])), Belief(1e-5 * np.array([0.0, -2.0, 1.0]))
        np.testing.assert_allclose(a.fisher_rao(b), a.distance(b) / np.sqrt(3.0), rtol=1e-4)


def test_isometric_coordinates_are_those_of_helmerts_matrix():
    with jax.enable_x64(True):
        n = 7
        helmert = np.array(
            [np.sqrt(k / (k + 1.0)) * np.r_[np.full(k, 1.0 / k), -1.0, np.zeros(n - 1 - k)] for k in range(1, n)]
        )
        s = np.random.default_rng(7).normal(size=(3, n))
        for b in (Belief(s), Belief(s[0])):
            np.testing.assert_allclose(b.ilr(), b.clr() @ helmert.T, atol=1e-14)
            np.testing.assert_allclose(Belief.from_ilr(b.ilr()).clr(), b.clr(), atol=1e-14)
            np.testing.assert_allclose(Belief.from_ilr(np.asarray(b.ilr())).clr(), b.ilr() @ helmert, atol=1e-14)
        assert Belief.from_ilr(Belief([1.0]).ilr()).number == 1
    many = Belief(np.random.default_rng(8).normal(size=100_000))
    assert Belief.from_ilr(many.ilr()).distance(many) < 1e-6 * many.norm()


def test_batches_meet_single_beliefs_and_arrays():
    s, t = np.random.default_rng(9).normal(size=(2, 4, 5)).astype(np.float32)
    batch, one = Belief(s), Belief(t[0], LABELS)
    for told in (Belief.kl, Belief.inner, Belief.distance, Belief.angle, Belief.fisher_rao):
        expected = [told(Belief(row), one) for row in s]
        for other in (one, t[0], jnp.asarray(t[0]), t[0].tolist()):
            np.testing.assert_allclose(told(batch, other), expected, rtol=1e-4, atol=1e-6)
    for shadow, rows in (
        (batch.project(one, t[1]), [Belief(row).project(one, t[1]) for row in s]),
        (one.project(batch), [one.project(row) for row in s]),
    ):
        np.testing.assert_allclose(shadow.clr(), [row.clr() for row in rows], atol=1e-5)
        assert shadow.labels == tuple(LABELS)
    np.testing.assert_allclose(
        Belief.pool([batch, one])["c"], [Belief.pool([Belief(r), one])["c"] for r in s], rtol=1e-5
    )


def test_arrays_on_the_left():
    b, s = Belief([0.0, 1.0, 2.0]), np.array([2.0, 0.0, 1.0])
    for array in (s, jnp.asarray(s), s.tolist()):
        np.testing.assert_allclose((array + b).probabilities(), (b + s).probabilities())
        np.testing.assert_allclose((array - b).probabilities(), (Belief(s) - b).probabilities())
    for t in (np.array([1.0, 2.0]), jnp.array([1.0, 2.0]), [1.0, 2.0]):
        np.testing.assert_allclose((t * b).probabilities(), (b * t).probabilities())
    assert isinstance(np.float64(2.0) * b, Belief)


def test_ways_to_say_how_many():
    b = Belief.uniform(np.int64(4))
    assert b.number == 4
    np.testing.assert_array_equal(b.sample(jax.random.key(0), 7), b.sample(jax.random.key(0), (7,)))
    np.testing.assert_array_equal(b.sample(jax.random.key(0), [np.int64(7)]), b.sample(jax.random.key(0), (7,)))


def test_pooling_is_the_mean():
    with jax.enable_x64(True):
        s = np.random.default_rng(0).normal(size=(4, 5))
        w = np.array([1.0, 2.0, 0.0, 3.0])
        beliefs = [Belief(row, LABELS) for row in s]
        expected = -log_p(np.average(s, axis=0, weights=w))
        close(Belief.pool(beliefs, w).surprise(), expected, np.float64)
        close(Belief.pool(Belief(s), w).surprise(), expected, np.float64)
        assert Belief.pool(beliefs).labels == tuple(LABELS)
        assert Belief.pool([s[0], *beliefs]).labels == tuple(LABELS)
        close(Belief.pool([beliefs[1]]).surprise(), beliefs[1].surprise(), np.float64)
        s[2, 0] = np.inf  # of weight 0
        close(Belief.pool(Belief(s), w).surprise(), expected, np.float64)
        assert Belief.pool(Belief(s))[0] == 0.0


def test_principal_axes_and_linear_maps():
    with jax.enable_x64(True):
        rng = np.random.default_rng(1)
        direction = np.array([1.0, -1.0, 0.0, 0.0, 0.0]) / np.sqrt(2.0)
        cloud = Belief(-np.outer(rng.normal(0.0, 2.0, 300), direction) + 0.01 * rng.normal(size=(300, 5)))
        axes = cloud.principal_axes(2)
        np.testing.assert_allclose(np.abs(axes.axes[0] @ direction), 1.0, atol=1e-4)
        np.testing.assert_allclose(axes.variances[0], np.var(cloud.clr() @ direction, ddof=1), rtol=1e-4)
        rebuilt = axes.centre.clr()[None] + axes.scores @ axes.axes
        assert np.max(np.abs(rebuilt - cloud.clr())) < 0.06
        np.testing.assert_allclose(np.cov(axes.scores.T), np.diag(axes.variances), atol=1e-9)

        matrix = rng.normal(size=(5, 5))
        b = Belief(rng.normal(size=5))
        close(b.apply(np.eye(5) * 3.0).surprise(), (b * 3.0).surprise(), np.float64)
        close((b + b).apply(matrix).surprise(), (b.apply(matrix) + b.apply(matrix)).surprise(), np.float64)
        values, vectors = sx.beliefs.eigen(matrix)
        centred = np.eye(5) - 0.2
        np.testing.assert_allclose(centred @ matrix @ vectors, vectors * values, atol=1e-10)
        values, vectors = sx.beliefs.eigen(matrix + matrix.T)
        assert values.dtype == np.float64
        np.testing.assert_allclose(vectors.T @ vectors, np.eye(4), atol=1e-12)


# What is impossible.


def test_impossible_is_absorbing():
    b = Belief([0.0, np.inf, 1.0], ["a", "b", "c"])
    assert (b + Belief([0.0, -50.0, 0.0]))["b"] == 0.0
    assert (b * 0.0)["b"] == 0.0
    assert (b * 0.5)["b"] == 0.0
    assert (b + b)["b"] == 0.0
    np.testing.assert_allclose((b * 0.0).probabilities(), [0.5, 0.0, 0.5])
    with pytest.raises(ValueError, match=r"it excludes 'b'.*Belief.update"):
        Belief([0.0, 1.0, 1.0], ["a", "b", "c"]) - b
    with pytest.raises(ValueError, match="t ≥ 0"):
        b * -1.0
    with pytest.raises(ValueError, match="'b' is not"):
        b.clr()
    assert np.all(np.isnan(jax.jit(lambda x, y: (x - y).probabilities())(Belief(jnp.zeros(3)), b)))
    assert jax.jit(lambda x: x.norm())(b) == np.inf
    assert jax.jit(lambda x, y: x.distance(y))(b, Belief(jnp.zeros(3))) == np.inf


def test_gradients_are_finite_where_things_are_impossible():
    s = jnp.array([0.0, jnp.inf, 1.0])

    def told(s):
        b = Belief(s) + Belief(jnp.array([1.0, 2.0, jnp.inf]))
        return b.log_normalizer + jnp.sum(b.probabilities() ** 2) + b.entropy()

    assert np.all(np.isfinite(jax.grad(told)(s)))
    nothing = jnp.full(3, jnp.inf)
    assert np.all(np.isfinite(jax.grad(lambda s: jnp.sum(Belief(s).probabilities()))(nothing)))
    slope = jax.grad(lambda s: (Belief(s) + Belief(jnp.array([1.0, 0.0, 3.0]))).log_normalizer)(
        jnp.array([0.0, 1.0, 2.0])
    )
    np.testing.assert_allclose(
        slope, -(Belief(jnp.array([0.0, 1.0, 2.0])) + Belief(jnp.array([1.0, 0.0, 3.0]))).probabilities(), rtol=1e-5
    )


# The constant.


def test_log_evidence_of_a_million_observations_is_not_lost():
    """A thousand additions of a thousand nats each, in float32: the sum of the constants keeps its digits."""
    rng = np.random.default_rng(2)
    steps = (1_000.0 + rng.normal(size=(1_000, 3))).astype(np.float32)
    belief = Belief.uniform(3)
    for step in steps:
        belief = belief + step
    total = np.log(3.0) + np.sum(steps.astype(np.float64), axis=0)
    np.testing.assert_allclose(belief.log_normalizer, sp.logsumexp(-total), rtol=0, atol=2e-3)
    np.testing.assert_allclose(belief.probabilities(), np.exp(log_p(total)), rtol=2e-3)


@pytest.mark.parametrize(
    "read",
    [
        lambda s: Belief(s),
        lambda s: Belief(s.tolist()),
        lambda s: Belief(s / np.log(2.0), unit="bit"),
        lambda s: Belief.uniform(3) + s,
        lambda s: s + Belief.uniform(3),
        lambda s: Belief.uniform(3).update("evidence", s),
        lambda s: Belief.from_clr(-s),
        lambda s: Belief(s.astype(np.int64)),
    ],
)
def test_the_least_is_taken_away_before_anything_is_rounded(read):
    """Of a hundred million nats float32 keeps no units, but of what is beyond the least it does, and of the constant."""
    s = np.array([1e8, 1e8 + 1.0, 1e8 + 2.0])
    belief = read(s)
    assert belief.excess.dtype == np.float32
    np.testing.assert_allclose(belief.probabilities(), np.exp(log_p(s)), rtol=1e-5)
    np.testing.assert_allclose(belief.constant, 1e8, rtol=0, atol=1.2)  # log 3 of the uniform one


def test_numbers_beyond_single_precision():
    np.testing.assert_allclose(Belief(np.array([1e40, 1e40, 2e40])).probabilities(), [0.5, 0.5, 0.0])
    assert Belief(np.array([1e40, 1e40])).log_normalizer == -np.inf
    assert (Belief(np.array([1e40, 1e40])) + Belief([0.0, 1.0])).log_normalizer == -np.inf
    np.testing.assert_allclose(Belief([2**40, 2**40 + 1]).probabilities(), np.exp(log_p([0.0, 1.0])), rtol=1e-6)
    np.testing.assert_allclose(Belief.from_probabilities([1 - 1e-60, 1e-60]).surprise()[1], -np.log(1e-60), rtol=1e-6)
    likelihood = Belief.from_probabilities([2e-60, 1e-60], normalised=False)
    np.testing.assert_allclose(likelihood.probabilities(), [2 / 3, 1 / 3], rtol=1e-6)
    np.testing.assert_allclose(likelihood.log_normalizer, np.log(3e-60), rtol=1e-7)


@pytest.mark.parametrize("half", [jnp.bfloat16, jnp.float16], ids=["bfloat16", "float16"])
def test_half_precision_is_read_as_single(half):
    for array in (jnp.array([0.0, 1.0, np.inf], half), np.array([0.0, 1.0, np.inf], half)):
        assert Belief(array).excess.dtype == np.float32
        np.testing.assert_allclose(Belief(array).probabilities(), np.exp(log_p([0.0, 1.0, np.inf])), rtol=1e-6)
        np.testing.assert_allclose((Belief([0.0, 0.0, 0.0]) + array).probabilities()[2], 0.0)
    np.testing.assert_allclose(Belief.from_probabilities(np.array([1 / 3, 2 / 3], half))[0], 1 / 3, rtol=3e-3)


def test_a_multiple_of_the_constant_keeps_its_digits():
    np.testing.assert_allclose(
        (Belief(np.array([123_456_789.0, 123_456_790.0])) * 0.75).constant, 92_592_591.75, rtol=1e-12
    )


def test_evidence_known_up_to_a_constant():
    a, b = Belief([1.0, 2.0, 3.0]), Belief([101.0, 102.0, 103.0])
    np.testing.assert_allclose(a.probabilities(), b.probabilities(), rtol=1e-6)
    assert b.log_normalizer - a.log_normalizer == pytest.approx(-100.0, rel=1e-6)
    assert a.constant == 1.0


# Answers.


def test_what_a_belief_says():
    p = np.array([0.2, 0.5, 0.05, 0.25])
    b = Belief.from_probabilities(p, labels=["w", "x", "y", "z"])
    assert b.most_plausible(3).labels == ("x", "z", "w")
    np.testing.assert_allclose(b.most_plausible(2).probabilities, [0.5, 0.25], rtol=1e-6)
    np.testing.assert_allclose(b.surprise("bit"), -np.log2(p), rtol=1e-6)
    np.testing.assert_allclose(b.entropy("bit"), st.entropy(p, base=2), rtol=1e-6)
    np.testing.assert_allclose(b.expectation([1.0, 2.0, 3.0, 4.0]), p @ [1, 2, 3, 4], rtol=1e-6)
    q = np.array([0.4, 0.1, 0.3, 0.2])
    np.testing.assert_allclose(b.kl(Belief.from_probabilities(q), "bit"), st.entropy(p, q, base=2), rtol=1e-5)
    assert b.kl(Belief.from_probabilities([0.5, 0.0, 0.25, 0.25])) == np.inf
    assert b["x"] == pytest.approx(0.5)
    drawn = b.sample(jax.random.key(0), (20_000,))
    np.testing.assert_allclose(np.bincount(drawn) / 20_000, p, atol=0.015)
    assert np.all(Belief([np.inf, np.inf]).sample(jax.random.key(1), (3,)) == -1)
    assert repr(b) == "Belief(4 hypotheses; x: 0.5, z: 0.25, w: 0.2, …)"


@pytest.mark.parametrize("s", [12.0, 15.0, 18.0, 20.0, 80.0])
def test_near_certainty_keeps_digits(s):
    """log(1 + exp(−s)) is lost in 1 + exp(−s)."""
    b, certain = Belief([0.0, s]), np.log1p(np.exp(-s))
    np.testing.assert_allclose(b.surprise(), [certain, s + certain], rtol=3e-7)
    np.testing.assert_allclose(b.entropy(), certain + s * np.exp(-s - certain), rtol=1e-5)
    np.testing.assert_allclose(b.log_normalizer, certain, rtol=3e-7)
    np.testing.assert_allclose(jax.jit(lambda b: b.log_normalizer)(b), certain, rtol=3e-7)


@settings(max_examples=20)
@given(s=with_gaps)
def test_derivatives_of_every_order(s):
    """∂ log Σ exp(−s) = −p, ∂² = diag(p) − p pᵀ; also at ties."""
    with jax.enable_x64(True):
        s = np.round(s)  # for ties
        if np.all(np.isinf(s)):
            return
        p = np.exp(log_p(s))
        slope, curve = jax.grad(lambda s: Belief(s).log_normalizer), jax.hessian(lambda s: Belief(s).log_normalizer)
        np.testing.assert_allclose(slope(jnp.array(s)), -p, atol=1e-12)
        np.testing.assert_allclose(curve(jnp.array(s)), np.diag(p) - np.outer(p, p), atol=1e-12)
        told = jax.jacobian(lambda s: Belief(s).probabilities())(jnp.array(s))
        np.testing.assert_allclose(told, np.outer(p, p) - np.diag(p), atol=1e-12)


def test_kl_is_infinite_where_what_is_hardly_possible_is_excluded():
    b = Belief([0.0, 200.0])  # exp(−200) is 0 in float32
    assert b.kl(Belief([0.0, np.inf])) == np.inf
    np.testing.assert_allclose(b.kl(Belief([0.0, 0.0])), np.log(2.0), rtol=1e-6)
    np.testing.assert_allclose(Belief([0.0, 0.0]).kl(b), 100.0 - np.log(2.0), rtol=1e-6)


def test_a_contradiction_has_no_entropy():
    nothing, something = Belief([np.inf, np.inf]), Belief([0.0, 0.0])
    for told in (
        nothing.kl(something),
        something.kl(nothing),
        nothing.fisher_rao(something),
        something.fisher_rao(nothing),
    ):
        assert np.isnan(told)
    assert np.isnan(nothing.entropy())
    assert np.isnan(nothing.expectation([1.0, 2.0]))
    both = Belief([[np.inf, np.inf], [0.0, 0.0]])
    np.testing.assert_allclose(both.entropy(), [np.nan, np.log(2.0)], rtol=1e-6)
    np.testing.assert_allclose(both.kl(something), [np.nan, 0.0], atol=1e-7)


def test_bad_input_that_is_not_known_yet_gives_nan():
    def nan(function, x):
        return bool(np.all(np.isnan(jax.jit(function)(jnp.asarray(x)))))

    assert nan(lambda s: Belief(s).probabilities(), [0.5, -np.inf, 1.0])
    assert nan(lambda s: Belief(s).kl(Belief([0.0, 0.0, 0.0])), [0.5, np.nan, 1.0])
    assert nan(lambda s: Belief(s).fisher_rao(Belief([0.0, 0.0, 0.0])), [0.5, np.nan, 1.0])
    assert nan(lambda p: Belief.from_probabilities(p).probabilities(), [0.5, 0.5, 1.0])
    assert nan(lambda p: Belief.from_probabilities(p, normalised=False).probabilities(), [0.5, -0.5, 1.0])
    assert nan(lambda t: (Belief([0.0, np.inf, 1.0]) * t).probabilities(), -1.0)
    assert nan(lambda w: Belief.pool([Belief([0.0, 1.0]), Belief([1.0, 0.0])], w).probabilities(), [1.0, -0.5])
    good = jax.jit(lambda p: Belief.from_probabilities(p).probabilities())(jnp.array([0.5, 0.25, 0.25]))
    np.testing.assert_allclose(good, [0.5, 0.25, 0.25], rtol=1e-6)


def test_kl_near_equality_keeps_digits():
    """½ Σ p d² for surprises that differ by d of mean 0."""
    p = np.array([0.2, 0.5, 0.3])
    d = np.array([1e-4, 1e-4, -7e-4 / 3.0])
    a = Belief.from_probabilities(p)
    np.testing.assert_allclose(a.kl(a + Belief(d)), 0.5 * (p @ d**2 - (p @ d) ** 2), rtol=5e-3)


def test_batches_jit_vmap_and_pytrees():
    s, t = np.random.default_rng(3).normal(size=(2, 4, 5)).astype(np.float32)
    batch = Belief(s, LABELS)
    both = batch + Belief(t)
    assert both.batch_shape == (4,)
    assert both.labels == tuple(LABELS)
    for i in range(4):
        one = Belief(s[i]) + Belief(t[i])
        np.testing.assert_allclose(both.probabilities()[i], one.probabilities(), rtol=2e-6)
        np.testing.assert_allclose(both.log_normalizer[i], one.log_normalizer, rtol=2e-6)
    shared = Belief(t[0]) + batch
    np.testing.assert_allclose(shared.probabilities()[2], (Belief(t[0]) + Belief(s[2])).probabilities(), rtol=2e-6)
    tempered = batch * np.array([0.0, 0.5, 1.0, 2.0])
    np.testing.assert_allclose(tempered.probabilities()[3], (Belief(s[3]) * 2.0).probabilities(), rtol=2e-6)
    np.testing.assert_allclose(
        (Belief(s[0]) * np.array([0.5, 2.0])).probabilities()[1], (Belief(s[0]) * 2.0).probabilities(), rtol=2e-6
    )
    again = jax.vmap(lambda b, t: (b + Belief(t)).probabilities())(Belief(s), t)
    np.testing.assert_allclose(again, both.probabilities(), rtol=2e-6)
    passed = jax.jit(lambda b: b * 2.0)(batch)
    assert passed.labels == tuple(LABELS)
    np.testing.assert_allclose(passed.surprise(), (batch * 2.0).surprise(), rtol=2e-6)
    scanned, _ = jax.lax.scan(lambda b, t: (b + Belief(t), None), Belief(jnp.zeros(5)), t)
    np.testing.assert_allclose(scanned.surprise(), Belief(t.sum(axis=0)).surprise(), rtol=1e-5)


def test_absorbing_in_place(dtype):
    s, e = np.random.default_rng(4).normal(size=(2, 1_000)).astype(dtype)
    belief = Belief(s)
    expected = (belief + Belief(e)).surprise()
    after = belief.absorb(e)
    close(after.surprise(), expected, dtype)
    close(after.recentred().surprise(), expected, dtype)
    assert after.recentred().log_normalizer == pytest.approx(after.log_normalizer, rel=1e-5)
    with pytest.raises(ValueError, match="a surprise for each hypothesis"):
        after.absorb(e[:3])
    assert np.all(np.isnan(Belief([0.0, 1.0]).absorb([0.0, -np.inf]).probabilities()))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: Belief([0.0, np.nan]), ValueError, "got nan at index 1"),
        (lambda: Belief([[0.0], [-np.inf]]), ValueError, r"got -inf at index \(1, 0\)"),
        (lambda: Belief(1.0), ValueError, "a single number"),
        (lambda: Belief(["a"]), ValueError, "real numbers"),
        (lambda: Belief([]), ValueError, "at least one hypothesis; got none"),
        (lambda: Belief.from_probabilities([]), ValueError, "at least one hypothesis; got none"),
        (lambda: Belief.from_probabilities(0.5), ValueError, "a single number"),
        (lambda: Belief.from_probabilities(np.array([0.5 + 1j, 0.5])), ValueError, "real numbers.*complex128"),
        (lambda: Belief.from_probabilities([np.inf, 0.5], normalised=False), ValueError, "got inf at index 0"),
        (lambda: Belief.from_probabilities([[0.5, 0.5], [0.5, 0.4]]), ValueError, "add to 0.9 at index 1"),
        (lambda: Belief([0.0, 1.0], ["a"]), ValueError, "got 1 labels for 2"),
        (lambda: Belief([0.0, 1.0], ["a", "a"]), ValueError, "'a' is there twice"),
        (lambda: Belief.uniform([]), ValueError, "at least one hypothesis"),
        (lambda: Belief.from_probabilities([0.5, 0.4]), ValueError, "add to 0.9.*normalised=False"),
        (lambda: Belief.from_probabilities([0.5, -0.4]), ValueError, "got -0.4 at index 1"),
        (lambda: Belief([0.0, 1.0]) + Belief([0.0, 1.0, 2.0]), ValueError, "got 2 and 3"),
        (
            lambda: Belief([0.0, 1.0], ["a", "b"]) + Belief([0.0, 1.0], ["b", "a"]),
            ValueError,
            "number 0 is 'a' here and 'b' there",
        ),
        (lambda: Belief([0.0, 1.0]) + 1.0, TypeError, "says nothing about hypotheses"),
        (lambda: Belief([0.0, 1.0]).kl(1.0), TypeError, "says nothing about hypotheses"),
        (lambda: Belief([0.0, 1.0]).distance("x"), TypeError, "a Belief, or of an array of surprises; got str"),
        (lambda: Belief([0.0, 1.0]).distance([0.0, np.inf]), ValueError, "possible; hypothesis 1 is not.*fisher_rao"),
        (lambda: Belief([0.0, 1.0]) * np.nan, ValueError, "finite numbers"),
        (lambda: Belief([0.0, 1.0]) * 1e39, ValueError, r"float32 is multiplied by numbers up to 3.4e\+38; got 1e\+39"),
        (lambda: Belief(np.zeros((2, 3))) * np.ones(3), ValueError, r"got the shapes \(3,\) and \(2,\)"),
        (lambda: Belief(np.zeros((2, 3))) + np.zeros((4, 3)), ValueError, r"got the shapes \(2,\) and \(4,\)"),
        (lambda: list(Belief([0.0, 1.0])), TypeError, "no sequence; .labels are"),
        (lambda: Belief([0.0, 1.0]).most_plausible(3), ValueError, "2 hypotheses to rank; got k=3"),
        (lambda: Belief([0.0, 1.0], ["a", "b"])["c"], KeyError, "Hypotheses are 'a', 'b'; got 'c'"),
        (lambda: Belief([0.0, 1.0])[2], KeyError, "named 0 to 1; got 2"),
        (lambda: Belief([0.0, 1.0]).principal_axes(), ValueError, "a batch of beliefs"),
        (lambda: Belief([[0.0, 1.0]]).principal_axes(), ValueError, "two beliefs or more"),
        (lambda: Belief.pool([]), ValueError, "nothing to pool"),
        (lambda: Belief.pool([Belief([0.0, 1.0])], [-1.0]), ValueError, "at least 0"),
        (lambda: Belief.pool([[0.0, 1.0], [1.0, 0.0]], [1.0, np.inf]), ValueError, "finite.*got .1.0, inf"),
        (lambda: Belief.pool(Belief([0.0, 1.0])), ValueError, "got a single one"),
        (lambda: Belief.pool(3), TypeError, "in a list or in a batch; got int"),
        (lambda: Belief.pool([np.zeros((2, 3)), np.zeros((4, 3))]), ValueError, r"the shapes \(2,\) and \(4,\)"),
        (
            lambda: Belief.pool([[0.0, 1.0], Belief([0.0, 1.0], "ab"), Belief([0.0, 1.0], "ba")]),
            ValueError,
            "number 0 is 'a' here and 'b' there",
        ),
        (lambda: Belief.from_ilr(1.0), ValueError, "a single number"),
        (lambda: Belief([0.0, 1.0]).apply(np.eye(3)), ValueError, "as many columns"),
        (lambda: Belief([0.0, 1.0]).surprise("bits"), ValueError, "Did you mean 'bit'"),
    ],
)
def test_errors_are_sentences(call, error, words):
    with pytest.raises(error, match=words):
        call()
