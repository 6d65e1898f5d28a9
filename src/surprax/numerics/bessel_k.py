"""Integrals of exp(p t − x cosh t), which are modified Bessel functions of the second kind, and of their tails.

About the peak of its integrand,

    2 K_p(x) = ∫ exp(p t − x cosh t) dt = exp(p t₀ − S) J(α, β),      S = √(p² + x²),  sinh t₀ = p/x,

    J(α, β) = ∫ exp(−α D(s) − β D(−s)) ds,      D(s) = exp(s) − 1 − s,  α = (S + p)/2,  β = (S − p)/2.

D is nowhere negative and so nothing here cancels, at any α, β > 0: J is close to √(2π/S) where S is large, and to the length of
a plateau from log β to −log α where both are small. It is summed by the trapezoidal rule in a coordinate that is linear around both
ends of that plateau (`two_centre_nodes`), which converges geometrically. The same nodes give every moment under that density of
s, hence ratios of Bessel functions, and derivatives in the order.
"""

import math

import jax.numpy as jnp
from jax import Array
from jax.lax import stop_gradient
from jax.typing import ArrayLike

from surprax.numerics.elementary import as_floats, expm1_minus, log_quotient, with_derivatives
from surprax.numerics.quadrature import two_centre_nodes

__all__ = ["log_bessel_k", "log_saddle_integral", "log_saddle_tail", "saddle_exponent", "saddle_nodes"]

_DROP = 3.0
"""Where an end of the plateau is, in units of the exponent: nodes are densest there."""


def _steep(log_size: Array, size: Array, s: Array) -> Array:
    """size·D(s), also where exp(s) overflows (and capped where the exponential of its negative is 0)."""
    near = s < 1.0
    limit = 0.9 * math.log(float(jnp.finfo(s.dtype).max))
    far = jnp.exp(jnp.minimum(log_size + jnp.where(near, 1.0, s), limit)) - size * (1.0 + s)
    return jnp.where(near, size * expm1_minus(jnp.where(near, s, 1.0)), far)


def _plateau_nodes(upper: Array, lower: Array, log_upper: Array, log_lower: Array) -> tuple[Array, Array]:
    """Nodes s for ∫ exp(−α D(s) − β D(−s)) ds and their weights; the parameters do not move them."""
    upper, lower, log_upper, log_lower = (stop_gradient(v) for v in (upper, lower, log_upper, log_lower))
    right = jnp.logaddexp(0.0, math.log(_DROP) - log_upper)
    left = -jnp.logaddexp(0.0, math.log(_DROP) - log_lower)
    width, other = 1.0 / jnp.sqrt(1.0 + upper), 1.0 / jnp.sqrt(1.0 + lower)
    z, w, weight = two_centre_nodes(width / other, (right - left) / other, far=False)
    from_right, from_left = width[None] * z, other[None] * w
    # from the nearer end, so that a narrow peak there is not blurred by the distance of the other
    s = jnp.where(from_left < -from_right, left[None] + from_left, right[None] + from_right)
    return stop_gradient(s), stop_gradient(width[None] * weight)


def saddle_exponent(s: Array, upper: Array, lower: Array) -> Array:
    """upper·D(s) + lower·D(−s), for positive upper and lower and any s."""
    return _exponent(s, upper, lower, jnp.log(upper), jnp.log(lower))


def _exponent(s: Array, upper: Array, lower: Array, log_upper: Array, log_lower: Array) -> Array:
    return _steep(log_upper, upper, s) + _steep(log_lower, lower, -s)


def saddle_nodes(upper: Array, lower: Array) -> tuple[Array, Array]:
    """Points s and weights with ∫ f(s) exp(−α D(s) − β D(−s)) ds ≈ Σ weight·f(s), at α = upper and β = lower.

    Shapes: upper, lower > 0 are of one shape; the nodes are a new leading axis. Points stay where they are as the parameters
    move, so that derivatives of such a sum are sums of derivatives.
    """
    s, weight = _plateau_nodes(upper, lower, jnp.log(upper), jnp.log(lower))
    return s, weight * jnp.exp(-saddle_exponent(s, upper[None], lower[None]))


def log_saddle_integral(upper: ArrayLike, lower: ArrayLike) -> Array:
    """log ∫ exp(−upper·D(s) − lower·D(−s)) ds over the line, D(s) = exp(s) − 1 − s.

    Shapes: upper and lower broadcast. Domain: both positive; NaN elsewhere. It is that of Γ(α) e^α/α^α in the limit of lower = 0.

    >>> import math
    >>> print(f"{log_saddle_integral(2.0, 1e-30) - (2 - 2 * math.log(2)):.4f}")
    0.0000
    """
    upper, lower = jnp.broadcast_arrays(*as_floats(upper, lower))
    _, density = saddle_nodes(upper, lower)
    return jnp.where((upper > 0) & (lower > 0), jnp.log(jnp.sum(density, axis=0)), jnp.nan)


def log_saddle_tail(upper: ArrayLike, lower: ArrayLike, cut: ArrayLike) -> Array:
    """log ∫ exp(−upper·D(s) − lower·D(−s)) ds from cut ≥ 0 to ∞, to full relative accuracy however far out.

    From the cut on, at s = cut + u, the exponent grows by α e^cut D(u) + β e^−cut D(−u) + g·u, with its slope g ≥ 0 at the cut; and
    u = λ log(1 + exp z), λ a length over which it grows by about 1, makes an integral over the line of it.

    Shapes: equal or scalar. Domain: upper, lower > 0, cut ≥ 0; the lower tail is that with upper and lower exchanged.

    >>> print(f"{log_saddle_tail(3.0, 3.0, 0.0) - log_saddle_integral(3.0, 3.0) + jnp.log(2.0):.4f}")
    0.0000
    """
    upper, lower, cut = jnp.broadcast_arrays(*as_floats(upper, lower, cut))
    # Far out even the exponent overflows; the density there is 0.
    log_a = jnp.minimum(jnp.log(upper) + cut, 0.5 * math.log(float(jnp.finfo(cut.dtype).max)))
    a, b = jnp.exp(log_a), lower * jnp.exp(-cut)
    slope = -upper * jnp.expm1(-cut) * jnp.exp(log_a - jnp.log(upper)) - lower * jnp.expm1(-cut)
    level = _steep(jnp.log(upper), upper, cut) + lower * expm1_minus(-cut)

    size = 1.0 / jnp.sqrt(1.0 + a + b + jnp.minimum(slope, jnp.sqrt(jnp.finfo(cut.dtype).max)) ** 2)
    edge, width = jnp.logaddexp(0.0, math.log(_DROP) - log_a), 1.0 / jnp.sqrt(1.0 + a)
    size, edge, width = (stop_gradient(v) for v in (size, edge, width))
    z, _, weight = two_centre_nodes(size / width, -edge / width, far=False)
    u = size[None] * jnp.logaddexp(z, 0.0)
    weight = size[None] * weight / (1.0 + jnp.exp(-jnp.maximum(z, -80.0)))
    growth = _steep(log_a[None], a[None], u) + b[None] * expm1_minus(-u) + slope[None] * u
    return jnp.log(jnp.sum(weight * jnp.exp(-growth), axis=0)) - level


def _saddle_of_k(order: Array, x: Array) -> tuple[Array, ...]:
    """t₀ ≥ 0, S, and α, β, log α, log β for |order|."""
    p = jnp.abs(order)
    near = p < x
    top = jnp.hypot(p, x)
    peak = jnp.where(near, jnp.arcsinh(jnp.where(near, p, 0.0) / x), log_quotient(p + top, x))
    upper = 0.5 * (top + p)
    log_upper = jnp.log(upper)
    # β = x²/4α, which may underflow
    return peak, top, upper, 0.5 * x * (0.5 * x / upper), log_upper, log_upper - 2.0 * peak


def _density_of_k(order: Array, x: Array) -> tuple[Array, Array, Array, Array]:
    """t, x cosh t and probabilities of nodes under exp(|order| t − x cosh t), and log 2K."""
    peak, top, *sides = _saddle_of_k(*jnp.broadcast_arrays(order, x))
    s, weight = _plateau_nodes(*sides)
    _, _, log_upper, log_lower = lifted = [side[None] for side in sides]
    weight = weight * jnp.exp(-_exponent(s, *lifted))
    total = jnp.sum(weight, axis=0)
    energy = jnp.exp(log_upper + s) + jnp.exp(log_lower - s)
    return peak[None] + s, energy, weight / total[None], (jnp.abs(order) * peak - top) + jnp.log(total)


def _slope_in_order(order: Array, x: Array) -> Array:
    """E t; where it is small beside the spread of t in the form E t·tanh(vt), whose terms are all positive."""
    t, _, probability, _ = _density_of_k(order, x)
    order = order * jnp.ones_like(t[0])[None]
    even = order * order * jnp.sum(probability * t * t, axis=0)[None] < 0.25
    symmetric = t * jnp.tanh(jnp.where(even, order, 0.0) * t)
    return jnp.sum(probability * jnp.where(even, symmetric, jnp.sign(order) * t), axis=0)


def _slope_in_x(order: Array, x: Array) -> Array:
    """−E cosh t = −(K_{v−1} + K_{v+1})/2K_v."""
    _, energy, probability, _ = _density_of_k(order, x)
    return -jnp.sum(jnp.where(probability > 0, probability * energy, 0.0), axis=0) / x


@with_derivatives(_slope_in_order, _slope_in_x)
def log_bessel_k(order: Array, x: Array) -> Array:
    """log K_v(x), the modified Bessel function of the second kind, in nats; v is the real order, of any sign.

    Shapes: order and x broadcast. Domain: x > 0; ∞ at 0, −∞ at ∞, NaN below 0. Derivatives in both. Source: DLMF 10.32.9.

    >>> import jax, math
    >>> print(f"{log_bessel_k(0.5, 2.0) - (0.5 * math.log(math.pi / 4) - 2):.4f}")  # K_½ = √(π/2x) exp(−x)
    0.0000
    >>> print(f"{jax.grad(log_bessel_k)(0.0, 1.0):.1f}")  # even in the order
    0.0
    """
    inside = (x > 0) & (x < jnp.inf)
    value = _density_of_k(order, jnp.where(inside, x, 1.0))[-1] - math.log(2.0)
    return jnp.where(inside, value, jnp.where(x == 0, jnp.inf, jnp.where(x == jnp.inf, -jnp.inf, jnp.nan)))
