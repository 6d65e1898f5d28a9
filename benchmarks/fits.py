"""How SciPy and statsmodels fit; and how a fit is judged: by the log-likelihood that it reaches, in float64."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.harness import quietly

__all__ = ["CONTINUOUS", "DISCRETE", "TOLERANCE", "Peer", "negative_binomial_by_statsmodels", "shortfall"]

TOLERANCE = 1e-8
"""Nats per row that a fit may lie below the best of all entrants."""


@dataclass(frozen=True)
class Peer:
    """A family in `scipy.stats`.

    Attributes:
        scipy: its name there.
        shape: our parameters as SciPy's (shapes, location, scale).
        draw: rows to fit to, from a NumPy generator.
        fixed: what `fit` must hold, where the family has no location.
        known: what our `fit` is told.
        maximum: from rows to SciPy's parameters at the maximum, where SciPy has no `fit` method: it has none for counts.
    """

    scipy: str
    shape: Callable[..., tuple[Any, ...]]
    draw: Callable[[np.random.Generator, int], np.ndarray]
    fixed: Mapping[str, float] = field(default_factory=dict)
    known: Mapping[str, Any] = field(default_factory=dict)
    maximum: Callable[[np.ndarray], tuple[float, ...]] | None = None

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of ours."""
        return tuple(inspect.signature(self.shape).parameters)

    def _there(self) -> Any:
        from scipy import stats

        return getattr(stats, self.scipy)

    def fit(self, x: np.ndarray) -> tuple[float, ...]:
        """Maximum likelihood by SciPy."""
        if self.maximum is not None:
            return self.maximum(x)
        return quietly(self._there().fit)(x, **self.fixed)

    def log_likelihood(self, x: np.ndarray, parameters: tuple[Any, ...]) -> float:
        """Of SciPy's parameters, in float64."""
        there = self._there()
        if hasattr(there, "logpdf"):
            return float(np.sum(there.logpdf(x, *parameters)))
        values, counts = np.unique(x, return_counts=True)
        return float(np.sum(counts * there.logpmf(values, *parameters)))

    def rvs(self, parameters: Mapping[str, float], rows: int, rng: np.random.Generator) -> np.ndarray:
        """Rows drawn by SciPy, from our parameters."""
        return self._there().rvs(*self.shape(**parameters, **self.known), size=rows, random_state=rng)

    def scipy_parameters(self, fitted: Any) -> tuple[float, ...]:
        """A fitted distribution of ours as SciPy's parameters."""
        return tuple(float(p) for p in self.shape(**{name: getattr(fitted, name) for name in self.parameters}))


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
    "HalfNormal": Peer(
        "halfnorm",
        lambda scale: (0.0, scale),
        lambda rng, n: np.abs(rng.normal(0.0, 2.0, n)),
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


def _negative_binomial_by_search(x: np.ndarray) -> tuple[float, float]:
    """SciPy's parameters at the maximum, by SciPy's simplex search over the logarithms of ours."""
    from scipy import optimize, stats

    values, counts = np.unique(x, return_counts=True)

    def surprise(logs: np.ndarray) -> float:
        mean, r = np.exp(logs)
        return -float(np.sum(counts * stats.nbinom.logpmf(values, r, r / (r + mean)))) / len(x)

    exact = {"xatol": 1e-9, "fatol": 1e-13, "maxiter": 4000}
    found = optimize.minimize(surprise, [np.log(np.mean(x)), 0.0], method="Nelder-Mead", options=exact)
    mean, r = np.exp(found.x)
    return r, r / (r + mean)


TRIALS = 20

DISCRETE: dict[str, Peer] = {
    "Bernoulli": Peer(
        "bernoulli",
        lambda probs: (probs,),
        lambda rng, n: rng.binomial(1, 0.3, n),
        maximum=lambda x: (float(np.mean(x)),),
    ),
    "Binomial": Peer(
        "binom",
        lambda probs, total_count: (total_count, probs),
        lambda rng, n: rng.binomial(TRIALS, 0.3, n),
        known={"total_count": TRIALS},
        maximum=lambda x: (TRIALS, float(np.mean(x)) / TRIALS),
    ),
    "Geometric": Peer(
        "geom",
        lambda probs: (probs, -1),
        lambda rng, n: rng.geometric(0.3, n) - 1,
        maximum=lambda x: (1 / (1 + float(np.mean(x))), -1),
    ),
    "Poisson": Peer(
        "poisson", lambda rate: (rate,), lambda rng, n: rng.poisson(4.0, n), maximum=lambda x: (float(np.mean(x)),)
    ),
    "NegativeBinomial": Peer(
        "nbinom",
        lambda mean, concentration: (concentration, concentration / (concentration + mean)),
        lambda rng, n: rng.negative_binomial(1.5, 1.5 / (1.5 + 4.0), n),
        maximum=_negative_binomial_by_search,
    ),
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
