"""Coordinates in which what data tell of latent sites, and what their priors tell, are one unit wide together.

    z ~ Normal(0, 1),   rows see  mu + tau · z

is how hierarchical models are written for few data: where rows tell much, they fix mu + tau·z within a hair's breadth, and the
posterior is a thin curved sheet in (mu, tau, z). Written as u ~ Normal(mu, tau), of which rows see u itself, it is round for many
data, and a funnel for few. Neither is right where some groups have many rows, or tau may be small.

For given other sites, prior and data together are nearly normal. With the prior's mean a and precision p, rows that see m + s·z,
and data that tell of this value what one observation û of precision t would, z has

    precision  P = p + s² t       and       mean  A = (p·a + s·t·(û − m)) / P,

and its coordinate is w = (z − A)·√P, whose scale depends on nothing: w is z where s is small, and the value that rows see, less a
constant, where t is great. û and t are fixed; a, p, m and s come with the other sites. The energy in w is that in z plus ½ Σ log P.

Of a site b on which the location m + s·a of such values depends as on C·b, each û tells as an observation of variance
s²/p + 1/t: for few groups, mu is narrow where tau is small and wide where it is not. Its coordinate is Lᵀ(b − A), where L Lᵀ is the
precision of b given those, and A its mean.

(Papaspiliopoulos, Roberts & Sköld 2007, "A general framework for the parametrization of hierarchical models"; Gorinova, Moore &
Hoffman 2020, "Automatic reparameterisation of probabilistic programs".)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import solve_triangular
from numpyro import handlers
from numpyro.distributions import biject_to

from surprax.models import Compressed

__all__ = ["Coordinate", "Effect", "Location", "Trace", "latents_of", "moments_of", "moved", "trace_at", "trace_of"]

type Trace = Mapping[str, Mapping[str, Any]]
"""What NumPyro's handlers tell of the sites of a model."""


@dataclass(frozen=True, eq=False)
class Effect:
    """A latent site z of which rows see m + s·z, entry by entry.

    Attributes:
        seer: a compressed form of the model, which tells what rows see.
        latent: name of the latent site.
        site: the observed site that sees it.
        place: of m + s·z among what its rows see.
        precision: t, in the shape of the site.
        peak: û, likewise.
    """

    seer: Compressed
    latent: str
    site: str
    place: int
    precision: np.ndarray
    peak: np.ndarray

    def line(self, trace: Trace) -> tuple[Array, Array]:
        """m and s, for the values of the other latent sites."""
        latents = latents_of(trace)
        own = jnp.asarray(latents[self.latent])
        m, m_and_s = (
            self.seer.seen(self.site, {**latents, self.latent: jnp.full_like(own, level)})[self.place].reshape(
                own.shape
            )
            for level in (0.0, 1.0)
        )
        return m, m_and_s - m

    def conditional(self, trace: Trace) -> tuple[Array, Array]:
        """A and P, for the values of the other latent sites, and the prior that comes with them."""
        (m, s), (a, p), (peak, t) = self.line(trace), _prior(trace, self.latent), self._data()
        precision = p + s**2 * t
        return (p * a + s * t * (peak - m)) / precision, precision

    def location(self, trace: Trace) -> tuple[Array, Array]:
        """m + s·a, and the precision that û has as an observation of it: 1/(s²/p + 1/t)."""
        (m, s), (a, p), (_, t) = self.line(trace), _prior(trace, self.latent), self._data()
        return m + s * a, t * p / (s**2 * t + p)

    def move(self, trace: Trace, w: Array) -> tuple[Array, Array]:
        """z from its coordinate, and log |∂z/∂w|."""
        mean, precision = self.conditional(trace)
        return mean + w / jnp.sqrt(precision), -0.5 * jnp.sum(jnp.log(precision))

    def _data(self) -> tuple[Array, Array]:
        return jnp.asarray(self.peak, jnp.result_type(float)), jnp.asarray(self.precision, jnp.result_type(float))


@dataclass(frozen=True, eq=False)
class Location:
    """A latent site b of few numbers on which locations of effects depend affinely.

    Attributes:
        latent: its name.
        effects: those whose locations do.
    """

    latent: str
    effects: tuple[Effect, ...]

    @property
    def seer(self) -> Compressed:
        return self.effects[0].seer

    def conditional(self, trace: Trace, again: Callable[[Mapping[str, Any]], Trace]) -> tuple[Array, Array]:
        """The mean of b, and a Cholesky factor of its precision; `again` traces the model with another value of b."""
        own = jnp.asarray(trace[self.latent]["value"])
        a, p = (jnp.broadcast_to(v, own.shape).reshape(-1) for v in _prior(trace, self.latent))
        mean, precision, nowhere = p * a, jnp.diag(p), jnp.zeros(own.size, own.dtype)
        for effect in self.effects:

            def location(b: Array, effect: Effect = effect) -> tuple[Array, tuple[Array, Array]]:
                there, told = (v.reshape(-1) for v in effect.location(again({self.latent: b.reshape(own.shape)})))
                return there, (there, told)

            slopes, (origin, told) = jax.jacfwd(location, has_aux=True)(nowhere)
            weighed = slopes.T * told
            mean = mean + weighed @ (jnp.asarray(effect.peak, own.dtype).reshape(-1) - origin)
            precision = precision + weighed @ slopes
        factor = _cholesky(precision)
        return _solved(factor, _solved(factor, mean), transposed=True), factor

    def move(self, trace: Trace, again: Callable[[Mapping[str, Any]], Trace], w: Array) -> tuple[Array, Array]:
        """b from its coordinate, and log |∂b/∂w|."""
        mean, factor = self.conditional(trace, again)
        away = _solved(factor, w.reshape(-1), transposed=True)
        return (mean + away).reshape(w.shape), -jnp.sum(jnp.log(jnp.diagonal(factor)))


# Most locations are single numbers, for which LAPACK's routines take longer to be called than to be replaced.


def _cholesky(matrix: Array) -> Array:
    return jnp.sqrt(matrix) if matrix.size == 1 else jnp.linalg.cholesky(matrix)


def _solved(factor: Array, v: Array, *, transposed: bool = False) -> Array:
    """L⁻¹v, or L⁻ᵀv."""
    return v / factor[0] if v.size == 1 else solve_triangular(factor, v, lower=True, trans=int(transposed))


type Coordinate = Effect | Location


def moved(coordinates: Sequence[Coordinate], free: Mapping[str, Array]) -> tuple[dict[str, Array], Array]:
    """The free numbers of a model from those in which some are coordinates, and log |∂ model's / ∂ these|.

    One coordinate after the other: each moves its own site, by what the others are at that time.
    """
    found, log_volume = dict(free), jnp.zeros(())
    for one in coordinates:

        def again(values: Mapping[str, Any], one: Coordinate = one, found: Mapping[str, Any] = dict(found)) -> Trace:
            return _at(one.seer, {**found, **values})  # their sites are on the real line: free numbers are values

        trace = again({})
        here = found[one.latent]
        value, own = one.move(trace, here) if isinstance(one, Effect) else one.move(trace, again, here)
        found[one.latent], log_volume = value, log_volume + own
    return found, log_volume


def trace_of(model: Compressed, value: Callable[[Mapping[str, Any]], Any]) -> Trace:
    """The latent sites of a model, where `value` tells theirs."""
    seeded = handlers.substitute(handlers.seed(model.prior, jax.random.key(0)), substitute_fn=value)
    return handlers.trace(seeded).get_trace()


def trace_at(model: Compressed, latents: Mapping[str, Any]) -> Trace:
    """The same at values of the latent sites."""
    return trace_of(model, lambda site: latents.get(site["name"]))


def latents_of(trace: Trace) -> dict[str, Any]:
    """Values of the latent sites."""
    return {n: site["value"] for n, site in trace.items() if site["type"] == "sample" and not site["is_observed"]}


def _at(model: Compressed, free: Mapping[str, Any]) -> Trace:
    return trace_of(
        model, lambda site: biject_to(site["fn"].support)(free[site["name"]]) if site["name"] in free else None
    )


def moments_of(trace: Trace, name: str) -> tuple[Any, Any]:
    """Mean and variance of a site's prior, for the values of the sites that it depends on."""
    prior, shape = trace[name]["fn"], jnp.shape(trace[name]["value"])
    dtype = jnp.result_type(float)
    return tuple(jnp.broadcast_to(jnp.asarray(v, dtype), shape) for v in (prior.mean, prior.variance))  # type: ignore[return-value]


def _prior(trace: Trace, name: str) -> tuple[Array, Array]:
    """Mean and precision."""
    mean, variance = moments_of(trace, name)
    return mean, 1.0 / variance
