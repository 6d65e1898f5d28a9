"""Compilation ahead of time, and a store of what was compiled."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

__all__ = ["SOON_RUN", "compiled", "digest", "kept"]

SOON_RUN = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""Options for programs that run a few times: compiled in less time, at the cost of their speed."""

_KEPT = 64
"""How many programs are kept; the one that was unused for longest goes first."""

_programs: OrderedDict[Hashable, Any] = OrderedDict()


def compiled(*lowered: Any, options: Mapping[str, Any] | None = None) -> list[Any]:
    """Lowered programs compiled, side by side: XLA leaves the interpreter alone meanwhile.

    >>> import jax
    >>> twice, thrice = (jax.jit(lambda x, n=n: n * x).lower(1.0) for n in (2, 3))
    >>> [float(program(1.0)) for program in compiled(twice, thrice)]
    [2.0, 3.0]
    """
    with ThreadPoolExecutor(len(lowered)) as threads:
        return list(threads.map(lambda one: one.compile(compiler_options=options), lowered))


def digest(traced: Any, lowered: Any) -> str:
    """Equal for programs that compute the same of the same arguments; of `jax.jit(…).trace(…)`, lowered.

    >>> one, same, other = (jax.jit(lambda x, n=n: n * x).trace(1.0) for n in (2, 2, 3))
    >>> digest(one, one.lower()) == digest(same, same.lower()) != digest(other, other.lower())
    True
    """
    found = hashlib.sha256(f"{jax.default_backend()} {lowered.as_text()}".encode())
    # Data of compiled functions inside, of which the text need not tell (`jax_use_simplified_jaxpr_constants`).
    for data in _data_inside(traced.jaxpr):
        found.update(np.asarray(data).tobytes())
    return found.hexdigest()


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


def kept[P](key: Hashable, build: Callable[[], P]) -> P:
    """The program of that key; built if there is none yet. It must not hold data, which it would keep alive."""
    if key in _programs:
        _programs.move_to_end(key)
    else:
        _programs[key] = build()
        while len(_programs) > _KEPT:
            _programs.popitem(last=False)
    return _programs[key]
