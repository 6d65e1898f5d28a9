"""Gamma and InverseGamma: ends, tails, quantiles, fits."""

import functools

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import scipy.stats as st
from tests.families.precisions import each_dtype

from surprax.families.exponential_law import Exponential
from surprax.families.gamma import Gamma
from surprax.families.inverse_gamma import InverseGamma


@each_dtype
def test_density_at_zero_is_its_limit(dtype):
    with jax.enable_x64(dtype is np.float64):
        zero = jnp.asarray(0.0, dtype)
        for a, value, slope in ((0.5, np.inf, -np.inf), (1.0, np.log(3.0), -3.0), (1.5, -np.inf, np.inf)):
            d = Gamma(a, 3.0)
            np.testing.assert_allclose(d.log_prob(zero), value, rtol=1e-6)
            assert float(jax.grad(d.log_prob)(zero)) == slope
        in_rate = jax.grad(lambda r: Gamma(1.0, r).log_prob(zero))(jnp.asarray(3.0, dtype))
        np.testing.assert_allclose(in_rate, 1 / 3, rtol=1e-6)
        assert float(InverseGamma(2.0).log_prob(zero)) == -np.inf


@each_dtype
def test_gamma_of_shape_one_is_exponential(dtype):
    with jax.enable_x64(dtype is np.float64):
        x = jnp.asarray(np.geomspace(1e-30, 1e3, 60), dtype)
        g, e = Gamma(1.0, 0.7), Exponential(0.7)
        for method in ("log_prob", "log_cdf", "log_sf"):
            np.testing.assert_allclose(getattr(g, method)(x), getattr(e, method)(x), rtol=40 * np.finfo(dtype).eps)


def log_tails(a, t):
    """(log P, log Q) of the incomplete gamma function, the larger one from the smaller."""
    with mp.workdps(60):
        t = mp.mpf(t)
        if t < a:
            front = mp.exp(a * mp.log(t) - t - mp.loggamma(a + 1))
            small, term, k = mp.mpf(0), front, 0
            while term > small * mp.mpf(10) ** -50:
                small, k = small + term, k + 1
                term *= t / (a + k)
        else:
            small = mp.gammainc(a, t, regularized=True)
        both = float(mp.log(small)), float(mp.log1p(-small))
        return both if t < a else both[::-1]


@each_dtype
def test_tails_reach_far_below_what_a_float_can_hold(dtype):
    cases = [(10.0, 1e-12), (0.5, 800.0), (100.0, 2.0), (100.0, 1000.0), (1e4, 5e3), (1e4, 2e4), (3.0, 3.0), (1e4, 1e4)]
    with jax.enable_x64(dtype is np.float64):
        for a, t in cases:
            x, y = np.asarray(t / 2.0, dtype), np.asarray(2.0 / t, dtype)
            lower, upper = log_tails(a, 2 * mp.mpf(float(x)))
            close = functools.partial(np.testing.assert_allclose, rtol=100 * np.finfo(dtype).eps, atol=1e-36)
            close(Gamma(a, 2.0).log_cdf(x), lower)
            close(Gamma(a, 2.0).log_sf(x), upper)
            lower, upper = log_tails(a, 2 / mp.mpf(float(y)))
            close(InverseGamma(a, 2.0).log_cdf(y), upper)
            close(InverseGamma(a, 2.0).log_sf(y), lower)
    assert np.isfinite(Gamma(10.0).log_cdf(1e-12))
    assert float(Gamma(10.0).log_cdf(1e-12)) < -282


@pytest.mark.parametrize("family", [Gamma, InverseGamma])
def test_quantiles_from_both_ends(family):
    with jax.enable_x64(True):
        p = np.array([1e-300, 1e-30, 1e-4, 0.2, 0.5, 0.9])
        for a in (0.05, 0.9, 7.0, 1e3, 1e6):
            d = family(a, 3.0)
            x, y = d.icdf(p), d.isf(p)
            kept = np.asarray((x > 1e-290) & (x < 1e290))
            np.testing.assert_allclose(np.asarray(d.log_cdf(x))[kept], np.log(p)[kept], rtol=1e-10)
            kept = np.asarray((y > 1e-290) & (y < 1e290))
            np.testing.assert_allclose(np.asarray(d.log_sf(y))[kept], np.log(p)[kept], rtol=1e-10)


def test_quantile_moves_with_the_parameters_by_the_implicit_function():
    with jax.enable_x64(True):
        at = lambda a, r: Gamma(a, r).icdf(0.3)
        x = at(2.5, 1.5)
        for i in range(2):
            cdf = jax.grad(lambda a, r: Gamma(a, r).cdf(x), i)(2.5, 1.5)
            np.testing.assert_allclose(jax.grad(at, i)(2.5, 1.5), -cdf / np.exp(Gamma(2.5, 1.5).log_prob(x)), rtol=1e-7)


@pytest.mark.parametrize(("family", "scipy_family"), [(Gamma, st.gamma), (InverseGamma, st.invgamma)])
def test_fit_is_no_worse_than_scipys(family, scipy_family):
    rng = np.random.default_rng(2)
    for _ in range(8):
        a, scale = 10 ** rng.uniform(-1, 3), 10 ** rng.uniform(-2, 2)
        x = scipy_family.rvs(a, scale=scale, size=300, random_state=rng)
        fit = family.fit(x)
        theirs = scipy_family.fit(x, floc=0)
        ours = (fit.concentration.item(), 0, (1 / fit.rate if family is Gamma else fit.rate).item())
        total = [np.sum(scipy_family.logpdf(x, *t)) for t in (ours, theirs)]
        assert total[0] >= total[1] - 1e-9 * abs(total[1])
        if family is Gamma:
            np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-6)


def test_fit_of_very_concentrated_data():
    rng = np.random.default_rng(3)
    x = rng.gamma(1e8, size=20_000) / 1e8
    fit = Gamma.fit(x)
    assert abs(float(fit.concentration) / 1e8 - 1) < 0.05
    np.testing.assert_allclose(fit.concentration / fit.rate, np.mean(x), rtol=1e-14)


def test_moments_exist_where_they_do():
    d = InverseGamma(np.array([0.5, 1.5, 2.5]), 2.0)
    np.testing.assert_allclose(d.mean, [np.inf, 4.0, 4 / 3], rtol=1e-6)
    np.testing.assert_allclose(d.variance, [np.inf, np.inf, 32 / 9], rtol=1e-6)
    slope = jax.grad(lambda a: jnp.where(a > 1, InverseGamma(a, 2.0).mean, 0.0))(0.5)
    assert np.isfinite(slope)


def test_samples_have_a_derivative_in_the_parameters():
    with jax.enable_x64(True):
        mean = lambda a, r: jnp.mean(Gamma(a, r).sample(jax.random.key(0), (4000,)))
        np.testing.assert_allclose(jax.grad(mean, 0)(3.0, 2.0), 0.5, rtol=0.05)
        np.testing.assert_allclose(jax.grad(mean, 1)(3.0, 2.0), -0.75, rtol=0.05)
