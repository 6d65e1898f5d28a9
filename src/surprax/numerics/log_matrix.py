"""Products of matrices of log-probabilities: log Σₖ exp(Aᵢₖ + Bₖⱼ) at the speed of a matrix product, and maxₖ (Aᵢₖ + Bₖⱼ).

The shifts by which exponentials are kept in range are chosen in two steps. First the inner index is equilibrated: cₖ is added to
column k of A and taken from row k of B, so that their greatest entries become equal; then rows of A and columns of B are
shifted to have their maximum at 0, and D = exp(A′) exp(B′) is a product of ordinary matrices with entries in [0, 1].

What underflows there is at most K·2⁻¹²⁶ of D (in float32), so an entry D ≥ K·2⁻¹²⁶/ε is good to relative ε: that is a certificate
that costs a comparison. Entries without it are recomputed term by term, in blocks of rows and only where there are such
entries. A relative error of D is an absolute error of log D in nats.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from surprax.numerics.elementary import argmax, as_floats

__all__ = ["log_matmul", "log_matmul_above", "max_plus"]

BLOCK = 1 << 18
"""Terms that are held at a time where entries are recomputed."""


def log_matmul(a: ArrayLike, b: ArrayLike) -> Array:
    """log Σₖ exp(aᵢₖ + bₖⱼ): the product of two matrices that are given by the logarithms of their entries, in nats.

    Shapes: a (…, M, K) and b (…, K, N), leading axes broadcast, to (…, M, N). Domain: reals and −∞ (a probability of 0), also
    for whole rows and columns; the result is −∞ where every term is, with gradient 0. NaN stays NaN.

    Accuracy: a few ε in nats plus the rounding of the entries themselves, however far they are apart. The gradients are the
    shares that the terms have of their sum. Under `jax.vmap` of derivatives all terms are evaluated: pass batches on
    leading axes instead.

    >>> import jax.numpy as jnp
    >>> a = jnp.log(jnp.array([[0.5, 0.5], [0.0, 1.0]]))
    >>> print(jnp.exp(log_matmul(a, a)))
    [[0.25 0.75]
     [0.   1.  ]]
    >>> print(jnp.exp(log_matmul(a - 1000.0, a + 1000.0)).round(2))  # where exp(−1000) is 0 in floating point
    [[0.25 0.75]
     [0.   1.  ]]
    """
    a, b = _matrices(a, b)
    return _compiled(a, b, None)


def log_matmul_above(a: ArrayLike, b: ArrayLike, floor: ArrayLike) -> Array:
    """`log_matmul` where entries below `floor` (…, M, N) need not be accurate, only below it: these are not recomputed."""
    a, b = _matrices(a, b)
    return _compiled(a, b, jnp.broadcast_to(jnp.asarray(floor, a.dtype), (*a.shape[:-1], b.shape[-1])))


def max_plus(a: ArrayLike, b: ArrayLike) -> Array:
    """maxₖ (aᵢₖ + bₖⱼ): the product of matrices in which sums are maxima and products are sums, as for likeliest paths.

    Shapes: a (…, M, K) and b (…, K, N), leading axes broadcast, to (…, M, N). Domain: reals and −∞. The gradient goes to the
    first of the greatest terms, and is 0 where all are −∞.

    >>> import jax.numpy as jnp
    >>> steps = jnp.array([[0.0, 5.0], [1.0, -jnp.inf]])
    >>> print(max_plus(steps, steps))
    [[6. 5.]
     [1. 6.]]
    """
    return _max_plus(*_matrices(a, b))


def _matrices(a: ArrayLike, b: ArrayLike) -> tuple[Array, Array]:
    """Floats of one dtype and the same leading axes."""
    a, b = as_floats(a, b)
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2] or a.shape[-1] == 0:
        raise ValueError(
            f"A product takes matrices (…, M, K) and (…, K, N) with K ≥ 1; got shapes {a.shape} and {b.shape}."
            " Give a vector an axis of length 1."
        )
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])

    def lift(x: Array) -> Array:
        return jnp.broadcast_to(x.reshape((1,) * (len(lead) + 2 - x.ndim) + x.shape), lead + x.shape[-2:])

    return lift(a), lift(b)


# The logarithm of a product --------------------------------------------------------------------------------------------


def _finite(x: Array) -> Array:
    return jax.lax.stop_gradient(jnp.where(jnp.isfinite(x), x, 0.0))


def _shifted(a: Array, b: Array) -> tuple[Array, Array, Array]:
    """exp(A′), exp(B′) and the shifts (…, M, N) by which log(exp(A′) exp(B′)) falls short of the result."""
    inner_a, inner_b = jnp.max(a, axis=-2), jnp.max(b, axis=-1)
    c = _finite(0.5 * (inner_b - inner_a))
    a, b = a + c[..., None, :], b - c[..., :, None]
    rows, columns = _finite(jnp.max(a, axis=-1)), _finite(jnp.max(b, axis=-2))
    left, right = jnp.exp(a - rows[..., :, None]), jnp.exp(b - columns[..., None, :])
    return left, right, rows[..., :, None] + columns[..., None, :]


def _product(left: Array, right: Array) -> Array:
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)


def _enough(inner: int, dtype: Any) -> float:
    """What an entry of the shifted product is at least, where it is certified."""
    limits = jnp.finfo(dtype)
    return inner * float(limits.tiny) / float(limits.eps)


def _uncertified(product: Array, inner: int, shifts: Array, floor: Array | None) -> Array:
    """Whether an entry is without certificate, and not known to be below the floor."""
    least = _enough(inner, product.dtype)
    low = ~((product >= least) & (product < jnp.inf))
    return low if floor is None else low & ~(shifts + math.log(2.0 * least) < floor)


def _has_terms(a: Array, b: Array) -> Array:
    """Whether any term of an entry is more than −∞ (or NaN)."""
    some_a, some_b = ((x != -jnp.inf).astype(x.dtype) for x in (a, b))
    return _product(some_a, some_b) > 0.5


def _value(a: Array, b: Array, floor: Array | None) -> Array:
    left, right, shifts = _shifted(a, b)
    product = _product(left, right)
    low = _uncertified(product, a.shape[-1], shifts, floor)
    fast = jnp.where(product > 0, jnp.log(jnp.where(product > 0, product, 1.0)) + shifts, -jnp.inf)

    def mend(_: None) -> Array:
        wanted = low & _has_terms(a, b)
        exact = _by_rows(_exact_rows, wanted, (a,), (b,), ())
        return jnp.where(wanted, exact, jnp.where(low, -jnp.inf, fast) if floor is None else fast)

    return jax.lax.cond(jnp.any(low), mend, lambda _: fast, None)


@jax.custom_batching.custom_vmap
def _primal(a: Array, b: Array) -> Array:
    return _value(a, b, None)


@_primal.def_vmap
def _primal_of_batch(size: int, batched: Any, a: Array, b: Array) -> tuple[Array, bool]:
    """A batch is leading axes, of which one decision is taken together (and not both ways gone for each)."""
    a, b = (x if is_batched else jnp.broadcast_to(x, (size, *x.shape)) for x, is_batched in zip((a, b), batched))
    return _primal(a, b), True


@jax.custom_jvp
def _log_matmul(a: Array, b: Array, floor: Array | None) -> Array:
    return _primal(a, b) if floor is None else _value(a, b, floor)


@_log_matmul.defjvp
def _log_matmul_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    """Σₖ wᵢₖⱼ (daᵢₖ + dbₖⱼ) with the shares wᵢₖⱼ = exp(aᵢₖ + bₖⱼ − cᵢⱼ): of shifted matrices where the entry is certified."""
    (a, b, floor), (da, db, _) = primals, tangents
    out = _log_matmul(a, b, floor)
    left, right, shifts = _shifted(a, b)
    product = _product(left, right)
    low = _uncertified(product, a.shape[-1], shifts, floor)
    usable = ~low & (product > 0)
    inverse = jnp.where(usable, 1.0 / jnp.where(usable, product, 1.0), 0.0)
    fast = (_product(left * da, right) + _product(left, right * db)) * inverse

    def mend(changes: tuple[Array, Array]) -> Array:
        wanted = low & _has_terms(a, b)
        da, db = changes
        return _by_rows(_exact_tangents, wanted, (a, da), (b, db), (out,))

    return out, fast + jax.lax.cond(jnp.any(low), mend, lambda changes: jnp.zeros_like(out), (da, db))


_compiled = jax.jit(_log_matmul)


def _exact_rows(a: Array, b: Array) -> Array:
    """Rows (…, K) with the matrices (…, K, N) that they meet, to (…, N), term by term."""
    terms = a[..., None] + b
    top = _finite(jnp.max(terms, axis=-2))
    total = jnp.sum(jnp.exp(terms - top[..., None, :]), axis=-2)
    return jnp.where(total == 0, -jnp.inf, jnp.log(jnp.where(total == 0, 1.0, total)) + top)


def _exact_tangents(a: Array, da: Array, b: Array, db: Array, out: Array) -> Array:
    terms = a[..., None] + b
    shares = jnp.exp(terms - _finite(out)[..., None, :])
    return jnp.sum(jnp.where(terms == -jnp.inf, 0.0, shares * (da[..., None] + db)), axis=-2)


def _by_rows(function: Any, wanted: Array, left: Any, right: Any, results: Any) -> Array:
    """`function` of rows of `left` with the matrices `right` that they meet: all at once if they are few, else in blocks.

    Of blocks in which none is wanted, and in these of entries that are not, it is 0.
    """
    a, b = left[0], right[0]
    (*lead, m, k), n = a.shape, b.shape[-1]
    rows = math.prod(lead) * m
    if rows == 0 or n == 0:
        return jnp.zeros((*lead, m, n), a.dtype)
    if rows * k * n <= BLOCK:
        return jnp.where(wanted, function(*left, *(x[..., None, :, :] for x in right), *results), 0.0)
    size = max(1, min(rows, BLOCK // (k * n)))
    blocks = -(-rows // size)

    def block(x: Array) -> Array:
        # The last row is repeated: 0 in its place would make of shares something that overflows, and of its gradient NaN.
        return jnp.pad(x.reshape(rows, -1), ((0, blocks * size - rows), (0, 0)), "edge").reshape(blocks, size, -1)

    matrices = [x.reshape(-1, k, n) for x in right]
    which = jnp.minimum(jnp.arange(blocks * size) // m, len(matrices[0]) - 1).reshape(blocks, size)

    @jax.checkpoint
    def one(which: Array, left: list[Array], results: list[Array], matrices: list[Array]) -> Array:
        return function(*left, *(x[which] for x in matrices), *results)

    def visit(item: Any) -> Array:
        wanted, which, left, results = item
        none = functools.partial(jnp.zeros, (size, n), a.dtype)
        value = jax.lax.cond(jnp.any(wanted), one, lambda *_: none(), which, left, results, matrices)
        return jnp.where(wanted, value, 0.0)

    items = block(wanted), which, [block(x) for x in left], [block(x) for x in results]
    return jax.lax.map(visit, items).reshape(blocks * size, n)[:rows].reshape(*lead, m, n)


# Maxima of sums ------------------------------------------------------------------------------------------------------


def _sums(a: Array, b: Array) -> Array:
    return a[..., :, :, None] + b[..., None, :, :]


@jax.custom_jvp
@jax.jit
def _max_plus(a: Array, b: Array) -> Array:
    return jnp.max(_sums(a, b), axis=-2)


@_max_plus.defjvp
def _max_plus_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    (a, b), (da, db) = primals, tangents
    out = _max_plus(a, b)
    best = argmax(_sums(a, b), axis=-2)
    change = jnp.take_along_axis(da, best, axis=-1) + jnp.take_along_axis(db, best, axis=-2)
    return out, jnp.where(out == -jnp.inf, 0.0, change)
