"""To SciPy: frozen distributions of scipy.stats."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import scipy.special
import scipy.stats as st

from surprax.families.base import Distribution
from surprax.numerics.precision import is_traced

__all__ = ["TWINS", "to_scipy"]


def _probability(d: Any) -> Any:
    return scipy.special.expit(d.logits)


def _gram(d: Any) -> Any:
    return d.scale_tril @ d.scale_tril.T


TWINS: dict[str, Callable[[Any], Any]] = {
    "Bernoulli": lambda d: st.bernoulli(_probability(d)),
    "Binomial": lambda d: st.binom(d.total_count, _probability(d)),
    "Poisson": lambda d: st.poisson(d.rate),
    "BetaBinomial": lambda d: st.betabinom(d.total_count, d.concentration1, d.concentration0),
    "BetaNegativeBinomial": lambda d: st.betanbinom(d.total_count, d.concentration1, d.concentration0),
    "Logarithmic": lambda d: st.logser(_probability(d)),
    "Zeta": lambda d: st.zipf(d.exponent),
    "GeneralizedBetaPrime": lambda d: st.betaprime(d.concentration1, d.concentration0, scale=d.scale),
    "Geometric": lambda d: st.geom(_probability(d), loc=-1),
    "NegativeBinomial": lambda d: st.nbinom(d.concentration, d.concentration / (d.concentration + d.mean)),
    "Beta": lambda d: st.beta(d.concentration1, d.concentration0),
    "Cauchy": lambda d: st.cauchy(d.loc, d.scale),
    "Chi": lambda d: st.chi(d.df),
    "ChiSquared": lambda d: st.chi2(d.df),
    "Exponential": lambda d: st.expon(scale=1.0 / d.rate),
    "Gamma": lambda d: st.gamma(d.concentration, scale=1.0 / d.rate),
    "GeneralizedInverseGaussian": lambda d: st.geninvgauss(
        d.concentration - d.inverse_concentration,
        2.0 * np.sqrt(d.concentration * d.inverse_concentration),
        scale=d.scale * np.sqrt(d.inverse_concentration / d.concentration),
    ),
    "Gumbel": lambda d: st.gumbel_r(d.loc, d.scale),
    "HalfNormal": lambda d: st.halfnorm(scale=d.scale),
    "InverseGamma": lambda d: st.invgamma(d.concentration, scale=d.rate),
    "InverseGaussian": lambda d: st.invgauss(d.loc / d.concentration, scale=d.concentration),
    "Laplace": lambda d: st.laplace(d.loc, d.scale),
    "Lomax": lambda d: st.lomax(d.concentration, scale=d.scale),
    "Maxwell": lambda d: st.maxwell(scale=d.scale),
    "Pareto": lambda d: st.pareto(d.alpha, scale=d.scale),
    "Rayleigh": lambda d: st.rayleigh(scale=d.scale),
    "LogNormal": lambda d: st.lognorm(d.scale, scale=np.exp(d.loc)),
    "Logistic": lambda d: st.logistic(d.loc, d.scale),
    "Normal": lambda d: st.norm(d.loc, d.scale),
    "NormalInverseGamma": lambda d: st.normal_inverse_gamma(d.loc, d.mean_precision, d.concentration, d.rate),
    "StudentT": lambda d: st.t(d.df, d.loc, d.scale),
    "Uniform": lambda d: st.uniform(d.low, d.high - d.low),
    "VonMises": lambda d: st.vonmises(d.concentration, d.loc),
    "Weibull": lambda d: st.weibull_min(d.concentration, scale=d.scale),
}
"""How SciPy says it, from parameters in float64, by family."""

ONE_AT_A_TIME: dict[str, Callable[[Any], Any]] = {
    "Categorical": lambda d: st.rv_discrete(values=(np.arange(d.logits.size), np.exp(d.logits)))(),
    "Dirichlet": lambda d: st.dirichlet(d.concentration),
    "DirichletMultinomial": lambda d: st.dirichlet_multinomial(d.concentration, d.total_count),
    "MatrixNormal": lambda d: st.matrix_normal(
        d.loc, d.scale_tril_row @ d.scale_tril_row.T, d.scale_tril_column @ d.scale_tril_column.T
    ),
    "MultivariateNormalDiag": lambda d: st.multivariate_normal(d.loc, np.diag(d.scale_diag**2)),
    "MultivariateNormalIsotropic": lambda d: st.multivariate_normal(d.loc, d.scale**2 * np.eye(d.loc.size)),
    "Multinomial": lambda d: st.multinomial(d.total_count, np.exp(d.logits)),
    "InverseWishart": lambda d: st.invwishart(d.df.item(), _gram(d)),
    "MultivariateStudentT": lambda d: st.multivariate_t(d.loc, _gram(d), d.df),
    "VonMisesFisher": lambda d: st.vonmises_fisher(d.mean_direction, d.concentration.item()),
    "Wishart": lambda d: st.wishart(d.df.item(), _gram(d)),
    "MultivariateNormal": lambda d: st.multivariate_normal(d.loc, st.Covariance.from_cholesky(d.scale_tril)),
}
"""Those that SciPy does not broadcast."""

CONDITIONS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "BetaNegativeBinomial": ("a whole total_count", lambda d: d.total_count % 1 == 0),
    "GeneralizedBetaPrime": ("a power of 1", lambda d: d.power == 1),
}
"""What SciPy's form of a family asks of its parameters, in words and as a test."""


def to_scipy(distribution: Distribution) -> Any:
    """The distribution frozen in `scipy.stats`, in float64; parameters of a batch broadcast as SciPy's do.

    Raises:
        TypeError: where SciPy has no such distribution; it says which it has.
        ValueError: where parameters are traced or out of SciPy's range, or where SciPy takes one at a time and this is a batch.

    SciPy's `normal_inverse_gamma` takes mean and variance as two arguments, and its densities of
    matrices take the batch on the last axis.

    >>> from surprax.families import Geometric, Normal
    >>> to_scipy(Normal(0.0, [1.0, 2.0])).ppf(0.975).round(2).tolist()
    [1.96, 3.92]
    >>> to_scipy(Geometric(0.25)).pmf([0, 1]).tolist()  # failures before the first success, as everywhere here
    [0.25, 0.1875]
    """
    if not isinstance(distribution, Distribution):
        raise TypeError(f"to_scipy takes a distribution of surprax, such as Normal(0, 1); got {distribution!r}.")
    name = type(distribution).__name__
    if name not in TWINS and name not in ONE_AT_A_TIME:
        raise TypeError(f"SciPy has no {name}. It has: {', '.join([*TWINS, *ONE_AT_A_TIME])}.")
    if is_traced(distribution):
        raise ValueError(
            f"to_scipy needs numbers; the parameters of {name} are traced. Convert outside of jit, grad and vmap."
        )
    parameters = SimpleNamespace(
        **{n: np.asarray(getattr(distribution, n), np.float64) for n in distribution.parameters}
    )
    words, holds = CONDITIONS.get(name, ("", lambda d: True))
    if not np.all(holds(parameters)):
        raise ValueError(f"SciPy's {name} needs {words}; got {distribution}.")
    if name in TWINS:
        return TWINS[name](parameters)
    if distribution.batch_shape:
        raise ValueError(
            f"SciPy takes one {name} at a time; this is a batch of shape {distribution.batch_shape}. Index it first."
        )
    return ONE_AT_A_TIME[name](parameters)
