"""What `infer` refuses, and in which words; and which method answers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from tests.infer.models import HEIGHTS, TOSSES, mean_of, tossing

from surprax.infer import infer, run
from surprax.infer.keys import as_key

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "mcmc"}, "'auto', 'exact', 'laplace', 'nuts', 'svi', 'map'; got 'mcmc'"),
        ({"method": "nuts"}, r'method="nuts" needs randomness, which comes only from you: pass key=jax\.random\.key'),
        ({"method": "laplace"}, "needs randomness"),
        ({"method": "svi"}, "needs randomness"),
        ({"key": 0}, r"A key is made by jax\.random\.key\(0\), or another seed; got 0"),
        ({"key": np.random.default_rng(0)}, "A key is made by"),
        ({"key": jax.random.split(jax.random.key(9), 3)}, r"a single key; got an array of keys of shape \(3,\)"),
        ({"key": KEY, "num_samples": 0}, "num_samples is a whole number, at least 1; got 0"),
        ({"key": KEY, "num_warmup": -1}, "num_warmup is a whole number, at least 0; got -1"),
        ({"key": KEY, "num_chains": 2.0}, "num_chains is a whole number, at least 1; got 2.0"),
        ({"key": KEY, "max_tree_depth": True}, "max_tree_depth is a whole number"),
        ({"key": KEY, "target_accept_prob": 80}, "target_accept_prob is between 0 and 1; got 80"),
    ],
)
def test_options_are_refused_in_words(options, message):
    with pytest.raises(ValueError, match=message):
        infer(mean_of, HEIGHTS, **options)


def test_a_model_is_a_function():
    with pytest.raises(ValueError, match="A model is a function"):
        infer("model", key=KEY)


def discrete(y):
    k = numpyro.sample("k", dist.Categorical(probs=np.array([0.5, 0.5])))
    numpyro.sample("y", dist.Normal(np.array([-1.0, 1.0])[0] * k, 1.0), obs=y)


def without_prior(y):
    mu = numpyro.param("mu", 0.0)
    s = numpyro.sample("s", dist.HalfNormal(1.0))
    numpyro.sample("y", dist.Normal(mu, s), obs=y)


def subsampled(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    with numpyro.plate("row", len(y), subsample_size=5) as rows:
        numpyro.sample("y", dist.Normal(mu, 1.0), obs=jnp.asarray(y)[rows])


def observed_only(y):
    numpyro.sample("y", dist.Normal(0.0, 1.0), obs=y)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (discrete, "'k' is discrete. Sum it out .* DiscreteHMCGibbs"),
        (without_prior, r"'mu' is a numpyro\.param, which has none"),
        (subsampled, "the plate 'row' draws 5 of 40 at random"),
        (observed_only, "the model has none among: y"),
    ],
)
def test_models_are_refused_in_words(model, message):
    from surprax.infer.sites import continuous_latents, read_sites

    with pytest.raises(ValueError, match=message):
        continuous_latents(read_sites(model, (HEIGHTS,), {}))


def test_discrete_latent_sites_are_refused_by_nuts():
    with pytest.raises(ValueError, match="'k' is discrete"):
        infer(discrete, HEIGHTS, method="nuts", key=KEY)


def test_auto_asks_for_a_closed_form_first(monkeypatch, coin):
    asked = []
    monkeypatch.setattr(run, "_exact", lambda task: asked.append(task) or coin)
    assert infer(tossing, TOSSES) is coin
    assert infer(tossing, TOSSES, method="exact") is coin
    assert len(asked) == 2
    assert asked[0].key is None


def test_auto_falls_back_to_nuts(monkeypatch):
    monkeypatch.setattr(run, "_exact", lambda task: "for a test.")
    assert infer(mean_of, HEIGHTS, key=KEY).method == "nuts"
    with pytest.raises(ValueError, match="without a closed form is sampled, which needs randomness"):
        infer(mean_of, HEIGHTS)
    with pytest.raises(ValueError, match=r'for a test\. Use method="nuts" for draws'):
        infer(mean_of, HEIGHTS, method="exact")


def test_options_and_arguments_of_the_same_name():
    def model(y, method):
        mu = numpyro.sample("mu", dist.Normal(0.0, method))
        numpyro.sample("y", dist.Normal(mu, 0.1), obs=y)

    posterior = infer(functools.partial(model, method=2.0), HEIGHTS, method="map")
    assert posterior.mean("mu") == pytest.approx(HEIGHTS.mean(), abs=1e-3)


def test_keys_of_both_styles_are_one():
    old, new = as_key(jax.random.PRNGKey(7)), as_key(jax.random.key(7))
    assert np.array_equal(jax.random.key_data(old), jax.random.key_data(new))
    assert as_key(jax.random.key(1, impl="rbg")).dtype == jax.random.key(1, impl="rbg").dtype


def test_the_plan_and_the_certificate_are_those_of_the_rewritten_model():
    many = np.random.default_rng(0).normal(1.7, 0.1, 5000)
    posterior = infer(mean_of, many, method="map")
    assert "5,000" in str(posterior.plan)
    assert posterior.certificate is not None
