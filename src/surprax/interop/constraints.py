"""Supports of ours as NumPyro's constraints, which decide how inference maps a latent variable to the real line."""

from typing import Any

import jax
import numpy as np
from numpyro.distributions import biject_to
from numpyro.distributions import constraints as nc

from surprax.families import supports
from surprax.families.base import Distribution
from surprax.families.supports import Region, Support
from surprax.numerics.precision import is_traced

__all__ = ["RegionConstraint", "as_constraint", "known_support"]

_NAMED = {
    (0.0, np.inf, False, True): nc.positive,
    (0.0, np.inf, False, False): nc.nonnegative,
    (0.0, 1.0, False, False): nc.unit_interval,
    (0.0, 1.0, True, False): nc.boolean,
    (0.0, np.inf, True, False): nc.nonnegative_integer,
    (1.0, np.inf, True, False): nc.positive_integer,
}
"""Constraints that NumPyro knows by name: lower end, upper end, whether discrete, whether the lower end is left out."""

_REGIONS = {
    supports.REAL_VECTOR: nc.real_vector,
    supports.REAL_MATRIX: nc.real_matrix,
    supports.SIMPLEX: nc.simplex,
    supports.OPEN_SIMPLEX: nc.simplex,
    supports.SPHERE: nc.sphere,
    supports.POSITIVE_DEFINITE: nc.positive_definite,
}

_MEAN_AND_SPREAD = ("NormalInverseGamma", "NormalGamma")
"""Families of pairs of a number and a positive number."""


class RegionConstraint(nc.Constraint):
    """Membership in a region that NumPyro has no constraint for: values are checked; inference has no map to the real line."""

    def __init__(self, region: Region) -> None:
        self.region = region

    @property
    def is_discrete(self) -> bool:
        return self.region.discrete

    @property
    def event_dim(self) -> int:
        return self.region.event_dim

    def __call__(self, x: Any) -> Any:
        return self.region.contains(x)

    def __repr__(self) -> str:
        return f"RegionConstraint({self.region})"

    def eq(self, other: object, static: bool = False) -> bool:
        return isinstance(other, RegionConstraint) and other.region == self.region

    def tree_flatten(self) -> tuple[tuple[()], tuple[tuple[()], dict[str, Any]]]:
        return (), ((), {"region": self.region})


@biject_to.register(RegionConstraint)
def _no_map(constraint: RegionConstraint) -> Any:
    raise NotImplementedError(
        f"NumPyro has no map from free numbers to {constraint.region}, which inference for a latent variable needs. Observe it,"
        " or sample its parts."
    )


def as_constraint(d: Distribution) -> nc.Constraint:
    """NumPyro's constraint for the support of a distribution: by name where it has one, else an interval with the ends given.

    >>> from surprax.families import Gamma, Normal, Uniform
    >>> as_constraint(Normal(0.0, 1.0)), as_constraint(Gamma(2.0)), as_constraint(Uniform(0.0, 2.0))
    (Real(), Nonnegative(lower_bound=0.0), Interval(lower_bound=0.0, upper_bound=2.0))
    """
    support = known_support(d)
    if isinstance(support, Region):
        if d.data_support is supports.COUNTS and "total_count" in d.parameters:
            return nc.multinomial(d.total_count)  # type: ignore[attr-defined]
        if type(d).__name__ in _MEAN_AND_SPREAD and hasattr(nc, "cat"):  # from NumPyro 0.22 on
            return nc.independent(nc.cat([nc.real, nc.positive], dim=-1), 1)
        return _REGIONS[support] if support in _REGIONS else RegionConstraint(support)
    lower, upper, discrete = support.lower, support.upper, support.discrete
    below, above = _may_be_finite(lower), _may_be_finite(upper)
    if isinstance(lower, float) and isinstance(upper, float):
        named = _NAMED.get((lower, upper, discrete, support.open_lower))
        if named is not None and not (above and support.open_upper):
            return named
    if discrete:
        return nc.integer_interval(lower, upper) if above else nc.integer_greater_than(lower)
    if below and above:
        return (nc.open_interval if support.open_lower and support.open_upper else nc.interval)(lower, upper)
    if below:
        return (nc.greater_than if support.open_lower else nc.greater_than_eq)(lower)
    if above:
        return (nc.less_than if support.open_upper else nc.less_than_eq)(upper)
    return nc.real


def known_support(d: Distribution) -> Support | Region:
    """The support, with numbers for those of its ends that do not depend on traced parameters."""
    with jax.ensure_compile_time_eval():
        return d.support


def _may_be_finite(end: Any) -> bool:
    """Whether there is an end: it is finite somewhere in the batch, or not known yet."""
    return is_traced(end) or bool(np.any(np.isfinite(end)))
