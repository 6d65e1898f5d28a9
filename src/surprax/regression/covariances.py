"""Covariances of coefficients, robust ones among them."""

from typing import TYPE_CHECKING, Any

import numpy as np

from surprax.estimate.checks import cluster_codes
from surprax.estimate.covariances import factor, factor_of
from surprax.numerics.precision import float64_scope
from surprax.regression.residuals import leverages
from surprax.regression.responses import Dispersed

if TYPE_CHECKING:
    from surprax.regression.estimate import LinearEstimate

__all__ = ["covariance"]

ROBUST = ("sandwich", "HC0", "HC1", "HC2", "HC3", "cluster")


def covariance(estimate: "LinearEstimate", kind: str, clusters: Any, dispersion: str) -> np.ndarray:
    """`LinearEstimate.covariance`."""
    if kind not in ("observed", "expected", *ROBUST):
        raise ValueError(f'A covariance is "observed", "expected" or one of {", ".join(ROBUST)}; got {kind!r}.')
    if dispersion not in ("pearson", "ml"):
        raise ValueError(f'A dispersion is "pearson" or "ml"; got {dispersion!r}.')
    if (kind == "cluster") != (clusters is not None):
        raise ValueError('kind="cluster" takes the labels of clusters, clusters=labels, and other kinds take none.')
    slopes = estimate.problem.theta(estimate._z)[1]
    half = factor(estimate) if kind != "expected" else _expected_factor(estimate)
    if kind in ("observed", "expected"):
        out = slopes @ half
        out = out @ out.T
        return _by_pearson(estimate, out) if dispersion == "pearson" else out
    scores, weights = _scores(estimate, kind)
    if kind == "cluster":
        scores, weights = _summed(scores * weights[:, None], clusters)
    out = slopes @ (half @ (half.T @ (scores * np.sqrt(weights)[:, None]).T))
    out = out @ out.T
    return out * (estimate.problem.totals.count / estimate.df_residual) if kind == "HC1" else out


def _by_pearson(estimate: "LinearEstimate", covariance: np.ndarray) -> np.ndarray:
    """With Pearson's dispersion instead of that of the maximum; the extra parameter keeps its own."""
    problem = estimate.problem
    if not isinstance(problem.response, Dispersed) or not problem.linear.has_free_extra:
        return covariance
    out = covariance * (estimate.dispersion / problem.dispersion(estimate._z))
    out[-1, :], out[:, -1] = covariance[-1, :], covariance[:, -1]
    return out


def _expected_factor(estimate: "LinearEstimate") -> np.ndarray:
    problem = estimate.problem
    z = estimate._z
    response, linear = problem.response, problem.linear
    if isinstance(response, Dispersed):
        H = problem.evaluate(z[: linear.free_coefficients], "expected", unit=True)[2]
        assert H is not None
        if not linear.has_free_extra:
            return factor_of(H / problem.dispersion(z), estimate)
        corner = problem.derivatives(z)[2][-1, -1]  # at the maximum it is what is expected
        whole = np.zeros((len(z), len(z)))
        whole[:-1, :-1], whole[-1, -1] = H / problem.dispersion(z), corner
        return factor_of(whole, estimate)
    raise ValueError(
        f"Expected information of {response.name} responses is not known in closed form for the {linear.extra}; use"
        ' kind="observed".'
    )


def _scores(estimate: "LinearEstimate", kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the rows, each once, and how often each occurs."""
    rows = estimate.data_rows()
    scores = estimate.problem.scores(estimate._z)
    if kind in ("HC2", "HC3"):
        free = np.maximum(1.0 - leverages(estimate), 1e-12)
        scores = scores / (np.sqrt(free) if kind == "HC2" else free)[:, None]
    with float64_scope():
        return scores, rows.weights


def _summed(scores: np.ndarray, clusters: Any) -> tuple[np.ndarray, np.ndarray]:
    code, number = cluster_codes(clusters, len(scores))
    sums = np.stack([np.bincount(code, column, number) for column in scores.T], axis=1)
    return sums, np.full(number, number / (number - 1.0))
