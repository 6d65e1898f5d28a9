"""A scoreboard as a table that fits a terminal of 80 columns, or a notebook."""

import html
import io
from typing import Any

import numpy as np
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from surprax.game.scoreboard import Entry, Scoreboard

__all__ = ["render", "renderable", "to_html"]


def render(board: Scoreboard, width: int = 80) -> str:
    """The board as plain text."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False, legacy_windows=False)
    console.print(renderable(board))
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().rstrip().splitlines())


def renderable(board: Scoreboard) -> Group:
    """The board for a rich console, which decides on colours and width."""
    how = f"{board.folds}-fold cross-validation" if board.rows > board.folds else "leave-one-out"
    by = f", {len(board.groups)} groups" if board.groups else ""
    parts: list[Any] = [Text(f"{board.name}: {board.rows:,} rows{by}, {board.kind}; {how}", style="bold")]
    if board.entries:
        parts += [Text(), _ranking(board), Text(), _fits(board)]
    else:
        parts += [Text("No player could be scored.", style="bold")]
    if board.disqualified:
        parts.append(Text("\nNot ranked:"))
        parts.append(_unranked(board))
    parts += [Text(note) for note in board.notes]
    return Group(*parts)


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")


def _ranking(board: Scoreboard) -> Table:
    table = _table()
    unit = board.unit
    table.add_column("", justify="right")
    table.add_column("player", overflow="fold")
    table.add_column(f"{unit}s/row", justify="right")
    table.add_column("behind", justify="right")
    table.add_column("± s.e.", justify="right")
    table.add_column(f"in-sample {unit}s", justify="right")
    table.add_column("worst", justify="right")
    table.add_column("at row", justify="right")
    for rank, e in enumerate(board.entries, 1):
        first = rank == 1
        table.add_row(
            str(rank),
            _short(e.name, 26),
            _per_row(board.in_unit(e.held_out)),
            "" if first else _per_row(board.in_unit(e.behind)),
            "" if first else _per_row(board.in_unit(e.behind_error)),
            _number(board.in_unit(e.total), 1),
            _number(board.in_unit(e.worst), 1),
            str(e.worst_row),
            style="bold" if first else None,
        )
    return table


def _fits(board: Scoreboard) -> Table:
    table = _table()
    table.add_column("player", overflow="fold")
    table.add_column("parameters", ratio=1, overflow="fold")
    table.add_column("AIC", justify="right")
    table.add_column("BIC", justify="right")
    table.add_column("seconds", justify="right")
    for e in board.entries:
        table.add_row(_short(e.name, 26), _parameters(e), _number(e.aic, 1), _number(e.bic, 1), f"{e.seconds:.2f}")
    return table


def _unranked(board: Scoreboard) -> Table:
    """Who did not play, by reason."""
    by_reason: dict[str, list[str]] = {}
    for d in board.disqualified:
        by_reason.setdefault(d.reason, []).append(d.name)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2), show_header=False)
    table.add_column(ratio=2, overflow="fold")
    table.add_column(ratio=3, overflow="fold")
    for reason, names in by_reason.items():
        table.add_row(", ".join(names), f"{reason}.")
    return table


def _parameters(e: Entry) -> str:
    if e.distribution is None:
        return f"{e.free} fitted, by group"

    def told(value: Any) -> str:
        array = np.asarray(value)
        return f"{array.item():.4g}" if array.ndim == 0 else f"[{len(array)} values]"

    return ", ".join(f"{name} {told(value)}" for name, value in e.parameters.items())


def _per_row(value: float) -> str:
    """Four digits after the point, fewer where so many stand before it that nobody counts them."""
    return _number(value, 4 if abs(value) < 100 else 1)


def _number(value: float, decimals: int) -> str:
    if np.isnan(value):
        return ""
    if not np.isfinite(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:.{decimals}f}" if abs(value) < 10 ** (9 - decimals) else f"{value:.4g}"


def _short(name: str, width: int) -> str:
    return name if len(name) <= width else name[: width - 1] + "…"


def to_html(board: Scoreboard) -> str:
    """The board for a notebook."""
    return f"<pre>{html.escape(render(board, width=100))}</pre>"
