"""Cross-validation by evidence algebra: what K folds teach is what all rows teach, less one fold.

For a family with finite statistics the K training sets cost no pass over the data beyond the one that makes the evidence of each
fold: train = total − fold. Families that need the rows themselves are fitted with the held-out fold weighted 0, started from the
fit to all rows.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surprax.evidence import Evidence, Tally
from surprax.evidence.tally import count_values
from surprax.families.fitting import fit_sample, has_moments, reduce_rows
from surprax.families.outcomes import Outcome
from surprax.numerics.precision import float64_scope

__all__ = ["CrossValidated", "Folds", "cross_validate", "score_fixed"]

POINTWISE_ROWS = 100_000
"""Standard errors of differences are estimated from at most about this many rows, evenly spaced."""

PADDED_ROWS = 1 << 17
"""Up to this many rows, folds are padded to a power of two, so that data of many sizes share compiled code."""


@dataclass(frozen=True)
class Folds:
    """Rows dealt out to K folds in a matrix (K, m); `weights` (K, m) is 0 on padding, None where there is none."""

    rows: np.ndarray
    weights: np.ndarray | None

    @classmethod
    def deal(cls, x: np.ndarray, folds: int, key: Any = None) -> "Folds":
        """Row i goes to fold i mod K; with a JAX random key the rows are shuffled first."""
        x = x.astype(np.float64, copy=False)
        if key is not None:
            x = np.random.default_rng(np.asarray(jax.random.key_data(key)).astype(np.uint32)).permutation(x)
        share = -(-len(x) // folds)
        if len(x) <= PADDED_ROWS:
            share = 1 << (share - 1).bit_length()
        padding = share * folds - len(x)
        if not padding:
            return cls(np.ascontiguousarray(x.reshape(share, folds).T), None)
        padded = np.concatenate([x, np.full(padding, x[0])])
        weights = np.concatenate([np.ones(len(x)), np.zeros(padding)])
        return cls(*(np.ascontiguousarray(a.reshape(share, folds).T) for a in (padded, weights)))

    @property
    def count(self) -> int:
        """K."""
        return len(self.rows)

    @cached_property
    def _dealt(self) -> tuple[np.ndarray, np.ndarray]:
        """All rows without padding, and the fold of each."""
        numbers = np.broadcast_to(np.arange(self.count, dtype=np.int32)[:, None], self.rows.shape)
        if self.weights is None:
            return self.rows.ravel(), numbers.ravel()
        real = self.weights > 0
        return self.rows[real], numbers[real]

    @cached_property
    def tally(self) -> tuple[np.ndarray, np.ndarray]:
        """Distinct values, and how often each occurs in each fold."""
        x, numbers = self._dealt
        return count_values(x, None, numbers, self.count)

    @cached_property
    def sample(self) -> tuple[np.ndarray, np.ndarray]:
        """Evenly spaced rows of each fold, (K, s), and which of them are rows, for pointwise comparisons."""
        step = max(1, self.rows.size // POINTWISE_ROWS)
        rows = self.rows[:, ::step]
        return rows, np.ones(rows.shape, bool) if self.weights is None else self.weights[:, ::step] > 0

    @cached_property
    def on_device(self) -> tuple[Any, Any]:
        """`rows` and `weights` as JAX arrays; to be used inside a float64 scope."""
        return jnp.asarray(self.rows), None if self.weights is None else jnp.asarray(self.weights)

    def evidence(self, family: Any) -> Evidence:
        """Evidence of each fold, on the leading axis."""
        with float64_scope():
            if not family.discrete:
                return jax.tree.map(np.asarray, reduce_rows(family, *self.on_device, {}))
            values, counts = self.tally
            if has_moments(family, {}):
                return jax.tree.map(np.asarray, reduce_rows(family, values[None, :], counts, {}))
        return Tally(values, counts, {}, family)


@dataclass(frozen=True)
class CrossValidated:
    """A player's fits and scores, in nats.

    Attributes:
        fit: the distribution fitted to all rows.
        outcome: of that fit and of those to the training sets.
        total: log-likelihood of all rows under `fit`.
        held_out: log-likelihood of each fold under the fit to the others, (K,).
        pointwise: held-out log-densities of `Folds.sample`, (K, s).
    """

    fit: Any
    outcome: Outcome
    total: float
    held_out: np.ndarray
    pointwise: np.ndarray


def cross_validate(family: Any, folds: Folds) -> CrossValidated:
    """Fit `family` to all rows and to each training set, and score every fold by the fit that has not seen it."""
    if has_moments(family, {}) or family.discrete:
        evidence = folds.evidence(family)
        total = evidence.total()
        fit, outcome = family.try_fit(total)
        fits, outcomes = family.try_fit(total - evidence)
        outcome = Outcome(np.append(outcome.code, outcomes.code))
        if not np.all(outcome.ok):
            return _unscored(fit, outcome)
        with float64_scope():
            score, held_out = total.log_likelihood(fit), evidence.log_likelihood(fits)
    else:
        with float64_scope():
            rows, weights = folds.on_device
            fit, outcome = fit_sample(family, rows.ravel(), None if weights is None else weights.ravel(), {})
            if not outcome.ok:
                return _unscored(fit, outcome)
            parts = [
                fit_sample(family, rows.ravel(), _all_but(k, rows, weights), {}, start=fit) for k in range(folds.count)
            ]
            outcome = Outcome(np.array([outcome.code, *(o.code for _, o in parts)]))
            if not np.all(outcome.ok):
                return _unscored(fit, outcome)
            fits = jax.tree.map(lambda *leaves: np.stack(leaves), *(d for d, _ in parts))
            score, held_out = _fold_sums(fit, rows, weights).sum(), _fold_sums(fits[:, None], rows, weights)
    return CrossValidated(fit, outcome, float(score), np.asarray(held_out), _pointwise(fits[:, None], folds))


def score_fixed(distribution: Any, folds: Folds) -> CrossValidated:
    """Scores of a distribution that is given, not fitted."""
    distribution = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), distribution)
    with float64_scope():
        held_out = np.asarray(_fold_sums(distribution, *folds.on_device))
    return CrossValidated(
        distribution, Outcome(np.array(0)), float(held_out.sum()), held_out, _pointwise(distribution, folds)
    )


def _unscored(fit: Any, outcome: Outcome) -> CrossValidated:
    return CrossValidated(fit, outcome, np.nan, np.zeros(0), np.zeros((0, 0)))


def _pointwise(distribution: Any, folds: Folds) -> np.ndarray:
    with float64_scope():
        return np.asarray(distribution.log_prob(folds.sample[0]))


@jax.jit
def _all_but(k: Any, rows: Any, weights: Any) -> Any:
    kept = jnp.where(jnp.arange(rows.shape[0]) == k, 0.0, 1.0)[:, None]
    return (jnp.broadcast_to(kept, rows.shape) if weights is None else kept * weights).ravel()


@jax.jit
def _fold_sums(d: Any, rows: Any, weights: Any) -> Any:
    log_prob = d.log_prob(rows)
    return jnp.sum(log_prob if weights is None else jnp.where(weights > 0, log_prob, 0.0), axis=1)
