"""Tweedie responses: the density, and the generalised linear model."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pandas as pd
import pytest
import scipy.special
import statsmodels.api as sm

import surprax as sx
from surprax.numerics.precision import float64_scope
from surprax.regression.tweedie import Tweedie
from surprax.regression.tweedie_series import _all, _direct, saturated_series

POWERS = (1.005, 1.1, 1.5, 1.9)


def _log_density(y: np.ndarray, mu: float | np.ndarray, phi: float, power: float) -> np.ndarray:
    law = Tweedie(power)
    y = np.asarray(y, np.float64)
    with float64_scope():
        half = np.asarray(law.half_deviance(y, np.broadcast_to(mu, y.shape)))
        log_t = np.log(np.where(y > 0, law.precisions(y, 1.0 / phi), 1.0))
        rest = np.where(y > 0, np.asarray(law.saturated(-log_t)) - np.log(np.where(y > 0, y, 1.0)), 0.0)
    return -half / phi + rest


def _exact_saturated(power: float, t: float) -> mpmath.mpf:
    """log Σ_j zʲ/(j! Γ(ja)) − t/((p − 1)(2 − p)) term by term."""
    p, t = mpmath.mpf(power), mpmath.mpf(t)
    q = 2 - p
    a = q / (p - 1)
    log_z = mpmath.log(t / q) + a * mpmath.log(t / q * a)
    s, wide = float(t / q), 12 * np.sqrt(float(t / q)) + 60
    terms = [
        mpmath.exp(j * log_z - mpmath.loggamma(j + 1) - mpmath.loggamma(j * a) - t / ((p - 1) * q))
        for j in range(max(1, int(s - wide)), int(s + wide))
    ]
    return mpmath.log(mpmath.fsum(terms))


@pytest.mark.parametrize("power", POWERS)
def test_series_is_that_of_dunn_and_smyth(power: float):
    for t in (1e-12, 1e-3, 0.09, 1.3, 7.0, 45.0, 300.0 * (power < 1.8) + 80.0):
        with mpmath.workdps(40):
            exact = float(_exact_saturated(power, t))
        with float64_scope():
            assert float(saturated_series(power, jnp.log(t))) == pytest.approx(exact, rel=1e-13, abs=1e-14)


@pytest.mark.parametrize("power", POWERS)
def test_table_is_the_series(power: float):
    with float64_scope():
        log_t = jnp.asarray(np.random.default_rng(0).uniform(-12.0, 15.0, 500))
        for got, wanted, digits in zip(_all(power, log_t), _direct(power, log_t), (1e-14, 1e-11, 1e-6)):
            np.testing.assert_allclose(got, wanted, rtol=digits, atol=digits)


def test_large_t_joins_on():
    """The saddlepoint approximation and the sum agree where one takes over from the other."""
    with float64_scope():
        log_t = jnp.log(1.0000001e7)
        for got, wanted, digits in zip(_all(1.5, log_t), _direct(1.5, log_t), (1e-13, 1e-11, 1e-7)):
            assert float(got) == pytest.approx(float(wanted), abs=digits)


def test_derivatives_are_those_of_the_value():
    with float64_scope():
        slope = jax.grad(lambda x: saturated_series(1.5, x))
        for at in (-3.0, 0.5, 4.0):
            step = 1e-5
            ends = [saturated_series(1.5, jnp.asarray(at + side * step)) for side in (1, -1)]
            assert float(slope(at)) == pytest.approx(float(ends[0] - ends[1]) / (2 * step), rel=1e-8)
            curvature = jax.jvp(slope, (at,), (1.0,))[1]
            assert float(curvature) == pytest.approx(float(slope(at + step) - slope(at - step)) / (2 * step), rel=1e-6)
        assert float(saturated_series(1.5, jnp.asarray(-jnp.inf))) == 0.0
        assert float(slope(-jnp.inf)) == 0.0


@pytest.mark.parametrize(("power", "mu", "phi"), [(1.1, 2.0, 0.7), (1.5, 1.0, 1.0), (1.9, 0.5, 2.0)])
def test_density_and_atom_add_up_to_one(power: float, mu: float, phi: float):
    atom = float(np.exp(_log_density(np.zeros(1), mu, phi, power)[0]))
    assert atom == pytest.approx(np.exp(-(mu ** (2 - power)) / (phi * (2 - power))), rel=1e-14)
    log_y = np.arange(-280.0, 6.0, 0.05)  # trapezoids: exact but for rounding, as the integrand is smooth and ends in 0
    for degree, wanted in [(0, 1.0 - atom), (1, mu), (2, mu**2 + phi * mu**power)]:
        moment = 0.05 * np.sum(np.exp((degree + 1) * log_y + _log_density(np.exp(log_y), mu, phi, power)))
        assert moment == pytest.approx(wanted, rel=1e-11)


def test_density_is_that_by_wright_bessel_functions():
    power, mu, phi = 1.5, 1.7, 0.9
    y = np.array([0.01, 0.5, 1.7, 4.0, 20.0])
    a = (2 - power) / (power - 1)
    x = (y * (power - 1.0) ** -1 / phi) ** a / ((2.0 - power) * phi)
    natural = (y * mu ** (1 - power) / (1 - power) - mu ** (2 - power) / (2 - power)) / phi
    wanted = scipy.special.log_wright_bessel(a, 0.0, x) - np.log(y) + natural
    np.testing.assert_allclose(_log_density(y, mu, phi, power), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("power", [1.1, 1.5, 1.9])
def test_deviance_keeps_its_digits(power: float):
    mu = 1.3
    y = np.array([0.0, 1e-200, 1e-3, 0.39, 0.5, 1.3 * (1 - 1e-9), 1.3, 1.3 * (1 + 1e-12), 2.0, 11.0, 1e5])
    with float64_scope():
        got = np.asarray(Tweedie(power).half_deviance(y, np.full_like(y, mu)))
    p, m = mpmath.mpf(power), mpmath.mpf(mu)
    for ours, value in zip(got, y):
        v = mpmath.mpf(value)
        exact = v ** (2 - p) / ((1 - p) * (2 - p)) - v * m ** (1 - p) / (1 - p) + m ** (2 - p) / (2 - p)
        assert ours == pytest.approx(float(exact), rel=1e-13, abs=1e-40)


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    n, p, phi = 500, 1.5, 1.3
    x, g = rng.normal(size=n), rng.integers(0, 3, n)
    mu = np.exp(0.4 + 0.5 * x + 0.3 * g)
    jumps = rng.poisson(mu ** (2 - p) / (phi * (2 - p)))
    size = rng.gamma(np.maximum(jumps, 1) * (2 - p) / (p - 1)) * phi * (p - 1) * mu ** (p - 1)
    y = np.where(jumps > 0, size, 0.0)
    return pd.DataFrame({"y": y, "x": x, "g": g, "w": rng.integers(1, 4, n), "r": rng.integers(1, 5, n) / 2.0})


@pytest.fixture(scope="module")
def fit(data: pd.DataFrame):
    return sx.glm("y ~ x + g", data, family=Tweedie(1.5))


@pytest.fixture(scope="module")
def peer(data: pd.DataFrame):
    family = sm.families.Tweedie(var_power=1.5, link=sm.families.links.Log(), eql=False)
    model = sm.GLM(data.y, sm.add_constant(data[["x", "g"]]), family)
    return model.fit(tol=1e-14, maxiter=200), model.fit(tol=1e-14, maxiter=200, cov_type="HC0")


def test_fit_is_that_of_statsmodels(fit, peer):
    theirs, robust = peer
    assert (fit.data_rows().y == 0).any()
    np.testing.assert_allclose(fit.theta[:3], theirs.params, rtol=1e-10)
    expected = np.sqrt(np.diagonal(fit.covariance("expected")))[:3]
    np.testing.assert_allclose(expected, theirs.bse, rtol=1e-9)
    np.testing.assert_allclose(np.sqrt(np.diagonal(fit.covariance("HC0")))[:3], robust.bse, rtol=1e-7)
    assert fit.deviance == pytest.approx(theirs.deviance, rel=1e-12)
    assert fit.dispersion == pytest.approx(theirs.scale, rel=1e-10)
    assert fit.null_deviance == pytest.approx(theirs.null_deviance, rel=1e-10)
    at_ours = theirs.family.loglike(theirs.model.endog, theirs.fittedvalues, scale=fit["dispersion"])
    assert fit.log_likelihood == pytest.approx(at_ours, rel=1e-12)
    assert fit.converged


def test_dispersion_is_at_the_maximum_of_the_likelihood(fit, data):
    def likelihood(phi: float) -> float:
        return float(np.sum(_log_density(data.y.to_numpy(), fit.predict(), phi, 1.5)))

    at = fit["dispersion"]
    assert likelihood(at) == pytest.approx(fit.log_likelihood, rel=1e-12)
    assert max(likelihood(at * 0.98), likelihood(at * 1.02)) < fit.log_likelihood
    low, high = fit.confidence_interval("dispersion", method="profile")
    assert low < at < high


def test_derivatives_of_the_problem(fit):
    z = 1.05 * fit._z
    _, slope, H = fit.problem.derivatives(z)
    for i, unit in enumerate(1e-5 * np.eye(len(z))):
        up, down = (fit.problem.value_and_slope(z + side * unit) for side in (1, -1))
        assert (up[0] - down[0]) / 2e-5 == pytest.approx(slope[i], rel=1e-7)
        np.testing.assert_allclose((up[1] - down[1]) / 2e-5, H[i], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(fit.problem.scores(z).sum(axis=0), -slope, rtol=1e-10)


def test_compression_to_cells_changes_nothing(data):
    cells = sx.glm("y ~ g", data, family=Tweedie(1.5), weights="w", precisions="r")
    assert cells.compression == "500 rows → 3 cells"
    noisy = data.assign(g=data.g + 1e-13 * np.arange(500))
    rows = sx.glm("y ~ g", noisy, family=Tweedie(1.5), weights="w", precisions="r")
    assert rows.compression == ""
    np.testing.assert_allclose(cells.theta, rows.theta, rtol=1e-8)
    assert cells.log_likelihood == pytest.approx(rows.log_likelihood, rel=1e-11)
    repeated = data.loc[data.index.repeat(data.w)]
    once = sx.glm("y ~ g", repeated, family=Tweedie(1.5), precisions="r")
    np.testing.assert_allclose(cells.theta, once.theta, rtol=1e-10)
    assert cells.log_likelihood == pytest.approx(once.log_likelihood, rel=1e-11)


@pytest.mark.parametrize(
    ("power", "family"),
    [(0, "Normal"), (1, "Poisson"), (2, "Gamma"), (3, "InverseGaussian"), (2.5, "Gamma"), ("x", "Gamma")],
)
def test_other_powers_are_refused(power, family):
    with pytest.raises(ValueError, match=f"between 1 and 2.*{family}"):
        Tweedie(power)


def test_laws_of_one_power_are_equal():
    assert Tweedie(1.5) == Tweedie(1.5)
    assert hash(Tweedie(1.5)) == hash(Tweedie(1.5))
    assert Tweedie(1.5) != Tweedie(1.6)


def test_negative_responses_are_refused(data):
    with pytest.raises(ValueError, match=r"Tweedie\(1.5\) law are from 0"):
        sx.glm("y ~ x", data.assign(y=data.y - 1.0), family=Tweedie(1.5))
