"""From expectation parameters to the distribution: a hundred thousand Gammas and five-way Dirichlets at once.

No formula inverts E[log x]: each entry is a root of its own. The peers are EFAX, which does the same for exponential families in
JAX, and what one would write without it: Newton's method in NumPy, for all entries at once (Minka 2000, Estimating a Dirichlet
distribution). Parameters are those that the expectations were computed from, in float64; the error is the largest relative one.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import surprax as sx
from benchmarks.harness import Case, Contest, Entrant, MissingPeerError, Setting, Target, against, call, jitted

__all__ = ["CASES"]

CATEGORIES = 5
STEPS = 40
"""Most of Newton's steps of the NumPy peers."""


def efax() -> Any:
    """EFAX, which is not among what tests install."""
    try:
        import efax
    except ImportError as error:
        raise MissingPeerError(
            "EFAX, the peer of this case, is not installed: pip install -c constraints.txt -e '.[peers]'"
        ) from error
    return efax


def log_uniform(rng: np.random.Generator, low: float, high: float, shape: Any) -> np.ndarray:
    return np.exp(rng.uniform(np.log(low), np.log(high), shape))


# Gamma: the pair (E[log x], E[x]).


def gammas(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Concentrations and rates (rows, 2), and expectation parameters (rows, 2)."""
    from scipy import special

    rng = np.random.default_rng(20_240_229)
    a, rate = log_uniform(rng, 0.3, 30.0, rows), log_uniform(rng, 0.01, 100.0, rows)
    return np.stack([a, rate], axis=-1), np.stack([special.digamma(a) - np.log(rate), a / rate], axis=-1)


def our_gammas(expectation: Any) -> Any:
    d = sx.Gamma.from_expectation(expectation)
    return jnp.stack([jnp.asarray(d.concentration), jnp.asarray(d.rate)], axis=-1)


def efax_gammas(expectation: Any) -> Any:
    natural = efax().GammaEP(mean=expectation[:, 1], mean_log=expectation[:, 0]).to_nat()
    return jnp.stack([natural.shape_minus_one + 1.0, -natural.negative_rate], axis=-1)


def numpy_gammas(expectation: np.ndarray) -> np.ndarray:
    """Newton on log a − ψ(a) = log E[x] − E[log x], in log a, from Minka's start."""
    from scipy import special

    gap = np.log(expectation[:, 1]) - expectation[:, 0]
    a = (3.0 - gap + np.sqrt((gap - 3.0) ** 2 + 24.0 * gap)) / (12.0 * gap)
    for _ in range(STEPS):
        step = (np.log(a) - special.digamma(a) - gap) / (1.0 - a * special.polygamma(1, a))
        a = a * np.exp(-step)
        if np.max(np.abs(step)) < 1e-10:
            break
    return np.stack([a, a / expectation[:, 1]], axis=-1)


# Dirichlet: the vector E[log x].


def dirichlets(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Concentrations and expectation parameters, both (rows, categories)."""
    from scipy import special

    a = log_uniform(np.random.default_rng(20_240_229), 0.3, 30.0, (rows, CATEGORIES))
    return a, special.digamma(a) - special.digamma(a.sum(axis=-1, keepdims=True))


def our_dirichlets(expectation: Any) -> Any:
    return jnp.asarray(sx.Dirichlet.from_expectation(expectation).concentration)


def efax_dirichlets(expectation: Any) -> Any:
    return efax().DirichletEP(mean_log_probability=expectation).to_nat().alpha_minus_one + 1.0


def inverse_digamma(y: np.ndarray) -> np.ndarray:
    from scipy import special

    x = np.where(y >= -2.22, np.exp(y) + 0.5, -1.0 / (y + np.euler_gamma))
    for _ in range(5):
        x = x - (special.digamma(x) - y) / special.polygamma(1, x)
    return x


def numpy_dirichlets(expectation: np.ndarray) -> np.ndarray:
    """Newton on ψ(aᵢ) − ψ(Σa) = E[log xᵢ], whose Jacobian is diagonal plus a constant, after one fixed-point step of Minka's."""
    from scipy import special

    a = inverse_digamma(expectation + special.digamma(CATEGORIES))
    for _ in range(STEPS):
        total = a.sum(axis=-1, keepdims=True)
        gap = special.digamma(a) - special.digamma(total) - expectation
        own, common = special.polygamma(1, a), special.polygamma(1, total)
        shift = np.sum(gap / own, axis=-1, keepdims=True) / (1.0 / common - np.sum(1.0 / own, axis=-1, keepdims=True))
        step = (gap + shift) / own
        a = np.maximum(a - step, 0.1 * a)
        if np.max(np.abs(step / a)) < 1e-10:
            break
    return a


FAMILIES: Mapping[str, tuple[Any, Any, Any, Any]] = {
    "Gamma": (gammas, our_gammas, efax_gammas, numpy_gammas),
    "Dirichlet": (dirichlets, our_dirichlets, efax_dirichlets, numpy_dirichlets),
}

EAGER_TOLERANCE = 1e-6
"""Of parameters, relative; computed in float64, returned in float32."""

JITTED_TOLERANCE = 1e-4
"""In float32 throughout. A Gamma of concentration 30 has log E[x] − E[log x] = 0.017, which is what is left of two numbers up to 8:
rounding these moves it by 6e-5 of itself, whatever the method."""


def by_numpy(name: str, setting: Setting) -> Contest:
    """`Family.from_expectation(e)` as a user calls it, against NumPy; both in float64."""
    make, ours, _, numpy = FAMILIES[name]
    parameters, expectation = make(setting.size(100_000, 300))
    entrants = {"surprax": call(ours, expectation), "NumPy, Newton": call(numpy, expectation)}
    return Contest(len(parameters), "float64", entrants, against(parameters), EAGER_TOLERANCE)


def by_efax(name: str, part: int, setting: Setting) -> Contest:
    """Both compiled, both in float32. Where EFAX would take minutes, it does one of `part` parts, and is told no more."""
    make, ours, theirs, _ = FAMILIES[name]
    parameters, expectation = make(setting.size(100_000, 20 * part))
    efax()
    on_device = jax.device_put(expectation.astype(np.float32))
    some = len(parameters) // part
    told = "EFAX" if part == 1 else f"EFAX, 1/{part} of them"
    entrants: dict[str, Entrant] = {
        "surprax, jitted": jitted(ours, on_device),
        told: jitted(theirs, on_device[:some]),
    }

    def judge(answers: Mapping[str, Any]) -> dict[str, float]:
        return {n: against(parameters[: len(answer)])({n: answer})[n] for n, answer in answers.items()}

    return Contest(len(parameters), "float32", entrants, judge, JITTED_TOLERANCE, peer_tolerance=0.1)


CASES = [
    *(
        Case(
            f"expectation/{name.lower()}",
            f"{name}.from_expectation(e) of 100,000",
            partial(by_numpy, name),
            (Target(1.0, "NumPy, Newton"),),
        )
        for name in FAMILIES
    ),
    Case(
        "expectation/gamma-efax",
        "jit(Gamma.from_expectation) of 100,000",
        partial(by_efax, "Gamma", 1),
        (Target(1 / 50, "EFAX"),),
    ),
    Case(
        "expectation/dirichlet-efax",
        "jit(Dirichlet.from_expectation) of 100,000, five-way",
        partial(by_efax, "Dirichlet", 10),
        (Target(1 / 50, "EFAX, 1/10 of them"),),
    ),
]
