"""Latent sites whose prior is conjugate to all that depends on them: posterior = prior + evidence.

Which entry of which site the rows of a cell depend on is found by exchanging entries between two points, half of them at a time:
the entry whose number has the digits of those halves that make a difference is the one, and if both halves do, there are several.
What a cell's distribution stands for (`surprax.infer.unknowns`) is then compared with that entry at random points.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.beliefs import conjugates
from surprax.families.batches import map_parameters
from surprax.families.exponential import ExponentialFamily
from surprax.infer.anatomy import Anatomy, Component, Latents, elementwise_family, named
from surprax.infer.likelihoods import Cells, cells_of
from surprax.infer.parts import Part
from surprax.infer.transports import marginal_of, transport
from surprax.infer.unknowns import VIEWS, View, as_belief, fits, mapped, unknown_of

__all__ = ["NONE", "SEVERAL", "conjugate_part", "conjugate_trouble", "entry_of_each", "prior_belief"]

SAME = 1e-9
"""Relative difference up to which two ways to compute a parameter are the same."""

_MOST = 1 << 22
"""Elements that a table of evidence by entry may have."""

_SAMPLE = 1 << 12


class _Match(NamedTuple):
    """A conjugate pair that some cells are: the unknown is a + b v(entry)."""

    pair: Any
    view: View
    a: np.ndarray
    b: np.ndarray
    known: Mapping[str, np.ndarray]


def prior_belief(anatomy: Anatomy, name: str) -> Any:
    """The prior of a latent site as a batch of beliefs along one axis; a string says why there is none."""
    site = anatomy.site(name)
    if anatomy.parents[name]:
        return f"the prior of {name!r} depends on {named(anatomy.parents[name])}"
    if site.scale is not None or site.mask is not None:
        return f"the prior of {name!r} is scaled or masked"
    family = elementwise_family(anatomy.distribution(name, {}))
    belief = None if family is None else as_belief(family, anatomy.shape(name))
    if belief is None:
        return f"{anatomy.what(name)}, the prior of {name!r}, is conjugate to nothing"
    return belief


def conjugate_trouble(anatomy: Anatomy, component: Component) -> str | None:
    """Why a component cannot be solved by conjugacy, as far as its families tell."""
    beliefs = {name: prior_belief(anatomy, name) for name in component.latents}
    for belief in beliefs.values():
        if isinstance(belief, str):
            return belief
    for other in component.others:
        family = anatomy.site(other).family
        parents = anatomy.parents[other]
        views = {prior for name in parents for prior, _ in VIEWS[type(beliefs[name])]}
        if anatomy.site(other).kind == "factor":
            return f"{other!r} is a factor"
        if family is None or not any(pair.likelihood is family and pair.prior in views for pair in conjugates(family)):
            priors = " and ".join(f"{type(beliefs[name]).__name__}, the prior of {name!r}," for name in parents)
            return f"{priors} is not conjugate to {anatomy.what(other)} {other!r}"
    return None


def conjugate_part(anatomy: Anatomy, component: Component, points: Sequence[Latents]) -> Part | str:
    """The posterior of a component by conjugacy, or why there is none.

    Args:
        anatomy: the model.
        component: some of its sites.
        points: values of the latent sites, at random inside of their supports; at least four.
    """
    beliefs: dict[str, Any] = {}
    for name in component.latents:
        found = prior_belief(anatomy, name)
        if isinstance(found, str):
            return found
        beliefs[name] = found
    numbers = {name: beliefs[name].batch_shape[0] for name in component.latents}
    partners: dict[str, list[str]] = {name: [] for name in component.latents}
    for other in component.others:
        cells = cells_of(anatomy, other)
        if isinstance(cells, str):
            return cells
        entry = entry_of_each(cells.parameters, points[0], points[1], numbers, anatomy)
        if np.any(entry == SEVERAL):
            return f"single rows of {other!r} depend on several values of {named(anatomy.parents[other])} at once"
        distributions = [cells.distribution(point) for point in points]
        start = 0
        for name, number in numbers.items():
            mine = np.flatnonzero((entry >= start) & (entry < start + number))
            places, start = entry[mine] - start, start + number
            if not mine.size:
                continue
            values = [_entries(point[name], beliefs[name])[places] for point in points]
            match = _match(beliefs[name], cells, [_at(d, mine) for d in distributions], values, name)
            if isinstance(match, str):
                return match
            beliefs[name] = _absorbed(beliefs[name], cells, mine, places, match)
            partners[name].append(f"{cells.family.__name__} {other!r}")
    for name, belief in beliefs.items():
        if not all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(belief)):
            return f"the posterior of {name!r} is not a distribution"
    return _part(anatomy, beliefs, {name: _described(beliefs[name], data) for name, data in partners.items()})


def _described(belief: Any, data: Sequence[str]) -> str:
    family = type(belief).__name__
    return f"{family}, conjugate to {' and '.join(data)}" if data else f"its {family} prior, which no data move"


def _entries(value: Any, belief: Any) -> np.ndarray:
    """The values of a site with its entries on the first axis."""
    array = np.asarray(value)
    return array.reshape(-1, *array.shape[array.ndim - belief.event_dim :])


def _at(d: Any, cells: np.ndarray) -> Any:
    return d if len(cells) == d.batch_shape[0] else d[cells]


# Which entry each cell depends on.

NONE, SEVERAL = -1, -2


def entry_of_each(
    function: Callable[[Latents], Any],
    point: Latents,
    other: Latents,
    numbers: Mapping[str, int],
    anatomy: Anatomy,
) -> np.ndarray:
    """The number of the one entry that each element of the first axis of `function` depends on; NONE or SEVERAL.

    Entries are numbered through the sites of `numbers`, of which it says how many each has.
    """
    total = sum(numbers.values())
    base = _leaves(function(point))

    def changed(exchanged: np.ndarray) -> np.ndarray:
        mixed, start = dict(point), 0
        for name, number in numbers.items():
            chosen, start = exchanged[start : start + number], start + number
            shape = anatomy.shape(name)
            size = int(np.prod(shape, dtype=np.int64)) // max(number, 1)
            mask = np.repeat(chosen, size).reshape(shape)
            mixed[name] = np.where(mask, np.asarray(other[name]), np.asarray(point[name]))
        return _differ(base, _leaves(function(mixed)))

    every = changed(np.ones(total, bool))
    found = np.where(every, 0, NONE)
    for digit in range(max(total - 1, 0).bit_length()):
        ones = (np.arange(total) >> digit) & 1 == 1
        one, zero = changed(ones), changed(~ones)
        found = np.where(one & zero, SEVERAL, np.where(one & (found >= 0), found | (1 << digit), found))
    return found


def _leaves(tree: Any) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def _differ(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> np.ndarray:
    """Along the first axis, whether anything is not the same."""
    apart = [((x != y) & ~((x != x) & (y != y))).reshape(len(x), -1).any(axis=1) for x, y in zip(a, b)]
    return np.logical_or.reduce(apart)


# Which pair they are.


def _match(
    belief: Any, cells: Cells, distributions: Sequence[Any], values: Sequence[np.ndarray], name: str
) -> _Match | str:
    tried: list[str] = []
    for family, view in VIEWS[type(belief)]:
        for pair in conjugates(cells.family):
            if pair.prior is not family or pair.likelihood is not cells.family:
                continue
            match = _compared(pair, view, distributions, values)
            if match is not None:
                return match
            if view.of is VIEWS[type(belief)][0][1].of:
                tried.append(f"{pair.about} of {pair.likelihood.__name__}")
    prior, data = type(belief).__name__, cells.family.__name__
    if not tried:
        return f"{prior}, the prior of {name!r}, is not conjugate to {data} {cells.name!r}"
    return f"{prior}, the prior of {name!r}, is conjugate to {data} {cells.name!r} as {' or '.join(tried)}, which {name!r} is not"


def _compared(pair: Any, view: View, distributions: Sequence[Any], values: Sequence[np.ndarray]) -> _Match | None:
    known = {n: np.asarray(getattr(distributions[0], n)) for n in pair.known}
    for d in distributions[1:]:
        if not all(_same(np.asarray(getattr(d, n)), v) for n, v in known.items()):
            return None
    unknown = np.stack([np.asarray(unknown_of(pair, d)) for d in distributions])
    entries = np.stack([np.asarray(view.of(v)) for v in values])
    a, b = np.zeros(unknown.shape[1]), np.ones(unknown.shape[1])
    if not _same(unknown, entries):
        if unknown.ndim > 2:
            return None
        a, b = _line(entries, unknown)
        if not _same(unknown, a + b * entries):
            return None
    if not fits(pair.prior, a, b):
        return None
    return _Match(pair, view, a, b, {n: np.broadcast_to(v, (unknown.shape[1], *v.shape[1:])) for n, v in known.items()})


def _same(x: np.ndarray, y: np.ndarray) -> bool:
    size = np.maximum(np.abs(x), np.abs(y))
    if x.ndim > 2:  # of vectors and matrices the largest component tells the size
        size = np.max(size, axis=tuple(range(2, x.ndim)), keepdims=True)
    return bool(np.all(np.abs(x - y) <= SAME * size))


def _line(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a and b with y = a + b x, of each column, by the two points that are farthest apart; 0 and ±1 where they are these."""
    first, last, column = np.argmin(x, axis=0), np.argmax(x, axis=0), np.arange(x.shape[1])
    b = (y[last, column] - y[first, column]) / (x[last, column] - x[first, column])
    b = np.where(np.abs(np.abs(b) - 1.0) < 1e-12, np.sign(b), b)
    a = y[first, column] - b * x[first, column]
    size = np.max(np.abs(y), axis=0)
    a = np.where(np.abs(a) <= 1e-12 * size, 0.0, a)
    return np.where(np.abs(a - 1.0) < 1e-12 * np.maximum(size, 1.0), 1.0, a), b


# Prior + evidence.


def _absorbed(belief: Any, cells: Cells, mine: np.ndarray, places: np.ndarray, match: _Match) -> Any:
    """The belief with the evidence of some cells, which belong to the entries `places` of the site."""
    a, b, known = match.a, match.b, dict(match.known)
    if cells.merges:
        codes, first = _distinct([places, a, b, *known.values()])
        whole = np.full(cells.number, -1)
        whole[mine] = codes
        evidence = cells.evidence(whole, len(first), {n: v[first] for n, v in known.items()})
        places, a, b = places[first], a[first], b[first]
    else:
        full = {n: np.zeros((cells.number, *v.shape[1:])) for n, v in known.items()}
        for n, v in known.items():
            full[n][mine] = v
        evidence = cells.evidence(np.arange(cells.number), cells.number, full)[mine]
    return _added(belief, evidence, places, a, b, match.view)


def _distinct(columns: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the distinct rows of several columns, and one place of each."""
    table = np.concatenate([np.asarray(c, np.float64).reshape(len(c), -1) for c in columns], axis=1)
    if len(table) == 1 or np.all(table == table[0]):
        return np.zeros(len(table), np.int64), np.zeros(1, np.int64)
    sample = table[:: max(1, len(table) // _SAMPLE)]
    if len(table) > _SAMPLE and len(np.unique(sample, axis=0)) == len(sample):  # to sort them all would gain nothing
        return np.arange(len(table)), np.arange(len(table))
    _, first, codes = np.unique(table, axis=0, return_index=True, return_inverse=True)
    return codes.reshape(-1), first


def _added(belief: Any, evidence: Any, places: np.ndarray, a: np.ndarray, b: np.ndarray, view: View) -> Any:
    """Evidence with one element for each of `places`, added to the entries of the belief there."""
    entries = belief.batch_shape[0]
    _, first = np.unique(places[::-1], return_index=True)
    lead = np.zeros(entries, np.int64)
    lead[places[::-1][first]] = len(places) - 1 - first
    alike = all(np.array_equal(v, v[lead[places]]) for v in (a, b, *map(np.asarray, evidence.known.values())))

    def moved(belief: Any, e: Any, a: Any, b: Any) -> Any:
        after = mapped(view.there(belief), a, b) + e
        return view.back(mapped(after, -a / b, 1.0 / b))

    most = int(np.bincount(places).max())
    if alike and most * entries <= _MOST:
        index, there = _by_turns(places, entries)
        total = (evidence[index] * there.astype(np.float64)).total()
        known = {n: np.asarray(v)[lead] for n, v in evidence.known.items()}
        seen = there[0]
        after = moved(belief, total._replace(known=known), np.where(seen, a[lead], 0.0), np.where(seen, b[lead], 1.0))
    elif isinstance(belief, ExponentialFamily):
        # Each alone, and then the sum of what they add to the natural parameters.
        before = belief[places]
        step = np.asarray(moved(before, evidence, a, b).natural) - np.asarray(before.natural)
        total = np.asarray(belief.natural, np.float64).copy()
        np.add.at(total, places, step)
        after = type(belief).from_natural(total)
    else:
        after = belief
        for turn, there in zip(*_by_turns(places, entries)):
            e = evidence[turn] * there.astype(np.float64)
            after = moved(after, e, np.where(there, a[turn], 0.0), np.where(there, b[turn], 1.0))
    return map_parameters(lambda leaf, _, own: np.broadcast_to(np.asarray(leaf), np.shape(own)), after, belief)


def _by_turns(places: np.ndarray, entries: int) -> tuple[np.ndarray, np.ndarray]:
    """Which element each entry takes in each turn, shape (turns, entries), and whether there is one."""
    order = np.argsort(places, kind="stable")
    counts = np.bincount(places, minlength=entries)
    turn = np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)
    index = np.zeros((max(int(counts.max(initial=0)), 1), entries), np.int64)
    there = np.zeros(index.shape, bool)
    index[turn, places[order]], there[turn, places[order]] = order, True
    return index, there


# The posterior.


@dataclass(frozen=True)
class _Posterior:
    """Independent beliefs about the elements of sites."""

    beliefs: Mapping[str, Any]

    def draw(self, key: Array, n: int) -> dict[str, Any]:
        keys = jax.random.split(key, len(self.beliefs))
        return {name: d.sample(keys[i], (n,)) for i, (name, d) in enumerate(self.beliefs.items())}

    def log_density(self, latents: Latents) -> Any:
        return sum(jnp.sum(d.log_prob(jnp.asarray(latents[name]))) for name, d in self.beliefs.items())


def _part(anatomy: Anatomy, beliefs: Mapping[str, Any], how: Mapping[str, str]) -> Part:
    shaped = {}
    for name, belief in beliefs.items():
        batch = anatomy.shape(name)[: len(anatomy.shape(name)) - belief.event_dim]

        def reshape(leaf: Any, meta: Any, batch: tuple[int, ...] = batch) -> np.ndarray:
            array = np.asarray(leaf, np.float64)
            return array.reshape(batch + array.shape[array.ndim - meta["event_dim"] :])

        shaped[name] = map_parameters(reshape, belief)
    posterior = _Posterior(shaped)
    points = {name: _point(belief) for name, belief in shaped.items()}
    marginals = {name: marginal_of(belief) for name, belief in shaped.items()}
    shapes = {name: anatomy.shape(name) for name in beliefs}
    return Part(shapes, marginals, posterior.draw, posterior.log_density, points, how, transport=transport(shaped))


def _point(belief: Any) -> np.ndarray:
    """A value that is well inside, by the rows of the table."""
    pair = next(pair for pair in conjugates(type(belief)) if pair.prior is type(belief))
    value = np.asarray(pair.point(belief), np.float64)
    return np.broadcast_to(value, belief.batch_shape + belief.event_shape)
