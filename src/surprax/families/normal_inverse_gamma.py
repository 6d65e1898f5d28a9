"""The normal-inverse-gamma distribution: of the mean and the variance of a normal variable, both unknown."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import Carrier, Gap
from surprax.families.base import family
from surprax.families.exponential import ExponentialFamily
from surprax.families.gamma import Gamma
from surprax.families.inverse_gamma import InverseGamma
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, positive, real
from surprax.families.student_t import StudentT
from surprax.families.supports import Region
from surprax.numerics.elementary import scale_divergence
from surprax.numerics.gamma import trigamma, trigamma_minus_reciprocal
from surprax.numerics.linalg import beside
from surprax.numerics.normal import HALF_LOG_2PI

__all__ = [
    "FIRST_LOG",
    "WEIGHTED_SQUARE",
    "NormalInverseGamma",
    "fit_mean_and_precision",
    "mean_given_scale_kl",
    "pair",
]

MEAN_AND_VARIANCE = Region(
    "pairs of a finite mean and a variance above 0",
    lambda x: jnp.all(jnp.isfinite(x), axis=-1) & (x[..., 1] > 0),
    1,
    lambda shape: np.array([0.0, 1.0]),
)


def _log_of_first(a: Array, b: Array) -> Array:
    ratio = a[..., :1] / b[..., :1]
    return (ratio - 1.0) - jnp.log(ratio)


def _weighted_square(a: Array, b: Array) -> Array:
    return a[..., :1] * (a[..., 1:] / a[..., :1] - b[..., 1:] / b[..., :1]) ** 2


# The carrier is y = (w, w·m) with the precision w = 1/v. Beside −log w, its gap is of the convex function y₂²/y₁ = w m²: the
# variance of the means with precisions for weights.
PRECISION_FIRST = Carrier(
    "(1/v, m/v)",
    lambda x: jnp.stack([1.0 / x[..., 1], x[..., 0] / x[..., 1]], axis=-1),
    lambda y: jnp.stack([y[..., 1] / y[..., 0], 1.0 / y[..., 0]], axis=-1),
    rank=1,
    inside=lambda y: y[..., 0] > 0,
)
FIRST_LOG = Gap("log mean - mean log of the precision", _log_of_first, size=lambda _: 1)
WEIGHTED_SQUARE = Gap("weighted variance of the mean", _weighted_square, size=lambda _: 1)


@family
class NormalInverseGamma(ExponentialFamily):
    """Normal-inverse-gamma distribution of a pair (m, v): v is InverseGamma(a, rate), and m given v is normal about loc with
    variance v/κ.

        s(m, v) = (rate + κ (m − loc)²/2)/v + (a + 3/2) log v − a log rate + log Γ(a) − ½ log κ + ½ log 2π,  v > 0

    Args:
        loc: centre of the mean, finite.
        mean_precision: κ, positive: the precision of the mean in units of that of an observation, or how many observations it is
            worth.
        concentration: shape a of the variance, positive; as n observations make it n/2.
        rate: of the inverse gamma, positive; as observations make it half the sum of their squared deviations.

    An observation is (m, v) on the last axis. Natural parameters (κ loc, −κ/2, −rate − κ loc²/2, −a − 3/2) of
    T(m, v) = (m/v, m²/v, 1/v, log v); log-normaliser log Γ(a) − a log rate − ½ log κ + ½ log 2π. `NormalGamma` is the same
    belief told of mean and precision. Source: Bernardo & Smith (1994), section 3.2.5; Murphy (2007), sections 3 and 6.

    >>> belief = NormalInverseGamma(1.0, 2.0, 3.0, 4.0)
    >>> belief.marginal_variance
    InverseGamma(concentration=3, rate=4)
    >>> parts = belief.marginal_variance.log_prob(0.5) + jax.scipy.stats.norm.logpdf(2.0, 1.0, 0.5)
    >>> print(f"{belief.log_prob([2.0, 0.5]) - parts:.3f}")
    0.000
    """

    loc: Any = parameter(real)
    mean_precision: Any = parameter(positive)
    concentration: Any = parameter(positive)
    rate: Any = parameter(positive)

    dimension = 4
    layout = Layout(PRECISION_FIRST, (FIRST_LOG, WEIGHTED_SQUARE))
    gap_matrix = ((0.0, 0.0), (0.0, 1.0), (0.0, 0.0), (1.0, 0.0))
    data_support = MEAN_AND_VARIANCE
    event_dim = 1

    @property
    def event_shape(self) -> tuple[int, ...]:
        """(2,): mean and variance."""
        return (2,)

    # Parts, and the twin.

    @property
    def marginal_variance(self) -> InverseGamma:
        """The distribution of v."""
        return InverseGamma._of(concentration=self.concentration, rate=self.rate)

    @property
    def marginal_mean(self) -> StudentT:
        """The distribution of m: Student's t with 2a degrees of freedom and scale √(rate/(a κ))."""
        a, kappa = self.concentration, self.mean_precision
        return StudentT._of(df=2.0 * a, loc=self.loc, scale=(self.rate / (a * kappa)) ** 0.5)

    def to_normal_gamma(self) -> Any:
        """The same belief about the mean and the precision 1/v: a `NormalGamma` of the same parameters."""
        from surprax.families.normal_gamma import NormalGamma

        return NormalGamma._of(**{name: getattr(self, name) for name in self.parameters})

    @property
    def _of_precision(self) -> Gamma:
        return Gamma._of(concentration=self.concentration, rate=self.rate)

    # Density.

    def _log_density(self, x: Array) -> Array:
        m, v = x[..., 0], x[..., 1]
        z = (m - self.loc) * jnp.sqrt(self.mean_precision / v)
        return (
            self.marginal_variance._log_density(v) - 0.5 * z * z - 0.5 * jnp.log(v / self.mean_precision) - HALF_LOG_2PI
        )

    # Moments.

    def _mean(self) -> Any:
        return pair(jnp.where(self.concentration > 0.5, self.loc, jnp.nan), self.marginal_variance._mean())

    def _variance(self) -> Any:
        a = self.concentration
        of_mean = self.marginal_variance._mean() / self.mean_precision
        return pair(jnp.where(a > 0.5, of_mean, jnp.nan), self.marginal_variance._variance())

    @property
    def covariance(self) -> Array:
        """Cov(m, v), shape batch + (2, 2): they are uncorrelated."""
        return self.variance[..., None] * jnp.eye(2).reshape((1,) * len(self.batch_shape) + (2, 2))

    def _mode(self) -> Any:
        return pair(self.loc, self.rate / (self.concentration + 1.5))

    # Information.

    def _entropy(self) -> Any:
        """That of v, and the mean of ½ (1 + log 2πv/κ)."""
        mean_log_v = -self._of_precision._expectation()[0]
        return (
            self.marginal_variance._entropy() + HALF_LOG_2PI + 0.5 * (1.0 + mean_log_v - jnp.log(self.mean_precision))
        )

    def _kl(self, q: Self) -> Array:
        """That of the variances, and the mean of what the means have at a given variance."""
        return self._of_precision._kl(q._of_precision) + mean_given_scale_kl(self, q)

    # Exponential family.

    def _natural(self) -> tuple[Any, ...]:
        kappa, loc = self.mean_precision, self.loc
        return kappa * loc, -0.5 * kappa, -self.rate - 0.5 * kappa * loc * loc, -self.concentration - 1.5

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        linear, square, inverse, log = natural
        kappa = jnp.where(square < 0, -2.0 * square, jnp.nan)
        loc = linear / kappa
        a, rate = -log - 1.5, -inverse - 0.5 * linear * loc
        return cls._of(
            loc=loc,
            mean_precision=kappa,
            concentration=jnp.where(a > 0, a, jnp.nan),
            rate=jnp.where(rate > 0, rate, jnp.nan),
        )

    def _expectation(self) -> tuple[Any, ...]:
        mean_log, w = self._of_precision._expectation()
        return self.loc * w, self.loc * self.loc * w + 1.0 / self.mean_precision, w, -mean_log

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        linear, square, w, log = expectation
        spread = square - linear * (linear / w)
        g = Gamma._from_expectation((-log, w), known)
        return cls._of(
            loc=linear / w,
            mean_precision=1.0 / jnp.where(spread > 0, spread, jnp.nan),
            concentration=g.concentration,
            rate=g.rate,
        )

    def _log_normalizer(self) -> Any:
        return self._of_precision._log_normalizer() - 0.5 * jnp.log(self.mean_precision) + HALF_LOG_2PI

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        m, v = x[..., 0], x[..., 1]
        return m / v, m / v * m, 1.0 / v, jnp.log(v)

    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]:
        """From w m = loc·w + z √(w/κ) and w m² = loc² w + 2 loc z √(w/κ) + z²/κ, with z standard normal and w = 1/v gamma."""
        loc, kappa, a, rate = (getattr(self, name) for name in self.parameters)
        mean, variance, cross = a / rate, a / (rate * rate), -1.0 / rate
        given = mean / kappa
        first = loc**2 * variance + given, loc**3 * variance + 2.0 * loc * given, loc * variance, loc * cross
        second = loc**4 * variance + 4.0 * loc**2 * given + 2.0 / kappa**2, loc**2 * variance, loc**2 * cross
        return (
            first,
            (first[1], *second),
            (first[2], second[1], variance, cross),
            (first[3], second[2], cross, trigamma(a)),
        )

    def _fisher_solve(self, v: Array) -> Array:
        """T is a linear map of (z √(w/κ), z²/κ, w, log v), of which only the last two are correlated."""
        loc, kappa, a, rate = (beside(getattr(self, name)) for name in self.parameters)
        v1, v2, v3, v4 = (v[..., i : i + 1] for i in range(4))
        u1 = (v1 - loc * v3) * kappa * rate / a
        u2 = (v2 - 2.0 * loc * v1 + loc * loc * v3) * (0.5 * kappa * kappa)
        # [a/rate², −1/rate; −1/rate, ψ'(a)]⁻¹, of determinant a (ψ'(a) − 1/a)/rate²
        u4 = (v4 + v3 * rate / a) / trigamma_minus_reciprocal(a)
        u3 = (v3 * rate + u4) * rate / a
        parts = jnp.broadcast_arrays(u1 - 2.0 * loc * u2, u2, u3 - loc * u1 + loc * loc * u2, u4)
        return jnp.concatenate(parts, axis=-1)

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """That of the gamma of 1/v; loc is the mean weighted by precision, and 1/κ its weighted variance."""
        fit, outcome = fit_mean_and_precision(e)
        return cls._of(**fit), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        of_variance, of_mean = jax.random.split(key)
        v = self.marginal_variance._sample(of_variance, shape)
        z = jax.random.normal(of_mean, shape, v.dtype)
        return pair(self.loc + z * jnp.sqrt(v / self.mean_precision), v)


def pair(first: Any, second: Any) -> Array:
    return jnp.stack(jnp.broadcast_arrays(jnp.asarray(first), jnp.asarray(second)), axis=-1)


def mean_given_scale_kl(p: Any, q: Any) -> Array:
    """E KL(N(loc_p, v/κ_p) ‖ N(loc_q, v/κ_q)) with E 1/v = a/rate: ½ (κ_q/κ_p − 1 − log κ_q/κ_p) + ½ κ_q (loc_p − loc_q)² E 1/v."""
    shift = (p.loc - q.loc) * jnp.sqrt(q.mean_precision * (p.concentration / p.rate))
    return 0.5 * scale_divergence(q.mean_precision, p.mean_precision) + 0.5 * shift * shift


def fit_mean_and_precision(e: Moments) -> tuple[dict[str, Array], Outcome]:
    """loc, κ and the gamma distribution of the precision, from the mean of (w, w·m) and its two gaps."""
    w, gap, spread = e.mean[..., 0], e.gaps[..., 0], e.gaps[..., 1]
    fit, outcome = Gamma._fit_moments(e._replace(mean=w, gaps=gap[..., None]))
    found = {"concentration": fit.concentration, "rate": fit.rate}
    outcome = Outcome.first(
        (e.count <= 0, Reason.NO_DATA),
        ((gap <= 0) | (spread <= 0), Reason.ALL_SAME),
        (~outcome.ok, Reason.NOT_CONVERGED),
    )
    return {"loc": e.mean[..., 1] / w, "mean_precision": 1.0 / spread, **found}, outcome
