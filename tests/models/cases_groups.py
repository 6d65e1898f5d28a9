"""Parameters that depend on the row through discrete values only."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.nn import softplus
from numpyro import deterministic, plate, sample
from numpyro.distributions.transforms import OrderedTransform
from tests.models.case import CELLS, COUNTED, IDENTICAL, LINEAR, LOOSE, ROWS, case


@case(lambda rng: (rng.poisson(3.0, ROWS), rng.integers(0, 6, ROWS)), y=CELLS)
def poisson_by_group(y, group):
    with plate("groups", 6):
        rate = sample("rate", dist.Gamma(2.0, 0.5))
    with plate("rows", len(y)):
        sample("y", dist.Poisson(rate[group]), obs=y)


@case(lambda rng: (rng.integers(0, 2, 397), rng.integers(0, 8, 397)), y=CELLS)
def bernoulli_by_group(y, group):
    """Eight groups and many rows, as in issue 2225 of NumPyro."""
    center, spread = sample("center", dist.Normal(0.0, 1.5)), sample("spread", dist.HalfNormal(1.0))
    with plate("groups", 8):
        z = sample("z", dist.Normal(0.0, 1.0))
    logits = deterministic("logits", center + spread * z)
    with plate("rows", len(y)):
        sample("y", dist.Bernoulli(logits=logits[group]), obs=y)


@case(lambda rng: (rng.gamma(2.0, 1.0, ROWS), rng.integers(0, 5, ROWS) * 2, 11), y=CELLS)
def groups_without_rows(y, group, groups):
    """Every other group has no row."""
    with plate("groups", groups):
        shape = sample("shape", dist.LogNormal(0.0, 0.5))
    rate = sample("rate", dist.LogNormal(0.0, 0.5))
    with plate("rows", len(y)):
        sample("y", dist.Gamma(shape[group], rate), obs=y)


@case(
    lambda rng: (
        rng.normal(0.0, 1.0, ROWS),
        {"school": rng.integers(0, 12, ROWS), "district": np.arange(12) % 4},
    ),
    y=(CELLS, LINEAR),
)
def schools_in_districts(y, school, district):
    center, scale = sample("center", dist.Normal(0.0, 1.0)), sample("scale", dist.HalfNormal(1.0))
    with plate("districts", 4):
        of_district = sample("of_district", dist.Normal(center, 1.0))
    with plate("schools", 12):
        of_school = sample("of_school", dist.Normal(of_district[district], 0.5))
    with plate("rows", len(y)):
        sample("y", dist.Normal(of_school[school], scale), obs=y)


@case(lambda rng: (rng.normal(0.0, 1.0, ROWS), rng.integers(0, 6, ROWS), rng.integers(0, 5, ROWS)), y=(CELLS, LINEAR))
def crossed_groups(y, i, j):
    scale = sample("scale", dist.HalfNormal(1.0))
    a = sample("a", dist.Normal(0.0, 1.0).expand([6]).to_event(1))
    b = sample("b", dist.Normal(0.0, 1.0).expand([5]).to_event(1))
    with plate("rows", len(y)):
        sample("y", dist.Normal(a[i] + b[j], scale), obs=y)


@case(lambda rng: (rng.integers(0, 2, 397), rng.integers(0, 6, 397), rng.integers(0, 5, 397)), y=CELLS)
def crossed_groups_of_coins(y, i, j):
    """30 pairs, and no rule for each axis alone."""
    a = sample("a", dist.Normal(0.0, 1.0).expand([6]).to_event(1))
    b = sample("b", dist.Normal(0.0, 1.0).expand([5]).to_event(1))
    with plate("rows", len(y)):
        sample("y", dist.Bernoulli(logits=a[i] + b[j]), obs=y)


@case(lambda rng: (rng.normal(0.0, 1.0, ROWS), rng.integers(0, 7, ROWS)), y=(CELLS, LINEAR))
def not_centred_and_gathered_late(y, group):
    center, spread = sample("center", dist.Normal(0.0, 1.0)), sample("spread", dist.HalfNormal(1.0))
    scale = sample("scale", dist.HalfNormal(1.0))
    with plate("groups", 7):
        z = sample("z", dist.Normal(0.0, 1.0))
    with plate("rows", len(y)):
        sample("y", dist.Normal((center + spread * z)[group], scale), obs=y)


@case(lambda rng: (rng.normal(0.0, 1.0, ROWS), rng.integers(0, 7, ROWS)), y=(CELLS, LINEAR))
def not_centred_and_gathered_early(y, group):
    center, spread = sample("center", dist.Normal(0.0, 1.0)), sample("spread", dist.HalfNormal(1.0))
    scale = sample("scale", dist.HalfNormal(1.0))
    with plate("groups", 7):
        z = sample("z", dist.Normal(0.0, 1.0))
    with plate("rows", len(y)):
        sample("y", dist.Normal(center + spread * z[group], scale), obs=y)


@case(
    lambda rng: (rng.integers(0, 2, 307), np.eye(4)[rng.integers(0, 4, 307)][:, 1:], rng.integers(0, 2, 307)), y=CELLS
)
def logistic_regression_on_dummies(y, dummies, treated):
    """A matrix of few distinct rows: 4 levels times treated or not."""
    X = np.column_stack([np.ones(len(y)), dummies, treated])
    beta = sample("beta", dist.Normal(0.0, 1.0).expand([X.shape[1]]).to_event(1))
    with plate("rows", len(y)):
        sample("y", dist.Bernoulli(logits=jnp.asarray(X) @ beta), obs=y)


@case(lambda rng: (rng.poisson(3.0, ROWS), rng.integers(0, 3, ROWS), rng.integers(0, 4, ROWS)), y=CELLS)
def poisson_of_a_table(y, i, j):
    """A saturated table on the log scale."""
    base = sample("base", dist.Normal(1.0, 1.0))
    with plate("left", 3, dim=-2), plate("right", 4, dim=-1):
        cell = sample("cell", dist.Normal(0.0, 0.5))
    with plate("rows", len(y)):
        sample("y", dist.Poisson(jnp.exp(base + cell[i, j])), obs=y)


@case(lambda rng: (rng.poisson(3.0, ROWS), rng.integers(0, 5, ROWS), rng.choice([0.5, 1.0, 2.0], ROWS)), y=CELLS)
def poisson_with_few_exposures(y, group, exposure):
    rate = sample("rate", dist.Gamma(2.0, 0.5).expand([5]).to_event(1))
    with plate("rows", len(y)):
        sample("y", dist.Poisson(exposure * rate[group]), obs=y)


@case(
    lambda rng: (rng.poisson(3.0, ROWS), rng.integers(0, 5, ROWS), rng.uniform(0.5, 2.0, ROWS)),
    either=("y",),
    whole_rows=True,
)
def poisson_with_exposures(y, group, exposure):
    rate = sample("rate", dist.Gamma(2.0, 0.5).expand([5]).to_event(1))
    with plate("rows", len(y)):
        sample("y", dist.Poisson(exposure * rate[group]), obs=y)


@case(
    lambda rng: (rng.poisson(3.0, ROWS), rng.integers(0, 5, ROWS), rng.uniform(0.5, 2.0, ROWS)),
    either=("y",),
    whole_rows=True,
)
def poisson_with_log_offsets(y, group, exposure):
    effect = sample("effect", dist.Normal(0.0, 1.0).expand([5]).to_event(1))
    with plate("rows", len(y)):
        sample("y", dist.Poisson(jnp.exp(effect[group] + jnp.log(exposure))), obs=y)


@case(lambda rng: (rng.normal(0.0, 1.0, ROWS), rng.integers(0, 5, ROWS)), y=(CELLS, LINEAR))
def scales_by_group(y, group):
    with plate("groups", 5):
        loc, scale = sample("loc", dist.Normal(0.0, 1.0)), sample("scale", dist.HalfNormal(1.0))
    with plate("rows", len(y)):
        sample("y", dist.Normal(loc[group], scale[group]), obs=y)


@case(lambda rng: (rng.normal(0.0, 1.0, ROWS), rng.integers(0, 5, ROWS), rng.integers(0, 3, ROWS)), y=(CELLS, LINEAR))
def scales_by_another_group(y, group, instrument):
    loc = sample("loc", dist.Normal(0.0, 1.0).expand([5]).to_event(1))
    log_scale = sample("log_scale", dist.Normal(0.0, 0.5).expand([3]).to_event(1))
    with plate("rows", len(y)):
        sample("y", dist.Normal(loc[group], jnp.exp(log_scale)[instrument]), obs=y)


@case(lambda rng: (rng.binomial(10, 0.3, ROWS), rng.integers(0, 5, ROWS)), y=CELLS)
def transformed_parameters(y, group):
    """softplus, the logistic function, and a probability of it."""
    raw = sample("raw", dist.Normal(0.0, 1.0).expand([5]).to_event(1))
    ceiling = sample("ceiling", dist.Beta(5.0, 2.0))
    with plate("rows", len(y)):
        sample("y", dist.Binomial(10, ceiling * jax.nn.sigmoid(softplus(raw)[group] - 1.0)), obs=y)


@case(lambda rng: (rng.integers(0, 4, ROWS), rng.integers(0, 5, ROWS)), y=(CELLS, COUNTED))
def ordered_logistic(y, group):
    cuts = sample(
        "cuts", dist.TransformedDistribution(dist.Normal(0.0, 1.0).expand([3]).to_event(1), OrderedTransform())
    )
    effect = sample("effect", dist.Normal(0.0, 1.0).expand([5]).to_event(1))
    with plate("rows", len(y)):
        sample("y", dist.OrderedLogistic(effect[group], cuts), obs=y)


@case(lambda rng: (rng.integers(0, 4, ROWS), rng.integers(0, 5, ROWS)), y=(CELLS, COUNTED))
def categorical_by_group(y, group):
    with plate("groups", 5):
        p = sample("p", dist.Dirichlet(jnp.ones(4)))
    with plate("rows", len(y)):
        sample("y", dist.Categorical(p[group]), obs=y)


@case(lambda rng: (rng.integers(0, 3, ROWS), rng.integers(0, 5, ROWS)), y=(CELLS, COUNTED))
def logits_put_together_in_each_row(y, group):
    """Two effects and a base line of zeros, stacked row by row."""
    a, b = (sample(name, dist.Normal(0.0, 1.0).expand([5]).to_event(1)) for name in ("a", "b"))
    with plate("rows", len(y)):
        logits = jnp.stack([jnp.zeros(len(y)), a[group], b[group] - a[group]], axis=-1)
        sample("y", dist.Categorical(logits=logits), obs=y)


@case(lambda rng: (rng.integers(0, 4, ROWS), rng.integers(0, 5, ROWS)), y=(CELLS, COUNTED))
def logits_beside_a_base_line(y, group):
    a = sample("a", dist.Normal(0.0, 1.0).expand([5, 3]).to_event(2))
    with plate("rows", len(y)):
        logits = jnp.concatenate([a[group], jnp.zeros((len(y), 1))], axis=-1)
        sample("y", dist.Categorical(logits=logits), obs=y)


@case(lambda rng: (rng.binomial(t := rng.integers(1, 30, ROWS), 0.3), t), y=(IDENTICAL, CELLS))
def binomial_of_various_trials(y, trials):
    """The trials have an axis of rows, but they are data."""
    p = sample("p", dist.Beta(1.0, 1.0))
    with plate("rows", len(y)):
        sample("y", dist.Binomial(trials, p), obs=y)


@case(lambda rng: (rng.binomial(t := rng.integers(1, 60, ROWS), 0.3), t, rng.integers(0, 6, ROWS)), y=CELLS)
def binomial_of_various_trials_by_group(y, trials, group):
    """The evidence of a group needs its sum of trials only; there are nearly as many pairs of group and trials as rows."""
    logits = sample("logits", dist.Normal(0.0, 1.0).expand([6]).to_event(1))
    with plate("rows", len(y)):
        sample("y", dist.Binomial(trials, logits=logits[group]), obs=y)


@case(lambda rng: (rng.negative_binomial(3, 0.5, 397), rng.integers(0, 3, 397)), y=(CELLS, COUNTED), tolerance=LOOSE)
def negative_binomial_by_group(y, group):
    mean = sample("mean", dist.LogNormal(1.0, 0.5).expand([3]).to_event(1))
    concentration = sample("concentration", dist.Gamma(2.0, 1.0))
    with plate("rows", len(y)):
        sample("y", dist.NegativeBinomial2(mean[group], concentration), obs=y)


@case(lambda rng: (rng.binomial(8, rng.beta(2.0, 3.0, 397)), rng.integers(0, 3, 397)), y=COUNTED, tolerance=LOOSE)
def beta_binomial_by_group(y, group):
    a = sample("a", dist.LogNormal(0.5, 0.5).expand([3]).to_event(1))
    b = sample("b", dist.LogNormal(0.5, 0.5))
    with plate("rows", len(y)):
        sample("y", dist.BetaBinomial(a[group], b, 8), obs=y)


@case(
    lambda rng: (rng.normal(0.0, 1.0, (ROWS, 2)) @ [[1.0, 0.5], [0.0, 1.0]], rng.integers(0, 4, ROWS)),
    y=(CELLS, LINEAR),
)
def multivariate_normal_by_group(y, group):
    with plate("groups", 4):
        loc = sample("loc", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    scale = sample("scale", dist.HalfNormal(1.0).expand([2]).to_event(1))
    factor = sample("factor", dist.LKJCholesky(2, 1.0))
    with plate("rows", len(y)):
        sample("y", dist.MultivariateNormal(loc[group], scale_tril=scale[:, None] * factor), obs=y)


@case(lambda rng: (rng.poisson(3.0, ROWS), rng.integers(0, 12, ROWS)), y=CELLS)
def random_walk_over_months(y, month):
    """What comes before the gathering may be anything."""
    steps = sample("steps", dist.Normal(0.0, 0.3).expand([12]).to_event(1))
    with plate("rows", len(y)):
        sample("y", dist.Poisson(jnp.exp(1.0 + jnp.cumsum(steps)[month])), obs=y)


@case(
    lambda rng: (rng.poisson(3.0, ROWS), rng.normal(0.0, 1.0, ROWS), rng.integers(0, 5, ROWS)),
    y=CELLS,
    z=(CELLS, LINEAR),
)
def outcomes_that_share_latents(y, z, group):
    effect = sample("effect", dist.Normal(0.0, 1.0).expand([5]).to_event(1))
    slope, scale = sample("slope", dist.Normal(0.0, 1.0)), sample("scale", dist.HalfNormal(1.0))
    with plate("rows", len(y)):
        sample("y", dist.Poisson(jnp.exp(effect[group])), obs=y)
        sample("z", dist.Normal(slope * effect[group], scale), obs=z)


@case(lambda rng: (rng.poisson(3.0, (71, 3)), rng.integers(0, 5, 71)), y=CELLS)
def rows_by_outcomes_by_group(y, group):
    """An axis of rows with a group each, and an axis of outcomes."""
    with plate("outcomes", 3, dim=-1):
        base = sample("base", dist.Normal(0.5, 0.5))
        with plate("groups", 5, dim=-2):
            effect = sample("effect", dist.Normal(0.0, 0.5))
        with plate("rows", 71, dim=-2):
            sample("y", dist.Poisson(jnp.exp(base[None] + effect[group])), obs=y)


@case(lambda rng: (rng.normal(0.0, 1.0, ROWS), rng.integers(0, 5, ROWS)), either=("y",), whole_rows=True)
def all_rows_one_event(y, group):
    """A vector of independent numbers as one event."""
    loc, scale = sample("loc", dist.Normal(0.0, 1.0).expand([5]).to_event(1)), sample("scale", dist.HalfNormal(1.0))
    sample("y", dist.Normal(loc[group], scale).to_event(1), obs=y)


@case(lambda rng: (rng.poisson(3.0, ROWS), rng.integers(0, 5, ROWS)), y=CELLS, whole_rows=True)
def rows_named_by_deterministic(y, group):
    """Somebody wants to see the rate of every row."""
    effect = sample("effect", dist.Normal(0.0, 1.0).expand([5]).to_event(1))
    with plate("rows", len(y)):
        rate = deterministic("rate", jnp.exp(effect[group]))
        sample("y", dist.Poisson(rate), obs=y)


@case(
    lambda rng: (rng.exponential(2.0, ROWS), rng.integers(-5, 0, ROWS).astype(np.int32), rng.random(ROWS) < 0.5),
    y=CELLS,
)
def flags_and_indices_from_the_end(y, group, flag):
    rate = sample("rate", dist.LogNormal(0.0, 0.5).expand([5]).to_event(1))
    other = sample("other", dist.LogNormal(0.0, 0.5))
    with plate("rows", len(y)):
        sample("y", dist.Exponential(jnp.where(flag, other, jnp.take(rate, jnp.asarray(group) + 5))), obs=y)
