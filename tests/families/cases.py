"""The registry of test cases: every family at several settings of its parameters."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, eq=False)
class Case:
    """One distribution, how SciPy calls it, which parameters count as known, and where the density has corners."""

    make: Callable[[], Any]
    scipy: Any = None
    known: dict[str, float] = field(default_factory=dict)
    label: str = ""
    kinks: tuple[float, ...] = ()

    def __str__(self) -> str:
        return self.label or repr(self.make())
