"""All cases, group by group, in the order of the tables."""

import fnmatch
import importlib
from collections.abc import Sequence

from benchmarks.harness import Case

__all__ = ["GROUPS", "all_cases", "select"]

GROUPS = (
    "log_density",
    "families",
    "gradients",
    "evidence",
    "beliefs",
    "chains",
    "mixtures",
    "estimates",
    "conjugate",
    "models",
    "expectation",
    "dispatch",
    "mle",
    "settings",
    "play",
    "import_time",
)


def all_cases() -> list[Case]:
    """Every case, by unique name."""
    cases = [case for group in GROUPS for case in importlib.import_module(f"benchmarks.{group}").CASES]
    names = [case.name for case in cases]
    if len(set(names)) < len(names):
        raise ValueError(f"names of cases must be unique: {sorted({n for n in names if names.count(n) > 1})}")
    return cases


def select(cases: Sequence[Case], wanted: Sequence[str] | None, device: str) -> list[Case]:
    """The cases of a device that are named: exactly, by a group or folder ("mle"), or by a pattern ("*/gamma*")."""
    here = [case for case in cases if device in case.devices]
    if not wanted:
        return here

    def named(case: Case, want: str) -> bool:
        return case.name == want or case.name.startswith(want.rstrip("/") + "/") or fnmatch.fnmatch(case.name, want)

    for want in wanted:
        if not any(named(case, want) for case in here):
            raise ValueError(f"no case on {device} is named {want!r}; python -m benchmarks --list shows the names")
    return [case for case in here if any(named(case, want) for want in wanted)]
