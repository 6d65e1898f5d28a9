"""The capacity of a discrete memoryless channel, with a certificate of how near it is."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.information.tables import Table, divergence_terms, in_unit, read, table
from surprax.numerics.elementary import logsumexp
from surprax.numerics.precision import in_float64
from surprax.units import Unit, nats_per

__all__ = ["Capacity", "channel_capacity"]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["capacity", "input_distribution", "gap", "iterations", "converged"],
    meta_fields=["unit"],
)
@dataclass(frozen=True, slots=True)
class Capacity:
    """The capacity of a channel: `capacity` ≤ C ≤ `capacity` + `gap`.

    `capacity` is the mutual information that `input_distribution` attains, and `gap` what no input can surpass less that; both in
    `unit`. `iterations` were made; `converged` says whether the gap came under the tolerance.
    """

    capacity: Any
    input_distribution: Any
    gap: Any
    iterations: Any
    converged: Any
    unit: Unit

    def __str__(self) -> str:
        if np.ndim(self.capacity):
            return (
                f"capacities of {np.size(self.capacity)} channels, in {self.unit}s: {self.capacity} (gaps {self.gap})"
            )
        close = "" if self.converged else ": not converged"
        return f"capacity {self.capacity:.6g} {self.unit}, at most {self.gap:.1e} more ({self.iterations} iterations{close})"


def channel_capacity(
    channel: Any = None,
    unit: Unit = "nat",
    *,
    log_channel: Any = None,
    tolerance: float = 1e-9,
    max_iterations: int = 20_000,
) -> Capacity:
    """The capacity C = max I(X; Y) over input distributions, of a channel with transition probabilities p(y | x).

    With r the input and D(x) = KL(p(· | x) ‖ p(·)), I = Σ r(x) D(x) ≤ C ≤ max D(x): the difference is the duality gap. An
    iteration is r ← r exp(μ D), normalised: with μ = 1 Blahut's and Arimoto's, which never lessens I. Longer steps are tried, and
    kept where they raise I.

    Args:
        channel: p(y | x), the inputs x along the axis before the last and outputs y along the last one, which sums to 1; or a batch
            of beliefs about y, or a list of them, one for each x.
        unit: of the result: "nat", "bit", "ban" or "deciban".
        log_channel: log-weights in nats instead, not necessarily normalised over y.
        tolerance: the gap, in nats, at which to stop. Traced float32 numbers reach about 1e-6.
        max_iterations: the most iterations; where they do not suffice, `gap` says how much is open.

    Returns:
        A `Capacity`, with fields of the shape of the batch; in float64 for concrete numbers. Its derivative is that of I at the
        best input.

    Raises:
        ValueError: for rows that are no distribution, with their index. NaN where traced.

    Source: Blahut (1972), "Computation of channel capacity and rate-distortion functions"; Arimoto (1972); longer steps:
    Matz & Duhamel (2004), "Information geometric formulation and interpretation of accelerated Blahut–Arimoto-type algorithms".

    >>> c = channel_capacity([[0.9, 0.1], [0.1, 0.9]], "bit")  # binary symmetric: 1 − H(0.1)
    >>> print(c.capacity.round(6), c.input_distribution.round(6), bool(c.gap < 1e-8))
    0.531004 [0.5 0.5] True
    """
    given = read(channel, log_channel, name="channel")
    if given.value.ndim < 2:
        raise ValueError(
            f"A channel has an axis of inputs and one of outputs; got an array of shape {given.value.shape}."
        )
    if given.value.shape[-2] == 0:
        raise ValueError("A channel has at least one input; got an axis of length 0.")
    nats_per(unit)
    value, r, gap, steps = _capacity(given.value, np.float64(tolerance), by_log=given.by_log, most=int(max_iterations))
    closed: Any = gap <= tolerance
    return Capacity(in_unit(value, unit), r, in_unit(gap, unit), steps, closed, unit)


@in_float64(static_argnames=("by_log", "most"))
def _capacity(channel: Array, tolerance: Array, *, by_log: bool, most: int) -> tuple[Array, Array, Array, Array]:
    t = table(channel, by_log)
    fixed = Table(jax.lax.stop_gradient(t.p), jax.lax.stop_gradient(t.log), by_log)
    batch = channel.shape[:-2]
    log_r = jnp.full(channel.shape[:-1], -np.log(channel.shape[-2]), channel.dtype)
    divergence = _divergences(fixed, log_r)
    zero = jnp.zeros(batch, channel.dtype)
    start = (log_r, divergence, *_bounds(log_r, divergence), zero + 1.0, jnp.zeros(batch, jnp.int32))

    least = 0.5 * float(np.log(jnp.finfo(channel.dtype).tiny))

    def open_(state: Any) -> Array:
        _, _, low, high, _, steps = state
        return (high - low > tolerance) & (steps < most)

    def step(state: Any) -> Any:
        log_r, divergence, low, high, length, steps = state
        go = open_(state)
        moved = log_r + length[..., None] * (divergence - high[..., None])
        # An input that is given up keeps a trace, so that the outputs that only it reaches stay possible.
        moved = jnp.maximum(moved - logsumexp(moved, axis=-1, keepdims=True), least)
        new = _divergences(fixed, moved)
        new_low, new_high = _bounds(moved, new)
        better = (new_low >= low) | (length <= 1.0)
        keep = go & better
        longer = jnp.where(better, length * 1.5, jnp.maximum(1.0, 0.3 * length))
        kept = (
            jnp.where(keep.reshape(keep.shape + (1,) * (a.ndim - keep.ndim)), a, b)
            for a, b in ((moved, log_r), (new, divergence), (new_low, low), (new_high, high))
        )
        return (*kept, jnp.where(go, longer, length), steps + go.astype(jnp.int32))

    log_r, _, low, high, _, steps = jax.lax.while_loop(lambda s: jnp.any(open_(s)), step, start)
    r = jnp.exp(log_r)
    value = jnp.sum(r * _divergences(t, log_r), axis=-1)
    return value, r, jnp.maximum(high - low, 0.0), steps


def _bounds(log_r: Array, divergence: Array) -> tuple[Array, Array]:
    return jnp.sum(jnp.exp(log_r) * divergence, axis=-1), jnp.max(divergence, axis=-1)


def _divergences(t: Table, log_r: Array) -> Array:
    """KL of each row from the output distribution."""
    r = jnp.exp(log_r)[..., None]
    p = jnp.sum(r * t.p, axis=-2, keepdims=True)
    if t.by_log:
        log = logsumexp(log_r[..., None] + t.log, axis=-2, keepdims=True)
    else:
        zero = p == 0
        log = jnp.where(zero, -jnp.inf, jnp.log(jnp.where(zero, 1.0, p)))
    output = Table(jnp.broadcast_to(p, t.p.shape), jnp.broadcast_to(log, t.p.shape), t.by_log)
    return jnp.sum(divergence_terms(t, output), axis=-1)
