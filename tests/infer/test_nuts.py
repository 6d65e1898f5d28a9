"""Draws of NUTS against posteriors in closed form, and what must not change them."""

import functools
import os
import re
import warnings
from concurrent.futures import Future
from dataclasses import replace

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from tests.infer.models import (
    HEIGHTS,
    far,
    flat,
    mean_of,
    narrow,
    posterior_of_mean,
    two_peaks,
)

from surprax.infer import InferenceWarning, infer
from surprax.infer import nuts as module
from surprax.infer.diagnostics import ess
from surprax.models import CompressionWarning, planner


def close_to(posterior, name, mean, sd):
    """Mean and standard deviation agree within 5 Monte Carlo errors."""
    effective = ess(posterior[name])
    assert np.all(np.abs(posterior.mean(name) - mean) < 5.0 * sd / np.sqrt(effective))
    assert np.all(np.abs(posterior.sd(name) / sd - 1.0) < 5.0 / np.sqrt(effective))


def test_conjugate_normal_mean(heights):
    close_to(heights, "mu", *posterior_of_mean(HEIGHTS))
    assert heights["mu"].shape == (4, 1000)
    assert heights.warnings == ()
    assert (heights.method, heights.exact, heights.log_evidence) == ("nuts", False, None)


def test_regression_as_plain_numpyro(lines, plain):
    theirs = {name: np.asarray(value) for name, value in plain.get_samples(group_by_chain=True).items()}
    for name in ("a", "b", "s"):
        spread = np.std(theirs[name], axis=(0, 1))
        error = spread * np.sqrt(1.0 / ess(theirs[name]) + 1.0 / ess(lines[name]))
        assert np.all(np.abs(theirs[name].mean(axis=(0, 1)) - lines.mean(name)) < 5.0 * error)
        assert lines.sd(name) == pytest.approx(spread, rel=0.1)


@pytest.mark.parametrize("rows", [1e4, 1e9])
def test_however_narrow_in_float32(rows):
    posterior = infer(narrow, np.array([rows]), method="nuts", key=jax.random.key(0))
    assert posterior["mu"].dtype == np.float32
    assert posterior.sd("mu") == pytest.approx(1.3 / np.sqrt(rows), rel=0.1)
    assert posterior.sd("s") == pytest.approx(1.3 / np.sqrt(2.0 * rows), rel=0.1)
    assert abs(posterior.mean("mu") - 2.1) < 10 * 1.3 / np.sqrt(rows * 4000) + 3e-7
    assert posterior.statistics["n_steps"].mean() < 8


def test_float64_where_float32_does_not_resolve_the_posterior():
    posterior = infer(far, 1e8, method="nuts", key=jax.random.key(0))
    assert posterior["mu"].dtype == np.float64
    assert not jax.config.jax_enable_x64
    assert posterior.sd("mu") == pytest.approx(1e-4, rel=0.1)
    assert posterior.mean("mu") == pytest.approx(1000.0123, abs=1e-5)


def test_float64_where_jax_is_told_so():
    with jax.enable_x64(True):
        posterior = infer(mean_of, HEIGHTS, method="nuts", key=jax.random.key(0), num_samples=500)
        assert posterior["mu"].dtype == np.float64
    close_to(posterior, "mu", *posterior_of_mean(HEIGHTS))


def test_draws_depend_on_the_key_alone(monkeypatch):
    # All runs are of this test: programs that are compiled anew in between may round in another way.
    run = functools.partial(infer, mean_of, HEIGHTS, method="nuts")
    side_by_side = run(key=jax.random.key(1))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    monkeypatch.setattr(module, "ThreadPoolExecutor", lambda _: one_after_the_other)
    one_after_the_other = _InTurn()
    assert np.array_equal(run(key=jax.random.key(1))["mu"], side_by_side["mu"])
    assert one_after_the_other.runs == 4
    assert np.array_equal(run(key=jax.random.PRNGKey(1))["mu"], side_by_side["mu"])
    assert not np.array_equal(run(key=jax.random.key(2))["mu"], side_by_side["mu"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InferenceWarning)  # so few draws may also look unmixed
        fewer = run(key=jax.random.key(1), num_samples=70)
    assert any("effective draws" in warning for warning in fewer.warnings)
    assert np.array_equal(fewer["mu"], side_by_side["mu"][:, :70])


class _InTurn:
    """Threads that are none."""

    def __init__(self):
        self.runs = 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return False

    def submit(self, function, *args):
        self.runs += 1
        future = Future()
        future.set_result(function(*args))
        return future


def test_chains_differ(heights):
    assert len(np.unique(heights["mu"][:, 0])) == 4


def test_new_data_of_the_same_shape_compile_nothing(heights):
    # A program of this model is there; what JAX logs of compiling are helpers, for their first time in a process, at most.
    module_compile = module._compile
    try:
        module._compile = None  # would be called
        posterior = infer(mean_of, HEIGHTS + 0.2, method="nuts", key=jax.random.key(1))
    finally:
        module._compile = module_compile
    close_to(posterior, "mu", *posterior_of_mean(HEIGHTS + 0.2))


def test_statistics_by_arviz_names(heights):
    s = heights.statistics
    assert set(s) == {
        "lp", "energy", "n_steps", "acceptance_rate", "diverging", "step_size", "tree_depth", "reached_max_tree_depth",
    }  # fmt: skip
    assert all(value.shape == (4, 1000) for value in s.values())
    mu = heights["mu"].astype(np.float64)
    log_joint = -0.5 * ((mu - 1.0) / 2.0) ** 2 - np.log(2.0) - 0.5 * np.log(2.0 * np.pi)
    for y in HEIGHTS:
        log_joint += -0.5 * ((y - mu) / 0.1) ** 2 - np.log(0.1) - 0.5 * np.log(2.0 * np.pi)
    assert s["lp"] == pytest.approx(log_joint, abs=1e-3)
    assert np.all(s["n_steps"] < 2 ** s["tree_depth"])
    assert np.all(s["n_steps"] >= 2 ** (s["tree_depth"] - 1))


def test_nothing_is_said_when_all_is_well(capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        infer(mean_of, HEIGHTS, method="nuts", key=jax.random.key(4), progress=True)
    assert capfd.readouterr() == ("", "")


def neals_funnel():
    """Of which no data tell anything."""
    tau = numpyro.sample("tau", dist.LogNormal(0.0, 1.5))
    numpyro.sample("x", dist.Normal(0.0, tau).expand([9]).to_event(1))


def test_a_funnel_is_told():
    with pytest.warns(InferenceWarning) as told:
        posterior = infer(neals_funnel, method="nuts", key=jax.random.key(0))
    messages = [str(w.message) for w in told]
    assert list(posterior.warnings) == messages
    count = int(posterior.statistics["diverging"].sum())
    assert any(
        f"{count:,} of 4,000 draws diverged" in m and "tau is small" in m and "non-centred" in m for m in messages
    )


def test_peaks_apart_are_told():
    with pytest.warns(InferenceWarning) as told:
        posterior = infer(two_peaks, method="nuts", key=jax.random.key(0), num_warmup=200, num_samples=200)
    assert any(re.search(r"R-hat is [\d.]+ for x .* several modes", str(w.message)) for w in told)
    assert set(np.sign(posterior["x"].mean(axis=1))) == {-1.0, 1.0}


def test_short_trajectories_are_told():
    with pytest.warns(InferenceWarning) as told:
        infer(mean_of, HEIGHTS, method="nuts", key=jax.random.key(0), num_samples=100, max_tree_depth=1)
    assert any(re.search("greatest depth, 1: .* max_tree_depth", str(w.message)) for w in told)


def test_few_draws_are_told():
    with pytest.warns(InferenceWarning) as told:
        infer(mean_of, HEIGHTS, method="nuts", key=jax.random.key(0), num_samples=10, num_chains=2)
    assert any(re.search(r"effective draws: \d+ of 20 .* 200 \(100 per chain\)", str(w.message)) for w in told)


def test_a_draw_or_two_without_a_word():
    posterior = infer(mean_of, HEIGHTS, method="nuts", key=jax.random.key(0), num_samples=1, num_chains=1)
    assert posterior["mu"].shape == (1, 1)
    assert np.isnan(posterior.sd("mu"))  # of one draw, without a word from NumPy either


def test_coordinates_where_there_is_no_mode():
    frame = module.frame_of(flat)
    assert frame.modes == ()
    assert np.array_equal(frame.z(np.array([1.0, -2.0])), [1.0, -2.0])


def test_a_model_without_density_is_refused():
    def impossible():
        x = numpyro.sample("x", numpyro.distributions.Normal(0.0, 1.0))
        numpyro.factor("never", -np.inf + x)

    with pytest.raises(ValueError, match="density of the model is 0 or NaN"):
        infer(impossible, method="nuts", key=jax.random.key(0))


def test_an_error_in_a_chain_is_the_users():
    def chain(stop, number):
        if number == 1:
            raise RuntimeError("chain 1")
        assert stop.wait(60.0), "the others are told to stop"

    with pytest.raises(RuntimeError, match="chain 1"):
        module._in_threads(chain, 2)


def test_what_chains_run_on_is_what_is_proved(monkeypatch):
    """The certificate compares the program of the chains, and a wrong one is not sampled."""
    many = np.tile(HEIGHTS, 200)
    honest, compare = planner.rewrite, planner.comparison
    compared = []

    def wrong(*given):
        fast = honest(*given)
        fast.outcomes.update(
            {
                name: replace(site, energy=lambda arrays, tables, right=site.energy: 1.001 * right(arrays, tables))
                for name, site in fast.compacts.items()
            }
        )
        return fast

    def watched(*given):
        compared.append(compare(*given))
        return compared[-1]

    monkeypatch.setattr(planner, "comparison", watched)
    posterior = infer(mean_of, many, method="nuts", key=jax.random.key(0))
    assert [one.whole for one in compared] == [True]
    assert posterior.certificate.holds
    monkeypatch.setattr(planner, "rewrite", wrong)
    with pytest.warns(CompressionWarning, match="must agree with the plain model"):
        posterior = infer(mean_of, many, method="nuts", key=jax.random.key(0))
    assert compared[1].whole
    assert posterior.certificate is None
    close_to(posterior, "mu", *posterior_of_mean(many))
