"""Cells of large counts, and gamma laws of responses nearly alike: sums over rows that all but cancel keep their digits."""

import mpmath as mp
import numpy as np
import pandas as pd
import pytest

import surprax as sx

N = 200
RNG = np.random.default_rng(0)
G, YEARS = RNG.choice(list("ab"), N), RNG.uniform(0.5, 2.0, N)
MEANS = 1e9 * np.where(G == "a", 1.0, 1.5)
DATA = pd.DataFrame(
    {
        "g": G,
        "x": RNG.normal(size=N),
        "y": RNG.poisson(MEANS),
        "z": RNG.poisson(MEANS * YEARS),
        "log_years": np.log(YEARS),
        "near": MEANS * (1.0 + 1e-4 * RNG.normal(size=N)),
    }
)


def _exact(est, y, offset=0.0):
    b = [mp.mpf(float(est["Intercept"])), mp.mpf(float(est["g[T.b]"]))]
    off = np.broadcast_to(offset, N)
    return [(mp.mpf(float(v)), mp.exp(b[0] + b[1] * (g == "b") + mp.mpf(float(o)))) for v, g, o in zip(y, G, off)]


@pytest.mark.parametrize("offset", [None, "log_years"])
def test_deviance_within_cells_has_its_digits(offset):
    name = "y" if offset is None else "z"
    est = sx.glm(f"{name} ~ g", DATA, family=sx.Poisson, offset=offset)
    assert est.compression == "200 rows → 2 cells"
    pairs = _exact(est, DATA[name], 0.0 if offset is None else DATA[offset])
    assert est.deviance == pytest.approx(float(mp.fsum(2 * (y * mp.log(y / m) - y + m) for y, m in pairs)), rel=1e-11)


def test_concentration_is_the_best_one_where_responses_are_nearly_alike():
    for formula in ("near ~ g", "near ~ g + x"):
        est = sx.glm(formula, DATA, family=sx.Gamma)
        half = mp.mpf(est.deviance) / 2
        best = mp.findroot(
            lambda a, half=half: N * (mp.log(a) - mp.digamma(a)) - half, mp.mpf(float(est["concentration"]))
        )
        assert float(est["concentration"]) == pytest.approx(float(best), rel=1e-7)
