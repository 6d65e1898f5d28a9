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
import pyarrow as pa
import pyarrow.compute as pc

from surprax.numerics.precision import float64_scope
from surprax.regression.design import Coded, Dense, Design
from surprax.regression.least_squares import Triangle, least_squares
from surprax.regression.links import Identity, Link, Log
from surprax.regression.problem import MANY, totals_of
from surprax.regression.responses import Dispersed, NormalResponse, PoissonResponse, Response
from surprax.regression.rows import Rows, Totals, distinct

__all__ = ["Compressed", "compressed"]

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
        kept = replace(rows, design=_numbers_dense(rows.design))
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
    found = _grouped(parts, rows.n, rows.n // WORTH)
    if found is None:
        return None
    key, first = found
    m = len(first)
    w = rows.weights * rows.precision
    total = np.bincount(key, w, m)
    design = rows.design.rows(first)
    offset = None if rows.offset is None else rows.offset[first]
    if not dispersed:
        kept = Rows(design, rows.y[first], np.bincount(key, rows.weights, m), rows.precision[first], offset)
        if np.any(rows.precision != rows.precision[:1]):
            return None
        return kept, 0.0, "rows that differ"
    safe = np.where(total > 0, total, 1.0)
    y = np.bincount(key, rows.y if _all_one(w) else w * rows.y, m) / safe
    y = np.where(total > 0, y, rows.y[first])
    shift = 0.0
    if exposures:
        assert rows.offset is not None
        top = float(np.max(rows.offset))
        offset = np.log(np.bincount(key, w * np.exp(rows.offset - top), m) / safe) + top
        shift = float(np.sum(np.bincount(key, w * rows.y * (rows.offset - offset[key]), m)))
    kept = _Cells(design, y, total, np.ones(m), offset, key=key, members=rows)
    if isinstance(response, NormalResponse):
        within = 0.5 * float(np.sum(kept.spread))
    else:
        assert isinstance(response, Dispersed)
        within = _constants(response, rows.y, w) - _constants(response, y, total) - shift
    return kept, within, "cells"


@dataclass(frozen=True, eq=False)
class _Cells(Rows):
    """Rows that are cells of others.

    Attributes:
        key: the cell of each member.
        members: the rows that they are of.
    """

    key: Any = None
    members: Any = None

    @functools.cached_property
    def spread(self) -> np.ndarray:
        gap = (self.members.y - self.y[self.key]) ** 2
        return np.bincount(self.key, self.members.weights * self.members.precision * gap, self.n)


def _constants(response: Dispersed, y: np.ndarray, w: np.ndarray) -> float:
    """Σ w constant(y)."""
    found = distinct(y) if len(y) > MANY else None
    if found is not None:
        y, codes = found
        w = np.bincount(codes, w, len(y))
    with float64_scope():
        return float(w @ np.asarray(response.constant(y)))


def _all_one(w: np.ndarray) -> bool:
    return bool(np.all(w == 1.0))


def _few(values: np.ndarray) -> tuple[np.ndarray, int] | None:
    """Codes of values that repeat, and how many there are; None where most are different."""
    found = distinct(values)
    return None if found is None else (found[1], len(found[0]))


def _grouped(parts: list[tuple[np.ndarray, int]], n: int, most: int) -> tuple[np.ndarray, np.ndarray] | None:
    """A key by combination of codes, from 0 to m − 1, and the first row of each; None where there would be more than `most`."""
    if n < 2:
        return None
    size = 1
    for _, levels in parts:
        size *= levels
    if size <= max(2 * n, 1 << 16):
        key = np.zeros(n, np.intp)
        for codes, levels in parts:
            key *= levels
            key += codes
        seen = np.bincount(key, minlength=size) > 0
        m = int(seen.sum())
        if m > most:
            return None
        place = np.cumsum(seen) - 1
        key = place[key] if m < size else key
    else:
        if size >= 2**62 or _many(parts, n, most):
            return None
        wide = np.zeros(n, np.int64)
        for codes, levels in parts:
            wide *= levels
            wide += codes
        coded = pc.dictionary_encode(pa.array(wide))
        m = len(coded.dictionary)
        if m > most:
            return None
        key = coded.indices.to_numpy().astype(np.intp)
    first = np.zeros(m, np.intp)
    first[key[::-1]] = np.arange(n - 1, -1, -1)
    return key, first


def _many(parts: list[tuple[np.ndarray, int]], n: int, most: int) -> bool:
    """Whether a sample of the rows says that there would be more combinations than `most`."""
    picked = np.random.default_rng(0).choice(n, min(n, 4000), replace=False)
    wide = np.zeros(len(picked), np.int64)
    for codes, levels in parts:
        wide = wide * levels + codes[picked]
    return len(np.unique(wide)) > 0.9 * len(picked) and n > len(picked)


def _numbers_dense(design: Design) -> Design:
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
