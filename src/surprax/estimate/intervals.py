"""Confidence intervals."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.stats as st

from surprax.estimate.checks import checked_label
from surprax.estimate.newton import Descent

if TYPE_CHECKING:
    from surprax.estimate.estimate import Estimate

__all__ = ["Path", "intervals"]

FARTHEST = 60
"""Steps of a search for an end, at most."""


def intervals(
    estimate: "Estimate", labels: Sequence[str], level: float, method: str, kind: Any, key: Any, resamples: int
) -> list[tuple[float, float]]:
    """`Estimate.confidence_interval` of several elements."""
    places = [estimate.problem.coordinates.place(label) for label in labels]
    match method:
        case "wald":
            reach = float(estimate.reference.isf(0.5 * (1.0 - level)))
            errors = np.sqrt(np.diagonal(estimate.covariance(kind)))
            theta = estimate.theta
            return [(float(theta[i] - reach * errors[i]), float(theta[i] + reach * errors[i])) for i in places]
        case "profile" | "likelihood-ratio":
            return [_searched(Path(estimate, label), level, _by_ratio) for label in labels]
        case "score":
            return [_searched(Path(estimate, label), level, _by_score) for label in labels]
        case "bootstrap":
            fits = estimate.bootstrap(key, resamples)
            ends = np.quantile(fits, [0.5 * (1.0 - level), 0.5 * (1.0 + level)], axis=0)
            return [(float(ends[0, i]), float(ends[1, i])) for i in places]
    raise ValueError(
        f'An interval is by "wald", "score", "likelihood-ratio", "profile" or "bootstrap"; got method={method!r}.'
    )


class Path:
    """The maximum over all else, along one element, in the free number behind it."""

    def __init__(self, estimate: "Estimate", label: str) -> None:
        if estimate.held(checked_label(label, estimate.labels)):
            raise ValueError(f"{label} was held at {estimate[label]:g}, and not fitted; there is nothing to profile.")
        problem, z = estimate.problem, estimate._z
        i = problem.coordinates.coordinate(label)
        led = problem.coordinates.led_by(label, z) if i is None else None
        if led is not None:
            problem, z, i = problem.with_coordinates(led[0]), led[1], led[2]
        if i is None:
            raise ValueError(
                f"{label} depends on several free numbers at once (a simplex, or a matrix), along which there is no profile; use"
                ' method="wald" or "bootstrap".'
            )
        self.problem, self.label, self.i, self.z = problem, label, i, z
        self.place = problem.coordinates.place(label)
        from surprax.estimate.covariances import factor

        half = factor(estimate)
        self.error = float(
            np.linalg.norm(half[i] if led is None else estimate.problem.theta(estimate._z)[1][self.place] @ half)
        )
        self.start, self.least = z[i], -estimate.log_likelihood
        self._last = {-1: z, 1: z}

    def at(self, u: float) -> Descent:
        """The maximum with the free number at u, from the last one on this side."""
        side = 1 if u >= self.start else -1
        end = self.problem.along(self._last[side], self.i, u)
        if np.isfinite(end.value):
            self._last[side] = end.position
        return end

    def value(self, u: float) -> float:
        """The element where its free number is u."""
        z = self.z.copy()
        z[self.i] = u
        return float(self.problem.theta(z)[0][self.place])

    def free(self, value: float) -> float:
        """The free number behind a value of the element."""
        slots = self.problem.slots.values()
        slot = next(s for s in slots if self.label in s.labels)
        u = float(np.asarray(slot.transform.back(np.asarray(value, np.float64))))
        if not np.isfinite(u):
            raise ValueError(f"{self.label} is {slot.transform.words}; got {value:g}.")
        return u


def _by_ratio(path: Path, u: float) -> float:
    """Signed root of the likelihood-ratio statistic."""
    end = path.at(u)
    return float(np.sqrt(max(2.0 * (end.value - path.least), 0.0)))


def _by_score(path: Path, u: float) -> float:
    """Root of Rao's score statistic of that value, all else maximised over."""
    end = path.at(u)
    _, gradient, curvature = path.problem.derivatives(end.position)
    try:
        statistic = float(gradient @ np.linalg.solve(curvature, gradient))
    except np.linalg.LinAlgError:
        return float("inf")
    return float(np.sqrt(statistic)) if statistic >= 0 else float("inf")


def _searched(path: Path, level: float, root: Callable[[Path, float], float]) -> tuple[float, float]:
    goal = float(st.norm.isf(0.5 * (1.0 - level)))
    ends = [_end(path, goal, side, root) for side in (-1, 1)]
    values = sorted(path.value(u) if np.isfinite(u) else _limit(path, u) for u in ends)
    return values[0], values[1]


def _limit(path: Path, u: float) -> float:
    """The element as its free number grows without end."""
    with np.errstate(over="ignore"):
        return (
            path.value(np.sign(u) * 700.0)
            if abs(path.value(np.sign(u) * 700.0)) < 1e300
            else float(np.sign(u)) * np.inf
        )


def _end(path: Path, goal: float, side: int, root: Callable[[Path, float], float]) -> float:
    """Where the root, nearly a straight line, reaches the goal: a bracket, and then false position (Illinois) within it."""
    low, r_low = path.start, 0.0
    step = goal * path.error
    for _ in range(FARTHEST):
        high = low + side * step
        r_high = root(path, high)
        if not np.isfinite(r_high) or r_high >= goal:
            break
        slope = (r_high - r_low) / step
        step = min(max(1.1 * (goal - r_high) / slope if slope > 0 else 2.0 * step, 0.2 * step), 3.0 * step)
        low, r_low = high, r_high
    else:
        return float(side) * np.inf
    for _ in range(FARTHEST):
        if abs(high - low) <= 1e-10 * max(abs(high), path.error):
            break
        if np.isfinite(r_high):
            middle = low + (goal - r_low) * (high - low) / (r_high - r_low)
            middle = min(max(middle, min(low, high) + 1e-3 * abs(high - low)), max(low, high) - 1e-3 * abs(high - low))
        else:
            middle = 0.5 * (low + high)
        r = root(path, middle)
        if np.isfinite(r) and abs(r - goal) < 1e-9 * goal:
            return float(middle)
        if np.isfinite(r) and r < goal:
            low, r_low = middle, r
        else:
            high, r_high = middle, r
    return float(0.5 * (low + high))
