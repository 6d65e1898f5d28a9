"""Generalised linear models against statsmodels and glum: all that both have, on the data sets that come with the packages."""

import functools

import numpy as np
import pytest
import scipy.stats as st
import sklearn.datasets
import statsmodels.api as sm
from statsmodels.genmod.families import links
from statsmodels.othermod.betareg import BetaModel

import surprax as sx

CLOSE = dict(rtol=1e-6, atol=1e-9)
pytestmark = pytest.mark.filterwarnings("ignore:The .* link function does not respect the domain")


@functools.cache
def data(name):
    """A data set that comes with statsmodels or scikit-learn, as a frame whose columns a formula can name."""
    if hasattr(sm.datasets, name):
        frame = getattr(sm.datasets, name).load_pandas().data
    else:
        frame = getattr(sklearn.datasets, f"load_{name}")(as_frame=True).frame
    if name == "fair":
        frame = frame.assign(unfaithful=frame["affairs"] > 0)
    return frame.rename(columns=lambda c: c.replace(" (cm)", "").replace(" ", "_"))


def picked(name, response, columns, step=1):
    frame = data(name).iloc[::step].reset_index(drop=True)
    return frame, frame[response].to_numpy(float), sm.add_constant(frame[columns].to_numpy(float))


def some(seed, n, low, high):
    return np.random.default_rng(seed).integers(low, high, n).astype(float)


FAMILIES = {
    sx.Normal: sm.families.Gaussian,
    sx.Bernoulli: sm.families.Binomial,
    sx.Binomial: sm.families.Binomial,
    sx.Poisson: sm.families.Poisson,
    sx.Gamma: sm.families.Gamma,
    sx.InverseGaussian: sm.families.InverseGaussian,
}
LINKS = {
    "identity": links.Identity(),
    "log": links.Log(),
    "logit": links.Logit(),
    "probit": links.Probit(),
    "cloglog": links.CLogLog(),
    "loglog": links.LogLog(),
    "cauchit": links.Cauchy(),
    "inverse": links.InversePower(),
    "inverse_squared": links.InverseSquared(),
    "sqrt": links.Sqrt(),
}
LONGLEY = ["GNPDEFL", "GNP", "UNEMP", "ARMED", "POP", "YEAR"]
CANCER = ["mean_texture", "mean_smoothness", "mean_symmetry"]
STAR = ["LOWINC", "PERASIAN", "PERBLACK", "PERHISP", "PCTCHRT", "PCTYRRND"]
SCOTLAND = ["COUTAX", "UNEMPF", "MOR", "ACT", "GDP", "AGE"]
CPUNISH = ["INCOME", "PERPOVERTY", "PERBLACK", "VC100k96", "SOUTH", "DEGREE"]
FAIR = ["rate_marriage", "age", "yrs_married", "religious"]

# name: data, response, covariates, family, link, every so many rows, what else
GLMS = {
    "longley": ("longley", "TOTEMP", LONGLEY, sx.Normal, "identity", 1, {}),
    "stackloss, counted": ("stackloss", "STACKLOSS", ["AIRFLOW", "WATERTEMP"], sx.Normal, "identity", 1, {"counts"}),
    "grunfeld": ("grunfeld", "invest", ["value", "capital"], sx.Normal, "identity", 1, {}),
    "ccard, weighted": ("ccard", "AVGEXP", ["AGE", "INCOME", "OWNRENT"], sx.Normal, "identity", 1, {"precisions"}),
    "diabetes": ("diabetes", "target", ["age", "sex", "bmi", "bp"], sx.Normal, "identity", 1, {}),
    "diabetes, log": ("diabetes", "target", ["age", "bmi", "bp"], sx.Normal, "log", 2, {"offset"}),
    "spector": ("spector", "GRADE", ["GPA", "TUCE", "PSI"], sx.Bernoulli, "logit", 1, {}),
    "spector, probit": ("spector", "GRADE", ["GPA", "TUCE", "PSI"], sx.Bernoulli, "probit", 1, {}),
    "spector, cauchit": ("spector", "GRADE", ["GPA", "TUCE", "PSI"], sx.Bernoulli, "cauchit", 1, {}),
    "cancer, cloglog": ("breast_cancer", "target", CANCER, sx.Bernoulli, "cloglog", 1, {}),
    "cancer, loglog": ("breast_cancer", "target", CANCER, sx.Bernoulli, "loglog", 1, {"counts"}),
    "anes96": ("anes96", "vote", ["PID", "age", "educ", "income"], sx.Bernoulli, "logit", 1, {"offset"}),
    "star98": ("star98", ["NABOVE", "NBELOW"], STAR, sx.Binomial, "logit", 1, {}),
    "star98, probit": ("star98", ["NABOVE", "NBELOW"], STAR, sx.Binomial, "probit", 1, {"counts"}),
    "randhie": ("randhie", "mdvis", ["lncoins", "idp", "physlm", "disea"], sx.Poisson, "log", 40, {"offset"}),
    "cpunish": ("cpunish", "EXECUTIONS", CPUNISH, sx.Poisson, "log", 1, {}),
    "cpunish, sqrt": ("cpunish", "EXECUTIONS", ["PERPOVERTY", "PERBLACK"], sx.Poisson, "sqrt", 1, {}),
    "committee": ("committee", "BILLS104", ["SIZE", "SUBS", "STAFF", "PRESTIGE"], sx.Poisson, "log", 1, {"counts"}),
    "fair": ("fair", "unfaithful", FAIR, sx.Bernoulli, "logit", 10, {}),
    "scotland": ("scotland", "YES", SCOTLAND, sx.Gamma, "inverse", 1, {}),
    "scotland, log": ("scotland", "YES", SCOTLAND, sx.Gamma, "log", 1, {"counts"}),
    "engel, log": ("engel", "foodexp", ["income"], sx.Gamma, "log", 1, {"precisions"}),
    "engel, identity": ("engel", "foodexp", ["income"], sx.Gamma, "identity", 1, {}),
    "engel, inverse Gaussian": ("engel", "foodexp", ["income"], sx.InverseGaussian, "log", 1, {}),
    "scotland, inverse Gaussian": ("scotland", "YES", SCOTLAND, sx.InverseGaussian, "inverse_squared", 1, {"precisions"}),
}  # fmt: skip


@functools.cache
def fits(case):
    """Ours, theirs, the design and the extras."""
    name, response, columns, family, link, step, extras = GLMS[case]
    frame, y, X = picked(name, response, columns, step)
    n = len(y)
    ours, theirs = {}, {}
    if "counts" in extras:
        ours["weights"] = theirs["freq_weights"] = some(1, n, 1, 4)
    if "precisions" in extras:
        ours["precisions"] = theirs["var_weights"] = some(2, n, 2, 9) / 4
    if "offset" in extras:
        ours["offset"] = theirs["offset"] = some(3, n, -3, 3) / 8
    left = " + ".join(response) if isinstance(response, list) else response
    est = sx.glm(f"{left} ~ {' + '.join(columns)}", frame, family=family, link=link, **ours)
    model = sm.GLM(y, X, family=FAMILIES[family](LINKS[link]), **theirs)
    start = model.fit(maxiter=300, tol=1e-14).params
    res = model.fit(start_params=start, maxiter=50, tol=1e-15, use_t=est.reference is not st.norm)
    return est, res, X, frame, ours


def errors(est, *args, **keywords):
    found = list(est.standard_errors(*args, **keywords).values())
    return found[: len(est.coefficients)]


def scale_of(est):
    """Dispersion at the maximum."""
    return est.problem.dispersion(est._z)


@pytest.mark.parametrize("case", GLMS)
def test_coefficients_and_errors(case):
    est, res, X, *_ = fits(case)
    assert est.converged
    np.testing.assert_allclose(list(est.coefficients.values()), res.params, **CLOSE)
    np.testing.assert_allclose(est.dispersion, res.scale, rtol=1e-6)
    for kind in ("observed", "expected"):
        H = res.model.hessian(res.params, scale=res.scale, observed=kind == "observed")
        p = X.shape[1]
        unit = np.sqrt(np.abs(np.diagonal(H)))
        bse = np.sqrt(np.diagonal(np.linalg.inv(-H / np.outer(unit, unit)))) / unit
        np.testing.assert_allclose(np.sqrt(np.diagonal(est.covariance(kind)))[:p], bse, rtol=2e-6)
    np.testing.assert_allclose(errors(est, "expected"), res.bse, rtol=2e-6)


@pytest.mark.parametrize("case", GLMS)
def test_fit(case):
    est, res, X, *_ = fits(case)
    np.testing.assert_allclose(est.deviance, res.deviance, rtol=1e-8)
    np.testing.assert_allclose(est.null_deviance, res.null_deviance, rtol=1e-8)
    np.testing.assert_allclose(est.pearson_chi2, res.pearson_chi2, rtol=1e-6)
    assert est.nobs == res.nobs if "counts" not in GLMS[case][-1] else res.df_resid + X.shape[1]
    assert est.df_residual == res.df_resid
    llf = res.llf_scaled(scale=scale_of(est))
    np.testing.assert_allclose(est.log_likelihood, llf, rtol=1e-9)
    parameters = X.shape[1] + (est.reference is not st.norm)  # the dispersion is fitted too
    assert est.free == parameters
    np.testing.assert_allclose(est.aic, -2 * llf + 2 * parameters, rtol=1e-9)
    np.testing.assert_allclose(est.bic, -2 * llf + np.log(est.nobs) * parameters, rtol=1e-9)
    if est.reference is st.norm or GLMS[case][3:5] == (
        sx.Normal,
        "identity",
    ):  # others take Pearson's dispersion for llf
        np.testing.assert_allclose(est.aic, res.aic + 2 * (est.reference is not st.norm), rtol=1e-9)


@pytest.mark.parametrize("case", GLMS)
def test_residuals_and_leverages(case):
    est, res, X, _, _ = fits(case)
    trials = res.model.n_trials
    np.testing.assert_allclose(est.residuals("response") * trials, res.resid_response, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(est.residuals("pearson"), res.resid_pearson, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(est.residuals("deviance"), res.resid_deviance, rtol=1e-6, atol=1e-7)
    working = res.resid_working / trials**2  # trials are in there twice
    np.testing.assert_allclose(est.residuals("working"), working, rtol=1e-5, atol=1e-6)
    leverages = est.leverages()
    weights = np.ones(len(X)) if res.model.freq_weights is None else res.model.freq_weights
    assert weights @ leverages == pytest.approx(X.shape[1])
    if np.all(weights == 1):
        np.testing.assert_allclose(leverages, res.get_hat_matrix_diag(observed=False), rtol=1e-6)


@pytest.mark.parametrize("case", GLMS)
def test_predictions(case):
    est, res, X, frame, given = fits(case)
    new, offset = frame.iloc[:7], given.get("offset")
    offset = None if offset is None else offset[:7]
    eta = X[:7] @ res.params + (0 if offset is None else offset)
    linear = est.predict(new, kind="linear", interval="mean", level=0.9, offset=offset)
    np.testing.assert_allclose(linear.mean, eta, **CLOSE)
    np.testing.assert_allclose(est.predict(new, offset=offset), res.predict(X[:7], offset=offset), rtol=1e-6)
    half = np.sqrt(np.einsum("ij,jk,ik->i", X[:7], est.covariance()[: X.shape[1], : X.shape[1]], X[:7]))
    quantile = st.t.ppf(0.95, est.df_residual) if est.reference is not st.norm else st.norm.ppf(0.95)
    np.testing.assert_allclose(linear.high - linear.low, 2 * quantile * half, rtol=1e-5)
    mean = est.predict(new, interval="mean", level=0.9, offset=offset)
    ends = np.sort([est.problem.link.inverse(e) for e in (linear.low, linear.high)], axis=0)
    np.testing.assert_allclose([mean.low, mean.high], ends, rtol=1e-6)


@pytest.mark.parametrize("case", [c for c in GLMS if not {"counts", "precisions"} & set(GLMS[c][-1])])
def test_robust_errors(case):
    est, res, X, *_ = fits(case)
    model, n = res.model, len(X)
    bread = np.linalg.inv(model.hessian(res.params, scale=res.scale, observed=True))
    scores = X * model.score_factor(res.params, scale=res.scale)[:, None]
    groups = np.arange(n) % max(3, n // 7)
    meat = {"HC0": scores, "cluster": np.stack([scores[groups == g].sum(axis=0) for g in np.unique(groups)])}
    G = len(meat["cluster"])
    for kind, s in meat.items():
        correction, more = (G / (G - 1), {"clusters": groups}) if kind == "cluster" else (1.0, {})
        theirs = np.sqrt(np.diagonal(bread @ (s.T @ s) @ bread) * correction)
        np.testing.assert_allclose(errors(est, kind, **more), theirs, rtol=1e-5)
    if (
        GLMS[case][4] in ("identity", "logit") and GLMS[case][3] is not sx.Gamma
    ):  # their bread is the expected information
        robust = model.fit(start_params=res.params, cov_type="HC0", tol=1e-14)
        np.testing.assert_allclose(errors(est, "HC0"), robust.bse, rtol=1e-5)


@pytest.mark.parametrize("case", ["longley", "stackloss", "grunfeld", "ccard", "engel", "diabetes", "iris"])
def test_least_squares(case):
    name, response, columns, *_ = {
        "stackloss": ("stackloss", "STACKLOSS", ["AIRFLOW", "WATERTEMP", "ACIDCONC"]),
        "ccard": ("ccard", "AVGEXP", ["AGE", "INCOME", "OWNRENT"]),
        "engel": ("engel", "foodexp", ["income"]),
        "iris": ("iris", "petal_length", ["sepal_length", "sepal_width"]),
    }.get(case) or GLMS[case]
    frame, y, X = picked(name, response, columns)
    n, p = X.shape
    given = dict(precisions=1 / frame["income"].to_numpy()) if case == "engel" else {}
    est = sx.glm((X[:, 1:], y), **given)
    model = sm.WLS(y, X, weights=given["precisions"]) if given else sm.OLS(y, X)
    res = model.fit()
    table = res.get_prediction().summary_frame(alpha=0.1)
    np.testing.assert_allclose(list(est.coefficients.values()), res.params, rtol=1e-6)
    np.testing.assert_allclose(errors(est), res.bse, rtol=1e-6)
    np.testing.assert_allclose([*est.confidence_interval(level=0.9).values()][:-1], res.conf_int(0.1), rtol=1e-6)
    found = [est.dispersion, est.r_squared, est.deviance, est.log_likelihood, est.aic - 2, est.bic - np.log(n)]
    theirs = [
        res.scale,
        res.rsquared,
        res.ssr,
        res.llf,
        res.aic,
        res.bic,
    ]  # the scale is a parameter here, and none there
    if given:
        theirs[2] = res.wresid @ res.wresid
    np.testing.assert_allclose(found, theirs, rtol=1e-9)
    interval = est.predict(interval="mean", level=0.9)
    np.testing.assert_allclose([interval.mean, interval.low, interval.high], table.iloc[:, [0, 2, 3]].T, rtol=1e-6)
    if not given:
        response = est.predict(interval="prediction", level=0.9)
        np.testing.assert_allclose([response.low, response.high], table.iloc[:, [4, 5]].T, rtol=1e-6)
        np.testing.assert_allclose(est.leverages(), res.get_influence().hat_matrix_diag, rtol=1e-6)
        standardized = res.get_influence().resid_studentized_internal
        np.testing.assert_allclose(est.residuals("standardized"), standardized, rtol=1e-6, atol=1e-9)
    for kind in ("HC0", "HC1", "HC2", "HC3"):
        np.testing.assert_allclose(errors(est, kind), getattr(res, f"{kind}_se"), rtol=2e-6)
    groups = np.arange(n) // 4
    G = groups[-1] + 1
    for corrected, factor in ((False, 1.0), (True, G / (G - 1) * (n - 1) / (n - p))):
        options = {"groups": groups, "use_correction": corrected}
        theirs = model.fit(cov_type="cluster", cov_kwds=options).bse / np.sqrt(factor) * np.sqrt(G / (G - 1))
        np.testing.assert_allclose(errors(est, "cluster", groups), theirs, rtol=2e-6)


@pytest.mark.parametrize("name", ["randhie", "committee"])
def test_negative_binomial(name):
    columns, step = (["lncoins", "idp", "physlm", "disea"], 40) if name == "randhie" else (["SIZE", "SUBS", "STAFF"], 1)
    _, y, X = picked(name, "mdvis" if name == "randhie" else "BILLS104", columns, step)
    offset = some(3, len(y), -3, 3) / 8
    est = sx.glm((X[:, 1:], y), family=sx.NegativeBinomial, offset=offset)
    model = sm.NegativeBinomial(y, X, offset=offset)
    begin = np.append(list(est.coefficients.values()), 1 / est.extra) * 1.01
    res = model.fit(start_params=begin, method="newton", disp=0, tol=1e-12)
    alpha = res.params[-1]
    np.testing.assert_allclose(list(est.coefficients.values()), res.params[:-1], **CLOSE)
    assert est["concentration"] == pytest.approx(1 / alpha, rel=1e-6)
    np.testing.assert_allclose(errors(est), res.bse[:-1], rtol=1e-5)
    assert est.standard_errors()["concentration"] == pytest.approx(res.bse[-1] / alpha**2, rel=1e-5)
    found = [est.log_likelihood, est.aic, est.bic]
    np.testing.assert_allclose(found, [res.llf, res.aic, res.bic], rtol=1e-9)
    robust = model.fit(start_params=res.params, method="newton", disp=0, cov_type="HC0")
    np.testing.assert_allclose(errors(est, "HC0"), robust.bse[:-1], rtol=1e-5)
    glm = sm.GLM(y, X, sm.families.NegativeBinomial(alpha=alpha), offset=offset).fit(tol=1e-14)
    np.testing.assert_allclose([est.deviance, est.pearson_chi2], [glm.deviance, glm.pearson_chi2], rtol=1e-6)
    np.testing.assert_allclose(est.residuals("pearson"), glm.resid_pearson, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(est.residuals("deviance"), glm.resid_deviance, rtol=1e-5, atol=1e-6)
    held = sx.glm((X[:, 1:], y), family=sx.NegativeBinomial, offset=offset, fixed={"concentration": 2.0})
    glm = sm.GLM(y, X, sm.families.NegativeBinomial(alpha=0.5), offset=offset).fit(tol=1e-14)
    np.testing.assert_allclose(list(held.coefficients.values()), glm.params, **CLOSE)
    np.testing.assert_allclose([held.log_likelihood, held.deviance], [glm.llf, glm.deviance], rtol=1e-9)


@pytest.mark.parametrize("link", ["logit", "cloglog"])
def test_beta(link):
    frame, y, X = picked("breast_cancer", "mean_smoothness", ["mean_radius", "mean_texture"])
    est = sx.glm("mean_smoothness ~ mean_radius + mean_texture", frame, family=sx.Beta, link=link)
    model = BetaModel(y, X, link=LINKS[link])
    res = model.fit(start_params=[*est.coefficients.values(), np.log(est.extra)], method="bfgs", disp=0, gtol=1e-9)
    np.testing.assert_allclose(list(est.coefficients.values()), res.params[:-1], rtol=1e-6)
    assert est["concentration"] == pytest.approx(np.exp(res.params[-1]), rel=1e-6)
    bse = np.sqrt(np.diagonal(np.linalg.inv(-model.hessian(res.params, observed=True))))
    np.testing.assert_allclose(errors(est), bse[:-1], rtol=1e-5)
    assert est.standard_errors()["concentration"] == pytest.approx(bse[-1] * est.extra, rel=1e-5)
    np.testing.assert_allclose([est.log_likelihood, est.aic], [res.llf, res.aic], rtol=1e-8)
    np.testing.assert_allclose(est.residuals("pearson"), res.resid_pearson, rtol=1e-5, atol=1e-7)


def test_binomial_counts_are_the_same_in_all_three_forms():
    est, *_ = fits("star98")
    frame = data("star98")
    formula = "NABOVE ~ " + " + ".join(STAR)
    total = (frame["NABOVE"] + frame["NBELOW"]).to_numpy()
    by_trials = sx.glm(formula, frame, family=sx.Binomial, trials=total)
    X, y = frame[STAR], frame[["NABOVE", "NBELOW"]]
    for other in (by_trials, sx.glm((X, y), family=sx.Binomial)):
        assert other.params == pytest.approx(est.params, rel=1e-9)
        assert other.log_likelihood == pytest.approx(est.log_likelihood, rel=1e-12)


def test_weights_are_copies_of_rows():
    frame = data("spector")
    times = some(5, len(frame), 0, 4).astype(int)
    weighted = sx.glm("GRADE ~ GPA + PSI", frame, family=sx.Bernoulli, weights=times)
    copies = frame.loc[frame.index.repeat(times)]
    copied = sx.glm("GRADE ~ GPA + PSI", copies, family=sx.Bernoulli)
    for one, other in zip(("params", "log_likelihood", "deviance", "aic", "bic", "nobs", "pearson_chi2"), [None] * 9):
        assert getattr(weighted, one) == pytest.approx(getattr(copied, one), rel=1e-8), other
    for kind in ("observed", "expected", "HC0", "HC1", "HC2", "HC3"):
        np.testing.assert_allclose(errors(weighted, kind), errors(copied, kind), rtol=1e-7)


@pytest.mark.parametrize("case", ["randhie", "scotland, log", "spector", "engel, inverse Gaussian", "longley"])
def test_coefficients_are_those_of_glum(case):
    glum = pytest.importorskip("glum")
    est, _, X, _, given = fits(case)
    family = {sx.Normal: "normal", sx.Bernoulli: "binomial", sx.Poisson: "poisson", sx.Gamma: "gamma"}
    family[sx.InverseGaussian] = "inverse.gaussian"
    model = glum.GeneralizedLinearRegressor(
        alpha=0,
        family=family[GLMS[case][3]],
        link=GLMS[case][4],
        gradient_tol=1e-10,
        max_iter=300,
        scale_predictors=True,
    )
    y = est.data_rows().y
    model.fit(np.ascontiguousarray(X[:, 1:]), y, sample_weight=given.get("weights"), offset=given.get("offset"))
    b = [model.intercept_, *model.coef_]
    np.testing.assert_allclose(list(est.coefficients.values()), b, rtol=1e-5)


@pytest.mark.parametrize("unit", [1e6, 1e12])
def test_units_of_responses_do_not_matter(unit):
    _, y, X = picked("engel", "foodexp", ["income"])
    one, other = sx.glm((X[:, 1:], y)), sx.glm((X[:, 1:], y * unit))
    assert other.params == pytest.approx({name: value * unit for name, value in one.params.items()}, rel=1e-9)
    assert other.converged


def test_units_of_responses_do_not_matter_where_a_coefficient_is_held():
    _, y, X = picked("engel", "foodexp", ["income"])
    assert sx.glm((X[:, 1:], y * 1e6), fixed={"x0": 5e5}).converged


def test_surprises_add_up_to_the_log_likelihood():
    est, *_ = fits("scotland, log")
    surprises = est.residuals("surprise", unit="nat")
    assert est.data_rows().weights @ surprises == pytest.approx(-est.log_likelihood, rel=1e-6)


def test_surprises_are_float64():
    assert fits("scotland, log")[0].residuals("surprise").dtype == np.float64


def test_models_of_shares_have_a_summary():
    frame = data("breast_cancer")
    est = sx.glm("mean_smoothness ~ mean_radius", frame, family=sx.Beta)
    assert "mean_radius" in str(est.summary())
