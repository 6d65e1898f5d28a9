"""Parameters by name, and the free numbers behind them that an optimiser moves.

    θ = values(z),      z ∈ ℝᵈ

Each parameter is an array whose elements lie in a domain; behind it lie numbers without bounds. Parameters may be fixed at a value,
or tied to another one; neither has numbers of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from surprax.estimate.checks import by_name, checked_label, finite_numbers
from surprax.estimate.transforms import REAL, Transform
from surprax.numerics.precision import float64_scope

__all__ = ["Coordinates", "Slot"]


NEAR_BORDER = 12.0
"""Free numbers beyond this are on the border but for e⁻¹²."""


@dataclass(frozen=True)
class Slot:
    """A parameter.

    Attributes:
        name: of the parameter.
        shape: of its value.
        transform: of its domain.
        free_shape: of the numbers behind it, the same as `shape` unless the transform says otherwise.
    """

    name: str
    shape: tuple[int, ...]
    transform: Transform = REAL
    free_shape: tuple[int, ...] | None = None

    @property
    def size(self) -> int:
        """How many free numbers there are."""
        return int(np.prod(self.shape if self.free_shape is None else self.free_shape, dtype=int))

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the elements: "scale", or "weights[0]", "weights[1]"."""
        if not self.shape:
            return (self.name,)
        return tuple(f"{self.name}[{', '.join(map(str, index))}]" for index in np.ndindex(*self.shape))


class Coordinates:
    """All parameters of a fit, and the vector of free numbers behind them.

    Args:
        slots: the parameters, in order.
        fixed: values of parameters that are held, by name.
        tied: names of parameters that have one value; the first of each group has the free numbers.

    Raises:
        KeyError: for names that are no parameters.
        ValueError: for values outside of domains, or parameters tied that differ in shape.
    """

    def __init__(
        self, slots: Sequence[Slot], fixed: Mapping[str, Any] | None = None, tied: Sequence[Sequence[str]] = ()
    ) -> None:
        self.slots = {slot.name: slot for slot in slots}
        self.fixed = {name: self._checked(name, value) for name, value in by_name(fixed, "fixed").items()}
        self.leader: dict[str, str] = {}
        for group in (tied, *tied):
            if isinstance(group, str):
                raise ValueError(f"tied is a list of groups of names, such as [('a', 'b')]; got {tied!r}.")
        for group in tied:
            first, *others = [self._known(name) for name in group]
            for name in others:
                one, other = self.slots[first], self.slots[name]
                if one.shape != other.shape or one.transform.words != other.transform.words:
                    raise ValueError(
                        f"Parameters that are tied have one shape and one domain; {first} has {one.shape} ({one.transform.words})"
                        f" and {name} {other.shape} ({other.transform.words})."
                    )
                if name in self.leader or name in self.fixed or first in self.leader:
                    raise ValueError(f"{name} is tied to {first}, and held or tied otherwise too; do one of these.")
                self.leader[name] = first
        self.free = [s for name, s in self.slots.items() if name not in self.fixed and name not in self.leader]
        self.size = sum(slot.size for slot in self.free)
        self.labels = tuple(label for slot in self.slots.values() for label in slot.labels)

    def holding(self, fixed: Mapping[str, Any] | None = None, tied: Sequence[Sequence[str]] = ()) -> "Coordinates":
        """The same parameters with others held or tied."""
        return Coordinates(list(self.slots.values()), fixed, tied)

    def _known(self, name: str) -> str:
        if name not in self.slots:
            raise KeyError(f"Parameters are {', '.join(self.slots)}; got {name!r}.")
        return name

    def _checked(self, name: str, value: Any) -> np.ndarray:
        slot = self.slots[self._known(name)]
        number = finite_numbers(value, f"Values at which {name} is held are")
        try:
            array = np.broadcast_to(number, slot.shape)
        except ValueError:
            raise ValueError(
                f"{name} has shape {slot.shape}; it cannot be held at values of shape {number.shape}."
            ) from None
        if not self._inside(slot, array):
            raise ValueError(f"{name} is {slot.transform.words}; it cannot be held at {np.asarray(value).tolist()}.")
        return array

    @staticmethod
    def _inside(slot: Slot, value: np.ndarray) -> bool:
        with float64_scope():
            return bool(np.all(np.isfinite(value))) and bool(
                np.all(np.isfinite(slot.transform.back(jnp.asarray(value))))
            )

    def values(self, z: Any) -> dict[str, Any]:
        """All parameters at free numbers z, shape (d,)."""
        out: dict[str, Any] = {}
        start = 0
        for slot in self.free:
            part = z[start : start + slot.size].reshape(slot.shape if slot.free_shape is None else slot.free_shape)
            out[slot.name] = slot.transform.forward(part)
            start += slot.size
        out |= {name: jnp.asarray(value) for name, value in self.fixed.items()}
        out |= {name: out[first] for name, first in self.leader.items()}
        return {name: out[name] for name in self.slots}

    def theta(self, z: Any) -> Any:
        """All elements of all parameters in one vector, in the order of `labels`."""
        return jnp.concatenate([jnp.ravel(value) for value in self.values(z).values()])

    def free_numbers(self, values: Mapping[str, Any]) -> np.ndarray:
        """z of the parameters; an error where one lies outside of its domain or on the border."""
        parts = [np.zeros(0)]
        for slot in self.free:
            value = np.broadcast_to(np.asarray(values[slot.name], np.float64), slot.shape)
            if not self._inside(slot, value):
                raise ValueError(
                    f"A climb starts inside of the domains: {slot.name} is {slot.transform.words}; got {value.tolist()}."
                )
            with float64_scope():
                parts.append(np.ravel(np.asarray(slot.transform.back(jnp.asarray(value)))))
        return np.concatenate(parts)

    def at_borders(self, z: np.ndarray) -> tuple[str, ...]:
        """Elements that have all but come to the border of their domain, by label."""
        out, start = [], 0
        for slot in self.free:
            part = z[start : start + slot.size]
            if slot.transform.elementwise and slot.transform != REAL:
                out += [label for label, one in zip(slot.labels, part) if abs(one) > NEAR_BORDER]
            start += slot.size
        return tuple(out)

    def place(self, label: str) -> int:
        """Where an element stands in θ."""
        return self.labels.index(checked_label(label, self.labels))

    def led_by(self, label: str, z: np.ndarray) -> tuple[Any, np.ndarray, int] | None:
        """Coordinates in which an element that depends on several free numbers is one itself, z in these, and its place; None where
        there are none such."""
        return None

    def coordinate(self, label: str) -> int | None:
        """Which free number alone an element depends on; None where it is held, or depends on several."""
        self.place(label)
        start = 0
        owner = next(slot for slot in self.slots.values() if label in slot.labels)
        leader = self.leader.get(owner.name, owner.name)
        for slot in self.free:
            if slot.name == leader:
                return start + owner.labels.index(label) if slot.transform.elementwise else None
            start += slot.size
        return None
