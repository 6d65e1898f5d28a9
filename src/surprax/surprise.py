"""Surprise: s(p) = log 1/p, the one scale on which independent events add.

Four axioms fix it up to the unit: it is continuous in p, 0 for what is certain, +inf for what is impossible, and additive over
independent events, s(p·q) = s(p) + s(q) (Shannon 1948, appendix 2).
"""

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from surprax.numerics.precision import is_traced
from surprax.units import Unit, from_nats, to_nats

__all__ = ["probability", "surprise"]


def surprise(p: ArrayLike | None = None, unit: Unit = "nat", *, log_prob: ArrayLike | None = None) -> Array:
    """Surprise of an event: s = log(1/p), 0 when it is certain and +inf when it is impossible.

    Args:
        p: probability, in [0, 1]; any shape.
        unit: of the result: "nat", "bit", "ban" or "deciban".
        log_prob: log p in nats, given instead of `p`. A log-*density* may be given too: its surprise can be negative, and a
            probability too small for the floating-point format keeps its surprise.

    Returns:
        An array of the shape of the argument. A value outside the domain raises `ValueError` with the value and its index when it
        is known, and is NaN when it is traced.

    >>> surprise(1 / 6, unit="bit").round(3).item()  # one throw of a die
    2.585
    >>> float(surprise(0.5 * 0.25, "bit")) == float(surprise(0.5, "bit") + surprise(0.25, "bit"))
    True
    >>> float(surprise(0.0)), float(surprise(1.0))
    (inf, 0.0)
    >>> surprise(log_prob=-1000 * jnp.log(2), unit="bit").round(1).item()  # a probability that underflows
    1000.0
    """
    if p is not None and log_prob is not None:
        raise ValueError("Surprise needs either a probability `p` or a `log_prob`; got both.")
    if log_prob is not None:
        return from_nats(0.0 - _floating(log_prob), unit)
    if p is None:
        raise ValueError("Surprise needs either a probability `p` or a `log_prob`; got neither.")
    if not is_traced(p):
        _require(p, lambda v: (v >= 0) & (v <= 1), "A probability lies between 0 and 1")
    p = _floating(p)
    s = 0.0 - jnp.log(jnp.where((p >= 0) & (p <= 1), p, jnp.nan))
    return from_nats(s, unit)


def probability(s: ArrayLike, unit: Unit = "nat") -> Array:
    """Probability of an event of surprise `s`: p = exp(-s), the inverse of `surprise`.

    Args:
        s: surprise in `unit`, in [0, inf]; any shape.
        unit: "nat", "bit", "ban" or "deciban".

    Returns:
        An array of the shape of `s`, in [0, 1]. Negative surprise raises `ValueError` when it is known and is NaN when traced.

    >>> float(probability(3.0, "bit"))
    0.125
    >>> probability(surprise(0.3, "ban"), "ban").round(6).item()
    0.3
    """
    if not is_traced(s):
        _require(s, lambda v: v >= 0, "The surprise of an event is at least 0")
    s = to_nats(_floating(s), unit)
    return jnp.exp(-jnp.where(s >= 0, s, jnp.nan))


def _floating(x: ArrayLike) -> Array:
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.result_type(float))


def _require(x: ArrayLike, condition, requirement: str) -> None:
    """NaN passes through: it is a missing probability, not a wrong one."""
    values = np.asarray(x)
    bad = ~(condition(values) | np.isnan(values)) if values.dtype.kind == "f" else ~condition(values)
    if np.any(bad):
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        where = f" at index {index if len(index) > 1 else index[0]}" if index else ""
        raise ValueError(
            f"{requirement}; got {values[index]:g}{where}. Logarithms of probabilities go in as log_prob=."
        )
