"""What is said of draws, against draws of which it is known."""

import arviz_stats
import numpy as np
import pytest
import xarray as xr

from surprax.infer.diagnostics import ess, rhat, trouble_with_approximation, trouble_with_chains

RNG = np.random.default_rng(0)


def statistics(chains=4, draws=1000, **changed):
    shape = (chains, draws)
    plain = {
        "diverging": np.zeros(shape, bool),
        "reached_max_tree_depth": np.zeros(shape, bool),
        "tree_depth": np.full(shape, 3),
    }
    return plain | changed


def test_independent_draws_are_well():
    draws = {"a": RNG.normal(size=(4, 1000)), "b": RNG.normal(size=(4, 1000, 2, 2)), "constant": np.ones((4, 1000, 3))}
    assert trouble_with_chains(draws, statistics()) == []


def test_rhat_and_ess_are_those_of_arviz():
    draws = RNG.normal(size=(4, 200, 3)).cumsum(axis=1)
    dataset = xr.Dataset({"x": (("chain", "draw", "i"), draws)})
    assert rhat(draws) == pytest.approx(arviz_stats.rhat(dataset)["x"].values)
    assert ess(draws) == pytest.approx(arviz_stats.ess(dataset)["x"].values)
    assert ess(draws, "tail") == pytest.approx(arviz_stats.ess(dataset, method="tail", prob=(0.05, 0.95))["x"].values)
    assert np.isnan(rhat(np.ones((4, 100)))).all()


def test_the_worst_element_is_named():
    b = RNG.normal(size=(4, 1000, 2, 3))
    b[2, :, 1, 2] += 1.0
    (message, *_) = trouble_with_chains({"a": RNG.normal(size=(4, 1000)), "b": b}, statistics())
    assert "R-hat is 1." in message
    assert "for b[1, 2]" in message


@pytest.mark.parametrize("chains", [1, 4])
def test_the_worst_of_many_elements_is_the_worst_of_all(chains):
    rng = np.random.default_rng(chains)
    noise, memory = rng.standard_t(3, size=(chains, 400, 150)), rng.uniform(0.0, 0.97, 150)
    x = np.zeros_like(noise)
    for t in range(400):
        x[:, t] = memory * x[:, t - 1] + noise[:, t]
    x[:, :, 7] = np.where(rng.random((chains, 400)) < 0.01, 1.0, 0.0)  # many ties
    x[:, :, 9] = 1.0
    messages = trouble_with_chains({"x": x}, statistics(chains, 400))
    worst = {f"R-hat is {np.nanmax(rhat(x)):.4f} for x[{np.nanargmax(rhat(x))}]"} if chains > 1 else set()
    for part in ("bulk", "tail"):
        each = ess(x, part)
        worst.add(f": {np.nanmin(each):.0f} of {400 * chains:,} in the {part} of x[{np.nanargmin(each)}],")
    assert len(messages) == len(worst)
    assert all(any(told in message for message in messages) for told in worst)


def test_divergences_are_placed():
    tau = np.exp(RNG.normal(size=(4, 1000)))
    diverging = tau < 0.15
    (message,) = trouble_with_chains({"mu": RNG.normal(size=(4, 1000)), "tau": tau}, statistics(diverging=diverging))
    assert message.startswith(f"{diverging.sum()} of 4,000 draws diverged, most of them where tau is small (median 0.1")
    assert "target_accept_prob" in message


def test_correlated_draws_are_few():
    noise = RNG.normal(size=(4, 1000))
    walk = np.zeros((4, 1000))
    for t in range(1, 1000):
        walk[:, t] = 0.97 * walk[:, t - 1] + noise[:, t]
    messages = trouble_with_chains({"x": walk}, statistics())
    assert any("effective draws" in m and "in the bulk of x" in m for m in messages)


def test_trajectories_cut_off():
    reached = np.zeros((4, 1000), bool)
    reached[:, :100] = True
    draws = {"x": RNG.normal(size=(4, 1000))}
    (message,) = trouble_with_chains(draws, statistics(reached_max_tree_depth=reached))
    assert message.startswith("10% of the trajectories")
    reached[:, 5:] = False
    assert trouble_with_chains(draws, statistics(reached_max_tree_depth=reached)) == []


def test_ratios_to_an_approximation():
    x = RNG.normal(size=4000)
    draws = {"a": x, "b": RNG.normal(size=(4000, 2))}
    assert trouble_with_approximation(np.zeros(4000), draws, "it") == (0.0, [])
    assert trouble_with_approximation(0.05 * x, draws, "it")[1] == []
    k, (message,) = trouble_with_approximation(0.6 * x**2, draws, "normal approximation")  # weights without a variance
    assert k == pytest.approx(1.2, abs=0.3)
    assert f"Pareto k of {k:.2f}" in message
    k, (message,) = trouble_with_approximation(0.7 * x, draws, "it")  # N(0.7, 1) for N(0, 1)
    assert k < 0.7
    assert message.startswith("The it is off: the mean of a by 0.7 of its standard deviations.")
    assert trouble_with_approximation(np.where(x > 0, 0.1 * x, -np.inf), draws, "it")[0] < 0.7
    assert trouble_with_approximation(np.where(np.arange(4000) > 2, -1e4, 0.0), draws, "it")[0] > 0.7
