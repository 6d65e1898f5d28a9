"""Entropy and divergence of families of whole numbers, to relative accuracy, also where they nearly vanish."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from tests.families.precisions import each_dtype

from surprax.families.bernoulli import Bernoulli
from surprax.families.binomial import Binomial
from surprax.families.categorical import Categorical
from surprax.families.discrete import lattice
from surprax.families.geometric import Geometric
from surprax.families.negative_binomial import NegativeBinomial
from surprax.families.poisson import Poisson


@pytest.fixture(autouse=True)
def _precision(request):
    dtype = request.node.callspec.params.get("dtype") if hasattr(request.node, "callspec") else None
    with jax.enable_x64(dtype is np.float64), mp.workdps(45):
        yield


def exactly(value):
    return mp.mpf(float(value))


def direct(d, most, chunk=1 << 16):
    """Σ p and −Σ p log p over 0, …, most, summed number by number in float64."""
    total = entropy = 0.0
    with jax.enable_x64(True):
        d = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), d)
        for first in range(0, most + 1, chunk):
            log_p = np.asarray(d.log_prob(np.arange(first, first + chunk, dtype=np.float64)))
            p = np.exp(log_p)
            total, entropy = total + p.sum(), entropy - np.sum(np.where(p > 0, p * np.where(p > 0, log_p, 0.0), 0.0))
    return total, entropy


# Entropy.


@each_dtype
def test_entropy_is_the_sum_over_all_counts(dtype):
    """One batch for each family: narrow laws, wide laws that keep clear of 0, and wide ones crowded at 0."""
    batches = [
        Poisson(np.array([1e-6, 0.3, 7.0, 40.0, 300.0, 5e3], dtype)),
        Binomial(
            np.array([1, 9, 200, 3000, 6e4, 6e4], dtype), logits=np.array([0.0, -1.0, 3.0, 0.5, -4.0, 5.0], dtype)
        ),
        NegativeBinomial(
            np.array([1e-3, 3.0, 3e3, 500.0, 5e3, 5e3], dtype), np.array([1e-3, 0.1, 0.5, 20.0, 84.0, 1e5], dtype)
        ),
    ]
    for batch in batches:
        got = np.asarray(batch.entropy())
        assert got.dtype == dtype
        for i in range(len(got)):
            most = min(int(batch.mean[i] + 60 * batch.stddev[i]) + 100, 1 << 19)
            total, truth = direct(batch[i], most)
            assert total == pytest.approx(1.0, abs=1e-12)
            assert got[i] == pytest.approx(truth, rel=8 * float(np.finfo(dtype).eps)), batch[i]


@each_dtype
def test_entropy_of_enormous_counts_is_that_of_the_normal(dtype):
    for rate in (1e7, 1e9, 1e12, 1e20, 1e30):
        series = 0.5 * np.log(2 * np.pi * np.e * rate) - 1 / (12 * rate)
        assert float(Poisson(dtype(rate)).entropy()) == pytest.approx(series, rel=4 * float(np.finfo(dtype).eps))
    # A wide negative binomial is nearly a Gamma variable, here exponential: entropy 1 + log(mean + ½).
    got = float(NegativeBinomial(dtype(1e9), dtype(1.0)).entropy())
    assert got == pytest.approx(1 + np.log(1e9 + 0.5), rel=4 * float(np.finfo(dtype).eps))


@each_dtype
def test_geometric_is_the_negative_binomial_of_concentration_one(dtype):
    for p in (0.9, 0.3, 1e-3):
        g, d = Geometric(dtype(p)), NegativeBinomial(dtype((1 - p) / p), dtype(1.0))
        np.testing.assert_allclose(g.entropy(), d.entropy(), rtol=1e-5 if dtype is np.float32 else 1e-13)
    trial = Bernoulli(dtype(0.3))
    np.testing.assert_allclose(Geometric(dtype(0.3)).entropy(), trial.entropy() / trial.probs, rtol=1e-6)


@each_dtype
def test_slope_of_the_entropy(dtype):
    """d/dθ by the difference quotient of float64."""
    h = 1e-4
    for entropy in (
        lambda t: Poisson(jnp.exp(t)).entropy(),
        lambda t: NegativeBinomial(jnp.exp(3 * t), jnp.exp(t) / 50).entropy(),
        lambda t: Binomial(100, logits=t).entropy(),
        lambda t: Geometric(logits=t).entropy(),
        lambda t: Categorical(logits=jnp.stack([t, 0.0 * t, -2 * t])).entropy(),
    ):
        for t in (-1.5, 0.3, 3.0):
            with jax.enable_x64(True):
                slope = float(entropy(t + h) - entropy(t - h)) / (2 * h)
            assert float(jax.grad(entropy)(dtype(t))) == pytest.approx(slope, rel=2e-4, abs=1e-5)


def test_lattice_sums_whole_numbers():
    """Σ xⁱ p(x) of geometric laws, by the points of each kind of window."""
    with jax.enable_x64(True):
        for mean in (0.2, 30.0, 1e4, 1e9):
            r, upper = jnp.asarray(mean), jnp.asarray(jnp.inf)
            x, w = lattice(r, r * (1 + r), 1 + r, upper)
            p = w * jnp.exp(Geometric(logits=-jnp.log(r))._log_density(x))
            np.testing.assert_allclose([p.sum(), (p * x).sum()], [1.0, mean], rtol=1e-13)
        x, w = lattice(*(jnp.asarray(v) for v in (50.0, 25.0, 1.0, 100.0)))
        np.testing.assert_array_equal(x[w > 0], np.arange(len(x[w > 0])))
        assert x[w > 0][-1] == 100.0


# Divergence.


@each_dtype
def test_divergence_of_trials_is_right_to_rounding(dtype):
    eps, pairs = np.finfo(dtype).eps, []
    for own in (-40.0, -3.0, -0.2, 0.0, 1.5, 15.0):
        gaps = (1e-6, -1e-4, 0.3, -0.9, 1.1, -3.0, 30.0, -50.0)
        pairs += [(dtype(own), dtype(own + gap)) for gap in gaps]
    own, other = np.array([p for p in pairs if p[0] != p[1]]).T
    values = np.asarray(Bernoulli(logits=own).kl(Bernoulli(logits=other)))
    divergence = lambda a, b: Bernoulli(logits=a).kl(Bernoulli(logits=b))
    slopes = jax.vmap(jax.grad(divergence, argnums=(0, 1)))(own, other)
    for i, (a, b) in enumerate(zip(own, other)):
        a, b = exactly(a), exactly(b)
        p, q = 1 / (1 + mp.exp(-a)), 1 / (1 + mp.exp(-b))
        truth = p * mp.log(p / q) + (1 - p) * mp.log((1 - p) / (1 - q))
        assert abs(exactly(values[i]) - truth) <= 16 * eps * truth
        for got, slope in ((slopes[0][i], p * (1 - p) * (a - b)), (slopes[1][i], q - p)):
            assert abs(exactly(got) - slope) <= 4 * eps * abs(slope)


@each_dtype
def test_divergences_that_rest_on_one_trial(dtype):
    p, q = Bernoulli(dtype(0.3)), Bernoulli(dtype(0.301))
    one = float(p.kl(q))
    assert float(Binomial(40, dtype(0.3)).kl(Binomial(40, dtype(0.301)))) == pytest.approx(40 * one, rel=1e-6)
    assert float(Geometric(dtype(0.3)).kl(Geometric(dtype(0.301)))) == pytest.approx(one / 0.3, rel=1e-6)
    assert float(
        Categorical(jnp.array([0.7, 0.3], dtype)).kl(Categorical(jnp.array([0.699, 0.301], dtype)))
    ) == pytest.approx(one, rel=2e-3 if dtype is np.float32 else 1e-9)


@each_dtype
def test_divergence_of_negative_binomials_is_right_to_rounding(dtype):
    def log_mass(k, m, r):
        return mp.loggamma(k + r) - mp.loggamma(r) - mp.loggamma(k + 1) - r * mp.log1p(m / r) - k * mp.log1p(r / m)

    factors = [(1, 1.001), (1.001, 1), (1.01, 0.98), (1.5, 1), (1, 1.5), (3, 0.2), (0.1, 10), (1 + 1e-5, 1 + 1e-5)]
    settings = [(0.01, 0.01), (3.0, 0.5), (3.0, 2.0), (5.0, 1e8), (20.0, 30.0)]
    own = np.array([s for s in settings for _ in factors], dtype)
    other = np.array([(m * a, r * b) for m, r in settings for a, b in factors], dtype)
    got = np.asarray(NegativeBinomial(*own.T).kl(NegativeBinomial(*other.T)))
    for i in range(len(own)):
        (m, r), (n, s) = ([exactly(v) for v in row] for row in (own[i], other[i]))
        p, x, k, truth = mp.exp(-r * mp.log1p(m / r)), m / (r + m), 0, mp.mpf(0)
        while k <= m or p > mp.mpf(10) ** -35:
            truth += p * (log_mass(k, m, r) - log_mass(k, n, s))
            k += 1
            p *= (k - 1 + r) / k * x
        assert abs(exactly(got[i]) - truth) <= 32 * np.finfo(dtype).eps * truth, (own[i], other[i])


@each_dtype
def test_divergence_at_one_concentration_has_a_closed_form(dtype):
    for m, n, r in ((3.0, 3.01, 2.0), (3.0, 30.0, 2.0), (1e6, 1.001e6, 1e-3), (5.0, 4.0, 1e8), (1e5, 1e4, 50.0)):
        p, q = NegativeBinomial(dtype(m), dtype(r)), NegativeBinomial(dtype(n), dtype(r))
        np.testing.assert_allclose(p.kl(q), p._kl_given_known(q), rtol=64 * np.finfo(dtype).eps)
        slope = jax.grad(lambda n, r=r, p=p: p.kl(NegativeBinomial(n, dtype(r))))(dtype(n))
        closed = jax.grad(lambda n, r=r, p=p: p._kl_given_known(NegativeBinomial(n, dtype(r))))(dtype(n))
        np.testing.assert_allclose(slope, closed, rtol=1e-3 if dtype is np.float32 else 1e-11)
        np.testing.assert_allclose(closed, (n - m) / n / (1 + n / r), rtol=1e-3 if dtype is np.float32 else 1e-12)


@each_dtype
def test_divergence_between_numbers_of_trials(dtype):
    """Finite where the other allows as many successes, and then a plain sum."""
    p, q = Binomial(4, dtype(0.3)), Binomial(6, dtype(0.5))
    k = np.arange(5.0, dtype=dtype)
    log_p, log_q = np.asarray(p.log_prob(k)), np.asarray(q.log_prob(k))
    assert float(p.kl(q)) == pytest.approx(float(np.sum(np.exp(log_p) * (log_p - log_q))), rel=1e-5)
    assert float(q.kl(p)) == np.inf
    assert float(Binomial(4, 0.0).kl(Binomial(3, 0.5))) == pytest.approx(3 * np.log(2), rel=1e-6)
    batch = Binomial(np.array([4.0, 4.0, 6.0]), dtype(0.3)).kl(Binomial(np.array([4.0, 6.0, 4.0]), dtype(0.5)))
    np.testing.assert_allclose(batch, [float(p.kl(Binomial(4, dtype(0.5)))), float(p.kl(q)), np.inf], rtol=1e-5)


@each_dtype
def test_impossible_events_cost_infinity_and_certain_ones_nothing(dtype):
    for make in (Bernoulli, lambda p: Binomial(3, p), lambda p: Categorical(jnp.stack([p, 1 - p]))):
        zero, half, one = (make(jnp.asarray(v, dtype)) for v in (0.0, 0.5, 1.0))
        assert half.kl(zero) == half.kl(one) == zero.kl(one) == np.inf
        assert zero.kl(zero) == one.kl(one) == 0.0
        assert 0 < zero.kl(half) < np.inf
    assert Poisson(dtype(0.0)).kl(Poisson(dtype(2.0))) == 2.0
    assert Poisson(dtype(2.0)).kl(Poisson(dtype(0.0))) == np.inf
    zero, some = NegativeBinomial(dtype(0.0), dtype(1.0)), NegativeBinomial(dtype(1.0), dtype(1.0))
    assert float(zero.kl(some)) == pytest.approx(np.log(2.0), rel=1e-6)
    assert some.kl(zero) == np.inf


# Categories.


@each_dtype
def test_entropy_and_divergence_of_impossible_categories(dtype):
    """Both are finite, and so are their slopes."""
    p, q = np.array([0.5, 0.0, 0.5], dtype), np.array([0.25, 0.25, 0.5], dtype)
    assert float(Categorical(p).entropy()) == pytest.approx(np.log(2.0), rel=1e-6)
    assert float(Categorical(p).kl(Categorical(q))) == pytest.approx(0.5 * np.log(2.0), rel=1e-6)
    assert float(Categorical(q).kl(Categorical(p))) == np.inf
    for value in (lambda p: Categorical(p).entropy(), lambda p: Categorical(p).kl(Categorical(q))):
        assert np.all(np.isfinite(jax.grad(value)(p)))
    logits = np.array([0.0, -np.inf, 1.0], dtype)
    assert np.all(np.isfinite(jax.grad(lambda s: Categorical(logits=s).entropy())(logits)))
    assert np.all(np.isfinite(jax.grad(lambda s: Categorical(logits=s).log_prob(2.0))(logits)))
    assert np.all(np.isfinite(jax.grad(lambda s: Categorical(logits=s).log_cdf(1.0))(logits)))


@each_dtype
def test_divergence_of_categories_near_equality(dtype):
    rng, eps = np.random.default_rng(0), np.finfo(dtype).eps
    for size in (1e-5, 1e-2, 1.0, 10.0):
        own = rng.normal(size=6).astype(dtype)
        other = (own + size * rng.normal(size=6)).astype(dtype)
        a, b = ([exactly(v) for v in np.asarray(Categorical(logits=s).logits)] for s in (own, other))
        p, q = ([mp.exp(v) / sum(mp.exp(w) for w in s) for v in s] for s in (a, b))
        truth = sum(u * mp.log(u / v) for u, v in zip(p, q))
        got = float(Categorical(logits=own).kl(Categorical(logits=other)))
        assert abs(got - truth) <= truth * eps * (32 + 32 / size)
