"""Coefficients under linear constraints, and the free numbers behind them.

b = a + B γ,      log extra = the last free number

Where columns are counted from near their means, b are the coefficients of these; parameters are told of the columns as they are.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.linalg

from surprax.estimate.checks import by_name, checked_label
from surprax.estimate.coordinates import NEAR_BORDER, Slot
from surprax.estimate.transforms import REAL, above
from surprax.regression.centring import Centring

__all__ = ["LinearCoordinates"]

TOLERANCE = 1e-10


class LinearCoordinates:
    """Named coefficients, with a positive extra parameter at the end if there is one.

    Args:
        names: of the coefficients.
        extra: name of the extra parameter; "" for none.
        fixed: values of coefficients (or of the extra parameter) that are held, by name.
        tied: groups of names of coefficients that have one value.
        equations: (E, e): E b = e, besides.
        centring: where columns are counted from; None where it is zero.

    Raises:
        KeyError: for names that are no parameters.
        ValueError: for constraints that contradict each other.
    """

    def __init__(
        self,
        names: Sequence[str],
        extra: str = "",
        fixed: Mapping[str, Any] | None = None,
        tied: Sequence[Sequence[str]] = (),
        equations: tuple[np.ndarray, np.ndarray] | None = None,
        centring: Centring | None = None,
    ) -> None:
        self.names, self.extra = tuple(names), extra
        self.labels = (*self.names, extra) if extra else self.names
        self._places = {name: i for i, name in enumerate(self.labels)}
        self.slots = {name: Slot(name, (), REAL) for name in self.names}
        if extra:
            self.slots[extra] = Slot(extra, (), above(0.0))
        self.fixed = {name: self._number(name, value) for name, value in by_name(fixed, "fixed").items()}
        self.equations, self.centring = equations, centring
        for group in (tied, *tied):
            if isinstance(group, str) or (group is not tied and len(group) < 2):
                raise ValueError(f"tied is a list of groups of names, such as [('x', 'z')]; got {tied!r}.")
        self._tied = [tuple(group) for group in tied]
        p = len(self.names)
        E, e = [], []
        for name, value in self.fixed.items():
            if name != extra:
                E.append(np.eye(p)[self.place(name)])
                e.append(float(value))
        for first, *others in self._tied:
            for other in others:
                if extra and extra in (first, other):
                    raise ValueError(f"Coefficients may be tied to each other; {extra} is none.")
                E.append(np.eye(p)[self.place(first)] - np.eye(p)[self.place(other)])
                e.append(0.0)
        if equations is not None:
            E += list(np.atleast_2d(np.asarray(equations[0], np.float64)))
            e += list(np.atleast_1d(np.asarray(equations[1], np.float64)))
        self.a: np.ndarray = np.zeros(p)
        self.B: np.ndarray | None = None
        if E:
            self.a, self.B = _solutions(self._counted(np.array(E)), np.array(e), self._units)
        self._leader = ("", -1)
        self.free_coefficients = p if self.B is None else self.B.shape[1]
        self.has_free_extra = bool(extra) and extra not in self.fixed
        self.size = self.free_coefficients + self.has_free_extra

    def _counted(self, E: np.ndarray) -> np.ndarray:
        return E if self.centring is None or E.shape[1] != len(self.names) else self.centring.equations(E)

    @property
    def _units(self) -> np.ndarray:
        p = len(self.names)
        return np.ones(p) if self.centring is None else self.centring.units(p)

    def _number(self, name: str, value: Any) -> np.ndarray:
        self.place(name)
        try:
            number = np.asarray(value, np.float64)
        except (TypeError, ValueError):
            number = np.asarray(np.nan)
        if number.ndim or not np.isfinite(number) or (name == self.extra and number <= 0):
            domain = "a number above 0" if name == self.extra else "a finite number"
            raise ValueError(f"{name} is {domain}; it cannot be held at {value!r}.")
        return number

    def holding(
        self, fixed: Mapping[str, Any] | None = None, tied: Sequence[Sequence[str]] = ()
    ) -> "LinearCoordinates":
        """The same parameters with others held or tied; equations stay."""
        return LinearCoordinates(self.names, self.extra, fixed, tied, self.equations, self.centring)

    @property
    def as_counted(self) -> "LinearCoordinates":
        """The same free numbers; parameters are those of the columns as they are counted."""
        if self.centring is None:
            return self
        out = copy.copy(self)
        out.centring = None
        return out

    def coefficients(self, z: np.ndarray) -> np.ndarray:
        """b, of columns as they are counted, shape (p,)."""
        part = z[: self.free_coefficients]
        return part if self.B is None else self.a + self.B @ part

    def log_extra(self, z: np.ndarray) -> float:
        """Logarithm of the extra parameter; 0 where there is none."""
        if not self.extra:
            return 0.0
        return float(z[-1]) if self.has_free_extra else float(np.log(self.fixed[self.extra]))

    def pulled_back(self, gradient: np.ndarray) -> np.ndarray:
        """Bᵀ of a gradient, or of anything that has the coefficients first."""
        return gradient if self.B is None else self.B.T @ gradient

    def theta(self, z: np.ndarray) -> np.ndarray:
        """All parameters in the order of `labels`."""
        b = self._told(self.coefficients(z))
        return np.append(b, np.exp(self.log_extra(z))) if self.extra else np.array(b)

    def slopes(self, z: np.ndarray) -> np.ndarray:
        """∂θ/∂z, shape (number of labels, size)."""
        out = np.zeros((len(self.labels), self.size))
        p, free = len(self.names), self.free_coefficients
        out[:p, :free] = self._told(np.eye(p) if self.B is None else self.B)
        if self.has_free_extra:
            out[-1, -1] = np.exp(z[-1])
        return out

    def _told(self, b: np.ndarray) -> np.ndarray:
        return b if self.centring is None else self.centring.told(b)

    def values(self, z: np.ndarray) -> dict[str, np.ndarray]:
        """All parameters by name."""
        return {name: np.asarray(value) for name, value in zip(self.labels, self.theta(np.asarray(z)))}

    def free_numbers(self, values: Mapping[str, Any]) -> np.ndarray:
        """z of parameters, as near to them as the constraints allow."""
        b = np.array([float(values[name]) for name in self.names])
        b = b if self.centring is None else self.centring.counted(b)
        if self.B is not None:
            b = np.linalg.lstsq(self.B, b - self.a, rcond=None)[0] if self.B.shape[1] else np.zeros(0)
        return np.append(b, np.log(float(values[self.extra]))) if self.has_free_extra else b

    def at_borders(self, z: np.ndarray) -> tuple[str, ...]:
        """The extra parameter, where it has all but come to 0 or infinity."""
        return (self.extra,) if self.has_free_extra and abs(z[-1]) > NEAR_BORDER else ()

    def place(self, label: str) -> int:
        """Where a parameter stands in θ."""
        if not isinstance(label, str) or label not in self._places:
            checked_label(label, self.labels)
        return self._places[label]

    def coordinate(self, label: str) -> int | None:
        """Which free number alone a parameter depends on; None where it depends on several, or on none."""
        i = self.place(label)
        if i == len(self.names):
            return self.size - 1 if self.has_free_extra else None
        if label == self._leader[0]:
            return self._leader[1]
        if self.B is None and self.centring is None:
            return i
        start, row = self._line(i)
        (used,) = np.nonzero(row)
        return int(used[0]) if len(used) == 1 and row[used[0]] == 1.0 and start == 0.0 else None

    def _line(self, i: int) -> tuple[float, np.ndarray]:
        """s and r of coefficient i = s + r·γ, as it is told."""
        row = np.zeros((1, len(self.names)))
        row[0, i] = 1.0
        (row,) = self._counted(row)
        if self.B is None:
            return float(row @ self.a), row
        line = row @ self.B
        rounding = TOLERANCE * (np.abs(row) @ np.abs(self.B))
        return float(row @ self.a), np.where(np.abs(line) > rounding, line, 0.0)

    def led_by(self, label: str, z: np.ndarray) -> tuple["LinearCoordinates", np.ndarray, int] | None:
        """Coordinates in which a coefficient that depends on several free numbers is one itself, in place of that which moves it
        most; z in these, and its place. None where it depends on none."""
        i = self.place(label)
        if i == len(self.names):
            return None
        start, row = self._line(i)
        if not np.any(row):
            return None
        B = np.eye(len(self.names)) if self.B is None else self.B
        k = int(np.argmax(np.abs(row) / np.max(np.abs(B) / self._units[:, None], axis=0)))
        whole = np.eye(len(row))  # γ of the new numbers
        whole[k] = -row / row[k]
        whole[k, k] = 1.0 / row[k]
        out, z = copy.copy(self), np.array(z)
        out.a, out.B, out._leader = self.a - B[:, k] * (start / row[k]), B @ whole, (label, k)
        z[k] = start + row @ z[: len(row)]
        return out, z, k


def _solutions(E: np.ndarray, e: np.ndarray, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a and B such that a + Bγ are the solutions of E b = e, with coefficients themselves as γ; units of b as they are natural."""
    p = len(units)
    if E.shape[1] != p:
        raise ValueError(f"Constraints have a column for each of {p} coefficients; got shape {E.shape}.")
    E = E * units
    scale = np.maximum(np.max(np.abs(E), axis=1), 1e-300)
    E, e = E / scale[:, None], e / scale
    Q, R, order = scipy.linalg.qr(E, pivoting=True)
    size = np.abs(np.diagonal(R))
    rank = int(np.sum(size > TOLERANCE * max(size[0], 1e-300))) if len(size) else 0
    target = Q.T @ e
    if np.any(np.abs(target[rank:]) > TOLERANCE * (1.0 + np.max(np.abs(e)))):
        raise ValueError(
            "Constraints must not contradict each other, and these do: no coefficients satisfy all of them."
        )
    held, free = order[:rank], np.sort(order[rank:])
    rest = R[:rank][:, [int(np.flatnonzero(order == j)[0]) for j in free]]
    a, B = np.zeros(p), np.zeros((p, len(free)))
    B[free, np.arange(len(free))] = 1.0
    a[held] = scipy.linalg.solve_triangular(R[:rank, :rank], target[:rank])
    part = -scipy.linalg.solve_triangular(R[:rank, :rank], rest)
    part[np.abs(part) < 1e-14] = 0.0
    B[held] = part
    return a * units, B * (units[:, None] / units[free])
