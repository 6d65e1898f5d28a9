"""Covariances of the sampling distribution of an estimate."""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from surprax.estimate.checks import cluster_codes

if TYPE_CHECKING:
    from surprax.estimate.estimate import Estimate

__all__ = ["Kind", "covariance", "factor", "factor_of"]

type Kind = Literal["observed", "expected", "sandwich", "cluster"]


def covariance(estimate: "Estimate", kind: Kind, clusters: Any = None) -> np.ndarray:
    """`Estimate.covariance`."""
    slopes = estimate.problem.theta(estimate._z)[1]
    if kind != "cluster" and clusters is not None:
        raise ValueError(f'Clusters are for kind="cluster"; got them with kind={kind!r}.')
    match kind:
        case "observed":
            half = slopes @ factor(estimate)
            return half @ half.T
        case "expected":
            return _expected(estimate, slopes)
        case "sandwich" | "cluster":
            return _sandwich(estimate, slopes, kind, clusters)
    raise ValueError(f'A covariance is "observed", "expected", "sandwich" or "cluster"; got {kind!r}.')


def factor(estimate: "Estimate") -> np.ndarray:
    """A factor L of the inverse of the observed information in free numbers, L Lᵀ = H⁻¹; an error where H is not positive."""
    H = estimate._curvature
    if H is None:
        raise ValueError(
            f"There are {estimate.free:,} free numbers: too many for second derivatives of all. Use bootstrap, or fit fewer."
        )
    if not estimate.problem.size:
        return np.zeros((0, 0))
    known = estimate.problem.half_covariance(estimate._z)
    return factor_of(H, estimate) if known is None else known


def factor_of(H: np.ndarray, estimate: "Estimate") -> np.ndarray:
    diagonal = np.diagonal(H)
    if np.all(np.isfinite(H)) and np.all(diagonal > 0):
        scale = 1.0 / np.sqrt(diagonal)
        try:
            lower = np.linalg.cholesky(scale[:, None] * H * scale)
            if np.min(np.diagonal(lower)) > 3e-7:
                return scale[:, None] * np.linalg.inv(lower).T
        except np.linalg.LinAlgError:
            pass
    why = estimate.report.reason or "it is nearly flat"
    raise ValueError(
        f"There are no standard errors here, where the log-likelihood does not fall in every direction: {why}."
        " Hold or drop one of the parameters that cannot be told apart."
    )


def _expected(estimate: "Estimate", slopes: np.ndarray) -> np.ndarray:
    if estimate._expected is None:
        raise ValueError(
            'Expected information is known for families; of other log-likelihoods there is the observed one, kind="observed".'
        )
    information = np.asarray(estimate._expected(estimate), np.float64)  # of θ
    lower = factor_of(slopes.T @ information @ slopes, estimate)
    half = slopes @ lower
    return half @ half.T


def _sandwich(estimate: "Estimate", slopes: np.ndarray, kind: str, clusters: Any) -> np.ndarray:
    if estimate.problem.each is None:
        raise ValueError(
            f'kind="{kind}" takes the score of every row, and rows are not known here: fit the observations themselves, not their'
            " evidence, or a log-likelihood that returns one number per row."
        )
    scores = estimate.problem.scores(estimate._z)
    if kind == "cluster":
        if clusters is None:
            raise ValueError('kind="cluster" takes the labels of clusters, one per row: clusters=labels.')
        code, number = cluster_codes(clusters, len(scores))
        sums = np.zeros((number, scores.shape[1]))
        np.add.at(sums, code, scores)
        scores = sums * np.sqrt(number / (number - 1.0))
    bread = factor(estimate)
    half = slopes @ (bread @ (bread.T @ scores.T))
    return half @ half.T
