"""The density of a compound Poisson–gamma law at its own mean, log p(y | y, φ) = S(log t) − log y with t = y^(2−p)/φ.

The number of jumps j is Poisson of mean s = t/(2 − p) there, and their sum is gamma of shape j a, a = (2 − p)/(p − 1):

    S = ½ log a − log 2π + log Σ_{j≥1} exp(−(1 + a) D(j, s) − δ(j) − δ(j a)),      D(j, s) = j log(j/s) − j + s

where δ is what Stirling's formula leaves out. This is the series of Dunn & Smyth (2005) with nothing left in it that cancels. Terms
are summed around the peak j = s. Where the peak is wide, every h-th term times h will do: what that leaves out is
exp(−s/(1 + a)·(1 − cos(2π/h))) of the sum. Derivatives in log t are moments of j − s.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surprax.numerics.elementary import deviance
from surprax.numerics.gamma import stirling_error
from surprax.numerics.precision import float64_scope

__all__ = ["saturated_series"]

BELOW, TERMS = 40, 93
"""Terms before the peak, and in all: 9 standard deviations, and more above, where the tail is longer."""

LARGE = 1e7
"""t from which on 1 + p(p − 3)/(24 t) has all digits."""

SMALL, FEW = 0.05, 10
"""s up to which so many terms are enough."""

NODES = 16
NEAREST = 1.01
"""Powers from which on the function is tabulated, by Chebyshev polynomials on panels of log s."""


def _sums(power: float, log_t: Any, begin: Any, stride: Any, terms: int, peak: Any) -> tuple[Any, Any, Any]:
    """S, dS/d log t and d²S/d(log t)² by the terms begin, begin + stride, …"""
    q = 2.0 - power
    a = q / (power - 1.0)
    s = jnp.exp(log_t) / q

    def log_term(j: Any) -> Any:
        return -(1.0 + a) * deviance(j, s) - stirling_error(j) - stirling_error(j * a)

    top = log_term(peak)

    def add(k: Any, carry: Any) -> Any:
        j = begin + stride * k
        weight, gap = jnp.exp(log_term(j) - top), (1.0 + a) * (j - s)
        return carry[0] + weight, carry[1] + weight * gap, carry[2] + weight * gap**2

    zero = jnp.zeros_like(s)
    total, one, two = jax.lax.fori_loop(0, terms, add, (zero, zero, zero))
    mean = one / total
    value = 0.5 * np.log(a) - np.log(2.0 * np.pi) + top + jnp.log(stride * total)
    return value, mean, two / total - mean**2 - (1.0 + a) * s


@functools.partial(jax.jit, static_argnums=0)
def _direct(power: float, log_t: Any) -> tuple[Any, Any, Any]:
    """S and its derivatives by the series."""
    s = jnp.exp(log_t) / (2.0 - power)
    stride = jnp.maximum(1.0, jnp.floor(jnp.sqrt(s * (power - 1.0)) / 2.25))
    peak = jnp.maximum(1.0, jnp.round(s))
    begin = jnp.maximum(1.0, peak - BELOW * stride)
    return _sums(power, log_t, begin, stride, TERMS, peak)


def _largest(power: float) -> float:
    """t from which on the peak is wide, and its shape that of a few cumulants."""
    return max(LARGE, 100.0 * (2.0 - power) / (power - 1.0))


def _leading(power: float, log_t: Any) -> tuple[Any, Any, Any]:
    """The function for large t: the saddlepoint approximation and its first correction."""
    rest = power * (power - 3.0) / 24.0 * jnp.exp(-log_t)
    return 0.5 * (log_t - np.log(2.0 * np.pi)) + jnp.log1p(rest), 0.5 - rest, rest


@functools.cache
def _table(power: float) -> tuple[float, float, np.ndarray]:
    """Where panels of log t begin, their width, and coefficients (nodes, 3, panels) of S − ½ log(t/2π) and derivatives.

    The function is analytic in a strip of half-width π(p − 1) (the zeros of Wright's function lie on a ray): panels are a
    fraction of that, so that coefficients fall by a factor of 25 each.
    """
    width = min(0.25, 0.5 * (power - 1.0))
    low = float(np.log(SMALL * (2.0 - power)))
    panels = int(np.ceil((np.log(_largest(power)) - low) / width))
    angles = np.pi * (np.arange(NODES) + 0.5) / NODES
    at = low + width * (np.arange(panels)[:, None] + 0.5 + 0.5 * np.cos(angles))
    with float64_scope():
        value, first, second = (np.asarray(part) for part in _direct(power, jnp.asarray(at.ravel())))
    parts = np.stack([value - 0.5 * (at.ravel() - np.log(2.0 * np.pi)), first - 0.5, second])
    to_coefficients = np.cos(np.arange(NODES)[:, None] * angles) * (2.0 / NODES)
    to_coefficients[0] *= 0.5
    return low, width, np.moveaxis(parts.reshape(3, panels, NODES) @ to_coefficients.T, 2, 0)


def _tabulated(power: float, log_t: Any) -> tuple[Any, Any, Any]:
    low, width, coefficients = _table(power)
    place = (log_t - low) / width
    panel = jnp.clip(jnp.floor(place), 0, coefficients.shape[2] - 1)
    x = (2.0 * (place - panel) - 1.0)[None]
    table, panel = jnp.asarray(coefficients, log_t.dtype), panel.astype(int)

    def clenshaw(k: Any, carry: Any) -> Any:
        last, before = carry
        return jnp.take(table[NODES - 1 - k], panel, axis=1) + 2.0 * x * last - before, last

    zero = jnp.zeros((3, *jnp.shape(place)), log_t.dtype)
    last, before = jax.lax.fori_loop(0, NODES - 1, clenshaw, (zero, zero))
    value, first, second = jnp.take(table[0], panel, axis=1) + x * last - before
    return value + 0.5 * (log_t - np.log(2.0 * np.pi)), first + 0.5, second


@functools.partial(jax.jit, static_argnums=0)
def _all(power: float, log_t: Any) -> tuple[Any, Any, Any]:
    """S and its derivatives, each by the formula that is best there; 0 at t = 0, which is y = 0."""
    large = log_t > np.log(_largest(power))
    safe = jnp.where(large | (log_t == -jnp.inf), 0.0, log_t)
    if power < NEAREST:
        middle = _direct(power, safe)
    else:
        small = safe < np.log(SMALL * (2.0 - power))
        one = jnp.ones_like(safe)
        few = _sums(power, jnp.where(small, safe, -9.0), one, one, FEW, one)
        middle = tuple(jnp.where(small, f, m) for f, m in zip(few, _tabulated(power, safe)))
    far = _leading(power, jnp.where(large, log_t, np.log(LARGE)))
    value, first, second = (jnp.where(log_t == -jnp.inf, 0.0, jnp.where(large, f, m)) for f, m in zip(far, middle))
    return value, first, second


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def saturated_series(power: float, log_t: Any) -> Any:
    """S(log t) for 1 < power < 2, elementwise, in nats; 0 at −∞. Twice differentiable.

    >>> with float64_scope():
    ...     print(f"{saturated_series(1.5, jnp.asarray(0.0)):.10f}")
    -1.0286152203
    """
    return _all(power, log_t)[0]


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _slope(power: float, log_t: Any) -> Any:
    return _all(power, log_t)[1]


@saturated_series.defjvp
def _saturated_jvp(power: float, at: Any, along: Any) -> Any:
    return saturated_series(power, *at), _slope(power, *at) * along[0]


@_slope.defjvp
def _slope_jvp(power: float, at: Any, along: Any) -> Any:
    return _slope(power, *at), _all(power, *at)[2] * along[0]
