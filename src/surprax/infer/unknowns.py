"""The table of conjugate pairs read backwards: from the distribution of an observation to the unknown that it stands for.

A row of the table says which distribution a value of the unknown makes (`Conjugacy.given`). A model says which distribution its
latent sites make; what is to be found is whether that is the same. `unknown_of` gives the value φ of the unknown behind a
distribution. The latent site θ is the unknown of a pair where φ is θ itself, or

    φ = a + b v(θ),    v(θ) = θ or 1/θ,

with a and b that are data, and beliefs about θ are beliefs about φ of the same family: exposures, known multiples of a variance,
rates that are the reciprocal of a mean, the chance of a failure.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from surprax import families as f
from surprax.beliefs import conjugates
from surprax.families.batches import map_parameters
from surprax.interop.shapes import expanded
from surprax.numerics.precision import to_float64

__all__ = ["VIEWS", "View", "as_belief", "fits", "mapped", "unknown_of"]

_UNKNOWNS: dict[tuple[type, type], Callable[[Any], Any]] = {
    (f.Beta, f.Bernoulli): lambda d: d.probs,
    (f.Beta, f.Binomial): lambda d: d.probs,
    (f.Beta, f.Geometric): lambda d: d.probs,
    (f.Beta, f.NegativeBinomial): lambda d: d.concentration / (d.concentration + d.mean),
    (f.Dirichlet, f.Categorical): lambda d: d.probs,
    (f.Dirichlet, f.Multinomial): lambda d: d.probs,
    (f.Gamma, f.Poisson): lambda d: d.rate,
    (f.Gamma, f.Exponential): lambda d: d.rate,
    (f.Gamma, f.Gamma): lambda d: d.rate,
    (f.Gamma, f.InverseGamma): lambda d: d.rate,
    (f.Gamma, f.Pareto): lambda d: d.alpha,
    (f.Gamma, f.Normal): lambda d: d.scale**-2,
    (f.Gamma, f.LogNormal): lambda d: d.scale**-2,
    (f.InverseGamma, f.Normal): lambda d: d.scale**2,
    (f.InverseGamma, f.LogNormal): lambda d: d.scale**2,
    (f.InverseGamma, f.Laplace): lambda d: d.scale,
    (f.InverseGamma, f.HalfNormal): lambda d: d.scale**2,
    (f.InverseGamma, f.Rayleigh): lambda d: d.scale**2,
    (f.InverseGamma, f.Maxwell): lambda d: d.scale**2,
    (f.InverseGamma, f.Weibull): lambda d: d.scale**d.concentration,
    (f.Normal, f.Normal): lambda d: d.loc,
    (f.Normal, f.LogNormal): lambda d: d.loc,
    (f.NormalInverseGamma, f.Normal): lambda d: jnp.stack(jnp.broadcast_arrays(d.loc, d.scale**2), axis=-1),
    (f.NormalInverseGamma, f.LogNormal): lambda d: jnp.stack(jnp.broadcast_arrays(d.loc, d.scale**2), axis=-1),
    (f.MultivariateNormal, f.MultivariateNormal): lambda d: d.loc,
    (f.InverseWishart, f.MultivariateNormal): lambda d: d.covariance_matrix,
    (f.Wishart, f.MultivariateNormal): lambda d: d.precision_matrix,
    (f.NormalInverseWishart, f.MultivariateNormal): lambda d: _beside_each_other(d.loc, d.covariance_matrix),
    (f.Pareto, f.Uniform): lambda d: d.high - d.low,
    (f.VonMises, f.VonMises): lambda d: d.loc,
    (f.VonMisesFisher, f.VonMisesFisher): lambda d: d.mean_direction,
}


def _beside_each_other(loc: Any, covariance: Any) -> Any:
    shape = jnp.broadcast_shapes(jnp.shape(loc)[:-1], jnp.shape(covariance)[:-2])
    loc = jnp.broadcast_to(loc, (*shape, *jnp.shape(loc)[-1:]))
    return jnp.concatenate(
        [loc[..., None], jnp.broadcast_to(covariance, (*shape, *jnp.shape(covariance)[-2:]))], axis=-1
    )


def unknown_of(pair: Any, d: Any) -> Any:
    """The value of the unknown of a conjugate pair behind a distribution of observations: the inverse of `pair.given`.

    >>> from surprax.beliefs import conjugates
    >>> (pair,) = conjugates(f.Poisson)
    >>> unknown_of(pair, f.Poisson(3.0)).item()
    3.0
    """
    return _UNKNOWNS[pair.prior, pair.likelihood](d)


# Beliefs about a + b θ.


def _flipped(d: Any, a: Any, b: Any) -> Any:
    """1 − p, where b is −1."""
    turned = b < 0
    return f.Beta._of(
        concentration1=jnp.where(turned, d.concentration0, d.concentration1),
        concentration0=jnp.where(turned, d.concentration1, d.concentration0),
    )


_SCALED: dict[type, Callable[[Any, Any, Any], Any]] = {
    f.Gamma: lambda d, a, b: f.Gamma._of(concentration=d.concentration, rate=d.rate / b),
    f.InverseGamma: lambda d, a, b: f.InverseGamma._of(concentration=d.concentration, rate=d.rate * b),
    f.Pareto: lambda d, a, b: f.Pareto._of(scale=d.scale * b, alpha=d.alpha),
}

_MAPPED = {
    **_SCALED,
    f.Beta: _flipped,
    f.Normal: lambda d, a, b: f.Normal._of(loc=a + b * d.loc, scale=abs(b) * d.scale),
}


def fits(family: type, a: np.ndarray, b: np.ndarray) -> bool:
    """Whether beliefs of a family about θ are beliefs of that family about a + b θ."""
    if family is f.Normal:
        return bool(np.all(b != 0))
    if family is f.Beta:
        return bool(np.all(((a == 0) & (b == 1)) | ((a == 1) & (b == -1))))
    if family in _SCALED:
        return bool(np.all((a == 0) & (b > 0)))
    return bool(np.all((a == 0) & (b == 1)))


def mapped(belief: Any, a: Any, b: Any) -> Any:
    """The belief about a + b θ, from that about θ, where it `fits`.

    >>> mapped(f.Gamma(2.0, 3.0), 0.0, 10.0)
    Gamma(concentration=2, rate=0.3)
    """
    return _MAPPED[type(belief)](belief, a, b) if type(belief) in _MAPPED else belief


# Beliefs about v(θ).


class View(NamedTuple):
    """A function v of a latent value, and beliefs about v(θ) from those about θ and back."""

    of: Callable[[Any], Any]
    there: Callable[[Any], Any]
    back: Callable[[Any], Any]


def _as(family: type) -> Callable[[Any], Any]:
    return lambda d: family._of(concentration=d.concentration, rate=d.rate)  # type: ignore[attr-defined]


_SAME = View(lambda v: v, lambda d: d, lambda d: d)

VIEWS: dict[type, tuple[tuple[type, View], ...]] = {
    f.Gamma: (
        (f.Gamma, _SAME),
        (f.InverseGamma, View(lambda v: 1.0 / v, _as(f.InverseGamma), _as(f.Gamma))),
    ),
    f.InverseGamma: (
        (f.InverseGamma, _SAME),
        (f.Gamma, View(lambda v: 1.0 / v, _as(f.Gamma), _as(f.InverseGamma))),
    ),
    **{pair.prior: ((pair.prior, _SAME),) for pair in conjugates() if pair.prior not in (f.Gamma, f.InverseGamma)},
}
"""By family of a belief about θ: families of beliefs about v(θ), and v."""


def as_belief(d: Any, shape: tuple[int, ...]) -> Any:
    """A distribution as a belief that has conjugate pairs, one for each element of an array of values of that shape.

    Gamma(1, rate) for Exponential(rate), Gamma(df/2, 1/2) for ChiSquared(df), Beta(1, 1) for Uniform(0, 1).

    Returns:
        A batch along one axis, in float64; None where there is no such belief.

    >>> as_belief(f.Uniform(0.0, 1.0), (2,))
    Beta(concentration1=[1., 1.], concentration0=[1., 1.])
    """
    d = map_parameters(lambda leaf, _: np.asarray(to_float64(leaf)), d)
    if isinstance(d, f.Exponential):
        d = f.Gamma._of(concentration=np.ones_like(d.rate), rate=d.rate)
    elif isinstance(d, f.ChiSquared):
        d = f.Gamma._of(concentration=0.5 * d.df, rate=np.full_like(d.df, 0.5))
    elif isinstance(d, f.Uniform) and np.all(d.low == 0.0) and np.all(d.high == 1.0):
        d = f.Beta._of(concentration1=np.ones(d.batch_shape), concentration0=np.ones(d.batch_shape))
    if type(d) not in VIEWS:
        return None
    batch = shape[: len(shape) - d.event_dim]

    def flat(leaf: Any, meta: Any) -> np.ndarray:
        return np.asarray(leaf, np.float64).reshape(-1, *leaf.shape[leaf.ndim - meta["event_dim"] :])

    return map_parameters(flat, expanded(d, batch))
