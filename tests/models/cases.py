"""The registry: every case of all files `cases_*.py`."""

import importlib
from pathlib import Path

import pytest
from tests.models.case import Case

_MODULES = [
    importlib.import_module(f"tests.models.{path.stem}") for path in sorted(Path(__file__).parent.glob("cases_*.py"))
]
CASES: list[Case] = [case for module in _MODULES for case in vars(module).values() if isinstance(case, Case)]
"""Plain models, by kind."""

BY_NAME = {case.name: case for case in CASES}
assert len(BY_NAME) == len(CASES), "two cases have one name"


AT_LENGTH = {
    "bernoulli-probs": "categorical-by-group has probabilities, bernoulli-logits a coin",
    "beta": "gamma",
    "beta-binomial-by-group": "ordered-logistic and three-kinds-of-rows are counted by group",
    "binomial-of-various-trials": "the same by group",
    "categorical": "the same by group",
    "correlated-varying-effects": "varying-slopes, and correlated effects that are not centred",
    "crossed-groups": "crossed-groups-of-coins",
    "exponential": "gamma",
    "expanded-instead-of-a-plate": "no-plate",
    "five-outcomes": "one outcome each, one-of-two-outcomes and three-kinds-of-rows",
    "gaussian-process": "all-rows-one-event; no rule takes a kept site on, whatever its law",
    "intercepts-and-an-interaction": "varying-slopes, regression-term-by-term",
    "intercepts-and-an-interaction-of-flags": "logistic-regression-on-dummies",
    "log-normal": "log-normal-regression",
    "logits-beside-a-base-line": "logits-put-together-in-each-row",
    "meta-analysis-by-kind-of-study": "fixed-effect-meta-analysis",
    "multivariate-normal": "the same by group",
    "multivariate-regression": "two-lines-put-together",
    "negative-binomial": "the same by group",
    "not-centred-and-gathered-late": "bernoulli-by-group",
    "outcomes-that-share-latents": "one-of-two-outcomes",
    "regression-on-the-value-before": "linear-regression",
    "rows-by-outcomes": "the same by group",
    "scales-by-group": "scales-by-another-group",
    "schools-in-districts": "poisson-by-group, random-walk-over-months",
    "tempered": "weighted-rows",
    "transformed-parameters": "flags-and-indices-from-the-end, random-walk-over-months",
    "von-mises": "gamma",
    "weibull-of-known-shape": "laplace-around-zero",
    "weibull-of-rounded-values": "student-t-of-rounded-values",
    "zero-inflated-poisson": "student-t-of-rounded-values",
}
"""Cases that are tried in thorough runs only, and which others go the same ways."""
assert BY_NAME.keys() >= AT_LENGTH.keys()


def parameters(cases: list[Case], *, at_length: bool = False) -> list:
    """Cases for a test, all of them `at_length` or not; those of a file on one worker, where their evaluations are kept."""

    def parameter(case: Case):
        marks = [pytest.mark.thorough] if at_length or case.name in AT_LENGTH else []
        return pytest.param(case, id=case.name, marks=[pytest.mark.xdist_group(case.model.__module__), *marks])

    return [parameter(case) for case in cases]


def named(*names: str, at_length: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    """A test for a few cases, and for more in thorough runs."""
    quick, more = ([BY_NAME[name] for name in some] for some in (names, at_length))
    return pytest.mark.parametrize("case", [*parameters(quick), *parameters(more, at_length=True)])


each_case = pytest.mark.parametrize("case", parameters(CASES))
