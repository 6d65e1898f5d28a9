"""What was seen of a number that was censored, or only seen within limits: an event, and the window that it was seen through.

    exact       −log f(y)
    below       −log F(b)
    above       −log S(a)
    between     −log(F(b) − F(a))

A row's surprise is that of its event, less that of its window: −log P(event and window) + log P(window).
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from surprax.families.confined import log_probability_between

__all__ = ["Events", "censoring_codes", "log_probability"]

KINDS = ("exact", "below", "above", "between")
WORDS = {"left": -1, "none": 0, "": 0, "right": 1, "interval": 2}


def log_probability(law: Any, kind: str, a: Any, b: Any) -> Any:
    """log f(a), log F(b), log S(a) or log(F(b) − F(a)), by kind, of a batch of laws."""
    if kind == "exact":
        return law.log_prob(a)
    if kind == "below":
        return law.log_cdf(b)
    return law.log_sf(a) if kind == "above" else log_probability_between(law, a, b)


def censoring_codes(given: Any, n: int) -> np.ndarray:
    """−1 for left-censored rows, 0 for seen ones, 1 for right-censored ones, 2 for intervals.

    >>> censoring_codes(["none", "right", "left"], 3), censoring_codes([True, False], 2)
    (array([ 0,  1, -1]), array([1, 0]))
    """
    values = np.asarray(given)
    if values.shape != (n,):
        raise ValueError(f"censoring says of each of {n} rows how it was censored; got shape {values.shape}.")
    words = "−1 or 'left', 0 or 'none', 1 or 'right' (or booleans, True for right)"
    out = np.zeros(n, int)
    if values.dtype.kind in "OUST":
        for i, value in enumerate(values):
            known = WORDS.get(value) if isinstance(value, str) else None
            if known is None and value in (-1, 0, 1, 2):
                known = int(value)
            if known is None:
                raise ValueError(f"censoring is {words}; got {value!r} in row {i}.")
            out[i] = known
        return out
    bad = ~np.isin(values, (-1, 0, 1, 2))
    if np.any(bad):
        i = int(np.argmax(bad))
        raise ValueError(f"censoring is {words}; got {values[i]} in row {i}.")
    return values.astype(int)


@dataclass(frozen=True, eq=False)
class Events:
    """Events and windows of rows: kinds as places in `KINDS`, and their ends.

    Attributes:
        kind, a, b: of the events, shapes (n,); `a` is the response of an exact one.
        window, low, high: of the windows; "exact" stands for no window.
    """

    kind: np.ndarray
    a: np.ndarray
    b: np.ndarray
    window: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, y: np.ndarray, status: Any, upper: Any, limits: Any, support: Any, label: str = "y") -> "Events":
        """Events from columns.

        Args:
            y: responses, or where they were censored, shape (n,).
            status: −1, 0, 1 or 2 by row (left, none, right, interval); None for none.
            upper: right ends of intervals, which lie in (y, upper]; NaN or None where there is none.
            limits: (low, high): only responses with low < y ≤ high were seen; numbers, arrays, or None for no end.
            support: of the law, with `lower`, `upper` and `discrete`.
            label: what y is called.
        """
        n = len(y)
        status = np.zeros(n, int) if status is None else np.array(status)
        low, high = limits if limits is not None else (None, None)
        low = np.broadcast_to(np.asarray(-np.inf if low is None else low, np.float64), (n,))
        high = np.broadcast_to(np.asarray(np.inf if high is None else high, np.float64), (n,))
        end = np.full(n, np.nan) if upper is None else np.broadcast_to(np.asarray(upper, np.float64), (n,))
        _refuse(
            np.isnan(low) | np.isnan(high) | (low >= high),
            "the lower limit of truncation must lie below the upper one",
            low,
        )
        interval = (status == 2) | (np.isfinite(end) & (status == 0) & (end != y))
        _refuse(interval & ~(end > y), f"upper must lie above {label} where that was censored to an interval", end)
        outside = (y < low) | (y > high) | (support.discrete & (y == low) & (status == 0))
        _refuse(outside, f"{label} must lie within the limits of truncation", y)
        a, b = np.array(y, np.float64), np.where(interval, end, y)
        a = np.where(status == -1, low, a)
        b = np.where(status == 1, high, b)
        b = np.minimum(b, high)
        exact = (status == 0) & ~interval
        least = float(support.lower) - (1.0 if support.discrete else 0.0)
        event = _kinds(a, b, least, float(support.upper))
        _refuse(~exact & (event == 0), f"{label} must be censored to a part of what is possible, not to all of it", y)
        window = _kinds(low, high, least, float(support.upper))
        return cls(np.where(exact, 0, event), a, b, window, np.array(low), np.array(high))

    def refuse_one_sided(self, label: str) -> None:
        """An error where all that is known of any response is that it is above something, or that it is at most something."""
        for kind, words in (("below", "at most"), ("above", "above")):
            if np.all(self.kind == KINDS.index(kind)) and not np.any(self.window):
                raise ValueError(
                    f"Some rows must not be censored on the same side: all {len(self.kind):,} say no more than that {label} is"
                    f" {words} so much, and the likelihood rises for ever as responses move that way."
                )

    def log_prob(self, law: Any) -> Any:
        """Log-probabilities of what was seen under one law, shape (n,), traceable.

        >>> import surprax as sx
        >>> seen = Events.of(np.array([1.0, 2.0]), np.array([0, 1]), None, None, sx.Exponential(1.0).support)
        >>> print(seen.log_prob(sx.Exponential(0.5)))  # log ½ − ½, and −1
        [-1.1931472 -1.       ]
        """
        out = jnp.zeros(len(self.kind))
        for sign, kinds, low, high in ((1.0, self.kind, self.a, self.b), (-1.0, self.window, self.low, self.high)):
            for k, kind in enumerate(KINDS):
                picked = np.flatnonzero(kinds == k)
                if len(picked) and (sign > 0 or k > 0):
                    ends = jnp.asarray(low[picked]), jnp.asarray(high[picked])
                    out = out.at[picked].add(sign * log_probability(law, kind, *ends))
        return out


def _kinds(a: np.ndarray, b: np.ndarray, least: float, most: float) -> np.ndarray:
    """Places in `KINDS` of intervals (a, b]; 0 for those that hold all that is possible."""
    no_low, no_high = a <= least, b >= most
    return np.where(no_low & no_high, 0, np.where(no_low, 1, np.where(no_high, 2, 3)))


def _refuse(bad: np.ndarray, words: str, values: np.ndarray) -> None:
    if np.any(bad):
        i = int(np.argmax(bad))
        raise ValueError(
            f"In every row {words}: found {values[i]:g} in row {i}, and {int(np.sum(bad)):,} such rows in all."
        )
