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


def parameters(cases: list[Case]) -> list:
    """Cases for a test; those of a file on one worker, where their evaluations are kept."""
    return [pytest.param(case, id=case.name, marks=pytest.mark.xdist_group(case.model.__module__)) for case in cases]


def named(*names: str) -> pytest.MarkDecorator:
    """A test for a few cases."""
    return pytest.mark.parametrize("case", parameters([BY_NAME[name] for name in names]))


each_case = pytest.mark.parametrize("case", parameters(CASES))
