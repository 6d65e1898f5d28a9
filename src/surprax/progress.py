"""Progress bars for long work: drawn on standard error, where there is someone to see them, and not for what is done soon."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

__all__ = ["PATIENCE", "progress_bar"]

PATIENCE = 2.0
"""Seconds of work that goes without a bar."""


@contextlib.contextmanager
def progress_bar(title: str, progress: bool | None, patience: float = 0.0) -> Iterator[Callable[..., None]]:
    """A function of the fraction that is done, and of a note, that moves a bar once `patience` seconds have passed.

    Args:
        title: what is done, for people.
        progress: whether to draw; None for where standard error is a terminal.
        patience: in seconds.

    >>> with progress_bar("counting", progress=False) as advance:
    ...     advance(0.5, "halfway")
    """
    if not (sys.stderr.isatty() if progress is None else progress):
        yield lambda fraction, note="": None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    began = time.perf_counter()
    with contextlib.ExitStack() as stack:
        bar = Progress(*columns, console=Console(stderr=True))
        task = bar.add_task(escape(title), total=1.0)
        drawn = False

        def advance(fraction: float, note: str = "") -> None:
            nonlocal drawn
            if not drawn and time.perf_counter() - began >= patience:
                stack.enter_context(bar)
                drawn = True
            bar.update(task, completed=fraction, description=escape(f"{title}{note}"))

        if patience <= 0.0:
            advance(0.0)
        yield advance
