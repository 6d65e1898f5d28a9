"""Expectation and maximisation (Dempster, Laird & Rubin 1977) for mixtures: intake, starts, and the climb from the best of them."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from surprax.beliefs import mixture_passes as passes
from surprax.beliefs.mixture_components import (
    expect,
    free_numbers,
    has_evidence,
    in_order,
    maximise,
    stacked,
)
from surprax.beliefs.mixture_outcomes import MixtureFit, MixtureReason, Start
from surprax.beliefs.mixture_rows import Rows, take_in
from surprax.beliefs.mixture_starts import divisions, few_rows, generator
from surprax.families.batches import map_parameters
from surprax.families.fitting import FEW
from surprax.families.outcomes import Outcome
from surprax.numerics.precision import float64_scope, in_float64, is_traced
from surprax.numerics.shapes import one_of_few, padded

__all__ = ["fit_mixture"]

SHORT = 15
"""Steps of the first try of every start."""

USUAL = 2000
"""Climbs up to this length share compiled code."""

FINALISTS = 3
"""So many of the best are climbed to the end on the few rows of the tries."""

_REASONS = {
    passes.CONVERGED: MixtureReason.CONVERGED,
    passes.LIMIT: MixtureReason.NOT_CONVERGED,
    passes.FELL: MixtureReason.DECREASED,
}


class Place(NamedTuple):
    """Where a climb is.

    Attributes:
        log_weights, components: the mixture; None where there is none.
        trace: log-likelihoods that led there, of so many rows (the sum of their weights).
        fault: which component degenerates, and why.
        limits: of each component that has no maximum inside, why.
    """

    log_weights: Any
    components: Any
    trace: np.ndarray
    reason: MixtureReason
    fault: str = ""
    limits: tuple[str, ...] = ()
    rows: float = 1.0

    @property
    def height(self) -> float:
        """Log-likelihood per row."""
        return float(self.trace[-1]) / self.rows if len(self.trace) and not self.fault else -np.inf


def fit_mixture(
    family: Any,
    k: int,
    data: Any,
    weights: Any,
    start: Any,
    key: Any,
    starts: int,
    max_iterations: int,
    tolerance: float,
    known: dict[str, Any],
) -> tuple[Any, Any, MixtureFit]:
    """Log-weights and components (NaN where there are none), and what became of the fit."""
    if is_traced(data, weights, known):
        raise ValueError(
            "A mixture is fitted to known numbers, one iteration at a time: call `fit` outside of jit, or follow the gradient of"
            " `log_likelihood`."
        )
    if max_iterations < 1 or not tolerance >= 0 or starts < 1:
        raise ValueError(
            "A fit has at least 1 iteration and 1 start, and a tolerance of at least 0; got"
            f" max_iterations={max_iterations}, starts={starts} and tolerance={tolerance}."
        )
    held = bool(known)
    rows, distinct, known = take_in(family, k, data, weights, known)
    if distinct < k:
        fault = (
            f"A mixture of {k} components needs at least {k} different observations; got {distinct} among"
            f" {rows.weights.sum():,.6g} rows"
        )
        place = Place(None, None, np.zeros(0), MixtureReason.TOO_FEW, fault)
        return _told(family, k, rows, [("all rows", place)], known)
    climb = functools.partial(_climb, family, known=known)
    rest = tolerance * float(rows.weights.sum())
    if start is not None:
        given = Place(start[0], start[1], np.zeros(0), MixtureReason.NOT_CONVERGED)
        given = _held_to(family, rows, given, known) if held else given
        places = [("as given", climb(rows, given, limit=max_iterations, tolerance=rest))]
    elif k == 1:
        places = [("all rows", _of_one(family, rows, known))]
    else:
        places = _from_starts(family, k, rows, known, key, starts, max_iterations, tolerance)
    return _told(family, k, rows, places, known)


# Starts ---------------------------------------------------------------------------------------------------------------


def _from_starts(
    family: Any,
    k: int,
    rows: Rows,
    known: dict[str, Any],
    key: Any,
    starts: int,
    max_iterations: int,
    tolerance: float,
) -> list[tuple[str, Place]]:
    """Short climbs from all starts on a few rows, long ones from the best, and the best of those on all rows."""
    rng = None if key is None else generator(key)
    few = Rows(*few_rows(*rows, rng))
    climb = functools.partial(_climb, family, known=known)
    rest = tolerance * float(few.weights.sum())
    tried = []
    for name, part in divisions(family, *few, k, starts, rng):
        place = _first(family, k, few, part, known)
        if not place.fault:
            place = climb(few, place, limit=min(SHORT, max_iterations), tolerance=rest)
        tried.append((name, place))
    tried.sort(key=lambda item: _rank(family, few, item[1], known))
    whole = len(few.x) == len(rows.x)
    settled = 0
    for i, (name, place) in enumerate(tried):
        if settled == FINALISTS or place.fault:
            break
        if place.reason == MixtureReason.NOT_CONVERGED and len(place.trace) <= max_iterations:
            place = climb(few, place, limit=max_iterations + 1 - len(place.trace), tolerance=rest)
        tried[i] = (name, place)
        settled += not place.fault
    tried.sort(key=lambda item: _rank(family, few, item[1], known))
    if whole:
        return tried
    for i, (name, place) in enumerate(tried):
        if place.fault:
            break
        place = climb(
            rows,
            place._replace(trace=np.zeros(0)),
            limit=max_iterations,
            tolerance=tolerance * float(rows.weights.sum()),
        )
        if not place.fault:
            return [(name, place), *tried[:i], *tried[i + 1 :]][: len(tried)]
        tried[i] = (name, place)
    return tried


def _first(family: Any, k: int, rows: Rows, part: np.ndarray, known: dict[str, Any]) -> Place:
    """Components of the parts that rows were divided into; a part that has no fit of its own is mixed with the rest."""
    own = np.eye(k)[part]
    for blend in (0.0, 0.2, 0.5):
        shares = rows.weights[:, None] * ((1.0 - blend) * own + blend / k)
        made = maximise(family, rows.x, shares, known)
        if not made.fault:
            total = shares.sum(axis=0)
            return Place(np.log(total / total.sum()), made.components, np.zeros(0), MixtureReason.NOT_CONVERGED)
    return Place(None, None, np.zeros(0), MixtureReason.DEGENERATE, made.fault)


def _held_to(family: Any, rows: Rows, place: Place, known: dict[str, Any]) -> Place:
    """One step from a start, whose parameters need not have the values at which they are to be held."""
    total, shares = expect(place.log_weights, place.components, *rows)
    if not np.isfinite(total):
        return place
    made = maximise(family, rows.x, shares, known, place.components)
    counts = shares.sum(axis=0)
    return (
        place if made.fault else place._replace(log_weights=np.log(counts / counts.sum()), components=made.components)
    )


def _of_one(family: Any, rows: Rows, known: dict[str, Any]) -> Place:
    """A single component is what the family fits."""
    fit, outcome = family.try_fit(rows.x, rows.weights, **known)
    fit = stacked([fit])
    if not outcome.ok:
        return Place(None, None, np.zeros(0), MixtureReason.DEGENERATE, f"of component 0, {Outcome(int(outcome.code))}")
    total, _ = expect(np.zeros(1), fit, *rows)
    return Place(np.zeros(1), fit, np.atleast_1d(total), MixtureReason.CONVERGED, "", ("",), float(rows.weights.sum()))


# Climbs ---------------------------------------------------------------------------------------------------------------


def _climb(family: Any, rows: Rows, place: Place, *, known: dict[str, Any], limit: int, tolerance: float) -> Place:
    """At most `limit` steps from there: compiled where the family has evidence, row by row where it does not."""
    place = place._replace(rows=float(rows.weights.sum()))
    before = place.trace
    if has_evidence(family, known):
        end = _compiled(family, rows, place, known, limit, tolerance)
        trace = np.asarray(end.trace)
        trace = trace[~np.isnan(trace)]
        # A climb that goes on begins where the last one ended.
        place = place._replace(
            log_weights=end.log_weights,
            components=end.components,
            trace=_joined(before, trace),
            limits=("",) * len(end.log_weights),
        )
        if int(end.status) != passes.STRAINED:
            return place._replace(reason=_REASONS[int(end.status)])
        limit = max(limit - int(end.steps), 1)
    return _by_rows(family, rows, place, known, limit, tolerance)


def _joined(before: np.ndarray, trace: np.ndarray) -> np.ndarray:
    return np.concatenate([before, trace[1:] if len(before) else trace])


def _compiled(
    family: Any, rows: Rows, place: Place, known: dict[str, Any], limit: int, tolerance: float
) -> passes.Climb:
    x, w = rows
    size = one_of_few(len(x)) if len(x) <= FEW else -(-len(x) // passes.BLOCK) * passes.BLOCK
    if size != len(x):
        x = np.concatenate([x, np.broadcast_to(x[:1], (size - len(x), *x.shape[1:]))])
        w = padded(w, size, 0.0)
    with float64_scope():
        centre = _centre(family, x, w, known)
        end = passes.climb(
            family,
            np.asarray(place.log_weights, np.float64),
            map_parameters(lambda leaf, _: np.asarray(leaf, np.float64), place.components),
            x,
            w,
            centre,
            known,
            np.asarray(limit),
            np.asarray(tolerance, np.float64),
            longest=one_of_few(max(limit, USUAL) + 1),
        )
        return jax.tree.map(np.asarray, end)


@functools.partial(jax.jit, static_argnums=0)
def _centre(family: Any, x: Any, weights: Any, known: Any) -> Any:
    """The mean of the carrier, about."""
    y = family.layout.carrier.given(known).of(x.astype(jnp.float64))
    return jnp.einsum("n,n...->...", weights / jnp.sum(weights), y)


def _by_rows(family: Any, rows: Rows, place: Place, known: dict[str, Any], limit: int, tolerance: float) -> Place:
    trace, before = list(place.trace), place
    for step in range(limit + 1):
        total, shares = expect(place.log_weights, place.components, *rows)
        total = float(total)
        if not np.isfinite(total):
            reason = MixtureReason.IMPOSSIBLE if total == -np.inf else MixtureReason.DEGENERATE
            return before._replace(
                reason=reason, trace=np.array(trace), fault="a row has no finite probability" if step else ""
            )
        again = step == 0 and len(trace) > 0  # where the last climb ended
        slack = (1e-7 if any(place.limits) else 1e-10) * (place.rows + abs(total))
        if trace and total < trace[-1] - slack and not again:
            return before._replace(reason=MixtureReason.DECREASED, trace=np.array(trace))
        if not again:
            trace.append(max(total, trace[-1]) if trace else total)
        place = place._replace(trace=np.array(trace))
        gains = np.diff(trace[-3:]) if step > 1 else np.zeros(0)
        if len(gains) == 2 and (
            passes.predicted_rest(gains[1], gains[0]) <= tolerance
            or gains[1] <= passes.ROUNDING * (place.rows + abs(total))
        ):
            return place._replace(reason=MixtureReason.CONVERGED)
        if step == limit:
            break
        made = maximise(family, rows.x, shares, known, place.components)
        if made.fault:
            return place._replace(reason=MixtureReason.DEGENERATE, fault=made.fault)
        before, counts = place, shares.sum(axis=0)
        place = place._replace(
            log_weights=np.log(counts / counts.sum()), components=made.components, limits=made.limits
        )
    return place._replace(reason=MixtureReason.NOT_CONVERGED)


# Answers --------------------------------------------------------------------------------------------------------------


_joint = in_float64(passes.joint)


@in_float64
def _effective(log_weights: Any, components: Any, x: Any, weights: Any) -> Any:
    shares = jnp.exp(jax.nn.log_softmax(passes.joint(log_weights, components, x), axis=1))
    total = jnp.sum(weights[:, None] * shares, axis=0)
    return total * total / jnp.sum(weights[:, None] * shares * shares, axis=0)


def _effective_rows(family: Any, rows: Rows, place: Place) -> np.ndarray:
    """Rows that each component rests on; of densities, rows that are alike count once."""
    weights = rows.weights if family.discrete else np.ones(len(rows.weights))
    return np.asarray(_effective(place.log_weights, place.components, rows.x, weights))


def _rank(family: Any, rows: Rows, place: Place, known: dict[str, Any]) -> tuple[Any, ...]:
    """Those that degenerate last, before them those with a chance cluster, or two components alike; then by likelihood."""
    if place.fault or place.components is None:
        return (2, 0.0)
    least = free_numbers(place.components, known) / len(place.log_weights) - 0.01
    few = Rows(rows.x[:FEW], rows.weights[:FEW])
    chance = len(rows.x) <= FEW and bool(np.any(_effective_rows(family, few, place) < least))
    return (1 if chance or _alike(few, place) else 0, -place.height)


def _alike(rows: Rows, place: Place) -> str:
    """Which two components coincide, in words; "" if none do."""
    few = rows.x[: 1 + len(rows.x) // 64 * 64 : 1 + len(rows.x) // 64]
    heights = np.asarray(_joint(place.log_weights, place.components, few)) - np.asarray(place.log_weights)
    for j in range(1, len(place.log_weights)):
        for i in range(j):
            if np.allclose(heights[:, i], heights[:, j], rtol=1e-6, atol=1e-4):
                return f"components {i} and {j} coincide, so that fewer would do as well"
    return ""


def _told(
    family: Any, k: int, rows: Rows, places: list[tuple[str, Place]], known: dict[str, Any]
) -> tuple[Any, Any, MixtureFit]:
    total = float(rows.weights.sum())
    best = places[0][1]
    alike = "" if best.fault or best.components is None else _alike(rows, best)
    if alike and not family.discrete and any(place.fault for _, place in places):
        # The likelihood is unbounded, and this is a saddle from which it climbs.
        best = best._replace(fault=alike, reason=MixtureReason.DEGENERATE)
        places = [*places[1:], (places[0][0], best)]
    told = tuple(Start(name, p.reason, p.height, max(len(p.trace) - 1, 0), p.fault) for name, p in places)
    if best.fault or best.components is None:
        some = stacked([family.try_fit(rows.x, rows.weights, **known)[0]] * k)
        nothing = map_parameters(lambda leaf, _: np.full(np.shape(leaf), np.nan), some)
        free = free_numbers(some, known) + k - 1
        fit = MixtureFit(best.reason, 0, np.zeros(0), total, len(rows.x), free, np.full(k, np.nan), ("",) * k, told)
        return np.full(k, np.nan), nothing, fit
    order = in_order(best.components, k)
    log_weights = np.asarray(best.log_weights, np.float64)[order]
    components = map_parameters(lambda leaf, _: np.asarray(leaf)[order], best.components)
    limits = tuple(best.limits[j] for j in order) if best.limits else ("",) * k
    fit = MixtureFit(
        best.reason,
        max(len(best.trace) - 1, 0),
        best.trace,
        total,
        len(rows.x),
        free_numbers(components, known) + k - 1,
        _effective_rows(family, rows, best)[order],
        limits,
        told,
        bool(alike),
    )
    return log_weights, components, fit
