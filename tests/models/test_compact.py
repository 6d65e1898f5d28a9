"""Look-ups in the tables of a compressed model, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surprax.models.compact import entries

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("table", "places"),
    [((5,), (7,)), ((5, 3), (7,)), ((5, 2), (4, 3)), ((1,), (3,)), ((500,), (300,))],  # the last one is looked up
)
def test_entries_of_a_table(table, places):
    whole, at = RNG.normal(size=table), RNG.integers(0, table[0], places).astype(np.int32)
    with jax.enable_x64(True):
        for kind in (whole, whole.astype(np.float32), (10.0 * whole).astype(int), whole > 0.0):
            found = entries(kind, at)
            assert found.dtype == kind.dtype
            assert np.array_equal(found, kind[at])
        weights = RNG.normal(size=whole[at].shape)
        slope, expected = jax.grad(lambda t: jnp.sum(weights * entries(t, at)))(whole), np.zeros_like(whole)
    np.add.at(expected, at, weights)
    np.testing.assert_allclose(slope, expected, rtol=1e-13, atol=1e-15)


def test_what_is_not_looked_up_does_not_matter():
    table, places = np.array([1.0, np.inf, np.nan, -np.inf, 2.0], np.float32), np.array([4, 0, 1, 0], np.int32)
    assert np.array_equal(entries(table, places), table[places])
    slope = jax.grad(lambda t: jnp.sum(jnp.square(entries(t, places[:2]))))(table)
    assert slope.tolist() == [2.0, 0.0, 0.0, 0.0, 4.0]
