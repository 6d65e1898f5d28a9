"""Posteriors that several tests look at."""

import jax
import pytest
from numpyro.infer import MCMC, NUTS
from tests.infer.models import HEIGHTS, TOSSES, X, Y, mean_of, regression, tossing

from surprax.infer import infer


@pytest.fixture(scope="package")
def heights():
    return infer(mean_of, HEIGHTS, method="nuts", key=jax.random.key(1))


@pytest.fixture(scope="package")
def lines():
    return infer(regression, X, Y, method="nuts", key=jax.random.key(2))


@pytest.fixture(scope="package")
def coin():
    return infer(tossing, TOSSES, method="laplace", key=jax.random.key(3))


@pytest.fixture(scope="package")
def plain():
    """The same as `lines` by NumPyro alone."""
    with jax.numpy_rank_promotion("allow"), jax.debug_key_reuse(False):
        chains = MCMC(
            NUTS(regression),
            num_warmup=500,
            num_samples=1000,
            num_chains=2,
            chain_method="sequential",
            progress_bar=False,
        )
        chains.run(
            jax.random.key(0),
            X,
            Y,
            extra_fields=("potential_energy", "energy", "num_steps", "accept_prob", "diverging"),
        )
    return chains
