"""Sums over rows that a likelihood has besides those of its linear predictors, by programs compiled once per law."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surprax.numerics.precision import float64_scope
from surprax.regression.links import Link
from surprax.regression.responses import Dispersed, Response, Shaped
from surprax.regression.rows import Rows

__all__ = ["constant_of", "extra_slopes", "half_deviance_of"]


def constant_of(response: Response, rows: Rows) -> float:
    """Σ w of what half the unit deviance has that depends on y alone; 0 for laws without a deviance of that kind."""
    if not isinstance(response, Dispersed):
        return 0.0
    y, w = rows.filled
    with float64_scope():
        return float(_constants(response)(y, w))


@functools.cache
def _constants(response: Dispersed) -> Any:
    return jax.jit(lambda y, w: jnp.sum(jnp.where(w > 0, w * response.constant(y), 0.0)))


def half_deviance_of(response: Any, link: Link, rows: Rows, b: np.ndarray) -> float:
    """Σ w ½ d(y, μ), each with its digits."""
    y, w = rows.filled
    with float64_scope():
        return float(_half_deviances(response, link)(y, w, rows.fill(rows.eta(b))))


@functools.cache
def _half_deviances(response: Dispersed, link: Link) -> Any:
    return jax.jit(lambda y, w, eta: jnp.sum(jnp.where(w > 0, w * response.half_at(y, eta, link), 0.0)))


@functools.cache
def _extra_program(response: Response, link: Link) -> Any:
    if isinstance(response, Dispersed):

        def dispersed(y: Any, p: Any, eta: Any, a: Any) -> Any:
            half = response.half_at(y, eta, link)
            log_seen = jnp.log(response.precisions(y, p))

            def of(a: Any) -> Any:
                log_phi = response.log_dispersion(a)
                return half * p * jnp.exp(-log_phi) - response.saturated(log_phi - log_seen)

            return jax.jvp(of, (a,), (jnp.ones_like(a),))[1]

        return jax.jit(dispersed)
    assert isinstance(response, Shaped)

    def shaped(y: Any, p: Any, eta: Any, a: Any) -> Any:
        return jax.jvp(lambda a: response.surprise(y, eta, link, a), (a,), (jnp.ones_like(a),))[1]

    return jax.jit(shaped)


def extra_slopes(response: Response, link: Link, rows: Rows, eta: np.ndarray, log_extra: float) -> np.ndarray:
    """∂ surprise/∂ log extra of each row."""
    with float64_scope():
        y, p = rows.filled
        eta = rows.fill(eta)
        slopes = _extra_program(response, link)(y, jnp.where(p > 0, p, 1.0), eta, jnp.full_like(eta, log_extra))
        return np.asarray(slopes)[: rows.n]
