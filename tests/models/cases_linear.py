"""Normal rows whose location is affine in what is latent."""

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro import plate, sample
from tests.models.case import CELLS, LINEAR, ROWS, case


@case(lambda rng: (rng.normal(0.0, 1.0, ROWS), rng.normal(0.0, 1.0, (ROWS, 4))), y=LINEAR)
def linear_regression(y, X):
    beta, scale = sample("beta", dist.Normal(0.0, 1.0).expand([4]).to_event(1)), sample("scale", dist.HalfNormal(1.0))
    with plate("rows", len(y)):
        sample("y", dist.Normal(X @ beta, scale), obs=y)


@case(lambda rng: (rng.normal(0.0, 1.0, ROWS), *rng.uniform(15.0, 25.0, (2, ROWS))), y=LINEAR)
def regression_term_by_term(y, a, b):
    """Covariates far from zero: not of mean zero, nor of scale one."""
    level, slopes = (
        sample("level", dist.Normal(0.0, 1.0)),
        sample("slopes", dist.Normal(0.0, 0.1).expand([2]).to_event(1)),
    )
    scale = sample("scale", dist.HalfNormal(1.0))
    with plate("rows", len(y)):
        sample("y", dist.Normal(level + slopes[0] * a + b * slopes[1] - a / 10.0, scale), obs=y)


@case(lambda rng: (rng.normal(0.0, 1.0, ROWS), np.repeat(rng.normal(0.0, 1.0, (ROWS, 2)), 2, axis=1)), y=LINEAR)
def columns_that_come_twice(y, X):
    """A design of deficient rank."""
    beta, scale = sample("beta", dist.Normal(0.0, 1.0).expand([4]).to_event(1)), sample("scale", dist.HalfNormal(1.0))
    with plate("rows", len(y)):
        sample("y", dist.Normal(X @ beta, scale), obs=y)


@case(lambda rng: (np.exp(rng.normal(0.0, 1.0, ROWS)), rng.normal(0.0, 1.0, ROWS)), y=LINEAR)
def log_normal_regression(y, x):
    level, slope = sample("level", dist.Normal(0.0, 1.0)), sample("slope", dist.Normal(0.0, 1.0))
    scale = sample("scale", dist.HalfNormal(1.0))
    with plate("rows", len(y)):
        sample("y", dist.LogNormal(level + slope * x, scale), obs=y)


@case(lambda rng: (rng.normal(0.0, 1.0, ROWS), rng.integers(0, 6, ROWS), rng.normal(0.0, 1.0, ROWS)), y=LINEAR)
def varying_slopes(y, group, x):
    scale = sample("scale", dist.HalfNormal(1.0))
    with plate("groups", 6):
        a, b = sample("a", dist.Normal(0.0, 1.0)), sample("b", dist.Normal(0.0, 1.0))
    with plate("rows", len(y)):
        sample("y", dist.Normal(a[group] + b[group] * x, scale), obs=y)


@case(lambda rng: (rng.normal(0.0, 1.0, ROWS), rng.integers(0, 6, ROWS), rng.normal(0.0, 1.0, ROWS)), y=LINEAR)
def correlated_varying_effects(y, group, x):
    center = sample("center", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    spread = sample("spread", dist.HalfNormal(1.0).expand([2]).to_event(1))
    factor = sample("factor", dist.LKJCholesky(2, 2.0))
    scale = sample("scale", dist.HalfNormal(1.0))
    with plate("groups", 6):
        effects = sample("effects", dist.MultivariateNormal(center, scale_tril=spread[:, None] * factor))
    with plate("rows", len(y)):
        sample("y", dist.Normal(effects[group, 0] + effects[group, 1] * x, scale), obs=y)


@case(lambda rng: (rng.normal(0.0, 1.0, ROWS), rng.integers(0, 6, ROWS), rng.normal(0.0, 1.0, (ROWS, 2))), y=LINEAR)
def correlated_effects_not_centred(y, group, x):
    """Three effects a group, by one matrix product and one sum over columns."""
    spread = sample("spread", dist.HalfNormal(1.0).expand([3]).to_event(1))
    factor = sample("factor", dist.LKJCholesky(3, 2.0))
    z = sample("z", dist.Normal(0.0, 1.0).expand([3, 6]).to_event(2))
    scale = sample("scale", dist.HalfNormal(1.0))
    effects = ((spread[:, None] * factor) @ z).T
    columns = jnp.column_stack([jnp.ones(len(y)), x])
    with plate("rows", len(y)):
        sample("y", dist.Normal((effects[group] * columns).sum(-1), scale), obs=y)


def _interaction(y, i, b, c):
    center, spread = sample("center", dist.Normal(0.0, 1.0)), sample("spread", dist.Exponential(1.0))
    with plate("groups", 17):
        alpha = sample("alpha", dist.Normal(center, spread))
    b1, b2, b3 = (sample(name, dist.HalfNormal(1.0)) for name in ("b1", "b2", "b3"))
    scale = sample("scale", dist.Exponential(1.0))
    with plate("rows", len(y)):
        sample("y", dist.Normal(alpha[i] + b1 * b + b2 * c + b3 * b * c, scale), obs=y)


@case(lambda rng: (rng.normal(0.0, 1.0, 397), rng.integers(0, 17, 397), *rng.normal(0.0, 1.0, (2, 397))), y=LINEAR)
def intercepts_and_an_interaction(y, i, b, c):
    """The model of issue 6864 of PyMC: 17 groups, two covariates and their product."""
    _interaction(y, i, b, c)


@case(
    lambda rng: (rng.normal(0.0, 1.0, 397), rng.integers(0, 17, 397), *rng.integers(0, 2, (2, 397))), y=(LINEAR, CELLS)
)
def intercepts_and_an_interaction_of_flags(y, i, b, c):
    _interaction(y, i, b, c)


@case(lambda rng: (rng.normal(0.0, 1.0, ROWS), rng.normal(0.0, 1.0, ROWS)), y=LINEAR)
def fixed_offset(y, offset):
    level, scale = sample("level", dist.Normal(0.0, 1.0)), sample("scale", dist.HalfNormal(1.0))
    with plate("rows", len(y)):
        sample("y", dist.Normal(level + offset, scale), obs=y)


@case(
    lambda rng: (rng.normal(0.0, 1.0, ROWS), rng.normal(0.0, 1.0, ROWS), rng.integers(0, 4, ROWS)),
    y=LINEAR,
)
def scales_by_group_around_a_line(y, x, group):
    level, slope = sample("level", dist.Normal(0.0, 1.0)), sample("slope", dist.Normal(0.0, 1.0))
    scale = sample("scale", dist.HalfNormal(1.0).expand([4]).to_event(1))
    with plate("rows", len(y)):
        sample("y", dist.Normal(level + slope * x, scale[group]), obs=y)


@case(lambda rng: (rng.normal(0.0, 1.0, 83), rng.uniform(0.5, 2.0, 83)), either=("y",), whole_rows=True)
def fixed_effect_meta_analysis(y, error):
    """Every row comes with its own known standard error."""
    effect = sample("effect", dist.Normal(0.0, 1.0))
    with plate("studies", len(y)):
        sample("y", dist.Normal(effect, error), obs=y)


@case(
    lambda rng: (rng.normal(0.0, 1.0, 83), rng.uniform(0.5, 2.0, 83), rng.integers(0, 4, 83)),
    either=("y",),
    whole_rows=True,
)
def meta_analysis_by_kind_of_study(y, error, kind):
    effect = sample("effect", dist.Normal(0.0, 1.0).expand([4]).to_event(1))
    inflation = sample("inflation", dist.LogNormal(0.0, 0.3))
    with plate("studies", len(y)):
        sample("y", dist.Normal(effect[kind], inflation * error), obs=y)


@case(lambda rng: (np.cumsum(rng.normal(0.0, 1.0, ROWS + 1)),), y=LINEAR)
def regression_on_the_value_before(y):
    """A lag of what is observed is a covariate."""
    level, slope = sample("level", dist.Normal(0.0, 1.0)), sample("slope", dist.Uniform(-1.0, 1.0))
    scale = sample("scale", dist.HalfNormal(1.0))
    with plate("rows", len(y) - 1):
        sample("y", dist.Normal(level + slope * y[:-1], scale), obs=y[1:])


@case(
    lambda rng: (rng.normal(0.0, 1.0, ROWS), rng.integers(0, 5, ROWS), np.eye(4)[rng.integers(0, 4, ROWS)]),
    y=(CELLS, LINEAR),
)
def one_of_many_columns(y, group, indicator):
    """A vector picked by a matrix of indicators, a column of data, and another by an index."""
    a, b = (sample(name, dist.Normal(0.0, 1.0).expand([n]).to_event(1)) for name, n in (("a", 5), ("b", 4)))
    c, scale = sample("c", dist.Normal(0.0, 1.0)), sample("scale", dist.HalfNormal(1.0))
    with plate("rows", len(y)):
        sample("y", dist.Normal(a[group] + jnp.asarray(indicator) @ b + c * indicator[:, 2], scale), obs=y)


@case(
    lambda rng: (rng.normal(0.0, 1.0, (ROWS, 2)) @ [[1.0, 0.5], [0.0, 1.0]], rng.normal(0.0, 1.0, (ROWS, 3))), y=LINEAR
)
def multivariate_regression(y, X):
    coefficients = sample("coefficients", dist.Normal(0.0, 1.0).expand([3, 2]).to_event(2))
    scale = sample("scale", dist.HalfNormal(1.0).expand([2]).to_event(1))
    factor = sample("factor", dist.LKJCholesky(2, 1.0))
    with plate("rows", len(y)):
        sample("y", dist.MultivariateNormal(X @ coefficients, scale_tril=scale[:, None] * factor), obs=y)


@case(lambda rng: (rng.normal(0.0, 1.0, (ROWS, 2)), rng.normal(0.0, 1.0, ROWS), rng.integers(0, 4, ROWS)), y=LINEAR)
def two_lines_put_together(y, x, group):
    """A line for each outcome, stacked row by row."""
    level = sample("level", dist.Normal(0.0, 1.0).expand([4]).to_event(1))
    slopes = sample("slopes", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    scale = sample("scale", dist.HalfNormal(1.0).expand([2]).to_event(1))
    factor = sample("factor", dist.LKJCholesky(2, 1.0))
    with plate("rows", len(y)):
        loc = jnp.stack([level[group] + slopes[0] * x, 1.0 - slopes[1] * x], axis=-1)
        sample("y", dist.MultivariateNormal(loc, scale_tril=scale[:, None] * factor), obs=y)


@case(lambda rng: (rng.normal(0.0, 1.0, (71, 3)), rng.normal(0.0, 1.0, 71)), y=LINEAR)
def lines_of_three_outcomes(y, x):
    """An axis of rows and an axis of outcomes, each with a line of its own."""
    with plate("outcomes", 3, dim=-1):
        level, slope = sample("level", dist.Normal(0.0, 1.0)), sample("slope", dist.Normal(0.0, 1.0))
        scale = sample("scale", dist.HalfNormal(1.0))
        with plate("rows", 71, dim=-2):
            sample("y", dist.Normal(level[None] + slope[None] * x[:, None], scale), obs=y)
