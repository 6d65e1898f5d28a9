"""NUTS in the coordinates of the mode, one chain per thread.

The sampler moves in w, with z = mode + L w and L Lᵀ the inverse Hessian there (`modes`): however narrow the posterior, and however
unequal its sides, w is about a unit wide, which is what the first steps of the warm-up assume (and its variances from n draws, to
which 10⁻³·5/(n+5) is added). Where no mode is found, w is z.

Chains of one program run in threads, and a chain is the same numbers whatever runs beside it, so that results do not depend on
the number of cores. (Vectorised chains would all take the steps of the slowest one, and every branch.) What is known before modes
are, the program of the chains and that of their values, is compiled while these are searched for.
"""

import functools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import numpy as np
from jax import Array
from numpyro.infer.hmc_util import build_adaptation_schedule

from surprax.infer.coordinates import Coordinate, Effect
from surprax.infer.energy import Energy
from surprax.infer.modes import LARGEST_NEWTON, Mode, Slopes, find_modes, precise_energy, slopes, widths
from surprax.infer.progress import Bar
from surprax.infer.recentring import apart, effects_of, locations_of, seer_of
from surprax.infer.scopes import sampling_device
from surprax.infer.trajectories import (
    NOWHERE,
    Noise,
    Position,
    Seen,
    adaptation_at,
    average_step,
    iterations,
    noise,
    rows_of,
)
from surprax.models import Compressed
from surprax.models.aside import Aside
from surprax.models.certificate import Near, Told
from surprax.numerics.compilation import kept

__all__ = ["Chains", "Frame", "Settings", "frame_of", "sample"]

_SMALL = 20_000
"""Numbers of data up to which chains are computed in float64, like modes: two precisions would be two sets of programs."""

_LESS_EFFORT = {"xla_backend_optimization_level": 1, "xla_llvm_disable_expensive_passes": True}
"""Options for programs of little data: half the time to compile, and hardly slower (nowhere near as slow as without any effort)."""

_MANY_ROWS = 100_000
"""Rows of a compressed model from which on its posterior tends to have one mode."""


@dataclass(frozen=True)
class Settings:
    """Of chains: their number, iterations, and of the trajectories the acceptance to aim at and the greatest depth."""

    num_chains: int
    num_warmup: int
    num_samples: int
    target_accept_prob: float
    max_tree_depth: int


class Proof(Protocol):
    """That a compressed model is what it should be: begun while programs are compiled, ended when the mode is known."""

    def begin(self, told: Told | None) -> None:
        """`told`: the energy in float64 by the program of the chains, if that is what it computes."""

    def prove(self, near: Near | None) -> None:
        """Raises what ends the inference where the model is not."""


@dataclass(frozen=True)
class Frame:
    """Coordinates w of a posterior: z = centre + L w.

    Attributes:
        energy: U(z), in the precision in which to sample.
        centre: shape (d,).
        factor: L, shape (d, d), or its diagonal, shape (d,).
        modes: minima from which chains may start, the best one first; none where none was found.
        dtype: which draws need.
    """

    energy: Energy
    centre: np.ndarray
    factor: np.ndarray
    modes: tuple[Mode, ...]
    dtype: Any

    def z(self, w: np.ndarray) -> np.ndarray:
        """Free numbers at coordinates w of shape (…, d), in float64."""
        w = np.asarray(w, np.float64)
        return self.centre + (w * self.factor if self.factor.ndim == 1 else w @ self.factor.T)

    def w(self, z: np.ndarray) -> np.ndarray:
        """Coordinates of the point z, shape (d,)."""
        away = z - self.centre
        return away / self.factor if self.factor.ndim == 1 else np.linalg.solve(self.factor, away)

    def place(self, scale: Any = 1.0) -> Any:
        """Centre and factor for `energy_in_frame`; for coordinates in units of this scale, by coordinate."""
        return (self.centre.astype(self.energy.dtype), (self.factor * scale).astype(self.energy.dtype))


def energy_in_frame(pure: Callable[..., Any], place: Any, constants: Any) -> Callable[[Array], Array]:
    """U as a function of w."""
    centre, factor = place
    return lambda w: pure(constants, centre + (factor * w if factor.ndim == 1 else factor @ w))


def frame_of(
    model: Callable[[], Any],
    settings: Settings | None = None,
    proof: Proof | None = None,
) -> Frame:
    """Coordinates in which the posterior of a model without arguments is about a unit wide.

    Args:
        model: without arguments.
        settings: of chains, where there will be any.
        proof: that the model is what it should be, if that is still to be found.
    """
    precise, modes = _precise_modes(model, settings, proof)
    factor = widths(modes[0].curvature) if modes else None
    default = np.float64 if jax.config.jax_enable_x64 else np.float32
    if factor is None:
        same = not precise.float64 or (settings is not None and _is_small(precise))
        energy = precise if same else Energy(model, chosen=precise.chosen)
        size = precise.size
        unit = np.eye(size) if settings is not None and size <= LARGEST_NEWTON else np.ones(size)
        return Frame(_placed(energy), np.zeros(size), unit, (), default)
    best = modes[0]
    # Of other minima, those where a share of the posterior worth mentioning may lie.
    near = tuple(mode for mode in modes if mode.energy - best.energy < 10.0 + 2.0 * precise.size)
    # In float32 a compressed model leaves its constant out, which float64 has.
    constant = model.log_constant if isinstance(model, Compressed) else 0.0
    coarse = precise.float64 and not _enough_digits(best, factor, constant, precise.chosen)
    same = coarse or not precise.float64 or default == np.float64 or (settings is not None and _is_small(precise))
    energy = precise if same else Energy(model, chosen=precise.chosen)
    return Frame(_placed(energy), best.position, factor, near, np.float64 if coarse else default)


def _is_small(energy: Energy) -> bool:
    return energy.float64 and sum(map(np.size, energy.constants)) <= _SMALL


_REFRESHED = 2.0
"""The factor by which what data tell at the mode may differ from what coordinates were made for."""


def _precise_modes(
    model: Callable[[], Any], settings: Settings | None, proof: Proof | None
) -> tuple[Energy, list[Mode]]:
    """The energy in float64 and its minima, in coordinates of what the data tell of latent sites near there."""
    seer = seer_of(model)
    effects = effects_of(seer) if seer is not None else []
    if seer is None or not effects:
        return _found_modes(model, [], settings, proof)
    precise, modes = _found_modes(model, [*locations_of(seer, effects), *effects], settings, proof)
    if modes:
        # As many as there will be draws: one program for these and those.
        count = settings.num_chains * settings.num_samples if settings is not None and _is_small(precise) else 1
        with precise.scope():
            values = precise.values(np.broadcast_to(modes[0].position, (count, precise.size)))
        nearer = effects_of(seer, {name: values[name][0] for name in precise.names})
        if apart(effects, nearer) > _REFRESHED:
            return _found_modes(model, [*locations_of(seer, nearer), *nearer], settings)
    return precise, modes


def _found_modes(
    model: Callable[[], Any],
    chosen: Sequence[Coordinate],
    settings: Settings | None,
    proof: Proof | None = None,
) -> tuple[Energy, list[Mode]]:
    precise = _placed(precise_energy(model, chosen=chosen))
    rows = max((compact.rows for compact in model.compacts.values()), default=0) if isinstance(model, Compressed) else 0
    with precise.scope():
        if settings is not None and _is_small(precise):
            evaluate = _looking(precise, settings)
            precise.values_program(settings.num_chains * settings.num_samples)
            # Coordinates of effects in units of a scale lead random points too far out for a comparison.
            told = None if chosen else Told(precise.size, precise.free, evaluate)
        else:
            evaluate, told = slopes(precise), None
        if proof is not None:
            proof.begin(told)
        found = find_modes(precise, 2 if rows > _MANY_ROWS else None, evaluate)
        if proof is not None:
            proof.prove(_near(found[0]) if told is not None else None)
    return precise, [mode for mode in found if mode.found]


def _near(mode: Mode) -> Near | None:
    """The mode for a certificate; None where none was found."""
    if (factor := widths(mode.curvature)) is None:
        return None
    return Near(mode.position, lambda v: factor**2 * v if factor.ndim == 1 else factor @ (factor.T @ v))


def _placed(energy: Energy) -> Energy:
    energy.device = sampling_device(sum(constant.nbytes for constant in energy.constants))
    return energy


def _enough_digits(mode: Mode, factor: np.ndarray, constant: float, chosen: Sequence[Coordinate]) -> bool:
    """Whether float32 resolves the posterior: free numbers, and what rows see of them, to 1/32 of their standard deviations, and
    the energy to 1/20 nat."""
    deviations = np.abs(factor) if factor.ndim == 1 else np.sqrt(np.sum(factor**2, axis=1))
    return (
        _resolves(mode.position, deviations)
        and all(
            _resolves(one.peak, 1.0 / np.sqrt(np.maximum(one.precision, 1e-300)))
            for one in chosen
            if isinstance(one, Effect)
        )
        and bool(np.spacing(np.float32(abs(mode.energy + constant))) < 0.05)
    )


def _resolves(values: np.ndarray, deviations: np.ndarray) -> bool:
    return bool(np.all(np.spacing(np.abs(values).astype(np.float32)).astype(np.float64) < deviations / 32.0))


@dataclass(frozen=True)
class Chains:
    """What chains have drawn: free numbers z, shape (chains, draws, d), and statistics of the iterations by ArviZ's names."""

    z: np.ndarray
    statistics: dict[str, np.ndarray]


def sample(frame: Frame, key: Array, settings: Settings, bar: Bar) -> Chains:
    """Chains of NUTS, each from a point of its own near a mode."""
    with frame.energy.scope():
        program, evaluate = _program(frame.energy, settings), _looking(frame.energy, settings)
    numbers = np.asarray(jax.random.key_data(key)).ravel()
    run = functools.partial(_run, frame, program, evaluate, numbers, settings, bar)
    w, statistics = jax.tree.map(lambda *parts: np.stack(parts), *_in_threads(run, settings.num_chains))
    return Chains(frame.z(w), statistics)


def _program(energy: Energy, settings: Settings) -> Aside:
    """The program for iterations of a chain; it is compiled while others go on."""
    dense, depth = energy.size <= LARGEST_NEWTON, settings.max_tree_depth
    return kept(("nuts", energy.fingerprint, dense, depth), lambda: _compile(energy, dense, depth))


def _looking(energy: Energy, settings: Settings) -> Slopes:
    """U and its gradient at points z, by the program of the chains: another one for that would take as long to be compiled."""
    program, size, dtype = _program(energy, settings), energy.size, energy.dtype
    rows, dense = rows_of(settings.max_tree_depth), size <= LARGEST_NEWTON
    blank = noise(np.random.default_rng(0), size, settings.max_tree_depth, dtype)
    unit = np.eye(size, dtype=dtype) if dense else np.ones(size, dtype)
    start = Position(np.zeros((2, size), dtype), np.zeros((), dtype))
    yes, no = np.asarray(True), np.asarray(False)
    rest = (np.asarray(0.8, dtype), (np.zeros(size, dtype), unit), energy.constants)

    def evaluate(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        told = []
        for first in range(0, len(z), rows):
            points = z[first : first + rows]
            own = blank._replace(momenta=np.zeros((rows, size), dtype))
            own.momenta[: len(points)] = points
            count = np.int32(len(points))
            _, _, record = program(start, adaptation_at(0.0, dtype), count, no, yes, own, *rest)
            seen = Seen.of(record, len(points))
            told.append((-seen.statistics["lp"], seen.gradient.astype(np.float64)))
        values, gradients = (np.concatenate(parts) for parts in zip(*told))
        return np.where(values < NOWHERE, values, np.inf), gradients

    return evaluate


def _compile(energy: Energy, dense: bool, max_tree_depth: int) -> Aside:
    slope, size, rows = energy.slope, energy.size, rows_of(max_tree_depth)

    def run(
        position: Position,
        adaptation: Any,
        count: Any,
        adapting: Any,
        looking: Any,
        numbers: Noise,
        target: Any,
        place: Any,
        constants: Any,
    ) -> Any:
        centre, factor = place

        def in_frame(w: Array) -> tuple[Array, Array]:
            z = centre + (factor @ w if dense else factor * w)
            value, gradient = slope(constants, z)
            return value, gradient @ factor if dense else gradient * factor

        return iterations(in_frame, position, adaptation, count, adapting, looking, numbers, target)

    def of(*shape: int, dtype: Any = energy.dtype) -> Any:
        return jax.ShapeDtypeStruct(shape, dtype)

    numbers = jax.tree.map(
        lambda x: of(*x.shape, dtype=x.dtype), noise(np.random.default_rng(0), size, max_tree_depth, energy.dtype)
    )
    assert len(numbers.momenta) == rows
    example = (
        Position(of(2, size), of()),
        of(*adaptation_at(0.0, energy.dtype).shape),
        of(dtype=np.int32),
        of(dtype=bool),
        of(dtype=bool),
        numbers,
        of(),
        (of(size), of(size, size) if dense else of(size)),
        energy.constants,
    )
    return Aside(run, *example, options=_LESS_EFFORT if _is_small(energy) else None)


_TRIES = 64


def _start(frame: Frame, evaluate: Callable[..., Any], rng: np.random.Generator, chain: int) -> Position:
    """A point of a cube around a mode, or around the origin, that has a density; nearer to the middle if there is none."""
    dtype = frame.energy.dtype
    home, width = np.zeros_like(frame.centre), 2.0
    if frame.modes:
        home = frame.w(frame.modes[chain % len(frame.modes)].position)
    for attempt in range(_TRIES):
        nearer = 0.5**attempt if frame.modes else 1.0
        w = (home + width * nearer * rng.uniform(-1.0, 1.0, home.shape)).astype(dtype)
        (value,), (gradient,) = evaluate(frame.z(w)[None])
        gradient = frame.factor * gradient if frame.factor.ndim == 1 else gradient @ frame.factor
        if np.isfinite(value) and np.all(np.isfinite(gradient)):
            return Position(np.stack([w, gradient.astype(dtype)]), np.asarray(value, dtype))
    raise ValueError(
        f"The density of the model is 0 or NaN at every one of {_TRIES} starting points; check that the data lie inside of"
        " the supports, and that priors and likelihood agree."
    )


def _run(
    frame: Frame,
    program: Callable[..., Any],
    evaluate: Callable[..., Any],
    numbers: np.ndarray,
    settings: Settings,
    bar: Bar,
    stop: threading.Event,
    chain: int,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """One chain, in a thread, which has to be told the precision anew; its random numbers come from the key and its number."""
    rng = np.random.default_rng([*map(int, numbers), chain])
    size, dtype, rows = len(frame.centre), frame.energy.dtype, rows_of(settings.max_tree_depth)
    scale, target = np.ones(size), np.asarray(settings.target_accept_prob, dtype)
    parts: list[Any] = []
    with frame.energy.scope():
        position = _start(frame, evaluate, rng, chain)
        adaptation: Any = adaptation_at(-0.25 * np.log(size), dtype)
        for length, window, last in _lengths(settings, rows):
            if stop.is_set():
                break
            own = noise(rng, size, settings.max_tree_depth, dtype)
            count, warm = np.int32(length), np.asarray(window is not None)
            arguments = (own, target, frame.place(scale), frame.energy.constants)
            position, adaptation, record = program(position, adaptation, count, warm, np.asarray(False), *arguments)
            seen = Seen.of(record, length)
            bar.advance(length, 0 if window is not None else int(seen.statistics["diverging"].sum()))
            parts.append((seen.w * scale, seen.statistics))
            if last:
                if window == "middle":
                    # Masses are 1: instead, coordinates are in units of their deviations.
                    before, scale = scale, np.sqrt(_variances(np.concatenate([w for w, _ in parts])))
                    wider = np.stack([before / scale, scale / before])
                    position = position._replace(place=(np.asarray(position.place) * wider).astype(dtype))
                    adaptation = adaptation_at(average_step(adaptation), dtype)
                parts = []
    return jax.tree.map(lambda *pieces: np.concatenate(pieces), *parts)


def _variances(w: np.ndarray) -> np.ndarray:
    """Of coordinates, drawn towards something small for few draws, as Stan does."""
    n = len(w)
    return n / (n + 5.0) * np.var(w, axis=0, ddof=1) + 1e-3 * 5.0 / (n + 5.0)


def _lengths(settings: Settings, rows: int) -> list[tuple[int, str | None, bool]]:
    """Lengths of runs of the program, in which window of the warm-up they are (None: after it), and whether that ends with them.

    Windows are Stan's: step sizes are found in all of them, and variances in the middle ones.
    """
    windows = [(end - start + 1, "middle") for start, end in build_adaptation_schedule(settings.num_warmup)]
    windows = [(n, kind if 0 < i < len(windows) - 1 else "outer") for i, (n, kind) in enumerate(windows)]
    found: list[tuple[int, str | None, bool]] = []
    for total, window in windows if settings.num_warmup else []:
        found += [(min(rows, total - done), window, done + rows >= total) for done in range(0, total, rows)]
    return found + [
        (min(rows, settings.num_samples - done), None, False) for done in range(0, settings.num_samples, rows)
    ]


def _in_threads(run: Callable[..., Any], count: int) -> list[Any]:
    """Results of all chains; an exception in one of them, or an interrupt, stops the others."""
    stop = threading.Event()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(max(1, min(count, 2 * cores))) as threads:
        waiting = [threads.submit(run, stop, chain) for chain in range(count)]
        try:
            for failed in (chain for chain in wait(waiting, return_when=FIRST_EXCEPTION).done if chain.exception()):
                failed.result()
            return [chain.result() for chain in waiting]
        except BaseException:
            stop.set()
            raise
