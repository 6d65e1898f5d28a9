"""Where the climb of a mixture's likelihood begins: rows divided into k parts, in coordinates that suit the family."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from surprax.families.supports import COUNTS, OPEN_SIMPLEX, SIMPLEX, SPHERE, Support
from surprax.families.von_mises import VonMises

__all__ = ["divisions", "few_rows"]

MOST_ROWS = 1 << 13
"""Starts are made, and tried out, on so many rows at most."""

SETTLING = 10
"""Rounds in which centres move to the means of their rows (Lloyd 1982)."""


def generator(key: Any) -> np.random.Generator:
    """Random numbers in NumPy that depend on a JAX key alone."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).astype(np.uint32).ravel())


def few_rows(x: np.ndarray, weights: np.ndarray, rng: np.random.Generator | None) -> tuple[np.ndarray, np.ndarray]:
    """At most `MOST_ROWS` of the rows: evenly spaced, or at random."""
    n = len(x)
    if n <= MOST_ROWS:
        return x, weights
    kept = np.arange(MOST_ROWS) * n // MOST_ROWS if rng is None else np.sort(rng.choice(n, MOST_ROWS, replace=False))
    return x[kept], weights[kept]


def divisions(
    family: Any, x: np.ndarray, weights: np.ndarray, k: int, starts: int, rng: np.random.Generator | None
) -> Iterator[tuple[str, np.ndarray]]:
    """Names of starts, and for each the number of the part of every row, (rows,) from 0 to k − 1.

    Four without a key: slices of equal weight across the widest direction, as they are and after their centres have settled; shells
    around the middle, for components of one centre; and centres far from each other (Gonzalez 1985). With a key, `starts` more by
    k-means++ (Arthur & Vassilvitskii 2007).
    """
    z = coordinates(family, x)
    middle = np.average(z, axis=0, weights=weights)
    away = z - middle
    _, _, axes = np.linalg.svd(away * np.sqrt(weights)[:, None], full_matrices=False)
    slices = _slices(away @ axes[0], weights, k)
    yield "slices", slices
    yield "settled slices", _settled(z, weights, _centres(z, weights, slices, k))
    yield "shells", _slices(np.sum(away**2, axis=1), weights, k)
    yield "distant centres", _settled(z, weights, _distant(z, away, k))
    for number in range(starts if rng is not None else 0):
        assert rng is not None
        yield f"k-means++ {number + 1}", _settled(z, weights, _plus_plus(z, weights, k, rng))


def coordinates(family: Any, x: np.ndarray) -> np.ndarray:
    """Rows as points (rows, coordinates) of which straight distances make sense.

    Angles go on the circle, positive numbers to logarithms, shares of 1 to log-odds, counts to square roots; unit vectors and
    numbers of the line stay; all but directions are divided by their standard deviations.
    """
    x = x.astype(np.float64)
    support = family.data_support
    if issubclass(family, VonMises):
        return np.stack([np.cos(x), np.sin(x)], axis=1)
    if support is SPHERE:
        return x
    if support is COUNTS:
        x = np.sqrt(x / np.maximum(x.sum(axis=-1, keepdims=True), 1.0))
    elif support in (SIMPLEX, OPEN_SIMPLEX):
        x = np.log(np.maximum(x, 1e-12))
        x = x - x.mean(axis=-1, keepdims=True)
    elif isinstance(support, Support):
        x = _of_numbers(x, support)
    z = x.reshape(len(x), -1)
    spread = z.std(axis=0)
    return (z - z.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def _of_numbers(x: np.ndarray, support: Support) -> np.ndarray:
    lower, upper = (float(v) if np.ndim(v) == 0 else np.inf for v in (support.lower, support.upper))
    if support.discrete:
        return np.sqrt(x - lower) if np.isfinite(lower) else x
    if np.isfinite(lower) and np.isfinite(upper):
        share = np.clip((x - lower) / (upper - lower), 1e-12, 1.0 - 1e-12)
        return np.log(share) - np.log1p(-share)
    if np.isfinite(lower):
        some = x[x > lower] - lower
        return np.log(np.maximum(x - lower, some.min() if some.size else 1.0))
    return x


def _slices(position: np.ndarray, weights: np.ndarray, k: int) -> np.ndarray:
    """Parts of about equal weight, in order of position; equal positions stay together."""
    values, inverse = np.unique(position, return_inverse=True)
    each = np.bincount(inverse, weights)
    middle = (np.cumsum(each) - 0.5 * each) / each.sum()
    part = np.minimum((k * middle).astype(int), k - 1)
    if len(values) >= k and len(np.unique(part)) < k:  # some value weighs more than a part
        part = np.minimum(np.arange(len(values)) * k // len(values), k - 1)
    return part[inverse]


def _centres(z: np.ndarray, weights: np.ndarray, part: np.ndarray, k: int) -> np.ndarray:
    total = np.bincount(part, weights, minlength=k)
    sums = np.stack([np.bincount(part, weights * column, minlength=k) for column in z.T], axis=1)
    return np.where(total[:, None] > 0, sums / np.where(total > 0, total, 1.0)[:, None], np.inf)


def _squares(z: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Squared distances, (rows, centres); a centre without rows is infinitely far."""
    return np.stack(
        [np.sum((z - c) ** 2, axis=1) if np.isfinite(c).all() else np.full(len(z), np.inf) for c in centres], axis=1
    )


def _settled(z: np.ndarray, weights: np.ndarray, centres: np.ndarray) -> np.ndarray:
    part = np.argmin(_squares(z, centres), axis=1)
    for _ in range(SETTLING):
        new = np.argmin(_squares(z, _centres(z, weights, part, len(centres))), axis=1)
        if np.array_equal(new, part) or len(np.unique(new)) < len(np.unique(part)):
            break
        part = new
    return part


def _distant(z: np.ndarray, away: np.ndarray, k: int) -> np.ndarray:
    """The row nearest to the middle, then always the row that is farthest from those chosen."""
    chosen = [int(np.argmin(np.sum(away**2, axis=1)))]
    distance = np.sum((z - z[chosen[0]]) ** 2, axis=1)
    while len(chosen) < k:
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.sum((z - z[chosen[-1]]) ** 2, axis=1))
    return z[chosen]


def _plus_plus(z: np.ndarray, weights: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Rows drawn with probabilities in proportion to the squared distance from those chosen."""
    chosen = [int(rng.choice(len(z), p=weights / weights.sum()))]
    distance = np.sum((z - z[chosen[0]]) ** 2, axis=1)
    while len(chosen) < k:
        p = weights * distance
        chosen.append(int(rng.choice(len(z), p=p / p.sum())) if p.sum() > 0 else int(np.argmax(distance)))
        distance = np.minimum(distance, np.sum((z - z[chosen[-1]]) ** 2, axis=1))
    return z[chosen]
