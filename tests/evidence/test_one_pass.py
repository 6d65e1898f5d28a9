"""One pass gives what careful passes give, to rounding, or says that it cannot be trusted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import surprax as sx
from surprax.evidence import one_pass as module
from surprax.evidence.one_pass import one_pass
from surprax.families.fitting import FEW

ROWS = 3 * 5_000 + 37
"""Some whole blocks (of the size below), a part of one, and a tail that fills no lane."""

RNG = np.random.default_rng(20_240_229)
DATA = {
    "Normal": (sx.Normal, {}, RNG.normal(50.0, 2.0, ROWS)),
    "LogNormal": (sx.LogNormal, {}, RNG.lognormal(1.0, 0.5, ROWS)),
    "Exponential": (sx.Exponential, {}, RNG.exponential(3.0, ROWS)),
    "HalfNormal": (sx.HalfNormal, {}, np.abs(RNG.normal(0.0, 3.0, ROWS))),
    "Gamma": (sx.Gamma, {}, RNG.gamma(2.5, 0.7, ROWS)),
    "InverseGamma": (sx.InverseGamma, {}, 1.0 / RNG.gamma(2.5, 0.7, ROWS)),
    "InverseGaussian": (sx.InverseGaussian, {}, RNG.wald(2.0, 3.0, ROWS)),
    "Beta": (sx.Beta, {}, RNG.beta(2.0, 3.0, ROWS)),
    "Laplace": (sx.Laplace, {"loc": 1.0}, RNG.laplace(1.0, 2.0, ROWS)),
    "Weibull": (sx.Weibull, {"concentration": 1.7}, RNG.weibull(1.7, ROWS)),
}
each = pytest.mark.parametrize("name", DATA)
AT_LENGTH = ("Beta", "LogNormal", "InverseGaussian")
"""Families that are given many rows in thorough runs only."""


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 5_056)
    with jax.enable_x64(True):
        yield


def domain_of(family):
    return float(family.data_support.lower), float(family.data_support.upper)


def quick(family, x, known=None):
    return jax.jit(lambda x: one_pass(family.layout, x, known or {}, domain_of(family)))(x)


def careful(family, x, known=None):
    total = lambda v: jnp.sum(v, axis=0)
    return family.layout.reduce(x, None, total, lambda c: c, known or {}, jnp.float64)


@each
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_pass_is_as_good_as_many(name, dtype):
    family, known, x = DATA[name]
    x = jnp.asarray(x.astype(dtype))
    sums = quick(family, x, known)
    number, mean, gaps = careful(family, x, known)
    assert sums.trusted
    assert sums.number == number
    np.testing.assert_allclose(sums.mean, mean, rtol=1e-13)
    np.testing.assert_allclose(sums.gaps, gaps, rtol=1e-12)


@each
def test_float32_terms_cost_little_and_no_bias(name):
    family, known, x = DATA[name]
    x = jnp.asarray(x.astype(np.float32))
    sums = jax.jit(lambda x: one_pass(family.layout, x, known, domain_of(family), np.float32))(x)
    _, mean, gaps = careful(family, x, known)
    assert sums.trusted
    # 1e-7 a row, at random: over 15,000 rows 1e-9 of the terms, which are a few times the gap.
    np.testing.assert_allclose(sums.mean, mean, rtol=2e-8)
    np.testing.assert_allclose(sums.gaps, gaps, rtol=2e-8)


@pytest.mark.parametrize("name", ["Gamma", "Normal", "InverseGaussian"])
def test_gaps_are_those_of_extended_precision(name):
    family, _, x = DATA[name]
    mean = np.mean(x.astype(np.longdouble))
    ratio = x / mean
    truth = {
        "Gamma": lambda: np.mean(ratio - 1 - np.log(ratio)),
        "Normal": lambda: np.mean((x - mean) ** 2),
        "InverseGaussian": lambda: np.mean((x - mean) ** 2 / (x * mean**2)),
    }[name]()
    np.testing.assert_allclose(quick(family, jnp.asarray(x)).gaps[0], float(truth), rtol=1e-12)


@each
def test_the_order_of_rows_does_not_matter(name):
    """Also sorted, where the rows that make the reference come from everywhere."""
    family, known, x = DATA[name]
    one, other = quick(family, jnp.asarray(x), known), quick(family, jnp.asarray(np.sort(x)), known)
    assert one.trusted
    assert other.trusted
    np.testing.assert_allclose(one.gaps, other.gaps, rtol=1e-12)


def spoilt(x, value, row=ROWS // 2):
    x = x.copy()
    x[row] = value
    return jnp.asarray(x)


@each
@pytest.mark.parametrize("row", [0, 1, ROWS // 2, ROWS - 1])
def test_rows_that_are_no_numbers_are_noticed(name, row):
    family, known, x = DATA[name]
    for value in (np.nan, np.inf):
        assert not quick(family, spoilt(x, value, row), known).trusted


@pytest.mark.parametrize("name", [n for n, (f, _, _) in DATA.items() if np.isfinite(f.data_support.lower)])
def test_rows_out_of_the_domain_are_noticed_also_in_pairs(name):
    family, known, x = DATA[name]
    bad = [-0.5, *([1.5] if family is sx.Beta else [])]
    for value in bad:
        once = spoilt(x, value)
        assert not quick(family, once, known).trusted
        assert not quick(family, once.at[5].set(value), known).trusted


def test_two_negative_rows_in_one_product_are_noticed():
    x = np.array(DATA["Gamma"][2])
    x[[7, 7 + 5_056 // module.LANES["float64"]]] = -1.0
    assert not quick(sx.Gamma, jnp.asarray(x)).trusted


@pytest.mark.parametrize("family", [sx.Gamma, sx.Beta, sx.Normal, sx.InverseGaussian])
def test_data_that_are_all_alike_are_left_to_careful_passes(family):
    x = jnp.full(ROWS, 0.4)
    assert not quick(family, x).trusted


@pytest.mark.parametrize("family", [sx.Gamma, sx.InverseGamma])
def test_tight_data_are_left_to_careful_passes(family):
    x = jnp.asarray(1.0 + 1e-6 * RNG.normal(size=ROWS))
    assert not quick(family, x).trusted


def test_a_reference_far_from_the_mean_is_noticed():
    """All rows that make the reference are zero, and no others."""
    x = 10.0 + 0.1 * RNG.normal(size=ROWS)
    x[:: max(1, ROWS // module.GLANCE)] = 0.0
    assert not quick(sx.Normal, jnp.asarray(x)).trusted
    np.testing.assert_allclose(careful(sx.Normal, jnp.asarray(x))[2][0], np.var(x), rtol=1e-12)


# As users meet it.


@pytest.mark.parametrize(
    "name", ["Gamma", "Normal", *(pytest.param(n, marks=pytest.mark.thorough) for n in AT_LENGTH), "Exponential"]
)
def test_evidence_and_fits_of_many_rows_are_those_of_their_parts(name):
    family, _, x = DATA[name]
    x = np.tile(x, 1 + FEW // ROWS)
    assert len(x) > FEW
    whole, parts = family.evidence(x), family.evidence(x[:1000]) + family.evidence(x[1000:40_000])
    parts += family.evidence(x[40_000:])
    for ours, theirs in zip(jax.tree.leaves(whole), jax.tree.leaves(parts)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    for ours, theirs in zip(family.fit(x)._leaves(), parts.fit()._leaves()):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11)


@pytest.mark.parametrize(
    "name", ["Gamma", "Normal", *(pytest.param(n, marks=pytest.mark.thorough) for n in AT_LENGTH), "Exponential"]
)
def test_log_likelihood_of_many_float32_rows(name):
    family, _, x = DATA[name]
    x = np.tile(x, 1 + FEW // ROWS).astype(np.float32)
    d = family.fit(x[:500])
    with jax.enable_x64(False):
        got = d.log_likelihood(x)
        assert got.dtype == np.float32
        slope = jax.grad(lambda d: d.log_likelihood(x))(jax.tree.map(jnp.float32, d))
    log_prob = np.asarray(d.log_prob(x.astype(np.float64)))
    np.testing.assert_allclose(got, log_prob.sum(), rtol=3e-7)
    truth = jax.grad(lambda d: jnp.sum(d.log_prob(jnp.asarray(x, jnp.float64))))(jax.tree.map(jnp.float64, d))
    for ours, theirs in zip(slope._leaves(), truth._leaves()):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)


@pytest.mark.parametrize("rows", [4, FEW + 20])
@pytest.mark.parametrize(
    ("d", "bad"),
    [
        (sx.Gamma(2.0, 1.0), -1.0),
        (sx.Gamma(2.0, 1.0), 0.0),
        (sx.Exponential(2.0), -0.5),
        (sx.HalfNormal(2.0), -0.5),
        (sx.Beta(2.0, 2.0), 1.25),
        (sx.LogNormal(0.0, 1.0), -1.0),
        (sx.InverseGaussian(1.0, 1.0), 0.0),
        (sx.Poisson(2.0), -1.0),
        (sx.Poisson(2.0), 0.5),
    ],
    ids=str,
)
def test_log_likelihood_of_impossible_rows_is_minus_infinity(d, bad, rows):
    with jax.enable_x64(False):
        x = np.ones(rows, np.float32) if d.discrete else np.linspace(0.2, 0.8, rows, dtype=np.float32)
        assert np.isfinite(d.log_likelihood(x))
        x[rows // 2] = bad
        assert d.log_likelihood(x) == -np.inf
        assert np.isnan(d.log_likelihood(spoilt(x, np.nan, 1)))


def test_errors_in_many_rows_name_the_first():
    x = RNG.gamma(2.0, 1.0, FEW + 10)
    x[[70, 900]] = -1.0
    for call in (sx.Gamma.fit, sx.Gamma.evidence):
        with pytest.raises(ValueError, match=r"row 70 is -1 \(2 such rows"):
            call(x)


def test_tight_data_in_many_rows_are_fitted_all_the_same():
    x = 1.0 + 1e-6 * RNG.normal(size=FEW + 10)
    variance = np.var(x)
    np.testing.assert_allclose(sx.Gamma.fit(x).variance, variance, rtol=1e-4)
    _, outcome = sx.Gamma.try_fit(np.full(FEW + 10, 0.7))
    assert outcome.reason is not None
    assert not outcome.ok
