"""Positive definite matrices as parameters: given as a matrix, its inverse or its Cholesky factor, held as the factor."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surprax.families.parameters import Constraint, check_parameter
from surprax.numerics import linalg
from surprax.numerics.precision import float64_scope, is_traced

__all__ = ["as_scale_tril", "as_vector", "check_degrees_of_freedom", "gram", "inverse_gram", "lower_cholesky"]


def _is_lower_cholesky(v: Any) -> Any:
    """One answer for each matrix, with its axes kept."""
    xp = jnp if isinstance(v, jax.Array) else np
    size = v.shape[-1]
    own = np.eye(size, dtype=bool).reshape((1,) * (v.ndim - 2) + (size, size))
    below = np.tril(np.ones((size, size), bool)).reshape(own.shape)
    good = xp.isfinite(v) & ((v > 0) | ~own) & ((v == 0) | below)
    return xp.all(good, axis=(-1, -2), keepdims=True)


lower_cholesky = Constraint("lower triangular with a positive diagonal", _is_lower_cholesky)


def as_scale_tril(owner: str, *, scale_tril: Any = None, inverse: tuple[str, Any] = ("", None), **matrix: Any) -> Any:
    """The Cholesky factor from exactly one of: the factor, the matrix (by its public name), its inverse (name, value).

    Known matrices are checked, in float64; errors are sentences. Traced ones that are no good give NaN.
    """
    ((name, value),) = matrix.items()
    given = {"scale_tril": scale_tril, name: value, inverse[0]: inverse[1]}
    found = [n for n, v in given.items() if v is not None]
    if len(found) != 1:
        names = " and ".join(n for n in given if n)
        raise ValueError(f"{owner} takes exactly one of {names}; got {' and '.join(found) or 'none'}.")
    name = found[0]
    value = given[name]
    if np.ndim(value) < 2 or np.shape(value)[-1] != np.shape(value)[-2] or np.shape(value)[-1] == 0:
        raise ValueError(f"{owner}: {name} must be a square matrix, on the last two axes; got shape {np.shape(value)}.")
    if is_traced(value):
        value = jnp.asarray(value, jnp.result_type(float, value))
        return value if name == "scale_tril" else _factor(jnp.where(_even(value), value, jnp.nan), name == inverse[0])
    dtype = getattr(value, "dtype", None)
    values = np.asarray(value, np.float64)
    if name == "scale_tril":
        _check(owner, name, values, lower_cholesky.holds(values)[..., 0, 0], lower_cholesky.words)
    else:
        finite = np.isfinite(values).all(axis=(-1, -2))
        _check(owner, name, values, finite, "made of finite numbers")
        _check(owner, name, values, _even(value)[..., 0, 0], "symmetric")
        values = 0.5 * (values + np.swapaxes(values, -1, -2))
        factor = _known_factor(values, name == inverse[0])
        _check(owner, name, values, np.isfinite(factor).all(axis=(-1, -2)), "positive definite")
        values = factor
    return values.astype(dtype) if dtype is not None and jnp.issubdtype(dtype, jnp.floating) else values


def as_vector(owner: str, name: str, value: Any, size: int) -> Any:
    """A parameter that is a vector of `size` numbers; a single number stands for that many equal ones."""
    if np.ndim(value) == 0:
        return (jnp if isinstance(value, jax.Array) else np).full((size,), value)
    if np.shape(value)[-1] != size:
        raise ValueError(f"{owner}: {name} must have {size} numbers on the last axis; got shape {np.shape(value)}.")
    return value


def check_degrees_of_freedom(owner: str, df: Any, size: int) -> None:
    """Raise `ValueError` unless known degrees of freedom of d × d matrices are above d − 1."""
    check_parameter(
        owner, "df", df, Constraint(f"above {size - 1}, the size of the matrix less 1", lambda v: v > size - 1)
    )


def gram(scale_tril: Any) -> Any:
    """L Lᵀ, by NumPy in float64 for what NumPy holds."""
    if isinstance(scale_tril, jax.Array):
        return linalg.gram(scale_tril)
    return scale_tril @ np.swapaxes(scale_tril, -1, -2)


def inverse_gram(scale_tril: Any) -> Any:
    """(L Lᵀ)⁻¹, by NumPy in float64 for what NumPy holds."""
    if isinstance(scale_tril, jax.Array):
        return linalg.inverse_gram(scale_tril)
    inverse = np.linalg.inv(scale_tril)
    return np.swapaxes(inverse, -1, -2) @ inverse


def _even(matrix: Any) -> Any:
    """Whether a matrix is symmetric up to the rounding of its numbers, with its axes kept."""
    xp = jnp if isinstance(matrix, jax.Array) else np
    matrix = xp.asarray(matrix)
    eps = float(jnp.finfo(matrix.dtype).eps) if jnp.issubdtype(matrix.dtype, jnp.floating) else 0.0
    size = xp.max(xp.abs(matrix), axis=(-1, -2), keepdims=True)
    apart = xp.max(xp.abs(matrix - xp.swapaxes(matrix, -1, -2)), axis=(-1, -2), keepdims=True)
    return apart <= 64 * eps * matrix.shape[-1] * size


def _factor(matrix: Any, inverted: bool) -> Any:
    return linalg.cholesky_of_inverse(matrix) if inverted else linalg.cholesky(matrix)


def _known_factor(values: np.ndarray, inverted: bool) -> np.ndarray:
    """The factor in float64, NaN where there is none."""
    with float64_scope():
        return np.asarray(_factor(jnp.asarray(values), inverted))


def _check(owner: str, name: str, values: np.ndarray, good: Any, words: str) -> None:
    if np.all(good):
        return
    index = tuple(int(i) for i in np.argwhere(~good)[0]) if np.ndim(good) else ()
    where = f" at index {index if len(index) > 1 else index[0]} of the batch" if index else ""
    shown = np.array2string(values[index], precision=6, separator=", ", threshold=16).replace("\n", "")
    if words == "positive definite":
        where = f"{where}, whose least eigenvalue is {np.linalg.eigvalsh(values[index])[0]:.3g}"
    raise ValueError(f"{owner}: {name} must be {words}; got {shown}{where}.")
