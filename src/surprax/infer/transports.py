"""What is known of single sites, and the way from points of a cube to draws: evenly spread points make evenly spread draws."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import scipy.interpolate
import scipy.special

from surprax import families as f
from surprax.infer.closed import Marginal, Member
from surprax.infer.scopes import computing

__all__ = ["AVERAGED", "Drawn", "has_quantiles", "marginal_of", "tabled", "transport"]

AVERAGED = 1 << 16
"""Draws, or evenly spread points, of which averages are taken where there is no formula."""


def has_quantiles(marginal: Marginal) -> bool:
    """Whether the quantiles of each element are known in closed form."""
    if not isinstance(marginal, Member):
        return False
    d = marginal.distribution
    return isinstance(d, f.Dirichlet | f.MultivariateNormal) if d.event_dim else "cdf" not in d.lacks


def marginal_of(d: Any) -> Marginal:
    """What is known of a site whose values have a distribution of ours."""
    return Member(d) if has_quantiles(Member(d)) else Drawn(d)


@dataclass(frozen=True)
class Drawn:
    """A site with a distribution of matrices, say: its moments are known, and its quantiles are those of 65,536 draws."""

    distribution: Any

    def mean(self) -> np.ndarray:
        return Member(self.distribution).mean()

    def sd(self) -> np.ndarray:
        return Member(self.distribution).sd()

    def quantile(self, q: np.ndarray) -> np.ndarray:
        return np.asarray(np.quantile(self._draws, np.asarray(q, np.float64), axis=0))

    @functools.cached_property
    def _draws(self) -> np.ndarray:
        with computing(True):
            return np.asarray(self.distribution.sample(jax.random.key(0), (AVERAGED,)), np.float64)


def tabled(quantile: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], np.ndarray]:
    """Quantiles at very many levels, from a table of a few: levels (n, …) of each element of an array → values (n, …).

    `quantile` takes levels (k,) and gives the quantiles of all elements, (k, …). What lies between is interpolated in the normal
    score of the level, in which quantiles are smooth.

    >>> of = tabled(lambda q: np.exp(scipy.special.ndtri(q)))
    >>> of(np.array([0.1, 0.7])).round(3).tolist(), np.exp(scipy.special.ndtri([0.1, 0.7])).round(3).tolist()
    ([0.278, 1.689], [0.278, 1.689])
    """
    scores = np.linspace(-8.0, 8.0, 321)
    nodes = np.asarray(quantile(scipy.special.ndtr(scores)), np.float64)
    table = nodes.reshape(len(scores), -1)

    def at(levels: np.ndarray) -> np.ndarray:
        z = np.clip(scipy.special.ndtri(levels), scores[0], scores[-1]).reshape(len(levels), -1)
        columns = [scipy.interpolate.PchipInterpolator(scores, c)(own) for c, own in zip(table.T, z.T)]
        return np.stack(columns, axis=-1).reshape(len(levels), *nodes.shape[1:])

    return at


def transport(beliefs: Mapping[str, Any]) -> tuple[int, Callable[[np.ndarray], dict[str, Any]]] | None:
    """From points of a cube to draws, by quantiles."""
    ways = {name: _transport_of(belief) for name, belief in beliefs.items()}
    if any(way is None for way in ways.values()):
        return None
    sizes = {name: int(np.prod(d.batch_shape + d.event_shape, dtype=np.int64)) for name, d in beliefs.items()}

    def draws(u: np.ndarray) -> dict[str, Any]:
        parts = np.split(u, np.cumsum(list(sizes.values()))[:-1], axis=1)
        shapes = (d.batch_shape + d.event_shape for d in beliefs.values())
        return {
            name: way(part.reshape(len(u), *shape))  # type: ignore[misc]
            for (name, way), part, shape in zip(ways.items(), parts, shapes)
        }

    return sum(sizes.values()), draws


def _transport_of(d: Any) -> Callable[[np.ndarray], Any] | None:
    if not d.event_dim:
        return None if "cdf" in d.lacks else lambda u: _tabled(d)(u)
    if isinstance(d, f.Dirichlet):
        gamma = f.Gamma(d.concentration, np.ones_like(d.concentration))

        def shares(u: np.ndarray) -> np.ndarray:
            parts = _tabled(gamma)(u)
            return parts / np.sum(parts, axis=-1, keepdims=True)

        return shares
    if isinstance(d, f.MultivariateNormal):
        return lambda u: d.loc + np.einsum("...ij,n...j->n...i", np.asarray(d.scale_tril), scipy.special.ndtri(u))
    if isinstance(d, f.NormalInverseGamma):

        def pairs(u: np.ndarray) -> np.ndarray:
            variance = _tabled(d.marginal_variance)(u[..., 1])
            mean = d.loc + scipy.special.ndtri(u[..., 0]) * np.sqrt(variance / d.mean_precision)
            return np.stack([mean, variance], axis=-1)

        return pairs
    return None


def _tabled(d: Any) -> Callable[[np.ndarray], np.ndarray]:
    return tabled(Member(d).quantile)
