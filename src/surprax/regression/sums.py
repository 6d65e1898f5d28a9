"""Sums over rows that a fit needs: surprise, its slope and curvature in the linear predictor, by programs compiled once per law."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surprax.numerics.precision import float64_scope
from surprax.regression.links import Link
from surprax.regression.responses import Dispersed, Response, Shaped
from surprax.regression.rows import Rows

__all__ = ["ByRow", "by_row", "means", "two_slopes"]


@dataclass(frozen=True)
class ByRow:
    """Of each row, with its weight and precision in all of them (dispersion 1); derivatives in η, and in a = log extra.

    Attributes:
        value: Σ surprise, or half the deviance less its constant.
        slope, curvature, expected: ∂, ∂² and the mean of ∂² under the law, shapes (n,).
        mixed: ∂²/∂η∂a, shape (n,); None where the law has one parameter.
        in_extra: Σ ∂/∂a and Σ ∂²/∂a².
    """

    value: float
    slope: np.ndarray
    curvature: np.ndarray
    expected: np.ndarray
    mixed: np.ndarray | None = None
    in_extra: tuple[float, float] = (0.0, 0.0)


def two_slopes(f: Callable[[Any], Any], at: Any) -> tuple[Any, Any, Any]:
    """f, f′ and f″ of a function that works element by element."""
    one = jnp.ones_like(at)

    def slope(x: Any) -> Any:
        return jax.jvp(f, (x,), (one,))

    (value, first), (_, second) = jax.jvp(slope, (at,), (one,))
    return value, first, second


@functools.cache
def _program(response: Response, link: Link) -> Any:
    if isinstance(response, Dispersed):

        @jax.jit
        def dispersed(y: Any, w: Any, eta: Any) -> Any:
            value, first, second = two_slopes(lambda eta: response.kernel(y, eta, link), eta)
            mu, steep = jax.jvp(link.inverse, (eta,), (jnp.ones_like(eta),))
            expected = w * steep**2 / response.variance(mu)
            live = w > 0
            return (jnp.sum(jnp.where(live, w * value, 0.0)), *(jnp.where(live, w * d, 0.0) for d in (first, second)),
                    jnp.where(live, expected, 0.0))  # fmt: skip

        return dispersed
    assert isinstance(response, Shaped)

    @jax.jit
    def shaped(y: Any, w: Any, eta: Any, log_extra: Any) -> Any:
        def surprise(eta: Any, a: Any) -> Any:
            return response.surprise(y, eta, link, a)

        a, one = jnp.broadcast_to(log_extra, jnp.shape(eta)), jnp.ones_like(eta)
        value, first, second = two_slopes(lambda eta: surprise(eta, a), eta)
        _, in_a, twice_a = two_slopes(lambda a: surprise(eta, a), a)
        mixed = jax.jvp(lambda a: jax.jvp(lambda eta: surprise(eta, a), (eta,), (one,))[1], (a,), (one,))[1]
        mu, steep = jax.jvp(link.inverse, (eta,), (one,))
        live = w > 0
        known = steep**2 * response.information(mu, log_extra)
        sums = [jnp.sum(jnp.where(live, w * d, 0.0)) for d in (value, in_a, twice_a)]
        return (*sums, *(jnp.where(live, w * d, 0.0) for d in (first, second, known, mixed)))

    return shaped


def by_row(rows: Rows, response: Response, link: Link, eta: np.ndarray, log_extra: float = 0.0) -> ByRow:
    """Value and derivatives of each row at its linear predictor."""
    y, w = rows.filled
    n = rows.n
    with float64_scope():
        if isinstance(response, Dispersed):
            value, *three = _program(response, link)(y, w, rows.fill(eta))
            slope, curvature, expected = (np.asarray(part)[:n] for part in three)
            return ByRow(float(value), slope, curvature, expected)
        value, in_a, twice_a, *four = _program(response, link)(y, w, rows.fill(eta), jnp.asarray(log_extra))
        slope, curvature, expected, mixed = (np.asarray(part)[:n] for part in four)
    return ByRow(float(value), slope, curvature, expected, mixed, (float(in_a), float(twice_a)))


@functools.cache
def _means(link: Link) -> Any:
    return jax.jit(lambda eta: jax.jvp(link.inverse, (eta,), (jnp.ones_like(eta),)))


def means(link: Link, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """μ = g⁻¹(η) and dμ/dη."""
    with float64_scope():
        mu, steep = _means(link)(jnp.asarray(eta, jnp.float64))
        return np.asarray(mu), np.asarray(steep)
