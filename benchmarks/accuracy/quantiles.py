"""Quantiles as references: distribution functions inverted with many digits, or held against the result."""

from collections.abc import Callable, Sequence
from typing import Any

import mpmath as mp
import numpy as np

from benchmarks.accuracy.measure import Reference, exactly, in_range, ulp

__all__ = ["is_out_of_range", "quantile_reference", "quantile_violation"]

type Tails = Callable[..., tuple[Any, Any]]


def _target(p: Any) -> tuple[int, Any, Any]:
    """Which tail is the smaller one, its logarithm, and what one ulp of p changes in that."""
    p = np.float32(p)
    e = exactly(p)
    tail = e if e < mp.mpf(1) / 2 else 1 - e
    return int(e >= mp.mpf(1) / 2), mp.log(tail), ulp(e, np.float32) / tail


def _moved(theta: Sequence[Any], fixed: Sequence[int] = ()) -> list[list[Any]]:
    """The parameters with each moved by one ulp."""
    exact = [exactly(t) for t in theta]
    return [
        [*exact[:i], exactly(np.nextafter(t, np.float32(np.inf))), *exact[i + 1 :]]
        for i, t in enumerate(theta)
        if i not in fixed
    ]


def quantile_reference(
    tails: Tails, density: Callable[..., Any], p: Any, theta: Sequence[Any], support: tuple[Any, Any], guess: Any
) -> Reference | None:
    """The quantile of p by Newton's method on the logarithm of the smaller tail, and what one ulp in p and θ changes in it.

    A bad guess costs a bisection, and nothing else. None where the quantile is outside the range of normal numbers.
    """
    side, target, change = _target(p)
    exact = [exactly(t) for t in theta]
    low, high = support

    def equation(x: Any) -> tuple[Any, Any]:
        value = tails(x, *exact)[side]
        return value - target, (-1) ** side * mp.exp(density(x, *exact) - value)

    found = _newton(equation, exactly(guess), low, high) if np.isfinite(guess) else None
    if found is None:
        middle = _bisect(lambda x: (-1) ** side * equation(x)[0], low, high)
        found = None if middle is None else _newton(equation, middle, low, high)
    if found is None or not in_range(found[0], np.float32):
        return None
    x, slope = found
    moves = sum(abs(tails(x, *moved)[side] - target) for moved in _moved(theta))
    return Reference(x, ulp(x, np.float32) + (change + moves) / abs(slope))


def _newton(equation: Callable[[Any], tuple[Any, Any]], x: Any, low: Any, high: Any) -> tuple[Any, Any] | None:
    """The root of an equation that gives its value and slope, and the slope there."""
    for _ in range(12):
        if not low < x < high:
            return None
        value, slope = equation(x)
        if not mp.isfinite(value) or slope == 0:
            return None
        step = value / slope
        x -= step
        # What is left after a step is of the order of its square.
        if abs(step) <= mp.mpf(10) ** -10 * abs(x):
            return (x, slope) if low < x < high else None
    return None


def _bisect(rising: Any, low: Any, high: Any) -> Any:
    """The root of a rising function, found in a coordinate in which all of float32 is near."""

    def place(v: Any) -> Any:
        if mp.isinf(low):
            return mp.sinh(v)
        return low + (mp.exp(v) if mp.isinf(high) else (high - low) / (1 + mp.exp(-v)))

    left, right = mp.mpf(-100), mp.mpf(100)
    if rising(place(left)) > 0 or rising(place(right)) < 0:
        return None
    for _ in range(60):
        middle = (left + right) / 2
        left, right = (middle, right) if rising(place(middle)) < 0 else (left, middle)
    return place(left)


def is_out_of_range(tails: Tails, p: Any, theta: Sequence[Any]) -> bool:
    """Whether the quantile of p is above all numbers of float32."""
    side, target, _ = _target(p)
    value = tails(exactly(np.finfo(np.float32).max), *(exactly(t) for t in theta))[side]
    return bool((-1) ** side * (value - target) < 0)


def quantile_violation(tails: Tails, got: Any, p: Any, theta: Sequence[Any], fixed: Sequence[int]) -> tuple[Any, Any]:
    """How far a whole number is from P(X ≤ k) ≥ p > P(X ≤ k − 1), in units that one ulp in p and θ explains; and the worse tail.

    Both are compared in logarithms of the smaller tail.
    """
    side, target, change = _target(p)
    exact = [exactly(t) for t in theta]
    sign = (-1) ** side
    worst = mp.mpf(0), exactly(got)
    for k, wrong in ((exactly(got), -1), (exactly(got) - 1, 1)):
        value = tails(k, *exact)[side]
        gap = wrong * sign * (value - target)
        if gap > 0:
            if mp.isinf(value):
                return mp.inf, float(value)
            unit = change + sum(abs(tails(k, *moved)[side] - value) for moved in _moved(theta, fixed))
            worst = max(worst, (gap / unit, float(mp.exp(value))))
    return worst
