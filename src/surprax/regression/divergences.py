"""Deviances of laws of two parameters, with their digits where a response is near its mean."""

import jax.numpy as jnp
from jax import Array

from surprax.numerics.elementary import log1p_minus, with_derivatives

__all__ = ["negative_binomial_divergence"]


def _odds(y: Array, mu: Array, r: Array) -> Array:
    """t = (y − μ)/μ · r/(y + r), of which 1 + t is the ratio of odds y/r and μ/r of shares y/(y + r) and μ/(μ + r)."""
    return jnp.where(y == 0, -1.0, (y - mu) / mu) * (r / (y + r))


def _in_mean(y: Array, mu: Array, r: Array) -> Array:
    return -jnp.where(y == 0, -1.0, (y - mu) / mu) * (r / (mu + r))


def _in_concentration(y: Array, mu: Array, r: Array) -> Array:
    gap = y - mu
    s = gap / (mu + r)
    return jnp.where(s > -0.5, -log1p_minus(s), s + jnp.log1p(-gap / (y + r)))


@with_derivatives(lambda y, mu, r: jnp.log1p(_odds(y, mu, r)), _in_mean, _in_concentration)
def negative_binomial_divergence(y: Array, mu: Array, r: Array) -> Array:
    """Half the deviance y log(y/μ) − (y + r) log((y + r)/(μ + r)) ≥ 0, to nearly full relative accuracy.

    Shapes: broadcast. Domain: y ≥ 0, μ > 0, r > 0. With t = (y − μ)/μ · r/(y + r) and s = (y − μ)/(μ + r) it is
    (y − μ)²/μ · r/(y + r) · r/(μ + r) + y (log(1 + t) − t) − r (log(1 + s) − s): of terms of its own size where t and s are small.

    >>> print(f"{negative_binomial_divergence(1e4, 1e4 + 1, 1e20):.4e}, {negative_binomial_divergence(0.0, 3.0, 3.0):.4f}")
    4.9997e-05, 2.0794
    """
    gap, t = y - mu, _odds(y, mu, r)
    s = gap / (mu + r)
    square = jnp.square(gap) / mu * (r / (y + r)) * (r / (mu + r))
    near = square + y * log1p_minus(t) - r * log1p_minus(s)
    log_total = jnp.where(gap < 0, -jnp.log1p(-gap / (y + r)), jnp.log1p(s))
    far = jnp.where(y == 0, 0.0, y * jnp.log1p(jnp.where(y == 0, 0.0, t))) - r * log_total
    return jnp.where((jnp.abs(t) <= 0.5) & (jnp.abs(s) <= 0.5), near, far)
