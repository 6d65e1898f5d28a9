"""Rows that are put together have the likelihood of the rows as they were, and all that follows from it."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.special
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import surprax as sx
from surprax.regression.compression import compressed
from surprax.regression.design import Dense, Design
from surprax.regression.glm import estimated
from surprax.regression.grouping import RUN, Grouping, tabulated, whole_numbers
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


MANY = 6_000
LAWS = {
    "logistic": (sx.Bernoulli, lambda rng, eta: rng.uniform(size=MANY) < scipy.special.expit(eta)),
    "Poisson": (sx.Poisson, lambda rng, eta: rng.poisson(np.exp(eta))),
    "negative binomial": (sx.NegativeBinomial, lambda rng, eta: rng.negative_binomial(1.5, 1.5 / (1.5 + np.exp(eta)))),
    "gamma": (sx.Gamma, lambda rng, eta: rng.gamma(3.0, np.exp(eta) / 3.0)),
    "whole gamma": (sx.Gamma, lambda rng, eta: 1.0 + rng.poisson(3.0 * np.exp(eta))),
    "normal": (sx.Normal, lambda rng, eta: rng.normal(eta, 0.7)),
    "whole normal": (sx.Normal, lambda rng, eta: np.rint(rng.normal(3.0 * eta - 2.0, 2.0))),
}
GIVEN = {
    "nothing else": (),
    "weights": ("weights",),
    "few offsets": ("few",),
    "offsets": ("offset",),
    "weights, precisions and offsets": ("weights", "precisions", "offset"),
    "equal precisions": ("equal", "few"),
}


def many(law, names):
    """So many rows of so few covariate vectors that whole numbers among the responses are counted first."""
    family, draw = LAWS[law]
    rng = np.random.default_rng(7)
    data = {"a": rng.choice(list("uvwxyz"), MANY), "b": rng.choice(list("nsw"), MANY)}
    eta = 0.3 + 0.4 * (data["a"] > "w") - 0.5 * (data["b"] == "s")
    given = {}
    if "few" in names or "offset" in names:
        given["offset"] = rng.choice([-0.5, 0.25, 0.7], MANY) if "few" in names else rng.normal(0.0, 0.4, MANY)
        eta = eta + given["offset"]
    if "weights" in names:
        given["weights"] = rng.integers(0, 4, MANY).astype(float)
        given["weights"][(data["a"] == "z") & (data["b"] == "n")] = 0.0  # a cell without weight
    if family not in (sx.Bernoulli, sx.NegativeBinomial) and {"precisions", "equal"} & {*names}:
        given["precisions"] = rng.choice([0.5, 1.0, 2.5], MANY) if "precisions" in names else np.full(MANY, 2.5)
    return data | {"y": np.asarray(draw(rng, eta), float)}, given, family


@pytest.mark.parametrize("names", GIVEN)
@pytest.mark.parametrize("law", LAWS)
def test_categories_have_the_fit_of_a_dense_design_row_by_row(law, names):
    data, given, family = many(law, GIVEN[names])
    one = sx.glm("y ~ a + b", data, family=family, **given)
    adds_up = family in (sx.Poisson, sx.Normal)  # whatever the offsets
    assert ("→" in one.compression) == ("offset" not in GIVEN[names] or adds_up)
    problem, rows = one.problem, one.problem.original
    dense = replace(rows, design=Design(rows.design.names, [Dense(rows.design.matrix())]))
    plain = problem.replaced(rows=dense, original=dense, totals=totals_of(problem.response, dense), triangle=None)
    agree(one, estimated(plain, one.origins))


def test_counted_rows_are_the_distinct_rows_with_their_weights():
    data, given, _ = many("negative binomial", ("weights", "few"))
    est = sx.glm("y ~ a + b", data, family=sx.NegativeBinomial, **given)
    kept = est.problem.data_rows
    rows = zip(*(kept.design.matrix() @ 10.0 ** np.arange(8), kept.y, kept.offset, kept.weights))
    found = {(x, y, offset): w for x, y, offset, w in rows}
    expected: dict = {}
    original = est.data_rows()
    for x, y, offset, w in zip(
        original.design.matrix() @ 10.0 ** np.arange(8), original.y, original.offset, original.weights
    ):
        expected[x, y, offset] = expected.get((x, y, offset), 0.0) + w
    assert found == expected


@pytest.mark.parametrize("levels", [[3, 4], [1], [], [256, 2], [40, 1, 70_000, 60]])
@pytest.mark.parametrize("kind", [np.uint8, np.int64])
def test_groups_are_the_distinct_combinations_of_codes(levels, kind):
    rng = np.random.default_rng(0)
    n = 3_000
    some = [rng.integers(0, L, 20).astype(kind if L <= 256 else np.int64) for L in levels]  # few of many combinations
    picked = rng.integers(0, 20, n)
    codes = [one[picked] for one in some]
    groups = Grouping(list(zip(codes, levels)), n)
    rows = list(zip(*codes)) if codes else [()] * n
    assert groups.m == len(set(rows))
    of_group = list(zip(*groups.codes)) if codes else [()]
    assert [of_group[g] for g in groups.key] == rows
    assert [rows[i] for i in groups.first] == of_group
    x, w = rng.normal(size=n), rng.integers(0, 3, n).astype(float)
    np.testing.assert_array_equal(groups.sums(), np.bincount(groups.key, minlength=groups.m))
    np.testing.assert_allclose(groups.sums(x, w), np.bincount(groups.key, w * x, groups.m), atol=1e-12)
    np.testing.assert_array_equal(groups.sums(None, w), np.bincount(groups.key, w, groups.m))


def test_groups_of_many_rows_are_found_run_by_run():
    n = 2 * RUN + 5
    codes = np.zeros(n, np.uint8)
    codes[-1] = 2
    groups = Grouping([(codes, 3)], n)
    assert groups.sums().tolist() == [n - 1.0, 1.0]
    assert groups.first[1] == n - 1
    assert groups.key[[0, -1]].tolist() == [0, 1]


@given(
    st.lists(st.integers(-3000, 3000).map(float), min_size=1, max_size=20),
    st.sampled_from([0.0, -7.0, 2.0**53, -(2.0**60)]),
)
def test_whole_numbers_are_their_least_and_codes(values, shift):
    y = np.array(values) + shift
    found = whole_numbers(y, 8192)
    assert found is not None
    np.testing.assert_array_equal(found.low + found.codes, y)
    assert found.levels == y.max() - y.min() + 1
    x, w = tabulated(found, np.full(len(y), 2.0))
    np.testing.assert_array_equal(x, np.unique(y))
    assert w.sum() == 2.0 * len(y)


@pytest.mark.parametrize("y", [[0.5], [0.0, 1.5, 3.0], [0.0, 4096.0], [0.0, np.inf], [0.0, np.nan], []])
def test_numbers_that_are_not_whole_or_range_widely_are_not_coded(y):
    assert whole_numbers(np.array(y)) is None


def test_a_fraction_in_the_last_row_is_seen():
    y = np.zeros(RUN + 3)
    y[-1], y[5] = 1.5, 3.0
    assert whole_numbers(y) is None


@pytest.mark.parametrize("bad", [-1.0, 0.5])
def test_a_count_that_is_none_is_refused_with_its_row(bad):
    data, _, _ = many("Poisson", ())
    data["y"][4321] = bad
    with pytest.raises(ValueError, match=f"y has {bad:g} in row 4321"):
        sx.glm("y ~ a + b", data, family=sx.Poisson)


def test_counted_rows_of_one_response_are_cells():
    data, _, _ = many("Poisson", ())
    est = sx.glm("y ~ a", data | {"y": np.full(MANY, 3.0)}, family=sx.Poisson)
    assert est.problem.data_rows.n == 6
    np.testing.assert_allclose(est.predict(), 3.0, rtol=1e-9)


def test_a_category_of_the_last_row_alone_has_its_coefficient_and_one_of_no_row_has_none():
    n = RUN + 3
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 2, n)
    codes[-1] = 3
    data = pd.DataFrame({"y": rng.poisson(2.0, n), "g": pd.Categorical.from_codes(codes, list("abcd"))})
    data.loc[n - 1, "y"] = 5
    est = sx.glm("y ~ g", data, family=sx.Poisson)
    assert list(est.params) == ["Intercept", "g[T.b]", "g[T.d]"]
    np.testing.assert_allclose(est.predict({"g": ["d"]}), 5.0, rtol=1e-9)


def test_counting_two_million_rows_takes_less_memory_than_their_responses():
    n = 2_000_000
    rng = np.random.default_rng(2)
    codes = [rng.integers(0, k, n).astype(np.int8) for k in (8, 12, 12)]
    y = rng.poisson(1.0, n).astype(float)
    names = list("abcdefghijkl")
    columns = {name: pd.Categorical.from_codes(one, names[: one.max() + 1]) for name, one in zip("abc", codes)}
    data = pd.DataFrame(columns).assign(y=y)
    sx.glm("y ~ a + b + c", data[:5000], family=sx.Poisson)  # programs are compiled
    tracemalloc.start()
    try:
        est = sx.glm("y ~ a + b + c", data, family=sx.Poisson)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert np.shares_memory(est.data_rows().y, data["y"].to_numpy())
    assert peak < y.nbytes
    assert est.compression == "2,000,000 rows → 1,152 cells"
