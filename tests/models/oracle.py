"""Log-densities and gradients of NumPyro models in float64, by NumPyro alone: what a rewritten model is judged against."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import biject_to
from numpyro.handlers import seed, substitute, trace
from numpyro.infer.util import compute_log_probs, constrain_fn, potential_energy

type Values = dict[str, Any]
type Model = Callable[..., Any]


class Latent(NamedTuple):
    """Shapes of an unobserved site: of its value, and of the free numbers that the value is a map of (None: it is discrete)."""

    shape: tuple[int, ...]
    free_shape: tuple[int, ...] | None


class Point(NamedTuple):
    """Where a model is evaluated: free numbers for what is continuous, values of the rest (discrete sites, drawn subsets)."""

    free: Values
    fixed: Values


@dataclass(frozen=True)
class Evaluations:
    """A model at several points.

    Args:
        log_densities: at the values of the latent sites, the sum of the terms as in `numpyro.infer.util.log_density`.
        potentials: at their free numbers, by `potential_energy`: the Jacobians of the maps are part of it.
        gradients: of the potentials, by site.
        magnitudes: the largest of the terms, one a site, that the log-density is a sum of, in absolute value.
        program: what was compiled, as text, without what nothing depends on.
    """

    log_densities: np.ndarray
    potentials: np.ndarray
    gradients: list[dict[str, np.ndarray]]
    magnitudes: np.ndarray
    program: str = field(repr=False)

    def disagreements(self, other: "Evaluations", tolerance: float = 1e-6) -> list[str]:
        """Where another model with the same latent sites has another posterior, in words.

        Differences of log-density between points may differ by `tolerance` times one plus the magnitude at either point; so may
        those of potentials. Gradients may differ, for each site, by `tolerance` times one plus the largest entry for that site,
        and by a thousandth of that of the largest entry for any: where rows cancel, what is left is not better known.
        """
        found = []
        for name in ("log_densities", "potentials"):
            mine, yours = getattr(self, name), getattr(other, name)
            for k in range(1, len(mine)):
                scale = 1.0 + max(self.magnitudes[k], self.magnitudes[0])
                error = abs((yours[k] - yours[0]) - (mine[k] - mine[0]))
                if not error <= tolerance * scale:
                    found.append(f"{name}: from point 0 to {k} {mine[k] - mine[0]} has become {yours[k] - yours[0]}")
        for k, (mine, yours) in enumerate(zip(self.gradients, other.gradients)):
            most = max((np.max(np.abs(value), initial=0.0) for value in mine.values()), default=0.0)
            for site, value in mine.items():
                allowed = tolerance * (1.0 + np.max(np.abs(value), initial=0.0) + 1e-3 * most)
                if not np.all(np.abs(yours[site] - value) <= allowed):
                    found.append(f"gradient by {site!r} at point {k}: {value} has become {yours[site]}")
        return found

    def offset_error(self, other: "Evaluations", offset: float) -> float:
        """By how much log-densities of the other and an offset miss those of this one, in units of one plus the magnitude."""
        return float(np.max(np.abs(other.log_densities + offset - self.log_densities) / (1.0 + self.magnitudes)))

    def axes(self) -> set[int]:
        """Lengths of all axes of all arrays in the program."""
        shapes = re.findall(r"\b(?:f|s|u|pred)\d*\[([\d,]+)\]", self.program)
        return {int(length) for shape in shapes for length in shape.split(",")}


@contextmanager
def double_precision(ranks: str = "allow") -> Iterator[None]:
    """Float64, with NumPyro's own ways with ranks and random keys let be."""
    with jax.enable_x64(True), jax.numpy_rank_promotion(ranks), jax.debug_key_reuse(False):
        yield


def sites(model: Model, args: tuple = (), kwargs: Values | None = None) -> dict[str, Values]:
    """The sites of a model, traced abstractly: nothing is computed, values are known by shape only."""
    found = {}

    def run(key):
        found.update(trace(seed(model, key)).get_trace(*args, **(kwargs or {})))

    jax.eval_shape(run, jax.random.key(0))
    return found


def latents(model: Model, args: tuple = (), kwargs: Values | None = None) -> dict[str, Latent]:
    """Unobserved sites by name."""
    found = {}
    for name, site in sites(model, args, kwargs).items():
        if site["type"] == "sample" and not site["is_observed"]:
            support, shape = site["fn"].support, tuple(jnp.shape(site["value"]))
            found[name] = Latent(shape, None if support.is_discrete else tuple(biject_to(support).inverse_shape(shape)))
    return found


def prior_draws(model: Model, args: tuple, kwargs: Values, count: int, number: int = 0) -> list[Point]:
    """Draws from the prior, on the scale of free numbers; plates that take a subset take one at random."""

    def draw(key):
        free, fixed = {}, {}
        for name, site in trace(seed(model, key)).get_trace(*args, **kwargs).items():
            if site["type"] == "plate" and site["args"][1] not in (None, site["args"][0]):
                fixed[name] = site["value"]
            elif site["type"] == "sample" and not site["is_observed"]:
                discrete = site["fn"].support.is_discrete
                (fixed if discrete else free)[name] = (
                    site["value"] if discrete else biject_to(site["fn"].support).inv(site["value"])
                )
        return free, fixed

    keys = jax.random.split(jax.random.key(number), count)
    return [Point(*jax.tree.map(np.asarray, jax.jit(draw)(key))) for key in keys]


def points(model: Model, args: tuple, kwargs: Values, count: int = 9, number: int = 0) -> list[Point]:
    """A third each: draws from the prior, what lies within steps of 0.3 of such, and free numbers within one of zero.

    Far out, one term of a log-density can be so large that it hides the others: the last third lies where samplers start.
    """
    rng, draws = np.random.default_rng(number), prior_draws(model, args, kwargs, count, number)
    change = (
        lambda free: free,
        lambda free: free + 0.3 * rng.standard_normal(free.shape),
        lambda free: rng.uniform(-1.0, 1.0, free.shape),
    )
    return [Point(jax.tree.map(change[3 * k // count], free), fixed) for k, (free, fixed) in enumerate(draws)]


def scattered_points(model: Model, args: tuple, kwargs: Values, count: int, number: int = 0) -> list[Point]:
    """Normal free numbers of sd 0.25, 0.5, …: nothing is compiled for them."""
    rng, shapes = np.random.default_rng(number), latents(model, args, kwargs)
    return [
        Point({name: 0.25 * (k + 1) * rng.standard_normal(latent.free_shape) for name, latent in shapes.items()}, {})
        for k in range(count)
    ]


def evaluate(
    model: Model, args: tuple, kwargs: Values, at: list[Point], reference: tuple[Model, tuple, Values] | None = None
) -> Evaluations:
    """A model at points; values of latent sites are made of free numbers by the `reference`, or by the model itself.

    One program does it all, compiled without costly optimisations: it runs a few times only.
    """
    source, source_args, source_kwargs = reference or (model, args, kwargs)

    def run(point):
        values = constrain_fn(substitute(source, point.fixed), source_args, source_kwargs, point.free)
        values = {name: values[name] for name in point.free} | point.fixed
        terms, _ = compute_log_probs(model, args, kwargs, values)
        density = sum(terms.values(), start=0.0)
        energy = lambda free: potential_energy(substitute(model, point.fixed), args, kwargs, free)
        magnitude = jnp.max(jnp.abs(jnp.asarray(list(terms.values()))))
        return density, magnitude, *jax.value_and_grad(energy)(point.free)

    options = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
    at = [jax.tree.map(jnp.asarray, point) for point in at]
    program = jax.jit(run, compiler_options=options).lower(at[0]).compile()
    found = [jax.tree.map(np.asarray, program(point)) for point in at]
    densities, magnitudes, potentials, gradients = zip(*found)
    return Evaluations(
        np.array(densities), np.array(potentials), list(gradients), np.array(magnitudes), program.as_text()
    )


def ranks_kept(model: Model, args: tuple, kwargs: Values, at: Point) -> str:
    """ "raise" where the model, and NumPyro in it, promote no ranks; a rewritten model is then held to that too."""
    try:
        with double_precision("raise"):
            jax.eval_shape(lambda free, fixed: potential_energy(substitute(model, fixed), args, kwargs, free), *at)
    except ValueError as error:
        if "rank_promotion" not in str(error):
            raise
        return "allow"
    return "raise"
