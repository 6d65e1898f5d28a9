"""All families, by name."""

import difflib

from surprax.evidence import Evidence
from surprax.families.base import Distribution
from surprax.families.bernoulli import Bernoulli
from surprax.families.beta import Beta
from surprax.families.binomial import Binomial
from surprax.families.categorical import Categorical
from surprax.families.cauchy import Cauchy
from surprax.families.exponential_law import Exponential
from surprax.families.gamma import Gamma
from surprax.families.geometric import Geometric
from surprax.families.gumbel import Gumbel
from surprax.families.half_normal import HalfNormal
from surprax.families.inverse_gamma import InverseGamma
from surprax.families.inverse_gaussian import InverseGaussian
from surprax.families.laplace import Laplace
from surprax.families.log_normal import LogNormal
from surprax.families.logistic import Logistic
from surprax.families.negative_binomial import NegativeBinomial
from surprax.families.normal import Normal
from surprax.families.poisson import Poisson
from surprax.families.student_t import StudentT
from surprax.families.uniform import Uniform
from surprax.families.weibull import Weibull

__all__ = ["FAMILIES", "Evidence", "by_name"]

FAMILIES: dict[str, type[Distribution]] = {
    family.__name__: family
    for family in (
        Bernoulli,
        Binomial,
        Categorical,
        Poisson,
        Geometric,
        NegativeBinomial,
        Exponential,
        Gamma,
        InverseGamma,
        LogNormal,
        Normal,
        Beta,
        Weibull,
        InverseGaussian,
        HalfNormal,
        Laplace,
        Logistic,
        Cauchy,
        StudentT,
        Uniform,
        Gumbel,
    )
}
"""All families by name: discrete ones, then continuous ones."""


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
