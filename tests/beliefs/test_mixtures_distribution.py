"""A mixture as a distribution: densities, tails, moments, samples and derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special, stats

import surprax as sx
from surprax.beliefs.mixtures import MixtureSameFamily
from surprax.numerics.precision import float64_scope

TWO = MixtureSameFamily([0.25, 0.75], sx.Normal(np.array([0.0, 4.0]), np.array([1.0, 2.0])))
GAMMAS = MixtureSameFamily([0.3, 0.7], sx.Gamma(np.array([2.0, 30.0]), np.array([1.0, 2.0])))
COUNTS = MixtureSameFamily([0.3, 0.7], sx.Poisson(np.array([1.5, 20.0])))
VECTORS = MixtureSameFamily(
    [0.3, 0.7],
    sx.MultivariateNormal(np.array([[0.0, 0.0], [3.0, 1.0]]), np.stack([np.eye(2), [[2.0, 0.5], [0.5, 1.0]]])),
)

weights = st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3).filter(lambda w: sum(w) > 1e-3)
places = st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3)
scales = st.lists(st.floats(1e-6, 1e6), min_size=3, max_size=3)


@given(weights, places, scales, st.floats(-1e8, 1e8))
def test_the_density_is_the_sum_of_weighted_densities(w: list[float], m: list[float], s: list[float], x: float) -> None:
    p = np.array(w) / np.sum(w)
    with np.errstate(divide="ignore"):
        truth = special.logsumexp(np.log(p) + stats.norm.logpdf(x, m, s))
    with float64_scope():
        value = float(MixtureSameFamily(p, sx.Normal(np.array(m), np.array(s))).log_prob(x))
    np.testing.assert_allclose(value, truth, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    "d",
    [TWO, pytest.param(GAMMAS, marks=pytest.mark.thorough), COUNTS, VECTORS],
    ids=["normal", "gamma", "poisson", "vectors"],
)
def test_float32_keeps_its_digits_and_shapes(d: MixtureSameFamily) -> None:
    x = np.asarray(d.sample(jax.random.key(0), (5, 3)))
    assert x.shape == (5, 3, *d.event_shape)
    value = d.log_prob(x)
    assert value.shape == (5, 3)
    with float64_scope():
        truth = np.asarray(d.log_prob(x.astype(np.float64)))
        r = np.asarray(d.responsibilities(x.astype(np.float64)))
    np.testing.assert_allclose(value, truth, rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(r.sum(axis=-1), 1.0, rtol=1e-14)
    np.testing.assert_array_equal(np.argmax(r, axis=-1), d.assign(x))
    np.testing.assert_allclose(d.belief(x).probabilities(), r, atol=1e-5)
    np.testing.assert_allclose(jax.jit(lambda d, x: d.log_prob(x))(d, x), value, rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(d.log_prob)(x), value, rtol=1e-6, atol=1e-6)


def test_a_weight_of_0_is_exact() -> None:
    d = MixtureSameFamily([1.0, 0.0], sx.Gamma(np.array([2.0, 0.5]), np.array([1.0, 1.0])))
    one = sx.Gamma(2.0, 1.0)
    assert float(d.log_prob(0.0)) == -np.inf  # where the density of the other is infinite
    for name in ("log_prob", "log_cdf", "log_sf"):
        assert float(getattr(d, name)(1.5)) == float(getattr(one, name)(1.5))
    assert float(d.mean) == float(one.mean)
    assert d.responsibilities([1.0]).tolist() == [[1.0, 0.0]]
    assert not np.any(np.asarray(d.assign(d.sample(jax.random.key(2), (100,)))))
    slope = jax.grad(lambda logits: MixtureSameFamily(logits=logits, components=d.components).log_prob(1.5))
    assert np.all(np.isfinite(slope(jnp.array([0.0, -jnp.inf]))))


def test_the_impossible_has_no_probability_and_no_gradient_of_nan() -> None:
    d = MixtureSameFamily([0.5, 0.5], sx.Uniform(np.array([0.0, 5.0]), np.array([1.0, 6.0])))
    assert d.log_prob([0.5, 3.0, 5.5, 9.0]).tolist() == pytest.approx([-np.log(2), -np.inf, -np.log(2), -np.inf])
    assert d.responsibilities([3.0]).tolist() == [[0.0, 0.0]]
    assert np.isnan(d.log_prob(np.nan))
    assert GAMMAS.log_prob(-1.0) == -np.inf
    assert np.isfinite(jax.grad(lambda x: d.log_prob(x))(3.0))


@pytest.mark.parametrize("d", [TWO, GAMMAS], ids=["normal", "gamma"])
def test_moments_and_tails_are_integrals_of_the_density(d: MixtureSameFamily) -> None:
    with float64_scope():
        x = np.linspace(*((-15.0, 25.0) if d is TWO else (1e-12, 60.0)), 200_001)
        p = np.exp(np.asarray(d.log_prob(x)))
        mean = integrate.simpson(p * x, x=x)
        np.testing.assert_allclose(d.mean, mean, rtol=1e-7)
        np.testing.assert_allclose(d.variance, integrate.simpson(p * (x - mean) ** 2, x=x), rtol=1e-7)
        np.testing.assert_allclose(d.cdf(x[100_000]), integrate.simpson(p[:100_001], x=x[:100_001]), rtol=1e-9)


def test_quantiles_invert_both_tails() -> None:
    with float64_scope():
        q = np.array([1e-300, 1e-9, 0.1, 0.25, 0.6, 0.999])
        np.testing.assert_allclose(TWO.cdf(TWO.icdf(q)), q, rtol=1e-9)
        np.testing.assert_allclose(TWO.sf(TWO.isf(q)), q, rtol=1e-9)


@pytest.mark.thorough  # float32 has to find its way back from its own probabilities too, below
def test_quantiles_of_counts() -> None:
    with float64_scope():
        k = np.arange(80.0)
        np.testing.assert_array_equal(
            COUNTS.icdf(np.asarray(COUNTS.cdf(k)) - 1e-9 * np.asarray(COUNTS.cdf(k)))[:50], k[:50]
        )
        np.testing.assert_allclose(np.exp(COUNTS.log_prob(k)).sum(), 1.0, rtol=1e-12)


def test_vectors_have_moments_and_no_distribution_function() -> None:
    np.testing.assert_allclose(VECTORS.mean, [2.1, 0.7], rtol=1e-6)
    np.testing.assert_allclose(VECTORS.variance, [0.3 + 0.7 * 2 + 0.21 * 9, 1.0 + 0.21], rtol=1e-6)
    with pytest.raises(NotImplementedError, match="no order"):
        VECTORS.cdf(np.zeros(2))
    for name in ("mode", "entropy", "fit"):
        with pytest.raises(NotImplementedError, match="MixtureSameFamily has no"):
            _ = getattr(VECTORS, name)() if name != "mode" else VECTORS.mode


def test_the_mean_of_angles_is_a_direction() -> None:
    d = MixtureSameFamily([0.5, 0.5], sx.VonMises(np.array([3.0, -3.0]), np.array([5.0, 5.0])))
    assert abs(abs(float(d.mean)) - np.pi) < 1e-3
    assert 0.0 < float(d.variance) < 0.3


def test_samples_have_the_moments() -> None:
    for d in (TWO, GAMMAS, COUNTS):
        x = np.asarray(d.sample(jax.random.key(4), (20_000,)), np.float64)
        assert abs(x.mean() - float(d.mean)) < 5 * float(d.stddev) / np.sqrt(len(x))
        np.testing.assert_allclose(x.var(), d.variance, rtol=0.05)


def test_batches_broadcast_and_are_indexed() -> None:
    d = MixtureSameFamily(
        np.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]]), sx.Normal(np.arange(6.0).reshape(3, 2), np.array([1.0, 2.0]))
    )
    assert d.batch_shape == (3,)
    assert d.log_prob(0.5).shape == (3,)
    assert d.log_prob(np.zeros((4, 1))).shape == (4, 3)
    assert d.mean.shape == (3,)
    assert d.icdf(0.3).shape == (3,)
    assert d.sample(jax.random.key(0), (7,)).shape == (7, 3)
    one = d[1]
    assert one.batch_shape == ()
    np.testing.assert_allclose(one.log_prob(0.5), d.log_prob(0.5)[1], rtol=1e-6)
    np.testing.assert_allclose(d[1:].log_prob(0.5), d.log_prob(0.5)[1:], rtol=1e-6)
    each = jax.vmap(lambda m: m.log_prob(0.5))(jax.tree.map(jnp.asarray, d))
    np.testing.assert_allclose(each, d.log_prob(0.5), rtol=1e-6)
    assert sx.Normal(1.0, 2.0).log_prob(0.5) == pytest.approx(float(d.components[0, 1].log_prob(0.5)), rel=1e-6)


def test_vectors_whose_region_depends_on_parameters() -> None:
    d = MixtureSameFamily([0.5, 0.5], sx.Multinomial(np.array([2.0, 3.0]), logits=np.zeros((2, 2))))
    one = 0.5 * stats.multinomial.pmf([1, 1], 2, [0.5, 0.5])
    np.testing.assert_allclose(d.log_prob([[1.0, 1.0], [2.0, 2.0]]), [np.log(one), -np.inf], rtol=1e-6)


def test_construction_is_checked() -> None:
    normals = sx.Normal(np.zeros(2), 1.0)
    with pytest.raises(ValueError, match="exactly one of probs and logits"):
        MixtureSameFamily(components=normals)
    with pytest.raises(ValueError, match="3 weights need 3 components"):
        MixtureSameFamily([0.2, 0.3, 0.5], normals)
    with pytest.raises(ValueError, match="sum of probs"):
        MixtureSameFamily([0.2, 0.3], normals)
    with pytest.raises(TypeError, match="batch of distributions"):
        MixtureSameFamily([0.5, 0.5], [sx.Normal(0.0, 1.0)] * 2)
    same = MixtureSameFamily(sx.Categorical([0.5, 0.5]), normals)
    np.testing.assert_allclose(same.probs, 0.5)
    leaves, tree = jax.tree.flatten(same)
    assert repr(jax.tree.unflatten(tree, leaves)) == repr(same)


def test_weights_that_are_no_numbers_make_nothing_else() -> None:
    def of(probs: jax.Array) -> tuple[jax.Array, ...]:
        d = MixtureSameFamily(probs, sx.Normal(np.array([0.0, 1.0]), 1.0))
        counts = MixtureSameFamily(probs, sx.Poisson(np.array([1.0, 2.0])))
        return d.log_prob(1.0), d.cdf(1.0), d.icdf(0.3), d.mean, d.log_joint(1.0), counts.log_prob(1), counts.icdf(0.3)

    for bad in ([0.5, np.nan], [1.5, -0.5], [0.5, 0.4]):
        for value in jax.jit(of)(np.array(bad)):
            assert np.all(np.isnan(value))


def quantile(logits: jax.Array, loc: jax.Array, scale: jax.Array, p: jax.Array) -> jax.Array:
    return MixtureSameFamily(logits=logits, components=sx.Normal(loc, scale)).icdf(p)


QUANTILE, SLOPES = jax.jit(quantile), jax.jit(jax.grad(quantile, argnums=(0, 1, 2, 3)))
CURVE = jax.jit(jax.grad(lambda logits, loc, scale, p: jax.grad(quantile, argnums=1)(logits, loc, scale, p)[1], 1))
"""A second derivative in the second location, and others."""


@pytest.mark.parametrize("p", [1e-8, 0.3, 0.9, 0.9999])
def test_quantiles_have_derivatives(p: float) -> None:
    with float64_scope():
        at = [np.array([0.0, 1.0]), np.array([0.0, 4.0]), np.array([1.0, 2.0]), np.array(p)]
        slopes = SLOPES(*at)
        for i, direction in enumerate(
            (np.array([1.0, 0.0]), np.array([0.3, 1.0]), np.array([1.0, -0.5]), np.array(p * (1 - p)))
        ):
            ends = [[v + h * direction if i == j else v for j, v in enumerate(at)] for h in (1e-6, -1e-6)]
            change = (QUANTILE(*ends[0]) - QUANTILE(*ends[1])) / 2e-6
            np.testing.assert_allclose(np.sum(slopes[i] * direction), change, rtol=1e-5)

        ends = [SLOPES(at[0], at[1] + np.array([0.0, h]), *at[2:])[1][1] for h in (1e-5, -1e-5)]
        np.testing.assert_allclose(CURVE(*at)[1], (ends[0] - ends[1]) / 2e-5, rtol=1e-4, atol=1e-9)
        hard = SLOPES(np.array([-np.inf, 0.0]), *at[1:])[0]
        np.testing.assert_array_equal(hard, [0.0, 0.0])


def test_quantiles_of_counts_beyond_integers_and_of_their_own_cdf() -> None:
    far = MixtureSameFamily([0.5, 0.5], sx.Poisson(np.array([1.0, 1e12])))
    np.testing.assert_allclose(far.icdf(0.9), 1e12, rtol=1e-5)
    near = MixtureSameFamily([0.3, 0.7], sx.Poisson(np.array([2.0, 30.0])))
    k = np.arange(60.0)
    np.testing.assert_array_equal(near.icdf(near.cdf(k)), k)
    assert jax.grad(near.icdf)(0.3) == 0.0


def test_a_batch_of_mixtures_of_vectors_is_indexed() -> None:
    loc = np.arange(6.0).reshape(2, 3)
    d = MixtureSameFamily(
        np.array([[0.5, 0.5], [0.1, 0.9]]), sx.MultivariateNormal(loc, np.stack([np.eye(3), 2 * np.eye(3)]))
    )
    np.testing.assert_array_equal(d[1].components.loc, loc)
    np.testing.assert_allclose(d[1].log_prob(np.ones(3)), d.log_prob(np.ones(3))[1])
    picked = d[np.array([1, 0, 1])]
    np.testing.assert_allclose(picked.log_prob(np.ones(3)), np.asarray(d.log_prob(np.ones(3)))[[1, 0, 1]])


def test_mixtures_of_mixtures_are_refused() -> None:
    inner = MixtureSameFamily(np.full((2, 2), 0.5), sx.Normal(np.zeros((2, 2)), 1.0))
    with pytest.raises(TypeError, match="one mixture of all their components"):
        MixtureSameFamily([0.5, 0.5], inner)


def test_an_ellipsis_stops_short_of_events():
    d = sx.Dirichlet(np.arange(1.0, 13.0).reshape(2, 2, 3))
    np.testing.assert_array_equal(d[..., 0].concentration, d.concentration[:, 0])
    np.testing.assert_array_equal(d[..., None].concentration, d.concentration[:, :, None])
    mixture = sx.MixtureSameFamily(np.full((2, 3, 4), 0.25), sx.Normal(np.arange(24.0).reshape(2, 3, 4), 1.0))
    np.testing.assert_array_equal(mixture[..., 1].components.loc, mixture.components.loc[:, 1])
    assert mixture[..., 1].logits.shape == (2, 4)
