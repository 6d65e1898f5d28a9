"""A hundred thousand conjugate updates at once: beliefs of groups, moved by the evidence of their rows.

The peer is what one would write in NumPy: sums by group, then the formulas of a textbook, in float64. Answers are the parameters of
the posteriors, held against sums in extended precision.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

import surprax as sx
from benchmarks.harness import Case, Contest, Setting, Target, against, call

__all__ = ["CASES"]

GROUPS, EACH = 100_000, 20
CATEGORIES = 5
TRIALS = 20


@dataclass(frozen=True)
class Labelled:
    """Groups of rows in any order, as NumPy sums them."""

    labels: np.ndarray
    groups: int

    def total(self, x: np.ndarray) -> np.ndarray:
        return np.bincount(self.labels, x, self.groups)

    def count(self) -> np.ndarray:
        return np.bincount(self.labels, minlength=self.groups)

    def spread(self, of_group: np.ndarray) -> np.ndarray:
        return of_group[self.labels]


@dataclass(frozen=True)
class Sorted:
    """Groups of `EACH` rows one after the other, which any number type can sum: the oracle's."""

    groups: int

    def total(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(x, np.longdouble).reshape(self.groups, EACH).sum(axis=1)

    def count(self) -> np.ndarray:
        return np.full(self.groups, EACH)

    def spread(self, of_group: np.ndarray) -> np.ndarray:
        return np.repeat(of_group, EACH)


@dataclass(frozen=True)
class Pair:
    """A belief, the family of the data, and the same update in NumPy.

    Attributes:
        prior: made when its turn comes.
        likelihood: the family of the data; `known` are its known parameters.
        draw: rows from a generator and a number of rows.
        parameters: those of the posterior that are told.
        numpy: (rows, groups) → the parameters of the posteriors, stacked on the last axis.
    """

    prior: Callable[[], Any]
    likelihood: str
    known: dict[str, Any]
    draw: Callable[[np.random.Generator, int], np.ndarray]
    parameters: tuple[str, ...]
    numpy: Callable[[np.ndarray, Any], np.ndarray]


def gamma_poisson(x: np.ndarray, by: Any) -> np.ndarray:
    return np.stack([2.0 + by.total(x), 1.0 + by.count()], axis=-1)


def normal(x: np.ndarray, by: Any) -> np.ndarray:
    """Normal-inverse-gamma from loc 1, mean_precision 0.5, concentration 2, rate 3 (Murphy 2007, section 6)."""
    count = by.count()
    mean = by.total(x) / count
    scatter = by.total((x - by.spread(mean)) ** 2)
    precision = 0.5 + count
    loc = (0.5 * 1.0 + count * mean) / precision
    rate = 3.0 + 0.5 * scatter + 0.5 * 0.5 * count * (mean - 1.0) ** 2 / precision
    return np.stack([loc, precision, 2.0 + 0.5 * count, rate], axis=-1)


def dirichlet(x: np.ndarray, by: Any) -> np.ndarray:
    return np.stack([0.5 + by.total(x[:, k]) for k in range(CATEGORIES)], axis=-1)


PAIRS = {
    "gamma-poisson": Pair(
        lambda: sx.Gamma(2.0, 1.0),
        "Poisson",
        {},
        lambda rng, n: rng.poisson(4.0, n),
        ("concentration", "rate"),
        gamma_poisson,
    ),
    "normal": Pair(
        lambda: sx.NormalInverseGamma(1.0, 0.5, 2.0, 3.0),
        "Normal",
        {},
        lambda rng, n: rng.normal(1.0, 2.0, n),
        ("loc", "mean_precision", "concentration", "rate"),
        normal,
    ),
    "dirichlet-multinomial": Pair(
        lambda: sx.Dirichlet(np.full(CATEGORIES, 0.5)),
        "Multinomial",
        {"total_count": TRIALS},
        lambda rng, n: rng.multinomial(TRIALS, [0.1, 0.2, 0.3, 0.25, 0.15], n),
        ("concentration",),
        dirichlet,
    ),
}


def update(name: str, from_rows: bool, setting: Setting) -> Contest:
    """`prior + evidence`, of rows (evidence and all), or of evidence that is there already."""
    pair = PAIRS[name]
    groups = setting.size(GROUPS, 30)
    rows = groups * EACH
    rng = np.random.default_rng(20_240_229)
    x = pair.draw(rng, rows)
    labels = rng.permutation(np.repeat(np.arange(groups, dtype=np.int32), EACH))
    prior, likelihood = pair.prior(), getattr(sx, pair.likelihood)
    evidence_of = partial(likelihood.evidence, by=labels, **pair.known)

    def told(posterior: Any) -> np.ndarray:
        parts = [np.asarray(getattr(posterior, p), np.float64) for p in pair.parameters]
        if len(parts) == 1 and parts[0].ndim == 2:
            return parts[0]
        return np.stack([np.broadcast_to(part, (groups,)) for part in parts], axis=-1)

    truth = pair.numpy(x[np.argsort(labels, kind="stable")], Sorted(groups))
    scale = np.maximum(np.abs(np.asarray(truth, np.float64)), 1.0)
    if from_rows:
        with jax.enable_x64(True):
            on_device = jax.device_put(x)
        entrants = {
            "surprax": call(lambda: prior + evidence_of(on_device), answer=told),
            "NumPy": call(pair.numpy, x, Labelled(labels, groups)),
        }
    else:
        evidence = evidence_of(x)
        entrants = {
            "surprax": call(lambda: prior + evidence, answer=told),
            "NumPy, from rows": call(pair.numpy, x, Labelled(labels, groups)),
        }
    return Contest(rows, str(x.dtype), entrants, against(truth, scale), 1e-12)


CASES = [
    case
    for name, pair in PAIRS.items()
    for case in (
        Case(
            f"conjugate/{name}",
            f"prior + {pair.likelihood}.evidence(x, by=labels), {GROUPS:,} groups",
            partial(update, name, True),
            (Target(1.0, "NumPy"),),
        ),
        Case(
            f"conjugate/{name}-again",
            f"prior + evidence, {GROUPS:,} groups, with the evidence of the rows at hand",
            partial(update, name, False),
            (Target(1.0, "NumPy, from rows"),),
        ),
    )
]
