"""Coordinates of an exponential family in which every parameter is any real number, for integrals over its members."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

__all__ = ["Coordinates"]

type _Map = tuple[Callable[[Any], Any], Callable[[Any], Any]]

_SAME: _Map = (lambda v: v, lambda v: v)
_LOG: _Map = (jnp.log, jnp.exp)
_LOG_BEYOND_ONE: _Map = (lambda v: jnp.log(v - 1.0), lambda v: 1.0 + jnp.exp(v))
_LOGIT: _Map = (lambda v: jnp.log(v) - jnp.log1p(-v), jax.nn.sigmoid)


def _map_of(constraint: Any) -> _Map | None:
    """Real numbers for those that a constraint allows, by what it says of a few; None where it is none of these."""
    below, negative, small, above, far = (bool(constraint.holds(v)) for v in (-1e9, -0.5, 0.5, 1.5, 1e9))
    if far and below:
        return _SAME
    if far and small and not negative:
        return _LOG
    if far and above and not small:
        return _LOG_BEYOND_ONE
    return _LOGIT if small and not negative and not above else None


class Coordinates:
    """The free parameters of a family, each by a logarithm or logit where it is bounded; the natural parameters where one of the
    free parameters is an angle, or there are more of them than natural parameters."""

    def __init__(self, family: Any) -> None:
        self.family = family
        free = [name for name in family.parameters if name not in family.known_parameters]
        maps = {name: _map_of(family.parameters[name]["constraint"]) for name in free}
        self.maps = maps if len(free) == family.dimension and None not in maps.values() else None

    def of(self, d: Any) -> tuple[Array, ...]:
        """The place of a member."""
        if self.maps is None:
            return tuple(jnp.asarray(c) for c in d._natural())
        return tuple(jnp.asarray(to(getattr(d, name))) for name, (to, _) in self.maps.items())  # type: ignore[misc]

    def member(self, place: Sequence[Array], known: dict[str, Any]) -> Any:
        """The member at a place."""
        place = jnp.broadcast_arrays(*place)
        if self.maps is None:
            return self.family._from_natural(tuple(place), known)
        own = {name: back(p) for p, (name, (_, back)) in zip(place, self.maps.items(), strict=True)}  # type: ignore[misc]
        return self.family._of(**{name: own.get(name, known.get(name)) for name in self.family.parameters})

    def _natural(self, place: Sequence[Array], known: dict[str, Any]) -> tuple[Array, ...]:
        natural = self.member(place, known)._natural()
        return tuple(jnp.asarray(c) * jnp.ones_like(sum(place)) for c in natural)

    def _slopes(self, place: Sequence[Array], known: dict[str, Any]) -> list[tuple[Array, ...]]:
        """∂η/∂(each coordinate)."""
        place = tuple(jnp.broadcast_arrays(*place))
        ways = [
            tuple(jnp.ones_like(p) if i == j else jnp.zeros_like(p) for j, p in enumerate(place))
            for i in range(len(place))
        ]
        return [jax.jvp(lambda *p: self._natural(p, known), place, way)[1] for way in ways]

    def jacobian(self, place: Sequence[Array], known: dict[str, Any]) -> Array:
        """The matrix ∂η_i/∂(coordinate j) at one place."""
        return jnp.stack([jnp.stack(column) for column in self._slopes(place, known)], axis=1)

    def member_and_volume(self, place: Sequence[Array], known: dict[str, Any]) -> tuple[Any, Array]:
        """Members at places, and log |det ∂η/∂place|."""
        slopes = self._slopes(place, known)
        det = slopes[0][0] if len(slopes) == 1 else slopes[0][0] * slopes[1][1] - slopes[0][1] * slopes[1][0]
        return self.member(place, known), jnp.log(jnp.abs(det))
