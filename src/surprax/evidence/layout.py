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
from jax import Array

__all__ = [
    "CHANCE",
    "INVERSE",
    "LOG",
    "NEGATIVE_LOG",
    "NEGATIVE_LOG_COMPLEMENT",
    "NEUTRAL",
    "POSITIVE",
    "RECIPROCAL",
    "SQUARE",
    "VALUE",
    "Carrier",
    "Gap",
    "Layout",
]


@dataclass(frozen=True)
class Carrier:
    """A function of an observation whose mean is kept, its inverse, and the open interval that a mean can lie in.

    Where `needs_known`, both functions take the family's known parameters (a mapping) as their second argument. `costly` marks
    what takes a logarithm or a power to compute; `exp_of` is u where y(x) = log u(x).
    """

    name: str
    of: Callable[..., Array]
    inverse: Callable[..., Array]
    lower: float = -float("inf")
    upper: float = float("inf")
    needs_known: bool = False
    costly: bool = False
    exp_of: Callable[[Array], Array] | None = None

    def given(self, known: Mapping[str, Any]) -> "Carrier":
        """The same carrier with known parameters filled in."""
        if not self.needs_known:
            return self
        return replace(self, of=lambda x: self.of(x, known), inverse=lambda y: self.inverse(y, known))


@dataclass(frozen=True)
class Gap:
    """A convex function φ, by its Bregman divergence D(a‖b) = φ(a) − φ(b) − φ'(b)(a − b) ≥ 0; `factor` is u where φ = −log u."""

    name: str
    divergence: Callable[[Array, Array], Array]
    factor: Callable[[Array], Array] | None = None


def _negative_log(a: Array, b: Array) -> Array:
    # The same rounded ratio enters both terms, so its rounding costs (ratio - 1) ulp, not one: the sum is stationary at ratio 1.
    ratio = a / b
    return (ratio - 1.0) - jnp.log(ratio)


VALUE = Carrier("x", lambda x: x, lambda y: y)
POSITIVE = Carrier("x", lambda x: x, lambda y: y, lower=0.0)
CHANCE = Carrier("x", lambda x: x, lambda y: y, lower=0.0, upper=1.0)
LOG = Carrier("log x", jnp.log, jnp.exp, costly=True, exp_of=lambda x: x)
INVERSE = Carrier("1/x", lambda x: 1.0 / x, lambda y: 1.0 / y, lower=0.0)

SQUARE = Gap("variance", lambda a, b: (a - b) ** 2)
NEGATIVE_LOG = Gap("log mean - mean log", _negative_log, lambda x: x)
NEGATIVE_LOG_COMPLEMENT = Gap(
    "log mean - mean log of 1 - x", lambda a, b: _negative_log(1.0 - a, 1.0 - b), lambda x: 1.0 - x
)
RECIPROCAL = Gap("mean 1/x - 1/mean", lambda a, b: (a - b) ** 2 / (a * b * b))


@dataclass(frozen=True)
class Layout:
    """One carrier and the gaps of it that a family needs.

    The mean of the sufficient statistics is T(y⁻¹(mean)) + matrix · gaps, where `matrix` belongs to the family.
    """

    carrier: Carrier
    gaps: tuple[Gap, ...] = ()

    def divergences(self, a: Array, b: Array) -> tuple[Array, ...]:
        """D(a‖b) of every gap, elementwise."""
        return tuple(gap.divergence(a, b) for gap in self.gaps)

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
"""The mean written where there is no observation: inside the domain of every carrier, and never read."""
