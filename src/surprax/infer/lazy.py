"""Arrays over draws that are computed when they are read, and only for the draws that are read."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

__all__ = ["lazy_variable"]

_REMEMBERED = 2**28
"""Bytes up to which an array that has been read in full is remembered."""


class _OverDraws(BackendArray):
    """An array (chains, draws, …) of which `of(indices)` gives those of some draws, counted through all chains."""

    def __init__(self, of: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...], dtype: Any) -> None:
        self.of = of
        self.shape = shape
        self.dtype = np.dtype(dtype)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        # With at most one array among the indices NumPy's indexing is what xarray means.
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER_1VECTOR, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        chains, draws = np.arange(self.shape[0])[key[0]], np.arange(self.shape[1])[key[1]]
        chosen = np.add.outer(chains * self.shape[1], draws)
        if not chosen.size:
            rows = np.empty(self.shape[2:])[key[2:]].shape
            return np.empty((*chosen.shape, *rows), self.dtype)
        values = self.of(chosen.reshape(-1))[(slice(None), *key[2:])]
        return values.reshape((*chosen.shape, *values.shape[1:]))


def lazy_variable(
    dims: tuple[str, ...], of: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...], dtype: Any
) -> xr.Variable:
    """A variable of xarray over chains and draws, whose values are computed when they are read.

    Args:
        dims: names of all axes, "chain" and "draw" first.
        of: values of some draws (n, …), by their indices through all chains.
        shape, dtype: of the whole.
    """
    lazy: Any = indexing.LazilyIndexedArray(_OverDraws(of, shape, dtype))
    if np.prod(shape, dtype=float) * np.dtype(dtype).itemsize <= _REMEMBERED:
        lazy = indexing.MemoryCachedArray(lazy)
    return xr.Variable(dims, lazy)
