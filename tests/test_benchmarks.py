"""Every benchmark gives right answers at a small size; the bookkeeping loses nothing. No test looks at the clock."""

import copy
import functools
import gc
import json
import math
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from benchmarks import harness, models, results
from benchmarks.__main__ import main
from benchmarks.harness import (
    Case,
    Contest,
    Effort,
    Entrant,
    MissingPeerError,
    OracleError,
    Setting,
    Target,
    against,
    call,
)
from benchmarks.registry import all_cases, select

CASES = all_cases()


@pytest.fixture(scope="module")
def shared_programs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Processes that a case starts find what earlier ones compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("programs")))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
        yield


# Cases of one kind that differ by the family alone are tried for a few of them: all of them fit in "mle" too, and their densities
# have tests of their own.
FEW = {
    "settings": ("settings/gamma", "settings/studentt", "settings/poisson"),
    "families": (
        "families/poisson/jit",
        "families/gamma/total",
        "families/vonmises/eager",
        "families/dirichlet/jit",
        "families/wishart/eager",
    ),
    "conjugate": ("conjugate/gamma-poisson", "conjugate/normal-again", "conjugate/dirichlet-multinomial"),
    "models": (
        "models/gradient/iid-gamma",
        "models/gradient/grouped-poisson",
        "models/gradient/interaction",
        "models/small/grouped-linear",
        "models/plan/hierarchical-bernoulli",
        "models/run/iid-gamma-1e6",
        "models/run/grouped-linear-1e7",
        "models/effective/eight-schools",
        "models/float32/gamma-1e7",
    ),
}
PEERS = {"glum": "glum", "efax": "efax", "hmmlearn": "hmmlearn.hmm", "dynamax": "dynamax.hidden_markov_model"}
"""Peers that tests do without: what names of cases end in, and the module."""
BESIDE_PEERS = [case for case in CASES if case.name.rpartition("-")[2] in PEERS]
TRIED = [case for case in CASES if case.name in FEW.get(case.group, (case.name,)) and case not in BESIDE_PEERS]
AT_LENGTH = {
    "families/dirichlet/jit",
    "families/wishart/eager",
    "gradients/negative-binomial/direct",
    "gradients/negative-binomial/evidence",
    "log-density/negative-binomial/eager",
    "log-density/negative-binomial/log_likelihood",
    "mixtures/normals-1e6x4",
    "mixtures/normals-1e6x4-settled",
    "models/effective/eight-schools",
    "models/gradient/interaction",
    "models/run/iid-gamma-1e6",
    "models/run/grouped-linear-1e7",
    "expectation/dirichlet",
    "models/float32/gamma-1e7",
    "models/gradient/grouped-poisson",
    "play/again",
    "dispatch/beta",
    "settings/studentt",
    *(f"mle/{name}" for name in ("studentt", "laplace", "logistic", "cauchy", "gumbel", "uniform", "negativebinomial")),
}
"""Cases that compile most, of which a like one stays: tried in thorough runs."""


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case,
            id=case.name,
            marks=[pytest.mark.thorough] if case.name.startswith(("chains/states", "chains/likelihood-5")) else [],
        )
        for case in BESIDE_PEERS
    ],
)
def test_a_peer_that_is_not_installed_is_asked_for(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    peer = case.name.rpartition("-")[2]
    monkeypatch.setitem(sys.modules, PEERS[peer], None)
    with pytest.raises(MissingPeerError, match=rf"(?i){peer}.* is not installed: pip install .*\[peers\]"):
        harness.run_case(case, Effort.least(repeats=0))


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.name, marks=[pytest.mark.thorough] if case.name in AT_LENGTH else [])
        for case in TRIED
    ],
)
def test_answers_are_those_of_the_oracle(case: Case, shared_programs: None) -> None:
    with jax.numpy_rank_promotion("allow"):  # NumPyro's vectors need it
        record = harness.run_case(case, Effort.least(repeats=0))
    ours, *peers = record["entrants"].values()
    assert peers
    assert 0 <= ours["error"] <= record["tolerance"]
    assert [*record["ratios"]] == [*record["entrants"]][1:]
    assert {target.peer for target in case.targets if target.measure == "ratio"} <= record["ratios"].keys()
    assert all(math.isfinite(ratio["median"]) for ratio in record["ratios"].values())
    assert json.loads(json.dumps(record, allow_nan=False)) == record


# The harness, on entrants that take no time.


@pytest.fixture(scope="module", autouse=True)
def _what_there_is_is_no_garbage() -> Any:
    """The harness collects garbage before it measures; what other tests have left in memory takes more than a second each time."""
    gc.freeze()
    yield
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def contest_of(*answers: float, tolerance: float = 1e-6) -> Callable[[Setting], Contest]:
    entrants = {name: call(float, answer) for name, answer in zip(["ours", "theirs"], answers)}
    return lambda setting: Contest(10, "float64", entrants, against(1.0), tolerance)


def test_a_wrong_answer_is_not_timed() -> None:
    for wrong in (1.1, math.nan):
        with pytest.raises(OracleError, match="ours is off by"):
            harness.run_case(Case("a/b", "", contest_of(wrong, 1.0)), Effort.least())
    with pytest.raises(OracleError, match="theirs is off by"):
        harness.run_case(Case("a/b", "", contest_of(1.0, 1.1)), Effort.least())
    blind = Contest(1, "", {"ours": call(int), "theirs": call(int)}, lambda answers: {"ours": 0.0}, 0.0)
    with pytest.raises(OracleError, match="nobody judged theirs"):
        harness.run_case(Case("a/b", "", lambda setting: blind), Effort.least())


def test_answers_of_another_shape_are_refused() -> None:
    with pytest.raises(OracleError, match="shape"):
        against(np.ones(3))({"ours": np.ones(1)})


def test_turns_alternate() -> None:
    order: list[str] = []
    runs = {name: (lambda name=name: order.append(name)) for name in "ab"}
    turns, calls = harness.take_turns(runs, Effort(repeats=3, budget=60.0, shortest_turn=0.0))
    assert order == ["a", "b"] * 3
    assert [len(seconds) for seconds in turns.values()] == [3, 3]
    assert calls == {"a": 1, "b": 1}


def test_the_budget_ends_the_turns_but_not_before_the_fewest() -> None:
    turns, _ = harness.take_turns({"a": lambda: None}, Effort(repeats=50, budget=0.0, fewest=4, shortest_turn=0.0))
    assert len(turns["a"]) == 4


def test_short_runs_are_called_several_times_in_a_turn() -> None:
    _, calls = harness.take_turns({"a": lambda: None}, Effort(repeats=1, shortest_turn=1e-3))
    assert calls["a"] > 10


def test_an_interval_holds_the_median_and_is_the_same_each_time() -> None:
    ratios = np.random.default_rng(3).lognormal(-0.5, 0.3, 31)
    told = harness.interval(ratios)
    assert told == harness.interval(ratios)
    assert told["low"] <= told["median"] <= told["high"]
    assert told["median"] == np.median(ratios)
    # Order statistics 9.96 ± 1.96 √31/2 of 31 bound the median with about this confidence.
    low, *_, high = np.sort(ratios)[8:23]
    assert low <= told["low"] <= told["high"] <= high


def test_claims_need_an_interval_that_excludes_one() -> None:
    def said(low: float, high: float, pairs: int = 9) -> str:
        return results.verdict({"median": (low + high) / 2, "low": low, "high": high, "pairs": pairs})

    assert [said(0.5, 0.9), said(0.9, 1.1), said(1.1, 1.2), said(0.1, 0.2, pairs=2)] == [
        "faster",
        "even",
        "slower",
        "too few pairs",
    ]


def test_targets_are_met_only_with_their_whole_interval() -> None:
    def met(limit: float, low: float, high: float) -> bool | None:
        ratio = {"median": (low + high) / 2, "low": low, "high": high, "pairs": 9}
        return harness._told(Target(limit, "p"), {}, {"p": ratio})["met"]

    assert [met(1.0, 0.5, 0.9), met(1.0, 0.9, 1.1), met(1.0, 1.1, 1.2)] == [True, None, False]
    assert harness._told(Target(100, measure="growth"), {"growth": 101}, {})["met"] is False


def test_growth_is_that_of_the_run() -> None:
    size = 64 << 20
    grown, kept = harness.machine.growth(lambda: float(np.ones(size // 8).sum()))
    assert kept == size // 8
    if harness.machine.can_measure_growth():
        assert 0.9 * size < grown < 2 * size


def test_stages_and_temporaries_are_told() -> None:
    entrant = harness.jitted(lambda x: x + 1, np.float32(1.0))
    assert entrant.compilation is not None
    assert [*entrant.compilation] == ["trace", "lower", "compile"]
    assert entrant.temporaries is not None
    assert entrant.temporaries < 1 << 16
    assert float(entrant.run()) == 2.0


# Results.

ABOUT = {
    "device": "cpu",
    "device_kind": "a processor",
    "driver": None,
    "processor": "a processor",
    "cores": 2,
    "python": "3.12",
    "versions": {"jax": "1"},
    "flags": {},
    "commit": "0" * 40,
}


@functools.cache
def _recorded(*answers: float) -> dict[str, Any]:
    case = Case("a/b", "a title", contest_of(*answers), (Target(1.0, "theirs"),) if len(answers) > 1 else ())
    return {"date": "2024-02-29", **harness.run_case(case, Effort.least())}


def record_of(*answers: float) -> dict[str, Any]:
    """A copy of one run: each begins with a collection of garbage, of which other tests leave much."""
    return copy.deepcopy(_recorded(*answers))


def empty(device: str = "cpu") -> dict[str, Any]:
    return {"schema": results.SCHEMA, "device": device, "runs": {}, "cases": {}}


def test_merging_keeps_the_other_cases_and_the_runs_they_came_from() -> None:
    first = results.merge(empty(), "monday", ABOUT, {"a/b": record_of(1.0, 1.0), "a/c": record_of(1.0, 1.0)})
    second = results.merge(first, "tuesday", ABOUT, {"a/c": record_of(1.0, 1.0)})
    assert second["cases"]["a/b"] == first["cases"]["a/b"]
    assert [second["cases"][name]["run"] for name in ("a/b", "a/c")] == ["monday", "tuesday"]
    assert second["runs"].keys() == {"monday", "tuesday"}
    third = results.merge(second, "wednesday", ABOUT, dict.fromkeys(second["cases"], record_of(1.0, 1.0)))
    assert third["runs"].keys() == {"wednesday"}


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Any) -> None:
    path = tmp_path / "cpu.json"
    results.write(path, empty())
    with pytest.raises(ValueError, match="JSON"):
        results.write(path, {"x": math.nan})
    assert results.load(path) == empty()
    assert [file.name for file in tmp_path.iterdir()] == ["cpu.json"]


def test_a_file_of_another_schema_is_refused(tmp_path: Any) -> None:
    path = tmp_path / "cpu.json"
    results.write(path, {**empty(), "schema": results.SCHEMA + 1})
    with pytest.raises(ValueError, match="schema"):
        results.load(path)


def test_missing_and_failed_cases_are_named() -> None:
    cases = [Case(name, "", contest_of(1.0, 1.0), (Target(1.0, "theirs"),)) for name in ("a/b", "a/c", "a/d")]
    cases.append(Case("a/e", "", contest_of(1.0), devices=("gpu",)))
    records = {"a/b": record_of(1.0, 1.0), "a/c": {"failure": "it fell over"}}
    assert results.missing(results.merge(empty(), "monday", ABOUT, records), cases) == [
        "a/c: it fell over",
        "a/d: never run",
    ]
    alone = results.merge(empty(), "monday", ABOUT, {"a/b": record_of(1.0)})
    assert results.missing(alone, cases[:1]) == ["a/b: no ratio to theirs"]
    with pytest.raises(OracleError, match="no entrant is named 'theirs'"):
        harness.run_case(Case("a/b", "", contest_of(1.0), (Target(1.0, "theirs"),)), Effort.least())


def test_the_report_shows_every_case_and_every_gap() -> None:
    cases = [Case(name, "a title", contest_of(1.0, 1.0), (Target(1.0, "theirs"),)) for name in ("a/b", "a/c", "z/d")]
    records = {"a/b": record_of(1.0, 1.0), "a/c": {"failure": "it | fell over"}, "a/gone": record_of(1.0)}
    text = results.report([results.merge(empty(), "monday", ABOUT, records)], cases)
    assert "| `a/b`<br>a title; 10 rows, float64 |" in text
    assert "| `a/c` | **failed** | it \\| fell over |" in text
    assert "- **missing**: a/c: it \\| fell over; z/d: never run" in text
    assert "`a/gone`" in text
    widths = {line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_the_report_tells_the_geometric_mean_of_many_ratios() -> None:
    record = record_of(1.0, 1.0)
    records = {
        f"a/{n}": {**record, "ratios": {"theirs": {**record["ratios"]["theirs"], "median": 2.0**n}}} for n in range(5)
    }
    text = results.report([results.merge(empty(), "monday", ABOUT, records)], [])
    assert "Geometric mean of the ratios: 4 to theirs (5 cases)." in text  # 2² is in the middle of 2⁰, …, 2⁴
    few = results.report([results.merge(empty(), "monday", ABOUT, {"a/0": records["a/0"]})], [])
    assert "Geometric mean" not in few


def test_the_means_of_whole_runs_tell_how_many_times_faster() -> None:
    record = record_of(1.0, 1.0)
    records = {
        f"models/run/{n}-1e6": {**record, "ratios": {"theirs": {**record["ratios"]["theirs"], "median": 4.0**-n}}}
        for n in range(3)
    }
    told = models.means(
        results.merge(empty(), "monday", ABOUT, {**records, "models/run/x-1e7": {"failure": "it fell"}})
    )
    assert told == {"models/run/*-1e6": (pytest.approx(4.0), 3)}


# The command line.


def test_cases_are_chosen_by_name_group_or_pattern() -> None:
    names = {case.name for case in CASES}
    assert {case.name for case in select(CASES, ["mle"], "cpu")} == {n for n in names if n.startswith("mle/")}
    assert [case.name for case in select(CASES, ["evidence/gamma"], "cpu")] == ["evidence/gamma"]
    assert {case.name for case in select(CASES, ["*/gamma*"], "cpu")} >= {"mle/gamma", "gradients/gamma/direct"}
    assert not any(case.name == "play/sizes" for case in select(CASES, None, "gpu"))
    with pytest.raises(ValueError, match="no case on cpu is named 'mle/gama'"):
        select(CASES, ["mle/gama"], "cpu")


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`python -m benchmarks …` without its lasting effect on the environment."""
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    return lambda *words: main([str(word) for word in words])


def test_the_names_are_listed(shell: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert shell("--list") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [case.name for case in CASES]
    assert shell("--list", "--only", "nothing") == 2
    assert "no case on cpu is named 'nothing'" in capsys.readouterr().err


def test_a_run_of_one_case_leaves_the_others_alone(shell: Callable[..., int], tmp_path: Any) -> None:
    other = results.merge(empty(), "monday", ABOUT, {"dispatch/gamma": record_of(1.0, 1.0)})
    results.write(tmp_path / "cpu.json", other)
    results.write(tmp_path / "gpu.json", {**other, "device": "gpu"})
    before = (tmp_path / "gpu.json").read_bytes()
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")  # of somebody else
    assert shell("--only", "dispatch/normal", "--quick", "--out", tmp_path) == 0
    document = results.load(tmp_path / "cpu.json")
    assert document["cases"].keys() == {"dispatch/gamma", "dispatch/normal"}
    assert document["cases"]["dispatch/gamma"] == other["cases"]["dispatch/gamma"]
    about = document["runs"][document["cases"]["dispatch/normal"]["run"]]
    assert about["device"] == "cpu"
    assert all(about["versions"][name] for name in ("jax", "jaxlib", "numpyro", "scipy"))
    assert (tmp_path / "gpu.json").read_bytes() == before
    assert "`dispatch/normal`" in (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    # The tables again, from the same files: now every case that is not in them counts.
    assert shell("--report", "--out", tmp_path) == 1


def test_a_case_that_fails_fails_the_run(shell: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    import benchmarks.__main__ as command

    monkeypatch.setattr(command, "_in_own_process", lambda name, options: {"record": {"failure": "it fell over"}})
    assert shell("--only", "dispatch/normal", "--quick") == 1


def test_an_entrant_counts_for_what_it_stands_for() -> None:
    entrants = {"ours": Entrant(lambda: 1.0), "theirs": Entrant(lambda: 1.0, times=50.0)}
    case = Case("a/b", "", lambda setting: Contest(1, "", entrants, against(1.0), 0.0))
    theirs = harness.run_case(case, Effort.least())["entrants"]["theirs"]
    assert theirs["extrapolated"] == 50.0
    assert theirs["median"] == theirs["minimum"] == theirs["seconds"][0]
