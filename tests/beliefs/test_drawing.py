"""Draws among hypotheses: their odds, also where they are small."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surprax.beliefs.drawing import categorical

CHUNK, CHUNKS = 1_000_000, 4


@pytest.mark.parametrize(("dtype", "log_odds"), [(jnp.bfloat16, -6.0), (jnp.bfloat16, -7.0), (jnp.float32, -10.0)])
def test_small_odds(dtype, log_odds):
    """In bfloat16 as well, where numbers of one uniform draw end at 4.9, as they do at 16 in float32: what is rare is drawn there
    too rarely, or never. Sums in bfloat16 are rounded to 1/32, which costs some percent."""
    log_p = jnp.array([0.0, log_odds], dtype)
    count = sum(int(jnp.sum(categorical(key, log_p, (CHUNK,)))) for key in jax.random.split(jax.random.key(0), CHUNKS))
    expected = CHUNKS * CHUNK / (1.0 + np.exp(-log_odds))
    assert abs(count - expected) <= 4.0 * np.sqrt(expected) + (0.06 * expected if dtype == jnp.bfloat16 else 0.0)


def test_odds_multiply_down_the_tree():
    """1,000 of a hundred thousand hypotheses have half of all probability, far apart; each is drawn equally often."""
    n, k = 100_000, 1_000
    places = np.random.default_rng(0).permutation(n)[:k]
    log_p = jnp.zeros(n).at[places].set(jnp.log(float((n - k) / k)))
    drawn = np.asarray(categorical(jax.random.key(1), log_p, (100_000,)))
    inside = np.isin(drawn, places)
    assert abs(np.mean(inside) - 0.5) < 0.005
    counts = np.bincount(np.searchsorted(np.sort(places), drawn[inside]), minlength=k)
    assert abs(np.sum((counts - counts.mean()) ** 2 / counts.mean()) - (k - 1)) < 4 * np.sqrt(2 * k)
