"""What a `ConjugatePrior` predicts: the mixture of the family's members that it believes in."""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from surprax.numerics.precision import in_float64, is_traced
from surprax.units import Unit, from_nats

__all__ = ["ConjugatePredictive"]

_AT_ONCE = 16


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class ConjugatePredictive:
    """The law of the next observation under a `ConjugatePrior`, ∫ p(x | η) p(η) dη: a mixture over the grid of that integral.

    Attributes:
        members: of the family, along one axis.
        log_weights: logarithms of their weights, which sum to 1.

    All is computed in float64 whatever JAX's default precision. So far out that one observation would outweigh the belief, the
    grid is thin (an error of 0.0003 nats where the surprise is 257); `log_evidence` of it is exact there. Entropy and divergences
    of a mixture have no closed form: average `surprise` over samples.

    >>> import surprax as sx
    >>> belief = sx.ConjugatePrior(sx.Poisson, [6.0], 3.0)
    >>> ours, named = sx.predictive(belief, sx.Poisson), sx.predictive(sx.Gamma(6.0, 3.0), sx.Poisson)
    >>> print(ours.log_prob(4).round(6), named.log_prob(4).round(6))
    -2.434988 -2.434988
    """

    members: Any
    log_weights: Any

    @property
    def support(self) -> Any:
        """Where the density may be positive."""
        return self.members.support

    def log_prob(self, x: ArrayLike) -> Any:
        """Log-density (log-probability, if discrete) at `x`, in nats; shape of `x`."""
        return _mixed(self, x, "log_prob")

    def surprise(self, x: ArrayLike, unit: Unit = "nat") -> Any:
        """Surprise at `x`, in `unit`; shape of `x`."""
        return from_nats(0.0 - self.log_prob(x), unit)

    def log_cdf(self, x: ArrayLike) -> Any:
        """log P(X ≤ x); shape of `x`."""
        return _mixed(self, x, "log_cdf")

    def log_sf(self, x: ArrayLike) -> Any:
        """log P(X > x); shape of `x`."""
        return _mixed(self, x, "log_sf")

    def cdf(self, x: ArrayLike) -> Any:
        """P(X ≤ x); shape of `x`."""
        return jnp.exp(self.log_cdf(x))

    @property
    def mean(self) -> Any:
        """Expected value."""
        return _moments(self)[0]

    @property
    def variance(self) -> Any:
        """Variance: the mean of the variances and the variance of the means."""
        return _moments(self)[1]

    def sample(self, key: Array, shape: tuple[int, ...] = ()) -> Array:
        """Draws, of shape `shape`: of a member by its weight, and from it. `key` is a JAX random key."""
        key_member, key_draw = jax.random.split(key)
        chosen = jax.random.categorical(key_member, _in_range(self.log_weights), shape=shape)
        return self.members[chosen].sample(key_draw)

    def __repr__(self) -> str:
        return f"ConjugatePredictive({type(self.members).__name__}, {len(self.log_weights)} members)"


def _in_range(log_weights: Any) -> Array:
    """As float32 can hold them too."""
    return jnp.asarray((jnp if is_traced(log_weights) else np).maximum(log_weights, -1e4))


@functools.partial(in_float64, static_argnames=("method",))
def _mixed(law: ConjugatePredictive, x: Any, method: str) -> Any:
    x = jnp.asarray(x, jnp.result_type(float))

    def at(value: Array) -> Array:
        return jax.nn.logsumexp(law.log_weights + getattr(law.members, method)(value))

    return jax.lax.map(at, x.ravel(), batch_size=_AT_ONCE).reshape(x.shape)


@in_float64
def _moments(law: ConjugatePredictive) -> Any:
    weights = jnp.exp(law.log_weights)
    some = weights > 0
    means, variances = law.members.mean, law.members.variance
    mean = jnp.sum(weights * jnp.where(some, means, 0.0))
    return mean, jnp.sum(weights * jnp.where(some, variances + (means - mean) ** 2, 0.0))
