"""Value and gradient in the parameters of the log-likelihood of ten million rows: what each step of a sampler needs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.densities import GAMMA, NEGATIVE_BINOMIAL, NORMAL, Density
from benchmarks.harness import Case, Contest, Entrant, Setting, Target, against, jitted
from benchmarks.log_density import TOLERANCE, floats

__all__ = ["CASES"]


def direct(density: Density, setting: Setting) -> Contest:
    """A pass over the rows each time."""
    x, on_device = density.data(setting.size(10_000_000, 2_000))
    program = jax.value_and_grad(lambda p, x: jnp.sum(density.ours(*p).log_prob(x)))
    ours = jitted(program, floats(density), on_device, answer=_flat)
    return _contest(density, x, on_device, {"surprax, jitted": ours, "NumPyro, jitted": _numpyro(density, on_device)})


def from_evidence(density: Density, setting: Setting) -> Contest:
    """The rows are summarised once, before; each time costs the same for any number of them."""
    x, on_device = density.data(setting.size(10_000_000, 2_000))
    evidence = type(density.ours(*density.parameters)).evidence(on_device)
    program = jax.value_and_grad(lambda p, e: e.log_likelihood(density.ours(*p)))
    ours = jitted(program, floats(density), evidence, answer=_flat)
    entrants = {"surprax, from evidence": ours, "NumPyro, jitted": _numpyro(density, on_device)}
    return _contest(density, x, None, entrants)


def _numpyro(density: Density, x: jax.Array) -> Entrant:
    program = jax.value_and_grad(lambda p, x: jnp.sum(density.theirs(*p).log_prob(x)))
    return jitted(program, floats(density), x, answer=_flat)


def _flat(result: tuple[jax.Array, tuple[jax.Array, ...]]) -> np.ndarray:
    value, gradient = result
    return np.array([value, *gradient], np.float64)


def _contest(density: Density, x: np.ndarray, reads: jax.Array | None, entrants: dict[str, Entrant]) -> Contest:
    wide = x.astype(np.float64)
    terms = [density.scipy(wide, *density.parameters), *density.gradient(wide, *density.parameters)]
    judge = against([np.sum(t) for t in terms], [np.sum(np.abs(t)) for t in terms])
    return Contest(len(x), str(x.dtype), entrants, judge, TOLERANCE, reads=reads)


def cases(name: str, density: Density) -> list[Case]:
    folder, what = f"gradients/{name}", f"value and gradient of Σ log {density.family} density"
    faster = (Target(1.0, "NumPyro, jitted"),)
    return [
        Case(f"{folder}/direct", f"{what}, by a pass", partial(direct, density), faster),
        Case(f"{folder}/evidence", f"{what}, from evidence", partial(from_evidence, density), faster),
    ]


CASES = [*cases("gamma", GAMMA), *cases("normal", NORMAL), *cases("negative-binomial", NEGATIVE_BINOMIAL)]
