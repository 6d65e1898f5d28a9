"""Programs that are compiled while others go on: XLA leaves the interpreter alone meanwhile."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax

from surprax.numerics.compilation import digest, kept

__all__ = ["Aside", "apart", "begun"]


class Aside:
    """A program that is compiled in a thread, from when it is made: called, it waits for that.

    >>> import numpy as np
    >>> twice = Aside(lambda x: 2.0 * x, np.zeros(2, np.float32))
    >>> twice(np.ones(2, np.float32)).tolist()
    [2.0, 2.0]
    """

    def __init__(self, function: Callable[..., Any], *example: Any, options: Mapping[str, Any] | None = None) -> None:
        """`example`: arrays, or shapes and dtypes, such as it will be called with; `options`: of the compiler."""
        self._compiled = begun(jax.jit(function, compiler_options=None if options is None else dict(options)), *example)

    @classmethod
    def shared(cls, function: Callable[..., Any], *example: Any, options: Mapping[str, Any]) -> "Aside":
        """One for all functions that compute the same of their arguments, in which their data are: compiled once for all calls.

        >>> import numpy as np
        >>> one, same = (Aside.shared(lambda x: 2.0 * x, np.zeros(2), options={}) for _ in range(2))
        >>> one._compiled is same._compiled
        True
        """
        # With the arguments that it does not use: which of them it uses is part of what it is.
        traced = jax.jit(function, compiler_options=dict(options), keep_unused=True).trace(*example)
        lowered = traced.lower()
        key = ("aside", digest(traced, lowered), *sorted(options.items()), str(jax.config.jax_default_device))
        made = cls.__new__(cls)
        made._compiled = kept(key, lambda: _in_a_thread(lowered.compile))
        return made

    def __call__(self, *args: Any) -> Any:
        return self._compiled.result()(*args)


def begun(program: Any, *example: Any) -> "Future[Any]":
    """Begin to compile what `jax.jit` made, for arguments of such shapes and dtypes; called after that, it is found compiled.

    >>> import jax.numpy as jnp
    >>> sine = jax.jit(jnp.sin)
    >>> waiting = begun(sine, jax.ShapeDtypeStruct((2,), jnp.float32))
    >>> waiting.result() and sine(jnp.zeros(2, jnp.float32)).tolist()
    [0.0, 0.0]
    """
    return _in_a_thread(program.lower(*example).compile)


def _in_a_thread(work: Callable[[], Any]) -> "Future[Any]":
    thread = ThreadPoolExecutor(1)
    waiting = thread.submit(work)
    thread.shutdown(wait=False)
    return waiting


def apart(function: Callable[..., Any], *example: Any) -> tuple[Callable[..., Any], list[Any]]:
    """A function of its data and of its arguments, and these data: what it closes over, which XLA would take for constants, and
    compute with while it compiles.

    >>> import jax.numpy as jnp
    >>> data = jnp.arange(3.0)
    >>> pure, found = apart(lambda x: jnp.sum(data * x), jnp.ones(3))
    >>> len(found), float(pure(found, jnp.ones(3)))
    (1, 3.0)
    """
    staged, shape = jax.make_jaxpr(function, return_shape=True)(*example)
    program, result = staged.jaxpr, jax.tree.structure(shape)

    def pure(data: Any, *args: Any) -> Any:
        return jax.tree.unflatten(result, jax.core.eval_jaxpr(program, data, *jax.tree.leaves(args)))

    return pure, list(staged.consts)
