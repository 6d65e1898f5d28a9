"""The multivariate normal distribution of independent components."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import SQUARES, VECTOR
from surprax.families.base import family
from surprax.families.batches import Wide, align
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, positive, real
from surprax.families.scale_matrices import as_vector
from surprax.families.supports import REAL_VECTOR
from surprax.numerics.elementary import scale_divergence
from surprax.numerics.linalg import identity, join
from surprax.numerics.normal import HALF_LOG_2PI

__all__ = ["MultivariateNormalDiag"]


@family
class MultivariateNormalDiag(ExponentialFamily):
    """Normal vectors with a diagonal covariance matrix: s(x) = Σᵢ (½ ((xᵢ − locᵢ)/scaleᵢ)² + log scaleᵢ + ½ log 2π).

    Args:
        loc: mean and mode, d finite numbers on the last axis.
        scale_diag: standard deviations, d positive numbers on the last axis, by the name of TensorFlow Probability and Distrax.

    For either of the two a single number stands for d equal ones. Natural parameters (loc/scale², −1/(2 scale²)) of
    T(x) = (x, x²), 2d numbers; log-normaliser Σ (½ (loc/scale)² + log scale + ½ log 2π). All methods but `fisher_information`
    cost O(d). `fit` gives mean and standard deviations of the data (divided by n), and may be told `loc` or `scale_diag`; it
    refuses data of which a component does not vary. Source: Mardia, Kent & Bibby (1979), section 3.1.

    >>> from surprax.families import MultivariateNormal
    >>> d = MultivariateNormalDiag([0.0, 1.0], [2.0, 0.5])
    >>> print(f"{d.log_prob([1.0, 1.0]) - MultivariateNormal([0.0, 1.0], [[4.0, 0.0], [0.0, 0.25]]).log_prob([1.0, 1.0]):.3f}")
    0.000
    """

    loc: Any = parameter(real, event_dim=1)
    scale_diag: Any = parameter(positive, event_dim=1)

    dimension = None
    layout = Layout(VECTOR, (SQUARES,))
    data_support = REAL_VECTOR
    event_dim = 1
    may_be_known = ("loc", "scale_diag")

    def __init__(self, loc: Any = 0.0, scale_diag: Any = 1.0) -> None:
        name = type(self).__name__
        if np.ndim(loc) == np.ndim(scale_diag) == 0:
            raise ValueError(
                f"{name}: loc or scale_diag must be a vector, on the last axis, that tells the number of components; got single"
                f" numbers for both. For one component write [{loc}]."
            )
        size = np.shape(scale_diag if np.ndim(scale_diag) else loc)[-1]
        object.__setattr__(self, "loc", as_vector(name, "loc", _as_array(loc), size))
        object.__setattr__(self, "scale_diag", as_vector(name, "scale_diag", _as_array(scale_diag), size))
        self.__post_init__()

    @property
    def event_shape(self) -> tuple[int, ...]:
        """(d,)."""
        return np.shape(self.loc)[-1:]

    @property
    def covariance_matrix(self) -> Array:
        """diag(scale²), shape batch + (d, d)."""
        return _diagonal_matrix(jnp.asarray(self.scale_diag) ** 2)

    @property
    def precision_matrix(self) -> Array:
        """diag(1/scale²), shape batch + (d, d)."""
        return _diagonal_matrix(jnp.asarray(self.scale_diag) ** -2.0)

    @classmethod
    def free_parameters(cls, fit: Self) -> int:
        """2d."""
        return 2 * fit.event_shape[0]

    # Density.

    def _log_density(self, x: Array) -> Array:
        z = (x - self.loc) / self.scale_diag
        return -0.5 * jnp.sum(z * z, axis=-1) - self._log_scales()

    def _log_scales(self) -> Array:
        """Σ (log scale + ½ log 2π)."""
        return jnp.sum(jnp.log(self.scale_diag), axis=-1) + HALF_LOG_2PI * self.event_shape[0]

    # Moments.

    def _mean(self) -> Any:
        return self.loc

    def _variance(self) -> Any:
        return self.scale_diag**2

    def _mode(self) -> Any:
        return self.loc

    # Information.

    def _entropy(self) -> Any:
        return self._log_scales() + 0.5 * self.event_shape[0]

    def _kl(self, q: Self) -> Array:
        shift, widening = (self.loc - q.loc) / q.scale_diag, (self.scale_diag - q.scale_diag) / q.scale_diag
        each = 0.5 * (shift * shift + widening * widening) + scale_divergence(self.scale_diag, q.scale_diag)
        return jnp.sum(each, axis=-1)

    # Exponential family.

    def _natural(self) -> Array:
        precision = self.scale_diag**-2.0
        return join(self.loc * precision, -0.5 * precision)

    @classmethod
    def _from_natural(cls, natural: Array, known: dict[str, Any]) -> Self:
        linear, quadratic = _halves(natural)
        variance = -0.5 / quadratic
        return cls._of(loc=linear * variance, scale_diag=jnp.sqrt(variance))

    def _expectation(self) -> Array:
        return join(self.loc, self.loc**2 + self.scale_diag**2)

    @classmethod
    def _from_expectation(cls, expectation: Array, known: dict[str, Any]) -> Self:
        mean, square = _halves(expectation)
        variance = square - mean**2
        return cls._of(loc=mean, scale_diag=jnp.sqrt(jnp.where(variance > 0, variance, jnp.nan)))

    def _log_normalizer(self) -> Any:
        return 0.5 * jnp.sum((self.loc / self.scale_diag) ** 2, axis=-1) + self._log_scales()

    def _sufficient_statistics(self, x: Array) -> Array:
        return join(x, x * x)

    @classmethod
    def _gap_statistics(cls, gaps: Array) -> Array:
        return join(jnp.zeros_like(gaps), gaps)

    def _fisher_information(self) -> Array:
        v = self.scale_diag**2
        cross, square = 2.0 * self.loc * v, 2.0 * v * v + 4.0 * self.loc**2 * v
        v, cross, square = (_diagonal_matrix(part) for part in jnp.broadcast_arrays(v, cross, square))
        return jnp.block([[v, cross], [cross, square]])

    def _fisher_solve(self, v: Array) -> Array:
        """Of each component alone: x and (x − loc)² are uncorrelated, of variances scale² and 2 scale⁴."""
        first, second = _halves(v)
        variance = self.scale_diag**2
        quadratic = 0.5 * ((second - 2.0 * self.loc * first) / variance) / variance
        return join(first / variance - 2.0 * self.loc * quadratic, quadratic)

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """Of each component alone: mean, and root of the mean squared deviation from loc."""
        nothing = (e.count <= 0, Reason.NO_DATA)
        mean, loc, variance = align(Wide(e.mean, 1), Wide(e.known.get("loc", e.mean), 1), Wide(e.gaps, 1))
        variance = variance + (mean - loc) ** 2
        loc = jnp.broadcast_to(loc, mean.shape)
        if "scale_diag" in e.known:
            return cls._of(loc=loc, scale_diag=e.known["scale_diag"]), Outcome.first(nothing)
        flat = jnp.any(variance <= 0, axis=-1)
        return cls._of(loc=loc, scale_diag=jnp.sqrt(variance)), Outcome.first(nothing, (flat, Reason.TOO_FEW))

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        return self.loc + self.scale_diag * jax.random.normal(key, shape + self.event_shape, jnp.result_type(float))


def _as_array(value: Any) -> Any:
    return value if hasattr(value, "shape") else np.asarray(value, np.float64)


def _diagonal_matrix(v: Array) -> Array:
    square = v[..., None] * jnp.ones_like(v)[..., None, :]
    return jnp.where(identity(square) > 0, square, 0.0)


def _halves(vector: Array) -> tuple[Array, Array]:
    """The two vectors of d numbers each; an error where their number is odd."""
    if vector.shape[-1] % 2:
        raise ValueError(f"MultivariateNormalDiag has 2d parameters, on the last axis; got {vector.shape[-1]}.")
    d = vector.shape[-1] // 2
    return vector[..., :d], vector[..., d:]
