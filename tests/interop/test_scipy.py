"""SciPy: the same distributions, frozen."""

import jax
import numpy as np
import pytest
from tests.interop.cases import each_case, each_family

import surprax as sx
from surprax import to_scipy
from surprax.families import FAMILIES
from surprax.families.supports import SIMPLEX, SPHERE
from surprax.interop.scipy_twins import CONDITIONS, ONE_AT_A_TIME, TWINS

NOT_IN_SCIPY = {
    "ConwayMaxwellPoisson": "SciPy has none",
    "DoubleLomax": "SciPy has none",
    "GeneralizedDirichlet": "SciPy has none",
    "LogLomax": "SciPy has none",
    "LogStudentT": "SciPy has none",
    "LogitNormal": "SciPy has none",
    "NormalGamma": "SciPy has none",
    "NormalInverseWishart": "SciPy has none",
    "NormalWishart": "SciPy has none",
    "UniformPareto": "SciPy has none",
    "Truncated": "SciPy has a class of its own for each of a few bases",
}
"""Families that SciPy does not have, and why."""


def test_every_family_is_in_scipy_or_has_a_reason():
    assert set(FAMILIES) <= {*TWINS, *ONE_AT_A_TIME, *NOT_IN_SCIPY}
    assert not {*TWINS, *ONE_AT_A_TIME} & set(NOT_IN_SCIPY)
    assert not set(TWINS) & set(ONE_AT_A_TIME)


def asked(d):
    """Whether the parameters are such as SciPy takes."""
    _, holds = CONDITIONS.get(type(d).__name__, ("", lambda d: True))
    return np.all(holds(d))


@each_case
def test_it_is_the_distribution_of_scipy(case):
    d = case.make()
    name = type(d).__name__
    if name in NOT_IN_SCIPY:
        with pytest.raises(TypeError, match=f"SciPy has no {name}. It has: Bernoulli"):
            to_scipy(d)
        return
    if not asked(d):
        with pytest.raises(ValueError, match=f"SciPy's {name} needs a"):
            to_scipy(d)
        return
    frozen, twin = to_scipy(d), case.scipy
    density = "logpmf" if d.discrete else "logpdf"
    if d.event_shape:
        x = np.asarray(d.sample(jax.random.key(0), (5,)), np.float64)
        x = x / x.sum(axis=-1, keepdims=True) if d.support == SIMPLEX else x
        x = x / np.linalg.norm(x, axis=-1, keepdims=True) if d.support == SPHERE else x
        with jax.enable_x64(True):
            exact = d.log_prob(x)
        log_density = getattr(frozen, density)
        found = [log_density(*row) if name == "NormalInverseGamma" else log_density(row) for row in x]
        np.testing.assert_allclose(np.squeeze(found), exact, rtol=1e-9, atol=1e-9)
        return
    x = twin.ppf([0.01, 0.3, 0.9, 0.999])
    np.testing.assert_allclose(getattr(frozen, density)(x), getattr(twin, density)(x), rtol=1e-12, atol=1e-14)
    if name == "VonMises" and d.concentration >= 50:
        return  # SciPy's distribution function is an approximation there, good to some five digits
    # SciPy's angles go round and round: its distribution function is 0 opposite to loc, not at −π.
    before = frozen.cdf(-np.pi) if name == "VonMises" else 0.0
    np.testing.assert_allclose(frozen.cdf(x) - before, twin.cdf(x), rtol=1e-12, atol=1e-14)


@each_family
def test_batches_broadcast_as_in_scipy(case):
    d = case.make()
    name = type(d).__name__
    if name in NOT_IN_SCIPY or not asked(d):
        return
    batch = type(d)._of(**{n: np.stack([getattr(d, n), getattr(d, n)])[:, None] for n in d.parameters})
    if name in ONE_AT_A_TIME:
        with pytest.raises(ValueError, match=rf"one {name} at a time; this is a batch of shape \(2, 1"):
            to_scipy(batch)
        return
    if d.event_shape:
        one, both = to_scipy(d).logpdf(0.2, 0.9), to_scipy(batch).logpdf(0.2, 0.9)
        np.testing.assert_allclose(both, np.full((2, 1), one), rtol=1e-15)
        return
    x = to_scipy(d).ppf([0.2, 0.9])
    np.testing.assert_allclose(to_scipy(batch).cdf(x), np.stack([to_scipy(d).cdf(x)] * 2), rtol=1e-15)


def test_numbers_are_float64_whatever_they_were():
    assert to_scipy(sx.Normal(np.float32(0.1), 1.0)).kwds == {}
    assert all(a.dtype == np.float64 for a in to_scipy(sx.Normal(np.float32(0.1), 1.0)).args)


def test_what_scipy_cannot_hold_is_refused_in_words():
    with pytest.raises(TypeError, match=r"takes a distribution of surprax, such as Normal\(0, 1\); got 3"):
        to_scipy(3.0)
    with pytest.raises(ValueError, match=r"parameters of Normal are traced\. Convert outside of jit"):
        jax.jit(lambda loc: to_scipy(sx.Normal(loc, 1.0)))(0.0)
