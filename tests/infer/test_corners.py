"""Models at the corners: what an inattentive reading of them would get wrong without a word."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats as st
from numpyro import handlers
from numpyro.infer.util import potential_energy

import surprax as sx
from surprax.models import certificate

RNG = np.random.default_rng(0)


def key():
    """Of a call: none is used twice."""
    return jax.random.key(0)


SHORT = {"progress": False, "num_warmup": 400, "num_samples": 400}


# Sites of several draws.


def in_columns(y, form):
    one = dist.Normal(0.0, 5.0)
    z = numpyro.sample("z", one, sample_shape=(3,)) if form == "sample_shape" else numpyro.sample("z", one.expand([3]))
    s = numpyro.sample("s", dist.HalfNormal(1.0))
    with numpyro.plate("rows", len(y), dim=-2), numpyro.plate("columns", 3, dim=-1):
        numpyro.sample("y", dist.Normal(z, s), obs=y)


# What is read of the model is the same for every method.
@pytest.mark.parametrize("method", [*(pytest.param(m, marks=pytest.mark.thorough) for m in ("nuts", "map")), "laplace"])
def test_sample_shape_is_as_good_as_expand(method):
    y = RNG.normal([-3.0, 0.0, 3.0], 1.0, (60, 3))
    means = []
    for form in ("sample_shape", "expand"):
        post = sx.infer(in_columns, y, form, method=method, key=key(), **SHORT)
        assert post.mean("z").shape == (3,)
        means.append(post.mean("z"))
    np.testing.assert_allclose(means[0], y.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(means[0], means[1], atol=0.05)


# Deterministic sites of closed forms.


def two_arms(a, b):
    ta, tb = (numpyro.sample(name, dist.Beta(1.0, 1.0)) for name in ("ta", "tb"))
    with numpyro.plate("n", len(a)):
        numpyro.sample("a", dist.Bernoulli(ta), obs=a)
        numpyro.sample("b", dist.Bernoulli(tb), obs=b)
    numpyro.deterministic("b is better", jnp.where(tb > ta, 1.0, 0.0))
    numpyro.deterministic("and says so", tb > ta)
    numpyro.deterministic("least", jnp.minimum(ta, tb))
    numpyro.deterministic("odds", ta / (1.0 - ta))
    numpyro.deterministic("more than a half", ta > 0.5)


def test_functions_of_two_unknowns_are_averaged_over_both():
    a, b = RNG.integers(0, 2, (2, 60))
    post = sx.infer(two_arms, a, b, key=key(), num_samples=25_000)
    assert post.exact
    arms = [st.beta(1 + x.sum(), 61 - x.sum()) for x in (a, b)]
    grid = np.linspace(0.0, 1.0, 20_001)
    better = np.trapezoid(arms[0].cdf(grid) * arms[1].pdf(grid), grid)
    least = np.trapezoid(arms[0].sf(grid) * arms[1].sf(grid), grid)
    for name in ("b is better", "and says so"):
        assert post.mean(name) == pytest.approx(better, abs=1e-3)
        assert post.sd(name) == pytest.approx(np.sqrt(better * (1 - better)), abs=1e-3)
    assert post.mean("least") == pytest.approx(least, abs=1e-4)
    for name in post.sites:
        draws = np.asarray(post.draws[name], np.float64)
        assert post.mean(name) == pytest.approx(draws.mean(), abs=5.0 * draws.std() / np.sqrt(draws.size)), name
    assert post.mean("odds") == pytest.approx(arms[0].expect(lambda p: p / (1.0 - p)), rel=1e-6)
    assert post.mean("more than a half") == pytest.approx(arms[0].sf(0.5), abs=1e-4)
    assert float(post.quantile(0.3, "more than a half")) == (arms[0].cdf(0.5) < 0.3)


def bent(x, y):
    a, b = (numpyro.sample(name, dist.Normal(0.0, 10.0)) for name in ("a", "b"))
    numpyro.deterministic("size", jnp.abs(a))
    numpyro.deterministic("positive part", jax.nn.relu(a))
    numpyro.deterministic("greater", jnp.maximum(a, b))
    numpyro.deterministic("sign", b > 0.0)
    numpyro.deterministic("whole", jnp.round(b).astype(int))
    numpyro.deterministic("line", a + 2.0 * b - jnp.stack([a, b]).sum())
    numpyro.deterministic("reversed", jnp.stack([a, b])[::-1] - jnp.stack([a, b]))
    with numpyro.plate("n", len(y)):
        numpyro.sample("y", dist.Normal(a + b * x, 1.0), obs=y)


def test_what_bends_is_not_taken_for_a_line():
    x = RNG.normal(size=12)
    post = sx.infer(bent, x, 0.1 + 0.1 * x + RNG.normal(size=12), key=key(), num_samples=25_000)
    assert post.exact
    for name in post.sites:
        draws = np.asarray(post.draws[name], np.float64).reshape(-1, *post.draws[name].shape[2:])
        error = 5.0 * draws.std(axis=0) / np.sqrt(len(draws)) + 1e-6
        np.testing.assert_array_less(np.abs(post.mean(name) - draws.mean(axis=0)), error, err_msg=name)
        np.testing.assert_allclose(post.sd(name), draws.std(axis=0), rtol=0.03, err_msg=name)
    assert post.quantile(0.05, "size") > 0.0
    assert post.quantile(0.05, "positive part") >= 0.0
    np.testing.assert_allclose(post.mean("line"), post.mean("b"), rtol=1e-9)  # a + 2b − a − b


def test_many_derived_numbers_take_bounded_memory():
    """65,536 points of 4,000 numbers would be two gigabytes."""

    x = np.linspace(0.0, 1.0, 4_000)

    def model(a, b):
        ta, tb = (numpyro.sample(name, dist.Beta(1.0, 1.0)) for name in ("ta", "tb"))
        numpyro.deterministic("curve", ta * x + tb * x**2)
        with numpyro.plate("n", len(a)):
            numpyro.sample("a", dist.Bernoulli(ta), obs=a)
            numpyro.sample("b", dist.Bernoulli(tb), obs=b)

    post = sx.infer(model, *RNG.integers(0, 2, (2, 60)), key=key())
    assert post.exact
    assert post.form.marginals["curve"]._values.size <= 2**25
    np.testing.assert_allclose(post.mean("curve"), post.mean("ta") * x + post.mean("tb") * x**2, atol=1e-4)
    assert len(repr(post).splitlines()) < 20


# Rows beside the arguments.

AROUND = RNG.normal(size=3_000)


def closes_over(y):
    b, s = numpyro.sample("b", dist.Normal(0.0, 1.0)), numpyro.sample("s", dist.HalfNormal(1.0))
    with numpyro.plate("n", len(y)):
        numpyro.sample("y", dist.Normal(b * jnp.asarray(AROUND), s), obs=y)


def fixed_plate(x, y):
    b, s = numpyro.sample("b", dist.Normal(0.0, 1.0)), numpyro.sample("s", dist.HalfNormal(1.0))
    with numpyro.plate("n", 3_000):
        numpyro.sample("y", dist.Normal(b * x, s), obs=y)


@pytest.mark.parametrize("model", [closes_over, fixed_plate])
def test_rows_that_are_not_arguments_do_not_stand_in_the_way_of_a_certificate(model, monkeypatch):
    monkeypatch.setattr(certificate, "ALL_ROWS", 2_000)
    monkeypatch.setattr(certificate, "PART", 1_000)
    y = 0.3 * AROUND + RNG.normal(size=3_000)
    fast = sx.compress(model, *((y,) if model is closes_over else (AROUND, y)))
    assert fast.plan["y"].rule == "Gaussian linear"
    assert fast.certificate.holds
    assert fast.certificate.rows == 3_000


# Predictions.


def grouped(group, y=None, groups=None):
    mu, tau = numpyro.sample("mu", dist.Normal(0.0, 5.0)), numpyro.sample("tau", dist.HalfNormal(2.0))
    with numpyro.plate("groups", groups or int(np.max(group)) + 1):
        z = numpyro.sample("z", dist.Normal(mu, tau))
    with numpyro.plate("rows", len(group)):
        numpyro.sample("y", dist.Normal(z[group], 1.0), obs=y)


def test_groups_that_the_data_have_not_had_are_refused():
    group = RNG.integers(0, 3, 200)
    y = RNG.normal([-3.0, 0.0, 3.0], 1.0, (200, 3))[np.arange(200), group]
    post = sx.infer(grouped, group, y, method="laplace", key=key(), progress=False)
    with pytest.raises(ValueError, match=re.escape("'z' of shape (3,); with these arguments it has shape (6,)")):
        post.predict(np.arange(6), key=key())
    assert post.predict(np.arange(3), key=key())["y"].shape[2:] == (3,)


def test_arguments_of_a_posterior_are_judged():
    post = sx.infer(in_columns, RNG.normal(size=(40, 3)), "expand", method="map")
    for n in (0, -3, 1.5, True):
        with pytest.raises(ValueError, match="whole number, at least 1"):
            post.predict(key=key(), num_samples=n)
        with pytest.raises(ValueError, match="whole number, at least 1"):
            post.sample(key(), n)
    assert list(post.predict(key=key(), num_samples=5, return_sites="s")) == ["s"]
    with pytest.raises(TypeError, match=r"quantile\(0.5, 'z'\)"):
        post.quantile("z", 0.5)


# Densities.


def test_svi_tells_the_density_of_the_model():
    group, y = RNG.integers(0, 5, 300), RNG.normal(size=300)
    post = sx.infer(grouped, group, y, 5, method="svi", key=key(), progress=False, num_samples=50)
    with jax.debug_key_reuse(False), jax.enable_x64(True):
        for i in (0, 17):
            values = {name: np.asarray(post.draws[name][0, i], np.float64) for name in ("mu", "tau", "z")}
            free = {"mu": values["mu"], "tau": np.log(values["tau"]), "z": values["z"]}
            expected = -potential_energy(grouped, (group, y, 5), {}, free)
            assert post.statistics["lp"][0, i] == pytest.approx(float(expected), abs=0.02)


# Sites that are no data, and no unknowns.


def test_a_masked_factor_is_no_observation():
    def model(y):
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        with numpyro.plate("n", len(y)):
            numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)
            with handlers.mask(mask=np.arange(len(y)) % 2 == 0):
                numpyro.factor("f", -0.1 * mu)

    post = sx.infer(model, RNG.normal(size=20), method="nuts", key=key(), **SHORT)
    assert list(post.predict(key=key())) == ["y"]
    tree = post.to_datatree()
    assert list(tree.log_likelihood.data_vars) == ["y"]
    assert list(tree.observed_data.data_vars) == ["y"]


def test_a_model_without_unknowns_has_no_posterior():
    def model(y):
        with numpyro.plate("n", len(y)):
            numpyro.sample("y", dist.Normal(0.0, 1.0), obs=y)

    for method in ("auto", "exact", "nuts", "map"):
        with pytest.raises(ValueError, match="A posterior is about latent sites"):
            sx.infer(model, RNG.normal(size=5), method=method, key=key())


def test_discrete_unknowns_are_not_sent_in_a_circle():
    with pytest.raises(ValueError, match="'k' is discrete"):
        sx.infer(lambda: numpyro.sample("k", dist.Poisson(3.0)), method="exact")


def test_a_masked_prior_has_no_closed_form_and_is_named():
    def model(y):
        with handlers.mask(mask=np.array([True, False])):
            z = numpyro.sample("z", dist.Normal(0.0, 1.0).expand([2]))
        with numpyro.plate("n", len(y)):
            numpyro.sample("y", dist.Normal(z[0] + z[1], 1.0), obs=y)

    with pytest.raises(ValueError, match="the prior of 'z' is masked"):
        sx.infer(model, RNG.normal(size=5), method="exact")


def test_names_of_axes_of_a_data_tree():
    def model(y, name="draw"):
        with numpyro.plate(name, 3):
            z = numpyro.sample("z", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(z.sum(), 1.0).expand([len(y)]).to_event(1), obs=y)

    post = sx.infer(model, RNG.normal(size=5), method="nuts", key=key(), **SHORT)
    assert post.to_datatree().posterior["z"].dims == ("chain", "draw", "draw_dim")
    with pytest.raises(ValueError, match="got some for 'nope'"):
        post.to_datatree(coords={"nope": [1, 2, 3]})

    def other(y):
        numpyro.sample("y", dist.Normal(numpyro.sample("draw", dist.Normal(0.0, 1.0)), 1.0), obs=y)

    with pytest.raises(ValueError, match="rename the site 'draw'"):
        sx.infer(other, 1.0, method="nuts", key=key(), **SHORT).to_datatree()
