"""Small solvers for batches of scalar equations, with a bounded number of steps and an outcome.

Each works elementwise: the function takes an array of points, one for each equation of the batch, and the loop ends
when all have converged. They return (root, converged) and are not meant to be differentiated: a caller differentiates
the equation that the root solves, f(x, θ) = 0, by the implicit function theorem, dx/dθ = −(∂f/∂θ)/(∂f/∂x), in a rule
of its own (`with_derivatives`).

Every decision rests on a value that the loop carries. Were it computed in the body that uses it, XLA could compute it
twice, rounded differently, and an equation could seem to lie on both sides of 0.

Bisection halves the number of floating-point numbers between the ends, not their distance: whatever the bracket, be it
[0, ∞], it takes at most 32 steps in float32 and 64 in float64.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from surprax.numerics.elementary import as_floats, by_dtype

__all__ = ["bracketed", "newton", "smallest_integer"]

type _State = tuple[Array, ...]


def _gap(x: Array) -> int:
    """How many places the subnormal numbers take, which XLA flushes to 0."""
    return (1 << jnp.finfo(x.dtype).nmant) - 1


def _rank(x: Array) -> Array:
    """The place of x among the normal floating-point numbers: an integer that grows with x, and 0 at 0."""
    bits = jax.lax.bitcast_convert_type(jnp.abs(x), by_dtype(x, jnp.int32, jnp.int64))
    size = jnp.maximum(bits - _gap(x), 0)
    return jnp.where(x < 0, -size, size)


def _middle(lower: Array, upper: Array) -> Array:
    """The number half-way between two others by rank."""
    rank = _integer_middle(_rank(lower), _rank(upper))
    bits = jnp.where(rank == 0, 0, jnp.abs(rank) + _gap(lower))
    return jnp.sign(rank).astype(lower.dtype) * jax.lax.bitcast_convert_type(bits, lower.dtype)


def _integer_middle(lower: Array, upper: Array) -> Array:
    """⌊(lower + upper)/2⌋ without overflow of the sum."""
    return (lower & upper) + ((lower ^ upper) >> 1)


def _close(x: Array, y: Array) -> Array:
    """Whether x and y are at most four numbers apart, as is 2 ε |x|. Their difference may not say so: it may underflow."""
    x, y = _rank(x), _rank(y)
    return jnp.maximum(x, y) <= jnp.minimum(x, y) + 4


def _spread(*values: ArrayLike) -> tuple[Array, ...]:
    return jnp.broadcast_arrays(*as_floats(*values))


def _in_batch(shape: tuple[int, ...], *values: Array) -> tuple[Array, ...]:
    """The values in the shape of the batch, which the function may know better than its bounds."""
    return tuple(jnp.broadcast_to(value, jnp.broadcast_shapes(shape, value.shape)) for value in values)


def newton(
    function: Callable[[Array], tuple[Array, Array]],
    start: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    steps: int | None = None,
) -> tuple[Array, Array]:
    """The root of an increasing function by Newton's method, kept in a bracket by bisection.

    `function(x)` gives (value, slope) elementwise; negate both for a decreasing one. Bisection replaces a step that
    would leave what is left of the bracket or that is more than half as long as the last; by default there are at most
    96 steps in float32 and 192 in float64; five are usual from a good start.

    Shapes: start, lower and upper broadcast to the batch. Domain: lower ≤ root ≤ upper, also infinite; not
    converged where a value is NaN. Converged means that the last step, or what is left of the bracket, spans four
    floating-point numbers or less. Derivatives: see the module.

    >>> root, converged = newton(lambda x: (x * x - 2.0, 2.0 * x), start=1.0, lower=0.0, upper=2.0)
    >>> print(f"{root:.4f} {converged}")
    1.4142 True
    """
    x, lower, upper = _spread(start, lower, upper)
    x, lower, upper = _in_batch(jax.eval_shape(function, x)[0].shape, x, lower, upper)
    limit = steps if steps is not None else by_dtype(x, 96, 192)

    def unfinished(state: _State) -> Array:
        step, *_, done = state
        return (step < limit) & ~jnp.all(done)

    def improve(state: _State) -> _State:
        step, x, value, slope, lower, upper, last, done = state
        lower, upper = jnp.where(value < 0, x, lower), jnp.where(value > 0, x, upper)
        target = jnp.where(value == 0, x, x - value / slope)
        close = _close(target, x)
        useful = (target > lower) & (target < upper) & (jnp.abs(target - x) <= 0.5 * last)
        target = jnp.where(close, jnp.clip(target, lower, upper), jnp.where(useful, target, _middle(lower, upper)))
        target = jnp.where(done, x, target)
        # The bracket may close before the steps get small, where the function jumps over 0.
        done = done | close | (_close(lower, upper) & (value == value))
        return step + 1, target, *function(target), lower, upper, jnp.abs(target - x), done

    x = jnp.clip(x, lower, upper)
    state: _State = (
        jnp.zeros((), jnp.int32),
        x,
        *function(x),
        lower,
        upper,
        jnp.full_like(x, jnp.inf),
        jnp.zeros_like(x, bool),
    )
    _, x, *_, done = jax.lax.while_loop(unfinished, improve, state)
    return x, done


def bracketed(
    function: Callable[[Array], Array],
    lower: ArrayLike,
    upper: ArrayLike,
    steps: int | None = None,
) -> tuple[Array, Array]:
    """The root of an increasing function between lower and upper, without derivatives.

    Inverse quadratic interpolation where the last three points make it safe, bisection elsewhere; by default at most 96
    evaluations in float32 and 192 in float64, which always suffice; a dozen or two are usual. Negate a decreasing
    function.

    Shapes: lower and upper broadcast to the batch. Domain: function(lower) ≤ 0 ≤ function(upper), values and ends
    may be infinite; where that is false, NaN and not converged. Converged means that the bracket spans four
    floating-point numbers or less, or that the value is 0. Derivatives: see the module.

    Source: Chandrupatla (1997), Advances in Engineering Software 28, 145–149, with bisection by rank.

    >>> root, converged = bracketed(lambda x: x**3 - 8.0, lower=0.0, upper=float("inf"))
    >>> print(f"{root:.4f} {converged}")
    2.0000 True
    """
    lower, upper = _spread(lower, upper)
    lower, upper, at_lower, at_upper = jnp.broadcast_arrays(lower, upper, function(lower), function(upper))
    valid = (at_lower <= 0) & (at_upper >= 0)
    limit = steps if steps is not None else by_dtype(lower, 96, 192)

    # b is across the root from a, and c is the point before; values carry the same letters.
    def unfinished(state: _State) -> Array:
        step, *_, done = state
        return (step < limit) & ~jnp.all(done)

    def improve(state: _State) -> _State:
        step, x, a, b, fx, fa, fb, done = state
        same = (fx < 0) == (fa < 0)
        c, fc = jnp.where(same, a, b), jnp.where(same, fa, fb)
        b, fb = jnp.where(same | done, b, a), jnp.where(same | done, fb, fa)
        a, fa = jnp.where(done, a, x), jnp.where(done, fa, fx)
        done = done | (fa == 0) | _close(a, b)

        xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
        safe = (phi * phi < xi) & ((1 - phi) * (1 - phi) < 1 - xi)
        t = fa / (fb - fa) * (fc / (fb - fc)) + (c - a) / (b - a) * (fa / (fc - fa)) * (fb / (fc - fb))
        # A step of less than the resolution would not cross the root.
        least = 2 * float(jnp.finfo(a.dtype).eps) * jnp.abs(a / (b - a))
        x = a + jnp.clip(t, least, 1 - least) * (b - a)
        # Interpolation converges in a dozen steps or not soon: after that, every other step is a bisection.
        bisect = ~(safe & jnp.isfinite(x)) | ((step > 12) & (step % 2 == 0))
        x = jnp.where(bisect, _middle(a, b), x)
        return step + 1, x, a, b, function(x), fa, fb, done

    middle = _middle(lower, upper)
    done = ~valid | (at_lower == 0) | (at_upper == 0)
    state: _State = (jnp.zeros((), jnp.int32), middle, lower, upper, function(middle), at_lower, at_upper, done)
    _, _, a, b, _, fa, fb, done = jax.lax.while_loop(unfinished, improve, state)
    root = jnp.where(jnp.abs(fb) < jnp.abs(fa), b, a)
    return jnp.where(valid, root, jnp.nan), done & valid


def smallest_integer(
    predicate: Callable[[Array], Array],
    lower: ArrayLike,
    upper: ArrayLike,
    guess: ArrayLike | None = None,
) -> tuple[Array, Array]:
    """The smallest integer k in [lower, upper] at which a predicate, false and then true, is true.

    `predicate(k)` takes an integer array, exact up to 2³¹ (where float32 stops at 2²⁴), and gives booleans. With a
    guess, the search gallops away from it in doubling strides before it bisects: 2 log₂|guess − root| evaluations,
    not 31.

    Shapes: lower, upper and guess broadcast to the batch; they must be integers. Where the predicate is false up to
    `upper`, that is the result, and it has not converged. This is the quantile of a discrete distribution:
    predicate = cdf(k) ≥ p.

    >>> k, found = smallest_integer(lambda k: k * k >= 1000, lower=0, upper=10_000)
    >>> print(k, found)
    32 True
    """
    bounds = tuple(jnp.asarray(value) for value in ((lower, upper) if guess is None else (lower, upper, guess)))
    for value in bounds:
        if not jnp.issubdtype(value.dtype, jnp.integer):
            raise TypeError(
                f"the bounds and the guess must be integers, but one has dtype {value.dtype}; round it first"
            )
    dtype = jnp.result_type(*bounds)
    bounds = jnp.broadcast_arrays(*(value.astype(dtype) for value in bounds))
    lower, upper, *rest = _in_batch(jax.eval_shape(predicate, bounds[0]).shape, *bounds)
    galloping = jnp.full(lower.shape, bool(rest))
    probe = jnp.clip(rest[0], lower, jnp.maximum(upper - 1, lower)) if rest else _integer_middle(lower, upper)

    def unfinished(state: _State) -> Array:
        low, high, *_ = state
        return jnp.any(low < high)

    def improve(state: _State) -> _State:
        low, high, probe, hit, stride, galloping, was_hit = state
        open_ = low < high
        low, high = jnp.where(open_ & ~hit, probe + 1, low), jnp.where(open_ & hit, probe, high)
        galloping = galloping & ((stride == 1) | (hit == was_hit))
        # Half of what is left is the longest stride: no overflow, and no step out of the bracket.
        up = probe + jnp.minimum(stride, (high >> 1) - (probe >> 1))
        down = probe - jnp.minimum(stride, (probe >> 1) - (low >> 1))
        probe = jnp.where(galloping, jnp.where(hit, down, up), _integer_middle(low, high))
        probe = jnp.clip(probe, low, jnp.maximum(high - 1, low))
        stride = jnp.where(stride > jnp.iinfo(dtype).max // 2, stride, 2 * stride)
        return low, high, probe, predicate(probe), stride, galloping, hit

    state: _State = (lower, upper, probe, predicate(probe), jnp.ones_like(lower), galloping, jnp.zeros_like(galloping))
    root, *_ = jax.lax.while_loop(unfinished, improve, state)
    return root, predicate(root) & (lower <= upper)
