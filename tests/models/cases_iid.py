"""Rows that are alike: parameters without an axis of rows."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro import plate, sample
from tests.models.case import CELLS, COUNTED, IDENTICAL, LINEAR, LOOSE, ROWS, case


@case(lambda rng: (rng.gamma(2.0, 3.0, ROWS),), y=IDENTICAL)
def gamma(y):
    shape, rate = sample("shape", dist.LogNormal(0.0, 1.0)), sample("rate", dist.LogNormal(0.0, 1.0))
    with plate("rows", len(y)):
        sample("y", dist.Gamma(shape, rate), obs=y)


@case(lambda rng: (rng.normal(1.5, 2.0, ROWS),), y=(IDENTICAL, LINEAR))
def normal(y):
    loc, scale = sample("loc", dist.Normal(0.0, 5.0)), sample("scale", dist.HalfNormal(3.0))
    with plate("rows", len(y)):
        sample("y", dist.Normal(loc, scale), obs=y)


@case(lambda rng: (1e5 + rng.standard_normal(ROWS),), y=(IDENTICAL, LINEAR))
def normal_far_from_zero(y):
    """Sums of squares would lose what matters."""
    loc, scale = sample("loc", dist.Normal(1e5, 3.0)), sample("scale", dist.HalfNormal(3.0))
    with plate("rows", len(y)):
        sample("y", dist.Normal(loc, scale), obs=y)


@case(lambda rng: (rng.random(ROWS) < 0.3,), y=IDENTICAL)
def bernoulli_probs(y):
    p = sample("p", dist.Beta(2.0, 2.0))
    with plate("rows", len(y)):
        sample("y", dist.Bernoulli(p), obs=y.astype(int))


@case(lambda rng: (rng.integers(0, 2, ROWS),), y=IDENTICAL)
def bernoulli_logits(y):
    logits = sample("logits", dist.Normal(0.0, 1.5))
    with plate("rows", len(y)):
        sample("y", dist.Bernoulli(logits=logits), obs=y)


@case(lambda rng: (np.zeros(ROWS, int),), y=IDENTICAL)
def bernoulli_all_zero(y):
    """There is no finite fit."""
    logits = sample("logits", dist.Normal(0.0, 1.5))
    with plate("rows", len(y)):
        sample("y", dist.Bernoulli(logits=logits), obs=y)


@case(lambda rng: (rng.poisson(4.0, ROWS),), y=IDENTICAL)
def poisson(y):
    rate = sample("rate", dist.Gamma(2.0, 0.5))
    with plate("rows", len(y)):
        sample("y", dist.Poisson(rate), obs=y)


@case(lambda rng: (np.zeros(ROWS, int),), y=IDENTICAL)
def poisson_all_zero(y):
    """There is no fit inside the family."""
    rate = sample("rate", dist.Gamma(2.0, 0.5))
    with plate("rows", len(y)):
        sample("y", dist.Poisson(rate), obs=y)


@case(lambda rng: (rng.exponential(3.0, ROWS),), y=IDENTICAL)
def exponential(y):
    rate = sample("rate", dist.Gamma(2.0, 2.0))
    with plate("rows", len(y)):
        sample("y", dist.Exponential(rate), obs=y)


@case(lambda rng: (rng.beta(2.0, 5.0, ROWS),), y=IDENTICAL)
def beta(y):
    a, b = sample("a", dist.LogNormal(0.0, 1.0)), sample("b", dist.LogNormal(0.0, 1.0))
    with plate("rows", len(y)):
        sample("y", dist.Beta(a, b), obs=y)


@case(lambda rng: (rng.negative_binomial(3, 0.4, ROWS),), y=(IDENTICAL, COUNTED), tolerance=LOOSE)
def negative_binomial(y):
    """An exponential family only where the concentration is known; but the values are few."""
    mean, concentration = sample("mean", dist.LogNormal(1.0, 1.0)), sample("concentration", dist.Gamma(2.0, 1.0))
    with plate("rows", len(y)):
        sample("y", dist.NegativeBinomial2(mean, concentration), obs=y)


@case(lambda rng: (rng.choice(4, ROWS, p=[0.1, 0.2, 0.3, 0.4]),), y=IDENTICAL)
def categorical(y):
    p = sample("p", dist.Dirichlet(jnp.ones(4)))
    with plate("rows", len(y)):
        sample("y", dist.Categorical(p), obs=y)


@case(lambda rng: (rng.standard_t(4.0, ROWS).round(1),), y=COUNTED)
def student_t_of_rounded_values(y):
    """No exponential family, but a value that comes twice need be looked at once only."""
    df, loc, scale = (
        sample("df", dist.Gamma(2.0, 0.1)),
        sample("loc", dist.Normal(0.0, 2.0)),
        sample("scale", dist.HalfNormal(2.0)),
    )
    with plate("rows", len(y)):
        sample("y", dist.StudentT(df, loc, scale), obs=y)


@case(lambda rng: (2.0 * rng.weibull(1.5, ROWS),), y=IDENTICAL)
def weibull_of_known_shape(y):
    scale = sample("scale", dist.LogNormal(0.0, 1.0))
    with plate("rows", len(y)):
        sample("y", dist.Weibull(scale, 1.5), obs=y)


@case(lambda rng: ((2.0 * rng.weibull(1.5, ROWS)).round(1) + 0.1,), y=COUNTED)
def weibull_of_rounded_values(y):
    scale, shape = sample("scale", dist.LogNormal(0.0, 1.0)), sample("shape", dist.LogNormal(0.0, 0.5))
    with plate("rows", len(y)):
        sample("y", dist.Weibull(scale, shape), obs=y)


@case(lambda rng: (rng.laplace(0.0, 2.0, ROWS),), y=IDENTICAL)
def laplace_around_zero(y):
    scale = sample("scale", dist.HalfNormal(3.0))
    with plate("rows", len(y)):
        sample("y", dist.Laplace(0.0, scale), obs=y)


@case(lambda rng: (np.exp(rng.normal(0.5, 0.7, ROWS)),), y=(IDENTICAL, LINEAR))
def log_normal(y):
    loc, scale = sample("loc", dist.Normal(0.0, 2.0)), sample("scale", dist.HalfNormal(2.0))
    with plate("rows", len(y)):
        sample("y", dist.LogNormal(loc, scale), obs=y)


@case(lambda rng: (rng.poisson(2.0, ROWS) * (rng.random(ROWS) < 0.7),), y=COUNTED)
def zero_inflated_poisson(y):
    gate, rate = sample("gate", dist.Beta(1.0, 1.0)), sample("rate", dist.LogNormal(0.0, 1.0))
    with plate("rows", len(y)):
        sample("y", dist.ZeroInflatedPoisson(gate, rate), obs=y)


@case(lambda rng: (rng.normal(0.0, 1.0, (ROWS, 3)) @ rng.normal(0.0, 1.0, (3, 3)),), y=(IDENTICAL, LINEAR))
def multivariate_normal(y):
    loc = sample("loc", dist.Normal(0.0, 2.0).expand([3]).to_event(1))
    scale = sample("scale", dist.HalfNormal(2.0).expand([3]).to_event(1))
    factor = sample("factor", dist.LKJCholesky(3, 2.0))
    with plate("rows", len(y)):
        sample("y", dist.MultivariateNormal(loc, scale_tril=scale[:, None] * factor), obs=y)


@case(lambda rng: (rng.dirichlet([1.0, 2.0, 3.0], ROWS),), y=IDENTICAL)
def dirichlet(y):
    concentration = sample("concentration", dist.LogNormal(0.0, 1.0).expand([3]).to_event(1))
    with plate("rows", len(y)):
        sample("y", dist.Dirichlet(concentration), obs=y)


@case(lambda rng: (rng.vonmises(1.0, 2.0, ROWS),), y=IDENTICAL)
def von_mises(y):
    loc, concentration = sample("loc", dist.Uniform(-3.0, 3.0)), sample("concentration", dist.Gamma(2.0, 1.0))
    with plate("rows", len(y)):
        sample("y", dist.VonMises(loc, concentration), obs=y)


@case(
    lambda rng: {
        "waits": rng.geometric(0.3, ROWS) - 1,
        "sizes": np.abs(rng.standard_normal(ROWS)) + 0.01,
        "precisions": 1.0 / rng.gamma(3.0, 1.0, ROWS),
        "wins": rng.binomial(12, 0.4, ROWS),
        "votes": rng.multinomial(9, [0.2, 0.3, 0.5], ROWS),
    },
    waits=IDENTICAL,
    sizes=IDENTICAL,
    precisions=IDENTICAL,
    wins=IDENTICAL,
    votes=IDENTICAL,
)
def five_outcomes(waits, sizes, precisions, wins, votes):
    p = sample("p", dist.Beta(2.0, 2.0))
    scale = sample("scale", dist.HalfNormal(2.0))
    q = sample("q", dist.Dirichlet(jnp.ones(3)))
    with plate("rows", len(waits)):
        sample("waits", dist.Geometric(p), obs=waits)
        sample("sizes", dist.HalfNormal(scale), obs=sizes)
        sample("precisions", dist.InverseGamma(1.0 + scale, 2.0 * scale), obs=precisions)
        sample("wins", dist.Binomial(12, p), obs=wins)
        sample("votes", dist.Multinomial(9, q), obs=votes)


@case(lambda rng: (rng.normal(1.0, 2.0, ROWS),), y=(IDENTICAL, LINEAR))
def no_plate(y):
    """One distribution, whose log-density at an array is an array."""
    loc, scale = sample("loc", dist.Normal(0.0, 5.0)), sample("scale", dist.HalfNormal(3.0))
    sample("y", dist.Normal(loc, scale), obs=y)


@case(lambda rng: (rng.gamma(2.0, 3.0, ROWS),), y=IDENTICAL)
def expanded_instead_of_a_plate(y):
    shape, rate = sample("shape", dist.LogNormal(0.0, 1.0)), sample("rate", dist.LogNormal(0.0, 1.0))
    sample("y", dist.Gamma(shape, rate).expand([len(y)]), obs=y)


@case(lambda rng: (rng.normal(0.0, [1.0, 2.0, 3.0], (ROWS, 3)),), y=(IDENTICAL, LINEAR, CELLS))
def rows_of_independent_numbers(y):
    loc = sample("loc", dist.Normal(0.0, 2.0).expand([3]).to_event(1))
    scale = sample("scale", dist.HalfNormal(2.0).expand([3]).to_event(1))
    with plate("rows", len(y)):
        sample("y", dist.Normal(loc, scale).to_event(1), obs=y)


@case(lambda rng: (rng.poisson([1.0, 2.0, 3.0], (ROWS, 3)),), y=(IDENTICAL, CELLS))
def rows_by_outcomes(y):
    """Plates in plates: the parameters have an axis of outcomes, but none of rows."""
    with plate("outcomes", 3, dim=-1):
        rate = sample("rate", dist.Gamma(2.0, 1.0))
        with plate("rows", len(y), dim=-2):
            sample("y", dist.Poisson(rate), obs=y)


@case(lambda rng: (rng.poisson(2.0, (23, 9)),), y=(IDENTICAL, CELLS))
def table_of_rows(y):
    """Both axes are of rows."""
    rate = sample("rate", dist.Gamma(2.0, 1.0))
    with plate("left", 23, dim=-2), plate("right", 9, dim=-1):
        sample("y", dist.Poisson(rate), obs=y)


@case(lambda rng: (rng.gamma(2.0, 3.0, ROWS),), y=IDENTICAL, either=("penalty",))
def terms_beside_the_data(y):
    """Deterministic sites and factors that know nothing of rows stay."""
    shape, rate = sample("shape", dist.LogNormal(0.0, 1.0)), sample("rate", dist.LogNormal(0.0, 1.0))
    mean = numpyro.deterministic("mean", shape / rate)
    numpyro.factor("penalty", -0.5 * (mean - 6.0) ** 2)
    with plate("rows", len(y)):
        sample("y", dist.Gamma(shape, rate), obs=y)


@case(lambda rng: (rng.normal(1.0, 2.0, ROWS),), y=IDENTICAL, either=("extra",), whole_rows=True)
def a_factor_of_the_rows(y):
    """A likelihood written by hand beside one that is not."""
    shape = sample("shape", dist.LogNormal(0.0, 1.0))
    numpyro.factor("extra", -jnp.sum(jnp.log(jnp.cosh(shape * y))))
    with plate("rows", len(y)):
        sample("y", dist.Gamma(shape, 1.0), obs=np.exp(y))


@case(
    lambda rng: ([rng.normal(k, 1.0 + k, 40 + k) for k in range(4)],),
    y0=IDENTICAL,
    y1=IDENTICAL,
    y2=IDENTICAL,
    y3=IDENTICAL,
)
def sites_in_a_python_loop(groups):
    center = sample("center", dist.Normal(0.0, 2.0))
    for k, y in enumerate(groups):
        loc = sample(f"loc{k}", dist.Normal(center, 1.0))
        scale = sample(f"scale{k}", dist.HalfNormal(3.0))
        with plate(f"rows{k}", len(y)):
            sample(f"y{k}", dist.Normal(loc, scale), obs=y)
