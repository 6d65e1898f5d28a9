"""Distributions of ours as NumPyro's: one adapter, and a subclass of it for each family."""

import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
from jax import Array
from jax.typing import ArrayLike
from numpyro.distributions import constraints as nc

from surprax.families.base import Distribution
from surprax.families.supports import Support
from surprax.interop.constraints import as_constraint, known_support
from surprax.interop.shapes import lifted
from surprax.numerics.precision import is_traced

__all__ = ["SurpraxDistribution", "adapt"]


_SMOOTH_SAMPLERS = frozenset(
    {
        "Dirichlet",
        "InverseWishart",
        "MultivariateNormal",
        "MultivariateStudentT",
        "NormalGamma",
        "NormalInverseGamma",
        "NormalInverseWishart",
        "NormalWishart",
        "Wishart",
    }
)
"""Families of vectors and matrices whose draws are smooth functions of the parameters and of noise that has none."""


class SurpraxDistribution(npd.Distribution):
    """A distribution of ours in NumPyro's interface: density, moments and tails are ours, shapes and keys are NumPyro's.

    Its subclasses, one per family, are made when first needed; they take the parameters of the family, which are attributes
    too, so that `LocScaleReparam` and the like work. The distribution itself is `.surprax`.

    Samples of continuous families of numbers have the gradient of a point that keeps its probability when parameters move,
    dx/dθ = −(∂F/∂θ) / p(x), whatever algorithm drew them (Figurnov, Mohamed & Mnih, 2018, "Implicit reparameterization
    gradients").
    """

    family: ClassVar[type[Distribution]]
    pytree_data_fields = ("surprax",)

    def __init__(self, *args: Any, validate_args: bool | None = None, **parameters: Any) -> None:
        self._hold(self.family(*args, **parameters), validate_args)

    def _hold(self, distribution: Distribution, validate_args: bool | None) -> None:
        # All leaves of full rank: an axis put before them, by vmap or scan, is then one more axis of the batch.
        self.surprax = lifted(distribution)
        super().__init__(self.surprax.batch_shape, self.surprax.event_shape, validate_args=validate_args)

    # Shapes are read off the parameters, which transformations of JAX may have given further axes.

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return self.surprax.batch_shape

    @property
    def event_shape(self) -> tuple[int, ...]:
        return self.surprax.event_shape

    @property
    def support(self) -> nc.Constraint:
        return as_constraint(self.surprax)

    # Density, moments, distribution function, information.

    def log_prob(self, value: ArrayLike, intermediates: Any = None) -> Array:
        """In nats; -inf outside the support."""
        return self.surprax.log_prob(value)

    @property
    def mean(self) -> Array:
        return jnp.broadcast_to(self.surprax.mean, self.shape())

    @property
    def variance(self) -> Array:
        return jnp.broadcast_to(self.surprax.variance, self.shape())

    @property
    def mode(self) -> Array:
        return jnp.broadcast_to(self.surprax.mode, self.shape())

    def cdf(self, value: ArrayLike) -> Array:
        return self.surprax.cdf(value)

    def icdf(self, q: ArrayLike) -> Array:
        return self.surprax.icdf(q)

    def entropy(self) -> Array:
        """In nats."""
        return jnp.broadcast_to(self.surprax.entropy(), self.batch_shape)

    # Samples.

    @property
    def has_rsample(self) -> bool:
        """Whether samples have the right gradient in the parameters."""
        return self._has_smooth_cdf or self.family.__name__ in _SMOOTH_SAMPLERS

    @property
    def _has_smooth_cdf(self) -> bool:
        d = self.surprax
        return not (d.discrete or d.event_dim or "cdf" in d.lacks)

    def sample(self, key: Array | None, sample_shape: tuple[int, ...] = ()) -> Array:
        draw = self.surprax.sample(key, tuple(sample_shape))
        return _keeping_probability(self.surprax, jax.lax.stop_gradient(draw)) if self._has_smooth_cdf else draw

    # Enumeration.

    @property
    def has_enumerate_support(self) -> bool:
        support = known_support(self.surprax)
        if not isinstance(support, Support) or not support.discrete:
            return False
        return all(is_traced(end) or bool(np.all(np.isfinite(end))) for end in (support.lower, support.upper))

    def enumerate_support(self, expand: bool = True) -> Array:
        """The whole numbers from the least lower end of the batch to its greatest upper end, on a new leading axis.

        Distributions of the batch with a smaller support give the others the log-probability -inf.
        """
        support: Any = known_support(self.surprax)
        if not self.has_enumerate_support:
            raise NotImplementedError(f"There is no list of the values of {self.family.__name__}: {support}.")
        if is_traced((support.lower, support.upper)):
            raise ValueError(
                f"Enumerating {self.family.__name__} needs a support that is known when the model is traced; its ends are"
                " traced. Pass them as static arguments, or as constants of the model."
            )
        values = jnp.arange(int(np.min(support.lower)), int(np.max(support.upper)) + 1)
        values = values.reshape(values.shape + (1,) * len(self.batch_shape))
        return jnp.broadcast_to(values, values.shape[:1] + self.batch_shape) if expand else values

    # Identity.

    def __repr__(self) -> str:
        return f"to_numpyro({self.surprax!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return adapt, (self.surprax,)


def adapt(distribution: Distribution) -> SurpraxDistribution:
    """The adapter around a distribution."""
    cls = _adapter_of(type(distribution))
    adapter = cls.__new__(cls)
    adapter._hold(distribution, None)
    return adapter


@functools.cache
def _adapter_of(family: type[Distribution]) -> type[SurpraxDistribution]:
    """The adapter of a family: parameters as attributes, unless NumPyro gives the name another meaning."""

    def attribute(name: str) -> property:
        return property(lambda self: getattr(self.surprax, name))

    names = [name for name in family.parameters if not hasattr(SurpraxDistribution, name)]
    # Values are checked by the family, in words of its own; what NumPyro needs is how many axes of an array belong to one event.
    arrays = {name: family.parameters[name] for name in names if family.parameters[name]["constraint"] is not None}
    members = {
        "__doc__": f"{family.__name__} of surprax in NumPyro's interface.",
        "__module__": __name__,
        "family": family,
        "arg_constraints": {
            name: nc.dependent(is_discrete=False, event_dim=meta["event_dim"]) for name, meta in arrays.items()
        },
        "pytree_data_fields": ("surprax",),
        **{name: attribute(name) for name in names},
    }
    return type(f"Surprax{family.__name__}", (SurpraxDistribution,), members)


@jax.custom_jvp
def _keeping_probability(d: Distribution, x: Array) -> Array:
    """x, whose derivative in the parameters is that of the quantile at its own probability."""
    return x


@_keeping_probability.defjvp
def _keeping_probability_jvp(primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> tuple[Array, Array]:
    (d, x), (d_dot, x_dot) = primals, tangents
    log_density = d.log_prob(x)
    lower = d.log_cdf(x) <= d.log_sf(x)

    def shorter_tail(d: Any) -> Array:
        return jnp.where(lower, d.log_cdf(x), d.log_sf(x))

    # ∂F/p = F/p · ∂log F below the median, −S/p · ∂log S above it: no digits are lost in either tail.
    log_tail, slope = jax.jvp(shorter_tail, (d,), (d_dot,))
    weight = jnp.exp(log_tail - log_density)
    known = jnp.isfinite(log_tail) & jnp.isfinite(log_density)
    motion = jnp.where(known, jnp.where(lower, -slope, slope) * jnp.where(known, weight, 0.0), 0.0)
    return x, x_dot + motion


@npd.kl_divergence.register(SurpraxDistribution, SurpraxDistribution)
def _kl_divergence(p: SurpraxDistribution, q: SurpraxDistribution) -> Array:
    """In closed form within a family; elsewhere NumPyro's mean-field objective falls back on samples."""
    if p.family is not q.family:
        raise NotImplementedError(f"KL is computed within a family: got {p.family.__name__} and {q.family.__name__}.")
    return p.surprax.kl(q.surprax)
