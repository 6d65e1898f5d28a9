"""Any log-density: against statsmodels, SciPy and brute force."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize as so
import scipy.stats as st
import statsmodels.api as sm

from surprax.estimate import NotAMaximumWarning, climbs, maximize

RNG = np.random.default_rng(0)
X = np.column_stack([np.ones(200), RNG.normal(size=(200, 2))])
Y = (RNG.uniform(size=200) < 1 / (1 + np.exp(-X @ [0.3, 1.0, -0.7]))).astype(float)
GROUP = np.arange(200) // 10
COUNTS = RNG.poisson(np.exp(0.5 + 0.4 * X[:, 1]))


def logit(params, x, y):
    eta = x @ params["b"]
    return y * eta - jnp.logaddexp(0.0, eta)


def poisson(params, x, y):
    eta = x @ params["b"]
    return y * eta - jnp.exp(eta) - jax.scipy.special.gammaln(y + 1.0)


@pytest.fixture(scope="module")
def fit():
    return maximize(logit, {"b": np.zeros(3)}, X, Y)


@pytest.mark.parametrize(("model", "y", "peer"), [(logit, Y, sm.Logit), (poisson, COUNTS, sm.Poisson)])
def test_estimates_and_errors_are_those_of_statsmodels(model, y, peer):
    est = maximize(model, {"b": np.zeros(3)}, X, y)
    theirs = peer(y, X).fit(disp=0, tol=1e-12)
    assert est.converged
    np.testing.assert_allclose(est["b"], theirs.params, rtol=1e-7)
    np.testing.assert_allclose(est.standard_errors()["b"], theirs.bse, rtol=1e-6)
    np.testing.assert_allclose(est.log_likelihood, theirs.llf, rtol=1e-10)
    np.testing.assert_allclose([est.aic, est.bic], [theirs.aic, theirs.bic], rtol=1e-9)
    robust = peer(y, X).fit(disp=0, tol=1e-12, cov_type="HC0")
    np.testing.assert_allclose(est.standard_errors("sandwich")["b"], robust.bse, rtol=1e-6)
    options = {"groups": GROUP, "use_correction": False}
    by_cluster = peer(y, X).fit(disp=0, tol=1e-12, cov_type="cluster", cov_kwds=options)
    np.testing.assert_allclose(est.standard_errors("cluster", GROUP)["b"], by_cluster.bse * np.sqrt(20 / 19), rtol=1e-6)
    low, high = np.array(list(est.confidence_interval().values())).T
    np.testing.assert_allclose(np.column_stack([low, high]), theirs.conf_int(), rtol=1e-6)


def test_profiles_are_those_of_brute_force(fit):
    def least(value):
        def surprise(rest):
            eta = X @ [value, *rest]
            return -np.sum(Y * eta - np.logaddexp(0, eta))

        return so.minimize(surprise, fit["b"][1:], method="BFGS", options={"gtol": 1e-9}).fun

    low, high = fit.confidence_interval("b[0]", method="profile")
    goal = -fit.log_likelihood + 0.5 * st.chi2.ppf(0.95, 1)
    for end, other in ((low, fit["b"][0] - 2.0), (high, fit["b"][0] + 2.0)):
        exact = so.brentq(lambda v: least(v) - goal, fit["b"][0], other, xtol=1e-9)
        assert end == pytest.approx(exact, abs=1e-6)
    assert fit.confidence_interval("b[0]", method="likelihood-ratio") == (low, high)
    profile = fit.profile("b[0]", [low, fit["b"][0], high])
    np.testing.assert_allclose(profile.signed_root, [1.959964, 0.0, -1.959964], atol=1e-5)
    curve = fit.compatibility("b[0]", [low, fit["b"][0], high])
    np.testing.assert_allclose(curve.bits, [4.321928, 0.0, 4.321928], atol=1e-4)


def test_a_score_interval_holds_what_a_score_test_does_not_reject(fit):
    low, high = fit.confidence_interval("b[1]", method="score")
    for end in (low, high):
        held = maximize(
            lambda p, x, y, end=end: logit({"b": jnp.stack([p["a"], end, p["c"]])}, x, y), {"a": 0.0, "c": 0.0}, X, Y
        )
        b = np.array([held["a"], end, held["c"]])
        p = 1 / (1 + np.exp(-X @ b))
        slope, information = X.T @ (Y - p), X.T @ (X * (p * (1 - p))[:, None])
        assert slope @ np.linalg.solve(information, slope) == pytest.approx(st.chi2.ppf(0.95, 1), rel=1e-5)


def test_tests_of_hypotheses(fit):
    theirs = sm.Logit(Y, X).fit(disp=0, tol=1e-12)
    wald = theirs.wald_test(np.eye(3)[1:], scalar=True)
    ours = fit.wald_test({"b[1]": 0.0, "b[2]": 0.0})
    np.testing.assert_allclose([ours.statistic, ours.p_value], [wald.statistic, wald.pvalue], rtol=1e-6)
    np.testing.assert_allclose(fit.wald_test(np.eye(3)[1:]).statistic, ours.statistic)
    small = maximize(logit, {"b": np.zeros(1)}, X[:, :1], Y)
    ratio = fit.likelihood_ratio_test(small)
    assert ratio.statistic == pytest.approx(theirs.llr, rel=1e-8)
    assert ratio.df == 2
    assert ratio.s_value == pytest.approx(-np.log2(theirs.llr_pvalue), rel=1e-6)
    with pytest.raises(ValueError, match="both have 3 fitted numbers"):
        fit.likelihood_ratio_test(fit)


def test_bounds_fixed_and_tied():
    x = np.array([1.2, 0.7, 3.1, 2.2, 0.9])

    def normal(p, x):
        return -0.5 * ((x - p["m"]) / p["s"]) ** 2 - jnp.log(p["s"]) - 0.5 * np.log(2 * np.pi)

    bounds = {"s": (0.0, None)}
    both = maximize(normal, {"m": 0.0, "s": 1.0}, x, bounds=bounds)
    np.testing.assert_allclose([both["m"], both["s"]], [x.mean(), x.std()], rtol=1e-9)
    held = maximize(normal, {"m": 0.0, "s": 1.0}, x, bounds=bounds, fixed={"s": 2.0})
    assert held.standard_errors() == {"m": pytest.approx(2.0 / np.sqrt(5)), "s": 0.0}
    assert held.free == 1
    assert "Held: s." in str(held.summary())
    alike = maximize(normal, {"m": 1.0, "s": 1.0}, x, bounds={"m": (0.0, None), "s": (0.0, None)}, tied=[("m", "s")])
    assert alike["m"] == alike["s"]
    assert alike.log_likelihood < both.log_likelihood
    assert both.refit(fixed={"m": 1.0}).likelihood_ratio_test(both).df == 1
    with pytest.warns(NotAMaximumWarning, match="towards the border of the domain of m"):
        near = maximize(normal, {"m": 1.4, "s": 1.0}, x, bounds={"m": (1.0, 1.5), "s": (0.0, None)}, fixed={"s": 1.0})
    assert 1.49 < near["m"] <= 1.5
    np.testing.assert_allclose(
        held.confidence_interval("m", method="profile"), held.confidence_interval("m"), atol=1e-7
    )


def test_nested_parameters_have_dotted_names():
    def model(p, x):
        return -jnp.sum((x - p["a"]["low"]) ** 2 + (x - p["b"]) ** 2)

    est = maximize(model, {"a": {"low": 1.0}, "b": 2.0}, np.array([1.0, 3.0]))
    assert set(est.params) == {"a.low", "b"}
    assert est["a.low"] == pytest.approx(2.0)
    with pytest.raises(ValueError, match="not known"):
        _ = est.bic
    with pytest.raises(ValueError, match="one number per row"):
        est.covariance("sandwich")


def test_a_flat_direction_is_named_and_has_no_errors():
    def sums(p, x):
        return -((x - p["a"] - p["b"]) ** 2)

    with pytest.warns(NotAMaximumWarning, match="flat along a direction that mixes a and b"):
        est = maximize(sums, {"a": 0.0, "b": 0.0}, np.array([1.0, 2.0]))
    assert not est.converged
    assert est.report.flat == ("a", "b")
    with pytest.raises(ValueError, match="cannot be told apart"):
        est.standard_errors()
    assert "Not a maximum" in str(est.summary())


def test_likelihoods_without_end_are_no_maxima():
    separable = (X[:, 1] > 0).astype(float)
    with pytest.warns(NotAMaximumWarning):
        est = maximize(logit, {"b": np.zeros(3)}, X, separable)
    assert not est.converged


def test_several_starts_find_the_higher_maximum():
    def two(p):
        return jnp.logaddexp(-50.0 * (p["t"] + 2) ** 2, 1.0 - 50.0 * (p["t"] - 2) ** 2)

    assert maximize(two, {"t": -2.3})["t"] == pytest.approx(-2.0)
    assert maximize(two, {"t": -2.3}, starts=8, key=jax.random.key(1))["t"] == pytest.approx(2.0)


def test_optimisers_of_optax_and_minibatches(fit):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotAMaximumWarning)
        whole = maximize(logit, {"b": np.zeros(3)}, X, Y, optimizer=optax.adam(0.1), steps=600)
        some = maximize(
            logit,
            {"b": np.zeros(3)},
            X,
            Y,
            optimizer=optax.adam(optax.exponential_decay(0.05, 100, 0.5)),
            steps=800,
            batch_size=20,
            key=jax.random.key(0),
        )
    np.testing.assert_allclose(whole["b"], fit["b"], atol=1e-4)
    np.testing.assert_allclose(some["b"], fit["b"], atol=0.15)
    assert "Optax" in str(whole.report)


def test_a_bootstrap_agrees_with_the_sandwich(fit):
    drawn = fit.bootstrap(jax.random.key(3), 300)
    np.testing.assert_allclose(drawn.std(axis=0), fit.standard_errors("sandwich")["b"], rtol=0.2)
    low, high = fit.confidence_interval("b[1]", method="bootstrap", key=jax.random.key(3), resamples=300)
    np.testing.assert_allclose([low, high], np.quantile(drawn[:, 1], [0.025, 0.975]))


def test_draws_for_arviz(fit):
    tree = fit.to_datatree(jax.random.key(0), 2000, 2)
    drawn = tree["posterior"]["b"].values.reshape(-1, 3)
    np.testing.assert_allclose(np.cov(drawn.T), fit.covariance(), atol=0.15 * np.max(fit.covariance()))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: maximize(logit, {}, X, Y), ValueError, "init has no parameters"),
        (lambda: maximize(logit, {"b": np.zeros(3)}, X, Y, bounds={"c": (0, 1)}), KeyError, "got bounds for 'c'"),
        (lambda: maximize(logit, {"b": np.zeros(3)}, X, Y, bounds={"b": (0.0, 1.0)}), ValueError, "between 0 and 1"),
        (lambda: maximize(logit, {"b": np.zeros(3)}, X, Y, fixed={"c": 1.0}), KeyError, "got 'c'"),
        (lambda: maximize(logit, {"b": np.full(3, np.nan)}, X, Y), ValueError, "nan"),
        (lambda: maximize(logit, {"b": np.zeros(3)}, X, Y, starts=3), ValueError, "pass a key"),
        (lambda: maximize(lambda p: jnp.ones((2, 2)), {"b": 1.0}), ValueError, "has shape"),
        (lambda: maximize(lambda p: jnp.log(p["a"]), {"a": -1.0}), ValueError, "nan at the start, a=-1"),
    ],
)
def test_bad_input_is_refused_in_words(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_questions_that_have_no_answer_are_refused_in_words(fit):
    for ask, error, words in (
        (lambda: fit.confidence_interval("c"), KeyError, "got 'c'"),
        (lambda: fit.confidence_interval("b[0]", 1.5), ValueError, "between 0 and 1; got 1.5"),
        (lambda: fit.confidence_interval("b[0]", method="magic"), ValueError, "method='magic'"),
        (lambda: fit.confidence_interval("b[0]", method="bootstrap"), ValueError, "pass a key"),
        (lambda: fit.covariance("robust"), ValueError, "got 'robust'"),
        (lambda: fit.covariance("expected"), ValueError, "known for families"),
        (lambda: fit.covariance("cluster"), ValueError, "labels of clusters"),
        (lambda: fit.covariance("cluster", [1, 2]), ValueError, "each of 200 rows"),
        (lambda: fit.covariance("cluster", np.ones(200)), ValueError, "at least two"),
        (lambda: fit.wald_test({}), ValueError, "got none"),
        (lambda: fit.wald_test(np.eye(2)), ValueError, "a column for each of 3"),
    ):
        with pytest.raises(error, match=words):
            ask()


def test_a_compatibility_curve_is_drawn(fit, tmp_path):
    from surprax.plots import save_figure

    figure = fit.compatibility("b[1]").plot()
    save_figure(figure, tmp_path / "curve.png")
    (axes,) = figure.axes
    assert axes.get_xlabel() == "b[1]"
    assert "bits" in axes.get_ylabel()


def test_long_climbs_show_a_bar(monkeypatch, capsys):
    def bowl(params):
        return -jnp.sum(jnp.cosh(params["x"]))

    monkeypatch.setattr(climbs, "PATIENCE", 1e3)  # of machines that have other work too
    for optimizer in (None, optax.adam(0.1)):
        maximize(bowl, {"x": np.ones(3)}, optimizer=optimizer, steps=300, progress=True)
        assert not capsys.readouterr().err
    monkeypatch.setattr(climbs, "PATIENCE", -1.0)
    maximize(bowl, {"x": np.ones(3)}, progress=True, title="a bowl")
    assert "a bowl: L-BFGS" in capsys.readouterr().err
    maximize(bowl, {"x": np.ones(3)}, optimizer=optax.adam(0.1), steps=300, progress=True, title="a bowl")
    assert "a bowl: 300 steps" in capsys.readouterr().err
    maximize(bowl, {"x": np.ones(3)}, progress=False)
    assert not capsys.readouterr().err
