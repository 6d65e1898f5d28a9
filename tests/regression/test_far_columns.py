"""Covariates far from zero, as years and timestamps are: the fit is that of centred ones, told in the columns as they are."""

import jax
import mpmath as mp
import numpy as np
import pandas as pd
import pytest
import scipy.stats as st
from numpyro import handlers

import surprax as sx
from surprax.estimate import NotAMaximumWarning
from surprax.regression.centring import Centring, centring_of
from surprax.regression.coordinates import LinearCoordinates
from surprax.regression.design import Coded, Dense, Design
from surprax.regression.paths import penalty_path

N = 200
LAWS = {
    sx.Normal: lambda eta, rng: rng.normal(eta, 1.5),
    sx.Bernoulli: lambda eta, rng: (rng.logistic(size=N) < eta) * 1.0,
    sx.Poisson: lambda eta, rng: rng.poisson(np.exp(eta)),
    sx.Gamma: lambda eta, rng: rng.gamma(2.0, np.exp(eta) / 2.0),
    sx.NegativeBinomial: lambda eta, rng: rng.negative_binomial(2, 2 / (2 + np.exp(eta))),
    sx.Beta: lambda eta, rng: rng.beta(3 / (1 + np.exp(-eta)), 3 / (1 + np.exp(eta))),
}
BY_NAME = {family.__name__: family for family in LAWS}
PLACES = {"a million": (1e6, 1.0), "timestamps": (1.7e9, 1e5), "years": (2000.0, 12.0)}
NEAR, AWAY = np.array([0.0, 0.0]), np.array([1e6, -3e5])
"""Where the columns u and w of `tables` are."""


@pytest.fixture(scope="module")
def tables():
    """Data with columns near zero, and the same far away."""
    rng = np.random.default_rng(7)
    u, w = np.round(rng.normal(size=N), 3), np.round(3.0 * rng.normal(size=N), 3)
    others = {
        "y": rng.poisson(np.exp(0.3 + 0.4 * u - 0.1 * w)),
        "g": np.tile(list("abcd"), N // 4),
        "c": rng.choice(list("pqr"), N),
    }
    return [others | {"u": u + at[0], "w": w + at[1]} for at in (NEAR, AWAY)]


def assert_same(far, near, tolerance=1e-8):
    """Slopes are equal, and the intercepts are those of their origins."""
    for name, value in near.params.items():
        if name != "Intercept":
            assert far[name] == pytest.approx(value, rel=tolerance, abs=1e-10), name
    moved = near["Intercept"] - AWAY @ [near["u"], near["w"]]
    assert far["Intercept"] == pytest.approx(moved, rel=tolerance)
    assert far.log_likelihood == pytest.approx(near.log_likelihood, rel=1e-9)


# Columns are centred alike for all laws; those with a parameter of their own are tried at length.
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "family",
    [pytest.param(f, marks=pytest.mark.thorough) if f in (sx.Gamma, sx.NegativeBinomial, sx.Beta) else f for f in LAWS],
    ids=BY_NAME,
)
def test_a_fit_does_not_depend_on_where_a_covariate_is_zero(family, place):
    at, unit = PLACES[place]
    rng = np.random.default_rng(5)
    there = at + unit * rng.normal(size=(N, 1))
    here = (there - at) / unit
    y = LAWS[family](0.3 + 0.5 * here[:, 0], rng)
    near, far = sx.glm((here, y), family=family), sx.glm((there, y), family=family)
    assert far.report.condition == pytest.approx(near.report.condition, rel=0.1)
    assert far["x0"] * unit == pytest.approx(near["x0"], rel=1e-8)
    row = np.array([1.0, -at / unit])
    assert far["Intercept"] == pytest.approx(row @ near.theta[:2], rel=1e-8)
    errors = near.standard_errors()["x0"] / unit, np.sqrt(row @ near.covariance()[:2, :2] @ row)
    assert far.standard_errors()["x0"] == pytest.approx(errors[0], rel=1e-8)
    assert far.standard_errors()["Intercept"] == pytest.approx(errors[1], rel=1e-8)
    for method in ("profile", "score"):
        ends = [np.array(est.confidence_interval("x0", method=method)) for est in (far, near)]
        np.testing.assert_allclose(ends[0] * unit, ends[1], rtol=1e-5)
    for interval in ("mean", "prediction"):
        found, expected = (est.predict(X[:5], interval=interval) for est, X in ((far, there), (near, here)))
        np.testing.assert_allclose(found.low, expected.low, rtol=1e-7)
        np.testing.assert_allclose(found.high, expected.high, rtol=1e-7)
    assert far.null_deviance == pytest.approx(near.null_deviance, rel=1e-9)


def newton(columns, y, law):
    """Coefficients and standard errors of a Poisson or logistic regression, in 80 digits."""
    X, y = mp.matrix(columns).T, mp.matrix(list(y))
    n, p = X.rows, X.cols
    share = mp.fsum(y) / n
    b = mp.matrix([mp.log(share) if law == "poisson" else mp.log(share / (1 - share)), *[0] * (p - 1)])
    for _ in range(20):
        mu = [mp.exp(eta) if law == "poisson" else 1 / (1 + mp.exp(-eta)) for eta in X * b]
        v = [m if law == "poisson" else m * (1 - m) for m in mu]
        H = X.T * mp.matrix([[X[i, j] * v[i] for j in range(p)] for i in range(n)])
        b += mp.lu_solve(H, X.T * (y - mp.matrix(mu)))
    V = H**-1
    return [float(one) for one in b], [float(mp.sqrt(V[j, j])) for j in range(p)]


@pytest.mark.parametrize(("degree", "digits"), [(1, 1e-8), (2, 1e-8), (3, 1e-6)])  # XᵀX of a cubic has condition 2e11
@pytest.mark.parametrize(("family", "law"), [(sx.Poisson, "poisson"), (sx.Bernoulli, "logit")])
def test_polynomials_of_years_are_those_of_eighty_digits(family, law, degree, digits):
    rng = np.random.default_rng(0)
    year = np.linspace(1980.0, 2020.0, N).round(1)
    u = (year - 2000.0) / 10.0
    y = LAWS[family](0.5 + 0.3 * u - 0.1 * u**2, rng) * 1.0
    formula = "y ~ year" + "".join(f" + I(year**{k})" for k in range(2, degree + 1))
    est = sx.glm(formula, {"y": y, "year": year}, family=family)
    b, errors = newton([[mp.mpf(float(x)) for x in year**k] for k in range(degree + 1)], y, law)
    np.testing.assert_allclose(list(est.coefficients.values()), b, rtol=digits)
    np.testing.assert_allclose(list(est.standard_errors().values()), errors, rtol=1e-8 if degree < 3 else 1e-4)


def test_the_profile_of_a_far_intercept_is_that_of_fits_with_it_held(tables):
    near, far = (sx.glm("y ~ u + w", data, family=sx.Poisson) for data in tables)
    assert_same(far, near)
    error = far.standard_errors()["Intercept"]
    values = far["Intercept"] + error * np.array([-2.0, -1.0, 0.5, 1.5])
    held = [far.refit(fixed={"Intercept": value}) for value in values]
    assert [est["Intercept"] for est in held] == pytest.approx(list(values), rel=1e-12)
    np.testing.assert_allclose(
        far.profile("Intercept", values).log_likelihoods, [est.log_likelihood for est in held], atol=1e-7
    )
    row = np.array([1.0, *-AWAY])  # the far intercept, in the near coefficients
    other = sx.glm("y ~ u + w", tables[0], family=sx.Poisson, constraints=(row, values[0]))
    assert_same(held[0], other)
    for end in far.confidence_interval("Intercept", method="profile"):
        fall = far.log_likelihood - far.refit(fixed={"Intercept": end}).log_likelihood
        assert fall == pytest.approx(0.5 * st.chi2.isf(0.05, 1), rel=1e-6)
    assert far.compatibility("Intercept", values).bits[1] == pytest.approx(-np.log2(2 * st.norm.sf(1)), rel=0.05)


def test_coefficients_bound_by_an_equation_have_profiles():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(N, 2))
    est = sx.glm((X, rng.poisson(np.exp(X @ [0.5, -0.2]))), family=sx.Poisson, constraints="x0 + x1 = 0.3")
    a, b = (np.array(est.confidence_interval(name, method="profile")) for name in ("x0", "x1"))
    np.testing.assert_allclose(a, 0.3 - b[::-1], atol=1e-7)


@pytest.mark.parametrize(
    "how",
    [
        {"fixed": {"u": 0.3}},
        {"tied": [("u", "w")]},
        {"constraints": "u + 2*w = 0.1"},
        {"constraints": {"u": (0.0, 0.1)}},
        {"penalty": 20.0},
        {"penalty": (8.0, 1.0)},
        {"penalty": 20.0, "family": sx.Normal},
        {"censoring": "late"},
    ],
    ids=str,
)
def test_constraints_and_penalties_are_about_the_same_slopes(tables, how):
    both = [
        sx.glm("y ~ u + w + g", data | {"late": data["y"] > 4}, **({"family": sx.Poisson} | how)) for data in tables
    ]
    assert_same(both[1], both[0])


def test_equations_with_the_intercept_hold(tables):
    est = sx.glm("y ~ u + w", tables[1], family=sx.Poisson, constraints="Intercept + 900000*u = 3", fixed={"w": 0.01})
    assert est["Intercept"] + 900000 * est["u"] == pytest.approx(3.0, abs=1e-8)
    assert est["w"] == pytest.approx(0.01, rel=1e-14)


def test_what_rows_leave_is_the_same(tables):
    near, far = (sx.glm("y ~ u + w + g", data, family=sx.Poisson) for data in tables)
    np.testing.assert_allclose(far.leverages(), near.leverages(), rtol=1e-8)
    for kind in ("pearson", "standardized", "surprise"):
        np.testing.assert_allclose(far.residuals(kind), near.residuals(kind), rtol=1e-6, atol=1e-9)
    for kind in ("HC0", "HC3", "expected"):
        found, expected = (est.standard_errors(kind) for est in (far, near))
        assert found["u"] == pytest.approx(expected["u"], rel=1e-8)


def test_categories_and_their_intercepts(tables):
    near, far = (sx.glm("c ~ u + w", data, family=sx.Categorical) for data in tables)
    row = np.array([1.0, *-AWAY])
    for one in "qr":
        assert far[f"{one}: u"] == pytest.approx(near[f"{one}: u"], rel=1e-8)
        assert far[f"{one}: Intercept"] == pytest.approx(
            row @ [near[f"{one}: {x}"] for x in ("Intercept", "u", "w")], rel=1e-8
        )
    np.testing.assert_allclose(far.coefficients[0, 1:], [far["q: Intercept"], far["r: Intercept"]])
    new = [{"u": at[0] + np.array([0.5, 2.0]), "w": at[1] + np.array([0.0, -3.0])} for at in (NEAR, AWAY)]
    for kind in ("mean", "linear"):
        np.testing.assert_allclose(far.predict(new[1], kind=kind), near.predict(new[0], kind=kind), rtol=1e-8)
    low, high = far.confidence_interval("q: Intercept", method="profile")
    wald = far.confidence_interval("q: Intercept")
    np.testing.assert_allclose((low, high), wald, atol=0.05 * (wald[1] - wald[0]))


@pytest.mark.parametrize("family", [sx.Poisson, sx.Normal], ids=["Poisson", "Normal"])
def test_a_streamed_file_is_centred_too(tables, tmp_path, family):
    path = tmp_path / "rows.parquet"
    pd.DataFrame(tables[1]).to_parquet(path)
    est = sx.glm("y ~ u + w + g", path, family=family, stream=True)
    assert_same(est, sx.glm("y ~ u + w + g", tables[0], family=family))


def test_columns_that_say_the_same_are_named_as_they_are(tables):
    data = tables[1] | {"v": 2.0 * tables[1]["u"] + 3.0}
    with pytest.warns(NotAMaximumWarning, match=r"v = 3·Intercept \+ 2·u\."):
        est = sx.glm("y ~ u + v", data, family=sx.Poisson)
    assert not est.converged


@pytest.mark.parametrize("family", [sx.Poisson, sx.Normal], ids=["Poisson", "Normal"])
def test_a_path_of_penalties_is_centred_too(tables, family):
    near, far = (
        penalty_path("y ~ u + w + g", data, family=family, count=8, folds=4, key=jax.random.key(0)) for data in tables
    )
    np.testing.assert_allclose(far.penalties, near.penalties, rtol=1e-8)
    np.testing.assert_allclose(far.coefficients[:, 1:], near.coefficients[:, 1:], rtol=1e-6, atol=1e-8)
    u, w = (near.names.index(name) for name in "uw")
    moved = near.coefficients[:, 0] - near.coefficients[:, [u, w]] @ AWAY
    np.testing.assert_allclose(far.coefficients[:, 0], moved, rtol=1e-6)
    np.testing.assert_allclose(far.cv_deviance, near.cv_deviance, rtol=1e-8)
    assert_same(far.estimate("best"), near.estimate("best"))


def test_a_constant_is_no_column_far_from_zero(tables):
    data = tables[0] | {"k": np.full(N, 5e6)}
    with pytest.warns(NotAMaximumWarning, match="say the same: Intercept = 2e-07·k"):
        sx.glm("y ~ u + k", data, family=sx.Poisson)


def test_the_numpyro_model_has_the_same_likelihood(tables):
    est = sx.glm("y ~ u + w", tables[1], family=sx.Poisson)
    model, init = est.to_numpyro()
    seeded = handlers.seed(handlers.substitute(model, init), jax.random.key(0))
    sites = handlers.trace(seeded).get_trace()
    np.testing.assert_allclose(sites["coefficients"]["value"], list(est.coefficients.values()), rtol=1e-5)
    assert float(sites["y"]["fn"].log_prob(sites["y"]["value"]).sum()) == pytest.approx(est.log_likelihood, rel=1e-5)


def test_only_numbers_far_from_zero_are_moved():
    rng = np.random.default_rng(2)
    years = Coded(rng.integers(0, 3, N), np.array([[1990.0, 1.0], [2000.0, 0.0], [2010.0, 0.0]]))
    region = Coded(rng.integers(0, 2, N), np.array([[0.0], [1.0]]))
    numbers = Dense(np.column_stack([rng.normal(size=N), rng.normal(50.0, 1.0, size=N), np.full(N, 7.0)]))
    one = Coded(np.zeros(N, int), np.ones((1, 1)))
    names = ["Intercept", "year", "first", "r", "near", "far", "constant"]
    design = Design(names, [one, years, region, numbers])
    centring = centring_of(design)
    assert [name for name, mean in zip(names, centring.mean) if mean] == ["year", "far"]
    moved = centring.moved(design)
    assert moved.blocks[0] is one
    assert moved.blocks[2] is region
    assert np.all(np.abs(moved.matrix().mean(axis=0)[[1, 5]]) < 10.0)
    b = rng.normal(size=7)
    np.testing.assert_allclose(moved.linear(b), design.linear(centring.told(b)), atol=1e-9)
    np.testing.assert_allclose(centring.counted(centring.told(b)), b, atol=1e-10)
    E = rng.normal(size=(2, 7))
    np.testing.assert_allclose(centring.equations(E) @ b, E @ centring.told(b), rtol=1e-10)
    assert centring_of(Design(names[1:], design.blocks[1:])) is None  # nothing makes up for it


def test_coordinates_led_by_a_coefficient_are_the_same_parameters():
    centring = Centring(np.array([0.0, 1e3, -5e4, 0.0]), np.array([1.0, 2.0, 1.0, 1.0]), 0)
    plain = LinearCoordinates(["Intercept", "u", "w", "x"], "scale", tied=[("u", "x")], centring=centring)
    z = np.array([0.5, 0.1, -0.2, 0.3])
    other, there, i = plain.led_by("Intercept", z)
    np.testing.assert_allclose(other.theta(there), plain.theta(z), rtol=1e-12)
    assert there[i] == pytest.approx(plain.theta(z)[0], rel=1e-14)
    assert other.coordinate("Intercept") == i
    np.testing.assert_allclose(other.slopes(there)[0], np.eye(4)[i], atol=1e-9)
    assert plain.led_by("scale", z) is None
    held = plain.holding(fixed={"Intercept": 2.0})
    assert held.led_by("Intercept", z[1:]) is None
    assert held.theta(z[1:])[0] == pytest.approx(2.0)
