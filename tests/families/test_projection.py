"""Moment matching: equal means of the statistics, by SciPy's quadrature; and no neighbour has a smaller divergence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st
from scipy import integrate, special

import surprax as sx


def test_log_normal_near_a_gamma_has_its_mean_and_variance_of_the_logarithm():
    near = sx.moment_match(sx.Gamma(4.0, 2.0), sx.LogNormal)
    assert near.loc == pytest.approx(special.digamma(4.0) - np.log(2.0), rel=1e-12)
    assert near.scale**2 == pytest.approx(special.polygamma(1, 4.0), rel=1e-11)


def test_gamma_near_a_log_normal_has_its_means():
    near = sx.moment_match(sx.LogNormal(0.3, 0.7), sx.Gamma)
    a, rate = float(near.concentration), float(near.rate)
    assert a / rate == pytest.approx(np.exp(0.3 + 0.7**2 / 2), rel=1e-12)
    assert special.digamma(a) - np.log(rate) == pytest.approx(0.3, abs=1e-12)


def test_no_neighbour_has_a_smaller_divergence():
    """E log q under p, by SciPy, falls on all sides of the match."""
    p, near = st.weibull_min(1.5, scale=2.0), sx.moment_match(sx.Weibull(2.0, 1.5), sx.Gamma)

    def score(a, rate):
        of = st.gamma(a, scale=1.0 / rate)
        return integrate.quad(lambda x: p.pdf(x) * of.logpdf(x), 0.0, np.inf, epsabs=1e-12)[0]

    a, rate = float(near.concentration), float(near.rate)
    best = score(a, rate)
    for da, dr in ((1.02, 1.0), (0.98, 1.0), (1.0, 1.02), (1.0, 0.98), (1.02, 1.02), (0.98, 0.98)):
        assert score(a * da, rate * dr) < best - 1e-6


def test_whole_numbers_are_summed():
    counts = sx.NegativeBinomial(np.array([5.0, 5e4]), concentration=2.0)
    np.testing.assert_allclose(sx.moment_match(counts, sx.Poisson).rate, [5.0, 5e4], rtol=1e-9)


def test_a_known_parameter_is_held():
    near = sx.moment_match(sx.LogNormal(0.3, 0.7), sx.Gamma, concentration=2.0)
    assert near.concentration == 2.0
    assert 2.0 / near.rate == pytest.approx(np.exp(0.3 + 0.7**2 / 2), rel=1e-12)


def test_a_member_is_its_own_match():
    d = sx.Gamma(4.0, 2.0)
    assert sx.moment_match(d, sx.Gamma) is d


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: sx.moment_match(sx.StudentT(2.0, 0.0, 1.0), sx.Normal), ValueError, "must have finite means"),
        (lambda: sx.moment_match(sx.Normal(0.0, 1.0), sx.Gamma), ValueError, "KL is infinite"),
        (lambda: sx.moment_match(sx.Poisson(1.0), sx.Gamma), ValueError, "KL is infinite"),
        (lambda: sx.moment_match(sx.Poisson(1.0), sx.NegativeBinomial), ValueError, r"pass concentration=\.\.\."),
        (lambda: sx.moment_match(sx.Normal(0.0, 1.0), sx.Cauchy), TypeError, "onto an exponential family"),
        (lambda: sx.moment_match(3.0, sx.Normal), TypeError, "takes a distribution"),
    ],
)
def test_what_has_no_match_is_refused_in_words(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_it_compiles_maps_and_moves_with_the_parameters():
    """The slope of the matched loc in the rate of the gamma is −1/rate, that of its variance 0: ψ(a) − log rate and ψ′(a)."""
    with jax.enable_x64(True):
        rates = jnp.array([0.5, 2.0, 7.0])
        match = jax.jit(jax.vmap(lambda rate: sx.moment_match(sx.Gamma(4.0, rate), sx.LogNormal)))
        near = match(rates)
        np.testing.assert_allclose(near.loc, special.digamma(4.0) - np.log(rates), rtol=1e-12)
        slopes = jax.vmap(jax.grad(lambda rate: sx.moment_match(sx.Gamma(4.0, rate), sx.LogNormal).loc))(rates)
        np.testing.assert_allclose(slopes, -1.0 / rates, rtol=1e-9)
        bad = jax.jit(lambda df: sx.moment_match(sx.StudentT(df, 0.0, 1.0), sx.Normal))(jnp.array([2.0, 5.0]))
        np.testing.assert_array_equal(np.isnan(bad.scale), [True, False])
        assert bad.scale[1] == pytest.approx(np.sqrt(5.0 / 3.0), rel=1e-6)
