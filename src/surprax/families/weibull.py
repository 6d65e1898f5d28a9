"""The Weibull distribution."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence import Carrier, Layout, Moments
from surprax.families.base import family
from surprax.families.exponential import ExponentialFamily
from surprax.families.gumbel import divergence_of_extremes, log_gamma_at_two, log_surprise, log_unlikely
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, positive
from surprax.families.passes import fit_smallest_extreme, no_data
from surprax.families.supports import NONNEGATIVE, POSITIVE, Support
from surprax.numerics.elementary import log_ratio
from surprax.numerics.gamma import log_gamma

__all__ = ["Weibull"]

_EULER = float(np.euler_gamma)


@family
class Weibull(ExponentialFamily):
    """Weibull distribution: s(x) = (x/scale)^k − (k − 1) log(x/scale) − log(k/scale) for x ≥ 0, where k = `concentration`.

    Args:
        scale: the quantile of 1 − 1/e, positive.
        concentration: shape k, positive; the hazard grows as x^(k−1), and k = 1 is the exponential law.

    (X/scale)^k is standard exponential. An exponential family where the shape is known: natural parameter −scale^−k of
    T(x) = x^k, log-normaliser k log scale, log h(x) = log k + (k − 1) log x. `fit` refuses data that are all equal, or zero.
    Source: Johnson, Kotz & Balakrishnan (1994), chapter 21.

    >>> Weibull(2.0, 1.5).sf(2.0).round(3).item()  # 1/e
    0.368
    >>> Weibull.fit([1.0, 2.0, 3.0], concentration=1.0)  # the exponential law: the mean
    Weibull(scale=2, concentration=1)
    """

    scale: Any = parameter(positive)
    concentration: Any = parameter(positive)

    known_parameters = ("concentration",)
    dimension = 1
    layout = Layout(
        Carrier(
            "x^k",
            lambda x, known: x ** known["concentration"],
            lambda y, known: y ** (1.0 / known["concentration"]),
            lower=0.0,
            needs_known=True,
            costly=True,
        )
    )
    gap_matrix = ((),)
    data_support = POSITIVE
    sums_by_evidence = False  # a power per row costs more than the density

    @classmethod
    def _data_support(cls, known: dict[str, Any]) -> Support:
        """At 0 the density is 0 or infinite, unless the shape is known to be 1."""
        return NONNEGATIVE if np.all(known.get("concentration", 0.0) == 1.0) else POSITIVE

    @property
    def support(self) -> Support:
        return NONNEGATIVE

    # Density.

    def _log_density(self, x: Array) -> Array:
        # At 0 the logarithm is replaced by what remains of the formula there: the exponential law's, or ∓inf.
        zero = x == 0
        k = self.concentration
        # The largest number stands in for ∞ under the logarithm, lest ∞ − ∞ hide that the density is 0.
        log_z = log_ratio(jnp.where(zero, self.scale, jnp.minimum(x, jnp.finfo(x.dtype).max)), self.scale)
        inside = (k - 1.0) * log_z - jnp.exp(k * log_z) + jnp.log(k) - jnp.log(self.scale)
        exponential = -jnp.where(zero, x, 0.0) / self.scale - jnp.log(self.scale)
        limit = jnp.where(k > 1.0, -jnp.inf, jnp.where(k < 1.0, jnp.inf, exponential))
        return jnp.where(zero & ~jnp.isnan(inside), limit, inside)

    # Moments.

    def _mean(self) -> Any:
        return self.scale * jnp.exp(log_gamma(1.0 + 1.0 / self.concentration))

    def _variance(self) -> Any:
        # mean² (Γ(1 + 2r)/Γ(1 + r)² − 1) with r = 1/k; for small r the logarithm of that ratio without lnΓ near its zero.
        r = 1.0 / self.concentration
        near = r < 0.5
        small, large = jnp.where(near, r, 0.0), jnp.where(near, 1.0, r)
        beyond = log_gamma_at_two(2.0 * small) - 2.0 * log_gamma_at_two(small)
        log_excess = jnp.where(
            near,
            jnp.log1p(small / (1.0 + 2.0 * small) * small) + beyond,
            log_gamma(1.0 + 2.0 * large) - 2.0 * log_gamma(1.0 + large),
        )
        return jnp.expm1(log_excess) * self._mean() ** 2

    def _mode(self) -> Any:
        k = jnp.maximum(self.concentration, 1.0)
        return self.scale * jnp.exp(jnp.log1p(-1.0 / k) / k)

    # Distribution function.

    def _log_hazard_area(self, x: Array) -> Array:
        """log of −log P(X > x)."""
        return self.concentration * log_ratio(x, self.scale)

    def _log_cdf(self, x: Array) -> Array:
        return log_unlikely(self._log_hazard_area(x))

    def _log_sf(self, x: Array) -> Array:
        return -jnp.exp(self._log_hazard_area(x))

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        return self.scale * jnp.exp(log_surprise(log_p, log_q) / self.concentration)

    # Information.

    def _entropy(self) -> Any:
        return _EULER * (1.0 - 1.0 / self.concentration) + (jnp.log(self.scale) - jnp.log(self.concentration)) + 1.0

    def _kl(self, q: Self) -> Array:
        shift = q.concentration * log_ratio(self.scale, q.scale)
        # The scales of log X are 1/k: their ratio is that of the shapes, the other way round.
        return divergence_of_extremes(q.concentration, self.concentration, shift)

    # Exponential family.

    def _natural(self) -> tuple[Any, ...]:
        return (-jnp.exp(-self.concentration * jnp.log(self.scale)),)

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        (eta,) = natural
        k = known["concentration"]
        return cls._of(scale=jnp.exp(-jnp.log(-eta) / k), concentration=k)

    def _expectation(self) -> tuple[Any, ...]:
        return (jnp.exp(self.concentration * jnp.log(self.scale)),)

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        (mean,) = expectation
        k = known["concentration"]
        return cls._of(scale=jnp.exp(jnp.log(jnp.where(mean > 0, mean, jnp.nan)) / k), concentration=k)

    def _log_normalizer(self) -> Any:
        return self.concentration * jnp.log(self.scale)

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        return (x**self.concentration,)

    @classmethod
    def _log_base(cls, x: Array, known: dict[str, Any]) -> Array:
        k = known["concentration"]
        return jnp.log(k) + (k - 1.0) * jnp.where(k == 1.0, 0.0, jnp.log(jnp.where(k == 1.0, 1.0, x)))

    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]:
        return ((jnp.exp(2.0 * self.concentration * jnp.log(self.scale)),),)

    def _fitted_log_likelihood(self) -> Any:
        return -1.0 - self._log_normalizer()

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """scale^k = mean of x^k."""
        k = e.known["concentration"] * jnp.ones_like(e.mean)
        # A mean of x^k beyond the range of float64 is no place to read the scale off.
        outcome = Outcome.first(
            (e.count <= 0, Reason.NO_DATA),
            (e.mean <= 0, Reason.ALL_ZERO),
            (~jnp.isfinite(e.mean), Reason.NOT_CONVERGED),
        )
        return cls._of(scale=e.mean ** (1.0 / k), concentration=k), outcome

    @classmethod
    def _fit_sample(
        cls, x: Array, weights: Array | None, known: dict[str, Any], start: Self | None = None
    ) -> tuple[Self, Outcome]:
        """log X has the distribution of the least of many: a concave problem in the shape alone."""
        if x.shape[0] == 0:
            return no_data(cls, x)
        location, rate, outcome = fit_smallest_extreme(
            jnp.log(x), weights, None if start is None else start.concentration
        )
        return cls._of(scale=jnp.exp(location), concentration=rate), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        return self.scale * jax.random.exponential(key, shape, jnp.result_type(float)) ** (1.0 / self.concentration)
