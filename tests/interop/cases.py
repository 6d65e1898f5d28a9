"""Cases of all families of the catalogue, of numbers and of vectors."""

import importlib
from pathlib import Path

import pytest
from tests.families import registry

from surprax.families import FAMILIES

_FOLDER = Path(registry.__file__).parent
_VECTORS = [importlib.import_module(f"tests.families.{p.stem}") for p in sorted(_FOLDER.glob("vector_cases_*.py"))]
CASES = [
    case
    for case in [*registry.CASES, *(case for module in _VECTORS for case in module.CASES)]
    if type(case.make()).__name__ in FAMILIES
]
ONE_EACH = {type(case.make()).__name__: case for case in reversed(CASES)}
"""The first case of every family."""


def _parameter(case, label, *marks):
    """A family on one worker, where its tests share what is compiled."""
    return pytest.param(case, id=label, marks=[pytest.mark.xdist_group(type(case.make()).__name__), *marks])


def _further_shape(case):
    """Whether all is compiled anew for a case, of vectors of another length than the first of its family."""
    d = case.make()
    return d.event_shape != ONE_EACH[type(d).__name__].make().event_shape


each_case = pytest.mark.parametrize(
    "case", [_parameter(case, str(case), *([pytest.mark.thorough] if _further_shape(case) else [])) for case in CASES]
)
each_family = pytest.mark.parametrize("case", [_parameter(case, name) for name, case in sorted(ONE_EACH.items())])


def each_family_at_length(*names):
    """Every family; those that are not named only in thorough runs."""
    return pytest.mark.parametrize(
        "case",
        [
            _parameter(case, name, *(() if name in names else (pytest.mark.thorough,)))
            for name, case in sorted(ONE_EACH.items())
        ],
    )
