"""Compiled programs that outlive a call: functions without their data, and a store of what was compiled from them.

A NumPyro model is a closure over its data, so each call makes a new function, which JAX would compile anew, with the data as
constants inside. Here the data are taken out and become arguments; two models that are the same but for their data (or the
same model, twice) then share one program.
"""

import functools
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

__all__ = ["Hoisted", "kept"]

_KEPT = 64
"""How many programs are kept; the one that was unused for longest goes first."""

_programs: OrderedDict[Hashable, Any] = OrderedDict()


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
        digest = hashlib.sha256(f"{jax.default_backend()} {traced.lower().as_text()}".encode())
        # Data of compiled functions inside, of which the text need not tell (`jax_use_simplified_jaxpr_constants`).
        for data in _data_inside(traced.jaxpr):
            digest.update(np.asarray(data).tobytes())
        return digest.hexdigest()


def _data_inside(part: Any) -> Iterator[Any]:
    """Arrays in a program that are neither arguments nor single numbers."""
    if isinstance(part, ClosedJaxpr | Jaxpr):
        yield from getattr(part, "consts", ())
        for equation in part.eqns:
            yield from (v.val for v in equation.invars if isinstance(v, Literal) and np.ndim(v.val))
            yield from _data_inside(list(equation.params.values()))
    elif isinstance(part, list | tuple):
        for one in part:
            yield from _data_inside(one)


def _evaluate(program: Any, result: Any, constants: Any, *args: Any) -> Any:
    # All dtypes are settled in the program; here float64 is but allowed.
    with jax.enable_x64(True):
        return jax.tree.unflatten(result, jax.core.eval_jaxpr(program, constants, *jax.tree.leaves(args)))


def _evaluate_whole(program: Any, result: Any, *args: Any) -> Any:
    return _evaluate(program.jaxpr, result, program.consts, *args)


def kept[P](key: Hashable, build: Callable[[], P]) -> P:
    """The program of that key; built if there is none yet. It must not hold data, which it would keep alive."""
    if key in _programs:
        _programs.move_to_end(key)
    else:
        _programs[key] = build()
        while len(_programs) > _KEPT:
            _programs.popitem(last=False)
    return _programs[key]
