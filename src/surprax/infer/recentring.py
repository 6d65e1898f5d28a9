"""Coordinates for latent sites that the data know better than their prior does.

    z ~ Normal(0, 1),   rows see  mu + tau · z

is how hierarchical models are written for few data. With many, rows fix mu + tau·z within a hair's breadth, while mu and tau are
known no better than before: the posterior is a thin and curved sheet, which no linear change of scale makes round. Its natural
coordinate is what the rows see, u = m + s·z, where m and s depend on other sites: a compressed model knows this value, as an entry
of its interface. The energy in u is that in z plus Σ log |s|. (Papaspiliopoulos, Roberts & Sköld 2007, "A general framework for the
parametrization of hierarchical models".)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.infer.util import constrain_fn

from surprax.infer.scopes import computing, numpyro_allowed
from surprax.models import Compressed

__all__ = ["Recentring", "recentred", "recentrings"]

ENOUGH = 3.0
"""How many times as much the data must tell of a site as its prior does, in the median over its entries."""


@dataclass(frozen=True)
class Recentring:
    """A latent site whose coordinate becomes an entry of the interface.

    Attributes:
        latent: name of the latent site.
        site: the observed site that sees it.
        place: of the entry among what its rows see.
    """

    latent: str
    site: str
    place: int

    def line(self, model: Compressed, latents: Mapping[str, Any]) -> tuple[Array, Array]:
        """m and s, for the values of the other latent sites."""
        own = jnp.asarray(latents[self.latent])
        at = [
            model.seen(self.site, {**latents, self.latent: jnp.full(own.shape, level, own.dtype)})[self.place]
            for level in (0.0, 1.0)
        ]
        return at[0], at[1] - at[0]


def recentred(
    model: Compressed, chosen: Sequence[Recentring], free: Mapping[str, Array]
) -> tuple[dict[str, Array], Array | float]:
    """The free numbers of the model from those in which some are entries of the interface, and log |∂ model's / ∂ these|."""
    found, log_volume = dict(free), jnp.zeros(())
    for one in chosen:
        m, s = one.line(model, constrain_fn(model, (), {}, found))
        found[one.latent] = (found[one.latent] - m) / s
        log_volume = log_volume - jnp.sum(jnp.log(jnp.abs(s)))
    return found, log_volume


def recentrings(model: Compressed) -> list[Recentring]:
    """The latent sites of a model that data tell more of, `ENOUGH` times, than their priors do, and what rows see of them.

    Sites on the real line of which rows see m + s·z, entry by entry; tried at two points in float64. What data tell of z is the
    curvature of the log-likelihood, what the prior tells is one over its variance, both at the means of the priors.
    """
    chosen: dict[str, Recentring] = {}
    rng = np.random.default_rng(0)
    with computing(True), numpyro_allowed():
        latents, distributions = _values(model, None)
        others, _ = _values(model, rng)
        for name, d in distributions.items():
            if d is None or np.size(latents[name]) < 2:
                continue
            told = {site: _told(model, site, name, latents, d) for site in model.compacts}
            for site in sorted(told, key=told.__getitem__):
                if told[site] > ENOUGH:
                    ways = [Recentring(name, site, i) for i in range(len(model.seen(site, latents)))]
                    fit = [one for one in ways if all(_on_a_line(model, one, at, rng) for at in (latents, others))]
                    if fit:  # what is put together last is nearest to the rows
                        chosen[name] = fit[-1]
    return list(chosen.values())


def _values(model: Compressed, rng: np.random.Generator | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values of the latent sites, the means of their priors or random ones, and the distributions of those on the real line."""
    distributions: dict[str, Any] = {}

    def value(site: Mapping[str, Any]) -> Any:
        if site["type"] != "sample" or site["is_observed"]:
            return None
        d = site["fn"]
        transform = biject_to(d.support)
        shape = transform.inverse_shape(d.shape())
        some = jnp.linspace(-1.0, 1.0, int(np.prod(shape, dtype=int))).reshape(shape)
        distributions[site["name"]] = d if np.array_equal(transform(some), some) else None
        if rng is not None:
            return transform(jnp.asarray(rng.uniform(-1.0, 1.0, shape)))
        try:
            mean = jnp.broadcast_to(d.mean, d.shape())
        except NotImplementedError:
            return transform(jnp.zeros(shape))
        return mean if bool(jnp.all(d.support(mean) & jnp.isfinite(jnp.sum(mean)))) else transform(jnp.zeros(shape))

    seeded = handlers.substitute(handlers.seed(model, jax.random.key(0)), substitute_fn=value)
    trace = handlers.trace(seeded).get_trace()
    return {name: np.asarray(trace[name]["value"]) for name in distributions}, distributions


def _on_a_line(model: Compressed, one: Recentring, latents: Mapping[str, Any], rng: np.random.Generator) -> bool:
    own = np.asarray(latents[one.latent])
    value = np.asarray(model.seen(one.site, latents)[one.place])
    if value.shape != own.shape:
        return False
    m, s = (np.asarray(v) for v in one.line(model, latents))
    if not (np.all(np.isfinite(s)) and np.all(s != 0.0)):
        return False
    other = rng.normal(size=own.shape)
    moved = np.asarray(model.seen(one.site, {**latents, one.latent: other})[one.place])
    tried = ((value, own), (moved, other))
    return all(np.allclose(seen, m + s * z, rtol=1e-9, atol=1e-9) for seen, z in tried)


def _told(model: Compressed, site: str, name: str, latents: Mapping[str, Any], d: Any) -> float:
    """How many times as much the data tell of a latent site as the prior does, in the median over its entries."""

    def log_likelihood(own: Array) -> Array:
        return model.log_likelihood(site, {**latents, name: own})

    own = jnp.asarray(latents[name])
    # Rows of different entries know nothing of each other: the curvature is all on the diagonal.
    _, bend = jax.jvp(jax.grad(log_likelihood), (own,), (jnp.ones_like(own),))
    return float(np.median(-np.asarray(bend) * np.asarray(d.variance)))
