"""Beta: ends, tails, quantiles, and fits of data of every shape."""

import functools

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import scipy.stats as st
from tests.families.precisions import each_dtype

from surprax.families.beta import Beta
from surprax.families.outcomes import Reason


@each_dtype
def test_density_at_the_ends_is_its_limit(dtype):
    with jax.enable_x64(dtype is np.float64):
        zero, one = jnp.asarray(0.0, dtype), jnp.asarray(1.0, dtype)
        for c, value, slope in ((0.5, np.inf, -np.inf), (1.0, np.log(4.0), -3.0), (1.5, -np.inf, np.inf)):
            np.testing.assert_allclose(Beta(c, 4.0).log_prob(zero), value, rtol=1e-6)
            np.testing.assert_allclose(Beta(4.0, c).log_prob(one), value, rtol=1e-6)
            assert float(jax.grad(Beta(c, 4.0).log_prob)(zero)) == slope
            assert float(jax.grad(Beta(4.0, c).log_prob)(one)) == -slope
        for x in (0.0, 0.3, 1.0):
            assert abs(float(Beta(1.0, 1.0).log_prob(x))) < 4 * np.finfo(dtype).eps
            assert float(jax.grad(Beta(1.0, 1.0).log_prob)(jnp.asarray(x, dtype))) == 0.0


@each_dtype
def test_swapping_success_and_failure_mirrors_the_density(dtype):
    with jax.enable_x64(dtype is np.float64):
        x = jnp.asarray(np.linspace(1, 63, 63) / 64, dtype)
        for a, b in ((0.2, 3.0), (40.0, 1.0), (2e5, 3e4)):
            np.testing.assert_allclose(
                Beta(a, b).log_prob(x),
                Beta(b, a).log_prob(1 - x),
                rtol=8 * np.finfo(dtype).eps,
                atol=1e-6 * (dtype is np.float32),
            )


@each_dtype
def test_large_equal_shapes(dtype):
    with jax.enable_x64(dtype is np.float64), mp.workdps(40):
        a = mp.mpf(10) ** 5
        half = (a - 1) * mp.log(mp.mpf(1) / 4) - 2 * mp.loggamma(a) + mp.loggamma(2 * a)
        entropy = (
            2 * mp.loggamma(a) - mp.loggamma(2 * a) - 2 * (a - 1) * mp.digamma(a) + (2 * a - 2) * mp.digamma(2 * a)
        )
        d = Beta(1e5, 1e5)
        np.testing.assert_allclose(d.log_prob(0.5), float(half), rtol=3 * np.finfo(dtype).eps)
        np.testing.assert_allclose(d.entropy(), float(entropy), rtol=3 * np.finfo(dtype).eps)


@each_dtype
def test_tails_reach_far_below_what_a_float_can_hold(dtype):
    cases = [
        (3.0, 2.0, 1e-30),
        (40.0, 60.0, 0.002),
        (40.0, 60.0, 0.96),
        (0.5, 0.5, 0.3),
        (2.0, 300.0, 0.7),
        (500.0, 500.0, 0.52),
    ]
    with jax.enable_x64(dtype is np.float64), mp.workdps(60):
        for a, b, x in cases:
            x = np.asarray(x, dtype)
            exact = mp.mpf(float(x))
            left = exact < mp.mpf(a) / (a + b)
            small = mp.betainc(*((a, b, 0, exact) if left else (b, a, 0, 1 - exact)), regularized=True)
            lower, upper = (float(mp.log(small)), float(mp.log1p(-small)))[:: 1 if left else -1]
            close = functools.partial(np.testing.assert_allclose, rtol=100 * np.finfo(dtype).eps, atol=1e-36)
            close(Beta(a, b).log_cdf(x), lower)
            close(Beta(a, b).log_sf(x), upper)
    assert float(Beta(40.0, 60.0).log_cdf(0.002)) < -160


def test_quantiles_from_both_ends():
    with jax.enable_x64(True):
        p = np.array([1e-200, 1e-30, 1e-4, 0.2, 0.5, 0.9])
        for a, b in ((0.3, 2.0), (1.0, 1.0), (5.0, 0.7), (300.0, 20.0), (1e6, 1e6)):
            d = Beta(a, b)
            x = d.icdf(p)
            kept = np.asarray(x > 1e-290)
            np.testing.assert_allclose(np.asarray(d.log_cdf(x))[kept], np.log(p)[kept], rtol=1e-9)
            y = d.isf(p)
            kept = np.asarray(y < 1 - 1e-6)  # nearer to 1 the quantile itself is rounded
            np.testing.assert_allclose(np.asarray(d.log_sf(y))[kept], np.log(p)[kept], rtol=1e-8)


def test_mode_is_where_the_density_is_greatest():
    a = np.array([2.0, 1.0, 3.0, 0.5, 0.7, 1.0, 0.5])
    b = np.array([3.0, 2.0, 1.0, 2.0, 0.5, 1.0, 0.5])
    np.testing.assert_allclose(Beta(a, b).mode, [1 / 3, 0.0, 1.0, 0.0, 1.0, 0.5, 0.0], rtol=1e-6)
    assert Beta(a, b).single_peaked.tolist() == [True, True, True, True, False, True, False]


# Maximum likelihood.


def test_fit_is_scipys():
    rng = np.random.default_rng(1)
    for _ in range(6):
        a, b = 10 ** rng.uniform(-1, 2, 2)
        x = np.clip(rng.beta(a, b, size=300), 1e-12, 1 - 1e-12)
        fit = Beta.fit(x)
        theirs = st.beta.fit(x, floc=0, fscale=1)
        np.testing.assert_allclose([fit.concentration1, fit.concentration0], theirs[:2], rtol=1e-5)
        at = lambda p, q, x=x: np.sum(st.beta.logpdf(x, p, q))
        assert at(fit.concentration1, fit.concentration0) >= at(*theirs[:2]) - 1e-9


@pytest.mark.parametrize(("a", "b"), [(1e6, 3e6), (2e5, 7.0), (0.02, 0.05), (1e-2, 30.0)])
def test_fit_of_concentrated_and_of_u_shaped_data_has_their_statistics(a, b):
    """In the coordinates of the evidence, whose gaps keep the digits that the pair of mean logs has lost."""
    with jax.enable_x64(True):
        evidence = Beta.evidence(np.asarray(Beta(a, b).sample(jax.random.key(1), (400,))))
        fit = evidence.fit()
        p, q = fit.concentration1, fit.concentration0
        with mp.workdps(40):
            n, m, p, q = (
                mp.mpf(float(p)) + mp.mpf(float(q)),
                mp.mpf(float(evidence.mean)),
                mp.mpf(float(p)),
                mp.mpf(float(q)),
            )
            one = mp.digamma(p) - mp.digamma(n) - mp.log(m) + mp.mpf(float(evidence.gaps[0]))
            zero = mp.digamma(q) - mp.digamma(n) - mp.log(1 - m) + mp.mpf(float(evidence.gaps[1]))
            # Newton's step from here, relative to the parameters
            common = mp.psi(1, n)
            hessian = mp.matrix([[mp.psi(1, p) - common, -common], [-common, mp.psi(1, q) - common]])
            step = mp.lu_solve(hessian, mp.matrix([one, zero]))
            assert abs(step[0] / p) < 1e-9
            assert abs(step[1] / q) < 1e-9


def test_fit_settles_for_data_of_any_kind():
    rng = np.random.default_rng(5)
    with jax.enable_x64(True):
        for spread in (0.01, 1.0, 10.0):
            logit = rng.normal(size=(4, 3000)) * spread + 4 * rng.normal(size=3000)
            x = 1 / (1 + np.exp(-np.clip(logit, -25, 25)))
            fit, outcome = Beta.try_fit(x, weights=10 ** rng.uniform(-4, 0, x.shape))
            assert np.all(outcome.ok), str(outcome)
            assert np.all(np.isfinite(fit.concentration1) & np.isfinite(fit.concentration0))


def test_fit_that_floating_point_cannot_see_is_refused():
    _, outcome = Beta.try_fit([1e-20, 2e-20, 5e-20])  # 1 − x is 1 for all of them
    assert outcome.reason is Reason.NOT_CONVERGED


def test_expectation_to_natural_over_all_sizes():
    with jax.enable_x64(True):
        a, b = (v.ravel() for v in np.meshgrid(10.0 ** np.arange(-2, 4), 10.0 ** np.arange(-2, 4)))
        again = Beta.from_expectation(Beta(a, b).expectation)
        np.testing.assert_allclose(again.concentration1, a, rtol=1e-8)
        np.testing.assert_allclose(again.concentration0, b, rtol=1e-8)
        with pytest.raises(ValueError, match="No Beta has expectation parameters"):
            Beta.from_expectation([-0.1, -0.2])
        with pytest.raises(ValueError, match="No Beta has expectation parameters"):
            Beta.from_expectation([0.1, -0.2])
