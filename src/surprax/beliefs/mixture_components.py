"""The maximisation step for any family: each component at the maximum of its weighted likelihood, or why there is none."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from surprax.beliefs.mixture_passes import in_batch, joint, proper
from surprax.families.base import Distribution
from surprax.families.batches import map_parameters
from surprax.families.fitting import fit_sample, has_moments
from surprax.families.outcomes import Outcome, Reason
from surprax.numerics.elementary import logsumexp
from surprax.numerics.precision import float64_scope, in_float64

__all__ = ["Maximised", "expect", "free_numbers", "has_evidence", "in_order", "maximise", "stacked"]

_BOUNDED = {
    Reason.UNDERDISPERSED,
    Reason.LIGHT_TAILS,
    Reason.OVERDISPERSED,
    Reason.NO_HEAVIER_THAN_EXPONENTIAL,
    Reason.GAMMA_LIMIT,
    Reason.INVERSE_GAMMA_LIMIT,
    Reason.NOT_CONVERGED,
}
"""Reasons for which there is no maximum, while the density stays bounded: the limit is another family."""

NEAR_INFINITY, NEAR_ZERO = 1e8, 1e-10
"""What stands for a parameter at its limit; the likelihood is then within about that of its supremum, relatively."""


class Maximised(NamedTuple):
    """Components after a maximisation.

    Attributes:
        components: a batch (k,), in NumPy float64.
        fault: which of them degenerates, and why; "" if none does.
        limits: for each, "" or why it has no maximum inside and stands next to the limit, or where it was.
    """

    components: Any
    fault: str
    limits: tuple[str, ...]


def has_evidence(family: Any, known: dict[str, Any]) -> bool:
    """Whether log-densities are linear in the features of `mixture_passes`."""
    plain = not any(isinstance(value, type | tuple | list) for value in known.values())
    return plain and has_moments(family, known) and not family.labelled


@in_float64
def expect(log_weights: Any, components: Any, x: Any, weights: Any) -> tuple[Any, Any]:
    """Total log-likelihood in nats, and the share of each component in the weight of each row (n, k)."""
    heights = joint(log_weights, components, x)
    each = logsumexp(heights, axis=1)
    some = jnp.isfinite(each)
    shares = jnp.where(some[:, None], jnp.exp(heights - jnp.where(some, each, 0.0)[:, None]), 0.0)
    return jnp.sum(weights * each), weights[:, None] * shares


def maximise(family: Any, x: np.ndarray, shares: np.ndarray, known: dict[str, Any], before: Any = None) -> Maximised:
    """Each component from the rows by their shares (n, k); from where it was, where the family climbs."""
    k = shares.shape[1]
    if has_evidence(family, known):
        each = np.broadcast_to(np.expand_dims(x, 1), (len(x), k, *x.shape[1:]))
        fitted, outcome = family.try_fit(each, shares, **known)
        fitted, codes = in_batch(fitted, k), np.broadcast_to(outcome.code, (k,))
    else:
        fits = [_one(family, x, shares[:, j], known, None if before is None else before[j]) for j in range(k)]
        fitted = stacked([fit for fit, _ in fits])
        codes = np.array([int(outcome.code) for _, outcome in fits])
    codes = np.where(shares.sum(axis=0) > 0, codes, Reason.NO_DATA.value)
    limits = [""] * k
    for j in np.flatnonzero(codes != Reason.MAXIMUM).tolist():
        reason = Reason(int(codes[j]))
        if reason == Reason.NO_DATA:
            return Maximised(fitted, f"component {j} is left without any weight", ())
        if not (family.discrete or reason in _BOUNDED):
            return Maximised(fitted, f"of component {j}, {Outcome(reason.value)}", ())
        limits[j] = str(Outcome(reason.value))
    fitted = _next_to_limits(fitted, codes, x, shares)
    good = np.asarray(proper(fitted, k))
    if not good.all():
        if before is None:
            j = int(np.argmin(good))
            return Maximised(fitted, f"of component {j}, {limits[j] or 'parameters are not numbers'}", ())
        fitted = map_parameters(lambda new, meta, old: np.where(_beside(good, meta, new), new, old), fitted, before)
    return Maximised(fitted, "", tuple(limits))


def _one(family: Any, x: np.ndarray, shares: np.ndarray, known: dict[str, Any], before: Any) -> tuple[Any, Outcome]:
    seen = shares > 0
    if not seen.any():
        seen = np.arange(len(x)) < 1
    x, shares = (x, shares) if seen.mean() > 0.5 else (x[seen], shares[seen])
    climbs = before is not None and family.layout is None and "_fit_sample" in vars(family) and not family.labelled
    if climbs and _inherits(family, "try_fit"):
        fit, outcome = fit_sample(family, x, shares, known, before)
        if outcome.ok:
            return fit, outcome
    return family.try_fit(x, shares, **known)


def _inherits(family: Any, name: str) -> bool:
    """Whether the family leaves a class method as all distributions have it."""
    return next(name in vars(cls) and cls is Distribution for cls in family.__mro__ if name in vars(cls))


_BY_MEAN = {
    "Binomial": lambda m: {"total_count": NEAR_INFINITY, "logits": np.log(m) - np.log(NEAR_INFINITY - m)},
    "Lomax": lambda m: {"concentration": NEAR_INFINITY, "scale": m * (NEAR_INFINITY - 1.0)},
}
"""Families of which several parameters go to a limit together, by the mean that tells how: towards Poisson, Exponential."""


def _next_to_limits(d: Any, codes: np.ndarray, x: np.ndarray, shares: np.ndarray) -> Any:
    """Infinite parameters, and positive ones that are 0, replaced by numbers next to it where there is no maximum.

    Where several are infinite, and nothing is known of how they go there together, they become NaN.
    """
    at_limit = codes != Reason.MAXIMUM
    infinite = np.zeros(len(codes), int)

    def count(leaf: Any, meta: Any) -> Any:
        nonlocal infinite
        infinite = infinite + (np.isinf(leaf) if not meta["event_dim"] else 0)
        return leaf

    map_parameters(count, d)
    together = at_limit & (infinite > 1)
    if together.any():
        total = shares.sum(axis=0)
        mean = shares.T @ x / np.where(total > 0, total, 1.0) if x.ndim == 1 else np.ones(len(codes))
        near = _BY_MEAN.get(type(d).__name__, lambda m: dict.fromkeys(d.parameters, np.nan))(
            np.where(together, mean, 1.0)
        )
        d = type(d)._of(**{name: np.where(together, near[name], getattr(d, name)) for name in d.parameters})

    def replaced(leaf: Any, meta: Any) -> np.ndarray:
        leaf = np.asarray(leaf, np.float64)
        there = _beside(at_limit, meta, leaf)
        zero = (
            there & (leaf == 0) & ~np.asarray(meta["constraint"].holds(np.zeros(())))
            if not meta["event_dim"]
            else False
        )
        leaf = np.where(zero, NEAR_ZERO, leaf)
        if meta["event_dim"]:
            return leaf
        return np.where(there & np.isinf(leaf), np.sign(leaf) * NEAR_INFINITY, leaf)

    return map_parameters(replaced, d)


def _beside(condition: np.ndarray, meta: Any, leaf: Any) -> np.ndarray:
    return condition.reshape(condition.shape + (1,) * meta["event_dim"]) & np.ones(np.shape(leaf), bool)


def stacked(parts: list[Any]) -> Any:
    """Single distributions of one family as a batch, in NumPy float64."""

    def stack(leaf: Any, _: Any, *more: Any) -> np.ndarray:
        return np.stack(np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (leaf, *more))))

    return map_parameters(stack, parts[0], *parts[1:])


def in_order(components: Any, k: int) -> np.ndarray:
    """The canonical order: by mean, of vectors by the first number that differs, then by variance; where these are no finite
    numbers, by parameters, of which `loc` comes first."""
    try:
        with float64_scope():
            keys = [np.asarray(v, np.float64).reshape(k, -1) for v in (components.mean, components.variance)]
    except NotImplementedError:
        keys = []
    if not keys or not all(np.isfinite(v).all() for v in keys):
        keys = [np.asarray(leaf, np.float64).reshape(k, -1) for leaf in _leaves(components)]
    return np.lexsort(np.concatenate(keys, axis=1).T[::-1])


def _leaves(d: Any) -> list[Any]:
    leaves: list[Any] = []
    map_parameters(lambda leaf, meta: leaves.append(leaf), d)
    return [d.loc, *leaves] if "loc" in d.parameters else leaves


def free_numbers(components: Any, known: Any = ()) -> int:
    """How many numbers a fit of all components adjusts, for known parameters of these names."""
    family, k = type(components), components.batch_shape[-1]
    if "base" in family.parameters:  # at known ends
        return free_numbers(components.base, ())
    if "parts" in family.parameters:
        return sum(free_numbers(part, ()) for part in components.parts)
    if _inherits(family, "free_parameters"):
        needed = family.known_parameters if family.needs_known else ()
        held = {*known, *needed} & set(family.parameters)
        return k * (len(family.parameters) - len(held))
    sizes = {"covariance_matrix": _triangle}
    held_numbers = sum(
        sizes.get(name, np.size)(value) for name, value in dict(known).items() if name in family.may_be_known
    )
    return k * (family.free_parameters(components) - held_numbers)


def _triangle(matrix: Any) -> int:
    d = np.shape(matrix)[-1]
    return d * (d + 1) // 2
