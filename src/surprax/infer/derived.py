"""Deterministic sites of a posterior in closed form: what is known of functions of sites that are known."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
import scipy.stats
from jax import Array

from surprax.families.normal import Normal
from surprax.infer.anatomy import Anatomy, Latents
from surprax.infer.blocks import in_blocks
from surprax.infer.closed import ClosedForm, Image, Marginal, Member
from surprax.infer.dependence import SEVERAL, entries_behind, is_affine, is_smooth
from surprax.infer.parts import Part, unflattened
from surprax.infer.scopes import computing
from surprax.infer.transports import AVERAGED, has_quantiles

__all__ = ["Averaged", "Constant", "OfOne", "with_derived"]

MANY = 10_000
"""Deterministic sites of more numbers than this are left out; `predict` computes them."""

_NODES = 257
_FINE = 20_000
_DIMENSIONS = 256

_ELEMENTS = 1 << 25
_FEWEST = 1 << 11
"""An average over several entries is of at most so many numbers, points times elements, and of at least so many points."""


def with_derived(anatomy: Anatomy, parts: Sequence[Part]) -> ClosedForm:
    """The parts as one form, with the deterministic sites of the model among them."""
    marginals: dict[str, Marginal] = {name: m for part in parts for name, m in part.marginals.items()}
    derived = [name for name in anatomy.derived if anatomy.value_of(name).size <= MANY]
    draw_latents = _draw_of(parts)

    def of_latents(names: Sequence[str], latents: Latents) -> dict[str, Any]:
        return dict(zip(names, anatomy.evaluate([anatomy.value_of(name) for name in names], latents)))

    def draw(key: Array, n: int) -> dict[str, Any]:
        latents = draw_latents(key, n)
        if not derived:
            return latents
        each = jax.jit(jax.vmap(functools.partial(of_latents, derived)))
        return {**latents, **in_blocks(each, latents, max(anatomy.value_of(name).size for name in derived))}

    for name in derived:
        marginals[name] = _marginal(anatomy, parts, name, marginals)
    order = [name for name in anatomy.reading.sites if name in marginals]
    return ClosedForm({name: marginals[name] for name in order}, draw)


def _draw_of(parts: Sequence[Part]) -> Callable[[Array, int], dict[str, Any]]:
    def draw(key: Array, n: int) -> dict[str, Any]:
        keys = jax.random.split(key, len(parts))
        return {name: value for i, part in enumerate(parts) for name, value in part.sample(keys[i], n).items()}

    return draw


def _marginal(anatomy: Anatomy, parts: Sequence[Part], name: str, known: Mapping[str, Marginal]) -> Marginal:
    mine = [part for part in parts if set(part.shapes) & set(anatomy.parents[name])]
    center = {site: value for part in parts for site, value in part.center.items()}

    node = anatomy.value_of(name)

    def value(latents: Latents) -> Any:
        return jnp.asarray(anatomy.evaluate([node], {**center, **latents})[0], jnp.float64)

    if not mine:
        return Constant(np.asarray(value(center), np.float64))
    normal = _affine(value, mine) if all(part.normal for part in mine) and is_affine(node) else None
    if normal is not None:
        return normal
    sources = {site: known[site] for site in anatomy.parents[name]}
    if all(has_quantiles(m) for m in sources.values()):
        entries, start = {}, 0
        for site in sources:
            shape = anatomy.shape(site)
            entries[site] = start + np.arange(np.prod(shape, dtype=int)).reshape(shape)
            start += entries[site].size
        if not np.any(entries_behind(node, entries, lambda v: anatomy.evaluate([v], {})[0]) == SEVERAL):
            return OfOne(sources, value, is_smooth(node))
    return Averaged(mine, value, node.size)


@dataclass(frozen=True)
class Constant:
    """A site that no latent site changes."""

    value: np.ndarray

    def mean(self) -> np.ndarray:
        return self.value

    def sd(self) -> np.ndarray:
        return np.zeros_like(self.value)

    def quantile(self, q: np.ndarray) -> np.ndarray:
        return np.broadcast_to(self.value, np.shape(q) + self.value.shape)


def _affine(value: Callable[[Latents], Any], parts: Sequence[Part]) -> Marginal | None:
    """The normal distribution of an affine function of normal vectors; None where it is not affine."""
    rng = np.random.default_rng(3)
    centre = {name: v for part in parts for name, v in part.center.items()}
    middle = np.asarray(value(centre), np.float64)
    variance, step, moved = np.zeros(middle.size), np.zeros(middle.size), dict(centre)
    for part in parts:
        assert part.normal is not None

        def of_vector(z: Any, part: Part = part) -> Any:
            return jnp.ravel(value({**centre, **unflattened(z, part.shapes)}))

        _, along = jax.linearize(of_vector, jnp.asarray(part.normal.mean))
        # What a step along each column of the factor changes.
        columns = np.asarray(jax.lax.map(along, jnp.asarray(part.normal.factor.T), batch_size=64))
        variance += np.sum(columns**2, axis=0)
        steps = 3.0 * rng.normal(size=len(columns))
        step += steps @ columns
        moved |= unflattened(part.normal.mean + part.normal.factor @ steps, part.shapes)
    there, expected = np.asarray(value(moved), np.float64), middle + step.reshape(middle.shape)
    deviation = np.sqrt(variance).reshape(middle.shape)
    near = np.abs(there - expected) <= 1e-9 * (np.abs(there) + np.abs(middle) + deviation)
    return Member(Normal(middle, deviation)) if np.all(near) and np.all(deviation > 0) else None


@dataclass(frozen=True)
class _Along:
    """A function of sites at the quantiles of all their elements at once."""

    sources: Mapping[str, Marginal]
    value: Callable[[Latents], Any]

    def quantile(self, q: np.ndarray) -> np.ndarray:
        q = np.asarray(q, np.float64)
        flat = {name: m.quantile(q.reshape(-1)) for name, m in self.sources.items()}
        with computing(True):
            found = np.asarray(jax.vmap(self.value)(flat), np.float64)
        return found.reshape(q.shape + found.shape[1:])

    def mean(self) -> np.ndarray:
        raise NotImplementedError

    sd = mean


@dataclass(frozen=True)
class OfOne:
    """A site each of whose elements is a function of one element of another site: f(x).

    Moments are integrals over the quantiles of x; of a function that jumps or bends, averages over 20,000 of them. Where f is
    monotone so are quantiles of f(x): f of those of x, or of 1 − q.
    """

    sources: Mapping[str, Marginal]
    value: Callable[[Latents], Any]
    smooth: bool

    def mean(self) -> np.ndarray:
        return self._whole.mean() if self.smooth else np.mean(self._fine, axis=0)

    def sd(self) -> np.ndarray:
        return self._whole.sd() if self.smooth else np.std(self._fine, axis=0)

    def quantile(self, q: np.ndarray) -> np.ndarray:
        rises, monotone = self._directions
        if not np.all(monotone):
            return np.asarray(np.quantile(self._fine, np.asarray(q, np.float64), axis=0))
        along = _Along(self.sources, self.value)
        return np.where(rises, along.quantile(q), along.quantile(1.0 - np.asarray(q, np.float64)))

    @property
    def _whole(self) -> Image:
        return Image(_Along(self.sources, self.value), lambda x: x)

    @functools.cached_property
    def _directions(self) -> tuple[np.ndarray, np.ndarray]:
        """Whether each element rises with x, and whether it rises or falls all along."""
        nodes = _Along(self.sources, self.value).quantile(scipy.special.ndtr(np.linspace(-6.0, 6.0, _NODES)))
        steps = np.diff(nodes, axis=0)
        return nodes[-1] >= nodes[0], np.all(steps >= 0, axis=0) | np.all(steps <= 0, axis=0)

    @functools.cached_property
    def _fine(self) -> np.ndarray:
        """Values at evenly spread quantiles of x."""
        return _Along(self.sources, self.value).quantile((np.arange(_FINE) + 0.5) / _FINE)


@dataclass(frozen=True)
class Averaged:
    """A site that is a function of several others: an average over points of the posterior.

    They are 65,536 points that fill a cube evenly, by way of quantiles: means are known to about 1/10,000 of a standard deviation,
    and quantiles to 1/100 (quasi-Monte Carlo; Owen 1998, scrambled Sobol points). Where quantiles of the sources are not known, or
    there are very many numbers, they are as many draws, and means are known to 1/250. Sites of more than 512 elements have fewer
    points, so that memory stays bounded.
    """

    parts: Sequence[Part]
    value: Callable[[Latents], Any]
    size: int

    @functools.cached_property
    def _values(self) -> np.ndarray:
        with computing(True):
            each = jax.jit(jax.vmap(self.value))
            found: np.ndarray = in_blocks(each, self._points(), max(self.size, 1))
        return found.astype(np.float64)

    def _points(self) -> dict[str, Any]:
        transports = [part.transport for part in self.parts]
        size = sum(t[0] for t in transports if t is not None)
        most = max(_FEWEST, min(AVERAGED, _ELEMENTS // max(self.size, 1)))
        many = 1 << (most.bit_length() - 1)
        if any(t is None for t in transports) or size > _DIMENSIONS:
            return _draw_of(self.parts)(jax.random.key(0), many)
        cube = scipy.stats.qmc.Sobol(size, rng=np.random.default_rng(0)).random(many)
        found: dict[str, Any] = {}
        for t in transports:
            assert t is not None
            own, cube = cube[:, : t[0]], cube[:, t[0] :]
            found |= {name: np.asarray(v) for name, v in t[1](np.clip(own, 1e-12, 1.0 - 1e-12)).items()}
        return found

    def mean(self) -> np.ndarray:
        return np.mean(self._values, axis=0)

    def sd(self) -> np.ndarray:
        return np.std(self._values, axis=0)

    def quantile(self, q: np.ndarray) -> np.ndarray:
        return np.asarray(np.quantile(self._values, np.asarray(q, np.float64), axis=0))
