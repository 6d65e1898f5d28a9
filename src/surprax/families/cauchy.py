"""The Cauchy distribution."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.families.base import Distribution, family
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, positive, real
from surprax.families.passes import (
    Landscape,
    climb_in_stages,
    no_data,
    sample_quantiles,
    share_at_median,
    weighted_range,
)
from surprax.families.student_t import log1p_square, move_student, survey_student
from surprax.families.supports import REAL
from surprax.numerics.elementary import log_ratio

__all__ = ["Cauchy"]

_LOG_PI = float(np.log(np.pi))


@family
class Cauchy(Distribution):
    """Cauchy distribution: s(x) = log(1 + z²) + log(π scale), where z = (x − loc) / scale.

    Args:
        loc: median and mode, finite.
        scale: half the distance between the quartiles, positive.

    It has no mean and no variance (NaN). The likelihood in loc and scale together has one maximum (Copas 1975, Biometrika 62,
    701), unless half of the data or more are equal: those `fit` refuses. KL by the closed form of Chyzak & Nielsen (2019,
    arXiv:1905.10965): log(1 + ((scale − q.scale)² + (loc − q.loc)²) / (4 scale q.scale)); it is symmetric.

    >>> Cauchy(0.0, 2.0).cdf(2.0).round(3).item()
    0.75
    >>> Cauchy.fit([-1.0, 0.0, 1.0, 30.0])
    Cauchy(loc=..., scale=...)
    """

    loc: Any = parameter(real, default=0.0)
    scale: Any = parameter(positive, default=1.0)

    data_support = REAL

    # Density.

    def _log_density(self, x: Array) -> Array:
        return -log1p_square((x - self.loc) / self.scale) - (jnp.log(self.scale) + _LOG_PI)

    # Moments.

    def _mean(self) -> Any:
        return jnp.nan * jnp.asarray(self.loc)

    def _variance(self) -> Any:
        return jnp.nan * jnp.asarray(self.scale)

    def _mode(self) -> Any:
        return self.loc

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return _log_angle((x - self.loc) / self.scale)

    def _log_sf(self, x: Array) -> Array:
        return _log_angle((self.loc - x) / self.scale)

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        # From the smaller tail: −cot(π p) far out, the tangent of what is missing to ½ near the middle.
        tail = jnp.exp(jnp.minimum(log_p, log_q))
        far = tail < 0.25
        size = jnp.where(
            far, 1.0 / jnp.tan(np.pi * jnp.where(far, tail, 0.25)), jnp.tan(np.pi * (0.5 - jnp.where(far, 0.5, tail)))
        )
        return self.loc + self.scale * jnp.where(log_p < log_q, -size, size)

    # Information.

    def _entropy(self) -> Any:
        return jnp.log(self.scale) + (_LOG_PI + 2.0 * float(np.log(2.0)))

    def _kl(self, q: Self) -> Array:
        # log(1 + u² + v²) = log(1 + u²) + log(1 + v²/(1 + u²)); u = sinh(½ log of the ratio of scales)
        u = jnp.sinh(0.5 * log_ratio(self.scale, q.scale))
        v = (self.loc - q.loc) / jnp.sqrt(self.scale) / jnp.sqrt(q.scale) * 0.5
        return log1p_square(u) + log1p_square(v / jnp.hypot(1.0, u))

    # Maximum likelihood.

    @classmethod
    def _fit_sample(
        cls, x: Array, weights: Array | None, known: dict[str, Any], start: Self | None = None
    ) -> tuple[Self, Outcome]:
        """Newton's method in loc and log scale, from median and quartiles."""
        if x.shape[0] == 0:
            return no_data(cls, x)
        low, high = weighted_range(x, weights)
        lower, median, upper = sample_quantiles(x, weights, (0.25, 0.5, 0.75))
        same = low >= high
        mass = share_at_median(x, weights) >= 0.5
        bad = same | mass
        place = (median, 0.5 * (upper - lower)) if start is None else (start.loc, start.scale)
        place = (place[0], jnp.where(place[1] > 0, place[1], 0.5 * (high - low)), jnp.full_like(low, np.log(2.0)))  # type: ignore[assignment]
        limit = jnp.where(bad, 0, 200)
        end = climb_in_stages(survey_student(2), move_student, place, x, weights, warm=start is not None, limit=limit)
        outcome = Outcome.first(
            (low > high, Reason.NO_DATA),
            (same, Reason.ALL_SAME),
            (mass, Reason.POINT_MASS),
            (~end.settled, Reason.NOT_CONVERGED),
        )
        loc, scale, _ = end.place
        return cls._of(loc=jnp.where(bad, median, loc), scale=jnp.where(bad, 0.0, scale)), outcome

    @classmethod
    def _landscape(cls) -> Landscape:
        return Landscape(
            survey_student(2),
            move_student,
            lambda d: (d.loc, d.scale, jnp.full_like(d.loc, np.log(2.0))),
            lambda place: {"loc": place[0], "scale": place[1]},
        )

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        return self.loc + self.scale * jax.random.cauchy(key, shape, jnp.result_type(float))


def _log_angle(z: Array) -> Array:
    """log(½ + atan(z)/π), as the angle that it is: of (−z, 1) below 0, one less that of (z, 1) above."""
    below = z <= 0
    low, high = jnp.where(below, z, -1.0), jnp.where(below, 1.0, z)
    return jnp.where(below, jnp.log(jnp.arctan2(1.0, -low) / np.pi), jnp.log1p(-jnp.arctan2(1.0, high) / np.pi))
