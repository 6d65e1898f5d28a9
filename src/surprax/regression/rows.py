"""Rows of a regression, or what they have been compressed to: a design, responses and weights."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from surprax.numerics.precision import float64_scope
from surprax.regression.design import Design
from surprax.regression.grouping import Whole, sums_by_code, whole_numbers

__all__ = ["Rows", "Totals", "bucket", "distinct"]

SMALLEST = 256


def distinct(values: np.ndarray, most: int = 4096) -> tuple[np.ndarray, np.ndarray] | None:
    """Values that occur, and the code of each row; None where most rows differ.

    >>> distinct(np.array([2.0, 0.0, 2.0]))
    (array([0., 2.]), array([1, 0, 1]))
    """
    if (whole := whole_numbers(values, most)) is not None:
        seen = sums_by_code(whole.codes, whole.levels) > 0
        codes = whole.codes if np.all(seen) else (np.cumsum(seen) - 1).take(whole.codes)
        return whole.low + np.flatnonzero(seen), codes
    if len(np.unique(values[:: max(1, len(values) // 2000)])) > min(most, 500):
        return None
    coded = pc.dictionary_encode(pa.array(values))
    found = coded.dictionary.to_numpy()
    order = np.argsort(found)
    return (found[order], np.argsort(order)[coded.indices.to_numpy()]) if len(found) <= most else None


def bucket(n: int) -> int:
    """A length of at least n, one of few: arrays are filled up to it, so that their programs are compiled once for many n.

    >>> [bucket(n) for n in (3, 257, 300, 1000, 600_000)]
    [256, 320, 320, 1024, 655360]
    """
    if n <= SMALLEST:
        return SMALLEST
    quarter = 1 << max((n - 1).bit_length() - 3, 0)
    return -(-n // quarter) * quarter


@dataclass(frozen=True)
class Totals:
    """What log p(y | y, φ) of all rows depends on.

    Attributes:
        count: Σ of weights.
        base: the part that depends on the responses alone, in nats.
        precisions, counts: how much weight rows of each precision have, shapes (m,).
        within: half the deviance of responses from the means of the cells that they were put in.
    """

    count: float
    base: float
    precisions: np.ndarray
    counts: np.ndarray
    within: float = 0.0

    def __add__(self, other: "Totals") -> "Totals":
        precisions, place = np.unique(np.concatenate([self.precisions, other.precisions]), return_inverse=True)
        counts = np.bincount(place, np.concatenate([self.counts, other.counts]), len(precisions))
        return Totals(self.count + other.count, self.base + other.base, precisions, counts, self.within + other.within)


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a regression.

    Attributes:
        design: n rows, p columns.
        y: responses, shape (n,); means of them where rows are cells.
        weights: how often each row occurs.
        precision: by how much the dispersion of each row is smaller.
        offset: what is added to the linear predictor; None for 0.
        rest: what rounding took from the design, shape (n, p), where it is known; least squares use it.
    """

    design: Design
    y: np.ndarray
    weights: np.ndarray
    precision: np.ndarray
    offset: np.ndarray | None = None
    rest: np.ndarray | None = None

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.y)

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: all but arrays on the device."""
        return {name: part for name, part in self.__dict__.items() if name != "filled"}

    @property
    def alike(self) -> bool:
        """Whether all that a row stands for has its linear predictor."""
        return True

    @property
    def spread(self) -> np.ndarray | None:
        """Σ w p (yᵢ − y)² of the responses that a cell is of; None where rows are rows."""
        return None

    @functools.cached_property
    def whole(self) -> Whole | None:
        """Responses as codes, where they are whole numbers of a short range."""
        return whole_numbers(self.y)

    def parts(self) -> Iterator["Rows"]:
        """Themselves, in pieces that fit into memory."""
        yield self

    def reweighted(self, weights: np.ndarray) -> "Rows":
        """With other weights."""
        return replace(self, weights=weights)

    def picked(self, rows: np.ndarray | slice) -> "Rows":
        """Some of them."""

        def cut(part: Any) -> Any:
            return None if part is None else part[rows]

        return Rows(
            self.design.rows(rows),
            self.y[rows],
            self.weights[rows],
            self.precision[rows],
            cut(self.offset),
            cut(self.rest),
        )

    def eta(self, b: np.ndarray) -> np.ndarray:
        """Linear predictor X b + offset, shape (n,)."""
        eta = self.design.linear(b)
        return eta if self.offset is None else eta + self.offset

    @functools.cached_property
    def filled(self) -> tuple[Any, Any]:
        """Responses and w·p on the device, filled up to a bucket's length with rows of no weight."""
        return self.fill(self.y), self.fill(self.weights * self.precision, 0.0)

    def fill(self, values: np.ndarray, with_: float | None = None) -> Any:
        """On the device, filled up to a bucket's length."""
        size = bucket(self.n)
        if size != self.n:
            full = np.empty(size)
            full[: self.n] = values
            full[self.n :] = (values[-1] if self.n else 1.0) if with_ is None else with_
            values = full
        with float64_scope():
            return jnp.asarray(values, jnp.float64)
