"""Small real data sets that come with the package; `bundled/README.md` gives source, licence and columns of each."""

import difflib
import re
from importlib import resources
from pathlib import Path

from surprax.data.errors import DataError
from surprax.data.tables import Table, read_columns

__all__ = ["describe", "load", "names", "path"]

_LABELS: dict[str, tuple[str, ...]] = {
    "doctor_visits": ("health",),
    "earthquakes": (),
    "engel": (),
    "nile": (),
    "o_rings": (),
    "states": ("state",),
    "strikes": (),
    "treasury_bills": (),
}


def names() -> tuple[str, ...]:
    """What data sets there are, in alphabetical order.

    >>> names()
    ('doctor_visits', 'earthquakes', 'engel', 'nile', 'o_rings', 'states', 'strikes', 'treasury_bills')
    """
    return tuple(_LABELS)


def load(name: str) -> Table:
    """A data set as a table: its columns of numbers, and its columns of labels.

    Raises `DataError` for a name that is not among `names()`.

    >>> visits = load("doctor_visits")["visits"].values
    >>> len(visits), round(float(visits.mean()), 2), round(float(visits.var()), 1)  # a Poisson's would be equal
    (10095, 2.86, 20.2)
    """
    return read_columns(path(name), labels=_LABELS[name])


def path(name: str) -> Path:
    """The CSV file of a data set, for whatever reads files.

    Raises `DataError` for a name that is not among `names()`.

    >>> path("nile").read_text().splitlines()[:2]
    ['year,volume', '1871,1120']
    """
    if name not in _LABELS:
        near = difflib.get_close_matches(str(name).lower(), _LABELS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise DataError(f"There is no bundled data set {name!r}: {hint}there are {', '.join(_LABELS)}")
    return Path(str(resources.files("surprax.data") / "bundled" / f"{name}.csv"))


def describe(name: str) -> str:
    """What a data set is, what its columns mean, where it comes from and under which licence, as Markdown.

    Raises `DataError` for a name that is not among `names()`.

    >>> print(describe("engel").splitlines()[0])
    A long right tail: yearly income and what of it went on food, of 235 Belgian working-class households in 1857.
    """
    text = path(name).with_name("README.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if section is None:
        raise DataError(f"README.md must describe {name!r} next to its file: it does not; install surprax anew")
    return section[1].strip()
