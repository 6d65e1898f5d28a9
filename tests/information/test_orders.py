"""Rényi's and Tsallis's orders: against mpmath, their limits, closed forms of families, and zeros."""

import functools
import math

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import scipy.special as sp
from hypothesis import given
from hypothesis import strategies as some

import surprax as sx
from surprax import information as info

ORDERS = (0.0, 0.1, 0.5, 0.999999, 1.0, 1.000001, 1.3, 2.0, 7.0, 60.0, math.inf)
P = np.array([0.5, 0.3, 0.2, 0.0])
Q = np.array([0.2, 0.25, 0.5, 0.05])
LOG_WEIGHTS = some.lists(some.floats(-20.0, 20.0), min_size=4, max_size=4).map(np.array)


def normal(w):
    w = [mp.mpf(float(v)) for v in w]
    return [v / mp.fsum(w) for v in w]


def entropy(p, a):
    p = [v for v in normal(p) if v > 0]
    if a == math.inf:
        return -mp.log(max(p))
    if a == 1:
        return -mp.fsum(v * mp.log(v) for v in p)
    return mp.log(mp.fsum(v ** mp.mpf(a) for v in p)) / (1 - mp.mpf(a))


def divergence(p, q, a):
    pairs = [(v, w) for v, w in zip(normal(p), normal(q)) if v > 0]
    if a == math.inf:
        return mp.log(max(v / w for v, w in pairs))
    if a == 1:
        return mp.fsum(v * mp.log(v / w) for v, w in pairs)
    a = mp.mpf(a)
    return mp.log(mp.fsum(v**a * w ** (1 - a) for v, w in pairs)) / (a - 1)


@pytest.mark.parametrize(
    "order", [pytest.param(a, marks=pytest.mark.thorough) if a in (0.1, 1.3, 7.0) else a for a in ORDERS]
)
def test_against_forty_digits(order):
    rng = np.random.default_rng(1)
    for p, q in [(P, Q), *zip(rng.dirichlet(np.ones(4), 5), rng.dirichlet(np.full(4, 0.3), 5))]:
        with np.errstate(divide="ignore"):
            log_p, log_q = np.log(p), np.log(q)
        for left in ({"p": p}, {"log_p": log_p}):
            np.testing.assert_allclose(
                info.renyi(**left, order=order), float(entropy(p, order)), rtol=1e-12, atol=1e-14
            )
            for right in ({"q": q}, {"log_q": log_q}):
                got = info.renyi(**left, **right, order=order)
                np.testing.assert_allclose(got, float(divergence(p, q, order)), rtol=1e-11, atol=1e-14)
            if order < math.inf and order != 1:
                expected = (1 - mp.fsum(v ** mp.mpf(order) for v in normal(p) if v)) / (mp.mpf(order) - 1)
                np.testing.assert_allclose(info.tsallis(**left, order=order), float(expected), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("order", [0.3, 0.999, 1.0, 1.5, 4.0])
def test_divergence_keeps_its_digits_as_distributions_meet(order):
    log_p = np.log([0.2, 0.3, 0.5])
    log_q = log_p + 1e-6 * np.array([1.0, -2.0, 0.5])
    expected = divergence(*([mp.exp(mp.mpf(float(v))) for v in t] for t in (log_p, log_q)), order)
    np.testing.assert_allclose(info.renyi(log_p=log_p, log_q=log_q, order=order), float(expected), rtol=1e-8)


@given(LOG_WEIGHTS, LOG_WEIGHTS)
def test_entropy_falls_and_divergence_rises_with_the_order(a, b):
    p, q = sp.softmax(a), sp.softmax(b)
    orders = (0.0, 0.5, 1.0, 2.0, 7.0, math.inf)
    h = [float(info.renyi(p, order=o)) for o in orders]
    d = [float(info.renyi(p, q, o)) for o in orders]
    assert np.all(np.diff(h) <= 1e-12)
    assert np.all(np.diff(d) >= -1e-10)
    assert min(h) >= -1e-15
    assert min(d) >= -1e-15


@pytest.mark.parametrize("order", [0.2, 0.7])
def test_skew_symmetry(order):
    """(1 − α) D_α(p ‖ q) = α D_{1−α}(q ‖ p)."""
    left = (1 - order) * info.renyi(P, Q, order)
    np.testing.assert_allclose(left, order * info.renyi(Q, P, 1 - order), rtol=1e-12)


def test_half_is_bhattacharyya_and_two_is_chi_squared():
    np.testing.assert_allclose(info.renyi(P, Q, 0.5), -2 * np.log1p(-info.f_divergence(P, Q, "hellinger")), rtol=1e-13)
    np.testing.assert_allclose(info.renyi(P, Q, 2), np.log1p(info.f_divergence(P, Q, "chi2")), rtol=1e-13)


def test_zeros():
    assert info.renyi(P, order=0, unit="bit") == pytest.approx(np.log2(3))
    assert info.renyi(Q, P, 0) == 0
    np.testing.assert_allclose(info.renyi(P, Q, 0), -np.log(0.95), rtol=1e-14)
    for order in (1.0, 1.2, 3.0, math.inf):
        assert info.renyi(Q, P, order) == np.inf
    for order in ORDERS:
        assert info.renyi(P, P, order) == 0
        assert info.renyi([1.0, 0.0], [0.0, 1.0], order) == np.inf
        assert info.renyi([1.0, 0.0], order=order) == 0


@pytest.mark.parametrize(
    "order", [0.3, *(pytest.param(a, marks=pytest.mark.thorough) for a in (0.8, 1.2)), 3.0, math.inf]
)
def test_gradients(order):
    """Along the simplex, against differences in float64; finite where both are 0."""
    p, q, step = P.copy(), np.array([0.2, 0.3, 0.5, 0.0]), np.array([1.0, -0.4, -0.6, 0.0])
    with jax.enable_x64(True):
        with np.errstate(divide="ignore"):
            log_p, log_q = np.log(p), np.log(q)
        for function, a, b in (
            (lambda p, q: info.renyi(p, q, order), p, q),
            (lambda q, p: info.renyi(p, q, order), p, q),
            (lambda a, b: info.renyi(log_p=a, log_q=b, order=order), log_p, log_q),
        ):
            slope = jax.jit(jax.grad(function))(jnp.array(a), jnp.array(b))
            assert np.all(np.isfinite(slope))
            expected = (function(a + 1e-6 * step, b) - function(a - 1e-6 * step, b)) / 2e-6
            np.testing.assert_allclose(slope @ step, expected, rtol=1e-6, atol=1e-9)
        slope = jax.jit(jax.grad(lambda p: info.renyi(p, order=order)))(jnp.array(p))
        assert slope[3] == (np.inf if order < 1 else 0)
        slope = jax.jit(jax.grad(lambda a: info.renyi(log_p=a, order=order)))(jnp.log(jnp.array(p)))
        assert np.all(np.isfinite(slope))


@pytest.mark.parametrize("order", [pytest.param(0.2, marks=pytest.mark.thorough), 0.5, 0.9])
def test_what_is_impossible_has_an_infinite_slope_below_order_one(order):
    """dD/dpᵢ = α/(α − 1) pᵢ^(α−1) qᵢ^(1−α)/Σ, near or far from one another, and the same for q at its zeros."""
    slopes = jax.jit(jax.grad(lambda p, q: info.renyi(p, q, order), (0, 1)))
    for p, q in (([1.0, 0.0, 0.0], [0.1, 0.2, 0.7]), ([0.4, 0.6, 0.0], [0.39, 0.6, 0.01]), ([1.0, 0.0], [0.0, 1.0])):
        p, q = jnp.array(p), jnp.array(q)
        for slope, here in zip(slopes(p, q), (p, q)):
            assert np.all(slope[here == 0] == -np.inf)
            assert np.all(np.isfinite(slope[here > 0]))
    # Not where both are 0:
    assert np.all(np.isfinite(slopes(jnp.array([1.0, 0, 0]), jnp.array([0.5, 0.5, 0.0]))[0][::2]))


@pytest.mark.parametrize("order", [0.5, 1.3, 2.0, 7.0, math.inf])
@pytest.mark.parametrize("size", [1e-2, 1e-3])
def test_divergence_in_float32_as_distributions_meet(order, size):
    p = np.array([0.2, 0.3, 0.5], np.float32)
    q = (p * (1 + size * np.array([1.0, -0.5, -0.1]))).astype(np.float32)
    q = q / q.sum(dtype=np.float32)
    expected = float(divergence(p, q, order))
    # Sums that are not 1 but for rounding are divided out in the exact value.
    np.testing.assert_allclose(jax.jit(lambda p, q: info.renyi(p, q, order))(p, q), expected, rtol=2e-7 / size)
    if order < math.inf:
        np.testing.assert_allclose(jax.jit(lambda p, q: info.renyi(p, q, order))(p, q), expected, rtol=3e-6)


@pytest.mark.parametrize("order", [2.0**53, 1e17, 1e300])
def test_orders_beyond_counting_are_infinite(order):
    assert info.renyi(P, Q, order) == info.renyi(P, Q, math.inf)
    assert info.renyi(P, order=order) == info.renyi(P, order=math.inf)
    np.testing.assert_allclose(info.renyi(P, Q, 2.0**52), info.renyi(P, Q, math.inf), rtol=1e-14)


def test_traced_and_batched():
    rng = np.random.default_rng(2)
    p, q = rng.dirichlet(np.ones(5), (2, 3)), rng.dirichlet(np.ones(5), 3)
    for order in (0.0, 0.4, 1.1, 2.5, math.inf):
        d = info.renyi(p, q, order)
        np.testing.assert_allclose(d, [[info.renyi(p[i, j], q[j], order) for j in range(3)] for i in range(2)])
        np.testing.assert_allclose(jax.jit(functools.partial(info.renyi, order=order))(p, q), d, rtol=1e-4, atol=1e-6)
        bad = jax.jit(functools.partial(info.renyi, order=order))(jnp.array([0.5, 0.6]))
        assert np.isnan(bad)


def test_members_of_families():
    """α (μ₁ − μ₂)²/(2 σ*²) + log(σ*/(σ₁^(1−α) σ₂^α))/(1 − α), with σ*² = α σ₂² + (1 − α) σ₁² (Gil et al. 2013)."""
    p, q = sx.Normal(0.5, 1.5), sx.Normal(-1.0, 2.0)
    for a in (0.3, 0.9, 1.5, 2.2):
        s = a * 2.0**2 + (1 - a) * 1.5**2
        expected = a * 1.5**2 / (2 * s) + (0.5 * np.log(s) - (1 - a) * np.log(1.5) - a * np.log(2.0)) / (1 - a)
        np.testing.assert_allclose(info.renyi(p, q, a), expected, rtol=1e-10)
    # σ*² = 4α + 2.25(1 − α) stays positive; the other way round it does not beyond α = 16/7.
    assert info.renyi(q, p, 2.2) < np.inf
    assert info.renyi(q, p, 2.4) == np.inf
    a, b = sx.Poisson(3.0), sx.Poisson(5.0)
    k = np.arange(200.0)
    tables = {"log_p": np.asarray(a.log_prob(k), np.float64), "log_q": np.asarray(b.log_prob(k), np.float64)}
    np.testing.assert_allclose(info.renyi(a, b, 0.5), info.renyi(**tables, order=0.5), rtol=1e-5)
    np.testing.assert_allclose(
        info.renyi(sx.Categorical(P[:3]), sx.Categorical([0.2, 0.2, 0.6]), 0.5),
        info.renyi(P[:3], [0.2, 0.2, 0.6], 0.5),
        rtol=1e-6,
    )
    batch = sx.Normal(np.zeros(3), 1.0)
    np.testing.assert_allclose(
        info.renyi(batch, sx.Normal(1.0, 1.0), 0.5, "bit"), np.full(3, 0.25 / np.log(2)), rtol=1e-10
    )
    np.testing.assert_array_equal(info.renyi(p, q, 1.0), p.kl(q))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: info.renyi(P), "has an order, a known number; got none"),
        (lambda: info.renyi(P, order=-1), "at least 0; got -1"),
        (lambda: info.renyi(P, order=math.nan), "at least 0; got nan"),
        (lambda: jax.jit(lambda a: info.renyi(P, order=a))(2.0), "a traced number"),
        (lambda: info.tsallis(P, math.inf), "is finite"),
        (lambda: info.tsallis(sx.Normal(0.0, 1.0), 2), "got a Normal"),
        (lambda: info.renyi(sx.Normal(0.0, 1.0), order=2), "got a Normal"),
        (lambda: info.renyi(sx.Cauchy(0.0, 1.0), sx.Cauchy(1.0, 1.0), 2), "one exponential family"),
        (lambda: info.renyi(sx.Normal(0.0, 1.0), sx.Normal(1.0, 1.0), math.inf), "order inf"),
    ],
)
def test_errors_are_sentences(call, words):
    with pytest.raises(ValueError, match=words):
        call()
