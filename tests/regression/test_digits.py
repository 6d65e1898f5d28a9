"""Deviances and log-likelihoods keep their digits where counts are large, or responses all but equal their means."""

import jax
import mpmath as mp
import numpy as np
import pytest

import surprax as sx
from surprax.regression.divergences import negative_binomial_divergence
from surprax.regression.responses import BY_FAMILY
from surprax.regression.tweedie import Tweedie

N = 40
RNG = np.random.default_rng(0)
X = RNG.normal(size=N)
MEANS = 1e9 * np.exp(0.01 * X)
DATA = {
    "x": X,
    "count": RNG.poisson(MEANS),
    "spread": RNG.poisson(MEANS * RNG.gamma(2.0, 0.5, N)),
    "near": MEANS * (1.0 + 1e-4 * RNG.normal(size=N)),
    "hits": RNG.binomial(1 << 40, 1.0 / (1.0 + np.exp(-X)), N),
}


def _exact(est, y, half_deviance):
    """Deviance at the coefficients of the fit, whose linear predictors are numbers of so many digits as they come."""
    eta = [mp.mpf(float(est["Intercept"])) + mp.mpf(float(est["x"])) * mp.mpf(float(x)) for x in X]
    return [2 * half_deviance(mp.mpf(float(v)), e) for v, e in zip(y, eta)]


def _poisson(y, eta):
    return y * (mp.log(y) - eta) - y + mp.exp(eta)


def _gamma(y, eta):
    return y * mp.exp(-eta) - 1 - mp.log(y) + eta


def _inverse_gaussian(y, eta):
    return (y * mp.exp(-eta) - 1) ** 2 / (2 * y)


def _tweedie(y, eta):
    return 2 * (mp.sqrt(y) - mp.exp(eta / 2)) ** 2 / mp.exp(eta / 2)


FITS = {
    "Poisson": ("count ~ x", sx.Poisson, _poisson),
    "gamma": ("near ~ x", sx.Gamma, _gamma),
    "inverse Gaussian": ("near ~ x", sx.InverseGaussian, _inverse_gaussian),
    "Tweedie": ("near ~ x", Tweedie(1.5), _tweedie),
}


@pytest.mark.filterwarnings("ignore::surprax.estimate.NotAMaximumWarning")
@pytest.mark.parametrize("name", FITS)
def test_deviance_has_its_digits(name):
    formula, family, half_deviance = FITS[name]
    est = sx.glm(formula, DATA, family=family)
    exact = _exact(est, DATA[formula.split()[0]], half_deviance)
    # A linear predictor near 20.7 is a float64 number to within 3.6e-15, and a gap of 1e-4 of the mean to within 1e-10 of itself.
    assert est.deviance == pytest.approx(float(mp.fsum(exact)), rel=1e-10)
    np.testing.assert_allclose(np.sum(est.residuals("deviance") ** 2), float(mp.fsum(exact)), rtol=1e-10)
    assert est.residuals("surprise", unit="nat").sum() == pytest.approx(-est.log_likelihood, rel=1e-12)


def test_log_likelihood_of_large_counts_has_its_digits():
    est = sx.glm("count ~ x", DATA, family=sx.Poisson)
    saturated = [int(y) * mp.log(int(y)) - int(y) - mp.loggamma(int(y) + 1) for y in DATA["count"]]
    exact = mp.fsum(saturated) - mp.fsum(_exact(est, DATA["count"], _poisson)) / 2
    assert est.log_likelihood == pytest.approx(float(exact), rel=1e-12)
    again = est.problem.derivatives(est._z, np.full(N, 2.0))[0]
    assert again == pytest.approx(-2.0 * est.log_likelihood, rel=1e-12)


def test_deviance_of_many_trials_has_its_digits():
    trials = float(1 << 40)
    est = sx.glm("hits ~ x", DATA, family=sx.Binomial, trials=np.full(N, trials))

    def half_deviance(y, eta):
        p = 1 / (1 + mp.exp(-eta))
        return y * mp.log(y / (trials * p)) + (trials - y) * mp.log((trials - y) / (trials * (1 - p)))

    exact = mp.fsum(_exact(est, DATA["hits"], half_deviance))
    assert est.deviance == pytest.approx(float(exact), rel=1e-8)


def test_negative_binomial_has_its_digits_in_large_counts():
    est = sx.glm("spread ~ x", DATA, family=sx.NegativeBinomial)
    r = mp.mpf(float(est["concentration"]))
    pairs = [(int(y), mp.exp(mp.mpf(float(est["Intercept"])) + mp.mpf(float(est["x"])) * float(x)))
             for y, x in zip(DATA["spread"], X)]  # fmt: skip
    half = [y * mp.log(y / mu) - (y + r) * mp.log((y + r) / (mu + r)) for y, mu in pairs]
    log_p = [
        mp.loggamma(y + r) - mp.loggamma(r) - mp.loggamma(y + 1) + r * mp.log(r / (r + mu)) + y * mp.log(mu / (r + mu))
        for y, mu in pairs
    ]
    assert est.deviance == pytest.approx(2 * float(mp.fsum(half)), rel=1e-12)
    assert est.log_likelihood == pytest.approx(float(mp.fsum(log_p)), rel=1e-13)


@pytest.mark.parametrize("r", [1e-6, 0.3, 40.0, 1e7, 1e15])
def test_negative_binomial_divergence_and_its_slopes(r):
    y = np.array([0.0, 1.0, 7.0, 1e4, 1e4, 1e9, 1e9, 3.0, 1e6])
    mu = np.array([2.0, 1e-9, 7.000001, 1e4 + 1, 3e3, 1e9 + 1e3, 4e9, 1e6, 2.0])

    def divergence(y, mu, r):
        return (y * mp.log(y / mu) if y else 0) - (y + r) * mp.log((y + r) / (mu + r))

    with jax.enable_x64(True):
        value, *slopes = (
            np.asarray(f(y, mu, np.full_like(y, r)))
            for f in (
                negative_binomial_divergence,
                *(jax.vmap(jax.grad(negative_binomial_divergence, i)) for i in (1, 2)),
            )
        )
    with mp.workdps(120):
        exact = [divergence(mp.mpf(a), mp.mpf(b), mp.mpf(r)) for a, b in zip(y, mu)]
        np.testing.assert_allclose(value, [float(one) for one in exact], rtol=1e-13)
        in_mean = [-(mp.mpf(a) - b) * r / (mp.mpf(b) * (mp.mpf(b) + r)) for a, b in zip(y, mu)]
        np.testing.assert_allclose(slopes[0], [float(one) for one in in_mean], rtol=1e-13)
        in_r = [(mp.mpf(a) - b) / (mp.mpf(b) + r) - mp.log((mp.mpf(a) + r) / (mp.mpf(b) + r)) for a, b in zip(y, mu)]
        np.testing.assert_allclose(slopes[1], [float(one) for one in in_r], rtol=1e-13)


@pytest.mark.parametrize("log_extra", [-14.0, -1.0, 3.0, 30.0])
def test_surprise_of_a_negative_binomial_law(log_extra):
    response = BY_FAMILY[sx.NegativeBinomial]
    y, eta = np.array([0.0, 1.0, 5.0, 1e3, 1e9]), np.array([1.0, -8.0, 1.6, 6.5, 20.0])
    from surprax.regression.links import Log

    with jax.enable_x64(True):
        ours = np.asarray(response.surprise(y, eta, Log(), np.full_like(y, log_extra)))
        slope = jax.vmap(jax.grad(lambda a, y, eta: response.surprise(y, eta, Log(), a)))
        slopes = np.asarray(slope(np.full_like(y, log_extra), y, eta))

    def surprise(a, k, e):
        r, mu = mp.exp(a), mp.exp(e)
        return -(
            mp.loggamma(k + r) - mp.loggamma(r) - mp.loggamma(k + 1)
            + r * mp.log(r / (r + mu)) + k * mp.log(mu / (r + mu))
        )  # fmt: skip

    exact = [surprise(mp.mpf(log_extra), mp.mpf(k), mp.mpf(e)) for k, e in zip(y, eta)]
    np.testing.assert_allclose(ours, [float(one) for one in exact], rtol=3e-13)
    turned = [mp.diff(lambda a, k=k, e=e: surprise(a, mp.mpf(k), mp.mpf(e)), mp.mpf(log_extra)) for k, e in zip(y, eta)]
    np.testing.assert_allclose(slopes, [float(one) for one in turned], rtol=1e-9, atol=1e-13)
