"""What a plan says, what it refuses, and what happens where a rewrite is wrong."""

import functools
import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from numpyro.infer.util import log_density, potential_energy
from tests.models.oracle import double_precision

import surprax as sx
from surprax.models import CompressionWarning, certificate, planner, rules

RNG = np.random.default_rng(0)
ROWS = 500
GROUP = RNG.integers(0, 4, ROWS)
X = RNG.normal(0.0, 1.0, ROWS)
Y = RNG.normal(1.0, 1.0, ROWS) + 0.5 * X
AROUND = Y + 1.0
"""Data that a model closes over."""


def line(group, x, y):
    with numpyro.plate("groups", 4):
        a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    b, sigma = numpyro.sample("b", dist.Normal(0.0, 1.0)), numpyro.sample("sigma", dist.HalfNormal(1.0))
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", dist.Normal(a[group] + b * x, sigma), obs=y)


def flat(y, family=lambda mu: dist.Normal(mu, 1.0)):
    mu = numpyro.sample("mu", dist.Exponential(1.0))
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", family(mu), obs=y)


@pytest.fixture(autouse=True)
def _numpyro_promotes_ranks():
    with jax.numpy_rank_promotion("allow"), jax.debug_key_reuse(False):
        yield


def test_a_plan_reads_like_a_query_plan():
    text = str(sx.plan(line, GROUP, X, Y))
    assert "Plan of line" in text
    assert "Gaussian linear" in text
    assert "500 rows → Gaussian evidence of 5 columns" in text
    assert "all rows, in float64" in text


def test_a_plan_is_data_and_html():
    plan = sx.plan(line, GROUP, X, Y)
    data = json.loads(json.dumps(plan.data()))
    assert data["sites"][0]["name"] == "y"
    assert data["certificate"]["holds"]
    assert data["latents"] == {"a": [4], "b": [], "sigma": []}
    assert "<td" in plan._repr_html_()
    assert plan["y"].numbers < plan["y"].rows
    assert plan.compressed


def test_a_plan_has_no_other_sites():
    with pytest.raises(KeyError, match="no site 'z'; it has y"):
        sx.plan(line, GROUP, X, Y)["z"]


@pytest.mark.parametrize(
    ("model", "args", "error", "words"),
    [
        (3, (), TypeError, "function that NumPyro can run; got int"),
        (lambda: None, (), ValueError, "at least one numpyro.sample"),
        (flat, (), TypeError, "missing 1 required positional argument: 'y'"),
    ],
)
def test_what_is_no_model_is_refused(model, args, error, words):
    with pytest.raises(error, match=words):
        sx.plan(model, *args)


def test_data_that_numpy_would_index_are_refused_in_words():
    def model(y):
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        with numpyro.plate("rows", len(y), subsample_size=10) as chosen:
            numpyro.sample("y", dist.Normal(mu, 1.0), obs=y[chosen])

    with pytest.raises(ValueError, match="one that JAX can trace"):
        sx.plan(model, Y)
    assert "takes a part of its 500 rows" in sx.plan(model, jnp.asarray(Y))["y"].reason


@pytest.mark.parametrize(
    ("family", "bad", "words"),
    [
        (lambda mu: dist.Normal(mu, 1.0), np.nan, "row 7 is missing"),
        (lambda mu: dist.Poisson(mu), -1.0, "whole numbers from 0; row 7 is -1"),
        (lambda mu: dist.LogNormal(mu, 1.0), -1.0, "row 7 is -1"),
    ],
)
def test_data_outside_the_support_leave_the_site_alone(family, bad, words):
    """The plan names the row; what such data mean is the plain model's business."""
    y = RNG.poisson(3.0, 100) + 1.0
    y[7] = bad
    site = sx.plan(flat, y, family)["y"]
    assert site.rule is None
    assert words in site.reason


def test_arrays_around_a_model_are_read_in_full_and_left_alone():
    """JAX remembers an array that it saw in float64: a model that closes over data must work in float32 afterwards."""

    def model():
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0).expand([4]).to_event(1))
        numpyro.sample("y", dist.Normal(mu[GROUP], 1.0).to_event(1), obs=AROUND)

    fast = sx.compress(model)
    for at in (np.zeros(4), np.ones(4)):
        plain = log_density(model, (), {}, {"mu": jnp.asarray(at)})[0]
        np.testing.assert_allclose(
            log_density(fast, (), {}, {"mu": jnp.asarray(at)})[0] + fast.log_offset, plain, rtol=1e-5
        )


def test_parameters_of_svi_are_no_constants():
    def model(y):
        loc, sigma = numpyro.param("loc", 1.0), numpyro.sample("sigma", dist.HalfNormal(1.0))
        with numpyro.plate("rows", len(y)):
            numpyro.sample("y", dist.Normal(loc, sigma), obs=y)

    fast = sx.compress(model, Y)
    assert fast.plan["y"].rule == "identical rows"
    y = np.copy(Y)  # which JAX has not yet seen in float32
    with double_precision():
        for loc in (1.0, 2.0):
            at = {"sigma": 1.2, "loc": loc}
            ours, theirs = log_density(fast, (), {}, at)[0] + fast.log_offset, log_density(model, (y,), {}, at)[0]
            np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_masks_of_latent_sites_also_mask_what_a_change_of_variables_adds():
    """Outcomes not seen are latent and positive: their Jacobian counts only where they are not seen."""

    def model(y, seen):
        rate = numpyro.sample("rate", dist.Exponential(1.0))
        with numpyro.plate("rows", len(y)):
            numpyro.sample("y", dist.Exponential(rate), obs=y, obs_mask=seen)

    y, seen = np.arange(1.0, 41.0), np.arange(40) % 3 > 0
    fast = sx.compress(model, y, seen)
    assert fast.plan["y_observed"].rule == "identical rows"
    with double_precision():
        points = [{"rate": np.array(r), "y_unobserved": np.full(40, u)} for r, u in ((0.3, 0.1), (-0.5, 1.0))]
        ours = [potential_energy(fast, (), {}, at) for at in points]
        theirs = [potential_energy(model, (y, seen), {}, at) for at in points]
        np.testing.assert_allclose(ours[1] - ours[0], theirs[1] - theirs[0], rtol=1e-10)


def test_a_support_that_depends_on_a_latent_site_may_have_data_of_numpy():
    def model(y):
        reach = numpyro.sample("reach", dist.Pareto(1.0, 1.0))
        numpyro.sample("y", dist.Uniform(0.0, reach), obs=y)

    assert sx.plan(model, np.repeat([0.5, 2.0], 10)).certificate.holds


def test_random_numbers_of_its_own_keep_a_model_as_it_is():
    def model(y):
        noise = jax.random.normal(numpyro.prng_key())
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        with numpyro.plate("rows", len(y)):
            numpyro.sample("y", dist.Normal(mu + noise, 1.0), obs=y)

    assert "random numbers of its own" in sx.plan(model, Y)["y"].reason


@pytest.mark.parametrize("key", [jax.random.key, jax.random.PRNGKey])
def test_a_model_that_holds_a_key_is_read_like_any_other(key):
    def model(y):
        features = jax.random.normal(key(3), (3,))
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0).expand([3]).to_event(1))
        numpyro.sample("y", dist.Normal(mu @ features, 1.0), obs=y)

    fast = sx.compress(handlers.seed(model, key(1)), Y)
    assert fast.plan["y"].rule == "identical rows"
    with double_precision():
        ours, theirs = (
            [log_density(m, args, {}, {"mu": jnp.full(3, at)})[0] for at in (0.0, 1.0)]
            for m, args in ((fast, ()), (model, (Y,)))
        )
        np.testing.assert_allclose(ours[1] - ours[0], theirs[1] - theirs[0], rtol=1e-10)


def test_a_distribution_whose_values_may_be_anything_stays_as_it_is():
    def model(y):
        numpyro.sample("y", dist.Delta(y, log_density=numpyro.sample("mu", dist.Normal(0.0, 1.0))), obs=y)

    assert "Delta has no parameters that could be read" in sx.plan(model, Y)["y"].reason


def test_trials_that_differ_are_evaluated_at_once_too():
    """Outside of compiled programs, parameters are checked; a cell holds the mean number of trials, which is no whole number."""

    def model(trials, y):
        logit = numpyro.sample("logit", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Binomial(trials, logits=logit), obs=y)

    trials = RNG.integers(1, 9, 300)
    y = RNG.binomial(trials, 0.3)
    with double_precision():
        fast = sx.compress(model, trials, y)
        ours, theirs = (
            [log_density(m, args, {}, {"logit": at})[0] for at in (0.0, 1.0)]
            for m, args in ((fast, ()), (model, (trials, y)))
        )
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_a_rewrite_that_disagrees_is_dropped_with_a_warning(monkeypatch):
    """The certificate is no decoration: a compressed form with a wrong constant slope is not used."""
    honest = planner.rewrite

    def wrong(model, args, kwargs, gain):
        fast = honest(model, args, kwargs, gain)
        site = fast.outcomes["y"]
        energy = site.energy
        fast.outcomes["y"] = site.__class__(
            **{**vars(site), "energy": lambda arrays, tables: 1.001 * energy(arrays, tables)}
        )
        return fast

    monkeypatch.setattr(planner, "rewrite", wrong)
    with pytest.warns(CompressionWarning, match="compressed form of 'y' must agree"):
        fast = sx.compress(line, GROUP, X, Y)
    assert fast.plan["y"].rule is None
    assert "disagreed with the plain model" in fast.plan["y"].reason
    assert fast.certificate is None


def test_a_certificate_keeps_to_where_the_prior_is():
    """Far out NumPyro clips probabilities to just below 1, and has densities where there are none."""

    def model(flag, y):
        b = numpyro.sample("b", dist.Normal(0.0, 0.01))
        with numpyro.plate("rows", len(y)):
            numpyro.sample("y", dist.Bernoulli(probs=jax.nn.sigmoid(1_000.0 * b * flag)), obs=y)

    rng = np.random.default_rng(0)
    plan = sx.plan(model, rng.integers(0, 2, ROWS), rng.integers(0, 2, ROWS))
    assert plan["y"].rule == "cells"
    assert plan.certificate.holds


def test_a_certificate_compares_where_arithmetic_does_not_overflow():
    """A log-likelihood that overflows from |a| = 1.3 on, and another one that differs from |a| = 0.3 on, away from the mode."""

    def steep(free, error):
        a, height = free["a"], np.exp(400.0 * np.sum(free["a"] ** 2))
        return {"y": -height * (1.0 + error * (np.sum(a**2) > 0.1))}, {"a": -800.0 * height * a}

    def prior(free):
        return -0.5 * np.sum(free["a"] ** 2), {"a": -free["a"]}

    def compared(error):
        plain, fast = functools.partial(steep, error=0.0), functools.partial(steep, error=error)
        return certificate.Comparison(["y"], {"a": (1,)}, plain, fast, prior, False, 1, 1)

    with np.errstate(over="ignore", invalid="ignore"):
        seen = [float(steep({"a": point}, 0.0)[0]["y"]) for point in compared(0.0)._points()]
        assert np.all(np.abs(seen) < certificate.FARTHEST)
        assert max(np.abs(seen)) > 1e10
        assert compared(0.0).certificate().holds
        assert compared(1e-3).certificate().error == pytest.approx(1e-3)


def test_a_certificate_finds_a_prior_that_is_far_away():
    def model(y):
        mu = numpyro.sample("mu", dist.Normal(1_000.0, 1.0))
        with numpyro.plate("rows", len(y)):
            numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)

    unproved = planner.Unproved(model, (Y + 1_000.0,), {})
    with jax.enable_x64(True):
        points = np.concatenate(certificate.comparison(unproved.compressed, unproved._rewritten)._points())
    assert np.all(np.abs(points - 1_000.0) < 4.0)
    assert unproved.proved().certificate.holds


@pytest.mark.parametrize(("middle", "width", "prior"), [(0.5, 1e-8, (0.0, 1.0, 1.0)), (1e8, 3.0, (1e8, 1e3, 10.0))])
def test_a_certificate_does_not_mistake_rounding_for_an_error(middle, width, prior):
    """Slopes of narrow posteriors change by much from one float to the next; far from a distant prior's mode, energies overflow."""

    def model(y):
        mu, sigma = numpyro.sample("mu", dist.Normal(*prior[:2])), numpyro.sample("sigma", dist.HalfNormal(prior[2]))
        numpyro.sample("y", dist.Normal(mu, sigma), obs=y)

    y = middle + width * np.random.default_rng(5).normal(size=500)
    assert sx.plan(model, y).certificate.holds
    post = sx.infer(model, y, method="nuts", key=jax.random.key(0), num_chains=2, num_warmup=300, num_samples=500)
    assert post.plan["y"].rule == "identical rows"
    assert abs(post.mean("mu") - y.mean()) < 0.3 * y.std() / np.sqrt(500)
    assert 0.8 < post.sd("mu") / (y.std() / np.sqrt(500)) < 1.2


def test_very_many_rows_are_certified_by_a_part(monkeypatch):
    monkeypatch.setattr(certificate, "ALL_ROWS", 100)
    monkeypatch.setattr(certificate, "PART", 50)
    found = sx.compress(line, GROUP, X, Y).certificate
    assert (found.rows, found.of_rows) == (50, ROWS)
    assert "50 of 500 rows" in str(found)


def test_new_data_take_the_same_program():
    """`fast.model` is a function of small arrays whose shapes do not depend on the number of rows."""
    fast, more = sx.compress(line, GROUP, X, Y), sx.compress(line, *(np.concatenate([v, v]) for v in (GROUP, X, Y)))
    at = {"a": jnp.ones(4), "b": jnp.array(0.5), "sigma": jnp.array(1.1)}
    traced = []

    @jax.jit
    def density(args):
        traced.append(1)
        return log_density(fast.model, args, {}, at)[0]

    with double_precision():
        values = [float(density(f.args)) for f in (fast, more)]
        # Copies: JAX 0.12 may have seen the originals in float32, and remembers.
        expected = [float(log_density(line, tuple(map(np.copy, f.original[1])), {}, at)[0]) for f in (fast, more)]
    np.testing.assert_allclose(values, expected, rtol=1e-10)
    assert len(traced) == 1


def counted(group, y):
    with numpyro.plate("groups", 4):
        a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", dist.Poisson(jnp.exp(a[group])), obs=y)


@pytest.mark.parametrize("model", [counted, line])
def test_a_compressed_model_takes_arguments_of_other_data(model):
    """With groups in their order, in another one, left out (of counts), and with fewer rows: what is kept of them differs."""
    rng = np.random.default_rng(3)
    groups = [np.arange(400) % 4, np.array([3, 2, 1, 0] * 500), np.arange(200) % 4]
    if model is counted:
        data = [(g, rng.poisson(2.0, len(g))) for g in [*groups, np.array([0, 1, 3, 3] * 100)]]
    else:
        data = [(g, *rng.normal(size=(2, len(g)))) for g in groups]
    with double_precision():
        at = {"a": jnp.linspace(0.1, 0.4, 4), "b": jnp.array(0.5), "sigma": jnp.array(1.1)}
        fast = [sx.compress(model, *one) for one in data]
        expected = [float(log_density(model, one, {}, at)[0]) for one in data]
        for one in fast:
            found = [float(log_density(one.model, other.args, {}, at)[0]) for other in fast]
            np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_keyword_arguments_and_partials_are_arguments_too():
    first, second = sx.plan(line, group=GROUP, x=X, y=Y), sx.plan(functools.partial(line, GROUP), X, y=Y)
    assert first["y"].numbers == second["y"].numbers


def test_few_rows_stay_as_they_are(monkeypatch):
    monkeypatch.setattr(rules, "FEWEST", 128)
    assert sx.plan(line, GROUP[:127], X[:127], Y[:127])["y"].reason == "so few cost no more as they are"
    assert sx.plan(line, GROUP[:128], X[:128], Y[:128])["y"].rule == "Gaussian linear"


def test_only_what_is_worth_it_is_rewritten():
    few = sx.plan(line, GROUP[:12], X[:12], Y[:12])
    assert few["y"].rule is None
    assert "numbers would become" in few["y"].reason


@pytest.mark.parametrize("family", ["Normal", "Poisson"])
def test_a_reason_says_how_it_counts_rows(family):
    """Row 201 of the data is number 100 of those that are not masked."""
    y = np.where(np.arange(300) == 201, {"Normal": np.nan, "Poisson": -1}[family], 1.0)

    def model():
        rate = numpyro.sample("rate", dist.Gamma(2.0, 1.0))
        with numpyro.plate("rows", 300), numpyro.handlers.mask(mask=np.arange(300) % 2 == 1):
            numpyro.sample("y", dist.Normal(rate, 1.0) if family == "Normal" else dist.Poisson(rate), obs=y)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPyro's, of values outside of the support
        reason = sx.plan(model)["y"].reason
    assert "row 100 is" in reason
    assert "masked are left out" in reason
