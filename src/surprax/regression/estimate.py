"""Estimates of generalised linear models: what an `Estimate` has, and prediction, residuals and deviance."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import scipy.stats as st
from jax import Array

from surprax.estimate.estimate import Estimate
from surprax.estimate.hypotheses import Test
from surprax.families import StudentT
from surprax.numerics.precision import float64_scope
from surprax.regression import covariances
from surprax.regression.comparison import refuse_strangers
from surprax.regression.diagnosis import EXACTLY
from surprax.regression.formulas import Recipe
from surprax.regression.inputs import Extras
from surprax.regression.prediction import Prediction, new_rows, predicted
from surprax.regression.problem import LinearProblem
from surprax.regression.residuals import leverages, residuals
from surprax.regression.responses import Dispersed, Shaped
from surprax.regression.rows import Rows
from surprax.regression.sums import means

__all__ = ["LinearEstimate", "Origins"]


@dataclass(frozen=True)
class Origins:
    """Where rows came from: for prediction, and for people.

    Attributes:
        recipe: how a design is made from data.
        extras: what was given besides.
        missing: how many rows were left out for missing values.
        compression: what was done to the rows; "" for nothing.
    """

    recipe: Recipe
    extras: Extras
    missing: int = 0
    compression: str = ""


@dataclass(frozen=True)
class _Student:
    """Student's t, whose far tails have logarithms."""

    df: float

    def isf(self, q: float) -> float:
        return float(st.t.isf(q, self.df))

    def logsf(self, x: float) -> float:
        with float64_scope():
            return float(StudentT(self.df, 0.0, 1.0).log_sf(x))


class LinearEstimate(Estimate):
    """A generalised linear model at its maximum of the likelihood; made by `glm`.

    Attributes:
        params: coefficients by name, and the extra parameter of the family at its maximum ("scale", "concentration").
        compression: what the rows were compressed to: "10,000,000 rows → 1,152 cells"; "" where they were not.

    Standard errors of families with a dispersion (normal, gamma, inverse Gaussian) go by Pearson's estimate of it, χ²/(n − p), and
    intervals by Student's t, as is the custom; `dispersion="ml"` takes that of the maximum.
    """

    problem: LinearProblem

    def __init__(self, *args: Any, origins: Origins, effective: float | None = None, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.origins, self._effective = origins, effective

    # What was fitted.

    @property
    def compression(self) -> str:
        return self.origins.compression

    @functools.cached_property
    def coefficients(self) -> dict[str, float]:
        """Coefficients by name, without the extra parameter."""
        return {name: float(self.theta[i]) for i, name in enumerate(self.problem.linear.names)}

    @property
    def free(self) -> float:  # type: ignore[override]
        """How many numbers were fitted; effectively so many where they were shrunk by a penalty."""
        return self.problem.size if self._effective is None else self._effective

    @property
    def _fitted_coefficients(self) -> float:
        return self.free - self.problem.linear.has_free_extra

    @functools.cached_property
    def df_residual(self) -> float:
        """n − p: observations less fitted coefficients."""
        return float(self.problem.totals.count - self._fitted_coefficients)

    @functools.cached_property
    def deviance(self) -> float:
        """2 Σ w p (log p(y | y) − log p(y | μ̂)) at dispersion 1."""
        if isinstance(self.problem.response, Dispersed):
            return 2.0 * self.problem.half_deviance(self._z)
        total = 0.0
        for rows in self.problem.data_rows.parts():
            total += float(np.sum(rows.weights * residuals(self, rows, "deviance") ** 2))
        return total

    @functools.cached_property
    def null_deviance(self) -> float:
        """Deviance of the intercept alone; of the offset alone where the model has no intercept."""
        return self._null().deviance

    def _null(self) -> "LinearEstimate":
        names = self.problem.linear.names
        others = dict.fromkeys([name for name in names if name != "Intercept"], 0.0)
        return self.refit(fixed=others)

    @functools.cached_property
    def r_squared(self) -> float:
        """1 − deviance/null deviance: R² of a normal model, and the share of the deviance that is explained of others."""
        return 1.0 - self.deviance / self.null_deviance

    @functools.cached_property
    def pearson_chi2(self) -> float:
        """Σ w p (y − μ̂)²/V(μ̂)."""
        total = 0.0
        kept = self.problem.data_rows
        for rows in (kept if getattr(kept, "alike", True) else self.problem.original).parts():
            mu, _ = means(self.problem.link, rows.eta(self._b))
            variance = self._variance(mu)
            total += float((rows.weights * rows.precision) @ ((rows.y - mu) ** 2 / variance))
            if rows.spread is not None:
                total += float(np.sum(rows.spread / variance))
        if self.problem.triangle is not None:
            total = 2.0 * self.problem.half_deviance(self._z)
        return total

    @property
    def dispersion(self) -> float:
        """Pearson's estimate of the dispersion, χ²/(n − p); 1 for laws that have none."""
        response = self.problem.response
        if not isinstance(response, Dispersed) or not response.extra:
            return 1.0
        if not self.problem.linear.has_free_extra:
            return self.problem.dispersion(self._z)
        return self.pearson_chi2 / self.df_residual if self.df_residual > 0 else float("nan")

    @functools.cached_property
    def _b(self) -> np.ndarray:
        return self.problem.linear.coefficients(self._z)

    @property
    def extra(self) -> float:
        """The extra parameter of the law; NaN where it has none."""
        return float(self.theta[-1]) if self.problem.linear.extra else float("nan")

    def _variance(self, mu: np.ndarray) -> np.ndarray:
        """Variance of a response of precision 1, at dispersion 1."""
        response = self.problem.response
        with float64_scope():
            if isinstance(response, Dispersed):
                return np.asarray(response.variance(mu))
            assert isinstance(response, Shaped)
            return np.asarray(response.variance_of(mu, self.extra))

    # How well it is known.

    @property
    def reference(self) -> Any:
        """Student's t with n − p degrees of freedom where a dispersion was estimated, the normal distribution elsewhere."""
        response = self.problem.response
        free = isinstance(response, Dispersed) and self.problem.linear.has_free_extra
        return _Student(self.df_residual) if free and self.df_residual > 0 else st.norm

    def covariance(self, kind: str = "observed", clusters: Any = None, *, dispersion: str = "pearson") -> np.ndarray:
        """Of all parameters, in the order of `labels`; zeros for those that are held.

        Args:
            kind: "observed" or "expected" information; "sandwich" (also "HC0"), with the scores of the rows (White 1980); "HC1",
                times n/(n − p); "HC2" and "HC3", with scores over √(1 − h) and 1 − h, of leverages h (MacKinnon & White 1985);
                "cluster", with scores summed by cluster, times G/(G − 1).
            clusters: labels of clusters, one per row, for "cluster".
            dispersion: "pearson", χ²/(n − p), or "ml", that of the maximum, for "observed" and "expected".
        """
        if self.report.reason.startswith(EXACTLY):
            raise ValueError(f"There are no standard errors here: {self.report.reason}.")
        if dispersion == "pearson" and kind in ("observed", "expected") and np.isnan(self.dispersion):
            raise ValueError(
                f"There are {self.problem.totals.count:g} observations by their weights for {self._fitted_coefficients:g}"
                " coefficients, and no spread is left to judge errors by. Weights are counts of rows; precision weights are"
                ' precisions=, and dispersion="ml" takes the dispersion of the maximum.'
            )
        return covariances.covariance(self, kind, clusters, dispersion)

    def likelihood_ratio_test(self, other: Estimate) -> Test:
        """Whether this fit is better than one of a smaller model that is a special case of it (or the other way round): χ².

        Raises:
            ValueError: where the two are not fits to the same responses, or neither is a special case of the other.
        """
        if isinstance(other, LinearEstimate):
            refuse_strangers(self, other)
        return super().likelihood_ratio_test(other)

    def leverages(self) -> np.ndarray:
        """hᵢ = vᵢ xᵢᵀ (XᵀVX)⁻¹ xᵢ, by how much each row draws its own fit; they add up to p."""
        return leverages(self)

    # Out.

    def predict(
        self,
        new: Any = None,
        *,
        kind: str = "mean",
        interval: str | None = None,
        level: float = 0.95,
        offset: Any = None,
        trials: Any = None,
    ) -> np.ndarray | Prediction:
        """Means of responses, for new rows or those of the fit.

        Args:
            new: data with the columns of the formula, or a matrix as X was; None for the rows of the fit.
            kind: "mean", or "linear" for the linear predictor.
            interval: "mean" for confidence intervals of the means; "prediction" for intervals that hold a new response with
                probability `level`, uncertainty of the parameters included.
            level: between 0 and 1.
            offset: of the new rows, where the fit had one in numbers; a column of that name otherwise.
            trials: of binomial responses, for `interval="prediction"`: 1 if not given.

        Returns:
            An array (n,); with an interval, a `Prediction` of `mean`, `low` and `high`.
        """
        rows = self._rows_of(new, offset)
        return predicted(self, rows, kind, interval, level, trials)

    def _rows_of(self, new: Any, offset: Any) -> Rows:
        if new is not None:
            return new_rows(self.origins, new, offset)
        if offset is not None:
            raise ValueError("An offset is of new rows, and none were given: those of the fit have their own.")
        return self.data_rows()

    def distribution_of(self, new: Any = None, *, offset: Any = None, trials: Any = None) -> Any:
        """The fitted law of each new row's response, as a batch of a family."""
        rows = self._rows_of(new, offset)
        mu, _ = means(self.problem.link, rows.eta(self._b))
        with float64_scope():
            law = self.problem.response.distribution(mu, self.extra, trials)
            return jax.tree.map(np.asarray, law)

    def residuals(self, kind: str = "response", *, key: Array | None = None, unit: str = "bit") -> np.ndarray:
        """What the fit leaves, of each row of the data, shape (n,).

        Args:
            kind: "response", y − μ; "pearson", over √V(μ); "standardized", those over √(φ(1 − h)); "deviance", signed roots of the
                deviances of rows; "working", (y − μ) dη/dμ; "quantile", Φ⁻¹ of the probability of a smaller response, drawn within
                its step for discrete responses (Dunn & Smyth 1996): standard normal if the model is right; "surprise", how
                surprised the model is by the response, −log p(y).
            key: JAX random key, for "quantile" of discrete responses.
            unit: of surprise.
        """
        return residuals(self, self.data_rows(), kind, key, unit)

    def data_rows(self) -> Rows:
        """The rows of the fit, as they were given."""
        rows = self.problem.original
        if not isinstance(rows, Rows):
            raise ValueError(
                "The rows of this fit were streamed and are not kept, so that there is nothing that goes row by row, as residuals,"
                " leverages, robust covariances and bootstraps do: read the file whole (stream=False), fit a sample of its rows, or"
                " pass rows in pieces to predict(new)."
            )
        return rows

    def to_numpyro(self, prior: Any = None) -> Any:
        """The model as a plain NumPyro model of its own data, and the estimate to start a chain from.

        Args:
            prior: distribution of each coefficient, N(0, 10²) if not given.

        Returns:
            (model, init): a model that is called without arguments, with sites "coefficients" and the extra parameter, and values
            of these. Where columns lie far from zero, years say, they are centred: "centred coefficients" have the prior, and
            "coefficients" follow from them.
        """
        from surprax.regression.numpyro_model import numpyro_model

        return numpyro_model(self, prior)

    def about(self) -> tuple[tuple[str, str], ...]:
        response = self.problem.response
        head = [("Family, link", f"{response.name}, {self.problem.link}"), ("Deviance", f"{self.deviance:.7g}")]
        if isinstance(response, Dispersed) and self.problem.linear.has_free_extra:
            head += [("Dispersion", f"{self.dispersion:.5g} (Pearson)")]
        if self.compression:
            head += [("Compression", self.compression)]
        if self.origins.missing:
            head += [("Left out", f"{self.origins.missing:,} rows with missing values")]
        return tuple(head)

    def refit(self, *, fixed: Mapping[str, Any] | None = None, tied: Sequence[Sequence[str]] = ()) -> "LinearEstimate":
        from surprax.regression.fitting import estimated

        problem = self.problem.with_coordinates(self.problem.linear.holding(fixed, tied))
        return estimated(problem, self.origins)
