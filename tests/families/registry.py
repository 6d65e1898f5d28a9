"""All test cases, and the numerical integrals that they are checked by."""

import functools
import importlib
import itertools
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from tests.families.cases import Case

_MODULES = sorted(path.stem for path in Path(__file__).parent.glob("cases_*.py"))
CASES: list[Case] = [c for name in _MODULES for c in importlib.import_module(f"tests.families.{name}").CASES]
"""Every family at several settings of its parameters, from all files `cases_*.py`."""


def by_family() -> dict[type, list[Case]]:
    groups = defaultdict(list)
    for case in CASES:
        groups[type(case.make())].append(case)
    return groups


PAIRS = [pair for cases in by_family().values() for pair in itertools.pairwise(cases)]
"""Neighbours within a family."""


COSTLY = frozenset(
    {
        "Beta",
        "BetaBinomial",
        "BetaNegativeBinomial",
        "Binomial",
        "Chi",
        "ChiSquared",
        "ConwayMaxwellPoisson",
        "GeneralizedBetaPrime",
        "InverseGamma",
        "InverseGaussian",
        "LogStudentT",
        "Logarithmic",
        "Lomax",
        "NegativeBinomial",
        "StudentT",
        "Zeta",
    }
)
"""Families that take longest to compile: where a test leaves them out, files of their own try the like at harder points."""


def grouped(items, first, *quick, slow=frozenset()):
    """Parameters of a test, the cases of a family on one worker: they share what it has compiled.

    Where families are named, all others are tried in thorough runs only, and so are the slow ones.
    """

    def parameter(item):
        name = type(first(item).make()).__name__
        marks = [pytest.mark.thorough] if (quick and name not in quick) or name in slow else []
        return pytest.param(item, id=str(first(item)), marks=[pytest.mark.xdist_group(name), *marks])

    return [parameter(item) for item in items]


NODES = 8192
"""Integrals take this many points in every case, so that they share compiled code."""


@functools.cache
def nodes(case: Case, *kinks: float) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights so that Σ weights · f(points) = ∫ f, or the sum over whole numbers, for f like the density.

    Gauss–Legendre panels between quantiles of SciPy's twin, and between places where another integrand has a kink; the tails
    beyond 1e-40 (1e-16 for sums) are left out.
    """
    if case.make().discrete:
        low, high = case.scipy.ppf(1e-16), case.scipy.isf(1e-16)
        x = np.arange(max(low, case.scipy.support()[0]), high + 1)
        w = np.ones_like(x)
    else:
        tail = np.geomspace(1e-40, 0.01, 120)
        levels = np.concatenate(
            [
                case.scipy.ppf(tail),
                case.kinks,
                kinks,
                case.scipy.ppf(np.linspace(0.01, 0.99, 61)),
                case.scipy.isf(tail)[::-1],
            ]
        )
        low, high = case.scipy.support()
        edges = np.unique(levels[np.isfinite(levels) & (levels > low) & (levels < high)])
        t, w = np.polynomial.legendre.leggauss(20)
        half, middle = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
        x, w = (middle[:, None] + half[:, None] * t).ravel(), (half[:, None] * w).ravel()
    missing = NODES - len(x)
    assert missing >= 0, f"{case}: {len(x)} nodes"
    return np.append(x, np.full(missing, x[len(x) // 2])), np.append(w, np.zeros(missing))
