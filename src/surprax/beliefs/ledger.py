"""Beliefs that remember where they come from: named contributions, each of which can be shown, weighed anew and taken away.

    belief = base + Σ weight · contribution

The sum is made of what is kept, and not by taking away from the total: what one contribution has excluded is possible again
without it, and the order in which evidence came does not matter.
"""

import json
import math
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surprax.beliefs.finite import Belief
from surprax.files import replaced
from surprax.numerics.precision import is_traced
from surprax.units import Unit

__all__ = ["Contribution", "Ledger"]

FORMAT, VERSION = "surprax ledger", 1


@dataclass(frozen=True)
class Contribution:
    """What one piece of evidence does to a belief that has all the others.

    Attributes:
        name: of the evidence.
        weight: by which its surprise is multiplied.
        moved: KL divergence of the belief with it from that without it, in `unit`: how far it moves the belief; +inf where it takes
            away an exclusion that nothing else makes.
        towards: the hypothesis that gains most by it, by its label or index.
        gain: by how much the surprise of that hypothesis falls, in `unit`.
        excludes: the hypotheses that it makes impossible.
        unit: of `moved` and `gain`.
    """

    name: str
    weight: float
    moved: float
    towards: Any
    gain: float
    excludes: tuple[Any, ...]
    unit: Unit


@jax.tree_util.register_pytree_with_keys_class
class Ledger(Belief):
    """A belief with its named contributions; made by `Belief.update`.

    It is a `Belief`; what is added to it without a name goes into its `base`.

    Args:
        base: what there was before, a prior for example.
        contributions: by name, evidence and its weight.

    >>> coin = Belief.uniform(["fair", "two-headed"])
    >>> book = coin.update("head", [0.6931, 0.0]).update("tail", [0.6931, float("inf")])
    >>> print(book.probabilities(), book.without("tail").probabilities().round(3))
    [1. 0.] [0.333 0.667]
    >>> print(book.table("bit"))
    evidence  weight  bits  towards
    head           1     0  fair
    tail           1  1.58  fair, 1.58 bits; excludes two-headed
    """

    base: Belief
    _contributions: tuple[tuple[str, Belief, Any], ...]

    def __init__(self, base: Belief, contributions: Mapping[str, tuple[Any, Any]] | None = None) -> None:
        made = Ledger._made(base, ())
        for name, (evidence, weight) in (contributions or {}).items():
            made = made.update(name, evidence, weight)
        self.__dict__.update(made.__dict__)

    @classmethod
    def _made(cls, base: Belief, contributions: tuple[tuple[str, Belief, Any], ...]) -> "Ledger":
        total = base
        for _, evidence, weight in contributions:
            total = total + evidence * weight
        made = object.__new__(cls)
        made.excess, made._constant, made.labels = total.excess, total._constant, total.labels
        made.base, made._contributions = base, contributions
        return made

    def tree_flatten_with_keys(self) -> tuple[Any, Any]:
        key = jax.tree_util.GetAttrKey
        parts = tuple((evidence, weight) for _, evidence, weight in self._contributions)
        names = tuple(name for name, _, _ in self._contributions)
        own = (self.excess, self._constant)
        return ((key("base"), self.base), (key("parts"), parts), (key("own"), own)), (names, self.labels)

    @classmethod
    def tree_unflatten(cls, static: Any, children: Any) -> "Ledger":
        (names, labels), (base, parts, own) = static, children
        made = object.__new__(cls)
        (made.excess, made._constant), made.labels, made.base = own, labels, base
        made._contributions = tuple((name, *part) for name, part in zip(names, parts))
        return made

    @property
    def contributions(self) -> Mapping[str, Belief]:
        """Evidence by name, as it was given; in the order in which it came."""
        return MappingProxyType({name: evidence for name, evidence, _ in self._contributions})

    @property
    def weights(self) -> Mapping[str, Any]:
        """By what the surprise of each contribution is multiplied."""
        return MappingProxyType({name: weight for name, _, weight in self._contributions})

    # Changes.

    def update(self, name: str, evidence: Any, weight: Any = 1.0) -> "Ledger":
        """Another contribution.

        Raises:
            ValueError: where there is one of that name already.
        """
        if name in self.contributions:
            raise ValueError(
                f"Contributions have different names; there is a {name!r} already. Take it away first: without({name!r})."
            )
        evidence = self._as_belief(evidence)
        if evidence is NotImplemented:
            raise TypeError("Evidence is a Belief, or an array with a surprise in nats for each hypothesis.")
        self._fits(evidence)
        if not is_traced(weight) and not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"Evidence is weighed by finite numbers of at least 0; got {weight} for {name!r}.")
        return Ledger._made(self.base, (*self._contributions, (name, evidence, weight)))

    def without(self, *names: str) -> "Ledger":
        """All but some of the contributions; what only these have excluded is possible again."""
        for name in names:
            self._check(name)
        return Ledger._made(self.base, tuple(one for one in self._contributions if one[0] not in names))

    def reweighted(self, name: str, weight: Any) -> "Ledger":
        """With another weight for one contribution: 0 leaves of it what it excludes."""
        self._check(name)
        if not is_traced(weight) and not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"Evidence is weighed by finite numbers of at least 0; got {weight} for {name!r}.")
        return Ledger._made(self.base, tuple((n, e, weight if n == name else w) for n, e, w in self._contributions))

    def _check(self, name: str) -> None:
        if name not in self.contributions:
            there = ", ".join(map(repr, self.contributions)) or "none"
            raise KeyError(f"There is no contribution {name!r}; there are: {there}.")

    def __add__(self, other: Any) -> "Ledger":
        base = self.base + other
        return NotImplemented if base is NotImplemented else Ledger._made(base, self._contributions)

    __radd__ = __add__

    def __sub__(self, other: Any) -> "Ledger":
        base = self.base - other
        return NotImplemented if base is NotImplemented else Ledger._made(base, self._contributions)

    def __mul__(self, t: Any) -> "Ledger":
        base = self.base * t
        if base is NotImplemented:
            return NotImplemented
        return Ledger._made(base, tuple((name, evidence, weight * t) for name, evidence, weight in self._contributions))

    __rmul__ = __mul__

    # What it says.

    def contribution(self, name: str, unit: Unit = "bit") -> Contribution:
        """What one piece of evidence does, given all the others; for a single belief."""
        self._check(name)
        if self.batch_shape:
            raise ValueError(
                f"Contributions are told of one belief; this is a batch of shape {self.batch_shape}. Take one of them."
            )
        before = self.without(name)
        with np.errstate(invalid="ignore"):  # impossible with and without it
            fallen = np.asarray(before.surprise(unit), np.float64) - np.asarray(self.surprise(unit), np.float64)
        fallen = np.where(np.isnan(fallen), 0.0, fallen)
        gains = int(np.argmax(fallen))
        gone = np.isposinf(np.asarray(self.excess)) & ~np.isposinf(np.asarray(before.excess))
        named = range(self.number) if self.labels is None else self.labels
        return Contribution(
            name,
            float(self.weights[name]),
            float(self.kl(before, unit)),
            named[gains],
            float(fallen[gains]),
            tuple(named[int(i)] for i in np.flatnonzero(gone)),
            unit,
        )

    def table(self, unit: Unit = "bit") -> str:
        """All contributions, in words: how far each moves the belief, and towards what."""
        rows: list[Sequence[str]] = [("evidence", "weight", f"{unit}s", "towards")]
        for name in self.contributions:
            one = self.contribution(name, unit)
            towards = f"{one.towards}" if one.gain <= 0.005 else f"{one.towards}, {one.gain:.3g} {unit}s"
            if one.excludes:
                more = f" and {len(one.excludes) - 3} more" * (len(one.excludes) > 3)
                towards += f"; excludes {', '.join(map(str, one.excludes[:3]))}{more}"
            rows.append((name, f"{one.weight:g}", f"{one.moved:.3g}" if one.moved > 0.0005 else "0", towards))
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d}" for a, b, c, d in rows]
        return "\n".join(line.rstrip() for line in lines)

    # Files.

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write base, contributions and weights to a file, all of it or nothing; labels have to be strings or numbers.

        A NumPy archive of plain arrays and one JSON text; nothing in it is executed when it is read.
        """
        if self.labels is not None and not all(isinstance(label, str | int | float | bool) for label in self.labels):
            raise ValueError(
                "Labels are written as text or numbers; this belief has others. Give it labels of that kind."
            )
        header = {
            "format": FORMAT,
            "version": VERSION,
            "labels": self.labels,
            "names": list(self.contributions),
            "weights": [np.asarray(weight).tolist() for weight in self.weights.values()],
        }
        arrays: dict[str, Any] = {"header": np.array(json.dumps(header))}
        for i, one in enumerate((self.base, *self.contributions.values())):
            arrays |= {
                f"excess_{i}": np.asarray(one.excess),
                f"constant_{i}": np.stack([np.asarray(c) for c in one._constant]),
            }
        with replaced(path) as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> "Ledger":
        """Read what `save` wrote."""
        try:
            with np.load(path, allow_pickle=False) as archive:
                header = json.loads(str(archive["header"]))
                if header["format"] != FORMAT:
                    raise KeyError("format")
                version, names, weights = header["version"], header["names"], header["weights"]
                labels = None if header["labels"] is None else tuple(header["labels"])
                parts = [(archive[f"excess_{i}"], archive[f"constant_{i}"]) for i in range(1 + len(names))]
        except FileNotFoundError:
            raise
        except (OSError, ValueError, zipfile.BadZipFile, KeyError, TypeError, EOFError) as error:
            raise ValueError(f"{os.fspath(path)} is not a file that Ledger.save wrote ({error}).") from error
        if version > VERSION:
            raise ValueError(
                f"{os.fspath(path)} was written by a later version of surprax (format {version}, this one reads {VERSION}). Update"
                " surprax to read it."
            )
        base, *others = (_read(excess, constant, labels) for excess, constant in parts)
        return Ledger._made(base, tuple(zip(names, others, weights)))

    def __repr__(self) -> str:
        names = ", ".join(self.contributions) or "nothing yet"
        return f"{super().__repr__().replace('Belief(', 'Ledger(', 1)[:-1]}; by {names})"


def _read(excess: np.ndarray, constant: np.ndarray, labels: tuple[Any, ...] | None) -> Belief:
    high, low = jnp.asarray(constant)
    return Belief._of((jnp.asarray(excess), (high, low)), labels)
