"""Evidence for discrete families without a finite statistic: how often each value occurred."""

from dataclasses import dataclass, field, replace
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from surprax.evidence.base import Evidence
from surprax.numerics.precision import is_traced, to_float64
from surprax.numerics.shapes import one_of_few, padded

__all__ = ["Tally", "count_values", "few_values"]

_MANY = 1 << 18
"""So many counts take longer to sum, when padded, than a program of their own takes to compile."""
_DENSE = 1 << 22
"""Ranges of integers up to this width are counted by `bincount` (one pass); wider ones by sorting."""
_BITS = 15
"""A table of so many bits stays in the cache."""
_RUN = 3 << 15
"""Rows that are counted at a time."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Tally(Evidence, kind="tally"):
    """Evidence as the distinct values and how often each occurred: lossless for any family of discrete distributions.

    Attributes:
        values: distinct values, ascending, shape (V,).
        counts: how often each occurred (sum of weights), shape batch + (V,).
        known: parameters taken as known, by name.
        labels: names of the groups along the leading axis, or None.
    """

    values: Any
    counts: Any
    known: dict[str, Any] = field(default_factory=dict)
    family: Any = field(default=None, metadata={"static": True})
    labels: tuple[Any, ...] | None = field(default=None, metadata={"static": True})

    @property
    def count(self) -> Any:
        """Number of observations (the sum of their weights), shape batch."""
        return self.counts.sum(axis=-1)

    def _arrays(self) -> dict[str, Any]:
        return {"values": self.values, "counts": self.counts}

    def _replace(self, **changes: Any) -> Self:
        return replace(self, **changes)

    def _merge(self, other: Self) -> Self:
        values, (a, b) = _on_common_values(self, other)
        labels = self.labels if self.labels is not None else other.labels
        return replace(self, values=values, counts=a + b, labels=labels)

    def _remove(self, other: Self) -> Self:
        values, (a, b) = _on_common_values(self, other)
        rest = a - b
        bad = rest < -1e-9 * np.maximum(np.abs(a), 1.0)
        if np.any(bad):
            index = tuple(np.argwhere(bad)[0])
            have, take = np.broadcast_to(a, bad.shape)[index], np.broadcast_to(b, bad.shape)[index]
            raise ValueError(
                f"What is left after a subtraction must be evidence of some observations: the value {values[index[-1]]:g} occurred"
                f" {have:g} times and cannot be taken away {take:g} times. Subtract only what was added before."
            )
        return replace(self, values=values, counts=np.maximum(rest, 0.0))

    def total(self) -> Self:
        """The sum over the leading axis (over groups, or folds)."""
        return replace(self, counts=self.counts.sum(axis=0), labels=None)

    def __getitem__(self, index: Any) -> Self:
        labels = self.labels
        if labels is not None:
            picked = np.asarray(range(len(labels)))[index]
            labels = tuple(labels[i] for i in picked) if np.ndim(picked) else None
        return replace(self, counts=self.counts[index], labels=labels)

    def __mul__(self, factor: Any) -> Self:
        factor = np.asarray(to_float64(factor))
        if np.any(~(factor >= 0)):
            raise ValueError(
                f"Evidence is scaled by a number that is at least 0; got {factor.min()}. To take evidence away, subtract it."
            )
        return replace(self, counts=self.counts * (factor[..., None] if factor.ndim else factor))

    __rmul__ = __mul__

    def log_likelihood(self, distribution: Any) -> Any:
        """Total log-likelihood of `distribution` in nats: Σ count(v) · log q(v) over the distinct values v."""
        rank = len(distribution.batch_shape)
        values, counts = (self.values, self.counts) if is_traced(self) else few_values(self.values, self.counts)
        log_prob = distribution.log_prob(values.reshape((-1,) + (1,) * rank) if rank else values)
        counts = jnp.moveaxis(jnp.asarray(counts), -1, 0)
        seen = counts > 0
        ranks = max(log_prob.ndim, counts.ndim)
        log_prob, counts, seen = (
            v.reshape(v.shape[:1] + (1,) * (ranks - v.ndim) + v.shape[1:]) for v in (log_prob, counts, seen)
        )
        return jnp.sum(jnp.where(seen, counts * jnp.where(seen, log_prob, 0.0), 0.0), axis=0)

    def excess_surprise(self, distribution: Any) -> Any:
        """Surprise beyond that of the fit, log L(fit) − log L(q) ≥ 0, in nats; raises `ValueError` where there is no fit."""
        return self.log_likelihood(self.fit()) - self.log_likelihood(distribution)

    @classmethod
    def _from_document(cls, family: Any, known: dict[str, Any], labels: Any, arrays: dict[str, Any]) -> Self:
        return cls(**arrays, known=known, family=family, labels=labels)

    def __repr__(self) -> str:
        if is_traced(self.counts):
            return f"Evidence({self.family.__name__}, traced)"
        groups = f"{len(self.counts)} groups, " if np.ndim(self.counts) > 1 else ""
        return f"Evidence({self.family.__name__}, {groups}count={np.sum(self.counts):g}, {len(self.values)} distinct values)"


def few_values(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct values padded by one that never occurs, to one of a few sizes that share code; unless they are very many."""
    if counts.size > _MANY:
        return values, counts
    size = one_of_few(len(values))
    return padded(values, size, values[-1] if len(values) else 0.0), padded(counts, size, 0.0)


def count_values(
    x: np.ndarray, weights: np.ndarray | None, codes: np.ndarray | None, groups: int
) -> tuple[np.ndarray, np.ndarray]:
    """Distinct values (V,) and how often each occurred: (V,), or (groups, V) with group numbers `codes`; in float64."""
    if x.size == 0:
        return np.zeros(0), np.zeros((groups, 0) if codes is not None else 0)
    if weights is None and codes is None and x.ndim == 1 and len(x) > _RUN and (found := _count_packs(x)) is not None:
        return found
    low, high = int(x.min()), int(x.max())
    low = 0 if 0 <= low <= 64 else low  # counting a few values that do not occur is cheaper than moving all rows
    width = high - low + 1
    if width <= _DENSE // max(groups, 1):
        offset = x.astype(np.int64, copy=False)
        offset = offset - low if low else offset
        if codes is not None:
            offset = offset + codes * width
        counts: np.ndarray = np.bincount(offset, weights, minlength=width * max(groups, 1)).astype(np.float64)
        counts = counts.reshape(-1, width)
        kept = np.flatnonzero(counts.any(axis=0))
        values, counts = kept.astype(np.float64) + low, counts[:, kept]
    else:
        values, inverse = np.unique(x, return_inverse=True)
        inverse = inverse if codes is None else inverse + codes * len(values)
        counts = (
            np.bincount(inverse, weights, minlength=len(values) * max(groups, 1))
            .astype(np.float64)
            .reshape(-1, len(values))
        )
        values = values.astype(np.float64)
    return values, counts if codes is not None else counts[0]


def _count_packs(x: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Distinct values and counts of integers from 0 to 2¹⁵ − 1, else None: as many of them as fit into 15 bits are counted at once.

    To count takes longer than to make a number of two or three, and their table still stays in the cache.
    """
    if x.dtype.kind not in "iu":
        return None
    counts, table, bits = np.zeros(1 << _BITS, np.int64), np.zeros(0, np.int64), 0
    index = np.empty(_RUN, np.intp)
    for start in range(0, len(x), _RUN):
        run = x[start : start + _RUN]
        together = int(np.bitwise_or.reduce(run))  # negative if any is, and as long as the longest
        if together < 0 or together >> _BITS:
            return None
        if not bits or together >> bits:
            _add_margins(counts, table, bits)
            bits = max(together.bit_length(), 4)
            table = np.zeros(1 << _BITS // bits * bits, np.int64)
        size, rest = divmod(len(run), _BITS // bits)
        keys = run[:size].astype(x.dtype if x.dtype.itemsize >= 4 else np.int32)
        for i in range(1, _BITS // bits):
            keys <<= bits
            keys |= run[i * size : (i + 1) * size]
        index[:size] = keys
        np.add.at(table, index[:size], 1)
        np.add.at(counts, run[len(run) - rest :].astype(np.intp), 1)
    _add_margins(counts, table, bits)
    values = np.flatnonzero(counts[: 1 << bits])
    return values.astype(np.float64), counts[values].astype(np.float64)


def _add_margins(counts: np.ndarray, table: np.ndarray, bits: int) -> None:
    """Add how often each value occurs in a table of several, of so many bits each."""
    while bits and len(table) > 1:
        table = table.reshape(-1, 1 << bits)
        counts[: 1 << bits] += table.sum(axis=0)
        table = table.sum(axis=1)


def _on_common_values(a: Tally, b: Tally) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    values = np.union1d(a.values, b.values)

    def spread(t: Tally) -> np.ndarray:
        counts = np.zeros((*t.counts.shape[:-1], len(values)))
        counts[..., np.searchsorted(values, t.values)] = t.counts
        return counts

    x, y = spread(a), spread(b)
    rank = max(x.ndim, y.ndim)
    return values, (x.reshape((1,) * (rank - x.ndim) + x.shape), y.reshape((1,) * (rank - y.ndim) + y.shape))
