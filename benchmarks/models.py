"""NumPyro models whose cost is free of their rows, against the same models as they are: gradients, planning, whole runs of NUTS.

A sampler evaluates the gradient of the potential energy thousands of times inside one compiled loop, each time where the last one
has led it. That is what is timed: evaluations in a compiled loop that wait for one another, without the dispatch that a call from
Python would add to each (and which would be most of the time of a compressed model).

`python -m benchmarks.models` prints the geometric means of the whole runs.
"""

import fnmatch
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import MCMC, NUTS
from numpyro.infer.util import potential_energy

import surprax as sx
from benchmarks.harness import Case, Contest, Entrant, OracleError, Setting, Target, against, jitted, quietly, stages
from benchmarks.model_zoo import CENTRED, HIERARCHIES, MODELS, Model, Ridge, Values
from surprax.infer.diagnostics import ess

__all__ = ["CASES", "MEANS", "means"]

EVALUATIONS = 1_000
"""What a time of the gradient cases is of: a short chain's worth."""

QUICK = 2_000
"""Rows in a quick run."""

TOLERANCE = 1e-5
"""Of the difference between two energies, relative to itself, and of the gradients at both points, relative to the largest entry of
the site. The points are given in float32, and there exp of a free number is rounded to 6e-8 of itself; where a gradient is a
twentieth of what it sums up, as here, that is 1e-6 of it."""

SMALL_TOLERANCE = 1e-3
"""Of few rows: an energy of thousands of nats is held to 5e-4 by float32, and differences are few nats."""

PEER_TOLERANCE = 0.1
"""Sums of ten million terms in float32, in an order that XLA has chosen, lose digits; that is told, and not held against it."""

GAIN = 0.5
"""The least gain that `sx.compress` asks for."""


# A model, points to evaluate it at, and the truth there.


@dataclass(frozen=True)
class Posed:
    """A model with data on the device.

    Attributes:
        model: from the zoo.
        rows: how many there are.
        args: float32 and int32.
        points: two of them, free numbers by site in float32.
    """

    model: Model
    rows: int
    args: tuple[jax.Array, ...]
    points: tuple[Values, Values]

    @classmethod
    def of(cls, model: Model, rows: int) -> "Posed":
        """At points near the latent values behind the data, but further off than the posterior is wide at millions of rows."""
        truth, arrays = model.data(rows)
        free, rng = model.free(truth, arrays), np.random.default_rng(20_240_229)

        def near() -> Values:
            return {name: (z + 0.1 * rng.normal(size=z.shape)).astype(np.float32) for name, z in free.items()}

        return cls(model, rows, tuple(map(jax.device_put, arrays)), (near(), near()))

    @property
    def energy(self) -> Callable[[Values, Any], jax.Array]:
        """Potential energy of the plain model at free numbers, given its arguments."""
        return partial(energy, self.model.function)

    @property
    def data(self) -> dict[str, Any]:
        """What is told of the data in a contest."""
        return {"rows": self.rows, "dtype": str(self.args[-1].dtype)}

    def contest(self, entrants: dict[str, Entrant], setting: Setting) -> Contest:
        """Of answers by `flat`, about millions of rows."""
        tolerance = SMALL_TOLERANCE if setting.quick else TOLERANCE
        return Contest(
            **self.data, entrants=entrants, judge=self.judge(), tolerance=tolerance, peer_tolerance=PEER_TOLERANCE
        )

    def judge(self) -> Callable[[Mapping[str, Any]], dict[str, float]]:
        """Of answers by `flat`, against the plain model in float64 on all rows."""
        with jax.enable_x64(True):
            wide = [jnp.asarray(x, jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x for x in self.args]
            program = jax.jit(jax.value_and_grad(self.energy))
            told = [program(jax.tree.map(np.float64, point), tuple(wide)) for point in self.points]
            told = [jax.tree.map(np.asarray, one) for one in told]
        truth = flat(told)
        sizes = [np.full(z.size, np.max(np.abs(z))) for _, slope in told for z in jax.tree.leaves(slope)]
        return against(truth, np.concatenate([np.abs(truth[:1]), *sizes]))


def energy(model: Callable[..., Any], z: Values, args: Any) -> jax.Array:
    """Potential energy in nats at free numbers z."""
    return potential_energy(model, args, {}, z)


def evaluations(energy: Callable[[Values, Any], jax.Array], count: int) -> Callable[..., Any]:
    """A program that evaluates an energy and its gradient at two points by turns, `count` times in all; it tells the last two."""

    def program(here: Values, there: Values, args: Any) -> Any:
        def step(_: Any, carry: Any) -> Any:
            here, there, _, last = carry
            value, slope = jax.value_and_grad(energy)(here, args)
            # Nobody but us knows that the value is finite: the next evaluation waits for this one, as it does in a trajectory.
            there = jax.tree.map(lambda z: jnp.where(jnp.isfinite(value), z, jnp.nan), there)
            return there, here, last, (value, slope)

        nothing = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, here))
        return jax.lax.fori_loop(0, count, step, (here, there, nothing, nothing))[2:]

    return program


def flat(told: Sequence[tuple[Any, Values]]) -> np.ndarray:
    """The difference between the energies at two points, and the gradients at both, as one vector in float64."""
    (here, slope_here), (there, slope_there) = told
    difference = np.float64(there) - np.float64(here)
    parts = jax.tree.leaves((slope_here, slope_there))
    return np.concatenate([[difference], *(np.ravel(np.asarray(part, np.float64)) for part in parts)])


def compressed(fast: Any, posed: Posed, count: int) -> Entrant:
    """Evaluations of a compressed model, given its small arrays as arguments."""
    return jitted(evaluations(partial(energy, fast.model), count), *posed.points, on_device(fast), answer=flat)


def on_device(fast: Any) -> tuple[Any, Any]:
    """The arguments of a compressed model: evidence in float64, which JAX would round to float32, and what else the model reads."""
    evidence, constants = fast.args
    with jax.enable_x64(True):
        evidence = jax.device_put(evidence)
    return evidence, jax.device_put(constants)


def plain(posed: Posed, setting: Setting, out_of: float) -> Entrant:
    """A few evaluations of the plain model, to stand for `out_of` of them.

    In a loop as well: what depends on the data alone (log x, log y!) XLA computes before the loop, and not in each evaluation.
    """
    count = setting.size(20, 2)
    made = jitted(evaluations(posed.energy, count), *posed.points, posed.args, answer=flat)
    return replace(made, times=out_of / count)


# Gradients.


def gradient(name: str, setting: Setting) -> Contest:
    """A thousand evaluations of ten million rows; the plain model does twenty of them."""
    posed = Posed.of(MODELS[name], setting.size(10_000_000, QUICK))
    count = setting.size(EVALUATIONS, 10)
    fast = sx.compress(posed.model.function, *posed.args)
    entrants = {"surprax": compressed(fast, posed, count), "NumPyro": plain(posed, setting, count)}
    return posed.contest(entrants, setting)


def small(name: str, setting: Setting) -> Contest:
    """A thousand evaluations of a hundred rows, by both in the same loop."""
    posed = Posed.of(MODELS[name], 100)
    count = setting.size(EVALUATIONS, 10)
    fast = sx.compress(posed.model.function, *posed.args)
    theirs = jitted(evaluations(posed.energy, count), *posed.points, posed.args, answer=flat)
    entrants = {"surprax": compressed(fast, posed, count), "NumPyro, 100 rows": theirs}
    return Contest(
        **posed.data,
        entrants=entrants,
        judge=posed.judge(),
        tolerance=SMALL_TOLERANCE,
        peer_tolerance=SMALL_TOLERANCE,
    )


# Planning.


def planning(name: str, setting: Setting) -> Contest:
    """Reading and rewriting a model, once its passes over data are compiled; then also with the certificate, as users get it.

    The certificate compares gradients of both models, and compiles them for that each time.
    """
    from surprax.models.compressed import rewrite

    posed = Posed.of(MODELS[name], setting.size(10_000_000, QUICK))
    function = posed.model.function
    here, there = posed.points
    gradient, seconds, temporaries = stages(jax.value_and_grad(posed.energy), here, posed.args)

    def answer(fast: Any) -> np.ndarray:
        return flat(compressed(fast, posed, 2).run())

    entrants = {
        "surprax": Entrant(lambda: rewrite(function, posed.args, {}, GAIN), answer),
        "NumPyro, one gradient": Entrant(
            lambda: gradient(here, posed.args),
            lambda told: flat([told, gradient(there, posed.args)]),
            seconds,
            temporaries,
        ),
        "surprax, with the certificate": Entrant(lambda: sx.compress(function, *posed.args), answer),
    }
    return posed.contest(entrants, setting)


# Whole runs.

WARMUP = DRAWS = 500

REFERENCE = 4_000
"""Draws that the truth about a posterior is taken from."""

IN_SDS = 0.5
"""Allowed to means, in posterior standard deviations, and to standard deviations, relative: of a thousand rates, 500 draws leave
the worst mean 0.2 off by chance, and the worst standard deviation 0.15."""

TO_RUN = MODELS | {"grouped-linear-centred": CENTRED}
"""Beside the five, the form of one of them that NumPyro's sampler gets along with."""

MEASURED = {("iid-gamma", 1_000_000), ("hierarchical-bernoulli", 1_000_000)}
"""Whole runs of the plain model that take about half a minute or less on two cores, and are timed as they are."""


@dataclass(frozen=True)
class Run:
    """A posterior to be sampled: NUTS with its defaults, one chain.

    Attributes:
        posed: the model and its data.
        warmup, draws: iterations.
    """

    posed: Posed
    warmup: int
    draws: int

    @property
    def function(self) -> Callable[..., None]:
        return self.posed.model.function

    def ours(self) -> Any:
        """As a user calls it, in a process that has compiled nothing."""
        forget()
        options: dict[str, Any] = {"num_warmup": self.warmup, "num_samples": self.draws, "num_chains": 1}
        return sx.infer(
            self.function, *self.posed.args, method="nuts", key=jax.random.key(0), progress=False, **options
        )

    def theirs(self) -> Values:
        forget()
        with jax.debug_key_reuse(False):
            chains = MCMC(NUTS(self.function), num_warmup=self.warmup, num_samples=self.draws, progress_bar=False)
            chains.run(jax.random.key(1), *self.posed.args)
            return chains.get_samples()

    def moments_of_ours(self, posterior: Any) -> np.ndarray:
        """Of draws that are to be trusted."""
        for trouble in ("diverging", "reached_max_tree_depth"):
            if (share := np.mean(posterior.statistics[trouble])) > 0.01:
                raise OracleError(f"{share:.0%} of the draws of {self.function.__name__} are marked as {trouble}")
        return moments({name: draws[0] for name, draws in posterior.draws.items()})


def whole(name: str, rows: int, setting: Setting) -> Contest:
    """Plan, certificate, compilation, warm-up and draws of one chain, with nothing compiled before.

    Where the plain model would take minutes to hours, its time is put together of two things that are measured: how many leapfrogs
    NumPyro's own NUTS takes for this warm-up and these draws, and how long one gradient of the plain model takes, which is the
    least that a leapfrog costs. Leapfrogs are counted on the compressed model in float64: same posterior, same free numbers, same
    sampler, and exact sums. (At 10⁵ rows the five plain models took 7,460, 18,746, 8,465, 56,129 and 17,197 leapfrogs where 8,018,
    18,291, 8,652, 55,419 and 18,484 were counted; `interaction` of 10⁶ rows took 156 s where 131 s are put together.) It is a lower
    bound: compilation, and whatever in a leapfrog is not the gradient, is charged to us, and not to the plain model.

    Truth are means and standard deviations of a long chain of NumPyro's on the compressed model in float64, whose energies and
    gradients `gradient` holds against all rows. A plain model that was not run is judged by the part of the chain that its time
    stands for. Where NUTS does not explore the model as it is, its error is told, and truth is from an easier form of the model.
    """
    posed = Posed.of(TO_RUN[name], setting.size(rows, 10 * QUICK))
    run = Run(posed, setting.size(WARMUP, 200), setting.size(DRAWS, 300))
    with jax.enable_x64(True):
        long = setting.size(REFERENCE, 2 * run.draws)
        values, leapfrogs = chain(sx.compress(run.function, *posed.args), run.warmup, long)
        truth = values
        if posed.model.easier is not None:
            function, back = posed.model.easier
            truth = back(chain(sx.compress(function, *posed.args), run.warmup, long)[0])
    mean, sd = moments(truth)
    if (name, rows) in MEASURED:
        theirs = Entrant(run.theirs, moments, compilation={})
    else:
        first = moments({name: value[: run.draws] for name, value in values.items()})
        total = float(np.sum(leapfrogs[: run.warmup + run.draws]))
        theirs = replace(plain(posed, setting, total), answer=lambda _: first, compilation={})

    def judge(answers: Mapping[str, Any]) -> dict[str, float]:
        return {
            n: float(max(np.max(np.abs(m - mean) / sd), np.max(np.abs(s / sd - 1)))) for n, (m, s) in answers.items()
        }

    entrants = {
        "surprax": Entrant(quietly(run.ours), run.moments_of_ours, compilation={}),
        f"NumPyro, {rows:,} rows": theirs,
    }
    allowed = 2 * IN_SDS if posed.model.easier is None else np.inf
    return Contest(**posed.data, entrants=entrants, judge=judge, tolerance=IN_SDS, peer_tolerance=allowed)


def forget() -> None:
    """Whatever was compiled is dropped, as in a new process; without the seconds that imports take."""
    from surprax.numerics import compilation

    compilation._programs.clear()
    jax.clear_caches()


def chain(model: Callable[[], Any], warmup: int, draws: int) -> tuple[Values, np.ndarray]:
    """Values of the latent sites from one chain of NumPyro's NUTS, and leapfrogs of all its iterations, the warm-up's first."""
    with jax.debug_key_reuse(False):
        sampler = NUTS(model)
        state = sampler.init(jax.random.key(1), warmup, None, (), {})

        def step(state: Any, _: Any) -> Any:
            state = sampler.sample(state, (), {})
            return state, (state.z, state.num_steps)

        z, leapfrogs = jax.jit(lambda state: jax.lax.scan(step, state, None, warmup + draws)[1])(state)
        kept = jax.tree.map(lambda v: v[warmup:], z)
        values = jax.jit(jax.vmap(sampler.postprocess_fn((), {})))(kept)
    return {name: np.asarray(value, np.float64) for name, value in values.items()}, np.asarray(leapfrogs)


def moments(draws: Values) -> np.ndarray:
    """Means and standard deviations of all latent numbers, shape (2, d), from draws (n, …) by site."""
    columns = np.concatenate([np.reshape(draws[name], (len(draws[name]), -1)) for name in sorted(draws)], axis=1)
    return np.stack([columns.mean(axis=0, dtype=np.float64), columns.std(axis=0, dtype=np.float64)])


# Draws that are worth something.

EFFECTIVE = 1_000
"""Effective draws that a time is for, of the number that has the fewest."""


def effective(name: str, setting: Setting) -> Contest:
    """Four chains once everything is compiled; the time that they take for a thousand effective draws of their worst number.

    ESS by ArviZ's definition (bulk, rank-normalised). Ours has planning, the certificate and the search for modes in it, theirs
    nothing but chains. Truth are long chains of NumPyro's with small steps; the error is that of means, in posterior standard
    deviations.
    """
    function, data, _ = HIERARCHIES[name]
    arrays = tuple(map(jax.device_put, data()))
    warmup, draws = setting.size(1_000, 200), setting.size(1_000, 200)
    chains: dict[str, Any] = {"num_warmup": warmup, "num_samples": draws, "num_chains": 4}

    def ours() -> Any:
        posterior = sx.infer(function, *arrays, method="nuts", key=jax.random.key(0), progress=False, **chains)
        return {name: posterior.draws[name] for name in sorted(posterior.draws)}

    # Arguments of a compiled sampler, so that a second run compiles nothing.
    sampler = MCMC(NUTS(function), chain_method="sequential", progress_bar=False, jit_model_args=True, **chains)

    def theirs() -> Any:
        with jax.debug_key_reuse(False):
            sampler.run(jax.random.key(1), *arrays)
            return sampler.get_samples(group_by_chain=True)

    careful = MCMC(
        NUTS(function, target_accept_prob=0.95),
        num_warmup=warmup,
        num_samples=2 * draws,
        num_chains=4,
        chain_method="sequential",
        progress_bar=False,
    )
    with jax.enable_x64(True), jax.debug_key_reuse(False):
        careful.run(jax.random.key(2), *arrays)
        truth = careful.get_samples()
    mean, sd = moments({name: np.asarray(value) for name, value in truth.items()})

    def entrant(run: Callable[[], Any]) -> Entrant:
        worst = min(float(np.nanmin(ess(np.asarray(value)))) for value in run().values())
        return Entrant(quietly(run), means_of, compilation={}, times=EFFECTIVE / worst)

    def means_of(told: Any) -> np.ndarray:
        return moments({n: np.reshape(v, (-1, *np.shape(v)[2:])) for n, v in told.items()})[0]

    def judge(answers: Mapping[str, Any]) -> dict[str, float]:
        return {n: float(np.max(np.abs(told - mean) / sd)) for n, told in answers.items()}

    entrants = {"surprax": entrant(quietly(ours)), "NumPyro": entrant(quietly(theirs))}
    rows = len(arrays[-1])
    return Contest(rows, "float32", entrants, judge, setting.size(1, 3) * IN_SDS / 2, peer_tolerance=np.inf)


# What float32 is good for.

RIDGE = 21
"""Points along which energies are compared."""


def float32_gamma(setting: Setting) -> Contest:
    """Energies along the ridge of a Gamma posterior, two standard deviations to either side, in float32; and a chain upon them.

    The error is in nats: how far differences from the energy in the middle are from those in float64. NUTS weighs the points of a
    trajectory by such differences, so that a nat is a factor of e, and the whole ridge is two nats deep; of ten million terms, a
    plain sum in float32 is off by more than that. Of ours, a chain of NUTS in float32 is judged as well: 0.2 standard deviations of
    the mean of the shape, and 5 % of its standard deviation, count for one nat.

    Truth is in NumPy, in float64: the exact energy, and the normal distribution at the mode of (log a, log b), of which the
    posterior of millions of rows cannot be told apart.
    """
    model = MODELS["iid-gamma"]
    _, (x,) = model.data(setting.size(10_000_000, QUICK))
    ridge = Ridge.of(x)
    (u, v), truth = ridge.points(RIDGE)
    rows = jax.device_put(x)
    fast = sx.compress(model.function, rows)
    z = {"a": jax.device_put(u), "b": jax.device_put(v)}

    def along(model: Callable[..., Any]) -> Callable[[Values, Any], jax.Array]:
        return lambda z, args: jax.lax.map(lambda one: energy(model, one, args), z)

    def ours(energies: Any) -> tuple[Any, Any]:
        values, _ = chain(fast, setting.size(1_000, 500), setting.size(20_000, 10_000))
        return energies, moments({"a": values["a"]})[:, 0]

    def judge(answers: Mapping[str, Any]) -> dict[str, float]:
        energies, (mean, sd) = answers["surprax"]
        nats = {n: ridge.nats(e, truth) for n, e in {**answers, "surprax": energies}.items()}
        off = max(abs(mean - ridge.mean) / (0.2 * ridge.sd), abs(sd / ridge.sd - 1) / 0.05)
        return {**nats, "surprax": float(max(nats["surprax"], off))}

    entrants = {
        "surprax": jitted(along(fast.model), z, on_device(fast), answer=ours),
        "NumPyro, float32": jitted(along(model.function), z, (rows,)),
    }
    return Contest(len(x), "float32", entrants, judge, 1.0, peer_tolerance=np.inf)


# All of them.


def cases(name: str) -> list[Case]:
    title = MODELS[name].title
    return [
        Case(
            f"models/gradient/{name}",
            f"{title}: {EVALUATIONS:,} gradients of the potential energy in a loop",
            partial(gradient, name),
            (Target(1 / 500, "NumPyro"),),
        ),
        Case(
            f"models/small/{name}",
            f"{title}: {EVALUATIONS:,} gradients of the potential energy in a loop",
            partial(small, name),
            (Target(1 / 0.9, "NumPyro, 100 rows"),),
        ),
        Case(
            f"models/plan/{name}",
            f"{title}: reading and rewriting, without the certificate",
            partial(planning, name),
            (Target(5.0, "NumPyro, one gradient"),),
        ),
    ]


SIZES = {"1e6": 1_000_000, "1e7": 10_000_000}


def runs(name: str) -> list[Case]:
    return [
        Case(
            f"models/run/{name}-{size}",
            f"{TO_RUN[name].title}: NUTS, {WARMUP} + {DRAWS}, compilation and all",
            partial(whole, name, rows),
            (Target(1 / 4, f"NumPyro, {rows:,} rows"),),
        )
        for size, rows in SIZES.items()
    ]


CASES = [
    *(case for name in MODELS for case in cases(name)),
    *(case for name in TO_RUN for case in runs(name)),
    *(
        Case(
            f"models/effective/{name}",
            f"{title}: seconds of four chains for {EFFECTIVE:,} effective draws of the worst number",
            partial(effective, name),
            (Target(1.0, "NumPyro"),),
        )
        for name, (_, _, title) in HIERARCHIES.items()
    ),
    Case(
        "models/float32/gamma-1e7", "iid Gamma in float32: 21 energies across the posterior", float32_gamma, once=True
    ),
]

MEANS = {"models/run/*-1e6": 15.0, "models/run/*-1e7": 40.0}
"""By how much whole runs are to be faster, in the geometric mean over models."""


def means(document: Mapping[str, Any]) -> dict[str, tuple[float, int]]:
    """How many times faster than the peer we are, in the geometric mean, and over how many cases, by pattern of their names."""
    found = {}
    for pattern in MEANS:
        records = [record for name, record in document["cases"].items() if fnmatch.fnmatch(name, pattern)]
        ratios = [ratio["median"] for record in records for ratio in record.get("ratios", {}).values()]
        if ratios:
            found[pattern] = (1 / statistics.geometric_mean(ratios), len(ratios))
    return found


def main(words: Sequence[str]) -> int:
    from benchmarks.__main__ import RESULTS
    from benchmarks.results import load

    told = means(load(Path(words[0]) if words else RESULTS / "cpu.json"))
    for pattern, (times, count) in told.items():
        print(
            f"{pattern}: {times:.3g} times faster in the geometric mean of {count} cases (at least {MEANS[pattern]:g})"
        )
    return 0 if all(pattern in told and told[pattern][0] >= least for pattern, least in MEANS.items()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
