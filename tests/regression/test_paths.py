"""Paths over penalties and their cross-validation: against scikit-learn, and against fits one by one."""

import jax
import numpy as np
import pytest
import sklearn.linear_model as sk
from sklearn.metrics import mean_poisson_deviance
from sklearn.model_selection import PredefinedSplit
from sklearn.preprocessing import StandardScaler

import surprax as sx
from surprax.data.errors import DataError
from surprax.regression.moments import Origin, centres, moments
from surprax.regression.paths import penalty_path

RNG = np.random.default_rng(0)
N, P = 300, 6
X = RNG.normal(size=(N, P)) * [1, 2, 0.1, 1, 1, 5] + RNG.normal(size=(N, 1)) + 100.0
ETA = 0.5 * (X - 100) @ [1, -0.5, 3, 0, 0, 0]
Y = ETA + RNG.normal(size=N) + 7.0
COUNTS = RNG.poisson(np.exp(0.4 * ETA)).astype(float)
OVER = RNG.negative_binomial(2, 2 / (2 + np.exp(0.4 * ETA))).astype(float)
FOLDS = RNG.permutation(np.arange(N) % 5)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def path():
    return penalty_path((X, Y), folds=FOLDS, count=50)


@pytest.mark.parametrize("ratio", [1.0, 0.4])
def test_cross_validation_is_that_of_scikit_learn(ratio):
    path = penalty_path((X, Y), folds=FOLDS, l1_ratio=ratio, count=30)
    split = PredefinedSplit(FOLDS)
    peer = sk.ElasticNetCV(l1_ratio=ratio, alphas=path.penalties / N, cv=split, tol=1e-12, max_iter=10**6).fit(X, Y)
    np.testing.assert_allclose(path.fold_deviances, peer.mse_path_, rtol=1e-8)
    np.testing.assert_allclose(path.cv_deviance, peer.mse_path_.mean(axis=1), rtol=1e-8)
    assert path.best == pytest.approx(peer.alpha_ * N)
    best = path.coefficients[np.argmin(path.cv_deviance)]
    np.testing.assert_allclose(best, np.append(peer.intercept_, peer.coef_), rtol=1e-7, atol=1e-8)


def test_the_path_begins_where_all_coefficients_are_zero(path):
    slopes = (X - X.mean(axis=0)).T @ (Y - Y.mean())
    assert path.penalties[0] == pytest.approx(np.abs(slopes).max(), rel=1e-12)
    assert path.nonzero[0] == 0
    assert path.nonzero[1] > 0
    assert path.penalties[-1] == pytest.approx(1e-3 * path.penalties[0])
    alphas, coefficients, _ = sk.lasso_path(X - X.mean(axis=0), Y - Y.mean(), alphas=path.penalties / N, tol=1e-13)
    np.testing.assert_allclose(path.coefficients[:, 1:], coefficients.T, atol=1e-8)
    assert len(alphas) == len(path.penalties)


def test_deviances_are_those_of_the_coefficients(path):
    fitted = path.coefficients[:, :1] + path.coefficients[:, 1:] @ X.T
    np.testing.assert_allclose(path.deviances, np.sum((Y - fitted) ** 2, axis=1), rtol=1e-9)


def test_one_standard_error_picks_a_sparser_model(path):
    i = np.argmin(path.cv_deviance)
    spread = path.fold_deviances.std(axis=1, ddof=1) / np.sqrt(5)
    np.testing.assert_allclose(path.cv_standard_error, spread, rtol=1e-9)
    chosen = np.flatnonzero(path.penalties == path.one_se)[0]
    assert chosen <= i
    assert path.cv_deviance[chosen] <= path.cv_deviance[i] + spread[i]
    assert chosen == 0 or path.cv_deviance[chosen - 1] > path.cv_deviance[i] + spread[i]


@pytest.mark.parametrize("which", ["best", "one_se", 12.5])
def test_estimates_are_those_of_glm(path, which):
    est = path.estimate(which)
    strength = which if isinstance(which, float) else getattr(path, which)
    direct = sx.glm((X, Y), penalty=(strength, 0.0))
    np.testing.assert_allclose(est.theta, direct.theta, rtol=1e-8, atol=1e-9)
    if isinstance(which, str):
        row = path.coefficients[path.penalties == strength][0]
        np.testing.assert_allclose(list(est.coefficients.values()), row, rtol=1e-7, atol=1e-8)
    with pytest.raises(ValueError, match="best"):
        path.estimate("worst")
    with pytest.raises(ValueError, match="not negative"):
        path.estimate(-1.0)


def test_a_standardised_path_is_that_of_standardised_columns():
    path = penalty_path((X, Y), standardize=True, count=20)
    Z = StandardScaler().fit_transform(X)
    plain = penalty_path((Z, Y), penalties=path.penalties)
    np.testing.assert_allclose(path.coefficients[:, 1:] * X.std(axis=0), plain.coefficients[:, 1:], atol=1e-8)
    est = path.estimate(path.penalties[7])
    np.testing.assert_allclose(list(est.coefficients.values()), path.coefficients[7], rtol=1e-7, atol=1e-7)
    assert "of standardised columns" in str(est.summary())
    counts = penalty_path((X, COUNTS), family=sx.Poisson, standardize=True, count=5)
    plain = penalty_path((Z, COUNTS), family=sx.Poisson, penalties=counts.penalties)
    np.testing.assert_allclose(counts.coefficients[:, 1:] * X.std(axis=0), plain.coefficients[:, 1:], atol=1e-6)


@pytest.mark.parametrize(
    ("family", "y", "ratio"),
    [(sx.Poisson, COUNTS, 1.0), (sx.Poisson, COUNTS, 0.5), (sx.Bernoulli, (COUNTS > 1) * 1.0, 1.0),
     (sx.NegativeBinomial, OVER, 1.0)],
)  # fmt: skip
def test_other_families_are_fitted_penalty_by_penalty(family, y, ratio):
    path = penalty_path((X, y), family=family, count=8, l1_ratio=ratio)
    assert path.nonzero[0] == 0
    for strength, row, deviance in list(zip(path.penalties, path.coefficients, path.deviances))[1::3]:
        est = sx.glm((X, y), family=family, penalty=(strength * ratio, strength * (1 - ratio)))
        np.testing.assert_allclose(row, list(est.coefficients.values()), rtol=1e-4, atol=2e-5)
        other = -2 * est.log_likelihood if family is sx.NegativeBinomial else est.deviance
        assert deviance == pytest.approx(other, rel=1e-6)


def test_held_out_deviances_of_counts_are_those_of_refits():
    path = penalty_path((X, COUNTS), family=sx.Poisson, folds=FOLDS, count=6)
    for k in (0, 3):
        test = np.equal(FOLDS, k)
        train = ~test
        for i in (0, 2, 5):
            est = sx.glm((X[train], COUNTS[train]), family=sx.Poisson, penalty=(path.penalties[i] * train.mean(), 0.0))
            expected = mean_poisson_deviance(COUNTS[test], est.predict(X[test]))
            assert path.fold_deviances[i, k] == pytest.approx(expected, rel=1e-6)
    assert path.estimate("best").converged


def test_normal_responses_by_evidence_are_those_by_rows():
    weights, offset = RNG.uniform(0.5, 2, N), RNG.normal(size=N)
    data = {f"x{j}": X[:, j] for j in range(P)} | {"y": Y, "g": np.array(list("abcd"))[RNG.integers(0, 4, N)]}
    path = penalty_path("y ~ x0 + x1 + x2 + C(g)", data, weights=weights, offset=offset, folds=FOLDS, count=5)
    for k in (1, 4):
        test = np.equal(FOLDS, k)
        train = ~test
        share = weights[train].sum() / weights.sum()
        part = {name: column[train] for name, column in data.items()}
        rest = {name: column[test] for name, column in data.items()}
        for i in (1, 4):
            est = sx.glm("y ~ x0 + x1 + x2 + C(g)", part, weights=weights[train], offset=offset[train],
                         penalty=(path.penalties[i] * share, 0.0))  # fmt: skip
            gap = rest["y"] - est.predict(rest, offset=offset[test])
            expected = weights[test] @ gap**2 / weights[test].sum()
            assert path.fold_deviances[i, k] == pytest.approx(expected, rel=1e-8)


def test_moments_add_up_and_keep_their_digits():
    """Columns whose means are 10⁸ times their spread: moments about 0 would have no digits left."""
    from surprax.regression.design import Dense, Design
    from surprax.regression.rows import Rows

    Z = np.column_stack([np.ones(N), X + 1e8])
    rows = Rows(Design(("Intercept", *"abcdef"), [Dense(Z)]), Y, np.ones(N), np.ones(N))
    origin = Origin.of(rows, centres(rows)[0])
    each = moments(rows, origin, FOLDS, 5)
    (whole,) = moments(rows, origin)
    summed = each[0] + each[1] + each[2] + each[3] + each[4]
    np.testing.assert_allclose(summed.G, whole.G, rtol=1e-11, atol=1e-6)
    less = whole - each[2]
    kept = rows.picked(FOLDS != 2)
    np.testing.assert_allclose(less.h, moments(kept, origin)[0].h, rtol=1e-9, atol=1e-8)
    b = np.array([0.1, 1.0, -1.0, 2.0, 0.0, 0.5, 0.1])
    direct = np.sum((kept.y - kept.eta(origin.back(b))) ** 2)
    assert less.residual(b) == pytest.approx(direct, rel=1e-6)
    far, near = penalty_path((X + 1e8, Y), folds=FOLDS, count=5), penalty_path((X, Y), folds=FOLDS, count=5)
    np.testing.assert_allclose(far.fold_deviances, near.fold_deviances, rtol=1e-6)


def test_ridge_paths_shrink_and_have_no_zeros():
    path = penalty_path((X, Y), l1_ratio=0.0, penalties=[1.0, 1000.0, 10.0])
    np.testing.assert_array_equal(path.penalties, [1000.0, 10.0, 1.0])
    for strength, row in zip(path.penalties, path.coefficients):
        peer = sk.Ridge(alpha=strength).fit(X, Y)
        np.testing.assert_allclose(row, np.append(peer.intercept_, peer.coef_), rtol=1e-8)
    assert np.all(path.nonzero == P)
    assert penalty_path((X, Y), l1_ratio=0.0, count=3).penalties[0] > 0
    assert path.estimate(10.0).standard_errors()["x0"] > 0


def test_folds_are_dealt_by_a_key():
    one, again, other = (penalty_path((X, Y), folds=7, key=key, count=3) for key in (KEY, KEY, jax.random.key(1)))
    np.testing.assert_array_equal(one.fold_deviances, again.fold_deviances)
    assert np.any(one.fold_deviances != other.fold_deviances)
    assert sorted(one.fold_weights) == sorted(np.bincount(np.arange(N) % 7))


def test_misuse_is_refused_in_words(path):
    with pytest.raises(ValueError, match="pass a key"):
        penalty_path((X, Y), folds=5)
    with pytest.raises(ValueError, match="from 2 to 300 folds"):
        penalty_path((X, Y), folds=1, key=KEY)
    with pytest.raises(DataError, match="one label for each of 300 rows"):
        penalty_path((X, Y), folds=[0, 1])
    with pytest.raises(ValueError, match="at least two folds"):
        penalty_path((X, Y), folds=np.zeros(N))
    with pytest.raises(ValueError, match="l1_ratio is a share"):
        penalty_path((X, Y), l1_ratio=2.0)
    with pytest.raises(ValueError, match="not negative"):
        penalty_path((X, Y), penalties=[1.0, -1.0])
    with pytest.raises(ValueError, match="Cross-validation takes folds"):
        penalty_path((X, Y), count=3).best  # noqa: B018
    with pytest.raises(ValueError, match="besides the intercept"):
        penalty_path("y ~ 1", {"y": Y})
    assert path.names[0] == "Intercept"


def test_tables_and_pictures(path):
    told = str(path)
    assert "best" in told
    assert "one_se" in told
    assert path.summary()[next(iter(path.summary()))]["non-zero"] == 0
    figure = path.plot()
    left, right = figure.axes
    assert len(left.lines) >= P
    np.testing.assert_allclose(right.lines[0].get_ydata(), path.cv_deviance)
    assert len(penalty_path((X, Y), count=4).plot().axes) == 1
