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
from numpyro.distributions.transforms import IdentityTransform, IndependentTransform
from numpyro.infer.util import constrain_fn

from surprax.infer.programs import Hoisted, kept
from surprax.infer.scopes import computing, numpyro_allowed
from surprax.infer.sites import any_value
from surprax.models import Compressed
from surprax.numerics.compilation import SOON_RUN

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
    candidates = _on_the_real_line(model)
    if not candidates:
        return []
    with computing(True):
        facts = Hoisted(lambda: {name: _facts(model, name) for name in candidates})
        pure = facts.pure
        program = kept(("recentring", facts.fingerprint), lambda: jax.jit(pure, compiler_options=SOON_RUN))
        found = jax.tree.map(np.asarray, program(facts.constants))
    chosen = [_choice(name, found[name]) for name in candidates]
    return [one for one in chosen if one is not None]


def _choice(name: str, facts: Mapping[str, Any]) -> Recentring | None:
    for site in sorted(facts, key=lambda site: facts[site]["told"], reverse=True):
        if facts[site]["told"] > ENOUGH:
            ways = [
                i for i in range(len(facts[site]["lines"][0])) if all(_fits(line[i]) for line in facts[site]["lines"])
            ]
            if ways:  # what is put together last is nearest to the rows
                return Recentring(name, site, ways[-1])
    return None


def _on_the_real_line(model: Compressed) -> list[str]:
    """Latent sites of more than one number whose values are free of bounds; nothing is computed for that."""
    found = []

    def run() -> None:
        seeded = handlers.substitute(handlers.seed(model, jax.random.key(0)), substitute_fn=any_value)
        for name, site in handlers.trace(seeded).get_trace().items():
            if site["type"] == "sample" and not site["is_observed"] and np.size(site["value"]) > 1:
                transform = biject_to(site["fn"].support)
                while isinstance(transform, IndependentTransform):
                    transform = transform.base_transform
                if isinstance(transform, IdentityTransform):
                    found.append(name)

    with computing(True), numpyro_allowed():
        jax.eval_shape(run)
    return found


def _facts(model: Compressed, name: str) -> dict[str, Any]:
    """About a latent site, by observed site: how much data tell of it, and its lines at two points, by entry of the interface."""
    rng = np.random.default_rng(0)
    latents, distributions = _values(model, None)
    others, _ = _values(model, rng)
    other = jnp.asarray(rng.normal(size=np.shape(latents[name])))
    return {
        site: {
            "told": _told(model, site, name, latents, distributions[name]),
            "lines": [_lines(model, site, name, at, other) for at in (latents, others)],
        }
        for site in model.compacts
    }


def _lines(model: Compressed, site: str, name: str, latents: Mapping[str, Any], other: Array) -> list[Any]:
    """By entry of the interface: values of the latent site, and what rows see there, stacked over 0, 1, a value, and another."""
    own = jnp.asarray(latents[name])
    values = [jnp.zeros_like(own), jnp.ones_like(own), own, other]
    seen = [model.seen(site, {**latents, name: value}) for value in values]
    return [(jnp.stack(values), jnp.stack(entries)) for entries in zip(*seen)]


def _fits(line: tuple[np.ndarray, np.ndarray]) -> bool:
    """Whether rows see m + s·z of a latent value z, entry by entry."""
    z, seen = line
    if z.shape != seen.shape:
        return False
    m, s = seen[0], seen[1] - seen[0]
    return bool(np.all(np.isfinite(s)) and np.all(s != 0.0) and np.allclose(seen, m + s * z, rtol=1e-9, atol=1e-9))


def _values(model: Compressed, rng: np.random.Generator | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values of the latent sites, the means of their priors or random ones, and their distributions."""
    distributions: dict[str, Any] = {}

    def value(site: Mapping[str, Any]) -> Any:
        if site["type"] != "sample" or site["is_observed"]:
            return None
        d = site["fn"]
        transform = biject_to(d.support)
        shape = transform.inverse_shape(d.shape())
        distributions[site["name"]] = d
        if rng is not None:
            return transform(jnp.asarray(rng.uniform(-1.0, 1.0, shape)))
        middle = transform(jnp.zeros(shape))
        try:
            mean = jnp.broadcast_to(d.mean, d.shape())
        except NotImplementedError:
            return middle
        return jnp.where(jnp.all(d.support(mean)) & jnp.all(jnp.isfinite(mean)), mean, middle)

    seeded = handlers.substitute(handlers.seed(model, jax.random.key(0)), substitute_fn=value)
    trace = handlers.trace(seeded).get_trace()
    return {name: trace[name]["value"] for name in distributions}, distributions


def _told(model: Compressed, site: str, name: str, latents: Mapping[str, Any], d: Any) -> Array:
    """How many times as much the data tell of a latent site as the prior does, in the median over its entries."""

    def log_likelihood(own: Array) -> Array:
        return model.log_likelihood(site, {**latents, name: own})

    own = jnp.asarray(latents[name])
    # Rows of different entries know nothing of each other: the curvature is all on the diagonal.
    _, bend = jax.jvp(jax.grad(log_likelihood), (own,), (jnp.ones_like(own),))
    try:
        variance = d.variance
    except NotImplementedError:
        return jnp.asarray(jnp.nan)
    return jnp.median(-bend * variance)
