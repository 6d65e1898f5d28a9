"""The log-likelihood of evidence curves at its maximum as that of the rows does, where forms that keep digits have branches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.families import registry, test_vectors

from surprax.families.exponential import ExponentialFamily
from surprax.numerics.precision import float64_scope

ALL = [d for c in (*registry.CASES, *test_vectors.CASES) if isinstance(d := c.make(), ExponentialFamily)]
ONE_EACH = list({type(d).__name__.split("[")[0]: d for d in ALL}.values())
USUAL = ("Normal", "Gamma", "Poisson", "Bernoulli", "MultivariateNormal")
OTHERS = [d for d in ALL if all(d is not one for one in ONE_EACH)]


@pytest.mark.parametrize(
    "d",
    [
        pytest.param(d, id=type(d).__name__, marks=[] if type(d).__name__ in USUAL else pytest.mark.thorough)
        for d in ONE_EACH
    ],
)
def test_curvature_at_the_fit(d):
    check(d)


@pytest.mark.thorough
@pytest.mark.parametrize("d", OTHERS, ids=lambda d: type(d).__name__)
def test_curvature_at_other_fits(d):
    check(d)


def check(d):
    family = type(d)
    with float64_scope():
        x = np.asarray(d.sample(jax.random.key(0), (60,)), np.float64)
        known = {name: np.asarray(getattr(d, name)) for name in family.known_parameters}
        evidence = family.evidence(x, **known)
        fit, outcome = family.try_fit(evidence)
        if not outcome.ok:
            pytest.skip(str(outcome))
        natural = np.asarray(fit.natural)

        def of(eta):
            return family.from_natural(eta, **known)

        by_evidence = jax.jit(jax.hessian(lambda eta: evidence.log_likelihood(of(eta))))(natural)
        by_rows = jax.jit(jax.hessian(lambda eta: jnp.sum(of(eta).log_prob(x))))(natural)
    np.testing.assert_allclose(by_evidence, by_rows, rtol=1e-6, atol=1e-9 * np.max(np.abs(by_rows)))
