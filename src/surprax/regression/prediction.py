"""Predictions for new rows, and intervals for means and for responses."""

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from surprax.estimate.checks import checked_level, finite_numbers
from surprax.numerics.precision import float64_scope
from surprax.regression.alignment import refuse_other_index
from surprax.regression.design import AT_ONCE
from surprax.regression.responses import BinomialResponse, NormalResponse
from surprax.regression.rows import Rows
from surprax.regression.sums import means
from surprax.regression.variables import read_variables

if TYPE_CHECKING:
    from surprax.regression.estimate import LinearEstimate, Origins

__all__ = ["Prediction", "new_rows", "predicted"]

NODES = 11
"""Of Gauss–Hermite quadrature over the linear predictor."""

HALVINGS = 60


@dataclass(frozen=True)
class Prediction:
    """Means of responses with intervals.

    Attributes:
        mean: shape (n,); of categories (n, K).
        low, high: ends of the intervals, of the same shape.
        level: what they hold.
        interval: "mean" or "prediction".
        classes: the categories; none where responses are numbers.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    level: float
    interval: str
    classes: tuple[str, ...] = ()

    def __str__(self) -> str:
        what = f"{100 * self.level:g} % {'of the mean' if self.interval == 'mean' else 'for a response'}"
        if self.classes:
            return self._by_category(what)
        lines = [f"{'mean':>12}  {'low':>12}  {'high':>12}    {what}"]
        shown = list(zip(self.mean, self.low, self.high))[:20]
        lines += ["  ".join(f"{v:12.5g}" for v in row) for row in shown]
        more = len(self.mean) - 20
        return "\n".join([*lines, f"… {more:,} more rows"] if more > 0 else lines)

    def _by_category(self, what: str) -> str:
        wide = max(8, *map(len, self.classes))
        lines = [f"{'row':>5}  {'category':>{wide}}  {'p':>10}  {'low':>10}  {'high':>10}    {what}"]
        rows = max(1, 20 // len(self.classes))
        for i in range(min(rows, len(self.mean))):
            for name, *numbers in zip(self.classes, self.mean[i], self.low[i], self.high[i]):
                lines.append("  ".join([f"{i:>5}", f"{name:>{wide}}", *(f"{v:10.5g}" for v in numbers)]))
        more = len(self.mean) - rows
        return "\n".join([*lines, f"… {more:,} more rows"] if more > 0 else lines)

    __repr__ = __str__


def new_rows(origins: "Origins", new: Any, offset: Any) -> Rows:
    """Rows without responses, made as those of the fit were."""
    recipe, given = origins.recipe, origins.extras.offset
    design = recipe.design(new)
    n = design.n
    if offset is None and isinstance(given, str):
        offset = read_variables(new, [given])[given].column()
    elif offset is None and given is not None:
        raise ValueError("The fit had an offset: pass that of the new rows, offset=numbers (0 for none).")
    if offset is not None:
        refuse_other_index(new, "the new data", offset, "offset")
        offset = finite_numbers(offset, "Offsets are")
        if offset.shape not in ((), (n,)):
            raise ValueError(f"The offset has one number for each of the {n} rows; got shape {offset.shape}.")
        offset = np.broadcast_to(offset, (n,))
    return Rows(design, np.zeros(n), np.ones(n), np.ones(n), offset)


def predicted(
    estimate: "LinearEstimate", rows: Rows, kind: str, interval: str | None, level: float, trials: Any
) -> np.ndarray | Prediction:
    """`LinearEstimate.predict`."""
    if kind not in ("mean", "linear"):
        raise ValueError(f'A prediction is of kind "mean" or "linear"; got {kind!r}.')
    if interval not in (None, "mean", "prediction"):
        raise ValueError(f'An interval is "mean" or "prediction", or None; got {interval!r}.')
    level = checked_level(level)
    if interval == "prediction" and kind == "linear":
        raise ValueError('An interval for responses has no linear predictor; use kind="mean".')
    eta = rows.eta(estimate._b)
    mu = eta if kind == "linear" else means(estimate.problem.link, eta)[0]
    if interval is None:
        return mu
    errors = _errors(estimate, rows)
    if interval == "mean":
        reach = float(estimate.reference.isf(0.5 * (1.0 - level)))
        ends = [eta - reach * errors, eta + reach * errors]
        if kind == "mean":
            ends = [means(estimate.problem.link, end)[0] for end in ends]
        return Prediction(mu, np.minimum(*ends), np.maximum(*ends), level, interval)
    if trials is not None and not isinstance(estimate.problem.response, BinomialResponse):
        raise ValueError(f"Trials belong to binomial responses; the family is {estimate.problem.response.name}.")
    if trials is not None:
        trials = finite_numbers(trials, "Trials are")
        if trials.shape not in ((), (rows.n,)):
            raise ValueError(f"Trials are one number for each of the {rows.n} rows; got shape {trials.shape}.")
    return Prediction(mu, *_for_responses(estimate, rows, eta, errors, level, trials), level, interval)


def _errors(estimate: "LinearEstimate", rows: Rows) -> np.ndarray:
    """Standard errors of linear predictors, by the covariance of the coefficients of columns as the design counts them."""
    linear = estimate.problem.linear
    counted = copy.copy(estimate)
    counted.problem = estimate.problem.with_coordinates(linear.as_counted)
    p = len(linear.names)
    return np.sqrt(np.maximum(rows.design.quadratic(counted.covariance()[:p, :p]), 0.0))


def _for_responses(
    estimate: "LinearEstimate", rows: Rows, eta: np.ndarray, errors: np.ndarray, level: float, trials: Any
) -> tuple[np.ndarray, np.ndarray]:
    tail = 0.5 * (1.0 - level)
    response, link = estimate.problem.response, estimate.problem.link
    if isinstance(response, NormalResponse) and link.name == "identity":
        wide = np.sqrt(estimate.dispersion + errors**2) * float(estimate.reference.isf(tail))
        return eta - wide, eta + wide
    low, high = np.empty(rows.n), np.empty(rows.n)
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = weights / weights.sum()
    for start in range(0, rows.n, AT_ONCE):
        run = slice(start, start + AT_ONCE)
        points = means(link, eta[run] + nodes[:, None] * errors[run])[0]
        count = None if trials is None else np.broadcast_to(np.asarray(trials, np.float64), (rows.n,))[run]
        with float64_scope():
            law = response.distribution(points, estimate.extra, count)
            low[run] = _quantile(law, weights, tail)
            high[run] = _quantile(law, weights, 1.0 - tail)
    return low, high


def _quantile(law: Any, weights: np.ndarray, q: float) -> np.ndarray:
    """Quantile of a mixture of laws over the first axis: between those of its components, by halving."""
    each = np.asarray(law.icdf(q))
    low, high = each.min(axis=0), each.max(axis=0)
    if law.discrete:
        low = low - 1.0
        while np.any(high - low > 1.0):
            middle = np.floor(0.5 * (low + high))
            enough = weights @ np.asarray(law.cdf(middle)) >= q
            low, high = np.where(enough & (middle > low), low, middle), np.where(enough, middle, high)
        return high
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        enough = weights @ np.asarray(law.cdf(middle)) >= q
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return 0.5 * (low + high)
