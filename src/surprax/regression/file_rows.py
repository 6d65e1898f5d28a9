"""Rows of a regression that stay in their file: they are read again, block by block, whenever sums over them are asked for."""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from surprax.data.errors import DataError
from surprax.progress import PATIENCE, progress_bar
from surprax.regression.design import Coded, Design
from surprax.regression.encoding import Discrete
from surprax.regression.file_blocks import BlockReader, RawBlock, Settled, as_number
from surprax.regression.formulas import Recipe
from surprax.regression.inputs import Extras, Inputs, numbers
from surprax.regression.links import Link
from surprax.regression.preparation import rows_of
from surprax.regression.problem import curvature_of
from surprax.regression.responses import Response
from surprax.regression.rows import Rows
from surprax.regression.sums import by_row
from surprax.regression.terms import Terms
from surprax.regression.variables import Variables

__all__ = ["FileRows", "Passes", "Responses", "Sums"]


@final
class Passes:
    """Counts passes over a file, and shows a bar for long ones.

    Args:
        title: for people.
        progress: whether bars are drawn; None for where standard error is a terminal.
    """

    def __init__(self, title: str, progress: bool | None) -> None:
        self.title, self.progress, self.count = title, progress, 0

    @contextlib.contextmanager
    def over(self, what: str) -> Iterator[Any]:
        """A function of the fraction that has been read and of how many rows were dropped."""
        self.count += 1
        with progress_bar(f"{self.title}: pass {self.count}, {what}", self.progress, PATIENCE) as advance:
            yield lambda fraction, dropped: advance(fraction, f" ({dropped:,} missing dropped)" if dropped else "")


@final
@dataclass(frozen=True, eq=False)
class Responses:
    """What a block has besides its design.

    Attributes:
        reader: of the file.
        response: the law.
        terms: of the left side of the formula.
        names: the columns that it reads.
        extras: what was given besides.
    """

    reader: BlockReader
    response: Response
    terms: Terms
    names: tuple[str, ...]
    extras: Extras

    def rows(self, block: RawBlock, design: Design | None = None) -> tuple[Rows, str]:
        """Rows of the block, and what the response is called; without columns, where no design is given.

        Raises `DataError` or `ValueError` for numbers that are none of the law's, with the row of the file.
        """
        given = {role: self._extra(block, role, what) for role, what in self.extras.items()}
        variables = Variables(
            {name: _variable(block.raws[name]) for name in self.names},
            block.n,
            kept=block.rows,
            whose=self.reader.source.path.name,
        )
        none = Design((), [Coded(np.zeros(block.n, np.uint8), np.zeros((1, 0)))])
        weights = given["weights"]
        idle = weights is not None and not np.any(weights)  # of one block: of all blocks it is looked at at the end
        recipe: Any = None
        inputs = Inputs(
            recipe,
            none if design is None else design,
            self.terms.responses(variables),
            given | {"weights": None} if idle else given,
            block.n,
            0,
        )
        with self._placed(block.rows):
            rows, label = rows_of(self.response, inputs)
        return (rows.reweighted(np.zeros(block.n)) if idle else rows), label

    def _extra(self, block: RawBlock, role: str, given: Any) -> np.ndarray | None:
        if given is None:
            return None
        if isinstance(given, str):
            return numbers(_variable(block.raws[given]), given)
        array = np.asarray(given, np.float64)
        if array.ndim == 0:
            array = np.full(block.n, array)
        elif array.ndim != 1 or len(array) <= block.rows[-1]:
            raise DataError(
                f"{role} must have one number for each row of {self.reader.source.path.name}: found shape {array.shape}"
            )
        else:
            array = array[block.rows]
        if not np.all(np.isfinite(array)):
            i = int(np.argmin(np.isfinite(array)))
            raise DataError(f"{role} must be finite: found {array[i]} at row {block.rows[i]}")
        return array

    @contextlib.contextmanager
    def _placed(self, rows: np.ndarray) -> Iterator[None]:
        """Errors that name a row of a block name that of the file."""
        try:
            yield
        except ValueError as error:

            def placed(match: re.Match[str]) -> str:
                return self.reader.source.places([int(rows[int(match[1])])])[0]

            message = re.sub(r", and [\d,]+ such in all", "", str(error))  # such a count is the block's
            raise type(error)(re.sub(r"\brow (\d+)\b", placed, message)) from None


def _variable(raw: Any) -> Any:
    return as_number(raw.values) if raw.labels is None else Discrete(raw.values, raw.labels, categorical=True)


@dataclass(frozen=True)
class Sums:
    """Sums over all rows: see `ByRow`.

    Attributes:
        value: Σ surprise.
        gradient, curvature: in the coefficients; no curvature where it was not asked for.
        mixed, in_extra: derivatives in the logarithm of the extra parameter.
    """

    value: float
    gradient: np.ndarray
    curvature: np.ndarray | None
    mixed: np.ndarray
    in_extra: np.ndarray


@final
class FileRows:
    """Rows that are read in blocks.

    Args:
        responses: of the blocks.
        recipe: of their designs.
        levels: values of the covariates.
        plain: covariates that only occur as they are, and are not coded.
        link: g.
        n: how many rows there are.
        constant: Σ of what half the deviance has that depends on the responses alone.
        passes: over the file.
    """

    def __init__(
        self,
        responses: Responses,
        recipe: Recipe,
        levels: Mapping[str, Settled],
        plain: frozenset[str],
        link: Link,
        n: int,
        constant: float,
        passes: Passes,
    ) -> None:
        self.responses, self.recipe, self.levels, self.plain, self.link = responses, recipe, levels, plain, link
        self.n, self.constant, self.passes = n, constant, passes
        self._known: list[tuple[np.ndarray, str, Sums]] = []

    def variables(self, block: RawBlock) -> Variables:
        """The covariates of a block."""
        columns = {name: one.of(block.raws[name], plain=name in self.plain) for name, one in self.levels.items()}
        return Variables(columns, block.n, kept=block.rows, whose=self.responses.reader.source.path.name)

    def parts(self, what: str = "sums") -> Iterator[Rows]:
        """Rows of one block after the other."""
        for rows, _ in self.blocks(what):
            yield rows

    def blocks(self, what: str, also: Sequence[str] = ()) -> Iterator[tuple[Rows, RawBlock]]:
        """Rows of one block after the other, and the block, with other columns besides."""
        dropped = 0
        with self.passes.over(what) as advance:
            for block in self.responses.reader.blocks(also):
                dropped += block.missing
                if block.n:
                    yield self.responses.rows(block, self.recipe.design(self.variables(block)))[0], block
                advance(block.fraction, dropped)

    def sums(self, b: np.ndarray, log_extra: float, second: str) -> Sums:
        """Sums at coefficients and the logarithm of the extra parameter, in one pass; those of the last points are kept.

        Args:
            b, log_extra: where.
            second: which Hessian, as `LinearProblem.evaluate` has it; "" for none.
        """
        at = np.append(b, log_extra)
        for known, kind, sums in self._known:
            if np.array_equal(known, at) and second in ("", kind):
                return sums
        p = len(b)
        response, link = self.responses.response, self.link
        value, gradient, mixed, in_extra = 0.0, np.zeros(p), np.zeros(p), np.zeros(2)
        H = np.zeros((p, p)) if second else None
        for rows in self.parts("curvature" if second else "slope"):
            each = by_row(rows, response, link, rows.eta(b), log_extra)
            value += each.value
            gradient += rows.design.transposed(each.slope)
            if each.mixed is not None:
                in_extra += each.in_extra
                if second:
                    mixed += rows.design.transposed(each.mixed)
            if H is not None:
                H += rows.design.gram(curvature_of(each, second))
        sums = Sums(value, gradient, H, mixed, in_extra)
        self._known = [*self._known[-2:], (at, second, sums)]
        return sums
