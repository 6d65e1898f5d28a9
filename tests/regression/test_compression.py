"""Rows that are put together have the likelihood of the rows as they were, and all that follows from it."""

import numpy as np
import pytest
import scipy.special
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import surprax as sx
from surprax.regression.compression import compressed
from surprax.regression.glm import estimated
from surprax.regression.totals import totals_of

CLOSE = dict(rtol=1e-9, atol=1e-9)
N = 160
FAMILIES = {
    "normal": sx.Normal,
    "Poisson": sx.Poisson,
    "gamma": sx.Gamma,
    "inverse Gaussian": sx.InverseGaussian,
    "Bernoulli": sx.Bernoulli,
    "binomial": sx.Binomial,
    "negative binomial": sx.NegativeBinomial,
}


def frame(family, seed, extras):
    """Rows of few covariate vectors, with responses that their means suit; and what else `glm` is given."""
    rng = np.random.default_rng(seed)
    data = {
        "region": rng.choice(list("nsw"), N),
        "age": rng.integers(0, 4, N),
        "new": rng.integers(0, 2, N).astype(bool),
    }
    eta = 0.4 - 0.3 * data["age"] + 0.5 * (data["region"] == "s") + rng.normal() * 0.3 * data["new"]
    given = {}
    if "offset" in extras:
        given["offset"] = rng.choice([-0.5, 0.0, 0.25, 0.7], N)
        eta = eta + given["offset"]
    if "weights" in extras:
        given["weights"] = rng.integers(0 if "zero" in extras else 1, 4, N).astype(float)
    if "precisions" in extras and family not in (sx.Binomial, sx.Bernoulli, sx.NegativeBinomial):
        given["precisions"] = rng.choice([0.5, 1.0, 2.5], N)
    mean = np.exp(eta)
    match family.__name__:
        case "Normal":
            y = rng.normal(eta, 0.7)
        case "Poisson":
            y = rng.poisson(mean)
        case "Gamma":
            y = rng.gamma(3.0, mean / 3.0)
        case "InverseGaussian":
            y = rng.wald(mean, 4.0)
        case "Bernoulli":
            y = rng.uniform(size=N) < scipy.special.expit(eta)
        case "Binomial":
            given["trials"] = rng.integers(1, 5, N).astype(float)
            y = rng.binomial(given["trials"].astype(int), scipy.special.expit(eta))
        case _:
            y = rng.negative_binomial(1.5, 1.5 / (1.5 + mean))
    return data | {"y": np.asarray(y, float)}, given


def uncompressed(est):
    """The same model, fitted to the rows as they are."""
    problem = est.problem
    rows = problem.original
    plain = problem.replaced(rows=rows, totals=totals_of(problem.response, rows), triangle=None)
    return estimated(plain, est.origins)


def both(family, seed, extras, formula="y ~ region + age + new", **keywords):
    data, given = frame(family, seed, extras)
    with np.errstate(all="ignore"):
        try:
            est = sx.glm(formula, data, family=family, **given, **keywords)
        except ValueError as why:
            assume("All responses are" not in str(why))
            raise
        return est, uncompressed(est)


def apart(one, other, kind="observed"):
    """By how much covariances differ, in units of the standard errors."""
    C, D = one.covariance(kind), other.covariance(kind)
    errors = np.sqrt(np.where(np.diagonal(D) > 0, np.diagonal(D), 1.0))
    return np.max(np.abs(C - D) / np.outer(errors, errors))


def agree(one, other):
    np.testing.assert_allclose(one.log_likelihood, other.log_likelihood, rtol=1e-11, atol=1e-9)
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose([one.deviance, one.null_deviance], [other.deviance, other.null_deviance], **CLOSE)
    np.testing.assert_allclose([one.aic, one.bic, one.nobs], [other.aic, other.bic, other.nobs], **CLOSE)
    np.testing.assert_allclose([one.pearson_chi2, one.dispersion], [other.pearson_chi2, other.dispersion], **CLOSE)
    for kind in ("observed", "HC0"):
        assert apart(one, other, kind) < 1e-9
    for kind in ("response", "pearson", "deviance", "working", "surprise"):
        np.testing.assert_allclose(one.residuals(kind), other.residuals(kind), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(one.leverages(), other.leverages(), rtol=1e-8, atol=1e-10)


EXTRAS = st.sets(st.sampled_from(["offset", "weights", "zero", "precisions"]))


@pytest.mark.filterwarnings("ignore::surprax.estimate.NotAMaximumWarning")
@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=6)
@given(seed=st.integers(0, 10**6), extras=EXTRAS)
def test_compressed_rows_have_the_same_fit(family, seed, extras):
    one, other = both(FAMILIES[family], seed, extras)
    assume(one.converged and other.converged)
    agree(one, other)


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_of_few_covariate_vectors_become_cells(family):
    one, _ = both(FAMILIES[family], 1, ())
    assert "→" in one.compression
    assert one.problem.data_rows.n < N / 2
    assert one.nobs == N


@pytest.mark.parametrize("family", FAMILIES)
def test_standard_errors_are_the_same_to_rounding(family):
    assert max(apart(*both(FAMILIES[family], seed, ())) for seed in range(3)) < 1e-9


@pytest.mark.parametrize("family", ["normal", "Poisson", "gamma"])
def test_constraints_hold_for_cells_too(family):
    held = dict(fixed={"age": -0.2})
    agree(*both(FAMILIES[family], 4, ("weights",), **held))
    agree(*both(FAMILIES[family], 4, ("weights",), tied=[("region[T.s]", "region[T.w]")]))


@pytest.mark.parametrize("family", ["normal", "Poisson", "gamma", "Bernoulli", "negative binomial"])
def test_intervals_and_predictions_are_the_same(family):
    one, other = both(FAMILIES[family], 5, ("weights",))
    for method in ("wald", "profile", "score"):
        found, expected = (est.confidence_interval("age", method=method) for est in (one, other))
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    new = {"region": ["n", "w"], "age": [0, 3], "new": [True, False]}
    for interval in ("mean", "prediction"):
        found, expected = (est.predict(new, interval=interval) for est in (one, other))
        for end in ("mean", "low", "high"):
            np.testing.assert_allclose(getattr(found, end), getattr(expected, end), rtol=1e-6)


def test_a_continuous_covariate_is_left_alone():
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    est = sx.glm((x[:, None], rng.poisson(np.exp(x))), family=sx.Poisson)
    assert est.compression == ""
    assert est.problem.data_rows is est.data_rows()
    assert compressed(est.problem.response, est.problem.link, est.data_rows()).rows is est.data_rows()
