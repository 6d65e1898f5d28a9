"""A model taken apart: which sites depend on which, and their values and log-densities at given values of the latent sites."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpyro.distributions import ExpandedDistribution, Independent, biject_to

from surprax.families.base import Distribution
from surprax.interop.numpyro_twins import from_numpyro
from surprax.interop.shapes import expanded
from surprax.models.compact import Compact
from surprax.models.graph import Value, evaluate, frontier, inputs_of
from surprax.models.reading import Reading, Site

__all__ = ["Anatomy", "Component", "Latents", "elementwise_family", "named"]

type Latents = Mapping[str, Any]
"""Values of latent sites, by name."""


@dataclass(frozen=True)
class Component:
    """Latent sites that depend on each other, or on the same data, and the other sites with a density that depend on them."""

    latents: tuple[str, ...]
    others: tuple[str, ...]


class Anatomy:
    """A model that was read, of which some observed sites may be compressed.

    All methods that compute are to be called inside of `with computing(True):`.

    Attributes:
        reading: the model, as it was read.
        compacts: the compressed sites, by name.
        latents, observed, derived: names of sites in the order of the model; `factor` statements count as observed, and derived
            are the deterministic ones.
    """

    def __init__(self, reading: Reading, compacts: Mapping[str, Compact]) -> None:
        self.reading, self.compacts = reading, compacts
        self.latents = self._of_kind("latent")
        self.observed = self._of_kind("observed", "factor")
        self.derived = self._of_kind("deterministic")
        self._known: dict[Value, Any] = {}

    def _of_kind(self, *kinds: str) -> tuple[str, ...]:
        return tuple(name for name, site in self.reading.sites.items() if site.kind in kinds)

    def site(self, name: str) -> Site:
        return self.reading.sites[name]

    def what(self, name: str) -> str:
        """The name of a site's distribution."""
        site = self.site(name)
        known = site.family or site.distribution
        return "unknown" if known is None else known.__name__.removeprefix("Surprax")

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a latent site."""
        return tuple(self.reading.latents[name].shape)

    def value_of(self, name: str) -> Value:
        """Of a deterministic site."""
        value = self.site(name).value
        assert value is not None
        return value

    # Who depends on whom.

    @functools.cached_property
    def parents(self) -> dict[str, tuple[str, ...]]:
        """The latent sites that each site is computed from, by name."""
        behind = {name: inputs_of(_values_of(site)) for name, site in self.reading.sites.items()}
        return {name: tuple(n for n in self.latents if n in found) for name, found in behind.items()}

    def components(self) -> list[Component]:
        """The parts of the model that are independent of each other, given the data."""
        group = {name: {name} for name in self.latents}
        for name in (*self.latents, *self.observed):
            joined = [*self.parents[name], *([name] if name in group else [])]
            union = set().union(*(group[n] for n in joined))
            group.update(dict.fromkeys(union, union))
        found: list[Component] = []
        for name in self.latents:
            if not any(name in component.latents for component in found):
                latents = tuple(n for n in self.latents if n in group[name])
                others = tuple(n for n in self.observed if set(self.parents[n]) & group[name])
                found.append(Component(latents, others))
        return found

    # Values.

    def evaluate(self, values: Sequence[Value], latents: Latents) -> list[Any]:
        """Values of the graph; what depends on no latent site is computed once, and not while something is traced."""
        missing = [v for v in frontier(values) if v not in self._known]
        if missing:
            with jax.ensure_compile_time_eval():
                self._known.update(zip(missing, evaluate(missing, {}, {})))
        return evaluate(values, lambda v: jnp.asarray(latents[v.name]), dict(self._known))

    def distribution(self, name: str, latents: Latents) -> Any:
        """NumPyro's distribution of a site."""
        site = self.site(name)
        return jax.tree.unflatten(site.tree, [jnp.asarray(v) for v in self.evaluate(site.leaves, latents)])

    def log_density(self, name: str, latents: Latents) -> Array:
        """log p(site | its parents), summed over its rows, in nats; in our own form where there is one, which keeps more digits."""
        site = self.site(name)
        if name in self.compacts:
            compact = self.compacts[name]
            return compact.log_likelihood(compact.arrays, self.tables(name, latents)) + compact.constant
        value = latents[name] if site.value is None else self.evaluate([site.value], latents)[0]
        d = self.distribution(name, latents)
        if site.scale is not None:
            return jnp.sum(self.evaluate([site.scale], latents)[0] * d.log_prob(value))
        return jnp.sum((elementwise_family(d) or d).log_prob(value))

    def tables(self, name: str, latents: Latents) -> list[Any]:
        """The interface of a compressed site."""
        return self.evaluate([table.source for table in self.compacts[name].tables], latents)

    def inner_point(self, seed: int) -> dict[str, Array]:
        """Values of all latent sites, spread over their supports; they need not be probable."""
        rng = np.random.default_rng(seed)
        point: dict[str, Array] = {}
        for name in self.latents:
            d, shape = self.distribution(name, point), self.site(name).sample_shape
            try:
                transform = biject_to(d.support)
                point[name] = jnp.asarray(transform(rng.normal(size=transform.inverse_shape(d.shape(shape)))))
            except NotImplementedError:  # no map from free numbers to this support
                point[name] = d.sample(jax.random.key(seed), shape)
        return point

    def between(self, point: Latents, other: Latents, share: float) -> dict[str, Any]:
        """The point that is a share of the way from one to another; sites whose support is not convex stay at the other."""
        found: dict[str, Any] = {}
        for name in self.latents:
            mixed = (1.0 - share) * np.asarray(point[name]) + share * np.asarray(other[name])
            inside = bool(np.all(np.asarray(self.distribution(name, {**other, **found}).support(mixed))))
            found[name] = mixed if inside else other[name]
        return found


def _values_of(site: Site) -> list[Value]:
    around = [v for v in (site.scale, site.mask, site.value) if v is not None]
    return [*site.leaves, *around]


def elementwise_family(d: Any) -> Distribution | None:
    """The batch of our distributions that one of NumPyro's is, which `to_event` may have made one event; None where there is none.

    Its log-density is one number for each element that is independent of the others: their sum is NumPyro's.

    >>> import numpyro.distributions as dist
    >>> elementwise_family(dist.Normal(0.0, 1.0).expand([3]).to_event(1)).batch_shape
    (3,)
    """
    if isinstance(d, ExpandedDistribution):
        inner = elementwise_family(d.base_dist)
        if inner is None:
            return None
        return expanded(inner, tuple(d.batch_shape) + inner.batch_shape[len(d.base_dist.batch_shape) :])
    if isinstance(d, Independent):
        return elementwise_family(d.base_dist)
    try:
        return from_numpyro(d)
    except (TypeError, ValueError):
        return None


def named(names: Sequence[str]) -> str:
    """Names of sites in a sentence.

    >>> named(["a", "b", "c"])
    "'a', 'b' and 'c'"
    """
    quoted = [repr(name) for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
