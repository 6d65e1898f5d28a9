"""Functions of many draws, a block of draws at a time, so that memory stays bounded."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

__all__ = ["block_size", "in_blocks"]

_ELEMENTS = 2**22
"""How many numbers a block may have in each array that it makes."""


def block_size(draws: int, elements_per_draw: int) -> int:
    """How many draws go through at once: a power of two, so that few programs are compiled, whatever is asked for."""
    most = max(1, _ELEMENTS // max(1, elements_per_draw))
    return min(1 << (most.bit_length() - 1), 1 << max(0, draws - 1).bit_length())


def in_blocks(function: Callable[..., Any], draws: Any, elements_per_draw: int | None = None) -> Any:
    """`function` of draws (arrays with a leading axis of the same length), by blocks; results are NumPy arrays.

    A last block that is not full is filled by repeating its last draw, so that all blocks run the same program.
    """
    count = len(jax.tree.leaves(draws)[0])
    if elements_per_draw is None:
        elements_per_draw = max(int(np.size(leaf)) // max(1, count) for leaf in jax.tree.leaves(draws))
    size = block_size(count, elements_per_draw)
    results: Any = None
    for start in range(0, count, size):
        chosen = jax.tree.map(functools.partial(_rows, start=start, size=size), draws)
        block = jax.tree.map(np.asarray, function(chosen))
        if results is None:
            results = jax.tree.map(lambda part: np.empty((count, *part.shape[1:]), part.dtype), block)
        stop = min(start + size, count)
        for whole, part in zip(jax.tree.leaves(results), jax.tree.leaves(block)):
            whole[start:stop] = part[: stop - start]
    return results


def _rows(leaf: np.ndarray, start: int, size: int) -> np.ndarray:
    return leaf[np.minimum(np.arange(start, start + size), len(leaf) - 1)]
