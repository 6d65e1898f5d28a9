"""From a problem to its estimate, with the reason where there is no maximum."""

import dataclasses
import warnings

import numpy as np

from surprax.estimate.maximize import NotAMaximumWarning
from surprax.families import NegativeBinomial
from surprax.regression.diagnosis import reason_exact, reason_without_maximum
from surprax.regression.estimate import LinearEstimate, Origins
from surprax.regression.links import Identity
from surprax.regression.problem import LinearProblem
from surprax.regression.rows import Rows
from surprax.regression.solver import fitted

__all__ = ["estimated", "refuse_constant"]

LARGEST = 1e150


def estimated(problem: LinearProblem, origins: Origins, begin: np.ndarray | None = None) -> LinearEstimate:
    """The estimate of a problem, with a warning and its reason where there is no maximum."""
    refuse_constant(problem)
    with np.errstate(all="ignore"):
        fit = fitted(problem, begin)
    report = fit.report
    exact = reason_exact(problem, fit.z)
    if exact:
        report = dataclasses.replace(report, reason=exact)
        warnings.warn(f"{problem.title}: {exact}.", NotAMaximumWarning, stacklevel=3)
    elif not report.converged:
        reason, about = reason_without_maximum(problem, fit.z, report.reason)
        report = dataclasses.replace(report, reason=reason, flat=about or report.flat)
        warnings.warn(f"{problem.title}: {reason}.", NotAMaximumWarning, stacklevel=3)
    return LinearEstimate(problem, fit.z, fit.value, fit.curvature, report, origins=origins)


def refuse_constant(problem: LinearProblem) -> None:
    """An error where all responses are one value at which no likelihood has a maximum."""
    response = problem.response
    rows = problem.original
    if not isinstance(rows, Rows) or rows.n == 0:
        return
    top = float(np.max(np.abs(rows.y[:1000])))
    if top > LARGEST:
        raise ValueError(
            f"Responses must be numbers whose squares float64 can hold; found {top:g}. Divide them by a power of ten."
        )
    if np.any(rows.y[:1000] != rows.y[0]) and np.all(rows.weights[:1000] > 0):
        return
    live = rows.y[rows.weights > 0]
    if np.any(live != live[0]):
        return
    value = live[0]
    if (
        response.extra
        and response.family is not NegativeBinomial
        and problem.linear.has_free_extra
        and rows.offset is None
    ):
        raise ValueError(
            f"All responses are {value:g}: the likelihood of {response.a_law} grows without end as its spread goes to 0. Check"
            " that the response is the right column."
        )
    low, high = response.domain
    if value in (low, high) and not isinstance(problem.link, Identity):
        raise ValueError(
            f"All responses are {value:g}, the end of what {response.a_law} can have as its mean: coefficients would have to"
            " be infinite. Check the response, or use a prior (map_estimate, infer)."
        )
