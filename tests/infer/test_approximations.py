"""Laplace, SVI and the mode, against posteriors in closed form."""

import functools
import warnings

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats as st
from tests.infer.models import HEIGHTS, TOSSES, X, Y, mean_of, posterior_of_mean, regression, wide

from surprax.infer import InferenceWarning, infer
from surprax.infer.svi import has_settled


@pytest.mark.parametrize("method", ["laplace", "svi"])
def test_normal_posteriors_are_met(method):
    mean, sd = posterior_of_mean(HEIGHTS)
    posterior = infer(mean_of, HEIGHTS, method=method, key=jax.random.key(0))
    assert posterior.mean("mu") == pytest.approx(mean, abs=0.1 * sd)
    assert posterior.sd("mu") == pytest.approx(sd, rel=0.05)
    assert posterior["mu"].shape == (4, 1000)
    assert (posterior.method, posterior.exact, posterior.warnings, posterior.log_evidence) == (method, False, (), None)
    fresh = posterior.sample(jax.random.key(1), 5000)["mu"]
    assert fresh.std() == pytest.approx(sd, rel=0.05)
    assert set(posterior.statistics) == {"lp", "log_g"}


def test_laplace_is_normal_in_the_free_numbers(coin):
    # Beta(2 + 3, 3 + 5) in z = logit θ: mode at θ = 5/13, where −d²/dz² log density = 13 θ (1 − θ).
    theta = 5 / 13
    z = np.log(coin["theta"] / (1 - coin["theta"]))
    assert z.mean() == pytest.approx(np.log(theta / (1 - theta)), abs=0.03)
    assert z.std() == pytest.approx((13 * theta * (1 - theta)) ** -0.5, rel=0.05)
    assert np.sum(TOSSES) == 3


def test_modes_are_those_of_the_density_of_the_sites():
    from tests.infer.models import tossing

    posterior = infer(tossing, TOSSES, method="map")  # needs no key
    assert posterior.mean("theta") == pytest.approx(4 / 11, abs=1e-3)  # Beta(5, 8): (5 − 1)/(13 − 2)
    assert posterior["theta"].shape == (1, 1)
    assert repr(posterior).startswith("Mode of the posterior density")
    for ask in (lambda: posterior.sd("theta"), lambda: posterior.quantile(0.5, "theta")):
        with pytest.raises(ValueError, match="says nothing about spread"):
            ask()
    with pytest.raises(ValueError, match="says nothing about spread"):
        posterior.sample(jax.random.key(0), 3)


def test_mode_of_a_regression_is_ridge_regression():
    posterior = infer(functools.partial(regression_of_known_scale), X, Y, method="map")
    ridge = np.linalg.solve(X.T @ X + np.eye(2), X.T @ Y)
    assert posterior.mean("b") == pytest.approx(ridge, abs=1e-4)
    assert posterior.mean("total") == pytest.approx(ridge.sum(), abs=1e-4)


def regression_of_known_scale(x, y):
    b = numpyro.sample("b", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    numpyro.deterministic("total", b.sum())
    with numpyro.plate("row", x.shape[0]):
        numpyro.sample("y", dist.Normal(x @ b, 1.0), obs=y)


def test_laplace_and_svi_of_correlated_numbers():
    precision = X.T @ X + np.eye(2)
    mean, covariance = np.linalg.solve(precision, X.T @ Y), np.linalg.inv(precision)
    for method in ("laplace", "svi"):
        b = infer(regression_of_known_scale, X, Y, method=method, key=jax.random.key(0))["b"].reshape(-1, 2)
        assert b.mean(axis=0) == pytest.approx(mean, abs=0.02)
        assert np.cov(b.T) == pytest.approx(covariance, rel=0.15, abs=1e-3)


@pytest.mark.parametrize("method", ["laplace", "svi"])
def test_many_free_numbers(method):
    posterior = infer(wide, 210, method=method, key=jax.random.key(0), num_chains=1, num_samples=2000)
    scale = np.exp(np.linspace(-4.0, 4.0, 210))
    assert posterior.sd("x")[2:] == pytest.approx(scale[2:], rel=0.15)


def test_poor_approximations_are_told():
    def heavy():
        numpyro.sample("x", dist.StudentT(3.0, 0.0, 1.0).expand([8]).to_event(1))

    with pytest.warns(InferenceWarning, match=r'Pareto k of [\d.]+ .* use method="nuts"'):
        posterior = infer(heavy, method="laplace", key=jax.random.key(0))
    assert posterior.pareto_k > 0.7
    assert posterior.warnings[0] in repr(posterior)


def test_no_mode_is_told():
    def rising():
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.factor("rise", 0.5 * x**2 + x)

    for method, message in (("laplace", "mode was not found"), ("map", "did not settle")):
        with pytest.warns(InferenceWarning) as told:
            infer(rising, method=method, key=jax.random.key(0), num_samples=50)
        assert any(message in str(w.message) for w in told)


def test_settled_bounds():
    rng = np.random.default_rng(0)
    assert has_settled(3.0 + rng.normal(size=500))
    assert not has_settled(3.0 - 0.05 * np.arange(500) + rng.normal(size=500))
    assert not has_settled(np.r_[np.ones(99), np.nan])


def test_what_does_not_settle_is_told(monkeypatch):
    from surprax.infer import svi

    monkeypatch.setattr(svi, "has_settled", lambda losses: False)
    with pytest.warns(InferenceWarning, match="has not settled in 5,000 steps"):
        infer(mean_of, HEIGHTS, method="svi", key=jax.random.key(0))


def test_too_many_for_a_hessian(monkeypatch):
    from surprax.infer import laplace

    monkeypatch.setattr(laplace, "_LARGEST_HESSIAN", 3)
    with pytest.raises(ValueError, match=r'up to 3; this model has 4\. Use method="svi"'):
        infer(regression, X, Y, method="laplace", key=jax.random.key(0))


def test_scores_of_draws_are_kept(coin):
    # lp is the log joint of the free number, log_g that of the approximation, up to a constant.
    theta = coin["theta"].astype(np.float64)
    joint = st.beta(2, 3).logpdf(theta) + 3 * np.log(theta) + 5 * np.log1p(-theta) + np.log(theta * (1 - theta))
    assert coin.statistics["lp"] == pytest.approx(joint, abs=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.var(coin.statistics["lp"] - coin.statistics["log_g"]) < 0.1


def test_a_search_that_runs_off_says_so_and_nothing_else():
    """The joint mode of groups and their scale is where that is 0; on the way there, numbers overflow."""

    def model(group, y):
        mu, tau = numpyro.sample("mu", dist.Normal(0.0, 5.0)), numpyro.sample("tau", dist.HalfNormal(2.0))
        s, a = numpyro.sample("s", dist.HalfNormal(2.0)), numpyro.sample("a", dist.Normal(mu, tau).expand([5]))
        numpyro.sample("y", dist.Normal(a[group], s), obs=y)

    rng = np.random.default_rng(0)
    with pytest.warns(InferenceWarning) as told:
        infer(model, rng.integers(0, 5, 200), rng.normal(3.0, 2.0, 200), method="laplace", key=jax.random.key(0))
    assert {warning.category for warning in told} == {InferenceWarning}
    assert "The mode was not found" in str(told[0].message)
