"""Coefficients along a sequence of decreasing penalties, each from the one before: by moments alone, or by the rows."""

import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from surprax.regression.compression import compressed
from surprax.regression.coordinates import LinearCoordinates
from surprax.regression.links import Link
from surprax.regression.moments import Moments, Origin, moments
from surprax.regression.problem import LinearProblem
from surprax.regression.proximal import Shape, beginning, shrink
from surprax.regression.quadratic import least
from surprax.regression.responses import Dispersed, Response
from surprax.regression.rows import Rows
from surprax.regression.shrinkage import Penalty
from surprax.regression.totals import totals_of

__all__ = ["Law", "by_evidence", "by_refits"]

LEAST = 1e-3
"""The smallest penalty of a path, of the largest; and the share of l1 by which a ridge path finds its largest."""

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


def _largest(
    law: Law, rows: Rows, found: Moments | None, penalty: Penalty, l1_ratio: float
) -> tuple[float, np.ndarray]:
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
            "The likelihood of the intercept alone must be finite, for a path to start from, and it is not: check whether all"
            " responses are the same, or choose another link."
        )
    return _strength(end.gradient[: len(penalty.scale)], penalty.scale, l1_ratio), end.z


def _by_moments(found: Moments, penalty: Penalty, strengths: np.ndarray, l1_ratio: float) -> np.ndarray:
    """Coefficients from the origin of the moments, at each total penalty, shape (m, p)."""
    out = np.zeros((len(strengths), len(found.h)))
    b = np.zeros(len(found.h))
    for i, strength in enumerate(strengths):
        ridge = strength * (1.0 - l1_ratio) * penalty.scale**2
        H = found.G + np.diag(ridge) if l1_ratio < 1 else found.G
        l1 = strength * l1_ratio * penalty.scale
        out[i] = b = least(H, H @ b - found.h, l1, penalty.low, penalty.high, b)
    return out


def _by_rows(
    law: Law,
    rows: Rows,
    penalty: Penalty,
    strengths: np.ndarray,
    l1_ratio: float,
    begin: np.ndarray,
    top: float = np.inf,
) -> tuple[np.ndarray, np.ndarray]:
    """Free numbers at each total penalty, shape (m, d), and the deviances there, (m,); from `top` on, those to begin with."""
    problem = law.problem(rows)
    unit = isinstance(law.response, Dispersed)
    shape = replace(penalty, l1=1.0).shape(problem)
    z, H, before = begin, None, np.zeros(len(penalty.scale))
    out, deviances = np.zeros((len(strengths), len(begin))), np.zeros(len(strengths))
    size = len(penalty.scale)
    for i, strength in enumerate(strengths):
        ridge = strength * (1.0 - l1_ratio) * penalty.scale**2
        problem.ridge = ridge if l1_ratio < 1 else None
        if H is not None and l1_ratio < 1:
            H = np.array(H)
            H[np.arange(size), np.arange(size)] += ridge - before
        if strength >= top:
            value = problem.evaluate(z, unit=unit)[0]
        else:
            at = Shape(shape.l1 * strength * l1_ratio, shape.low, shape.high)
            end = shrink(problem, at, z, H, PRECISE)
            z, H, before, value = end.z, end.H, ridge, end.value
        out[i] = z
        value -= 0.5 * float(ridge @ z[:size] ** 2) if l1_ratio < 1 else 0.0
        deviances[i] = 2.0 * (value + (problem.constant if unit else 0.0))
    return out, deviances


def _held_out(law: Law, rows: Rows, points: np.ndarray) -> np.ndarray:
    """Deviances of rows at several free numbers (m, d): twice their surprise, for laws whose parameters do not separate."""
    problem = law.problem(rows, small=False)
    dispersed = isinstance(law.response, Dispersed)
    with np.errstate(all="ignore"):
        values = np.array([problem.evaluate(z, unit=dispersed)[0] for z in points])
    return 2.0 * (values + (problem.constant if dispersed else 0.0))


def by_evidence(
    law: Law, rows: Rows, penalties: Any, count: int, l1_ratio: float, asked: Penalty, codes: Any, K: int, means: Any
) -> tuple[Any, ...]:
    """Penalties, coefficients, deviances, and deviances and weights of K folds, by the evidence of normal responses."""
    origin = Origin.of(rows, means)
    each = moments(rows, origin, codes, max(K, 1))
    whole = functools.reduce(lambda one, other: one + other, each)
    strengths = _strengths(penalties, count, lambda: _largest(law, rows, whole, asked, max(l1_ratio, LEAST))[0])
    b = _by_moments(whole, asked, strengths, l1_ratio)
    out = (strengths, origin.back(b), np.array([whole.residual(one) for one in b]))
    if not K:
        return (*out, None, None)
    amounts = _amounts(np.array([fold.weight for fold in each]))
    held = [
        [fold.residual(b) / fold.weight for b in _by_moments(whole - fold, asked, strengths * share, l1_ratio)]
        for fold, share in zip(each, 1.0 - amounts / whole.weight)
    ]
    return (*out, np.array(held).T, amounts)


def by_refits(
    law: Law, rows: Rows, penalties: Any, count: int, l1_ratio: float, asked: Penalty, codes: Any, K: int, means: Any
) -> tuple[Any, ...]:
    """Penalties, coefficients, deviances, and deviances and weights of K folds, by fits to the rows of each training set."""
    top, begin = _largest(law, rows, None, asked, max(l1_ratio, LEAST))
    strengths = _strengths(penalties, count, lambda: top)
    z, deviances = _by_rows(law, rows, asked, strengths, l1_ratio, begin, top if l1_ratio >= LEAST else np.inf)
    out = (strengths, z[:, : rows.design.p], deviances)
    if not K:
        return (*out, None, None)
    amounts = _amounts(np.bincount(codes, rows.weights, K))
    held = []
    for k, share in enumerate(1.0 - amounts / np.sum(amounts)):
        train, rest = rows.picked(np.flatnonzero(codes != k)), rows.picked(np.flatnonzero(codes == k))
        points, _ = _by_rows(law, train, asked, strengths * share, l1_ratio, begin)
        held.append(_held_out(law, rest, points) / amounts[k])
    return (*out, np.array(held).T, amounts)


def _amounts(weights: np.ndarray) -> np.ndarray:
    if not np.all(weights > 0):
        raise ValueError(f"Every fold must have rows of positive weight; fold {int(np.argmin(weights))} has none.")
    return weights


def _strengths(penalties: Any, count: int, top: Any) -> np.ndarray:
    if penalties is None:
        if count < 1:
            raise ValueError(f"A path has at least one penalty; got count={count}.")
        most = float(top())
        if not most > 0:
            raise ValueError("All coefficients are 0 without a penalty: the columns do not go with the responses.")
        return most * np.geomspace(1.0, LEAST, count) if count > 1 else np.array([most])
    given = np.sort(np.atleast_1d(np.asarray(penalties, np.float64)))[::-1]
    if given.ndim != 1 or not len(given) or not np.all(np.isfinite(given) & (given >= 0)):
        raise ValueError(f"Penalties are finite numbers that are not negative, at least one; got {penalties!r}.")
    return given
