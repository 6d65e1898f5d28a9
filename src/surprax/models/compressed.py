"""A compressed model: its latent sites as they were, and what is left of its observed ones."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from numpyro import handlers

from surprax.models.certificate import Certificate
from surprax.models.compact import Compact
from surprax.models.detached import detached, views
from surprax.models.doubts import beyond_the_ends
from surprax.models.explanation import Plan, plan_of
from surprax.models.expressions import Table, leaves_of
from surprax.models.graph import Value, evaluate, frontier, inputs_of
from surprax.models.reading import Reading, Site, read, strict_ranks_off
from surprax.models.rows import FOLLOWED, Rows
from surprax.models.rules import Kept, compress_site

__all__ = ["Compressed", "Outcome", "rewrite"]

SMALL_CONSTANT = 4096.0
"""A constant of this size leaves float32 four decimals; larger ones are told apart from the energy."""

type Outcome = Compact | Kept


class Compressed:
    """A NumPyro model, called without arguments, with the latent sites and the posterior of another, at a cost free of its rows.

    `fast()` is `fast.model(*fast.args)`: the arguments are small arrays, so that a sampler compiled for `fast.model` takes the
    arguments of any data of the same structure. Where numbers are too large for float32, the constant part of the log-likelihood is
    left out: `log_offset` is what the log-density of the plain model has beyond this one's, and 0 in float64.

    Attributes:
        original: the model, its arguments and keyword arguments.
        outcomes: by observed site, its compressed form or why there is none.
        certificate: of the comparison with the plain model; None where nothing is compressed.
        doubts: what the model does that its author can hardly have meant, in sentences.
    """

    def __init__(
        self,
        original: tuple[Any, tuple[Any, ...], dict[str, Any]],
        reading: Reading,
        outcomes: Mapping[str, Outcome],
        doubts: Sequence[str] = (),
    ) -> None:
        self.original, self.outcomes, self.doubts = original, dict(outcomes), tuple(doubts)
        self._readings = {True: reading}
        self._programs: dict[bool, _Program] = {}
        self.certificate: Certificate | None = None
        self.__name__ = getattr(original[0], "__name__", type(original[0]).__name__)

    def __call__(self) -> None:
        self.model(*self.args)

    def __repr__(self) -> str:
        return f"Compressed({self.__name__}, {len(self.compacts)} of {len(self.outcomes)} observed sites)"

    @property
    def plan(self) -> Plan:
        """What became of each site, and why."""
        return plan_of(self.__name__, self.reading, self.outcomes, self.certificate)

    @property
    def compacts(self) -> dict[str, Compact]:
        """The compressed sites."""
        return {name: o for name, o in self.outcomes.items() if isinstance(o, Compact)}

    @property
    def reading(self) -> Reading:
        """The model as it was read, in float64."""
        return self._readings[True]

    @property
    def latents(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the latent sites, by name."""
        return {name: tuple(spec.shape) for name, spec in self.reading.latents.items()}

    @property
    def model(self) -> Callable[..., None]:
        """The model as a function of `args`."""
        return self._program.model

    @property
    def args(self) -> tuple[Any, ...]:
        """The small arrays that the model depends on."""
        return self._program.args

    @property
    def log_constant(self) -> float:
        """The part of the log-likelihood of the compressed sites that no latent value changes, in nats."""
        return float(sum(c.constant for c in self.compacts.values()))

    @property
    def log_offset(self) -> float:
        """Log-density of the plain model less that of this one, in nats: 0 wherever JAX's precision can hold their sum."""
        return 0.0 if self._tells_constant else self.log_constant

    @property
    def _tells_constant(self) -> bool:
        return bool(jax.config.jax_enable_x64) or abs(self.log_constant) <= SMALL_CONSTANT

    def prior(self) -> None:
        """The latent sites alone, as a model without arguments."""
        self._program.prior()

    def seen(self, site: str, latents: Mapping[str, Any]) -> list[Any]:
        """What the rows of a compressed site see of the latent values, in JAX's precision: what is nearest to them comes last."""
        compact, program = self.compacts[site], self._program
        sources = program.interfaces[site]
        with strict_ranks_off():
            *behind, tables = self._evaluated([*map(_behind, sources), sources], latents)
            return [v for chain in behind for v in chain] + compact.seen(compact.arrays, tables)

    def log_likelihood(self, site: str, latents: Mapping[str, Any]) -> Any:
        """Log-likelihood of a compressed site without its constant, in nats."""
        compact = self.compacts[site]
        return compact.log_likelihood(compact.arrays, self._interface(site, latents))

    def _interface(self, site: str, latents: Mapping[str, Any]) -> list[Any]:
        return self._evaluated([self._program.interfaces[site]], latents)[0]

    def _evaluated(self, lists: Sequence[Sequence[Value]], latents: Mapping[str, Any]) -> list[list[Any]]:
        program = self._program
        memo: dict[Value, Any] = dict(zip(program.constants, program.args[1]))
        memo.update({v: latents[v.name] for v in program.reading.graph.inputs if v.name in latents})
        with strict_ranks_off():
            return [[jnp.asarray(v) for v in evaluate(values, {}, memo)] for values in lists]

    def without(self, names: Iterable[str], reason: str) -> "Compressed":
        """The same with some of the sites as they were."""
        outcomes = {name: Kept(reason) if name in names else o for name, o in self.outcomes.items()}
        return Compressed(self.original, self.reading, outcomes, self.doubts)

    @property
    def _program(self) -> "_Program":
        wide = bool(jax.config.jax_enable_x64)
        if wide not in self._programs:
            if wide not in self._readings:
                model, args, kwargs = self.original
                self._readings[wide] = read(model, args, kwargs)
            self._programs[wide] = _Program(self, self._readings[wide], self._tells_constant)
        return self._programs[wide]


def rewrite(model: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], gain: float) -> Compressed:
    """Read a model and compress its observed sites: those of which at most the share `gain` of the rows is left."""
    with jax.enable_x64(True), strict_ranks_off():
        reading = read(detached(model), *views((args, kwargs)))
        memo: dict[Value, Any] = {}
        outcomes: dict[str, Outcome] = {}
        for site in reading.sites.values():
            if site.kind == "observed":
                trouble = _entangled(site, reading)
                outcomes[site.name] = Kept(trouble) if trouble else compress_site(site, memo, gain)
        doubts = beyond_the_ends(reading.graph, memo)
    return Compressed((model, args, kwargs), reading, outcomes, doubts)


def _entangled(site: Site, reading: Reading) -> str | None:
    """Why a site cannot be taken out of a model."""
    for name, _, _ in site.frames:
        plate = reading.sites.get(name)
        if plate is not None and plate.trouble:
            return plate.trouble
    if reading.random:
        return "the model asks for random numbers of its own, by numpyro.prng_key"
    for name in sorted(inputs_of([*site.parameters.values(), *([site.value] if site.value else [])])):
        on = reading.sites[name]
        if on.trouble or on.discrete:
            return on.trouble or f"latent site {name!r} is discrete"
    return None


class _Program:
    """A compressed model in one precision."""

    def __init__(self, compressed: Compressed, reading: Reading, tells_constant: bool) -> None:
        self.reading, self.compacts = reading, compressed.compacts
        self.original = compressed.original
        self.tells_constant = tells_constant
        self.interfaces = {name: self._interface(name, compressed.reading) for name in self.compacts}
        self.names = [name for name in reading.sites if self._is_said(reading.sites[name])]
        wanted = [v for sources in self.interfaces.values() for v in sources]
        if reading.replayable:
            wanted += [v for name in self.names for v in _values_of(reading.sites[name])]
        self.constants = frontier(wanted)
        memo: dict[Value, Any] = {}
        with strict_ranks_off(), jax.ensure_compile_time_eval():  # also where the first call is being traced
            known = evaluate(self.constants, {}, memo)
        sites = {
            # An array, for a number would become part of the programs of this model, and other data would need others.
            name: {**compact.arrays, "constant": np.array([compact.constant])}
            for name, compact in self.compacts.items()
        }
        self.args: tuple[Any, ...] = (sites, list(known))
        self.model = self._replayed if reading.replayable else self._run_again

    def _is_said(self, site: Site) -> bool:
        """Whether a site is part of the compressed model."""
        if site.kind == "deterministic":
            assert site.value is not None
            return not any(_reads_rows(site.value, compact.rows) for compact in self.compacts.values())
        return site.kind in ("latent", "factor") or (site.kind == "observed" and site.name not in self.compacts)

    def _interface(self, name: str, planned: Reading) -> list[Value]:
        """The values of this reading that the tables of a site are."""
        theirs = _sources(planned.sites[name])
        ours = _sources(self.reading.sites[name]) if self.reading is not planned else theirs
        if [v.shape for v in theirs] != [v.shape for v in ours]:
            raise RuntimeError(
                f"The model reads differently in float32 and in float64: site {name!r} takes arrays of shapes"
                f" {[v.shape for v in ours]} and {[v.shape for v in theirs]}. Please report this model."
            )
        place = {v: i for i, v in enumerate(theirs)}
        return [ours[place[table.source]] for table in self.compacts[name].tables]

    def _replayed(self, sites: Mapping[str, Any], constants: Sequence[Any]) -> None:
        with strict_ranks_off():
            memo: dict[Value, Any] = dict(zip(self.constants, constants))
            inputs = {v.name: v for v in self.reading.graph.inputs}
            for name, site in self.reading.sites.items():
                if name in self.compacts:
                    self._factor(name, sites[name], memo)
                elif name in self.names:
                    self._say(site, memo, inputs)

    def prior(self) -> None:
        """The latent sites alone."""
        if not self.reading.replayable:
            model, args, kwargs = self.original
            with handlers.block(hide_fn=lambda site: site["type"] == "sample" and site["is_observed"]):
                model(*args, **kwargs)
            return
        with strict_ranks_off():
            memo: dict[Value, Any] = dict(zip(self.constants, self.args[1]))
            inputs = {v.name: v for v in self.reading.graph.inputs}
            for site in self.reading.sites.values():
                if site.kind == "latent":
                    self._say(site, memo, inputs)

    def _say(self, site: Site, memo: dict[Value, Any], inputs: Mapping[str, Value]) -> None:
        if site.kind == "deterministic":
            assert site.value is not None
            numpyro.deterministic(site.name, jnp.asarray(evaluate([site.value], {}, memo)[0]))
            return
        d = site.again([jnp.asarray(v) for v in evaluate(site.leaves, {}, memo)])
        observed = None if site.value is None else jnp.asarray(evaluate([site.value], {}, memo)[0])
        with contextlib.ExitStack() as around:
            for plate, dim, size in site.frames:
                around.enter_context(numpyro.plate(plate, size, dim=dim))
            if site.scale is not None:
                around.enter_context(handlers.scale(scale=evaluate([site.scale], {}, memo)[0]))
            if site.kind == "latent" and site.mask is not None:
                around.enter_context(handlers.mask(mask=evaluate([site.mask], {}, memo)[0]))
            value = numpyro.sample(site.name, d, obs=observed, infer=dict(site.infer), sample_shape=site.sample_shape)
        if site.kind == "latent":
            memo[inputs[site.name]] = value

    def _run_again(self, sites: Mapping[str, Any], constants: Sequence[Any]) -> None:
        """The original model with its compressed sites hidden: for what cannot be said again site by site."""
        model, args, kwargs = self.original
        with handlers.trace() as trace, handlers.block(hide_fn=lambda site: site.get("name") in self.compacts):
            model(*args, **kwargs)
        memo: dict[Value, Any] = dict(zip(self.constants, constants))
        memo.update({v: trace[v.name]["value"] for v in self.reading.graph.inputs if v.name in trace})
        with strict_ranks_off():
            for name in self.compacts:
                self._factor(name, sites[name], memo)

    def _factor(self, name: str, arrays: Mapping[str, Any], memo: dict[Value, Any]) -> None:
        compact = self.compacts[name]
        tables = [jnp.asarray(v) for v in evaluate(self.interfaces[name], {}, memo)]
        own = {k: v for k, v in arrays.items() if k != "constant"}
        energy = compact.log_likelihood(own, tables)
        numpyro.factor(
            name, energy + jnp.asarray(arrays["constant"], energy.dtype)[0] if self.tells_constant else energy
        )


def _behind(value: Value) -> list[Value]:
    """The values that this one is computed from entry by entry, such as x of exp(x); the first one comes first."""
    chain: list[Value] = []
    while (operation := value.inner.operation) is not None and operation.name in FOLLOWED:
        before = [v for v in operation.inputs if not v.known]
        if len(before) != 1 or before[0].size != value.size:
            break
        value = before[0]
        chain.insert(0, value)
    return chain


def _sources(site: Site) -> list[Value]:
    """The values whose entries the rows of a site take, in the order of the site's parameters; no data are looked at."""
    rows = Rows(site.shape, {}, blind=True)
    named = [
        (values[name], event_dims[name])
        for values, event_dims in ((site.parameters, site.event_dims), (site.own_parameters, site.own_event_dims))
        for name in sorted(values)
    ]
    expressions = [rows.follow(value, rows.axes_of(value, event_dim)) for value, event_dim in named]
    tables = [leaf for leaf in leaves_of(expressions) if isinstance(leaf, Table)]
    return list(dict.fromkeys(table.source for table in tables))


def _values_of(site: Site) -> Iterator[Value]:
    yield from site.leaves
    if site.value is not None:
        yield site.value
    if site.scale is not None:
        yield site.scale
    if site.kind == "latent" and site.mask is not None:
        yield site.mask


def _reads_rows(value: Value, rows: int) -> bool:
    """Whether a value has an axis as long as the rows are many, or is computed from such."""
    return rows > 1 and value.size >= rows
