"""Every conjugate pair of the table as a model, and its posterior by other means.

Pairs about one number come with their log-joint in SciPy, to be integrated; the others with formulas of textbooks: Gelman et al.
(2013), Bayesian Data Analysis, sections 3.3 to 3.6; Mardia & El-Atoum (1976).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import scipy.stats as st

from surprax import families as f
from surprax.interop import to_numpyro

COUNTS, NUMBERS = np.array([0, 3, 1, 2, 5]), np.array([0.5, 2.0, 1.2, 0.3, 3.1])
VECTORS = np.array([[0.5, 1.0], [2.0, -0.4], [1.1, 0.2], [-0.3, 0.8]])
DIRECTIONS = np.array([[0.6, 0.8], [0.0, 1.0], [0.8, 0.6]])


@dataclass(frozen=True)
class OfNumber:
    """A pair about one number.

    Attributes:
        prior: the belief.
        given: the distribution of an observation, from the unknown.
        x: the data.
        log_prior, log_likelihood: the same in SciPy, of an array of values of the unknown.
        ends: between which nearly all of the posterior lies.
    """

    prior: Any
    given: Callable[[Any], Any]
    x: Any
    log_prior: Callable[[np.ndarray], np.ndarray]
    log_likelihood: Callable[[np.ndarray], np.ndarray]
    ends: tuple[float, float]

    def model(self, x):
        theta = numpyro.sample("theta", to_numpyro(self.prior))
        with numpyro.plate("row", len(x)):
            numpyro.sample("x", to_numpyro(self.given(theta)), obs=x)

    def integrated(self) -> tuple[float, float, float, Callable[[np.ndarray], np.ndarray]]:
        """log p(x), mean, standard deviation and distribution function, by Gauss–Legendre quadrature in 400 pieces."""
        nodes, weights = np.polynomial.legendre.leggauss(12)
        edges = np.geomspace(*self.ends, 401) if self.ends[0] >= 1e-3 else np.linspace(*self.ends, 401)
        half = 0.5 * np.diff(edges)[:, None]
        theta = 0.5 * (edges[:-1] + edges[1:])[:, None] + half * nodes
        log_joint = self.log_prior(theta) + self.log_likelihood(theta)
        top = np.max(log_joint)
        mass = half * weights * np.exp(log_joint - top)
        total = np.sum(mass)
        mean = np.sum(mass * theta) / total
        sd = np.sqrt(np.sum(mass * (theta - mean) ** 2) / total)
        below = np.concatenate([[0.0], np.cumsum(np.sum(mass, axis=1))]) / total
        return float(top + np.log(total)), float(mean), float(sd), lambda x: np.interp(x, edges, below)


def _sum(log_prob: Callable[[np.ndarray, np.ndarray], np.ndarray], x: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda theta: sum(log_prob(one, theta) for one in x)


def _beta(given: Any, x: Any, log_prob: Any) -> OfNumber:
    return OfNumber(
        f.Beta(2.0, 3.5), given, x, lambda p: st.beta.logpdf(p, 2.0, 3.5), _sum(log_prob, x), (1e-9, 1.0 - 1e-9)
    )


def _gamma(given: Any, x: Any, log_prob: Any) -> OfNumber:
    return OfNumber(
        f.Gamma(2.0, 1.5), given, x, lambda r: st.gamma.logpdf(r, 2.0, scale=1.0 / 1.5), _sum(log_prob, x), (1e-9, 12.0)
    )


def _inverse(given: Any, x: Any, log_prob: Any, far: float = 400.0) -> OfNumber:
    return OfNumber(
        f.InverseGamma(4.0, 2.5),
        given,
        x,
        lambda v: st.invgamma.logpdf(v, 4.0, scale=2.5),
        _sum(log_prob, x),
        (1e-3, far),
    )


def _normal(given: Any, x: Any, log_prob: Any) -> OfNumber:
    return OfNumber(f.Normal(0.5, 2.0), given, x, lambda m: st.norm.logpdf(m, 0.5, 2.0), _sum(log_prob, x), (-8.0, 8.0))


OF_NUMBERS = {
    "Beta Bernoulli": _beta(f.Bernoulli, COUNTS % 2, lambda x, p: st.bernoulli.logpmf(x, p)),
    "Beta Binomial": _beta(lambda p: f.Binomial(6.0, p), COUNTS, lambda x, p: st.binom.logpmf(x, 6, p)),
    "Beta Geometric": _beta(f.Geometric, COUNTS, lambda x, p: st.geom.logpmf(x + 1, p)),
    "Beta NegativeBinomial": _beta(
        lambda p: f.NegativeBinomial(3.0 * (1.0 - p) / p, 3.0), COUNTS, lambda x, p: st.nbinom.logpmf(x, 3.0, p)
    ),
    "Gamma Poisson": _gamma(f.Poisson, COUNTS, lambda x, r: st.poisson.logpmf(x, r)),
    "Gamma Exponential": _gamma(f.Exponential, NUMBERS, lambda x, r: st.expon.logpdf(x, scale=1.0 / r)),
    "Gamma Gamma": _gamma(lambda r: f.Gamma(2.5, r), NUMBERS, lambda x, r: st.gamma.logpdf(x, 2.5, scale=1.0 / r)),
    "Gamma InverseGamma": _gamma(
        lambda r: f.InverseGamma(2.5, r), NUMBERS, lambda x, r: st.invgamma.logpdf(x, 2.5, scale=r)
    ),
    "Gamma Pareto": _gamma(lambda a: f.Pareto(0.2, a), NUMBERS, lambda x, a: st.pareto.logpdf(x, a, scale=0.2)),
    "Gamma Normal": _gamma(lambda r: f.Normal(1.0, r**-0.5), NUMBERS, lambda x, r: st.norm.logpdf(x, 1.0, r**-0.5)),
    "Gamma LogNormal": _gamma(
        lambda r: f.LogNormal(0.3, r**-0.5),
        NUMBERS,
        lambda x, r: st.lognorm.logpdf(x, r**-0.5, scale=np.exp(0.3)),
    ),
    "InverseGamma Normal": _inverse(
        lambda v: f.Normal(1.0, v**0.5), NUMBERS, lambda x, v: st.norm.logpdf(x, 1.0, v**0.5)
    ),
    "InverseGamma LogNormal": _inverse(
        lambda v: f.LogNormal(0.3, v**0.5), NUMBERS, lambda x, v: st.lognorm.logpdf(x, v**0.5, scale=np.exp(0.3))
    ),
    "InverseGamma Laplace": _inverse(
        lambda s: f.Laplace(1.0, s), NUMBERS, lambda x, s: st.laplace.logpdf(x, 1.0, s), far=100.0
    ),
    "InverseGamma HalfNormal": _inverse(
        lambda v: f.HalfNormal(v**0.5), NUMBERS, lambda x, v: st.halfnorm.logpdf(x, scale=v**0.5)
    ),
    "InverseGamma Rayleigh": _inverse(
        lambda v: f.Rayleigh(v**0.5), NUMBERS, lambda x, v: st.rayleigh.logpdf(x, scale=v**0.5), far=100.0
    ),
    "InverseGamma Maxwell": _inverse(
        lambda v: f.Maxwell(v**0.5), NUMBERS, lambda x, v: st.maxwell.logpdf(x, scale=v**0.5), far=50.0
    ),
    "InverseGamma Weibull": _inverse(
        lambda s: f.Weibull(s ** (1.0 / 1.7), 1.7),
        NUMBERS,
        lambda x, s: st.weibull_min.logpdf(x, 1.7, scale=s ** (1.0 / 1.7)),
        far=100.0,
    ),
    "Normal Normal": _normal(lambda m: f.Normal(m, 1.3), NUMBERS, lambda x, m: st.norm.logpdf(x, m, 1.3)),
    "Normal LogNormal": _normal(
        lambda m: f.LogNormal(m, 1.3), NUMBERS, lambda x, m: st.norm.logpdf(np.log(x), m, 1.3) - np.log(x)
    ),
    "VonMises VonMises": OfNumber(
        f.VonMises(0.5, 1.0),
        lambda m: f.VonMises(m, 2.0),
        NUMBERS - 1.5,
        lambda m: st.vonmises.logpdf(m, 1.0, loc=0.5),
        _sum(lambda x, m: st.vonmises.logpdf(x, 2.0, loc=m), NUMBERS - 1.5),
        (-np.pi, np.pi),
    ),
}


@dataclass(frozen=True)
class OfArray:
    """A pair about a vector or a matrix, with its posterior by the formula of a textbook."""

    prior: Any
    given: Callable[[Any], Any]
    x: Any
    posterior: Any

    model = OfNumber.model


def _scatter(x: np.ndarray, loc: Any) -> np.ndarray:
    return (x - np.asarray(loc)).T @ (x - np.asarray(loc))


def _normal_inverse_gamma(x: np.ndarray) -> Any:
    n, mean = len(x), x.mean()
    rest = 0.5 * np.sum((x - mean) ** 2) + 0.5 * 2.0 * n / (2.0 + n) * (mean - 0.5) ** 2
    return f.NormalInverseGamma((2.0 * 0.5 + n * mean) / (2.0 + n), 2.0 + n, 3.0 + 0.5 * n, 1.5 + rest)


def _normal_mean() -> Any:
    prior, noise = (np.linalg.inv(m) for m in (_PRIOR_SPREAD, _NOISE))
    covariance = np.linalg.inv(prior + len(VECTORS) * noise)
    return f.MultivariateNormal(covariance @ (prior @ [0.0, 1.0] + noise @ VECTORS.sum(axis=0)), covariance)


def _normal_inverse_wishart() -> Any:
    n, mean = len(VECTORS), VECTORS.mean(axis=0)
    shift = mean - np.array([0.0, 1.0])
    scale = _SCALE + _scatter(VECTORS, mean) + 2.0 * n / (2.0 + n) * np.outer(shift, shift)
    return f.NormalInverseWishart((2.0 * np.array([0.0, 1.0]) + n * mean) / (2.0 + n), 2.0 + n, 4.0 + n, scale)


_PRIOR_SPREAD, _NOISE = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[1.0, 0.3], [0.3, 2.0]])
_SCALE = np.array([[2.0, 0.5], [0.5, 1.0]])
_VOTES = np.array([[1, 2, 1], [0, 4, 0], [2, 1, 1]])
_TOWARDS = np.array([1.0, 0.0]) + 2.0 * DIRECTIONS.sum(axis=0)
_PAIR = f.NormalInverseGamma(0.5, 2.0, 3.0, 1.5)
_MIDDLE = np.array([0.5, 0.5])

OF_ARRAYS = {
    "Dirichlet Categorical": OfArray(
        f.Dirichlet([1.0, 2.0, 0.5]), f.Categorical, COUNTS % 3, f.Dirichlet([3.0, 3.0, 2.5])
    ),
    "Dirichlet Multinomial": OfArray(
        f.Dirichlet([1.0, 2.0, 0.5]), lambda p: f.Multinomial(4.0, p), _VOTES, f.Dirichlet([4.0, 9.0, 2.5])
    ),
    "NormalInverseGamma Normal": OfArray(
        _PAIR, lambda t: f.Normal(t[..., 0], t[..., 1] ** 0.5), NUMBERS, _normal_inverse_gamma(NUMBERS)
    ),
    "NormalInverseGamma LogNormal": OfArray(
        _PAIR, lambda t: f.LogNormal(t[..., 0], t[..., 1] ** 0.5), NUMBERS, _normal_inverse_gamma(np.log(NUMBERS))
    ),
    "MultivariateNormal MultivariateNormal": OfArray(
        f.MultivariateNormal([0.0, 1.0], _PRIOR_SPREAD),
        lambda m: f.MultivariateNormal(m, _NOISE),
        VECTORS,
        _normal_mean(),
    ),
    "InverseWishart MultivariateNormal": OfArray(
        f.InverseWishart(4.0, _SCALE),
        lambda S: f.MultivariateNormal(_MIDDLE, S),
        VECTORS,
        f.InverseWishart(8.0, _SCALE + _scatter(VECTORS, _MIDDLE)),
    ),
    "Wishart MultivariateNormal": OfArray(
        f.Wishart(4.0, _SCALE),
        lambda P: f.MultivariateNormal(_MIDDLE, precision_matrix=P),
        VECTORS,
        f.Wishart(8.0, np.linalg.inv(np.linalg.inv(_SCALE) + _scatter(VECTORS, _MIDDLE))),
    ),
    "NormalInverseWishart MultivariateNormal": OfArray(
        f.NormalInverseWishart([0.0, 1.0], 2.0, 4.0, _SCALE),
        lambda t: f.MultivariateNormal(t[..., 0], t[..., 1:]),
        VECTORS,
        _normal_inverse_wishart(),
    ),
    "Pareto Uniform": OfArray(
        f.Pareto(1.5, 2.0), lambda r: f.Uniform(0.0, r), jnp.asarray(NUMBERS), f.Pareto(3.1, 7.0)
    ),
    "VonMisesFisher VonMisesFisher": OfArray(
        f.VonMisesFisher([1.0, 0.0], 1.0),
        lambda m: f.VonMisesFisher(m, 2.0),
        DIRECTIONS,
        f.VonMisesFisher(_TOWARDS / np.linalg.norm(_TOWARDS), float(np.linalg.norm(_TOWARDS))),
    ),
}

QUICK = (
    "Gamma Gamma",
    "Gamma Pareto",
    "InverseGamma Laplace",
    "InverseGamma Weibull",
    "NormalInverseGamma Normal",
    "Pareto Uniform",
)
"""Pairs that no other model is of, and that compile within a second or two."""
