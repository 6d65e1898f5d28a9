"""The uniform distribution."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence import Extremes
from surprax.families.base import Distribution, family
from surprax.families.fitting import make_extremes
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, real
from surprax.families.passes import no_data, weighted_range
from surprax.families.supports import REAL, Support
from surprax.numerics.precision import is_traced

__all__ = ["Uniform"]


@family
class Uniform(Distribution):
    """Uniform distribution: surprise log(high − low) everywhere in [low, high].

    Args:
        low: left end, finite.
        high: right end, finite, above `low`.

    `fit` gives the least and the greatest observation, which with their number are also the evidence; it refuses data that are
    all equal. KL to another uniform is the log of the ratio of widths where that one covers this one, else +inf. Source:
    Johnson, Kotz & Balakrishnan (1995), chapter 26.

    >>> Uniform(0.0, 8.0).surprise(5.0, "bit").round(3).item()  # 8 = 2³
    3.0
    >>> Uniform.fit([2.0, 5.0, 3.0])
    Uniform(low=2, high=5)
    """

    low: Any = parameter(real, default=0.0)
    high: Any = parameter(real, default=1.0)

    may_be_known = ("low",)
    data_support = REAL
    smooth = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if is_traced(self.low, self.high):
            return
        low, high = np.broadcast_arrays(self.low, self.high)
        bad = np.argwhere(~(low < high))
        if bad.size or (low.ndim == 0 and not low < high):
            index = tuple(int(i) for i in bad[0])
            where = f" at index {index if len(index) > 1 else index[0]}" if index else ""
            raise ValueError(f"Uniform: low must be below high; got {low[index]!s} and {high[index]!s}{where}.")

    @property
    def support(self) -> Support:
        return Support(self.low, self.high)

    # Density.

    def _log_width(self) -> Array:
        width = self.high - self.low
        return jnp.log(jnp.where(width > 0, width, jnp.nan))

    def _log_density(self, x: Array) -> Array:
        return -self._log_width() * jnp.ones_like(x)

    # Moments.

    def _mean(self) -> Any:
        return self.low + 0.5 * (self.high - self.low)

    def _variance(self) -> Any:
        return (self.high - self.low) ** 2 / 12.0

    def _mode(self) -> Any:
        """All points are modes; this is the least."""
        return self.low

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        share = (x - self.low) / (self.high - self.low)
        return _log_share(share, (self.high - x) / (self.high - self.low))

    def _log_sf(self, x: Array) -> Array:
        share = (self.high - x) / (self.high - self.low)
        return _log_share(share, (x - self.low) / (self.high - self.low))

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        width = self.high - self.low
        lower = log_p < log_q
        return jnp.where(lower, self.low + width * jnp.exp(log_p), self.high - width * jnp.exp(log_q))

    # Information.

    def _entropy(self) -> Any:
        return self._log_width()

    def _kl(self, q: Self) -> Array:
        below, above = self.low - q.low, q.high - self.high
        inside = (below >= 0) & (above >= 0)
        # The widths differ by what sticks out at the ends: no difference of widths is formed.
        excess = (below + above) / (self.high - self.low)
        valid = jnp.isnan(below + above) | ~(self.high > self.low) | ~(q.high > q.low)
        return jnp.where(valid, jnp.nan, jnp.where(inside, jnp.log1p(jnp.where(inside, excess, 0.0)), jnp.inf))

    # Maximum likelihood.

    @classmethod
    def evidence(cls, x: Any, weights: Any = None, *, by: Any = None, **known: Any) -> Extremes:
        """What observations say to a uniform distribution: their number, the least and the greatest of them.

        Args:
            x: observations on the first axis; further axes are batch.
            weights: ≥ 0, same shape as `x`; None for 1 each. Observations of weight 0 are as if they were not there.
            by: labels of groups, one per observation.
            known: `low`, for a belief about `high`.

        Raises:
            ValueError: naming the first row that is not finite, or below the known `low`.

        >>> Uniform.evidence([2.0, 5.0]) + Uniform.evidence([3.0])
        Evidence(Uniform, count=3, from 2 to 5)
        """
        return make_extremes(cls, x, weights, by, known)

    @classmethod
    def _data_support(cls, known: dict[str, Any]) -> Support:
        return Support(float(np.max(known["low"]))) if "low" in known else cls.data_support

    @classmethod
    def _fit_extremes(cls, e: Extremes) -> tuple[Self, Outcome]:
        """The narrowest interval that holds the data."""
        low = e.known.get("low", e.low) * jnp.ones_like(e.low)
        outcome = Outcome.first((e.count <= 0, Reason.NO_DATA), (low >= e.high, Reason.ALL_SAME))
        return cls._of(low=low, high=e.high), outcome

    @classmethod
    def _fit_sample(
        cls, x: Array, weights: Array | None, known: dict[str, Any], start: Self | None = None
    ) -> tuple[Self, Outcome]:
        """The narrowest interval that holds the data."""
        if x.shape[0] == 0:
            return no_data(cls, x)
        low, high = weighted_range(x, weights)
        outcome = Outcome.first((low > high, Reason.NO_DATA), (low == high, Reason.ALL_SAME))
        return cls._of(low=low, high=high), outcome

    @classmethod
    def _fit_with_and_without_each(cls, rows: Array, weights: Array | None) -> tuple[Self, Outcome, Self, Outcome]:
        """The ends of the folds give those of all of them but one."""
        lows, highs = jax.vmap(weighted_range, in_axes=(0, None if weights is None else 0))(rows, weights)
        others = ~jnp.eye(rows.shape[0], dtype=bool)

        def fit(kept: Array) -> tuple[Self, Outcome]:
            low = jnp.min(jnp.where(kept, lows, jnp.inf), axis=-1)
            high = jnp.max(jnp.where(kept, highs, -jnp.inf), axis=-1)
            outcome = Outcome.first((low > high, Reason.NO_DATA), (low == high, Reason.ALL_SAME))
            return cls._of(low=low, high=high), outcome

        return *fit(jnp.ones(rows.shape[0], bool)), *fit(others)

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        u = jax.random.uniform(key, shape, jnp.result_type(float))
        return jnp.minimum(self.low + (self.high - self.low) * u, self.high)


def _log_share(share: Array, rest: Array) -> Array:
    """log of a share, given the rest too, so that a share near 1 keeps its digits."""
    small = share < 0.5
    return jnp.where(small, jnp.log(jnp.where(small, share, 0.5)), jnp.log1p(-jnp.where(small, 0.5, rest)))
