"""No rewrite changes a posterior: random models, in float64."""

import functools

import jax
import pytest
from tests.models.fuzz import Verdict, fractions, judge, random_model, report

SEEDS, MORE, CHUNK, FLOOR = 60, 600, 20, 0.8
verdict = functools.cache(judge)


def _changed(verdicts: list[Verdict]) -> str:
    return "\n".join("\n    ".join([str(v.description), *v.failures[:3]]) for v in verdicts if v.failures)


def _grouped(number: int, worker: int):
    """One parameter of a test; a chunk of seeds is one worker's, and all but the first chunk are tried in thorough runs."""
    marks = [pytest.mark.thorough] if worker else []
    return pytest.param(number, marks=[pytest.mark.xdist_group(f"fuzz {worker}"), *marks])


@pytest.mark.parametrize("seed", [_grouped(seed, seed // CHUNK) for seed in range(SEEDS)])
def test_posterior_of_a_random_model_is_the_same(seed):
    assert not (changed := _changed([verdict(seed)])), changed


def _check_fractions(verdicts: list[Verdict]) -> None:
    """Of sites with few cells, or Gaussian with few columns, most are rewritten; the table says which are not."""
    print(report(verdicts))
    expected, rewritten, _ = fractions(verdicts)
    assert expected > len(verdicts) / 10
    assert rewritten >= FLOOR * expected, report(verdicts)


@pytest.mark.parametrize("chunk", [_grouped(chunk, chunk) for chunk in range(SEEDS // CHUNK)])
def test_what_can_be_compressed_is(chunk):
    _check_fractions([verdict(seed) for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK)])


@pytest.mark.thorough
@pytest.mark.parametrize("first", [_grouped(first, first // CHUNK) for first in range(1000, 1000 + MORE, CHUNK)])
def test_posteriors_of_many_random_models_are_the_same(first):
    """At length, and what can be compressed is."""
    verdicts = [judge(seed) for seed in range(first, first + CHUNK)]
    jax.clear_caches()  # every program maps memory, of which a process has only so much
    assert not (changed := _changed(verdicts)), changed
    _check_fractions(verdicts)


def test_a_seed_is_a_model():
    """The same words and the same data for the same seed, and others for others."""
    assert str(random_model(3)[3]) == str(random_model(3)[3]) != str(random_model(4)[3])
