"""Climbs by Optax: L-BFGS with a zoom line search, or any optimiser of its own, on all rows or on some at a time."""

import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from surprax.estimate.problem import LARGEST_NEWTON, Problem
from surprax.estimate.report import Report, certify
from surprax.numerics.precision import float64_scope
from surprax.progress import PATIENCE, progress_bar

__all__ = ["climb"]

AT_ONCE = 100
"""Iterations between looks at the clock."""

USUAL = 500
"""Iterations of L-BFGS, at most, unless asked otherwise."""


def climb(
    problem: Problem,
    z: np.ndarray,
    *,
    optimizer: Any = None,
    steps: int | None = None,
    batch_size: int | None = None,
    key: Any = None,
    progress: bool | None = None,
) -> tuple[np.ndarray, float, np.ndarray | None, Report]:
    """From z up: where it ended, the total surprise there, its Hessian (None where there are too many numbers) and the report."""
    began = time.perf_counter()
    if optimizer is None:
        z, iterations = _lbfgs(problem, z, steps or USUAL, progress)
        method = "L-BFGS"
    else:
        z, iterations = _by_optimizer(problem, z, optimizer, steps or USUAL, batch_size, key, progress)
        method = "an Optax optimiser"
    if problem.size > LARGEST_NEWTON:
        value, gradient = problem.value_and_slope(z)
        reason = "" if np.max(np.abs(gradient)) < 1e-4 * (1.0 + abs(value)) ** 0.5 else "the gradient does not vanish"
        seconds = time.perf_counter() - began
        largest = float(np.max(np.abs(gradient)))
        return z, value, None, Report(method, iterations, seconds, largest, np.nan, np.nan, (), reason)
    if batch_size is None and optimizer is None:
        end = problem.polished(z)
        z, iterations = end.position, iterations + end.steps
        value, gradient, curvature = end.value, end.gradient, end.curvature
        method += " and Newton's method"
    else:
        value, gradient, curvature = problem.derivatives(z)
    slopes = problem.theta(z)[1]
    seconds = time.perf_counter() - began
    coordinates = problem.coordinates
    report = certify(
        method, iterations, seconds, value, gradient, curvature, slopes, coordinates.labels, coordinates.at_borders(z)
    )
    return z, value, curvature, report


def _lbfgs(problem: Problem, z: np.ndarray, most: int, progress: bool | None) -> tuple[np.ndarray, int]:
    """Until steps gain nothing to speak of."""
    if not len(z):
        return z, 0
    begin, go_on, end = _lbfgs_parts(problem)
    with float64_scope(), progress_bar(f"{problem.title}: L-BFGS", progress, PATIENCE) as advance:
        carry, done = begin(jnp.asarray(z)), 0
        while done < most:
            until = min(done + AT_ONCE, most)
            carry = go_on(carry, problem.data, until)
            done = int(carry[2])
            advance(done / most, f", surprise {float(carry[3]):.6g} nat")
            if done < until:
                break
        return np.asarray(end(carry, problem.data)), done


def _lbfgs_parts(problem: Problem) -> tuple[Any, Any, Any]:
    """What begins a climb, goes on with it up to a number of iterations, and takes the best point of all."""
    solver = optax.lbfgs(memory_size=20)

    def begin(z: Any) -> Any:
        infinite = jnp.asarray(jnp.inf, z.dtype)
        return z, solver.init(z), jnp.asarray(0), infinite, infinite, (z, infinite)

    @jax.jit
    def go_on(carry: Any, data: Any, until: Any) -> Any:
        surprise = functools.partial(problem.surprise, data=data)
        value_and_grad = optax.value_and_grad_from_state(surprise)

        def step(carry: Any) -> Any:
            z, state, count, before, _, best = carry
            value, gradient = value_and_grad(z, state=state)
            updates, state = solver.update(gradient, state, z, value=value, grad=gradient, value_fn=surprise)
            better = value < best[1]
            best = jnp.where(better, z, best[0]), jnp.where(better, value, best[1])
            return optax.apply_updates(z, updates), state, count + 1, value, before - value, best

        def going(carry: Any) -> Any:
            _, _, count, value, gain, _ = carry
            small = (count > 2) & (jnp.abs(gain) <= 1e-12 * (1.0 + jnp.abs(value)))
            return (count < until) & ~small & jnp.isfinite(jnp.where(count > 0, value, 0.0))

        return jax.lax.while_loop(going, step, carry)

    @jax.jit
    def end(carry: Any, data: Any) -> Any:
        z, *_, best = carry
        return jnp.where(problem.surprise(z, data) <= best[1], z, best[0])

    return begin, go_on, end


def _by_optimizer(
    problem: Problem,
    z: np.ndarray,
    optimizer: Any,
    steps: int,
    batch_size: int | None,
    key: Any,
    progress: bool | None,
) -> tuple[np.ndarray, int]:
    """`steps` steps of any Optax optimiser; with `batch_size`, each on rows drawn by `key`, their log-likelihood scaled up."""
    rows = batch = 0
    if batch_size is not None:
        if problem.each is None:
            raise ValueError("Minibatches take rows; this log-likelihood is known in total only.")
        if key is None:
            raise ValueError("Minibatches are drawn at random: pass a key, jax.random.key(0).")
        with float64_scope():
            each = jax.eval_shape(lambda z: problem.each(problem.coordinates.values(z), problem.data), jnp.asarray(z))  # type: ignore[misc]
        rows, batch = each.shape[0], batch_size
        if not 1 <= batch_size <= rows:
            raise ValueError(f"A minibatch has from 1 to {rows} rows; got {batch_size}.")
        for leaf in jax.tree.leaves(problem.data):
            if np.ndim(leaf) < 1 or len(leaf) != rows:
                raise ValueError(
                    f"Minibatches take the same rows of all data, {rows} of them; got data of shape {np.shape(leaf)}."
                )

    @jax.jit
    def run(carry: Any, data: Any, key: Any, low: Any, high: Any) -> Any:
        def step(i: Any, carry: Any) -> Any:
            z, state = carry
            part, scale = data, 1.0
            if rows:
                picked = jax.random.randint(jax.random.fold_in(key, i), (batch,), 0, rows)
                part, scale = jax.tree.map(lambda leaf: leaf[picked], data), rows / batch
            value, gradient = jax.value_and_grad(lambda z: scale * problem.surprise(z, part))(z)
            updates, state = optimizer.update(gradient, state, z, value=value, grad=gradient, value_fn=None)
            return optax.apply_updates(z, updates), state

        return jax.lax.fori_loop(low, high, step, carry)

    optimizer = optax.with_extra_args_support(optimizer)
    with float64_scope(), progress_bar(f"{problem.title}: {steps:,} steps", progress, PATIENCE) as advance:
        begin = jnp.asarray(z)
        carry = begin, optimizer.init(begin)
        for low in range(0, steps, AT_ONCE):
            high = min(low + AT_ONCE, steps)
            carry = jax.block_until_ready(run(carry, problem.data, key, low, high))
            advance(high / steps)
        return np.asarray(carry[0]), steps
