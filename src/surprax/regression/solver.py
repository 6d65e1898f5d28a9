"""Newton's method for linear predictors: many cheap steps on some rows, then few on all.

A pass over all rows for the gradient costs a fraction of one for the Hessian, and a Hessian of a sample of rows, or of an earlier
point, still leads down by a factor a step. Hessians of all rows are made where that stops being so, and once at the end.
"""

import time
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg

from surprax.estimate.newton import newton, scaled
from surprax.estimate.report import Report, certify
from surprax.numerics.precision import float64_scope
from surprax.regression.links import Identity, Power
from surprax.regression.problem import LinearProblem
from surprax.regression.responses import Dispersed, Shaped
from surprax.regression.rows import Rows
from surprax.regression.sums import means
from surprax.regression.totals import saturated

__all__ = ["Fit", "best_extra", "descend", "fitted", "start"]

SAMPLE = 20_000
"""Rows that the first steps are made on, at least; a sample is taken where there are three times as many."""

DIGITS = 1e-22
"""Decrement, relative to 1 + |surprise|/100, below which steps change no digit that matters, of the Hessian's either."""

STALLED = 1e-12
"""Nats below which a decrement that no longer falls is rounding."""

SMALL = 300
"""Columns up to which singular values are computed."""

STEPS, FEW_STEPS = 100, 6
HALVINGS = 40


@dataclass(frozen=True)
class Fit:
    """Where a fit ended: free numbers, total surprise, Hessian, and the report."""

    z: np.ndarray
    value: float
    curvature: np.ndarray
    report: Report


def fitted(problem: LinearProblem, begin: np.ndarray | None = None) -> Fit:
    """The minimum of the total surprise."""
    began = time.perf_counter()
    half = None
    if problem.is_triangle:
        assert problem.triangle is not None
        b, count, method = problem.triangle.b, 1, problem.triangle.how
        z = _with_extra(problem, b)
        value, gradient, curvature = problem.derivatives(z)
        half = problem.half_covariance(z)
    else:
        z, count = _climbed(problem, begin)
        method = "Newton's method"
        value, gradient, curvature = problem.derivatives(z)
    slopes = problem.linear.as_counted.slopes(z)
    unit = _units(problem, z)
    seen = (unit * gradient, unit[:, None] * curvature * unit, slopes * unit)
    if half is not None:  # in units of standard errors, whatever the condition of X
        seen = (np.atleast_1d(np.linalg.norm(half.T @ gradient)), np.eye(1), np.zeros((len(slopes), 1)))
    seconds = time.perf_counter() - began
    borders = problem.linear.at_borders(z)
    report = certify(method, count, seconds, value, *seen, problem.linear.labels, borders)
    if half is not None and report.converged:
        R = problem.triangle.R  # type: ignore[union-attr]
        report = replace(report, condition=_condition(R / np.linalg.norm(R, axis=0)) ** 2)
    return Fit(z, value, curvature, report)


def _units(problem: LinearProblem, z: np.ndarray) -> np.ndarray:
    """By how much each free number changes the linear predictor of a typical row by as much as is natural for it: by 1 for links
    that take logarithms of some kind, by its own size elsewhere. What is flat in these units is flat."""
    rows = next(iter(problem.data_rows.parts()))
    if rows.n > SAMPLE:
        rows = rows.picked(slice(None, None, rows.n // SAMPLE))
    linear = problem.linear
    X = rows.design.matrix()
    size = np.sqrt(np.mean(np.square(X if linear.B is None else X @ linear.B), axis=0))
    natural = 1.0
    if isinstance(problem.link, Identity | Power):
        eta = rows.eta(linear.coefficients(z))
        natural = float(np.sqrt(np.mean(eta**2))) or 1.0
    unit = natural * np.sqrt(problem.dispersion(z)) / np.where(size > 0, size, 1.0)
    return np.append(unit, 1.0) if linear.has_free_extra else unit


def _condition(R: np.ndarray) -> float:
    """Of a triangle; an estimate in the 1-norm where it is large."""
    if not R.size:
        return 1.0
    if len(R) <= SMALL:
        return float(np.linalg.cond(R))
    return 1.0 / max(float(scipy.linalg.lapack.dtrcon(R)[0]), 1e-150)


def _with_extra(problem: LinearProblem, b: np.ndarray) -> np.ndarray:
    return np.append(b, best_extra(problem, b)) if problem.linear.has_free_extra else b


def _climbed(problem: LinearProblem, begin: np.ndarray | None) -> tuple[np.ndarray, int]:
    some = _sampled(problem)
    dispersed = isinstance(problem.response, Dispersed)
    b = _feasible(some, start(some, next(iter(some.data_rows.parts())))) if begin is None else begin
    if not dispersed and problem.linear.has_free_extra:
        z, count = np.append(b, best_extra(some, b)), 0
        if some is not problem:
            z, _ = _joint(some, z, 1e-2)
        z, count = _joint(problem, z, DIGITS * (1.0 + 1e-2 * abs(problem.value(z))))
        return z, count
    if begin is None and some is not problem:
        b, _ = descend(some, b, unit=True, nats=1e-2)
    b, count = descend(problem, b, unit=dispersed)
    return _with_extra(problem, b), count


def _feasible(problem: LinearProblem, b: np.ndarray) -> np.ndarray:
    """Coefficients whose means the law can have: b, or on the way from there to those that come nearest to one mean for all."""

    def suits(at: np.ndarray) -> bool:
        z = at if isinstance(problem.response, Dispersed) or not problem.linear.has_free_extra else np.append(at, 0.0)
        value, slope, _ = problem.evaluate(z, unit=isinstance(problem.response, Dispersed))
        return bool(np.isfinite(value) and np.all(np.isfinite(slope)))

    if suits(b):
        return b
    rows = next(iter(problem.data_rows.parts()))
    level = float(rows.weights @ rows.y / np.sum(rows.weights))
    low, high = problem.response.domain
    with float64_scope():
        eta = float(problem.link.of(min(max(level, low + 1e-3), high - 1e-3)))
    target = np.full(rows.n, eta) - (0.0 if rows.offset is None else rows.offset)
    linear = problem.linear
    if linear.B is not None:
        target = target - rows.design.linear(linear.a)
    H, g = rows.design.gram(rows.weights), rows.design.transposed(rows.weights * target)
    if linear.B is not None:
        H, g = linear.B.T @ H @ linear.B, linear.B.T @ g
    flat = -_step(g, H, 1e-12)
    for share in (0.5, 0.25, 0.1, 0.03, 0.0):
        tried = flat + share * (b - flat) if np.all(np.isfinite(b)) else flat
        if suits(tried):
            return tried
    return b


def _joint(problem: LinearProblem, z: np.ndarray, nats: float) -> tuple[np.ndarray, int]:
    """Newton's method for coefficients and the extra parameter together, in natural units."""
    unit = _units(problem, z)

    def evaluate(u: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        value, gradient, curvature = problem.derivatives(u * unit)
        return value, unit * gradient, unit[:, None] * curvature * unit

    end = newton(evaluate, z / unit, nats)
    return end.position * unit, end.steps


def _sampled(problem: LinearProblem) -> LinearProblem:
    """The problem of a sample of the rows, where there are many; the problem itself elsewhere."""
    rows = next(iter(problem.data_rows.parts()))
    most = max(SAMPLE, 50 * rows.design.p)
    if rows.n < 3 * most and rows is problem.data_rows:
        return problem
    if rows.n > most:
        rows = rows.picked(np.sort(np.random.default_rng(0).choice(rows.n, most, replace=False)))
    return problem.replaced(rows=rows, original=rows)


def start(problem: LinearProblem, rows: Rows) -> np.ndarray:
    """Free coefficients of a least-squares fit to g(y), y being moved a little into the domain of means."""
    response, link = problem.response, problem.link
    w = rows.weights * rows.precision
    center = float(w @ rows.y / np.sum(w))
    low, high = response.domain
    mu = np.array(rows.y)
    if np.isfinite(low) or np.isfinite(high):
        mu = 0.5 * (mu + center) if np.isfinite(high) or response.whole else np.maximum(mu, 1e-3 * center)
        span = (high - low) if np.isfinite(high) else max(center, 1e-300)
        mu = np.clip(mu, low + 1e-6 * span, high - 1e-6 * span if np.isfinite(high) else np.inf)
    first, last = link.domain
    if first > low or last < high:  # the link knows fewer means than the law has
        spread = float(np.sqrt(w @ np.square(rows.y - center) / np.sum(w))) or 1.0
        mu = np.clip(mu, first + 1e-2 * spread, last)
    with float64_scope():
        eta = np.asarray(link.of(mu), np.float64)
    steep = means(link, eta)[1]
    variance = _variance(problem, mu)
    v = w * steep**2 / variance
    v = np.where(np.isfinite(v), v, 0.0)
    target = eta if rows.offset is None else eta - rows.offset
    coordinates = problem.linear
    if coordinates.B is not None:
        target = target - rows.design.linear(coordinates.a)
    H = rows.design.gram(v)
    g = rows.design.transposed(v * target)
    if coordinates.B is not None:
        H, g = coordinates.B.T @ H @ coordinates.B, coordinates.B.T @ g
    if problem.ridge is not None:
        ridge = np.diag(problem.ridge)
        H = H + (ridge if coordinates.B is None else coordinates.B.T @ ridge @ coordinates.B)
    return -_step(g, H, 1e-12)


def _variance(problem: LinearProblem, mu: np.ndarray) -> np.ndarray:
    response = problem.response
    with float64_scope():
        if isinstance(response, Dispersed):
            return np.asarray(response.variance(mu))
        assert isinstance(response, Shaped)
        return np.asarray(response.variance_of(mu, 1.0))


def best_extra(problem: LinearProblem, b: np.ndarray) -> float:
    """Logarithm of the extra parameter at coefficients b: the best one where it separates, one by moments otherwise."""
    response = problem.response
    rows = problem.data_rows
    if isinstance(response, Dispersed):
        return _best_dispersion(problem, b)
    assert isinstance(response, Shaped)
    one, two, three = 0.0, 0.0, 0.0
    for part in rows.parts():
        mu, _ = means(problem.link, part.eta(problem.linear.coefficients(b)))
        w = part.weights * part.precision
        gap = (part.y - mu) ** 2 + (0.0 if part.spread is None else part.spread / np.maximum(part.weights, 1e-300))
        one += float(w @ gap)
        two += float(w @ mu**2)
        three += float(w @ mu)
    if response.support[1] == 1.0:  # μ(1 − μ)/(1 + c)
        return float(np.log(max((three - two) / one - 1.0, 0.1)))
    return float(np.log(max(two / max(one - three, 1e-3 * two), 1e-3)))


def _best_dispersion(problem: LinearProblem, b: np.ndarray) -> float:
    """Where the extra parameter is best at coefficients b; only the deviance matters."""
    response = problem.response
    assert isinstance(response, Dispersed)
    half = problem.half_deviance(b)
    per = float(response.log_dispersion(1.0))
    mean = max(2.0 * half / problem.totals.count, 1e-300)

    def evaluate(a: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        value, first, second = saturated(response, problem.totals, float(a[0]))
        scaled_half = half * float(np.exp(-per * a[0]))
        return scaled_half - value, np.array([-per * scaled_half - first]), np.array([[per**2 * scaled_half - second]])

    return float(newton(evaluate, np.array([np.log(mean) / per]), 1e-15 * problem.totals.count).position[0])


def descend(problem: LinearProblem, z: np.ndarray, *, unit: bool, nats: float | None = None) -> tuple[np.ndarray, int]:
    """Steps down from z until the decrement is below `nats`, or none leads down; with dispersion 1 if `unit`."""
    unit = unit and isinstance(problem.response, Dispersed)
    value, gradient, H = problem.evaluate(z, "convex", unit=unit)
    assert H is not None
    if nats is None:
        nats = DIGITS * (1.0 + 1e-2 * abs(value))
    count, fresh = 1, True
    before = last = np.inf
    source = getattr(problem, "data_rows", None)
    hopeless = (
        isinstance(source, Rows) and source.n < len(z) and problem.ridge is None
    )  # it is flat: there is no end to be found
    for _ in range(FEW_STEPS if hopeless else STEPS):
        if not len(z):
            break
        step = _step(gradient, H, 1e-12)
        decrement = -0.5 * float(gradient @ step)
        if decrement < nats or (decrement < STALLED and decrement > 0.25 * last):  # rounding is all that is left
            break
        last = decrement
        if decrement > 0.05 * before and not fresh:
            H = _hessian(problem, z, unit)
            fresh, before, last = True, np.inf, np.inf
            continue
        before = decrement
        for _ in range(HALVINGS):
            new, slope, _ = problem.evaluate(z + step, unit=unit)
            count += 1
            if np.isfinite(new) and np.all(np.isfinite(slope)) and new <= value + 1e-13 * abs(value) + 1e-12:
                break
            step = 0.5 * step
        else:
            break
        z, value, gradient, fresh = z + step, new, slope, False
    return z, count


def _hessian(problem: LinearProblem, z: np.ndarray, unit: bool) -> np.ndarray:
    """The observed one where it is positive, as it is near a minimum; else one that is."""
    H = problem.evaluate(z, "observed", unit=unit)[2]
    assert H is not None
    scale = 1.0 / np.sqrt(np.maximum(np.diagonal(H), 1e-300))
    try:
        if np.min(np.diagonal(np.linalg.cholesky(scale[:, None] * H * scale))) > 1e-6:
            return H
    except np.linalg.LinAlgError:
        pass
    H = problem.evaluate(z, "expected", unit=unit)[2]
    assert H is not None
    return H


def _step(gradient: np.ndarray, H: np.ndarray, least: float) -> np.ndarray:
    """−H⁻¹ g; directions in which H is flat are left alone."""
    if not len(gradient):
        return gradient
    scale = 1.0 / np.sqrt(np.maximum(np.diagonal(H), 1e-300))
    try:
        factor = scipy.linalg.cho_factor(scale[:, None] * H * scale)
        if np.min(np.diagonal(factor[0])) > 1e-6:
            return -scale * scipy.linalg.cho_solve(factor, scale * gradient)
    except (np.linalg.LinAlgError, ValueError):
        pass
    scale, eigenvalues, slope, vectors = scaled(gradient, H)
    live = eigenvalues > least * max(eigenvalues[-1], 1.0)
    return -scale * (vectors[:, live] @ (slope[live] / eigenvalues[live]))
