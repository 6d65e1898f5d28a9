"""Independent parts as one distribution: everything is a sum over the parts, or their vectors side by side."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.stats as st

from surprax.families import Cauchy, Gamma, MultivariateNormal, Normal, Poisson
from surprax.families.product import Product

P = Product((Normal(0.5, 2.0), Gamma(2.0, 3.0), Poisson(4.0)))
Q = Product((Normal(0.0, 1.0), Gamma(2.5, 3.0), Poisson(5.0)))
X = np.array([[0.1, 0.7, 3.0], [-2.0, 0.2, 0.0], [1.0, 1.5, 9.0]])


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def close(a, b, rtol=1e-12):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=1e-13)


def test_log_density_is_the_sum_of_scipys():
    truth = (
        st.norm.logpdf(X[:, 0], 0.5, 2.0) + st.gamma.logpdf(X[:, 1], 2.0, scale=1 / 3) + st.poisson.logpmf(X[:, 2], 4)
    )
    close(P.log_prob(X), truth, 1e-11)
    outside = np.array([[0.0, -1.0, 3.0], [0.0, 1.0, 3.5], [0.0, 1.0, np.nan]])
    np.testing.assert_array_equal(P.log_prob(outside), [-np.inf, -np.inf, np.nan])


def test_moments_and_information_are_those_of_the_parts():
    for name in ("mean", "variance", "mode"):
        close(getattr(P, name), [getattr(part, name) for part in P.parts])
    close(P.entropy(), sum(part.entropy() for part in P.parts))
    close(P.kl(Q), sum(p.kl(q) for p, q in zip(P.parts, Q.parts)))
    close(P.natural, np.concatenate([part.natural for part in P.parts]))
    close(P.expectation, np.concatenate([part.expectation for part in P.parts]))
    close(P.fisher_information(), scipy.linalg.block_diag(*(part.fisher_information() for part in P.parts)))


def test_samples_have_the_moments_and_no_correlation():
    x = np.asarray(P.sample(jax.random.key(1), (20_000,)))
    assert x.shape == (20_000, 3)
    spread = np.sqrt(np.asarray(P.variance))
    assert np.all(np.abs(x.mean(axis=0) - P.mean) <= 5 * spread / np.sqrt(20_000))
    assert np.all(np.abs(np.corrcoef(x.T) - np.eye(3)) <= 5 / np.sqrt(20_000) + 1e-12)


def test_fit_is_that_of_each_column():
    x = np.asarray(P.sample(jax.random.key(2), (200,)))
    fit = Product.fit(x, families=(Normal, Gamma, Poisson))
    for i, part in enumerate(fit.parts):
        for ours, alone in zip(jax.tree.leaves(part), jax.tree.leaves(type(part).fit(x[:, i])), strict=True):
            close(ours, alone)
    same = np.column_stack([x[:, 0], np.ones(200), x[:, 2]])
    _, outcome = Product.try_fit(same, families=(Normal, Gamma, Poisson))
    assert "all observations are equal" in str(outcome)
    with pytest.raises(ValueError, match="one for each column"):
        Product.fit(x, families=(Normal, Gamma))


def test_batches_broadcast_and_survive_vmap():
    batch = Product((Normal(np.array([0.5, 1.0]), 2.0), Gamma(2.0, 3.0), Poisson(4.0)))
    assert batch.batch_shape == (2,)
    close(batch.log_prob(X[:, None])[:, 0], P.log_prob(X))
    close(jax.vmap(P.log_prob)(jnp.asarray(X)), P.log_prob(X))
    assert batch.fisher_information().shape == (2, 5, 5)
    assert batch.sample(jax.random.key(0), (4,)).shape == (4, 2, 3)
    assert repr(jax.tree.unflatten(*jax.tree.flatten(P)[::-1])) == repr(P)


def test_what_it_refuses():
    with pytest.raises(ValueError, match="distributions of numbers"):
        Product((Normal(0.0, 1.0), MultivariateNormal(np.zeros(2), np.eye(2))))
    with pytest.raises(TypeError, match="same families"):
        P.kl(Product((Normal(0.0, 1.0), Gamma(2.5, 3.0), Gamma(1.0, 1.0))))
    with pytest.raises(NotImplementedError, match="Cauchy is no exponential family"):
        _ = Product((Normal(0.0, 1.0), Cauchy(0.0, 1.0))).natural
    with pytest.raises(NotImplementedError, match="has no cdf"):
        P.cdf(X)
