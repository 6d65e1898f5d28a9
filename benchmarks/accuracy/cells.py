"""Cells of the table: a family and an operation, judged on a grid."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import mpmath as mp
import numpy as np

from benchmarks.accuracy.contestants import Inputs, numpyro_results, our_results, scipy_results, slopes
from benchmarks.accuracy.grids import Columns, levels
from benchmarks.accuracy.measure import UNDEFINED, Reference, Score, exactly, is_determined, reference
from benchmarks.accuracy.oracle import Oracle
from benchmarks.accuracy.quantiles import is_out_of_range, quantile_reference, quantile_violation
from benchmarks.accuracy.special import derivative
from benchmarks.accuracy.statistics import newton_references

__all__ = ["DIGITS", "ROWS", "Cells", "grid", "guarded_tails", "measure", "operations_of"]

DIGITS = 60
ROWS = 40
"""Of a grid. A sample is its first rows, and the compiled programs are the same."""

type Cells = dict[str, dict[str, Score]]


def grid(oracle: Oracle, with_statistics: bool = True) -> Inputs:
    """Where a family is judged."""
    columns = Columns(ROWS)
    theta = _float32(oracle.settings(columns))
    x = oracle.points(columns, *_float64(theta))
    level = levels(columns())
    p = theta if oracle.narrower is None else _float32(oracle.narrower(columns))
    q = _float32(oracle.neighbours(columns, *_float64(p)))
    limit = np.finfo(np.float32).max
    x = np.clip(x, -limit, limit).astype(np.float32)
    statistics = _statistics(oracle, theta) if with_statistics else None
    return Inputs(x, theta, level.astype(np.float32), statistics, p, q)


def operations_of(family: Any) -> list[str]:
    """What of the table a family has, with or without an oracle."""
    tails = () if "cdf" in family.lacks else ("cdf", "log_cdf", "log_sf", "icdf")
    exponential = ("log_normalizer", "expectation", "from_expectation") if hasattr(family, "natural") else ()
    found = ["log_prob", *slopes(tuple(family.parameters))[family.discrete :], "kl", "entropy", *tails, *exponential]
    return [name for name in found if name not in family.lacks]


def _float32(values: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    return tuple(np.asarray(v, np.float32) for v in values)


def _float64(values: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    return tuple(np.asarray(v, np.float64) for v in values)


def _statistics(oracle: Oracle, theta: Sequence[np.ndarray]) -> np.ndarray | None:
    """Expectation parameters of the settings, rounded."""
    if oracle.expectation is None:
        return None
    with mp.workdps(DIGITS):
        rows = [[*_numbers(oracle.expectation(*_row(theta, i)))] for i in range(ROWS)]
    limit = float(np.finfo(np.float32).max)
    return np.clip(np.array([[float(v) for v in row] for row in rows]), -limit, limit).astype(np.float32)


def _row(arrays: Sequence[np.ndarray], i: int) -> list[Any]:
    """Row i of each array, as numbers of mpmath (nested lists, for vectors and matrices)."""

    def told(v: Any) -> Any:
        return exactly(v) if np.ndim(v) == 0 else [told(part) for part in v]

    return [told(a[i]) for a in arrays]


def _numbers(value: Any) -> Iterator[Any]:
    """The numbers in nested tuples and lists."""
    if isinstance(value, tuple | list):
        for part in value:
            yield from _numbers(part)
    else:
        yield value


class _Arguments:
    """Arguments of an operation as one flat list of numbers per point, and back in the shapes that oracles take."""

    def __init__(self, names: Sequence[str], arrays: Sequence[np.ndarray], exact: Sequence[str]) -> None:
        self.arrays = arrays
        self.shapes = [a.shape[1:] for a in arrays]
        owners = [name for name, shape in zip(names, self.shapes) for _ in range(int(np.prod(shape)))]
        self.fixed = [i for i, owner in enumerate(owners) if owner in exact]

    def point(self, row: int) -> list[Any]:
        return [v for a in self.arrays for v in np.ravel(a[row])]

    def arranged(self, flat: Sequence[Any]) -> list[Any]:
        rest = iter(flat)

        def build(shape: tuple[int, ...]) -> Any:
            return [build(shape[1:]) for _ in range(shape[0])] if shape else next(rest)

        return [build(shape) for shape in self.shapes]

    def start(self, name_index: int) -> int:
        """Position of the first number of an argument."""
        return sum(int(np.prod(shape)) for shape in self.shapes[:name_index])


def measure(
    family: Any,
    oracle: Oracle,
    rows: int = ROWS,
    peers: bool = True,
    operations: Sequence[str] | None = None,
) -> Cells:
    """All cells of a family (or those named): operation → contestant → score, on the first rows of its grid."""
    wanted = [name for name in operations or operations_of(family) if oracle.fewer.get(name, ROWS)]
    inputs = grid(oracle, "from_expectation" in wanted)
    names = tuple(family.parameters)
    results = {"surprax": our_results(family, inputs, wanted)}
    if peers:
        results["numpyro"] = numpyro_results(oracle, names, family.discrete, inputs)
        results["scipy"] = scipy_results(oracle, family.discrete, inputs)
    cells: Cells = {}
    with mp.workdps(DIGITS):
        for operation, judge in _judges(family, oracle, inputs).items():
            if operation not in wanted:
                continue
            few = -(-oracle.fewer.get(operation, ROWS) * rows // ROWS)
            answers = {who: r[operation] for who, r in results.items() if operation in r}
            scores = {who: Score() for who in answers}
            for row in range(min(rows, few)):
                judge(row, {who: answer[row] for who, answer in answers.items()}, scores)
            # A truth that is 0, as of a level density's slope, has no ulp.
            if scores["surprax"].points:
                cells[operation] = scores
    return cells


type Judge = Callable[[int, dict[str, Any], dict[str, Score]], None]


def _judges(family: Any, oracle: Oracle, inputs: Inputs) -> dict[str, Judge]:
    names, known = tuple(family.parameters), family.known_parameters
    exact = (*oracle.exact, "x") if family.discrete else oracle.exact
    doubled = [*names, *names]
    at_x = _Arguments(["x", *names], [inputs.x, *inputs.theta], exact)
    at_theta = _Arguments(names, inputs.theta, exact)
    judges = {"log_prob": _of(oracle.log_density, at_x)}
    for i, name in enumerate(slopes(names)):
        if i or not family.discrete:
            judges[name] = _of(_slope(oracle.log_density, at_x, i), at_x)
    if oracle.kl is not None:
        judges["kl"] = _of(oracle.kl, _Arguments(doubled, [*inputs.p, *inputs.q], exact))
    if oracle.entropy is not None:
        judges["entropy"] = _of(oracle.entropy, _Arguments(names, inputs.p, exact))
    if oracle.log_tails is not None:
        tails = guarded_tails(oracle, family.discrete)
        both = lru_cache(maxsize=None)(lambda *flat: tails(*at_x.arranged(flat)))
        judges["cdf"] = _of(lambda *a: mp.exp(both(*_numbers(a))[0]), at_x)
        judges["log_cdf"] = _of(lambda *a: both(*_numbers(a))[0], at_x)
        judges["log_sf"] = _of(lambda *a: both(*_numbers(a))[1], at_x)
        judges["icdf"] = _inverse(oracle, tails, at_theta, inputs.level, family.discrete)
    if oracle.expectation is not None:
        judges["log_normalizer"] = _of(oracle.log_normalizer, at_theta)
        judges["expectation"] = _of(oracle.expectation, at_theta)
    if inputs.statistics is not None:
        judges["from_expectation"] = _solution(oracle, names, known, inputs, at_theta)
    return judges


def _of(function: Callable[..., Any], arguments: _Arguments, determined: bool = False) -> Judge:
    """Judge results, of one or several components, by a function of the arguments.

    Where they have to be `determined`, points are left out at which an ulp in the arguments leaves a component less than four bits.
    """

    @lru_cache(maxsize=1000)
    def values(*flat: Any) -> list[Any]:
        return [*_numbers(function(*arguments.arranged(flat)))]

    def judge(row: int, answers: dict[str, Any], scores: dict[str, Score]) -> None:
        point = arguments.point(row)
        size = np.size(next(iter(answers.values())))
        truths = [_reference(lambda *flat, c=c: values(*flat)[c], point, arguments) for c in range(size)]
        if determined and not all(t is None or is_determined(t) for t in truths):
            return
        for c, truth in enumerate(truths):
            _add(truth, c, point, answers, scores)

    return judge


def _reference(function: Callable[..., Any], point: list[Any], arguments: _Arguments) -> Reference | None:
    try:
        return reference(function, point, np.float32, arguments.fixed)
    except UNDEFINED:
        return None  # left to tests of limits


def _add(truth: Reference | None, c: int, point: list[Any], answers: dict[str, Any], scores: dict[str, Score]) -> None:
    if truth is not None:
        where = [float(v) for v in point]
        for who, answer in answers.items():
            scores[who].add(np.ravel(answer)[c], truth, where)


def _slope(log_density: Callable[..., Any], arguments: _Arguments, index: int) -> Callable[..., Any]:
    """The gradient in one argument, which may be a vector."""
    first, size = arguments.start(index), int(np.prod(arguments.shapes[index]))

    def slope(*args: Any) -> Any:
        flat = [*_numbers(args)]
        # Outside of the support there is no gradient.
        if mp.isinf(log_density(*args)):
            return [mp.mpf(0)] * size
        made = [derivative(lambda *flat: log_density(*arguments.arranged(flat)), flat, first + k) for k in range(size)]
        if any(mp.isinf(v) for v in made):
            raise ValueError("next to the end of the support")
        return made

    return slope


def guarded_tails(oracle: Oracle, discrete: bool) -> Callable[..., tuple[Any, Any]]:
    """The tails, also outside of the support."""

    def tails(x: Any, *theta: Any) -> tuple[Any, Any]:
        low, high = oracle.support(*theta)
        x = mp.floor(x) if discrete else x
        if x < low or (x == low and not discrete):
            return -mp.inf, mp.mpf(0)
        if x >= high:
            return mp.mpf(0), -mp.inf
        return oracle.log_tails(x, *theta)

    return tails


def _inverse(oracle: Oracle, tails: Callable[..., Any], arguments: _Arguments, level: Any, discrete: bool) -> Judge:
    def at(x: Any, *flat: Any) -> Any:
        return tails(x, *arguments.arranged(flat))

    def density(x: Any, *flat: Any) -> Any:
        return oracle.log_density(x, *arguments.arranged(flat))

    def judge(row: int, answers: dict[str, Any], scores: dict[str, Score]) -> None:
        theta, p = arguments.point(row), level[row]
        where = [float(v) for v in (p, *theta)]
        if discrete:
            for who, got in answers.items():
                with contextlib.suppress(*UNDEFINED):
                    if not np.isfinite(got):
                        right = mp.inf if is_out_of_range(at, p, theta) else mp.mpf(0)
                        scores[who].add(got, Reference(right, mp.mpf(1)), where)
                        continue
                    units, truth = quantile_violation(at, got, p, theta, arguments.fixed)
                    scores[who].record(units, got, truth, where)
            return
        support = oracle.support(*arguments.arranged([exactly(v) for v in theta]))
        truth = quantile_reference(at, density, p, theta, support, answers["surprax"])
        for who, got in answers.items():
            if truth is not None:
                scores[who].add(got, truth, where)

    return judge


def _solution(oracle: Oracle, names: Any, known: Any, inputs: Inputs, at_theta: _Arguments) -> Judge:
    """Parameters from expectation parameters: by a formula, or by Newton's method on the oracle of the latter."""
    held = [value for name, value in zip(names, inputs.theta) if name in known]
    free = [i for i, name in enumerate(names) if name not in known]
    if oracle.from_expectation is not None:
        count = inputs.statistics.shape[1]
        columns = [inputs.statistics[:, k] for k in range(count)]
        labels = [*(f"statistic {k}" for k in range(count)), *known]
        arguments = _Arguments(labels, [*columns, *held], oracle.exact)

        def solve(*args: Any) -> Any:
            made = oracle.from_expectation(args[:count], *args[count:])
            return [made[i] for i in free]

        return _of(solve, arguments, determined=True)

    def at(*flat: Any) -> list[Any]:
        return [*_numbers(oracle.expectation(*at_theta.arranged(flat)))]

    def judge(row: int, answers: dict[str, Any], scores: dict[str, Score]) -> None:
        statistics = inputs.statistics[row]
        truths = newton_references(at, statistics, at_theta.point(row))
        for c, truth in enumerate(truths or []):
            _add(truth, c, [*statistics], answers, scores)

    return judge
