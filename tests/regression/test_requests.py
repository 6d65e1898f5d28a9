"""Odd requests of an estimate, and formulas that give no column, are refused in sentences that say what to do."""

import jax
import numpy as np
import pandas as pd
import pytest

import surprax as sx

N = 40
RNG = np.random.default_rng(0)
DATA = {
    "x": RNG.normal(size=N),
    "g": RNG.choice(list("abc"), N),
    "y": RNG.normal(size=N),
    "count": RNG.poisson(3.0, N),
    "kind": RNG.choice(list("uvw"), N),
}
EST = sx.glm("y ~ x + g", DATA)
COUNTS = sx.glm("count ~ x", DATA, family=sx.Poisson, offset=np.zeros(N))
KINDS = sx.glm("kind ~ x", DATA, family=sx.Categorical)
LIFE = sx.mle(sx.Weibull, np.exp(DATA["y"]))
HITS = sx.glm("hit ~ x", DATA | {"hit": (DATA["y"] > 0) * 1}, family=sx.Binomial)
NEW = {"x": [1.0], "g": ["a"]}
KEY = jax.random.key(0)


def formula(text):
    return lambda: sx.glm(text, DATA)


def squares(p):
    return -jax.numpy.square(p["a"])


REFUSED = {
    "one number": (formula("y ~ np.mean(x)"), ValueError, "one value for each row", "np.mean(x) has not", "context="),
    "one row": (formula("y ~ x[0]"), ValueError, "one value for each row", "x[0] has not"),
    "some rows": (formula("y ~ g + x[0:5]"), ValueError, "one value for each row", "x[0:5] has not"),
    "sum": (formula("y ~ x + sum(x)"), ValueError, "sum(x) has not"),
    "one response": (formula("np.mean(y) ~ x"), ValueError, "np.mean(y) has not"),
    "no Python": (formula("y ~ {'a': 1}"), ValueError, "no Python at \"'a': 1\"", "correct it"),
    "no Python in a call": (formula("y ~ np.log(x 2)"), ValueError, "correct it"),
    "label": (lambda: EST.wald_test({"z": 0}), KeyError, "Parameters are Intercept, x", "'z'"),
    "text": (lambda: EST.wald_test("x = 0"), ValueError, 'values by label, {"x": 0.0}', "'x = 0'"),
    "names": (lambda: EST.wald_test(["x", "g[T.b]"]), ValueError, "values by label", "Parameters are Intercept"),
    "width": (lambda: EST.wald_test(np.ones(3)), ValueError, "each of 5 parameters", "shape (3,)"),
    "no hypothesis": (lambda: EST.wald_test([]), ValueError, "shape (0,)"),
    "empty hypothesis": (lambda: EST.wald_test({}), ValueError, "at least one"),
    "NaN": (lambda: EST.wald_test({"x": np.nan}), ValueError, "Values of x are finite", "nan"),
    "NaN in R": (lambda: EST.wald_test(np.full(5, np.nan)), ValueError, "of finite numbers", "nan"),
    "NaN in r": (lambda: EST.wald_test(np.eye(5)[1], np.nan), ValueError, "r of a hypothesis", "nan"),
    "text for a number": (lambda: EST.wald_test({"x": "a"}), ValueError, "Values of x are numbers", "'a'"),
    "numbers for one": (lambda: EST.wald_test({"x": [1, 2]}), ValueError, "one number for each label", "several for x"),
    "length of r": (lambda: EST.wald_test(np.eye(5)[:2], [1, 2, 3]), ValueError, "R has 2 rows", "(3,)"),
    "another object": (lambda: EST.likelihood_ratio_test(3), ValueError, "two estimates", "int"),
    "per cent": (lambda: EST.confidence_interval(level=95), ValueError, "between 0 and 1", "95", "write 0.95"),
    "level as text": (lambda: EST.summary(level="a"), ValueError, "between 0 and 1", "'a'"),
    "levels": (lambda: EST.confidence_interval(level=[0.9, 0.95]), ValueError, "between 0 and 1"),
    "labels": (lambda: EST.confidence_interval(["x", "g"]), KeyError, "one at a time"),
    "no key": (lambda: EST.confidence_interval("x", method="bootstrap"), ValueError, "at random", "jax.random.key(0)"),
    "seed": (lambda: EST.bootstrap(0), ValueError, "one of JAX's", "got 0"),
    "seed of draws": (lambda: EST.to_datatree(0), ValueError, "one of JAX's", "got 0"),
    "seed of residuals": (lambda: COUNTS.residuals("quantile", key=3), ValueError, "one of JAX's", "got 3"),
    "half a resample": (lambda: EST.bootstrap(KEY, 10.5), ValueError, "whole number", "10.5"),
    "no draws": (lambda: EST.to_datatree(KEY, num_samples=0), ValueError, "at least 1", "got 0"),
    "unknown curve": (lambda: EST.compatibility("z"), KeyError, "Parameters are Intercept, x", "'z'"),
    "grid of text": (lambda: EST.compatibility("x", "a"), ValueError, "Values of x to look at are numbers", "'a'"),
    "grid with NaN": (lambda: EST.profile("x", [0.0, np.nan]), ValueError, "finite", "nan"),
    "no grid": (lambda: EST.profile("x", []), ValueError, "one or more numbers", "(0,)"),
    "table of values": (lambda: EST.profile("x", np.ones((2, 2))), ValueError, "one or more numbers", "(2, 2)"),
    "outside": (lambda: LIFE.profile("scale", [-1.0]), ValueError, "scale is above 0", "-1"),
    "held, unknown": (lambda: LIFE.held("z"), KeyError, "Parameters are scale", "'z'"),
    "clusters, length": (lambda: EST.covariance("cluster", [1, 2, 3]), ValueError, "each of 40 rows", "(3,)"),
    "clusters, column": (lambda: EST.covariance("cluster", "g"), ValueError, "each of 40 rows", "'g'"),
    "clusters, table": (lambda: KINDS.covariance("cluster", np.ones((N, 2))), ValueError, "each of 40", "(40, 2)"),
    "clusters, family": (lambda: LIFE.covariance("cluster", [1]), ValueError, "each of 40 rows", "(1,)"),
    "clusters, missing": (
        lambda: EST.covariance("cluster", [None, *"ab" * 19, None]), ValueError, "2 of 40", "row 0", "label of its own"),
    "clusters, NaN": (
        lambda: EST.covariance("cluster", np.where(np.arange(N) == 7, np.nan, np.arange(N))), ValueError, "row 7"),
    "clusters, NaT": (
        lambda: LIFE.covariance("cluster", pd.to_datetime([None] + ["2020-01-01"] * 39)), ValueError, "1 of 40", "row 0"),
    "one cluster": (lambda: EST.covariance("cluster", np.ones(N)), ValueError, "at least two"),
    "offset as text": (lambda: COUNTS.predict({"x": [1.0]}, offset="log_years"), ValueError, "Offsets are numbers"),
    "offset of no rows": (lambda: COUNTS.predict(offset=np.zeros(3)), ValueError, "of new rows"),
    "trials": (lambda: HITS.predict(NEW, interval="prediction", trials=[1, 2]), ValueError, "each of the 1 rows", "(2,)"),
    "held at text": (lambda: EST.refit(fixed={"x": "a"}), ValueError, "x is a finite number", "'a'"),
    "held by a list": (lambda: EST.refit(fixed=["x"]), ValueError, "by name", "['x']"),
    "held at two": (lambda: LIFE.refit(fixed={"scale": [1, 2]}), ValueError, "shape ()", "(2,)"),
    "no function": (lambda: sx.maximize(3, {"a": 1.0}), ValueError, "function", "got 3"),
    "start as text": (lambda: sx.maximize(squares, {"a": "q"}), ValueError, "Starts of a are numbers", "'q'"),
    "one bound": (lambda: sx.maximize(squares, {"a": 1.0}, bounds={"a": 3}), ValueError, "pair (low, high)", "got 3"),
    "bounds, crossed": (lambda: sx.maximize(squares, {"a": 1.0}, bounds={"a": (2, 1)}), ValueError, "low < high"),
    "starts": (lambda: sx.maximize(squares, {"a": 1.0}, starts="x"), ValueError, "whole number", "'x'"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_a_sentence(name):
    call, kind, *parts = REFUSED[name]
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    message = str(caught.value.args[0])
    for part in parts:
        assert part in message
    assert "\n" not in message


def test_labels_of_clusters_may_be_of_any_kind():
    numbers = np.arange(N) // 4
    words = np.array([f"c{i}" for i in numbers])
    mixed = np.array([i if i % 2 else f"c{i}" for i in numbers], object)
    expected = EST.covariance("cluster", numbers)
    for labels in (words, mixed, numbers.astype(float), pd.Series(words), list(words)):
        np.testing.assert_allclose(EST.covariance("cluster", labels), expected, rtol=1e-12)


def test_an_offset_of_another_index_is_refused():
    new = pd.DataFrame({"x": [0.0, 1.0]}, index=[4, 7])
    right = pd.Series([0.0, 1.0], index=[4, 7])
    np.testing.assert_allclose(COUNTS.predict(new, offset=right), COUNTS.predict(new, offset=right.to_numpy()))
    with pytest.raises(sx.data.DataError, match=r"row 0 is 7 there, and 4 in the new data, the same labels in another"):
        COUNTS.predict(new, offset=right[::-1])
    with pytest.raises(sx.data.DataError, match=r"offset must have the index of the new data.*to_numpy"):
        COUNTS.predict(new, offset=right.reset_index(drop=True))
