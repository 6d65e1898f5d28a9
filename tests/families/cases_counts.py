"""Settings of more families of whole numbers."""

from collections.abc import Callable
from functools import cached_property

import numpy as np
import scipy.stats as st
from scipy.special import betaln, gammaln, logsumexp
from tests.families.cases import Case

from surprax.families.beta_binomial import BetaBinomial
from surprax.families.beta_negative_binomial import BetaNegativeBinomial
from surprax.families.conway_maxwell_poisson import ConwayMaxwellPoisson
from surprax.families.logarithmic import Logarithmic
from surprax.families.zeta import Zeta


class Summed:
    """A distribution on lower, …, 3000 whose masses are known up to a factor, by plain sums, with SciPy's names."""

    def __init__(self, log_mass: Callable[[np.ndarray], np.ndarray], lower: float = 0.0) -> None:
        self.log_mass, self.lower, self.x = log_mass, lower, np.arange(lower, 3001.0)

    @cached_property
    def logs(self) -> np.ndarray:
        logs = self.log_mass(self.x)
        return logs - logsumexp(logs)

    @cached_property
    def tails(self) -> tuple[np.ndarray, np.ndarray]:
        return np.logaddexp.accumulate(self.logs), np.append(np.logaddexp.accumulate(self.logs[:0:-1])[::-1], -np.inf)

    def at(self, values: np.ndarray, x: np.ndarray, below: float) -> np.ndarray:
        x = np.asarray(x - self.lower).astype(int)
        return np.where(x < 0, below, values[np.clip(x, 0, len(values) - 1)])

    def logpmf(self, x: np.ndarray) -> np.ndarray:
        return self.at(self.logs, x, -np.inf)

    def logcdf(self, x: np.ndarray) -> np.ndarray:
        return self.at(self.tails[0], x, -np.inf)

    def logsf(self, x: np.ndarray) -> np.ndarray:
        return self.at(self.tails[1], x, 0.0)

    def pmf(self, x: np.ndarray) -> np.ndarray:
        return np.exp(self.logpmf(x))

    def cdf(self, x: np.ndarray) -> np.ndarray:
        return np.exp(self.logcdf(x))

    def ppf(self, p: np.ndarray) -> np.ndarray:
        return self.lower + np.searchsorted(np.exp(self.tails[0]), p)

    def isf(self, q: float) -> float:
        return self.lower + float(np.argmax(np.exp(self.tails[1]) <= q))

    def support(self) -> tuple[float, float]:
        return self.lower, np.inf

    def median(self) -> float:
        return float(self.ppf(np.asarray(0.5)))

    def stats(self, _: str) -> tuple[float, float]:
        p = np.exp(self.logs)
        mean = p @ self.x
        return mean, p @ (self.x - mean) ** 2


def conway(log_rate: float, dispersion: float) -> Case:
    twin = Summed(lambda x: x * log_rate - dispersion * gammaln(x + 1.0))
    return Case(lambda: ConwayMaxwellPoisson(log_rate=log_rate, dispersion=dispersion), twin)


def zeta(exponent: float) -> Case:
    # SciPy's quantiles do not reach far enough up the tail.
    return Case(lambda: Zeta(exponent), Summed(lambda x: -exponent * np.log(x), lower=1.0))


def beta_binomial(a: float, b: float, n: int) -> Case:
    return Case(lambda: BetaBinomial(a, b, n), st.betabinom(n, a, b), {"total_count": float(n)})


def beta_negative_binomial(a: float, b: float, r: float) -> Case:
    # SciPy's own wants a whole number of successes, and its quantiles do not reach far enough up the tail.
    twin = Summed(lambda x: gammaln(r + x) - gammaln(r) - gammaln(x + 1.0) + betaln(a + r, b + x) - betaln(a, b))
    return Case(lambda: BetaNegativeBinomial(a, b, r), twin, {"total_count": r})


CASES = [
    Case(lambda: Logarithmic(0.3), st.logser(0.3)),
    Case(lambda: Logarithmic(0.31), st.logser(0.31)),
    Case(lambda: Logarithmic(0.9), st.logser(0.9)),
    Case(lambda: Logarithmic(0.01), st.logser(0.01)),
    zeta(7.5),
    zeta(7.6),
    zeta(12.0),
    conway(1.0, 1.0),
    conway(1.1, 1.0),
    conway(-0.5, 0.125),
    conway(2.0, 0.5),
    conway(8.0, 2.0),
    beta_binomial(2.0, 3.0, 12),
    beta_binomial(2.5, 3.0, 12),
    beta_binomial(0.5, 0.25, 40),
    beta_binomial(64.0, 16.0, 900),
    beta_negative_binomial(8.0, 2.0, 3.0),
    beta_negative_binomial(8.5, 2.0, 3.5),
    beta_negative_binomial(16.0, 64.0, 4.0),
]
