"""Estimates of softmax models of categories: probabilities, residuals, deviance, and all that an `Estimate` has."""

import dataclasses
import functools
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from surprax.estimate.estimate import Estimate
from surprax.estimate.maximize import NotAMaximumWarning
from surprax.estimate.report import certify
from surprax.numerics.elementary import deviance
from surprax.numerics.precision import float64_scope
from surprax.regression import covariances
from surprax.regression.estimate import Origins
from surprax.regression.multinomial_diagnosis import reason_without_maximum
from surprax.regression.multinomial_prediction import predicted
from surprax.regression.multinomial_problem import CategoryRows, Cells, MultinomialProblem
from surprax.regression.prediction import Prediction
from surprax.regression.solver import SAMPLE, descend
from surprax.units import Unit, from_nats

__all__ = ["MultinomialEstimate", "estimated"]


def estimated(problem: MultinomialProblem, origins: Origins, begin: np.ndarray | None = None) -> "MultinomialEstimate":
    """The estimate of a problem, with a warning and its reason where there is no maximum."""
    began = time.perf_counter()
    solvable: Any = problem  # a convex function, as those that `descend` is for
    with np.errstate(all="ignore"):
        z, count = descend(solvable, _start(problem) if begin is None else begin, unit=False)
        value, gradient, H = problem.derivatives(z)
        step = np.linalg.lstsq(H, -gradient, rcond=1e-12)[0]  # the last digits
        better = problem.derivatives(z + step)
    if np.max(np.abs(better[1]), initial=0.0) < np.max(np.abs(gradient), initial=0.0):
        z, (value, gradient, H) = z + step, better
    unit = _units(problem)
    seen = (unit * gradient, unit[:, None] * H * unit, problem.linear.as_counted.slopes(z) * unit)
    report = certify("Newton's method", count, time.perf_counter() - began, value, *seen, problem.linear.labels)
    if not report.converged:
        reason, about = reason_without_maximum(problem, report.reason)
        report = dataclasses.replace(report, reason=reason, flat=about or report.flat)
        warnings.warn(f"{problem.title}: {reason}.", NotAMaximumWarning, stacklevel=4)
    return MultinomialEstimate(problem, z, value, H, report, origins=origins)


def _units(problem: MultinomialProblem) -> np.ndarray:
    """By how much each free number changes a linear predictor of a typical row by 1. What is flat in these units is flat."""
    X, B = problem.cells.design, problem.linear.B
    N = np.sum(problem.counts, axis=0)
    G = X.gram(N / np.sum(N))
    squares = np.tile(np.diagonal(G), len(problem.counts) - 1)
    if B is not None:
        parts = B.reshape(-1, X.p, B.shape[1])
        squares = np.einsum("kpi,pq,kqi->i", parts, G, parts)
    return 1.0 / np.sqrt(np.where(squares > 0, squares, 1.0))


def _start(problem: MultinomialProblem) -> np.ndarray:
    """Intercepts of the shares of the categories; where there are many rows, the maximum for some of them."""
    design, linear = problem.cells.design, problem.linear
    shares = np.log(np.sum(problem.counts, axis=1))
    b = np.zeros((len(shares) - 1, design.p))
    b[:, [name == "Intercept" for name in design.names]] = (shares[1:] - shares[0])[:, None]
    begin = linear.free_numbers(dict(zip(linear.names, b.ravel())))
    most = max(SAMPLE, 50 * problem.size)
    if problem.cells.key is not None or design.n < 3 * most:
        return begin
    some = problem.original.some(np.sort(np.random.default_rng(0).choice(design.n, most, replace=False)))
    sample: Any = MultinomialProblem(problem.title, some, Cells(some.design, None, ""), linear, problem.ridge)
    return descend(sample, begin, unit=False, nats=1e-2)[0] if np.all(np.any(sample.counts, axis=1)) else begin


class MultinomialEstimate(Estimate):
    """A softmax model of categories at its maximum of the likelihood; made by `glm` with family Categorical or Multinomial.

    Attributes:
        params: coefficients by name, "b: x" for covariate x in the equation log p_b/p_a of category b against the baseline a.
        classes: the categories, in order; the first one is the baseline.
        compression: what the rows were compressed to: "10,000 rows → 12 cells"; "" where they were not.

    >>> import surprax as sx
    >>> data = {"x": [0, 1, 2, 3, 4, 5, 6, 7], "y": ["a", "b", "a", "c", "b", "b", "c", "c"]}
    >>> est = sx.glm("y ~ x", data, family=sx.Categorical)
    >>> {name: round(float(value), 4) for name, value in est.params.items()}
    {'b: Intercept': -1.6297, 'b: x': 1.0318, 'c: Intercept': -4.5189, 'c: x': 1.69}
    >>> est.classes, est.predict({"x": [2.5]}).round(4)
    (('a', 'b', 'c'), array([[0.2309, 0.597 , 0.1721]]))
    """

    problem: MultinomialProblem

    def __init__(self, *args: Any, origins: Origins, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.origins = origins

    @property
    def classes(self) -> tuple[str, ...]:
        return self.problem.original.classes

    @property
    def compression(self) -> str:
        return self.origins.compression

    @functools.cached_property
    def coefficients(self) -> np.ndarray:
        """b, shape (p, K): a column for each category, that of the baseline 0."""
        b = self.theta.reshape(-1, self.problem.cells.design.p).T
        return np.concatenate([np.zeros((len(b), 1)), b], axis=1)

    @functools.cached_property
    def free(self) -> float:  # type: ignore[override]
        """How many numbers were fitted; of a penalised fit, effectively so many, tr (H + Λ)⁻¹ H."""
        problem, H = self.problem, self._curvature
        if problem.ridge is None or H is None:
            return problem.size
        B = problem.linear.B
        penalty = problem.ridge if B is None else B.T @ problem.ridge @ B
        return problem.size - float(np.trace(np.linalg.solve(H, penalty)))

    @property
    def df_residual(self) -> float:
        """n less fitted coefficients."""
        return self.problem.totals.count - self.free

    @functools.cached_property
    def deviance(self) -> float:
        """2 Σ w Σ_k Y_k log(Y_k/(N p_k))."""
        return self._deviance(self._probabilities[0])

    @functools.cached_property
    def _probabilities(self) -> tuple[np.ndarray, np.ndarray]:
        """p and log p of the rows of the fit, shapes (K, n)."""
        return self.problem.probabilities(self._z, self.problem.original.design)

    @functools.cached_property
    def null_deviance(self) -> float:
        """Deviance of intercepts alone, whose probabilities are the shares of the categories; for models that have them."""
        if "Intercept" not in self.problem.original.design.names:
            raise ValueError("A null model is the intercepts alone, and this model has none.")
        totals = np.sum(self.problem.counts, axis=1)
        return self._deviance((totals / np.sum(totals))[:, None])

    def _deviance(self, p: np.ndarray) -> float:
        """At probabilities (K, n) or (K, 1)."""
        rows = self.problem.original
        if rows.codes is not None:
            log_p = np.log(p)
            return -2.0 * float(rows.weights @ rows.picked(np.broadcast_to(log_p, (len(p), rows.n))))
        assert rows.counts is not None
        with float64_scope():
            half = np.asarray(deviance(rows.counts.T, rows.trials * p))
        return 2.0 * float(rows.weights @ np.sum(half, axis=0))

    @functools.cached_property
    def r_squared(self) -> float:
        """1 − deviance/null deviance, the share of the deviance that is explained (of categories, McFadden's)."""
        return 1.0 - self.deviance / self.null_deviance

    @functools.cached_property
    def pearson_chi2(self) -> float:
        """Σ w Σ_k (Y_k − N p_k)²/(N p_k)."""
        rows = self.problem.original
        expected = rows.trials * self._probabilities[0]
        parts = np.where(expected > 0, (rows.table() - expected) ** 2 / np.where(expected > 0, expected, 1.0), 0.0)
        return float(rows.weights @ np.sum(parts, axis=0))

    def covariance(self, kind: str = "observed", clusters: Any = None) -> np.ndarray:
        """Of all coefficients, in the order of `labels`; zeros for those that are held.

        Args:
            kind: "observed" or "expected" information, which are the same; "sandwich" (also "HC0"), with the scores of the rows;
                "HC1", times n/(n − p); "cluster", scores summed by cluster, times G/(G − 1).
            clusters: labels of clusters, one per row, for "cluster".
        """
        if kind in ("HC2", "HC3"):
            raise ValueError(f'{kind} goes by leverages, of which a row of categories has many; use "HC0" or "HC1".')
        whole: Any = self
        return covariances.covariance(whole, "observed" if kind == "expected" else kind, clusters, "ml")

    def data_rows(self) -> CategoryRows:
        """The rows of the fit."""
        return self.problem.original

    def predict(
        self, new: Any = None, *, kind: str = "mean", interval: str | None = None, level: float = 0.95
    ) -> np.ndarray | Prediction:
        """Probabilities of the categories, in the order of `classes`, for new rows or those of the fit.

        Args:
            new: data with the columns of the formula, or a matrix as X was; None for the rows of the fit.
            kind: "mean" for probabilities; "linear" for log p_k/p_0.
            interval: "mean" for confidence intervals of the probabilities, each by the delta method for its log-odds,
                log p_k/(1 − p_k), so that all ends are between 0 and 1; of log p_k/p_0 by their standard errors.
            level: between 0 and 1.

        Returns:
            An array (n, K); with an interval, a `Prediction` of `mean`, `low` and `high`, each (n, K).

        >>> import surprax as sx
        >>> data = {"x": [0, 1, 2, 3, 4, 5, 6, 7], "y": ["a", "b", "a", "c", "b", "b", "c", "c"]}
        >>> est = sx.glm("y ~ x", data, family=sx.Categorical)
        >>> est.predict({"x": [2.5]}, interval="mean", level=0.5)
          row  category           p         low        high    50 % of the mean
            0         a     0.23091     0.10627     0.43122
            0         b       0.597     0.40932        0.76
            0         c     0.17209     0.07193     0.35794
        """
        design = self.problem.original.design if new is None else self.origins.recipe.design(new)
        return predicted(self, design, kind, interval, level)

    def residuals(self, kind: str = "response", *, unit: Unit = "bit") -> np.ndarray:
        """What the fit leaves, of each row of the data.

        Args:
            kind: "response", Y − N p, shape (n, K), Y being 1 for the category that occurred; "pearson", over √(N p (1 − p)), shape
                (n, K); "surprise", how surprised the model is by the row, −log p(y), shape (n,).
            unit: of surprise.
        """
        if kind not in ("response", "pearson", "surprise"):
            raise ValueError(f"Residuals of categories are of kind response, pearson, surprise; got {kind!r}.")
        rows = self.problem.original
        p, log_p = self._probabilities
        if kind == "surprise":
            with float64_scope():
                return np.asarray(from_nats(-rows.picked(log_p) - rows.log_ways, unit))
        gap = rows.table() - rows.trials * p
        if kind == "pearson":
            variance = rows.trials * p * (1.0 - p)
            gap = gap / np.sqrt(np.where(variance > 0, variance, 1.0))
        return gap.T

    def about(self) -> tuple[tuple[str, str], ...]:
        bits = float(from_nats(-self.log_likelihood, "bit")) / self.problem.totals.count
        head = [("Baseline", self.classes[0]), ("Deviance", f"{self.deviance:.7g}"), ("Bits per row", f"{bits:.5g}")]
        if self.problem.ridge is not None:
            head += [("Effective free", f"{self.free:.5g}")]
        if self.compression:
            head += [("Compression", self.compression)]
        if self.origins.missing:
            head += [("Left out", f"{self.origins.missing:,} rows with missing values")]
        return tuple(head)

    def refit(
        self, *, fixed: Mapping[str, Any] | None = None, tied: Sequence[Sequence[str]] = ()
    ) -> "MultinomialEstimate":
        coordinates = self.problem.linear.holding(fixed, tied)
        return estimated(
            self.problem.with_coordinates(coordinates), self.origins, coordinates.free_numbers(self.params)
        )
