"""What became of a fit, as a value that reads as a sentence."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["Outcome", "Reason"]


class Reason(IntEnum):
    """Why there is, or is not, a maximum of the likelihood."""

    MAXIMUM = 0
    NO_DATA = 1
    ALL_ZERO = 2
    ALL_SAME = 3
    ALL_AT_UPPER_END = 4
    NOT_CONVERGED = 5
    UNDERDISPERSED = 6
    LIGHT_TAILS = 7
    UNSEEN_CATEGORY = 8
    POINT_MASS = 9
    OVERDISPERSED = 10
    NO_SUCH_MEAN = 11
    TOO_FEW = 12
    NO_HEAVIER_THAN_EXPONENTIAL = 13
    GAMMA_LIMIT = 14
    INVERSE_GAMMA_LIMIT = 15
    ALL_AT_LOWER_END = 16
    GEOMETRIC_LIMIT = 17
    TWO_NEIGHBOURS = 18
    ONE_PROBABILITY = 19
    ALL_AT_BOTH_ENDS = 20
    UNKNOWN_TOTAL_COUNT = 21
    MULTINOMIAL_LIMIT = 22
    ONE_CATEGORY = 23
    DEGENERATE_COMPONENT = 24
    TOO_FEW_VALUES = 25


_SENTENCES = {
    Reason.ONE_PROBABILITY: "the counts are spread no more than under a single probability: the likelihood grows towards infinite"
    " concentrations, where the family becomes Binomial or NegativeBinomial",
    Reason.ALL_AT_BOTH_ENDS: "all observations are at one end or the other: the likelihood grows as concentrations shrink to zero",
    Reason.UNKNOWN_TOTAL_COUNT: "the total_count is not known, and the data do not tell it: pass total_count=... to the fit",
    Reason.GEOMETRIC_LIMIT: "the counts are spread no less than a geometric distribution: the likelihood grows towards dispersion"
    " 0, where the family becomes Geometric",
    Reason.TWO_NEIGHBOURS: "all observations are one number or two neighbouring ones: the likelihood grows towards infinite"
    " dispersion",
    Reason.ALL_AT_LOWER_END: "all observations are at their lower end: the likelihood grows towards the border of the parameters",
    Reason.MULTINOMIAL_LIMIT: "the counts vary no more than multinomial ones: the likelihood grows towards infinite concentration,"
    " where the family becomes Multinomial",
    Reason.ONE_CATEGORY: "every observation is of one category alone: the likelihood grows towards concentration 0",
    Reason.DEGENERATE_COMPONENT: "from every start a component of the mixture narrows on a few observations, or has none left",
    Reason.TOO_FEW_VALUES: "there are fewer different observations than the mixture has components",
    Reason.MAXIMUM: "the likelihood has its maximum here",
    Reason.NO_DATA: "there are no observations, so that every distribution fits equally well",
    Reason.ALL_ZERO: "all observations are zero: the likelihood grows without end towards the border of the parameters",
    Reason.ALL_SAME: "all observations are equal: the likelihood grows without bound as the distribution narrows on that point",
    Reason.ALL_AT_UPPER_END: "all observations are at their upper end: the likelihood grows towards the border of the parameters",
    Reason.NOT_CONVERGED: "the iteration did not settle within its limit",
    Reason.UNDERDISPERSED: "the variance does not exceed the mean: the likelihood grows towards infinite concentration,"
    " where the family becomes Poisson",
    Reason.LIGHT_TAILS: "the tails are no heavier than normal: the likelihood grows towards infinite degrees of freedom, where the"
    " family becomes Normal",
    Reason.UNSEEN_CATEGORY: "a category was never seen: the likelihood grows towards probability zero for it",
    Reason.POINT_MASS: "too many observations are equal: the likelihood grows without bound as the scale shrinks around them",
    Reason.OVERDISPERSED: "the variance is not below the mean: the likelihood grows towards infinitely many trials, where the"
    " family becomes Poisson",
    Reason.NO_SUCH_MEAN: "no distribution of the family has these expectations",
    Reason.TOO_FEW: "the observations lie in a space of fewer dimensions than they have components: the likelihood grows without"
    " bound as the distribution narrows on it",
    Reason.NO_HEAVIER_THAN_EXPONENTIAL: "the tail is no heavier than exponential: the likelihood grows towards infinite"
    " concentration"
    " and scale, where the family becomes Exponential",
    Reason.GAMMA_LIMIT: "reciprocals average to more than under the best gamma distribution: the likelihood grows towards it",
    Reason.INVERSE_GAMMA_LIMIT: "the mean is above that of the best inverse gamma distribution: the likelihood grows towards it",
}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Outcome:
    """Whether a maximum was found, elementwise over a batch of fits.

    Attributes:
        code: values of `Reason`, as integers of any shape (traced values too).
    """

    code: Any

    @property
    def ok(self) -> Any:
        """Whether the maximum exists and was found; the shape of `code`."""
        return self.code == Reason.MAXIMUM.value

    @property
    def reason(self) -> Reason:
        """The worst of the batch: the first that is not a maximum, else `Reason.MAXIMUM`."""
        codes = np.atleast_1d(np.asarray(self.code))
        bad = codes[codes != Reason.MAXIMUM]
        return Reason(int(bad[0])) if bad.size else Reason.MAXIMUM

    def __str__(self) -> str:
        codes = np.atleast_1d(np.asarray(self.code))
        bad = np.flatnonzero(codes != Reason.MAXIMUM)
        sentence = _SENTENCES[self.reason]
        if codes.size > 1 and bad.size:
            return f"in {bad.size} of {codes.size} fits, first in number {bad[0]}, {sentence}"
        return sentence

    @staticmethod
    def first(*cases: tuple[Any, Reason]) -> "Outcome":
        """The reason of the first condition that holds, elementwise, else a maximum."""
        code = jnp.zeros(jnp.broadcast_shapes(*(jnp.shape(c) for c, _ in cases)), jnp.int32)
        for condition, reason in reversed(cases):
            code = jnp.where(condition, reason.value, code)
        return Outcome(code)
