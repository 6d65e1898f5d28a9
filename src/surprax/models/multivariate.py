"""Multivariate Gaussian sites with one covariance matrix and a location affine in the interface: least squares for all outcomes.

    y_r ~ MultivariateNormal(offset_r + Uᵀ w_r, Σ)

All outcomes share the weights w_r (some coefficients may be fixed at 0), so that one square root of their scatter serves them all:
with the deviation Δ of the coefficients from those of the best fit,

    Σ_r (residual)(residual)ᵀ = (M Δ)ᵀ (M Δ) + Δᵀ lean + leanᵀ Δ + rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from surprax.evidence.cross import cross_moments
from surprax.models.affine import affine_forms, shared_terms
from surprax.models.cells import join
from surprax.models.compact import Compact, Settled, Store
from surprax.models.expressions import Column, Expression, Table, leaves_of, picked
from surprax.models.gaussian import HALF_LOG_2PI, MOST_COLUMNS, codes_in, least_squares, merged_blocks, square_roots

__all__ = ["MultivariateEnergy", "multivariate_linear"]

MOST_OUTCOMES = 64


def multivariate_linear(
    name: str, rows: int, y: np.ndarray, weights: np.ndarray | None, location: Expression, scale_tril: Expression
) -> Compact | str:
    """The site in compressed form, or why not. `y`: shape (rows that count, outcomes)."""
    outcomes = y.shape[1]
    if outcomes > MOST_OUTCOMES:
        return f"it has more than {MOST_OUTCOMES} outcomes"
    for leaf in leaves_of([scale_tril]):
        if (isinstance(leaf, Table) and leaf.key is not None) or (isinstance(leaf, Column) and not leaf.is_same):
            return "its covariance matrix changes from row to row"
    forms = affine_forms([picked(location, (j,)) for j in range(outcomes)])
    if forms is None:
        return "its location is not affine in what it takes from latent sites"
    terms = shared_terms(forms)
    if not terms:
        return "its location is known"
    term_cells = [join(term.keys) for term in terms]
    sizes = tuple(cells.number for cells in term_cells)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    cells = join(list(dict.fromkeys(key for term in terms for key in term.keys)))
    columns = int(starts[-1])
    if columns > MOST_COLUMNS:
        return f"it has {columns:,} columns"
    target = y - np.stack([np.broadcast_to(0.0 if f.offset is None else f.offset, len(y)) for f in forms], axis=-1)
    distinct = {id(t.weight): np.broadcast_to(t.weight, len(y)) for t in terms if t.weight is not None}
    order = list(distinct)
    total, mean, scatter = cross_moments([*distinct.values(), *target.T], weights, cells.codes, cells.number)
    place = [None if t.weight is None else order.index(id(t.weight)) for t in terms]
    roots, aims, rest = square_roots(total, mean, scatter, place, outcomes)
    index = np.stack(
        [np.zeros(cells.number, np.int64) + start + codes_in(cells, own) for start, own in zip(starts, term_cells)],
        axis=-1,
    )
    reference = np.stack([least_squares(roots, aims[..., j], index, columns) for j in range(outcomes)], axis=-1)
    left = np.einsum("bij,bjt->bit", roots, reference[index]) - aims
    lean = np.einsum("bij,bit->bjt", roots, left)
    remaining = np.sum(rest, axis=0) + np.einsum("bis,bit->st", left, left)
    one = np.zeros(cells.number, np.int64)
    parts = [merged_blocks(roots, lean[..., j], index, one, 1, columns) for j in range(outcomes)]
    n = float(np.sum(total))
    best = _log_root_determinant(remaining / n)
    constant = -n * outcomes * HALF_LOG_2PI - (0.0 if best is None else n * best + 0.5 * n * outcomes)
    store = Store()
    locations = tuple(
        tuple(store.settle(t.nodes[j], c, {}) for t, c in zip(terms, term_cells)) for j in range(outcomes)
    )
    arrays = {
        "root": parts[0][0][0],
        "lean": np.stack([lean_of[0] for _, lean_of, _ in parts], axis=-1),
        "reference": reference,
        "rest": remaining,
        "n": np.float64(n),
        "best": np.float64(0.0 if best is None else best),
        "least": np.float64(0.0 if best is None else 0.5 * n * outcomes),
    }
    energy = MultivariateEnergy(locations, store.settle(scale_tril, join([]), {}), sizes)
    arrays = {**arrays, "slots": store.arrays}
    numbers = columns * (columns + outcomes) + outcomes**2 + 1
    detail = f"Gaussian evidence of {columns:,} columns for {outcomes} outcomes"
    return Compact(
        name,
        "Gaussian linear",
        rows,
        numbers,
        detail,
        tuple(store.tables),
        arrays,
        energy,
        float(constant),
        gaussian=energy,
        expressions=tuple(e for of in locations for e in of),
    )


@dataclass(frozen=True, eq=False)
class MultivariateEnergy:
    """log-likelihood − constant."""

    locations: tuple[tuple[Settled, ...], ...]
    scale_tril: Settled
    sizes: tuple[int, ...]

    def columns(self, arrays: Any, tables: Sequence[Any]) -> Any:
        """The interface as a matrix, shape (columns, outcomes)."""
        memo: dict[int, Any] = {}
        slots = arrays["slots"]
        return jnp.stack(
            [
                jnp.concatenate([jnp.broadcast_to(e(slots, tables, memo), (n,)) for e, n in zip(of, self.sizes)])
                for of in self.locations
            ],
            axis=-1,
        )

    def __call__(self, arrays: Mapping[str, Any], tables: Sequence[Any]) -> Any:
        away = self.columns(arrays, tables) - arrays["reference"]
        factor = self.scale_tril(arrays["slots"], tables)[0]
        moved = arrays["root"] @ away
        leaning = away.T @ arrays["lean"]
        square = moved.T @ moved + leaning + leaning.T + arrays["rest"]
        half = solve_triangular(factor, square, lower=True)
        trace = jnp.trace(solve_triangular(factor, half.T, lower=True))
        log_det = jnp.sum(jnp.log(jnp.diagonal(factor)))
        return -arrays["n"] * (log_det - arrays["best"]) - (0.5 * trace - arrays["least"])


def _log_root_determinant(covariance: np.ndarray) -> float | None:
    """½ log det, or None where the matrix is not positive definite."""
    try:
        factor = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return None
    return float(np.sum(np.log(np.diagonal(factor))))
