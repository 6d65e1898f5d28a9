"""Which numbers are known now, and how to compute in float64 whatever JAX's default precision is.

JAX computes in float32 unless told otherwise, and an array of ten million float32 cannot even be averaged to seven digits without
care. Whatever summarises data (statistics, maximum likelihood, scores) therefore runs in float64, in a scope of its own: the
user's configuration is neither read nor changed. Results come back as NumPy arrays, which keep their float64 outside that scope
(a JAX array would be rounded at its first use); traced values cannot change their precision and are computed as they come.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

__all__ = ["float64_scope", "in_float64", "is_traced", "to_float64"]


def is_traced(*trees: Any) -> bool:
    """Whether any leaf is a JAX tracer, that is, a number not known yet.

    >>> is_traced({"loc": 1.0}), jax.jit(lambda x: is_traced(x))(1.0).item()
    (False, True)
    """
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(trees))


class float64_scope:  # noqa: N801 - used as a context manager, like jax.enable_x64
    """Inside `with float64_scope():` JAX computes in float64, and at once, even while an outer function is being traced."""

    def __enter__(self) -> None:
        self._contexts = (jax.core.eval_context(), jax.enable_x64(True))
        for context in self._contexts:
            context.__enter__()

    def __exit__(self, *error: Any) -> None:
        for context in reversed(self._contexts):
            context.__exit__(*error)


def to_float64(leaf: Any) -> Any:
    """A floating leaf as a NumPy float64 array; integers, booleans and anything that is not an array are left as they are."""
    if isinstance(leaf, float) or (hasattr(leaf, "dtype") and jax.numpy.issubdtype(leaf.dtype, np.floating)):
        return np.asarray(leaf, dtype=np.float64)
    return leaf


def in_float64(function: Callable[..., Any] | None = None, *, static_argnames: tuple[str, ...] = ()) -> Any:
    """Decorator: compile `function` and run it in float64, returning NumPy arrays.

    With traced arguments the function is simply inlined, in the precision of its arguments.

    >>> @in_float64
    ... def total(x):
    ...     return jax.numpy.sum(x)
    >>> total(np.array([1.0, 1e-12])).item() - 1.0 > 0
    True
    """
    if function is None:
        return functools.partial(in_float64, static_argnames=static_argnames)
    compiled = jax.jit(function, static_argnames=static_argnames)

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if is_traced(args, kwargs):
            return function(*args, **kwargs)
        args, kwargs = jax.tree.map(to_float64, (args, kwargs))
        with float64_scope():
            return jax.tree.map(np.asarray, compiled(*args, **kwargs))

    return wrapper
