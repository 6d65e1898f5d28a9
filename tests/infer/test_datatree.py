"""DataTrees, against those that ArviZ makes of NumPyro's chains, and against densities by hand."""

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats as st
import xarray as xr
from arviz_base import from_numpyro
from arviz_stats import bfmi, loo, psense, summary
from tests.infer.models import EFFECTS, ERRORS, HEIGHTS, X, Y, mean_of, regression, schools

from surprax.infer import Posterior, infer
from surprax.infer.forms import Draws
from surprax.infer.lazy import lazy_variable
from surprax.infer.original import OfDraws, Original


@pytest.fixture(scope="module")
def tree(lines):
    return lines.to_datatree(posterior_predictive=True, key=jax.random.key(0))


@pytest.fixture(scope="module")
def theirs(plain):
    with jax.numpy_rank_promotion("allow"), jax.debug_key_reuse(False):
        return from_numpyro(plain, log_likelihood=True, constant_data={"x": X})


def test_names_as_arviz_has_them(tree, theirs):
    assert set(theirs.children) - {"observed_data"} <= set(tree.children)
    for group in ("posterior", "log_likelihood", "sample_stats"):
        ours, others = tree[group].dataset, theirs[group].dataset
        missing = {"m"} if group == "posterior" else set()  # one for each row: computed on request, see predict
        assert set(others.data_vars) - missing <= set(ours.data_vars)
        for name in set(others.data_vars) - missing:
            assert ours[name].dims == others[name].dims
    assert tree.observed_data["y"].dims == theirs.observed_data["y"].dims == ("row",)
    assert tree.constant_data["x"].dims == theirs.constant_data["x"].dims
    assert tree.posterior.attrs["inference_library"] == "surprax"


def test_statistics_are_on_the_scale_of_the_plain_model(tree, theirs):
    ours, others = tree.sample_stats["lp"].values, theirs.sample_stats["lp"].values
    assert ours.mean() == pytest.approx(others.mean(), abs=0.5)
    assert ours.std() == pytest.approx(others.std(), rel=0.3)


def test_energies_are_those_of_the_trajectories(tree):
    """Which BFMI is about; in round coordinates it is near 1."""
    assert np.all(bfmi(tree)["energy"].values > 0.7)


def test_log_likelihood_of_rows(tree, lines):
    m = lines["a"][..., None] + lines["b"] @ X.T
    by_hand = st.norm(m, lines["s"][..., None]).logpdf(Y)
    assert tree.log_likelihood["y"].values == pytest.approx(by_hand, abs=2e-5)
    assert tree.log_likelihood["y"].dims == ("chain", "draw", "row")


def test_log_prior_of_sites(tree, lines):
    assert tree.log_prior["a"].values == pytest.approx(st.norm.logpdf(lines["a"]), abs=1e-5)
    assert tree.log_prior["b"].values == pytest.approx(st.norm.logpdf(lines["b"]).sum(axis=-1), abs=1e-5)
    assert tree.log_prior["s"].values == pytest.approx(st.halfnorm(scale=2).logpdf(lines["s"]), abs=1e-5)


def test_loo_and_psense_as_of_a_plain_conversion(tree, lines):
    flat = {name: lines[name].reshape(-1, *lines[name].shape[2:]) for name in ("a", "b", "s")}
    with jax.numpy_rank_promotion("allow"), jax.debug_key_reuse(False):
        rows = numpyro.infer.log_likelihood(regression, flat, X, Y)["y"]
    a, s = lines["a"], lines["s"]
    plain = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({"a": (("chain", "draw"), a), "s": (("chain", "draw"), s)}),
            "log_likelihood": xr.Dataset({"y": (("chain", "draw", "row"), np.asarray(rows).reshape(4, 1000, 30))}),
            "log_prior": xr.Dataset(
                {
                    "a": (("chain", "draw"), st.norm.logpdf(a)),
                    "b": (("chain", "draw"), st.norm.logpdf(lines["b"]).sum(axis=-1)),
                    "s": (("chain", "draw"), st.halfnorm(scale=2).logpdf(s)),
                }
            ),
        }
    )
    ours, others = loo(tree), loo(plain, reff=float(loo_reff(tree)))
    assert (ours.elpd, ours.p) == pytest.approx((others.elpd, others.p), rel=1e-3)
    for group in ("prior", "likelihood"):
        sensitivity, other = psense(tree, group=group), psense(plain, group=group)
        for name in ("a", "s"):
            assert float(sensitivity[name]) == pytest.approx(float(other[name]), rel=0.02, abs=1e-4)


def loo_reff(tree):
    from arviz_stats import ess

    n = 4000
    return float(np.mean([float(v.mean()) for v in ess(tree.posterior.dataset, method="mean").data_vars.values()])) / n


def test_loo_agrees_with_plain_chains(tree, theirs):
    ours, others = loo(tree), loo(theirs)
    assert ours.elpd == pytest.approx(others.elpd, abs=0.3)
    assert summary(tree, round_to="none").loc["a", "r_hat"] < 1.01


def test_data_are_all_rows_as_they_were(tree):
    assert np.array_equal(tree.observed_data["y"].values, Y)
    assert np.array_equal(tree.constant_data["x"].values, X)
    assert "y" not in tree.constant_data


def test_predictions_are_those_of_the_posterior(tree, lines):
    drawn = tree.posterior_predictive["y"]
    assert drawn.dims == ("chain", "draw", "row")
    noise = (drawn.values - lines["a"][..., None] - lines["b"] @ X.T) / lines["s"][..., None]
    assert noise.std() == pytest.approx(1.0, abs=0.01)
    again = tree.posterior_predictive["y"].isel(draw=slice(3, 5)).values
    assert np.array_equal(again, drawn.values[:, 3:5])


def test_nothing_is_computed_until_it_is_read(lines, monkeypatch):
    asked = []
    call = OfDraws.__call__
    monkeypatch.setattr(OfDraws, "__call__", lambda self, indices: asked.append(len(indices)) or call(self, indices))
    tree = lines.to_datatree(posterior_predictive=True, key=jax.random.key(0))
    rows = tree.log_likelihood["y"]
    assert rows.shape == (4, 1000, 30)
    assert "y" in repr(tree)
    assert asked == []
    part = rows.isel(chain=[0, 2], draw=slice(10, 15), row=3)
    assert part.values.shape == (2, 5)
    assert asked == [10]
    full = rows.values
    assert sum(asked) == 10 + 4000
    assert rows.values is full or np.array_equal(rows.values, full)
    assert sum(asked) == 10 + 4000  # remembered
    assert part.values == pytest.approx(full[[0, 2], 10:15, 3], abs=1e-5)
    asked.clear()
    assert lines.to_datatree(log_likelihood=True).log_likelihood["y"].values == pytest.approx(full)
    assert sum(asked) == 4000
    assert "log_likelihood" not in lines.to_datatree(log_likelihood=False).children


@pytest.mark.parametrize(
    "key",
    [
        (slice(None), slice(None), slice(None), slice(None)),
        (1, 2, 3, 0),
        (slice(0, 2), [3, 1, 1], 2, slice(None, None, -1)),
        ([1, 0], [4, 2], [2, 0], [1, 1]),
        (slice(2, None), slice(4, 1, -1), [0], slice(0, 0)),
        (slice(0, 0), slice(None), [2, 1], 1),
        (-1, -2, -1, -1),
    ],
)
def test_lazy_arrays_are_indexed_as_others_are(key):
    whole = np.arange(3 * 6 * 4 * 2).reshape(3, 6, 4, 2)
    variable = lazy_variable(
        ("chain", "draw", "i", "j"), lambda n: whole.reshape(18, 4, 2)[n], whole.shape, whole.dtype
    )
    ours = xr.DataArray(variable).isel(dict(zip(["chain", "draw", "i", "j"], key)))
    others = xr.DataArray(whole, dims=("chain", "draw", "i", "j")).isel(dict(zip(["chain", "draw", "i", "j"], key)))
    assert ours.shape == others.shape
    assert np.array_equal(ours.values, others.values)


def test_several_observed_sites_and_plates_that_cross():
    def model(counts, waits, extra=None):
        rate = numpyro.sample("rate", dist.Gamma(2.0, 1.0))
        with numpyro.plate("place", 3, dim=-2):
            level = numpyro.sample("level", dist.Normal(0.0, 1.0))
            with numpyro.plate("day", 5, dim=-1):
                numpyro.sample("count", dist.Poisson(rate * np.ones((3, 5)) + 0.0 * level), obs=counts)
        numpyro.sample("spot", dist.MultivariateNormal(np.zeros(2), np.eye(2)), infer={"event_dims": ["axis"]})
        numpyro.sample("axle", dist.MultivariateNormal(np.zeros(2), np.eye(2)), infer={"event_dims": ["axle"]})
        numpyro.sample("wait", dist.Exponential(rate), obs=waits)
        numpyro.factor("nothing", 0.0)

    counts = np.arange(15).reshape(3, 5) % 4
    rng = np.random.default_rng(0)
    draws = {
        "rate": rng.gamma(2.0, 1.0, (1, 4)),
        "level": rng.normal(size=(1, 4, 3, 1)),
        "spot": rng.normal(size=(1, 4, 2)),
        "axle": rng.normal(size=(1, 4, 2)),
    }
    posterior = Posterior(Draws(draws), Original(model, (counts, 2.0)), method="nuts")
    tree = posterior.to_datatree(coords={"axis": ["x", "y"]})
    assert set(tree.log_likelihood.data_vars) == set(tree.observed_data.data_vars) == {"count", "wait"}
    assert tree.log_likelihood["count"].dims == ("chain", "draw", "place", "day")
    assert tree.log_likelihood["count"].values[0] == pytest.approx(
        st.poisson(draws["rate"][0, :, None, None]).logpmf(counts), abs=1e-6
    )
    assert tree.log_likelihood["wait"].values == pytest.approx(st.expon(scale=1 / draws["rate"]).logpdf(2.0))
    assert tree.posterior["level"].dims == ("chain", "draw", "place", "level_dim_0")
    assert tree.posterior["spot"].dims == ("chain", "draw", "axis")
    assert tree.posterior["axle"].dims == ("chain", "draw", "axle_dim")
    assert tree.posterior["axis"].values.tolist() == ["x", "y"]
    assert tree.log_likelihood["count"].dtype == np.float64  # as the draws
    assert "constant_data" not in tree.children


def test_models_of_several_kinds_of_arguments():
    def model(*parts, **named):
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(mu * parts[0].mean(), named["scale"]), obs=named["y"])

    posterior = infer(model, X, "a word", method="map", scale=1.0, y=Y, other=np.arange(3))
    tree = posterior.to_datatree()
    assert set(tree.constant_data.data_vars) == {"parts_0", "other"}
    assert tree.posterior["mu"].shape == (1, 1)


def test_observed_sites_of_a_hierarchy_by_school():
    draws = {"mu": np.zeros((1, 2)), "tau": np.ones((1, 2)), "theta": np.zeros((1, 2, 8))}
    posterior = Posterior(Draws(draws), Original(schools, (EFFECTS, ERRORS)), method="nuts")
    tree = posterior.to_datatree(coords={"school": list("abcdefgh")})
    assert tree.log_prior["theta"].dims == ("chain", "draw", "school")
    assert tree.log_likelihood["effect"].sel(school="c").values == pytest.approx(st.norm(0, 16).logpdf(-3.0))


def test_requests_are_refused_in_words(heights):
    with pytest.raises(ValueError, match="log_likelihood is \"lazy\", True or False; got 'eager'"):
        heights.to_datatree(log_likelihood="eager")
    with pytest.raises(ValueError, match="Prediction needs randomness"):
        heights.to_datatree(posterior_predictive=True)


def test_arrays_of_the_user_are_left_as_they_were(heights):
    heights.to_datatree().log_likelihood["y"].load()
    with jax.numpy_rank_promotion("allow"), jax.debug_key_reuse(False):
        value = jax.jit(lambda mu: numpyro.infer.util.log_density(mean_of, (HEIGHTS,), {}, {"mu": mu})[0])(1.7)
    assert value.dtype == np.float32
