"""Likelihoods of evidence: by equation 4, from the fit down, and in the direct form, at the mean observation.

    log L(q) = log L(fit) − n·KL(fit‖q) = n·(⟨η, mean T⟩ − A(η)) + Σ log h

The first has every digit at any n; the second needs no fit, and float64.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from surprax.evidence import Moments
from surprax.families.batches import Wide, align, pick_distribution
from surprax.numerics.precision import in_float64

__all__ = [
    "at_maximum",
    "below_peak",
    "components",
    "direct_log_likelihood",
    "excess_of",
    "has_direct_peak",
    "inner",
    "maximum_of",
    "peak_of",
    "plus",
    "score",
    "score_of",
]


@in_float64
def at_maximum(e: Moments) -> tuple[Moments, Any, Any]:
    """The fit of evidence, and whether it is a maximum; no parameter is held that evidence was told but does not need."""
    needed = {name: e.known[name] for name in e.family.known_parameters}
    fit, outcome = e.family._fit_moments(e._replace(known=needed))
    return e, fit, outcome.ok


@in_float64
def maximum_of(e: Moments, fit: Any, ok: Any) -> Array:
    """The log-likelihood at the fit of evidence; Σ log h where there is none."""
    fit, ok, count, log_base = align(fit, ok, e.count, e.log_base)
    return jnp.where(ok, count * fit._fitted_log_likelihood(), 0.0) + log_base


def direct_log_likelihood(e: Moments, q: Any) -> Array:
    """Total log-likelihood without a fit, for float64: the mean observation's log-density and what the gaps take off."""
    mean, gaps = _wide_means(e)
    q, count, mean, gaps, log_base = align(q, e.count, mean, gaps, e.log_base)
    return count * _direct(e.family, q, mean, gaps) + log_base


def has_direct_peak(cls: Any, known: Any) -> bool:
    """Whether the direct form has all digits in float64: it needs an observation at the mean of the carrier, and its density."""
    return not cls.discrete and cls.layout.carrier.given(known).inverse is not None


@in_float64
def peak_of(e: Moments, fit: Any) -> tuple[Array, Array]:
    """The mean log-likelihood at the fit of evidence in the direct form, without log h, and the size of what it is a sum of.

    For families with `has_direct_peak`. The form takes about 2⁻⁵² of that size off each observation, and half the operations of KL.
    """
    cls = e.family
    mean, gaps = _wide_means(e)
    fit, mean, gaps = align(fit, mean, gaps)
    value = _direct(cls, fit, mean, gaps)
    beyond = inner(fit._natural(), cls._added_by_gaps(gaps, mean))
    base = cls._log_base(cls.layout.carrier.given(fit._known()).inverse(mean), fit._known())
    base = 0.0 if base is None else jnp.abs(base)
    return value, jnp.abs(value - beyond) + 2.0 * base + jnp.abs(beyond)


@in_float64
def below_peak(e: Moments, peak: Any, q: Any) -> Array:
    """n·KL(fit‖q) for evidence of which all fits are maxima, from the direct form there; for float64."""
    mean, gaps = _wide_means(e)
    q, count, mean, gaps, peak = align(q, e.count, mean, gaps, peak)
    return count * (peak - _direct(e.family, q, mean, gaps))


def score_of(e: Moments, q: Any) -> Array:
    """The log-likelihood of evidence that is traced in float64."""
    return direct_log_likelihood(e, q) if has_direct_peak(e.family, e.known) else score(*at_maximum(e), q)


def _wide_means(e: Moments) -> tuple[Wide, Wide]:
    return Wide(e.mean, e.family.layout.rank), Wide(e.gaps, 1)


def _direct(cls: Any, q: Any, mean: Array, gaps: Array) -> Array:
    """Mean log-likelihood without log h: of the observation at the mean of the carrier, and what the gaps take off."""
    inverse = cls.layout.carrier.given(q._known()).inverse
    natural, beyond = q._natural(), cls._added_by_gaps(gaps, mean)
    if inverse is None:
        return inner(natural, plus(components(mean, cls), beyond)) - q._log_normalizer()
    x = inverse(mean)
    base = cls._log_base(x, q._known())
    base = 0.0 if base is None else base
    if cls.discrete:  # whose density need not continue between whole numbers
        value = inner(natural, plus(q._sufficient_statistics(x), beyond)) - q._log_normalizer()
        # At an end, where parameters are infinite, all observations are alike if any distribution is possible at all.
        whole = x == jnp.floor(x)
        whole = jnp.all(whole, axis=-1) if cls.event_dim else whole
        return jnp.where(jnp.isnan(value) & whole, q._log_density(x) - base, value)
    return q._log_density(x) - base + inner(natural, beyond)


@in_float64
def score(e: Moments, fit: Any, ok: Any, q: Any) -> Array:
    """The log-likelihood, for the fit of the evidence and whether it is a maximum; the direct form where it is none."""
    q, fit, ok, count, log_base, below, direct = _parts(e, fit, ok, q)
    return jnp.where(ok, count * fit._fitted_log_likelihood() - below, direct) + log_base


@in_float64
def excess_of(e: Moments, fit: Any, ok: Any, q: Any) -> Array:
    """n·KL(fit‖q), for the fit of the evidence and whether it is a maximum (None: all are); the direct form where it is none."""
    if ok is None:
        q, fit, count = align(q, fit, e.count)
        return count * fit._kl_given_known(q)
    _, _, ok, _, _, below, direct = _parts(e, fit, ok, q)
    return jnp.where(ok, below, -direct)


def _parts(e: Moments, fit: Any, ok: Any, q: Any) -> tuple[Any, ...]:
    """What equation 4 is made of, lined up: q, fit, whether it is one, n, Σ log h, n·KL(fit‖q), n·(direct form)."""
    cls = e.family
    if type(q) is not cls:
        raise TypeError(f"Evidence for {cls.__name__} scores distributions of that family; got {type(q).__name__}.")
    mean, gaps = _wide_means(e)
    q, fit, ok, count, mean, gaps, log_base = align(q, fit, ok, e.count, mean, gaps, e.log_base)
    # A stand-in keeps the unused branch finite, and with it the gradients.
    fit = pick_distribution(ok, fit, jax.lax.stop_gradient(q))
    return q, fit, ok, count, log_base, count * fit._kl_given_known(q), count * _direct(cls, q, mean, gaps)


def components(vector: Array, cls: Any) -> Any:
    """The components of a vector as the family has them: a tuple where their number is fixed, else the vector."""
    return vector if cls.dimension is None else tuple(vector[..., i] for i in range(vector.shape[-1]))


def plus(a: Any, b: Any) -> Any:
    """Sum of statistics."""
    return tuple(x + y for x, y in zip(a, b, strict=True)) if isinstance(a, tuple) else a + b


def inner(a: Any, b: Any) -> Any:
    """Inner product of parameters and statistics."""
    return sum(x * y for x, y in zip(a, b, strict=True)) if isinstance(a, tuple) else jnp.sum(a * b, axis=-1)
