"""Series beside a frame have its index, or are refused; streamed estimates can be pickled."""

import pickle

import numpy as np
import pandas as pd
import pytest

import surprax as sx
from surprax.data import DataError

N = 200
RNG = np.random.default_rng(0)
DATA = pd.DataFrame({"x": RNG.normal(size=N), "y": RNG.poisson(3.0, N), "near": RNG.gamma(2.0, size=N)})


def test_columns_beside_a_frame_have_its_index():
    weights = pd.Series(1.0 + np.arange(N) % 3, DATA.index)
    right = sx.glm("near ~ x", DATA[50:], weights=weights[50:])
    np.testing.assert_allclose(right.theta, sx.glm("near ~ x", DATA[50:], weights=weights[50:].to_numpy()).theta)
    for call in (
        lambda: sx.glm("near ~ x", DATA, weights=weights[::-1]),
        lambda: sx.glm("near ~ x", DATA[50:], weights=weights[:150]),
        lambda: sx.glm("y ~ x", DATA, family=sx.Poisson, offset=weights.sample(frac=1.0, random_state=0)),
        lambda: sx.glm((DATA[["x"]], DATA.near[::-1])),
        lambda: sx.glm((DATA[["x"]], DATA.near), precisions=weights[::-1]),
    ):
        with pytest.raises(DataError, match=r"must have the index of .* row 0 is .*to_numpy\(\)"):
            call()


def test_streamed_estimates_can_be_pickled(tmp_path):
    DATA.to_parquet(tmp_path / "rows.parquet")
    est = sx.glm("y ~ x", tmp_path / "rows.parquet", family=sx.Poisson, stream=True)
    again = pickle.loads(pickle.dumps(est))
    assert str(again.summary()) == str(est.summary())
    np.testing.assert_allclose(again.covariance("HC1"), est.covariance("HC1"), rtol=1e-9)
