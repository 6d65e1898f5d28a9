"""Generalised linear models of responses that were censored, or seen only within limits (Tobin 1958)."""

import dataclasses
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import jax.numpy as jnp
import numpy as np

from surprax.estimate.events import KINDS, Events
from surprax.estimate.maximize import NotAMaximumWarning
from surprax.estimate.newton import Descent, newton
from surprax.estimate.report import certify
from surprax.numerics.precision import float64_scope
from surprax.regression.censored_problem import CensoredProblem, Seen
from surprax.regression.coordinates import LinearCoordinates
from surprax.regression.diagnosis import reason_without_maximum
from surprax.regression.estimate import LinearEstimate, Origins
from surprax.regression.links import Link
from surprax.regression.problem import LinearProblem
from surprax.regression.responses import Response
from surprax.regression.rows import Rows
from surprax.regression.solver import fitted
from surprax.regression.totals import totals_of
from surprax.units import from_nats

__all__ = ["CensoredEstimate", "fit_censored"]

FAMILIES = ("normal", "gamma", "inverse Gaussian", "Poisson", "negative binomial", "beta")


def fit_censored(
    title: str,
    response: Response,
    link: Link,
    rows: Rows,
    coordinates: LinearCoordinates,
    status: Any,
    upper: Any,
    limits: Any,
    origins: Origins,
) -> "CensoredEstimate":
    """The estimate at the maximum of the likelihood of what was seen.

    Args:
        title, response, link, rows, coordinates, origins: as `glm` has them; y of a censored row is where it was censored.
        status: of each row, −1 where the response is at most y, 1 where it is above y, 0 where it is y; None for all 0.
        upper: of rows whose response lies in (y, upper]; NaN elsewhere, None for none.
        limits: (low, high) where only rows with low < response ≤ high were seen, numbers or arrays, either of which may be None.

    Raises:
        ValueError: for families without distribution functions here, precisions, or rows that cannot be as they are said to be.
    """
    if response.name not in FAMILIES:
        raise ValueError(
            f"Responses can be censored or truncated in these families: {', '.join(FAMILIES)}; the family is {response.name}."
        )
    if np.any(rows.precision != 1.0):
        raise ValueError("Censored or truncated responses take no precisions: leave them out, or use weights=.")
    with float64_scope():
        support = response.distribution(jnp.asarray(0.5), jnp.asarray(1.0)).support
        events = Events.of(rows.y, status, upper, limits, support, "the response")
    if coordinates.size:
        events.refuse_one_sided("the response")
    law = Seen.of(response)
    problem = CensoredProblem(title, law, link, rows, rows, totals_of(law, rows), coordinates, events=events)
    return _estimated(problem, origins)


def _estimated(problem: CensoredProblem, origins: Origins, begin: np.ndarray | None = None) -> "CensoredEstimate":
    began = time.perf_counter()
    with np.errstate(all="ignore"):
        z = _start(problem) if begin is None else begin
        end = _last_digits(problem, newton(problem.derivatives, z, 1e-14 * (1.0 + abs(problem.value(z)))))
    linear = problem.linear
    report = certify(
        "Newton's method", end.steps, time.perf_counter() - began, end.value, end.gradient, end.curvature,
        linear.as_counted.slopes(end.position), linear.labels, linear.at_borders(end.position),
    )  # fmt: skip
    if not report.converged:
        reason, about = reason_without_maximum(problem, end.position, report.reason)
        report = dataclasses.replace(report, reason=reason, flat=about or report.flat)
        warnings.warn(f"{problem.title}: {reason}.", NotAMaximumWarning, stacklevel=4)
    return CensoredEstimate(problem, end.position, end.value, end.curvature, report, origins=origins)


def _last_digits(problem: CensoredProblem, end: Descent) -> Descent:
    """One more step of Newton's method, where it makes the gradient smaller."""
    if not (end.found and len(end.position)):
        return end
    position = end.position - np.linalg.solve(end.curvature, end.gradient)
    value, gradient, curvature = problem.derivatives(position)
    better = np.isfinite(value) and np.max(np.abs(gradient)) < np.max(np.abs(end.gradient))
    return Descent(position, value, gradient, curvature, True, end.steps + 1) if better else end


def _start(problem: CensoredProblem) -> np.ndarray:
    """The fit to the numbers as they stand, in the middle of intervals."""
    law, events, rows = problem.response, problem.events, problem.original
    assert isinstance(law, Seen)
    assert law.whose is not None
    between = (events.kind == KINDS.index("between")) & np.isfinite(events.a) & np.isfinite(events.b)
    middle = np.where(between, 0.5 * (events.a + np.where(between, events.b, 0.0)), rows.y)
    plain = dataclasses.replace(rows, y=np.round(middle) if law.whole else middle)
    rough = LinearProblem(
        problem.title, law.whose, problem.link, plain, plain, totals_of(law.whose, plain), problem.linear
    )
    z = fitted(rough).z
    if problem.linear.has_free_extra and not abs(z[-1]) < 10.0:
        z[-1] = np.clip(np.nan_to_num(z[-1]), -10.0, 10.0)
    return z


class CensoredEstimate(LinearEstimate):
    """A generalised linear model of censored or truncated responses at its maximum of the likelihood; made by `glm`.

    Coefficients, `predict` and intervals are about the response itself, before it was censored or truncated. Standard errors go by
    the observed information, and intervals by the normal distribution.
    """

    problem: CensoredProblem

    def covariance(self, kind: str = "observed", clusters: Any = None, *, dispersion: str = "ml") -> np.ndarray:
        """Of all parameters: "observed" information, "sandwich" (also "HC0"), "HC1", or "cluster" with `clusters`."""
        if kind in ("HC2", "HC3", "expected"):
            raise ValueError(
                f'Censored or truncated responses have no covariance {kind!r}; there are "observed", "sandwich", "HC0", "HC1" and'
                ' "cluster".'
            )
        return super().covariance(kind, clusters, dispersion="ml")

    def residuals(self, kind: str = "surprise", *, key: Any = None, unit: str = "bit") -> np.ndarray:
        """How surprised the model is by what was seen of each row, shape (n,), in `unit`."""
        if kind != "surprise":
            raise ValueError(
                f'Of a censored response there is no distance to its mean: residuals are of kind "surprise"; got {kind!r}.'
            )
        rows, linear = self.data_rows(), self.problem.linear
        found = self.problem.surprises(rows.eta(self._b), linear.log_extra(self._z), np.ones(rows.n))[0]
        with float64_scope():
            return np.asarray(from_nats(found, unit))  # type: ignore[arg-type]

    @property
    def deviance(self) -> NoReturn:
        raise ValueError(
            "Censored or truncated responses have no deviance, as no saturated model says what they were: compare"
            " log_likelihood, or aic."
        )

    null_deviance = r_squared = pearson_chi2 = deviance

    def leverages(self) -> NoReturn:
        raise ValueError("Censored or truncated responses have no leverages.")

    def to_numpyro(self, prior: Any = None) -> NoReturn:
        raise ValueError(
            "There is no NumPyro model of censored or truncated responses yet; write one with surprax's Censored or Truncated."
        )

    def about(self) -> tuple[tuple[str, str], ...]:
        events = self.problem.events
        seen = [f"{int(np.sum(events.kind == k)):,} {kind}" for k, kind in enumerate(KINDS) if np.any(events.kind == k)]
        head = [("Family, link", f"{self.problem.response.name}, {self.problem.link}"), ("Seen", ", ".join(seen))]
        if np.any(events.window > 0):
            head += [("Truncated", f"{int(np.sum(events.window > 0)):,} rows")]
        if self.origins.missing:
            head += [("Left out", f"{self.origins.missing:,} rows with missing values")]
        return tuple(head)

    def refit(
        self, *, fixed: Mapping[str, Any] | None = None, tied: Sequence[Sequence[str]] = ()
    ) -> "CensoredEstimate":
        coordinates = self.problem.linear.holding(fixed, tied)
        return _estimated(
            self.problem.replaced(coordinates=coordinates), self.origins, coordinates.free_numbers(self.params)
        )
