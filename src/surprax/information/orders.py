"""Entropies and divergences of an order: Rényi's and Tsallis's, which at order 1 are Shannon's and Kullback and Leibler's."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from surprax.families import Distribution, ExponentialFamily
from surprax.information.entropies import alone, entropy, family_pair, kl
from surprax.information.tables import Axes, Known, Table, in_unit, read, read_pair, table
from surprax.numerics.elementary import expm1_minus, log_ratio, logsumexp
from surprax.numerics.precision import in_float64, is_traced
from surprax.units import Unit

__all__ = ["renyi", "tsallis"]


def renyi(
    p: Any = None,
    q: Any = None,
    order: float | None = None,
    unit: Unit = "nat",
    *,
    log_p: Any = None,
    log_q: Any = None,
    axis: Axes = -1,
) -> Array:
    """Rényi's entropy of p, or with q his divergence of p from q, of order α ≥ 0.

        H_α(p) = log(Σ pᵢ^α)/(1 − α),      D_α(p ‖ q) = log(Σ pᵢ^α qᵢ^(1−α))/(α − 1)

    and their limits: at α = 0 the log of the number of possible outcomes, and log 1/q(p > 0); at 1 Shannon's entropy, and KL; at ∞
    the least surprise, and the greatest log pᵢ/qᵢ. H falls and D rises with the order. Of two members p, q of an exponential
    family, with r the member at α η_p + (1 − α) η_q,

        (1 − α) D_α(p ‖ q) = α KL(r ‖ p) + (1 − α) KL(r ‖ q),      +inf where there is no such member.

    Args:
        p: probabilities that sum to 1 over `axis`, a `Belief`, or a member of an exponential family.
        q: the same, for the divergence (of two beliefs, with the same labels).
        order: α, a known number in [0, ∞]; `math.inf` is allowed for tables and beliefs.
        unit: of the result: "nat", "bit", "ban" or "deciban".
        log_p: log-weights in nats instead of `p`, not necessarily normalised.
        log_q: the same instead of `q`.
        axis: the axis or axes of one distribution, all if None; the others are a batch, and the two broadcast.

    Returns:
        An array of the shape of the batch, ≥ 0; in float64 for concrete numbers. D is +inf where q is 0 and p is not if α ≥ 1,
        and where p and q exclude each other. Its derivative at p = 0 (or q = 0) is −inf if α < 1 and the other is not 0.

    Raises:
        ValueError: for what is no distribution, with its index, also a belief in which everything is impossible; for a negative
            order. NaN where probabilities are traced.

    Source: Rényi (1961), "On measures of entropy and information"; van Erven & Harremoës (2014), "Rényi divergence and
    Kullback–Leibler divergence", theorem 30.

    >>> p = [0.5, 0.25, 0.25, 0.0]
    >>> print(*[renyi(p, order=a, unit="bit").round(3) for a in (0, 1, 2, math.inf)])
    1.585 1.5 1.415 1.0
    >>> import surprax as sx
    >>> print(renyi(sx.Normal(0.0, 1.0), sx.Normal(2.0, 1.0), 0.5).round(6))  # α (Δ/σ)²/2
    1.0
    """
    a = _order(order, "Rényi")
    if isinstance(p, Distribution) or isinstance(q, Distribution):
        if q is None and log_q is None:
            alone(log_p, "log_p")
            return _family_entropy(p, a, unit)
        pair = family_pair(p, q, log_p, log_q)
        assert pair is not None
        return _family_divergence(*pair, a, unit)
    if a >= _NO_LONGER_FINITE:
        a = math.inf
    if q is None and log_q is None:
        if a == 1.0:
            return entropy(p, unit, log_p=log_p, axis=axis)
        given = read(p, log_p, axis)
        return in_unit(_renyi_entropy(given.value, order=Known(a), by_log=given.by_log), unit)
    if a == 1.0:
        return kl(p, q, unit, log_p=log_p, log_q=log_q, axis=axis)
    return in_unit(_renyi_divergence(**read_pair(p, q, log_p, log_q, axis)._asdict(), order=Known(a)), unit)


def tsallis(
    p: Any = None, order: float | None = None, unit: Unit = "nat", *, log_p: Any = None, axis: Axes = -1
) -> Array:
    """Tsallis's entropy (1 − Σ pᵢ^α)/(α − 1) of order α ≥ 0; Shannon's at 1, and Gini's impurity at 2.

    It is the expected α-logarithm of 1/p. A `unit` divides it as it does Shannon's entropy, with which it agrees at α = 1.

    Args:
        p: probabilities that sum to 1 over `axis`, or a `Belief`.
        order: α, a known number in [0, ∞).
        unit: "nat" is the formula; any other divides it by the nats of that unit.
        log_p: log-weights in nats instead of `p`, not necessarily normalised.
        axis: the axis or axes of one distribution, all if None; the others are a batch.

    Returns:
        An array of the shape of the batch, ≥ 0; in float64 for concrete numbers.

    Raises:
        ValueError: for what is no distribution, with its index, also a belief in which everything is impossible; for an order out
            of range. NaN where probabilities are traced.

    Source: Tsallis (1988), "Possible generalization of Boltzmann–Gibbs statistics", equation 1.

    >>> print(tsallis([0.5, 0.5], 2).round(3), tsallis([0.5, 0.5], 1, "bit").round(3))
    0.5 1.0
    """
    a = _order(order, "Tsallis")
    if a == math.inf:
        raise ValueError("The order of a Tsallis entropy is finite; got inf, at which it is 0.")
    if isinstance(p, Distribution):
        raise ValueError(
            f"Tsallis entropies are of tables of probabilities; got a {type(p).__name__}. Use `entropy` or `renyi`."
        )
    if a == 1.0:
        return entropy(p, unit, log_p=log_p, axis=axis)
    given = read(p, log_p, axis)
    return in_unit(_tsallis(given.value, order=Known(a), by_log=given.by_log), unit)


_NO_LONGER_FINITE = 2.0**53
"""From here on α and α − 1 are the same number, and what is of order α is that of ∞, within log(1/p)/α of it."""


def _order(order: Any, whose: str) -> float:
    if order is None or is_traced(order):
        what = "none" if order is None else "a traced number; a limit cannot be told from its neighbours there"
        raise ValueError(f"A {whose} entropy has an order, a known number; got {what}. Pass order=2, say.")
    order = float(order)
    if not order >= 0:
        raise ValueError(f"The order of a {whose} entropy is at least 0; got {order:g}.")
    return order


def _power(t: Table, a: float) -> Array:
    """p^a, 0 at p = 0, where its slope is infinite if a < 1 and p itself is what was given."""
    none = t.log == -jnp.inf
    value = jnp.where(none, 0.0, jnp.exp(a * jnp.where(none, 0.0, t.log)))
    if t.by_log or a >= 1:
        return value
    return jnp.where(none, jnp.power(jnp.where(none, t.p, 1.0), a), value)


@in_float64(static_argnames=("order", "by_log"))
def _renyi_entropy(p: Array, *, order: Known[float], by_log: bool) -> Array:
    a = order.value
    t = table(p, by_log)
    none = t.log == -jnp.inf
    log = jnp.where(none, 0.0, t.log)
    if a == 0.0:
        return _unless_nan(t, jnp.log(jnp.sum(~none, axis=-1).astype(p.dtype)))
    if a == math.inf:
        return 0.0 - jnp.max(jnp.where(none, -jnp.inf, log), axis=-1)
    s = a - 1.0
    if abs(s) < 0.5:  # log Σ p·p^s, near 0 as s is
        excess = jnp.sum(_minus_power(t, log, s), axis=-1)
        return 0.0 - jnp.log1p(excess) / s
    if a < 1 and not by_log:
        return jnp.log(jnp.sum(_power(t, a), axis=-1)) / -s
    return 0.0 - logsumexp(jnp.where(none, -jnp.inf, a * log), axis=-1) / s


def _minus_power(t: Table, log: Array, s: float) -> Array:
    """p·(p^s − 1), to full relative accuracy as s → 0."""
    none = t.log == -jnp.inf
    value = jnp.where(none, 0.0, t.p * jnp.expm1(s * log))
    if t.by_log or s >= 0:
        return value
    return jnp.where(none, jnp.power(jnp.where(none, t.p, 1.0), 1.0 + s), value)


def _unless_nan(t: Table, value: Array) -> Array:
    return jnp.where(jnp.any(jnp.isnan(t.log), axis=-1), jnp.nan, value)


@in_float64(static_argnames=("order", "by_log"))
def _tsallis(p: Array, *, order: Known[float], by_log: bool) -> Array:
    a = order.value
    t = table(p, by_log)
    none = t.log == -jnp.inf
    if a == 0.0:
        return _unless_nan(t, jnp.sum(~none, axis=-1) - 1.0)
    return 0.0 - jnp.sum(_minus_power(t, jnp.where(none, 0.0, t.log), a - 1.0), axis=-1) / (a - 1.0)


@in_float64(static_argnames=("order", "p_log", "q_log"))
def _renyi_divergence(p: Array, q: Array, *, order: Known[float], p_log: bool, q_log: bool) -> Array:
    a, b, alpha = table(p, p_log), table(q, q_log), order.value
    none, lost = a.log == -jnp.inf, b.log == -jnp.inf
    both = ~(none | lost)
    log_a, log_b = jnp.where(both, a.log, 0.0), jnp.where(both, b.log, 0.0)
    unknown = jnp.any(jnp.isnan(a.log) | jnp.isnan(b.log), axis=-1)
    if alpha == 0.0:
        covered = jnp.sum(jnp.where(none, 0.0, b.p), axis=-1)
        certain = jnp.all(~none | lost, axis=-1)  # 1 but for rounding
        value = 0.0 - jnp.log(jnp.where(certain, 1.0, covered))
        return jnp.where(unknown, jnp.nan, value)
    outside = jnp.any(lost & ~none, axis=-1)
    gap = log_b - log_a
    if not (a.by_log or b.by_log):  # from their difference, which keeps its digits as q → p
        gap = log_ratio(jnp.where(both, b.p, 1.0), jnp.where(both, a.p, 1.0))
    if alpha == math.inf:
        greatest = jnp.max(jnp.where(both, -gap, -jnp.inf), axis=-1)
        return jnp.where(unknown, jnp.nan, jnp.where(outside, jnp.inf, jnp.maximum(greatest, 0.0)))
    s = alpha - 1.0
    # Σ p^α q^(1−α) − 1 as a sum of terms that are 0 where p = q: p^α q^(1−α) − αp − (1−α)q.
    near = jnp.abs(gap) * max(1.0, abs(s)) <= 1
    e = jnp.where(near, gap, 0.0)
    close = a.p * (expm1_minus(-s * e) + s * expm1_minus(e))
    log_product = alpha * log_a - s * log_b
    tilt = -s * gap
    far = jnp.where(
        tilt <= 1,
        a.p * jnp.expm1(jnp.minimum(tilt, 1.0)) + s * (b.p - a.p),
        jnp.exp(jnp.minimum(log_product, 1.0)) - alpha * a.p + s * b.p,
    )
    absent = none & lost
    one = Table(jnp.where(absent, 1.0, a.p), jnp.where(absent, 0.0, a.log), a.by_log)
    other = Table(jnp.where(absent, 1.0, b.p), jnp.where(absent, 0.0, b.log), b.by_log)
    single = jnp.where(absent, 0.0, s * other.p - alpha * one.p)  # where one of them is 0
    excess = jnp.sum(jnp.where(both, jnp.where(near, close, far), single), axis=-1)
    log_total = logsumexp(jnp.where(both, log_product, -jnp.inf), axis=-1)
    if alpha < 1:  # What is 0 has a slope all the same. It is one sum, so that ∞ is multiplied by no 0.
        edge = jnp.where(both | absent, 0.0, _power(one, alpha) * _power(other, -s))
        edge = jnp.sum(edge, axis=-1)
        scale = jnp.exp(-jax.lax.stop_gradient(jnp.where(jnp.isneginf(log_total), 0.0, log_total)))
        excess, log_total = excess + edge, log_total + edge * scale
    small = jnp.abs(excess) <= 0.5
    value = jnp.where(small, jnp.log1p(jnp.where(small, excess, 0.0)), jnp.where(small, 0.0, log_total)) / s
    value = jnp.where(outside, jnp.inf, value) if alpha > 1 else value
    return jnp.where(unknown, jnp.nan, value)


def _family_entropy(p: Any, order: float, unit: Unit) -> Array:
    if order == 1.0:
        return p.entropy(unit)
    raise ValueError(
        f"Rényi entropies of order other than 1 are of tables of probabilities; got a {type(p).__name__}."
        " A divergence of two members of an exponential family needs both: renyi(p, q, order)."
    )


def _family_divergence(p: Any, q: Any, order: float, unit: Unit) -> Array:
    if order == 1.0:
        return p.kl(q, unit)
    if not isinstance(p, ExponentialFamily) or type(p) is not type(q) or not 0 < order < math.inf:
        raise ValueError(
            "Rényi divergences are of two members of one exponential family, with an order between 0 and ∞; got"
            f" {type(p).__name__} and {type(q).__name__}, and order {order:g}."
        )
    return in_unit(_between_members(p, q, order=Known(order)), unit)


@in_float64(static_argnames=("order",))
def _between_members(p: Any, q: Any, *, order: Known[float]) -> Array:
    a = order.value
    first, second = p.natural, q.natural
    rank = max(first.ndim, second.ndim)
    first, second = (v.reshape((1,) * (rank - v.ndim) + v.shape) for v in (first, second))
    known = {name: getattr(p, name) for name in type(p).known_parameters}
    between = type(p).from_natural(a * first + (1.0 - a) * second, **known)
    value = a / (1.0 - a) * between.kl(p) + between.kl(q)
    return jnp.where(jnp.isnan(p.kl(q)), jnp.nan, jnp.where(jnp.isnan(value), jnp.inf, value))
