"""The log-density of every family that NumPyro has too: the total; compiled, as in a model; and eager, as in a notebook.

Both distributions are arguments of the compiled function, so that neither side has its parameters folded into constants.
What is judged is the sum, against NumPyro's own formula in float64; what happens at parameters where float32 runs short
is told by `benchmarks.accuracy`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import surprax as sx
from benchmarks.harness import Case, Contest, Setting, Target, against, call, jitted

__all__ = ["CASES", "DISTRIBUTIONS"]

ROWS, QUICK_ROWS = 1_000_000, 500
"""Of numbers; of vectors and matrices a tenth."""

TOLERANCE = 2e-6
"""Of the sum of magnitudes of the terms, in float32."""

SLOWEST = 1 / 0.95
"""No density should take longer than this, as a share of NumPyro's time."""


def _covariance(size: int) -> np.ndarray:
    """Variances 1, 2, …, correlations 0.3."""
    scale = np.sqrt(np.arange(1, size + 1))
    return (0.3 + 0.7 * np.eye(size)) * np.outer(scale, scale)


DISTRIBUTIONS: dict[str, Callable[[], Any]] = {
    "Bernoulli": lambda: sx.Bernoulli(0.3),
    "Binomial": lambda: sx.Binomial(20, 0.3),
    "Categorical": lambda: sx.Categorical([0.1, 0.2, 0.3, 0.25, 0.15]),
    "Multinomial": lambda: sx.Multinomial(20, [0.1, 0.2, 0.3, 0.25, 0.15]),
    "DirichletMultinomial": lambda: sx.DirichletMultinomial([0.5, 1.0, 2.0, 3.0, 4.0], 20),
    "Poisson": lambda: sx.Poisson(4.0),
    "Geometric": lambda: sx.Geometric(0.3),
    "NegativeBinomial": lambda: sx.NegativeBinomial(4.0, 1.5),
    "BetaBinomial": lambda: sx.BetaBinomial(2.0, 3.0, 20),
    "BetaNegativeBinomial": lambda: sx.BetaNegativeBinomial(4.0, 3.0, 2.0),
    "Exponential": lambda: sx.Exponential(2.0),
    "Gamma": lambda: sx.Gamma(3.0, 2.0),
    "InverseGamma": lambda: sx.InverseGamma(3.0, 2.0),
    "ChiSquared": lambda: sx.ChiSquared(5.0),
    "LogNormal": lambda: sx.LogNormal(0.5, 0.8),
    "Normal": lambda: sx.Normal(1.0, 2.0),
    "HalfNormal": lambda: sx.HalfNormal(2.0),
    "Beta": lambda: sx.Beta(2.0, 3.0),
    "Weibull": lambda: sx.Weibull(2.0, 1.5),
    "Pareto": lambda: sx.Pareto(1.0, 2.5),
    "Laplace": lambda: sx.Laplace(1.0, 2.0),
    "Logistic": lambda: sx.Logistic(1.0, 2.0),
    "Cauchy": lambda: sx.Cauchy(1.0, 2.0),
    "StudentT": lambda: sx.StudentT(5.0, 1.0, 2.0),
    "Uniform": lambda: sx.Uniform(-1.0, 3.0),
    "Gumbel": lambda: sx.Gumbel(1.0, 2.0),
    "VonMises": lambda: sx.VonMises(1.0, 3.0),
    "Dirichlet": lambda: sx.Dirichlet([0.5, 1.0, 2.0, 3.0, 4.0]),
    "MultivariateNormal": lambda: sx.MultivariateNormal(np.arange(5.0), _covariance(5)),
    "MultivariateStudentT": lambda: sx.MultivariateStudentT(5.0, np.arange(5.0), scale_matrix=_covariance(5)),
    "Wishart": lambda: sx.Wishart(7.0, scale_matrix=_covariance(3)),
    "InverseWishart": lambda: sx.InverseWishart(7.0, scale_matrix=_covariance(3)),
}
"""By name; each is made when its turn comes."""


def peer(ours: Any) -> Any:
    """NumPyro's own class at the same parameters."""
    import numpyro.distributions as npd

    if isinstance(ours, sx.BetaNegativeBinomial):  # theirs counts the trials that the first concentration is for
        return npd.BetaNegativeBinomial(ours.concentration0, ours.concentration1, ours.total_count)
    return sx.to_numpyro(ours, native=True)


def prepared(name: str, setting: Setting) -> tuple[Any, Any, jax.Array, np.ndarray]:
    """Ours, NumPyro's, draws on the device, and the log-density of each in float64."""
    ours = DISTRIBUTIONS[name]()
    theirs = peer(ours)
    rows = setting.size(ROWS if ours.event_dim == 0 else ROWS // 10, QUICK_ROWS)
    x = jax.block_until_ready(ours.sample(jax.random.key(20_240_229), (rows,)))
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), theirs)
        terms = np.asarray(wide.log_prob(np.asarray(x) if ours.discrete else np.asarray(x, np.float64)), np.float64)
    return ours, theirs, x, terms


def contest(x: jax.Array, terms: np.ndarray, entrants: Any) -> Contest:
    judge = against(np.sum(terms), np.sum(np.abs(terms)))
    return Contest(len(x), str(x.dtype), entrants, judge, TOLERANCE, reads=x)


def sum_of_rows(d: Any, x: jax.Array) -> jax.Array:
    return jnp.sum(d.log_prob(x))


def summed(name: str, setting: Setting) -> Contest:
    """log_likelihood(x), beside the compiled sum that one writes for a distribution of NumPyro's."""
    ours, theirs, x, terms = prepared(name, setting)
    return contest(
        x,
        terms,
        {
            "surprax, log_likelihood": call(ours.log_likelihood, x),
            "NumPyro, jitted": jitted(sum_of_rows, theirs, x),
        },
    )


def compiled(name: str, setting: Setting) -> Contest:
    """Σ log_prob(x) inside a compiled function."""
    ours, theirs, x, terms = prepared(name, setting)
    entrants = {"surprax, jitted": jitted(sum_of_rows, ours, x), "NumPyro, jitted": jitted(sum_of_rows, theirs, x)}
    return contest(x, terms, entrants)


def eager(name: str, setting: Setting) -> Contest:
    """log_prob(x), called as it is; the sum, for the judge, is not timed."""
    ours, theirs, x, terms = prepared(name, setting)

    def total(log_densities: jax.Array) -> np.floating:
        return np.sum(np.asarray(log_densities, np.float64))

    return contest(
        x,
        terms,
        {
            "surprax, eager": call(ours.log_prob, x, answer=total),
            "NumPyro, eager": call(theirs.log_prob, x, answer=total),
        },
    )


CASES = [
    case
    for name in DISTRIBUTIONS
    for case in (
        Case(
            f"families/{name.lower()}/total",
            f"{name}.log_likelihood(x)",
            partial(summed, name),
            (Target(SLOWEST, "NumPyro, jitted"),),
        ),
        Case(
            f"families/{name.lower()}/jit",
            f"jit(Σ {name}.log_prob)",
            partial(compiled, name),
            (Target(SLOWEST, "NumPyro, jitted"),),
        ),
        Case(
            f"families/{name.lower()}/eager",
            f"{name}.log_prob(x)",
            partial(eager, name),
            (Target(SLOWEST, "NumPyro, eager"),),
        ),
    )
]
