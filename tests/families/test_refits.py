"""Fits to all folds but one, by a step from the fit to all of them, are as good as fits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import surprax as sx
from surprax.families import laplace, refits

FOLDS, ROWS = 5, 1 << 16
DRAWS = {
    sx.Weibull: lambda rng: rng.weibull(1.7, ROWS),
    sx.Logistic: lambda rng: rng.logistic(1.0, 2.0, ROWS),
    sx.Cauchy: lambda rng: 1.0 + 2.0 * rng.standard_cauchy(ROWS),
    sx.StudentT: lambda rng: rng.standard_t(4.0, ROWS),
    sx.Gumbel: lambda rng: rng.gumbel(1.0, 2.0, ROWS),
    sx.Laplace: lambda rng: rng.laplace(1.0, 2.0, ROWS),
    sx.Uniform: lambda rng: rng.uniform(1.0, 2.0, ROWS),
}


def with_and_without(family, rows, weights):
    with jax.enable_x64(True):
        fit = jax.jit(lambda rows, weights: family._fit_with_and_without_each(rows, weights))
        arrays = jnp.asarray(rows), None if weights is None else jnp.asarray(weights)
        return jax.tree.map(np.asarray, fit(*arrays))


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(f, id=f.__name__, marks=[] if f in (sx.Weibull, sx.Laplace, sx.Uniform) else pytest.mark.thorough)
        for f in DRAWS
    ],
)
@pytest.mark.parametrize("padded", [False, True], ids=["full", "padded"])
def test_what_a_fold_scores_is_what_it_scores_under_a_fit_to_the_others(family, padded, monkeypatch):
    monkeypatch.setattr(refits, "MANY", ROWS)
    monkeypatch.setattr(laplace, "MANY", ROWS)
    x = DRAWS[family](np.random.default_rng(20_240_229))
    rows = np.resize(x, (FOLDS, -(-len(x) // FOLDS)))
    kept = np.ones(rows.shape)
    kept[:, -1] = 0.0 if padded else 1.0
    fit, outcome, fits, outcomes = with_and_without(family, rows, kept if padded else None)
    assert np.all(np.append(outcome.code, outcomes.code) == 0)
    real = kept > 0
    everything = family.fit(rows[real])
    for name in family.parameters:
        np.testing.assert_allclose(getattr(fit, name), getattr(everything, name), rtol=1e-6)
    for k in range(FOLDS):
        others = np.arange(FOLDS) != k
        exact = family.fit(rows[others][real[others]])
        with jax.enable_x64(True):
            held_out = [np.mean(np.asarray(d.log_prob(rows[k][real[k]]))) for d in (fits[k], exact)]
        if family is sx.Uniform:
            assert held_out[0] == held_out[1]  # both may be −∞
        else:
            assert abs(held_out[0] - held_out[1]) < 20 * ROWS**-1.5


def test_the_median_without_a_fold_where_half_of_the_rows_are_tied(monkeypatch):
    monkeypatch.setattr(laplace, "MANY", ROWS)
    x = np.random.default_rng(3).normal(size=ROWS)
    x[: ROWS // 2] = 0.25
    fit, _, fits, _ = with_and_without(sx.Laplace, np.random.default_rng(4).permutation(x).reshape(4, -1), None)
    np.testing.assert_array_equal([fit.loc, *fits.loc], 0.25)
