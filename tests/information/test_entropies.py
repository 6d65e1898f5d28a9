"""Entropy, cross-entropy and KL of tables: against mpmath, SciPy and families, at zeros, in batches, under transformations."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import scipy.special as sp
import scipy.stats as st
from hypothesis import given
from hypothesis import strategies as some

import surprax as sx
from surprax import information as info

RNG = np.random.default_rng(0)
P = np.array([0.5, 0.3, 0.2, 0.0])
Q = np.array([0.2, 0.25, 0.5, 0.05])
LOG_WEIGHTS = some.lists(some.floats(-30.0, 30.0), min_size=5, max_size=5).map(np.array)


def exact(log_w):
    w = [mp.exp(mp.mpf(float(v))) if np.isfinite(v) else mp.mpf(0) for v in log_w]
    return [v / mp.fsum(w) for v in w]


def exact_kl(p, q):
    return mp.fsum(a * mp.log(a / b) for a, b in zip(p, q) if a)


@given(LOG_WEIGHTS, LOG_WEIGHTS)
def test_log_weights_against_forty_digits(a, b):
    p, q = exact(a), exact(b)
    np.testing.assert_allclose(info.entropy(log_p=a), float(-mp.fsum(v * mp.log(v) for v in p)), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(info.kl(log_p=a, log_q=b), float(exact_kl(p, q)), rtol=1e-12, atol=1e-15)
    expected = float(-mp.fsum(v * mp.log(w) for v, w in zip(p, q)))
    np.testing.assert_allclose(info.cross_entropy(log_p=a, log_q=b), expected, rtol=1e-12, atol=1e-15)


@given(LOG_WEIGHTS, LOG_WEIGHTS)
def test_cross_entropy_is_entropy_plus_kl(a, b):
    p, q = sp.softmax(a), sp.softmax(b)
    np.testing.assert_allclose(info.cross_entropy(p, q), info.entropy(p) + info.kl(p, q), rtol=1e-11, atol=1e-14)
    for left in ({"p": p}, {"log_p": a + 3.0}):
        for right in ({"q": q}, {"log_q": b - 2.0}):
            np.testing.assert_allclose(info.kl(**left, **right), info.kl(p, q), rtol=1e-10, atol=1e-14)
            np.testing.assert_allclose(
                info.cross_entropy(**left, **right), info.cross_entropy(p, q), rtol=1e-10, atol=1e-15
            )
    assert info.kl(p, q) >= 0
    assert 0 <= info.entropy(p) <= np.log(5) + 1e-15


def test_scipy():
    p, q = RNG.dirichlet(np.ones(7), 20), RNG.dirichlet(np.ones(7), 20)
    np.testing.assert_allclose(info.entropy(p, "bit"), st.entropy(p, base=2, axis=-1), rtol=1e-13)
    np.testing.assert_allclose(info.kl(p, q), st.entropy(p, q, axis=-1), rtol=1e-13)


@pytest.mark.parametrize("how", ["p", "log_p"])
@pytest.mark.parametrize("size", [1e-4, 1e-6, 1e-8])
def test_kl_keeps_its_digits_as_distributions_meet(size, how):
    p = np.array([0.2, 0.3, 0.5])
    shift = np.array([1.0, -0.25, -0.75]) * size
    a, b = (p, p + shift) if how == "p" else (np.log(p), np.log(p) + shift)
    exact_p, exact_q = ([mp.mpf(float(v)) for v in t] for t in (a, b)) if how == "p" else (exact(a), exact(b))
    exact_p, exact_q = ([v / mp.fsum(t) for v in t] for t in (exact_p, exact_q))
    got = info.kl(a, b) if how == "p" else info.kl(log_p=a, log_q=b)
    # The relative rounding of p and q themselves is eps/size.
    np.testing.assert_allclose(got, float(exact_kl(exact_p, exact_q)), rtol=4e-16 / size + 1e-14)


def test_zeros():
    assert info.entropy([1.0, 0.0]) == 0
    assert not np.signbit(info.entropy([1.0, 0.0]))
    assert info.entropy(log_p=[0.0, -np.inf]) == 0
    assert info.kl([1.0, 0.0], [1.0, 0.0]) == 0
    assert info.kl([1.0, 0.0], [0.5, 0.5], "bit") == 1
    assert info.kl([0.5, 0.5], [1.0, 0.0]) == np.inf
    assert info.kl(log_p=[0.0, 0.0], log_q=[0.0, -np.inf]) == np.inf
    assert info.cross_entropy([0.5, 0.5], [1.0, 0.0]) == np.inf
    assert info.cross_entropy(log_p=[0.0, 0.0], log_q=[0.0, -np.inf]) == np.inf
    assert info.cross_entropy([1.0, 0.0], [1.0, 0.0]) == 0
    # Too small for floating point, but not impossible:
    np.testing.assert_allclose(info.kl([0.5, 0.5], log_q=[0.0, -2000.0]), 1000 - np.log(2), rtol=1e-14)
    np.testing.assert_allclose(info.kl(log_p=[0.0, -2000.0], log_q=[0.0, 0.0], unit="bit"), 1.0, rtol=1e-14)


def test_gradients_at_zeros():
    p, q = jnp.array(P), jnp.array(Q)
    slope = jax.grad(lambda p: info.entropy(p))(p)
    np.testing.assert_allclose(slope[:3], -np.log(P[:3]) - 1, rtol=1e-6)
    assert slope[3] == np.inf
    slope = jax.grad(lambda log_p: info.entropy(log_p=log_p))(jnp.log(p))
    h = float(info.entropy(P))
    np.testing.assert_allclose(slope, [*(P[:3] * (-np.log(P[:3]) - h)), 0.0], rtol=1e-5, atol=1e-7)
    for log in (False, True):
        against = {"log_q": jnp.log(q)} if log else {"q": q}
        slope = jax.grad(lambda p, b=against: info.kl(p, **b))(p)
        np.testing.assert_allclose(slope[:3], np.log(P[:3] / Q[:3]), rtol=1e-5, atol=1e-6)
        assert slope[3] == -np.inf
        slope = jax.grad(lambda p, b=against: info.cross_entropy(p, **b))(p)
        np.testing.assert_allclose(slope, -np.log(Q), rtol=1e-5)
    np.testing.assert_allclose(jax.grad(lambda q: info.kl(p, q))(q), 1 - P / Q, rtol=1e-5)
    slope = jax.grad(lambda log_q: info.kl(p, log_q=log_q))(jnp.log(q))
    np.testing.assert_allclose(slope, Q - P, rtol=1e-5, atol=1e-6)


def test_gradients_stay_finite_where_both_are_zero():
    p, q = jnp.array([0.5, 0.5, 0.0]), jnp.array([0.25, 0.75, 0.0])
    for function in (info.kl, info.cross_entropy):
        for slope in jax.grad(function, (0, 1))(p, q):
            assert np.all(np.isfinite(slope))
        for slope in jax.grad(lambda a, b, f=function: f(log_p=a, log_q=b), (0, 1))(jnp.log(p), jnp.log(q)):
            assert np.all(np.isfinite(slope))


def test_batches_axes_and_loops_agree():
    p, q = RNG.dirichlet(np.ones(4), (3, 2)), RNG.dirichlet(np.ones(4), 2)
    kl = info.kl(p, q)
    assert kl.shape == (3, 2)
    assert kl.dtype == np.float64
    np.testing.assert_allclose(kl, [[info.kl(p[i, j], q[j]) for j in range(2)] for i in range(3)], rtol=1e-14)
    np.testing.assert_allclose(info.entropy(np.moveaxis(p, -1, 0), axis=0), info.entropy(p), rtol=1e-14)
    joint = p / 6.0
    np.testing.assert_allclose(info.entropy(joint, axis=None), info.entropy(joint, axis=(0, 1, 2)), rtol=1e-14)
    np.testing.assert_array_equal(info.entropy(joint, axis=np.arange(3)), info.entropy(joint, axis=(0, 1, 2)))
    np.testing.assert_array_equal(info.entropy(p, axis=np.int64(-1)), info.entropy(p))
    np.testing.assert_allclose(info.entropy(joint, axis=None), np.log(6) + np.mean(info.entropy(p)), rtol=1e-13)
    np.testing.assert_allclose(jax.vmap(lambda p: info.entropy(p))(jnp.array(p)), info.entropy(p), rtol=1e-5)
    np.testing.assert_allclose(jax.jit(lambda p, q: info.kl(p, q, "bit"))(p, q), kl / np.log(2), rtol=1e-4)


def test_units_and_precision():
    for unit, nats in (("bit", np.log(2)), ("ban", np.log(10)), ("deciban", np.log(10) / 10)):
        np.testing.assert_allclose(info.entropy(P, unit) * nats, info.entropy(P), rtol=1e-14)
        np.testing.assert_allclose(info.cross_entropy(P, Q, unit) * nats, info.cross_entropy(P, Q), rtol=1e-14)
    narrow = P.astype(np.float32)
    assert info.entropy(narrow).dtype == np.float64
    np.testing.assert_allclose(info.entropy(narrow), info.entropy(P), rtol=1e-7)
    assert jax.jit(lambda p: info.entropy(p))(jnp.array(narrow)).dtype == jnp.float32


def test_members_of_families():
    p, q = sx.Normal(0.0, 1.0), sx.Normal(1.0, 2.0)
    np.testing.assert_array_equal(info.entropy(p, "bit"), p.entropy("bit"))
    np.testing.assert_array_equal(info.kl(p, q, "bit"), p.kl(q, "bit"))
    np.testing.assert_array_equal(info.cross_entropy(p, q), p.cross_entropy(q))
    np.testing.assert_allclose(info.entropy(sx.Categorical(P[:3])), info.entropy(P[:3]), rtol=1e-6)


def test_traced_tables_that_are_none_are_nan():
    entropy = jax.jit(lambda p: info.entropy(p))
    assert np.isnan(entropy(jnp.array([0.5, 0.6])))
    assert np.isnan(entropy(jnp.array([1.5, -0.5])))
    assert np.isnan(entropy(jnp.array([np.nan, 0.5])))
    assert np.isnan(jax.jit(lambda a: info.entropy(log_p=a))(jnp.full(3, -jnp.inf)))
    assert np.isnan(jax.jit(lambda p: info.kl(p, p))(jnp.array([0.5, 0.6])))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: info.entropy([0.5, 0.6]), r"sum to 1; those in `p` sum to 1.1\. Divide"),
        (lambda: info.entropy([[0.5, 0.5], [0.5, 0.4]]), "sum to 0.9 at index 1"),
        (lambda: info.entropy([1.5, -0.5]), "between 0 and 1; got 1.5 in `p` at index 0"),
        (lambda: info.entropy([3, 4]), "got 3 in `p` at index 0.*log_p="),
        (lambda: info.entropy([np.nan, 1.0]), "between 0 and 1; got nan in `p` at index 0. Leave out what is missing"),
        (lambda: info.entropy(log_p=[0.0, np.nan]), "got nan in `log_p` at index 1"),
        (lambda: info.kl(P, [0.5, None, 0.5, 0.0]), "Probabilities are numbers; got None at index 1"),
        (lambda: info.entropy(P + 0j), "Probabilities are real numbers; got complex ones"),
        (lambda: info.entropy(log_p=P + 0j), "Log-weights are real numbers; got complex ones"),
        (lambda: jax.jit(lambda p: info.entropy(p))(P + 0j), "Probabilities are real numbers; got complex ones"),
        (lambda: info.entropy(0.5), "got a single number as `p`"),
        (lambda: info.entropy([]), "at least one outcome"),
        (lambda: info.entropy(), "as `p` or as `log_p`, one of them; got neither"),
        (lambda: info.entropy([1.0], log_p=[0.0]), "got both"),
        (lambda: info.entropy(log_p=[0.0, np.inf]), "got inf in `log_p` at index 1"),
        (lambda: info.entropy(log_p=[[0.0, 1.0], [-np.inf, -np.inf]]), "are -inf at index 1"),
        (lambda: info.entropy(P, axis=2), "between -1 and 0; got 2"),
        (lambda: info.entropy(np.eye(2) / 2, axis=(0, 0)), "Each axis is named once"),
        (lambda: info.entropy(P, "bits"), "Did you mean 'bit'"),
        (lambda: info.kl(P, Q[:3] / Q[:3].sum()), "got 4 in `p` and 3 in `q`"),
        (lambda: info.kl(P), "as `q` or as `log_q`"),
        (lambda: info.kl(np.ones((2, 1)), np.ones((3, 1))), r"Batches .* broadcast; got the shapes \(2,\) of `p`"),
        (lambda: info.kl(sx.Normal(0.0, 1.0), P), "got Normal and ndarray"),
        (lambda: info.entropy(sx.Normal(0.0, 1.0), log_p=P), "needs no `log_p`"),
    ],
)
def test_errors_are_sentences(call, words):
    with pytest.raises(ValueError, match=words):
        call()
