"""What an oracle says about a family: its definitions in mpmath, where they are tried, and what peers call it."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.grids import Columns, near

__all__ = ["Oracle", "all_oracles"]


@dataclass(frozen=True)
class Oracle:
    """Textbook definitions of one family. Parameters θ are numbers of mpmath in the order of the family (lists, for vectors).

    Attributes:
        settings: parameters from columns of uniform numbers.
        points: arguments from such columns and parameters.
        log_density: at x and θ; −∞ outside the support.
        log_tails: (log P(X ≤ x), log P(X > x)) at x and θ, inside the hull of the support.
        entropy, log_normalizer: at θ.
        kl: at θ and θ of q.
        expectation: the mean statistics at θ.
        from_expectation: θ from the list of mean statistics and the known parameters; None for Newton's method on `expectation`.
        others: parameters of q for divergences, from columns and θ.
        narrower: parameters for entropy and divergences, where those of `settings` would take too long.
        exact: names of parameters that are whole numbers.
        support: ends of the support, from θ.
        numpyro, scipy: the distribution of the peer, from θ.
        fewer: operations with a slow truth, and on how many points they are tried.
    """

    settings: Callable[..., tuple[np.ndarray, ...]]
    points: Callable[..., np.ndarray]
    log_density: Callable[..., Any]
    log_tails: Callable[..., Any] | None = None
    entropy: Callable[..., Any] | None = None
    kl: Callable[..., Any] | None = None
    log_normalizer: Callable[..., Any] | None = None
    expectation: Callable[..., tuple[Any, ...]] | None = None
    from_expectation: Callable[..., tuple[Any, ...]] | None = None
    others: Callable[..., tuple[np.ndarray, ...]] | None = None
    narrower: Callable[..., tuple[np.ndarray, ...]] | None = None
    exact: tuple[str, ...] = ()
    support: Callable[..., tuple[Any, Any]] = lambda *theta: (-np.inf, np.inf)
    numpyro: Callable[..., Any] | None = None
    scipy: Callable[..., Any] | None = None
    fewer: Mapping[str, int] = field(default_factory=dict)

    def neighbours(self, columns: Columns, *theta: np.ndarray) -> tuple[np.ndarray, ...]:
        """Parameters of q: each moved, unless the family says otherwise."""
        if self.others is not None:
            return self.others(columns, *theta)
        return tuple(near(t, columns()) for t in theta)


@cache
def all_oracles() -> dict[str, Oracle]:
    """Every family's oracle by its name, from all files `oracles_*.py`."""
    modules = sorted(path.stem for path in Path(__file__).parent.glob("oracles_*.py"))
    return {k: o for m in modules for k, o in importlib.import_module(f"benchmarks.accuracy.{m}").ORACLES.items()}
