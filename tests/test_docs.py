"""The table of families: no cell is empty without a reason, and the page is what the code says. Examples of pages run."""

import doctest
import importlib.util
from pathlib import Path

import jax
import numpy as np
import pytest
from tests.families import registry, test_vectors

from surprax.families import FAMILIES, Distribution, ExponentialFamily
from surprax.families.base import HOOKS

DOCS = Path(__file__).parents[1] / "docs"
_spec = importlib.util.spec_from_file_location("make_families", DOCS / "make_families.py")
make_families = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_families)

CASES = {type(c.make()): c for c in [*registry.CASES, *test_vectors.CASES]}
PAGES = {page.stem: page for page in sorted(DOCS.glob("*.md")) if ">>> " in page.read_text(encoding="utf-8")}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_examples_of_a_page_run(page):
    """As they do for a reader, who has not been asked for strictness."""
    with jax.numpy_rank_promotion("allow"), jax.debug_key_reuse(False), np.printoptions():
        failed, tried = doctest.testfile(
            str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE, encoding="utf-8"
        )
    assert tried > 10
    assert failed == 0


def test_pages_have_examples():
    assert {"examples", "interop"} <= set(PAGES)


def test_page_of_families_is_what_the_code_says():
    assert (DOCS / "families.md").read_text(encoding="utf-8") == make_families.page(), "run: make docs"


@pytest.mark.parametrize("name", FAMILIES)
def test_every_method_is_there_or_has_a_reason(name):
    family = FAMILIES[name]
    d = CASES[family].make()
    known = {n: getattr(d, n) for n in d.known_parameters}
    x = np.asarray(d._inner_point(), np.float64) * np.ones((64,) + (1,) * family.event_dim)
    # How many categories there are is known of data that are known.
    traced = (lambda call, x: call(x)) if family.labelled else jax.eval_shape
    calls = {
        "log_prob": lambda: d.log_prob(x),
        "sample": lambda: d.sample(jax.random.key(0), (64,)),
        "mean": lambda: d.mean,
        "variance": lambda: d.variance,
        "mode": lambda: d.mode,
        "cdf": lambda: d.log_cdf(x) + d.log_sf(x),
        "entropy": lambda: d.entropy(),
        "kl": lambda: d.kl(d),
        "fit": lambda: traced(lambda x: family.try_fit(x, **known)[1].code, x),
        "natural": lambda: d.natural,
        "expectation": lambda: d.expectation,
        "from_expectation": lambda: family.try_from_expectation(d.expectation, **known)[1].code,
        "fisher_information": lambda: d.fisher_information(),
        "renyi": lambda: d.renyi(d, 0.5),
        "evidence": lambda: traced(lambda x: family.evidence(x, **known).count, x),
    }
    assert set(calls) == {*make_families.DENSITY, *make_families.EXPONENTIAL}
    for method, call in calls.items():
        why = make_families.reason(family, method)
        if why is None:  # the values are the business of the tests of the definition
            assert jax.eval_shape(call) is not None, method
        else:
            assert len(why) > 10, (method, why)
            if method in HOOKS and method in family.lacks:
                with pytest.raises(NotImplementedError, match=f"{name} has no {method}"):
                    call()


def test_reasons_are_given_for_methods_that_exist():
    for family in FAMILIES.values():
        assert set(family.lacks) <= set(HOOKS)
        assert issubclass(family, Distribution)
        assert not (issubclass(family, ExponentialFamily) and {"natural", "log_prob"} & set(family.lacks))
