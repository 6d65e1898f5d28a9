"""Penalised models: against scikit-learn, glum and SciPy, and against their optimality conditions in plain NumPy."""

import jax
import numpy as np
import pytest
import scipy.optimize as so
import sklearn.linear_model as sk

import surprax as sx
from surprax.estimate import NotAMaximumWarning
from surprax.regression.quadratic import least, violations

RNG = np.random.default_rng(0)
N, P = 400, 8
X = RNG.normal(size=(N, P)) * [1, 2, 3, 1, 1, 0.1, 1, 1] + RNG.normal(size=(N, 1)) + 2.0
ETA = 0.3 * (X @ [1, -0.5, 0, 0, 0.3, 2, 0, 0]) - 0.5
Y = ETA + RNG.normal(size=N)
COUNTS = RNG.poisson(np.exp(ETA)).astype(float)
TIMES = RNG.gamma(2.0, np.exp(0.5 * ETA))
DEAD = (RNG.uniform(size=N) < 1 / (1 + np.exp(-ETA))).astype(float)
SHARES = np.clip(RNG.beta(3.0 / (1 + np.exp(-ETA)), 3.0 / (1 + np.exp(ETA))), 1e-6, 1 - 1e-6)
OVER = RNG.negative_binomial(2, 2 / (2 + np.exp(ETA))).astype(float)
WEIGHTS = RNG.integers(1, 4, N).astype(float)

FAMILIES = {
    "normal": (sx.Normal, Y, lambda eta: 0.5 * (Y - eta) ** 2),
    "Bernoulli": (sx.Bernoulli, DEAD, lambda eta: np.logaddexp(0, eta) - DEAD * eta),
    "Poisson": (sx.Poisson, COUNTS, lambda eta: np.exp(eta) - COUNTS * eta),
    "gamma": (sx.Gamma, TIMES, lambda eta: eta + TIMES * np.exp(-eta)),
    "inverse Gaussian": (sx.InverseGaussian, TIMES, lambda eta: 0.5 * TIMES * np.exp(-2 * eta) - np.exp(-eta)),
}


def coefficients(est):
    return np.array(list(est.coefficients.values()))


def theirs(model, y):
    model.fit(X, y)
    return np.append(np.ravel(model.intercept_), np.ravel(model.coef_))


def slopes(loss, b):
    """Gradient of Σ loss(b₀ + X b), by central differences of each row's loss in its η: independent of the library."""
    eta, step = b[0] + X @ b[1:], 1e-6
    by_row = (loss(eta + step) - loss(eta - step)) / (2 * step)
    return np.append(by_row.sum(), X.T @ by_row)


@pytest.mark.parametrize(("penalty", "alpha", "ratio"), [((20.0, 0.0), 20.0, 1.0), ((10.0, 30.0), 40.0, 0.25)])
def test_lasso_and_elastic_net_are_those_of_scikit_learn(penalty, alpha, ratio):
    est = sx.glm((X, Y), penalty=penalty)
    peer = sk.ElasticNet(alpha=alpha / N, l1_ratio=ratio, tol=1e-14, max_iter=10**6)
    np.testing.assert_allclose(coefficients(est), theirs(peer, Y), rtol=0, atol=1e-10)
    assert est.converged
    assert "triangle" in est.compression


def test_ridge_is_that_of_scikit_learn():
    np.testing.assert_allclose(
        coefficients(sx.glm((X, Y), penalty=3.0)), theirs(sk.Ridge(alpha=3.0, tol=1e-14), Y), rtol=1e-10
    )
    newton = {"tol": 1e-10, "max_iter": 1000, "solver": "newton-cholesky"}
    for family, y, peer in (
        (sx.Poisson, COUNTS, sk.PoissonRegressor(alpha=3.0 / N, **newton)),
        (sx.Gamma, TIMES, sk.GammaRegressor(alpha=3.0 / N, **newton)),
        (sx.Bernoulli, DEAD, sk.LogisticRegression(C=1 / 3.0, **newton)),
    ):
        est = sx.glm((X, y), family=family, penalty=3.0)
        assert est.converged
        np.testing.assert_allclose(coefficients(est), theirs(peer, y), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("penalty", [(12.0, 0.0), (8.0, 5.0), (0.0, 5.0)])
def test_optimality_conditions_hold(family, penalty):
    law, y, loss = FAMILIES[family]
    est = sx.glm((X, y), family=law, penalty=penalty)
    b, (l1, l2) = coefficients(est), penalty
    g = slopes(loss, b) + l2 * np.append(0.0, b[1:])
    at_zero = np.append(False, b[1:] == 0)
    assert est.converged
    assert abs(g[0]) < 1e-4
    assert np.all(np.abs(g[at_zero]) <= l1 + 1e-4)
    np.testing.assert_allclose(g[1:][~at_zero[1:]], -l1 * np.sign(b[1:][~at_zero[1:]]), atol=1e-4)
    assert (l1 == 0) == (not at_zero.any()) or family in ("gamma", "Poisson")


@pytest.mark.parametrize(
    ("family", "y"), [(sx.Normal, Y), (sx.Bernoulli, DEAD), (sx.Poisson, COUNTS), (sx.Gamma, TIMES)]
)
@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
def test_estimates_with_weights_are_those_of_glum(family, y, ratio):
    glum = pytest.importorskip("glum")
    total = WEIGHTS.sum()
    names = {sx.Normal: "normal", sx.Bernoulli: "binomial", sx.Poisson: "poisson", sx.Gamma: "gamma"}
    link = {sx.Normal: "identity", sx.Bernoulli: "logit"}.get(family, "log")
    peer = glum.GeneralizedLinearRegressor(
        family=names[family], link=link, alpha=10.0 / total, l1_ratio=ratio, gradient_tol=1e-9, max_iter=1000
    )
    peer.fit(X, y, sample_weight=WEIGHTS)
    est = sx.glm((X, y), family=family, weights=WEIGHTS, penalty=(10.0 * ratio, 10.0 * (1 - ratio)))
    np.testing.assert_allclose(coefficients(est), np.append(peer.intercept_, peer.coef_), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("family", "y"), [(sx.NegativeBinomial, OVER), (sx.Beta, SHARES)])
@pytest.mark.parametrize("penalty", [(6.0, 0.0), (3.0, 4.0), (0.0, 4.0)])
def test_laws_whose_parameters_do_not_separate_are_at_their_penalised_maximum(family, y, penalty):
    est = sx.glm((X, y), family=family, penalty=penalty)
    assert est.converged
    b, extra = coefficients(est), est["concentration"]

    def objective(b, extra):
        eta = b[0] + X @ b[1:]
        mu = np.exp(eta) if family is sx.NegativeBinomial else 1 / (1 + np.exp(-eta))
        law = family(mu, extra) if family is sx.NegativeBinomial else family(mu * extra, (1 - mu) * extra)
        return -float(np.sum(law.log_prob(y))) + penalty[0] * np.abs(b[1:]).sum() + 0.5 * penalty[1] * (b[1:] @ b[1:])

    with jax.enable_x64():
        here = objective(b, extra)
        for j in range(P + 1):
            for step in (-1e-3, 1e-3):
                assert objective(b + step * np.eye(P + 1)[j], extra) > here
        assert min(objective(b, extra * 1.01), objective(b, extra / 1.01)) > here


def test_bounds_are_kept_as_by_scipy():
    bounds = {"x0": (0.0, 0.2), "x1": (0.0, None), "x5": (None, 0.4), "Intercept": (-0.6, None)}
    est = sx.glm((X, Y), constraints=bounds)
    low, high = np.full(P + 1, -np.inf), np.full(P + 1, np.inf)
    low[[0, 1, 2]], high[[1, 6]] = [-0.6, 0.0, 0.0], [0.2, 0.4]
    peer = so.lsq_linear(np.column_stack([np.ones(N), X]), Y, (low, high), method="bvls", tol=1e-14)
    np.testing.assert_allclose(coefficients(est), peer.x, atol=1e-9)
    np.testing.assert_allclose(est["scale"], np.sqrt(2 * peer.cost / N), rtol=1e-9)
    assert "x1" in est.at_bounds
    assert est.free == P + 2 - len(est.at_bounds)

    est = sx.glm((X, COUNTS), family=sx.Poisson, constraints=bounds, penalty=(0.0, 2.0))
    A = np.column_stack([np.ones(N), X])

    def objective(b):
        mu = np.exp(A @ b)
        return np.sum(mu - COUNTS * (A @ b)) + b[1:] @ b[1:], A.T @ (mu - COUNTS) + 2 * np.append(0, b[1:])

    limits = list(zip(low, high))
    peer = so.minimize(objective, np.clip(np.zeros(P + 1), low, high), jac=True, method="L-BFGS-B", bounds=limits,
                       options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 10000})  # fmt: skip
    assert est.converged
    np.testing.assert_allclose(coefficients(est), peer.x, atol=2e-5)
    assert objective(coefficients(est))[0] <= peer.fun + 1e-9


def test_bounds_with_an_l1_penalty_are_those_of_glum():
    glum = pytest.importorskip("glum")
    low, high = np.full(P, -np.inf), np.full(P, np.inf)
    low[1], high[0] = 0.0, 0.05
    peer = glum.GeneralizedLinearRegressor(
        family="poisson",
        alpha=10.0 / N,
        l1_ratio=0.7,
        lower_bounds=low,
        upper_bounds=high,
        gradient_tol=1e-9,
        max_iter=1000,
    ).fit(X, COUNTS)
    est = sx.glm((X, COUNTS), family=sx.Poisson, penalty=(7, 3), constraints={"x0": (None, 0.05), "x1": (0, None)})
    np.testing.assert_allclose(coefficients(est), np.append(peer.intercept_, peer.coef_), rtol=1e-5, atol=1e-6)


def test_bounds_that_are_far_away_change_nothing():
    plain = sx.glm((X, COUNTS), family=sx.Poisson)
    wide = sx.glm((X, COUNTS), family=sx.Poisson, constraints={f"x{j}": (-50, 50) for j in range(P)})
    np.testing.assert_allclose(wide.theta, plain.theta, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(wide.covariance(), plain.covariance(), rtol=1e-6)
    assert wide.aic == pytest.approx(plain.aic)


def test_a_ridge_is_a_normal_prior():
    est = sx.glm((X, Y), penalty=3.0)
    A = np.column_stack([np.ones(N), X])
    Lambda = 3.0 * np.diag([0.0] + [1.0] * P)
    H = A.T @ A
    hat = np.linalg.solve(H + Lambda, H)
    b = np.linalg.solve(H + Lambda, A.T @ Y)
    rss = np.sum((Y - A @ b) ** 2)
    np.testing.assert_allclose(coefficients(est), b, rtol=1e-10)
    assert est.free == pytest.approx(np.trace(hat) + 1)
    assert est["scale"] == pytest.approx(np.sqrt(rss / N))
    assert est.log_likelihood == pytest.approx(-0.5 * N * (np.log(2 * np.pi * rss / N) + 1))
    assert est.deviance == pytest.approx(rss)
    phi = rss / (N - np.trace(hat))
    np.testing.assert_allclose(est.covariance()[:-1, :-1], phi * np.linalg.inv(H + Lambda), rtol=1e-8)
    low, high = est.confidence_interval("x0")
    assert high - low == pytest.approx(2 * est.reference.isf(0.025) * est.standard_errors()["x0"])


def test_effective_numbers_are_counted_where_coefficients_are_free():
    lasso, net = sx.glm((X, Y), penalty=(60, 0)), sx.glm((X, Y), penalty=(60, 40))
    assert 0 < len(lasso.nonzero) < P
    assert lasso.free == len(lasso.nonzero) + 2
    A = np.column_stack([np.ones(N), X[:, [int(name[1:]) for name in net.nonzero]]])
    H, Lambda = A.T @ A, 40 * np.diag([0.0] + [1.0] * len(net.nonzero))
    assert net.free == pytest.approx(np.trace(np.linalg.solve(H + Lambda, H)) + 1)


def test_held_and_tied_coefficients_are_penalised_with_the_others():
    est = sx.glm((X, Y), penalty=(10, 5), fixed={"x2": 0.1}, tied=[("x0", "x4")])

    def objective(b):
        return 0.5 * np.sum((Y - b[0] - X @ b[1:]) ** 2) + 10 * np.abs(b[1:]).sum() + 2.5 * b[1:] @ b[1:]

    b = coefficients(est)
    assert b[3] == 0.1
    assert b[1] == b[5]
    for j in range(P + 1):
        if j != 3:
            direction = np.eye(P + 1)[j] + np.eye(P + 1)[{1: 5, 5: 1}.get(j, j)] * (j in (1, 5))
            assert min(objective(b + 1e-4 * direction), objective(b - 1e-4 * direction)) > objective(b)
    with pytest.raises(ValueError, match="by an equation"):
        sx.glm((X, Y), penalty=(10, 0), constraints="x0 + x1 = 1")
    ridge = sx.glm((X, Y), penalty=3.0, constraints="x0 + x1 = 1")
    assert ridge["x0"] + ridge["x1"] == pytest.approx(1.0)


def test_wide_and_collinear_designs_have_a_lasso():
    rng = np.random.default_rng(1)
    W = rng.normal(size=(80, 300))
    y = W[:, 0] - 2 * W[:, 1] + rng.normal(size=80)
    est = sx.glm((W, y), penalty=(8.0, 0.0))
    peer = sk.Lasso(alpha=8.0 / 80, tol=1e-14, max_iter=10**6).fit(W, y)
    np.testing.assert_allclose(coefficients(est), np.append(peer.intercept_, peer.coef_), atol=1e-9)
    region = rng.integers(0, 3, N)
    full = (region[:, None] == np.arange(3)).astype(float)  # with the intercept, one too many
    est = sx.glm((full, Y), penalty=(0.0, 1.0))
    assert est.converged
    np.testing.assert_allclose(coefficients(est), _ridge_of(full, Y, 1.0), rtol=1e-8)


def _ridge_of(M, y, l2):
    peer = sk.Ridge(alpha=l2, solver="svd").fit(M, y)
    return np.append(peer.intercept_, peer.coef_)


def test_separated_outcomes_have_a_penalised_maximum():
    x = np.arange(10.0)
    est = sx.glm((x[:, None], (x > 4).astype(float)), family=sx.Bernoulli, penalty=1.0)
    peer = sk.LogisticRegression(C=1.0, tol=1e-12, max_iter=1000).fit(x[:, None], x > 4)
    assert est.converged
    assert est["x0"] == pytest.approx(peer.coef_[0, 0], rel=1e-5)


def test_what_a_lasso_does_not_have_is_refused_in_words():
    est = sx.glm((X, Y), penalty=(20.0, 0.0))
    for call in (est.standard_errors, est.confidence_interval, est.leverages, lambda: est.residuals("standardized")):
        with pytest.raises(ValueError, match="not normally distributed"):
            call()
    for call in (lambda: est.profile("x0"), lambda: est.compatibility("x0"),
                 lambda: est.confidence_interval("x0", method="profile")):  # fmt: skip
        with pytest.raises(ValueError, match="profile is of a likelihood"):
            call()
    with pytest.raises(ValueError, match="likelihood-ratio"):
        est.likelihood_ratio_test(est)
    with pytest.raises(ValueError, match="not normally distributed"):
        est.predict({f"x{j}": [0.0] for j in range(P)}, interval="mean")
    told = str(est.summary())
    assert f"{len(est.nonzero)} of {P} coefficients" in told
    assert "l1 = 20, l2 = 0" in told
    assert np.isnan(est.summary()["x0"]["std. error"])
    with pytest.raises(ValueError, match="at their bounds"):
        sx.glm((X, Y), constraints={"x0": (None, 0.0)}).standard_errors()


@pytest.mark.parametrize("penalty", [-1.0, (1.0, -0.1), np.inf, (np.nan, 0.0), (1.0, 2.0, 3.0), "much"])
def test_penalties_are_finite_and_not_negative(penalty):
    with pytest.raises(ValueError, match="A penalty is"):
        sx.glm((X, Y), penalty=penalty)


def test_no_penalty_is_maximum_likelihood():
    np.testing.assert_allclose(sx.glm((X, Y), penalty=0.0).theta, sx.glm((X, Y)).theta)


def test_a_bootstrap_fits_with_the_penalty():
    est = sx.glm((X, COUNTS), family=sx.Poisson, penalty=(30.0, 1.0))
    drawn = est.bootstrap(jax.random.key(0), 20)
    assert drawn.shape == (20, P + 1)
    assert np.any(drawn[:, 1:] == 0)
    rng = np.random.default_rng(np.asarray(jax.random.bits(jax.random.key(0), (2,), "uint32")))
    weights = np.bincount(rng.integers(0, N, N), minlength=N)
    first = sx.glm((X, COUNTS), family=sx.Poisson, penalty=(30.0, 1.0), weights=weights)
    np.testing.assert_allclose(drawn[0], first.theta, atol=1e-7)
    low, high = est.confidence_interval("x1", method="bootstrap", key=jax.random.key(1), resamples=20)
    assert low < est["x1"] < high or est["x1"] == 0


def test_a_fit_that_goes_nowhere_says_so():
    counts = RNG.poisson(2.0, 300).astype(float)
    counts[counts > 3] = 3  # less spread than Poisson's: the concentration grows without end
    with pytest.warns(NotAMaximumWarning, match="border of the domain of concentration"):
        est = sx.glm((X[:300], counts), family=sx.NegativeBinomial, penalty=(3.0, 0.0))
    assert not est.converged


def test_the_inner_minimum_meets_its_conditions():
    rng = np.random.default_rng(2)
    for p in (1, 5, 60):
        A = rng.normal(size=(p + 3, p))
        H, g = A.T @ A, 3 * rng.normal(size=p)
        l1 = rng.uniform(0, 3, p) * (rng.uniform(size=p) < 0.8)
        low, high = -rng.uniform(0, 2, p), np.where(rng.uniform(size=p) < 0.5, np.inf, rng.uniform(0, 1, p))
        b = least(H, g, l1, low, high, np.zeros(p))
        slope = H @ b + g
        assert np.max(violations(b, slope, l1, low, high)) < 1e-11

        def q(b, H=H, g=g, l1=l1):
            return 0.5 * b @ H @ b + g @ b + l1 @ np.abs(b)

        for _ in range(50):
            other = np.clip(b + 0.1 * rng.normal(size=p), low, high)
            assert q(other) >= q(b) - 1e-12


def test_prediction_and_null_deviance_are_those_of_the_coefficients():
    est = sx.glm((X, COUNTS), family=sx.Poisson, penalty=(10.0, 1.0))
    b = coefficients(est)
    np.testing.assert_allclose(est.predict(X), np.exp(b[0] + X @ b[1:]), rtol=1e-12)
    assert est.null_deviance == pytest.approx(sx.glm((X, COUNTS), family=sx.Poisson).null_deviance)
    assert 0 < est.r_squared < 1
    again = est.refit(fixed={"x0": 0.0})
    assert again["x0"] == 0
    assert again.penalty is est.penalty


@pytest.mark.parametrize("family", [sx.Normal, sx.Bernoulli, sx.Poisson])
def test_a_ridge_of_more_columns_than_rows(family):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(40, 100))
    eta = X[:, :3].sum(axis=1)
    y = {
        sx.Normal: eta + rng.normal(size=40),
        sx.Bernoulli: (eta > 0) * 1,
    }.get(family, rng.poisson(np.exp(0.5 * eta) * rng.gamma(1.0, 1.0, 40)))
    est = sx.glm((X, y), family=family, penalty=3.0)
    assert est.converged
    assert est.report.iterations <= 4
    slopes = (est.problem.scores(est._z)[:, :101].sum(axis=0)) * est.problem.dispersion(est._z)
    pull = np.append(0.0, 3.0 * est.theta[1:101])
    np.testing.assert_allclose(slopes, pull, atol=1e-6 * np.max(np.abs(pull)))
    assert 1.0 < est.free < 42.0
