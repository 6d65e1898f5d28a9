"""Generalised linear models of censored and truncated responses."""

from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.stats as st
import statsmodels.api as sm
from statsmodels.discrete.truncated_model import TruncatedLFPoisson

import surprax as sx
from surprax.estimate.events import Events, censoring_codes
from surprax.regression.censored import CensoredEstimate, fit_censored
from surprax.regression.coordinates import LinearCoordinates
from surprax.regression.estimate import Origins
from surprax.regression.formulas import Recipe
from surprax.regression.inputs import Extras
from surprax.regression.links import link_named
from surprax.regression.responses import BY_FAMILY
from surprax.regression.rows import Rows


def _fit(
    family: Any, X: np.ndarray, y: np.ndarray, status: Any = None, upper: Any = None, limits: Any = None, **options: Any
) -> CensoredEstimate:
    response = BY_FAMILY[family]
    recipe = Recipe.of_matrix(X)
    design = recipe.design(X)
    weights = options.pop("weights", np.ones(len(y)))
    rows = Rows(design, np.asarray(y, np.float64), weights, np.ones(len(y)))
    coordinates = LinearCoordinates(design.names, response.extra, **options)
    origins = Origins(recipe, Extras())
    return fit_censored(
        "model of y", response, link_named(response.link), rows, coordinates, status, upper, limits, origins
    )


@pytest.fixture(scope="module")
def normal() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=240)
    return x, 0.5 + 1.2 * x + 1.5 * rng.normal(size=240)


@pytest.fixture(scope="module")
def tobit(normal) -> CensoredEstimate:
    x, y = normal
    return _fit(sx.Normal, x[:, None], np.maximum(y, 0.0), np.where(y <= 0, -1, 0))


def _best(surprise: Any, start: list[float]) -> Any:
    found = scipy.optimize.minimize(
        surprise, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 5000}
    )
    return scipy.optimize.minimize(surprise, found.x, method="BFGS", options={"gtol": 1e-9})


def test_tobit_is_the_maximum_of_its_likelihood(normal, tobit):
    x, y = normal

    def surprise(v: np.ndarray) -> float:
        mean, scale = v[0] + v[1] * x, np.exp(v[2])
        return -float(np.sum(np.where(y <= 0, st.norm.logcdf(0.0, mean, scale), st.norm.logpdf(y, mean, scale))))

    best = _best(surprise, [0.0, 1.0, 0.0])
    np.testing.assert_allclose(tobit.theta, [*best.x[:2], np.exp(best.x[2])], rtol=2e-6)
    assert tobit.log_likelihood == pytest.approx(-best.fun, rel=1e-10)
    assert tobit.converged
    assert tobit.residuals("surprise", unit="nat").sum() == pytest.approx(-tobit.log_likelihood, rel=1e-12)
    assert "exact" in str(tobit.summary())


def test_derivatives_are_those_of_the_value(tobit):
    z = 1.1 * tobit._z
    _, slope, H = tobit.problem.derivatives(z)
    for i, unit in enumerate(1e-5 * np.eye(len(z))):
        up, down = (tobit.problem.value_and_slope(z + side * unit) for side in (1, -1))
        assert (up[0] - down[0]) / 2e-5 == pytest.approx(slope[i], rel=1e-7)
        np.testing.assert_allclose((up[1] - down[1]) / 2e-5, H[i], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(tobit.problem.scores(z).sum(axis=0), -slope, rtol=1e-10)


def test_estimate_has_what_estimates_have(normal, tobit):
    low, high = tobit.confidence_interval("x0", method="profile")
    assert 2.0 * (tobit.log_likelihood - tobit.refit(fixed={"x0": high}).log_likelihood) == pytest.approx(
        3.841458820694124
    )
    assert low < tobit["x0"] < high
    np.testing.assert_allclose(tobit.predict(np.zeros((1, 1))), tobit["Intercept"])
    inside = tobit.predict(np.zeros((1, 1)), interval="prediction")
    reach = st.norm.isf(0.025) * np.hypot(tobit["scale"], tobit.standard_errors()["Intercept"])
    np.testing.assert_allclose(inside.high - inside.mean, reach, rtol=1e-6)
    scores = tobit.problem.scores(tobit._z)
    slopes = tobit.problem.theta(tobit._z)[1]
    V = np.linalg.inv(tobit.problem.derivatives(tobit._z)[2])
    np.testing.assert_allclose(tobit.covariance("sandwich"), slopes @ V @ scores.T @ scores @ V @ slopes.T, rtol=1e-7)
    for wrong in (
        lambda: tobit.deviance,
        lambda: tobit.covariance("HC3"),
        lambda: tobit.residuals("pearson"),
        tobit.leverages,
    ):
        with pytest.raises(ValueError, match="ensored"):
            wrong()


def test_weights_are_repeated_rows(normal):
    x, y = normal
    often = np.arange(len(y)) % 3
    status = np.where(y <= 0, -1, 0)
    once = _fit(sx.Normal, x[:, None], np.maximum(y, 0.0), status, weights=often.astype(float))
    i = np.repeat(np.arange(len(y)), often)
    repeated = _fit(sx.Normal, x[i, None], np.maximum(y, 0.0)[i], status[i])
    np.testing.assert_allclose(once.theta, repeated.theta, rtol=1e-8)
    np.testing.assert_allclose(once.covariance("sandwich"), repeated.covariance("sandwich"), rtol=1e-6)


def test_intervals_and_truncation_of_normal_responses(normal):
    x, y = normal
    kept = (y > -1.0) & (y <= 3.0)
    x, y = x[kept], y[kept]
    wide = np.floor(y)
    coarse = np.arange(len(y)) % 2 == 0  # every other one is known to lie between two whole numbers, cut at the limits
    low = np.where(coarse, np.maximum(wide, -1.0), y)
    high = np.where(coarse, wide + 1.0, np.nan)
    fit = _fit(sx.Normal, x[:, None], low, None, high, (-1.0, 3.0))

    def surprise(v: np.ndarray) -> float:
        law = st.norm(v[0] + v[1] * x, np.exp(v[2]))
        seen = np.where(coarse, np.log(law.cdf(np.minimum(wide + 1.0, 3.0)) - law.cdf(low)), law.logpdf(y))
        return -float(np.sum(seen - np.log(law.cdf(3.0) - law.cdf(-1.0))))

    best = _best(surprise, [0.0, 1.0, 0.0])
    np.testing.assert_allclose(fit.theta, [*best.x[:2], np.exp(best.x[2])], rtol=1e-5)
    assert fit.log_likelihood == pytest.approx(-best.fun, rel=1e-9)


def test_truncated_poisson_is_that_of_statsmodels():
    rng = np.random.default_rng(1)
    x = rng.normal(size=300)
    y = rng.poisson(np.exp(0.2 + 0.5 * x))
    x, y = x[y > 0], y[y > 0]
    fit = _fit(sx.Poisson, x[:, None], y, limits=(0, None))
    peer = TruncatedLFPoisson(y, sm.add_constant(x), truncation=0).fit(disp=0, method="newton", tol=1e-12)
    np.testing.assert_allclose(fit.theta, peer.params, rtol=1e-7)
    np.testing.assert_allclose(list(fit.standard_errors().values()), peer.bse, rtol=1e-6)
    assert fit.log_likelihood == pytest.approx(peer.llf, rel=1e-12)
    assert fit.bic == pytest.approx(peer.bic, rel=1e-10)


def test_censored_exponential_times_have_a_closed_form():
    rng = np.random.default_rng(2)
    times = rng.exponential(2.0, 200)
    right = times > 1.5
    seen = np.minimum(times, 1.5)
    fit = _fit(sx.Gamma, np.zeros((200, 1)), seen, right.astype(int), fixed={"concentration": 1.0, "x0": 0.0})
    events = np.sum(~right)
    assert np.exp(fit["Intercept"]) == pytest.approx(seen.sum() / events, rel=1e-10)
    assert fit.standard_errors()["Intercept"] == pytest.approx(1.0 / np.sqrt(events), rel=1e-7)
    assert fit.log_likelihood == pytest.approx(-events * (1.0 + np.log(seen.sum() / events)), rel=1e-12)


def test_tails_keep_their_digits(normal):
    """A response above 40 standard deviations has a probability that is 0 in float64, and a log-likelihood."""
    x, _ = normal
    law = st.norm(x, 1.0)
    fit = _fit(sx.Normal, x[:, None], x + 40.0, np.ones(len(x), int), fixed={"Intercept": 0.0, "x0": 1.0, "scale": 1.0})
    assert fit.log_likelihood == pytest.approx(float(np.sum(law.logsf(x + 40.0))), rel=1e-12)


def test_codes_of_censoring():
    np.testing.assert_array_equal(censoring_codes(np.array(["left", "none", "right"], object), 3), [-1, 0, 1])
    np.testing.assert_array_equal(censoring_codes([True, False], 2), [1, 0])
    np.testing.assert_array_equal(censoring_codes([-1.0, 0.0, 1.0], 3), [-1, 0, 1])
    for wrong in (["late"], [3], [0.5]):
        with pytest.raises(ValueError, match=r"'left'.*in row 0"):
            censoring_codes(wrong, 1)


def test_events_are_kept_within_what_is_possible():
    support = sx.Poisson(1.0).support
    events = Events.of(
        np.array([3.0, 2.0, 4.0, 1.0]), np.array([0, -1, 1, 2]), [np.nan, np.nan, np.nan, 5.0], (0, 6), support
    )
    np.testing.assert_array_equal(events.kind, [0, 3, 3, 3])
    np.testing.assert_array_equal(events.a, [3, 0, 4, 1])
    np.testing.assert_array_equal(events.b, [3, 2, 6, 5])
    free = Events.of(np.array([3.0, 2.0, 4.0]), np.array([0, -1, 1]), None, (-1, None), support)
    np.testing.assert_array_equal(free.kind, [0, 1, 2])
    np.testing.assert_array_equal(free.window, [0, 0, 0])


def test_families_without_covariates_have_the_same_events():
    """Memoryless times, censored on the right and seen from 0.5 on: events over time at risk."""
    times = np.random.default_rng(3).exponential(2.0, 200)
    times = times[times > 0.5]
    right = times > 3.0
    seen = np.minimum(times, 3.0)
    events = Events.of(seen, right.astype(int), None, (0.5, None), sx.Exponential(1.0).support)
    fit = sx.maximize(lambda v: events.log_prob(sx.Exponential(v["rate"])), {"rate": 1.0}, bounds={"rate": (0.0, None)})
    assert fit["rate"] == pytest.approx(np.sum(~right) / np.sum(seen - 0.5), rel=1e-9)
    assert fit.standard_errors()["rate"] == pytest.approx(fit["rate"] / np.sqrt(np.sum(~right)), rel=1e-6)


@pytest.mark.parametrize(
    ("status", "upper", "limits", "words"),
    [
        (None, None, (2.0, None), "within the limits"),
        (None, None, (4.0, 2.0), "must lie below the upper"),
        ([2, 0], [0.5, np.nan], None, "upper must lie above"),
    ],
)
def test_rows_that_cannot_be_are_refused(status, upper, limits, words):
    with pytest.raises(ValueError, match=words):
        _fit(sx.Normal, np.zeros((2, 1)), np.array([1.0, 3.0]), status, upper, limits)


def test_other_families_are_refused():
    with pytest.raises(ValueError, match="the family is Bernoulli"):
        _fit(sx.Bernoulli, np.zeros((2, 1)), np.array([0.0, 1.0]), [1, 0])
