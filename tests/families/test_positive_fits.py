"""Exponential, Gamma, InverseGamma, LogNormal, HalfNormal, Beta, InverseGaussian: maximum likelihood, evidence, and draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.families.test_positive import FAMILIES, each_family, make, settings

from surprax.families.exponential_law import Exponential
from surprax.families.gamma import Gamma
from surprax.families.half_normal import HalfNormal
from surprax.families.log_normal import LogNormal
from surprax.families.outcomes import Reason

few = pytest.mark.parametrize(
    "family",
    [
        pytest.param(f, id=f.__name__, marks=[] if f in (Exponential, Gamma, LogNormal) else pytest.mark.thorough)
        for f in FAMILIES
    ],
)
"""The same for every family: all others in thorough runs."""


@each_family
def test_fit_is_where_the_score_vanishes(family):
    """At random settings: Newton's step from the fit, in log-parameters, is nil."""

    @jax.jit
    def newton_step(fit, x):
        def total(t):
            leaves = [
                f + t[i] if family is LogNormal else f * jnp.exp(t[i]) for i, f in enumerate(jax.tree.leaves(fit))
            ]
            return jnp.sum(make(family, leaves).log_prob(x))

        zero = jnp.zeros(len(family.parameters))
        return jnp.linalg.solve(jax.hessian(total)(zero), jax.grad(total)(zero))

    with jax.enable_x64(True):
        leaves = settings(family, 12, 100)
        leaves = leaves if family is LogNormal else [np.clip(v, 0.05, 1e4) for v in leaves]
        x = np.asarray(make(family, leaves).sample(jax.random.key(0), (200,)))
        for j in range(12):
            fit, outcome = family.try_fit(x[:, j])
            assert outcome.ok, str(outcome)
            assert np.max(np.abs(newton_step(fit, x[:, j]))) < 1e-9, fit


@each_family
def test_fit_of_a_batch_is_the_fit_of_each_column(family):
    rng = np.random.default_rng(1)
    x = rng.uniform(0.1, 0.9, (50, 4)) ** np.array([0.5, 1, 2, 4])
    x[:, 2] = x[0, 2]
    fit, outcome = family.try_fit(x)
    one_parameter = family in (Exponential, HalfNormal)
    assert outcome.ok.tolist() == [True, True, one_parameter, True]
    for j in (0, 1, 3):
        column = family.fit(x[:, j])
        for a, b in zip(jax.tree.leaves(fit), jax.tree.leaves(column)):
            np.testing.assert_allclose(a[j], b, rtol=1e-12)
    if not one_parameter:
        with pytest.raises(ValueError, match=r"in 1 of 4 fits, first in number 2, all observations are equal"):
            family.fit(x)


@few
def test_fit_of_traced_data_has_the_derivative_of_the_fit(family):
    with jax.enable_x64(True):
        x = jnp.array([0.2, 0.5, 0.9, 0.35])

        def fit(x):
            return jnp.stack(jax.tree.leaves(family.fit(x)))

        np.testing.assert_allclose(jax.jit(fit)(x), fit(x), rtol=1e-10)
        step = jnp.array([0.0, 1e-6, 0.0, 0.0])
        np.testing.assert_allclose(jax.jacobian(fit)(x)[:, 1], (fit(x + step) - fit(x - step))[:] / 2e-6, rtol=1e-6)


@each_family
def test_fit_says_why_there_is_no_maximum(family):
    _, outcome = family.try_fit(np.zeros(0))
    assert outcome.reason is Reason.NO_DATA
    _, outcome = family.try_fit([0.4, 0.4, 0.4])
    assert outcome.reason is (Reason.MAXIMUM if family in (Exponential, HalfNormal) else Reason.ALL_SAME)
    with pytest.raises(ValueError, match="row 1 is -1"):
        family.fit([0.5, -1.0, 0.2])


def test_exponential_fit_of_zeros():
    fit, outcome = Exponential.try_fit([0.0, 0.0])
    assert outcome.reason is Reason.ALL_ZERO
    assert fit.rate == np.inf


@each_family
def test_weights_are_repetitions(family):
    x, w = np.array([0.2, 0.5, 0.9]), np.array([3, 1, 2])
    a, b = family.fit(x, weights=w), family.fit(np.repeat(x, w))
    for one, two in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
        np.testing.assert_allclose(one, two, rtol=1e-12)


@few
def test_log_likelihood_in_float32_is_that_in_float64(family):
    with jax.enable_x64(True):
        d = make(family, [np.float64(v) for v in (1.5, 2.5)[: len(family.parameters)]])
        x = np.asarray(d.sample(jax.random.key(0), (20_000,)))
        exact = float(jnp.sum(d.log_prob(x.astype(np.float32).astype(np.float64))))
    single = jax.jit(lambda d, x: d.log_likelihood(x))(d, jnp.asarray(x, jnp.float32))
    assert single.dtype == jnp.float32
    assert abs(float(single) - exact) < 1e-6 * abs(exact) + 0.02
    np.testing.assert_allclose(
        family.evidence(x).log_likelihood(d), np.sum(np.asarray(d.log_prob(x), float)), rtol=1e-5
    )


@few
def test_evidence_of_one_observation_scores_it(family):
    with jax.enable_x64(True):
        d = make(family, [np.float64(v) for v in (1.5, 2.5)[: len(family.parameters)]])
        np.testing.assert_allclose(family.evidence([0.3]).log_likelihood(d), d.log_prob(0.3), rtol=1e-12)
        gradient = jax.grad(lambda d: family.evidence([0.3]).log_likelihood(d))(d)
        for one, two in zip(jax.tree.leaves(gradient), jax.tree.leaves(jax.grad(lambda d: d.log_prob(0.3))(d))):
            np.testing.assert_allclose(one, two, rtol=1e-10)


@each_family
def test_draws_of_small_shapes_stay_where_data_may_lie(family):
    d = make(family, [np.float64(v) for v in (0.01, 0.02)[: len(family.parameters)]])
    x = np.asarray(d.sample(jax.random.key(0), (1000,)))
    assert x.dtype == np.float32
    assert np.all(family.data_support.contains(x) & np.isfinite(x))
