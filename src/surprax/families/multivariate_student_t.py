"""The multivariate Student t distribution."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.families.base import Distribution, family
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, positive, real
from surprax.families.scale_matrices import as_scale_tril, as_vector, gram, lower_cholesky
from surprax.families.student_t import half_step
from surprax.families.supports import REAL_VECTOR
from surprax.numerics import linalg
from surprax.numerics.elementary import log1p_minus, with_derivatives
from surprax.numerics.gamma_differences import log_gamma_difference
from surprax.numerics.linalg import beside, cholesky_unless_singular, log_det, matvec, solve_lower
from surprax.numerics.normal import HALF_LOG_2PI
from surprax.numerics.roots import newton

__all__ = ["MultivariateStudentT"]

_PASSES = 2000
_LEAST_DF, _MOST_DF = 0.05, 1e7


@family
class MultivariateStudentT(Distribution):
    """Multivariate Student t distribution: s(x) = (ν + d)/2 · log(1 + ‖z‖²/ν) + log det L + log of a constant, z = L⁻¹(x − loc).

    Args:
        df: degrees of freedom ν, positive; the tails fall like ‖x‖^−(ν + d).
        loc: centre and mode, d finite numbers on the last axis; a single number stands for d equal ones.
        scale_tril: L, lower triangular with a positive diagonal. This is what is stored. Or else
        scale_matrix: L Lᵀ, symmetric and positive definite; the covariance is ν/(ν − 2) of it, where ν > 2.

    The constant is Γ(ν/2) (πν)^(d/2)/Γ((ν + d)/2). All formulas hold their digits up to the normal limit. `fit` refuses data whose
    tails are no heavier than normal, where the likelihood grows towards ν = ∞. Source: Kotz & Nadarajah (2004), chapter 1; Liu &
    Rubin (1995), Statistica Sinica 5, 19; Kent, Tyler & Vardi (1994), Communications in Statistics B 23, 441.

    >>> from surprax.families import StudentT
    >>> d = MultivariateStudentT(3.0, [1.0], scale_matrix=[[4.0]])
    >>> print(f"{d.log_prob([2.5]) - StudentT(3.0, 1.0, 2.0).log_prob(2.5):.3f}")
    0.000
    """

    df: Any = parameter(positive)
    loc: Any = parameter(real, event_dim=1)
    scale_tril: Any = parameter(lower_cholesky, event_dim=2)

    data_support = REAL_VECTOR
    event_dim = 1
    lacks = {"kl": "it has no closed form, and an integral over vectors has no good one"}

    def __init__(self, df: Any, loc: Any = 0.0, scale_tril: Any = None, scale_matrix: Any = None) -> None:
        name = type(self).__name__
        factor = as_scale_tril(name, scale_tril=scale_tril, scale_matrix=scale_matrix)
        object.__setattr__(self, "df", df)
        object.__setattr__(self, "loc", as_vector(name, "loc", loc, np.shape(factor)[-1]))
        object.__setattr__(self, "scale_tril", factor)
        self.__post_init__()

    @property
    def event_shape(self) -> tuple[int, ...]:
        """(d,)."""
        return np.shape(self.loc)[-1:]

    @property
    def scale_matrix(self) -> Any:
        """L Lᵀ, shape batch + (d, d)."""
        return gram(self.scale_tril)

    @property
    def covariance(self) -> Array:
        """Cov(X), shape batch + (d, d): ν/(ν − 2) L Lᵀ; ∞ for ν ≤ 2 on the diagonal, NaN where there is none."""
        own = linalg.identity(jnp.asarray(self.scale_matrix)) > 0
        factor = beside(_variance_factor(jnp.asarray(self.df)), 2)
        return jnp.where(own | jnp.isfinite(factor), factor * jnp.asarray(self.scale_matrix), jnp.nan)

    @classmethod
    def free_parameters(cls, fit: Self) -> int:
        """1 + d + d(d + 1)/2."""
        (d,) = fit.event_shape
        return 1 + d + d * (d + 1) // 2

    # Density.

    def _log_density(self, x: Array) -> Array:
        z, d = solve_lower(self.scale_tril, x - self.loc), float(x.shape[-1])
        return _level(self.df, d) - log_det(self.scale_tril) - _kernel_of(z, self.df, d)

    # Moments.

    def _mean(self) -> Any:
        return jnp.where(beside(self.df) > 1.0, self.loc, jnp.nan)

    def _variance(self) -> Any:
        return beside(_variance_factor(self.df)) * jnp.sum(jnp.asarray(self.scale_tril) ** 2, axis=-1)

    def _mode(self) -> Any:
        return self.loc

    # Information.

    def _entropy(self) -> Any:
        """E log(1 + ‖Z‖²/ν) = ψ((ν + d)/2) − ψ(ν/2)."""
        (d,) = self.event_shape
        half = 0.5 * jnp.asarray(self.df)
        rise = jax.jvp(lambda a: log_gamma_difference(a, 0.5 * d), (half,), (jnp.ones_like(half),))[1]
        return log_det(self.scale_tril) - _level(self.df, float(d)) + (half + 0.5 * d) * rise

    def _kl(self, q: Self) -> Array:
        raise NotImplementedError

    # Maximum likelihood.

    @classmethod
    def _fit_sample(
        cls, x: Array, weights: Array | None, known: dict[str, Any], start: Self | None = None
    ) -> tuple[Self, Outcome]:
        """Expectation-maximisation with a free scale for the hidden precisions, and Newton steps in ν for the likelihood itself."""
        n, d = x.shape
        weights = jnp.ones(n, x.dtype) if weights is None else weights
        total = jnp.sum(weights)
        share = weights / jnp.where(total > 0, total, 1.0)
        mean = jnp.sum(share[:, None] * x, axis=0)
        spread = _scatter(x - mean[None], share)
        normal, singular = cholesky_unless_singular(spread)
        distance = jnp.sum(solve_lower(normal[None], x - mean[None]) ** 2, axis=-1)
        # Mardia's kurtosis, d (d + 2) for normal data: the slope of the likelihood in 1/ν at 0 has the sign of its excess.
        light = jnp.sum(share * distance**2) <= d * (d + 2)
        first = (jnp.asarray(8.0, x.dtype), mean, normal) if start is None else (start.df, start.loc, start.scale_tril)

        def unfinished(state: Any) -> Array:
            count, _, moved = state
            return (count < _PASSES) & (moved > 1e-11)

        def improve(state: Any) -> Any:
            count, (df, loc, factor), _ = state
            distance = jnp.sum(solve_lower(factor[None], x - loc[None]) ** 2, axis=-1)
            pull = share * ((df + d) / (df + distance))
            pull = pull / jnp.sum(pull)
            new_loc = jnp.sum(pull[:, None] * x, axis=0)
            new_factor, _ = cholesky_unless_singular(_scatter(x - new_loc[None], pull))
            distance = jnp.sum(solve_lower(new_factor[None], x - new_loc[None]) ** 2, axis=-1)
            new_df = _best_df(distance, share, d, df)
            step = jnp.max(jnp.abs(solve_lower(new_factor, new_loc - loc)))
            moved = jnp.maximum(step, jnp.max(jnp.abs(new_factor - factor)) / jnp.max(new_factor))
            moved = jnp.maximum(moved, jnp.abs(jnp.log(new_df / df)))
            return count + 1, (new_df, new_loc, new_factor), moved

        limit = jnp.where(singular | (total <= 0) | light, _PASSES, 0)
        begin = (limit.astype(jnp.int32), first, jnp.asarray(jnp.inf, x.dtype))
        _, (df, loc, factor), moved = jax.lax.while_loop(unfinished, improve, begin)
        outcome = Outcome.first(
            (total <= 0, Reason.NO_DATA),
            (singular, Reason.TOO_FEW),
            (light, Reason.LIGHT_TAILS),
            ((df <= 2 * _LEAST_DF) | ~jnp.all(jnp.isfinite(factor)), Reason.POINT_MASS),
            (moved > 1e-11, Reason.NOT_CONVERGED),
        )
        df = jnp.where(light, jnp.inf, df)
        loc, factor = (jnp.where(light, a, b) for a, b in ((mean, loc), (normal, factor)))
        return cls._of(df=df, loc=loc, scale_tril=factor), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        of_normal, of_scale = jax.random.split(key)
        dtype = jnp.result_type(float)
        z = jax.random.normal(of_normal, shape + self.event_shape, dtype)
        half = jnp.broadcast_to(0.5 * jnp.asarray(self.df, dtype), shape)
        # In logarithms: a gamma draw of a small shape underflows.
        log_scale = 0.5 * (jnp.log(half) - jax.random.loggamma(of_scale, half))
        return self.loc + matvec(self.scale_tril, z * jnp.exp(log_scale)[..., None])


def _variance_factor(df: Array) -> Array:
    above = df > 2.0
    factor = df / (jnp.where(above, df, 3.0) - 2.0)
    return jnp.where(above, factor, jnp.where(df > 1.0, jnp.inf, jnp.nan))


# The density in parts.


def _level(nu: Array, d: float) -> Array:
    """Log density at the centre, for L = I: −d/2 · log 2π in the normal limit.

    lnΓ(a + d/2) − lnΓ(a) − d/2 · log a at a = ν/2, by whole steps of the recurrence, Σ log(1 + j/a), and half a one where d is odd:
    its slope is of the order 1/a², and 0 for two numbers.
    """
    a = 0.5 * jnp.asarray(nu)
    whole, odd = divmod(int(d), 2)
    steps = jnp.arange(1, max(whole, 1), dtype=a.dtype).reshape((-1,) + (1,) * a.ndim)
    value = jnp.sum(jnp.log1p(steps / a[None]), axis=0)
    if odd:
        value = value + 0.5 * jnp.log1p(whole / a) + half_step(2.0 * (a + whole))
    return value - HALF_LOG_2PI * d


def _slope_in_df(q: Array, nu: Array, d: Array) -> Array:
    """½ (log(1 + r) − r/(1 + r)) − d/2 · r/(1 + r)/ν at r = q/ν."""
    share = q / (nu + q)
    return -0.5 * log1p_minus(-share) - 0.5 * d * share / nu


@with_derivatives(lambda q, nu, d: 0.5 * (nu + d) / (nu + q), _slope_in_df, lambda q, nu, d: 0.5 * jnp.log1p(q / nu))
def _kernel(q: Array, nu: Array, d: Array) -> Array:
    """(ν + d)/2 · log(1 + q/ν) for q ≥ 0."""
    return 0.5 * (nu + d) * jnp.log1p(q / nu)


def _kernel_of(z: Array, nu: Array, d: float) -> Array:
    """The kernel at q = ‖z‖², also where that overflows: then with the largest component c taken out, 2 log c + log ‖z/c‖²/ν."""
    largest = jnp.max(jnp.abs(z), axis=-1)
    far = largest > float(jnp.finfo(z.dtype).max) ** 0.5 / 8.0 / d
    inner = jnp.where(far[..., None], 0.0, z)
    c = jax.lax.stop_gradient(jnp.where(far, largest, 1.0))
    outer_part = jnp.where(far[..., None], z, 1.0) / c[..., None]
    beyond = 0.5 * (nu + d) * (2.0 * jnp.log(c) + jnp.log(jnp.sum(outer_part**2, axis=-1) / nu))
    return jnp.where(far, beyond, _kernel(jnp.sum(inner * inner, axis=-1), nu, d))


# The fit in parts.


def _scatter(x: Array, weights: Array) -> Array:
    return jnp.einsum("ni,nj->ij", weights[:, None] * x, x, precision="highest")


def _best_df(distance: Array, share: Array, d: int, df: Array) -> Array:
    """ν nearer to the maximum of the likelihood at given distances: a few safeguarded Newton steps."""

    def fall(nu: Array) -> Array:
        rise = jax.jvp(lambda n: _level(n, float(d)), (nu,), (jnp.ones_like(nu),))[1]
        return jnp.sum(share * _slope_in_df(distance, nu, jnp.asarray(float(d)))) - rise

    def function(nu: Array) -> tuple[Array, Array]:
        return jax.jvp(fall, (nu,), (jnp.ones_like(nu),))

    return newton(function, df, _LEAST_DF, _MOST_DF, steps=3)[0]
