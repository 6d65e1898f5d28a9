"""Settings of more families on the positive numbers and on the unit interval."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special as sp
import scipy.stats as st
from tests.families.cases import Case

from surprax.families.chi import Chi
from surprax.families.chi_squared import ChiSquared
from surprax.families.generalized_beta_prime import GeneralizedBetaPrime
from surprax.families.log_student_t import LogStudentT
from surprax.families.logit_normal import LogitNormal
from surprax.families.lomax import Lomax
from surprax.families.maxwell import Maxwell
from surprax.families.pareto import Pareto
from surprax.families.rayleigh import Rayleigh


@dataclass(frozen=True)
class Mapped:
    """The distribution of x(Y) for a distribution of SciPy's and an increasing function x."""

    of: Any
    x: Callable[[Any], Any]
    y: Callable[[Any], Any]
    log_slope: Callable[[Any], Any]
    """log dy/dx, as a function of x."""
    moments: tuple[float, float] | None = None

    def logpdf(self, x: Any) -> Any:
        return self.of.logpdf(self.y(x)) + self.log_slope(x)

    def cdf(self, x: Any) -> Any:
        return self.of.cdf(self.y(x))

    def logcdf(self, x: Any) -> Any:
        return self.of.logcdf(self.y(x))

    def logsf(self, x: Any) -> Any:
        return self.of.logsf(self.y(x))

    def ppf(self, p: Any) -> Any:
        return self.x(self.of.ppf(p))

    def isf(self, p: Any) -> Any:
        return self.x(self.of.isf(p))

    def median(self) -> Any:
        return self.ppf(0.5)

    def support(self) -> tuple[float, float]:
        low, high = self.of.support()
        return float(self.x(low)), float(self.x(high))

    def stats(self, moments: str) -> tuple[float, float]:
        if self.moments is not None:
            return self.moments
        low, high = self.of.ppf(1e-30), self.of.isf(1e-30)
        mean = self.of.expect(self.x, lb=low, ub=high, epsabs=0, epsrel=1e-12)
        return mean, self.of.expect(lambda y: (self.x(y) - mean) ** 2, lb=low, ub=high, epsabs=0, epsrel=1e-12)


def logit_normal(loc: float, scale: float) -> Mapped:
    return Mapped(st.norm(loc, scale), sp.expit, sp.logit, lambda x: -np.log(x) - np.log1p(-x))


def log_student_t(df: float, loc: float, scale: float) -> Mapped:
    def exp(y: Any) -> Any:
        with np.errstate(over="ignore"):
            return np.exp(y)

    return Mapped(st.t(df, loc, scale), exp, np.log, lambda x: -np.log(x), (np.inf, np.inf))


@dataclass(frozen=True)
class MappedOdds(Mapped):
    """Of beta prime odds, whose upper quantiles SciPy has only as those of the reciprocal."""

    def isf(self, p: Any) -> Any:
        a, b = self.of.args
        return self.x(1.0 / st.betaprime(b, a).ppf(p))


def beta_prime(a: float, b: float, p: float, scale: float) -> MappedOdds:
    mean, square = (scale**k * np.exp(sp.betaln(a + k / p, b - k / p) - sp.betaln(a, b)) for k in (1, 2))
    return MappedOdds(
        st.betaprime(a, b),
        lambda y: scale * y ** (1 / p),
        lambda x: (x / scale) ** p,
        lambda x: np.log(p / scale) + (p - 1) * np.log(x / scale),
        (mean, square - mean**2) if b * p > 2 else (np.inf if b * p <= 1 else mean, np.inf),
    )


CASES = [
    Case(lambda: Rayleigh(2.0), st.rayleigh(scale=2.0)),
    Case(lambda: Rayleigh(1.5), st.rayleigh(scale=1.5)),
    Case(lambda: Maxwell(2.0), st.maxwell(scale=2.0)),
    Case(lambda: Maxwell(1.5), st.maxwell(scale=1.5)),
    Case(lambda: Chi(3.0), st.chi(3.0)),
    Case(lambda: Chi(1.0), st.chi(1.0)),
    Case(lambda: Chi(0.4), st.chi(0.4)),
    Case(lambda: Chi(20.0), st.chi(20.0)),
    Case(lambda: ChiSquared(3.0), st.chi2(3.0)),
    Case(lambda: ChiSquared(2.0), st.chi2(2.0)),
    Case(lambda: ChiSquared(0.7), st.chi2(0.7)),
    Case(lambda: ChiSquared(20.0), st.chi2(20.0)),
    Case(lambda: Pareto(2.0, 5.0), st.pareto(5.0, scale=2.0), {"scale": 2.0}),
    Case(lambda: Pareto(2.0, 1.5), st.pareto(1.5, scale=2.0), {"scale": 2.0}),
    Case(lambda: Pareto(1.5, 0.8), st.pareto(0.8, scale=1.5), {"scale": 1.5}),
    Case(lambda: Pareto(50.0, 30.0), st.pareto(30.0, scale=50.0), {"scale": 50.0}),
    Case(lambda: Lomax(3.0, 2.0), st.lomax(3.0, scale=2.0)),
    Case(lambda: Lomax(1.5, 2.2), st.lomax(1.5, scale=2.2)),
    Case(lambda: Lomax(0.8), st.lomax(0.8)),
    Case(lambda: Lomax(300.0, 50.0), st.lomax(300.0, scale=50.0)),
    Case(lambda: LogitNormal(0.0, 1.0), logit_normal(0.0, 1.0)),
    Case(lambda: LogitNormal(0.5, 1.2), logit_normal(0.5, 1.2)),
    Case(lambda: LogitNormal(-3.0, 0.2), logit_normal(-3.0, 0.2)),
    Case(lambda: LogitNormal(1.0, 3.0), logit_normal(1.0, 3.0)),
    Case(lambda: GeneralizedBetaPrime(2.0, 3.0, 2.0, 1.5), beta_prime(2.0, 3.0, 2.0, 1.5)),
    Case(lambda: GeneralizedBetaPrime(2.5, 3.5, 2.0, 1.5), beta_prime(2.5, 3.5, 2.0, 1.5)),
    Case(lambda: GeneralizedBetaPrime(0.7, 1.1, 1.3, 2.0), beta_prime(0.7, 1.1, 1.3, 2.0)),
    Case(lambda: GeneralizedBetaPrime(40.0, 30.0), beta_prime(40.0, 30.0, 1.0, 1.0)),
    Case(lambda: LogStudentT(4.0, 0.5, 0.1), log_student_t(4.0, 0.5, 0.1)),
    Case(lambda: LogStudentT(5.0, 0.4, 0.12), log_student_t(5.0, 0.4, 0.12)),
    Case(lambda: LogStudentT(30.0, -1.0, 0.5), log_student_t(30.0, -1.0, 0.5)),
]
