"""Every conjugate pair: Bayes' rule, the evidence chain rule, the predictive, and simulation-based calibration."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st
from tests.beliefs.settings import SETTINGS, row_of

import surprax as sx
from surprax.beliefs.pairs import PAIRS
from surprax.families.batches import map_parameters

WORLDS, ROWS = 1000, 4
_LIKE_OTHERS = {
    (sx.Dirichlet, sx.Multinomial),
    (sx.Gamma, sx.InverseGamma),
    *((prior, sx.LogNormal) for prior in (sx.Gamma, sx.InverseGamma, sx.Normal, sx.NormalInverseGamma)),
}
"""Pairs that differ from others by 1/x or log x for x, or by several draws at a time: tried in thorough runs."""


def _is_like_others(setting):
    return (type(setting.prior), setting.likelihood) in _LIKE_OTHERS


def _parameter(i, setting):
    marks = [pytest.mark.thorough] if _is_like_others(setting) else []
    return pytest.param(
        i, id=str(row_of(setting)), marks=[pytest.mark.xdist_group(type(setting.prior).__name__), *marks]
    )


_numbers = [_parameter(i, s) for i, s in enumerate(SETTINGS)]
each = pytest.mark.parametrize("number", _numbers)
_QUICK = ("Gamma", "Normal", "NormalInverseGamma")
_one_of_each_prior = [
    p if name in _QUICK else pytest.param(*p.values, id=p.id, marks=[*p.marks, pytest.mark.thorough])
    for name, p in {type(s.prior).__name__: p for s, p in zip(SETTINGS, _numbers) if not _is_like_others(s)}.items()
]
"""A pair for each family of beliefs; those not named are differentiated in thorough runs only."""
few = pytest.mark.parametrize(
    "number",
    [
        p
        if type(s.prior).__name__ in _QUICK
        else pytest.param(*p.values, id=p.id, marks=[*p.marks, pytest.mark.thorough])
        for s, p in zip(SETTINGS, _numbers)
    ],
)


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


@functools.cache
def world(number):
    """A thousand values of the unknown drawn from the prior, data of each, and the posteriors.

    All tests share it and its shapes, and with them what is compiled.
    """
    with jax.enable_x64(True):
        setting = SETTINGS[number]
        row = row_of(setting)
        keys = jax.random.split(jax.random.key(number), 3)
        prior = map_parameters(
            lambda leaf, meta: np.broadcast_to(leaf, (WORLDS, *np.shape(leaf)[np.ndim(leaf) - meta["event_dim"] :])),
            setting.prior,
        )
        known = {name: jnp.asarray(v) for name, v in setting.known.items()}
        theta = prior.sample(keys[0])
        x = np.asarray(row.given(theta, known).sample(keys[1], (2 * ROWS,)))
        evidence = lambda rows: row.likelihood.evidence(rows, **setting.options, **setting.known)
        first, second = evidence(x[:ROWS]), evidence(x[ROWS:])
        return SimpleNamespace(
            setting=setting,
            row=row,
            known=known,
            evidence=evidence,
            prior=prior,
            theta=theta,
            x=x[:ROWS],
            more=x[ROWS:],
            first=first,
            second=second,
            posterior=prior + first,
            other=(prior + first).sample(keys[2]),
            marginal=sx.log_evidence(prior, first),
        )


def close(a, b, rtol=1e-9, atol=1e-9):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=atol)


def same(d, other, rtol=1e-9, atol=1e-9):
    for ours, theirs in zip(jax.tree.leaves(d), jax.tree.leaves(other), strict=True):
        close(ours, theirs, rtol, atol)


def test_every_pair_has_a_setting():
    assert {id(row_of(s)) for s in SETTINGS} == {id(row) for row in PAIRS}


@each
def test_posterior_is_prior_times_likelihood(number, float64):
    """Log posterior, less log prior and log-likelihood, is the same for all values of the unknown: minus the log evidence."""
    w = world(number)
    for theta in (w.theta, w.other):
        likelihood = np.sum(np.asarray(w.row.given(theta, w.known).log_prob(w.x)), axis=0)
        before, after = np.asarray(w.prior.log_prob(theta)), np.asarray(w.posterior.log_prob(theta))
        error = likelihood + before - after - w.marginal
        assert np.all(np.abs(error) <= 1e-9 * (1 + np.abs(likelihood) + np.abs(before) + np.abs(after)))


@each
def test_predictive_is_the_evidence_of_one_observation(number, float64):
    w = world(number)
    law = sx.predictive(w.posterior, w.row.likelihood, **w.setting.known)
    one = w.evidence(w.more[:1])
    close(law.log_prob(w.more[0]), sx.log_evidence(w.posterior, one), rtol=1e-8, atol=1e-8)


@each
def test_evidence_chain_rule(number):
    """log p(x, y) = log p(x) + log p(y | x), in JAX's default precision, for nearly a million observations."""
    w = world(number)
    first, second = w.first * 2e5, w.second * 5.0
    together = sx.log_evidence(w.prior, first + second)
    apart = sx.log_evidence(w.prior, first) + sx.log_evidence(w.prior + first, second)
    close(together, apart, rtol=1e-13, atol=1e-5)


@each
def test_subtraction_gives_the_prior_back(number, float64):
    w = world(number)
    if w.row.prior is sx.Pareto:
        return  # see test_uniform_evidence_that_sets_the_scale_cannot_be_taken_away
    same(w.posterior - w.first, w.prior, rtol=1e-7, atol=1e-7)


@each
def test_order_of_evidence_does_not_matter(number, float64):
    w = world(number)
    same(w.posterior + w.second, w.first + (w.prior + w.second))
    same(w.posterior + w.second, w.prior + (w.first + w.second))


@each
def test_groups_update_in_one_call(number, float64):
    """One prior for all groups is that prior for each."""
    w = world(number)
    together = w.setting.prior + w.first
    assert together.batch_shape == w.marginal.shape == (WORLDS,)
    same(together, w.posterior)


@pytest.mark.parametrize("number", _one_of_each_prior)
def test_what_is_compiled_and_differentiated_is_the_same(number, float64):
    w = world(number)

    def update(prior, e):
        return prior + e, jax.value_and_grad(sx.log_evidence)(prior, e)

    posterior, (marginal, slope) = jax.jit(update)(jax.tree.map(jnp.asarray, w.setting.prior), w.evidence(w.x[:, 0]))
    same(posterior, w.posterior[0])
    close(marginal, w.marginal[0])
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(slope))


@each
def test_tempering_scales_the_surprise(number, float64):
    w = world(number)
    cold = w.prior * 2.0
    before = 2.0 * np.asarray(w.prior.log_prob(w.theta))
    constant = before - np.asarray(cold.log_prob(w.theta))
    assert np.all(np.abs(constant - constant[0]) <= 1e-9 * (1 + np.abs(before)))


@each
def test_no_evidence_leaves_the_prior(number, float64):
    w = world(number)
    nothing = w.first * 0.0
    same(w.prior + nothing, w.prior)
    close(sx.log_evidence(w.prior, nothing), 0.0)


DRAWS = 99


@few
def test_simulation_based_calibration(number, float64):
    """A value drawn from the prior is a draw from the posterior of the data that it makes: its ranks are uniform."""
    w = world(number)
    keys = jax.random.split(jax.random.key(100 + number), DRAWS)
    draws = [w.posterior.sample(key) for key in keys]
    # Of the first and of the last number, and of a function that depends on the data.
    functions = [lambda t: t.reshape(WORLDS, -1)[:, 0], lambda t: t.reshape(WORLDS, -1)[:, -1], w.posterior.log_prob]
    u = np.random.default_rng(0).uniform(size=WORLDS)
    if not w.prior.event_dim:  # of numbers the rank is known exactly
        functions = functions[2:]
        assert st.kstest(np.asarray(w.posterior.cdf(w.theta)), "uniform").pvalue > 1e-4
    for f in functions:
        rank = np.sum([np.asarray(f(t)) < np.asarray(f(w.theta)) for t in draws], axis=0)
        assert st.kstest((rank + u) / (DRAWS + 1), "uniform").pvalue > 1e-4


def test_log_evidence_is_the_beta_function():
    close(sx.log_evidence(sx.Beta(1.0, 1.0), sx.Bernoulli.evidence([0, 1, 1, 1, 0, 1])), -np.log(105.0))


def test_the_evidence_of_two_thousand_observations_does_not_underflow():
    """Their joint density is that of correlated normals, some e^−3000."""
    x = np.random.default_rng(3).normal(1.0, 2.0, 2000)
    e = sx.Normal.evidence(x, scale=2.0)
    n, total, variance, prior = len(x), x.sum(), 4.0, 9.0
    quadratic = (x @ x - prior * total**2 / (variance + n * prior)) / variance
    log_det = n * np.log(variance) + np.log1p(n * prior / variance)
    close(sx.log_evidence(sx.Normal(0.0, 3.0), e), -0.5 * (quadratic + log_det + n * np.log(2 * np.pi)))
    posterior = sx.Normal(0.0, 3.0) + e
    close(
        [posterior.loc, posterior.scale], [prior * total / (variance + n * prior), (1 / prior + n / variance) ** -0.5]
    )


def test_the_next_two_counts_are_not_independent():
    """Under a Gamma(3, 1) belief their sum has the variance 18, not twice that of one."""
    belief = sx.Gamma(3.0, 1.0)
    one = sx.predictive(belief, sx.Poisson)
    close([one.mean, one.variance], [3.0, 6.0], 1e-6)
    x, y = np.meshgrid(np.arange(150.0), np.arange(150.0))
    pair = np.exp(np.asarray(sx.log_evidence(belief, sx.Poisson.evidence(np.stack([x.ravel(), y.ravel()])))))
    both = (x + y).ravel()
    close([pair.sum(), pair @ both, pair @ (both - 6.0) ** 2], [1.0, 6.0, 18.0], 1e-9)


def test_gradient_of_the_log_evidence_is_its_slope(float64):
    """Where the evidence is greatest over priors (empirical Bayes) is found by following it."""
    e = sx.Poisson.evidence(np.array([[3.0, 0.0, 7.0], [1.0, 2.0, 5.0]]))
    marginal = lambda a: jnp.sum(sx.log_evidence(sx.Gamma(a, 0.7), e))
    h = 1e-5
    close(jax.grad(marginal)(1.3), (marginal(1.3 + h) - marginal(1.3 - h)) / (2 * h), rtol=1e-7)


def test_hundred_thousand_groups():
    rng = np.random.default_rng(0)
    x, groups = rng.poisson(3.0, 400_000).astype(float), np.repeat(np.arange(100_000), 4)
    posterior = sx.Gamma(2.0, 1.0) + sx.Poisson.evidence(x, by=groups)
    close(posterior.concentration, 2.0 + x.reshape(-1, 4).sum(axis=1))
    close(posterior.rate, np.full(100_000, 5.0))


# Refusals.


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (
            lambda: sx.Beta(1.0, 1.0) + sx.Poisson.evidence([1, 2]),
            ValueError,
            "Beta is not conjugate to Poisson.*Gamma",
        ),
        (lambda: sx.Normal(0.0, 1.0) + sx.Normal.evidence([1.0, 2.0]), ValueError, r"needs scale=\.\.\."),
        (lambda: sx.Gamma(1.0, 1.0) + sx.Normal.evidence([1.0, 2.0], scale=1.0), ValueError, r"needs loc=\.\.\."),
        (lambda: sx.Beta(1.0, 1.0) + sx.Beta(1.0, 1.0), TypeError, "not another belief"),
        (lambda: sx.Beta(1.0, 1.0) + 3.0, TypeError, "takes evidence"),
        (lambda: sx.Beta(1.0, 1.0) - sx.Bernoulli.evidence([0, 1]), ValueError, "Subtract only what was added"),
        (lambda: sx.Beta(0.5, 1.0) * 3.0, ValueError, "cannot be normalised"),
        (lambda: sx.Beta(0.5, 1.0) * -1.0, ValueError, "above 0"),
        (lambda: sx.Weibull(0.5, 1.0) * 2.0, ValueError, "to a power is not"),
        (lambda: sx.predictive(sx.Beta(1.0, 1.0), sx.Poisson), ValueError, "not conjugate"),
        (lambda: sx.predictive(sx.Beta(1.0, 1.0), sx.Binomial), ValueError, r"needs total_count=\.\.\."),
        (lambda: sx.log_evidence(sx.Beta(1.0, 1.0), [1.0]), TypeError, "takes a belief and evidence"),
    ],
)
def test_mismatches_are_refused_in_words(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_uniform_evidence_that_sets_the_scale_cannot_be_taken_away():
    prior, inside = sx.Pareto(4.0, 2.0), sx.Uniform.evidence([1.0, 3.0], low=0.0)
    again = (prior + inside) - inside
    close([again.scale, again.alpha], [4.0, 2.0])
    beyond = sx.Uniform.evidence([5.0], low=0.0)
    with pytest.raises(ValueError, match="Subtract only what was added"):
        _ = (prior + beyond) - beyond


def test_numpy_numbers_scale_beliefs():
    close((np.float64(0.5) * sx.Gamma(3.0, 2.0)).concentration, 2.0)


def test_pairs_are_listed_by_family():
    assert {row.prior.__name__ for row in sx.conjugates(sx.Normal) if row.likelihood is sx.Normal} >= {
        "Normal",
        "Gamma",
        "InverseGamma",
        "NormalInverseGamma",
    }
    assert len(sx.conjugates()) == len(PAIRS)


def test_tallies_of_a_batch_are_those_of_its_columns():
    rng = np.random.default_rng(0)
    x, by = rng.integers(0, 3, (200, 2, 3)), np.arange(200) % 2
    groups = sx.Categorical.evidence(x, by=by, num_categories=3)
    assert groups.batch_shape == (2, 2, 3)
    fits, outcome = sx.Categorical.try_fit(groups)
    assert fits.batch_shape == outcome.ok.shape == (2, 2, 3)
    one = sx.Categorical.fit(x[1::2, 0, 2])
    close(fits[1, 0, 2].logits, one.logits)
    close(groups.log_likelihood(fits[0, 0])[1, 1, 2], np.sum(fits[0, 0, 2].log_prob(x[1::2, 1, 2])), rtol=1e-5)
    weights = rng.uniform(size=x.shape)
    counts = sx.NegativeBinomial.evidence(x, weights)[1, 2].counts
    close(counts, np.bincount(x[:, 1, 2], weights[:, 1, 2]))
