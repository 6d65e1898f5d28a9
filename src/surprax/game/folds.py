"""Cross-validation by evidence algebra: what K folds teach is what all rows teach, less one fold.

For a family with finite statistics the K training sets cost no pass over the data beyond the one that makes the evidence of each
fold: train = total − fold. Families that need the rows themselves are refitted next to the fit to all rows.

Everything about one player (fits, scores, the surprise of the extreme rows) is one compiled function of the family and of shapes.
"""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from surprax.beliefs import Mixture
from surprax.evidence import Tally
from surprax.evidence.tally import count_values
from surprax.families.fitting import has_moments, reduce_rows
from surprax.families.outcomes import Outcome
from surprax.families.scores import direct_log_likelihood
from surprax.numerics.precision import float64_scope
from surprax.numerics.shapes import one_of_few, padded

__all__ = ["Folds", "Score", "score", "turns"]

POINTWISE_ROWS = 100_000
"""Standard errors of differences are estimated from at most about this many rows, evenly spaced."""

PADDED_ROWS = 1 << 17
"""Up to this many rows, folds are padded to one of a few sizes, so that data of many sizes share compiled code."""


@dataclass(frozen=True)
class Folds:
    """Rows dealt out to K folds in a matrix (K, m).

    Attributes:
        rows: observations by fold; padding repeats the first.
        weights: 0 on padding, 1 elsewhere, or None where there is none.
        extremes: the least and the greatest observation.
    """

    rows: np.ndarray
    weights: np.ndarray | None
    extremes: np.ndarray

    @classmethod
    def deal(cls, x: np.ndarray, folds: int, key: Any = None) -> "Folds":
        """Each run of K rows gives one to every fold, in an order that turns from run to run (see `turns`).

        With a JAX random key the rows are shuffled first.
        """
        x = x.astype(np.float64, copy=False)
        extremes = np.array([x.min(), x.max()])
        if key is not None:
            x = np.random.default_rng(np.asarray(jax.random.key_data(key)).astype(np.uint32)).permutation(x)
        runs = -(-len(x) // folds)
        if len(x) <= PADDED_ROWS:
            runs = one_of_few(runs)
        size = runs * folds
        order = (np.arange(folds)[:, None] - turns(runs, folds)) % folds

        def dealt(values: np.ndarray) -> np.ndarray:
            return np.take_along_axis(values.reshape(runs, folds).T, order, axis=0)

        weights = None if size == len(x) else dealt(padded(np.ones(len(x)), size, 0.0))
        return cls(dealt(padded(x, size, x[0])), weights, extremes)

    @property
    def count(self) -> int:
        """K."""
        return len(self.rows)

    @cached_property
    def tally(self) -> tuple[np.ndarray, np.ndarray]:
        """Distinct values (V,), and how often each occurs in each fold (K, V)."""
        numbers = np.broadcast_to(np.arange(self.count, dtype=np.int32)[:, None], self.rows.shape)
        real = slice(None) if self.weights is None else self.weights.ravel() > 0
        return count_values(self.rows.ravel()[real], None, numbers.ravel()[real], self.count)

    def tally_for(self, family: Any) -> tuple[np.ndarray, np.ndarray]:
        """`tally`, with a place for every category, or padded to one of a few sizes by values that never occur."""
        values, counts = self.tally
        if family.labelled:
            every = np.arange(values[-1] + 1)
            spread = np.zeros((len(counts), len(every)))
            spread[:, values.astype(np.int64)] = counts
            return every, spread
        size = one_of_few(len(values))
        return padded(values, size, values[-1]), padded(counts, size, 0.0)

    @cached_property
    def sample(self) -> tuple[np.ndarray, np.ndarray]:
        """Evenly spaced rows of each fold, (K, s), and which of them are rows, for pointwise comparisons."""
        step = max(1, self.rows.size // POINTWISE_ROWS)
        rows = self.rows[:, ::step]
        return rows, np.ones(rows.shape, bool) if self.weights is None else self.weights[:, ::step] > 0

    @cached_property
    def on_device(self) -> tuple[Any, Any]:
        """`rows` and `weights` as JAX arrays; to be asked for inside a float64 scope."""
        return jnp.asarray(self.rows), None if self.weights is None else jnp.asarray(self.weights)


def turns(runs: int, folds: int) -> np.ndarray:
    """By how much each run of rows is turned before it is dealt: ⌊K·frac(run/φ)⌋, with the golden ratio φ.

    Plain dealing, row i to fold i mod K, goes wrong when the data have a period that shares a factor with K: a fold then holds
    other values than the rest. No whole-number period agrees with the golden ratio.
    """
    return np.floor(folds * ((np.arange(runs) * ((np.sqrt(5.0) - 1.0) / 2.0)) % 1.0)).astype(np.int64)


class Score(NamedTuple):
    """What a player makes of the data, in nats.

    Attributes:
        distribution: fitted to all rows, or as given.
        outcome: of the fit to all rows and of those to the training sets.
        total: log-likelihood of all rows under `distribution`.
        held_out: log-likelihood of each fold under the fit to the others, (K,).
        pointwise: held-out log-densities of `Folds.sample`, (K, s).
        worst: surprise of `Folds.extremes` under `distribution`, (2,).
        single_peaked: whether the greatest surprise is at an extreme.
    """

    distribution: Any
    outcome: Outcome
    total: Any
    held_out: Any
    pointwise: Any
    worst: Any
    single_peaked: Any


def score(player: Any, folds: Folds) -> Score:
    """Fit a family to all rows and to each training set, and score each fold by the fit that has not seen it.

    A distribution is scored as it is.
    """
    with float64_scope():
        context = (folds.sample[0], folds.extremes)
        if isinstance(player, Mixture):
            result = _score_mixture(player, folds)
        elif not isinstance(player, type):
            player = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), player)
            result = _score_fixed(player, *folds.on_device, *context)
        elif player.discrete:  # type: ignore[attr-defined]
            result = _score_counted(player, *folds.tally_for(player), *context)
        elif has_moments(player, {}):
            result = _score_evidence(player, *folds.on_device, *context)
        else:
            result = _score_rows(player, *folds.on_device, *context)
        return jax.tree.map(np.asarray, result)


def _score_mixture(player: Mixture, folds: Folds) -> Score:
    fits = player._fit_with_and_without_each(folds.rows, folds.weights)
    rows, weights = folds.on_device
    total, held_out = jnp.sum(_fold_sums(fits[0], rows, weights)), _fold_sums(fits[2], rows, weights)
    return _assemble(*fits, total, held_out, folds.sample[0], folds.extremes)


@jax.jit
def _score_fixed(player: Any, rows: Any, weights: Any, sample: Any, extremes: Any) -> Score:
    held_out = _fold_sums(player, rows, weights)
    outcome = Outcome(jnp.zeros(1, jnp.int32))
    return Score(
        player,
        outcome,
        jnp.sum(held_out),
        held_out,
        player.log_prob(sample),
        player.surprise(extremes),
        player.single_peaked,
    )


@partial(jax.jit, static_argnums=0)
def _score_evidence(family: Any, rows: Any, weights: Any, sample: Any, extremes: Any) -> Score:
    evidence = reduce_rows(family, rows, weights, {})
    return _score_moments(evidence, sample, extremes)


@partial(jax.jit, static_argnums=0)
def _score_counted(family: Any, values: Any, counts: Any, sample: Any, extremes: Any) -> Score:
    if has_moments(family, {}):
        return _score_moments(reduce_rows(family, values[None, :], counts, {}), sample, extremes)
    tally = Tally(values, counts, {}, family)
    everything = tally.total()
    fit, outcome = family.try_fit(everything)
    fits, outcomes = family.try_fit(tally._replace(counts=everything.counts[None] - counts))
    return _assemble(
        fit, outcome, fits, outcomes, everything.log_likelihood(fit), tally.log_likelihood(fits), sample, extremes
    )


@partial(jax.jit, static_argnums=0)
def _score_rows(family: Any, rows: Any, weights: Any, sample: Any, extremes: Any) -> Score:
    fit, outcome, fits, outcomes = family._fit_with_and_without_each(rows, weights)
    total, held_out = jnp.sum(_fold_sums(fit, rows, weights)), _fold_sums(fits, rows, weights)
    return _assemble(fit, outcome, fits, outcomes, total, held_out, sample, extremes)


def _score_moments(evidence: Any, sample: Any, extremes: Any) -> Score:
    family, total = evidence.family, evidence.total()
    fit, outcome = family._fit_moments(total)
    fits, outcomes = family._fit_moments(total - evidence)
    scores = direct_log_likelihood(total, fit), direct_log_likelihood(evidence, fits)
    return _assemble(fit, outcome, fits, outcomes, *scores, sample, extremes)


def _assemble(
    fit: Any, outcome: Any, fits: Any, outcomes: Any, total: Any, held_out: Any, sample: Any, extremes: Any
) -> Score:
    codes = jnp.append(jnp.atleast_1d(outcome.code), outcomes.code)
    pointwise = fits[:, None].log_prob(sample)
    return Score(fit, Outcome(codes), total, held_out, pointwise, fit.surprise(extremes), fit.single_peaked)


def _fold_sums(d: Any, rows: Any, weights: Any) -> Any:
    """Log-likelihood of each fold under its own distribution (batch (K,)), or under one; a fold at a time, to bound memory."""
    several = bool(d.batch_shape)

    def of_fold(fold: Any) -> Any:
        own, x, kept = fold
        log_prob = (own if several else d).log_prob(x)
        return jnp.sum(log_prob if weights is None else jnp.where(kept > 0, log_prob, 0.0))

    return jax.lax.map(of_fold, (d if several else rows[:, 0], rows, rows if weights is None else weights))
