"""The model as it was written, with its arguments: what predicts, what gives the likelihood of each row, and what was observed."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpyro import handlers
from numpyro.primitives import Messenger

from surprax.infer.blocks import in_blocks
from surprax.infer.programs import Hoisted
from surprax.infer.scopes import computing
from surprax.infer.sites import Site, any_value, is_auxiliary, read_sites
from surprax.models.detached import detached, views
from surprax.models.doubts import beyond_the_ends
from surprax.models.reading import read
from surprax.numerics.compilation import kept

__all__ = ["OfDraws", "Original"]


class _Unobserved(Messenger):
    """Observed sites become free, and are drawn like any other."""

    def process_message(self, message: dict[str, Any]) -> None:
        if message["type"] == "sample" and message["is_observed"] and not is_auxiliary(message["fn"]):
            message["is_observed"] = False
            message["value"] = None


def _unchanged(model: Callable[..., Any]) -> Callable[..., Any]:
    return model


@dataclass(frozen=True)
class Original:
    """A NumPyro model with its arguments.

    Attributes:
        model: the function.
        args, kwargs: what it was called with.
    """

    model: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @functools.cached_property
    def sites(self) -> dict[str, Site]:
        """All sites, by name."""
        return read_sites(detached(self.model), *views((self.args, self.kwargs)))

    def of_kind(self, kind: str) -> list[Site]:
        """The sites of one kind, in the order of the model."""
        return [site for site in self.sites.values() if site.kind == kind]

    @functools.cached_property
    def observed(self) -> dict[str, np.ndarray]:
        """Values of the observed sites, all rows."""
        names = [site.name for site in self.of_kind("observed")]

        def values() -> dict[str, Any]:
            trace = self._trace(jax.random.key(0), substitute_fn=any_value)
            return {name: jnp.asarray(trace[name]["value"]) for name in names}

        # With all their digits; what is compiled leaves out all that observations do not depend on.
        with computing(True):
            hoisted = Hoisted(values)
            return jax.tree.map(np.asarray, jax.jit(hoisted.pure)(hoisted.constants))

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments by the names that the model gives them."""
        bound = inspect.signature(self.model).bind(*self.args, **self.kwargs)
        named: dict[str, Any] = {}
        for name, value in bound.arguments.items():
            kind = bound.signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_KEYWORD:
                named |= value
            elif kind is inspect.Parameter.VAR_POSITIONAL:
                named |= {f"{name}_{i}": part for i, part in enumerate(value)}
            else:
                named[name] = value
        return named

    @property
    def constants(self) -> dict[str, np.ndarray]:
        """Arguments that are arrays, other than what is observed."""
        arrays = {
            name: value for name, value in self.arguments.items() if hasattr(value, "dtype") and np.ndim(value) > 0
        }
        return {
            name: np.asarray(value) for name, value in arrays.items() if name not in self._observed_arguments.values()
        }

    @functools.cached_property
    def _observed_arguments(self) -> dict[str, str]:
        """Names of the arguments that observed sites have for a value, by site."""
        arguments = {name: value for name, value in self.arguments.items() if hasattr(value, "dtype")}
        return {
            site: name
            for site, observed in self.observed.items()
            for name, value in arguments.items()
            if np.shape(value) == observed.shape and np.array_equal(np.asarray(value, observed.dtype), observed)
        }

    def demand_unobserved(self, names: Sequence[str]) -> None:
        """Raise `ValueError`, naming the argument to leave out, where one of these sites is observed."""
        for name in names:
            if self.sites[name].kind == "observed":
                argument = self._observed_arguments.get(name)
                named = argument in inspect.signature(self.model).parameters
                remedy = f"pass {argument}=None" if named else "pass None in the place of its data"
                raise ValueError(
                    f"What is predicted must not be observed; with these arguments the model observes {name!r}: {remedy}."
                )

    def doubts(self) -> list[str]:
        """What the model does with these arguments that can hardly be meant, in sentences."""
        return beyond_the_ends(read(detached(self.model), *views((self.args, self.kwargs))).graph, {})

    # Functions of draws of the latent sites.

    def log_density(self, name: str, draws: Mapping[str, np.ndarray]) -> "OfDraws":
        """log p(site | sites before it) in nats, of an observed or a latent site, for each of its rows; draws (n, …) by site."""

        def density(latents: dict[str, Array]) -> Array:
            site = self._trace(jax.random.key(0), data=latents)[name]
            return jnp.asarray(site["fn"].log_prob(site["value"]))

        return OfDraws("log density", density, self._latents(draws))

    def predictions(
        self, names: Sequence[str], draws: Mapping[str, np.ndarray], key: Array, *, observed: bool = False
    ) -> dict[str, "OfDraws"]:
        """Values of sites given the latent ones.

        Args:
            names: of the sites.
            draws: (n, …) by site.
            key: from which each draw gets a key of its own, whatever else is asked for.
            observed: whether what the model observes is to be drawn anew; otherwise it stays as observed.
        """
        wrap = _Unobserved if observed else _unchanged
        implementation = jax.random.key_impl(key)
        count = len(next(iter(draws.values())))
        keys = np.asarray(jax.random.key_data(jax.random.split(key, count)))

        def predict(name: str, one: tuple[dict[str, Array], Array]) -> Array:
            latents, key_data = one
            own = jax.random.wrap_key_data(key_data, impl=implementation)
            return jnp.asarray(self._trace(own, wrap, data=latents)[name]["value"])

        everything = (self._latents(draws), keys)
        return {name: OfDraws("prediction", functools.partial(predict, name), everything) for name in names}

    def _latents(self, draws: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Draws of this model's latent sites: what is deterministic follows from them."""
        return {site.name: np.asarray(draws[site.name]) for site in self.of_kind("latent") if site.name in draws}

    def _trace(self, key: Array, wrap: Callable[[Any], Any] = _unchanged, **known: Any) -> Any:
        # JAX 0.12 remembers the precision in which it first saw a NumPy array; a view is another array.
        args, kwargs = views((self.args, self.kwargs))
        seeded = handlers.substitute(handlers.seed(wrap(detached(self.model)), key), **known)
        return handlers.trace(seeded).get_trace(*args, **kwargs)


class OfDraws:
    """A function of single draws, applied to those that are asked for: in blocks, and in the precision that draws have.

    Args:
        what: it is, for the store of programs.
        function: of one draw, to one array.
        draws: arrays (n, …).

    Attributes:
        shape, dtype: of its value for one draw.
    """

    def __init__(self, what: str, function: Callable[[Any], Array], draws: Any) -> None:
        self._what, self._function, self._draws = what, function, draws
        self._float64 = jax.config.jax_enable_x64 or any(x.dtype == np.float64 for x in jax.tree.leaves(draws))
        self._first = jax.tree.map(lambda x: x[0], draws)
        with computing(self._float64):
            value = jax.eval_shape(function, self._first)
        self.shape: tuple[int, ...] = value.shape
        self.dtype = value.dtype

    @functools.cached_property
    def _program(self) -> Callable[[Any], Any]:
        hoisted = Hoisted(self._function, self._first)
        pure = hoisted.pure
        program = kept((self._what, hoisted.fingerprint), lambda: jax.jit(jax.vmap(pure, in_axes=(None, 0))))
        return functools.partial(program, hoisted.constants)

    def __call__(self, indices: np.ndarray) -> np.ndarray:
        """Values for draws with these indices, (n, …)."""
        with computing(self._float64):
            chosen = jax.tree.map(lambda x: x[indices], self._draws)
            return in_blocks(self._program, chosen, int(np.prod(self.shape, dtype=int)))
