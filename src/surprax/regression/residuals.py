"""What a fit leaves of each row: residuals of all usual kinds, leverages, surprises."""

import functools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from surprax.estimate.checks import checked_key
from surprax.numerics.precision import float64_scope
from surprax.regression.links import Link
from surprax.regression.responses import BinomialResponse, Dispersed, Response, Shaped
from surprax.regression.rows import Rows
from surprax.regression.sums import by_row, means
from surprax.units import from_nats

if TYPE_CHECKING:
    from surprax.regression.estimate import LinearEstimate

__all__ = ["leverages", "residuals"]

KINDS = ("response", "pearson", "standardized", "deviance", "working", "quantile", "surprise")


def residuals(estimate: "LinearEstimate", rows: Rows, kind: str, key: Any = None, unit: str = "bit") -> np.ndarray:
    """`LinearEstimate.residuals`."""
    if kind not in KINDS:
        raise ValueError(f"Residuals are of kind {', '.join(KINDS)}; got {kind!r}.")
    eta = rows.eta(estimate._b)
    mu, steep = means(estimate.problem.link, eta)
    gap = rows.y - mu
    match kind:
        case "response":
            return gap
        case "working":
            return gap / steep
        case "deviance":
            half = _half_deviances(estimate, rows, mu)
            return np.sign(gap) * np.sqrt(2.0 * np.maximum(half, 0.0))
        case "surprise":
            with float64_scope():
                return np.asarray(from_nats(_surprises(estimate, rows, eta), unit))  # type: ignore[arg-type]
        case "quantile":
            return _quantile(estimate, rows, mu, key)
    pearson = gap * np.sqrt(rows.precision / estimate._variance(mu))
    if kind == "pearson":
        return pearson
    return pearson / np.sqrt(estimate.dispersion * np.maximum(1.0 - leverages(estimate), 1e-300))


def leverages(estimate: "LinearEstimate") -> np.ndarray:
    """`LinearEstimate.leverages`."""
    rows = estimate.data_rows()
    problem = estimate.problem
    linear = problem.linear
    b = estimate._b
    each = by_row(rows, problem.response, problem.link, rows.eta(b), linear.log_extra(estimate._z))
    v = each.expected
    X = rows.design
    G = X.gram(v)
    if problem.ridge is not None:
        G = G + np.diag(problem.ridge)
    if problem.is_triangle:
        assert problem.triangle is not None
        half = np.linalg.inv(problem.triangle.R)
        A = half @ half.T
    elif linear.B is not None:
        A = linear.B @ _inverse(linear.B.T @ G @ linear.B) @ linear.B.T
    else:
        A = _inverse(G)
    once = np.where(rows.weights > 0, v / np.where(rows.weights > 0, rows.weights, 1.0), 0.0)
    return once * X.quadratic(A)


def _inverse(G: np.ndarray) -> np.ndarray:
    """Of a positive matrix, in units in which its diagonal is 1; of what it spans where it is singular."""
    scale = 1.0 / np.sqrt(np.maximum(np.diagonal(G), 1e-300))
    return scale[:, None] * np.linalg.pinv(scale[:, None] * G * scale, hermitian=True) * scale


@functools.cache
def _deviance_program(response: Response) -> Any:
    if isinstance(response, Dispersed):
        return jax.jit(lambda y, mu, extra: response.half_deviance(y, mu))
    assert isinstance(response, Shaped)
    return jax.jit(response.half_deviance_of)


def _half_deviances(estimate: "LinearEstimate", rows: Rows, mu: np.ndarray) -> np.ndarray:
    with float64_scope():
        program = _deviance_program(estimate.problem.response)
        half = program(rows.fill(rows.y), rows.fill(mu), jnp.asarray(estimate.extra))
        return np.asarray(half)[: rows.n] * rows.precision


@functools.cache
def _surprise_program(response: Response, link: Link) -> Any:
    if isinstance(response, Dispersed):

        def dispersed(y: Any, p: Any, eta: Any, a: Any) -> Any:
            log_phi = response.log_dispersion(a)
            half = response.half_at(y, eta, link)
            return half * p * jnp.exp(-log_phi) - response.saturated(log_phi - jnp.log(response.precisions(y, p)))

        return jax.jit(dispersed)
    assert isinstance(response, Shaped)
    return jax.jit(lambda y, p, eta, a: response.surprise(y, eta, link, a))


def _surprises(estimate: "LinearEstimate", rows: Rows, eta: np.ndarray) -> np.ndarray:
    problem = estimate.problem
    response = problem.response
    log_extra = problem.linear.log_extra(estimate._z)
    with float64_scope():
        program = _surprise_program(response, problem.link)
        parts = (rows.fill(rows.y), rows.fill(rows.precision), rows.fill(eta), jnp.asarray(log_extra))
        out = np.asarray(program(*parts))[: rows.n]
        if isinstance(response, Dispersed):
            out = out - response.base(rows.y, rows.precision)
    return out


def _quantile(estimate: "LinearEstimate", rows: Rows, mu: np.ndarray, key: Any) -> np.ndarray:
    response = estimate.problem.response
    binomial = isinstance(response, BinomialResponse)
    trials = rows.precision if binomial and np.any(rows.precision != 1.0) else None
    y = rows.y if trials is None else np.round(rows.y * trials)
    extra: Any = estimate.extra
    if isinstance(response, Dispersed) and response.extra and np.any(rows.precision != 1.0):
        extra = np.exp(_log_extra_of(response, estimate, rows))
    with float64_scope():
        law = response.distribution(mu, extra, trials)
        if not (response.whole or binomial):
            low, high = np.asarray(law.log_cdf(y)), np.asarray(law.log_sf(y))
            return np.where(low < high, scipy.special.ndtri_exp(low), -scipy.special.ndtri_exp(high))
        checked_key(key, "Quantile residuals of discrete responses are drawn within steps,")
        above = np.asarray(law.cdf(y))
        below = np.where(y > 0, np.asarray(law.cdf(np.maximum(y - 1.0, 0.0))), 0.0)
        u = np.asarray(jax.random.uniform(key, y.shape, jnp.float64, minval=1e-12))
    return np.asarray(scipy.special.ndtri(np.clip(below + u * (above - below), 1e-300, 1.0 - 1e-16)))


def _log_extra_of(response: Dispersed, estimate: "LinearEstimate", rows: Rows) -> np.ndarray:
    """Logarithm of the extra parameter of rows whose dispersion is φ/p."""
    per = float(response.log_dispersion(1.0))
    return estimate.problem.linear.log_extra(estimate._z) - np.log(rows.precision) / per
