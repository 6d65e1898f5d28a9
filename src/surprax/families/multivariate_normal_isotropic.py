"""The multivariate normal distribution that is alike in all directions."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import SQUARED_LENGTH, VECTOR
from surprax.families.base import family
from surprax.families.batches import Wide, align
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, positive, real
from surprax.families.supports import REAL_VECTOR
from surprax.numerics.elementary import scale_divergence
from surprax.numerics.linalg import beside, blocks, join
from surprax.numerics.normal import HALF_LOG_2PI

__all__ = ["MultivariateNormalIsotropic"]


@family
class MultivariateNormalIsotropic(ExponentialFamily):
    """Normal vectors with covariance matrix scale² I: s(x) = ½ ‖x − loc‖²/scale² + d log scale + d/2 · log 2π.

    Args:
        loc: mean and mode, d finite numbers on the last axis.
        scale: standard deviation of every component, positive; one number for each distribution of a batch.

    Natural parameters (loc/scale², −1/(2 scale²)) of T(x) = (x, ‖x‖²), d + 1 numbers; log-normaliser
    ½ ‖loc/scale‖² + d log scale + d/2 · log 2π. All methods but `fisher_information` cost O(d). `fit` gives the mean of the data
    and the root of their mean squared distance from it over d, and may be told `loc` or `scale`; it refuses data that are all
    equal. Source: Mardia, Kent & Bibby (1979), section 3.1.

    >>> from surprax.families import MultivariateNormal
    >>> d = MultivariateNormalIsotropic([0.0, 1.0], 0.5)
    >>> print(f"{d.log_prob([1.0, 1.0]) - MultivariateNormal([0.0, 1.0], 0.25 * np.eye(2)).log_prob([1.0, 1.0]):.3f}")
    0.000
    >>> MultivariateNormalIsotropic.fit([[0.0, 1.0], [2.0, 1.0], [0.0, 3.0], [2.0, 3.0]])
    MultivariateNormalIsotropic(loc=[1., 2.], scale=1)
    """

    loc: Any = parameter(real, event_dim=1)
    scale: Any = parameter(positive, default=1.0)

    dimension = None
    layout = Layout(VECTOR, (SQUARED_LENGTH,))
    data_support = REAL_VECTOR
    event_dim = 1
    may_be_known = ("loc", "scale")

    def __post_init__(self) -> None:
        if np.ndim(self.loc) == 0:
            raise ValueError(
                f"{type(self).__name__}: loc must be a vector, on the last axis, that tells the number of components; got the"
                f" single number {self.loc}. For d components write np.full(d, {self.loc})."
            )
        super().__post_init__()

    @property
    def event_shape(self) -> tuple[int, ...]:
        """(d,)."""
        return np.shape(self.loc)[-1:]

    @property
    def covariance_matrix(self) -> Array:
        """scale² I, shape batch + (d, d)."""
        (d,) = self.event_shape
        square = jnp.asarray(self.scale)[..., None, None] ** 2
        return jnp.broadcast_to(jnp.where(np.eye(d, dtype=bool), square, 0.0), (*self.batch_shape, d, d))

    @classmethod
    def free_parameters(cls, fit: Self) -> int:
        """d + 1."""
        return fit.event_shape[0] + 1

    # Density.

    def _log_density(self, x: Array) -> Array:
        z = (x - self.loc) / beside(self.scale)
        return -0.5 * jnp.sum(z * z, axis=-1) - self._log_scales()

    def _log_scales(self) -> Array:
        """d (log scale + ½ log 2π)."""
        return self.event_shape[0] * (jnp.log(self.scale) + HALF_LOG_2PI)

    # Moments.

    def _mean(self) -> Any:
        return self.loc

    def _variance(self) -> Any:
        return beside(self.scale**2) * jnp.ones_like(self.loc)

    def _mode(self) -> Any:
        return self.loc

    # Information.

    def _entropy(self) -> Any:
        return self._log_scales() + 0.5 * self.event_shape[0]

    def _kl(self, q: Self) -> Array:
        shift, widening = (self.loc - q.loc) / beside(q.scale), (self.scale - q.scale) / q.scale
        spread = 0.5 * widening * widening + scale_divergence(self.scale, q.scale)
        return 0.5 * jnp.sum(shift * shift, axis=-1) + self.event_shape[0] * spread

    # Exponential family.

    def _natural(self) -> Array:
        precision = jnp.asarray(self.scale)[..., None] ** -2.0
        return join(self.loc * precision, -0.5 * precision)

    @classmethod
    def _from_natural(cls, natural: Array, known: dict[str, Any]) -> Self:
        variance = -0.5 / natural[..., -1]
        return cls._of(loc=natural[..., :-1] * variance[..., None], scale=jnp.sqrt(variance))

    def _expectation(self) -> Array:
        square = jnp.sum(self.loc**2, axis=-1) + self.event_shape[0] * self.scale**2
        return join(self.loc, square[..., None])

    @classmethod
    def _from_expectation(cls, expectation: Array, known: dict[str, Any]) -> Self:
        mean = expectation[..., :-1]
        variance = (expectation[..., -1] - jnp.sum(mean**2, axis=-1)) / mean.shape[-1]
        return cls._of(loc=mean, scale=jnp.sqrt(jnp.where(variance > 0, variance, jnp.nan)))

    def _log_normalizer(self) -> Any:
        z = self.loc / beside(self.scale)
        return 0.5 * jnp.sum(z * z, axis=-1) + self._log_scales()

    def _sufficient_statistics(self, x: Array) -> Array:
        return join(x, jnp.sum(x * x, axis=-1, keepdims=True))

    @classmethod
    def _added_by_gaps(cls, gaps: Array, mean: Array) -> Array:
        return join(jnp.zeros_like(mean), gaps)

    def _fisher_information(self) -> Array:
        (d,) = self.event_shape
        v = jnp.asarray(self.scale)[..., None, None] ** 2
        loc = jnp.asarray(self.loc)[..., None, :]
        square = 2.0 * d * v * v + 4.0 * v * jnp.sum(loc * loc, axis=-1, keepdims=True)
        unit = jnp.eye(d, dtype=v.dtype).reshape((1,) * (v.ndim - 2) + (d, d))
        return blocks(v * unit, jnp.swapaxes(2.0 * v * loc, -1, -2), square)

    def _fisher_solve(self, v: Array) -> Array:
        """x and ‖x − loc‖² are uncorrelated, of variances scale² I and 2d scale⁴."""
        variance, first = jnp.asarray(self.scale)[..., None] ** 2, v[..., :-1]
        about_loc = v[..., -1:] - 2.0 * jnp.sum(self.loc * first, axis=-1, keepdims=True)
        quadratic = 0.5 / self.event_shape[0] * (about_loc / variance) / variance
        return join(first / variance - 2.0 * self.loc * quadratic, quadratic)

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """loc = mean, scale² = mean squared distance from loc over d."""
        nothing = (e.count <= 0, Reason.NO_DATA)
        mean, loc, gap = align(Wide(e.mean, 1), Wide(e.known.get("loc", e.mean), 1), Wide(e.gaps, 1))
        variance = (gap[..., 0] + jnp.sum((mean - loc) ** 2, axis=-1)) / mean.shape[-1]
        loc = jnp.broadcast_to(loc, mean.shape)
        if "scale" in e.known:
            return cls._of(loc=loc, scale=e.known["scale"] * jnp.ones_like(variance)), Outcome.first(nothing)
        outcome = Outcome.first(nothing, (variance <= 0, Reason.ALL_SAME))
        return cls._of(loc=loc, scale=jnp.sqrt(variance)), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        z = jax.random.normal(key, shape + self.event_shape, jnp.result_type(float))
        return self.loc + beside(self.scale) * z
