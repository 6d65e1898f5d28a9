"""Where the climb of a chain's likelihood begins, and the best of several climbs."""

from typing import Any

import numpy as np

from surprax.beliefs.chain_fit import baum_welch, emissions_of, seen_rows
from surprax.beliefs.chain_outcomes import ChainFit, ChainReason
from surprax.beliefs.chain_sequences import Sequences
from surprax.beliefs.mixture_starts import divisions, generator
from surprax.numerics.precision import float64_scope

__all__ = ["best_climb"]

OWN = 0.9
"""Share of a row that its own part takes at the start; the rest goes to all states alike, so that none is without rows."""

TRIAL, FINALISTS = 40, 4
"""Iterations after which starts by chance are compared, and how many of them go on."""


def best_climb(
    cls: Any,
    family: Any,
    num_states: int,
    s: Sequences,
    key: Any,
    starts: int,
    iterations: int,
    tolerance: float,
    known: dict[str, Any],
) -> tuple[Any, ChainFit]:
    """`HiddenMarkov.fit_family`."""
    seen = seen_rows(s)
    rows = np.asarray(s.x)[seen]
    if not len(rows):
        raise ValueError("There is nothing to fit to: all observations are missing.")
    if not np.isfinite(rows).all():
        row = tuple(int(i) for i in np.argwhere(seen)[np.argwhere(~np.isfinite(rows))[0, 0]])
        raise ValueError(
            f"Observations of a chain are finite numbers, or NaN where they are missing; row {row[1]} of sequence {row[0]} is not."
        )
    if len(np.unique(rows, axis=0)) < num_states:
        raise ValueError(
            f"{num_states} states need at least as many different observations; got {len(np.unique(rows, axis=0))}. Ask for"
            " fewer states, or give a start of your own to `fit`."
        )
    rng = None if key is None else generator(key)
    climbs: list[tuple[Any, ChainFit]] = []
    trials: list[tuple[Any, ChainFit]] = []
    for name, part in divisions(family, rows, np.ones(len(rows)), num_states, starts, rng):
        start = _start(cls, family, num_states, rows, seen, part, known)
        if start is None:
            continue
        by_chance = name.startswith("k-means")
        climb = baum_welch(start, s, min(TRIAL, iterations) if by_chance else iterations, tolerance, known)
        if np.isfinite(climb[1].log_likelihood):
            (trials if by_chance else climbs).append(climb)
        if num_states == 1:
            break
    if not climbs + trials:
        raise ValueError(
            f"{family.__name__} has no maximum of the likelihood on parts of these observations, or cannot produce them all:"
            " nothing to start from. Give a start of your own to `fit`."
        )
    trials.sort(key=lambda climb: -climb[1].log_likelihood)
    finished = climbs + [_continued(*climb, s, iterations, tolerance, known) for climb in trials[:FINALISTS]]
    proper = [f for f in finished if f[1].reason is ChainReason.CONVERGED and not f[1].held.any()]
    model, outcome = max(proper or finished, key=lambda f: f[1].log_likelihood)
    return _in_order(model), outcome


def _continued(
    model: Any, so_far: ChainFit, s: Sequences, iterations: int, tolerance: float, known: dict[str, Any]
) -> tuple[Any, ChainFit]:
    """The same climb, to its end."""
    left = iterations - so_far.iterations
    if so_far.reason is not ChainReason.NOT_CONVERGED or left < 1:
        return model, so_far
    model, rest = baum_welch(model, s, left, tolerance, known)
    trace = np.concatenate([so_far.log_likelihoods, rest.log_likelihoods[1:]])
    return model, ChainFit(rest.reason, so_far.iterations + rest.iterations, trace, rest.held)


def _start(
    cls: Any, family: Any, k: int, rows: np.ndarray, seen: np.ndarray, part: np.ndarray, known: dict[str, Any]
) -> Any:
    """States take most of the rows of their part, and move as often as parts follow each other; None where a part has no fit."""
    shares = OWN * np.eye(k)[part] + (1.0 - OWN) / k
    emission, good = emissions_of(family, rows, shares, [known] * k)
    if not good.all():
        return None
    moves = np.ones((k, k))
    where = np.full(seen.shape, -1)
    where[seen] = part
    here, there = where[:, :-1].ravel(), where[:, 1:].ravel()
    both = (here >= 0) & (there >= 0)
    np.add.at(moves, (here[both], there[both]), 1.0)
    return cls(np.full(k, 1.0 / k), moves / moves.sum(axis=1, keepdims=True), emission)


def _in_order(model: Any) -> Any:
    """States in order of the mean of what they emit, where that is a number."""
    if model.emission.event_dim:
        return model
    with float64_scope():
        order = np.argsort(np.asarray(model.emission.mean), kind="stable")
    log_transition = np.asarray(model.log_transition)[order][:, order]
    return type(model)._of(np.asarray(model.log_initial)[order], log_transition, model.emission[order])
