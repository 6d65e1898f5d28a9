"""Surprise: the four axioms, the ends of the scale, and what JAX does to it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

import surprax as sx

chances = some.floats(2.0**-100, 1.0, width=32)
units = some.sampled_from(["nat", "bit", "ban", "deciban"])


@given(chances, units)
def test_surprise_is_at_least_zero_and_falls_as_probability_grows(p, unit):
    assert float(sx.surprise(p, unit)) >= 0
    assert float(sx.surprise(p, unit)) >= float(sx.surprise(min(1.0, p * 1.01), unit))


def test_certain_is_exactly_zero_and_impossible_infinite():
    for unit in ("nat", "bit", "ban", "deciban"):
        assert float(sx.surprise(1.0, unit)) == 0.0
        assert not np.signbit(sx.surprise(1.0, unit))
        assert float(sx.surprise(0.0, unit)) == np.inf
        assert float(sx.probability(0.0, unit)) == 1.0
        assert float(sx.probability(np.inf, unit)) == 0.0


@given(some.floats(1e-15, 1.0), some.floats(1e-15, 1.0), units)
def test_independent_events_add(p, q, unit):
    with jax.enable_x64(True):
        np.testing.assert_allclose(
            sx.surprise(p * q, unit), sx.surprise(p, unit) + sx.surprise(q, unit), rtol=1e-12, atol=1e-13
        )


@given(some.floats(1e-6, 1.0))
def test_surprise_is_continuous(p):
    with jax.enable_x64(True):
        near = np.array([p * (1 - 1e-9), p])
        assert np.ptp(np.asarray(sx.surprise(near))) < 1e-8


@given(chances, units)
def test_probability_inverts_surprise(p, unit):
    s = sx.surprise(np.float32(p), unit)
    np.testing.assert_allclose(sx.probability(s, unit), np.float32(p), rtol=2e-7 * (2 - np.log(p)))


def test_powers_of_two_are_whole_bits():
    np.testing.assert_array_equal(sx.surprise(0.5 ** np.arange(8), "bit"), np.arange(8))


def test_log_probabilities_keep_what_underflows():
    assert float(sx.surprise(log_prob=-1e5)) == 1e5
    assert float(sx.surprise(log_prob=-np.inf)) == np.inf
    assert float(sx.surprise(log_prob=2.0)) == -2.0  # a density may exceed 1


def test_jit_vmap_and_grad():
    p = jnp.array([0.1, 0.5, 1.0])
    np.testing.assert_allclose(jax.jit(sx.surprise)(p), sx.surprise(p))
    np.testing.assert_allclose(jax.vmap(sx.surprise)(p), sx.surprise(p))
    np.testing.assert_allclose(jax.vmap(jax.grad(sx.surprise))(p), -1 / p, rtol=1e-6)
    assert float(jax.grad(sx.probability)(0.0)) == -1.0


def test_traced_nonsense_is_nan_and_known_nonsense_an_error():
    assert np.isnan(jax.jit(sx.surprise)(1.5))
    assert np.isnan(jax.jit(sx.probability)(-1.0))
    with pytest.raises(ValueError, match=r"between 0 and 1; got 1.5 at index \(1, 0\)"):
        sx.surprise([[0.1], [1.5]])
    with pytest.raises(ValueError, match="at least 0; got -1"):
        sx.probability(-1.0)
    with pytest.raises(ValueError, match="neither"):
        sx.surprise()
    with pytest.raises(ValueError, match="both"):
        sx.surprise(0.1, log_prob=-1.0)
    assert np.isnan(sx.surprise(np.nan))
