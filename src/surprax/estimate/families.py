"""Maximum likelihood for families of distributions, with all that a fit should say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surprax.estimate.coordinates import Coordinates, Slot
from surprax.estimate.estimate import Estimate
from surprax.estimate.events import Events, censoring_codes
from surprax.estimate.maximize import solved
from surprax.estimate.problem import Problem
from surprax.estimate.transforms import REAL, LowerTriangle, above, between
from surprax.evidence import Evidence
from surprax.families.base import Distribution
from surprax.families.exponential import ExponentialFamily
from surprax.families.fitting import has_evidence, observe
from surprax.numerics.precision import float64_scope

__all__ = ["mle_family"]


def mle_family(
    family: type[Distribution],
    data: Any,
    weights: Any,
    fixed: Mapping[str, Any],
    tied: Sequence[Sequence[str]],
    confined: tuple[Any, Any, Any] = (None, None, None),
) -> Estimate:
    """`mle` of a family."""
    held = {name: value for name, value in fixed.items() if name in (*family.known_parameters, *family.may_be_known)}
    fit = family.fit(data, weights, **held)
    if fit.batch_shape:
        raise ValueError(
            f"An estimate is of one distribution; these data make a batch of shape {fit.batch_shape}. Family.fit takes them."
        )
    names = {name: _told_as(family, name) for name in family.parameters}  # theirs, and what people call them
    slots = [_slot(family, name, getattr(fit, told)) for name, told in names.items()]
    values = {told: np.asarray(getattr(fit, told), np.float64) for told in names.values()}
    needed = family.known_parameters if family.needs_known else ()
    constant = {names[name]: values[names[name]] for name in names if name in held or name in needed}
    coordinates = Coordinates(slots, {**constant, **fixed}, tied)

    seen = any(part is not None for part in confined)
    kept: Any = data
    if isinstance(data, Evidence):
        if seen:
            raise ValueError("Censoring and truncation are of observations one by one: fit these, not their evidence.")
        rows = float(np.sum(np.asarray(data.count)))
        likelihood = _Likelihood(family, names)
    else:
        x, w = observe(family, data, weights, held)
        w = np.ones(len(x)) if w is None else np.asarray(w, np.float64)
        rows = float(w.sum())
        kept = {"x": np.asarray(x), "w": w}
        likelihood = _Likelihood(family, names, _events(np.asarray(x), fit, *confined) if seen else None)
        if not seen and issubclass(family, ExponentialFamily) and has_evidence(family, held):
            kept["evidence"] = family.evidence(x, None if weights is None else w, **held)
    if isinstance(data, Evidence):
        problem = Problem(family.__name__, coordinates, likelihood.of_evidence, None, kept, rows)
    else:
        problem = Problem(family.__name__, coordinates, likelihood.total, likelihood.each, kept, rows)
    informed = not seen and issubclass(family, ExponentialFamily) and not family.known_parameters
    estimate = solved(
        problem,
        coordinates.free_numbers(values),
        method=f"{family.__name__}.fit and Newton's method",
        expected=likelihood.information if informed else None,
    )
    with float64_scope():
        estimate.distribution = jax.tree.map(np.asarray, likelihood.law(estimate.params))
    return estimate


@dataclass(frozen=True, eq=False)
class _Likelihood:
    """Log-likelihoods of a family, in total and row by row, by parameters as they are told.

    Attributes:
        family: whose.
        names: what its parameters are told as, by their own names.
        events: what was seen of observations that were censored or truncated; None for observations.
    """

    family: type[Distribution]
    names: Mapping[str, str]
    events: Events | None = None

    def law(self, params: Mapping[str, Any]) -> Any:
        """The distribution."""
        return self.family._of(**{name: _own(name, told, params[told]) for name, told in self.names.items()})

    def of_evidence(self, params: Mapping[str, Any], evidence: Any) -> Any:
        """Log-likelihood of evidence."""
        return evidence.log_likelihood(self.law(params))

    def each(self, params: Mapping[str, Any], kept: Any) -> Any:
        """Log-likelihoods of rows, times their weights."""
        law = self.law(params)
        return kept["w"] * (law.log_prob(kept["x"]) if self.events is None else self.events.log_prob(law))

    def total(self, params: Mapping[str, Any], kept: Any) -> Any:
        """Log-likelihood of all rows, by their evidence where there is some."""
        if "evidence" in kept:
            return self.of_evidence(params, kept["evidence"])
        return jnp.sum(jnp.where(kept["w"] > 0, self.each(params, kept), 0.0))

    def information(self, estimate: Estimate) -> np.ndarray:
        """n Jᵀ F J, F of the natural parameters."""

        def of(theta: Any) -> Any:
            out, start = {}, 0
            for name, value in estimate.params.items():
                size = int(np.size(value))
                out[name] = theta[start : start + size].reshape(np.shape(value))
                start += size
            return self.law(out)

        with float64_scope():
            theta = jnp.asarray(estimate.theta)
            J = jax.jacfwd(lambda t: of(t).natural)(theta)
            return np.asarray(estimate.nobs * np.asarray(J.T @ of(theta).fisher_information() @ J))


def _events(x: np.ndarray, law: Distribution, censoring: Any, upper: Any, truncated: Any) -> Events:
    if x.ndim != 1 or not hasattr(law, "log_sf"):
        raise ValueError(
            f"Censored or truncated observations are numbers of a family with a distribution function; {type(law).__name__} with"
            f" data of shape {x.shape} is none."
        )
    codes = None if censoring is None else censoring_codes(censoring, len(x))
    events = Events.of(x, codes, upper, truncated, law.support, "x")
    events.refuse_one_sided("x")
    return events


def _told_as(family: type[Distribution], name: str) -> str:
    """Probabilities rather than log-odds, of families that have them."""
    return "probs" if name == "logits" and not family.parameters[name]["event_dim"] else name


def _own(name: str, told: str, value: Any) -> Any:
    """The parameter as the family has it."""
    return value if name == told else jnp.log(value) - jnp.log1p(-value)


def _slot(family: type[Distribution], name: str, value: Any) -> Slot:
    constraint, shape = family.parameters[name]["constraint"], np.shape(value)
    if name == "scale_tril":
        triangle = LowerTriangle(shape[-1])
        return Slot(name, shape, triangle, (triangle.size,))
    if name == "logits" and not family.parameters[name]["event_dim"]:
        return Slot("probs", shape, between(0.0, 1.0))
    if constraint is None or constraint.event_dim or name == "logits":
        what = "a distribution" if constraint is None else constraint.words
        raise ValueError(
            f"There is no table yet for {family.__name__}, whose {name} is {what}; {family.__name__}.fit gives the maximum alone."
        )
    # What the domain is, by what lies in it.
    inside = [bool(np.all(constraint.holds(np.asarray(v)))) for v in (-1.5, 0.5, 1.5)]
    if inside == [True, True, True]:
        return Slot(name, shape, REAL)
    return Slot(name, shape, between(0.0, 1.0) if inside == [False, True, False] else above(0.0))
