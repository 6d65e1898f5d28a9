"""Functions without their data, so that what is compiled from them outlives a call.

A NumPyro model is a closure over its data, so each call makes a new function, which JAX would compile anew, with the data as
constants inside. Here the data are taken out and become arguments; two models that are the same but for their data (or the
same model, twice) then share one program.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from surprax.numerics.compilation import digest

__all__ = ["Hoisted"]


class Hoisted:
    """A pure function of arrays, apart from the data that it closes over.

    Made, and called, in one precision: the one in force when it is made.

    Attributes:
        pure: the function, of its data and then its arguments.
        constants: the data.

    >>> data = jnp.arange(3.0)
    >>> f = Hoisted(lambda x: jnp.sum(data * x), jnp.zeros(3))
    >>> len(f.constants), f.pure(f.constants, jnp.ones(3)).item()
    (1, 3.0)
    """

    def __init__(self, function: Callable[..., Any], *example: Any) -> None:
        staged, shape = jax.make_jaxpr(function, return_shape=True)(*example)
        # Models may compute in float64 even where JAX is told float32, and have data for that.
        with jax.enable_x64(True):
            avals: list[Any] = [variable.aval for variable in staged.jaxpr.constvars]
            self.constants = tuple(jnp.asarray(data, aval.dtype) for data, aval in zip(staged.consts, avals))
        self._example = jax.tree.map(lambda x: jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x)), example)
        result = jax.tree.structure(shape)
        # Staged once more with the data as arguments: the first program holds them. They would stay as long as what is compiled
        # of it, and while they do, JAX 0.12 takes the same NumPy arrays for float64 where another function in float32 reads them.
        again = jax.make_jaxpr(functools.partial(_evaluate, staged.jaxpr, result))(self.constants, *self._example)
        self.pure: Callable[..., Any] = functools.partial(_evaluate_whole, again, result)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Equal for functions that differ in their data only: a digest of the program."""
        return self._digest(self.pure)

    @functools.cached_property
    def slope(self) -> Callable[..., Any]:
        """Of a real function of one array: its value and gradient, differentiated once for all programs that take it."""
        made = jax.make_jaxpr(jax.value_and_grad(self.pure, argnums=1))(self.constants, *self._example)
        return functools.partial(_evaluate_whole, made, jax.tree.structure((0.0, 0.0)))

    @functools.cached_property
    def slope_fingerprint(self) -> str:
        """The same of a real function of one array, by its value and gradient: the latter may follow rules of its own."""
        return self._digest(self.slope)

    def _digest(self, function: Callable[..., Any]) -> str:
        # With the data that it does not use: which of its arguments it uses is part of what it is.
        traced = jax.jit(function, keep_unused=True).trace(self.constants, *self._example)
        return digest(traced, traced.lower())


def _evaluate(program: Any, result: Any, constants: Any, *args: Any) -> Any:
    # All dtypes are settled in the program; here float64 is but allowed.
    with jax.enable_x64(True):
        return jax.tree.unflatten(result, jax.core.eval_jaxpr(program, constants, *jax.tree.leaves(args)))


def _evaluate_whole(program: Any, result: Any, *args: Any) -> Any:
    return _evaluate(program.jaxpr, result, program.consts, *args)
