"""Gaussian sites whose location is affine in the interface: least squares, kept as square roots.

    y_r ~ Normal(offset_r + Σ_t weight_tr · u_t[place], spread_r · σ_g)

Rows go into blocks (cells, or groups of one scale). In block B the columns that matter have weighted scatter MᵀM, so that with the
deviation δ of the interface from a reference point u⁰, near the best fit of all rows,

    Σ_r (residual / spread)² = |M δ|² + 2 ⟨lean, δ⟩ + rest

No two large numbers are subtracted: |M δ|² is a sum of squares, lean is 0 at the best fit, and rest is what the scale answers to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from surprax.evidence.cross import cross_moments
from surprax.models.affine import Affine, affine_form
from surprax.models.cells import Cells, is_plain, join, keys_of
from surprax.models.compact import Compact, Settled, Store, entries
from surprax.models.expressions import Column, Expression

__all__ = ["GaussianEnergy", "codes_in", "gaussian_linear", "least_squares", "merged_blocks", "square_roots"]

HALF_LOG_2PI = 0.9189385332046727

MOST_COLUMNS = 4000
"""Columns of one matrix: its square takes part in every evaluation."""

SMALL = 4_096
"""Numbers of the matrices of all scales, and of rows an eighth, up to which these are quicker to compile than blocks of cells, and
hardly slower."""


def scale_form(scale: Expression) -> tuple[np.ndarray | None, Expression] | None:
    """(spread by row, node of the scale), where the scale is their product; None where it is not."""
    form = affine_form(scale)
    if form is None:
        return None
    one = Column(np.ones(1))
    if not form.terms:
        assert form.offset is not None
        return (form.offset, one) if len(form.offset) > 1 else (None, Column(form.offset))
    if form.offset is not None or len(form.terms) != 1:
        return None
    (term,) = form.terms
    if term.weight is not None and not np.min(term.weight) > 0:
        return None
    return term.weight, term.node


def gaussian_linear(
    name: str, y: np.ndarray, weights: np.ndarray | None, location: Expression, scale: Expression, constant: float
) -> Compact | str:
    """The site in compressed form, or why not. `y` and `weights`: shape (rows,)."""
    form, spread_and_scale = affine_form(location), scale_form(scale)
    if form is None:
        return "its location is not affine in what it takes from latent sites"
    if spread_and_scale is None:
        return "its scale is not one number for each group, times data"
    spread, sigma = spread_and_scale
    if not form.terms:
        return "its location is known" if is_plain(sigma) else "its scale changes with data"
    blocks = Blocks(form, sigma, len(y))
    if isinstance(blocks.trouble, str):
        return blocks.trouble
    return blocks.compact(name, y, weights, spread, constant)


class Blocks:
    """How rows go into blocks and terms into columns."""

    def __init__(self, form: Affine, sigma: Expression, rows: int) -> None:
        self.form, self.sigma, self.rows = form, sigma, rows
        self.trouble: str | None = None
        keys = keys_of([t.node for t in form.terms])
        self.scale_cells = join(keys_of([sigma]))
        self.term_cells = [join(keys_of([t.node])) for t in form.terms]
        self.sizes = [cells.number for cells in self.term_cells]
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)])
        self.cells = join(list(dict.fromkeys([*keys, *keys_of([sigma])])))
        self.columns, groups = int(self.starts[-1]), self.scale_cells.number
        by_cell = self.cells.number * (len(form.terms) + 1) * len(form.terms)
        by_scale = groups * self.columns**2
        self.by_scale = by_scale <= max(by_cell, min(SMALL, rows // 8)) and self.columns <= MOST_COLUMNS
        if not self.by_scale and self.cells.number > max(rows // 2, 1):
            self.trouble = f"{rows:,} rows fall into {self.cells.number:,} cells"

    def compact(self, name: str, y: np.ndarray, weights: Any, spread: Any, constant: float) -> Compact:
        form, cells = self.form, self.cells
        target = y if form.offset is None else y - form.offset
        distinct: dict[int, np.ndarray] = {}
        for t in form.terms:
            if t.weight is not None:
                distinct.setdefault(id(t.weight), np.broadcast_to(t.weight, y.shape))
        order = list(distinct)
        precision = None if spread is None else 1.0 / np.square(spread, dtype=np.float64)
        row_weight = precision if weights is None else weights if precision is None else weights * precision
        total, mean, scatter = cross_moments([*distinct.values(), target], row_weight, cells.codes, cells.number)
        number = counts(weights, row_weight, cells, total)
        if spread is not None:
            log_spread = np.log(np.broadcast_to(spread, y.shape))
            constant = constant - float(np.sum(log_spread if weights is None else weights * log_spread))
        place = [None if t.weight is None else order.index(id(t.weight)) for t in form.terms]
        roots, aims, rest = square_roots(total, mean, scatter, place)
        return self._finished(name, roots, aims[..., 0], np.maximum(rest[:, 0, 0], 0.0), number, constant)

    def _finished(
        self, name: str, roots: np.ndarray, aims: np.ndarray, rest: np.ndarray, number: np.ndarray, constant: float
    ) -> Compact:
        cells, groups = self.cells, self.scale_cells.number
        index = np.stack(
            [
                np.zeros(cells.number, np.int64) + start + codes_in(cells, term)
                for start, term in zip(self.starts, self.term_cells)
            ],
            axis=-1,
        )
        of_scale = codes_in(cells, self.scale_cells) + np.zeros(cells.number, np.int64)
        reference = least_squares(roots, aims, index, self.columns)
        left = np.einsum("bij,bj->bi", roots, reference[index]) - aims
        lean = np.einsum("bij,bi->bj", roots, left)
        rest = rest + np.sum(left**2, axis=-1)
        # Places: of columns and scales, by block; none where each block has all columns, and a scale of its own.
        places = {"index": index, "place": of_scale}
        if self.by_scale:
            roots, lean, _ = merged_blocks(roots, lean, index, of_scale, groups, self.columns)
            places = {}
        remaining = np.bincount(of_scale, rest, groups)
        n = np.bincount(of_scale, number, groups)
        best = np.sqrt(np.maximum(remaining, 0.0) / np.where(n > 0, n, 1.0))
        positive = best > 0
        constant += float(
            np.sum(-n * HALF_LOG_2PI - np.where(positive, n * (np.log(np.where(positive, best, 1.0)) + 0.5), 0.0))
        )
        store = Store()
        locations = tuple(store.settle(t.node, c, {}) for t, c in zip(self.form.terms, self.term_cells))
        scale = store.settle(self.sigma, self.scale_cells, {})
        arrays = {
            "roots": roots,
            "lean": lean,
            "reference": reference,
            "n": n,
            "best": best,
            "slots": store.arrays,
            **{name: array.astype(np.int32) for name, array in places.items()},
            **({} if np.all(positive) else {"some": positive}),
        }
        parts = self.sizes
        numbers = sum(np.size(arrays[k]) for k in ("roots", "lean", "reference", "n", "best"))
        whole = f"{self.columns:,} column{'s' if self.columns > 1 else ''}"
        detail = f"Gaussian evidence of {whole}" + (f", {groups:,} scales" if groups > 1 else "")
        if not self.by_scale:
            detail += f", in {cells.number:,} cells"
        energy = GaussianEnergy(locations, scale, tuple(parts))
        return Compact(
            name,
            "Gaussian linear",
            self.rows,
            numbers,
            detail,
            tuple(store.tables),
            arrays,
            energy,
            constant,
            gaussian=energy,
            expressions=(*locations, scale),
        )


@dataclass(frozen=True, eq=False)
class GaussianEnergy:
    """log-likelihood − constant."""

    locations: tuple[Settled, ...]
    scale: Settled
    sizes: tuple[int, ...]

    def columns(self, arrays: Any, tables: Sequence[Any]) -> Any:
        """The interface as one vector, shape (columns,)."""
        return jnp.concatenate(self.segments(arrays, tables))

    def segments(self, arrays: Any, tables: Sequence[Any]) -> list[Any]:
        """The columns of each term."""
        memo: dict[int, Any] = {}
        return [jnp.broadcast_to(e(arrays["slots"], tables, memo), (n,)) for e, n in zip(self.locations, self.sizes)]

    def scales(self, arrays: Any, tables: Sequence[Any]) -> Any:
        """The scales, shape (groups,)."""
        return jnp.broadcast_to(self.scale(arrays["slots"], tables), jnp.shape(arrays["n"]))

    def __call__(self, arrays: Mapping[str, Any], tables: Sequence[Any]) -> Any:
        away = self.columns(arrays, tables) - arrays["reference"]
        sigma = self.scales(arrays, tables)
        here = entries(away, arrays["index"]) if "index" in arrays else away[None]
        moved = jnp.einsum("bij,bj->bi", arrays["roots"], here)
        square = jnp.sum(moved**2, axis=-1) + 2.0 * jnp.sum(arrays["lean"] * here, axis=-1)
        n, ratio, some = arrays["n"], arrays["best"] / sigma, arrays.get("some", True)
        # n KL from the best scale to this one; where residuals are all 0 there is no best.
        own = n * (jnp.log(jnp.where(some, ratio, 1.0)) - 0.5 * (ratio**2 - 1.0))
        if "some" in arrays:
            own = jnp.where(some, own, -n * jnp.log(sigma))
        spread = entries(sigma, arrays["place"]) if "place" in arrays else sigma
        return jnp.sum(own) - 0.5 * jnp.sum(square / spread**2)


def counts(weights: Any, row_weight: Any, cells: Cells, total: np.ndarray) -> np.ndarray:
    """How many observations (by weight) each cell has."""
    if weights is row_weight:
        return total
    if cells.codes is None:
        assert weights is not None or row_weight is not None
        return np.array([float(len(row_weight)) if weights is None else float(np.sum(weights))])
    return np.bincount(cells.codes, weights, cells.number).astype(np.float64)


def square_roots(
    total: np.ndarray, mean: np.ndarray, scatter: np.ndarray, place: Sequence[int | None], targets: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """M (cells, k + 1, terms), z (cells, k + 1, targets) and R (cells, targets, targets) with

        Σ w (y − Uᵀ w) (y − Uᵀ w)ᵀ = (M U − z)ᵀ (M U − z) + R

    from the moments of the k data columns and, last, the targets. In units of the columns' own spread; by eigenvectors, so that
    columns may depend on each other.
    """
    k = scatter.shape[-1] - targets
    inner, cross, own = scatter[:, :k, :k], scatter[:, :k, k:], scatter[:, k:, k:]
    size = np.sqrt(np.maximum(np.einsum("cii->ci", inner), 0.0))
    size = np.where(size > 0, size, 1.0)
    if k:
        values, vectors = np.linalg.eigh(inner / size[:, :, None] / size[:, None, :])
    else:
        values, vectors = np.zeros((len(total), 0)), np.zeros((len(total), 0, 0))
    kept = values > 1e-14 * np.maximum(np.max(values, axis=-1, initial=0.0), 1e-300)[:, None]
    root = np.sqrt(np.where(kept, values, 0.0))
    lower = root[:, :, None] * np.swapaxes(vectors, 1, 2) * size[:, None, :]
    turned = np.einsum("cij,cit->cjt", vectors, cross / size[:, :, None])
    aim = np.where(kept[:, :, None], turned / np.where(kept, root, 1.0)[:, :, None], 0.0)
    rest = own - np.einsum("cjs,cjt->cst", aim, aim)
    middle = np.stack([np.ones(len(total)) if p is None else mean[:, p] for p in place], axis=-1)
    ones = np.sqrt(total)[:, None, None] * middle[:, None, :]
    slopes = np.stack([np.zeros((len(total), k)) if p is None else lower[:, :, p] for p in place], axis=-1)
    aims = np.concatenate([(np.sqrt(total)[:, None] * mean[:, k:])[:, None], aim], axis=1)
    return np.concatenate([ones, slopes], axis=1), aims, rest


def codes_in(cells: Cells, part: Cells) -> np.ndarray:
    """The number that each cell has among the cells of some of its keys."""
    if not part.places:
        return np.zeros(1, np.int64)
    flat, known, size = np.zeros(cells.number, np.int64), np.zeros(part.number, np.int64), 1
    for key, values in part.places.items():
        flat, known, size = flat * key.size + cells.places[key], known * key.size + values, size * key.size
    order = np.argsort(known)
    return order[np.searchsorted(known[order], flat)]


def least_squares(roots: np.ndarray, aims: np.ndarray, index: np.ndarray, columns: int) -> np.ndarray:
    """Where Σ |M u − z|² is least (the shortest such u)."""
    blocks, height, width = roots.shape
    if blocks * height * columns <= 4_000_000:
        whole = np.zeros((blocks, height, columns))
        for t in range(width):
            np.add.at(whole, (np.arange(blocks)[:, None], np.arange(height)[None], index[:, None, t]), roots[:, :, t])
        return np.linalg.lstsq(whole.reshape(-1, columns), aims.reshape(-1), rcond=1e-13)[0]
    if columns > MOST_COLUMNS:  # any point near will do: what is left leans on it
        return _descended(roots, aims, index, columns)
    gram, right = _normal_equations(roots, aims, index, columns)
    return np.linalg.lstsq(gram, right, rcond=1e-13)[0]


def _normal_equations(
    roots: np.ndarray, aims: np.ndarray, index: np.ndarray, columns: int
) -> tuple[np.ndarray, np.ndarray]:
    gram, right = np.zeros((columns, columns)), np.zeros(columns)
    products = np.einsum("bij,bik->bjk", roots, roots)
    for s in range(index.shape[1]):
        np.add.at(right, index[:, s], np.einsum("bi,bi->b", roots[:, :, s], aims))
        for t in range(index.shape[1]):
            np.add.at(gram, (index[:, s], index[:, t]), products[:, s, t])
    return gram, right


def _descended(roots: np.ndarray, aims: np.ndarray, index: np.ndarray, columns: int, steps: int = 100) -> np.ndarray:
    """The same by conjugate gradients, without a matrix of all columns."""

    def apply(u: np.ndarray) -> np.ndarray:
        back = np.einsum("bij,bi->bj", roots, np.einsum("bij,bj->bi", roots, u[index]))
        return np.bincount(index.reshape(-1), back.reshape(-1), columns)

    u = np.zeros(columns)
    residual = np.bincount(index.reshape(-1), np.einsum("bij,bi->bj", roots, aims).reshape(-1), columns)
    direction, size = residual, residual @ residual
    for _ in range(steps):
        if size <= 0:
            break
        image = apply(direction)
        step = size / (direction @ image)
        u, residual = u + step * direction, residual - step * image
        size, before = residual @ residual, size
        direction = residual + size / before * direction
    return u


def merged_blocks(
    roots: np.ndarray, lean: np.ndarray, index: np.ndarray, of_scale: np.ndarray, groups: int, columns: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The blocks of each scale as one, over all columns."""
    new_roots, new_lean = np.zeros((groups, columns, columns)), np.zeros((groups, columns))
    for g in range(groups):
        mine = of_scale == g
        blocks, height, width = roots[mine].shape
        if blocks * height * columns <= 20_000_000:
            whole = np.zeros((blocks, height, columns))
            for t in range(width):
                np.add.at(
                    whole,
                    (np.arange(blocks)[:, None], np.arange(height)[None], index[mine][:, None, t]),
                    roots[mine][:, :, t],
                )
            triangle = np.linalg.qr(whole.reshape(-1, columns), mode="r")
        else:
            gram, _ = _normal_equations(roots[mine], np.zeros((blocks, height)), index[mine], columns)
            values, vectors = np.linalg.eigh(gram)
            triangle = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
        new_roots[g, : len(triangle)] = triangle
        new_lean[g] = np.bincount(index[mine].reshape(-1), lean[mine].reshape(-1), columns)
    return new_roots, new_lean, np.broadcast_to(np.arange(columns), (groups, columns))
