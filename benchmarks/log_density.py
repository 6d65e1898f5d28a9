"""The log-density of ten million rows, summed."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from benchmarks.densities import GAMMA, NEGATIVE_BINOMIAL, NORMAL, Density
from benchmarks.harness import Case, Contest, Entrant, Setting, Target, against, call, jitted

__all__ = ["CASES"]

TOLERANCE = 1e-6
"""Of the sum of magnitudes of the terms, in float32; XLA adds them in many lanes, so that rounding hardly grows."""


def whole(density: Density, setting: Setting) -> Contest:
    """`d.log_likelihood(x)`, as called from a notebook, against all that the peers offer."""
    x, on_device = density.data(setting.size(10_000_000, 2_000))
    ours = density.ours(*density.parameters)
    program = None if setting.quick else partial(type(ours).log_likelihood, ours)
    entrants = {
        "surprax, log_likelihood": call(ours.log_likelihood, on_device, program=program),
        "NumPyro, jitted": numpyro_jitted(density, on_device),
        "NumPyro, eager": numpyro_eager(density, on_device),
        "scipy": scipy(density, x),
    }
    return contest(density, x, on_device, entrants)


def inside_jit(density: Density, setting: Setting) -> Contest:
    """The sum of `log_prob` inside a compiled function, as in a model."""
    x, on_device = density.data(setting.size(10_000_000, 2_000))
    parameters = floats(density)
    ours = jitted(lambda p, x: jnp.sum(density.ours(*p).log_prob(x)), parameters, on_device)
    return contest(
        density,
        x,
        on_device,
        {"surprax, jitted": ours, "NumPyro, jitted": numpyro_jitted(density, on_device)},
    )


def eager(density: Density, setting: Setting) -> Contest:
    """`d.log_prob(x).sum()`, one operation after the other."""
    x, on_device = density.data(setting.size(10_000_000, 2_000))
    ours = density.ours(*density.parameters)
    return contest(
        density,
        x,
        on_device,
        {
            "surprax, eager": call(lambda: ours.log_prob(on_device).sum()),
            "NumPyro, eager": numpyro_eager(density, on_device),
            "scipy": scipy(density, x),
        },
    )


def floats(density: Density) -> tuple[Any, ...]:
    return tuple(jnp.float32(p) for p in density.parameters)


def numpyro_jitted(density: Density, x: Any) -> Entrant:
    return jitted(lambda p, x: jnp.sum(density.theirs(*p).log_prob(x)), floats(density), x)


def numpyro_eager(density: Density, x: Any) -> Entrant:
    theirs = density.theirs(*density.parameters)
    return call(lambda: theirs.log_prob(x).sum())


def scipy(density: Density, x: np.ndarray) -> Entrant:
    return call(lambda: density.scipy(x, *density.parameters).sum(dtype=np.float64))


def contest(density: Density, x: np.ndarray, on_device: Any, entrants: Mapping[str, Entrant]) -> Contest:
    terms = density.scipy(x.astype(np.float64), *density.parameters)
    judge = against(np.sum(terms), np.sum(np.abs(terms)))
    return Contest(len(x), str(x.dtype), entrants, judge, TOLERANCE, reads=on_device)


def cases(name: str, density: Density) -> list[Case]:
    folder, what = f"log-density/{name}", f"Σ log {density.family} density"
    faster, faster_eager = (Target(1.0, "NumPyro, jitted"),), (Target(1.0, "NumPyro, eager"),)
    return [
        Case(f"{folder}/log_likelihood", f"{what}, log_likelihood(x)", partial(whole, density), faster),
        Case(f"{folder}/jit", f"{what}, jit(Σ log_prob)", partial(inside_jit, density), faster),
        Case(f"{folder}/eager", f"{what}, log_prob(x).sum()", partial(eager, density), faster_eager),
    ]


CASES = [*cases("gamma", GAMMA), *cases("normal", NORMAL), *cases("negative-binomial", NEGATIVE_BINOMIAL)]
