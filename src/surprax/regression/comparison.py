"""Whether two generalised linear models can be compared by their likelihoods."""

from typing import TYPE_CHECKING, Any

import numpy as np

from surprax.regression.responses import NegativeBinomialResponse, PoissonResponse
from surprax.regression.rows import Rows

if TYPE_CHECKING:
    from surprax.regression.estimate import LinearEstimate

__all__ = ["refuse_strangers"]

MOST = 5_000_000
"""Numbers in both designs up to which it is looked at whether one spans the other."""


def refuse_strangers(one: "LinearEstimate", other: "LinearEstimate") -> None:
    """An error for models of other responses, or of which neither is a special case of the other."""
    a, b = one.problem, other.problem
    large, small = (a, b) if one.free >= other.free else (b, a)
    if str(a.link) != str(b.link):
        raise ValueError(
            f"Models with different links, {a.link} and {b.link}, are no special cases of each other: compare by aic."
        )
    poisson = isinstance(small.response, PoissonResponse) and isinstance(large.response, NegativeBinomialResponse)
    if a.response != b.response and not poisson:
        raise ValueError(
            f"A {a.response.name} and a {b.response.name} model are no special cases of each other: compare by aic."
        )
    x, y = a.original, b.original
    if not (isinstance(x, Rows) and isinstance(y, Rows)):
        return
    for what in ("y", "weights", "precision", "offset"):
        if not _same(getattr(x, what), getattr(y, what)):
            raise ValueError(
                f"Both models must be of the same data: their {'responses' if what == 'y' else what} differ."
            )
    big, little = large.original.design, small.original.design
    if set(little.names) <= set(big.names) or big.n * (big.p + little.p) > MOST:
        return
    X, Z = big.matrix(), little.matrix()
    left = Z - X @ np.linalg.lstsq(X, Z, rcond=None)[0]
    if np.linalg.norm(left) > 1e-6 * np.linalg.norm(Z):
        odd = [name for name in little.names if name not in big.names]
        raise ValueError(
            f"One model must be a special case of the other: the larger one has no {', '.join(odd[:4])}. Compare by aic."
        )


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other or not np.any(one if other is None else other)
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=1e-12, atol=0.0))
