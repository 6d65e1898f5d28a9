"""Mixtures by expectation and maximisation: against brute force, scikit-learn, gradients; and what is refused in words."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import surprax as sx
from surprax.beliefs.mixtures import Mixture, MixtureSameFamily
from surprax.data import datasets
from surprax.numerics.precision import float64_scope


@pytest.fixture(scope="module")
def normals() -> np.ndarray:
    rng = np.random.default_rng(3)
    return np.concatenate([rng.normal(0.0, 1.0, 120), rng.normal(4.0, 1.6, 180)])


def total(d: MixtureSameFamily, x: np.ndarray) -> float:
    """Log-likelihood, by SciPy where the components are normal, in float64 anyway."""
    with float64_scope():
        return float(np.sum(np.asarray(d.log_prob(np.asarray(x, np.float64)))))


# Oracles.


def test_one_step_at_a_time_is_brute_force(normals: np.ndarray) -> None:
    w, m, s = np.array([0.5, 0.5]), np.array([-1.0, 5.0]), np.array([1.0, 1.0])
    start = MixtureSameFamily(w, sx.Normal(m, s))
    trace = []
    for steps in (1, 2):
        heights = np.log(w) + stats.norm.logpdf(normals[:, None], m, s)
        each = special.logsumexp(heights, axis=1)
        trace.append(each.sum())
        r = np.exp(heights - each[:, None])
        n = r.sum(axis=0)
        w, m = n / n.sum(), (r * normals[:, None]).sum(axis=0) / n
        s = np.sqrt((r * (normals[:, None] - m) ** 2).sum(axis=0) / n)
        d, outcome = Mixture(sx.Normal, 2).try_fit(normals, start=start, max_iterations=steps, tolerance=0.0)
        np.testing.assert_allclose(d.probs, w, rtol=1e-12)
        np.testing.assert_allclose(d.components.loc, m, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(d.components.scale, s, rtol=1e-12)
        np.testing.assert_allclose(outcome.log_likelihoods[:steps], trace, rtol=1e-13)
        assert outcome.iterations == steps


@pytest.mark.parametrize("columns", [pytest.param(1, marks=pytest.mark.thorough), 3])
def test_scikit_learn_finds_the_same_maximum(columns: int) -> None:
    mixture = pytest.importorskip("sklearn.mixture")
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.normal(size=(150, columns)), rng.normal(2.5, 0.7, size=(250, columns))])
    means = np.array([[0.5] * columns, [2.0] * columns])
    theirs = mixture.GaussianMixture(
        2,
        tol=1e-13,
        max_iter=5000,
        reg_covar=0.0,
        means_init=means,
        weights_init=[0.5, 0.5],
        precisions_init=[np.eye(columns)] * 2,
    ).fit(x)
    start = MixtureSameFamily([0.5, 0.5], sx.MultivariateNormal(means, np.stack([np.eye(columns)] * 2)))
    ours, outcome = Mixture(sx.MultivariateNormal, 2).try_fit(x, start=start, tolerance=1e-13)
    assert outcome.log_likelihood >= theirs.score(x) * len(x) - 1e-8
    np.testing.assert_allclose(ours.probs, theirs.weights_, atol=1e-5)
    np.testing.assert_allclose(ours.components.loc, theirs.means_, atol=1e-4)
    np.testing.assert_allclose(ours.components.covariance_matrix, theirs.covariances_, atol=1e-4)
    np.testing.assert_allclose(ours.bic(x), theirs.bic(x), rtol=1e-9)
    np.testing.assert_allclose(ours.aic(x), theirs.aic(x), rtol=1e-9)


@pytest.mark.parametrize("family", [sx.Normal, sx.Gamma, pytest.param(sx.StudentT, marks=pytest.mark.thorough)])
def test_the_gradient_is_0_at_the_maximum(family: type, normals: np.ndarray) -> None:
    x = normals if family is not sx.Gamma else np.exp(normals / 3)
    d, outcome = Mixture(family, 2).try_fit(x, tolerance=1e-14)
    assert outcome.ok
    assert np.all(np.diff(outcome.log_likelihoods) >= 0)
    np.testing.assert_allclose(outcome.log_likelihood, total(d, x), rtol=1e-12)
    names = tuple(d.components.parameters)

    def height(logits: jax.Array, leaves: dict[str, jax.Array]) -> jax.Array:
        return MixtureSameFamily(logits=logits, components=family(**leaves)).log_likelihood(x)

    with float64_scope():
        slopes = jax.grad(height, argnums=(0, 1))(
            jnp.asarray(d.logits), {name: jnp.asarray(getattr(d.components, name)) for name in names}
        )
    assert max(float(np.max(np.abs(leaf))) for leaf in jax.tree.leaves(slopes)) < 2e-3


def test_the_dam_at_aswan_divides_the_nile() -> None:
    """It fell in 1899, after 28 years of the series (Cobb 1978): most of the early years are in the wet component."""
    x = datasets.load("nile")["volume"].values.astype(float)
    choice = Mixture.choose(sx.Normal, x, range(1, 4), criterion="aic")
    assert choice.k == 2
    single = sx.Normal.fit(x)
    np.testing.assert_allclose(
        choice[1].outcome.log_likelihood, stats.norm.logpdf(x, single.loc, single.scale).sum(), rtol=1e-12
    )
    wet = np.asarray(choice.best.assign(x)) == 1
    assert wet[:28].mean() > 2 * wet[28:].mean()


# Identities.


@pytest.mark.parametrize("family", [sx.Normal, sx.Gamma, sx.Poisson])
def test_a_single_component_is_a_fit_of_the_family(family: type) -> None:
    x = np.array([1.0, 4.0, 2.0, 7.0, 3.0])
    d, one = Mixture(family, 1).fit(x), family.fit(x)
    for name in one.parameters:
        np.testing.assert_array_equal(getattr(d.components, name), [getattr(one, name)])
    np.testing.assert_array_equal(d.probs, [1.0])


def test_weights_are_repetitions(normals: np.ndarray) -> None:
    x = normals[::10]
    weights = np.arange(len(x)) % 3
    mixture = Mixture(sx.Normal, 2)
    start = MixtureSameFamily([0.5, 0.5], sx.Normal(np.array([0.0, 4.0]), 1.5))
    a, b = mixture.fit(x, weights, start=start), mixture.fit(np.repeat(x, weights), start=start)
    np.testing.assert_allclose(a.components.loc, b.components.loc, rtol=1e-6)
    np.testing.assert_allclose(a.probs, b.probs, rtol=1e-6)


def test_rows_that_are_alike_are_counted() -> None:
    rng = np.random.default_rng(0)
    x = np.where(rng.random(50_000) < 0.3, rng.poisson(2.0, 50_000), rng.poisson(12.0, 50_000))
    d, outcome = Mixture(sx.Poisson, 2).try_fit(x)
    assert outcome.distinct == len(np.unique(x))
    assert outcome.rows == 50_000
    np.testing.assert_allclose(d.components.rate, [2.0, 12.0], rtol=0.02)
    np.testing.assert_allclose(outcome.log_likelihood, total(d, x), rtol=1e-11)


def test_extrapolated_steps_and_plain_ones_reach_the_same_place(normals: np.ndarray) -> None:
    """Against one plain step at a time, each from where the last one ended."""
    mixture = Mixture(sx.Normal, 2)
    d = MixtureSameFamily([0.5, 0.5], sx.Normal(np.array([0.0, 4.0]), 1.5))
    fast, outcome = mixture.try_fit(normals, start=d, tolerance=1e-13)
    for _ in range(300):
        d, _ = mixture.try_fit(normals, start=d, max_iterations=1)
    np.testing.assert_allclose(fast.components.loc, d.components.loc, rtol=1e-5, atol=1e-5)
    assert outcome.iterations < 100


def test_order_and_starts_are_reproducible(normals: np.ndarray) -> None:
    mixture = Mixture(sx.Normal, 3)
    assert mixture == Mixture(sx.Normal, 3)
    assert hash(mixture) == hash(Mixture(sx.Normal, 3))
    a, b = (mixture.fit(normals, key=jax.random.key(7)) for _ in range(2))
    np.testing.assert_array_equal(a.components.loc, b.components.loc)
    assert np.all(np.diff(a.components.loc) > 0)


def test_a_component_far_narrower_than_its_distance_keeps_its_digits() -> None:
    rng = np.random.default_rng(2)
    near, far = rng.normal(0.0, 1e-7, 100), 1.0 + rng.normal(0.0, 1e-7, 100)
    d = Mixture(sx.Normal, 2).fit(np.concatenate([near, far]))
    np.testing.assert_allclose(d.components.scale, [near.std(), far.std()], rtol=1e-8)


# Recovery, and families of all kinds.


@pytest.mark.parametrize(
    ("truth", "tolerance"),
    [
        (sx.Gamma(np.array([2.0, 30.0]), np.array([1.0, 2.0])), 0.15),
        # As that above, and as the counts that are alike: a family's own fit is a matter of its own tests.
        pytest.param(sx.Exponential(np.array([0.05, 2.0])), 0.15, marks=pytest.mark.thorough),
        pytest.param(sx.Poisson(np.array([2.0, 15.0])), 0.05, marks=pytest.mark.thorough),
        pytest.param(sx.VonMises(np.array([-1.0, 2.0]), np.array([6.0, 4.0])), 0.25, marks=pytest.mark.thorough),
        pytest.param(sx.Beta(np.array([2.0, 9.0]), np.array([8.0, 3.0])), 0.25, marks=pytest.mark.thorough),
        pytest.param(
            sx.NegativeBinomial(np.array([3.0, 40.0]), np.array([4.0, 15.0])), 0.35, marks=pytest.mark.thorough
        ),
        (sx.MultivariateNormalDiag(np.array([[0.0, 0.0], [4.0, 2.0]]), np.array([[1.0, 2.0], [0.5, 1.0]])), 0.15),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, sx.Distribution) else "",
)
def test_what_made_the_data_is_found(truth: sx.Distribution, tolerance: float) -> None:
    mixture = MixtureSameFamily([0.4, 0.6], truth)
    x = np.asarray(mixture.sample(jax.random.key(1), (4_000,)), np.float64)
    if isinstance(truth, sx.VonMises):
        x = np.clip(x, -np.pi, np.pi)
    d, outcome = Mixture(type(truth), 2).try_fit(x)
    assert outcome.ok
    assert np.all(np.diff(outcome.log_likelihoods) >= 0)
    assert outcome.log_likelihood >= total(mixture, x)
    order = np.argsort(np.asarray(truth.mean).reshape(2, -1)[:, 0])
    np.testing.assert_allclose(d.probs, np.array([0.4, 0.6])[order], atol=0.03)
    for name in truth.parameters:
        np.testing.assert_allclose(getattr(d.components, name), getattr(truth, name)[order], rtol=tolerance, atol=0.15)


def test_known_parameters_are_held(normals: np.ndarray) -> None:
    d, outcome = Mixture(sx.Normal, 2).try_fit(normals, scale=1.2)
    np.testing.assert_array_equal(d.components.scale, 1.2)
    assert outcome.free_parameters == 3
    x = np.random.default_rng(0).binomial(10, np.where(np.arange(200) < 80, 0.2, 0.7))
    binomial, outcome = Mixture(sx.Binomial, 2).try_fit(x, total_count=10)
    assert outcome.free_parameters == 3
    np.testing.assert_allclose(binomial.probs, [0.4, 0.6], atol=0.1)


def test_columns_of_several_families() -> None:
    rng = np.random.default_rng(1)
    group = np.arange(300) < 100
    x = np.stack([np.where(group, 0.0, 8.0) + rng.normal(size=300), rng.poisson(np.where(group, 2.0, 9.0))], axis=1)
    d, outcome = Mixture(sx.Product, 2).try_fit(x, families=(sx.Normal, sx.Poisson))
    assert outcome.free_parameters == 2 * 3 + 1
    np.testing.assert_allclose(d.components.parts[1].rate, [x[group, 1].mean(), x[~group, 1].mean()], rtol=0.02)


def test_a_limit_is_told_and_stands_for_another_family() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(0.0, 1.0, 200), 20.0 + rng.standard_t(3, 300)])
    d, outcome = Mixture(sx.StudentT, 2).try_fit(x)
    assert "no heavier than normal" in outcome.limits[0]
    np.testing.assert_allclose(d.components.loc[0], x[:200].mean(), rtol=1e-3)
    assert not outcome.limits[1]


# What is refused.


@pytest.mark.parametrize(
    ("family", "k", "x", "sentence"),
    [
        (sx.Normal, 2, [1.0, 2.0, float("nan"), 3.0], "row 2 is missing"),
        (sx.Normal, 2, [1.0, float("inf"), 3.0], "row 1 is inf"),
        (sx.Gamma, 2, [1.0, 2.0, -1.0], "row 2 is -1"),
        (sx.Normal, 3, [1.0, 1.0, 2.0], "at least 3 different observations; got 2"),
        (sx.Normal, 2, [], "nothing to fit"),
        (sx.Normal, 2, [[1.0, 2.0]], "along one axis"),
        (sx.Normal, 2, np.repeat([0.0, 1.0], 20), "narrows on that point"),
        (sx.MultivariateNormal, 2, np.outer(np.arange(20.0), [1.0, 2.0]), "fewer dimensions"),
        (sx.Normal, 2, [0.0, 1.0, 2.0, 100.0, 100.0, 100.0], "narrows on that point"),
    ],
)
def test_a_sentence_says_why_there_is_no_fit(family: type, k: int, x: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Mixture(family, k).fit(x)


def test_arguments_are_checked(normals: np.ndarray) -> None:
    with pytest.raises(ValueError, match="at least 1; got 0"):
        Mixture(sx.Normal, 0)
    with pytest.raises(ValueError, match=r"got 1\.5"):
        Mixture(sx.Normal, 1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a family of distributions"):
        Mixture(sx.Normal(0.0, 1.0), 2)  # type: ignore[arg-type]
    mixture = Mixture(sx.Normal, 2)
    with pytest.raises(ValueError, match="row 0 has -1"):
        mixture.fit(normals, np.r_[-1.0, np.ones(len(normals) - 1)])
    with pytest.raises(ValueError, match="weight above 0"):
        mixture.fit(normals, np.zeros(len(normals)))
    with pytest.raises(ValueError, match="did not settle"):
        mixture.fit(normals, max_iterations=1)
    with pytest.raises(ValueError, match="single mixture of 2 Normal"):
        mixture.fit(normals, start=MixtureSameFamily([1.0], sx.Normal(np.zeros(1), 1.0)))
    with pytest.raises(TypeError, match="fitted to observations"):
        mixture.fit(sx.Normal.evidence(normals))
    with pytest.raises(ValueError, match="outside of jit"):
        jax.jit(lambda x: mixture.try_fit(x)[0].logits)(normals)
    with pytest.raises(ValueError, match="criterion is one of"):
        Mixture.choose(sx.Normal, normals, criterion="deviance")  # type: ignore[arg-type]


def test_a_start_that_degenerates_is_abandoned_and_told(normals: np.ndarray) -> None:
    x = np.concatenate([normals, np.full(40, 4.0)])
    d, outcome = Mixture(sx.Normal, 2).try_fit(x)
    assert outcome.ok
    assert np.min(d.components.scale) > 0.1
    bad, told = Mixture(sx.Normal, 2).try_fit(
        x, start=MixtureSameFamily([0.9, 0.1], sx.Normal(np.array([2.0, 4.0]), np.array([2.0, 1e-9])))
    )
    assert np.all(np.isnan(bad.logits))
    assert "component 1" in str(told)
    assert "narrows on that point" in str(told)


def test_the_choice_is_a_table(normals: np.ndarray) -> None:
    choice = Mixture.choose(sx.Normal, normals, range(1, 4))
    assert choice.k == 2
    lines = str(choice).splitlines()
    assert lines[0] == "Mixtures of Normal: 300 rows"
    assert lines[3].endswith("<- least BIC")
    two = choice[2]
    np.testing.assert_allclose(two.bic, choice.best.bic(normals), rtol=1e-12)
    np.testing.assert_allclose(two.aic, choice.best.aic(normals), rtol=1e-12)
    assert two.icl > two.bic
    with pytest.raises(KeyError, match="was not tried"):
        choice[9]


def test_folds_for_a_game(normals: np.ndarray) -> None:
    rows = normals.reshape(5, -1)
    fit, outcome, fits, outcomes = Mixture(sx.Normal, 2)._fit_with_and_without_each(rows, None)
    assert outcome.ok
    assert np.all(outcomes.ok)
    assert fits.batch_shape == (5,)
    again = Mixture(sx.Normal, 2).fit(rows[1:].ravel(), start=fit)
    np.testing.assert_allclose(fits[0].components.loc, again.components.loc)


def test_multinomials_are_mixed():
    rng = np.random.default_rng(8)
    x = np.concatenate([rng.multinomial(20, p, 300) for p in ([0.7, 0.2, 0.1], [0.1, 0.3, 0.6])])
    d = sx.Mixture(sx.Multinomial, 2).fit(x, total_count=20)
    order = np.argsort(np.asarray(d.components.probs)[:, 0])
    np.testing.assert_allclose(np.asarray(d.components.probs)[order], [[0.1, 0.3, 0.6], [0.7, 0.2, 0.1]], atol=0.02)
    np.testing.assert_allclose(d.probs, [0.5, 0.5], atol=1e-3)


@pytest.mark.parametrize("scale", [1e-2, 1e-3, 1e-4])
def test_the_first_gain_from_a_bad_start_does_not_foretell_the_last(normals: np.ndarray, scale: float) -> None:
    best = Mixture(sx.Normal, 2).try_fit(normals)[1]
    start = MixtureSameFamily([0.5, 0.5], sx.Normal(np.array([0.0, 4.0]), scale))
    outcome = Mixture(sx.Normal, 2).try_fit(normals, start=start)[1]
    assert outcome.converged
    np.testing.assert_allclose(outcome.log_likelihood, best.log_likelihood, atol=1e-4)


def test_the_scale_of_weights_changes_nothing(normals: np.ndarray) -> None:
    plain = Mixture(sx.Normal, 2).fit(normals)
    for weight in (1e-200, 1e-6, 1e200):
        d = Mixture(sx.Normal, 2).fit(normals, np.full(len(normals), weight))
        np.testing.assert_allclose(d.components.loc, plain.components.loc, atol=1e-3)
    with pytest.raises(ValueError, match="beyond the greatest float64"):
        Mixture(sx.Normal, 2).fit(normals, np.full(len(normals), 1e307))


def test_held_parameters_are_held_from_any_start(normals: np.ndarray) -> None:
    start = MixtureSameFamily([0.5, 0.5], sx.Normal(np.array([0.0, 4.0]), 0.7))
    d, outcome = Mixture(sx.Normal, 2).try_fit(normals, start=start, scale=3.0)
    assert outcome.converged
    np.testing.assert_array_equal(d.components.scale, [3.0, 3.0])
    assert np.all(np.diff(outcome.log_likelihoods) >= 0)


def test_parameters_that_go_to_a_limit_together_keep_the_mean() -> None:
    rng = np.random.default_rng(0)
    counts = np.concatenate([rng.poisson(4.0, 200), rng.negative_binomial(5, 0.2, 200)])
    _, outcome = Mixture(sx.Binomial, 2).try_fit(counts)
    assert any("becomes Poisson" in why for why in outcome.limits)
    poisson = Mixture(sx.Poisson, 2).try_fit(counts)[1]
    assert outcome.log_likelihood >= poisson.log_likelihood - 0.01
    x = rng.gamma(5.0, 1.0, 200)
    d, outcome = Mixture(sx.Lomax, 2).try_fit(x)
    one = total(MixtureSameFamily([1.0], sx.Exponential(1.0 / x.mean(keepdims=True))), x)
    np.testing.assert_allclose(outcome.log_likelihood, one, atol=1e-3)
    np.testing.assert_allclose(d.mean, x.mean(), rtol=1e-3)


def test_components_are_in_order_though_float32_cannot_tell(normals: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0.0, 3.0, 200), rng.normal(4.0, 0.5, 200)])
    d = Mixture(sx.Normal, 2).fit(x + 1e9)
    assert np.diff(d.components.loc)[0] > 3.0
    Mixture(sx.Normal, 2).fit(normals * 1e150)  # without a warning


def test_too_few_different_rows_are_an_outcome() -> None:
    x = np.array([1.0, 2.0, 3.0, 4.0, 8.0, 9.0])
    choice = Mixture.choose(sx.Normal, x, [1, 2, 7])
    assert choice.k == 2
    assert "needs at least 7 different observations; got 6" in str(choice)
    assert np.all(np.isnan(choice[7].distribution.logits))
    board = sx.play({"three": Mixture(sx.Bernoulli, 3), "one": sx.Bernoulli}, [0, 1, 1, 0, 1, 0, 0])
    assert board.best.name == "one"
    assert board.disqualified[0].name == "three"


def test_mixtures_are_no_family_that_is_fitted() -> None:
    with pytest.raises(TypeError, match="MixtureSameFamily has no fit"):
        Mixture(MixtureSameFamily, 2)
