"""The registry of test cases: every family at several settings of its parameters."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """One distribution, how SciPy calls it, and which parameters count as known."""

    make: Callable[[], Any]
    scipy: Any = None
    known: dict[str, float] = field(default_factory=dict)
    label: str = ""

    def __str__(self) -> str:
        return self.label or repr(self.make())
