"""What a fit to a file that was streamed does not have is refused with a reason and a way out; the rest survives a refit."""

from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest

import surprax as sx

N = 500
RNG = np.random.default_rng(0)
DATA = pd.DataFrame({"x": RNG.normal(size=N), "g": RNG.choice(list("abc"), N), "count": RNG.poisson(3.0, N)})
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("streamed") / "rows.parquet"
    DATA.to_parquet(path)
    return path


@pytest.fixture(scope="module")
def est(file):
    return sx.glm("count ~ x + g", file, family=sx.Poisson, stream=True)


REFUSED = {
    "HC2": (lambda est: est.standard_errors("HC2"), "no leverages, by which HC2 goes", 'use "HC1"'),
    "HC3": (lambda est: est.standard_errors("HC3"), "no leverages, by which HC3 goes", 'kind="cluster"'),
    "bootstrap": (
        lambda est: est.bootstrap(KEY),
        "no resamples",
        "fit a sample",
        'kind="sandwich"',
        'method="profile"',
    ),
    "interval": (lambda est: est.confidence_interval("x", method="bootstrap", key=KEY), "no resamples"),
    "residuals": (lambda est: est.residuals(), "no numbers for each of its rows", "stream=False"),
    "predictions": (lambda est: est.predict(), "predict(new)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_way_out(est, name):
    call, *parts = REFUSED[name]
    with pytest.raises(ValueError, match="streamed and are not kept") as caught:
        call(est)
    for part in parts:
        assert part in str(caught.value)
    assert ",:" not in str(caught.value)


def test_penalised_fits_say_so_too(file):
    ridge = sx.glm("count ~ x", file, family=sx.Poisson, stream=True, penalty=2.0)
    with pytest.raises(ValueError, match=r"streamed and are not kept.*stream=False"):
        ridge.standard_errors("HC1")


def test_refits_know_their_file(est):
    whole = sx.glm("count ~ x + g", DATA, family=sx.Poisson)
    ours, theirs = (one.refit(fixed={"x": 0.0}) for one in (est, whole))
    np.testing.assert_allclose(ours.theta, theirs.theta, rtol=1e-9)
    for kind in ("sandwich", "HC1"):
        np.testing.assert_allclose(ours.covariance(kind), theirs.covariance(kind), rtol=1e-9)


def test_large_counts_keep_their_digits(tmp_path):
    large = DATA.assign(count=RNG.poisson(1e9 * np.exp(0.01 * DATA.x)))
    large.to_parquet(tmp_path / "large.parquet")
    ours = sx.glm("count ~ x", tmp_path / "large.parquet", family=sx.Poisson, stream=True)
    theirs = sx.glm("count ~ x", large, family=sx.Poisson)
    assert ours.deviance == pytest.approx(theirs.deviance, rel=1e-10)
    assert ours.deviance == pytest.approx(np.sum(theirs.residuals("deviance") ** 2), rel=1e-9)
    assert ours.log_likelihood == pytest.approx(theirs.log_likelihood, rel=1e-12)
