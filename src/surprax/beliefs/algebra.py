"""What `+`, `-` and `*` mean for distributions: beliefs are vectors in surprise space."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from surprax.beliefs.conjugate import update
from surprax.evidence import Evidence
from surprax.families.base import Distribution
from surprax.families.exponential import ExponentialFamily
from surprax.families.pareto import Pareto
from surprax.numerics.precision import in_float64, is_traced

__all__ = ["add", "scale", "subtract"]


def add(prior: Any, evidence: Any) -> Any:
    """Posterior = prior + evidence."""
    if isinstance(evidence, int) and evidence == 0:  # sum() starts from it
        return prior
    return update(prior, _as_evidence(prior, evidence, "+"), 1.0)


def subtract(posterior: Any, evidence: Any) -> Any:
    """Prior = posterior − evidence."""
    return update(posterior, _as_evidence(posterior, evidence, "-"), -1.0)


def _as_evidence(belief: Any, evidence: Any, sign: str) -> Evidence:
    if isinstance(evidence, Evidence):
        return evidence
    name = type(belief).__name__
    if isinstance(evidence, Distribution):
        raise TypeError(
            f"{name} {sign} {type(evidence).__name__} has no meaning: a belief takes evidence, Family.evidence(x), not another"
            " belief (nor is this the distribution of a sum of random variables)."
        )
    raise TypeError(f"{name} {sign} … takes evidence; got {type(evidence).__name__}. Make it with Family.evidence(x).")


def scale(belief: Any, factor: Any) -> Any:
    """The density to the power `factor`, normalised: below 1 it flattens (forgets, tempers), above 1 it sharpens."""
    if isinstance(factor, Distribution | Evidence) or not (is_traced(factor) or np.ndim(factor) >= 0):
        raise TypeError(f"A belief is scaled by a number; got {type(factor).__name__}.")
    if not is_traced(factor) and np.any(~(np.asarray(factor, np.float64) > 0)):
        raise ValueError(f"A belief is scaled by a number above 0; got {np.min(np.asarray(factor)):g}.")
    if not isinstance(belief, Pareto) and not _flat_measure(belief):
        raise ValueError(
            f"{type(belief).__name__} to a power is not a {type(belief).__name__}: only beliefs whose log-density is linear in"
            " their natural parameters scale."
        )
    scaled = _power(belief, np.asarray(factor, np.float64) if not is_traced(factor) else factor)
    for name, meta in scaled.parameters.items():
        value = getattr(scaled, name)
        if not is_traced(value) and not np.all(meta["constraint"].holds(np.asarray(value))):
            raise ValueError(
                f"{belief!r} to the power {np.asarray(factor)} cannot be normalised: its {name} would be {np.asarray(value)}."
            )
    return scaled


def _flat_measure(belief: Any) -> bool:
    if not isinstance(belief, ExponentialFamily):
        return False
    point = jnp.asarray(belief.support.inner(belief.event_shape)) if belief.event_dim else belief._inner_point()
    return type(belief)._log_base(point, belief._known()) is None


@in_float64
def _power(belief: Any, factor: Any) -> Any:
    if isinstance(belief, Pareto):  # x^(−(alpha + 1)) from its scale on
        return Pareto._of(scale=belief.scale, alpha=factor * (belief.alpha + 1.0) - 1.0)
    natural = belief.natural
    factor = factor[..., None] if np.ndim(factor) else factor
    return type(belief).from_natural(factor * natural, **belief._known())
