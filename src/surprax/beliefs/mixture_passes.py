"""Passes over the rows of a mixture: what an expectation step needs of them, added up block by block.

The log-density of an exponential family is linear in the features of a row, F(x) = (1, y − c, D(y‖c)): the carrier y of its
evidence and the divergences that make its gaps (`surprax.evidence.layout`), both from one centre c. So the densities of all
components are one product of matrices; and so are the sums that the maximisation step needs,

    S = Σᵢ wᵢ rᵢ F(xᵢ)ᵀ,      Nₖ = Sₖ₀,      meanₖ = c + Sₖ₁/Nₖ,      gapsₖ = Sₖ₂/Nₖ − D(meanₖ‖c).

No function of a row and a component is left but one exponential, and nothing of that size is written to memory. What is lost
to rounding is about 1e-16 times the log-density that a component has at the centre, relative to its own mean: the *strain*. Where
that is large (components that are narrow beside their distance), a climb stops and is taken over by one that asks each family.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence import Moments
from surprax.evidence.layout import SCATTER
from surprax.families.batches import map_parameters
from surprax.families.scores import direct_log_likelihood

__all__ = [
    "BLOCK",
    "CONVERGED",
    "FELL",
    "LIMIT",
    "ROUNDING",
    "STRAINED",
    "Climb",
    "climb",
    "in_batch",
    "joint",
    "predicted_rest",
    "proper",
]

BLOCK = 1 << 12
"""Rows at a time: features and shares of so many stay in the cache."""

LARGEST_STRAIN = 1e7
"""Log-densities are then right to 1e-9 nats."""

ROUNDING = 1e-13
"""What a gain must exceed, relative to the sum or to 1 nat per row, to be one."""

GOING, CONVERGED, LIMIT, FELL, STRAINED = range(-1, 4)


class Climb(NamedTuple):
    """A climb of the likelihood.

    Attributes:
        log_weights, components: where it ended.
        trace: total log-likelihoods that were kept, then NaN.
        steps: how many steps led there.
        status: one of the constants above.
    """

    log_weights: Array
    components: Any
    trace: Array
    steps: Array
    status: Array


class _State(NamedTuple):
    step: Array
    kept: Array  # number of entries of the trace
    trace: Array
    log_weights: Array  # to be surveyed next
    components: Any
    good: Array  # whether these are proper
    best: tuple[Any, Any]  # of the last entry of the trace
    sums: Array  # (3, k, F): those of the last three surveys, the newest first
    phase: Array  # how many plain steps led here from a start or an extrapolation
    ahead: Array  # whether what is surveyed next was extrapolated
    status: Array


@functools.partial(jax.jit, static_argnames=("family", "longest", "accelerate"))
def climb(
    family: Any,
    log_weights: Array,
    components: Any,
    x: Array,
    weights: Array,
    centre: Array,
    known: Any,
    limit: Array,
    tolerance: Array,
    *,
    longest: int,
    accelerate: bool = True,
) -> Climb:
    """Expectation and maximisation in turn, at most `limit` ≤ `longest` times, for a family with moments; in float64.

    Steps are extrapolated three by three where that helps (SQUAREM: Varadhan & Roland 2008), in the space of the sums S, where
    a maximisation starts; one that does not raise the likelihood is forgotten, so that it never falls.

    Args:
        x, weights: rows (n,) + event, n a multiple of `BLOCK` or below it; weight 0 for padding.
        centre: of the features: about the mean of the carrier.
        tolerance: stop when what is left to gain is predicted to be less, in nats in total.
    """
    k = log_weights.shape[0]
    blocked = _in_blocks(x, weights)
    layout = family.layout
    base, rows = _base(family, x, weights, known), jnp.sum(weights)

    def maximise(sums: Array) -> tuple[Array, Any, Array]:
        """Weights and components at the maximum, and whether they are proper."""
        count, evidence = sums[:, 0], _moments(family, layout, sums, centre, known)
        fit, outcome = family._fit_moments(evidence)
        fit = in_batch(fit, k)
        good = proper(fit, k) & (outcome.code == 0) & (count > 0)
        return jnp.log(count) - jnp.log(jnp.sum(count)), fit, jnp.all(good)

    def survey(s: _State) -> tuple[Array, Array, Array]:
        """Total log-likelihood, sums, and the strain."""
        coefficients = _affine(family, s.components, centre, known)
        total, sums = _pass(layout, blocked, centre, known, coefficients.at[:, 0].add(s.log_weights))
        evidence = _moments(family, layout, sums, centre, known)
        own = _heights(family, s.components, evidence.mean, jnp.zeros_like(evidence.gaps), known)
        strain = jnp.max(jnp.abs(coefficients[:, 0] - own))
        return total + base, sums, strain

    def advance(s: _State) -> _State:
        total, newest, strain = survey(s)
        last = jnp.where(s.kept > 0, s.trace[jnp.maximum(s.kept - 1, 0)], -jnp.inf)
        noise = ROUNDING * (rows + jnp.abs(total)) + 1e-16 * strain * rows
        usable = jnp.isfinite(total) & (strain <= LARGEST_STRAIN) & s.good
        up = usable & (total >= last - noise)
        retreat = s.ahead & ~up  # from where an extrapolation led
        trace = jnp.where(up, s.trace.at[s.kept].set(jnp.maximum(total, last)), s.trace)
        kept = s.kept + up
        best = jax.tree.map(lambda new, old: jnp.where(up, new, old), (s.log_weights, s.components), s.best)
        sums = jnp.where(retreat, s.sums, jnp.concatenate([newest[None], s.sums[:2]]))
        phase = jnp.where(s.ahead, 0, s.phase + 1)
        # Two plain steps in a row tell how fast the gains shrink, and what is left of them.
        gain, before = (trace[jnp.maximum(kept - i, 1)] - trace[jnp.maximum(kept - i - 1, 0)] for i in (1, 2))
        settled = up & (phase >= 2) & ((predicted_rest(gain, before) <= tolerance) | (gain <= noise))

        ahead = up & (phase >= 2) & accelerate
        log_weights, fit, good = maximise(jnp.where(ahead, _extrapolated(sums), sums[0]))
        over = s.step >= limit
        status = jnp.select(
            [settled, over & (up | retreat), retreat, ~usable, ~up],
            [CONVERGED, LIMIT, GOING, STRAINED, FELL],
            GOING,
        ).astype(jnp.int32)
        return _State(s.step + 1, kept, trace, log_weights, fit, good, best, sums, phase, ahead, status)

    width = jax.eval_shape(lambda r: _features(layout, r, centre, known), blocked[0][0]).shape[-1]
    zero, below = jnp.zeros((), jnp.int32), jnp.full((), -1, jnp.int32)
    trace, sums = jnp.full(longest + 2, jnp.nan), jnp.zeros((3, k, width))
    at = (log_weights, components)
    start = _State(zero, zero, trace, *at, jnp.asarray(True), at, sums, below, jnp.asarray(False), below)
    end = jax.lax.while_loop(lambda s: s.status == GOING, advance, start)
    return Climb(*end.best, end.trace, jnp.maximum(end.step - 1, 0), end.status)


def predicted_rest(gain: Any, before: Any) -> Any:
    """What is left to gain, if gains go on to shrink by the same ratio: Aitken's prediction, or the last gain if that is more.

    (The first step from a bad start gains so much that any second one would seem to be the last.)
    """
    shrinking = gain < before
    rest = jnp.where(shrinking, gain * gain / jnp.where(shrinking, before - gain, 1.0), jnp.inf)
    return jnp.maximum(rest, gain)


def _extrapolated(sums: Array) -> Array:
    """S₀ − 2αr + α²v with r = S₁ − S₀, v = S₂ − 2S₁ + S₀ and α = −‖r‖/‖v‖ ≤ −1, each feature in its own units."""
    newest, middle, oldest = sums
    size = jnp.max(jnp.abs(sums), axis=(0, 1))
    unit = jnp.where(size > 0, size, 1.0)[None]
    r, v = (middle - oldest) / unit, (newest - 2.0 * middle + oldest) / unit
    norm = jnp.sqrt(jnp.sum(v * v))
    alpha = -jnp.maximum(jnp.sqrt(jnp.sum(r * r)) / jnp.where(norm > 0, norm, 1.0), 1.0)
    return oldest + (alpha * alpha * v - 2.0 * alpha * r) * unit


# Features -------------------------------------------------------------------------------------------------------------


def _features(layout: Any, x: Array, centre: Array, known: Any) -> Array:
    """F(x), shape (rows, features)."""
    y = layout.carrier.given(known).of(x.astype(jnp.float64))
    if not layout.rank:
        return jnp.concatenate(
            [jnp.ones((len(y), 1)), (y - centre)[:, None], layout.divergences(y, jnp.broadcast_to(centre, y.shape))],
            axis=1,
        )
    away = y - centre[None]
    i, j = np.tril_indices(y.shape[-1])
    gaps = [
        away[:, i] * away[:, j] if gap is SCATTER else gap.divergence(y, jnp.broadcast_to(centre[None], y.shape))
        for gap in layout.gaps
    ]
    return jnp.concatenate([jnp.ones((len(y), 1)), away, *gaps], axis=1)


def _moments(family: Any, layout: Any, sums: Array, centre: Array, known: Any) -> Moments:
    """The evidence of each component, from sums of features."""
    count = sums[:, 0]
    means = sums[:, 1:] / jnp.where(count > 0, count, 1.0)[:, None]
    length = centre.shape[0] if layout.rank else 1
    shift = means[:, :length] if layout.rank else means[:, 0]
    about = jnp.broadcast_to(centre, shift.shape)
    mean = about + shift
    gaps = means[:, length:] - layout.divergences(mean, about)
    return Moments(count, mean, gaps, jnp.zeros_like(count), dict(known), family)


def _heights(family: Any, components: Any, mean: Array, gaps: Array, known: Any) -> Array:
    """Mean log-likelihood without log h of each component, of evidence of its own."""
    one = jnp.ones(len(mean))
    return direct_log_likelihood(Moments(one, mean, gaps, jnp.zeros_like(one), dict(known), family), components)


def _affine(family: Any, components: Any, centre: Array, known: Any) -> Array:
    """Log-densities of the components as linear functions of F (k, features), without log h.

    The mean log-likelihood of any evidence is linear in its mean features, so that its value and slopes at the evidence of a row
    at the centre tell all.
    """
    about, gaps = _at_centre(family, components.batch_shape[0], centre)

    def height(mean: Array, gaps: Array) -> tuple[Array, Array]:
        value = _heights(family, components, mean, gaps, known)
        return jnp.sum(value), value

    (slope, slopes), value = jax.grad(height, argnums=(0, 1), has_aux=True)(about, gaps)
    return jnp.concatenate([value[:, None], slope.reshape(len(value), -1), slopes], axis=1)


def _at_centre(family: Any, k: int, centre: Array) -> tuple[Array, Array]:
    about = jnp.broadcast_to(centre, (k, *centre.shape))
    return about, jnp.zeros((k, family.layout.divergences(about, about).shape[-1]))


def _base(family: Any, x: Array, weights: Array, known: Any) -> Array:
    base = family._log_base(x.astype(jnp.float64), dict(known))
    return jnp.zeros(()) if base is None else jnp.sum(jnp.where(weights > 0, weights * base, 0.0))


def _in_blocks(x: Array, weights: Array) -> tuple[Array, Array]:
    size = min(len(x), BLOCK if jax.default_backend() == "cpu" else 32 * BLOCK)
    size = size if len(x) % size == 0 else BLOCK
    return x.reshape(-1, size, *x.shape[1:]), weights.reshape(-1, size)


def _pass(
    layout: Any, blocked: tuple[Array, Array], centre: Array, known: Any, coefficients: Array
) -> tuple[Array, Array]:
    """Total log-likelihood without log h, and S (k, features)."""

    def add(so_far: tuple[Array, Array], block: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        features = _features(layout, block[0], centre, known)
        heights = jnp.einsum("kf,nf->kn", coefficients, features, precision="highest")
        top = jnp.max(heights, axis=0, keepdims=True)
        shares = jnp.exp(heights - top)
        total = jnp.sum(shares, axis=0, keepdims=True)
        sums = jnp.einsum("kn,nf->kf", shares * (block[1][None] / total), features, precision="highest")
        return (so_far[0] + jnp.sum(block[1] * (top + jnp.log(total))[0]), so_far[1] + sums), None

    start = (jnp.zeros(()), jnp.zeros_like(coefficients))
    return jax.lax.scan(add, start, blocked)[0]


# Components -----------------------------------------------------------------------------------------------------------


def in_batch(d: Any, k: int) -> Any:
    """The distribution with every parameter in its full shape, (k,) + event."""

    def wide(leaf: Any, meta: Any) -> Any:
        xp = jnp if isinstance(leaf, jax.Array) else np
        leaf = xp.asarray(leaf)
        return xp.broadcast_to(leaf, (k, *leaf.shape[leaf.ndim - meta["event_dim"] :]))

    return map_parameters(wide, d)


def proper(d: Any, k: int) -> Any:
    """For each of k distributions, whether all its parameters are in their domains."""
    good: Any = np.ones(k, bool)

    def check(leaf: Any, meta: Any) -> Any:
        nonlocal good
        good = good & meta["constraint"].holds(leaf).reshape(k, -1).all(axis=1)
        return leaf

    map_parameters(check, d)
    return good


def joint(log_weights: Any, components: Any, x: Any) -> Array:
    """log(wⱼ pⱼ(x)) of each row and component, (n, k); −∞ where either is 0."""
    log_prob = components.log_prob(jnp.expand_dims(x, 1))
    return log_weights[None] + log_prob
