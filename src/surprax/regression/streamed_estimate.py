"""Fits to rows that stay in their file: their likelihood, and robust covariances, by passes over it."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, final

import numpy as np
from jax import Array

from surprax.estimate.covariances import factor
from surprax.regression.covariances import ROBUST
from surprax.regression.estimate import LinearEstimate
from surprax.regression.file_blocks import Levels
from surprax.regression.file_rows import FileRows
from surprax.regression.problem import LinearProblem
from surprax.regression.responses import Dispersed
from surprax.regression.rows import Rows

__all__ = ["StreamedEstimate", "StreamedProblem"]


@final
class StreamedProblem(LinearProblem):
    """The same of `FileRows`; sums at the last points are kept, for each is a pass over the file."""

    def replaced(self, **others: Any) -> LinearProblem:
        """The same problem but for some of its parts."""
        made = super().replaced(**others)
        if isinstance(made.data_rows, Rows):
            return made
        return StreamedProblem(
            made.title,
            made.response,
            made.link,
            made.data_rows,
            made.original,
            made.totals,
            made.linear,
            made.ridge,
            made.triangle,
        )

    @functools.cached_property
    def constant(self) -> float:
        """What half the deviance of the rows has that depends on the responses alone."""
        return float(self.totals.within + self.data_rows.constant)

    def evaluate(
        self, z: np.ndarray, second: str = "", weights: Any = None, unit: bool = False
    ) -> tuple[float, np.ndarray, np.ndarray | None]:
        """As `LinearProblem.evaluate`."""
        if weights is not None:
            raise ValueError(_not_kept("fits to rows that are drawn or weighted anew"))
        b, log_extra = self.linear.coefficients(z), self.linear.log_extra(z) if not unit else 0.0
        sums = self.data_rows.sums(b, 0.0 if self.separates else log_extra, second)
        value, gradient, H = sums.value, sums.gradient, sums.curvature if second else None
        if self.ridge is not None:
            value, gradient = value + 0.5 * float(self.ridge @ b**2), gradient + self.ridge * b
            H = None if H is None else H + np.diag(self.ridge)
        return self._assembled(z, value, gradient, H, sums.mixed, sums.in_extra, self.totals, log_extra, None, unit)

    @property
    def separates(self) -> bool:
        """Whether sums do not depend on the extra parameter."""
        return isinstance(self.response, Dispersed)


@final
class StreamedEstimate(LinearEstimate):
    """A generalised linear model of a file that was read in blocks; made by `glm`.

    It has what a `LinearEstimate` has, but for what needs a number for each row at once: residuals, leverages and bootstraps are
    refused; `predict(new)` takes any rows, and so a file in pieces. Robust covariances take a pass over the file; clusters are
    the name of a column of it.
    """

    file: FileRows

    @classmethod
    def of(cls, estimate: LinearEstimate, file: FileRows) -> "StreamedEstimate":
        """An estimate, with the file that it is of."""
        made = cls(
            estimate.problem,
            estimate._z,
            -estimate.log_likelihood,
            estimate._curvature,
            estimate.report,
            origins=estimate.origins,
        )
        made.file = file
        return made

    def covariance(self, kind: str = "observed", clusters: Any = None, *, dispersion: str = "pearson") -> np.ndarray:
        """As `LinearEstimate.covariance`; of "sandwich", "HC0", "HC1" and "cluster", clusters being the name of a column."""
        if kind not in ROBUST or (kind == "cluster") != (clusters is not None):
            return super().covariance(kind, clusters, dispersion=dispersion)
        if kind in ("HC2", "HC3"):
            raise ValueError(
                _not_kept(f"leverages, by which {kind} goes")
                + ' Or use "HC1", or kind="cluster", which take a pass over the file.'
            )
        slopes, half = self.problem.theta(self._z)[1], factor(self)
        out = slopes @ half @ half.T
        out = out @ (self._clustered(clusters) if kind == "cluster" else self._squares()) @ out.T
        return out * (self.problem.totals.count / self.df_residual) if kind == "HC1" else out

    def _squares(self) -> np.ndarray:
        """Σ w s sᵀ of the scores s of rows."""
        total = np.zeros((self.problem.size, self.problem.size))
        for rows in self.file.parts("scores"):
            scores = self.problem._scores(rows, self._z)
            total += (scores * rows.weights[:, None]).T @ scores
        return total

    def _clustered(self, name: Any) -> np.ndarray:
        """G/(G − 1) Σ s sᵀ of the sums s of scores by cluster."""
        if not isinstance(name, str):
            raise ValueError(
                f"Clusters of a fit that was streamed are the name of a column of the file; got {type(name).__name__}."
            )
        reader = self.file.responses.reader
        reader.source.position(name)
        levels = Levels(name, declared=name in reader.declared, most=1 << 24)
        sums = np.zeros((0, self.problem.size))
        for rows, block in self.file.blocks("scores", also=[name]):
            codes = levels.codes(block.raws[name])
            if codes is None:
                raise ValueError(f"Clusters must be at most {1 << 24:,} different numbers: column {name!r} has more.")
            scores = self.problem._scores(rows, self._z) * rows.weights[:, None]
            if len(levels) > len(sums):
                sums = np.vstack([sums, np.zeros((len(levels) - len(sums), sums.shape[1]))])
            found, place = np.unique(codes, return_inverse=True)
            sums[found] += np.stack([np.bincount(place, column, len(found)) for column in scores.T], axis=1)
        number = len(sums)
        if number < 2:
            raise ValueError("A covariance by clusters needs at least two of them; all rows have one label.")
        return number / (number - 1.0) * (sums.T @ sums)

    def bootstrap(self, key: Array, resamples: int = 999) -> NoReturn:
        """Refused: each resample would take passes over the file of its own."""
        raise ValueError(
            _not_kept("resamples of them, each of which would be a fit to the whole file")
            + ' Errors that hold where the model is wrong are of kind="sandwich", and intervals of skewed likelihoods by'
            ' method="profile".'
        )

    def data_rows(self) -> NoReturn:
        """Refused: rows were not kept."""
        raise ValueError(_not_kept("numbers for each of its rows, such as residuals"))

    def refit(
        self, *, fixed: Mapping[str, Any] | None = None, tied: Sequence[Sequence[str]] = ()
    ) -> "StreamedEstimate":
        """The same likelihood maximised with other parameters held or tied, by further passes over the file."""
        return StreamedEstimate.of(super().refit(fixed=fixed, tied=tied), self.file)


def _not_kept(what: str) -> str:
    return (
        f"The rows of this fit were streamed and are not kept, so that there are no {what}: read the file whole (stream=False), fit"
        " a sample of its rows, or pass rows in pieces to predict(new)."
    )
