"""The double Lomax distribution: Lomax to both sides."""

import math
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.families.base import Distribution, family
from surprax.families.lomax import Lomax
from surprax.families.parameters import parameter, positive, real
from surprax.families.supports import REAL
from surprax.numerics.elementary import by_dtype, expm1_minus, log_ratio

__all__ = ["DoubleLomax"]

_LOG_2 = math.log(2.0)


@family
class DoubleLomax(Distribution):
    """Double Lomax distribution: |X − loc| is Lomax(concentration, scale), with surprise

        s(x) = (c + 1) log(1 + |x − loc|/scale) − log(c/(2 scale)).

    Args:
        loc: median and mode, finite.
        concentration: exponent c of both tails, positive.
        scale: positive.

    The law of the next observation from a Laplace(loc, scale) whose scale is InverseGamma(concentration, scale); Laplace
    itself as c and scale grow together. Moments that do not exist are +inf, or NaN where they are differences of infinities.
    KL is a closed form of Lomax divergences outside the two locs, and an integral between them. Source: Bindu & Sangita
    (2015), Statistica 75, 331.

    >>> d = DoubleLomax(1.0, 3.0, 2.0)
    >>> print(f"{d.sf(3.0):.4f} {d.cdf(-1.0):.4f}")  # 2⁻³/2
    0.0625 0.0625
    """

    loc: Any = parameter(real, default=0.0)
    concentration: Any = parameter(positive, default=1.0)
    scale: Any = parameter(positive, default=1.0)

    data_support = REAL
    smooth = False
    lacks = {
        "fit": "its likelihood has a peak in loc at every observation; of a known loc, Lomax.fit(abs(x - loc)) fits the rest"
    }

    @property
    def _distance(self) -> Lomax:
        """The law of |X − loc|."""
        return Lomax._of(concentration=self.concentration, scale=self.scale)

    # Density.

    def _log_density(self, x: Array) -> Array:
        return self._distance._log_density(jnp.abs(x - self.loc)) - _LOG_2

    # Moments.

    def _mean(self) -> Any:
        return jnp.where(self.concentration > 1.0, self.loc, jnp.nan)

    def _variance(self) -> Any:
        c = self.concentration
        two = c > 2.0
        safe = jnp.where(two, c, 3.0)
        finite = 2.0 * (self.scale / (safe - 1.0)) * (self.scale / (safe - 2.0))
        return jnp.where(two, finite, jnp.where(c > 1.0, jnp.inf, jnp.nan) * self.scale)

    def _mode(self) -> Any:
        return self.loc

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return self._log_below(x - self.loc)

    def _log_sf(self, x: Array) -> Array:
        return self._log_below(self.loc - x)

    def _log_below(self, step: Array) -> Array:
        """log P(X ≤ loc + step): half of a Lomax tail to the left, its complement to the right."""
        left = step < 0
        tail = self._distance._log_sf(jnp.abs(step)) - _LOG_2
        return jnp.where(left, tail, jnp.log1p(-jnp.exp(jnp.where(left, -_LOG_2, tail))))

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        growth = -jnp.minimum(jnp.minimum(log_p, log_q) + _LOG_2, 0.0) / self.concentration
        size = self.scale * jnp.expm1(growth)
        return self.loc + jnp.where(log_p < log_q, -size, size)

    # Information.

    def _entropy(self) -> Any:
        return self._distance._entropy() + _LOG_2

    def _kl(self, q: Self) -> Array:
        """∫ (p log(p/q) − p + q) over the two sides of both locs and the stretch between them: three parts, each ≥ 0.

        Seen from the far loc, each density outside is a Lomax again, of a scale that is greater by the gap of the locs.
        """
        shift = self.loc - q.loc
        gap = jnp.where(shift < 0, -shift, shift)  # not `abs`, whose slope 0 at 0 would hide the curvature there
        a, b = self._distance, q._distance
        p_beyond, q_beyond = (Lomax._of(concentration=d.concentration, scale=d.scale + gap) for d in (a, b))
        before = a._kl(q_beyond) + expm1_minus(b._log_sf(gap))
        surprise = -a._log_sf(gap)
        share = jnp.exp(-surprise)
        few = surprise < 1.0
        lost = jnp.where(few, share * expm1_minus(jnp.where(few, surprise, 0.0)), 1.0 - share * (1.0 + surprise))
        after = share * p_beyond._kl(b) + lost
        return 0.5 * (before + after + _between(gap, *a._leaves(), *b._leaves()))

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        sign, size = jax.random.split(key)
        step = self._distance._sample(size, shape)
        most = jnp.finfo(step.dtype).max
        return jnp.clip(self.loc + jax.random.rademacher(sign, shape, step.dtype) * step, -most, most)


# Divergence between the locs. There p falls from the one and q from the other, over distances u = scale/(c + 1) and v that may have
# any ratio to the gap. In t = log(1 + y/u) − log(1 + (gap − y)/v) both are smooth, and y is a ratio of exponentials of t.

_NODES = np.polynomial.legendre.leggauss(96), np.polynomial.legendre.leggauss(384)


def _between(gap: Array, a: Array, b: Array, c: Array, d: Array) -> Array:
    """∫ (p log(p/q) − p + q) dy over 0 < y < gap, for p = Lomax(a, b) at y and q = Lomax(c, d) at gap − y."""
    gap, a, b, c, d = (w[None] for w in jnp.broadcast_arrays(*(jnp.asarray(v) for v in (gap, a, b, c, d))))
    node, weight = (jnp.asarray(v.reshape(-1, *[1] * (gap.ndim - 1)), gap.dtype) for v in by_dtype(gap, *_NODES))
    u, v = b / (a + 1.0), d / (c + 1.0)
    up, down = (-Lomax._of(concentration=jnp.ones_like(w), scale=w)._log_sf(gap) for w in (u, v))
    half = 0.5 * (up + down)
    # Of the whole u + gap + v, the part u + y is the share σ(t + log(u/v)).
    place = half * node + 0.5 * (up - down) + log_ratio(u, v)
    share, rest, whole = jax.nn.sigmoid(place), jax.nn.sigmoid(-place), u + gap + v
    log_p = Lomax._of(concentration=a, scale=b)._log_density(jnp.maximum(whole * share - u, 0.0))
    log_q = Lomax._of(concentration=c, scale=d)._log_density(jnp.maximum(whole * rest - v, 0.0))
    log_r, p = log_q - log_p, jnp.exp(log_p)
    above = log_r > 1.0
    near = p * expm1_minus(jnp.where(above, 0.0, log_r))
    excess = jnp.where(above, jnp.exp(log_q) - p * (1.0 + log_r), near)
    return jnp.sum(half * weight * whole * share * rest * excess, axis=0)
