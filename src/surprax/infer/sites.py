"""What a NumPyro model is made of: its sites, their shapes and the plates around them, without computing a single row."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers
from numpyro.distributions import Unit, biject_to

from surprax.infer.scopes import numpyro_allowed

__all__ = ["Site", "any_value", "continuous_latents", "is_auxiliary", "read_sites", "shape_of"]


@dataclass(frozen=True)
class Site:
    """One site of a model.

    Attributes:
        name: of the site.
        kind: "latent", "observed", "factor", "deterministic", "param" or "plate".
        shape: of its value.
        dims: for each axis of the value, the name of its plate (or of its `event_dims`); None where it has none.
        event_dim: how many of the last axes belong together.
        discrete: whether its values are whole numbers.
        free_shape: of the free numbers that stand for a continuous latent value.
        subsampled: of a plate, its size and how many rows are drawn of it, where that is fewer.
    """

    name: str
    kind: str
    shape: tuple[int, ...] = ()
    dims: tuple[str | None, ...] = ()
    event_dim: int = 0
    discrete: bool = False
    free_shape: tuple[int, ...] = ()
    subsampled: tuple[int, int] | None = None

    @property
    def batch_dims(self) -> tuple[str | None, ...]:
        """`dims` of the log-density."""
        return self.dims[: len(self.dims) - self.event_dim]


def read_sites(model: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Site]:
    """All sites of a model, in its order, by name."""
    found: dict[str, Site] = {}

    def run() -> None:
        seeded = handlers.substitute(handlers.seed(model, jax.random.key(0)), substitute_fn=any_value)
        for name, message in handlers.trace(seeded).get_trace(*args, **kwargs).items():
            site = _site(name, message)
            if site is not None:
                found[name] = site

    with numpyro_allowed():
        jax.eval_shape(run)
    return found


def continuous_latents(sites: Mapping[str, Site]) -> dict[str, Site]:
    """The latent sites, all of which are continuous.

    Raises:
        ValueError: where one is not, or where the model has none, has parameters without a prior, or draws rows at random.
    """
    for site in sites.values():
        if site.kind == "latent" and site.discrete:
            raise ValueError(
                f"Inference here moves through continuous latent sites; {site.name!r} is discrete. Sum it out in the model"
                " (numpyro.distributions.MixtureSameFamily does, for a mixture), or use NumPyro's DiscreteHMCGibbs."
            )
        if site.kind == "param":
            raise ValueError(
                f"A posterior needs a prior for everything unknown; {site.name!r} is a numpyro.param, which has none. Make it a"
                " numpyro.sample."
            )
        if site.subsampled is not None:
            size, drawn = site.subsampled
            raise ValueError(
                f"Inference here is about all rows; the plate {site.name!r} draws {drawn:,} of {size:,} at random. Leave its"
                " subsample_size out."
            )
    latents = {name: site for name, site in sites.items() if site.kind == "latent"}
    if not latents:
        raise ValueError(
            f"A posterior is about latent sites (numpyro.sample without obs); the model has none among: {', '.join(sites)}."
        )
    return latents


def any_value(message: Mapping[str, Any]) -> Any:
    """Some value of a continuous latent site, which need not be one that its distribution could draw."""
    if message["type"] != "sample" or message["is_observed"] or message["fn"].support.is_discrete:
        return None
    transform = biject_to(message["fn"].support)
    return transform(jnp.zeros(transform.inverse_shape(shape_of(message))))


def shape_of(message: Mapping[str, Any]) -> tuple[int, ...]:
    """The shape of the value of a sample site."""
    return tuple(message["fn"].shape(tuple(message["kwargs"].get("sample_shape", ()))))


def is_auxiliary(d: Any) -> bool:
    """Whether a distribution is that of a numpyro.factor, which may be masked or expanded."""
    while not isinstance(d, Unit) and hasattr(d, "base_dist"):
        d = d.base_dist
    return isinstance(d, Unit)


def _site(name: str, message: dict[str, Any]) -> Site | None:
    kind, value = message["type"], message["value"]
    if kind == "plate":
        size, drawn = message["args"][:2]
        few = drawn is not None and drawn < size
        return Site(name, "plate", subsampled=(int(size), int(drawn)) if few else None)
    if kind == "param":
        return Site(name, "param", np.shape(value))
    frames = [(frame.dim, frame.name, frame.size) for frame in message.get("cond_indep_stack", ())]
    if kind == "deterministic":
        # Nothing says where a value's own axes begin; plates come before them.
        depth = -min((dim for dim, _, _ in frames), default=0)
        return Site(name, kind, np.shape(value), _named(np.shape(value), frames, depth))
    if kind != "sample":
        return None
    d = message["fn"]
    if is_auxiliary(d):
        return Site(name, "factor")
    rank = len(d.batch_shape)
    dims = list(_named(np.shape(value), frames, rank))
    for axis, event_name in enumerate(message["infer"].get("event_dims", ()), start=len(dims) - d.event_dim):
        if axis < len(dims):
            dims[axis] = event_name
    observed = message["is_observed"]
    discrete = bool(d.support.is_discrete)
    free = () if observed or discrete else biject_to(d.support).inverse_shape(shape_of(message))
    return Site(name, "observed" if observed else "latent", np.shape(value), tuple(dims), d.event_dim, discrete, free)


def _named(shape: tuple[int, ...], frames: list[tuple[int, str, int]], depth: int) -> tuple[str | None, ...]:
    """Names of axes, from plates that count from the end of the first `depth` axes."""
    names: list[str | None] = [None] * len(shape)
    for dim, name, size in frames:
        axis = depth + dim
        if 0 <= axis < len(shape) and shape[axis] == size:
            names[axis] = name
    return tuple(names)
