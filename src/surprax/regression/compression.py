"""Rows that say the same about the coefficients are put together: the likelihood stays what it was.

    counted      rows with one covariate vector and one response: one row with their weight, for any law
    cells        rows with one covariate vector: Σ w d(yᵢ, μ) = W d(ȳ, μ) + Σ w d(yᵢ, ȳ), for dispersion models
    a triangle   normal responses with the identity link: ‖R (b − b̂)‖² + rss

Cells are made of counted rows where responses are whole numbers of a short range, so that little is computed from all rows.
Exposures of a Poisson law with the log link add up within a cell.
"""

import functools
import math
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from surprax.numerics.precision import float64_scope
from surprax.regression.design import Coded, Dense, Design
from surprax.regression.grouping import Grouping, is_one, tabulated, whole_numbers
from surprax.regression.least_squares import Triangle, least_squares
from surprax.regression.links import Identity, Link, Log
from surprax.regression.responses import CANCELS, Dispersed, NormalResponse, PoissonResponse, Response
from surprax.regression.rows import Rows, Totals, distinct
from surprax.regression.totals import MANY, totals_of

__all__ = ["WORTH", "Compressed", "compressed", "grouped", "numbers_dense"]

WORTH = 2
"""Rows are put together where this makes them so many times fewer."""


_RESPONSES, _OFFSETS = -1, -2
"""What the codes of responses and offsets go by, among those of covariates, which go by their identity."""


@dataclass(frozen=True)
class Compressed:
    """What a likelihood is computed from.

    Attributes:
        rows: the fewer rows; or the rows as they were.
        totals: of the rows as they were.
        triangle: the evidence that the rows are made of, for normal responses.
        note: what was done: "10,000,000 rows → 1,152 cells".
    """

    rows: Any
    totals: Totals
    triangle: Triangle | None
    note: str


def compressed(response: Response, link: Link, rows: Rows, *, linear: bool = True) -> Compressed:
    """The same likelihood of fewer rows, where there is such.

    Args:
        response, link: the law.
        rows: as they are.
        linear: whether normal responses may become a triangle.
    """
    counted = _counted(response, rows)
    fewer = rows if counted is None else counted
    totals = totals_of(response, fewer)
    cells = _cells(response, link, fewer, rows.n) if isinstance(response, Dispersed) else None
    kept, note = fewer, f"{rows.n:,} rows"
    if cells is not None:
        kept, within = cells
        totals = replace(totals, within=within)
        note = f"{note} → {kept.n:,} cells"
    elif counted is not None:
        note = f"{note} → {kept.n:,} distinct rows"
    elif all(isinstance(block, Coded) for block in rows.design.blocks):
        kept = replace(rows, design=numbers_dense(rows.design))
    if linear and isinstance(response, NormalResponse) and isinstance(link, Identity):
        triangle = least_squares(kept)
        if triangle is not None:
            p = kept.design.p
            totals = replace(totals, within=totals.within + 0.5 * triangle.rss)
            return Compressed(triangle.rows(kept.design.names), totals, triangle, f"{note} → a triangle of {p} × {p}")
    return Compressed(kept, totals, None, note if kept.n < rows.n else "")


def _counted(response: Response, rows: Rows) -> Rows | None:
    """Rows with one covariate vector, one response and one offset as one row with their weight; None where there are hardly fewer.

    Rows of dispersion models, which become cells anyway, are counted only where that is quick: where there cannot be many.
    """
    parts = _parts(rows.design)
    if parts is None or (rows.precision.strides != (0,) and np.any(rows.precision != rows.precision[:1])):
        return None
    quick = isinstance(response, Dispersed)
    if rows.whole is not None:
        values, codes = rows.whole.low + np.arange(rows.whole.levels), rows.whole.codes
    elif not quick and (found := distinct(rows.y)) is not None:
        values, codes = found
    else:
        return None
    parts[_RESPONSES] = codes, len(values)
    offsets = None
    if rows.offset is not None:
        if (offsets := distinct(rows.offset)) is None:
            return None
        parts[_OFFSETS] = offsets[1], len(offsets[0])
    if quick and math.prod(levels for _, levels in parts.values()) * WORTH > rows.n:
        return None
    groups = grouped(list(parts.values()), rows.n)
    if groups is None:
        return None
    chosen = dict(zip(parts, groups.codes))
    weights = groups.sums(None, None if is_one(rows.weights) else rows.weights)
    precision = np.broadcast_to(rows.precision[0], len(weights))
    offset = None if offsets is None else offsets[0][chosen[_OFFSETS]]
    return Rows(_chosen(rows.design, chosen, len(weights)), values[chosen[_RESPONSES]], weights, precision, offset)


def _cells(response: Dispersed, link: Link, rows: Rows, n: int) -> tuple[Rows, float] | None:
    """Cells of rows, which `n` rows may have been counted to, and half the deviance within them; None where there are many."""
    parts = _parts(rows.design)
    if parts is None:
        return None
    exposures = rows.offset is not None and isinstance(response, PoissonResponse) and isinstance(link, Log)
    offsets = None
    if rows.offset is not None and not exposures:
        if (offsets := distinct(rows.offset)) is None:
            return None
        parts[_OFFSETS] = offsets[1], len(offsets[0])
    groups = grouped(list(parts.values()), rows.n, n)
    if groups is None:
        return None
    plain = is_one(rows.precision)
    weights = None if is_one(rows.weights) else rows.weights
    w = weights if plain else rows.weights * rows.precision
    total = groups.sums(None, w)
    live = total > 0
    safe = np.where(live, total, 1.0)
    y = np.where(live, groups.sums(rows.y, w) / safe, rows.y[0])
    chosen = dict(zip(parts, groups.codes))
    offset, shift = None if offsets is None else offsets[0][chosen[_OFFSETS]], 0.0
    if exposures:
        assert rows.offset is not None
        top = float(np.max(rows.offset))
        exposed = groups.sums(np.exp(rows.offset - top), w)
        offset = np.log(np.where(live, exposed / safe, 1.0)) + top
        shift = float(np.sum(groups.sums(rows.y * rows.offset, w))) - float(total @ (y * offset))
    design = _chosen(rows.design, chosen, len(total))
    kept = _Cells(design, y, total, np.broadcast_to(1.0, len(total)), offset, groups=groups, members=rows)
    if isinstance(response, NormalResponse):
        return kept, 0.5 * float(np.sum(kept.spread))
    each = rows.weights if plain else rows.weights * rows.precision
    whole = _constants(response, rows.y, each)
    within = whole - _constants(response, y, total) - shift
    if abs(whole) <= CANCELS * abs(within):
        return kept, within
    key = groups.key  # responses are large, or nearly alike: each with its own digits
    mu = y[key] if offset is None or rows.offset is None else y[key] * np.exp(rows.offset - offset[key])
    with float64_scope():
        half = np.asarray(response.half_deviance(jnp.asarray(rows.y), jnp.asarray(np.where(mu > 0, mu, 1.0))))
    return kept, float(each @ np.where(mu > 0, half, 0.0))


def _parts(design: Design) -> dict[int, tuple[np.ndarray, int]] | None:
    """Codes that a row of a design depends on, and how many levels they have, by their identity; None where it has numbers."""
    parts = {}
    for block in design.blocks:
        if not isinstance(block, Coded):
            return None
        if len(block.table) > 1:
            parts[id(block.codes)] = block.codes, len(block.table)
    return parts


def _chosen(design: Design, codes: dict[int, np.ndarray], m: int) -> Design:
    """The design of m groups of rows, by the codes that each has."""
    coded = [block for block in design.blocks if isinstance(block, Coded)]
    blocks = [Coded(codes.get(id(block.codes), np.zeros(m, np.intp)), block.table) for block in coded]
    return Design(design.names, blocks, design.columns)


def grouped(parts: list[tuple[np.ndarray, int]], n: int, of: int | None = None) -> Grouping | None:
    """Groups of n rows by their codes; None where there are hardly fewer groups than rows, or than the rows that these are `of`."""
    of = n if of is None else of
    if of < 2:
        return None
    groups = Grouping(parts, n)
    return groups if groups.m is not None and groups.m * WORTH <= of else None


@dataclass(frozen=True, eq=False)
class _Cells(Rows):
    """Rows that are cells of others.

    Attributes:
        groups: which rows each cell has.
        members: the rows that they are of.
    """

    groups: Any = None
    members: Any = None

    @property
    def alike(self) -> bool:
        return self.members.offset is None

    @functools.cached_property
    def spread(self) -> np.ndarray:
        rows, total = self.members, np.zeros(self.n)
        for run, group in self.groups.runs():
            gaps = np.square(rows.y[run] - self.y.take(group))
            total += np.bincount(group, rows.weights[run] * rows.precision[run] * gaps, self.n)
        return total


def _constants(response: Dispersed, y: np.ndarray, w: np.ndarray) -> float:
    """Σ w constant(y)."""
    whole = whole_numbers(y) if len(y) > MANY else None
    if whole is not None:
        y, w = tabulated(whole, w)
    with float64_scope():
        return float(w @ np.asarray(response.constant(y)))


def numbers_dense(design: Design) -> Design:
    """Columns of numbers that happen to repeat, as numbers again: products of these are what BLAS is best at."""
    blocks: list[Any] = []
    columns: list[np.ndarray] = []
    loose: list[tuple[np.ndarray, np.ndarray]] = []
    for block, places in design:
        if isinstance(block, Coded) and block.indicators is None and block.width == 1:
            loose.append((block.table[block.codes], places))
        else:
            blocks.append(block)
            columns.append(places)
    if not loose:
        return design
    blocks.insert(0, Dense(np.ascontiguousarray(np.concatenate([part for part, _ in loose], axis=1))))
    columns.insert(0, np.concatenate([places for _, places in loose]))
    return Design(design.names, blocks, columns)
