"""Exact inference against quadrature and against formulas of textbooks, in NumPy and SciPy."""

import functools

import jax
import numpy as np
import numpyro
import pytest
import scipy.integrate
import scipy.special
import scipy.stats as st
from tests.infer import exact_models as models
from tests.infer.exact_pairs import OF_ARRAYS, OF_NUMBERS, QUICK

from surprax import beliefs
from surprax.infer.exact import Solution, Unsolved, solve
from surprax.infer.unknowns import unknown_of

LEVELS = np.array([0.05, 0.5, 0.975])


def solved(model, *args):
    found = solve(model, args)
    assert isinstance(found, Solution), found.reason
    assert found.error < 1e-8
    return found


def close(a, b, digits=9):
    np.testing.assert_allclose(a, b, rtol=10.0**-digits, atol=10.0**-digits * np.max(np.abs(b), initial=1e-300))


def agrees(form, name, d, digits=9, *, quantiles=True):
    """Mean, deviation and (of a single number) quantiles of a site, with those of a distribution of SciPy."""
    close(form.mean(name), d.mean(), digits)
    close(form.sd(name), d.std(), digits)
    if np.ndim(form.mean(name)) == 0 and quantiles:
        close(form.quantile(name, LEVELS), d.ppf(LEVELS), digits)


def rows(n=40):
    rng = np.random.default_rng(8)
    return rng, rng.normal(size=(n, 3)), rng.normal(size=n), rng.integers(0, 3, n)


def normal_log_density(y, mean, covariance):
    return st.multivariate_normal(mean, covariance).logpdf(y)


# The table of conjugate pairs.


def marked(names):
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.thorough) for name in names]


@pytest.mark.parametrize("name", marked(OF_NUMBERS))
def test_posterior_of_one_number_is_the_normalised_joint(name):
    pair = OF_NUMBERS[name]
    found = solved(pair.model, pair.x)
    log_evidence, mean, sd, cdf = pair.integrated()
    close(found.log_evidence, log_evidence, 7)
    if name != "VonMises VonMises":  # whose mean is a direction
        close(found.form.mean("theta"), mean, 6)
        close(found.form.sd("theta"), sd, 5)
    np.testing.assert_allclose(cdf(found.form.quantile("theta", LEVELS)), LEVELS, atol=2e-3)


@pytest.mark.parametrize("name", marked(OF_ARRAYS))
def test_posterior_of_an_array_is_that_of_textbooks(name):
    pair = OF_ARRAYS[name]
    found = solved(pair.model, pair.x)
    with jax.enable_x64(True):
        close(found.form.mean("theta"), pair.posterior.mean, 6)
        close(found.form.sd("theta"), np.sqrt(pair.posterior.variance), 6)
        # Bayes' rule at one point.
        value = pair.posterior.mean if name != "VonMisesFisher VonMisesFisher" else pair.posterior.mean_direction
        likelihood = np.sum(pair.given(np.asarray(value)).log_prob(np.asarray(pair.x)))
        close(found.log_evidence, pair.prior.log_prob(value) + likelihood - pair.posterior.log_prob(value), 6)


def test_every_pair_of_the_table_is_read_backwards():
    for pair in beliefs.conjugates():
        case = (OF_NUMBERS | OF_ARRAYS)[f"{pair.prior.__name__} {pair.likelihood.__name__}"]
        with jax.enable_x64(True):
            value = np.asarray(pair.point(case.prior))
            close(unknown_of(pair, case.given(value)), value)


# Counts and chances.


def test_coin():
    found = solved(models.coin, np.array([1, 0, 1, 1]))
    agrees(found.form, "theta", st.beta(5, 4))
    close(found.log_evidence, scipy.special.betaln(5, 4) - scipy.special.betaln(2, 3))
    assert found.how == {"theta": "Beta, conjugate to Bernoulli 'heads'"}


def test_globe_tossing_is_a_seventh_and_a_fourth_part():
    """Six times water in nine tosses with a flat prior: Beta(7, 4), and every number of times was equally probable."""
    found = solved(models.globe, 6, 9)
    agrees(found.form, "p", st.beta(7, 4))
    close(found.log_evidence, -np.log(10.0))


def test_horse_kicks():
    found = solved(models.horse_kicks, models.KICKS)
    a, b, n, total = 0.5, 0.1, 200, 122
    agrees(found.form, "rate", st.gamma(a + total, scale=1.0 / (b + n)))
    logs = a * np.log(b) - (a + total) * np.log(b + n) - np.sum(scipy.special.gammaln(models.KICKS + 1.0))
    close(found.log_evidence, logs + scipy.special.gammaln(a + total) - scipy.special.gammaln(a))


def test_rates_by_county_with_exposures():
    deaths, population = np.array([1, 0, 8, 200]), np.array([5e3, 2e4, 1e5, 2e6])
    found = solved(models.counties, deaths, population)
    agrees(found.form, "theta", st.gamma(20.0 + deaths, scale=1.0 / (430_000.0 + 10.0 * population)))
    # Deaths alone are negative binomial.
    p = 430_000.0 / (430_000.0 + 10.0 * population)
    close(found.log_evidence, np.sum(st.nbinom.logpmf(deaths, 20.0, p)))


def test_mining_disasters_with_a_known_change():
    found = solved(models.mining, models.DISASTERS, 1890)
    early, late = models.DISASTERS[:39], models.DISASTERS[39:]
    agrees(found.form, "early", st.gamma(1.0 + early.sum(), scale=1.0 / 40.0))
    agrees(found.form, "late", st.gamma(1.0 + late.sum(), scale=1.0 / 72.5))
    assert models.DISASTERS.sum() == 191


def test_two_versions_compared():
    found = solved(models.two_versions, np.array([1000, 1100]), np.array([100, 140]))
    a, b = st.beta(101, 909), st.beta(141, 969)
    agrees(found.form, "a", a)
    agrees(found.form, "b", b)
    close(found.form.mean("lift"), b.mean() - a.mean(), 4)
    close(found.form.sd("lift"), np.sqrt(a.var() + b.var()), 4)
    better, _ = scipy.integrate.quad(lambda x: b.sf(x) * a.pdf(x), 0.0, 0.3, points=[0.1])
    draws = found.form.sample(jax.random.key(1), 20_000)
    assert abs(np.mean(draws["lift"] > 0.0) - better) < 0.005
    np.testing.assert_allclose(draws["lift"], draws["b"] - draws["a"])
    assert draws["a"].dtype == np.float64
    # The quantile of the difference at the probability that it is negative is 0.
    assert abs(found.form.quantile("lift", 1.0 - better)) < 0.01 * found.form.sd("lift")


def test_masks_weights_and_reciprocal_rates():
    rng, _, _, group = rows()
    x, weights, seen = rng.exponential(2.0, 40), rng.uniform(0.5, 2.0, 40), rng.random(40) < 0.8
    found = solved(models.survival, x, group, weights, seen)
    count = np.bincount(group, weights * seen, 3)
    agrees(found.form, "mean", st.invgamma(3.0 + count, scale=4.0 + np.bincount(group, weights * seen * x, 3)))


def test_dirichlet_by_group():
    letters, group = np.array([0, 2, 2, 1, 0, 0, 2]), np.array([0, 0, 1, 1, 1, 0, 1])
    found = solved(models.languages, letters, group)
    a = np.array([[3.0, 2.0, 4.0], [2.0, 3.0, 5.0]])
    agrees(found.form, "probs", st.beta(a, a.sum(axis=1, keepdims=True) - a))
    log_beta = lambda a: np.sum(scipy.special.gammaln(a)) - scipy.special.gammaln(np.sum(a))
    close(found.log_evidence, log_beta(a[0]) + log_beta(a[1]) - 2.0 * log_beta(np.array([1.0, 2.0, 3.0])))


def test_several_sites_about_one_chance_and_its_odds():
    found = solved(models.odds, np.array([1, 0, 1]), np.array([0, 2, 4]))
    d = st.beta(2 + 2 + 6, 2 + 1 + 3)  # 2 heads of 3, and 6 times heads before 3 failures
    agrees(found.form, "p", d)
    assert found.how["p"] == "Beta, conjugate to Bernoulli 'heads' and Geometric 'fails'"
    close(found.form.mean("odds"), 10.0 / 5.0, 7)
    close(found.form.quantile("odds", LEVELS), d.ppf(LEVELS) / (1.0 - d.ppf(LEVELS)), 8)
    close(found.form.mean("log odds"), scipy.special.digamma(10) - scipy.special.digamma(6), 8)
    trigammas = scipy.special.polygamma(1, 10) + scipy.special.polygamma(1, 6)
    close(found.form.sd("log odds"), np.sqrt(trigammas), 8)


# Scales.


@pytest.mark.parametrize("model", [models.noise, pytest.param(models.noise_by_precision, marks=pytest.mark.thorough)])
def test_variance_in_units_that_differ_from_row_to_row(model):
    rng, _, x, _ = rows()
    known, unit = rng.normal(size=40), rng.uniform(1.0, 2.0, 40)
    found = solved(model, x, known, unit)
    a, b = 2.0 + 20.0, 3.0 + 0.5 * np.sum(((x - known) / unit) ** 2)
    agrees(found.form, "variance", st.invgamma(a, scale=b), 8)
    if model is models.noise:
        close(found.form.quantile("sigma", LEVELS), np.sqrt(st.invgamma(a, scale=b).ppf(LEVELS)), 8)
    else:
        agrees(found.form, "precision", st.gamma(a, scale=1.0 / b))
    # x is Student's t, jointly: c (1 + Σ z² / 2b₀)^(−a).
    logs = scipy.special.gammaln(a) - scipy.special.gammaln(2.0) + 2.0 * np.log(3.0) - a * np.log(b)
    close(found.log_evidence, logs - 20.0 * np.log(2.0 * np.pi) - np.sum(np.log(unit)))


def test_mean_and_variance_together_are_normal_inverse_gamma():
    x = np.exp(rows()[2])
    y, n = np.log(x), len(x)
    found = solved(models.incomes, x)
    kappa, a = 0.5 + n, 2.0 + 0.5 * n
    loc = (0.5 * 1.0 + n * y.mean()) / kappa
    b = 3.0 + 0.5 * np.sum((y - y.mean()) ** 2) + 0.5 * 0.5 * n / kappa * (y.mean() - 1.0) ** 2
    agrees(found.form, "loc", st.t(2.0 * a, loc, np.sqrt(b / (a * kappa))), 8, quantiles=False)
    agrees(found.form, "variance", st.invgamma(a, scale=b))
    logs = scipy.special.gammaln(a) - scipy.special.gammaln(2.0) + 2.0 * np.log(3.0) - a * np.log(b)
    logs += 0.5 * np.log(0.5 / kappa) - 0.5 * n * np.log(2.0 * np.pi)
    close(found.log_evidence, logs - np.sum(y))
    draws = found.form.sample(jax.random.key(0), 20_000)
    scaled = (draws["loc"] - loc) / np.sqrt(draws["variance"] / kappa)
    assert abs(np.std(scaled) - 1.0) < 0.02  # given the variance


def test_mean_and_precision_of_groups_are_normal_gamma():
    _, _, x, group = rows()
    found = solved(models.samples, x, group)
    n = np.bincount(group)
    mean = np.bincount(group, x) / n
    rest = np.bincount(group, (x - mean[group]) ** 2)
    kappa, a = 2.0 + n, 2.0 + 0.5 * n
    loc, b = (2.0 * 1.0 + n * mean) / kappa, 3.0 + 0.5 * rest + 0.5 * 2.0 * n / kappa * (mean - 1.0) ** 2
    agrees(found.form, "precision", st.gamma(a, scale=1.0 / b))
    agrees(found.form, "loc", st.t(2.0 * a, loc, np.sqrt(b / (a * kappa))), 8)


def test_regression_with_unknown_variance():
    """O'Hagan (1994), section 9.13; y alone is multivariate t."""
    _, X, y, _ = rows()
    found = solved(models.regression_with_noise, X, y)
    V, m = 4.0 * np.eye(3), np.full(3, 0.5)
    S = np.linalg.inv(np.linalg.inv(V) + X.T @ X)
    beta = S @ (np.linalg.solve(V, m) + X.T @ y)
    rest = y @ y + m @ np.linalg.solve(V, m) - beta @ np.linalg.solve(S, beta)
    a, b = 3.0 + 20.0, 2.0 + 0.5 * rest
    agrees(found.form, "variance", st.invgamma(a, scale=b), 8)
    agrees(found.form, "beta", st.t(2.0 * a, beta, np.sqrt(b / a * np.diagonal(S))), 8)
    spread = 2.0 / 3.0 * (np.eye(40) + X @ V @ X.T)
    close(found.log_evidence, st.multivariate_t(X @ m, spread, df=6.0).logpdf(y))


# Normal throughout.


def test_eight_schools_with_a_known_spread():
    """BDA, equations 5.17 and 5.20, with tau = 10; and the same model told in another way."""
    effects, errors = models.SCHOOLS
    found = solved(models.schools, effects, errors, 10.0)
    weights = 1.0 / (errors**2 + 100.0)
    variance = 1.0 / (weights.sum() + 1e-8)
    mu = variance * np.sum(weights * effects)
    agrees(found.form, "mu", st.norm(mu, np.sqrt(variance)), 8)
    own = 1.0 / (1.0 / errors**2 + 1.0 / 100.0)
    theta = own * (effects / errors**2 + mu / 100.0)
    deviation = np.sqrt(own + (own / 100.0) ** 2 * variance)
    agrees(found.form, "theta", st.norm(theta, deviation), 8)
    prior = np.diag(errors**2 + 100.0) + 1e8
    close(found.log_evidence, normal_log_density(effects, np.zeros(8), prior))
    again = solved(models.schools, effects, errors, 10.0, False)
    agrees(again.form, "theta", st.norm(theta, deviation), 8)  # here it is computed from others
    close(again.log_evidence, found.log_evidence, 8)


def test_means_of_groups_about_a_common_one():
    rng, _, _, group = rows()
    score = 50.0 + 5.0 * group + rng.normal(size=40)
    found = solved(models.classrooms, score, group, 8.0, 5.0)
    n = np.bincount(group)
    mean, error = np.bincount(group, score) / n, 64.0 / n
    variance = 1.0 / (np.sum(1.0 / (error + 25.0)) + 1.0 / 400.0)
    mu = variance * (np.sum(mean / (error + 25.0)) + 50.0 / 400.0)
    agrees(found.form, "mu", st.norm(mu, np.sqrt(variance)), 8)
    own = 1.0 / (1.0 / error + 1.0 / 25.0)
    close(found.form.mean("theta"), own * (mean / error + mu / 25.0))
    same = group[:, None] == group
    close(
        found.log_evidence,
        normal_log_density(score, np.full(40, 50.0), 64.0 * np.eye(40) + 25.0 * same + 400.0),
        8,
    )


def test_known_errors_with_one_effect_and_with_one_for_each():
    effects, errors = models.SCHOOLS
    found = solved(models.no_pooling, effects, errors)
    variance = 1.0 / (1.0 / errors**2 + 0.01)
    agrees(found.form, "theta", st.norm(variance * (effects / errors**2 + 0.05), np.sqrt(variance)))
    close(found.log_evidence, np.sum(st.norm.logpdf(effects, 5.0, np.sqrt(errors**2 + 100.0))))
    found = solved(models.one_effect, effects, errors)
    variance = 1.0 / (np.sum(1.0 / errors**2) + 0.01)
    agrees(found.form, "theta", st.norm(variance * (np.sum(effects / errors**2) + 0.05), np.sqrt(variance)))
    close(found.log_evidence, normal_log_density(effects, np.full(8, 5.0), np.diag(errors**2) + 100.0))


def test_regression_and_its_line():
    _, X, y, _ = rows()
    found = solved(models.regression, X, y, 1.5)
    Z, prior = np.column_stack([np.ones(40), X]), np.diag([100.0, 4.0, 4.0, 4.0])
    S = np.linalg.inv(np.linalg.inv(prior) + Z.T @ Z / 2.25)
    beta = S @ Z.T @ y / 2.25
    agrees(found.form, "alpha", st.norm(beta[0], np.sqrt(S[0, 0])), 8)
    agrees(found.form, "beta", st.norm(beta[1:], np.sqrt(np.diagonal(S)[1:])), 8)
    agrees(found.form, "line", st.norm(Z @ beta, np.sqrt(np.diagonal(Z @ S @ Z.T))), 8)
    close(found.log_evidence, normal_log_density(y, np.zeros(40), 2.25 * np.eye(40) + Z @ prior @ Z.T), 8)
    draws = found.form.sample(jax.random.key(0), 20_000)
    together = np.column_stack([draws["alpha"], draws["beta"]])
    np.testing.assert_allclose(np.cov(together.T), S, atol=0.05 * np.max(S))
    np.testing.assert_allclose(draws["line"][7], Z @ together[7])
    assert list(found.form.names) == ["alpha", "beta", "line"]


def test_gaussian_process():
    y = rows(10)[2]
    K = np.exp(-np.abs(np.subtract.outer(np.arange(10.0), np.arange(10.0))))
    found = solved(models.smooth, y, K, 0.5)
    gain = K @ np.linalg.inv(K + 0.25 * np.eye(10))
    agrees(found.form, "path", st.norm(gain @ y, np.sqrt(np.diagonal(K - gain @ K))), 8)
    close(found.log_evidence, normal_log_density(y, np.zeros(10), K + 0.25 * np.eye(10)))


@pytest.mark.thorough
def test_random_walk_with_drift():
    y, t = rows(12)[2], np.arange(12.0)
    found = solved(models.walk, y)
    K = 0.25 * np.minimum.outer(t + 1.0, t + 1.0)
    C = K + np.outer(t, t) + 0.09 * np.eye(12)
    agrees(
        found.form, "path", st.norm(K @ np.linalg.solve(C, y), np.sqrt(np.diagonal(K - K @ np.linalg.solve(C, K)))), 8
    )
    agrees(found.form, "drift", st.norm(t @ np.linalg.solve(C, y), np.sqrt(1.0 - t @ np.linalg.solve(C, t))), 8)
    close(found.log_evidence, normal_log_density(y, np.zeros(12), C))


def test_flat_prior_and_smoothing_factor():
    """A prior without mass has no evidence; a quadratic factor is part of a normal prior."""
    y = rows(5)[2]
    found = solved(models.flat_and_smooth, y)
    assert found.log_evidence is None
    D = np.diff(np.eye(5), axis=0)
    S = np.linalg.inv(np.eye(5) + 3.0 * D.T @ D)
    agrees(found.form, "level", st.norm(S @ y, np.sqrt(np.diagonal(S))), 8)


# Vectors and matrices of NumPyro's own.


def test_mean_of_vectors():
    x, noise = rows()[1][:, :2], np.array([[1.0, 0.5], [0.5, 2.0]])
    found = solved(models.center, x, noise)
    S = np.linalg.inv(np.eye(2) / 9.0 + 40.0 * np.linalg.inv(noise))
    m = S @ (np.array([1.0, -1.0]) / 9.0 + np.linalg.solve(noise, x.sum(axis=0)))
    agrees(found.form, "loc", st.norm(m, np.sqrt(np.diagonal(S))), 8)


@pytest.mark.parametrize("name", ["covariance", pytest.param("precision", marks=pytest.mark.thorough)])
def test_covariance_and_precision_matrices(name):
    x, at = rows()[1][:, :2], np.eye(2)
    scatter = (x - [1.0, 0.0]).T @ (x - [1.0, 0.0])
    if name == "covariance":
        found = solved(models.spread, x)
        prior, own = st.invwishart(5, np.diag([1.0, 2.0])), st.invwishart(45, np.diag([1.0, 2.0]) + scatter)
    else:
        found = solved(models.spread_by_precision, x)
        prior, own = st.wishart(5, np.diag([1.0, 0.5])), st.wishart(45, np.linalg.inv(np.diag([1.0, 2.0]) + scatter))
    close(found.form.mean(name), own.mean(), 8)
    likelihood = np.sum(st.multivariate_normal([1.0, 0.0], at).logpdf(x))
    close(found.log_evidence, prior.logpdf(at) + likelihood - own.logpdf(at))
    if name == "covariance":  # its diagonal is inverse gamma
        quantiles = st.invgamma(0.5 * (45 - 1), scale=0.5 * (1.0 + scatter[0, 0])).ppf(LEVELS)
        close(found.form.quantile(name, LEVELS)[:, 0, 0], quantiles, 2)


# What has no closed form, and why.


def unsolved(model, *args):
    found = solve(model, args)
    assert isinstance(found, Unsolved)
    return found.reason


TOSSES = np.array([1, 0, 1, 1, 0, 1])


@functools.cache
def line():
    _, X, y, _ = rows()
    return X[:, 0], y


@pytest.mark.parametrize(
    ("model", "args", "words"),
    [
        (models.schools_with_tau, lambda: models.SCHOOLS, ["'tau'", "HalfCauchy"]),
        (models.logistic, lambda: (rows()[1], rows()[3] % 2), ["'beta'", "Bernoulli 'y'"]),
        (models.product, lambda: (TOSSES,), ["'tosses'", "'p' and 'q'"]),
        (models.squared_chance, lambda: (TOSSES,), ["'p'", "probs of Bernoulli"]),
        (models.clipped, lambda: (TOSSES,), ["'p'", "probs of Bernoulli"]),
        (models.semi_conjugate, lambda: line()[:1], ["'loc'", "does not go with 'variance'"]),
        (models.variance_as_scale, lambda: line()[:1], ["'sigma'", "variance scale²"]),
        (models.hyperprior, lambda: (TOSSES,), ["'rate' depends on 'shape'"]),
        (models.many_levels, lambda: (np.zeros(2_001),), ["'theta' depends on 'mu'", "at most 2,000"]),
        (models.robust_line, line, ["StudentT 'y'"]),
        (models.heavy_tails, lambda: line()[:1], ["'loc' is not quadratic"]),
        (models.bent_line, line, ["'y' is not quadratic"]),
        (models.mixture, lambda: line()[:1], ["'z' is discrete"]),
        (models.penalised, lambda: (TOSSES,), ["'penalty' is a factor"]),
    ],
)
def test_reasons_name_the_site_in_the_way(model, args, words):
    reason = unsolved(model, *args())
    assert all(word in reason for word in words), reason
    assert reason.endswith(".")
    assert reason.startswith("No closed form: ")


def test_data_outside_of_the_support_are_told_of():
    assert "row 1 is -2" in unsolved(models.horse_kicks, np.array([1, -2]))


# Deterministic sites, and sites without data.


def test_functions_of_sites():
    def model(x):
        mu = numpyro.sample("mu", numpyro.distributions.Normal(0.0, 1.0))
        numpyro.sample("idle", numpyro.distributions.HalfNormal(2.0))
        numpyro.deterministic("grid", np.arange(3.0))
        numpyro.deterministic("square", mu**2)
        numpyro.deterministic("falling", -(mu**3) - mu)
        numpyro.deterministic("both", np.array([1.0, -2.0]) * mu)
        numpyro.sample("x", numpyro.distributions.Normal(mu, 1.0), obs=x)

    x = rows()[2]
    form = solved(model, x).form
    m, s = np.sum(x) / 41.0, np.sqrt(1.0 / 41.0)
    agrees(form, "idle", st.halfnorm(scale=2.0))
    np.testing.assert_array_equal(form.mean("grid"), [0.0, 1.0, 2.0])
    np.testing.assert_array_equal(form.sd("grid"), np.zeros(3))
    d = st.ncx2(1, (m / s) ** 2, scale=s**2)
    close(form.mean("square"), d.mean(), 8)
    close(form.sd("square"), d.std(), 8)
    close(form.quantile("square", LEVELS), d.ppf(LEVELS), 3)
    z = st.norm(m, s).ppf(1.0 - LEVELS)
    close(form.quantile("falling", LEVELS), -(z**3) - z, 8)
    agrees(form, "both", st.norm(np.array([1.0, -2.0]) * m, np.array([1.0, 2.0]) * s), 8)
    assert list(form.names) == ["mu", "idle", "grid", "square", "falling", "both"]


def test_nothing_depends_on_the_precision_of_the_moment():
    tosses = np.array([1, 0, 1, 1])
    narrow = solved(models.coin, tosses)
    with jax.enable_x64(True):
        wide = solved(models.coin, tosses)
    assert narrow.log_evidence == wide.log_evidence
    assert narrow.form.mean("theta") == wide.form.mean("theta")
