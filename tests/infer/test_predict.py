"""Predictions, against what they are made of."""

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from tests.infer.models import EFFECTS, ERRORS, HEIGHTS, X, Y, posterior_of_mean

from surprax.infer import blocks, infer


def test_new_rows(lines):
    new = np.array([[0.0, 0.0], [5.0, 1.0], [-2.0, 3.0]])
    predicted = lines.predict(new, key=jax.random.key(0))
    assert set(predicted) == {"y"}
    assert predicted["y"].shape == (4, 1000, 3)
    m = lines["a"][..., None] + lines["b"] @ new.T
    noise = (predicted["y"] - m) / lines["s"][..., None]
    assert noise.mean(axis=(0, 1)) == pytest.approx(np.zeros(3), abs=0.06)
    assert noise.std(axis=(0, 1)) == pytest.approx(np.ones(3), abs=0.05)


def test_the_same_rows_again(lines):
    predicted = lines.predict(key=jax.random.key(0), return_sites=["m", "y"])
    assert predicted["m"] == pytest.approx(lines["a"][..., None] + lines["b"] @ X.T, abs=1e-5)
    assert predicted["y"].shape == (4, 1000, 30)
    assert not np.any(predicted["y"] == Y.astype(np.float32))
    noise = (predicted["y"] - predicted["m"]) / lines["s"][..., None]
    assert noise.std() == pytest.approx(1.0, abs=0.01)
    assert np.std(noise[:, :, 0] - noise[:, :, 1]) == pytest.approx(2.0**0.5, abs=0.1)


def test_posterior_predictive_of_a_conjugate_model(heights):
    mean, sd = posterior_of_mean(HEIGHTS)
    predicted = heights.predict(key=jax.random.key(0))["y"]
    assert predicted.mean() == pytest.approx(mean, abs=0.01)
    assert predicted.std() == pytest.approx(np.hypot(sd, 0.1), rel=0.02)


def test_a_point_predicts_too():
    posterior = infer(regression_with_y_needed, X, Y, method="map")
    assert posterior.predict(key=jax.random.key(0))["y"].shape == (1, 1000, 30)
    assert posterior.predict(X[:2], None, key=jax.random.key(0), num_samples=5)["y"].shape == (1, 5, 2)


def regression_with_y_needed(x, y):
    b = numpyro.sample("b", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    with numpyro.plate("row", x.shape[0]):
        numpyro.sample("y", dist.Normal(x @ b, 1.0), obs=y)


def test_predictions_do_not_depend_on_the_blocks(lines, monkeypatch):
    whole = lines.predict(X[:3], key=jax.random.key(5))["y"]
    monkeypatch.setattr(blocks, "_ELEMENTS", 3 * 300)
    assert blocks.block_size(4000, 3) == 256
    assert lines.predict(X[:3], key=jax.random.key(5))["y"] == pytest.approx(whole, abs=1e-5)
    assert not np.array_equal(lines.predict(X[:3], key=jax.random.key(6))["y"], whole)


def test_latent_sites_that_are_new_come_from_the_prior(lines):
    def model(x, y=None):
        a = numpyro.sample("a", dist.Normal(0.0, 1.0))
        with numpyro.plate("row", x.shape[0]):
            extra = numpyro.sample("extra", dist.Normal(0.0, 3.0))
            numpyro.sample("y", dist.Normal(a + extra, 0.1), obs=y)

    from surprax.infer import Posterior
    from surprax.infer.forms import Draws
    from surprax.infer.original import Original

    posterior = Posterior(Draws({"a": lines["a"]}), Original(model, (X, Y)), method="nuts")
    predicted = posterior.predict(X[:2], key=jax.random.key(0), return_sites=["extra", "y"])
    assert predicted["extra"].std() == pytest.approx(3.0, rel=0.05)
    assert predicted["y"] - predicted["extra"] - lines["a"][..., None] == pytest.approx(0.0, abs=0.6)


def test_what_stays_observed_is_refused_with_the_argument_to_leave_out(lines):
    with pytest.raises(ValueError, match=r"the model observes 'y': pass y=None"):
        lines.predict(X, Y, key=jax.random.key(0))
    assert lines.predict(X, Y, key=jax.random.key(0), return_sites=["m"])["m"].shape == (4, 1000, 30)


def test_other_requests_are_refused_in_words(lines):
    with pytest.raises(ValueError, match="Prediction needs randomness"):
        lines.predict(X)
    with pytest.raises(ValueError, match="no site 'z'; it has: b, a, s, ratio"):
        lines.predict(X, key=jax.random.key(0), return_sites=["z"])


def test_observations_that_are_computed_from_data():
    def model(errors, effects=None):
        mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
        with numpyro.plate("school", len(errors)):
            numpyro.sample("z", dist.Normal(mu, 1.0), obs=None if effects is None else effects / errors)

    posterior = infer(model, ERRORS, EFFECTS, method="map")
    with pytest.raises(ValueError, match="'z': pass None in the place of its data"):
        posterior.predict(ERRORS, EFFECTS, key=jax.random.key(0))
    assert posterior.predict(ERRORS, key=jax.random.key(0))["z"].shape == (1, 1000, 8)
