"""Baum–Welch: expectations of a chain's hidden states, and the maximum of the likelihood that they stand for, in turn."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from surprax.beliefs import chain_passes as passes
from surprax.beliefs.chain_outcomes import ChainFit, ChainReason
from surprax.beliefs.chain_sequences import Sequences, observed
from surprax.families.batches import map_parameters
from surprax.families.fitting import has_moments
from surprax.numerics.precision import in_float64, is_traced

__all__ = ["baum_welch", "emissions_of", "seen_rows"]


def baum_welch(
    model: Any, s: Sequences, iterations: int, tolerance: float, known: dict[str, Any]
) -> tuple[Any, ChainFit]:
    """`HiddenMarkov.fit`."""
    if is_traced(model, s):
        raise ValueError(
            "A chain is fitted to known numbers, one iteration at a time: call `fit` outside of jit, or follow the gradient"
            " of `log_likelihood`."
        )
    if iterations < 1 or not tolerance >= 0:
        raise ValueError(
            f"A fit has at least 1 iteration and a tolerance of at least 0; got {iterations} and {tolerance}."
        )
    seen = seen_rows(s)
    rows = np.asarray(s.x)[seen]
    if not len(rows):
        raise ValueError("There is nothing to fit to: all observations are missing.")
    trace: list[float] = []
    held = np.zeros(model.num_states, bool)
    if known:  # the start need not have the values at which parameters are to be held
        total, *_, shares = _expectations(model, s)
        if np.isfinite(total):
            model = type(model)._of(
                model.log_initial, model.log_transition, _fit_emission(model.emission, rows, shares[seen], known)[0]
            )
    before, reason, count = model, ChainReason.NOT_CONVERGED, 0
    while True:
        total, first, moves, shares = _expectations(model, s)
        total = float(total)
        if not np.isfinite(total):
            reason = ChainReason.IMPOSSIBLE if total == -np.inf else ChainReason.NOT_A_NUMBER
            if trace:
                model, count = before, count - 1
            else:
                trace.append(total)
            break
        gain = total - trace[-1] if trace else np.inf
        if gain < -1e-9 * (1.0 + abs(total)):
            model, count, reason = before, count - 1, ChainReason.DECREASED
            break
        trace.append(total)
        if gain <= tolerance * len(s.x):
            reason = ChainReason.CONVERGED
            break
        if count == iterations:
            break
        before, count = model, count + 1
        emission, held = _fit_emission(model.emission, rows, shares[seen], known)
        with np.errstate(divide="ignore"):
            log_initial, log_transition = (
                np.log(_shares(first, before.log_initial)),
                np.log(_shares(moves, before.log_transition)),
            )
        model = type(model)._of(log_initial, log_transition, emission)
    return model, ChainFit(reason, count, np.array(trace), held)


def seen_rows(s: Sequences) -> np.ndarray:
    """Which rows are observed, (B, T)."""
    x = np.asarray(s.x)
    seen = np.ones(x.shape[:2], bool) if s.mask is None else np.asarray(s.mask).copy()
    if s.lengths is not None:
        seen &= np.arange(x.shape[1]) < np.asarray(s.lengths)[:, None]
    if x.dtype.kind == "f":
        seen &= ~np.isnan(x).all(axis=tuple(range(2, x.ndim)))
    return seen


@in_float64
def _expectations(model: Any, s: Sequences) -> tuple[Any, ...]:
    """Total log-likelihood; expected numbers of first states (K,), of moves (K, K) or (T − 1, K, K); P(zₜ | x) (B, T, K)."""
    initial, step, e, valid = observed(model, s)
    now, increment = passes.filtered(passes.forward(initial, step, e, False), e)
    later = passes.backward(step, e, False)
    shares = jnp.where(valid[..., None], jnp.exp(passes.smoothed(now, later)), 0.0)
    if e.shape[0] > 1:
        counts = passes.pair_counts(now, later, step, e, valid)
        moves = jnp.sum(counts, axis=-3)
    else:
        moves = jnp.zeros_like(step)
    total = jnp.sum(jnp.where(valid, increment, 0.0))
    return total, jnp.sum(shares[0], axis=0), moves, jnp.swapaxes(shares, 0, 1)


def _shares(counts: np.ndarray, log_before: Any) -> np.ndarray:
    """Counts as probabilities along the last axis; as before, where there are none."""
    total = counts.sum(axis=-1, keepdims=True)
    before = np.exp(np.asarray(log_before, np.float64))
    return np.where(total > 0, counts / np.where(total > 0, total, 1.0), before)


def emissions_of(
    family: Any, rows: np.ndarray, shares: np.ndarray, known: list[dict[str, Any]]
) -> tuple[Any, np.ndarray]:
    """The emission of each state at the maximum of its weighted likelihood (batch K), and whether there was one (K,).

    `shares` (rows, K) are weights of rows; `known` are parameters of each state, which all are alike for families with moments.
    """
    k = shares.shape[-1]
    if has_moments(family, known[0]):
        each = np.broadcast_to(np.expand_dims(rows, 1), (len(rows), k, *rows.shape[1:]))
        fitted, _ = family.try_fit(each, shares, **known[0])
    else:
        fits = [family.try_fit(rows, shares[:, i], **known[i])[0] for i in range(k)]
        fitted = map_parameters(lambda leaf, _, *more: np.stack(np.broadcast_arrays(leaf, *more)), fits[0], *fits[1:])
    good = np.ones(k, bool)

    def check(leaf: Any, meta: Any) -> Any:
        nonlocal good
        n = meta["event_dim"]
        fine = np.asarray(meta["constraint"].holds(np.asarray(leaf)))
        axes = tuple(range(fine.ndim - (n - meta["constraint"].event_dim), fine.ndim))
        good = good & fine.all(axis=axes) if axes else good & fine
        return leaf

    map_parameters(check, fitted)
    return fitted, good


def _fit_emission(emission: Any, rows: np.ndarray, shares: np.ndarray, known: dict[str, Any]) -> tuple[Any, np.ndarray]:
    """The emission of each state at the maximum of its weighted likelihood, and where there was none and it was held."""
    family, k = type(emission), shares.shape[-1]
    each = [known] * k if has_moments(family, known) else [_known_to(emission[i], known) for i in range(k)]
    fitted, good = emissions_of(family, rows, shares, each)

    def pick(new: Any, meta: Any, old: Any) -> np.ndarray:
        n = meta["event_dim"]
        new, old = np.asarray(new, np.float64), np.asarray(old, np.float64)
        new, old = (np.broadcast_to(v, (k, *v.shape[v.ndim - n :])) for v in (new, old))
        return np.where(good.reshape(k, *(1,) * n), new, old)

    return map_parameters(pick, fitted, emission), ~good


def _known_to(emission: Any, known: dict[str, Any]) -> dict[str, Any]:
    """What the family of a state's emission needs to know, as it is."""
    needed = emission.known_parameters if emission.needs_known or "total_count" in emission.known_parameters else ()
    return {name: np.asarray(getattr(emission, name)) for name in needed} | known
