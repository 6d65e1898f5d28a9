"""Twenty random settings of each family: is there one where SciPy finds a higher likelihood than `fit` does?"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np

import surprax as sx
from benchmarks.fits import CONTINUOUS, DISCRETE, Peer, shortfall
from benchmarks.harness import Case, Contest, Setting, call

__all__ = ["CASES", "PARAMETERS", "draw_parameters"]

SETTINGS, QUICK_SETTINGS = 20, 2
ROWS, QUICK_ROWS = 100_000, 1_000

TOLERANCE = 1e-6
"""Nats per row that a fit may lie below SciPy's."""


def _between(low: float, high: float) -> Callable[[np.random.Generator], float]:
    """Even on the scale of logarithms."""
    return lambda rng: float(np.exp(rng.uniform(np.log(low), np.log(high))))


PARAMETERS: Mapping[str, Callable[[np.random.Generator], float]] = {
    "loc": lambda rng: 10 * rng.standard_normal(),
    "low": lambda rng: 10 * rng.standard_normal(),
    "high": lambda rng: 100 + 10 * rng.standard_normal(),
    "scale": _between(0.01, 100),
    "rate": _between(0.01, 100),
    "mean": _between(0.1, 100),
    "concentration": _between(0.3, 30),
    "concentration0": _between(0.3, 30),
    "concentration1": _between(0.3, 30),
    "df": _between(1, 20),
    "probs": lambda rng: rng.uniform(0.02, 0.98),
}
"""How the parameters of a setting are drawn, by name."""

ELSEWHERE: Mapping[tuple[str, str], Callable[[np.random.Generator], float]] = {
    ("InverseGaussian", "loc"): _between(0.01, 100),
    ("LogNormal", "scale"): _between(0.1, 3),
    # Draws that are nearly Poisson may have no maximum.
    ("NegativeBinomial", "mean"): _between(1, 100),
    ("NegativeBinomial", "concentration"): _between(0.3, 5),
}
"""Where a name means something else."""


def draw_parameters(family: str, names: tuple[str, ...], rng: np.random.Generator) -> dict[str, float]:
    """One random setting of a family."""
    return {name: ELSEWHERE.get((family, name), PARAMETERS[name])(rng) for name in names}


def settings(name: str, peer: Peer, setting: Setting) -> Contest:
    """`Family.fit(x)` and SciPy on the same rows, setting by setting; the worst is what counts."""
    rng = np.random.default_rng(20_240_229)
    rows, family = setting.size(ROWS, QUICK_ROWS), getattr(sx, name)
    data = []
    for _ in range(setting.size(SETTINGS, QUICK_SETTINGS)):
        unknown = tuple(p for p in peer.parameters if p not in peer.known)
        parameters = draw_parameters(name, unknown, rng)
        data.append(peer.rvs(parameters, rows, rng))
    with jax.enable_x64(True):
        on_device = [jax.device_put(x) for x in data]
    fit = partial(family.fit, **peer.known)
    entrants = {
        "surprax": call(lambda: [fit(x) for x in on_device], answer=lambda d: [peer.scipy_parameters(f) for f in d]),
        "scipy": call(lambda: [peer.fit(x) for x in data]),
    }

    def judge(answers: Mapping[str, Any]) -> dict[str, float]:
        worst = dict.fromkeys(answers, 0.0)
        for i, x in enumerate(data):
            reached = {who: peer.log_likelihood(x, answer[i]) for who, answer in answers.items()}
            worst = {who: max(worst[who], gap) for who, gap in shortfall(reached, rows).items()}
        return worst

    return Contest(rows * len(data), str(data[0].dtype), entrants, judge, TOLERANCE, peer_tolerance=np.inf)


CASES = [
    Case(
        f"settings/{name.lower()}",
        f"{name}.fit(x) at {SETTINGS} random settings",
        partial(settings, name, peer),
        once=True,
    )
    for name, peer in {**DISCRETE, **CONTINUOUS}.items()
]
