"""Formulas of files that are read in blocks: what each factor needs to see, and recipes that are trained without all rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from surprax.data.sources import Source
from surprax.regression.encoding import Variable
from surprax.regression.file_blocks import BlockReader, Levels, as_number
from surprax.regression.file_survey import Survey
from surprax.regression.formulas import Recipe
from surprax.regression.inputs import Extras
from surprax.regression.syntax import Parsed, Piece, parsed, pieces
from surprax.regression.terms import Terms
from surprax.regression.training import trained
from surprax.regression.variables import Variables

__all__ = ["FileFormula"]

WHOLE = 1 << 27
"""Numbers that are read at once for a factor that learns from all rows."""


@final
@dataclass(frozen=True, eq=False)
class FileFormula:
    """A formula, taken apart.

    Attributes:
        text: as it was written.
        parsed: its terms.
        right: the factors of the covariates.
        context: names that it may use besides columns.
    """

    text: str
    parsed: Parsed
    right: tuple[Piece, ...]
    context: Mapping[str, Any]

    @classmethod
    def of(cls, text: str, source: Source, extras: Extras, context: Mapping[str, Any] | None) -> "FileFormula":
        """A formula of the columns of a file; refuses factors that may look at other rows."""
        available = [name for name in source.names if name not in extras.columns]
        given = dict(context or {})
        found = parsed(text, available, given)
        if not found.responses:
            raise ValueError(f"The formula {text!r} must say what is modelled, on the left of '~': 'y ~ x'.")
        left, right = (
            tuple(piece for term in side for piece in pieces(term, given, available))
            for side in (found.left, found.right)
        )
        for piece in (*left, *right):
            if not piece.rowwise:
                raise ValueError(
                    "A factor of a formula for a file that is streamed must be computable row by row, or learn from all rows as"
                    f" center(x) does: {piece.factor.expr} of {text!r} may look at other rows. Compute it beforehand as a column"
                    " of the file, or read the file whole (stream=False)."
                )
        return cls(text, found, right, given)

    @property
    def plain(self) -> frozenset[str]:
        """Covariates that only occur as they are."""
        computed = {name for piece in self.right if not piece.is_column for name in piece.names}
        return frozenset(name for piece in self.right for name in piece.names) - computed

    def left(self, reader: BlockReader) -> Terms:
        """The terms of the response, trained on the first rows; on all labels, where its columns hold labels."""
        names = self.parsed.responses
        first = next((block for block in reader.blocks(only=names) if block.n), None)
        if first is None:  # the first pass says what is wrong
            columns: dict[str, Variable] = {name: as_number(np.zeros(1)) for name in names}
            return trained(self.text, self.parsed.left, Variables(columns, 1), self.context)
        n, columns = first.n, {}
        if all(raw.labels is None for raw in first.raws.values()):
            columns = {name: as_number(raw.values) for name, raw in first.raws.items()}
        else:
            gathered = {name: Levels(name, declared=name in reader.declared) for name in names}
            for block in reader.blocks(only=names):
                for name, levels in gathered.items():
                    levels.codes(block.raws[name])
            settled = {name: levels.settled() for name, levels in gathered.items()}
            n = max([3, *(len(one.values) for one in settled.values())])
            for name, one in settled.items():
                numbers = np.resize(first.raws[name].values, n)
                columns[name] = one.recoded(np.arange(n) % len(one.values)) if one.few else as_number(numbers)
        return trained(self.text, self.parsed.left, Variables(columns, n), self.context, reader.whole)

    def recipe(self, reader: BlockReader, left: Terms, survey: Survey) -> Recipe:
        """The recipe, trained on the values that the survey found, and on whole columns where a factor has to see them."""

        def whole(columns: Sequence[str]) -> Variables:
            if survey.n * len(columns) > WHOLE:
                raise ValueError(
                    f"A factor that learns from all rows at once takes columns of at most {WHOLE:,} numbers, where a file is"
                    f" streamed: {', '.join(columns)} of {self.text!r} has {survey.n * len(columns):,}. Write what it learns as"
                    " numbers, I(x - 40.2) for center(x) or bs(x, knots=…), or compute it beforehand as a column of the file."
                )
            return reader.whole(columns)

        training = survey.training()
        terms = trained(self.text, self.parsed.right, training, self.context, whole)
        responses, covariates = self.parsed.responses, self.parsed.covariates
        return Recipe(self.text, responses, covariates, terms.discrete(training), terms, left)
