"""Integrals over the line of functions with two centres, such as the divergence between distributions of loc and scale.

The trapezoidal rule converges geometrically for analytic functions that decay at both ends (Trefethen & Weideman 2014, SIAM
Review 56, 385). What is left to choose is a coordinate t in which two densities of any widths, at any distance, are both smooth:

    t(x) = asinh z + asinh w,   z = (x − centre₁)/width₁,   w = (x − centre₂)/width₂,

linear within a width of either centre and logarithmic away from both, so that every scale gets its share of nodes. It is
inverted in closed form, for z and for w each to full relative accuracy.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import stop_gradient
from jax.typing import ArrayLike

from surprax.numerics.elementary import as_floats, by_dtype, expm1_minus, log_ratio

__all__ = ["Located", "divergence_on_nodes", "two_centre_nodes"]

_STRETCH = 24.0
"""Where t runs ahead of the equidistant τ: t = τ (1 + (τ/24)⁶) carries the rule far out in heavy tails, and not before."""


def _equidistant(step: float, end: float) -> tuple[np.ndarray, np.ndarray]:
    count = round(end / step)
    tau = step * np.arange(-count, count + 1)
    bend = (tau / _STRETCH) ** 6
    return tau * (1.0 + bend), step * (1.0 + 7.0 * bend)


# Nodes and weights in t. In float32 the ends, |x| ≈ 1e18, are what can be squared; in float64 they are at 1e67.
_NODES = (_equidistant(0.3, 27.0), _equidistant(0.16, 34.0))
_NEAR_NODES = (_equidistant(0.25, 10.0), _equidistant(0.1, 12.0))


def two_centre_nodes(ratio: ArrayLike, shift: ArrayLike, far: bool = True) -> tuple[Array, Array, Array]:
    """Nodes for ∫ f dz over the line, where f depends on z and on w = ratio·z + shift: (z, w, weights), ∫ ≈ Σ weight·f(z, w).

    Shapes: ratio > 0 and shift are equal or scalar; the nodes are a new leading axis. Both z and w have full relative accuracy,
    also next to their zeros. Integrands that are gone some fifty widths outside the two centres, so that no node is needed
    `far` from them, get by with half the nodes, and those closer together.

    >>> z, w, weight = two_centre_nodes(2.0, 1e3)
    >>> print(f"{jnp.sum(weight * jnp.exp(-w * w)) / jnp.sqrt(jnp.pi):.4f}")  # width 1/2 at z = −500
    0.5000
    """
    ratio, shift = jnp.broadcast_arrays(*as_floats(ratio, shift))
    ratio, shift = ratio[None], shift[None]
    rule = by_dtype(ratio, *(_NODES if far else _NEAR_NODES))
    t, weight = (jnp.asarray(v, ratio.dtype).reshape(-1, *[1] * (ratio.ndim - 1)) for v in rule)
    log_ratio = jnp.log(ratio)
    # With z = sinh α and w = sinh β: α + β = t, and R sinh(φ − α) = shift for R e^±φ = ratio + e^±t.
    rise, fall = jnp.logaddexp(log_ratio, t), jnp.logaddexp(log_ratio, -t)
    lean = jnp.arcsinh(shift * jnp.exp(-0.5 * (rise + fall)))
    alpha = 0.5 * (rise - fall) - lean
    beta = 0.5 * (jnp.logaddexp(log_ratio + t, 0.0) - jnp.logaddexp(log_ratio - t, 0.0)) + lean
    z, w = jnp.sinh(alpha), jnp.sinh(beta)
    return z, w, weight / (1.0 / jnp.cosh(alpha) + ratio / jnp.cosh(beta))


class Located(NamedTuple):
    """A family of densities with loc and scale (and other parameters, `shapes`), for `divergence_on_nodes`.

    Attributes:
        width: (*shapes) ↦ how many scales from its centre the density is analytic, or spread out, whichever is less.
        log_standard: (z, *shapes) ↦ log density at loc 0 and scale 1.
        log_ratio: (z, w, w − z, log(scale/q.scale), shapes, q_shapes) ↦ log q/p where x is at z under p and at w under q: in a
            form that keeps its digits where the two are close.
    """

    width: Callable[..., Any]
    log_standard: Callable[..., Array]
    log_ratio: Callable[..., Array]


type _Leaves = tuple[Array, ...]


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def divergence_on_nodes(family: Located, p: _Leaves, q: _Leaves) -> Array:
    """KL(p‖q) = ∫ p (r − 1 − log r) dx with r = q/p: an integrand that is nowhere negative, so that nothing cancels as q → p.

    Shapes: p and q are (loc, scale, *shapes), arrays of one shape. The derivative, ∫ (q − p) ∂log q − p log r ∂log p, is summed on
    the same nodes, and does not cancel either.
    """
    weight, p_x, q_x, log_r = _on_nodes(family, p, q)[0]
    above = log_r > 1.0
    near = p_x * expm1_minus(jnp.where(above, 0.0, log_r))
    return jnp.sum(weight * jnp.where(above, q_x - p_x * (1.0 + log_r), near), axis=0)


@divergence_on_nodes.defjvp
def _(family: Located, primals: tuple[_Leaves, _Leaves], tangents: tuple[_Leaves, _Leaves]) -> tuple[Array, Array]:
    (weight, p_x, q_x, log_r), log_densities = _on_nodes(family, *primals)
    (_, dlog_p), (_, dlog_q) = (jax.jvp(f, v, dv) for f, v, dv in zip(log_densities, primals, tangents))
    above = log_r > 1.0
    excess = jnp.where(above, q_x - p_x, p_x * jnp.expm1(jnp.where(above, 0.0, log_r)))
    slope = jnp.sum(weight * (excess * dlog_q - p_x * log_r * dlog_p), axis=0)
    return divergence_on_nodes(family, *primals), slope


def _on_nodes(family: Located, p: _Leaves, q: _Leaves) -> tuple[tuple[Array, ...], tuple[Callable[..., Array], ...]]:
    """(weights, p, q, log q/p) at the nodes, and the two log-densities there as functions of (loc, scale, *shapes)."""
    (loc, scale, *shapes), (q_loc, q_scale, *q_shapes) = (tuple(leaf[None] for leaf in leaves) for leaves in (p, q))
    width, q_width = (family.width(*v) * jnp.ones_like(s) for v, s in ((shapes, scale), (q_shapes, q_scale)))
    # The nodes stay where they are as the parameters move.
    ratio, shift = scale * width / (q_scale * q_width), (loc - q_loc) / (q_scale * q_width)
    z, w, weight = two_centre_nodes(stop_gradient(ratio)[0], stop_gradient(shift)[0])
    z, w, weight = (stop_gradient(v) for v in (width * z, q_width * w, width * weight))

    def at(leaves: _Leaves, z: Array) -> Array:
        loc, scale, *shapes = (v[None] for v in leaves)
        # z itself, but as a function of the parameters at fixed x
        z = ((stop_gradient(loc) - loc) + stop_gradient(scale) * z) / scale
        return family.log_standard(z, *shapes) + jnp.log(stop_gradient(scale) / scale)

    log_densities = (lambda *leaves: at(leaves, z)), (lambda *leaves: at(leaves, w))
    z = ((stop_gradient(loc) - loc) + stop_gradient(scale) * z) / scale
    w = ((stop_gradient(q_loc) - q_loc) + stop_gradient(q_scale) * w) / q_scale
    difference = ((loc - q_loc) + z * (scale - q_scale)) / q_scale
    change = log_ratio(scale, q_scale)
    log_r = family.log_ratio(z, w, difference, change, tuple(shapes), tuple(q_shapes))
    p_x = jnp.exp(family.log_standard(z, *shapes) + jnp.log(stop_gradient(scale) / scale))
    q_x = jnp.exp(family.log_standard(w, *q_shapes) + change + jnp.log(stop_gradient(scale) / scale))
    return (weight, p_x, q_x, log_r), log_densities
