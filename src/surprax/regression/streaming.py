"""`glm` on files that are larger than memory: blocks of rows are summed, and read again for each step of the fit.

One pass finds the values of the columns. Where all covariates are discrete and have few combinations, it adds the rows up to
cells, and the fit needs no other; normal responses with the identity link take two passes for their triangle, and a few for its
last digits; all else takes one pass for each gradient, some six in all, because the first steps are made on a sample of the rows.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from surprax.data.sources import ParquetFile, Source, open_source
from surprax.regression.compression import _constants
from surprax.regression.constraints import linear_constraints
from surprax.regression.coordinates import LinearCoordinates
from surprax.regression.estimate import LinearEstimate, Origins
from surprax.regression.file_blocks import BlockReader
from surprax.regression.file_cells import CellRows
from surprax.regression.file_formula import FileFormula
from surprax.regression.file_rows import FileRows, Passes, Responses
from surprax.regression.file_survey import Survey
from surprax.regression.fitting import estimated
from surprax.regression.fitting import refuse_constant as refuse
from surprax.regression.inputs import Extras
from surprax.regression.least_squares import Triangle, least_squares
from surprax.regression.links import Identity, Link
from surprax.regression.penalized import _estimate
from surprax.regression.problem import LinearProblem
from surprax.regression.responses import Dispersed, NormalResponse, Response
from surprax.regression.rows import Rows, Totals
from surprax.regression.shrinkage import Penalty, pair
from surprax.regression.solver import descend, start
from surprax.regression.streamed_estimate import StreamedEstimate, StreamedProblem
from surprax.regression.syntax import parsed
from surprax.regression.totals import totals_of

__all__ = ["streamed", "streams"]

LARGE = 1 << 30
"""Bytes of the numbers that a fit takes, from which on a file is streamed: held in memory, with what is computed of them, they are
four times as much."""

BLOCK = 1 << 18
"""Rows of a block: enough that its overhead does not count, and 2 MiB for each column."""


def streams(model: Any, data: Any, response: Response | None, extras: Extras, stream: bool | None) -> bool:
    """Whether a fit is made by blocks of rows: if `stream` says so, or else by the size of the file.

    Args:
        model, data, extras: as `glm` has them.
        response: the law; None for categories, which are not streamed.
        stream: what the caller wants.
    """
    is_file = isinstance(model, str) and isinstance(data, str | os.PathLike)
    if not stream:
        if stream is False or not is_file or response is None:
            return False
        source = open_source(data)
        found = parsed(model, [name for name in source.names if name not in extras.columns])
        return _size(source, {*found.responses, *found.covariates, *extras.columns}) > LARGE
    if not is_file:
        raise ValueError(
            "A fit is streamed from a file: pass a formula, and as data= the path of a Parquet, CSV or Arrow file; got"
            f" {type(data).__name__}."
        )
    if response is None:
        raise ValueError(
            "Responses that are categories are not streamed: read the file whole (stream=False), or sum its rows to counts by"
            " covariates first, and pass these as weights."
        )
    return True


def _size(source: Source, names: set[str]) -> float:
    """Bytes of some columns as numbers, about."""
    if isinstance(source, ParquetFile):
        return 8.0 * pq.read_metadata(source.path).num_rows * len(names)
    packed = 5.0 if source.path.name.lower().endswith(".gz") else 1.0
    return packed * source.path.stat().st_size * len(names) / max(len(source.names), 1)


def streamed(
    formula: str,
    path: str | os.PathLike[str],
    response: Response,
    link: Link,
    extras: Extras,
    *,
    penalty: Any = None,
    constraints: Any = None,
    fixed: Mapping[str, float] | None = None,
    tied: Sequence[Sequence[str]] = (),
    drop_missing: bool = False,
    context: Mapping[str, Any] | None = None,
    progress: bool | None = None,
    rows: int | None = None,
) -> LinearEstimate:
    """`glm` of a file, with memory bounded by a block of its rows (and by a column that a factor such as `center(x)` learns from).

    Args:
        formula, extras, penalty, constraints, fixed, tied, drop_missing, context: as `glm` has them.
        path: of a Parquet, CSV or Arrow file.
        response, link: the law and g.
        progress: whether long passes show a bar; None for where standard error is a terminal.
        rows: of a block.
    """
    source = open_source(path)
    asked = FileFormula.of(formula, source, extras, context)
    _refuse_matrices(extras)
    names = [*asked.parsed.responses, *asked.parsed.covariates, *extras.columns]
    reader = BlockReader(source, names, rows or _block_rows(len(set(names))), drop_missing=drop_missing)
    passes = Passes(source.path.name, progress)
    left = asked.left(reader)
    responses = Responses(reader, response, left, asked.parsed.responses, extras)
    survey = Survey(responses, asked.parsed.covariates, asked.right, link)
    survey.run(passes)
    plain = asked.plain
    recipe = asked.recipe(reader, left, survey)
    recipe = recipe.centred(recipe.design(survey.sample(plain)[0]))
    file = FileRows(responses, recipe, survey.levels, plain, link, survey.n, survey.constant, passes)
    kept, totals, triangle, note = _compressed(survey, file)
    columns = recipe.names
    extra = f"({response.extra})" if response.extra in columns else response.extra
    equations, bounds = linear_constraints(constraints, columns)
    coordinates = LinearCoordinates(columns, extra, fixed, tied, equations, recipe.centring)
    title = f"{response.name} model of {survey.label}"
    origins = Origins(recipe, extras, survey.missing, note)
    parts = (title, response, link, kept, None, totals, coordinates)
    problem: LinearProblem = StreamedProblem(*parts) if kept is file else LinearProblem(*parts, triangle=triangle)
    refuse_constant(problem, survey)
    if penalty is not None or bounds:
        return _penalized(problem, penalty, bounds, origins)
    begin = _begin(problem, survey, file) if kept is file else None
    return StreamedEstimate.of(estimated(problem, origins, begin), file)


def _block_rows(columns: int) -> int:
    return max(1 << 14, min(BLOCK, (1 << 23) // max(columns, 1)))


def _refuse_matrices(extras: Extras) -> None:
    for role, given in extras.items():
        if given is not None and not isinstance(given, str) and np.ndim(given) > 1:
            raise ValueError(
                f"{role} must be a name of a column or one number for each row; got shape {np.shape(given)}."
            )


def _compressed(survey: Survey, file: FileRows) -> tuple[Any, Totals, Triangle | None, str]:
    """What the likelihood is summed over, its totals, the triangle of normal responses, and a note of it."""
    response, link = file.responses.response, file.link
    totals, kept = survey.totals, file
    n = f"{survey.n:,} rows"
    note = f"{n}, streamed"
    source: Any = kept
    if survey.all_discrete:
        source, within = _cells(survey, file)
        totals = replace(totals, within=within)
        note = f"{n} → {source.n:,} {'cells' if survey.dispersed else 'rows that differ'}"
    if isinstance(response, NormalResponse) and isinstance(link, Identity):
        triangle = least_squares(source)
        if triangle is not None:
            p = len(file.recipe.names)
            totals = replace(totals, within=totals.within + 0.5 * triangle.rss)
            return triangle.rows(file.recipe.names), totals, triangle, f"{note} → a triangle of {p} × {p}"
    return source, totals, None, note


def _cells(survey: Survey, file: FileRows) -> tuple[Rows, float]:
    """Cells as rows, and half the deviance within them."""
    response = file.responses.response
    design = file.recipe.design(survey.cell_variables())
    weights, y, gaps, offset = survey.cell_sums()
    if not isinstance(response, Dispersed):
        return Rows(design, survey.cell_values("y"), weights, survey.cell_values("precision"), offset), 0.0
    kept = CellRows(design, y, weights, np.ones(len(y)), offset, gaps=gaps)
    if isinstance(response, NormalResponse):
        return kept, 0.5 * float(np.sum(gaps))
    shift = 0.0
    if survey.exposures:
        assert offset is not None
        shift = survey.shift - float(np.sum(weights * y * offset))
    return kept, survey.constant - _constants(response, y, weights) - shift


def refuse_constant(problem: LinearProblem, survey: Survey) -> None:
    two = survey.sample(frozenset())[1].picked(np.zeros(2, int))
    ends = replace(two, y=np.array([survey.low, survey.high]), weights=np.ones(2))
    refuse(LinearProblem(problem.title, problem.response, problem.link, ends, ends, problem.totals, problem.linear))


def _begin(problem: LinearProblem, survey: Survey, file: FileRows) -> np.ndarray:
    """Free coefficients to start from: those of the sample."""
    variables, rest = survey.sample(file.plain)
    rows = replace(rest, design=file.recipe.design(variables))
    totals = totals_of(problem.response, rows)
    some = LinearProblem(problem.title, problem.response, problem.link, rows, rows, totals, problem.linear)
    with np.errstate(all="ignore"):
        begin = start(some, rows)
        if isinstance(problem.response, Dispersed):
            try:
                return descend(some, begin, unit=True, nats=1e-2)[0]
            except np.linalg.LinAlgError:
                return begin
    return begin


def _penalized(problem: LinearProblem, penalty: Any, bounds: Any, origins: Origins) -> LinearEstimate:
    l1, l2 = pair(penalty)
    wanted = Penalty.of(problem.linear.names, l1, l2, bounds)
    if wanted.l1 == 0 and wanted.l2 == 0 and not wanted.bounded:
        return estimated(problem, origins)
    return _estimate(problem.replaced(ridge=wanted.ridge), wanted, origins)
