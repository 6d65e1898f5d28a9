"""One face over whatever a posterior is held as."""

import jax
import numpy as np
import pytest
from tests.infer.models import HEIGHTS, mean_of

from surprax.infer import Posterior
from surprax.infer.forms import Draws
from surprax.infer.original import Original


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    arrays = {"mu": rng.normal(size=(2, 300)), "theta": rng.normal(3.0, 2.0, size=(2, 300, 2, 3)).astype(np.float32)}
    return Posterior(Draws(arrays), Original(mean_of, (HEIGHTS,)), method="nuts")


def test_moments_and_quantiles_are_those_of_the_draws(drawn):
    theta = drawn["theta"].reshape(600, 2, 3).astype(np.float64)
    assert drawn.mean("theta") == pytest.approx(theta.mean(axis=0))
    assert drawn.sd("theta") == pytest.approx(theta.std(axis=0, ddof=1))
    assert drawn.quantile([0.1, 0.9], "theta") == pytest.approx(np.quantile(theta, [0.1, 0.9], axis=0))
    assert drawn.mean("theta").dtype == np.float64
    assert {name: value.shape for name, value in drawn.quantile(0.5).items()} == {"mu": (), "theta": (2, 3)}
    assert drawn.sites == ("mu", "theta")


def test_samples_are_picked_jointly(drawn):
    picked = drawn.sample(jax.random.key(0), 50)
    rows = [int(np.flatnonzero(drawn["mu"].reshape(-1) == mu)[0]) for mu in picked["mu"]]
    assert len(set(rows)) == 50
    assert np.array_equal(picked["theta"], drawn["theta"].reshape(600, 2, 3)[rows])
    assert drawn.sample(jax.random.key(0), 1000)["mu"].shape == (1000,)


def test_summary_has_a_row_for_each_element(drawn):
    table = drawn.summary()
    assert list(table) == [
        "mu",
        "theta[0, 0]",
        "theta[0, 1]",
        "theta[0, 2]",
        "theta[1, 0]",
        "theta[1, 1]",
        "theta[1, 2]",
    ]
    assert table.columns == ("mean", "sd", "3%", "97%", "ess_bulk", "ess_tail", "r_hat")
    assert table["theta[1, 2]"]["mean"] == pytest.approx(drawn.mean("theta")[1, 2])
    assert drawn.summary("mu", ci_prob=0.8).columns[2:4] == ("10%", "90%")
    lines = str(table).splitlines()
    assert lines[0] == "Posterior by NUTS: 2 chains of 300 draws"
    assert len({len(line) for line in lines[2:]}) == 1
    assert len(table) == 7
    assert "<td>" in table._repr_html_()


def test_summary_as_arviz_has_it(heights):
    import arviz_stats

    theirs = arviz_stats.summary(
        heights.to_datatree().posterior.dataset, ci_prob=0.94, ci_kind="eti", round_to="none"
    ).loc["mu"]
    ours = heights.summary()["mu"]
    assert ours["mean"] == pytest.approx(theirs["mean"], rel=1e-6)
    assert ours["sd"] == pytest.approx(theirs["sd"], rel=1e-4)
    assert ours["ess_bulk"] == pytest.approx(theirs["ess_bulk"], rel=1e-4)
    assert ours["r_hat"] == pytest.approx(theirs["r_hat"], rel=2e-5)  # theirs folds the draws in float32
    assert (ours["3%"], ours["97%"]) == pytest.approx((theirs["eti94_lb"], theirs["eti94_ub"]), rel=1e-5)


def test_a_notebook_shows_a_table(drawn):
    posterior = Posterior(
        Draws(dict(drawn.draws)), Original(mean_of, (HEIGHTS,)), method="nuts", warnings=["R-hat > 1.01"]
    )
    shown = posterior._repr_html_()
    assert "<th>theta[1, 2]</th>" in shown
    assert "<p>Warning: R-hat &gt; 1.01</p>" in shown


def test_repr_shows_what_fits(drawn):
    assert "theta[1, 2]" in repr(drawn)
    wide = {"big": np.random.default_rng(0).normal(size=(1, 20, 50)), "small": np.zeros((1, 20))}
    shown = repr(Posterior(Draws(wide), Original(mean_of, (HEIGHTS,)), method="nuts"))
    assert "small" in shown
    assert "big" not in shown
    assert "… and 50 more" in shown
    only = repr(Posterior(Draws({"big": wide["big"]}), Original(mean_of, (HEIGHTS,)), method="nuts"))
    assert "big[11]" in only
    assert "big[12]" not in only


def test_what_it_does_not_know_is_refused_in_words(drawn):
    with pytest.raises(KeyError, match="no site 'nu'; it has: mu, theta"):
        drawn.mean("nu")
    with pytest.raises(KeyError, match="no site 'nu'"):
        drawn["nu"]
    with pytest.raises(ValueError, match="levels from 0 to 1; got 94"):
        drawn.quantile(94, "mu")
    with pytest.raises(ValueError, match="probability between 0 and 1; got ci_prob=94"):
        drawn.summary(ci_prob=94)
    with pytest.raises(ValueError, match=r"comes only from you: pass key=jax\.random\.key\(0\)"):
        drawn.sample(None, 3)
