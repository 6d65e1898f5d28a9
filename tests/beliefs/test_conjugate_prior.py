"""The generic conjugate prior: beside the named pairs, brute force, and Diaconis and Ylvisaker's identity."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st
from scipy import integrate, special

import surprax as sx
from surprax.numerics.peaks import draw_on_grid, grid_on_line, grid_on_plane, log_total, settled


def gamma_of(a, b):
    return sx.ConjugatePrior(sx.Poisson, [a], b), sx.Gamma(a, b), sx.Poisson.evidence([1, 4, 2])


def beta_of(a, b):
    return sx.ConjugatePrior(sx.Bernoulli, [a], a + b), sx.Beta(a, b), sx.Bernoulli.evidence([1, 0, 0, 1, 1])


def normal_inverse_gamma_of(one, two, count):
    """dη = dμ dv/(2v³) for a variance v, which is where the concentration gets its 3/2 from."""
    named = sx.NormalInverseGamma(one / count, count, count / 2 + 1.5, 0.5 * (two - one**2 / count))
    return sx.ConjugatePrior(sx.Normal, [one, two], count), named, sx.Normal.evidence([1.0, 0.2, -0.5, 3.0])


NAMED = {
    "Poisson": (gamma_of, (6.0, 3.0)),
    "Poisson, next to nothing": (gamma_of, (0.05, 0.02)),
    "Poisson, much": (gamma_of, (6e6, 3e6)),
    "Bernoulli": (beta_of, (2.0, 3.0)),
    "Bernoulli, lopsided": (beta_of, (0.1, 3.0)),
    "Bernoulli, much": (beta_of, (2e4, 3e5)),
    "Normal": (normal_inverse_gamma_of, (1.0, 3.0, 2.0)),
    "Normal, little": (normal_inverse_gamma_of, (0.1, 3.0, 0.5)),
    "Normal, much": (normal_inverse_gamma_of, (5e4, 2.501e6, 1e3)),
}


@pytest.mark.parametrize("name", NAMED)
def test_log_evidence_is_that_of_the_named_pair(name):
    make, numbers = NAMED[name]
    ours, named, evidence = make(*numbers)
    truth = float(sx.log_evidence(named, evidence))
    assert sx.log_evidence(ours, evidence) == pytest.approx(truth, rel=1e-9, abs=1e-8)
    assert sx.log_evidence(ours + evidence, evidence) == pytest.approx(
        float(sx.log_evidence(named + evidence, evidence)), rel=1e-9, abs=1e-8
    )


def test_density_is_that_of_the_named_pair():
    """With respect to η = log rate, that is rate times the density of the rate."""
    ours, named, _ = gamma_of(6.0, 3.0)
    with jax.enable_x64(True):
        rates = np.array([0.3, 2.0, 7.0])
        truth = named.log_prob(rates) + jnp.log(rates)
        np.testing.assert_allclose(ours.log_prob(sx.Poisson(rates)), truth, rtol=1e-12)
        np.testing.assert_allclose(ours.log_normalizer, special.gammaln(6.0) - 6.0 * np.log(3.0), rtol=1e-12)


def test_predictive_is_that_of_the_named_pair():
    ours, named, _ = gamma_of(6.0, 3.0)
    ours, named = sx.predictive(ours, sx.Poisson), sx.predictive(named, sx.Poisson)
    x = np.array([0.0, 2.0, 9.0])
    with jax.enable_x64(True):
        np.testing.assert_allclose(ours.log_prob(x), named.log_prob(x), rtol=1e-9)
        np.testing.assert_allclose(ours.log_prob(200.0), named.log_prob(200.0), atol=5e-4)  # 257 nats out
        np.testing.assert_allclose(ours.cdf(x), named.cdf(x), rtol=1e-9)
        np.testing.assert_allclose([ours.mean, ours.variance], [named.mean, named.variance], rtol=1e-9)
    draws = np.asarray(ours.sample(jax.random.key(0), (4000,)))
    assert abs(draws.mean() - float(named.mean)) < 5.0 * float(named.stddev) / 4000**0.5


# Gamma, with no named pair: all of it against integrals by SciPy over (a, b) with η = (a − 1, −b).


STATISTICS, COUNT = np.array([1.2, 6.0]), 3.0
ROWS = np.array([2.0, 3.5, 0.7, 1.2])


def log_gamma_integral(statistics, count):
    """log ∫∫ exp(τ₁ (a − 1) − τ₂ b − ν (log Γ(a) − a log b)) db da: over b it is a gamma function, over a by quadrature."""

    def log_line(a):
        inner = special.gammaln(count * a + 1.0) - (count * a + 1.0) * np.log(statistics[1])
        return statistics[0] * (a - 1.0) - count * special.gammaln(a) + inner

    grid = np.linspace(1e-3, 60.0, 4000)
    top = log_line(grid).max()
    peak = grid[log_line(grid).argmax()]
    edges = (0.0, 0.5 * peak, peak, 2.0 * peak, 10.0 * peak + 10.0, np.inf)
    value = sum(
        integrate.quad(lambda a: np.exp(log_line(a) - top), low, high, epsabs=0.0, epsrel=1e-11)[0]
        for low, high in itertools.pairwise(edges)
    )
    return top + np.log(value)


@pytest.fixture(scope="module")
def gamma_belief():
    return sx.ConjugatePrior(sx.Gamma, STATISTICS, COUNT)


def test_gamma_normalizer_and_evidence_are_scipys(gamma_belief):
    before = log_gamma_integral(STATISTICS, COUNT)
    assert gamma_belief.log_normalizer == pytest.approx(before, rel=1e-8)
    after = log_gamma_integral(STATISTICS + np.array([np.log(ROWS).sum(), ROWS.sum()]), COUNT + len(ROWS))
    evidence = sx.log_evidence(gamma_belief, sx.Gamma.evidence(ROWS))
    assert evidence == pytest.approx(after - before, rel=1e-8)


def test_mean_of_the_mean_is_that_of_the_statistics(gamma_belief):
    means = gamma_belief.expected(lambda d: d.expectation)
    np.testing.assert_allclose(means, STATISTICS / COUNT, rtol=1e-6)
    np.testing.assert_allclose(gamma_belief.expectation, STATISTICS / COUNT)


def test_gamma_predictive_is_the_evidence_of_one_observation(gamma_belief):
    law = sx.predictive(gamma_belief, sx.Gamma)
    x = np.array([0.1, 2.0, 30.0])
    alone = [float(sx.log_evidence(gamma_belief, sx.Gamma.evidence([v]))) for v in x]
    np.testing.assert_allclose(law.log_prob(x), alone, rtol=1e-6)


def test_draws_are_from_the_belief(gamma_belief):
    """E[∇A] again, and the distribution function of log a at its quantiles, by quadrature."""
    draws = gamma_belief.sample(jax.random.key(1), (4000,))
    mean = np.asarray(draws.expectation)
    error = mean.std(axis=0) / 4000**0.5
    assert np.all(np.abs(mean.mean(axis=0) - STATISTICS / COUNT) < 5.0 * error)
    for level in (1.0, 2.0, 5.0):
        share = gamma_belief.expected(lambda d, level=level: jnp.where(d.concentration < level, 1.0, 0.0))
        found = np.mean(np.asarray(draws.concentration) < level)
        assert abs(found - share) < 5.0 * np.sqrt(share * (1 - share) / 4000) + 0.005


def test_simulation_based_calibration():
    """The rate of a Poisson, drawn from the prior: its ranks under the posteriors of its data are uniform."""
    prior = sx.ConjugatePrior(sx.Poisson, [3.0], 1.5)
    drawn = prior.sample(jax.random.key(2), (1000,))
    x = np.asarray(drawn.sample(jax.random.key(3), (5,)))
    named = sx.Gamma(3.0, 1.5) + sx.Poisson.evidence(x)
    assert st.kstest(np.asarray(named.cdf(drawn.rate)), "uniform").pvalue > 1e-4


# The algebra.


def test_subtraction_gives_the_prior_back_and_scaling_is_tempering(gamma_belief):
    e = sx.Gamma.evidence(ROWS)
    again = (gamma_belief + e) - e
    np.testing.assert_allclose(again.statistics, STATISTICS, rtol=1e-12)
    assert again.count == COUNT
    assert (e + gamma_belief).count == COUNT + 4
    np.testing.assert_allclose((2.0 * gamma_belief).statistics, 2.0 * STATISTICS)
    assert sum([e, e], gamma_belief).count == COUNT + 8


def test_members_are_centres():
    prior = sx.ConjugatePrior.from_member(sx.Poisson(2.5), 4.0)
    assert prior.centre.rate == pytest.approx(2.5)
    assert sx.ConjugatePrior.from_member(sx.NegativeBinomial(3.0, concentration=2.0), 4.0).known["concentration"] == 2.0


def test_batches_jit_and_gradients():
    """The gradient of log Z(τ, ν) is (E η, −E A): that of the evidence is beside the named pair's."""
    evidence = sx.Poisson.evidence([1, 4, 2])
    many = sx.ConjugatePrior(sx.Poisson, [[6.0], [2.0]], np.array([3.0, 1.0]))
    named = sx.Gamma(np.array([6.0, 2.0]), np.array([3.0, 1.0]))
    np.testing.assert_allclose(sx.log_evidence(many, evidence), sx.log_evidence(named, evidence), rtol=1e-10)
    with jax.enable_x64(True):
        ours = jax.jit(
            jax.grad(lambda a, b: sx.log_evidence(sx.ConjugatePrior(sx.Poisson, a[None], b), evidence), (0, 1))
        )
        theirs = jax.grad(lambda a, b: sx.log_evidence(sx.Gamma(a, b), evidence), (0, 1))
        np.testing.assert_allclose(ours(6.0 * jnp.ones(()), 3.0), theirs(6.0, 3.0), rtol=1e-9)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: sx.ConjugatePrior(sx.Cauchy, [1.0], 1.0), TypeError, "about an exponential family"),
        (lambda: sx.ConjugatePrior(sx.Dirichlet, [1.0], 1.0), ValueError, "one or two natural parameters"),
        (lambda: sx.ConjugatePrior(sx.Poisson, [1.0, 2.0], 1.0), ValueError, "are 1 numbers on the last axis"),
        (lambda: sx.ConjugatePrior(sx.Poisson, [1.0], 0.0), ValueError, "count must be positive"),
        (lambda: sx.ConjugatePrior(sx.Poisson, [-1.0], 1.0), ValueError, "must be a mean that statistics of Poisson"),
        (
            lambda: sx.ConjugatePrior(sx.Bernoulli, [2.0], 1.0),
            ValueError,
            "must be a mean that statistics of Bernoulli",
        ),
        (lambda: sx.ConjugatePrior(sx.NegativeBinomial, [2.0], 1.0), ValueError, "is told concentration"),
        (lambda: gamma_of(1.0, 1.0)[0] - sx.Poisson.evidence([1, 4]), ValueError, "Subtract only what was added"),
        (lambda: gamma_of(1.0, 1.0)[0] + sx.Bernoulli.evidence([1]), ValueError, "takes evidence of that family"),
        (lambda: gamma_of(1.0, 1.0)[0] + 3.0, TypeError, "takes evidence"),
        (lambda: gamma_of(1.0, 1.0)[0].log_prob(sx.Bernoulli(0.5)), TypeError, "densities at its members"),
        (
            lambda: sx.predictive(gamma_of(1.0, 1.0)[0], sx.Bernoulli),
            ValueError,
            "predicts observations of that family",
        ),
        (lambda: sx.ConjugatePrior(sx.Poisson, [1e-7], 1e-7).log_normalizer, ValueError, "must settle on its grid"),
    ],
)
def test_what_has_no_meaning_is_refused_in_words(make, error, words):
    with pytest.raises(error, match=words):
        make()


# The rule itself.


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def test_peaks_far_from_the_guess_are_found(float64):
    grid = grid_on_line(lambda x: -0.5 * ((x - 300.0) / 1e-3) ** 2, jnp.zeros(()), jnp.ones(()))
    assert log_total(grid) == pytest.approx(np.log(1e-3) + 0.5 * np.log(2 * np.pi), abs=1e-12)
    assert settled(grid)[0]


def test_ridges_are_followed(float64):
    """A funnel: x of standard deviation e^y about 3y, with a standard normal y."""

    def log_f(x, y):
        return -0.5 * ((x - 3.0 * y) / jnp.exp(y)) ** 2 - y - 0.5 * y**2

    grid = grid_on_plane(log_f, jnp.zeros(2), jnp.eye(2))
    assert log_total(grid) == pytest.approx(np.log(2 * np.pi), abs=1e-10)
    x, y = draw_on_grid(jax.random.key(4), grid, (4000,))
    assert st.kstest(np.asarray(y), "norm").pvalue > 1e-4
    assert st.kstest(np.asarray((x - 3.0 * y) / jnp.exp(y)), "norm").pvalue > 1e-4


def test_integrals_that_do_not_end_are_not_trusted(float64):
    grid = grid_on_line(lambda x: -jnp.log1p(jnp.abs(x)), jnp.zeros(()), jnp.ones(()))
    assert not settled(grid)[0]


def test_beta_normalizer_and_evidence_are_scipys():
    rows = np.array([0.2, 0.5, 0.7, 0.4])
    prior = sx.ConjugatePrior.from_member(sx.Beta(2.0, 3.0), 4.0)

    def log_integral(statistics, count):
        def density(u, v):  # in the logarithms of both concentrations
            a, b = np.exp(u), np.exp(v)
            return np.exp((a - 1) * statistics[0] + (b - 1) * statistics[1] - count * special.betaln(a, b) + u + v)

        return np.log(integrate.dblquad(density, -8, 8, -8, 8, epsabs=1e-13, epsrel=1e-9)[0])

    before = log_integral(prior.statistics, 4.0)
    assert prior.log_normalizer == pytest.approx(before, rel=1e-9)
    after = log_integral(prior.statistics + np.array([np.log(rows).sum(), np.log1p(-rows).sum()]), 8.0)
    assert sx.log_evidence(prior, sx.Beta.evidence(rows)) == pytest.approx(after - before, rel=1e-9)
