"""Why there is no maximum: columns that say the same, outcomes that a combination of columns foretells, no spread."""

import numpy as np
import scipy.linalg
import scipy.optimize

from surprax.estimate.coordinates import NEAR_BORDER
from surprax.regression.centring import Centring
from surprax.regression.problem import LinearProblem
from surprax.regression.responses import (
    BinomialResponse,
    Dispersed,
    NegativeBinomialResponse,
    NormalResponse,
    PoissonResponse,
)
from surprax.regression.rows import Rows

__all__ = ["EXACTLY", "ROWS", "dependent", "listed", "margin", "reason_exact", "reason_without_maximum"]

ROWS = 200_000
"""Numbers in X up to which a separating direction is looked for by linear programming."""

SAME = 1e-10

EXACTLY = "the columns give every response exactly"


def reason_without_maximum(problem: LinearProblem, z: np.ndarray, found: str) -> tuple[str, tuple[str, ...]]:
    """A sentence and the coefficients that it is about; `found` and none where nothing better can be said."""
    rows = problem.original if isinstance(problem.original, Rows) else None
    names = problem.linear.names
    G = np.zeros((len(names), len(names)))
    for part in problem.data_rows.parts():
        G += part.design.gram(part.weights * part.precision)
    size = np.sqrt(np.diagonal(G))
    if (
        isinstance(problem.response, NegativeBinomialResponse)
        and problem.linear.has_free_extra
        and z[-1] > NEAR_BORDER / 2
    ):
        return (
            "the responses spread no more than Poisson ones, so that the likelihood rises for ever as the concentration grows: use"
            " family=Poisson, which is that limit",
            (problem.linear.extra,),
        )
    (first, last), (low, high) = problem.link.domain, problem.response.domain
    if rows is not None and (first > low or last < high):
        least, most = float(np.min(rows.y)), float(np.max(rows.y))
        if least < first or most > last:
            means = f"between {first:g} and {last:g}" if np.isfinite(last) else f"above {first:g}"
            return (
                f"means are {means} by the {problem.link} link, and responses go from {least:g} to {most:g}: choose another link,"
                " or rescale them",
                (),
            )
    if problem.linear.B is None and problem.ridge is None:
        zeros = [name for name, s in zip(names, size) if s == 0]
        if zeros:
            are = "s are" if len(zeros) > 1 else " is"
            return f"the column{are} 0 in all rows: {listed(zeros)}; leave out what has no effect to be seen", tuple(
                zeros
            )
        n = rows.n if rows is not None else None
        if n is not None and n < len(names):
            return (
                f"{n} rows cannot tell {len(names)} columns apart: the likelihood is flat. Leave columns out, collect more rows, or"
                " add a penalty; the coefficients here are one choice of many",
                names,
            )
        mixed = dependent(G, size, names, problem.linear.centring)
        if mixed:
            return mixed
    if rows is not None:
        separated = _separated(problem, rows, z)
        if separated:
            return separated
    return found, ()


def reason_exact(problem: LinearProblem, z: np.ndarray) -> str:
    """Why there is no scale, where columns give every response exactly; "" where they do not."""
    response = problem.response
    if not isinstance(response, Dispersed) or not problem.linear.has_free_extra or problem.ridge is not None:
        return ""
    half, size, n = problem.constant, 0.0, 0
    b = problem.linear.coefficients(z)
    half += problem.evaluate(z[: len(z) - 1], unit=True)[0]
    for rows in problem.original.parts() if isinstance(problem.original, Rows) else problem.data_rows.parts():
        n += rows.n
        if isinstance(response, NormalResponse):
            size += float((rows.weights * rows.precision) @ rows.y**2)
    limit = 1e-26 * size if isinstance(response, NormalResponse) else 1e-14 * problem.totals.count
    if not half <= limit:
        return ""
    p = int(np.linalg.matrix_rank(problem.linear.as_counted.slopes(z)[: len(b)]))
    return (
        f"{EXACTLY} ({n:,} rows, {p} columns): the likelihood grows without end as the"
        f" {problem.linear.extra} goes to its limit, and there are no standard errors. Leave columns out, or collect more rows"
    )


def dependent(
    G: np.ndarray, size: np.ndarray, names: tuple[str, ...], centring: Centring | None = None
) -> tuple[str, tuple[str, ...]] | None:
    """Columns that are combinations of others, by a pivoted Cholesky decomposition of XᵀWX of columns as they are counted."""
    scaled = G / np.outer(size, size)
    eigenvalues, vectors = np.linalg.eigh(scaled)
    dead = eigenvalues < SAME * eigenvalues[-1]
    if not np.any(dead):
        return None
    _, _, order = scipy.linalg.qr(vectors[:, ~dead].T, pivoting=True)
    extra = np.sort(order[int(np.sum(~dead)) :])
    kept = np.sort(order[: int(np.sum(~dead))])
    mix = (
        np.linalg.lstsq(scaled[np.ix_(kept, kept)], scaled[np.ix_(kept, extra)], rcond=None)[0]
        / size[kept, None]
        * size[extra]
    )
    if centring is not None:  # of columns as they are
        mix, kept = _whole(mix, kept, extra, centring)
    lines = []
    involved: list[str] = []
    for column, weights in zip(extra[:3], mix.T):
        used = np.abs(weights) * size[kept] > 1e-6 * size[column]
        told = " + ".join(f"{w:.4g}·{names[j]}" for w, j in zip(weights[used][:4], kept[used]))
        lines.append(f"{names[column]} = {told.replace('+ -', '− ')}{' + …' if used.sum() > 4 else ''}")
        involved += [names[j] for j in (column, *kept[used])]
    more = f" and {len(extra) - 3} more" if len(extra) > 3 else ""
    return (
        f"the likelihood is flat where columns say the same: {'; '.join(lines)}{more}. Leave one out, hold its coefficient"
        " (fixed=), or add a ridge penalty; the coefficients here are one choice of many, predictions are the same for all",
        tuple(dict.fromkeys(involved)),
    )


def _whole(mix: np.ndarray, kept: np.ndarray, extra: np.ndarray, centring: Centring) -> tuple[np.ndarray, np.ndarray]:
    """Weights of all columns in each that is a combination of others, shape (p, m), and places of the columns."""
    gap = np.zeros((len(centring.mean), len(extra)))
    gap[kept], gap[extra, np.arange(len(extra))] = mix, -1.0
    whole = centring.told(gap)
    whole[extra, np.arange(len(extra))] = 0.0
    return whole, np.arange(len(whole))


def _separated(problem: LinearProblem, rows: Rows, z: np.ndarray) -> tuple[str, tuple[str, ...]] | None:
    """A direction d in which every row's likelihood rises or stays: then there is no end to it."""
    response = problem.response
    live = rows.weights > 0
    if isinstance(response, BinomialResponse):
        y = rows.y
        sign = np.where(y == 1, 1.0, np.where(y == 0, -1.0, 0.0))
    elif isinstance(response, PoissonResponse | NegativeBinomialResponse) and problem.link.name == "log":
        sign = np.where(rows.y == 0, -1.0, 0.0)
    else:
        return None
    X = rows.design
    if X.n * X.p > 20 * ROWS:
        return None
    signs = {"fixed": live & (sign == 0), "free": live & (sign != 0)}
    M = X.matrix() if problem.linear.B is None else X.matrix() @ problem.linear.B
    A = np.unique(sign[signs["free"], None] * M[signs["free"]], axis=0)
    E = np.unique(M[signs["fixed"]], axis=0)
    size = np.maximum(np.max(np.abs(M), axis=0), 1e-300)
    found = scipy.optimize.linprog(
        -np.sum(A / size, axis=0),
        A_ub=-A / size,
        b_ub=np.zeros(len(A)),
        A_eq=E / size if len(E) else None,
        b_eq=np.zeros(len(E)) if len(E) else None,
        bounds=[(-1.0, 1.0)] * M.shape[1],
        method="highs",
    )
    if found.status != 0 or -found.fun < 1e-7:
        return None
    direction = found.x / size
    if problem.linear.B is not None:
        direction = problem.linear.B @ direction
    names = problem.linear.names
    reach = np.abs(direction) * np.maximum(np.max(np.abs(X.matrix()), axis=0), 1e-300)
    used = [name for name, much in zip(names, reach) if much > 1e-6]
    if isinstance(response, BinomialResponse):
        how = "completely" if not len(E) and margin(A / size) > 1e-9 else "in part"
        return (
            f"there is separation: a combination of {listed(used)} foretells {how} which outcomes are 0 and which are 1, so that"
            " the likelihood rises for ever as these coefficients grow. Leave one out, collect more data, or add a penalty (or a"
            " prior: map_estimate, infer)",
            tuple(used),
        )
    return (
        f"there is separation: a combination of {listed(used)} picks out rows whose counts are all 0, so that the likelihood rises"
        " for ever as their rate goes to 0. Leave one out, or add a penalty (or a prior: map_estimate, infer)",
        tuple(used),
    )


def listed(names: list[str]) -> str:
    if len(names) > 6:
        return f"{', '.join(names[:6])} and {len(names) - 6} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def margin(A: np.ndarray) -> float:
    """The greatest least of A d, for d in the unit box."""
    wide = np.append(-A, np.ones((len(A), 1)), axis=1)
    bounds = [(-1.0, 1.0)] * A.shape[1] + [(0.0, 1.0)]
    found = scipy.optimize.linprog(
        np.append(np.zeros(A.shape[1]), -1.0), A_ub=wide, b_ub=np.zeros(len(A)), bounds=bounds, method="highs"
    )
    return float(-found.fun) if found.status == 0 else 0.0
