"""What a case of these tests is: a plain NumPyro model, its data, and what is to become of its observed sites."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

IDENTICAL, CELLS, LINEAR, COUNTED = "identical rows", "cells", "Gaussian linear", "counted rows"
RULES = (IDENTICAL, CELLS, LINEAR, COUNTED)
"""Every rule by which a site may be rewritten."""

type Arguments = tuple[tuple[Any, ...], dict[str, Any]]
LOOSE = 1e-5
ROWS = 211
"""As many rows as most cases have: a prime number, so that no other axis is as long."""


@dataclass(frozen=True, eq=False)
class Case:
    """One model.

    `rewritten` names sites with the rule, or the rules, by which they are to be rewritten, `kept` those that must stay as they
    are, and `either` those where both are right; the posterior is to be the same in any case. `whole_rows` says that something
    beside the observed sites has an axis of rows, so that the rewritten model has one too. Judged by the `tolerance`: where
    NumPyro's own densities keep six or seven digits only, as do those that take JAX's `betaln`, it is `LOOSE`.
    """

    name: str
    model: Callable[..., None]
    make_args: Callable[[np.random.Generator], Arguments]
    rewritten: dict[str, tuple[str, ...]] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    either: tuple[str, ...] = ()
    whole_rows: bool = False
    tolerance: float = 1e-6

    def arguments(self) -> Arguments:
        """The same data every time, of a seed of its own."""
        return self.make_args(np.random.default_rng(zlib.crc32(self.name.encode())))

    def __str__(self) -> str:
        return self.name


def case(
    data: Callable[[np.random.Generator], Any],
    *,
    kept: tuple[str, ...] = (),
    either: tuple[str, ...] = (),
    whole_rows: bool = False,
    tolerance: float = 1e-6,
    **rewritten: str | tuple[str, ...],
) -> Callable[[Callable[..., None]], Case]:
    """Makes a case of the model below it; data are arguments, a dictionary of keywords, or arguments and at their end one."""

    def make_args(rng: np.random.Generator) -> Arguments:
        found = data(rng)
        if isinstance(found, dict):
            return (), found
        return (found[:-1], found[-1]) if isinstance(found[-1], dict) else (found, {})

    def decorate(model: Callable[..., None]) -> Case:
        rules = {site: (rule,) if isinstance(rule, str) else rule for site, rule in rewritten.items()}
        return Case(model.__name__.replace("_", "-"), model, make_args, rules, kept, either, whole_rows, tolerance)

    return decorate
