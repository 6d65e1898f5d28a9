"""All families, by name."""

import difflib

from surprax.evidence import Evidence
from surprax.families.base import Distribution
from surprax.families.bernoulli import Bernoulli
from surprax.families.beta import Beta
from surprax.families.beta_binomial import BetaBinomial
from surprax.families.beta_negative_binomial import BetaNegativeBinomial
from surprax.families.binomial import Binomial
from surprax.families.categorical import Categorical
from surprax.families.cauchy import Cauchy
from surprax.families.censored import Censored
from surprax.families.chi import Chi
from surprax.families.chi_squared import ChiSquared
from surprax.families.conway_maxwell_poisson import ConwayMaxwellPoisson
from surprax.families.dirichlet import Dirichlet
from surprax.families.dirichlet_multinomial import DirichletMultinomial
from surprax.families.double_lomax import DoubleLomax
from surprax.families.exponential_law import Exponential
from surprax.families.gamma import Gamma
from surprax.families.generalized_beta_prime import GeneralizedBetaPrime
from surprax.families.generalized_dirichlet import GeneralizedDirichlet
from surprax.families.generalized_inverse_gaussian import GeneralizedInverseGaussian
from surprax.families.geometric import Geometric
from surprax.families.gumbel import Gumbel
from surprax.families.half_normal import HalfNormal
from surprax.families.inverse_gamma import InverseGamma
from surprax.families.inverse_gaussian import InverseGaussian
from surprax.families.inverse_wishart import InverseWishart
from surprax.families.ising import Ising
from surprax.families.laplace import Laplace
from surprax.families.log_lomax import LogLomax
from surprax.families.log_normal import LogNormal
from surprax.families.log_student_t import LogStudentT
from surprax.families.logarithmic import Logarithmic
from surprax.families.logistic import Logistic
from surprax.families.logit_normal import LogitNormal
from surprax.families.lomax import Lomax
from surprax.families.matrix_normal import MatrixNormal
from surprax.families.maxwell import Maxwell
from surprax.families.multinomial import Multinomial
from surprax.families.multivariate_normal import MultivariateNormal
from surprax.families.multivariate_normal_diag import MultivariateNormalDiag
from surprax.families.multivariate_normal_isotropic import MultivariateNormalIsotropic
from surprax.families.multivariate_student_t import MultivariateStudentT
from surprax.families.negative_binomial import NegativeBinomial
from surprax.families.normal import Normal
from surprax.families.normal_gamma import NormalGamma
from surprax.families.normal_inverse_gamma import NormalInverseGamma
from surprax.families.normal_inverse_wishart import NormalInverseWishart
from surprax.families.normal_wishart import NormalWishart
from surprax.families.pareto import Pareto
from surprax.families.poisson import Poisson
from surprax.families.product import Product
from surprax.families.rayleigh import Rayleigh
from surprax.families.student_t import StudentT
from surprax.families.truncated import Truncated
from surprax.families.uniform import Uniform
from surprax.families.uniform_pareto import UniformPareto
from surprax.families.von_mises import VonMises
from surprax.families.von_mises_fisher import VonMisesFisher
from surprax.families.weibull import Weibull
from surprax.families.wishart import Wishart
from surprax.families.zeta import Zeta

__all__ = ["FAMILIES", "WRAPPERS", "Evidence", "by_name", "players"]

FAMILIES: dict[str, type[Distribution]] = {
    family.__name__: family
    for family in (
        Bernoulli,
        Binomial,
        Categorical,
        Multinomial,
        DirichletMultinomial,
        Poisson,
        Geometric,
        NegativeBinomial,
        BetaBinomial,
        BetaNegativeBinomial,
        ConwayMaxwellPoisson,
        Logarithmic,
        Zeta,
        Exponential,
        Gamma,
        InverseGamma,
        LogNormal,
        LogStudentT,
        Normal,
        Beta,
        LogitNormal,
        Weibull,
        InverseGaussian,
        GeneralizedInverseGaussian,
        HalfNormal,
        Rayleigh,
        Maxwell,
        Chi,
        ChiSquared,
        Pareto,
        Lomax,
        GeneralizedBetaPrime,
        Laplace,
        Logistic,
        Cauchy,
        StudentT,
        Uniform,
        Gumbel,
        VonMises,
        UniformPareto,
        LogLomax,
        DoubleLomax,
        MultivariateNormal,
        MultivariateNormalDiag,
        MultivariateNormalIsotropic,
        MatrixNormal,
        Dirichlet,
        GeneralizedDirichlet,
        NormalInverseGamma,
        NormalGamma,
        Wishart,
        InverseWishart,
        NormalInverseWishart,
        NormalWishart,
        MultivariateStudentT,
        VonMisesFisher,
    )
}
"""All families by name: discrete ones, then continuous ones."""

WRAPPERS: dict[str, type[Distribution]] = {family.__name__: family for family in (Truncated, Censored, Product, Ising)}
"""Distributions that are made of others, or from a graph."""


def players() -> dict[str, type[Distribution]]:
    """The families that can play: those of numbers that can be fitted to nothing but the numbers."""
    return {name: f for name, f in FAMILIES.items() if not f.event_dim and "fit" not in f.lacks and not f.needs_known}


def by_name(name: str) -> type[Distribution]:
    """A family by its name, whatever the case, hyphens and underscores.

    Raises `ValueError` with the closest names where there is none.

    >>> by_name("log-normal").__name__
    'LogNormal'
    """

    def plain(text: str) -> str:
        return "".join(c for c in text.lower() if c.isalnum())

    known = {plain(family): family for family in FAMILIES}
    if plain(name) in known:
        return FAMILIES[known[plain(name)]]
    near = [known[match] for match in difflib.get_close_matches(plain(name), known, n=2, cutoff=0.5)]
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise ValueError(f"There is no family {name.strip()!r}.{hint} There are: {', '.join(FAMILIES)}.")
