"""The accuracy table: a sample of its grid is measured anew, what is published is complete, and the measure measures."""

import json
import math

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from benchmarks.accuracy import __main__ as command
from benchmarks.accuracy.cells import grid, guarded_tails, measure, operations_of
from benchmarks.accuracy.exceptions import BOUND, EXCEPTIONS
from benchmarks.accuracy.grids import Columns
from benchmarks.accuracy.measure import Reference, Score, reference, ulp
from benchmarks.accuracy.oracle import all_oracles
from benchmarks.accuracy.report import report
from benchmarks.accuracy.special import beta_tails, divergence_integral, gamma_tails, mean_log_gamma
from benchmarks.results import write

from surprax.families import FAMILIES

ORACLES = all_oracles()
ROWS = 3
"""Of the published grid, the first."""
WHOLE = ("Normal", "Exponential", "Geometric")
"""Families of which all operations are tried again here; of the others the density."""

each_family = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.xdist_group(f"accuracy {n}")) for n in FAMILIES if n in ORACLES]
)


def allowed(name, operation):
    known = EXCEPTIONS.get((name, operation))
    return (BOUND, 0) if known is None else (known.bits, known.lost)


@pytest.fixture(scope="module")
def published():
    return json.loads(command.RESULTS.read_text(encoding="utf-8"))


# The library, on a sample; and what is published.


@each_family
def test_float32_is_as_good_as_its_arguments_allow(name):
    operations = None if name in WHOLE else ["log_prob"]
    cells = measure(FAMILIES[name], ORACLES[name], ROWS, peers=False, operations=operations)
    for operation, scores in cells.items():
        score = scores["surprax"]
        bits, lost = allowed(name, operation)
        assert score.bits <= bits, (operation, score.bits, score.where)
        assert score.nan + score.infinite <= lost, (operation, score)


def test_a_family_is_in_the_table_or_said_not_to_be(published):
    assert published["families"].keys().isdisjoint(published["unmeasured"])
    assert {*published["families"], *published["unmeasured"]} == FAMILIES.keys()
    assert published["families"].keys() <= ORACLES.keys()
    for name, family in published["families"].items():
        assert family["operations"] == operations_of(FAMILIES[name])
        assert family["cells"].keys() <= {*family["operations"]}


def test_published_cells_are_within_their_bounds(published):
    for name, family in published["families"].items():
        for operation, scores in family["cells"].items():
            score = scores["surprax"]
            bits, lost = allowed(name, operation)
            assert score["bits"] <= bits, (name, operation)
            assert score["nan"] + score["infinite"] <= lost, (name, operation)
            assert score["points"] > 0, (name, operation)


def test_every_exception_is_needed(published):
    for (name, operation), known in EXCEPTIONS.items():
        score = published["families"][name]["cells"][operation]["surprax"]
        lost = score["nan"] + score["infinite"]
        assert score["bits"] > BOUND or lost > 0, f"{name}.{operation} is within the bound: it needs no exception"
        assert score["bits"] > known.bits - 2.0 or lost, f"{name}.{operation} is better than its exception says"
        assert lost == known.lost, (name, operation)
        assert known.reason


def test_the_page_shows_what_was_measured(published):
    assert command.PAGE.read_text(encoding="utf-8") == report(published)


# The measure.


def test_a_unit_is_an_ulp_of_the_result_and_what_an_ulp_in_the_arguments_changes():
    x = np.float32(3.0)
    truth = reference(lambda x: 10 * x, [x], np.float32)
    assert truth.value == 30
    assert truth.unit == ulp(mp.mpf(30), np.float32) + 10 * ulp(mp.mpf(3), np.float32)
    assert reference(lambda x: 10 * x, [x], np.float32, fixed=[0]).unit == ulp(mp.mpf(30), np.float32)
    assert ulp(mp.mpf(30), np.float32) == mp.mpf(float(np.spacing(np.float32(30))))
    assert reference(lambda x: x - 3, [x], np.float32) is None  # 0 has no ulp
    assert reference(lambda x: x * mp.mpf(10) ** -40, [x], np.float32) is None
    assert reference(lambda x: mp.inf, [x], np.float32).value == mp.inf


def test_arguments_move_inwards_where_outwards_leaves_the_domain():
    def root(x):
        if x > 1:
            raise ValueError
        return mp.sqrt(2 - x)

    assert reference(root, [np.float32(1.0)], np.float32).unit < 2 * ulp(mp.mpf(1), np.float32)


def test_scores_count_what_has_no_bits():
    score = Score()
    one, infinite = Reference(mp.mpf(1), mp.mpf(2) ** -23), Reference(-mp.inf, mp.mpf(0))
    for got in (np.nan, np.inf, 1 + 2.0**-21):
        score.add(np.float32(got), one)
    for got in (-np.inf, np.inf, 3.0, np.nan):
        score.add(np.float32(got), infinite)
    assert (score.points, score.nan, score.infinite) == (7, 2, 3)
    assert score.bits == 2.0


def test_a_library_that_is_off_is_found_out():
    class Off(type(FAMILIES["Exponential"](1.0))):
        def _log_density(self, x):
            return jnp.where(x < 1, jnp.nan, super()._log_density(x) * (1 + 2.0**-10))

    jax.tree_util.register_pytree_node(Off, lambda d: ((d.rate,), None), lambda _, leaves: Off._of(rate=leaves[0]))
    score = measure(Off, ORACLES["Exponential"], 12, peers=False, operations=["log_prob"])["log_prob"]["surprax"]
    assert 11 < score.bits < 14
    assert score.nan > 2


def test_a_sample_is_the_beginning_of_the_grid():
    few, many = Columns(5), Columns(50)
    for _ in range(4):
        column = many()
        np.testing.assert_array_equal(few(), column[:5])
        assert np.all(np.histogram(column, 5, (0, 1))[0] >= 6)
    inputs = grid(ORACLES["Gamma"])
    assert all(a.dtype == np.float32 for a in jax.tree.leaves(inputs))
    spread = np.log10(inputs.theta[0])
    assert spread.min() < -3
    assert spread.max() > 7


# The truth.


def test_incomplete_functions_are_those_of_mpmath():
    with mp.workdps(30):
        for a, x in ((0.3, 0.1), (5, 2), (5, 30), (40, 45), (200, 150), (1e-3, 4)):
            for got, end in zip(gamma_tails(mp.mpf(a), mp.mpf(x)), ((0, x), (x, mp.inf))):
                assert mp.almosteq(mp.exp(got), mp.gammainc(a, *end, regularized=True), 1e-25)
        for a, b, x in ((0.3, 2, 0.1), (5, 0.5, 0.99), (40, 60, 0.35), (3, 200, 0.02), (1e-3, 1e-2, 0.5)):
            for got, end in zip(beta_tails(mp.mpf(a), mp.mpf(b), mp.mpf(x)), ((0, x), (x, 1))):
                assert mp.almosteq(mp.exp(got), mp.betainc(a, b, *end, regularized=True), 1e-25)


def test_expected_log_factorials_are_their_sums():
    with mp.workdps(30):
        n, p = 30, mp.mpf("0.2")
        got = mean_log_gamma(mp.mpf(1), n * p, lambda t: (1 - p + p * mp.exp(-t)) ** n, n * p)
        mass = [mp.binomial(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
        assert mp.almosteq(got, mp.fsum(m * mp.loggamma(k + 1) for k, m in enumerate(mass)), 1e-25)


def test_the_integral_of_a_divergence_is_the_closed_form_where_there_is_one():
    with mp.workdps(30):
        cauchy = lambda m, s: lambda x: -mp.log1p(((x - m) / s) ** 2) - mp.log(mp.pi * s)
        got = divergence_integral(cauchy(1, 2), cauchy(3, 5), mp.mpf(1), mp.mpf(2))
        assert mp.almosteq(got, mp.log(mp.mpf((2 + 5) ** 2 + (1 - 3) ** 2) / (4 * 2 * 5)), 1e-12)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            n, marks=[pytest.mark.xdist_group(f"accuracy {n}"), *([] if n in WHOLE else [pytest.mark.thorough])]
        )
        for n in FAMILIES
        if n in ORACLES
    ],
)
def test_the_tails_rise_by_the_density(name):
    oracle = ORACLES[name]
    if oracle.log_tails is None:
        return
    inputs, tails = grid(oracle, with_statistics=False), guarded_tails(oracle, FAMILIES[name].discrete)
    with mp.workdps(60):
        for row in range(2):
            x = mp.mpf(float(inputs.x[row]))
            theta = [mp.mpf(float(t[row])) if t.ndim == 1 else [mp.mpf(float(v)) for v in t[row]] for t in inputs.theta]
            discrete = FAMILIES[name].discrete
            if not discrete and x == oracle.support(*theta)[0]:
                continue
            step = mp.mpf(1) if discrete else abs(x) * mp.mpf(10) ** -18
            ends = (x - 1, x) if discrete else (x - step / 2, x + step / 2)
            (low, left), (high, right) = (tails(v, *theta) for v in ends)
            rise = mp.exp(high) - mp.exp(low) if low < right else mp.exp(left) - mp.exp(right)
            density = mp.exp(oracle.log_density(x, *theta))
            assert mp.almosteq(rise / step, density, 1e-5) or density < mp.mpf(10) ** -30


# The command.


def test_one_family_again_leaves_the_others_alone(tmp_path, capsys):
    files = ["--json", str(tmp_path / "a.json"), "--page", str(tmp_path / "a.md")]
    other = {"run": "monday", "points": 1, "operations": [], "cells": {}}
    write(
        tmp_path / "a.json",
        {"schema": 1, "runs": {"monday": {"versions": {}, "processor": ""}}, "families": {"Gamma": other}},
    )
    assert command.main(["--family", "Exponential", "--points", "2", *files]) == 0
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["families"]["Gamma"] == other
    cells = document["families"]["Exponential"]["cells"]
    assert {"surprax", "numpyro", "scipy"} == cells["log_prob"].keys()
    assert cells["kl"].keys() == {"surprax"}
    assert "Exponential" in (tmp_path / "a.md").read_text()
    assert document["runs"].keys() == {"monday", document["families"]["Exponential"]["run"]}
    assert command.main(["--family", "Nobody", *files]) == 2
    assert "There is no oracle for Nobody" in capsys.readouterr().err


def test_the_page_marks_what_misses_the_bound():
    good = {"bits": 1.0, "nan": 0, "infinite": 0, "points": 9, "where": None}
    cells = {
        "log_prob": {"surprax": good, "numpyro": {**good, "bits": 11.2, "nan": 2}},
        "d/d rate": {"surprax": {**good, "bits": 7.25}},
        "kl": {"surprax": {**good, "nan": 9}},
    }
    runs = {"2026-01-01": {"versions": {"jax": "1"}, "processor": "a processor"}}
    family = {"run": "2026-01-01", "operations": [*cells, "entropy"], "cells": cells}
    page = report({"runs": runs, "digits": 60, "rows": 40, "families": {"Gamma": family}, "unmeasured": ["Wishart"]})
    assert "| Gamma | 1.0 | — | **7.2** | **9 NaN** | *?* | — |" in page
    assert "| Wishart | *?* |" in page
    assert "1.0 / 11.2, 2 NaN / —" in page
    assert math.isfinite(BOUND)
