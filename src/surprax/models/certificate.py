"""Certificates: that a rewrite changes nothing, by comparison with the plain model in float64."""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.infer.util import potential_energy
from numpyro.primitives import Messenger

from surprax.models.aside import Aside, apart
from surprax.models.descent import descend
from surprax.models.detached import detached, views
from surprax.models.reading import strict_ranks_off
from surprax.numerics.compilation import SOON_RUN

__all__ = ["TOLERANCE", "Certificate", "Comparison", "Near", "Told", "comparison"]

TOLERANCE = 1e-6
"""Largest relative disagreement of energies and gradients."""

ALL_ROWS = 1_000_000
"""Up to this many rows a comparison reads them all; beyond, it takes a part of them."""

PART = 100_000
"""How many rows such a part has."""

FEW_ROWS = 200_000
"""Up to this many rows the plain model takes less time to run a few times than to be compiled for that."""

DRAWS = 3
"""Random points at which models are compared; one more is near the mode."""

REACH = 2.0
"""Of the free numbers at random points, to either side of 0, as where samplers start; of every other one a fifth of that."""

SEARCH = 30
"""Steps of the search for it."""

FARTHEST = 1e100
"""Nats from which on nothing is compared: arithmetic overflows there, and no sampler comes near."""


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


@dataclass(frozen=True)
class Told:
    """The energy of a compressed model as the program of a sampler tells it: there need be no other one for the certificate.

    Attributes:
        size: how many coordinates z the sampler has.
        free: the free numbers of the latent sites at z, by name, and log |∂ of these / ∂z|.
        energy: U and its gradient at points of shape (n, d), in float64: shapes (n,) and (n, d).
    """

    size: int
    free: Callable[[Any], tuple[dict[str, Any], Any]]
    energy: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Near:
    """A point near the mode of a compressed model.

    Attributes:
        position: coordinates of the sampler, shape (d,).
        scaled: the inverse Hessian of the energy there times a vector.
    """

    position: np.ndarray
    scaled: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Comparison:
    """A comparison that has begun: its programs are being compiled.

    Attributes:
        names: of the rewritten sites.
        shapes: of the free numbers of the latent sites, by name; or of a sampler's coordinates, which stand for them all.
        plain: log-likelihood of each rewritten site and gradient of their sum, of the plain model.
        fast: the same of the compressed model.
        prior: the log-prior and its gradient.
        whole: whether the only log-likelihood comes with the log-prior, and as a density of what points are given in.
        rows, of_rows: as of the certificate.
    """

    names: list[str]
    shapes: Mapping[str, tuple[int, ...]]
    plain: Callable[[Any], Any]
    fast: Callable[[Any], Any]
    prior: Callable[[Any], Any]
    whole: bool
    rows: int
    of_rows: int

    def certificate(self, near: Near | None = None) -> Certificate:
        """What it finds; waits for the programs.

        Args:
            near: a point near the mode and the curvature there, where these are known: there need be no search for it.
        """
        with jax.enable_x64(True):
            errors = self._errors(near)
        return Certificate(max(errors.values()), errors, DRAWS + 1, self.rows, self.of_rows)

    def _errors(self, near: Near | None) -> dict[str, float]:
        """Largest relative error by rewritten site."""
        points = self._points(near)
        worst = dict.fromkeys(self.names, 0.0)
        for point in points:
            plain, slope = jax.tree.map(np.asarray, self.plain(self._free(point)))
            fast, other = jax.tree.map(np.asarray, self.fast(self._free(point)))
            size, apart = _largest(slope), _difference(slope, other)
            if apart > TOLERANCE * max(size, 1.0):
                # What comes of the rounding of the point itself is no error.
                _, moved = jax.tree.map(np.asarray, self.plain(self._free(np.nextafter(point, np.inf))))
                rounding = _difference(slope, moved)
                apart = max(0.0, apart - 2.0 * rounding) if math.isfinite(rounding) else apart
            # Where a density is 0, its slope means nothing, and samplers have none.
            possible = math.isfinite(size) and all(abs(each) < FARTHEST for each in plain.values())
            gradient = apart / max(size, 1.0) if possible else 0.0
            for name in self.names:
                a, b = float(plain[name]), float(fast[name])
                energy = 0.0 if a == b or not abs(a) < FARTHEST else abs(a - b) / max(abs(a), 1.0)
                worst[name] = max(worst[name], energy, gradient)
                if math.isnan(energy) or math.isnan(gradient):
                    worst[name] = math.inf
        return worst

    def _points(self, near: Near | None = None) -> list[np.ndarray]:
        """Free numbers, of shape (d,): random ones, and near the mode."""
        size, rng = sum(map(math.prod, self.shapes.values())), np.random.default_rng(0)
        likely = descend(self._prior, np.zeros(size), SEARCH)

        def drawn(point: np.ndarray) -> np.ndarray:
            """As improbable as draws from the prior are, at most: in the prior's far tails arithmetic overflows, or is clipped."""
            share = 1.0
            while self._prior(likely.position + share * (point - likely.position))[0] > likely.value + size + 4.0:
                if (share := 0.5 * share) < 1e-3:
                    break
            return likely.position + share * (point - likely.position)

        reaches = [REACH if i % 2 == 0 else 0.2 * REACH for i in range(DRAWS)]
        points = [drawn(rng.uniform(-reach, reach, size)) for reach in reaches]
        if near is None:  # as far as a short search gets
            found = descend(self._energy, points[1], SEARCH)
            near = Near(found.position, found.scaled)
        return [*(self._nearer(point, near.position) for point in points), self._off_the_mode(near)]

    def _nearer(self, point: np.ndarray, home: np.ndarray) -> np.ndarray:
        """As far towards home as arithmetic needs in order not to overflow: a point where it does would tell nothing."""
        for _ in range(SEARCH):
            if self._energy(point)[0] < FARTHEST:
                break
            point = 0.5 * (point + home)
        return point

    def _off_the_mode(self, near: Near) -> np.ndarray:
        """About a standard deviation off where the energy of the compressed sites is least."""
        # Where the curvature is H, a step H⁻¹v of this length leads half a nat up.
        v = np.random.default_rng(0).choice([-1.0, 1.0], len(near.position))
        step = near.scaled(v)
        length = float(v @ step)
        step = step / math.sqrt(length) if length > 0 else 0.0 * step
        highest = self._energy(near.position)[0] + 5.0
        for _ in range(40):
            if self._energy(near.position + step)[0] <= highest:
                break
            step = 0.5 * step
        return near.position + step

    def _energy(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        each, slope = jax.tree.map(np.asarray, self.fast(self._free(z)))
        value, gradient = -float(sum(each.values())), -self._flat(slope)
        if not self.whole:
            prior, other = self._prior(z)
            value, gradient = value + prior, gradient + other
        return _finite(value, gradient)

    def _prior(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        prior, slope = jax.tree.map(np.asarray, self.prior(self._free(z)))
        return _finite(-float(prior), -self._flat(slope))

    def _free(self, z: np.ndarray) -> dict[str, np.ndarray]:
        parts = np.split(z, np.cumsum([math.prod(shape) for shape in self.shapes.values()], dtype=int)[:-1])
        return {name: part.reshape(shape) for part, (name, shape) in zip(parts, self.shapes.items())}

    def _flat(self, free: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.concatenate([np.zeros(0), *(np.ravel(free[name]) for name in self.shapes)])


def _largest(parts: Mapping[str, np.ndarray]) -> float:
    return max((float(np.max(np.abs(part), initial=0.0)) for part in parts.values()), default=0.0)


def _difference(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> float:
    with np.errstate(invalid="ignore"):  # both may be infinite
        return _largest({name: one[name] - other[name] for name in one})


def _finite(value: float, gradient: np.ndarray) -> tuple[float, np.ndarray]:
    return (
        (value, gradient)
        if math.isfinite(value) and np.all(np.isfinite(gradient))
        else (math.inf, np.zeros_like(gradient))
    )


def comparison(compressed: Any, rewrite: Callable[..., Any], told: Told | None = None) -> Comparison | None:
    """Begin to compare a compressed model with its original; None where nothing was rewritten.

    `rewrite(model, args, kwargs)` makes another one of a part of the rows, where they are very many. The program of a sampler, if
    there is one, is what is compared where all that there is beside the prior is one rewritten site of which all rows are read.

    The points are random ones where the prior has its mass, every other one drawn towards the middle, and one near the mode.
    Energies are compared site by site and relative to their size, gradients in the free numbers of the latent sites and relative to
    the largest.
    """
    original = compressed.original
    rows = max((c.rows for c in compressed.compacts.values()), default=0)
    if not rows:
        return None
    model, args, kwargs = original
    model, (args, kwargs) = detached(model), views((args, kwargs))
    part = _part(args, kwargs, rows) if rows > ALL_ROWS else None
    begun = None if part is None else _begun_with_part(model, *part, compressed, rewrite, rows)
    return begun or _begun(model, args, kwargs, compressed, rows, rows, told if _is_alone(compressed) else None)


def _is_alone(compressed: Any) -> bool:
    """Whether there is nothing beside the latent sites and one that was rewritten."""
    return len(compressed.outcomes) == 1 and all(site.kind != "factor" for site in compressed.reading.sites.values())


def _begun_with_part(
    model: Any, args: Any, kwargs: Any, compressed: Any, rewrite: Callable[..., Any], rows: int
) -> Comparison | None:
    """Of a model of some of the rows; None where there is no such model, because it has rows beside those of its arguments."""
    try:
        with strict_ranks_off():
            thinned = rewrite(model, args, kwargs)
        if {n: c.rule for n, c in thinned.compacts.items()} != {n: c.rule for n, c in compressed.compacts.items()}:
            return None
        return _begun(model, args, kwargs, thinned, PART, rows)
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


def _begun(
    model: Any, args: Any, kwargs: Any, compressed: Any, rows: int, of_rows: int, told: Told | None = None
) -> Comparison:
    names, whole = list(compressed.compacts), told is not None
    with jax.enable_x64(True), strict_ranks_off(), jax.debug_key_reuse(False):
        try:
            shapes, plain = _plain(model, args, kwargs, names, rows, told)
        except jax.errors.JAXTypeError:
            # NumPyro compares NumPy's data with the ends of a support by NumPy, which takes no tracer.
            args, kwargs = jax.tree.map(lambda v: jnp.asarray(v) if isinstance(v, np.ndarray) else v, (args, kwargs))
            shapes, plain = _plain(model, args, kwargs, names, rows, told)
        fast, prior = _fast(compressed, names, shapes, told)
    return Comparison(names, shapes, plain, fast, prior, whole, rows, of_rows)


_COORDINATES = "coordinates"
"""What a sampler's coordinates are called, where they stand for the free numbers of all sites."""


def _plain(
    model: Any, args: Any, kwargs: Any, names: list[str], rows: int, told: Told | None
) -> tuple[dict[str, tuple[int, ...]], Callable[[Any], Any]]:
    """Shapes of the free numbers, and the program of `Comparison.plain`."""
    if told is not None:
        shapes: dict[str, tuple[int, ...]] = {_COORDINATES: (told.size,)}
        plain = functools.partial(_whole, told, model, args, kwargs, names[0])
    else:
        shapes = _shapes(model, args, kwargs)
        plain = functools.partial(_likelihood, functools.partial(_trace_at, model, args, kwargs), names)
    pure, data = apart(plain, _spaces(shapes))
    program = Aside.shared(pure, data, _spaces(shapes), options=SOON_RUN if rows <= FEW_ROWS else {})
    return shapes, lambda free: program(data, free)


def _shapes(model: Any, args: Any, kwargs: Any) -> dict[str, tuple[int, ...]]:
    """Shapes of the free numbers of the latent sites."""
    shapes: dict[str, tuple[int, ...]] = {}

    def somewhere(site: Any) -> Any:
        if site["type"] != "sample" or site["is_observed"] or site["fn"].is_discrete:
            return None
        transform = biject_to(site["fn"].support)
        of_site = site["fn"].shape(tuple(site["kwargs"].get("sample_shape", ())))
        shapes[site["name"]] = tuple(transform.inverse_shape(of_site))
        return transform(jnp.zeros(shapes[site["name"]]))

    jax.eval_shape(lambda: _values(_traced(model, args, kwargs, somewhere)))
    return shapes


def _whole(told: Told, model: Any, args: Any, kwargs: Any, name: str, at: Any) -> Any:
    """Log-density of a sampler's coordinates by the plain model, and its gradient."""

    def density(at: Any) -> Any:
        free, log_volume = told.free(at[_COORDINATES])
        return log_volume - potential_energy(_WideCounts(model), args, kwargs, free)

    value, slope = jax.value_and_grad(density)(at)
    return {name: value}, slope


def _fast(
    compressed: Any, names: list[str], shapes: Mapping[str, tuple[int, ...]], told: Told | None
) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """`Comparison.fast` and `Comparison.prior`."""
    prior = jax.value_and_grad(functools.partial(_log_prior, compressed, told))
    if told is not None:

        def by_sampler(at: Any) -> Any:
            (value,), (slope,) = told.energy(at[_COORDINATES][None])
            return {names[0]: -value}, {_COORDINATES: -slope}

        return by_sampler, _aside(prior, shapes)
    trace = functools.partial(_trace_at, compressed.model, compressed.args, {})
    both = _aside(lambda free: (_likelihood(trace, names, free), prior(free)), shapes)
    return (lambda free: both(free)[0]), (lambda free: both(free)[1])


def _aside(function: Callable[[Any], Any], shapes: Mapping[str, tuple[int, ...]]) -> Callable[[Any], Any]:
    """A function of free numbers, compiled in a thread, for all that differ in their data only."""
    pure, data = apart(function, _spaces(shapes))
    program = Aside.shared(pure, data, _spaces(shapes), options=SOON_RUN)
    return lambda free: program(data, free)


def _log_prior(compressed: Any, told: Told | None, at: Any) -> Any:
    """The log-prior of the latent sites."""
    free = at if told is None else told.free(at[_COORDINATES])[0]
    trace = _trace_at(compressed.prior, (), {}, free)
    return sum((_log_prob(trace[name]) for name in free), jnp.zeros(()))


def _spaces(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    return {name: jax.ShapeDtypeStruct(shape, np.float64) for name, shape in shapes.items()}


def _likelihood(trace: Callable[[Any], Any], names: list[str], free: Any) -> Any:
    """Log-likelihood of each rewritten site, and the gradient of their sum."""

    def summed(free: Any) -> Any:
        told = trace(free)
        each = {name: _log_prob(told[name]) for name in names}
        return sum(each.values()), each

    (_, each), slope = jax.value_and_grad(summed, has_aux=True)(free)
    return each, slope


def _trace_at(run: Any, args: Any, kwargs: Any, free: Mapping[str, Any]) -> dict[str, Any]:
    """The sites of a model at free numbers of its latent sites."""

    def constrain(site: Any) -> Any:
        if site["type"] == "sample" and not site["is_observed"] and site["name"] in free:
            return biject_to(site["fn"].support)(free[site["name"]])
        return None

    return _traced(run, args, kwargs, constrain)


def _traced(run: Any, args: Any, kwargs: Any, value: Callable[[Any], Any]) -> dict[str, Any]:
    known = handlers.substitute(handlers.seed(_WideCounts(run), jax.random.key(0)), substitute_fn=value)
    return handlers.trace(known).get_trace(*args, **kwargs)


class _WideCounts(Messenger):
    """Observed whole numbers have 64 bits: of those with fewer, JAX takes log y! in float32, whatever its precision."""

    def process_message(self, message: dict[str, Any]) -> None:
        observed = message["type"] == "sample" and message["is_observed"]
        if observed and jnp.issubdtype(jnp.result_type(message["value"]), jnp.integer):
            message["value"] = jnp.asarray(message["value"], np.int64)


def _values(trace: Mapping[str, Any]) -> dict[str, Any]:
    return {n: site["value"] for n, site in trace.items() if site["type"] == "sample" and not site["is_observed"]}


def _log_prob(site: Mapping[str, Any]) -> Any:
    value = site["fn"].log_prob(site["value"])
    return jnp.sum(value if site["scale"] is None else site["scale"] * value)
