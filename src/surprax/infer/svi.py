"""Variational inference: the normal distribution with the least divergence from the posterior, in the coordinates of the mode.

In these coordinates (`nuts.Frame`) the posterior is about a unit wide, so that one rate of Adam does for all models.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpyro.optim import Adam

from surprax.infer.approximation import Approximation
from surprax.infer.modes import LARGEST_NEWTON
from surprax.infer.nuts import energy_in_frame, frame_of
from surprax.infer.progress import Bar
from surprax.numerics.compilation import kept

__all__ = ["ROUNDS", "STEPS", "svi"]

STEPS = 1_000
"""Steps of a round, over which the rate of Adam falls from 0.05 to 0.001."""
ROUNDS = 5
"""Rounds after which it is given up."""
_PAIRS = 8
"""Pairs of opposite draws for each step: what is odd about the energy cancels."""


def svi(model: Callable[[], Any], key: Array, bar: Bar) -> Approximation:
    """q = N(m, C Cᵀ) of the coordinates w that minimises KL(q ‖ posterior) = E_q U(w) − log |C| + constant.

    By stochastic gradients; C is lower triangular for up to 200 free numbers, else diagonal.
    """
    frame = frame_of(model)
    energy, size = frame.energy, len(frame.centre)
    full = size <= LARGEST_NEWTON
    place = frame.place()
    with energy.scope():
        pure = energy.pure
        program = kept(("svi", energy.fingerprint, full, frame.factor.ndim), lambda: _round(pure))
        q = (jnp.zeros(size), jnp.eye(size) if full else jnp.ones(size))
        settled = False
        for round_key in jax.random.split(key, ROUNDS):
            q, losses = program(q, round_key, place, energy.constants)
            settled = has_settled(np.asarray(losses, np.float64))
            bar.advance(STEPS)
            if settled:
                break
    m, c = (np.asarray(part, np.float64) for part in q)

    def draw(key: Array, n: int) -> tuple[np.ndarray, np.ndarray]:
        noise = np.asarray(jax.random.normal(key, (n, size)), np.float64)
        return frame.z(m + (noise @ np.tril(c).T if full else noise * c)), -0.5 * np.sum(noise**2, axis=1)

    troubles = []
    if not settled:
        troubles.append(
            f"Variational inference has not settled in {STEPS * ROUNDS:,} steps: its bound still moves. Rescale the model, or"
            ' use method="nuts".'
        )
    return Approximation(energy, draw, "variational approximation", troubles)


def _round(pure: Callable[..., Any]) -> Any:
    """A program for the steps of one round: from q and a key to q and the bound at each step."""
    optimiser = Adam(lambda step: 0.05 * 0.02 ** (step / STEPS))

    def run(q: Any, key: Array, place: Any, constants: Any) -> Any:
        energy = energy_in_frame(pure, place, constants)

        def loss(q: Any, key: Array) -> Array:
            m, c = q
            noise = jax.random.normal(key, (_PAIRS, len(m)), m.dtype)
            noise = jnp.concatenate([noise, -noise])
            w = m[None] + (noise @ jnp.tril(c).T if c.ndim == 2 else noise * c[None])
            volume = jnp.sum(jnp.log(jnp.abs(jnp.diagonal(c) if c.ndim == 2 else c)))
            return jnp.mean(jax.vmap(energy)(w)) - volume

        def step(state: Any, key: Array) -> Any:
            value, slope = jax.value_and_grad(loss)(optimiser.get_params(state), key)
            # A draw of no probability tells no direction.
            slope = jax.tree.map(lambda part: jnp.where(jnp.isfinite(part), part, 0.0), slope)
            return optimiser.update(slope, state), value

        state, losses = jax.lax.scan(step, optimiser.init(q), jax.random.split(key, STEPS))
        return optimiser.get_params(state), losses

    return jax.jit(run)


def has_settled(losses: np.ndarray) -> bool:
    """Whether the last fifth of a trace is no lower than the fifth before it, by more than noise explains.

    >>> has_settled(np.exp(-np.arange(100.0))), has_settled(-np.arange(100.0))
    (True, False)
    """
    fifth = max(2, len(losses) // 5)
    before, last = losses[-2 * fifth : -fifth], losses[-fifth:]
    if not np.all(np.isfinite(losses[-2 * fifth :])):
        return False
    noise = np.sqrt((np.var(before) + np.var(last)) / fifth)
    return bool(before.mean() - last.mean() <= 4.0 * noise + 0.01)
