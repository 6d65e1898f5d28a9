"""The Gumbel distribution."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.families.base import Distribution, family
from surprax.families.outcomes import Outcome
from surprax.families.parameters import parameter, positive, real
from surprax.families.passes import fit_smallest_extreme, no_data
from surprax.families.supports import REAL
from surprax.numerics.elementary import as_floats, by_dtype, deviance, expm1_minus, log1mexp, polynomial
from surprax.numerics.gamma import log_gamma

__all__ = ["Gumbel", "divergence_of_extremes", "log_gamma_at_two", "log_surprise", "log_unlikely"]

_EULER = float(np.euler_gamma)
# (ζ(k) − 1)/k for k = 2, 3, …, the far part of the sum by Euler and Maclaurin.
_N = np.arange(2.0, 1000.0)
_ZETA = tuple(
    float(np.sum(_N**-k) + 1000.0 ** (1 - k) / (k - 1) + 0.5 * 1000.0**-k + k / 12 * 1000.0 ** (-k - 1)) / k
    for k in range(2, 28)
)


@family
class Gumbel(Distribution):
    """Gumbel distribution of the greatest of many: s(x) = z + e^−z + log scale, where z = (x − loc) / scale.

    Args:
        loc: mode, finite.
        scale: positive; the standard deviation is π scale / √6.

    −log X of a Weibull variable is Gumbel with scale 1/concentration. `fit` refuses data that are all equal. Source: Johnson,
    Kotz & Balakrishnan (1995), chapter 22; KL by way of E e^−tz = Γ(1 + t).

    >>> Gumbel(0.0, 1.0).cdf(0.0).round(3).item()  # 1/e
    0.368
    >>> Gumbel.fit([0.0, 1.0, 2.0, 5.0])
    Gumbel(loc=1.1432..., scale=1.3779...)
    """

    loc: Any = parameter(real, default=0.0)
    scale: Any = parameter(positive, default=1.0)

    data_support = REAL

    # Density.

    def _log_density(self, x: Array) -> Array:
        # z + e^−z = 1 + (e^−z − 1 + z): a square near the mode, and its slope too keeps its digits there.
        return -expm1_minus((self.loc - x) / self.scale) - (jnp.log(self.scale) + 1.0)

    # Moments.

    def _mean(self) -> Any:
        return self.loc + _EULER * self.scale

    def _variance(self) -> Any:
        return (np.pi**2 / 6.0) * self.scale**2

    def _mode(self) -> Any:
        return self.loc

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return -jnp.exp((self.loc - x) / self.scale)

    def _log_sf(self, x: Array) -> Array:
        return log_unlikely((self.loc - x) / self.scale)

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        return self.loc - self.scale * log_surprise(log_q, log_p)

    # Information.

    def _entropy(self) -> Any:
        return jnp.log(self.scale) + (_EULER + 1.0)

    def _kl(self, q: Self) -> Array:
        return divergence_of_extremes(self.scale, q.scale, (q.loc - self.loc) / q.scale)

    # Maximum likelihood.

    @classmethod
    def _fit_sample(
        cls, x: Array, weights: Array | None, known: dict[str, Any], start: Self | None = None
    ) -> tuple[Self, Outcome]:
        """−X has the distribution of the least of many: a concave problem in the scale alone."""
        if x.shape[0] == 0:
            return no_data(cls, x)
        location, rate, outcome = fit_smallest_extreme(-x, weights, None if start is None else 1.0 / start.scale)
        return cls._of(loc=-location, scale=1.0 / rate), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        return self.loc + self.scale * jax.random.gumbel(key, shape, jnp.result_type(float), mode="high")


def log_unlikely(y: Array) -> Array:
    """log(1 − exp(−e^y)): the log-probability of an event whose complement has log-surprise y. About y below, 0 above.

    Written so that y far below 0, where e^y underflows, keeps its digits and its slope 1.
    """
    rare = y < -20.0
    return jnp.where(rare, y - 0.5 * jnp.exp(jnp.where(rare, y, -20.0)), log1mexp(jnp.exp(jnp.where(rare, 0.0, y))))


def log_surprise(log_p: Array, log_q: Array) -> Array:
    """log(−log q) for q = 1 − p, given both logarithms: the inverse of `log_unlikely`, right also where q rounds to 1."""
    rare = log_p < -20.0
    low = jnp.where(rare, log_p, -20.0)
    return jnp.where(rare, low + 0.5 * jnp.exp(low), jnp.log(-jnp.where(rare, -1.0, log_q)))


def log_gamma_at_two(u: Array) -> Array:
    """lnΓ(2 + u) − ψ(2) u ≥ 0 for u ≥ −1: what lnΓ has beyond its tangent at 2, in full relative accuracy as u → 0.

    Near 0 by Σ (ζ(k) − 1)(−u)ᵏ/k (Abramowitz & Stegun 6.1.33).
    """
    (u,) = as_floats(u)
    near = jnp.abs(u) <= 0.5
    v = jnp.where(near, u, 0.0)
    series = v * v * polynomial(-v, _ZETA[: by_dtype(u, 12, 26)])
    far = jnp.where(near, 1.0, u)
    return jnp.where(near, series, log_gamma(2.0 + far) - (1.0 - _EULER) * far)


def divergence_of_extremes(p_scale: Array, q_scale: Array, shift: Array) -> Array:
    """KL between two Weibull or two Gumbel distributions, in the coordinate where each is an affine function of log E.

    Under p, log E with E standard exponential; under q, a log E + c with a = p_scale/q_scale and c = `shift`. Then

        KL = (e^w − 1 − w) + (lnΓ(a) + γ (a − 1)),   w = c + lnΓ(1 + a),

    and both brackets are ≥ 0: a Bregman divergence of exp, and one of lnΓ at 1.
    """
    u = (p_scale - q_scale) / q_scale
    beyond = log_gamma_at_two(u)
    w = shift + (beyond + (1.0 - _EULER) * u)
    return expm1_minus(w) + (beyond + deviance(q_scale, p_scale) / q_scale)
