"""InverseGaussian: tails, quantiles, fits, and the mean logarithm in its entropy."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import scipy.stats as st
from tests.families.precisions import each_dtype

from surprax.families.inverse_gaussian import InverseGaussian


def tails(x, mean, shape):
    """(log cdf, log sf) from two normal probabilities, with enough digits to subtract them."""
    with mp.workdps(400):
        x, mean, shape = (mp.mpf(float(v)) for v in (x, mean, shape))
        root = mp.sqrt(shape / x)
        phi = lambda z: mp.erfc(-z / mp.sqrt(2)) / 2
        mirrored = mp.exp(2 * shape / mean) * phi(-root * (x / mean + 1))
        near = root * (x / mean - 1)
        return float(mp.log(phi(near) + mirrored)), float(mp.log(phi(-near) - mirrored))


@each_dtype
def test_tails_reach_far_below_what_a_float_can_hold(dtype):
    rng = np.random.default_rng(0)
    with jax.enable_x64(dtype is np.float64):
        for _ in range(40):
            mean, shape = np.asarray(10 ** rng.uniform(-2, 2), dtype), np.asarray(10 ** rng.uniform(-3, 4), dtype)
            x = np.asarray(mean * np.exp(rng.normal() * 3), dtype)
            lower, upper = tails(x, mean, shape)
            d = InverseGaussian(mean, shape)
            for got, truth, slope in (
                (d.log_cdf(x), lower, jax.grad(d.log_cdf)(x)),
                (d.log_sf(x), upper, jax.grad(d.log_sf)(x)),
            ):
                unit = abs(truth) + 2 * abs(float(slope) * float(x)) + float(np.finfo(dtype).tiny)
                assert abs(float(got) - truth) <= 30 * np.finfo(dtype).eps * unit


def test_quantiles_from_both_ends():
    with jax.enable_x64(True):
        p = np.array([1e-300, 1e-30, 1e-4, 0.2, 0.5, 0.9, 1 - 1e-10])
        mean, shape = 10.0 ** np.array([-2.0, 0.0, 3.0]), 10.0 ** np.array([-6.0, -2.0, 0.0, 2.0, 8.0])
        d = InverseGaussian(mean[:, None, None], shape[:, None])
        np.testing.assert_allclose(d.log_cdf(d.icdf(p)), np.broadcast_to(np.log(p), (3, 5, 7)), rtol=1e-9)
        np.testing.assert_allclose(d.log_sf(d.isf(p)), np.broadcast_to(np.log(p), (3, 5, 7)), rtol=1e-9)
        assert float(d.icdf(0.0).max()) == 0.0
        assert float(d.icdf(1.0).min()) == np.inf


def test_quantile_moves_by_the_implicit_function():
    with jax.enable_x64(True):
        for p in (0.1, 0.8):
            at = lambda p, m, s: InverseGaussian(m, s).icdf(p)
            args = (p, 2.0, 3.0)
            x = at(*args)
            pdf = float(np.exp(InverseGaussian(2.0, 3.0).log_prob(x)))
            np.testing.assert_allclose(jax.grad(at)(*args), 1 / pdf, rtol=1e-9)
            for i in (1, 2):
                cdf = jax.grad(lambda p, m, s, x=x: InverseGaussian(m, s).cdf(x), i)(*args)
                np.testing.assert_allclose(jax.grad(at, i)(*args), -cdf / pdf, rtol=1e-8)


@each_dtype
def test_mean_logarithm(dtype):
    """E log X = log loc − e^z E₁(z), through the entropy; loc/λ from 1e-8 to 1e8."""
    with jax.enable_x64(dtype is np.float64), mp.workdps(40):
        z = np.asarray(np.geomspace(1e-8, 1e8, 60), dtype)
        entropy = np.asarray(InverseGaussian(np.asarray(1.0, dtype), z / 2).entropy(), float)
        for s, h in zip(z, entropy):
            s = mp.mpf(float(s))
            truth = (mp.log(4 * mp.pi * mp.e / s) - 3 * mp.exp(s) * mp.e1(s)) / 2
            assert abs(h - float(truth)) <= 8 * np.finfo(dtype).eps * (1 + abs(float(truth)))


def test_fit_is_scipys_closed_form():
    x = st.invgauss.rvs(0.4, scale=3.0, size=200, random_state=1)
    fit = InverseGaussian.fit(x)
    mu, _, scale = st.invgauss.fit(x, floc=0)
    np.testing.assert_allclose([fit.loc, fit.concentration], [mu * scale, scale], rtol=1e-10)


@pytest.mark.parametrize(("loc", "concentration"), [(1.0, 1e-4), (1.0, 1e6), (1e3, 2.0)])
def test_samples_of_extreme_shapes(loc, concentration):
    with jax.enable_x64(True):
        d = InverseGaussian(loc, concentration)
        x = np.asarray(d.sample(jax.random.key(3), (4000,)))
        assert st.kstest(np.asarray(d.cdf(jnp.asarray(x))), "uniform").pvalue > 1e-4
    single = np.asarray(InverseGaussian(np.float32(loc), np.float32(concentration)).sample(jax.random.key(3), (4000,)))
    assert np.all(single > 0)
    assert np.all(np.isfinite(single))


def test_mode_without_cancellation():
    d = InverseGaussian(np.float32(1e4), np.float32(1e-2))
    np.testing.assert_allclose(d.mode, 1e-2 / 3, rtol=1e-5)
