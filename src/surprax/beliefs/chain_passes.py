"""Passes over chains of hidden states: forward, backward, likeliest path. Arrays in, arrays out; logarithms in nats throughout.

Time comes first: log-probabilities of what was observed are e (T, B, K), for B sequences and K states; steps are the
logarithms of (K, K) or, one to each step, (T − 1, K, K) transition probabilities.

Both directions of smoothing are one recursion (`sweep`), from pₜ₋₁ by n(·), normalising, to

    pₜ(j) = Σᵢ n(pₜ₋₁ exp eₜ₋₁)ᵢ Mᵢⱼ

forward with the transitions, p₁ = initial: pₜ are predictions; backward with their transposes, p_T = 1. Each direction of
the sweep may be in probabilities, which is fastest: exp eₜ relative to its greatest, nothing in the loop but products. All
that underflows there is at most 4K·2⁻¹²⁶/sₜ₋₁ of pₜ (in float32), where sₜ₋₁ is the sum that was normalised. Where some pₜ(j) is
not as far above that as its digits ask, be it impossible or very surprising, the sweep is done again in logarithms.

Long chains are tried in blocks that are passed side by side (`chain_blocks`), and step by step where these are not certified.
Derivatives are those of single steps.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from surprax.beliefs import chain_blocks as blocks
from surprax.numerics.elementary import argmax, logsumexp
from surprax.numerics.log_matrix import log_matmul, log_matmul_above, max_plus

__all__ = [
    "backward",
    "filter_all",
    "filtered",
    "forward",
    "increments",
    "likeliest",
    "log_evidence",
    "pair_counts",
    "pairs",
    "smooth_all",
    "smoothed",
]


def _normal(x: Array) -> Array:
    """Log-weights, with total 1 on the last axis; all −∞ stays so."""
    return x - _finite(logsumexp(x, axis=-1, keepdims=True))


def _finite(x: Array) -> Array:
    return jnp.where(jnp.isneginf(x), 0.0, x)


def _safe_log(x: Array) -> Array:
    return jnp.where(x > 0, jnp.log(jnp.where(x > 0, x, 1.0)), jnp.where(x == 0, -jnp.inf, jnp.nan))


def sweep(first: Array, step: Array, e: Array, parallel: bool) -> Array:
    """log pₜ (T, B, K) from log p₁ (B, K); see above."""
    if e.shape[0] == 1:
        return first[None]
    if parallel:
        return _sweep_in_parallel(first, step, e)
    return _sweep_step_by_step(first, step, e)


def _sweep_step_by_step(first: Array, step: Array, e: Array) -> Array:
    p, _, certified = _sweep_in_probabilities(first, step, e)
    quick = jnp.concatenate([first[None], _safe_log(p)])
    return jax.lax.cond(certified, lambda _: quick, lambda _: _sweep_in_logarithms(first, step, e), None)


def _sweep_in_probabilities(first: Array, step: Array, e: Array) -> tuple[Array, Array, Array]:
    """p₂ … p_T, the logarithms of Σⱼ pₜ(j) exp eₜ(j) for these, and whether all is certified."""
    tiny, eps, k = float(jnp.finfo(e.dtype).tiny), float(jnp.finfo(e.dtype).eps), e.shape[-1]
    matrix = jnp.exp(step)
    top = _finite(jnp.max(e, axis=-1, keepdims=True))
    likelihood = jnp.exp(e - jax.lax.stop_gradient(top))

    def move(w: Array, item: Any) -> tuple[Array, Array]:
        likelihood, m = item if step.ndim == 3 else (item, matrix)
        p = jnp.matmul(w, m, precision=jax.lax.Precision.HIGHEST)
        u = p * likelihood
        total = jnp.sum(u, axis=-1, keepdims=True)
        return u * jnp.where(total > 0, 1.0 / jnp.where(total > 0, total, 1.0), total), p

    start = jnp.exp(_normal(first + e[0]))
    # The last step's observation is not needed, which the loop does not know.
    _, p = jax.lax.scan(move, start, (likelihood[1:], matrix) if step.ndim == 3 else likelihood[1:])
    totals = jnp.sum(p * likelihood[1:], axis=-1)
    scale = jnp.minimum(jnp.concatenate([jnp.ones((1, e.shape[1]), e.dtype), totals[:-1]]), 1.0)
    enough = jnp.min(p, axis=-1) * scale >= 4 * k * tiny / eps
    return p, top[1:, :, 0] + _safe_log(totals), jnp.all(enough)


def _sweep_in_logarithms(first: Array, step: Array, e: Array) -> Array:
    """Weights are sums of two numbers, so that those far below the greatest, which may come back, keep what steps add to them."""

    def move(w: Pair, item: Any) -> tuple[Pair, Array]:
        e, m = item if step.ndim == 3 else (item, step)
        p = _vector_product(w, m)
        joint = _plus(p, e)
        return _plus(joint, -jax.lax.stop_gradient(_finite(jnp.max(joint[0], axis=-1, keepdims=True)))), p[0]

    start = _normal(first + e[0])
    items = (e[1:], step) if step.ndim == 3 else e[1:]
    _, p = jax.lax.scan(move, (start, jnp.zeros_like(start)), items)
    # p is relative to weights of which the greatest is 1; it should be to weights that sum to 1.
    joint = p[:-1] + e[1:-1]
    total = logsumexp(joint - jax.lax.stop_gradient(_finite(jnp.max(joint, axis=-1, keepdims=True))), axis=-1)
    return jnp.concatenate([first[None], p[:1], p[1:] - _finite(total)[..., None]])


type Pair = tuple[Array, Array]


def _plus(a: Pair, b: Array) -> Pair:
    """a + b, with what rounding takes from it (Knuth)."""
    total = a[0] + b
    part = total - a[0]
    lost = a[1] + ((a[0] - (total - part)) + (b - part))
    lost = jnp.where(jnp.isfinite(total), lost, 0.0)
    high = total + lost
    return high, jnp.where(jnp.isfinite(total), lost - (high - total), 0.0)


def _vector_product(w: Pair, m: Array) -> Pair:
    """log Σᵢ exp(wᵢ + mᵢⱼ): (B, K), (K, K) to (B, K), from the greatest term, to which differences are small and exact."""
    best = argmax(jax.lax.stop_gradient(w[0][:, :, None] + m[None]), axis=1)
    high, low = (jnp.take_along_axis(part, best, axis=1) for part in w)
    move = m[best, jnp.arange(m.shape[1])[None]]
    possible = ~(jnp.isneginf(high) | jnp.isneginf(move))
    high, low, move = (jnp.where(possible, part, 0.0) for part in (high, low, move))
    behind = (w[0][:, :, None] - high[:, None]) + (m[None] - move[:, None]) + (w[1][:, :, None] - low[:, None])
    total = jnp.sum(jnp.exp(jnp.where(possible[:, None], behind, -jnp.inf)), axis=1)
    a, b = _plus(_plus((high, low), move), jnp.log(jnp.where(possible, total, 1.0)))
    return jnp.where(possible, a, -jnp.inf), jnp.where(possible, b, 0.0)


def _sweep_in_parallel(first: Array, step: Array, e: Array) -> Array:
    """Products of all beginnings by an associative scan, of which only directions are kept; then one exact step from each."""
    chain = e[:-1, :, :, None] + (step[:, None] if step.ndim == 3 else step[None, None])

    def join(a: Array, b: Array) -> Array:
        c = log_matmul(a, b)
        return c - jax.lax.stop_gradient(_finite(jnp.max(c, axis=(-2, -1), keepdims=True)))

    beginnings = jax.lax.associative_scan(join, chain)
    start = jnp.broadcast_to(first[None, :, None, :], (*chain.shape[:2], 1, chain.shape[2]))
    rough = log_matmul(start, beginnings)
    before = _normal(jnp.concatenate([first[None], rough[:-1, :, 0]]) + e[:-1])
    return jnp.concatenate([first[None], _one_step(before, step)])


def _one_step(w: Array, step: Array) -> Array:
    if step.ndim == 3:
        return log_matmul(w, step)
    t, b, k = w.shape
    return log_matmul(w.reshape(t * b, k), step).reshape(t, b, k)


# What the two sweeps tell ---------------------------------------------------------------------------------------------


def _first(initial: Array, e: Array) -> Array:
    return jnp.broadcast_to(initial[None], e.shape[1:])


def _tried(quick: Any, plain: Any) -> Any:
    """`quick(blocks, *chain)`, which ends with whether it is certified, in place of `plain(*chain)` where it is.

    The chain, first (B, K), step and e, is `observe(*args)`, so that who needs e makes it: it is the largest array of all, and with
    blocks need not exist. Derivatives are those of `plain`.
    """

    @functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
    def tried(observe: Any, *args: Any) -> Any:
        chain = observe(*args)
        laid = blocks.blocks_of(*chain[1:])
        if laid is None:
            return plain(*chain)
        *result, certified = quick(laid, *chain)
        result = result[0] if len(result) == 1 else tuple(result)
        return jax.lax.cond(certified, lambda _: result, lambda args: plain(*observe(*args)), args)

    @tried.defjvp
    def _(observe: Any, primals: Any, tangents: Any) -> Any:
        return jax.jvp(lambda *args: plain(*observe(*args)), primals, tangents)

    return tried


def _given(*chain: Array) -> tuple[Array, ...]:
    return chain


def _sweep_forward(first: Array, step: Array, e: Array) -> Array:
    return sweep(first, step, e, False)


def _turned(first: Array, step: Array, e: Array) -> Array:
    """`sweep` backward, step by step."""
    turned = jnp.swapaxes(step, -2, -1)
    return sweep(first, turned[::-1] if step.ndim == 3 else turned, e[::-1], False)[::-1]


def _filter_step_by_step(first: Array, step: Array, e: Array) -> tuple[Array, Array]:
    return filtered(sweep(first, step, e, False), e)


def _smooth_step_by_step(first: Array, step: Array, e: Array) -> tuple[Array, Array]:
    now, increment = _filter_step_by_step(first, step, e)
    return smoothed(now, _turned(jnp.zeros_like(first), step, e)), increment


_predicted_in_blocks = _tried(functools.partial(blocks.predictions, reverse=False), _sweep_forward)
_turned_in_blocks = _tried(functools.partial(blocks.predictions, reverse=True), _turned)
_filter_in_blocks = _tried(blocks.filtered, _filter_step_by_step)
_smooth_in_blocks = _tried(blocks.smoothed, _smooth_step_by_step)


def forward(initial: Array, step: Array, e: Array, parallel: bool) -> Array:
    """log P(zₜ | x₁ … xₜ₋₁), shape (T, B, K)."""
    first = _first(initial, e)
    return sweep(first, step, e, True) if parallel else _predicted_in_blocks(_given, first, step, e)


def backward(step: Array, e: Array, parallel: bool) -> Array:
    """log P(xₜ₊₁ … x_T | zₜ) up to a constant for each t, shape (T, B, K)."""
    if not parallel:
        return _turned_in_blocks(_given, jnp.zeros_like(e[0]), step, e)
    turned = jnp.swapaxes(step, -2, -1)
    return sweep(jnp.zeros_like(e[0]), turned[::-1] if step.ndim == 3 else turned, e[::-1], True)[::-1]


def _chain(observe: Any, *args: Any) -> tuple[Array, Array, Array]:
    initial, step, e, _ = observe(*args)
    return _first(initial, e), step, e


def filter_all(observe: Any, args: Any, parallel: bool) -> tuple[Array, Array]:
    """log P(zₜ | x₁ … xₜ), shape (T, B, K), and log P(xₜ | x₁ … xₜ₋₁), shape (T, B).

    Here and below, `observe(*args)` gives initial probabilities (K,), steps, e, and which rows are within a sequence (T, B).
    """
    if parallel:
        first, step, e = _chain(observe, *args)
        return filtered(sweep(first, step, e, True), e)
    return _filter_in_blocks(functools.partial(_chain, observe), *args)


def smooth_all(observe: Any, args: Any, parallel: bool) -> tuple[Array, Array]:
    """log P(zₜ | x₁ … x_T), shape (T, B, K), and log P(xₜ | x₁ … xₜ₋₁), shape (T, B)."""
    if not parallel:
        return _smooth_in_blocks(functools.partial(_chain, observe), *args)
    first, step, e = _chain(observe, *args)
    now, increment = filtered(sweep(first, step, e, True), e)
    return smoothed(now, backward(step, e, True)), increment


def filtered(predicted: Array, e: Array) -> tuple[Array, Array]:
    """log P(zₜ | x₁ … xₜ) and log P(xₜ | x₁ … xₜ₋₁)."""
    joint = predicted + e
    increment = logsumexp(joint, axis=-1)
    return joint - _finite(increment)[..., None], increment


def increments(observe: Any, args: Any, parallel: bool) -> Array:
    """log P(xₜ | x₁ … xₜ₋₁), shape (T, B)."""
    if parallel:
        return filter_all(observe, args, True)[1]
    return _increments_in_blocks(functools.partial(_chain, observe), *args)


def _increments_step_by_step(first: Array, step: Array, e: Array) -> Array:
    if e.shape[0] == 1:
        return logsumexp(first + e[0], axis=-1)[None]
    _, rest, certified = _sweep_in_probabilities(first, step, e)
    quick = jnp.concatenate([logsumexp(first + e[0], axis=-1)[None], rest])
    return jax.lax.cond(
        certified, lambda _: quick, lambda _: filtered(_sweep_in_logarithms(first, step, e), e)[1], None
    )


_increments_in_blocks = _tried(blocks.increments, _increments_step_by_step)


def smoothed(now: Array, later: Array) -> Array:
    """log P(zₜ | x₁ … x_T)."""
    return _normal(now + later)


def _ends(now: Array, later: Array, e: Array) -> tuple[Array, Array]:
    """Log-weights of zₜ and zₜ₊₁ whose product with the transitions is P(zₜ, zₜ₊₁ | x)."""
    left = now[:-1] - _finite(logsumexp(now[:-1] + later[:-1], axis=-1))[..., None]
    return left, _normal(later[1:] + e[1:])


def pairs(now: Array, later: Array, step: Array, e: Array) -> Array:
    """log P(zₜ, zₜ₊₁ | x₁ … x_T), shape (T − 1, B, K, K)."""
    left, right = _ends(now, later, e)
    return left[..., :, None] + (step[:, None] if step.ndim == 3 else step[None, None]) + right[..., None, :]


def pair_counts(now: Array, later: Array, step: Array, e: Array, valid: Array) -> Array:
    """Expected numbers of transitions Σₜ P(zₜ = i, zₜ₊₁ = j | x): (B, K, K), or (T − 1, B, K, K) if steps differ."""
    if step.ndim == 3:
        return jnp.where(valid[1:, :, None, None], jnp.exp(pairs(now, later, step, e)), 0.0)
    left, right = _ends(now, later, e)
    left = jnp.where(valid[1:, :, None], left, -jnp.inf)
    # Steps are the inner index of a product of (K, T − 1) and (T − 1, K). Numbers below e⁻⁶⁹ may as well be 0.
    weights = log_matmul_above(jnp.transpose(left, (1, 2, 0)), jnp.transpose(right, (1, 0, 2)), -69.0 - step[None])
    return jnp.where(step[None] == -jnp.inf, 0.0, jnp.exp(weights + step[None]))


# The log-likelihood, of which the derivative is the expected numbers of what happens in the chain ----------------------


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 2))
def log_evidence(observe: Any, args: Any, parallel: bool) -> Array:
    """log P(x₁ … x_T), shape (B,).

    The derivative is Σ γ₁·d initial + Σ ξ·d step + Σ γ·de, with the probabilities γ of states and ξ of transitions, given x.
    """
    valid = observe(*args)[-1]
    return jnp.sum(jnp.where(valid, increments(observe, args, parallel), 0.0), axis=0)


@log_evidence.defjvp
def _log_evidence_jvp(observe: Any, parallel: bool, primals: Any, tangents: Any) -> tuple[Array, Array]:
    (initial, step, e, rows), (d_initial, d_step, d_e, _) = jax.jvp(lambda args: observe(*args), primals, tangents)
    now, increment = filtered(forward(initial, step, e, parallel), e)
    later = backward(step, e, parallel)
    share = jnp.where(rows[..., None], jnp.exp(smoothed(now, later)), 0.0)
    out = jnp.sum(jnp.where(rows, increment, 0.0), axis=0)
    change = jnp.sum(share[0] * d_initial[None], axis=-1) + jnp.sum(share * d_e, axis=(0, 2))
    if e.shape[0] > 1:
        counts = pair_counts(now, later, step, e, rows)
        moved = counts * (d_step[:, None] if step.ndim == 3 else d_step[None])
        change = change + jnp.sum(moved, axis=(0, 2, 3) if step.ndim == 3 else (1, 2))
    return out, jnp.where(jnp.isneginf(out), 0.0, change)


# The likeliest path ---------------------------------------------------------------------------------------------------


def likeliest(initial: Array, step: Array, e: Array, valid: Array, parallel: bool) -> Array:
    """States (T, B) of the path of greatest probability; after the end of a sequence, its last state."""
    first = jnp.broadcast_to(initial[None], e.shape[1:]) + e[0]
    if e.shape[0] == 1:
        return argmax(first)[None]
    if parallel:
        return _likeliest_in_parallel(first, step, e, valid)

    def move(best: Array, item: Any) -> tuple[Array, Array]:
        e, valid, m = item if step.ndim == 3 else (*item, step)
        further = jnp.max(best[:, :, None] + m[None], axis=1) + e
        further = further - _finite(jnp.max(further, axis=-1, keepdims=True))
        return jnp.where(valid[:, None], further, best), best

    items = (e[1:], valid[1:], step) if step.ndim == 3 else (e[1:], valid[1:])
    final, best = jax.lax.scan(move, first - _finite(jnp.max(first, axis=-1, keepdims=True)), items)
    last = argmax(final)
    arriving = jnp.swapaxes(step, -2, -1)

    def back(state: Array, item: Any) -> tuple[Array, Array]:
        best, valid, m = item if step.ndim == 3 else (*item, arriving)
        state = jnp.where(valid, argmax(best + m[state]), state)
        return state, state

    items = (best, valid[1:], arriving) if step.ndim == 3 else (best, valid[1:])
    _, states = jax.lax.scan(back, last, items, reverse=True)
    return jnp.concatenate([states, last[None]])


def _likeliest_in_parallel(first: Array, step: Array, e: Array, valid: Array) -> Array:
    k = e.shape[-1]
    chain = e[1:, :, None, :] + (step[:, None] if step.ndim == 3 else step[None, None])
    stay = jnp.where(jnp.eye(k, dtype=bool), 0.0, -jnp.inf).astype(e.dtype)
    chain = jnp.where(valid[1:, :, None, None], chain, stay[None, None])

    def join(a: Array, b: Array) -> Array:
        c = max_plus(a, b)
        return c - _finite(jnp.max(c, axis=(-2, -1), keepdims=True))

    beginnings = jax.lax.associative_scan(join, chain)
    start = jnp.broadcast_to(first[None, :, None, :], (*chain.shape[:2], 1, k))
    best = jnp.concatenate([first[None], max_plus(start, beginnings)[:, :, 0]])
    # From which state each is best reached; paths backward are compositions of these maps.
    origin = argmax(best[:-1, :, :, None] + (step[:, None] if step.ndim == 3 else step[None, None]), axis=-2)
    same = jnp.broadcast_to(jnp.arange(k, dtype=origin.dtype)[None, None], origin.shape)
    origin = jnp.where(valid[1:, :, None], origin, same)
    after = jax.lax.associative_scan(lambda a, b: jnp.take_along_axis(b, a, axis=-1), origin, reverse=True)
    last = argmax(best[-1])
    states = jnp.take_along_axis(after, last[None, :, None], axis=-1)[..., 0]
    return jnp.concatenate([states, last[None]])
