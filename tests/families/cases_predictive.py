"""Settings of the laws that beliefs predict, beside mixtures of SciPy's distributions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.stats as st
from scipy import special
from tests.families.cases import Case
from tests.families.cases_positive_more import Mapped

from surprax.families.double_lomax import DoubleLomax
from surprax.families.log_lomax import LogLomax
from surprax.families.uniform_pareto import UniformPareto


def log_lomax(scale: float, c: float, rate: float) -> Mapped:
    def exp(y: Any) -> Any:
        with np.errstate(over="ignore"):
            return scale * np.exp(y)

    of = st.lomax(c, scale=rate)
    return Mapped(of, exp, lambda x: np.log(x / scale), lambda x: -np.log(x), (np.inf, np.inf))


@dataclass(frozen=True)
class Mirrored:
    """The distribution of loc ± D, each sign with probability ½, for a distribution of SciPy's of D ≥ 0."""

    of: Any
    loc: float

    def logpdf(self, x: Any) -> Any:
        return self.of.logpdf(np.abs(x - self.loc)) - np.log(2)

    def cdf(self, x: Any) -> Any:
        tail = 0.5 * self.of.sf(np.abs(x - self.loc))
        return np.where(x < self.loc, tail, 1.0 - tail)

    def logcdf(self, x: Any) -> Any:
        return np.log(self.cdf(x))

    def logsf(self, x: Any) -> Any:
        return np.log(self.cdf(2 * self.loc - x))

    def ppf(self, p: Any) -> Any:
        p = np.asarray(p)
        size = self.of.isf(2 * np.minimum(p, 1 - p))
        return self.loc + np.where(p < 0.5, -size, size)

    def isf(self, p: Any) -> Any:
        return 2 * self.loc - self.ppf(p)

    def median(self) -> Any:
        return self.loc

    def support(self) -> tuple[float, float]:
        return -np.inf, np.inf

    def stats(self, moments: str) -> tuple[float, float]:
        mean, variance = (float(v) for v in self.of.stats("mv"))
        return (self.loc if np.isfinite(mean) else np.nan), variance + mean**2


@dataclass(frozen=True)
class UniformMixture:
    """Uniform on (low, low + W) for a Pareto width W: sums over its quantiles, exact for powers (Gauss–Jacobi)."""

    low: float
    scale: float
    alpha: float

    def _over_widths(self, least: Any, power: float) -> Any:
        """∫ w^−power f(w) dw over widths from `least` on: with w = least/r, r^(alpha − 1) is the weight and r^power a power."""
        least = np.maximum(least, self.scale)
        t, weight = special.roots_jacobi(8, 0.0, self.alpha - 1.0)
        ratio, weight = 0.5 * (t + 1.0), weight / np.sum(weight)
        mass = (self.scale / least) ** self.alpha
        return mass * np.sum(weight[:, None] * (ratio[:, None] / np.atleast_1d(least)) ** power, axis=0)

    def pdf(self, x: Any) -> Any:
        return self._over_widths(np.asarray(x) - self.low, 1.0)

    def logpdf(self, x: Any) -> Any:
        return np.log(self.pdf(x))

    def sf(self, x: Any) -> Any:
        u = np.atleast_1d(np.asarray(x, float) - self.low)
        below = np.where(u < self.scale, self._over_widths(u, 0.0), 0.0)
        return np.where(
            u < self.scale, below - u * self._over_widths(u, 1.0), self._over_widths(u, 0.0) - u * self.pdf(x)
        )

    def cdf(self, x: Any) -> Any:
        return 1.0 - self.sf(x)

    def logcdf(self, x: Any) -> Any:
        return np.log(self.cdf(x))

    def logsf(self, x: Any) -> Any:
        return np.log(self.sf(x))

    def isf(self, q: Any) -> Any:
        q = np.asarray(q, float)
        far = q * (self.alpha + 1.0)
        level = (1.0 - q) * (1.0 + 1.0 / self.alpha)
        return self.low + self.scale * np.where(far < 1.0, np.minimum(far, 1.0) ** (-1.0 / self.alpha), level)

    def ppf(self, p: Any) -> Any:
        p = np.asarray(p, float)
        level = p * (1.0 + 1.0 / self.alpha)
        return np.where(level < 1.0, self.low + self.scale * level, self.isf(1.0 - p))

    def median(self) -> Any:
        return self.ppf(0.5)

    def support(self) -> tuple[float, float]:
        return self.low, np.inf

    def stats(self, moments: str) -> tuple[float, float]:
        width = st.pareto(self.alpha, scale=self.scale)
        mean, variance = (float(v) for v in width.stats("mv"))
        return self.low + mean / 2, variance / 3 + mean**2 / 12


CASES = [
    Case(lambda: LogLomax(2.0, 7.0, 1.0), log_lomax(2.0, 7.0, 1.0)),
    Case(lambda: LogLomax(1.5, 8.0, 2.0), log_lomax(1.5, 8.0, 2.0)),
    Case(lambda: LogLomax(0.03, 40.0, 5.0), log_lomax(0.03, 40.0, 5.0)),
    Case(lambda: DoubleLomax(1.0, 3.0, 2.0), Mirrored(st.lomax(3.0, scale=2.0), 1.0)),
    Case(lambda: DoubleLomax(0.5, 2.5, 1.5), Mirrored(st.lomax(2.5, scale=1.5), 0.5)),
    Case(lambda: DoubleLomax(-20.0, 300.0, 50.0), Mirrored(st.lomax(300.0, scale=50.0), -20.0)),
    Case(lambda: UniformPareto(0.0, 2.0, 3.0), UniformMixture(0.0, 2.0, 3.0), kinks=(2.0,)),
    Case(lambda: UniformPareto(-0.5, 2.5, 2.5), UniformMixture(-0.5, 2.5, 2.5), kinks=(2.0,)),
    Case(lambda: UniformPareto(-1.0, 0.5, 40.0), UniformMixture(-1.0, 0.5, 40.0), kinks=(-0.5,)),
]
