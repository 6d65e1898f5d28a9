"""Parameters from expectation parameters, by Newton's method with many digits."""

from collections.abc import Callable, Sequence
from typing import Any

import mpmath as mp
import numpy as np

from benchmarks.accuracy.measure import Reference, exactly, is_determined, ulp
from benchmarks.accuracy.special import derivative

__all__ = ["newton_references"]


def newton_references(
    expectation: Callable[..., list[Any]], statistics: Sequence[Any], start: Sequence[Any]
) -> list[Reference] | None:
    """Positive parameters whose expectation parameters these are, and what one ulp in each of them changes.

    None where rounded statistics determine a parameter to less than four bits, or belong to no distribution.
    """
    wanted = mp.matrix([exactly(t) for t in statistics])
    theta = mp.matrix([exactly(t) for t in start])
    n = len(theta)
    for _ in range(60):
        at = [*theta]
        rows = [[derivative(lambda *a, i=i: expectation(*a)[i], at, j) for j in range(n)] for i in range(n)]
        inverse = mp.matrix(rows) ** -1
        step = inverse * (wanted - mp.matrix(expectation(*at)))
        largest = max(abs(step[i] / theta[i]) for i in range(n))
        damped = step * min(mp.mpf(1), 1 / (2 * largest)) if largest > 0 else step
        theta += damped
        if largest < mp.mpf(10) ** -25:
            break
    else:
        return None
    errors = [ulp(exactly(t), np.float32) for t in statistics]
    units = [ulp(theta[i], np.float32) + sum(abs(inverse[i, j]) * errors[j] for j in range(n)) for i in range(n)]
    found = [Reference(t, unit) for t, unit in zip(theta, units)]
    return found if all(is_determined(t) for t in found) else None
