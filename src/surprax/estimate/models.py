"""Maximum likelihood and maximum a posteriori for NumPyro models, whose data are compressed first."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import jax
import numpy as np
from numpyro import handlers
from numpyro.distributions import biject_to, constraints
from numpyro.infer.util import log_density

from surprax.estimate.coordinates import Coordinates, Slot
from surprax.estimate.estimate import Estimate
from surprax.estimate.maximize import best_of
from surprax.estimate.problem import Problem
from surprax.estimate.transforms import Transform
from surprax.models import compress
from surprax.numerics.precision import float64_scope

__all__ = ["fit_model"]


def fit_model(
    model: Any,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    prior: bool,
    init: Mapping[str, Any] | None,
    fixed: Mapping[str, Any] | None,
    tied: Sequence[Sequence[str]],
    starts: int,
    key: Any,
    **options: Any,
) -> Estimate:
    """`mle` and `map_estimate` of a model."""
    sites = _sites(model, args, kwargs)
    unknown = {name: site for name, site in sites.items() if _is_unknown(site)}
    if not unknown:
        raise ValueError("There is nothing to fit: the model has neither latent sites nor parameters (numpyro.param).")
    slots, values = [], {}
    for name, site in unknown.items():
        slots.append(_slot(name, site))
        values[name] = np.asarray(site["value"], np.float64)
    for name, value in (init or {}).items():
        if name not in values:
            raise KeyError(f"Unknowns of the model are {', '.join(values)}; got a start for {name!r}.")
        values[name] = np.broadcast_to(np.asarray(value, np.float64), values[name].shape)
    coordinates = Coordinates(slots, fixed, tied)
    observed = {n: s for n, s in sites.items() if s["type"] == "sample" and s["is_observed"] and np.ndim(s["value"])}
    by_row = ""
    if not prior and len(observed) == 1:
        ((name, site),) = observed.items()
        by_row = name if len(site["fn"].batch_shape) == 1 and _plain(site) else ""
    latent = frozenset(name for name, site in unknown.items() if site["type"] == "sample" and not prior)
    likelihood = _Likelihood(model, args, dict(kwargs), latent, by_row)
    rows = float(sum(int(np.prod(s["fn"].batch_shape, dtype=int)) for s in observed.values()))
    title = getattr(model, "__name__", "model")
    problem = Problem(title, coordinates, likelihood.total, likelihood.each if by_row else None, (), rows or None)
    middle = np.zeros(coordinates.size) if init is None else coordinates.free_numbers(values)
    points = [middle]
    if starts > 1:
        noise = np.random.default_rng(0 if key is None else np.asarray(jax.random.bits(key, (2,), "uint32"))).normal(
            size=(starts - 1, coordinates.size)
        )
        points += list(middle + 2.0 * noise)
    kind = "maximum a posteriori" if prior else "maximum likelihood"
    return best_of(problem, points, kind=kind, **options)


@dataclass(eq=False)
class _Likelihood:
    """The log-density of a model, in total and row by row, by its unknowns.

    Attributes:
        model, args, kwargs: what is called.
        left_out: latent sites whose priors are left out.
        by_row: the observed site of which rows are known; "" for none.
    """

    model: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    left_out: frozenset[str]
    by_row: str

    @functools.cached_property
    def small(self) -> Any:
        """The model with its data compressed."""
        with float64_scope():
            return compress(self.model, *self.args, **self.kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {name: part for name, part in self.__dict__.items() if name != "small"}

    def total(self, params: Mapping[str, Any], data: Any) -> Any:
        """Log-density of data, and of latent sites whose priors count."""
        chosen = handlers.substitute(self.small, data=dict(params))
        if self.left_out:
            chosen = handlers.block(chosen, hide_fn=lambda site: site["name"] in self.left_out)
        return log_density(chosen, (), {}, {})[0]

    def each(self, params: Mapping[str, Any], data: Any) -> Any:
        """Log-likelihoods of rows."""
        seeded = handlers.substitute(handlers.seed(self.model, 0), data=dict(params))
        site = handlers.trace(seeded).get_trace(*self.args, **self.kwargs)[self.by_row]
        return site["fn"].log_prob(site["value"])


@final
@dataclass(frozen=True, eq=False)
class _Onto(Transform):
    """NumPyro's bijection onto a support.

    Attributes:
        support: of a site or a parameter.
        elementwise: whether each element has a free number of its own.
    """

    support: Any
    elementwise: bool = True

    @property
    def words(self) -> str:
        return type(self.support).__name__.strip("_")

    def forward(self, z: Any) -> Any:
        return biject_to(self.support)(z)

    def back(self, v: Any) -> Any:
        return biject_to(self.support).inv(v)


def _sites(model: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    with float64_scope():
        return dict(handlers.trace(handlers.seed(model, 0)).get_trace(*args, **kwargs))


def _is_unknown(site: Mapping[str, Any]) -> bool:
    return site["type"] == "param" or (site["type"] == "sample" and not site["is_observed"])


def _plain(site: Mapping[str, Any]) -> bool:
    return site.get("scale") is None and not site["fn"].event_shape


def _slot(name: str, site: Mapping[str, Any]) -> Slot:
    support = site["fn"].support if site["type"] == "sample" else site["kwargs"].get("constraint", constraints.real)
    if getattr(support, "is_discrete", False):
        raise ValueError(
            f"A maximum is sought over continuous unknowns; {name!r} is {type(site['fn']).__name__}, which is discrete. Sum over"
            " its values in the model, or sample."
        )
    bijection, shape = biject_to(support), np.shape(site["value"])
    with float64_scope():
        free = jax.eval_shape(bijection.inv, jax.ShapeDtypeStruct(shape, np.float64)).shape
    elementwise = free == shape and support.event_dim == 0
    return Slot(name, shape, _Onto(support, elementwise), free)
