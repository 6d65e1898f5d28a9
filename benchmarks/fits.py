"""How SciPy and statsmodels fit; and how a fit is judged: by the log-likelihood that it reaches, in float64."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.harness import quietly

__all__ = ["CONTINUOUS", "TOLERANCE", "Peer", "negative_binomial_by_statsmodels", "shortfall"]

TOLERANCE = 1e-8
"""Nats per row that a fit may lie below the best of all entrants."""


@dataclass(frozen=True)
class Peer:
    """A continuous family in `scipy.stats`.

    Attributes:
        scipy: its name there.
        shape: our parameters as SciPy's (shapes, location, scale).
        draw: rows to fit to, from a NumPy generator.
        fixed: what `fit` must hold, where the family has no location.
    """

    scipy: str
    shape: Callable[..., tuple[Any, ...]]
    draw: Callable[[np.random.Generator, int], np.ndarray]
    fixed: Mapping[str, float] = field(default_factory=dict)

    def fit(self, x: np.ndarray) -> tuple[float, ...]:
        """Maximum likelihood by SciPy."""
        from scipy import stats

        return quietly(getattr(stats, self.scipy).fit)(x, **self.fixed)

    def log_likelihood(self, x: np.ndarray, parameters: tuple[Any, ...]) -> float:
        """Of SciPy's parameters, in float64."""
        from scipy import stats

        return float(np.sum(getattr(stats, self.scipy).logpdf(x, *parameters)))

    def scipy_parameters(self, fitted: Any) -> tuple[float, ...]:
        """A fitted distribution of ours as SciPy's parameters."""
        return tuple(float(p) for p in self.shape(**{name: getattr(fitted, name) for name in fitted.parameters}))


ORIGIN = {"floc": 0.0}

CONTINUOUS: dict[str, Peer] = {
    "Normal": Peer("norm", lambda loc, scale: (loc, scale), lambda rng, n: rng.normal(1.0, 2.0, n)),
    "LogNormal": Peer(
        "lognorm",
        lambda loc, scale: (scale, 0.0, np.exp(loc)),
        lambda rng, n: rng.lognormal(0.5, 0.7, n),
        ORIGIN,
    ),
    "Exponential": Peer("expon", lambda rate: (0.0, 1 / rate), lambda rng, n: rng.exponential(0.7, n), ORIGIN),
    "Gamma": Peer(
        "gamma",
        lambda concentration, rate: (concentration, 0.0, 1 / rate),
        lambda rng, n: rng.gamma(2.5, 0.7, n),
        ORIGIN,
    ),
    "InverseGamma": Peer(
        "invgamma",
        lambda concentration, rate: (concentration, 0.0, rate),
        lambda rng, n: 2.0 / rng.gamma(3.0, 1.0, n),
        ORIGIN,
    ),
    "InverseGaussian": Peer(
        "invgauss",
        lambda loc, concentration: (loc / concentration, 0.0, concentration),
        lambda rng, n: rng.wald(2.0, 3.0, n),
        ORIGIN,
    ),
    "Beta": Peer(
        "beta",
        lambda concentration1, concentration0: (concentration1, concentration0, 0.0, 1.0),
        lambda rng, n: rng.beta(2.0, 3.0, n),
        {"floc": 0.0, "fscale": 1.0},
    ),
    "Weibull": Peer(
        "weibull_min",
        lambda scale, concentration: (concentration, 0.0, scale),
        lambda rng, n: 1.5 * rng.weibull(1.7, n),
        ORIGIN,
    ),
    "StudentT": Peer("t", lambda df, loc, scale: (df, loc, scale), lambda rng, n: 1.0 + 2.0 * rng.standard_t(4.0, n)),
    "Laplace": Peer("laplace", lambda loc, scale: (loc, scale), lambda rng, n: rng.laplace(1.0, 2.0, n)),
    "Logistic": Peer("logistic", lambda loc, scale: (loc, scale), lambda rng, n: rng.logistic(1.0, 2.0, n)),
    "Cauchy": Peer("cauchy", lambda loc, scale: (loc, scale), lambda rng, n: 1.0 + 2.0 * rng.standard_cauchy(n)),
    "Gumbel": Peer("gumbel_r", lambda loc, scale: (loc, scale), lambda rng, n: rng.gumbel(1.0, 2.0, n)),
    "Uniform": Peer("uniform", lambda low, high: (low, high - low), lambda rng, n: rng.uniform(1.0, 3.0, n)),
}


def shortfall(log_likelihoods: Mapping[str, float], rows: int) -> dict[str, float]:
    """By how many nats per row each falls short of the best."""
    best = max(log_likelihoods.values())
    return {name: (best - value) / rows for name, value in log_likelihoods.items()}


def negative_binomial_by_statsmodels(x: np.ndarray) -> tuple[float, float]:
    """Mean and concentration at the maximum, by statsmodels."""

    def fit() -> tuple[float, float]:
        from statsmodels.discrete.discrete_model import NegativeBinomial

        constant, alpha = NegativeBinomial(x, np.ones((len(x), 1))).fit(disp=0).params
        return float(np.exp(constant)), float(1 / alpha)

    return quietly(fit)()
