"""Rows of whole numbers that repeat: what is asked of each is computed once for each value.

A row is told by its number in a list of values. Of Poisson counts, of rows of a multinomial, there are a few thousand values at
most where there are millions of rows; log-factorials of all of these would take longer than everything else together.
"""

from typing import Any, NamedTuple

import numpy as np

from surprax.evidence.grouped import Codes, GroupSums, as_index, beside, columns, in_pairs, runs, sums_by_group
from surprax.evidence.layout import Layout

__all__ = ["Repeats", "reduce_values_by_group", "repeats"]

MOST = 1 << 16
"""So many values are looked up in the cache, and so wide a range of single numbers is not searched for those that occur."""

MOST_KEYS = 1 << 22
"""Vectors that could take so many values are told apart by a table of all that they could."""

RUN = 1 << 15
"""Rows at a time."""

DIGITS = 53
"""Binary digits of whole numbers that float64 adds exactly."""


class Repeats(NamedTuple):
    """Row i is values[numbers[i] − low]; not every value need occur.

    Attributes:
        values: shape (V,) or (V, length), float64.
        numbers: shape (rows,), whole numbers.
    """

    values: np.ndarray
    numbers: np.ndarray
    low: int

    def of(self, run: slice) -> np.ndarray:
        """Numbers of the values of a run of rows, as NumPy takes them for an index."""
        return as_index(self.numbers[run], self.low)

    def counts(self) -> np.ndarray:
        """How often each value occurs, shape (V,), float64."""
        total = np.zeros(len(self.values))
        for run in runs(len(self.numbers), max(RUN, len(total))):
            total += np.bincount(self.of(run), minlength=len(total))
        return total


def repeats(x: np.ndarray) -> Repeats | None:
    """Integers, shape (rows,) or (rows, length), by their values; None where these are many.

    >>> repeats(np.array([[2, 0], [1, 1], [2, 0]])).values
    array([[1., 1.],
           [2., 0.]])
    """
    if not x.size:
        return None
    low, high = int(x.min()), int(x.max())
    width = high - low + 1
    if x.ndim == 1:
        return Repeats(low + np.arange(width, dtype=np.float64), x, low) if width <= MOST and high < 2**53 else None
    length = x.shape[1]
    if x.ndim != 2 or width**length > MOST_KEYS or max(-low, high) >= 2**53:
        return None
    powers = np.float64(width) ** np.arange(length)[::-1]
    keys = np.empty(len(x), np.int32)
    seen = np.zeros(width**length, bool)
    for run in runs(len(x), RUN):
        key = ((x[run].astype(np.float64) - low) @ powers).astype(np.intp)
        keys[run] = key
        seen[key] = True
    occur = np.flatnonzero(seen)
    if len(occur) > min(MOST, max(len(x) // 4, 64)):
        return None
    numbers = np.zeros(len(seen), np.int32)
    numbers[occur] = np.arange(len(occur))
    values = low + occur[:, None] // powers.astype(np.intp) % width
    return Repeats(values.astype(np.float64), numbers.take(keys), 0)


def reduce_values_by_group(
    layout: Layout, rows: Repeats, carried: Any, log_base: Any, codes: Codes
) -> GroupSums | None:
    """Count, mean and Σ log h of each group of rows of which each has one of few values.

    Args:
        layout: the carrier, without gaps.
        rows: the value of each row.
        carried: the carrier at each value, shape (V,), or (V, length) where it is a vector: whole numbers.
        log_base: log h at each value, shape (V,); None where h = 1.
        codes: the group of each row.

    Sums of whole numbers below 2^53 are exact, so several of them are told apart in one: Σ(x + 2^k) over n rows is Σx + 2^k n. None
    where the carrier is not whole, or too large for that.
    """
    if not np.all(carried == np.rint(carried)):
        return None
    whole = carried.reshape(len(carried), -1).T
    low = whole.min(axis=1)
    whole = np.concatenate([np.ones((1, len(carried))), whole - low[:, None]])
    widths = [int(len(codes.numbers) * np.max(one)).bit_length() for one in whole]
    if max(widths) > DIGITS:
        return None
    packs = _packs(widths)
    terms = [np.ldexp(1.0, np.cumsum([0, *(widths[i] for i in pack[:-1])])) @ whole[pack] for pack in packs]
    tables = in_pairs(terms if log_base is None else [*terms, log_base])

    def of_run(run: slice, _: np.ndarray) -> list[np.ndarray]:
        numbers = rows.of(run)
        return [table.take(numbers) for table in tables]

    sums = sums_by_group(of_run, codes, RUN)
    found = []
    for pack, rest in zip(packs, sums):
        for i in pack:
            above = np.floor(np.ldexp(rest, -widths[i]))
            found.append(rest - np.ldexp(above, widths[i]))
            rest = above
    count = found[0]
    safe = np.where(count > 0, count, 1.0)
    mean: Any = columns([(one + least * count) / safe for one, least in zip(found[1:], low)], carried.shape[1:])
    mean = np.where(beside(count > 0, layout), mean, layout.carrier.neutral_like(mean))
    return GroupSums(count, mean, np.zeros((codes.groups, 0)), np.zeros_like(count) if log_base is None else sums[-1])


def _packs(widths: list[int]) -> list[list[int]]:
    """Numbers of so many binary digits, packed one after the other."""
    packs: list[list[int]] = [[]]
    for i, width in enumerate(widths):
        if sum(widths[j] for j in packs[-1]) + width > DIGITS:
            packs.append([])
        packs[-1].append(i)
    return packs
