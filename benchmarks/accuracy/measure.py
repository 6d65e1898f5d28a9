"""What errors are measured in: units that the rounding of a result and of its arguments explains.

One unit is one ulp of the truth plus what moving each argument by one of its ulps changes. A function that is as good as its
arguments allow is within about one unit. *Excess wrong bits* are the binary logarithm of the error in units, at least 0.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np

__all__ = ["UNDEFINED", "Reference", "Score", "exactly", "in_range", "is_determined", "reference", "ulp"]

UNDEFINED = (ValueError, ZeroDivisionError, OverflowError)
"""What definitions raise where they do not apply, at a pole, or far out of any range."""

type Function = Callable[..., Any]


class Reference(NamedTuple):
    """The truth at a point, and the unit of its errors (0 where the truth is infinite: there is only right and wrong)."""

    value: Any
    unit: Any


def is_determined(truth: Reference) -> bool:
    """Whether a unit leaves four bits of it."""
    return bool(truth.unit <= abs(truth.value) / 16)


def exactly(x: Any) -> Any:
    """A floating-point number as the rational that it is (or ±∞)."""
    return mp.mpf(float(x))


def ulp(value: Any, like: Any) -> Any:
    """One unit in the last place of a real number in a floating-point type."""
    return mp.ldexp(1, mp.frexp(value)[1] - 1 - np.finfo(like).nmant)


def in_range(value: Any, like: Any) -> bool:
    """Whether it is well inside the range of normal numbers; what is not is left to tests of limits."""
    limits = np.finfo(like)
    return 8 * exactly(limits.tiny) < abs(value) < exactly(limits.max) / 8


def reference(function: Function, point: Sequence[Any], like: Any, fixed: Sequence[int] = ()) -> Reference | None:
    """The truth of `function` at a point of floating-point numbers, for results of type `like`.

    Arguments whose positions are in `fixed` are exact (counts, say) and are not moved. None where the truth is outside the range
    of normal numbers or is exactly 0.
    """
    arguments = [exactly(a) for a in point]
    truth = _real(function(*arguments))
    if mp.isinf(truth):
        return Reference(truth, mp.mpf(0))
    if not in_range(truth, like):
        return None
    unit = ulp(truth, like)
    for i, argument in enumerate(point):
        if i not in fixed:
            unit += _change(function, arguments, i, argument, truth)
    return Reference(truth, unit)


def _real(value: Any) -> Any:
    if isinstance(value, mp.mpc):
        raise ValueError("outside of its domain")
    return value


def _change(function: Function, arguments: list[Any], i: int, argument: Any, truth: Any) -> Any:
    """What moving argument i by one ulp changes: upwards, unless that leaves the domain."""
    for towards in (np.inf, -np.inf):
        with np.errstate(over="ignore"):
            neighbour = np.nextafter(argument, argument.dtype.type(towards))
        moved = [*arguments[:i], exactly(neighbour), *arguments[i + 1 :]]
        try:
            change = abs(_real(function(*moved)) - truth)
        except UNDEFINED:
            continue
        if mp.isfinite(change):
            return change
    raise ValueError(f"no neighbour of argument {i} = {argument} is inside the domain")


@dataclass
class Score:
    """How results compare with references.

    Attributes:
        worst: the largest error of finite results, in units.
        where: the point that it occurs at.
        nan: how many results are NaN.
        infinite: how many are infinite where the truth is finite, or finite (or of the other sign) where it is infinite.
        points: how many were judged.
        lost: where the first NaN or wrong ∞ was.
    """

    worst: float = 0.0
    where: Any = None
    nan: int = 0
    infinite: int = 0
    points: int = 0
    lost: Any = None

    @property
    def bits(self) -> float:
        """Excess wrong bits of the worst finite result."""
        return math.log2(max(1.0, self.worst))

    def add(self, got: Any, truth: Reference, where: Any = None) -> None:
        """Judge one result."""
        if np.isfinite(got) and mp.isfinite(truth.value):
            self.record(abs(exactly(got) - truth.value) / truth.unit, got, float(truth.value), where)
            return
        self.points += 1
        if np.isnan(got):
            self.nan += 1
        elif not (np.isinf(got) and mp.isinf(truth.value) and (got > 0) == (truth.value > 0)):
            self.infinite += 1
        else:
            return
        self.lost = self.lost or {"at": where, "got": str(got), "truth": mp.nstr(truth.value, 9)}

    def record(self, units: Any, got: Any, truth: Any, where: Any = None) -> None:
        """Add a finite result that is off by so many units."""
        self.points += 1
        if self.where is None or units > self.worst:
            self.worst = float(units)
            self.where = {"at": where, "got": float(got), "truth": float(truth)}
