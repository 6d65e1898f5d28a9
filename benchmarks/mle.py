"""Maximum likelihood for a million rows, family by family, and for a hundred thousand groups at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from typing import Any

import jax
import numpy as np

import surprax as sx
from benchmarks.fits import CONTINUOUS, TOLERANCE, negative_binomial_by_statsmodels, shortfall
from benchmarks.harness import Case, Contest, Setting, Target, against, call

__all__ = ["CASES"]

ROWS, QUICK_ROWS = 1_000_000, 2_000


def continuous(name: str, setting: Setting) -> Contest:
    """`Family.fit(x)` against `scipy.stats.<dist>.fit(x)`, on float64 rows."""
    peer, family = CONTINUOUS[name], getattr(sx, name)
    x = peer.draw(np.random.default_rng(20_240_229), setting.size(ROWS, QUICK_ROWS))
    with jax.enable_x64(True):
        on_device = jax.device_put(x)
    entrants = {
        "surprax": call(family.fit, on_device, answer=peer.scipy_parameters),
        "scipy": call(peer.fit, x),
    }

    def judge(answers: Mapping[str, Any]) -> dict[str, float]:
        return shortfall({name: peer.log_likelihood(x, answer) for name, answer in answers.items()}, len(x))

    return Contest(len(x), "float64", entrants, judge, TOLERANCE, peer_tolerance=1e-3)


# Discrete families. SciPy fits them by a global search that takes minutes for a million rows; where the maximum has a
# closed form, that form in NumPy is what a user would write, and the peer.


def negative_binomial(setting: Setting) -> Contest:
    """`NegativeBinomial.fit(x)` against statsmodels, the fastest of the peers that fit it."""
    from scipy import special

    rows = setting.size(ROWS, QUICK_ROWS)
    x = np.random.default_rng(20_240_229).negative_binomial(1.5, 1.5 / (1.5 + 4.0), rows)
    values, counts = np.unique(x, return_counts=True)

    def log_likelihood(mean: float, r: float) -> float:
        choices = special.gammaln(values + r) - special.gammaln(r) - special.gammaln(values + 1.0)
        return float(np.sum(counts * (choices - r * np.log1p(mean / r) - values * np.log1p(r / mean))))

    entrants = {
        "surprax": call(sx.NegativeBinomial.fit, x, answer=lambda d: (float(d.mean), float(d.concentration))),
        "statsmodels": call(negative_binomial_by_statsmodels, x),
    }
    return Contest(
        rows,
        str(x.dtype),
        entrants,
        lambda answers: shortfall({name: log_likelihood(*answer) for name, answer in answers.items()}, rows),
        TOLERANCE,
    )


@dataclass(frozen=True)
class Closed:
    """A discrete family whose maximum has a closed form: its rows, the form, and where ours has that number."""

    draw: Callable[[np.random.Generator, int], np.ndarray]
    form: Callable[[np.ndarray], Any]
    parameter: str
    known: Mapping[str, Any] = field(default_factory=dict)


CLOSED = {
    "Bernoulli": Closed(lambda rng, n: rng.integers(0, 10, n) // 7, np.mean, "probs"),
    "Binomial": Closed(
        lambda rng, n: rng.binomial(20, 0.3, n), lambda x: np.mean(x) / 20, "probs", {"total_count": 20}
    ),
    "Categorical": Closed(lambda rng, n: rng.integers(0, 100, n) % 7, lambda x: np.bincount(x) / len(x), "probs"),
    "Geometric": Closed(lambda rng, n: rng.geometric(0.3, n) - 1, lambda x: 1 / (1 + np.mean(x)), "probs"),
    "Poisson": Closed(lambda rng, n: rng.poisson(4.0, n), np.mean, "rate"),
}


def closed_form(name: str, setting: Setting) -> Contest:
    """`Family.fit(x)` against the closed form in NumPy; judged by the parameters, which are exact there."""
    closed, family = CLOSED[name], getattr(sx, name)
    x = closed.draw(np.random.default_rng(20_240_229), setting.size(ROWS, QUICK_ROWS))
    entrants = {
        "surprax": call(partial(family.fit, **closed.known), x, answer=attrgetter(closed.parameter)),
        "NumPy, closed form": call(closed.form, x),
    }
    return Contest(len(x), str(x.dtype), entrants, against(closed.form(x)), 1e-9)


# By group.


def by_group(from_rows: bool, setting: Setting) -> Contest:
    """Gamma fits of a hundred thousand groups of 20 rows in one call, against a loop that calls SciPy for each."""
    groups, each, looped = setting.size(100_000, 30), 20, setting.size(200, 5)
    x = CONTINUOUS["Gamma"].draw(np.random.default_rng(20_240_229), groups * each)
    table, labels = x.reshape(groups, each), np.repeat(np.arange(groups, dtype=np.int32), each)
    with jax.enable_x64(True):
        on_device = jax.device_put(x)
    peer = CONTINUOUS["Gamma"]

    def loop() -> list[tuple[float, ...]]:
        return [peer.fit(row) for row in table[:looped]]

    def first(fitted: Any) -> list[tuple[float, ...]]:
        return [peer.scipy_parameters(fitted[i]) for i in range(looped)]

    def judge(answers: Mapping[str, Any]) -> dict[str, float]:
        worst = dict.fromkeys(answers, 0.0)
        for i in range(looped):
            reached = {name: peer.log_likelihood(table[i], answer[i]) for name, answer in answers.items()}
            worst = {name: max(worst[name], gap) for name, gap in shortfall(reached, each).items()}
        return worst

    evidence = None if from_rows else sx.Gamma.evidence(on_device, by=labels)

    def ours() -> Any:
        return sx.Gamma.fit(sx.Gamma.evidence(on_device, by=labels) if evidence is None else evidence)

    entrants = {
        "surprax": call(ours, answer=first),
        f"scipy, {looped} of the groups": call(loop, times=groups / looped),
    }
    return Contest(groups * each, "float64", entrants, judge, TOLERANCE)


FASTER = {"Gamma": 3, "Beta": 3, "Weibull": 15, "StudentT": 15}
"""How many times as fast as SciPy a fit should be; once, where nothing is said."""

CASES = [
    *(
        Case(
            f"mle/{name.lower()}",
            f"{name}.fit(x)",
            partial(continuous, name),
            (Target(1 / FASTER.get(name, 1), "scipy"),),
        )
        for name in CONTINUOUS
    ),
    Case("mle/negativebinomial", "NegativeBinomial.fit(x)", negative_binomial, (Target(1 / 100, "statsmodels"),)),
    *(Case(f"mle/{name.lower()}", f"{name}.fit(x)", partial(closed_form, name)) for name in CLOSED),
    Case("mle/by-group", "Gamma.fit(evidence) of 100,000 groups", partial(by_group, False)),
    Case("mle/by-group-from-rows", "Gamma.fit(Gamma.evidence(x, by=labels)), 100,000 groups", partial(by_group, True)),
]
