"""Evidence: what n observations say, as a vector that adds."""

import abc
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import jax
import numpy as np

from surprax.files import replaced

__all__ = ["Evidence", "register_family"]

_FAMILIES: dict[str, type] = {}
_KINDS: dict[str, type["Evidence"]] = {}
FORMAT, VERSION = "surprax evidence", 1


def register_family(family: type) -> None:
    """Make a family known to `Evidence.load` by its name."""
    _FAMILIES[family.__name__] = family


class Evidence(abc.ABC):
    """What observations say to a family: the only thing about them that its likelihood depends on.

    Evidence adds (`+`: more observations), subtracts (`-`: take some away), scales (`* t`: weights, tempering, forgetting), and
    batches: evidence of groups is one object with a leading axis. Its size does not depend on the number of observations. All of
    it is accumulated in float64 whatever JAX's default precision.

    Made by `Family.evidence(x)`; `fit()` gives the distribution at its maximum, `log_likelihood(q)` the total log-likelihood of a
    distribution, `save`/`load` a plain text file.
    """

    kind: ClassVar[str]
    family: Any
    count: Any
    known: Mapping[str, Any]
    labels: tuple[Any, ...] | None

    def __init_subclass__(cls, kind: str, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.kind = kind
        _KINDS[kind] = cls

    # What each kind supplies.

    @abc.abstractmethod
    def _arrays(self) -> dict[str, Any]:
        """The arrays that make it up, by name (with `count` first)."""

    def _document(self) -> dict[str, Any]:
        """The arrays as they are written to a file."""
        return self._arrays()

    @abc.abstractmethod
    def _replace(self, **changes: Any) -> Self: ...

    @abc.abstractmethod
    def _merge(self, other: Self) -> Self: ...

    @abc.abstractmethod
    def _remove(self, other: Self) -> Self: ...

    @abc.abstractmethod
    def total(self) -> Self:
        """The sum over the leading axis (over groups, or folds)."""

    @abc.abstractmethod
    def __getitem__(self, index: Any) -> Self: ...

    @abc.abstractmethod
    def __mul__(self, factor: Any) -> Self: ...

    @abc.abstractmethod
    def log_likelihood(self, distribution: Any) -> Any:
        """Total log-likelihood of a distribution, in nats."""

    @abc.abstractmethod
    def excess_surprise(self, distribution: Any) -> Any:
        """Surprise of a distribution beyond that of the fit, in nats."""

    # What all kinds share.

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """() for one body of evidence, (groups,) for evidence by group."""
        return np.shape(self.count)

    def __rmul__(self, factor: Any) -> Self:
        return self * factor

    def __add__(self, other: Any) -> Self:
        if isinstance(other, int) and other == 0:  # sum() starts from it
            return self
        if not isinstance(other, Evidence):
            return NotImplemented
        return _aligned(self, other, "add", lambda a, b: a._merge(b))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Self:
        if not isinstance(other, Evidence):
            return NotImplemented
        return _aligned(self, other, "subtract", lambda a, b: a._remove(b))

    def fit(self) -> Any:
        """The distribution at the maximum of the likelihood; raises `ValueError` and says why where there is none."""
        return self.family.fit(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to a JSON file (plain text, versioned, 17 digits), all of it or nothing (`surprax.files.replaced`)."""
        document = {
            "format": FORMAT,
            "version": VERSION,
            "kind": self.kind,
            "family": self.family.__name__,
            "known": {name: np.asarray(value).tolist() for name, value in self.known.items()},
            "labels": None if self.labels is None else list(self.labels),
            **{name: np.asarray(value, np.float64).tolist() for name, value in self._document().items()},
        }
        with replaced(path, "w") as file:
            json.dump(document, file, allow_nan=False)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> "Evidence":
        """Read what `save` wrote. Nothing in the file is executed."""
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"))
            kind, family = _KINDS[document["kind"]], document["family"]
            if document["format"] != FORMAT:
                raise KeyError("format")
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{os.fspath(path)} is not a file that Evidence.save wrote ({error}).") from error
        if document["version"] > VERSION:
            raise ValueError(
                f"{os.fspath(path)} has evidence of format version {document['version']}; this release reads up to {VERSION}."
                " Install a newer surprax."
            )
        if family not in _FAMILIES:
            raise ValueError(
                f"{os.fspath(path)} holds evidence for {family!r}, which is no family here; there are {sorted(_FAMILIES)}."
            )
        labels = document["labels"]
        return kind._from_document(
            _FAMILIES[family],
            {name: np.asarray(value, np.float64) for name, value in document["known"].items()},
            None if labels is None else tuple(labels),
            {
                n: np.asarray(v, np.float64)
                for n, v in document.items()
                if isinstance(v, list | float | int) and n not in ("version", "labels")
            },
        )

    @classmethod
    @abc.abstractmethod
    def _from_document(cls, family: Any, known: dict[str, Any], labels: Any, arrays: dict[str, Any]) -> Self: ...


def _aligned(a: Any, b: Any, verb: str, operation: Any) -> Any:
    """Refuse evidence that does not belong together, and bring groups into one order."""
    if a.family is not b.family or type(a) is not type(b):
        raise ValueError(
            f"Cannot {verb} evidence for {a.family.__name__} and for {b.family.__name__}: make both for one family."
        )
    if a.known.keys() != b.known.keys() or any(not _same(a.known[k], b.known[k]) for k in a.known):
        raise ValueError(
            f"Cannot {verb} evidence with different known parameters: {_told(a.known)} and {_told(b.known)}."
        )
    if a.labels != b.labels and a.labels is not None and b.labels is not None:
        union = (*a.labels, *(label for label in b.labels if label not in set(a.labels)))
        if verb == "subtract" and len(union) > len(a.labels):
            missing = union[len(a.labels)]
            raise ValueError(f"Cannot subtract evidence of group {missing!r}: there is none of it to take away from.")
        a, b = _expand(a, union), _expand(b, union)
    return operation(a, b)


def _expand(e: Any, labels: tuple[Any, ...]) -> Any:
    """Rows for `labels` in their order; groups that `e` lacks get no observations."""
    position = {label: i for i, label in enumerate(e.labels)}
    rows = np.array([position.get(label, -1) for label in labels])
    taken = e[np.maximum(rows, 0)]
    empty = taken * np.where(rows < 0, 0.0, 1.0)
    return empty._replace(labels=labels)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, jax.core.Tracer) or isinstance(b, jax.core.Tracer):
        return True
    return bool(np.array_equal(np.asarray(a), np.asarray(b)))


def _told(known: Mapping[str, Any]) -> str:
    return ", ".join(f"{k}={np.asarray(v).tolist()}" for k, v in known.items()) or "none"
