"""What a game ends with: who was least surprised, by how much, and how sure that is."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from surprax.files import replaced
from surprax.units import Unit, nats_per

__all__ = ["Disqualified", "Entry", "Scoreboard", "save_boards"]


@dataclass(frozen=True)
class Entry:
    """One player's result. Log-quantities are in nats; the board shows them in its unit.

    Attributes:
        name: of the player.
        distribution: fitted to all rows (or as given).
        held_out: cross-validated surprise per row.
        behind: `held_out` less that of the best player, ≥ 0.
        behind_error: standard error of `behind`.
        total: in-sample surprise of all rows.
        free: number of fitted parameters.
        aic, bic: 2·free + 2·total and log(n)·free + 2·total.
        worst: greatest surprise of a single row.
        worst_row: that row (counted from 0).
        seconds: wall time of fitting and scoring.
    """

    name: str
    distribution: Any
    held_out: float
    total: float
    free: int
    aic: float
    bic: float
    worst: float
    worst_row: int
    seconds: float
    behind: float = 0.0
    behind_error: float = 0.0

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters by name, as Python numbers or lists; logits are told as probabilities."""
        return _parameters(self.distribution)


def _parameters(d: Any) -> dict[str, Any]:
    """By name; of a mixture, those of its components beside their weights."""
    out: dict[str, Any] = {}
    for name in d.parameters:
        name = "probs" if name == "logits" else name
        value = getattr(d, name)
        out |= _parameters(value) if hasattr(value, "parameters") else {name: np.asarray(value).tolist()}
    return out


@dataclass(frozen=True)
class Disqualified:
    """A player that takes no part, and why; `row` is the first row that rules it out, if one does."""

    name: str
    reason: str
    row: int | None = None


@dataclass(frozen=True)
class Scoreboard:
    """Players ranked by cross-validated surprise per row, the least surprised first.

    Print it for a table, `plot()` it, read `entries`, `best`, `to_dict()`, or write it with `save(path)`.

    Attributes:
        entries: ranked results.
        disqualified: players that took no part, with the reason.
        name: of the column.
        rows: number of rows.
        folds: number of folds of the cross-validation.
        unit: in which the board shows surprise.
        kind: "discrete" or "continuous": which families were comparable.
        notes: what a reader should know (which kind of data, what was left out).
        groups: boards of the groups, when played by group; `entries` then sums over them.
    """

    entries: tuple[Entry, ...]
    disqualified: tuple[Disqualified, ...]
    name: str
    rows: int
    folds: int
    unit: Unit
    kind: str
    notes: tuple[str, ...] = ()
    groups: dict[Any, "Scoreboard"] = field(default_factory=dict)
    data: Any = field(default=None, repr=False)

    @property
    def best(self) -> Entry:
        """The least surprised player; `ValueError` where none could play."""
        if not self.entries:
            reasons = " ".join(f"{d.name}: {d.reason}" for d in self.disqualified[:3])
            raise ValueError(f"No player could be scored on {self.name}. {reasons}")
        return self.entries[0]

    def __getitem__(self, name: str) -> Entry:
        for entry in self.entries:
            if entry.name == name:
                return entry
        raise KeyError(f"{name!r} is not on the board; there are {', '.join(e.name for e in self.entries)}.")

    def in_unit(self, nats: float) -> float:
        """A quantity in nats, in the unit of the board."""
        return nats / nats_per(self.unit)

    def __str__(self) -> str:
        from surprax.game.report import render

        return render(self)

    def _repr_html_(self) -> str:
        from surprax.game.report import to_html

        return to_html(self)

    def plot(self, *, players: int = 4, path: str | os.PathLike[str] | None = None) -> Any:
        """Data and the best players, as density and as surprise, side by side; a matplotlib figure.

        Args:
            players: how many of the best to draw.
            path: where to write it too (PNG, PDF, SVG by suffix).
        """
        from surprax.plots import density_and_surprise

        if self.groups:
            raise ValueError("A board by group has one picture per group: board.groups[label].plot().")
        if not self.entries:
            raise ValueError(f"There is nothing to draw: no player could be scored on {self.name}.")
        chosen = {entry.name: entry.distribution for entry in self.entries[:players]}
        return density_and_surprise(
            self.data, chosen, name=self.name, unit=self.unit, discrete=self.kind == "discrete", path=path
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything but the data, as plain Python objects; surprise in the board's unit."""
        return {
            "name": self.name,
            "rows": self.rows,
            "folds": self.folds,
            "unit": self.unit,
            "kind": self.kind,
            "notes": list(self.notes),
            "entries": [
                {
                    "rank": rank,
                    "player": e.name,
                    "family": type(e.distribution).__name__ if e.distribution is not None else e.name,
                    "parameters": e.parameters if e.distribution is not None else {},
                    "surprise_per_row": self.in_unit(e.held_out),
                    "behind": self.in_unit(e.behind),
                    "behind_standard_error": self.in_unit(e.behind_error),
                    "total_surprise": self.in_unit(e.total),
                    "free_parameters": e.free,
                    "aic": e.aic,
                    "bic": e.bic,
                    "worst_surprise": self.in_unit(e.worst),
                    "worst_row": e.worst_row,
                    "seconds": e.seconds,
                }
                for rank, e in enumerate(self.entries, 1)
            ],
            "disqualified": [{"player": d.name, "reason": d.reason, "row": d.row} for d in self.disqualified],
            **(
                {"groups": {str(label): board.to_dict() for label, board in self.groups.items()}} if self.groups else {}
            ),
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_dict()` as JSON, all of it or nothing; numbers that JSON lacks (±inf) become null."""
        _write_json(self.to_dict(), path)


def save_boards(boards: Sequence[Scoreboard], path: str | os.PathLike[str]) -> None:
    """Write several boards as one JSON list; a single one as `Scoreboard.save` does."""
    _write_json(boards[0].to_dict() if len(boards) == 1 else [board.to_dict() for board in boards], path)


def _write_json(document: Any, path: str | os.PathLike[str]) -> None:
    with replaced(path, "w") as file:
        json.dump(_finite(document), file, indent=2, allow_nan=False)
        file.write("\n")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
