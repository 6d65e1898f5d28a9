"""NumPyro: the same densities, in its models, and back."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as npd
import pytest
from numpyro.contrib.control_flow import scan
from numpyro.distributions import biject_to, constraints
from numpyro.handlers import reparam, seed, trace
from numpyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO, TraceMeanField_ELBO, autoguide
from numpyro.infer.reparam import LocScaleReparam
from tests.families.cases_circular import Cut
from tests.interop.cases import ONE_EACH, each_case, each_family_at_length

import surprax as sx
from surprax import from_numpyro, to_numpyro
from surprax.families import FAMILIES, WRAPPERS
from surprax.interop.numpyro_twins import TWINS
from surprax.interop.scipy_twins import CONDITIONS
from surprax.interop.scipy_twins import TWINS as SCIPY

FACTORS = [[[2.0, 0.0], [-0.4, 0.3]], [[1.0, 0.0], [0.0, 1.0]]]
EXAMPLES = {
    "BernoulliLogits": {"logits": [-2.0, 0.5]},
    "BernoulliProbs": {"probs": [0.1, 0.7]},
    "BinomialLogits": {"total_count": [7, 3], "logits": [-2.0, 0.5]},
    "BinomialProbs": {"total_count": [7, 3], "probs": [0.1, 0.7]},
    "CategoricalLogits": {"logits": [[-1.0, 0.0, 0.3], [0.0, 2.0, 1.0]]},
    "CategoricalProbs": {"probs": [[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]]},
    "BetaBinomial": {"concentration1": [2.0, 0.7], "concentration0": [0.3, 11.0], "total_count": [7, 3]},
    "BetaNegativeBinomial": {"concentration1": [2.0, 0.7], "concentration0": [0.3, 11.0], "n": [7.0, 0.5]},
    "MultinomialLogits": {"logits": [[-1.0, 0.0, 0.3], [0.0, 2.0, 1.0]], "total_count": 5},
    "MultinomialProbs": {"probs": [[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]], "total_count": 5},
    "DirichletMultinomial": {"concentration": [[0.2, 3.0, 5.0], [1.0, 10.0, 8.0]], "total_count": 5},
    "GeometricLogits": {"logits": [-2.0, 0.5]},
    "GeometricProbs": {"probs": [0.1, 0.7]},
    "Poisson": {"rate": [0.3, 11.0]},
    "NegativeBinomial2": {"mean": [0.3, 11.0], "concentration": [2.0, 0.7]},
    "GammaPoisson": {"concentration": [2.0, 0.7], "rate": [0.3, 4.0]},
    "NegativeBinomialLogits": {"total_count": [2.0, 0.7], "logits": [-2.0, 0.5]},
    "NegativeBinomialProbs": {"total_count": [2.0, 0.7], "probs": [0.1, 0.7]},
    "Beta": {"concentration1": [2.0, 0.7], "concentration0": [0.3, 11.0]},
    "Cauchy": {"loc": [0.3, -11.0], "scale": [2.0, 0.7]},
    "Chi2": {"df": [0.3, 11.0]},
    "Dirichlet": {"concentration": [[0.7, 3.0, 5.0], [1.0, 10.0, 8.0]]},
    "Exponential": {"rate": [0.3, 11.0]},
    "Gamma": {"concentration": [2.0, 0.7], "rate": [0.3, 11.0]},
    "Gumbel": {"loc": [0.3, -11.0], "scale": [2.0, 0.7]},
    "HalfNormal": {"scale": [2.0, 0.7]},
    "InverseGamma": {"concentration": [2.0, 0.7], "rate": [0.3, 11.0]},
    "Laplace": {"loc": [0.3, -11.0], "scale": [2.0, 0.7]},
    "LogNormal": {"loc": [0.3, -1.0], "scale": [2.0, 0.7]},
    "Logistic": {"loc": [0.3, -11.0], "scale": [2.0, 0.7]},
    "MatrixNormal": {
        "loc": [[[0.3, -1.0]], [[0.0, 5.0]]],
        "scale_tril_row": [[[2.0]], [[0.5]]],
        "scale_tril_column": FACTORS,
    },
    "MultivariateNormal": {"loc": [[0.3, -1.0], [0.0, 5.0]], "scale_tril": FACTORS},
    "LowRankMultivariateNormal": {
        "loc": [[0.3, -1.0], [0.0, 5.0]],
        "cov_factor": [[[1.0], [0.5]], [[0.0], [3.0]]],
        "cov_diag": [[0.1, 0.2], [1.0, 0.3]],
    },
    "MultivariateStudentT": {"df": [3.0, 7.0], "loc": [[0.3, -1.0], [0.0, 5.0]], "scale_tril": FACTORS},
    "Wishart": {"concentration": [3.5, 7.0], "scale_tril": FACTORS},
    "InverseWishart": {"concentration": [3.5, 7.0], "scale_tril": FACTORS},
    "Normal": {"loc": [0.3, -11.0], "scale": [2.0, 0.7]},
    "Pareto": {"scale": [0.3, 11.0], "alpha": [2.0, 0.7]},
    "StudentT": {"df": [3.0, 0.7], "loc": [0.3, -11.0], "scale": [2.0, 0.7]},
    "Uniform": {"low": [0.3, -11.0], "high": [2.0, 0.7]},
    "VonMises": {"loc": [0.3, -2.0], "concentration": [2.0, 0.7]},
    "Weibull": {"scale": [0.3, 11.0], "concentration": [2.0, 0.7]},
    "LeftTruncatedDistribution": {"base_dist": npd.Normal(np.array([0.3, -1.0]), 2.0), "low": 0.5},
    "RightTruncatedDistribution": {"base_dist": npd.Cauchy(np.array([0.3, -1.0]), 2.0), "high": 0.5},
    "TwoSidedTruncatedDistribution": {"base_dist": npd.Laplace(np.array([0.3, -1.0]), 2.0), "low": -0.2, "high": 0.5},
    "LeftTruncatedGamma": {"base_dist": npd.Gamma(np.array([0.3, 3.0]), 2.0), "low": 0.5},
    "RightTruncatedGamma": {"base_dist": npd.Gamma(np.array([0.3, 3.0]), 2.0), "high": 0.5},
    "TwoSidedTruncatedGamma": {"base_dist": npd.Gamma(np.array([0.3, 3.0]), 2.0), "low": 0.2, "high": 0.5},
}
"""Parameters of a batch of two, for every class of NumPyro that has a twin."""

_NONE = "NumPyro has none"
WITHOUT_A_CLASS = {
    "Chi": _NONE,
    "ConvolvedVonMises": _NONE,
    "ConvolvedVonMisesFisher": _NONE,
    "ConwayMaxwellPoisson": _NONE,
    "DoubleLomax": _NONE,
    "GeneralizedBetaPrime": _NONE,
    "GeneralizedDirichlet": _NONE,
    "GeneralizedInverseGaussian": _NONE,
    "InverseGaussian": _NONE,
    "LogLomax": _NONE,
    "LogStudentT": "NumPyro has it as a transformed Student t only",
    "Logarithmic": _NONE,
    "LogitNormal": "NumPyro has it as a transformed normal only",
    "Lomax": _NONE,
    "Maxwell": _NONE,
    "MultivariateNormalDiag": "NumPyro has it as independent normals only",
    "MultivariateNormalIsotropic": "NumPyro has it as independent normals only",
    "NormalGamma": _NONE,
    "NormalInverseGamma": _NONE,
    "NormalInverseWishart": _NONE,
    "NormalWishart": _NONE,
    "Rayleigh": _NONE,
    "UniformPareto": _NONE,
    "VonMisesFisher": _NONE,
    "Zeta": _NONE,
}
"""Families for which `native=True` has nothing to make, and why; `to_numpyro` wraps them all the same."""

WITHOUT_A_MAP = ("NormalInverseWishart", "NormalWishart", "VonMisesFisher")
"""Families on pairs of vector and matrix, and on spheres, of which NumPyro has no map from free numbers."""

# What the adapter does alike for every family is tried for these, and for all others in thorough runs.
USUAL = (
    "Normal",
    "Gamma",
    "Uniform",
    "Bernoulli",
    "Binomial",
    "Dirichlet",
    "MultivariateNormal",
)

each_twin = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.thorough)
        if name in ("LeftTruncatedGamma", "RightTruncatedGamma", "TwoSidedTruncatedGamma")  # cut as others are
        else name
        for name in TWINS
    ],
)


@pytest.fixture(autouse=True)
def _as_numpyro_users():
    """NumPyro promotes ranks silently and splits some keys twice."""
    with jax.numpy_rank_promotion("allow"), jax.debug_key_reuse(False):
        yield


def close(a, b, rtol=1e-9, atol=1e-9):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=atol)


def draws(d, n=5):
    return d.sample(jax.random.key(1), (n,))


# The same distributions.


def test_every_family_has_a_class_of_numpyro_or_a_reason():
    assert set(EXAMPLES) >= set(TWINS)
    assert set(ONE_EACH) == set(FAMILIES)
    assert {twin.family for twin in TWINS.values()} <= set(FAMILIES | WRAPPERS)
    made = {twin.family for twin in TWINS.values() if twin.to_theirs}
    assert set(FAMILIES) <= made | set(WITHOUT_A_CLASS)
    assert not made & set(WITHOUT_A_CLASS)


@each_twin
def test_from_numpyro_has_the_density_of_its_twin(name):
    with jax.enable_x64(True):
        theirs = getattr(npd, name)(**{n: np.array(v) if type(v) is list else v for n, v in EXAMPLES[name].items()})
        ours = from_numpyro(theirs)
        assert type(ours) is (FAMILIES | WRAPPERS)[TWINS[name].family]
        assert ours.batch_shape == theirs.batch_shape == (2,)
        x = theirs.sample(jax.random.key(0), (4,))
        # NumPyro's discrete densities that go by the logarithm of a beta function are right to some six digits.
        close(ours.log_prob(x), theirs.log_prob(x), 1e-9, 5e-6 if ours.discrete else 1e-9)


@each_case
def test_to_numpyro_and_back_is_the_same(case):
    d = case.make()
    assert repr(from_numpyro(to_numpyro(d))) == repr(d)
    if type(d).__name__ in WITHOUT_A_CLASS:
        with pytest.raises(TypeError, match=f"no class of its own for {type(d).__name__}.*It has one for: Bernoulli"):
            to_numpyro(d, native=True)
        return
    with jax.enable_x64(True):
        again = from_numpyro(to_numpyro(d, native=True))
        assert type(again) is type(d)
        for ours, theirs in zip(jax.tree.leaves(d), jax.tree.leaves(again)):
            close(ours, theirs, 1e-14, 0.0)


@each_family_at_length(*USUAL)
def test_it_has_the_shapes_and_support_of_numpyro_s_class(case):
    d = case.make()
    if type(d).__name__ in WITHOUT_A_CLASS:
        return
    ours, theirs = to_numpyro(d), to_numpyro(d, native=True)
    assert (ours.batch_shape, ours.event_shape) == (theirs.batch_shape, theirs.event_shape)
    assert ours.is_discrete == theirs.is_discrete
    assert ours.has_enumerate_support == theirs.has_enumerate_support
    x = draws(ours)
    assert x.shape == draws(theirs).shape
    assert bool(jnp.all(theirs.support(x)))
    assert bool(jnp.all(ours.support(draws(theirs))))


@each_family_at_length(*USUAL)
def test_density_is_ours_and_single_precision(case):
    d = case.make()
    adapter = to_numpyro(d)
    x = draws(adapter)
    value = jax.jit(lambda adapter, x: adapter.log_prob(x))(adapter, x)
    assert value.dtype == jnp.float32
    close(value, d.log_prob(x), 1e-6, 1e-6)
    assert adapter.mean.shape == adapter.shape()
    close(adapter.mean, d.mean, 1e-6)


def test_moments_tails_and_entropy_are_ours():
    d = sx.Gamma(2.0, [3.0, 0.5])
    adapter = to_numpyro(d)
    for name in ("mean", "variance", "mode"):
        close(getattr(adapter, name), getattr(d, name), 0.0, 0.0)
    close(adapter.entropy(), d.entropy(), 0.0, 0.0)
    close(adapter.cdf(0.7), d.cdf(0.7), 0.0, 0.0)
    close(adapter.icdf(0.7), d.icdf(0.7), 0.0, 0.0)


def test_large_shapes_keep_their_digits_in_float32():
    """Where NumPyro's own float32 density is off by 0.05 nat."""
    d = sx.Gamma(1e6, 1.0)
    with jax.enable_x64(True):
        exact = float(to_numpyro(d, native=True).log_prob(1e6))
    assert abs(float(to_numpyro(d).log_prob(1e6)) - exact) < 1e-5


# Supports.


@each_family_at_length(*USUAL, "VonMisesFisher")
def test_support_contains_samples_and_nothing_outside_of_it(case):
    d = case.make()
    adapter = to_numpyro(d)
    x = draws(adapter)
    assert bool(jnp.all(adapter.support(x)))
    assert adapter.support.is_discrete == d.discrete
    assert adapter.support.event_dim == len(d.event_shape)
    if not d.event_shape:
        for point in (-1e30, -1.0, 0.5, 1.5, 1e30):
            assert bool(adapter.support(jnp.asarray(point))) == bool(d.support.contains(jnp.asarray(point))), point
    if type(d).__name__ in WITHOUT_A_MAP:
        with pytest.raises(NotImplementedError):
            biject_to(adapter.support)
    elif not d.discrete:
        onto = biject_to(adapter.support)
        free = onto.inv(x)
        assert bool(jnp.all(jnp.isfinite(free)))
        close(onto(free), x, 1e-4, 1e-6)


def test_ends_that_are_parameters_are_ends_of_the_support():
    assert to_numpyro(sx.Uniform([0.0, 1.0], 2.0)).support == constraints.interval(
        np.array([0.0, 1.0]), np.array([2.0])
    )
    assert to_numpyro(sx.Binomial(4, 0.5)).support == constraints.integer_interval(0.0, np.array(4.0))
    assert to_numpyro(sx.Bernoulli(0.5)).support is constraints.boolean
    assert to_numpyro(sx.Normal(0.0, 1.0)).support is constraints.real
    assert to_numpyro(sx.Beta(1.0, 1.0)).support is constraints.unit_interval


# Shapes and transformations.


@each_family_at_length(*USUAL)
def test_batches_by_vmap_are_loops(case):
    d = case.make()
    x = draws(to_numpyro(d))
    batch = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), d)

    made = jax.vmap(to_numpyro)(batch)
    assert made.batch_shape == (2,)
    value = jax.vmap(lambda d: to_numpyro(d).log_prob(x))(batch)
    close(value, jnp.stack([d.log_prob(x)] * 2), 1e-6, 1e-6)
    close(jax.vmap(lambda adapter: adapter.log_prob(x))(made), value, 1e-6, 1e-6)
    wide = made.expand((3, 2))
    assert jax.eval_shape(lambda: draws(wide)).shape == (5, 3, 2, *d.event_shape)
    close(wide.log_prob(x.reshape(5, 1, 1, *d.event_shape)), jnp.broadcast_to(value.T[:, None], (5, 3, 2)), 1e-6, 1e-6)
    assert from_numpyro(wide).batch_shape == (3, 2)


def test_parameters_of_different_rank_stay_aligned_under_vmap():
    locs = jnp.arange(12.0).reshape(4, 3)
    made = jax.vmap(lambda loc: to_numpyro(sx.Normal(loc, 2.0)))(locs)
    assert made.batch_shape == (4, 3)
    close(made.log_prob(0.0), sx.Normal(locs, 2.0).log_prob(0.0), 1e-6)


def test_pytree_and_pickle_round_trips():
    d = to_numpyro(sx.Gamma(2.0, [3.0, 4.0]))
    leaves, structure = jax.tree.flatten(d)
    for again in (jax.tree.unflatten(structure, leaves), pickle.loads(pickle.dumps(d))):
        assert repr(again) == repr(d) == "to_numpyro(Gamma(concentration=[2.], rate=[3., 4.]))"
        assert again.batch_shape == (2,)


def test_gradients_flow_to_parameters():
    x = jnp.array([0.3, 2.0])
    ours = jax.grad(lambda a, b: jnp.sum(to_numpyro(sx.Gamma(a, b)).log_prob(x)), argnums=(0, 1))(2.0, 3.0)
    theirs = jax.grad(lambda a, b: jnp.sum(npd.Gamma(a, b).log_prob(x)), argnums=(0, 1))(2.0, 3.0)
    close(ours, theirs, 1e-5)


@each_family_at_length("Normal", "VonMises", "Weibull")
def test_a_sample_moves_with_parameters_as_the_quantile_of_its_probability(case):
    d = case.make()
    name = type(d).__name__
    adapter = to_numpyro(d)
    if d.discrete:
        assert not adapter.has_rsample
    if not adapter.has_rsample or d.event_shape or name not in SCIPY:
        return
    if name in CONDITIONS and not np.all(CONDITIONS[name][1](d)):
        return  # SciPy has it for other parameters
    with jax.enable_x64(True):
        key = jax.random.key(3)
        scipy = sx.to_scipy if name != "VonMises" else lambda d: Cut(float(d.loc), float(d.concentration))
        x, slope = jax.jit(jax.value_and_grad(lambda d: to_numpyro(d).sample(key)))(jax.tree.map(jnp.asarray, d))
        p = scipy(d).cdf(float(x))
        for parameter in d.parameters:

            def moved(step, parameter=parameter):
                leaves = {n: getattr(d, n) for n in d.parameters}
                return float(scipy(type(d)._of(**{**leaves, parameter: leaves[parameter] + step})).ppf(p))

            h = 1e-5 * (1.0 + abs(float(getattr(d, parameter))))
            close(getattr(slope, parameter), (moved(h) - moved(-h)) / (2 * h), 2e-4, 1e-6)


@each_family_at_length("Dirichlet", "MultivariateNormal", "VonMisesFisher")
def test_samples_of_vectors_move_so_that_expectations_do(case):
    """∂E f(X) = E ∂f(X) through the sampler = E[f(X) ∂ log p(X)], in a direction of the parameters."""
    d = case.make()
    if not (to_numpyro(d).has_rsample and d.event_shape):
        return
    with jax.enable_x64(True):
        d = jax.tree.map(jnp.asarray, d)
        rng = np.random.default_rng(0)
        w = np.stack([rng.normal(size=d.event_shape), np.abs(rng.normal(size=d.event_shape))])
        n, axes = 4000, tuple(range(1, 1 + len(d.event_shape)))

        x = jax.lax.stop_gradient(d.sample(jax.random.key(1), (40 * n,)))
        along = lambda x: jnp.stack([jnp.sum(v * x, axis=axes) for v in w])
        t = along(x)
        center, width = jnp.median(t, axis=1, keepdims=True), jnp.std(t[:, :n], axis=1, keepdims=True)

        def bounded(t):
            """Four functions of an observation, some of which must move by more than chance does."""
            bend = jnp.tanh((t - center) / width)
            return jnp.concatenate([bend, bend**2])

        def of_samples(d):
            return bounded(along(to_numpyro(d).sample(jax.random.key(0), (n,))))

        direction = jax.tree.map(
            lambda leaf: 0.1 * jnp.tril(jnp.asarray(leaf)) if np.ndim(leaf) > 1 else jnp.asarray(leaf), d
        )
        _, motion = jax.jit(lambda d: jax.jvp(of_samples, (d,), (direction,)))(d)
        # Score-function identity, with another set of samples: E[f · ∂ log p].
        f = bounded(t)
        _, score = jax.jit(lambda d, x: jax.jvp(lambda d: d.log_prob(x), (d,), (direction,)))(d, x)
        other = (f - jnp.mean(f, axis=1, keepdims=True)) * score
        error = np.hypot(np.std(motion, axis=1) / np.sqrt(n), np.std(other, axis=1) / np.sqrt(40 * n))
        mean = np.asarray(jnp.mean(motion, axis=1))
        assert np.all(np.abs(mean - jnp.mean(other, axis=1)) < 5 * error)
        assert np.any(error < 0.1 * np.abs(mean))


# Enumeration.


@pytest.mark.parametrize(
    ("d", "values"),
    [
        (sx.Bernoulli([0.2, 0.3]), [0, 1]),
        (sx.Categorical(probs=[[0.2, 0.3, 0.5], [0.5, 0.0, 0.5]]), [0, 1, 2]),
        (sx.Binomial([3, 2], 0.3), [0, 1, 2, 3]),
    ],
    ids=lambda d: type(d).__name__,
)
def test_enumerated_values_have_all_the_probability(d, values):
    adapter = to_numpyro(d)
    assert adapter.has_enumerate_support
    close(adapter.enumerate_support(expand=False), np.array(values)[:, None], 0.0, 0.0)
    every = adapter.enumerate_support()
    assert every.shape == (len(values), 2)
    assert jnp.issubdtype(every.dtype, jnp.integer)
    close(jnp.sum(jnp.exp(adapter.log_prob(every)), axis=0), np.ones(2), 1e-6)
    assert adapter.expand((4, 2)).enumerate_support().shape == (len(values), 4, 2)


def test_supports_that_cannot_be_enumerated_say_why():
    assert not to_numpyro(sx.Poisson(1.0)).has_enumerate_support
    with pytest.raises(NotImplementedError, match="no list of the values of Poisson: whole numbers from 0"):
        to_numpyro(sx.Poisson(1.0)).enumerate_support()
    with pytest.raises(ValueError, match="its ends are traced"):
        jax.jit(lambda n: to_numpyro(sx.Binomial(n, 0.5)).enumerate_support())(3)


# In models.

COUNTS = np.array([3, 0, 2, 1, 4, 2])


def gamma_poisson(counts):
    rate = numpyro.sample("rate", to_numpyro(sx.Gamma(2.0, 1.0)))
    with numpyro.plate("days", len(COUNTS)):
        numpyro.sample("count", to_numpyro(sx.Poisson(rate)), obs=counts)


def test_nuts_samples_the_conjugate_posterior():
    sampler = MCMC(NUTS(gamma_poisson), num_warmup=200, num_samples=300, progress_bar=False)
    sampler.run(jax.random.key(0), COUNTS)
    rate = np.asarray(sampler.get_samples()["rate"])
    posterior = sx.Gamma(2.0 + COUNTS.sum(), 1.0 + len(COUNTS))
    # Some 100 effective samples: five standard errors of mean and standard deviation.
    sd = float(posterior.stddev)
    assert abs(rate.mean() - float(posterior.mean)) < 5 * sd / 10
    assert abs(rate.std() - sd) < 5 * sd / 14


def test_predictive_has_the_shapes_of_plates():
    prior = Predictive(gamma_poisson, num_samples=7)(jax.random.key(0), None)
    assert prior["rate"].shape == (7,)
    assert prior["count"].shape == (7, 6)
    assert jnp.issubdtype(prior["count"].dtype, jnp.integer)


def test_automatic_guide_finds_the_posterior():
    """Of log rate, in the family of the guide: close to the posterior of a rate known to a quarter."""
    guide = autoguide.AutoNormal(gamma_poisson)
    svi = SVI(gamma_poisson, guide, numpyro.optim.Adam(0.05), Trace_ELBO())
    result = svi.run(jax.random.key(0), 300, COUNTS, progress_bar=False)
    assert np.mean(np.asarray(result.losses[-50:])) < np.mean(np.asarray(result.losses[:10]))
    center = float(guide.median(result.params)["rate"])
    posterior = sx.Gamma(2.0 + COUNTS.sum(), 1.0 + len(COUNTS))
    assert abs(center - float(posterior.icdf(0.5))) < 0.5 * float(posterior.stddev)


@pytest.mark.parametrize(
    "objective", [Trace_ELBO(num_particles=8), TraceMeanField_ELBO(num_particles=8)], ids=["samples", "closed form"]
)
def test_guide_of_ours_reaches_the_exact_posterior(objective):
    """Gradients run through gamma samples, or through the divergence in closed form."""

    def guide(counts):
        shape = numpyro.param("shape", 3.0, constraint=constraints.positive)
        mean = numpyro.param("mean", 1.0, constraint=constraints.positive)
        numpyro.sample("rate", to_numpyro(sx.Gamma(shape, shape / mean)))

    svi = SVI(gamma_poisson, guide, numpyro.optim.Adam(lambda i: 0.1 * 0.99**i), objective)
    result = svi.run(jax.random.key(1), 500, COUNTS, progress_bar=False)
    found = sx.Gamma(result.params["shape"], result.params["shape"] / result.params["mean"])
    posterior = sx.Gamma(2.0 + COUNTS.sum(), 1.0 + len(COUNTS))
    assert float(found.kl(posterior)) < 0.005


def test_divergence_of_adapters_is_that_of_families():
    p, q = sx.Gamma(2.0, [1.0, 3.0]), sx.Gamma(2.5, 1.5)
    close(npd.kl_divergence(to_numpyro(p), to_numpyro(q)), p.kl(q), 1e-6)
    close(npd.kl_divergence(to_numpyro(p), to_numpyro(q).expand((2,))), p.kl(q), 1e-6)
    with pytest.raises(NotImplementedError, match="got Gamma and LogNormal"):
        npd.kl_divergence(to_numpyro(p), to_numpyro(sx.LogNormal(0.0, 1.0)))


def test_decentring_by_name_of_parameters():
    def model():
        with numpyro.plate("groups", 3):
            numpyro.sample("effect", to_numpyro(sx.StudentT(4.0, 1.0, 2.0)))

    decentred = reparam(model, {"effect": LocScaleReparam(0.0, shape_params=["df"])})
    sites = trace(seed(decentred, 0)).get_trace()
    inner = sites["effect_decentered"]
    assert repr(from_numpyro(inner["fn"].base_dist)) == "StudentT(df=4, loc=0, scale=1)"
    close(sites["effect"]["value"], 1.0 + 2.0 * inner["value"], 1e-6)


def test_scanned_sites_have_an_axis_of_time():
    steps = np.array([0.1, 0.4, -0.3], np.float32)

    def model(y):
        def step(x, y):
            x = numpyro.sample("x", to_numpyro(sx.Normal(0.5 * x, 1.0)))
            with numpyro.plate("sensors", 2):
                numpyro.sample("y", to_numpyro(sx.Normal(x, jnp.array([0.5, 2.0]))), obs=y)
            return x, None

        scan(step, 0.0, y)

    sites = trace(seed(model, 0)).get_trace(np.stack([steps, steps], axis=1))
    assert sites["x"]["fn"].batch_shape == (3,)
    assert sites["y"]["fn"].batch_shape == (3, 2)
    x = sites["x"]["value"]
    before = jnp.concatenate([jnp.zeros(1), x[:-1]])
    close(sites["x"]["fn"].log_prob(x), sx.Normal(0.5 * before, 1.0).log_prob(x), 1e-5)
    close(
        sites["y"]["fn"].log_prob(sites["y"]["value"]),
        sx.Normal(x[:, None], np.array([[0.5, 2.0]])).log_prob(sites["y"]["value"]),
        1e-5,
    )


# Refusals.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: npd.Delta(1.0),
            r"no family for NumPyro's Delta. There is one for NumPyro's: BernoulliLogits, .*Weibull",
        ),
        (lambda: npd.Normal(0.0, 1.0).mask(False), "no family for NumPyro's MaskedDistribution"),
        (lambda: npd.Normal(jnp.zeros(3), 1.0).to_event(1), r"to_event\(1\) makes one event of shape \(3,\)"),
        (lambda: 3.0, "no family for float"),
        (lambda: type("Gamma", (npd.Gamma,), {})(1.0, 1.0), "no family for NumPyro's Gamma"),
    ],
)
def test_what_has_no_family_is_refused_in_words(make, message):
    with pytest.raises(TypeError, match=message):
        from_numpyro(make())


def test_only_distributions_of_ours_go_to_numpyro():
    with pytest.raises(TypeError, match="The way back is from_numpyro"):
        to_numpyro(npd.Normal(0.0, 1.0))
    with pytest.raises(TypeError, match=r"takes a distribution of surprax, such as Normal\(0, 1\); got 3"):
        to_numpyro(3.0)


# Mixtures.


@pytest.mark.parametrize("native", [False, True])
def test_mixtures_cross_the_border(native):
    ours = sx.MixtureSameFamily([[0.3, 0.7], [1.0, 0.0]], sx.Gamma([[2.0, 9.0], [1.0, 3.0]], [[1.0, 0.5], [2.0, 2.0]]))
    theirs = to_numpyro(ours, native=native)
    assert theirs.batch_shape == (2,)
    x = np.array([[0.5, 1.0], [7.0, 2.0]])
    close(theirs.log_prob(x), ours.log_prob(x), 1e-5, 1e-5)
    back = from_numpyro(theirs)
    assert type(back) is sx.MixtureSameFamily
    close(back.log_prob(x), ours.log_prob(x), 1e-5, 1e-5)
    assert np.all(theirs.sample(jax.random.key(0), (3,)) > 0)


def test_a_mixture_of_numpyro_by_probabilities_comes_over():
    theirs = npd.MixtureSameFamily(npd.CategoricalProbs(np.array([0.2, 0.8])), npd.Normal(np.array([0.0, 4.0]), 1.0))
    ours = from_numpyro(theirs)
    x = np.linspace(-2.0, 6.0, 5)
    close(ours.log_prob(x), theirs.log_prob(x), 1e-5, 1e-5)


def test_an_expanded_mixture_comes_over():
    theirs = npd.MixtureSameFamily(npd.CategoricalProbs(np.array([0.2, 0.8])), npd.Normal(np.array([0.0, 4.0]), 1.0))
    ours = from_numpyro(theirs.expand([3]))
    assert ours.batch_shape == (3,)
    close(ours.log_prob(1.0), theirs.log_prob(1.0) * np.ones(3), 1e-5, 1e-5)
