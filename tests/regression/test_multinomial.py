"""Softmax models of categories."""

import jax
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from sklearn.linear_model import LogisticRegression

import surprax as sx
from surprax.data.errors import DataError
from surprax.estimate.maximize import NotAMaximumWarning


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    n = 400
    frame = pd.DataFrame({"x": rng.normal(size=n), "g": rng.choice(list("uvw"), n), "w": rng.integers(1, 4, n)})
    eta = np.stack([np.zeros(n), 0.3 + 0.8 * frame.x, -0.4 - 0.5 * frame.x + (frame.g == "v")], axis=1)
    p = np.exp(eta) / np.exp(eta).sum(axis=1, keepdims=True)
    return frame.assign(y=[rng.choice(["a", "b", "c"], p=row) for row in p], few=np.round(frame.x))


@pytest.fixture(scope="module")
def fit(data: pd.DataFrame):
    return sx.glm("y ~ x + g", data, family=sx.Categorical)


@pytest.fixture(scope="module")
def peer(data: pd.DataFrame, fit):
    codes = np.searchsorted(["a", "b", "c"], data.y)
    return sm.MNLogit(codes, fit.data_rows().design.matrix()).fit(disp=0, method="newton", tol=1e-14)


def _errors(estimate, kind: str = "observed") -> np.ndarray:
    return np.array(list(estimate.standard_errors(kind).values()))


def test_fit_is_that_of_statsmodels(fit, peer):
    np.testing.assert_allclose(fit.theta, peer.params.T.ravel(), rtol=1e-10)
    np.testing.assert_allclose(_errors(fit), peer.bse.T.ravel(), rtol=1e-6)
    for ours, theirs in [(fit.log_likelihood, peer.llf), (fit.aic, peer.aic), (fit.bic, peer.bic)]:
        assert ours == pytest.approx(theirs, rel=1e-12)
    assert fit.null_deviance == pytest.approx(-2.0 * peer.llnull, rel=1e-8)
    assert fit.r_squared == pytest.approx(peer.prsquared, rel=1e-8)
    assert fit.df_residual == peer.df_resid
    assert fit.converged
    assert fit.labels[:2] == ("b: Intercept", "b: x")


def test_robust_covariance_is_that_of_statsmodels(data, fit, peer):
    robust = sm.MNLogit(peer.model.endog, peer.model.exog).fit(disp=0, tol=1e-14, method="newton", cov_type="HC0")
    np.testing.assert_allclose(_errors(fit, "HC0"), robust.bse.T.ravel(), rtol=1e-6)
    np.testing.assert_allclose(_errors(fit, "expected"), _errors(fit), rtol=1e-12)
    groups = np.arange(len(data)) // 4
    summed = np.stack([fit.problem.scores(fit._z)[groups == g].sum(axis=0) for g in range(100)])
    V = fit.covariance()
    np.testing.assert_allclose(fit.covariance("cluster", groups), V @ summed.T @ summed @ V * 100 / 99, rtol=1e-9)
    with pytest.raises(ValueError, match="leverages"):
        fit.covariance("HC3")


def test_probabilities_are_those_of_scikit_learn(data, fit):
    X = fit.data_rows().design.matrix()[:, 1:]
    theirs = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000, solver="newton-cg").fit(X, data.y)
    np.testing.assert_allclose(fit.predict(data), theirs.predict_proba(X), atol=1e-9)
    assert fit.classes == ("a", "b", "c")
    np.testing.assert_allclose(fit.predict(data, kind="linear") @ [0, 0, 1], fit.predict(data, kind="linear")[:, 2])
    np.testing.assert_allclose(np.log(fit.predict() / fit.predict()[:, :1]), fit.predict(kind="linear"), atol=1e-12)


def test_ridge_is_a_stationary_point_of_the_penalised_likelihood(data):
    fit = sx.glm("y ~ x + g", data, family=sx.Categorical, penalty=3.0)
    slopes = fit.problem.scores(fit._z).sum(axis=0).reshape(2, -1)
    b = fit.coefficients.T
    pull = 3.0 * (b - b.mean(axis=0))[1:]
    pull[:, 0] = 0.0  # intercepts are spared
    np.testing.assert_allclose(slopes, pull, atol=1e-9)
    assert 2 < fit.free < 8
    with pytest.raises(ValueError, match="no l1 penalty"):
        sx.glm("y ~ x", data, family=sx.Categorical, penalty=(1.0, 0.0))


def test_ridge_is_that_of_scikit_learn(data):
    fit = sx.glm("y ~ x + g", data, family=sx.Categorical, penalty=3.0)
    X = fit.data_rows().design.matrix()[:, 1:]
    theirs = LogisticRegression(C=1.0 / 3.0, tol=1e-13, max_iter=10_000, solver="newton-cg").fit(X, data.y)
    np.testing.assert_allclose(fit.predict(), theirs.predict_proba(X), atol=1e-7)
    centred = fit.coefficients[1:] - fit.coefficients[1:].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(centred.T, theirs.coef_, atol=1e-6)


def test_ridge_does_not_depend_on_the_baseline(data):
    one = sx.glm("y ~ x + g", data, family=sx.Categorical, penalty=3.0)
    turned = data.assign(y=data.y.map({"a": "z", "b": "b", "c": "c"}))
    other = sx.glm("y ~ x + g", turned, family=sx.Categorical, penalty=3.0)
    assert other.classes == ("b", "c", "z")
    np.testing.assert_allclose(other.predict()[:, [2, 0, 1]], one.predict(), atol=1e-9)
    assert other.free == pytest.approx(one.free, rel=1e-9)
    again, same = (est.predict(interval="mean") for est in (other, one))
    np.testing.assert_allclose(again.low[:, [2, 0, 1]], same.low, atol=1e-9)


def test_ridge_of_two_categories_is_half_that_of_a_bernoulli_law(data):
    two = data[data.y != "c"]
    ours = sx.glm("y ~ x + g", two, family=sx.Categorical, penalty=4.0)
    other = sx.glm("z ~ x + g", two.assign(z=(two.y == "b") * 1), family=sx.Bernoulli, penalty=2.0)
    np.testing.assert_allclose(ours.theta, other.theta, rtol=1e-8)


def test_intervals_of_two_categories_are_those_of_a_bernoulli_model(data):
    two = data[data.y != "c"]
    ours = sx.glm("y ~ x + g", two, family=sx.Categorical).predict(two, interval="mean", level=0.9)
    other = sx.glm("z ~ x + g", two.assign(z=(two.y == "b") * 1), family=sx.Bernoulli)
    other = other.predict(two, interval="mean", level=0.9)
    for end in ("mean", "low", "high"):
        np.testing.assert_allclose(getattr(ours, end)[:, 1], getattr(other, end), rtol=1e-7)
    np.testing.assert_allclose(ours.low[:, 0], 1.0 - ours.high[:, 1], rtol=1e-9)


@pytest.mark.parametrize("far", [0.0, 2000.0])
def test_intervals_go_by_the_derivatives_of_log_odds(data, far):
    fit = sx.glm("y ~ t + g", data.assign(t=data.x + far), family=sx.Categorical)
    new = {"t": far + np.array([-2.0, 0.3, 6.0]), "g": ["u", "v", "w"]}
    found = fit.predict(new, interval="mean", level=0.9)
    design = fit.origins.recipe.design(new)
    half = np.linalg.cholesky(np.linalg.inv(fit._curvature))

    def log_odds(z):
        p = fit.problem.probabilities(z, design)[0]
        return np.log(p) - np.log1p(-p)

    steps = 1e-5 * half.T
    turned = np.stack([(log_odds(fit._z + step) - log_odds(fit._z - step)) / 2e-5 for step in steps])
    errors = np.sqrt(np.sum(turned**2, axis=0))
    reach = 1.6448536269514722
    for end, side in ((found.low, -1), (found.high, 1)):
        eta = log_odds(fit._z) + side * reach * errors
        np.testing.assert_allclose(end, (1.0 / (1.0 + np.exp(-eta))).T, rtol=1e-6)
    np.testing.assert_array_equal(found.mean, fit.predict(new))
    assert np.all((found.low > 0) & (found.low < found.mean) & (found.mean < found.high) & (found.high < 1))
    linear = fit.predict(new, kind="linear", interval="mean", level=0.9)
    np.testing.assert_array_equal(linear.low[:, 0], 0.0)
    other = np.stack([np.log(fit.problem.probabilities(fit._z + s, design)[0]) for s in steps])
    less = np.stack([np.log(fit.problem.probabilities(fit._z - s, design)[0]) for s in steps])
    turned = ((other - other[:, :1]) - (less - less[:, :1])) / 2e-5
    np.testing.assert_allclose(linear.high - linear.mean, reach * np.sqrt(np.sum(turned**2, axis=0)).T, atol=1e-6)
    assert "90 % of the mean" in str(found)
    with pytest.raises(ValueError, match="probabilities say"):
        fit.predict(new, interval="prediction")
    with pytest.raises(ValueError, match=r"write 0\.9 for 90"):
        fit.predict(new, interval="mean", level=90)


def test_intervals_of_probabilities_cover_the_truth():
    rng, n, covered = np.random.default_rng(5), 250, np.zeros(3)
    b = np.array([[0.0, 0.3, -0.5], [0.0, 0.8, -0.6]])
    new = {"x": [0.7]}
    eta = b[0] + 0.7 * b[1]
    truth = np.exp(eta) / np.exp(eta).sum()
    for _ in range(200):
        x = rng.normal(size=n)
        eta = b[0] + x[:, None] * b[1]
        p = np.exp(eta) / np.exp(eta).sum(axis=1, keepdims=True)
        y = np.array(list("abc"))[(rng.uniform(size=(n, 1)) > np.cumsum(p, axis=1)).sum(axis=1)]
        found = sx.glm("y ~ x", {"x": x, "y": y}, family=sx.Categorical).predict(new, interval="mean", level=0.8)
        covered += (found.low[0] <= truth) & (truth <= found.high[0])
    assert np.all(np.abs(covered / 200 - 0.8) < 0.1)  # 3.5 standard errors


def test_two_categories_are_a_bernoulli_model(data):
    two = data[data.y != "c"]
    ours = sx.glm("y ~ x + g", two, family=sx.Categorical, weights="w")
    other = sx.glm("z ~ x + g", two.assign(z=(two.y == "b") * 1), family=sx.Bernoulli, weights="w")
    np.testing.assert_allclose(ours.theta, other.theta, rtol=1e-9)
    for kind in ("observed", "sandwich", "HC1"):
        np.testing.assert_allclose(_errors(ours, kind), _errors(other, kind), rtol=1e-6)
    for name in ("log_likelihood", "deviance", "null_deviance", "aic", "pearson_chi2"):
        assert getattr(ours, name) == pytest.approx(getattr(other, name), rel=1e-11)
    np.testing.assert_allclose(ours.residuals("surprise"), other.residuals("surprise"), rtol=1e-10)
    np.testing.assert_allclose(ours.residuals("pearson")[:, 1], other.residuals("pearson"), rtol=1e-10)


def test_numbers_of_categories_are_categories_of_whatever_type(data):
    codes = np.searchsorted(["a", "b", "c"], data.y)
    expected = sx.glm("y ~ x + g", data, family=sx.Categorical)
    for numbered in (codes, codes.astype(float), codes.astype(np.int8)):
        found = sx.glm("z ~ x + g", data.assign(z=numbered), family=sx.Categorical)
        assert found.classes == ("0", "1", "2")
        np.testing.assert_array_equal(found.theta, expected.theta)
    with pytest.raises(DataError, match=r"whole numbers, for a model of them: found 0\.5"):
        sx.glm("z ~ x + g", data.assign(z=codes - 0.5 * (codes == 1)), family=sx.Categorical)


def test_weights_are_repeated_rows(data):
    once = sx.glm("y ~ x + g", data, family=sx.Categorical, weights="w")
    repeated = sx.glm("y ~ x + g", data.loc[data.index.repeat(data.w)], family=sx.Categorical)
    np.testing.assert_allclose(once.theta, repeated.theta, rtol=1e-10)
    np.testing.assert_allclose(_errors(once, "sandwich"), _errors(repeated, "sandwich"), rtol=1e-9)
    assert once.log_likelihood == pytest.approx(repeated.log_likelihood, rel=1e-12)
    assert once.bic == pytest.approx(repeated.bic, rel=1e-12)


def test_rows_with_one_covariate_vector_are_put_together(data):
    few = sx.glm("y ~ few + g", data, family=sx.Categorical)
    assert few.compression.startswith("400 rows → ")
    noisy = data.assign(few=data.few + 1e-13 * np.arange(400))
    many = sx.glm("y ~ few + g", noisy, family=sx.Categorical)
    assert many.compression == ""
    np.testing.assert_allclose(few.theta, many.theta, rtol=1e-8)
    np.testing.assert_allclose(few.covariance("sandwich"), many.covariance("sandwich"), rtol=1e-8)
    weights = np.arange(400) % 3
    for f, m in zip(few.problem.derivatives(few._z, weights), many.problem.derivatives(few._z, weights)):
        np.testing.assert_allclose(f, m, rtol=1e-8, atol=1e-8)


def test_counts_of_categories_are_their_rows(data):
    wide = data.groupby(["few", "g"])["y"].value_counts().unstack(fill_value=0).reset_index()
    counts = sx.glm("a + b + c ~ few + g", wide, family=sx.Multinomial)
    rows = sx.glm("y ~ few + g", data, family=sx.Categorical)
    np.testing.assert_allclose(counts.theta, rows.theta, rtol=1e-10)
    np.testing.assert_allclose(counts.covariance(), rows.covariance(), rtol=1e-9)
    assert counts.null_deviance - counts.deviance == pytest.approx(rows.null_deviance - rows.deviance, rel=1e-10)
    law = sx.Multinomial(wide[["a", "b", "c"]].sum(axis=1).to_numpy(), counts.predict())
    with jax.enable_x64(True):
        whole = np.sum(np.asarray(law.log_prob(wide[["a", "b", "c"]].to_numpy())))
    assert counts.log_likelihood == pytest.approx(whole, rel=1e-6)
    assert counts.residuals("surprise", unit="nat").sum() == pytest.approx(-counts.log_likelihood, rel=1e-12)
    pair = sx.glm((rows.problem.cells.design.matrix()[:, 1:], rows.problem.counts.T), family=sx.Multinomial)
    np.testing.assert_allclose(pair.theta, rows.theta, rtol=1e-9)
    assert pair.classes == ("y0", "y1", "y2")


def test_derivatives_are_those_of_the_value(fit):
    z = 0.9 * fit._z
    _, slope, H = fit.problem.derivatives(z)
    for i, unit in enumerate(1e-5 * np.eye(len(z))):
        up, down = (fit.problem.value_and_slope(z + side * unit) for side in (1, -1))
        assert (up[0] - down[0]) / 2e-5 == pytest.approx(slope[i], rel=1e-6)
        np.testing.assert_allclose((up[1] - down[1]) / 2e-5, H[i], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(fit.problem.scores(z).sum(axis=0), -slope, atol=1e-10)


def test_constraints_hold_coefficients(fit, data):
    tied = fit.refit(tied=[("b: x", "c: x")])
    assert tied["b: x"] == tied["c: x"]
    equal = sx.glm("y ~ x + g", data, family=sx.Categorical, constraints="`b: x` = `c: x`")
    np.testing.assert_allclose(equal.theta, tied.theta, rtol=1e-9)
    assert fit.likelihood_ratio_test(tied).df == 1
    held = sx.glm("y ~ x + g", data, family=sx.Categorical, fixed={"b: x": 0.0})
    low, high = fit.confidence_interval("b: x", method="profile")
    assert low < fit["b: x"] < high
    at_end = fit.refit(fixed={"b: x": high}).log_likelihood
    assert 2.0 * (fit.log_likelihood - at_end) == pytest.approx(3.841458820694124, rel=1e-7)
    assert held["b: x"] == 0.0
    with pytest.raises(ValueError, match="have no bounds"):
        sx.glm("y ~ x", data, family=sx.Categorical, constraints={"b: x": (0, None)})


def test_bootstrap_spreads_as_standard_errors_say(fit):
    spread = fit.bootstrap(jax.random.key(0), 200).std(axis=0)
    np.testing.assert_allclose(spread, _errors(fit), rtol=0.35)


def test_many_rows_start_from_some_of_them():
    rng = np.random.default_rng(2)
    x = rng.normal(size=70_000)
    y = (rng.logistic(size=70_000) + x > 0) + (rng.logistic(size=70_000) + x > 2).astype(int)
    fit = sx.glm((x[:, None], y), family=sx.Categorical)
    assert fit.converged
    assert fit.classes == ("0", "1", "2")
    np.testing.assert_allclose(fit.residuals().T @ np.stack([np.ones_like(x), x], axis=1), 0.0, atol=1e-6)


def test_order_of_categories_decides_on_the_baseline(data):
    ordered = data.assign(y=pd.Categorical(data.y, categories=["c", "a", "b", "never"]))
    fit = sx.glm("y ~ x", ordered, family=sx.Categorical)
    assert fit.classes == ("c", "a", "b")
    np.testing.assert_allclose(
        fit.predict()[:, [1, 2, 0]], sx.glm("y ~ x", data, family=sx.Categorical).predict(), atol=1e-12
    )


@pytest.mark.parametrize(("y", "how"), [("aabbcc", "completely"), ("aabbbbcacc", "in part")])
def test_separation_is_told(y: str, how: str):
    x = np.arange(len(y), dtype=float) if how == "completely" else np.array([0, 0, 1, 1, 1, 0, 1, 0, 1, 1.0])
    with pytest.warns(NotAMaximumWarning, match=f"foretells {how} which category"):
        fit = sx.glm((x[:, None], np.array(list(y))), family=sx.Categorical)
    assert not fit.converged
    assert sx.glm((x[:, None], np.array(list(y))), family=sx.Categorical, penalty=0.1).converged


def test_columns_that_say_the_same_are_told(data):
    with pytest.warns(NotAMaximumWarning, match=r"columns say the same: twice = 2·x|x = 0.5·twice"):
        sx.glm("y ~ x + twice", data.assign(twice=2.0 * data.x), family=sx.Categorical)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"offset": "x"}, "which category"),
        ({"trials": "w"}, "a column of counts"),
        ({"precisions": "w"}, "no dispersion"),
        ({"link": "probit"}, "softmax"),
        ({"penalty": -1.0}, "from 0"),
    ],
)
def test_what_categories_do_not_have_is_refused(data, wrong, words):
    with pytest.raises(ValueError, match=words):
        sx.glm("y ~ x", data, family=sx.Categorical, **wrong)


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("x ~ g", "found numbers"),
        ("w + x ~ g", "whole numbers from 0"),
        ("one ~ x", "two categories"),
        ("w + other + none ~ x", "never"),
    ],
)
def test_responses_that_are_no_categories_are_refused(data, formula, words):
    with pytest.raises(DataError, match=words):
        sx.glm(formula, data.assign(one="a", none=0, other=1), family=sx.Multinomial)


def test_summary_says_what_the_baseline_is(fit):
    text = str(fit.summary())
    assert "Baseline" in text
    assert "Bits per row" in text
