"""Rows that say the same about the coefficients are put together: the likelihood stays what it was.

    cells        rows with one covariate vector: Σ w d(yᵢ, μ) = W d(ȳ, μ) + Σ w d(yᵢ, ȳ), for dispersion models
    counted      rows with one covariate vector and one response: one row with their weight, for any law
    a triangle   normal responses with the identity link: ‖R (b − b̂)‖² + rss

Exposures of a Poisson law with the log link add up within a cell.
"""

import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from surprax.numerics.precision import float64_scope
from surprax.regression.design import Coded, Dense, Design
from surprax.regression.grouping import Grouping, is_one, tabulated
from surprax.regression.least_squares import Triangle, least_squares
from surprax.regression.links import Identity, Link, Log
from surprax.regression.responses import Dispersed, NormalResponse, PoissonResponse, Response
from surprax.regression.rows import Rows, Totals, distinct
from surprax.regression.totals import MANY, totals_of

__all__ = ["WORTH", "Compressed", "compressed", "grouped", "numbers_dense"]

WORTH = 2
"""Rows are put together where this makes them so many times fewer."""


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
    totals = totals_of(response, rows)
    note = f"{rows.n:,} rows"
    kept = rows
    cells = _cells(response, link, rows)
    if cells is not None:
        kept, within, what = cells
        totals = replace(totals, within=within)
        note = f"{rows.n:,} rows → {kept.n:,} {what}"
    elif all(isinstance(block, Coded) for block in rows.design.blocks):
        kept = replace(rows, design=numbers_dense(rows.design))
    if linear and isinstance(response, NormalResponse) and isinstance(link, Identity):
        triangle = least_squares(kept)
        if triangle is not None:
            p = kept.design.p
            totals = replace(totals, within=totals.within + 0.5 * triangle.rss)
            return Compressed(triangle.rows(kept.design.names), totals, triangle, f"{note} → a triangle of {p} × {p}")
    return Compressed(kept, totals, None, note if kept is not rows and cells is not None else "")


def _cells(response: Response, link: Link, rows: Rows) -> tuple[Rows, float, str] | None:
    blocks = rows.design.blocks
    if not all(isinstance(block, Coded) for block in blocks):
        return None
    keys: dict[int, tuple[np.ndarray, int]] = {}
    for block in blocks:
        assert isinstance(block, Coded)
        if len(block.table) > 1:
            keys.setdefault(id(block.codes), (block.codes, len(block.table)))
    parts = list(keys.values())
    dispersed = isinstance(response, Dispersed)
    exposures = rows.offset is not None and isinstance(response, PoissonResponse) and isinstance(link, Log)
    if rows.offset is not None and not exposures:
        few = _few(rows.offset)
        if few is None:
            return None
        parts.append(few)
    if not dispersed:
        few = _few(rows.y)
        if few is None:
            return None
        parts.append(few)
    groups = grouped(parts, rows.n)
    if groups is None:
        return None
    first = groups.first
    plain = is_one(rows.precision)
    weights = None if is_one(rows.weights) else rows.weights
    design = rows.design.rows(first)
    offset = None if rows.offset is None else rows.offset[first]
    if not dispersed:
        if not plain and np.any(rows.precision != rows.precision[:1]):
            return None
        return (
            Rows(design, rows.y[first], groups.sums(None, weights), rows.precision[first], offset),
            0.0,
            "distinct rows",
        )
    w = weights if plain else rows.weights * rows.precision
    total = groups.sums(None, w)
    safe = np.where(total > 0, total, 1.0)
    y = np.where(total > 0, groups.sums(rows.y, w) / safe, rows.y[first])
    shift = 0.0
    if exposures:
        assert rows.offset is not None
        top = float(np.max(rows.offset))
        offset = np.log(groups.sums(np.exp(rows.offset - top), w) / safe) + top
        told = float(np.sum(groups.sums(rows.y * rows.offset, w)))
        shift = told - float(total @ (y * np.where(total > 0, offset, 0.0)))
    kept = _Cells(design, y, total, np.ones(len(first)), offset, groups=groups, members=rows)
    if isinstance(response, NormalResponse):
        within = 0.5 * float(np.sum(kept.spread))
    else:
        assert isinstance(response, Dispersed)
        whole = rows.weights * rows.precision if w is not None else np.broadcast_to(1.0, rows.n)
        within = _constants(response, rows.y, whole) - _constants(response, y, total) - shift
    return kept, within, "cells"


def grouped(parts: list[tuple[np.ndarray, int]], n: int) -> Grouping | None:
    """Groups of rows by their codes; None where there are hardly fewer groups than rows."""
    if n < 2:
        return None
    groups = Grouping(parts, n)
    return groups if groups.m is not None and groups.m * WORTH <= n else None


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
        rows, key = self.members, self.groups.key
        w = None if is_one(rows.weights) and is_one(rows.precision) else rows.weights * rows.precision
        return self.groups.sums(np.square(rows.y - self.y[key]), w)


def _constants(response: Dispersed, y: np.ndarray, w: np.ndarray) -> float:
    """Σ w constant(y)."""
    found = tabulated(y, w) if len(y) > MANY else None
    y, w = (y, w) if found is None else found
    with float64_scope():
        return float(w @ np.asarray(response.constant(y)))


def _few(values: np.ndarray) -> tuple[np.ndarray, int] | None:
    """Codes of values that repeat, and how many there are; None where most are different."""
    found = distinct(values)
    return None if found is None else (found[1], len(found[0]))


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
