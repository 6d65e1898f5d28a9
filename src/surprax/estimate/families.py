"""Maximum likelihood for families of distributions, with all that a fit should say."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surprax.estimate.coordinates import REAL, Coordinates, Slot, Transform, above, between
from surprax.estimate.estimate import Estimate
from surprax.estimate.events import Events, censoring_codes
from surprax.estimate.maximize import solved
from surprax.estimate.problem import Problem
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

    def make(params: Mapping[str, Any]) -> Any:
        return family._of(**{name: _own(name, told, params[told]) for name, told in names.items()})

    kept: Any = data
    each: Any = None
    seen = any(part is not None for part in confined)
    if isinstance(data, Evidence):
        if seen:
            raise ValueError("Censoring and truncation are of observations one by one: fit these, not their evidence.")
        rows = float(np.sum(np.asarray(data.count)))

        def total(params: Mapping[str, Any], kept: Any) -> Any:
            return kept.log_likelihood(make(params))
    else:
        x, w = observe(family, data, weights, held)
        w = np.ones(len(x)) if w is None else np.asarray(w, np.float64)
        rows = float(w.sum())
        kept = {"x": np.asarray(x), "w": w}
        events = _events(np.asarray(x), fit, *confined) if seen else None
        if events is None and issubclass(family, ExponentialFamily) and has_evidence(family, held):
            kept["evidence"] = family.evidence(x, None if weights is None else w, **held)

        def each(params: Mapping[str, Any], kept: Any) -> Any:
            law = make(params)
            return kept["w"] * (law.log_prob(kept["x"]) if events is None else events.log_prob(law))

        def total(params: Mapping[str, Any], kept: Any) -> Any:
            if "evidence" in kept:
                return kept["evidence"].log_likelihood(make(params))
            return jnp.sum(jnp.where(kept["w"] > 0, each(params, kept), 0.0))

    problem = Problem(family.__name__, coordinates, total, each, kept, rows)
    estimate = solved(
        problem,
        coordinates.free_numbers(values),
        method=f"{family.__name__}.fit and Newton's method",
        expected=None if seen else _expected(family, make, rows),
    )
    with float64_scope():
        estimate.distribution = jax.tree.map(np.asarray, make(estimate.params))
    return estimate


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
        return Slot(name, shape, *_lower_triangle(shape[-1]))
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


def _lower_triangle(n: int) -> tuple[Transform, tuple[int, ...]]:
    """Lower triangles with a positive diagonal, by their entries and the logarithms of the diagonal."""
    rows, columns = np.tril_indices(n)
    diagonal = rows == columns

    def forward(z: Any) -> Any:
        return jnp.zeros((n, n)).at[rows, columns].set(jnp.where(diagonal, jnp.exp(jnp.where(diagonal, z, 0.0)), z))

    def back(v: Any) -> Any:
        entries = v[rows, columns]
        return jnp.where(diagonal, jnp.log(jnp.where(diagonal, entries, 1.0)), entries)

    return Transform("a lower triangle with a positive diagonal", forward, back, elementwise=False), (len(rows),)


def _expected(family: type[Distribution], make: Callable[[Mapping[str, Any]], Any], rows: float) -> Any:
    if not issubclass(family, ExponentialFamily) or family.known_parameters:
        return None

    def information(estimate: Estimate) -> np.ndarray:
        """n Jᵀ F J, F of the natural parameters."""

        def of(theta: Any) -> Any:
            out, start = {}, 0
            for name, value in estimate.params.items():
                size = int(np.size(value))
                out[name] = theta[start : start + size].reshape(np.shape(value))
                start += size
            return make(out)

        with float64_scope():
            theta = jnp.asarray(estimate.theta)
            J = jax.jacfwd(lambda t: of(t).natural)(theta)
            return rows * np.asarray(J.T @ of(theta).fisher_information() @ J)

    return information
