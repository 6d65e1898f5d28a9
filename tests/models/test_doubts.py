"""What is outside of a support, missing, or beyond an end: no density, no silence."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas
import pytest
from numpyro import handlers
from numpyro.infer.util import log_density
from tests.models.oracle import double_precision

import surprax as sx
from surprax.infer.diagnostics import InferenceWarning
from surprax.models import CompressionWarning
from surprax.models.doubts import beyond_the_ends, impossible_rows
from surprax.models.reading import read

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _numpyro_promotes_ranks_and_validates():
    """The latter from 0.22 on without being asked to."""
    with jax.numpy_rank_promotion("allow"), jax.debug_key_reuse(False), dist.distribution.validation_enabled():
        yield


def both(model, args, values):
    """Log-density of a model as it is, and compressed, both as programs."""
    with double_precision():
        fast = sx.compress(model, *args)
        plain = jax.jit(lambda at: log_density(model, tuple(map(jnp.asarray, args)), {}, at)[0])
        quick = jax.jit(lambda at: log_density(fast, (), {}, at)[0])
        return float(plain(values)), float(quick(values))


def reach(y):
    """Data up to a latent end; `y` stays as it is, for its rows hardly repeat."""
    end = numpyro.sample("end", dist.LogNormal(0.0, 1.0))
    numpyro.sample("y", dist.Uniform(0.0, end).expand([len(y)]).to_event(1), obs=y)


def test_a_site_that_stays_is_impossible_where_it_was():
    """Flattening a NumPyro distribution forgets that it validates values, which is what makes this density 0."""
    y = RNG.uniform(0.0, 3.0, 20)
    assert both(reach, (y,), {"end": 1.0}) == (-np.inf, -np.inf)
    plain, quick = both(reach, (y,), {"end": 4.0})
    np.testing.assert_allclose(quick, plain, rtol=1e-12)


def test_a_latent_value_outside_of_its_support_is_impossible_too():
    def model(y):
        rate = numpyro.sample("rate", dist.Uniform(0.5, 2.0))
        numpyro.sample("y", dist.Poisson(rate), obs=y)

    assert both(model, (RNG.poisson(1.0, 300),), {"rate": 3.0}) == (-np.inf, -np.inf)


def test_who_asks_for_no_validation_gets_none():
    def model(y):
        rate = numpyro.sample("rate", dist.LogNormal(0.0, 1.0))
        numpyro.sample("y", dist.Poisson(rate, validate_args=False), obs=y)

    y = np.array([1.5, 2.5, 0.25])
    assert impossible_rows(read(model, (y,), {}), ["y"]) == []
    plain, quick = both(model, (y,), {"rate": 2.0})
    np.testing.assert_allclose(quick, plain, rtol=1e-12)


@pytest.mark.filterwarnings("ignore::surprax.infer.diagnostics.InferenceWarning")
def test_where_a_density_is_zero_slopes_are_not_compared():
    """A sampler has none there; the rewrite is right, and is used without a word."""

    def model(y):
        end = numpyro.sample("end", dist.LogNormal(0.0, 1.0))
        numpyro.sample("y", dist.Uniform(0.0, end), obs=y)

    y = np.repeat([1.0, 3.0], [300, 1])
    post = sx.infer(
        model,
        y,
        method="nuts",
        key=jax.random.key(0),
        target_accept_prob=0.9,
        num_warmup=300,
        num_samples=300,
        num_chains=2,
    )
    # p(end | y) ∝ end^(−301) beyond 3, and the prior hardly changes there.
    assert 3.0 < post.mean("end") < 3.03
    assert post.certificate.holds


@pytest.mark.parametrize(
    ("fn", "y", "words"),
    [
        (lambda m: dist.Laplace(m, 1.0), np.array([1.0, np.nan]), "Row 1 of what 'y' observes is nan: a missing value"),
        (lambda m: dist.Uniform(-1.0, m), np.array([np.nan]), "Row 0 .* missing"),
        (lambda m: dist.Cauchy(m, 1.0), np.array([1.0, 2.0, np.inf]), "Row 2 .* is inf, .* support of Cauchy"),
        (lambda m: dist.Exponential(jnp.exp(m)), np.array([1.0, -1.0]), "Row 1 .* is -1.0, .* support of Exponential"),
        (lambda m: dist.Bernoulli(logits=m), np.array([0, 1, 2]), "Row 2 .* is 2"),
        (lambda m: dist.NegativeBinomial2(jnp.exp(m), 2.0), np.repeat([1, -1], [200, 1]), "Row 200 .* is -1"),
        (
            lambda m: dist.Cauchy(m, 1.0).expand([2, 2]).to_event(1),
            np.array([[0.0, 1.0], [0.0, np.nan]]),
            r"Row \(1, 1\)",
        ),
        (lambda m: dist.Dirichlet(jnp.exp(m) * jnp.ones(2)), np.array([[0.5, 0.5], [0.5, 0.6]]), "Row 1 .* Dirichlet"),
        (lambda m: dist.Cauchy(m, 1.0), np.nan, "^What 'y' observes is nan"),
    ],
)
def test_rows_without_a_density_are_refused_and_named(fn, y, words):
    def model(y):
        numpyro.sample("y", fn(numpyro.sample("m", dist.Normal(0.0, 1.0))), obs=y)

    with pytest.raises(ValueError, match=words):
        sx.infer(model, y, method="svi", key=jax.random.key(0))


def test_masked_rows_may_be_missing():
    def model(y):
        m, seen = numpyro.sample("m", dist.Normal(0.0, 1.0)), ~np.isnan(y)
        with handlers.mask(mask=seen):
            numpyro.sample("y", dist.Cauchy(m, 1.0), obs=y)
            numpyro.sample("z", dist.Cauchy(m, 1.0).expand([len(y), 2]).to_event(1), obs=np.stack([y, y], 1))

    reading = read(model, (np.array([1.0, np.nan, 2.0]),), {})
    assert impossible_rows(reading, ["y", "z"]) == []


def groups(index, y=None):
    a = numpyro.sample("a", dist.Normal(0.0, 1.0).expand([4]))
    numpyro.sample("y", dist.Normal(a[index], 1.0), obs=y)


@pytest.mark.parametrize("rows", [20, 300])
def test_indices_beyond_the_end_are_no_secret(rows):
    """Groups that are numbered from 1: JAX would give the last two to one entry, of which only one has a gradient."""
    index = 1 + np.arange(rows) % 4
    with pytest.warns(CompressionWarning) as told:
        sx.plan(groups, index, RNG.normal(size=rows))
    wrong, why = (str(warning.message) for warning in told)
    assert "Indices beyond the end of an array are why" in wrong
    assert "Index 4 (at place 3) is beyond the end of an axis of length 4, in an array computed from 'a'" in why
    assert {warning.filename for warning in told} == {__file__}
    with pytest.warns((CompressionWarning, InferenceWarning)):
        post = sx.infer(groups, index, RNG.normal(size=rows), key=jax.random.key(0))
    assert "count from 0" in post.warnings[0]


def test_new_groups_are_no_secret_either():
    post = sx.infer(groups, np.arange(40) % 4, RNG.normal(size=40), key=jax.random.key(0), num_samples=10)
    assert post.predict(np.array([3, -4]), key=jax.random.key(1))["y"].shape == (4, 10, 2)
    with pytest.warns(InferenceWarning, match="Index 9"):
        post.predict(np.array([0, 9]), key=jax.random.key(2))


def test_indices_within_the_ends_and_those_that_are_clipped_on_purpose_are_well():
    def model(i, j, u):
        a = numpyro.sample("a", dist.Normal(0.0, 1.0).expand([4, 3]))
        location = a[i, j] + a[-1, j] + a[:, 0].at[i + 7].get(mode="clip") + u[i]
        numpyro.sample("y", dist.Normal(location, 1.0), obs=np.zeros(3))

    i, j = np.array([0, 3, -4]), np.array([2, -3, 0])
    assert beyond_the_ends(read(model, (i, j, jnp.zeros(4)), {}).graph, {}) == []
    (one, two) = sorted(beyond_the_ends(read(model, (i, j + 1, jnp.zeros(3)), {}).graph, {}))
    assert "Index 3 (at place 0) is beyond the end of an axis of length 3, in an array computed from 'a'" in one
    assert "Index 3 (at place 1) is beyond the end of an axis of length 3, in an array computed from data" in two


@pytest.mark.parametrize(
    ("observed", "words"),
    [
        ([1.0, 2.0], "it observes a list. Pass numpy.asarray"),
        (np.ma.masked_less(np.arange(3.0), 1.0), "a masked array, whose mask NumPyro does not see"),
        (np.array([1, 2], object), "an array of dtype object"),
    ],
)
def test_what_is_observed_is_an_array(observed, words):
    with pytest.raises(TypeError, match=f"Site 'y' must observe an array, or a number; .*{words}"):
        sx.infer(groups, np.array([0, 1]), observed, key=jax.random.key(0))


def test_a_column_of_a_data_frame_is_refused_with_the_remedy():
    with pytest.raises(TypeError, match=r"a pandas.*Series. Pass numpy.asarray of it"):
        sx.plan(groups, np.array([0, 1]), pandas.Series([0.5, 1.0]))
