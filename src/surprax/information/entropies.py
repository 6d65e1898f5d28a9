"""Entropy, cross-entropy and Kullback–Leibler divergence, of tables of probabilities, of beliefs and of families.

    E_p[log 1/q] = H(p) + KL(p ‖ q):

expected surprise is what no player can remove plus what this one adds.
"""

from typing import Any

import jax.numpy as jnp
from jax import Array

from surprax.families import Distribution
from surprax.information.tables import Axes, divergence_terms, in_unit, minus_p_log, read, read_pair, table
from surprax.numerics.elementary import xlogy
from surprax.numerics.precision import in_float64
from surprax.units import Unit

__all__ = ["cross_entropy", "divergence", "entropy", "family_pair", "kl"]


def entropy(p: Any = None, unit: Unit = "nat", *, log_p: Any = None, axis: Axes = -1) -> Array:
    """Entropy H(p) = Σ pᵢ log 1/pᵢ, the expected surprise; of a member of a family, `p.entropy(unit)`.

    Args:
        p: probabilities that sum to 1 over `axis`, a `Belief`, or a distribution of ours.
        unit: of the result: "nat", "bit", "ban" or "deciban".
        log_p: log-weights in nats instead of `p`; they need not be normalised, and -inf is what is impossible.
        axis: the axis or axes of one distribution, all if None; the others are a batch.

    Returns:
        An array of the shape of the batch, between 0 and log K, in float64 for concrete numbers. 0·log 0 is 0. The derivative in
        pᵢ is log 1/pᵢ − 1, which is +inf at 0; that in a log-weight is 0 there.

    Raises:
        ValueError: for probabilities that are negative, NaN or complex, or do not sum to 1 (within 1e-5), with their index; for a
            belief in which everything is impossible. NaN where traced.

    Source: Shannon (1948), "A mathematical theory of communication", section 6.

    >>> print(entropy([0.5, 0.25, 0.25, 0.0], "bit"))
    1.5
    >>> print(entropy(log_p=[0.0, 0.0, -1000.0], unit="bit").round(3))  # weights 1, 1 and what no floating point can hold
    1.0
    >>> from surprax.beliefs import Belief
    >>> print(entropy(Belief.uniform(["boat", "rock", "whale", "buoy"]), "bit"))
    2.0
    """
    if isinstance(p, Distribution):
        alone(log_p, "log_p")
        return p.entropy(unit)
    given = read(p, log_p, axis)
    return in_unit(_entropy(given.value, by_log=given.by_log), unit)


def cross_entropy(
    p: Any = None, q: Any = None, unit: Unit = "nat", *, log_p: Any = None, log_q: Any = None, axis: Axes = -1
) -> Array:
    """Cross-entropy Σ pᵢ log 1/qᵢ: expected surprise of a player who believes q, when the truth is p.

    Args:
        p: probabilities that sum to 1 over `axis`, a `Belief`, or a distribution of ours.
        q: the same, over the same outcomes (of two beliefs, with the same labels), or of the same family.
        unit: of the result: "nat", "bit", "ban" or "deciban".
        log_p: log-weights in nats instead of `p`, not necessarily normalised.
        log_q: the same instead of `q`.
        axis: the axis or axes of one distribution, all if None; the others are a batch, and the two broadcast.

    Returns:
        An array of the shape of the batch, +inf where q is 0 and p is not; in float64 for concrete numbers.

    Raises:
        ValueError: for what is no distribution, with its index, also a belief in which everything is impossible; for different
            outcomes. NaN where traced.

    >>> print(cross_entropy([1.0, 0.0], [0.01, 0.99], "bit").round(2))  # surely wrong, at 99 %
    6.64
    >>> p, q = [0.5, 0.3, 0.2], [0.6, 0.2, 0.2]
    >>> print(abs(cross_entropy(p, q) - entropy(p) - kl(p, q)) < 1e-15)
    True
    """
    pair = family_pair(p, q, log_p, log_q)
    if pair is not None:
        return pair[0].cross_entropy(pair[1], unit)
    return in_unit(_cross_entropy(**read_pair(p, q, log_p, log_q, axis)._asdict()), unit)


def kl(
    p: Any = None, q: Any = None, unit: Unit = "nat", *, log_p: Any = None, log_q: Any = None, axis: Axes = -1
) -> Array:
    """Kullback–Leibler divergence KL(p ‖ q) = Σ pᵢ log pᵢ/qᵢ ≥ 0: what a player who believes q is surprised too much.

    It is the sum of the terms p log(p/q) − p + q ≥ 0, so that its digits remain as q → p. Its derivatives are those of that sum,
    log(p/q) in p and 1 − p/q in q, which along the simplex are the usual ones.

    Args:
        p: probabilities that sum to 1 over `axis`, a `Belief`, or a distribution of ours.
        q: the same, over the same outcomes (of two beliefs, with the same labels), or of the same family.
        unit: of the result: "nat", "bit", "ban" or "deciban".
        log_p: log-weights in nats instead of `p`, not necessarily normalised.
        log_q: the same instead of `q`.
        axis: the axis or axes of one distribution, all if None; the others are a batch, and the two broadcast.

    Returns:
        An array of the shape of the batch, +inf where q is 0 and p is not; in float64 for concrete numbers.

    Raises:
        ValueError: for what is no distribution, with its index, also a belief in which everything is impossible; for different
            outcomes. NaN where traced.

    Source: Kullback & Leibler (1951), "On information and sufficiency".

    >>> print(kl([0.5, 0.5], [0.9, 0.1], "bit").round(2))
    0.74
    >>> import surprax as sx
    >>> print(kl(sx.Beta(2.0, 1.0), sx.Beta(1.0, 1.0)).round(3))
    0.193
    """
    return divergence(p, q, log_p, log_q, axis, unit)


def divergence(
    p: Any, q: Any, log_p: Any, log_q: Any, axis: Axes, unit: Unit, names: tuple[str, str] = ("p", "q")
) -> Array:
    """KL, with the names that the two have in errors."""
    pair = family_pair(p, q, log_p, log_q)
    if pair is not None:
        return pair[0].kl(pair[1], unit)
    return in_unit(_kl(**read_pair(p, q, log_p, log_q, axis, names)._asdict()), unit)


def alone(value: Any, name: str) -> None:
    """An error where a log-table comes with a distribution."""
    if value is not None:
        raise ValueError(f"A distribution needs no `{name}`; got both. Leave one of them out.")


def family_pair(p: Any, q: Any, log_p: Any = None, log_q: Any = None) -> tuple[Any, Any] | None:
    """Both, if they are members of families; None if both are tables or beliefs; an error for one of each."""
    if not isinstance(p, Distribution) and not isinstance(q, Distribution):
        return None
    alone(log_p, "log_p")
    alone(log_q, "log_q")
    if not (isinstance(p, Distribution) and isinstance(q, Distribution)):
        names = [type(d).__name__ for d in (p, q)]
        raise ValueError(
            f"A family's member is compared with another one, a table or a belief with one of these; got {names[0]} and"
            f" {names[1]}."
        )
    return p, q


@in_float64(static_argnames=("by_log",))
def _entropy(p: Array, *, by_log: bool) -> Array:
    t = table(p, by_log)
    return 0.0 + jnp.sum(minus_p_log(t, t.log) if by_log else 0.0 - xlogy(t.p, t.p), axis=-1)


@in_float64(static_argnames=("p_log", "q_log"))
def _cross_entropy(p: Array, q: Array, *, p_log: bool, q_log: bool) -> Array:
    a, b = table(p, p_log), table(q, q_log)
    lost = (b.log == -jnp.inf) & (a.log > -jnp.inf)
    finite = minus_p_log(a, jnp.where(lost, 0.0, b.log))
    if not a.by_log:  # log 1/q is the slope in p also at 0
        here = (a.log == -jnp.inf) & (b.log > -jnp.inf)
        finite = jnp.where(here, -a.p * jnp.where(here, b.log, 0.0), finite)
    return 0.0 + jnp.sum(jnp.where(lost, jnp.inf, finite), axis=-1)


@in_float64(static_argnames=("p_log", "q_log"))
def _kl(p: Array, q: Array, *, p_log: bool, q_log: bool) -> Array:
    return jnp.sum(divergence_terms(table(p, p_log), table(q, q_log)), axis=-1)
