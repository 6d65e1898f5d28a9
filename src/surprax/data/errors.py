"""The one error of this layer, and the words its sentences are made of."""

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

__all__ = ["DataError", "Origin", "are", "it", "no_rows", "no_such_column", "quoted", "shortened"]


class DataError(ValueError):
    """Data that cannot be used as they are; its text is one sentence: what is needed, what was found where, a remedy.

    >>> from surprax.data import as_column
    >>> try:
    ...     as_column([1.0, None], "waiting")
    ... except DataError as error:
    ...     print(str(error).partition(";")[0])
    waiting must have no missing values: 1 of 2 is missing, first at waiting[1]
    """


@dataclass(frozen=True)
class Origin:
    """Where values come from, in words: what the whole is called, how one row of it is pointed at, its decimal sign."""

    what: str
    place: Callable[[int], str]
    decimal: str = "."

    @classmethod
    def argument(cls, name: str) -> "Origin":
        """Values handed over in memory: row 3 of `x` is `x[3]`."""
        return cls(name, lambda row: f"{name}[{row}]")


def are(count: int) -> str:
    """`is` for one, `are` for any other number of things."""
    return "is" if count == 1 else "are"


def it(count: int) -> str:
    """`it` for one, `them` for any other number of things."""
    return "it" if count == 1 else "them"


def shortened(value: object, most: int = 30) -> str:
    """The repr of a value, cut so that a sentence about it stays a sentence."""
    text = str(value) if not isinstance(value, str) else value
    text = text if len(text) <= most else text[: most - 1] + "…"
    return repr(text) if isinstance(value, str) else text


def quoted(names: Iterable[str], most: int = 6) -> str:
    """Names in quotes, the first few of them and how many more there are."""
    names = list(names)
    shown = ", ".join(shortened(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def no_rows(whose: str) -> DataError:
    """The refusal of a file that has columns but no rows."""
    return DataError(f"{whose} must hold rows: it has column names and nothing below")


def no_such_column(name: str, existing: Sequence[str], whose: str) -> DataError:
    """The refusal of a name that is not there: the closest one, and which there are."""
    if not existing:
        return DataError(f"{whose} has no column {shortened(str(name))}: it has no columns at all")
    by_lower = {other.strip().lower(): other for other in existing}
    near = difflib.get_close_matches(str(name).strip().lower(), by_lower, n=1)
    hint = f"did you mean {by_lower[near[0]]!r}? " if near else ""
    return DataError(f"{whose} has no column {shortened(str(name))}: {hint}it has {quoted(existing)}")
