"""Coordinates of what the data know best: the same posterior, and round where the model's own are a thin sheet."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import surprax as sx
from surprax.infer.energy import Energy
from surprax.infer.recentring import recentrings

GROUPS = 6


def schools(group, y, noise=1.0):
    mu, tau = numpyro.sample("mu", dist.Normal(0.0, 5.0)), numpyro.sample("tau", dist.HalfNormal(2.0))
    with numpyro.plate("groups", GROUPS):
        z = numpyro.sample("z", dist.Normal(0.0, 1.0))
    sigma = numpyro.sample("sigma", dist.LogNormal(jnp.log(noise), 0.5))
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", dist.Normal((mu + tau * z)[group], sigma), obs=y)


def late(group, y):
    """The same, gathered before it is scaled."""
    mu, tau = numpyro.sample("mu", dist.Normal(0.0, 5.0)), numpyro.sample("tau", dist.HalfNormal(2.0))
    with numpyro.plate("groups", GROUPS):
        z = numpyro.sample("z", dist.Normal(0.0, 1.0))
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", dist.Normal(mu + tau * z[group], 1.0), obs=y)


def data(rows):
    rng = np.random.default_rng(0)
    group = rng.integers(0, GROUPS, rows)
    return group, rng.normal(1.0, 1.0, GROUPS)[group] + rng.normal(0.0, 0.7, rows)


def test_many_rows_ask_for_it_and_few_do_not():
    (one,) = recentrings(sx.compress(schools, *data(5_000)))
    assert (one.latent, one.site) == ("z", "y")
    assert recentrings(sx.compress(schools, *data(120), noise=20.0)) == []


def test_the_energy_is_that_of_the_model_and_the_change_of_volume():
    """U(u) = U(z) + Σ log |s| with u = mu + tau z."""
    fast = sx.compress(schools, *data(5_000))
    plain, own = Energy(fast, float64=True), Energy(fast, float64=True, chosen=recentrings(fast))
    rng = np.random.default_rng(1)
    with own.scope():
        for _ in range(3):
            z = rng.normal(0.0, 0.5, plain.size)
            free = {name: np.asarray(v) for name, v in plain.unravel(jnp.asarray(z)).items()}
            tau = np.exp(free["tau"])
            moved = np.concatenate([np.ravel(free["mu"] + tau * v if name == "z" else v) for name, v in free.items()])
            expected = plain.at(z[None])[0] + GROUPS * np.log(tau)
            np.testing.assert_allclose(own.at(moved[None])[0], expected, rtol=1e-10)
            np.testing.assert_allclose(own.values(moved[None])["z"][0], free["z"], rtol=1e-9)


@pytest.mark.parametrize("model", [schools, late])
def test_a_thin_sheet_is_sampled_well(model):
    """Against the posterior of groups' means, which is nearly normal: no warning (they are errors here), and the right spread."""
    group, y = data(50_000)
    post = sx.infer(
        model, group, y, key=jax.random.key(0), num_samples=400, num_warmup=400, progress=False, method="nuts"
    )
    draws = {name: np.asarray(v).reshape(-1, *v.shape[2:]) for name, v in post.draws.items()}
    means = draws["mu"][:, None] + draws["tau"][:, None] * draws["z"]
    sigma = draws["sigma"].mean() if "sigma" in draws else 1.0
    count = np.bincount(group)
    se = sigma / np.sqrt(count)
    np.testing.assert_allclose(means.mean(axis=0), np.bincount(group, y) / count, atol=0.15 * se.min())
    np.testing.assert_allclose(means.std(axis=0), se, rtol=0.1)
