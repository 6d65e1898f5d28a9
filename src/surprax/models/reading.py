"""Reading a NumPyro model: its sites, and everything they are made of as one graph of values.

The model is run once for its shapes and once to be staged, with the values of latent sites as inputs and data as constants; no row
is computed. What a site is (a distribution with masks, expansions and events around it) is taken apart while that happens, so that
its parameters are values of the graph.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as npd
from numpyro import handlers
from numpyro.infer import init_to_uniform
from numpyro.primitives import Messenger

from surprax.families.base import Distribution
from surprax.families.catalogue import FAMILIES
from surprax.interop.adapter import SurpraxDistribution
from surprax.interop.numpyro_twins import TWINS
from surprax.models.graph import Graph, Value, inputs_of

__all__ = ["Reading", "Site", "as_samplers_start", "read", "strict_ranks_off"]


@dataclass(frozen=True, eq=False)
class Site:
    """One site of the model.

    Attributes:
        name: of the site.
        kind: "latent", "observed", "factor", "deterministic", "plate" or what else NumPyro calls it.
        frames: the plates around it, outermost first: (name, dim, size).
        infer: the site's `infer` dictionary.
        tree, leaves: the distribution as a pytree: its definition and its arrays.
        distribution: class of the distribution, inside of what is put around it.
        discrete: whether its values are.
        value: what was observed, or the value of a deterministic site.
        scale: of its log-density, by `handlers.scale` and subsampling; None for 1.
        mask: of its log-density; None where nothing is masked.
        batch_shape: of the distribution, to which mask and scale belong; `sample_shape` is what the statement itself adds.
        shape: of the log-density of an observed site, one entry for each row; `events` of its last axes come from `to_event`.
        support: of an observed distribution, where it does not depend on parameters and NumPyro holds values against it.
        family: our family of an observed distribution, where there is one.
        parameters: of `family`, or else of the distribution, by name.
        event_dims: how many axes of each parameter belong to one row.
        own_parameters, own_event_dims: of NumPyro's class; empty where it cannot be made of them again.
        event_dim: how many axes of the value belong to one row.
        trouble: why it cannot be read further; None where it can.
    """

    name: str
    kind: str
    frames: tuple[tuple[str, int, int], ...] = ()
    infer: Mapping[str, Any] = field(default_factory=dict)
    tree: Any = None
    leaves: tuple[Value, ...] = ()
    distribution: type | None = None
    discrete: bool = False
    value: Value | None = None
    scale: Value | None = None
    mask: Value | None = None
    batch_shape: tuple[int, ...] = ()
    sample_shape: tuple[int, ...] = ()
    shape: tuple[int, ...] = ()
    events: int = 0
    support: Any = None
    family: type[Distribution] | None = None
    parameters: Mapping[str, Value] = field(default_factory=dict)
    event_dims: Mapping[str, int] = field(default_factory=dict)
    own_parameters: Mapping[str, Value] = field(default_factory=dict)
    own_event_dims: Mapping[str, int] = field(default_factory=dict)
    event_dim: int = 0
    trouble: str | None = None

    @property
    def rows(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    def again(self, leaves: Sequence[Any]) -> Any:
        """The distribution of these leaves, which gives what is outside of its support a probability of 0, as it did.

        Of a latent vector or matrix that is not checked: NumPyro does so with tolerances that float32 misses.
        """
        d = jax.tree.unflatten(self.tree, leaves)
        base = d
        while isinstance(base, npd.MaskedDistribution | npd.Independent | npd.ExpandedDistribution):
            base = base.base_dist
        if self.kind == "observed" or (base.event_dim == 0 and base.support is not npd.constraints.real):
            _validated_as_before(d)
        return d


@dataclass(frozen=True, eq=False)
class Reading:
    """A model, read.

    Attributes:
        sites: in the order of the model, by name.
        latents: shapes and dtypes of latent sites, by name.
        graph: how all values come about; its inputs are named by the latent sites.
        replayable: whether the model is the sum of its sites, which can be said again in their order without running it.
        obstacle: where it is not, what stands in the way.
        random: whether the model asks for random numbers beside those of its sites.
    """

    sites: Mapping[str, Site]
    latents: Mapping[str, Any]
    graph: Graph
    obstacle: str | None
    random: bool = False

    @property
    def replayable(self) -> bool:
        return self.obstacle is None


@contextlib.contextmanager
def strict_ranks_off() -> Iterator[None]:
    """Models and NumPyro may rely on NumPy's silent promotion of ranks, also where a user has told JAX to refuse it."""
    with jax.numpy_rank_promotion("allow"):
        yield


def read(model: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Reading:
    """Stage a model in JAX's precision of the moment.

    Raises:
        TypeError: where `model` is not callable.
        ValueError: where it has no sites.
    """
    if not callable(model):
        raise TypeError(f"A model is a function that NumPyro can run; got {type(model).__name__}.")
    with strict_ranks_off(), handlers.block():  # whoever runs NumPyro around this sees nothing of it
        return _read(model, args, kwargs)


def _read(model: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Reading:
    watch = _Watch()

    def trace(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        started = handlers.substitute(handlers.seed(model, jax.random.key(0)), substitute_fn=as_samplers_start)
        known = handlers.substitute(started, data=dict(inputs))
        with watch:
            return handlers.trace(known).get_trace(*args, **kwargs)

    def first_look() -> dict[str, Any]:
        return {name: jnp.asarray(site["value"]) for name, site in trace({}).items() if _changes(site)}

    try:
        inputs = jax.eval_shape(first_look)
    except jax.errors.JAXTypeError as error:
        raise ValueError(
            "A model must be one that JAX can trace, as NUTS and SVI need too; this one uses a value as NumPy would where it is not"
            " known yet. Use jax.numpy, and jax.numpy.asarray for columns of data frames and data that are indexed by a plate."
            " JAX says:"
            f" {str(error).splitlines()[0]}"
        ) from error
    names = list(inputs)
    about: dict[str, Any] = {}

    def stage(*values: Any) -> Any:
        arrays: dict[str, Any] = {}
        for name, site in trace(dict(zip(names, values))).items():
            about[name], arrays[name] = _taken_apart(site)
        leaves, about[""] = jax.tree.flatten(arrays)
        about["staged"] = [isinstance(leaf, jax.core.Tracer) for leaf in leaves]
        about["as they are"] = leaves
        return [leaf for leaf, staged in zip(leaves, about["staged"]) if staged]

    closed = jax.make_jaxpr(stage)(*inputs.values())
    staged, leaves, tree = about.pop("staged"), about.pop("as they are"), about.pop("")
    graph = Graph(closed, names)
    outputs = iter(graph.outputs)
    values = [next(outputs) if is_staged else _constant(leaf) for is_staged, leaf in zip(staged, leaves)]
    arrays = jax.tree.unflatten(tree, values)
    sites = {name: Site(name, **about[name], **arrays[name]) for name in about}
    if not any(site.kind in ("latent", "observed", "factor") for site in sites.values()):
        raise ValueError("A model has at least one numpyro.sample statement; this one made none.")
    latents = {name: inputs[name] for name, site in sites.items() if site.kind == "latent"}
    return Reading(sites, latents, graph, _obstacle(sites), watch.random)


def as_samplers_start(site: Mapping[str, Any]) -> Any:
    """Where samplers would start, for a latent site of which no sample can be drawn."""
    fn: Any = site.get("fn")
    while site["type"] == "sample" and hasattr(fn, "base_dist") and not isinstance(fn, npd.TransformedDistribution):
        fn = fn.base_dist
    improper = site["type"] == "sample" and not site["is_observed"] and isinstance(fn, npd.ImproperUniform)
    return init_to_uniform(site) if improper else None


class _Watch(Messenger):
    """Sees whether a model asks for random numbers beside those of its sites, and that what it observes are arrays."""

    random = False

    def process_message(self, msg: Any) -> None:
        self.random = self.random or msg["type"] == "prng_key"
        if msg["type"] == "sample" and msg["is_observed"]:
            _demand_array(msg["name"], msg["value"])


def _demand_array(site: str, value: Any) -> None:
    """Raise `TypeError` where NumPyro's densities cannot take what is observed, or would not see what is masked."""
    if isinstance(value, np.ma.MaskedArray):
        found, remedy = (
            "a masked array, whose mask NumPyro does not see",
            "its data, and its mask by numpyro.handlers.mask",
        )
    elif isinstance(value, np.ndarray) and value.dtype.kind not in "biufcV":  # JAX's own small floats are of kind V
        found, remedy = f"an array of dtype {value.dtype}", "numbers"
    elif not isinstance(value, jax.Array | np.ndarray | np.generic | int | float | complex):
        found, remedy = (
            f"a {type(value).__module__}.{type(value).__name__}".replace("builtins.", ""),
            "numpy.asarray of it",
        )
    else:
        return
    raise TypeError(f"Site {site!r} must observe an array, or a number; it observes {found}. Pass {remedy}.")


def _changes(site: Mapping[str, Any]) -> bool:
    """Whether the value of a site is another at each step: of a latent site, a parameter of SVI, a part of the rows."""
    if site["type"] == "plate":
        size, part = site["args"]
        return part is not None and part != size
    return site["type"] == "param" or (site["type"] == "sample" and not site["is_observed"])


def _constant(leaf: Any) -> Value:
    leaf = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
    return Value(tuple(leaf.shape), leaf.dtype, True, constant=leaf)


def _obstacle(sites: Mapping[str, Site]) -> str | None:
    """Why a model cannot be said again site by site."""
    said: set[str] = set()
    for site in sites.values():
        if site.kind not in ("latent", "observed", "factor", "deterministic", "plate"):
            return f"it has a numpyro.{site.kind} site, {site.name!r}"
        if site.kind == "latent" and site.discrete:
            return f"latent site {site.name!r} is discrete"
        if site.kind == "plate" and site.trouble:
            return site.trouble
        if site.kind == "latent":
            if not inputs_of(site.leaves) <= said:
                return f"latent site {site.name!r} is drawn inside of a loop"
            said.add(site.name)
    return None


def _taken_apart(site: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is known of a site now, and its arrays."""
    kind, value = site["type"], site["value"]
    fn: Any = site.get("fn")
    frames = tuple((f.name, f.dim, f.size) for f in site.get("cond_indep_stack", ()))
    if kind != "sample":
        about: dict[str, Any] = {"kind": kind, "frames": frames}
        if kind == "plate":
            size, _ = site["args"]
            if _changes(site):
                about["trouble"] = f"plate {site['name']!r} takes a part of its {size} rows anew at each step"
        return about, {"value": value if kind == "deterministic" else None}
    observed = site["is_observed"]
    base, mask, events, trouble = _unwrapped(fn)
    auxiliary = type(base).__name__ == "Unit"
    mask_of_latent = None
    while not observed and isinstance(fn, npd.MaskedDistribution):
        # A mask around a latent site also masks what a change of variables adds: it is said again as a mask.
        own = jnp.asarray(fn._mask)
        mask_of_latent = own if mask_of_latent is None else mask_of_latent & own
        fn = fn.base_dist
    leaves, tree = jax.tree.flatten(fn)
    about = {
        "kind": "latent" if not observed else "factor" if auxiliary else "observed",
        "frames": frames,
        "infer": dict(site["infer"]),
        "tree": tree,
        "sample_shape": tuple(site["kwargs"].get("sample_shape", ())),
        "batch_shape": tuple(fn.batch_shape),
        "discrete": bool(fn.is_discrete),
    }
    arrays: dict[str, Any] = {"leaves": leaves, "scale": site["scale"]}
    arrays["value"] = value if observed else None
    about["distribution"] = type(base)
    if not observed or auxiliary:
        arrays["mask"] = mask_of_latent
        return about, arrays
    arrays["mask"], about["trouble"] = mask, trouble
    about["event_dim"] = base.event_dim
    batch = tuple(fn.batch_shape) + tuple(fn.event_shape[:events])
    data = jnp.shape(value)
    about["shape"] = np.broadcast_shapes(batch, data[: len(data) - base.event_dim])
    about["events"] = events
    support = inspect.getattr_static(type(base), "support", None)
    depends = type(npd.constraints.dependent)
    if base._validate_args and isinstance(support, npd.constraints.Constraint) and not isinstance(support, depends):
        about["support"] = support
    about["family"], arrays["parameters"], about["event_dims"] = _parameters(base)
    arrays["own_parameters"], about["own_event_dims"] = _own_parameters(base)
    return about, arrays


def _unwrapped(fn: Any) -> tuple[Any, Any, int, str | None]:
    """The distribution inside masks, expansions and `to_event`: itself, the mask, the number of axes that `to_event` took."""
    mask, events = None, 0
    while True:
        if isinstance(fn, npd.MaskedDistribution):
            own = jnp.asarray(fn._mask)
            if events:
                return fn, None, 0, "a mask inside of to_event"
            mask = own if mask is None else mask & own
            fn = fn.base_dist
        elif isinstance(fn, npd.Independent):
            events += fn.reinterpreted_batch_ndims
            fn = fn.base_dist
        elif isinstance(fn, npd.ExpandedDistribution):
            fn = fn.base_dist
        else:
            return fn, mask, events, None


def _validated_as_before(d: Any) -> None:
    """Where a distribution leaves it to NumPyro whether values are validated, flattening it has made that a no."""
    if d.__dict__.get("_validate_args", False) is None:
        del d.__dict__["_validate_args"]
    for part in jax.tree.leaves(list(d.__dict__.values()), is_leaf=lambda x: isinstance(x, npd.Distribution)):
        if isinstance(part, npd.Distribution):
            _validated_as_before(part)


def _parameters(base: Any) -> tuple[type[Distribution] | None, dict[str, Any], dict[str, int]]:
    """Our family of a distribution and its parameters, or NumPyro's own parameters where there is none."""
    if isinstance(base, SurpraxDistribution):
        ours = base.surprax
        family = type(ours)
        if all(meta["constraint"] is not None for meta in family.parameters.values()):
            return _ours(family, {name: getattr(ours, name) for name in family.parameters})
        return None, {}, {}
    twin = TWINS.get(type(base).__name__)
    if twin is not None and type(base) is getattr(npd, twin.theirs) and twin.family in FAMILIES:
        return _ours(FAMILIES[twin.family], twin.to_ours(base))
    own, event_dims = _own_parameters(base)
    return None, own, event_dims


def _own_parameters(base: Any) -> tuple[dict[str, Any], dict[str, int]]:
    """The parameters that NumPyro's class is made of; none where it cannot be made of them again."""
    if isinstance(base, SurpraxDistribution):
        return {}, {}
    constraints = type(base).arg_constraints
    try:
        takes = inspect.signature(type(base).__init__).parameters
    except (TypeError, ValueError):
        return {}, {}
    needed = {n for n, p in takes.items() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD and n != "self"}
    held = {name: base.__dict__[name] for name in constraints if base.__dict__.get(name) is not None and name in takes}
    held |= {name: getattr(base, name, None) for name in needed if name not in held}
    if not held or not all(isinstance(v, jax.Array | np.ndarray | np.generic | float | int) for v in held.values()):
        return {}, {}
    try:
        event_dims = {name: int(getattr(constraints.get(name), "event_dim", 0)) for name in held}
    except NotImplementedError:  # of Delta, say, whose value may be anything
        return {}, {}
    return {name: jnp.asarray(value) for name, value in held.items()}, event_dims


def _ours(family: type[Distribution], parameters: Mapping[str, Any]) -> tuple[Any, dict[str, Any], dict[str, int]]:
    given = {name: jnp.asarray(value) for name, value in parameters.items()}
    # An alternative parameter (logits for probs) has the axes of the one that the family holds.
    event_dims = {
        name: family.parameters[name]["event_dim"]
        if name in family.parameters
        else max((m["event_dim"] for m in family.parameters.values()), default=0)
        for name in given
    }
    return family, given, event_dims
