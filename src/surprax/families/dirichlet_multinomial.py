"""The Dirichlet-multinomial distribution."""

from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.families.base import Distribution, family
from surprax.families.dirichlet import Dirichlet
from surprax.families.discrete import factorial_remainder, trials_deviance
from surprax.families.multinomial import beside, counts_of, known_total
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import count, parameter, positive
from surprax.families.passes import Survey, climb, mean_of
from surprax.families.polya import log_none
from surprax.families.supports import COUNTS, Region
from surprax.numerics.dirichlet import exact_sum, total
from surprax.numerics.elementary import difference_of_products, log_of_ratio, with_derivatives
from surprax.numerics.gamma import stirling_error, trigamma
from surprax.numerics.gamma_differences import digamma_difference, log_gamma_difference, log_minus_digamma_drop
from surprax.numerics.shapes import sum_of_components

__all__ = ["DirichletMultinomial"]


@family
class DirichletMultinomial(Distribution):
    """Multinomial counts of n = `total_count` trials whose probabilities have a Dirichlet distribution.

    s(x) = −log n!/Π x_k! − Σ log [Γ(x_k + a_k)/Γ(a_k)] + log [Γ(n + A)/Γ(A)], with a the concentration and A its sum, for
    counts that add up to n. The larger A, the nearer to multinomial.

    Args:
        concentration: a_1, …, a_K on the last axis, positive; K is at least 2.
        total_count: number of trials n, a whole number from 0.

    `fit` gives the concentration at the maximum, for total_count=n, or else for what every row adds up to; it exists when the
    counts vary more than multinomial ones do (Levin & Reeds 1977). The log-mass is that of negative binomials given their sum, in
    saddle-point form. Source: Johnson, Kotz & Balakrishnan (1997), chapter 35, section 13.1 (Mosimann 1962).

    >>> print(f"{jnp.exp(DirichletMultinomial([1.0, 1.0, 1.0], 4).log_prob([2, 1, 1])) * 15:.4f}")  # all 15 alike
    1.0000
    >>> fit = DirichletMultinomial.fit([[5, 0, 1], [0, 4, 2], [2, 2, 2], [6, 0, 0]])
    >>> fit.total_count.item(), fit.concentration.round(2).tolist()
    (6.0, [1.04, 0.49, 0.62])
    """

    concentration: Any = parameter(positive, event_dim=1)
    total_count: Any = parameter(count, default=1)

    known_parameters = ("total_count",)
    needs_known = True
    discrete = True
    event_dim = 1
    data_support = COUNTS
    lacks: ClassVar[dict[str, str]] = {
        "mode": "there is no closed form, and the mass need not have a single peak",
        "entropy": "there is no closed form: average `surprise` over samples",
        "kl": "there is no closed form: average a difference of `surprise` over samples",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._dirichlet  # refuses what cannot be a vector of concentrations

    @property
    def _dirichlet(self) -> Dirichlet:
        return Dirichlet(self.concentration)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (int(np.shape(self.concentration)[-1]),)

    @property
    def support(self) -> Region:
        return counts_of(self.total_count)

    @classmethod
    def _data_support(cls, known: dict[str, Any]) -> Region:
        return counts_of(known["total_count"]) if "total_count" in known else COUNTS

    @classmethod
    def free_parameters(cls, fit: Self) -> int:
        """K."""
        return fit.event_shape[0]

    # Density.

    def _log_density(self, x: Array) -> Array:
        a, n = self.concentration, jnp.asarray(self.total_count)
        (total_a, lost) = exact_sum(jax.lax.stop_gradient(a))
        parts = sum_of_components(_log_part, x, a, beside(n), total_a, lost)
        value = parts - _log_whole(n, total(a)[..., 0])
        # That all are of one category, and the others have little weight, has a probability near 1.
        all_here = x == beside(n)
        here, elsewhere = (jnp.sum(jnp.where(all_here == side, a, 0.0), axis=-1) for side in (True, False))
        likely = jnp.any(all_here, axis=-1) & (n > 0) & (elsewhere <= here / 4)
        exact = log_none(elsewhere, n, jnp.where(likely, here, 1.0))
        return value + jax.lax.stop_gradient(jnp.where(likely, exact - value, 0.0))

    # Moments.

    def _mean(self) -> Array:
        return beside(self.total_count) * Dirichlet._mean(self)  # type: ignore[arg-type]

    def _variance(self) -> Array:
        """n (n + A) times that of the probabilities."""
        n = beside(self.total_count)
        return n * (n + total(self.concentration)) * Dirichlet._variance(self)  # type: ignore[arg-type]

    # Maximum likelihood.

    @classmethod
    def try_fit(cls, data: Any, weights: Any = None, **known: Any) -> tuple[Self, Outcome]:
        """Like `fit`, for traced data (which need total_count): `(distribution, outcome)`."""
        return super().try_fit(data, weights, **known_total(cls.__name__, data, known))

    @classmethod
    def _fit_sample(
        cls, x: Array, weights: Array | None, known: dict[str, Any], start: Self | None = None
    ) -> tuple[Self, Outcome]:
        """Newton's method in log a, from the moments."""
        n = known["total_count"]
        rows = jnp.ones(x.shape[0], x.dtype) if weights is None else weights
        mean = jax.vmap(mean_of(rows), 1)
        share = mean(x) / n
        seen = share > 0
        safe = jnp.where(seen, share, 1.0)
        # E Σ x (x − 1)/p: n (n − 1) for multinomial counts, times up to K for those of one category each
        spread = jnp.sum(jnp.where(seen, mean(x * (x - 1.0)) / safe, 0.0))
        size = x.shape[-1]
        # With c = 1/(1 + A), E x (x − 1)/p = n (n − 1) (p + c (1 − p)) and these add up to n (n − 1) (1 + c (K − 1)).
        c = jnp.clip((spread / (n * (n - 1.0)) - 1.0) / (size - 1.0), 1e-6, 1.0 - 1e-3)
        guess = jnp.where(seen, share, 1.0 / size) * ((1.0 - c) / c)
        exists = jnp.all(seen) & (spread > n * (n - 1.0)) & (jnp.sum(mean(x * x)) < n * n)

        def survey(a: Array) -> Survey:
            total_a = jnp.sum(a)
            row = a[None]
            height = jnp.sum(mean(log_gamma_difference(row, x))) - log_gamma_difference(total_a, n)
            gradient = a * (mean(digamma_difference(x + row, row)) - digamma_difference(total_a + n, total_a))
            curve = a * a * mean(trigamma(x + row) - trigamma(row)) + gradient
            common = trigamma(total_a) - trigamma(n + total_a)
            return height, gradient, jnp.diag(curve) + common * a[:, None] * a[None, :]

        limit = jnp.where(exists, 100, 0)
        first = guess if start is None else start.concentration
        end = climb(survey, lambda a, step: a * jnp.exp(step), first, limit)
        outcome = Outcome.first(
            (jnp.sum(rows) <= 0, Reason.NO_DATA),
            (~jnp.all(seen), Reason.UNSEEN_CATEGORY),
            (spread <= n * (n - 1.0), Reason.MULTINOMIAL_LIMIT),
            (~exists, Reason.ONE_CATEGORY),
            (~end.settled, Reason.NOT_CONVERGED),
        )
        return cls._of(concentration=jnp.where(exists, end.place, jnp.nan), total_count=n), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        """Multinomial draws of Dirichlet probabilities."""
        first, second = jax.random.split(key)
        probs = Dirichlet._sample(self, first, shape)  # type: ignore[arg-type]
        n = jnp.broadcast_to(jnp.asarray(self.total_count, probs.dtype), shape)
        return jax.random.multinomial(second, n, probs).astype(int)


# Numerics. The counts are negative binomial ones, of concentrations a_k and one common probability, given their sum n, which is
# negative binomial of concentration A: with the probability n/(n + A), which makes n the mean of the sum, all masses are near
# their greatest where x_k is near n a_k/A.


def _slope_in_concentration(x: Array, a: Array, n: Array, total_a: Array, lost: Array) -> Array:
    """[ψ(x + a) − ψ(a)] − [ψ(n + A) − ψ(A)]; the logarithms in them differ by that of (x + a) A over a (n + A)."""
    shift = (difference_of_products(x, total_a, n, a) + x * lost) / (a * (n + total_a))
    log_shift = log_of_ratio(shift, (x + a) / a, (n + total_a) / total_a)
    return log_shift + (log_minus_digamma_drop(a, x + a, x) - log_minus_digamma_drop(total_a, n + total_a, n))


@with_derivatives(
    lambda x, a, n, total_a, lost: digamma_difference(x + a, x + 1.0),
    _slope_in_concentration,
    lambda x, a, n, total_a, lost: jnp.zeros_like(
        x
    ),  # what moves with n and A cancels in the sum, but for `_log_whole`
    lambda x, a, n, total_a, lost: jnp.zeros_like(x),
    lambda x, a, n, total_a, lost: jnp.zeros_like(x),
)
def _log_part(x: Array, a: Array, n: Array, total_a: Array, lost: Array) -> Array:
    """log-mass of x in the negative binomial of concentration a and probability n/(n + A)."""
    e = (difference_of_products(n, a, x, total_a) - x * lost) / total_a  # n a/A − x
    some = x > 0
    x_or = jnp.where(some, x, 1.0)
    gap = jnp.where(some, log_of_ratio(e / x_or, n * (a / total_a), x_or), jnp.inf)
    deviance = trials_deviance(x, a, gap, jnp.log1p(n / total_a), jnp.log1p(total_a / n))
    remainder = stirling_error(x + a) - stirling_error(a) - 0.5 * jnp.log1p(x / a) - factorial_remainder(x)
    return jnp.where(n == 0, 0.0, remainder - deviance)


@with_derivatives(
    lambda n, total_a: digamma_difference(n + total_a, n + 1.0),
    lambda n, total_a: jnp.zeros_like(n),  # in the slopes of the parts
)
def _log_whole(n: Array, total_a: Array) -> Array:
    """log-mass of n in the negative binomial of concentration A and mean n."""
    remainder = stirling_error(n + total_a) - stirling_error(total_a) - 0.5 * jnp.log1p(n / total_a)
    return remainder - factorial_remainder(n)
