"""What every distribution can do.

`Distribution` writes each public method once: it lines up shapes, guards the support, compiles. A family supplies the mathematics
in the methods with a leading underscore, which see arrays of equal rank (or scalars) and arguments inside the support.

Public methods are compiled once per class and shape, so that an eager call costs a dispatch and not a trace.
"""

import abc
import dataclasses
import functools
from collections.abc import Iterable
from typing import Any, ClassVar, Self, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from surprax.evidence import Layout
from surprax.evidence.base import register_family
from surprax.families.fitting import try_fit
from surprax.families.outcomes import Outcome
from surprax.families.parameters import as_parameter, check_parameter, parameter
from surprax.families.refits import fit_with_and_without_each
from surprax.families.supports import Support
from surprax.numerics.precision import is_traced
from surprax.units import Unit, from_nats

__all__ = ["Distribution", "compiled", "family"]


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
        return method(*(_checked(a) if isinstance(a, Distribution) else a for a in args), **keywords)

    return checked


def _checked(d: Any) -> Any:
    leaves = {name: (jnp.asarray(getattr(d, name)), meta["constraint"]) for name, meta in d.parameters.items()}
    return type(d)._of(**{name: jnp.where(constraint.holds(v), v, jnp.nan) for name, (v, constraint) in leaves.items()})


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(parameter,))
def family[T: type](cls: T) -> T:
    """Class decorator for a distribution: frozen dataclass, pytree of its parameters, known by name to `Evidence.load`."""
    made: Any = dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)
    made.parameters = {f.name: f.metadata for f in dataclasses.fields(made)}
    names = tuple(made.parameters)

    def flatten(d: Any) -> tuple[tuple[Any, ...], None]:
        return tuple(getattr(d, name) for name in names), None

    def flatten_with_keys(d: Any) -> tuple[tuple[Any, ...], None]:
        return tuple((jax.tree_util.GetAttrKey(name), getattr(d, name)) for name in names), None

    def unflatten(_: None, leaves: Iterable[Any]) -> Any:
        return made._of(**dict(zip(names, leaves)))

    jax.tree_util.register_pytree_with_keys(made, flatten_with_keys, unflatten, flatten)
    register_family(made)
    return made


class Distribution(abc.ABC):
    """A probability distribution, or a batch of them: a pytree whose leaves are its parameters.

    Parameters broadcast against each other and against the arguments of methods, like NumPy arrays; the batch shape is read off
    them. Known parameters outside their domain raise `ValueError`; traced ones give NaN in whatever depends on them.
    """

    parameters: ClassVar[dict[str, Any]]
    known_parameters: ClassVar[tuple[str, ...]] = ()
    discrete: ClassVar[bool] = False
    data_support: ClassVar[Support]
    """Where observations must lie for a likelihood with free parameters to be finite."""
    layout: ClassVar[Layout | None] = None
    """How observations are summarised in finitely many numbers; None where they cannot be."""
    labelled: ClassVar[bool] = False
    """Whether values are numbers of categories, 0 to K − 1, each of which has a parameter of its own."""
    smooth: ClassVar[bool] = True
    """Whether the log-density is twice differentiable in the parameters, so that Newton's method applies."""

    def __post_init__(self) -> None:
        for name, metadata in self.parameters.items():
            value = as_parameter(getattr(self, name))
            check_parameter(type(self).__name__, name, value, metadata["constraint"])
            object.__setattr__(self, name, value)
        if any(np.ndim(leaf) for leaf in self._leaves()) and not is_traced(self._leaves()):
            try:
                _ = self.batch_shape
            except ValueError:
                shapes = {name: np.shape(getattr(self, name)) for name in self.parameters}
                raise ValueError(
                    f"{type(self).__name__}: parameters must broadcast against each other; got shapes {shapes}."
                ) from None

    @classmethod
    def _of(cls, **leaves: Any) -> Self:
        """A distribution of these leaves, unchecked (they may be traced, or no arrays at all)."""
        d = object.__new__(cls)
        for name, leaf in leaves.items():
            object.__setattr__(d, name, leaf)
        return d

    def _leaves(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.parameters)

    # Shape.

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch of distributions: () for a single one."""
        shapes = [
            np.shape(getattr(self, n))[: np.ndim(getattr(self, n)) - m["event_dim"]] for n, m in self.parameters.items()
        ]
        return np.broadcast_shapes(*shapes)

    def __getitem__(self, index: Any) -> Self:
        """Distributions of the batch, by any NumPy index of its axes."""
        shape = self.batch_shape
        pick = {}
        for name, metadata in self.parameters.items():
            leaf = getattr(self, name)
            event = np.shape(leaf)[np.ndim(leaf) - metadata["event_dim"] :]
            xp = jnp if isinstance(leaf, jax.Array) else np
            pick[name] = xp.broadcast_to(leaf, shape + event)[index]
        return type(self)._of(**pick)

    def __repr__(self) -> str:
        def told(leaf: Any) -> str:
            if is_traced(leaf) or not hasattr(leaf, "shape"):
                return str(leaf)
            array = np.asarray(leaf)
            if array.ndim == 0:
                return f"{array.item():.9g}"
            return np.array2string(array, precision=6, separator=", ", threshold=6, max_line_width=120)

        return f"{type(self).__name__}({', '.join(f'{name}={told(getattr(self, name))}' for name in self.parameters)})"

    # Density.

    @property
    def support(self) -> Support:
        """Where the density may be positive."""
        return self.data_support

    @compiled
    def log_prob(self, x: ArrayLike) -> Array:
        """Log-density (log-probability, if discrete) at `x`, in nats; -inf outside the support, NaN at NaN.

        Shape: that of `x` broadcast with the batch.
        """
        d, x = align(self, floating(x))
        inside = d.support.contains(x)
        value = d._log_density(jnp.where(inside, x, d._inner_point()))
        return jnp.where(
            inside, value, jnp.where(jnp.isnan(x), jnp.nan, jnp.where(jnp.isnan(value), jnp.nan, -jnp.inf))
        )

    @compiled(static=("unit",))
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
        s = self.support
        lower, upper = jnp.asarray(s.lower), jnp.asarray(s.upper)
        middle = jnp.where(jnp.isfinite(upper), 0.5 * (lower + upper), lower + 1.0)
        middle = jnp.where(jnp.isfinite(lower), middle, jnp.where(jnp.isfinite(upper), upper - 1.0, 0.0))
        return jnp.floor(middle) if s.discrete else middle

    # Moments.

    @compiled_property
    def mean(self) -> Array:
        """Expected value, shape batch; NaN or inf where there is none."""
        return self._wide(self._mean())

    @compiled_property
    def variance(self) -> Array:
        """Variance, shape batch; NaN or inf where there is none."""
        return self._wide(self._variance())

    @compiled_property
    def mode(self) -> Array:
        """A point of greatest density, shape batch (the smallest such, if discrete)."""
        return self._wide(self._mode())

    @property
    def stddev(self) -> Array:
        """Standard deviation, √variance, shape batch."""
        return jnp.sqrt(self.variance)

    def _wide(self, value: Any) -> Array:
        value = jnp.asarray(value)
        return jnp.broadcast_to(value, self.batch_shape) if value.shape != self.batch_shape else value

    @property
    def single_peaked(self) -> Any:
        """Whether the density rises to one peak and falls from there, so that the rows of greatest surprise are extreme ones."""
        return True

    @classmethod
    def free_parameters(cls, fit: Self) -> int:
        """How many numbers a fit adjusts, for AIC and BIC."""
        return len(cls.parameters)

    @abc.abstractmethod
    def _mean(self) -> Any: ...

    @abc.abstractmethod
    def _variance(self) -> Any: ...

    @abc.abstractmethod
    def _mode(self) -> Any: ...

    # Distribution function.

    @compiled
    def log_cdf(self, x: ArrayLike) -> Array:
        """log P(X ≤ x), right in the far tail; shape of `x` broadcast with the batch."""
        return _guarded(self, x, "_log_cdf", below=-jnp.inf, above=0.0)

    @compiled
    def log_sf(self, x: ArrayLike) -> Array:
        """log P(X > x), right in the far tail; shape of `x` broadcast with the batch."""
        return _guarded(self, x, "_log_sf", below=0.0, above=-jnp.inf)

    @compiled
    def cdf(self, x: ArrayLike) -> Array:
        """P(X ≤ x); shape of `x` broadcast with the batch."""
        return jnp.exp(self.log_cdf(x))

    @compiled
    def sf(self, x: ArrayLike) -> Array:
        """P(X > x), the survival function; shape of `x` broadcast with the batch."""
        return jnp.exp(self.log_sf(x))

    @compiled
    def icdf(self, p: ArrayLike) -> Array:
        """Quantile: the least x with P(X ≤ x) ≥ p; NaN for p outside [0, 1]. Shape of `p` broadcast with the batch.

        Probabilities near 1 lose digits before they get here: for those, `isf` takes the other tail.
        """
        d, u = align(self, floating(p))
        return d._quantile_guarded(jnp.log(u), jnp.log1p(-u), u)

    @compiled
    def isf(self, p: ArrayLike) -> Array:
        """Quantile from the upper tail: the least x with P(X > x) ≤ p; NaN for p outside [0, 1]."""
        d, u = align(self, floating(p))
        return d._quantile_guarded(jnp.log1p(-u), jnp.log(u), u)

    def _quantile_guarded(self, log_p: Array, log_q: Array, p: Array) -> Array:
        proper = (log_p > -jnp.inf) & (log_q > -jnp.inf)
        half = jnp.full_like(p, -float(np.log(2.0)))
        value = self._quantile(jnp.where(proper, log_p, half), jnp.where(proper, log_q, half))
        s = self.support
        ends = jnp.where(log_p == -jnp.inf, s.lower, s.upper) * jnp.ones_like(value)
        return jnp.where((p >= 0) & (p <= 1), jnp.where(proper, value, ends), jnp.nan)

    @abc.abstractmethod
    def _log_cdf(self, x: Array) -> Array:
        """log P(X ≤ x) for x inside the hull of the support (a whole number, if discrete)."""

    @abc.abstractmethod
    def _log_sf(self, x: Array) -> Array:
        """log P(X > x) for x inside the hull of the support (a whole number, if discrete)."""

    @abc.abstractmethod
    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        """The quantile of probability p, given log p and log(1 − p), both finite."""

    # Information.

    @compiled(static=("unit",))
    def entropy(self, unit: Unit = "nat") -> Array:
        """Expected surprise −E log p(X) (differential, if continuous), shape batch, in `unit`."""
        return from_nats(self._wide(self._entropy()), unit)

    def kl(self, q: Self, unit: Unit = "nat") -> Array:
        """Kullback–Leibler divergence E_p log p/q from this distribution to `q` of the same family, ≥ 0, in `unit`.

        Accurate in relative terms as q → p. Shape: the two batches broadcast. +inf where q lacks support.
        """
        if type(q) is not type(self):
            raise TypeError(f"KL is computed within a family: got {type(self).__name__} and {type(q).__name__}.")
        return _kl(self, q, unit=unit)

    def cross_entropy(self, q: Self, unit: Unit = "nat") -> Array:
        """Expected surprise of `q` at data from this distribution: entropy + KL, in `unit`."""
        kl = self.kl(q, unit)
        entropy = self.entropy(unit)
        return kl + (
            entropy
            if entropy.ndim in (0, kl.ndim)
            else entropy.reshape((1,) * (kl.ndim - entropy.ndim) + entropy.shape)
        )

    @abc.abstractmethod
    def _entropy(self) -> Any: ...

    @abc.abstractmethod
    def _kl(self, q: Self) -> Array: ...

    # Samples.

    @compiled(static=("shape",))
    def sample(self, key: Array, shape: tuple[int, ...] = ()) -> Array:
        """Draws, of shape `shape` + batch; `key` is a JAX random key."""
        shape = (*shape, *self.batch_shape)
        (d,) = align(self, rank=len(shape))
        return d._sample(key, shape)

    @abc.abstractmethod
    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array: ...

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
    def _data_support(cls, known: dict[str, Any]) -> Support:
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


@compiled(static=("unit",))
def _kl(p: Any, q: Any, *, unit: Unit) -> Array:
    p, q = align(p, q)
    return from_nats(p._kl(q) * jnp.ones(np.broadcast_shapes(p.batch_shape, q.batch_shape)), unit)


def _guarded(d: Distribution, x: ArrayLike, method: str, below: float, above: float) -> Array:
    d, x = align(d, floating(x))
    s = d.support
    x = jnp.floor(x) if s.discrete else x
    low, high = x < s.lower, x >= s.upper
    value = getattr(d, method)(jnp.where(low | high, d._inner_point(), x))
    value = jnp.where(low, below, jnp.where(high, above, value))
    return jnp.where(jnp.isnan(x), jnp.nan, value)


def floating(x: ArrayLike) -> Array:
    """`x` as a floating array."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.result_type(float))


def align(*items: Any, rank: int = 0) -> tuple[Any, ...]:
    """Arrays and distributions with their batch axes lined up to one rank, as NumPy's broadcasting does silently.

    (JAX can be told to refuse silent promotion of ranks; this library works under that setting.)
    """
    rank = max(rank, *(len(item.batch_shape) if isinstance(item, Distribution) else jnp.ndim(item) for item in items))

    def lift(leaf: Any, event_dim: int) -> Array:
        leaf = jnp.asarray(leaf)
        missing = rank - (leaf.ndim - event_dim)
        if missing > 0 and leaf.ndim > 0:
            return leaf.reshape((1,) * missing + leaf.shape)
        return leaf

    def lined(item: Any) -> Any:
        if not isinstance(item, Distribution):
            return lift(item, 0)
        return type(item)._of(**{n: lift(getattr(item, n), m["event_dim"]) for n, m in item.parameters.items()})

    return tuple(lined(item) for item in items)
