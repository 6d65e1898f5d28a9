"""Long chains in blocks that are passed side by side, each from where the one before it ends.

A chain forgets where it came from. So each block first takes the last steps of the block before it from no knowledge (it warms up),
which tells where it starts; then all blocks are passed at once, as if they were sequences of a batch, in probabilities (see `sweep`
in `chain_passes`). What comes out is right where two things hold, which are looked at in every block:

- Where it ends, the next one has started, within L ε / 4 nats for blocks of L steps. The distance is Hilbert's: the range of the
  logarithms of the ratios, which no positive matrix makes longer (Birkhoff 1957). So even if blocks forgot nothing, the gaps
  would add up to no more than T ε / 4: less than what rounding may do in T steps.
- Nothing that underflows matters: the certificate of `chain_passes`.

Arrays have time first, as there: e is (T, B, K). Within a step, up to `FEW` states lie before the blocks, as rows that are added;
more states lie last, for products of matrices.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

__all__ = ["Blocks", "blocks_of", "filtered", "increments", "predictions", "smoothed"]

FEW = 16
"""Up to so many states, products with the transitions are written out as sums."""

SHORTEST, MOST, WARM_UP = 128, 64, 512
"""Steps of a block, at least; blocks times sequences, at most; steps of a warm-up, at most (of many states: × 2, ÷ 4)."""


class Blocks(NamedTuple):
    """How T steps are laid out: `number` blocks of `length` steps, the last of them filled up with what is missing."""

    number: int
    length: int
    warm_up: int


def blocks_of(step: Array, e: Array) -> Blocks | None:
    """Blocks for e (T, B, K), or None where single steps will do: short chains, many of them, or transitions that vary."""
    t, b, k = e.shape
    most = min(MOST * (1 if k <= FEW else 2) // b, t // SHORTEST)
    if step.ndim == 3 or most < 8:
        return None
    count = next((c for c in range(most, most // 2, -1) if t % c == 0), most)
    length = -(-t // count)
    return Blocks(count, length, min(length, WARM_UP if k <= FEW else WARM_UP // 4))


class _Layout:
    """Where time, blocks, sequences and states lie."""

    def __init__(self, blocks: Blocks, e: Array) -> None:
        (self.t, self.b, self.k), (self.c, self.l, _) = e.shape, blocks
        self.few, self.full = self.k <= FEW, self.c * self.l == self.t
        self.states = 0 if self.few else 1
        e = e if self.full else jnp.pad(e, ((0, self.c * self.l - self.t), (0, 0), (0, 0)))
        e = e.reshape(self.c, self.l, self.b, self.k)
        self.e = e.transpose(1, 3, 0, 2).reshape(self.l, self.k, self.c * self.b) if self.few else e

    def _e(self, index: Array) -> Array:
        e = jax.lax.dynamic_index_in_dim(self.e, index, 0 if self.few else 1, keepdims=False)
        return e if self.few else e.reshape(self.c * self.b, self.k)

    def at(self, index: Array) -> tuple[Array, Array]:
        """Of a step of all blocks, likelihoods relative to the greatest, and its logarithm."""
        e = self._e(index)
        top = _finite(jnp.max(e, axis=self.states, keepdims=True))
        return jnp.exp(e - top), top

    def within(self, index: Array) -> Array:
        """Whether step `index` of a block is one of the T, to go with its predictions."""
        inside = jnp.repeat(jnp.arange(self.c) * self.l + index < self.t, self.b)
        return jnp.expand_dims(inside, self.states)

    def total(self, x: Array) -> Array:
        return jnp.sum(x, axis=self.states, keepdims=True)

    def product(self, matrix: Array) -> Callable[[Array], Array]:
        if self.few:
            return lambda w: sum(
                (w[i][None] * matrix[i][:, None] for i in range(1, self.k)), w[0][None] * matrix[0][:, None]
            )
        return lambda w: jnp.matmul(w, matrix, precision=jax.lax.Precision.HIGHEST)

    def shifted(self, ends: Array, first: Array, reverse: bool) -> Array:
        """Where blocks start, from where their neighbours end and from the start (B, K) of the outermost."""
        first = first.T if self.few else first
        kept = jax.lax.slice_in_dim(ends, self.b, None, axis=1 - self.states)
        if not reverse:
            kept = jax.lax.slice_in_dim(ends, 0, (self.c - 1) * self.b, axis=1 - self.states)
        return jnp.concatenate([kept, first] if reverse else [first, kept], axis=1 - self.states)

    def restored(self, x: Array) -> Array:
        """(L, …) of a pass to (T, B, …)."""
        if self.few:
            k = x.shape[1]
            x = x.reshape(self.l * k, self.c * self.b).T.reshape(self.c, self.b, self.l, k).swapaxes(1, 2)
        else:
            x = x.reshape(self.l, self.c, self.b, -1).transpose(1, 0, 2, 3)
        return x.reshape(self.c * self.l, self.b, -1)[: self.t]

    # Logarithms are taken where they are fast: of few states in the loop, of many outside.

    def early(self, x: Array, norm: Array, index: Array) -> Any:
        return jnp.log(x) + (self._e(index) - norm) if self.few else (x, norm)

    def late(self, out: Any, e: Array) -> Array:
        """log x + e − norm, shape (T, B, K), of what `early` made of x and norm in a pass."""
        return self.restored(out) if self.few else jnp.log(self.restored(out[0])) + (e - self.restored(out[1]))


def _finite(x: Array) -> Array:
    return jnp.where(jnp.isneginf(x), 0.0, x)


def _enough(k: int, dtype: Any) -> float:
    limits = jnp.finfo(dtype)
    return 4 * k * float(limits.tiny) / float(limits.eps)


def _passed(
    n: _Layout, warm_up: int, first: Array, step: Array, reverse: bool, emit: Callable[..., Any], items: Any = None
) -> tuple[Any, Array]:
    """What `emit(p, w, total, top, index, item)` gives at each step, stacked (L, …), and whether it is certified.

    `first` are probabilities up to a factor; p are predictions, w the weights of p times the likelihood, which add up to 1.
    """
    product = n.product(jnp.exp(step.T if reverse else step))

    def weights(p: Array, index: Array) -> tuple[Array, Array, Array]:
        likelihood, top = n.at(index)
        u = p * likelihood
        total = n.total(u)
        return u * jnp.where(total > 0, 1.0 / jnp.where(total > 0, total, 1.0), total), total, top

    def following(p: Array, w: Array, index: Array) -> Array:
        return product(w) if n.full else jnp.where(n.within(index), product(w), p)

    def warm(i: Array, p: Array) -> Array:
        index = warm_up - 1 - i if reverse else n.l - warm_up + i
        return following(p, weights(p, index)[0], index)

    def move(carry: tuple[Array, Array], item: Any) -> tuple[tuple[Array, Array], Any]:
        (p, low), (index, more) = carry, item
        w, total, top = weights(p, index)
        out, least = emit(p, w, total, top, index, more)
        after = following(p, w, index)
        low = jnp.minimum(low, after * jnp.minimum(total, 1.0))
        return (after, low if least is None else jnp.minimum(low, least)), out

    shape = (n.k, n.c * n.b) if n.few else (n.c * n.b, n.k)
    guess = jnp.full(shape, 1.0 / n.k, first.dtype)
    ends = jax.lax.fori_loop(0, warm_up, warm, guess)
    start = n.shifted(ends, jnp.exp(first), reverse), jnp.full(shape, jnp.inf, first.dtype)
    (arrived, low), out = jax.lax.scan(move, start, (jnp.arange(n.l), items), reverse=reverse)
    gap = n.shifted(
        jnp.log(arrived) - jnp.log(ends), jnp.zeros_like(first), reverse
    )  # nobody starts at the last block's end
    gap = jnp.max(gap, axis=n.states) - jnp.min(gap, axis=n.states)
    near = jnp.all(gap <= 0.25 * n.l * float(jnp.finfo(first.dtype).eps))
    least = _enough(n.k, first.dtype)
    started = jnp.all(jnp.isneginf(first) | (first >= math.log(least)))
    return out, near & started & (jnp.min(low) >= least)


def predictions(blocks: Blocks, first: Array, step: Array, e: Array, reverse: bool) -> tuple[Array, Array]:
    """The log pₜ of `sweep` from log p₁ = `first` (B, K), shape (T, B, K); in reverse, from p_T with transposed steps."""
    n = _Layout(blocks, e)
    p, certified = _passed(n, blocks.warm_up, first, step, reverse, lambda p, *_: (jnp.log(p) if n.few else p, None))
    p = n.restored(p)
    return p if n.few else jnp.log(p), certified


def _increment(total: Array, top: Array) -> Array:
    return top + jnp.log(total)


def increments(blocks: Blocks, first: Array, step: Array, e: Array) -> tuple[Array, Array]:
    """log P(xₜ | x₁ … xₜ₋₁), shape (T, B), and whether it is certified."""
    n = _Layout(blocks, e)
    out, certified = _passed(
        n, blocks.warm_up, first, step, False, lambda p, w, total, top, *_: (_increment(total, top), None)
    )
    return n.restored(out)[..., 0], certified


def filtered(blocks: Blocks, first: Array, step: Array, e: Array) -> tuple[Array, Array, Array]:
    """log P(zₜ | x₁ … xₜ), shape (T, B, K), log P(xₜ | x₁ … xₜ₋₁), shape (T, B), and whether they are certified."""
    n = _Layout(blocks, e)

    def emit(p: Array, w: Array, total: Array, top: Array, index: Array, _: None) -> Any:
        increment = _increment(total, top)
        return (n.early(p, increment, index), increment), None

    (now, increment), certified = _passed(n, blocks.warm_up, first, step, False, emit)
    return n.late(now, e), n.restored(increment)[..., 0], certified


def smoothed(blocks: Blocks, first: Array, step: Array, e: Array) -> tuple[Array, Array, Array]:
    """log P(zₜ | x₁ … x_T), shape (T, B, K), log P(xₜ | x₁ … xₜ₋₁), shape (T, B), and whether they are certified."""
    n = _Layout(blocks, e)
    (p, increment), forward = _passed(
        n, blocks.warm_up, first, step, False, lambda p, w, total, top, *_: ((p, _increment(total, top)), None)
    )

    def emit(b: Array, w: Array, total: Array, top: Array, index: Array, p: Array) -> Any:
        q, share = p * b, n.total(w * p)
        least = jnp.minimum(jnp.where(p == 0, jnp.inf, q), share)
        return (jnp.log(q) if n.few else q, _increment(total, top) + jnp.log(share)), least

    out, backward = _passed(n, blocks.warm_up, jnp.zeros_like(first), step, True, emit, p)
    q, norm = (n.restored(x) for x in out)
    return (q if n.few else jnp.log(q)) + (e - norm), n.restored(increment)[..., 0], forward & backward
