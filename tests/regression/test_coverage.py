"""Profile intervals against profiles by brute force; and how often intervals hold the truth."""

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


@pytest.mark.parametrize(("family", "n"), [(sx.Bernoulli, 50), (sx.Poisson, 50), (sx.Gamma, 50)], ids=str)
def test_intervals_hold_the_truth(family, n):
    repeats = 120
    for share in share_held(family, n, repeats, seed=11).values():
        assert st.binomtest(round(share * repeats), repeats, 0.95).pvalue > 1e-3


@pytest.mark.thorough
@pytest.mark.parametrize("n", [50, 500])
@pytest.mark.parametrize("family", FAMILIES, ids=BY_NAME)
def test_intervals_hold_the_truth_at_length(family, n):
    for method, share in share_held(family, n, 2000, seed=n).items():
        assert share == pytest.approx(0.95, abs=0.015), method
