"""Coordinates in units of what data and prior tell: the same posterior, and round however the model is written."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import surprax as sx
from surprax.infer.coordinates import Effect, Location
from surprax.infer.diagnostics import ess
from surprax.infer.energy import Energy
from surprax.infer.nuts import frame_of
from surprax.infer.recentring import apart, effects_of, locations_of, seer_of

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


def centred(group, y, noise=1.0):
    """The same, written the other way."""
    mu, tau = numpyro.sample("mu", dist.Normal(0.0, 5.0)), numpyro.sample("tau", dist.HalfNormal(2.0))
    with numpyro.plate("groups", GROUPS):
        z = numpyro.sample("z", dist.Normal(mu, tau))
    sigma = numpyro.sample("sigma", dist.LogNormal(jnp.log(noise), 0.5))
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", dist.Normal(z[group], sigma), obs=y)


def data(rows):
    rng = np.random.default_rng(0)
    group = rng.integers(0, GROUPS, rows)
    return group, rng.normal(1.0, 1.0, GROUPS)[group] + rng.normal(0.0, 0.7, rows)


def test_what_data_tell_of_the_mean_of_a_normal():
    """t = n/σ² and û = the mean of the group, with σ at the mean of its prior."""
    group, y = data(5_000)
    (one,) = effects_of(sx.compress(schools, group, y))
    assert (one.latent, one.site) == ("z", "y")
    count, sigma = np.bincount(group), np.exp(0.5**2 / 2.0)
    np.testing.assert_allclose(one.precision, count / sigma**2, rtol=1e-6)
    np.testing.assert_allclose(one.peak, np.bincount(group, y) / count, rtol=1e-6)


def test_what_data_tell_of_the_logarithm_of_a_rate():
    """û = log of the mean, and t = the total of the group, where hardly anything is told by the prior."""

    def model(group, y):
        tau = numpyro.sample("tau", dist.HalfNormal(2.0))
        with numpyro.plate("groups", GROUPS):
            z = numpyro.sample("z", dist.Normal(0.0, 1.0))
        with numpyro.plate("rows", len(y)):
            numpyro.sample("y", dist.Poisson(jnp.exp(1.0 + tau * z[group])), obs=y)

    group, _ = data(20_000)
    y = np.random.default_rng(1).poisson(np.exp(np.linspace(0.0, 4.0, GROUPS))[group])
    (one,) = effects_of(sx.compress(model, group, y))
    total = np.bincount(group, y)
    np.testing.assert_allclose(one.peak, np.log(total / np.bincount(group)), atol=3e-3)
    np.testing.assert_allclose(one.precision, total, rtol=0.05)  # the curvature near there


def test_the_energy_is_that_of_the_model_and_the_change_of_volume():
    """U(w) = U(z) + ½ Σ log P, with w = (z − A) √P, P = 1 + t tau² and A = t tau (û − mu) / P."""
    fast = sx.compress(schools, *data(5_000))
    (one,) = chosen = effects_of(fast)
    plain, own = Energy(fast, float64=True), Energy(fast, float64=True, chosen=chosen)
    rng = np.random.default_rng(1)
    with own.scope():
        for _ in range(3):
            z = rng.normal(0.0, 0.5, plain.size)
            free = {name: np.asarray(v) for name, v in plain.unravel(jnp.asarray(z)).items()}
            tau = np.exp(free["tau"])
            precision = 1.0 + one.precision * tau**2
            mean = one.precision * tau * (one.peak - free["mu"]) / precision
            moved = {**free, "z": (free["z"] - mean) * np.sqrt(precision)}
            w = np.concatenate([np.ravel(v) for v in moved.values()])[None]
            expected = plain.at(z[None])[0] + 0.5 * np.sum(np.log(precision))
            np.testing.assert_allclose(own.at(w)[0], expected, rtol=1e-10)
            np.testing.assert_allclose(own.values(w)["z"][0], free["z"], rtol=1e-9)


def test_the_energy_where_the_location_moves_too():
    """U(w) = U(z) + ½ Σ log P + ½ log Q, with v = (mu − M) √Q, and group by group an observation û of mu of variance tau² + 1/t:
    Q = 1/25 + Σ 1/(tau² + 1/t) and M = Σ û/(tau² + 1/t) / Q."""
    fast = sx.compress(schools, *data(5_000))
    (one,) = effects = effects_of(fast)
    (location,) = locations_of(fast, effects)
    assert location.latent == "mu"
    plain, own = Energy(fast, float64=True), Energy(fast, float64=True, chosen=[location, one])
    rng = np.random.default_rng(1)
    with own.scope():
        z = rng.normal(0.0, 0.5, plain.size)
        free = {name: np.asarray(v) for name, v in plain.unravel(jnp.asarray(z)).items()}
        tau, mu = np.exp(free["tau"]), free["mu"]
        precision = 1.0 + one.precision * tau**2
        mean = one.precision * tau * (one.peak - mu) / precision
        weight = 1.0 / (tau**2 + 1.0 / one.precision)
        q = 1.0 / 25.0 + np.sum(weight)
        v = (mu - np.sum(weight * one.peak) / q) * np.sqrt(q)
        moved = {**free, "mu": v, "z": (free["z"] - mean) * np.sqrt(precision)}
        w = np.concatenate([np.ravel(v) for v in moved.values()])[None]
        expected = plain.at(z[None])[0] + 0.5 * np.sum(np.log(precision)) + 0.5 * np.log(q)
        np.testing.assert_allclose(own.at(w)[0], expected, rtol=1e-10)
        np.testing.assert_allclose(own.values(w)["mu"][0], mu, rtol=1e-9)


def test_locations_of_several_numbers():
    """Lines by group over predictors of the groups: both coefficients move together, and the scale of the groups does not."""
    x = np.linspace(-1.0, 1.0, GROUPS)

    def model(group, y):
        b = numpyro.sample("b", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
        tau = numpyro.sample("tau", dist.HalfNormal(1.0))
        with numpyro.plate("groups", GROUPS):
            a = numpyro.sample("a", dist.Normal(b[0] + b[1] * x, tau))
        with numpyro.plate("rows", len(y)):
            numpyro.sample("y", dist.Normal(a[group], 1.0), obs=y)

    fast = sx.compress(model, *data(5_000))
    effects = effects_of(fast)
    (location,) = locations_of(fast, effects)
    assert location.latent == "b"
    own = Energy(fast, float64=True, chosen=[location, *effects])
    with own.scope():
        curvature = jax.hessian(lambda z: own.pure(own.constants, z))(jnp.zeros(own.size))
    # In b and a, the posterior for a given tau is standard normal, up to what t was taken for another scale: here it is the same.
    inner = np.delete(np.delete(curvature, 2, 0), 2, 1)
    np.testing.assert_allclose(inner, np.eye(2 + GROUPS), atol=1e-6)


# Fewer rows, where the prior tells more.
@pytest.mark.parametrize("rows", [130, pytest.param(5_000, marks=pytest.mark.thorough)])
def test_both_ways_to_write_a_model_are_one_in_these_coordinates(rows):
    """Energies at the same w, for the same t and û."""
    ways = [sx.compress(model, *data(rows)) for model in (schools, centred)]
    chosen = [effects_of(fast) for fast in ways]
    np.testing.assert_allclose(chosen[0][0].precision, chosen[1][0].precision, rtol=0.1)  # taken within 0.3 deviations
    z = np.random.default_rng(2).normal(0.0, 1.0, (5, 3 + GROUPS))
    same = [[replace(one, precision=chosen[0][0].precision, peak=chosen[0][0].peak) for one in each] for each in chosen]
    same = [[*locations_of(fast, each), *each] for fast, each in zip(ways, same)]
    assert [[type(one) for one in each] for each in same] == [[Location, Effect]] * 2
    energies = []
    for fast, each in zip(ways, same):
        energy = Energy(fast, float64=True, chosen=each)
        with energy.scope():
            energies.append(energy.at(z))
    np.testing.assert_allclose(energies[0], energies[1], rtol=1e-9)


def test_coordinates_are_made_for_the_mode():
    """Where σ is a thousandth of what its prior expects, data tell a million times as much; the frame knows."""
    group, y = data(5_000)
    y = np.bincount(group, y)[group] / 1_000.0 + 1e-3 * np.random.default_rng(3).normal(size=len(y))
    fast = sx.compress(schools, group, y)
    frame = frame_of(fast)
    location, one = frame.energy.chosen
    assert location.latent == "mu"
    np.testing.assert_allclose(
        one.precision, np.bincount(group) / np.var(y - (np.bincount(group, y) / np.bincount(group))[group]), rtol=0.02
    )
    assert apart(effects_of(fast), [one]) > 1e4
    assert np.linalg.cond(frame.factor) < 100.0


def mixed(group, x, y):
    """A continuous covariate, so that nothing can be compressed."""
    mu, tau = numpyro.sample("mu", dist.Normal(0.0, 5.0)), numpyro.sample("tau", dist.HalfNormal(2.0))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    with numpyro.plate("groups", GROUPS):
        a = numpyro.sample("a", dist.Normal(mu, tau))
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", dist.Bernoulli(logits=a[group] + b * x), obs=y)


def test_a_model_that_stays_as_it_is_has_such_coordinates_too():
    rng = np.random.default_rng(4)
    group, x = rng.integers(0, GROUPS, 300), rng.normal(size=300)
    fast = sx.compress(mixed, group, x, rng.integers(0, 2, 300))
    assert not fast.compacts
    (one,) = effects_of(seer_of(fast))
    assert one.latent == "a"
    np.testing.assert_allclose(one.precision, 0.25 * np.bincount(group), rtol=0.1)  # p(1 − p) by row, of even coins
    assert seer_of(lambda: None) is None


def test_sites_that_rows_do_not_see_along_a_line_have_none():
    def model(group, y):
        with numpyro.plate("groups", GROUPS):
            z = numpyro.sample("z", dist.Normal(0.0, 1.0))
        with numpyro.plate("rows", len(y)):
            numpyro.sample("y", dist.Normal(jnp.cumsum(z)[group] ** 2, 1.0), obs=y)

    fast = sx.compress(model, *data(5_000))
    assert fast.compacts
    assert [one for one in effects_of(fast) if one.place != 0] == []


@pytest.mark.parametrize(("location", "effect"), [(dist.Cauchy(0.0, 5.0), True), (dist.Normal(0.0, 5.0), False)])
def test_priors_without_moments_give_no_coordinates(location, effect):
    """A Cauchy distribution has no mean, and that with one degree of freedom no variance."""

    def model(group, y):
        mu = numpyro.sample("mu", location)
        with numpyro.plate("groups", GROUPS):
            z = numpyro.sample("z", dist.Normal(mu, 1.0) if effect else dist.StudentT(1.0, mu, 1.0))
        with numpyro.plate("rows", len(y)):
            numpyro.sample("y", dist.Normal(z[group], 1.0), obs=y)

    fast = sx.compress(model, *data(500))
    effects = effects_of(fast)
    assert [one.latent for one in effects] == (["z"] if effect else [])
    assert locations_of(fast, effects) == []
    assert frame_of(fast).modes


def test_a_distribution_of_the_users_own_that_tells_no_moments():
    class Own(dist.Normal):
        @property
        def variance(self):
            raise AttributeError("nobody has asked for it yet")

    def model(group, y):
        with numpyro.plate("groups", GROUPS):
            z = numpyro.sample("z", Own(0.0, 1.0))
        with numpyro.plate("rows", len(y)):
            numpyro.sample("y", dist.Normal(z[group], 1.0), obs=y)

    fast = sx.compress(model, *data(500))
    assert effects_of(fast) == []
    assert frame_of(fast).modes


SCHOOLS = (
    np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0]),
    np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]),
)


def test_eight_schools_written_centred():
    """Rubin's data with the funnel in it: as many effective draws as draws, and the mean of tau by quadrature."""

    def model(y, se):
        mu, tau = numpyro.sample("mu", dist.Normal(0.0, 5.0)), numpyro.sample("tau", dist.HalfCauchy(5.0))
        with numpyro.plate("schools", 8):
            theta = numpyro.sample("theta", dist.Normal(mu, tau))
            numpyro.sample("y", dist.Normal(theta, se), obs=y)

    post = sx.infer(model, *SCHOOLS, method="nuts", key=jax.random.key(0), progress=False)
    assert not np.any(post.statistics["diverging"])
    assert min(ess(post.draws["tau"]), ess(post.draws["mu"])) > 2_000

    y, se = SCHOOLS
    tau = np.linspace(0.0, 200.0, 200_001)[1:]
    variance = se[:, None] ** 2 + tau**2
    precision = 1.0 / 25.0 + np.sum(1.0 / variance, axis=0)
    centre = np.sum(y[:, None] / variance, axis=0) / precision
    square = np.sum(y[:, None] ** 2 / variance, axis=0) - centre**2 * precision
    density = np.exp(-0.5 * (np.sum(np.log(variance), axis=0) + np.log(precision) + square)) / (1.0 + (tau / 5.0) ** 2)
    mean = np.sum(tau * density) / np.sum(density)
    error = np.std(post.draws["tau"]) / np.sqrt(ess(post.draws["tau"]))
    assert abs(np.mean(post.draws["tau"]) - mean) < 4.0 * error


# The narrower funnel is the harder one.
@pytest.mark.parametrize("spread", [0.0, pytest.param(0.3, marks=pytest.mark.thorough)])
def test_a_funnel_is_sampled_well(spread):
    """Groups that hardly differ, written centred; a likelihood that is not normal, and seven rows for each of few groups."""
    many = 10

    def model(group, y):
        mu, tau = numpyro.sample("mu", dist.Normal(0.0, 5.0)), numpyro.sample("tau", dist.HalfNormal(2.0))
        with numpyro.plate("groups", many):
            a = numpyro.sample("a", dist.Normal(mu, tau))
        with numpyro.plate("rows", len(y)):
            numpyro.sample("y", dist.Poisson(jnp.exp(a)[group]), obs=y)

    rng = np.random.default_rng(5)
    group = rng.integers(0, many, 70)
    y = rng.poisson(np.exp(1.0 + spread * rng.normal(size=many))[group])
    post = sx.infer(model, group, y, method="nuts", key=jax.random.key(1), progress=False)
    assert np.min(ess(post.draws["a"])) > 800
    assert ess(post.draws["tau"]) > 500


@pytest.mark.parametrize("model", [schools, pytest.param(late, marks=pytest.mark.thorough)])
def test_a_thin_sheet_is_sampled_well(model):
    """Against the posterior of groups' means, which is nearly normal: no warning (they are errors here), and the right spread."""
    group, y = data(50_000)
    post = sx.infer(
        model, group, y, key=jax.random.key(1), num_samples=400, num_warmup=400, progress=False, method="nuts"
    )
    draws = {name: np.asarray(v).reshape(-1, *v.shape[2:]) for name, v in post.draws.items()}
    means = draws["mu"][:, None] + draws["tau"][:, None] * draws["z"]
    sigma = draws["sigma"].mean() if "sigma" in draws else 1.0
    count = np.bincount(group)
    se = sigma / np.sqrt(count)
    np.testing.assert_allclose(means.mean(axis=0), np.bincount(group, y) / count, atol=0.15 * se.min())
    np.testing.assert_allclose(means.std(axis=0), se, rtol=0.1)
