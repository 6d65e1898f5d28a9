"""Closed forms, against SciPy and against their own draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st
from tests.infer.models import HEIGHTS, TOSSES, mean_of, tossing

import surprax as sx
from surprax.infer import ClosedForm, Image, Member, Posterior, closed
from surprax.infer.original import Original


def posterior_of(form, key=None, **options):
    return Posterior(form, Original(tossing, (TOSSES,)), method="exact", exact=True, key=key, shape=(2, 500), **options)


@pytest.fixture
def coin_form():
    return ClosedForm.independent(theta=sx.Beta(5.0, 8.0))


def test_members_are_their_distribution(coin_form):
    truth = st.beta(5, 8)
    assert coin_form.mean("theta") == pytest.approx(truth.mean(), rel=1e-12)
    assert coin_form.sd("theta") == pytest.approx(truth.std(), rel=1e-12)
    assert coin_form.quantile("theta", [0.03, 0.5, 0.97]) == pytest.approx(truth.ppf([0.03, 0.5, 0.97]), rel=1e-6)
    draws = coin_form.sample(jax.random.key(0), 4000)["theta"]
    assert draws.shape == (4000,)
    assert st.kstest(draws, truth.cdf).pvalue > 1e-3


def test_batches_are_sites_of_several_elements():
    form = ClosedForm.independent(mu=sx.Normal([2.0, 30.0], [1.0, 2.0]))
    truth = st.norm([2.0, 30.0], [1.0, 2.0])
    assert form.mean("mu") == pytest.approx(truth.mean())
    assert form.quantile("mu", [[0.1], [0.9]]).shape == (2, 1, 2)
    assert form.quantile("mu", 0.9) == pytest.approx(truth.ppf(0.9))
    assert form.sample(jax.random.key(0), 3)["mu"].shape == (3, 2)


@pytest.mark.parametrize(
    ("distribution", "elements"),
    [
        (sx.Dirichlet([1.0, 2.0, 5.0]), [st.beta(1, 7), st.beta(2, 6), st.beta(5, 3)]),
        (sx.MultivariateNormal([1.0, -1.0], [[4.0, 1.0], [1.0, 1.0]]), [st.norm(1, 2), st.norm(-1, 1)]),
        (
            sx.MultivariateStudentT(5.0, [1.0, -1.0], scale_tril=[[2.0, 0.0], [1.0, 1.0]]),
            [st.t(5, 1, 2), st.t(5, -1, 2**0.5)],
        ),
    ],
)
def test_components_of_vectors(distribution, elements):
    member = Member(distribution)
    assert member.mean() == pytest.approx([d.mean() for d in elements])
    assert member.sd() == pytest.approx([d.std() for d in elements])
    truth = np.array([d.ppf([0.1, 0.8]) for d in elements])
    twin = sx.to_scipy(closed._elementwise(distribution))
    ours = np.array([twin.ppf(0.1), twin.ppf(0.8)]).T
    assert ours == pytest.approx(truth)
    if isinstance(distribution, sx.MultivariateNormal):
        ours = member.quantile(np.array([0.1, 0.8])).T
        assert ours == pytest.approx(truth)


def test_components_that_are_not_known_are_refused():
    with pytest.raises(ValueError, match=r"not known for Wishart; ask for draws"):
        Member(sx.Wishart(5.0, np.eye(2))).quantile(np.array(0.5))


def test_jointly_normal_sites():
    covariance = np.array([[4.0, 1.0, 0.5], [1.0, 1.0, 0.0], [0.5, 0.0, 2.0]])
    form = ClosedForm.gaussian(sx.MultivariateNormal([1.0, 2.0, 3.0], covariance), {"a": (), "b": (2, 1)})
    assert form.mean("b").tolist() == [[2.0], [3.0]]
    assert form.sd("b") == pytest.approx(np.array([[1.0], [2.0**0.5]]))
    draws = form.sample(jax.random.key(0), 20_000)
    assert draws["b"].shape == (20_000, 2, 1)
    together = np.concatenate([draws["a"][:, None], draws["b"][..., 0]], axis=1)
    assert np.cov(together.T) == pytest.approx(covariance, abs=0.15)


def test_images_of_sites():
    truth = st.lognorm(0.5, scale=np.exp(1.0))
    form = ClosedForm.independent(x=sx.Normal(1.0, 0.5)).with_image("e", "x", jnp.exp)
    assert form.names == ("x", "e")
    assert form.mean("e") == pytest.approx(truth.mean(), rel=1e-9)
    assert form.sd("e") == pytest.approx(truth.std(), rel=1e-9)
    assert form.quantile("e", [0.1, 0.9]) == pytest.approx(truth.ppf([0.1, 0.9]))
    draws = form.sample(jax.random.key(0), 5)
    assert draws["e"] == pytest.approx(np.exp(draws["x"]))


def test_decreasing_images_and_moments_that_are_known():
    image = Image(Member(sx.Normal(1.0, 0.5)), lambda x: jnp.exp(-x), increasing=False)
    truth = st.lognorm(0.5, scale=np.exp(-1.0))
    assert image.mean() == pytest.approx(truth.mean(), rel=1e-9)
    assert image.quantile(np.array([0.2, 0.7])) == pytest.approx(truth.ppf([0.2, 0.7]))
    known = Image(image.base, image.function, increasing=False, known_mean=1.0, known_sd=2.0)
    assert (known.mean(), known.sd()) == (1.0, 2.0)


def test_moments_that_there_are_not_are_infinite():
    image = Image(Member(sx.Uniform(0.0, 1.0)), lambda u: 1.0 / u, increasing=False)
    assert image.mean() == np.inf
    assert not np.isfinite(image.sd())
    assert Image(image.base, jnp.square).mean() == pytest.approx(1 / 3)


def test_products_are_independent():
    form = ClosedForm.product(
        ClosedForm.independent(a=sx.Normal(0.0, 1.0)), ClosedForm.independent(b=sx.Normal(0.0, 1.0))
    )
    draws = form.sample(jax.random.key(0), 10_000)
    assert form.names == ("a", "b")
    assert abs(np.corrcoef(draws["a"], draws["b"])[0, 1]) < 0.05


def test_posteriors_in_closed_form(coin_form):
    posterior = posterior_of(coin_form, log_evidence=-5.5)
    assert posterior.exact
    assert repr(posterior).startswith("Posterior in closed form; log evidence -5.5 nats")
    assert posterior.summary()["theta"]["3%"] == pytest.approx(st.beta(5, 8).ppf(0.03), rel=1e-6)
    assert "ess_bulk" not in posterior.summary().columns
    assert posterior.sample(jax.random.key(0), 7)["theta"].shape == (7,)
    with pytest.raises(ValueError, match=r"made without a key .* post\.sample\(key, n\)"):
        _ = posterior.draws
    with pytest.raises(ValueError, match="A DataTree holds draws"):
        posterior.to_datatree()
    tree = posterior.to_datatree(key=jax.random.key(0), posterior_predictive=True)
    assert tree.posterior["theta"].shape == (2, 500)
    assert tree.posterior.attrs["exact"] == 1
    assert "sample_stats" not in tree.children
    assert tree.posterior_predictive["heads"].mean() == pytest.approx(5 / 13, abs=0.03)
    assert posterior.predict(key=jax.random.key(0))["heads"].shape == (1, 1000, 8)


def test_closed_forms_with_a_key_have_draws(coin_form):
    posterior = posterior_of(coin_form, key=jax.random.key(0))
    assert posterior["theta"].shape == (2, 500)
    assert posterior["theta"] is posterior["theta"]
    assert posterior.predict(key=jax.random.key(1))["heads"].shape == (2, 500, 8)
    assert posterior.predict(key=jax.random.key(1), num_samples=3)["heads"].shape == (1, 3, 8)
    assert posterior.to_datatree().posterior["theta"].values == pytest.approx(posterior["theta"])


def test_several_sites_at_once():
    form = ClosedForm.independent(mu=sx.Normal(0.0, 1.0), s=sx.Gamma(2.0, 1.0))
    posterior = Posterior(form, Original(mean_of, (HEIGHTS,)), method="exact", exact=True)
    assert set(posterior.mean()) == set(posterior.sd()) == {"mu", "s"}
    assert posterior.quantile([0.5], "mu") == pytest.approx(np.zeros(1), abs=1e-12)
