"""The first pass over a file: values of its columns, sums of the responses, cells if there are few, a sample of the rows."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, final

import numpy as np

from surprax.data.errors import DataError
from surprax.regression.encoding import Continuous, Discrete, Variable
from surprax.regression.file_blocks import Levels, RawBlock, Settled
from surprax.regression.file_cells import CellSums
from surprax.regression.file_rows import Passes, Responses
from surprax.regression.links import Link, Log
from surprax.regression.problem import _constant
from surprax.regression.reading import Raw
from surprax.regression.responses import (
    Dispersed,
    InverseGaussianResponse,
    NormalResponse,
    PoissonResponse,
)
from surprax.regression.rows import Rows, Totals
from surprax.regression.syntax import Piece
from surprax.regression.totals import totals_of
from surprax.regression.training import CATEGORIES
from surprax.regression.variables import Variables

__all__ = ["Survey"]

SAMPLE = 40_000
"""So many rows, spread over the file, make the first steps of a fit."""

PRECISIONS = 1 << 22
"""So many different precisions are remembered."""


@final
class Survey:
    """What one pass over a file finds.

    Args:
        responses: of its blocks.
        covariates: the columns that the design is made from.
        pieces: the factors of the right side of the formula.
        link: g.

    Attributes:
        levels: of each covariate.
        cells: of the rows, by covariates and, where they have to be kept apart, offset, response and precision.
        totals, constant: Σ of what log p(y | y, φ) and half the deviance have that depends on the responses alone.
        n, missing, read: rows that are there, that were left out, and both.
        label: what the response is called.
    """

    def __init__(self, responses: Responses, covariates: Sequence[str], pieces: Sequence[Piece], link: Link) -> None:
        self.responses, self.covariates = responses, tuple(covariates)
        reader, response = responses.reader, responses.response
        self._categories = {piece.source for piece in pieces if piece.categories}
        self._levels = {
            name: Levels(name, declared=name in reader.declared, most=CATEGORIES if name in self._categories else 1_000)
            for name in self.covariates
        }
        self.dispersed = isinstance(response, Dispersed)
        self.has_offset = responses.extras.offset is not None
        self.exposures = self.has_offset and isinstance(response, PoissonResponse) and isinstance(link, Log)
        apart = [("offset", self.has_offset and not self.exposures), ("y", not self.dispersed)]
        self.apart = [name for name, needed in [*apart, ("precision", not self.dispersed)] if needed]
        self._apart = {name: Levels(name, most=4_096) for name in self.apart}
        self.cells = CellSums(len(self.covariates) + len(self.apart))
        self.n = self.missing = self.read = 0
        self.constant = self.shift = 0.0
        self.label = ""
        self.totals = Totals(0.0, 0.0, np.zeros(0), np.zeros(0))
        self.low, self.high = np.inf, -np.inf
        self._waiting: list[Totals] = []
        self._sample: list[tuple[dict[str, np.ndarray], Rows]] = []
        self._rng = np.random.default_rng(0)
        self._top: float | None = None

    def run(self, passes: Passes) -> None:
        """Reads the file."""
        taken = 0
        with passes.over("values") as advance:
            for block in self.responses.reader.blocks():
                self.missing += block.missing
                self.read += block.n + block.missing
                if block.n:
                    rows, self.label = self.responses.rows(block)
                    codes = self._coded(block)
                    self._count(rows)
                    self._add_cells(block, rows, codes)
                    taken += self._pick(block, rows, codes, round(SAMPLE * block.fraction) - taken)
                advance(block.fraction, self.missing)
        name = self.responses.reader.source.path.name
        if not self.n:
            names = ", ".join(self.responses.reader.names[:6])
            raise DataError(f"{name} must have a row in which none of {names} is missing: found none")
        if not self.low <= self.high:
            raise DataError("weights must not all be 0")
        for role, given in self.responses.extras.items():
            if np.ndim(given) == 1 and len(given) != self.read:
                raise DataError(
                    f"{role} must have one number for each of {self.read:,} rows: found shape {np.shape(given)}"
                )
        self._merge_totals()
        self.levels = {
            one: levels.settled(None if one in self._categories else self.n) for one, levels in self._levels.items()
        }

    def _coded(self, block: RawBlock) -> dict[str, np.ndarray | None]:
        return {name: levels.codes(block.raws[name]) for name, levels in self._levels.items()}

    def _count(self, rows: Rows) -> None:
        """What does not depend on the design."""
        self.n += rows.n
        live = rows.weights > 0
        if np.any(live):
            self.low = min(self.low, float(np.min(rows.y, where=live, initial=np.inf)))
            self.high = max(self.high, float(np.max(rows.y, where=live, initial=-np.inf)))
        response = self.responses.response
        self.constant += _constant(response, rows)
        totals = totals_of(response, rows)
        if not isinstance(response, Dispersed) or not response.extra:
            totals = replace(totals, precisions=np.ones(1), counts=np.array([totals.count]))
        elif isinstance(response, NormalResponse | InverseGaussianResponse) and totals.count > 0:
            mean = float(totals.counts @ np.log(totals.precisions)) / totals.count  # linear in log φ − log p
            totals = replace(totals, precisions=np.exp([mean]), counts=np.array([totals.count]))
        self._waiting.append(totals)
        if sum(len(one.counts) for one in self._waiting) > max(1 << 16, len(self.totals.counts)):
            self._merge_totals()
            if len(self.totals.counts) > PRECISIONS:
                raise DataError(
                    f"{response.name} responses of a file that is streamed may have at most {PRECISIONS:,} different precisions "
                    "(of a Tweedie law, responses): found more; round them, or read the file whole (stream=False)"
                )

    def _merge_totals(self) -> None:
        parts = [self.totals, *self._waiting]
        precisions, place = np.unique(np.concatenate([one.precisions for one in parts]), return_inverse=True)
        response = self.responses.response
        if isinstance(response, NormalResponse | InverseGaussianResponse):
            count = sum(one.count for one in parts)
            logs = sum(float(one.counts @ np.log(one.precisions)) for one in parts)
            precisions, counts = np.exp([logs / max(count, 1e-300)]), np.array([count])
        else:
            counts = np.bincount(place, np.concatenate([one.counts for one in parts]), len(precisions))
        self.totals = Totals(sum(one.count for one in parts), float(sum(one.base for one in parts)), precisions, counts)
        self._waiting = []

    def _add_cells(self, block: RawBlock, rows: Rows, codes: dict[str, np.ndarray | None]) -> None:
        if self.cells.given_up:
            return None
        values = {"offset": rows.offset, "y": rows.y, "precision": rows.precision}
        parts, levels = list(codes.values()), list(self._levels.values())
        for name in self.apart:
            column = values[name]
            assert column is not None
            parts.append(self._apart[name].codes(Raw(column)))
            levels.append(self._apart[name])
        weights = rows.weights * rows.precision if self.dispersed else rows.weights
        sizes = [len(one) for one in levels]
        if not self.exposures:
            return self.cells.add(parts, sizes, block.rows, weights, rows.y)
        assert rows.offset is not None
        self._top = float(np.max(rows.offset)) if self._top is None else self._top
        exposures = np.exp(rows.offset - self._top)
        self.shift += float(np.sum(weights * rows.y * rows.offset))
        return self.cells.add(parts, sizes, block.rows, weights * exposures, rows.y / exposures, weights)

    def _pick(self, block: RawBlock, rows: Rows, codes: dict[str, np.ndarray | None], many: int) -> int:
        many = min(many, rows.n)
        if many <= 0:
            return 0
        picked = np.sort(self._rng.choice(rows.n, many, replace=False))
        kept = {}
        for name, raw in ((name, block.raws[name]) for name in self.covariates):
            found = codes[name]
            if raw.labels is None:
                kept[name] = raw.values[picked]
            else:
                assert found is not None
                kept[name] = found[picked]
        self._sample.append((kept, rows.picked(picked)))
        return many

    # What was found.

    @property
    def all_discrete(self) -> bool:
        """Whether the rows are cells."""
        return self.cells.worth_it and all(one.few for one in self.levels.values())

    def sample(self, plain: frozenset[str]) -> tuple[Variables, Rows]:
        """Some rows, spread over the file: their covariates, and all else but the design."""
        rows = [part for _, part in self._sample]
        columns: dict[str, Variable] = {}
        for name, one in self.levels.items():
            values = np.concatenate([part[name] for part, _ in self._sample])
            columns[name] = one.recoded(values) if one.categorical else one.of(Raw(values), plain=name in plain)

        def joined(parts: list[Any]) -> Any:
            return None if parts[0] is None else np.concatenate(parts)

        n = sum(part.n for part in rows)
        whole = Rows(
            rows[0].design.rows(np.zeros(n, int)),
            joined([part.y for part in rows]),
            joined([part.weights for part in rows]),
            joined([part.precision for part in rows]),
            joined([part.offset for part in rows]),
        )
        return Variables(columns, n), whole

    def training(self) -> Variables:
        """A few rows that have every value of every discrete covariate: what a recipe is trained on."""
        n = max([3, *(len(one.values) for one in self.levels.values() if one.few)])
        columns: dict[str, Variable] = {}
        for name, one in self.levels.items():
            if one.few:
                codes = np.arange(n) % len(one.values)
                columns[name] = Discrete(codes.astype(np.min_scalar_type(n)), one.values, one.categorical)
            else:
                values = np.concatenate([part[name] for part, _ in self._sample])
                columns[name] = Continuous(np.resize(values, n).astype(np.float64), whole=one.kind in "iu")
        return Variables(columns, n)

    def cell_variables(self) -> Variables:
        """The covariates of the cells."""
        columns: dict[str, Variable] = {
            name: one.recoded(codes) for (name, one), codes in zip(self.levels.items(), self.cells.combinations)
        }
        name = self.responses.reader.source.path.name
        return Variables(columns, len(self.cells.weight), kept=self.cells.first, whose=name)

    def cell_values(self, name: str) -> np.ndarray:
        """Offset, response or precision of the cells, where these are kept apart by it."""
        settled: Settled = self._apart[name].settled()
        codes = self.cells.combinations[len(self.covariates) + self.apart.index(name)]
        return np.asarray(settled.values, np.float64)[settled.rank[codes]]

    def cell_sums(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        """Weights, mean responses, what `CellRows` calls gaps, and offsets (None for 0) of the cells."""
        cells = self.cells
        if not self.exposures:
            return cells.weight, cells.mean, cells.gaps, self.cell_values("offset") if self.has_offset else None
        assert self._top is not None
        mean = np.where(cells.count > 0, cells.weight, 1.0) / np.where(cells.count > 0, cells.count, 1.0)  # exposure
        return cells.count, cells.mean * mean, cells.gaps * mean, np.log(mean) + self._top
