"""Exponential families: surprise that is linear in statistics of the data.

    log p(x | η) = ⟨η, T(x)⟩ − A(η) + log h(x)

That is the contract, held by a test over every family; what runs is each family's stable formula.
"""

import abc
import functools
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from surprax.evidence import Evidence, Layout, Moments
from surprax.families.base import Distribution, compiled, compiled_property
from surprax.families.batches import Wide, align
from surprax.families.fitting import check_known, make_evidence, rounded_score
from surprax.families.outcomes import Outcome, Reason
from surprax.families.scores import at_maximum, components, excess_of, plus, score
from surprax.numerics.precision import in_float64, is_traced
from surprax.units import Unit, from_nats

__all__ = ["ExponentialFamily"]


class ExponentialFamily(Distribution):
    """A distribution whose log-density is ⟨η, T(x)⟩ − A(η) + log h(x).

    Natural parameters η and expectation parameters E[T] are flat vectors on the last axis. Families that have this form only
    when some parameter is known (named in `known_parameters`) take it by name wherever it is needed.

    The methods with a leading underscore have statistics and parameters as a tuple of one array for each component where their
    number (`dimension`) is fixed; else as an array with the components on its last axis.
    """

    dimension: ClassVar[int | None]
    """Length of the natural parameter vector; None where that depends on the length of an observation."""
    layout: ClassVar[Layout | None]
    """How observations are summarised."""
    gap_matrix: ClassVar[tuple[tuple[float, ...], ...]]
    """dimension × gaps: mean T(x) = T(y⁻¹(mean of the carrier)) + gap_matrix · gaps (see `_gap_statistics`)."""

    sums_by_evidence: ClassVar[bool] = True
    """Whether `log_likelihood` of rows is best taken from their evidence; else it adds up `log_prob` row by row."""

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
        """T(x), shape of x (without its event, broadcast with the batch of known parameters) + (dimension,)."""
        d, x = align(self, self._observed(x))
        return _stack(d._sufficient_statistics(x))

    @compiled
    def log_base_measure(self, x: ArrayLike) -> Array:
        """log h(x), in nats; shape of x without its event."""
        d, rows = align(self, self._observed(x))
        base = type(d)._log_base(rows, d._known())
        return jnp.zeros(rows.shape[: rows.ndim - self.event_dim], rows.dtype) if base is None else base

    @compiled
    def fisher_information(self) -> Array:
        """Fisher information in the natural parameters, ∇²A(η) = Cov[T(X)], shape batch + (dimension, dimension)."""
        rows = self._fisher_information()
        if isinstance(rows, tuple):
            return jnp.stack([_flat(self, row) for row in rows], axis=-2)
        return jnp.broadcast_to(rows, self.batch_shape + rows.shape[-2:])

    @compiled
    def fisher_solve(self, vector: ArrayLike) -> Array:
        """F⁻¹ v with the Fisher information F in the natural parameters: turns a gradient with respect to them into a natural
        gradient, which is the same as the gradient with respect to the expectation parameters.

        Shape: that of `vector`, batch + (dimension,).

        >>> from surprax.families import Gamma
        >>> d = Gamma(3.0, 0.5)
        >>> (d.fisher_solve(d.fisher_information()[0]) + 0.0).round(3).tolist()
        [1.0, 0.0]
        """
        d, v = align(self, Wide(jnp.asarray(vector, jnp.result_type(float)), 1))
        return d._fisher_solve(v)

    # Divergences between members of the family, beside KL.

    def renyi(self, q: Self, order: ArrayLike, unit: Unit = "nat") -> Array:
        """Rényi divergence of `order` α > 0, D_α(p‖q) = log ∫ p^α q^(1−α) / (α − 1) ≥ 0, in `unit`; KL at α = 1.

        By the member m of the family at natural parameters α η_p + (1 − α) η_q,

            (1 − α) D_α(p‖q) = α KL(m‖p) + (1 − α) KL(m‖q),

        which is flat in m, and so is as accurate as KL as q → p (Nielsen & Nock 2011). +inf where α > 1 and m does not exist.
        Shape: the batches and `order` broadcast.

        >>> from surprax.families import Normal
        >>> p, q = Normal(0.0, 1.0), Normal(1.0, 1.0)
        >>> print(p.renyi(q, 0.5), p.renyi(q, 1.0), p.kl(q))  # with equal variances, α times KL
        0.25 0.5 0.5
        """
        return from_nats(_renyi(self, _same_family(self, q), order), unit)

    def bhattacharyya(self, q: Self, unit: Unit = "nat") -> Array:
        """Bhattacharyya distance −log ∫ √(pq) ≥ 0, in `unit`: half the Rényi divergence of order ½. Shape: the batches broadcast.

        >>> from surprax.families import Exponential
        >>> p, q = Exponential(1.0), Exponential(4.0)
        >>> print(p.bhattacharyya(q).round(4), jnp.log(5 / 4).round(4))  # of the rates, arithmetic over geometric mean
        0.2231 0.2231
        """
        return 0.5 * self.renyi(q, 0.5, unit)

    def hellinger(self, q: Self) -> Array:
        """Hellinger distance √(1 − ∫ √(pq)), between 0 and 1. Shape: the batches broadcast.

        >>> from surprax.families import Bernoulli
        >>> print(Bernoulli(1.0).hellinger(Bernoulli(0.0)))  # nothing in common
        1.0
        """
        squared = -jnp.expm1(-self.bhattacharyya(q))
        some = squared > 0
        return jnp.where(some, jnp.sqrt(jnp.where(some, squared, 1.0)), 0.0 * squared)

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
    def try_from_expectation(cls, expectation: ArrayLike, **known: Any) -> tuple[Self, Outcome]:
        """Like `from_expectation`, for batches and traced code: `(distribution, outcome)`, where `outcome.ok` says elementwise
        whether there is such a distribution. Where there is none its parameters are NaN."""
        known = check_known(cls, known)
        build = _build if is_traced(expectation, known) else _build_float64
        vector = expectation if is_traced(expectation) else np.asarray(expectation, np.float64)
        d = build(cls, "expectation", vector, known)
        good = [
            jnp.all(jnp.isfinite(v), axis=tuple(range(-cls.parameters[n]["event_dim"], 0))) for n, v in vars(d).items()
        ]
        return d, Outcome.first((~functools.reduce(jnp.logical_and, good), Reason.NO_SUCH_MEAN))

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
    def _natural(self) -> Any: ...

    @classmethod
    @abc.abstractmethod
    def _from_natural(cls, natural: Any, known: dict[str, Any]) -> Self: ...

    def _expectation(self) -> Any:
        raise NotImplementedError

    @classmethod
    def _from_expectation(cls, expectation: Any, known: dict[str, Any]) -> Self:
        raise NotImplementedError

    @abc.abstractmethod
    def _log_normalizer(self) -> Any: ...

    @abc.abstractmethod
    def _sufficient_statistics(self, x: Array) -> Any: ...

    def _fisher_information(self) -> Any:
        raise NotImplementedError

    def _fisher_solve(self, v: Array) -> Array:
        """F⁻¹ v; a family whose F has a structure says how that is used."""
        F = self.fisher_information()
        scale = jnp.sqrt(jnp.diagonal(F, axis1=-2, axis2=-1))
        scaled = F / scale[..., :, None] / scale[..., None, :]
        shape = np.broadcast_shapes(v.shape, scale.shape)
        scaled = jnp.broadcast_to(scaled, (*shape, shape[-1]))
        return jnp.linalg.solve(scaled, (v / scale)[..., None])[..., 0] / scale

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """The maximum of the likelihood of evidence, batched; the limit or NaN where there is none."""
        raise NotImplementedError

    @classmethod
    def _log_base(cls, x: Array, known: dict[str, Any]) -> Array | None:
        """log h(x); None where h = 1."""
        return None

    def _toward(self, q: Self, alpha: Array) -> Self:
        """The member at natural parameters α η + (1 − α) η_q."""
        own, other = self._natural(), q._natural()
        between = [_between(a, b, alpha) for a, b in zip(_as_list(own), _as_list(other), strict=True)]
        return type(self)._from_natural(tuple(between) if isinstance(own, tuple) else between[0], self._known())

    def _fitted_log_likelihood(self) -> Any:
        """E[⟨η, T(X)⟩ − A(η)] under itself: the mean log-likelihood at a maximum, without log h. (−entropy, where h = 1.)"""
        return -self._entropy()

    def _kl_given_known(self, q: Self) -> Array:
        """KL from a member with the same `known_parameters`, which may be simpler."""
        return self._kl(q)

    # Evidence and likelihood.

    def _known(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.known_parameters}

    @classmethod
    def _gap_statistics(cls, gaps: Array) -> Any:
        """What the gaps add to the statistics at the mean of the carrier; linear in the gaps."""
        return tuple(sum(m * gaps[..., j] for j, m in enumerate(row) if m) for row in cls.gap_matrix)

    @classmethod
    def _added_by_gaps(cls, gaps: Array, mean: Array) -> Any:
        """The same, for a family that has to see the length of the carrier's mean."""
        return cls._gap_statistics(gaps)

    @classmethod
    def _mean_statistics(cls, e: Moments) -> Array:
        """Mean of T over the observations, shape batch + (dimension,)."""
        assert cls.layout is not None
        inverse = cls.layout.carrier.given(e.known).inverse
        at_mean = components(e.mean, cls) if inverse is None else cls._statistics_at(inverse(e.mean), e.known)
        return _stack(plus(at_mean, cls._added_by_gaps(e.gaps, e.mean)))

    @classmethod
    def _statistics_at(cls, x: Any, known: dict[str, Any]) -> Any:
        """T(x), for which a member of the family needs nothing but what is known."""
        return cls._sufficient_statistics(cls._of(**{**dict.fromkeys(cls.parameters), **known}), x)

    def log_likelihood(self, x: ArrayLike) -> Array:
        """Sum of `log_prob` over the first axis of `x`, in nats: one number per distribution."""
        summarise = self.sums_by_evidence and not self.batch_shape
        value = rounded_score(self, x) if summarise else None
        return super().log_likelihood(x) if value is None else jnp.asarray(value, np.float32)

    def _log_likelihood(self, x: Array) -> Array:
        """By evidence; row by row where rows lie outside the support, or at an end where the density is 0 or ∞."""
        if not self.sums_by_evidence:
            return super()._log_likelihood(x)
        evidence = make_evidence(type(self), x, None, None, self._known())
        value = type(self)._evidence_log_likelihood(evidence, self)
        d, rows = align(self, Wide(x, self.event_dim))
        whole = jnp.all(d.support.contains(rows)) & jnp.all(jnp.isfinite(value))
        return jax.lax.cond(whole, lambda: value, lambda: jnp.sum(self.log_prob(x), axis=0).astype(value.dtype))

    @classmethod
    def _evidence_log_likelihood(cls, e: Moments, q: Any) -> Array:
        """Equation 4: n·(mean log-likelihood at the fit) − n·KL(fit‖q) + Σ log h; directly where there is no fit."""
        return score(*at_maximum(e), q)

    @classmethod
    def _evidence_excess(cls, e: Moments, q: Any) -> Array:
        """n·KL(fit‖q), or the negative of the direct log-likelihood where there is no fit."""
        return excess_of(*at_maximum(e), q)


def _same_family(p: Any, q: Any) -> Any:
    if type(q) is not type(p):
        raise TypeError(
            f"A divergence is between members of one family: got {type(p).__name__} and {type(q).__name__}."
        )
    return q


@compiled
def _renyi(p: Any, q: Any, order: ArrayLike) -> Array:
    p, q, alpha = align(p, q, jnp.asarray(order, jnp.result_type(float)))
    at_one = jnp.abs(alpha - 1.0) < 4 * jnp.finfo(alpha.dtype).eps
    apart = jnp.where(at_one, 0.5, alpha)
    kl, jensen = p._kl(q), _jensen(p, q, apart)
    value = jnp.where(at_one, kl, jensen / (1.0 - apart))
    value = jnp.where(jnp.isnan(value) & ~jnp.isnan(kl) & (alpha > 1), jnp.inf, value)
    value = jnp.where(alpha > 0, value, jnp.nan)
    return value * jnp.ones(np.broadcast_shapes(p.batch_shape, q.batch_shape))


def _jensen(p: Any, q: Any, alpha: Array) -> Array:
    """α A(η_p) + (1 − α) A(η_q) − A(α η_p + (1 − α) η_q), without differences of A; +inf where p and q exclude each other."""
    m = p._toward(q, alpha)
    to_p, to_q = m._kl(p), m._kl(q)
    value = alpha * to_p + (1.0 - alpha) * to_q
    return jnp.where(jnp.isnan(value) & ~jnp.isnan(p._kl(q)) & (alpha < 1), jnp.inf, value)


def _as_list(components: Any) -> list[Any]:
    return [jnp.asarray(c) for c in components] if isinstance(components, tuple) else [components]


def _between(a: Array, b: Array, alpha: Array) -> Array:
    """α a + (1 − α) b, exact where a = b; components on a last axis, where there is one more, share α."""
    alpha = alpha[..., None] if alpha.ndim and max(a.ndim, b.ndim) > alpha.ndim else alpha
    finite = jnp.isfinite(a) & jnp.isfinite(b)
    step = jnp.where(finite, b, 0.0) - jnp.where(finite, a, 0.0)
    return jnp.where(finite, a + (1.0 - alpha) * step, alpha * a + (1.0 - alpha) * b)


def _stack(components: Any) -> Array:
    if not isinstance(components, tuple):
        return components
    components = jnp.broadcast_arrays(*(jnp.asarray(c) for c in components))
    return jnp.stack(components, axis=-1)


def _flat(d: Distribution, components: Any) -> Array:
    if not isinstance(components, tuple):
        return jnp.broadcast_to(components, d.batch_shape + components.shape[-1:])
    return _stack(tuple(d._wide(c) for c in components))


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
            event = tuple(range(-cls.parameters[name]["event_dim"], 0))
            where = np.broadcast_to(bad.any(axis=event), np.shape(vector)[:-1])
            row = tuple(np.argwhere(where)[0]) if where.ndim else ()
            given = np.asarray(vector)[row].tolist()
            found = np.broadcast_to(leaf, where.shape + np.shape(leaf)[np.ndim(leaf) - len(event) :])[row]
            raise ValueError(f"No {cls.__name__} has {kind} parameters {given}: its {name} would be {found}.")
    return d


def _build(cls: Any, kind: str, vector: Any, known: dict[str, Any]) -> Any:
    make = cls._from_natural if kind == "natural" else cls._from_expectation
    return make(components(vector, cls), known)


_build_float64 = in_float64(_build, static_argnames=("cls", "kind"))
