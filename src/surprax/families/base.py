"""What every distribution can do.

`Distribution` writes each public method once: it lines up shapes, guards the support, compiles. A family supplies the mathematics
in the methods with a leading underscore, which see arrays of equal rank (or scalars) and arguments inside the support.

Public methods are compiled once per class and shape, so that an eager call costs a dispatch and not a trace.
"""

import abc
import dataclasses
import functools
import importlib
from collections.abc import Iterable
from typing import Any, ClassVar, Self, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from surprax.evidence import Layout
from surprax.evidence.base import register_family
from surprax.families.batches import Parametrised, Wide, align, beside, map_parameters
from surprax.families.fitting import try_fit
from surprax.families.outcomes import Outcome
from surprax.families.parameters import check_parameter, parameter
from surprax.families.refits import fit_with_and_without_each
from surprax.families.supports import REAL, Region, Support
from surprax.numerics.precision import is_traced
from surprax.units import Unit, from_nats

__all__ = ["Distribution", "compiled", "family", "floating"]


def compiled(method: Any = None, *, static: tuple[str, ...] = ()) -> Any:
    """Decorator: compile a method of a distribution (itself a pytree argument) once per class and shape."""
    if method is None:
        return functools.partial(compiled, static=static)
    return functools.wraps(method)(jax.jit(_with_checks(method), static_argnames=static))


def compiled_property(method: Any) -> property:
    """Like `property`, compiled."""
    return property(jax.jit(_with_checks(method)), doc=method.__doc__)


def _with_checks(method: Any) -> Any:
    """The method, for distributions whose parameters are NaN where they break their constraints.

    Known parameters were checked when the distribution was made; of traced ones this is the only check.
    """

    @functools.wraps(method)
    def checked(*args: Any, **keywords: Any) -> Any:
        return method(*(align(_checked(a))[0] if isinstance(a, Distribution) else a for a in args), **keywords)

    return checked


def _checked(d: Any) -> Any:
    def check(leaf: Any, meta: Any) -> Array:
        leaf = jnp.asarray(leaf)
        good = meta["constraint"].holds(leaf)
        return jnp.where(good, leaf, jnp.nan)

    return map_parameters(check, d)


HOOKS = {
    "mean": ("_mean",),
    "variance": ("_variance",),
    "mode": ("_mode",),
    "cdf": ("_log_cdf", "_log_sf", "_quantile"),
    "entropy": ("_entropy",),
    "kl": ("_kl",),
    "sample": ("_sample",),
    "fisher_information": ("_fisher_information",),
    "expectation": ("_expectation",),
    "from_expectation": ("_from_expectation",),
    "fit": ("_fit_moments", "_fit_sample"),
}
"""What a family supplies for a public method; it may lack these, and then says why."""


def _lacking(name: str, public: str, reason: str, is_classmethod: bool) -> Any:
    def refuse(owner: Any, *_: Any, **__: Any) -> Any:
        cls = owner if isinstance(owner, type) else type(owner)
        raise NotImplementedError(f"{cls.__name__} has no {public}: {reason}.")

    refuse.__name__ = name
    return classmethod(refuse) if is_classmethod else refuse


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(parameter,))
def family[T: type](cls: T) -> T:
    """Class decorator for a distribution: frozen dataclass, pytree of its parameters, known by name to `Evidence.load`."""
    made: Any = dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)
    made.parameters = {f.name: f.metadata for f in dataclasses.fields(made)}
    names = tuple(made.parameters)
    if made.event_dim:
        made.lacks = {"cdf": "its values are not numbers, which have no order", **made.lacks}
    for public, reason in made.lacks.items():
        for hook in HOOKS[public]:
            if hook in HOOKS["fit"]:
                made.fit = made.try_fit = _lacking("fit", "fit", reason, True)
            setattr(made, hook, _lacking(hook, public, reason, hook.startswith(("_from", "_fit"))))
    for hook in (hook for public, hooks in HOOKS.items() if public != "fit" for hook in hooks):
        if hook in vars(Distribution) and getattr(made, hook) is vars(Distribution)[hook]:
            raise TypeError(f"{made.__name__} must supply {hook}, or say in `lacks` why there is none.")

    def flatten(d: Any) -> tuple[tuple[Any, ...], None]:
        return tuple(getattr(d, name) for name in names), None

    def flatten_with_keys(d: Any) -> tuple[tuple[Any, ...], None]:
        return tuple((jax.tree_util.GetAttrKey(name), getattr(d, name)) for name in names), None

    def unflatten(_: None, leaves: Iterable[Any]) -> Any:
        return made._of(**dict(zip(names, leaves)))

    jax.tree_util.register_pytree_with_keys(made, flatten_with_keys, unflatten, flatten)
    register_family(made)
    return made


class Distribution(Parametrised, abc.ABC):
    """A probability distribution, or a batch of them: a pytree whose leaves are its parameters.

    Parameters broadcast against each other and against the arguments of methods, like NumPy arrays; the batch shape is read off
    them. Known parameters outside their domain raise `ValueError`; traced ones give NaN in whatever depends on them.
    """

    known_parameters: ClassVar[tuple[str, ...]] = ()
    """Parameters that must be known for the statistics to be finitely many."""
    needs_known: ClassVar[bool] = False
    """Whether a fit is possible only where the `known_parameters` are known."""
    may_be_known: ClassVar[tuple[str, ...]] = ()
    """Other parameters that evidence may be told, and a fit then holds."""
    discrete: ClassVar[bool] = False
    data_support: ClassVar[Support | Region]
    """Where observations must lie for a likelihood with free parameters to be finite."""
    layout: ClassVar[Layout | None] = None
    """How observations are summarised in finitely many numbers; None where they cannot be."""
    labelled: ClassVar[bool] = False
    """Whether values are numbers of categories, 0 to K − 1, each of which has a parameter of its own."""
    smooth: ClassVar[bool] = True
    """Whether the log-density is twice differentiable in the parameters, so that Newton's method applies."""
    lacks: ClassVar[dict[str, str]] = {}
    """Methods that have no meaning for the family or no good form, by name (a key of `HOOKS`), and why."""

    __array_ufunc__ = None  # NumPy numbers leave `2 * belief` to the belief

    # Beliefs add. The pairs that do are the business of a layer above, which is asked for when it is first needed.

    def __add__(self, other: Any) -> Any:
        """Posterior = prior + evidence, where the pair is conjugate; see `surprax.conjugates`."""
        return _algebra().add(self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        """Prior = posterior − evidence: takes evidence away that was added before."""
        return _algebra().subtract(self, other)

    def __mul__(self, factor: Any) -> Any:
        """The belief tempered: density to the power `factor`, normalised."""
        return _algebra().scale(self, factor)

    __rmul__ = __mul__

    # Density.

    @property
    def support(self) -> Any:
        """Where the density may be positive: a `Support`, or a `Region` of vectors or matrices."""
        return self.data_support

    @compiled
    def log_prob(self, x: ArrayLike) -> Array:
        """Log-density (log-probability, if discrete) at `x`, in nats; -inf outside the support, NaN at NaN.

        Shape: that of `x` (without the axes of one observation) broadcast with the batch.
        """
        d, x = align(self, self._observed(x))
        if d.support is REAL:
            return d._log_density(x)  # no mask, which would keep XLA from fusing a sum
        inside = d.support.contains(x)
        value = d._log_density(jnp.where(beside(inside, self.event_dim), x, d._inner_point()))
        unknown = jnp.isnan(x) if not self.event_dim else jnp.any(jnp.isnan(x), axis=tuple(range(-self.event_dim, 0)))
        return jnp.where(inside, value, jnp.where(unknown | jnp.isnan(value), jnp.nan, -jnp.inf))

    def _observed(self, x: ArrayLike) -> Any:
        """Observations as a floating array, to be aligned with the batch; an error where their last axes do not fit."""
        x, n = floating(x), self.event_dim
        if n and (x.ndim < n or x.shape[x.ndim - n :] != self.event_shape):
            raise ValueError(
                f"{type(self).__name__} is about observations of shape {self.event_shape}, on the last axes; got an array of"
                f" shape {x.shape}."
            )
        return Wide(x, n)

    def surprise(self, x: ArrayLike, unit: Unit = "nat") -> Array:
        """Surprise at `x`: -log density, in `unit`; +inf outside the support. Shape as `log_prob`."""
        return from_nats(0.0 - self.log_prob(x), unit)

    @compiled
    def log_likelihood(self, x: ArrayLike) -> Array:
        """Sum of `log_prob` over the first axis of `x`, in nats: one number per distribution."""
        return self._log_likelihood(floating(x))

    def _log_likelihood(self, x: Array) -> Array:
        return jnp.sum(self.log_prob(x), axis=0)

    @abc.abstractmethod
    def _log_density(self, x: Array) -> Array:
        """Log-density inside the support."""

    def _inner_point(self) -> Array:
        """Any point inside the support, to stand in for points outside."""
        s: Any = self.support
        if isinstance(s, Region):
            point = jnp.asarray(s.inner(self.event_shape), jnp.result_type(float))
            return point.reshape((1,) * len(self.batch_shape) + point.shape)
        lower, upper = jnp.asarray(s.lower), jnp.asarray(s.upper)
        middle = jnp.where(jnp.isfinite(upper), 0.5 * (lower + upper), lower + 1.0)
        middle = jnp.where(jnp.isfinite(lower), middle, jnp.where(jnp.isfinite(upper), upper - 1.0, 0.0))
        return jnp.floor(middle) if s.discrete else middle

    # Moments.

    @compiled_property
    def mean(self) -> Array:
        """Expected value, shape batch + event; NaN or inf where there is none."""
        return self._wide(self._mean(), self.event_shape)

    @compiled_property
    def variance(self) -> Array:
        """Variance (of each component), shape batch + event; NaN or inf where there is none."""
        return self._wide(self._variance(), self.event_shape)

    @compiled_property
    def mode(self) -> Array:
        """A point of greatest density, shape batch + event (the smallest such, if discrete)."""
        return self._wide(self._mode(), self.event_shape)

    @property
    def stddev(self) -> Array:
        """Standard deviation, √variance, shape batch."""
        return jnp.sqrt(self.variance)

    def _wide(self, value: Any, event_shape: tuple[int, ...] = ()) -> Array:
        value, shape = jnp.asarray(value), self.batch_shape + event_shape
        return jnp.broadcast_to(value, shape) if value.shape != shape else value

    @property
    def single_peaked(self) -> Any:
        """Whether the density rises to one peak and falls from there, so that the rows of greatest surprise are extreme ones."""
        return True

    @classmethod
    def known_event_dim(cls, name: str) -> int:
        """How many axes a known parameter has beside those of the batch."""
        return cls.parameters[name]["event_dim"] if name in cls.parameters else cls.event_dim + 1

    @classmethod
    def check_known_value(cls, name: str, value: Any) -> None:
        """Raise `ValueError` unless it is a value that this parameter can have."""
        check_parameter(cls.__name__, name, value, cls.parameters[name]["constraint"])

    @classmethod
    def free_parameters(cls, fit: Self) -> int:
        """How many numbers a fit adjusts, for AIC and BIC."""
        return len(cls.parameters)

    def _mean(self) -> Any:
        raise NotImplementedError

    def _variance(self) -> Any:
        raise NotImplementedError

    def _mode(self) -> Any:
        raise NotImplementedError

    # Distribution function.

    @compiled
    def log_cdf(self, x: ArrayLike) -> Array:
        """log P(X ≤ x), right in the far tail; shape of `x` broadcast with the batch."""
        return _guarded(self, x, "_log_cdf", below=-jnp.inf, above=0.0)

    @compiled
    def log_sf(self, x: ArrayLike) -> Array:
        """log P(X > x), right in the far tail; shape of `x` broadcast with the batch."""
        return _guarded(self, x, "_log_sf", below=0.0, above=-jnp.inf)

    # These two are what is compiled for their logarithms, and `icdf` and `isf` share one inverse: each of them takes XLA seconds.

    def cdf(self, x: ArrayLike) -> Array:
        """P(X ≤ x); shape of `x` broadcast with the batch."""
        return jnp.exp(self.log_cdf(x))

    def sf(self, x: ArrayLike) -> Array:
        """P(X > x), the survival function; shape of `x` broadcast with the batch."""
        return jnp.exp(self.log_sf(x))

    def icdf(self, p: ArrayLike) -> Array:
        """Quantile: the least x with P(X ≤ x) ≥ p; NaN for p outside [0, 1]. Shape of `p` broadcast with the batch.

        Probabilities near 1 lose digits before they get here: for those, `isf` takes the other tail.
        """
        u = floating(p)
        return self._inverse(jnp.log(u), jnp.log1p(-u))

    def isf(self, p: ArrayLike) -> Array:
        """Quantile from the upper tail: the least x with P(X > x) ≤ p; NaN for p outside [0, 1]."""
        u = floating(p)
        return self._inverse(jnp.log1p(-u), jnp.log(u))

    @compiled
    def _inverse(self, log_p: Array, log_q: Array) -> Array:
        """The quantile by the logarithms of both tails: one of them −∞ at an end, NaN for what is no probability."""
        d, log_p, log_q = align(self, log_p, log_q)
        proper = (log_p > -jnp.inf) & (log_q > -jnp.inf)
        half = jnp.full_like(log_p, -float(np.log(2.0)))
        value = d._quantile(jnp.where(proper, log_p, half), jnp.where(proper, log_q, half))
        s = d.support
        ends = jnp.where(log_p == -jnp.inf, s.lower, s.upper) * jnp.ones_like(value)
        return jnp.where(jnp.isnan(log_p + log_q), jnp.nan, jnp.where(proper, value, ends))

    def _log_cdf(self, x: Array) -> Array:
        """log P(X ≤ x) for x inside the hull of the support (a whole number, if discrete)."""
        raise NotImplementedError

    def _log_sf(self, x: Array) -> Array:
        """log P(X > x) for x inside the hull of the support (a whole number, if discrete)."""
        raise NotImplementedError

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        """The quantile of probability p, given log p and log(1 − p), both finite."""
        raise NotImplementedError

    # Information.

    # One program for all units, which are a factor.

    def entropy(self, unit: Unit = "nat") -> Array:
        """Expected surprise −E log p(X) (differential, if continuous), shape batch, in `unit`."""
        return from_nats(_entropy(self), unit)

    def kl(self, q: Self, unit: Unit = "nat") -> Array:
        """Kullback–Leibler divergence E_p log p/q from this distribution to `q` of the same family, ≥ 0, in `unit`.

        Accurate in relative terms as q → p. Shape: the two batches broadcast. +inf where q lacks support.
        """
        if type(q) is not type(self):
            raise TypeError(f"KL is computed within a family: got {type(self).__name__} and {type(q).__name__}.")
        return from_nats(_kl(self, q), unit)

    def cross_entropy(self, q: Self, unit: Unit = "nat") -> Array:
        """Expected surprise of `q` at data from this distribution: entropy + KL, in `unit`."""
        kl = self.kl(q, unit)
        entropy = self.entropy(unit)
        return kl + (
            entropy
            if entropy.ndim in (0, kl.ndim)
            else entropy.reshape((1,) * (kl.ndim - entropy.ndim) + entropy.shape)
        )

    def _entropy(self) -> Any:
        raise NotImplementedError

    def _kl(self, q: Self) -> Array:
        raise NotImplementedError

    # Samples.

    @compiled(static=("shape",))
    def sample(self, key: Array, shape: tuple[int, ...] = ()) -> Array:
        """Draws, of shape `shape` + batch + event; `key` is a JAX random key."""
        shape = (*shape, *self.batch_shape)
        (d,) = align(self, rank=len(shape))
        return d._sample(key, shape)

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        raise NotImplementedError

    # Maximum likelihood.

    @classmethod
    def fit(cls, data: Any, weights: Any = None, **known: Any) -> Self:
        """The distribution at the maximum of the likelihood.

        Args:
            data: observations on the first axis (NumPy, JAX, or a column of a data-frame), or `Evidence` for this family.
            weights: of the observations, ≥ 0, same shape; None for 1 each.
            known: parameters held at a known value, by name, where the family allows it.

        Returns:
            The distribution; its parameters are float64 whatever JAX's default precision, unless the data are traced.

        Raises:
            ValueError: where there is no maximum, or the data are outside the support; it says why and where.
        """
        distribution, outcome = cls.try_fit(data, weights, **known)
        if not is_traced(outcome) and not np.all(outcome.ok):
            raise ValueError(f"{cls.__name__} has no maximum of the likelihood: {outcome}.")
        return distribution

    @classmethod
    def try_fit(cls, data: Any, weights: Any = None, **known: Any) -> tuple[Self, Outcome]:
        """Like `fit`, for batches and traced data: `(distribution, outcome)`, where `outcome.ok` says elementwise whether there
        is a maximum; the distribution holds the limit, or NaN, where there is none."""
        return try_fit(cls, data, weights, known)

    @classmethod
    def _data_support(cls, known: dict[str, Any]) -> Any:
        return cls.data_support

    @classmethod
    def _fit_sample(
        cls, x: Array, weights: Array | None, known: dict[str, Any], start: Self | None = None
    ) -> tuple[Self, Outcome]:
        """Maximum likelihood by passes over observations `x` (n,), from `start` where one is given; pure JAX."""
        raise NotImplementedError

    @classmethod
    def _landscape(cls) -> Any:
        """How its likelihood is climbed (a `Landscape`), for steps from a fit to those without a fold; None to differentiate."""
        return None

    @classmethod
    def _fit_with_and_without_each(cls, rows: Array, weights: Array | None) -> tuple[Self, Outcome, Self, Outcome]:
        """Fits to a matrix of folds (K, m), and to all of it but one fold each; see `refits`."""
        return fit_with_and_without_each(cls, rows, weights)


@compiled
def _entropy(d: Any) -> Array:
    return d._wide(d._entropy())


@compiled
def _kl(p: Any, q: Any) -> Array:
    p, q = align(p, q)
    return p._kl(q) * jnp.ones(np.broadcast_shapes(p.batch_shape, q.batch_shape))


def _guarded(d: Distribution, x: ArrayLike, method: str, below: float, above: float) -> Array:
    d, x = align(d, floating(x))
    if d.event_dim:
        return getattr(d, method)(x)  # which says why there is none
    s = d.support
    x = jnp.floor(x) if s.discrete else x
    low, high = x < s.lower, x >= s.upper
    value = getattr(d, method)(jnp.where(low | high, d._inner_point(), x))
    guarded = jnp.where(low, below, jnp.where(high, above, value))
    return jnp.where(jnp.isnan(x) | jnp.isnan(value), jnp.nan, guarded)  # of parameters that are NaN, too


def floating(x: ArrayLike) -> Array:
    """`x` as a floating array."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.result_type(float))


def _algebra() -> Any:
    return importlib.import_module("surprax.beliefs.algebra")
