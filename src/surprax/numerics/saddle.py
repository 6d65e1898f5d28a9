"""The density exp(−α D(s) − β D(−s))/J(α, β) on the line, D(s) = exp(s) − 1 − s: what the logarithm of a GIG variable follows.

It is log-concave with its mode at 0; α = `upper` bends it down to the right, β = `lower` to the left. Without β it is the log of a
gamma variable, without α of its reciprocal, and with both large it is normal, of variance 1/(α + β). `bessel_k.py` has its
integral J and its tails; here is what else a distribution needs: moments, divergence, quantiles, draws, maximum likelihood.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.lax import stop_gradient

from surprax.numerics.bessel_k import log_saddle_integral, log_saddle_tail, saddle_exponent, saddle_nodes
from surprax.numerics.elementary import as_floats, by_dtype, expm1_minus, log1mexp, with_derivatives
from surprax.numerics.gamma import inverse_log_minus_digamma, log_minus_digamma
from surprax.numerics.roots import newton

__all__ = [
    "draw_saddle",
    "fit_saddle",
    "log_saddle_tails",
    "saddle_divergence",
    "saddle_probabilities",
    "saddle_quantile",
]


def saddle_probabilities(upper: Array, lower: Array) -> tuple[Array, Array]:
    """Points s on a new leading axis, and their probabilities: E f(s) = Σ probability·f(s)."""
    upper, lower = jnp.broadcast_arrays(*as_floats(upper, lower))
    s, density = saddle_nodes(upper, lower)
    return s, density / jnp.sum(density, axis=0, keepdims=True)


# Divergence.


def saddle_divergence(upper: Array, lower: Array, q_upper: Array, q_lower: Array, shift: Array) -> Array:
    """KL from the density at (upper, lower) to that at (q_upper, q_lower) moved by −shift, to full relative accuracy as q → p.

    With ℓ = log q/p but for a constant, centred so that E_p ℓ = 0, KL = log E_p exp ℓ = log(1 + E_p D(ℓ)). Where the two
    are far apart it is −E_p ℓ + log J_q − log J_p instead.
    """
    upper, lower, q_upper, q_lower, shift = jnp.broadcast_arrays(upper, lower, q_upper, q_lower, shift)
    s, probability = saddle_probabilities(upper, lower)
    p, q, move = (upper[None], lower[None]), (q_upper[None], q_lower[None]), shift[None]

    def mean(f: Array) -> Array:
        return jnp.sum(jnp.where(probability == 0, 0.0, probability * f), axis=0, keepdims=True)

    bounded = jnp.clip(s, -80.0, 80.0)  # beyond, exponentials overflow and probabilities are 0
    small = jnp.abs(move) < 1.0
    d = jnp.where(small, move, 0.0)
    right = q[0] * (jnp.exp(bounded) * expm1_minus(d) + d * jnp.expm1(bounded))
    left = q[1] * (jnp.exp(-bounded) * expm1_minus(-d) - d * jnp.expm1(-bounded))
    change = (q[0] - p[0]) * expm1_minus(bounded) + (q[1] - p[1]) * expm1_minus(-bounded)
    log_r = -(change + right + left)
    log_r = jnp.minimum(log_r - mean(log_r), 60.0)
    near = small & (mean(log_r**2) < 0.3)
    close = jnp.log1p(mean(expm1_minus(jnp.where(near, log_r, 0.0))))

    energy = mean(saddle_exponent(s + jnp.where(near, 0.0, move), *q) - saddle_exponent(s, *p))
    far = energy[0] + (log_saddle_integral(q_upper, q_lower) - log_saddle_integral(upper, lower))
    return jnp.where(near[0], close[0], far)


# Distribution function.


def log_saddle_tails(s: Array, upper: Array, lower: Array) -> tuple[Array, Array]:
    """(log cdf, log sf): the tail on the side of s directly, the other as its complement."""
    s, upper, lower = jnp.broadcast_arrays(*as_floats(s, upper, lower))
    left = s < 0
    tail = log_saddle_tail(jnp.where(left, lower, upper), jnp.where(left, upper, lower), jnp.where(left, -s, s))
    tail = tail - log_saddle_integral(upper, lower)
    # A tail that rounds to 1 leaves nothing to the other side.
    other = log1mexp(-jnp.minimum(tail, -float(jnp.finfo(s.dtype).tiny)))
    return jnp.where(left, tail, other), jnp.where(left, other, tail)


def _tail_slope(log_p: Array, log_q: Array, upper: Array, lower: Array, index: int) -> Array:
    """Derivative at the quantile of the smaller log-tail in s, upper or lower."""
    arguments = saddle_quantile(log_p, log_q, upper, lower), upper, lower
    is_lower = log_p < log_q

    def tail(v: Array) -> Array:
        tails = log_saddle_tails(*(v if i == index else argument for i, argument in enumerate(arguments)))
        return jnp.where(is_lower, *tails)

    return jax.jvp(tail, (arguments[index],), (jnp.ones_like(arguments[index]),))[1]


def _slope_in_tail(log_p: Array, log_q: Array, upper: Array, lower: Array, is_lower: bool) -> Array:
    return jnp.where((log_p < log_q) == is_lower, 1.0 / _tail_slope(log_p, log_q, upper, lower, 0), 0.0)


def _slope_in_parameter(log_p: Array, log_q: Array, upper: Array, lower: Array, index: int) -> Array:
    in_s, in_parameter = (_tail_slope(log_p, log_q, upper, lower, i) for i in (0, index))
    return -in_parameter / in_s


@with_derivatives(
    lambda p, q, upper, lower: _slope_in_tail(p, q, upper, lower, is_lower=True),
    lambda p, q, upper, lower: _slope_in_tail(p, q, upper, lower, is_lower=False),
    lambda p, q, upper, lower: _slope_in_parameter(p, q, upper, lower, index=1),
    lambda p, q, upper, lower: _slope_in_parameter(p, q, upper, lower, index=2),
)
def saddle_quantile(log_p: Array, log_q: Array, upper: Array, lower: Array) -> Array:
    """The s with log cdf = log_p and log sf = log_q; the smaller of the two is solved for, by Newton's method.

    Log-tails of a log-concave density are concave, so that Newton's steps overshoot at most once.
    """
    log_p, log_q, upper, lower = jnp.broadcast_arrays(log_p, log_q, upper, lower)
    is_lower = log_p < log_q
    sign, target = jnp.where(is_lower, 1.0, -1.0), jnp.where(is_lower, log_p, log_q)
    level = log_saddle_integral(upper, lower)

    def excess(s: Array) -> tuple[Array, Array]:
        tail = jnp.where(is_lower, *log_saddle_tails(s, upper, lower))
        return sign * (tail - target), jnp.exp(-saddle_exponent(s, upper, lower) - level - tail)

    end = 2.0 * math.log(float(jnp.finfo(log_p.dtype).max))
    return newton(excess, jnp.zeros_like(level), -end, end)[0]


# Draws.


def draw_saddle(key: Array, upper: Array, lower: Array, shape: tuple[int, ...]) -> Array:
    """Draws by rejection (Devroye 2014, Statistics and Computing 24, 239-246): uniform between two points at which the density is
    1/e of its greatest, exponential tails along the tangents there. At least half of the proposals are accepted.
    """
    upper, lower = jnp.broadcast_arrays(*as_floats(upper, lower))

    def touch(a: Array, b: Array) -> tuple[Array, Array, Array]:
        """t > 0 with exponent 1, or nearly, and exponent and slope there: Newton's method from the right."""

        def at(t: Array) -> tuple[Array, Array]:
            return saddle_exponent(t, a, b), a * jnp.expm1(t) - b * jnp.expm1(-t)

        def step(_: Any, t: Array) -> Array:
            exponent, slope = at(t)
            return t + (1.0 - exponent) / slope

        t = lax.fori_loop(0, 12, step, jnp.log1p(2.0 / a) + jnp.minimum(jnp.sqrt(2.0 / (a + b)), 1.0))
        return t, *at(t)

    (t, height_r, slope_r), (u, height_l, slope_l) = touch(upper, lower), touch(lower, upper)
    right, left = t - height_r / slope_r, u - height_l / slope_l  # where the tangents reach the top
    middle, total = right + left, right + left + 1.0 / slope_r + 1.0 / slope_l

    def propose(state: Any) -> Any:
        key, s, waiting = state
        key, key_side, key_place, key_accept = jax.random.split(key, 4)
        side = total * jax.random.uniform(key_side, shape, s.dtype)
        place = 1.0 - jax.random.uniform(key_place, shape, s.dtype)
        beyond = -jnp.log(place)
        in_middle, to_right = side < middle, side < middle + 1.0 / slope_r
        candidate = jnp.where(
            in_middle, right - middle * place, jnp.where(to_right, right + beyond / slope_r, -left - beyond / slope_l)
        )
        hat = jnp.where(in_middle, 0.0, beyond)
        accepted = jnp.log(1.0 - jax.random.uniform(key_accept, shape, s.dtype)) <= hat - saddle_exponent(
            candidate, upper, lower
        )
        return key, jnp.where(waiting & accepted, candidate, s), waiting & ~accepted

    start = key, jnp.zeros(shape, upper.dtype), jnp.broadcast_to((upper > 0) & (lower > 0), shape)
    drawn = lax.while_loop(lambda state: jnp.any(state[2]), propose, start)[1]
    return jnp.where((upper > 0) & (lower > 0), drawn, jnp.nan)


# Maximum likelihood.


def _profile(upper: Array, lower: Array, log_gap: Array, reciprocal_gap: Array) -> tuple[Array, ...]:
    """Best log-scale where the mean of x is 1; mean surprise but for a constant; Newton's step in (log α, log β).

    Steps are Fisher's: the Hessian at the maximum, and positive definite everywhere.
    """
    # β (1 + gap) m² + (α − β) m − α = 0
    lead, root = upper - lower, jnp.sqrt((upper - lower) ** 2 + 4.0 * upper * lower * (1.0 + reciprocal_gap))
    scale = jnp.where(
        lead > 0, 2.0 * upper / (jnp.abs(lead) + root), (jnp.abs(lead) + root) / (2.0 * lower * (1.0 + reciprocal_gap))
    )
    log_scale = jnp.log(scale)
    of_upper = expm1_minus(-log_scale) + log_gap  # mean D(log x/m)
    of_lower = expm1_minus(log_scale) + (scale * reciprocal_gap - log_gap)  # mean D(log m/x)
    s, density = saddle_nodes(upper, lower)
    total = jnp.sum(density, axis=0)
    surprise = jnp.log(total) + upper * of_upper + lower * of_lower

    probability = density / total[None]
    s = jnp.where(probability > 0, s, 0.0)
    a, b = upper[None], lower[None]
    scores = a * expm1_minus(s), b * expm1_minus(-s), a * jnp.expm1(s) - b * jnp.expm1(-s)
    means = [jnp.sum(probability * f, axis=0) for f in scores[:2]]
    centred = scores[0] - means[0][None], scores[1] - means[1][None], scores[2]
    aa, bb, cc, ab, ac, bc = (
        jnp.sum(probability * centred[i] * centred[j], axis=0)
        for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
    )
    aa, bb, ab = aa - ac * ac / cc, bb - bc * bc / cc, ab - ac * bc / cc
    up, down = means[0] - upper * of_upper, means[1] - lower * of_lower
    determinant = aa * bb - ab * ab
    step = (bb * up - ab * down) / determinant, (aa * down - ab * up) / determinant
    longest = jnp.maximum(jnp.abs(step[0]), jnp.abs(step[1]))
    shrink = jnp.minimum(1.0, 1.5 / longest)
    return log_scale, surprise, step[0] * shrink, step[1] * shrink


def fit_saddle(log_gap: Array, reciprocal_gap: Array) -> tuple[Array, ...]:
    """(upper, lower, log of scale over mean, lower is 0, upper is 0, converged) at the maximum of the likelihood.

    `log_gap` is log(mean x) − mean log x and `reciprocal_gap` is (mean x)(mean 1/x) − 1. Data with heavier reciprocals than their
    best gamma distribution have no maximum at lower > 0, and data of a greater mean than their best inverse gamma distribution
    none at upper > 0; the limits are returned. Otherwise there is one (the family is exponential), found by damped Newton steps.
    """
    log_gap, reciprocal_gap = jnp.broadcast_arrays(*as_floats(log_gap, reciprocal_gap))
    proper = (log_gap > 0) & (reciprocal_gap > 0)
    log_gap, reciprocal_gap = jnp.where(proper, log_gap, 0.25), jnp.where(proper, reciprocal_gap, 0.5)
    other_gap = jnp.log1p(reciprocal_gap) - log_gap
    gamma_shape, inverse_shape = inverse_log_minus_digamma(log_gap), inverse_log_minus_digamma(other_gap)
    is_gamma = reciprocal_gap * (gamma_shape - 1.0) >= 1.0
    is_inverse = ~is_gamma & (reciprocal_gap * (inverse_shape - 1.0) >= 1.0)
    inside = ~is_gamma & ~is_inverse

    # Between the gamma and the inverse gamma distribution with the same gap of the reciprocal.
    total = 1.0 + 1.0 / reciprocal_gap
    least = log_minus_digamma(total)
    share = jnp.clip((log_gap - least) / (jnp.log1p(reciprocal_gap) - 2.0 * least), 0.02, 0.98)
    tolerance, slack = by_dtype(log_gap, 1e-3, 1e-7), 8.0 * float(jnp.finfo(log_gap.dtype).eps)

    def unfinished(state: Any) -> Array:
        i, *_, done = state
        return (i < 100) & ~jnp.all(done)

    def improve(state: Any) -> Any:
        i, point, log_scale, surprise, step, rate, done = state
        target = [v + rate * dv for v, dv in zip(point, step)]
        new_scale, new_surprise, *new_step = _profile(jnp.exp(target[0]), jnp.exp(target[1]), log_gap, reciprocal_gap)
        better = (new_surprise <= surprise + slack * (1.0 + jnp.abs(surprise))) & ~done
        length = jnp.maximum(jnp.abs(step[0]), jnp.abs(step[1]))
        done = done | (better & (i > 0) & (rate == 1.0) & (length < tolerance)) | (rate < 1e-4)

        def moved(new: Array, old: Array) -> Array:
            return jnp.where(better, new, old)

        point, step = list(map(moved, target, point)), list(map(moved, new_step, step))
        rate = jnp.where(better, jnp.minimum(1.0, 4.0 * rate), 0.25 * rate)
        return i + 1, point, moved(new_scale, log_scale), moved(new_surprise, surprise), step, rate, done

    nothing = jnp.zeros_like(total)
    start = [jnp.log(total * (1.0 - share)), jnp.log(total * share)]
    state = jnp.zeros((), jnp.int32), start, nothing, nothing + jnp.inf, [nothing, nothing], nothing + 1.0, ~inside
    _, point, log_scale, _, step, _, done = stop_gradient(lax.while_loop(unfinished, improve, state))
    upper, lower = map(jnp.exp, point)
    upper = jnp.where(is_gamma, gamma_shape, jnp.where(is_inverse, 0.0, upper))
    lower = jnp.where(is_gamma, 0.0, jnp.where(is_inverse, inverse_shape, lower))
    # Of a gamma variable the scale is the mean; of an inverse gamma variable the harmonic mean.
    log_scale = jnp.where(is_gamma, 0.0, jnp.where(is_inverse, -jnp.log1p(reciprocal_gap), log_scale))
    converged = done & (jnp.maximum(jnp.abs(step[0]), jnp.abs(step[1])) < 1e3 * tolerance)
    upper, lower, log_scale = (jnp.where(proper, v, jnp.nan) for v in (upper, lower, log_scale))
    return upper, lower, log_scale, is_gamma, is_inverse, converged
