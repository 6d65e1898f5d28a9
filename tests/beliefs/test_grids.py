"""Beliefs on grids: against conjugate posteriors, SciPy's quadrature and distributions, and bad input."""

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate as integrate
import scipy.stats as st
from hypothesis import given
from hypothesis import strategies as some

import surprax as sx
from surprax.beliefs.drawing import categorical

WATER = [1, 0, 1, 1, 1, 0, 1, 0, 1]
X = np.random.default_rng(7).normal(1.5, 0.8, 30)


def globe(n=2001):
    return sx.grid(sx.Bernoulli, probs=(0, 1, n)).update(WATER)


def both(**axes):
    return sx.grid(sx.Normal, **({"loc": (0.0, 3.0, 151), "scale": (0.3, 2.5, 140)} | axes)).update(X)


# Against closed forms.


def test_a_flat_prior_and_tosses_give_a_beta():
    exact, belief = st.beta(7, 4), globe()
    np.testing.assert_allclose(belief.mean("probs"), exact.mean(), atol=1e-7)
    np.testing.assert_allclose(belief.stddev("probs"), exact.std(), atol=1e-7)
    np.testing.assert_allclose(belief.density(), exact.pdf(belief.axes["probs"]), atol=3e-6)
    np.testing.assert_allclose(
        belief.log_evidence, sx.log_evidence(sx.Beta(1, 1), sx.Bernoulli.evidence(WATER)), atol=3e-7
    )
    q = np.array([0.0, 0.001, 0.1, 0.5, 0.9, 1.0])
    np.testing.assert_allclose(belief.quantile(q), exact.ppf(q), atol=2e-6)
    assert belief.mode()["probs"] == pytest.approx(2 / 3, abs=3e-4)
    lo, hi = belief.credible_interval(level=0.89, kind="eti")
    np.testing.assert_allclose([lo, hi], exact.interval(0.89), atol=2e-6)


def test_the_shortest_interval_has_its_mass_and_equal_densities_at_its_ends():
    exact = st.beta(7, 4)
    lo, hi = globe().credible_interval("probs", 0.89)
    assert exact.cdf(hi) - exact.cdf(lo) == pytest.approx(0.89, abs=2e-6)
    assert exact.pdf(lo) == pytest.approx(exact.pdf(hi), rel=3e-3)


def test_a_shortest_interval_may_stand_at_an_end():
    belief = sx.grid(sx.Exponential, rate=(1e-9, 40.0, 4001), prior={"rate": sx.Exponential(1.0)})
    lo, hi = belief.credible_interval(level=0.9)
    assert lo == 1e-9
    assert hi == pytest.approx(np.log(10), abs=1e-4)


@pytest.mark.parametrize("prior", [sx.Normal(1.0, 2.0), lambda loc: sx.Normal(1.0, 2.0).log_prob(loc)])
def test_a_prior_as_a_distribution_or_as_a_function(prior):
    prior = prior if callable(prior) else {"loc": prior}
    e = sx.Normal.evidence(X, scale=0.8)
    belief = sx.grid(sx.Normal, loc=(-3, 6, 901), scale=0.8, prior=prior) + e
    posterior = sx.Normal(1.0, 2.0) + e
    np.testing.assert_allclose(belief.mean("loc"), posterior.loc, rtol=1e-6)
    np.testing.assert_allclose(belief.stddev("loc"), posterior.scale, rtol=1e-6)
    np.testing.assert_allclose(belief.log_evidence, sx.log_evidence(sx.Normal(1.0, 2.0), e), rtol=1e-7)


def test_two_parameters_against_quadrature():
    belief, top = both(), st.norm.logpdf(X[:, None], 1.5, 0.8).sum()

    def density(scale, loc):
        return np.exp(st.norm.logpdf(X, loc, scale).sum() - top) / (3.0 * 2.2)

    total = integrate.dblquad(density, 0, 3, 0.3, 2.5, epsabs=1e-12)[0]
    assert belief.log_evidence == pytest.approx(top + np.log(total), abs=1e-5)
    scale = integrate.dblquad(lambda s, m: s * density(s, m), 0, 3, 0.3, 2.5, epsabs=1e-12)[0] / total
    assert belief.mean()["scale"] == pytest.approx(scale, abs=1e-6)
    gap = belief.covariance()
    np.testing.assert_allclose(np.sqrt(np.diag(gap)), list(belief.stddev().values()), rtol=1e-9)
    np.testing.assert_allclose(np.sum(belief.probabilities()), 1.0, rtol=1e-12)


def test_families_without_evidence_meet_the_grid_row_by_row():
    x = np.array([-2.1, 0.2, 0.7, 1.3, 1.6, 4.9])
    belief = sx.grid(sx.StudentT, df=3.0, loc=(-8, 9, 401), scale=1.2).update(x)
    log_l = st.t.logpdf(x[:, None], 3.0, belief.axes["loc"], 1.2).sum(0)
    assert belief.log_evidence == pytest.approx(
        np.log(integrate.trapezoid(np.exp(log_l), belief.axes["loc"]) / 17), abs=1e-6
    )
    twice = sx.grid(sx.StudentT, df=3.0, loc=(-8, 9, 401), scale=1.2).update(x, weights=np.full(6, 2.0))
    again = belief.update(x)
    np.testing.assert_allclose(twice.probabilities(), again.probabilities(), rtol=2e-5, atol=1e-12)


def test_a_regression_as_a_function():
    rng = np.random.default_rng(3)
    t = np.linspace(0, 1, 20)
    y = 1.0 + 2.0 * t + 0.5 * rng.normal(size=20)

    def line(t, y, a, b, s):
        return sx.Normal(a + b * t, s).log_prob(y)

    belief = sx.grid(line, a=(-1, 3, 81), b=(-2, 6, 91), s=0.5).update(t, y)
    design = np.stack([np.ones(20), t], axis=1)
    inverse = np.linalg.inv(design.T @ design)
    np.testing.assert_allclose(list(belief.mean().values()), inverse @ design.T @ y, atol=1e-6)
    np.testing.assert_allclose(belief.covariance(), 0.25 * inverse, atol=1e-6)
    slope = belief.marginal("b")
    assert slope.mean("b") == pytest.approx(belief.mean("b"), rel=1e-6)
    assert slope.log_evidence == pytest.approx(belief.log_evidence, abs=1e-6)


def test_a_marginal_takes_its_axes_in_the_order_asked():
    belief = both()
    np.testing.assert_allclose(
        belief.marginal("scale", "loc").probabilities(), belief.probabilities().T, rtol=1e-5, atol=1e-30
    )


def test_new_data_are_predicted_as_the_conjugate_pair_does():
    x = np.arange(6)
    belief = sx.grid(sx.Poisson, rate=(0.0, 25.0, 2001), prior={"rate": sx.Gamma(2.0, 1.0)}).update([3, 5, 4])
    exact = sx.predictive(sx.Gamma(2.0, 1.0) + sx.Poisson.evidence([3, 5, 4]), sx.Poisson)
    np.testing.assert_allclose(belief.log_predictive(x), exact.log_prob(x), atol=2e-5)
    assert belief.log_predictive(2).shape == ()


# Evidence adds.


@given(some.permutations(range(4)))
def test_evidence_adds_in_any_order_and_is_taken_away(order):
    parts = [sx.Normal.evidence(part) for part in np.array_split(X, 4)]
    start = sx.grid(sx.Normal, loc=(0, 3, 20), scale=(0.3, 2.0, 20))
    belief = start
    for i in order:
        belief = belief + parts[i]
    np.testing.assert_allclose(belief.probabilities(), start.update(X).probabilities(), rtol=1e-5, atol=1e-30)
    np.testing.assert_allclose(
        (belief - parts[0]).log_evidence, start.update(np.concatenate(np.array_split(X, 4)[1:])).log_evidence
    )


def test_a_billion_observations_keep_their_digits():
    e = sx.Normal.evidence(X, scale=0.8) * (1e9 / 30)
    belief = sx.grid(sx.Normal, loc=(X.mean() - 2e-4, X.mean() + 2e-4, 201), scale=0.8) + e
    assert belief.stddev("loc") == pytest.approx(0.8 / np.sqrt(1e9), rel=1e-5)
    assert belief.mean("loc") == pytest.approx(X.mean(), abs=1e-8)
    assert belief.log_evidence < -1e9


def test_groups_are_a_batch():
    labels = np.arange(30) % 3
    start = sx.grid(sx.Normal, loc=(0, 3, 61), scale=(0.3, 2.5, 50))
    batch = start + sx.Normal.evidence(X, by=labels)
    assert batch.batch_shape == (3,)
    assert batch.probabilities().shape == (3, 61, 50)
    for g in range(3):
        one = start.update(X[labels == g])
        np.testing.assert_allclose(batch.mean("loc")[g], one.mean("loc"), rtol=1e-6)
        np.testing.assert_allclose(batch.log_evidence[g], one.log_evidence, rtol=1e-6)
        np.testing.assert_allclose(batch.quantile(0.9, "scale")[g], one.quantile(0.9, "scale"), rtol=1e-6)
        np.testing.assert_array_equal(batch.credible_region(0.8)[g], one.credible_region(0.8))
        np.testing.assert_allclose(batch.log_predictive(1.0)[g], one.log_predictive(1.0), rtol=1e-5)
    fine = batch.refine()
    assert fine.batch_shape == (3,)
    assert min(np.min(v) for v in fine.resolution.values()) > 1
    assert "3" in str(batch)


# Regions, refinement, draws.


def test_a_region_of_two_peaks_is_in_two_parts():
    def peaks(m):
        return jnp.logaddexp(sx.Normal(-3.0, 0.3).log_prob(m), sx.Normal(3.0, 0.3).log_prob(m))

    belief = sx.grid(lambda theta: 0.0 * theta, theta=(-6, 6, 601), prior=lambda theta: peaks(theta))
    inside = belief.credible_region(0.9)
    assert np.sum(np.diff(inside.astype(int)) == 1) == 2
    mass = belief.probabilities()[inside].sum()
    assert 0.9 <= mass < 0.92
    assert belief.probabilities()[inside].min() >= belief.probabilities()[~inside].max()


def test_refinement_finds_the_same_answer_from_a_grid_far_too_coarse():
    fine = both(loc=(-3.0, 6.0, 400), scale=np.geomspace(0.2, 6.0, 400))
    coarse = both(loc=(-1000.0, 1200.0, 60), scale=np.geomspace(0.01, 500.0, 60))
    assert "too coarse" in str(coarse)
    found = coarse.refine(loc=120, scale=120)
    assert "coarse" not in str(found)
    assert found.shape == (120, 120)
    ratios = np.diff(np.log(found.axes["scale"]))
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-9)
    for name in ("loc", "scale"):
        assert found.stddev(name) == pytest.approx(fine.stddev(name), rel=3e-3)  # priors differ little over the mass
    # the prior is that of the first grid, flat over 2,200 and 499.99
    flat = np.log(9.0 * 5.8) - np.log(2200.0 * 499.99)
    assert found.log_evidence == pytest.approx(fine.log_evidence + flat, abs=1e-3)


def test_refinement_keeps_what_it_began_with():
    belief = globe(201)
    fine = belief.refine()
    assert fine.log_evidence == pytest.approx(belief.log_evidence, abs=1e-4)
    assert 0.0 <= fine.axes["probs"][0] < 0.2
    assert fine.axes["probs"][-1] <= 1.0


def test_what_is_cut_off_is_said():
    belief = sx.grid(sx.Normal, loc=(0.0, 1.5, 101), scale=0.8).update(X)
    beyond = st.norm(X.mean(), 0.8 / np.sqrt(30))
    assert belief.edges["loc"][1] == pytest.approx(beyond.pdf(1.5) / beyond.pdf(belief.mode()["loc"]), rel=1e-4)
    assert "at 1.5 the density is still" in str(belief)


def test_draws_follow_the_belief_and_go_to_arviz():
    belief = both()
    drawn = belief.sample(jax.random.key(0), (50_000,))
    for name in belief.names:
        assert drawn[name].mean() == pytest.approx(belief.mean(name), abs=5 * belief.stddev(name) / np.sqrt(50_000))
        assert drawn[name].std() == pytest.approx(belief.stddev(name), rel=0.03)
        assert (
            st.kstest(
                drawn[name],
                lambda v, n=name: np.interp(v, belief.quantile(np.linspace(0, 1, 999), n), np.linspace(0, 1, 999)),
            ).pvalue
            > 1e-3
        )
    tree = belief.to_datatree(jax.random.key(1), num_samples=500, num_chains=2)
    assert dict(tree["posterior"].sizes) == {"chain": 2, "draw": 500}
    table = az.summary(tree)
    assert set(table.index) == {"loc", "scale"}


def test_draws_among_many_hypotheses_have_the_odds_they_should():
    log_p = jnp.log(jnp.arange(1.0, 5001.0))
    drawn = np.asarray(categorical(jax.random.key(3), log_p, (40_000,)))
    p = np.arange(1, 5001) / np.sum(np.arange(1, 5001))
    counts = np.add.reduceat(np.bincount(drawn, minlength=5000), np.arange(0, 5000, 250))
    assert st.chisquare(counts, 40_000 * np.add.reduceat(p, np.arange(0, 5000, 250))).pvalue > 1e-3
    batch = categorical(jax.random.key(4), jnp.stack([log_p, -log_p]), (3, 7))
    assert batch.shape == (3, 7, 2)
    few = np.asarray(categorical(jax.random.key(5), jnp.array([-jnp.inf, 0.0, -jnp.inf]), (9,)))
    assert set(few.tolist()) == {1}


def test_impossible_nodes_stay_out():
    belief = sx.grid(sx.Uniform, low=0.0, high=(0.5, 4.0, 71)).update([0.3, 1.0, 2.02])
    assert belief.probabilities()[belief.axes["high"] < 2.02].sum() == 0
    nothing = sx.grid(sx.Uniform, low=0.0, high=(0.5, 4.0, 71)).update([7.0])
    assert bool(nothing.belief.contradiction)
    assert "exclude every node" in str(nothing)
    with pytest.raises(ValueError, match="nothing to draw from"):
        nothing.sample(jax.random.key(0))
    with pytest.raises(ValueError, match="no mass to refine"):
        nothing.refine()


# Sentences.


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: sx.grid(sx.Normal), "at least one parameter"),
        (lambda: sx.grid(sx.Normal, loc=0.0, scale=1.0), "at least one parameter that varies"),
        (lambda: sx.grid(sx.Normal, loc=(0, 1), scale=1.0), r"\(lo, hi, n\)"),
        (lambda: sx.grid(sx.Normal, loc=(0, 1, 2.5), scale=1.0), r"\(lo, hi, n\)"),
        (lambda: sx.grid(sx.Normal, loc=(1, 0, 5), scale=1.0), "to a greater one"),
        (lambda: sx.grid(sx.Normal, loc=(0, 1, 1), scale=1.0), "at least 2 values"),
        (lambda: sx.grid(sx.Normal, loc=[0.0, 2.0, 1.0], scale=1.0), "increasing; number 1 is 2, and then comes 1"),
        (lambda: sx.grid(sx.Normal, loc=[0.0, np.nan], scale=1.0), "finite and increasing; number 1 is nan"),
        (lambda: sx.grid(sx.Normal, loc=["a", "b"], scale=1.0), "vector of real numbers"),
        (
            lambda: sx.grid(sx.Normal, loc=(0, 1, 10_000), scale=(0.1, 1, 10_000)),
            "50,000,000 nodes; this one has 10,000 × 10,000",
        ),
        (lambda: sx.grid(sx.Normal, loc=(0, 1, 5), scale=1.0, prior={"lok": sx.Normal(0, 1)}), "got one for 'lok'"),
        (lambda: sx.grid(sx.Normal, loc=(0, 1, 5), scale=1.0).update([0.0, np.nan]), "row 1|index 1|observation 1"),
        (lambda: sx.grid(sx.Cauchy, loc=(0, 1, 5), scale=1.0).update([0.0, np.nan]), "Cauchy"),
        (lambda: sx.grid(sx.Normal, loc=(0, 1, 5), scale=1.0) + sx.Poisson.evidence([1]), "got evidence for Poisson"),
        (lambda: sx.grid(sx.Normal, loc=(0, 1, 5), scale=1.0) - sx.Normal.evidence([1.0]), "no evidence here"),
        (lambda: sx.grid(lambda x, a: jnp.log(a) * x, a=(-1, 1, 5)).update(1.0), "not a number at a = -1"),
        (lambda: globe().marginal("probs").update(WATER), "marginal belief has lost"),
        (lambda: globe().marginal(), "one or several"),
        (lambda: globe().credible_interval(level=1.5), "between 0 and 1; got 1.5"),
        (lambda: globe().credible_interval(kind="median"), "kind='median'"),
        (lambda: globe().quantile(2.0), "from 0 to 1; got 2.0"),
        (lambda: both().quantile(0.5), "Say which parameter: loc, scale"),
        (lambda: globe().refine(tail=0.5), "small, between 0 and 0.1"),
        (
            lambda: (sx.grid(sx.Normal, loc=(0, 3, 5), scale=1.0) + sx.Normal.evidence(X, by=[0, 1] * 15)).to_datatree(
                jax.random.key(0)
            ),
            "a batch of them",
        ),
    ],
)
def test_bad_input_is_refused_in_words(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: sx.grid("Normal", loc=(0, 1, 5)), "a family or of a log-likelihood"),
        (lambda: sx.grid(sx.Normal, loc=(0, 1, 5), scale=1.0, prior={"loc": 3.0}), "a single distribution"),
        (lambda: globe().update(), "takes data; got none"),
        (lambda: globe().update(WATER, WATER), "got 2 arguments"),
        (lambda: globe().update(sx.Bernoulli.evidence(WATER), weights=[1.0]), "Weights belong to rows"),
        (lambda: sx.grid(lambda x, a: a * x, a=(0, 1, 5)).update(1.0, weights=[1.0]), "Weights belong into"),
        (lambda: globe() + WATER, "unsupported operand"),
    ],
)
def test_what_is_no_argument_is_refused_in_words(make, words):
    with pytest.raises(TypeError, match=words):
        make()


def test_an_unknown_parameter_is_named():
    with pytest.raises(KeyError, match="got 'lok'"):
        both().mean("lok")
    with pytest.raises(TypeError, match="lok"):
        sx.grid(sx.Normal, lok=(0, 1, 5), scale=1.0)
    with pytest.raises(ValueError, match=r"scale .* got -1"):
        sx.grid(sx.Normal, loc=(0, 1, 3), scale=(-1, 1, 5))


# What must not be taken for an answer.


def test_evidence_for_another_known_parameter_is_refused():
    y = np.random.default_rng(1).weibull(1.5, 30)
    with pytest.raises(ValueError, match=r"made for concentration=3.0.*concentration=1.5"):
        _ = sx.grid(sx.Weibull, scale=(0.3, 3, 50), concentration=1.5) + sx.Weibull.evidence(y, concentration=3.0)
    counts = sx.NegativeBinomial.evidence([1, 4, 2, 9], concentration=3.0)
    with pytest.raises(ValueError, match=r"made for concentration"):
        _ = sx.grid(sx.NegativeBinomial, mean=(0.3, 9, 20), concentration=(1, 5, 20)) + counts


def test_rows_are_kept_where_statistics_depend_on_what_varies():
    y = np.random.default_rng(1).weibull(1.5, 30)
    belief = sx.grid(sx.Weibull, scale=(0.3, 3, 60), concentration=(0.5, 4, 70)).update(y)
    a, c = np.meshgrid(*belief.axes.values(), indexing="ij")
    log_l = st.weibull_min.logpdf(y[:, None, None], c, scale=a).sum(0)
    expected = np.exp(log_l - log_l.max())
    np.testing.assert_allclose(belief.density() / belief.density().max(), expected, atol=1e-5)


@pytest.mark.parametrize("prior", [sx.Normal(0.0, 1.0), [], "flat", sx.Normal])
def test_a_prior_without_a_name_is_refused(prior):
    with pytest.raises(TypeError, match="by name of parameter"):
        sx.grid(sx.Normal, loc=(-4, 6, 21), scale=1.0, prior=prior)


@pytest.mark.parametrize("weights", [np.full(6, -1.0), [2.0], [1.0, 1, 1, 1, 1, np.inf], np.full(6, np.nan), 2.0])
def test_weights_of_rows_are_checked(weights):
    with pytest.raises(ValueError, match="Weights"):
        sx.grid(sx.StudentT, df=4.0, loc=(-1, 1, 5), scale=1.0).update(np.arange(6.0), weights=weights)


def test_a_ridge_across_the_axes_is_not_called_resolved():
    def ridge(x, a, b):
        return -0.5 * (a * a - 2 * 0.9999 * a * b + b * b) / (1 - 0.9999**2)

    belief = sx.grid(ridge, a=(-10, 10, 201), b=(-10, 10, 201)).update(0.0)
    assert max(belief.resolution.values()) < 0.2
    assert "too coarse" in str(belief)
    with pytest.warns(UserWarning, match="still too coarse"):
        belief.refine()
    slack = sx.grid(ridge, a=(-10, 10, 201), b=0.0).update(0.0)
    assert slack.resolution["a"] == pytest.approx(np.sqrt(1 - 0.9999**2) / 0.1, rel=1e-3)


def test_a_belief_that_excludes_all_nodes_says_so():
    nothing = sx.grid(sx.Uniform, low=0.0, high=(0.5, 4.0, 71)).update([7.0])
    for ask in (
        lambda: nothing.quantile(0.5),
        lambda: nothing.credible_interval(),
        lambda: nothing.marginal("high"),
        lambda: nothing.mode(),
        lambda: nothing.mean(),
    ):
        with pytest.raises(ValueError, match="exclude every node"):
            ask()
    batch = sx.grid(sx.Uniform, low=0.0, high=(0.5, 4.0, 71)) + sx.Uniform.evidence([7.0, 1.0], by=["a", "b"], low=0.0)
    np.testing.assert_array_equal(np.isnan(batch.mean("high")), [True, False])
    np.testing.assert_array_equal(np.isnan(batch.quantile(0.5)), [True, False])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: sx.grid(sx.StudentT, df=4.0, loc=(-1, 1, 5), scale=1.0).update(np.ones((2, 3))), "along one axis"),
        (lambda: sx.grid(sx.StudentT, df=4.0, loc=(-1, 1, 5), scale=1.0).update(1.0), "single number"),
        (lambda: sx.grid(sx.Normal, loc=(0, 1, 10**12), scale=1.0), "at most 50,000,000 values"),
        (lambda: globe().refine(probs=1), "at least 2; got 1"),
        (lambda: globe().refine(probs=True), "got True"),
        (lambda: globe().refine(probs=2.5), "got 2.5"),
    ],
)
def test_more_bad_input_is_refused_in_words(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_no_rows_change_nothing_and_columns_are_taken():
    start = sx.grid(sx.StudentT, df=4.0, loc=(-1, 1, 5), scale=1.0)
    np.testing.assert_allclose(start.update(np.zeros(0)).probabilities(), start.probabilities())
    import polars as pl

    x = pl.Series("x", [0.1, 0.4])
    by_function = sx.grid(lambda x, m: sx.Normal(m, 1.0).log_prob(x), m=(-1, 1, 5)).update(x)
    np.testing.assert_allclose(
        by_function.probabilities(), sx.grid(sx.Normal, loc=(-1, 1, 5), scale=1.0).update(x).probabilities(), rtol=1e-5
    )
