"""How data become a vector: means, and what curvature adds to them.

A *carrier* is a function y(x) of one observation (x itself, log x, 1/x) whose mean is kept. A *gap* is what a convex function φ of
the carrier averages to beyond φ of the mean,

    gap = mean φ(y) − φ(mean y) ≥ 0                                   (Jensen's inequality)

The gap of the square is the variance; that of −log is log-mean minus mean-log; that of the reciprocal is mean(1/y) − 1/mean y. Mean
and gaps determine every sufficient statistic of the families, and stay well-conditioned where raw moments lose their digits.

With the Bregman divergence D(a‖b) = φ(a) − φ(b) − φ'(b)(a − b), a gap is the mean divergence of the observations from their mean,
and evidences merge exactly by the same function (Chan, Golub & LeVeque 1979 for the square; Banerjee et al. 2005, theorem 1):

    gap(A ∪ B) = w_A (gap_A + D(m_A‖m)) + w_B (gap_B + D(m_B‖m))
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.numerics.symmetric import dimension_of_half, half

__all__ = [
    "CHANCE",
    "INVERSE",
    "LOG",
    "NEGATIVE_LOG",
    "NEGATIVE_LOGS",
    "NEGATIVE_LOG_COMPLEMENT",
    "NEUTRAL",
    "POSITIVE",
    "RECIPROCAL",
    "SCATTER",
    "SQUARE",
    "SQUARED_LENGTH",
    "SQUARES",
    "VALUE",
    "VECTOR",
    "Carrier",
    "Gap",
    "Layout",
]


@dataclass(frozen=True)
class Carrier:
    """A function of an observation whose mean is kept, its inverse, and the open interval that a mean can lie in.

    Where `needs_known`, both functions take the family's known parameters (a mapping) as their second argument. `costly` marks
    what takes a logarithm or a power to compute; `exp_of` is u where y(x) = log u(x).

    A carrier of `rank` 1 is a vector, on the last axis. Each of its components lies between `lower` and `upper`; where that does
    not say it all, `inside` tells which means are in the open domain of the gaps, and neutral(length) is one that is. The inverse
    is None where means are not values of the carrier at any observation (unit vectors): then the statistics are the carrier itself.
    """

    name: str
    of: Callable[..., Array]
    inverse: Callable[..., Array] | None
    lower: float = -float("inf")
    upper: float = float("inf")
    needs_known: bool = False
    costly: bool = False
    exp_of: Callable[[Array], Array] | None = None
    rank: int = 0
    inside: Callable[[Array], Array] | None = None
    neutral: Callable[[int], Any] | None = None

    def given(self, known: Mapping[str, Any]) -> "Carrier":
        """The same carrier with known parameters filled in."""
        if not self.needs_known:
            return self
        inverse = self.inverse
        return replace(
            self,
            of=lambda x: self.of(x, known),
            inverse=None if inverse is None else lambda y: inverse(y, known),
            needs_known=False,
        )

    def is_inside(self, mean: Array) -> Array:
        """Whether a mean lies in the open domain, shape batch."""
        within = (mean > self.lower) & (mean < self.upper)
        within = jnp.all(within, axis=-1) if self.rank else within
        return within if self.inside is None else within & self.inside(mean)

    def neutral_like(self, mean: Array) -> Any:
        """A mean inside the domain, to stand in where there are no observations."""
        return NEUTRAL if self.neutral is None else self.neutral(mean.shape[-1])


@dataclass(frozen=True)
class Gap:
    """A convex function φ, by its Bregman divergence D(a‖b) = φ(a) − φ(b) − φ'(b)(a − b) ≥ 0; `factor` is u where φ = −log u.

    Of a vector carrier there may be several at once: divergences come on the last axis, size(length of the carrier) of them.
    `least` picks those of its numbers that cannot be negative, where not all of them are such.
    """

    name: str
    divergence: Callable[[Array, Array], Array]
    factor: Callable[[Array], Array] | None = None
    size: Callable[[int], int] = lambda length: length
    least: Callable[[Array], Array] | None = None


def _log(x: Any) -> Any:
    return np.log(x) if isinstance(x, np.ndarray) else jnp.log(x)


def _negative_log(a: Array, b: Array) -> Array:
    # The same rounded ratio enters both terms, so its rounding costs (ratio - 1) ulp, not one: the sum is stationary at ratio 1.
    ratio = a / b
    return (ratio - 1.0) - _log(ratio)


VALUE = Carrier("x", lambda x: x, lambda y: y)
POSITIVE = Carrier("x", lambda x: x, lambda y: y, lower=0.0)
CHANCE = Carrier("x", lambda x: x, lambda y: y, lower=0.0, upper=1.0)
LOG = Carrier("log x", _log, jnp.exp, costly=True, exp_of=lambda x: x)
INVERSE = Carrier("1/x", lambda x: 1.0 / x, lambda y: 1.0 / y, lower=0.0)

SQUARE = Gap("variance", lambda a, b: (a - b) ** 2)
NEGATIVE_LOG = Gap("log mean - mean log", _negative_log, lambda x: x)
NEGATIVE_LOG_COMPLEMENT = Gap(
    "log mean - mean log of 1 - x", lambda a, b: _negative_log(1.0 - a, 1.0 - b), lambda x: 1.0 - x
)
RECIPROCAL = Gap("mean 1/x - 1/mean", lambda a, b: (a - b) ** 2 / (a * b * b))

# Of vectors: the vector itself …
VECTOR = Carrier("x", lambda x: x, lambda y: y, rank=1)
# … with one gap for each component …
SQUARES = Gap("variances", lambda a, b: (a - b) ** 2)
NEGATIVE_LOGS = Gap("log mean - mean log", _negative_log)
# … their sum …
SQUARED_LENGTH = Gap(
    "mean squared distance", lambda a, b: jnp.sum((a - b) ** 2, axis=-1, keepdims=True), size=lambda _: 1
)


def _outer(a: Array, b: Array) -> Array:
    d = a - b
    return half(d[..., :, None] * d[..., None, :])


# … or the matrix, of which the lower triangle is kept.
SCATTER = Gap(
    "covariance",
    _outer,
    size=lambda length: length * (length + 1) // 2,
    least=lambda gaps: gaps[..., np.cumsum(np.arange(1, dimension_of_half(gaps.shape[-1]) + 1)) - 1],
)


@dataclass(frozen=True)
class Layout:
    """One carrier and the gaps of it that a family needs.

    The mean of the sufficient statistics is T(y⁻¹(mean)) + matrix · gaps, where `matrix` belongs to the family.
    """

    carrier: Carrier
    gaps: tuple[Gap, ...] = ()

    @property
    def rank(self) -> int:
        """1 where the carrier is a vector, else 0."""
        return self.carrier.rank

    def divergences(self, a: Array, b: Array) -> Array:
        """D(a‖b) of every gap, on the last axis."""
        if not self.gaps:
            return jnp.zeros((*a.shape[: a.ndim - self.rank], 0), a.dtype)
        values = [gap.divergence(a, b) for gap in self.gaps]
        return jnp.concatenate(values, axis=-1) if self.rank else jnp.stack(values, axis=-1)

    def split(self, gaps: Array, length: int) -> list[Array]:
        """Gaps of a vector carrier of that length, one array for each `Gap`."""
        sizes = np.cumsum([gap.size(length) for gap in self.gaps])[:-1]
        return jnp.split(gaps, sizes, axis=-1)

    def least(self, gaps: Array, length: int) -> Array:
        """Those of the gaps that cannot be negative."""
        if not self.rank or all(gap.least is None for gap in self.gaps):
            return gaps
        parts = zip(self.gaps, self.split(gaps, length))
        return jnp.concatenate([part if gap.least is None else gap.least(part) for gap, part in parts], axis=-1)

    def reduce(
        self,
        x: Array,
        weights: Array | None,
        total: Callable[[Array], Array],
        spread: Callable[[Array], Array],
        known: Mapping[str, Any],
        dtype: Any,
    ) -> tuple[Array, Array, Array]:
        """Count, mean and gaps of observations `x`, accumulated in `dtype`.

        `total` sums an array like `x` over the rows that belong together; `spread` hands a total back to its rows. Sums are kept
        plain, one per statistic, and each pass converts `x` anew behind a barrier: XLA fuses such sums with what they sum, and
        would otherwise write the converted copy to memory.
        """
        weigh = (lambda v: v) if weights is None else (lambda v: weights * v)

        carrier = self.carrier.given(known)

        def carried(after: Array) -> Array:
            return carrier.of(jax.lax.optimization_barrier((x, after))[0].astype(dtype))

        count = total(jnp.ones(x.shape, dtype) if weights is None else weights)
        share = jnp.where(count > 0, 1.0 / jnp.where(count > 0, count, 1.0), 0.0)
        rough = share * total(weigh(carried(count)))
        mean = rough + share * total(weigh(carried(rough) - spread(rough)))
        mean = jnp.where(count > 0, mean, NEUTRAL)
        gaps: list[Array] = []
        for gap in self.gaps:
            after = gaps[-1] if gaps else mean
            gaps.append(share * total(weigh(gap.divergence(carried(after), spread(mean)))))
        return count, mean, jnp.stack(gaps, axis=-1) if gaps else jnp.zeros((*mean.shape, 0), mean.dtype)


NEUTRAL = 0.5
"""The mean written where there is no observation: inside the domain of nearly every carrier, and never read."""
