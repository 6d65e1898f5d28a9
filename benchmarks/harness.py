"""How a case is run: prepare, judge every answer against float64, then let the entrants take turns.

Times on a shared machine drift by more than most differences are worth. Entrants therefore run A, B, A, B, … in one
process, each turn of ours is divided by the turn of the peer beside it, and what is reported is the median of these
ratios with a bootstrap interval. A ratio below 1 means that ours is faster.
"""

import gc
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import machine

__all__ = [
    "Case",
    "Contest",
    "Effort",
    "Entrant",
    "MissingPeerError",
    "OracleError",
    "Setting",
    "Target",
    "against",
    "call",
    "interval",
    "jitted",
    "quietly",
    "run_case",
    "stages",
    "take_turns",
]

FEWEST_PAIRS = 3
"""With fewer pairs an interval says nothing, and nothing is claimed."""

SHORTEST_TURN = 0.01
"""Seconds; what takes less is called several times in one turn."""

MOST_CALLS = 100_000


class OracleError(Exception):
    """An answer is wrong, so that its time means nothing."""


class MissingPeerError(Exception):
    """A peer is not installed; the message says how to install it. The case fails: a comparison without its peer is none."""


@dataclass(frozen=True)
class Setting:
    """What a case is prepared for: its full size, or one that only shows that it works; and a folder for its files."""

    quick: bool
    scratch: Path

    def size(self, full: int, quick: int) -> int:
        return quick if self.quick else full


@dataclass(frozen=True)
class Effort:
    """How long to go on: `repeats` turns each, fewer once `budget` seconds are spent, but never below `fewest`."""

    quick: bool = False
    repeats: int = 30
    budget: float = 60.0
    fewest: int = FEWEST_PAIRS
    shortest_turn: float = SHORTEST_TURN

    @classmethod
    def least(cls, repeats: int = 1) -> "Effort":
        """Tiny sizes, single calls. Without repeats the judged call, compilation and all, is the only turn."""
        return cls(quick=True, repeats=repeats, budget=0.0, fewest=1, shortest_turn=0.0)


@dataclass(frozen=True)
class Entrant:
    """One way to do the job.

    Attributes:
        run: does it once; inputs are on the device already.
        answer: what the judge looks at, made from what `run` returned; not timed.
        compilation: seconds to trace, lower and compile, where these can be taken apart; {} where nothing is compiled.
        temporaries: bytes of memory that the compiled program takes beside inputs and outputs, where known.
        times: what a turn stands for, where only a part of the job is done (a loop over some of the groups).
    """

    run: Callable[[], Any]
    answer: Callable[[Any], Any] = lambda result: result
    compilation: Mapping[str, float] | None = None
    temporaries: int | None = None
    times: float = 1.0


@dataclass(frozen=True)
class Contest:
    """A case made ready.

    Attributes:
        rows: of data, for times per row; 0 where there are none.
        dtype: in which the data lie there.
        entrants: by name; the first is ours.
        judge: from the answers by name to the error of each, in units that `tolerance` is stated in.
        tolerance: largest error of ours.
        peer_tolerance: largest error of a peer; beyond it the comparison is of two different jobs.
        reads: the array that the job has to read; its plain sum takes turns too, and is the measure of bandwidth.
    """

    rows: int
    dtype: str
    entrants: Mapping[str, Entrant]
    judge: Callable[[Mapping[str, Any]], Mapping[str, float]]
    tolerance: float
    peer_tolerance: float = 1e-3
    reads: jax.Array | None = None


@dataclass(frozen=True)
class Target:
    """What a case should reach: a ratio to `peer`, or bytes of "growth" or "temporaries" of ours, at most `limit`."""

    limit: float
    peer: str = ""
    measure: str = "ratio"


@dataclass(frozen=True)
class Case:
    """A benchmark, as data: `prepare(setting)` makes the contest. `once`: it is about answers, and one turn will do."""

    name: str
    title: str
    prepare: Callable[[Setting], Contest]
    targets: tuple[Target, ...] = ()
    devices: tuple[str, ...] = ("cpu", "gpu", "tpu")
    once: bool = False

    @property
    def group(self) -> str:
        return self.name.split("/")[0]


# Making entrants.


def stages(function: Callable[..., Any], *args: Any) -> tuple[Any, dict[str, float], int | None]:
    """`function` compiled for `args`; seconds to trace, lower and compile it; and the bytes of its temporaries."""
    seconds = {}
    start = time.perf_counter()
    traced = jax.jit(function).trace(*args)
    seconds["trace"] = time.perf_counter() - start
    start = time.perf_counter()
    lowered = traced.lower()
    seconds["lower"] = time.perf_counter() - start
    start = time.perf_counter()
    program = lowered.compile()
    seconds["compile"] = time.perf_counter() - start
    analysis = program.memory_analysis()
    return program, seconds, None if analysis is None else int(analysis.temp_size_in_bytes)


def jitted(function: Callable[..., Any], *args: Any, answer: Callable[[Any], Any] = lambda result: result) -> Entrant:
    """`function(*args)`, compiled ahead of time so that its stages can be timed apart."""
    program, seconds, temporaries = stages(function, *args)
    return Entrant(lambda: program(*args), answer, seconds, temporaries)


def call(
    function: Callable[..., Any],
    *args: Any,
    answer: Callable[[Any], Any] = lambda result: result,
    program: Callable[..., Any] | None = None,
    times: float = 1.0,
) -> Entrant:
    """`function(*args)` as a user calls it. `program`: the part of it that is compiled, whose stages are told."""
    _, seconds, temporaries = stages(program, *args) if program is not None else (None, None, None)
    return Entrant(lambda: function(*args), answer, seconds, temporaries, times)


def against(truth: Any, scale: Any = None) -> Callable[[Mapping[str, Any]], dict[str, float]]:
    """A judge: the largest error of an answer relative to `scale` (default: the size of the truth itself).

    For a sum, the scale is the sum of the magnitudes of its terms: no order of adding them can promise more.
    """
    truth = np.asarray(truth, np.float64)
    scale = np.abs(truth) if scale is None else np.asarray(scale, np.float64)

    def error(answer: Any) -> float:
        answer = np.asarray(answer, np.float64)
        if answer.shape != truth.shape:
            raise OracleError(f"an answer has shape {answer.shape} where the truth has {truth.shape}")
        return float(np.max(np.abs(answer - truth) / scale))

    return lambda answers: {name: error(answer) for name, answer in answers.items()}


# Running.


def run_case(case: Case, effort: Effort) -> dict[str, Any]:
    """The record of a case: raw times, ratios, errors, memory; raises `OracleError` where an answer is wrong."""
    with tempfile.TemporaryDirectory(prefix="surprax-bench-") as scratch:
        contest = case.prepare(Setting(effort.quick, Path(scratch)))
        runs = {name: entrant.run for name, entrant in contest.entrants.items()}
        if contest.reads is not None:
            runs[READING] = jitted(jnp.sum, contest.reads).run
        first, growth, answers = {}, {}, {}
        for name, run in runs.items():
            start = time.perf_counter()
            growth[name], result = machine.growth(partial(_finished, run))
            first[name] = time.perf_counter() - start
            if name in contest.entrants:
                answers[name] = contest.entrants[name].answer(result)
            del result
        errors = _judged(case, contest, answers)
        del answers
        if case.once:
            effort = replace(effort, repeats=min(effort.repeats, 1), fewest=1, shortest_turn=0.0)
        turns, calls = take_turns(runs, effort) if effort.repeats else ({n: [t] for n, t in first.items()}, {})
    entrants: dict[str, dict[str, Any]] = {
        name: {
            "seconds": [entrant.times * seconds for seconds in turns[name]],
            "minimum": entrant.times * min(turns[name]),
            "median": entrant.times * float(np.median(turns[name])),
            "ns_per_row": 1e9 * entrant.times * float(np.median(turns[name])) / contest.rows if contest.rows else None,
            "calls_per_turn": calls.get(name, 1),
            "first_call": entrant.times * first[name],
            "compilation": entrant.compilation,
            "temporaries": entrant.temporaries,
            "growth": growth[name],
            "error": errors[name],
            "extrapolated": entrant.times,
        }
        for name, entrant in contest.entrants.items()
    }
    ours, *peers = entrants
    ratios = {name: interval(np.divide(entrants[ours]["seconds"], entrants[name]["seconds"])) for name in peers}
    return {
        "title": case.title,
        "rows": contest.rows,
        "dtype": contest.dtype,
        "tolerance": contest.tolerance,
        "entrants": entrants,
        "ratios": ratios,
        "reading": None if contest.reads is None else _reading(contest.reads.nbytes, turns[READING], turns[ours]),
        "targets": [_told(target, entrants[ours], ratios) for target in case.targets],
    }


READING = "(reading)"


def _finished(run: Callable[[], Any]) -> Any:
    return jax.block_until_ready(run())


def _reading(size: int, plain: Sequence[float], ours: Sequence[float]) -> dict[str, Any]:
    """The bandwidth of reading the data once, and which share of it our time amounts to."""
    return {
        "seconds": list(plain),
        "bytes": size,
        "bytes_per_second": size / float(np.median(plain)),
        "fraction": interval(np.divide(plain, ours))["median"],
    }


def _judged(case: Case, contest: Contest, answers: Mapping[str, Any]) -> Mapping[str, float]:
    errors = contest.judge(answers)
    for number, (name, error) in enumerate(errors.items()):
        allowed = contest.peer_tolerance if number else contest.tolerance
        if not error <= allowed:  # NaN is wrong too
            raise OracleError(f"{case.name}: {name} is off by {error:.3g} where {allowed:.3g} is allowed")
    if missing := contest.entrants.keys() - errors.keys():
        raise OracleError(f"{case.name}: nobody judged {', '.join(sorted(missing))}")
    return errors


def take_turns(runs: Mapping[str, Callable[[], Any]], effort: Effort) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Seconds per call of each, turn by turn, and how many calls a turn has."""
    calls = {name: _calls(run, effort.shortest_turn) for name, run in runs.items()}
    turns: dict[str, list[float]] = {name: [] for name in runs}
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        for round_number in range(1, effort.repeats + 1):
            for name, run in runs.items():
                turns[name].append(_turn(run, calls[name]))
            spent = time.perf_counter() - start
            if round_number >= effort.fewest and spent * (1 + 1 / round_number) > effort.budget:
                break
    finally:
        if collecting:
            gc.enable()
    return turns, calls


def _turn(run: Callable[[], Any], calls: int) -> float:
    start = time.perf_counter()
    # Blocking once on everything keeps its own few microseconds out of what a single call costs.
    jax.block_until_ready([run() for _ in range(calls)])
    return (time.perf_counter() - start) / calls


def _calls(run: Callable[[], Any], shortest: float) -> int:
    """How many calls make a turn of at least `shortest` seconds."""
    calls = 1
    while shortest > 0 and (seconds := calls * _turn(run, calls)) < shortest and calls < MOST_CALLS:
        calls = min(MOST_CALLS, max(calls + 1, int(1.2 * calls * min(shortest / seconds, 10.0))))
    return calls


def interval(ratios: Sequence[float] | np.ndarray, level: float = 0.95, resamples: int = 2000) -> dict[str, Any]:
    """The median of paired ratios and its bootstrap percentile interval; the seed is fixed, and so is the interval."""
    ratios = np.asarray(ratios, np.float64)
    draws = np.random.default_rng(0).choice(ratios, (resamples, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), [(1 - level) / 2, (1 + level) / 2])
    return {"median": float(np.median(ratios)), "low": float(low), "high": float(high), "pairs": len(ratios)}


def _told(target: Target, ours: Mapping[str, Any], ratios: Mapping[str, Any]) -> dict[str, Any]:
    """A target with the value reached; `met` is None where the interval of a ratio reaches across the limit."""
    met: bool | None
    if target.measure == "ratio":
        if target.peer not in ratios:
            raise OracleError(f"no entrant is named {target.peer!r}: there is nothing to hold the target against")
        ratio = ratios[target.peer]
        value = ratio["median"]
        met = True if ratio["high"] <= target.limit else False if ratio["low"] > target.limit else None
        if ratio["pairs"] < FEWEST_PAIRS:
            met = None
    else:
        value = ours[target.measure]
        met = None if value is None else value <= target.limit
    return {"measure": target.measure, "peer": target.peer, "limit": target.limit, "value": value, "met": met}


def quietly[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """`function` without its warnings: those of a peer are not ours to answer for."""

    def hushed(*args: P.args, **kwargs: P.kwargs) -> R:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*args, **kwargs)

    return hushed
