"""A model without arguments as an energy over one flat vector of free numbers, which is what samplers and optimisers work on."""

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpyro.infer.util import constrain_fn, log_density, potential_energy

from surprax.infer.blocks import block_size, in_blocks
from surprax.infer.coordinates import Coordinate, moved
from surprax.infer.programs import Hoisted
from surprax.infer.scopes import computing
from surprax.infer.sites import continuous_latents, read_sites
from surprax.models.aside import Aside
from surprax.numerics.compilation import SOON_RUN, kept

__all__ = ["Energy"]

_MANY = 1_000_000
"""Numbers that it takes more time to compute than to compile a program that computes them fast."""


class Energy:
    """U(z) = −log p(x(z), data) − log |∂x/∂z| in nats, where x are the latent sites and z ∈ ℝᵈ the free numbers behind them.

    Args:
        model: a NumPyro model without arguments.
        float64: whether to compute in float64; None: as JAX is configured.
        jacobian: whether U has its second term. Without it the least energy is at the mode of the density of x itself.
        chosen: latent sites for which z has coordinates of their own (`coordinates`).

    All methods that compute are to be called inside of `with energy.scope():`.

    Raises:
        ValueError: where the model has latent sites that are not continuous, or none.
    """

    def __init__(
        self,
        model: Callable[[], Any],
        *,
        float64: bool | None = None,
        jacobian: bool = True,
        chosen: Sequence[Coordinate] = (),
    ) -> None:
        self._model = model
        self.chosen = tuple(chosen)
        sites = read_sites(model, (), {})
        self._latents = continuous_latents(sites)
        self._order = list(sites)
        self.names = tuple(self._latents)
        self.sizes = [int(np.prod(site.free_shape, dtype=int)) for site in self._latents.values()]
        self.size = sum(self.sizes)
        self.float64 = jax.config.jax_enable_x64 if float64 is None else float64
        self.device: Any = None

        def energy(z: Array) -> Array:
            free, log_volume = self.free(z)
            if jacobian:
                return potential_energy(model, (), {}, free) - log_volume
            return -log_density(model, (), {}, constrain_fn(model, (), {}, free))[0]

        with self.scope():
            self._hoisted = Hoisted(lambda z: jnp.asarray(energy(z), z.dtype), np.zeros(self.size, self.dtype))

    def scope(self) -> AbstractContextManager[None]:
        """The precision and the device of this energy."""
        return computing(self.float64, self.device)

    @property
    def dtype(self) -> Any:
        return np.float64 if self.float64 else np.float32

    @property
    def pure(self) -> Callable[[Any, Array], Array]:
        """U as a function of the model's data and of z."""
        return self._hoisted.pure

    @property
    def slope(self) -> Callable[[Any, Array], tuple[Array, Array]]:
        """U and its gradient, likewise."""
        return self._hoisted.slope

    @property
    def constants(self) -> Any:
        """The model's data, for `pure` and `slope`."""
        return self._hoisted.constants

    @property
    def fingerprint(self) -> str:
        """Equal for energies that differ in their data only."""
        return f"{self._hoisted.slope_fingerprint} {self.device}"

    def unravel(self, z: Array) -> dict[str, Array]:
        """The free numbers by site; z is one point."""
        parts = jnp.split(z, np.cumsum(self.sizes)[:-1])
        return {name: part.reshape(site.free_shape) for part, (name, site) in zip(parts, self._latents.items())}

    def free(self, z: Array) -> tuple[dict[str, Array], Any]:
        """The free numbers of the model by site, and log |∂ of these / ∂z|."""
        free = self.unravel(z)
        return moved(self.chosen, free) if self.chosen else (free, 0.0)

    @property
    def free_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the free numbers, by site."""
        return {name: site.free_shape for name, site in self._latents.items()}

    @functools.cached_property
    def _values(self) -> Hoisted:
        def values(z: Array) -> tuple[Any, Array]:
            free, log_volume = self.free(z)
            return constrain_fn(self._model, (), {}, free, return_deterministic=True), jnp.asarray(log_volume, z.dtype)

        return Hoisted(values, np.zeros(self.size, self.dtype))

    def values(self, z: np.ndarray) -> dict[str, np.ndarray]:
        """Latent and deterministic sites of the model at points z of shape (n, d): arrays of shape (n, …), by name."""
        return self.values_and_volumes(z)[0]

    def values_and_volumes(self, z: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The same, and log |∂ the model's own free numbers / ∂z|, shape (n,): 0 where z is those."""
        program = functools.partial(self.values_program(len(z)), self._values.constants)
        found, log_volume = in_blocks(program, z.astype(self.dtype))
        return {name: found[name] for name in self._order if name in found}, log_volume

    def values_program(self, count: int) -> Callable[[Any, Any], Any]:
        """What `values` of so many points runs, compiled or about to be."""
        values = self._values
        pure, size = values.pure, block_size(count, self.size)
        points = jax.ShapeDtypeStruct((size, self.size), self.dtype)

        small = count * self.size < _MANY and sum(map(np.size, values.constants)) < _MANY

        def build() -> Any:
            options = SOON_RUN if small else None
            return Aside(jax.vmap(pure, in_axes=(None, 0)), values.constants, points, options=options)

        return kept(("values", size, small, f"{values.fingerprint} {self.device}"), build)

    def at(self, z: np.ndarray) -> np.ndarray:
        """U at points z of shape (n, d), shape (n,)."""
        pure = self.pure

        def build() -> Any:
            return jax.jit(lambda constants, z: jax.lax.map(lambda one: pure(constants, one), z))

        return np.asarray(kept(("energy", self.fingerprint), build)(self.constants, z.astype(self.dtype)), np.float64)

    def __repr__(self) -> str:
        return f"Energy({', '.join(self.names)}; {self.size} free numbers, {np.dtype(self.dtype).name})"
