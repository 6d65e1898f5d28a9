"""Linear regression against NIST's Statistical Reference Datasets (public domain), in nine digits.

Data and certified values are those of https://www.itl.nist.gov/div898/strd/lls/lls.shtml. What is certified holds of the decimal
numbers; a binary number x is as good (the fit moves by less than 10⁻¹³), but powers of Filip's x, once rounded, move it by 10⁻⁷·⁶.
"""

import json
import warnings
from fractions import Fraction
from pathlib import Path

import mpmath
import numpy as np
import pytest

import surprax as sx
from surprax.estimate import NotAMaximumWarning

FILES = {
    path.stem: json.loads(path.read_text()) for path in sorted(Path(__file__).parent.joinpath("nist").glob("*.json"))
}
DIGITS = {("Filip", "matrix"): 7.5}
"""To how many digits coefficients and standard errors are asked for, if not to 9: powers that came rounded allow Filip 7.6."""
EXACT = ("Wampler1", "Wampler2")
"""Whose responses are the polynomial, without errors."""
THROUGH_ORIGIN = ("NoInt1", "NoInt2")

NULL = "there is no null deviance, and no R², without an intercept"


def columns(name, number=float):
    """Covariates and responses as numbers."""
    file = FILES[name]
    return {key: [number(v) for v in values] for key, values in (file["x"] | {"y": file["y"]}).items()}


def powers(name, number=float):
    """The columns of the design but for the intercept, and the responses."""
    data = columns(name, number)
    y = data.pop("y")
    if len(data) > 1:
        return list(data.values()), y
    return [[x**k for x in data["x"]] for k in range(1, FILES[name]["formula"].count("**") + 2)], y


def fitted(name, how):
    if how == "formula":
        return sx.glm(FILES[name]["formula"], {key: np.array(v) for key, v in columns(name).items()})
    X, y = powers(name)
    return sx.glm((np.array(X).T, np.array(y)), intercept=name not in THROUGH_ORIGIN)


def digits(found, certified):
    """To how many digits numbers are right, the worst of them."""
    with mpmath.workdps(30):
        pairs = [(mpmath.mpf(float(one)), mpmath.mpf(other)) for one, other in zip(found, certified, strict=True)]
        return min(float(-mpmath.log10(abs(one / other - 1) + mpmath.mpf(10) ** -20)) for one, other in pairs)


def marked(names, **reasons):
    return [pytest.param(n, marks=[pytest.mark.xfail(reason=reasons[n])] if n in reasons else []) for n in names]


NOISY = [name for name in FILES if name not in EXACT]


@pytest.mark.parametrize("name", FILES)
def test_certified_values_follow_from_the_data(name):
    columns, y = powers(name, Fraction)
    if name not in THROUGH_ORIGIN:
        columns.insert(0, [Fraction(1)] * len(y))
    number = lambda q: mpmath.mpf(q.numerator) / q.denominator
    dot = lambda u, v: number(sum(a * b for a, b in zip(u, v)))
    inverse = mpmath.matrix([[dot(u, v) for v in columns] for u in columns]) ** -1
    b = inverse * mpmath.matrix([dot(u, y) for u in columns])
    rss = sum((number(r) - sum(bj * number(c[i]) for bj, c in zip(b, columns))) ** 2 for i, r in enumerate(y))
    center = 0 if name in THROUGH_ORIGIN else sum(y) / len(y)
    variance = rss / (len(y) - len(columns))
    found = [*b, *(mpmath.sqrt(variance * inverse[j, j]) for j in range(len(columns))), mpmath.sqrt(variance)]
    found.append(1 - rss / number(sum((one - center) ** 2 for one in y)))
    file = FILES[name]
    certified = [*file["coefficients"], *file["deviations"], file["residual"], file["r_squared"]]
    for one, other in zip(found, map(mpmath.mpf, certified), strict=True):
        assert abs(one - other) <= 2e-14 * (abs(other) or 1)


@pytest.mark.parametrize("how", ["formula", "matrix"])
@pytest.mark.parametrize("name", NOISY)
def test_fits_are_certified(name, how):
    est = fitted(name, how)
    file = FILES[name]
    assert est.converged
    wanted = DIGITS.get((name, how), 9.0)
    assert digits(est.coefficients.values(), file["coefficients"]) > wanted
    assert digits(list(est.standard_errors().values())[:-1], file["deviations"]) > wanted
    assert digits([est.dispersion**0.5], [file["residual"]]) > 9.0


@pytest.mark.parametrize("name", NOISY)
def test_shares_of_variance_are_certified(name):
    assert digits([fitted(name, "formula").r_squared], [FILES[name]["r_squared"]]) > 9.0


@pytest.mark.parametrize("name", EXACT)
def test_responses_without_errors_are_fitted_to_rounding(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotAMaximumWarning)
        est = fitted(name, "formula")
    assert digits(est.coefficients.values(), FILES[name]["coefficients"]) > 9.0
    assert est.dispersion**0.5 < 1e-9
    assert 1.0 - est.deviance / np.sum((est.data_rows().y - est.data_rows().y.mean()) ** 2) == 1.0


@pytest.mark.parametrize("name", EXACT)
def test_without_errors_there_is_no_scale_and_the_certificate_says_so(name):
    with pytest.warns(NotAMaximumWarning, match="exactly"):
        est = fitted(name, "formula")
    assert est.r_squared == 1.0
    assert all(np.isnan(row["std. error"]) for row in est.summary().values())
