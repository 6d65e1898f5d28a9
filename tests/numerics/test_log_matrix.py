"""Products of log-matrices against sums in float64: far offsets, hard zeros, wide spreads; gradients as shares of terms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy.special import logsumexp

from surprax.numerics import log_matrix
from surprax.numerics.log_matrix import log_matmul, log_matmul_above, max_plus


def terms(a, b):
    return np.asarray(a, np.float64)[..., :, :, None] + np.asarray(b, np.float64)[..., None, :, :]


def oracle(a, b):
    with np.errstate(invalid="ignore", divide="ignore"):
        return logsumexp(terms(a, b), axis=-2)


def shares(a, b):
    out = oracle(a, b)
    return np.exp(terms(a, b) - np.where(np.isfinite(out), out, 0.0)[..., :, None, :])


def make(kind, rng, m=24, k=32, n=20):
    a, b = rng.normal(size=(m, k)), rng.normal(size=(k, n))
    match kind:
        case "plain":
            pass
        case "inner offsets":
            offsets = rng.normal(0.0, 60.0, k)
            a, b = a + offsets, b - offsets[:, None]
        case "outer offsets":
            a, b = a + rng.normal(0.0, 200.0, (m, 1)), b + rng.normal(0.0, 200.0, n)
        case "spread":
            a, b = 100.0 * a, 100.0 * b
        case "hard zeros":
            a, b = np.where(rng.random(a.shape) < 0.5, -np.inf, a), np.where(rng.random(b.shape) < 0.5, -np.inf, b)
            a[3], b[:, 4], a[:, 5], b[6] = -np.inf, -np.inf, -np.inf, -np.inf
        case "spread with zeros":
            a = np.where(rng.random(a.shape) < 0.7, -np.inf, 150.0 * a)
            b = np.where(rng.random(b.shape) < 0.7, -np.inf, 150.0 * b)
        case "two blocks":  # each entry of the product has one term only, which is far below the others of its row
            a, b = np.full((m, k), -np.inf), np.full((k, n), -np.inf)
            a[:, 0], b[0, 0], a[:, 1], b[1, 1] = 0.0, -400.0, -300.0, 0.0
    return a.astype(np.float32), b.astype(np.float32)


KINDS = ("plain", "inner offsets", "outer offsets", "spread", "hard zeros", "spread with zeros", "two blocks")


@pytest.mark.parametrize("kind", KINDS)
def test_product_is_the_sum_of_its_terms(kind):
    a, b = make(kind, np.random.default_rng(0))
    np.testing.assert_allclose(log_matmul(a, b), oracle(a, b), rtol=1e-7, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_the_shares_of_terms(kind):
    rng = np.random.default_rng(1)
    a, b = make(kind, rng)
    g = rng.normal(size=(a.shape[0], b.shape[1]))
    finite = np.isfinite(oracle(a, b))
    total = lambda a, b: jnp.sum(jnp.where(finite, g.astype(np.float32) * log_matmul(a, b), 0.0))
    da, db = jax.grad(total, (0, 1))(jnp.asarray(a), jnp.asarray(b))
    weights = shares(a, b) * (g * finite)[:, None, :]
    np.testing.assert_allclose(da, weights.sum(-1), atol=1e-3)
    np.testing.assert_allclose(db, weights.sum(0), atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_float64(kind):
    with jax.enable_x64(True):
        a, b = (x.astype(np.float64) for x in make(kind, np.random.default_rng(2)))
        out = log_matmul(a, b)
        assert out.dtype == jnp.float64
        np.testing.assert_allclose(out, oracle(a, b), rtol=1e-13, atol=1e-12)


def test_of_the_plain_shift_nothing_would_be_left():
    """With inner offsets of sd 60 all of a product that is only shifted underflows; here nothing has to be recomputed."""
    a, b = make("inner offsets", np.random.default_rng(3), 64, 64, 64)
    plain = np.exp(a - a.max(1, keepdims=True)) @ np.exp(b - b.max(0))
    assert (plain == 0).mean() > 0.9
    left, right, _ = log_matrix._shifted(jnp.asarray(a), jnp.asarray(b))
    assert np.all(np.asarray(left @ right) >= log_matrix._enough(64, np.float32))


def test_many_rows_go_in_blocks():
    """Of which some have entries that are recomputed and others have none."""
    rng = np.random.default_rng(4)
    a, b = make("plain", rng, 300, 64, 40)
    a[123] = -1000.0
    a[123, 7], b[7] = 0.0, -np.inf
    wide = make("spread with zeros", rng, 150, 64, 80)
    for left, right in ((a, b), wide, (np.stack([a] * 3), np.stack([b, b + 1.0, b[::-1]]))):
        assert left.size * right.shape[-1] > log_matrix.BLOCK
        np.testing.assert_allclose(log_matmul(left, right), oracle(left, right), atol=1e-4)
    g, finite = rng.normal(size=(150, 80)), np.isfinite(oracle(*wide))
    total = lambda a, b: jnp.sum(jnp.where(finite, g.astype(np.float32) * log_matmul(a, b), 0.0))
    da, db = jax.grad(total, (0, 1))(*wide)
    weights = shares(*wide) * (g * finite)[:, None, :]
    np.testing.assert_allclose(da, weights.sum(-1), atol=1e-3)
    np.testing.assert_allclose(db, weights.sum(0), atol=1e-3)


def test_leading_axes_broadcast_and_batches_are_loops():
    rng = np.random.default_rng(5)
    a, b = rng.normal(0, 80, (2, 3, 4, 5)).astype(np.float32), rng.normal(0, 80, (3, 5, 6)).astype(np.float32)
    expected = oracle(a, np.broadcast_to(b, (2, 3, 5, 6)))
    np.testing.assert_allclose(log_matmul(a, b), expected, atol=1e-4)
    np.testing.assert_allclose(jax.jit(log_matmul)(a, b), expected, atol=1e-4)
    np.testing.assert_allclose(jax.vmap(log_matmul, (0, None))(a, b), expected, atol=1e-4)
    np.testing.assert_allclose(jax.vmap(jax.vmap(log_matmul), (0, None))(a, b), expected, atol=1e-4)
    np.testing.assert_allclose(max_plus(a, b), terms(a, np.broadcast_to(b, (2, 3, 5, 6))).max(-2), rtol=1e-6)


def test_gradients_of_a_batch_are_a_loop():
    rng = np.random.default_rng(6)
    a, b = rng.normal(0, 80, (3, 4, 5)).astype(np.float32), rng.normal(0, 80, (3, 5, 6)).astype(np.float32)
    slope = jax.jit(jax.grad(lambda a, b: jnp.sum(jnp.sin(log_matmul(a, b))), (0, 1)))
    for got in (slope(a, b), jax.vmap(slope)(a, b)):
        for i in range(3):
            one = slope(a[i], b[i])
            np.testing.assert_allclose(got[0][i], one[0], atol=1e-4)
            np.testing.assert_allclose(got[1][i], one[1], atol=1e-4)


def test_forward_and_second_derivatives():
    """∂²/∂a² of a sum of exponentials is the covariance of its terms' shares."""
    rng = np.random.default_rng(7)
    a, b = rng.normal(size=(1, 4)).astype(np.float32), rng.normal(size=(4, 1)).astype(np.float32)
    p = shares(a, b)[0, :, 0]
    for second in (jax.hessian, lambda f: jax.jacrev(jax.jacrev(f)), lambda f: jax.jacfwd(jax.jacfwd(f))):
        got = jax.jit(second(lambda v: log_matmul(v[None], b)[0, 0]))(jnp.asarray(a[0]))
        np.testing.assert_allclose(got, np.diag(p) - np.outer(p, p), atol=1e-6)


def test_impossible_is_absorbing_and_has_no_gradient():
    a = jnp.full((2, 3), -jnp.inf)
    b = jnp.zeros((3, 2))
    assert np.all(np.asarray(log_matmul(a, b)) == -np.inf)
    da, db = jax.grad(lambda a, b: jnp.sum(jnp.where(jnp.isfinite(x := log_matmul(a, b)), x, 0.0)), (0, 1))(a, b)
    assert np.all(np.asarray(da) == 0)
    assert np.all(np.asarray(db) == 0)
    plain = jax.grad(lambda a, b: jnp.sum(log_matmul(a, b)), (0, 1))(a, b)
    assert all(np.all(np.asarray(d) == 0) for d in plain)
    assert np.all(np.asarray(jax.grad(lambda a: jnp.sum(max_plus(a, b)))(a)) == 0)


def test_not_a_number_stays_in_its_row():
    a, b = make("plain", np.random.default_rng(8))
    a[2, 3] = np.nan
    out = np.asarray(log_matmul(a, b))
    assert np.all(np.isnan(out[2]))
    np.testing.assert_allclose(np.delete(out, 2, 0), np.delete(oracle(a, b), 2, 0), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(seed=some.integers(0, 10_000), spread=some.floats(0.1, 400.0), zeros=some.floats(0.0, 0.9))
def test_any_spread(seed, spread, zeros):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(0.0, spread, (5, 6)), rng.normal(0.0, spread, (6, 4))
    a, b = np.where(rng.random(a.shape) < zeros, -np.inf, a), np.where(rng.random(b.shape) < zeros, -np.inf, b)
    a, b = a.astype(np.float32), b.astype(np.float32)
    np.testing.assert_allclose(log_matmul(a, b), oracle(a, b), rtol=2e-7, atol=1e-4)


def test_entries_above_a_floor_are_accurate():
    a, b = make("two blocks", np.random.default_rng(9))
    exact = oracle(a, b)
    got = np.asarray(log_matmul_above(a, b, -350.0))
    np.testing.assert_allclose(got[exact > -350.0], exact[exact > -350.0], atol=1e-4)
    assert np.all(got[exact <= -350.0] <= -350.0)


def test_greatest_terms_and_their_gradient():
    rng = np.random.default_rng(10)
    a, b = rng.normal(size=(3, 4)).astype(np.float32), rng.normal(size=(4, 5)).astype(np.float32)
    best = terms(a, b).argmax(-2)
    g = rng.normal(size=(3, 5)).astype(np.float32)
    da, db = jax.grad(lambda a, b: jnp.sum(g * max_plus(a, b)), (0, 1))(a, b)
    expected_a, expected_b = np.zeros((3, 4)), np.zeros((4, 5))
    for i in range(3):
        for j in range(5):
            expected_a[i, best[i, j]] += g[i, j]
            expected_b[best[i, j], j] += g[i, j]
    np.testing.assert_allclose(da, expected_a, atol=1e-6)
    np.testing.assert_allclose(db, expected_b, atol=1e-6)


@pytest.mark.parametrize("product", [log_matmul, max_plus])
def test_errors_are_sentences(product):
    with pytest.raises(ValueError, match=r"got shapes \(3,\) and \(3, 2\). Give a vector an axis"):
        product(np.zeros(3), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="takes matrices"):
        product(np.zeros((2, 3)), np.zeros((2, 3)))
