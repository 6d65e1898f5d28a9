"""How primitives are judged: errors beside mpmath, in units in the last place of result and arguments."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import mpmath as mp
import numpy as np
from benchmarks.accuracy.measure import reference

DTYPES = (np.float32, np.float64)
INF, NAN = float("inf"), float("nan")
type Oracle = Callable[..., Any]


def excess(got: np.ndarray, oracle: Oracle, arguments: Sequence[np.ndarray]) -> tuple[float, Any]:
    """The worst error in units of (one ulp of the truth + what one ulp in each argument changes), and where it is.

    Truths outside the range of normal numbers are left to the tests of limits.
    """
    worst: tuple[float, Any] = (0.0, None)
    for value, *point in zip(got, *arguments):
        truth = reference(oracle, point, got.dtype)
        if truth is None or mp.isinf(truth.value):
            continue
        error = float(abs(mp.mpf(float(value)) - truth.value) / truth.unit) if np.isfinite(value) else INF
        if error > worst[0]:
            worst = error, (got.dtype.name, [float(v) for v in point], value, float(truth.value))
    return worst


def log_grid(low: float, high: float, count: int, seed: int = 0) -> np.ndarray:
    """Numbers whose decimal logarithms are uniform in [low, high]."""
    return 10.0 ** np.random.default_rng(seed).uniform(low, high, count)


def close_to(x: np.ndarray | float, count: int, seed: int = 1) -> np.ndarray:
    """x times one plus or minus 1e-7 to 0.5."""
    sign = np.random.default_rng(seed).choice([-1, 1], count)
    return x * (1 + sign * log_grid(-7, -0.3, count, seed))


class Case(NamedTuple):
    function: Callable[..., jax.Array]
    value: Oracle
    slopes: tuple[Oracle, ...]
    arguments: tuple[np.ndarray, ...]

    def __repr__(self) -> str:
        return self.function.__name__


def check(case: Case, dtype: type, bound: float = 4.0) -> None:
    """The value and every slope of a case are within `bound` units of the truth."""
    with jax.enable_x64(dtype is np.float64), mp.workdps(75):
        arguments = [argument.astype(dtype) for argument in case.arguments]
        names = ["value"] + [f"slope {i}" for i in range(len(case.slopes))]
        slopes = jax.jit(jax.vmap(jax.grad(case.function, tuple(range(len(case.slopes))))))  # one program for all
        results = [case.function(*arguments), *(slopes(*arguments) if case.slopes else ())]
        for name, result, oracle in zip(names, results, (case.value, *case.slopes), strict=True):
            got = np.asarray(result)
            assert got.dtype == dtype
            worst, where = excess(got, oracle, arguments)
            assert worst <= bound, (name, worst, where)
