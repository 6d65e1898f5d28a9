"""Tests of hypotheses about an estimate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.stats as st

from surprax.estimate.checks import finite_numbers

if TYPE_CHECKING:
    from surprax.estimate.estimate import Estimate

__all__ = ["Test", "likelihood_ratio", "wald"]


@dataclass(frozen=True)
class Test:
    """A test by a statistic that has a χ² distribution under the hypothesis.

    Attributes:
        name: which test.
        statistic: the observed one.
        df: degrees of freedom.
        log_p: logarithm of the p-value, right far below 1e-300.

    >>> print(Test("Wald test", 4.0, 1, float(st.chi2.logsf(4.0, 1))))
    Wald test: chi2(1) = 4, p = 0.0455, 4.46 bit
    """

    __test__ = False  # for pytest, which collects what is called Test

    name: str
    statistic: float
    df: int
    log_p: float
    df_residual: float = float("inf")

    @property
    def p_value(self) -> float:
        """P(χ² ≥ statistic) under the hypothesis."""
        return float(np.exp(self.log_p))

    @property
    def s_value(self) -> float:
        """−log₂ p: how many bits of surprise the data are for one who holds the hypothesis."""
        return -self.log_p / float(np.log(2.0))

    def __str__(self) -> str:
        if np.isfinite(self.df_residual):
            told = f"F({self.df}, {self.df_residual:g}) = {self.statistic / self.df:.4g}"
            return f"{self.name}: {told}, p = {self.p_value:.3g}, {self.s_value:.3g} bit"
        return f"{self.name}: chi2({self.df}) = {self.statistic:.4g}, p = {self.p_value:.3g}, {self.s_value:.3g} bit"


def _chi2(name: str, statistic: float, df: int) -> Test:
    return Test(name, statistic, df, float(_log_sf(max(statistic, 0.0), df)))


def _log_sf(x: float, df: int) -> float:
    value = float(st.chi2.logsf(x, df))
    if np.isfinite(value):
        return value
    # log Q(a, t) ~ (a − 1) log t − t − log Γ(a) + log(1 + (a − 1)/t + …), far out
    from scipy.special import gammaln

    a, t = 0.5 * df, 0.5 * x
    return float((a - 1.0) * np.log(t) - t - gammaln(a) + np.log1p((a - 1.0) / t))


def wald(estimate: "Estimate", hypothesis: Mapping[str, float] | np.ndarray, values: Any, kind: Any) -> Test:
    """`Estimate.wald_test`."""
    if isinstance(hypothesis, Mapping):
        if not hypothesis:
            raise ValueError("A hypothesis is about at least one parameter; got none.")
        R = np.zeros((len(hypothesis), len(estimate.labels)))
        for row, label in zip(R, hypothesis):
            row[estimate.problem.coordinates.place(label)] = 1.0
        each = [finite_numbers(value, f"Values of {label} are") for label, value in hypothesis.items()]
        if odd := next((label for label, value in zip(hypothesis, each) if value.ndim), None):
            raise ValueError(f"A hypothesis has one number for each label; got several for {odd}.")
        r = np.array(each)
    else:
        R = _matrix(hypothesis, estimate.labels)
        r = finite_numbers(values, "The values r of a hypothesis R θ = r are")
        if r.shape not in ((), (1,), (len(R),)):
            raise ValueError(f"R has {len(R)} rows, and r a number for each; got shape {r.shape}.")
        r = np.broadcast_to(r, len(R))
    gap = R @ estimate.theta - r
    V = R @ estimate.covariance(kind) @ R.T
    if np.linalg.matrix_rank(V) < len(R):
        raise ValueError("The hypothesis has rows that depend on each other, or is about parameters that were held.")
    statistic, df = float(gap @ np.linalg.solve(V, gap)), float(getattr(estimate.reference, "df", np.inf))
    if np.isfinite(df):
        return Test("Wald test", statistic, len(R), float(st.f.logsf(statistic / len(R), len(R), df)), df)
    return _chi2("Wald test", statistic, len(R))


def _matrix(hypothesis: Any, labels: Sequence[str]) -> np.ndarray:
    """R, shape (q, p)."""
    words = f'A hypothesis is values by label, {{"x": 0.0}}, or a matrix R with a column for each of {len(labels)} parameters'
    try:
        R = np.atleast_2d(np.asarray(hypothesis, np.float64))
    except (TypeError, ValueError):
        raise ValueError(f"{words}; got {hypothesis!r}. Parameters are {', '.join(labels[:12])}.") from None
    if R.ndim != 2 or R.shape[1] != len(labels):
        raise ValueError(f"{words}, {', '.join(labels[:12])}; got shape {np.shape(hypothesis)}.")
    if not np.all(np.isfinite(R)):
        raise ValueError(f"{words}, of finite numbers; got {R[~np.isfinite(R)][0]}.")
    return R


def likelihood_ratio(one: "Estimate", other: "Estimate") -> Test:
    """`Estimate.likelihood_ratio_test`."""
    if not hasattr(other, "log_likelihood"):
        raise ValueError(f"A likelihood-ratio test compares two estimates; got {type(other).__name__}.")
    for each in (one, other):
        if each.kind != "maximum likelihood":
            raise ValueError(
                f"A likelihood-ratio test compares maxima of the likelihood; {each.problem.title} is by {each.kind}."
            )
    large, small = (one, other) if one.free >= other.free else (other, one)
    df = large.free - small.free
    if df == 0:
        raise ValueError(f"One model must be a special case of the other; both have {large.free} fitted numbers.")
    if large.nobs is not None and small.nobs is not None and not np.isclose(large.nobs, small.nobs):
        raise ValueError(
            f"Both models are fitted to the same data; got {large.nobs:g} and {small.nobs:g} observations."
        )
    statistic = 2.0 * (large.log_likelihood - small.log_likelihood)
    if statistic < -1e-6 * (1.0 + abs(large.log_likelihood)):
        raise ValueError(
            f"The larger model has the smaller log-likelihood ({large.log_likelihood:.6g} against {small.log_likelihood:.6g}): the"
            " other is no special case of it, or it was not fitted to its maximum."
        )
    return _chi2("Likelihood-ratio test", statistic, df)
