"""Models for tests of exact inference: plain NumPyro, small data, most of them from textbooks."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro import handlers

# Counts of chances and of events.


def coin(tosses):
    theta = numpyro.sample("theta", dist.Beta(2.0, 3.0))
    with numpyro.plate("toss", len(tosses)):
        numpyro.sample("heads", dist.Bernoulli(theta), obs=tosses)


def globe(water, tosses):
    """McElreath, Statistical Rethinking, chapter 2: 6 times water in 9 tosses of a globe."""
    p = numpyro.sample("p", dist.Uniform(0.0, 1.0))
    numpyro.sample("water", dist.Binomial(tosses, p), obs=water)


KICKS = np.repeat(np.arange(5), [109, 65, 22, 3, 1])
"""Deaths by horse kick in a corps of the Prussian army in a year, 200 corps-years (Bortkiewicz 1898)."""


def horse_kicks(deaths):
    rate = numpyro.sample("rate", dist.Gamma(0.5, 0.1))
    with numpyro.plate("corps-year", len(deaths)):
        numpyro.sample("deaths", dist.Poisson(rate), obs=deaths)


def counties(deaths, population):
    """BDA, section 2.7: death rates of kidney cancer by county."""
    with numpyro.plate("county", len(population)):
        theta = numpyro.sample("theta", dist.Gamma(20.0, 430_000.0))
        numpyro.sample("deaths", dist.Poisson(10.0 * population * theta), obs=deaths)


DISASTERS = np.array(
    [
        int(number)
        for number in "4540143406334026335453144155342522342132211113001011003103220111010100021000110233112111"
        "12420014000100000100101"
    ]
)
"""Coal mining disasters in Great Britain, 1851 to 1961 (Carlin, Gelfand & Smith 1992)."""


def mining(disasters, change):
    early = numpyro.sample("early", dist.Exponential(1.0))
    late = numpyro.sample("late", dist.Exponential(0.5))
    years = np.arange(1851, 1851 + len(disasters))
    with numpyro.plate("year", len(disasters)):
        numpyro.sample("disasters", dist.Poisson(jnp.where(years < change, early, late)), obs=disasters)


def two_versions(shown, clicks):
    """An A/B test."""
    a = numpyro.sample("a", dist.Beta(1.0, 9.0))
    b = numpyro.sample("b", dist.Beta(1.0, 9.0))
    numpyro.deterministic("lift", b - a)
    numpyro.sample("clicks", dist.Binomial(shown, jnp.stack([a, b])), obs=clicks)


def survival(x, group, weights, seen):
    """Means of exponential times by group, of which some rows are masked and the others weighed."""
    mean = numpyro.sample("mean", dist.InverseGamma(3.0, 4.0).expand([3]).to_event(1))
    with numpyro.plate("row", len(x)), handlers.mask(mask=seen), handlers.scale(scale=weights):
        numpyro.sample("x", dist.Exponential(1.0 / mean[group]), obs=x)


def languages(letters, group):
    with numpyro.plate("language", 2):
        probs = numpyro.sample("probs", dist.Dirichlet(jnp.array([1.0, 2.0, 3.0])))
    with numpyro.plate("letter", len(letters)):
        numpyro.sample("letters", dist.Categorical(probs[group]), obs=letters)


def ballots(votes):
    probs = numpyro.sample("probs", dist.Dirichlet(jnp.ones(3)))
    numpyro.sample("votes", dist.Multinomial(votes.sum(axis=1), probs), obs=votes)


def odds(heads, fails):
    """Two sites for one latent, a chance of failure and one by its logit."""
    p = numpyro.sample("p", dist.Beta(2.0, 2.0))
    numpyro.deterministic("odds", p / (1.0 - p))
    numpyro.deterministic("log odds", jnp.log(p) - jnp.log1p(-p))
    numpyro.sample("heads", dist.Bernoulli(logits=jnp.log(p) - jnp.log1p(-p)), obs=heads)
    numpyro.sample("fails", dist.Geometric(1.0 - p), obs=fails)


# Scales.


def noise(x, known, unit):
    """A variance in units that differ from row to row, about means that do."""
    variance = numpyro.sample("variance", dist.InverseGamma(2.0, 3.0))
    numpyro.deterministic("sigma", jnp.sqrt(variance))
    with numpyro.plate("row", len(x)):
        numpyro.sample("x", dist.Normal(known, unit * jnp.sqrt(variance)), obs=x)


def noise_by_precision(x, known, unit):
    precision = numpyro.sample("precision", dist.Gamma(2.0, 3.0))
    numpyro.deterministic("variance", 1.0 / precision)
    with numpyro.plate("row", len(x)):
        numpyro.sample("x", dist.Normal(known, unit / jnp.sqrt(precision)), obs=x)


def incomes(x):
    variance = numpyro.sample("variance", dist.InverseGamma(2.0, 3.0))
    loc = numpyro.sample("loc", dist.Normal(1.0, jnp.sqrt(variance / 0.5)))
    numpyro.sample("x", dist.LogNormal(loc, jnp.sqrt(variance)), obs=x)


def samples(x, group):
    """Mean and precision of each group."""
    with numpyro.plate("group", 3):
        precision = numpyro.sample("precision", dist.Gamma(2.0, 3.0))
        loc = numpyro.sample("loc", dist.Normal(1.0, 1.0 / jnp.sqrt(2.0 * precision)))
    with numpyro.plate("row", len(x)):
        numpyro.sample("x", dist.Normal(loc[group], 1.0 / jnp.sqrt(precision[group])), obs=x)


def regression_with_noise(X, y):
    variance = numpyro.sample("variance", dist.InverseGamma(3.0, 2.0))
    beta = numpyro.sample("beta", dist.Normal(0.5, 2.0 * jnp.sqrt(variance)).expand([X.shape[1]]).to_event(1))
    numpyro.sample("y", dist.Normal(X @ beta, jnp.sqrt(variance)), obs=y)


# Normal throughout.

SCHOOLS = (
    np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0]),
    np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]),
)
"""Effects of coaching in eight schools and their standard errors (Rubin 1981)."""


def schools(effects, errors, tau, centered=True):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1e4))
    with numpyro.plate("school", len(effects)):
        if centered:
            theta = numpyro.sample("theta", dist.Normal(mu, tau))
        else:
            eta = numpyro.sample("eta", dist.Normal(0.0, 1.0))
            theta = numpyro.deterministic("theta", mu + tau * eta)
        numpyro.sample("effects", dist.Normal(theta, errors), obs=effects)


def classrooms(score, school, sigma, tau):
    """BDA, section 5.4: means of groups about a common one, with known variances."""
    mu = numpyro.sample("mu", dist.Normal(50.0, 20.0))
    with numpyro.plate("school", int(school.max()) + 1):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
    with numpyro.plate("pupil", len(score)):
        numpyro.sample("score", dist.Normal(theta[school], sigma), obs=score)


def no_pooling(effects, errors):
    with numpyro.plate("school", len(effects)):
        theta = numpyro.sample("theta", dist.Normal(5.0, 10.0))
        numpyro.sample("effects", dist.Normal(theta, errors), obs=effects)


def one_effect(effects, errors):
    theta = numpyro.sample("theta", dist.Normal(5.0, 10.0))
    numpyro.sample("effects", dist.Normal(theta, errors), obs=effects)


def regression(X, y, sigma):
    alpha = numpyro.sample("alpha", dist.Normal(0.0, 10.0))
    beta = numpyro.sample("beta", dist.MultivariateNormal(jnp.zeros(X.shape[1]), 4.0 * jnp.eye(X.shape[1])))
    numpyro.deterministic("line", alpha + X @ beta)
    numpyro.sample("y", dist.Normal(alpha + X @ beta, sigma), obs=y)


def smooth(y, covariance, sigma):
    """A Gaussian process at given places."""
    path = numpyro.sample("path", dist.MultivariateNormal(jnp.zeros(len(y)), covariance))
    numpyro.sample("y", dist.Normal(path, sigma), obs=y)


def walk(y):
    drift = numpyro.sample("drift", dist.Normal(0.0, 1.0))
    path = numpyro.sample("path", dist.GaussianRandomWalk(0.5, num_steps=len(y)))
    numpyro.sample("y", dist.Normal(path + drift * jnp.arange(len(y)), 0.3), obs=y)


def flat_and_smooth(y):
    level = numpyro.sample("level", dist.ImproperUniform(dist.constraints.real, (len(y),), ()).to_event(1))
    numpyro.factor("smooth", -1.5 * jnp.sum(jnp.diff(level) ** 2))
    numpyro.sample("y", dist.Normal(level, 1.0), obs=y)


# Vectors and matrices.


def center(x, covariance):
    loc = numpyro.sample("loc", dist.MultivariateNormal(jnp.array([1.0, -1.0]), 9.0 * jnp.eye(2)))
    with numpyro.plate("row", len(x)):
        numpyro.sample("x", dist.MultivariateNormal(loc, covariance), obs=x)


def spread(x):
    covariance = numpyro.sample("covariance", dist.InverseWishart(5.0, scale_matrix=jnp.diag(jnp.array([1.0, 2.0]))))
    with numpyro.plate("row", len(x)):
        numpyro.sample("x", dist.MultivariateNormal(jnp.array([1.0, 0.0]), covariance_matrix=covariance), obs=x)


def spread_by_precision(x):
    precision = numpyro.sample("precision", dist.Wishart(5.0, jnp.diag(jnp.array([1.0, 0.5]))))
    with numpyro.plate("row", len(x)):
        numpyro.sample("x", dist.MultivariateNormal(jnp.array([1.0, 0.0]), precision_matrix=precision), obs=x)


# Without a closed form.


def schools_with_tau(effects, errors):
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("school", len(effects)):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("effects", dist.Normal(theta, errors), obs=effects)


def logistic(X, y):
    beta = numpyro.sample("beta", dist.Normal(0.0, 1.0).expand([X.shape[1]]).to_event(1))
    numpyro.sample("y", dist.Bernoulli(logits=X @ beta), obs=y)


def product(tosses):
    p = numpyro.sample("p", dist.Beta(1.0, 1.0))
    q = numpyro.sample("q", dist.Beta(1.0, 1.0))
    numpyro.sample("tosses", dist.Bernoulli(p * q), obs=tosses)


def squared_chance(tosses):
    p = numpyro.sample("p", dist.Beta(1.0, 1.0))
    numpyro.sample("tosses", dist.Bernoulli(p**2), obs=tosses)


def semi_conjugate(x):
    variance = numpyro.sample("variance", dist.InverseGamma(2.0, 3.0))
    loc = numpyro.sample("loc", dist.Normal(0.0, 10.0))
    numpyro.sample("x", dist.Normal(loc, jnp.sqrt(variance)), obs=x)


def variance_as_scale(x):
    """The prior of a variance, taken for that of a scale."""
    sigma = numpyro.sample("sigma", dist.InverseGamma(2.0, 3.0))
    numpyro.sample("x", dist.Normal(0.0, sigma), obs=x)


def hyperprior(deaths):
    shape = numpyro.sample("shape", dist.Exponential(1.0))
    with numpyro.plate("row", len(deaths)):
        rate = numpyro.sample("rate", dist.Gamma(shape, 1.0))
        numpyro.sample("deaths", dist.Poisson(rate), obs=deaths)


def many_levels(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    theta = numpyro.sample("theta", dist.Normal(mu, 1.0).expand([len(y)]).to_event(1))
    numpyro.sample("y", dist.Normal(theta, 1.0), obs=y)


def robust_line(x, y):
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.StudentT(4.0, slope * x, 1.0), obs=y)


def heavy_tails(y):
    loc = numpyro.sample("loc", dist.Cauchy(0.0, 1.0))
    numpyro.sample("y", dist.Normal(loc, 1.0), obs=y)


def bent_line(x, y):
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(jnp.exp(slope * x), 1.0), obs=y)


def mixture(y):
    z = numpyro.sample("z", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
    numpyro.sample("y", dist.Normal(z, 1.0), obs=y)


def penalised(y):
    p = numpyro.sample("p", dist.Beta(1.0, 1.0))
    numpyro.factor("penalty", -10.0 * p)
    numpyro.sample("y", dist.Bernoulli(p), obs=y)


def clipped(tosses):
    p = numpyro.sample("p", dist.Beta(1.0, 1.0))
    numpyro.sample("tosses", dist.Bernoulli(jnp.clip(p, 0.2, 0.8)), obs=tosses)
