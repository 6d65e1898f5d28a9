"""Estimates can be copied, and sent to other processes: what they say afterwards is what they said before."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import surprax as sx
from surprax.regression.tweedie import Tweedie

RNG = np.random.default_rng(0)
N = 40
X = RNG.normal(size=N)
COUNTS = RNG.poisson(RNG.gamma(1.0, 3.0, N))
POSITIVE = RNG.gamma(2.0, 1.0, N)
DATA = {
    "x": X,
    "g": RNG.choice(list("abc"), N),
    "y": POSITIVE,
    "count": COUNTS,
    "one": RNG.integers(0, 2, N),
    "share": RNG.beta(2.0, 2.0, N),
    "kind": RNG.choice(list("uvw"), N),
}
SEEN_LATER = np.tile([0, 1], N // 2)


def log_density(p, x):
    return -0.5 * jnp.square((x - p["loc"]) / p["scale"]) - jnp.log(p["scale"])


def model(x):
    rate = numpyro.sample("rate", dist.Gamma(1.0, 1.0))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("x", dist.Poisson(rate), obs=x)


FITS = {
    "family": lambda: sx.mle(sx.Gamma, POSITIVE),
    "matrix": lambda: sx.mle(sx.MultivariateNormal, np.column_stack([X, POSITIVE])),
    "evidence": lambda: sx.mle(sx.Gamma, sx.Gamma.evidence(POSITIVE)),
    "censored": lambda: sx.mle(sx.Exponential, POSITIVE, censoring=SEEN_LATER),
    "function": lambda: sx.maximize(log_density, {"loc": 0.0, "scale": 1.0}, X, bounds={"scale": (0, None)}),
    "model": lambda: sx.mle(model, COUNTS),
    "mode": lambda: sx.map_estimate(model, COUNTS),
    "normal": lambda: sx.glm("y ~ x + center(x**2) + g", DATA),
    "triangle": lambda: sx.glm("y ~ g", DATA),
    "cells": lambda: sx.glm("count ~ g", DATA, family=sx.Poisson),
    "shaped": lambda: sx.glm("count ~ x", DATA, family=sx.NegativeBinomial),
    "Bernoulli": lambda: sx.glm("one ~ x", DATA, family=sx.Bernoulli),
    "gamma": lambda: sx.glm("y ~ x", DATA, family=sx.Gamma),
    "inverse Gaussian": lambda: sx.glm("y ~ x", DATA, family=sx.InverseGaussian),
    "Tweedie": lambda: sx.glm("y ~ x", DATA, family=Tweedie(1.5)),
    "beta": lambda: sx.glm("share ~ x", DATA, family=sx.Beta),
    "categories": lambda: sx.glm("kind ~ x", DATA, family=sx.Categorical),
    "ridge": lambda: sx.glm("y ~ x", DATA, penalty=1.0),
    "censored glm": lambda: sx.glm("y ~ x", DATA, censoring=SEEN_LATER),
    "pair": lambda: sx.glm((X[:, None], POSITIVE)),
}


@pytest.mark.parametrize("name", FITS)
def test_copies_say_the_same(name):
    est = FITS[name]()
    told = str(est.summary())  # programs are compiled by now
    again = pickle.loads(pickle.dumps(est))
    assert str(again.summary()) == str(copy.deepcopy(est).summary()) == told
    np.testing.assert_allclose(again.covariance(), est.covariance(), rtol=1e-12)
    if est.problem.each is not None:
        np.testing.assert_allclose(again.covariance("sandwich"), est.covariance("sandwich"), rtol=1e-9)
    if hasattr(est, "predict"):
        np.testing.assert_allclose(again.predict(), est.predict(), rtol=1e-12)
    if name not in ("ridge", "matrix"):
        label, value = est.labels[0], 1.01 * est.theta[0]
        ours, theirs = (one.profile(label, [value]).log_likelihoods for one in (again, est))
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    np.testing.assert_allclose(again.refit().theta, est.theta, rtol=1e-6)


def test_compiled_programs_stay_behind():
    est = sx.mle(sx.Gamma, POSITIVE)
    est.confidence_interval(method="profile")
    again = pickle.loads(pickle.dumps(est))
    assert "_programs" in vars(est.problem)
    assert "_programs" not in vars(again.problem)
    assert len(pickle.dumps(est)) < 100 * N


def test_copies_know_which_parameters_can_be_zero():
    est = sx.maximize(log_density, {"loc": 0.0, "scale": 1.0}, X, bounds={"scale": (0, None)})
    again = copy.deepcopy(est)
    assert [again.spans_zero(label) for label in again.labels] == [True, False]


def test_draws_of_a_copy_are_those_of_the_estimate():
    est = sx.mle(model, COUNTS)
    ours, theirs = (one.to_datatree(jax.random.key(0), num_samples=5) for one in (pickle.loads(pickle.dumps(est)), est))
    np.testing.assert_array_equal(ours["posterior"]["rate"], theirs["posterior"]["rate"])
