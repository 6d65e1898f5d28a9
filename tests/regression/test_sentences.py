"""What `glm` says of models that have no fit and of data that cannot be used: where, what was found, and what to do about it."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest

import surprax as sx
from surprax.data import DataError
from surprax.estimate import NotAMaximumWarning

RNG = np.random.default_rng(0)
N = 30
X, Z = RNG.normal(size=N), RNG.normal(size=N)
BASE = {
    "x": X,
    "z": Z,
    "y": 1 + X + RNG.normal(size=N),
    "g": np.array(list("abc" * 10)),
    "c": RNG.poisson(2, N).astype(float),
    "b": np.tile([0.0, 1.0, 1.0, 0.0, 1.0], 6),
}
ONES = np.ones(N)
OTHERS = np.where(BASE["g"] == "b", 1.0, BASE["b"])
NORMAL = sx.glm("y ~ x + g", BASE)
EXPOSED = sx.glm("c ~ x", BASE, family=sx.Poisson, offset=Z)
MATRIX = sx.glm((np.column_stack([X, Z]), BASE["y"]))


def put(values, i, value):
    out = np.array(values, float)
    out[i] = value
    return out


def fit(formula="y ~ x", family=sx.Normal, *, columns=None, **keywords):
    """A call of `glm` with some columns replaced."""
    return lambda: sx.glm(formula, BASE | (columns or {}), family=family, **keywords)


def of(w, family=sx.Normal, **keywords):
    return fit("w ~ x", family, columns={"w": np.asarray(w)}, **keywords)


def pair(X, y, **keywords):
    return lambda: sx.glm((np.asarray(X), np.asarray(y)), **keywords)


def anew(x=(1.0, 2.0), g=("a", "b"), est=NORMAL, **keywords):
    return lambda: est.predict({"x": list(x), "g": list(g)}, **keywords)


# What is refused: the call, the kind of error, and what its sentence has to say.
REFUSED = {
    "misspelt covariate": (fit("y ~ xx"), DataError, "'xx'", "did you mean 'x'"),
    "misspelt response": (fit("yy ~ x"), DataError, "'yy'", "did you mean 'y'"),
    "misspelt in a function": (fit("y ~ np.log(xx)"), DataError, "'xx'", "did you mean 'x'"),
    "misspelt weights": (fit(weights="wts"), DataError, "'wts'", "it has"),
    "infinite covariate": (fit(columns={"x": put(X, 4, np.inf)}), DataError, "x[4]", "inf", "remove"),
    "infinite response": (fit(columns={"y": put(X, 4, -np.inf)}), DataError, "y[4]", "-inf"),
    "missing covariate": (fit(columns={"x": put(X, [4, 7], np.nan)}), DataError, "2 of 30", "x[4], x[7]", "drop_missing"),
    "missing text": (fit("y ~ g", columns={"g": [None, *BASE["g"][1:]]}), DataError, "g[0]", "drop_missing"),
    "missing weight": (fit(weights=put(ONES, 3, np.nan)), DataError, "weights[3]"),
    "missing in X": (pair(np.column_stack([put(X, 4, np.nan), Z]), Z), DataError, "X[4, 0]", "'x0'", "drop"),
    "only missing": (fit(columns={"x": ONES * np.nan}, drop_missing=True), DataError, "x must", "only missing", "30"),
    "logarithm of a negative": (fit("y ~ np.log(x)"), ValueError, "np.log(x)", "nan in", "first in row", "drop"),
    "logarithm of zero": (fit("np.log(c) ~ x", columns={"c": put(ONES, 2, 0)}), ValueError, "np.log(c)", "row 2", "c = 0"),
    "gamma, zero": (of(put(ONES + X**2, 5, 0), sx.Gamma), ValueError, "w has 0 in row 5", "above 0", "another family"),
    "Poisson, fraction": (of(BASE["c"] + 0.5, sx.Poisson), ValueError, "whole numbers from 0", "30 such", "row 0"),
    "Poisson, negative": (of(put(BASE["c"], 3, -1), sx.Poisson), ValueError, "w has -1 in row 3"),
    "Bernoulli, 2": (of(put(BASE["b"], 3, 2), sx.Bernoulli), ValueError, "w has 2 in row 3", "0 to 1"),
    "beta, 1": (of(put(0.4 * ONES, 3, 1), sx.Beta), ValueError, "w has 1 in row 3", "below 1"),
    "more than trials": (fit("c ~ x", sx.Binomial, trials=2 * ONES), DataError, "c must count", "of 2 in row"),
    "trials that are no counts": (fit("b ~ x", sx.Binomial, trials=2.5 * ONES), DataError, "2.5 in row 0"),
    "trials of counts": (fit("c ~ x", sx.Poisson, trials=ONES), ValueError, "binomial", "Poisson"),
    "trials and precisions": (fit("b ~ x", sx.Binomial, trials=ONES, precisions=2 * ONES), ValueError, "not both"),
    "two responses": (fit("y + c ~ x"), DataError, "one column", "y, c"),
    "family by name": (fit(family="gaussian"), ValueError, "'gaussian'", "Normal, Bernoulli", "as a class"),
    "family without regression": (fit(family=sx.Cauchy), ValueError, "Cauchy", "Normal, Bernoulli"),
    "unknown link": (fit(link="logg"), ValueError, "'logg'", "logit, probit"),
    "negative weight": (fit(weights=put(ONES, 3, -1)), DataError, "weights", "-1 in row 3"),
    "precision of zero": (fit(precisions=put(ONES, 3, 0)), DataError, "precisions", "above 0", "row 3"),
    "no weight at all": (fit(weights=0 * ONES), DataError, "weights must not all be 0"),
    "weights of another length": (fit(weights=np.ones(5)), DataError, "weights", "30 rows", "(5,)"),
    "offset of another length": (fit("c ~ x", sx.Poisson, offset=np.ones(5)), DataError, "offset", "30 rows", "(5,)"),
    "infinite offset": (fit("c ~ x", sx.Poisson, offset=put(ONES, 3, -np.inf)), DataError, "offset[3]"),
    "offset of text": (fit("c ~ x", sx.Poisson, offset="g"), DataError, "g must hold numbers", "'a'"),
    "no data": (lambda: sx.glm("y ~ x"), ValueError, "'y ~ x'", "data="),
    "no response": (fit("x + z"), ValueError, "'x + z'", "left of '~'"),
    "operators in a row": (fit("y ~ x +* z"), ValueError, "'y ~ x +* z'", "at '+*'", "y ~ x + C(z)"),
    "two tildes": (fit("y ~ x ~ z"), ValueError, "at '~'"),
    "open bracket": (fit("y ~ (x + z"), ValueError, "at '('"),
    "bar": (fit("y ~ x | g"), ValueError, "'y ~ x | g'", "remove each '|'"),
    "unknown function": (fit("y ~ lgo(x)"), ValueError, "lgo(x)", "did you mean 'log'"),
    "text plus one": (fit("y ~ I(g + 1)"), ValueError, "I(g + 1)"),
    "no model": (lambda: sx.glm(None), ValueError, '"y ~ x"', "(X, y)", "NoneType"),
    "no rows": (lambda: sx.glm("y ~ x", {"y": [], "x": []}), DataError, "at least one row"),
    "no row of X": (pair(np.zeros((0, 2)), []), DataError, "X must", "(0, 2)"),
    "X and y apart": (pair(np.ones((5, 1)), np.arange(4.0)), DataError, "X has 5 rows", "y 4"),
    "columns of unequal length": (lambda: sx.glm("y ~ x", {"y": [1, 2, 3], "x": [1, 2]}), DataError, "'y' has 3", "'x' has 2"),
    "X is a vector": (pair(X, Z), DataError, "X must be a matrix", "(30,)", "reshape(-1, 1)"),
    "y is a cube": (pair(np.ones((5, 1)), np.ones((5, 1, 1))), DataError, "y must", "(5, 1, 1)"),
    "X is text": (pair(np.array([["a"], ["b"]]), [1.0, 2.0]), DataError, "X must hold numbers", "data frame"),
    "no such file": (lambda: sx.glm("y ~ x", "/nowhere/data.csv"), DataError, "/nowhere/data.csv", "check"),
    "text response": (of(np.where(BASE["b"] > 0, "yes", "no"), sx.Bernoulli), DataError, "w must", "'no'", "(w == 'yes')"),
    "dates": (of(pd.date_range("2020-01-01", periods=N)), DataError, "w must", "dates", "2020-01-01", "count them"),
    "complex": (of(X + 1j), DataError, "w must", "complex"),
    "constant, normal": (of(3 * ONES), ValueError, "All responses are 3", "spread", "right column"),
    "constant, gamma": (of(3 * ONES, sx.Gamma), ValueError, "All responses are 3", "gamma"),
    "all failures": (of(0 * ONES, sx.Bernoulli), ValueError, "All responses are 0", "Bernoulli", "prior"),
    "all successes": (of(ONES, sx.Bernoulli), ValueError, "All responses are 1", "infinite"),
    "no counts": (of(0 * ONES, sx.Poisson), ValueError, "All responses are 0", "Poisson"),
    "hold what is not there": (fit(fixed={"w": 0}), KeyError, "Intercept, x, scale", "'w'"),
    "hold at nan": (fit(fixed={"x": np.nan}), ValueError, "x is a finite number", "nan"),
    "hold a negative scale": (fit(fixed={"scale": -1}), ValueError, "scale is a number above 0", "-1"),
    "tie what is not there": (fit(tied=[("x", "w")]), KeyError, "'w'", "Intercept, x"),
    "constraints at odds": (fit(constraints="x = 1, x = 2"), ValueError, "contradict"),
    "bounds at odds": (fit(constraints={"x": (2, 1)}), ValueError, "Bounds of x", "2 and 1"),
    "bounds of nothing": (fit(constraints={"w": (0, 1)}), KeyError, "'w'", "Intercept, x"),
    "negative penalty": (fit(penalty=-1.0), ValueError, "penalty", "-1"),
    "new category": (anew(g="ad"), ValueError, "'g'", "'d'", "row 1", "'a', 'b', 'c'", "fit again"),
    "column that is gone": (lambda: NORMAL.predict({"x": [1.0]}), DataError, "'g'", "it has 'x'"),
    "missing, new": (anew(x=[1.0, np.nan]), DataError, "x[1]"),
    "infinite, new": (anew(x=[1.0, np.inf]), DataError, "x[1]", "inf"),
    "text for numbers": (anew(x="qr"), ValueError, "'x' must hold numbers", "'q'", "row 0"),
    "another width": (lambda: MATRIX.predict(np.ones((4, 3))), DataError, "2 ('x0', 'x1')", "found 3"),
    "a vector, new": (lambda: MATRIX.predict(np.ones(2)), DataError, "(2,)", "reshape"),
    "no offset, new": (anew(est=EXPOSED), ValueError, "offset=", "0 for none"),
    "interval of what": (anew(interval="confidence"), ValueError, '"mean" or "prediction"', "'confidence'"),
    "kind of what": (anew(kind="response"), ValueError, '"mean" or "linear"', "'response'"),
    "level of 95": (lambda: NORMAL.confidence_interval("x", level=95), ValueError, "between 0 and 1", "95"),
    "unknown method": (lambda: NORMAL.confidence_interval("x", method="walt"), ValueError, '"wald"', "'walt'"),
    "unknown label": (lambda: NORMAL["w"], KeyError, "g[T.b]", "'w'"),
    "unknown covariance": (lambda: NORMAL.covariance("HC9"), ValueError, "HC3", "'HC9'"),
    "no clusters": (lambda: NORMAL.covariance("cluster"), ValueError, "clusters=labels"),
    "clusters of another length": (lambda: NORMAL.covariance("cluster", [1, 2]), ValueError, "30 rows", "(2,)"),
    "one cluster": (lambda: NORMAL.covariance("cluster", ONES), ValueError, "at least two"),
    "unknown residuals": (lambda: NORMAL.residuals("perason"), ValueError, "pearson", "'perason'"),
    "residuals by chance": (lambda: EXPOSED.residuals("quantile"), ValueError, "jax.random.key(0)"),
}  # fmt: skip

# What is fitted, with a warning: the call, and what it has to say.
WARNED = {
    "separation": (of(X > 0, sx.Bernoulli), "separation", "Intercept and x", "completely", "penalty", "prior"),
    "separation, probit": (fit("w ~ g", sx.Bernoulli, columns={"w": OTHERS}, link="probit"), "separation", "g[T.b]"),
    "separation in part": (fit("w ~ g", sx.Bernoulli, columns={"w": OTHERS}), "separation", "g[T.b]", "in part", "penalty"),
    "separation of counts": (of(np.where(X > 0, 5.0, 0.0), sx.Binomial, trials=5 * ONES), "separation", "Intercept and x"),
    "Poisson, zeros": (fit("w ~ g", sx.Poisson, columns={"w": BASE["c"] * (BASE["g"] != "b")}), "g[T.b]", "all 0", "penalty"),
    "collinear": (fit("y ~ x + w", columns={"w": 2 * X + 1}), "w = 1·Intercept + 2·x", "fixed=", "ridge"),
    "collinear, logistic": (fit("b ~ x + w", sx.Bernoulli, columns={"w": 2 * X + 1}), "w = 1·Intercept + 2·x"),
    "collinear indicators": (fit("y ~ g + h", columns={"h": np.where(BASE["g"] == "a", "u", "v")}), "h[T.v] = 1·g[T.b] + 1·g[T.c]"),
    "one column twice": (pair(np.column_stack([X, X]), Z), "x1 = 1·x0"),
    "column of zeros": (fit("y ~ x + w", columns={"w": 0 * X}), "0 in all rows: w"),
    "column of zeros, logistic": (fit("b ~ x + w", sx.Bernoulli, columns={"w": 0 * X}), "0 in all rows: w"),
    "constant column": (fit("y ~ x + w", columns={"w": 3 * ONES}), "w = 3·Intercept"),
    "more columns than rows": (pair(RNG.normal(size=(3, 5)), [1.0, 2.0, 4.0]), "exactly"),
}  # fmt: skip

# What should be said, and is not yet: the call, what it should say, and what happens instead.
WANTED = {
    "no error left": (of(2 + 3 * X), ["scale", "exactly"], "a saddle"),
    "no error left, gamma": (of(np.exp(2 + 3 * X), sx.Gamma), ["concentration", "exactly"], "no finite derivatives"),
    "response is a covariate": (fit("y ~ x + y"), ["scale", "exactly"], "a saddle"),
    "as many columns as rows": (pair(RNG.normal(size=(3, 2)), [1.0, 2.0, 4.0]), ["3 rows", "3 columns"], "a saddle"),
    "more columns than rows": (pair(RNG.normal(size=(3, 5)), [1.0, 2.0, 4.0]), ["3 rows", "6 columns"], "columns"),
    "less spread than Poisson": (of(np.tile([2.0, 3, 3], 10), sx.NegativeBinomial), ["Poisson"], "a saddle"),
    "constant, beta": (of(0.5 * ONES, sx.Beta), ["All responses are 0.5"], "ZeroDivisionError"),
    "offset of another length, new": (anew(est=EXPOSED, offset=[1.0] * 3), ["offset", "2 rows"], "of NumPy"),
    "three columns of binomial counts": (fit("c + b + x ~ z", sx.Binomial), ["two columns"], "of Python"),
    "counts without trials": (fit("c ~ x", sx.Binomial), ["trials="], "no remedy"),
    "link of other means": (fit(link="logit"), ["logit", "between 0 and 1"], "not a number"),
    "article": (of(0 * X, sx.InverseGaussian), ["an inverse Gaussian"], "a inverse"),
    "no columns at all": (lambda: sx.glm("y ~ x", {}), ["no columns"], "it has nothing"),
    "constraints that are none": (fit(constraints="x == q"), ["'x == q'"], "colours, and three lines"),
    "intercept of a formula": (fit(intercept=False), ["0 + x"], "it is ignored"),
    "R² without intercept": (lambda: sx.glm("y ~ 0 + x", BASE).r_squared, None, "no null model"),
    "nothing on the right": (fit("y ~ 0"), None, "LinAlgError: cond is not defined on empty arrays"),
    "huge responses": (fit(columns={"y": 1e200 * X}), ["e+200"], "LinAlgError"),
}  # fmt: skip
RAW = (
    "Eigenvalues",
    "operands",
    "broadcast",
    "unpack",
    "LinAlg",
    "Traceback",
    "jax",
    "Array(",
    "dtype",
    "\x1b",
    "\n",
    "  ",
)


def check(text, facts):
    for fact in facts:
        assert fact in text
    raw = [sign for sign in RAW if sign in text.replace("jax.random.key(0)", "")]
    assert not raw
    assert re.search(r"[.?)'a-z0-9\]]$", text)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_fitted_is_refused_in_a_sentence(name):
    call, kind, *facts = REFUSED[name]
    with pytest.raises(kind) as caught:
        call()
    check(caught.value.args[0], facts)


@pytest.mark.parametrize("name", WARNED)
def test_where_there_is_no_maximum_a_warning_says_why(name):
    call, *facts = WARNED[name]
    with pytest.warns(NotAMaximumWarning) as caught:
        est = call()
    assert len(caught) == 1
    check(str(caught[0].message), facts)
    assert not est.converged
    assert est.report.reason in str(caught[0].message)
    assert f"Not a maximum: {est.report.reason}." in est.summary().notes
    assert all(name in est.labels for name in est.report.flat)
    assert np.all(np.isfinite(est.predict()))


@pytest.mark.parametrize("name", WANTED)
def test_what_should_be_said(name):
    call, facts, _ = WANTED[name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            call()
        except (DataError, ValueError) as error:
            assert facts is not None
            text = str(error)
        else:
            if facts is None:
                return
            assert [one.category for one in caught] == [NotAMaximumWarning]
            text = str(caught[0].message)
    check(text, facts)


@pytest.mark.parametrize(
    "w", [BASE["b"] > 0, list(BASE["b"].astype(bool)), BASE["b"].astype(int), pd.Series(BASE["b"])], ids=str
)
def test_outcomes_may_be_booleans(w):
    found = sx.glm("w ~ x", {"w": w, "x": X}, family=sx.Bernoulli)
    assert found.params == pytest.approx(sx.glm("b ~ x", BASE, family=sx.Bernoulli).params)


def test_a_log_link_fits_responses_below_zero():
    y = put(np.exp(0.3 + 0.5 * X) + 0.1 * Z, 3, -0.1)
    est = sx.glm("y ~ x", {"x": X, "y": y}, link="log")
    assert est.converged
    assert np.max(np.abs(np.exp([est["Intercept"], est["x"]]) - np.exp([0.3, 0.5]))) < 0.2


def test_rows_with_missing_values_are_left_out_and_counted():
    columns = BASE | {"x": put(X, [4, 7], np.nan), "y": put(BASE["y"], [7, 9], np.nan)}
    est = sx.glm("y ~ x", columns, drop_missing=True, weights=ONES, offset=Z)
    kept = np.delete(np.arange(N), [4, 7, 9])
    other = sx.glm("y ~ x", {name: column[kept] for name, column in BASE.items()}, offset=Z[kept])
    assert est.params == pytest.approx(other.params)
    assert ("Left out", "3 rows with missing values") in est.summary().head


def test_names_that_are_the_constants_are_refused():
    for name in ("Intercept", "1"):
        frame = pd.DataFrame({name: X, "z": Z})
        with pytest.raises(DataError, match=f"must have names that are not the constant's, and '{name}' is"):
            sx.glm((frame, BASE["y"]))
    with pytest.raises(DataError, match="two are called"):
        sx.glm("y ~ g + `g[T.b]`", BASE | {"g[T.b]": X})


def test_numbered_columns_of_a_frame_are_those_of_a_matrix():
    matrix = np.column_stack([X, Z, X * Z])
    est, other = sx.glm((pd.DataFrame(matrix), BASE["y"])), sx.glm((matrix, BASE["y"]))
    assert est.params == other.params
    assert np.array_equal(est.predict(pd.DataFrame(matrix)), other.predict(matrix))


def test_groups_of_ties_are_groups():
    with pytest.raises(ValueError, match="tied is a list of groups of names"):
        sx.glm("y ~ x + z", BASE, tied=["x", "z"])


def test_models_that_are_no_special_cases_are_not_compared():
    est = sx.glm("y ~ x", BASE)
    others = {
        "responses differ": sx.glm("y ~ 1", BASE | {"y": 2.0 * BASE["y"]}),
        "offset differ": sx.glm("y ~ 1", BASE, offset=Z),
        "has no z": sx.glm("y ~ z", BASE),
        "different links": sx.glm("y ~ 1", BASE | {"y": np.exp(BASE["y"])}, family=sx.Gamma),
    }
    for words, other in others.items():
        with pytest.raises(ValueError, match=words):
            est.likelihood_ratio_test(other)
    assert est.likelihood_ratio_test(sx.glm("y ~ 1", BASE)).df == 1
    wider = sx.glm("y ~ I(2 * x) + z", BASE)
    assert wider.likelihood_ratio_test(est).df == 1


def test_categories_that_no_row_has_are_no_columns():
    g = pd.Categorical(np.asarray(BASE["g"]), categories=[*sorted(set(BASE["g"])), "never"])
    est = sx.glm("y ~ g", {"y": BASE["y"], "g": g})
    assert est.params == pytest.approx(sx.glm("y ~ g", BASE).params)
    with pytest.raises(ValueError, match="'never'"):
        est.predict({"g": ["never"]})


def test_weights_that_count_no_row_leave_no_errors():
    est = sx.glm("y ~ x", BASE, weights=np.full(N, 0.5 / N))
    with pytest.raises(ValueError, match="Weights are counts of rows"):
        est.standard_errors()
    assert np.all(np.isfinite(np.diagonal(est.covariance(dispersion="ml"))))


def test_starts_lie_where_means_can_be():
    rng = np.random.default_rng(1)
    x, z = rng.uniform(0, 1, 200), rng.uniform(0, 1, 200)
    y = rng.gamma(2, (2 + 3 * x + z) / 2)
    est = sx.glm("y ~ x + z", {"y": y, "x": x, "z": z}, family=sx.Gamma, link="identity")
    assert est.converged


def test_tests_of_coefficients_agree_with_the_table():
    est = sx.glm("q ~ x", {"q": [1.0, 2, 4, 3, 6], "x": [1.0, 2, 3, 4, 5]})
    assert est.wald_test({"x": 0.0}).p_value == pytest.approx(est.summary()["x"]["p"], rel=1e-9)


def test_responses_censored_on_one_side_alone_are_refused():
    with pytest.raises(ValueError, match="must not be censored on the same side: all 30 say"):
        sx.glm("y ~ x", BASE, censoring=-ONES)
    with pytest.raises(ValueError, match="same side"):
        sx.mle(sx.Exponential, [1.0, 2.0], censoring=[1, 1])
    with pytest.raises(ValueError, match="takes no censoring"):
        sx.glm("g ~ x", BASE, family=sx.Categorical, censoring=ONES)
