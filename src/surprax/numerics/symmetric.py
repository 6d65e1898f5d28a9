"""Symmetric matrices as flat vectors of their lower triangles, row by row: d(d + 1)/2 numbers without repetition."""

import math

import jax.numpy as jnp
import numpy as np
from jax import Array

__all__ = ["dimension_of_half", "from_half", "from_half_dual", "half", "half_dual", "symmetric"]


def dimension_of_half(length: int) -> int:
    """d of the matrices whose lower triangle has `length` = d(d + 1)/2 numbers; `ValueError` if there are none.

    >>> dimension_of_half(6)
    3
    """
    d = (math.isqrt(8 * length + 1) - 1) // 2
    if d * (d + 1) // 2 != length:
        raise ValueError(f"The lower triangle of a matrix has 1, 3, 6, 10, … numbers; got {length}.")
    return d


def half(matrix: Array) -> Array:
    """Lower triangle of symmetric matrices (…, d, d), shape (…, d(d + 1)/2).

    >>> half(jnp.array([[1.0, 2.0], [2.0, 5.0]])).tolist()
    [1.0, 2.0, 5.0]
    """
    rows, columns = np.tril_indices(matrix.shape[-1])
    return matrix[..., rows, columns]


def from_half(vector: Array) -> Array:
    """The symmetric matrices of which `half` is `vector`.

    >>> from_half(jnp.array([1.0, 2.0, 5.0])).tolist()
    [[1.0, 2.0], [2.0, 5.0]]
    """
    d = dimension_of_half(vector.shape[-1])
    rows, columns = np.tril_indices(d)
    place = np.zeros((d, d), np.int32)
    place[rows, columns] = place[columns, rows] = np.arange(len(rows))
    return vector[..., place]


def half_dual(matrix: Array) -> Array:
    """What pairs with `half`: ⟨half_dual(A), half(B)⟩ = tr AB, by doubling what lies off the diagonal. Inverse: `from_half_dual`.

    >>> A, B = jnp.array([[1.0, 2.0], [2.0, 5.0]]), jnp.array([[3.0, 1.0], [1.0, 4.0]])
    >>> float(half_dual(A) @ half(B)), float(jnp.trace(A @ B))
    (27.0, 27.0)
    """
    return _times(half(matrix), _weights(matrix.shape[-1]))


def from_half_dual(vector: Array) -> Array:
    """The symmetric matrices of which `half_dual` is `vector`."""
    return from_half(_times(vector, 1.0 / _weights(dimension_of_half(vector.shape[-1]))))


def symmetric(matrix: Array) -> Array:
    """(A + Aᵀ)/2."""
    return 0.5 * (matrix + jnp.swapaxes(matrix, -1, -2))


def _times(vector: Array, weights: np.ndarray) -> Array:
    return vector * weights.reshape((1,) * (vector.ndim - 1) + weights.shape)


def _weights(d: int) -> np.ndarray:
    rows, columns = np.tril_indices(d)
    return np.where(rows == columns, 1.0, 2.0).astype(np.float32)
