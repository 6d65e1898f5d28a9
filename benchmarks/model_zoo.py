"""The NumPyro models that the benchmarks of models run, with data drawn from them.

Written as one writes a NumPyro model, with nothing in them for surprax: what is timed is the same function for both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist

__all__ = ["CENTRED", "HIERARCHIES", "MODELS", "Model", "Ridge", "Values"]

type Values = dict[str, Any]
"""Arrays by latent site."""


@dataclass(frozen=True)
class Model:
    """A model and its data.

    Attributes:
        function: the model, of arrays of rows.
        title: what it is, in words.
        draw: from a generator and a number of rows to the latent values and the arrays of rows that they have led to.
        easier: a model of the same arrays with the same posterior, which NumPyro's NUTS explores where it does not this one, and
            the map from its latent values to those of this one.
    """

    function: Callable[..., None]
    title: str
    draw: Callable[[np.random.Generator, int], tuple[Values, tuple[np.ndarray, ...]]]
    easier: tuple[Callable[..., None], Callable[[Values], Values]] | None = None

    def data(self, rows: int) -> tuple[Values, tuple[np.ndarray, ...]]:
        """Latent values, and arrays of `rows` rows: float32 and int32."""
        truth, arrays = self.draw(np.random.default_rng(20_240_229), rows)
        return truth, tuple(x.astype(np.int32 if x.dtype.kind in "ib" else np.float32) for x in arrays)

    def free(self, values: Values, args: tuple[Any, ...]) -> Values:
        """The free numbers behind values of the latent sites, in float64."""
        with jax.enable_x64(True):
            few = tuple(np.asarray(x[:1]) for x in args)  # the supports do not depend on the rows
            told = numpyro.infer.util.unconstrain_fn(self.function, few, {}, values)
            return {name: np.asarray(z, np.float64) for name, z in told.items()}


def iid_gamma(x: Any) -> None:
    a = numpyro.sample("a", dist.Gamma(2.0, 1.0))
    b = numpyro.sample("b", dist.Gamma(2.0, 1.0))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("x", dist.Gamma(a, b), obs=x)


def _iid_gamma(rng: np.random.Generator, n: int) -> tuple[Values, tuple[np.ndarray, ...]]:
    truth = {"a": 2.5, "b": 0.8}
    return truth, (rng.gamma(2.5, 1 / 0.8, n),)


def grouped_poisson(group: Any, y: Any) -> None:
    mu = numpyro.sample("mu", dist.Normal(0.0, 2.0))
    tau = numpyro.sample("tau", dist.HalfNormal(1.0))
    with numpyro.plate("groups", 1_000):
        rate = numpyro.sample("rate", dist.LogNormal(mu, tau))
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", dist.Poisson(rate[group]), obs=y)


def _grouped_poisson(rng: np.random.Generator, n: int) -> tuple[Values, tuple[np.ndarray, ...]]:
    rate = np.exp(rng.normal(0.5, 0.5, 1_000))
    group = rng.integers(0, 1_000, n)
    return {"mu": 0.5, "tau": 0.5, "rate": rate}, (group, rng.poisson(rate[group]))


def hierarchical_bernoulli(group: Any, y: Any) -> None:
    """As in NumPyro's issue 2225: in each gradient, all rows are scattered into eight sums."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 2.0))
    tau = numpyro.sample("tau", dist.HalfNormal(1.0))
    with numpyro.plate("groups", 8):
        logit = numpyro.sample("logit", dist.Normal(mu, tau))
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", dist.Bernoulli(logits=logit[group]), obs=y)


def _hierarchical_bernoulli(rng: np.random.Generator, n: int) -> tuple[Values, tuple[np.ndarray, ...]]:
    logit = rng.normal(0.0, 1.0, 8)
    group = rng.integers(0, 8, n)
    truth = {"mu": 0.0, "tau": 1.0, "logit": logit}
    return truth, (group, rng.random(n) < 1 / (1 + np.exp(-logit[group])))


def grouped_linear(region: Any, x: Any, y: Any) -> None:
    """Intercepts not centred: z says by how many tau a region is off, whatever mu and tau are.

    Twenty thousand rows of a region tell its intercept, mu + tau z, far better than mu and tau are known, so that these and all z
    move along a thin curved sheet. NumPyro's trees reach their greatest depth there, and 500 of its draws are worth about ten.
    """
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfNormal(2.0))
    with numpyro.plate("regions", 50):
        z = numpyro.sample("z", dist.Normal(0.0, 1.0))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", dist.Normal((mu + tau * z)[region] + b * x, sigma), obs=y)


def grouped_linear_centred(region: Any, x: Any, y: Any) -> None:
    """The same posterior by intercepts that are latent sites themselves, as one writes it where regions have many rows."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfNormal(2.0))
    with numpyro.plate("regions", 50):
        alpha = numpyro.sample("alpha", dist.Normal(mu, tau))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", dist.Normal(alpha[region] + b * x, sigma), obs=y)


def _not_centred(values: Values) -> Values:
    """Latent values of `grouped_linear` from those with centred intercepts: arrays (n, …) by site."""
    rest = {name: value for name, value in values.items() if name != "alpha"}
    return {**rest, "z": (values["alpha"] - values["mu"][:, None]) / values["tau"][:, None]}


def _grouped_linear(rng: np.random.Generator, n: int, centred: bool = False) -> tuple[Values, tuple[np.ndarray, ...]]:
    z = rng.normal(0.0, 1.0, 50)
    region, x = rng.integers(0, 50, n), rng.normal(0.0, 1.0, n)
    truth = {"mu": 1.0, "tau": 1.0, "b": 0.5, "sigma": 0.7, **({"alpha": 1.0 + z} if centred else {"z": z})}
    return truth, (region, x, (1.0 + z)[region] + 0.5 * x + rng.normal(0.0, 0.7, n))


def interaction(group: Any, b: Any, c: Any, y: Any) -> None:
    """As in PyMC's issue 6864: intercepts by group, two columns and their product."""
    sigma = numpyro.sample("sigma", dist.Exponential(1.0))
    with numpyro.plate("groups", 17):
        alpha = numpyro.sample("alpha", dist.Normal(0.0, 1.0))
    b1, b2, b3 = (numpyro.sample(f"b{k}", dist.HalfNormal(1.0)) for k in (1, 2, 3))
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", dist.Normal(alpha[group] + b1 * b + b2 * c + b3 * b * c, sigma), obs=y)


def _interaction(rng: np.random.Generator, n: int) -> tuple[Values, tuple[np.ndarray, ...]]:
    alpha = rng.normal(0.0, 1.0, 17)
    group, b, c = rng.integers(0, 17, n), rng.random(n), rng.random(n)
    truth = {"sigma": 0.5, "alpha": alpha, "b1": 0.3, "b2": 0.2, "b3": 0.5}
    return truth, (group, b, c, alpha[group] + 0.3 * b + 0.2 * c + 0.5 * b * c + rng.normal(0.0, 0.5, n))


MODELS = {
    "iid-gamma": Model(iid_gamma, "iid Gamma", _iid_gamma),
    "grouped-poisson": Model(grouped_poisson, "Poisson rates of 1,000 groups", _grouped_poisson),
    "hierarchical-bernoulli": Model(hierarchical_bernoulli, "Bernoulli logits of 8 groups", _hierarchical_bernoulli),
    "grouped-linear": Model(
        grouped_linear, "a line with intercepts of 50 groups", _grouped_linear, (grouped_linear_centred, _not_centred)
    ),
    "interaction": Model(interaction, "two columns, their product and 17 groups", _interaction),
}

CENTRED = Model(
    grouped_linear_centred, "a line with centred intercepts of 50 groups", partial(_grouped_linear, centred=True)
)


# The posterior of the first of them, in closed form but for a root.


@dataclass(frozen=True)
class Ridge:
    """The posterior of the iid Gamma model in (log a, log b), from sums of the rows in float64.

    log p = n (a log b − log Γ(a)) + (a − 1) Σ log x − b Σ x + 2 log a − a + 2 log b − b + constant

    Attributes:
        rows, total, logs: n, Σ x and Σ log x.
        a: at the mode.
        width: standard deviation of log a.
    """

    rows: int
    total: float
    logs: float
    a: float
    width: float

    @classmethod
    def of(cls, x: np.ndarray) -> "Ridge":
        from scipy import optimize, special

        wide = x.astype(np.float64)
        n, total, logs = len(x), float(np.sum(wide)), float(np.sum(np.log(wide)))

        def slope(a: float) -> float:
            """In log a, where b is the best for a."""
            return a * (n * np.log((n * a + 2) / (total + 1)) - n * special.digamma(a) + logs - 1) + 2

        a = optimize.brentq(slope, 0.5, 20.0, xtol=1e-15)
        b = (n * a + 2) / (total + 1)
        curvature = np.array([[2 + a * a * n * special.polygamma(1, a), -n * a], [-n * a, b * (total + 1)]])
        return cls(n, total, logs, float(a), float(np.sqrt(np.linalg.inv(curvature)[0, 0])))

    @property
    def mean(self) -> float:
        """Of a, which is log-normal."""
        return float(self.a * np.exp(self.width**2 / 2))

    @property
    def sd(self) -> float:
        return float(self.mean * np.sqrt(np.expm1(self.width**2)))

    def points(self, count: int) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
        """(log a, log b) in float32, up to two standard deviations to either side of the mode, and the energies there."""
        from scipy import special

        u = (np.log(self.a) + self.width * np.linspace(-2.0, 2.0, count)).astype(np.float32)
        v = np.log((self.rows * np.exp(u.astype(np.float64)) + 2) / (self.total + 1)).astype(np.float32)
        log_a, log_b = u.astype(np.float64), v.astype(np.float64)
        a, b = np.exp(log_a), np.exp(log_b)
        likelihood = self.rows * (a * log_b - special.gammaln(a)) + (a - 1) * self.logs - b * self.total
        return (u, v), -(likelihood + 2 * log_a - a + 2 * log_b - b)

    @staticmethod
    def nats(energies: Any, truth: np.ndarray) -> float:
        """The largest error of differences from the middle."""
        energies, middle = np.asarray(energies, np.float64), len(truth) // 2
        return float(np.max(np.abs(energies - energies[middle] - (truth - truth[middle]))))


# Few rows, and a posterior that is hard to explore.


def eight_schools(y: Any, se: Any) -> None:
    """Rubin's (1981) coaching effects, written centred: the funnel of every textbook."""
    mu, tau = numpyro.sample("mu", dist.Normal(0.0, 5.0)), numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("schools", len(y)):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("y", dist.Normal(theta, se), obs=y)


def mixed_logistic(group: Any, x: Any, y: Any) -> None:
    """Thirty groups that hardly differ, and a covariate that never repeats: nothing can be compressed."""
    mu, tau = numpyro.sample("mu", dist.Normal(0.0, 5.0)), numpyro.sample("tau", dist.HalfNormal(2.0))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    with numpyro.plate("groups", GROUPS):
        a = numpyro.sample("a", dist.Normal(mu, tau))
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", dist.Bernoulli(logits=a[group] + b * x), obs=y)


def crossed(first: Any, second: Any, y: Any) -> None:
    """Two crossed effects, neither written centred, with 1,000 rows to tell of them."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    s, t = numpyro.sample("s", dist.HalfNormal(1.0)), numpyro.sample("t", dist.HalfNormal(1.0))
    with numpyro.plate("firsts", 10):
        a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    with numpyro.plate("seconds", 15):
        c = numpyro.sample("c", dist.Normal(0.0, 1.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", dist.Normal(mu + s * a[first] + t * c[second], sigma), obs=y)


GROUPS = 30
SCHOOLS = np.array([28, 8, -3, 7, -1, 1, 18, 12], np.float32), np.array([15, 10, 16, 11, 9, 11, 10, 18], np.float32)


def _mixed_logistic() -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(20_240_229)
    group, x = rng.integers(0, GROUPS, 500), rng.normal(size=500)
    logits = 0.5 + 0.3 * rng.normal(size=GROUPS)[group] + x
    return (
        group.astype(np.int32),
        x.astype(np.float32),
        (rng.random(500) < 1.0 / (1.0 + np.exp(-logits))).astype(np.int32),
    )


def _crossed() -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(20_240_229)
    first, second = rng.integers(0, 10, 1_000), rng.integers(0, 15, 1_000)
    y = rng.normal(size=10)[first] + 0.1 * rng.normal(size=15)[second] + 0.5 * rng.normal(size=1_000)
    return first.astype(np.int32), second.astype(np.int32), y.astype(np.float32)


HIERARCHIES: dict[str, tuple[Callable[..., None], Callable[[], tuple[np.ndarray, ...]], str]] = {
    "eight-schools": (eight_schools, lambda: SCHOOLS, "eight schools, centred"),
    "mixed-logistic": (mixed_logistic, _mixed_logistic, "mixed logistic regression, 500 rows, centred"),
    "crossed-effects": (crossed, _crossed, "crossed effects, 1,000 rows, not centred"),
}
"""By name: a model, its data, and what it is in words."""
