"""A bar on the terminal while chains are drawn."""

import contextlib
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["Bar", "progress_bar"]


class Bar:
    """Counts iterations of all chains together; threads may share it."""

    def __init__(self, bar: Progress | None = None, task: Any = None) -> None:
        self._bar, self._task, self._diverging = bar, task, 0

    def advance(self, count: int, diverging: int = 0) -> None:
        """`count` iterations more, of which so many diverged."""
        if self._bar is not None:
            self._diverging += diverging
            note = f"{self._diverging:,} diverged" if self._diverging else ""
            self._bar.update(self._task, advance=count, note=note)


@contextlib.contextmanager
def progress_bar(name: str, total: int, shown: bool) -> Iterator[Bar]:
    """A bar on stderr, if that is a terminal or a notebook, that goes when it is done; a silent one where it is not to be shown."""
    console = Console(stderr=True)
    if not shown or not (console.is_terminal or console.is_jupyter):
        yield Bar()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield Bar(bar, bar.add_task(name, total=total, note=""))
