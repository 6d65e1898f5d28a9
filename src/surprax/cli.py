"""The command line: `surprax play FILE` and what goes with it. Every failure is one sentence and exit status 2."""

import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from surprax.data import DataError, Table, datasets, read_columns
from surprax.families.catalogue import by_name, players
from surprax.game import Scoreboard, play
from surprax.game.report import renderable
from surprax.game.scoreboard import save_boards
from surprax.programs import keep_programs

__all__ = ["app", "main"]

app = typer.Typer(
    name="surprax",
    help="Which distribution is least surprised by your data?",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class Unit(StrEnum):
    """Units by name, for the parser of options."""

    bit = "bit"
    nat = "nat"
    ban = "ban"
    deciban = "deciban"


class Kind(StrEnum):
    """Kinds of families by name, for the parser of options."""

    auto = "auto"
    discrete = "discrete"
    continuous = "continuous"


EXAMPLES: tuple[tuple[str, str, str], ...] = (
    ("doctor_visits", "visits", "auto"),
    ("strikes", "duration", "continuous"),
    ("treasury_bills", "change", "auto"),
    ("engel", "income", "auto"),
    ("nile", "volume", "continuous"),
)
"""Bundled data sets that `surprax examples` plays on, the column of each, and the kind of families.

Days and flows are measured, even where they are written down as whole numbers.
"""


def main() -> None:
    """Entry point: run the command line, and say failures in one sentence."""
    try:
        app(standalone_mode=False)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except Exception as error:
        # click's own usage errors know how to show themselves; they too exit with 2.
        if hasattr(error, "format_message"):
            _fail(error.format_message())
        if isinstance(error, ValueError | OSError):
            _fail(str(error))
        raise
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(sentence: str) -> None:
    sentence = " ".join(sentence.split())
    print(f"surprax: {sentence}" + ("" if sentence.endswith((".", "?", "!")) else "."), file=sys.stderr)
    sys.exit(2)


def _version(wanted: bool) -> None:
    if wanted:
        from surprax import __version__

        print(f"surprax {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


@app.command("play")
def play_command(
    file: Annotated[Path, typer.Argument(help="CSV, TSV, Parquet or Arrow file.", show_default=False)],
    column: Annotated[
        list[str] | None,
        typer.Option("--column", "-c", help="Column to play on; may be repeated. Default: all of numbers."),
    ] = None,
    by: Annotated[str | None, typer.Option("--by", help="Column of labels: play within each group.")] = None,
    families: Annotated[str, typer.Option("--families", "-f", help="Names with commas between them, or all.")] = "all",
    unit: Annotated[Unit, typer.Option("--unit", "-u", help="Unit of surprise.")] = Unit.bit,
    folds: Annotated[int, typer.Option("--folds", "-k", min=2, help="Folds of the cross-validation.")] = 10,
    kind: Annotated[
        Kind, typer.Option("--kind", help="Rank discrete or continuous families; auto: the data decide.")
    ] = Kind.auto,
    plot: Annotated[Path | None, typer.Option("--plot", "-p", help="Write a picture here (PNG, PDF or SVG).")] = None,
    json: Annotated[Path | None, typer.Option("--json", "-j", help="Write the boards here.")] = None,
    drop_missing: Annotated[
        bool, typer.Option("--drop-missing", help="Leave missing values out instead of refusing them.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Rank probability families by how little they are surprised by a column of data."""
    keep_programs()
    players: Any = (
        "all" if families.strip().lower() == "all" else [by_name(name) for name in families.split(",") if name.strip()]
    )
    for target in (plot, json):
        if target is not None and not target.parent.is_dir():
            raise DataError(f"There is no folder {str(target.parent)!r} to write {target.name!r} to: make it first")
    table = read_columns(file, column, labels=() if by is None else by, drop_missing=drop_missing)
    boards = _boards(table, column, by, players, unit.value, folds, kind.value, None if not quiet else False)
    console = Console(highlight=False)
    if sys.stdout.isatty() is False:
        console = Console(highlight=False, width=int(os.environ.get("COLUMNS", 80)), color_system=None)
    for number, board in enumerate(boards):
        if number:
            console.print()
        console.print(renderable(board))
    written = _pictures(boards, plot) if plot is not None else []
    if json is not None:
        save_boards(boards, json)
        written.append(json)
    if written:
        console.print("\nWrote " + ", ".join(str(path) for path in written) + ".", soft_wrap=True)


def _boards(
    table: Table,
    named: Sequence[str] | None,
    by: str | None,
    players: Any,
    unit: Any,
    folds: int,
    kind: str,
    progress: bool | None,
) -> list[Scoreboard]:
    boards = []
    left_out = [f"{name}: it {reason}" for name, reason in table.passed_over.items()]
    for name in [name for name in table if name != by]:
        cut = table.aligned(name, by) if by is not None else table.aligned(name)
        values = cut[name]
        if len(values) and values.values.min() == values.values.max():
            told = f"holds {values.values[0]:g} in all of its {len(values):,} rows: there is nothing to tell families apart by"
            if named:
                raise DataError(f"Column {name!r} of {table.source} {told}")
            left_out.append(f"{name}: it {told}")
            continue
        boards.append(
            play(
                players,
                values,
                by=None if by is None else cut[by].values,
                name=name,
                unit=unit,
                folds=folds,
                kind=kind,
                progress=progress,
            )
        )
    if not boards:
        raise DataError(f"{table.source} has no column to play on: " + "; ".join(left_out))
    if unranked := [board for board in boards if not board.entries]:
        reasons = "; ".join(f"{d.name}: {d.reason}" for d in unranked[0].disqualified[:4])
        raise DataError(f"No family could be scored on column {unranked[0].name!r} of {table.source}: {reasons}")
    if left_out and not named:
        for reason in left_out:
            print(f"Passed over {reason}.", file=sys.stderr)
    return boards


def _pictures(boards: Sequence[Scoreboard], path: Path) -> list[Path]:
    """One picture per board, numbered by column and group where there are several."""
    singles = [
        (b.name, b) for board in boards for b in (board.groups.values() if board.groups else [board]) if b.entries
    ]
    apart = [path.with_name(f"{path.stem}-{_slug(name)}{path.suffix}") for name, _ in singles]
    targets = apart if len(singles) > 1 else [path]
    for target, (_, board) in zip(targets, singles):
        board.plot(path=target)
    return targets


def _slug(name: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in name).split()) or "column"


@app.command("examples")
def examples_command(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pictures; made if it is not there.")] = Path(
        "play"
    ),
) -> None:
    """Play on the bundled data sets, and write a picture for each."""
    keep_programs()
    out.mkdir(parents=True, exist_ok=True)
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=80, color_system=None)
    written = []
    for name, column, kind in EXAMPLES:
        table = datasets.load(name)
        console.rule(style="dim", characters="─")
        console.print(datasets.describe(name).splitlines()[0])
        console.print()
        board = play("all", table[column], kind=kind, name=column)
        console.print(renderable(board))
        path = out / f"{name}.png"
        board.plot(path=path)
        written.append(path)
    console.rule(style="dim", characters="─")
    console.print("Pictures (data and the best families, as density and as surprise):")
    for path in written:
        console.print(f"  {path}", soft_wrap=True)


@app.command("families")
def families_command() -> None:
    """List the families that can play."""
    for name, family in players().items():
        summary = (family.__doc__ or "").strip().splitlines()[0]
        print(f"{name:<18} {'discrete' if family.discrete else 'continuous':<11} {summary}"[:110])
