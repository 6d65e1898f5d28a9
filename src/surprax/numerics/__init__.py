"""Primitives that keep their digits, with stated domains: one module for each kind, `elementary`, `gamma`, `normal`, `linalg` …

What is of use beyond this library has its name here as well:

    log_matmul   log Σₖ exp(aᵢₖ + bₖⱼ): products of matrices of log-probabilities
    max_plus     maxₖ (aᵢₖ + bₖⱼ): the same with maxima for sums, for likeliest paths

>>> import numpy as np
>>> from surprax.numerics import log_matmul, max_plus
>>> stays = np.log([[0.9, 0.1], [0.2, 0.8]])  # of a chain of two states, from rows to columns
>>> print(np.exp(log_matmul(stays, stays)).round(2))  # in two steps, by any path
[[0.83 0.17]
 [0.34 0.66]]
>>> print(np.exp(max_plus(stays, stays)).round(2))  # by the likeliest one
[[0.81 0.09]
 [0.18 0.64]]
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
