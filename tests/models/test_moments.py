"""Posterior means and spreads of compressed models, sampled by `infer`, against NumPyro's chains on the plain models."""

import functools
from typing import Any

import jax
import numpy as np
import pytest
from numpyro.infer import MCMC, NUTS
from tests.models.case import Case
from tests.models.cases import BY_NAME
from tests.models.oracle import latents

import surprax as sx
from surprax.infer.diagnostics import ess

CHAINS, WARMUP, DRAWS = 4, 500, 1_000

FEWEST = 200
"""Effective draws of both, without which a comparison says nothing."""

TOO_FAR = 5.0
"""Standard errors. Of 700 comparisons of right answers, one in 2,500 would have one beyond that; the seeds are fixed."""

USUAL = ("gamma", "poisson-by-group", "varying-slopes", "one-of-two-outcomes")
"""Identical rows, cells, a Gaussian line, and a site that stays beside one that does not."""
AT_LENGTH = (
    "crossed-groups",
    "not-centred-and-gathered-early",
    "schools-in-districts",
    "crossed-groups-of-coins",
    "logistic-regression-on-dummies",
    "poisson-with-exposures",
    "scales-by-another-group",
    "transformed-parameters",
    "ordered-logistic",
    "categorical-by-group",
    "logits-put-together-in-each-row",
    "negative-binomial-by-group",
    "beta-binomial-by-group",
    "multivariate-normal-by-group",
    "random-walk-over-months",
    "outcomes-that-share-latents",
    "masked-line",
    "weighted-coins",
    "student-t-of-rounded-values",
    "five-outcomes",
    "lines-of-three-outcomes",
    "log-normal-regression",
    "scales-by-group-around-a-line",
    "multivariate-regression",
    "two-lines-put-together",
    "student-t",
    "logistic-regression",
)


@pytest.mark.parametrize("name", [*USUAL, *(pytest.param(name, marks=pytest.mark.thorough) for name in AT_LENGTH)])
def test_moments_are_those_of_the_plain_model(name):
    case = BY_NAME[name]
    args, kwargs = case.arguments()
    options: dict[str, Any] = {"num_warmup": WARMUP, "num_samples": DRAWS, "num_chains": CHAINS, "progress": False}
    ours = sx.infer(case.model, *args, method="nuts", key=jax.random.key(1), **options, **kwargs)
    assert case.kept or all(ours.plan[site].rule for site in case.rewritten)
    theirs = draws_of_the_plain_model(case)
    for site, told in theirs.items():
        for power, what in ((1, "mean"), (2, "spread")):
            middle = 0.0 if power == 1 else np.mean(told, axis=(0, 1))
            z, enough = apart((ours.draws[site] - middle) ** power, (told - middle) ** power)
            assert np.all(enough), f"{what} of {site}: too few effective draws"
            assert np.max(z) < TOO_FAR, f"{what} of {site}: {np.max(z):.1f} standard errors apart"


@functools.cache
def draws_of_the_plain_model(case: Case) -> dict[str, np.ndarray]:
    """In float64, of shape (chains, draws, …), by latent site."""
    args, kwargs = case.arguments()
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"), jax.debug_key_reuse(False):
        chains = MCMC(
            NUTS(case.model),
            num_warmup=WARMUP,
            num_samples=DRAWS,
            num_chains=CHAINS,
            chain_method="sequential",
            progress_bar=False,
        )
        chains.run(jax.random.key(2), *args, **kwargs)
        drawn = chains.get_samples(group_by_chain=True)
        return {name: np.asarray(drawn[name], np.float64) for name in latents(case.model, args, kwargs)}


def apart(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of draws (chains, draws, …): how many standard errors their means are apart, entry by entry, and whether ESS suffices.

    Entries that do not vary, such as zeros of a Cholesky factor, are to be the same.
    """
    a = np.asarray(a, np.float64)
    varies = (np.ptp(a, axis=(0, 1)) > 1e-6) | (np.ptp(b, axis=(0, 1)) > 1e-6)
    errors, enough = [], []
    for draws in (a, b):
        number = ess(draws, "mean")
        enough.append(np.where(varies, number, FEWEST) >= FEWEST)
        errors.append(np.where(varies, np.var(draws, axis=(0, 1)) / number, 1e-12))
    z = np.abs(np.mean(a, axis=(0, 1)) - np.mean(b, axis=(0, 1))) / np.sqrt(errors[0] + errors[1])
    return np.where(varies, z, 0.0), enough[0] & enough[1]


def test_a_wrong_posterior_would_be_seen():
    """The comparison tells a shift by a fifth of a standard deviation, and a spread that is a fifth greater."""
    rng = np.random.default_rng(0)
    right, other = rng.normal(size=(2, CHAINS, DRAWS))
    assert apart(right, other)[0] < 3.0
    assert apart(right, other + 0.2)[0] > TOO_FAR
    assert apart(right**2, (1.2 * other) ** 2)[0] > TOO_FAR
