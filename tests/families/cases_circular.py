"""Settings of the von Mises distribution; its twin is SciPy's density on the circle cut open at ±π, summed by panels."""

import numpy as np
import scipy.special as sc
import scipy.stats as st
from tests.families.cases import Case

from surprax.families.von_mises import VonMises

PANELS = 3000
T, W = np.polynomial.legendre.leggauss(12)


class Cut:
    """SciPy's von Mises distribution between −π and π (its own distribution function starts opposite to loc instead)."""

    def __init__(self, loc, kappa):
        self.loc, self.kappa = loc, kappa
        self.logpdf = st.vonmises(kappa, loc).logpdf
        self.edges = np.linspace(-np.pi, np.pi, PANELS + 1)
        mass = self._mass(self.edges[:-1], self.edges[1:])
        self.below = np.concatenate([[0.0], np.cumsum(mass)])
        self.above = np.concatenate([np.cumsum(mass[::-1])[::-1], [0.0]])

    def _mass(self, low, high):
        half, middle = (high - low) / 2, (high + low) / 2
        return np.sum(half[..., None] * W * np.exp(self.logpdf(middle[..., None] + half[..., None] * T)), axis=-1)

    def _panel(self, x):
        return np.clip(np.searchsorted(self.edges, x) - 1, 0, PANELS - 1)

    def cdf(self, x):
        x = np.asarray(x, float)
        return self.below[self._panel(x)] + self._mass(self.edges[self._panel(x)], x)

    def sf(self, x):
        x = np.asarray(x, float)
        return self.above[self._panel(x) + 1] + self._mass(x, self.edges[self._panel(x) + 1])

    def logcdf(self, x):
        return np.log(self.cdf(x))

    def logsf(self, x):
        return np.log(self.sf(x))

    def _where(self, function, target):
        """By bisection, for a function that grows with x."""
        low, high = np.full(np.shape(target), -np.pi), np.full(np.shape(target), np.pi)
        for _ in range(60):
            middle = (low + high) / 2
            small = function(middle) < target
            low, high = np.where(small, middle, low), np.where(small, high, middle)
        return high

    def ppf(self, p):
        return self._where(self.cdf, np.asarray(p, float))

    def isf(self, q):
        return self._where(lambda x: -self.sf(x), -np.asarray(q, float))

    def median(self):
        return float(self.ppf(0.5))

    def support(self):
        return -np.pi, np.pi

    def stats(self, _):
        """Direction of the mean, and 1 less its length."""
        return self.loc, 1.0 - sc.i1e(self.kappa) / sc.i0e(self.kappa)


SETTINGS = ((0.0, 2.0), (1.0, 3.0), (-2.9, 0.7), (0.3, 60.0))
CASES = [Case(lambda s=s: VonMises(*s), Cut(*s)) for s in SETTINGS]
