"""The length of a vector of independent normals: what Rayleigh and Maxwell have in common."""

import math
from typing import Any, ClassVar, Self

import jax.numpy as jnp
from jax import Array

from surprax.evidence import Carrier, Layout, Moments
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.supports import NONNEGATIVE, POSITIVE, Support
from surprax.numerics.elementary import log_ratio, scale_divergence

__all__ = ["NormalLength"]


class NormalLength(ExponentialFamily):
    """Abstract: the length X of k independent centred normals of standard deviation `scale`; X²/scale² is chi-squared with k.

        s(x) = x²/(2 scale²) − (k − 1) log(x/scale) + log scale + c,   c = (k/2 − 1) log 2 + log Γ(k/2)

    Natural parameter −1/(2 scale²) of T(x) = x², with h(x) = x^(k−1); log-normaliser k log scale + c.
    """

    scale: Any

    degrees: ClassVar[int]
    """How many normals, k ≥ 2: at 0 the density is 0."""
    dimension = 1
    layout = Layout(Carrier("x^2", lambda x: x * x, jnp.sqrt, lower=0.0))
    gap_matrix = ((),)
    data_support = POSITIVE

    @property
    def support(self) -> Support:
        return NONNEGATIVE

    @classmethod
    def _log_constant(cls) -> float:
        """c, the log-normaliser at scale 1."""
        return (0.5 * cls.degrees - 1.0) * math.log(2.0) + math.lgamma(0.5 * cls.degrees)

    # Density.

    def _log_density(self, x: Array) -> Array:
        z = x / self.scale
        log_z = log_ratio(jnp.minimum(x, jnp.finfo(x.dtype).max), self.scale)
        return (self.degrees - 1.0) * log_z - 0.5 * z * z - (jnp.log(self.scale) + self._log_constant())

    # Information.

    def _kl(self, q: Self) -> Array:
        """k times that of the half-normal distributions, which have k = 1."""
        widening = (self.scale - q.scale) / q.scale
        return self.degrees * (0.5 * widening * widening + scale_divergence(self.scale, q.scale))

    # Exponential family.

    def _natural(self) -> tuple[Any, ...]:
        return (-0.5 * self.scale**-2,)

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        (eta,) = natural
        return cls._of(scale=jnp.sqrt(-0.5 / jnp.where(eta < 0, eta, jnp.nan)))

    def _expectation(self) -> tuple[Any, ...]:
        return (self.degrees * self.scale**2,)

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        (square,) = expectation
        return cls._of(scale=jnp.sqrt(jnp.where(square > 0, square, jnp.nan) / cls.degrees))

    def _log_normalizer(self) -> Any:
        return self.degrees * jnp.log(self.scale) + self._log_constant()

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        return (x * x,)

    @classmethod
    def _log_base(cls, x: Array, known: dict[str, Any]) -> Array:
        return (cls.degrees - 1.0) * jnp.log(x)

    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]:
        return ((2.0 * self.degrees * self.scale**4,),)

    def _fitted_log_likelihood(self) -> Any:
        return -0.5 * self.degrees - self._log_normalizer()

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """scale² = mean of x²/k."""
        outcome = Outcome.first((e.count <= 0, Reason.NO_DATA), (e.mean <= 0, Reason.ALL_ZERO))
        return cls._of(scale=jnp.sqrt(e.mean / cls.degrees)), outcome
