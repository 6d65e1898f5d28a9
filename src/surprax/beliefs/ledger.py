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
        moved: KL divergence of the belief with it from that without it, in `unit`: how far it moves the belief; NaN where nothing
            is possible with it.
        towards: the hypothesis that gains most by it, by its label or index; None where nothing is possible with it.
        gain: by how much the surprise of that hypothesis falls, in `unit`; NaN where there is none.
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

    It is a `Belief`; what is added to it without a name goes into its `base`, also by `absorb`, which is no faster here than `+`.

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
        made = Ledger._made(base if isinstance(base, Belief) else Belief(base), ())
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

        Args:
            name: a string, by which it can be found again.
            evidence: a `Belief`, or an array with a surprise in nats for each hypothesis.
            weight: by which it is multiplied, finite and at least 0; a number, or one for each belief of a batch.

        Raises:
            ValueError: where there is one of that name already, where weights are negative or not finite, and where the evidence
                is about other hypotheses.
            TypeError: where the name, evidence or weight is something else.
        """
        if not isinstance(name, str):
            raise TypeError(f"A contribution is named by a string; got {name!r}.")
        if name in self.contributions:
            raise ValueError(
                f"Contributions have different names; there is a {name!r} already. Take it away first: without({name!r})."
            )
        evidence = self._as_belief(evidence)
        if evidence is NotImplemented:
            raise TypeError("Evidence is a Belief, or an array with a surprise in nats for each hypothesis.")
        return Ledger._made(self.base, (*self._contributions, (name, evidence, _checked_weight(name, weight))))

    def without(self, *names: str) -> "Ledger":
        """All but some of the contributions; what only these have excluded is possible again."""
        for name in names:
            self._check(name)
        return Ledger._made(self.base, tuple(one for one in self._contributions if one[0] not in names))

    def reweighted(self, name: str, weight: Any) -> "Ledger":
        """With another weight for one contribution: 0 leaves of it what it excludes."""
        self._check(name)
        weight = _checked_weight(name, weight)
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
        t = _as_factor(t)
        return Ledger._made(base, tuple((name, evidence, weight * t) for name, evidence, weight in self._contributions))

    __rmul__ = __mul__

    def absorb(self, surprise: Any) -> "Ledger":
        """Add evidence to the base, as `+` does: a ledger keeps what it is made of, so nothing is used up, and nothing saved."""
        return self + Belief(surprise)

    def recentred(self) -> "Ledger":
        """The same ledger with the least excess of its base at 0."""
        return Ledger._made(self.base.recentred(), self._contributions)

    # What it says.

    def contribution(self, name: str, unit: Unit = "bit") -> Contribution:
        """What one piece of evidence does, given all the others; for a single belief."""
        self._check(name)
        if self.batch_shape:
            raise ValueError(
                f"Contributions are told of one belief; this is a batch of shape {self.batch_shape}. Take one of them."
            )
        before = self.without(name)
        named = range(self.number) if self.labels is None else self.labels
        gone = np.isposinf(np.asarray(self.excess)) & ~np.isposinf(np.asarray(before.excess))
        towards, gain = None, math.nan
        if not self.contradiction:
            with np.errstate(invalid="ignore"):  # impossible with and without it
                fallen = np.asarray(before.surprise(unit), np.float64) - np.asarray(self.surprise(unit), np.float64)
            most = int(np.argmax(fallen := np.where(np.isnan(fallen), 0.0, fallen)))
            towards, gain = named[most], float(fallen[most])
        return Contribution(
            name,
            float(self.weights[name]),
            float(self.kl(before, unit)),
            towards,
            gain,
            tuple(named[int(i)] for i in np.flatnonzero(gone)),
            unit,
        )

    def table(self, unit: Unit = "bit") -> str:
        """All contributions, in words: how far each moves the belief, and towards what.

        >>> print(Belief.uniform(["a", "b"]).update("not a", [np.inf, 0.0]).update("not b", [0.0, np.inf]).table())
        evidence  weight  bits  towards
        not a          1     –  contradicts the rest; excludes a
        not b          1     –  contradicts the rest; excludes b
        """
        rows: list[Sequence[str]] = [("evidence", "weight", f"{unit}s", "towards")]
        for name in self.contributions:
            one = self.contribution(name, unit)
            moved = "–" if math.isnan(one.moved) else f"{one.moved:.3g}" if one.moved > 0.0005 else "0"
            if one.towards is None:
                towards = "contradicts the rest" if one.excludes else "the rest contradicts itself"
            else:
                towards = f"{one.towards}" if one.gain <= 0.005 else f"{one.towards}, {one.gain:.3g} {unit}s"
            if one.excludes:
                more = f" and {len(one.excludes) - 3} more" * (len(one.excludes) > 3)
                towards += f"; excludes {', '.join(map(str, one.excludes[:3]))}{more}"
            rows.append((name, f"{one.weight:g}", moved, towards))
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d}" for a, b, c, d in rows]
        return "\n".join(line.rstrip() for line in lines)

    # Files.

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write base, contributions and weights to a file, all of it or nothing; labels have to be strings, numbers, or tuples of
        them.

        A NumPy archive of plain arrays and one JSON text; nothing in it is executed when it is read.
        """
        for label in self.labels or ():
            if not _is_plain(label):
                raise ValueError(
                    f"Labels are written as text or numbers, or tuples of them; this belief has {label!r}. Give it labels of that"
                    " kind."
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
                labels = None if header["labels"] is None else _as_tuples(header["labels"])
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
        base, *others = (Belief._beyond(s, np.sum(constant, axis=0, dtype=np.float64), labels) for s, constant in parts)
        return Ledger._made(base, tuple(zip(names, others, weights)))

    def __repr__(self) -> str:
        names = ", ".join(self.contributions) or "nothing yet"
        return f"{super().__repr__().replace('Belief(', 'Ledger(', 1)[:-1]}; by {names})"


def _checked_weight(name: str, weight: Any) -> Any:
    """A number or an array of them; an error where they cannot be weights."""
    if is_traced(weight):
        return _as_factor(weight)
    known = np.asarray(weight)
    if known.dtype.kind not in "biuf":
        raise TypeError(
            f"Evidence is weighed by a number, or by one for each belief of a batch; got {weight!r} for {name!r}."
        )
    if not np.all(np.isfinite(known) & (known >= 0)):
        raise ValueError(f"Evidence is weighed by finite numbers of at least 0; got {weight} for {name!r}.")
    return _as_factor(weight)


def _as_factor(t: Any) -> Any:
    """Lists as arrays, which they are multiplied as."""
    if not isinstance(t, (list, tuple)):
        return t
    return jnp.asarray(t) if is_traced(t) else np.asarray(t)


def _is_plain(label: Any) -> bool:
    return isinstance(label, str | int | float) or (isinstance(label, tuple) and all(map(_is_plain, label)))


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value
