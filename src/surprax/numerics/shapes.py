"""Few shapes for data of many sizes: what is compiled for one size serves its neighbours."""

import numpy as np

__all__ = ["one_of_few", "padded"]


def one_of_few(size: int) -> int:
    """The least of 64, 256, 1024, … that is not below `size`.

    >>> [one_of_few(n) for n in (0, 64, 65, 5000)]
    [64, 64, 256, 16384]
    """
    return max(64, 4 ** -(-(max(size, 1) - 1).bit_length() // 2))


def padded(x: np.ndarray, size: int, value: float) -> np.ndarray:
    """`x` with `value` appended on the last axis up to `size`.

    >>> padded(np.array([1.0, 2.0]), 4, 0.0)
    array([1., 2., 0., 0.])
    """
    missing = size - x.shape[-1]
    return np.concatenate([x, np.full((*x.shape[:-1], missing), value, x.dtype)], axis=-1) if missing else x
