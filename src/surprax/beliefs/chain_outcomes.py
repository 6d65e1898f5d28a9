"""What passes over a chain give: probabilities with an outcome that reads as a sentence."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

__all__ = ["ChainFit", "ChainOutcome", "ChainReason", "Filtered", "LikeliestPath", "Smoothed", "outcome_of"]


class ChainReason(IntEnum):
    """What there is to say about sequences under a chain."""

    POSSIBLE = 0
    IMPOSSIBLE = 1
    NOT_A_NUMBER = 2
    CONVERGED = 3
    NOT_CONVERGED = 4
    DECREASED = 5


_SENTENCES = {
    ChainReason.POSSIBLE: "the chain can have produced this",
    ChainReason.IMPOSSIBLE: "no path of hidden states can have produced this: it has probability 0",
    ChainReason.NOT_A_NUMBER: "the probability is not a number: parameters or observations are out of their domains",
    ChainReason.CONVERGED: "the likelihood has settled",
    ChainReason.NOT_CONVERGED: "the iteration did not settle within its limit",
    ChainReason.DECREASED: "the likelihood fell: an emission was not fitted at its maximum; the model before that is returned",
}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ChainOutcome:
    """Whether sequences are possible, elementwise.

    Attributes:
        code: values of `ChainReason`, as integers, one to a sequence (traced values too).
    """

    code: Any

    @property
    def ok(self) -> Any:
        """Whether the sequence is possible; the shape of `code`."""
        return self.code == ChainReason.POSSIBLE.value

    @property
    def reason(self) -> ChainReason:
        """The first that is not `POSSIBLE`, else that."""
        codes = np.atleast_1d(np.asarray(self.code))
        bad = codes[codes != ChainReason.POSSIBLE]
        return ChainReason(int(bad[0])) if bad.size else ChainReason.POSSIBLE

    def __str__(self) -> str:
        codes = np.atleast_1d(np.asarray(self.code))
        bad = np.flatnonzero(codes != ChainReason.POSSIBLE)
        if codes.size > 1 and bad.size:
            return f"in {bad.size} of {codes.size} sequences, first in number {bad[0]}, {_SENTENCES[self.reason]}"
        return _SENTENCES[self.reason]


def outcome_of(log_probability: Array) -> ChainOutcome:
    """Read off the log-probability of what was seen."""
    code = jnp.where(jnp.isneginf(log_probability), ChainReason.IMPOSSIBLE.value, ChainReason.POSSIBLE.value)
    return ChainOutcome(jnp.where(jnp.isnan(log_probability), ChainReason.NOT_A_NUMBER.value, code))


class Filtered(NamedTuple):
    """States given what was seen so far.

    Attributes:
        log_probabilities: log P(zₜ | x₁ … xₜ), shape (…, T, K); −∞ after the end of a sequence and where it is impossible.
        log_likelihood: log P(x₁ … x_T), in nats, shape (…).
        outcome: whether the sequences are possible.
    """

    log_probabilities: Array
    log_likelihood: Array
    outcome: ChainOutcome

    @property
    def probabilities(self) -> Array:
        """P(zₜ | x₁ … xₜ)."""
        return jnp.exp(self.log_probabilities)


class Smoothed(NamedTuple):
    """States given all that was seen.

    Attributes:
        log_probabilities: log P(zₜ | x₁ … x_T), shape (…, T, K); −∞ after the end of a sequence and where it is impossible.
        log_pairs: log P(zₜ, zₜ₊₁ | x₁ … x_T), shape (…, T − 1, K, K); None unless asked for.
        log_likelihood: log P(x₁ … x_T), in nats, shape (…).
        outcome: whether the sequences are possible.
    """

    log_probabilities: Array
    log_pairs: Array | None
    log_likelihood: Array
    outcome: ChainOutcome

    @property
    def probabilities(self) -> Array:
        """P(zₜ | x₁ … x_T)."""
        return jnp.exp(self.log_probabilities)

    @property
    def pairs(self) -> Array | None:
        """P(zₜ, zₜ₊₁ | x₁ … x_T), where asked for."""
        return None if self.log_pairs is None else jnp.exp(self.log_pairs)


class LikeliestPath(NamedTuple):
    """The path of greatest probability.

    Attributes:
        states: whole numbers from 0 to K − 1, shape (…, T); −1 after the end of a sequence and where it is impossible.
        log_probability: log P(path, x), in nats, shape (…).
        outcome: whether the sequences are possible.
    """

    states: Array
    log_probability: Array
    outcome: ChainOutcome


@dataclass(frozen=True)
class ChainFit:
    """What became of a fit.

    Attributes:
        reason: how it ended.
        iterations: how often parameters were fitted.
        log_likelihoods: total log-likelihood in nats before each of them and after the last, shape (iterations + 1,).
        held: for each state, whether its emission stayed as it was in the last iteration because there was no maximum to move to.
    """

    reason: ChainReason
    iterations: int
    log_likelihoods: np.ndarray
    held: np.ndarray

    @property
    def converged(self) -> bool:
        """Whether the likelihood has settled."""
        return self.reason == ChainReason.CONVERGED

    @property
    def log_likelihood(self) -> float:
        """Of the model that is returned, in nats."""
        return float(self.log_likelihoods[-1])

    def __str__(self) -> str:
        held = np.flatnonzero(self.held)
        more = f"; emissions of states {held.tolist()} have no maximum and were held" if held.size else ""
        return f"after {self.iterations} iterations {_SENTENCES[self.reason]}{more}"
