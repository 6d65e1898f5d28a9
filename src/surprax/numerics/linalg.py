"""Linear algebra by Cholesky factors: solves, determinants and the divergence between two positive definite matrices.

A positive definite matrix S is held as the lower triangular L with S = L Lᵀ, whose condition number is the square root of that of
S. Vectors lie on the last axis, matrices on the last two; the axes before are batch, of equal rank in all arguments of a function.
Matrices that are not positive definite give NaN, never an error.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.numerics.elementary import is_near, log1p_minus, log_ratio

__all__ = [
    "beside",
    "blocks",
    "cholesky",
    "cholesky_of_inverse",
    "cholesky_unless_singular",
    "diagonal",
    "gram",
    "identity",
    "inverse_gram",
    "inverse_lower",
    "join",
    "log_det",
    "log_det_divergence",
    "lower_factor",
    "matmul",
    "matvec",
    "outer",
    "pair_products",
    "solve_lower",
    "solve_lower_matrix",
    "transpose",
]


# Shapes ---------------------------------------------------------------------------------------------------------------


def beside(number: Array, axes: int = 1) -> Array:
    """A number of each batch entry with that many axes beside it; a number without a batch stays what it is."""
    number = jnp.asarray(number)
    return number.reshape(number.shape + (1,) * axes) if number.ndim else number


def join(*vectors: Array) -> Array:
    """Vectors one after the other on the last axis; their batches broadcast."""
    batch = jnp.broadcast_shapes(*(v.shape[:-1] for v in vectors))
    return jnp.concatenate([jnp.broadcast_to(v, batch + v.shape[-1:]) for v in vectors], axis=-1)


def transpose(matrix: Array) -> Array:
    """The transpose of each matrix."""
    return jnp.swapaxes(matrix, -1, -2)


def diagonal(matrix: Array) -> Array:
    """The diagonal of each matrix, a vector."""
    return jnp.diagonal(matrix, axis1=-2, axis2=-1)


def identity(like: Array) -> Array:
    """The identity of the size and batch of `like`."""
    return jnp.broadcast_to(jnp.eye(like.shape[-1], dtype=like.dtype), like.shape)


# Products -------------------------------------------------------------------------------------------------------------
# In full precision: accelerators would round the factors to 11 bits.


def matmul(a: Array, b: Array) -> Array:
    """The product of two matrices."""
    return jnp.matmul(a, b, precision="highest")


def matvec(matrix: Array, vector: Array) -> Array:
    """The product of a matrix and a vector."""
    return jnp.einsum("...ij,...j->...i", matrix, vector, precision="highest")


def outer(a: Array, b: Array) -> Array:
    """a bᵀ."""
    return a[..., :, None] * b[..., None, :]


def gram(lower: Array) -> Array:
    """L Lᵀ."""
    return matmul(lower, transpose(lower))


def pair_products(a: Array, b: Array) -> Array:
    """a_ik b_jl + a_il b_jk for the pairs i ≥ j (rows) and k ≥ l (columns) of a lower triangle: with a = b = V, the covariance of
    what is in the lower triangle of z zᵀ for normal z of covariance V (Isserlis 1918)."""
    i, j = np.tril_indices(a.shape[-1])
    rows_a, rows_b = a[..., i, :], b[..., j, :]
    return rows_a[..., i] * rows_b[..., j] + rows_a[..., j] * rows_b[..., i]


def blocks(top: Array, corner: Array, bottom: Array) -> Array:
    """The symmetric matrix of two blocks on the diagonal and one above it; their batches broadcast."""
    batch = jnp.broadcast_shapes(*(m.shape[:-2] for m in (top, corner, bottom)))
    top, corner, bottom = (jnp.broadcast_to(m, batch + m.shape[-2:]) for m in (top, corner, bottom))
    rows = [top, corner], [transpose(corner), bottom]
    return jnp.concatenate([jnp.concatenate(row, axis=-1) for row in rows], axis=-2)


# Factors --------------------------------------------------------------------------------------------------------------


def cholesky(matrix: Array) -> Array:
    """L with L Lᵀ = S, read off the symmetric part of S; NaN where S is not positive definite.

    >>> cholesky(jnp.array([[4.0, 2.0], [2.0, 2.0]])).tolist()
    [[2.0, 0.0], [1.0, 1.0]]
    """
    return jnp.linalg.cholesky(matrix)


def cholesky_unless_singular(matrix: Array) -> tuple[Array, Array]:
    """L with L Lᵀ = S for a mean of products S, and whether S is singular but for rounding; then L is NaN.

    Judged with the diagonal scaled to 1, so that units do not matter.

    >>> cholesky_unless_singular(jnp.array([[1.0, 1e-9], [1e-9, 1e-18]]))[1].item()
    True
    """
    size = diagonal(matrix)
    scale = jnp.sqrt(jnp.where(size > 0, size, 1.0))
    factor = cholesky(matrix / outer(scale, scale))
    pivots = jnp.min(diagonal(factor), axis=-1)
    singular = ~(pivots**2 > 64 * matrix.shape[-1] * jnp.finfo(matrix.dtype).eps)
    return jnp.where(singular[..., None, None], jnp.nan, scale[..., :, None] * factor), singular


def cholesky_of_inverse(matrix: Array) -> Array:
    """L with L Lᵀ = S⁻¹, without S⁻¹: the factor from the other corner, U Uᵀ = S with U upper triangular, is L⁻ᵀ.

    >>> cholesky_of_inverse(jnp.array([[4.0, 0.0], [0.0, 0.25]])).tolist()
    [[0.5, 0.0], [0.0, 2.0]]
    """
    upper = cholesky(matrix[..., ::-1, ::-1])[..., ::-1, ::-1]
    return inverse_lower(transpose(upper))


def lower_factor(matrix: Array) -> Array:
    """L with L Lᵀ = A Aᵀ and a diagonal ≥ 0, for any A of at least as many columns as rows: by reflections, without A Aᵀ.

    >>> lower_factor(jnp.array([[3.0, 4.0]])).tolist()
    [[5.0]]
    """
    lower = transpose(jnp.linalg.qr(transpose(matrix), mode="r"))
    return lower * jnp.where(diagonal(lower) < 0, -1.0, 1.0)[..., None, :]


def _triangular_solve(lower: Array, right: Array, transposed: bool = False) -> Array:
    return jax.lax.linalg.triangular_solve(lower, right, left_side=True, lower=True, transpose_a=transposed)


def solve_lower_matrix(lower: Array, right: Array) -> Array:
    """L⁻¹ B."""
    batch = jnp.broadcast_shapes(lower.shape[:-2], right.shape[:-2])
    lower, right = (jnp.broadcast_to(v, batch + v.shape[-2:]) for v in (lower, right))
    return _triangular_solve(lower, right)


def solve_lower(lower: Array, vector: Array, *, transposed: bool = False) -> Array:
    """L⁻¹ v, or L⁻ᵀ v. Many vectors that meet one matrix are solved for at once.

    >>> solve_lower(jnp.array([[2.0, 0.0], [1.0, 1.0]]), jnp.array([2.0, 3.0])).tolist()
    [1.0, 2.0]
    """
    of_matrix = lower.shape[:-2]
    batch = jnp.broadcast_shapes(of_matrix, vector.shape[:-1])
    own = [i for i, n in enumerate(of_matrix) if n != 1]
    order = [*own, len(batch), *(i for i, n in enumerate(of_matrix) if n == 1)]
    v = jnp.broadcast_to(vector, batch + vector.shape[-1:]).transpose(order)
    shape, head = v.shape, tuple(of_matrix[i] for i in own)
    solved = _triangular_solve(
        lower.reshape(head + lower.shape[-2:]), v.reshape((*head, lower.shape[-1], -1)), transposed
    )
    return solved.reshape(shape).transpose(np.argsort(order))


def inverse_lower(lower: Array) -> Array:
    """L⁻¹."""
    return _triangular_solve(lower, identity(lower))


def inverse_gram(lower: Array) -> Array:
    """(L Lᵀ)⁻¹."""
    inverse = inverse_lower(lower)
    return matmul(transpose(inverse), inverse)


def log_det(lower: Array) -> Array:
    """log det L = ½ log det L Lᵀ."""
    return jnp.sum(jnp.log(diagonal(lower)), axis=-1)


# Divergence -----------------------------------------------------------------------------------------------------------


def log_det_divergence(a: Array, b: Array, growth: Array | None = None) -> Array:
    """½ (tr S − d − log det S) ≥ 0 for S = B⁻¹ A Aᵀ B⁻ᵀ: the Kullback–Leibler divergence from N(0, A Aᵀ) to N(0, B Bᵀ).

    The Bregman divergence of −½ log det, and half the loss of James & Stein (1961). With M = B⁻¹A = I + W, W = B⁻¹(A − B), it is

        ½ ‖W‖² + Σ (wᵢᵢ − log(1 + wᵢᵢ)),

    in which every term is ≥ 0 and of second order: full relative accuracy as A → B. With `growth` ρ, shaped as the batch, A stands
    for (1 + ρ) A, which need not be rounded.

    >>> A, B = jnp.array([[2.0, 0.0], [0.0, 3.0]]), jnp.eye(2)
    >>> print(f"{log_det_divergence(A, B) - 0.5 * (4 + 9 - 2 - jnp.log(36.0)):.3f}")
    0.000
    """
    grown = None if growth is None else beside(growth, 2)
    w = solve_lower_matrix(b, a - b if grown is None else (a - b) + grown * a)
    top, bottom = diagonal(a), diagonal(b)
    if growth is not None:
        top = top * (1.0 + beside(growth))
    own = diagonal(w)
    near = is_near(own)
    far = own - log_ratio(jnp.where(near, 1.0, top), jnp.where(near, 1.0, bottom))
    change = jnp.where(near, -log1p_minus(jnp.where(near, own, 0.0)), far)
    # The triangle above is 0, but for the gradient it must not be there at all.
    return 0.5 * jnp.sum(jnp.tril(w) ** 2, axis=(-1, -2)) + jnp.sum(change, axis=-1)
