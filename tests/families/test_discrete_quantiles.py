"""Quantiles of families of whole numbers: the least count that reaches a probability, as the distribution function says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surprax.families.bernoulli import Bernoulli
from surprax.families.binomial import Binomial
from surprax.families.categorical import Categorical
from surprax.families.discrete import least_whole
from surprax.families.geometric import Geometric
from surprax.families.negative_binomial import NegativeBinomial
from surprax.families.poisson import Poisson

# A batch of settings for each family, so that each of its functions is compiled once.
SETTINGS = {
    "Poisson": lambda: Poisson(np.array([0.05, 3.0, 1e6])),
    "Binomial": lambda: Binomial(np.array([1.0, 40.0, 1e6]), np.array([0.6, 0.2, 0.3])),
    "Geometric": lambda: Geometric(np.array([0.9, 0.3, 1e-3])),
    "NegativeBinomial": lambda: NegativeBinomial(np.array([0.5, 1e4, 1e3]), np.array([0.05, 0.5, 1e9])),
}
COUNTS = 41


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("Poisson", np.float32),
        pytest.param("Poisson", np.float64, marks=pytest.mark.thorough),  # as below, at enormous counts
        ("Binomial", np.float64),
        ("Geometric", np.float32),
        ("NegativeBinomial", np.float32),
        pytest.param("NegativeBinomial", np.float64, marks=pytest.mark.thorough),
    ],
)
def test_quantile_and_distribution_function_are_inverse(name, dtype):
    with jax.enable_x64(dtype is np.float64):
        d, eps = SETTINGS[name](), np.finfo(dtype).eps
        spread = np.linspace(-2.5, 2.5, COUNTS)[:, None]
        k = np.floor(np.maximum(np.asarray(d.mean) + spread * np.asarray(d.stddev), 0.0)).astype(dtype)
        k = np.minimum(k, np.asarray(d.support.upper) * np.ones(3)).astype(dtype)
        cdf, sf, mass = np.asarray(d.cdf(k)), np.asarray(d.sf(k)), np.exp(np.asarray(d.log_prob(k)))
        # Where a step of the distribution function is of the size of its rounding, no inverse can tell.
        clear = mass > 16 * eps * np.maximum(np.maximum(cdf, sf), 1e-3)
        back = np.asarray(d.icdf(cdf))
        good = clear & (sf > 64 * eps)
        np.testing.assert_array_equal(back[good], k[good])
        back = np.asarray(d.isf(sf))
        good = clear & (sf < 0.5) & (sf > 0)
        np.testing.assert_array_equal(back[good], k[good])

        p = np.geomspace(1e-12, 0.999, COUNTS).astype(dtype)[:, None] * np.ones(3, dtype)
        k = np.asarray(d.icdf(p))
        slack = 1 + 64 * eps
        assert np.all(np.asarray(d.cdf(k)) * slack >= p)
        assert np.all(np.where(k > 0, np.asarray(d.cdf(k - 1)), 0.0) <= p * slack)
        assert k.dtype == dtype


ENORMOUS = np.full(3, 1e9)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Poisson(ENORMOUS),
        lambda: Binomial(ENORMOUS, np.full(3, 0.5)),
        lambda: NegativeBinomial(ENORMOUS, ENORMOUS),
    ],
)
def test_quantiles_of_enormous_counts(make):
    with jax.enable_x64(True):
        d = make()
        p = np.resize([1e-6, 0.3, 0.99], (COUNTS, 3))  # of the shape of those above, to share compiled code
        k = np.asarray(d.icdf(p))
        np.testing.assert_array_equal(np.asarray(d.icdf(d.cdf(k))), k)
        assert np.all(k == np.floor(k))
        assert np.all((k[:, 2] - k[:, 0] > 2e4) & (k[:, 2] - k[:, 0] < 4e5))


def test_far_tail_from_above():
    d = Geometric(0.2)
    assert float(d.isf(1e-30)) == np.ceil(np.log(1e-30) / np.log(0.8)) - 1
    assert float(Poisson(2.0).isf(1e-30)) == 34.0
    assert np.isinf(d.icdf(1.0))
    assert float(d.icdf(0.0)) == 0.0
    assert np.isnan(d.icdf(-0.1))
    assert np.isnan(d.icdf(np.nan))


def test_quantile_is_flat():
    assert jax.jit(jax.grad(lambda r: Poisson(r).icdf(0.3)))(3.0) == 0.0
    assert jax.jit(jax.grad(lambda p: Bernoulli(p).icdf(0.3)))(0.4) == 0.0
    assert jax.jit(jax.grad(lambda p: Categorical(jnp.stack([p, 1 - p])).icdf(0.3)))(0.4) == 0.0


def test_quantiles_of_few_outcomes():
    p = np.array([0.0, 0.1, 0.2, 0.2001, 0.5, 0.7, 0.71, 1.0])
    np.testing.assert_array_equal(Bernoulli(0.3).icdf(p), [0, 0, 0, 0, 0, 0, 1, 1])
    np.testing.assert_array_equal(Categorical(probs=[0.2, 0.3, 0.2, 0.3]).icdf(p), [0, 0, 0, 1, 1, 2, 3, 3])
    np.testing.assert_array_equal(Categorical(probs=[0.2, 0.0, 0.5, 0.3]).icdf(p), [0, 0, 0, 2, 2, 2, 3, 3])


@pytest.mark.parametrize("x64", [False, pytest.param(True, marks=pytest.mark.thorough)])
def test_least_whole_number(x64):
    """Any target from any start, also where whole numbers have gaps, and where the condition never holds."""
    with jax.enable_x64(x64):
        target = jnp.array([0.0, 1.0, 7.0, 1000.0, 2.0**24 + 2, 3e9, 1e20, 1e38, jnp.inf])
        target = jnp.where(target < 2.0**60, jnp.round(target), target)
        search = jax.jit(lambda start: least_whole(lambda k: k >= target, start, jnp.zeros(9), jnp.full(9, jnp.inf)))
        for start in (0.0, 5.0, 1e4, 1e12):
            np.testing.assert_array_equal(search(jnp.full(9, start)), target)
        found = least_whole(lambda k: k > 1e9, jnp.full(2, 3.0), jnp.zeros(2), jnp.array([50.0, jnp.nan]))
        np.testing.assert_array_equal(found, [50.0, np.nan])
        found = least_whole(lambda k: k > 3.0, jnp.array([1.0]), jnp.array([5.0]), jnp.array([9.0]))
        np.testing.assert_array_equal(found, [5.0])
