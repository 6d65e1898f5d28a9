"""Parameters of families of whole numbers: both ways to give a probability, their digits, domains and batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surprax.families.bernoulli import Bernoulli
from surprax.families.binomial import Binomial
from surprax.families.categorical import Categorical
from surprax.families.geometric import Geometric
from surprax.families.negative_binomial import NegativeBinomial
from surprax.families.poisson import Poisson

BY_CHANCE = [Bernoulli, lambda *args, **kwargs: Binomial(3, *args, **kwargs), Geometric]


@pytest.mark.parametrize("make", BY_CHANCE)
def test_probability_and_log_odds_say_the_same(make):
    for p in (1e-300, 1e-9, 0.3, 0.5, 1 - 1e-12, 1.0):
        with np.errstate(divide="ignore"):
            logits = np.log(p) - np.log1p(-p)
        assert float(make(p).logits) == logits
        assert float(make(logits=logits).probs) == float(make(p).probs)
        assert abs(float(make(p).probs) - p) <= 2e-16 * p * max(1.0, abs(np.log(p)))
    assert float(make(0.3).probs) == 0.3


@pytest.mark.parametrize("make", BY_CHANCE)
def test_exactly_one_of_probability_and_log_odds(make):
    for arguments in ({}, {"probs": 0.3, "logits": 0.1}):
        with pytest.raises(ValueError, match=r"exactly one of probs and logits; got (neither|both)"):
            make(**arguments)


def test_bad_parameters_are_named():
    for make, words in (
        (lambda: Bernoulli(1.5), "Bernoulli: probs must be between 0 and 1; got 1.5"),
        (lambda: Bernoulli([0.2, -0.1]), "got -0.1 at index 1"),
        (lambda: Bernoulli(logits=np.nan), "logits must be"),
        (lambda: Geometric(0.0), "probs must be above 0 and at most 1; got 0.0"),
        (lambda: Binomial(2.5, 0.3), "total_count must be a whole number"),
        (lambda: Binomial(-1, 0.3), "total_count must be"),
        (lambda: Binomial(np.ones(3), np.full(2, 0.3)), "must broadcast"),
        (lambda: Poisson(-1.0), "rate must be at least 0 and finite; got -1.0"),
        (lambda: Poisson(np.inf), "rate must be"),
        (lambda: NegativeBinomial(-1.0, 2.0), "mean must be"),
        (lambda: NegativeBinomial(1.0, 0.0), "concentration must be above 0"),
        (lambda: NegativeBinomial(np.ones(3), np.ones(2)), "must broadcast"),
        (lambda: Categorical(probs=[0.5, 0.6]), "the sum of probs must be 1; got 1.1"),
        (lambda: Categorical(probs=[1.5, -0.5]), "probs must be between 0 and 1; got 1.5 at index 0"),
        (lambda: Categorical(logits=[0.0, np.inf]), "logits must be a number or -∞"),
        (
            lambda: Categorical(logits=[[0.0, 1.0], [-np.inf, -np.inf]]),
            "largest of the logits must be finite; got -inf at index 1",
        ),
        (lambda: Categorical(0.5), "on the last axis; got shape"),
        (lambda: Categorical(), "exactly one of probs and logits; got neither"),
    ):
        with pytest.raises(ValueError, match=words):
            make()


@pytest.mark.parametrize(
    ("make", "bad"),
    [
        (Bernoulli, (-0.1, 1.1, np.nan)),
        (Geometric, (-0.1, 1.1, np.nan)),
        (lambda p: Binomial(3, p), (-0.1, 1.1, np.nan)),
        (lambda p: Categorical(jnp.stack([p, 0.5])), (-0.1, 0.8, np.nan)),
        (Poisson, (-1.0, np.nan)),
        (lambda m: NegativeBinomial(m, 2.0), (-1.0, np.nan)),
        (lambda r: NegativeBinomial(2.0, r), (-1.0, np.nan)),
    ],
)
def test_bad_traced_parameters_give_nan(make, bad):
    def everything(value):
        d = make(value)
        return d.log_prob(1.0), d.log_cdf(0.0), d.entropy(), d.kl(d)

    for value in bad:
        assert np.all(np.isnan(jax.jit(everything)(value)))


def test_parameters_keep_their_dtype():
    for dtype, name in ((jnp.float32, "float32"), (jnp.float64, "float64")):
        with jax.enable_x64(True):
            p = jnp.asarray(0.3, dtype)
            for d in (Bernoulli(p), Binomial(3, p), Geometric(p), Poisson(p), NegativeBinomial(p, p)):
                assert d.log_prob(jnp.asarray(1.0, dtype)).dtype == (name if not isinstance(d, Binomial) else "float64")
            assert Categorical(jnp.stack([p, 1 - p])).entropy().dtype == name


def test_mean_of_a_negative_binomial_has_the_shape_of_the_batch():
    d = NegativeBinomial(3.0, np.array([1.0, 2.0]))
    np.testing.assert_array_equal(d.mean, [3.0, 3.0])
    assert jax.vmap(lambda d: d)(d).mean.shape == (2,)
    slope = jax.grad(lambda m: NegativeBinomial(m, np.array([1.0, 2.0])).variance.sum())(3.0)
    assert float(slope) == pytest.approx(2 + 2 * 3.0 * 1.5)


@pytest.mark.parametrize(
    "d",
    [
        Bernoulli(np.array([0.2, 0.9])),
        Binomial(np.array([3.0, 9.0]), 0.4),
        Geometric(np.array([0.2, 0.9])),
        Poisson(np.array([0.2, 40.0])),
        # Its tails are incomplete beta functions too, and take as long to compile as those of the binomial.
        pytest.param(NegativeBinomial(np.array([0.2, 40.0]), np.array([5.0, 0.5])), marks=pytest.mark.thorough),
        Categorical(probs=np.array([[0.2, 0.8, 0.0], [0.1, 0.3, 0.6]])),
    ],
    ids=lambda d: type(d).__name__,
)
def test_a_batch_is_its_members(d):
    x = np.array([[0.0], [1.0], [2.0]])
    assert d.batch_shape == (2,)
    draws = d.sample(jax.random.key(0), (4,))
    assert draws.shape == (4, 2)
    assert jnp.issubdtype(draws.dtype, jnp.integer)
    for name in ("log_prob", "log_cdf", "log_sf"):
        whole = np.asarray(getattr(d, name)(x))
        for i in range(2):
            np.testing.assert_allclose(whole[:, i], getattr(d[i], name)(x[:, 0]), rtol=2e-6)
    for name in ("mean", "variance", "mode"):
        np.testing.assert_allclose(getattr(d, name), [float(getattr(d[i], name)) for i in range(2)], rtol=1e-6)
    np.testing.assert_allclose(d.entropy(), [float(d[i].entropy()) for i in range(2)], rtol=1e-6)
    np.testing.assert_allclose(d.kl(d[1]), [float(d[i].kl(d[1])) for i in range(2)], rtol=1e-6, atol=1e-12)
    np.testing.assert_array_equal(d.icdf(0.4), [float(d[i].icdf(0.4)) for i in range(2)])


def test_samples_have_the_moments():
    for d in (
        Bernoulli(0.01),
        Binomial(1000, 0.999),
        Geometric(1e-4),
        Poisson(1e6),
        Poisson(0.01),
        NegativeBinomial(50.0, 0.05),
        NegativeBinomial(1e3, 1e8),
        Categorical(probs=[0.1, 0.0, 0.9]),
    ):
        x = np.asarray(d.sample(jax.random.key(3), (20_000,)), float)
        assert abs(x.mean() - float(d.mean)) <= 5 * float(d.stddev) / np.sqrt(len(x)), d
        assert np.all(d.support.contains(x))
        assert np.all(np.asarray(d.log_prob(x)) > -np.inf)


def test_rare_events_are_drawn_at_their_rate():
    """One number of 23 bits cannot say 1e-9; none of a million such draws should come true."""
    assert int(Bernoulli(1e-9).sample(jax.random.key(0), (1_000_000,)).sum()) == 0
    assert int(Bernoulli(logits=30.0).sample(jax.random.key(0), (1_000_000,)).sum()) == 1_000_000


# Categories.


def test_categories_beside_scalars_and_batches():
    one, two = Categorical(probs=[0.2, 0.3, 0.5]), Categorical(logits=np.log([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]]))
    np.testing.assert_allclose(
        np.exp(one.log_prob(np.array([0, 1, 2, 3, -1, 0.5]))), [0.2, 0.3, 0.5, 0, 0, 0], rtol=1e-6
    )
    np.testing.assert_allclose(np.exp(two.log_prob(2)), [0.5, 0.8], rtol=1e-6)
    np.testing.assert_allclose(
        np.exp(two.log_prob(np.arange(3)[:, None])), [[0.2, 0.1], [0.3, 0.1], [0.5, 0.8]], rtol=1e-6
    )
    far = 0.1 * np.log(0.1 / 0.2) + 0.1 * np.log(0.1 / 0.3) + 0.8 * np.log(0.8 / 0.5)
    np.testing.assert_allclose(two.kl(one), [0.0, far], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(one.cdf(np.arange(-1, 4)), [0, 0.2, 0.5, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(one.natural, np.log([0.4, 0.6]), rtol=1e-6)
    assert one.num_categories == 3
    assert Categorical.free_parameters(one) == 2


def test_constant_in_logits_does_not_matter():
    logits = np.array([1.0, -np.inf, 3.0])
    np.testing.assert_allclose(
        Categorical(logits=logits).logits, Categorical(logits=logits + 700.0).logits, rtol=0, atol=2 * np.spacing(700.0)
    )
    inside = jax.jit(lambda s: Categorical(logits=s).log_prob(2.0))
    assert float(inside(logits)) == pytest.approx(float(Categorical(logits=logits).log_prob(2.0)), rel=1e-6)


def test_slope_in_stored_logits_is_that_of_a_distribution():
    """Also where a step of an optimiser leaves them unnormalised."""
    d = Categorical(logits=jnp.array([0.3, -1.0, 2.0]))
    slope = jax.grad(lambda d: d.log_prob(1.0))(d).logits
    np.testing.assert_allclose(slope, np.array([0.0, 1.0, 0.0]) - np.exp(d.logits), rtol=1e-6)
    moved = jax.tree.map(lambda leaf: leaf + 5.0, d)
    np.testing.assert_allclose(moved.log_prob(np.arange(3)), d.log_prob(np.arange(3)), rtol=1e-5)


def test_far_tails_of_categories():
    d = Categorical(logits=[-900.0, -500.0, 0.0, -700.0])
    np.testing.assert_allclose(d.log_cdf(np.arange(3)), [-900.0, -500.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(d.log_sf(np.arange(4)), [0.0, 0.0, -700.0, -np.inf], rtol=1e-6)
