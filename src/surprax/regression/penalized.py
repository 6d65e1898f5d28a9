"""Penalised generalised linear models: ridge, lasso, elastic net, and coefficients in a box."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import jax
import numpy as np
from jax import Array

from surprax.estimate.maximize import NotAMaximumWarning
from surprax.regression.compression import compressed
from surprax.regression.coordinates import LinearCoordinates
from surprax.regression.estimate import LinearEstimate, Origins
from surprax.regression.fitting import estimated, refuse_constant
from surprax.regression.links import Link
from surprax.regression.problem import LinearProblem
from surprax.regression.responses import Response
from surprax.regression.rows import Rows
from surprax.regression.shrinkage import Penalty, Solution, pair, solved

__all__ = ["PenalizedEstimate", "penalized", "shrunk"]

INTERVALS = ("wald", "bootstrap")


def penalized(
    title: str,
    response: Response,
    link: Link,
    rows: Rows,
    coordinates: LinearCoordinates,
    penalty: Any,
    bounds: Mapping[str, tuple[float, float]],
    origins: Origins,
) -> LinearEstimate:
    """The estimate that maximises log-likelihood − (l1·Σ|b| + ½·l2·Σb²)/φ, within bounds.

    The penalty is in nats at dispersion φ = 1: it is added to half the deviance, so that l1 and l2 are scikit-learn's and glum's
    `alpha · l1_ratio` and `alpha · (1 − l1_ratio)` times the number of observations. The column "Intercept" is spared.

    Args:
        title, response, link, rows, coordinates, origins: as `glm` has them.
        penalty: (l1, l2), or l2 alone, or None.
        bounds: (low, high) by name of a coefficient.
    """
    l1, l2 = pair(penalty)
    asked = Penalty.of(coordinates.names, l1, l2, bounds)
    return shrunk(title, response, link, rows, coordinates, asked, origins)


def shrunk(
    title: str,
    response: Response,
    link: Link,
    rows: Rows,
    coordinates: LinearCoordinates,
    penalty: Penalty,
    origins: Origins,
    begin: np.ndarray | None = None,
) -> LinearEstimate:
    """`penalized`, of a penalty that may differ by coefficient, from coefficients `begin` if there are any."""
    small = compressed(response, link, rows)
    problem = LinearProblem(
        title, response, link, small.rows, rows, small.totals, coordinates, penalty.ridge, small.triangle
    )
    origins = replace(origins, compression=small.note)
    if penalty.l1 == 0 and penalty.l2 == 0 and not penalty.bounded:
        return estimated(problem, origins)
    return _estimate(problem, penalty, origins, begin)


def _estimate(
    problem: LinearProblem, penalty: Penalty, origins: Origins, begin: np.ndarray | None = None
) -> "PenalizedEstimate":
    refuse_constant(problem)
    found = solved(problem, penalty, begin)
    if not found.report.converged:
        warnings.warn(f"{problem.title}: {found.report.reason}.", NotAMaximumWarning, stacklevel=5)
    return PenalizedEstimate(problem, found, penalty, origins)


class PenalizedEstimate(LinearEstimate):
    """A generalised linear model at the maximum of its penalised likelihood.

    Attributes:
        penalty: strengths and bounds.
        nonzero: names of the coefficients that are not 0, the intercept aside.
        at_bounds: coefficients that are at a bound.
        log_likelihood: at the penalised coefficients, without the penalty; the extra parameter is at its best value there.
        free: the effective number of fitted numbers: tr (H + Λ)⁻¹ H over the coefficients that are neither 0 by the l1 penalty nor
            at a bound (of a lasso, their number: Zou, Hastie & Tibshirani 2007), and 1 for an extra parameter.

    With a ridge penalty, covariances are the inverse of the penalised Hessian: those of coefficients with a normal prior of
    variance φ/l2, and no account of the bias. With an l1 penalty, or with a coefficient at its bound, there are none.
    """

    def __init__(self, problem: LinearProblem, found: Solution, penalty: Penalty, origins: Origins) -> None:
        super().__init__(
            problem,
            found.z,
            found.value,
            found.curvature if found.smooth else None,
            found.report,
            kind="maximum penalised likelihood" if penalty.l1 or penalty.l2 else "maximum likelihood within bounds",
            origins=origins,
            effective=found.effective,
        )
        self.penalty, self.at_bounds, self._smooth = penalty, found.at_bounds, found.smooth

    @property
    def nonzero(self) -> tuple[str, ...]:
        return tuple(name for name, b in self.coefficients.items() if b != 0 and name != "Intercept")

    def _refuse(self, what: str) -> NoReturn:
        if self.penalty.l1 > 0:
            raise ValueError(
                f"There are no {what} with an l1 penalty, where estimates are not normally distributed: fit the chosen columns"
                " again without it (and mind that they were chosen by the same data), or use bootstrap(key)."
            )
        ends = ", ".join(self.at_bounds[:6])
        raise ValueError(
            f"There are no {what} where coefficients are at their bounds ({ends}) and estimates are not normally distributed: hold"
            " these there (fixed=), or use bootstrap(key)."
        )

    def covariance(self, kind: str = "observed", clusters: Any = None, *, dispersion: str = "pearson") -> np.ndarray:
        """As of other estimates, with the penalised Hessian; refused with an l1 penalty, or at a bound."""
        if not self._smooth:
            self._refuse("standard errors")
        return super().covariance(kind, clusters, dispersion=dispersion)

    def confidence_interval(
        self, param: str | None = None, level: float = 0.95, method: Any = "wald", **how: Any
    ) -> Any:
        """By "wald", estimate ± quantile × standard error, or by "bootstrap": percentiles of penalised fits, bias and all."""
        if method not in INTERVALS:
            self._no_profile()
        return super().confidence_interval(param, level, method, **how)

    def _no_profile(self) -> NoReturn:
        raise ValueError(
            "A profile is of a likelihood, and this fit is of a penalised or bounded one, which has no χ² distribution: fit without"
            ' them, or use method="bootstrap".'
        )

    def profile(self, param: str, values: Any = None) -> NoReturn:
        """Refused: a penalised likelihood has no χ² distribution."""
        self._no_profile()

    def compatibility(self, param: str, values: Any = None) -> NoReturn:
        """Refused: a penalised likelihood has no χ² distribution."""
        self._no_profile()

    def likelihood_ratio_test(self, other: Any) -> NoReturn:
        """Refused: twice the difference of penalised fits has no χ² distribution."""
        raise ValueError(
            "A likelihood-ratio test compares maxima of likelihoods, and this is none: fit without the penalty, or compare by aic."
        )

    def to_datatree(self, key: Array, num_samples: int = 1000, num_chains: int = 4) -> Any:
        """Draws from the normal approximation; refused with an l1 penalty, or at a bound."""
        if not self._smooth:
            self._refuse("normal approximations")
        return super().to_datatree(key, num_samples, num_chains)

    def leverages(self) -> np.ndarray:
        """Diagonal of the matrix that makes fitted values of responses; refused with an l1 penalty, or at a bound."""
        if not self._smooth:
            self._refuse("leverages")
        return super().leverages()

    def residuals(self, kind: str = "response", **how: Any) -> np.ndarray:
        """As of other estimates; those that take leverages are refused with an l1 penalty, or at a bound."""
        if kind == "standardized" and not self._smooth:
            self._refuse("standardized residuals")
        return super().residuals(kind, **how)

    def bootstrap(self, key: Array, resamples: int = 999) -> np.ndarray:
        """Penalised fits to rows that are drawn with replacement, shape (resamples, p), in the order of `labels`.

        They show how much coefficients vary, zeros among them, and not how far shrinkage has moved them: percentiles of a lasso
        need not cover the truth, where that is 0 or small (Chatterjee & Lahiri 2011).
        """
        if resamples < 2:
            raise ValueError(f"A bootstrap takes at least 2 resamples; got {resamples}.")
        rng = np.random.default_rng(np.asarray(jax.random.bits(key, (2,), "uint32")))
        rows, problem = self.data_rows(), self.problem
        out = np.empty((resamples, len(self.labels)))
        for i in range(resamples):
            drawn = np.bincount(rng.integers(0, rows.n, rows.n), minlength=rows.n)
            some = rows.reweighted(rows.weights * drawn)
            small = compressed(problem.response, problem.link, some)
            again = problem.replaced(rows=small.rows, original=some, totals=small.totals, triangle=small.triangle)
            out[i] = again.theta(solved(again, self.penalty, self._z).z)[0]
        return out

    def refit(self, *, fixed: Mapping[str, Any] | None = None, tied: Sequence[Sequence[str]] = ()) -> "LinearEstimate":
        """The same penalised likelihood with other parameters held or tied."""
        problem = self.problem.with_coordinates(self.problem.linear.holding(fixed, tied))
        return _estimate(problem, self.penalty, self.origins)

    def _null(self) -> LinearEstimate:
        if "Intercept" not in self.problem.linear.names:
            return super()._null()
        others = dict.fromkeys([name for name in self.problem.linear.names if name != "Intercept"], 0.0)
        plain = self.problem.replaced(ridge=None, coordinates=self.problem.linear.holding(others))
        return estimated(plain, self.origins)

    def about(self) -> tuple[tuple[str, str], ...]:
        penalty = self.penalty
        head = []
        if penalty.l1 or penalty.l2:
            each = "" if np.all(np.isin(penalty.scale, (0.0, 1.0))) else ", of standardised columns"
            head += [("Penalty", f"l1 = {penalty.l1:.5g}, l2 = {penalty.l2:.5g}{each}")]
        if penalty.l2 and self._smooth:
            head += [("Covariance", "of a normal prior: penalised Hessian")]
        if penalty.bounded:
            head += [("At bounds", ", ".join(self.at_bounds[:6]) or "none")]
        p = sum(name != "Intercept" for name in self.problem.linear.names)
        head += [("Non-zero", f"{len(self.nonzero):,} of {p:,} coefficients"), ("Effective number", f"{self.free:.5g}")]
        return (*super().about(), *head)
