"""Posteriors as `xarray.DataTree`, in the schema of ArviZ: https://python.arviz.org/projects/base/en/latest/."""

import datetime
import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from jax import Array

from surprax.infer.keys import as_key
from surprax.infer.lazy import lazy_variable
from surprax.infer.original import OfDraws, Original

if TYPE_CHECKING:
    from surprax.infer.posterior import Posterior

__all__ = ["of_draws", "to_datatree"]

_SAMPLE = ("chain", "draw")


def to_datatree(
    posterior: "Posterior",
    draws: Mapping[str, np.ndarray],
    *,
    posterior_predictive: bool,
    log_likelihood: bool | str,
    key: Array | None,
    coords: Mapping[str, Any] | None,
) -> xr.DataTree:
    """See `Posterior.to_datatree`; `draws` (chains, draws, …) are those to put into it."""
    if log_likelihood not in (True, False, "lazy"):
        raise ValueError(f'log_likelihood is "lazy", True or False; got {log_likelihood!r}.')
    original = posterior.original
    latent, observed = (tuple(site.name for site in original.of_kind(kind)) for kind in ("latent", "observed"))
    flat = {name: value.reshape(-1, *value.shape[2:]) for name, value in draws.items()}
    for name in (*draws, *observed):
        if name in _SAMPLE:
            raise ValueError(
                f"A DataTree has axes chain and draw, and no variable of such a name; rename the site {name!r}."
            )
    make = _Datasets(original, next(iter(draws.values())).shape[:2], dict(coords or {}), (*_SAMPLE, *draws, *observed))

    groups = {"posterior": make.of_draws(draws)}
    groups["posterior"].attrs |= {"method": posterior.method, "exact": int(posterior.exact)}
    if posterior.statistics:
        groups["sample_stats"] = make.of_draws(posterior.statistics)
    groups["log_prior"] = make.lazy({name: original.log_density(name, flat) for name in latent})
    if observed and log_likelihood:
        group = make.lazy({name: original.log_density(name, flat) for name in observed})
        groups["log_likelihood"] = group.load() if log_likelihood is True else group
    if observed and posterior_predictive:
        predictions = original.predictions(observed, flat, as_key(key, "Prediction"), observed=True)
        groups["posterior_predictive"] = make.lazy(predictions)
    if observed:
        groups["observed_data"] = make.of_data(original.observed)
    if original.constants:
        groups["constant_data"] = make.of_data(original.constants)
    axes = sorted({str(dim) for group in groups.values() for dim in group.dims} - set(_SAMPLE))
    for name in coords or ():
        if name not in axes:
            raise ValueError(f"Coordinates are of axes: {', '.join(axes) or 'there are none'}; got some for {name!r}.")
    return xr.DataTree.from_dict(groups)


def of_draws(draws: Mapping[str, np.ndarray], attributes: Mapping[str, Any]) -> xr.DataTree:
    """A posterior of nothing but draws (chains, draws, …), which some other method made."""
    variables = {
        name: xr.Variable((*_SAMPLE, *(f"{name}_dim_{i}" for i in range(x.ndim - 2))), x) for name, x in draws.items()
    }
    dims = {dim: size for variable in variables.values() for dim, size in variable.sizes.items()}
    coords = {str(dim): np.arange(size) for dim, size in dims.items()}
    return xr.DataTree.from_dict(
        {"posterior": xr.Dataset(variables, coords=coords, attrs=_origin() | dict(attributes))}
    )


def _origin() -> dict[str, str]:
    return {
        "created_at": datetime.datetime.now(datetime.UTC).isoformat(),
        "inference_library": "surprax",
        "inference_library_version": importlib.metadata.version("surprax"),
    }


@dataclass(frozen=True)
class _Datasets:
    """Datasets of one posterior, whose axes all have the same names.

    Attributes:
        original: the model, of which plates name the axes.
        shape: chains and draws.
        coords: labels by name of axis; 0, 1, … where there are none.
        taken: names of variables, which an axis of several cannot have too.
    """

    original: Original
    shape: tuple[int, ...]
    coords: Mapping[str, Any]
    taken: Sequence[str]

    def of_draws(self, arrays: Mapping[str, np.ndarray]) -> xr.Dataset:
        return self._dataset(
            {name: xr.Variable((*_SAMPLE, *self._dims(name, x.shape[2:])), x) for name, x in arrays.items()}
        )

    def of_data(self, arrays: Mapping[str, np.ndarray]) -> xr.Dataset:
        return self._dataset({name: xr.Variable(self._dims(name, x.shape), x) for name, x in arrays.items()})

    def lazy(self, of: Mapping[str, OfDraws]) -> xr.Dataset:
        """Variables that are computed when they are read."""
        return self._dataset(
            {
                name: lazy_variable(
                    (*_SAMPLE, *self._dims(name, each.shape)), each, (*self.shape, *each.shape), each.dtype
                )
                for name, each in of.items()
            }
        )

    def _dims(self, name: str, shape: tuple[int, ...]) -> tuple[str, ...]:
        """Names of the axes of a variable; of its first axes, where it has fewer than the site."""
        site = self.original.sites.get(name)
        known = site.dims[: len(shape)] if site is not None else ()
        dims = [f"{dim}_dim" if dim in self.taken else dim for dim in known] + [None] * (len(shape) - len(known))
        unnamed = iter(range(len(shape)))
        return tuple(f"{name}_dim_{next(unnamed)}" if dim is None else dim for dim in dims)

    def _dataset(self, variables: Mapping[str, xr.Variable]) -> xr.Dataset:
        sizes = {dim: size for variable in variables.values() for dim, size in variable.sizes.items()}
        coords = {str(dim): self.coords.get(str(dim), np.arange(size)) for dim, size in sizes.items()}
        return xr.Dataset(variables, coords=coords, attrs=_origin())
