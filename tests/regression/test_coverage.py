"""Intervals: against profiles by brute force and draws, in other units, from other origins; how often they hold the truth."""

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats as st

import surprax as sx

FAMILIES = (sx.Bernoulli, sx.Poisson, sx.Gamma, sx.Normal)
TRUTH = np.array([0.3, 0.5])
BY_NAME = {family.__name__: family for family in FAMILIES}


def drawn(family, eta, rng):
    """Responses with a linear predictor, by the family's usual link."""
    match family.__name__:
        case "Bernoulli":
            return (rng.uniform(size=len(eta)) < scipy.special.expit(eta)).astype(float)
        case "Poisson":
            return rng.poisson(np.exp(eta)).astype(float)
        case "Gamma":
            return rng.gamma(2.0, np.exp(eta) / 2.0)
    return rng.normal(eta, 1.5)


def surprise(family, y, eta, log_extra):
    """−log-likelihood, by SciPy's distributions."""
    match family.__name__:
        case "Bernoulli":
            return np.sum(np.logaddexp(0.0, eta) - y * eta)
        case "Poisson":
            return -st.poisson.logpmf(y, np.exp(eta)).sum()
        case "Gamma":
            return -st.gamma.logpdf(y, np.exp(log_extra), scale=np.exp(eta - log_extra)).sum()
    return -st.norm.logpdf(y, eta, np.exp(log_extra)).sum()


def least(family, X, y, j=None, value=None, begin=None):
    """The least surprise, with coefficient j held at a value, and where it is."""
    p = X.shape[1]

    def total(z):
        b = z[:p] if j is None else np.insert(z[: p - 1], j, value)
        return surprise(family, y, X @ b, z[-1])

    size = p + 1 - (j is not None)
    begin = np.zeros(size) if begin is None else begin
    found = scipy.optimize.minimize(total, begin, method="BFGS", options={"gtol": 1e-7})
    found = scipy.optimize.minimize(
        total, found.x, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-11, "maxiter": 4000}
    )
    return found.fun, found.x


@pytest.mark.parametrize("family", FAMILIES, ids=BY_NAME)
def test_profile_intervals_are_those_of_brute_force(family):
    rng = np.random.default_rng(3)
    X = np.column_stack([np.ones(60), rng.normal(size=60), rng.uniform(size=60)])
    y = drawn(family, X @ [0.3, 0.5, -0.4], rng)
    est = sx.glm((X[:, 1:], y), family=family)
    lowest, at = least(family, X, y)
    assert est.log_likelihood == pytest.approx(-lowest, rel=1e-9)
    for label, j in (("x0", 1), ("Intercept", 0)):
        ends = []
        for side in (-1, 1):

            def excess(value, j=j):
                begin = np.delete(at, j)
                return 2 * (least(family, X, y, j, value, begin)[0] - lowest) - st.chi2.ppf(0.95, 1)

            step = est.standard_errors()[label]
            ends.append(scipy.optimize.brentq(excess, at[j] + side * step, at[j] + side * 4 * step, rtol=1e-8))
        np.testing.assert_allclose(est.confidence_interval(label, method="profile"), ends, rtol=1e-4, atol=1e-5)
        values = np.linspace(*ends, 5)
        profile = est.profile(label, values)
        grid = [-least(family, X, y, j, value, np.delete(at, j))[0] for value in values]
        np.testing.assert_allclose(profile.log_likelihoods, grid, rtol=1e-7, atol=1e-6)


@pytest.mark.parametrize("method", ["profile", "score"])
@pytest.mark.parametrize("family", FAMILIES, ids=BY_NAME)
def test_intervals_of_a_slope_do_not_depend_on_where_the_covariate_is_zero(family, method):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(80, 1))
    y = drawn(family, 0.3 + 0.5 * x[:, 0], rng)
    here = sx.glm((x, y), family=family).confidence_interval("x0", method=method)
    there = sx.glm((x + 2000.0, y), family=family).confidence_interval("x0", method=method)
    np.testing.assert_allclose(there, here, rtol=1e-5)


MODELS = {
    "normal": (sx.Normal, lambda eta, rng: rng.normal(eta, 0.5)),
    "Bernoulli": (sx.Bernoulli, lambda eta, rng: (rng.logistic(size=len(eta)) < eta).astype(float)),
    "Poisson": (sx.Poisson, lambda eta, rng: rng.poisson(np.exp(eta))),
    "gamma": (sx.Gamma, lambda eta, rng: rng.gamma(2.0, np.exp(eta) / 2)),
    "negative binomial": (sx.NegativeBinomial, lambda eta, rng: rng.negative_binomial(2, 2 / (2 + np.exp(eta)))),
    "beta": (sx.Beta, lambda eta, rng: rng.beta(3 / (1 + np.exp(-eta)), 3 / (1 + np.exp(eta)))),
}


@pytest.mark.parametrize("unit", [1e-6, 1e3, 1e9])
@pytest.mark.parametrize("model", MODELS)
def test_units_of_covariates_do_not_matter(model, unit):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(80, 1))
    family, law = MODELS[model]
    y = law(0.2 + 0.5 * x[:, 0], rng)
    one, other = sx.glm((x, y), family=family), sx.glm((x * unit, y), family=family)
    assert other.params == pytest.approx(one.params | {"x0": one["x0"] / unit}, rel=1e-8)
    assert other.standard_errors()["x0"] * unit == pytest.approx(one.standard_errors()["x0"], rel=1e-6)
    assert other.converged


@pytest.mark.parametrize(
    "model",
    ["Poisson", "gamma", *(pytest.param(m, marks=pytest.mark.thorough) for m in ("negative binomial", "beta"))],
)
def test_prediction_intervals_are_those_of_draws(model):
    rng = np.random.default_rng(6)
    family, law = MODELS[model]
    x = rng.normal(size=(60, 1))
    est = sx.glm((x, law(1.0 + 0.5 * x[:, 0], rng)), family=family)
    found = est.predict(np.array([[-1.0], [2.0]]), interval="prediction", level=0.8)
    b = rng.multivariate_normal([*est.coefficients.values()], est.covariance()[:2, :2], 200_000)
    for low, high, eta in zip(found.low, found.high, (b @ [[1, 1], [-1, 2]]).T):
        mean = np.asarray(est.problem.link.inverse(eta), float)
        a = est.extra
        match model:
            case "Poisson":
                y = rng.poisson(mean)
            case "gamma":
                y = rng.gamma(a, mean / a)
            case "beta":
                y = rng.beta(mean * a, (1 - mean) * a)
            case _:
                y = rng.negative_binomial(a, a / (a + mean))
        for end, q in ((low, 0.1), (high, 0.9)):
            assert np.mean(y < end) - 0.004 < q < np.mean(y <= end) + 0.004


@pytest.mark.parametrize("family", FAMILIES, ids=BY_NAME)
def test_covariates_may_lie_a_million_standard_deviations_from_zero(family):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(80, 1))
    y = drawn(family, 0.3 + 0.5 * x[:, 0], rng)
    here, there = sx.glm((x, y), family=family), sx.glm((x + 1e6, y), family=family)
    assert there["x0"] == pytest.approx(here["x0"], rel=1e-6)
    assert there.standard_errors()["x0"] == pytest.approx(here.standard_errors()["x0"], rel=1e-6)


def share_held(family, n, repeats, seed):
    """Of how many data sets of n rows the 95 % interval of a coefficient holds the truth: Wald's, and the profile's."""
    rng = np.random.default_rng(seed)
    held = {"wald": 0, "profile": 0}
    for _ in range(repeats):
        x = rng.normal(size=n)
        est = sx.glm((x[:, None], drawn(family, TRUTH[0] + TRUTH[1] * x, rng)), family=family)
        for method in held:
            low, high = est.confidence_interval("x0", method=method)
            held[method] += low <= TRUTH[1] <= high
    return {method: count / repeats for method, count in held.items()}


@pytest.mark.parametrize(
    ("family", "n"), [(sx.Bernoulli, 50), pytest.param(sx.Gamma, 50, marks=pytest.mark.thorough)], ids=str
)
def test_intervals_hold_the_truth(family, n):
    repeats = 100
    for share in share_held(family, n, repeats, seed=11).values():
        assert st.binomtest(round(share * repeats), repeats, 0.95).pvalue > 1e-3


@pytest.mark.thorough
@pytest.mark.parametrize("n", [50, 500])
@pytest.mark.parametrize("family", FAMILIES, ids=BY_NAME)
def test_intervals_hold_the_truth_at_length(family, n):
    for method, share in share_held(family, n, 2000, seed=n).items():
        assert share == pytest.approx(0.95, abs=0.015), method
