"""A mixture as a distribution: an observation comes from one of k others, and nobody says from which.

    p(x) = Σⱼ wⱼ pⱼ(x),      P(component j | x) = wⱼ pⱼ(x) / p(x)

What is believed of the component is a prior, the weights, plus the surprise of the observation under each: a `Belief`.
"""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from surprax.beliefs.finite import Belief
from surprax.beliefs.mixture_components import free_numbers
from surprax.families.base import Distribution, compiled, family
from surprax.families.batches import Wide, align, map_parameters
from surprax.families.categorical import Categorical, log_probabilities, log_weight
from surprax.families.convolved_von_mises import ConvolvedVonMises
from surprax.families.discrete import least_whole, reached
from surprax.families.parameters import components as distribution
from surprax.families.parameters import parameter
from surprax.families.supports import Region, Support
from surprax.families.von_mises import VonMises
from surprax.numerics.elementary import argmax, logsumexp
from surprax.numerics.precision import float64_scope, is_traced
from surprax.numerics.roots import bracketed

__all__ = ["MixtureSameFamily"]


class _OfComponents:
    """An attribute that a mixture has from its components; of the class of all mixtures, the default."""

    def __init__(self, name: str, default: Any) -> None:
        self.name, self.default = name, default

    def __get__(self, mixture: Any, owner: Any = None) -> Any:
        return self.default if mixture is None else getattr(mixture.components, self.name)


@family
class MixtureSameFamily(Distribution):
    """A mixture of k distributions of one family: s(x) = −log Σⱼ wⱼ exp(−sⱼ(x)).

    Args:
        probs: weights wⱼ, at least 0 and adding to 1, on the last axis; or a `Categorical` of them; or else
        logits: their logarithms up to a constant, −∞ for a weight of 0. What is stored is normalised.
        components: distributions of one family, of numbers or vectors, continuous or discrete, whose last batch axis is that of
            the weights; the axes before it are the batch of the mixture.

    `components[j]` is a component. A component of weight 0 adds nothing, exactly. Of vectors there is no distribution
    function; a mixture may have many peaks, and its entropy has no closed form. Of angles, mean and variance are those of
    directions. Fitted by `Mixture(Family, k).fit(x)`. Source: McLachlan & Peel (2000), Finite Mixture Models.

    >>> from surprax.families import Normal
    >>> d = MixtureSameFamily([0.25, 0.75], Normal(np.array([0.0, 4.0]), np.array([1.0, 2.0])))
    >>> print(d.mean, d.variance)
    3.0 6.25
    >>> print(f"{d.cdf(4.0) - 0.25 * d.components[0].cdf(4.0) - 0.75 * 0.5:.4f}")
    0.0000
    >>> print(d.responsibilities([0.0, 10.0]).round(3)[:, 0], d.assign([0.0, 10.0]))
    [0.831 0.   ] [0 1]
    """

    logits: Any = parameter(log_weight, event_dim=1)
    components: Any = distribution()

    lacks = {
        "mode": "a mixture may have several peaks",
        "entropy": "there is no closed form; surprise averages to it over samples",
        "kl": "there is no closed form",
        "fit": "a mixture is fitted by Mixture(Family, k).fit(x)",
    }
    event_dim = _OfComponents("event_dim", 0)
    discrete = _OfComponents("discrete", False)
    single_peaked = False

    def __init__(self, probs: Any = None, components: Any = None, *, logits: Any = None) -> None:
        if isinstance(probs, Categorical):
            probs, logits = None, probs.logits
        weights = log_probabilities("MixtureSameFamily", probs, logits)
        if not isinstance(components, Distribution):
            raise TypeError(
                f"MixtureSameFamily: components must be a batch of distributions of one family; got {components!r}."
            )
        if isinstance(components, MixtureSameFamily):
            raise TypeError(
                "MixtureSameFamily: components are no mixtures; a mixture of mixtures is one mixture of all their components,"
                " whose weights are products."
            )
        batch, k = components.batch_shape, np.shape(weights)[-1]
        if not batch or batch[-1] != k:
            raise ValueError(
                f"MixtureSameFamily: {k} weights need {k} components, on the last axis of their batch; got components of batch"
                f" shape {batch}."
            )
        object.__setattr__(self, "logits", weights)
        object.__setattr__(self, "components", _filled(components, batch))

    # Shape.

    @property
    def probs(self) -> Any:
        """Weights, shape batch + (k,)."""
        known = not (is_traced(self.logits) or isinstance(self.logits, jax.Array))
        return np.exp(self.logits) if known else jnp.exp(self.logits)

    @property
    def num_components(self) -> int:
        """k."""
        return int(np.shape(self.logits)[-1])

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch of mixtures: () for a single one."""
        return np.broadcast_shapes(np.shape(self.logits)[:-1], self.components.batch_shape[:-1])

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one observation: () for a number."""
        return self.components.event_shape

    def __getitem__(self, index: Any) -> Self:
        """Mixtures of the batch, by any NumPy index of its axes. (Components are `components[..., j]`.)"""
        shape, k = self.batch_shape, self.num_components
        before = (slice(None),) * len(shape)
        parts = [_filled(self.components, (*shape, k))[*before, j][index] for j in range(k)]
        axis = len(parts[0].batch_shape)
        stacked = map_parameters(lambda *leaves: _stack([leaves[0], *leaves[2:]], axis), parts[0], *parts[1:])
        xp = jnp if isinstance(self.logits, jax.Array) else np
        whole = index if isinstance(index, tuple) else (index,)
        rest = (slice(None),) if any(i is Ellipsis for i in whole) else ()
        return type(self)._of(logits=xp.broadcast_to(self.logits, (*shape, k))[(*whole, *rest)], components=stacked)

    def __repr__(self) -> str:
        if is_traced(self.logits) or not hasattr(self.logits, "shape"):
            return f"MixtureSameFamily(logits={self.logits}, components={self.components!r})"
        probs = np.array2string(np.exp(np.asarray(self.logits, np.float64)), precision=6, separator=", ", threshold=6)
        return f"MixtureSameFamily(probs={probs}, components={self.components!r})"

    @property
    def support(self) -> Any:
        """The least interval that has every component's support; of vectors, what some component allows."""
        s = self.components.support
        if isinstance(s, Region):
            return s if s is type(self.components).data_support else self._region(s)
        if not (np.ndim(s.lower) or np.ndim(s.upper)):
            return s
        lower, upper = (jnp.asarray(v) for v in (s.lower, s.upper))
        lower = jnp.min(lower, axis=-1) if lower.ndim else lower
        upper = jnp.max(upper, axis=-1) if upper.ndim else upper
        return Support(lower, upper, s.discrete, s.open_lower, s.open_upper)

    def _region(self, s: Region) -> Region:
        """Of components whose regions depend on their parameters."""
        components = self.components

        def holds(x: Any) -> Any:
            parts, at = align(components, Wide(jnp.expand_dims(x, x.ndim - s.event_dim), s.event_dim))
            return jnp.any(parts.support.contains(at), axis=-1)

        return Region(s.name, holds, s.event_dim, components[..., 0].support.inner, s.discrete)

    @property
    def data_support(self) -> Any:  # type: ignore[override]
        return self.support

    # Density.

    @property
    def _log_weights(self) -> Array:
        """Normalised again, so that a derivative in stored logits is that of a distribution."""
        logits = jnp.asarray(self.logits)
        return logits - logsumexp(logits, axis=-1, keepdims=True)

    def _heights(self, x: Array) -> Array:
        """log(wⱼ pⱼ(x)) on a last axis of components; −∞ where either is 0."""
        at = jnp.expand_dims(x, x.ndim - self.event_dim)
        parts, at = align(self.components, Wide(at, self.event_dim))
        log_prob = parts.log_prob(at)
        log_weights = _lifted(self._log_weights, log_prob.ndim)
        some = (
            log_weights != -jnp.inf
        )  # a component of weight 0 has no say, even where its density is infinite; one of NaN has
        return jnp.where(some, log_weights + jnp.where(some, log_prob, 0.0), -jnp.inf)

    def _log_density(self, x: Array) -> Array:
        return logsumexp(self._heights(x), axis=-1)

    # Moments.

    def _mean(self) -> Array:
        m, _, w = self._parts()
        if self._circular:
            return jnp.arctan2(*self._direction())
        return jnp.sum(w * m, axis=-1 - self.event_dim)

    def _variance(self) -> Array:
        m, v, w = self._parts()
        axis = -1 - self.event_dim
        if self._circular:
            return 1.0 - jnp.hypot(*self._direction())
        return jnp.sum(w * (v + (m - jnp.sum(w * m, axis=axis, keepdims=True)) ** 2), axis=axis)

    def _parts(self) -> tuple[Array, Array, Array]:
        """Means and variances of the components, and the weights beside them; those of weight 0 put at 0."""
        w = jnp.exp(self._log_weights)
        m, v = self.components.mean, self.components.variance
        w = w.reshape(w.shape + (1,) * self.event_dim)
        w = _lifted(w, m.ndim)
        return jnp.where(w > 0, m, 0.0), jnp.where(w > 0, v, 0.0), w

    @property
    def _circular(self) -> bool:
        return isinstance(self.components, VonMises | ConvolvedVonMises)

    def _direction(self) -> tuple[Array, Array]:
        """E sin X and E cos X: a component's mean direction has length 1 − variance."""
        m, v, w = self._parts()
        return jnp.sum(w * (1.0 - v) * jnp.sin(m), axis=-1), jnp.sum(w * (1.0 - v) * jnp.cos(m), axis=-1)

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return self._tail(x, "log_cdf")

    def _log_sf(self, x: Array) -> Array:
        return self._tail(x, "log_sf")

    def _tail(self, x: Array, name: str) -> Array:
        parts, at = align(self.components, x[..., None])
        value = getattr(parts, name)(at)
        return logsumexp(_lifted(self._log_weights, value.ndim) + value, axis=-1)

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        if not self.discrete:
            return _root(self, log_p, log_q)
        d, log_p, log_q = jax.lax.stop_gradient((self, log_p, log_q))
        lower, upper = d._between(log_p, log_q)
        low = log_p <= log_q

        def enough(x: Array) -> Array:
            return reached(jnp.where(low, d._log_cdf(x), d._log_sf(x)), low, log_p, log_q)

        return least_whole(enough, lower, lower, upper)

    def _between(self, log_p: Array, log_q: Array) -> tuple[Array, Array]:
        """The least and the greatest quantile of the components that have a weight."""
        parts, *at = align(self.components, log_p[..., None], log_q[..., None])
        ends = parts._inverse(*at)
        log_w = _lifted(self._log_weights, ends.ndim)
        ends = jnp.where(jnp.isnan(log_w), jnp.nan, ends)
        some = log_w != -jnp.inf
        return jnp.min(jnp.where(some, ends, jnp.inf), axis=-1), jnp.max(jnp.where(some, ends, -jnp.inf), axis=-1)

    def _beyond(self, x: Array, log_p: Array, log_q: Array) -> Array:
        """log P(X ≤ x) − log p, or the same from the smaller tail; rises through 0."""
        return jnp.where(log_p <= log_q, self._log_cdf(x) - log_p, log_q - self._log_sf(x))

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        for_component, for_draw = jax.random.split(key)
        log_w = self._log_weights
        noise = jax.random.gumbel(for_component, (*shape, log_w.shape[-1]), log_w.dtype)
        chosen = argmax(_lifted(log_w, noise.ndim) + noise, axis=-1)
        (parts,) = align(self.components, rank=len(shape) + 1)

        def pick(leaf: Any, meta: Any) -> Array:
            if not jnp.ndim(leaf):
                return jnp.asarray(leaf)
            at = chosen.reshape(chosen.shape + (1,) * (1 + meta["event_dim"]))
            return jnp.take_along_axis(leaf, at, axis=len(shape)).squeeze(len(shape))

        return map_parameters(pick, parts).sample(for_draw)

    # Which component.

    @compiled
    def _joint(self, x: Array) -> Array:
        d, x = align(self, self._observed(x))
        return d._heights(x)

    def log_joint(self, x: ArrayLike) -> Array:
        """log(wⱼ pⱼ(x)) in nats, shape of `x` (without the axes of one observation) broadcast with the batch, + (k,)."""
        return self._joint(jnp.asarray(x))

    def responsibilities(self, x: ArrayLike) -> Array:
        """P(component j | x), shape (…, k): adds to 1, or to 0 where x is impossible."""
        joint = self.log_joint(x)
        total = logsumexp(joint, axis=-1, keepdims=True)
        nowhere = jnp.isneginf(total)
        return jnp.where(nowhere, 0.0, jnp.exp(joint - jnp.where(nowhere, 0.0, total)))

    def belief(self, x: ArrayLike, labels: Any = None) -> Belief:
        """What is believed of the component that x came from: prior plus surprise, a `Belief` of shape (…, k).

        >>> from surprax.families import Poisson
        >>> belief = MixtureSameFamily([0.5, 0.5], Poisson(np.array([1.0, 4.0]))).belief(2, labels=["low", "high"])
        >>> print(belief.probabilities().round(3))
        [0.557 0.443]
        """
        return Belief(-self.log_joint(x), labels)

    def assign(self, x: ArrayLike) -> Array:
        """The most probable component of each observation, a number from 0 to k − 1; the first, of equal ones."""
        return argmax(self.log_joint(x), axis=-1)

    # Criteria.

    @classmethod
    def free_parameters(cls, fit: Self) -> int:
        """Those of all components, and k − 1 weights."""
        return free_numbers(fit.components) + fit.num_components - 1

    def aic(self, x: Any, weights: Any = None, *, free: int | None = None) -> float:
        """Akaike's criterion 2·free − 2·log-likelihood, in float64; `free`: number of fitted parameters, if not all are."""
        total, _, number = self._scores(x, weights, free)
        return 2.0 * number - 2.0 * total

    def bic(self, x: Any, weights: Any = None, *, free: int | None = None) -> float:
        """Schwarz's criterion log(n)·free − 2·log-likelihood, in float64, n the sum of the weights of the observations."""
        total, rows, number = self._scores(x, weights, free)
        return float(np.log(rows)) * number - 2.0 * total

    def _scores(self, x: Any, weights: Any, free: int | None) -> tuple[float, float, int]:
        with float64_scope():
            x = jnp.asarray(np.asarray(x, np.float64))
            w = jnp.ones(len(x)) if weights is None else jnp.asarray(np.asarray(weights, np.float64))
            log_prob = self.log_prob(x)
            total = jnp.sum(jnp.where(w > 0, w * log_prob, 0.0))
            return float(total), float(jnp.sum(w)), self.free_parameters(self) if free is None else free


@jax.custom_jvp
def _root(d: Any, log_p: Array, log_q: Array) -> Array:
    """The quantile of a mixture of densities, between those of its components."""
    lower, upper = d._between(log_p, log_q)
    root, _ = bracketed(lambda x: d._beyond(x, log_p, log_q), lower, upper)
    return jnp.where(lower < upper, root, jnp.where(jnp.isnan(upper), jnp.nan, lower))


@_root.defjvp
def _root_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    """By the implicit function theorem."""
    d, log_p, log_q = primals
    x = _root(*primals)
    _, change = jax.jvp(lambda d, log_p, log_q: d._beyond(x, log_p, log_q), primals, tangents)
    slope = jnp.exp(d._log_density(x) - jnp.where(log_p <= log_q, d._log_cdf(x), d._log_sf(x)))
    return x, -change / slope


def _lifted(x: Array, rank: int) -> Array:
    return x.reshape((1,) * (rank - x.ndim) + x.shape)


def _filled(components: Any, batch: tuple[int, ...]) -> Any:
    """Every parameter in the full shape of the batch."""

    def fill(leaf: Any, meta: Any) -> Any:
        xp = jnp if isinstance(leaf, jax.Array) or is_traced(leaf) else np
        return xp.broadcast_to(leaf, batch + np.shape(leaf)[np.ndim(leaf) - meta["event_dim"] :])

    return map_parameters(fill, components)


def _stack(leaves: list[Any], axis: int) -> Any:
    xp = jnp if any(isinstance(leaf, jax.Array) for leaf in leaves) else np
    return xp.stack(leaves, axis=axis)
