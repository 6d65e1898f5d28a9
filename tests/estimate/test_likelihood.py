"""Families and NumPyro models: against closed forms and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats as st

import surprax as sx
from surprax.estimate import NotAMaximumWarning, map_estimate, mle

RNG = np.random.default_rng(0)


def test_errors_of_a_normal_have_closed_forms():
    x = RNG.normal(3.0, 2.0, 80)
    est = mle(sx.Normal, x)
    assert est.converged
    errors = {"loc": x.std() / np.sqrt(80), "scale": x.std() / np.sqrt(160)}
    for kind in ("observed", "expected"):
        assert est.standard_errors(kind) == {name: pytest.approx(v, rel=1e-7) for name, v in errors.items()}
    gaps = x - x.mean()
    sandwich = np.sqrt(np.mean(gaps**2) / 80)
    assert est.standard_errors("sandwich")["loc"] == pytest.approx(sandwich, rel=1e-7)
    assert est.log_likelihood == pytest.approx(st.norm.logpdf(x, x.mean(), x.std()).sum())
    assert est.nobs == 80
    assert est.aicc == pytest.approx(est.aic + 12 / 77)
    assert est.distribution.loc == pytest.approx(x.mean())
    assert est.surprise("bit") == pytest.approx(-est.log_likelihood / np.log(2))


def at_length(*values):
    """A family that is tried in thorough runs only: a table is made alike of all."""
    return pytest.param(*values, marks=pytest.mark.thorough)


@pytest.mark.parametrize(
    ("family", "x"),
    [
        (sx.Gamma, RNG.gamma(3.0, 2.0, 60)),
        at_length(sx.Beta, RNG.beta(2.0, 5.0, 60)),
        at_length(sx.InverseGaussian, RNG.wald(2.0, 3.0, 60)),
        (sx.NegativeBinomial, RNG.negative_binomial(3, 0.3, 60)),
        (sx.Weibull, RNG.weibull(2.0, 60)),
        at_length(sx.StudentT, RNG.standard_t(4.0, 300)),
        at_length(sx.VonMises, RNG.vonmises(0.5, 2.0, 60)),
        (sx.Bernoulli, RNG.integers(0, 2, 60)),
        at_length(sx.Geometric, RNG.geometric(0.3, 60) - 1),
        (sx.MultivariateNormal, RNG.normal(size=(40, 2))),
    ],
    ids=lambda v: getattr(v, "__name__", "x"),
)
def test_families_have_a_table(family, x):
    est = mle(family, x)
    assert est.converged
    assert est.log_likelihood == pytest.approx(float(np.sum(np.asarray(family.fit(x).log_prob(x), float))), rel=1e-5)
    assert np.all(np.isfinite(est.covariance()))
    twice = mle(family, x, weights=np.full(len(x), 2.0))
    np.testing.assert_allclose(twice.covariance(), est.covariance() / 2, rtol=1e-5, atol=1e-9)
    if hasattr(family, "evidence") and family not in (sx.Weibull,):
        told = mle(family, family.evidence(x)) if family is not sx.NegativeBinomial else est
        np.testing.assert_allclose(told.covariance(), est.covariance(), rtol=1e-5, atol=1e-10)


def test_a_profile_of_a_poisson_rate():
    est = mle(sx.Poisson, [3, 1, 4, 1, 5, 9, 2, 6])
    low, high = est.confidence_interval("rate", method="profile")

    def gap(rate):
        return 2 * 8 * (3.875 * np.log(3.875 / rate) - 3.875 + rate)

    np.testing.assert_allclose([gap(low), gap(high)], st.chi2.ppf(0.95, 1), rtol=1e-7)


def test_a_profile_that_the_data_do_not_bound_has_an_infinite_end():
    x = np.random.default_rng(3).normal(size=40)  # a normal is the limit of Student's distributions
    est = mle(sx.StudentT, np.r_[x, 4.5])
    assert est.confidence_interval("df", level=0.999, method="profile")[1] > 1e3


def model(x, group, y=None):
    a = numpyro.sample("a", dist.Normal(0.0, 5.0))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    s = numpyro.sample("s", dist.HalfNormal(2.0))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("y", dist.Normal(a + b * x, s), obs=y)


def test_a_model_without_its_prior_is_least_squares():
    x = RNG.normal(size=500)
    y = 1.0 + 2.0 * x + RNG.normal(size=500)
    est = mle(model, x, None, y)
    design = np.column_stack([np.ones(500), x])
    b, rss, *_ = np.linalg.lstsq(design, y)
    s = np.sqrt(rss[0] / 500)
    np.testing.assert_allclose([est["a"], est["b"], est["s"]], [*b, s], rtol=1e-7)
    errors = s * np.sqrt(np.diag(np.linalg.inv(design.T @ design)))
    np.testing.assert_allclose([est.standard_errors()[n] for n in "ab"], errors, rtol=1e-6)
    assert est.nobs == 500
    residuals = y - design @ b
    bread = np.linalg.inv(design.T @ design)
    sandwich = np.sqrt(np.diag(bread @ (design.T @ (design * (residuals**2)[:, None])) @ bread))
    np.testing.assert_allclose([est.standard_errors("sandwich")[n] for n in "ab"], sandwich, rtol=1e-3)
    posterior = map_estimate(model, x, None, y)
    assert posterior["b"] < est["b"]
    assert posterior.kind == "maximum a posteriori"


def test_a_mode_of_a_conjugate_posterior():
    def rates(y):
        rate = numpyro.sample("rate", dist.Gamma(3.0, 1.0))
        with numpyro.plate("rows", len(y)):
            numpyro.sample("y", dist.Poisson(rate), obs=y)

    y = np.array([4, 6, 1])
    assert map_estimate(rates, y)["rate"] == pytest.approx((3 + 11 - 1) / (1 + 3), rel=1e-9)
    assert mle(rates, y)["rate"] == pytest.approx(11 / 3, rel=1e-9)


def test_parameters_of_a_model_and_simplices():
    def mixed(y):
        scale = numpyro.param("scale", 1.0, constraint=dist.constraints.positive)
        w = numpyro.sample("w", dist.Dirichlet(jnp.ones(3)))
        numpyro.sample("c", dist.Multinomial(10, w), obs=jnp.array([5, 3, 2]))
        with numpyro.plate("rows", len(y)):
            numpyro.sample("y", dist.Exponential(1 / scale), obs=y)

    y = np.array([1.0, 2.0, 6.0])
    est = mle(mixed, y)
    assert est["scale"] == pytest.approx(3.0, rel=1e-8)
    np.testing.assert_allclose(est["w"], [0.5, 0.3, 0.2], atol=1e-7)
    np.testing.assert_allclose(est.standard_errors()["w"], np.sqrt(np.array([0.25, 0.21, 0.16]) / 10), rtol=1e-5)
    with pytest.raises(ValueError, match="several free numbers"):
        est.confidence_interval("w[0]", method="profile")


def test_effects_that_cannot_be_told_from_their_mean():
    def effects(g, y):
        a = numpyro.sample("a", dist.Normal(0.0, 5.0))
        with numpyro.plate("groups", 2):
            z = numpyro.sample("z", dist.Normal(0.0, 1.0))
        with numpyro.plate("rows", len(y)):
            numpyro.sample("y", dist.Poisson(jnp.exp(a + z[g])), obs=y)

    g, y = np.arange(200) % 2, RNG.poisson(3.0, 200)
    with pytest.warns(NotAMaximumWarning, match=r"mixes a, z\[0\] and z\[1\]"):
        est = mle(effects, g, y)
    assert not est.converged
    assert mle(effects, g, y, fixed={"a": 0.0}).converged
    assert map_estimate(effects, g, y).converged


def test_bad_input_is_refused_in_words():
    def coin(y):
        k = numpyro.sample("k", dist.Bernoulli(0.5))
        numpyro.sample("y", dist.Normal(k, 1.0), obs=y)

    for make, error, words in (
        (lambda: mle(coin, 1.0), ValueError, "'k' is BernoulliProbs, which is discrete"),
        (lambda: mle(lambda: numpyro.sample("y", dist.Normal(), obs=1.0)), ValueError, "nothing to fit"),
        (lambda: mle(3.0), TypeError, "got 3.0"),
        (lambda: mle(sx.Normal(0.0, 1.0), [1.0]), TypeError, "pass its family, Normal"),
        (lambda: mle(sx.Normal, [1.0, 1.0]), ValueError, "no maximum"),
        (lambda: mle(sx.Normal), TypeError, "got 0 arguments"),
        (lambda: mle(sx.Categorical, [0, 1, 2]), ValueError, "Categorical.fit gives the maximum alone"),
        (
            lambda: mle(model, np.ones(3), None, np.ones(3), weights=np.ones(3)),
            TypeError,
            "Weights belong into the model",
        ),
        (lambda: mle(model, np.ones(3), None, np.ones(3), init={"c": 1.0}), KeyError, "got a start for 'c'"),
    ):
        with pytest.raises(error, match=words):
            make()


def test_it_works_in_float32_and_leaves_the_setting_alone():
    assert not jax.config.jax_enable_x64
    assert isinstance(mle(sx.Poisson, [1, 2, 3])["rate"], np.float64)
    assert not jax.config.jax_enable_x64
