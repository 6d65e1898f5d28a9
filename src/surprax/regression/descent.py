"""Coefficients along a sequence of decreasing penalties, each from the one before: by moments alone, or by the rows."""

from dataclasses import dataclass, replace

import numpy as np

from surprax.regression.compression import compressed
from surprax.regression.coordinates import LinearCoordinates
from surprax.regression.links import Link
from surprax.regression.moments import Moments
from surprax.regression.problem import LinearProblem, totals_of
from surprax.regression.proximal import Shape, beginning, shrink
from surprax.regression.quadratic import least
from surprax.regression.responses import Dispersed, Response
from surprax.regression.rows import Rows
from surprax.regression.shrinkage import Penalty

__all__ = ["Law", "by_moments", "by_rows", "held_out", "largest"]

PRECISE = 1e-10
"""Decrement in nats, by 1 + |f|/100, at which the next step is the last at one penalty."""


@dataclass(frozen=True)
class Law:
    """What the rows of a model follow: title, law and link, coordinates of the parameters."""

    title: str
    response: Response
    link: Link
    coordinates: LinearCoordinates

    def problem(self, rows: Rows, *, small: bool = True) -> LinearProblem:
        """The likelihood of rows, compressed if `small`."""
        if not small:
            return LinearProblem(
                self.title, self.response, self.link, rows, rows, totals_of(self.response, rows), self.coordinates
            )
        fewer = compressed(self.response, self.link, rows, linear=False)
        return LinearProblem(
            self.title, self.response, self.link, fewer.rows, rows, fewer.totals, self.coordinates
        )  # fmt: skip


def _null(penalty: Penalty) -> Penalty:
    """One that leaves nothing but the coefficients that are spared."""
    held = penalty.scale > 0
    zero = np.zeros(len(held))
    low, high = np.where(held, zero, penalty.low), np.where(held, zero, penalty.high)
    return replace(penalty, l1=1.0, l2=0.0, low=low, high=high)


def _strength(gradient: np.ndarray, scale: np.ndarray, l1_ratio: float) -> float:
    held = scale > 0
    return float(np.max(np.abs(gradient[held]) / scale[held], initial=0.0)) / l1_ratio


def largest(law: Law, rows: Rows, found: Moments | None, penalty: Penalty, l1_ratio: float) -> tuple[float, np.ndarray]:
    """The smallest total penalty at which all coefficients that it touches are 0, and the free numbers there."""
    null = _null(penalty)
    if found is not None:
        b = np.zeros(len(found.h))
        b = least(found.G, -found.h, penalty.l1 * penalty.scale, null.low, null.high, b)
        return _strength(found.G @ b - found.h, penalty.scale, l1_ratio), b
    problem = law.problem(rows)
    shape = null.shape(problem)
    end = shrink(problem, shape, beginning(problem, shape))
    if not np.all(np.isfinite(end.gradient)):
        raise ValueError(
            "The intercept alone must have a likelihood to start from, and it is not finite: check the responses for a column that is"
            " constant, or choose another link."
        )
    return _strength(end.gradient[: len(penalty.scale)], penalty.scale, l1_ratio), end.z


def by_moments(found: Moments, penalty: Penalty, strengths: np.ndarray, l1_ratio: float) -> np.ndarray:
    """Coefficients from the origin of the moments, at each total penalty, shape (m, p)."""
    out = np.zeros((len(strengths), len(found.h)))
    b = np.zeros(len(found.h))
    for i, strength in enumerate(strengths):
        ridge = strength * (1.0 - l1_ratio) * penalty.scale**2
        H = found.G + np.diag(ridge) if l1_ratio < 1 else found.G
        l1 = strength * l1_ratio * penalty.scale
        out[i] = b = least(H, H @ b - found.h, l1, penalty.low, penalty.high, b)
    return out


def by_rows(
    law: Law, rows: Rows, penalty: Penalty, strengths: np.ndarray, l1_ratio: float, begin: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Free numbers at each total penalty, shape (m, d), and the deviances there, (m,)."""
    problem = law.problem(rows)
    shape = penalty.shape(problem)
    z, H, before = begin, None, 0.0
    out, deviances = np.zeros((len(strengths), len(begin))), np.zeros(len(strengths))
    size = len(penalty.scale)
    for i, strength in enumerate(strengths):
        ridge = strength * (1.0 - l1_ratio) * penalty.scale**2
        problem.ridge = ridge if l1_ratio < 1 else None
        if H is not None and l1_ratio < 1:
            H = np.array(H)
            H[np.arange(size), np.arange(size)] += ridge - before
        at = Shape(shape.l1 * strength * l1_ratio / penalty.l1 if penalty.l1 else shape.l1, shape.low, shape.high)
        end = shrink(problem, at, z, H, PRECISE)
        z, H, before = end.z, end.H, ridge
        out[i] = z
        value = end.value - (0.5 * float(ridge @ z[:size] ** 2) if l1_ratio < 1 else 0.0)
        deviances[i] = 2.0 * (value + (problem.constant if isinstance(law.response, Dispersed) else 0.0))
    return out, deviances


def held_out(law: Law, rows: Rows, points: np.ndarray) -> np.ndarray:
    """Deviances of rows at several free numbers (m, d): twice their surprise, for laws whose parameters do not separate."""
    problem = law.problem(rows, small=False)
    dispersed = isinstance(law.response, Dispersed)
    with np.errstate(all="ignore"):
        values = np.array([problem.evaluate(z, unit=dispersed)[0] for z in points])
    return 2.0 * (values + (problem.constant if dispersed else 0.0))
