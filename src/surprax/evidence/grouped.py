"""Mean and gaps of each of many groups of rows, on the CPU.

XLA adds to the sum of a row's group in 5 to 10 ns there, NumPy in one or two, and to two sums at once where the terms are complex
numbers. So the terms of a run of rows, which stay in the cache, are added up by group with `numpy.add.at`: Σ(y − r) and ΣD(y‖r)
about a reference r common to all groups, from which mean and gaps of a group follow as in `surprax.evidence.one_pass`. The rows of
groups that lie too far from it, or are all alike, are taken once more about the means of their groups.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence.layout import Layout
from surprax.numerics.precision import float64_scope
from surprax.numerics.shapes import one_of_few

__all__ = [
    "Codes",
    "GroupSums",
    "as_index",
    "beside",
    "columns",
    "in_pairs",
    "reduce_by_group",
    "runs",
    "sums_by_group",
]

RUN = 1 << 17
"""Rows to a run where compiled code computes a term or two; fewer where there are more terms."""

PLAIN_RUN = 1 << 15
"""Rows to a run where NumPy computes the terms."""

GLANCE = 1 << 12
"""Rows that make the reference."""

LARGEST_SHARE = 4.0
"""How large D(mean‖centre) may be beside a gap: it costs so many times the rounding of the sum."""

type Terms = Callable[[slice, np.ndarray], Sequence[np.ndarray]]


class Codes(NamedTuple):
    """The group of each row: row i is in group numbers[i] − low, of `groups`, whether or not all of them occur."""

    numbers: np.ndarray
    low: int
    groups: int

    def of(self, run: slice) -> np.ndarray:
        """Groups of a run of rows, as NumPy takes them for an index."""
        return as_index(self.numbers[run], self.low)


class GroupSums(NamedTuple):
    """Of each group: number of rows (the sum of their weights), mean and gaps as `Layout.reduce` gives them, and Σ log h."""

    number: np.ndarray
    mean: np.ndarray
    gaps: np.ndarray
    log_base: np.ndarray


def as_index(numbers: np.ndarray, low: int) -> np.ndarray:
    """How far whole numbers are above `low`, as NumPy takes them for an index.

    >>> as_index(np.array([3, 5], np.int16), 3)
    array([0, 2])
    """
    places = numbers.astype(np.intp)
    if low:
        places -= low
    return places


def runs(rows: int, size: int = PLAIN_RUN) -> Iterator[slice]:
    """Runs of rows, one after the other.

    >>> list(runs(5, 3))
    [slice(0, 3, None), slice(3, 5, None)]
    """
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


def sums_by_group(terms: Terms, codes: Codes, size: int = PLAIN_RUN) -> list[np.ndarray]:
    """Sums by group of the terms of each run, shape (groups,) each: of complex terms two in one.

    Args:
        terms: gives arrays of shape (rows,), float64 or complex128, for a run of rows and their groups.
        codes: the group of each row.
        size: rows to a run.

    Where there are few groups each run is summed by itself: that keeps digits of long sums.
    """
    totals: list[np.ndarray] = []
    for run in runs(len(codes.numbers), size):
        of_rows = codes.of(run)
        for i, term in enumerate(terms(run, of_rows)):
            if i == len(totals):
                totals.append(np.zeros(codes.groups, term.dtype))
            if 8 * codes.groups > size:
                np.add.at(totals[i], of_rows, term)
            else:
                of_run = np.zeros(codes.groups, term.dtype)
                np.add.at(of_run, of_rows, term)
                totals[i] += of_run
    return [part for total in totals for part in ((total.real, total.imag) if total.dtype == complex else (total,))]


def in_pairs(terms: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Real terms, two in one complex number."""
    pairs = []
    for real, imaginary in zip(terms[::2], terms[1::2]):
        pair = np.empty(real.shape, complex)
        pair.real, pair.imag = real, imaginary
        pairs.append(pair)
    return [*pairs, *([terms[-1]] if len(terms) % 2 else [])]


def columns(sums: Sequence[np.ndarray], event: tuple[int, ...]) -> np.ndarray:
    """Sums of the components of a carrier, shape (groups,) each, as one array of shape (groups,) + event."""
    return np.stack(sums, axis=-1).reshape(-1, *event)


def beside(v: np.ndarray, layout: Layout) -> np.ndarray:
    """A number of each group, beside its mean."""
    return v[:, None] if layout.rank else v


def reduce_by_group(
    layout: Layout,
    base: Callable[..., Any],
    x: np.ndarray,
    weights: np.ndarray | None,
    codes: Codes,
    known: Mapping[str, Any],
) -> GroupSums:
    """Count, mean, gaps and Σ log h of each group of observations x, shape (rows,) + event; at least one row.

    Args:
        layout: the carrier and its gaps.
        base: (x, known) → log h(x), or None where h = 1; compiled once for each such function.
        weights: of the rows, shape (rows,); None for 1 each.
        known: parameters that are known, the same for all rows.
    """
    with float64_scope(), np.errstate(all="ignore"):
        glance = np.resize(x[:: max(1, len(x) // GLANCE)], (GLANCE, *x.shape[1:])).astype(np.float64)
        reference = np.asarray(_reference(layout, glance, dict(known)))
        length = reference.shape[-1] if layout.rank else 1
        terms = length + sum(gap.size(length) if layout.rank else 1 for gap in layout.gaps)
        plain = _is_plain(layout, base, glance, known)
        size = PLAIN_RUN if plain else max(GLANCE, 2 * RUN >> max(terms, x[0].size).bit_length())
        data = _Data(layout, dict(known), plain, size, x, weights, codes)
        count, *sums = data.sums(reference, base)
        log_base = sums.pop() if len(sums) > terms else np.zeros(codes.groups)
        mean, gaps, settled = data.moved(count, np.broadcast_to(reference, (codes.groups, *reference.shape)), sums)
        for _ in range(3):
            if settled.all():
                break
            moved = data.moved(count, mean, data.rows_of(~settled).sums(mean, None))
            mean, gaps = np.where(beside(settled, layout), mean, moved[0]), np.where(settled[:, None], gaps, moved[1])
            settled |= moved[2]
    if all(gap.least is None for gap in layout.gaps):
        gaps = np.maximum(gaps, 0.0)
    return GroupSums(count, mean, gaps, log_base)


class _Data(NamedTuple):
    layout: Layout
    known: dict[str, Any]
    plain: bool
    size: int
    x: np.ndarray
    weights: np.ndarray | None
    codes: Codes

    def sums(self, centre: np.ndarray, base: Callable[..., Any] | None) -> list[np.ndarray]:
        """Sums by group of the terms about a centre: that of all groups, or of each."""
        of_groups = centre.ndim > self.layout.rank
        terms = functools.partial(_terms, self.layout, base) if self.plain else _compiled(self.layout, base)

        def of_run(run: slice, of_rows: np.ndarray) -> Sequence[np.ndarray]:
            x, number = self.x[run], len(of_rows)
            weights = None if self.weights is None else self.weights[run]
            about = centre.take(of_rows, axis=0) if of_groups else centre[None]
            if self.plain:
                return in_pairs(terms(self.known, x.astype(np.float64), about, weights))
            if number < self.size:  # filled up by rows that are left out below, so that one program does
                x = np.resize(x, (self.size, *x.shape[1:]))
                about = np.resize(about, (self.size, *about.shape[1:])) if of_groups else about
                weights = None if weights is None else np.resize(weights, self.size)
            return [np.asarray(term)[:number] for term in terms(self.known, x, about, weights)]

        return sums_by_group(of_run, self.codes, self.size)

    def moved(self, count: np.ndarray, centre: Any, sums: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Means and gaps from sums about centres, and for which groups these were near enough to keep the digits."""
        layout, length = self.layout, centre.shape[-1] if self.layout.rank else 1
        some = count > 0
        share = np.where(some, 1.0 / np.where(some, count, 1.0), 0.0)
        mean: Any = centre + beside(share, layout) * columns(sums[:length], centre.shape[1:])
        mean = np.where(beside(some, layout), mean, layout.carrier.neutral_like(mean))
        if not layout.gaps:
            near = np.abs(mean - centre) <= LARGEST_SHARE * np.abs(mean)
            return mean, np.zeros((len(mean), 0)), ~some | np.all(near.reshape(len(mean), -1), axis=-1)
        if self.plain:
            moved = np.stack([gap.divergence(mean, centre) for gap in layout.gaps], axis=-1)
        else:
            few = (one_of_few(len(mean)), *mean.shape[1:])
            moved = np.asarray(_divergences(layout, np.resize(mean, few), np.resize(centre, few)))[: len(mean)]
        gaps: Any = np.where(some[:, None], share[:, None] * np.stack(sums[length:], axis=-1) - moved, 0.0)
        both: Any = (gaps, moved)
        least, most = (np.asarray(layout.least(v, length)) for v in both)
        same = np.all((mean == centre).reshape(len(mean), -1), axis=-1)
        return mean, gaps, ~some | same | np.all(most <= LARGEST_SHARE * least, axis=-1)

    def rows_of(self, groups: np.ndarray) -> "_Data":
        """The rows of some groups; all groups stay."""
        of = self.codes.of
        rows = np.concatenate([run.start + np.flatnonzero(groups[of(run)]) for run in runs(len(self.x))])
        weights = None if self.weights is None else self.weights[rows]
        codes = self.codes._replace(numbers=self.codes.numbers[rows])
        return self._replace(x=self.x[rows], weights=weights, codes=codes)


# Terms of rows, by NumPy or by JAX.


def _terms(layout: Layout, base: Any, known: Any, x: Any, centre: Any, weights: Any) -> list[Any]:
    """y − c and D(y‖c) of every gap; with `base` also the weight, first, and log h where there is one, last."""
    y = layout.carrier.given(known).of(x)
    found = _components(layout, y - centre)
    for gap in layout.gaps:
        found += _components(layout, gap.divergence(y, centre))
    if base is not None:
        log_base = base(x, known)
        found = [np.ones(x.shape[0]), *found, *([] if log_base is None else [log_base])]
    return found if weights is None else [weights * v for v in found]


def _components(layout: Layout, y: Any) -> list[Any]:
    return [y[:, i] for i in range(y.shape[-1])] if layout.rank else [y]


def _is_plain(layout: Layout, base: Callable[..., Any], rows: np.ndarray, known: Mapping[str, Any]) -> bool:
    """Whether NumPy can compute the terms by itself: what it is given stays its own then, and nothing needs to be compiled."""
    if layout.rank or layout.carrier.needs_known or jax.eval_shape(base, rows, dict(known)) is not None:
        return False
    y = layout.carrier.of(rows[:1])
    return isinstance(y, np.ndarray) and all(isinstance(gap.divergence(y, y), np.ndarray) for gap in layout.gaps)


@functools.lru_cache(maxsize=256)
def _compiled(layout: Layout, base: Callable[..., Any] | None) -> Any:
    def paired(known: Any, x: Any, centre: Any, weights: Any) -> list[Array]:
        x, weights = (v if v is None else v.astype(jnp.float64) for v in (x, weights))
        terms = _terms(layout, base, known, x, centre, weights)
        pairs = [jax.lax.complex(a, b) for a, b in zip(terms[::2], terms[1::2])]
        return [*pairs, *([terms[-1]] if len(terms) % 2 else [])]

    return jax.jit(paired)


@functools.partial(jax.jit, static_argnums=0)
def _reference(layout: Layout, rows: Any, known: Any) -> Array:
    return jnp.mean(layout.carrier.given(known).of(rows), axis=0)


@functools.partial(jax.jit, static_argnums=0)
def _divergences(layout: Layout, mean: Any, centre: Any) -> Array:
    return layout.divergences(mean, centre)
