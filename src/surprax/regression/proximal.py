"""Proximal Newton steps for penalised likelihoods, and the certificate of where they end.

    minimise  f(z) + Σ l1ⱼ |zⱼ|  in a box,      f: surprise in nats at dispersion 1, with the ridge penalty of the problem

Each step goes to the minimum of the quadratic model of f with the penalty (Lee, Sun & Saunders 2014). A Hessian serves for as many
steps as each of them takes most of what is left.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from surprax.estimate.newton import scaled
from surprax.estimate.report import FLAT, SMALL, Report
from surprax.numerics.precision import float64_scope
from surprax.regression.links import Identity
from surprax.regression.problem import LinearProblem
from surprax.regression.quadratic import free, least, violations
from surprax.regression.responses import Dispersed, NormalResponse
from surprax.regression.rows import Rows
from surprax.regression.solver import SAMPLE, start
from surprax.regression.solver import best_extra as extra_at

__all__ = ["Shape", "Shrunk", "beginning", "certified", "extra_at", "shrink"]

STEPS = 100
HALVINGS = 40
ENOUGH = 0.05
"""Share of the decrement of the step before up to which a Hessian is good enough."""

PRECISE = 1e-14
"""Decrement in nats, by 1 + |f|/100 and at dispersion 1, at which the next step is the last."""

UNKNOWN = 1e-4
"""Curvature in the logarithm of an extra parameter, in nats, below which it is not known to within a factor of e¹⁰⁰."""

type Smooth = Callable[[np.ndarray, str], tuple[float, np.ndarray, np.ndarray | None]]


@dataclass(frozen=True)
class Shape:
    """What is not smooth: l1 penalties and a box of the free numbers, shapes (d,)."""

    l1: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def penalty(self, z: np.ndarray) -> float:
        """Σ l1 |z|."""
        return float(self.l1 @ np.abs(z))

    def free(self, z: np.ndarray) -> np.ndarray:
        """Which numbers are at no kink and no bound: a mask (d,)."""
        return free(z, self.l1, self.low, self.high)


@dataclass(frozen=True)
class Shrunk:
    """Where steps ended.

    Attributes:
        z: free numbers; of laws with a dispersion, coefficients only.
        value: f there, without the l1 penalty.
        gradient, H: its derivatives, the Hessian perhaps of a point nearby.
        steps: how many evaluations it took.
    """

    z: np.ndarray
    value: float
    gradient: np.ndarray
    H: np.ndarray
    steps: int


def shrink(
    problem: LinearProblem, shape: Shape, z: np.ndarray, H: np.ndarray | None = None, nats: float = PRECISE
) -> Shrunk:
    """The minimum of a penalised likelihood.

    Args:
        problem: the likelihood, with a ridge penalty or without.
        shape: l1 penalties and the box.
        z: where to start; of laws with a dispersion, coefficients only.
        H: a Hessian to begin with, of a problem much like this one.
        nats: decrement at which steps end, relative to 1 + |f|/100.
    """
    unit = isinstance(problem.response, Dispersed)

    def smooth(z: np.ndarray, second: str) -> tuple[float, np.ndarray, np.ndarray | None]:
        value, gradient, H = problem.evaluate(z, second, unit=unit)
        return value, gradient, H if H is None or unit else _positive(H)

    exact = isinstance(problem.response, NormalResponse) and isinstance(problem.link, Identity)
    with np.errstate(all="ignore"):
        return _descended(smooth, shape, z, H, nats, exact=exact)


def beginning(problem: LinearProblem, shape: Shape) -> np.ndarray:
    """Where to start: where an l1 penalty leaves the intercept alone, and at the fit to a sample of many rows."""
    rows = next(iter(problem.data_rows.parts()))
    most = max(SAMPLE, 50 * rows.design.p)
    if rows.n < 3 * most:
        return np.clip(_rough(problem, shape, rows), shape.low, shape.high)
    some = rows.picked(np.sort(np.random.default_rng(0).choice(rows.n, most, replace=False)))
    share = float(np.sum(some.weights * some.precision) / np.sum(rows.weights * rows.precision))
    ridge = None if problem.ridge is None else share * problem.ridge
    part = problem.replaced(rows=some, original=some, ridge=ridge, triangle=None)
    z = np.clip(_rough(part, shape, some), shape.low, shape.high)
    found = shrink(part, Shape(share * shape.l1, shape.low, shape.high), z, nats=1e-4).z
    unit = isinstance(problem.response, Dispersed)
    return found if np.isfinite(problem.evaluate(found, unit=unit)[0]) else z


def _rough(problem: LinearProblem, shape: Shape, rows: Rows) -> np.ndarray:
    coordinates = problem.linear
    intercept = coordinates.as_counted.coordinate("Intercept") if "Intercept" in coordinates.names else None
    if intercept is None or not np.any(shape.l1 > 0):
        b = start(problem, rows)
    else:
        b = np.zeros(coordinates.free_coefficients)
        w = rows.weights * rows.precision
        held = rows.eta(coordinates.coefficients(b))
        with float64_scope():
            b[intercept] = float(problem.link.of(w @ rows.y / np.sum(w))) - float(w @ held) / float(np.sum(w))
    if isinstance(problem.response, Dispersed) or not coordinates.has_free_extra:
        return b
    return np.append(b, extra_at(problem, b))


def _descended(
    smooth: Smooth, shape: Shape, z: np.ndarray, H: np.ndarray | None, nats: float, *, exact: bool
) -> Shrunk:
    z = np.clip(z, shape.low, shape.high)
    fresh = H is None
    value, gradient, found = smooth(z, "convex" if fresh else "")
    H = found if H is None else H
    assert H is not None
    count, before = 1, np.inf
    for _ in range(STEPS):
        if not (np.isfinite(value) and np.all(np.isfinite(gradient)) and np.all(np.isfinite(H))):
            break
        target = least(H, gradient, shape.l1, shape.low, shape.high, z)
        step, total = target - z, value + shape.penalty(z)
        linear = float(gradient @ step) + shape.penalty(target) - shape.penalty(z)
        decrement = -linear - 0.5 * float(step @ (H @ step))
        last = decrement <= nats * (1.0 + 1e-2 * abs(value))
        if decrement > ENOUGH * before and not (fresh or exact or last):
            H, fresh, before = _hessian(smooth, z), True, np.inf
            continue
        before, t, tried = decrement, 1.0, target
        for _ in range(HALVINGS):
            new, slope, _ = smooth(tried, "")
            count += 1
            change = new + shape.penalty(tried) - total
            enough = change <= 1e-4 * t * min(linear, 0.0) or (t == 1 and change <= 1e-13 * abs(total))
            if enough and np.isfinite(change) and np.all(np.isfinite(slope)):
                break
            t *= 0.5
            tried = z + t * step
        else:
            if fresh or last:
                break
            H, fresh, before = _hessian(smooth, z), True, np.inf
            continue
        if last and not _worst(shape, tried, slope) < _worst(shape, z, gradient):
            break
        z, value, gradient, fresh = tried, new, slope, exact
        if last:
            break
    return Shrunk(z, value, gradient, H, count)


def _hessian(smooth: Smooth, z: np.ndarray) -> np.ndarray:
    H = smooth(z, "convex")[2]
    assert H is not None
    return H


def _positive(H: np.ndarray) -> np.ndarray:
    """A Hessian; without what the extra parameter of a law has to do with coefficients, where that makes it indefinite."""
    if not np.all(np.isfinite(H)) or np.linalg.eigvalsh(H)[0] >= -1e-9 * np.max(np.abs(H)):
        return H
    out = np.array(H)
    out[-1, :-1] = out[:-1, -1] = 0.0
    out[-1, -1] = abs(out[-1, -1])
    return out


def _worst(shape: Shape, z: np.ndarray, gradient: np.ndarray) -> float:
    broken = violations(z, gradient, shape.l1, shape.low, shape.high)
    return float(np.max(broken, initial=0.0)) if np.all(np.isfinite(broken)) else np.inf


def certified(
    end: Shrunk, shape: Shape, dispersion: float, seconds: float, labels: tuple[str, ...], extra: str = ""
) -> Report:
    """The report of an end: optimality conditions, and by how much the quadratic model there says that the minimum lies lower.

    Args:
        end, shape: where it is, and of what.
        dispersion: by which slopes and decrements are divided, to be in nats of the likelihood.
        seconds: how long it took.
        labels: names of the free numbers.
        extra: name of the extra parameter, where that is among them.
    """
    largest = _worst(shape, end.z, end.gradient) / dispersion

    def made(reason: str, decrement: float = np.nan, condition: float = np.nan, flat: tuple[str, ...] = ()) -> Report:
        return Report("proximal Newton's method", end.steps, seconds, largest, decrement, condition, flat, reason)

    if not np.isfinite(end.value):
        return made("the penalised log-likelihood is not finite there")
    if not (np.all(np.isfinite(end.gradient)) and np.all(np.isfinite(end.H))):
        return made("the penalised log-likelihood has no finite derivatives there")
    step = least(end.H, end.gradient, shape.l1, shape.low, shape.high, end.z) - end.z
    gain = shape.penalty(end.z) - shape.penalty(end.z + step) - float(end.gradient @ step)
    decrement = max(gain - 0.5 * float(step @ (end.H @ step)), 0.0) / dispersion
    alive = np.diagonal(end.H) > 1e-8 * dispersion
    broken = violations(end.z, end.gradient, shape.l1, shape.low, shape.high)[alive]
    alone = broken**2 / (2.0 * np.diagonal(end.H)[alive])
    decrement = max(decrement, float(np.max(alone, initial=0.0)) / dispersion)
    inside = shape.free(end.z)
    condition = 1.0
    flat: tuple[str, ...] = ()
    if np.any(inside):
        F = end.H[np.ix_(inside, inside)]
        _, eigenvalues, _, vectors = scaled(end.gradient[inside], F / dispersion)
        condition = float(eigenvalues[-1] / eigenvalues[0]) if eigenvalues[0] > 0 else float("inf")
        if eigenvalues[0] < FLAT:
            moved = np.abs(vectors[:, 0])
            names = np.array(labels, object)[inside]
            flat = tuple(str(name) for name, much in zip(names, moved) if much > 0.05 * np.max(moved))
    if extra and (extra in flat or end.H[-1, -1] < UNKNOWN):
        return made(f"the log-likelihood rises towards the border of the domain of {extra}", decrement, condition, flat)
    if decrement > SMALL:
        return made(f"the penalised maximum is expected to be {decrement:.2g} nat higher", decrement, condition, flat)
    if flat:
        return made(
            f"the penalised log-likelihood is flat along a direction that mixes {', '.join(flat[:6])}: add an l2 penalty",
            decrement, condition, flat,
        )  # fmt: skip
    return made("", decrement, condition)
