"""Rows that are missing, weighted or drawn."""

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro import handlers, plate, sample
from tests.models.case import CELLS, IDENTICAL, LINEAR, ROWS, case


@case(lambda rng: (rng.poisson(3.0, ROWS), rng.integers(0, 5, ROWS), rng.random(ROWS) < 0.7), y=CELLS)
def masked_rows(y, group, seen):
    rate = sample("rate", dist.Gamma(2.0, 0.5).expand([5]).to_event(1))
    with plate("rows", len(y)), handlers.mask(mask=seen):
        sample("y", dist.Poisson(rate[group]), obs=y)


@case(lambda rng: (rng.normal(0.0, 1.0, ROWS), rng.normal(0.0, 1.0, ROWS), rng.random(ROWS) < 0.7), y=LINEAR)
def masked_line(y, x, seen):
    """A mask that belongs to the distribution."""
    level, slope = sample("level", dist.Normal(0.0, 1.0)), sample("slope", dist.Normal(0.0, 1.0))
    scale = sample("scale", dist.HalfNormal(1.0))
    with plate("rows", len(y)):
        sample("y", dist.Normal(level + slope * x, scale).mask(seen), obs=np.where(seen, y, 99.0))


@case(lambda rng: (rng.gamma(2.0, 1.0, ROWS), np.zeros(ROWS, bool)), either=("y",), whole_rows=True)
def everything_masked(y, seen):
    shape = sample("shape", dist.LogNormal(0.0, 1.0))
    with plate("rows", len(y)), handlers.mask(mask=seen):
        sample("y", dist.Gamma(shape, 1.0), obs=y)


@case(
    lambda rng: (rng.normal(0.0, 1.0, 83), {"group": rng.integers(0, 5, 83), "seen": rng.random(83) < 0.8}),
    y_observed=(CELLS, LINEAR),
    whole_rows=True,
)
def unseen_outcomes_are_latent(y, group, seen):
    """`obs_mask`: what was not seen is a latent site, with an axis of rows; what was seen can be compressed."""
    loc, scale = sample("loc", dist.Normal(0.0, 1.0).expand([5]).to_event(1)), sample("scale", dist.HalfNormal(1.0))
    with plate("rows", len(y)):
        sample("y", dist.Normal(loc[group], scale), obs=y, obs_mask=seen)


@case(lambda rng: (rng.gamma(2.0, 1.0, ROWS),), y=IDENTICAL)
def tempered(y):
    shape, rate = sample("shape", dist.LogNormal(0.0, 1.0)), sample("rate", dist.LogNormal(0.0, 1.0))
    with handlers.scale(scale=0.3), plate("rows", len(y)):
        sample("y", dist.Gamma(shape, rate), obs=y)


@case(lambda rng: (rng.gamma(2.0, 1.0, ROWS), rng.uniform(0.1, 3.0, ROWS)), y=IDENTICAL)
def weighted_rows(y, weights):
    shape, rate = sample("shape", dist.LogNormal(0.0, 1.0)), sample("rate", dist.LogNormal(0.0, 1.0))
    with plate("rows", len(y)), handlers.scale(scale=weights):
        sample("y", dist.Gamma(shape, rate), obs=y)


@case(
    lambda rng: (
        rng.normal(0.0, 1.0, ROWS),
        rng.normal(0.0, 1.0, ROWS),
        rng.uniform(0.1, 3.0, ROWS),
        rng.random(ROWS) < 0.8,
    ),
    y=LINEAR,
)
def weighted_and_masked_line(y, x, weights, seen):
    level, slope = sample("level", dist.Normal(0.0, 1.0)), sample("slope", dist.Normal(0.0, 1.0))
    scale = sample("scale", dist.HalfNormal(1.0))
    with plate("rows", len(y)), handlers.scale(scale=weights), handlers.mask(mask=seen), handlers.scale(scale=0.5):
        sample("y", dist.Normal(level + slope * x, scale), obs=y)


@case(lambda rng: (rng.integers(0, 2, ROWS), rng.integers(0, 5, ROWS), rng.integers(1, 6, ROWS).astype(float)), y=CELLS)
def weighted_coins(y, group, counts):
    """Weights that stand for rows which came more than once."""
    logits = sample("logits", dist.Normal(0.0, 1.0).expand([5]).to_event(1))
    with plate("rows", len(y)), handlers.scale(scale=jnp.asarray(counts)):
        sample("y", dist.Bernoulli(logits=logits[group]), obs=y)


@case(lambda rng: (rng.poisson(3.0, ROWS),), either=("y",), whole_rows=True)
def weights_that_are_latent(y):
    """The weight is a power that is sampled: a model may do that, though few should."""
    rate, power = sample("rate", dist.Gamma(2.0, 0.5)), sample("power", dist.Beta(2.0, 2.0))
    with plate("rows", len(y)), handlers.scale(scale=power):
        sample("y", dist.Poisson(rate), obs=y)


@case(lambda rng: (rng.poisson(3.0, ROWS), rng.integers(0, 2, ROWS)), y=IDENTICAL, either=("inner/z",), whole_rows=True)
def scoped_and_conditioned(y, z):
    """Handlers around parts of a model: data that come by `condition`, names that come by `scope`."""

    def part():
        p = sample("p", dist.Beta(1.0, 1.0))
        with plate("rows", len(z)):
            sample("z", dist.Bernoulli(p))

    handlers.scope(handlers.condition(part, {"z": z}), prefix="inner")()
    rate = sample("rate", dist.Gamma(2.0, 0.5))
    with plate("rows", len(y)):
        sample("y", dist.Poisson(rate), obs=y)
