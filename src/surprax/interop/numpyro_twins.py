"""To NumPyro and back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd

from surprax.beliefs import MixtureSameFamily
from surprax.families.base import Distribution
from surprax.families.catalogue import FAMILIES, WRAPPERS
from surprax.interop.adapter import SurpraxDistribution, adapt
from surprax.interop.shapes import expanded
from surprax.numerics.precision import is_traced

__all__ = ["TWINS", "Twin", "from_numpyro", "to_numpyro"]


@dataclass(frozen=True)
class Twin:
    """A distribution that both libraries have.

    Attributes:
        theirs: name of NumPyro's class.
        family: name of ours.
        to_ours: parameters of ours, by name, from an object of theirs.
        to_theirs: parameters of theirs, by name, from a distribution of ours; None where another twin is the one to make.
    """

    theirs: str
    family: str
    to_ours: Callable[[Any], dict[str, Any]]
    to_theirs: Callable[[Any], dict[str, Any]] | None


def _same(theirs: str, family: str, *names: str, make: bool = True) -> Twin:
    """Twins whose parameters have the same names and meaning."""

    def pick(d: Any) -> dict[str, Any]:
        return {name: getattr(d, name) for name in names}

    return Twin(theirs, family, pick, pick if make else None)


def _times(total_count: Any) -> dict[str, Any]:
    """Numbers of trials as NumPyro's multinomials take them: one number, or whole numbers with their maximum."""
    if is_traced(total_count):
        return {"total_count": total_count.astype(int)}
    if np.size(total_count) == 1:
        return {"total_count": int(np.asarray(total_count).item())}
    return {"total_count": np.asarray(total_count, int), "total_count_max": int(np.max(total_count))}


def _of_matrices(name: str) -> Twin:
    """A distribution of matrices, of which NumPyro calls the degrees of freedom a concentration."""
    return Twin(
        name,
        name,
        lambda d: {"df": d.concentration, "scale_tril": d.scale_tril},
        lambda d: {"concentration": d.df, "scale_tril": d.scale_tril},
    )


def _cut(theirs: str, *ends: str) -> Twin:
    """A truncated distribution, which NumPyro has for a few bases."""
    return Twin(
        theirs, "Truncated", lambda d: {"base": from_numpyro(d.base_dist), **{e: getattr(d, e) for e in ends}}, None
    )


_TWINS = (
    _same("BernoulliLogits", "Bernoulli", "logits"),
    _same("BernoulliProbs", "Bernoulli", "probs", make=False),
    Twin(
        "BinomialLogits",
        "Binomial",
        lambda d: {"total_count": d.total_count, "logits": d.logits},
        lambda d: {"total_count": d.total_count.astype(int), "logits": d.logits},
    ),
    _same("BinomialProbs", "Binomial", "total_count", "probs", make=False),
    _same("CategoricalLogits", "Categorical", "logits"),
    _same("CategoricalProbs", "Categorical", "probs", make=False),
    _same("GeometricLogits", "Geometric", "logits"),
    _same("GeometricProbs", "Geometric", "probs", make=False),
    _same("Poisson", "Poisson", "rate"),
    Twin(
        "BetaBinomial",
        "BetaBinomial",
        lambda d: {n: getattr(d, n) for n in ("concentration1", "concentration0", "total_count")},
        lambda d: {
            "concentration1": d.concentration1,
            "concentration0": d.concentration0,
            "total_count": d.total_count.astype(int),
        },
    ),
    Twin(
        "BetaNegativeBinomial",
        "BetaNegativeBinomial",
        # What NumPyro waits for are the failures.
        lambda d: {"concentration1": d.concentration0, "concentration0": d.concentration1, "total_count": d.n},
        lambda d: {"concentration1": d.concentration0, "concentration0": d.concentration1, "n": d.total_count},
    ),
    Twin(
        "MultinomialLogits",
        "Multinomial",
        lambda d: {"total_count": d.total_count, "logits": d.logits},
        lambda d: {"logits": d.logits, **_times(d.total_count)},
    ),
    _same("MultinomialProbs", "Multinomial", "total_count", "probs", make=False),
    Twin(
        "DirichletMultinomial",
        "DirichletMultinomial",
        lambda d: {"concentration": d.concentration, "total_count": d.total_count},
        lambda d: {"concentration": d.concentration, **_times(d.total_count)},
    ),
    _same("NegativeBinomial2", "NegativeBinomial", "mean", "concentration"),
    _same("GammaPoisson", "NegativeBinomial", "mean", "concentration", make=False),
    Twin(
        "NegativeBinomialLogits",
        "NegativeBinomial",
        lambda d: {"mean": d.total_count * jnp.exp(d.logits), "concentration": d.total_count},
        None,
    ),
    Twin(
        "NegativeBinomialProbs",
        "NegativeBinomial",
        lambda d: {"mean": d.total_count * d.probs / (1.0 - d.probs), "concentration": d.total_count},
        None,
    ),
    _same("Beta", "Beta", "concentration1", "concentration0"),
    _same("Cauchy", "Cauchy", "loc", "scale"),
    _same("Chi2", "ChiSquared", "df"),
    _same("Dirichlet", "Dirichlet", "concentration"),
    _same("Exponential", "Exponential", "rate"),
    _same("Gamma", "Gamma", "concentration", "rate"),
    _same("Gumbel", "Gumbel", "loc", "scale"),
    _same("HalfNormal", "HalfNormal", "scale"),
    _same("InverseGamma", "InverseGamma", "concentration", "rate"),
    _same("Laplace", "Laplace", "loc", "scale"),
    _same("LogNormal", "LogNormal", "loc", "scale"),
    _same("Logistic", "Logistic", "loc", "scale"),
    _same("MatrixNormal", "MatrixNormal", "loc", "scale_tril_row", "scale_tril_column"),
    _same("MultivariateNormal", "MultivariateNormal", "loc", "scale_tril"),
    _same("LowRankMultivariateNormal", "MultivariateNormal", "loc", "covariance_matrix", make=False),
    _same("MultivariateStudentT", "MultivariateStudentT", "df", "loc", "scale_tril"),
    _of_matrices("Wishart"),
    _of_matrices("InverseWishart"),
    _same("Normal", "Normal", "loc", "scale"),
    _same("Pareto", "Pareto", "scale", "alpha"),
    _same("StudentT", "StudentT", "df", "loc", "scale"),
    _same("Uniform", "Uniform", "low", "high"),
    _same("VonMises", "VonMises", "loc", "concentration"),
    _same("Weibull", "Weibull", "scale", "concentration"),
    _cut("LeftTruncatedDistribution", "low"),
    _cut("RightTruncatedDistribution", "high"),
    _cut("TwoSidedTruncatedDistribution", "low", "high"),
    _cut("LeftTruncatedGamma", "low"),
    _cut("RightTruncatedGamma", "high"),
    _cut("TwoSidedTruncatedGamma", "low", "high"),
)

TWINS = {twin.theirs: twin for twin in _TWINS if hasattr(npd, twin.theirs)}
"""Distributions that both libraries have, by the name of NumPyro's class."""


def to_numpyro(distribution: Distribution, *, native: bool = False) -> npd.Distribution:
    """The distribution for `numpyro.sample`: latent or observed, under plates, `vmap` and `jit`, in NUTS, SVI and `Predictive`.

    Args:
        distribution: one of ours, or a batch; parameters may be traced.
        native: False for our own density, tails and quantiles in NumPyro's interface; True for NumPyro's own class.

    Support, batch and event shapes, keys and enumeration are as NumPyro has them. `.surprax` of the result is the distribution.

    Raises:
        TypeError: where `native` and NumPyro has no such class; it says which there are.

    >>> import numpy as np
    >>> import numpyro
    >>> from surprax.families import Gamma, Poisson
    >>> def model(counts):
    ...     rate = numpyro.sample("rate", to_numpyro(Gamma(2.0, 3.0)))
    ...     with numpyro.plate("days", len(counts)):
    ...         numpyro.sample("count", to_numpyro(Poisson(rate)), obs=counts)
    >>> log_joint, _ = numpyro.infer.util.log_density(model, (np.array([4, 1]),), {}, {"rate": 1.5})
    >>> posterior = Gamma(2.0 + 5, 3.0 + 2)  # log p(rate, counts) − log p(rate | counts) is the same for all rates
    >>> evidence = log_joint - posterior.log_prob(1.5)
    >>> log_joint, _ = numpyro.infer.util.log_density(model, (np.array([4, 1]),), {}, {"rate": 0.5})
    >>> print(f"{evidence:.4f} {log_joint - posterior.log_prob(0.5):.4f}")
    -5.6676 -5.6676
    """
    if isinstance(distribution, npd.Distribution):
        raise TypeError(
            f"to_numpyro takes a distribution of surprax; {type(distribution).__name__} is one of NumPyro's already."
            " The way back is from_numpyro."
        )
    if not isinstance(distribution, Distribution):
        raise TypeError(f"to_numpyro takes a distribution of surprax, such as Normal(0, 1); got {distribution!r}.")
    if not native:
        return adapt(distribution)
    if isinstance(distribution, MixtureSameFamily):
        weights = npd.CategoricalProbs(distribution.probs)
        return npd.MixtureSameFamily(weights, to_numpyro(distribution.components, native=True))
    name = type(distribution).__name__
    for twin in TWINS.values():
        if twin.family == name and twin.to_theirs is not None:
            return getattr(npd, twin.theirs)(**twin.to_theirs(distribution))
    have = ", ".join(dict.fromkeys(twin.family for twin in TWINS.values() if twin.to_theirs is not None))
    raise TypeError(
        f"NumPyro has no class of its own for {name}; to_numpyro without native=True wraps it. It has one for: {have}."
    )


def from_numpyro(distribution: npd.Distribution) -> Distribution:
    """The distribution of ours that is the same as one of NumPyro's, with the same batch shape.

    What `to_numpyro` has made comes back as it was; `expand` is undone by repeating parameters. Parameters keep their precision.

    Raises:
        TypeError: where there is none; it says which there are.
        ValueError: where parameters are outside the domain of the family.

    >>> import numpyro.distributions as dist
    >>> from_numpyro(dist.Gamma(2.0, 3.0))
    Gamma(concentration=2, rate=3)
    """
    if isinstance(distribution, SurpraxDistribution):
        return distribution.surprax
    if isinstance(distribution, npd.ExpandedDistribution):
        return expanded(from_numpyro(distribution.base_dist), distribution.batch_shape)
    if isinstance(distribution, npd.Independent):
        raise TypeError(
            f"to_event({distribution.reinterpreted_batch_ndims}) makes one event of shape {distribution.event_shape} of a batch"
            f" of {type(distribution.base_dist).__name__}; there is no family of such events. Its .base_dist converts to the batch."
        )
    if type(distribution) is npd.MixtureSameFamily:
        weights = from_numpyro(distribution.mixing_distribution)
        return MixtureSameFamily(weights, from_numpyro(distribution.component_distribution))
    # Of that very class: a subclass may mean something else by the same parameters.
    twin = TWINS.get(type(distribution).__name__)
    if twin is None or type(distribution) is not getattr(npd, twin.theirs):
        what = type(distribution).__name__
        whose = "NumPyro's " if isinstance(distribution, npd.Distribution) else ""
        raise TypeError(f"There is no family for {whose}{what}. There is one for NumPyro's: {', '.join(TWINS)}.")
    return (FAMILIES | WRAPPERS)[twin.family](**twin.to_ours(distribution))
