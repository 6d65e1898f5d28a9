"""The generalised Dirichlet distribution."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import NEGATIVE_LOGS, Carrier, Gap
from surprax.families.base import family
from surprax.families.beta import Beta
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, positive
from surprax.families.supports import OPEN_SIMPLEX
from surprax.numerics.dirichlet import log_dirichlet_density

__all__ = ["GeneralizedDirichlet"]


def _tails(x: Array) -> Array:
    """r_i = x_i + … + x_K."""
    return jnp.flip(jnp.cumsum(jnp.flip(x, -1), axis=-1), -1)


def _before(v: Array) -> Array:
    """Σ_{j<i} v_j for each i."""
    return jnp.concatenate([jnp.zeros_like(v[..., :1]), jnp.cumsum(v[..., :-1], axis=-1)], axis=-1)


def _fractions(x: Array) -> Array:
    return x[..., :-1] / _tails(x)[..., :-1]


def _from_fractions(z: Array) -> Array:
    rest = jnp.cumprod(1.0 - z, axis=-1)
    return jnp.concatenate([z[..., :1], z[..., 1:] * rest[..., :-1], rest[..., -1:]], axis=-1)


_COMPLEMENTS = Gap("log mean - mean log of 1 - z", lambda a, b: NEGATIVE_LOGS.divergence(1.0 - a, 1.0 - b))
_STICK = Carrier("broken fractions", _fractions, _from_fractions, lower=0.0, upper=1.0, rank=1)


@family
class GeneralizedDirichlet(ExponentialFamily):
    """Generalised Dirichlet distribution of K probabilities, by breaking a stick: z_i = x_i/(x_i + … + x_K) ~ Beta(a_i, b_i).

        s(x) = −Σ (a_i − 1) log x_i − Σ γ_i log(1 − x_1 − … − x_i) + Σ log B(a_i, b_i),    i = 1, …, K − 1,
        γ_i = b_i − a_{i+1} − b_{i+1},    γ_{K−1} = b_{K−1} − 1

    Args:
        concentration1: a_1, …, a_{K−1} on the last axis, positive: the part broken off.
        concentration0: b_1, …, b_{K−1} on the last axis, positive: the rest of the stick.

    Natural parameters (a − 1, γ) of T(x) = (log x_i, log(1 − x_1 − … − x_i)). An observation is K numbers above 0 that sum to 1.
    With γ_i = 0 for i < K − 1 it is Dirichlet(a_1, …, a_{K−1}, b_{K−1}). The mode is NaN where the density rises to the border.
    Source: Connor & Mosimann (1969), "Concepts of independence for proportions with a generalization of the Dirichlet
    distribution".

    >>> from surprax.families import Dirichlet
    >>> d = GeneralizedDirichlet([2.0, 3.0], [8.0, 5.0])
    >>> x = [0.2, 0.3, 0.5]
    >>> print(f"{d.log_prob(x):.4f} {Dirichlet([2.0, 3.0, 5.0]).log_prob(x):.4f}", d.mean)
    2.1407 2.1407 [0.2 0.3 0.5]
    """

    concentration1: Any = parameter(positive, event_dim=1)
    concentration0: Any = parameter(positive, event_dim=1)

    dimension = None
    layout = Layout(_STICK, (NEGATIVE_LOGS, _COMPLEMENTS))
    event_dim = 1
    data_support = OPEN_SIMPLEX

    def __post_init__(self) -> None:
        super().__post_init__()
        shapes = np.shape(self.concentration1), np.shape(self.concentration0)
        if not all(shapes) or shapes[0][-1] != shapes[1][-1] or shapes[0][-1] < 1:
            raise ValueError(
                "GeneralizedDirichlet: concentration1 and concentration0 must have equally many numbers on their last axis, "
                f"one for each part but the last; got arrays of shapes {shapes[0]} and {shapes[1]}."
            )

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (int(np.shape(self.concentration1)[-1]) + 1,)

    @classmethod
    def free_parameters(cls, fit: Self) -> int:
        return 2 * (fit.event_shape[0] - 1)

    @property
    def _sticks(self) -> Beta:
        return Beta._of(concentration1=self.concentration1, concentration0=self.concentration0)

    # Density.

    def _log_density(self, x: Array) -> Array:
        """Of independent beta fractions, and the Jacobian Π 1/r_i."""
        r = _tails(x)
        pairs = jnp.stack([x[..., :-1], r[..., 1:]], axis=-1)
        shapes = jnp.stack(jnp.broadcast_arrays(self.concentration1, self.concentration0), axis=-1)
        return jnp.sum(log_dirichlet_density(pairs, shapes), axis=-1) - jnp.sum(jnp.log(r[..., 1:-1]), axis=-1)

    # Moments.

    def _mean(self) -> Array:
        a, b = self.concentration1, self.concentration0
        taken, rest = a / (a + b), jnp.cumprod(b / (a + b), axis=-1)
        return jnp.concatenate([taken[..., :1], taken[..., 1:] * rest[..., :-1], rest[..., -1:]], axis=-1)

    def _variance(self) -> Array:
        """Squared coefficients of variation of independent factors combine as Π (1 + c²) − 1."""
        a, b = jnp.broadcast_arrays(self.concentration1, self.concentration0)
        of_taken, of_rest = (jnp.log1p(v / u / (a + b + 1.0)) for u, v in ((a, b), (b, a)))
        logs = jnp.concatenate([of_taken + _before(of_rest), jnp.sum(of_rest, axis=-1, keepdims=True)], axis=-1)
        return self._mean() ** 2 * jnp.expm1(logs)

    def _mode(self) -> Array:
        a, b = jnp.broadcast_arrays(self.concentration1, self.concentration0)
        one, zero = (
            a - 1.0,
            b - 1.0 - jnp.arange(a.shape[-1] - 1, -1, -1, dtype=a.dtype).reshape((1,) * (a.ndim - 1) + a.shape[-1:]),
        )
        inside, flat = (one > 0) & (zero > 0), (one == 0) & (zero == 0)
        z = jnp.where(inside, one / jnp.where(inside, one + zero, 1.0), jnp.where(flat, 0.5, jnp.nan))
        x = _from_fractions(z)
        return jnp.where(jnp.any(jnp.isnan(z), axis=-1, keepdims=True), jnp.nan, x)

    # Information.

    def _entropy(self) -> Array:
        """Of the fractions, and Σ E log r_i, in which log(1 − z_j) is counted once for each part after the next."""
        _, log_rest = self._sticks._expectation()
        later = jnp.arange(log_rest.shape[-1] - 1, -1, -1, dtype=log_rest.dtype)
        later = later.reshape((1,) * (log_rest.ndim - 1) + later.shape)
        return jnp.sum(self._sticks._entropy() + later * log_rest, axis=-1)

    def _kl(self, q: Self) -> Array:
        return jnp.sum(self._sticks._kl(q._sticks), axis=-1)

    # Exponential family. Statistics are sums of those S = (log z, log(1 − z)) of the fractions:
    # log x_i = log z_i + Σ_{j<i} log(1 − z_j), and log(1 − x_1 − … − x_i) = Σ_{j≤i} log(1 − z_j).

    def _natural(self) -> Array:
        a, b = jnp.broadcast_arrays(self.concentration1, self.concentration0)
        rest = jnp.concatenate([b[..., :-1] - (a[..., 1:] + b[..., 1:]), b[..., -1:] - 1.0], axis=-1)
        return jnp.concatenate([a - 1.0, rest], axis=-1)

    @classmethod
    def _from_natural(cls, natural: Array, known: dict[str, Any]) -> Self:
        one, rest = jnp.split(natural, 2, axis=-1)
        a = one + 1.0
        b = jnp.flip(_before(jnp.flip(a + rest, -1)), -1) + rest + 1.0
        return cls._of(concentration1=jnp.where(a > 0, a, jnp.nan), concentration0=jnp.where(b > 0, b, jnp.nan))

    def _expectation(self) -> Array:
        return _summed(*jnp.broadcast_arrays(*self._sticks._expectation()))

    @classmethod
    def _from_expectation(cls, expectation: Array, known: dict[str, Any]) -> Self:
        sticks = Beta._from_expectation(_unsummed(expectation), {})
        return cls._of(concentration1=sticks.concentration1, concentration0=sticks.concentration0)

    def _log_normalizer(self) -> Array:
        return jnp.sum(self._sticks._log_normalizer(), axis=-1)

    def _sufficient_statistics(self, x: Array) -> Array:
        r = _tails(x)
        return jnp.log(jnp.concatenate([x[..., :-1], r[..., 1:]], axis=-1) / r[..., :1])

    @classmethod
    def _gap_statistics(cls, gaps: Array) -> Array:
        return -_summed(*jnp.split(gaps, 2, axis=-1))

    def _fisher_information(self) -> Array:
        """L F Lᵀ with the 2 × 2 blocks F of the fractions and the sums L."""
        (aa, ab), (_, bb) = self._sticks._fisher_information()
        size = self.event_shape[0] - 1
        own, before, upto = np.eye(size), np.tril(np.ones((size, size)), -1), np.tril(np.ones((size, size)))
        L = jnp.asarray(np.block([[own, before], [0 * own, upto]]), aa.dtype)
        unit = jnp.asarray(own, aa.dtype).reshape((1,) * (aa.ndim - 1) + own.shape)
        above, below = (jnp.concatenate([v[..., None] * unit for v in pair], axis=-1) for pair in ((aa, ab), (ab, bb)))
        F = jnp.concatenate([above, below], axis=-2)
        return jnp.einsum("ij,...jk,lk->...il", L, F, L, precision="highest")

    def _fisher_solve(self, v: Array) -> Array:
        """L⁻ᵀ F⁻¹ L⁻¹ v: differences, one 2 × 2 system each, and differences again."""
        one, zero = _unsummed(v)
        (aa, ab), (_, bb) = self._sticks._fisher_information()
        determinant = aa * bb - ab * ab
        a, b = (bb * one - ab * zero) / determinant, (aa * zero - ab * one) / determinant
        after = jnp.concatenate([(a + b)[..., 1:], jnp.zeros_like(b[..., :1])], axis=-1)
        return jnp.concatenate([a, b - after], axis=-1)

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """That of each fraction by itself."""
        one, zero = jnp.split(e.gaps, 2, axis=-1)
        count = jnp.broadcast_to(e.count[..., None], e.mean.shape)
        sticks, each = Beta._fit_moments(e._replace(count=count, gaps=jnp.stack([one, zero], axis=-1)))
        outcome = Outcome.first(
            (e.count <= 0, Reason.NO_DATA),
            (jnp.any((one <= 0) & (zero <= 0), axis=-1), Reason.ALL_SAME),
            (~jnp.all(each.ok, axis=-1), Reason.NOT_CONVERGED),
        )
        return cls._of(concentration1=sticks.concentration1, concentration0=sticks.concentration0), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        """Fractions of gamma variables, by their logarithms, as those of small shapes underflow."""
        dtype = jnp.result_type(float)
        keys = jax.random.split(key)
        size = (*shape, self.event_shape[0] - 1)
        one = jax.random.loggamma(keys[0], self.concentration1, size, dtype)
        zero = jax.random.loggamma(keys[1], self.concentration0, size, dtype)
        both = jnp.logaddexp(one, zero)
        log_taken, log_rest = one - both, zero - both
        logs = jnp.concatenate([log_taken + _before(log_rest), jnp.sum(log_rest, axis=-1, keepdims=True)], axis=-1)
        return jnp.maximum(jax.nn.softmax(logs, axis=-1), jnp.finfo(dtype).tiny)


def _summed(one: Array, zero: Array) -> Array:
    """Statistics from those of the fractions."""
    return jnp.concatenate([one + _before(zero), jnp.cumsum(zero, axis=-1)], axis=-1)


def _unsummed(statistics: Array) -> tuple[Array, Array]:
    """Inverse of `_summed`."""
    one, zero = jnp.split(statistics, 2, axis=-1)
    before = jnp.concatenate([jnp.zeros_like(zero[..., :1]), zero[..., :-1]], axis=-1)
    return one - before, zero - before
