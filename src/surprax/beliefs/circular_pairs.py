"""Conjugate pairs of directions: the mean direction, pulled towards that of the data by their concentrations.

In natural parameters, posterior = prior + κ · n · mean. Source: Mardia & El-Atoum (1976), Biometrika 63, 203.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from surprax import families as f
from surprax.beliefs.conjugate import Conjugacy

__all__ = ["CIRCULAR_PAIRS"]

type Known = Mapping[str, Any]


def _angle(prior: Any, e: Any, n: Any) -> Any:
    weight = n * e.known["concentration"]
    x, y = prior._natural()
    return f.VonMises._from_natural((x + weight * e.mean[..., 0], y + weight * e.mean[..., 1]), {})


def _direction(prior: Any, e: Any, n: Any) -> Any:
    weight = jnp.asarray(n * e.known["concentration"])
    return f.VonMisesFisher._from_natural(prior._natural() + weight[..., None] * e.mean, {})


def _towards(direction: Any, known: Known) -> Any:
    concentration = known["concentration"] * jnp.ones(direction.shape[:-1])
    return f.VonMisesFisher._of(mean_direction=direction, concentration=concentration)


CIRCULAR_PAIRS = (
    Conjugacy(
        f.VonMises,
        f.VonMises,
        "loc",
        ("concentration",),
        _angle,
        lambda loc, known: f.VonMises._of(loc=loc, concentration=known["concentration"] * jnp.ones_like(loc)),
        lambda belief, known: f.ConvolvedVonMises(belief.loc, belief.concentration, known["concentration"]),
        lambda belief: belief.loc,
    ),
    Conjugacy(
        f.VonMisesFisher,
        f.VonMisesFisher,
        "mean_direction",
        ("concentration",),
        _direction,
        _towards,
        lambda belief, known: f.ConvolvedVonMisesFisher(
            belief.mean_direction, belief.concentration, known["concentration"]
        ),
        lambda belief: belief.mean_direction,
    ),
)
"""A direction that is not known, of observations whose concentration about it is."""
