"""Moment matching: the member of an exponential family nearest to a distribution.

KL(p‖q) over the members q of an exponential family is least where E_q[T] = E_p[T]. That q is also the fit to infinitely many
observations from p, so what is computed is their evidence: the mean of the family's carrier and its Jensen gaps under p (see
`surprax.evidence.layout`), by quadrature through the quantiles of p, or by sums over whole numbers.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence import Moments
from surprax.families.base import Distribution
from surprax.families.batches import align
from surprax.families.confined import at_quantiles
from surprax.families.exponential import ExponentialFamily
from surprax.families.fitting import check_known, has_moments
from surprax.families.outcomes import Outcome
from surprax.families.sums import between, upward
from surprax.numerics.precision import in_float64, is_traced

__all__ = ["moment_match"]


def moment_match(distribution: Distribution, family: type[ExponentialFamily], **known: Any) -> Any:
    """The member q of an exponential family that minimises KL(distribution‖q): E[T] is the same under both.

    Args:
        distribution: of numbers, with a distribution function where it is continuous; or a batch of them.
        family: an exponential family whose support covers that of the distribution.
        known: parameters of the family held at known values, by name.

    Returns:
        A member of the family, of the batch of the distribution. Expectations are computed in float64 whatever JAX's default
        precision, unless the distribution is traced.

    Raises:
        ValueError: where the supports do not nest (then KL is infinite), where an expectation does not exist or is too large to
            be told from one that does not, or where no member of the family has it. Traced ones give NaN.

    >>> from surprax.families import Gamma, LogNormal, Normal, Poisson
    >>> q = moment_match(Poisson(3.0), Poisson)
    >>> print(q.rate)
    3.0
    >>> near = moment_match(Gamma(4.0, 2.0), LogNormal)  # mean and variance of log x
    >>> print(near.loc.round(4), (near.scale**2).round(4))  # ψ(4) − log 2, ψ′(4)
    0.563 0.2838
    """
    if not isinstance(distribution, Distribution):
        raise TypeError(f"moment_match takes a distribution; got {type(distribution).__name__}.")
    if not (isinstance(family, type) and issubclass(family, ExponentialFamily)):
        raise TypeError(f"moment_match is onto an exponential family; got {family!r}.")
    if type(distribution) is family and not known and not family.known_parameters:
        return distribution
    known = check_known(family, known)
    if not has_moments(family, known):
        needs = " and ".join(f"{name}=..." for name in family.known_parameters if name not in known)
        raise ValueError(
            f"{family.__name__} is an exponential family only where more is known: pass {needs or 'less'}."
        )
    if distribution.event_dim or family.event_dim:
        raise ValueError(
            f"moment_match is between distributions of numbers; got {type(distribution).__name__} and {family.__name__}."
        )
    _check_supports(distribution, family, known)
    member, outcome, exists = _project(distribution, known, family=family)
    if is_traced(exists):
        good = outcome.ok & exists
        return jax.tree.map(lambda leaf: jnp.where(good, leaf, jnp.nan), member)
    if not np.all(exists):
        raise ValueError(
            f"{distribution!r} must have finite means of the statistics of {family.__name__} to be matched by it, and has not, or"
            " none that can be told from infinite ones. Match a truncated distribution, or a family of heavier tails."
        )
    if not np.all(outcome.ok):
        raise ValueError(f"No {family.__name__} has the moments of {distribution!r}: {outcome}.")
    return member


def _check_supports(distribution: Any, family: Any, known: dict[str, Any]) -> None:
    if is_traced(distribution, known):
        return
    own, other = distribution.support, family._data_support(known)
    inside = np.all(np.asarray(own.lower) >= other.lower) and np.all(np.asarray(own.upper) <= other.upper)
    if own.discrete != other.discrete or not inside:
        raise ValueError(
            f"{family.__name__} must be possible wherever {type(distribution).__name__} is, or KL is infinite: the one lives on"
            f" {other}, the other on {own}."
        )


@functools.partial(in_float64, static_argnames=("family",))
def _project(d: Any, known: Any, family: Any) -> tuple[Any, Outcome, Array]:
    d, *values = align(d, *known.values())
    known = dict(zip(known, values))
    x, weights, whole = _places(d, family)
    layout = family.layout
    carrier = layout.carrier.given({n: v.reshape((1, *v.shape)) if v.ndim else v for n, v in known.items()})
    y = carrier.of(x)
    near = y[len(y) // 2]
    parts = _weighted(y - near[None], weights[..., None] if layout.rank else weights)
    mean = near + jnp.sum(parts, axis=0)
    spread = _weighted(layout.divergences(y, mean[None]), weights[..., None])
    settled = _vanishes(parts, d.discrete)
    settled = jnp.all(settled, axis=-1) if layout.rank else settled
    exists = whole & settled & jnp.all(_vanishes(spread, d.discrete), axis=-1)
    count = jnp.ones(exists.shape, x.dtype)
    evidence = Moments(count, mean, jnp.sum(spread, axis=0), jnp.zeros_like(count), known, family)
    member, outcome = family._fit_moments(evidence)
    return member, outcome, exists


def _weighted(v: Array, weights: Array) -> Array:
    return jnp.where(weights != 0, weights * v, 0.0)


def _vanishes(terms: Array, discrete: bool) -> Array:
    """Whether terms of a sum fall to nothing at both ends (whole numbers: at the upper one), and so what lies beyond."""
    size = jnp.abs(terms)
    total = jnp.sum(size, axis=0)
    ends = size[-1] if discrete else jnp.maximum(size[0], size[-1])
    return jnp.isfinite(total) & (ends <= 1e-9 * total)


def _places(d: Any, family: Any) -> tuple[Array, Array, Array]:
    """Places on a new first axis, in order, weights that sum to 1 with E f = Σ w·f, and whether nothing is left out."""
    like = jnp.zeros(d.batch_shape, jnp.result_type(float))
    s = d.support
    if not s.discrete:
        x, weights = at_quantiles(d._quantile, like)
        lower, upper = (jnp.asarray(v, like.dtype) for v in (s.lower, s.upper))
        x = jnp.clip(x, jnp.nextafter(lower, upper), jnp.nextafter(upper, lower))
        return x, weights * jnp.ones_like(x), jnp.all(~jnp.isnan(x), axis=0)
    half = jnp.full_like(like, -float(np.log(2.0)))
    median = d._quantile(half, half)
    lower, upper = (jnp.asarray(v, like.dtype) + like for v in (s.lower, s.upper))
    low, _, low_weights = between(lower, median)
    end = jnp.isfinite(upper)
    bound = jnp.where(end, upper, median + 1.0)
    high, _, high_weights = between(jnp.minimum(median + 1.0, bound), bound)
    # … or without end.
    far, far_weights = upward(median + 1.0)
    high_weights = jnp.where(end & (median < upper), high_weights, 0.0)
    far_weights = jnp.where(end, 0.0, far_weights)
    x = jnp.concatenate([low, high, far])
    sums = jnp.concatenate([low_weights, high_weights, far_weights])
    inside = sums != 0
    (raised,) = align(d, rank=x.ndim)
    mass = jnp.where(inside, sums * jnp.exp(raised._log_density(jnp.where(inside, x, median[None]))), 0.0)
    total = jnp.sum(mass, axis=0)
    return jnp.where(inside, x, median[None]), mass / total[None], jnp.abs(total - 1.0) < 1e-6
