"""The uniform–Pareto distribution: level up to a point, and a power law from there."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.families.base import Distribution, family
from surprax.families.lomax import Lomax
from surprax.families.parameters import parameter, positive, real
from surprax.families.supports import REAL, Support
from surprax.numerics.elementary import deviance, log_ratio, with_derivatives

__all__ = ["UniformPareto"]


@family
class UniformPareto(Distribution):
    """Uniform–Pareto distribution: a/((a + 1) scale) as density up to low + scale, and from there falling like (x − low)^−(a + 1).

    Args:
        low: left end, finite.
        scale: how far the density is level, positive.
        alpha: exponent a of the tail, positive.

    The law of the next observation from a Uniform(low, high) of known `low` whose width high − low is Pareto(scale, alpha). It is
    level with probability a/(a + 1); P(X > low + u) = (scale/u)^a/(a + 1) for u ≥ scale. Moments that do not exist are +inf, and
    so is KL to a q of greater `low`. Source: DeGroot (1970), Optimal statistical decisions, section 9.7.

    >>> d = UniformPareto(0.0, 2.0, 3.0)
    >>> print(f"{d.cdf(2.0):.3f} {d.sf(4.0):.5f}")  # 3/4 and 2⁻³/4
    0.750 0.03125
    """

    low: Any = parameter(real, default=0.0)
    scale: Any = parameter(positive, default=1.0)
    alpha: Any = parameter(positive, default=1.0)

    data_support = REAL
    smooth = False
    lacks = {
        "fit": "its likelihood has a peak in the scale at many an observation; Uniform and Pareto have fits of their own"
    }

    @property
    def support(self) -> Support:
        return Support(self.low)

    # Density.

    def _log_density(self, x: Array) -> Array:
        return _log_density(x - self.low, self.scale, self.alpha)

    # Moments.

    def _mean(self) -> Any:
        """Half the mean width."""
        exists = self.alpha > 1.0
        factor = self.alpha / jnp.where(exists, self.alpha - 1.0, 1.0)
        return jnp.where(exists, self.low + 0.5 * self.scale * factor, jnp.inf)

    def _variance(self) -> Any:
        """E W²/3 − (E W/2)² for the width W."""
        exists = self.alpha > 2.0
        a = jnp.where(exists, self.alpha, 3.0)
        return jnp.where(exists, self.scale**2 * (a / (a - 2.0)) * (1.0 + 3.0 / (a - 1.0) ** 2) / 12.0, jnp.inf)

    def _mode(self) -> Any:
        """All points of the level part are modes; this is the least."""
        return self.low

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        step = x - self.low
        level, tail = self._parts(step)
        level_share = level * (self.alpha / (self.alpha + 1.0))
        return jnp.where(step <= self.scale, jnp.log(level_share), jnp.log1p(-jnp.exp(tail)))

    def _log_sf(self, x: Array) -> Array:
        step = x - self.low
        level, tail = self._parts(step)
        return jnp.where(step <= self.scale, jnp.log1p(-level * (self.alpha / (self.alpha + 1.0))), tail)

    def _parts(self, step: Array) -> tuple[Array, Array]:
        """step/scale in the level part, and log P(X > low + step) beyond it; each at the end of its range elsewhere."""
        inside = step <= self.scale
        level = jnp.where(inside, step, self.scale) / self.scale
        beyond = log_ratio(jnp.where(inside, self.scale, step), self.scale)
        return level, -self.alpha * beyond - jnp.log1p(self.alpha)

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        far = log_q + jnp.log1p(self.alpha)  # ≤ 0 in the tail
        level = jnp.exp(log_p) * (1.0 + 1.0 / self.alpha)
        tail = jnp.exp(-jnp.minimum(far, 0.0) / self.alpha)
        return self.low + self.scale * jnp.where(far < 0, tail, jnp.minimum(level, 1.0))

    # Information.

    def _entropy(self) -> Any:
        return jnp.log(self.scale) + jnp.log1p(1.0 / self.alpha) + 1.0 / self.alpha

    def _kl(self, q: Self) -> Array:
        """∫ (p log(p/q) − p + q) over four stretches, each ≥ 0: where only q is, both level, one of them falling, both falling.

        In the last, p is Lomax from M on with scale M, where it begins, and q is so with M and the gap of the `low`s.
        """
        covered = jnp.isnan(self.low - q.low) | (self.low >= q.low)
        gap = jnp.where(covered, self.low - q.low, 0.0)
        return jnp.where(
            covered, _divergence(gap, *self._leaves()[1:], *q._leaves()[1:]), jnp.inf * self._finite * q._finite
        )

    @property
    def _finite(self) -> Any:
        """A positive number, or NaN where a parameter is."""
        return self.scale * self.alpha

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        place, width = jax.random.split(key)
        dtype = jnp.result_type(float)
        reach = self.scale * jnp.exp(jax.random.exponential(width, shape, dtype) / self.alpha)
        reach = jnp.minimum(reach, jnp.finfo(dtype).max)
        return jnp.minimum(self.low + reach * jax.random.uniform(place, shape, dtype), jnp.finfo(dtype).max)


def _falls(u: Array, s: Array) -> Array:
    return u > s


@with_derivatives(
    lambda u, s, a: jnp.where(_falls(u, s), -(a + 1.0) / u, 0.0),
    lambda u, s, a: jnp.where(_falls(u, s), a, -1.0) / s,
    lambda u, s, a: 1.0 / (a * (a + 1.0)) - jnp.where(_falls(u, s), log_ratio(u, s), 0.0),
)
def _log_density(u: Array, s: Array, a: Array) -> Array:
    """log of the density at low + u."""
    beyond = jnp.where(_falls(u, s), log_ratio(jnp.maximum(u, s), s), 0.0)
    level = jnp.where((s > 0) & (a > 0), log_ratio(a / (a + 1.0), s), jnp.nan)
    return jnp.where(u == u, level - (a + 1.0) * beyond, jnp.nan)


# Divergence. In a coordinate u from where the level part of the falling density begins, the falling one is F (u/u₁)^−(e + 1).

_NODES = np.polynomial.legendre.leggauss(16)


def _divergence(gap: Array, s: Array, a: Array, t: Array, c: Array) -> Array:
    """KL of UniformPareto(gap, s, a) to UniformPareto(0, t, c) for gap ≥ 0."""
    gap, s, a, t, c = jnp.broadcast_arrays(*(jnp.asarray(v) for v in (gap, s, a, t, c)))
    h, k = a / (a + 1.0) / s, c / (c + 1.0) / t
    end = t - gap  # of the level part of q, seen from p
    most = jnp.maximum(s, end)
    alone = jnp.where(gap <= t, k * gap, 1.0 - jnp.exp(_log_tail(jnp.maximum(gap, t), t, c)))
    level = jnp.maximum(jnp.minimum(s, end), 0.0) * deviance(h, k)
    p_falls = _against_level(s, most, h, k, a, log_ratio(h, k), falling_first=True)
    begin = jnp.maximum(t, gap)
    fallen = -(c + 1.0) * log_ratio(begin, t)
    end_there = jnp.maximum(s + gap, begin)
    q_falls = _against_level(begin, end_there, k * jnp.exp(fallen), h, c, log_ratio(k, h) + fallen, falling_first=False)
    p_tail, q_tail = _log_tail(most, s, a), _log_tail(most + gap, t, c)
    beyond = Lomax._of(concentration=a, scale=most)._kl(Lomax._of(concentration=c, scale=most + gap))
    tails = jnp.exp(p_tail) * beyond + _cost(jnp.exp(p_tail), jnp.exp(q_tail), p_tail - q_tail)
    return alone + level + p_falls + q_falls + tails


def _log_tail(u: Array, s: Array, a: Array) -> Array:
    """log P(X > low + u) for u ≥ s."""
    return -a * log_ratio(u, s) - jnp.log1p(a)


def _cost(p: Array, q: Array, log_p_over_q: Array) -> Array:
    """p log(p/q) − p + q, also where q underflows."""
    far = log_p_over_q > 1.0
    return jnp.where(far, p * (jnp.where(far, log_p_over_q, 1.0) - 1.0) + q, deviance(p, jnp.where(far, p, q)))


def _against_level(
    first: Array, last: Array, top: Array, level: Array, e: Array, ratio: Array, *, falling_first: bool
) -> Array:
    """∫ (f log(f/g) − f + g) du from `first` to `last`, where one of f and g falls from `top` and the other is `level`.

    `ratio` is log(top/level).

    In closed form, but of short stretches, where its terms cancel, by nodes in y = log(u/first).
    """
    long = log_ratio(last, first)
    short = (e + 1.0) * long < 1.0
    node, weight = (jnp.asarray(v.reshape(-1, *[1] * e.ndim), e.dtype) for v in _NODES)
    y = 0.5 * jnp.where(short, long, 0.0)[None] * (node + 1.0)
    falling = top[None] * jnp.exp(-(e[None] + 1.0) * y)
    both = (falling, level[None] * jnp.ones_like(y))
    logs = ratio[None] - (e[None] + 1.0) * y
    cost = _cost(*both, logs) if falling_first else _cost(*both[::-1], -logs)
    by_nodes = 0.5 * long * first * jnp.sum(weight * jnp.exp(y) * cost, axis=0)

    decay = jnp.exp(-e * long)
    mass, level_mass = -top * first * jnp.expm1(-e * long) / e, level * (last - first)
    if falling_first:
        mean_y = top * first * (1.0 - decay * (1.0 + e * long)) / e / e
        closed = (ratio - 1.0) * mass - (e + 1.0) * mean_y + level_mass
    else:
        mean_y = level * (last * (long - 1.0) + first)
        closed = -(ratio + 1.0) * level_mass + (e + 1.0) * mean_y + mass
    return jnp.where(short, by_nodes, closed)
