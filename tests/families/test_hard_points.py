"""Hard points, each by itself in float32: where others lose digits, or give NaN, ∞ or a finite number that should be infinite.

Truth is mpmath at the float32 arguments; `ulps` counts units in the last place of it.
"""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

import surprax as sx
from surprax.families import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    Dirichlet,
    Exponential,
    Gamma,
    Geometric,
    HalfNormal,
    InverseGamma,
    InverseGaussian,
    Laplace,
    LogNormal,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
    Truncated,
    Uniform,
    VonMises,
    VonMisesFisher,
    Weibull,
)

f32 = np.float32


@pytest.fixture(autouse=True)
def _sixty_digits():
    with mp.workdps(60):
        yield


def exactly(*values):
    return [mp.mpf(float(v)) for v in values]


def ulps(got, truth):
    """Error of a float32 result in units in the last place of the truth."""
    got = np.asarray(got)
    assert got.dtype == np.float32
    return float(abs(mp.mpf(float(got)) - truth) / mp.mpf(float(np.spacing(np.float32(abs(float(truth)))))))


def log_beta(a, b):
    return mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)


# Densities of large shapes.


def test_narrow_normal_far_from_zero():
    loc, scale = f32(1e3), f32(0.1)
    for x in f32([1000.0, 1000.1, 999.7]):
        m, s, at = exactly(loc, scale, x)
        assert ulps(Normal(loc, scale).log_prob(x), -(((at - m) / s) ** 2) / 2 - mp.log(s) - mp.log(2 * mp.pi) / 2) <= 2
    again = jax.jit(lambda loc, scale: Normal.from_natural(Normal(loc, scale).natural))(loc, scale)
    np.testing.assert_allclose([again.loc, again.scale], [loc, scale], rtol=3e-7)


@pytest.mark.parametrize("a", [1e4, 1e6])
def test_gamma_density_of_large_shape(a):
    for share in (1.0, 1 + 1 / np.sqrt(a)):
        x = f32(a * share)
        shape, at = exactly(f32(a), x)
        assert ulps(Gamma(f32(a)).log_prob(x), (shape - 1) * mp.log(at) - at - mp.loggamma(shape)) <= 3


@pytest.mark.parametrize("a", [1e4, 1e6])
def test_divergence_of_gammas_whose_shapes_differ_by_a_thousandth(a):
    p, q = f32(a), f32(1.001 * a)
    a, b = exactly(p, q)
    truth = (a - b) * mp.digamma(a) - mp.loggamma(a) + mp.loggamma(b)
    assert ulps(Gamma(p).kl(Gamma(q)), truth) <= 4


def test_beta_of_large_equal_shapes():
    a = mp.mpf(10) ** 5
    density = (a - 1) * mp.log(mp.mpf(1) / 4) - log_beta(a, a)
    entropy = log_beta(a, a) - 2 * (a - 1) * (mp.digamma(a) - mp.digamma(2 * a))
    d = Beta(f32(1e5), f32(1e5))
    assert ulps(d.log_prob(f32(0.5)), density) <= 2
    assert ulps(d.entropy(), entropy) <= 2


@pytest.mark.parametrize("x", [1e6, 1e6 + 3000, 5e6])
def test_poisson_mass_of_a_million(x):
    """scipy#25625."""
    rate, k = exactly(1e6, x)
    assert ulps(Poisson(f32(1e6)).log_prob(f32(x)), k * mp.log(rate) - rate - mp.loggamma(k + 1)) <= 2


def test_binomial_mass_of_a_million_trials():
    n, k, logits = f32(1e6), f32(500_300), f32(0.001)
    m, j, odds = exactly(n, k, logits)
    truth = mp.loggamma(m + 1) - mp.loggamma(j + 1) - mp.loggamma(m - j + 1) + j * odds - m * mp.log1p(mp.exp(odds))
    assert ulps(Binomial(n, logits=logits).log_prob(k), truth) <= 3


def negative_binomial_mass(k, mean, r):
    ways = mp.loggamma(k + r) - mp.loggamma(r) - mp.loggamma(k + 1)
    return ways - r * mp.log1p(mean / r) - k * mp.log1p(r / mean)


@pytest.mark.parametrize(("mean", "r", "k"), [(3.0, 1e7, 5.0), (1e6, 5.0, 2e6), (1e6, 1e7, 1_001_000.0)])
def test_negative_binomial_mass_of_large_concentration_or_count(mean, r, k):
    """numpyro#563."""
    mean, r, k = f32(mean), f32(r), f32(k)
    m, c, x = exactly(mean, r, k)
    assert ulps(NegativeBinomial(mean, r).log_prob(k), negative_binomial_mass(x, m, c)) <= 3


def test_student_of_a_million_degrees_of_freedom():
    nu, x = exactly(1e6, 1.5)
    truth = -(nu + 1) / 2 * mp.log1p(x * x / nu) - mp.log(nu) / 2 - log_beta(nu / 2, mp.mpf(1) / 2)
    assert ulps(StudentT(f32(1e6)).log_prob(f32(1.5)), truth) <= 2


def test_twenty_million_counts():
    """numpyro#1203."""
    n, k = f32(2e7), f32(1e7)
    m, j = exactly(n, k)
    coefficient = mp.loggamma(m + 1) - mp.loggamma(j + 1) - mp.loggamma(m - j + 1)
    assert ulps(Binomial(n, logits=f32(0.0)).log_prob(k), coefficient - m * mp.log(2)) <= 2
    assert ulps(Beta(k, k).log_prob(f32(0.5)), (2 * j - 2) * mp.log(mp.mpf(1) / 2) - log_beta(j, j)) <= 2


# Tails.


def test_tails_of_gamma_and_beta_far_below_what_a_float_can_hold():
    a, x = exactly(f32(10.0), f32(1e-12))
    assert ulps(Gamma(f32(10.0)).log_cdf(f32(1e-12)), mp.log(mp.gammainc(a, 0, x, regularized=True))) <= 2
    a, b, x = exactly(f32(50.0), f32(60.0), f32(0.007))
    truth = mp.log(mp.betainc(a, b, 0, x, regularized=True))
    assert truth < -170
    assert ulps(Beta(f32(50.0), f32(60.0)).log_cdf(f32(0.007)), truth) <= 3


def test_beta_cdf_of_small_shape():
    """jax#21900."""
    for a in f32([1e-6, 1e-4, 1e-2]):
        for x in f32([1e-20, 0.3, 0.9]):
            truth = mp.log(mp.betainc(*exactly(a, 2.0), 0, *exactly(x), regularized=True))
            assert ulps(Beta(a, f32(2.0)).log_cdf(x), truth) <= 20


def test_inverse_gaussian_cdf_of_large_shape_is_a_probability():
    """Distributions.jl#1873."""
    d = InverseGaussian(f32(1.0), f32(1e5))
    x = f32([0.5, 0.9, 1.0, 1.01, 2.0])
    cdf = np.asarray(d.cdf(x))
    assert np.all((cdf >= 0) & (cdf <= 1))
    assert np.all(np.diff(cdf) >= 0)
    lam, at = exactly(1e5, x[2])
    root = mp.sqrt(lam / at / 2)
    truth = (mp.erfc(root * (1 - at)) + mp.exp(2 * lam) * mp.erfc(root * (at + 1))) / 2
    assert ulps(cdf[2], truth) <= 2


def test_half_normal_far_in_its_tail():
    """numpyro#1184, #1492, #1606: what is left of a normal distribution beyond a point stays finite, with its slope."""
    for x in f32([10.0, 30.0, 1e3]):
        (at,) = exactly(x)
        truth = mp.log(mp.erfc(at / mp.sqrt(2)))
        d = HalfNormal(f32(1.0))
        assert ulps(d.log_sf(x), truth) <= 2
        slope = -2 / mp.sqrt(2 * mp.pi) * mp.exp(-at * at / 2) / mp.erfc(at / mp.sqrt(2))
        assert ulps(jax.grad(d.log_sf)(jnp.asarray(x)), slope) <= 4


def test_truncated_normal_far_in_its_tail():
    """numpyro#1184, #1492, #1606."""
    d = Truncated(Normal(f32(0.0), f32(1.0)), low=f32(10.0))
    x, low = exactly(10.5, 10.0)
    truth = -x * x / 2 - mp.log(2 * mp.pi) / 2 - mp.log(mp.erfc(low / mp.sqrt(2)) / 2)
    assert ulps(d.log_prob(f32(10.5)), truth) <= 30  # the difference of two numbers of size 55
    assert ulps(jax.grad(d.log_prob)(jnp.asarray(10.5, jnp.float32)), -x) <= 1


# Directions.


@pytest.mark.parametrize("size", [3, 10])
@pytest.mark.parametrize("concentration", [95.0, 1e3, 1e6])
def test_von_mises_fisher_of_large_concentration(size, concentration):
    """tfp#140: also beyond five dimensions."""
    (k,) = exactly(f32(concentration))
    order = mp.mpf(size) / 2 - 1
    level = mp.log((2 * mp.pi) ** (mp.mpf(size) / 2) * mp.besseli(order, k) / k**order)
    first = np.eye(size, dtype=f32)[0]
    d = VonMisesFisher(first, f32(concentration))
    assert ulps(d.log_normalizer, level) <= 2
    assert ulps(d.log_prob(first), k - level) <= 2


def test_von_mises_fisher_at_the_first_axis():
    """tfp#1211: the density, its slopes and the draws."""
    first = jnp.eye(3, dtype=jnp.float32)[0]
    d = VonMisesFisher(first, f32(2.0))
    slope = jax.grad(lambda d, x: d.log_prob(x))(d, first)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(slope))
    draws = d.sample(jax.random.key(0), (100,))
    np.testing.assert_allclose(np.sum(np.asarray(draws) ** 2, axis=-1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("concentration", [50.0, 1e4, 1e7])
def test_von_mises_of_large_concentration(concentration):
    """stan-math#1076, #3035."""
    loc, k, x = f32(0.5), f32(concentration), f32(0.5 + 3.0 / np.sqrt(concentration))
    m, c, at = exactly(loc, k, x)
    d = VonMises(loc, k)
    truth = c * mp.cos(at - m) - mp.log(2 * mp.pi * mp.besseli(0, c))
    assert ulps(d.log_prob(x), truth) <= 4
    assert ulps(d.cdf(loc), mp.mpf(1) / 2) <= 2


def test_von_mises_tails_beyond_what_a_float_can_hold():
    loc, k, x = f32(-0.07), f32(1e6), f32(-1.0)
    m, c, at = exactly(loc, k, x)
    d = VonMises(loc, k)
    # Mills' ratio: the tail is the density over its rate of fall, to a part in κ.
    truth = c * (mp.cos(at - m)) - mp.log(2 * mp.pi * mp.besseli(0, c)) - mp.log(c * mp.sin(m - at))
    assert ulps(d.log_cdf(x), truth) <= 4
    assert float(d.log_sf(x)) == 0.0
    p = f32(1e-30)
    assert ulps(d.log_cdf(d.icdf(p)), mp.log(*exactly(p))) <= 200  # the density falls fast


def test_a_belief_about_a_direction_integrates_to_one():
    belief = VonMises(0.3, 2.0) + VonMises.evidence(np.array([0.1, 2.9, -3.0]), concentration=3.0)
    angles = np.linspace(-np.pi, np.pi, 2001)[:-1]
    np.testing.assert_allclose(np.mean(np.exp(belief.log_prob(angles))) * 2 * np.pi, 1.0, rtol=1e-5)


# Expectation parameters.


def test_dirichlet_of_small_shapes_from_its_expectation_parameters():
    shapes = f32([0.02, 0.03, 5.0])
    means = f32([float(mp.digamma(a) - mp.digamma(mp.fsum(exactly(*shapes)))) for a in exactly(*shapes)])
    again = jax.jit(Dirichlet.from_expectation)(means)
    np.testing.assert_allclose(again.concentration, shapes, rtol=1e-5)


@pytest.mark.parametrize("mean_log", [-4.314256e-06, -1e-9, -3e-12])
def test_dirichlet_where_one_component_outweighs_the_others(mean_log):
    """Its own mean logarithm is nearly 0, and tells its shape; as a probability it would be 1."""
    m = np.array([-77.40764, mean_log, -97.84978], f32)
    a = exactly(*np.asarray(Dirichlet.from_expectation(m).concentration))
    back = [mp.digamma(v) - mp.digamma(mp.fsum(a)) for v in a]
    assert max(abs(b / t - 1) for b, t in zip(back, exactly(*m))) < 4e-7


@pytest.mark.parametrize("a", [1e4, 1e5])
def test_gamma_from_its_expectation_parameters(a):
    """Their gap is 1/(2a): in float64 it is there, and evidence holds it apart, in float32 too."""
    means = np.array([float(mp.digamma(a) - mp.log(2)), a / 2])
    np.testing.assert_allclose(Gamma.from_expectation(means).concentration, a, rtol=1e-9)
    x = f32(np.random.default_rng(0).gamma(a, size=20_000) / 2)
    wide = x.astype(float)
    gap = np.log(np.mean(wide)) - np.mean(np.log(wide))
    fit = mp.findroot(lambda c: mp.log(c) - mp.digamma(c) - mp.mpf(gap), a)
    np.testing.assert_allclose(Gamma.evidence(x).fit().concentration, float(fit), rtol=1e-6)


# Boundaries.


@pytest.mark.parametrize("rate", [0.5, 3.0])
def test_slope_of_the_exponential_gamma_at_zero(rate):
    d, zero = Gamma(f32(1.0), f32(rate)), jnp.asarray(0.0, jnp.float32)
    assert float(jax.grad(d.log_prob)(zero)) == -rate
    assert ulps(d.log_prob(zero), mp.log(rate)) <= 1


def test_what_cannot_happen_is_infinitely_surprising():
    for d, x in (
        (Exponential(f32(2.0)), -1.0),
        (Gamma(f32(1.0)), -1.0),
        (Beta(f32(2.0), f32(3.0)), 1.5),
        (Uniform(f32(0.0), f32(1.0)), 1.5),
        (Poisson(f32(2.0)), -1.0),
        (Poisson(f32(2.0)), 0.5),
        (Binomial(f32(3.0), logits=f32(0.0)), 4.0),
        (LogNormal(), -1.0),
        (Geometric(logits=f32(0.0)), -1.0),
    ):
        assert float(d.log_prob(f32(x))) == -np.inf
        assert float(d.surprise(f32(x))) == np.inf


@pytest.mark.parametrize("b", [0.5, 1.0, 7.0])
def test_beta_of_shape_one_at_zero(b):
    """numpyro#2088."""
    zero, b = jnp.asarray(0.0, jnp.float32), f32(b)
    assert abs(float(Beta(f32(1.0), b).log_prob(zero)) - np.log(b)) <= np.finfo(f32).eps * (0.5 + abs(np.log(b)))
    np.testing.assert_allclose(jax.grad(Beta(f32(1.0), b).log_prob)(zero), 1 - b, rtol=1e-6)
    slopes = jax.grad(lambda a, b: Beta(a, b).log_prob(zero), (0, 1))(f32(2.0), b)
    assert not np.isnan(slopes[1])
    np.testing.assert_allclose(jax.grad(lambda b: Beta(f32(1.0), b).log_prob(zero))(b), 1 / b, rtol=1e-6)


def test_negative_binomial_of_mean_zero():
    """numpyro#2193: it is certain that the count is 0."""
    d = NegativeBinomial(f32(0.0), f32(3.0))
    np.testing.assert_array_equal(d.log_prob(f32([0.0, 1.0, 30.0])), [0.0, -np.inf, -np.inf])
    assert float(d.entropy()) == 0.0
    assert float(d.mean) == 0.0
    assert float(jax.grad(lambda m: NegativeBinomial(m, f32(3.0)).log_prob(0.0))(f32(0.0))) == -1.0


def test_entropy_where_a_category_is_impossible():
    """numpyro#2276."""
    d = Categorical(probs=f32([0.5, 0.0, 0.5]))
    assert ulps(d.entropy(), mp.log(2)) <= 1
    slope = jax.grad(lambda logits: Categorical(logits=logits).entropy())(f32([0.0, -np.inf, 0.0]))
    assert np.all(np.isfinite(slope))
    assert float(Categorical(probs=f32([1.0, 0.0])).entropy()) == 0.0
    assert float(d.kl(Categorical(probs=f32([0.25, 0.5, 0.25])))) == pytest.approx(np.log(2), rel=1e-6)
    assert float(Categorical(probs=f32([0.25, 0.5, 0.25])).kl(d)) == np.inf
    assert float(Bernoulli(probs=f32(0.0)).entropy()) == 0.0


def test_log_normalizer_of_a_categorical_at_large_natural_parameters():
    """ExponentialFamily.jl#294."""
    for eta in ([1e4, -1e4], [300.0, 299.0], [-1e4, -1e4]):
        at = lambda eta: Categorical.from_natural(eta).log_normalizer
        value, slope = jax.value_and_grad(at)(f32(eta))
        exact = [mp.mpf(v) for v in (*eta, 0.0)]
        total = mp.fsum(mp.exp(v) for v in exact)
        assert abs(float(value) - float(mp.log(total))) <= 1e-6 * max(1.0, abs(float(value)))
        np.testing.assert_allclose(slope, [float(mp.exp(v) / total) for v in exact[:-1]], rtol=1e-4, atol=1e-37)


@pytest.mark.parametrize(("a", "b"), [(1e-10, 1e8), (1e-3, 1e7), (1e8, 1e-8), (2.0, 1e9)])
def test_log_beta_function_at_extreme_ratios(a, b):
    """jax#40653."""
    a, b = f32(a), f32(b)
    assert ulps(Beta(a, b).log_normalizer, log_beta(*exactly(a, b))) <= 2


# Validation, NaN and infinity.


def test_parameters_out_of_their_domain_are_refused_unasked():
    """numpyro#1677."""
    for make in (
        lambda: Normal(0.0, -1.0),
        lambda: Gamma(0.0),
        lambda: Beta(1.0, np.inf),
        lambda: Poisson(-1.0),
        lambda: Poisson(np.nan),
        lambda: Bernoulli(probs=1.5),
        lambda: Categorical(probs=[0.5, 0.6]),
        lambda: Uniform(1.0, 0.0),
        lambda: StudentT(np.array([1.0, -1.0])),
    ):
        with pytest.raises(ValueError, match=r"must be|below"):
            make()
    traced = jax.jit(lambda s: Normal(0.0, s).log_prob(1.0))(f32(-1.0))
    assert np.isnan(traced)


def test_infinity_has_density_zero_and_nan_stays_nan():
    for d in (
        Normal(),
        LogNormal(),
        Gamma(2.0),
        Weibull(1.0, 2.0),
        StudentT(3.0),
        Laplace(),
        InverseGamma(2.0),
        Poisson(2.0),
    ):
        assert float(d.log_prob(np.inf)) == -np.inf, d
        assert float(d.cdf(np.inf)) == 1.0
        assert float(d.log_sf(np.inf)) == -np.inf
        for method in (d.log_prob, d.log_cdf, d.log_sf, d.icdf):
            assert np.isnan(method(np.nan))


def test_gradients_stay_finite_far_out():
    """A gradient that turns NaN where the density underflows ends an optimisation."""
    far = jnp.asarray(1e18, jnp.float32)
    for make in (
        lambda s: Normal(0.0, s).log_prob(far),
        lambda s: Gamma(s, 1.0).log_prob(far),
        lambda s: Weibull(1.0, s).log_prob(far),
        lambda s: StudentT(s).log_prob(far),
        lambda s: Normal(0.0, s).log_sf(far),
        lambda s: Gamma(s, 1.0).log_sf(far),
        lambda s: StudentT(s).log_cdf(far),
        lambda s: sx.HalfNormal(s).log_cdf(far),
    ):
        assert not np.isnan(jax.grad(make)(jnp.asarray(1.5, jnp.float32)))


# Batches.


def test_mapped_constructors_are_loops():
    """numpyro#1317, #2271 and distrax#239: a distribution made inside of `vmap` is a batch of distributions."""
    a, r = f32([0.5, 2.0, 30.0]), f32([1.0, 3.0, 0.1])
    batch = jax.vmap(Gamma)(a, r)
    assert batch.batch_shape == (3,)
    x = f32([0.3, 0.7, 200.0])
    loop = [float(Gamma(p, q).log_prob(v)) for p, q, v in zip(a, r, x)]
    np.testing.assert_allclose(batch.log_prob(x), loop, rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(lambda d, v: d.log_prob(v))(batch, x), loop, rtol=1e-6)
    # over one parameter alone, and over none of the distribution's
    one = jax.vmap(lambda p: Gamma(p, f32(2.0)).kl(Gamma(f32(1.0), f32(2.0))))(a)
    np.testing.assert_allclose(one, [float(Gamma(p, f32(2.0)).kl(Gamma(f32(1.0), f32(2.0)))) for p in a], rtol=1e-6)
    d = Gamma(a, r)
    grid = jax.vmap(d.log_prob, in_axes=0)(np.broadcast_to(x[:, None], (3, 3)))
    np.testing.assert_allclose(np.diag(grid), loop, rtol=1e-6)
    draws = jax.vmap(lambda p, key: Gamma(p, f32(1.0)).sample(key, (5,)))(a, jax.random.split(jax.random.key(0), 3))
    assert draws.shape == (3, 5)


def test_the_log_normalizer_is_differentiable_in_the_parameters_of_the_constructor():
    """ExponentialFamily.jl#291, #293, #295: dA/dθ = ⟨E[T], dη/dθ⟩."""
    with jax.enable_x64(True):
        for d in (
            Normal(1.3, 0.7),
            Gamma(2.3, 0.8),
            InverseGamma(3.1, 0.8),
            Beta(0.7, 2.9),
            InverseGaussian(1.4, 2.2),
            LogNormal(0.3, 0.6),
            Exponential(1.7),
            HalfNormal(1.7),
            Poisson(2.1),
            Bernoulli(logits=0.4),
            Geometric(logits=-0.4),
        ):
            slope = jax.grad(lambda d: d.log_normalizer)(d)
            turned = jax.vjp(lambda d: d.natural, d)[1](d.expectation)[0]
            for ours, chain in zip(jax.tree.leaves(slope), jax.tree.leaves(turned)):
                np.testing.assert_allclose(ours, chain, rtol=1e-9, atol=1e-12)
