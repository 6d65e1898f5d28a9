"""Finding coordinates for latent sites of which rows see m + s·z, and for the locations of these (`coordinates`)."""

import functools
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpyro.distributions import biject_to
from numpyro.distributions.transforms import IdentityTransform, IndependentTransform

from surprax.infer.coordinates import Effect, Location, latents_of, moments_of, trace_at, trace_of
from surprax.infer.programs import Hoisted
from surprax.infer.scopes import computing, numpyro_allowed
from surprax.infer.sites import any_value, shape_of
from surprax.models import Compressed
from surprax.models.compressed import rewrite
from surprax.models.reading import Site
from surprax.numerics.compilation import SOON_RUN, kept

__all__ = ["apart", "effects_of", "locations_of", "seer_of"]

FEW = 16
"""Numbers of a location, at most."""


def effects_of(model: Compressed, at: Mapping[str, np.ndarray] | None = None) -> list[Effect]:
    """Coordinates for the latent sites on the real line of which rows see m + s·z, entry by entry.

    What data tell of such a site is the curvature of the log-likelihood and a Newton step, where the site is near its conditional
    mean, and others have the values `at`, or else the means of their priors. Lines are tried at two points in float64.
    """
    survey = _surveyed(model)
    if survey is None:
        return []
    with computing(True), numpyro_allowed():
        elsewhere = survey.facts(survey.others)
        here, told = {**survey.means, **(at or {})}, {}
        for _ in range(_STEPS):
            told = survey.facts(here)
            chosen = [one for name in told if (one := _choice(model, name, told[name], elsewhere[name])) is not None]
            steps = {one.latent: told[one.latent].step(one) for one in chosen}
            if all(near for _, near in steps.values()):
                break
            here = {**here, **{name: here[name] + step for name, (step, _) in steps.items()}}
    return chosen


@dataclass(frozen=True, eq=False)
class _Survey:
    """What effects of a model are found by.

    Attributes:
        means, others: values of all latent sites: the means of their priors, and random ones.
        program: from values of the latent sites to the facts about those with several numbers, by name.
    """

    means: dict[str, Any]
    others: dict[str, Any]
    program: Callable[[Any], Any]

    def facts(self, latents: Mapping[str, Any]) -> "dict[str, _Facts]":
        return {name: _Facts(**about) for name, about in jax.tree.map(np.asarray, self.program(latents)).items()}


_surveys: weakref.WeakKeyDictionary[Compressed, _Survey] = weakref.WeakKeyDictionary()


def _surveyed(model: Compressed) -> _Survey | None:
    """None where no latent site with several numbers is on the real line. A model is surveyed once."""
    candidates = [name for name, size in _on_the_real_line(model).items() if size > 1]
    if candidates and model not in _surveys:
        with computing(True), numpyro_allowed():
            means, others = _some_values(model)
            facts = Hoisted(lambda latents: {name: _facts(model, name, latents) for name in candidates}, means)
            pure = facts.pure
            program = kept(("recentring", facts.fingerprint), lambda: jax.jit(pure, compiler_options=SOON_RUN))
            _surveys[model] = _Survey(means, others, functools.partial(program, facts.constants))
    return _surveys[model] if candidates else None


def locations_of(model: Compressed, effects: Sequence[Effect]) -> list[Location]:
    """The latent sites of few numbers on which the locations of effects depend affinely, and their precisions not at all."""
    taken = {one.latent for one in effects}
    candidates = [name for name, size in _on_the_real_line(model).items() if size <= FEW and name not in taken]
    if not candidates or not effects:
        return []
    with computing(True), numpyro_allowed():
        survey = _surveyed(model)
        here = _some_values(model)[1] if survey is None else survey.others

        def told(latents: Mapping[str, Any]) -> dict[str, Any]:
            step = {name: jnp.asarray(_rng().choice([-1.0, 1.0], np.shape(latents[name]))) for name in candidates}
            points = {
                name: [{**latents, name: latents[name] + k * step[name]} for k in range(3)] for name in candidates
            }
            traces = {name: [trace_at(model, at) for at in points[name]] for name in candidates}
            lines = {name: [[one.location(trace) for trace in traces[name]] for one in effects] for name in candidates}
            priors = {name: [moments_of(trace, name) for trace in traces[name]] for name in candidates}
            return {"lines": lines, "priors": priors}

        facts = Hoisted(told, here)
        pure = facts.pure
        program = kept(("locations", facts.fingerprint), lambda: jax.jit(pure, compiler_options=SOON_RUN))
        found = jax.tree.map(np.asarray, program(facts.constants, here))
    chosen = [
        Location(name, tuple(one for one, three in zip(effects, found["lines"][name]) if _moves_along(three)))
        for name in candidates
        if all(_are_moments(*prior) for prior in found["priors"][name])
    ]
    return [one for one in chosen if one.effects]


def _moves_along(three: Sequence[tuple[np.ndarray, np.ndarray]]) -> bool:
    """Whether locations at three points in a row are on a line, and not all the same, and precisions are."""
    (a, b, c), (v, *others) = zip(*three)
    straight = np.allclose(a - b, b - c, rtol=1e-9, atol=1e-9) and not np.allclose(a, b, rtol=1e-9, atol=1e-9)
    return bool(straight and all(np.allclose(v, other, rtol=1e-9, atol=0.0) for other in others))


def seer_of(model: Callable[[], Any]) -> Compressed | None:
    """What tells which values rows see: the model if it is compressed; a form of it with all of its rows, where these are not too
    many, if parts of it are not."""
    if not isinstance(model, Compressed) or any(site.discrete for site in _of_kind(model, "latent")):
        return None
    if not any(size > 1 for size in _on_the_real_line(model).values()):
        return None
    observed = _of_kind(model, "observed")
    if len(model.compacts) < len(observed) and max(site.rows for site in observed) <= _MOST_ROWS:
        return rewrite(*model.original, np.inf)
    return model if model.compacts else None


def _of_kind(model: Compressed, kind: str) -> list[Site]:
    return [site for site in model.reading.sites.values() if site.kind == kind]


_MOST_ROWS = 100_000


def apart(some: Sequence[Effect], others: Sequence[Effect]) -> float:
    """By which factor the precisions of two sets of coordinates differ, in the median; infinite where sites are not the same."""
    if [(a.latent, a.site, a.place) for a in some] != [(b.latent, b.site, b.place) for b in others]:
        return np.inf
    with np.errstate(all="ignore"):
        ratios = [np.abs(np.log(a.precision / b.precision)) for a, b in zip(some, others)]
    return float(np.exp(max((np.nanmedian(np.where(np.isfinite(r), r, 0.0)) for r in ratios), default=0.0)))


@dataclass(frozen=True, eq=False)
class _Facts:
    """About a latent site z, for some values of all latent sites.

    Attributes:
        own: its value.
        mean, variance: of its prior.
        push, bend: by observed site, gradient and negative curvature of the log-likelihood in z.
        lines: by observed site, and by place among what its rows see: values of z (0, 1, its own, another), and what is seen there.
    """

    own: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    push: dict[str, np.ndarray]
    bend: dict[str, np.ndarray]
    lines: dict[str, dict[int, tuple[np.ndarray, np.ndarray]]]

    def observation(self, site: str, place: int) -> tuple[np.ndarray, np.ndarray]:
        """t and û; t = 0 where the log-likelihood is not concave."""
        push, bend = self.push[site], self.bend[site]
        line = self.lines[site][place]
        s = _slope(line)
        tells = np.isfinite(push) & (bend > 0.0) & (s != 0.0)
        safe = np.where(tells, bend, 1.0)
        peak = line[1][_OWN] + np.where(tells, s * np.where(tells, push, 0.0) / safe, 0.0)
        return np.where(tells, safe / np.where(tells, s, 1.0) ** 2, 0.0), peak

    def step(self, one: "Effect") -> tuple[np.ndarray, bool]:
        """From here to the conditional mean, by two prior standard deviations at most; and whether that is hardly anything."""
        line = self.lines[one.site][one.place]
        m, s, p = line[1][0], _slope(line), 1.0 / self.variance
        precision = p + s**2 * one.precision
        step = (p * self.mean + s * one.precision * (one.peak - m)) / precision - self.own
        near = bool(np.all(np.abs(step) * np.sqrt(precision) < _NEAR))
        return np.clip(np.nan_to_num(step), -2.0 / np.sqrt(p), 2.0 / np.sqrt(p)), near


def _choice(model: Compressed, name: str, here: _Facts, elsewhere: _Facts) -> Effect | None:
    """By the site that tells most, and of what its rows see by what is put together last, which is nearest to the rows."""
    if not all(_are_moments(facts.mean, facts.variance) for facts in (here, elsewhere)):
        return None
    for site in sorted(here.bend, key=lambda site: float(np.nansum(here.bend[site])), reverse=True):
        for place in sorted(here.lines[site], reverse=True):
            lines = here.lines[site][place], elsewhere.lines[site][place]
            if all(map(_fits, lines)):
                # A factor s may vanish at the one point: what is told of the value that rows see is the same at the other.
                told = here if np.all(_slope(lines[0]) != 0.0) else elsewhere
                return Effect(model, name, site, place, *told.observation(site, place))
    return None


def _on_the_real_line(model: Compressed) -> dict[str, int]:
    """Latent sites free of bounds, with mean and variance, and their sizes; nothing is computed for that."""
    found = {}

    def run() -> None:
        for name, site in trace_of(model, any_value).items():
            if site["type"] == "sample" and not site["is_observed"]:
                transform = biject_to(site["fn"].support)
                while isinstance(transform, IndependentTransform):
                    transform = transform.base_transform
                if isinstance(transform, IdentityTransform) and _has_moments(site["fn"]):
                    found[name] = int(np.size(site["value"]))

    with computing(True), numpyro_allowed():
        jax.eval_shape(run)
    return found


def _has_moments(d: Any) -> bool:
    return _told_mean(d) is not None and _told_variance(d) is not None


def _told_mean(d: Any) -> Any:
    """None where a distribution, which may be a user's own, does not tell its mean for each of its entries."""
    return _told(lambda: d.mean, d.shape())


def _told_variance(d: Any) -> Any:
    return _told(lambda: d.variance, d.shape())


def _told(moment: Callable[[], Any], shape: tuple[int, ...]) -> Any:
    try:
        value = moment()
    except (NotImplementedError, AttributeError, TypeError):
        return None
    return value if np.shape(value) == shape else None


def _are_moments(mean: np.ndarray, variance: np.ndarray) -> bool:
    """Whether a prior has them, which a Cauchy distribution has not."""
    return bool(np.all(np.isfinite(mean)) and np.all(np.isfinite(variance)) and np.all(variance > 0.0))


_OWN = 2
"""Which of the values in a line is that of the point itself."""


_STEPS = 30
_NEAR = 0.3
"""Conditional standard deviations within which the point is where t and û are taken."""


def _facts(model: Compressed, name: str, latents: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of `_Facts`."""
    own = jnp.asarray(latents[name])
    values = [jnp.zeros_like(own), jnp.ones_like(own), own, jnp.asarray(_rng().normal(size=own.shape))]
    mean, variance = moments_of(trace_at(model, latents), name)
    told: dict[str, Any] = {"own": own, "mean": mean, "variance": variance, "push": {}, "bend": {}, "lines": {}}
    for site in model.compacts:

        def log_likelihood(own: Array, site: str = site) -> Array:
            return model.log_likelihood(site, {**latents, name: own})

        # Rows of different entries know nothing of each other: the curvature is all on the diagonal.
        told["push"][site], change = jax.jvp(jax.grad(log_likelihood), (own,), (jnp.ones_like(own),))
        told["bend"][site] = -change
        seen = zip(*(model.seen(site, {**latents, name: value}) for value in values))
        told["lines"][site] = {
            place: (jnp.stack(values), jnp.stack([entry.reshape(own.shape) for entry in entries]))
            for place, entries in enumerate(seen)
            if entries[0].size == own.size
        }
    return told


def _slope(line: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return line[1][1] - line[1][0]


def _fits(line: tuple[np.ndarray, np.ndarray]) -> bool:
    """Whether rows see m + s·z of a latent value z, entry by entry."""
    z, seen = line
    m, s = seen[0], _slope(line)
    return bool(np.all(np.isfinite(s)) and np.any(s != 0.0) and np.allclose(seen, m + s * z, rtol=1e-9, atol=1e-9))


def _some_values(model: Compressed) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values of the latent sites: the means of their priors, and random ones."""

    def value(site: Mapping[str, Any], spread: float, rng: np.random.Generator) -> Any:
        if site["type"] != "sample" or site["is_observed"]:
            return None
        d = site["fn"]
        transform = biject_to(d.support)
        shape = shape_of(site)
        middle = transform(jnp.asarray(spread * rng.uniform(-1.0, 1.0, transform.inverse_shape(shape))))
        if spread:
            return middle
        mean = _told_mean(d)
        if mean is None:
            return middle
        usable = jnp.all(d.support(mean)) & jnp.all(jnp.isfinite(mean))
        return jnp.where(usable, jnp.broadcast_to(mean, shape), middle)

    def run() -> list[dict[str, Any]]:
        return [
            latents_of(trace_of(model, functools.partial(value, spread=spread, rng=_rng()))) for spread in (0.0, 1.0)
        ]

    means, others = jax.tree.map(np.asarray, jax.jit(run, compiler_options=SOON_RUN)())
    return means, others


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)
