"""Coefficients under a penalty: what is asked for, in free numbers, and what is found."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.linalg

from surprax.estimate.report import Report
from surprax.regression.coordinates import LinearCoordinates
from surprax.regression.design import Dense, Design
from surprax.regression.problem import LinearProblem
from surprax.regression.proximal import Shape, beginning, certified, extra_at, shrink
from surprax.regression.responses import Dispersed
from surprax.regression.rows import Rows
from surprax.regression.totals import saturated

__all__ = ["Penalty", "Solution", "pair", "solved"]


@dataclass(frozen=True)
class Penalty:
    """l1·Σ s|b| + ½·l2·Σ (s b)², and bounds of coefficients.

    Attributes:
        l1, l2: strengths, in nats at dispersion 1.
        scale: s of each coefficient, 0 for those that are spared, shape (p,).
        low, high: bounds, shapes (p,).
    """

    l1: float
    l2: float
    scale: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(
        cls, names: tuple[str, ...], l1: float, l2: float, bounds: Mapping[str, tuple[float, float]], scale: Any = 1.0
    ) -> "Penalty":
        """A penalty that spares the intercept."""
        low, high = np.full(len(names), -np.inf), np.full(len(names), np.inf)
        for name, ends in bounds.items():
            low[names.index(name)], high[names.index(name)] = ends
        spared = np.array([name == "Intercept" for name in names])
        return cls(l1, l2, np.where(spared, 0.0, scale), low, high)

    @property
    def ridge(self) -> np.ndarray | None:
        """λ of ½ Σ λ b²; None for none."""
        return self.l2 * self.scale**2 if self.l2 > 0 else None

    @property
    def bounded(self) -> bool:
        """Whether there are any bounds."""
        return bool(np.any(np.isfinite(self.low)) or np.any(np.isfinite(self.high)))

    def shape(self, problem: LinearProblem) -> Shape:
        """The l1 penalty and the box of the free numbers that steps are made in."""
        shape = self._of_coefficients(problem.linear)
        if isinstance(problem.response, Dispersed) or not problem.linear.has_free_extra:
            return shape
        return Shape(np.append(shape.l1, 0.0), np.append(shape.low, -np.inf), np.append(shape.high, np.inf))

    def _of_coefficients(self, coordinates: LinearCoordinates) -> Shape:
        l1 = self.l1 * self.scale
        if coordinates.B is None:
            return Shape(l1, self.low, self.high)
        low, high = np.full(coordinates.free_coefficients, -np.inf), np.full(coordinates.free_coefficients, np.inf)
        total = np.zeros(coordinates.free_coefficients)
        for j, (row, at) in enumerate(zip(coordinates.B, coordinates.a)):
            bounded = np.isfinite(self.low[j]) or np.isfinite(self.high[j])
            if not bounded and l1[j] == 0:
                continue
            (used,) = np.nonzero(row)
            name = coordinates.names[j]
            if not len(used):
                if not self.low[j] <= at <= self.high[j]:
                    raise ValueError(
                        f"{name} is held at {at:g}, outside of its bounds, {self.low[j]:g} and {self.high[j]:g}; change one."
                    )
                continue
            if len(used) > 1 or at != 0.0:
                raise ValueError(
                    f"An l1 penalty and bounds go with coefficients that are held, tied, or multiples of one another; {name}"
                    " depends on others by an equation. Use a ridge penalty without bounds, penalty=(0, l2), or write the model in"
                    " terms of coefficients that obey the equation."
                )
            k, times = used[0], row[used[0]]
            total[k] += l1[j] * abs(times)
            ends = sorted((self.low[j] / times, self.high[j] / times))
            low[k], high[k] = max(low[k], ends[0]), min(high[k], ends[1])
            if low[k] > high[k]:
                raise ValueError(f"No value of {name} and those tied to it is within the bounds of all of them.")
        return Shape(total, low, high)


@dataclass(frozen=True)
class Solution:
    """Where a penalised fit ended.

    Attributes:
        z: all free numbers.
        value: −log-likelihood there, without the penalty.
        curvature: Hessian of the penalised surprise in z.
        report: with the certificate.
        effective: the effective number of fitted numbers.
        smooth: whether it is inside its bounds, and without l1 penalty.
        at_bounds: coefficients that are at a bound.
    """

    z: np.ndarray
    value: float
    curvature: np.ndarray
    report: Report
    effective: float
    smooth: bool
    at_bounds: tuple[str, ...]


def pair(penalty: Any) -> tuple[float, float]:
    """(l1, l2) of what a user wrote.

    >>> pair(2), pair((1, 0.5)), pair(None)
    ((0.0, 2.0), (1.0, 0.5), (0.0, 0.0))
    """
    if penalty is None:
        return 0.0, 0.0
    try:
        l1, l2 = (0.0, float(penalty)) if np.ndim(penalty) == 0 else map(float, penalty)
    except (TypeError, ValueError) as error:
        raise ValueError(f"A penalty is a pair (l1, l2), or one number, l2; got {penalty!r}.") from error
    for name, value in (("l1", l1), ("l2", l2)):
        if not (np.isfinite(value) and value >= 0):
            raise ValueError(f"A penalty is finite and not negative; got {name} = {value:g}.")
    return l1, l2


def solved(
    problem: LinearProblem, penalty: Penalty, begin: np.ndarray | None = None, H: np.ndarray | None = None
) -> Solution:
    """The penalised maximum of a likelihood.

    Args:
        problem: the likelihood, with the ridge of the penalty.
        penalty: the penalty.
        begin, H: where to start, and a Hessian of the same free numbers, at dispersion 1.
    """
    began = time.perf_counter()
    shape = penalty.shape(problem)
    linear, response = problem.linear, problem.response
    if begin is None and _is_wide(problem, penalty):
        begin = _narrow(problem)
    with np.errstate(all="ignore"):
        end = shrink(problem, shape, beginning(problem, shape) if begin is None else begin[: len(shape.l1)], H)
        dispersed = isinstance(response, Dispersed)
        fresh = problem.evaluate(end.z, "convex" if dispersed else "observed", unit=dispersed)[2]
        assert fresh is not None
        end = replace(end, H=fresh)
        separate = dispersed and linear.has_free_extra
        z = np.append(end.z, extra_at(problem, end.z)) if separate else end.z
        phi = problem.dispersion(z)
        joint = linear.extra if len(end.z) > linear.free_coefficients else ""
        report = certified(end, shape, phi, time.perf_counter() - began, _labels(linear, len(end.z)), joint)
        value = problem.replaced(ridge=None).value(z)
        curvature = fresh / phi
        if separate:
            curvature = scipy.linalg.block_diag(curvature, _in_extra(problem, z))
    inside = shape.free(end.z)
    free = linear.free_coefficients
    at_low, at_high = end.z[:free] == shape.low[:free], end.z[:free] == shape.high[:free]
    names = _labels(linear, free)
    at_bounds = tuple(name for name, one in zip(names, at_low | at_high) if one)
    effective = _effective(problem, fresh[:free, :free], inside[:free]) + linear.has_free_extra
    smooth = not np.any(shape.l1 > 0) and not at_bounds
    return Solution(z, value, curvature, report, effective, smooth, at_bounds)


def _is_wide(problem: LinearProblem, penalty: Penalty) -> bool:
    """Whether a ridge alone has at least twice as many columns as rows."""
    rows, smooth = problem.data_rows, penalty.l1 == 0 and penalty.l2 > 0 and not penalty.bounded
    return isinstance(rows, Rows) and smooth and problem.linear.B is None and 2 * rows.n < rows.design.p


def _narrow(problem: LinearProblem) -> np.ndarray:
    """Free numbers at the maximum under a ridge, found among combinations of rows, as many as there are: all others are 0 there.

    With X Λ^(−½) = L Qᵀ, L (n, n), it is that of the design L with the penalty ½ Σ γ², and b = Λ^(−½) Q γ.
    """
    rows, linear, ridge = problem.data_rows, problem.linear, problem.ridge
    assert ridge is not None
    X, held = rows.design.matrix(), ridge > 0
    root = np.sqrt(ridge[held])
    Q, R = scipy.linalg.qr((X[:, held] / root).T, mode="economic")
    free = int(np.sum(~held))
    names = [f"c{j}" for j in range(free + len(R))]
    few = replace(rows, design=Design(names, [Dense(np.column_stack([X[:, ~held], R.T]))]), rest=None)
    coordinates = LinearCoordinates(names, linear.extra, linear.fixed if linear.extra in linear.fixed else None)
    ones = np.concatenate([np.zeros(free), np.ones(len(R))])
    small = problem.replaced(rows=few, original=few, coordinates=coordinates, ridge=ones)
    shape = Penalty(0.0, 1.0, ones, np.full(len(ones), -np.inf), np.full(len(ones), np.inf)).shape(small)
    z = shrink(small, shape, beginning(small, shape)).z
    b = np.empty(len(ridge))
    b[~held], b[held] = z[:free], Q @ z[free : len(ones)] / root
    return np.concatenate([b, z[len(ones) :]])


def _labels(linear: LinearCoordinates, size: int) -> tuple[str, ...]:
    """Names of free numbers."""
    names = list(linear.names)
    if linear.B is not None:
        names = [linear.names[int(np.argmax(column == 1.0))] for column in linear.B.T]
    return (*names, linear.extra)[:size]


def _in_extra(problem: LinearProblem, z: np.ndarray) -> float:
    """Second derivative in the logarithm of the extra parameter at its best value, of a law with a dispersion."""
    response = problem.response
    assert isinstance(response, Dispersed)
    per = float(response.log_dispersion(1.0))
    _, first, second = saturated(response, problem.totals, problem.linear.log_extra(z))
    return -per * first - second  # −per · (half the deviance)/φ = first there


def _effective(problem: LinearProblem, H: np.ndarray, inside: np.ndarray) -> float:
    """tr (H + Λ)⁻¹ H over the coefficients that are free; their number, without a ridge (Zou, Hastie & Tibshirani 2007)."""
    if problem.ridge is None or not np.any(inside):
        return float(np.sum(inside))
    B = problem.linear.B
    ridge = np.diag(problem.ridge) if B is None else B.T @ (problem.ridge[:, None] * B)
    whole, part = H[np.ix_(inside, inside)], ridge[np.ix_(inside, inside)]
    try:
        scale = 1.0 / np.sqrt(np.maximum(np.diagonal(whole), 1e-300))
        factor = scipy.linalg.cho_factor(scale[:, None] * whole * scale, lower=True)
        taken = np.trace(scipy.linalg.cho_solve(factor, scale[:, None] * part * scale))
    except np.linalg.LinAlgError:
        taken = np.trace(np.linalg.lstsq(whole, part, rcond=None)[0])
    return float(np.sum(inside)) - float(taken)
