"""Sites that must stay as they are, alone and beside others that can be compressed."""

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro import handlers, plate, sample
from numpyro.contrib.control_flow import scan
from tests.models.case import CELLS, COUNTED, IDENTICAL, ROWS, case

FEW = 67
"""Rows of models with as many latent numbers."""


@case(lambda rng: (rng.standard_t(4.0, ROWS),), kept=("y",))
def student_t(y):
    """No exponential family, and no two values alike."""
    df, loc = sample("df", dist.Gamma(2.0, 0.1)), sample("loc", dist.Normal(0.0, 2.0))
    scale = sample("scale", dist.HalfNormal(2.0))
    with plate("rows", len(y)):
        sample("y", dist.StudentT(df, loc, scale), obs=y)


@case(lambda rng: (2.0 * rng.weibull(1.5, ROWS),), kept=("y",))
def weibull(y):
    """An exponential family where the shape is known; here it is not."""
    scale, shape = sample("scale", dist.LogNormal(0.0, 1.0)), sample("shape", dist.LogNormal(0.0, 0.5))
    with plate("rows", len(y)):
        sample("y", dist.Weibull(scale, shape), obs=y)


@case(lambda rng: (rng.laplace(1.0, 2.0, ROWS),), kept=("y",))
def laplace(y):
    """An exponential family where the location is known; here it is not."""
    loc, scale = sample("loc", dist.Normal(0.0, 2.0)), sample("scale", dist.HalfNormal(2.0))
    with plate("rows", len(y)):
        sample("y", dist.Laplace(loc, scale), obs=y)


@case(lambda rng: (rng.integers(0, 2, ROWS), rng.normal(0.0, 1.0, ROWS)), kept=("y",))
def logistic_regression(y, x):
    level, slope = sample("level", dist.Normal(0.0, 1.0)), sample("slope", dist.Normal(0.0, 1.0))
    with plate("rows", len(y)):
        sample("y", dist.Bernoulli(logits=level + slope * x), obs=y)


@case(lambda rng: (rng.normal(0.0, 1.0, ROWS), rng.normal(0.0, 1.0, ROWS)), kept=("y",))
def curve(y, x):
    """The location is not affine in the latent frequency."""
    height, frequency = sample("height", dist.Normal(0.0, 1.0)), sample("frequency", dist.HalfNormal(1.0))
    with plate("rows", len(y)):
        sample("y", dist.Normal(height * jnp.sin(frequency * x), 0.5), obs=y)


@case(lambda rng: (rng.normal(0.0, 1.0, ROWS), rng.normal(0.0, 1.0, ROWS)), kept=("y",))
def scale_that_grows_with_a_covariate(y, x):
    """The location is affine; the scale knows the row."""
    level, slope = sample("level", dist.Normal(0.0, 1.0)), sample("slope", dist.Normal(0.0, 1.0))
    growth = sample("growth", dist.Normal(0.0, 0.5))
    with plate("rows", len(y)):
        sample("y", dist.Normal(level + slope * x, jnp.exp(growth * x)), obs=y)


@case(lambda rng: (rng.normal(0.0, 1.0, FEW),), kept=("y",))
def latent_path(y):
    """An autoregression of one latent number a row."""
    phi, scale = sample("phi", dist.Uniform(-0.9, 0.9)), sample("scale", dist.HalfNormal(1.0))
    shocks = sample("shocks", dist.Normal(0.0, 1.0).expand([len(y)]).to_event(1))
    path = jnp.tril(phi ** jnp.abs(np.subtract.outer(np.arange(len(y)), np.arange(len(y))))) @ shocks
    with plate("rows", len(y)):
        sample("y", dist.Normal(path, scale), obs=y)


@case(lambda rng: (rng.normal(0.0, 1.0, FEW),), kept=("y",))
def sum_of_latent_steps(y):
    steps, scale = (
        sample("steps", dist.Normal(0.0, 1.0).expand([len(y)]).to_event(1)),
        sample("scale", dist.HalfNormal(1.0)),
    )
    with plate("rows", len(y)):
        sample("y", dist.Normal(jnp.cumsum(steps), scale), obs=y)


@case(lambda rng: (rng.poisson(3.0, FEW),), kept=("y",))
def one_latent_number_a_row(y):
    """Overdispersion by an effect of every row."""
    level, spread = sample("level", dist.Normal(0.0, 1.0)), sample("spread", dist.HalfNormal(1.0))
    with plate("rows", len(y)):
        z = sample("z", dist.Normal(0.0, 1.0))
        sample("y", dist.Poisson(jnp.exp(level + spread * z)), obs=y)


@case(lambda rng: (rng.poisson(3.0, FEW), rng.permutation(FEW)), kept=("y",))
def one_latent_number_a_row_in_another_order(y, order):
    """As many groups as rows, one row in each."""
    z = sample("z", dist.Normal(0.0, 1.0).expand([FEW]).to_event(1))
    with plate("rows", len(y)):
        sample("y", dist.Poisson(jnp.exp(z[order])), obs=y)


@case(
    lambda rng: (np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0]), np.array([15.0, 10, 16, 11, 9, 11, 10, 18])),
    kept=("y",),
)
def eight_schools(y, error):
    """Eight rows, eight known standard errors, eight effects (Rubin 1981)."""
    center, spread = sample("center", dist.Normal(0.0, 5.0)), sample("spread", dist.HalfCauchy(5.0))
    with plate("schools", 8):
        z = sample("z", dist.Normal(0.0, 1.0))
        sample("y", dist.Normal(center + spread * z, error), obs=y)


@case(lambda rng: (rng.normal(0.0, 1.0, FEW),), kept=("y",))
def steps_of_a_scan(y):
    """A random walk and what is seen of it, step by step."""
    scale = sample("scale", dist.HalfNormal(1.0))

    def step(before, seen):
        level = sample("level", dist.Normal(before, 1.0))
        sample("y", dist.Normal(level, scale), obs=seen)
        return level, None

    scan(step, 0.0, y)


@case(lambda rng: (rng.poisson(3.0, ROWS),), kept=("y",))
def drawn_rows(y):
    """A plate that takes some rows at random, and others the next time."""
    rate = sample("rate", dist.Gamma(2.0, 0.5))
    with plate("rows", len(y), subsample_size=50) as rows:
        sample("y", dist.Poisson(rate), obs=jnp.asarray(y)[rows])


@case(lambda rng: (rng.normal(rng.choice([-2.0, 2.0], FEW), 1.0),), kept=("y",))
def mixture_with_enumerated_labels(y):
    """One label a row, summed out by whoever runs the model."""
    weight = sample("weight", dist.Beta(2.0, 2.0))
    loc = sample("loc", dist.Normal(0.0, 2.0).expand([2]).to_event(1))
    with plate("rows", len(y)):
        label = sample("label", dist.Bernoulli(weight), infer={"enumerate": "parallel"})
        sample("y", dist.Normal(loc[label], 1.0), obs=y)


@case(lambda rng: (rng.normal(1.0, 2.0, ROWS),), kept=("y",))
def rows_that_share_an_enumerated_label(y):
    """One label for all rows: enumeration gives it an axis of its own, to the left of theirs."""
    loc = sample("loc", dist.Normal(0.0, 2.0).expand([2]).to_event(1))
    label = sample("label", dist.Bernoulli(0.4), infer={"enumerate": "parallel"})
    with plate("rows", len(y)):
        sample("y", dist.Normal(loc[label], 1.0), obs=y)


@case(lambda rng: (rng.normal(rng.choice([-2.0, 2.0], ROWS), 1.0),), kept=("y",))
def mixture_as_one_distribution(y):
    weights = sample("weights", dist.Dirichlet(jnp.ones(2)))
    loc, scale = (
        sample(name, prior.expand([2]).to_event(1))
        for name, prior in (("loc", dist.Normal(0.0, 2.0)), ("scale", dist.LogNormal(0.0, 0.5)))
    )
    with plate("rows", len(y)):
        sample("y", dist.MixtureSameFamily(dist.Categorical(weights), dist.Normal(loc, scale)), obs=y)


@case(lambda rng: (rng.normal(0.0, 1.0, 31), np.sort(rng.uniform(0.0, 5.0, 31))), kept=("y",))
def gaussian_process(y, x):
    """All rows are one event."""
    length, height, noise = (sample(name, dist.LogNormal(0.0, 0.5)) for name in ("length", "height", "noise"))
    squares = np.subtract.outer(x, x) ** 2
    covariance = height * jnp.exp(-0.5 * squares / length**2) + (noise + 0.01) * jnp.eye(len(x))
    sample("y", dist.MultivariateNormal(jnp.zeros(len(x)), covariance), obs=y)


@case(
    lambda rng: (rng.normal(0.0, 1.0, ROWS), rng.normal(0.0, 1.0, ROWS), rng.integers(0, 5, ROWS)),
    either=("y",),
    whole_rows=True,
)
def rows_that_look_at_each_other(y, x, group):
    """Nobody's location without everybody's: a mean over rows, neighbours, an order."""
    a, b = sample("a", dist.Normal(0.0, 1.0).expand([5]).to_event(1)), sample("b", dist.Normal(0.0, 1.0))
    loc = a[group]
    with plate("rows", len(y)):
        sample("y", dist.Normal(loc - loc.mean() + b * jnp.roll(loc, 1) + jnp.sort(loc) + b * x, 1.0), obs=y)


@case(
    lambda rng: (
        rng.poisson(3.0, ROWS),
        rng.integers(0, 2, ROWS),
        rng.integers(0, 5, ROWS),
        rng.normal(0.0, 1.0, ROWS),
    ),
    y=CELLS,
    kept=("z",),
)
def one_of_two_outcomes(y, z, group, x):
    """Counts by group can be compressed, a logistic line cannot; they share an effect."""
    effect = sample("effect", dist.Normal(0.0, 1.0).expand([5]).to_event(1))
    slope = sample("slope", dist.Normal(0.0, 1.0))
    with plate("rows", len(y)):
        sample("y", dist.Poisson(jnp.exp(effect[group])), obs=y)
        sample("z", dist.Bernoulli(logits=effect[group] + slope * x), obs=z)


@case(lambda rng: (rng.poisson(3.0, ROWS), rng.normal(0.0, 1.0, FEW)), y=IDENTICAL, kept=("z",))
def counts_beside_a_latent_path(y, z):
    scale = sample("scale", dist.HalfNormal(1.0))
    with plate("path", len(z)):
        level = sample("level", dist.Normal(0.0, scale))
        sample("z", dist.Normal(level, 1.0), obs=z)
    with plate("rows", len(y)):
        sample("y", dist.Poisson(1.0 + scale), obs=y)


@case(
    lambda rng: (rng.standard_t(4.0, ROWS).round(), rng.integers(0, 4, ROWS), rng.normal(0.0, 1.0, ROWS)),
    y=COUNTED,
    kept=("z",),
    either=("w",),
    whole_rows=True,
)
def three_kinds_of_rows(y, group, z):
    """Two outcomes without an exponential family, one of them rounded; and a weighted third."""
    loc, scale = sample("loc", dist.Normal(0.0, 1.0).expand([4]).to_event(1)), sample("scale", dist.HalfNormal(1.0))
    with plate("rows", len(y)):
        sample("y", dist.StudentT(3.0, loc[group], scale), obs=y)
        sample("z", dist.Cauchy(loc[group], scale), obs=z)
        with handlers.scale(scale=np.exp(z)):
            sample("w", dist.Normal(loc[group] * z, scale), obs=y - z)
