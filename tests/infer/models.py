"""Models and data that several tests share, so that they also share what is compiled."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

rng = np.random.default_rng(20)

HEIGHTS = rng.normal(1.7, 0.1, 40)
TOSSES = np.array([1, 0, 0, 0, 1, 0, 1, 0])
X = rng.normal(size=(30, 2))
Y = X @ np.array([1.0, -0.5]) + 0.3 + rng.normal(size=30)
EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def mean_of(y, sd=0.1):
    """A normal mean with a normal prior: the posterior is normal, see `posterior_of_mean`."""
    mu = numpyro.sample("mu", dist.Normal(1.0, 2.0))
    with numpyro.plate("person", len(y)):
        numpyro.sample("y", dist.Normal(mu, sd), obs=y)


def posterior_of_mean(y, sd=0.1):
    """Mean and standard deviation, by precisions."""
    precision = 1 / 2.0**2 + len(y) / sd**2
    return (1.0 / 2.0**2 + np.sum(y) / sd**2) / precision, precision**-0.5


def tossing(tosses):
    theta = numpyro.sample("theta", dist.Beta(2.0, 3.0))
    with numpyro.plate("toss", len(tosses)):
        numpyro.sample("heads", dist.Bernoulli(theta), obs=tosses)


def regression(x, y=None):
    b = numpyro.sample("b", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    s = numpyro.sample("s", dist.HalfNormal(2.0))
    numpyro.deterministic("ratio", a / s)
    with numpyro.plate("row", x.shape[0]):
        m = numpyro.deterministic("m", a + x @ b)
        numpyro.sample("y", dist.Normal(m, s), obs=y)


def schools(effects, errors):
    """Eight schools, centred: a funnel, and no mode."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("school", len(effects)):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("effect", dist.Normal(theta, errors), obs=effects)


def narrow(rows):
    """What n rows of N(2.1, 1.3²) tell of mean and scale, −n·KL, where n is [rows]: standard deviations 1.3/√n and 1.3/√2n."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
    s = numpyro.sample("s", dist.HalfNormal(5.0))
    u = 2.0 * jnp.log(1.3 / s)
    numpyro.factor("rows", -jnp.asarray(rows)[0] * 0.5 * (((2.1 - mu) / s) ** 2 + jnp.expm1(u) - u))


def far(rows):
    """A normal mean at 1000, with a standard deviation that float32 does not resolve there."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 1e4))
    numpyro.factor("rows", -rows * 0.5 * (mu - 1000.0123) ** 2)


def wide(size):
    """More free numbers than there is a Hessian for, of very different scales: jointly normal."""
    with numpyro.plate("axis", size):
        x = numpyro.sample("x", dist.Normal(jnp.linspace(-1.0, 1.0, size), jnp.exp(jnp.linspace(-4.0, 4.0, size))))
    numpyro.factor("sum", -0.5 * (jnp.sum(x[:2]) - 1.0) ** 2)


def two_peaks():
    x = numpyro.sample("x", dist.Normal(0.0, 10.0))
    numpyro.factor("peaks", jnp.logaddexp(-50.0 * (x - 2.0) ** 2, -50.0 * (x + 2.0) ** 2))


def flat():
    """A parameter that nothing is known of."""
    a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    b = numpyro.sample("b", dist.ImproperUniform(dist.constraints.real, (), ()))
    numpyro.factor("sum", -0.5 * (a + 0.0 * b) ** 2)
