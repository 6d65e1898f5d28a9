"""Mean and gaps of very many observations in a single pass.

`Layout.reduce` takes a pass for the mean, one to polish it and one per gap. Around any reference r, however, the mean divergences
D(y‖r) give the gaps by the same identity that merges evidence,

    gap = mean D(y‖r) − D(mean‖r),

which keeps its digits as long as D(mean‖r) is the smaller part. The mean of a few thousand rows is such a reference, unless the
data are wild, or all alike; then the answer is not trusted, and `Layout.reduce` is asked.

A sum of logarithms, which are slow, is taken as a sum of logarithms of products of a few rows.

In float32 terms are rounded one by one, to nearest, and a few of them added up before float64 takes over: over n rows that costs
about 1e-7/√n of the sum.
"""

from collections.abc import Mapping
from functools import partial, reduce
from operator import or_
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence.layout import Carrier, Layout

__all__ = ["Sums", "one_pass"]

LANES = {"float64": 16, "float32": 8}
"""So many rows are multiplied; from 1e-19 to 1e19 times the reference (1e-4 to 1e4 in float32) their product is a number."""

BLOCK = 1 << 19
"""Rows at a time: what is written in between stays in the cache."""

GLANCE = 1 << 12
"""Rows that make the reference."""

LEAST_GAP = 1e-3
"""A product is right to an ulp or so for each row; a gap of −log below this would show that."""

LARGEST_SHARE = 0.25
"""How large D(mean‖r) may be beside the gap."""


class Sums(NamedTuple):
    """Number of rows, mean and gaps as `Layout.reduce` gives them, and whether they are to be trusted.

    They are not where a row lies outside the domain, is NaN or infinite, or where digits were lost.
    """

    number: Array
    mean: Array
    gaps: Array
    trusted: Array


def one_pass(
    layout: Layout, x: Array, known: Mapping[str, Any], domain: tuple[float, float], terms: Any = np.float64
) -> Sums:
    """Sums over a vector `x`, whose values should lie within `domain` (its ends are let through here).

    To be called where JAX has float64. `terms`: the precision of the terms; what they add up to is float64.
    """
    carrier = layout.carrier.given(known)
    rows = x.shape[0]
    glance = x[:: max(1, rows // GLANCE)].astype(jnp.float64)
    reference = jax.lax.optimization_barrier(jnp.mean(carrier.of(glance)))
    if carrier.exp_of is None:
        reference = reference.astype(terms).astype(jnp.float64)
    else:
        reference = -jnp.log(jnp.exp(-reference).astype(terms).astype(jnp.float64))
    factors = [None if g.factor is None else (1.0 / g.factor(reference)).astype(terms) for g in layout.gaps]
    of_each = layout.carrier.given(jax.tree.map(lambda value: jnp.asarray(value, terms), dict(known)))
    of_rows = partial(_of_rows, of_each, layout.gaps, factors, reference, domain, np.dtype(terms))
    block = BLOCK // 4 if carrier.costly else BLOCK  # where y is written too
    total, outside = _by_blocks(of_rows, x, 1 + len(layout.gaps), LANES[np.dtype(terms).name], block)

    mean = reference + total[0] / rows
    trusted = jnp.isfinite(mean) & ~outside
    gaps = []
    for gap, factor, sum_ in zip(layout.gaps, factors, total[1:]):
        moved = gap.divergence(mean, reference)
        if gap.factor is None or factor is None:
            value, least = sum_ / rows - moved, 0.0
        else:
            value, least = jnp.log(gap.factor(mean) * factor.astype(jnp.float64)) - sum_ / rows, LEAST_GAP
        gaps.append(value)
        trusted &= jnp.isfinite(value) & (value > least) & (moved <= LARGEST_SHARE * value)
    return Sums(jnp.full((), float(rows)), mean, jnp.stack(gaps) if gaps else jnp.zeros(0), trusted)


def _by_blocks(of_rows: Any, x: Array, sums: int, most_lanes: int, block: int) -> tuple[Array, Array]:
    """`of_rows` gives sums of a matrix of rows, and a number that is negative if any is outside; all of it, put together."""

    def add(so_far: tuple[Array, Array], rows: Array, lanes: int = most_lanes) -> tuple[Array, Array]:
        more, signs = of_rows(rows.reshape(lanes, -1))
        return so_far[0] + more, so_far[1] | signs

    # An accelerator would rather have large blocks.
    size = block if jax.default_backend() == "cpu" else 32 * block
    blocks, rest = divmod(x.shape[0], size)
    tail = x.shape[0] - rest % most_lanes
    state = jnp.zeros(sums), jnp.zeros((), jnp.int64)
    if blocks:
        state = jax.lax.fori_loop(0, blocks, lambda i, s: add(s, jax.lax.dynamic_slice(x, (i * size,), (size,))), state)
    if blocks * size < tail:
        state = add(state, x[blocks * size : tail])
    if tail < x.shape[0]:
        state = add(state, x[tail:], lanes=1)
    return state[0], state[1] < 0


def _of_rows(
    carrier: Carrier, gaps: Any, factors: Any, reference: Array, domain: tuple[float, float], terms: Any, x: Array
) -> tuple[Array, Array]:
    """Σ (y − r); for each gap Σ D(y‖r), or Σ log u(y)/u(r) where it has a factor u; and the signs.

    All in one loop, but for divergences of a costly y: XLA computes logarithms fast where all that it does is to add them.
    """
    x, r = x.astype(terms), reference.astype(terms)
    if carrier.exp_of is None:
        y = carrier.of(x)
        operands, products = [y - r], [False]
    else:
        operands, products = [carrier.exp_of(x) * jnp.exp(-reference).astype(terms)], [True]
    for gap, factor in zip(gaps, factors) if not carrier.costly else ():
        operands.append(gap.divergence(y, r) if factor is None else gap.factor(y) * factor)
        products.append(factor is not None)

    def combine(a: Any, b: Any) -> Any:
        return (*(v * w if product else v + w for v, w, product in zip(a, b, products)), a[-1] | b[-1])

    signs = _signs(x, domain)
    none = np.zeros((), signs.dtype)
    starts = (*(np.asarray(float(product), terms) for product in products), none)
    *totals, signs = jax.lax.reduce((*operands, signs), starts, combine, (0,))
    sums = [jnp.sum((jnp.log(v) if product else v).astype(jnp.float64)) for v, product in zip(totals, products)]
    for gap in gaps if carrier.costly else ():
        again = jax.lax.optimization_barrier((x, sums[-1]))[0]
        sums.append(jnp.sum(gap.divergence(carrier.of(again), r), dtype=jnp.float64))
    return jnp.stack(sums), jax.lax.reduce(signs, none, jax.lax.bitwise_or, (0,)).astype(jnp.int64)


def _signs(x: Array, domain: tuple[float, float]) -> Array:
    """Whole numbers, negative outside the domain (and at −0): comparisons would keep XLA from vectorising."""
    whole = jnp.int64 if x.dtype == jnp.float64 else jnp.int32
    distances = [d for d, end in ((x - domain[0], domain[0]), (domain[1] - x, domain[1])) if np.isfinite(end)]
    return reduce(or_, (jax.lax.bitcast_convert_type(d, whole) for d in distances), jnp.zeros(x.shape, whole))
