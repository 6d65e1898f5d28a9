"""Certificates: that a rewrite changes nothing, by comparison with the plain model in float64."""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from numpyro import handlers
from numpyro.distributions import biject_to

from surprax.models.detached import detached, views
from surprax.models.reading import as_samplers_start, strict_ranks_off
from surprax.numerics.compilation import SOON_RUN, compiled

__all__ = ["TOLERANCE", "Certificate", "certify"]

TOLERANCE = 1e-6
"""Largest relative disagreement of energies and gradients."""

ALL_ROWS = 200_000
"""Up to this many rows a comparison reads them all; beyond, it takes a part of them."""

PART = 100_000
"""How many rows such a part has."""

DRAWS = 3
"""Random points at which models are compared; one more is near the mode."""

SEARCH = 30
"""Steps of the search for it."""


@dataclass(frozen=True)
class Certificate:
    """What a comparison of two models found.

    Attributes:
        error: largest relative disagreement of energies and gradients, over points and sites.
        errors: the same of each rewritten site.
        points: at how many points.
        rows: how many rows took part, and of how many.
        of_rows: how many there are.
        tolerance: up to which `holds`.
    """

    error: float
    errors: Mapping[str, float] = field(default_factory=dict)
    points: int = 0
    rows: int = 0
    of_rows: int = 0
    tolerance: float = TOLERANCE

    @property
    def holds(self) -> bool:
        """Whether the two agree."""
        return self.error <= self.tolerance

    def __str__(self) -> str:
        part = "all rows" if self.rows == self.of_rows else f"{self.rows:,} of {self.of_rows:,} rows"
        verdict = "" if self.holds else ", which is too much"
        return (
            f"certificate {self.error:.0e}{verdict}: energies and gradients at {self.points} points, {part}, in float64"
        )


def certify(compressed: Any, rewrite: Callable[..., Any]) -> Certificate | None:
    """Compare a compressed model with its original; None where nothing was rewritten.

    `rewrite(model, args, kwargs)` makes another one of a part of the rows, where they are very many.

    The points are draws from the prior, every other one drawn towards the middle, and one near the mode. Energies are compared site
    by site and relative to their size, gradients in the free numbers of the latent sites and relative to the largest.
    """
    original = compressed.original
    rows = max((c.rows for c in compressed.compacts.values()), default=0)
    if not rows:
        return None
    model, args, kwargs = original
    model, (args, kwargs) = detached(model), views((args, kwargs))
    part = _part(args, kwargs, rows) if rows > ALL_ROWS else None
    errors = None if part is None else _errors_of_part(model, *part, compressed, rewrite)
    used = rows if errors is None else PART
    if errors is None:
        errors = _errors(model, args, kwargs, compressed)
    return Certificate(max(errors.values()), errors, DRAWS + 1, used, rows)


def _errors_of_part(
    model: Any, args: Any, kwargs: Any, compressed: Any, rewrite: Callable[..., Any]
) -> dict[str, float] | None:
    """Of a model of some of the rows; None where there is no such model, because it has rows beside those of its arguments."""
    try:
        with strict_ranks_off():
            thinned = rewrite(model, args, kwargs)
        if {n: c.rule for n, c in thinned.compacts.items()} != {n: c.rule for n, c in compressed.compacts.items()}:
            return None
        return _errors(model, args, kwargs, thinned)
    except (ValueError, TypeError, IndexError):
        return None


def _part(args: Any, kwargs: Any, rows: int) -> tuple[Any, Any] | None:
    """Some of the rows of all arguments that have that many; None where none has."""
    chosen = np.sort(np.random.default_rng(0).choice(rows, PART, replace=False))
    found = False

    def taken(leaf: Any) -> Any:
        nonlocal found
        if hasattr(leaf, "shape") and np.ndim(leaf) and leaf.shape[0] == rows:
            found = True
            return np.asarray(leaf)[chosen]
        return PART if isinstance(leaf, int) and not isinstance(leaf, bool) and leaf == rows else leaf

    part = jax.tree.map(taken, (args, kwargs))
    return part if found else None


def _errors(model: Any, args: Any, kwargs: Any, compressed: Any) -> dict[str, float]:
    """Largest relative error by rewritten site."""
    with jax.enable_x64(True), strict_ranks_off(), jax.debug_key_reuse(False):
        try:
            return _compared(model, args, kwargs, compressed)
        except jax.errors.JAXTypeError:
            # NumPyro compares NumPy's data with the ends of a support by NumPy, which takes no tracer.
            args, kwargs = jax.tree.map(lambda v: jnp.asarray(v) if isinstance(v, np.ndarray) else v, (args, kwargs))
            return _compared(model, args, kwargs, compressed)


def _compared(model: Any, args: Any, kwargs: Any, compressed: Any) -> dict[str, float]:
    names = list(compressed.compacts)

    def trace_at(run: Any, a: Any, k: Any, free: Mapping[str, Any]) -> dict[str, Any]:
        """The sites of a model at free numbers of its latent sites."""

        def constrain(site: Any) -> Any:
            if site["type"] == "sample" and not site["is_observed"] and site["name"] in free:
                return biject_to(site["fn"].support)(free[site["name"]])
            return None

        known = handlers.substitute(handlers.seed(run, jax.random.key(0)), substitute_fn=constrain)
        return handlers.trace(known).get_trace(*a, **k)

    def likelihood(run: Any, a: Any, k: Any, free: Any) -> Any:
        """Log-likelihood of each rewritten site, and the gradient of their sum."""

        def summed(free: Any) -> Any:
            trace = trace_at(run, a, k, free)
            each = {name: _log_prob(trace[name]) for name in names}
            return sum(each.values()), each

        (_, each), slope = jax.value_and_grad(summed, has_aux=True)(free)
        return each, slope

    def prior(free: Any) -> Any:
        trace = trace_at(compressed.model, compressed.args, {}, free)
        return sum((_log_prob(trace[name]) for name in free), jnp.zeros(()))

    def compared(free: Any, plainly: Any) -> Any:
        """The plain likelihood (nothing, unless asked for), the compressed one, and the prior."""
        plain = functools.partial(likelihood, model, args, kwargs)
        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(plain, free))
        return (
            jax.lax.cond(plainly, plain, lambda _: nothing, free),
            likelihood(compressed.model, compressed.args, {}, free),
            jax.value_and_grad(prior)(free),
        )

    def draw(key: Any) -> Any:
        seeded = handlers.substitute(handlers.seed(model, key), substitute_fn=as_samplers_start)
        trace = handlers.trace(seeded).get_trace(*args, **kwargs)
        free = {}
        for name, site in trace.items():
            if site["type"] == "sample" and not site["is_observed"] and not site["fn"].is_discrete:
                free[name] = jnp.asarray(biject_to(site["fn"].support).inv(site["value"]))
        return free

    drawing = jax.jit(draw).trace(jax.random.key(0))
    comparing = jax.jit(compared).lower(drawing.out_info, True)
    draw, compared = compiled(drawing.lower(), comparing, options=SOON_RUN)
    drawn = [jax.tree.map(np.asarray, draw(jax.random.key(i))) for i in range(DRAWS)]
    # A prior may reach far out: half of the points are drawn towards the middle.
    points = [jax.tree.map(lambda v: np.clip(0.2 * v, -1.0, 1.0), p) if i % 2 else p for i, p in enumerate(drawn)]
    points.append(_near_the_mode(compared, points[1]))
    worst = dict.fromkeys(names, 0.0)
    for point in points:
        (plain, slope), (fast, other), _ = jax.tree.map(np.asarray, compared(point, True))
        size = max((float(np.max(np.abs(s), initial=0.0)) for s in slope.values()), default=0.0)
        with np.errstate(invalid="ignore"):  # both may be infinite
            apart = max((float(np.max(np.abs(slope[n] - other[n]), initial=0.0)) for n in slope), default=0.0)
        gradient = apart / max(size, 1.0) if math.isfinite(size) else 0.0
        for name in names:
            a, b = float(plain[name]), float(fast[name])
            energy = 0.0 if a == b or not math.isfinite(a) else abs(a - b) / max(abs(a), 1.0)
            worst[name] = max(worst[name], energy, gradient)
            if math.isnan(energy) or math.isnan(gradient):
                worst[name] = math.inf
    return worst


def _near_the_mode(compared: Callable[[Any, bool], Any], start: Any) -> Any:
    """A point about a standard deviation off where the energy of the compressed sites is least, as far as a short search gets."""
    leaves, tree = jax.tree.flatten(start)
    sizes = [leaf.size for leaf in leaves]
    if not sum(sizes):
        return start

    def unravel(z: np.ndarray) -> Any:
        parts = np.split(z, np.cumsum(sizes)[:-1])
        return jax.tree.unflatten(tree, [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves)])

    def ravel(tree: Any) -> np.ndarray:
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])

    def energy(z: np.ndarray) -> tuple[float, np.ndarray]:
        _, (each, slope), (prior, other) = jax.tree.map(np.asarray, compared(unravel(z), False))
        value, gradient = -float(sum(each.values()) + prior), -ravel(slope) - ravel(other)
        return (value, gradient) if math.isfinite(value) and np.all(np.isfinite(gradient)) else (1e300, 0.0 * z)

    found = scipy.optimize.minimize(energy, ravel(start), jac=True, method="L-BFGS-B", options={"maxiter": SEARCH})
    # Where the curvature is H, a step H⁻¹v of this length leads half a nat up.
    v = np.random.default_rng(0).choice([-1.0, 1.0], sum(sizes))
    step = found.hess_inv @ v
    length = float(v @ step)
    return unravel(found.x + step / math.sqrt(length) if length > 0 else found.x)


def _log_prob(site: Mapping[str, Any]) -> Any:
    value = site["fn"].log_prob(site["value"])
    return jnp.sum(value if site["scale"] is None else site["scale"] * value)
