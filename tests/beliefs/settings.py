"""A prior for every conjugate pair, with what is known of the data."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

import surprax as sx
from surprax.beliefs.conjugate import find


@dataclass(frozen=True)
class Setting:
    prior: Any
    likelihood: type
    known: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


def row_of(s: Setting) -> Any:
    return find(type(s.prior), s.likelihood, s.known)


LOC = {"loc": 0.7}
SETTINGS = [
    Setting(sx.Beta(2.0, 3.0), sx.Bernoulli),
    Setting(sx.Beta(2.0, 3.0), sx.Binomial, {"total_count": 6.0}),
    Setting(sx.Beta(4.0, 3.0), sx.Geometric),
    Setting(sx.Beta(4.0, 3.0), sx.NegativeBinomial, {"concentration": 2.5}),
    Setting(sx.Dirichlet([2.0, 1.5, 3.0]), sx.Categorical, options={"num_categories": 3}),
    Setting(sx.Dirichlet([2.0, 1.5, 3.0]), sx.Multinomial, {"total_count": 5.0}),
    Setting(sx.Gamma(3.0, 1.5), sx.Poisson),
    Setting(sx.Gamma(3.0, 1.5), sx.Exponential),
    Setting(sx.Gamma(3.0, 1.5), sx.Gamma, {"concentration": 2.2}),
    Setting(sx.Gamma(3.0, 1.5), sx.InverseGamma, {"concentration": 2.2}),
    Setting(sx.Gamma(3.0, 1.5), sx.Pareto, {"scale": 0.5}),
    Setting(sx.Gamma(3.0, 1.5), sx.Normal, LOC),
    Setting(sx.Gamma(3.0, 1.5), sx.LogNormal, LOC),
    Setting(sx.InverseGamma(3.0, 1.5), sx.Normal, LOC),
    Setting(sx.InverseGamma(3.0, 1.5), sx.LogNormal, LOC),
    Setting(sx.InverseGamma(3.0, 1.5), sx.Laplace, LOC),
    Setting(sx.InverseGamma(3.0, 1.5), sx.HalfNormal),
    Setting(sx.InverseGamma(3.0, 1.5), sx.Rayleigh),
    Setting(sx.InverseGamma(3.0, 1.5), sx.Maxwell),
    Setting(sx.InverseGamma(3.0, 1.5), sx.Weibull, {"concentration": 1.7}),
    Setting(sx.Normal(0.3, 1.2), sx.Normal, {"scale": 0.8}),
    Setting(sx.Normal(0.3, 1.2), sx.LogNormal, {"scale": 0.8}),
    Setting(sx.Pareto(2.0, 3.0), sx.Uniform, {"low": 0.5}),
    Setting(sx.NormalInverseGamma(0.3, 2.0, 3.0, 1.5), sx.Normal),
    Setting(sx.NormalInverseGamma(0.3, 2.0, 3.0, 1.5), sx.LogNormal),
]

S = np.array([[1.0, 0.3], [0.3, 0.5]])
SETTINGS += [
    Setting(sx.MultivariateNormal(np.array([0.3, -1.0]), S), sx.MultivariateNormal, {"covariance_matrix": 0.7 * S}),
    Setting(sx.InverseWishart(6.0, S), sx.MultivariateNormal, {"loc": np.array([0.3, -1.0])}),
    Setting(sx.Wishart(6.0, S), sx.MultivariateNormal, {"loc": np.array([0.3, -1.0])}),
    Setting(sx.NormalInverseWishart(np.array([0.3, -1.0]), 2.0, 6.0, S), sx.MultivariateNormal),
    Setting(sx.VonMises(0.5, 2.0), sx.VonMises, {"concentration": 1.5}),
    Setting(sx.VonMisesFisher(np.array([0.6, 0.0, 0.8]), 2.0), sx.VonMisesFisher, {"concentration": 1.5}),
]
