"""The density of a direction that is off a direction that is off its mean: two von Mises–Fisher distributions convolved.

Around a mean μ with concentration a, then around what came of that with b, the density at x in proportion to the uniform one is

    exp(H_v(r) − H_v(a) − H_v(b)),   r = ‖aμ + bx‖ = √((a − b)² + 2ab(1 + μ·x)),   H_v(k) = log [Γ(v + 1) (2/k)^v I_v(k)],

since H is the log-normaliser. With H_v(k) = k + L_v(k) (`surprax.numerics.bessel`) and c = 1 − μ·x this is

    L(r) − L(a) − L(b) − 2abc/(a + b + r),

in which nothing large is subtracted.
"""

import jax.numpy as jnp
from jax import Array

from surprax.numerics.bessel import bessel_ratio, bessel_ratio_complement, log_scaled_bessel_i
from surprax.numerics.elementary import with_derivatives

__all__ = ["log_bessel_convolution"]


def _radius(a: Array, b: Array, c: Array) -> Array:
    square = (a - b) ** 2 + 2.0 * a * b * (2.0 - c)
    some = square > 0
    return jnp.where(some, jnp.sqrt(jnp.where(some, square, 1.0)), 0.0)


def _ratio_over(v: Array, r: Array) -> Array:
    """A(r)/r, which is 1/(2v + 2) at 0."""
    some = r > 0
    safe = jnp.where(some, r, 1.0)
    return jnp.where(some, bessel_ratio(v, safe) / safe, 0.5 / (v + 1.0))


def _in_order(v: Array, a: Array, b: Array, c: Array) -> Array:
    return jnp.full_like(v + a + b + c, jnp.nan)


def _in_concentration(v: Array, a: Array, b: Array, c: Array) -> Array:
    """A(r) m/r − A(a) with m = r·∂r/∂a = a + b − bc; where r is large both are near 1, and m − r comes without a difference."""
    v, a, b, c = jnp.broadcast_arrays(v, a, b, c)
    r, m = _radius(a, b, c), a + b * (1.0 - c)
    far = r >= 1.0
    near = _ratio_over(v, jnp.where(far, 0.5, r)) * m - bessel_ratio(v, a)
    total = jnp.where(far, a + b + r, 1.0)
    greater = a > b
    # a − b − r, for which r² = (a − b)² + 2ab(2 − c)
    short = jnp.where(greater, -2.0 * a * b * (2.0 - c) / jnp.where(greater, r + a - b, 1.0), a - b - r)
    safe = jnp.where(far, r, 1.0)
    beyond = b * c * short / (total * safe)
    return jnp.where(far, beyond + bessel_ratio_complement(v, a) - bessel_ratio_complement(v, safe) * (m / safe), near)


def _in_cosine(v: Array, a: Array, b: Array, c: Array) -> Array:
    return -a * b * _ratio_over(v, _radius(a, b, c))


@with_derivatives(_in_order, _in_concentration, lambda v, a, b, c: _in_concentration(v, b, a, c), _in_cosine)
def log_bessel_convolution(order: Array, a: Array, b: Array, c: Array) -> Array:
    """log of the density of two convolved von Mises–Fisher distributions over the uniform one, in nats.

    Shapes: broadcast. Domain: order v ≥ 0 in 2v + 2 dimensions, concentrations a, b ≥ 0, and c = 1 − cosine of the angle to the
    mean, from 0 to 2. Source: Mardia & Jupp (2000), Directional Statistics, equation 3.5.44.

    >>> print(f"{log_bessel_convolution(0.0, 3.0, 0.0, 0.4):.4f}")  # uniform noise
    0.0000
    """
    order, a, b, c = jnp.broadcast_arrays(order, a, b, c)
    r = _radius(a, b, c)
    total = a + b + r
    some = total > 0
    drop = jnp.where(some, 2.0 * a * (b * c) / jnp.where(some, total, 1.0), 0.0)
    level = log_scaled_bessel_i(order, a) + log_scaled_bessel_i(order, b)
    value = log_scaled_bessel_i(order, r) - level - drop
    return jnp.where((a >= 0) & (b >= 0), value, jnp.nan)
