"""Maximum likelihood for any log-density of a pytree of parameters."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surprax.estimate.checks import by_name, finite_numbers, whole_number
from surprax.estimate.climbs import climb
from surprax.estimate.coordinates import Coordinates, Slot
from surprax.estimate.estimate import Estimate
from surprax.estimate.problem import Problem
from surprax.estimate.report import certify
from surprax.estimate.transforms import REAL, domain
from surprax.numerics.precision import float64_scope, is_traced

__all__ = ["NotAMaximumWarning", "maximize", "solved"]


class NotAMaximumWarning(UserWarning):
    """An estimate whose certificate does not hold."""


def maximize(
    log_density: Callable[..., Any],
    init: Any,
    *data: Any,
    bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
    fixed: Mapping[str, Any] | None = None,
    tied: Sequence[Sequence[str]] = (),
    starts: int = 1,
    key: Any = None,
    optimizer: Any = None,
    steps: int | None = None,
    batch_size: int | None = None,
    title: str | None = None,
    progress: bool | None = None,
) -> Estimate:
    """The parameters at which a log-density is greatest, in float64, and all that a fit should say about them.

    Args:
        log_density: f(params, *data), written in terms of `jax.numpy`: the log-likelihood in nats as one number, or as an array
            with one number per row, which is what sandwich covariances, bootstraps and minibatches need.
        init: parameters to start from: a dict of numbers and arrays by name, or any pytree of them.
        data: arrays, or pytrees of them.
        bounds: (low, high) by name of parameter, either of which may be None; the search stays inside.
        fixed: values of parameters that are held, by name.
        tied: groups of names of parameters that have one value.
        starts: how many climbs; those after the first begin at random by `key`, some 2 units around in free numbers. The best is
            returned.
        key: JAX random key, for `starts` and `batch_size`.
        optimizer: an Optax optimiser instead of L-BFGS with a zoom line search and Newton's method after it.
        steps: of the optimiser, at most (L-BFGS: 500).
        batch_size: rows at a time, for an `optimizer`.
        title: what is fitted, for the summary.
        progress: whether long climbs show a bar; None where there is someone to see it.

    Returns:
        An `Estimate`. Where it is no maximum, `converged` is false, and a warning says why.

    Raises:
        ValueError: for a start outside of the bounds, or where the log-density is not a number there.

    >>> x = np.array([1.2, 0.7, 3.1, 2.2, 0.9])
    >>> def model(params, x):
    ...     return -jnp.log(params["scale"]) - x / params["scale"]
    >>> est = maximize(model, {"scale": 1.0}, x, bounds={"scale": (0.0, None)})
    >>> print(f"{est['scale']:.4f} ± {est.standard_errors()['scale']:.4f}")
    1.6200 ± 0.7245
    """
    if is_traced(init, data):
        raise ValueError("A fit is made of known numbers, outside of jit.")
    if not callable(log_density):
        raise ValueError(f"A log-density is a function f(params, *data); got {log_density!r}.")
    leaves, structure = jax.tree_util.tree_flatten_with_path(init)
    if not leaves:
        raise ValueError("There is nothing to fit: init has no parameters.")
    names = [jax.tree_util.keystr(path, simple=True, separator=".") or "x" for path, _ in leaves]
    values = {name: finite_numbers(leaf, f"Starts of {name} are") for name, (_, leaf) in zip(names, leaves)}
    limits = {name: _ends(name, ends) for name, ends in by_name(bounds, "bounds").items()}
    starts = whole_number(starts, 1, "Starts are")
    if unknown := [name for name in limits if name not in values]:
        raise KeyError(f"Parameters are {', '.join(values)}; got bounds for {unknown[0]!r}.")
    slots = [Slot(name, v.shape, domain(*limits[name]) if name in limits else REAL) for name, v in values.items()]
    coordinates = Coordinates(slots, fixed, tied)

    likelihood = _Likelihood(log_density, structure, tuple(names))
    with float64_scope():
        told = jax.eval_shape(
            lambda p: likelihood.of(p, jax.tree.map(jnp.asarray, data)), {n: jnp.asarray(v) for n, v in values.items()}
        )
    if told.ndim > 1:
        raise ValueError(
            f"A log-density is one number, or one per row; this one has shape {told.shape}. Add up what belongs to a row."
        )
    by_row = told.ndim == 1
    problem = Problem(
        title or str(getattr(log_density, "__name__", "log-density")),
        coordinates,
        likelihood.total if by_row else likelihood.of,
        likelihood.of if by_row else None,
        data,
        float(told.shape[0]) if by_row else None,
    )
    start = coordinates.free_numbers(values)
    points = [start]
    if starts > 1:
        if key is None:
            raise ValueError("Further starts are drawn at random: pass a key, jax.random.key(0).")
        noise = jax.random.normal(jax.random.fold_in(key, 1), (starts - 1, coordinates.size))
        points += list(start + 2.0 * np.asarray(noise, np.float64))
    options = {"optimizer": optimizer, "steps": steps, "batch_size": batch_size, "key": key, "progress": progress}
    return best_of(problem, points, **options)


def _ends(name: str, ends: Any) -> tuple[float | None, float | None]:
    try:
        low, high = (None if end is None else float(end) for end in ends)
    except (TypeError, ValueError):
        raise ValueError(
            f"Bounds of {name} are a pair (low, high), either of which may be None; got {ends!r}."
        ) from None
    if low is not None and high is not None and not low < high:
        raise ValueError(f"Bounds of {name} are (low, high) with low < high; got {ends!r}.")
    return low, high


@dataclass(frozen=True, eq=False)
class _Likelihood:
    """A log-density by parameters under their names.

    Attributes:
        log_density: of a pytree of parameters, and data.
        structure: of the pytree.
        names: of its leaves, in order.
    """

    log_density: Callable[..., Any]
    structure: Any
    names: tuple[str, ...]

    def of(self, params: Mapping[str, Any], data: Any) -> Any:
        """As it is: one number, or one for each row."""
        tree = jax.tree_util.tree_unflatten(self.structure, [params[name] for name in self.names])
        return jnp.asarray(self.log_density(tree, *data))

    def total(self, params: Mapping[str, Any], data: Any) -> Any:
        """The sum over rows."""
        return jnp.sum(self.of(params, data))


def best_of(
    problem: Problem,
    points: Sequence[np.ndarray],
    *,
    kind: str = "maximum likelihood",
    **options: Any,
) -> Estimate:
    """The best of climbs from several points, those with a certificate before the others."""
    first = problem.value(points[0])
    if not np.isfinite(first) and len(points) == 1:
        raise ValueError(
            f"The log-density is {-first} at the start, {_told(problem.values(points[0]))}. Start where it is a finite number."
        )
    ends = [climb(problem, z, **options) for z in points]
    z, value, curvature, report = min(
        ends, key=lambda end: (not end[3].converged, end[1] if np.isfinite(end[1]) else np.inf)
    )
    return _warned(Estimate(problem, z, value, curvature, report, kind=kind))


def solved(problem: Problem, z: np.ndarray, *, method: str = "Newton's method", **about: Any) -> Estimate:
    """The estimate near z, which is the maximum or close to it."""
    began = time.perf_counter()
    end = problem.polished(z)
    slopes = problem.theta(end.position)[1]
    seconds = time.perf_counter() - began
    report = certify(
        method,
        end.steps,
        seconds,
        end.value,
        end.gradient,
        end.curvature,
        slopes,
        problem.coordinates.labels,
        problem.coordinates.at_borders(end.position),
    )
    return _warned(Estimate(problem, end.position, end.value, end.curvature, report, **about))


def _warned(estimate: Estimate) -> Estimate:
    if not estimate.converged:
        warnings.warn(f"{estimate.problem.title}: {estimate.report.reason}.", NotAMaximumWarning, stacklevel=3)
    return estimate


def _told(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={np.asarray(v).tolist()}" for name, v in values.items())
