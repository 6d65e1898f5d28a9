"""Integrals over the line of functions with two centres, such as the divergence between distributions of loc and scale.

The trapezoidal rule converges geometrically for analytic functions that decay at both ends (Trefethen & Weideman 2014, SIAM
Review 56, 385). What is left to choose is a coordinate t in which two densities of any widths, at any distance, are both smooth:

    t(x) = asinh z + asinh w,   z = (x − centre₁)/width₁,   w = (x − centre₂)/width₂,

linear within a width of either centre and logarithmic away from both, so that every scale gets its share of nodes. It is
inverted in closed form, for z and for w each to full relative accuracy.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import stop_gradient
from jax.typing import ArrayLike

from surprax.numerics.elementary import as_floats, by_dtype, expm1_minus

__all__ = ["divergence_on_nodes", "lift", "two_centre_nodes"]

_STRETCH = 24.0
"""Where t runs ahead of the equidistant τ: t = τ (1 + (τ/24)⁶) carries the rule far out in heavy tails, and not before."""


def _equidistant(step: float, end: float) -> tuple[np.ndarray, np.ndarray]:
    count = round(end / step)
    tau = step * np.arange(-count, count + 1)
    bend = (tau / _STRETCH) ** 6
    return tau * (1.0 + bend), step * (1.0 + 7.0 * bend)


# Nodes and weights in t. In float32 the ends, |x| ≈ 1e18, are what can be squared; in float64 they are at 1e67.
_NODES = (_equidistant(0.3, 27.0), _equidistant(0.16, 34.0))


def two_centre_nodes(ratio: ArrayLike, shift: ArrayLike) -> tuple[Array, Array, Array]:
    """Nodes for ∫ f dz over the line, where f depends on z and on w = ratio·z + shift: (z, w, weights), ∫ ≈ Σ weight·f(z, w).

    Shapes: ratio > 0 and shift are equal or scalar; the nodes are a new leading axis. Both z and w have full relative accuracy,
    also next to their zeros.

    >>> z, w, weight = two_centre_nodes(2.0, 1e3)
    >>> print(f"{jnp.sum(weight * jnp.exp(-w * w)) / jnp.sqrt(jnp.pi):.4f}")  # width 1/2 at z = −500
    0.5000
    """
    ratio, shift = jnp.broadcast_arrays(*as_floats(ratio, shift))
    ratio, shift = ratio[None], shift[None]
    t, weight = (jnp.asarray(v, ratio.dtype).reshape(-1, *[1] * (ratio.ndim - 1)) for v in by_dtype(ratio, *_NODES))
    log_ratio = jnp.log(ratio)
    # With z = sinh α and w = sinh β: α + β = t, and R sinh(φ − α) = shift for R e^±φ = ratio + e^±t.
    rise, fall = jnp.logaddexp(log_ratio, t), jnp.logaddexp(log_ratio, -t)
    lean = jnp.arcsinh(shift * jnp.exp(-0.5 * (rise + fall)))
    alpha = 0.5 * (rise - fall) - lean
    beta = 0.5 * (jnp.logaddexp(log_ratio + t, 0.0) - jnp.logaddexp(log_ratio - t, 0.0)) + lean
    z, w = jnp.sinh(alpha), jnp.sinh(beta)
    return z, w, weight / (1.0 / jnp.cosh(alpha) + ratio / jnp.cosh(beta))


def divergence_on_nodes(
    p: tuple[Array, Array, Array],
    q: tuple[Array, Array, Array],
    densities: Callable[[Array, Array, Array], tuple[Array, Array, Array]],
) -> Array:
    """KL(p‖q) = ∫ p (r − 1 − log r) dx with r = q/p: an integrand that is nowhere negative, so that nothing cancels as q → p.

    Args:
        p, q: (loc, scale, width) of each, of equal rank or scalar; `width` (in scales) is how far from its centre a density is
            analytic. A new leading axis is added to them.
        densities: (z, w, w − z) ↦ (log p + log p.scale, log q + log p.scale, log q/p) at z = (x − p.loc)/p.scale and
            w = (x − q.loc)/q.scale, each in the form that keeps its digits.

    The nodes do not move with the parameters: the derivative is ∫ (q − p) ∇log q − p log r ∇log p, term by term accurate too.
    """
    loc, scale, width = p
    q_loc, q_scale, q_width = q
    z, w, weight = two_centre_nodes(
        stop_gradient(scale * width / (q_scale * q_width)), stop_gradient((loc - q_loc) / (q_scale * q_width))
    )
    loc, scale, width, q_loc, q_scale, q_width = (lift(v) for v in (loc, scale, width, q_loc, q_scale, q_width))
    z, w, weight = (stop_gradient(v) for v in (width * z, q_width * w, width * weight))
    # The same numbers, as functions of the parameters at fixed x.
    z = ((stop_gradient(loc) - loc) + stop_gradient(scale) * z) / scale
    w = ((stop_gradient(q_loc) - q_loc) + stop_gradient(q_scale) * w) / q_scale
    difference = ((loc - q_loc) + z * (scale - q_scale)) / q_scale
    log_p, log_q, log_r = densities(z, w, difference)
    rescaled = jnp.log(stop_gradient(scale) / scale)
    p_x, q_x = jnp.exp(log_p + rescaled), jnp.exp(log_q + rescaled)
    above = log_r > 1.0
    near = p_x * expm1_minus(jnp.where(above, 0.0, log_r))
    return jnp.sum(weight * jnp.where(above, q_x - p_x * (1.0 + log_r), near), axis=0)


def lift(v: ArrayLike) -> Array:
    """`v` with a new leading axis, unless it is a scalar."""
    v = jnp.asarray(v)
    return v[None] if v.ndim else v
