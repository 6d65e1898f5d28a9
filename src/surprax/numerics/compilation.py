"""Compilation ahead of time."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

__all__ = ["SOON_RUN", "compiled"]

SOON_RUN = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""Options for programs that run a few times: compiled in less time, at the cost of their speed."""


def compiled(*lowered: Any, options: Mapping[str, Any] | None = None) -> list[Any]:
    """Lowered programs compiled, side by side: XLA leaves the interpreter alone meanwhile.

    >>> import jax
    >>> twice, thrice = (jax.jit(lambda x, n=n: n * x).lower(1.0) for n in (2, 3))
    >>> [float(program(1.0)) for program in compiled(twice, thrice)]
    [2.0, 3.0]
    """
    with ThreadPoolExecutor(len(lowered)) as threads:
        return list(threads.map(lambda one: one.compile(compiler_options=options), lowered))
