"""Exponential families: surprise that is linear in statistics of the data.

    log p(x | η) = ⟨η, T(x)⟩ − A(η) + log h(x)

That is the contract, held by a test over every family; what runs is each family's stable formula.
"""

import abc
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from surprax.evidence import Evidence, Layout, Moments
from surprax.families.base import Distribution, align, compiled, compiled_property, floating
from surprax.families.fitting import check_known, make_evidence, rounded_evidence
from surprax.families.outcomes import Outcome
from surprax.numerics.precision import in_float64, is_traced

__all__ = ["ExponentialFamily", "direct_log_likelihood"]


class ExponentialFamily(Distribution):
    """A distribution whose log-density is ⟨η, T(x)⟩ − A(η) + log h(x).

    Natural parameters η and expectation parameters E[T] are flat vectors on the last axis. Families that have this form only
    when some parameter is known (named in `known_parameters`) take it by name wherever it is needed.
    """

    dimension: ClassVar[int]
    """Length of the natural parameter vector (Categorical: set by the number of categories)."""
    layout: ClassVar[Layout | None]
    """How observations are summarised."""
    gap_matrix: ClassVar[tuple[tuple[float, ...], ...]]
    """dimension × gaps: mean T(x) = T(y⁻¹(mean of the carrier)) + gap_matrix · gaps."""

    # The exponential-family view.

    @compiled_property
    def natural(self) -> Array:
        """Natural parameters η, shape batch + (dimension,)."""
        return _flat(self, self._natural())

    @compiled_property
    def expectation(self) -> Array:
        """Expectation parameters E[T(X)], shape batch + (dimension,)."""
        return _flat(self, self._expectation())

    @compiled_property
    def log_normalizer(self) -> Array:
        """Log-normaliser A(η), shape batch: convex, with gradient E[T] and Hessian Cov[T]."""
        return self._wide(self._log_normalizer())

    @compiled
    def sufficient_statistics(self, x: ArrayLike) -> Array:
        """T(x), shape of x (broadcast with the batch of known parameters) + (dimension,)."""
        d, x = align(self, floating(x))
        return _stack(d._sufficient_statistics(x))

    @compiled
    def log_base_measure(self, x: ArrayLike) -> Array:
        """log h(x), in nats; shape of x."""
        d, x = align(self, floating(x))
        base = type(d)._log_base(x, d._known())
        return jnp.zeros_like(x) if base is None else base

    @compiled
    def fisher_information(self) -> Array:
        """Fisher information in the natural parameters, ∇²A(η) = Cov[T(X)], shape batch + (dimension, dimension)."""
        rows = self._fisher_information()
        return jnp.stack([_flat(self, row) for row in rows], axis=-2)

    @classmethod
    def from_natural(cls, natural: ArrayLike, **known: Any) -> Self:
        """The distribution with natural parameters η, shape batch + (dimension,); inverse of `natural`.

        Raises `ValueError` for known values outside the natural parameter space; traced ones give NaN.
        """
        return _from_vector(cls, "natural", natural, known)

    @classmethod
    def from_expectation(cls, expectation: ArrayLike, **known: Any) -> Self:
        """The distribution with expectation parameters E[T], shape batch + (dimension,); inverse of `expectation`.

        Raises `ValueError` where no distribution of the family has these expectations; traced ones give NaN. Evidence holds the
        same information in coordinates that keep more digits.
        """
        return _from_vector(cls, "expectation", expectation, known)

    @classmethod
    def evidence(cls, x: Any, weights: Any = None, *, by: Any = None, **known: Any) -> Evidence:
        """What observations say to this family: everything that its likelihood depends on.

        Args:
            x: observations on the first axis (NumPy, JAX or a column of a data-frame); further axes are batch.
            weights: ≥ 0, same shape as `x`; None for 1 each.
            by: labels of groups, one per observation: the evidence then has one entry per group on its leading axis.
            known: known parameters, by name, for families that need them.

        Raises:
            ValueError: naming the first row outside the domain of the family.
        """
        return make_evidence(cls, x, weights, by, known)

    # What a family supplies, beside what every distribution does. Scalars of the batch shape, one per component.

    @abc.abstractmethod
    def _natural(self) -> tuple[Any, ...]: ...

    @classmethod
    @abc.abstractmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self: ...

    @abc.abstractmethod
    def _expectation(self) -> tuple[Any, ...]: ...

    @classmethod
    @abc.abstractmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self: ...

    @abc.abstractmethod
    def _log_normalizer(self) -> Any: ...

    @abc.abstractmethod
    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]: ...

    @abc.abstractmethod
    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]: ...

    @classmethod
    @abc.abstractmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """The maximum of the likelihood of evidence, batched; the limit or NaN where there is none."""

    @classmethod
    def _log_base(cls, x: Array, known: dict[str, Any]) -> Array | None:
        """log h(x); None where h = 1."""
        return None

    def _fitted_log_likelihood(self) -> Any:
        """E[⟨η, T(X)⟩ − A(η)] under itself: the mean log-likelihood at a maximum, without log h. (−entropy, where h = 1.)"""
        return -self._entropy()

    # Evidence and likelihood.

    def _known(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.known_parameters}

    @classmethod
    def _mean_statistics(cls, e: Moments) -> Array:
        """Mean of T over the observations, shape batch + (dimension,)."""
        assert cls.layout is not None
        at_mean = cls._statistics_at(cls.layout.carrier.given(e.known).inverse(e.mean), e.known)
        matrix = np.asarray(cls.gap_matrix)
        return _stack([t + sum(m * e.gaps[..., j] for j, m in enumerate(row) if m) for t, row in zip(at_mean, matrix)])

    @classmethod
    def _statistics_at(cls, x: Any, known: dict[str, Any]) -> tuple[Any, ...]:
        return cls._sufficient_statistics(cls._of(**known), x)

    def log_likelihood(self, x: ArrayLike) -> Array:
        """Sum of `log_prob` over the first axis of `x`, in nats: one number per distribution."""
        evidence = None if self.batch_shape else rounded_evidence(type(self), x, self._known())
        if evidence is None:
            return super().log_likelihood(x)
        return jnp.asarray(evidence.log_likelihood(self), np.float32)

    def _log_likelihood(self, x: Array) -> Array:
        """By evidence; row by row where rows lie outside the support, or at an end where the density is 0 or ∞."""
        evidence = make_evidence(type(self), x, None, None, self._known())
        value = type(self)._evidence_log_likelihood(evidence, self)
        d, rows = align(self, x)
        whole = jnp.all(d.support.contains(rows)) & jnp.all(jnp.isfinite(value))
        return jax.lax.cond(whole, lambda: value, lambda: jnp.sum(self.log_prob(x), axis=0).astype(value.dtype))

    @classmethod
    def _evidence_log_likelihood(cls, e: Moments, q: Any) -> Array:
        """Equation 4: n·(mean log-likelihood at the fit) − n·KL(fit‖q) + Σ log h; directly where there is no fit."""
        return _score(*_at_maximum(e), q)

    @classmethod
    def _evidence_excess(cls, e: Moments, q: Any) -> Array:
        """n·KL(fit‖q), or the negative of the direct log-likelihood where there is no fit."""
        return _excess(*_at_maximum(e), q)


@in_float64
def _at_maximum(e: Moments) -> tuple[Moments, Any, Any]:
    """The fit of evidence, and whether it is a maximum."""
    fit, outcome = e.family._fit_moments(e)
    return e, fit, outcome.ok


def direct_log_likelihood(e: Moments, q: Any) -> Array:
    """Total log-likelihood without a fit, for float64: the mean observation's log-density and what the gaps take off."""
    gaps = [e.gaps[..., j] for j in range(len(e.family.layout.gaps))]
    q, count, mean, log_base, *gaps = align(q, e.count, e.mean, e.log_base, *gaps)
    return count * _direct(e.family, q, mean, gaps) + log_base


def _direct(cls: Any, q: Any, mean: Array, gaps: list[Array]) -> Array:
    """Mean log-likelihood without log h: of the observation at the mean of the carrier, and what the gaps take off."""
    x = cls.layout.carrier.given(q._known()).inverse(mean)
    if cls.discrete:  # whose density need not continue between whole numbers
        statistics = q._sufficient_statistics(x)
        value = sum(eta * t for eta, t in zip(q._natural(), statistics)) - q._log_normalizer()
    else:
        base = cls._log_base(x, q._known())
        value = q._log_density(x) - (0.0 if base is None else base)
    for eta, row in zip(q._natural(), cls.gap_matrix):
        for factor, gap in zip(row, gaps):
            value = value + factor * eta * gap if factor else value
    return value


@in_float64
def _score(e: Moments, fit: Any, ok: Any, q: Any) -> Array:
    q, fit, ok, count, log_base, below, direct = _parts(e, fit, ok, q)
    return jnp.where(ok, count * fit._fitted_log_likelihood() - below, direct) + log_base


@in_float64
def _excess(e: Moments, fit: Any, ok: Any, q: Any) -> Array:
    _, _, ok, _, _, below, direct = _parts(e, fit, ok, q)
    return jnp.where(ok, below, -direct)


def _parts(e: Moments, fit: Any, ok: Any, q: Any) -> tuple[Any, ...]:
    """What equation 4 is made of, lined up: q, fit, whether it is one, n, Σ log h, n·KL(fit‖q), n·(direct form)."""
    cls = e.family
    if type(q) is not cls:
        raise TypeError(f"Evidence for {cls.__name__} scores distributions of that family; got {type(q).__name__}.")
    gaps = [e.gaps[..., j] for j in range(len(cls.layout.gaps))]
    q, fit, ok, count, mean, log_base, *gaps = align(q, fit, ok, e.count, e.mean, e.log_base, *gaps)
    # A stand-in keeps the unused branch finite, and with it the gradients.
    fit = jax.tree.map(lambda f, own: jnp.where(ok, f, jax.lax.stop_gradient(own)), fit, q)
    return q, fit, ok, count, log_base, count * fit._kl(q), count * _direct(cls, q, mean, gaps)


def _stack(components: Any) -> Array:
    components = jnp.broadcast_arrays(*(jnp.asarray(c) for c in components))
    return jnp.stack(components, axis=-1)


def _flat(d: Distribution, components: tuple[Any, ...]) -> Array:
    return _stack([d._wide(c) for c in components])


def _from_vector(cls: Any, kind: str, vector: Any, known: dict[str, Any]) -> Any:
    known = check_known(cls, known)
    missing = [name for name in cls.known_parameters if name not in known]
    if missing:
        raise TypeError(f"{cls.__name__}.from_{kind} needs the known parameter {missing[0]}: pass {missing[0]}=....")
    traced = is_traced(vector, known)
    vector = jnp.asarray(vector) if traced or isinstance(vector, jax.Array) else np.asarray(vector, np.float64)
    if np.ndim(vector) == 0 or (cls.dimension is not None and np.shape(vector)[-1] != cls.dimension):
        raise ValueError(
            f"{cls.__name__} has {cls.dimension} {kind} parameters, on the last axis; got shape {np.shape(vector)}."
        )
    if traced:
        return _build(cls, kind, vector, known)
    d = _build_float64(cls, kind, vector, known)
    for name, leaf in zip(d.parameters, d._leaves()):
        bad = ~np.isfinite(leaf)
        if bad.any():
            row = tuple(np.argwhere(np.broadcast_to(bad, np.shape(vector)[:-1]))[0]) if np.ndim(leaf) else ()
            given = np.asarray(vector)[row].tolist()
            raise ValueError(
                f"No {cls.__name__} has {kind} parameters {given}: its {name} would be {np.asarray(leaf)[row]}."
            )
    return d


def _build(cls: Any, kind: str, vector: Any, known: dict[str, Any]) -> Any:
    components = tuple(vector[..., i] for i in range(vector.shape[-1]))
    make = cls._from_natural if kind == "natural" else cls._from_expectation
    return make(components, known)


_build_float64 = in_float64(_build, static_argnames=("cls", "kind"))
